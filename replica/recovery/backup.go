package recovery

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"fusion/chainkey/bls"
	"fusion/ic/certificate"
	"fusion/internal/strictjson"
	"fusion/replica/genesis"
	"fusion/replica/snapshot"
)

// Head says what a backup is of.
type Head struct {
	Version int         `json:"version"`
	Height  uint64      `json:"height"`
	AppHash genesis.Hex `json:"app_hash"`
	RootKey genesis.Hex `json:"root_key"` // of the subnet, DER
	// Signature is the subnet's, over the Statement; empty where the state is that of a stopped replica alone.
	Signature genesis.Hex `json:"signature"`
}

// Backup is the head of a file, whose chunks follow.
type Backup struct {
	Head
	Genesis  *genesis.Doc
	Last     *Document // the last recovery before the state, nil before the first
	Manifest *snapshot.Manifest

	in   *tar.Reader
	next int // chunk
}

// A backup is a tar archive: these entries, then a chunk each.
const (
	headName     = "backup.json"
	genesisName  = "genesis.json"
	lastName     = "recovery.json" // absent before the first
	manifestName = "manifest"
)

const maxManifest = 4 << 20

func chunkName(i int) string { return fmt.Sprintf("chunk/%06d", i) }

// Life is what the state's messages and sessions were bound to.
func (b *Backup) Life() [32]byte {
	if b.Last != nil {
		return b.Last.Life()
	}
	return b.Genesis.Hash()
}

// Write writes a backup. chunk reads a chunk of the image.
func Write(w io.Writer, b *Backup, chunk func(i int) ([]byte, error)) error {
	b.Version = Version
	head, err := json.MarshalIndent(b.Head, "", "  ")
	if err != nil {
		return fmt.Errorf("writing a backup: %w", err)
	}
	doc, err := json.MarshalIndent(b.Genesis, "", "  ")
	if err != nil {
		return fmt.Errorf("writing a backup: %w", err)
	}
	out := tar.NewWriter(w)
	put := func(name string, body []byte) error {
		// The time is the same in all, so that two backups of one image are the same file.
		err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(body)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR})
		if err == nil {
			_, err = out.Write(body)
		}
		if err != nil {
			return fmt.Errorf("writing a backup: %w", err)
		}
		return nil
	}
	if err := errors.Join(put(headName, head), put(genesisName, doc)); err != nil {
		return err
	}
	if b.Last != nil {
		if err := put(lastName, b.Last.Encode()); err != nil {
			return err
		}
	}
	if err := put(manifestName, b.Manifest.Encode()); err != nil {
		return err
	}
	for i := range b.Manifest.Chunks {
		body, err := chunk(i)
		if err != nil {
			return fmt.Errorf("writing a backup: %w", err)
		}
		if err := put(chunkName(i), body); err != nil {
			return err
		}
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("writing a backup: %w", err)
	}
	return nil
}

// Open reads the head of a backup and checks that its parts are of one subnet, and the subnet's signature where there is one. That the image has the
// state with the app hash shows when it is restored.
func Open(r io.Reader) (*Backup, error) {
	b := &Backup{in: tar.NewReader(r)}
	raw, err := b.entry(headName, maxDocument)
	if err != nil {
		return nil, err
	}
	if err := strictjson.Unmarshal(raw, maxDocument, &b.Head); err != nil {
		return nil, fmt.Errorf("%w: its head: %w", ErrBackup, err)
	}
	if b.Version != Version || b.Height == 0 || len(b.AppHash) != 32 || len(b.Signature) != 0 && len(b.Signature) != bls.SignatureSize {
		return nil, fmt.Errorf("%w: version %d, height %d, an app hash of %d and a signature of %d bytes", ErrBackup, b.Version, b.Height, len(b.AppHash), len(b.Signature))
	}
	if raw, err = b.entry(genesisName, maxDocument); err != nil {
		return nil, err
	}
	if b.Genesis, err = genesis.Parse(raw); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	h, err := b.in.Next()
	if err == nil && h.Name == lastName {
		if raw, err = b.body(h, maxDocument); err != nil {
			return nil, err
		}
		if b.Last, err = Parse(raw); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBackup, err)
		}
		h, err = b.in.Next()
	}
	if err != nil || h.Name != manifestName {
		return nil, fmt.Errorf("%w: there is no %s in its place: %v", ErrBackup, manifestName, err)
	}
	if raw, err = b.body(h, maxManifest); err != nil {
		return nil, err
	}
	if b.Manifest, err = snapshot.DecodeManifest(raw); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	network := b.Genesis.Hash()
	if b.Manifest.Network != network || b.Manifest.Height != b.Height || b.Last != nil && !bytes.Equal(b.Last.Network, network[:]) {
		return nil, fmt.Errorf("%w: its parts are of different networks or blocks", ErrBackup)
	}
	return b, b.checkSignature()
}

// Certified says whether the subnet has signed the state.
func (b *Backup) Certified() bool { return len(b.Signature) > 0 }

func (b *Backup) checkSignature() error {
	key, err := certificate.ParsePublicKey(b.RootKey)
	if err != nil {
		return fmt.Errorf("%w: root_key: %w", ErrBackup, err)
	}
	if !b.Certified() {
		return nil
	}
	if !key.Verify(bls.Message(bls.DomainState, Statement(b.Life(), b.Height, [32]byte(b.AppHash))), b.Signature) {
		return fmt.Errorf("%w: the subnet has not signed this state", ErrBackup)
	}
	return nil
}

// entry reads the next entry, which must have a name.
func (b *Backup) entry(name string, limit int64) ([]byte, error) {
	h, err := b.in.Next()
	if err != nil || h.Name != name {
		return nil, fmt.Errorf("%w: there is no %s in its place: %v", ErrBackup, name, err)
	}
	return b.body(h, limit)
}

func (b *Backup) body(h *tar.Header, limit int64) ([]byte, error) {
	if h.Size < 0 || h.Size > limit {
		return nil, fmt.Errorf("%w: %s has %d bytes, at most %d", ErrBackup, h.Name, h.Size, limit)
	}
	body, err := io.ReadAll(io.LimitReader(b.in, limit+1))
	if err != nil || int64(len(body)) != h.Size {
		return nil, fmt.Errorf("%w: %s is cut short: %v", ErrBackup, h.Name, err)
	}
	return body, nil
}

// Restore feeds the image into an empty database: the state must have the head's app hash as hash computes it.
func (b *Backup) Restore(into *snapshot.Restore, finish func(appHash [32]byte) error) error {
	for ; b.next < len(b.Manifest.Chunks); b.next++ {
		chunk, err := b.entry(chunkName(b.next), snapshot.MaxChunk)
		if err != nil {
			return err
		}
		if err := into.Chunk(chunk); err != nil {
			return fmt.Errorf("%w: %w", ErrBackup, err)
		}
	}
	if err := finish([32]byte(b.AppHash)); err != nil {
		return fmt.Errorf("%w: %w", ErrBackup, err)
	}
	return nil
}
