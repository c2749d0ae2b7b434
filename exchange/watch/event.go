package watch

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"fusion/btc"
	ckbtc "fusion/ckledger/ckbtc/core"
	cketh "fusion/ckledger/cketh/core"
	"fusion/ckledger/icrc"
	"fusion/exchange/reader"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// Types of events.
const (
	// Deposit is a payment to a watched account from elsewhere: a mint or a transfer. It is final.
	Deposit = "deposit"
	// Withdrawal is a payment from a watched account to elsewhere: a burn or a transfer. It is final.
	Withdrawal = "withdrawal"
	// Internal is a payment from one watched account to another, such as a sweep. It is final.
	Internal = "internal"
	// Pending is bitcoin on its way to a watched account. It is one replica's view and may never arrive: do not credit it.
	Pending = "pending"
	// Payout is how a withdrawal of bitcoin goes on, whose burn was told as a Withdrawal. Its last status is certified.
	Payout = "payout"
)

// Account is an account of a ledger.
type Account struct {
	Owner      string `json:"owner"`
	Subaccount string `json:"subaccount"` // 32 bytes in hexadecimal; all zeros is the default account
}

// Source is what a minter minted for, or, of a payout, the transaction that pays it.
type Source struct {
	Chain       string `json:"chain"`       // bitcoin or ethereum
	Transaction string `json:"transaction"` // as explorers show it
	// Index is that of the output, or of the log. A payout has none: the minter does not say which output of the transaction pays.
	Index *uint64 `json:"index,omitempty"`
}

// Event is what a receiver is told, as JSON. Numbers that may exceed 2^53 are texts.
type Event struct {
	// ID is the idempotency key: the ledger and the block, or the minter, the Bitcoin output or withdrawal and its status. The same event always has the same ID
	// and no other one has it, so whoever keeps the IDs of what it has booked books each once.
	ID   string `json:"id"`
	Type string `json:"type"`

	Ledger   string `json:"ledger,omitempty"`
	Symbol   string `json:"symbol,omitempty"`
	Decimals *uint8 `json:"decimals,omitempty"`
	// Block, Hash and Time are those of the ledger's block, and Kind what it does: mint, burn or transfer.
	Block *uint64 `json:"block,omitempty"`
	Hash  string  `json:"hash,omitempty"`
	Time  string  `json:"time,omitempty"`
	Kind  string  `json:"kind,omitempty"`

	From *Account `json:"from,omitempty"`
	To   *Account `json:"to,omitempty"`
	// Amount is what arrives, in the token's smallest unit. What a payment cost is not part of it.
	Amount string  `json:"amount"`
	Memo   string  `json:"memo,omitempty"` // in hexadecimal
	Source *Source `json:"source,omitempty"`

	// Status is where a pending deposit stands: mempool, confirming with so many of the required confirmations, confirmed (about to be
	// minted) or suspended. Of a payout: pending, signing, sending, submitted, confirmed, reimbursing, reimbursed (by a mint, which is a deposit
	// of its own) or too_low.
	Status        string  `json:"status,omitempty"`
	Confirmations *uint32 `json:"confirmations,omitempty"`
	Required      *uint32 `json:"required,omitempty"`
}

// Accounts says which accounts are watched.
type Accounts struct {
	// Owner is whose accounts they are.
	Owner principal.Principal
	// Prefix restricts them to the subaccounts that begin so; by default all are watched.
	Prefix []byte
	// Subaccounts restricts them to a set; nil is no restriction.
	Subaccounts map[[32]byte]bool
}

func subaccount(a *icrc.Account) (sub [32]byte) {
	if a.Subaccount != nil {
		copy(sub[:], *a.Subaccount)
	}
	return sub
}

// Contains tells whether an account is watched.
func (w *Accounts) Contains(a *icrc.Account) bool {
	if a == nil || a.Owner != w.Owner {
		return false
	}
	sub := subaccount(a)
	return strings.HasPrefix(string(sub[:]), string(w.Prefix)) && (w.Subaccounts == nil || w.Subaccounts[sub])
}

func accountOf(a *icrc.Account) *Account {
	if a == nil {
		return nil
	}
	sub := subaccount(a)
	return &Account{Owner: a.Owner.String(), Subaccount: hex.EncodeToString(sub[:])}
}

// sourceOf reads the memo of a mint.
func sourceOf(memo []byte) *Source {
	if m, err := ckbtc.ParseMintMemo(memo); err == nil && m.Convert != nil && len(m.Convert.Txid) == 32 && m.Convert.Vout != nil {
		return &Source{Chain: "bitcoin", Transaction: btc.Hash(m.Convert.Txid).String(), Index: new(uint64(*m.Convert.Vout))}
	}
	if m, err := cketh.ParseMintMemo(memo); err == nil && m.Convert != nil {
		return &Source{Chain: "ethereum", Transaction: m.Convert.Source.Tx.String(), Index: &m.Convert.Source.Index}
	}
	return nil
}

// eventOf reads a proven block; nil if no watched account is concerned.
func (w *Accounts) eventOf(ledger principal.Principal, token *reader.Token, b *reader.Block) *Event {
	var from, to *icrc.Account
	var amount candid.Nat
	var memo *[]byte
	switch {
	case b.Mint != nil:
		to, amount, memo = &b.Mint.To, b.Mint.Amount, b.Mint.Memo
	case b.AuthorizedMint != nil:
		to, amount = &b.AuthorizedMint.To, b.AuthorizedMint.Amount
	case b.Burn != nil:
		from, amount, memo = &b.Burn.From, b.Burn.Amount, b.Burn.Memo
	case b.AuthorizedBurn != nil:
		from, amount = &b.AuthorizedBurn.From, b.AuthorizedBurn.Amount
	case b.Transfer != nil:
		from, to, amount, memo = &b.Transfer.From, &b.Transfer.To, b.Transfer.Amount, b.Transfer.Memo
	}
	in, out := w.Contains(to), w.Contains(from)
	if !in && !out {
		return nil
	}
	e := &Event{ID: fmt.Sprintf("%s/%d", ledger, b.Index), Ledger: ledger.String(), Symbol: token.Symbol, Decimals: &token.Decimals,
		Block: &b.Index, Hash: hex.EncodeToString(b.Hash[:]), Time: time.Unix(0, int64(b.Timestamp)).UTC().Format(time.RFC3339Nano), Kind: b.Kind,
		From: accountOf(from), To: accountOf(to), Amount: amount.String()}
	if memo != nil {
		e.Memo = hex.EncodeToString(*memo)
		if b.Mint != nil {
			e.Source = sourceOf(*memo)
		}
	}
	switch {
	case in && out:
		e.Type = Internal
	case in:
		e.Type = Deposit
	default:
		e.Type = Withdrawal
	}
	return e
}
