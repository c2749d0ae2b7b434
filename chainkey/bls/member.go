package bls

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"

	"github.com/drand/kyber"
	"github.com/drand/kyber/share"

	"fusion/internal/codec"
	"fusion/internal/redact"
)

// Errors of members.
var (
	ErrNotDone = errors.New("key generation is not finished")
	ErrNoShare = errors.New("this node has no valid share of the generated key")
)

// Member is one node's private side of a key generation. It holds no state beyond its seed: what it says and its
// share are derived from the seed and the board. It is not safe for concurrent use.
type Member struct {
	seed   [32]byte
	self   int // seat among those who receive, or -1
	dealer int // seat among those who deal, or -1
	old    *SecretShare
	key    ed25519.PrivateKey

	// The last answer, because opening all deals costs a few milliseconds for each and Pending is asked after every block.
	session [32]byte
	phase   Phase
	pending []byte
}

// Format shows neither seed nor key, whatever the verb.
func (m Member) Format(f fmt.State, _ rune) {
	redact.Format(f, fmt.Sprintf("member %d of a key generation", m.self))
}

// NewSeed draws a member's seed.
func NewSeed() [32]byte {
	var s [32]byte
	rand.Read(s[:]) // never fails, see crypto/rand
	return s
}

// NewMember returns the private side of node self, whose node key signs its items. The seed must be persisted before.
func NewMember(seed [32]byte, self int, key ed25519.PrivateKey) *Member {
	return &Member{seed: seed, self: self, dealer: self, key: key}
}

// NewResharer returns the private side of a node in a resharing: seat self among the new members or -1, and its share of the old epoch, or nil
// if it has none. The member owns the share from now on.
func NewResharer(seed [32]byte, self int, old *SecretShare, key ed25519.PrivateKey) *Member {
	m := &Member{seed: seed, self: self, dealer: -1, old: old, key: key}
	if old != nil {
		m.dealer = old.Index
	}
	return m
}

// Wipe forgets the share that was dealt.
func (m *Member) Wipe() {
	if m.old != nil {
		clear(m.old.Scalar[:])
	}
}

// seat is the own one among those who speak in a phase.
func (m *Member) seat(p Phase) int {
	if p == PhaseDeals {
		return m.dealer
	}
	return m.self
}

// Pending returns the item that the board is waiting for from this member, or nil.
func (m *Member) Pending(b *Board) []byte {
	seat := m.seat(b.Phase)
	if b.Phase == PhaseDone || seat < 0 || seat >= len(b.speakers(b.Phase)) || !b.expected(seat) || b.has(seat) {
		return nil
	}
	if m.pending != nil && m.session == b.session && m.phase == b.Phase {
		return m.pending
	}
	it := item{Session: b.session[:], Phase: b.Phase, From: uint32(seat)}
	switch b.Phase {
	case PhaseKeys:
		it.Body = codec.Marshal(m.makeKey(b))
	case PhaseDeals:
		it.Body = codec.Marshal(m.makeDeal(b))
	case PhaseResponses:
		it.Body = codec.Marshal(m.makeResponse(b))
	}
	it.Sig = ed25519.Sign(m.key, it.digest())
	m.session, m.phase, m.pending = b.session, b.Phase, codec.Marshal(it)
	return m.pending
}

// Share returns this member's share of the finished key: the sum of what the qualified dealers sent it, checked
// against the board's public key for it. ErrNoShare means that the member was silent while a dealer cheated; it can
// only watch in this epoch.
func (m *Member) Share(b *Board) (*SecretShare, error) {
	r, ok := b.Result()
	if !ok {
		return nil, ErrNotDone
	}
	if m.self < 0 || m.self >= len(b.Nodes) || b.keys[m.self] == nil {
		return nil, fmt.Errorf("%w: node %d registered no receiver key", ErrNoShare, m.self)
	}
	sum := g1.Scalar().Zero()
	for k, dealer := range r.Qualified {
		s, err := b.open(dealer, m.self, m.shared(b, dealer))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoShare, err)
		}
		if b.Old != nil {
			s.Mul(s, coefficient(r.Qualified, k))
		}
		sum.Add(sum, s)
	}
	out := &SecretShare{Index: m.self}
	copy(out.Scalar[:], encodeScalar(sum))
	pub, err := out.PublicKey()
	if err != nil || !slices.Equal(pub, r.ShareKeys[m.self]) {
		return nil, fmt.Errorf("%w: it does not match the public share key", ErrNoShare)
	}
	return out, nil
}

// secret derives one exponent of this attempt.
func (m *Member) secret(b *Board, role string, i int) kyber.Scalar {
	return newHasher("fusion-dkg-secret").add(m.seed[:], b.session[:]).num(uint64(m.self)).add([]byte(role)).num(uint64(i)).scalar()
}

func (m *Member) makeKey(b *Board) keyBody {
	sk := m.secret(b, "receiver", 0)
	base, pk := g1.Point().Base(), g1.Point().Mul(sk, nil)
	return keyBody{Key: encodePoint(pk), Proof: prove(sk, b.context("key", m.self, m.self), []kyber.Point{base}, []kyber.Point{pk})}
}

func (m *Member) makeDeal(b *Board) dealBody {
	coeffs := make([]kyber.Scalar, b.Threshold)
	for i := range coeffs {
		coeffs[i] = m.secret(b, "coefficient", i)
	}
	if m.old != nil {
		if err := coeffs[0].UnmarshalBinary(m.old.Scalar[:]); err != nil {
			panic(fmt.Sprintf("bls: a share that was checked is no scalar: %v", err))
		}
	}
	poly := share.CoefficientsToPriPoly(g2, coeffs)
	_, commits := poly.Commit(nil).Info()
	r := m.secret(b, "ephemeral", 0)
	base, ephemeral := g1.Point().Base(), g1.Point().Mul(r, nil)
	d := dealBody{Ephemeral: encodePoint(ephemeral),
		Proof: prove(r, b.context("deal", m.dealer, m.dealer), []kyber.Point{base}, []kyber.Point{ephemeral})}
	for _, c := range commits {
		d.Commits = append(d.Commits, encodePoint(c))
	}
	for i := range b.Nodes {
		if b.keys[i] == nil {
			d.Shares = append(d.Shares, []byte{})
			continue
		}
		pad := b.pad(m.dealer, i, ephemeral, g1.Point().Mul(r, b.keys[i]))
		subtle.XORBytes(pad[:], pad[:], encodeScalar(poly.Eval(i).V))
		d.Shares = append(d.Shares, pad[:])
	}
	return d
}

// shared is the Diffie-Hellman point with a dealer.
func (m *Member) shared(b *Board, dealer int) kyber.Point {
	return g1.Point().Mul(m.secret(b, "receiver", 0), b.deals[dealer].r)
}

func (m *Member) makeResponse(b *Board) responseBody {
	var out responseBody
	sk := m.secret(b, "receiver", 0)
	for dealer := range b.speakers(PhaseDeals) {
		d := b.deals[dealer]
		if d == nil {
			continue
		}
		shared := m.shared(b, dealer)
		if _, err := b.open(dealer, m.self, shared); err == nil {
			continue
		}
		proof := prove(sk, b.context("complaint", dealer, m.self), []kyber.Point{g1.Point().Base(), d.r},
			[]kyber.Point{b.keys[m.self], shared})
		out.Complaints = append(out.Complaints, complaint{uint32(dealer), encodePoint(shared), proof})
	}
	return out
}
