package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// Errors of this package; test with errors.Is.
var (
	// ErrManifest says that a manifest cannot describe an image of this network.
	ErrManifest = errors.New("invalid snapshot manifest")
	// ErrChunk says that a chunk is not the one that the manifest names: whoever sent it is at fault, another peer may have it.
	ErrChunk = errors.New("snapshot chunk does not match its manifest")
	// ErrContent says that chunks are those of their manifest and yet no state: whoever made the manifest is at fault.
	ErrContent = errors.New("snapshot content is invalid")
	// ErrAppHash says that an image is a state, but not the one that the network has agreed on.
	ErrAppHash = errors.New("snapshot is of another state")
	// ErrNotFound says that there is no such image or chunk.
	ErrNotFound = errors.New("no such snapshot")
)

const (
	// Format is the version of manifests and chunks.
	Format = 1
	// ChunkBytes is how much of the stream a chunk holds, before compression; only the last may hold less. It is well below what
	// consensus carries in a message (16 MB), and small enough that a lost one costs little.
	ChunkBytes = 4 << 20
	// MaxChunk bounds a compressed chunk: what does not compress grows by a few bytes.
	MaxChunk = ChunkBytes + 64<<10
	// MaxChunks bounds an image at 400 GiB. The manifest then has 3.2 MB, below consensus's 4 MB for it.
	MaxChunks = 100_000
	// MaxKey and MaxValue bound what a state may hold; the largest value is a canister's module of 100 MiB.
	MaxKey   = 64 << 10
	MaxValue = 128 << 20
)

// Manifest describes an image.
type Manifest struct {
	Network [32]byte // the hash of the genesis document
	Height  uint64
	Keys    uint64
	Bytes   uint64 // of the stream, before compression
	Chunks  [][32]byte
}

var magic = []byte("fusion/snapshot/v1")

const fixedSize = 18 + 32 + 3*8

// Encode returns the one encoding of a manifest.
func (m *Manifest) Encode() []byte {
	out := append(make([]byte, 0, fixedSize+32*len(m.Chunks)), magic...)
	out = append(out, m.Network[:]...)
	for _, n := range []uint64{m.Height, m.Keys, m.Bytes} {
		out = binary.BigEndian.AppendUint64(out, n)
	}
	for _, c := range m.Chunks {
		out = append(out, c[:]...)
	}
	return out
}

// Hash names an image.
func (m *Manifest) Hash() [32]byte { return sha256.Sum256(m.Encode()) }

// DecodeManifest reads a manifest and refuses any whose numbers cannot belong together.
func DecodeManifest(b []byte) (*Manifest, error) {
	if len(b) <= fixedSize || len(b) > fixedSize+32*MaxChunks || (len(b)-fixedSize)%32 != 0 || !bytes.HasPrefix(b, magic) {
		return nil, fmt.Errorf("%w: %d bytes, or of another format", ErrManifest, len(b))
	}
	m := &Manifest{Network: [32]byte(b[18:50]), Height: binary.BigEndian.Uint64(b[50:]), Keys: binary.BigEndian.Uint64(b[58:]),
		Bytes: binary.BigEndian.Uint64(b[66:])}
	m.Chunks = make([][32]byte, (len(b)-fixedSize)/32)
	for i := range m.Chunks {
		m.Chunks[i] = [32]byte(b[fixedSize+32*i:])
	}
	n := uint64(len(m.Chunks))
	if m.Height == 0 || m.Keys == 0 || m.Bytes <= (n-1)*ChunkBytes || m.Bytes > n*ChunkBytes || m.Keys > m.Bytes/entryHeader {
		return nil, fmt.Errorf("%w: block %d, %d keys in %d bytes in %d chunks", ErrManifest, m.Height, m.Keys, m.Bytes, n)
	}
	return m, nil
}

// piece is how many bytes of the stream a chunk holds.
func (m *Manifest) piece(i int) int {
	if i < len(m.Chunks)-1 {
		return ChunkBytes
	}
	return int(m.Bytes - uint64(len(m.Chunks)-1)*ChunkBytes)
}
