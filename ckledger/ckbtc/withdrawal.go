package ckbtc

import (
	"fmt"

	"fusion/btc"
	"fusion/cdk"
	"fusion/ckledger/ckbtc/core"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// Codes of GenericError, as ckBTC's.
const (
	codeTainted       = 1
	codeCheckerFailed = 2
)

func (m *minter) retrieveBtc(msg *cdk.Msg, a RetrieveBtcArgs, out *cdk.Reply[RetrieveBtcResult]) {
	m.retrieve(msg, a.Address, a.Amount, core.WithdrawalAccount(m.c.Self(), msg.Caller()), core.Account{Owner: msg.Caller()}, false, func(block uint64, e *RetrieveBtcWithApprovalError) {
		if e == nil {
			out.Send(RetrieveBtcResult{Ok: &RetrieveBtcOk{block}})
			return
		}
		out.Send(RetrieveBtcResult{Err: &RetrieveBtcError{MalformedAddress: e.MalformedAddress, AlreadyProcessing: e.AlreadyProcessing, AmountTooLow: e.AmountTooLow,
			InsufficientFunds: e.InsufficientFunds, TemporarilyUnavailable: e.TemporarilyUnavailable, GenericError: e.GenericError}})
	})
}

func (m *minter) retrieveBtcWithApproval(msg *cdk.Msg, a RetrieveBtcWithApprovalArgs, out *cdk.Reply[RetrieveBtcWithApprovalResult]) {
	from, err := core.NewAccount(msg.Caller(), a.FromSubaccount)
	if err != nil {
		m.c.Trap("%v", err)
	}
	m.retrieve(msg, a.Address, a.Amount, from, from, true, func(block uint64, e *RetrieveBtcWithApprovalError) {
		if e == nil {
			out.Send(RetrieveBtcWithApprovalResult{Ok: &RetrieveBtcOk{block}})
			return
		}
		out.Send(RetrieveBtcWithApprovalResult{Err: e})
	})
}

// retrieve burns amount from an account and accepts the withdrawal. What cannot be paid is refunded to the other account.
func (m *minter) retrieve(msg *cdk.Msg, address string, amount uint64, from, refund core.Account, approval bool, answer func(uint64, *RetrieveBtcWithApprovalError)) {
	user := msg.Caller()
	if user.IsAnonymous() {
		m.c.Trap("the caller must be non-anonymous")
	}
	fail := func(e RetrieveBtcWithApprovalError) { answer(0, &e) }
	unavailable := func(text string) { fail(RetrieveBtcWithApprovalError{TemporarilyUnavailable: &text}) }
	generic := func(code uint64, text string) {
		fail(RetrieveBtcWithApprovalError{GenericError: &GenericError{text, code}})
	}
	if why := m.state.Config.Mode.Withdrawals(user); why != "" {
		unavailable(why)
		return
	}
	if why := m.stopped(); why != "" {
		unavailable(why)
		return
	}
	if least := m.state.RetrieveMin(m.knownFeeRate()); amount < least {
		fail(RetrieveBtcWithApprovalError{AmountTooLow: &least})
		return
	}
	if amount > uint64(btc.MaxMoney) {
		generic(0, fmt.Sprintf("amount %d exceeds all bitcoin", amount))
		return
	}
	addr, err := btc.ParseAddress(m.state.Config.Network, address)
	if err != nil {
		text := err.Error()
		fail(RetrieveBtcWithApprovalError{MalformedAddress: &text})
		return
	}
	if m.retrieval[user] {
		fail(RetrieveBtcWithApprovalError{AlreadyProcessing: candid.Unit})
		return
	}
	if uint64(m.state.Open()+len(m.retrieval)) >= m.state.Config.MaxOpen {
		unavailable("too many pending retrieve_btc requests")
		return
	}
	m.retrieval[user] = true
	release := func() { delete(m.retrieval, user) }
	answer = func(send func(uint64, *RetrieveBtcWithApprovalError)) func(uint64, *RetrieveBtcWithApprovalError) {
		return func(block uint64, e *RetrieveBtcWithApprovalError) { release(); send(block, e) }
	}(answer)
	burn := func() {
		if why := m.stopped(); why != "" { // since the call began
			unavailable(why)
			return
		}
		n := m.state.NextBurn()
		m.emit(core.Event{BurnAsked: &core.BurnAsked{Number: n, From: from, Refund: refund, Approval: approval, Amount: amount, Address: addr.String(),
			CreatedAt: m.state.Stamp(m.c.Time())}})
		m.burn(n, true, release, func(o outcome) {
			switch {
			case o.Verdict == done:
				answer(o.Block, nil)
			case o.Verdict == neverMoved && o.Err.InsufficientFunds != nil:
				balance, _ := o.Err.InsufficientFunds.Balance.Uint64()
				fail(RetrieveBtcWithApprovalError{InsufficientFunds: &InsufficientFunds{balance}})
			case o.Verdict == neverMoved && o.Err.InsufficientAllowance != nil:
				allowance, _ := o.Err.InsufficientAllowance.Allowance.Uint64()
				fail(RetrieveBtcWithApprovalError{InsufficientAllowance: &InsufficientAllowance{allowance}})
			case o.Verdict == noAnswer:
				unavailable("the ledger did not answer; if it burned the amount, the withdrawal will be completed: see retrieve_btc_status_v2_by_account")
			default:
				unavailable("the ledger did not burn the amount: " + o.Text)
			}
		})
	}
	check := func() {
		if m.state.Config.Checker == nil {
			burn()
			return
		}
		checker := principal.MustFromBytes(m.state.Config.Checker)
		cdk.Then(m.c.Call(checker, "check_address", checkAddressArgs{addr.String()}).OnCleanup(release), func(r checkAddressResponse, err error) {
			switch {
			case err != nil:
				generic(codeCheckerFailed, "failed to check the destination address: "+err.Error())
			case r.Passed == nil:
				generic(codeTainted, "the destination address is tainted")
			default:
				burn()
			}
		})
	}
	m.withKey(release, func(_ *core.PublicKey, err error) {
		switch {
		case err != nil:
			unavailable("the minter's key is not available: " + err.Error())
		case m.main == addr:
			text := "the address belongs to the minter"
			fail(RetrieveBtcWithApprovalError{MalformedAddress: &text})
		default:
			check()
		}
	})
}

// burn asks the ledger to burn what a withdrawal pays for, or to say again what became of it. first says that nobody asked before. then may be nil.
func (m *minter) burn(number uint64, first bool, cleanup func(), then func(outcome)) {
	b := m.state.Burn(number)
	task := core.Task{Kind: core.TaskBurn, ID: number}
	memo := core.WithdrawalMemo(b.Address)
	if b.Inputs > 0 {
		memo = core.ConsolidationMemo(b.Value, b.Inputs)
	}
	amount := candid.NatFromUint64(b.Amount)
	to := accountOf(m.state.Minter)
	call := m.c.Call(m.ledgerID(), "icrc1_transfer", transferArg{FromSubaccount: b.From.Sub(), To: to, Amount: amount, Memo: &memo, CreatedAtTime: &b.CreatedAt})
	if b.Approval {
		call = m.c.Call(m.ledgerID(), "icrc2_transfer_from", transferFromArgs{From: accountOf(b.From), To: to, Amount: amount, Memo: &memo, CreatedAtTime: &b.CreatedAt})
	}
	m.ask(task, call, cleanup, func(o outcome) {
		switch {
		case o.Verdict == done && m.state.BurnedIn(o.Block):
			// The stamp is this burn's own, so the ledger must have been wrong: do not pay twice.
			m.emit(core.Event{BurnUnknown: &number})
			m.logf("burn %d is said to be block %d, which is another burn", number, o.Block)
			o = outcome{Verdict: noAnswer, Text: "the ledger named another burn's block"}
		case o.Verdict == done && b.Inputs > 0:
			m.emit(core.Event{FeeBurned: &core.FeeBurned{Number: number, BlockIndex: o.Block, Amount: b.Amount, Address: b.Address}})
		case o.Verdict == done:
			m.emit(core.Event{Accepted: &core.Accepted{Number: number, BlockIndex: o.Block, Amount: b.Amount, Address: b.Address, Refund: b.Refund}})
		case o.Verdict == neverMoved || o.Verdict == notMoved && first:
			m.emit(core.Event{BurnRefused: &number})
			m.settle(task, true)
		case o.Verdict == tooOld:
			m.emit(core.Event{BurnUnknown: &number})
			m.logf("burn %d has an unknown outcome: compare the ledger with the log", number)
		default:
			m.logf("burn %d is open: %s", number, o.Text)
		}
		if then != nil {
			then(o)
		}
	})
}

// refund asks the ledger to mint back what was burned for a withdrawal that cannot be paid.
func (m *minter) refund(block uint64) {
	r := m.state.Request(block)
	task := core.Task{Kind: core.TaskRefund, ID: block}
	first := r.RefundAt == 0
	if first {
		m.emit(core.Event{RefundAsked: &core.RefundAsked{BlockIndex: block, CreatedAt: m.state.Stamp(m.c.Time())}})
	}
	memo := core.RefundMemo(block)
	at := r.RefundAt
	arg := transferArg{To: accountOf(r.Refund.Account), Amount: candid.NatFromUint64(r.Refund.Amount), Memo: &memo, CreatedAtTime: &at}
	m.ask(task, m.c.Call(m.ledgerID(), "icrc1_transfer", arg), nil, func(o outcome) {
		switch {
		case o.Verdict == done:
			m.emit(core.Event{Refunded: &core.Refunded{BlockIndex: block, MintBlock: o.Block}})
		case o.Verdict == neverMoved || o.Verdict == notMoved && first:
			m.emit(core.Event{RefundRefused: &block})
		case o.Verdict == tooOld:
			m.emit(core.Event{RefundUnknown: &block})
			m.logf("refund of withdrawal %d has an unknown outcome: compare the ledger with the log", block)
		default:
			m.logf("refund of withdrawal %d is open: %s", block, o.Text)
		}
	})
}
