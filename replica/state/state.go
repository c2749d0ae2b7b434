package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"fusion/internal/kv"
	"fusion/internal/pebblelog"
)

// Format is the layout version written into every database; another one is refused by Open.
const Format = 1

// Errors of this package; test with errors.Is.
var (
	// ErrFormat says that the directory holds a database of another layout version.
	ErrFormat = errors.New("state database has another format")
	// ErrNetwork says that the directory belongs to another network.
	ErrNetwork = errors.New("state database belongs to another network")
	// ErrCorrupt says that what was read cannot have been written by this package.
	ErrCorrupt = errors.New("state database is corrupt")
	// ErrClosed is returned by Commit once the database failed or was closed, and by Look once it is being closed.
	ErrClosed = errors.New("state database is closed")
)

// Key spaces. Replicated keys are hashed.
const (
	replicated = 'r'
	internal   = 'i'
)

var (
	keyFormat  = []byte{internal, 'f'}
	keyNetwork = []byte{internal, 'n'}
	keyHead    = []byte{internal, 'h'}
	keySum     = []byte{internal, 's'}
)

// Options of a database. The zero value is what production uses.
type Options struct {
	// FS is the file system; the default is the operating system's.
	FS vfs.FS
	// CacheBytes bounds the block cache and the tables in memory, which take up to 32 MiB of it, or an eighth of 1 GiB. The default is 64 MiB.
	CacheBytes int64
	// Network names the network whose state this is (the genesis hash); an existing database of another one is refused.
	Network [32]byte
	// NoSync leaves out the sync of each commit. It is for simulations in memory only.
	NoSync bool
	// Failed is told why the open database cannot go on, once, in a goroutine of its own: what was committed is on disk, and nothing more will be. The
	// error names the directory and what to do. The default does nothing.
	Failed func(error)

	tablesFrom int // what tests have instead of the constant
}

func (o Options) ensureDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 64 << 20
	}
	if o.tablesFrom == 0 {
		o.tablesFrom = tablesFrom
	}
	if o.Failed == nil {
		o.Failed = func(error) {}
	}
	return o
}

// Head is the last committed block as the database knows it.
type Head struct {
	Height  uint64   // 0 before the first block
	AppHash [32]byte // as given to Commit; zero before the first block
}

// DB is the state of one replica. See the package documentation for who may call what.
type DB struct {
	p       *pebble.DB
	dir     string
	opts    Options
	sync    *pebble.WriteOptions
	tables  *pebble.Options // with all defaults
	head    atomic.Pointer[Head]
	sum     sum       // of the committed state; owned by the goroutine that commits
	folders []*folder // one a goroutine
	room    int       // bytes that the last block's batch took
	pending *Block
	failure failure
	opened  atomic.Bool
	small   bool
	looking sync.RWMutex // held while the state is looked at, and to close it
	closed  bool
}

// Pebble is how Open opens the database, for those who measure beside it. Release ends the caller's hold on the cache, once the database is open.
func (o Options) Pebble() (options *pebble.Options, release func()) {
	o = o.ensureDefaults()
	cache := pebble.NewCache(o.CacheBytes)
	options = &pebble.Options{
		FS: o.FS, Cache: cache, FormatMajorVersion: pebble.FormatNewest, Logger: pebblelog.Logger{}, L0CompactionThreshold: 4,
		// What is written in larger lots is compacted less often.
		MemTableSize: uint64(min(max(o.CacheBytes/8, 16<<20), 64<<20)), LBaseMaxBytes: max(o.CacheBytes, 64<<20),
	}
	if o.CacheBytes >= manyKeys { // what lies in more layers is rewritten less often, and the filters of all layers stay in memory
		options.L0CompactionThreshold, options.L0StopWritesThreshold = 10, 30
		// Half of what coins write is deletions; a table is rewritten early for blocks with hardly anything else.
		options.Experimental.DeletionSizeRatioThreshold = 0.9
	}
	// Most keys that a block writes are new, and Digest asks for each whether it is there.
	for i := range options.Levels {
		options.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		options.Levels[i].IndexBlockSize = 256 << 10 // one block for a table, else each read looks two up
	}
	return options, cache.Unref
}

// manyKeys is the cache of a database with so many keys that what it writes is mostly compaction.
const manyKeys = 512 << 20

// Open opens or creates the database in dir. Errors name the directory and what to do about it.
func Open(dir string, opts Options) (*DB, error) {
	opts = opts.ensureDefaults()
	options, release := opts.Pebble()
	defer release()
	db := &DB{dir: dir, opts: opts, sync: pebble.Sync, failure: newFailure()}
	options.Logger = logger{db: db}
	options.FS = &logFS{opts.FS, db}
	options.EventListener = &pebble.EventListener{
		BackgroundError: db.backgroundError,
		DataCorruption:  func(i pebble.DataCorruptionInfo) { _ = db.fail("reading "+i.Path, i.Details) },
	}
	if opts.NoSync {
		db.sync = pebble.NoSync
	}
	db.tables = options.Clone()
	db.tables.EnsureDefaults()
	var p *pebble.DB
	err := db.write("opening it", func() (err error) {
		if p, err = pebble.Open(dir, options); err != nil {
			return err
		}
		if err := removeNewTables(opts.FS, dir); err != nil { // now that no other process is at it
			return errors.Join(err, p.Close())
		}
		return nil
	})
	if err == nil {
		db.p = p
		if err = caught(db.load); err == nil {
			err = db.checkSmall()
		}
		if err == nil {
			db.opened.Store(true)
			return db, nil
		}
		defer func() { _ = db.Close() }() // the first error tells
	}
	return nil, db.fail("opening it", err)
}

// checkSmall checks a database that is not large. A flipped bit in Pebble's list of tables makes it forget those that were written later.
func (db *DB) checkSmall() error {
	bytes, err := db.p.EstimateDiskUsage([]byte{replicated}, []byte{replicated + 1})
	if db.small = err == nil && bytes <= checkedAtOnce; !db.small {
		return err
	}
	return db.Check(nil)
}

func (db *DB) load() error {
	format, err := db.get(keyFormat)
	if err != nil {
		return err
	}
	if format == nil {
		b := db.p.NewBatch()
		b.Set(keyFormat, binary.BigEndian.AppendUint32(nil, Format), nil)
		b.Set(keyNetwork, db.opts.Network[:], nil)
		db.head.Store(&Head{})
		return db.write("writing", func() error { return b.Commit(db.sync) })
	}
	if len(format) != 4 || binary.BigEndian.Uint32(format) != Format {
		return fmt.Errorf("%w: found %x, this binary writes %d; use the binary that wrote it, or another data directory", ErrFormat, format, Format)
	}
	network, err := db.get(keyNetwork)
	if err != nil {
		return err
	}
	if !bytes.Equal(network, db.opts.Network[:]) {
		return fmt.Errorf("%w: found %x, expected %x; use another data directory", ErrNetwork, network, db.opts.Network)
	}
	h := &Head{}
	head, err := db.get(keyHead)
	if err != nil {
		return err
	}
	if head != nil {
		if len(head) != 40 {
			return fmt.Errorf("%w: head of %d bytes", ErrCorrupt, len(head))
		}
		h.Height = binary.BigEndian.Uint64(head)
		copy(h.AppHash[:], head[8:])
	}
	s, err := db.get(keySum)
	if err != nil {
		return err
	}
	if s != nil || head != nil { // before the first block there is one if something was imported
		if err := db.sum.load(s); err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
	}
	db.head.Store(h)
	return nil
}

func (db *DB) get(key []byte) ([]byte, error) {
	v, closer, err := db.p.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := append([]byte{}, v...)
	return out, closer.Close()
}

// Head returns the last committed block.
func (db *DB) Head() Head { return *db.head.Load() }

// Close releases the database. A pending block is lost, as in a crash.
func (db *DB) Close() error {
	if db.failure.isStuck() {
		return nil
	}
	if db.pending != nil {
		db.pending.Discard()
	}
	return db.close()
}

// Reader reads the last committed state, from any goroutine; each call sees the newest commit.
func (db *DB) Reader() kv.Reader { return reader{db.p, "state", db} }

// Snapshot reads the state as committed now, from any goroutine, until it is closed.
func (db *DB) Snapshot() *Snapshot {
	s := db.p.NewSnapshot()
	return &Snapshot{reader{s, "snapshot", db}, s}
}

// Look calls fn with the state as committed now, in any goroutine. Unlike a Snapshot's, its caller need not be gone when the database is closed: Close waits for fn,
// and after it, or when the database failed, fn is not called.
func (db *DB) Look(fn func(kv.Reader)) (err error) {
	if !db.looking.TryRLock() {
		return ErrClosed
	}
	defer db.looking.RUnlock()
	if db.closed {
		return ErrClosed
	}
	if err := db.Failure(); err != nil {
		return err
	}
	view := db.Snapshot()
	defer func() { err = errors.Join(err, view.Close()) }()
	fn(view)
	return nil
}

// Snapshot is a stable view of one committed block.
type Snapshot struct {
	kv.Reader
	s *pebble.Snapshot
}

// Find implements kv.Finder.
func (s *Snapshot) Find(keys [][]byte, found func(i int, value []byte)) {
	kv.Find(s.Reader, keys, found)
}

// Close releases the snapshot.
func (s *Snapshot) Close() error { return s.s.Close() }

type source interface {
	Get(key []byte) ([]byte, io.Closer, error)
	NewIter(*pebble.IterOptions) (*pebble.Iterator, error)
}

type reader struct {
	s    source
	what string
	db   *DB
}

// unreadable ends a read that failed: the database has failed, and so has whoever reads (see kv.Store).
func (r reader) unreadable(key []byte, err error) {
	panic(r.db.fail(fmt.Sprintf("%s: reading key %x", r.what, key[:min(len(key), 64)]), err))
}

func (r reader) Get(key []byte) ([]byte, bool) {
	v, release := r.borrow(append([]byte{replicated}, key...))
	if v == nil {
		return nil, false
	}
	defer release()
	return append([]byte{}, v...), true
}

// borrow returns a value that may be read until release is called, and nil for none. The key is the database's.
func (r reader) borrow(key []byte) (v []byte, release func()) {
	v, closer, err := r.s.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, func() {}
	}
	if err != nil {
		r.unreadable(key, err)
	}
	if v == nil {
		v = []byte{}
	}
	return v, func() {
		if err := closer.Close(); err != nil {
			r.unreadable(key, err)
		}
	}
}

// Find implements kv.Finder: tables and their indexes are opened once for neighbouring keys.
func (r reader) Find(keys [][]byte, found func(i int, value []byte)) {
	if len(keys) == 0 {
		return
	}
	key := append([]byte{replicated}, keys[0]...)
	it, err := r.s.NewIter(&pebble.IterOptions{LowerBound: bytes.Clone(key), UpperBound: []byte{replicated + 1}, UseL6Filters: true})
	if err != nil {
		r.unreadable(key, err)
	}
	defer func() { // also when found panics
		if err := it.Close(); err != nil {
			r.unreadable(key, err)
		}
	}()
	for i, k := range keys {
		if key = append(key[:1], k...); it.SeekPrefixGE(key) { // a key is its own prefix
			found(i, it.Value())
		} else if it.Error() != nil {
			return
		}
	}
}

func (r reader) Scan(lower, upper []byte, visit func(key, value []byte) bool) {
	opts := &pebble.IterOptions{LowerBound: append([]byte{replicated}, lower...), UpperBound: []byte{replicated + 1}}
	if len(upper) > 0 {
		opts.UpperBound = append([]byte{replicated}, upper...)
	}
	it, err := r.s.NewIter(opts)
	if err != nil {
		r.unreadable(opts.LowerBound, err)
	}
	defer func() { // also when visit panics: what iterates keeps the database from closing
		if err := it.Close(); err != nil {
			r.unreadable(opts.LowerBound, err)
		}
	}()
	for it.First(); it.Valid(); it.Next() {
		if !visit(it.Key()[1:], it.Value()) {
			break
		}
	}
}

// maxRoom bounds what a block's batch begins with, in bytes.
const maxRoom = 8 << 20

// Begin opens the block that follows the head. A block that was begun before and not committed is discarded: a proposal
// may be executed again.
func (db *DB) Begin() *Block {
	if db.pending != nil {
		db.pending.Discard()
	}
	db.pending = &Block{db: db, touched: map[string]before{}}
	db.pending.batch.Store(db.p.NewIndexedBatchWithSize(db.room))
	return db.pending
}

// Block is the pending change set of one block: a kv.Store over the committed state.
type Block struct {
	db      *DB
	batch   atomic.Pointer[pebble.Batch] // what can be read
	bulk    bulk                         // what cannot, yet
	touched map[string]before            // keys whose writer did not say what they held
	told    teller                       // the others
	sum     *sum                         // set by Digest
}

// Get implements kv.Reader.
func (b *Block) Get(key []byte) ([]byte, bool) { return b.reader(key, key).Get(key) }

// Find implements kv.Finder.
func (b *Block) Find(keys [][]byte, found func(i int, value []byte)) {
	if len(keys) > 0 {
		b.reader(keys[0], keys[len(keys)-1]).Find(keys, found)
	}
}

// Scan implements kv.Reader.
func (b *Block) Scan(lower, upper []byte, visit func(key, value []byte) bool) {
	b.reader(lower, upper).Scan(lower, upper, visit)
}

// reader reads the keys from the first to the last, and all from the first on where there is no last.
func (b *Block) reader(first, last []byte) reader {
	if b.bulk.holds(first, last) {
		b.index()
	}
	return reader{b.batch.Load(), "block", b.db}
}

// Expect implements kv.Expecter: a batch that grows to its size would be copied again and again.
func (b *Block) Expect(bytes int) {
	b.bulk.expect(bytes)
}

// before is what a key held when it was first touched.
type before struct {
	known bool // else it is what the key held when the block began
	value []byte
	gone  bool // the latest write deleted the key
}

// Set implements kv.Store.
func (b *Block) Set(key, value []byte) {
	b.touch(key, false)
	b.write(key, value)
}

// SetNew implements kv.Informed.
func (b *Block) SetNew(key, value []byte) {
	if b.again(key, false) {
		b.write(key, value)
		return
	}
	b.told.tell(true, key, value)
	b.bulk.set(key, value)
}

func (b *Block) write(key, value []byte) {
	op := b.batch.Load().SetDeferred(1+len(key), len(value))
	op.Key[0] = replicated
	copy(op.Key[1:], key)
	copy(op.Value, value)
	if err := op.Finish(); err != nil {
		panic(fmt.Errorf("block: writing key %x: %w", key, err))
	}
}

// Delete implements kv.Store.
func (b *Block) Delete(key []byte) {
	b.touch(key, true)
	b.erase(key)
}

// DeleteOld implements kv.Informed.
func (b *Block) DeleteOld(key, old []byte) {
	if b.again(key, true) {
		b.erase(key)
		return
	}
	b.told.tell(false, key, old)
	b.bulk.erase(key)
}

func (b *Block) erase(key []byte) {
	op := b.batch.Load().DeleteDeferred(1 + len(key))
	op.Key[0] = replicated
	copy(op.Key[1:], key)
	if err := op.Finish(); err != nil {
		panic(fmt.Errorf("block: deleting key %x: %w", key, err))
	}
}

// touch notes a write before it is made. Where others said what they wrote, the key may be one of theirs, and what it holds by now is what counts.
func (b *Block) touch(key []byte, gone bool) {
	if b.again(key, gone) {
		return
	}
	was := before{known: b.told.began(), gone: gone}
	if was.known {
		was.value, _ = b.Get(key)
	}
	b.touched[string(key)] = was
}

// again notes another write of a touched key, and tells whether it is one.
func (b *Block) again(key []byte, gone bool) bool {
	b.sum = nil
	was, ok := b.touched[string(key)]
	if ok && was.gone != gone {
		was.gone = gone
		b.touched[string(key)] = was
	}
	return ok
}

// digestShare is how many keys make it worth to hash with another goroutine.
const digestShare = 256

// Digest commits to every replicated key and value as they stand with this block. Lanes add up in any order, so the number of processors changes
// nothing.
func (b *Block) Digest() [32]byte {
	if b.sum == nil {
		keys := slices.Sorted(maps.Keys(b.touched)) // neighbours share blocks on disk
		workers := max(min(runtime.GOMAXPROCS(0), len(keys)/digestShare), 1)
		b.db.hire(workers)
		sums, broken := make([]sum, workers), make([]any, workers)
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				defer func() { broken[w] = recover() }()
				b.fold(b.db.folders[w], &sums[w], keys[len(keys)*w/workers:len(keys)*(w+1)/workers])
			})
		}
		wg.Wait()
		s := b.db.sum
		b.told.addTo(&s)
		for w := range sums {
			if broken[w] != nil { // a read failed: it stops who asked
				panic(broken[w])
			}
			s.plus(&sums[w])
		}
		b.sum = &s
	}
	return b.sum.digest()
}

// hire sees to it that there are so many folders.
func (db *DB) hire(workers int) {
	for len(db.folders) < workers {
		db.folders = append(db.folders, new(folder))
	}
}

// fold adds what the block changes under some keys.
func (b *Block) fold(f *folder, s *sum, keys []string) {
	committed := reader{b.db.p, "state", b.db}
	for _, k := range keys {
		key := append([]byte{replicated}, k...)
		was := b.touched[k]
		release, releaseNow := func() {}, func() {}
		if !was.known {
			was.value, release = committed.borrow(key)
		}
		var now []byte
		if !was.gone { // a deleted key would be looked for in the whole database
			now, releaseNow = b.reader(key[1:], key[1:]).borrow(key)
		}
		if was.value == nil || now == nil || !bytes.Equal(was.value, now) {
			if was.value != nil {
				f.remove(s, key[1:], was.value)
			}
			if now != nil {
				f.add(s, key[1:], now)
			}
		}
		release()
		releaseNow()
	}
}

// Commit makes the block the head. Height must be the one after the head. When it returns an error the block may or may not
// be on disk; the replica must stop and open the database again.
func (b *Block) Commit(height uint64, appHash [32]byte) error {
	db := b.db
	if err := db.Failure(); err != nil {
		return fmt.Errorf("committing block %d: %w", height, err)
	}
	if db.pending != b {
		return fmt.Errorf("committing block %d: %w", height, ErrClosed)
	}
	if want := db.Head().Height + 1; height != want && db.Head().Height != 0 {
		return fmt.Errorf("committing block %d: the next block is %d", height, want)
	}
	b.Digest()
	head := binary.BigEndian.AppendUint64(nil, height)
	head = append(head, appHash[:]...)
	batch := b.batch.Load()
	if err := errors.Join(batch.Set(keyHead, head, nil), batch.Set(keySum, b.sum.bytes(), nil)); err != nil {
		return fmt.Errorf("committing block %d: %w", height, err)
	}
	db.room = min(batch.Len()*5/4, maxRoom)
	all := batch
	commit := func() error { return all.Commit(db.sync) }
	if b.bulk.some.Load() {
		var list []stretch
		if len(b.bulk.ops) >= db.opts.tablesFrom {
			list = b.bulk.stretches()
		}
		if len(list) > 0 {
			commit = func() error { return db.commitTables(batch, list) }
		} else {
			all = db.p.NewBatch()
			if err := b.bulk.behind(batch, all); err != nil {
				return fmt.Errorf("committing block %d: %w", height, err)
			}
		}
	}
	if err := db.write("writing", commit); err != nil {
		return fmt.Errorf("committing block %d: %w", height, err)
	}
	db.sum = *b.sum
	db.head.Store(&Head{Height: height, AppHash: appHash})
	db.pending = nil
	err := batch.Close()
	if all != batch {
		err = errors.Join(err, all.Close())
	}
	if err != nil {
		slog.Warn("closing a committed batch", "height", height, "err", err)
	}
	return nil
}

// Discard drops the block.
func (b *Block) Discard() {
	if b.db.pending == b {
		b.db.pending = nil
		if b.db.failure.isStuck() {
			return // Pebble may still be at it
		}
		if err := b.batch.Load().Close(); err != nil {
			slog.Warn("closing a discarded batch", "err", err)
		}
	}
}

// Compacting tells whether the database rewrites tables beside its owner's work.
func (db *DB) Compacting() bool { return db.p.Metrics().Compact.NumInProgress > 0 }

// Check recomputes the accumulator from every stored key and compares: it finds what changed on disk, and what is missing there. It may be called in any
// goroutine, beside the work of others; pause is called after each so many bytes (checkStep) and may wait. What pause returns ends it.
func (db *DB) Check(pause func(bytes int) error) (err error) {
	view := db.Snapshot()
	defer func() { err = errors.Join(err, view.Close()) }()
	return caught(func() error {
		stored, release := reader{view.s, "check", db}.borrow(keySum)
		defer release()
		var want, s sum
		if stored != nil {
			if err := want.load(stored); err != nil {
				return db.fail("checking it", fmt.Errorf("%w: %w", ErrCorrupt, err))
			}
		}
		var f folder
		var read int
		var stop error
		view.Scan(nil, nil, func(k, v []byte) bool {
			f.add(&s, k, v)
			if read += len(k) + len(v); read >= checkStep && pause != nil {
				stop, read = pause(read), 0
			}
			return stop == nil
		})
		if stop != nil {
			return stop
		}
		if s != want {
			return db.fail("checking it", fmt.Errorf("%w: the stored keys do not add up to the committed accumulator", ErrCorrupt))
		}
		return nil
	})
}

const (
	// checkStep is how many bytes Check reads at a time.
	checkStep = 1 << 20
	// checkedAtOnce is the size of the tables up to which Open checks all, in well under a second. What is larger its owner checks beside the work.
	checkedAtOnce = 32 << 20
)

// Small tells whether Open has checked the whole database.
func (db *DB) Small() bool { return db.small }

// Usage returns the bytes stored under each one-letter or slash-ended key prefix, largest first; it reads everything.
func (db *DB) Usage() []Usage {
	byPrefix := map[string]*Usage{}
	db.Reader().Scan(nil, nil, func(k, v []byte) bool {
		p := string(k[:min(len(k), 1)])
		if i := bytes.IndexByte(k, '/'); i >= 0 && i < 24 {
			p = string(k[:i+1])
		}
		u := byPrefix[p]
		if u == nil {
			u = &Usage{Prefix: p}
			byPrefix[p] = u
		}
		u.Keys++
		u.Bytes += uint64(len(k) + len(v))
		return true
	})
	var out []Usage
	for _, u := range byPrefix {
		out = append(out, *u)
	}
	sort.Slice(out, func(i, j int) bool {
		return out[i].Bytes > out[j].Bytes || out[i].Bytes == out[j].Bytes && out[i].Prefix < out[j].Prefix
	})
	return out
}

// Usage is the space under one key prefix.
type Usage struct {
	Prefix string
	Keys   uint64
	Bytes  uint64
}
