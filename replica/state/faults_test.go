package state

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"fusion/internal/kv"
)

// diskSeeds is how many disks TestDiskFaults has fail; FUSION_DISK_SEEDS says otherwise, and FUSION_SEED=N runs one alone.
const diskSeeds = 84

// A disk's ways to fail. The first operation that fails is chosen by the seed.
const (
	full     = iota // what is written from then on finds no room
	badWrite        // one write fails
	badSync         // one sync fails, and what it was for is lost
	badRead         // one read fails
	rotRead         // one read gives a flipped bit
	powerCut        // everything ends there
	rotRest         // bits of files flip while the database is closed
	diskFaults
)

var faultNames = [...]string{"full", "bad write", "bad sync", "bad read", "rot when read", "power cut", "rot at rest"}

// faultyDisk is a file system that keeps what was synced and fails once.
type faultyDisk struct {
	vfs.FS
	mem   *vfs.MemFS
	fault int
	left  atomic.Int64 // operations of the fault's kind until it comes
	came  atomic.Bool
	bit   uint64
}

var errPowerCut = errors.New("power cut")

func newFaultyDisk(mem *vfs.MemFS, fault int, after int64, bit uint64) *faultyDisk {
	d := &faultyDisk{mem: mem, fault: fault, bit: bit}
	d.left.Store(after)
	d.FS = errorfs.Wrap(mem, errorfs.InjectorFunc(d.inject))
	return d
}

// due counts an operation and tells whether it is the one that fails, or a later one.
func (d *faultyDisk) due() (first, later bool) {
	n := d.left.Add(-1)
	return n == 0, n < 0
}

func (d *faultyDisk) inject(op errorfs.Op) error {
	write := op.Kind.ReadOrWrite() == errorfs.OpIsWrite
	sync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
	read := op.Kind == errorfs.OpFileRead || op.Kind == errorfs.OpFileReadAt
	var first, later bool
	switch d.fault {
	case full, badWrite:
		// Closing and removing need no room.
		if !write || op.Kind == errorfs.OpFileClose || op.Kind == errorfs.OpRemove || op.Kind == errorfs.OpRemoveAll || op.Kind == errorfs.OpLock {
			return nil
		}
	case badSync:
		if !sync {
			return nil
		}
	case badRead:
		if !read {
			return nil
		}
	case powerCut:
	default:
		return nil
	}
	first, later = d.due()
	switch {
	case d.fault == full && (first || later):
		d.came.Store(true)
		return syscall.ENOSPC
	case d.fault == powerCut && (first || later):
		d.came.Store(true)
		return errPowerCut
	case first:
		d.came.Store(true)
		return syscall.EIO
	}
	return nil
}

// Open implements vfs.FS: what is read of the file may have rotted.
func (d *faultyDisk) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.FS.Open(name, opts...)
	if err != nil || d.fault != rotRead {
		return f, err
	}
	return &rottenFile{f, d}, nil
}

type rottenFile struct {
	vfs.File
	d *faultyDisk
}

func (f *rottenFile) rot(b []byte) {
	if first, _ := f.d.due(); first && len(b) > 0 {
		f.d.came.Store(true)
		at := f.d.bit % uint64(8*len(b))
		b[at/8] ^= 1 << (at % 8)
	}
}

func (f *rottenFile) Read(b []byte) (int, error) {
	n, err := f.File.Read(b)
	f.rot(b[:n])
	return n, err
}

func (f *rottenFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(b, off)
	f.rot(b[:n])
	return n, err
}

// rot flips a bit of one file of a closed database.
func rot(t *testing.T, mem *vfs.MemFS, rng *rand.Rand) string {
	t.Helper()
	names, err := mem.List("db")
	if err != nil {
		t.Fatal(err)
	}
	for {
		name := "db/" + names[rng.IntN(len(names))]
		f, err := mem.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() == 0 {
			_ = f.Close()
			continue
		}
		at, one := rng.Int64N(info.Size()), make([]byte, 1)
		_, err = f.ReadAt(one, at)
		one[0] ^= 1 << rng.IntN(8)
		if _, werr := f.WriteAt(one, at); errors.Join(err, werr, f.Sync(), f.Close()) != nil {
			t.Fatal(err, werr)
		}
		return fmt.Sprintf("%s, byte %d", name, at)
	}
}

// blocks are a chain of blocks whose writes depend on what is read: the model's state after each, and the digest.
type blocks struct {
	seed   uint64
	told   bool // by writers who say what was there
	states []string
	hashes [][32]byte
	final  *kv.Mem
}

const chainLength = 10

func (c *blocks) execute(h uint64, s kv.Store) {
	rng := rand.New(rand.NewPCG(c.seed, h))
	type change struct{ before, after []byte }
	changes := map[string]*change{}
	for range 20 {
		k := fmt.Sprintf("k%03d", rng.IntN(60))
		at := changes[k]
		if at == nil {
			old, _ := s.Get([]byte(k))
			at = &change{old, old}
			changes[k] = at
		}
		if at.after != nil && rng.IntN(3) == 0 {
			at.after = nil
			continue
		}
		v := make([]byte, rng.IntN(900)+8)
		for i := range v {
			v[i] = byte(rng.Uint32())
		}
		if len(at.after) >= 8 {
			binary.BigEndian.PutUint64(v, binary.BigEndian.Uint64(at.after)+h)
		}
		at.after = v
	}
	var told []string
	for _, k := range slices.Sorted(maps.Keys(changes)) {
		switch at := changes[k]; {
		case c.told && (at.before == nil) != (at.after == nil):
			told = append(told, k)
		case at.after == nil:
			s.Delete([]byte(k))
		default:
			s.Set([]byte(k), at.after)
		}
	}
	for _, k := range told {
		if at := changes[k]; at.after == nil {
			kv.DeleteOld(s, []byte(k), at.before)
		} else {
			kv.SetNew(s, []byte(k), at.after)
		}
	}
}

func newBlocks(t *testing.T, seed uint64) *blocks {
	c := &blocks{seed: seed, told: seed/diskFaults%2 == 1, states: []string{""}, hashes: [][32]byte{{}}, final: kv.NewMem()}
	db := open(t, vfs.NewMem())
	for h := uint64(1); h <= chainLength; h++ {
		c.execute(h, c.final)
		b := db.Begin()
		c.execute(h, b)
		if err := b.Commit(h, b.Digest()); err != nil {
			t.Fatal(err)
		}
		c.states, c.hashes = append(c.states, dump(c.final)), append(c.hashes, db.Head().AppHash)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return c
}

// errWrong marks what must never be: an answer that is not the model's.
var errWrong = errors.New("WRONG ANSWER")

// run executes the blocks after a database's head, and flushes and compacts it now and then. A panic is a read that failed.
func (c *blocks) run(ctx context.Context, db *DB, rng *rand.Rand) error {
	for h := db.Head().Height + 1; h <= chainLength; h++ {
		err := caught(func() error {
			b := db.Begin()
			c.execute(h, b)
			if b.Digest() != c.hashes[h] {
				return fmt.Errorf("%w: block %d", errWrong, h)
			}
			if err := b.Commit(h, c.hashes[h]); err != nil {
				return err
			}
			if dump(db.Reader()) != c.states[h] {
				return fmt.Errorf("%w: the state after block %d", errWrong, h)
			}
			switch rng.IntN(4) {
			case 0:
				return db.write("flushing", db.p.Flush)
			case 1:
				return db.write("compacting", func() error { return db.p.Compact(ctx, []byte("i"), []byte("s"), false) })
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// TestDiskFaults lets disks fail in every way at random points. Whatever happens, nothing is answered that is not so: the database stops with an
// error that says where and what to do, and once it is opened again, or its content imported anew where the disk lost or changed it, it
// holds what the others hold.
func TestDiskFaults(t *testing.T) {
	first, last := 1, diskSeeds
	for name, set := range map[string]func(int){"FUSION_DISK_SEEDS": func(n int) { last = n }, "FUSION_SEED": func(n int) { first, last = n, n }} {
		if s := os.Getenv(name); s != "" {
			n, err := strconv.Atoi(s)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			set(n)
		}
	}
	came, stopped, replaced := [diskFaults]int{}, [diskFaults]int{}, [diskFaults]int{}
	for seed := first; seed <= last; seed++ {
		fault := seed % diskFaults
		t.Run(fmt.Sprintf("%s/seed %d", faultNames[fault], seed), func(t *testing.T) {
			c, s, r := failDisk(t, uint64(seed), fault)
			for n, happened := range map[*int]bool{&came[fault]: c, &stopped[fault]: s, &replaced[fault]: r} {
				if happened {
					*n++
				}
			}
		})
	}
	for fault, name := range faultNames {
		t.Logf("%s: came %d times, the database stopped %d times, %d had to be replaced", name, came[fault], stopped[fault], replaced[fault])
		if last-first >= diskSeeds-1 && (came[fault] == 0 || stopped[fault] == 0) {
			t.Errorf("%s: nothing ever failed, so this test shows nothing", name)
		}
	}
}

func failDisk(t *testing.T, seed uint64, fault int) (came, stopped, replaced bool) {
	rng := rand.New(rand.NewPCG(seed, 99))
	c := newBlocks(t, seed)
	after := int64(1 + rng.IntN(120))
	if fault == badSync || fault == badRead || fault == rotRead {
		after = int64(1 + rng.IntN(40))
	}
	disk := newFaultyDisk(vfs.NewCrashableMem(), fault, after, rng.Uint64())
	told := make(chan error, 1)
	opts := Options{FS: disk, CacheBytes: 64 << 10, Failed: func(err error) { told <- err }}
	if c.told {
		opts.tablesFrom = 1
	}
	var reached uint64
	db, err := Open("db", opts)
	if err == nil {
		if err = c.run(t.Context(), db, rng); err == nil && fault == rotRead { // what is cached is not read
			err = errors.Join(db.Close(), func() error { db, err = Open("db", opts); return err }())
			if err == nil {
				err = db.Check(nil)
			}
		}
	}
	if db != nil {
		reached = db.Head().Height
	}
	stopped = err != nil
	if err != nil {
		sound(t, "stopped", err)
		if db != nil && db.Failure() != nil {
			select {
			case why := <-told:
				sound(t, "told", why)
			case <-time.After(time.Minute):
				t.Error("nobody was told that the database failed")
			}
			if err := db.Begin().Commit(reached+1, [32]byte{}); err == nil {
				t.Error("a database that failed commits")
			}
		}
	}
	if db != nil {
		if err := caught(db.Close); err != nil && !stopped {
			sound(t, "closing", err)
		}
	}
	mem := disk.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
	came = disk.came.Load()
	if fault == rotRest {
		came = true
		for range 1 + rng.IntN(16) { // one may hit what is not used any more
			t.Log(rot(t, mem, rng))
		}
	}
	// Started again.
	err = caught(func() error {
		db, err := Open("db", Options{FS: mem})
		if err != nil {
			return err
		}
		at := db.Head().Height
		if fault != rotRest && at < reached {
			return fmt.Errorf("%w: block %d was committed, %d is there", errWrong, reached, at)
		}
		err = caught(func() error {
			if got := dump(db.Reader()); got != c.states[at] {
				return fmt.Errorf("%w: the state after block %d", errWrong, at)
			}
			if err := db.Check(nil); err != nil {
				return err
			}
			return c.run(t.Context(), db, rng)
		})
		return errors.Join(err, db.Close())
	})
	if err == nil {
		return came, stopped, false
	}
	if sound(t, "started again", err); fault != rotRest {
		t.Fatalf("started again: %v", err)
	}
	// Recovered from the others.
	into, err := NewImport("db", Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	c.final.Scan(nil, nil, func(k, v []byte) bool { err = errors.Join(err, into.Set(k, v)); return true })
	if _, digest, rerr := into.Read(); errors.Join(err, rerr) != nil || digest != c.hashes[chainLength] {
		t.Fatalf("the state is imported with digest %x, want %x: %v, %v", digest, c.hashes[chainLength], err, rerr)
	}
	if err := errors.Join(into.Commit(chainLength, c.hashes[chainLength]), into.Close()); err != nil {
		t.Fatal(err)
	}
	return came, true, true
}

// sound fails the test unless an error says where it happened and what to do, and is no wrong answer.
func sound(t *testing.T, when string, err error) {
	t.Helper()
	t.Logf("%s: %v", when, err)
	if errors.Is(err, errWrong) {
		t.Fatal(err)
	}
	if !strings.Contains(err.Error(), "state database db: ") || !strings.Contains(err.Error(), "start again") && !strings.Contains(err.Error(), "fusion replica recover") {
		t.Fatalf("%s: the error does not say where it was and what to do: %v", when, err)
	}
}
