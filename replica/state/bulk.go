package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// bulk is what those wrote who said what was there before. It is mostly much, in the order of its keys, and not read again in the block: so it is
// kept without the index that reading takes, until somebody reads within it. What the batch beside it says of the same keys was said before: touching one
// of them otherwise reads it first.
type bulk struct {
	ops      []byte      // room for a batch's header and for what the batch beside it says, then operations as they stand in a batch
	room     int         // of ops
	count    uint32      // of operations
	some     atomic.Bool // whether there are any
	runs     []run
	parted   bool // the next key begins a run
	indexing sync.Mutex
}

// run is a range of keys that were written in their order.
type run struct{ first, last []byte }

const (
	// maxRuns bounds what is compared with each key that is read.
	maxRuns = 16
	// batchHeader is in front of a batch's operations: a sequence number of eight bytes, which is set by the database, and how many operations there are, in four
	// (pebble, internal/batchrepr).
	batchHeader = 12
)

// expect makes room for operations of so many bytes behind what the batch says, which has so many.
func (k *bulk) expect(bytes, batch int) {
	if k.parted = true; len(k.ops) == 0 || k.count == 0 && cap(k.ops)-k.room < bytes {
		k.room = batchHeader + 2*batch
		k.ops = make([]byte, k.room, k.room+bytes)
	}
}

// set and erase write a key, which ends with what is given of it.
func (k *bulk) set(key, value []byte) {
	k.begin(pebble.InternalKeyKindSet, key)
	k.ops = append(binary.AppendUvarint(k.ops, uint64(len(value))), value...)
}

func (k *bulk) erase(key []byte) { k.begin(pebble.InternalKeyKindDelete, key) }

func (k *bulk) begin(kind pebble.InternalKeyKind, key []byte) {
	if len(k.ops) == 0 {
		k.expect(0, 0)
	}
	if !k.some.Load() {
		k.runs = nil
		k.some.Store(true)
	}
	k.count++
	k.note(key)
	k.ops = append(binary.AppendUvarint(append(k.ops, byte(kind)), uint64(1+len(key))), replicated)
	k.ops = append(k.ops, key...)
}

// note says that a key is written.
func (k *bulk) note(key []byte) {
	n, parted := len(k.runs), k.parted
	if k.parted = false; n > 0 && !parted && bytes.Compare(key, k.runs[n-1].last) > 0 {
		k.runs[n-1].last = append(k.runs[n-1].last[:0], key...)
		return
	}
	if n == maxRuns { // one that spans them all
		all := k.runs[0]
		for _, r := range k.runs[1:] {
			if bytes.Compare(r.first, all.first) < 0 {
				all.first = r.first
			}
			if bytes.Compare(r.last, all.last) > 0 {
				all.last = r.last
			}
		}
		k.runs = append(k.runs[:0], all)
	}
	k.runs = append(k.runs, run{bytes.Clone(key), bytes.Clone(key)})
}

// holds tells whether the bulk may hold keys from the first to the last, or from the first on where the last is empty.
func (k *bulk) holds(first, last []byte) bool {
	if !k.some.Load() {
		return false
	}
	for _, r := range k.runs {
		if bytes.Compare(first, r.last) <= 0 && (len(last) == 0 || bytes.Compare(r.first, last) <= 0) {
			return true
		}
	}
	return false
}

// behind puts the operations of a batch, and then those of the bulk, which is used up, into an empty one. The bulk's are not copied where there is room for the
// others: they may be much, and a batch is the faster written the fewer keys stand behind greater ones.
func (k *bulk) behind(batch, into *pebble.Batch) error {
	before := batch.Repr()[batchHeader:]
	data := k.ops
	if at := k.room - batchHeader - len(before); at >= 0 {
		data = data[at:]
	} else {
		data = append(make([]byte, batchHeader+len(before), batchHeader+len(before)+len(data)-k.room), data[k.room:]...)
	}
	clear(data[:batchHeader])
	binary.LittleEndian.PutUint32(data[8:], batch.Count()+k.count)
	copy(data[batchHeader:], before)
	k.ops, k.count = nil, 0
	return into.SetRepr(data)
}

// index makes what is in the bulk readable. Others may read the batch meanwhile, of which it therefore makes a new one.
func (b *Block) index() {
	b.bulk.indexing.Lock()
	defer b.bulk.indexing.Unlock()
	if !b.bulk.some.Load() {
		return // another reader was first
	}
	old := b.batch.Load()
	all := b.db.p.NewIndexedBatchWithSize(old.Len() + len(b.bulk.ops))
	none, bulk := b.db.p.NewBatch(), b.db.p.NewBatch()
	if err := errors.Join(b.bulk.behind(none, bulk), all.Apply(old, nil), all.Apply(bulk, nil), bulk.Close(), none.Close()); err != nil {
		panic(fmt.Errorf("block: making what was written readable: %w", err))
	}
	b.batch.Store(all) // the old one is left to those who read it
	b.bulk.some.Store(false)
}
