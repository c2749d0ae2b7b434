package signing

import (
	"errors"
	"fmt"
	"testing"

	"fusion/chainkey"
)

// TestQueueIsShared: one canister gets half of a key's queue, minters and others three quarters each, and both refusals say so.
func TestQueueIsShared(t *testing.T) {
	minter := []byte("minter")
	fill := func(b *bench, first uint64, canister func(i uint64) []byte) (n uint64) {
		for ; n < 100; n++ {
			err := b.m.Submit(b.s, Request{ID: first + n, Key: k1, Canister: canister(n), Message: chainkey.HashMessage([32]byte{1})})
			if err != nil {
				if !errors.Is(err, ErrQueueFull) {
					t.Fatal(err)
				}
				break
			}
		}
		return n
	}
	one := func(c []byte) func(uint64) []byte { return func(uint64) []byte { return c } }
	many := func(i uint64) []byte { return fmt.Append(nil, "canister ", i) }
	for name, c := range map[string]struct {
		minters [][]byte
		fill    []func(uint64) []byte
		want    []uint64
	}{
		"one alone, then another, then nobody": {nil, []func(uint64) []byte{one([]byte("a")), one([]byte("b")), many}, []uint64{10, 10, 0}},
		"many":                                 {nil, []func(uint64) []byte{many, one([]byte("a"))}, []uint64{20, 0}},
		"many, then the minter":                {[][]byte{minter}, []func(uint64) []byte{many, one(minter)}, []uint64{15, 5}},
		"the minter, then the others":          {[][]byte{minter}, []func(uint64) []byte{one(minter), many}, []uint64{15, 5}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 4)
			b.m.cfg.Minters = c.minters
			b.ready()
			for i, canister := range c.fill {
				if got := fill(b, uint64(i)*1000, canister); got != c.want[i] {
					t.Errorf("step %d: %d requests taken, want %d", i, got, c.want[i])
				}
			}
			// Another key's queue is not touched.
			b.submit(9999, k2)
		})
	}
}

// TestMintersGoFirstAndStarveNobody answers everything as soon as it has a committee, and looks in which order that happens.
func TestMintersGoFirstAndStarveNobody(t *testing.T) {
	for _, parallel := range []int{1, 2} {
		b := newBench(t, 4)
		b.m.cfg.Minters, b.m.cfg.Parallel = [][]byte{{9}}, parallel
		b.ready()
		for id := range uint64(10) { // the others are older
			b.submitBy(id, k1, []byte{1, byte(id)})
		}
		for id := range uint64(10) {
			b.submitBy(100+id, k1, []byte{9})
		}
		var order []string
		for len(order) < 20 && b.height < 200 {
			b.end()
			ids, all := requests(b.s)
			for i, q := range all {
				if q.Status == RequestActive {
					order = append(order, map[bool]string{true: "m", false: "o"}[ids[i] >= 100])
					b.apply(b.result(ids[i]))
				}
			}
		}
		minters := 0
		for i, who := range order {
			if who == "m" {
				minters++
			}
			// While both wait (the minter has ten), of each four in a row one is another's, and never two.
			if i >= 3 && i < 13 {
				others := 0
				for _, w := range order[i-3 : i+1] {
					if w == "o" {
						others++
					}
				}
				if parallel == 1 && others != 1 || others > 2 {
					t.Errorf("%d at once: %v, at %d", parallel, order, i)
				}
			}
		}
		if minters != 10 || len(order) != 20 {
			t.Errorf("%d at once: %v", parallel, order)
		}
	}
}

// TestSlotsAreSpreadOverCanisters: with two slots and one canister's crowd in front, the second slot is another canister's.
func TestSlotsAreSpreadOverCanisters(t *testing.T) {
	b := newBench(t, 4)
	b.ready()
	for id := range uint64(10) {
		b.submitBy(id, k1, []byte{1})
	}
	b.submitBy(50, k1, []byte{2})
	for range 4 {
		b.end()
	}
	if b.request(0).Status != RequestActive || b.request(50).Status != RequestActive {
		t.Errorf("%v, %v", b.request(0).Status, b.request(50).Status)
	}
}
