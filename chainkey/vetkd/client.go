package vetkd

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"io"

	blst "github.com/supranational/blst/bindings/go"
)

// TransportKey is the receiver's secret for one request.
type TransportKey struct{ secret blst.Scalar }

// NewTransportKey draws a key.
func NewTransportKey(rand io.Reader) (*TransportKey, error) {
	var seed [SecretSize]byte
	defer clear(seed[:])
	if _, err := io.ReadFull(rand, seed[:]); err != nil {
		return nil, fmt.Errorf("drawing a transport key: %w", err)
	}
	s := blst.KeyGen(seed[:])
	if s == nil {
		return nil, fmt.Errorf("%w: drawing it failed", ErrTransportKey)
	}
	defer s.Zeroize()
	return &TransportKey{*s}, nil
}

// ParseTransportKey reads a secret as Secret returns it: 32 bytes, big-endian, above zero and below the group's order.
func ParseTransportKey(b []byte) (*TransportKey, error) {
	s, err := readScalar(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTransportKey, err)
	}
	defer wipe(s)
	return &TransportKey{*s}, nil
}

// Secret returns the secret, for a receiver that must survive a restart between request and answer.
func (k *TransportKey) Secret() [SecretSize]byte { return [SecretSize]byte(k.secret.Serialize()) }

// Public is what goes into the request.
func (k *TransportKey) Public() [TransportKeySize]byte {
	return [TransportKeySize]byte(blst.P1Generator().Mult(&k.secret).ToAffine().Compress())
}

// Wipe overwrites the secret.
func (k *TransportKey) Wipe() { wipe(&k.secret) }

// String hides the secret from logs.
func (k *TransportKey) String() string { return "vetkd transport key" }

// GoString hides the secret from %#v.
func (k *TransportKey) GoString() string { return k.String() }

// Key is a vetKey, a point of G1. It is a secret unless it was meant to be a signature.
type Key [KeySize]byte

// Decrypt opens an encrypted key and checks it against the canister's derived public key and the input, so that a canister or
// a replica that answers with another key is found out.
func (k *TransportKey) Decrypt(key, publicKey, input []byte) (Key, error) {
	e, ok := readEncrypted(key)
	if !ok {
		return Key{}, fmt.Errorf("%w of %d bytes: its points are not of their groups", ErrEncryptedKey, len(key))
	}
	var sum blst.P1
	sum.FromAffine(e.c3)
	out := Key(sum.SubAssign(mulG1(e.c1, &k.secret)).ToAffine().Compress())
	if err := Verify(publicKey, input, out); err != nil {
		return Key{}, fmt.Errorf("%w: it does not open to the key of the input: %w", ErrEncryptedKey, err)
	}
	return out, nil
}

// Verify checks a key against the derived public key and the input that it is for.
func Verify(publicKey, input []byte, k Key) error {
	public, ok := readG2(publicKey)
	if !ok {
		return fmt.Errorf("%w of %d bytes", ErrPublicKey, len(publicKey))
	}
	point, ok := readG1(k[:])
	if !ok || !blst.Fp12FinalVerify(blst.Fp12MillerLoop(g2Generator, point), blst.Fp12MillerLoop(public, message(public, input))) {
		return ErrKey
	}
	return nil
}

// Symmetric derives key material from the key, as clients of the Internet Computer do: HKDF with SHA-256 (RFC 5869), no salt, and the
// domain as info. The domain names the application and what it uses the bytes for.
func (k Key) Symmetric(domain string, size int) ([]byte, error) {
	return hkdf.Key(sha256.New, k[:], nil, domain, size)
}

// String hides the key from logs.
func (k Key) String() string { return "vetkey" }

// GoString hides the key from %#v.
func (k Key) GoString() string { return k.String() }
