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
)

// SignatureSize is the size of a signature of every scheme here, in bytes.
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
	// Object identifiers of keys that the Internet Computer knows and this package does not: DER-wrapped COSE (WebAuthn),
	// 1.3.6.1.4.1.56387.1.1, and canister signatures, 1.3.6.1.4.1.56387.1.2.
	oidDfinity = []byte{0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xb8, 0x43, 0x01}
)

// pointSize is the size of an uncompressed point of a 256-bit curve.
const pointSize = 65

// EncodeEd25519 returns the DER form of an Ed25519 key.
func EncodeEd25519(key ed25519.PublicKey) []byte {
	return append(append(make([]byte, 0, len(prefixEd25519)+len(key)), prefixEd25519...), key...)
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

// ParsePublicKey reads a DER-encoded key: Ed25519, or ECDSA on secp256k1 or P-256 with an uncompressed point.
func ParsePublicKey(der []byte) (PublicKey, error) {
	if raw, ok := bytes.CutPrefix(der, prefixEd25519); ok {
		if len(raw) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("%w: ed25519 key of %d bytes", ErrKey, len(raw))
		}
		return ed25519Key(raw), nil
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
	if i := bytes.Index(der[:min(len(der), 32)], oidDfinity); i >= 0 && i+len(oidDfinity) < len(der) {
		switch der[i+len(oidDfinity)] {
		case 1:
			return nil, fmt.Errorf("%w: web authentication (COSE)", ErrUnsupported)
		case 2:
			return nil, fmt.Errorf("%w: canister signature", ErrUnsupported)
		}
	}
	return nil, fmt.Errorf("%w: neither ed25519, secp256k1 nor p-256", ErrUnsupported)
}

type ed25519Key ed25519.PublicKey

func (k ed25519Key) Verify(msg, sig []byte) error {
	if len(sig) != SignatureSize {
		return fmt.Errorf("%w: ed25519 signature of %d bytes", ErrSignature, len(sig))
	}
	if !ed25519.Verify(ed25519.PublicKey(k), msg, sig) {
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
