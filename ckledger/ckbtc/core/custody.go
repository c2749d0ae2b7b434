package core

import (
	"slices"

	"fusion/btc"
)

// Holding is an output in custody. Payment is the open payment that spends it, 0 if none does.
type Holding struct {
	Owned
	Payment uint64
}

// Holdings lists the outputs whose sum is Custody, in order of their outpoints, those behind one and at most n of them. It visits everything.
func (s *State) Holdings(after *btc.Outpoint, n int) (list []Holding, more bool) {
	add := func(o Owned, payment uint64) {
		if after == nil || compareOutpoints(o.Outpoint(), *after) > 0 {
			list = append(list, Holding{o, payment})
		}
	}
	for _, o := range s.available {
		add(o, 0)
	}
	for _, w := range s.watched {
		if w.Locked && !w.Missing {
			add(w.Owned, 0)
		}
	}
	for _, p := range s.payments {
		for _, o := range p.Inputs {
			if !s.missing(o.Outpoint()) {
				add(o, p.ID)
			}
		}
	}
	slices.SortFunc(list, func(a, b Holding) int { return compareOutpoints(a.Outpoint(), b.Outpoint()) })
	if len(list) > n {
		return list[:n], true
	}
	return list, false
}

// Owed is what was burned for withdrawals and not paid or refunded yet, satoshi.
func (s *State) Owed() (sum uint64) {
	for _, r := range s.requests {
		sum += r.owed()
	}
	return sum
}
