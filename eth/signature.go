package eth

import (
	"errors"
	"fmt"
	"strconv"

	secp "github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// ErrSignature is a signature that is none, or not by the key in question; test with errors.Is.
var ErrSignature = errors.New("bad signature")

// Signature is an ECDSA signature from which the signer's key follows. S is at most half the group order (EIP-2).
type Signature struct {
	R, S [32]byte
	V    byte // 0 or 1: whether the y of the point behind R is odd
}

// NewSignature makes a signature of digest from r‖s as threshold signing yields it and the signer's key (SEC 1): s is lowered and V
// found by recovery. It fails unless rs is a signature of digest by that key.
func NewSignature(digest [32]byte, rs [64]byte, pub []byte) (Signature, error) {
	want, err := secp.ParsePubKey(pub)
	if err != nil {
		return Signature{}, fmt.Errorf("%w: %v", ErrPublicKey, err)
	}
	var s secp.ModNScalar
	if s.SetByteSlice(rs[32:]) || s.IsZero() {
		return Signature{}, fmt.Errorf("%w: s lies outside of the group order", ErrSignature)
	}
	if s.IsOverHalfOrder() {
		s.Negate()
	}
	sig := Signature{R: [32]byte(rs[:32]), S: s.Bytes()}
	for sig.V = range byte(2) {
		if got, err := sig.recover(digest); err == nil && got.IsEqual(want) {
			return sig, nil
		}
	}
	return Signature{}, fmt.Errorf("%w: it is not by the given key", ErrSignature)
}

// Bytes is r‖s‖v with v of 27 or 28, the form of wallets, of ecrecover in contracts and of personal_sign.
func (s Signature) Bytes() (out [65]byte) {
	copy(out[:32], s.R[:])
	copy(out[32:64], s.S[:])
	out[64] = 27 + s.V
	return out
}

// ParseSignature reads r‖s‖v with v of 27 or 28, or 0 or 1 as some wallets have it.
func ParseSignature(b []byte) (Signature, error) {
	if len(b) != 65 {
		return Signature{}, fmt.Errorf("%w: %d bytes, want 65", ErrSignature, len(b))
	}
	s := Signature{R: [32]byte(b[:32]), S: [32]byte(b[32:64]), V: b[64]}
	if s.V >= 27 {
		s.V -= 27
	}
	return s, s.check()
}

func (s Signature) check() error {
	var r, low secp.ModNScalar
	switch {
	case s.V > 1:
		return fmt.Errorf("%w: recovery id %s, want 0 or 1", ErrSignature, strconv.Itoa(int(s.V)))
	case r.SetByteSlice(s.R[:]) || r.IsZero():
		return fmt.Errorf("%w: r lies outside of the group order", ErrSignature)
	case low.SetByteSlice(s.S[:]) || low.IsZero():
		return fmt.Errorf("%w: s lies outside of the group order", ErrSignature)
	case low.IsOverHalfOrder():
		return fmt.Errorf("%w: s is above half the group order (EIP-2)", ErrSignature)
	}
	return nil
}

func (s Signature) recover(digest [32]byte) (*secp.PublicKey, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	var compact [65]byte
	compact[0] = 27 + s.V
	copy(compact[1:33], s.R[:])
	copy(compact[33:], s.S[:])
	key, _, err := ecdsa.RecoverCompact(compact[:], digest[:])
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrSignature, err)
	}
	return key, nil
}

// Recover is the address whose key signed digest. Every well-formed signature has a signer, so compare the address.
func (s Signature) Recover(digest [32]byte) (Address, error) {
	key, err := s.recover(digest)
	if err != nil {
		return Address{}, err
	}
	h := Keccak256(key.SerializeUncompressed()[1:])
	return Address(h[12:]), nil
}

// PersonalDigest is what a wallet signs for a message of text or bytes (EIP-191, version 0x45, personal_sign).
func PersonalDigest(message []byte) [32]byte {
	return Keccak256([]byte("\x19Ethereum Signed Message:\n"), strconv.AppendInt(nil, int64(len(message)), 10), message)
}
