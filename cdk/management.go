package cdk

import (
	"fmt"

	"fusion/ic/candid"
	"fusion/ic/principal"
)

// ECDSACurve is the variant of curves; secp256k1 is the only one the interface has.
type ECDSACurve struct {
	candid.Variant
	Secp256k1 *candid.Null `candid:"secp256k1"`
}

// ECDSAKeyID names a key of the subnet, for example "dfx_test_key" or "key_1".
type ECDSAKeyID struct {
	Curve ECDSACurve `candid:"curve"`
	Name  string     `candid:"name"`
}

// Secp256k1Key is the id of the secp256k1 key with this name.
func Secp256k1Key(name string) ECDSAKeyID {
	return ECDSAKeyID{Curve: ECDSACurve{Secp256k1: candid.Unit}, Name: name}
}

// ECDSAPublicKeyArgs is the argument of ecdsa_public_key; CanisterID nil means the calling canister.
type ECDSAPublicKeyArgs struct {
	CanisterID     *principal.Principal `candid:"canister_id"`
	DerivationPath [][]byte             `candid:"derivation_path"`
	KeyID          ECDSAKeyID           `candid:"key_id"`
}

// ECDSAPublicKey is a SEC1 compressed public key (33 bytes) and its chain code (32 bytes).
type ECDSAPublicKey struct {
	PublicKey []byte `candid:"public_key"`
	ChainCode []byte `candid:"chain_code"`
}

// SignWithECDSAArgs is the argument of sign_with_ecdsa; the hash has 32 bytes.
type SignWithECDSAArgs struct {
	MessageHash    []byte     `candid:"message_hash"`
	DerivationPath [][]byte   `candid:"derivation_path"`
	KeyID          ECDSAKeyID `candid:"key_id"`
}

type signature struct {
	Signature []byte `candid:"signature"`
}

// ECDSAPublicKey asks the subnet for the public key under a derivation path.
func (c *Canister) ECDSAPublicKey(args ECDSAPublicKeyArgs, done func(ECDSAPublicKey, error)) {
	Then(c.Call(principal.Management, "ecdsa_public_key", args), done)
}

// SignWithECDSA asks the subnet for a threshold signature, 64 bytes r‖s, and pays with the given cycles. A *RejectError with
// any code leaves it open whether a signature exists: treat what was asked to be signed as signed for ever.
func (c *Canister) SignWithECDSA(args SignWithECDSAArgs, pay Cycles, done func(sig []byte, err error)) {
	c.sign("sign_with_ecdsa", args, pay, done)
}

// SchnorrAlgorithm is the variant of threshold Schnorr algorithms.
type SchnorrAlgorithm struct {
	candid.Variant
	Bip340Secp256k1 *candid.Null `candid:"bip340secp256k1"`
	Ed25519         *candid.Null `candid:"ed25519"`
}

// SchnorrKeyID names a key of the subnet; keys of different algorithms may have the same name.
type SchnorrKeyID struct {
	Algorithm SchnorrAlgorithm `candid:"algorithm"`
	Name      string           `candid:"name"`
}

// Bip340Key is the id of the BIP 340 key with this name.
func Bip340Key(name string) SchnorrKeyID {
	return SchnorrKeyID{SchnorrAlgorithm{Bip340Secp256k1: candid.Unit}, name}
}

// Ed25519Key is the id of the Ed25519 key with this name.
func Ed25519Key(name string) SchnorrKeyID {
	return SchnorrKeyID{SchnorrAlgorithm{Ed25519: candid.Unit}, name}
}

// SchnorrPublicKeyArgs is the argument of schnorr_public_key; CanisterID nil means the calling canister.
type SchnorrPublicKeyArgs struct {
	CanisterID     *principal.Principal `candid:"canister_id"`
	DerivationPath [][]byte             `candid:"derivation_path"`
	KeyID          SchnorrKeyID         `candid:"key_id"`
}

// SchnorrPublicKey is a public key, SEC1 compressed (33 bytes) or of Ed25519 (32 bytes), and its chain code (32 bytes).
type SchnorrPublicKey struct {
	PublicKey []byte `candid:"public_key"`
	ChainCode []byte `candid:"chain_code"`
}

// Bip341 asks for a signature of the taproot output key, which commits to a merkle root of 32 bytes or, with none, to no script.
type Bip341 struct {
	MerkleRootHash []byte `candid:"merkle_root_hash"`
}

// SchnorrAux is the variant of what a signature may depend on beside key and message.
type SchnorrAux struct {
	candid.Variant
	Bip341 *Bip341 `candid:"bip341"`
}

// SignWithSchnorrArgs is the argument of sign_with_schnorr. The message is signed as it is, not a hash of it.
type SignWithSchnorrArgs struct {
	Message        []byte       `candid:"message"`
	DerivationPath [][]byte     `candid:"derivation_path"`
	KeyID          SchnorrKeyID `candid:"key_id"`
	Aux            *SchnorrAux  `candid:"aux"`
}

// SchnorrPublicKey asks the subnet for the public key under a derivation path.
func (c *Canister) SchnorrPublicKey(args SchnorrPublicKeyArgs, done func(SchnorrPublicKey, error)) {
	Then(c.Call(principal.Management, "schnorr_public_key", args), done)
}

// SignWithSchnorr asks the subnet for a threshold signature of 64 bytes and pays with the given cycles. As with SignWithECDSA, a
// rejection leaves it open whether a signature exists.
func (c *Canister) SignWithSchnorr(args SignWithSchnorrArgs, pay Cycles, done func(sig []byte, err error)) {
	c.sign("sign_with_schnorr", args, pay, done)
}

// sign asks for a signature of 64 bytes.
func (c *Canister) sign(method string, args any, pay Cycles, done func(sig []byte, err error)) {
	Then(c.Call(principal.Management, method, args).WithCycles(pay), func(s signature, err error) {
		if err == nil && len(s.Signature) != 64 {
			err = fmt.Errorf("%s: signature of %d bytes, want 64", method, len(s.Signature))
		}
		done(s.Signature, err)
	})
}

// VetKDCurve is the variant of curves of vetkd; bls12_381_g2 is the only one the interface has.
type VetKDCurve struct {
	candid.Variant
	Bls12381G2 *candid.Null `candid:"bls12_381_g2"`
}

// VetKDKeyID names a key of the subnet that secret keys are derived from, for example "dfx_test_key" or "key_1".
type VetKDKeyID struct {
	Curve VetKDCurve `candid:"curve"`
	Name  string     `candid:"name"`
}

// Bls12381G2Key is the id of the bls12_381_g2 key with this name.
func Bls12381G2Key(name string) VetKDKeyID {
	return VetKDKeyID{Curve: VetKDCurve{Bls12381G2: candid.Unit}, Name: name}
}

// VetKDPublicKeyArgs is the argument of vetkd_public_key; CanisterID nil means the calling canister.
type VetKDPublicKeyArgs struct {
	CanisterID *principal.Principal `candid:"canister_id"`
	Context    []byte               `candid:"context"`
	KeyID      VetKDKeyID           `candid:"key_id"`
}

// VetKDDeriveKeyArgs is the argument of vetkd_derive_key. The key is that of Input, in a domain that Context separates from the canister's
// others; TransportPublicKey (48 bytes) is of whoever will open it.
type VetKDDeriveKeyArgs struct {
	Input              []byte     `candid:"input"`
	Context            []byte     `candid:"context"`
	TransportPublicKey []byte     `candid:"transport_public_key"`
	KeyID              VetKDKeyID `candid:"key_id"`
}

// VetKDPublicKey asks the subnet for the public key, 96 bytes, that a canister's keys verify under.
func (c *Canister) VetKDPublicKey(args VetKDPublicKeyArgs, done func(key []byte, err error)) {
	type result struct {
		PublicKey []byte `candid:"public_key"`
	}
	Then(c.Call(principal.Management, "vetkd_public_key", args), func(r result, err error) {
		if err == nil && len(r.PublicKey) != 96 {
			err = fmt.Errorf("vetkd_public_key: key of %d bytes, want 96", len(r.PublicKey))
		}
		done(r.PublicKey, err)
	})
}

// VetKDDeriveKey asks the subnet for a secret key, 192 bytes encrypted to the transport key, and pays with the given cycles. The canister decides
// who learns which key: what Input and TransportPublicKey a caller may choose, it has to check.
func (c *Canister) VetKDDeriveKey(args VetKDDeriveKeyArgs, pay Cycles, done func(encrypted []byte, err error)) {
	type result struct {
		EncryptedKey []byte `candid:"encrypted_key"`
	}
	Then(c.Call(principal.Management, "vetkd_derive_key", args).WithCycles(pay), func(r result, err error) {
		if err == nil && len(r.EncryptedKey) != 192 {
			err = fmt.Errorf("vetkd_derive_key: encrypted key of %d bytes, want 192", len(r.EncryptedKey))
		}
		done(r.EncryptedKey, err)
	})
}

// RawRand asks the subnet for 32 bytes that nobody could know when the call was made. It is the only source of secrets: the
// random numbers of the Go runtime are predictable in a canister.
func (c *Canister) RawRand(done func([32]byte, error)) {
	Then(c.Call(principal.Management, "raw_rand"), func(b []byte, err error) {
		if err == nil && len(b) != 32 {
			err = fmt.Errorf("raw_rand: %d bytes, want 32", len(b))
		}
		var out [32]byte
		copy(out[:], b)
		done(out, err)
	})
}
