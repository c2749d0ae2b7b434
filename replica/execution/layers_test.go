package execution

import (
	"bytes"
	"fmt"
	"math/rand"
	"testing"

	"fusion/internal/kv"
)

// TestLayers forks, writes and drops memories at random and compares each with a plain copy, also when read while a block with merges
// is being committed, and after restarts. In the end nothing is left.
func TestLayers(t *testing.T) {
	for seed := range int64(8) {
		rng := rand.New(rand.NewSource(seed))
		store := kv.NewMem()
		var last uint64
		var l layers
		open := func(tops []uint64) {
			if err := l.open(store, &last); err != nil {
				t.Fatal(err)
			}
			for _, id := range tops {
				l.hold(id)
			}
		}
		open(nil)
		type memory struct {
			top    uint64
			frozen bool // a snapshot
			pages  map[byte][]byte
		}
		var all []*memory
		copied := func(m map[byte][]byte) map[byte][]byte {
			c := map[byte][]byte{}
			for k, v := range m {
				c[k] = v
			}
			return c
		}
		for step := range 200 {
			switch n := rng.Intn(10); {
			case n == 0 || len(all) == 0:
				all = append(all, &memory{top: l.add(keyStable, 0), pages: map[byte][]byte{}})
			case n < 3: // snapshot, or a snapshot loaded
				m := all[rng.Intn(len(all))]
				if len(l.chain(m.top)) >= maxLayers {
					break
				}
				up := &memory{top: l.add(keyStable, m.top), pages: copied(m.pages)}
				all = append(all, up)
				if !m.frozen {
					m.frozen = true
				}
			case n < 4:
				i := rng.Intn(len(all))
				l.drop(all[i].top)
				all = append(all[:i], all[i+1:]...)
			case n < 8:
				m := all[rng.Intn(len(all))]
				for range rng.Intn(6) {
					if k, v := byte(rng.Intn(40)), []byte(fmt.Sprint(step, rng.Int())); !m.frozen {
						m.pages[k] = v
						store.Set(layerKey(keyStable, m.top, k), v)
					}
				}
			default:
				l.flush(store)
				var tops []uint64
				for _, m := range all {
					tops = append(tops, m.top)
				}
				open(tops)
			}
			old := store.Clone()
			chains := map[*memory][]uint64{}
			for _, m := range all {
				chains[m] = l.chain(m.top)
			}
			l.sweep(store, 1+rng.Intn(9))
			for i, m := range all {
				for k := range byte(40) {
					reads, at := 0, rng.Intn(maxLayers)
					commit := func(key []byte) ([]byte, bool) { // the block is committed after some reads
						if reads++; reads > at {
							return store.Get(key)
						}
						return old.Get(key)
					}
					if v, _ := layered(commit, keyStable, chains[m], []byte{k}); !bytes.Equal(v, m.pages[k]) {
						t.Fatalf("seed %d, step %d, memory %d: page %d is %q during a commit, want %q", seed, step, i, k, v, m.pages[k])
					}
					if v, _ := layered(store.Get, keyStable, l.chain(m.top), []byte{k}); !bytes.Equal(v, m.pages[k]) {
						t.Fatalf("seed %d, step %d, memory %d: page %d is %q, want %q", seed, step, i, k, v, m.pages[k])
					}
				}
			}
		}
		for len(all) > 1 {
			l.drop(all[0].top)
			all = all[1:]
		}
		for range 2000 {
			l.sweep(store, 1+rng.Intn(9))
		}
		if len(all) == 1 && len(l.all) != 1 {
			t.Errorf("seed %d: one memory is left in %d layers", seed, len(l.all))
		}
		for _, m := range all {
			l.drop(m.top)
		}
		for range 2000 {
			l.sweep(store, 1+rng.Intn(9))
		}
		l.flush(store)
		if left := dump(store); len(l.all) != 0 || len(left) != 0 {
			t.Errorf("seed %d: %d layers and %d bytes are left", seed, len(l.all), len(left))
		}
	}
}
