package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
)

// bulk is what those wrote who said what was there before. It is mostly much, in the order of its keys, and not read again in the block: so it is
// kept without the index that reading takes, until somebody reads within it. What the batch beside it says of the same keys was said before: touching one
// of them otherwise reads it first.
type bulk struct {
	ops      []byte      // as they stand in a batch
	count    uint32      // of operations
	some     atomic.Bool // whether there are any
	runs     []run
	joined   bool // a run that is not in the order of its keys stands for others
	parted   bool // the next key begins a run
	indexing sync.Mutex
}

// run is a range of keys that were written in their order.
type run struct {
	first, last []byte
	at          int // where its operations begin
}

// maxRuns bounds what is compared with each key that is read.
const maxRuns = 16

// expect makes room for operations of so many bytes.
func (k *bulk) expect(bytes int) {
	if k.parted = true; k.count == 0 && cap(k.ops) < bytes {
		k.ops = make([]byte, 0, bytes)
	}
}

// set and erase write a key, which ends with what is given of it.
func (k *bulk) set(key, value []byte) {
	k.begin(pebble.InternalKeyKindSet, key)
	k.ops = append(binary.AppendUvarint(k.ops, uint64(len(value))), value...)
}

func (k *bulk) erase(key []byte) { k.begin(pebble.InternalKeyKindDelete, key) }

func (k *bulk) begin(kind pebble.InternalKeyKind, key []byte) {
	if !k.some.Load() {
		k.runs, k.joined = nil, false
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
		k.runs, k.joined = append(k.runs[:0], all), true
	}
	k.runs = append(k.runs, run{bytes.Clone(key), bytes.Clone(key), len(k.ops)})
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

// behind puts the operations of a batch, and then those of the bulk, which is used up, into an empty one.
func (k *bulk) behind(batch, into *pebble.Batch) error {
	before := batch.Repr()[batchrepr.HeaderLen:]
	data := make([]byte, batchrepr.HeaderLen, batchrepr.HeaderLen+len(before)+len(k.ops))
	batchrepr.SetCount(data, batch.Count()+k.count)
	data = append(append(data, before...), k.ops...)
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
	none, bulk := b.db.p.NewBatch(), b.db.p.NewBatch() // to ask an empty batch for its bytes writes into it, so the old one is not asked
	if err := errors.Join(b.bulk.behind(none, bulk), all.Apply(old, nil), all.Apply(bulk, nil), bulk.Close(), none.Close()); err != nil {
		panic(fmt.Errorf("block: making what was written readable: %w", err))
	}
	b.batch.Store(all) // the old one is left to those who read it
	b.bulk.some.Store(false)
}
