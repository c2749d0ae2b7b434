package frost

import (
	"errors"
	"fmt"
	"io"

	"fusion/chainkey"
)

// Resharing is one node's part in handing a key to the members of a new epoch.
type Resharing struct {
	algorithm chainkey.Algorithm
	group     group
	parts     []chainkey.Part
	seat      int // own, index into parts
	threshold int // of the new epoch
	members   int // of the new epoch
	dealers   []int
	public    point
	expected  []point // of each part that deals: what its polynomial's constant term has to be, times G
	random    io.Reader

	poly    []scalar // own, for a dealer
	commits []byte
	started bool
	ended   bool
	share   *Share
}

var _ chainkey.Generation = (*Resharing)(nil)

// NewResharing prepares a node's part.
func NewResharing(c chainkey.Reshare) (*Resharing, error) {
	g, err := groupOf(c.Algorithm)
	if err != nil {
		return nil, fmt.Errorf("resharing: %w", err)
	}
	dealers, members, err := c.Check()
	if err != nil {
		return nil, err
	}
	r := &Resharing{algorithm: c.Algorithm, group: g, parts: c.Parts, seat: c.Seat, threshold: c.Threshold, members: len(members), dealers: dealers,
		expected: make([]point, len(c.Parts)), random: c.Rand}
	if r.public, err = g.parse(c.Public); err != nil {
		return nil, fmt.Errorf("resharing: the key: %w", err)
	}
	var old []point
	for seat, b := range c.Old {
		p, err := g.parse(b)
		if err != nil {
			return nil, fmt.Errorf("resharing: public share of seat %d: %w", seat, err)
		}
		old = append(old, p)
	}
	if err := consistent(g, len(dealers)-1, old, r.public); err != nil {
		return nil, fmt.Errorf("resharing: %w", err)
	}
	var committee []int
	for _, i := range dealers {
		committee = append(committee, c.Parts[i].Old)
	}
	for i, seat := range committee {
		weight := lagrange(g, committee, i)
		r.expected[dealers[i]] = old[seat].mul(weight)
		if dealers[i] != c.Seat {
			continue
		}
		share, ok := c.Share.(*Share)
		if !ok || share.algorithm != c.Algorithm || share.seat != seat || !share.public.equal(r.public) || !share.members[seat].equal(old[seat]) {
			return nil, fmt.Errorf("resharing: the share is not that of seat %d of this key and epoch", seat)
		}
		secret := share.secret.bytes()
		defer clear(secret)
		drawn, err := hedge(g, c.Rand, c.Session, secret, "resharing", c.Threshold)
		if err != nil {
			return nil, fmt.Errorf("resharing: %w", err)
		}
		r.poly = append([]scalar{share.secret.mul(weight)}, drawn...)
	}
	return r, nil
}

// Rounds implements chainkey.Protocol.
func (r *Resharing) Rounds() int { return 1 }

// Limits implements chainkey.Protocol.
func (r *Resharing) Limits(int) chainkey.Limits {
	return chainkey.Limits{Broadcast: (r.threshold + 1) * r.group.pointSize(), Private: scalarSize}
}

// Start implements chainkey.Protocol.
func (r *Resharing) Start() (chainkey.Output, error) {
	if r.started || r.ended {
		return chainkey.Output{}, errEnded
	}
	r.started = true
	out := chainkey.Output{Private: make([][]byte, len(r.parts))}
	if r.poly == nil {
		return out, nil
	}
	for _, c := range r.poly {
		p, err := r.group.secretBase(c, r.random)
		if err != nil {
			return chainkey.Output{}, fmt.Errorf("resharing: %w", err)
		}
		r.commits = append(r.commits, p.bytes()...)
	}
	out.Broadcast = r.commits
	for i, p := range r.parts {
		if p.New >= 0 && i != r.seat {
			v := evaluate(r.poly, index(r.group, p.New))
			out.Private[i] = v.bytes()
			v.wipe()
		}
	}
	return out, nil
}

// Deliver implements chainkey.Protocol.
func (r *Resharing) Deliver(round int, in []chainkey.Input) (chainkey.Output, error) {
	if !r.started || r.ended || round != 1 || len(in) != len(r.parts) {
		return chainkey.Output{}, errEnded
	}
	r.ended = true
	own := r.parts[r.seat].New
	sum := make([]point, r.threshold+1)
	secret := r.group.number(0)
	for i, p := range r.parts {
		if p.Old < 0 {
			if i != r.seat && len(in[i].Broadcast)+len(in[i].Private) > 0 {
				return chainkey.Output{}, chainkey.Blame(i, "it deals and was not asked to")
			}
			continue
		}
		commits, value, err := r.dealing(i, in[i])
		if err != nil {
			return chainkey.Output{}, err
		}
		for k, c := range commits {
			if sum[k] == nil {
				sum[k] = c
			} else {
				sum[k] = sum[k].add(c)
			}
		}
		if own >= 0 {
			secret = secret.add(value)
			value.wipe()
		}
	}
	if !sum[0].equal(r.public) { // each constant term was checked, and together they are the key
		return chainkey.Output{}, errors.New("resharing: the dealings do not add up to the key")
	}
	if own >= 0 {
		s := &Share{algorithm: r.algorithm, group: r.group, threshold: r.threshold, seat: own, public: r.public, secret: secret}
		for seat := range r.members {
			m := at(sum, index(r.group, seat))
			if m.isIdentity() {
				return chainkey.Output{}, errors.New("resharing: a member's share is zero") // by chance once in 2^252
			}
			s.members = append(s.members, m)
		}
		encoded := s.Encode()
		defer encoded.Wipe()
		if _, err := DecodeShare(encoded); err != nil { // reading it back checks that the secret fits the public points
			return chainkey.Output{}, fmt.Errorf("resharing: %w", err)
		}
		r.share = s
	}
	return chainkey.Output{Done: true}, nil
}

// dealing checks what part i dealt. The value is nil for a node that will be no member.
func (r *Resharing) dealing(i int, in chainkey.Input) (commits []point, value scalar, err error) {
	own := r.parts[r.seat].New
	if i == r.seat {
		if own >= 0 {
			value = evaluate(r.poly, index(r.group, own))
		}
		return mustParse(r.group, r.commits, r.threshold+1), value, nil
	}
	if want := (r.threshold + 1) * r.group.pointSize(); len(in.Broadcast) != want {
		return nil, nil, chainkey.Blame(i, "commitments of %d bytes, want %d", len(in.Broadcast), want)
	}
	if commits, err = parsePoints(r.group, in.Broadcast, r.threshold+1); err != nil {
		return nil, nil, chainkey.Blame(i, "commitments: %v", err)
	}
	if !commits[0].equal(r.expected[i]) {
		return nil, nil, chainkey.Blame(i, "it does not deal its share of the key")
	}
	if own < 0 {
		if len(in.Private) != 0 {
			return nil, nil, chainkey.Blame(i, "a value for a node that is no member")
		}
		return commits, nil, nil
	}
	if value, err = r.group.decode(in.Private); err != nil {
		return nil, nil, chainkey.Blame(i, "value for us: %v", err)
	}
	p, err := r.group.secretBase(value, r.random)
	if err != nil {
		return nil, nil, fmt.Errorf("resharing: %w", err)
	}
	if !p.equal(at(commits, index(r.group, own))) {
		return nil, nil, chainkey.Blame(i, "the value it sent us is not on its polynomial")
	}
	return commits, value, nil
}

// Share implements chainkey.Generation.
func (r *Resharing) Share() (chainkey.Share, error) {
	switch {
	case r.share != nil:
		return r.share, nil
	case r.ended && r.parts[r.seat].New < 0:
		return nil, chainkey.ErrOnlyDealt
	}
	return nil, errors.New("resharing is not done")
}

// Wipe implements chainkey.Protocol. A share that was taken remains.
func (r *Resharing) Wipe() {
	r.ended = true
	for _, c := range r.poly {
		c.wipe()
	}
	r.poly, r.share = nil, nil
}
