package cketh

import (
	"fmt"

	"fusion/cdk"
	"fusion/ckledger/cketh/core"
	"fusion/ckledger/minting"
	"fusion/eth"
	"fusion/ic/principal"
)

// recipient reads an address that is to be paid. What cannot be one is the caller's mistake, for which the interface has no error: the call is rejected.
func (m *minter) recipient(text string) (a eth.Address, blocked bool) {
	a, err := eth.ParseAddress(text)
	switch {
	case err != nil:
		m.c.Trap("recipient %q: %v", text, err)
	case a == eth.Address{}:
		m.c.Trap("recipient: the zero address belongs to nobody; what is sent there is lost")
	case m.key != nil && a == m.main:
		m.c.Trap("recipient: the address belongs to the minter")
	}
	for _, h := range m.state.Config.Helpers {
		if a == h {
			m.c.Trap("recipient: %v is a helper contract of the minter", a)
		}
	}
	return a, m.state.Config.IsBlocked(a)
}

// admit takes a place for a withdrawal of a user; why is not empty if there is none now.
func (m *minter) admit(user principal.Principal) (release func(), why string) {
	switch {
	case user.IsAnonymous():
		m.c.Trap("the caller must be non-anonymous")
	case m.halt() != nil:
		return nil, "the minter is halted: " + m.halt().Reason + "; nothing was burned, try again when an operator has resumed it"
	case m.busy[user]:
		return nil, "an earlier withdrawal of yours is still being accepted"
	case len(m.busy) >= maxConcurrent:
		return nil, "too many withdrawals are being accepted now"
	case m.state.Full(m.fee):
		return nil, "too many withdrawals wait for a transaction; try again in a few minutes"
	case m.key == nil || m.feeAt == 0:
		return nil, "the minter does not know its key or the fees of Ethereum yet; try again in a minute"
	}
	m.busy[user] = true
	return func() { delete(m.busy, user) }, ""
}

// maybeLater is what a user is told when a ledger gave no answer.
const maybeLater = "the ledger did not answer; if it burned the amount, the withdrawal will be completed by itself: see withdrawal_status by your account"

func (m *minter) withdrawEth(msg *cdk.Msg, a WithdrawalArg, out *cdk.Reply[WithdrawEthResult]) {
	from, err := minting.NewAccount(msg.Caller(), a.FromSubaccount)
	if err != nil {
		m.c.Trap("%v", err)
	}
	fail := func(e WithdrawalError) { out.Send(WithdrawEthResult{Err: &e}) }
	unavailable := func(text string) { fail(WithdrawalError{TemporarilyUnavailable: &text}) }
	to, blocked := m.recipient(a.Recipient)
	if blocked {
		fail(WithdrawalError{RecipientAddressBlocked: &AddressBlocked{to.String()}})
		return
	}
	amount, err := amountOf(a.Amount)
	if err != nil {
		m.c.Trap("amount: %v", err)
	}
	if least := m.state.Config.WithdrawMin; amount.Lt(&least) {
		fail(WithdrawalError{AmountTooLow: &AmountTooLow{nat(least)}})
		return
	}
	release, why := m.admit(msg.Caller())
	if why == "" && m.state.Paused(core.Ether) != "" {
		release()
		why = "ckETH is paused: " + m.state.Paused(core.Ether)
	}
	if why != "" {
		unavailable(why)
		return
	}
	n := m.state.NextRequest()
	m.emit(core.Event{BurnAsked: &core.BurnAsked{Number: n, Asset: core.Ether, Amount: amount, To: to, From: from, TokenFrom: from, CreatedAt: m.state.Stamp(m.c.Time())}})
	m.burn(n, true, release, func(o outcome) {
		release()
		switch {
		case o.Verdict == done:
			out.Send(WithdrawEthResult{Ok: &RetrieveEthRequest{nat(core.AmountOf(o.Block))}})
			m.work()
		case o.Verdict == neverMoved && o.Err.InsufficientFunds != nil:
			fail(WithdrawalError{InsufficientFunds: &InsufficientFunds{o.Err.InsufficientFunds.Balance}})
		case o.Verdict == neverMoved:
			fail(WithdrawalError{InsufficientAllowance: &InsufficientAllowance{o.Err.InsufficientAllowance.Allowance}})
		case o.Verdict == noAnswer:
			unavailable(maybeLater)
		default:
			unavailable("the ledger did not burn the amount: " + o.Text)
		}
	})
}

func (m *minter) withdrawErc20(msg *cdk.Msg, a WithdrawErc20Arg, out *cdk.Reply[WithdrawErc20Result]) {
	user := msg.Caller()
	from, err := minting.NewAccount(user, a.FromCkethSubaccount)
	if err != nil {
		m.c.Trap("%v", err)
	}
	tokenFrom, err := minting.NewAccount(user, a.FromCkerc20Subaccount)
	if err != nil {
		m.c.Trap("%v", err)
	}
	fail := func(e WithdrawErc20Error) { out.Send(WithdrawErc20Result{Err: &e}) }
	unavailable := func(text string) { fail(WithdrawErc20Error{TemporarilyUnavailable: &text}) }
	token := m.state.TokenOf(a.LedgerID.Bytes())
	if token == nil {
		fail(WithdrawErc20Error{TokenNotSupported: &TokenNotSupported{m.supported()}})
		return
	}
	to, blocked := m.recipient(a.Recipient)
	if blocked {
		fail(WithdrawErc20Error{RecipientAddressBlocked: &AddressBlocked{to.String()}})
		return
	}
	if to == token.Asset {
		m.c.Trap("recipient: %v is the token's own contract", to)
	}
	amount, err := amountOf(a.Amount)
	if err != nil {
		m.c.Trap("amount: %v", err)
	}
	if amount.IsZero() {
		m.c.Trap("amount: nothing is withdrawn by 0")
	}
	release, why := m.admit(user)
	if paused := m.state.Paused(token.Asset); why == "" && paused != "" {
		release()
		why = token.Symbol + " is paused: " + paused
	}
	if why != "" {
		unavailable(why)
		return
	}
	n := m.state.NextRequest()
	fee := core.MaxFee(m.fee)
	m.emit(core.Event{BurnAsked: &core.BurnAsked{Number: n, Asset: token.Asset, Amount: amount, MaxFee: fee, To: to, From: from, TokenFrom: tokenFrom,
		CreatedAt: m.state.Stamp(m.c.Time())}})
	m.burn(n, true, release, func(o outcome) {
		switch o.Verdict {
		case done:
		case noAnswer:
			release()
			unavailable(maybeLater)
			return
		default:
			release()
			fail(WithdrawErc20Error{CkEthLedgerError: &CkEthLedgerError{m.ledgerError(core.Ether, fee, o)}})
			return
		}
		gas := o.Block
		task := core.Task{Kind: core.TaskTokenBurn, ID: n}
		if m.tasks.Running(task) || m.state.Request(n).State != core.RequestGasBurned {
			release()
			unavailable("the tokens are being burned: see withdrawal_status by your account")
			return
		}
		m.tokenBurn(n, release, func(o outcome) {
			release()
			switch o.Verdict {
			case done:
				out.Send(WithdrawErc20Result{Ok: &RetrieveErc20Request{nat(core.AmountOf(gas)), nat(core.AmountOf(o.Block))}})
			case noAnswer:
				unavailable(maybeLater)
			default:
				fail(WithdrawErc20Error{CkErc20LedgerError: &CkErc20LedgerError{nat(core.AmountOf(gas)), m.ledgerError(token.Asset, amount, o)}})
			}
			m.work()
		})
	})
}

// ledgerError gives a ledger's refusal the form of the interface.
func (m *minter) ledgerError(a core.Asset, amount core.Amount, o outcome) LedgerError {
	symbol, id := m.state.Symbol(a), principal.MustFromBytes(m.state.LedgerOf(a))
	switch e := o.Err; {
	case e != nil && e.InsufficientFunds != nil:
		return LedgerError{InsufficientFunds: &LedgerFunds{e.InsufficientFunds.Balance, nat(amount), symbol, id}}
	case e != nil && e.InsufficientAllowance != nil:
		return LedgerError{InsufficientAllowance: &LedgerAllowance{e.InsufficientAllowance.Allowance, nat(amount), symbol, id}}
	case e != nil && e.BadBurn != nil:
		return LedgerError{AmountTooLow: &LedgerMinimum{e.BadBurn.MinBurnAmount, nat(amount), symbol, id}}
	}
	text := "the ledger did not burn the amount: " + o.Text
	return LedgerError{TemporarilyUnavailable: &text}
}

// burn asks the ledger of ckETH to burn what a withdrawal pays with, or to say again what became of it. first says that nobody asked before. then may be nil.
func (m *minter) burn(n uint64, first bool, cleanup func(), then func(outcome)) {
	r := m.state.Request(n)
	task := core.Task{Kind: core.TaskBurn, ID: n}
	amount := r.Amount
	if !r.IsEther() {
		amount = r.MaxFee
	}
	memo, at := r.BurnMemoOf(m.state.Symbol(r.Asset)), r.CreatedAt
	arg := transferFromArgs{From: accountOf(r.From), To: accountOf(m.state.Minter), Amount: nat(amount), Memo: &memo, CreatedAtTime: &at}
	m.transfer(task, core.Ether, "icrc2_transfer_from", arg, cleanup, func(o outcome) {
		switch {
		case o.Verdict == done && m.state.RequestByID(o.Block) != nil:
			// The stamp is this burn's own, so the ledger must have been wrong: do not pay twice.
			m.emit(core.Event{BurnUnknown: &n})
			m.c.Print("burn %d is said to be block %d, which is another withdrawal", n, o.Block)
			o = outcome{Verdict: noAnswer, Text: "the ledger named another withdrawal's block"}
		case o.Verdict == done:
			m.emit(core.Event{Burned: &core.Burned{Number: n, Block: o.Block}})
		case o.Verdict == neverMoved || o.Verdict == notMoved && first:
			m.emit(core.Event{BurnRefused: &n})
			m.tasks.Forget(task)
		case o.Verdict == tooOld:
			m.emit(core.Event{BurnUnknown: &n})
			m.c.Print("burn %d has an unknown outcome: the ledger's blocks will tell", n)
		default:
			m.c.Print("burn %d is open: %s", n, o.Text)
		}
		if then != nil {
			then(o)
		}
	})
}

// tokenBurn asks a token's ledger to burn what is withdrawn, or to say again what became of it. then may be nil.
func (m *minter) tokenBurn(n uint64, cleanup func(), then func(outcome)) {
	r := m.state.Request(n)
	task := core.Task{Kind: core.TaskTokenBurn, ID: n}
	first := r.State == core.RequestGasBurned
	if first {
		m.emit(core.Event{TokenBurnAsked: &core.Stamped{Number: n, CreatedAt: m.state.Stamp(m.c.Time())}})
	}
	memo, at := r.TokenMemo(), r.TokenAt
	arg := transferFromArgs{From: accountOf(r.TokenFrom), To: accountOf(m.state.Minter), Amount: nat(r.Amount), Memo: &memo, CreatedAtTime: &at}
	m.transfer(task, r.Asset, "icrc2_transfer_from", arg, cleanup, func(o outcome) {
		switch {
		case o.Verdict == done:
			m.emit(core.Event{TokenBurned: &core.Burned{Number: n, Block: o.Block}})
		case o.Verdict == neverMoved || o.Verdict == notMoved && first:
			m.emit(core.Event{TokenBurnRefused: &n})
			m.tasks.Forget(task)
		case o.Verdict == tooOld:
			m.emit(core.Event{TokenBurnUnknown: &n})
			m.c.Print("burn of tokens for withdrawal %d has an unknown outcome: the ledger's blocks will tell", r.ID)
		default:
			m.c.Print("burn of tokens for withdrawal %d is open: %s", r.ID, o.Text)
			if o.Verdict == notMoved { // an earlier attempt may have: the user is told to wait
				o.Verdict = noAnswer
			}
		}
		if then != nil {
			then(o)
		}
	})
}

// refund asks a ledger to mint back what was burned for a withdrawal that was not paid.
func (m *minter) refund(t core.Task) {
	r := m.state.Request(t.ID)
	f := &r.Refunds[t.Version]
	ref := core.RefundRef{Number: t.ID, Index: t.Version}
	first := f.CreatedAt == 0
	if first {
		m.emit(core.Event{RefundAsked: &core.RefundStamp{RefundRef: ref, CreatedAt: m.state.Stamp(m.c.Time())}})
	}
	memo, at := r.RefundMemo(), f.CreatedAt
	arg := transferArg{To: accountOf(f.To), Amount: nat(f.Amount), Memo: &memo, CreatedAtTime: &at}
	m.transfer(t, f.Asset, "icrc1_transfer", arg, nil, func(o outcome) {
		switch {
		case o.Verdict == done:
			m.emit(core.Event{Refunded: &core.Refunded{RefundRef: ref, Block: o.Block}})
		case o.Verdict == neverMoved || o.Verdict == notMoved && first:
			m.emit(core.Event{RefundRefused: &ref})
			m.c.Print("refund of withdrawal %d refused: %s", r.ID, o.Text)
		case o.Verdict == tooOld:
			m.emit(core.Event{RefundUnknown: &ref})
			m.c.Print("refund of withdrawal %d has an unknown outcome: the ledger's blocks will tell", r.ID)
		default:
			m.c.Print("refund of withdrawal %d is open: %s", r.ID, o.Text)
		}
	})
}

func (m *minter) finalizedStatus(r *core.Request) *FinalizedStatus {
	hash := "0x"
	if r.Receipt != nil {
		hash = r.Receipt.Hash.String()
	}
	switch {
	case r.State == core.RequestSucceeded:
		fee := nat(feeOf(r.Receipt))
		return &FinalizedStatus{Success: &Success{hash, &fee}}
	case r.State == core.RequestRefunded:
		f := r.Refunds[0]
		return &FinalizedStatus{Reimbursed: &Reimbursed{hash, nat(f.Amount), nat(core.AmountOf(f.Block))}}
	}
	return &FinalizedStatus{PendingReimbursement: &EthTransaction{hash}}
}

func feeOf(r *core.Receipt) core.Amount {
	gas := core.AmountOf(r.GasUsed)
	gas.Mul(&gas, &r.GasPrice)
	return gas
}

// sent is the hash of the newest transaction that was sent, or nil.
func (m *minter) sent(r *core.Request) *EthTransaction {
	t := m.state.Transfer(r.Transfer)
	if t == nil {
		return nil
	}
	for i := len(t.Versions) - 1; i >= 0; i-- {
		if v := t.Versions[i]; v.Sent || v.Raw != nil {
			return &EthTransaction{v.Hash.String()}
		}
	}
	return nil
}

func (m *minter) status(r *core.Request) WithdrawalStatus {
	switch r.State {
	case core.RequestInTransfer, core.RequestDisputed:
		if tx := m.sent(r); tx != nil {
			return WithdrawalStatus{TxSent: tx}
		}
		return WithdrawalStatus{TxCreated: unit}
	case core.RequestSucceeded, core.RequestWillRefund, core.RequestRefunded:
		return WithdrawalStatus{TxFinalized: m.finalizedStatus(r)}
	}
	return WithdrawalStatus{Pending: unit}
}

func (m *minter) retrieveEthStatus(_ *cdk.Msg, id uint64) RetrieveEthStatus {
	r := m.state.RequestByID(id)
	if r == nil {
		return RetrieveEthStatus{NotFound: unit}
	}
	s := m.status(r)
	return RetrieveEthStatus{Pending: s.Pending, TxCreated: s.TxCreated, TxSent: s.TxSent, TxFinalized: s.TxFinalized}
}

// explain tells the user what happens next with a withdrawal.
func (m *minter) explain(r *core.Request) string {
	if h := m.halt(); h != nil && r.State != core.RequestSucceeded && r.State != core.RequestRefunded {
		return "The minter is halted (" + h.Reason + "). Nothing is lost: the withdrawal goes on when an operator has looked at it."
	}
	given := r.State == core.RequestInTransfer && m.state.Transfer(r.Transfer).Latest().Filler
	if p := m.state.Paused(r.Asset); p != "" && !given && r.State != core.RequestSucceeded && r.State != core.RequestRefunded {
		return m.state.Symbol(r.Asset) + " is paused (" + p + "). The withdrawal goes on when an operator has looked at it."
	}
	switch r.State {
	case core.RequestBurning:
		return "The ckETH ledger has been asked to burn the amount."
	case core.RequestGasBurned, core.RequestTokenBurning:
		return "The fee is burned; the token's ledger is asked to burn the amount. If it refuses, the fee is minted back."
	case core.RequestPending:
		if cost := m.fee.Cost(core.GasEther); r.IsEther() && !cost.Lt(&r.Amount) {
			return "The fees of Ethereum are above the amount now. The withdrawal waits for them to fall and is minted back if they do not."
		} else if cost := m.fee.Cost(core.GasErc20); !r.IsEther() && cost.Gt(&r.MaxFee) {
			return "The fees of Ethereum rose above the fee that was burned. The withdrawal waits for them to fall and is minted back if they do not."
		}
		return "A transaction is made in the next round, within minutes."
	case core.RequestInTransfer:
		t := m.state.Transfer(r.Transfer)
		switch {
		case given:
			return "The fees of Ethereum rose beyond what the withdrawal can pay, or its asset was paused while others waited behind it. Its place is being given up; then the amount is minted back."
		case m.sent(r) == nil:
			return "The transaction is being signed by the subnet."
		case len(t.Versions) > 1:
			return fmt.Sprintf("The transaction was sent %d times with rising fees; it is not final yet.", len(t.Versions))
		}
		return "The transaction was sent; it is paid when the block is final, on Ethereum after about 15 minutes."
	case core.RequestSucceeded:
		return "Paid."
	case core.RequestWillRefund:
		return "Not paid: " + r.Why + ". The amount is being minted back."
	case core.RequestRefunded:
		return "Not paid: " + r.Why + ". The amount was minted back."
	}
	return "An operator must look at this withdrawal: " + r.Why + "."
}

func (m *minter) detail(r *core.Request) WithdrawalDetail {
	text := m.explain(r)
	from := r.From
	d := WithdrawalDetail{TokenSymbol: m.state.Symbol(r.Asset), WithdrawalAmount: nat(r.Amount), WithdrawalID: r.ID, From: from.Owner, FromSubaccount: from.Sub(),
		RecipientAddress: r.To.String(), Status: m.status(r), Message: &text}
	limit := r.MaxFee
	if t := m.state.Transfer(r.Transfer); r.IsEther() && t != nil {
		limit = t.Latest().Fee.Cost(core.GasEther)
	}
	if !limit.IsZero() {
		n := nat(limit)
		d.MaxTransactionFee = &n
	}
	if r.State == core.RequestSucceeded {
		kept := nat(m.state.Kept(r))
		d.MinterFee = &kept
	}
	return d
}

func (m *minter) withdrawalStatus(_ *cdk.Msg, a SearchParameter) []WithdrawalDetail {
	out := []WithdrawalDetail{}
	var numbers []uint64
	switch {
	case a.ByWithdrawalID != nil:
		if r := m.state.RequestByID(*a.ByWithdrawalID); r != nil {
			out = append(out, m.detail(r))
		}
		return out
	case a.ByRecipient != nil:
		to, err := eth.ParseAddress(*a.ByRecipient)
		if err != nil {
			m.c.Trap("recipient %q: %v", *a.ByRecipient, err)
		}
		numbers = m.state.RequestsTo(to)
	case a.BySenderAccount != nil:
		from, err := a.BySenderAccount.Of()
		if err != nil {
			m.c.Trap("%v", err)
		}
		numbers = m.state.RequestsFrom(from)
	}
	for _, n := range numbers[max(0, len(numbers)-maxShown):] {
		out = append(out, m.detail(m.state.Request(n)))
	}
	return out
}

// maxShown bounds an answer: the newest withdrawals or deposits of an account or address.
const maxShown = 500
