package snapshot

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"fusion/internal/codec"
	"fusion/internal/durable"
	"fusion/internal/kv"
	"fusion/internal/pause"
)

// Store is the images of one replica in a directory. Its methods may be called from any goroutine.
type Store struct {
	dir     string
	network [32]byte
	keep    int

	mu     sync.Mutex
	images []*Manifest // by height
}

const (
	manifestName    = "manifest"
	certificateName = "certificate"
	unfinished      = ".tmp"
)

// Open opens the images in dir, of which the newest keep are kept. What cannot be read or is of another network is removed: an image can
// be made again.
func Open(dir string, network [32]byte, keep int) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("creating the directory of snapshots: %w", err)
	}
	s := &Store{dir: dir, network: network, keep: max(keep, 1)}
	unusable, err := s.list()
	if err != nil {
		return nil, fmt.Errorf("reading the directory of snapshots: %w", err)
	}
	for _, name := range unusable {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return nil, fmt.Errorf("removing an unusable snapshot: %w", err)
		}
	}
	return s, s.prune()
}

// Files is the images in dir for reading, also while a replica makes and removes them.
func Files(dir string, network [32]byte) *Store {
	s := &Store{dir: dir, network: network}
	_, _ = s.list() // a directory that is not there has no images
	return s
}

// list finds the images in the directory, and the names of what is none.
func (s *Store) list() (unusable []string, err error) {
	list, err := os.ReadDir(s.dir)
	for _, e := range list {
		if m, err := s.load(e.Name()); err == nil {
			s.images = append(s.images, m)
		} else {
			unusable = append(unusable, e.Name())
		}
	}
	slices.SortFunc(s.images, func(a, b *Manifest) int { return cmp.Compare(a.Height, b.Height) })
	return unusable, err
}

// Certificate is a subnet's signature over the state of an image.
type Certificate struct {
	_         struct{} `cbor:",toarray"`
	AppHash   []byte
	RootKey   []byte // DER
	Signature []byte
}

// Certify keeps the certificate of an image, if there is the image.
func (s *Store) Certify(height uint64, c Certificate) error {
	path := filepath.Join(s.image(height), certificateName)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if _, err := os.Stat(s.image(height)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := durable.Replace(durable.OS{}, path, codec.Marshal(c), 0o600); err != nil {
		return fmt.Errorf("keeping the certificate of the snapshot of block %d: %w", height, err)
	}
	return nil
}

// Certificate reads it.
func (s *Store) Certificate(height uint64) (c Certificate, err error) {
	b, err := os.ReadFile(filepath.Join(s.image(height), certificateName))
	if errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("%w: there is no certificate of block %d", ErrNotFound, height)
	}
	if err == nil {
		err = codec.Unmarshal(b, &c)
	}
	if err != nil {
		return c, fmt.Errorf("reading the certificate of the snapshot of block %d: %w", height, err)
	}
	return c, nil
}

func (s *Store) load(name string) (*Manifest, error) {
	height, err := strconv.ParseUint(name, 10, 64)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(s.dir, name, manifestName))
	if err != nil {
		return nil, err
	}
	m, err := DecodeManifest(b)
	if err != nil {
		return nil, err
	}
	if m.Height != height || m.Network != s.network {
		return nil, fmt.Errorf("%w: of block %d", ErrManifest, m.Height)
	}
	return m, nil
}

func (s *Store) image(height uint64) string {
	return filepath.Join(s.dir, strconv.FormatUint(height, 10))
}

func chunkName(i int) string { return fmt.Sprintf("%06d", i) }

// List returns the images, the newest first.
func (s *Store) List() []*Manifest {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Clone(s.images)
	slices.Reverse(out)
	return out
}

// Oldest is the height of the oldest image, or 0 when there is none. Blocks from there on have to be kept for those who restore it.
func (s *Store) Oldest() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.images) == 0 {
		return 0
	}
	return s.images[0].Height
}

// Chunk reads a chunk of the image of a height. One that has changed on disk is not given out.
func (s *Store) Chunk(height uint64, i int) ([]byte, error) {
	s.mu.Lock()
	at := slices.IndexFunc(s.images, func(m *Manifest) bool { return m.Height == height })
	var m *Manifest
	if at >= 0 {
		m = s.images[at]
	}
	s.mu.Unlock()
	if m == nil || i < 0 || i >= len(m.Chunks) {
		return nil, fmt.Errorf("%w: chunk %d of block %d", ErrNotFound, i, height)
	}
	b, err := os.ReadFile(filepath.Join(s.image(height), chunkName(i)))
	if errors.Is(err, fs.ErrNotExist) { // pruned meanwhile
		return nil, fmt.Errorf("%w: chunk %d of block %d", ErrNotFound, i, height)
	}
	if err != nil {
		return nil, fmt.Errorf("reading chunk %d of the snapshot of block %d: %w", i, height, err)
	}
	if sha256.Sum256(b) != m.Chunks[i] {
		return nil, fmt.Errorf("%w: chunk %d of block %d has changed on disk", ErrChunk, i, height)
	}
	return b, nil
}

// Pace is how many bytes of the stream Make reads in a second; it leaves the disk and a processor to the replica.
const Pace = 64 << 20

// Make writes the image of a height from a view of its state, and removes images that are too old.
func (s *Store) Make(ctx context.Context, height uint64, view kv.Reader) (m *Manifest, err error) {
	dir := s.image(height) + unfinished
	defer func() {
		if r := recover(); r != nil { // a view that cannot be read panics, see kv.Store
			err = fmt.Errorf("snapshot of block %d: %v", height, r)
		}
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
		return nil, fmt.Errorf("snapshot of block %d: %w", height, err)
	}
	w := &writer{ctx: ctx, dir: dir, m: &Manifest{Network: s.network, Height: height}, started: time.Now()}
	view.Scan(nil, nil, func(k, v []byte) bool {
		w.add(k, v)
		return w.err == nil
	})
	w.finish()
	if w.err != nil {
		return nil, fmt.Errorf("snapshot of block %d: %w", height, w.err)
	}
	if err := os.RemoveAll(s.image(height)); err != nil {
		return nil, fmt.Errorf("snapshot of block %d: %w", height, err)
	}
	if err := errors.Join(syncDir(dir), os.Rename(dir, s.image(height)), syncDir(s.dir)); err != nil {
		return nil, fmt.Errorf("snapshot of block %d: %w", height, err)
	}
	s.mu.Lock()
	s.images = slices.DeleteFunc(s.images, func(m *Manifest) bool { return m.Height == height })
	s.images = append(s.images, w.m)
	s.mu.Unlock()
	return w.m, s.prune()
}

// prune removes all but the newest images.
func (s *Store) prune() error {
	s.mu.Lock()
	n := max(len(s.images)-s.keep, 0)
	old := s.images[:n]
	s.images = slices.Clone(s.images[n:])
	s.mu.Unlock()
	for _, m := range old {
		// The name goes first, so that half an image is never found.
		gone := s.image(m.Height) + unfinished
		if err := errors.Join(os.RemoveAll(gone), os.Rename(s.image(m.Height), gone), os.RemoveAll(gone)); err != nil {
			return fmt.Errorf("removing the snapshot of block %d: %w", m.Height, err)
		}
	}
	return nil
}

// writer cuts the stream into chunks.
type writer struct {
	ctx     context.Context
	dir     string
	m       *Manifest
	started time.Time
	buf     []byte
	err     error
}

func (w *writer) add(key, value []byte) {
	if len(key) > MaxKey || len(value) > MaxValue {
		w.err = fmt.Errorf("key %x of %d bytes with a value of %d is larger than a snapshot can hold", key[:min(len(key), 64)], len(key), len(value))
		return
	}
	w.buf = appendEntry(w.buf, key, value)
	w.m.Keys++
	for w.err == nil && len(w.buf) >= ChunkBytes {
		w.put(w.buf[:ChunkBytes])
		w.buf = append(w.buf[:0], w.buf[ChunkBytes:]...)
	}
}

func (w *writer) put(piece []byte) {
	i := len(w.m.Chunks)
	if i == MaxChunks {
		w.err = fmt.Errorf("the state has more than %d chunks of %d bytes", MaxChunks, ChunkBytes)
		return
	}
	chunk := encoder().EncodeAll(piece, nil)
	w.m.Chunks = append(w.m.Chunks, sha256.Sum256(chunk))
	w.m.Bytes += uint64(len(piece))
	if w.err = writeSynced(filepath.Join(w.dir, chunkName(i)), chunk); w.err != nil {
		return
	}
	due := w.started.Add(time.Duration(w.m.Bytes) * time.Second / Pace)
	w.err = pause.For(w.ctx, time.Until(due))
}

func (w *writer) finish() {
	if w.err == nil && w.m.Keys == 0 {
		w.err = errors.New("the state is empty")
	}
	if w.err == nil && len(w.buf) > 0 {
		w.put(w.buf)
	}
	if w.err == nil {
		w.err = writeSynced(filepath.Join(w.dir, manifestName), w.m.Encode())
	}
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Size is the bytes of an image on disk.
func (s *Store) Size(height uint64) (total int64) {
	list, err := os.ReadDir(s.image(height))
	if err != nil {
		return 0
	}
	for _, e := range list {
		if info, err := e.Info(); err == nil && !strings.HasSuffix(e.Name(), unfinished) {
			total += info.Size()
		}
	}
	return total
}
