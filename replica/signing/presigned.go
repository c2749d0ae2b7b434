package signing

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"fusion/chainkey"
	"fusion/chainkey/derive"
	"fusion/chainkey/idkg"
	"fusion/chainkey/session"
	"fusion/internal/kv"
	"fusion/replica/transcripts"
)

// Keys of a scheme that presigns. Package transcripts makes them and their presignatures, in sharings that blocks end; here are their place among
// the other keys and their requests:
//
//	waiting → a presignature is taken → its beacon comes: active → answered
//	   ↑                                        │ deadline
//	   └────────── another presignature ────────┘
//
// All members of the epoch make shares, of which f+1 are enough, so there are no committees, and who is silent or lies stops nothing.

// presigns reports whether signing with a key draws from a pool.
func (m *Machine) presigns(key string) bool {
	_, scheme, ok := m.cfg.schemeOf(key)
	return ok && scheme.Presigns()
}

// newShared makes the machine of the keys that presign; nil when there are none.
func (m *Machine) newShared() *transcripts.Machine {
	var keys []chainkey.KeyID
	for _, id := range m.cfg.Keys {
		if m.presigns(id.String()) {
			keys = append(keys, id)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return transcripts.NewMachine(transcripts.Config{Keys: keys, Depth: m.cfg.Presignatures, Network: m.cfg.Genesis, Life: m.cfg.Life, Memo: m.cfg.Memo, Authentic: m.authentic,
		Signing: func(r kv.Reader, request uint64) (*idkg.Signing, error) {
			q, ok := load[requestRecord](r, requestKey(request))
			b, bound := load[binding](r, bindingKey(request))
			if !ok || !bound || q.Status != RequestActive || !m.presigns(q.Key) {
				return nil, fmt.Errorf("request %d is not being signed", request)
			}
			return m.signing(r, request, &q, &b)
		}})
}

// binding is the presignature that serves a request.
type binding struct {
	_      struct{} `cbor:",toarray"`
	Epoch  uint64
	Serial uint64
	Height uint64 // at which it was taken
}

func bindingKey(id uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte(bindingPrefix), id))
}

// signing is the signature that a request waits for.
func (m *Machine) signing(r kv.Reader, id uint64, q *requestRecord, b *binding) (*idkg.Signing, error) {
	key, _, _ := m.cfg.schemeOf(q.Key)
	k, ok := m.key(r, key)
	message, open := load[chainkey.Message](r, messageKey(id))
	if !ok || !open {
		return nil, fmt.Errorf("request %d is not open", id)
	}
	p, err := m.shared.Presignature(r, q.Key, b.Epoch, b.Serial, id)
	if err != nil {
		return nil, fmt.Errorf("request %d: %w", id, err)
	}
	h := sha256.New()
	h.Write([]byte("fusion/signing/request\x00"))
	h.Write(m.cfg.Life[:])
	h.Write(binary.BigEndian.AppendUint64(nil, id))
	return idkg.NewSigning(idkg.Request{Roster: p.Roster, Key: p.Key, Presignature: p.Presignature, ID: [32]byte(h.Sum(nil)), ChainCode: k.ChainCode,
		Path: derive.Path(q.Canister, q.Path...), Message: message, Beacon: [32]byte(q.Seed)})
}

// openEpoch names the members of an epoch to package transcripts, if a key needs it.
func (m *Machine) openEpoch(s kv.Store, height, epoch uint64, nodes []uint32) {
	if m.shared == nil || m.shared.Opened(s, epoch) {
		return
	}
	var keys []ed25519.PublicKey
	for _, node := range nodes {
		keys = append(keys, m.mustKey(s, node))
	}
	m.shared.OpenEpoch(s, height, epoch, nodes, keys)
}

func (m *Machine) closeEpoch(s kv.Store, epoch uint64) {
	if m.shared != nil {
		m.shared.CloseEpoch(s, epoch)
	}
}

// awaited are the nodes whose receivers' keys of an epoch a key waits for.
func (m *Machine) awaited(r kv.Reader, key string, epoch uint64) []uint32 {
	if !m.presigns(key) {
		return nil
	}
	return m.shared.Awaited(r, epoch)
}

// beginSharedHandover begins a resharing to which all old members deal as they are needed.
func (m *Machine) beginSharedHandover(s kv.Store, height uint64, id chainkey.KeyID, k *keyRecord) bool {
	n := k.Next
	m.shared.Reshare(s, height, id, k.Epoch, n.Epoch, uint64(n.Attempt.Number))
	n.Dealers = slices.Clone(k.Members)
	var everybody []int
	for _, node := range slices.Concat(k.Members, n.Members) {
		everybody = append(everybody, int(node))
	}
	slices.Sort(everybody)
	n.Attempt = m.attempt(s, height, n.Attempt.Number, m.cfg.KeygenDeadline, slices.Compact(everybody))
	n.Status, n.Votes = KeyGenerating, make([]voteRecord, len(n.Members))
	save(s, keyPrefix+id.String(), *k)
	return false
}

// checkShared refuses a vote for another key than the one whose dealings stand in blocks.
func (m *Machine) checkShared(r kv.Reader, v *KeyVote) error {
	if len(v.Public) == 0 || !m.presigns(v.Key) {
		return nil
	}
	t := m.shared.Key(r, v.Key, v.Epoch)
	if t == nil {
		return fmt.Errorf("%w: vote for key %q, epoch %d, whose dealings are not in a block yet", ErrItem, v.Key, v.Epoch)
	}
	digest := t.Digest()
	if !bytes.Equal(v.Public, t.PublicKey()) || !bytes.Equal(v.Transcript, digest[:]) {
		return fmt.Errorf("%w: vote of node %d for another key than %x", ErrItem, v.Node, t.PublicKey())
	}
	return nil
}

// applyTranscript applies an item of package transcripts. Who is convicted stands among the complaints, and in dispute with everybody.
func (m *Machine) applyTranscript(s kv.Store, height uint64, body []byte) {
	if m.shared == nil {
		return
	}
	for _, c := range m.shared.Apply(s, height, body) {
		for _, other := range m.nodes(s) {
			m.dispute(s, height, int(c.Accused), other)
		}
		m.suspect(s, height, int(c.Accused))
		evidence := c.Evidence
		if len(evidence) > maxEvidence {
			h := sha256.Sum256(evidence)
			evidence = h[:]
		}
		m.remember(s, height, c.Key, &Complaint{Request: c.Request, Node: c.Node, Reason: session.Invalid, Accused: []uint32{c.Accused}, Evidence: evidence})
	}
}

// maxEvidence bounds the evidence that is kept of a conviction, in bytes. Of a longer one, which stands in the block, the SHA-256 is kept.
const maxEvidence = 8 << 10

// advanceShared ends the block for the pools.
func (m *Machine) advanceShared(s kv.Store, height uint64) {
	serving := map[string]bool{}
	ids, all := requests(s)
	for i, q := range all {
		if !serving[q.Key] && m.presigns(q.Key) {
			_, serving[q.Key] = load[binding](s, bindingKey(ids[i]))
		}
	}
	for _, id := range m.cfg.Keys {
		if k, _ := load[keyRecord](s, keyPrefix+id.String()); k.Status == KeyActive && m.presigns(id.String()) {
			m.shared.Advance(s, height, id, k.Epoch, serving[id.String()])
		}
	}
}

// advancePresigned moves an open request of a key that presigns on. It reports whether the request waits for a presignature.
func (m *Machine) advancePresigned(s kv.Store, height, id uint64, q *requestRecord, beacon func(uint64) ([32]byte, bool)) (waits bool) {
	b, bound := load[binding](s, bindingKey(id))
	switch {
	case q.Status == RequestActive && height >= q.Current.Deadline:
		m.release(s, id, q, "no signature before the deadline")
		return true
	case q.Status == RequestWaiting && bound:
		if seed, ok := beacon(b.Height + 1); ok {
			q.Status, q.Seed = RequestActive, seed[:]
			q.Current = attemptRecord{Number: q.Next, Started: height, Deadline: height + window(m.cfg.SigningDeadline, q.Next)}
			q.Next++
			save(s, requestKey(id), *q)
		}
		return false
	}
	return q.Status == RequestWaiting
}

// release destroys the presignature of a request that it did not serve. The request waits for another one.
func (m *Machine) release(s kv.Store, id uint64, q *requestRecord, why string) {
	m.spend(s, id, q.Key)
	q.Current.Failure = why
	q.Previous, q.Current = q.Current, attemptRecord{}
	q.Status, q.Seed = RequestWaiting, nil
	save(s, requestKey(id), *q)
}

// spend removes the presignature that was taken for a request, if there is one, for ever.
func (m *Machine) spend(s kv.Store, id uint64, key string) {
	if b, ok := load[binding](s, bindingKey(id)); ok {
		m.shared.Spend(s, key, b.Epoch, b.Serial)
		s.Delete([]byte(bindingKey(id)))
	}
}

// bind gives presignatures to requests that wait for one, while there are any, in the order in which slots are given.
func (m *Machine) bind(s kv.Store, height uint64, ids []uint64, all []requestRecord, waiting []int) {
	dry := map[string]bool{}
	taken := newTurns()
	for len(waiting) > 0 {
		best, contested := m.choose(s, all, waiting, taken), m.contested(all, waiting)
		i := waiting[best]
		waiting = slices.Delete(waiting, best, best+1)
		q := &all[i]
		if dry[q.Key] {
			continue
		}
		if !m.take(s, height, ids[i], q.Key) {
			dry[q.Key] = true
			continue
		}
		taken.count(q)
		m.turned(s, q, contested)
	}
}

// take binds a free presignature to a request, if there is one.
func (m *Machine) take(s kv.Store, height, id uint64, key string) bool {
	k, _ := load[keyRecord](s, keyPrefix+key)
	serial := m.shared.Take(s, key, k.Epoch, id)
	if serial != 0 {
		save(s, bindingKey(id), binding{Epoch: k.Epoch, Serial: serial, Height: height})
	}
	return serial != 0
}

// tasks lists what this view wants signed.
func (m *Machine) tasks(v *View) (out []transcripts.Task) {
	ids, all := requests(v.state)
	for i, q := range all {
		b, ok := load[binding](v.state, bindingKey(ids[i]))
		if !ok || q.Status != RequestActive || !m.presigns(q.Key) {
			continue
		}
		out = append(out, transcripts.Task{Request: ids[i], Key: q.Key, Epoch: b.Epoch, Serial: b.Serial, Bound: b.Height,
			Signing: func() (*idkg.Signing, error) { return m.signing(v.state, ids[i], &q, &b) }})
	}
	return out
}
