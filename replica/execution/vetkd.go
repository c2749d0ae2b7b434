package execution

import (
	"fusion/chainkey"
	"fusion/chainkey/vetkd"
	"fusion/ic/candid"
	"fusion/replica/management"
)

// The methods of verifiably encrypted threshold keys. What is public is computed here; encrypted keys come from the subnet.

func vetKey(id management.VetKDKeyID) chainkey.KeyID {
	return chainkey.KeyID{Algorithm: chainkey.Bls12381G2, Name: id.Name}
}

func (x *Executor) vetkdPublicKey(k *call, a *management.VetKDPublicKeyArgs) ([]byte, *Reject) {
	key, rej := x.chainKey(vetKey(a.KeyID), nil)
	if rej != nil {
		return nil, rej
	}
	x.used += vetkdWork
	owner := k.caller
	if a.CanisterID != nil {
		owner = *a.CanisterID
	}
	public, err := vetkd.DerivePublicKey(key.PublicKey, owner.Bytes(), a.Context)
	if err != nil {
		return nil, reject(errInvalidPayload, "Deriving from the key %s: %v", a.KeyID.Name, err)
	}
	return candid.MustMarshal(management.VetKDPublicKeyResult{PublicKey: public[:]}), nil
}

func (x *Executor) vetkdDeriveKey(k *call, a *management.VetKDDeriveKeyArgs) ([]byte, *Reject) {
	key, rej := x.chainKey(vetKey(a.KeyID), nil)
	if rej != nil {
		return nil, rej
	}
	if err := vetkd.CheckTransportKey(a.TransportPublicKey); err != nil {
		return nil, reject(errInvalidPayload, "transport_public_key: %v", err)
	}
	req := &DeriveRequest{Key: key.ID.Name, Context: a.Context, Input: a.Input, Transport: a.TransportPublicKey}
	if rej := x.payForKey(k, "vetkd_derive_key", &pendingCall{Kind: Derive, Derive: req}); rej != nil {
		return nil, rej
	}
	x.used += vetkdWork // when the subnet takes the request
	return nil, nil
}
