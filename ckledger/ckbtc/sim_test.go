package ckbtc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"fusion/btc"
	"fusion/cdk"
	"fusion/cdk/native"
	"fusion/ckledger/ckbtc/core"
	"fusion/ckledger/icrc"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

func user(i int) principal.Principal {
	return principal.MustFromBytes(fmt.Appendf(nil, "user %d", i))
}

// destination makes a fresh address of each kind in turn.
func destination(n int) btc.Address {
	payload := make([]byte, 32)
	binary.BigEndian.PutUint64(payload, uint64(n)+1)
	kind := btc.AddressKind(n%5) + btc.P2PKH
	a, err := btc.NewAddress(btc.Regtest, kind, payload[:kind.PayloadLen()])
	if err != nil {
		panic(err)
	}
	return a
}

// audit checks the end: nothing is open, and ledger, log and chain agree.
func (u *universe) audit(wanted map[string]uint64) { u.auditBlocks(wanted, u.ledger.blocks) }

// auditBlocks is audit with the blocks of a ledger.
func (u *universe) auditBlocks(wanted map[string]uint64, blocks []ledgerBlock) (deposits, paid, refunds int) {
	u.t.Helper()
	t := u.t
	if n := u.m.state.Open(); n != 0 {
		u.errorf("%d withdrawals are still open: %+v", n, u.m.state.Tasks())
	}
	for _, line := range u.w.Logs() {
		if strings.Contains(line, "audit: ledger block") {
			u.errorf("%s", line)
		}
	}
	mints := map[string]int{}
	var minted, burned, refunded uint64
	for i, b := range blocks {
		switch {
		case b.mint:
			m, err := core.ParseMintMemo(b.memo)
			must(t, err)
			if m.Reimburse != nil {
				refunded += b.amount
				refunds++
				if r := u.m.state.Request(*m.Reimburse); r == nil || r.State != core.RequestRefunded || r.RefundIn != uint64(i) {
					u.errorf("block %d refunds %d, the log says %+v", i, *m.Reimburse, r)
				}
				continue
			}
			minted += b.amount
			mints[fmt.Sprintf("%x:%d", m.Convert.Txid, *m.Convert.Vout)]++
		case b.burn:
			burned += b.amount
			if m, err := core.ParseBurnMemo(b.memo); err == nil && m.Consolidate != nil {
				continue
			}
			r := u.m.state.Request(uint64(i))
			if r == nil {
				u.errorf("burn in block %d has no withdrawal", i)
				continue
			}
			m, err := core.ParseBurnMemo(b.memo)
			must(t, err)
			if *m.Convert.Address != r.Address.String() {
				u.errorf("burn in block %d is for %s, the withdrawal for %v", i, *m.Convert.Address, r.Address)
			}
			sum, times := u.chain.paid(r.Address)
			switch r.State {
			case core.RequestConfirmed:
				paid++
				if times != 1 || sum > r.Amount || sum+50_000 < r.Amount {
					u.errorf("withdrawal %d of %d is paid %d times, %d in all", i, r.Amount, times, sum)
				}
			case core.RequestRefunded:
				if times != 0 {
					u.errorf("withdrawal %d is refunded and paid", i)
				}
			default:
				u.errorf("withdrawal %d ends in state %d", i, r.State)
			}
			if wanted[r.Address.String()] != r.Amount {
				u.errorf("withdrawal %d pays %d, wanted was %d", i, r.Amount, wanted[r.Address.String()])
			}
		}
	}
	for op, n := range mints {
		if n != 1 {
			u.errorf("deposit %s was minted %d times", op, n)
		}
	}
	m, b, r := u.m.state.Totals()
	if m != minted || b != burned || r != refunded {
		u.errorf("the log says minted %d burned %d refunded %d; the ledger %d, %d, %d", m, b, r, minted, burned, refunded)
	}
	u.crash() // once more: the log alone gives the same
	return len(mints), paid, refunds
}

// The simulation must do what it is meant to: with the same driver and no faults, everything is minted and paid.
func TestDepositAndWithdrawal(t *testing.T) {
	u := newUniverse(t, 1, nil)
	alice := user(0)
	addr, err := native.Update[string](u.w, alice, minterID, "get_btc_address", AddressArgs{})
	must(t, err)
	u.chain.fund(addr, 1_000_000)
	u.chain.mine()
	res, err := native.Update[UpdateBalanceResult](u.w, alice, minterID, "update_balance", AddressArgs{})
	must(t, err)
	if res.Err == nil || res.Err.NoNewUtxos == nil || *res.Err.NoNewUtxos.CurrentConfirmations != 1 || len(*res.Err.NoNewUtxos.PendingUtxos) != 1 {
		t.Fatalf("%+v", res.Err)
	}
	u.chain.mine()
	u.chain.mine()
	res, err = native.Update[UpdateBalanceResult](u.w, alice, minterID, "update_balance", AddressArgs{})
	must(t, err)
	if res.Ok == nil || len(*res.Ok) != 1 || (*res.Ok)[0].Minted == nil || (*res.Ok)[0].Minted.MintedAmount != 1_000_000 {
		t.Fatalf("%+v", res)
	}
	if known, err := native.Query[[]Utxo](u.w, alice, minterID, "get_known_utxos", AddressArgs{}); err != nil || len(known) != 1 {
		t.Fatalf("%v %v", known, err)
	}
	wanted := map[string]uint64{}
	for i := range 5 {
		dst := destination(i)
		wanted[dst.String()] = 150_000
		u.ledger.allowances[core.Account{Owner: alice}] = 150_000
		r, err := native.Update[RetrieveBtcWithApprovalResult](u.w, alice, minterID, "retrieve_btc_with_approval", RetrieveBtcWithApprovalArgs{Address: dst.String(), Amount: 150_000})
		must(t, err)
		if r.Ok == nil {
			t.Fatalf("%+v", r.Err)
		}
		st, err := native.Query[RetrieveBtcStatusV2](u.w, alice, minterID, "retrieve_btc_status_v2", BlockIndex{r.Ok.BlockIndex})
		if err != nil || st.Pending == nil {
			t.Fatalf("%+v %v", st, err)
		}
	}
	u.settle(12)
	u.audit(wanted)
	for dst := range wanted {
		a, _ := btc.ParseAddress(btc.Regtest, dst)
		if _, times := u.chain.paid(a); times != 1 {
			t.Errorf("%s is paid %d times", dst, times)
		}
	}
	all, err := native.Query[[]StatusByAccount](u.w, alice, minterID, "retrieve_btc_status_v2_by_account", &Account{Owner: alice})
	if err != nil || len(all) != 5 || all[0].StatusV2.Confirmed == nil {
		t.Errorf("%+v %v", all, err)
	}
	events, err := native.Query[[]Event](u.w, alice, minterID, "get_events", EventsArgs{0, 1000})
	must(t, err)
	if len(events) < 9 || events[0].Payload.Init == nil || events[len(events)-1].Payload.ConfirmedTransaction == nil {
		t.Errorf("%d events: %+v", len(events), events)
	}
	more, err := native.Query[[]Event](u.w, alice, minterID, "get_events", EventsArgs{uint64(len(events)), 10})
	if err != nil || len(more) != 0 {
		t.Errorf("%+v %v", more, err)
	}
}

func retrieve(u *universe, who principal.Principal, address string, amount uint64) *RetrieveBtcWithApprovalError {
	u.t.Helper()
	r, err := native.Update[RetrieveBtcWithApprovalResult](u.w, who, minterID, "retrieve_btc_with_approval", RetrieveBtcWithApprovalArgs{Address: address, Amount: amount})
	must(u.t, err)
	return r.Err
}

// deposit gives a user ckBTC.
func (u *universe) deposit(who principal.Principal, value uint64) {
	u.t.Helper()
	addr, err := native.Update[string](u.w, who, minterID, "get_btc_address", AddressArgs{})
	must(u.t, err)
	u.chain.fund(addr, value)
	for range 3 {
		u.chain.mine()
	}
	res, err := native.Update[UpdateBalanceResult](u.w, who, minterID, "update_balance", AddressArgs{})
	must(u.t, err)
	if res.Ok == nil {
		u.t.Fatalf("%+v", res.Err)
	}
}

var realLedger = principal.FromUint64(18)

// newUniverseWithLedger has the real ledger in place of the simulated one, and alice, who got 1,000,000 satoshi.
func newUniverseWithLedger(t *testing.T, seed uint64) (u *universe, alice principal.Principal) {
	t.Helper()
	u = newUniverse(t, seed, func(a *InitArgs) { a.LedgerID = realLedger })
	fee := candid.NatFromUint64(10)
	memo := uint16(80)
	must(t, u.w.Install(realLedger, icrc.Canister, icrc.LedgerArg{Init: &icrc.InitArgs{MintingAccount: icrc.Account{Owner: minterID}, TransferFee: fee,
		TokenSymbol: "ckBTC", TokenName: "ckBTC", MaxMemoLength: &memo, FeatureFlags: &icrc.FeatureFlags{ICRC2: true}, ArchiveOptions: icrc.ArchiveOptions{
			NumBlocksToArchive: 1000, TriggerThreshold: 2000, ControllerID: minterID}}}))
	alice = user(0)
	addr, err := native.Update[string](u.w, alice, minterID, "get_btc_address", AddressArgs{})
	must(t, err)
	u.chain.fund(addr, 1_000_000)
	for range 3 {
		u.chain.mine()
	}
	res, err := native.Update[UpdateBalanceResult](u.w, alice, minterID, "update_balance", AddressArgs{})
	must(t, err)
	if res.Ok == nil || (*res.Ok)[0].Minted == nil {
		t.Fatalf("%+v", res)
	}
	return u, alice
}

// A withdrawal whose answer was lost is repeated together with its approval: the ledger knows the approval by its created_at_time, and gives no second allowance.
func TestRepeatedWithApprovalBurnsOnce(t *testing.T) {
	u, alice := newUniverseWithLedger(t, 10)
	none, at := candid.NatFromUint64(0), u.w.Now()
	approval := icrc.ApproveArgs{Spender: icrc.Account{Owner: minterID}, Amount: candid.NatFromUint64(200_000), ExpectedAllowance: &none, CreatedAtTime: &at}
	for i := range 3 {
		ok, err := native.Update[icrc.ApproveResult](u.w, alice, realLedger, "icrc2_approve", approval)
		must(t, err)
		if i == 0 && ok.Ok == nil || i > 0 && (ok.Err == nil || ok.Err.Duplicate == nil) {
			t.Fatalf("approval %d: %+v", i, ok.Err)
		}
		if e := retrieve(u, alice, destination(1).String(), 200_000); i == 0 && e != nil || i > 0 && (e == nil || e.InsufficientAllowance == nil) {
			t.Fatalf("withdrawal %d: %+v", i, e)
		}
		u.advance(time.Hour)
	}
	list, err := native.Query[[]StatusByAccount](u.w, alice, minterID, "retrieve_btc_status_v2_by_account", &Account{Owner: alice})
	must(t, err)
	if len(list) != 1 || list[0].StatusV2.Submitted == nil {
		t.Errorf("%+v", list)
	}
}

// The same with the real ledger in place of the simulated one, both ways of burning.
func TestWithRealLedger(t *testing.T) {
	u, alice := newUniverseWithLedger(t, 9)
	balance := func(a icrc.Account) uint64 {
		b, err := native.Query[candid.Nat](u.w, alice, realLedger, "icrc1_balance_of", a)
		must(t, err)
		n, _ := b.Uint64()
		return n
	}
	if got := balance(icrc.Account{Owner: alice}); got != 1_000_000 {
		t.Fatalf("balance %d", got)
	}
	first, second := destination(2), destination(4)
	if e := retrieve(u, alice, first.String(), 200_000); e == nil || e.InsufficientAllowance == nil {
		t.Fatalf("without approval: %+v", e)
	}
	ok, err := native.Update[icrc.ApproveResult](u.w, alice, realLedger, "icrc2_approve", icrc.ApproveArgs{Spender: icrc.Account{Owner: minterID}, Amount: candid.NatFromUint64(300_000)})
	must(t, err)
	if ok.Ok == nil {
		t.Fatalf("%+v", ok.Err)
	}
	if e := retrieve(u, alice, first.String(), 200_000); e != nil {
		t.Fatalf("%+v", e)
	}
	where, err := native.Update[Account](u.w, alice, minterID, "get_withdrawal_account", cdk.None{})
	must(t, err)
	withdrawal := icrc.Account{Owner: where.Owner, Subaccount: where.Subaccount}
	moved, err := native.Update[icrc.TransferResult](u.w, alice, realLedger, "icrc1_transfer", icrc.TransferArg{To: withdrawal, Amount: candid.NatFromUint64(100_000)})
	must(t, err)
	if moved.Ok == nil {
		t.Fatalf("%+v", moved.Err)
	}
	r, err := native.Update[RetrieveBtcResult](u.w, alice, minterID, "retrieve_btc", RetrieveBtcArgs{Address: second.String(), Amount: 100_001})
	must(t, err)
	if r.Err == nil || r.Err.InsufficientFunds == nil || r.Err.InsufficientFunds.Balance != 100_000 {
		t.Fatalf("%+v", r)
	}
	r, err = native.Update[RetrieveBtcResult](u.w, alice, minterID, "retrieve_btc", RetrieveBtcArgs{Address: second.String(), Amount: 100_000})
	must(t, err)
	if r.Ok == nil {
		t.Fatalf("%+v", r.Err)
	}
	u.settle(12)
	if a, b := balance(icrc.Account{Owner: alice}), balance(withdrawal); a != 1_000_000-200_000-100_000-2*10 || b != 0 {
		t.Errorf("balances %d and %d", a, b)
	}
	for _, dst := range []btc.Address{first, second} {
		if sum, times := u.chain.paid(dst); times != 1 || sum == 0 {
			t.Errorf("%v is paid %d in %d outputs", dst, sum, times)
		}
	}
	if n := u.m.state.Open(); n != 0 {
		t.Errorf("%d withdrawals are open", n)
	}
}

func TestBadRequestsBurnNothing(t *testing.T) {
	u := newUniverse(t, 2, nil)
	alice := user(0)
	u.deposit(alice, 100_000)
	good := destination(0).String()
	if e := retrieve(u, alice, good, 9_999); e == nil || e.AmountTooLow == nil || *e.AmountTooLow != 10_000 {
		t.Errorf("too low: %+v", e)
	}
	for _, bad := range []string{"", "nonsense", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", good + "x", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"} {
		if e := retrieve(u, alice, bad, 20_000); e == nil || e.MalformedAddress == nil {
			t.Errorf("%q: %+v", bad, e)
		}
	}
	main, err := u.m.key.Address(btc.Regtest, core.Account{Owner: minterID})
	must(t, err)
	if e := retrieve(u, alice, main.String(), 20_000); e == nil || e.MalformedAddress == nil {
		t.Errorf("minter's own address: %+v", e)
	}
	if e := retrieve(u, alice, good, 20_000); e == nil || e.InsufficientAllowance == nil {
		t.Errorf("no allowance: %+v", e)
	}
	u.ledger.allowances[core.Account{Owner: alice}] = 1 << 40
	if e := retrieve(u, alice, good, 100_001); e == nil || e.InsufficientFunds == nil || e.InsufficientFunds.Balance != 100_000 {
		t.Errorf("no funds: %+v", e)
	}
	if _, err := native.Update[RetrieveBtcWithApprovalResult](u.w, principal.Anonymous, minterID, "retrieve_btc_with_approval", RetrieveBtcWithApprovalArgs{Address: good, Amount: 20_000}); err == nil {
		t.Error("anonymous withdrawal")
	}
	if _, err := native.Update[string](u.w, principal.Anonymous, minterID, "get_btc_address", AddressArgs{}); err == nil {
		t.Error("anonymous address")
	}
	short := []byte{1}
	if _, err := native.Update[string](u.w, alice, minterID, "get_btc_address", AddressArgs{Subaccount: &short}); err == nil {
		t.Error("short subaccount")
	}
	if u.ledger.supply != 100_000 || u.m.state.Open() != 0 {
		t.Errorf("supply %d, open %d", u.ledger.supply, u.m.state.Open())
	}
}

func TestManyUpdatesAtOnceMintOnce(t *testing.T) {
	u := newUniverse(t, 3, nil)
	alice := user(0)
	addr, err := native.Update[string](u.w, alice, minterID, "get_btc_address", AddressArgs{})
	must(t, err)
	u.chain.fund(addr, 500_000)
	for range 3 {
		u.chain.mine()
	}
	var calls []*native.Pending
	for range 20 {
		p, err := u.w.Submit(alice, minterID, "update_balance", AddressArgs{})
		must(t, err)
		calls = append(calls, p)
	}
	must(t, u.w.Advance(time.Second))
	minted, busy := 0, 0
	for _, p := range calls {
		var r UpdateBalanceResult
		must(t, candid.Unmarshal(p.Answer().Data, &r))
		switch {
		case r.Ok != nil:
			minted++
		case r.Err.AlreadyProcessing != nil:
			busy++
		}
	}
	if minted != 1 || busy == 0 || u.ledger.supply != 500_000 {
		t.Errorf("minted %d, busy %d, supply %d", minted, busy, u.ledger.supply)
	}
}

func TestSmallDepositsAreSuspended(t *testing.T) {
	u := newUniverse(t, 4, func(a *InitArgs) {
		fee := uint64(1000)
		a.CheckFee = &fee
	})
	alice := user(0)
	addr, err := native.Update[string](u.w, alice, minterID, "get_btc_address", AddressArgs{})
	must(t, err)
	u.chain.fund(addr, 1000)
	u.chain.fund(addr, 5000)
	for range 3 {
		u.chain.mine()
	}
	res, err := native.Update[UpdateBalanceResult](u.w, alice, minterID, "update_balance", AddressArgs{})
	must(t, err)
	small, minted := 0, uint64(0)
	for _, s := range *res.Ok {
		if s.ValueTooSmall != nil {
			small++
		}
		if s.Minted != nil {
			minted += s.Minted.MintedAmount
		}
	}
	if small != 1 || minted != 4000 {
		t.Errorf("%+v", res.Ok)
	}
	res, err = native.Update[UpdateBalanceResult](u.w, alice, minterID, "update_balance", AddressArgs{})
	must(t, err)
	if res.Err == nil || res.Err.NoNewUtxos == nil || len(*res.Err.NoNewUtxos.SuspendedUtxos) != 1 {
		t.Errorf("%+v", res)
	}
}

// A mint whose answers are lost is asked again with the same stamp. After a day the ledger can no longer tell by a duplicate what became of it; then
// its blocks do: the mint is never repeated if it happened, and done if it did not.
func TestLostMintIsSettledByTheLedgersBlocks(t *testing.T) {
	for _, happened := range []bool{true, false} {
		u := newUniverse(t, 5, nil)
		alice := user(0)
		addr, err := native.Update[string](u.w, alice, minterID, "get_btc_address", AddressArgs{})
		must(t, err)
		u.chain.fund(addr, 70_000)
		for range 3 {
			u.chain.mine()
		}
		lost := true
		u.w.Handle(ledgerID, func(in *native.Incoming) {
			if !lost {
				u.ledger.handle(in)
				return
			}
			if happened && in.Method == "icrc1_transfer" {
				var a transferArg
				must(t, candid.Unmarshal(in.Arg, &a))
				u.ledger.transfer(Account{Owner: in.Caller}, a.To, a.Amount, *a.Memo, *a.CreatedAtTime, false, in)
			}
			in.Reject(cdk.CanisterError, "lost")
		})
		res, err := native.Update[UpdateBalanceResult](u.w, alice, minterID, "update_balance", AddressArgs{})
		must(t, err)
		if res.Ok == nil || (*res.Ok)[0].Checked == nil {
			t.Fatalf("%+v", res)
		}
		u.crash()
		must(t, u.w.Advance(25*time.Hour))
		lost = false
		must(t, u.w.Advance(2*time.Hour))
		if u.ledger.supply != 70_000 || len(u.ledger.blocks) != 1 {
			t.Errorf("happened %v: supply %d in %d blocks", happened, u.ledger.supply, len(u.ledger.blocks))
		}
		events, err := native.Query[[]Event](u.w, alice, minterID, "get_events", EventsArgs{0, 100})
		must(t, err)
		n := len(events)
		if events[n-2].Payload.CheckedUtxoMintUnknown == nil || events[n-1].Payload.ReceivedUtxos == nil {
			t.Errorf("happened %v: the last events are %+v, %+v", happened, events[n-2].Payload, events[n-1].Payload)
		}
		for _, line := range u.w.Logs() {
			if strings.Contains(line, "no event explains") {
				t.Error(line)
			}
		}
	}
}

// The same for a burn: the withdrawal is paid if the ledger burned, and forgotten if it did not.
func TestLostBurnIsSettledByTheLedgersBlocks(t *testing.T) {
	for _, happened := range []bool{true, false} {
		u := newUniverse(t, 10, nil)
		alice := user(0)
		u.deposit(alice, 100_000)
		u.ledger.allowances[core.Account{Owner: alice}] = 40_000
		u.w.Handle(ledgerID, func(in *native.Incoming) {
			if happened && in.Method == "icrc2_transfer_from" {
				var a transferFromArgs
				must(t, candid.Unmarshal(in.Arg, &a))
				u.ledger.transfer(a.From, a.To, a.Amount, *a.Memo, *a.CreatedAtTime, true, in)
			}
			in.Reject(cdk.CanisterError, "lost")
		})
		dst := destination(1)
		if e := retrieve(u, alice, dst.String(), 40_000); e == nil || e.TemporarilyUnavailable == nil {
			t.Fatalf("%+v", e)
		}
		must(t, u.w.Advance(25*time.Hour))
		u.w.Handle(ledgerID, u.ledger.handle)
		must(t, u.w.Advance(2*time.Hour))
		u.settle(12)
		u.audit(map[string]uint64{dst.String(): 40_000})
		want := 0
		if happened {
			want = 1
		}
		if _, times := u.chain.paid(dst); times != want || u.ledger.supply != 100_000-uint64(want)*40_000 {
			t.Errorf("happened %v: paid %d times, supply %d", happened, times, u.ledger.supply)
		}
	}
}

// And for a refund: ckBTC comes back exactly once.
func TestLostRefundIsSettledByTheLedgersBlocks(t *testing.T) {
	for _, happened := range []bool{true, false} {
		u := newUniverse(t, 11, func(a *InitArgs) {
			two := uint64(2)
			a.MaxNumInputsInTransaction = &two
		})
		alice := user(0)
		for range 4 {
			u.deposit(alice, 10_000)
		}
		u.ledger.allowances[core.Account{Owner: alice}] = 40_000
		if e := retrieve(u, alice, destination(0).String(), 35_000); e != nil {
			t.Fatalf("%+v", e)
		}
		u.w.Handle(ledgerID, func(in *native.Incoming) {
			if happened && in.Method == "icrc1_transfer" {
				var a transferArg
				must(t, candid.Unmarshal(in.Arg, &a))
				u.ledger.transfer(Account{Owner: in.Caller}, a.To, a.Amount, *a.Memo, *a.CreatedAtTime, false, in)
			}
			in.Reject(cdk.CanisterError, "lost")
		})
		must(t, u.w.Advance(26*time.Hour))
		u.crash()
		u.w.Handle(ledgerID, u.ledger.handle)
		must(t, u.w.Advance(2*time.Hour))
		u.audit(map[string]uint64{destination(0).String(): 35_000})
		if u.ledger.supply != 40_000 || len(u.ledger.blocks) != 6 {
			t.Errorf("happened %v: supply %d in %d blocks", happened, u.ledger.supply, len(u.ledger.blocks))
		}
		settled := false
		for _, line := range u.w.Logs() {
			settled = settled || strings.Contains(line, "an unknown outcome is settled")
		}
		if !settled {
			t.Errorf("happened %v: the outcome was never unknown", happened)
		}
	}
}

func TestStuckPaymentIsReplacedByFee(t *testing.T) {
	u := newUniverse(t, 6, nil)
	alice := user(0)
	u.deposit(alice, 400_000)
	u.ledger.allowances[core.Account{Owner: alice}] = 1 << 40
	dst := destination(2)
	if e := retrieve(u, alice, dst.String(), 300_000); e != nil {
		t.Fatalf("%+v", e)
	}
	must(t, u.w.Advance(10*time.Second))
	if len(u.chain.pool) != 1 {
		t.Fatalf("%d transactions in the pool", len(u.chain.pool))
	}
	first := u.chain.pool[0]
	must(t, u.w.Advance(25*time.Hour)) // no block
	if len(u.chain.pool) != 1 || u.chain.pool[0].Txid() == first.Txid() {
		t.Fatal("the payment was not replaced")
	}
	second := u.chain.pool[0]
	if second.Inputs[0].Prev != first.Inputs[0].Prev || second.Outputs[0].Value >= first.Outputs[0].Value || second.Outputs[1].Value != first.Outputs[1].Value {
		t.Errorf("%+v replaces %+v", second.Outputs, first.Outputs)
	}
	u.chain.pool = []*btc.Tx{first} // a miner that never saw the replacement
	u.chain.mine()
	u.settle(6)
	u.audit(map[string]uint64{dst.String(): 300_000})
	events, err := native.Query[[]Event](u.w, alice, minterID, "get_events", EventsArgs{0, 100})
	must(t, err)
	replaced := 0
	for _, e := range events {
		if x := e.Payload.ReplacedTransaction; x != nil {
			replaced++
			tx, err := btc.ParseTx(*x.SignedTx)
			must(t, err)
			if id := tx.Txid(); !bytes.Equal(id[:], x.NewTxid) {
				t.Errorf("transaction %v is said to be %x", id, x.NewTxid)
			}
		}
	}
	txid := first.Txid()
	if last := events[len(events)-1].Payload.ConfirmedTransaction; replaced == 0 || last == nil || !bytes.Equal(last.Txid, txid[:]) {
		t.Errorf("replaced %d times, last %+v", replaced, last)
	}
}

func TestUnpayableWithdrawalIsRefunded(t *testing.T) {
	u := newUniverse(t, 7, func(a *InitArgs) {
		one := uint64(2)
		a.MaxNumInputsInTransaction = &one
	})
	alice := user(0)
	for range 5 {
		u.deposit(alice, 10_000)
	}
	u.ledger.allowances[core.Account{Owner: alice}] = 1 << 40
	if e := retrieve(u, alice, destination(0).String(), 45_000); e != nil {
		t.Fatalf("%+v", e)
	}
	u.ledger.busy = 2
	u.settle(12)
	u.audit(map[string]uint64{destination(0).String(): 45_000})
	all, err := native.Query[[]StatusByAccount](u.w, alice, minterID, "retrieve_btc_status_v2_by_account", &Account{Owner: alice})
	if err != nil || len(all) != 1 || all[0].StatusV2.Reimbursed == nil || u.ledger.supply != 50_000 {
		t.Errorf("%+v %v, supply %d", all, err, u.ledger.supply)
	}
}

func TestModes(t *testing.T) {
	u := newUniverse(t, 8, nil)
	alice, bob := user(0), user(1)
	u.deposit(alice, 100_000)
	u.ledger.allowances[core.Account{Owner: alice}] = 1 << 40
	allowed := []principal.Principal{bob}
	for _, c := range []struct {
		mode                Mode
		deposit, withdrawal bool
	}{
		{Mode{ReadOnly: candid.Unit}, false, false},
		{Mode{RestrictedTo: &allowed}, false, false},
		{Mode{DepositsRestrictedTo: &allowed}, false, true},
		{Mode{GeneralAvailability: candid.Unit}, true, true},
	} {
		up := &UpgradeArgs{Mode: &c.mode}
		must(t, u.w.Advance(time.Second))
		must(t, u.w.Upgrade(minterID, u.setup, MinterArg{Upgrade: &up}))
		res, err := native.Update[UpdateBalanceResult](u.w, alice, minterID, "update_balance", AddressArgs{})
		must(t, err)
		if open := res.Err.TemporarilyUnavailable == nil; open != c.deposit {
			t.Errorf("%+v: deposit %+v", c.mode, res.Err)
		}
		e := retrieve(u, alice, destination(0).String(), 20_000)
		if open := e == nil || e.TemporarilyUnavailable == nil; open != c.withdrawal {
			t.Errorf("%+v: withdrawal %+v", c.mode, e)
		}
	}
	if err := u.w.Upgrade(minterID, u.setup, MinterArg{Init: &InitArgs{}}); err == nil {
		t.Error("upgrade with init arguments")
	}
}

func TestBadInitIsRefused(t *testing.T) {
	zero := uint32(0)
	base := func() InitArgs {
		return InitArgs{Network: Regtest, LedgerID: ledgerID, ECDSAKeyName: "dfx_test_key", RetrieveBtcMinAmount: 10_000, Mode: Mode{GeneralAvailability: candid.Unit}}
	}
	for name, change := range map[string]func(*InitArgs){
		"development key on mainnet": func(a *InitArgs) { a.Network = Network{Mainnet: candid.Unit}; a.BtcCheckerPrincipal = &ledgerID },
		"no checker on testnet":      func(a *InitArgs) { a.Network = Network{Testnet: candid.Unit} },
		"no confirmations":           func(a *InitArgs) { a.MinConfirmations = &zero },
		"no key":                     func(a *InitArgs) { a.ECDSAKeyName = "" },
		"dust withdrawals":           func(a *InitArgs) { a.RetrieveBtcMinAmount = 1 },
		"anonymous ledger":           func(a *InitArgs) { a.LedgerID = principal.Anonymous },
	} {
		a := base()
		change(&a)
		if err := native.NewWorld(1).Install(minterID, Canister, MinterArg{Init: &a}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	a := base()
	if err := native.NewWorld(1).Install(minterID, Canister, MinterArg{Init: &a}); err != nil {
		t.Error(err)
	}
}
