package ckbtc

import (
	"time"

	"fusion/cdk"
	"fusion/ckledger/ckbtc/core"
	"fusion/ic/candid"
)

// The audit reads the ledger's blocks and matches each mint and burn with the log. It settles the transfers whose outcome the ledger's methods no longer tell,
// and reports what nothing explains.

type getTransactionsArgs struct {
	Start  candid.Nat `candid:"start"`
	Length candid.Nat `candid:"length"`
}

type moved struct {
	Amount        candid.Nat `candid:"amount"`
	CreatedAtTime *uint64    `candid:"created_at_time"`
}

type ledgerTransaction struct {
	Mint *moved `candid:"mint"`
	Burn *moved `candid:"burn"`
}

type getTransactionsResponse struct {
	LogLength    candid.Nat          `candid:"log_length"`
	FirstIndex   candid.Nat          `candid:"first_index"`
	Transactions []ledgerTransaction `candid:"transactions"`
}

// auditPage is how many blocks are read at a time; the ledger answers at most 2,000.
const auditPage = 1000

// audit is the state of the reading. It begins again with each instance.
type audit struct {
	running bool
	next    uint64                 // block to read
	at      uint64                 // when to go on
	since   uint64                 // when the present pass to the tip began
	gap     bool                   // some blocks are in archives, which are not read: absence proves nothing
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
	args := getTransactionsArgs{candid.NatFromUint64(a.next), candid.NatFromUint64(auditPage)}
	call := m.c.Call(m.ledger(), "get_transactions", args).OnCleanup(func() { a.running = false })
	cdk.Then(call, func(r getTransactionsResponse, err error) {
		a.running = false
		first, ok1 := r.FirstIndex.Uint64()
		length, ok2 := r.LogLength.Uint64()
		if err != nil || !ok1 || !ok2 {
			m.c.Print("read the ledger's blocks: %v", err)
			a.at = m.c.Time() + uint64(time.Minute)
			return
		}
		if len(r.Transactions) > 0 && first > a.next {
			a.gap, a.next = true, first
		}
		for i := range r.Transactions {
			m.auditBlock(a.next, &r.Transactions[i])
			a.next++
		}
		if len(r.Transactions) == 0 && a.next < length { // all of this page is in archives
			a.gap = true
			a.next = min(a.next+auditPage, length)
		}
		if a.next >= length {
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
		m.c.Print("audit: %s", finding)
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
		if _, before := a.unknown[t]; !found && (!before || a.gap) {
			continue
		}
		if found && t.Kind == core.TaskBurn && m.state.Request(index) != nil {
			m.c.Print("audit: ledger block %d belongs to two withdrawals", index)
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
	a.at = m.c.Time() + uint64(m.pace(10*time.Minute, time.Hour))
}
