package cbor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// Major types, RFC 8949 section 3.1.
const (
	majorUint  = 0
	majorInt   = 1
	majorBytes = 2
	majorText  = 3
	majorArray = 4
	majorMap   = 5
	majorTag   = 6
	majorOther = 7
)

const (
	tagBignum = 2 // unsigned bignum, RFC 8949 section 3.4.3

	// TagSelfDescribe is the tag in front of every request, response and certificate (RFC 8949 section 3.4.6).
	TagSelfDescribe = 55799

	// MaxDepth is how deep an item that Skip passes over may nest.
	MaxDepth = 64

	breakByte = 0xff
)

// Errors returned by this package; test with errors.Is.
var (
	ErrTruncated = errors.New("cbor: input ends inside an item")
	ErrType      = errors.New("cbor: unexpected type")
	ErrMalformed = errors.New("cbor: malformed item")
	ErrTooDeep   = errors.New("cbor: nesting too deep")
	ErrTrailing  = errors.New("cbor: bytes after the end")
	ErrRange     = errors.New("cbor: number does not fit in 64 bits")
)

// Reader is a cursor over CBOR bytes. What it returns aliases its input.
type Reader struct {
	b   []byte
	off int
}

// NewReader returns a Reader at the start of b.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Offset is the number of bytes consumed.
func (r *Reader) Offset() int { return r.off }

// Remaining is the number of bytes left.
func (r *Reader) Remaining() int { return len(r.b) - r.off }

// End returns ErrTrailing unless everything was consumed.
func (r *Reader) End() error {
	if r.off != len(r.b) {
		return fmt.Errorf("%w: %d", ErrTrailing, len(r.b)-r.off)
	}
	return nil
}

// head reads an item's first byte and argument. indefinite is set for additional information 31.
func (r *Reader) head() (major byte, arg uint64, indefinite bool, err error) {
	if r.off >= len(r.b) {
		return 0, 0, false, ErrTruncated
	}
	first := r.b[r.off]
	major, info := first>>5, first&31
	r.off++
	switch {
	case info < 24:
		return major, uint64(info), false, nil
	case info < 28:
		n := 1 << (info - 24)
		if len(r.b)-r.off < n {
			return 0, 0, false, ErrTruncated
		}
		p := r.b[r.off:]
		switch n {
		case 1:
			arg = uint64(p[0])
		case 2:
			arg = uint64(binary.BigEndian.Uint16(p))
		case 4:
			arg = uint64(binary.BigEndian.Uint32(p))
		default:
			arg = binary.BigEndian.Uint64(p)
		}
		r.off += n
		return major, arg, false, nil
	case info == 31:
		return major, 0, true, nil
	}
	return 0, 0, false, fmt.Errorf("%w: reserved additional information %d at byte %d", ErrMalformed, info, r.off-1)
}

func (r *Reader) expect(want byte) (arg uint64, indefinite bool, err error) {
	at := r.off
	major, arg, indefinite, err := r.head()
	if err != nil {
		return 0, false, err
	}
	if major != want {
		return 0, false, fmt.Errorf("%w: %s where %s is expected, at byte %d", ErrType, majorNames[major], majorNames[want], at)
	}
	return arg, indefinite, nil
}

var majorNames = [8]string{"unsigned integer", "negative integer", "byte string", "text string", "array", "map", "tag", "simple value"}

func (r *Reader) str(major byte) ([]byte, error) {
	n, indefinite, err := r.expect(major)
	if err != nil {
		return nil, err
	}
	if indefinite {
		return nil, fmt.Errorf("%w: indefinite-length string", ErrMalformed)
	}
	if n > uint64(len(r.b)-r.off) {
		return nil, ErrTruncated
	}
	s := r.b[r.off : r.off+int(n) : r.off+int(n)]
	r.off += int(n)
	return s, nil
}

// Bytes reads a byte string.
func (r *Reader) Bytes() ([]byte, error) { return r.str(majorBytes) }

// Text reads a text string and checks that it is UTF-8.
func (r *Reader) Text() ([]byte, error) {
	s, err := r.str(majorText)
	if err == nil && !utf8.Valid(s) {
		return nil, fmt.Errorf("%w: text is not utf-8", ErrMalformed)
	}
	return s, err
}

// BytesOrText reads a string of either type, for fields on whose type writers disagree.
func (r *Reader) BytesOrText() ([]byte, error) {
	if r.off < len(r.b) && r.b[r.off]>>5 == majorText {
		return r.Text()
	}
	return r.Bytes()
}

// Uint reads an unsigned integer, also one written as a bignum, that fits in 64 bits.
func (r *Reader) Uint() (uint64, error) {
	if r.off < len(r.b) && r.b[r.off]>>5 == majorTag {
		tag, _, err := r.expect(majorTag)
		if err != nil {
			return 0, err
		}
		if tag != tagBignum {
			return 0, fmt.Errorf("%w: tag %d where a number is expected", ErrType, tag)
		}
		b, err := r.Bytes()
		if err != nil {
			return 0, err
		}
		for len(b) > 0 && b[0] == 0 {
			b = b[1:]
		}
		if len(b) > 8 {
			return 0, ErrRange
		}
		var n uint64
		for _, c := range b {
			n = n<<8 | uint64(c)
		}
		return n, nil
	}
	n, indefinite, err := r.expect(majorUint)
	if err == nil && indefinite {
		return 0, fmt.Errorf("%w: integer without a value", ErrMalformed)
	}
	return n, err
}

// Null consumes a null or undefined if one stands here.
func (r *Reader) Null() bool {
	if r.off < len(r.b) && (r.b[r.off] == 0xf6 || r.b[r.off] == 0xf7) {
		r.off++
		return true
	}
	return false
}

// SelfDescribe consumes the tag 55799 if it stands here.
func (r *Reader) SelfDescribe() {
	b := r.b[r.off:]
	if len(b) >= 3 && b[0] == 0xd9 && b[1] == 0xd9 && b[2] == 0xf7 {
		r.off += 3
	}
}

// atBreak consumes the break that ends an indefinite-length container.
func (r *Reader) atBreak() (bool, error) {
	if r.off >= len(r.b) {
		return false, ErrTruncated
	}
	if r.b[r.off] != breakByte {
		return false, nil
	}
	r.off++
	return true, nil
}

// container visits the elements of an array or map; every element is at least one byte long, which bounds the count.
func (r *Reader) container(major byte, visit func(i int) error) error {
	n, indefinite, err := r.expect(major)
	if err != nil {
		return err
	}
	if !indefinite && n > uint64(len(r.b)-r.off) {
		return ErrTruncated
	}
	for i := 0; indefinite || uint64(i) < n; i++ {
		if indefinite {
			if end, err := r.atBreak(); err != nil || end {
				return err
			}
		}
		if err := visit(i); err != nil {
			return err
		}
	}
	return nil
}

// Array calls visit before each element; visit must consume it.
func (r *Reader) Array(visit func(i int) error) error { return r.container(majorArray, visit) }

// Map reads a map with text keys and calls visit after each key; visit must consume the value. Duplicates are the caller's to
// refuse: only it knows which keys there are.
func (r *Reader) Map(visit func(key []byte) error) error {
	return r.container(majorMap, func(int) error {
		key, err := r.Text()
		if err != nil {
			return err
		}
		return visit(key)
	})
}

// Int reads an integer of either sign that fits in 64 bits.
func (r *Reader) Int() (int64, error) {
	at := r.off
	major, arg, indefinite, err := r.head()
	switch {
	case err != nil:
		return 0, err
	case major != majorUint && major != majorInt:
		return 0, fmt.Errorf("%w: %s where an integer is expected, at byte %d", ErrType, majorNames[major], at)
	case indefinite:
		return 0, fmt.Errorf("%w: integer without a value", ErrMalformed)
	case arg > math.MaxInt64:
		return 0, ErrRange
	case major == majorInt:
		return -1 - int64(arg), nil
	}
	return int64(arg), nil
}

// IntMap is Map for maps with integer keys, as COSE has them.
func (r *Reader) IntMap(visit func(key int64) error) error {
	return r.container(majorMap, func(int) error {
		key, err := r.Int()
		if err != nil {
			return err
		}
		return visit(key)
	})
}

// ArrayLen reads the head of a definite-length array.
func (r *Reader) ArrayLen() (int, error) {
	n, indefinite, err := r.expect(majorArray)
	if err != nil {
		return 0, err
	}
	if indefinite {
		return 0, fmt.Errorf("%w: indefinite-length array", ErrMalformed)
	}
	if n > uint64(len(r.b)-r.off) {
		return 0, ErrTruncated
	}
	return int(n), nil
}

// Skip passes over one item of any type, nested at most MaxDepth deep.
func (r *Reader) Skip() error { return r.skip(MaxDepth) }

func (r *Reader) skip(depth int) error {
	if depth == 0 {
		return ErrTooDeep
	}
	if r.off >= len(r.b) {
		return ErrTruncated
	}
	switch r.b[r.off] >> 5 {
	case majorBytes:
		_, err := r.Bytes()
		return err
	case majorText:
		_, err := r.Text()
		return err
	case majorArray:
		return r.container(majorArray, func(int) error { return r.skip(depth - 1) })
	case majorMap:
		return r.container(majorMap, func(int) error {
			if err := r.skip(depth - 1); err != nil {
				return err
			}
			return r.skip(depth - 1)
		})
	case majorTag:
		if _, indefinite, err := r.expect(majorTag); err != nil || indefinite {
			return errors.Join(err, ErrMalformed)
		}
		return r.skip(depth - 1)
	}
	first := r.b[r.off]
	_, arg, indefinite, err := r.head()
	if err == nil && indefinite {
		return fmt.Errorf("%w: stray break", ErrMalformed)
	}
	if first == majorOther<<5|24 && arg < 32 {
		return fmt.Errorf("%w: simple value %d in two bytes", ErrMalformed, arg) // RFC 8949 section 3.3
	}
	return err
}

func appendHead(dst []byte, major byte, n uint64) []byte {
	m := major << 5
	switch {
	case n < 24:
		return append(dst, m|byte(n))
	case n < 1<<8:
		return append(dst, m|24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, m|25), uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(dst, m|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, m|27), n)
}

// AppendSelfDescribe appends the tag 55799; one item must follow.
func AppendSelfDescribe(dst []byte) []byte { return append(dst, 0xd9, 0xd9, 0xf7) }

// AppendUint appends an unsigned integer.
func AppendUint(dst []byte, n uint64) []byte { return appendHead(dst, majorUint, n) }

// AppendInt appends an integer of either sign.
func AppendInt(dst []byte, n int64) []byte {
	if n < 0 {
		return appendHead(dst, majorInt, uint64(-1-n))
	}
	return appendHead(dst, majorUint, uint64(n))
}

// AppendBytes appends a byte string.
func AppendBytes(dst, b []byte) []byte {
	return append(appendHead(dst, majorBytes, uint64(len(b))), b...)
}

// AppendText appends a text string.
func AppendText(dst []byte, s string) []byte {
	return append(appendHead(dst, majorText, uint64(len(s))), s...)
}

// AppendArray appends the head of an array of n elements, which must follow.
func AppendArray(dst []byte, n int) []byte { return appendHead(dst, majorArray, uint64(n)) }

// AppendMap appends the head of a map of n pairs, which must follow.
func AppendMap(dst []byte, n int) []byte { return appendHead(dst, majorMap, uint64(n)) }
