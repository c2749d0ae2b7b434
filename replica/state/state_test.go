package state

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	randv2 "math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"fusion/internal/kv"
)

func open(t *testing.T, fs vfs.FS) *DB {
	t.Helper()
	db, err := Open("db", Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// apply makes the same pseudo-random changes to a store and to a model.
func apply(rng *rand.Rand, s kv.Store, model *kv.Mem) {
	for range 20 {
		k := fmt.Appendf(nil, "k%02d", rng.Intn(40))
		if rng.Intn(3) == 0 {
			s.Delete(k)
			model.Delete(k)
		} else {
			v := make([]byte, rng.Intn(50))
			rng.Read(v)
			s.Set(k, v)
			model.Set(k, v)
		}
	}
}

// A block that was told how much follows holds what one holds that was not.
func TestExpect(t *testing.T) {
	var digests [2][32]byte
	var dumps [2]string
	for i := range 2 {
		db := open(t, vfs.NewMem())
		b := db.Begin()
		rng, model := rand.New(rand.NewSource(1)), kv.NewMem()
		for range 5 {
			apply(rng, b, model)
			kv.SetNew(b, fmt.Appendf(nil, "new%x", rng.Uint64()), []byte("value"))
			if i == 1 {
				before := b.batch.Load().Len()
				kv.Expect(kv.Prefix(b, "p"), 4<<20)
				if b.batch.Load().Len() != before {
					t.Fatalf("the batch has %d bytes, not %d", b.batch.Load().Len(), before)
				}
			}
		}
		dumps[i], digests[i] = dump(b), b.Digest()
		if err := errors.Join(b.Commit(1, digests[i]), db.Check(nil)); err != nil {
			t.Fatal(err)
		}
		if dump(db.Reader()) != dumps[i] {
			t.Error("what is committed is not what was written")
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if digests[0] != digests[1] || dumps[0] != dumps[1] {
		t.Error("the state differs")
	}
}

// Close waits for who looks at the state; after it nobody does.
func TestLook(t *testing.T) {
	db := open(t, vfs.NewMem())
	b := db.Begin()
	b.Set([]byte("key"), []byte("value"))
	if err := b.Commit(1, b.Digest()); err != nil {
		t.Fatal(err)
	}
	began, end, looked, closed := make(chan bool), make(chan bool), make(chan error, 1), make(chan error, 1)
	go func() {
		looked <- db.Look(func(r kv.Reader) {
			began <- true
			<-end
			kv.Find(kv.PrefixReader(r, "k"), [][]byte{[]byte("ey"), []byte("ez")}, func(i int, v []byte) { began <- i == 0 && string(v) == "value" })
		})
	}()
	<-began
	go func() { closed <- db.Close() }()
	select {
	case <-closed:
		t.Error("closed while somebody looks")
	case end <- true:
	}
	if !<-began {
		t.Error("another value was found")
	}
	if err := errors.Join(<-looked, <-closed); err != nil {
		t.Error(err)
	}
	if err := db.Look(func(kv.Reader) { t.Error("looked at a closed state") }); !errors.Is(err, ErrClosed) {
		t.Errorf("looking at a closed state: %v", err)
	}
}

func dump(r kv.Reader) string {
	out := ""
	r.Scan(nil, nil, func(k, v []byte) bool { out += fmt.Sprintf("%s=%x\n", k, v); return true })
	return out
}

// The digest depends on what the state holds, not on how it came to hold it.
func TestDigestIsOfContent(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	model := kv.NewMem()
	db := open(t, vfs.NewMem())
	for h := uint64(1); h <= 30; h++ {
		b := db.Begin()
		apply(rng, b, model)
		if err := b.Commit(h, b.Digest()); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := dump(db.Reader()), dump(model); got != want {
		t.Fatalf("state differs from the model:\n%s\nwant\n%s", got, want)
	}
	other := open(t, vfs.NewMem())
	b := other.Begin()
	model.Scan(nil, nil, func(k, v []byte) bool { b.Set(k, v); return true })
	if b.Digest() != db.Head().AppHash {
		t.Error("equal content, different digests")
	}
	b.Set([]byte("k00"), []byte("changed"))
	if b.Digest() == db.Head().AppHash {
		t.Error("different content, equal digests")
	}
	if err := errors.Join(db.Check(nil), db.Close(), other.Close()); err != nil {
		t.Fatal(err)
	}
}

// Many keys are found where one by one they are: in tables, in memory and in the block, which also deletes some.
func TestFind(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	model := kv.NewMem()
	db := open(t, vfs.NewMem())
	defer db.Close()
	for h := uint64(1); h <= 20; h++ {
		b := db.Begin()
		apply(rng, b, model)
		var list [][]byte
		want, got := "", ""
		for i := range 50 { // some keys are never there, and some are asked for twice
			k := fmt.Appendf(nil, "k%02d", i*rng.Intn(2)+i)
			list = append(list, k)
		}
		slices.SortFunc(list, bytes.Compare)
		for i, k := range list {
			if v, ok := model.Get(k); ok {
				want += fmt.Sprintf("%d %x\n", i, v)
			}
		}
		collect := func(i int, v []byte) { got += fmt.Sprintf("%d %x\n", i, v) }
		if b.Find(list, collect); got != want {
			t.Fatalf("block %d finds\n%s, not\n%s", h, got, want)
		}
		got = ""
		for i := range list { // as from within a room
			list[i] = list[i][1:]
		}
		if kv.Find(kv.Prefix(b, "k"), list, collect); got != want {
			t.Fatalf("block %d finds\n%s under a prefix, not\n%s", h, got, want)
		}
		got = ""
		if kv.Find(kv.Prefix(model, "k"), list, collect); got != want {
			t.Fatalf("block %d finds\n%s in memory, not\n%s", h, got, want)
		}
		if err := b.Commit(h, b.Digest()); err != nil {
			t.Fatal(err)
		}
		if h%5 == 0 {
			if err := db.p.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	db.Reader().(kv.Finder).Find(nil, func(int, []byte) { t.Error("nothing was asked for") })
}

func TestBlockReadsItsOwnWrites(t *testing.T) {
	db := open(t, vfs.NewMem())
	defer db.Close()
	b := db.Begin()
	b.Set([]byte("a"), []byte("1"))
	b.Set([]byte("c"), nil)
	if err := b.Commit(1, b.Digest()); err != nil {
		t.Fatal(err)
	}
	snap := db.Snapshot()
	defer snap.Close()
	b = db.Begin()
	b.Set([]byte("b"), []byte("2"))
	b.Delete([]byte("a"))
	if got := dump(b); got != "b=32\nc=\n" {
		t.Errorf("block sees %q", got)
	}
	if got := dump(db.Reader()); got != "a=31\nc=\n" {
		t.Errorf("committed state sees %q", got)
	}
	if v, ok := b.Get([]byte("c")); !ok || len(v) != 0 {
		t.Errorf("an empty value is %v, %v", v, ok)
	}
	if err := b.Commit(2, b.Digest()); err != nil {
		t.Fatal(err)
	}
	if got := dump(snap); got != "a=31\nc=\n" {
		t.Errorf("snapshot moved: %q", got)
	}
}

// A crash at any point leaves the last committed block, whole.
func TestCrashKeepsCommittedBlocks(t *testing.T) {
	fs := vfs.NewCrashableMem()
	db := open(t, fs)
	rng := rand.New(rand.NewSource(2))
	model := kv.NewMem()
	for h := uint64(1); h <= 10; h++ {
		b := db.Begin()
		apply(rng, b, model)
		if err := b.Commit(h, b.Digest()); err != nil {
			t.Fatal(err)
		}
		pending := db.Begin()
		apply(rng, pending, kv.NewMem()) // written, not committed
		crashed := open(t, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: randv2.New(randv2.NewPCG(1, h))}))
		if crashed.Head().Height != h || dump(crashed.Reader()) != dump(model) {
			t.Fatalf("after a crash at block %d: head %d, state\n%s\nwant\n%s", h, crashed.Head().Height, dump(crashed.Reader()), dump(model))
		}
		if err := errors.Join(crashed.Check(nil), crashed.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefusesOtherNetworks(t *testing.T) {
	fs := vfs.NewMem()
	db, err := Open("db", Options{FS: fs, Network: [32]byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("db", Options{FS: fs, Network: [32]byte{2}}); !errors.Is(err, ErrNetwork) {
		t.Errorf("another network: %v", err)
	}
}

func TestOpenSaysWhatIsWrongWithTheDirectory(t *testing.T) {
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file, Options{}); err == nil {
		t.Error("a file was opened as a database")
	}
}

func TestCommitRefusesGaps(t *testing.T) {
	db := open(t, vfs.NewMem())
	defer db.Close()
	b := db.Begin()
	if err := b.Commit(1, b.Digest()); err != nil {
		t.Fatal(err)
	}
	b = db.Begin()
	if err := b.Commit(3, b.Digest()); err == nil {
		t.Error("block 3 was committed after block 1")
	}
	stale := db.Begin()
	db.Begin()
	if err := stale.Commit(2, stale.Digest()); !errors.Is(err, ErrClosed) {
		t.Errorf("a discarded block was committed: %v", err)
	}
}

func BenchmarkCommit500Pages(b *testing.B) {
	db, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	page := make([]byte, 4096)
	h := uint64(0)
	for b.Loop() {
		h++
		blk := db.Begin()
		for i := range 500 {
			page[i] = byte(h)
			blk.Set(fmt.Appendf(nil, "page/%d", i), page)
		}
		if err := blk.Commit(h, blk.Digest()); err != nil {
			b.Fatal(err)
		}
	}
}

// A disk that fills up loses no committed block and never shows half of one; the replica is told why it has to stop.
func TestFullDiskKeepsCommittedBlocks(t *testing.T) {
	disk := vfs.NewCrashableMem()
	var full atomic.Bool
	db := open(t, errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return syscall.ENOSPC
		}
		return nil
	})))
	model := kv.NewMem()
	rng := rand.New(rand.NewSource(3))
	for h := uint64(1); h <= 3; h++ {
		b := db.Begin()
		apply(rng, b, model)
		if err := b.Commit(h, b.Digest()); err != nil {
			t.Fatal(err)
		}
	}
	full.Store(true)
	b := db.Begin()
	apply(rng, b, kv.NewMem())
	err := b.Commit(4, b.Digest())
	if err == nil || !strings.Contains(err.Error(), "committing block 4") || !strings.Contains(err.Error(), "no space left") {
		t.Fatalf("committing to a full disk: %v", err)
	}
	again := open(t, disk.CrashClone(vfs.CrashCloneCfg{}))
	if again.Head().Height != 3 || dump(again.Reader()) != dump(model) {
		t.Fatalf("after the disk filled up: head %d, state\n%s\nwant\n%s", again.Head().Height, dump(again.Reader()), dump(model))
	}
	if err := errors.Join(again.Check(nil), again.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
}
