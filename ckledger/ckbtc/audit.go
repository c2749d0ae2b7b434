package ckbtc

import (
	"time"

	"fusion/ckledger/ckbtc/core"
	"fusion/ckledger/minting/ledger"
)

// The audit reads the ledger's blocks and matches each mint and burn with the log. It settles the transfers whose outcome the ledger's methods no longer tell,
// and reports what nothing explains.

type (
	getTransactionsArgs     = ledger.GetTransactionsArgs
	getTransactionsResponse = ledger.GetTransactionsResponse
	ledgerTransaction       = ledger.Transaction
)

// auditPage is how many blocks are read at a time; ledgers and archives answer at most 2,000.
const auditPage = 1000

// audit is the state of the reading. It begins again with each instance.
type audit struct {
	running bool
	next    uint64                 // block to read
	at      uint64                 // when to go on
	since   uint64                 // when the present pass to the tip began
	found   map[core.Task]uint64   // open transfers seen in a block
	unknown map[core.Task]struct{} // what was unknown when the present pass began
}

// readLedger reads a page if it is time.
func (m *minter) readLedger(now uint64) {
	a := &m.audit
	if a.running || now < a.at {
		return
	}
	if a.since == 0 { // a pass begins
		a.since, a.unknown = now, map[core.Task]struct{}{}
		for _, t := range m.state.Unknown() {
			a.unknown[t] = struct{}{}
		}
	}
	a.running = true
	ledger.Read(m.c, m.ledgerID(), a.next, auditPage, func() { a.running = false }, func(page ledger.Page, err error) {
		a.running = false
		if err != nil {
			m.logf("read the ledger's blocks: %v", err)
			a.at = m.c.Time() + uint64(time.Minute)
			return
		}
		for i := range page.Transactions {
			m.auditBlock(a.next, &page.Transactions[i])
			a.next++
		}
		if a.next >= page.Length {
			m.endPass()
		}
	})
}

func (m *minter) auditBlock(index uint64, tx *ledgerTransaction) {
	x := tx.Mint
	if x == nil {
		x = tx.Burn
	}
	if x == nil {
		return
	}
	b := core.LedgerBlock{Index: index, Mint: tx.Mint != nil}
	b.Amount, _ = x.Amount.Uint64()
	if x.CreatedAtTime != nil {
		b.CreatedAt = *x.CreatedAtTime
	}
	t, ours, finding := m.state.Match(b)
	if finding != "" {
		m.findings++
		m.logf("audit: %s", finding)
		return
	}
	if ours {
		if m.audit.found == nil {
			m.audit.found = map[core.Task]uint64{}
		}
		m.audit.found[t] = index
	}
}

// endPass settles what was unknown when the pass began: its block was read, or there is none.
func (m *minter) endPass() {
	a := &m.audit
	for _, t := range m.state.Unknown() {
		index, found := a.found[t]
		if _, before := a.unknown[t]; !found && !before {
			continue
		}
		if found && t.Kind == core.TaskBurn && m.state.BurnedIn(index) {
			m.logf("audit: ledger block %d belongs to two burns", index)
			continue
		}
		block := &index
		if !found {
			block = nil
		}
		m.emit(m.state.Resolve(t, block))
		m.logf("audit: an unknown outcome is settled, found in a block: %v", found)
	}
	for t := range a.found { // ended transfers need no memory
		if !m.state.Undecided(t) {
			delete(a.found, t)
		}
	}
	a.since = 0
	a.at = m.c.Time() + uint64(m.pace(10*time.Minute, time.Hour))
}
