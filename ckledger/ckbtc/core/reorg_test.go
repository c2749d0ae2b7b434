package core

import (
	"testing"

	"fusion/btc"
	"fusion/ic/principal"
)

// worldOf is a minter with deposits of its users, minted and watched, all below a tip at which they have n confirmations.
func worldOf(t *testing.T, users int, value uint64, settle uint64) (*State, func(Event)) {
	t.Helper()
	s := NewState(minter)
	apply := func(e Event) {
		t.Helper()
		if err := s.Apply(&e); err != nil {
			t.Fatal(err)
		}
		if err := s.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
	}
	cfg := Config{Network: btc.Regtest, Ledger: []byte{1}, KeyName: "k", RetrieveMin: 10_000, Confirmations: 1, MaxInputs: 1000, Limits: DefaultLimits(btc.Regtest)}
	cfg.SettleAfter = settle
	apply(Event{Time: 1, Init: &cfg})
	for i := range users {
		u := Utxo{Txid: btc.Hash{1, byte(i), byte(i >> 8)}, Value: value, Height: 100}
		user := Account{Owner: principal.FromUint64(uint64(1000 + i))}
		at := uint64(10 + i)
		apply(Event{Time: at, CheckedUtxo: &UtxoOf{u, user, false}})
		apply(Event{Time: at, MintAsked: &MintAsked{u.Outpoint(), value, 0, at}})
		apply(Event{Time: at, Minted: &Minted{u.Outpoint(), uint64(i), u, user}})
	}
	return s, apply
}

// payOut burns an amount and takes its payment as far as final.
func payOut(t *testing.T, s *State, apply func(Event), amount uint64, height uint32) *Payment {
	t.Helper()
	var key PublicKey
	copy(key.Key[:], mustHex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"))
	address, err := btc.NewAddress(btc.Regtest, btc.P2WPKH, make([]byte, 20))
	if err != nil {
		t.Fatal(err)
	}
	from := Account{Owner: principal.FromUint64(1000)}
	n, now := s.NextBurn(), s.Stamp(day)
	apply(Event{Time: now, BurnAsked: &BurnAsked{Number: n, From: from, Refund: from, Approval: true, Amount: amount, Address: address.String(), CreatedAt: now}})
	apply(Event{Time: now, Accepted: &Accepted{Number: n, BlockIndex: 10_000 + n, Amount: amount, Address: address.String(), Refund: from}})
	events, err := s.Batch(now+s.Config.MaxTimeInQueue, regtestFeeRate, key)
	if err != nil || len(events) != 1 || events[0].Prepared == nil {
		t.Fatalf("%+v %v", events, err)
	}
	apply(events[0])
	p := s.Payment(events[0].Prepared.Payment)
	for i := range p.Inputs {
		apply(Event{Time: now, Signed: &InputSigned{Payment: p.ID, Input: uint64(i), Signature: []byte{1}}})
	}
	apply(Event{Time: now, Complete: &Complete{Payment: p.ID, Txid: p.Latest().Txid, Raw: []byte{1}}})
	apply(Event{Time: now, Confirmed: &ConfirmedTx{Payment: p.ID, Txid: p.Latest().Txid, Height: height}})
	return p
}

// What a settled payment spent is spent for good: a view that is compared later, of the addresses that it came from, must not take it for lost.
func TestSettledPaymentLosesNothing(t *testing.T) {
	s, apply := worldOf(t, 3, 100_000, 6)
	first := payOut(t, s, apply, 150_000, 101)                     // spends deposits
	second := payOut(t, s, apply, 120_000, 102)                    // and the change of it
	if s.spends[first.Latest().own()[0].Outpoint()] != second.ID { // the case at hand
		t.Fatal("the second payment does not spend the change of the first")
	}
	change := second.Latest().own()[0]
	change.Height = 102
	main := []Utxo{change}
	compare := func(places ...Place) {
		t.Helper()
		v := NewView(110)
		v.Add(Place{Account: minter}, main)
		for _, p := range places {
			v.Add(p, nil) // all is spent
		}
		for _, e := range s.Recheck(day, v) {
			if e.Vanished != nil || e.Reversed != nil {
				t.Fatalf("%+v", e)
			}
			apply(e)
		}
	}
	places := s.Watched()
	compare() // the first addresses, whose turn it was; then the rest, one after the other
	for _, p := range places {
		if p.Account != second.Inputs[0].Account {
			compare(p)
		}
	}
	if why := s.Paused(); why != "" {
		t.Fatal(why)
	}
}
