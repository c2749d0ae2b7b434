package machine

import (
	"encoding/binary"

	"fusion/internal/kv"
	"fusion/replica/consensus/driver"
	"fusion/replica/execution"
)

// What the blocks tell of the nodes: who made this one, and whose turns passed until the one before it was decided, which only this one's
// votes say.

var keyProposer = []byte("proposer")

// nodeBlocks counts a block for the metrics of the nodes, in the order of their indexes.
func (m *Machine) nodeBlocks(mac kv.Store, b driver.Block) (out []execution.NodeBlocks) {
	maker := -1 // of the block before
	if raw, ok := mac.Get(keyProposer); ok {
		maker = int(binary.BigEndian.Uint32(raw))
	}
	for i, id := range m.members.ids {
		var nb execution.NodeBlocks
		if i < len(b.Before.Passed) {
			nb.Failed = b.Before.Passed[i]
		}
		// A block that was proposed in an earlier round than the one that decided it, by proposing it again, was no failure.
		if i == maker && i != b.Before.Last && nb.Failed > 0 {
			nb.Failed--
		}
		if i == b.Proposer {
			nb.Proposed = 1
		}
		if nb.Proposed|nb.Failed != 0 {
			nb.Node = id
			out = append(out, nb)
		}
	}
	if b.Proposer < 0 {
		mac.Delete(keyProposer)
	} else {
		mac.Set(keyProposer, binary.BigEndian.AppendUint32(nil, uint32(b.Proposer)))
	}
	return out
}
