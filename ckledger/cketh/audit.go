package cketh

import (
	"time"

	"fusion/ckledger/cketh/core"
	"fusion/ckledger/minting/ledger"
	"fusion/ic/principal"
)

// The audit reads the ledgers' blocks and matches each mint and burn with the log. It settles the transfers whose outcome the ledgers' methods no longer tell,
// and reports what nothing explains.

// auditPage is how many blocks are read at a time; ledgers and archives answer at most 2,000.
const auditPage = 1000

// audit is the state of reading one ledger. It begins again with each instance.
type audit struct {
	running bool
	next    uint64                 // block to read
	at      uint64                 // when to go on
	since   uint64                 // when the present pass to the tip began
	found   map[core.Task]uint64   // open transfers seen in a block
	unknown map[core.Task]struct{} // what was unknown when the present pass began
}

// readLedgers reads a page of each ledger if it is time.
func (m *minter) readLedgers(now uint64) {
	m.readLedger(core.Ether, now)
	for _, t := range m.state.Tokens() {
		m.readLedger(t.Asset, now)
	}
}

func (m *minter) readLedger(asset core.Asset, now uint64) {
	a := m.audits[asset]
	if a == nil {
		a = &audit{found: map[core.Task]uint64{}}
		m.audits[asset] = a
	}
	if a.running || now < a.at {
		return
	}
	if a.since == 0 { // a pass begins
		a.since, a.unknown = now, map[core.Task]struct{}{}
		for _, t := range m.state.Unknown(asset) {
			a.unknown[t] = struct{}{}
		}
	}
	a.running = true
	ledger.Read(m.c, principal.MustFromBytes(m.state.LedgerOf(asset)), a.next, auditPage, func() { a.running = false }, func(page ledger.Page, err error) {
		a.running = false
		if err != nil {
			m.c.Print("read the blocks of the ledger of %s: %v", m.state.Symbol(asset), err)
			a.at = m.c.Time() + uint64(time.Minute)
			return
		}
		for i := range page.Transactions {
			m.auditBlock(asset, a, a.next, &page.Transactions[i])
			a.next++
		}
		if a.next >= page.Length {
			m.endPass(asset, a)
		}
	})
}

func (m *minter) auditBlock(asset core.Asset, a *audit, index uint64, tx *ledger.Transaction) {
	x := tx.Mint
	if x == nil {
		x = tx.Burn
	}
	if x == nil {
		return
	}
	b := core.LedgerBlock{Index: index, Mint: tx.Mint != nil}
	b.Amount, _ = amountOf(x.Amount)
	if x.CreatedAtTime != nil {
		b.CreatedAt = *x.CreatedAtTime
	}
	t, ours, finding := m.state.Match(asset, b)
	if finding != "" {
		m.c.Print("audit: %s", finding)
		return
	}
	if ours {
		a.found[t] = index
	}
}

// endPass settles what was unknown when the pass began: its block was read, or there is none.
func (m *minter) endPass(asset core.Asset, a *audit) {
	for _, t := range m.state.Unknown(asset) {
		index, found := a.found[t]
		if _, before := a.unknown[t]; !found && !before {
			continue
		}
		if found && t.Kind == core.TaskBurn && m.state.RequestByID(index) != nil {
			m.c.Print("audit: block %d belongs to two withdrawals", index)
			continue
		}
		block := &index
		if !found {
			block = nil
		}
		m.emit(m.state.Resolve(t, block))
		m.c.Print("audit: an unknown outcome is settled, found in a block: %v", found)
	}
	for t := range a.found { // ended transfers need no memory
		if !m.state.Undecided(t) {
			delete(a.found, t)
		}
	}
	a.since = 0
	a.at = m.c.Time() + m.pace(10*time.Minute, time.Hour)
}
