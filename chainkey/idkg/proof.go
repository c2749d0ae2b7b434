package idkg

import (
	"fusion/chainkey/idkg/curve"
)

// relation is a claim about secrets x: image[row] = Σ x[j]·bases[row][j] for every row, where a nil base stands for no part. All proofs of
// this package are Schnorr's protocol for such relations, made non-interactive by Fiat and Shamir:
//
//	possession        P = x·G
//	equal logarithms  P = x·G, Q = x·B
//	equal openings    C − A = x·H         the masked C and the unmasked A hide the same value
//	product           L = a·G, P = a·R + x·H   P hides the product of what L and R do
type relation struct {
	curve  curve.Curve
	bases  [][]*curve.Point
	images []*curve.Point
}

// proof answers a challenge: one response per secret.
type proof struct {
	challenge *curve.Scalar
	responses []*curve.Scalar
}

func (r relation) challenge(purpose string, context [32]byte, nonces []*curve.Point) *curve.Scalar {
	h := newHash("proof/" + purpose).bytes(context[:]).number(uint64(r.curve))
	for row, bases := range r.bases {
		h.number(uint64(len(bases)))
		for _, b := range bases {
			if b == nil {
				h.bytes(nil)
			} else {
				h.bytes(b.Bytes())
			}
		}
		h.points(r.images[row], nonces[row])
	}
	return h.scalar(r.curve)
}

// mul multiplies a base by a secret; the two generators have faster ways.
func (r relation) mul(base *curve.Point, s *curve.Scalar) *curve.Point {
	switch {
	case base == r.curve.Base():
		return r.curve.Mul(s)
	case base == r.curve.H():
		return r.curve.MulH(s)
	}
	return base.Mul(s)
}

// prove takes one secret per column.
func (r relation) prove(purpose string, context [32]byte, random *stream, secrets ...*curve.Scalar) *proof {
	nonces := random.scalars(r.curve, len(secrets))
	defer wipe(nonces...)
	points := make([]*curve.Point, len(r.bases))
	for row, bases := range r.bases {
		sum := r.curve.Identity()
		for j, b := range bases {
			if b != nil {
				sum = sum.Add(r.mul(b, nonces[j]))
			}
		}
		points[row] = sum
	}
	p := &proof{challenge: r.challenge(purpose, context, points)}
	for j, x := range secrets {
		cx := p.challenge.Mul(x)
		p.responses = append(p.responses, nonces[j].Add(cx))
		cx.Wipe()
	}
	return p
}

// verify reports whether the prover knew the secrets.
func (r relation) verify(purpose string, context [32]byte, p *proof) bool {
	if p == nil || p.challenge == nil || len(p.responses) != len(r.bases[0]) {
		return false
	}
	minus := p.challenge.Neg()
	nonces := make([]*curve.Point, len(r.bases))
	for row, bases := range r.bases {
		scalars, points := []*curve.Scalar{minus}, []*curve.Point{r.images[row]}
		for j, b := range bases {
			if b != nil {
				scalars, points = append(scalars, p.responses[j]), append(points, b)
			}
		}
		nonces[row] = r.curve.SumVar(scalars, points)
	}
	return r.challenge(purpose, context, nonces).Equal(p.challenge)
}

func possession(c curve.Curve, image *curve.Point) relation {
	return relation{c, [][]*curve.Point{{c.Base()}}, []*curve.Point{image}}
}

func equalLogarithms(c curve.Curve, image, base, other *curve.Point) relation {
	return relation{c, [][]*curve.Point{{c.Base()}, {base}}, []*curve.Point{image, other}}
}

func equalOpenings(c curve.Curve, masked, unmasked *curve.Point) relation {
	return relation{c, [][]*curve.Point{{c.H()}}, []*curve.Point{masked.Sub(unmasked)}}
}

func product(c curve.Curve, left, right, result *curve.Point) relation {
	return relation{c, [][]*curve.Point{{c.Base(), nil}, {right, c.H()}}, []*curve.Point{left, result}}
}
