package wasmbin

import (
	"errors"
	"fmt"
)

// Errors that Parse and Reader wrap with the place where they happened.
var (
	// ErrTruncated means that the input ends in the middle of something.
	ErrTruncated = errors.New("unexpected end of input")
	// ErrLEB128 means a number longer than its type allows, or with bits set beyond it.
	ErrLEB128 = errors.New("malformed LEB128 number")
	// ErrMalformed means bytes that no rule of the format produces.
	ErrMalformed = errors.New("malformed module")
	// ErrUnsupported means a construct of a proposal that this package does not read.
	ErrUnsupported = errors.New("unsupported feature")
	// ErrTooMany means more of something than Parse makes room for.
	ErrTooMany = errors.New("limit of the module format exceeded")
)

// uleb reads an unsigned LEB128 number of at most size bits (32 or 64) and returns the position after it.
func uleb(b []byte, pos int, size uint) (uint64, int, error) {
	if pos < len(b) && b[pos] < 0x80 {
		return uint64(b[pos]), pos + 1, nil
	}
	var v uint64
	for shift := uint(0); ; shift += 7 {
		if pos >= len(b) {
			return 0, pos, ErrTruncated
		}
		c := b[pos]
		pos++
		left := size - shift
		if left < 7 && (c&0x80 != 0 || c>>left != 0) {
			return 0, pos, ErrLEB128
		}
		v |= uint64(c&0x7f) << shift
		if c&0x80 == 0 {
			return v, pos, nil
		}
	}
}

// sleb reads a signed LEB128 number of at most size bits (32, 33 or 64) and returns the position after it.
func sleb(b []byte, pos int, size uint) (int64, int, error) {
	var v int64
	for shift := uint(0); ; shift += 7 {
		if pos >= len(b) {
			return 0, pos, ErrTruncated
		}
		c := b[pos]
		pos++
		if left := size - shift; left < 7 {
			// The last byte: its bits from the sign bit upward must all be equal.
			if top := int8(c<<1) >> left; c&0x80 != 0 || (top != 0 && top != -1) {
				return 0, pos, ErrLEB128
			}
		}
		v |= int64(c&0x7f) << shift
		if c&0x80 == 0 {
			if shift+7 < 64 && c&0x40 != 0 {
				v |= -1 << (shift + 7)
			}
			return v, pos, nil
		}
	}
}

// AppendU appends v as an unsigned LEB128 number.
func AppendU(dst []byte, v uint64) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

// AppendS appends v as a signed LEB128 number.
func AppendS(dst []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if (v == 0 && c&0x40 == 0) || (v == -1 && c&0x40 != 0) {
			return append(dst, c)
		}
		dst = append(dst, c|0x80)
	}
}

// cursor walks bytes and remembers the first failure with its position.
type cursor struct {
	b    []byte
	pos  int
	base int // offset of b in the module, for messages

	items int // element items and runs of locals of the whole section
}

func (c *cursor) left() int { return len(c.b) - c.pos }

func (c *cursor) errorf(err error, what string) error {
	return fmt.Errorf("%s at offset %#x: %w", what, c.base+c.pos, err)
}

func (c *cursor) u32(what string) (uint32, error) {
	v, pos, err := uleb(c.b, c.pos, 32)
	if err != nil {
		return 0, c.errorf(err, what)
	}
	c.pos = pos
	return uint32(v), nil
}

func (c *cursor) u64(what string) (uint64, error) {
	v, pos, err := uleb(c.b, c.pos, 64)
	if err != nil {
		return 0, c.errorf(err, what)
	}
	c.pos = pos
	return v, nil
}

// count reads the length of a vector whose elements take at least min bytes each.
func (c *cursor) count(what string, min int) (int, error) {
	n, err := c.u32(what)
	if err != nil {
		return 0, err
	}
	if int64(n)*int64(min) > int64(c.left()) {
		return 0, c.errorf(ErrTruncated, what)
	}
	return int(n), nil
}

func (c *cursor) byte(what string) (byte, error) {
	if c.pos >= len(c.b) {
		return 0, c.errorf(ErrTruncated, what)
	}
	c.pos++
	return c.b[c.pos-1], nil
}

func (c *cursor) bytes(n int, what string) ([]byte, error) {
	if n < 0 || n > c.left() {
		return nil, c.errorf(ErrTruncated, what)
	}
	c.pos += n
	return c.b[c.pos-n : c.pos : c.pos], nil
}

// vec reads a vector of bytes.
func (c *cursor) vec(what string) ([]byte, error) {
	n, err := c.count(what, 1)
	if err != nil {
		return nil, err
	}
	return c.bytes(n, what)
}

func (c *cursor) tooMany(what string, n, limit int) error {
	return c.errorf(ErrTooMany, fmt.Sprintf("%d %s exceed %d", n, what, limit))
}

// room counts items that take much more memory than bytes of the module.
func (c *cursor) room(what string, n int) error {
	if c.items += n; c.items > maxItems {
		return c.tooMany(what, c.items, maxItems)
	}
	return nil
}
