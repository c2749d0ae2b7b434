package idkg

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"fusion/chainkey"
	"fusion/chainkey/idkg/curve"
)

// Transcript is the public result of a sharing for one secret: a commitment to the polynomial on which the members' shares lie, and which dealings
// made it.
type Transcript struct {
	key        chainkey.KeyID
	curve      curve.Curve
	kind       Kind
	serial     uint64
	sharing    [32]byte
	roster     [32]byte // of those who hold shares
	members    int
	left       [32]byte // digests of the inputs, or zeros
	right      [32]byte
	commitment []*curve.Point
	dealers    []int
	dealings   [][32]byte
	digest     [32]byte
}

// Kind is that of the sharing.
func (t *Transcript) Kind() Kind { return t.kind }

// Key is what the transcript belongs to.
func (t *Transcript) Key() chainkey.KeyID { return t.key }

// Digest names the transcript.
func (t *Transcript) Digest() [32]byte { return t.digest }

// Roster is the digest of the members who hold shares.
func (t *Transcript) Roster() [32]byte { return t.roster }

// Dealings are the digests of the dealings that made it, in the order in which Load wants them.
func (t *Transcript) Dealings() [][32]byte { return slices.Clone(t.dealings) }

// PublicKey is secret·G of an unmasked transcript; nil of a masked one.
func (t *Transcript) PublicKey() []byte {
	if t.kind.Masked() {
		return nil
	}
	return t.commitment[0].Bytes()
}

// PublicShares says, by seat, what everybody may know of the members' shares: share·G of an unmasked transcript, nil of a masked one.
func (t *Transcript) PublicShares() (out [][]byte) {
	if t.kind.Masked() {
		return nil
	}
	for seat := range t.members {
		out = append(out, t.at(seat).Bytes())
	}
	return out
}

// InLife returns a key's transcript for its members' roster in another life: the same polynomial and the same shares under another name. What was
// presigned with the one does not fit the other. A nonce is never moved.
func (t *Transcript) InLife(r *Roster) (*Transcript, error) {
	if err := checkKey(t); err != nil {
		return nil, fmt.Errorf("transcript: %w", err)
	}
	if t.members != r.N() {
		return nil, fmt.Errorf("transcript: of %d members, the roster has %d", t.members, r.N())
	}
	moved := *t
	moved.roster, moved.left, moved.right = r.digest, t.digest, [32]byte{}
	moved.sharing = newHash("transcript in life").bytes(t.digest[:]).bytes(r.digest[:]).digest()
	moved.digest = sha256.Sum256(moved.Encode())
	return &moved, nil
}

// at is the commitment to a seat's share.
func (t *Transcript) at(seat int) *curve.Point { return t.curve.EvaluateVar(t.commitment, seat) }

// Encode returns the transcript's one encoding, for replicated state.
func (t *Transcript) Encode() []byte {
	w := newWriter(wireTranscript)
	name := t.key.String()
	w.u8(uint8(len(name)))
	w.bytes([]byte(name))
	w.u8(uint8(t.kind))
	w.u64(t.serial)
	w.bytes(t.sharing[:])
	w.bytes(t.roster[:])
	w.u16(t.members)
	w.bytes(t.left[:])
	w.bytes(t.right[:])
	w.u16(len(t.commitment))
	w.points(t.commitment)
	w.u16(len(t.dealers))
	for i, d := range t.dealers {
		w.u16(d)
		w.bytes(t.dealings[i][:])
	}
	return w.b
}

// DecodeTranscript reads what Encode returned. It is for bytes out of the own replicated state: that the commitment is that of the dealings
// is not checked again.
func DecodeTranscript(b []byte) (*Transcript, error) {
	r := newReader(b, wireTranscript)
	t := &Transcript{}
	name := string(r.take(int(r.u8())))
	if r.err == nil {
		var err error
		if t.key, err = chainkey.ParseKeyID(name); err == nil {
			t.curve, err = curveOf(t.key.Algorithm)
		}
		if err != nil {
			r.fail("%v", err)
		}
	}
	t.kind, t.serial = Kind(r.u8()), r.u64()
	t.sharing, t.roster, t.members = r.hash(), r.hash(), r.u16()
	t.left, t.right = r.hash(), r.hash()
	if r.err == nil && (!t.kind.valid() || t.members < 1 || t.members > MaxMembers) {
		r.fail("kind %d of %d members", uint8(t.kind), t.members)
	}
	t.commitment = r.points(t.curve, r.count("coefficients", 1, MaxMembers))
	for i := range r.count("dealings", 1, MaxMembers) {
		t.dealers, t.dealings = append(t.dealers, r.u16()), append(t.dealings, r.hash())
		if r.err == nil && (t.dealers[i] >= MaxMembers || i > 0 && t.dealers[i] <= t.dealers[i-1]) {
			r.fail("dealers are not ascending seats")
		}
	}
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("transcript: %w", err)
	}
	if len(t.commitment) != (t.members-1)/3+1 {
		return nil, fmt.Errorf("transcript: %w: %d coefficients for %d members", ErrEncoding, len(t.commitment), t.members)
	}
	t.digest = sha256.Sum256(b)
	return t, nil
}

// ErrTooFew says that not enough certified dealings are there yet.
var ErrTooFew = errors.New("too few certified dealings")

var errTally = errors.New("transcript: the tally is of another roster")

// Select picks from dealings those that make the transcripts: certified ones of the first Needed dealers in Order that have any, in the form
// that Combine wants. It returns ErrTooFew while there are less. Dealings that do not verify are passed over.
func (s *Sharing) Select(dealings []*Dealing, support *Tally) ([]*Dealing, error) {
	if support.roster.digest != s.Receivers.digest {
		return nil, errTally
	}
	var out []*Dealing
	for _, seat := range s.Order() {
		at := slices.IndexFunc(dealings, func(d *Dealing) bool {
			return d.dealer == seat && support.Certified(d.digest) && s.VerifyDealing(d) == nil
		})
		if at >= 0 && len(out) < s.Needed() {
			out = append(out, dealings[at])
		}
	}
	if len(out) < s.Needed() {
		return nil, fmt.Errorf("%w: %d of %d", ErrTooFew, len(out), s.Needed())
	}
	slices.SortFunc(out, func(a, b *Dealing) int { return a.dealer - b.dealer })
	return out, nil
}

// Combine makes the transcripts, one for each secret, of exactly Needed dealings in ascending order of their dealers, each verified and certified. It is how a block
// that names dealings is checked, and how every replica computes what they make.
func (s *Sharing) Combine(dealings []*Dealing, support *Tally) ([]*Transcript, error) {
	if len(dealings) != s.Needed() {
		return nil, fmt.Errorf("%w: %d of %d", ErrTooFew, len(dealings), s.Needed())
	}
	if support.roster.digest != s.Receivers.digest {
		return nil, errTally
	}
	var dealers []int
	var digests [][32]byte
	for i, d := range dealings {
		if i > 0 && d.dealer <= dealings[i-1].dealer {
			return nil, errors.New("transcript: the dealers are not in ascending order")
		}
		if err := s.VerifyDealing(d); err != nil {
			return nil, fmt.Errorf("transcript: %w", err)
		}
		if !support.Certified(d.digest) {
			return nil, fmt.Errorf("transcript: dealing of seat %d: %w", d.dealer, ErrTooFew)
		}
		dealers, digests = append(dealers, d.dealer), append(digests, d.digest)
	}
	weights := s.weights(dealers)
	var out []*Transcript
	for i := range s.Count {
		t := &Transcript{key: s.Key, curve: s.curve, kind: s.Kind, serial: s.Serial + uint64(i), sharing: s.id, roster: s.Receivers.digest,
			members: s.Receivers.N(), dealers: dealers, dealings: digests}
		if s.Left != nil {
			t.left = s.Left[i].digest
		}
		if s.Right != nil {
			t.right = s.Right[i].digest
		}
		for k := range s.Receivers.Threshold() {
			points := make([]*curve.Point, len(dealings))
			for j, d := range dealings {
				points[j] = d.commitments[i][k]
			}
			sum := s.curve.Identity()
			if weights != nil {
				sum = s.curve.SumVar(weights, points)
			} else {
				for _, p := range points {
					sum = sum.Add(p)
				}
			}
			if sum.IsIdentity() { // by chance once in 2^252; no dealer can steer it there with shares that 2f+1 members found good
				return nil, errors.New("transcript: a coefficient is zero")
			}
			t.commitment = append(t.commitment, sum.Encoded())
		}
		t.digest = sha256.Sum256(t.Encode())
		out = append(out, t)
	}
	return out, nil
}

// weights are the factors of the dealings: nil where they are added.
func (s *Sharing) weights(dealers []int) []*curve.Scalar {
	if s.Kind == Random || s.Kind == RandomUnmasked {
		return nil
	}
	return s.curve.Lagrange(dealers, s.curve.Scalar(0))
}
