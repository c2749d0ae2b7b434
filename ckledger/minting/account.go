package minting

import (
	"fmt"

	"fusion/ic/principal"
)

// Account is an account of a ledger. The zero subaccount is the default one.
type Account struct {
	Owner      principal.Principal
	Subaccount [32]byte
}

// NewAccount makes an account; a nil subaccount is the default one, any other must have 32 bytes.
func NewAccount(owner principal.Principal, subaccount *[]byte) (Account, error) {
	a := Account{Owner: owner}
	if subaccount == nil {
		return a, nil
	}
	if len(*subaccount) != 32 {
		return a, fmt.Errorf("subaccount of %d bytes, want 32", len(*subaccount))
	}
	copy(a.Subaccount[:], *subaccount)
	return a, nil
}

// Sub returns the subaccount for the ledger's interface: nil for the default one.
func (a Account) Sub() *[]byte {
	if a.Subaccount == [32]byte{} {
		return nil
	}
	s := append([]byte(nil), a.Subaccount[:]...)
	return &s
}

// Path is the derivation path of the account's key below the minter canister's key: the schema number 1, the owner, the subaccount.
func (a Account) Path() [][]byte {
	return [][]byte{{1}, a.Owner.Bytes(), append([]byte(nil), a.Subaccount[:]...)}
}
