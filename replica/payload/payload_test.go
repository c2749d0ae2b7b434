package payload

import (
	"bytes"
	"errors"
	"testing"
)

func TestBuilderAndParseAgree(t *testing.T) {
	b := NewBuilder(5 << 20)
	for _, k := range []Kind{Ingress, Signature, Beacon, Ingress, DKG} {
		if !b.Add(k, []byte{byte(k), 7}) {
			t.Fatalf("%v does not fit an empty block", k)
		}
	}
	if b.Add(Ingress, make([]byte, 1<<20)) {
		t.Error("ingress passed its quota")
	}
	big := make([]byte, 3_900_000)
	if !b.Add(Bitcoin, big) || b.Add(Bitcoin, []byte{1}) {
		t.Error("a block takes one Bitcoin item, also a large one")
	}
	items, err := Parse(b.Items())
	if err != nil || len(items) != 6 || items[0].Kind != Beacon || items[5].Kind != Ingress {
		t.Fatalf("%d items, %v", len(items), err)
	}
}

func TestBuilderHonoursTheBlockLimit(t *testing.T) {
	b := NewBuilder(1000)
	n := 0
	for b.Add(Ingress, make([]byte, 91)) {
		n++
	}
	if n != 10 || b.Room(Ingress) != 0 {
		t.Errorf("%d items of 100 bytes in a block of 1000, room %d", n, b.Room(Ingress))
	}
}

func TestOneLargeIngressFits(t *testing.T) {
	b := NewBuilder(5 << 20)
	if !b.Add(Ingress, make([]byte, 2<<20)) || b.Add(Ingress, []byte{1}) {
		t.Error("want one message of 2 MiB and nothing beside it")
	}
	if _, err := Parse(b.Items()); err != nil {
		t.Error(err)
	}
}

func TestParseRefuses(t *testing.T) {
	many := make([][]byte, Quotas[Ingress].Count+1)
	for i := range many {
		many[i] = []byte{byte(Ingress), 1}
	}
	for name, txs := range map[string][][]byte{
		"empty item":     {{}},
		"no body":        {{byte(Ingress)}},
		"unknown kind":   {{byte(kinds), 1}},
		"kind zero":      {{0, 1}},
		"out of order":   {{byte(Ingress), 1}, {byte(Beacon), 1}},
		"too many":       many,
		"too large":      {append([]byte{byte(Beacon)}, make([]byte, 16<<10)...)},
		"ingress of 3MB": {append([]byte{byte(Ingress)}, make([]byte, 3<<20)...)},
	} {
		if _, err := Parse(txs); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{1, 2, 0, 8, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		items, err := Parse(bytes.Split(b, []byte{0}))
		if err != nil {
			return
		}
		rebuilt := NewBuilder(16 << 20)
		for _, it := range items {
			if !rebuilt.Add(it.Kind, it.Body) {
				t.Fatal("a parsed item does not fit a rebuilt block")
			}
		}
	})
}
