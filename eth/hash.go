package eth

import (
	"encoding/hex"
	"errors"
	"fmt"
)

// ErrHash is a text that is no hash; test with errors.Is.
var ErrHash = errors.New("malformed ethereum hash")

// Hash is 32 bytes: the Keccak-256 of a block's header or a transaction, a root, or a topic of a log.
type Hash [32]byte

// String is 0x and 64 digits in lower case.
func (h Hash) String() string { return "0x" + hex.EncodeToString(h[:]) }

// IsZero says whether all bytes are zero.
func (h Hash) IsZero() bool { return h == Hash{} }

// ParseHash reads 0x and 64 digits of either case.
func ParseHash(text string) (h Hash, err error) {
	if len(text) != 66 || text[0] != '0' || text[1] != 'x' {
		return h, fmt.Errorf("%w: want 0x and 64 hexadecimal digits", ErrHash)
	}
	if _, err := hex.Decode(h[:], []byte(text[2:])); err != nil {
		return Hash{}, fmt.Errorf("%w: %v", ErrHash, err)
	}
	return h, nil
}

// MarshalText is String for encoders.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText is ParseHash for decoders.
func (h *Hash) UnmarshalText(text []byte) (err error) {
	*h, err = ParseHash(string(text))
	return err
}
