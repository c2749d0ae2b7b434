package consensus

import (
	"fmt"
	"time"

	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/types"

	"fusion/replica/consensus/driver"
)

// roll is the validators as CometBFT knows them, over all heights. It follows from the App's eras alone.
type roll struct {
	nodes map[string]int // validator address → node index, of all who ever voted
	eras  []era
	equal bool // all have the same power; otherwise turns are not told
}

// era is a set of validators.
type era struct {
	first int64               // height whose votes it casts first
	set   *types.ValidatorSet // at that height
	slots int                 // one more than its highest node index
	nodes map[string]int
}

// voteDelay is after how many heights a change of validators counts: what block h changes, votes for block h+2 (CometBFT's ABCI, ValidatorUpdates).
const voteDelay = 2

func rollOf(members []Member, base uint64) roll {
	r := roll{nodes: map[string]int{}, equal: true}
	e := era{first: int64(base) + 1, slots: len(members), nodes: map[string]int{}}
	var list []*types.Validator
	var power int64
	for i, m := range members {
		if m.ValidatorKey == nil {
			continue
		}
		if list == nil {
			power = m.Power
		}
		v := types.NewValidator(cmted25519.PubKey(m.ValidatorKey), m.Power)
		list = append(list, v)
		r.nodes[string(v.Address)], e.nodes[string(v.Address)] = i, i
		r.equal = r.equal && m.Power == power
	}
	e.set = types.NewValidatorSet(list)
	r.eras = []era{e}
	return r
}

// extend takes over the eras that are new, and returns what changes with each of them: validators with power 0 go. The first of the App's eras is
// the genesis document's and known.
func (r *roll) extend(eras []driver.Era) (changes [][]*types.Validator, err error) {
	for k := len(r.eras); k < len(eras); k++ {
		before := r.eras[k-1]
		e := era{first: int64(eras[k].Height) + voteDelay, nodes: map[string]int{}}
		if e.first <= before.first {
			return nil, fmt.Errorf("%w: validators change at blocks %d and %d", ErrConfig, before.first, e.first)
		}
		var diff []*types.Validator
		for _, v := range eras[k].Validators {
			val := types.NewValidator(cmted25519.PubKey(v.Key), before.set.Validators[0].VotingPower)
			e.nodes[string(val.Address)], r.nodes[string(val.Address)] = v.Node, v.Node
			e.slots = max(e.slots, v.Node+1)
			if !before.set.HasAddress(val.Address) {
				diff = append(diff, val)
			}
		}
		for _, v := range before.set.Validators {
			if _, stays := e.nodes[string(v.Address)]; !stays {
				gone := v.Copy()
				gone.VotingPower, gone.ProposerPriority = 0, 0
				diff = append(diff, gone)
			}
		}
		// CometBFT changes the set of the height before, and then moves on by one (state.updateState).
		e.set = r.at(e.first - 1)
		if len(diff) > 0 {
			if err := e.set.UpdateWithChangeSet(copies(diff)); err != nil {
				return nil, fmt.Errorf("%w: validators of block %d: %w", ErrConfig, e.first, err)
			}
		}
		e.set.IncrementProposerPriority(1)
		r.eras, changes = append(r.eras, e), append(changes, diff)
	}
	return changes, nil
}

func copies(list []*types.Validator) (out []*types.Validator) {
	for _, v := range list {
		out = append(out, v.Copy())
	}
	return out
}

// era is that of a height.
func (r *roll) era(height int64) *era {
	for k := len(r.eras) - 1; k > 0; k-- {
		if r.eras[k].first <= height {
			return &r.eras[k]
		}
	}
	return &r.eras[0]
}

// at returns the validators of a height with their priorities, as CometBFT has them. It moves on by one with each height. Validators of equal
// power take turns, so that after a while each further round of turns leaves everything as it was; then whole rounds are left out.
func (r *roll) at(height int64) *types.ValidatorSet {
	e := r.era(height)
	set, n := e.set.Copy(), int64(e.set.Size())
	left := height - e.first
	for left > 0 {
		round := set.Copy()
		for k := int64(0); k < n && left > 0; k++ {
			round.IncrementProposerPriority(1)
			left--
		}
		if samePriorities(set, round) {
			left %= n
		}
		set = round
	}
	return set
}

func samePriorities(a, b *types.ValidatorSet) bool {
	for i, v := range a.Validators {
		if v.ProposerPriority != b.Validators[i].ProposerPriority {
			return false
		}
	}
	return true
}

// turns are whose turns passed until the block of a height was decided in a round.
func (r *roll) turns(height int64, round int32) (t driver.Turns) {
	if !r.equal || height < r.eras[0].first || round < 1 {
		return t
	}
	e, set := r.era(height), r.at(height)
	n := int64(set.Size())
	t.Passed = make([]uint64, e.slots)
	turn := make([]int, n) // of the rounds that leave the rest i, once all take turns
	for i := range int64(round) {
		if i >= 4*n { // by then they do
			for rest := range n {
				t.Passed[turn[(i+rest)%n]] += uint64((int64(round) - i - rest + n - 1) / n)
			}
			t.Last = turn[int64(round)%n]
			return t
		}
		turn[i%n] = e.nodes[string(set.GetProposer().Address)]
		t.Passed[turn[i%n]]++
		set.IncrementProposerPriority(1)
	}
	t.Last = e.nodes[string(set.GetProposer().Address)]
	return t
}

// block is a block of CometBFT's as the App sees it. round decided the block before.
func (r *roll) block(height int64, at time.Time, proposer []byte, round int32, txs [][]byte) driver.Block {
	i, ok := r.nodes[string(proposer)]
	if !ok {
		i = -1
	}
	return driver.Block{Height: uint64(height), TimeNs: uint64(at.UnixNano()), Proposer: i, Txs: txs, Before: r.turns(height-1, round)}
}
