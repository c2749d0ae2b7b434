package icrc

import (
	"fmt"

	"fusion/ic/candid"
	"fusion/ic/principal"
)

// natOf is a pointer to a Candid number, as the error variants have them.
func natOf(a *Amount) candid.Nat { return a.Nat() }

func generic(f *failure) *GenericError {
	return &GenericError{ErrorCode: candid.NatFromUint64(f.code), Message: f.generic}
}

func indexOf(i uint64) *candid.Nat {
	n := candid.NatFromUint64(i)
	return &n
}

// memoOf checks a memo.
func (l *Ledger) memoOf(memo *[]byte) error {
	if memo != nil && len(*memo) > l.memoMax {
		return fmt.Errorf("%w: %d bytes, the limit is %d", ErrMemo, len(*memo), l.memoMax)
	}
	return nil
}

// transfer is what icrc1_transfer and icrc2_transfer_from have in common: transfers from the minting account mint, transfers to it burn.
// An error is a mistake that has no variant; the caller traps.
func (l *Ledger) transfer(now uint64, from, to account, spender *account, amount candid.Nat, fee *candid.Nat, memo *[]byte,
	createdAt *uint64) (uint64, *failure, error) {
	if err := l.memoOf(memo); err != nil {
		return 0, nil, err
	}
	t := &transaction{op: opTransfer, from: from, to: to, spender: spender, memo: memo, createdAt: createdAt}
	due, charged := l.fee, &l.fee
	switch {
	case to == l.minting:
		t.op, due, charged = opBurn, Amount{}, nil
	case from == l.minting:
		if spender != nil {
			return 0, nil, ErrDelegate
		}
		t.op, due, charged = opMint, Amount{}, nil
	}
	if fee != nil {
		given, ok := l.amountOf(*fee)
		if !ok || given != due {
			return 0, &failure{badFee: &due}, nil
		}
		if t.op == opTransfer {
			t.fee = &given
		}
	}
	var ok bool
	if t.amount, ok = l.amountOf(amount); !ok {
		// More than any balance can hold.
		if t.op == opMint {
			return 0, &failure{generic: "the supply would exceed the largest amount"}, nil
		}
		balance := l.balance(&from)
		return 0, &failure{funds: &balance}, nil
	}
	if t.op == opBurn {
		// An account with less than the fee could otherwise never be emptied.
		least := l.fee
		if balance := l.balance(&from); balance.Cmp(least) < 0 {
			least = balance
		}
		if t.amount.IsZero() || t.amount.Cmp(least) < 0 {
			if least.IsZero() {
				least = l.fee
			}
			return 0, &failure{badBurn: &least}, nil
		}
	}
	index, f := l.apply(now, t, charged)
	return index, f, nil
}

// Transfer answers icrc1_transfer. An error means that the call must trap.
func (l *Ledger) Transfer(now uint64, caller principal.Principal, args *TransferArg) (TransferResult, error) {
	from, err := accountOf(caller, args.FromSubaccount)
	if err != nil {
		return TransferResult{}, err
	}
	to, err := parseAccount(args.To)
	if err != nil {
		return TransferResult{}, err
	}
	index, f, err := l.transfer(now, from, to, nil, args.Amount, args.Fee, args.Memo, args.CreatedAtTime)
	if err != nil {
		return TransferResult{}, err
	}
	if f == nil {
		return TransferResult{Ok: indexOf(index)}, nil
	}
	e := &TransferError{}
	switch {
	case f.badFee != nil:
		e.BadFee = &BadFee{natOf(f.badFee)}
	case f.badBurn != nil:
		e.BadBurn = &BadBurn{natOf(f.badBurn)}
	case f.funds != nil:
		e.InsufficientFunds = &InsufficientFunds{natOf(f.funds)}
	case f.tooOld:
		e.TooOld = candid.Unit
	case f.future:
		e.CreatedInFuture = &LedgerTime{now}
	case f.duplicate != nil:
		e.Duplicate = &Duplicate{*indexOf(*f.duplicate)}
	case f.busy:
		e.TemporarilyUnavailable = candid.Unit
	default:
		e.GenericError = generic(f)
	}
	return TransferResult{Err: e}, nil
}

// TransferFrom answers icrc2_transfer_from.
func (l *Ledger) TransferFrom(now uint64, caller principal.Principal, args *TransferFromArgs) (TransferFromResult, error) {
	spender, err := accountOf(caller, args.SpenderSubaccount)
	if err != nil {
		return TransferFromResult{}, err
	}
	from, err := parseAccount(args.From)
	if err != nil {
		return TransferFromResult{}, err
	}
	to, err := parseAccount(args.To)
	if err != nil {
		return TransferFromResult{}, err
	}
	index, f, err := l.transfer(now, from, to, &spender, args.Amount, args.Fee, args.Memo, args.CreatedAtTime)
	if err != nil {
		return TransferFromResult{}, err
	}
	if f == nil {
		return TransferFromResult{Ok: indexOf(index)}, nil
	}
	e := &TransferFromError{}
	switch {
	case f.badFee != nil:
		e.BadFee = &BadFee{natOf(f.badFee)}
	case f.badBurn != nil:
		e.BadBurn = &BadBurn{natOf(f.badBurn)}
	case f.funds != nil:
		e.InsufficientFunds = &InsufficientFunds{natOf(f.funds)}
	case f.allowance != nil:
		e.InsufficientAllowance = &InsufficientAllowance{natOf(f.allowance)}
	case f.tooOld:
		e.TooOld = candid.Unit
	case f.future:
		e.CreatedInFuture = &LedgerTime{now}
	case f.duplicate != nil:
		e.Duplicate = &Duplicate{*indexOf(*f.duplicate)}
	case f.busy:
		e.TemporarilyUnavailable = candid.Unit
	default:
		e.GenericError = generic(f)
	}
	return TransferFromResult{Err: e}, nil
}

// Approve answers icrc2_approve.
func (l *Ledger) Approve(now uint64, caller principal.Principal, args *ApproveArgs) (ApproveResult, error) {
	from, err := accountOf(caller, args.FromSubaccount)
	if err != nil {
		return ApproveResult{}, err
	}
	spender, err := parseAccount(args.Spender)
	if err != nil {
		return ApproveResult{}, err
	}
	switch {
	case spender.owner == from.owner:
		return ApproveResult{}, ErrSelf
	case from == l.minting:
		return ApproveResult{}, ErrDelegate
	}
	if err := l.memoOf(args.Memo); err != nil {
		return ApproveResult{}, err
	}
	fail := func(e ApproveError) (ApproveResult, error) { return ApproveResult{Err: &e}, nil }
	t := &transaction{op: opApprove, from: from, spender: &spender, memo: args.Memo, createdAt: args.CreatedAtTime, expires: args.ExpiresAt}
	if args.Fee != nil {
		given, ok := l.amountOf(*args.Fee)
		if !ok || given != l.fee {
			return fail(ApproveError{BadFee: &BadFee{l.fee.Nat()}})
		}
		t.fee = &given
	}
	var ok bool
	if t.amount, ok = l.amountOf(args.Amount); !ok {
		t.amount = l.most // more than there can be: everything
	}
	if args.ExpectedAllowance != nil {
		expected, ok := l.amountOf(*args.ExpectedAllowance)
		if !ok {
			return fail(ApproveError{AllowanceChanged: &AllowanceChanged{l.allowance(now, from, spender).amount.Nat()}})
		}
		t.expected = &expected
	}
	index, f := l.apply(now, t, &l.fee)
	if f == nil {
		return ApproveResult{Ok: indexOf(index)}, nil
	}
	e := ApproveError{}
	switch {
	case f.funds != nil:
		e.InsufficientFunds = &InsufficientFunds{natOf(f.funds)}
	case f.changed != nil:
		e.AllowanceChanged = &AllowanceChanged{natOf(f.changed)}
	case f.expired:
		e.Expired = &LedgerTime{now}
	case f.tooOld:
		e.TooOld = candid.Unit
	case f.future:
		e.CreatedInFuture = &LedgerTime{now}
	case f.duplicate != nil:
		e.Duplicate = &Duplicate{*indexOf(*f.duplicate)}
	case f.busy:
		e.TemporarilyUnavailable = candid.Unit
	default:
		e.GenericError = generic(f)
	}
	return fail(e)
}

// authorized is what the two methods of ICRC-152 have in common.
func (l *Ledger) authorized(now uint64, caller principal.Principal, controller bool, t *transaction, of Account, amount candid.Nat,
	createdAt uint64, reason *string) (index uint64, unauthorized, invalid string, f *failure) {
	if !l.cfg.Features.ICRC152 {
		return 0, "", "", &failure{generic: "ICRC-152 is not enabled on this ledger"}
	}
	if !controller {
		return 0, "the caller is not a controller of the ledger", "", nil
	}
	acc, err := parseAccount(of)
	if err != nil {
		return 0, "", err.Error(), nil
	}
	if acc == l.minting {
		return 0, "", "the minting account holds no tokens", nil
	}
	if reason != nil && len(*reason) > maxReason {
		return 0, "", "", &failure{code: 1, generic: fmt.Sprintf("the reason is longer than %d bytes", maxReason)}
	}
	var ok bool
	if t.amount, ok = l.amountOf(amount); !ok || t.amount.IsZero() {
		return 0, "", "", &failure{code: 2, generic: "the amount must be positive and one that the token has"}
	}
	t.from, t.to, t.caller, t.createdAt, t.reason = acc, acc, caller, &createdAt, reason
	index, f = l.apply(now, t, nil)
	switch {
	case f == nil:
	case f.tooOld:
		f = &failure{code: 3, generic: "created_at_time is too old"}
	case f.future:
		f = &failure{code: 4, generic: fmt.Sprintf("created_at_time is in the future; the ledger's time is %d", now)}
	case f.busy:
		f = &failure{code: 5, generic: "too many transactions; try again later"}
	}
	return index, "", "", f
}

// AuthorizedMint answers icrc152_mint.
func (l *Ledger) AuthorizedMint(now uint64, caller principal.Principal, controller bool, args *ICRC152MintArgs) ICRC152MintResult {
	index, unauthorized, invalid, f := l.authorized(now, caller, controller, &transaction{op: opAuthorizedMint}, args.To, args.Amount,
		args.CreatedAtTime, args.Reason)
	e := ICRC152MintError{}
	switch {
	case unauthorized != "":
		e.Unauthorized = &unauthorized
	case invalid != "":
		e.InvalidAccount = &invalid
	case f == nil:
		return ICRC152MintResult{Ok: indexOf(index)}
	case f.duplicate != nil:
		e.Duplicate = &Duplicate{*indexOf(*f.duplicate)}
	default:
		e.GenericError = generic(f)
	}
	return ICRC152MintResult{Err: &e}
}

// AuthorizedBurn answers icrc152_burn.
func (l *Ledger) AuthorizedBurn(now uint64, caller principal.Principal, controller bool, args *ICRC152BurnArgs) ICRC152BurnResult {
	index, unauthorized, invalid, f := l.authorized(now, caller, controller, &transaction{op: opAuthorizedBurn}, args.From, args.Amount,
		args.CreatedAtTime, args.Reason)
	e := ICRC152BurnError{}
	switch {
	case unauthorized != "":
		e.Unauthorized = &unauthorized
	case invalid != "":
		e.InvalidAccount = &invalid
	case f == nil:
		return ICRC152BurnResult{Ok: indexOf(index)}
	case f.duplicate != nil:
		e.Duplicate = &Duplicate{*indexOf(*f.duplicate)}
	case f.funds != nil:
		e.InsufficientBalance = &InsufficientFunds{natOf(f.funds)}
	default:
		e.GenericError = generic(f)
	}
	return ICRC152BurnResult{Err: &e}
}
