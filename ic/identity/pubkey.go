package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"fmt"
	"math/big"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	k1ecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	voi "github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
)

// SignatureSize is the size of a plain signature (Ed25519, ECDSA) in bytes; those of web authentication and of canisters are CBOR.
const SignatureSize = 64

// SubjectPublicKeyInfo up to the key itself. DER has one encoding per value, so a key is recognised by its first bytes.
var (
	// RFC 8410: OID 1.3.101.112, then a bit string of 32 bytes.
	prefixEd25519 = []byte{0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00}
	// RFC 5480: OIDs 1.2.840.10045.2.1 and 1.3.132.0.10, then a bit string of a 65-byte uncompressed point.
	prefixSecp256k1 = []byte{0x30, 0x56, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
		0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a, 0x03, 0x42, 0x00}
	// RFC 5480: OIDs 1.2.840.10045.2.1 and 1.2.840.10045.3.1.7, then a bit string of a 65-byte uncompressed point.
	prefixP256 = []byte{0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
		0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00}
)

// pointSize is the size of an uncompressed point of a 256-bit curve.
const pointSize = 65

// EncodeEd25519 returns the DER form of an Ed25519 key.
func EncodeEd25519(key ed25519.PublicKey) []byte {
	return append(append(make([]byte, 0, len(prefixEd25519)+len(key)), prefixEd25519...), key...)
}

// EncodeP256 returns the DER form of a P-256 key.
func EncodeP256(key *ecdsa.PublicKey) []byte {
	point, err := key.Bytes()
	if err != nil || len(point) != pointSize {
		panic(fmt.Sprintf("identity: not a key on p-256: %v", err))
	}
	return append(append(make([]byte, 0, len(prefixP256)+pointSize), prefixP256...), point...)
}

// EncodeSecp256k1 returns the DER form of a secp256k1 key.
func EncodeSecp256k1(key *secp256k1.PublicKey) []byte {
	return append(append(make([]byte, 0, len(prefixSecp256k1)+pointSize), prefixSecp256k1...), key.SerializeUncompressed()...)
}

// PublicKey verifies signatures of one key.
type PublicKey interface {
	// Verify returns an error that wraps ErrSignature unless sig is the key's signature of msg.
	Verify(msg, sig []byte) error
}

// ParsePublicKey reads a DER-encoded key: Ed25519, ECDSA on secp256k1 or P-256 with an uncompressed point, a COSE key of web
// authentication, or a canister's key, a *CanisterKey, which cannot verify anything by itself.
func ParsePublicKey(der []byte) (PublicKey, error) {
	if raw, ok := bytes.CutPrefix(der, prefixEd25519); ok {
		return newEd25519Key(raw)
	}
	if raw, ok := bytes.CutPrefix(der, prefixSecp256k1); ok {
		if len(raw) != pointSize || raw[0] != secp256k1.PubKeyFormatUncompressed {
			return nil, fmt.Errorf("%w: secp256k1 point is not in uncompressed form", ErrKey)
		}
		key, err := secp256k1.ParsePubKey(raw)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		return (*secp256k1Key)(key), nil
	}
	if raw, ok := bytes.CutPrefix(der, prefixP256); ok {
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), raw)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		return (*p256Key)(key), nil
	}
	kind, raw, err := unwrapDfinity(der)
	switch {
	case err != nil:
		return nil, err
	case kind == arcCOSE:
		return parseCOSE(raw)
	case kind == arcCanister:
		return parseCanisterKey(raw)
	}
	return nil, fmt.Errorf("%w: neither ed25519, secp256k1, p-256, cose nor a canister's", ErrUnsupported)
}

// ed25519Key has its point decompressed and precomputed, which is a quarter of a verification.
type ed25519Key voi.ExpandedPublicKey

func newEd25519Key(raw []byte) (*ed25519Key, error) {
	if len(raw) != voi.PublicKeySize {
		return nil, fmt.Errorf("%w: ed25519 key of %d bytes", ErrKey, len(raw))
	}
	key, err := voi.NewExpandedPublicKey(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: ed25519: %w", ErrKey, err)
	}
	return (*ed25519Key)(key), nil
}

// zip215 are the rules of replicas of the Internet Computer (dfinity/ic, packages/ic-ed25519): the cofactored equation, any
// encoding of R and of the key, and a canonical s. Unlike those of RFC 8032 they leave no room for implementations to differ.
var zip215 = &voi.Options{Verify: voi.VerifyOptionsZIP_215}

func (k *ed25519Key) Verify(msg, sig []byte) error {
	if len(sig) != SignatureSize {
		return fmt.Errorf("%w: ed25519 signature of %d bytes", ErrSignature, len(sig))
	}
	if !voi.VerifyExpandedWithOptions((*voi.ExpandedPublicKey)(k), msg, sig, zip215) {
		return fmt.Errorf("%w: ed25519", ErrSignature)
	}
	return nil
}

type secp256k1Key secp256k1.PublicKey

func (k *secp256k1Key) Verify(msg, sig []byte) error {
	if len(sig) != SignatureSize {
		return fmt.Errorf("%w: ecdsa signature of %d bytes", ErrSignature, len(sig))
	}
	var r, s secp256k1.ModNScalar
	if r.SetByteSlice(sig[:32]) || s.SetByteSlice(sig[32:]) {
		return fmt.Errorf("%w: secp256k1 scalar out of range", ErrSignature)
	}
	hash := sha256.Sum256(msg)
	if !k1ecdsa.NewSignature(&r, &s).Verify(hash[:], (*secp256k1.PublicKey)(k)) {
		return fmt.Errorf("%w: secp256k1", ErrSignature)
	}
	return nil
}

type p256Key ecdsa.PublicKey

func (k *p256Key) Verify(msg, sig []byte) error {
	if len(sig) != SignatureSize {
		return fmt.Errorf("%w: ecdsa signature of %d bytes", ErrSignature, len(sig))
	}
	hash := sha256.Sum256(msg)
	r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
	if !ecdsa.Verify((*ecdsa.PublicKey)(k), hash[:], r, s) {
		return fmt.Errorf("%w: p-256", ErrSignature)
	}
	return nil
}
