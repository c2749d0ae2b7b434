package idkg

import (
	"errors"
	"fmt"

	"fusion/chainkey"
	"fusion/chainkey/idkg/curve"
	"fusion/internal/redact"
)

// Share is one member's share of a transcript's secret.
type Share struct {
	transcript [32]byte
	seat       int
	value      *curve.Scalar
	mask       *curve.Scalar // nil when unmasked
}

// Format shows whose share it is.
func (s *Share) Format(f fmt.State, _ rune) {
	redact.Format(f, fmt.Sprintf("share of seat %d of transcript %x", s.seat, s.transcript[:8]))
}

// Wipe overwrites the share.
func (s *Share) Wipe() {
	if s != nil {
		wipe(s.value, s.mask)
	}
}

// Encode is for the key store.
func (s *Share) Encode() chainkey.Secret {
	w := newWriter(wireShare)
	w.u8(uint8(s.value.Curve()))
	w.bytes(s.transcript[:])
	w.u16(s.seat)
	w.u8(uint8(len(s.values())))
	for _, v := range s.values() {
		w.scalar(v)
	}
	return w.b
}

func (s *Share) values() []*curve.Scalar {
	if s.mask == nil {
		return []*curve.Scalar{s.value}
	}
	return []*curve.Scalar{s.value, s.mask}
}

// InLife returns a copy of a share of a key for what Transcript.InLife made of its transcript.
func (s *Share) InLife(t *Transcript) (*Share, error) {
	if checkKey(t) != nil || t.left != s.transcript || s.mask != nil || !fits(t.curve, t.commitment, s.seat, s.values()) {
		return nil, fmt.Errorf("share of seat %d: %w: it is not of this transcript", s.seat, ErrEncoding)
	}
	return &Share{transcript: t.digest, seat: s.seat, value: s.value.Clone()}, nil
}

// DecodeShare reads what Encode returned and checks it against its transcript.
func DecodeShare(b chainkey.Secret, t *Transcript) (*Share, error) {
	r := newReader(b, wireShare)
	c := r.curve()
	s := &Share{transcript: r.hash(), seat: r.u16()}
	width := int(r.u8())
	if r.err == nil && width != 1 && width != 2 {
		r.fail("%d values", width)
	}
	if r.err == nil {
		s.value = r.scalar(c)
		if width == 2 {
			s.mask = r.scalar(c)
		}
	}
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("share: %w", err)
	}
	if s.transcript != t.digest || c != t.curve || width != t.kind.width() || s.seat >= t.members || !fits(t.curve, t.commitment, s.seat, s.values()) {
		s.Wipe()
		return nil, fmt.Errorf("share of seat %d: %w: it is not of this transcript", s.seat, ErrEncoding)
	}
	return s, nil
}

// ErrComplaints says that shares of bad dealings must be opened by others first.
var ErrComplaints = errors.New("a chosen dealing has a bad share for this member: it needs openings by f+1 others")

// Load computes the own shares of a sharing's transcripts from their dealings. Where a dealing has bad ones for this member, they are interpolated
// from openings by f+1 others; as long as these are missing, ErrComplaints comes with the complaints to publish.
func (s *Sharing) Load(ts []*Transcript, dealings []*Dealing, me Identity, openings []*Opening) ([]*Share, []*Complaint, error) {
	if err := s.receives(me); err != nil {
		return nil, nil, fmt.Errorf("loading a share: %w", err)
	}
	if len(ts) != s.Count {
		return nil, nil, fmt.Errorf("loading a share: %d transcripts of %d", len(ts), s.Count)
	}
	for i, t := range ts {
		if t.sharing != s.id || t.serial != s.Serial+uint64(i) || len(dealings) != len(t.dealings) {
			return nil, nil, errors.New("loading a share: of another sharing, or with other dealings")
		}
		for j, d := range dealings {
			if d.digest != t.dealings[j] || d.sharing != s.id {
				return nil, nil, fmt.Errorf("loading a share: dealing %d is not the transcript's", j)
			}
		}
	}
	opened := make([][]*curve.Scalar, len(dealings))
	defer func() {
		for _, o := range opened {
			wipe(o...)
		}
	}()
	for i, d := range dealings {
		if d.curve != s.curve || d.kind != s.Kind || len(d.commitments) != s.Count || len(d.sealed.boxes) != s.Receivers.N() {
			return nil, nil, fmt.Errorf("loading a share: dealing %d has another form", i) // never, of a transcript that Combine made
		}
		opened[i] = s.open(d, me)
	}
	if out := s.sum(ts, me.Seat, opened); out != nil {
		return out, nil, nil
	}
	var complaints []*Complaint
	for i, d := range dealings {
		if s.sound(d, me.Seat, opened[i]) {
			continue
		}
		wipe(opened[i]...)
		var missing bool
		if opened[i], missing = s.interpolate(d, me.Seat, openings); missing {
			c, err := s.Complain(d, me)
			if err != nil {
				return nil, nil, fmt.Errorf("loading a share: %w", err)
			}
			complaints = append(complaints, c)
		}
	}
	if len(complaints) > 0 {
		return nil, complaints, fmt.Errorf("loading a share: %w", ErrComplaints)
	}
	if out := s.sum(ts, me.Seat, opened); out != nil {
		return out, nil, nil
	}
	return nil, nil, errors.New("loading a share: good dealings do not make the transcript")
}

// sum adds the dealings' values up by their weights to a share of each transcript; nil if one does not fit.
func (s *Sharing) sum(ts []*Transcript, seat int, opened [][]*curve.Scalar) (out []*Share) {
	weights, width := s.weights(ts[0].dealers), s.Kind.width()
	for index, t := range ts {
		sums := make([]*curve.Scalar, width)
		for entry := range sums {
			sum := s.curve.Scalar(0)
			for i, o := range opened {
				v := o[index*width+entry]
				if weights != nil {
					v = v.Mul(weights[i])
				}
				next := sum.Add(v)
				sum.Wipe()
				sum = next
				if weights != nil {
					v.Wipe()
				}
			}
			sums[entry] = sum
		}
		x := &Share{transcript: t.digest, seat: seat, value: sums[0]}
		if width == 2 {
			x.mask = sums[1]
		}
		out = append(out, x)
		if !fits(s.curve, t.commitment, seat, x.values()) {
			for _, x := range out {
				x.Wipe()
			}
			return nil
		}
	}
	return out
}

// interpolate computes a seat's values from others' openings of the dealing.
func (s *Sharing) interpolate(d *Dealing, seat int, openings []*Opening) (values []*curve.Scalar, missing bool) {
	var seats []int
	var parts []*Opening
	for _, o := range openings {
		if len(seats) == s.Receivers.Threshold() {
			break
		}
		if o.dealing != d.digest || o.seat == seat || contains(seats, o.seat) || s.VerifyOpening(d, o) != nil {
			continue
		}
		seats, parts = append(seats, o.seat), append(parts, o)
	}
	if len(seats) < s.Receivers.Threshold() {
		return nil, true
	}
	weights := s.curve.Lagrange(seats, s.curve.Place(seat))
	for entry := range parts[0].values {
		sum := s.curve.Scalar(0)
		for i, o := range parts {
			sum = sum.Add(o.values[entry].Mul(weights[i]))
		}
		values = append(values, sum)
	}
	return values, false
}

func contains(list []int, x int) bool {
	for _, y := range list {
		if x == y {
			return true
		}
	}
	return false
}

// Complaint is a member's proof that a dealing encrypts bad shares to it: the point that opens its box, with a proof that it is the one. It
// says nothing about other dealings.
type Complaint struct {
	sharing   [32]byte
	dealing   [32]byte
	seat      int
	shared    *curve.Point
	proof     *proof
	signature [64]byte
}

// Dealing is the digest of the dealing complained of.
func (c *Complaint) Dealing() [32]byte { return c.dealing }

// Seat is the member that complains.
func (c *Complaint) Seat() int { return c.seat }

func (c *Complaint) context() [32]byte {
	return newHash("complaint").bytes(c.sharing[:]).bytes(c.dealing[:]).number(uint64(c.seat)).digest()
}

func (c *Complaint) body() []byte {
	w := newWriter(wireComplaint)
	w.bytes(c.sharing[:])
	w.bytes(c.dealing[:])
	w.u16(c.seat)
	w.point(c.shared)
	w.proof(c.proof)
	return w.b
}

// Encode returns the complaint's one encoding.
func (c *Complaint) Encode() []byte { return append(c.body(), c.signature[:]...) }

// DecodeComplaint reads what Encode returned.
func DecodeComplaint(b []byte) (*Complaint, error) {
	r := newReader(b, wireComplaint)
	c := &Complaint{sharing: r.hash(), dealing: r.hash(), seat: r.u16(), shared: r.point(mega), proof: r.proof(mega, 1), signature: r.sig()}
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("complaint: %w", err)
	}
	return c, nil
}

// Complain proves that the own share in a dealing is bad. It refuses when the share is good: the proof would only give it away.
func (s *Sharing) Complain(d *Dealing, me Identity) (*Complaint, error) {
	if err := s.Check(d, me); err == nil {
		return nil, errors.New("complaint: the share is good")
	} else if !errors.Is(err, ErrShare) {
		return nil, fmt.Errorf("complaint: %w", err)
	}
	c := &Complaint{sharing: s.id, dealing: d.digest, seat: me.Seat, shared: d.sealed.ephemeral.Mul(me.Key.secret).Encoded()}
	seed, key := me.Node.Seed(), me.Key.secret.Bytes()
	defer clear(seed)
	defer clear(key)
	random, err := newStream(me.Rand, "complaint", c.context(), seed, key)
	if err != nil {
		return nil, fmt.Errorf("complaint: %w", err)
	}
	defer random.wipe()
	c.proof = equalLogarithms(mega, me.Key.public, d.sealed.ephemeral, c.shared).prove("complaint", c.context(), random, me.Key.secret)
	c.signature = sign(me, "complaint", c.body())
	return c, nil
}

// VerifyComplaint checks a complaint about a dealing. nil convicts the dealer. A *chainkey.Misbehaviour names the member whose
// complaint is wrong; any other error says nothing about anybody.
func (s *Sharing) VerifyComplaint(d *Dealing, c *Complaint) error {
	if c.sharing != s.id || d.sharing != s.id || c.dealing != d.digest {
		return errors.New("complaint: of another sharing or dealing")
	}
	if err := s.VerifyDealing(d); err != nil {
		return fmt.Errorf("complaint: %w", err)
	}
	if err := s.Receivers.verify(c.seat, "complaint", c.body(), c.signature); err != nil {
		return fmt.Errorf("complaint: %w", err)
	}
	if !equalLogarithms(mega, s.Receivers.members[c.seat].encryption, d.sealed.ephemeral, c.shared).verify("complaint", c.context(), c.proof) {
		return chainkey.Blame(c.seat, "complaint about seat %d: its proof does not hold", d.dealer)
	}
	values := d.sealed.open(s.curve, s.context(d.dealer, d.commitments), s.Receivers, c.seat, c.shared)
	if s.sound(d, c.seat, values) {
		return chainkey.Blame(c.seat, "complaint about seat %d: the share is good", d.dealer)
	}
	return nil
}

// Opening is a member's own shares in a dealing whose dealer was convicted, in the clear.
type Opening struct {
	sharing   [32]byte
	dealing   [32]byte
	seat      int
	values    []*curve.Scalar // by secret: the value, and the mask where there is one
	signature [64]byte
}

// Dealing is the digest of the dealing opened.
func (o *Opening) Dealing() [32]byte { return o.dealing }

// Seat is the member whose share it is.
func (o *Opening) Seat() int { return o.seat }

func (o *Opening) body() []byte {
	w := newWriter(wireOpening)
	w.bytes(o.sharing[:])
	w.bytes(o.dealing[:])
	w.u16(o.seat)
	w.u8(uint8(o.values[0].Curve()))
	w.u16(len(o.values))
	for _, v := range o.values {
		w.scalar(v)
	}
	return w.b
}

// Encode returns the opening's one encoding.
func (o *Opening) Encode() []byte { return append(o.body(), o.signature[:]...) }

// DecodeOpening reads what Encode returned.
func DecodeOpening(b []byte) (*Opening, error) {
	r := newReader(b, wireOpening)
	o := &Opening{sharing: r.hash(), dealing: r.hash(), seat: r.u16()}
	c := r.curve()
	o.values = r.scalars(c, r.count("values", 1, 2*MaxCount))
	o.signature = r.sig()
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("opening: %w", err)
	}
	return o, nil
}

// Open answers a complaint, which it verifies: nobody's share is opened because somebody says so.
func (s *Sharing) Open(d *Dealing, c *Complaint, me Identity) (*Opening, error) {
	if err := s.VerifyComplaint(d, c); err != nil {
		return nil, fmt.Errorf("opening: %w", err)
	}
	if err := s.Check(d, me); err != nil {
		return nil, fmt.Errorf("opening: %w", err)
	}
	o := &Opening{sharing: s.id, dealing: d.digest, seat: me.Seat, values: s.open(d, me)}
	o.signature = sign(me, "opening", o.body())
	return o, nil
}

// VerifyOpening checks an opening against the dealing's commitment. A *chainkey.Misbehaviour names the member that opened something else.
func (s *Sharing) VerifyOpening(d *Dealing, o *Opening) error {
	if o.sharing != s.id || d.sharing != s.id || o.dealing != d.digest {
		return errors.New("opening: of another sharing or dealing")
	}
	if err := s.VerifyDealing(d); err != nil {
		return fmt.Errorf("opening: %w", err)
	}
	if err := s.Receivers.verify(o.seat, "opening", o.body(), o.signature); err != nil {
		return fmt.Errorf("opening: %w", err)
	}
	if len(o.values) != s.Count*s.Kind.width() || o.values[0].Curve() != s.curve || !s.sound(d, o.seat, o.values) {
		return chainkey.Blame(o.seat, "opening of a dealing of seat %d: it does not fit the commitment", d.dealer)
	}
	return nil
}
