package eth

import (
	"encoding/hex"
	"errors"
	"fmt"

	secp "github.com/decred/dcrd/dcrec/secp256k1/v4"
	"golang.org/x/crypto/sha3"
)

// Errors of addresses; test with errors.Is.
var (
	ErrAddress   = errors.New("malformed ethereum address")
	ErrChecksum  = errors.New("ethereum address has a wrong checksum")
	ErrPublicKey = errors.New("malformed secp256k1 public key")
)

// Address is an account: the last 20 bytes of the Keccak-256 hash of its key.
type Address [20]byte

// Keccak256 is Ethereum's hash, which differs from SHA3-256 in its padding.
func Keccak256(parts ...[]byte) (out [32]byte) {
	h := sha3.NewLegacyKeccak256()
	for _, p := range parts {
		h.Write(p)
	}
	h.Sum(out[:0])
	return out
}

// AddressFromPubKey is the address of an ECDSA key, compressed or not (SEC 1).
func AddressFromPubKey(pub []byte) (Address, error) {
	key, err := secp.ParsePubKey(pub)
	if err != nil {
		return Address{}, fmt.Errorf("%w: %v", ErrPublicKey, err)
	}
	h := Keccak256(key.SerializeUncompressed()[1:])
	return Address(h[12:]), nil
}

// String is the address with the checksum of EIP-55, which is in the case of its letters.
func (a Address) String() string {
	text := []byte("0x" + hex.EncodeToString(a[:]))
	digits := text[2:]
	h := Keccak256(digits)
	for i, c := range digits {
		if c >= 'a' && h[i/2]>>(4*(1-i%2))&0xf >= 8 {
			digits[i] = c - 'a' + 'A'
		}
	}
	return string(text)
}

// ParseAddress reads 0x and 40 digits. Letters of both cases must be in the pattern of EIP-55; those of one case have no checksum.
func ParseAddress(text string) (a Address, err error) {
	if len(text) != 42 || text[0] != '0' || text[1] != 'x' {
		return a, fmt.Errorf("%w: want 0x and 40 hexadecimal digits", ErrAddress)
	}
	if _, err := hex.Decode(a[:], []byte(text[2:])); err != nil {
		return Address{}, fmt.Errorf("%w: %v", ErrAddress, err)
	}
	var lower, upper bool
	for _, c := range text[2:] {
		lower, upper = lower || c >= 'a', upper || c >= 'A' && c <= 'F'
	}
	if want := a.String(); lower && upper && text != want {
		return Address{}, fmt.Errorf("%w: it would be %s", ErrChecksum, want)
	}
	return a, nil
}

// IsZero says whether a is the address that nobody owns, which contracts use for "none" and for ETH.
func (a Address) IsZero() bool { return a == Address{} }

// MarshalText is String.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText is ParseAddress.
func (a *Address) UnmarshalText(text []byte) (err error) {
	*a, err = ParseAddress(string(text))
	return err
}
