package consensus

import (
	"slices"
	"time"

	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"

	"fusion/replica/consensus/driver"
)

// roll is the members as CometBFT knows them. They never change.
type roll struct {
	nodes map[string]int // validator address → node index
	// order is the node indexes in the order of their turns to propose: CometBFT lets validators of equal power take turns by address, and
	// moves on by one with each height and each round within a height. It is nil where powers differ.
	order []int
}

func rollOf(members []Member) roll {
	r := roll{nodes: map[string]int{}}
	var addresses []string
	equal := true
	for i, m := range members {
		a := string(cmted25519.PubKey(m.ValidatorKey).Address())
		r.nodes[a] = i
		addresses = append(addresses, a)
		equal = equal && m.Power == members[0].Power
	}
	if equal {
		slices.Sort(addresses)
		for _, a := range addresses {
			r.order = append(r.order, r.nodes[a])
		}
	}
	return r
}

// turns are whose turns passed until the block of a height was decided in a round.
func (r roll) turns(height int64, round int32) (t driver.Turns) {
	n := int64(len(r.order))
	if n == 0 || height < 1 || round < 1 {
		return t
	}
	t.Passed = make([]uint64, n)
	turn := func(round int64) int { return r.order[(height-1+round)%n] }
	for i := range n {
		// Of the rounds 0 to round-1, those that leave the rest i.
		t.Passed[turn(i)] = uint64((int64(round) - i + n - 1) / n)
	}
	t.Last = turn(int64(round))
	return t
}

// block is a block of CometBFT's as the App sees it. round decided the block before.
func (r roll) block(height int64, at time.Time, proposer []byte, round int32, txs [][]byte) driver.Block {
	i, ok := r.nodes[string(proposer)]
	if !ok {
		i = -1
	}
	return driver.Block{Height: uint64(height), TimeNs: uint64(at.UnixNano()), Proposer: i, Txs: txs, Before: r.turns(height-1, round)}
}
