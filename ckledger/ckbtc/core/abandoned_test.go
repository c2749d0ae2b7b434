package core

import (
	"slices"
	"strings"
	"testing"

	"fusion/btc"
)

// Payments that are abandoned because a reorganisation took back what they spend, and the withdrawals that they would have paid.

// burn makes a withdrawal and leaves it in the queue.
func (y *story) burn(block, amount uint64) {
	y.t.Helper()
	to, err := btc.NewAddress(btc.Regtest, btc.P2WPKH, make([]byte, 20))
	if err != nil {
		y.t.Fatal(err)
	}
	n := y.s.NextBurn()
	y.apply(Event{BurnAsked: &BurnAsked{n, y.u, y.u, true, amount, to.String(), y.s.Stamp(0), 0, 0}}, Event{Accepted: &Accepted{n, block, amount, to.String(), y.u}})
}

// batch applies what the minter prepares at a fee rate.
func (y *story) batch(rate uint64) []Event {
	y.t.Helper()
	events, err := y.s.Batch(day, rate, simKey)
	if err != nil {
		y.t.Fatal(err)
	}
	y.apply(events...)
	return events
}

// pays prepares a payment of the given withdrawals at a fee rate.
func (y *story) pays(rate uint64, requests ...uint64) *Payment {
	y.t.Helper()
	events := y.batch(rate)
	if len(events) != 1 || events[0].Prepared == nil || !slices.Equal(events[0].Prepared.Requests, requests) {
		y.t.Fatalf("%+v, want a payment of %v", events, requests)
	}
	return y.s.Payment(y.s.lastPay)
}

// restored takes outputs into custody, written off in place of what is missing.
func (y *story) restored(us ...Utxo) {
	y.t.Helper()
	for _, u := range us {
		y.apply(Event{Restored: &u})
	}
	y.resumed()
}

// resumed resumes, with the word of the controller that what made some outputs can never be mined.
func (y *story) resumed(never ...Utxo) {
	y.t.Helper()
	var ids []btc.Hash
	for _, u := range never {
		ids = append(ids, u.Txid)
	}
	e, err := y.s.Resume(day, ids)
	if err != nil {
		y.t.Fatal(err)
	}
	if got := e.Resumed.Never; !slices.Equal(got, ids) {
		y.t.Fatalf("never mined: %v, want %v", got, ids)
	}
	y.apply(*e)
}

// lose takes deposits back.
func (y *story) lose(us ...Utxo) {
	y.t.Helper()
	for _, u := range us {
		op := u.Outpoint()
		y.apply(Event{Vanished: &op})
	}
}

// final mines a payment, and settles it too.
func (y *story) final(p *Payment) {
	y.t.Helper()
	v := p.Latest()
	for i := range p.Inputs {
		y.apply(Event{Signed: &InputSigned{Payment: p.ID, Input: uint64(i), Signature: []byte{1}}})
	}
	y.apply(Event{Complete: &Complete{Payment: p.ID, Txid: v.Txid, Raw: []byte{1}}}, Event{Confirmed: &ConfirmedTx{p.ID, v.Txid, 9}})
}

func (y *story) settle(p *Payment) {
	y.t.Helper()
	y.apply(Event{Settled: &Outputs{[]btc.Outpoint{p.Latest().own()[0].Outpoint()}}})
}

func coin(id byte, value uint64) Utxo { return Utxo{Txid: btc.Hash{id}, Value: value, Height: 6} }

func spendsAny(p *Payment, us ...Utxo) bool {
	return slices.ContainsFunc(p.Inputs, func(o Owned) bool {
		return slices.ContainsFunc(us, func(u Utxo) bool { return u.Outpoint() == o.Outpoint() })
	})
}

// A withdrawal whose payment is abandoned twice: the third spends what kills either of the others, whatever Bitcoin brings back.
func TestPaymentsAbandonedTwiceConflictWithTheThird(t *testing.T) {
	y := newStory(t)
	a, b, c := y.minted(1, 50_000), y.minted(2, 45_000), y.minted(3, 40_000)
	first := y.withdraw(10, 130_000)
	if len(first.Inputs) != 3 {
		t.Fatal("the first payment does not spend all deposits")
	}
	y.lose(a)
	y.restored(coin(4, 60_000))
	second := y.pays(5000, 10)
	if !spendsAny(second, b, c) {
		t.Fatal("first and second payment can both be mined")
	}
	lost, left := b, c // the pin of the second payment, and what else kills the first
	if !spendsAny(second, b) {
		lost, left = c, b
	}
	other := spendsAny(second, left)
	y.lose(lost)
	y.restored(coin(5, 100_000), coin(6, 20_000))
	third := y.pays(5000, 10)
	if !spendsAny(third, left) {
		t.Error("first and third payment can both be mined")
	}
	if !other && !spendsAny(third, coin(4, 0)) {
		t.Error("second and third payment can both be mined")
	}
}

// What spends the change of an abandoned payment dies with it, and with nothing else if that is all it spends: its withdrawal is paid only by what kills its parent.
func TestPaymentOfAbandonedChangeIsKilledByItsParents(t *testing.T) {
	y := newStory(t)
	a, b := y.minted(1, 60_000), y.minted(2, 55_000)
	parent := y.withdraw(10, 80_000)
	y.final(parent)
	child := y.withdraw(11, 20_000)
	if !spendsAny(child, parent.Latest().own()[0]) || len(child.Inputs) != 1 {
		t.Fatal("the second payment spends something else than the change of the first")
	}
	y.apply(Event{Reversed: &parent.ID})
	y.lose(a)
	y.restored(coin(3, 70_000), coin(4, 30_000))
	y.s.Config.MaxBatch = 1
	next := y.pays(5000, 10)
	if !spendsAny(next, b) {
		t.Error("both payments of the first withdrawal can be mined")
	}
	if events := y.batch(5000); len(events) != 0 { // what kills the parent may still be replaced by the parent
		t.Fatalf("%+v", events)
	}
	y.final(next)
	y.settle(next)
	y.pays(5000, 11)
}

// A withdrawal that cannot be paid and must not be refunded, because a transaction that was given up may pay it, waits alone.
func TestAbandonedWithdrawalHoldsUpNobody(t *testing.T) {
	const high = 400_000
	begin := func(t *testing.T) (y *story, pin Utxo) {
		y = newStory(t)
		a, b := y.minted(1, 30_000), y.minted(2, 29_000)
		y.withdraw(10, 40_000)
		y.lose(a)
		y.restored(coin(5, 30_000))
		y.minted(3, 400_000)
		y.minted(4, 300_000)
		return y, b
	}
	aside := func(y *story, rate uint64, want string) {
		y.t.Helper()
		if got := y.s.Aside(rate); got[10] != want || len(got) > 1 {
			y.t.Fatalf("aside: %v", got)
		}
	}
	t.Run("fees fall", func(t *testing.T) {
		y, pin := begin(t)
		y.burn(11, 250_000)
		y.pays(high, 11)
		aside(y, high, "amount too low for the fees")
		if events := y.batch(high); len(events) != 0 {
			t.Fatalf("%+v", events)
		}
		if p := y.pays(5000, 10); !spendsAny(p, pin) {
			t.Error("both payments can be mined")
		}
		aside(y, 5000, "")
	})
	t.Run("another payment kills the one that was given up", func(t *testing.T) {
		y, pin := begin(t)
		y.burn(11, 710_000)
		p := y.pays(high, 11)
		if !spendsAny(p, pin) {
			t.Fatal("the payment leaves the pin alone")
		}
		aside(y, 5000, errPinned.Error())
		y.final(p)
		aside(y, 5000, errPinned.Error()) // it is not settled
		y.settle(p)
		aside(y, high, "")
		if events := y.batch(high); len(events) != 1 || events[0].Refund == nil || events[0].Refund.BlockIndex != 10 || events[0].Refund.Amount != 40_000 {
			t.Fatalf("%+v", events)
		}
	})
	t.Run("no refund before that", func(t *testing.T) {
		y, _ := begin(t)
		y.refuses(Event{Refund: &Refund{BlockIndex: 10, Amount: 40_000, Account: y.u, Reason: RefundAmountTooLow}})
	})
	t.Run("too many inputs", func(t *testing.T) {
		y := newStory(t)
		a := y.minted(1, 200_000)
		y.minted(2, 29_000)
		y.withdraw(10, 210_000)
		y.lose(a)
		var small []Utxo
		for i := range byte(20) {
			small = append(small, coin(20+i, 10_000))
		}
		y.restored(small...)
		aside(y, 5000, "20 inputs needed")
		y.burn(11, 10_000)
		y.pays(5000, 11)
	})
}

// A batch whose fees an abandoned withdrawal cannot bear leaves it out and pays it by itself.
func TestAbandonedWithdrawalIsPaidAlone(t *testing.T) {
	y := newStory(t)
	a := y.minted(1, 6_000)
	y.minted(2, 6_000)
	y.withdraw(10, 10_500)
	y.lose(a)
	y.restored(coin(5, 12_000))
	for i := range byte(8) {
		y.minted(10+i, 30_000)
	}
	y.burn(11, 200_000)
	y.pays(40_000, 10)
	y.pays(40_000, 11)
}

// A transaction that spends only what was written off cannot be killed: what it pays is neither paid otherwise nor refunded until it is mined, or until a controller says
// that it never will be.
func TestPaymentThatNothingKillsWaits(t *testing.T) {
	const high = 400_000
	begin := func(t *testing.T) (*story, Utxo, *Payment) {
		y := newStory(t)
		a := y.minted(1, 60_000)
		p := y.withdraw(10, 40_000)
		y.lose(a)
		y.restored(coin(5, 60_000))
		if why := y.s.Aside(5000)[10]; !strings.Contains(why, a.Txid.String()) || y.s.Request(10).State != RequestInPayment || y.s.WrittenOff() != 60_000 || y.s.Paused() != "" {
			t.Fatalf("%q, %+v", why, y.s.Request(10))
		}
		if events := y.batch(5000); len(events) != 0 {
			t.Fatalf("%+v", events)
		}
		if ts := y.s.Tasks(); slices.ContainsFunc(ts, func(t Task) bool { return t.Kind == TaskSign }) {
			t.Fatalf("signs what cannot be mined: %+v", ts)
		}
		return y, a, p
	}
	t.Run("no refund", func(t *testing.T) {
		y, _, _ := begin(t)
		y.refuses(Event{Refund: &Refund{BlockIndex: 10, Amount: 40_000, Account: y.u, Reason: RefundAmountTooLow}})
	})
	t.Run("nor another payment", func(t *testing.T) {
		y, _, _ := begin(t)
		y.burn(11, 15_000)
		next := y.pays(5000, 11)
		if spendsAny(next, coin(1, 0)) {
			t.Error("what is gone is spent")
		}
	})
	t.Run("it comes back", func(t *testing.T) {
		y, a, p := begin(t)
		y.apply(Event{Returned: &Return{a.Outpoint(), 9}})
		if y.s.Aside(5000) != nil || y.s.WrittenOff() != 0 || y.s.Custody() != 120_000 {
			t.Fatalf("aside %v, %d written off, custody %d", y.s.Aside(5000), y.s.WrittenOff(), y.s.Custody())
		}
		y.final(p)
		y.settle(p)
	})
	t.Run("it is mined at once", func(t *testing.T) {
		y, _, p := begin(t)
		change := p.Latest().own()[0]
		change.Height = 9
		events, _ := y.s.Final(day, 20, []Utxo{change})
		y.apply(events...)
		if r := y.s.Request(10); r.State != RequestConfirmed || y.s.WrittenOff() != 0 {
			t.Fatalf("%+v, %d written off", r, y.s.WrittenOff())
		}
	})
	t.Run("never: paid", func(t *testing.T) {
		y, a, p := begin(t)
		y.resumed(a)
		if next := y.pays(5000, 10); next.ID == p.ID || y.s.Aside(5000) != nil {
			t.Fatalf("%+v", next)
		}
	})
	t.Run("never: refunded", func(t *testing.T) {
		y, a, _ := begin(t)
		y.resumed(a)
		if events := y.batch(high); len(events) != 1 || events[0].Refund == nil || events[0].Refund.Amount != 40_000 {
			t.Fatalf("%+v", events)
		}
	})
	t.Run("what does not matter is not noted", func(t *testing.T) {
		y, a, _ := begin(t)
		y.resumed(a)
		e, err := y.s.Resume(day, []btc.Hash{a.Txid, {9}})
		if err != nil || len(e.Resumed.List)+len(e.Resumed.Never) != 0 {
			t.Fatalf("%+v %v", e, err)
		}
	})
}

// The outputs that kill an abandoned payment may be lost too. Then it is like one that spent nothing else, until a controller names one of them.
func TestAbandonedPaymentLosesItsLastKill(t *testing.T) {
	y := newStory(t)
	a, b := y.minted(1, 50_000), y.minted(2, 45_000)
	y.withdraw(10, 90_000)
	y.lose(a)
	y.restored(coin(4, 60_000))
	y.lose(b)
	y.restored(coin(5, 45_000))
	if why := y.s.Aside(5000)[10]; !strings.Contains(why, a.Txid.String()) || !strings.Contains(why, b.Txid.String()) {
		t.Fatalf("%q", why)
	}
	if events := y.batch(5000); len(events) != 0 {
		t.Fatalf("%+v", events)
	}
	y.resumed(b)
	y.pays(5000, 10)
}

// What spends the change of a payment that can never be mined cannot be mined either.
func TestNeverMinedIsInherited(t *testing.T) {
	y := newStory(t)
	a := y.minted(1, 60_000)
	parent := y.withdraw(10, 20_000)
	y.final(parent)
	child := y.withdraw(11, 20_000)
	if !spendsAny(child, parent.Latest().own()[0]) {
		t.Fatal("the second payment spends something else than the change of the first")
	}
	y.apply(Event{Reversed: &parent.ID})
	y.lose(a)
	y.apply(Event{Restored: new(coin(3, 60_000))})
	y.resumed(a)
	y.pays(5000, 10, 11)
}

// A log of the first layout goes on as it did: it forgot payments that nothing kills.
func TestWriteOffOfTheFirstLayout(t *testing.T) {
	y := newStory(t)
	a := y.minted(1, 60_000)
	y.withdraw(10, 40_000)
	y.lose(a)
	y.apply(Event{Restored: new(coin(5, 60_000))})
	old := append([]byte{9, kindResumed, 1, 1}, append(a.Txid[:], 0)...)
	e, err := UnmarshalEvent(old)
	if err != nil {
		t.Fatal(err)
	}
	y.apply(e)
	y.pays(5000, 10)
}
