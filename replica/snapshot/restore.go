package snapshot

import (
	"crypto/sha256"
	"fmt"

	"fusion/internal/kv"
	"fusion/replica/state"
)

// Restore writes an image into an empty database.
type Restore struct {
	Manifest *Manifest
	into     *state.Import
	parser   parser
	next     int
}

// NewRestore starts to write the image of a manifest.
func NewRestore(m *Manifest, into *state.Import) *Restore { return &Restore{Manifest: m, into: into} }

// Next is the chunk that Chunk waits for; after the last it is their number.
func (r *Restore) Next() int { return r.next }

// Chunk takes the next chunk. After ErrChunk another one may be tried; any other error is final.
func (r *Restore) Chunk(chunk []byte) error {
	m := r.Manifest
	if r.next >= len(m.Chunks) {
		return fmt.Errorf("%w: there are %d", ErrChunk, r.next)
	}
	if len(chunk) > MaxChunk || sha256.Sum256(chunk) != m.Chunks[r.next] {
		return fmt.Errorf("%w: chunk %d, %d bytes", ErrChunk, r.next, len(chunk))
	}
	piece, err := expand(chunk, m.piece(r.next))
	if err != nil {
		return err
	}
	if err := r.parser.feed(piece, r.into.Set); err != nil {
		return err
	}
	r.next++
	return nil
}

// Finish commits the state if it is the one with an app hash. hash computes the app hash from what was received and its digest.
func (r *Restore) Finish(appHash [32]byte, hash func(received kv.Reader, digest [32]byte) [32]byte) error {
	m := r.Manifest
	if r.next != len(m.Chunks) || len(r.parser.rest) > 0 || r.parser.count != m.Keys {
		return fmt.Errorf("%w: %d of %d chunks with %d of %d keys, %d bytes left over", ErrContent, r.next, len(m.Chunks), r.parser.count, m.Keys, len(r.parser.rest))
	}
	received, digest, err := r.into.Read()
	if err != nil {
		return err
	}
	if got := hash(received, digest); got != appHash {
		return fmt.Errorf("%w: block %d has app hash %x, the snapshot gives %x", ErrAppHash, m.Height, appHash, got)
	}
	return r.into.Commit(m.Height, appHash)
}
