package core

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// LedgerBlock is what the minter reads of a block of the ledger: a mint or a burn.
type LedgerBlock struct {
	Index     uint64
	Mint      bool // else a burn
	Amount    uint64
	CreatedAt uint64 // 0 if the transaction had none
}

// Match finds the transfer that a block of the ledger belongs to. Every transfer the minter ever asked for has a created_at_time of its own, so each block
// belongs to at most one. finding is "" if block and log agree, else a sentence for the operator. Burns that the minter did not ask for are none of its
// business: anybody may destroy what is his.
func (s *State) Match(b LedgerBlock) (t Task, ours bool, finding string) {
	t, ours = s.stamps[b.CreatedAt]
	ours = ours && b.CreatedAt != 0
	if !ours {
		if b.Mint {
			finding = fmt.Sprintf("ledger block %d mints %d that no event explains", b.Index, b.Amount)
		}
		return t, false, finding
	}
	wrong := func(format string, args ...any) (Task, bool, string) {
		return t, true, fmt.Sprintf("ledger block %d: ", b.Index) + fmt.Sprintf(format, args...)
	}
	switch t.Kind {
	case TaskMint:
		d := s.deposits[t.Outpoint]
		switch {
		case !b.Mint || b.Amount != d.Mint.Amount && d.Mint.CreatedAt == b.CreatedAt:
			return wrong("does not mint %d for deposit %v", d.Mint.Amount, t.Outpoint)
		case d.Mint.CreatedAt != b.CreatedAt:
			return wrong("mints for deposit %v, which the ledger had refused", t.Outpoint)
		case d.State == DepositChecked:
			return wrong("mints for deposit %v, which the ledger had refused", t.Outpoint)
		case d.State == DepositMinted && d.Block != b.Index:
			return wrong("mints for deposit %v, which block %d minted", t.Outpoint, d.Block)
		}
	case TaskBurn:
		if b.Mint {
			return wrong("mints, where the log has a burn")
		}
		if s.feeBurns[b.Index] == b.Amount && b.Amount != 0 {
			break
		}
		if r := s.requests[b.Index]; r == nil && s.burns[t.ID] == nil {
			return wrong("burns %d for a withdrawal that the ledger had refused", b.Amount)
		} else if r != nil && r.Amount != b.Amount {
			return wrong("burns %d for a withdrawal of %d", b.Amount, r.Amount)
		}
	case TaskRefund:
		r := s.requests[t.ID]
		switch {
		case !b.Mint || b.Amount != r.Refund.Amount:
			return wrong("does not refund withdrawal %d with %d", t.ID, r.Refund.Amount)
		case r.RefundAt != b.CreatedAt:
			return wrong("refunds withdrawal %d, which the ledger had refused", t.ID)
		case r.State == RequestRefunded && r.RefundIn != b.Index:
			return wrong("refunds withdrawal %d, which block %d refunded", t.ID, r.RefundIn)
		}
	}
	return t, true, ""
}

// Unknown lists the transfers whose outcome the ledger's methods can no longer tell.
func (s *State) Unknown() []Task {
	return slices.SortedFunc(maps.Keys(s.unknown), func(a, b Task) int {
		if c := cmp.Compare(a.Kind, b.Kind); c != 0 {
			return c
		}
		if c := cmp.Compare(a.ID, b.ID); c != 0 {
			return c
		}
		return compareOutpoints(a.Outpoint, b.Outpoint)
	})
}

// Resolve gives the event that ends an unknown transfer: it is in the given block of the ledger, or (block nil) in none, which all blocks up to a time
// after it was given up have shown.
func (s *State) Resolve(t Task, block *uint64) Event {
	switch {
	case t.Kind == TaskMint && block == nil:
		return Event{MintRefused: &t.Outpoint}
	case t.Kind == TaskMint:
		d := s.deposits[t.Outpoint]
		return Event{Minted: &Minted{Outpoint: t.Outpoint, BlockIndex: *block, Utxo: d.Utxo, Account: d.Account}}
	case t.Kind == TaskBurn && block == nil:
		return Event{BurnRefused: &t.ID}
	case t.Kind == TaskBurn:
		b := s.burns[t.ID]
		if b.Inputs > 0 {
			return Event{FeeBurned: &FeeBurned{Number: t.ID, BlockIndex: *block, Amount: b.Amount, Address: b.Address}}
		}
		return Event{Accepted: &Accepted{Number: t.ID, BlockIndex: *block, Amount: b.Amount, Address: b.Address, Refund: b.Refund}}
	case block == nil:
		return Event{RefundRefused: &t.ID}
	}
	return Event{Refunded: &Refunded{BlockIndex: t.ID, MintBlock: *block}}
}

// Undecided reports whether a mint, burn or refund has neither moved anything nor been refused, as far as the log knows.
func (s *State) Undecided(t Task) bool {
	switch t.Kind {
	case TaskMint:
		d := s.deposits[t.Outpoint]
		return d != nil && (d.State == DepositAsked || d.State == DepositUnknown)
	case TaskBurn:
		return s.burns[t.ID] != nil
	case TaskRefund:
		r := s.requests[t.ID]
		return r != nil && (r.State == RequestWillRefund || r.State == RequestRefundUnknown)
	}
	return false
}
