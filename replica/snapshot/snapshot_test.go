package snapshot

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"fusion/internal/kv"
	"fusion/replica/state"
)

var network = [32]byte{1, 2, 3}

// fill makes a state of a few chunks: many small keys, a value that spans chunks, and one that does not compress.
func fill(t testing.TB, seed uint64) *state.DB {
	t.Helper()
	db, err := state.Open("db", state.Options{FS: vfs.NewMem(), Network: network, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	rng := rand.New(rand.NewPCG(seed, 0))
	b := db.Begin()
	for i := range 3000 {
		v := make([]byte, rng.IntN(200))
		for j := range v {
			v[j] = byte(rng.Uint32())
		}
		b.Set(fmt.Appendf(nil, "k%05d", i), v)
	}
	b.Set([]byte("large"), bytes.Repeat([]byte("page"), ChunkBytes/2)) // two chunks
	noise := make([]byte, ChunkBytes+5)
	for i := 0; i+8 <= len(noise); i += 8 {
		binary.LittleEndian.PutUint64(noise[i:], rng.Uint64())
	}
	b.Set([]byte("noise"), noise)
	b.Set([]byte{0xff, 0xff}, nil)
	if err := b.Commit(7, hash(nil, b.Digest())); err != nil {
		t.Fatal(err)
	}
	return db
}

// hash stands in for the machine's app hash.
func hash(_ kv.Reader, digest [32]byte) [32]byte { digest[0] ^= 0x55; return digest }

func image(t testing.TB, db *state.DB) (*Store, *Manifest) {
	t.Helper()
	s, err := Open(t.TempDir(), network, 2)
	if err != nil {
		t.Fatal(err)
	}
	view := db.Snapshot()
	defer view.Close()
	m, err := s.Make(t.Context(), db.Head().Height, view)
	if err != nil {
		t.Fatal(err)
	}
	return s, m
}

func restore(t testing.TB, m *Manifest, chunk func(i int) []byte, appHash [32]byte) (*state.DB, error) {
	t.Helper()
	fs := vfs.NewMem()
	into, err := state.NewImport("db", state.Options{FS: fs, Network: network, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	r := NewRestore(m, into)
	for r.Next() < len(m.Chunks) && err == nil {
		err = r.Chunk(chunk(r.Next()))
	}
	if err == nil {
		err = r.Finish(appHash, hash)
	}
	if cerr := into.Close(); cerr != nil {
		t.Fatal(cerr)
	}
	db, oerr := state.Open("db", state.Options{FS: fs, Network: network, NoSync: true})
	if err != nil && errors.Is(oerr, state.ErrCorrupt) { // a part of a state is not opened
		return nil, err
	}
	if oerr != nil {
		t.Fatal(oerr)
	}
	t.Cleanup(func() { db.Close() })
	return db, err
}

func contents(r kv.Reader) string {
	var b bytes.Buffer
	r.Scan(nil, nil, func(k, v []byte) bool { b.Write(appendEntry(nil, k, v)); return true })
	return b.String()
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestRestoredStateIsTheSame(t *testing.T) {
	db := fill(t, 1)
	s, m := image(t, db)
	if len(m.Chunks) < 4 || m.Keys != 3003 {
		t.Fatalf("%d keys in %d chunks", m.Keys, len(m.Chunks))
	}
	read := must(DecodeManifest(m.Encode()))(t)
	got, err := restore(t, read, func(i int) []byte { return must(s.Chunk(7, i))(t) }, db.Head().AppHash)
	if err != nil {
		t.Fatal(err)
	}
	if got.Head() != db.Head() {
		t.Errorf("restored %+v of %+v", got.Head(), db.Head())
	}
	if contents(got.Reader()) != contents(db.Reader()) {
		t.Error("the restored keys differ")
	}
	if err := got.Check(nil); err != nil {
		t.Error(err)
	}
	// Both go on alike, which needs the accumulator.
	for _, d := range []*state.DB{db, got} {
		b := d.Begin()
		b.Set([]byte("k00001"), []byte("next"))
		b.Delete([]byte("noise"))
		if err := b.Commit(8, b.Digest()); err != nil {
			t.Fatal(err)
		}
	}
	if got.Head() != db.Head() {
		t.Errorf("a block later %+v and %+v", got.Head(), db.Head())
	}
}

// Everything that a peer can do to an image is found out, and by the error that says who is at fault.
func TestLiesAreFoundOut(t *testing.T) {
	db := fill(t, 1)
	s, m := image(t, db)
	chunk := func(i int) []byte { return must(s.Chunk(7, i))(t) }
	refused := func(t *testing.T, m *Manifest, chunk func(int) []byte, want error) {
		t.Helper()
		got, err := restore(t, m, chunk, db.Head().AppHash)
		if !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
		if got != nil && got.Head().Height != 0 {
			t.Error("a refused image has become the state")
		}
	}
	// forge makes an image of other entries, with a manifest that fits it.
	forge := func(stream []byte, keys uint64) (*Manifest, func(int) []byte) {
		w := &writer{ctx: t.Context(), dir: t.TempDir(), m: &Manifest{Network: network, Height: 7, Keys: keys}}
		for len(stream) > ChunkBytes {
			w.put(stream[:ChunkBytes])
			stream = stream[ChunkBytes:]
		}
		w.put(stream)
		if w.err != nil {
			t.Fatal(w.err)
		}
		return w.m, func(i int) []byte { return must(os.ReadFile(filepath.Join(w.dir, chunkName(i))))(t) }
	}
	t.Run("a changed chunk", func(t *testing.T) {
		refused(t, m, func(i int) []byte {
			b := bytes.Clone(chunk(i))
			if i == 2 {
				b[len(b)/2] ^= 1
			}
			return b
		}, ErrChunk)
	})
	t.Run("chunks in another order", func(t *testing.T) {
		refused(t, m, func(i int) []byte { return chunk(1 - min(i, 1)) }, ErrChunk)
	})
	t.Run("another value", func(t *testing.T) {
		stream := []byte(contents(db.Reader()))
		stream[len(stream)/2] ^= 1
		m, chunk := forge(stream, m.Keys)
		refused(t, m, chunk, ErrAppHash)
	})
	t.Run("a key less", func(t *testing.T) {
		stream := []byte(contents(db.Reader()))
		first := entryHeader + 6 + int(binary.BigEndian.Uint32(stream[4:]))
		m, chunk := forge(stream[first:], m.Keys-1)
		refused(t, m, chunk, ErrAppHash)
	})
	t.Run("a key twice", func(t *testing.T) {
		e := appendEntry(nil, []byte("a"), []byte("1"))
		m, chunk := forge(append(e, e...), 2)
		refused(t, m, chunk, ErrContent)
	})
	t.Run("keys in another order", func(t *testing.T) {
		m, chunk := forge(appendEntry(appendEntry(nil, []byte("b"), nil), []byte("a"), nil), 2)
		refused(t, m, chunk, ErrContent)
	})
	t.Run("another number of keys", func(t *testing.T) {
		m, chunk := forge([]byte(contents(db.Reader())), m.Keys-1)
		refused(t, m, chunk, ErrContent)
	})
	t.Run("an entry without an end", func(t *testing.T) {
		stream := contents(db.Reader())
		m, chunk := forge([]byte(stream[:len(stream)-1]), m.Keys)
		refused(t, m, chunk, ErrContent)
	})
	t.Run("a giant value", func(t *testing.T) {
		m, chunk := forge(append(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 1}, MaxValue+1), 'k'), 1)
		refused(t, m, chunk, ErrContent)
	})
	t.Run("a chunk that expands to more than it may", func(t *testing.T) {
		m, _ := forge(appendEntry(nil, []byte("k"), []byte("v")), 1)
		bomb := encoder().EncodeAll(make([]byte, 64<<20), nil)
		m, chunk := rehash(m, bomb)
		refused(t, m, chunk, ErrContent)
	})
	t.Run("no compressed data", func(t *testing.T) {
		m, _ := forge(appendEntry(nil, []byte("k"), []byte("v")), 1)
		m, chunk := rehash(m, []byte("noise"))
		refused(t, m, chunk, ErrContent)
	})
}

func TestManifestsAreRefused(t *testing.T) {
	good := Manifest{Network: network, Height: 1, Keys: 1, Bytes: ChunkBytes + 1, Chunks: make([][32]byte, 2)}
	must(DecodeManifest(good.Encode()))(t)
	for name, change := range map[string]func(*Manifest){
		"no height":           func(m *Manifest) { m.Height = 0 },
		"no keys":             func(m *Manifest) { m.Keys = 0 },
		"no chunks":           func(m *Manifest) { m.Chunks = nil },
		"too few bytes":       func(m *Manifest) { m.Bytes = ChunkBytes },
		"too many":            func(m *Manifest) { m.Bytes = 2*ChunkBytes + 1 },
		"more keys than fit":  func(m *Manifest) { m.Keys = m.Bytes },
		"bytes that overflow": func(m *Manifest) { m.Bytes = 1<<64 - 1 },
		"too many chunks": func(m *Manifest) {
			m.Chunks = make([][32]byte, MaxChunks+1)
			m.Bytes = (MaxChunks + 1) * ChunkBytes
		},
	} {
		m := good
		change(&m)
		if _, err := DecodeManifest(m.Encode()); !errors.Is(err, ErrManifest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := DecodeManifest(good.Encode()[:fixedSize+40]); !errors.Is(err, ErrManifest) {
		t.Errorf("half a hash: %v", err)
	}
}

func TestStoreKeepsTheNewest(t *testing.T) {
	db := fill(t, 2)
	dir := t.TempDir()
	s := must(Open(dir, network, 2))(t)
	view := db.Snapshot()
	defer view.Close()
	for _, h := range []uint64{100, 20, 1000} { // heights are numbers and not words
		must(s.Make(t.Context(), h, view))(t)
	}
	heights := func(s *Store) (out []uint64) {
		for _, m := range s.List() {
			out = append(out, m.Height)
		}
		return out
	}
	if got := fmt.Sprint(heights(s)); got != "[1000 20]" || s.Oldest() != 20 {
		t.Errorf("kept %s, the oldest is %d", got, s.Oldest())
	}
	if _, err := s.Chunk(100, 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("a removed image: %v", err)
	}
	for _, i := range []int{-1, 1 << 30} {
		if _, err := s.Chunk(1000, i); !errors.Is(err, ErrNotFound) {
			t.Errorf("chunk %d: %v", i, err)
		}
	}
	// A bit that changed on disk does not leave it.
	path := filepath.Join(s.image(20), chunkName(1))
	b := must(os.ReadFile(path))(t)
	b[9] ^= 4
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Chunk(20, 1); !errors.Is(err, ErrChunk) {
		t.Errorf("a changed chunk: %v", err)
	}
	// Opened again it holds the same, without what a crash left behind and what is not ours.
	for _, name := range []string{"2000.tmp", "77", "notes"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	again := must(Open(dir, network, 1))(t)
	if got := fmt.Sprint(heights(again)); got != "[1000]" {
		t.Errorf("after opening again: %s", got)
	}
	if list := must(os.ReadDir(dir))(t); len(list) != 1 {
		t.Errorf("%v are left", list)
	}
	if other := must(Open(dir, [32]byte{9}, 2))(t); len(other.List()) != 0 {
		t.Error("another network's image is offered")
	}
}

// A Make that is cut short, or whose view cannot be read, leaves nothing.
func TestMakeLeavesNothingHalf(t *testing.T) {
	db := fill(t, 3)
	dir := t.TempDir()
	s := must(Open(dir, network, 2))(t)
	view := db.Snapshot()
	defer view.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Make(ctx, 7, view); !errors.Is(err, context.Canceled) {
		t.Errorf("cut short: %v", err)
	}
	if _, err := s.Make(t.Context(), 7, broken{view}); err == nil {
		t.Error("a view that cannot be read made an image")
	}
	if _, err := s.Make(t.Context(), 7, kv.NewMem()); err == nil {
		t.Error("an empty state made an image")
	}
	if list := must(os.ReadDir(dir))(t); len(list) != 0 || len(s.List()) != 0 {
		t.Errorf("%v are left", list)
	}
}

type broken struct{ kv.Reader }

func (b broken) Scan(lower, upper []byte, visit func(k, v []byte) bool) {
	n := 0
	b.Reader.Scan(lower, upper, func(k, v []byte) bool {
		if n++; n == 100 {
			panic("the disk is broken")
		}
		return visit(k, v)
	})
}
