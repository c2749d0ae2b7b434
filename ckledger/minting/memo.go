package minting

import (
	"errors"
	"fmt"

	"github.com/holiman/uint256"
)

// Memos of the chain-key minters are CBOR: an array of the alternative's number and of its fields by position.

// ErrMemo means that a memo is not one of the minter's.
var ErrMemo = errors.New("not a memo of the minter")

// AppendHead writes a CBOR head.
func AppendHead(b []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(b, major<<5|byte(n))
	case n < 1<<8:
		return append(b, major<<5|24, byte(n))
	case n < 1<<16:
		return append(b, major<<5|25, byte(n>>8), byte(n))
	case n < 1<<32:
		return append(b, major<<5|26, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	b = append(b, major<<5|27)
	for shift := 56; shift >= 0; shift -= 8 {
		b = append(b, byte(n>>shift))
	}
	return b
}

// AppendBytes writes a byte string (major 2) or a text (major 3).
func AppendBytes(b []byte, major byte, s []byte) []byte {
	return append(AppendHead(b, major, uint64(len(s))), s...)
}

// AppendAmount writes a number of 256 bits: a plain one if it fits 64 bits, else a tagged big number.
func AppendAmount(b []byte, n *uint256.Int) []byte {
	if n.IsUint64() {
		return AppendHead(b, 0, n.Uint64())
	}
	return AppendBytes(append(b, 0xc2), 2, n.Bytes())
}

// MemoReader reads definite-length CBOR.
type MemoReader struct{ B []byte }

func (r *MemoReader) head() (major byte, n uint64, err error) {
	if len(r.B) == 0 {
		return 0, 0, fmt.Errorf("%w: ends early", ErrMemo)
	}
	major, n = r.B[0]>>5, uint64(r.B[0]&31)
	r.B = r.B[1:]
	if n < 24 {
		return major, n, nil
	}
	if n > 27 {
		return 0, 0, fmt.Errorf("%w: indefinite length", ErrMemo)
	}
	size := 1 << (n - 24)
	if len(r.B) < size {
		return 0, 0, fmt.Errorf("%w: ends early", ErrMemo)
	}
	n = 0
	for _, c := range r.B[:size] {
		n = n<<8 | uint64(c)
	}
	r.B = r.B[size:]
	return major, n, nil
}

// Expect reads the head of an item of the given type.
func (r *MemoReader) Expect(want byte) (uint64, error) {
	major, n, err := r.head()
	if err == nil && major != want {
		err = fmt.Errorf("%w: item of type %d, want %d", ErrMemo, major, want)
	}
	return n, err
}

// Bytes reads a byte string (major 2) or a text (major 3).
func (r *MemoReader) Bytes(major byte) ([]byte, error) {
	n, err := r.Expect(major)
	if err == nil && n > uint64(len(r.B)) {
		err = fmt.Errorf("%w: ends early", ErrMemo)
	}
	if err != nil {
		return nil, err
	}
	b := append([]byte{}, r.B[:n]...)
	r.B = r.B[n:]
	return b, nil
}

// Fixed reads a byte string of len(dst) bytes.
func (r *MemoReader) Fixed(dst []byte) error {
	b, err := r.Bytes(2)
	if err == nil && len(b) != len(dst) {
		err = fmt.Errorf("%w: %d bytes, want %d", ErrMemo, len(b), len(dst))
	}
	copy(dst, b)
	return err
}

// Amount reads what AppendAmount writes.
func (r *MemoReader) Amount() (n uint256.Int, err error) {
	if len(r.B) > 0 && r.B[0] == 0xc2 {
		r.B = r.B[1:]
		b, err := r.Bytes(2)
		if err == nil && len(b) > 32 {
			err = fmt.Errorf("%w: number of %d bytes", ErrMemo, len(b))
		}
		if err != nil {
			return n, err
		}
		n.SetBytes(b)
		return n, nil
	}
	x, err := r.Expect(0)
	n.SetUint64(x)
	return n, err
}

// Alternative reads the head of an alternative with a number of fields that is given by its number.
func (r *MemoReader) Alternative(fields ...uint64) (uint64, error) {
	if n, err := r.Expect(4); err != nil || n != 2 {
		return 0, errors.Join(ErrMemo, err)
	}
	which, err := r.Expect(0)
	if err == nil && which >= uint64(len(fields)) {
		err = fmt.Errorf("%w: alternative %d", ErrMemo, which)
	}
	if err != nil {
		return 0, err
	}
	n, err := r.Expect(4)
	if err == nil && n != fields[which] {
		err = fmt.Errorf("%w: %d fields, want %d", ErrMemo, n, fields[which])
	}
	return which, err
}

// End checks that nothing follows.
func (r *MemoReader) End() error {
	if len(r.B) > 0 {
		return fmt.Errorf("%w: bytes follow", ErrMemo)
	}
	return nil
}
