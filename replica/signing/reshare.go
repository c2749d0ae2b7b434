package signing

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"fusion/chainkey"
	"fusion/chainkey/session"
	"fusion/internal/kv"
)

// Resharing. Beside an active key there is at most one handover, to the members of the next epoch. Its attempts are ceremonies of all new members
// and of 2f+1 old ones that deal, chosen anew for each attempt like a committee. The key signs with its old shares meanwhile. When all new
// members have stored their shares and voted, the handover is prepared; what activates it is the caller's decision, for all keys at once.

// AddNode makes a node known that the genesis document does not have: from now on what it signs counts. Its index is one that no node had. Saying
// it again changes nothing.
func (m *Machine) AddNode(s kv.Store, node uint32, key ed25519.PublicKey) {
	if rec := m.node(s, int(node)); rec.Left || !bytes.Equal(rec.Key, key) {
		rec.Key, rec.Left = bytes.Clone(key), false
		save(s, nodeKey(int(node)), rec)
	}
}

// RemoveNode says that a node added before came to be no member: what it signs counts no more.
func (m *Machine) RemoveNode(s kv.Store, node uint32) {
	if rec := m.node(s, int(node)); !rec.Left {
		rec.Left = true
		save(s, nodeKey(int(node)), rec)
	}
}

// StartReshare begins to reshare all keys to the members of an epoch, which must be known.
func (m *Machine) StartReshare(s kv.Store, height, epoch uint64, nodes []uint32) {
	for _, id := range m.cfg.Keys {
		k, _ := load[keyRecord](s, keyPrefix+id.String())
		k.Next = &handover{Epoch: epoch, Members: slices.Clone(nodes), NotBefore: height, Ready: make([]bool, len(nodes))}
		switch {
		case k.Status != KeyActive:
			k.Next = nil // ReshareStatus says so
		case m.presigns(id.String()) && len(nodes) > 1:
			m.openEpoch(s, height, epoch, nodes)
		case len(k.Members) == 1 && id.Algorithm == chainkey.EcdsaSecp256k1, len(nodes) == 1:
			k.Next.Failed = fmt.Sprintf("key %s: a key of one node cannot be handed over, and none can be handed to one", id)
		}
		save(s, keyPrefix+id.String(), k)
	}
}

// ReshareStatus says whether all keys are prepared for the next epoch, or why they will not be.
func (m *Machine) ReshareStatus(r kv.Reader) (done bool, failed string) {
	done = true
	for _, id := range m.cfg.Keys {
		k, _ := load[keyRecord](r, keyPrefix+id.String())
		switch {
		case k.Next == nil:
			return false, fmt.Sprintf("key %s is not being reshared: it was not active when resharing began", id)
		case k.Next.Failed != "":
			return false, k.Next.Failed
		}
		done = done && k.Next.Status == KeyPrepared
	}
	return done, ""
}

// ActivateReshare puts the next epoch's shares in force. ReshareStatus must have said that all keys are prepared. Open attempts of the old epoch
// end; their requests go on with committees of the new one.
func (m *Machine) ActivateReshare(s kv.Store, height uint64) {
	for _, id := range m.cfg.Keys {
		name := id.String()
		k, _ := load[keyRecord](s, keyPrefix+name)
		n := k.Next
		if n == nil || n.Status != KeyPrepared {
			panic(fmt.Sprintf("signing: key %s is activated for an epoch that it is not prepared for", id))
		}
		if k.Previous != nil {
			m.closeEpoch(s, k.Previous.Epoch)
		}
		k.Previous = &oldShares{Epoch: k.Epoch, Attempt: k.Attempt.Number, Members: k.Members, Wipe: height + m.cfg.WipeBlocks}
		for _, node := range k.Members {
			if !slices.Contains(n.Members, node) {
				rec := m.node(s, int(node))
				rec.Left = true
				save(s, nodeKey(int(node)), rec)
			}
		}
		if m.presigns(name) {
			m.shared.Empty(s, name, k.Epoch)
		}
		k.Epoch, k.Attempt, k.Members, k.Shares, k.Next = n.Epoch, n.Attempt, n.Members, n.Shares, nil
		save(s, keyPrefix+name, k)
	}
	ids, all := requests(s)
	for i, q := range all {
		if m.presigns(q.Key) {
			if _, bound := load[binding](s, bindingKey(ids[i])); bound {
				m.release(s, ids[i], &q, "the key's shares were replaced")
			}
			continue
		}
		if q.Status == RequestActive {
			m.failAttempt(s, ids[i], &q, "the key's shares were replaced")
			q.Previous.Committee = nil // nobody is to blame
			save(s, requestKey(ids[i]), q)
		}
	}
}

// AbortReshare gives the handovers up. The epoch in force stays.
func (m *Machine) AbortReshare(s kv.Store) {
	for _, id := range m.cfg.Keys {
		if k, ok := load[keyRecord](s, keyPrefix+id.String()); ok && k.Next != nil {
			m.closeEpoch(s, k.Next.Epoch)
			k.Next = nil
			save(s, keyPrefix+id.String(), k)
		}
	}
}

// nodeKey is a node's key.
func (m *Machine) nodeKey(r kv.Reader, node int) (ed25519.PublicKey, bool) {
	if node >= 0 && node < len(m.cfg.Nodes) {
		return m.cfg.Nodes[node], true
	}
	key := m.node(r, node).Key
	return key, len(key) == ed25519.PublicKeySize
}

func (m *Machine) mustKey(r kv.Reader, node uint32) ed25519.PublicKey {
	key, ok := m.nodeKey(r, int(node))
	if !ok {
		panic(fmt.Sprintf("signing: node %d takes part in a ceremony and has no key", node))
	}
	return key
}

// nodes are the nodes that have not left, ascending.
func (m *Machine) nodes(r kv.Reader) (out []int) {
	for node := range m.cfg.Nodes {
		if !m.node(r, node).Left {
			out = append(out, node)
		}
	}
	kv.ScanPrefix(r, []byte(nodePrefix), func(key, _ []byte) bool {
		node := int(binary.BigEndian.Uint32(key[len(nodePrefix):]))
		if rec := m.node(r, node); node >= len(m.cfg.Nodes) && !rec.Left && len(rec.Key) > 0 {
			out = append(out, node)
		}
		return true
	})
	return out
}

// members is how many nodes hold the keys.
func (m *Machine) members(r kv.Reader) int {
	for _, id := range m.cfg.Keys {
		if k, _ := load[keyRecord](r, keyPrefix+id.String()); len(k.Members) > 0 {
			return len(k.Members)
		}
	}
	return len(m.cfg.Nodes)
}

// announced are those of some nodes that have announced an incarnation.
func (m *Machine) announced(r kv.Reader, nodes []uint32) (out []int) {
	for _, node := range nodes {
		if m.node(r, int(node)).Number > 0 {
			out = append(out, int(node))
		}
	}
	return out
}

// record is what is kept of a vote.
func (v *KeyVote) record() voteRecord {
	h := sha256.New()
	for _, s := range v.Shares {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(s))))
		h.Write(s)
	}
	return voteRecord{Public: v.Public, Transcript: v.Transcript, Shares: h.Sum(nil)}
}

// maxPublicShare bounds one public share: an index and a compressed point.
const maxPublicShare = 80

func (v *KeyVote) checkForm(members int) error {
	if len(v.Transcript) != 32 || len(v.Shares) != members {
		return fmt.Errorf("%w: a vote with a transcript of %d bytes and %d public shares", ErrItem, len(v.Transcript), len(v.Shares))
	}
	for _, s := range v.Shares {
		if len(s) == 0 || len(s) > maxPublicShare {
			return fmt.Errorf("%w: a public share of %d bytes", ErrItem, len(s))
		}
	}
	return nil
}

// agree says whether all have voted, and names a seat that voted otherwise than this one, or -1.
func agree(votes []voteRecord, seat int) (all bool, other int) {
	all = true
	for i, v := range votes {
		switch mine := votes[seat]; {
		case len(v.Public) == 0:
			all = false
		case !bytes.Equal(v.Public, mine.Public) || !bytes.Equal(v.Transcript, mine.Transcript) || !bytes.Equal(v.Shares, mine.Shares):
			return false, i
		}
	}
	return all, -1
}

// checkHandoverVote judges a vote, or the word that a node is ready, for the next epoch.
func (k *keyRecord) checkHandoverVote(v *KeyVote) error {
	n := k.Next
	seat := slices.Index(n.Members, v.Node)
	switch {
	case seat < 0 || n.Failed != "":
		return fmt.Errorf("%w: vote of node %d for epoch %d of key %q, of which it is no member", ErrItem, v.Node, v.Epoch, v.Key)
	case len(v.Public) == 0:
		if n.Ready[seat] || v.Attempt != 0 || len(v.Transcript)+len(v.Shares) != 0 {
			return fmt.Errorf("%w: node %d says again that it is ready, or more", ErrItem, v.Node)
		}
		return nil
	case n.Status != KeyGenerating && n.Status != KeyActivating || n.Attempt.Number != v.Attempt || len(n.Votes[seat].Public) != 0:
		return fmt.Errorf("%w: vote of node %d for key %q, epoch %d, attempt %d, which is not running or has it", ErrItem, v.Node, v.Key, v.Epoch, v.Attempt)
	case !bytes.Equal(v.Public, k.Public):
		return fmt.Errorf("%w: node %d votes for another public key", ErrItem, v.Node)
	}
	return v.checkForm(len(n.Members))
}

func (m *Machine) applyHandoverVote(s kv.Store, height uint64, v *KeyVote, k *keyRecord) {
	n := k.Next
	seat := slices.Index(n.Members, v.Node)
	if len(v.Public) == 0 {
		n.Ready[seat] = true
		save(s, keyPrefix+v.Key, *k)
		return
	}
	n.Votes[seat] = v.record()
	n.Status = KeyActivating
	all, other := agree(n.Votes, seat)
	if other >= 0 {
		m.failHandover(s, height, v.Key, k, fmt.Sprintf("nodes %d and %d hold different keys", n.Members[other], v.Node))
		return
	}
	if all {
		n.Status, n.Votes, n.Shares = KeyPrepared, nil, v.Shares
	}
	save(s, keyPrefix+v.Key, *k)
}

// failHandover abandons an attempt. The next one starts after a pause that doubles, with other dealers. In the pause the others complain too.
func (m *Machine) failHandover(s kv.Store, height uint64, name string, k *keyRecord, why string) {
	n := k.Next
	if m.presigns(name) {
		m.shared.Abandon(s, name, n.Epoch)
	}
	n.Status, n.Votes, n.Attempt.Failure = KeyPending, nil, why
	n.NotBefore = height + 4<<min(n.Attempt.Number, 6)
	n.Attempt.Number++
	save(s, keyPrefix+name, *k)
}

// advanceHandover ends an attempt that is past its deadline, and forgets old shares that are wiped. It reports whether a costly ceremony runs.
func (m *Machine) advanceHandover(s kv.Store, height uint64, id chainkey.KeyID, k *keyRecord) bool {
	name := id.String()
	if k.Previous != nil && height > k.Previous.Wipe {
		m.closeEpoch(s, k.Previous.Epoch)
		k.Previous = nil
		save(s, keyPrefix+name, *k)
	}
	n := k.Next
	if n == nil || n.Status != KeyGenerating && n.Status != KeyActivating {
		return false
	}
	if height < n.Attempt.Deadline {
		return m.cfg.costly(id)
	}
	var silent []uint32
	for seat, v := range n.Votes {
		if len(v.Public) == 0 {
			silent = append(silent, n.Members[seat])
		}
	}
	m.failHandover(s, height, name, k, fmt.Sprintf("nodes %v did not finish before the deadline", silent))
	return false
}

// beginHandover orders the next attempt if it can begin. It reports whether a costly ceremony was started.
func (m *Machine) beginHandover(s kv.Store, height uint64, id chainkey.KeyID, k *keyRecord) bool {
	n := k.Next
	if n.Status != KeyPending || n.Failed != "" || height < n.NotBefore {
		return false
	}
	if n.Attempt.Number >= m.cfg.ReshareAttempts {
		n.Failed = fmt.Sprintf("key %s: %d attempts at resharing failed, the last: %s", id, n.Attempt.Number, n.Attempt.Failure)
		save(s, keyPrefix+id.String(), *k)
		return false
	}
	if len(m.announced(s, n.Members)) < len(n.Members) ||
		m.needsParams(id) && slices.Contains(n.Ready, false) || len(m.awaited(s, id.String(), n.Epoch)) > 0 {
		return false
	}
	if m.presigns(id.String()) {
		return m.beginSharedHandover(s, height, id, k)
	}
	seed := sha256.Sum256([]byte(id.String()))
	old := len(k.Members)
	dealers := chooseCommittee(quorum(old), faulty(old), seed[:], n.Epoch, n.Attempt.Number, m.announced(s, k.Members),
		func(node int) uint32 {
			sus := 2 * m.suspicion(s, height, node)
			if !slices.Contains(n.Members, uint32(node)) {
				sus++ // one that leaves may be gone
			}
			return sus
		}, func(a, b int) bool { return m.disputed(s, height, a, b) })
	if dealers == nil {
		return false
	}
	var everybody []int
	n.Dealers = nil
	for _, d := range dealers {
		n.Dealers = append(n.Dealers, uint32(d))
		everybody = append(everybody, d)
	}
	for _, node := range n.Members {
		everybody = append(everybody, int(node))
	}
	slices.Sort(everybody)
	n.Attempt = m.attempt(s, height, n.Attempt.Number, m.cfg.KeygenDeadline, slices.Compact(everybody))
	n.Status, n.Votes = KeyGenerating, make([]voteRecord, len(n.Members))
	save(s, keyPrefix+id.String(), *k)
	return m.cfg.costly(id)
}

// needsParams says whether a new member makes secret parameters before it can take part.
func (m *Machine) needsParams(id chainkey.KeyID) bool { return m.cfg.costly(id) && !m.cfg.Local }

// handoverContext binds the session of a resharing: both epochs with their members, the dealers, the key, and whatever a key generation binds.
func (m *Machine) handoverContext(name string, k *keyRecord) session.Context {
	n := k.Next
	_, scheme, _ := m.cfg.schemeOf(name)
	h := sha256.New()
	h.Write([]byte("fusion/signing/resharing\x00"))
	number := func(v uint64) { h.Write(binary.BigEndian.AppendUint64(nil, v)) }
	number(k.Epoch)
	number(uint64(k.Attempt.Number))
	number(n.Attempt.Started) // a resharing that was given up and began again is another
	for _, list := range [][]uint32{k.Members, n.Members, n.Dealers} {
		number(uint64(len(list)))
		for _, node := range list {
			number(uint64(node))
		}
	}
	h.Write(k.Public)
	return session.Context{Genesis: m.cfg.Life, Key: name, Scheme: scheme.Name(), Kind: session.Resharing, Attempt: n.Attempt.Number, Epoch: n.Epoch,
		Committee: seats(&n.Attempt), Message: [32]byte(h.Sum(nil))}
}

// lateContext is that of the attempt that has just failed, about which members may still complain.
func (m *Machine) lateContext(name string, k keyRecord) session.Context {
	n := *k.Next
	n.Attempt.Number--
	k.Next = &n
	return m.handoverContext(name, &k)
}

// parts are the places of a resharing's committee in both epochs.
func (k *keyRecord) parts() (out []chainkey.Part) {
	for _, node := range k.Next.Attempt.Committee {
		p := chainkey.Part{Old: -1, New: slices.Index(k.Next.Members, node)}
		if slices.Contains(k.Next.Dealers, node) {
			p.Old = slices.Index(k.Members, node)
		}
		out = append(out, p)
	}
	return out
}

// sentence says where a handover stands.
func (n *handover) sentence() string {
	switch {
	case n.Failed != "":
		return "resharing failed: " + n.Failed
	case n.Status == KeyPrepared:
		return fmt.Sprintf("reshared to nodes %v, epoch %d, which takes over when all keys are", n.Members, n.Epoch)
	case n.Status == KeyActivating:
		var missing []uint32
		for seat, v := range n.Votes {
			if len(v.Public) == 0 {
				missing = append(missing, n.Members[seat])
			}
		}
		return fmt.Sprintf("reshared to nodes %v; nodes %v have not confirmed that they stored their shares, until height %d at the latest", n.Members, missing, n.Attempt.Deadline)
	case n.Status == KeyGenerating:
		return fmt.Sprintf("being reshared by nodes %v to nodes %v since height %d, attempt %d, until height %d at the latest",
			n.Dealers, n.Members, n.Attempt.Started, n.Attempt.Number, n.Attempt.Deadline)
	case n.Attempt.Failure != "":
		return fmt.Sprintf("attempt %d at resharing failed (%s); the next starts at height %d", n.Attempt.Number-1, n.Attempt.Failure, n.NotBefore)
	}
	return fmt.Sprintf("waiting for nodes %v to be ready to receive their shares", n.Members)
}
