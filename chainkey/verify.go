package chainkey

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"

	secp "github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// ErrSignature says that a signature does not verify, or is not in the one form that we make.
var ErrSignature = errors.New("invalid signature")

// Verify checks a signature by a key, as PublicKeySize tells its encoding. ECDSA signatures have their s in the lower half of the order
// (BIP 62), so that a request has one signature per nonce.
func Verify(a Algorithm, public []byte, m Message, signature [64]byte) error {
	if err := m.Check(a); err != nil {
		return err
	}
	if len(public) != a.PublicKeySize() {
		return fmt.Errorf("%w: a key of %d bytes", ErrSignature, len(public))
	}
	if a == Ed25519 {
		if !ed25519.Verify(public, m.Bytes, signature[:]) {
			return fmt.Errorf("%w: it is not by key %x", ErrSignature, public)
		}
		return nil
	}
	key, err := secp.ParsePubKey(public)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	if a == Bip340Secp256k1 {
		return verifyBip340(key, m, signature)
	}
	var r, s secp.ModNScalar
	if r.SetByteSlice(signature[:32]) || s.SetByteSlice(signature[32:]) || r.IsZero() || s.IsZero() {
		return fmt.Errorf("%w: r or s is out of range", ErrSignature)
	}
	if s.IsOverHalfOrder() {
		return fmt.Errorf("%w: s is in the upper half", ErrSignature)
	}
	if !ecdsa.NewSignature(&r, &s).Verify(m.Bytes, key) {
		return fmt.Errorf("%w: it is not by key %x", ErrSignature, public)
	}
	return nil
}

// verifyBip340 is the verification of BIP 340 for messages of any length, with the output key of BIP 341 where the message asks for it.
func verifyBip340(key *secp.PublicKey, m Message, signature [64]byte) error {
	var q secp.JacobianPoint
	key.AsJacobian(&q)
	EvenY(&q)
	if m.Taproot {
		tweak, err := TapTweak(&q.X, m.MerkleRoot)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrSignature, err)
		}
		var t secp.JacobianPoint
		secp.ScalarBaseMultNonConst(&tweak, &t)
		secp.AddNonConst(&q, &t, &q)
		q.ToAffine()
		EvenY(&q)
	}
	var r secp.FieldVal
	var s secp.ModNScalar
	if r.SetByteSlice(signature[:32]) || s.SetByteSlice(signature[32:]) {
		return fmt.Errorf("%w: r or s is out of range", ErrSignature)
	}
	e := Bip340Challenge(&r, &q.X, m.Bytes)
	var sG, eQ, point secp.JacobianPoint
	secp.ScalarBaseMultNonConst(&s, &sG)
	secp.ScalarMultNonConst(e.Negate(), &q, &eQ)
	secp.AddNonConst(&sG, &eQ, &point)
	if point.X.IsZero() && point.Y.IsZero() || point.Z.IsZero() {
		return fmt.Errorf("%w: its nonce is infinity", ErrSignature)
	}
	point.ToAffine()
	if point.Y.IsOdd() || !point.X.Equals(&r) {
		return fmt.Errorf("%w: it is not by key %x", ErrSignature, q.X.Bytes()[:])
	}
	return nil
}

// EvenY negates an affine point whose y is odd, as BIP 340 lifts x coordinates, and reports whether it did.
func EvenY(p *secp.JacobianPoint) bool {
	if !p.Y.IsOdd() {
		return false
	}
	p.Y.Negate(1).Normalize()
	return true
}

// taggedHash is the hash of BIP 340.
func taggedHash(tag string, parts ...[]byte) [32]byte {
	t := sha256.Sum256([]byte(tag))
	h := sha256.New()
	h.Write(t[:])
	h.Write(t[:])
	for _, p := range parts {
		h.Write(p)
	}
	return [32]byte(h.Sum(nil))
}

// Bip340Challenge is e of BIP 340: the tagged hash of the nonce's and the key's x coordinate and the message, modulo the order.
func Bip340Challenge(r, key *secp.FieldVal, message []byte) (e secp.ModNScalar) {
	h := taggedHash("BIP0340/challenge", r.Bytes()[:], key.Bytes()[:], message)
	e.SetBytes(&h)
	return e
}

// TapTweak is t of BIP 341: the tagged hash of the internal key's x coordinate and the merkle root, which may be empty.
func TapTweak(internal *secp.FieldVal, merkleRoot []byte) (t secp.ModNScalar, err error) {
	h := taggedHash("TapTweak", internal.Bytes()[:], merkleRoot)
	if t.SetBytes(&h) != 0 {
		return t, errors.New("the taproot tweak is not below the order") // by chance once in 2^128
	}
	return t, nil
}
