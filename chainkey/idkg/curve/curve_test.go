package curve

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"testing"

	dcr "github.com/decred/dcrd/dcrec/secp256k1/v4"
)

var curves = []Curve{Secp256k1, Ed25519}

func draw(t testing.TB, c Curve) *Scalar {
	t.Helper()
	var b [64]byte
	if _, err := rand.Read(b[:]); err != nil {
		t.Fatal(err)
	}
	return c.Wide(&b)
}

func order(c Curve) *big.Int {
	n, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	if c == Secp256k1 {
		n = dcr.Params().N
	}
	return n
}

// integer reads a scalar's encoding.
func integer(s *Scalar) *big.Int {
	b := s.Bytes()
	if s.Curve() == Ed25519 {
		slices.Reverse(b)
	}
	return new(big.Int).SetBytes(b)
}

// TestScalarsAgainstBig holds every operation against math/big, at the edges too.
func TestScalarsAgainstBig(t *testing.T) {
	for _, c := range curves {
		n := order(c)
		values := []*Scalar{c.Scalar(0), c.Scalar(1), c.Scalar(2), c.Scalar(1).Neg(), draw(t, c), draw(t, c)}
		check := func(what string, got *Scalar, want *big.Int) {
			t.Helper()
			if integer(got).Cmp(want.Mod(want, n)) != 0 {
				t.Errorf("%s: %s is %x, want %x", c, what, got.Bytes(), want)
			}
		}
		for _, a := range values {
			x := integer(a)
			check("neg", a.Neg(), new(big.Int).Neg(x))
			if a.IsZero() {
				check("invert", a.Invert(), new(big.Int))
			} else {
				check("invert", a.Invert(), new(big.Int).ModInverse(x, n))
			}
			if c == Secp256k1 && a.IsHigh() != (x.Cmp(new(big.Int).Rsh(n, 1)) > 0) {
				t.Errorf("%x: high is %v", a.Bytes(), a.IsHigh())
			}
			for _, b := range values {
				y := integer(b)
				check("add", a.Add(b), new(big.Int).Add(x, y))
				check("sub", a.Sub(b), new(big.Int).Sub(x, y))
				check("mul", a.Mul(b), new(big.Int).Mul(x, y))
				if a.Equal(b) != (x.Cmp(y) == 0) {
					t.Errorf("%s: %x and %x equal: %v", c, a.Bytes(), b.Bytes(), a.Equal(b))
				}
			}
			again, err := c.DecodeScalar(a.Bytes())
			if err != nil || !again.Equal(a) {
				t.Errorf("%s: %x does not decode: %v", c, a.Bytes(), err)
			}
			clone := a.Clone()
			clone.Wipe()
			if !clone.IsZero() || a.IsZero() != (x.Sign() == 0) {
				t.Error("wiping a clone")
			}
		}
		var wide [64]byte
		_, _ = rand.Read(wide[:])
		b := bytes.Clone(wide[:])
		half := bytes.Clone(wide[:32])
		if c == Ed25519 {
			slices.Reverse(b)
			slices.Reverse(half)
		}
		check("wide", c.Wide(&wide), new(big.Int).SetBytes(b))
		check("reduce", c.Reduce((*[32]byte)(wide[:32])), new(big.Int).SetBytes(half))
		check("wide of ones", c.Wide((*[64]byte)(bytes.Repeat([]byte{255}, 64))), new(big.Int).SetBytes(bytes.Repeat([]byte{255}, 64)))
	}
}

// TestPointsAgainstOthers holds multiplications against dcrd's secp256k1 and the standard library's Ed25519.
func TestPointsAgainstOthers(t *testing.T) {
	for range 20 {
		s := draw(t, Secp256k1)
		want := dcr.PrivKeyFromBytes(s.Bytes()).PubKey().SerializeCompressed()
		for what, p := range map[string]*Point{"Mul": Secp256k1.Mul(s), "Point.Mul": Secp256k1.Base().Mul(s), "MulVar": Secp256k1.Base().MulVar(s),
			"SumVar": Secp256k1.SumVar([]*Scalar{s}, []*Point{Secp256k1.Base()})} {
			if !bytes.Equal(p.Bytes(), want) {
				t.Errorf("%s: %v, dcrd says %x", what, p, want)
			}
		}
	}
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	h := sha512.Sum512(make([]byte, 32))
	h[0] &= 248
	h[31] = h[31]&127 | 64
	s := Ed25519.Reduce((*[32]byte)(h[:32]))
	if got := Ed25519.Mul(s).Bytes(); !bytes.Equal(got, key.Public().(ed25519.PublicKey)) {
		t.Errorf("Ed25519: %x, the standard library says %x", got, key.Public())
	}
}

// TestGroup holds the operations on points against each other.
func TestGroup(t *testing.T) {
	for _, c := range curves {
		t.Run(c.String(), func(t *testing.T) {
			a, b := draw(t, c), draw(t, c)
			pa, pb := c.Mul(a), c.Mul(b)
			equal := func(what string, p, q *Point) {
				t.Helper()
				if !p.Equal(q) || !p.IsIdentity() && !bytes.Equal(p.Bytes(), q.Bytes()) {
					t.Errorf("%s: %v and %v", what, p, q)
				}
			}
			equal("add", pa.Add(pb), c.Mul(a.Add(b)))
			equal("sub", pa.Sub(pb), c.Mul(a.Sub(b)))
			equal("neg", pa.Neg(), c.Mul(a.Neg()))
			equal("mul", pa.Mul(b), c.Mul(a.Mul(b)))
			equal("mulVar", pa.MulVar(b), pa.Mul(b))
			equal("mulH", c.MulH(a), c.H().MulVar(a))
			equal("identity", pa.Sub(pa), c.Identity())
			equal("times zero", pa.Mul(c.Scalar(0)), c.Identity())
			equal("with the base point", c.SumVar([]*Scalar{a, b}, []*Point{c.Base(), pb}), c.Mul(a).Add(pb.Mul(b)))
			equal("with the base point last", c.SumVar([]*Scalar{a, b}, []*Point{pb, c.Base()}), c.Mul(b).Add(pb.Mul(a)))
			equal("encoded", pa.Encoded(), pa)
			pa.Encoded().Bytes()[0]++
			equal("zero in a sum", c.SumVar([]*Scalar{a, c.Scalar(0), b}, []*Point{c.Base(), pa, c.H()}), c.Mul(a).Add(c.MulH(b)))
			for _, n := range []uint16{0, 1, 2, 3, 13, 255, 256, 65535} {
				equal(fmt.Sprint("small ", n), pa.MulSmallVar(n), pa.MulVar(c.Scalar(uint64(n))))
			}
			if c.H().Equal(c.Base()) || c.Hash("a", nil).Equal(c.Hash("b", nil)) || c.Hash("a", []byte{1}).Equal(c.Hash("a", []byte{2})) {
				t.Error("hashes coincide")
			}
			wiped := pa.Add(c.Identity()).Encoded()
			wiped.Wipe()
			if !wiped.IsIdentity() || pa.Encoded().IsIdentity() || bytes.Equal(wiped.Bytes(), pa.Bytes()) {
				t.Error("wiping a point")
			}
			coefficients := []*Scalar{a, b, draw(t, c)}
			var points []*Point
			for _, s := range coefficients {
				points = append(points, c.Mul(s))
			}
			seats := []int{0, 3, 12}
			for _, x := range []*Scalar{c.Scalar(0), c.Place(5), c.Place(3)} {
				sum, want := c.Scalar(0), coefficients[0].Add(coefficients[1].Mul(x)).Add(coefficients[2].Mul(x).Mul(x))
				for i, l := range c.Lagrange(seats, x) {
					sum = sum.Add(l.Mul(c.Evaluate(coefficients, seats[i])))
				}
				if !sum.Equal(want) {
					t.Error("interpolation gives another value")
				}
			}
			for seat := range 13 {
				equal("evaluation", c.EvaluateVar(points, seat), c.Mul(c.Evaluate(coefficients, seat)))
			}
		})
	}
}

// TestEncodingsAreStrict: one encoding per value, no neutral element, nothing outside the group of prime order.
func TestEncodingsAreStrict(t *testing.T) {
	for _, c := range curves {
		bad := map[string][]byte{"empty": {}, "short": make([]byte, c.PointSize()-1), "long": make([]byte, c.PointSize()+1), "zeros": make([]byte, c.PointSize()),
			"ones": bytes.Repeat([]byte{255}, c.PointSize())}
		if c == Ed25519 {
			bad["identity"] = append([]byte{1}, make([]byte, 31)...)
			bad["order two"] = append(append([]byte{0xec}, bytes.Repeat([]byte{255}, 30)...), 0x7f)
			bad["identity with another y"] = append(append([]byte{0xee}, bytes.Repeat([]byte{255}, 30)...), 0x7f)
			two, err := edDecode(bad["order two"])
			if err != nil {
				t.Fatal(err)
			}
			bad["base plus a point of order two"] = c.Base().Add(two).Bytes()
		} else {
			bad["x on no point"] = append([]byte{2}, append(make([]byte, 31), 5)...)
			bad["uncompressed"] = c.Base().k.UncompressedBytes()
			bad["hybrid tag"] = append([]byte{6}, c.Base().Bytes()[1:]...)
			bad["x above the field"] = append([]byte{2}, bytes.Repeat([]byte{255}, 32)...)
		}
		for name, b := range bad {
			if _, err := c.ParsePoint(b); !errors.Is(err, ErrEncoding) {
				t.Errorf("%s, %s: %v", c, name, err)
			}
		}
		n := order(c).FillBytes(make([]byte, 32))
		if c == Ed25519 {
			slices.Reverse(n)
		}
		for name, b := range map[string][]byte{"order": n, "short": n[1:], "ones": bytes.Repeat([]byte{255}, 32), "long": make([]byte, 33)} {
			if _, err := c.DecodeScalar(b); !errors.Is(err, ErrEncoding) {
				t.Errorf("%s scalar %s: %v", c, name, err)
			}
		}
	}
	if s := fmt.Sprintf("%v %+v %x %s", Secp256k1.Scalar(77), Ed25519.Scalar(77), Ed25519.Scalar(77), Ed25519.Scalar(77)); s != "scalar scalar scalar scalar" {
		t.Errorf("scalars print as %q", s)
	}
}

// edDecode parses without asking for the group of prime order.
func edDecode(b []byte) (*Point, error) {
	p := Ed25519.Identity()
	return p, p.e.UnmarshalBinary(b)
}

func FuzzPoint(f *testing.F) {
	for _, c := range curves {
		f.Add(uint8(c), c.Base().Bytes())
		f.Add(uint8(c), c.H().Bytes())
	}
	f.Fuzz(func(t *testing.T, id uint8, b []byte) {
		c := Curve(id)
		if !c.Valid() {
			return
		}
		if p, err := c.ParsePoint(b); err == nil && !bytes.Equal(p.Bytes(), b) {
			t.Errorf("%s: %x reads as %v", c, b, p)
		}
		if s, err := c.DecodeScalar(b); err == nil && !bytes.Equal(s.Bytes(), b) {
			t.Errorf("%s: scalar %x reads as %x", c, b, s.Bytes())
		}
	})
}

func BenchmarkMul(b *testing.B) {
	for _, c := range curves {
		s, p := draw(b, c), c.Mul(draw(b, c))
		for name, f := range map[string]func(){"G": func() { c.Mul(s) }, "H": func() { c.MulH(s) }, "P": func() { p.Mul(s) }, "PVar": func() { p.MulVar(s) },
			"sum4Var": func() { c.SumVar([]*Scalar{s, s, s, s}, []*Point{p, p, p, p}) }, "hash": func() { c.Hash("x", nil) },
			"parse": func() { _, _ = c.ParsePoint(c.Base().Bytes()) }, "small13": func() { p.MulSmallVar(13) }} {
			b.Run(fmt.Sprint(c, "/", name), func(b *testing.B) {
				for range b.N {
					f()
				}
			})
		}
	}
}
