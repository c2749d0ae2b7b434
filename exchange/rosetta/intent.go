package rosetta

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/coinbase/rosetta-sdk-go/types"

	"fusion/ckledger/icrc"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// Methods of a ledger that transactions call.
const (
	methodTransfer     = "icrc1_transfer"
	methodTransferFrom = "icrc2_transfer_from"
	methodApprove      = "icrc2_approve"
)

// maxMemo is the longest memo that any ledger accepts (ckledger/icrc).
const maxMemo = 1024

// intent is a transaction under construction: what its operations say, and what makes it one transaction and not another. Accounts are in
// normal form.
type intent struct {
	kind    string // opTransfer, opBurn or opApprove
	from    icrc.Account
	to      icrc.Account  // of a transfer
	spender *icrc.Account // of an approval, or who takes by allowance
	amount  icrc.Amount   // the allowance, of an approval
	fee     *icrc.Amount

	expected *icrc.Amount // of an approval
	expires  *uint64

	memo    []byte // nil if there is none
	created uint64 // ns since 1970
}

// signer is the account whose owner signs.
func (i *intent) signer() icrc.Account {
	if i.kind != opApprove && i.spender != nil {
		return *i.spender
	}
	return i.from
}

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrIntent, fmt.Sprintf(format, args...))
}

// intentOf reads operations.
func (l *ledger) intentOf(ops []*types.Operation) (i intent, err error) {
	if len(ops) > 4 {
		return i, refuse("%d operations; a transaction is one transfer, burn or approval", len(ops))
	}
	seen := map[string]int{}
	var payer *icrc.Account
	for _, o := range ops {
		if o == nil {
			return i, refuse("an operation is missing")
		}
		seen[o.Type]++
		a, err := parseAccount(o.Account)
		if err != nil {
			return i, fmt.Errorf("%s: %w", o.Type, err)
		}
		var v icrc.Amount
		var minus bool
		if o.Amount != nil {
			if v, minus, err = parseAmount(o.Amount, l.currency); err != nil {
				return i, err
			}
		}
		second := o.Type == opTransfer && seen[opTransfer] == 2
		switch {
		case second && (v != i.amount || o.Amount == nil):
			return i, refuse("TRANSFER takes %s and gives %s", i.amount, v)
		case seen[o.Type] > 1 && !second:
			return i, refuse("more than one %s", o.Type)
		}
		switch o.Type {
		case opTransfer, opBurn:
			if i.kind != "" && i.kind != o.Type {
				return i, refuse("%s and %s in one transaction", i.kind, o.Type)
			}
			if o.Amount == nil || o.Type == opBurn && !minus {
				return i, refuse("%s needs a negative amount", o.Type)
			}
			if v.IsZero() { // its sign does not tell who pays
				return i, refuse("%s of nothing", o.Type)
			}
			i.kind, i.amount = o.Type, v
			if minus {
				i.from = a
				seen["from"]++
			} else {
				i.to = a
				seen["to"]++
			}
		case opApprove:
			if i.kind != "" || o.Amount != nil {
				return i, refuse("APPROVE stands alone and has its allowance in its metadata")
			}
			i.kind, i.from = opApprove, a
			seen["from"]++
			if err := l.readApproval(&i, o.Metadata); err != nil {
				return i, err
			}
		case opSpender:
			if o.Amount != nil {
				return i, refuse("SPENDER has no amount")
			}
			i.spender = &a
		case opFee:
			if o.Amount == nil || !minus && !v.IsZero() {
				return i, refuse("FEE needs a negative amount")
			}
			i.fee, payer = &v, &a
		case opMint:
			return i, refuse("only the minting account mints")
		default:
			return i, refuse("%s cannot be asked for", o.Type)
		}
	}
	switch {
	case i.kind == "":
		return i, refuse("neither TRANSFER, BURN nor APPROVE")
	case seen["from"] != 1 || i.kind == opTransfer && seen["to"] != 1:
		return i, refuse("%s needs one account that pays and, to transfer, one that gets", i.kind)
	case payer != nil && !same(*payer, i.from):
		return i, refuse("the fee is paid by the account that the amount is taken from")
	}
	return i, l.check(&i)
}

func (l *ledger) readApproval(i *intent, metadata map[string]any) (err error) {
	amount := func(key string) (*icrc.Amount, error) {
		raw, ok := metadata[key]
		if !ok {
			return nil, nil
		}
		b, err := json.Marshal(raw)
		if err != nil {
			return nil, refuse("%s: %v", key, err)
		}
		var a types.Amount
		if err := json.Unmarshal(b, &a); err != nil {
			return nil, refuse("%s is no amount: %v", key, err)
		}
		v, minus, err := parseAmount(&a, l.currency)
		if err != nil || minus {
			return nil, refuse("%s is no amount of at least nothing: %v", key, err)
		}
		return &v, nil
	}
	allowance, err := amount("allowance")
	if err != nil {
		return err
	}
	if allowance == nil {
		return refuse("APPROVE needs metadata.allowance")
	}
	i.amount = *allowance
	if i.expected, err = amount("expected_allowance"); err != nil {
		return err
	}
	i.expires, err = readNumber(metadata, "expires_at")
	return err
}

// readNumber reads a number of 64 bits: a text, or a number as long as JSON readers keep it exact.
func readNumber(m map[string]any, key string) (*uint64, error) {
	var n uint64
	var err error
	switch v := m[key].(type) {
	case nil:
		return nil, nil
	case string:
		n, err = strconv.ParseUint(v, 10, 64)
	case float64:
		if n = uint64(v); v < 0 || v > 1<<53 || float64(n) != v {
			err = fmt.Errorf("write it as a text")
		}
	case json.Number:
		n, err = strconv.ParseUint(v.String(), 10, 64)
	default:
		err = fmt.Errorf("it is a %T", v)
	}
	if err != nil {
		return nil, refuse("%s is no number of 64 bits: %v", key, err)
	}
	return &n, nil
}

// check refuses what the ledger would not do, or would do differently from what the operations say.
func (l *ledger) check(i *intent) error {
	switch {
	case len(i.memo) > maxMemo:
		return refuse("a memo of %d bytes", len(i.memo))
	case i.from.Owner.IsAnonymous() || i.signer().Owner.IsAnonymous():
		return refuse("nobody signs for the anonymous principal")
	case same(i.from, l.minting) || i.kind == opTransfer && same(i.to, l.minting):
		return refuse("what goes to the minting account is a BURN, and what comes from it is a mint")
	case i.kind == opBurn && i.fee != nil:
		return refuse("a BURN has no fee")
	case i.kind == opApprove && (i.spender == nil || i.spender.Owner == i.from.Owner):
		return refuse("APPROVE needs a SPENDER with another owner")
	}
	return nil
}

func optional(v *icrc.Amount) *candid.Nat {
	if v == nil {
		return nil
	}
	n := v.Nat()
	return &n
}

// call is the ledger's method and its argument.
func (l *ledger) call(i *intent) (method string, arg []byte) {
	var memo *[]byte
	if i.memo != nil {
		memo = &i.memo
	}
	to := i.to
	if i.kind == opBurn {
		to = l.minting
	}
	switch {
	case i.kind == opApprove:
		return methodApprove, candid.MustMarshal(icrc.ApproveArgs{FromSubaccount: i.from.Subaccount, Spender: *i.spender, Amount: i.amount.Nat(),
			ExpectedAllowance: optional(i.expected), ExpiresAt: i.expires, Fee: optional(i.fee), Memo: memo, CreatedAtTime: &i.created})
	case i.spender != nil:
		return methodTransferFrom, candid.MustMarshal(icrc.TransferFromArgs{SpenderSubaccount: i.spender.Subaccount, From: i.from, To: to,
			Amount: i.amount.Nat(), Fee: optional(i.fee), Memo: memo, CreatedAtTime: &i.created})
	}
	return methodTransfer, candid.MustMarshal(icrc.TransferArg{FromSubaccount: i.from.Subaccount, To: to, Amount: i.amount.Nat(),
		Fee: optional(i.fee), Memo: memo, CreatedAtTime: &i.created})
}

// readCall is the inverse of call. It accepts only what call makes, so that nothing in an argument stays unseen.
func (l *ledger) readCall(sender principal.Principal, method string, arg []byte) (i intent, err error) {
	amount := func(n candid.Nat) icrc.Amount {
		v, ok := icrc.AmountOfNat(n)
		if !ok {
			err = fmt.Errorf("%w: an amount of more than 256 bits", ErrTransaction)
		}
		return v
	}
	maybe := func(n *candid.Nat) *icrc.Amount {
		if n == nil {
			return nil
		}
		v := amount(*n)
		return &v
	}
	tail := func(memo *[]byte, created *uint64) {
		if memo != nil {
			i.memo = append([]byte{}, *memo...)
		}
		if created != nil {
			i.created = *created
		}
	}
	transfer := func(to icrc.Account) {
		if i.kind, i.to = opTransfer, to; same(normal(to), l.minting) {
			i.kind, i.to = opBurn, icrc.Account{}
		}
	}
	switch method {
	case methodTransfer:
		var a icrc.TransferArg
		if err := candid.Unmarshal(arg, &a); err != nil {
			return i, fmt.Errorf("%w: %w", ErrTransaction, err)
		}
		i.from, i.amount, i.fee = icrc.Account{Owner: sender, Subaccount: a.FromSubaccount}, amount(a.Amount), maybe(a.Fee)
		transfer(a.To)
		tail(a.Memo, a.CreatedAtTime)
	case methodTransferFrom:
		var a icrc.TransferFromArgs
		if err := candid.Unmarshal(arg, &a); err != nil {
			return i, fmt.Errorf("%w: %w", ErrTransaction, err)
		}
		i.from, i.amount, i.fee = a.From, amount(a.Amount), maybe(a.Fee)
		i.spender = &icrc.Account{Owner: sender, Subaccount: a.SpenderSubaccount}
		transfer(a.To)
		tail(a.Memo, a.CreatedAtTime)
	case methodApprove:
		var a icrc.ApproveArgs
		if err := candid.Unmarshal(arg, &a); err != nil {
			return i, fmt.Errorf("%w: %w", ErrTransaction, err)
		}
		i.kind, i.from, i.spender = opApprove, icrc.Account{Owner: sender, Subaccount: a.FromSubaccount}, &a.Spender
		i.amount, i.expected, i.expires, i.fee = amount(a.Amount), maybe(a.ExpectedAllowance), a.ExpiresAt, maybe(a.Fee)
		tail(a.Memo, a.CreatedAtTime)
	default:
		return i, fmt.Errorf("%w: method %.40q", ErrTransaction, method)
	}
	if err != nil {
		return i, err
	}
	if err := l.check(&i); err != nil {
		return i, fmt.Errorf("%w: %w", ErrTransaction, err)
	}
	if m, again := l.call(&i); m != method || string(again) != string(arg) {
		return i, fmt.Errorf("%w: the argument of %s is not in the form that this server writes", ErrTransaction, method)
	}
	if _, err := l.hash(&i); err != nil { // subaccounts of 32 bytes, in normal form
		return i, err
	}
	return i, nil
}

// transaction is the intent as a block will show it, without the fee that the ledger chooses.
func (i *intent) transaction() *icrc.Transaction {
	var memo *[]byte
	if i.memo != nil {
		memo = &i.memo
	}
	switch i.kind {
	case opApprove:
		return &icrc.Transaction{Approve: &icrc.Approve{From: i.from, Spender: *i.spender, Amount: i.amount.Nat(), ExpectedAllowance: optional(i.expected),
			ExpiresAt: i.expires, Fee: optional(i.fee), Memo: memo, CreatedAtTime: &i.created}}
	case opBurn:
		return &icrc.Transaction{Burn: &icrc.Burn{From: i.from, Amount: i.amount.Nat(), Spender: i.spender, Memo: memo, CreatedAtTime: &i.created, Fee: optional(i.fee)}}
	}
	return &icrc.Transaction{Transfer: &icrc.Transfer{From: i.from, To: i.to, Amount: i.amount.Nat(), Fee: optional(i.fee), Spender: i.spender, Memo: memo,
		CreatedAtTime: &i.created}}
}

// operations shows the intent as its block will, but for the fee that is not stated.
func (l *ledger) operations(i *intent) ([]*types.Operation, error) {
	effects, err := effectsOf(i.transaction(), nil, true, l.currency)
	if err != nil {
		return nil, err
	}
	return operations(effects, l.currency, nil), nil
}

// hash is the hash of the tx that the block of the intent will have (ICRC-3).
func (l *ledger) hash(i *intent) (h [32]byte, err error) {
	var m []icrc.ICRC3Entry
	put := func(key string, v icrc.ICRC3Value) { m = append(m, icrc.ICRC3Entry{Key: key, Value: v}) }
	nat := func(key string, v *icrc.Amount) {
		if v != nil {
			n := v.Nat()
			put(key, icrc.ICRC3Value{Nat: &n})
		}
	}
	number := func(key string, v uint64) {
		n := candid.NatFromUint64(v)
		put(key, icrc.ICRC3Value{Nat: &n})
	}
	account := func(key string, a icrc.Account) {
		if a.Subaccount != nil && (len(*a.Subaccount) != 32 || normal(a).Subaccount == nil) {
			err = fmt.Errorf("%w: the subaccount of %s is not in normal form", ErrTransaction, key)
			return
		}
		owner := a.Owner.Bytes()
		items := []icrc.ICRC3Value{{Blob: &owner}}
		if a.Subaccount != nil {
			items = append(items, icrc.ICRC3Value{Blob: a.Subaccount})
		}
		put(key, icrc.ICRC3Value{Array: &items})
	}
	op := map[string]string{opTransfer: "xfer", opBurn: "burn", opApprove: "approve"}[i.kind]
	put("op", icrc.ICRC3Value{Text: &op})
	nat("amt", &i.amount)
	account("from", i.from)
	if i.kind == opTransfer {
		account("to", i.to)
	}
	if i.spender != nil {
		account("spender", *i.spender)
	}
	nat("fee", i.fee)
	nat("expected_allowance", i.expected)
	if i.expires != nil {
		number("expires_at", *i.expires)
	}
	if i.memo != nil {
		put("memo", icrc.ICRC3Value{Blob: &i.memo})
	}
	number("ts", i.created)
	if err != nil {
		return h, err
	}
	raw, err := icrc.AppendValue(nil, icrc.ICRC3Value{Map: &m})
	if err != nil {
		return h, fmt.Errorf("%w: %w", ErrTransaction, err)
	}
	return icrc.HashValue(raw)
}
