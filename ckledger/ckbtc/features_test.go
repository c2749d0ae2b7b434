package ckbtc

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/txscript"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"fusion/btc"
	"fusion/cdk"
	"fusion/cdk/native"
	"fusion/ckledger/ckbtc/core"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

var checkerID = principal.FromUint64(9)

// testChecker is a canister with the checker's interface whose answers a test decides.
type testChecker struct {
	t       *testing.T
	answers map[btc.Hash][]checkTransactionResponse // the last one stays
	asked   map[btc.Hash]int
	address checkAddressResponse
	down    bool
}

func (k *testChecker) setup(c *cdk.Canister) {
	cdk.Update(c, "check_transaction", func(m *cdk.Msg, a checkTransactionArgs) checkTransactionResponse {
		if k.down {
			c.Trap("out of order")
		}
		if got := m.CyclesAvailable(); got != cdk.CyclesOf(40_000_000_000) {
			k.t.Errorf("%v cycles attached", got)
		}
		m.AcceptCycles(cdk.CyclesOf(100_000_000))
		id := btc.Hash(a.Txid)
		k.asked[id]++
		list := k.answers[id]
		if len(list) == 0 {
			return checkTransactionResponse{Passed: candid.Unit}
		}
		if len(list) > 1 {
			k.answers[id] = list[1:]
		}
		return list[0]
	})
	cdk.Query(c, "check_address", func(*cdk.Msg, checkAddressArgs) checkAddressResponse {
		if k.down {
			c.Trap("out of order")
		}
		return k.address
	})
}

func newChecked(t *testing.T) (*universe, *testChecker) {
	k := &testChecker{t: t, answers: map[btc.Hash][]checkTransactionResponse{}, asked: map[btc.Hash]int{}, address: checkAddressResponse{Passed: candid.Unit}}
	u := newUniverse(t, 20, func(a *InitArgs) { a.BtcCheckerPrincipal = &checkerID })
	must(t, u.w.Install(checkerID, k.setup, nil))
	return u, k
}

// fund pays a user, confirms it and gives the transaction.
func (u *universe) fund(who principal.Principal, value uint64) btc.Hash {
	u.t.Helper()
	addr, err := native.Update[string](u.w, who, minterID, "get_btc_address", AddressArgs{})
	must(u.t, err)
	u.chain.fund(addr, value)
	id := u.chain.pool[len(u.chain.pool)-1].Txid()
	for range 3 {
		u.chain.mine()
	}
	return id
}

func (u *universe) update(who principal.Principal) UpdateBalanceResult {
	u.t.Helper()
	r, err := native.Update[UpdateBalanceResult](u.w, who, minterID, "update_balance", AddressArgs{})
	must(u.t, err)
	return r
}

func retriable(r checkRetriable) checkTransactionResponse {
	return checkTransactionResponse{Unknown: &checkStatus{Retriable: &r}}
}

func TestCheckerDecidesOverDeposits(t *testing.T) {
	u, k := newChecked(t)
	alice := user(0)
	failed := &[]string{"1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"}
	bad := u.fund(alice, 50_000)
	k.answers[bad] = []checkTransactionResponse{{Failed: failed}, {Passed: candid.Unit}}
	slow := u.fund(alice, 60_000)
	k.answers[slow] = []checkTransactionResponse{retriable(checkRetriable{Pending: candid.Unit}), retriable(checkRetriable{HighLoad: candid.Unit}), {Passed: candid.Unit}}
	r := u.update(alice)
	if r.Ok == nil || len(*r.Ok) != 2 {
		t.Fatalf("%+v", r)
	}
	for _, s := range *r.Ok {
		if tainted, minted := s.Tainted != nil && s.Tainted.Value == 50_000, s.Minted != nil && s.Minted.MintedAmount == 60_000; !tainted && !minted {
			t.Errorf("%+v", s)
		}
	}
	if k.asked[bad] != 1 || k.asked[slow] != 3 {
		t.Errorf("asked %v", k.asked)
	}
	// What is quarantined is checked again after a day, and not before.
	r = u.update(alice)
	if r.Err == nil || r.Err.NoNewUtxos == nil || len(*r.Err.NoNewUtxos.SuspendedUtxos) != 1 || (*r.Err.NoNewUtxos.SuspendedUtxos)[0].Reason.Quarantined == nil || k.asked[bad] != 1 {
		t.Fatalf("%+v", r)
	}
	must(t, u.w.Advance(24*time.Hour))
	if r = u.update(alice); r.Ok == nil || (*r.Ok)[0].Minted == nil || u.ledger.supply != 110_000 {
		t.Errorf("%+v", r)
	}
}

// A checker without an answer is paid for ten questions at most, then left alone for a while; nothing is lost, and other deposits go on.
func TestCheckerOutagesLoseNothing(t *testing.T) {
	u, k := newChecked(t)
	alice := user(0)
	busy := u.fund(alice, 50_000)
	k.answers[busy] = []checkTransactionResponse{retriable(checkRetriable{HighLoad: candid.Unit})}
	if r := u.update(alice); r.Err == nil || r.Err.TemporarilyUnavailable == nil || k.asked[busy] != 10 {
		t.Fatalf("%+v after %d questions", r, k.asked[busy])
	}
	if r := u.update(alice); r.Err == nil || r.Err.TemporarilyUnavailable == nil || k.asked[busy] != 10 {
		t.Errorf("asked %d times: %+v", k.asked[busy], r)
	}
	huge := u.fund(alice, 60_000)
	k.answers[huge] = []checkTransactionResponse{{Unknown: &checkStatus{Error: &checkError{ResponseTooLarge: &candid.Reserved{}}}}}
	u.fund(alice, 70_000)
	if r := u.update(alice); r.Ok == nil || len(*r.Ok) != 1 || (*r.Ok)[0].Minted == nil || (*r.Ok)[0].Minted.MintedAmount != 70_000 {
		t.Errorf("%+v", r)
	}
	must(t, u.w.Advance(10*time.Minute))
	k.answers[busy] = nil
	if r := u.update(alice); r.Ok == nil || len(*r.Ok) != 1 || (*r.Ok)[0].Minted == nil || (*r.Ok)[0].Minted.MintedAmount != 50_000 {
		t.Errorf("%+v", r)
	}
	must(t, u.w.Advance(10*time.Minute))
	if r := u.update(alice); r.Err == nil || r.Err.GenericError == nil || r.Err.GenericError.ErrorCode != 2 {
		t.Errorf("a deposit that cannot be checked: %+v", r)
	}
	must(t, u.w.Advance(10*time.Minute))
	k.down = true
	if r := u.update(alice); r.Err == nil || r.Err.TemporarilyUnavailable == nil {
		t.Errorf("%+v", r)
	}
	u.crash()
	k.down, k.answers[huge] = false, nil
	if r := u.update(alice); r.Ok == nil || (*r.Ok)[0].Minted == nil || u.ledger.supply != 180_000 {
		t.Errorf("%+v", r)
	}
}

func TestCheckerDecidesOverDestinations(t *testing.T) {
	u, k := newChecked(t)
	alice := user(0)
	u.fund(alice, 100_000)
	u.update(alice)
	u.ledger.allowances[core.Account{Owner: alice}] = 1 << 40
	k.address = checkAddressResponse{Failed: candid.Unit}
	if e := retrieve(u, alice, destination(0).String(), 20_000); e == nil || e.GenericError == nil || e.GenericError.ErrorCode != 1 {
		t.Errorf("tainted: %+v", e)
	}
	k.down = true
	if e := retrieve(u, alice, destination(0).String(), 20_000); e == nil || e.GenericError == nil || e.GenericError.ErrorCode != 2 {
		t.Errorf("down: %+v", e)
	}
	if u.ledger.supply != 100_000 {
		t.Errorf("supply %d", u.ledger.supply)
	}
	k.down, k.address = false, checkAddressResponse{Passed: candid.Unit}
	if e := retrieve(u, alice, destination(0).String(), 20_000); e != nil {
		t.Errorf("%+v", e)
	}
}

// schnorrSigner serves the BIP 340 key beside the ECDSA one of the fake signer.
func (u *universe) schnorrSigner(forge *int) func(*native.Incoming) {
	s := u.signer
	return func(in *native.Incoming) {
		switch in.Method {
		case "schnorr_public_key":
			if u.fault() {
				u.answer(func() { in.Reject(cdk.SysTransient, "no key yet") })
				return
			}
			_, c := s.derive(nil)
			u.answer(func() { in.Reply(cdk.SchnorrPublicKey{PublicKey: c.PublicKey[:], ChainCode: c.ChainCode[:]}) })
		case "sign_with_schnorr":
			var a cdk.SignWithSchnorrArgs
			must(u.t, candid.Unmarshal(in.Arg, &a))
			if a.Aux == nil || a.Aux.Bip341 == nil || len(a.Aux.Bip341.MerkleRootHash) != 0 || a.KeyID.Name != "dfx_test_key" {
				u.t.Fatalf("%+v", a)
			}
			s.checkPersisted([32]byte(a.Message))
			if u.fault() {
				u.answer(func() { in.Reject(cdk.CanisterReject, "the committee failed") })
				return
			}
			key, _ := s.derive(a.DerivationPath)
			sig, err := schnorr.Sign(txscript.TweakTaprootPrivKey(*secp256k1.PrivKeyFromBytes(key.Serialize()), nil), a.Message)
			must(u.t, err)
			b := sig.Serialize()
			if *forge > 0 {
				*forge--
				b[40] ^= 1
			}
			u.answer(func() { in.Reply(signatureReply{b}) })
		default:
			s.handle(in)
		}
	}
}

// Deposits to an account's taproot address are minted and spent together with the others; btcd's script engine judges the result. A signature that does not verify
// is not used.
func TestTaprootDeposits(t *testing.T) {
	u := newUniverse(t, 21, func(a *InitArgs) {
		name := "dfx_test_key"
		a.SchnorrKeyName = &name
	})
	forge := 1
	u.w.Handle(principal.Management, u.schnorrSigner(&forge))
	alice := user(0)
	address := func(kind *AddressType) string {
		a, err := native.Update[string](u.w, alice, minterID, "get_btc_address", AddressArgs{AddressType: kind})
		must(t, err)
		return a
	}
	plain := address(nil)
	u.chain.fund(plain, 60_000)
	rooted := address(&P2TR)
	if a, err := btc.ParseAddress(btc.Regtest, rooted); err != nil || a.Kind() != btc.P2TR {
		t.Fatalf("%s: %v %v", rooted, a.Kind(), err)
	}
	u.chain.fund(rooted, 70_000)
	u.chain.fund(rooted, 80_000)
	for range 3 {
		u.chain.mine()
	}
	if r := u.update(alice); r.Ok == nil || len(*r.Ok) != 3 {
		t.Fatalf("%+v", r)
	}
	u.crash() // what is known of an account's addresses is forgotten, except that it has taproot deposits
	u.chain.fund(rooted, 90_000)
	for range 3 {
		u.chain.mine()
	}
	if r := u.update(alice); r.Ok == nil || len(*r.Ok) != 1 || u.ledger.supply != 300_000 {
		t.Fatalf("%+v, supply %d", r, u.ledger.supply)
	}
	u.ledger.allowances[core.Account{Owner: alice}] = 1 << 40
	dst := destination(4)
	if e := retrieve(u, alice, dst.String(), 295_000); e != nil {
		t.Fatalf("%+v", e)
	}
	u.settle(20)
	u.audit(map[string]uint64{dst.String(): 295_000})
	if _, times := u.chain.paid(dst); times != 1 || forge != 0 {
		t.Errorf("paid %d times, %d forgeries left", times, forge)
	}
	last := u.chain.blocks[len(u.chain.blocks)-1]
	for i := len(u.chain.blocks) - 1; len(last) == 0; i-- {
		last = u.chain.blocks[i]
	}
	lengths := []int{}
	for _, in := range last[0].Inputs {
		lengths = append(lengths, len(in.Witness))
	}
	slices.Sort(lengths)
	if !slices.Equal(lengths, []int{1, 1, 1, 2}) {
		t.Errorf("witnesses of %v items", lengths)
	}
	without := newUniverse(t, 22, nil)
	if _, err := native.Update[string](without.w, alice, minterID, "get_btc_address", AddressArgs{AddressType: &P2TR}); err == nil || !strings.Contains(err.Error(), "schnorr_key_name") {
		t.Errorf("without a key: %v", err)
	}
}

// A deposit has a status from the moment it is announced, a withdrawal shows what it pays and when it is expected.
func TestStatusesInDetail(t *testing.T) {
	u := newUniverse(t, 23, func(a *InitArgs) {
		least, delay := uint64(5000), uint64(600e9) // a day of it would be a hundred thousand ticks
		a.DepositBtcMinAmount, a.Limits = &least, &Limits{ResubmissionDelayNanos: &delay}
	})
	alice := user(0)
	addr, err := native.Update[string](u.w, alice, minterID, "get_btc_address", AddressArgs{})
	must(t, err)
	status := func() []DepositStatus {
		t.Helper()
		s, err := native.Query[[]DepositStatus](u.w, alice, minterID, "get_deposit_status", AddressArgs{})
		must(t, err)
		return s
	}
	if s := status(); len(s) != 0 {
		t.Errorf("%+v", s)
	}
	u.chain.fund(addr, 200_000)
	u.chain.fund(addr, 1000)
	if s := status(); len(s) != 2 || s[0].Status.Mempool == nil || s[0].Value != 200_000 || *s[0].SeenNs != 77 || s[0].AddressType.P2WPKH == nil {
		t.Fatalf("%+v", s)
	}
	u.chain.mine()
	u.chain.mine()
	if s := status(); len(s) != 2 || s[0].Status.Confirming == nil || *s[0].Status.Confirming != (Confirming{2, 3}) {
		t.Fatalf("%+v", s)
	}
	u.chain.mine()
	if s := status(); len(s) != 2 || s[0].Status.Confirmed == nil {
		t.Fatalf("%+v", s)
	}
	u.update(alice)
	s := status()
	if len(s) != 2 || s[0].Status.Suspended == nil || s[0].Status.Suspended.Reason.ValueTooSmall == nil || s[1].Status.Minted == nil || s[1].Status.Minted.MintedAmount != 200_000 {
		t.Fatalf("%+v", s)
	}

	u.ledger.allowances[core.Account{Owner: alice}] = 1 << 40
	if e := retrieve(u, alice, destination(0).String(), 150_000); e != nil {
		t.Fatalf("%+v", e)
	}
	withdrawal := func() *WithdrawalStatus {
		t.Helper()
		w, err := native.Query[*WithdrawalStatus](u.w, alice, minterID, "get_withdrawal_status", BlockIndex{1})
		must(t, err)
		if w == nil {
			t.Fatal("no such withdrawal")
		}
		return w
	}
	if w := withdrawal(); w.Status.Pending == nil || w.Amount != 150_000 || w.FeeRate != nil || w.ExpectedBlocks == nil || *w.ExpectedBlocks != 1 {
		t.Errorf("%+v", w)
	}
	must(t, u.w.Advance(10*time.Second))
	if w := withdrawal(); w.Status.Submitted == nil || len(w.Transactions) != 1 || *w.FeeRate != 5000 || !w.Transactions[0].Sent || w.ExpectedHeight == nil ||
		*w.ExpectedHeight != uint32(len(u.chain.blocks)) {
		t.Errorf("%+v", w)
	}
	must(t, u.w.Advance(11*time.Minute))
	if w := withdrawal(); len(w.Transactions) != 2 || *w.FeeRate != 6000 || w.Replacements != 1 {
		t.Errorf("%+v", w)
	}
	u.settle(6)
	if w := withdrawal(); w.Status.Confirmed == nil || *w.FeeRate != 6000 || w.Replacements != 1 || w.ExpectedBlocks != nil {
		t.Errorf("%+v", w)
	}
	if s := status(); len(s) != 2 || s[1].Status.Minted == nil {
		t.Errorf("a spent deposit is forgotten: %+v", s)
	}
	if w, err := native.Query[*WithdrawalStatus](u.w, alice, minterID, "get_withdrawal_status", BlockIndex{0}); err != nil || w != nil {
		t.Errorf("a mint is no withdrawal: %+v %v", w, err)
	}

	page := func(path string) HTTPResponse {
		r, err := native.Query[HTTPResponse](u.w, alice, minterID, "http_request", httpQuery{URL: path})
		must(t, err)
		return r
	}
	if r := page("/metrics"); r.StatusCode != 200 || !strings.Contains(string(r.Body), "\nckbtc_minted_satoshi 200000\n") || !strings.Contains(string(r.Body), "\nckbtc_suspended_utxos 1\n") {
		t.Errorf("%s", r.Body)
	}
	if r := page("/dashboard?x"); r.StatusCode != 200 || !strings.Contains(string(r.Body), "0.00200000 ckBTC") {
		t.Errorf("%s", r.Body)
	}
	u.m.logf("a \"line\"\n with %s", "\\ and é")
	var logs struct {
		Entries []struct {
			Timestamp uint64
			Message   string
		}
	}
	if r := page("/logs"); json.Unmarshal(r.Body, &logs) != nil || len(logs.Entries) == 0 || logs.Entries[len(logs.Entries)-1].Message != "a \"line\"\n with \\ and é" {
		t.Errorf("%s", r.Body)
	}
	if r := page("/nothing"); r.StatusCode != 404 {
		t.Errorf("%+v", r)
	}
}

// A payment that nobody mines is cancelled after the deadline; ckBTC comes back only when the cancellation is final. If a miner takes the old transaction instead,
// it pays.
func TestStuckPaymentIsCancelled(t *testing.T) {
	for _, old := range []bool{false, true} {
		u := newUniverse(t, 24, func(a *InitArgs) {
			delay, after := uint64(600e9), uint64(1200e9)
			a.Limits = &Limits{ResubmissionDelayNanos: &delay, CancelAfterNanos: &after}
		})
		alice := user(0)
		u.deposit(alice, 400_000)
		u.ledger.allowances[core.Account{Owner: alice}] = 1 << 40
		dst := destination(0)
		if e := retrieve(u, alice, dst.String(), 300_000); e != nil {
			t.Fatalf("%+v", e)
		}
		must(t, u.w.Advance(10*time.Second))
		first := u.chain.pool[0]
		must(t, u.w.Advance(21*time.Minute))
		if len(u.chain.pool) != 1 || len(u.chain.pool[0].Outputs) != 1 {
			t.Fatalf("%+v", u.chain.pool)
		}
		u.crash()
		if u.ledger.supply != 100_000 {
			t.Fatal("refunded before the cancellation is final")
		}
		if old {
			u.chain.pool = []*btc.Tx{first}
			u.chain.mine()
		}
		u.settle(8)
		u.audit(map[string]uint64{dst.String(): 300_000})
		w, err := native.Query[*WithdrawalStatus](u.w, alice, minterID, "get_withdrawal_status", BlockIndex{1})
		must(t, err)
		_, times := u.chain.paid(dst)
		switch {
		case old && (w.Status.Confirmed == nil || times != 1 || u.ledger.supply != 100_000):
			t.Errorf("%+v, paid %d times, supply %d", w.Status, times, u.ledger.supply)
		case !old && (w.Status.Reimbursed == nil || times != 0 || u.ledger.supply <= 395_000 || u.ledger.supply >= 400_000):
			t.Errorf("%+v, paid %d times, supply %d", w.Status, times, u.ledger.supply)
		}
	}
}

// Very many outputs become few, at the expense of the fee account.
func TestConsolidation(t *testing.T) {
	u := newUniverse(t, 25, func(a *InitArgs) {
		threshold, inputs, interval, delay := uint64(12), uint64(8), uint64(3600e9), uint64(600e9)
		a.UtxoConsolidation = &threshold
		a.Limits = &Limits{ConsolidationInputs: &inputs, ConsolidationIntervalNanos: &interval, ResubmissionDelayNanos: &delay}
	})
	alice, fees := user(0), core.FeeAccount(minterID)
	addr, err := native.Update[string](u.w, alice, minterID, "get_btc_address", AddressArgs{})
	must(t, err)
	for i := range 12 {
		u.chain.fund(addr, 20_000+uint64(i))
	}
	for range 3 {
		u.chain.mine()
	}
	u.update(alice)
	must(t, u.w.Advance(time.Minute))
	book := func() core.Book { return u.m.state.Book() }
	if b := book(); b.Available != 12 || b.Payments != 0 || len(u.ledger.blocks) != 12 {
		t.Fatalf("without fees: %+v", b)
	}
	u.ledger.balances[core.Account{Owner: alice}] -= 30_000
	u.ledger.balances[fees] += 30_000
	must(t, u.w.Advance(30*time.Minute))
	if b := book(); b.Payments != 0 {
		t.Fatalf("asked again too early: %+v", b)
	}
	must(t, u.w.Advance(31*time.Minute))
	if b := book(); b.Payments != 1 || b.Available != 4 || b.Consolidations != 1 || len(u.chain.pool) != 1 {
		t.Fatalf("%+v, %d in the pool", b, len(u.chain.pool))
	}
	tx := u.chain.pool[0]
	fee := 8*20_000 + 28 - uint64(tx.Outputs[0].Value+tx.Outputs[1].Value)
	if burned := 30_000 - u.ledger.balances[fees]; len(tx.Inputs) != 8 || len(tx.Outputs) != 2 || burned != fee {
		t.Errorf("%d inputs, fee %d, burned %d", len(tx.Inputs), fee, burned)
	}
	m, err := core.ParseBurnMemo(u.ledger.blocks[12].memo)
	if err != nil || m.Consolidate == nil || *m.Consolidate != (core.Consolidate{Value: 8*20_000 + 28, Inputs: 8}) {
		t.Errorf("%+v %v", m, err)
	}
	must(t, u.w.Advance(65*time.Minute))
	if len(u.chain.pool) != 1 || u.chain.pool[0].Txid() != tx.Txid() {
		t.Error("a consolidation was replaced")
	}
	u.settle(6)
	u.crash()
	if b := book(); b.Payments != 0 || b.Available != 6 {
		t.Errorf("%+v", b)
	}
	events, err := native.Query[[]Event](u.w, alice, minterID, "get_events", EventsArgs{0, 1000})
	must(t, err)
	if n := slices.IndexFunc(events, func(e Event) bool { return e.Payload.CreatedConsolidateUtxosRequest != nil }); n < 0 || events[n+1].Payload.SentTransaction == nil {
		t.Errorf("%d", n)
	}
	for _, line := range u.w.Logs() {
		if strings.Contains(line, "audit: ledger block") {
			t.Error(line)
		}
	}
	u.ledger.allowances[core.Account{Owner: alice}] = 1 << 40
	if e := retrieve(u, alice, destination(0).String(), 200_000); e != nil {
		t.Fatalf("%+v", e)
	}
	u.settle(8)
	if _, times := u.chain.paid(destination(0)); times != 1 {
		t.Errorf("paid %d times", times)
	}
}
