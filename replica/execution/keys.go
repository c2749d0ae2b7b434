package execution

import (
	"slices"
	"strings"

	"fusion/chainkey"
	"fusion/chainkey/derive"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/management"
)

// The management canister's methods on threshold keys. Public keys are computed here; a signature is a system call.

// findKey returns an active key, or nil.
func findKey(keys []ChainKey, id chainkey.KeyID) *ChainKey {
	if i := slices.IndexFunc(keys, func(k ChainKey) bool { return k.ID == id }); i >= 0 {
		return &keys[i]
	}
	return nil
}

func (x *Executor) chainKey(id chainkey.KeyID, path [][]byte) (*ChainKey, *Reject) {
	if len(path) > maxPath {
		return nil, reject(errInvalidPayload, "A derivation path of %d elements, at most %d are allowed", len(path), maxPath)
	}
	if k := findKey(x.keys, id); k != nil {
		return k, nil
	}
	var names []string
	for _, k := range x.keys {
		names = append(names, k.ID.String())
	}
	return nil, reject(errInvalidPayload, "Requested unknown threshold key: %s, this subnet has: [%s]", id, strings.Join(names, ", "))
}

// publicKey replies with the key of a canister, the caller unless another is named, at a path.
func (x *Executor) publicKey(k *call, id chainkey.KeyID, canister *principal.Principal, path [][]byte) ([]byte, *Reject) {
	key, rej := x.chainKey(id, path)
	if rej != nil {
		return nil, rej
	}
	owner := k.caller
	if canister != nil {
		owner = *canister
	}
	x.used += pathWork * uint64(len(path)+1)
	child, err := chainkey.Derive(id.Algorithm, key.PublicKey, key.ChainCode, derive.Path(owner.Bytes(), path...))
	if err != nil {
		return nil, reject(errInvalidPayload, "Deriving the key %s: %v", id, err)
	}
	return candid.MustMarshal(management.PublicKeyResult{PublicKey: child.PublicKey, ChainCode: child.ChainCode[:]}), nil
}

// requestSignature opens the system call of a signature, which the caller pays for.
func (x *Executor) requestSignature(k *call, method string, req SignRequest) ([]byte, *Reject) {
	if _, rej := x.chainKey(req.Key, req.Path); rej != nil {
		return nil, rej
	}
	if err := req.Message.Check(req.Key.Algorithm); err != nil {
		return nil, reject(errInvalidPayload, "%s: %v", method, err)
	}
	return nil, x.payForKey(k, method, &pendingCall{Kind: Sign, Sign: &req})
}

// payForKey opens the system call of a signature or of a derived key, which cost the same.
func (x *Executor) payForKey(k *call, method string, p *pendingCall) *Reject {
	cost := x.prices().sign()
	if k.Cycles.Cmp(cost) < 0 {
		return reject(errCanisterRejected, "%s request sent with %s cycles, but %s cycles are required", method, k.Cycles, cost)
	}
	p.Caller, p.Origin, p.Cycles, p.Fee = k.Caller, k.Origin, k.Cycles.Sub(cost), cost
	x.openSystemCall(p)
	k.pending = true
	return nil
}

func ecdsaKey(id management.EcdsaKeyID) chainkey.KeyID {
	return chainkey.KeyID{Algorithm: chainkey.EcdsaSecp256k1, Name: id.Name}
}

func schnorrKey(id management.SchnorrKeyID) chainkey.KeyID {
	if id.Algorithm.Ed25519 != nil {
		return chainkey.KeyID{Algorithm: chainkey.Ed25519, Name: id.Name}
	}
	return chainkey.KeyID{Algorithm: chainkey.Bip340Secp256k1, Name: id.Name}
}

func (x *Executor) ecdsaPublicKey(k *call, a *management.EcdsaPublicKeyArgs) ([]byte, *Reject) {
	return x.publicKey(k, ecdsaKey(a.KeyID), a.CanisterID, a.DerivationPath)
}

func (x *Executor) signWithEcdsa(k *call, a *management.SignWithEcdsaArgs) ([]byte, *Reject) {
	return x.requestSignature(k, "sign_with_ecdsa", SignRequest{Key: ecdsaKey(a.KeyID), Path: a.DerivationPath, Message: chainkey.Message{Bytes: a.MessageHash}})
}

func (x *Executor) schnorrPublicKey(k *call, a *management.SchnorrPublicKeyArgs) ([]byte, *Reject) {
	return x.publicKey(k, schnorrKey(a.KeyID), a.CanisterID, a.DerivationPath)
}

func (x *Executor) signWithSchnorr(k *call, a *management.SignWithSchnorrArgs) ([]byte, *Reject) {
	m := chainkey.Message{Bytes: a.Message}
	if a.Aux != nil { // bip341 is the only kind there is
		m.Taproot, m.MerkleRoot = true, a.Aux.Bip341.MerkleRootHash
	}
	return x.requestSignature(k, "sign_with_schnorr", SignRequest{Key: schnorrKey(a.KeyID), Path: a.DerivationPath, Message: m})
}

// signatureCost serves cost_sign_with_*: the price goes to dst unless the curve or algorithm (1) or the name (2) is not known.
func signatureCost(algorithms ...chainkey.Algorithm) func(e *exec, a []uint64) uint64 {
	return func(e *exec, a []uint64) uint64 {
		name := e.read(a[0], a[1])
		if a[2] >= uint64(len(algorithms)) {
			return 1
		}
		if findKey(e.keys, chainkey.KeyID{Algorithm: algorithms[a[2]], Name: string(name)}) == nil {
			return 2
		}
		e.writeCycles(a[3], e.price.sign())
		return 0
	}
}
