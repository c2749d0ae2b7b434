package idkg

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"fusion/chainkey"
	"fusion/chainkey/idkg/curve"
)

// fixture is a network with one of everything that goes over the wire.
type fixture struct {
	*net
	key      *held
	sharings map[Kind]*Sharing
	inputs   map[Kind][2]*held
	results  map[Kind]*held
}

func newFixture(t testing.TB, a chainkey.Algorithm, n int) *fixture {
	w := newNet(t, a, 1, 0, n)
	f := &fixture{net: w, sharings: map[Kind]*Sharing{}, inputs: map[Kind][2]*held{}, results: map[Kind]*held{}}
	do := func(p Params, left, right *held) *held {
		p.Left, p.Right = transcripts(left), transcripts(right)
		s := w.sharing(p)
		h := w.run(w, s, left, right, nil)
		f.sharings[p.Kind], f.inputs[p.Kind], f.results[p.Kind] = s, [2]*held{left, right}, h
		return h
	}
	mask := do(Params{Kind: Random}, nil, nil)
	f.key = do(Params{Kind: ReshareMasked}, mask, nil)
	kappa := do(Params{Kind: RandomUnmasked, Serial: 1}, nil, nil)
	do(Params{Kind: Product, Serial: 1}, kappa, mask)
	do(Params{Kind: ReshareUnmasked, Serial: 1}, f.key, nil)
	return f
}

func (f *fixture) deal(k Kind, seat int) *Dealing {
	f.t.Helper()
	in := f.inputs[k]
	d, err := f.sharings[k].Deal(f.ids[seat], shares(seat, in[0]), shares(seat, in[1]))
	if err != nil {
		f.t.Fatal(err)
	}
	return d
}

// resigned is a body with a fresh signature by the node.
func resigned(me Identity, purpose string, body []byte) []byte {
	s := sign(me, purpose, body)
	return append(slices.Clone(body), s[:]...)
}

var kinds = []Kind{Random, RandomUnmasked, ReshareMasked, ReshareUnmasked, Product}

// alterations calls try with every byte of the message changed in one bit, and with the message cut and grown.
func alterations(b []byte, try func(at int, altered []byte)) {
	for at := range b {
		altered := bytes.Clone(b)
		altered[at] ^= 1 << (at % 8)
		try(at, altered)
	}
	try(-1, b[:len(b)-1])
	try(-2, append(bytes.Clone(b), 0))
	try(-3, nil)
}

// TestAlteredDealings changes each byte of a dealing of each kind, in transit and by its dealer. In transit nobody is blamed; a dealer who
// signs the altered dealing is named, unless it is of another sharing or no dealing at all.
func TestAlteredDealings(t *testing.T) {
	for _, a := range []chainkey.Algorithm{chainkey.EcdsaSecp256k1, chainkey.Ed25519} {
		f := newFixture(t, a, 4)
		for _, k := range kinds {
			t.Run(fmt.Sprint(a, "/", k), func(t *testing.T) {
				s, d := f.sharings[k], f.deal(k, 1)
				good := d.Encode()
				named := 0
				alterations(good, func(at int, b []byte) {
					if d, err := DecodeDealing(b); err == nil {
						err := s.VerifyDealing(d)
						var m *chainkey.Misbehaviour
						if err == nil || errors.As(err, &m) {
							t.Errorf("byte %d altered in transit: %v", at, err)
						}
					} else if !errors.Is(err, ErrEncoding) {
						t.Error(err)
					}
				})
				alterations(good[:len(good)-64], func(at int, body []byte) {
					if len(body) == 0 {
						return
					}
					d, err := DecodeDealing(resigned(f.ids[1], "dealing", body))
					if err != nil {
						return
					}
					err = s.VerifyDealing(d)
					var m *chainkey.Misbehaviour
					switch {
					case errors.As(err, &m) && slices.Equal(m.Seats, []int{1}):
						named++
					case err == nil || d.Sharing() == s.ID() && d.Dealer() == 1:
						t.Errorf("byte %d altered by the dealer: %v", at, err)
					}
				})
				if named < 100 {
					t.Errorf("the dealer was named for %d of %d bytes", named, len(good))
				}
			})
		}
	}
}

// TestReplayedDealings takes whole dealings and their parts into other contexts.
func TestReplayedDealings(t *testing.T) {
	f := newFixture(t, chainkey.EcdsaSecp256k1, 4)
	again := newNet(t, chainkey.EcdsaSecp256k1, 2, 0, 4)
	for _, k := range kinds {
		s := f.sharings[k]
		one, other := f.deal(k, 1), f.deal(k, 1)
		change := func(name string, seat int, s *Sharing, do func(d *Dealing)) {
			t.Helper()
			d := wire(t, f.deal(k, 1), DecodeDealing)
			do(d)
			d, err := DecodeDealing(resigned(f.ids[seat], "dealing", d.body()))
			if err != nil {
				t.Fatal(err)
			}
			if err := s.VerifyDealing(d); err == nil {
				t.Errorf("%s: %s holds", k, name)
			} else {
				blames(t, err, seat)
			}
		}
		change("another dealer's dealing", 2, s, func(d *Dealing) { d.dealer = 2 })
		change("another dealing's ciphertext", 1, s, func(d *Dealing) { d.sealed = other.sealed })
		change("another dealing's commitment", 1, s, func(d *Dealing) { d.commitments = one.commitments })
		if k.responses() > 0 {
			change("another dealing's proof", 1, s, func(d *Dealing) { d.proofs = other.proofs })
		}
		change("two boxes exchanged", 1, s, func(d *Dealing) { d.sealed.boxes[0], d.sealed.boxes[2] = d.sealed.boxes[2], d.sealed.boxes[0] })
		p := s.Params
		p.Serial += 5
		next, err := NewSharing(p)
		if err != nil {
			t.Fatal(err)
		}
		change("a dealing of another serial", 1, next, func(d *Dealing) { d.sharing = next.ID() })
		p.Serial -= 5
		if p.Left == nil {
			p.Dealers, p.Receivers = again.roster, again.roster
			next, err = NewSharing(p)
			if err != nil {
				t.Fatal(err)
			}
			change("a dealing of another epoch", 1, next, func(d *Dealing) { d.sharing = next.ID() })
			p.Dealers, p.Receivers = f.roster, f.roster
			p.Key.Name = "other_key"
			if next, err = NewSharing(p); err != nil {
				t.Fatal(err)
			}
			change("a dealing of another key", 1, next, func(d *Dealing) { d.sharing = next.ID() })
		}
		if err := next.VerifyDealing(one); err == nil {
			t.Error("a dealing of another sharing holds")
		}
	}
	// A proof of possession is for one node, epoch and subnet.
	m := f.roster.members[0]
	for name, err := range map[string]error{
		"epoch":  m.Verify(subnet, 2),
		"subnet": m.Verify([32]byte{}, 1),
		"node":   Member{f.roster.members[1].Node, m.encryption, m.possession}.Verify(subnet, 1),
	} {
		if err == nil {
			t.Errorf("a member's keys hold for another %s", name)
		}
	}
	if err := m.Verify(subnet, 1); err != nil {
		t.Error(err)
	}
	for _, ms := range [][]Member{{m, m, m, m}, f.roster.members[:3], nil, make([]Member, 4)} {
		if _, err := NewRoster(subnet, 1, ms); err == nil {
			t.Errorf("a roster of %d bad members", len(ms))
		}
	}
}

// TestOtherConstants: a dealer with a good polynomial of another secret than its share is named.
func TestOtherConstants(t *testing.T) {
	for _, a := range []chainkey.Algorithm{chainkey.EcdsaSecp256k1, chainkey.Ed25519} {
		f := newFixture(t, a, 4)
		for _, k := range []Kind{ReshareMasked, ReshareUnmasked, Product} {
			s, in := f.sharings[k], f.inputs[k]
			for seat := range f.ids {
				left, right := *share(in[0], seat), share(in[1], seat)
				left.value = left.value.Add(s.curve.Scalar(1))
				d, err := s.Deal(f.ids[seat], []*Share{&left}, shares(seat, in[1]))
				if err != nil {
					t.Fatal(err)
				}
				blames(t, s.VerifyDealing(wire(t, d, DecodeDealing)), seat)
				if right == nil {
					continue
				}
				bad := *right
				bad.value = bad.value.Add(s.curve.Scalar(1))
				if d, err = s.Deal(f.ids[seat], shares(seat, in[0]), []*Share{&bad}); err != nil {
					t.Fatal(err)
				}
				blames(t, s.VerifyDealing(wire(t, d, DecodeDealing)), seat)
			}
		}
	}
}

// cheat makes a dealing whose public parts hold and whose boxes for some receivers do not, for the last secret.
func cheat(t testing.TB, me Identity, left, right func(*Sharing, int) *Share, victims ...int) evil {
	return func(s *Sharing, _ *Dealing) *Dealing {
		random, err := newStream(me.Rand, "test", s.id)
		if err != nil {
			t.Fatal(err)
		}
		var ls, rs []*Share
		for i := range s.Count {
			if s.Left != nil {
				ls = append(ls, left(s, i))
			}
			if s.Right != nil {
				rs = append(rs, right(s, i))
			}
		}
		d := &Dealing{curve: s.curve, kind: s.Kind, sharing: s.id, dealer: me.Seat}
		plain, masks := make([][]*curve.Scalar, s.Receivers.N()), make([]*curve.Scalar, s.Count)
		for i := range s.Count {
			var c []*curve.Point
			c, masks[i] = s.polynomial(i, ls, rs, random, plain)
			d.commitments = append(d.commitments, c)
		}
		for _, seat := range victims {
			box := plain[seat]
			box[len(box)-1] = box[len(box)-1].Add(s.curve.Scalar(1))
		}
		context := s.context(me.Seat, d.commitments)
		d.sealed = encrypt(s.curve, context, s.Receivers, plain, random)
		for i := range s.Count {
			if s.Kind.responses() == 0 {
				break
			}
			rel, purpose, context := s.relation(me.Seat, i, d.commitments[i][0], context)
			if s.Kind == Product {
				d.proofs = append(d.proofs, rel.prove(purpose, context, random, ls[i].value, masks[i].Sub(ls[i].value.Mul(rs[i].mask))))
			} else {
				d.proofs = append(d.proofs, rel.prove(purpose, context, random, ls[i].mask))
			}
		}
		d.signature = sign(me, "dealing", d.body())
		return d
	}
}

// TestBadShares: each dealer in turn, and f at once, encrypt bad shares to f members, in every kind of sharing. The transcripts are made
// without delay, the victims get their shares from others, and a signature comes of it all. run verifies the complaints, which convict
// the dealer with nothing but what is public.
func TestBadShares(t *testing.T) {
	for _, a := range algorithms {
		for _, n := range []int{4, 7, 13} {
			if n > 4 && (a != chainkey.EcdsaSecp256k1 || testing.Short()) {
				continue
			}
			w := newNet(t, a, 1, 0, n)
			for first := range n {
				if n == 7 && first > 1 || n == 13 && first > 0 {
					break
				}
				key := w.generate(nil) // the cheaters need honest shares of their inputs
				inputs := map[[32]byte]*held{key.Digest(): key}
				wicked := map[int]evil{}
				var victims []int
				for i := range w.roster.F() {
					victims = append(victims, (first+n-1-i)%n)
				}
				for i := range w.roster.F() {
					seat := (first + i) % n
					wicked[seat] = cheat(t, w.ids[seat], func(s *Sharing, i int) *Share { return inputs[s.Left[i].Digest()].shares[seat] },
						func(s *Sharing, i int) *Share { return inputs[s.Right[i].Digest()].shares[seat] }, victims...)
				}
				do := func(p Params, left, right *held) *held {
					p.Left, p.Right = transcripts(left), transcripts(right)
					h := w.run(w, w.sharing(p), left, right, wicked)
					inputs[h.Digest()] = h
					return h
				}
				mask := do(Params{Kind: Random}, nil, nil)
				key = do(Params{Kind: ReshareMasked, Serial: uint64(first)}, mask, nil)
				kappa := do(Params{Kind: RandomUnmasked, Serial: 1}, nil, nil)
				p := presigned{}
				var err error
				var lambda, kl, xl *held
				if a == chainkey.EcdsaSecp256k1 {
					lambda = do(Params{Kind: Random, Serial: 1}, nil, nil)
					kl = do(Params{Kind: Product, Serial: 1}, kappa, lambda)
					xl = do(Params{Kind: Product, Serial: 1}, key, lambda)
				}
				if p.Presignature, err = NewPresignature(key.Transcript, kappa.Transcript, transcriptOf(lambda), transcriptOf(kl), transcriptOf(xl)); err != nil {
					t.Fatal(err)
				}
				for seat := range w.ids {
					p.shares = append(p.shares, &Shares{key.shares[seat], kappa.shares[seat], share(lambda, seat), share(kl, seat), share(xl, seat)})
				}
				moved := do(Params{Kind: ReshareUnmasked, Serial: uint64(first)}, key, nil)
				if !bytes.Equal(moved.PublicKey(), key.PublicKey()) {
					t.Error("resharing changed the key")
				}
				s := w.request(key, p, messages(a)[0])
				if _, bad, err := s.Combine(w.sign(s, p)); err != nil || len(bad) > 0 {
					t.Error(bad, err)
				}
			}
			if w.complaints < n {
				t.Errorf("%d complaints: bad dealings are hardly ever chosen", w.complaints)
			}
		}
	}
}

// TestTooManyBadShares: a dealing with good shares for less than f+1 honest members finds no 2f+1 who support it.
func TestTooManyBadShares(t *testing.T) {
	w := newNet(t, chainkey.EcdsaSecp256k1, 1, 0, 4)
	s := w.sharing(Params{Kind: Random})
	d := cheat(t, w.ids[0], nil, nil, 1, 2)(s, nil)
	tally := NewTally(w.roster)
	for _, me := range w.ids {
		if err := s.Check(d, me); err == nil {
			sup, err := w.roster.Support(me, d.Digest())
			if err != nil {
				t.Fatal(err)
			}
			for range 3 { // the same word again counts once
				if err := tally.Add(sup); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if tally.Certified(d.Digest()) {
		t.Error("certified by two of four")
	}
	if _, err := s.Select([]*Dealing{d}, tally); !errors.Is(err, ErrTooFew) {
		t.Error(err)
	}
}

// TestAlteredSupports: a support that was altered counts for nobody, or for another dealing than there is.
func TestAlteredSupports(t *testing.T) {
	w := newNet(t, chainkey.EcdsaSecp256k1, 1, 0, 4)
	d := [32]byte{7}
	sup, err := w.roster.Support(w.ids[1], d, [32]byte{3}, d)
	if err != nil {
		t.Fatal(err)
	}
	good := sup.Encode()
	alterations(good, func(at int, b []byte) {
		s, err := DecodeSupport(b)
		if err == nil {
			err = NewTally(w.roster).Add(s)
		}
		if err == nil {
			t.Errorf("byte %d altered: the support holds", at)
		}
	})
	for _, n := range []int{0, MaxSupported + 1} {
		many := make([][32]byte, n)
		for i := range many {
			many[i] = [32]byte{byte(i), byte(i >> 8)}
		}
		if _, err := w.roster.Support(w.ids[1], many...); err == nil {
			t.Errorf("a support of %d dealings", n)
		}
	}
}

// TestComplaints alters complaints and openings in transit and by their makers, and makes false ones.
func TestComplaints(t *testing.T) {
	for _, a := range []chainkey.Algorithm{chainkey.EcdsaSecp256k1, chainkey.Ed25519} {
		w := newNet(t, a, 1, 0, 4)
		s := w.sharing(Params{Kind: Random})
		d := wire(t, cheat(t, w.ids[0], nil, nil, 1)(s, nil), DecodeDealing)
		other := wire(t, cheat(t, w.ids[2], nil, nil, 1)(s, nil), DecodeDealing)
		c, err := s.Complain(d, w.ids[1])
		if err != nil {
			t.Fatal(err)
		}
		o, err := s.Open(d, c, w.ids[2])
		if err != nil {
			t.Fatal(err)
		}
		tryOn := func(name, purpose string, good []byte, seat int, check func([]byte) (named bool, err error)) {
			alterations(good, func(at int, b []byte) {
				var m *chainkey.Misbehaviour
				if _, err := check(b); err == nil || errors.As(err, &m) {
					t.Errorf("%s, byte %d altered in transit: %v", name, at, err)
				}
			})
			total := 0
			alterations(good[:len(good)-64], func(at int, body []byte) {
				ours, err := check(resigned(w.ids[seat], purpose, body))
				var m *chainkey.Misbehaviour
				switch {
				case errors.As(err, &m) && slices.Equal(m.Seats, []int{seat}):
					total++
				case err == nil || ours:
					t.Errorf("%s, byte %d altered by its maker: %v", name, at, err)
				}
			})
			if total < 30 {
				t.Errorf("%s: the maker was named %d times", name, total)
			}
		}
		tryOn("complaint", "complaint", c.Encode(), 1, func(b []byte) (bool, error) {
			c, err := DecodeComplaint(b)
			if err != nil {
				return false, err
			}
			return c.sharing == s.id && c.dealing == d.digest && c.seat == 1, s.VerifyComplaint(d, c)
		})
		tryOn("opening", "opening", o.Encode(), 2, func(b []byte) (bool, error) {
			o, err := DecodeOpening(b)
			if err != nil {
				return false, err
			}
			return o.sharing == s.id && o.dealing == d.digest && o.seat == 2, s.VerifyOpening(d, o)
		})
		forge := func(name string, me Identity, do func(c *Complaint)) {
			t.Helper()
			f := *c
			do(&f)
			f.signature = sign(me, "complaint", f.body())
			blames(t, s.VerifyComplaint(d, &f), me.Seat)
			if _, err := s.Open(d, &f, w.ids[2]); err == nil {
				t.Errorf("%s: a share was opened", name)
			}
		}
		forge("another's complaint", w.ids[3], func(f *Complaint) { f.seat = 3 })
		forge("another dealing's complaint", w.ids[1], func(f *Complaint) {
			x, err := s.Complain(other, w.ids[1])
			if err != nil {
				t.Fatal(err)
			}
			f.shared, f.proof = x.shared, x.proof
		})
		forge("a good share", w.ids[3], func(f *Complaint) {
			f.seat = 3
			f.shared = d.sealed.ephemeral.Mul(w.ids[3].Key.secret)
			random, err := newStream(w.ids[3].Rand, "test", f.context())
			if err != nil {
				t.Fatal(err)
			}
			f.proof = equalLogarithms(mega, w.ids[3].Key.public, d.sealed.ephemeral, f.shared).prove("complaint", f.context(), random, w.ids[3].Key.secret)
		})
		if _, err := s.Complain(d, w.ids[3]); err == nil {
			t.Error("a complaint about a good share")
		}
		if _, err := s.Open(d, c, w.ids[1]); !errors.Is(err, ErrShare) {
			t.Errorf("the victim opens: %v", err)
		}
	}
}

// TestMaliciousSigners: each member in turn, and f at once, sends wrong shares. The signature is made, and they are named.
func TestMaliciousSigners(t *testing.T) {
	for _, a := range algorithms {
		for _, n := range []int{4, 7, 13} {
			if n == 7 && testing.Short() || n == 13 && (testing.Short() || a != chainkey.EcdsaSecp256k1) {
				continue
			}
			w := newNet(t, a, 1, 0, n)
			key := w.generate(nil)
			p := w.presign(key, nil)
			s := w.request(key, p, messages(a)[0])
			honest := w.sign(s, p)
			for first := range n {
				shares := slices.Clone(honest)
				var liars []int
				for i := range w.roster.F() {
					seat := (first + i) % n
					liars = append(liars, seat)
					lie := *shares[seat]
					lie.values = slices.Clone(lie.values)
					at := 2 * first % len(lie.values)                                    // numerator or denominator: a wrong mask is refused, but spoils no signature
					lie.values[at] = lie.values[at].Add(s.curve.Scalar(uint64(7*i + 1))) // equal lies of neighbours may cancel out
					lie.signature = sign(w.ids[seat], "signature share", lie.body())
					shares[seat] = wire(t, &lie, DecodeSignatureShare)
					blames(t, s.Verify(shares[seat]), seat)
				}
				slices.Sort(liars)
				sig, bad, err := s.Combine(shares)
				if err != nil {
					t.Fatal(err)
				}
				independent(t, a, s.PublicKey(), s.Message, sig)
				if slices.Contains(liars, 0) && !slices.Equal(bad, liars) {
					t.Errorf("liars %v, named %v", liars, bad)
				}
				// The same without the first honest ones, so that the liars are among the first f+1.
				slices.SortStableFunc(shares, func(x, y *SignatureShare) int {
					return btoi(slices.Contains(liars, y.seat)) - btoi(slices.Contains(liars, x.seat))
				})
				if _, bad, err = s.Combine(shares); err != nil || !slices.Equal(sorted(bad), liars) {
					t.Errorf("liars %v, named %v: %v", liars, bad, err)
				}
			}
			// In transit nobody is blamed, and forged shares stop nothing.
			good := honest[1].Encode()
			var forged []*SignatureShare
			alterations(good, func(at int, b []byte) {
				sh, err := DecodeSignatureShare(b)
				if err != nil {
					return
				}
				var m *chainkey.Misbehaviour
				if err := s.Verify(sh); err == nil || errors.As(err, &m) {
					t.Errorf("byte %d altered in transit: %v", at, err)
				}
				forged = append(forged, sh)
			})
			if _, bad, err := s.Combine(append(forged[len(forged)-70:], honest...)); err != nil || len(bad) > 0 {
				t.Error(bad, err)
			}
			alterations(good[:len(good)-64], func(at int, body []byte) {
				sh, err := DecodeSignatureShare(resigned(w.ids[1], "signature share", body))
				if err != nil {
					return
				}
				err = s.Verify(sh)
				if err == nil {
					t.Errorf("byte %d altered by the signer: it holds", at)
				} else if sh.signing == s.id && sh.seat == 1 {
					blames(t, err, 1)
				}
			})
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func sorted(x []int) []int { slices.Sort(x); return x }

// TestRefusals: parameters that do not belong together.
func TestRefusals(t *testing.T) {
	f := newFixture(t, chainkey.EcdsaSecp256k1, 4)
	g := newNet(t, chainkey.EcdsaSecp256k1, 2, 0, 4)
	schnorr := newNet(t, chainkey.Ed25519, 1, 0, 4)
	mask, key, kappa, prod := f.results[Random].Transcript, f.key.Transcript, f.results[RandomUnmasked].Transcript, f.results[Product].Transcript
	r := f.roster
	id := f.key.Transcript.key
	of := func(ts ...*Transcript) []*Transcript { return ts }
	for name, p := range map[string]Params{
		"no kind":                  {Key: id, Dealers: r, Receivers: r},
		"no roster":                {Key: id, Kind: Random},
		"random to others":         {Key: id, Kind: Random, Dealers: r, Receivers: g.roster},
		"random with input":        {Key: id, Kind: Random, Dealers: r, Receivers: r, Left: of(mask)},
		"reshare of nothing":       {Key: id, Kind: ReshareUnmasked, Dealers: r, Receivers: r},
		"reshare of masked as not": {Key: id, Kind: ReshareUnmasked, Dealers: r, Receivers: r, Left: of(mask)},
		"reshare of unmasked":      {Key: id, Kind: ReshareMasked, Dealers: r, Receivers: r, Left: of(key)},
		"dealers without shares":   {Key: id, Kind: ReshareUnmasked, Dealers: g.roster, Receivers: g.roster, Left: of(key)},
		"reshare of a nonce":       {Key: id, Kind: ReshareUnmasked, Dealers: r, Receivers: r, Left: of(kappa)},
		"back to an old epoch":     {Key: id, Kind: ReshareUnmasked, Dealers: g.roster, Receivers: r, Left: of(key)},
		"product of two masked":    {Key: id, Kind: Product, Dealers: r, Receivers: r, Left: of(mask), Right: of(mask)},
		"product of two unmasked":  {Key: id, Kind: Product, Dealers: r, Receivers: r, Left: of(kappa), Right: of(key)},
		"too many secrets":         {Key: id, Kind: Random, Dealers: r, Receivers: r, Count: MaxCount + 1},
		"less than none":           {Key: id, Kind: Random, Dealers: r, Receivers: r, Count: -1},
		"serials that end":         {Key: id, Kind: Random, Dealers: r, Receivers: r, Serial: 1<<64 - 2},
		"one input of two":         {Key: id, Kind: ReshareUnmasked, Dealers: r, Receivers: r, Count: 2, Left: of(key)},
		"an input too many":        {Key: id, Kind: ReshareUnmasked, Dealers: r, Receivers: r, Left: of(key, key)},
		"no input":                 {Key: id, Kind: ReshareUnmasked, Dealers: r, Receivers: r, Left: of(nil)},
		"another key":              {Key: schnorr.key, Kind: ReshareUnmasked, Dealers: r, Receivers: r, Left: of(key)},
		"an algorithm without":     {Key: chainkey.KeyID{Algorithm: chainkey.Bls12381G2, Name: "x"}, Kind: Random, Dealers: r, Receivers: r},
	} {
		if _, err := NewSharing(p); err == nil {
			t.Error(name)
		}
	}
	if _, err := PresignFirst(key, r, 0, 1); err == nil {
		t.Error("the key's serial for a presignature")
	}
	w := f.net
	p := w.presign(f.key, nil)
	again := w.presign(f.key, nil)
	// What has a part in common with another presignature cannot be made, or has its name.
	mixed := func(serial uint64, kappa, lambda *Transcript) [4]*Transcript {
		t.Helper()
		out := [4]*Transcript{kappa, lambda}
		for i, left := range []*Transcript{kappa, key} {
			s := w.sharing(Params{Kind: Product, Serial: serial, Left: of(left), Right: of(lambda)})
			out[2+i] = &Transcript{key: id, curve: s.curve, kind: Product, serial: serial, sharing: s.id, roster: r.digest, members: 4, left: left.digest, right: lambda.digest,
				digest: s.id}
		}
		return out
	}
	one := mixed(p.kappa.serial, p.kappa, p.lambda)
	if same, err := NewPresignature(key, one[0], one[1], one[2], one[3]); err != nil || same.Name() != p.Name() || same.Digest() == p.Digest() || again.Name() == p.Name() {
		t.Errorf("names of presignatures: %v", err)
	}
	for name, q := range map[string][4]*Transcript{
		"another's lambda":  mixed(p.kappa.serial, p.kappa, again.lambda),
		"another's kappa":   mixed(again.kappa.serial, p.kappa, again.lambda),
		"another serial":    mixed(77, p.kappa, p.lambda),
		"kappa for the key": {p.kappa, p.lambda, p.kappaLambda, p.kappaLambda},
		"key for kappa":     {p.kappa, p.lambda, p.keyLambda, p.keyLambda},
		"key, other lambda": {p.kappa, p.lambda, p.kappaLambda, mixed(p.kappa.serial, p.kappa, again.lambda)[3]},
		"kappa, other one":  {p.kappa, p.lambda, mixed(p.kappa.serial, p.kappa, again.lambda)[2], p.keyLambda},
		"key's own mask":    {p.kappa, mask, p.kappaLambda, p.keyLambda},
		"other kappa":       {kappa, p.lambda, p.kappaLambda, p.keyLambda},
		"other lambda":      {p.kappa, f.results[Random].Transcript, p.kappaLambda, p.keyLambda},
		"products swapped":  {p.kappa, p.lambda, p.keyLambda, p.kappaLambda},
		"other product":     {p.kappa, p.lambda, prod, p.keyLambda},
		"kappa alone":       {p.kappa, nil, nil, nil},
		"kappa is the key":  {key, p.lambda, p.kappaLambda, p.keyLambda},
		"nothing":           {},
		"lambda not masked": {p.kappa, kappa, p.kappaLambda, p.keyLambda},
	} {
		if _, err := NewPresignature(key, q[0], q[1], q[2], q[3]); err == nil {
			t.Error(name)
		}
	}
	if _, err := NewPresignature(kappa, p.kappa, p.lambda, p.kappaLambda, p.keyLambda); err == nil {
		t.Error("a nonce as key")
	}
	moved := g.run(f.net, g.sharing(Params{Kind: ReshareUnmasked, Dealers: r, Left: of(key)}), f.key, nil, nil)
	if _, err := NewSharing(Params{Key: id, Kind: ReshareUnmasked, Dealers: g.roster, Receivers: r, Left: of(moved.Transcript)}); err == nil {
		t.Error("a key goes back to an old epoch")
	}
	for name, q := range map[string]Request{
		"presignature of the old epoch": {Roster: g.roster, Key: moved.Transcript, Presignature: p.Presignature, Message: messages(id.Algorithm)[0]},
		"another roster":                {Roster: g.roster, Key: key, Presignature: p.Presignature, Message: messages(id.Algorithm)[0]},
		"a long hash":                   {Roster: r, Key: key, Presignature: p.Presignature, Message: chainkey.Message{Bytes: make([]byte, 33)}},
		"nothing":                       {},
	} {
		if _, err := NewSigning(q); err == nil {
			t.Error(name)
		}
	}
	s := w.request(f.key, p, messages(id.Algorithm)[0])
	if _, err := s.Share(w.ids[0], p.shares[1], free); err == nil {
		t.Error("another member's shares")
	}
	if _, err := s.Share(Identity{Seat: 1, Node: w.ids[0].Node}, p.shares[1], free); err == nil {
		t.Error("another member's identity")
	}
	if _, err := DecodeShare(f.key.shares[0].Encode(), mask); err == nil {
		t.Error("a share of another transcript")
	}
	alterations(f.key.shares[0].Encode(), func(at int, b []byte) {
		if _, err := DecodeShare(b, key); err == nil {
			t.Errorf("a share whose byte %d is damaged", at)
		}
	})
	// Combine takes exactly what is needed, in order, of this sharing, certified.
	sh := f.sharings[Random]
	ds := f.results[Random].dealings
	tally := NewTally(r)
	for _, me := range w.ids[:3] {
		sup, err := r.Support(me, ds[0].Digest(), ds[1].Digest())
		if err != nil {
			t.Fatal(err)
		}
		if err := tally.Add(sup); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := sh.Combine(ds, tally); err != nil {
		t.Error(err)
	}
	third := f.deal(Random, 3)
	for name, ds := range map[string][]*Dealing{"one": ds[:1], "too many": append(slices.Clone(ds), third), "twice the same": {ds[0], ds[0]}, "order": {ds[1], ds[0]},
		"not certified": {ds[0], third}, "another kind": {ds[0], f.results[RandomUnmasked].dealings[1]}} {
		if _, err := sh.Combine(ds, tally); err == nil {
			t.Error(name)
		}
	}
	others := NewTally(g.roster)
	for _, me := range g.ids {
		sup, err := g.roster.Support(me, ds[0].Digest(), ds[1].Digest())
		if err != nil {
			t.Fatal(err)
		}
		if err := others.Add(sup); err != nil {
			t.Fatal(err)
		}
		if err := tally.Add(sup); err == nil {
			t.Error("a support by another roster")
		}
	}
	if _, err := sh.Combine(ds, others); err == nil {
		t.Error("another roster's tally")
	}
	if _, err := sh.Select(ds, others); err == nil {
		t.Error("another roster's tally selects")
	}
}
