package execution

import (
	"encoding/binary"
	"math/big"
	"math/bits"
)

// Cycles is an amount of cycles, an unsigned 128-bit number. The zero value is no cycles.
type Cycles struct {
	_  struct{} `cbor:",toarray"`
	Hi uint64
	Lo uint64
}

// MaxCycles is the largest amount.
var MaxCycles = Cycles{Hi: ^uint64(0), Lo: ^uint64(0)}

// CyclesOf returns n cycles.
func CyclesOf(n uint64) Cycles { return Cycles{Lo: n} }

// CyclesFromBig converts b; ok is false when b is negative or needs more than 128 bits.
func CyclesFromBig(b *big.Int) (c Cycles, ok bool) {
	if b.Sign() < 0 || b.BitLen() > 128 {
		return Cycles{}, false
	}
	var raw [16]byte
	b.FillBytes(raw[:])
	return Cycles{Hi: binary.BigEndian.Uint64(raw[:8]), Lo: binary.BigEndian.Uint64(raw[8:])}, true
}

// Big returns the amount as a big integer.
func (c Cycles) Big() *big.Int {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], c.Hi)
	binary.BigEndian.PutUint64(raw[8:], c.Lo)
	return new(big.Int).SetBytes(raw[:])
}

// String prints the amount in decimal.
func (c Cycles) String() string { return c.Big().String() }

// IsZero reports whether c is no cycles.
func (c Cycles) IsZero() bool { return c.Hi|c.Lo == 0 }

// Uint64 returns the amount when it fits into 64 bits.
func (c Cycles) Uint64() (n uint64, ok bool) { return c.Lo, c.Hi == 0 }

// Cmp compares as bytes.Compare does.
func (c Cycles) Cmp(d Cycles) int {
	switch {
	case c.Hi != d.Hi:
		if c.Hi < d.Hi {
			return -1
		}
		return 1
	case c.Lo != d.Lo:
		if c.Lo < d.Lo {
			return -1
		}
		return 1
	}
	return 0
}

// Add returns c + d, or MaxCycles where the sum does not fit.
func (c Cycles) Add(d Cycles) Cycles {
	lo, carry := bits.Add64(c.Lo, d.Lo, 0)
	hi, over := bits.Add64(c.Hi, d.Hi, carry)
	if over != 0 {
		return MaxCycles
	}
	return Cycles{Hi: hi, Lo: lo}
}

// Sub returns c − d, or zero where d is larger.
func (c Cycles) Sub(d Cycles) Cycles {
	if c.Cmp(d) < 0 {
		return Cycles{}
	}
	lo, borrow := bits.Sub64(c.Lo, d.Lo, 0)
	hi, _ := bits.Sub64(c.Hi, d.Hi, borrow)
	return Cycles{Hi: hi, Lo: lo}
}

// Min returns the smaller amount.
func (c Cycles) Min(d Cycles) Cycles {
	if c.Cmp(d) < 0 {
		return c
	}
	return d
}

// mulDiv returns a·b/d for d > 0, or MaxCycles where the result does not fit.
func mulDiv(a Cycles, b, d uint64) Cycles {
	// a·b as three 64-bit words, then long division by d.
	h1, l1 := bits.Mul64(a.Lo, b)
	h2, l2 := bits.Mul64(a.Hi, b)
	w1, carry := bits.Add64(l2, h1, 0)
	w2 := h2 + carry
	q2, r := w2/d, w2%d
	q1, r := bits.Div64(r, w1, d)
	q0, _ := bits.Div64(r, l1, d)
	if q2 != 0 {
		return MaxCycles
	}
	return Cycles{Hi: q1, Lo: q0}
}

func (c Cycles) putLittleEndian(b []byte) {
	binary.LittleEndian.PutUint64(b[:8], c.Lo)
	binary.LittleEndian.PutUint64(b[8:16], c.Hi)
}
