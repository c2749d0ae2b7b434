package chainkey

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"fusion/chainkey/derive"
)

// Algorithm is what kind of signatures a key makes, by the name used in genesis documents and status.
type Algorithm string

// The algorithms that sign. All their signatures have 64 bytes.
const (
	EcdsaSecp256k1  Algorithm = "ecdsa_secp256k1"  // r ‖ s, big-endian, s in the lower half (BIP 62)
	Bip340Secp256k1 Algorithm = "bip340_secp256k1" // x(R) ‖ s, big-endian (BIP 340)
	Ed25519         Algorithm = "ed25519"          // R ‖ s, s little-endian (RFC 8032)
)

// Bls12381G2 is that of keys from which secret keys are derived (package vetkd). It signs nothing.
const Bls12381G2 Algorithm = "bls12_381_g2"

// Algorithms lists those that sign.
var Algorithms = []Algorithm{EcdsaSecp256k1, Bip340Secp256k1, Ed25519}

// ErrAlgorithm says that there is no such algorithm, or that it cannot do what was asked.
var ErrAlgorithm = errors.New("unknown or unsuitable algorithm")

// Valid reports whether the algorithm exists.
func (a Algorithm) Valid() bool { return a.Signs() || a == Bls12381G2 }

// Signs reports whether the algorithm exists and makes signatures.
func (a Algorithm) Signs() bool { return a == EcdsaSecp256k1 || a == Bip340Secp256k1 || a == Ed25519 }

// PublicKeySize is the length of a public key in bytes: SEC1 compressed, as RFC 8032 encodes it, or a compressed point of G2.
func (a Algorithm) PublicKeySize() int {
	switch a {
	case Ed25519:
		return 32
	case Bls12381G2:
		return 96
	}
	return 33
}

// KeyID names a key of a subnet: keys of different algorithms may have the same name.
type KeyID struct {
	Algorithm Algorithm
	Name      string // what canisters ask for, such as "key_1"
}

// String is the algorithm and the name with a colon between them.
func (k KeyID) String() string { return string(k.Algorithm) + ":" + k.Name }

// ParseKeyID reads what String writes.
func ParseKeyID(s string) (KeyID, error) {
	a, name, ok := strings.Cut(s, ":")
	k := KeyID{Algorithm(a), name}
	if !ok || !k.Algorithm.Valid() || name == "" {
		return KeyID{}, fmt.Errorf("%w: key %q, want one of %v or %s, a colon and a name", ErrAlgorithm, s, Algorithms, Bls12381G2)
	}
	return k, nil
}

// MarshalText implements encoding.TextMarshaler.
func (k KeyID) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *KeyID) UnmarshalText(b []byte) (err error) {
	*k, err = ParseKeyID(string(b))
	return err
}

// Message is what a signature is of.
type Message struct {
	_ struct{} `cbor:",toarray"`
	// Bytes are the message; for ECDSA its hash, which has 32 bytes.
	Bytes []byte
	// Taproot, for BIP 340 only, signs with the derived key's output key of BIP 341, which commits to MerkleRoot: 32 bytes, or
	// none for an output that can be spent by key alone.
	Taproot    bool
	MerkleRoot []byte
}

// HashMessage is the message of an ECDSA signature.
func HashMessage(hash [32]byte) Message { return Message{Bytes: hash[:]} }

// Check says why the algorithm cannot sign the message.
func (m Message) Check(a Algorithm) error {
	switch {
	case !a.Signs():
		return fmt.Errorf("%w: %q", ErrAlgorithm, a)
	case a == EcdsaSecp256k1 && len(m.Bytes) != 32:
		return fmt.Errorf("%w: %s signs hashes of 32 bytes, not %d bytes", ErrAlgorithm, a, len(m.Bytes))
	case a != Bip340Secp256k1 && (m.Taproot || len(m.MerkleRoot) != 0):
		return fmt.Errorf("%w: %s has no taproot keys", ErrAlgorithm, a)
	case !m.Taproot && len(m.MerkleRoot) != 0 || m.Taproot && len(m.MerkleRoot) != 0 && len(m.MerkleRoot) != 32:
		return fmt.Errorf("%w: a merkle root of %d bytes, want 32 or none", ErrAlgorithm, len(m.MerkleRoot))
	}
	return nil
}

// Digest is a hash of the message in all its parts, for binding a session to it.
func (m Message) Digest() [32]byte {
	h := sha256.New()
	h.Write([]byte("fusion/chainkey/message/v1\x00"))
	flag := byte(0)
	if m.Taproot {
		flag = 1
	}
	h.Write([]byte{flag})
	for _, part := range [][]byte{m.MerkleRoot, m.Bytes} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	return [32]byte(h.Sum(nil))
}

// Equal compares all parts.
func (m Message) Equal(o Message) bool {
	return m.Taproot == o.Taproot && bytes.Equal(m.Bytes, o.Bytes) && bytes.Equal(m.MerkleRoot, o.MerkleRoot)
}

// Child is a derived key.
type Child struct {
	PublicKey []byte
	ChainCode [32]byte
	// Tweak is what the secret key grows by, in the curve's own byte order: child = parent + Tweak·G.
	Tweak [32]byte
}

// Derive returns the key at path below (public, chainCode); see package derive.
func Derive(a Algorithm, public []byte, chainCode [32]byte, path [][]byte) (Child, error) {
	if !a.Signs() || len(public) != a.PublicKeySize() {
		return Child{}, fmt.Errorf("%w: %q with a key of %d bytes", ErrAlgorithm, a, len(public))
	}
	if a == Ed25519 {
		c, err := derive.Ed25519([32]byte(public), chainCode, path)
		return Child{c.PublicKey[:], c.ChainCode, c.Tweak}, err
	}
	c, err := derive.Secp256k1([33]byte(public), chainCode, path)
	return Child{c.PublicKey[:], c.ChainCode, c.Tweak}, err
}
