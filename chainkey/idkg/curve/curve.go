// Package curve is the arithmetic of package idkg: scalars and points of two groups of prime order, secp256k1 and the subgroup of
// edwards25519, behind one set of types.
//
// Whatever touches a secret runs in constant time: all operations on scalars, Curve.Mul, Curve.MulH and Point.Mul. What has Var in its
// name takes a time that depends on its input and is for public values. Underneath are gitlab.com/yawning/secp256k1-voi (field and
// scalar code from fiat-crypto, complete addition formulas) and github.com/oasisprotocol/curve25519-voi; RATIONALE.md says why.
//
// Operations return new values and change none, except Wipe. Mixing curves is a programming error and panics.
package curve

import (
	"errors"
	"fmt"
	"slices"

	edwards "github.com/oasisprotocol/curve25519-voi/curve"
	edscalar "github.com/oasisprotocol/curve25519-voi/curve/scalar"
	edhash "github.com/oasisprotocol/curve25519-voi/primitives/h2c"
	secp "gitlab.com/yawning/secp256k1-voi"
	secphash "gitlab.com/yawning/secp256k1-voi/secec/h2c"

	"fusion/internal/redact"
)

// ErrEncoding says that bytes are not the one encoding of a scalar or of a point other than the neutral element.
var ErrEncoding = errors.New("not a canonical encoding")

// ScalarSize is the size of a scalar on both curves, in bytes.
const ScalarSize = 32

// Curve names a group.
type Curve uint8

// The groups.
const (
	Secp256k1 Curve = 1
	Ed25519   Curve = 2
)

// Valid reports whether there is such a curve.
func (c Curve) Valid() bool { return c == Secp256k1 || c == Ed25519 }

func (c Curve) String() string {
	switch c {
	case Secp256k1:
		return "secp256k1"
	case Ed25519:
		return "ed25519"
	}
	return fmt.Sprintf("curve(%d)", uint8(c))
}

// PointSize is the size of an encoded point in bytes: SEC 1 compressed, or as RFC 8032 encodes it.
func (c Curve) PointSize() int {
	if c == Ed25519 {
		return 32
	}
	return 33
}

// Scalar is a number modulo the group's order. It is taken for a secret: it prints as nothing.
type Scalar struct {
	k *secp.Scalar // either
	e *edscalar.Scalar
}

// Format shows nothing.
func (*Scalar) Format(f fmt.State, _ rune) { redact.Format(f, "scalar") }

// twoTo256 is 2^256 modulo the order of secp256k1.
var twoTo256 = func() *secp.Scalar {
	s, _ := secp.NewScalarFromBytes(&[32]byte{15: 1}) // 2^128
	return s.Multiply(s, s)
}()

// Scalar is a small number.
func (c Curve) Scalar(n uint64) *Scalar {
	if c == Ed25519 {
		return &Scalar{e: edscalar.NewFromUint64(n)}
	}
	return &Scalar{k: secp.NewScalarFromUint64(n)}
}

// Wide reduces 64 bytes, read in the curve's own byte order. Uniform bytes give a scalar whose bias is below 2^-250.
func (c Curve) Wide(b *[64]byte) *Scalar {
	if c == Ed25519 {
		s, err := edscalar.NewFromBytesModOrderWide(b[:])
		if err != nil {
			panic(err) // 64 bytes always fit
		}
		return &Scalar{e: s}
	}
	hi, _ := secp.NewScalarFromBytes((*[32]byte)(b[:32]))
	lo, _ := secp.NewScalarFromBytes((*[32]byte)(b[32:]))
	hi.Multiply(hi, twoTo256)
	hi.Add(hi, lo)
	lo.Zero()
	return &Scalar{k: hi}
}

// Reduce reads 32 bytes in the curve's own byte order modulo the group's order, as ECDSA does with hashes.
func (c Curve) Reduce(b *[32]byte) *Scalar {
	if c == Ed25519 {
		s, err := edscalar.NewFromBytesModOrder(b[:])
		if err != nil {
			panic(err) // 32 bytes always fit
		}
		return &Scalar{e: s}
	}
	s, _ := secp.NewScalarFromBytes(b)
	return &Scalar{k: s}
}

// DecodeScalar takes a scalar's one encoding, in the curve's own byte order.
func (c Curve) DecodeScalar(b []byte) (*Scalar, error) {
	if len(b) != ScalarSize {
		return nil, fmt.Errorf("scalar of %d bytes: %w", len(b), ErrEncoding)
	}
	if c == Ed25519 {
		s, err := edscalar.NewFromCanonicalBytes(b)
		if err != nil {
			return nil, fmt.Errorf("scalar: %w", ErrEncoding)
		}
		return &Scalar{e: s}, nil
	}
	s, err := secp.NewScalarFromCanonicalBytes((*[32]byte)(b))
	if err != nil {
		return nil, fmt.Errorf("scalar: %w", ErrEncoding)
	}
	return &Scalar{k: s}, nil
}

// Curve is the scalar's.
func (s *Scalar) Curve() Curve {
	if s.e != nil {
		return Ed25519
	}
	return Secp256k1
}

// Add returns s + o.
func (s *Scalar) Add(o *Scalar) *Scalar {
	if s.e != nil {
		return &Scalar{e: edscalar.New().Add(s.e, o.e)}
	}
	return &Scalar{k: secp.NewScalar().Add(s.k, o.k)}
}

// Sub returns s − o.
func (s *Scalar) Sub(o *Scalar) *Scalar {
	if s.e != nil {
		return &Scalar{e: edscalar.New().Sub(s.e, o.e)}
	}
	return &Scalar{k: secp.NewScalar().Subtract(s.k, o.k)}
}

// Mul returns s · o.
func (s *Scalar) Mul(o *Scalar) *Scalar {
	if s.e != nil {
		return &Scalar{e: edscalar.New().Mul(s.e, o.e)}
	}
	return &Scalar{k: secp.NewScalar().Multiply(s.k, o.k)}
}

// Neg returns −s.
func (s *Scalar) Neg() *Scalar {
	if s.e != nil {
		return &Scalar{e: edscalar.New().Neg(s.e)}
	}
	return &Scalar{k: secp.NewScalar().Negate(s.k)}
}

// Invert returns 1/s; of zero it is zero.
func (s *Scalar) Invert() *Scalar {
	if s.e != nil {
		return &Scalar{e: edscalar.New().Invert(s.e)}
	}
	return &Scalar{k: secp.NewScalar().Invert(s.k)}
}

// Equal compares.
func (s *Scalar) Equal(o *Scalar) bool {
	if s.e != nil {
		return s.e.Equal(o.e) == 1
	}
	return s.k.Equal(o.k) == 1
}

// IsZero reports whether s is zero.
func (s *Scalar) IsZero() bool {
	if s.e != nil {
		return s.e.Equal(edscalar.New()) == 1
	}
	return s.k.IsZero() == 1
}

// IsHigh reports whether a scalar of secp256k1 lies above half the order. It is for public scalars.
func (s *Scalar) IsHigh() bool { return s.k.IsGreaterThanHalfN() == 1 }

// Bytes is the encoding.
func (s *Scalar) Bytes() []byte {
	if s.e != nil {
		b := make([]byte, ScalarSize)
		if err := s.e.ToBytes(b); err != nil {
			panic(err) // the size is right
		}
		return b
	}
	return s.k.Bytes()
}

// Clone copies.
func (s *Scalar) Clone() *Scalar {
	if s.e != nil {
		return &Scalar{e: edscalar.New().Set(s.e)}
	}
	return &Scalar{k: secp.NewScalarFrom(s.k)}
}

// Wipe overwrites the scalar with zero. Copies in registers and on stacks remain: this is best effort.
func (s *Scalar) Wipe() {
	switch {
	case s == nil:
	case s.e != nil:
		s.e.Zero()
	default:
		s.k.Zero()
	}
}

// Point is an element of the group. Nothing but Wipe changes it once it is made, so that goroutines may share it.
type Point struct {
	k *secp.Point // either
	e *edwards.EdwardsPoint
	b []byte // the encoding, where it is known: computing it takes an inversion
}

// Format writes the encoding: points are public.
func (p *Point) Format(f fmt.State, _ rune) { redact.Format(f, fmt.Sprintf("%x", p.Bytes())) }

// Wipe makes a point that was secret, such as that of a Diffie-Hellman exchange, the neutral element.
func (p *Point) Wipe() {
	clear(p.b)
	p.b = nil
	if p.e != nil {
		p.e.Identity()
	} else {
		p.k.Identity()
	}
}

// second is the other generator of each group, whose discrete logarithm nobody knows: RFC 9380's hash of a fixed text.
var second = map[Curve]*Point{
	Secp256k1: Secp256k1.Hash("fusion/chainkey/idkg/v1/second-generator", nil).Encoded(),
	Ed25519:   Ed25519.Hash("fusion/chainkey/idkg/v1/second-generator", nil).Encoded(),
}

var base = map[Curve]*Point{
	Secp256k1: (&Point{k: secp.NewGeneratorPoint()}).Encoded(),
	Ed25519:   (&Point{e: edwards.NewEdwardsPoint().Set(edwards.ED25519_BASEPOINT_POINT)}).Encoded(),
}

var edSecond = edwards.NewEdwardsBasepointTable(second[Ed25519].e)

// Base is the generator that the curve's standard names.
func (c Curve) Base() *Point { return base[c] }

// H is the second generator.
func (c Curve) H() *Point { return second[c] }

// Identity is the neutral element. It has no encoding.
func (c Curve) Identity() *Point {
	if c == Ed25519 {
		return &Point{e: edwards.NewEdwardsPoint().Identity()}
	}
	return &Point{k: secp.NewIdentityPoint()}
}

// Hash is the random oracle into the group of RFC 9380: secp256k1_XMD:SHA-256_SSWU_RO_ and edwards25519_XMD:SHA-512_ELL2_RO_.
func (c Curve) Hash(domain string, message []byte) *Point {
	if c == Ed25519 {
		p, err := edhash.Edwards25519_XMD_SHA512_ELL2_RO([]byte(domain), message)
		if err != nil {
			panic(err) // the domain is a constant of ours
		}
		return &Point{e: p}
	}
	p, err := secphash.Secp256k1_XMD_SHA256_SSWU_RO([]byte(domain), message)
	if err != nil {
		panic(err)
	}
	return &Point{k: p}
}

// Mul returns s·G in constant time.
func (c Curve) Mul(s *Scalar) *Point {
	if c == Ed25519 {
		return &Point{e: edwards.NewEdwardsPoint().MulBasepoint(edwards.ED25519_BASEPOINT_TABLE, s.e)}
	}
	return &Point{k: secp.NewIdentityPoint().ScalarBaseMult(s.k)}
}

// MulH returns s·H in constant time.
func (c Curve) MulH(s *Scalar) *Point {
	if c == Ed25519 {
		return &Point{e: edwards.NewEdwardsPoint().MulBasepoint(edSecond, s.e)}
	}
	return second[c].Mul(s)
}

// SumVar returns Σ scalars[i]·points[i]. It is for public values.
func (c Curve) SumVar(scalars []*Scalar, points []*Point) *Point {
	if len(scalars) != len(points) {
		panic("curve: sum of lists of different length")
	}
	if len(scalars) == 0 {
		return c.Identity()
	}
	if len(scalars) == 2 && points[1] == base[c] {
		scalars, points = []*Scalar{scalars[1], scalars[0]}, []*Point{points[1], points[0]}
	}
	if len(scalars) == 2 && points[0] == base[c] { // with tables of the base point
		if c == Ed25519 {
			return &Point{e: edwards.NewEdwardsPoint().DoubleScalarMulBasepointVartime(scalars[1].e, points[1].e, scalars[0].e)}
		}
		return &Point{k: secp.NewIdentityPoint().DoubleScalarMultBasepointVartime(scalars[0].k, scalars[1].k, points[1].k)}
	}
	if c == Ed25519 {
		ss, ps := make([]*edscalar.Scalar, len(scalars)), make([]*edwards.EdwardsPoint, len(points))
		for i := range scalars {
			ss[i], ps[i] = scalars[i].e, points[i].e
		}
		return &Point{e: edwards.NewEdwardsPoint().MultiscalarMulVartime(ss, ps)}
	}
	if len(scalars) == 1 {
		return points[0].MulVar(scalars[0])
	}
	ss, ps := make([]*secp.Scalar, len(scalars)), make([]*secp.Point, len(points))
	for i := range scalars {
		ss[i], ps[i] = scalars[i].k, points[i].k
	}
	return &Point{k: secp.NewIdentityPoint().MultiScalarMultVartime(ss, ps)}
}

// ParsePoint takes a point's one encoding; the neutral element and points outside the group of prime order are refused.
func (c Curve) ParsePoint(b []byte) (*Point, error) {
	if len(b) != c.PointSize() {
		return nil, fmt.Errorf("point of %d bytes: %w", len(b), ErrEncoding)
	}
	if c == Ed25519 {
		y, err := edwards.NewCompressedEdwardsYFromBytes(b)
		if err != nil || !y.IsCanonicalVartime() {
			return nil, fmt.Errorf("point: %w", ErrEncoding)
		}
		p := edwards.NewEdwardsPoint()
		if _, err := p.SetCompressedY(y); err != nil || p.IsIdentity() || !p.IsTorsionFree() {
			return nil, fmt.Errorf("point: %w", ErrEncoding)
		}
		return &Point{e: p, b: slices.Clone(b)}, nil
	}
	p := secp.NewIdentityPoint()
	if _, err := p.SetCompressedBytes(b); err != nil {
		return nil, fmt.Errorf("point: %w", ErrEncoding)
	}
	return &Point{k: p, b: slices.Clone(b)}, nil
}

// Curve is the point's.
func (p *Point) Curve() Curve {
	if p.e != nil {
		return Ed25519
	}
	return Secp256k1
}

// Add returns p + o.
func (p *Point) Add(o *Point) *Point {
	if p.e != nil {
		return &Point{e: edwards.NewEdwardsPoint().Add(p.e, o.e)}
	}
	return &Point{k: secp.NewIdentityPoint().Add(p.k, o.k)}
}

// Sub returns p − o.
func (p *Point) Sub(o *Point) *Point {
	if p.e != nil {
		return &Point{e: edwards.NewEdwardsPoint().Sub(p.e, o.e)}
	}
	return &Point{k: secp.NewIdentityPoint().Subtract(p.k, o.k)}
}

// Neg returns −p.
func (p *Point) Neg() *Point {
	if p.e != nil {
		return &Point{e: edwards.NewEdwardsPoint().Neg(p.e)}
	}
	return &Point{k: secp.NewIdentityPoint().Negate(p.k)}
}

// Mul returns s·p in constant time.
func (p *Point) Mul(s *Scalar) *Point {
	if p.e != nil {
		return &Point{e: edwards.NewEdwardsPoint().Mul(p.e, s.e)}
	}
	return &Point{k: secp.NewIdentityPoint().ScalarMult(s.k, p.k)}
}

// MulVar returns s·p. It is for public scalars.
func (p *Point) MulVar(s *Scalar) *Point {
	if p.e != nil {
		return &Point{e: edwards.NewEdwardsPoint().DoubleScalarMulBasepointVartime(s.e, p.e, edscalar.New())}
	}
	return &Point{k: secp.NewIdentityPoint().DoubleScalarMultBasepointVartime(secp.NewScalar(), s.k, p.k)}
}

// MulSmallVar returns n·p for a small public n, such as a member's place.
func (p *Point) MulSmallVar(n uint16) *Point {
	sum := p.Curve().Identity()
	for bit := 15; bit >= 0; bit-- {
		if n>>bit == 0 {
			continue
		}
		sum = sum.Add(sum)
		if n>>bit&1 == 1 {
			sum = sum.Add(p)
		}
	}
	return sum
}

// Equal compares.
func (p *Point) Equal(o *Point) bool {
	if p.e != nil {
		return p.e.Equal(o.e) == 1
	}
	return p.k.Equal(o.k) == 1
}

// IsIdentity reports whether p is the neutral element.
func (p *Point) IsIdentity() bool {
	if p.e != nil {
		return p.e.IsIdentity()
	}
	return p.k.IsIdentity() == 1
}

// Encoded is the same point with its encoding computed once and for all.
func (p *Point) Encoded() *Point { return &Point{p.k, p.e, p.Bytes()} }

// Bytes is the encoding; the neutral element's cannot be parsed.
func (p *Point) Bytes() []byte {
	if p.b != nil {
		return slices.Clone(p.b)
	}
	if p.e != nil {
		b, err := p.e.MarshalBinary()
		if err != nil {
			panic(err)
		}
		return b
	}
	if p.k.IsIdentity() == 1 {
		return make([]byte, 33)
	}
	return p.k.CompressedBytes()
}

// XY is a point of secp256k1 other than the neutral element by its x, as an integer modulo the field, and whether y is odd.
func (p *Point) XY() (x [32]byte, odd bool) {
	b := p.Bytes()
	return [32]byte(b[1:]), b[0] == 3
}

// Place is where the member in a seat evaluates polynomials: seat+1.
func (c Curve) Place(seat int) *Scalar { return c.Scalar(uint64(seat) + 1) }

// Lagrange returns the coefficients by which values at the seats' places add up to the value of their polynomial at x. Seats must be
// distinct and x none of theirs, or exactly one of theirs.
func (c Curve) Lagrange(seats []int, x *Scalar) []*Scalar {
	out := make([]*Scalar, len(seats))
	for i, si := range seats {
		num, den := c.Scalar(1), c.Scalar(1)
		for j, sj := range seats {
			if i != j {
				num = num.Mul(x.Sub(c.Place(sj)))
				den = den.Mul(c.Place(si).Sub(c.Place(sj)))
			}
		}
		out[i] = num.Mul(den.Invert())
	}
	return out
}

// EvaluateVar is the value at a seat's place of a polynomial whose coefficients are points, lowest first.
func (c Curve) EvaluateVar(coefficients []*Point, seat int) *Point {
	place := uint16(seat + 1)
	sum := coefficients[len(coefficients)-1]
	for i := len(coefficients) - 2; i >= 0; i-- {
		sum = sum.MulSmallVar(place).Add(coefficients[i])
	}
	return sum
}

// Evaluate is the value at a seat's place of a polynomial, lowest coefficient first.
func (c Curve) Evaluate(coefficients []*Scalar, seat int) *Scalar {
	place := c.Place(seat)
	sum := c.Scalar(0)
	for i := len(coefficients) - 1; i >= 0; i-- {
		next := sum.Mul(place).Add(coefficients[i])
		sum.Wipe()
		sum = next
	}
	return sum
}
