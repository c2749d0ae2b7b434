package frost

import (
	"errors"
	"fmt"
	"io"

	secp "github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/oasisprotocol/curve25519-voi/curve"
	edscalar "github.com/oasisprotocol/curve25519-voi/curve/scalar"

	"fusion/chainkey"
	"fusion/internal/redact"
)

// errEncoding says that bytes are not the canonical encoding of a scalar or point.
var errEncoding = errors.New("not a canonical encoding")

// scalarSize is the size of a scalar on both curves, in bytes.
const scalarSize = 32

// scalar is a number modulo the group's order. Operations return new scalars.
type scalar interface {
	add(scalar) scalar
	mul(scalar) scalar
	neg() scalar
	inverse() scalar // of public, non-zero scalars
	isZero() bool
	bytes() []byte
	wipe()
}

// point is an element of the group of prime order.
type point interface {
	add(point) point
	neg() point
	mul(scalar) point // variable time: for public scalars
	equal(point) bool
	isIdentity() bool
	bytes() []byte // the public key's encoding; not of the identity
}

// group is a curve.
type group interface {
	pointSize() int
	number(uint64) scalar
	// wide reduces 64 uniform bytes.
	wide([]byte) scalar
	// decode takes a scalar's one encoding, in the curve's own byte order.
	decode([]byte) (scalar, error)
	base(scalar) point // variable time: for public scalars
	// secretBase multiplies the base point by a secret.
	secretBase(k scalar, random io.Reader) (point, error)
	// parse takes a point's one encoding; the identity is refused.
	parse([]byte) (point, error)
}

func groupOf(a chainkey.Algorithm) (group, error) {
	switch a {
	case chainkey.Bip340Secp256k1:
		return secpGroup{}, nil
	case chainkey.Ed25519:
		return edGroup{}, nil
	}
	return nil, fmt.Errorf("%w: frost has no %s", chainkey.ErrAlgorithm, a)
}

// drawScalar reads a uniform scalar.
func drawScalar(g group, random io.Reader) (scalar, error) {
	var b [64]byte
	defer clear(b[:])
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return nil, fmt.Errorf("reading randomness: %w", err)
	}
	return g.wide(b[:]), nil
}

// secp256k1, SEC1 compressed points and big-endian scalars.

type secpGroup struct{}

type secpScalar struct{ v secp.ModNScalar }

// Format shows nothing: most scalars are secret.
func (secpScalar) Format(f fmt.State, _ rune) { redact.Format(f, "scalar") }

type secpPoint struct{ v secp.JacobianPoint } // affine, or the identity

// twoTo256 is 2^256 modulo the order.
var twoTo256 = func() (v secp.ModNScalar) {
	var b [32]byte
	b[15] = 1 // 2^128
	v.SetBytes(&b)
	v.Square()
	return v
}()

func (secpGroup) pointSize() int { return 33 }

func (secpGroup) number(n uint64) scalar {
	var b [32]byte
	for i := range 8 {
		b[31-i] = byte(n >> (8 * i))
	}
	s := new(secpScalar)
	s.v.SetBytes(&b)
	return s
}

func (secpGroup) wide(b []byte) scalar {
	var hi, lo [32]byte
	copy(hi[:], b[:32])
	copy(lo[:], b[32:64])
	var s, l secpScalar
	s.v.SetBytes(&hi)
	l.v.SetBytes(&lo)
	s.v.Mul(&twoTo256).Add(&l.v)
	clear(hi[:])
	clear(lo[:])
	return &s
}

func (secpGroup) decode(b []byte) (scalar, error) {
	s := new(secpScalar)
	if len(b) != scalarSize || s.v.SetByteSlice(b) {
		return nil, fmt.Errorf("scalar: %w", errEncoding)
	}
	return s, nil
}

func (secpGroup) base(k scalar) point {
	p := new(secpPoint)
	secp.ScalarBaseMultNonConst(&k.(*secpScalar).v, &p.v)
	return p.affine()
}

func (g secpGroup) secretBase(k scalar, random io.Reader) (point, error) {
	blind, err := drawScalar(g, random)
	if err != nil {
		return nil, err
	}
	defer blind.wipe()
	rest := k.add(blind.neg())
	defer rest.wipe()
	return g.base(rest).add(g.base(blind)), nil
}

func (secpGroup) parse(b []byte) (point, error) {
	if len(b) != 33 {
		return nil, fmt.Errorf("point: %w", errEncoding)
	}
	key, err := secp.ParsePubKey(b)
	if err != nil {
		return nil, fmt.Errorf("point: %w: %w", errEncoding, err)
	}
	p := new(secpPoint)
	key.AsJacobian(&p.v)
	return p, nil
}

func (s *secpScalar) add(o scalar) scalar {
	r := new(secpScalar)
	r.v.Add2(&s.v, &o.(*secpScalar).v)
	return r
}

func (s *secpScalar) mul(o scalar) scalar {
	r := new(secpScalar)
	r.v.Mul2(&s.v, &o.(*secpScalar).v)
	return r
}

func (s *secpScalar) neg() scalar {
	r := new(secpScalar)
	r.v.NegateVal(&s.v)
	return r
}

func (s *secpScalar) inverse() scalar {
	r := new(secpScalar)
	r.v.InverseValNonConst(&s.v)
	return r
}

func (s *secpScalar) isZero() bool  { return s.v.IsZero() }
func (s *secpScalar) bytes() []byte { b := s.v.Bytes(); return b[:] }
func (s *secpScalar) wipe()         { s.v.Zero() }

func (p *secpPoint) affine() *secpPoint {
	if !p.isIdentity() {
		p.v.ToAffine()
	}
	return p
}

func (p *secpPoint) add(o point) point {
	r := new(secpPoint)
	secp.AddNonConst(&p.v, &o.(*secpPoint).v, &r.v)
	return r.affine()
}

func (p *secpPoint) neg() point {
	r := &secpPoint{p.v}
	r.v.Y.Negate(1).Normalize()
	return r
}

func (p *secpPoint) mul(k scalar) point {
	r := new(secpPoint)
	secp.ScalarMultNonConst(&k.(*secpScalar).v, &p.v, &r.v)
	return r.affine()
}

func (p *secpPoint) isIdentity() bool {
	return p.v.Z.IsZero() || p.v.X.IsZero() && p.v.Y.IsZero()
}

func (p *secpPoint) equal(o point) bool {
	q := o.(*secpPoint)
	if p.isIdentity() || q.isIdentity() {
		return p.isIdentity() == q.isIdentity()
	}
	return p.v.X.Equals(&q.v.X) && p.v.Y.Equals(&q.v.Y)
}

func (p *secpPoint) bytes() []byte {
	return secp.NewPublicKey(&p.v.X, &p.v.Y).SerializeCompressed()
}

// Ed25519, points as RFC 8032 encodes them and little-endian scalars.

type edGroup struct{}

type edScalar struct{ v edscalar.Scalar }

// Format shows nothing: most scalars are secret.
func (edScalar) Format(f fmt.State, _ rune) { redact.Format(f, "scalar") }

type edPoint struct{ v curve.EdwardsPoint }

func (edGroup) pointSize() int { return 32 }

func (edGroup) number(n uint64) scalar {
	s := new(edScalar)
	s.v.SetUint64(n)
	return s
}

func (edGroup) wide(b []byte) scalar {
	s := new(edScalar)
	if _, err := s.v.SetBytesModOrderWide(b[:64]); err != nil {
		panic(err) // 64 bytes always fit
	}
	return s
}

func (edGroup) decode(b []byte) (scalar, error) {
	s := new(edScalar)
	if len(b) != scalarSize {
		return nil, fmt.Errorf("scalar: %w", errEncoding)
	}
	if _, err := s.v.SetCanonicalBytes(b); err != nil {
		return nil, fmt.Errorf("scalar: %w", errEncoding)
	}
	return s, nil
}

func (edGroup) base(k scalar) point {
	p := new(edPoint)
	p.v.MulBasepoint(curve.ED25519_BASEPOINT_TABLE, &k.(*edScalar).v)
	return p
}

// secretBase: the multiplication is constant-time as it is.
func (g edGroup) secretBase(k scalar, _ io.Reader) (point, error) { return g.base(k), nil }

func (edGroup) parse(b []byte) (point, error) {
	c, err := curve.NewCompressedEdwardsYFromBytes(b)
	if err != nil || !c.IsCanonicalVartime() {
		return nil, fmt.Errorf("point: %w", errEncoding)
	}
	p := new(edPoint)
	if _, err := p.v.SetCompressedY(c); err != nil {
		return nil, fmt.Errorf("point: %w: %w", errEncoding, err)
	}
	if p.v.IsIdentity() || !p.v.IsTorsionFree() {
		return nil, fmt.Errorf("point: %w: not in the prime-order group", errEncoding)
	}
	return p, nil
}

func (s *edScalar) add(o scalar) scalar {
	r := new(edScalar)
	r.v.Add(&s.v, &o.(*edScalar).v)
	return r
}

func (s *edScalar) mul(o scalar) scalar {
	r := new(edScalar)
	r.v.Mul(&s.v, &o.(*edScalar).v)
	return r
}

func (s *edScalar) neg() scalar {
	r := new(edScalar)
	r.v.Neg(&s.v)
	return r
}

func (s *edScalar) inverse() scalar {
	r := new(edScalar)
	r.v.Invert(&s.v)
	return r
}

func (s *edScalar) isZero() bool { return s.v.Equal(edscalar.New()) == 1 }

func (s *edScalar) bytes() []byte {
	b := make([]byte, scalarSize)
	if err := s.v.ToBytes(b); err != nil {
		panic(err) // the size is right
	}
	return b
}

func (s *edScalar) wipe() { s.v.Zero() }

func (p *edPoint) add(o point) point {
	r := new(edPoint)
	r.v.Add(&p.v, &o.(*edPoint).v)
	return r
}

func (p *edPoint) neg() point {
	r := new(edPoint)
	r.v.Neg(&p.v)
	return r
}

func (p *edPoint) mul(k scalar) point {
	r := new(edPoint)
	r.v.Mul(&p.v, &k.(*edScalar).v)
	return r
}

func (p *edPoint) equal(o point) bool { return p.v.Equal(&o.(*edPoint).v) == 1 }
func (p *edPoint) isIdentity() bool   { return p.v.IsIdentity() }

func (p *edPoint) bytes() []byte {
	c := curve.NewCompressedEdwardsY()
	c.SetEdwardsPoint(&p.v)
	b, err := c.MarshalBinary()
	if err != nil {
		panic(err)
	}
	return b
}
