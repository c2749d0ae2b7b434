package hashtree

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The worked example of the interface specification, section "Certification".
const (
	specTree   = "8301830183024161830183018302417882034568656c6c6f810083024179820345776f726c6483024162820344676f6f648301830241638100830241648203476d6f726e696e67"
	specRoot   = "eb5c5b2195e62d996b84c9bcc8259d19a83786a2f59e0878cec84c811f669aa0"
	specPruned = "83018301830241618301820458201b4feff9bef8131788b0c9dc6dbad6e81e524249c879e9f10f71ce3749f5a63883024179820345776f726c6483024162820458207b32ac0c6ba8ce35ac82c255fc7906f7fc130dab2a090f80fe12f9c2cae83ba6830182045820ec8324b8a1f1ac16bd2e806edba78006479c9877fed4eb464a25485465af601d830241648203476d6f726e696e67"
)

func TestSpecExample(t *testing.T) {
	for _, enc := range []string{specTree, specPruned} {
		n, err := Decode(unhex(t, enc))
		if err != nil {
			t.Fatal(err)
		}
		if d := n.Digest(); hex.EncodeToString(d[:]) != specRoot {
			t.Errorf("root is %x, want %s", d, specRoot)
		}
		if err := WellFormed(n); err != nil {
			t.Error(err)
		}
		if got := hex.EncodeToString(Encode(n)); got != enc {
			t.Errorf("encodes to %s", got)
		}
	}
	n, _ := Decode(unhex(t, specPruned))
	for path, want := range map[string]struct {
		res   Result
		value string
	}{
		"a/a": {Unknown, ""}, "a/y": {Found, "world"}, "aa": {Absent, ""}, "ax": {Absent, ""}, "b": {Unknown, ""}, "bb": {Unknown, ""},
		"d": {Found, "morning"}, "e": {Absent, ""}, "a": {Error, ""}, "a/y/z": {Absent, ""}, "a/z": {Absent, ""},
	} {
		res, value := LookupText(n, strings.Split(path, "/")...)
		if res != want.res || string(value) != want.value {
			t.Errorf("%s: %v %q, want %v %q", path, res, value, want.res, want.value)
		}
	}
	full, _ := Decode(unhex(t, specTree))
	if res, _ := LookupText(full, "c"); res != Absent {
		t.Errorf("c: %v, want absent: it is there but empty", res)
	}
	var all []string
	if err := Leaves(full, func(p [][]byte, v []byte) error {
		all = append(all, fmt.Sprintf("%s=%s", bytes.Join(p, []byte("/")), v))
		return nil
	}); err != nil || strings.Join(all, " ") != "a/x=hello a/y=world b=good d=morning" {
		t.Errorf("leaves: %v %v", all, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	deep := append(bytes.Repeat([]byte{0x83, 0x02, 0x41, 0x61}, MaxDepth+1), 0x81, 0x00)
	for name, c := range map[string]struct {
		in   []byte
		want error
	}{
		"nothing":      {nil, ErrMalformed},
		"trailing":     {[]byte{0x81, 0, 0}, ErrMalformed},
		"short hash":   {[]byte{0x82, 4, 0x41, 1}, ErrMalformed},
		"unknown tag":  {[]byte{0x81, 5}, ErrMalformed},
		"wrong fields": {[]byte{0x82, 0, 0}, ErrMalformed},
		"cut":          {unhex(t, specTree)[:40], ErrMalformed},
		"deep":         {deep, ErrTooDeep},
	} {
		if _, err := Decode(c.in); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestWellFormedRefuses(t *testing.T) {
	a, b := &Labeled{[]byte("a"), Leaf("1")}, &Labeled{[]byte("b"), Leaf("2")}
	for name, n := range map[string]Node{
		"order":     &Fork{b, a},
		"duplicate": &Fork{a, a},
		"leaf":      &Fork{a, Leaf("x")},
		"below":     &Labeled{[]byte("x"), &Fork{b, a}},
	} {
		if err := WellFormed(n); !errors.Is(err, ErrNotCanonical) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := WellFormed(&Fork{a, &Fork{Empty{}, b}}); err != nil {
		t.Error(err)
	}
}

// model is the naive Map: values by joined path.
type model map[string]string

func key(path [][]byte) string { return string(bytes.Join(path, []byte{0xff, 0xfe})) }

func (m model) insert(path [][]byte, v string) {
	m.remove(path)
	for i := range path {
		delete(m, key(path[:i+1]))
	}
	m[key(path)] = v
}

func (m model) remove(path [][]byte) {
	for k := range m {
		if k == key(path) || strings.HasPrefix(k, key(path)+"\xff\xfe") {
			delete(m, k)
		}
	}
}

func (m model) below(path [][]byte) (n int) {
	for k := range m {
		if strings.HasPrefix(k, key(path)+"\xff\xfe") {
			n++
		}
	}
	return n
}

func randomPath(r *rand.Rand) [][]byte {
	path := make([][]byte, 1+r.IntN(3))
	for i := range path {
		label := make([]byte, r.IntN(4))
		for j := range label {
			label[j] = []byte{0, 1, 'a', 'b', 0x80, 0xf0}[r.IntN(6)]
		}
		path[i] = label
	}
	return path
}

// Random changes agree with a naive model; equal content gives an equal root whatever the way there; a witness has the map's
// root and answers every question it was asked.
func TestMapAgainstModel(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		var m *Map
		mod := model{}
		for step := range 120 {
			p := randomPath(r)
			before, beforeRoot := m, m.Digest()
			if r.IntN(3) > 0 {
				v := fmt.Sprint(step)
				m = m.Insert(p, []byte(v))
				mod.insert(p, v)
			} else {
				m = m.Delete(p)
				mod.remove(p)
			}
			if before.Digest() != beforeRoot {
				t.Fatal("an old map changed")
			}
			if m.Len() != len(mod) {
				t.Fatalf("seed %d: %d values, model has %d", seed, m.Len(), len(mod))
			}
		}
		var again *Map
		keys := make([]string, 0, len(mod))
		for k, v := range mod {
			path := bytes.Split([]byte(k), []byte{0xff, 0xfe})
			again = again.Insert(path, []byte(v))
			keys = append(keys, k)
			if got, ok := m.Get(path...); !ok || string(got) != v {
				t.Fatalf("seed %d: %q is %q, want %q", seed, k, got, v)
			}
		}
		if again.Digest() != m.Digest() {
			t.Fatalf("seed %d: the root depends on history", seed)
		}
		if full := m.Witness([][]byte{}); full.Digest() != m.Digest() || WellFormed(full) != nil {
			t.Fatalf("seed %d: revealed map: %v", seed, WellFormed(full))
		}
		for range 20 {
			paths := make([][][]byte, r.IntN(6))
			for i := range paths {
				paths[i] = randomPath(r)
				if r.IntN(2) == 0 && len(keys) > 0 {
					paths[i] = bytes.Split([]byte(keys[r.IntN(len(keys))]), []byte{0xff, 0xfe})
				}
			}
			checkWitness(t, m, mod, paths)
		}
	}
}

func checkWitness(t *testing.T, m *Map, mod model, paths [][][]byte) {
	t.Helper()
	w, err := Decode(Encode(m.Witness(paths...)))
	if err != nil {
		t.Fatal(err)
	}
	if w.Digest() != m.Digest() || WellFormed(w) != nil {
		t.Fatalf("witness of %q: root %x, want %x; %v", paths, w.Digest(), m.Digest(), WellFormed(w))
	}
	for _, p := range paths {
		v, there := mod[key(p)]
		res, got := Lookup(w, p...)
		switch {
		case there:
			if res != Found || string(got) != v {
				t.Fatalf("%q: %v %q, want %q", p, res, got, v)
			}
		case mod.below(p) > 0:
			sub, _ := Descend(w, p...)
			n := 0
			_ = Leaves(sub, func([][]byte, []byte) error { n++; return nil })
			if res != Error || n != mod.below(p) {
				t.Fatalf("%q: %v with %d values below, want %d", p, res, n, mod.below(p))
			}
		case res != Absent:
			t.Fatalf("%q: %v, want absent", p, res)
		}
	}
	_ = Leaves(w, func(p [][]byte, v []byte) error {
		if !slices.ContainsFunc(paths, func(q [][]byte) bool {
			return strings.HasPrefix(key(p)+"\xff\xfe", key(q)+"\xff\xfe") || strings.HasPrefix(key(q)+"\xff\xfe", key(p)+"\xff\xfe")
		}) {
			t.Fatalf("witness of %q reveals %q", paths, p)
		}
		return nil
	})
}

func TestEachIsOrdered(t *testing.T) {
	var m *Map
	labels := []string{"b", "", "ab", "a", "abc", "\x00", "a\x00", "\xff", "aa"}
	for _, l := range labels {
		m = m.Insert(Path(l), []byte(l))
	}
	slices.Sort(labels)
	var got []string
	m.Each(func(l, _ []byte, _ *Map) bool { got = append(got, string(l)); return true })
	if !slices.Equal(got, labels) {
		t.Errorf("%q, want %q", got, labels)
	}
}

func TestInsertMap(t *testing.T) {
	sub := (*Map)(nil).Insert(Path("status"), []byte("replied")).Insert(Path("reply"), []byte("x"))
	var want *Map
	want = want.Insert(Path("r", "1", "status"), []byte("replied")).Insert(Path("r", "1", "reply"), []byte("x"))
	m := (*Map)(nil).InsertMap(Path("r", "1"), sub)
	if m.Digest() != want.Digest() || m.Sub(Path("r", "1")...).Digest() != sub.Digest() {
		t.Error("a map inserted whole differs from its values inserted one by one")
	}
	if m = m.InsertMap(Path("r", "1"), nil); m != nil {
		t.Error("an emptied map is not nil")
	}
	if root := m.Witness(Path("x")).Digest(); root != m.Digest() {
		t.Error("witness of the empty map")
	}
}

func TestConcurrentDigest(t *testing.T) {
	m := bigMap(2000)
	want := bigMap(2000).Digest()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if m.Digest() != want {
				t.Error("digest differs")
			}
		})
	}
	wg.Wait()
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{specTree, specPruned, "8100", "820341ff", "8302416181008100"} {
		b, _ := hex.DecodeString(s)
		f.Add(b, []byte("a"))
	}
	f.Fuzz(func(t *testing.T, b, label []byte) {
		n, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(Encode(n))
		if err != nil || again.Digest() != n.Digest() {
			t.Fatalf("%x does not survive encoding: %v", b, err)
		}
		_ = WellFormed(n)
		Lookup(n, label, label)
	})
}

func bigMap(n int) *Map {
	r := rand.New(rand.NewPCG(7, 7))
	m := (*Map)(nil).Insert(Path("time"), []byte("12345678"))
	for range n {
		id := make([]byte, 32)
		for i := range id {
			id[i] = byte(r.Uint32())
		}
		m = m.Insert([][]byte{[]byte("request_status"), id, []byte("status")}, []byte("replied")).
			Insert([][]byte{[]byte("request_status"), id, []byte("reply")}, []byte("DIDL\x00\x01\x7d\x01"))
	}
	return m
}

func BenchmarkInsertStatus(b *testing.B) {
	m := bigMap(50_000)
	m.Digest()
	id := make([]byte, 32)
	status := (*Map)(nil).Insert(Path("status"), []byte("replied")).Insert(Path("reply"), []byte("DIDL\x00\x01\x7d\x01"))
	b.ReportAllocs()
	r := rand.New(rand.NewPCG(3, 3))
	for i := 0; b.Loop(); i++ {
		for j := range id {
			id[j] = byte(r.Uint32())
		}
		m.InsertMap([][]byte{[]byte("request_status"), bytes.Clone(id)}, status).Digest()
	}
}

func BenchmarkWitness(b *testing.B) {
	m := bigMap(50_000)
	m.Digest()
	var id []byte
	m.Sub([]byte("request_status")).Each(func(l, _ []byte, _ *Map) bool { id = l; return false })
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = m.Witness([][]byte{[]byte("time")}, [][]byte{[]byte("request_status"), id}).AppendCBOR(buf[:0])
	}
	b.ReportMetric(float64(len(buf)), "bytes")
}

func BenchmarkDecodeLookup(b *testing.B) {
	m := bigMap(50_000)
	var id []byte
	m.Sub([]byte("request_status")).Each(func(l, _ []byte, _ *Map) bool { id = l; return false })
	buf := Encode(m.Witness([][]byte{[]byte("time")}, [][]byte{[]byte("request_status"), id}))
	path := [][]byte{[]byte("request_status"), id, []byte("reply")}
	b.ReportAllocs()
	for b.Loop() {
		n, err := Decode(buf)
		if err != nil {
			b.Fatal(err)
		}
		n.Digest()
		if res, _ := Lookup(n, path...); res != Found {
			b.Fatal(res)
		}
	}
}
