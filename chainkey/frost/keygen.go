package frost

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"fusion/chainkey"
)

var errEnded = errors.New("the protocol has ended")

// Keygen is one member's part in a key generation.
type Keygen struct {
	algorithm chainkey.Algorithm
	group     group
	session   [32]byte
	seat      int
	seats     int
	threshold int
	random    io.Reader

	poly   []scalar // own, t+1 coefficients
	reveal []byte   // own commitments and proof
	hashes [][]byte // of the others' reveals
	round  int      // that Deliver expects; 0 before the start, -1 at the end
	share  *Share
}

var _ chainkey.Generation = (*Keygen)(nil)

// NewKeygen prepares a member's part.
func NewKeygen(c chainkey.Generate) (*Keygen, error) {
	g, err := groupOf(c.Algorithm)
	if err != nil {
		return nil, fmt.Errorf("key generation: %w", err)
	}
	if t, err := chainkey.Threshold(c.Seats); err != nil {
		return nil, err
	} else if c.Threshold != t || c.Seat < 0 || c.Seat >= c.Seats {
		return nil, fmt.Errorf("key generation: seat %d of %d with threshold %d", c.Seat, c.Seats, c.Threshold)
	}
	return &Keygen{algorithm: c.Algorithm, group: g, session: c.Session, seat: c.Seat, seats: c.Seats, threshold: c.Threshold, random: c.Rand}, nil
}

// Rounds implements chainkey.Protocol. One member alone needs none.
func (k *Keygen) Rounds() int {
	if k.seats == 1 {
		return 0
	}
	return 2
}

// Limits implements chainkey.Protocol.
func (k *Keygen) Limits(round int) chainkey.Limits {
	if round == 1 {
		return chainkey.Limits{Broadcast: 64}
	}
	return chainkey.Limits{Broadcast: k.revealSize(), Private: scalarSize}
}

// revealSize is that of t+1 points, and a proof of one point and a scalar.
func (k *Keygen) revealSize() int { return (k.threshold+2)*k.group.pointSize() + scalarSize }

// Start implements chainkey.Protocol.
func (k *Keygen) Start() (chainkey.Output, error) {
	if k.round != 0 {
		return chainkey.Output{}, errEnded
	}
	drawn, err := hedge(k.group, k.random, k.session, nil, "polynomial", k.threshold+2)
	if err != nil {
		return chainkey.Output{}, fmt.Errorf("key generation: %w", err)
	}
	k.poly = drawn[:k.threshold+1]
	nonce := drawn[k.threshold+1]
	defer nonce.wipe()
	for _, c := range k.poly {
		p, err := k.group.secretBase(c, k.random)
		if err != nil {
			return chainkey.Output{}, fmt.Errorf("key generation: %w", err)
		}
		k.reveal = append(k.reveal, p.bytes()...)
	}
	commitment, err := k.group.secretBase(nonce, k.random)
	if err != nil {
		return chainkey.Output{}, fmt.Errorf("key generation: %w", err)
	}
	r := commitment.bytes()
	proof := nonce.add(k.poly[0].mul(k.proofChallenge(k.seat, k.reveal, r)))
	k.reveal = append(append(k.reveal, r...), proof.bytes()...)
	if k.seats == 1 {
		if err := k.finish([]scalar{k.poly[0]}, [][]point{mustParse(k.group, k.reveal, 1)}); err != nil {
			return chainkey.Output{}, err
		}
		return chainkey.Output{Done: true}, nil
	}
	k.round = 1
	return chainkey.Output{Broadcast: k.commit(k.seat, k.reveal)}, nil
}

func (k *Keygen) commit(seat int, reveal []byte) []byte {
	return hash(k.algorithm, "commit", k.session, number(seat), reveal)
}

func (k *Keygen) proofChallenge(seat int, commitments, r []byte) scalar {
	return k.group.wide(hash(k.algorithm, "proof of knowledge", k.session, number(seat), commitments, r))
}

func mustParse(g group, b []byte, count int) []point {
	ps, err := parsePoints(g, b, count)
	if err != nil {
		panic(err) // our own
	}
	return ps
}

func parsePoints(g group, b []byte, count int) ([]point, error) {
	out := make([]point, count)
	for i := range out {
		p, err := g.parse(b[i*g.pointSize() : (i+1)*g.pointSize()])
		if err != nil {
			return nil, err
		}
		out[i] = p
	}
	return out, nil
}

// Deliver implements chainkey.Protocol.
func (k *Keygen) Deliver(round int, in []chainkey.Input) (chainkey.Output, error) {
	if k.round < 1 || round != k.round || len(in) != k.seats {
		return chainkey.Output{}, errEnded
	}
	k.round = -1 // until all is well
	if round == 1 {
		return k.committed(in)
	}
	return k.revealed(in)
}

func (k *Keygen) committed(in []chainkey.Input) (chainkey.Output, error) {
	k.hashes = make([][]byte, k.seats)
	for seat, m := range in {
		if seat == k.seat {
			continue
		}
		if len(m.Broadcast) != 64 || len(m.Private) != 0 {
			return chainkey.Output{}, chainkey.Blame(seat, "a commitment of %d bytes", len(m.Broadcast))
		}
		k.hashes[seat] = bytes.Clone(m.Broadcast)
	}
	out := chainkey.Output{Broadcast: k.reveal, Private: make([][]byte, k.seats)}
	for seat := range k.seats {
		if seat != k.seat {
			value := k.value(seat)
			out.Private[seat] = value.bytes()
			value.wipe()
		}
	}
	k.round = 2
	return out, nil
}

// index is where a seat's value of the polynomials lies.
func index(g group, seat int) scalar { return g.number(uint64(seat) + 1) }

// value is the own polynomial at a seat's index.
func (k *Keygen) value(seat int) scalar { return evaluate(k.poly, index(k.group, seat)) }

// evaluate is a polynomial's value.
func evaluate(poly []scalar, x scalar) scalar {
	last := poly[len(poly)-1]
	v := last.neg().neg() // a copy: callers wipe what they get
	for i := len(poly) - 2; i >= 0; i-- {
		v = v.mul(x).add(poly[i])
	}
	return v
}

// at is what a polynomial's commitments say about its value at an index.
func at(commitments []point, x scalar) point {
	p := commitments[len(commitments)-1]
	for i := len(commitments) - 2; i >= 0; i-- {
		p = p.mul(x).add(commitments[i])
	}
	return p
}

func (k *Keygen) revealed(in []chainkey.Input) (chainkey.Output, error) {
	values, commitments := make([]scalar, k.seats), make([][]point, k.seats)
	for seat, m := range in {
		if seat == k.seat {
			values[seat], commitments[seat] = k.value(seat), mustParse(k.group, k.reveal, k.threshold+1)
			continue
		}
		b := m.Broadcast
		if len(b) != k.revealSize() {
			return chainkey.Output{}, chainkey.Blame(seat, "commitments of %d bytes, want %d", len(b), k.revealSize())
		}
		if !bytes.Equal(k.commit(seat, b), k.hashes[seat]) {
			return chainkey.Output{}, chainkey.Blame(seat, "its commitments are not those it had committed to")
		}
		size := k.group.pointSize()
		points, err := parsePoints(k.group, b, k.threshold+2)
		if err != nil {
			return chainkey.Output{}, chainkey.Blame(seat, "commitments: %v", err)
		}
		z, err := k.group.decode(b[(k.threshold+2)*size:])
		if err != nil {
			return chainkey.Output{}, chainkey.Blame(seat, "proof of knowledge: %v", err)
		}
		r := points[k.threshold+1]
		c := k.proofChallenge(seat, b[:(k.threshold+1)*size], r.bytes())
		if !k.group.base(z).equal(r.add(points[0].mul(c))) {
			return chainkey.Output{}, chainkey.Blame(seat, "its proof of knowledge does not hold")
		}
		commitments[seat] = points[:k.threshold+1]
		if values[seat], err = k.group.decode(m.Private); err != nil {
			return chainkey.Output{}, chainkey.Blame(seat, "value for us: %v", err)
		}
		own, err := k.group.secretBase(values[seat], k.random)
		if err != nil {
			return chainkey.Output{}, fmt.Errorf("key generation: %w", err)
		}
		if !own.equal(at(commitments[seat], index(k.group, k.seat))) {
			return chainkey.Output{}, chainkey.Blame(seat, "the value it sent us is not on its polynomial")
		}
	}
	if err := k.finish(values, commitments); err != nil {
		return chainkey.Output{}, err
	}
	return chainkey.Output{Done: true}, nil
}

// finish adds up what all have given.
func (k *Keygen) finish(values []scalar, commitments [][]point) error {
	sum := append([]point(nil), commitments[0]...)
	secret := values[0]
	for seat := 1; seat < len(values); seat++ {
		secret = secret.add(values[seat])
		for i, p := range commitments[seat] {
			sum[i] = sum[i].add(p)
		}
	}
	for _, v := range values {
		if v != secret {
			v.wipe()
		}
	}
	s := &Share{algorithm: k.algorithm, group: k.group, threshold: k.threshold, seat: k.seat, public: sum[0], secret: secret}
	for seat := range k.seats {
		s.members = append(s.members, at(sum, index(k.group, seat)))
	}
	encoded := s.Encode()
	defer encoded.Wipe()
	if _, err := DecodeShare(encoded); err != nil { // reading it back checks that the secret fits the public points
		return fmt.Errorf("key generation: %w", err)
	}
	k.share, k.round = s, -1
	return nil
}

// Share implements chainkey.Generation.
func (k *Keygen) Share() (chainkey.Share, error) {
	if k.share == nil {
		return nil, errors.New("key generation is not done")
	}
	return k.share, nil
}

// Wipe implements chainkey.Protocol. A share that was taken remains.
func (k *Keygen) Wipe() {
	k.round = -1
	for i, c := range k.poly {
		if k.share == nil || c != k.share.secret {
			c.wipe()
		}
		k.poly[i] = k.group.number(0)
	}
	k.share = nil
}
