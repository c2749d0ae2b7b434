package machine

import (
	"crypto/ed25519"
	"fmt"
	"testing"

	"fusion/internal/kv"
	"fusion/replica/consensus/driver"
	"fusion/replica/genesis"
)

func TestNodeBlocks(t *testing.T) {
	m := &Machine{members: &membership{}}
	index := map[string]int{}
	for i := range 4 {
		n := genesis.Node{NodeKey: genesis.Hex(key(i, "node").Public().(ed25519.PublicKey))}
		m.members.ids = append(m.members.ids, n.NodeID())
		index[n.NodeID().String()] = i
	}
	mac := kv.NewMem()
	turns := func(last int, passed ...uint64) driver.Turns { return driver.Turns{Passed: passed, Last: last} }
	for i, c := range []struct {
		block driver.Block
		want  string // node+proposed-failed
	}{
		{driver.Block{Proposer: 2}, "2+1-0 "},
		{driver.Block{Proposer: 3}, "3+1-0 "},
		// Node 3's block was decided two rounds later, after 0 had made another that failed: 3 made it in its own turn and did not fail.
		{driver.Block{Proposer: 0, Before: turns(1, 1, 0, 0, 1)}, "0+1-1 "},
		// Node 0 made the block in round 0 of its turn; all decided in the first round.
		{driver.Block{Proposer: 1, Before: turns(0)}, "1+1-0 "},
		// Node 1 failed in the first round and made the block that was decided when its turn came again.
		{driver.Block{Proposer: 2, Before: turns(1, 1, 1, 1, 1)}, "0+0-1 1+0-1 2+1-1 3+0-1 "},
		// Somebody who is not in the genesis file.
		{driver.Block{Proposer: -1, Before: turns(3, 0, 0, 1, 0)}, ""},
		{driver.Block{Proposer: 2, Before: turns(3, 0, 0, 1, 0)}, "2+1-1 "},
	} {
		got := ""
		for _, b := range m.nodeBlocks(mac, c.block) {
			got += fmt.Sprintf("%d+%d-%d ", index[b.Node.String()], b.Proposed, b.Failed)
		}
		if got != c.want {
			t.Errorf("block %d: %q, want %q", i, got, c.want)
		}
	}
}
