package machine

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"

	"fusion/chainkey/bls"
	"fusion/replica/genesis"
	"fusion/replica/members"
	"fusion/replica/payload"
)

// handOver lets the members of the epoch in force reshare the subnet's key to the next ones, as blocks carry it.
func (w *network) handOver(shares map[uint32]*bls.SecretShare) map[uint32]*bls.SecretShare {
	w.t.Helper()
	next, _ := members.Next(w.ms[0].MembersReader())
	parts := map[uint32]*bls.Member{}
	for i := range uint32(len(w.ms[0].View().Peers)) {
		seed := sha256.Sum256(fmt.Appendf(nil, "seed %d of epoch %d", i, next.Epoch))
		if old, seat := shares[i], next.Seat(int(i)); old != nil || seat >= 0 {
			parts[i] = bls.NewResharer(seed, seat, old, key(int(i), "node"))
		}
	}
	for range 60 {
		var items []payload.Item
		root := w.ms[0].RootKey()
		if b := root.Board(); b != nil {
			for i := range uint32(len(w.ms[0].View().Peers)) {
				if p := parts[i]; p != nil {
					if it := p.Pending(b); it != nil {
						items = append(items, payload.Item{Kind: payload.DKG, Body: it})
					}
				}
			}
		}
		w.restless(items...)
		if w.ms[0].View().Members.Epoch != next.Epoch {
			continue
		}
		b, err := w.ms[0].FinishedBoard()
		if err != nil {
			w.t.Fatal(err)
		}
		out := map[uint32]*bls.SecretShare{}
		for _, i := range next.Nodes {
			if out[i], err = parts[i].Share(b); err != nil {
				w.t.Fatal(err)
			}
		}
		return out
	}
	w.t.Fatalf("epoch %d is not reached: %s", next.Epoch, w.ms[0].View().Membership.Sentence)
	return nil
}

// restless makes a block, and opens one machine again after it. All machines agree in any case.
func (w *network) restless(items ...payload.Item) {
	w.t.Helper()
	w.block(items...)
	w.close(1)
	w.open(1)
}

// say is the item of a node's word about the membership.
func (w *network) say(node int, it members.Item) payload.Item {
	it.Node = uint32(node)
	return payload.Item{Kind: payload.Membership, Body: it.Sign(w.doc.Hash(), key(node, "node"))}
}

// decide lets the members accept a change.
func (w *network) decide(c members.Change, nodes ...int) {
	w.t.Helper()
	st := w.ms[0].View().Membership
	w.restless(w.say(nodes[0], st.NewProposal(c)))
	for _, i := range nodes[1:] {
		st = w.ms[0].View().Membership
		it, err := st.Say(members.Approve, st.NextNumber-1)
		if err != nil {
			w.t.Fatal(err)
		}
		w.restless(w.say(i, it))
	}
}

// A machine that is opened again after every block goes through changes of the membership like one that never was; the subnet's key stays, its tree shows
// the members, and the validators are told.
func TestMembersChange(t *testing.T) {
	w := newNetwork(t, 4, func(doc *genesis.Doc) { doc.Keys = nil })
	w.found()
	root := w.ms[0].View().RootKeyDER
	shares := map[uint32]*bls.SecretShare{}
	board, err := w.ms[0].FinishedBoard()
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range w.members {
		if shares[uint32(i)], err = m.Share(board); err != nil {
			t.Fatal(err)
		}
	}
	shown := func(node int) bool {
		v := w.ms[0].View()
		n := genesis.Node{NodeKey: genesis.Hex(key(node, "node").Public().(ed25519.PublicKey))}
		got, ok := v.Tree.Get([]byte("subnet"), v.Subnet.Bytes(), []byte("node"), n.NodeID().Bytes(), []byte("public_key"))
		return ok && bytes.Equal(got, n.NodeKeyDER())
	}
	valid := func(by map[uint32]*bls.SecretShare, nodes ...uint32) error {
		v := w.ms[0].View()
		msg := bls.Message(bls.DomainStateRoot, v.Root[:])
		var list []bls.Share
		for _, i := range nodes {
			s, err := by[i].Sign(msg)
			if err != nil {
				return err
			}
			list = append(list, s)
		}
		sig, err := v.Group.Combine(msg, list)
		if err != nil {
			return err
		}
		return v.Group.Verify(msg, sig)
	}

	c := members.NewCandidate(w.doc.Hash(), key(4, "node"), key(4, "validator"), "10.0.0.4:1", "10.0.0.4:2")
	w.decide(members.Change{Add: []members.Candidate{c}}, 3, 0, 1)
	ready, ok := members.Ask(w.ms[0].MembersReader(), 4)
	if !ok || shown(4) {
		t.Fatal("the newcomer is not asked, or shown as a member already")
	}
	w.restless(w.say(4, ready))
	if err := valid(shares, 0, 1, 2); err != nil {
		t.Errorf("the old shares, while the new ones are made: %v", err)
	}
	five := w.handOver(shares)
	if v := w.ms[0].View(); !slices.Equal(v.Members.Nodes, []uint32{0, 1, 2, 3, 4}) || !bytes.Equal(v.RootKeyDER, root) || v.Group.N() != 5 || !shown(4) || !shown(0) {
		t.Errorf("members %v, group of %d", v.Members, v.Group.N())
	}
	if err := valid(five, 0, 1, 3, 4); err != nil {
		t.Errorf("the new shares: %v", err)
	}

	w.decide(members.Change{Remove: []uint32{2}}, 4, 0, 1, 3)
	for range 3 {
		w.restless()
	}
	again := w.handOver(five)
	if v := w.ms[0].View(); !slices.Equal(v.Members.Nodes, []uint32{0, 1, 3, 4}) || !bytes.Equal(v.RootKeyDER, root) || shown(2) || !shown(4) {
		t.Errorf("members %v", v.Members)
	}
	if err := valid(again, 0, 3, 4); err != nil {
		t.Errorf("the newest shares: %v", err)
	}
	// A share that was kept is worth nothing: with two new ones it makes no signature.
	mixed := map[uint32]*bls.SecretShare{0: again[0], 1: again[1], 3: five[3]}
	if err := valid(mixed, 0, 1, 3); err == nil {
		t.Error("a share of the epoch before still counts")
	}
	for i, m := range w.ms {
		eras := m.Eras()
		var voters []int
		for _, v := range eras[2].Validators {
			voters = append(voters, v.Node)
		}
		if len(eras) != 3 || eras[0].Height != 0 || eras[1].Height >= eras[2].Height || eras[2].Height != m.Head().Height || !slices.Equal(voters, []int{0, 1, 3, 4}) {
			t.Errorf("machine %d: eras %+v", i, eras)
		}
	}
	// A forged word does not get into a block.
	st := w.ms[0].View().Membership
	it := st.NewProposal(members.Change{})
	it.Node = 0
	if err := w.ms[0].CheckMembers([][]byte{it.Sign(w.doc.Hash(), key(2, "node"))}); err == nil {
		t.Error("a node that left speaks for another")
	}
}
