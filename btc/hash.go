package btc

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"golang.org/x/crypto/ripemd160" //nolint:staticcheck // an address is a RIPEMD-160 hash; there is no choice
)

// Hash is a double SHA-256: the name of a block, a transaction or a node of a Merkle tree, in internal byte order.
type Hash [32]byte

// ErrHash means that text is not 64 hexadecimal digits.
var ErrHash = errors.New("malformed hash")

// String prints the hash reversed, as explorers and RPC interfaces show it.
func (h Hash) String() string {
	for i, j := 0, len(h)-1; i < j; i, j = i+1, j-1 {
		h[i], h[j] = h[j], h[i]
	}
	return hex.EncodeToString(h[:])
}

// ParseHash reads what String prints.
func ParseHash(text string) (Hash, error) {
	var h Hash
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(h) {
		return h, fmt.Errorf("%w %q: want 64 hexadecimal digits", ErrHash, clip(text))
	}
	for i := range b {
		h[len(h)-1-i] = b[i]
	}
	return h, nil
}

// IsZero tells whether all bytes are zero, as in a coinbase's outpoint.
func (h Hash) IsZero() bool { return h == Hash{} }

// DoubleSHA256 hashes twice with SHA-256.
func DoubleSHA256(b []byte) Hash {
	first := sha256.Sum256(b)
	return sha256.Sum256(first[:])
}

// Hash160 is RIPEMD-160 over SHA-256.
func Hash160(b []byte) [20]byte {
	sum := sha256.Sum256(b)
	r := ripemd160.New()
	r.Write(sum[:])
	var out [20]byte
	r.Sum(out[:0])
	return out
}

// TaggedHash is the tagged hash of BIP340.
func TaggedHash(tag string, parts ...[]byte) [32]byte {
	t := sha256.Sum256([]byte(tag))
	h := sha256.New()
	h.Write(t[:])
	h.Write(t[:])
	for _, p := range parts {
		h.Write(p)
	}
	var out [32]byte
	h.Sum(out[:0])
	return out
}

// clip bounds what an error message repeats of its input.
func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}

func sha256Sum(b []byte) [32]byte { return sha256.Sum256(b) }
