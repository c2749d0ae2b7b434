package gg18

import (
	"bytes"
	"crypto/rand"
	"errors"
	"math/big"
	"slices"
	"testing"

	secp "github.com/decred/dcrd/dcrec/secp256k1/v4"

	"fusion/chainkey"
	"fusion/chainkey/gg18/localparams"
	"fusion/internal/codec"
)

// handover is the resharing of the tests: seats 0 and 1 stay, seat 2 deals and leaves, seat 3 leaves in silence, and two nodes join.
var handover = []chainkey.Part{{Old: 0, New: 0}, {Old: 1, New: 1}, {Old: 2, New: -1}, {Old: -1, New: 2}, {Old: -1, New: 3}}

func resharings(t testing.TB, old []*Share, change func(i int, c *chainkey.Reshare)) []*Resharing {
	t.Helper()
	var all []*Resharing
	for i, p := range handover {
		c := chainkey.Reshare{Algorithm: chainkey.EcdsaSecp256k1, Session: [32]byte{9}, Public: old[0].PublicKey(), Old: old[0].PublicShares(), Parts: handover,
			Seat: i, Threshold: 2, AllowLocal: true, Rand: rand.Reader}
		if p.Old >= 0 {
			c.Share = old[p.Old]
		}
		if p.New >= 0 {
			params, err := LocalParams(6 + p.New)
			if err != nil {
				t.Fatal(err)
			}
			c.Params = params
		}
		if change != nil {
			change(i, &c)
		}
		r, err := NewResharing(c)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// TestReshare hands the golden key over and looks at everything in one run, which takes some 20 seconds of CPU time: what the filter and the
// checks of the first round say to altered messages; the new shares, which sign; old and new ones together, which do not.
func TestReshare(t *testing.T) {
	old := golden(t)
	before := old[0].Encode()
	rs := resharings(t, old, nil)
	var recorded [5][]byte
	var values [5][]byte // for part 0
	record := func(round, from, to int, data []byte) []byte {
		if round == 1 && to < 0 {
			recorded[from] = data
		}
		if round == 1 && to == 0 {
			values[from] = data
		}
		return data
	}
	judge := resharings(t, old, nil)[0] // a part that will judge what the others said
	if err := errors.Join(run(rs, record)...); err != nil {
		t.Fatal(err)
	}
	var fresh []*Share
	for i, r := range rs {
		s, err := r.Share()
		if handover[i].New < 0 {
			if !errors.Is(err, chainkey.ErrOnlyDealt) {
				t.Errorf("the node that only dealt: %v, %v", s, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		stored, err := DecodeShare(s.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if r.Wipe(); stored.seat != handover[i].New || !bytes.Equal(stored.PublicKey(), old[0].PublicKey()) {
			t.Errorf("part %d: %v", i, stored)
		}
		fresh = append(fresh, stored)
	}
	for _, s := range fresh[1:] {
		for seat, p := range s.PublicShares() {
			if !bytes.Equal(p, fresh[0].PublicShares()[seat]) {
				t.Errorf("members disagree on the public share of seat %d", seat)
			}
		}
	}
	if points, at, err := parsePublicShares(fresh[0].PublicShares()); err != nil {
		t.Error(err)
	} else if sum := interpolate(points[1:], at[1:]); !equalPoints(&sum, &judge.public) {
		t.Error("the public shares do not give the key")
	}
	if !bytes.Equal(old[0].Encode(), before) {
		t.Error("resharing changed the old share")
	}

	if err := errors.Join(run(signers(t, fresh, []int{0, 2, 3}, [32]byte{1}, [32]byte{2}), nil)...); err != nil {
		t.Errorf("the new members do not sign: %v", err)
	}
	t.Run("old and new", func(t *testing.T) {
		// A share of the old epoch in a new seat: the points do not fit, and with the index and the points of the new one the signature fails.
		forged, err := DecodeShare(fresh[3].Encode())
		if err != nil {
			t.Fatal(err)
		}
		forged.save.Xi.Set(old[3].save.Xi)
		if _, err := DecodeShare(forged.Encode()); !errors.Is(err, ErrShare) {
			t.Errorf("an old share in a new seat is read: %v", err)
		}
		sum := new(big.Int)
		for i, c := range []*Share{fresh[0], fresh[1], forged} {
			ks := []*big.Int{fresh[0].save.ShareID, fresh[1].save.ShareID, forged.save.ShareID}
			l := big.NewInt(1)
			for j := range ks {
				if j != i {
					d := new(big.Int).Sub(ks[j], ks[i])
					l.Mul(l, ks[j]).Mul(l, d.ModInverse(d.Mod(d, order), order)).Mod(l, order)
				}
			}
			sum.Add(sum, l.Mul(l, c.save.Xi)).Mod(sum, order)
		}
		var k secp.ModNScalar
		k.SetByteSlice(sum.Bytes())
		if p, err := blindBase(&k, rand.Reader); err != nil || equalPoints(&p, &judge.public) {
			t.Errorf("two new shares and an old one give the key (%v)", err)
		}
	})
	for _, s := range old {
		if s.Wipe(); s.save.Xi.Sign() != 0 {
			t.Error("a wiped share is still there")
		}
	}

	t.Run("altered", func(t *testing.T) { altered(t, judge, recorded, values) })
}

// altered has a member judge messages of the first round, each wrong in one way.
func altered(t *testing.T, judge *Resharing, recorded, values [5][]byte) {
	if _, err := judge.Start(); err != nil {
		t.Fatal(err)
	}
	read := func(i int) hello {
		var h hello
		if err := codec.Unmarshal(recorded[i], &h); err != nil {
			t.Fatal(err)
		}
		return h
	}
	const dealer, joiner = 1, 3
	product := func(a, b int) []byte { // a modulus of the right size that shares a factor with a member's
		x, err := localparams.Get(a)
		if err != nil {
			t.Fatal(err)
		}
		y, err := localparams.Get(b)
		if err != nil {
			t.Fatal(err)
		}
		return new(big.Int).Mul(x.PaillierP, y.PaillierQ).Bytes()
	}
	prime, err := rand.Prime(rand.Reader, modulusBits)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		from   int
		change func(*hello)
	}{
		"short vector":           {dealer, func(h *hello) { h.Commits = h.Commits[:2] }},
		"long vector":            {dealer, func(h *hello) { h.Commits = append(h.Commits, h.Commits[0]) }},
		"no vector":              {dealer, func(h *hello) { h.Commits = nil }},
		"a joiner deals":         {joiner, func(h *hello) { h.Commits = read(dealer).Commits }},
		"a leaver's moduli":      {2, func(h *hello) { h.Paillier = read(joiner).Paillier }},
		"no modulus":             {joiner, func(h *hello) { h.Paillier = nil }},
		"small modulus":          {joiner, func(h *hello) { h.Paillier = h.Paillier[:128] }},
		"even modulus":           {joiner, func(h *hello) { h.Paillier[255] &^= 1 }},
		"prime modulus":          {joiner, func(h *hello) { h.Paillier = prime.Bytes() }},
		"prime NTilde":           {joiner, func(h *hello) { h.NTilde = prime.Bytes() }},
		"our modulus":            {joiner, func(h *hello) { h.Paillier = judge.params.PaillierSK.N.Bytes() }},
		"a factor of ours":       {joiner, func(h *hello) { h.Paillier = product(6, 3) }},
		"h1 and h2 equal":        {joiner, func(h *hello) { h.H2 = h.H1 }},
		"h1 is one":              {joiner, func(h *hello) { h.H1 = []byte{1} }},
		"short dln proof":        {joiner, func(h *hello) { h.Dln1 = h.Dln1[:100] }},
		"no modulus proof":       {joiner, func(h *hello) { h.Mod = nil }},
		"zero in modulus proof":  {joiner, func(h *hello) { h.Mod[0] = []byte{0} }},
		"short Paillier proof":   {joiner, func(h *hello) { h.Coprime = h.Coprime[:12] }},
		"long Paillier proof":    {joiner, func(h *hello) { h.Coprime = append(h.Coprime, h.Coprime[0]) }},
		"a one in the proof":     {joiner, func(h *hello) { h.Coprime[3] = []byte{1} }},
		"modulus not canonical":  {joiner, func(h *hello) { h.NTilde = append([]byte{0}, h.NTilde...) }},
		"modulus of 4096 bits":   {joiner, func(h *hello) { h.Paillier = append(bytes.Clone(h.Paillier), h.Paillier...) }},
		"responses out of range": {joiner, func(h *hello) { h.Dln2[200] = bytes.Repeat([]byte{0xff}, 256) }},
	} {
		h := read(c.from)
		c.change(&h)
		judge.filters[c.from].foreign = judge.filters[c.from].foreign[:2]
		if _, err := judge.hello(c.from, codec.Marshal(h)); err == nil {
			t.Errorf("%s: the filter let it pass", name)
		}
	}
	for name, wire := range map[string][]byte{"nothing": {}, "garbage": {1, 2, 3}, "a truncated message": recorded[joiner][:1000]} {
		if _, err := judge.hello(joiner, wire); err == nil {
			t.Errorf("%s: the filter let it pass", name)
		}
	}
	for i := 1; i < len(handover); i++ {
		judge.filters[i].foreign = judge.filters[i].foreign[:2]
		if _, err := judge.hello(i, recorded[i]); err != nil {
			t.Errorf("the filter refuses what part %d said: %v", i, err)
		}
	}
	// The proofs themselves: each of another statement, another maker or another session.
	clean := func(i int) {
		judge.filters[i].foreign = judge.filters[i].foreign[:2]
		h, err := judge.hello(i, recorded[i])
		if err != nil {
			t.Fatal(err)
		}
		judge.hellos[i] = h
	}
	clean(joiner)
	clean(4)
	for name, change := range map[string]func(h *hello){
		"the other direction's dln proof": func(h *hello) { h.Dln2 = h.Dln1 },
		"another maker's modulus proof":   func(h *hello) { h.Mod = judge.hellos[4].Mod },
		"another maker's Paillier proof":  func(h *hello) { h.Coprime = judge.hellos[4].Coprime },
	} {
		h := *judge.hellos[joiner]
		kept := judge.hellos[joiner]
		change(&h)
		judge.hellos[joiner] = &h
		if err := judge.verify(joiner); err == nil {
			t.Errorf("%s: accepted", name)
		}
		judge.hellos[joiner] = kept
	}
	kept := judge.session
	judge.session[0] ^= 1
	if err := judge.verify(joiner); err == nil {
		t.Error("proofs of another session: accepted")
	}
	judge.session = kept
	// Dealings: a wrong constant term and a wrong value name the dealer before a modulus is looked at.
	for name, change := range map[string]func(in []chainkey.Input){
		"another constant": func(in []chainkey.Input) {
			h := read(dealer)
			h.Commits[0] = h.Commits[1]
			in[dealer].Broadcast = codec.Marshal(h)
		},
		"infinity": func(in []chainkey.Input) {
			h := read(dealer)
			h.Commits[1] = make([]byte, 33)
			in[dealer].Broadcast = codec.Marshal(h)
		},
		"value altered":      func(in []chainkey.Input) { in[dealer].Private[7] ^= 1 },
		"no value":           func(in []chainkey.Input) { in[dealer].Private = nil },
		"value out of range": func(in []chainkey.Input) { in[dealer].Private = bytes.Repeat([]byte{0xff}, 32) },
	} {
		in := make([]chainkey.Input, len(handover))
		for i := range in {
			in[i] = chainkey.Input{Broadcast: bytes.Clone(recorded[i]), Private: bytes.Clone(values[i])}
			judge.filters[i].foreign = judge.filters[i].foreign[:2]
		}
		change(in)
		judge.round = 1
		judge.secret.Zero()
		_, err := judge.Deliver(1, in)
		var m *chainkey.Misbehaviour
		if !errors.As(err, &m) || !slices.Equal(m.Seats, []int{dealer}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Factor proofs are made for one member: that for another does not hold, and nothing else takes its place.
	judge.round = 2
	in := make([]chainkey.Input, len(handover))
	in[joiner].Private = codec.Marshal([][]byte{{1}})
	if _, err := judge.Deliver(2, in); err == nil {
		t.Error("a malformed factor proof: accepted")
	}
}

// TestReshareRefusals checks what a node refuses to begin.
func TestReshareRefusals(t *testing.T) {
	old := golden(t)
	params, err := LocalParams(6)
	if err != nil {
		t.Fatal(err)
	}
	good := chainkey.Reshare{Algorithm: chainkey.EcdsaSecp256k1, Public: old[0].PublicKey(), Old: old[0].PublicShares(), Parts: handover, Threshold: 2,
		Share: old[0], Params: params, AllowLocal: true, Rand: rand.Reader}
	used := old[0].save
	again := localparams.Set{PaillierP: used.PaillierSK.P, PaillierQ: used.PaillierSK.Q, P: used.P, Q: used.Q, H1: used.H1i, Alpha: used.Alpha}
	for name, change := range map[string]func(*chainkey.Reshare){
		"another algorithm":     func(c *chainkey.Reshare) { c.Algorithm = chainkey.Ed25519 },
		"another key":           func(c *chainkey.Reshare) { c.Public = bytes.Clone(c.Public); c.Public[0] ^= 1 },
		"another seat's share":  func(c *chainkey.Reshare) { c.Share = old[1] },
		"no share":              func(c *chainkey.Reshare) { c.Share = nil },
		"no parameters":         func(c *chainkey.Reshare) { c.Params = nil },
		"shipped parameters":    func(c *chainkey.Reshare) { c.AllowLocal = false },
		"too few public shares": func(c *chainkey.Reshare) { c.Old = c.Old[:3] },
		"public shares swapped": func(c *chainkey.Reshare) { c.Old = [][]byte{c.Old[1], c.Old[0], c.Old[2], c.Old[3]}; c.Share = old[1] },
		"one public share altered": func(c *chainkey.Reshare) {
			b := bytes.Clone(c.Old[3])
			b[31] ^= 1
			c.Old = [][]byte{c.Old[0], c.Old[1], c.Old[2], b}
		},
		"two of one index": func(c *chainkey.Reshare) { c.Old = [][]byte{c.Old[0], c.Old[1], c.Old[2], c.Old[2]} },
	} {
		c := good
		change(&c)
		if _, err := NewResharing(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	good.Params = again.Encode()
	if _, err := NewResharing(good); err != nil {
		t.Errorf("a local network uses its parameters again: %v", err)
	}
}

// FuzzResharingHello feeds garbage to the reader of the first round: nothing panics, nothing of it is a member's.
func FuzzResharingHello(f *testing.F) {
	r := resharings(f, golden(f), nil)[0]
	f.Add(uint8(1), codec.Marshal(hello{}))
	f.Add(uint8(3), codec.Marshal(hello{Commits: [][]byte{{1}}, Paillier: bytes.Repeat([]byte{1}, 256)}))
	f.Fuzz(func(t *testing.T, from uint8, wire []byte) {
		i := 1 + int(from)%4
		if _, err := r.hello(i, wire); err == nil && handover[i].New >= 0 {
			t.Fatalf("part %d: garbage is taken for moduli", i)
		}
	})
}
