package utxo

import (
	"math/rand"
	"testing"
)

// A table holds what a map holds, whatever was set and removed before.
func TestTable(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	for _, tags := range []int{1, 40, 5000} {
		var got table[int]
		want := map[uint64]*int{}
		for step := range 60_000 {
			tag := uint64(rng.Intn(tags)) * 0x9e3779b97f4a7c15
			if rng.Intn(5) < 2+step/20_000 { // more is set than removed, then as much, then less
				got.remove(tag)
				delete(want, tag)
			} else {
				v := new(int)
				got.set(tag, v)
				want[tag] = v
			}
			got.touch(tag)
			if got.used != len(want) || got.get(tag) != want[tag] {
				t.Fatalf("of %d tags after %d steps: %d, not %d, or another value of %x", tags, step, got.used, len(want), tag)
			}
		}
		for i := range tags {
			if tag := uint64(i) * 0x9e3779b97f4a7c15; got.get(tag) != want[tag] {
				t.Fatalf("of %d tags: another value of %x", tags, tag)
			}
		}
		if least := max(leastSlots, 4*tags); len(got.slots) > least {
			t.Errorf("%d slots for %d tags", len(got.slots), tags)
		}
		for tag := range want {
			got.remove(tag)
		}
		if got.used != 0 {
			t.Errorf("%d are left of none", got.used)
		}
		for _, s := range got.slots {
			if s.list != nil {
				t.Fatal("a slot of an empty table is taken")
			}
		}
	}
}
