package kv

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

func keys(r Reader, lower, upper []byte) (out []string) {
	r.Scan(lower, upper, func(k, v []byte) bool { out = append(out, fmt.Sprintf("%s=%s", k, v)); return true })
	return out
}

func TestPrefixHidesItsNeighbours(t *testing.T) {
	s := NewMem()
	a, b := Prefix(s, "a/"), Prefix(s, "a0")
	a.Set([]byte("x"), []byte("1"))
	a.Set([]byte("\xff"), []byte("2"))
	b.Set([]byte("y"), []byte("3"))
	if got := fmt.Sprint(keys(a, nil, nil)); got != "[x=1 \xff=2]" {
		t.Errorf("a/ sees %q", got)
	}
	if got := fmt.Sprint(keys(PrefixReader(s, "a/"), []byte("x"), []byte("y"))); got != "[x=1]" {
		t.Errorf("a/ from x to y sees %q", got)
	}
	a.Delete([]byte("x"))
	if _, ok := s.Get([]byte("a/x")); ok {
		t.Error("a deleted key is still there")
	}
}

func TestReadOnlyRefusesWrites(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a reader was written to")
		}
	}()
	ReadOnly(NewMem()).Set([]byte("k"), nil)
}

// PrefixEnd bounds exactly the keys with the prefix.
func TestPrefixEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0xfe, 0xff}), 0, 4)
		prefix, key := b.Draw(t, "prefix"), b.Draw(t, "key")
		s := NewMem()
		s.Set(key, nil)
		found := false
		ScanPrefix(s, prefix, func([]byte, []byte) bool { found = true; return true })
		want := len(key) >= len(prefix) && string(key[:len(prefix)]) == string(prefix)
		if found != want {
			t.Fatalf("prefix %x, key %x: found %v", prefix, key, found)
		}
	})
}

func TestMemMatchesAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, model := NewMem(), map[string]string{}
		for range rapid.IntRange(0, 40).Draw(t, "n") {
			k := rapid.StringN(0, 2, 2).Draw(t, "k")
			if rapid.Bool().Draw(t, "delete") {
				s.Delete([]byte(k))
				delete(model, k)
			} else {
				s.Set([]byte(k), []byte(k+"!"))
				model[k] = k + "!"
			}
			if got := len(keys(s, nil, nil)); got != len(model) {
				t.Fatalf("%d keys, want %d", got, len(model))
			}
		}
	})
}
