package core

import (
	"fmt"
	"slices"

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

// Nonces of deposit addresses are counted by the log: whatever else the chain has of them was made after the backup, by a sweep whose deposit nobody remembers.

// note enters a nonce of a deposit address.
func (s *State) note(a Account, nonce uint64) {
	list := s.nonces[a]
	if list == nil {
		s.addresses = append(s.addresses, a)
	}
	if i, known := slices.BinarySearch(list, nonce); !known {
		s.nonces[a] = slices.Insert(list, i, nonce)
	}
}

// Addresses lists the accounts whose deposit addresses the log has sweeps of. It only grows.
func (s *State) Addresses() []Account { return s.addresses }

// Recalled is how many sweeps were found that the log did not know.
func (s *State) Recalled() uint64 { return s.recalled }

// Surplus is what the main address held beyond the books when a controller last resumed, less what sweeps that came to light since had brought of it. It is of other
// such sweeps, or given.
func (s *State) Surplus() Amount { return s.surplus }

// Restored reports whether the log knows of a recovery of the subnet.
func (s *State) Restored() bool { return s.recovery != 0 }

// LostNonce is the lowest nonce of an account's deposit address that no sweep of the log has; ok is false if it is not below used, the number of transactions that
// the address has sent.
func (s *State) LostNonce(a Account, used uint64) (nonce uint64, ok bool) {
	for _, n := range s.nonces[a] {
		if n != nonce {
			break
		}
		nonce++
	}
	return nonce, nonce < used
}

// RecallSweep gives the event for the final transaction with a nonce of an account's deposit address that the log does not know. tx is what it signs, nil if that has
// not the form of the minter's. Only the minter signs for the address, so whatever moves ether from there to the main address is a sweep. It is nil if
// the nonce is that of an open sweep, and the transaction is none. What an earlier minter with the same key swept before this log began counts for nothing.
func (s *State) RecallSweep(a Account, from, main eth.Address, nonce uint64, tx *eth.Transaction, f Facts) *Event {
	x := Swept{Transfer: s.lastTx + 1, Account: a, From: from, Nonce: nonce, Hash: f.Hash, Block: f.Block}
	sweep := s.recovery != 0 && tx != nil && tx.To == main && tx.GasLimit == GasEther && len(tx.Data) == 0 && !tx.Value.IsZero() && s.deposits[Source{Tx: f.Hash}] == nil
	t := s.SweepOf(a)
	open := t != nil && t.Nonce == nonce
	switch {
	case open && (!sweep || t.Disputed):
		return nil
	case open:
		x.Transfer = t.ID
	case f.Block.Number <= s.began:
		return &Event{Swept: &x}
	case !sweep:
		x.Confusion = fmt.Sprintf("nonce %d of the deposit address %v was used by %v, which is no sweep", nonce, from, f.Hash)
	}
	if sweep && f.Success {
		x.Value = tx.Value
	}
	return &Event{Swept: &x}
}

// doubt halts until a controller has compared the log with the chain.
func (s *State) doubt(now uint64) {
	s.stale = max(now, 1)
	s.halt = &Halt{Number: s.observed.Number, Want: s.observed.Hash, Got: s.observed.Hash, Reason: RecoveryHalt(s.recovery)}
}

func (s *State) swept(e *Event) error {
	x := e.Swept
	t := s.SweepOf(x.Account)
	switch {
	case s.recovery == 0 || x.Confusion != "" && !x.Value.IsZero():
		return misfit("sweep %v is out of order", x.Hash)
	case t != nil && t.ID == x.Transfer:
		if t.Disputed || t.Nonce != x.Nonce || t.From != x.From || x.Confusion != "" {
			return misfit("sweep %v is not transfer %d", x.Hash, x.Transfer)
		}
		delete(s.transfers, t.ID)
		delete(s.sweeps, x.Account)
	case x.Transfer != s.lastTx+1 || slices.Contains(s.nonces[x.Account], x.Nonce):
		return misfit("sweep %v is out of order: its nonce %d is known, or its number %d is not the next", x.Hash, x.Nonce, x.Transfer)
	default:
		s.lastTx = x.Transfer
		s.note(x.Account, x.Nonce)
	}
	s.recalled++
	if x.Confusion != "" {
		s.halt = &Halt{Number: x.Block.Number, Got: x.Hash, Reason: x.Confusion}
	}
	if x.Value.IsZero() {
		return nil
	}
	spare := s.Spare()
	d := &Deposit{Claim: Claim{Source: Source{Tx: x.Hash}, Block: x.Block.Number, From: x.From, Value: x.Value, To: x.Account}, Sweep: x.Transfer}
	if err := s.brought(d, e.Time); err != nil || s.stale != 0 || x.Block.Number > s.weighed {
		return err
	}
	// The money was there when the books were compared with the chain, beyond what they have.
	part := least(x.Value, s.surplus)
	rest := sub(x.Value, part)
	s.surplus = sub(s.surplus, part)
	if !rest.Gt(&spare) {
		b := s.books[Ether]
		b.Custody = sub(b.Custody, rest)
		return nil
	}
	halt := s.halt // it has covered something else meanwhile: what is owed must be weighed again
	if s.doubt(e.Time); halt != nil {
		s.halt = halt
	}
	return nil
}

// weigh corrects the books by what the chain holds. What it holds beyond them is nobody's, but for sweeps that come to light later.
func (s *State) weigh(x *Weighed) error {
	if s.stale == 0 {
		return misfit("the main address is weighed in block %d, and nobody doubts what it holds", x.Block)
	}
	b := s.books[Ether]
	s.weighed, s.surplus, b.Custody = x.Block, sub(x.Held, x.Booked), sub(b.Custody, sub(x.Booked, x.Held))
	claims := s.Claims(Ether)
	more := least(sub(claims, b.Custody), s.surplus)
	b.Custody, s.surplus = plus(b.Custody, more), sub(s.surplus, more)
	if claims.Gt(&b.Custody) {
		return misfit("%v are owed, the main address holds %v", &claims, &x.Held)
	}
	return nil
}
