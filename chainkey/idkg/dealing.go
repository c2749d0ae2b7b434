package idkg

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"fusion/chainkey"
	"fusion/chainkey/idkg/curve"
)

// Dealing is one member's contribution to a sharing, signed. It remembers that it was verified, so one goroutine at a time uses it.
type Dealing struct {
	curve       curve.Curve
	kind        Kind
	sharing     [32]byte
	dealer      int
	commitments [][]*curve.Point // by secret
	sealed      *ciphertext
	proofs      []*proof // by secret; none for kinds without
	signature   [64]byte

	digest   [32]byte
	verified bool // publicly, under the sharing it names
}

// Dealer is the seat that the dealing names.
func (d *Dealing) Dealer() int { return d.dealer }

// Sharing is the id of the sharing that the dealing names.
func (d *Dealing) Sharing() [32]byte { return d.sharing }

// Digest names the dealing: two dealings with one digest are the same in all but the signature.
func (d *Dealing) Digest() [32]byte { return d.digest }

func (d *Dealing) body() []byte {
	w := newWriter(wireDealing)
	w.u8(uint8(d.curve))
	w.u8(uint8(d.kind))
	w.bytes(d.sharing[:])
	w.u16(d.dealer)
	w.u16(len(d.commitments))
	w.u16(len(d.commitments[0]))
	for _, c := range d.commitments {
		w.points(c)
	}
	w.point(d.sealed.ephemeral)
	w.point(d.sealed.hashed)
	w.proof(d.sealed.proof)
	w.u16(len(d.sealed.boxes))
	for _, box := range d.sealed.boxes {
		for _, s := range box {
			w.scalar(s)
		}
	}
	for _, p := range d.proofs {
		w.proof(p)
	}
	return w.b
}

// Encode returns the dealing's one encoding.
func (d *Dealing) Encode() []byte { return append(d.body(), d.signature[:]...) }

// DecodeDealing reads what Encode returned. Nothing is verified yet but the form.
func DecodeDealing(b []byte) (*Dealing, error) {
	r := newReader(b, wireDealing)
	d := &Dealing{curve: r.curve(), kind: Kind(r.u8()), sharing: r.hash(), dealer: r.u16(), sealed: &ciphertext{}}
	if r.err == nil && (!d.kind.valid() || d.dealer >= MaxMembers) {
		r.fail("kind %d, dealer %d", uint8(d.kind), d.dealer)
	}
	count, terms := r.count("secrets", 1, MaxCount), r.count("coefficients", 1, MaxMembers)
	for range count {
		d.commitments = append(d.commitments, r.points(d.curve, terms))
	}
	d.sealed.ephemeral, d.sealed.hashed, d.sealed.proof = r.point(mega), r.point(mega), r.proof(mega, 1)
	for range r.count("receivers", 1, MaxMembers) {
		d.sealed.boxes = append(d.sealed.boxes, r.scalars(d.curve, count*d.kind.width()))
	}
	if n := d.kind.responses(); n > 0 {
		for range count {
			d.proofs = append(d.proofs, r.proof(d.curve, n))
		}
	}
	d.signature = r.sig()
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("dealing: %w", err)
	}
	d.digest = sha256.Sum256(b[:len(b)-64])
	return d, nil
}

// Deal makes the own dealing. Resharing takes the own shares of the left inputs, a product those of both.
func (s *Sharing) Deal(me Identity, left, right []*Share) (*Dealing, error) {
	if err := s.Dealers.owns(me); err != nil {
		return nil, fmt.Errorf("dealing: %w", err)
	}
	secrets := [][]byte{me.Node.Seed()}
	defer func() {
		for _, b := range secrets {
			clear(b)
		}
	}()
	for _, in := range []struct {
		ts []*Transcript
		ss []*Share
	}{{s.Left, left}, {s.Right, right}} {
		if len(in.ts) != len(in.ss) {
			return nil, fmt.Errorf("dealing: %d shares for %d inputs", len(in.ss), len(in.ts))
		}
		for i, x := range in.ss {
			if x == nil || x.transcript != in.ts[i].digest || x.seat != me.Seat {
				return nil, errors.New("dealing: the shares are not those of the inputs and this seat")
			}
			secrets = append(secrets, x.value.Bytes())
		}
	}
	random, err := newStream(me.Rand, "dealing", s.id, secrets...)
	if err != nil {
		return nil, fmt.Errorf("dealing: %w", err)
	}
	defer random.wipe()

	d := &Dealing{curve: s.curve, kind: s.Kind, sharing: s.id, dealer: me.Seat}
	plain := make([][]*curve.Scalar, s.Receivers.N()) // by receiver
	masks := make([]*curve.Scalar, s.Count)           // of the constants
	defer func() {
		wipe(masks...)
		for _, box := range plain {
			wipe(box...)
		}
	}()
	for i := range s.Count {
		var commitment []*curve.Point
		commitment, masks[i] = s.polynomial(i, left, right, random, plain)
		d.commitments = append(d.commitments, commitment)
	}
	context := s.context(me.Seat, d.commitments)
	d.sealed = encrypt(s.curve, context, s.Receivers, plain, random)
	for i := range s.Count {
		if s.Kind.responses() == 0 {
			break
		}
		r, purpose, context := s.relation(me.Seat, i, d.commitments[i][0], context)
		if s.Kind == ReshareMasked {
			d.proofs = append(d.proofs, r.prove(purpose, context, random, left[i].mask))
			continue
		}
		// P = a·b·G + m·H = a·(b·G + n·H) + (m − a·n)·H
		an := left[i].value.Mul(right[i].mask)
		x := masks[i].Sub(an)
		d.proofs = append(d.proofs, r.prove(purpose, context, random, left[i].value, x))
		wipe(an, x)
	}
	body := d.body()
	d.signature, d.digest, d.verified = sign(me, "dealing", body), sha256.Sum256(body), true
	return d, nil
}

// polynomial draws the polynomial that shares a secret, and its mask, adds each receiver's values to plain, and returns the commitment and the
// mask's constant.
func (s *Sharing) polynomial(index int, left, right []*Share, random *stream, plain [][]*curve.Scalar) (commitment []*curve.Point, mask *curve.Scalar) {
	t := s.Receivers.Threshold()
	values, masks := random.scalars(s.curve, t), []*curve.Scalar(nil)
	if s.Kind.Masked() {
		masks = random.scalars(s.curve, t)
		mask = masks[0].Clone()
	}
	defer func() { wipe(values...); wipe(masks...) }()
	switch s.Kind {
	case ReshareMasked, ReshareUnmasked:
		values[0].Wipe()
		values[0] = left[index].value.Clone()
	case Product:
		values[0].Wipe()
		values[0] = left[index].value.Mul(right[index].value)
	}
	for i, v := range values {
		c := s.curve.Mul(v)
		if masks != nil {
			c = c.Add(s.curve.MulH(masks[i]))
		}
		commitment = append(commitment, c.Encoded())
	}
	for seat := range plain {
		plain[seat] = append(plain[seat], s.curve.Evaluate(values, seat))
		if masks != nil {
			plain[seat] = append(plain[seat], s.curve.Evaluate(masks, seat))
		}
	}
	return commitment, mask
}

// VerifyDealing checks everything about a dealing that is public. A *chainkey.Misbehaviour names the dealer, and with the dealing itself is
// the proof for everybody; any other error says nothing about the dealer.
func (s *Sharing) VerifyDealing(d *Dealing) error {
	if d.sharing != s.id {
		return errors.New("dealing: of another sharing")
	}
	if d.verified {
		return nil
	}
	if err := s.Dealers.verify(d.dealer, "dealing", d.body(), d.signature); err != nil {
		return fmt.Errorf("dealing: %w", err)
	}
	blame := func(format string, args ...any) error {
		return chainkey.Blame(d.dealer, "dealing, %s: %s", s.Kind, fmt.Sprintf(format, args...))
	}
	if d.curve != s.curve || d.kind != s.Kind || len(d.commitments) != s.Count || len(d.commitments[0]) != s.Receivers.Threshold() ||
		len(d.sealed.boxes) != s.Receivers.N() {
		return blame("on %s of kind %s, %d secrets, %d coefficients for %d receivers", d.curve, d.kind, len(d.commitments), len(d.commitments[0]), len(d.sealed.boxes))
	}
	context := s.context(d.dealer, d.commitments)
	if !d.sealed.verify(context) {
		return blame("no proof of possession of the ephemeral key")
	}
	for i, c := range d.commitments {
		if s.Kind == ReshareUnmasked && !c[0].Equal(s.Left[i].at(d.dealer)) {
			return blame("secret %d is not the dealer's share", i)
		}
		if s.Kind.responses() > 0 {
			if r, purpose, context := s.relation(d.dealer, i, c[0], context); !r.verify(purpose, context, d.proofs[i]) {
				return blame("the proof of secret %d does not hold", i)
			}
		}
	}
	d.verified = true
	return nil
}

// receives checks that an identity can open dealings of the sharing.
func (s *Sharing) receives(me Identity) error {
	if err := s.Receivers.owns(me); err != nil {
		return err
	}
	if me.Key == nil || !me.Key.public.Equal(s.Receivers.members[me.Seat].encryption) {
		return fmt.Errorf("the decryption key is not that of seat %d", me.Seat)
	}
	return nil
}

// open decrypts the own values of all secrets, unchecked.
func (s *Sharing) open(d *Dealing, me Identity) []*curve.Scalar {
	shared := d.sealed.ephemeral.Mul(me.Key.secret)
	defer shared.Wipe()
	return d.sealed.open(s.curve, s.context(d.dealer, d.commitments), s.Receivers, me.Seat, shared)
}

// sound reports whether a seat's values are what a dealing's commitments say.
func (s *Sharing) sound(d *Dealing, seat int, values []*curve.Scalar) bool {
	width := s.Kind.width()
	for i, c := range d.commitments {
		if !fits(s.curve, c, seat, values[i*width:(i+1)*width]) {
			return false
		}
	}
	return true
}

// fits reports whether a value, and mask, is what a commitment says of a seat.
func fits(c curve.Curve, commitment []*curve.Point, seat int, values []*curve.Scalar) bool {
	p := c.Mul(values[0])
	if len(values) == 2 {
		p = p.Add(c.MulH(values[1]))
	}
	return p.Equal(c.EvaluateVar(commitment, seat))
}

// ErrShare says that a dealing encrypts to this member what its commitment does not say. Complain proves it.
var ErrShare = errors.New("the encrypted share does not fit the commitment")

// Check verifies a dealing, and privately the own share in it. On nil the member may support it. ErrShare means that everything public
// holds and the own share does not: the member does not support it, and should it be chosen nonetheless, complains.
func (s *Sharing) Check(d *Dealing, me Identity) error {
	if err := s.receives(me); err != nil {
		return fmt.Errorf("checking a dealing: %w", err)
	}
	if err := s.VerifyDealing(d); err != nil {
		return err
	}
	values := s.open(d, me)
	defer wipe(values...)
	if !s.sound(d, me.Seat, values) {
		return fmt.Errorf("dealing of seat %d for seat %d: %w", d.dealer, me.Seat, ErrShare)
	}
	return nil
}

// MaxSupported bounds the dealings that one support names.
const MaxSupported = 4096

// Support is a member's signed word that it checked its shares of some dealings, of any sharings to its roster.
type Support struct {
	roster    [32]byte
	seat      int
	dealings  [][32]byte // digests, ascending
	signature [64]byte
}

// Seat is the member that speaks.
func (s *Support) Seat() int { return s.seat }

// Dealings are the digests of what is supported.
func (s *Support) Dealings() [][32]byte { return s.dealings }

// Support signs for dealings that Check found good. A member supports one dealing of each dealer and sharing, and no second one.
func (r *Roster) Support(me Identity, dealings ...[32]byte) (*Support, error) {
	if err := r.owns(me); err != nil {
		return nil, fmt.Errorf("support: %w", err)
	}
	s := &Support{roster: r.digest, seat: me.Seat, dealings: slices.Clone(dealings)}
	slices.SortFunc(s.dealings, compareHashes)
	s.dealings = slices.Compact(s.dealings)
	if len(s.dealings) == 0 || len(s.dealings) > MaxSupported {
		return nil, fmt.Errorf("support: of %d dealings, want 1 to %d", len(s.dealings), MaxSupported)
	}
	s.signature = sign(me, "support", s.body())
	return s, nil
}

func compareHashes(a, b [32]byte) int { return slices.Compare(a[:], b[:]) }

func (s *Support) body() []byte {
	w := newWriter(wireSupport)
	w.bytes(s.roster[:])
	w.u16(s.seat)
	w.u16(len(s.dealings))
	for _, d := range s.dealings {
		w.bytes(d[:])
	}
	return w.b
}

// Encode returns the support's one encoding.
func (s *Support) Encode() []byte { return append(s.body(), s.signature[:]...) }

// DecodeSupport reads what Encode returned.
func DecodeSupport(b []byte) (*Support, error) {
	r := newReader(b, wireSupport)
	s := &Support{roster: r.hash(), seat: r.u16()}
	for i := range r.count("dealings", 1, MaxSupported) {
		s.dealings = append(s.dealings, r.hash())
		if r.err == nil && i > 0 && compareHashes(s.dealings[i-1], s.dealings[i]) >= 0 {
			r.fail("digests are not ascending")
		}
	}
	s.signature = r.sig()
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("support: %w", err)
	}
	return s, nil
}

// Tally counts who supports what.
type Tally struct {
	roster *Roster
	seats  map[[32]byte][]int
}

// NewTally counts for a roster of receivers.
func NewTally(r *Roster) *Tally { return &Tally{r, map[[32]byte][]int{}} }

// Add verifies a support and counts it. The same word twice counts once.
func (t *Tally) Add(s *Support) error {
	if s.roster != t.roster.digest {
		return errors.New("support: of another roster")
	}
	if err := t.roster.verify(s.seat, "support", s.body(), s.signature); err != nil {
		return fmt.Errorf("support: %w", err)
	}
	for _, d := range s.dealings {
		if !slices.Contains(t.seats[d], s.seat) {
			t.seats[d] = append(t.seats[d], s.seat)
		}
	}
	return nil
}

// Certified reports whether 2f+1 members support a dealing.
func (t *Tally) Certified(dealing [32]byte) bool {
	return len(t.seats[dealing]) >= t.roster.SupportNeeded()
}
