package execution

import (
	"encoding/binary"
	"fmt"
	"slices"

	"fusion/internal/codec"
	"fusion/internal/kv"
)

// Heaps, stable memories and chunk stores live in layers, so that snapshots share what they have in common with their canister and with
// each other. A layer is a set of pages (or chunks) under its own number, on top of a parent. What a layer does not have is read from its
// parent, and only the layer on top is written. Taking a snapshot gives it the layer on top and the canister a new one above; loading
// a snapshot, into its canister or another one, starts a new layer on top of the snapshot's. Neither copies a page.
//
// A layer that nobody holds and nothing lies on is garbage. One that nobody holds and exactly one other lies on is merged into that one: its
// pages move up where they are not hidden. Both happen a few pages per round (sweepKeys), in an order that depends on the state alone, so
// that a block never waits for the size of a memory. How deep layers lie on each other is bounded by maxLayers.
const (
	keyLayer = 'y' // 64-bit number → layerRecord

	// sweepKeys is how many pages are deleted or moved in a round: each costs reading, hashing and writing it.
	sweepKeys = 512
	// maxLayers bounds how many layers a page is looked for in. Eleven are enough for one canister with all its snapshots; more lie on each
	// other where snapshots are loaded from canister to canister, and for a while after many were deleted.
	maxLayers = 32
)

type layerRecord struct {
	_      struct{} `cbor:",toarray"`
	Kind   byte     // keyHeap, keyStable, keyChunk or keyModulePage
	Parent uint64   // 0 at the bottom
}

type layer struct {
	layerRecord
	holders int      // canisters and snapshots whose layer on top this is
	kids    []uint64 // layers on this one
}

// layers are all layers, by number. 0 is no layer and holds nothing. They belong to the goroutine of Round.
type layers struct {
	all   map[uint64]*layer
	next  *uint64
	dirty map[uint64]struct{} // records to write or to delete
	idle  map[uint64]struct{} // garbage, or to be merged
}

func (l *layers) open(r kv.Reader, next *uint64) (err error) {
	*l = layers{all: map[uint64]*layer{}, next: next, dirty: map[uint64]struct{}{}, idle: map[uint64]struct{}{}}
	kv.ScanPrefix(r, []byte{keyLayer}, func(k, v []byte) bool {
		y := &layer{}
		if err = codec.Unmarshal(v, &y.layerRecord); err == nil && len(k) != 9 {
			err = fmt.Errorf("key %x", k)
		}
		if err != nil {
			err = fmt.Errorf("%w: layer: %w", ErrState, err)
			return false
		}
		l.all[binary.BigEndian.Uint64(k[1:])] = y
		return true
	})
	for id, y := range l.all {
		l.idle[id] = struct{}{} // those that are not leave at the first sweep
		if y.Parent == 0 || err != nil {
			continue
		}
		p := l.all[y.Parent]
		if p == nil || y.Parent >= id {
			return fmt.Errorf("%w: layer %d lies on %d, which is not there", ErrState, id, y.Parent)
		}
		p.kids = append(p.kids, id)
	}
	return err
}

// add makes an empty layer on top of parent (or of nothing) for one holder.
func (l *layers) add(kind byte, parent uint64) uint64 {
	*l.next++
	id := *l.next
	l.all[id] = &layer{layerRecord: layerRecord{Kind: kind, Parent: parent}, holders: 1}
	l.dirty[id] = struct{}{}
	if parent != 0 {
		p := l.at(parent)
		p.kids = append(p.kids, id)
	}
	return id
}

func (l *layers) at(id uint64) *layer {
	y := l.all[id]
	if y == nil {
		panic(fmt.Sprintf("execution: there is no layer %d", id))
	}
	return y
}

// hold counts one more holder of a layer.
func (l *layers) hold(id uint64) {
	if id != 0 {
		l.at(id).holders++
	}
}

// drop counts one holder less.
func (l *layers) drop(id uint64) {
	if id == 0 {
		return
	}
	y := l.at(id)
	if y.holders--; y.holders < 0 {
		panic(fmt.Sprintf("execution: layer %d is given up twice", id))
	}
	l.idle[id] = struct{}{}
}

// renew gives *id up for an empty layer with nothing below.
func (x *Executor) renew(id *uint64, kind byte) {
	x.layers.drop(*id)
	*id = x.layers.add(kind, 0)
}

// fromRound reads what the round has written so far.
func (x *Executor) fromRound(key []byte) ([]byte, bool) { return x.get(x.store, key) }

// chain lists a layer with those under it, the lowest first.
func (l *layers) chain(id uint64) []uint64 {
	var out []uint64
	for ; id != 0; id = l.at(id).Parent {
		out = append(out, id)
	}
	slices.Reverse(out)
	return out
}

func layerKey(kind byte, id uint64, suffix ...byte) []byte {
	k := make([]byte, 0, 9+len(suffix))
	k = binary.BigEndian.AppendUint64(append(k, kind), id)
	return append(k, suffix...)
}

// layered reads a key through a chain. It looks from below, because merging moves what it finds upwards: a reader of committed blocks that
// looks while a block is committed finds a page in its old place or in its new one.
func layered(get func(key []byte) ([]byte, bool), kind byte, chain []uint64, suffix []byte) (value []byte, ok bool) {
	for _, id := range chain {
		if v, found := get(layerKey(kind, id, suffix...)); found {
			value, ok = v, true
		}
	}
	return value, ok
}

// scanLayers visits all keys of a chain, those of the layers on top last, so that what comes later hides what came before.
func scanLayers(r kv.Reader, kind byte, chain []uint64, visit func(suffix, value []byte) bool) {
	for _, id := range chain {
		more := true
		kv.ScanPrefix(r, layerKey(kind, id), func(k, v []byte) bool {
			more = visit(k[9:], v)
			return more
		})
		if !more {
			return
		}
	}
}

// sweep deletes and merges what the layers that became idle hold, as far as "left" keys go.
func (l *layers) sweep(store kv.Store, left int) {
	for _, id := range sortedKeys(l.idle) {
		y := l.all[id]
		switch {
		case left == 0:
			return
		case y == nil || y.holders > 0 || len(y.kids) > 1:
			delete(l.idle, id)
		case len(y.kids) == 0:
			keys := someKeys(store, layerKey(y.Kind, id), left)
			for _, k := range keys {
				store.Delete(k)
			}
			if left -= len(keys); left > 0 {
				l.unlink(id, y)
			}
		default:
			keys := someKeys(store, layerKey(y.Kind, id), left)
			if len(keys) == 0 { // since a block that is committed: readers find everything above
				l.unlink(id, y)
				continue
			}
			left -= len(keys)
			for _, k := range keys {
				up := layerKey(y.Kind, y.kids[0], k[9:]...)
				if _, hidden := store.Get(up); !hidden {
					v, _ := store.Get(k)
					store.Set(up, slices.Clone(v))
				}
				store.Delete(k)
			}
		}
	}
}

// unlink takes an empty layer out from between its parent and its one kid, if it has them.
func (l *layers) unlink(id uint64, y *layer) {
	delete(l.all, id)
	delete(l.idle, id)
	l.dirty[id] = struct{}{}
	if len(y.kids) == 1 {
		l.at(y.kids[0]).Parent = y.Parent
		l.dirty[y.kids[0]] = struct{}{}
	}
	if y.Parent == 0 {
		return
	}
	p := l.at(y.Parent)
	at := slices.Index(p.kids, id)
	if p.kids = slices.Delete(p.kids, at, at+1); len(y.kids) == 1 {
		p.kids = append(p.kids, y.kids[0])
	}
	l.idle[y.Parent] = struct{}{}
}

// someKeys are the first keys with a prefix.
func someKeys(r kv.Reader, prefix []byte, most int) (keys [][]byte) {
	kv.ScanPrefix(r, prefix, func(k, _ []byte) bool {
		keys = append(keys, slices.Clone(k))
		return len(keys) < most
	})
	return keys
}

func (l *layers) flush(store kv.Store) {
	for _, id := range sortedKeys(l.dirty) {
		key := append([]byte{keyLayer}, be64(id)...)
		if y := l.all[id]; y != nil {
			store.Set(key, codec.Marshal(&y.layerRecord))
		} else {
			store.Delete(key)
		}
	}
	clear(l.dirty)
}
