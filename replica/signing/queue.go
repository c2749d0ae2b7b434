package signing

import (
	"bytes"
	"fmt"
	"slices"

	"fusion/internal/kv"
)

// minterRun is how many slots in a row go to minters while others wait.
const minterRun = 3

// turnKey holds how many slots minters got since somebody else got one, a byte.
const turnKey = prefix + "t"

// admit says whether a key's queue has room for one more request of a canister. One canister has at most half of it, so that nobody alone
// keeps others out, and where there are minters neither they nor the others have more than three quarters.
func (m *Machine) admit(r kv.Reader, key string, canister []byte) error {
	limit := m.cfg.QueueLimit
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

// fill gives free slots to requests that are ready; active and ready are indices into ids and all, ascending. A slot goes to the minters, but every
// fourth to another canister if one waits; then to the key with the fewest active attempts; then to the canister with the fewest; and
// there to the oldest request.
func (m *Machine) fill(s kv.Store, height uint64, ids []uint64, all []requestRecord, active, ready []int) {
	busy, perKey, perCanister := 0, map[string]int{}, map[string]int{}
	count := func(q *requestRecord) {
		busy++
		perKey[q.Key]++
		perCanister[q.Key+"\x00"+string(q.Canister)]++
	}
	for _, i := range active {
		count(&all[i])
	}
	for busy < m.cfg.Parallel && len(ready) > 0 {
		var minters, others []int // positions in ready
		for j, i := range ready {
			if m.cfg.minter(all[i].Canister) {
				minters = append(minters, j)
			} else {
				others = append(others, j)
			}
		}
		run := byte(0)
		if b, ok := s.Get([]byte(turnKey)); ok {
			run = b[0]
		}
		from := minters
		if len(minters) == 0 || len(others) > 0 && run >= minterRun {
			from = others
		}
		best := from[0]
		for _, j := range from[1:] {
			a, b := &all[ready[j]], &all[ready[best]]
			if x, y := perKey[a.Key], perKey[b.Key]; x != y {
				if x < y {
					best = j
				}
			} else if perCanister[a.Key+"\x00"+string(a.Canister)] < perCanister[b.Key+"\x00"+string(b.Canister)] {
				best = j
			}
		}
		q := &all[ready[best]]
		if !m.begin(s, height, ids[ready[best]], q) {
			return // too few nodes have announced themselves
		}
		count(q)
		switch contested := len(minters) > 0 && len(others) > 0; {
		case contested && m.cfg.minter(q.Canister):
			s.Set([]byte(turnKey), []byte{run + 1})
		case run > 0 && !m.cfg.minter(q.Canister):
			s.Delete([]byte(turnKey))
		}
		ready = slices.Delete(ready, best, best+1)
	}
}
