package state

import (
	"errors"
	"math/rand"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"fusion/internal/kv"
)

// An imported state has the digest of the one that was executed, whatever way that came about.
func TestImport(t *testing.T) {
	rng := rand.New(rand.NewSource(3))
	model := kv.NewMem()
	db := open(t, vfs.NewMem())
	for h := uint64(1); h <= 10; h++ {
		b := db.Begin()
		apply(rng, b, model)
		if err := b.Commit(h, b.Digest()); err != nil {
			t.Fatal(err)
		}
	}
	fs := vfs.NewMem()
	in, err := NewImport("db", Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	db.Reader().Scan(nil, nil, func(k, v []byte) bool {
		if err := in.Set(k, v); err != nil {
			t.Fatal(err)
		}
		if err := in.Set(k, v); !errors.Is(err, ErrOrder) {
			t.Fatalf("the same key again: %v", err)
		}
		return true
	})
	r, digest, err := in.Read()
	if err != nil || digest != db.Head().AppHash || dump(r) != dump(model) {
		t.Errorf("digest %x of %x, %v", digest, db.Head().AppHash, err)
	}
	if err := errors.Join(in.Commit(10, digest), in.Close()); err != nil {
		t.Fatal(err)
	}
	got := open(t, fs)
	if got.Head() != db.Head() {
		t.Errorf("imported %+v of %+v", got.Head(), db.Head())
	}
	if err := errors.Join(got.Check(nil), got.Close(), db.Close()); err != nil {
		t.Error(err)
	}
	if _, err := NewImport("db", Options{FS: fs}); err == nil {
		t.Error("a state was imported over another")
	}
}

// What a crash leaves of an import is not taken for a state.
func TestImportCutShort(t *testing.T) {
	fs := vfs.NewMem()
	in, err := NewImport("db", Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Set([]byte("k"), []byte("v")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := in.Read(); err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := NewImport("db", Options{FS: fs}); err == nil {
		t.Error("an import went on over a part of another")
	}
	if _, err := Open("db", Options{FS: fs}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("half an import is opened: %v", err)
	}
}

// What is imported before the first block, in any order, counts in the digests of the blocks, as if the first block had written it.
func TestImportBeforeTheFirstBlock(t *testing.T) {
	fs := vfs.NewMem()
	in, err := NewImport("db", Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	var pairs []Pair
	for i := range 1000 {
		pairs = append(pairs, Pair{[]byte{byte(i * 7), byte(i >> 3), byte(i)}, []byte{byte(i)}})
	}
	if err := errors.Join(in.SetAll(pairs[:1]), in.SetAll(pairs[1:]), in.CommitGenesis(), in.Close()); err != nil {
		t.Fatal(err)
	}
	got, want := open(t, fs), open(t, vfs.NewMem())
	defer got.Close()
	defer want.Close()
	if got.Head().Height != 0 || got.Check(nil) != nil {
		t.Errorf("head %d, %v", got.Head().Height, got.Check(nil))
	}
	x, y := got.Begin(), want.Begin()
	for _, p := range pairs {
		y.Set(p.Key, p.Value)
	}
	x.Delete(pairs[5].Key)
	y.Delete(pairs[5].Key)
	if x.Digest() != y.Digest() {
		t.Error("the digests differ")
	}
	if err := x.Commit(1, x.Digest()); err != nil {
		t.Fatal(err)
	}
	if err := got.Check(nil); err != nil {
		t.Error(err)
	}
}
