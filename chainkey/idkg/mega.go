package idkg

import (
	"fusion/chainkey/idkg/curve"
)

// ciphertext is one multi-recipient encryption: an ephemeral key V = r·G with V' = r·B and a proof that both have the same logarithm,
// where B is a hash of the context and V; and for each receiver its values, each plus a pad that is hashed from r·(receiver's key). The proof
// covers all of the ciphertext, so nobody can reuse a part of it in another dealing or context.
type ciphertext struct {
	ephemeral *curve.Point
	hashed    *curve.Point
	proof     *proof
	boxes     [][]*curve.Scalar // by seat: the value, and the mask where there is one
}

// popBase is B.
func popBase(context [32]byte, ephemeral *curve.Point) *curve.Point {
	return mega.Hash(domain+"mega/possession", append(context[:], ephemeral.Bytes()...)).Encoded()
}

// whole is what the proof is bound to.
func (c *ciphertext) whole(context [32]byte) [32]byte {
	h := newHash("mega/ciphertext").bytes(context[:]).number(uint64(len(c.boxes)))
	for _, box := range c.boxes {
		h.number(uint64(len(box)))
		for _, s := range box {
			h.bytes(s.Bytes())
		}
	}
	return h.digest()
}

// pads are the one-time pads of a receiver's entries.
func pads(c curve.Curve, context [32]byte, seat, entries int, receiver, ephemeral, shared *curve.Point) []*curve.Scalar {
	s := shared.Bytes()
	defer clear(s)
	out := make([]*curve.Scalar, entries)
	for entry := range out {
		out[entry] = newHash("mega/pad").bytes(context[:]).number(uint64(c)).number(uint64(seat)).number(uint64(entry)).points(receiver, ephemeral).
			bytes(s).scalar(c)
	}
	return out
}

// encrypt hides values[seat] for each receiver. The context names sharing, dealer and commitment.
func encrypt(c curve.Curve, context [32]byte, receivers *Roster, values [][]*curve.Scalar, random *stream) *ciphertext {
	r := random.scalar(mega)
	defer r.Wipe()
	out := &ciphertext{ephemeral: mega.Mul(r).Encoded()}
	base := popBase(context, out.ephemeral)
	out.hashed = base.Mul(r).Encoded()
	for seat, m := range receivers.members {
		var box []*curve.Scalar
		shared := m.encryption.Mul(r)
		for entry, p := range pads(c, context, seat, len(values[seat]), m.encryption, out.ephemeral, shared) {
			box = append(box, values[seat][entry].Add(p))
			p.Wipe()
		}
		shared.Wipe()
		out.boxes = append(out.boxes, box)
	}
	out.proof = equalLogarithms(mega, out.ephemeral, base, out.hashed).prove("mega", out.whole(context), random, r)
	return out
}

// verify checks the proof of possession.
func (c *ciphertext) verify(context [32]byte) bool {
	return equalLogarithms(mega, c.ephemeral, popBase(context, c.ephemeral), c.hashed).verify("mega", c.whole(context), c.proof)
}

// open takes a seat's values out with the shared point, which only the receiver, or whoever it shows the point to, has.
func (c *ciphertext) open(cv curve.Curve, context [32]byte, receivers *Roster, seat int, shared *curve.Point) []*curve.Scalar {
	out := pads(cv, context, seat, len(c.boxes[seat]), receivers.members[seat].encryption, c.ephemeral, shared)
	for entry, p := range out {
		out[entry] = c.boxes[seat][entry].Sub(p)
		p.Wipe()
	}
	return out
}
