package core

import (
	"errors"
	"slices"
	"testing"

	"fusion/btc"
	"fusion/ic/principal"
)

// What the simulations found, each as a story of its own.

// story applies events to a minter that settles outputs after six confirmations and checks the invariants after each.
type story struct {
	t *testing.T
	s *State
	u Account
	n uint64
}

func newStory(t *testing.T) *story {
	y := &story{t: t, s: NewState(minter), u: Account{Owner: principal.FromUint64(9)}}
	cfg := Config{Network: btc.Regtest, Ledger: []byte{1}, KeyName: "k", RetrieveMin: 10_000, Confirmations: 1, MaxInputs: 10, Consolidate: 2, Limits: DefaultLimits(btc.Regtest)}
	cfg.MinBatch = 1
	y.apply(Event{Init: &cfg})
	return y
}

func (y *story) apply(events ...Event) {
	y.t.Helper()
	for _, e := range events {
		y.n++
		e.Time = y.n * second
		if err := y.s.Apply(&e); err != nil {
			y.t.Fatal(err)
		}
		if err := y.s.CheckInvariants(); err != nil {
			y.t.Fatal(err)
		}
	}
}

func (y *story) refuses(e Event) {
	y.t.Helper()
	if err := y.s.Apply(&e); !errors.Is(err, ErrEvent) {
		y.t.Fatalf("%+v: %v", e, err)
	}
}

// asked is a deposit for which the ledger was asked, minted one for which it answered.
func (y *story) asked(id byte, value uint64) Utxo {
	y.t.Helper()
	u := Utxo{Txid: btc.Hash{id}, Value: value, Height: 5}
	y.apply(Event{CheckedUtxo: &UtxoOf{u, y.u, false}}, Event{MintAsked: &MintAsked{u.Outpoint(), value, 0, y.s.Stamp(0)}})
	return u
}

func (y *story) minted(id byte, value uint64) Utxo {
	y.t.Helper()
	u := y.asked(id, value)
	y.apply(Event{Minted: &Minted{u.Outpoint(), uint64(id), u, y.u}})
	return u
}

// withdraw burns amount and prepares its payment.
func (y *story) withdraw(block, amount uint64) *Payment {
	y.t.Helper()
	to, err := btc.NewAddress(btc.Regtest, btc.P2WPKH, make([]byte, 20))
	if err != nil {
		y.t.Fatal(err)
	}
	n := y.s.NextBurn()
	y.apply(Event{BurnAsked: &BurnAsked{n, y.u, y.u, true, amount, to.String(), y.s.Stamp(0), 0, 0}}, Event{Accepted: &Accepted{n, block, amount, to.String(), y.u}})
	events, err := y.s.Batch(day, 5000, simKey)
	if err != nil || len(events) != 1 {
		y.t.Fatalf("%+v %v", events, err)
	}
	y.apply(events...)
	return y.s.Payment(y.s.lastPay)
}

// recheck shows the minter a chain in which its user's address holds the given outputs, and its own none.
func (y *story) recheck(tip uint32, us ...Utxo) []Event {
	y.t.Helper()
	v := NewView(tip)
	v.Add(Place{Account: minter}, nil)
	v.Add(Place{Account: y.u}, us)
	events := y.s.Recheck(y.n*second, v)
	y.apply(events...)
	return events
}

func (y *story) deficit(want uint64) {
	y.t.Helper()
	if got := y.s.Deficit(); got != want || (y.s.Paused() != "") != (want > 0) {
		y.t.Fatalf("deficit %d, want %d; %q", got, want, y.s.Paused())
	}
}

// The ledger may have minted although it has not said so: a deposit that vanishes meanwhile is missing, not forgotten, and its late answer does not make it spendable.
func TestDepositVanishesWhileTheLedgerIsAsked(t *testing.T) {
	y := newStory(t)
	u := y.asked(1, 50_000)
	y.recheck(9)
	y.deficit(50_000)
	y.apply(Event{Minted: &Minted{u.Outpoint(), 1, u, y.u}})
	y.deficit(50_000)
	if len(y.s.free()) != 0 {
		t.Fatal("what is not there can be spent")
	}
	y.recheck(9, u)
	y.deficit(0)
	if len(y.s.free()) != 1 {
		t.Fatal("what is there again cannot be spent")
	}
	// If the ledger had refused, there is nothing to make good: the deposit is forgotten, and new if it comes back.
	u = y.asked(2, 30_000)
	y.recheck(9, Utxo{Txid: btc.Hash{1}, Value: 50_000, Height: 5})
	y.deficit(30_000)
	op := u.Outpoint()
	y.apply(Event{MintRefused: &op})
	if es := y.recheck(9, Utxo{Txid: btc.Hash{1}, Value: 50_000, Height: 5}); len(es) != 1 || es[0].Vanished == nil || y.s.Deposit(op) != nil {
		t.Fatalf("%+v", es)
	}
	y.deficit(0)
	y.minted(2, 30_000)
}

// A missing deposit is not written off while the ledger has not said whether it minted for it: minted afterwards it would be backed by nothing.
func TestNothingIsWrittenOffWhileTheLedgerIsAsked(t *testing.T) {
	y := newStory(t)
	u := y.asked(1, 50_000)
	y.recheck(9)
	if n := y.s.Shortfall(); n != 0 {
		t.Fatalf("%d short", n)
	}
	if e, err := y.s.Resume(1, nil); !errors.Is(err, ErrShort) {
		t.Fatalf("%+v %v", e, err)
	}
	y.refuses(Event{Resumed: &WriteOff{List: []btc.Outpoint{u.Outpoint()}}})
}

// A payment in a block spent what the minter believed missing: so it is not missing, and the pause ends.
func TestMinedPaymentBringsBackWhatItSpent(t *testing.T) {
	y := newStory(t)
	y.minted(1, 50_000)
	p := y.withdraw(2, 20_000)
	y.recheck(9) // a branch without the deposit
	y.deficit(50_000)
	change := p.Latest().own()[0]
	change.Height = 9
	events, _ := y.s.Final(day, 12, []Utxo{change}) // another one with both
	if len(events) != 1 {
		t.Fatalf("%+v", events)
	}
	y.apply(events...)
	y.deficit(0)
	if r := y.s.Request(2); r.State != RequestConfirmed {
		t.Fatalf("%+v", r)
	}
}

// The fee of a consolidation is burned before it is spent. Until then it is owed: custody that covers the supply alone would fall below it.
func TestBurnedFeeOfConsolidationIsOwed(t *testing.T) {
	y := newStory(t)
	kept := y.minted(1, 60_000)
	y.minted(2, 40_000)
	ask := BurnAsked{Number: 1, From: FeeAccount(minter.Owner), Amount: 2000, Address: "x", CreatedAt: y.s.Stamp(0), Value: 100_000, Inputs: 2}
	y.apply(Event{BurnAsked: &ask}, Event{FeeBurned: &FeeBurned{1, 3, 2000, "x"}})
	y.recheck(9, kept)
	y.deficit(40_000)
	y.apply(Event{Restored: &Utxo{Txid: btc.Hash{3}, Value: 38_000, Height: 6}}) // all that holders own, without the fee
	if n := y.s.Shortfall(); n != 2000 {
		t.Fatalf("%d short", n)
	}
	y.apply(Event{Restored: &Utxo{Txid: btc.Hash{4}, Value: 2000, Height: 6}})
	e, err := y.s.Resume(day, nil)
	if err != nil {
		t.Fatal(err)
	}
	y.apply(*e)
	e, err = y.s.Consolidate(day, 5000, simKey)
	if err != nil || e == nil || e.Prepared == nil {
		t.Fatalf("%+v %v", e, err)
	}
	y.apply(*e)
	if supply := y.s.minted + y.s.refunded - y.s.burned; y.s.Custody()-e.Prepared.BtcFee < supply {
		t.Errorf("supply %d, custody %d less a fee of %d", supply, y.s.Custody(), e.Prepared.BtcFee)
	}
}

// Settled outputs are watched no more. After a reorganisation that may have reached them they are again: those that are free, and those that payments spend.
func TestDoubtWatchesSettledOutputs(t *testing.T) {
	y := newStory(t)
	us := []Utxo{y.minted(1, 50_000), y.minted(2, 90_000), y.minted(3, 20_000)}
	if es := y.recheck(20, us...); len(es) != 1 || len(es[0].Settled.List) != 3 || y.s.Watching() {
		t.Fatalf("%+v", es)
	}
	y.withdraw(4, 80_000) // spends the second
	if es := y.recheck(30, us[2]); len(es) != 0 {
		t.Fatalf("%+v", es)
	}
	e := y.s.Doubt()
	if e == nil || *e.Doubted != 3 {
		t.Fatalf("%+v", e)
	}
	y.apply(*e)
	if y.s.Doubt() != nil {
		t.Error("doubts twice")
	}
	es := y.recheck(30, us[2])
	if n := len(slices.DeleteFunc(es, func(e Event) bool { return e.Vanished == nil })); n != 2 {
		t.Fatalf("%d outputs vanished", n)
	}
	y.deficit(140_000)
}

// Two orphans, and what is nobody's covers one of them: the other waits, and neither is minted twice or for another value.
func TestOrphansAreCovered(t *testing.T) {
	y := newStory(t)
	y.minted(1, 1_000_000)
	n := uint64(1)
	y.apply(Event{Time: 1, Recovery: &n})
	at := func(id byte, value uint64) Utxo { return Utxo{Txid: btc.Hash{id}, Value: value, Height: 5} }
	a, b := at(7, 400_000), at(8, 400_000)
	y.apply(Event{Orphaned: &Orphaned{[]Orphan{{a, []byte{7}}, {b, []byte{8}}}}})
	y.refuses(Event{Orphaned: &Orphaned{[]Orphan{{a, []byte{7}}}}})
	y.apply(Event{Restored: &Utxo{Txid: btc.Hash{9}, Value: 500_000, Height: 6}})
	if got := y.s.Orphans([]byte{7}); !slices.Equal(got, []Utxo{a}) {
		t.Fatalf("orphans %v", got)
	}
	checked := func(u Utxo) Event { return Event{CheckedUtxo: &UtxoOf{Utxo: u, Account: y.u}} }
	y.refuses(checked(at(7, 400_001)))
	y.apply(checked(a))
	y.refuses(checked(b))
	y.refuses(checked(a))
	stamp := y.s.Stamp(1)
	y.apply(Event{MintAsked: &MintAsked{Outpoint: a.Outpoint(), Amount: 400_000, CreatedAt: stamp}}, Event{Minted: &Minted{Outpoint: a.Outpoint(), BlockIndex: 5, Utxo: a, Account: y.u}})
	y.refuses(checked(b))
	if y.s.Orphan(a.Outpoint()) || !y.s.Orphan(b.Outpoint()) || y.s.Surplus() != 100_000 || y.s.Custody() != 1_500_000 {
		t.Errorf("orphans %v, surplus %d, custody %d", y.s.orphans, y.s.Surplus(), y.s.Custody())
	}
	y.apply(Event{Restored: &Utxo{Txid: btc.Hash{10}, Value: 300_000, Height: 6}}, checked(b))
}
