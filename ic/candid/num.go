package candid

import (
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"strings"
)

// maxNumberBytes bounds the encoded length of one nat or int (about 57,000 decimal digits). The specification has no bound; without one
// a message of megabytes costs its reader quadratic time when the number is shown.
const maxNumberBytes = 1 << 14

// Nat is an unbounded natural number, Candid's nat. The zero value is 0. Values below 2^64 need no allocation. A Nat is immutable.
type Nat struct {
	lo  uint64
	big *big.Int // non-nil exactly when the value does not fit lo
}

// NatFromUint64 returns u as a Nat.
func NatFromUint64(u uint64) Nat { return Nat{lo: u} }

// NatFromBig returns b, which is copied. It panics when b is negative: check outside input with ParseNat or Sign first.
func NatFromBig(b *big.Int) Nat {
	if b.Sign() < 0 {
		panic("candid: negative number given to NatFromBig")
	}
	if b.IsUint64() {
		return Nat{lo: b.Uint64()}
	}
	return Nat{big: new(big.Int).Set(b)}
}

// NatFromUint128 returns hi·2^64 + lo.
func NatFromUint128(hi, lo uint64) Nat {
	if hi == 0 {
		return Nat{lo: lo}
	}
	b := new(big.Int).SetUint64(hi)
	return Nat{big: b.Lsh(b, 64).Or(b, new(big.Int).SetUint64(lo))}
}

// ParseNat reads a decimal or 0x-prefixed number; underscores between digits are allowed.
func ParseNat(s string) (Nat, error) {
	i, err := ParseInt(s)
	if err != nil {
		return Nat{}, err
	}
	n, ok := i.Nat()
	if !ok {
		return Nat{}, fmt.Errorf("%w: %q is negative, want a nat", ErrSyntax, s)
	}
	return n, nil
}

// Uint64 returns the value; ok is false when it is 2^64 or more.
func (n Nat) Uint64() (v uint64, ok bool) { return n.lo, n.big == nil }

// Uint128 returns the value as two words; ok is false when it is 2^128 or more.
func (n Nat) Uint128() (hi, lo uint64, ok bool) {
	if n.big == nil {
		return 0, n.lo, true
	}
	if n.big.BitLen() > 128 {
		return 0, 0, false
	}
	return new(big.Int).Rsh(n.big, 64).Uint64(), new(big.Int).And(n.big, new(big.Int).SetUint64(math.MaxUint64)).Uint64(), true
}

// Big returns the value as a new big.Int.
func (n Nat) Big() *big.Int {
	if n.big != nil {
		return new(big.Int).Set(n.big)
	}
	return new(big.Int).SetUint64(n.lo)
}

// Int returns n as an Int.
func (n Nat) Int() Int {
	if n.big == nil && n.lo <= math.MaxInt64 {
		return Int{lo: int64(n.lo)}
	}
	return Int{big: n.Big()}
}

// IsZero reports whether n is 0.
func (n Nat) IsZero() bool { return n.big == nil && n.lo == 0 }

// Cmp returns -1, 0 or 1.
func (n Nat) Cmp(m Nat) int {
	switch {
	case n.big == nil && m.big == nil:
		if n.lo < m.lo {
			return -1
		}
		if n.lo > m.lo {
			return 1
		}
		return 0
	case n.big == nil:
		return -1
	case m.big == nil:
		return 1
	}
	return n.big.Cmp(m.big)
}

// Add returns n + m.
func (n Nat) Add(m Nat) Nat {
	if n.big == nil && m.big == nil {
		if s, c := bits.Add64(n.lo, m.lo, 0); c == 0 {
			return Nat{lo: s}
		}
	}
	return NatFromBig(new(big.Int).Add(n.Big(), m.Big()))
}

// Sub returns n - m; ok is false when m is greater than n.
func (n Nat) Sub(m Nat) (diff Nat, ok bool) {
	if n.Cmp(m) < 0 {
		return Nat{}, false
	}
	if n.big == nil {
		return Nat{lo: n.lo - m.lo}, true
	}
	return NatFromBig(new(big.Int).Sub(n.big, m.Big())), true
}

// String returns the decimal form without separators.
func (n Nat) String() string {
	if n.big != nil {
		return n.big.String()
	}
	return formatUint(n.lo)
}

// Int is an unbounded integer, Candid's int. The zero value is 0. Values that fit int64 need no allocation. An Int is immutable.
type Int struct {
	lo  int64
	big *big.Int // non-nil exactly when the value does not fit lo
}

// IntFromInt64 returns i as an Int.
func IntFromInt64(i int64) Int { return Int{lo: i} }

// IntFromBig returns b, which is copied.
func IntFromBig(b *big.Int) Int {
	if b.IsInt64() {
		return Int{lo: b.Int64()}
	}
	return Int{big: new(big.Int).Set(b)}
}

// ParseInt reads an optionally signed decimal or 0x-prefixed number; underscores between digits are allowed.
func ParseInt(s string) (Int, error) {
	if len(s) > 4*maxNumberBytes {
		return Int{}, fmt.Errorf("%w: number of %d characters", ErrLimit, len(s))
	}
	t := strings.TrimPrefix(s, "+")
	neg := strings.HasPrefix(t, "-")
	t = strings.TrimPrefix(t, "-")
	base := 10
	if strings.HasPrefix(t, "0x") || strings.HasPrefix(t, "0X") {
		base, t = 16, t[2:]
	}
	if t == "" || t[0] == '_' || t[0] == '-' || t[0] == '+' || t[len(t)-1] == '_' {
		return Int{}, fmt.Errorf("%w: %q is not a number", ErrSyntax, s)
	}
	b, ok := new(big.Int).SetString(strings.ReplaceAll(t, "_", ""), base)
	if !ok {
		return Int{}, fmt.Errorf("%w: %q is not a number", ErrSyntax, s)
	}
	if neg {
		b.Neg(b)
	}
	return IntFromBig(b), nil
}

// Int64 returns the value; ok is false when it does not fit.
func (i Int) Int64() (v int64, ok bool) { return i.lo, i.big == nil }

// Nat returns i as a Nat; ok is false when i is negative.
func (i Int) Nat() (n Nat, ok bool) {
	if i.Sign() < 0 {
		return Nat{}, false
	}
	if i.big != nil {
		return NatFromBig(i.big), true
	}
	return Nat{lo: uint64(i.lo)}, true
}

// Big returns the value as a new big.Int.
func (i Int) Big() *big.Int {
	if i.big != nil {
		return new(big.Int).Set(i.big)
	}
	return big.NewInt(i.lo)
}

// Sign returns -1, 0 or 1.
func (i Int) Sign() int {
	switch {
	case i.big != nil:
		return i.big.Sign()
	case i.lo < 0:
		return -1
	case i.lo > 0:
		return 1
	}
	return 0
}

// IsZero reports whether i is 0.
func (i Int) IsZero() bool { return i.big == nil && i.lo == 0 }

// Cmp returns -1, 0 or 1.
func (i Int) Cmp(j Int) int {
	if i.big == nil && j.big == nil {
		switch {
		case i.lo < j.lo:
			return -1
		case i.lo > j.lo:
			return 1
		}
		return 0
	}
	return i.Big().Cmp(j.Big())
}

// Add returns i + j.
func (i Int) Add(j Int) Int {
	if i.big == nil && j.big == nil {
		s := i.lo + j.lo
		if (s > i.lo) == (j.lo > 0) {
			return Int{lo: s}
		}
	}
	return IntFromBig(new(big.Int).Add(i.Big(), j.Big()))
}

// Sub returns i - j.
func (i Int) Sub(j Int) Int { return IntFromBig(new(big.Int).Sub(i.Big(), j.Big())) }

// String returns the decimal form without separators.
func (i Int) String() string {
	if i.big != nil {
		return i.big.String()
	}
	if i.lo < 0 {
		return "-" + formatUint(uint64(-i.lo)) // wraps rightly for the smallest int64
	}
	return formatUint(uint64(i.lo))
}

func formatUint(u uint64) string {
	var b [20]byte
	i := len(b)
	for {
		i--
		b[i] = byte('0' + u%10)
		if u /= 10; u == 0 {
			return string(b[i:])
		}
	}
}

// appendUleb appends u in unsigned LEB128.
func appendUleb(dst []byte, u uint64) []byte {
	for u >= 0x80 {
		dst = append(dst, byte(u)|0x80)
		u >>= 7
	}
	return append(dst, byte(u))
}

// appendSleb appends i in signed LEB128.
func appendSleb(dst []byte, i int64) []byte {
	for {
		b := byte(i & 0x7f)
		i >>= 7
		if i == 0 && b&0x40 == 0 || i == -1 && b&0x40 != 0 {
			return append(dst, b)
		}
		dst = append(dst, b|0x80)
	}
}

func appendNat(dst []byte, n Nat) []byte {
	if n.big == nil {
		return appendUleb(dst, n.lo)
	}
	return appendGroups(dst, n.big.Bytes(), (n.big.BitLen()+6)/7, 0)
}

func appendInt(dst []byte, i Int) []byte {
	if i.big == nil {
		return appendSleb(dst, i.lo)
	}
	if i.big.Sign() > 0 {
		return appendGroups(dst, i.big.Bytes(), i.big.BitLen()/7+1, 0) // one bit more, for the sign
	}
	// Two's complement of a negative number is the complement of |i| - 1.
	m := new(big.Int).Neg(i.big)
	m.Sub(m, big.NewInt(1))
	return appendGroups(dst, m.Bytes(), m.BitLen()/7+1, 0x7f)
}

// appendGroups writes count groups of seven bits of the big-endian number be, each xored with flip.
func appendGroups(dst, be []byte, count int, flip byte) []byte {
	var acc uint
	var have int
	next := len(be) - 1
	for k := range count {
		for have < 7 && next >= 0 {
			acc |= uint(be[next]) << have
			have += 8
			next--
		}
		g := byte(acc)&0x7f ^ flip
		acc >>= 7
		have -= 7
		if k < count-1 {
			g |= 0x80
		}
		dst = append(dst, g)
	}
	return dst
}

// groupsToBig reads LEB128 groups (continuation bits ignored, low group first) as a number; signed selects two's complement.
func groupsToBig(groups []byte, signed bool) *big.Int {
	be := make([]byte, (len(groups)*7+7)/8)
	var acc uint
	var have int
	next := len(be) - 1
	for _, g := range groups {
		acc |= uint(g&0x7f) << have
		have += 7
		if have >= 8 {
			be[next] = byte(acc)
			next--
			acc >>= 8
			have -= 8
		}
	}
	if have > 0 && next >= 0 {
		be[next] = byte(acc)
	}
	b := new(big.Int).SetBytes(be)
	if signed && groups[len(groups)-1]&0x40 != 0 {
		b.Sub(b, new(big.Int).Lsh(big.NewInt(1), uint(len(groups)*7)))
	}
	return b
}
