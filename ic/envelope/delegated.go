package envelope

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"fusion/ic/identity"
	"fusion/ic/principal"
)

// Delegated is an identity that signs in a user's name: with a key to which the user's key has delegated, directly or by a chain.
// Only Sign and Delegate of this package make sense of it, because its signatures need the chain beside them.
type Delegated struct {
	user   []byte // DER
	sender principal.Principal
	chain  []SignedDelegation
	key    identity.Identity
	info   *SenderInfo
}

var _ identity.Identity = (*Delegated)(nil)

// NewDelegated makes an identity of a user's DER-encoded key, a chain that begins there, and the key where it ends. It checks
// only that the chain's end fits: whoever receives a request checks the rest.
func NewDelegated(user []byte, chain []SignedDelegation, key identity.Identity) (*Delegated, error) {
	switch {
	case len(chain) == 0:
		return nil, fmt.Errorf("%w: the chain is empty", ErrDelegation)
	case !bytes.Equal(chain[len(chain)-1].Delegation.Pubkey, key.PublicKeyDER()):
		return nil, fmt.Errorf("%w: the chain ends at another key than that of %s", ErrDelegation, key.Sender())
	}
	return &Delegated{user: user, sender: principal.SelfAuthenticating(user), chain: slices.Clone(chain), key: key}, nil
}

// DelegateTo lets a key sign for an identity until a time, at given canisters or, if none are named, at all. The identity may be
// delegated itself, which makes the chain longer.
func DelegateTo(from, to identity.Identity, until time.Time, targets ...principal.Principal) (*Delegated, error) {
	d, err := Delegate(from, Delegation{Pubkey: to.PublicKeyDER(), Expiration: uint64(until.UnixNano()), Targets: targets})
	if err != nil {
		return nil, err
	}
	var chain []SignedDelegation
	if by, ok := from.(*Delegated); ok {
		chain = slices.Clone(by.chain)
	}
	return NewDelegated(from.PublicKeyDER(), append(chain, d), to)
}

// WithInfo returns the identity with what a canister vouches for about the user.
func (d *Delegated) WithInfo(i *SenderInfo) *Delegated {
	out := *d
	out.info = i
	return &out
}

// Sender implements identity.Identity: it is the user.
func (d *Delegated) Sender() principal.Principal { return d.sender }

// PublicKeyDER implements identity.Identity: it is the user's key.
func (d *Delegated) PublicKeyDER() []byte { return d.user }

// Sign implements identity.Identity with the key at the chain's end.
func (d *Delegated) Sign(msg []byte) ([]byte, error) { return d.key.Sign(msg) }

// Chain returns the delegations, which must not be changed.
func (d *Delegated) Chain() []SignedDelegation { return d.chain }
