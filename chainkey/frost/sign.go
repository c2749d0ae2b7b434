package frost

import (
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"slices"

	"fusion/chainkey"
)

// Signer is one member's part in a signature.
type Signer struct {
	algorithm chainkey.Algorithm
	group     group
	session   [32]byte
	committee []int
	seat      int
	random    io.Reader
	message   chainkey.Message
	derived   []byte // public key below the derivation path

	secret  scalar // λ·share
	members []point
	key     signingKey

	d, e      scalar   // own nonces, until round 1 ends
	nonces    []byte   // own (D, E)
	shares    []point  // what z·G of each member has to be
	nonce     point    // R
	z         scalar   // own
	challenge scalar   // c
	round     int      // that Deliver expects; 0 before the start, -1 at the end
	signature [64]byte //
	done      bool
}

var _ chainkey.Signing = (*Signer)(nil)

// signingKey is the key that a signature verifies under, as a combination of the members' key: flip·key + offset·G.
type signingKey struct {
	point  point
	flip   bool
	offset scalar
}

// NewSigner prepares a member's part. The committee has exactly threshold+1 members.
func NewSigner(c chainkey.Sign) (*Signer, error) {
	share, ok := c.Share.(*Share)
	if !ok {
		return nil, fmt.Errorf("signing: a share of another scheme (%T)", c.Share)
	}
	if err := c.Message.Check(share.algorithm); err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	if len(c.Committee) != share.threshold+1 || !slices.IsSorted(c.Committee) || len(slices.Compact(slices.Clone(c.Committee))) != len(c.Committee) ||
		c.Committee[0] < 0 || c.Committee[len(c.Committee)-1] >= len(share.members) {
		return nil, fmt.Errorf("signing: committee %v is not %d ascending seats of %d", c.Committee, share.threshold+1, len(share.members))
	}
	if c.Seat < 0 || c.Seat >= len(c.Committee) || c.Committee[c.Seat] != share.seat {
		return nil, fmt.Errorf("signing: the share of seat %d cannot take place %d of committee %v", share.seat, c.Seat, c.Committee)
	}
	child, err := chainkey.Derive(share.algorithm, share.PublicKey(), c.ChainCode, c.Path)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	g := share.group
	tweak, err := g.decode(child.Tweak[:])
	if err != nil {
		return nil, fmt.Errorf("signing: tweak: %w", err)
	}
	s := &Signer{algorithm: share.algorithm, group: g, session: c.Session, committee: c.Committee, seat: c.Seat, random: c.Rand, message: c.Message,
		derived: child.PublicKey}
	if s.key, err = keyFor(share, tweak, c.Message); err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	s.secret = share.secret.mul(lagrange(g, c.Committee, c.Seat))
	for i, seat := range c.Committee {
		s.members = append(s.members, share.members[seat].mul(lagrange(g, c.Committee, i)))
	}
	secret := share.secret.bytes()
	defer clear(secret)
	drawn, err := hedge(g, c.Rand, c.Session, secret, "nonces", 2)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	s.d, s.e = drawn[0], drawn[1]
	return s, nil
}

// keyFor finds the key that the signature is to verify under: the derived one, with even y for BIP 340, and moved on to the output key of
// BIP 341 where the message asks for it.
func keyFor(share *Share, tweak scalar, m chainkey.Message) (signingKey, error) {
	g := share.group
	k := signingKey{point: share.public.add(g.base(tweak)), offset: tweak}
	if k.point.isIdentity() {
		return k, errors.New("the derived key is infinity") // by chance once in 2^252
	}
	p, ok := k.point.(*secpPoint)
	if !ok {
		return k, nil
	}
	even := func() {
		if p.v.Y.IsOdd() {
			p, k.flip, k.offset = p.neg().(*secpPoint), !k.flip, k.offset.neg()
		}
	}
	even()
	if m.Taproot {
		t, err := chainkey.TapTweak(&p.v.X, m.MerkleRoot)
		if err != nil {
			return k, err
		}
		move := &secpScalar{t}
		p, k.offset = p.add(g.base(move)).(*secpPoint), k.offset.add(move)
		if p.isIdentity() {
			return k, errors.New("the output key is infinity")
		}
		even()
	}
	k.point = p
	return k, nil
}

// Rounds implements chainkey.Protocol. One member alone needs none.
func (s *Signer) Rounds() int {
	if len(s.committee) == 1 {
		return 0
	}
	return 2
}

// Limits implements chainkey.Protocol.
func (s *Signer) Limits(round int) chainkey.Limits {
	if round == 1 {
		return chainkey.Limits{Broadcast: 2 * s.group.pointSize()}
	}
	return chainkey.Limits{Broadcast: scalarSize}
}

// Start implements chainkey.Protocol.
func (s *Signer) Start() (chainkey.Output, error) {
	if s.round != 0 {
		return chainkey.Output{}, errEnded
	}
	s.round = -1
	for _, k := range []scalar{s.d, s.e} {
		p, err := s.group.secretBase(k, s.random)
		if err != nil {
			return chainkey.Output{}, fmt.Errorf("signing: %w", err)
		}
		s.nonces = append(s.nonces, p.bytes()...)
	}
	if len(s.committee) == 1 {
		if _, err := s.answer(make([]chainkey.Input, 1)); err != nil {
			return chainkey.Output{}, err
		}
		return s.combine(make([]chainkey.Input, 1))
	}
	s.round = 1
	return chainkey.Output{Broadcast: s.nonces}, nil
}

// Deliver implements chainkey.Protocol.
func (s *Signer) Deliver(round int, in []chainkey.Input) (chainkey.Output, error) {
	if s.round < 1 || round != s.round || len(in) != len(s.committee) {
		return chainkey.Output{}, errEnded
	}
	s.round = -1 // until all is well
	for i, m := range in {
		if len(m.Private) != 0 {
			return chainkey.Output{}, chainkey.Blame(i, "a message that round %d does not have", round)
		}
	}
	if round == 1 {
		out, err := s.answer(in)
		if err == nil {
			s.round = 2
		}
		return out, err
	}
	return s.combine(in)
}

// answer takes everybody's nonces and uses the own ones, which are gone when it returns.
func (s *Signer) answer(in []chainkey.Input) (chainkey.Output, error) {
	d, e := s.d, s.e
	s.d, s.e = nil, nil
	defer d.wipe()
	defer e.wipe()
	size := s.group.pointSize()
	pairs := make([][]point, len(s.committee))
	var all []byte
	for i := range s.committee {
		b := in[i].Broadcast
		if i == s.seat {
			b = s.nonces
		}
		if len(b) != 2*size {
			return chainkey.Output{}, chainkey.Blame(i, "nonces of %d bytes, want %d", len(b), 2*size)
		}
		ps, err := parsePoints(s.group, b, 2)
		if err != nil {
			return chainkey.Output{}, chainkey.Blame(i, "nonces: %v", err)
		}
		pairs[i] = ps
		all = append(append(all, number(s.committee[i])...), b...)
	}
	digest := s.message.Digest()
	bindings := make([]scalar, len(pairs))
	shares := make([]point, len(pairs))
	for i, ps := range pairs {
		bindings[i] = s.group.wide(hash(s.algorithm, "binding", s.session, s.key.point.bytes(), digest[:], all, number(s.committee[i])))
		shares[i] = ps[0].add(ps[1].mul(bindings[i]))
		if s.nonce == nil {
			s.nonce = shares[i]
		} else {
			s.nonce = s.nonce.add(shares[i])
		}
	}
	if s.nonce.isIdentity() {
		return chainkey.Output{}, errors.New("signing: the nonces cancel out")
	}
	own := d.add(e.mul(bindings[s.seat]))
	defer own.wipe()
	if p, ok := s.nonce.(*secpPoint); ok && p.v.Y.IsOdd() { // BIP 340: the nonce's y is even
		s.nonce, own = p.neg(), own.neg()
		for i := range shares {
			shares[i] = shares[i].neg()
		}
	}
	s.challenge = s.challengeOf()
	c := s.challenge
	if s.key.flip {
		c = c.neg()
	}
	for i := range shares {
		shares[i] = shares[i].add(s.members[i].mul(c))
	}
	s.shares = shares
	s.z = own.add(s.secret.mul(c))
	s.secret.wipe()
	return chainkey.Output{Broadcast: s.z.bytes()}, nil
}

// challengeOf is the hash that the signature answers.
func (s *Signer) challengeOf() scalar {
	if r, ok := s.nonce.(*secpPoint); ok {
		return &secpScalar{chainkey.Bip340Challenge(&r.v.X, &s.key.point.(*secpPoint).v.X, s.message.Bytes)}
	}
	h := sha512.New() // RFC 8032 section 5.1.6
	h.Write(s.nonce.bytes())
	h.Write(s.key.point.bytes())
	h.Write(s.message.Bytes)
	return s.group.wide(h.Sum(nil))
}

// combine checks and adds up the members' answers.
func (s *Signer) combine(in []chainkey.Input) (chainkey.Output, error) {
	sum := s.z.add(s.challenge.mul(s.key.offset))
	for i, m := range in {
		if i == s.seat {
			continue
		}
		z, err := s.group.decode(m.Broadcast)
		if err != nil {
			return chainkey.Output{}, chainkey.Blame(i, "signature share: %v", err)
		}
		if !s.group.base(z).equal(s.shares[i]) {
			return chainkey.Output{}, chainkey.Blame(i, "its signature share does not fit its nonces and public share")
		}
		sum = sum.add(z)
	}
	if r, ok := s.nonce.(*secpPoint); ok {
		copy(s.signature[:32], r.v.X.Bytes()[:])
	} else {
		copy(s.signature[:32], s.nonce.bytes())
	}
	copy(s.signature[32:], sum.bytes())
	if err := chainkey.Verify(s.algorithm, s.derived, s.message, s.signature); err != nil {
		return chainkey.Output{}, fmt.Errorf("signing: %w", err)
	}
	s.done = true
	return chainkey.Output{Done: true}, nil
}

// Signature implements chainkey.Signing.
func (s *Signer) Signature() ([64]byte, error) {
	if !s.done {
		return [64]byte{}, errors.New("signing is not done")
	}
	return s.signature, nil
}

// Wipe implements chainkey.Protocol. A finished signature remains.
func (s *Signer) Wipe() {
	s.round = -1
	for _, k := range []scalar{s.d, s.e, s.secret} {
		if k != nil {
			k.wipe()
		}
	}
	s.d, s.e = nil, nil
}
