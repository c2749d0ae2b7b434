package chainkey

import (
	"errors"
	"fmt"

	secp "github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// ErrSignature says that a signature does not verify, or has its s in the upper half.
var ErrSignature = errors.New("invalid signature")

// Verify checks an ECDSA signature r ‖ s over a 32-byte hash against a SEC1 compressed secp256k1 key. s must be in the lower half
// of the order (BIP 62), so that a request has one signature per nonce.
func Verify(public [33]byte, hash [32]byte, signature [64]byte) error {
	key, err := secp.ParsePubKey(public[:])
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	var r, s secp.ModNScalar
	if r.SetByteSlice(signature[:32]) || s.SetByteSlice(signature[32:]) || r.IsZero() || s.IsZero() {
		return fmt.Errorf("%w: r or s is out of range", ErrSignature)
	}
	if s.IsOverHalfOrder() {
		return fmt.Errorf("%w: s is in the upper half", ErrSignature)
	}
	if !ecdsa.NewSignature(&r, &s).Verify(hash[:], key) {
		return fmt.Errorf("%w: it is not by key %x", ErrSignature, public)
	}
	return nil
}
