package frost

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"testing"

	"fusion/chainkey"
)

// resharings prepares the parts of a resharing. Each part is a seat of the old epoch, a seat of the new one, or both.
func resharings(t testing.TB, a chainkey.Algorithm, old []*Share, parts []chainkey.Part) []*Resharing {
	t.Helper()
	members := 0
	for _, p := range parts {
		if p.New >= 0 {
			members++
		}
	}
	threshold, err := chainkey.Threshold(members)
	if err != nil {
		t.Fatal(err)
	}
	var out []*Resharing
	for i, p := range parts {
		c := chainkey.Reshare{Algorithm: a, Session: [32]byte{7}, Public: old[0].PublicKey(), Old: old[0].PublicShares(), Parts: parts, Seat: i,
			Threshold: threshold, Rand: rand.Reader}
		if p.Old >= 0 {
			c.Share = old[p.Old]
		}
		r, err := NewResharing(c)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// reshared runs a resharing and returns the new shares by seat, as the key store would give them back.
func reshared(t testing.TB, a chainkey.Algorithm, old []*Share, parts []chainkey.Part) []*Share {
	t.Helper()
	rs := resharings(t, a, old, parts)
	if err := errors.Join(run(rs, nil)...); err != nil {
		t.Fatal(err)
	}
	bySeat := map[int]*Share{}
	for i, r := range rs {
		s, err := r.Share()
		if parts[i].New < 0 {
			if !errors.Is(err, chainkey.ErrOnlyDealt) {
				t.Fatalf("a node that only dealt: %v, %v", s, err)
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
		if stored.seat != parts[i].New || !bytes.Equal(stored.PublicKey(), old[0].PublicKey()) {
			t.Fatalf("part %d: %v", i, stored)
		}
		bySeat[parts[i].New] = stored
		r.Wipe()
	}
	var out []*Share
	for seat := range len(bySeat) {
		out = append(out, bySeat[seat])
	}
	return out
}

// Some ways for a key to change hands: the same members with one of four dealing nothing, one more member whom a removed one helps, one less, and
// larger groups.
var handovers = map[string]struct {
	from  int
	parts []chainkey.Part
}{
	"same four":           {4, []chainkey.Part{{Old: 0, New: 0}, {Old: 1, New: 1}, {Old: -1, New: 2}, {Old: 3, New: 3}}},
	"one replaced":        {4, []chainkey.Part{{Old: 0, New: 0}, {Old: 1, New: -1}, {Old: 2, New: 1}, {Old: -1, New: 2}, {Old: -1, New: 3}}},
	"all replaced":        {4, []chainkey.Part{{Old: 1, New: -1}, {Old: 2, New: -1}, {Old: 3, New: -1}, {Old: -1, New: 0}, {Old: -1, New: 1}, {Old: -1, New: 2}, {Old: -1, New: 3}}},
	"four to seven":       {4, []chainkey.Part{{Old: 0, New: 0}, {Old: 1, New: 1}, {Old: 2, New: 2}, {Old: -1, New: 3}, {Old: -1, New: 4}, {Old: -1, New: 5}, {Old: -1, New: 6}}},
	"seven to four":       {7, []chainkey.Part{{Old: 6, New: 3}, {Old: 5, New: 2}, {Old: 3, New: 1}, {Old: 2, New: -1}, {Old: 0, New: 0}}},
	"one to four (local)": {1, []chainkey.Part{{Old: 0, New: 0}, {Old: -1, New: 1}, {Old: -1, New: 2}, {Old: -1, New: 3}}},
}

func TestReshare(t *testing.T) {
	for _, a := range algorithms {
		for name, h := range handovers {
			t.Run(fmt.Sprint(a, " ", name), func(t *testing.T) {
				old := shares(t, a, h.from)
				child, err := chainkey.Derive(a, old[0].PublicKey(), chain, path)
				if err != nil {
					t.Fatal(err)
				}
				fresh := reshared(t, a, old, h.parts)
				for i, s := range fresh {
					if i < len(old) && s.secret.add(old[i].secret.neg()).isZero() {
						t.Errorf("seat %d has the share it had", i)
					}
				}
				m := messages(a)[0]
				for _, committee := range committees(len(fresh)) {
					parts := signers(t, fresh, committee, m)
					if err := errors.Join(run(parts, nil)...); err != nil {
						t.Fatalf("committee %v: %v", committee, err)
					}
					sig, err := parts[0].Signature()
					if err != nil || chainkey.Verify(a, child.PublicKey, m, sig) != nil {
						t.Errorf("committee %v: %v", committee, err)
					}
				}
			})
		}
	}
}

// TestSharesOfTwoEpochsSignNothing: 2f members of the new epoch with a member of the old one sign nothing, whatever the old one claims to be.
func TestSharesOfTwoEpochsSignNothing(t *testing.T) {
	for _, a := range algorithms {
		old := shares(t, a, 4)
		fresh := reshared(t, a, old, handovers["same four"].parts)
		mixed := []*Share{fresh[0], fresh[1], old[2], fresh[3]}
		g := old[0].group
		for _, c := range []struct {
			committee []int
			whole     bool
		}{{[]int{0, 1, 2}, false}, {[]int{0, 1, 3}, true}, {[]int{1, 2, 3}, false}} {
			sum := g.number(0)
			for i, seat := range c.committee {
				sum = sum.add(mixed[seat].secret.mul(lagrange(g, c.committee, i)))
			}
			if got := g.base(sum).equal(old[0].public); got != c.whole {
				t.Errorf("%s: shares %v give the key: %v", a, c.committee, got)
			}
		}
		errs := run(signers(t, mixed, []int{0, 1, 2}, messages(a)[0]), nil)
		var m *chainkey.Misbehaviour
		if !errors.As(errs[0], &m) || !slices.Equal(m.Seats, []int{2}) {
			t.Errorf("%s: a share of the old epoch among new ones: %v", a, errs[0])
		}
	}
}

// TestReshareCheatersAreNamed has a dealer and a joiner say what they should not; the old shares sign afterwards, and the resharing succeeds without
// the dealer.
func TestReshareCheatersAreNamed(t *testing.T) {
	const dealer, joiner = 1, 4
	parts := []chainkey.Part{{Old: 0, New: 0}, {Old: 1, New: 1}, {Old: 2, New: 2}, {Old: -1, New: 3}, {Old: -1, New: 4}, {Old: -1, New: 5}, {Old: -1, New: 6}}
	say := func(from, to int, change func([]byte) []byte) alter {
		return func(_, f, t int, data []byte) []byte {
			if f == from && (t >= 0) == (to >= 0) && (to < 0 || t == to) {
				return change(data)
			}
			return data
		}
	}
	flip := func(at float64) func([]byte) []byte {
		return func(b []byte) []byte { b[int(at*float64(len(b)-1))] ^= 1; return b }
	}
	fixed := func(n int) func([]byte) []byte { return func([]byte) []byte { return make([]byte, n) } }
	for _, a := range algorithms {
		old := shares(t, a, 4)
		size := old[0].group.pointSize()
		another := func(b []byte) []byte { // a good polynomial of another constant term
			return append(bytes.Clone(b[size:2*size]), b[size:]...)
		}
		for name, c := range map[string]struct {
			change alter
			by     int
			seen   []int // nobody is named where nobody looks
		}{
			"nothing dealt":         {say(dealer, -1, fixed(0)), dealer, []int{0, 2, 3, 4, 5, 6}},
			"another constant":      {say(dealer, -1, another), dealer, []int{0, 2, 3, 4, 5, 6}},
			"commitment altered":    {say(dealer, -1, flip(0.9)), dealer, []int{0, 2, 3, 4, 5, 6}},
			"short vector":          {say(dealer, -1, func(b []byte) []byte { return b[:len(b)-size] }), dealer, []int{0, 2, 3, 4, 5, 6}},
			"long vector":           {say(dealer, -1, func(b []byte) []byte { return append(b, b[:size]...) }), dealer, []int{0, 2, 3, 4, 5, 6}},
			"zero commitments":      {say(dealer, -1, func(b []byte) []byte { return make([]byte, len(b)) }), dealer, []int{0, 2, 3, 4, 5, 6}},
			"value altered":         {say(dealer, 3, flip(0.5)), dealer, []int{3}},
			"no value":              {say(dealer, 3, fixed(0)), dealer, []int{3}},
			"value out of range":    {say(dealer, 3, func([]byte) []byte { return bytes.Repeat([]byte{0xff}, 32) }), dealer, []int{3}},
			"a joiner deals":        {say(joiner, -1, fixed(size)), joiner, []int{0, 1, 2, 3, 5, 6}},
			"a joiner sends values": {say(joiner, 0, fixed(32)), joiner, []int{0}},
		} {
			t.Run(fmt.Sprint(a, " ", name), func(t *testing.T) {
				rs := resharings(t, a, old, parts)
				change := c.change
				errs := run(rs, func(r, f, to int, data []byte) []byte {
					if l := rs[f].Limits(r); to < 0 && len(data) > l.Broadcast {
						return data // the session would have cut it; the protocol looks for itself
					}
					return change(r, f, to, data)
				})
				for _, seat := range c.seen {
					var m *chainkey.Misbehaviour
					if !errors.As(errs[seat], &m) || !slices.Equal(m.Seats, []int{c.by}) {
						t.Errorf("part %d says %v", seat, errs[seat])
					}
					if _, err := rs[seat].Share(); err == nil {
						t.Errorf("part %d has a share of a failed resharing", seat)
					}
				}
			})
		}
		if err := errors.Join(run(signers(t, old, []int{0, 1, 2}, messages(a)[0]), nil)...); err != nil {
			t.Errorf("%s: after failed resharings the old shares do not sign: %v", a, err)
		}
		without := []chainkey.Part{{Old: 0, New: 0}, {Old: -1, New: 1}, {Old: 2, New: 2}, {Old: 3, New: 3}}
		reshared(t, a, old, without)
	}
}

func TestReshareRefusals(t *testing.T) {
	a := chainkey.Ed25519
	old, other := shares(t, a, 4), shares(t, a, 4)
	good := chainkey.Reshare{Algorithm: a, Public: old[0].PublicKey(), Old: old[0].PublicShares(), Parts: handovers["same four"].parts, Threshold: 2,
		Share: old[0], Rand: rand.Reader}
	if _, err := NewResharing(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*chainkey.Reshare){
		"too few dealers": func(c *chainkey.Reshare) {
			c.Parts = []chainkey.Part{{Old: 0, New: 0}, {Old: 1, New: 1}, {Old: -1, New: 2}, {Old: -1, New: 3}}
		},
		"too many dealers": func(c *chainkey.Reshare) {
			c.Parts = []chainkey.Part{{Old: 0, New: 0}, {Old: 1, New: 1}, {Old: 2, New: 2}, {Old: 3, New: 3}}
		},
		"a dealer twice": func(c *chainkey.Reshare) {
			c.Parts = []chainkey.Part{{Old: 0, New: 0}, {Old: 1, New: 1}, {Old: 1, New: 2}, {Old: -1, New: 3}}
		},
		"a seat twice": func(c *chainkey.Reshare) {
			c.Parts = []chainkey.Part{{Old: 0, New: 0}, {Old: 1, New: 1}, {Old: -1, New: 1}, {Old: 3, New: 3}}
		},
		"a seat missing": func(c *chainkey.Reshare) {
			c.Parts = []chainkey.Part{{Old: 0, New: 0}, {Old: 1, New: 1}, {Old: -1, New: 4}, {Old: 3, New: 3}}
		},
		"an unknown dealer": func(c *chainkey.Reshare) {
			c.Parts = []chainkey.Part{{Old: 0, New: 0}, {Old: 1, New: 1}, {Old: -1, New: 2}, {Old: 4, New: 3}}
		},
		"nobody's part":         func(c *chainkey.Reshare) { c.Parts = append(slices.Clone(c.Parts), chainkey.Part{Old: -1, New: -1}) },
		"no such part":          func(c *chainkey.Reshare) { c.Seat = 4 },
		"no share":              func(c *chainkey.Reshare) { c.Share = nil },
		"another seat's share":  func(c *chainkey.Reshare) { c.Share = old[1] },
		"another key's share":   func(c *chainkey.Reshare) { c.Share = other[0] },
		"another key":           func(c *chainkey.Reshare) { c.Public = other[0].PublicKey() },
		"another key's shares":  func(c *chainkey.Reshare) { c.Old = other[0].PublicShares() },
		"a threshold too low":   func(c *chainkey.Reshare) { c.Threshold = 1 },
		"another algorithm":     func(c *chainkey.Reshare) { c.Algorithm = chainkey.Bip340Secp256k1 },
		"an impossible old set": func(c *chainkey.Reshare) { c.Old = c.Old[:3] },
	} {
		c := good
		change(&c)
		if _, err := NewResharing(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	rs := resharings(t, a, old, handovers["same four"].parts)
	if _, err := rs[0].Deliver(1, make([]chainkey.Input, 4)); err == nil {
		t.Error("a round before the start")
	}
	if _, err := rs[0].Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := rs[0].Start(); err == nil {
		t.Error("a second start")
	}
	if rs[0].Wipe(); rs[0].poly != nil {
		t.Error("wiping left a polynomial")
	}
	if _, err := rs[0].Deliver(1, make([]chainkey.Input, 4)); err == nil {
		t.Error("a round after wiping")
	}
}

// FuzzReshare feeds garbage to a member: nothing panics and no share comes out.
func FuzzReshare(f *testing.F) {
	f.Add(uint8(0), []byte{1}, []byte{2})
	f.Add(uint8(1), bytes.Repeat([]byte{2}, 99), make([]byte, 32))
	old := map[chainkey.Algorithm][]*Share{}
	for _, a := range algorithms {
		old[a] = shares(f, a, 4)
	}
	f.Fuzz(func(t *testing.T, kind uint8, broadcast, private []byte) {
		a := algorithms[kind&1]
		r := resharings(t, a, old[a], handovers["same four"].parts)[kind>>1&3]
		if _, err := r.Start(); err != nil {
			t.Fatal(err)
		}
		in := make([]chainkey.Input, 4)
		for i := range in {
			in[i] = chainkey.Input{Broadcast: broadcast, Private: private}
		}
		if _, err := r.Deliver(1, in); err == nil {
			t.Fatal("a share from garbage")
		}
	})
}
