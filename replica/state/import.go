package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"fusion/internal/kv"
)

// ErrOrder says that the keys of an import do not ascend. It is refused because the accumulator counts what it is given: a key that
// comes twice would stand in the accumulator twice and in the database once.
var ErrOrder = errors.New("keys of an import must ascend")

// Import fills an empty database with another replica's state. Nothing of it counts until Commit: a database whose import was cut short
// has no head, and is to be removed.
type Import struct {
	db    *DB
	batch *pebble.Batch
	last  []byte
	keys  uint64
	done  bool
}

// importBatch is how many bytes are written at once. Lots of more than half a memory table are sorted and written as they are; less would go through
// the table, at several times the cost where keys come in no order.
const importBatch = 40 << 20

// NewImport creates a database in dir, which must hold none with a state.
func NewImport(dir string, opts Options) (*Import, error) {
	db, err := Open(dir, opts)
	if err != nil {
		return nil, err
	}
	empty := db.Head().Height == 0
	db.Reader().Scan(nil, nil, func(_, _ []byte) bool { empty = false; return false })
	if !empty {
		return nil, errors.Join(fmt.Errorf("importing a state into %s: a state is there already", dir), db.Close())
	}
	db.hire(1)
	return &Import{db: db, batch: db.p.NewBatch()}, nil
}

// Set writes a replicated key, which must be above the one before.
func (i *Import) Set(key, value []byte) error {
	if i.keys > 0 && bytes.Compare(key, i.last) <= 0 {
		return fmt.Errorf("%w: %x after %x", ErrOrder, key, i.last)
	}
	i.last = append(i.last[:0], key...)
	i.keys++
	i.db.folders[0].add(&i.db.sum, key, value)
	if err := i.batch.Set(append([]byte{replicated}, key...), value, nil); err != nil {
		return fmt.Errorf("importing key %x: %w", key, err)
	}
	if i.batch.Len() >= importBatch {
		return i.flush()
	}
	return nil
}

// Pair is a key with its value.
type Pair struct{ Key, Value []byte }

// SetAll writes replicated keys in any order, hashing them on all processors. That no key comes twice, here or in Set, is the caller's word.
func (i *Import) SetAll(pairs []Pair) error {
	workers := min(runtime.GOMAXPROCS(0), len(pairs)/64+1)
	sums := make([]sum, workers)
	i.db.hire(workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for _, p := range pairs[len(pairs)*w/workers : len(pairs)*(w+1)/workers] {
				i.db.folders[w].add(&sums[w], p.Key, p.Value)
			}
		})
	}
	wg.Wait()
	for w := range sums {
		i.db.sum.plus(&sums[w])
	}
	for _, p := range pairs {
		i.keys++
		if err := i.batch.Set(append([]byte{replicated}, p.Key...), p.Value, nil); err != nil {
			return fmt.Errorf("importing key %x: %w", p.Key, err)
		}
	}
	if i.batch.Len() >= importBatch {
		return i.flush()
	}
	return nil
}

// CommitGenesis makes what was set the state before the first block, durably.
func (i *Import) CommitGenesis() error { return i.commit(nil) }

// flush writes what was set.
func (i *Import) flush() error {
	if err := i.db.write("importing a state", func() error { return i.batch.Commit(pebble.NoSync) }); err != nil {
		return err
	}
	if err := i.batch.Close(); err != nil {
		return fmt.Errorf("importing a state: %w", err)
	}
	i.batch = i.db.p.NewBatch()
	return nil
}

// Read returns a reader of what was set so far and the digest of it, as Block.Digest would give it.
func (i *Import) Read() (kv.Reader, [32]byte, error) {
	if err := i.flush(); err != nil {
		return nil, [32]byte{}, err
	}
	return i.db.Reader(), i.db.sum.digest(), nil
}

// Commit makes what was set the state after the block of a height, durably. Close is still to be called.
func (i *Import) Commit(height uint64, appHash [32]byte) error {
	if height == 0 {
		return fmt.Errorf("importing a state: block %d", height)
	}
	if err := i.commit(append(binary.BigEndian.AppendUint64(nil, height), appHash[:]...)); err != nil {
		return err
	}
	i.db.head.Store(&Head{Height: height, AppHash: appHash})
	return nil
}

func (i *Import) commit(head []byte) (err error) {
	if i.done {
		return errors.New("importing a state: it was committed before")
	}
	if err := i.flush(); err != nil {
		return err
	}
	// What was written without a sync so far reaches the disk before the head does.
	if err := i.db.write("importing a state", i.db.p.Flush); err != nil {
		return err
	}
	b := i.db.p.NewBatch()
	if head != nil {
		err = b.Set(keyHead, head, nil)
	}
	if err := errors.Join(err, b.Set(keySum, i.db.sum.bytes(), nil)); err != nil {
		return fmt.Errorf("importing a state: %w", err)
	}
	if err := i.db.write("importing a state", func() error { return b.Commit(i.db.sync) }); err != nil {
		return err
	}
	i.done = true
	return b.Close()
}

// Close releases the database. An import that was not committed is to be removed.
func (i *Import) Close() error {
	if i.db.failure.isStuck() {
		return nil // as in DB.Close
	}
	return errors.Join(i.batch.Close(), i.db.Close())
}
