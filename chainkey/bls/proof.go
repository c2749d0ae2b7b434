package bls

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/drand/kyber"
	kbls "github.com/drand/kyber-bls12381"
)

// The ceremony's groups: commitments live in G2 beside the public key, receiver keys and complaints in G1, where points are
// small and multiplication is fast.
var (
	suite = kbls.NewBLS12381SuiteWithDST(dst, nil)
	g1    = suite.G1()
	g2    = suite.G2()
)

const (
	pointSize = 48     // G1, compressed
	proofSize = 2 * 32 // challenge and response
)

var errProof = errors.New("proof does not hold")

// hasher builds unambiguous hash inputs: each part is preceded by its length.
type hasher struct{ b []byte }

func newHasher(domain string) *hasher { return (&hasher{}).add([]byte(domain)) }

func (h *hasher) add(parts ...[]byte) *hasher {
	for _, p := range parts {
		n := len(p)
		h.b = append(append(h.b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)), p...)
	}
	return h
}

func (h *hasher) num(v uint64) *hasher {
	return h.add(binary.BigEndian.AppendUint64(nil, v))
}

func (h *hasher) points(ps ...kyber.Point) *hasher {
	for _, p := range ps {
		h.add(encodePoint(p))
	}
	return h
}

func (h *hasher) sum() [32]byte { return sha256.Sum256(h.b) }

// scalar maps the input to an exponent: 512 bits reduced modulo a 255-bit order leave no usable bias.
func (h *hasher) scalar() kyber.Scalar {
	d := sha512.Sum512(h.b)
	return g1.Scalar().SetBytes(d[:])
}

func encodePoint(p kyber.Point) []byte {
	b, err := p.MarshalBinary()
	if err != nil {
		panic(fmt.Sprintf("bls: point cannot be encoded: %v", err))
	}
	return b
}

func encodeScalar(s kyber.Scalar) []byte {
	b, err := s.MarshalBinary()
	if err != nil || len(b) != SecretSize {
		panic(fmt.Sprintf("bls: scalar cannot be encoded: %d bytes, %v", len(b), err))
	}
	return b
}

// decodePoint reads a point of the prime-order subgroup other than the neutral element.
func decodePoint(g kyber.Group, b []byte) (kyber.Point, error) {
	p := g.Point()
	if len(b) != p.MarshalSize() {
		return nil, fmt.Errorf("point of %d bytes instead of %d", len(b), p.MarshalSize())
	}
	if err := p.UnmarshalBinary(b); err != nil {
		return nil, err
	}
	if p.Equal(g.Point().Null()) {
		return nil, errors.New("point is the neutral element")
	}
	return p, nil
}

func decodeScalar(b []byte) (kyber.Scalar, error) {
	s := g1.Scalar()
	if len(b) != SecretSize {
		return nil, fmt.Errorf("scalar of %d bytes", len(b))
	}
	if err := s.UnmarshalBinary(b); err != nil {
		return nil, err
	}
	return s, nil
}

// prove shows knowledge of one x with images[i] = x·bases[i] for all i, bound to the context: a Schnorr proof for one
// base, Chaum and Pedersen's for two. The nonce is derived from x and the statement, as in RFC 6979, so the proof is
// the same again.
func prove(x kyber.Scalar, context []byte, bases, images []kyber.Point) []byte {
	k := newHasher("fusion-dkg-nonce").add(encodeScalar(x), context).points(bases...).points(images...).scalar()
	commits := make([]kyber.Point, len(bases))
	for i, b := range bases {
		commits[i] = g1.Point().Mul(k, b)
	}
	c := challenge(context, bases, images, commits)
	s := g1.Scalar().Sub(k, g1.Scalar().Mul(c, x))
	return append(encodeScalar(c), encodeScalar(s)...)
}

// checkProof verifies prove's output.
func checkProof(proof, context []byte, bases, images []kyber.Point) error {
	if len(proof) != proofSize {
		return fmt.Errorf("%w: %d bytes", errProof, len(proof))
	}
	c, err := decodeScalar(proof[:SecretSize])
	if err != nil {
		return fmt.Errorf("%w: %w", errProof, err)
	}
	s, err := decodeScalar(proof[SecretSize:])
	if err != nil {
		return fmt.Errorf("%w: %w", errProof, err)
	}
	commits := make([]kyber.Point, len(bases))
	for i := range bases {
		commits[i] = g1.Point().Add(g1.Point().Mul(s, bases[i]), g1.Point().Mul(c, images[i]))
	}
	if !c.Equal(challenge(context, bases, images, commits)) {
		return errProof
	}
	return nil
}

func challenge(context []byte, bases, images, commits []kyber.Point) kyber.Scalar {
	return newHasher("fusion-dkg-proof").add(context).points(bases...).points(images...).points(commits...).scalar()
}
