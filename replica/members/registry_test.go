package members

import (
	"bytes"
	"testing"

	"fusion/internal/kv"
	"fusion/replica/genesis"
)

func doc(n int) *genesis.Doc {
	d := &genesis.Doc{}
	for i := range n {
		key := func(kind byte) genesis.Hex { return append(bytes.Repeat([]byte{kind}, 31), byte(i)) }
		d.Nodes = append(d.Nodes, genesis.Node{NodeKey: key(1), ValidatorKey: key(2)})
	}
	return d
}

func TestGenesisIsEpochZero(t *testing.T) {
	s := kv.NewMem()
	if set := Current(s); set.N() != 0 || Count(s) != 0 {
		t.Errorf("before Init there are %v of %d", set, Count(s))
	}
	Init(s, doc(5))
	want := s.Clone()
	Init(s, doc(4)) // a second call changes nothing
	if set := Current(s); !set.Equal(Set{Nodes: []uint32{0, 1, 2, 3, 4}}) || Count(s) != 5 {
		t.Errorf("%v of %d", set, Count(s))
	}
	if w, ok := At(want, 0); !ok || !w.Equal(Current(s)) {
		t.Errorf("%v, %v", w, ok)
	}
	if _, ok := Next(s); ok {
		t.Error("nothing was proposed, and there is a next set")
	}
	if n, ok := Node(s, 3); !ok || !bytes.Equal(n.NodeKey, doc(5).Nodes[3].NodeKey) || !bytes.Equal(n.ValidatorKey, doc(5).Nodes[3].ValidatorKey) {
		t.Errorf("node 3 is %+v, %v", n, ok)
	}
	for _, i := range []int{-1, 5, 1 << 40} {
		if _, ok := Node(s, i); ok {
			t.Errorf("there is a node %d", i)
		}
	}
	if _, ok := At(s, 1); ok {
		t.Error("there is an epoch 1")
	}
}

func TestSizes(t *testing.T) {
	for n, want := range map[int][3]int{1: {0, 0, 1}, 4: {1, 2, 3}, 5: {1, 2, 4}, 6: {1, 2, 5}, 7: {2, 4, 5}, 13: {4, 8, 9}} {
		s := Genesis(doc(n))
		if got := [3]int{s.F(), s.Threshold(), s.Quorum()}; got != want || s.N() != n {
			t.Errorf("n = %d: f, t, quorum are %v, want %v", n, got, want)
		}
		if 2*s.Quorum()-n <= s.F() {
			t.Errorf("n = %d: two quorums may meet in faulty nodes alone", n)
		}
	}
	s := Set{Epoch: 3, Nodes: []uint32{0, 2, 3, 7}}
	for node, want := range map[int]int{0: 0, 1: -1, 2: 1, 7: 3, 8: -1, -1: -1, 1 << 32: -1} {
		if got := s.Seat(node); got != want {
			t.Errorf("node %d sits at %d, want %d", node, got, want)
		}
	}
}
