package idkg

import (
	"testing"

	"fusion/chainkey/idkg/curve"
)

// TestProofs: each relation is proven by who knows the secrets, and by nobody else: not with other secrets, images, bases, purposes or
// contexts, and not with an image that is chosen after the challenge, which a hash that forgot the images would allow.
func TestProofs(t *testing.T) {
	for _, c := range []curve.Curve{curve.Secp256k1, curve.Ed25519} {
		random, err := newStream(seeded("proofs", c), "test", [32]byte{})
		if err != nil {
			t.Fatal(err)
		}
		x, y, z := random.scalar(c), random.scalar(c), random.scalar(c)
		base, right := c.Hash("a", nil), c.Mul(y).Add(c.MulH(z))
		for name, p := range map[string]struct {
			relation
			secrets []*curve.Scalar
		}{
			"possession":       {possession(c, c.Mul(x)), []*curve.Scalar{x}},
			"equal logarithms": {equalLogarithms(c, c.Mul(x), base, base.Mul(x)), []*curve.Scalar{x}},
			"equal openings":   {equalOpenings(c, c.Mul(x).Add(c.MulH(y)), c.Mul(x)), []*curve.Scalar{y}},
			"product":          {product(c, c.Mul(x), right, right.Mul(x).Add(c.MulH(y))), []*curve.Scalar{x, y}},
		} {
			context := [32]byte{1}
			good := p.prove("test", context, random, p.secrets...)
			if !p.verify("test", context, good) {
				t.Errorf("%s, %s: a proof does not hold", c, name)
			}
			refused := func(what string, r relation, purpose string, context [32]byte, g *proof) {
				t.Helper()
				if r.verify(purpose, context, g) {
					t.Errorf("%s, %s: %s holds", c, name, what)
				}
			}
			refused("another purpose", p.relation, "other", context, good)
			refused("another context", p.relation, "test", [32]byte{2}, good)
			refused("no proof", p.relation, "test", context, nil)
			refused("a response too few", p.relation, "test", context, &proof{good.challenge, good.responses[1:]})
			refused("a response too many", p.relation, "test", context, &proof{good.challenge, append([]*curve.Scalar{x}, good.responses...)})
			for i := range p.secrets {
				wrong := append([]*curve.Scalar{}, p.secrets...)
				wrong[i] = wrong[i].Add(c.Scalar(1))
				refused("a proof of other secrets", p.relation, "test", context, p.prove("test", context, random, wrong...))
				moved := append([]*curve.Scalar{}, good.responses...)
				moved[i] = moved[i].Add(c.Scalar(1))
				refused("another response", p.relation, "test", context, &proof{good.challenge, moved})
			}
			refused("another challenge", p.relation, "test", context, &proof{good.challenge.Add(c.Scalar(1)), good.responses})
			for row := range p.bases {
				r := relation{c, p.bases, append([]*curve.Point{}, p.images...)}
				r.images[row] = r.images[row].Add(c.Base())
				refused("another image", r, "test", context, good)
				for j, b := range p.bases[row] {
					if b == nil {
						continue
					}
					r := relation{c, [][]*curve.Point{}, p.images}
					for _, bs := range p.bases {
						r.bases = append(r.bases, append([]*curve.Point{}, bs...))
					}
					r.bases[row][j] = b.Add(c.H())
					refused("another base", r, "test", context, good)
				}
				// Nonce points and responses first, then the image that fits them.
				r = relation{c, p.bases, append([]*curve.Point{}, p.images...)}
				nonces, responses := []*curve.Point{}, random.scalars(c, len(p.secrets))
				for range p.bases {
					nonces = append(nonces, c.Mul(random.scalar(c)))
				}
				challenge := r.challenge("test", context, nonces)
				for i, bases := range p.bases {
					sum := c.Identity()
					for j, b := range bases {
						if b != nil {
							sum = sum.Add(b.Mul(responses[j]))
						}
					}
					r.images[i] = sum.Sub(nonces[i]).Mul(challenge.Invert())
				}
				refused("an image chosen after the challenge", r, "test", context, &proof{challenge, responses})
			}
		}
	}
}
