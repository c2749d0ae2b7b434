package rosetta

import (
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/coinbase/rosetta-sdk-go/types"

	"fusion/ckledger/icrc"
	"fusion/ic/candid"
)

// Types of operations, named as in the Rosetta server of the Internet Computer's ICRC-1 ledgers.
const (
	opTransfer     = "TRANSFER"
	opMint         = "MINT"
	opBurn         = "BURN"
	opApprove      = "APPROVE"
	opSpender      = "SPENDER"
	opFee          = "FEE"
	opFeeCollector = "FEE_COLLECTOR"
)

var operationTypes = []string{opTransfer, opMint, opBurn, opApprove, opSpender, opFee, opFeeCollector}

// statusDone is the one status: a transaction that is refused has no block.
const statusDone = "COMPLETED"

// effect is what a block does to one account. The operations that the API shows and the balances that it keeps are both made of effects,
// so they cannot disagree.
type effect struct {
	kind    string
	account icrc.Account
	// moves tells that there is an amount; minus that it is taken away.
	moves, minus bool
	amount       icrc.Amount
	metadata     map[string]any
	related      bool // to the operation before
}

// effectsOf lists what a transaction does. collector is who gets its fee, nil if it is burned; currency is for what is only shown.
func effectsOf(t *icrc.Transaction, collector *icrc.Account, feeGiven bool, currency *types.Currency) ([]effect, error) {
	var out []effect
	var bad error
	add := func(kind string, a icrc.Account, n *candid.Nat, minus bool) *effect {
		e := effect{kind: kind, account: normal(a), minus: minus}
		if n != nil {
			v, ok := icrc.AmountOfNat(*n)
			if !ok {
				bad = fmt.Errorf("%w: an amount of more than 256 bits", ErrBlocks)
			}
			e.moves, e.amount = true, v
		}
		out = append(out, e)
		return &out[len(out)-1]
	}
	spender := func(a *icrc.Account) {
		if a != nil {
			add(opSpender, *a, nil, false)
		}
	}
	fee := func(from icrc.Account, n *candid.Nat) {
		if n == nil {
			return
		}
		by := "LEDGER"
		if feeGiven {
			by = "USER"
		}
		add(opFee, from, n, true).metadata = map[string]any{"fee_set_by": by}
		if collector != nil {
			add(opFeeCollector, *collector, n, false)
		}
	}
	switch {
	case t.Mint != nil:
		add(opMint, t.Mint.To, &t.Mint.Amount, false)
		fee(t.Mint.To, t.Mint.Fee)
	case t.Burn != nil:
		add(opBurn, t.Burn.From, &t.Burn.Amount, true)
		spender(t.Burn.Spender)
		fee(t.Burn.From, t.Burn.Fee)
	case t.Transfer != nil:
		add(opTransfer, t.Transfer.From, &t.Transfer.Amount, true)
		add(opTransfer, t.Transfer.To, &t.Transfer.Amount, false).related = true
		spender(t.Transfer.Spender)
		fee(t.Transfer.From, t.Transfer.Fee)
	case t.Approve != nil:
		m := map[string]any{"allowance": &types.Amount{Value: t.Approve.Amount.String(), Currency: currency}}
		if t.Approve.ExpectedAllowance != nil {
			m["expected_allowance"] = &types.Amount{Value: t.Approve.ExpectedAllowance.String(), Currency: currency}
		}
		if t.Approve.ExpiresAt != nil {
			m["expires_at"] = strconv.FormatUint(*t.Approve.ExpiresAt, 10)
		}
		add(opApprove, t.Approve.From, nil, false).metadata = m
		add(opSpender, t.Approve.Spender, nil, false)
		fee(t.Approve.From, t.Approve.Fee)
	case t.AuthorizedMint != nil:
		add(opMint, t.AuthorizedMint.To, &t.AuthorizedMint.Amount, false)
	case t.AuthorizedBurn != nil:
		add(opBurn, t.AuthorizedBurn.From, &t.AuthorizedBurn.Amount, true)
	case t.FeeCollector != nil: // changes who collects fees and no balance
	default:
		return nil, fmt.Errorf("%w: unknown kind %q", ErrBlocks, t.Kind)
	}
	return out, bad
}

func amountValue(v icrc.Amount, minus bool) string {
	if minus && !v.IsZero() {
		return "-" + v.String()
	}
	return v.String()
}

// operations shows effects. status is nil for a transaction under construction.
func operations(effects []effect, currency *types.Currency, status *string) []*types.Operation {
	out := make([]*types.Operation, len(effects))
	for i, e := range effects {
		o := &types.Operation{OperationIdentifier: &types.OperationIdentifier{Index: int64(i)}, Type: e.kind, Status: status,
			Account: identify(e.account), Metadata: e.metadata}
		if e.moves {
			o.Amount = &types.Amount{Value: amountValue(e.amount, e.minus), Currency: currency}
		}
		if e.related {
			o.RelatedOperations = []*types.OperationIdentifier{{Index: int64(i - 1)}}
		}
		out[i] = o
	}
	return out
}

// annotations are the parts of a transaction that are no operations. Numbers of 64 bits are texts: JSON readers round them.
func annotations(t *icrc.Transaction) map[string]any {
	m := map[string]any{}
	put := func(memo *[]byte, created *uint64) {
		if memo != nil {
			m["memo"] = hex.EncodeToString(*memo)
		}
		if created != nil {
			m["created_at_time"] = strconv.FormatUint(*created, 10)
		}
	}
	reason := func(text *string) {
		if text != nil {
			m["reason"] = *text
		}
	}
	switch {
	case t.Mint != nil:
		put(t.Mint.Memo, t.Mint.CreatedAtTime)
	case t.Burn != nil:
		put(t.Burn.Memo, t.Burn.CreatedAtTime)
	case t.Transfer != nil:
		put(t.Transfer.Memo, t.Transfer.CreatedAtTime)
	case t.Approve != nil:
		put(t.Approve.Memo, t.Approve.CreatedAtTime)
	case t.AuthorizedMint != nil:
		put(nil, t.AuthorizedMint.CreatedAtTime)
		reason(t.AuthorizedMint.Reason)
	case t.AuthorizedBurn != nil:
		put(nil, t.AuthorizedBurn.CreatedAtTime)
		reason(t.AuthorizedBurn.Reason)
	case t.FeeCollector != nil && t.FeeCollector.FeeCollector != nil:
		m["fee_collector"] = identify(*t.FeeCollector.FeeCollector)
	}
	if len(m) == 0 {
		return nil
	}
	return m
}
