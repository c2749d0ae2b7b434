package ledger

import (
	"errors"

	"fusion/cdk"
	"fusion/ckledger/minting"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// Account is an account in the ledger's interface.
type Account struct {
	Owner      principal.Principal `candid:"owner"`
	Subaccount *[]byte             `candid:"subaccount"`
}

// AccountOf gives an account the form of the interface.
func AccountOf(a minting.Account) Account { return Account{a.Owner, a.Sub()} }

// Of is the inverse of AccountOf.
func (a Account) Of() (minting.Account, error) { return minting.NewAccount(a.Owner, a.Subaccount) }

// The types of icrc1_transfer and icrc2_transfer_from. TransferError is the union of their errors.
type (
	// TransferArg is the argument of icrc1_transfer.
	TransferArg struct {
		FromSubaccount *[]byte     `candid:"from_subaccount"`
		To             Account     `candid:"to"`
		Amount         candid.Nat  `candid:"amount"`
		Fee            *candid.Nat `candid:"fee"`
		Memo           *[]byte     `candid:"memo"`
		CreatedAtTime  *uint64     `candid:"created_at_time"`
	}
	// TransferFromArgs is the argument of icrc2_transfer_from.
	TransferFromArgs struct {
		SpenderSubaccount *[]byte     `candid:"spender_subaccount"`
		From              Account     `candid:"from"`
		To                Account     `candid:"to"`
		Amount            candid.Nat  `candid:"amount"`
		Fee               *candid.Nat `candid:"fee"`
		Memo              *[]byte     `candid:"memo"`
		CreatedAtTime     *uint64     `candid:"created_at_time"`
	}
	// TransferError says why a transfer did not happen; nothing moved, except for Duplicate.
	TransferError struct {
		candid.Variant
		BadFee                 *BadFee       `candid:"BadFee"`
		BadBurn                *BadBurn      `candid:"BadBurn"`
		InsufficientFunds      *Balance      `candid:"InsufficientFunds"`
		InsufficientAllowance  *Allowance    `candid:"InsufficientAllowance"`
		TooOld                 *candid.Null  `candid:"TooOld"`
		CreatedInFuture        *Time         `candid:"CreatedInFuture"`
		TemporarilyUnavailable *candid.Null  `candid:"TemporarilyUnavailable"`
		Duplicate              *Duplicate    `candid:"Duplicate"`
		GenericError           *GenericError `candid:"GenericError"`
	}
	// BadFee names the fee that the ledger takes.
	BadFee struct {
		ExpectedFee candid.Nat `candid:"expected_fee"`
	}
	// BadBurn names the least amount that can be burned.
	BadBurn struct {
		MinBurnAmount candid.Nat `candid:"min_burn_amount"`
	}
	// Balance is what the account has.
	Balance struct {
		Balance candid.Nat `candid:"balance"`
	}
	// Allowance is what the spender may take.
	Allowance struct {
		Allowance candid.Nat `candid:"allowance"`
	}
	// Time is the ledger's.
	Time struct {
		LedgerTime uint64 `candid:"ledger_time"`
	}
	// Duplicate names the block that has the transfer already.
	Duplicate struct {
		DuplicateOf candid.Nat `candid:"duplicate_of"`
	}
	// GenericError is any other error.
	GenericError struct {
		ErrorCode candid.Nat `candid:"error_code"`
		Message   string     `candid:"message"`
	}
	// TransferResult is the result of both methods.
	TransferResult struct {
		candid.Variant
		Ok  *candid.Nat    `candid:"Ok"`
		Err *TransferError `candid:"Err"`
	}
)

func (e *TransferError) Error() string {
	switch {
	case e.BadFee != nil:
		return "bad fee, expected " + e.BadFee.ExpectedFee.String()
	case e.BadBurn != nil:
		return "burn below the ledger's minimum of " + e.BadBurn.MinBurnAmount.String()
	case e.InsufficientFunds != nil:
		return "insufficient funds: balance " + e.InsufficientFunds.Balance.String()
	case e.InsufficientAllowance != nil:
		return "insufficient allowance: " + e.InsufficientAllowance.Allowance.String()
	case e.TooOld != nil:
		return "created_at_time is too old"
	case e.CreatedInFuture != nil:
		return "created_at_time is in the future"
	case e.TemporarilyUnavailable != nil:
		return "temporarily unavailable"
	case e.Duplicate != nil:
		return "duplicate of " + e.Duplicate.DuplicateOf.String()
	case e.GenericError != nil:
		return e.GenericError.Message
	}
	return "unknown ledger error"
}

// Verdict is what one attempt at a transfer tells about it.
type Verdict uint8

// The verdicts.
const (
	Done       Verdict = iota // moved, now or by an earlier attempt; Outcome.Block is valid
	NotMoved                  // this attempt moved nothing and never will; an earlier one may have
	NeverMoved                // neither this attempt nor an earlier one moved anything
	TooOld                    // this attempt moved nothing; whether an earlier one did can no longer be learnt this way
	NoAnswer                  // the attempt may have moved it
)

// Outcome is a verdict with what the ledger said.
type Outcome struct {
	Verdict Verdict
	Block   uint64
	Err     *TransferError // NotMoved, NeverMoved or TooOld by the ledger's word
	Text    string
}

// OutcomeOf reads the answer of one attempt.
func OutcomeOf(r TransferResult, err error) Outcome {
	var reject *cdk.RejectError
	if err == nil && r.Ok == nil && r.Err == nil || errors.As(err, &reject) && reject.Code == cdk.SysUnknown {
		err = errors.New("no outcome")
		reject = nil
	}
	if err != nil {
		if reject != nil && (reject.Code == cdk.SysTransient || reject.Code == cdk.DestinationInvalid) {
			return Outcome{Verdict: NotMoved, Text: err.Error()} // never delivered
		}
		return Outcome{Verdict: NoAnswer, Text: err.Error()}
	}
	index := r.Ok
	if r.Err != nil {
		switch {
		case r.Err.Duplicate != nil:
			index = &r.Err.Duplicate.DuplicateOf
		case r.Err.TooOld != nil:
			return Outcome{Verdict: TooOld, Err: r.Err, Text: r.Err.Error()}
		case r.Err.InsufficientFunds != nil, r.Err.InsufficientAllowance != nil:
			// ICRC ledgers look for a duplicate before they look at balances, and calls between two canisters keep their order: no
			// attempt before this one can have moved anything.
			return Outcome{Verdict: NeverMoved, Err: r.Err, Text: r.Err.Error()}
		default:
			return Outcome{Verdict: NotMoved, Err: r.Err, Text: r.Err.Error()}
		}
	}
	block, ok := index.Uint64()
	if !ok {
		return Outcome{Verdict: NoAnswer, Text: "block index exceeds 64 bits"}
	}
	return Outcome{Verdict: Done, Block: block}
}
