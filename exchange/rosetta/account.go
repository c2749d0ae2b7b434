package rosetta

import (
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"

	"github.com/coinbase/rosetta-sdk-go/types"

	"fusion/ckledger/icrc"
	"fusion/ic/principal"
)

// Blockchain is the name of the blockchain in network identifiers; the network is the ledger's canister id.
const Blockchain = "Internet Computer"

func networkOf(ledger principal.Principal) *types.NetworkIdentifier {
	return &types.NetworkIdentifier{Blockchain: Blockchain, Network: ledger.String()}
}

// identify shows an account: the owner is the address, a subaccount other than the default one is in hexadecimal.
func identify(a icrc.Account) *types.AccountIdentifier {
	out := &types.AccountIdentifier{Address: a.Owner.String()}
	if a = normal(a); a.Subaccount != nil {
		out.SubAccount = &types.SubAccountIdentifier{Address: hex.EncodeToString(*a.Subaccount)}
	}
	return out
}

// normal leaves the default subaccount out.
func normal(a icrc.Account) icrc.Account {
	if a.Subaccount != nil {
		for _, b := range *a.Subaccount {
			if b != 0 {
				return a
			}
		}
		a.Subaccount = nil
	}
	return a
}

// parseAccount is the inverse of identify.
func parseAccount(id *types.AccountIdentifier) (a icrc.Account, err error) {
	if id == nil {
		return a, fmt.Errorf("%w: there is none", ErrAccount)
	}
	if a.Owner, err = principal.Parse(id.Address); err != nil {
		return a, fmt.Errorf("%w: the address is no principal: %w", ErrAccount, err)
	}
	if id.SubAccount == nil {
		return a, nil
	}
	sub, err := parseSubaccount(id.SubAccount.Address)
	if err != nil {
		return a, err
	}
	a.Subaccount = &sub
	return normal(a), nil
}

func parseSubaccount(text string) ([]byte, error) {
	if len(text) != 64 {
		return nil, fmt.Errorf("%w: a sub account has 64 hexadecimal digits, not %d", ErrAccount, len(text))
	}
	sub, err := hex.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: the sub account is not hexadecimal", ErrAccount)
	}
	return sub, nil
}

// same compares accounts, which are in normal form.
func same(a, b icrc.Account) bool {
	if a.Owner != b.Owner || (a.Subaccount == nil) != (b.Subaccount == nil) {
		return false
	}
	return a.Subaccount == nil || string(*a.Subaccount) == string(*b.Subaccount)
}

// maxDigits is the length of 2^256 in decimal.
const maxDigits = 78

// parseAmount reads an amount of the token with its sign.
func parseAmount(a *types.Amount, currency *types.Currency) (v icrc.Amount, negative bool, err error) {
	if a == nil {
		return v, false, fmt.Errorf("%w: an operation without an amount", ErrIntent)
	}
	if a.Currency == nil || a.Currency.Symbol != currency.Symbol || a.Currency.Decimals != currency.Decimals {
		return v, false, fmt.Errorf("%w: the ledger's currency is %s with %d decimals", ErrIntent, currency.Symbol, currency.Decimals)
	}
	digits, negative := strings.CutPrefix(a.Value, "-")
	n, ok := new(big.Int), len(digits) > 0 && len(digits) <= maxDigits
	for _, c := range digits {
		ok = ok && '0' <= c && c <= '9'
	}
	if ok {
		_, ok = n.SetString(digits, 10)
	}
	if !ok || n.BitLen() > 256 {
		return v, false, fmt.Errorf("%w: %.80q is no amount of at most 256 bits", ErrIntent, a.Value)
	}
	return amountOfBig(n), negative, nil
}

func amountOfBig(n *big.Int) icrc.Amount {
	b := n.Bytes()
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return icrc.AmountOfBytes(b)
}
