package derive

import (
	"crypto/hkdf"
	"crypto/sha512"
	"fmt"
	"math/big"
	"slices"
)

// EdChild is the result of an Ed25519 derivation.
type EdChild struct {
	PublicKey [32]byte // RFC 8032 encoding
	ChainCode [32]byte
	Tweak     [32]byte // little-endian sum of the tweaks along the path modulo the group order
}

// Ed25519 derives the key at path below (public, chainCode). Every element is one HKDF-SHA512 with the chain code as salt,
// the encoded public key and the element as input and "Ed25519" as info: 64 bytes of tweak (big-endian, reduced), then the
// next chain code.
func Ed25519(public, chainCode [32]byte, path [][]byte) (EdChild, error) {
	if len(path) > MaxPathLength {
		return EdChild{}, fmt.Errorf("%w: %d elements", ErrPathTooLong, len(path))
	}
	point, ok := edDecode(public)
	if !ok {
		return EdChild{}, ErrPublicKey
	}
	sum := new(big.Int)
	for _, element := range path {
		okm, err := hkdf.Key(sha512.New, append(slices.Clone(public[:]), element...), chainCode[:], "Ed25519", 96)
		if err != nil {
			return EdChild{}, fmt.Errorf("deriving a path element: %w", err)
		}
		tweak := new(big.Int).SetBytes(okm[:64])
		tweak.Mod(tweak, edOrder)
		sum.Mod(sum.Add(sum, tweak), edOrder)
		point = point.add(edBase.mul(tweak))
		public = point.encode()
		chainCode = [32]byte(okm[64:])
	}
	var tweak [32]byte
	sum.FillBytes(tweak[:])
	slices.Reverse(tweak[:])
	return EdChild{PublicKey: public, ChainCode: chainCode, Tweak: tweak}, nil
}

// The curve of RFC 8032 section 5.1, in extended coordinates over math/big: a few path elements per call do not ask for more.
var (
	edP     = sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	edOrder = bigFrom("7237005577332262213973186563042994240857116359379907606001950938285454250989")
	edD     = bigFrom("37095705934669439343138083508754565189542113879843219016388785533085940283555")
	edSqrt1 = bigFrom("19681161376707505956807079304988542015446066515923890162744021073123829784752") // a square root of -1
	edD2    = mulP(edD, big.NewInt(2))
	edBase  = affine(
		bigFrom("15112221349535400772501151409588531511454012693041857206046113283949847762202"),
		bigFrom("46316835694926478169428394003475163141307993866256225615783033603165251855960"))
)

// edPoint is the point (x/z, y/z) with t = xy/z.
type edPoint struct{ x, y, z, t *big.Int }

func affine(x, y *big.Int) edPoint { return edPoint{x, y, big.NewInt(1), mulP(x, y)} }

func bigFrom(decimal string) *big.Int {
	v, ok := new(big.Int).SetString(decimal, 10)
	if !ok {
		panic("derive: bad constant " + decimal)
	}
	return v
}

func sub(a, b *big.Int) *big.Int { return new(big.Int).Sub(a, b) }

func mulP(a, b *big.Int) *big.Int {
	v := new(big.Int).Mul(a, b)
	return v.Mod(v, edP)
}

// add is the complete addition of twisted Edwards curves with a = -1 (RFC 8032 section 5.1.4).
func (p edPoint) add(q edPoint) edPoint {
	plus := func(a, b *big.Int) *big.Int { return new(big.Int).Add(a, b) }
	a := mulP(sub(p.y, p.x), sub(q.y, q.x))
	b := mulP(plus(p.y, p.x), plus(q.y, q.x))
	c := mulP(mulP(p.t, edD2), q.t)
	d := mulP(plus(p.z, p.z), q.z)
	e, f, g, h := sub(b, a), sub(d, c), plus(d, c), plus(b, a)
	return edPoint{mulP(e, f), mulP(g, h), mulP(f, g), mulP(e, h)}
}

func (p edPoint) mul(k *big.Int) edPoint {
	r := affine(big.NewInt(0), big.NewInt(1))
	for i := k.BitLen() - 1; i >= 0; i-- {
		r = r.add(r)
		if k.Bit(i) == 1 {
			r = r.add(p)
		}
	}
	return r
}

func (p edPoint) encode() (out [32]byte) {
	inverse := new(big.Int).ModInverse(p.z, edP)
	x, y := mulP(p.x, inverse), mulP(p.y, inverse)
	y.FillBytes(out[:])
	slices.Reverse(out[:])
	out[31] |= byte(x.Bit(0)) << 7
	return out
}

// edDecode follows RFC 8032 section 5.1.3.
func edDecode(b [32]byte) (edPoint, bool) {
	sign := uint(b[31] >> 7)
	b[31] &= 0x7f
	slices.Reverse(b[:])
	y := new(big.Int).SetBytes(b[:])
	if y.Cmp(edP) >= 0 {
		return edPoint{}, false
	}
	y2 := mulP(y, y)
	u := new(big.Int).Mod(sub(y2, big.NewInt(1)), edP)
	v := new(big.Int).Mod(new(big.Int).Add(mulP(edD, y2), big.NewInt(1)), edP) // never zero: -1/d is not a square
	w := mulP(u, new(big.Int).ModInverse(v, edP))
	// p = 5 mod 8: a root of w is w^((p+3)/8), up to the root of -1.
	x := new(big.Int).Exp(w, new(big.Int).Rsh(new(big.Int).Add(edP, big.NewInt(3)), 3), edP)
	if mulP(x, x).Cmp(w) != 0 {
		if x = mulP(x, edSqrt1); mulP(x, x).Cmp(w) != 0 {
			return edPoint{}, false
		}
	}
	if x.Sign() == 0 && sign == 1 {
		return edPoint{}, false
	}
	if x.Bit(0) != sign {
		x = sub(edP, x)
	}
	return affine(x, y), true
}
