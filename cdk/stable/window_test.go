package stable_test

import (
	"bytes"
	"errors"
	"testing"

	"fusion/cdk/stable"

	"pgregory.net/rapid"
)

// trimmed is a log over windows, and what it must hold.
type trimmed struct {
	mem         *stable.Heap
	log         *stable.Log
	index, data *stable.Window
	records     [][]byte
	first       int
}

func (x *trimmed) open(t interface{ Fatal(...any) }) {
	g, err := stable.Open(x.mem)
	if err != nil {
		t.Fatal(err)
	}
	if x.index, err = stable.OpenWindow(g.Memory(0), g.Memory(2)); err != nil {
		t.Fatal(err)
	}
	if x.data, err = stable.OpenWindow(g.Memory(1), g.Memory(3)); err != nil {
		t.Fatal(err)
	}
	if x.log, err = stable.OpenLog(x.index, x.data); err != nil {
		t.Fatal(err)
	}
}

func (x *trimmed) check(t *rapid.T) {
	if x.log.Len() != uint64(len(x.records)) {
		t.Fatalf("%d records, want %d", x.log.Len(), len(x.records))
	}
	kept := 0
	for i := x.first; i < len(x.records); i++ {
		kept += len(x.records[i])
		if got := x.log.Get(uint64(i), nil); !bytes.Equal(got, x.records[i]) {
			t.Fatalf("record %d of %d bytes differs from what was appended", i, len(x.records[i]))
		}
	}
	if most := uint64(kept/stable.PageSize + 3); x.data.Kept() > most {
		t.Fatalf("%d pages for %d bytes, at most %d are needed", x.data.Kept(), kept, most)
	}
}

// A log over windows is the log that was appended, whatever is forgotten of it and whenever it is opened again.
func TestTrimmedLogAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := &trimmed{mem: &stable.Heap{}}
		x.open(t)
		fill := byte(0)
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				size := rapid.SampledFrom([]int{0, 1, 300, 300, 9000, stable.PageSize, 2*stable.PageSize + 5}).Draw(t, "size")
				for range rapid.IntRange(1, 5).Draw(t, "count") {
					fill++
					r := bytes.Repeat([]byte{fill}, size)
					if _, err := x.log.Append(r); err != nil {
						t.Fatal(err)
					}
					x.records = append(x.records, r)
				}
			},
			"trim": func(t *rapid.T) {
				x.first = rapid.IntRange(x.first, len(x.records)).Draw(t, "first")
				if err := x.log.Trim(uint64(x.first)); err != nil {
					t.Fatal(err)
				}
			},
			"open": func(t *rapid.T) { x.open(t) },
			"":     func(t *rapid.T) { x.check(t) },
		})
	})
}

// What was forgotten makes room: a log of any length lives in the pages that its kept records need. The index, too, forgets.
func TestTrimmedLogUsesPagesAgain(t *testing.T) {
	x := &trimmed{mem: &stable.Heap{}}
	x.open(t)
	record := make([]byte, 200)
	size := uint64(0)
	for i := range uint64(100_000) {
		if _, err := x.log.Append(record); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 999 && i > 2000 {
			if err := x.log.Trim(i - 1000); err != nil {
				t.Fatal(err)
			}
		}
		if i == 20_000 {
			size = x.mem.Size()
		}
	}
	if x.mem.Size() != size || x.index.Kept() > 3 || x.data.Kept() > 12 {
		t.Fatalf("%d pages after 20,000 records and %d after 100,000; %d and %d are kept", size, x.mem.Size(), x.index.Kept(), x.data.Kept())
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Fatal("a forgotten record was read")
			}
		}()
		x.log.Get(1000, nil)
	}()
}

func TestWindowRefusesOtherBytes(t *testing.T) {
	m, table := &stable.Heap{}, &stable.Heap{}
	m.Grow(3)
	w, err := stable.OpenWindow(m, table)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Trim(2 * stable.PageSize); err != nil {
		t.Fatal(err)
	}
	for at, b := range map[uint64]byte{0: 'X', 8: 200, 16: 2, 20: 3} {
		bad := table.Clone()
		bad.Write(at, []byte{b})
		if _, err := stable.OpenWindow(m, bad); !errors.Is(err, stable.ErrCorrupt) {
			t.Errorf("byte %d: %v", at, err)
		}
	}
	if _, err := stable.OpenWindow(m, table); err != nil {
		t.Fatal(err)
	}
	l, err := stable.OpenLog(&stable.Heap{}, &stable.Heap{})
	if err == nil {
		err = l.Trim(1)
	}
	if err == nil {
		t.Error("a log over plain memories forgot")
	}
}
