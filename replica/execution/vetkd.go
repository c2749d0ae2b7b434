package execution

import (
	"strings"

	"fusion/chainkey/vetkd"
	"fusion/ic/candid"
	"fusion/replica/management"
)

// The methods of verifiably encrypted threshold keys. What is public is computed here; encrypted keys come from the subnet.

func (x *Executor) vetKey(id management.VetKDKeyID) (*VetKey, *Reject) {
	for i := range x.vetKeys {
		if x.vetKeys[i].Name == id.Name {
			return &x.vetKeys[i], nil
		}
	}
	names := make([]string, len(x.vetKeys))
	for i := range x.vetKeys {
		names[i] = x.vetKeys[i].Name
	}
	return nil, reject(errInvalidPayload, "Requested unknown threshold key: vetkd:Bls12_381_G2:%s, this subnet has: [%s]", id.Name, strings.Join(names, ", "))
}

func (x *Executor) vetkdPublicKey(k *call, a *management.VetKDPublicKeyArgs) ([]byte, *Reject) {
	key, rej := x.vetKey(a.KeyID)
	if rej != nil {
		return nil, rej
	}
	owner := k.caller
	if a.CanisterID != nil {
		owner = *a.CanisterID
	}
	public, err := vetkd.DerivePublicKey(key.PublicKey[:], owner.Bytes(), a.Context)
	if err != nil {
		return nil, reject(errInvalidPayload, "Deriving from the key %s: %v", a.KeyID.Name, err)
	}
	return candid.MustMarshal(management.VetKDPublicKeyResult{PublicKey: public[:]}), nil
}

func (x *Executor) vetkdDeriveKey(k *call, a *management.VetKDDeriveKeyArgs) ([]byte, *Reject) {
	key, rej := x.vetKey(a.KeyID)
	if rej != nil {
		return nil, rej
	}
	if err := vetkd.CheckTransportKey(a.TransportPublicKey); err != nil {
		return nil, reject(errInvalidPayload, "transport_public_key: %v", err)
	}
	cost := x.price.sign() // the same as a signature's
	if k.Cycles.Cmp(cost) < 0 {
		return nil, reject(errCanisterRejected, "vetkd_derive_key request sent with %s cycles, but %s cycles are required", k.Cycles, cost)
	}
	req := &DeriveRequest{Key: key.Name, Context: a.Context, Input: a.Input, Transport: a.TransportPublicKey}
	x.openSystemCall(&pendingCall{Kind: Derive, Caller: k.Caller, Origin: k.Origin, Cycles: k.Cycles.Sub(cost), Fee: cost, Derive: req})
	k.pending = true
	return nil, nil
}
