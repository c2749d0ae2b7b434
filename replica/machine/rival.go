package machine

import (
	"math/big"

	"fusion/btc"
	"fusion/btc/chain"
	"fusion/internal/kv"
	"fusion/replica/genesis"
	"fusion/replica/rival"
)

// The room of rivals: what members say of Bitcoin chains that the state cannot follow, and what follows for the coins.

func (m *Machine) rivalConfig() rival.Config {
	_, wait := m.cfg.Genesis.Bitcoin.Rivals()
	return rival.Config{Life: m.life, For: wait}
}

// checkRivals says whether a block at a height may carry the items.
func (m *Machine) checkRivals(height uint64, items [][]byte) error {
	return rival.Check(kv.PrefixReader(m.db.Reader(), prefixRivals), m.rivalConfig(), m.members.roster, height, items)
}

// stepRivals executes a block's items, and has coins counted or not.
func (m *Machine) stepRivals(s kv.Store, height uint64, items [][]byte, res *Result) {
	res.Skipped += rival.Step(s, m.rivalConfig(), m.members.roster, height, m.timeNs, items)
	v := m.judgeRivals(s)
	m.btc.Suspect(v.String())
}

func (m *Machine) judgeRivals(r kv.Reader) rival.Verdict {
	best := m.btc.BestHeader()
	return rival.Judge(r, m.rivalConfig(), m.members.set, best.Work, margin(m.cfg.Genesis, best), m.timeNs)
}

// margin is by how much work a chain must be ahead before members speak of it.
func margin(doc *genesis.Doc, best *chain.Node) *big.Int {
	blocks, _ := doc.Bitcoin.Rivals()
	w := chain.Work(best.Header.Bits)
	return w.Mul(w, big.NewInt(int64(blocks)))
}

// DueClaim is the claim that this node should make in the block at a height: tip, height and work are of the heaviest chain that its Bitcoin peers show and
// that the state cannot follow, with a nil work if there is none. It belongs to the goroutine that steps the machine.
func (m *Machine) DueClaim(node int, at uint64, tip btc.Hash, height uint32, work *big.Int) *rival.Claim {
	if m.btc == nil || m.members.set.Seat(node) < 0 {
		return nil
	}
	return rival.Due(kv.PrefixReader(m.db.Reader(), prefixRivals), uint32(node), at, m.timeNs, tip, height, work)
}

// FitsRival says whether a block at a height may carry an item of payload.Rival.
func (m *Machine) FitsRival(height uint64, item []byte) bool {
	return m.checkRivals(height, [][]byte{item}) == nil
}
