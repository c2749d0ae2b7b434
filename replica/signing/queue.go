package signing

import (
	"bytes"
	"fmt"
	"slices"

	"fusion/chainkey"
	"fusion/internal/kv"
)

// minterRun is how many slots in a row go to minters while others wait.
const minterRun = 3

// turnKey holds how many slots minters got since somebody else got one, a byte.
const turnKey = prefix + "t"

// admit says whether a key's queue has room for one more request of a canister. One canister has at most half of it, so that nobody alone
// keeps others out, and where there are minters neither they nor the others have more than three quarters.
func (m *Machine) admit(r kv.Reader, key string, canister []byte) error {
	limit := m.limit(key)
	minter := m.cfg.minter(canister)
	open, own, class := 0, 0, 0
	_, all := requests(r)
	for _, o := range all {
		if o.Key != key {
			continue
		}
		open++
		if bytes.Equal(o.Canister, canister) {
			own++
		}
		if m.cfg.minter(o.Canister) == minter {
			class++
		}
	}
	switch {
	case open >= limit:
		return fmt.Errorf("%w for key %q: %d, the limit; try again later", ErrQueueFull, key, open)
	case !minter && own >= max(limit/2, 1):
		return fmt.Errorf("%w for key %q: %d are this canister's own, which is as many as one may have; try again later", ErrQueueFull, key, own)
	case len(m.cfg.Minters) > 0 && class >= max(limit-limit/4, 1):
		return fmt.Errorf("%w for key %q: %d, and the rest of the queue is kept for %s; try again later", ErrQueueFull, key, open,
			map[bool]string{true: "other canisters", false: "minters"}[minter])
	}
	return nil
}

// presignedQueue is how many times longer the queue is of an ECDSA key that signs from presignatures: a signature there costs a hundredth, and messages, which
// are kept with their requests, have 32 bytes.
const presignedQueue = 10

// limit is how many requests of a key may be open.
func (m *Machine) limit(key string) int {
	if id, scheme, ok := m.cfg.schemeOf(key); ok && scheme.Presigns() && id.Algorithm == chainkey.EcdsaSecp256k1 {
		return presignedQueue * m.cfg.QueueLimit
	}
	return m.cfg.QueueLimit
}

// turns counts what is being served.
type turns struct {
	busy        int
	perKey      map[string]int
	perCanister map[string]int
}

func newTurns() *turns { return &turns{perKey: map[string]int{}, perCanister: map[string]int{}} }

func (t *turns) count(q *requestRecord) {
	t.busy++
	t.perKey[q.Key]++
	t.perCanister[q.Key+"\x00"+string(q.Canister)]++
}

// choose picks one of those that wait, as an index into ready. It is a minter's, but every fourth another canister's if one waits; then of the key
// with the fewest that are being served; then of the canister with the fewest; and there the oldest.
func (m *Machine) choose(r kv.Reader, all []requestRecord, ready []int, t *turns) int {
	var minters, others []int // positions in ready
	for j, i := range ready {
		if m.cfg.minter(all[i].Canister) {
			minters = append(minters, j)
		} else {
			others = append(others, j)
		}
	}
	run := byte(0)
	if b, ok := r.Get([]byte(turnKey)); ok {
		run = b[0]
	}
	from := minters
	if len(minters) == 0 || len(others) > 0 && run >= minterRun {
		from = others
	}
	best := from[0]
	for _, j := range from[1:] {
		a, b := &all[ready[j]], &all[ready[best]]
		if x, y := t.perKey[a.Key], t.perKey[b.Key]; x != y {
			if x < y {
				best = j
			}
		} else if t.perCanister[a.Key+"\x00"+string(a.Canister)] < t.perCanister[b.Key+"\x00"+string(b.Canister)] {
			best = j
		}
	}
	return best
}

// turned notes whose turn it was. Contested says that both minters and others waited.
func (m *Machine) turned(s kv.Store, q *requestRecord, contested bool) {
	run := byte(0)
	if b, ok := s.Get([]byte(turnKey)); ok {
		run = b[0]
	}
	switch {
	case contested && m.cfg.minter(q.Canister):
		s.Set([]byte(turnKey), []byte{run + 1})
	case run > 0 && !m.cfg.minter(q.Canister):
		s.Delete([]byte(turnKey))
	}
}

// contested says whether both minters and others wait.
func (m *Machine) contested(all []requestRecord, ready []int) bool {
	minters := 0
	for _, i := range ready {
		if m.cfg.minter(all[i].Canister) {
			minters++
		}
	}
	return minters > 0 && minters < len(ready)
}

// fill gives free slots to requests that are ready; active and ready are indices into ids and all, ascending.
func (m *Machine) fill(s kv.Store, height uint64, ids []uint64, all []requestRecord, active, ready []int) {
	taken := newTurns()
	for _, i := range active {
		taken.count(&all[i])
	}
	for taken.busy < m.cfg.Parallel && len(ready) > 0 {
		best, contested := m.choose(s, all, ready, taken), m.contested(all, ready)
		q := &all[ready[best]]
		if !m.begin(s, height, ids[ready[best]], q) {
			return // too few nodes have announced themselves
		}
		taken.count(q)
		m.turned(s, q, contested)
		ready = slices.Delete(ready, best, best+1)
	}
}
