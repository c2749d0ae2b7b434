package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"fusion/internal/kv"
)

// What writers say of what they write, and what is read in between, changes neither what a block holds nor its digest; nor does whether what they wrote
// becomes tables.
func TestBulk(t *testing.T) {
	asTables := 0
	for seed := range int64(120) {
		rng := rand.New(rand.NewSource(seed))
		fs := vfs.NewMem()
		db, err := Open("db", Options{FS: fs, tablesFrom: []int{0, 1}[seed%2]})
		if err != nil {
			t.Fatal(err)
		}
		plain, model := open(t, vfs.NewMem()), kv.NewMem()
		same := func(r kv.Reader) {
			t.Helper()
			if got, want := dump(r), dump(model); got != want {
				t.Fatalf("seed %d: it holds\n%s\nnot\n%s", seed, got, want)
			}
		}
		for height := uint64(1); height <= 4; height++ {
			b, p := db.Begin(), plain.Begin()
			told, often := rng.Intn(5), rng.Intn(30)
			for range 150 {
				k, v := fmt.Appendf(nil, "k%02d", rng.Intn(60)), fmt.Appendf(nil, "v%d", rng.Intn(4))
				old, there := model.Get(k)
				if rng.Intn(2) == 0 {
					if tell := rng.Intn(5) < told; tell && there {
						b.DeleteOld(k, old)
					} else {
						b.Delete(k)
					}
					p.Delete(k)
					model.Delete(k)
				} else {
					if tell := rng.Intn(5) < told; tell && !there {
						b.SetNew(k, v)
					} else {
						b.Set(k, v)
					}
					p.Set(k, v)
					model.Set(k, v)
				}
				if rng.Intn(30) >= often {
					continue
				}
				switch k := fmt.Appendf(nil, "k%02d", rng.Intn(60)); rng.Intn(4) {
				case 0:
					same(b)
				case 1:
					v, ok := b.Get(k)
					if want, there := model.Get(k); ok != there || string(v) != string(want) {
						t.Fatalf("seed %d: %s is %q, not %q", seed, k, v, want)
					}
				case 2:
					readByMany(t, b, model)
				case 3:
					kv.Expect(kv.Prefix(b, "p"), 1<<rng.Intn(20))
				}
			}
			if got, want := b.Digest(), p.Digest(); got != want {
				t.Fatalf("seed %d: the digest of block %d is %x, not %x", seed, height, got, want)
			}
			if err := errors.Join(b.Commit(height, b.Digest()), p.Commit(height, p.Digest()), db.Check(nil)); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			same(db.Reader())
		}
		asTables += int(db.p.Metrics().Ingest.Count)
		if err := errors.Join(db.Close(), plain.Close()); err != nil {
			t.Fatal(err)
		}
		db = open(t, fs)
		same(db.Reader())
		if err := errors.Join(db.Check(nil), db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if asTables < 20 {
		t.Errorf("%d blocks became tables", asTables)
	}
}

// readByMany reads all keys in several goroutines at once.
func readByMany(t *testing.T, b *Block, model *kv.Mem) {
	t.Helper()
	var keys [][]byte
	want := map[string]string{}
	model.Scan(nil, nil, func(k, v []byte) bool {
		keys = append(keys, append([]byte{}, k...))
		want[string(k)] = string(v)
		return true
	})
	var all sync.WaitGroup
	for part := range 3 {
		all.Go(func() {
			own := keys[len(keys)*part/3 : len(keys)*(part+1)/3]
			found := 0
			b.Find(own, func(i int, v []byte) {
				found++
				if want[string(own[i])] != string(v) {
					t.Errorf("%s is %q, not %q", own[i], v, want[string(own[i])])
				}
			})
			if found != len(own) {
				t.Errorf("%d of %d keys found", found, len(own))
			}
		})
	}
	all.Wait()
}

// A bulk is read as a whole once somebody reads within it, and not before.
func TestBulkIsReadWhenAsked(t *testing.T) {
	db := open(t, vfs.NewMem())
	b := db.Begin()
	for i := range 100 {
		b.SetNew(fmt.Appendf(nil, "a%03d", i), nil)
	}
	b.Expect(1000)
	for i := range 100 {
		b.SetNew(fmt.Appendf(nil, "u%03d", i), nil)
	}
	for _, outside := range []string{"a", "a0990", "b", "t", "u1", "z"} {
		if _, ok := b.Get([]byte(outside)); ok || !b.bulk.some.Load() {
			t.Fatalf("%q is there, or more was read for it", outside)
		}
	}
	b.Scan([]byte("b"), []byte("u"), func(_, _ []byte) bool { t.Error("something between"); return true })
	b.Set([]byte("b"), nil)
	if !b.bulk.some.Load() {
		t.Error("what lies between was read")
	}
	if _, ok := b.Get([]byte("a050")); !ok || b.bulk.some.Load() {
		t.Error("what was asked for is not there")
	}
	if err := errors.Join(b.Commit(1, b.Digest()), db.Check(nil), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// What is too large for a table in memory is there after the database was opened again, whether it went through the log or became tables.
func TestLargeBulk(t *testing.T) {
	const keys = 40_000 // of a kilobyte: more than a table
	for _, c := range []struct {
		name string
		from int
		fs   vfs.FS
	}{{"log", 1 << 30, vfs.NewMem()}, {"tables", tablesFrom, vfs.NewMem()}, {"tables on disk", tablesFrom, vfs.Default}} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "db")
			open := func() *DB {
				db, err := Open(dir, Options{FS: c.fs, tablesFrom: c.from})
				if err != nil {
					t.Fatal(err)
				}
				return db
			}
			db := open()
			b := db.Begin()
			b.Set([]byte("z"), []byte("last"))
			b.Expect(1)
			b.Expect(keys << 10) // the room that is asked for last counts
			value := make([]byte, 1<<10)
			for i := range uint32(keys) {
				binary.BigEndian.PutUint32(value, i)
				b.SetNew(binary.BigEndian.AppendUint32([]byte("k"), i), value)
			}
			b.Expect(0)
			b.SetNew([]byte("m"), nil)
			b.Set([]byte("a"), []byte("first"))
			digest := b.Digest()
			if err := errors.Join(b.Commit(1, digest), db.Check(nil)); err != nil {
				t.Fatal(err)
			}
			if n := db.p.Metrics().Ingest.Count; (n == 1) != (c.from == tablesFrom) {
				t.Errorf("%d blocks became tables", n)
			}
			newTables(t, c.fs, dir)
			b = db.Begin() // what is written then covers what is in tables
			b.DeleteOld(binary.BigEndian.AppendUint32([]byte("k"), keys-1), value)
			b.Set(binary.BigEndian.AppendUint32([]byte("k"), 0), make([]byte, 4))
			digest = b.Digest()
			if err := errors.Join(b.Commit(2, digest), db.Close()); err != nil {
				t.Fatal(err)
			}
			db = open()
			if h := db.Head(); h.Height != 2 || h.AppHash != digest {
				t.Errorf("the head is %v", h)
			}
			n := 0
			kv.ScanPrefix(db.Reader(), []byte("k"), func(k, v []byte) bool {
				if n++; !bytes.Equal(k[1:], v[:4]) {
					t.Errorf("under %x is %x", k, v[:4])
				}
				return true
			})
			first, _ := db.Reader().Get([]byte("a"))
			last, _ := db.Reader().Get([]byte("z"))
			if _, ok := db.Reader().Get([]byte("m")); n != keys-1 || string(first) != "first" || string(last) != "last" || !ok {
				t.Errorf("%d keys between %q and %q", n, first, last)
			}
			if err := errors.Join(db.Check(nil), db.Close()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Tables that a crash left outside the database are removed.
func TestNewTablesAreRemoved(t *testing.T) {
	fs := vfs.NewMem()
	if err := open(t, fs).Close(); err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create("db/"+newTable+"0-0", vfs.WriteCategoryUnspecified)
	if err := errors.Join(err, f.Close(), open(t, fs).Close()); err != nil {
		t.Fatal(err)
	}
	newTables(t, fs, "db")
}

// newTables fails the test if there are tables outside the database.
func newTables(t *testing.T, fs vfs.FS, dir string) {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil || slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, newTable) }) {
		t.Errorf("left: %q, %v", names, err)
	}
}
