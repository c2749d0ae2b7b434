package certificate

import (
	"bytes"
	"fmt"

	blst "github.com/supranational/blst/bindings/go"

	"fusion/ic/hashtree"
)

// Sizes of compressed points in bytes.
const (
	KeySize       = 96 // in G2
	SignatureSize = 48 // in G1
)

// Ciphersuite is the domain separation tag of hashing to the curve (draft-irtf-cfrg-bls-signature-04, section 4.2.1).
const Ciphersuite = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"

var ciphersuite = []byte(Ciphersuite)

// derPrefix is a SubjectPublicKeyInfo of algorithm 1.3.6.1.4.1.44668.5.3.1.2.1 and curve 1.3.6.1.4.1.44668.5.3.2.1 up to the 96
// bytes of the key (section "Delegation").
var derPrefix = []byte{0x30, 0x81, 0x82, 0x30, 0x1d,
	0x06, 0x0d, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03, 0x01, 0x02, 0x01,
	0x06, 0x0c, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03, 0x02, 0x01,
	0x03, 0x61, 0x00}

// sepStateRoot is the domain separator of certificate signatures.
const sepStateRoot = "\x0dic-state-root"

// WrapKey returns the DER form of a compressed key.
func WrapKey(key [KeySize]byte) []byte { return append(bytes.Clone(derPrefix), key[:]...) }

// UnwrapKey returns the compressed key of its DER form. It does not check that the key is a point.
func UnwrapKey(der []byte) (key [KeySize]byte, err error) {
	raw, ok := bytes.CutPrefix(der, derPrefix)
	if !ok || len(raw) != KeySize {
		return key, fmt.Errorf("%w: %d bytes that are not a der-encoded bls12-381 key", ErrKey, len(der))
	}
	return [KeySize]byte(raw), nil
}

// PublicKey is a valid BLS key: a point of G2 other than the identity.
type PublicKey struct {
	raw   [KeySize]byte
	point blst.P2Affine
}

// ParsePublicKey reads a DER-encoded key and checks that it is valid.
func ParsePublicKey(der []byte) (*PublicKey, error) {
	raw, err := UnwrapKey(der)
	if err != nil {
		return nil, err
	}
	k := &PublicKey{raw: raw}
	if k.point.Uncompress(raw[:]) == nil || !k.point.KeyValidate() {
		return nil, fmt.Errorf("%w: not a point of the group", ErrKey)
	}
	return k, nil
}

// DER returns the DER form of the key.
func (k *PublicKey) DER() []byte { return WrapKey(k.raw) }

// Verify reports whether sig is the key's signature of msg, which includes its domain separator.
func (k *PublicKey) Verify(msg, sig []byte) bool {
	if len(sig) != SignatureSize {
		return false
	}
	var s blst.P1Affine
	return s.Uncompress(sig) != nil && s.Verify(true, &k.point, false, msg, ciphersuite)
}

// StateRootMessage is what a subnet signs of the root of its state tree.
func StateRootMessage(root hashtree.Hash) []byte {
	return append(append(make([]byte, 0, len(sepStateRoot)+len(root)), sepStateRoot...), root[:]...)
}
