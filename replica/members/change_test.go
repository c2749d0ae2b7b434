package members

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"fusion/internal/codec"
	"fusion/internal/kv"
	"fusion/replica/genesis"
)

// network is a registry whose nodes' keys the test has.
type network struct {
	*kv.Mem
	t      *testing.T
	m      *Machine
	hash   [32]byte
	height uint64
	keys   Keys
}

func key(kind string, i int) ed25519.PrivateKey {
	seed := sha256.Sum256(fmt.Appendf(nil, "%s %d", kind, i))
	return ed25519.NewKeyFromSeed(seed[:])
}

func newNetwork(t *testing.T, n int) *network {
	w := &network{Mem: kv.NewMem(), t: t, hash: [32]byte{7}, height: 10}
	w.m = NewMachine(Config{Network: w.hash, ProposalBlocks: 20, JoinBlocks: 30, ReshareBlocks: 40})
	d := &genesis.Doc{}
	for i := range n {
		d.Nodes = append(d.Nodes, genesis.Node{NodeKey: genesis.Hex(key("node", i).Public().(ed25519.PublicKey)),
			ValidatorKey: genesis.Hex(key("validator", i).Public().(ed25519.PublicKey))})
	}
	Init(w, d)
	return w
}

func (w *network) candidate(i int) Candidate {
	return NewCandidate(w.hash, key("node", i), key("validator", i), "10.0.0.9:26656", "node9.example:26657")
}

func (w *network) item(verb Verb, node int, number uint64, body []byte) []byte {
	return Item{Verb: verb, Node: uint32(node), Epoch: Current(w).Epoch, Number: number, Body: body}.Sign(w.hash, key("node", node))
}

func (w *network) propose(node int, c Change) []byte {
	return w.item(Propose, node, NextNumber(w), codec.Marshal(c))
}

// block executes items as a block would, which must take them all, and then opens the store again.
func (w *network) block(items ...[]byte) Event {
	w.t.Helper()
	if err := w.m.CheckAll(w, items); err != nil {
		w.t.Fatal(err)
	}
	w.height++
	for _, it := range items {
		if err := w.m.Apply(w, w.height, it); err != nil {
			w.t.Fatal(err)
		}
	}
	ev := w.m.Advance(w, w.height, func() Keys { return w.keys })
	w.Mem = w.Mem.Clone()
	return ev
}

// approve lets nodes approve the first open proposal, a block each.
func (w *network) approve(list ...int) (last Event) {
	w.t.Helper()
	p := Describe(w).Proposals[0]
	for _, i := range list {
		last = w.block(w.item(Approve, i, p.Number, p.Digest))
	}
	return last
}

func (w *network) sentence(want string) {
	w.t.Helper()
	if s := Describe(w).Sentence; !strings.Contains(s, want) {
		w.t.Errorf("the sentence is %q, want %q in it", s, want)
	}
}

func (w *network) members(epoch uint64, want ...uint32) {
	w.t.Helper()
	if s := Current(w); s.Epoch != epoch || !slices.Equal(s.Nodes, want) {
		w.t.Errorf("the members are %v of epoch %d, want %v of %d", s.Nodes, s.Epoch, want, epoch)
	}
}

func TestOneComesAndOneGoes(t *testing.T) {
	w := newNetwork(t, 4)
	w.block(w.propose(1, Change{Add: []Candidate{w.candidate(4)}}))
	w.sentence("proposal 1, by node 1, to add node 4: 1 of 3 approvals are there (1)")
	w.approve(0)
	if ev := w.approve(3); ev != (Event{}) {
		t.Errorf("acceptance alone is an event: %+v", ev)
	}
	w.sentence("waits for node 4 to catch up")
	if n, ok := Node(w, 4); !ok || !slices.Equal(n.NodeKey, w.candidate(4).NodeKey) {
		t.Errorf("the candidate is unknown: %+v", n)
	}
	if p := Peers(w, w.height); len(p) != 5 || p[4].Role != Joiner || p[4].Gossip != "node9.example:26657" || p[3].Role != Member {
		t.Errorf("peers %+v", p)
	}
	if _, ok := Next(w); ok {
		t.Error("the next set is there before its new node is ready")
	}
	if _, ok := Ask(w, 3); ok {
		t.Error("an old member is asked whether it is ready")
	}
	ready, ok := Ask(w, 4)
	if !ok {
		t.Fatal("nobody asks the new node")
	}
	ev := w.block(ready.Sign(w.hash, key("node", 4)))
	if ev.Reshare == nil || !ev.Reshare.Equal(Set{Epoch: 1, Nodes: []uint32{0, 1, 2, 3, 4}}) {
		t.Fatalf("%+v", ev)
	}
	w.members(0, 0, 1, 2, 3) // the old ones, until all is stored
	w.sentence("being reshared")
	w.block()
	w.keys.Done = true
	if ev := w.block(); ev.Activated == nil || !ev.Activated.Equal(Current(w)) {
		t.Fatalf("%+v", ev)
	}
	w.members(1, 0, 1, 2, 3, 4)
	if Since(w, 1) != w.height {
		t.Errorf("epoch 1 is in force since %d, it is %d", Since(w, 1), w.height)
	}
	w.sentence("5 members in epoch 1, no change goes on")

	// Then node 2 goes. Five need four approvals.
	w.keys = Keys{}
	w.block(w.propose(4, Change{Remove: []uint32{2}}))
	w.approve(0, 1)
	w.sentence("3 of 4")
	w.approve(2)
	if ev := w.block(); ev.Reshare == nil || !ev.Reshare.Equal(Set{Epoch: 2, Nodes: []uint32{0, 1, 3, 4}}) {
		t.Fatalf("%+v", ev)
	}
	w.keys.Done = true
	w.block()
	w.members(2, 0, 1, 3, 4)
	if p := Peers(w, w.height+FarewellBlocks-1); p[2].Role != Departed {
		t.Errorf("node 2 is %v right after it left", p[2].Role)
	}
	if p := Peers(w, w.height+FarewellBlocks); p[2].Role != Forgotten {
		t.Errorf("node 2 is %v long after it left", p[2].Role)
	}
	if err := w.m.Check(w, w.propose(2, Change{})); !errors.Is(err, ErrItem) {
		t.Errorf("node 2 still has a say: %v", err)
	}
	// Its keys are spent, and its number too.
	if err := w.m.Check(w, w.propose(0, Change{Add: []Candidate{w.candidate(2)}})); !errors.Is(err, ErrChange) {
		t.Errorf("keys of a node that left: %v", err)
	}
	w.keys = Keys{}
	w.block(w.propose(0, Change{Add: []Candidate{w.candidate(9)}, Remove: []uint32{0}}))
	w.sentence("replace node 0 by node 5")
}

func TestAChangeIsGivenUp(t *testing.T) {
	add := func(w *network) Change { return Change{Add: []Candidate{w.candidate(4)}} }
	accepted := func(w *network, c Change) { w.block(w.propose(0, c)); w.approve(1, 2) }
	for want, run := range map[string]func(*network){
		"it was not approved within 20 blocks": func(w *network) {
			w.block(w.propose(0, add(w)))
			for range 20 {
				w.block()
			}
		},
		"nodes [1 2] have rejected it": func(w *network) {
			w.block(w.propose(0, add(w)))
			d := Describe(w).Proposals[0].Digest
			w.block(w.item(Reject, 1, 1, d))
			w.sentence("1 of 3")
			w.block(w.item(Reject, 2, 1, d))
		},
		"node 4 has not caught up within 30 blocks": func(w *network) {
			accepted(w, add(w))
			for range 30 {
				w.block()
			}
		},
		"nodes [0 3] have rejected it": func(w *network) { // those who approved may change their minds
			accepted(w, Change{})
			d := Describe(w).Running.Digest
			w.block(w.item(Reject, 0, 1, d))
			if ev := w.block(w.item(Reject, 3, 1, d)); ev.Aborted == "" {
				w.t.Errorf("%+v", ev)
			}
		},
		"not all keys were reshared within 40 blocks": func(w *network) {
			accepted(w, Change{})
			for range 42 {
				w.block()
			}
		},
		"node 3 dealt a wrong share": func(w *network) {
			accepted(w, Change{})
			w.block()
			w.keys.Failed = "node 3 dealt a wrong share"
			w.block()
		},
	} {
		w := newNetwork(t, 4)
		run(w)
		st := Describe(w)
		if !strings.Contains(st.Last, want) || st.Running != nil || len(st.Proposals) > 0 {
			t.Errorf("want %q, got %+v", want, st)
		}
		if _, ok := Next(w); ok {
			t.Errorf("%s: there is still a next set", want)
		}
		w.members(0, 0, 1, 2, 3)
		// The same may be tried again, and a node that was promised a number keeps it.
		w.keys = Keys{}
		w.block(w.propose(2, add(w)))
		w.sentence("proposal 2, by node 2, to add node 4")
	}
}

// A member that proposes again and again keeps nobody from deciding on another's proposal.
func TestOfSeveralProposalsOneGoesOn(t *testing.T) {
	w := newNetwork(t, 5)
	w.block(w.propose(3, Change{}))
	w.block(w.propose(2, Change{Remove: []uint32{4}}))
	for range 3 {
		w.block(w.propose(3, Change{Remove: []uint32{1}}))
	}
	st := Describe(w)
	if len(st.Proposals) != 2 || st.Proposals[0].Number != 2 || st.Proposals[1].Number != 5 {
		t.Fatalf("%+v", st)
	}
	w.approve(0, 1, 4)
	if st = Describe(w); st.Running == nil || st.Running.Number != 2 || len(st.Proposals) != 0 {
		t.Errorf("%+v", st)
	}
	if err := w.m.Check(w, w.propose(3, Change{})); !errors.Is(err, ErrStale) {
		t.Errorf("a second change at once: %v", err)
	}
}

func TestItemsThatDoNotCount(t *testing.T) {
	w := newNetwork(t, 5)
	c := Change{Remove: []uint32{4}}
	w.block(w.propose(0, c))
	d := c.Digest()
	old := w.item(Approve, 1, 1, d)
	for name, b := range map[string][]byte{
		"a stranger's":            Item{Verb: Approve, Node: 1, Number: 1, Body: d}.Sign(w.hash, key("node", 9)),
		"of another network":      Item{Verb: Approve, Node: 1, Number: 1, Body: d}.Sign([32]byte{8}, key("node", 1)),
		"of another epoch":        Item{Verb: Approve, Node: 1, Epoch: 1, Number: 1, Body: d}.Sign(w.hash, key("node", 1)),
		"of another proposal":     w.item(Approve, 1, 2, d),
		"of another change":       w.item(Approve, 1, 1, Change{}.Digest()),
		"the proposer's":          w.item(Approve, 0, 1, d),
		"of no node":              w.item(Approve, 77, 1, d),
		"ready, and nobody asked": w.item(Ready, 1, 1, nil),
		"a proposal's old number": w.item(Propose, 1, 1, codec.Marshal(c)),
		"two come":                w.propose(1, Change{Add: []Candidate{w.candidate(5), w.candidate(6)}}),
		"a stranger goes":         w.propose(1, Change{Remove: []uint32{5}}),
		"a member comes":          w.propose(1, Change{Add: []Candidate{w.candidate(3)}}),
		"no proof of the node key": w.propose(1, Change{Add: []Candidate{func() Candidate {
			c := w.candidate(5)
			c.NodeProof = w.candidate(6).NodeProof
			return c
		}()}}),
		"no proof of the validator key": w.propose(1, Change{Add: []Candidate{func() Candidate {
			c := w.candidate(5)
			c.ValidatorKey = key("validator", 6).Public().(ed25519.PublicKey)
			return c
		}()}}),
		"other addresses than proven": w.propose(1, Change{Add: []Candidate{func() Candidate { c := w.candidate(5); c.Gossip = "10.0.0.8:1"; return c }()}}),
		"an address without port":     w.propose(1, Change{Add: []Candidate{NewCandidate(w.hash, key("node", 5), key("validator", 5), "10.0.0.1", "10.0.0.1:1")}}),
		"garbage":                     []byte("garbage"),
		"a verb that is none":         w.item(9, 1, 1, d),
		"too large":                   make([]byte, MaxItem+1),
	} {
		if err := w.m.Check(w, b); !errors.Is(err, ErrItem) && !errors.Is(err, ErrStale) && !errors.Is(err, ErrChange) {
			t.Errorf("%s was accepted: %v", name, err)
		}
		before := w.Clone()
		if err := w.m.Apply(w, 99, b); err == nil || !same(before, w.Mem) {
			t.Errorf("%s changed the state: %v", name, err)
		}
	}
	if err := w.m.CheckAll(w, [][]byte{old, old}); !errors.Is(err, ErrItem) {
		t.Errorf("one node spoke twice in a block: %v", err)
	}
	w.block(old)
	if err := w.m.Check(w, old); !errors.Is(err, ErrStale) {
		t.Errorf("a replay: %v", err)
	}
	// A network must stay at four at least, and one of four may go only for another.
	four := newNetwork(t, 4)
	if err := four.m.Check(four, four.propose(1, c)); !errors.Is(err, ErrChange) {
		t.Errorf("three members: %v", err)
	}
}

func same(a, b *kv.Mem) bool {
	dump := func(s *kv.Mem) (out []string) {
		s.Scan(nil, nil, func(k, v []byte) bool { out = append(out, fmt.Sprintf("%x=%x", k, v)); return true })
		return out
	}
	return slices.Equal(dump(a), dump(b))
}

func FuzzDecodeItem(f *testing.F) {
	hash := [32]byte{7}
	add := Change{Add: []Candidate{NewCandidate(hash, key("node", 4), key("validator", 4), "a:1", "b:2")}}
	f.Add(Item{Verb: Propose, Number: 1, Body: codec.Marshal(add)}.Sign(hash, key("node", 0)))
	f.Add(Item{Verb: Approve, Node: 1, Number: 1, Body: add.Digest()}.Sign(hash, key("node", 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		it, err := DecodeItem(b)
		if err != nil {
			return
		}
		if c, err := decodeChange(it.Body); err == nil {
			for _, a := range c.Add {
				_ = a.Check(hash)
			}
			_ = c.Digest()
		}
	})
}

// Where the operators decide, all node keys together propose and approve nothing; they may give a change up.
func TestGoverned(t *testing.T) {
	w := newNetwork(t, 4)
	w.m = NewMachine(Config{Network: w.hash, JoinBlocks: 30, ReshareBlocks: 40, Governed: true})
	add := Change{Add: []Candidate{w.candidate(4)}}
	for i := range 4 {
		for _, c := range []Change{add, {Remove: []uint32{2}}, {}} {
			if err := w.m.Check(w, w.propose(i, c)); !errors.Is(err, ErrItem) || !strings.Contains(err.Error(), "the operators do") {
				t.Errorf("node %d proposes: %v", i, err)
			}
		}
	}
	if err := w.m.Apply(w, 1, w.propose(0, Change{})); err == nil || len(Describe(w).Proposals) > 0 {
		t.Errorf("a block with a proposal: %v", err)
	}
	if _, err := w.m.Begin(w, w.height, Change{Add: add.Add, Remove: []uint32{9}}); !errors.Is(err, ErrChange) {
		t.Error(err)
	}
	n, err := w.m.Begin(w, w.height, add)
	if err != nil || n != 1 || NextNumber(w) != 2 {
		t.Fatalf("change %d, %v", n, err)
	}
	w.sentence("waits for node 4 to catch up")
	if _, err := w.m.Begin(w, w.height, Change{}); !errors.Is(err, ErrStale) { // one change, one epoch
		t.Error(err)
	}
	digest := add.Digest()
	if err := w.m.Check(w, w.item(Approve, 0, 1, digest)); !errors.Is(err, ErrItem) {
		t.Error(err)
	}
	w.block(w.item(Reject, 0, 1, digest))
	if ev := w.block(w.item(Reject, 1, 1, digest)); ev.Aborted == "" {
		t.Errorf("%+v", ev)
	}
	if n, err = w.m.Begin(w, w.height, Change{}); err != nil || n != 2 {
		t.Fatal(n, err)
	}
	if ev := w.block(); ev.Reshare == nil || ev.Reshare.Epoch != 1 {
		t.Errorf("%+v", ev)
	}
}
