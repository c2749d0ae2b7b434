package icrc

import (
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	"fusion/ic/principal"
)

// Account owns tokens: a principal and one of its subaccounts.
type Account struct {
	Owner      principal.Principal `candid:"owner"`
	Subaccount *[]byte             `candid:"subaccount"`
}

// ErrSubaccount is returned for a subaccount that does not have 32 bytes.
var ErrSubaccount = errors.New("a subaccount has 32 bytes")

// account is an Account in comparable form. The default subaccount is all zeros (ICRC-1).
type account struct {
	owner principal.Principal
	sub   [32]byte
}

// maxKey is the longest key of an account.
const maxKey = 1 + principal.MaxLen + 1 + 32

func parseAccount(a Account) (account, error) { return accountOf(a.Owner, a.Subaccount) }

func accountOf(owner principal.Principal, sub *[]byte) (account, error) {
	out := account{owner: owner}
	if sub != nil {
		if len(*sub) != 32 {
			return out, fmt.Errorf("%w, not %d", ErrSubaccount, len(*sub))
		}
		copy(out.sub[:], *sub)
	}
	return out, nil
}

func (a *account) isDefault() bool {
	for i := len(a.sub) - 1; i >= 0; i-- {
		if a.sub[i] != 0 {
			return false
		}
	}
	return true
}

// public is the inverse of parseAccount; the default subaccount is left out.
func (a *account) public() Account {
	out := Account{Owner: a.owner}
	if !a.isDefault() {
		sub := append([]byte(nil), a.sub[:]...)
		out.Subaccount = &sub
	}
	return out
}

// appendKey appends the account as a map key. No key is a prefix of another, and all accounts of an owner are neighbours.
func (a *account) appendKey(dst []byte) []byte {
	dst = a.owner.Append(append(dst, byte(a.owner.Len())))
	if a.isDefault() {
		return append(dst, 0)
	}
	return append(append(dst, 1), a.sub[:]...)
}

// readKey reads one account from a key and returns the rest.
func readKey(key []byte) (a account, rest []byte, err error) {
	if len(key) == 0 || len(key) < 2+int(key[0]) {
		return a, nil, fmt.Errorf("account key of %d bytes", len(key))
	}
	n := int(key[0])
	if a.owner, err = principal.FromBytes(key[1 : 1+n]); err != nil {
		return a, nil, err
	}
	has, rest := key[1+n], key[2+n:]
	if has == 0 {
		return a, rest, nil
	}
	if len(rest) < 32 {
		return a, nil, fmt.Errorf("account key without subaccount")
	}
	copy(a.sub[:], rest)
	return a, rest[32:], nil
}

// String is the textual form of ICRC-1, which wallets show and users compare: the owner, and with a subaccount other than the default one a checksum
// and its digits.
func (a account) String() string {
	if a.isDefault() {
		return a.owner.String()
	}
	sum := crc32.NewIEEE()
	sum.Write(a.owner.Bytes())
	sum.Write(a.sub[:])
	return fmt.Sprintf("%v-%s.%s", a.owner, strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum.Sum(nil))),
		strings.TrimLeft(hex.EncodeToString(a.sub[:]), "0"))
}

// String is the textual form of ICRC-1; an account with a subaccount of another length than 32 bytes has none.
func (a Account) String() string {
	acc, err := parseAccount(a)
	if err != nil {
		return fmt.Sprintf("%v with a subaccount of %d bytes", a.Owner, len(*a.Subaccount))
	}
	return acc.String()
}
