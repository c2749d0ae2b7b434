package bls

import (
	"bytes"
	"crypto/ed25519"
	"fmt"

	"github.com/drand/kyber"
	"github.com/drand/kyber/share"

	"fusion/internal/kv"
)

// Old is a key that is reshared: whose shares are dealt, and what everybody may know of them.
type Old struct {
	Nodes     []ed25519.PublicKey // node keys by seat
	Threshold int
	PublicKey []byte
	ShareKeys [][]byte
}

func (o *Old) check() error {
	if len(o.Nodes) != len(o.ShareKeys) {
		return fmt.Errorf("%w: %d nodes with %d share keys", ErrParams, len(o.Nodes), len(o.ShareKeys))
	}
	for i, k := range o.Nodes {
		if len(k) != ed25519.PublicKeySize {
			return fmt.Errorf("%w: key of old node %d has %d bytes", ErrParams, i, len(k))
		}
	}
	if _, err := NewGroup(o.Threshold, o.PublicKey, o.ShareKeys); err != nil {
		return fmt.Errorf("%w: the key to reshare: %w", ErrParams, err)
	}
	var points []kyber.Point
	for i, k := range o.ShareKeys {
		p, err := decodePoint(g2, k)
		if err != nil {
			return fmt.Errorf("%w: share key of seat %d: %w", ErrParams, i, err)
		}
		points = append(points, p)
	}
	// Any Threshold share keys give the key; overlapping choices bind all of them.
	for first := 0; first+o.Threshold <= len(points); first++ {
		seats := make([]int, o.Threshold)
		for k := range seats {
			seats[k] = first + k
		}
		sum := g2.Point().Null()
		for k, seat := range seats {
			sum.Add(sum, g2.Point().Mul(coefficient(seats, k), points[seat]))
		}
		if !bytes.Equal(encodePoint(sum), o.PublicKey) {
			return fmt.Errorf("%w: the share keys do not give the key", ErrParams)
		}
	}
	return nil
}

// hash binds a session to what is reshared.
func (o *Old) hash(h *hasher) {
	h.add([]byte("reshare"), o.PublicKey).num(uint64(o.Threshold))
	for i, k := range o.Nodes {
		h.add(k, o.ShareKeys[i])
	}
}

// speakers are the node keys of those who say something in a phase, by seat.
func (b *Board) speakers(p Phase) []ed25519.PublicKey {
	if p == PhaseDeals && b.Old != nil {
		return b.Old.Nodes
	}
	out := make([]ed25519.PublicKey, len(b.Nodes))
	for i, k := range b.Nodes {
		out[i] = k
	}
	return out
}

// dealers is how many good dealings are needed.
func (b *Board) dealers() int {
	if b.Old != nil {
		return b.Old.Threshold
	}
	return b.Threshold
}

// receivers is how many nodes must end with a share: in a resharing all, because the old shares are wiped after it.
func (b *Board) receivers() int {
	if b.Old != nil {
		return len(b.Nodes)
	}
	return b.Threshold
}

// Attempts is how many attempts have come to nothing.
func (b *Board) Attempts() uint64 { return b.Attempt }

// coefficient is the k-th of some seats' coefficient at zero; seat i lies at the point i+1.
func coefficient(seats []int, k int) kyber.Scalar {
	num, den := g1.Scalar().One(), g1.Scalar().One()
	xk := g1.Scalar().SetInt64(int64(seats[k]) + 1)
	for j, seat := range seats {
		if j != k {
			xj := g1.Scalar().SetInt64(int64(seat) + 1)
			num.Mul(num, xj)
			den.Mul(den, g1.Scalar().Sub(xj, xk))
		}
	}
	return num.Mul(num, g1.Scalar().Inv(den))
}

// scaled multiplies a polynomial's commitments.
func scaled(p *share.PubPoly, by kyber.Scalar) *share.PubPoly {
	_, commits := p.Info()
	out := make([]kyber.Point, len(commits))
	for i, c := range commits {
		out[i] = g2.Point().Mul(by, c)
	}
	return share.NewPubPoly(g2, nil, out)
}

// Move puts the board in from, which is done, in the place of that in to, and erases it there.
func Move(to, from kv.Store) {
	Erase(to)
	var keys [][]byte
	for _, prefix := range [][]byte{metaKey, {'i'}} {
		kv.ScanPrefix(from, prefix, func(k, v []byte) bool {
			keys = append(keys, bytes.Clone(k))
			return true
		})
	}
	for _, k := range keys {
		v, _ := from.Get(k)
		to.Set(k, bytes.Clone(v))
		from.Delete(k)
	}
}
