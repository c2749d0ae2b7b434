package core

import (
	"fmt"

	"fusion/eth"
)

// After a recovery of the subnet from a backup the chain has transactions of the minter that its log does not know. What one of them pays is in its payload: this
// minter pays an ether withdrawal what it asked less the highest fee, to the wei, and a token's withdrawal the whole amount.

// Recall finds the withdrawal that a transaction with the next nonce of the main address pays, the oldest of those that wait. It returns nil if there is none. An error
// names one that it may pay and for which nothing is burned yet, as far as the log knows.
func (s *State) Recall(tx eth.Transaction, main eth.Address) (*Created, error) {
	x := Created{Transfer: s.lastTx + 1, Nonce: s.nonce, Main: main}
	for _, n := range s.queue {
		if x.recalls(s, s.requests[n], tx) {
			return &x, nil
		}
	}
	for n := uint64(1); n <= s.lastReq; n++ {
		if r := s.requests[n]; r != nil && r.State < RequestPending && x.recalls(s, r, tx) {
			return nil, fmt.Errorf("it pays what withdrawal %d asked, and the ledger has not said yet whether it burned for that", n)
		}
	}
	return nil, nil
}

// recalls completes x for a request, and reports whether its transaction has the payload of tx and costs no more than the withdrawal can pay.
func (x *Created) recalls(s *State, r *Request, tx eth.Transaction) bool {
	x.Number, x.Value, x.Filler = r.Number, tx.Value, false
	x.Fee = Fee{MaxPriorityFeePerGas: tx.MaxPriorityFeePerGas, MaxFeePerGas: tx.MaxFeePerGas}
	want := s.Transaction(r, x)
	if tx.SigningHash() != want.SigningHash() {
		return false
	}
	cost := x.Fee.Cost(want.GasLimit)
	if r.IsEther() {
		return !x.Value.IsZero() && plus(x.Value, cost) == r.Amount
	}
	return x.Value.IsZero() && !cost.Gt(&r.MaxFee)
}

// Recognise gives the event for a replacement under the nonce of a transfer that was made after a backup from which the subnet was restored, or nil if the transaction
// is none: it neither pays what the withdrawal is owed nor, as a filler, nobody.
func (s *State) Recognise(t *Transfer, tx eth.Transaction) *Event {
	if s.recovery == 0 || t.IsSweep() || t.Disputed {
		return nil
	}
	r := s.requests[t.Number]
	x := Created{Transfer: t.ID, Nonce: t.Nonce, Main: t.From}
	if !x.recalls(s, r, tx) {
		x.Filler, x.Value = true, Amount{}
		filler := s.Transaction(r, &x)
		cost, most := x.Fee.Cost(filler.GasLimit), plus(r.MaxFee, plus(s.Spare(), r.Reserved))
		if r.IsEther() {
			most = sub(r.Amount, AmountOf(1))
		}
		if tx.SigningHash() != filler.SigningHash() || cost.Gt(&most) {
			return nil
		}
	}
	if !x.Fee.Replaces(t.Latest().Fee) {
		return nil
	}
	return &Event{Replaced: &x}
}
