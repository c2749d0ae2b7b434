package principal

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

// MaxLen is the longest principal in bytes (interface specification, section "Principals").
const MaxLen = 29

// Errors returned by this package; test with errors.Is.
var (
	ErrTooLong   = errors.New("principal longer than 29 bytes")
	ErrMalformed = errors.New("malformed principal text")
	ErrChecksum  = errors.New("principal checksum does not match")
)

// Principal is an identifier of up to 29 bytes. It is comparable and usable as a map key. The zero value is the
// management canister, aaaaa-aa.
type Principal struct {
	n uint8
	b [MaxLen]byte
}

var (
	// Management is the principal of the management canister (the empty blob, aaaaa-aa).
	Management = Principal{}
	// Anonymous is the sender of unsigned requests (the single byte 0x04, 2vxsx-fae).
	Anonymous = Principal{n: 1, b: [MaxLen]byte{4}}
)

var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// FromBytes makes a principal of at most 29 bytes. The slice is copied.
func FromBytes(b []byte) (Principal, error) {
	if len(b) > MaxLen {
		return Principal{}, fmt.Errorf("%w: %d bytes", ErrTooLong, len(b))
	}
	p := Principal{n: uint8(len(b))}
	copy(p.b[:], b)
	return p, nil
}

// MustFromBytes is FromBytes for constants; it panics when b is too long.
func MustFromBytes(b []byte) Principal {
	p, err := FromBytes(b)
	if err != nil {
		panic(err)
	}
	return p
}

// FromUint64 returns the id of the n-th canister of a subnet's canister range: eight big-endian bytes followed by 0x01 0x01,
// the form the Internet Computer gives its canisters.
func FromUint64(n uint64) Principal {
	var b [10]byte
	binary.BigEndian.PutUint64(b[:8], n)
	b[8], b[9] = 1, 1
	return MustFromBytes(b[:])
}

// Uint64 is the inverse of FromUint64; ok is false for principals of another form.
func (p Principal) Uint64() (n uint64, ok bool) {
	if p.n != 10 || p.b[8] != 1 || p.b[9] != 1 {
		return 0, false
	}
	return binary.BigEndian.Uint64(p.b[:8]), true
}

// SelfAuthenticating derives the principal of a DER-encoded public key: SHA-224 of the key followed by 0x02.
func SelfAuthenticating(derPublicKey []byte) Principal {
	sum := sha256.Sum224(derPublicKey)
	p := Principal{n: sha256.Size224 + 1}
	copy(p.b[:], sum[:])
	p.b[sha256.Size224] = 2
	return p
}

// Bytes returns a copy of the raw bytes.
func (p Principal) Bytes() []byte { return append([]byte(nil), p.b[:p.n]...) }

// Append appends the raw bytes to dst without allocating a copy.
func (p Principal) Append(dst []byte) []byte { return append(dst, p.b[:p.n]...) }

// Len is the number of raw bytes, 0 to 29.
func (p Principal) Len() int { return int(p.n) }

// IsAnonymous reports whether p is the anonymous sender.
func (p Principal) IsAnonymous() bool { return p == Anonymous }

// IsManagement reports whether p is the management canister.
func (p Principal) IsManagement() bool { return p.n == 0 }

// Compare orders principals by their raw bytes, as canister ranges do.
func (p Principal) Compare(q Principal) int { return bytes.Compare(p.b[:p.n], q.b[:q.n]) }

// String returns the textual form: CRC-32 and bytes in lower-case base32, grouped by five.
func (p Principal) String() string {
	var raw [4 + MaxLen]byte
	binary.BigEndian.PutUint32(raw[:4], crc32.ChecksumIEEE(p.b[:p.n]))
	copy(raw[4:], p.b[:p.n])
	var enc [(4 + MaxLen + 4) / 5 * 8]byte
	s := enc[:encoding.EncodedLen(4+int(p.n))]
	encoding.Encode(s, raw[:4+int(p.n)])
	var grouped [len(enc) + len(enc)/5]byte
	out := grouped[:0]
	for ; len(s) > 5; s = s[5:] {
		out = append(append(out, s[:5]...), '-')
	}
	return string(append(out, s...))
}

// Parse reads the canonical textual form; anything else (upper case, misplaced dashes, a wrong checksum) is refused.
func Parse(text string) (Principal, error) {
	if len(text) > 63 {
		return Principal{}, fmt.Errorf("%w: %d characters", ErrTooLong, len(text))
	}
	raw, err := encoding.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(raw) < 4 {
		return Principal{}, fmt.Errorf("%w: %q", ErrMalformed, text)
	}
	p, err := FromBytes(raw[4:])
	if err != nil {
		return Principal{}, err
	}
	if crc32.ChecksumIEEE(raw[4:]) != binary.BigEndian.Uint32(raw[:4]) {
		return Principal{}, fmt.Errorf("%w: %q", ErrChecksum, text)
	}
	if p.String() != text {
		return Principal{}, fmt.Errorf("%w: %q is not in canonical form, want %q", ErrMalformed, text, p)
	}
	return p, nil
}

// MustParse is Parse for constants; it panics on bad text.
func MustParse(text string) Principal {
	p, err := Parse(text)
	if err != nil {
		panic(err)
	}
	return p
}

// MarshalText implements encoding.TextMarshaler.
func (p Principal) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Principal) UnmarshalText(text []byte) error {
	q, err := Parse(string(text))
	if err != nil {
		return err
	}
	*p = q
	return nil
}
