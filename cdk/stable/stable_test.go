package stable_test

import (
	"bytes"
	"errors"
	"fmt"
	"sort"
	"testing"

	"fusion/cdk/stable"

	"pgregory.net/rapid"
)

func TestMapAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keyMax := rapid.SampledFrom([]int{3, 40, 255}).Draw(t, "keyMax")
		valMax := rapid.SampledFrom([]int{0, 5, 600, 3000}).Draw(t, "valMax")
		mem := &stable.Heap{}
		m, err := stable.OpenMap(mem, keyMax, valMax)
		if err != nil {
			t.Fatal(err)
		}
		model := map[string]string{}
		key := func(label string) []byte {
			// Few distinct keys, so that deletions hit; long keys exercise inner splits.
			n := rapid.IntRange(0, 400).Draw(t, label)
			k := fmt.Appendf(nil, "%03d", n)
			if keyMax > 3 {
				k = append(bytes.Repeat([]byte{'k'}, n%(keyMax-3)), k...)
			}
			return k
		}
		for range rapid.IntRange(1, 60).Draw(t, "batches") {
			switch rapid.IntRange(0, 5).Draw(t, "op") {
			case 0, 1:
				k, v := key("k"), bytes.Repeat([]byte{byte(len(model))}, rapid.IntRange(0, valMax).Draw(t, "len"))
				if err := m.Set(k, v); err != nil {
					t.Fatal(err)
				}
				model[string(k)] = string(v)
			case 2: // a run, which splits leaves
				lo := rapid.IntRange(0, 300).Draw(t, "lo")
				for i := range rapid.IntRange(1, 100).Draw(t, "run") {
					k := fmt.Appendf(nil, "%03d", lo+i)
					if err := m.Set(k, nil); err != nil {
						t.Fatal(err)
					}
					model[string(k)] = ""
				}
			case 3: // a run of deletions, which empties leaves
				lo := rapid.IntRange(0, 300).Draw(t, "lo")
				for i := range rapid.IntRange(1, 200).Draw(t, "run") {
					k := fmt.Sprintf("%03d", lo+i)
					_, want := model[k]
					if got := m.Delete([]byte(k)); got != want {
						t.Fatalf("delete %s: %v, want %v", k, got, want)
					}
					delete(model, k)
				}
			case 4:
				k := key("k")
				want, present := model[string(k)]
				if got, ok := m.Get(k, nil); ok != present || string(got) != want || m.Has(k) != present {
					t.Fatalf("get %q: %q %v, want %q %v", k, got, ok, want, present)
				}
			case 5: // reopen
				if m, err = stable.OpenMap(mem, keyMax, valMax); err != nil {
					t.Fatal(err)
				}
			}
		}
		checkOrder(t, m, model, key("from"))
		checkOrder(t, m, model, nil)
	})
}

func checkOrder(t *rapid.T, m *stable.Map, model map[string]string, from []byte) {
	var want []string
	for k := range model {
		if k >= string(from) {
			want = append(want, k)
		}
	}
	sort.Strings(want)
	i := 0
	m.Ascend(from, func(k, v []byte) bool {
		if i >= len(want) || string(k) != want[i] || string(v) != model[want[i]] {
			t.Fatalf("entry %d is %q", i, k)
		}
		i++
		return true
	})
	if i != len(want) || m.Len() != uint64(len(model)) {
		t.Fatalf("visited %d of %d entries; length %d, want %d", i, len(want), m.Len(), len(model))
	}
}

// Keys in order, as a queue by time uses them: appended at one end, deleted at the other.
func TestMapAsQueue(t *testing.T) {
	mem := &stable.Heap{}
	m, err := stable.OpenMap(mem, 8, 8)
	if err != nil {
		t.Fatal(err)
	}
	const window = 5000
	var size uint64
	for i := range 100_000 {
		if err := m.Set(fmt.Appendf(nil, "%08d", i), []byte("x")); err != nil {
			t.Fatal(err)
		}
		if i >= window && !m.Delete(fmt.Appendf(nil, "%08d", i-window)) {
			t.Fatalf("entry %d is missing", i-window)
		}
		if i == 3*window {
			size = mem.Size()
		}
	}
	if m.Len() != window {
		t.Fatalf("%d entries, want %d", m.Len(), window)
	}
	if mem.Size() > size {
		t.Fatalf("grew from %d to %d pages: freed nodes are not used again", size, mem.Size())
	}
}

func TestMapRefusedGrowth(t *testing.T) {
	mem := &stable.Heap{Limit: 3}
	m, err := stable.OpenMap(mem, 8, 100)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; ; n++ {
		if err := m.Set(fmt.Appendf(nil, "%08d", n*7919%100003), bytes.Repeat([]byte{1}, 100)); err != nil {
			if !errors.Is(err, stable.ErrFull) {
				t.Fatal(err)
			}
			break
		}
	}
	seen := 0
	m.Ascend(nil, func(k, v []byte) bool { seen++; return true })
	if seen != n || m.Len() != uint64(n) || n < 100 {
		t.Fatalf("%d entries seen, length %d, %d were accepted", seen, m.Len(), n)
	}
}

func TestBounds(t *testing.T) {
	m, err := stable.OpenMap(&stable.Heap{}, 4, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Set([]byte("12345"), nil); !errors.Is(err, stable.ErrTooLarge) {
		t.Fatalf("long key: %v", err)
	}
	if err := m.Set([]byte("1"), []byte("123")); !errors.Is(err, stable.ErrTooLarge) {
		t.Fatalf("long value: %v", err)
	}
	if _, err := stable.OpenMap(&stable.Heap{}, 256, 0); !errors.Is(err, stable.ErrTooLarge) {
		t.Fatalf("key bound: %v", err)
	}
	mem := &stable.Heap{}
	if _, err := stable.OpenMap(mem, 4, 2); err != nil {
		t.Fatal(err)
	}
	if _, err := stable.OpenMap(mem, 5, 2); !errors.Is(err, stable.ErrCorrupt) {
		t.Fatalf("other bounds: %v", err)
	}
	if _, err := stable.Open(mem); !errors.Is(err, stable.ErrCorrupt) {
		t.Fatalf("manager over a map: %v", err)
	}
}

func TestLogAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mem := &stable.Heap{}
		open := func() (*stable.Log, *stable.Cell) {
			g, err := stable.Open(mem)
			if err != nil {
				t.Fatal(err)
			}
			l, err := stable.OpenLog(g.Memory(0), g.Memory(1))
			if err != nil {
				t.Fatal(err)
			}
			c, err := stable.OpenCell(g.Memory(63))
			if err != nil {
				t.Fatal(err)
			}
			return l, c
		}
		l, c := open()
		var model [][]byte
		var cell []byte
		for range rapid.IntRange(0, 40).Draw(t, "ops") {
			switch rapid.IntRange(0, 3).Draw(t, "op") {
			case 0, 1:
				r := bytes.Repeat([]byte{byte(len(model))}, rapid.SampledFrom([]int{0, 1, 200, 70_000, 1_100_000}).Draw(t, "len"))
				if i, err := l.Append(r); err != nil || i != uint64(len(model)) {
					t.Fatalf("append: %d, %v", i, err)
				}
				model = append(model, r)
			case 2:
				cell = bytes.Repeat([]byte{'c'}, rapid.IntRange(0, 100).Draw(t, "cell"))
				if err := c.Set(cell); err != nil {
					t.Fatal(err)
				}
			case 3:
				l, c = open()
			}
		}
		if l.Len() != uint64(len(model)) || !bytes.Equal(c.Get(nil), cell) {
			t.Fatalf("%d records, want %d; cell %q, want %q", l.Len(), len(model), c.Get(nil), cell)
		}
		for i, want := range model {
			if got := l.Get(uint64(i), []byte("p")); !bytes.Equal(got[1:], want) {
				t.Fatalf("record %d has %d bytes, want %d", i, len(got)-1, len(want))
			}
		}
	})
}

func BenchmarkMap(b *testing.B) {
	m, err := stable.OpenMap(&stable.Heap{}, 62, 32)
	if err != nil {
		b.Fatal(err)
	}
	key := func(i int) []byte { return fmt.Appendf(nil, "%x", uint64(i%1_000_000)*0x9E3779B97F4A7C15) }
	for i := range 1_000_000 {
		if err := m.Set(key(i), make([]byte, 32)); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for i := range b.N {
		k := key(i)
		v, _ := m.Get(k, nil)
		m.Set(k, v)
	}
}
