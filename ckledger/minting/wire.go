package minting

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/holiman/uint256"

	"fusion/ic/principal"
)

// ErrStored means that bytes are not a stored event.
var ErrStored = errors.New("malformed stored event")

// Visitor writes the fields of an event to Buf or reads them from it: numbers are uvarints, byte strings and lists have their length before them. One description
// of each struct, a function that visits its fields in order, serves both directions. It is written by hand because minters are canisters, where a general
// codec would cost more bytes than all of the state machine.
type Visitor struct {
	Buf     []byte
	Writing bool
	Err     error  // of reading; everything after it reads as zero
	Layout  uint64 // of the part at hand
}

// Marshal gives the stored form of an event: its time, and what visit writes of it, which begins with the number of its kind. visit goes through
// the kind given when reading and whatever is set when writing, and returns the kind, or 0 if there is none. Marshal panics for an event without content.
func Marshal(time *uint64, visit func(v *Visitor, kind uint64) uint64) []byte {
	v := Visitor{Writing: true}
	v.Num(time)
	if visit(&v, 0) == 0 {
		panic("minting: empty event")
	}
	return v.Buf
}

// Unmarshal reads what Marshal wrote, of kinds below a bound. Errors wrap ErrStored.
func Unmarshal(b []byte, time *uint64, kinds uint64, visit func(v *Visitor, kind uint64) uint64) error {
	v := Visitor{Buf: b}
	v.Num(time)
	var kind uint64
	v.Num(&kind)
	if v.Err == nil && (kind >= kinds || visit(&v, kind) == 0) {
		v.Fail("unknown kind %d", kind)
	}
	if v.Err == nil && len(v.Buf) > 0 {
		v.Fail("%d bytes follow", len(v.Buf))
	}
	return v.Err
}

// Fail notes an error of reading.
func (v *Visitor) Fail(format string, args ...any) {
	if v.Err == nil {
		v.Err = fmt.Errorf("%w: %s", ErrStored, fmt.Sprintf(format, args...))
	}
	v.Buf = nil
}

// Num visits a number.
func (v *Visitor) Num(n *uint64) {
	if v.Writing {
		v.Buf = binary.AppendUvarint(v.Buf, *n)
		return
	}
	x, size := binary.Uvarint(v.Buf)
	if size <= 0 || size > 1 && v.Buf[size-1] == 0 {
		v.Fail("malformed number")
		return
	}
	*n, v.Buf = x, v.Buf[size:]
}

// Small visits a number of fewer bits.
func Small[T ~uint8 | ~uint32](v *Visitor, n *T) {
	x := uint64(*n)
	v.Num(&x)
	if *n = T(x); uint64(*n) != x {
		v.Fail("number out of range")
	}
}

// Flag visits a truth value.
func (v *Visitor) Flag(b *bool) {
	var x uint8
	if *b {
		x = 1
	}
	Small(v, &x)
	if x > 1 {
		v.Fail("malformed flag")
	}
	*b = x == 1
}

// Bytes visits a byte string; an empty one reads as nil.
func (v *Visitor) Bytes(b *[]byte) {
	n := uint64(len(*b))
	v.Num(&n)
	if v.Writing {
		v.Buf = append(v.Buf, *b...)
		return
	}
	if n > uint64(len(v.Buf)) {
		v.Fail("ends early")
		return
	}
	if n == 0 {
		*b = nil
		return
	}
	*b, v.Buf = append([]byte(nil), v.Buf[:n]...), v.Buf[n:]
}

// Text visits a string.
func (v *Visitor) Text(s *string) {
	b := []byte(*s)
	v.Bytes(&b)
	*s = string(b)
}

// Fixed visits bytes whose number is known.
func (v *Visitor) Fixed(b []byte) {
	if v.Writing {
		v.Buf = append(v.Buf, b...)
		return
	}
	if len(v.Buf) < len(b) {
		v.Fail("ends early")
		return
	}
	copy(b, v.Buf)
	v.Buf = v.Buf[len(b):]
}

// Amount visits a number of 256 bits: its bytes without leading zeros.
func (v *Visitor) Amount(n *uint256.Int) {
	b := n.Bytes()
	v.Bytes(&b)
	if v.Writing {
		return
	}
	if len(b) > 32 || len(b) > 0 && b[0] == 0 {
		v.Fail("malformed amount")
		return
	}
	n.SetBytes(b)
}

// Account visits an account.
func (v *Visitor) Account(a *Account) {
	owner := a.Owner.Bytes()
	v.Bytes(&owner)
	if !v.Writing {
		p, err := principal.FromBytes(owner)
		if err != nil {
			v.Fail("%v", err)
			return
		}
		a.Owner = p
	}
	v.Fixed(a.Subaccount[:])
}

// List visits a list whose items take at least one byte each.
func List[T any](v *Visitor, items *[]T, visit func(*T, *Visitor)) {
	n := uint64(len(*items))
	v.Num(&n)
	if !v.Writing {
		if n > uint64(len(v.Buf)) {
			v.Fail("ends early")
			return
		}
		if *items = nil; n > 0 {
			*items = make([]T, n)
		}
	}
	for i := range *items {
		visit(&(*items)[i], v)
	}
}

// Part visits one alternative of an event if it is the one at hand: the number of its kind, the version of its layout, its fields. It writes the given
// layout and reads every earlier one too; Visitor.Layout tells the fields which.
func Part[T any](v *Visitor, kind, own, layout uint64, p **T, visit func(*T, *Visitor)) bool {
	if v.Writing {
		if *p == nil {
			return false
		}
		v.Num(&own)
	} else {
		if kind != own {
			return false
		}
		*p = new(T)
	}
	v.Layout = layout
	v.Num(&v.Layout)
	if v.Layout == 0 || v.Layout > layout {
		v.Fail("layout %d", v.Layout)
	}
	visit(*p, v)
	return true
}
