package ckbtc

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"fusion/btc"
	"fusion/cdk/native"
	"fusion/ckledger/ckbtc/core"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// slowChecker holds its answers back, all of which are good.
type slowChecker struct{ waiting []func() }

func (k *slowChecker) handle(in *native.Incoming) {
	k.waiting = append(k.waiting, func() {
		if in.Method == "check_address" {
			in.Reply(checkAddressResponse{Passed: candid.Unit})
			return
		}
		in.Reply(checkTransactionResponse{Passed: candid.Unit})
	})
}

func (k *slowChecker) answer() {
	for _, fn := range k.waiting {
		fn()
	}
	k.waiting = nil
}

func newSlow(t *testing.T, seed uint64, tune func(*InitArgs)) (*universe, *slowChecker) {
	k := &slowChecker{}
	u := newUniverse(t, seed, func(a *InitArgs) {
		tune(a)
		a.BtcCheckerPrincipal = &checkerID
	})
	u.w.Handle(checkerID, k.handle)
	return u, k
}

// begin starts an update_balance, and waits until it waits for the checker.
func (u *universe) begin(who principal.Principal, k *slowChecker) *native.Pending {
	u.t.Helper()
	before := len(k.waiting)
	p, err := u.w.Submit(who, minterID, "update_balance", AddressArgs{})
	must(u.t, err)
	u.advance(time.Second)
	if len(k.waiting) != before+1 {
		u.t.Fatalf("%d questions to the checker", len(k.waiting)-before)
	}
	return p
}

func answerOf(t *testing.T, p *native.Pending) (r UpdateBalanceResult) {
	t.Helper()
	must(t, candid.Unmarshal(p.Answer().Data, &r))
	return r
}

// Deposits that pass their checks at the same time are bounded together: the last one sees those that were accepted while it was checked.
func TestBoundHoldsWhileChecksAreUnderWay(t *testing.T) {
	u, k := newSlow(t, 30, deep(12, 1)) // a block is worth 50 bitcoin on this chain: three confirmations carry 150
	alice, bob := user(0), user(1)
	u.fund(alice, 140*uint64(btc.Coin))
	u.chain.takeBack(3, func(*btc.Tx) bool { return true })
	u.fund(bob, 140*uint64(btc.Coin))
	a, b := u.begin(alice, k), u.begin(bob, k)
	k.answer()
	u.advance(time.Second)
	if r := answerOf(t, a); r.Ok == nil || len(*r.Ok) != 1 || (*r.Ok)[0].Minted == nil {
		t.Fatalf("%+v", r)
	}
	if r := answerOf(t, b); r.Err == nil || r.Err.NoNewUtxos == nil || r.Err.NoNewUtxos.RequiredConfirmations != 6 {
		t.Fatalf("%+v", r)
	}
	if u.ledger.supply != 140*uint64(btc.Coin) {
		t.Errorf("supply %d", u.ledger.supply)
	}
	u.chain.blocks = append(u.chain.blocks, nil, nil, nil)
	b = u.begin(bob, k)
	k.answer()
	u.advance(time.Second)
	if r := answerOf(t, b); r.Ok == nil || u.ledger.supply != 280*uint64(btc.Coin) {
		t.Fatalf("%+v", r)
	}
}

// What was listed before a reorganisation is not accepted after it, neither by a call that waited for the checker nor from a listing that was kept.
func TestNothingListedBeforeAReorganisationIsMinted(t *testing.T) {
	hour := uint64(3600e9)
	u, k := newSlow(t, 31, func(a *InitArgs) {
		deep(20, 0)(a)
		a.Limits.UtxoCacheNanos = &hour
	})
	alice, bob, carol := user(0), user(1), user(2)
	u.fund(alice, 100_000)
	p := u.begin(alice, k)
	k.answer()
	u.advance(time.Second)
	if r := answerOf(t, p); r.Ok == nil {
		t.Fatalf("%+v", r)
	}
	u.fund(bob, 200_000)
	u.fund(carol, 300_000)
	u.ledger.busy = 1
	p = u.begin(carol, k) // passes, and is not minted yet
	k.answer()
	u.advance(time.Second)
	if r := answerOf(t, p); r.Ok == nil || (*r.Ok)[0].Checked == nil {
		t.Fatalf("%+v", r)
	}
	u.ledger.busy = 1 << 30
	p = u.begin(bob, k) // listed, and waits
	gone := u.chain.takeBack(9, func(tx *btc.Tx) bool { return tx.Outputs[0].Value == 100_000 })
	if len(gone) != 2 {
		t.Fatalf("%d transactions vanished", len(gone))
	}
	u.chain.mine()
	u.chain.mine()
	u.advance(time.Minute) // the minter notices
	u.ledger.busy = 0
	if h := u.health(); h.Stopped != nil {
		t.Fatalf("%+v", h)
	}
	k.answer()
	u.advance(time.Second)
	if r := answerOf(t, p); r.Ok != nil {
		t.Errorf("the deposit that waited: %+v", r)
	}
	p, err := u.w.Submit(carol, minterID, "update_balance", AddressArgs{})
	must(t, err)
	u.advance(time.Second)
	k.answer()
	u.advance(time.Second)
	if r := answerOf(t, p); r.Err == nil || r.Err.NoNewUtxos == nil {
		t.Errorf("the deposit that was forgotten: %+v", r)
	}
	if u.ledger.supply != 100_000 {
		t.Errorf("supply %d, of which 100000 are there", u.ledger.supply)
	}
}

// A withdrawal whose address is being checked when the minter stops burns nothing.
func TestNothingIsBurnedAfterTheMinterStopped(t *testing.T) {
	u, k := newSlow(t, 32, deep(20, 0))
	alice := user(0)
	u.fund(alice, 500_000)
	d := u.begin(alice, k)
	k.answer()
	u.advance(time.Second)
	if r := answerOf(t, d); r.Ok == nil {
		t.Fatalf("%+v", r)
	}
	u.ledger.allowances[core.Account{Owner: alice}] = 1 << 40
	p, err := u.w.Submit(alice, minterID, "retrieve_btc_with_approval", RetrieveBtcWithApprovalArgs{Address: destination(1).String(), Amount: 200_000})
	must(t, err)
	u.advance(time.Second)
	u.chain.takeBack(4, func(*btc.Tx) bool { return false })
	u.advance(time.Minute)
	if h := u.health(); h.Stopped == nil {
		t.Fatal("the minter goes on")
	}
	k.answer()
	u.advance(time.Second)
	var r RetrieveBtcWithApprovalResult
	must(t, candid.Unmarshal(p.Answer().Data, &r))
	if r.Err == nil || r.Err.TemporarilyUnavailable == nil || u.ledger.supply != 500_000 {
		t.Errorf("%+v, supply %d", r, u.ledger.supply)
	}
	if len(u.m.retrieval) != 0 || len(u.m.updating) != 0 {
		t.Error("a guard is held")
	}
}

// paged serves the chain's listings behind pages of dust, for the addresses that a test names.
func (u *universe) paged(dust map[string]int, before func(address string)) {
	pages := map[string]int{}
	u.w.Handle(bitcoinCanister(btc.Regtest), func(in *native.Incoming) {
		if in.Method != "bitcoin_get_utxos" {
			u.chain.handle(in)
			return
		}
		var a getUtxosRequest
		must(u.t, candid.Unmarshal(in.Arg, &a))
		before(a.Address)
		if a.Filter == nil || a.Filter.Page == nil {
			pages[a.Address] = 0
		}
		if n := pages[a.Address]; n < dust[a.Address] {
			pages[a.Address]++
			token := []byte(fmt.Sprint(n))
			in.Reply(getUtxosResponse{Utxos: []Utxo{{Outpoint{make([]byte, 32), uint32(n)}, 600, 1}}, TipHeight: uint32(len(u.chain.blocks) - 1), TipBlockHash: u.chain.hash(), NextPage: &token})
			return
		}
		a.Filter = nil
		arg, err := candid.Marshal(a)
		must(u.t, err)
		in.Arg = arg
		u.chain.handle(in)
	})
}

// Anybody can pay any number of outputs to any address. Those that are paid to the minter's own, or to that of a depositor, stop neither payments nor the watch.
func TestDustStopsNothing(t *testing.T) {
	u := newUniverse(t, 33, deep(8, 0))
	alice := user(0)
	u.deposit(alice, 500_000)
	addr, err := native.Update[string](u.w, alice, minterID, "get_btc_address", AddressArgs{})
	must(t, err)
	u.paged(map[string]int{u.m.main.String(): maxPages + 5, addr: maxPages + 5}, func(string) {})
	u.ledger.allowances[core.Account{Owner: alice}] = 1 << 40
	if e := retrieve(u, alice, destination(1).String(), 200_000); e != nil {
		t.Fatalf("%+v", e)
	}
	u.settle(12)
	u.audit(map[string]uint64{destination(1).String(): 200_000})
	if n := len(u.m.state.Payments()); n != 0 || u.health().Unsettled != 0 {
		t.Errorf("%d payments are open, %+v", n, u.health())
	}
}

// Blocks that come faster than all addresses can be read leave none of them out.
func TestEveryAddressIsReadThoughTheTipMoves(t *testing.T) {
	u := newUniverse(t, 34, deep(1000, 0))
	const users = 3*viewPlaces - 5
	for i := range users {
		addr, err := native.Update[string](u.w, user(i), minterID, "get_btc_address", AddressArgs{})
		must(t, err)
		u.chain.fund(addr, uint64(100_000+i))
	}
	for range 3 {
		u.chain.mine()
	}
	for i := range users {
		if r := u.update(user(i)); r.Ok == nil {
			t.Fatalf("%+v", r)
		}
	}
	places := u.m.state.Watched()
	last := u.m.state.Deposit(u.m.state.Deposits(places[len(places)-1].Account)[0]).Utxo
	reads := 0
	u.paged(nil, func(address string) {
		if address != u.m.main.String() {
			if reads++; reads%(viewPlaces+viewPlaces/2) == 0 { // in the midst of the second batch
				u.chain.mine()
			}
		}
	})
	u.chain.takeBack(3, func(tx *btc.Tx) bool { return tx.Txid() != last.Txid })
	u.chain.mine()
	for range 20 {
		u.advance(10 * time.Second)
		if h := u.health(); h.Deficit == last.Value {
			return
		}
	}
	t.Errorf("%d reads, and nobody noticed: %+v", reads, u.health())
}

// The confirmations that a status names are those that the deposit's value needs.
func TestStatusNamesTheConfirmationsOfTheValue(t *testing.T) {
	u := newUniverse(t, 35, deep(12, 1))
	alice := user(0)
	u.fund(alice, 290*uint64(btc.Coin)) // worth almost six blocks
	s, err := native.Query[[]DepositStatus](u.w, alice, minterID, "get_deposit_status", AddressArgs{})
	must(t, err)
	if len(s) != 1 || s[0].Status.Confirming == nil || *s[0].Status.Confirming != (Confirming{3, 6}) {
		t.Fatalf("%+v", s)
	}
	for range 3 {
		u.chain.mine()
	}
	s, err = native.Query[[]DepositStatus](u.w, alice, minterID, "get_deposit_status", AddressArgs{})
	must(t, err)
	if len(s) != 1 || s[0].Status.Confirmed == nil {
		t.Fatalf("%+v", s)
	}
	if r := u.update(alice); r.Ok == nil || !slices.ContainsFunc(*r.Ok, func(x UtxoStatus) bool { return x.Minted != nil }) {
		t.Fatalf("%+v", r)
	}
}
