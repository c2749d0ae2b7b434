package utxo

import (
	"hash/maphash"
	"math/bits"
)

// table finds the first of a list by the list's tag, as a map does; a look at it is one at memory, which can be done ahead (touch). Open addressing, linear probing,
// at most half full. The zero value is empty. Several goroutines may look while nobody writes.
type table[T any] struct {
	slots []slot[T] // a power of two, or none
	used  int
	seeds [2]uint64 // of this process alone: whoever makes tags cannot know which ones share a slot
}

type slot[T any] struct {
	tag  uint64
	list *T // nil where the slot is free
}

const leastSlots = 64

// home is where a tag's slot is, unless others had it first.
func (t *table[T]) home(tag uint64) int {
	high, low := bits.Mul64(tag^t.seeds[0], t.seeds[1])
	return int((high ^ low) & uint64(len(t.slots)-1))
}

// at is the tag's slot, or the free one where it would be. There are slots.
func (t *table[T]) at(tag uint64) int {
	i := t.home(tag)
	for t.slots[i].list != nil && t.slots[i].tag != tag {
		i = (i + 1) & (len(t.slots) - 1)
	}
	return i
}

func (t *table[T]) get(tag uint64) *T {
	if len(t.slots) == 0 {
		return nil
	}
	return t.slots[t.at(tag)].list
}

// touch reads what get will read first, so that it is at hand by then. What it returns means nothing.
func (t *table[T]) touch(tag uint64) uint64 {
	if len(t.slots) == 0 {
		return 0
	}
	return t.slots[t.home(tag)].tag
}

// set stores what is not nil.
func (t *table[T]) set(tag uint64, list *T) {
	if 2*t.used >= len(t.slots) {
		t.grow()
	}
	s := &t.slots[t.at(tag)]
	if s.list == nil {
		t.used++
	}
	*s = slot[T]{tag, list}
}

func (t *table[T]) grow() {
	old := t.slots
	if t.slots = make([]slot[T], max(2*len(old), leastSlots)); old == nil {
		seed := maphash.MakeSeed()
		t.seeds = [2]uint64{maphash.Comparable(seed, 0), maphash.Comparable(seed, 1) | 1}
	}
	for _, s := range old {
		if s.list != nil {
			t.slots[t.at(s.tag)] = s
		}
	}
}

// remove forgets a tag. The slots behind it move up, so that there is no gap between one and its home.
func (t *table[T]) remove(tag uint64) {
	if len(t.slots) == 0 {
		return
	}
	gap := t.at(tag)
	if t.slots[gap].list == nil {
		return
	}
	t.used--
	last := len(t.slots) - 1
	for i := (gap + 1) & last; t.slots[i].list != nil; i = (i + 1) & last {
		if home := t.home(t.slots[i].tag); (i-home)&last >= (i-gap)&last {
			t.slots[gap] = t.slots[i]
			gap = i
		}
	}
	t.slots[gap] = slot[T]{}
}

// unchain drops a reference from the list of a tag.
func (t *table[T]) unchain(tag uint64, ref *T, next func(*T) **T) {
	head := t.get(tag)
	if head == ref {
		if head = *next(ref); head == nil {
			t.remove(tag)
		} else {
			t.set(tag, head)
		}
		return
	}
	for at := head; at != nil; at = *next(at) {
		if *next(at) == ref {
			*next(at) = *next(ref)
			return
		}
	}
}
