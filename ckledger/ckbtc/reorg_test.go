package ckbtc

import (
	"slices"
	"strings"
	"testing"
	"time"

	"fusion/btc"
	"fusion/cdk"
	"fusion/cdk/native"
	"fusion/ckledger/ckbtc/core"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// deep watches outputs for n confirmations.
func deep(n, rewards uint64) func(*InitArgs) {
	return func(a *InitArgs) { a.Limits = &Limits{SettledAfter: &n, RewardMultiple: &rewards} }
}

func (u *universe) health() Health {
	u.t.Helper()
	info, err := native.Query[MinterInfo](u.w, operator, minterID, "get_minter_info", cdk.None{})
	must(u.t, err)
	return *info.Health
}

func (u *universe) advance(d time.Duration) {
	u.t.Helper()
	must(u.t, u.w.Advance(d))
}

// isPaused checks that the minter takes neither deposits nor withdrawals and says why.
func (u *universe) isPaused(who principal.Principal, why string) {
	u.t.Helper()
	if h := u.health(); h.Stopped == nil || !strings.Contains(*h.Stopped, why) {
		u.t.Fatalf("health %+v, want %q", h, why)
	}
	res, err := native.Update[UpdateBalanceResult](u.w, who, minterID, "update_balance", AddressArgs{})
	must(u.t, err)
	if res.Err == nil || res.Err.TemporarilyUnavailable == nil || !strings.Contains(*res.Err.TemporarilyUnavailable, why) {
		u.t.Fatalf("update_balance: %+v", res)
	}
	if e := retrieve(u, who, destination(77).String(), 20_000); e == nil || e.TemporarilyUnavailable == nil || !strings.Contains(*e.TemporarilyUnavailable, why) {
		u.t.Fatalf("retrieve: %+v", e)
	}
}

func (u *universe) resume(never ...btc.Hash) ResumeResult {
	u.t.Helper()
	var args []any // none, as before there were any, or those that can never be mined
	if len(never) > 0 {
		a := &ResumeArgs{}
		for _, id := range never {
			a.Never = append(a.Never, id.String())
		}
		args = append(args, a)
	}
	r, err := native.Update[ResumeResult](u.w, operator, minterID, "resume", args...)
	must(u.t, err)
	return r
}

// A minted deposit that a reorganisation takes back stops the minter; when it is mined again the minter goes on by itself.
func TestVanishedDepositPausesUntilItIsBack(t *testing.T) {
	u := newUniverse(t, 20, deep(20, 0))
	alice := user(0)
	u.deposit(alice, 300_000)
	u.deposit(alice, 100_000)
	u.ledger.allowances[core.Account{Owner: alice}] = 1 << 40
	u.advance(15 * time.Second)
	if h := u.health(); h.Unsettled != 400_000 || h.Stopped != nil {
		t.Fatalf("%+v", h)
	}
	gone := u.chain.takeBack(6, func(tx *btc.Tx) bool { return tx.Outputs[0].Value == 100_000 })
	if len(gone) != 1 {
		t.Fatalf("%d transactions vanished", len(gone))
	}
	u.chain.mine()
	u.advance(15 * time.Second)
	u.crash() // nothing of it is only in memory
	if h := u.health(); h.Deficit != 300_000 {
		t.Fatalf("%+v", h)
	}
	u.isPaused(alice, "300000 satoshi")
	if r := u.resume(); r.Err == nil || !strings.Contains(*r.Err, "300000 satoshi are missing") || !strings.Contains(*r.Err, u.m.main.String()) {
		t.Fatalf("%+v", r)
	}
	u.chain.pool = append(u.chain.pool, gone...)
	u.chain.mine()
	u.advance(15 * time.Second)
	if h := u.health(); h.Deficit != 0 || h.Stopped != nil {
		t.Fatalf("%+v", h)
	}
	if e := retrieve(u, alice, destination(1).String(), 350_000); e != nil {
		t.Fatalf("%+v", e)
	}
	u.settle(30)
	u.audit(map[string]uint64{destination(1).String(): 350_000})
	if h := u.health(); h.Unsettled != 0 {
		t.Errorf("%+v after 30 blocks", h)
	}
}

// A deposit that never comes back: a payment that spends it can never be mined. The operator pays what is missing to the minter's own address, which mints nothing, and
// resumes; the withdrawal is paid once, by a transaction that cannot be mined beside the old one.
func TestOperatorRestoresCustody(t *testing.T) {
	u := newUniverse(t, 21, deep(20, 0))
	alice := user(0)
	u.deposit(alice, 200_000)
	u.deposit(alice, 300_000)
	u.ledger.allowances[core.Account{Owner: alice}] = 1 << 40
	dst := destination(1)
	if e := retrieve(u, alice, dst.String(), 400_000); e != nil { // needs both
		t.Fatalf("%+v", e)
	}
	u.advance(4 * time.Second)
	if len(u.chain.pool) != 1 {
		t.Fatalf("%d transactions in the pool", len(u.chain.pool))
	}
	old, main := u.chain.pool[0], u.m.main.String()
	u.chain.takeBack(6, func(tx *btc.Tx) bool { return tx.Outputs[0].Value == 200_000 })
	u.chain.mine()
	u.advance(15 * time.Second)
	u.isPaused(alice, "300000 satoshi")
	if _, err := native.Update[ResumeResult](u.w, alice, minterID, "resume", cdk.None{}); err == nil {
		t.Fatal("anybody may resume")
	}
	u.chain.fund(main, 299_999)
	for range 3 {
		u.chain.mine()
	}
	if r := u.resume(); r.Err == nil {
		t.Fatalf("resumed with a satoshi less than is owed: %+v", r)
	}
	u.crash()
	u.chain.fund(main, 1_001)
	u.chain.mine()
	if r := u.resume(); r.Err == nil {
		t.Fatalf("resumed with an unconfirmed restoration: %+v", r)
	}
	u.chain.mine()
	u.chain.mine()
	if r := u.resume(); r.Ok == nil || r.Ok.WrittenOff != 300_000 || r.Ok.Restored != 1_001 {
		t.Fatalf("%+v", r)
	}
	if h := u.health(); h.Stopped != nil || h.WrittenOff != 300_000 || h.Restored != 301_000 {
		t.Fatalf("%+v", h)
	}
	u.settle(8)
	u.audit(map[string]uint64{dst.String(): 400_000})
	if sum, times := u.chain.paid(dst); times != 1 || sum == 0 {
		t.Fatalf("paid %d in %d outputs", sum, times)
	}
	shared := false
	for _, b := range u.chain.blocks {
		for _, tx := range b {
			for _, a := range tx.Inputs {
				for _, o := range old.Inputs {
					shared = shared || a.Prev == o.Prev
				}
			}
		}
	}
	if !shared {
		t.Error("old and new payment can both be mined")
	}
	if r := u.resume(); r.Ok == nil || r.Ok.Restored != 0 {
		t.Errorf("again: %+v", r)
	}
}

// A final withdrawal whose transaction a reorganisation took back, with one that spends its change, is announced again until both are mined again.
func TestFinalWithdrawalIsAnnouncedAgain(t *testing.T) {
	u := newUniverse(t, 22, deep(30, 0))
	alice := user(0)
	u.deposit(alice, 900_000)
	u.ledger.allowances[core.Account{Owner: alice}] = 1 << 40
	wanted := map[string]uint64{}
	for i := range 2 {
		wanted[destination(i).String()] = 200_000
		if e := retrieve(u, alice, destination(i).String(), 200_000); e != nil {
			t.Fatalf("%+v", e)
		}
		u.settle(6)
	}
	u.audit(wanted)
	depth := 0
	for i := range u.chain.blocks { // both payments are above the deposit
		if len(u.chain.blocks[i]) > 0 && u.chain.blocks[i][0].Outputs[0].Value != 900_000 {
			depth = len(u.chain.blocks) - i
			break
		}
	}
	gone := u.chain.takeBack(depth, func(*btc.Tx) bool { return false })
	if len(gone) != 2 {
		t.Fatalf("%d transactions vanished", len(gone))
	}
	u.advance(15 * time.Second)
	u.crash()
	if n := u.m.state.Open(); n != 2 || u.health().Stopped != nil {
		t.Fatalf("%d withdrawals are open, %+v", n, u.health())
	}
	u.settle(12)
	u.audit(wanted)
	if len(u.m.state.Payments()) != 0 {
		t.Error("payments are open")
	}
}

// The more is minted for young deposits, the more confirmations the next one needs.
func TestUnsettledMintsAreBounded(t *testing.T) {
	u := newUniverse(t, 23, deep(12, 1)) // a block is worth 50 bitcoin on this chain
	alice := user(0)
	addr, err := native.Update[string](u.w, alice, minterID, "get_btc_address", AddressArgs{})
	must(t, err)
	u.chain.fund(addr, 140*uint64(btc.Coin))
	u.chain.fund(addr, 70*uint64(btc.Coin))
	update := func() UpdateBalanceResult {
		u.chain.mine()
		res, err := native.Update[UpdateBalanceResult](u.w, alice, minterID, "update_balance", AddressArgs{})
		must(t, err)
		return res
	}
	update()
	update()
	if res := update(); res.Ok == nil || len(*res.Ok) != 1 { // three confirmations carry 150
		t.Fatalf("%+v", res)
	}
	res := update() // four carry 200
	if res.Err == nil || res.Err.NoNewUtxos == nil || res.Err.NoNewUtxos.RequiredConfirmations != 5 {
		t.Fatalf("%+v", res)
	}
	if res = update(); res.Ok == nil || len(*res.Ok) != 1 {
		t.Fatalf("%+v", res)
	}
}

// While the Bitcoin canister answers nothing, nothing is minted or prepared, and everybody is told.
func TestBitcoinCanisterHalted(t *testing.T) {
	u := newUniverse(t, 24, deep(12, 0))
	alice := user(0)
	u.deposit(alice, 500_000)
	u.ledger.allowances[core.Account{Owner: alice}] = 1 << 40
	if e := retrieve(u, alice, destination(1).String(), 200_000); e != nil {
		t.Fatalf("%+v", e)
	}
	u.w.Handle(bitcoinCanister(btc.Regtest), func(in *native.Incoming) {
		in.Reject(cdk.CanisterError, "halted: a heavier chain forks below the anchor")
	})
	if _, err := native.Update[UpdateBalanceResult](u.w, alice, minterID, "update_balance", AddressArgs{}); err != nil {
		t.Fatal(err)
	}
	u.advance(time.Minute)
	u.isPaused(alice, "halted: a heavier chain")
	if len(u.m.state.Payments()) != 0 || len(u.signer.signed) != 0 {
		t.Error("a payment was prepared")
	}
	u.w.Handle(bitcoinCanister(btc.Regtest), u.chain.handle)
	u.settle(10)
	u.audit(map[string]uint64{destination(1).String(): 200_000})
}

// A minter that has nothing to do and is asked nothing still notices a halt: afterwards it compares what it holds with the chain, settled or not. One that was
// read-only meanwhile does so when it may work again.
func TestIdleMinterNoticesAHalt(t *testing.T) {
	for _, readOnly := range []bool{false, true} {
		u := newUniverse(t, 25, nil)
		alice := user(0)
		u.deposit(alice, 500_000)
		u.settle(8)
		if u.m.state.Watching() {
			t.Fatal("the deposit is not settled")
		}
		mode := func(m Mode) {
			u.advance(2 * time.Second)
			up := &UpgradeArgs{Mode: &m}
			must(t, u.w.Upgrade(minterID, u.setup, MinterArg{Upgrade: &up}))
		}
		if readOnly {
			mode(Mode{ReadOnly: candid.Unit})
		}
		u.chain.halted = true
		u.advance(time.Minute)
		u.chain.takeBack(12, func(*btc.Tx) bool { return false })
		u.chain.halted = false
		if readOnly {
			mode(Mode{GeneralAvailability: candid.Unit})
		}
		u.advance(time.Minute)
		if h := u.health(); h.Deficit != 500_000 || h.Stopped == nil {
			t.Errorf("read-only %v: %+v", readOnly, h)
		}
	}
}

// After a halt the transaction of a settled withdrawal, which the minter does not send again, is in no block. It can still be mined, and with it the next one, which
// spends its change: the minter does not pay the next withdrawal otherwise until the operator says that this cannot happen.
func TestResumeWaitsForSettledPayments(t *testing.T) {
	for _, hopeless := range []bool{false, true} {
		u := newUniverse(t, 26, nil)
		alice := user(0)
		u.deposit(alice, 300_000)
		u.ledger.allowances[core.Account{Owner: alice}] = 1 << 40
		first, next := destination(1), destination(2)
		if e := retrieve(u, alice, first.String(), 100_000); e != nil {
			t.Fatalf("%+v", e)
		}
		u.settle(12)
		if u.m.state.Watching() || u.m.state.Open() != 0 {
			t.Fatal("the withdrawal is not settled")
		}
		if e := retrieve(u, alice, next.String(), 50_000); e != nil {
			t.Fatalf("%+v", e)
		}
		u.advance(4 * time.Second)
		if len(u.chain.pool) != 1 {
			t.Fatalf("%d transactions in the pool", len(u.chain.pool))
		}
		second := u.chain.pool[0]

		u.chain.halted = true
		u.advance(time.Minute)
		depth := 0
		for i, b := range u.chain.blocks {
			if len(b) > 0 && (hopeless || !isFunding(b[0])) {
				depth = len(u.chain.blocks) - i
				break
			}
		}
		gone := u.chain.takeBack(depth, func(*btc.Tx) bool { return false })
		settled := gone[len(gone)-1]
		if settled.Txid() != second.Inputs[0].Prev.Txid {
			t.Fatal("the next payment does not spend the change of the settled one")
		}
		u.chain.halted = false
		u.advance(time.Minute)
		u.isPaused(alice, "satoshi")
		u.chain.fund(u.m.main.String(), 300_000) // more than is missing
		for range 3 {
			u.chain.mine()
		}
		for range 2 {
			if r := u.resume(); r.Err == nil || !strings.Contains(*r.Err, settled.Txid().String()) || !strings.Contains(*r.Err, "signed_tx in get_events") {
				t.Fatalf("%+v", r)
			}
			u.crash()
			u.advance(time.Minute)
		}
		if r := u.resume(second.Txid()); r.Err == nil {
			t.Fatalf("another transaction was named: %+v", r)
		}
		if hopeless {
			if r := u.resume(settled.Txid()); r.Ok == nil || r.Ok.WrittenOff == 0 {
				t.Fatalf("%+v", r)
			}
		} else {
			u.chain.pool = append(u.chain.pool, settled)
		}
		u.settle(12)
		if h := u.health(); h.Stopped != nil || u.m.state.Open() != 0 {
			t.Fatalf("%+v, %d withdrawals are open", h, u.m.state.Open())
		}
		if _, times := u.chain.paid(next); times != 1 {
			t.Errorf("hopeless %v: the next withdrawal is paid %d times", hopeless, times)
		}
		if _, times := u.chain.paid(first); times != 1 && !hopeless {
			t.Errorf("the settled withdrawal is paid %d times", times)
		}
	}
}

// A withdrawal whose transaction spends only deposits that are gone waits for them, and says so, until the operator knows that they never return.
func TestWithdrawalWaitsForWhatWasWrittenOff(t *testing.T) {
	for _, returns := range []bool{false, true} {
		u := newUniverse(t, 29, deep(20, 0))
		alice, dst := user(0), destination(1)
		u.deposit(alice, 200_000)
		u.ledger.allowances[core.Account{Owner: alice}] = 1 << 40
		if e := retrieve(u, alice, dst.String(), 150_000); e != nil {
			t.Fatalf("%+v", e)
		}
		block := uint64(len(u.ledger.blocks) - 1)
		u.advance(4 * time.Second)
		gone := u.chain.takeBack(6, func(*btc.Tx) bool { return false })
		u.advance(15 * time.Second)
		u.chain.fund(u.m.main.String(), 200_000)
		for range 3 {
			u.chain.mine()
		}
		if r := u.resume(); r.Ok == nil || r.Ok.WrittenOff != 200_000 {
			t.Fatalf("%+v", r)
		}
		u.crash()
		u.settle(8)
		s, err := native.Query[*WithdrawalStatus](u.w, alice, minterID, "get_withdrawal_status", BlockIndex{BlockIndex: block})
		must(t, err)
		if _, times := u.chain.paid(dst); times != 0 || s.SetAside == nil || !strings.Contains(*s.SetAside, gone[0].Txid().String()) || u.health().Stopped != nil {
			t.Fatalf("paid %d times, %+v, %+v", times, s, u.health())
		}
		if returns {
			u.chain.pool = append(u.chain.pool, gone...)
		} else if r := u.resume(gone[0].Txid()); r.Ok == nil {
			t.Fatalf("%+v", r)
		}
		u.settle(30)
		u.audit(map[string]uint64{dst.String(): 150_000})
		if _, times := u.chain.paid(dst); times != 1 {
			t.Errorf("paid %d times", times)
		}
		if h := u.health(); returns != (h.WrittenOff == 0) {
			t.Errorf("%+v", h)
		}
	}
}

// A transaction that is named must be one.
func TestResumeRefusesWhatIsNoTransaction(t *testing.T) {
	u := newUniverse(t, 27, nil)
	r, err := native.Update[ResumeResult](u.w, operator, minterID, "resume", &ResumeArgs{Never: []string{"the last one"}})
	if err != nil || r.Err == nil || !strings.Contains(*r.Err, "never and others name transactions") {
		t.Fatalf("%+v %v", r, err)
	}
}

// A withdrawal whose transaction was given up and that would now need too many inputs is neither paid nor refunded. It says so, and the next one does not wait for it.
func TestWithdrawalIsSetAside(t *testing.T) {
	most := uint64(5)
	u := newUniverse(t, 28, func(a *InitArgs) {
		deep(20, 0)(a)
		a.MaxNumInputsInTransaction = &most
	})
	alice := user(0)
	u.deposit(alice, 200_000)
	u.deposit(alice, 300_000)
	u.ledger.allowances[core.Account{Owner: alice}] = 1 << 40
	if e := retrieve(u, alice, destination(1).String(), 400_000); e != nil {
		t.Fatalf("%+v", e)
	}
	block := uint64(len(u.ledger.blocks) - 1)
	u.advance(4 * time.Second)
	u.chain.takeBack(6, func(tx *btc.Tx) bool { return tx.Outputs[0].Value == 200_000 })
	u.chain.mine()
	u.advance(15 * time.Second)
	for range 20 {
		u.chain.fund(u.m.main.String(), 15_050)
	}
	for range 3 {
		u.chain.mine()
	}
	if r := u.resume(); r.Ok == nil {
		t.Fatalf("%+v", r)
	}
	if e := retrieve(u, alice, destination(2).String(), 50_000); e != nil {
		t.Fatalf("%+v", e)
	}
	u.settle(5)
	if _, times := u.chain.paid(destination(2)); times != 1 {
		t.Errorf("the second withdrawal was paid %d times", times)
	}
	if _, times := u.chain.paid(destination(1)); times != 0 || u.ledger.supply != 50_000 {
		t.Errorf("the first withdrawal was paid %d times, the supply is %d", times, u.ledger.supply)
	}
	s, err := native.Query[*WithdrawalStatus](u.w, alice, minterID, "get_withdrawal_status", BlockIndex{BlockIndex: block})
	must(t, err)
	if s.Status.Pending == nil || s.SetAside == nil || s.ExpectedBlocks != nil {
		t.Errorf("%+v", s)
	}
	page, err := native.Query[HTTPResponse](u.w, alice, minterID, "http_request", httpQuery{URL: "/metrics"})
	must(t, err)
	if !strings.Contains(string(page.Body), "ckbtc_set_aside_withdrawals 1\n") || !slices.ContainsFunc(u.m.logs, func(l logLine) bool { return strings.Contains(l.text, "is set aside") }) {
		t.Error("no alarm")
	}
	u.settle(30) // the second payment spent what the first needs, for good: nothing can pay the first any more
	if u.ledger.supply != 450_000 || u.m.state.Open() != 0 || u.m.state.Aside(5000) != nil {
		t.Errorf("the supply is %d, %d withdrawals are open", u.ledger.supply, u.m.state.Open())
	}
}

// The Bitcoin canister halts and is reset between two looks of an idle minter: the minter learns of it by the epoch, and waits for a controller even if nothing is missing.
func TestResetBetweenTwoLooksStopsTheMinter(t *testing.T) {
	for _, gone := range []bool{false, true} {
		u := newUniverse(t, 29, nil)
		epoch := uint32(3) // the first one that a minter sees is as good as any
		u.chain.epoch = &epoch
		alice := user(0)
		u.deposit(alice, 500_000)
		u.ledger.allowances[core.Account{Owner: alice}] = 1 << 40
		u.settle(8)
		if h := u.health(); h.Stopped != nil || u.m.state.Watching() {
			t.Fatalf("%+v", h)
		}
		epoch++
		if gone {
			u.chain.takeBack(12, func(*btc.Tx) bool { return false })
		}
		u.advance(time.Minute)
		u.isPaused(alice, "began again (epoch 4)")
		u.crash()
		u.advance(time.Minute)
		u.isPaused(alice, "began again (epoch 4)")
		if h := u.health(); h.Deficit != map[bool]uint64{true: 500_000}[gone] {
			t.Fatalf("%+v", h)
		}
		if gone {
			if r := u.resume(); r.Err == nil || !strings.Contains(*r.Err, "500000 satoshi are missing") {
				t.Fatalf("%+v", r)
			}
			u.chain.fund(u.m.main.String(), 500_000)
			for range 3 {
				u.chain.mine()
			}
		}
		if r := u.resume(); r.Ok == nil {
			t.Fatalf("%+v", *r.Err)
		}
		if e := retrieve(u, alice, destination(1).String(), 200_000); e != nil {
			t.Fatalf("%+v", e)
		}
		u.settle(12)
		if _, times := u.chain.paid(destination(1)); times != 1 || u.health().Stopped != nil {
			t.Errorf("gone %v: paid %d times, %+v", gone, times, u.health())
		}
	}
}

// The call that learns of the reset mints nothing from its listing.
func TestResetIsLearntByUpdateBalance(t *testing.T) {
	u := newUniverse(t, 30, nil)
	epoch := uint32(0)
	u.chain.epoch = &epoch
	alice := user(0)
	u.deposit(alice, 500_000)
	u.fund(alice, 300_000)
	epoch++
	if r := u.update(alice); r.Err == nil || r.Err.TemporarilyUnavailable == nil {
		t.Fatalf("%+v", r)
	}
	if u.ledger.supply != 500_000 {
		t.Errorf("supply %d", u.ledger.supply)
	}
}
