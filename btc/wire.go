package btc

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrMalformed is wrapped by all errors of ParseTx, ParseBlock and ParseHeader.
var ErrMalformed = errors.New("malformed bitcoin data")

// reader walks over a buffer; after the first failure it stays failed and yields zeros.
type reader struct {
	b   []byte
	pos int
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format+" at byte %d", append(append([]any{ErrMalformed}, args...), r.pos)...)
	}
}

func (r *reader) left() int { return len(r.b) - r.pos }

// bytes returns the next n bytes of the buffer itself.
func (r *reader) bytes(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n > r.left() {
		r.fail("%d bytes wanted, %d left", n, r.left())
		return nil
	}
	out := r.b[r.pos : r.pos+n : r.pos+n]
	r.pos += n
	return out
}

func (r *reader) u8() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *reader) hash() (h Hash) {
	copy(h[:], r.bytes(32))
	return h
}

// varInt reads a CompactSize and insists on its shortest form.
func (r *reader) varInt() uint64 {
	var v, least uint64
	switch c := r.u8(); c {
	case 0xfd:
		if b := r.bytes(2); b != nil {
			v = uint64(binary.LittleEndian.Uint16(b))
		}
		least = 0xfd
	case 0xfe:
		v, least = uint64(r.u32()), 1<<16
	case 0xff:
		v, least = r.u64(), 1<<32
	default:
		return uint64(c)
	}
	if r.err == nil && v < least {
		r.fail("length %d is not in its shortest form", v)
	}
	return v
}

// count reads a number of things that take at least size bytes each, so that it is bounded by what the buffer can hold.
func (r *reader) count(what string, size int) int {
	n := r.varInt()
	if r.err == nil && n > uint64(r.left()/size) {
		r.fail("%d %s cannot fit into %d bytes", n, what, r.left())
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

func (r *reader) varBytes(what string) []byte { return r.bytes(r.count(what, 1)) }

func varIntLen(n uint64) int {
	switch {
	case n < 0xfd:
		return 1
	case n < 1<<16:
		return 3
	case n < 1<<32:
		return 5
	}
	return 9
}

func appendVarInt(b []byte, n uint64) []byte {
	switch {
	case n < 0xfd:
		return append(b, byte(n))
	case n < 1<<16:
		return binary.LittleEndian.AppendUint16(append(b, 0xfd), uint16(n))
	case n < 1<<32:
		return binary.LittleEndian.AppendUint32(append(b, 0xfe), uint32(n))
	}
	return binary.LittleEndian.AppendUint64(append(b, 0xff), n)
}

func appendVarBytes(b, p []byte) []byte { return append(appendVarInt(b, uint64(len(p))), p...) }
