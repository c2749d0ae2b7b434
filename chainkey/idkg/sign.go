package idkg

import (
	"crypto/sha512"
	"errors"
	"fmt"

	secp "github.com/decred/dcrd/dcrec/secp256k1/v4"

	"fusion/chainkey"
	"fusion/chainkey/idkg/curve"
)

// Request is one signature to make.
type Request struct {
	Roster       *Roster
	Key          *Transcript
	Presignature *Presignature
	ID           [32]byte // names the request in replicated state
	ChainCode    [32]byte
	Path         [][]byte
	Message      chainkey.Message
	// Beacon is randomness that nobody knew when the request, and the presignature that serves it, were ordered: the beacon of a later block.
	Beacon [32]byte
}

// Signing is one signature in the making, from public data alone. It has no state.
type Signing struct {
	Request
	curve   curve.Curve
	id      [32]byte
	derived []byte        // public key that the signature verifies under
	delta   *curve.Scalar // re-randomises the nonce
	nonce   *curve.Point  // R + delta·G
	flipped bool          // BIP 340: the nonce is −(kappa + delta)

	// ECDSA: shares open numerator = onLambda·lambda + r·keyLambda and denominator = kappaLambda + delta·lambda.
	r        *curve.Scalar
	onLambda *curve.Scalar

	// Schnorr: shares are ±kappa + onKey·key; the signature adds rest.
	onKey *curve.Scalar
	rest  *curve.Scalar
}

// NewSigning derives everything that the members' shares depend on.
func NewSigning(q Request) (*Signing, error) {
	bad := func(err error) (*Signing, error) { return nil, fmt.Errorf("signing: %w", err) }
	if err := checkKey(q.Key); err != nil {
		return bad(err)
	}
	if q.Roster == nil || q.Presignature == nil || q.Roster.digest != q.Key.roster || q.Presignature.key != q.Key.digest {
		return bad(errors.New("key, presignature and roster are not of one epoch"))
	}
	algorithm := q.Key.key.Algorithm
	if err := q.Message.Check(algorithm); err != nil {
		return bad(err)
	}
	child, err := chainkey.Derive(algorithm, q.Key.PublicKey(), q.ChainCode, q.Path)
	if err != nil {
		return bad(err)
	}
	s := &Signing{Request: q, curve: q.Key.curve, derived: child.PublicKey}
	tweak, err := s.curve.DecodeScalar(child.Tweak[:])
	if err != nil {
		return bad(fmt.Errorf("tweak: %w", err))
	}
	digest := q.Message.Digest()
	s.id = newHash("signing").bytes(q.Presignature.digest[:]).bytes(q.Key.digest[:]).bytes(q.ID[:]).bytes(s.derived).bytes(tweak.Bytes()).
		bytes(digest[:]).bytes(q.Beacon[:]).digest()
	s.delta = newHash("rerandomise").bytes(s.id[:]).points(q.Presignature.kappa.commitment[0]).scalar(s.curve)
	s.nonce = q.Presignature.kappa.commitment[0].Add(s.curve.Mul(s.delta)).Encoded()
	if s.nonce.IsIdentity() {
		return bad(errors.New("the nonce is zero")) // by chance once in 2^252
	}
	if algorithm == chainkey.EcdsaSecp256k1 {
		x, _ := s.nonce.XY()
		s.r = s.curve.Reduce(&x)
		if s.r.IsZero() {
			return bad(errors.New("r is zero")) // by chance once in 2^256
		}
		s.onLambda = s.curve.Reduce((*[32]byte)(q.Message.Bytes)).Add(s.r.Mul(tweak))
		return s, nil
	}
	if err := s.schnorr(tweak); err != nil {
		return bad(err)
	}
	return s, nil
}

// schnorr finds the key that the signature verifies under as ±key + offset·G: the derived one, with even y for BIP 340, and moved on to the
// output key of BIP 341 where the message asks for it; and from it the challenge.
func (s *Signing) schnorr(tweak *curve.Scalar) error {
	key := s.Key.commitment[0].Add(s.curve.Mul(tweak))
	if key.IsIdentity() {
		return errors.New("the derived key is zero") // by chance once in 2^252
	}
	if s.curve == curve.Ed25519 {
		h := sha512.New() // RFC 8032 section 5.1.6
		h.Write(s.nonce.Bytes())
		h.Write(key.Bytes())
		h.Write(s.Message.Bytes)
		s.onKey = s.curve.Wide((*[64]byte)(h.Sum(nil)))
		s.rest = s.delta.Add(s.onKey.Mul(tweak))
		return nil
	}
	sign, offset := s.curve.Scalar(1), tweak
	even := func() (x secp.FieldVal) {
		b, odd := key.XY()
		if odd {
			key, sign, offset = key.Neg(), sign.Neg(), offset.Neg()
		}
		x.SetByteSlice(b[:])
		return x
	}
	x := even()
	if s.Message.Taproot {
		t, err := chainkey.TapTweak(&x, s.Message.MerkleRoot)
		if err != nil {
			return err
		}
		b := t.Bytes()
		move := s.curve.Reduce(&b)
		key, offset = key.Add(s.curve.Mul(move)), offset.Add(move)
		if key.IsIdentity() {
			return errors.New("the output key is zero")
		}
		x = even()
	}
	rx, odd := s.nonce.XY()
	s.rest = s.delta
	if odd {
		s.nonce, s.flipped, s.rest = s.nonce.Neg().Encoded(), true, s.rest.Neg()
	}
	var r secp.FieldVal
	r.SetByteSlice(rx[:])
	e := chainkey.Bip340Challenge(&r, &x, s.Message.Bytes)
	b := e.Bytes()
	challenge := s.curve.Reduce(&b)
	s.onKey = challenge.Mul(sign)
	s.rest = s.rest.Add(challenge.Mul(offset))
	return nil
}

// ID names the signature: presignature, key, request, path, message and beacon are in it.
func (s *Signing) ID() [32]byte { return s.id }

// PublicKey is the derived key that the signature verifies under.
func (s *Signing) PublicKey() []byte { return s.derived }

// SignatureShare is one member's part in a signature, signed.
type SignatureShare struct {
	signing   [32]byte
	seat      int
	values    []*curve.Scalar // ECDSA: numerator, its mask, denominator, its mask; Schnorr: one
	signature [64]byte
}

// Seat is the member whose share it is.
func (s *SignatureShare) Seat() int { return s.seat }

func (s *SignatureShare) body() []byte {
	w := newWriter(wireSignatureShare)
	w.bytes(s.signing[:])
	w.u16(s.seat)
	w.u8(uint8(s.values[0].Curve()))
	w.u8(uint8(len(s.values)))
	for _, v := range s.values {
		w.scalar(v)
	}
	return w.b
}

// Encode returns the share's one encoding.
func (s *SignatureShare) Encode() []byte { return append(s.body(), s.signature[:]...) }

// DecodeSignatureShare reads what Encode returned.
func DecodeSignatureShare(b []byte) (*SignatureShare, error) {
	r := newReader(b, wireSignatureShare)
	s := &SignatureShare{signing: r.hash(), seat: r.u16()}
	c, width := r.curve(), int(r.u8())
	if r.err == nil && width != 1 && width != 4 {
		r.fail("%d values", width)
	}
	if r.err == nil {
		s.values = r.scalars(c, width)
	}
	s.signature = r.sig()
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("signature share: %w", err)
	}
	return s, nil
}

// Bind records, durably and outside whatever can be restored from elsewhere, that a presignature, by its Name, serves a signing, by its ID, and
// refuses when it already serves another one.
type Bind func(presignature, signing [32]byte) error

// Share makes the own share. Bind is called before anything is computed with the presignature, and its error ends it. The same signing
// gives the same share, so a member that crashed may say it again.
func (s *Signing) Share(me Identity, shares *Shares, bind Bind) (*SignatureShare, error) {
	if err := s.Roster.owns(me); err != nil {
		return nil, fmt.Errorf("signature share: %w", err)
	}
	p := s.Presignature
	type wanted struct {
		share      *Share
		transcript *Transcript
	}
	want := []wanted{{shares.Key, s.Key}, {shares.Kappa, p.kappa}}
	if s.onLambda != nil {
		want = []wanted{{shares.Lambda, p.lambda}, {shares.KappaLambda, p.kappaLambda}, {shares.KeyLambda, p.keyLambda}}
	}
	for _, w := range want {
		if w.share == nil || w.share.transcript != w.transcript.digest || w.share.seat != me.Seat {
			return nil, errors.New("signature share: the shares are not those of key, presignature and seat")
		}
	}
	if err := bind(p.name, s.id); err != nil {
		return nil, fmt.Errorf("signature share: %w", err)
	}
	out := &SignatureShare{signing: s.id, seat: me.Seat}
	if s.onLambda != nil {
		for _, of := range []func(*Share) *curve.Scalar{func(x *Share) *curve.Scalar { return x.value }, func(x *Share) *curve.Scalar { return x.mask }} {
			l, kl, xl := of(shares.Lambda), of(shares.KappaLambda), of(shares.KeyLambda)
			a, b, c := s.onLambda.Mul(l), s.r.Mul(xl), s.delta.Mul(l)
			out.values = append(out.values, a.Add(b), kl.Add(c))
			wipe(a, b, c)
		}
		out.values[1], out.values[2] = out.values[2], out.values[1]
	} else {
		k, x := shares.Kappa.value.Clone(), s.onKey.Mul(shares.Key.value)
		if s.flipped {
			minus := k.Neg()
			k.Wipe()
			k = minus
		}
		out.values = []*curve.Scalar{k.Add(x)}
		wipe(k, x)
	}
	out.signature = sign(me, "signature share", out.body())
	return out, nil
}

// Verify checks a share against the public transcripts. A *chainkey.Misbehaviour names the member, and with the share is the proof for
// everybody; any other error says nothing about anybody.
func (s *Signing) Verify(share *SignatureShare) error {
	if share.signing != s.id {
		return errors.New("signature share: of another signing")
	}
	if err := s.Roster.verify(share.seat, "signature share", share.body(), share.signature); err != nil {
		return fmt.Errorf("signature share: %w", err)
	}
	if !s.holds(share) {
		return chainkey.Blame(share.seat, "signature share: it does not fit the transcripts")
	}
	return nil
}

// holds checks the equations of a share.
func (s *Signing) holds(share *SignatureShare) bool {
	p, c := s.Presignature, s.curve
	if v := share.values; s.onLambda != nil {
		if len(v) != 4 || v[0].Curve() != c {
			return false
		}
		// Both equations at once, the second with a weight that is hashed from the share.
		w := newHash("weight").bytes(share.body()).scalar(c)
		sum := c.SumVar([]*curve.Scalar{
			v[0].Add(w.Mul(v[2])), v[1].Add(w.Mul(v[3])), s.onLambda.Add(w.Mul(s.delta)).Neg(), s.r.Neg(), w.Neg(),
		}, []*curve.Point{c.Base(), c.H(), p.lambda.at(share.seat), p.keyLambda.at(share.seat), p.kappaLambda.at(share.seat)})
		return sum.IsIdentity()
	} else if len(v) != 1 || v[0].Curve() != c {
		return false
	}
	kappa := p.kappa.at(share.seat)
	if s.flipped {
		kappa = kappa.Neg()
	}
	return c.SumVar([]*curve.Scalar{share.values[0], s.onKey.Neg()}, []*curve.Point{c.Base(), s.Key.at(share.seat)}).Equal(kappa)
}

// Signature is the result.
type Signature struct {
	Bytes [64]byte // as chainkey.Verify takes it
	// Recovery, for ECDSA, says which of the up to four keys with this r and s is meant: bit 0 is the oddness of the nonce's y, bit 1 whether its x was
	// reduced (SEC 1, section 4.1.6).
	Recovery byte
}

// ErrTooFewShares says that no f+1 members' valid shares are there yet.
var ErrTooFewShares = errors.New("too few valid signature shares")

// Combine makes the signature of any f+1 members' shares and verifies it. Bad shares do not stop it as long as f+1 good ones are there; their
// seats are returned, those only whose shares were looked at because the first attempt failed.
func (s *Signing) Combine(shares []*SignatureShare) (*Signature, []int, error) {
	var candidates []*SignatureShare
	for _, share := range shares {
		if share.signing == s.id && share.seat < s.Roster.N() && len(share.values) == s.width() && share.values[0].Curve() == s.curve {
			candidates = append(candidates, share)
		}
	}
	if sig, err := s.interpolate(candidates); err == nil {
		return sig, nil, nil
	}
	var good []*SignatureShare
	var bad []int
	for _, share := range candidates {
		err := s.Verify(share)
		var m *chainkey.Misbehaviour
		switch {
		case err == nil:
			good = append(good, share)
		case errors.As(err, &m):
			bad = append(bad, share.seat)
		}
	}
	sig, err := s.interpolate(good)
	return sig, bad, err
}

func (s *Signing) width() int {
	if s.onLambda != nil {
		return 4
	}
	return 1
}

// interpolate takes the first f+1 seats' shares.
func (s *Signing) interpolate(shares []*SignatureShare) (*Signature, error) {
	var seats []int
	var parts []*SignatureShare
	for _, share := range shares {
		if len(seats) < s.Roster.Threshold() && !contains(seats, share.seat) {
			seats, parts = append(seats, share.seat), append(parts, share)
		}
	}
	if len(seats) < s.Roster.Threshold() {
		return nil, fmt.Errorf("%w: %d of %d", ErrTooFewShares, len(seats), s.Roster.Threshold())
	}
	weights := s.curve.Lagrange(seats, s.curve.Scalar(0))
	at := func(entry int) *curve.Scalar {
		sum := s.curve.Scalar(0)
		for i, p := range parts {
			sum = sum.Add(weights[i].Mul(p.values[entry]))
		}
		return sum
	}
	out := &Signature{}
	if s.onLambda != nil {
		x, odd := s.nonce.XY()
		sv := at(0).Mul(at(2).Invert())
		if odd {
			out.Recovery = 1
		}
		if [32]byte(s.r.Bytes()) != x {
			out.Recovery |= 2
		}
		if sv.IsHigh() {
			sv, out.Recovery = sv.Neg(), out.Recovery^1
		}
		copy(out.Bytes[:32], s.r.Bytes())
		copy(out.Bytes[32:], sv.Bytes())
	} else {
		b := s.nonce.Bytes()
		copy(out.Bytes[:32], b[len(b)-32:])
		copy(out.Bytes[32:], at(0).Add(s.rest).Bytes())
	}
	if err := chainkey.Verify(s.Key.key.Algorithm, s.derived, s.Message, out.Bytes); err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return out, nil
}
