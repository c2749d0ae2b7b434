package core

import (
	"testing"

	"fusion/eth"
)

// swept is a sweep of someone's deposit address that the log does not know.
func (h *harness) swept(nonce, block, wei uint64) Event {
	tx := eth.Transaction{ChainID: Sepolia, Nonce: nonce, GasLimit: GasEther, To: mainAddr, Value: AmountOf(wei), MaxFeePerGas: AmountOf(1e9)}
	return *h.s.RecallSweep(someone, eth.Address{0x11}, mainAddr, nonce, &tx, Facts{Hash: eth.Hash{byte(nonce), 0x55}, Block: Block{Number: block}, Success: true})
}

func (h *harness) lost(want uint64) {
	h.t.Helper()
	if n, ok := h.s.LostNonce(someone, 10); !ok || n != want {
		h.t.Errorf("nonce %d is lost, %v, want %d", n, ok, want)
	}
}

// restored has one sweep that is minted, and learns then that the subnet was restored.
func restored(t *testing.T) *harness {
	h := newHarness(t)
	h.deposit(1, ether)
	h.apply(Event{Sweep: &SweepCreated{Transfer: 1, Account: someone, From: eth.Address{0x11}, Main: mainAddr, Fee: cheap, Value: AmountOf(ether)}})
	h.lost(1)
	h.apply(Event{Finalized: &Receipt{Transfer: 1, Hash: eth.Hash{0x44}, Block: Block{Number: 3}, Success: true}})
	h.apply(Event{MintAsked: &MintAsked{Source{Tx: eth.Hash{0x44}}, h.s.Stamp(0)}})
	h.apply(Event{Minted: &Minted{Source{Tx: eth.Hash{0x44}}, 9}})
	before := NewState(minterAcct)
	if err := before.Apply(&Event{Init: &Start{Config: h.s.Config}}); err != nil {
		t.Fatal(err)
	}
	if err := before.Apply(&Event{Swept: &Swept{Transfer: 1, Account: someone, Value: AmountOf(1)}}); err == nil {
		t.Error("a sweep comes to light, and the subnet was never restored")
	}
	n := uint64(1)
	h.apply(Event{Recovery: &n})
	return h
}

// resume reconciles the log with a chain that holds some wei more or less than the books have.
func (h *harness) resume(block uint64, more, less uint64) {
	h.t.Helper()
	booked := h.s.Book(Ether).Custody
	h.apply(Event{Weighed: &Weighed{Block: block, Held: sub(plus(booked, AmountOf(more)), AmountOf(less)), Booked: booked}})
	h.apply(Event{Reconciled: &Reconciled{h.s.Nonce()}})
}

// What a sweep brought is to be minted once: neither a nonce that the log has nor a transaction is taken twice.
func TestUnknownSweepIsTakenOnce(t *testing.T) {
	h := restored(t)
	e := h.swept(2, 20, 7*ether/2) // there may be gaps
	h.apply(e)
	h.lost(1)
	if d := h.s.Deposit(Source{Tx: eth.Hash{2, 0x55}}); d == nil || d.State != DepositWaiting || d.Value != AmountOf(7*ether/2) || d.To != someone || d.Sweep != 2 {
		t.Fatalf("%+v", d)
	}
	h.apply(h.swept(1, 19, ether))
	h.lost(3)
	h.apply(h.swept(3, 10, ether)) // the log begins after block 10
	h.lost(4)
	if h.s.Deposit(Source{Tx: eth.Hash{3, 0x55}}) != nil {
		t.Error("a sweep of before the log is minted")
	}
	if len(h.s.Addresses()) != 1 || h.s.Recalled() != 3 {
		t.Errorf("%d addresses, %d recalled", len(h.s.Addresses()), h.s.Recalled())
	}
	for what, change := range map[string]func(x *Swept){
		"the same":         func(*Swept) {},
		"another number":   func(x *Swept) { x.Transfer = h.s.NextTransfer() },
		"a known nonce":    func(x *Swept) { x.Transfer, x.Nonce, x.Hash = h.s.NextTransfer(), 0, eth.Hash{0x99} },
		"a number too far": func(x *Swept) { x.Transfer, x.Nonce, x.Hash = h.s.NextTransfer()+1, 5, eth.Hash{0x99} },
		"a known hash":     func(x *Swept) { x.Transfer, x.Nonce = h.s.NextTransfer(), 5 },
		"no sweep, a value": func(x *Swept) {
			x.Transfer, x.Nonce, x.Hash, x.Confusion = h.s.NextTransfer(), 5, eth.Hash{0x99}, "odd"
		},
	} {
		again := restored(t)
		again.apply(again.swept(2, 20, 7*ether/2))
		again.apply(again.swept(1, 19, ether))
		again.apply(again.swept(3, 10, ether))
		x := *e.Swept
		change(&x)
		again.refused(what, Event{Swept: &x})
	}
}

// Another transaction takes the nonce of an open sweep: it ends that one, if it moves ether to the main address.
func TestUnknownSweepEndsTheOpenOne(t *testing.T) {
	h := restored(t)
	from := eth.Address{0x11}
	h.apply(Event{Sweep: &SweepCreated{Transfer: 2, Account: someone, From: from, Main: mainAddr, Nonce: 1, Fee: cheap, Value: AmountOf(ether)}})
	f := Facts{Hash: eth.Hash{8}, Block: Block{Number: 30}, Success: true}
	tx := eth.Transaction{Nonce: 1, GasLimit: GasEther, To: mainAddr, Value: AmountOf(ether / 2)}
	for what, change := range map[string]func(*eth.Transaction, *Facts){
		"to somebody else":    func(tx *eth.Transaction, _ *Facts) { tx.To = eth.Address{9} },
		"with data":           func(tx *eth.Transaction, _ *Facts) { tx.Data = []byte{1} },
		"of nothing":          func(tx *eth.Transaction, _ *Facts) { tx.Value = Amount{} },
		"with other gas":      func(tx *eth.Transaction, _ *Facts) { tx.GasLimit++ },
		"that is minted once": func(_ *eth.Transaction, f *Facts) { f.Hash = eth.Hash{0x44} },
	} {
		tx, f := tx, f
		change(&tx, &f)
		if e := h.s.RecallSweep(someone, from, mainAddr, 1, &tx, f); e != nil {
			t.Errorf("a transaction %s is a sweep", what)
		}
		if e := h.s.RecallSweep(someone, from, mainAddr, 4, &tx, f); e == nil || e.Swept.Confusion == "" || !e.Swept.Value.IsZero() {
			t.Errorf("a transaction %s: %+v", what, e)
		}
	}
	h.apply(*h.s.RecallSweep(someone, from, mainAddr, 1, &tx, f))
	if d := h.s.Deposit(Source{Tx: f.Hash}); d == nil || d.Value != AmountOf(ether/2) || d.Sweep != 2 || h.s.SweepOf(someone) != nil {
		t.Errorf("%+v", d)
	}
	h.lost(2)
	f = Facts{Hash: eth.Hash{9}, Block: Block{Number: 31}} // it failed
	tx.Nonce = 2
	custody := h.s.Book(Ether).Custody
	h.apply(*h.s.RecallSweep(someone, from, mainAddr, 2, &tx, f))
	if h.s.Deposit(Source{Tx: f.Hash}) != nil || h.s.Book(Ether).Custody != custody {
		t.Error("a sweep that failed is a deposit")
	}
	h.lost(3)
}

// What the comparison found beyond the books covers sweeps that come to light later, and what the books have beyond all claims does. A sweep that nothing covers is
// owed all the same: the minter halts until it is weighed again. Sweeps of later blocks bring their own.
func TestUnknownSweepsAreCovered(t *testing.T) {
	custody := func(h *harness) uint64 { c := h.s.Book(Ether).Custody; return c.Uint64() }
	h := restored(t)
	h.refused("weighing less than is owed", Event{Weighed: &Weighed{Block: 40, Held: AmountOf(1), Booked: h.s.Book(Ether).Custody}})
	h = restored(t)
	h.resume(40, ether, 0)
	had := custody(h)
	h.apply(h.swept(1, 41, ether/8)) // after it
	if custody(h) != had+ether/8 || h.s.Halt() != nil {
		t.Fatalf("custody %d, was %d", custody(h), had)
	}
	h.apply(h.swept(2, 40, ether/2))
	h.apply(h.swept(3, 12, ether/2))
	if custody(h) != had+ether/8+ether || h.s.Halt() != nil {
		t.Fatalf("custody %d, was %d, halt %+v", custody(h), had, h.s.Halt())
	}
	h.refused("weighing without doubt", Event{Weighed: &Weighed{Block: 50}})

	h = restored(t)
	h.resume(40, ether, 0)
	h.apply(h.swept(1, 40, ether/2))
	h.apply(h.swept(2, 40, ether/2+1))
	if h.s.Halt() == nil || !h.s.Stale() || h.s.HaltedOtherwise() {
		t.Fatalf("halt %+v", h.s.Halt())
	}
	booked := h.s.Book(Ether).Custody
	h.apply(Event{Weighed: &Weighed{Block: 60, Held: booked, Booked: booked}}) // the wei was paid in
	h.apply(Event{Reconciled: &Reconciled{h.s.Nonce()}})
	h.apply(h.swept(3, 60, 1))
	if !h.s.Stale() {
		t.Error("what covered one sweep covers another")
	}

	// Fees that were kept are beyond all claims.
	h = restored(t)
	h.apply(Event{Seen: &Claim{Source: Source{Tx: eth.Hash{0x77}}, Value: AmountOf(ether), To: someone}})
	h.resume(40, 0, 0)
	spare := func() uint64 { x := h.s.Spare(); return x.Uint64() }
	h.s.books[Ether].Custody = plus(h.s.books[Ether].Custody, AmountOf(1000))
	h.apply(h.swept(1, 40, 400))
	if spare() != 600 || h.s.Halt() != nil {
		t.Errorf("%d are spare, halt %+v", spare(), h.s.Halt())
	}
	h.apply(h.swept(2, 40, 601))
	if !h.s.Stale() {
		t.Error("601 of 600 are covered")
	}
}
