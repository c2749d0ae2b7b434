package frost

import (
	"crypto/rand"
	"errors"
	"fmt"

	"fusion/chainkey"
	"fusion/internal/codec"
)

// ErrShare says that an encoded share is damaged.
var ErrShare = errors.New("invalid key share")

// Share is one member's part of a key.
type Share struct {
	algorithm chainkey.Algorithm
	group     group
	threshold int
	seat      int
	public    point
	members   []point // share·G of every seat
	secret    scalar
}

var _ chainkey.Share = (*Share)(nil)

// PublicKey implements chainkey.Share.
func (s *Share) PublicKey() []byte { return s.public.bytes() }

// PublicShares implements chainkey.Share: share·G of every seat.
func (s *Share) PublicShares() (out [][]byte) {
	for _, p := range s.members {
		out = append(out, p.bytes())
	}
	return out
}

// Algorithm is that of the key.
func (s *Share) Algorithm() chainkey.Algorithm { return s.algorithm }

// Wipe implements chainkey.Share.
func (s *Share) Wipe() { s.secret.wipe() }

// String shows nothing secret, as do Format, GoString, MarshalText and with it MarshalJSON.
func (s *Share) String() string {
	return fmt.Sprintf("share of seat %d of %d for %s key %x", s.seat, len(s.members), s.algorithm, s.PublicKey())
}

// GoString implements fmt.GoStringer.
func (s *Share) GoString() string { return s.String() }

// Format implements fmt.Formatter.
func (s *Share) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// MarshalText implements encoding.TextMarshaler.
func (s *Share) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// stored is the encoded form.
type stored struct {
	_         struct{} `cbor:",toarray"`
	Version   uint8
	Algorithm string
	Threshold uint32
	Seat      uint32
	Public    []byte
	Members   [][]byte
	Secret    []byte
}

// maxShare bounds an encoded share, in bytes: one of 1,000 members has less.
const maxShare = 64 << 10

// Encode implements chainkey.Share.
func (s *Share) Encode() chainkey.Secret {
	v := stored{Version: 1, Algorithm: string(s.algorithm), Threshold: uint32(s.threshold), Seat: uint32(s.seat), Public: s.public.bytes(), Secret: s.secret.bytes()}
	defer clear(v.Secret)
	for _, p := range s.members {
		v.Members = append(v.Members, p.bytes())
	}
	return codec.Marshal(v)
}

// DecodeShare reads an encoded share and checks that its parts belong together: the secret and its public share, and the
// public shares of t+1 members and the key.
func DecodeShare(b chainkey.Secret) (*Share, error) {
	if len(b) > maxShare {
		return nil, fmt.Errorf("%w: %d bytes", ErrShare, len(b))
	}
	var v stored
	if err := codec.Unmarshal(b, &v); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrShare, err)
	}
	defer clear(v.Secret)
	g, err := groupOf(chainkey.Algorithm(v.Algorithm))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrShare, err)
	}
	n := len(v.Members)
	if t, err := chainkey.Threshold(n); err != nil || v.Version != 1 || int(v.Threshold) != t || int(v.Seat) >= n {
		return nil, fmt.Errorf("%w: version %d, threshold %d, seat %d of %d", ErrShare, v.Version, v.Threshold, v.Seat, n)
	}
	s := &Share{algorithm: chainkey.Algorithm(v.Algorithm), group: g, threshold: int(v.Threshold), seat: int(v.Seat)}
	if s.public, err = g.parse(v.Public); err != nil {
		return nil, fmt.Errorf("%w: public key: %w", ErrShare, err)
	}
	for seat, m := range v.Members {
		p, err := g.parse(m)
		if err != nil {
			return nil, fmt.Errorf("%w: public share of seat %d: %w", ErrShare, seat, err)
		}
		s.members = append(s.members, p)
	}
	if s.secret, err = g.decode(v.Secret); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrShare, err)
	}
	own, err := g.secretBase(s.secret, rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("reading a share: %w", err)
	}
	if !own.equal(s.members[s.seat]) {
		return nil, fmt.Errorf("%w: the secret is not that of seat %d", ErrShare, s.seat)
	}
	if err := consistent(g, s.threshold, s.members, s.public); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrShare, err)
	}
	return s, nil
}

// consistent checks that public shares are those of the key: any t+1 give it, and overlapping choices bind all of them.
func consistent(g group, threshold int, members []point, public point) error {
	for first := 0; first+threshold < len(members); first++ {
		committee := make([]int, threshold+1)
		for i := range committee {
			committee[i] = first + i
		}
		var sum point
		for i := range committee {
			p := members[committee[i]].mul(lagrange(g, committee, i))
			if sum == nil {
				sum = p
			} else {
				sum = sum.add(p)
			}
		}
		if !sum.equal(public) {
			return errors.New("the public shares do not give the key")
		}
	}
	return nil
}

// lagrange is the coefficient at zero of the i-th member of a committee of seats.
func lagrange(g group, committee []int, i int) scalar {
	num, den := g.number(1), g.number(1)
	x := index(g, committee[i])
	for j, seat := range committee {
		if j != i {
			y := index(g, seat)
			num = num.mul(y)
			den = den.mul(y.add(x.neg()))
		}
	}
	return num.mul(den.inverse())
}
