package gg18

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"

	"github.com/bnb-chain/tss-lib/v2/crypto"
	"github.com/bnb-chain/tss-lib/v2/crypto/dlnproof"
	"github.com/bnb-chain/tss-lib/v2/crypto/facproof"
	"github.com/bnb-chain/tss-lib/v2/crypto/modproof"
	"github.com/bnb-chain/tss-lib/v2/crypto/paillier"
	"github.com/bnb-chain/tss-lib/v2/ecdsa/keygen"
	"github.com/bnb-chain/tss-lib/v2/tss"
	secp "github.com/decred/dcrd/dcrec/secp256k1/v4"

	"fusion/chainkey"
	"fusion/internal/codec"
)

// Resharing is one node's part in handing a key to the members of a new epoch.
//
// The shares move by verifiable secret sharing as in package frost; the new members' moduli come with the proofs of a key generation. The
// library's own ceremony for this is not used: it zeroes the old share before the new ones are checked, cannot tell which dealer changed
// the key, and labels its proofs with nothing of the session.
type Resharing struct {
	session   [32]byte
	parts     []chainkey.Part
	seat      int // own, index into parts
	threshold int // of the new epoch
	members   []int
	indices   []secp.ModNScalar // of the new shares, by seat
	public    secp.JacobianPoint
	expected  []*secp.JacobianPoint // of each part that deals: what its polynomial's constant term has to be, times G
	random    io.Reader
	filters   []*filter // by part, for a member

	poly    []secp.ModNScalar // own, for a dealer
	commits []secp.JacobianPoint
	params  *keygen.LocalPreParams // own, for a member
	hellos  []*hello               // by part
	points  []secp.JacobianPoint   // the new polynomial's commitments
	secret  secp.ModNScalar        // own new share
	round   int                    // that Deliver expects; 0 before the start, -1 at the end
	share   *Share
}

var _ chainkey.Generation = (*Resharing)(nil)

// hello is the broadcast of round 1: a dealer's commitments and a member's moduli with their proofs. What a role has not is empty.
type hello struct {
	_        struct{} `cbor:",toarray"`
	Commits  [][]byte
	Paillier []byte
	NTilde   []byte
	H1, H2   []byte
	Dln1     [][]byte // that h2 is a power of h1, and the reverse
	Dln2     [][]byte
	Mod      [][]byte // that the Paillier modulus is the product of two primes
	Coprime  [][]byte // and coprime to its totient
}

// indexSize is the length of a share's index within a public share.
const indexSize = 32

// NewResharing prepares a node's part.
func NewResharing(c chainkey.Reshare) (*Resharing, error) {
	if c.Algorithm != chainkey.EcdsaSecp256k1 {
		return nil, fmt.Errorf("resharing: %w: %s has no %s", chainkey.ErrAlgorithm, Name, c.Algorithm)
	}
	dealers, members, err := c.Check()
	if err != nil {
		return nil, err
	}
	if c.Threshold < 2 || len(dealers) < 3 {
		return nil, fmt.Errorf("resharing: %w", chainkey.ErrMembers)
	}
	r := &Resharing{session: c.Session, parts: c.Parts, seat: c.Seat, threshold: c.Threshold, members: members,
		expected: make([]*secp.JacobianPoint, len(c.Parts)), hellos: make([]*hello, len(c.Parts))}
	if r.public, err = parsePoint(c.Public); err != nil {
		return nil, fmt.Errorf("resharing: the key: %w", err)
	}
	for seat := range members {
		var k secp.ModNScalar
		k.SetByteSlice(bound(c.Session, "share index", seat).Bytes())
		r.indices = append(r.indices, k)
	}
	old, indices, err := parsePublicShares(c.Old)
	if err != nil {
		return nil, fmt.Errorf("resharing: %w", err)
	}
	for first := 0; first+len(dealers) <= len(old); first++ { // overlapping choices bind all
		sum := interpolate(old[first:first+len(dealers)], indices[first:first+len(dealers)])
		if !equalPoints(&sum, &r.public) {
			return nil, errors.New("resharing: the public shares do not give the key")
		}
	}
	var share *Share
	if c.Share != nil {
		var ok bool
		if share, ok = c.Share.(*Share); !ok || [33]byte(c.Public) != share.public {
			return nil, fmt.Errorf("resharing: a share of another key or scheme (%T)", c.Share)
		}
	}
	var seed []byte
	defer func() { clear(seed) }()
	seed = append(seed, c.Params...)
	if share != nil {
		seed = append(seed, share.save.Xi.FillBytes(make([]byte, 32))...)
	}
	if r.random, err = newHedged(c.Rand, c.Session, seed); err != nil {
		return nil, fmt.Errorf("resharing: %w", err)
	}
	var at []secp.ModNScalar
	for _, i := range dealers {
		at = append(at, indices[c.Parts[i].Old])
	}
	for i, part := range dealers {
		seat := c.Parts[part].Old
		weight := lagrange(at, i)
		p := new(secp.JacobianPoint)
		secp.ScalarMultNonConst(&weight, &old[seat], p)
		p.ToAffine()
		r.expected[part] = p
		if part != c.Seat {
			continue
		}
		own := compress(share.save.BigXj[share.seat])
		if share.seat != seat || string(own) != string(c.Old[seat][indexSize:]) {
			return nil, fmt.Errorf("resharing: the share is not that of seat %d of this epoch", seat)
		}
		var x secp.ModNScalar
		b := share.save.Xi.FillBytes(make([]byte, 32))
		x.SetByteSlice(b)
		clear(b)
		x.Mul(&weight)
		r.poly = append(r.poly, x)
		x.Zero()
		for range c.Threshold {
			k, err := drawScalar(r.random)
			if err != nil {
				return nil, fmt.Errorf("resharing: %w", err)
			}
			r.poly = append(r.poly, k)
		}
	}
	if c.Parts[c.Seat].New < 0 {
		return r, nil
	}
	if r.params, err = parseParams(c.Params, c.AllowLocal); err != nil {
		return nil, fmt.Errorf("resharing: %w", err)
	}
	foreign := []*big.Int{r.params.PaillierSK.N, r.params.NTildei}
	if share != nil && !c.AllowLocal { // nobody uses a modulus of the old epoch again; local networks have only the shipped ones
		for _, n := range share.Moduli() {
			for _, own := range foreign[:2] {
				if new(big.Int).GCD(nil, nil, n, own).Cmp(one) != 0 {
					return nil, fmt.Errorf("resharing: %w: they are those of an earlier epoch", ErrParams)
				}
			}
			foreign = append(foreign, n)
		}
	}
	for range c.Parts {
		r.filters = append(r.filters, &filter{threshold: c.Threshold, denyLocal: !c.AllowLocal, myN: r.params.PaillierSK.N, myNT: r.params.NTildei,
			foreign: foreign[:len(foreign):len(foreign)]})
	}
	return r, nil
}

// Rounds implements chainkey.Protocol.
func (r *Resharing) Rounds() int { return 2 }

// Limits implements chainkey.Protocol.
func (r *Resharing) Limits(round int) chainkey.Limits {
	if round == 1 { // two proofs of 256 residues, one of 160 and one of 13, and t+1 points
		return chainkey.Limits{Broadcast: 256 << 10, Private: 32}
	}
	return chainkey.Limits{Private: 8 << 10}
}

// context is what a proof is bound to: its maker, and for a proof to one member that one.
func (r *Resharing) context(what string, from, to int) []byte {
	b := append([]byte("fusion/gg18/resharing/"+what+"\x00"), r.session[:]...)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, uint32(from)), uint32(to))
}

// Start implements chainkey.Protocol.
func (r *Resharing) Start() (chainkey.Output, error) {
	if r.round != 0 {
		return chainkey.Output{}, errEnded
	}
	r.round = -1 // until all is well
	var h hello
	out := chainkey.Output{Private: make([][]byte, len(r.parts))}
	for i := range r.poly {
		p, err := blindBase(&r.poly[i], r.random)
		if err != nil {
			return chainkey.Output{}, fmt.Errorf("resharing: %w", err)
		}
		r.commits = append(r.commits, p)
		h.Commits = append(h.Commits, secp.NewPublicKey(&p.X, &p.Y).SerializeCompressed())
	}
	if r.poly != nil {
		for i, p := range r.parts {
			if p.New >= 0 && i != r.seat {
				v := evaluate(r.poly, &r.indices[p.New])
				b := v.Bytes()
				v.Zero()
				out.Private[i] = b[:]
			}
		}
	}
	if r.params != nil {
		if err := guarded("proving", func() error { return r.prove(&h) }); err != nil {
			return chainkey.Output{}, err
		}
	}
	r.round = 1
	out.Broadcast = codec.Marshal(h)
	return out, nil
}

// prove fills in what a member says of its moduli.
func (r *Resharing) prove(h *hello) error {
	p := r.params
	h.Paillier, h.NTilde, h.H1, h.H2 = p.PaillierSK.N.Bytes(), p.NTildei.Bytes(), p.H1i.Bytes(), p.H2i.Bytes()
	var err error
	if h.Dln1, err = dlnproof.NewDLNProof(p.H1i, p.H2i, p.Alpha, p.P, p.Q, p.NTildei, r.random).Serialize(); err != nil {
		return fmt.Errorf("resharing: %w", err)
	}
	if h.Dln2, err = dlnproof.NewDLNProof(p.H2i, p.H1i, p.Beta, p.P, p.Q, p.NTildei, r.random).Serialize(); err != nil {
		return fmt.Errorf("resharing: %w", err)
	}
	mod, err := modproof.NewProof(r.context("modulus", r.seat, r.seat), p.PaillierSK.N, p.PaillierSK.P, p.PaillierSK.Q, r.random)
	if err != nil {
		return fmt.Errorf("resharing: %w", err)
	}
	parts := mod.Bytes()
	h.Mod = parts[:]
	public, err := libPoint(&r.public)
	if err != nil {
		return err
	}
	for _, y := range p.PaillierSK.Proof(bound(r.session, "share index", r.parts[r.seat].New), public) {
		h.Coprime = append(h.Coprime, y.Bytes())
	}
	return nil
}

// Deliver implements chainkey.Protocol.
func (r *Resharing) Deliver(round int, in []chainkey.Input) (out chainkey.Output, err error) {
	if r.round < 1 || round != r.round || len(in) != len(r.parts) {
		return chainkey.Output{}, errEnded
	}
	r.round = -1 // until all is well
	err = guarded(fmt.Sprintf("round %d", round), func() (err error) {
		if round == 1 {
			out, err = r.dealt(in)
		} else {
			out, err = r.proven(in)
		}
		return err
	})
	if err != nil {
		return chainkey.Output{}, err
	}
	if !out.Done {
		r.round = 2
	}
	return out, nil
}

// guarded turns a panic of the library's arithmetic into an error.
func guarded(what string, run func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("resharing: %s: the library panicked: %v", what, v)
		}
	}()
	return run()
}

// dealt takes the dealings and the members' moduli.
func (r *Resharing) dealt(in []chainkey.Input) (chainkey.Output, error) {
	own := r.parts[r.seat].New
	r.points = make([]secp.JacobianPoint, r.threshold+1)
	for i, p := range r.parts {
		commits := r.commits
		if i != r.seat {
			h, err := r.hello(i, in[i].Broadcast)
			if err != nil {
				return chainkey.Output{}, chainkey.Blame(i, "%v", err)
			}
			if r.hellos[i] = h; len(h.Commits) > 0 {
				commits = nil
				for _, b := range h.Commits {
					c, err := parsePoint(b)
					if err != nil {
						return chainkey.Output{}, chainkey.Blame(i, "commitments: %v", err)
					}
					commits = append(commits, c)
				}
				if !equalPoints(&commits[0], r.expected[i]) {
					return chainkey.Output{}, chainkey.Blame(i, "it does not deal its share of the key")
				}
			}
			if p.Old < 0 || own < 0 {
				if len(in[i].Private) != 0 {
					return chainkey.Output{}, chainkey.Blame(i, "a value that nobody asked for")
				}
			}
		}
		if p.Old < 0 {
			continue
		}
		for k := range commits {
			var sum secp.JacobianPoint
			secp.AddNonConst(&r.points[k], &commits[k], &sum)
			sum.ToAffine()
			r.points[k] = sum
		}
		if own < 0 {
			continue
		}
		var v secp.ModNScalar
		if i == r.seat {
			v = evaluate(r.poly, &r.indices[own])
		} else {
			if len(in[i].Private) != 32 || v.SetByteSlice(in[i].Private) || v.IsZero() {
				return chainkey.Output{}, chainkey.Blame(i, "value for us: not a number from 1 to the group order")
			}
			got, err := blindBase(&v, r.random)
			if err != nil {
				return chainkey.Output{}, fmt.Errorf("resharing: %w", err)
			}
			if want := evaluatePoints(commits, &r.indices[own]); !equalPoints(&got, &want) {
				return chainkey.Output{}, chainkey.Blame(i, "the value it sent us is not on its polynomial")
			}
		}
		r.secret.Add(&v)
		v.Zero()
	}
	if !equalPoints(&r.points[0], &r.public) { // each constant term was checked, and together they are the key
		return chainkey.Output{}, errors.New("resharing: the dealings do not add up to the key")
	}
	out := chainkey.Output{Private: make([][]byte, len(r.parts))}
	if own < 0 {
		return out, nil
	}
	if err := distinct(r.filters, r.seat); err != nil {
		return chainkey.Output{}, err
	}
	for _, i := range r.members {
		if i == r.seat {
			continue
		}
		if err := r.verify(i); err != nil {
			return chainkey.Output{}, chainkey.Blame(i, "%v", err)
		}
	}
	for _, i := range r.members {
		if i == r.seat {
			continue
		}
		h, p := r.hellos[i], r.params
		proof, err := facproof.NewProof(r.context("factors", r.seat, i), tss.S256(), p.PaillierSK.N, r.filters[i].ntilde, bytesInt(h.H1), bytesInt(h.H2),
			p.PaillierSK.P, p.PaillierSK.Q, r.random)
		if err != nil {
			return chainkey.Output{}, fmt.Errorf("resharing: %w", err)
		}
		parts := proof.Bytes()
		out.Private[i] = codec.Marshal(parts[:])
	}
	return out, nil
}

func bytesInt(b []byte) *big.Int { return new(big.Int).SetBytes(b) }

// hello reads the broadcast of part i and checks its form, for a member with the rules of key generation.
func (r *Resharing) hello(i int, wire []byte) (*hello, error) {
	var h hello
	if err := codec.Unmarshal(wire, &h); err != nil {
		return nil, errors.New("malformed content")
	}
	p := r.parts[i]
	if want := r.threshold + 1; p.Old >= 0 && len(h.Commits) != want || p.Old < 0 && len(h.Commits) != 0 {
		return nil, fmt.Errorf("%d commitments", len(h.Commits))
	}
	if p.New < 0 {
		if len(h.Paillier)+len(h.NTilde)+len(h.H1)+len(h.H2)+len(h.Dln1)+len(h.Dln2)+len(h.Mod)+len(h.Coprime) != 0 {
			return nil, errors.New("moduli of a node that will be no member")
		}
		return &h, nil
	}
	if r.params == nil {
		return &h, nil // the new members judge each other
	}
	m := &keygen.KGRound1Message{Commitment: []byte{1}, PaillierN: h.Paillier, NTilde: h.NTilde, H1: h.H1, H2: h.H2, Dlnproof_1: h.Dln1, Dlnproof_2: h.Dln2}
	if !m.ValidateBasic() {
		return nil, errors.New("a field is missing")
	}
	f := r.filters[i]
	if err := f.keygen1(m); err != nil {
		return nil, err
	}
	if err := f.modProof(h.Mod); err != nil {
		return nil, err
	}
	return &h, f.paillierProof(h.Coprime)
}

// verify checks the proofs of a member's moduli.
func (r *Resharing) verify(i int) error {
	h, f := r.hellos[i], r.filters[i]
	h1, h2 := bytesInt(h.H1), bytesInt(h.H2)
	for _, d := range []struct {
		proof [][]byte
		g, h  *big.Int
	}{{h.Dln1, h1, h2}, {h.Dln2, h2, h1}} {
		p, err := dlnproof.UnmarshalDLNProof(d.proof)
		if err != nil || !p.Verify(d.g, d.h, f.ntilde) {
			return errors.New("discrete logarithm proof does not hold")
		}
	}
	mod, err := modproof.NewProofFromBytes(h.Mod)
	if err != nil || !mod.Verify(r.context("modulus", i, i), f.n) {
		return errors.New("modulus proof does not hold")
	}
	public, err := libPoint(&r.public)
	if err != nil {
		return err
	}
	var coprime paillier.Proof
	for k, b := range h.Coprime {
		coprime[k] = bytesInt(b)
	}
	if ok, err := coprime.Verify(f.n, bound(r.session, "share index", r.parts[i].New), public); err != nil || !ok {
		return errors.New("Paillier proof does not hold")
	}
	return nil
}

// proven takes the proofs that were made for this member, and ends the protocol.
func (r *Resharing) proven(in []chainkey.Input) (chainkey.Output, error) {
	own := r.parts[r.seat].New
	for i, p := range r.parts {
		if i == r.seat {
			continue
		}
		if len(in[i].Broadcast) != 0 || (own < 0 || p.New < 0) && len(in[i].Private) != 0 {
			return chainkey.Output{}, chainkey.Blame(i, "a message that round 2 does not have")
		}
		if own < 0 || p.New < 0 {
			continue
		}
		var parts [][]byte
		if err := codec.Unmarshal(in[i].Private, &parts); err != nil {
			return chainkey.Output{}, chainkey.Blame(i, "factor proof: malformed")
		}
		if err := r.filters[i].facProof(parts); err != nil {
			return chainkey.Output{}, chainkey.Blame(i, "%v", err)
		}
		proof, err := facproof.NewProofFromBytes(parts)
		if err != nil || !proof.Verify(r.context("factors", i, r.seat), tss.S256(), r.filters[i].n, r.params.NTildei, r.params.H1i, r.params.H2i) {
			return chainkey.Output{}, chainkey.Blame(i, "factor proof does not hold")
		}
	}
	if own >= 0 {
		if err := r.finish(own); err != nil {
			return chainkey.Output{}, fmt.Errorf("resharing: %w", err)
		}
	}
	return chainkey.Output{Done: true}, nil
}

// finish puts the share together.
func (r *Resharing) finish(own int) error {
	n := len(r.members)
	s := &Share{threshold: r.threshold, seat: own, public: compressed(&r.public), save: keygen.NewLocalPartySaveData(n)}
	d := &s.save
	d.LocalPreParams = *r.params
	secret := r.secret.Bytes()
	d.Xi = bytesInt(secret[:])
	clear(secret[:])
	var err error
	if d.ECDSAPub, err = libPoint(&r.public); err != nil {
		return err
	}
	for seat, i := range r.members {
		d.Ks[seat] = bound(r.session, "share index", seat)
		p := evaluatePoints(r.points, &r.indices[seat])
		if d.BigXj[seat], err = libPoint(&p); err != nil {
			return err
		}
		if i == r.seat {
			d.PaillierPKs[seat], d.NTildej[seat], d.H1j[seat], d.H2j[seat] = &r.params.PaillierSK.PublicKey, r.params.NTildei, r.params.H1i, r.params.H2i
			continue
		}
		h, f := r.hellos[i], r.filters[i]
		d.PaillierPKs[seat], d.NTildej[seat], d.H1j[seat], d.H2j[seat] = &paillier.PublicKey{N: f.n}, f.ntilde, bytesInt(h.H1), bytesInt(h.H2)
	}
	d.ShareID = d.Ks[own]
	encoded := s.Encode()
	defer encoded.Wipe()
	// Reading it back checks that the secret fits the public points, and gives the share numbers of its own.
	r.share, err = DecodeShare(encoded)
	wipe(d.Xi)
	return err
}

// Share implements chainkey.Generation.
func (r *Resharing) Share() (chainkey.Share, error) {
	switch {
	case r.share != nil:
		return r.share, nil
	case r.round == -1 && r.parts[r.seat].New < 0:
		return nil, chainkey.ErrOnlyDealt
	}
	return nil, errors.New("resharing is not done")
}

// Wipe implements chainkey.Protocol. A share that was taken remains.
func (r *Resharing) Wipe() {
	r.round = -1
	for i := range r.poly {
		r.poly[i].Zero()
	}
	r.secret.Zero()
	if p := r.params; p != nil {
		wipe(p.Alpha, p.Beta, p.P, p.Q, p.PaillierSK.P, p.PaillierSK.Q, p.PaillierSK.LambdaN, p.PaillierSK.PhiN)
	}
	r.poly, r.params, r.share = nil, nil, nil
}

// The arithmetic of secret sharing, with dcrd's constant-time scalars.

func drawScalar(random io.Reader) (k secp.ModNScalar, err error) {
	var b [32]byte
	defer clear(b[:])
	for {
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return k, fmt.Errorf("reading randomness: %w", err)
		}
		if k.SetBytes(&b) == 0 && !k.IsZero() {
			return k, nil
		}
	}
}

// blindBase is k·G, computed as (k−b)·G + b·G with a fresh random b, since multiplication is not constant-time.
func blindBase(k *secp.ModNScalar, random io.Reader) (p secp.JacobianPoint, err error) {
	b, err := drawScalar(random)
	if err != nil {
		return p, err
	}
	defer b.Zero()
	var rest secp.ModNScalar
	rest.NegateVal(&b).Add(k)
	defer rest.Zero()
	var x, y secp.JacobianPoint
	secp.ScalarBaseMultNonConst(&rest, &x)
	secp.ScalarBaseMultNonConst(&b, &y)
	secp.AddNonConst(&x, &y, &p)
	p.ToAffine()
	return p, nil
}

// lagrange is the coefficient at zero of the i-th of some indices.
func lagrange(at []secp.ModNScalar, i int) secp.ModNScalar {
	var num, den secp.ModNScalar
	num.SetInt(1)
	den.SetInt(1)
	for j := range at {
		if j != i {
			var d secp.ModNScalar
			d.NegateVal(&at[i]).Add(&at[j])
			num.Mul(&at[j])
			den.Mul(&d)
		}
	}
	den.InverseNonConst()
	return *num.Mul(&den)
}

// interpolate is the value at zero of the polynomial through points at indices.
func interpolate(points []secp.JacobianPoint, at []secp.ModNScalar) (sum secp.JacobianPoint) {
	for i := range points {
		l := lagrange(at, i)
		var p, s secp.JacobianPoint
		secp.ScalarMultNonConst(&l, &points[i], &p)
		secp.AddNonConst(&sum, &p, &s)
		sum = s
	}
	sum.ToAffine()
	return sum
}

func evaluate(poly []secp.ModNScalar, x *secp.ModNScalar) (v secp.ModNScalar) {
	for i := len(poly) - 1; i >= 0; i-- {
		v.Mul(x).Add(&poly[i])
	}
	return v
}

func evaluatePoints(commits []secp.JacobianPoint, x *secp.ModNScalar) secp.JacobianPoint {
	v := commits[len(commits)-1]
	for i := len(commits) - 2; i >= 0; i-- {
		var p, s secp.JacobianPoint
		secp.ScalarMultNonConst(x, &v, &p)
		secp.AddNonConst(&p, &commits[i], &s)
		v = s
	}
	v.ToAffine()
	return v
}

// equalPoints compares affine points. Infinity equals nothing.
func equalPoints(a, b *secp.JacobianPoint) bool {
	return !infinity(a) && !infinity(b) && a.X.Equals(&b.X) && a.Y.Equals(&b.Y)
}

func infinity(p *secp.JacobianPoint) bool { return p.Z.IsZero() || p.X.IsZero() && p.Y.IsZero() }

func parsePoint(b []byte) (p secp.JacobianPoint, err error) {
	if len(b) != 33 {
		return p, fmt.Errorf("a point of %d bytes", len(b))
	}
	key, err := secp.ParsePubKey(b)
	if err != nil {
		return p, err
	}
	key.AsJacobian(&p)
	return p, nil
}

// parsePublicShares reads what Share.PublicShares returns. Indices are distinct and not zero.
func parsePublicShares(list [][]byte) (points []secp.JacobianPoint, indices []secp.ModNScalar, err error) {
	for seat, b := range list {
		if len(b) != indexSize+33 {
			return nil, nil, fmt.Errorf("public share of seat %d: %d bytes", seat, len(b))
		}
		var k secp.ModNScalar
		if k.SetByteSlice(b[:indexSize]) || k.IsZero() {
			return nil, nil, fmt.Errorf("public share of seat %d: its index is out of range", seat)
		}
		for i := range indices {
			if indices[i].Equals(&k) {
				return nil, nil, fmt.Errorf("public shares of seats %d and %d have one index", i, seat)
			}
		}
		p, err := parsePoint(b[indexSize:])
		if err != nil {
			return nil, nil, fmt.Errorf("public share of seat %d: %w", seat, err)
		}
		points, indices = append(points, p), append(indices, k)
	}
	return points, indices, nil
}

func compressed(p *secp.JacobianPoint) [33]byte {
	return [33]byte(secp.NewPublicKey(&p.X, &p.Y).SerializeCompressed())
}

// libPoint is a point as the library has it. Infinity is refused.
func libPoint(p *secp.JacobianPoint) (*crypto.ECPoint, error) {
	if infinity(p) {
		return nil, errors.New("a point at infinity") // by chance once in 2^256
	}
	b := compressed(p)
	return decompress(b[:])
}
