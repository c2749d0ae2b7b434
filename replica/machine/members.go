package machine

import (
	"crypto/ed25519"

	"fusion/ic/hashtree"
	"fusion/ic/principal"
	"fusion/internal/kv"
	"fusion/replica/consensus/driver"
	"fusion/replica/genesis"
	"fusion/replica/members"
	"fusion/replica/state"
)

// The room of the membership says who the nodes are. When the next members are to have the keys, this file lets every room that has keys reshare
// them, and puts the next epoch in force in one block for all of them.

// resharing is a room whose keys the members share. While it reshares, the old shares are in use. The calls come from Step, with the room's store.
type resharing interface {
	// StartReshare begins to reshare all keys to the nodes of an epoch, in the order of their seats.
	StartReshare(s kv.Store, height, epoch uint64, nodes []uint32)
	// ReshareStatus says whether all of them have stored all shares and said so in blocks, or why that will not be.
	ReshareStatus(r kv.Reader) (done bool, failed string)
	// ActivateReshare puts the new shares in force; ReshareStatus said done.
	ActivateReshare(s kv.Store, height uint64)
	// AbortReshare gives it up. It may be called when none runs.
	AbortReshare(s kv.Store)
}

// keyRoom is a resharing with its store.
type keyRoom struct {
	resharing
	store kv.Store
}

// membership is what the registry says, read whenever it may have changed.
type membership struct {
	set    members.Set
	roster *members.Roster
	ids    []principal.Principal // of all nodes that ever had an index
	eras   []driver.Era
	peers  []members.Peer
	status members.Status
}

// readMembers takes the registry over. Before the first block it is the genesis document.
func (m *Machine) readMembers(r kv.Reader, height uint64) {
	if members.Count(r) == 0 {
		s := kv.NewMem()
		members.Init(s, m.cfg.Genesis)
		r = s
	}
	ms := &membership{set: members.Current(r), peers: members.Peers(r, height), status: members.Describe(r)}
	ms.roster = members.RosterOf(r, ms.set)
	for _, p := range ms.peers {
		ms.ids = append(ms.ids, genesis.Node{NodeKey: genesis.Hex(p.NodeKey)}.NodeID())
	}
	if m.members != nil {
		ms.eras = m.members.eras
	}
	// Consensus knows those since the last recovery, of which the first is whose members recovered.
	for epoch := m.last.Epoch + uint64(len(ms.eras)); epoch <= ms.set.Epoch; epoch++ {
		set, _ := members.At(r, epoch)
		e := driver.Era{Height: max(members.Since(r, epoch), m.last.Base)}
		for _, i := range set.Nodes {
			e.Validators = append(e.Validators, driver.Validator{Node: int(i), Key: ed25519.PublicKey(ms.peers[i].ValidatorKey)})
		}
		ms.eras = append(ms.eras[:len(ms.eras):len(ms.eras)], e)
	}
	m.members = ms
	if m.out != nil {
		m.out.SetMembers(ms.roster)
	}
}

// Eras implements driver.Electorate.
func (m *Machine) Eras() []driver.Era { return m.members.eras }

// MembersReader reads the committed registry, from any goroutine.
func (m *Machine) MembersReader() kv.Reader { return kv.PrefixReader(m.db.Reader(), prefixMembers) }

// CheckMembers says whether a block on top of the committed state may carry these items of package members.
func (m *Machine) CheckMembers(items [][]byte) error {
	return m.change.CheckAll(m.MembersReader(), items)
}

// stepMembers applies a block's items and lets a change go on.
func (m *Machine) stepMembers(blk *state.Block, height uint64, by *parts, res *Result) {
	s := kv.Prefix(blk, prefixMembers)
	for _, it := range by.members {
		if err := m.change.Apply(s, height, it); err != nil {
			res.Skipped++
		}
	}
	rooms := m.keyRooms(blk)
	ev := m.change.Advance(s, height, func() (k members.Keys) {
		if len(rooms) == 0 {
			return members.Keys{Failed: "this version cannot reshare the keys"}
		}
		k.Done = true
		for _, r := range rooms {
			done, failed := r.ReshareStatus(r.store)
			if failed != "" {
				return members.Keys{Failed: failed}
			}
			k.Done = k.Done && done
		}
		return k
	})
	before := m.members
	if len(by.members) > 0 || ev != (members.Event{}) || before.restless(height) {
		m.readMembers(s, height)
		m.introduce(kv.Prefix(blk, prefixSigning))
	}
	switch {
	case ev.Reshare != nil:
		m.log.Info("membership: resharing begins", "height", height, "members", ev.Reshare.Nodes)
		for _, r := range rooms {
			r.StartReshare(r.store, height, ev.Reshare.Epoch, ev.Reshare.Nodes)
		}
	case ev.Activated != nil:
		m.log.Info("membership: the next members have the keys", "height", height, "epoch", ev.Activated.Epoch, "members", ev.Activated.Nodes)
		for _, r := range rooms {
			r.ActivateReshare(r.store, height)
		}
		m.tree = nodeTree(m.tree, m.subnet.id, before.roster, m.members.roster)
	case ev.Aborted != "":
		m.log.Warn("membership: a change is given up", "height", height, "why", ev.Aborted)
		for _, r := range rooms {
			r.AbortReshare(r.store)
		}
	}
}

// restless says whether time alone may change what the registry says.
func (ms *membership) restless(height uint64) bool {
	if ms.status.Running != nil || len(ms.status.Proposals) > 0 {
		return true
	}
	for _, p := range ms.peers {
		if p.Role == members.Departed {
			return true
		}
	}
	return false
}

// nodeTree shows the members' keys in the state tree, in place of those of the members before.
func nodeTree(t *hashtree.Map, subnet principal.Principal, before, now *members.Roster) *hashtree.Map {
	path := func(key ed25519.PublicKey) (genesis.Node, [][]byte) {
		n := genesis.Node{NodeKey: genesis.Hex(key)}
		return n, [][]byte{[]byte("subnet"), subnet.Bytes(), []byte("node"), n.NodeID().Bytes()}
	}
	for _, i := range before.Nodes {
		if now.Seat(int(i)) < 0 {
			_, p := path(before.Key(int(i)))
			t = t.Delete(p)
		}
	}
	for _, key := range now.Keys() {
		n, p := path(key)
		t = t.Insert(append(p, []byte("public_key")), n.NodeKeyDER())
	}
	return t
}

// keyRooms are all rooms with shared keys.
func (m *Machine) keyRooms(blk *state.Block) []keyRoom {
	return []keyRoom{{rootKeyRoom{m}, kv.Prefix(blk, prefixDKG)}, {m.sign, kv.Prefix(blk, prefixSigning)}, {m.vet, kv.Prefix(blk, prefixVetKeys)}}
}
