package idkg

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/ethereum/go-ethereum/crypto"

	"fusion/chainkey"
	"fusion/chainkey/idkg/curve"
)

var algorithms = []chainkey.Algorithm{chainkey.EcdsaSecp256k1, chainkey.Bip340Secp256k1, chainkey.Ed25519}

var subnet = [32]byte{1, 2, 3}

// seeded is deterministic randomness.
func seeded(parts ...any) io.Reader {
	return rand.NewChaCha8(sha256.Sum256([]byte(fmt.Sprint(parts...))))
}

// net is all members of an epoch in one place.
type net struct {
	t      testing.TB
	key    chainkey.KeyID
	roster *Roster
	ids    []Identity
	serial uint64

	complaints int // that were made, verified and answered
}

// newNet makes the keys of n members; first moves the nodes on, so that some of two rosters are the same.
func newNet(t testing.TB, a chainkey.Algorithm, epoch uint64, first, n int) *net {
	t.Helper()
	w := &net{t: t, key: chainkey.KeyID{Algorithm: a, Name: "test_key"}}
	var members []Member
	for seat := range n {
		seed := sha256.Sum256([]byte(fmt.Sprint("node", first+seat)))
		node := ed25519.NewKeyFromSeed(seed[:])
		random := seeded("member", a, epoch, first+seat)
		m, k, err := NewMember(subnet, epoch, node, random)
		if err != nil {
			t.Fatal(err)
		}
		if m, err = DecodeMember(m.Encode()); err != nil {
			t.Fatal(err)
		}
		if k, err = DecodeDecryptionKey(k.Encode()); err != nil {
			t.Fatal(err)
		}
		members = append(members, m)
		w.ids = append(w.ids, Identity{Seat: seat, Node: node, Key: k, Rand: random})
	}
	var err error
	if w.roster, err = NewRoster(subnet, epoch, members); err != nil {
		t.Fatal(err)
	}
	return w
}

// held is a transcript and all members' shares of it.
type held struct {
	*Transcript
	shares   []*Share
	dealings []*Dealing
}

// wire sends a message through its encoding.
func wire[T interface{ Encode() []byte }](t testing.TB, m T, decode func([]byte) (T, error)) T {
	t.Helper()
	b := m.Encode()
	if len(b) > MaxMessage {
		t.Fatalf("%T of %d bytes", m, len(b))
	}
	out, err := decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Encode(), b) {
		t.Fatalf("%T reads differently", m)
	}
	return out
}

func share(h *held, seat int) *Share {
	if h == nil {
		return nil
	}
	return h.shares[seat]
}

func transcriptOf(h *held) *Transcript {
	if h == nil {
		return nil
	}
	return h.Transcript
}

// list is the inputs of a sharing: none, or one for each secret.
func list(hs ...*held) (out []*held) {
	for _, h := range hs {
		if h != nil {
			out = append(out, h)
		}
	}
	return out
}

func transcripts(hs ...*held) (out []*Transcript) {
	for _, h := range list(hs...) {
		out = append(out, h.Transcript)
	}
	return out
}

func shares(seat int, hs ...*held) (out []*Share) {
	for _, h := range list(hs...) {
		out = append(out, h.shares[seat])
	}
	return out
}

func (w *net) sharing(p Params) *Sharing {
	w.t.Helper()
	p.Key = w.key
	if p.Receivers == nil {
		p.Receivers = w.roster
	}
	if p.Dealers == nil {
		p.Dealers = w.roster
	}
	s, err := NewSharing(p)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// evil changes what a dealer deals; nil means silence.
type evil func(s *Sharing, d *Dealing) *Dealing

// run is batch for one secret.
func (w *net) run(from *net, s *Sharing, left, right *held, wicked map[int]evil) *held {
	w.t.Helper()
	return w.batch(from, s, list(left), list(right), wicked)[0]
}

// batch deals, supports and combines; receivers w take shares from dealers. Bad shares are complained of and opened.
func (w *net) batch(from *net, s *Sharing, left, right []*held, wicked map[int]evil) []*held {
	w.t.Helper()
	var dealings []*Dealing
	for seat, me := range from.ids {
		d, err := s.Deal(me, shares(seat, left...), shares(seat, right...))
		if err != nil {
			w.t.Fatal(err)
		}
		if change := wicked[seat]; change != nil {
			if d = change(s, d); d == nil {
				continue
			}
		}
		d = wire(w.t, d, DecodeDealing)
		if err := s.VerifyDealing(d); err != nil {
			if wicked[seat] == nil {
				w.t.Fatal(err)
			}
			blames(w.t, err, seat)
			continue
		}
		dealings = append(dealings, d)
	}
	tally := NewTally(w.roster)
	for _, me := range w.ids {
		var good [][32]byte
		for _, d := range dealings {
			err := s.Check(d, me)
			if err == nil {
				good = append(good, d.Digest())
			} else if wicked[d.Dealer()] == nil || !errors.Is(err, ErrShare) {
				w.t.Fatal(err)
			}
		}
		sup, err := w.roster.Support(me, good...)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := tally.Add(wire(w.t, sup, DecodeSupport)); err != nil {
			w.t.Fatal(err)
		}
	}
	chosen, err := s.Select(dealings, tally)
	if err != nil {
		w.t.Fatal(err)
	}
	ts, err := s.Combine(chosen, tally)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []*held
	for i := range ts {
		ts[i] = wire(w.t, ts[i], DecodeTranscript)
		out = append(out, &held{Transcript: ts[i], dealings: chosen})
	}
	for _, me := range w.ids {
		for i, x := range w.load(s, ts, chosen, me) {
			out[i].shares = append(out[i].shares, x)
		}
	}
	return out
}

// load gets a member's shares, with the help of others where a dealing is bad for it.
func (w *net) load(s *Sharing, ts []*Transcript, dealings []*Dealing, me Identity) []*Share {
	w.t.Helper()
	out, complaints, err := s.Load(ts, dealings, me, nil)
	if errors.Is(err, ErrComplaints) {
		var openings []*Opening
		for _, c := range complaints {
			c = wire(w.t, c, DecodeComplaint)
			d := dealings[slices.IndexFunc(dealings, func(d *Dealing) bool { return d.Digest() == c.Dealing() })]
			if err := s.VerifyComplaint(d, c); err != nil {
				w.t.Fatal(err)
			}
			w.complaints++
			for _, other := range w.ids {
				if o, err := s.Open(d, c, other); err == nil {
					openings = append(openings, wire(w.t, o, DecodeOpening))
				} else if !errors.Is(err, ErrShare) {
					w.t.Fatal(err)
				}
			}
		}
		out, _, err = s.Load(ts, dealings, me, openings)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	for i, x := range out {
		if out[i], err = DecodeShare(x.Encode(), ts[i]); err != nil {
			w.t.Fatal(err)
		}
	}
	return out
}

// generate makes a key.
func (w *net) generate(wicked map[int]evil) *held {
	w.t.Helper()
	mask := w.run(w, w.sharing(Params{Kind: Random}), nil, nil, wicked)
	return w.run(w, w.sharing(Params{Kind: ReshareMasked, Left: transcripts(mask)}), mask, nil, wicked)
}

type presigned struct {
	*Presignature
	shares []*Shares
}

// presign makes a presignature.
func (w *net) presign(key *held, wicked map[int]evil) presigned {
	w.t.Helper()
	w.serial++
	first, err := PresignFirst(key.Transcript, w.roster, w.serial, 1)
	if err != nil {
		w.t.Fatal(err)
	}
	all := []*held{w.run(w, first[0], nil, nil, wicked), nil, nil, nil}
	if len(first) == 2 {
		all[1] = w.run(w, first[1], nil, nil, wicked)
		second, err := PresignSecond(key.Transcript, w.roster, w.serial, transcripts(all[0]), transcripts(all[1]))
		if err != nil {
			w.t.Fatal(err)
		}
		all[2] = w.run(w, second[0], all[0], all[1], wicked)
		all[3] = w.run(w, second[1], key, all[1], wicked)
	}
	p, err := NewPresignature(key.Transcript, all[0].Transcript, transcriptOf(all[1]), transcriptOf(all[2]), transcriptOf(all[3]))
	if err != nil {
		w.t.Fatal(err)
	}
	out := presigned{Presignature: p}
	for seat := range w.ids {
		out.shares = append(out.shares, &Shares{key.shares[seat], share(all[0], seat), share(all[1], seat), share(all[2], seat), share(all[3], seat)})
	}
	return out
}

func (w *net) request(key *held, p presigned, m chainkey.Message) *Signing {
	w.t.Helper()
	s, err := NewSigning(Request{Roster: w.roster, Key: key.Transcript, Presignature: p.Presignature, ID: [32]byte{9}, ChainCode: [32]byte{5},
		Path: [][]byte{{1, 2}, {}, []byte("path")}, Message: m, Beacon: [32]byte{7}})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func free(_, _ [32]byte) error { return nil }

func (w *net) sign(s *Signing, p presigned) []*SignatureShare {
	w.t.Helper()
	var out []*SignatureShare
	for seat, me := range w.ids {
		sh, err := s.Share(me, p.shares[seat], free)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, wire(w.t, sh, DecodeSignatureShare))
	}
	return out
}

// blames wants an error that names exactly these seats.
func blames(t testing.TB, err error, seats ...int) {
	t.Helper()
	var m *chainkey.Misbehaviour
	if !errors.As(err, &m) || !slices.Equal(m.Seats, seats) {
		t.Errorf("want seats %v blamed, got %v", seats, err)
	}
}

func messages(a chainkey.Algorithm) []chainkey.Message {
	out := []chainkey.Message{{Bytes: bytes.Repeat([]byte{3}, 32)}}
	if a != chainkey.EcdsaSecp256k1 {
		out = append(out, chainkey.Message{}, chainkey.Message{Bytes: make([]byte, 5000)})
	} else {
		out = append(out, chainkey.Message{Bytes: bytes.Repeat([]byte{255}, 32)}, chainkey.Message{Bytes: make([]byte, 32)})
	}
	if a == chainkey.Bip340Secp256k1 {
		out = append(out, chainkey.Message{Bytes: make([]byte, 32), Taproot: true}, chainkey.Message{Bytes: make([]byte, 32), Taproot: true, MerkleRoot: make([]byte, 32)})
	}
	return out
}

// independent verifies with other people's libraries.
func independent(t testing.TB, a chainkey.Algorithm, key []byte, m chainkey.Message, sig *Signature) {
	t.Helper()
	if err := chainkey.Verify(a, key, m, sig.Bytes); err != nil {
		t.Error(err)
	}
	switch {
	case a == chainkey.EcdsaSecp256k1:
		if !crypto.VerifySignature(key, m.Bytes, sig.Bytes[:]) {
			t.Error("libsecp256k1 refuses the signature")
		}
		got, err := crypto.SigToPub(m.Bytes, append(slices.Clone(sig.Bytes[:]), sig.Recovery))
		if err != nil || !bytes.Equal(crypto.CompressPubkey(got), key) {
			t.Errorf("recovery id %d gives another key: %v", sig.Recovery, err)
		}
	case a == chainkey.Ed25519:
		if !ed25519.Verify(key, m.Bytes, sig.Bytes[:]) {
			t.Error("crypto/ed25519 refuses the signature")
		}
	case len(m.Bytes) == 32 && !m.Taproot:
		s, err := schnorr.ParseSignature(sig.Bytes[:])
		if err != nil {
			t.Fatal(err)
		}
		k, err := schnorr.ParsePubKey(key[1:])
		if err != nil {
			t.Fatal(err)
		}
		if !s.Verify(m.Bytes, k) {
			t.Error("btcec refuses the signature")
		}
	}
}

func sizes() []int {
	if testing.Short() {
		return []int{1, 4, 7}
	}
	return []int{1, 4, 7, 13}
}

// TestSign makes a key and presignatures, signs with every choice of f+1 of four members, hands the key to other members, and signs again.
func TestSign(t *testing.T) {
	for _, a := range algorithms {
		for _, n := range sizes() {
			t.Run(fmt.Sprint(a, "/", n), func(t *testing.T) {
				w := newNet(t, a, 1, 0, n)
				key := w.generate(nil)
				ms := messages(a)
				if n > 4 {
					ms = ms[:1]
				}
				for _, m := range ms {
					p := w.presign(key, nil)
					s := w.request(key, p, m)
					shares := w.sign(s, p)
					for _, sh := range shares {
						if err := s.Verify(sh); err != nil {
							t.Fatal(err)
						}
					}
					for i := range shares {
						chosen := append(slices.Clone(shares[i:]), shares[:i]...)[:w.roster.Threshold()]
						sig, bad, err := s.Combine(chosen)
						if err != nil || len(bad) > 0 {
							t.Fatal(bad, err)
						}
						independent(t, a, s.PublicKey(), m, sig)
					}
					if _, _, err := s.Combine(shares[:w.roster.F()]); !errors.Is(err, ErrTooFewShares) {
						t.Errorf("f shares: %v", err)
					}
				}
				// Proactively, and to more members of whom some are new.
				for epoch, next := range []*net{newNet(t, a, 2, 0, n), newNet(t, a, 3, 2, max(4, n)+1)} {
					if n > 7 && epoch > 0 {
						break
					}
					moved := next.run(w, next.sharing(Params{Kind: ReshareUnmasked, Dealers: w.roster, Left: transcripts(key)}), key, nil, nil)
					if !bytes.Equal(moved.PublicKey(), key.PublicKey()) {
						t.Fatal("resharing changed the key")
					}
					p := next.presign(moved, nil)
					s := next.request(moved, p, ms[0])
					sig, _, err := s.Combine(next.sign(s, p))
					if err != nil {
						t.Fatal(err)
					}
					independent(t, a, s.PublicKey(), ms[0], sig)
				}
			})
		}
	}
}

// TestThreshold interpolates the key itself: f+1 shares give it, f do not, and shares of two epochs do not add up.
func TestThreshold(t *testing.T) {
	for _, a := range algorithms {
		w, next := newNet(t, a, 1, 0, 7), newNet(t, a, 2, 0, 7)
		key := w.generate(nil)
		moved := next.run(w, next.sharing(Params{Kind: ReshareUnmasked, Dealers: w.roster, Left: transcripts(key)}), key, nil, nil)
		gives := func(shares ...*Share) bool {
			var seats []int
			for _, s := range shares {
				seats = append(seats, s.seat)
			}
			sum := key.curve.Scalar(0)
			for i, l := range key.curve.Lagrange(seats, key.curve.Scalar(0)) {
				sum = sum.Add(l.Mul(shares[i].value))
			}
			return bytes.Equal(key.curve.Mul(sum).Bytes(), key.PublicKey())
		}
		old, now := key.shares, moved.shares
		if !gives(old[0], old[3], old[6]) || !gives(now[1], now[2], now[5]) {
			t.Errorf("%s: f+1 shares do not give the key", a)
		}
		if gives(old[0], old[3]) || gives(now[5], now[6]) || gives(old[0], old[1], now[2]) || gives(old[0], now[1], now[2]) {
			t.Errorf("%s: the key comes out of too little", a)
		}
		for seat := range old {
			if old[seat].value.Equal(now[seat].value) {
				t.Error("a share survived the resharing")
			}
		}
	}
}

// TestSilent: f dealers are silent, and f members sign nothing.
func TestSilent(t *testing.T) {
	silence := func(*Sharing, *Dealing) *Dealing { return nil }
	for _, n := range []int{4, 7} {
		w := newNet(t, chainkey.EcdsaSecp256k1, 1, 0, n)
		silent := map[int]evil{}
		for i := range w.roster.F() {
			silent[2*i] = silence
		}
		key := w.generate(silent)
		p := w.presign(key, silent)
		s := w.request(key, p, messages(w.key.Algorithm)[0])
		shares := slices.DeleteFunc(w.sign(s, p), func(sh *SignatureShare) bool { return silent[sh.seat] != nil })
		if _, _, err := s.Combine(shares); err != nil {
			t.Error(err)
		}
	}
}

// counted is a Bind that remembers.
type counted map[[32]byte][32]byte

func (c counted) bind(presignature, signing [32]byte) error {
	if was, ok := c[presignature]; ok && was != signing {
		return errors.New("the presignature serves another request")
	}
	c[presignature] = signing
	return nil
}

// TestOnePresignatureOneRequest: another message, path, beacon or request with the same presignature is another signing, which Bind refuses
// before a share is computed; the same signing gives the same share.
func TestOnePresignatureOneRequest(t *testing.T) {
	for _, a := range algorithms {
		w := newNet(t, a, 1, 0, 4)
		key := w.generate(nil)
		p := w.presign(key, nil)
		base := Request{Roster: w.roster, Key: key.Transcript, Presignature: p.Presignature, Message: messages(a)[0]}
		first, err := NewSigning(base)
		if err != nil {
			t.Fatal(err)
		}
		c := counted{}
		one, err := first.Share(w.ids[0], p.shares[0], c.bind)
		if err != nil {
			t.Fatal(err)
		}
		again, err := first.Share(w.ids[0], p.shares[0], c.bind)
		if err != nil || !bytes.Equal(one.Encode(), again.Encode()) {
			t.Errorf("%s: the same signing gives another share: %v", a, err)
		}
		for name, change := range map[string]func(*Request){
			"message":    func(q *Request) { q.Message = messages(a)[1] },
			"path":       func(q *Request) { q.Path = [][]byte{{1}} },
			"chain code": func(q *Request) { q.Path, q.ChainCode = [][]byte{{1}}, [32]byte{1} },
			"beacon":     func(q *Request) { q.Beacon[31] ^= 1 },
			"request":    func(q *Request) { q.ID[0] ^= 1 },
		} {
			q := base
			change(&q)
			other, err := NewSigning(q)
			if err != nil {
				t.Fatal(err)
			}
			if other.nonce.Equal(first.nonce) || other.nonce.Equal(first.nonce.Neg()) || other.ID() == first.ID() {
				t.Errorf("%s, other %s: the nonce is the same", a, name)
			}
			if _, err := other.Share(w.ids[0], p.shares[0], c.bind); err == nil {
				t.Errorf("%s, other %s: the presignature serves twice", a, name)
			}
			if err := other.Verify(one); err == nil {
				t.Errorf("%s, other %s: a share of another signing holds", a, name)
			}
		}
		p.shares[0].Destroy()
		if _, err := first.Share(w.ids[0], &Shares{Key: p.shares[0].Key}, c.bind); err == nil {
			t.Error("a share without a presignature")
		}
	}
}

// broken is a source of randomness that always says the same.
type broken struct{}

func (broken) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// TestHedgedRandomness: with a broken source, secrets still differ between members, sharings and epochs.
func TestHedgedRandomness(t *testing.T) {
	seen := map[string]string{}
	add := func(what string, p *curve.Point) {
		t.Helper()
		k := string(p.Bytes())
		if before, ok := seen[k]; ok {
			t.Errorf("%s repeats a secret of %s", what, before)
		}
		seen[k] = what
	}
	for epoch := range uint64(2) {
		w := newNet(t, chainkey.EcdsaSecp256k1, epoch, 0, 4)
		for serial := range uint64(2) {
			for _, kind := range []Kind{Random, RandomUnmasked} {
				for seat := range 2 {
					me := w.ids[seat]
					me.Rand = broken{}
					d, err := w.sharing(Params{Kind: kind, Serial: serial}).Deal(me, nil, nil)
					if err != nil {
						t.Fatal(err)
					}
					what := fmt.Sprint(epoch, serial, kind, seat)
					for _, c := range d.commitments[0] {
						add(what, c)
					}
					add(what, d.sealed.ephemeral)
				}
			}
		}
		for seat := range 2 {
			m, _, err := NewMember(subnet, epoch, w.ids[seat].Node, broken{})
			if err != nil {
				t.Fatal(err)
			}
			add(fmt.Sprint("member", epoch, seat), m.encryption)
		}
	}
	w := newNet(t, chainkey.EcdsaSecp256k1, 1, 0, 4)
	me := w.ids[0]
	me.Rand = bytes.NewReader(make([]byte, 31))
	if _, err := w.sharing(Params{Kind: Random}).Deal(me, nil, nil); err == nil {
		t.Error("dealt with too little randomness")
	}
}

// TestNothingSecretIsPrinted formats what holds secrets.
func TestNothingSecretIsPrinted(t *testing.T) {
	w := newNet(t, chainkey.EcdsaSecp256k1, 1, 0, 4)
	key := w.generate(nil)
	secret := key.shares[0].value.Bytes()
	dec := w.ids[0].Key.secret.Bytes()
	for _, v := range []any{key.shares[0], w.ids[0], w.ids[0].Key, *key.shares[0], &Shares{Key: key.shares[0]}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s", "%d"} {
			text := []byte(fmt.Sprintf(verb, v))
			for _, s := range [][]byte{secret, dec, w.ids[0].Node.Seed()} {
				for _, form := range []string{fmt.Sprintf("%x", s), fmt.Sprint(s), string(s), fmt.Sprintf("%d", binary.BigEndian.Uint64(s))} {
					if bytes.Contains(text, []byte(form)) {
						t.Errorf("%s of %T shows a secret", verb, v)
					}
				}
			}
		}
	}
}
