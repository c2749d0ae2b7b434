package cketh

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holiman/uint256"

	"fusion/cdk"
	"fusion/cdk/native"
	"fusion/cdk/stable"
	"fusion/ckledger/cketh/core"
	"fusion/eth"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

var alice, operator = user(0), user(99)

func (u *universe) info() MinterInfo {
	i, err := native.Query[MinterInfo](u.w, alice, minterID, "get_minter_info")
	must(u.t, err)
	return i
}

func (u *universe) deposits(tx eth.Hash) []DepositReport {
	text := tx.String()
	r, err := native.Query[[]DepositReport](u.w, alice, minterID, "deposit_status", DepositQuery{TransactionHash: &text})
	must(u.t, err)
	return r
}

func (u *universe) deposit(tx eth.Hash) DepositReport {
	u.t.Helper()
	r := u.deposits(tx)
	if len(r) != 1 {
		u.t.Fatalf("%d deposits in %v", len(r), tx)
	}
	return r[0]
}

func (u *universe) detail(id candid.Nat) WithdrawalDetail {
	u.t.Helper()
	n, _ := id.Uint64()
	r, err := native.Query[[]WithdrawalDetail](u.w, alice, minterID, "withdrawal_status", SearchParameter{ByWithdrawalID: &n})
	must(u.t, err)
	if len(r) != 1 {
		u.t.Fatalf("%d withdrawals with id %d", len(r), n)
	}
	return r[0]
}

// upgrade gives upgrade arguments to the minter.
func (u *universe) upgrade(a UpgradeArg) {
	u.crash(MinterArg{Upgrade: &a})
	u.run(3 * time.Second)
}

func TestInvalidDeposits(t *testing.T) {
	blocked := []string{eth.Address{0xbc}.String()}
	u := newUniverse(t, 1, func(a *InitArg) { a.BlockedAddresses = &blocked })
	from := eth.Address{0xa0}
	value := core.AmountOf(milli)
	cases := map[string]eth.Hash{
		"a length of 30 bytes":              u.chain.deposit(0, from, eth.Address{}, value, [32]byte{30}, [32]byte{}),
		"the management canister":           u.chain.deposit(2, from, eth.Address{}, value, [32]byte{}, [32]byte{}),
		"the anonymous principal":           u.chain.deposit(2, from, eth.Address{}, value, word(principal.Anonymous), [32]byte{}),
		"bytes behind its":                  u.chain.deposit(2, from, eth.Address{}, value, [32]byte{1, 7, 7}, [32]byte{}),
		"on the block list":                 u.chain.deposit(2, eth.Address{0xbc}, eth.Address{}, value, word(alice), [32]byte{}),
		"the minter cannot be the owner":    u.chain.deposit(2, from, eth.Address{}, value, word(minterID), [32]byte{}),
		"amount is zero":                    u.chain.deposit(2, from, eth.Address{}, core.Amount{}, word(alice), [32]byte{}),
		"the token did not move to the min": u.chain.by(from, u.forgedDeposit(helpers[2], usdc, from, 5000)),
	}
	foreign := u.chain.by(from, u.forgedDeposit(eth.Address{0x66}, eth.Address{}, from, 5000)) // a contract that is not ours
	unknown := u.chain.deposit(2, from, eth.Address{0xc9}, value, word(alice), [32]byte{})     // a token that is not allowed
	u.settle(8)
	for want, tx := range cases {
		d := u.deposit(tx)
		if d.Status.Invalid == nil || !strings.Contains(*d.Status.Invalid, want) || !strings.Contains(d.Message, "cannot be minted") {
			t.Errorf("%s: %+v %s", want, d.Status, d.Message)
		}
	}
	for _, tx := range []eth.Hash{foreign, unknown} {
		if got := u.deposits(tx); len(got) != 0 {
			t.Errorf("%v: %+v", tx, got)
		}
	}
	for i := range ledgers {
		if s := u.supply(i); !s.IsZero() {
			t.Errorf("ledger %d issued %v", i, &s)
		}
	}
	blockedNow, err := native.Query[bool](u.w, alice, minterID, "is_address_blocked", blocked[0])
	if err != nil || !blockedNow {
		t.Errorf("is_address_blocked: %v %v", blockedNow, err)
	}
	if _, err := call[WithdrawEthResult](u, alice, minterID, "withdraw_eth", WithdrawalArg{Recipient: "0x1", Amount: candid.NatFromUint64(50 * milli)}); err == nil {
		t.Error("a malformed recipient is accepted")
	}
}

// forgedDeposit is what a contract logs that only pretends to have received something.
func (u *universe) forgedDeposit(helper, token, from eth.Address, n uint64) func(*fakeBlock) ([]eth.Event, bool) {
	w := eth.WordUint64(n)
	return func(*fakeBlock) ([]eth.Event, bool) {
		return []eth.Event{{Address: helper, Topics: []eth.Hash{eth.TopicReceivedETHOrERC20, eth.WordAddress(token), eth.WordAddress(from), word(alice)},
			Data: append(w[:], make([]byte, 32)...)}}, true
	}
}

// A token may keep a part of what is sent, and one transaction may hold several deposits: each is worth what moved for it.
func TestOddTokens(t *testing.T) {
	u := newUniverse(t, 2, nil)
	from := eth.Address{0xa0}
	first := u.chain.deposit(2, from, odd, core.AmountOf(10_000), word(alice), [32]byte{})
	many := u.chain.by(from, func(b *fakeBlock) (logs []eth.Event, ok bool) {
		for i, n := range []uint64{1000, 2000, 0} { // the third claims what the second brought
			said := core.AmountOf(2000)
			if n > 0 {
				b.credit(usdc, u.signer.main, core.AmountOf(n))
				logs = append(logs, transferLog(usdc, from, u.signer.main, core.AmountOf(n)))
			}
			if i == 1 { // and somebody else's transfer in between
				b.credit(usdc, u.signer.main, core.AmountOf(77))
				logs = append(logs, transferLog(usdc, eth.Address{0x99}, u.signer.main, core.AmountOf(77)))
			}
			w := eth.WordUint(&said)
			logs = append(logs, eth.Event{Address: helpers[2], Topics: []eth.Hash{eth.TopicReceivedETHOrERC20, eth.WordAddress(usdc), eth.WordAddress(from), word(alice)},
				Data: append(w[:], make([]byte, 32)...)})
		}
		return logs, true
	})
	u.settle(8)
	if b := u.balance(2, alice); b != 9_900 {
		t.Errorf("%d of the odd token are minted: %+v", b, u.deposit(first))
	}
	if b := u.balance(1, alice); b != 3000 {
		t.Errorf("%d are minted of a transaction with several deposits: %+v", b, u.deposits(many))
	}
}

// Amounts above 2^64 and up to 2^256-1 are minted to the last unit; what cannot be counted any more is refused.
func TestHugeAmounts(t *testing.T) {
	u := newUniverse(t, 3, nil)
	most := *new(uint256.Int).SetAllOne()
	from := eth.Address{0xa0}
	ether := *uint256.MustFromDecimal("123456789012345678901234567890")
	u.chain.deposit(2, from, eth.Address{}, ether, word(alice), [32]byte{})
	all := u.chain.deposit(2, from, usdc, most, word(alice), [32]byte{})
	u.settle(8)
	if s := u.supply(0); s != ether {
		t.Errorf("%v wei are minted", &s)
	}
	if s := u.supply(1); s != most {
		t.Errorf("%v of the token are minted: %+v", &s, u.deposit(all))
	}
	more := u.chain.by(from, func(b *fakeBlock) ([]eth.Event, bool) { // a token that counts modulo 2^256
		logs, _ := u.forgedDeposit(helpers[2], usdc, from, 5)(b)
		return append([]eth.Event{transferLog(usdc, from, u.signer.main, core.AmountOf(5))}, logs...), true
	})
	u.settle(8)
	if d := u.deposit(more); d.Status.Invalid == nil || !strings.Contains(*d.Status.Invalid, "2^256-1") {
		t.Errorf("%+v", d.Status)
	}
}

// A block that was final changes: the minter halts, says so everywhere, and goes on when an operator says so.
func TestReorgBeyondFinality(t *testing.T) {
	u := newUniverse(t, 4, nil)
	u.fund(alice, 1000*milli)
	r := u.withdrawEth(alice, eth.Address{0xd0}, 100*milli)
	if r.Ok == nil {
		t.Fatalf("%+v", r.Err)
	}
	u.run(2 * time.Second)
	u.broken = true
	u.chain.reorg(6)
	u.chain.pool = nil
	late := u.chain.deposit(2, eth.Address{0xa1}, eth.Address{}, core.AmountOf(milli), word(alice), [32]byte{})
	u.settle(6)
	h := u.m.state.Halt()
	if h == nil || !strings.Contains(h.Reason, "beyond finality") {
		t.Fatalf("not halted: %+v", h)
	}
	info := u.info()
	if info.Troubles == nil || len(*info.Troubles) == 0 || !strings.Contains((*info.Troubles)[0].Reason, "halted") {
		t.Errorf("get_minter_info: %+v", info.Troubles)
	}
	if d := u.detail(r.Ok.BlockIndex); d.Message == nil || !strings.Contains(*d.Message, "halted") {
		t.Errorf("withdrawal_status: %v", *d.Message)
	}
	if r := u.withdrawEth(alice, eth.Address{0xd0}, 100*milli); r.Err == nil || r.Err.TemporarilyUnavailable == nil || !strings.Contains(*r.Err.TemporarilyUnavailable, "halted") {
		t.Errorf("%+v", r)
	}
	before := u.supply(0)
	u.settle(6)
	if after := u.supply(0); after != before {
		t.Errorf("halted, the supply changed from %v to %v", &before, &after)
	}
	u.crash() // still halted after an upgrade without arguments
	if u.m.state.Halt() == nil {
		t.Error("an upgrade resumes by itself")
	}
	// The operator makes up for what the reorganisation took, and resumes.
	u.chain.by(eth.Address{1}, func(b *fakeBlock) ([]eth.Event, bool) {
		b.credit(eth.Address{}, u.signer.main, core.AmountOf(2000*milli))
		return nil, true
	})
	u.settle(6)
	yes := true
	u.upgrade(UpgradeArg{Resume: &yes})
	u.settle(12)
	if d := u.deposit(late); d.Status.Minted == nil {
		t.Errorf("after resuming: %+v", d)
	}
	if s := u.ethStatus(r.Ok.BlockIndex); s.TxFinalized == nil || s.TxFinalized.Success == nil {
		t.Errorf("after resuming: %+v", s)
	}
}

// When the chain holds less of a token than its ledger issued, that token is paused, and no other.
func TestInsolvencyPauses(t *testing.T) {
	u := newUniverse(t, 5, nil)
	u.chain.deposit(2, eth.Address{0xa0}, usdc, core.AmountOf(5000), word(alice), [32]byte{})
	u.fund(alice, 1000*milli)
	u.approve(1, alice)
	u.broken = true
	u.chain.by(eth.Address{1}, func(b *fakeBlock) ([]eth.Event, bool) { // the token's owner takes it away
		b.balances[holding{usdc, u.signer.main}] = core.AmountOf(10)
		return nil, true
	})
	u.settle(12)
	if p := u.m.state.Paused(usdc); !strings.Contains(p, "holds 10") || u.m.state.Paused(core.Ether) != "" {
		t.Fatalf("paused: %q, ether %q", p, u.m.state.Paused(core.Ether))
	}
	if r := u.withdrawErc20(alice, 1, eth.Address{0xd0}, 100); r.Err == nil || r.Err.TemporarilyUnavailable == nil || !strings.Contains(*r.Err.TemporarilyUnavailable, "paused") {
		t.Errorf("%+v", r)
	}
	if r := u.withdrawEth(alice, eth.Address{0xd0}, 100*milli); r.Ok == nil {
		t.Errorf("%+v", r.Err)
	}
	u.settle(10)
	if u.m.state.Open() != 0 {
		t.Error("ether waits for the token")
	}
}

// The answer of a signature is lost, but the transaction is mined with it: the minter finds it by sender and nonce, and adopts it.
func TestLostSignatureIsAdopted(t *testing.T) {
	u := newUniverse(t, 6, nil)
	u.fund(alice, 1000*milli)
	for range 40 {
		u.chain.mine()
	}
	u.run(3 * time.Second)
	u.signer.leak, u.signer.refuse = true, 1000
	r := u.withdrawEth(alice, eth.Address{0xd0}, 100*milli)
	u.run(2 * time.Second)
	for range 20 {
		u.chain.mine()
	}
	u.signer.refuse = 0
	u.settle(30)
	if s := u.ethStatus(r.Ok.BlockIndex); s.TxFinalized == nil || s.TxFinalized.Success == nil {
		t.Fatalf("%+v, halt %+v", s, u.m.state.Halt())
	}
	if _, times := u.chain.paid(eth.Address{}, eth.Address{0xd0}); times != 1 || !u.signer.leaked[u.m.state.Request(1).Receipt.Hash] {
		t.Errorf("paid %d times, receipt of %v", times, u.m.state.Request(1).Receipt.Hash)
	}
}

// A transaction that the minter never prepared uses its nonce: somebody else has the key, and everything stops.
func TestForeignTransactionHalts(t *testing.T) {
	u := newUniverse(t, 7, nil)
	u.fund(alice, 1000*milli)
	key, c := u.signer.derive(nil)
	tx := eth.Transaction{ChainID: core.DevGeth, GasLimit: 21_000, To: eth.Address{0x66}, Value: core.AmountOf(milli), MaxFeePerGas: core.AmountOf(900 * gwei), MaxPriorityFeePerGas: core.AmountOf(90 * gwei)}
	signed, err := tx.Sign(signOtherwise(key, tx.SigningHash()), c.PublicKey[:])
	must(t, err)
	u.chain.send(signed)
	r := u.withdrawEth(alice, eth.Address{0xd0}, 100*milli)
	u.settle(12)
	h := u.m.state.Halt()
	if h == nil || !strings.Contains(h.Reason, "did not prepare") {
		t.Fatalf("not halted: %+v", h)
	}
	if d := u.detail(r.Ok.BlockIndex); !strings.Contains(*d.Message, "halted") {
		t.Errorf("%s", *d.Message)
	}
	if u.m.state.Request(1).State != core.RequestDisputed {
		t.Errorf("state %d", u.m.state.Request(1).State)
	}
}

// Fees rise beyond what the burned fee of a token's withdrawal can pay: a filler takes its nonce, later withdrawals go on, and the tokens come back.
func TestStuckNonceIsFilled(t *testing.T) {
	u := newUniverse(t, 8, nil)
	u.chain.deposit(2, eth.Address{0xa0}, usdc, core.AmountOf(5000), word(alice), [32]byte{})
	u.fund(alice, 5000*milli)
	u.approve(1, alice)
	r := u.withdrawErc20(alice, 1, eth.Address{0xd0}, 1000)
	if r.Ok == nil {
		t.Fatalf("%+v", r.Err)
	}
	u.run(4 * time.Second)
	u.chain.base = core.AmountOf(60 * gwei) // six times, before the transaction is mined
	u.run(5 * time.Second)
	e := u.withdrawEth(alice, eth.Address{0xd1}, 500*milli)
	if e.Ok == nil {
		t.Fatalf("%+v", e.Err)
	}
	u.settle(60)
	if s := u.ethStatus(e.Ok.BlockIndex); s.TxFinalized == nil || s.TxFinalized.Success == nil {
		t.Errorf("the withdrawal behind: %+v", s)
	}
	s := u.ethStatus(r.Ok.CkethBlockIndex)
	if s.TxFinalized == nil || s.TxFinalized.Reimbursed == nil {
		t.Fatalf("%+v: %s", s, *u.detail(r.Ok.CkethBlockIndex).Message)
	}
	if r := u.m.state.Request(1); !r.Filled || len(r.Refunds) != 1 || r.Refunds[0].Asset != usdc {
		t.Errorf("filled %v, refunds %+v", r.Filled, r.Refunds)
	}
	if b := u.balance(1, alice); b != 5000-10 { // the fee of the approval
		t.Errorf("balance %d", b)
	}
	if d := u.detail(r.Ok.CkethBlockIndex); !strings.Contains(*d.Message, "minted back") {
		t.Errorf("%s", *d.Message)
	}
}

// A recipient that reverts, and a token that does, or that moves nothing and says it did: the amount comes back.
func TestFailedPaymentsAreRefunded(t *testing.T) {
	u := newUniverse(t, 9, nil)
	u.chain.deposit(2, eth.Address{0xa0}, odd, core.AmountOf(10_000), word(alice), [32]byte{})
	u.fund(alice, 5000*milli)
	u.approve(2, alice)
	before := u.balance(0, alice)
	r := u.withdrawEth(alice, reverts, 100*milli)
	u.settle(12)
	s := u.ethStatus(r.Ok.BlockIndex)
	if s.TxFinalized == nil || s.TxFinalized.Reimbursed == nil {
		t.Fatalf("%+v", s)
	}
	if lost := before - u.balance(0, alice); lost == 0 || lost > milli {
		t.Errorf("a failed withdrawal cost %d wei", lost)
	}
	for i, set := range []*bool{&u.chain.oddFails, &u.chain.oddLies} {
		*set = true
		tokens := u.balance(2, alice)
		r := u.withdrawErc20(alice, 2, eth.Address{0xd0}, 1000)
		if r.Ok == nil {
			t.Fatalf("%+v", r.Err)
		}
		u.settle(12)
		if s := u.ethStatus(r.Ok.CkethBlockIndex); s.TxFinalized == nil || s.TxFinalized.Reimbursed == nil || u.balance(2, alice) != tokens {
			t.Errorf("case %d: %+v, balance %d of %d", i, s, u.balance(2, alice), tokens)
		}
		*set = false
	}
}

func TestRecipientsThatAreRefused(t *testing.T) {
	blocked := []string{eth.Address{0xbc}.String()}
	u := newUniverse(t, 10, func(a *InitArg) { a.BlockedAddresses = &blocked })
	u.fund(alice, 1000*milli)
	for _, to := range []string{"", "0x", "d0d0", eth.Address{}.String(), u.signer.main.String(), helpers[0].String(), "0x" + strings.Repeat("g", 40)} {
		if r, err := call[WithdrawEthResult](u, alice, minterID, "withdraw_eth", WithdrawalArg{Recipient: to, Amount: candid.NatFromUint64(50 * milli)}); err == nil {
			t.Errorf("%q: %+v", to, r)
		}
	}
	if r := u.withdrawEth(alice, eth.Address{0xbc}, 50*milli); r.Err == nil || r.Err.RecipientAddressBlocked == nil {
		t.Errorf("blocked: %+v", r)
	}
	if r := u.withdrawEth(alice, eth.Address{0xd0}, 29*milli); r.Err == nil || r.Err.AmountTooLow == nil {
		t.Errorf("too low: %+v", r)
	}
	if r := u.withdrawEth(alice, eth.Address{0xd0}, 1001*milli); r.Err == nil || r.Err.InsufficientFunds == nil {
		t.Errorf("no funds: %+v", r)
	}
	if r, err := call[WithdrawErc20Result](u, alice, minterID, "withdraw_erc20", WithdrawErc20Arg{Recipient: eth.Address{0xd0}.String(), Amount: *natOf(1), LedgerID: ledgers[0]}); err != nil ||
		r.Err == nil || r.Err.TokenNotSupported == nil || len(r.Err.TokenNotSupported.SupportedTokens) != 2 {
		t.Errorf("unknown token: %+v %v", r, err)
	}
	if _, err := call[WithdrawEthResult](u, principal.Anonymous, minterID, "withdraw_eth", WithdrawalArg{Recipient: eth.Address{0xd0}.String(), Amount: candid.NatFromUint64(50 * milli)}); err == nil {
		t.Error("anonymous")
	}
	if u.m.state.Open() != 0 {
		t.Error("something is open")
	}
}

// A burn of the fee succeeds and that of the tokens does not: the fee comes back.
func TestTokensThatAreNotBurnedGiveTheFeeBack(t *testing.T) {
	u := newUniverse(t, 11, nil)
	u.fund(alice, 1000*milli)
	before := u.balance(0, alice)
	r := u.withdrawErc20(alice, 1, eth.Address{0xd0}, 1000)
	if r.Err == nil || r.Err.CkErc20LedgerError == nil || r.Err.CkErc20LedgerError.Error.InsufficientAllowance == nil {
		t.Fatalf("%+v", r)
	}
	u.settle(3)
	if after := u.balance(0, alice); after != before {
		t.Errorf("balance %d, was %d", after, before)
	}
	if d := u.detail(r.Err.CkErc20LedgerError.CkethBlockIndex); d.Status.TxFinalized == nil || d.Status.TxFinalized.Reimbursed == nil {
		t.Errorf("%+v", d.Status)
	}
}

// Logs that are too large are read in halves; a block that is too large alone is skipped, and recheck takes what is in it, once.
func TestSkippedBlockAndRecheck(t *testing.T) {
	u := newUniverse(t, 12, nil)
	from := eth.Address{0xa0}
	u.down = true
	tx := u.chain.deposit(2, from, eth.Address{}, core.AmountOf(100*milli), word(alice), [32]byte{})
	u.chain.huge[u.chain.tip().number+1] = true
	u.chain.mine()
	for range 20 {
		u.chain.mine()
	}
	other := u.chain.deposit(2, from, eth.Address{}, core.AmountOf(7*milli), word(alice), [32]byte{})
	withheld := u.chain.deposit(2, from, usdc, core.AmountOf(700), word(alice), [32]byte{})
	u.chain.withheld[withheld] = true
	u.settle(20)
	if b := u.balance(0, alice); b != 7*milli || u.balance(1, alice) != 0 || u.deposit(other).Status.Minted == nil {
		t.Fatalf("balance %d", b)
	}
	recheck := func(h eth.Hash) TextResult {
		r, err := call[TextResult](u, alice, minterID, "recheck", h.String())
		must(t, err)
		return r
	}
	for range 2 {
		for _, h := range []eth.Hash{tx, withheld, other} {
			if r := recheck(h); r.Ok == nil {
				t.Fatalf("recheck: %s", *r.Err)
			}
		}
		u.settle(3)
	}
	if b := u.balance(0, alice); b != 107*milli || u.balance(1, alice) != 700 {
		t.Errorf("balance %d after rechecking", b)
	}
	if r := recheck(eth.Hash{9}); r.Err == nil {
		t.Error("a transaction that does not exist is rechecked")
	}
	skipped := 0
	for start := uint64(0); ; start += maxEvents {
		es, err := native.Query[Events](u.w, alice, minterID, "get_events", EventsArg{start, maxEvents})
		must(t, err)
		for _, e := range es.Events {
			if e.Payload.SkippedBlock != nil {
				skipped++
			}
		}
		if start+maxEvents >= es.TotalEventCount {
			break
		}
	}
	if skipped != 1 { // of the contract with subaccounts and of no other, since no other was asked for that block alone
		t.Logf("%d blocks were skipped", skipped)
	}
	if skipped == 0 {
		t.Error("no block was skipped")
	}
}

// What is minted in a day is bounded; the rest waits for the next.
func TestDailyCap(t *testing.T) {
	caps := []Cap{{PerDay: candid.NatFromUint64(100 * milli)}}
	u := newUniverse(t, 13, func(a *InitArg) { a.MintCaps = &caps })
	first := u.chain.deposit(2, eth.Address{0xa0}, eth.Address{}, core.AmountOf(80*milli), word(alice), [32]byte{})
	u.settle(6)
	second := u.chain.deposit(2, eth.Address{0xa0}, eth.Address{}, core.AmountOf(80*milli), word(alice), [32]byte{})
	u.settle(6)
	if d := u.deposit(second); u.deposit(first).Status.Minted == nil || d.Status.Accepted == nil || !strings.Contains(d.Message, "limit") {
		t.Fatalf("%+v", d)
	}
	for range 25 {
		must(t, u.w.Advance(time.Hour))
	}
	u.settle(3)
	if d := u.deposit(second); d.Status.Minted == nil {
		t.Errorf("a day later: %+v", d)
	}
}

// Ether sent to an account's own address is swept and minted, less the sweep's fee; small amounts wait.
func TestPersonalDeposit(t *testing.T) {
	u := newUniverse(t, 14, nil)
	sub := make([]byte, 32)
	sub[31] = 5
	acct := Account{Owner: alice, Subaccount: &sub}
	addr, err := call[string](u, user(1), minterID, "get_deposit_address", acct)
	must(t, err)
	to, err := eth.ParseAddress(addr)
	must(t, err)
	notify := func() string {
		r, err := call[TextResult](u, user(1), minterID, "notify_deposit", acct)
		must(t, err)
		if r.Ok == nil {
			t.Fatalf("notify: %s", *r.Err)
		}
		return *r.Ok
	}
	status := func() PersonalDeposit {
		s, err := native.Query[PersonalDeposit](u.w, user(1), minterID, "personal_deposit_status", acct)
		must(t, err)
		return s
	}
	u.chain.pay(to, core.AmountOf(gwei))
	for range 5 {
		u.chain.mine()
	}
	u.run(3 * time.Second)
	if said := notify(); !strings.Contains(said, "at least") || status().Address != addr || status().MinimumDeposit == nil {
		t.Errorf("too little: %s", said)
	}
	u.chain.pay(to, core.AmountOf(50*milli))
	u.settle(14) // notified before: the address is watched
	s := status()
	if len(s.Minted) != 1 || s.Minted[0].Status.Minted == nil {
		t.Fatalf("%+v", s)
	}
	minted, _ := s.Minted[0].Amount.Uint64()
	if minted >= 50*milli+gwei || minted < 49*milli {
		t.Errorf("%d wei are minted", minted)
	}
	total := u.supply(0)
	if total.Uint64() != minted {
		t.Errorf("supply %v", &total)
	}
	u.crash()
	u.chain.pay(to, core.AmountOf(70*milli)) // again, while the sweep's fee becomes too low
	for range 5 {
		u.chain.mine()
	}
	u.run(4 * time.Second)
	notify()
	u.chain.base = core.AmountOf(40 * gwei)
	u.settle(20)
	if s := status(); len(s.Minted) != 2 {
		t.Fatalf("%+v", s)
	}
	off := false
	u.upgrade(UpgradeArg{PersonalDeposits: &off})
	if _, err := call[string](u, user(1), minterID, "get_deposit_address", acct); err == nil {
		t.Error("switched off, there is an address")
	}
}

// Providers fail for an hour. Nothing is lost; users and operators are told.
func TestAnHourWithoutProviders(t *testing.T) {
	u := newUniverse(t, 15, nil)
	u.fund(alice, 1000*milli)
	r := u.withdrawEth(alice, eth.Address{0xd0}, 100*milli)
	tx := u.chain.deposit(2, eth.Address{0xa0}, usdc, core.AmountOf(500), word(alice), [32]byte{})
	u.down = true
	for minute := range 60 {
		u.down = minute%7 != 3 // flapping
		u.run(20 * time.Second)
		must(t, u.w.Advance(40*time.Second))
		u.quiesce()
		u.chain.mine()
	}
	u.down = true
	u.run(40 * time.Second)
	told := false
	for _, x := range *u.info().Troubles {
		told = told || strings.Contains(x.Reason, "tries again")
	}
	if !told {
		t.Errorf("troubles: %+v", *u.info().Troubles)
	}
	u.settle(30)
	if d := u.deposit(tx); d.Status.Minted == nil {
		t.Errorf("%+v", d)
	}
	if s := u.ethStatus(r.Ok.BlockIndex); s.TxFinalized == nil || s.TxFinalized.Success == nil {
		t.Errorf("%+v", s)
	}
}

// A ledger whose answers are lost for more than a day: its blocks tell what happened, and nothing happens twice.
func TestLostAnswersAreSettledByTheLedgersBlocks(t *testing.T) {
	u := newUniverse(t, 16, nil)
	tx := u.chain.deposit(2, eth.Address{0xa0}, eth.Address{}, core.AmountOf(90*milli), word(alice), [32]byte{})
	u.lossy = true
	for range 8 {
		u.chain.mine()
		u.run(3 * time.Second)
	}
	if d := u.deposit(tx); d.Status.Minted != nil || u.balance(0, alice) != 90*milli {
		t.Fatalf("%+v", d)
	}
	for range 26 {
		must(t, u.w.Advance(time.Hour))
		u.quiesce()
	}
	u.run(2 * time.Minute)
	u.lossy = false
	for range 15 {
		must(t, u.w.Advance(time.Minute))
		u.quiesce()
	}
	u.settle(5)
	if d := u.deposit(tx); d.Status.Minted == nil || u.balance(0, alice) != 90*milli {
		t.Errorf("%+v, balance %d", d, u.balance(0, alice))
	}
}

func TestTokensAreAddedByTheOrchestratorOnly(t *testing.T) {
	u := newUniverse(t, 17, nil)
	add := func(who principal.Principal, chain uint64, address, symbol string, ledger principal.Principal) error {
		_, err := call[cdk.None](u, who, minterID, "add_ckerc20_token", AddCkErc20Token{*natOf(chain), address, symbol, ledger})
		return err
	}
	fresh := eth.Address{0xc7}.String()
	for name, err := range map[string]error{
		"stranger":     add(alice, core.DevGeth, fresh, "ckX", principal.FromUint64(50)),
		"other chain":  add(orchestratorID, 1, fresh, "ckX", principal.FromUint64(50)),
		"malformed":    add(orchestratorID, core.DevGeth, "0x12", "ckX", principal.FromUint64(50)),
		"zero":         add(orchestratorID, core.DevGeth, eth.Address{}.String(), "ckX", principal.FromUint64(50)),
		"known ledger": add(orchestratorID, core.DevGeth, fresh, "ckX", gates[1]),
		"ckETH ledger": add(orchestratorID, core.DevGeth, fresh, "ckX", gates[0]),
		"no symbol":    add(orchestratorID, core.DevGeth, fresh, "", principal.FromUint64(50)),
		"other symbol": add(orchestratorID, core.DevGeth, usdc.String(), "ckY", gates[1]),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := add(orchestratorID, core.DevGeth, usdc.String(), "ckUSDC", gates[1]); err != nil {
		t.Errorf("again: %v", err)
	}
}

func TestBadInitIsRefused(t *testing.T) {
	base := func() InitArg {
		return InitArg{Network: Network{Sepolia: unit}, ECDSAKeyName: "test_key_1", LedgerID: gates[0], BlockHeight: BlockTag{Finalized: unit}, MinimumWithdrawal: *natOf(1)}
	}
	bad := "0x12"
	for name, change := range map[string]func(*InitArg){
		"development key on mainnet": func(a *InitArg) { a.Network = Network{Mainnet: unit}; a.ECDSAKeyName = "dfx_test_key" },
		"latest on mainnet":          func(a *InitArg) { a.Network = Network{Mainnet: unit}; a.BlockHeight = BlockTag{Latest: unit} },
		"unknown development chain":  func(a *InitArg) { a.DevelopmentChainID = natOf(5) },
		"no key":                     func(a *InitArg) { a.ECDSAKeyName = "" },
		"no minimum":                 func(a *InitArg) { a.MinimumWithdrawal = *natOf(0) },
		"anonymous ledger":           func(a *InitArg) { a.LedgerID = principal.Anonymous },
		"malformed helper":           func(a *InitArg) { a.ContractAddress = &bad },
		"one helper for two":         func(a *InitArg) { x := helpers[0].String(); a.ContractAddress, a.DepositHelperAddress = &x, &x },
		"malformed blocked address":  func(a *InitArg) { a.BlockedAddresses = &[]string{bad} },
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

// The queries that people and tools read.
func TestQueries(t *testing.T) {
	u := newUniverse(t, 18, nil)
	u.fund(alice, 1000*milli)
	r := u.withdrawEth(alice, eth.Address{0xd0}, 100*milli)
	u.settle(12)
	if list := blocklist(); len(list) < 80 || !(&core.Config{Blocked: list}).IsBlocked(list[0]) || !(&core.Config{Blocked: list}).IsBlocked(list[len(list)-1]) {
		t.Errorf("block list of %d", len(list))
	}
	info := u.info()
	if *info.MinterAddress != u.signer.main.String() || info.LastObservedBlock == nil || len(*info.SupportedTokens) != 2 || len(*info.Troubles) != 0 || info.LastGasFeeEstimate == nil {
		t.Errorf("%+v", info)
	}
	price, err := native.Query[Price](u.w, alice, minterID, "eip_1559_transaction_price", (*PriceArg)(nil))
	must(t, err)
	token, err := native.Query[Price](u.w, alice, minterID, "eip_1559_transaction_price", &PriceArg{gates[1]})
	must(t, err)
	if price.GasLimit.Cmp(*natOf(21_000)) != 0 || token.GasLimit.Cmp(*natOf(65_000)) != 0 || token.MaxTransactionFee.Cmp(price.MaxTransactionFee) <= 0 {
		t.Errorf("prices %+v %+v", price, token)
	}
	d := u.detail(r.Ok.BlockIndex)
	if *d.Message != "Paid." || d.MinterFee == nil || d.MinterFee.IsZero() || d.TokenSymbol != "ckETH" {
		t.Errorf("%+v", d)
	}
	to := d.RecipientAddress
	for _, q := range []SearchParameter{{ByRecipient: &to}, {BySenderAccount: &Account{Owner: alice}}} {
		if list, err := native.Query[[]WithdrawalDetail](u.w, alice, minterID, "withdrawal_status", q); err != nil || len(list) != 1 {
			t.Errorf("%+v: %+v %v", q, list, err)
		}
	}
	es, err := native.Query[Events](u.w, alice, minterID, "get_events", EventsArg{0, 1000})
	must(t, err)
	kinds := map[string]bool{}
	for _, e := range es.Events {
		p := e.Payload
		kinds["init"] = kinds["init"] || p.Init != nil
		kinds["token"] = kinds["token"] || p.AddedCkErc20Token != nil
		kinds["accepted"] = kinds["accepted"] || p.AcceptedDeposit != nil
		kinds["minted"] = kinds["minted"] || p.MintedCkEth != nil
		kinds["withdrawal"] = kinds["withdrawal"] || p.AcceptedEthWithdrawalRequest != nil
		kinds["created"] = kinds["created"] || p.CreatedTransaction != nil
		kinds["signed"] = kinds["signed"] || p.SignedTransaction != nil
		kinds["finalized"] = kinds["finalized"] || p.FinalizedTransaction != nil
		kinds["synced"] = kinds["synced"] || p.SyncedDepositWithSubaccountToBlock != nil
	}
	if len(kinds) != 9 || es.TotalEventCount < uint64(len(es.Events)) {
		t.Errorf("events %v", kinds)
	}
	for kind, seen := range kinds {
		if !seen {
			t.Errorf("no event of kind %s among %d of %d", kind, len(es.Events), es.TotalEventCount)
		}
	}
	for path, want := range map[string]string{"/metrics": "cketh_supply{token=\"ckETH\"}", "/dashboard": "custody", "/": "ckETH minter", "/nothing": "not found"} {
		res, err := native.Query[HTTPResponse](u.w, alice, minterID, "http_request", struct {
			URL    string `candid:"url"`
			Method string `candid:"method"`
		}{path, "GET"})
		if err != nil || !strings.Contains(string(res.Body), want) {
			t.Errorf("%s: %d %s %v", path, res.StatusCode, res.Body, err)
		}
	}
	memo := core.MintMemo{Convert: &core.MintConvert{From: eth.Address{1}, Source: core.Source{Index: 3}}}.Marshal()
	m, err := native.Query[DecodeLedgerMemoResult](u.w, alice, minterID, "decode_ledger_memo", DecodeLedgerMemoArgs{MemoType{Mint: unit}, memo})
	if err != nil || m.Ok == nil || (**m.Ok).Mint == nil {
		t.Errorf("%+v %v", m, err)
	}
	m, err = native.Query[DecodeLedgerMemoResult](u.w, alice, minterID, "decode_ledger_memo", DecodeLedgerMemoArgs{MemoType{Burn: unit}, memo})
	if err != nil || m.Err == nil {
		t.Errorf("%+v %v", m, err)
	}
}

// A token is paused while a withdrawal of it has a nonce and no signature: a filler takes the nonce, the withdrawal of ether behind it goes on, and the tokens come back.
func TestPausedTokenHoldsUpNobody(t *testing.T) {
	u := newUniverse(t, 20, nil)
	u.chain.deposit(2, eth.Address{0xa0}, usdc, core.AmountOf(5000), word(alice), [32]byte{})
	u.fund(alice, 5000*milli)
	u.approve(1, alice)
	u.signer.refuse = 1 << 30
	r := u.withdrawErc20(alice, 1, eth.Address{0xd0}, 1000)
	if r.Ok == nil {
		t.Fatalf("%+v", r.Err)
	}
	u.broken = true
	u.chain.by(eth.Address{1}, func(b *fakeBlock) ([]eth.Event, bool) { // the token's owner takes it away
		b.balances[holding{usdc, u.signer.main}] = core.AmountOf(10)
		return nil, true
	})
	u.settle(12)
	if u.m.state.Paused(usdc) == "" || u.m.state.Request(1).State != core.RequestInTransfer {
		t.Fatalf("paused %q, state %d", u.m.state.Paused(usdc), u.m.state.Request(1).State)
	}
	u.signer.refuse = 0
	u.settle(30)
	if n := len(u.m.state.Transfer(1).Versions); n != 1 {
		t.Fatalf("nobody waits behind the nonce, and there are %d transactions for it", n)
	}
	e := u.withdrawEth(alice, eth.Address{0xd1}, 500*milli)
	if e.Ok == nil {
		t.Fatalf("%+v", e.Err)
	}
	u.settle(60)
	if s := u.ethStatus(e.Ok.BlockIndex); s.TxFinalized == nil || s.TxFinalized.Success == nil {
		t.Errorf("the withdrawal behind: %+v", s)
	}
	if r := u.m.state.Request(1); !r.Filled || r.State != core.RequestRefunded || len(r.Refunds) != 1 || r.Refunds[0].Asset != usdc {
		t.Errorf("filled %v, state %d, refunds %+v", r.Filled, r.State, r.Refunds)
	}
	if _, times := u.chain.paid(usdc, eth.Address{0xd0}); times != 0 {
		t.Errorf("paid %d times", times)
	}
}

// The chain becomes shorter than what was final: the minter says so, mints and signs nothing, and halts when it sees another block in the place of the final one.
func TestShorterChainIsNoticed(t *testing.T) {
	u := newUniverse(t, 21, nil)
	u.fund(alice, 1000*milli)
	u.settle(10)
	u.broken = true
	u.chain.blocks = u.chain.blocks[:len(u.chain.blocks)-12]
	u.run(30 * time.Second)
	if ts := *u.info().Troubles; len(ts) != 1 || !strings.Contains(ts[0].Reason, "was final before") {
		t.Errorf("troubles: %+v", ts)
	}
	r := u.withdrawEth(alice, eth.Address{0xd0}, 100*milli)
	u.run(30 * time.Second)
	if n := len(u.m.state.Transfers()); n != 0 {
		t.Errorf("%d transactions", n)
	}
	if r.Ok == nil {
		t.Fatalf("%+v", r.Err)
	}
	u.settle(20)
	if h := u.m.state.Halt(); h == nil || !strings.Contains(h.Reason, "beyond finality") {
		t.Errorf("%+v", h)
	}
}

// The subnet begins again from a backup that does not know the last payment: nothing is minted or paid until a controller has looked at it, and custody covers
// what is owed.
func TestSubnetRecovery(t *testing.T) {
	u := newUniverse(t, 31, nil)
	u.fund(alice, 1000*milli)
	u.settle(4)
	u.broken = true
	u.w.SetEnv("FUSION_RECOVERY", "1")
	key, c := u.signer.derive(nil)
	tx := eth.Transaction{ChainID: core.DevGeth, GasLimit: 21_000, To: eth.Address{0x66}, Value: core.AmountOf(200 * milli), MaxFeePerGas: core.AmountOf(900 * gwei), MaxPriorityFeePerGas: core.AmountOf(90 * gwei)}
	signed, err := tx.Sign(signOtherwise(key, tx.SigningHash()), c.PublicKey[:])
	must(t, err)
	u.chain.send(signed)
	if r := u.withdrawEth(alice, eth.Address{0xd0}, 100*milli); r.Err == nil || r.Err.TemporarilyUnavailable == nil || !strings.Contains(*r.Err.TemporarilyUnavailable, "restored from a backup") {
		t.Fatalf("%+v", r)
	}
	late := u.chain.deposit(0, eth.Address{0xa0}, eth.Address{}, core.AmountOf(50*milli), word(alice), [32]byte{})
	had := u.balance(0, alice)
	u.settle(12)
	u.upgrade(UpgradeArg{Resume: &[]bool{true}[0]})
	u.settle(4)
	if h := u.m.state.Halt(); h == nil || u.balance(0, alice) != had || u.deposit(late).Status.Minted != nil {
		t.Fatalf("halt %+v, %d of %d, %+v", h, u.balance(0, alice), had, u.deposit(late))
	}
	resume := func(nonce *uint64) ResumeResult {
		r, err := call[ResumeResult](u, operator, minterID, "resume", &ResumeArgs{Nonce: nonce})
		must(t, err)
		return r
	}
	refused := func(nonce *uint64, words ...string) {
		t.Helper()
		r := resume(nonce)
		for _, w := range words {
			if r.Err == nil || !strings.Contains(*r.Err, w) {
				t.Fatalf("want %q: %+v", w, r)
			}
		}
	}
	one, two := uint64(1), uint64(2)
	if _, err := call[ResumeResult](u, alice, minterID, "resume", &ResumeArgs{Nonce: &one}); err == nil {
		t.Error("anybody may resume")
	}
	refused(nil, "has sent 1 transactions", signed.Hash().String(), "nonce = 1")
	refused(&two, "nonce = 1")
	refused(&one, "custody does not cover", u.signer.main.String())
	u.chain.pay(u.signer.main, core.AmountOf(210*milli))
	u.settle(12)
	u.broken = false
	if r := resume(&one); r.Ok == nil || *r.Ok != 1 {
		t.Fatalf("%+v", r)
	}
	r := u.withdrawEth(alice, eth.Address{0xd0}, 100*milli)
	if r.Ok == nil {
		t.Fatalf("%+v", r.Err)
	}
	u.settle(20)
	if s := u.ethStatus(r.Ok.BlockIndex); s.TxFinalized == nil || s.TxFinalized.Success == nil || u.deposit(late).Status.Minted == nil {
		t.Errorf("%+v, %+v", s, u.deposit(late))
	}
	u.crash()
	refused(&one, "was not restored")
}

// restore begins again from a backup. The chain is as it is, and so are the ledgers if the backup has none.
func (u *universe) restore(b backup) {
	u.t.Helper()
	u.run(instant)
	must(u.t, u.w.Advance(instant))
	u.recoveries++
	u.w.SetEnv("FUSION_RECOVERY", fmt.Sprint(u.recoveries))
	for i, image := range b.ledgers {
		u.withLedger(i, func(m stable.Memory) {
			m.Write(0, append(slices.Clone(image), make([]byte, m.Size()*stable.PageSize-uint64(len(image)))...))
		})
	}
	w := u.w
	u.w = nil // replaying is no change
	must(u.t, w.Upgrade(minterID, func(c *cdk.Canister) {
		u.setup(c)
		cdk.PostUpgrade(c, func(a *MinterArg) {
			g, err := stable.Open(c.Stable())
			must(u.t, err)
			g.Memory(memoryLogIndex).Write(8, binary.LittleEndian.AppendUint64(nil, b.events)) // where a log has its length
			u.m.postUpgrade(a)
		})
	}, nil))
	u.w = w
	u.run(3 * time.Second)
}

// The backup has withdrawals that waited, and one with a transaction that was replaced later. All are paid before the subnet is restored from it: resume finds the
// payments, and nothing is paid twice.
func TestPaidAfterTheBackup(t *testing.T) {
	u := newUniverse(t, 33, nil)
	u.chain.deposit(2, eth.Address{0xa0}, usdc, core.AmountOf(5000), word(alice), [32]byte{})
	u.fund(alice, 5000*milli)
	u.approve(1, alice)
	u.settle(4)
	to := func(i byte) eth.Address { return eth.Address{0xd0, i} }
	var ids []candid.Nat
	eth1 := func(i byte, amount uint64) {
		t.Helper()
		r := u.withdrawEth(alice, to(i), amount)
		if r.Ok == nil {
			t.Fatalf("%+v", r.Err)
		}
		ids = append(ids, r.Ok.BlockIndex)
	}
	eth1(0, 400*milli)
	u.run(10 * time.Second)
	if len(u.m.state.Transfers()) != 1 || !u.m.state.Transfer(1).Latest().Sent {
		t.Fatal("the first has no transaction")
	}
	u.down = true
	u.run(5 * time.Second)
	eth1(1, 100*milli)
	eth1(1, 100*milli) // the same once more: two payments are needed
	eth1(1, 120*milli)
	r := u.withdrawErc20(alice, 1, to(2), 1000)
	if r.Ok == nil {
		t.Fatalf("%+v", r.Err)
	}
	ids = append(ids, r.Ok.CkethBlockIndex)
	if n := u.m.state.Pending(); n != 4 {
		t.Fatalf("%d wait", n)
	}
	n := u.m.log.Len()
	u.down, u.chain.base = false, core.AmountOf(60*gwei) // the transaction of the first is replaced
	u.settle(8)
	u.chain.base = core.AmountOf(8 * gwei)
	u.settle(40)
	if v := len(u.prepared); u.m.state.Open() != 0 || v < 6 {
		t.Fatalf("%d are open after %d transactions", u.m.state.Open(), v)
	}
	custody := func() string {
		tip := u.chain.tip()
		return fmt.Sprint(tip.balances[holding{eth.Address{}, u.signer.main}], tip.balances[holding{usdc, u.signer.main}])
	}
	books := func() (s string) {
		for _, a := range []core.Asset{core.Ether, usdc} {
			s += fmt.Sprintf("%+v ", u.m.state.Book(a))
		}
		return fmt.Sprint(s, u.m.state.Nonce())
	}
	held, want := custody(), books()

	u.restore(backup{events: n})
	if u.m.state.Halt() == nil || u.m.state.Open() < 4 {
		t.Fatalf("halt %+v, %d open", u.m.state.Halt(), u.m.state.Open())
	}
	// Providers may lag too. Whatever they show, a chain that ends before the recovery proves nothing, however late it is.
	u.run(24 * time.Hour)
	if r, err := call[ResumeResult](u, operator, minterID, "resume", (*ResumeArgs)(nil)); err != nil || r.Err == nil || !strings.Contains(*r.Err, "when a later one is final") {
		t.Fatalf("it resumes: %+v, %v", r, err)
	}
	u.settle(20)
	var res ResumeResult
	for range 10 {
		var err error
		res, err = call[ResumeResult](u, operator, minterID, "resume", (*ResumeArgs)(nil))
		must(t, err)
		if res.Ok != nil || !strings.Contains(*res.Err, "call resume again") {
			break
		}
		u.settle(2)
	}
	if res.Ok == nil || *res.Ok != 5 {
		t.Fatalf("%+v: %s", res, *res.Err)
	}
	u.settle(40)
	for i, id := range ids {
		if s := u.ethStatus(id); s.TxFinalized == nil || s.TxFinalized.Success == nil {
			t.Errorf("withdrawal %d: %+v", i, s)
		}
	}
	for i, want := range []int{1, 3, 0} {
		if _, times := u.chain.paid(eth.Address{}, to(byte(i))); times != want {
			t.Errorf("%v was paid %d times, want %d", to(byte(i)), times, want)
		}
	}
	if _, times := u.chain.paid(usdc, to(2)); times != 1 {
		t.Errorf("tokens were paid %d times", times)
	}
	if got := custody(); got != held {
		t.Errorf("custody %s, was %s before the restore", got, held)
	}
	if got := books(); got != want {
		t.Errorf("books %s, were %s before the restore", got, want)
	}
	u.crash()
}

// One of the forgotten transactions pays nobody that the log knows: nothing goes on until the controller has looked at it, and what waits and was paid after it is
// recorded then.
func TestPaidBehindAForgottenTransaction(t *testing.T) {
	u := newUniverse(t, 34, nil)
	u.fund(alice, 5000*milli)
	u.settle(4)
	u.down = true
	u.run(5 * time.Second)
	waits := u.withdrawEth(alice, eth.Address{0xd0}, 100*milli)
	n := u.m.log.Len()
	key, c := u.signer.derive(nil)
	send := func(tx eth.Transaction) {
		tx.ChainID, tx.GasLimit, tx.MaxPriorityFeePerGas = core.DevGeth, 21_000, core.AmountOf(gwei)
		signed, err := tx.Sign(signOtherwise(key, tx.SigningHash()), c.PublicKey[:])
		must(t, err)
		u.chain.send(signed)
	}
	u.restore(backup{events: n})
	u.down, u.broken = false, true
	fee := core.AmountOf(100 * gwei)
	cost := fee
	cost.Mul(&cost, uint256.NewInt(21_000))
	exact := core.AmountOf(100 * milli)
	exact.Sub(&exact, &cost)
	less := exact
	less.SubUint64(&less, 1)
	send(eth.Transaction{Nonce: 0, To: eth.Address{0xd0}, Value: less, MaxFeePerGas: fee}) // a wei less than is owed: another withdrawal's
	send(eth.Transaction{Nonce: 1, To: eth.Address{0xd0}, Value: exact, MaxFeePerGas: fee})
	u.settle(12)
	resume := func(nonce *uint64) ResumeResult {
		r, err := call[ResumeResult](u, operator, minterID, "resume", &ResumeArgs{Nonce: nonce})
		must(t, err)
		return r
	}
	two := uint64(2)
	if r := resume(nil); r.Err == nil || !strings.Contains(*r.Err, "nonce 0") || !strings.Contains(*r.Err, "nonce = 2") {
		t.Fatalf("%s", *r.Err)
	}
	if u.m.state.Pending() != 1 || u.m.state.Nonce() != 0 {
		t.Fatalf("%d wait at nonce %d", u.m.state.Pending(), u.m.state.Nonce())
	}
	u.chain.pay(u.signer.main, core.AmountOf(100*milli)) // what the first paid
	u.settle(12)
	if r := resume(&two); r.Ok == nil || *r.Ok != 2 {
		t.Fatalf("%s", *r.Err)
	}
	u.broken = false
	u.settle(20)
	if s := u.ethStatus(waits.Ok.BlockIndex); s.TxFinalized == nil || s.TxFinalized.Success == nil {
		t.Errorf("%+v", s)
	}
	if _, times := u.chain.paid(eth.Address{}, eth.Address{0xd0}); times != 2 {
		t.Errorf("paid %d times", times)
	}
	u.crash()
}
