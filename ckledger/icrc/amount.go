package icrc

import (
	"encoding/binary"
	"math/big"
	"math/bits"

	"fusion/ic/candid"
)

// Amount is a number of the token's smallest units: an unsigned 256-bit integer, least significant word first. It holds any amount
// of any ERC-20, and costs little more than a uint64 where numbers are small.
type Amount [4]uint64

// MaxAmount is the largest amount.
var MaxAmount = Amount{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}

// AmountOf makes an amount that fits in 64 bits.
func AmountOf(n uint64) Amount { return Amount{n} }

// AmountOfNat converts a Candid number; ok is false when it needs more than 256 bits.
func AmountOfNat(n candid.Nat) (a Amount, ok bool) {
	if v, small := n.Uint64(); small {
		return Amount{v}, true
	}
	b := n.Big()
	if b.BitLen() > 256 {
		return Amount{}, false
	}
	var buf [32]byte
	b.FillBytes(buf[:])
	for i := range a {
		a[i] = binary.BigEndian.Uint64(buf[24-8*i:])
	}
	return a, true
}

// Nat converts to a Candid number.
func (a Amount) Nat() candid.Nat {
	if a[1]|a[2]|a[3] == 0 {
		return candid.NatFromUint64(a[0])
	}
	return candid.NatFromBig(a.Big())
}

// Big converts to a new big integer.
func (a Amount) Big() *big.Int {
	var buf [32]byte
	for i, w := range a {
		binary.BigEndian.PutUint64(buf[24-8*i:], w)
	}
	return new(big.Int).SetBytes(buf[:])
}

func (a Amount) String() string { return a.Big().String() }

// IsZero reports whether the amount is zero.
func (a Amount) IsZero() bool { return a[0]|a[1]|a[2]|a[3] == 0 }

// Cmp is -1, 0 or 1 as a is less than, equal to or more than b.
func (a Amount) Cmp(b Amount) int {
	for i := 3; i >= 0; i-- {
		switch {
		case a[i] < b[i]:
			return -1
		case a[i] > b[i]:
			return 1
		}
	}
	return 0
}

// Add returns a + b; ok is false on overflow.
func (a Amount) Add(b Amount) (sum Amount, ok bool) {
	var c uint64
	for i := range a {
		sum[i], c = bits.Add64(a[i], b[i], c)
	}
	return sum, c == 0
}

// Sub returns a - b; ok is false when b is more than a.
func (a Amount) Sub(b Amount) (diff Amount, ok bool) {
	var c uint64
	for i := range a {
		diff[i], c = bits.Sub64(a[i], b[i], c)
	}
	return diff, c == 0
}

// appendLEB appends the amount in unsigned LEB128, the form in which naturals are hashed and stored.
func (a Amount) appendLEB(dst []byte) []byte {
	for a[1]|a[2]|a[3] != 0 {
		dst = append(dst, byte(a[0])|0x80)
		for i := range a {
			a[i] >>= 7
			if i < 3 {
				a[i] |= a[i+1] << 57
			}
		}
	}
	return binary.AppendUvarint(dst, a[0])
}

// AppendBytes appends the amount without leading zeros, least significant byte first: what balances hold.
func (a Amount) AppendBytes(dst []byte) []byte {
	start := len(dst)
	for _, w := range a {
		dst = binary.LittleEndian.AppendUint64(dst, w)
	}
	for len(dst) > start && dst[len(dst)-1] == 0 {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// AmountOfBytes is the inverse of AppendBytes.
func AmountOfBytes(b []byte) (a Amount) {
	var buf [32]byte
	copy(buf[:], b)
	for i := range a {
		a[i] = binary.LittleEndian.Uint64(buf[8*i:])
	}
	return a
}
