package idkg

import (
	"encoding/binary"
	"errors"
	"fmt"

	"fusion/chainkey/idkg/curve"
)

// ErrEncoding says that bytes are not the one encoding of what they should be.
var ErrEncoding = errors.New("not a canonical encoding")

// MaxMembers bounds a roster; with it every message has a bound: see MaxMessage.
const MaxMembers = 128

// MaxMessage bounds each encoded message of this package, in bytes. The largest is a dealing of MaxCount secrets to MaxMembers.
const MaxMessage = 64*MaxCount*MaxMembers + 33*MaxCount*(MaxMembers/3+1) + 96*MaxCount + 1024

// The first byte of an encoding is the version, the second says what it is.
const (
	wireVersion = 1

	wireDealing = iota
	wireSupport
	wireComplaint
	wireOpening
	wireSignatureShare
	wireTranscript
	wireShare
	wireMember
	wireDecryptionKey
)

// writer appends. All numbers are big-endian, points and scalars as their curve encodes them.
type writer struct{ b []byte }

func newWriter(kind byte) *writer { return &writer{[]byte{wireVersion, kind}} }

func (w *writer) u8(v uint8)           { w.b = append(w.b, v) }
func (w *writer) u16(v int)            { w.b = binary.BigEndian.AppendUint16(w.b, uint16(v)) }
func (w *writer) u64(v uint64)         { w.b = binary.BigEndian.AppendUint64(w.b, v) }
func (w *writer) bytes(b []byte)       { w.b = append(w.b, b...) }
func (w *writer) point(p *curve.Point) { w.b = append(w.b, p.Bytes()...) }

func (w *writer) points(ps []*curve.Point) {
	for _, p := range ps {
		w.point(p)
	}
}

func (w *writer) scalar(s *curve.Scalar) {
	b := s.Bytes()
	w.b = append(w.b, b...)
	clear(b)
}

func (w *writer) proof(p *proof) {
	if p == nil {
		return
	}
	w.scalar(p.challenge)
	for _, z := range p.responses {
		w.scalar(z)
	}
}

// reader takes parts off the front and remembers the first error.
type reader struct {
	b   []byte
	err error
}

func newReader(b []byte, kind byte) *reader {
	r := &reader{b: b}
	if len(b) > MaxMessage {
		r.fail("%d bytes, the limit is %d", len(b), MaxMessage)
		return r
	}
	if v, k := r.u8(), r.u8(); r.err == nil && (v != wireVersion || k != kind) {
		r.fail("version %d, kind %d, want %d and %d", v, k, wireVersion, kind)
	}
	return r
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrEncoding, fmt.Sprintf(format, args...))
	}
}

// take returns n bytes, or n zeros after an error; n is bounded by what callers checked.
func (r *reader) take(n int) []byte {
	if r.err == nil && len(r.b) < n {
		r.fail("it ends early")
	}
	if r.err != nil {
		return make([]byte, n)
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) u8() uint8      { return r.take(1)[0] }
func (r *reader) u16() int       { return int(binary.BigEndian.Uint16(r.take(2))) }
func (r *reader) u64() uint64    { return binary.BigEndian.Uint64(r.take(8)) }
func (r *reader) hash() [32]byte { return [32]byte(r.take(32)) }
func (r *reader) sig() [64]byte  { return [64]byte(r.take(64)) }
func (r *reader) curve() (c curve.Curve) {
	if c = curve.Curve(r.u8()); r.err == nil && !c.Valid() {
		r.fail("unknown curve %d", uint8(c))
	}
	return c
}

// count reads how many of something follow: from least to most.
func (r *reader) count(what string, least, most int) int {
	n := r.u16()
	if r.err == nil && (n < least || n > most) {
		r.fail("%d %s, want %d to %d", n, what, least, most)
	}
	if r.err != nil {
		return 0
	}
	return n
}

func (r *reader) point(c curve.Curve) *curve.Point {
	b := r.take(c.PointSize())
	if r.err != nil {
		return nil
	}
	p, err := c.ParsePoint(b)
	if err != nil {
		r.fail("%v", err)
	}
	return p
}

func (r *reader) points(c curve.Curve, n int) (out []*curve.Point) {
	for range n {
		out = append(out, r.point(c))
	}
	return out
}

func (r *reader) scalar(c curve.Curve) *curve.Scalar {
	b := r.take(curve.ScalarSize)
	if r.err != nil {
		return nil
	}
	s, err := c.DecodeScalar(b)
	if err != nil {
		r.fail("%v", err)
	}
	return s
}

func (r *reader) scalars(c curve.Curve, n int) (out []*curve.Scalar) {
	for range n {
		out = append(out, r.scalar(c))
	}
	return out
}

func (r *reader) proof(c curve.Curve, responses int) *proof {
	return &proof{r.scalar(c), r.scalars(c, responses)}
}

// end returns the first error, which may be that bytes are left.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail("%d bytes too many", len(r.b))
	}
	return r.err
}
