package idkg

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"fusion/chainkey"
)

// TestBatch makes several presignatures at once, with a dealer whose shares of the last secret are bad for one member, and signs with each.
func TestBatch(t *testing.T) {
	const count = 3
	for _, a := range algorithms {
		w := newNet(t, a, 1, 0, 4)
		key := w.generate(nil)
		inputs := map[[32]byte]*held{key.Digest(): key}
		do := func(s *Sharing, left, right []*held) []*held {
			liar := s.Order()[0] // is chosen
			at := func(ts []*Transcript) func(s *Sharing, i int) *Share {
				return func(_ *Sharing, i int) *Share { return inputs[ts[i].Digest()].shares[liar] }
			}
			out := w.batch(w, s, left, right, map[int]evil{liar: cheat(t, w.ids[liar], at(s.Left), at(s.Right), (liar+1)%4)})
			for _, h := range out {
				inputs[h.Digest()] = h
			}
			return out
		}
		first, err := PresignFirst(key.Transcript, w.roster, 5, count)
		if err != nil {
			t.Fatal(err)
		}
		all := [4][]*held{do(first[0], nil, nil)}
		if len(first) == 2 {
			all[1] = do(first[1], nil, nil)
			second, err := PresignSecond(key.Transcript, w.roster, 5, transcripts(all[0]...), transcripts(all[1]...))
			if err != nil {
				t.Fatal(err)
			}
			all[2] = do(second[0], all[0], all[1])
			all[3] = do(second[1], slices.Repeat([]*held{key}, count), all[1])
		}
		if w.complaints != len(first)*len(first) { // one in each sharing
			t.Errorf("%s: %d complaints", a, w.complaints)
		}
		names := map[[32]byte]bool{}
		for i := range count {
			at := func(k int) *held {
				if all[k] == nil {
					return nil
				}
				return all[k][i]
			}
			p := presigned{}
			if p.Presignature, err = NewPresignature(key.Transcript, transcriptOf(at(0)), transcriptOf(at(1)), transcriptOf(at(2)), transcriptOf(at(3))); err != nil {
				t.Fatal(err)
			}
			for seat := range w.ids {
				p.shares = append(p.shares, &Shares{key.shares[seat], share(at(0), seat), share(at(1), seat), share(at(2), seat), share(at(3), seat)})
			}
			names[p.Name()] = true
			s := w.request(key, p, messages(a)[0])
			sig, bad, err := s.Combine(w.sign(s, p))
			if err != nil || len(bad) > 0 {
				t.Fatal(bad, err)
			}
			independent(t, a, s.PublicKey(), s.Message, sig)
		}
		if len(names) != count {
			t.Errorf("%s: %d presignatures have %d names", a, count, len(names))
		}
	}
}

// TestAlteredBatches: dealings of two secrets, altered and with parts of the secrets exchanged, by their dealer.
func TestAlteredBatches(t *testing.T) {
	w := newNet(t, chainkey.EcdsaSecp256k1, 1, 0, 4)
	two := func(k Kind, left, right []*held) (*Sharing, []*held) {
		s := w.sharing(Params{Kind: k, Count: 2, Serial: 1, Left: transcripts(left...), Right: transcripts(right...)})
		return s, w.batch(w, s, left, right, nil)
	}
	randoms, masks := two(Random, nil, nil)
	reshares, keys := two(ReshareMasked, masks, nil)
	again, _ := two(ReshareUnmasked, keys, nil)
	products, _ := two(Product, keys, masks)
	for _, c := range []struct {
		s           *Sharing
		left, right []*held
	}{{randoms, nil, nil}, {reshares, masks, nil}, {again, keys, nil}, {products, keys, masks}} {
		deal := func() *Dealing {
			t.Helper()
			d, err := c.s.Deal(w.ids[1], shares(1, c.left...), shares(1, c.right...))
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		refused := func(name string, d *Dealing) {
			t.Helper()
			d, err := DecodeDealing(resigned(w.ids[1], "dealing", d.body()))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.s.VerifyDealing(d); err == nil {
				t.Errorf("%s, %s: it holds", c.s.Kind, name)
			} else {
				blames(t, err, 1)
			}
		}
		d := deal()
		d.commitments[0], d.commitments[1] = d.commitments[1], d.commitments[0]
		refused("commitments exchanged", d)
		d = deal()
		for _, box := range d.sealed.boxes {
			slices.Reverse(box)
		}
		refused("shares exchanged", d)
		d = deal()
		d.commitments = d.commitments[:1]
		if d.proofs != nil {
			d.proofs = d.proofs[:1]
		}
		for i, box := range d.sealed.boxes {
			d.sealed.boxes[i] = box[:len(box)/2]
		}
		refused("one secret of two", d)
		if c.s.Kind.responses() > 0 {
			d = deal()
			d.proofs[0], d.proofs[1] = d.proofs[1], d.proofs[0]
			refused("proofs exchanged", d)
		}
		if c.left != nil {
			bad := shares(1, c.left...)
			other := *bad[1]
			other.value = other.value.Add(c.s.curve.Scalar(1))
			bad[1] = &other
			d, err := c.s.Deal(w.ids[1], bad, shares(1, c.right...))
			if err != nil {
				t.Fatal(err)
			}
			refused("another second secret", d)
			if _, err := c.s.Deal(w.ids[1], shares(1, c.left[1], c.left[0]), shares(1, c.right...)); err == nil {
				t.Error("dealt with inputs in another order")
			}
		}
		good := deal().Encode()
		alterations(good[:len(good)-64], func(at int, body []byte) {
			if at%3 != 0 || len(body) == 0 {
				return
			}
			d, err := DecodeDealing(resigned(w.ids[1], "dealing", body))
			if err != nil {
				return
			}
			var m *chainkey.Misbehaviour
			if err := c.s.VerifyDealing(d); err == nil || d.Sharing() == c.s.ID() && d.Dealer() == 1 && !errors.As(err, &m) {
				t.Errorf("%s, byte %d altered: %v", c.s.Kind, at, err)
			}
		})
	}
	// Transcripts of one sharing are told apart by their serials.
	d, err := randoms.Deal(w.ids[0], nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ts := transcripts(masks...)
	if _, _, err := randoms.Load([]*Transcript{ts[1], ts[0]}, masks[0].dealings, w.ids[0], nil); err == nil {
		t.Error("transcripts in another order")
	}
	if _, _, err := randoms.Load(ts[:1], masks[0].dealings, w.ids[0], nil); err == nil {
		t.Error("one transcript of two")
	}
	if _, _, err := randoms.Load(ts, append([]*Dealing{d}, masks[0].dealings[1:]...), w.ids[0], nil); err == nil {
		t.Error("another dealing than the transcript's")
	}
	if s := fmt.Sprint(masks[0].serial, masks[1].serial); s != "1 2" {
		t.Errorf("serials %s", s)
	}
}
