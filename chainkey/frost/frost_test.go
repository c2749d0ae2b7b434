package frost

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"fusion/chainkey"
)

var algorithms = []chainkey.Algorithm{chainkey.Bip340Secp256k1, chainkey.Ed25519}

// alter changes what one member sends; to is -1 for the broadcast.
type alter func(round, from, to int, data []byte) []byte

// run moves whole rounds between protocols and returns what each made of it. When one fails the run stops.
func run[P chainkey.Protocol](protocols []P, change alter) []error {
	n := len(protocols)
	errs, outs := make([]error, n), make([]chainkey.Output, n)
	failed := func() bool { return slices.ContainsFunc(errs, func(e error) bool { return e != nil }) }
	for i, p := range protocols {
		outs[i], errs[i] = p.Start()
	}
	for round := 1; !failed() && !outs[0].Done; round++ {
		in := make([][]chainkey.Input, n)
		for to := range in {
			in[to] = make([]chainkey.Input, n)
			for from := range protocols {
				if from == to {
					continue
				}
				m := chainkey.Input{Broadcast: bytes.Clone(outs[from].Broadcast)}
				if outs[from].Private != nil {
					m.Private = bytes.Clone(outs[from].Private[to])
				}
				if change != nil {
					m.Broadcast = change(round, from, -1, m.Broadcast)
					m.Private = change(round, from, to, m.Private)
				}
				in[to][from] = m
			}
		}
		for i, p := range protocols {
			l := p.Limits(round)
			if len(outs[i].Broadcast) > l.Broadcast {
				panic(fmt.Sprintf("round %d: %d bytes, the limit is %d", round, len(outs[i].Broadcast), l.Broadcast))
			}
			outs[i], errs[i] = p.Deliver(round, in[i])
		}
	}
	return errs
}

func generators(t testing.TB, a chainkey.Algorithm, n int) []*Keygen {
	t.Helper()
	threshold, err := chainkey.Threshold(n)
	if err != nil {
		t.Fatal(err)
	}
	var out []*Keygen
	for seat := range n {
		k, err := NewKeygen(chainkey.Generate{Algorithm: a, Session: [32]byte{1, byte(n)}, Seat: seat, Seats: n, Threshold: threshold, Rand: rand.Reader})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, k)
	}
	return out
}

func shares(t testing.TB, a chainkey.Algorithm, n int) []*Share {
	t.Helper()
	ks := generators(t, a, n)
	if err := errors.Join(run(ks, nil)...); err != nil {
		t.Fatal(err)
	}
	var out []*Share
	for _, k := range ks {
		s, err := k.Share()
		if err != nil {
			t.Fatal(err)
		}
		k.Wipe()
		stored, err := DecodeShare(s.Encode())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, stored)
	}
	for _, s := range out[1:] {
		if !bytes.Equal(s.PublicKey(), out[0].PublicKey()) {
			t.Fatal("members have different keys")
		}
	}
	return out
}

var (
	path  = [][]byte{{1, 2, 3}, {}, []byte("path")}
	chain = [32]byte{5}
)

func signers(t testing.TB, ss []*Share, committee []int, m chainkey.Message) []*Signer {
	t.Helper()
	var out []*Signer
	for i, seat := range committee {
		s, err := NewSigner(chainkey.Sign{Session: [32]byte{2, byte(i >> 8)}, Share: ss[seat], Committee: committee, Seat: i, Path: path, ChainCode: chain,
			Message: m, Rand: rand.Reader})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

func messages(a chainkey.Algorithm) []chainkey.Message {
	out := []chainkey.Message{{Bytes: bytes.Repeat([]byte{3}, 32)}, {}, {Bytes: make([]byte, 5000)}}
	if a == chainkey.Bip340Secp256k1 {
		out = append(out, chainkey.Message{Bytes: make([]byte, 32), Taproot: true}, chainkey.Message{Bytes: make([]byte, 32), Taproot: true, MerkleRoot: make([]byte, 32)})
	}
	return out
}

// TestSign makes keys of several sizes and has every committee of four sign; all signatures verify under the derived key, by our own
// check and by that of independent libraries.
func TestSign(t *testing.T) {
	for _, a := range algorithms {
		for _, n := range []int{1, 4, 7} {
			ss := shares(t, a, n)
			child, err := chainkey.Derive(a, ss[0].PublicKey(), chain, path)
			if err != nil {
				t.Fatal(err)
			}
			for _, committee := range committees(n) {
				for _, m := range messages(a) {
					parts := signers(t, ss, committee, m)
					if err := errors.Join(run(parts, nil)...); err != nil {
						t.Fatalf("%s, committee %v: %v", a, committee, err)
					}
					first, _ := parts[0].Signature()
					for _, p := range parts {
						sig, err := p.Signature()
						if err != nil || sig != first {
							t.Fatalf("%s: members disagree: %x, %x, %v", a, sig, first, err)
						}
						p.Wipe()
					}
					if err := chainkey.Verify(a, child.PublicKey, m, first); err != nil {
						t.Errorf("%s, committee %v: %v", a, committee, err)
					}
					switch {
					case a == chainkey.Ed25519:
						if !ed25519.Verify(child.PublicKey, m.Bytes, first[:]) {
							t.Error("crypto/ed25519 refuses the signature")
						}
					case len(m.Bytes) == 32 && !m.Taproot:
						sig, err := schnorr.ParseSignature(first[:])
						if err != nil {
							t.Fatal(err)
						}
						key, err := schnorr.ParsePubKey(child.PublicKey[1:])
						if err != nil {
							t.Fatal(err)
						}
						if !sig.Verify(m.Bytes, key) {
							t.Error("btcec refuses the signature")
						}
					}
				}
			}
		}
	}
}

// committees are all of 2f+1 of 4 members, or one of larger groups.
func committees(n int) [][]int {
	if n == 4 {
		return [][]int{{0, 1, 2}, {0, 1, 3}, {0, 2, 3}, {1, 2, 3}}
	}
	threshold, _ := chainkey.Threshold(n)
	var c []int
	for i := range threshold + 1 {
		c = append(c, i+n-threshold-1)
	}
	return [][]int{c}
}

// TestTooFewSharesAreOfAnotherKey interpolates with one share less than it takes: another key comes out.
func TestTooFewSharesAreOfAnotherKey(t *testing.T) {
	for _, a := range algorithms {
		ss := shares(t, a, 4)
		for _, c := range []struct {
			committee []int
			whole     bool
		}{{[]int{0, 1, 2}, true}, {[]int{0, 1}, false}, {[]int{1, 3}, false}} {
			sum := ss[0].group.number(0)
			for i, seat := range c.committee {
				sum = sum.add(ss[seat].secret.mul(lagrange(ss[0].group, c.committee, i)))
			}
			if got := ss[0].group.base(sum).equal(ss[0].public); got != c.whole {
				t.Errorf("%s: shares %v give the key: %v", a, c.committee, got)
			}
		}
	}
}

// TestCheatersAreNamed alters each message of each round in each of its parts: whoever notices names the sender.
func TestCheatersAreNamed(t *testing.T) {
	const cheater = 1
	check := func(t *testing.T, errs []error) {
		t.Helper()
		noticed := 0
		for seat, err := range errs {
			if err == nil || seat == cheater {
				continue
			}
			noticed++
			var m *chainkey.Misbehaviour
			if !errors.As(err, &m) || !slices.Equal(m.Seats, []int{cheater}) {
				t.Errorf("seat %d says %v", seat, err)
			}
		}
		if noticed == 0 {
			t.Error("nobody noticed")
		}
	}
	flip := func(round int, private bool, at float64) alter {
		return func(r, from, to int, data []byte) []byte {
			if r == round && from == cheater && private == (to >= 0) && len(data) > 0 {
				data[int(at*float64(len(data)-1))] ^= 1
			}
			return data
		}
	}
	cut := func(round int, private bool) alter {
		return func(r, from, to int, data []byte) []byte {
			if r == round && from == cheater && private == (to >= 0) && len(data) > 0 {
				return data[1:]
			}
			return data
		}
	}
	for _, a := range algorithms {
		changes := map[string]alter{"short hash": cut(1, false), "other hash": flip(1, false, 0.5), "short reveal": cut(2, false), "short value": cut(2, true),
			"other value": flip(2, true, 0.5)}
		for _, at := range []float64{0, 0.1, 0.3, 0.5, 0.7, 0.9, 1} {
			changes[fmt.Sprint("reveal altered at ", at)] = flip(2, false, at)
		}
		for name, change := range changes {
			t.Run(fmt.Sprintf("%s keygen %s", a, name), func(t *testing.T) { check(t, run(generators(t, a, 4), change)) })
		}
		// A member that commits to what it reveals, and reveals what does not hold.
		for name, spoil := range map[string]func(k *Keygen){
			"proof of another constant": func(k *Keygen) { k.reveal[len(k.reveal)-3] ^= 4 },
			"another polynomial": func(k *Keygen) {
				k.poly[1] = k.poly[1].add(k.group.number(1))
			},
			"proof of another seat": func(k *Keygen) {
				nonce, z := k.group.number(77), scalar(nil)
				size := k.group.pointSize()
				points := k.reveal[:(k.threshold+1)*size]
				r := k.group.base(nonce).bytes()
				z = nonce.add(k.poly[0].mul(k.proofChallenge(k.seat+1, points, r)))
				k.reveal = append(append(bytes.Clone(points), r...), z.bytes()...)
			},
		} {
			t.Run(fmt.Sprintf("%s keygen %s", a, name), func(t *testing.T) {
				ks := generators(t, a, 4)
				spoilt := map[int]bool{}
				check(t, run(ks, func(r, from, to int, data []byte) []byte {
					if from != cheater {
						return data
					}
					if !spoilt[0] {
						spoilt[0] = true
						spoil(ks[cheater])
					}
					switch {
					case r == 1 && to < 0:
						return ks[cheater].commit(cheater, ks[cheater].reveal)
					case r == 2 && to < 0:
						return bytes.Clone(ks[cheater].reveal)
					case r == 2:
						v := ks[cheater].value(to)
						return v.bytes()
					}
					return data
				}))
			})
		}
		ss := shares(t, a, 4)
		m := messages(a)[0]
		for name, change := range map[string]alter{"short nonces": cut(1, false), "short share": cut(2, false), "other share": flip(2, false, 0.5),
			"share out of range": func(r, from, to int, data []byte) []byte {
				if r == 2 && from == cheater && to < 0 {
					return bytes.Repeat([]byte{0xff}, len(data))
				}
				return data
			},
			"private where there is none": func(r, from, to int, data []byte) []byte {
				if r == 1 && from == cheater && to >= 0 {
					return []byte{1}
				}
				return data
			}} {
			t.Run(fmt.Sprintf("%s sign %s", a, name), func(t *testing.T) { check(t, run(signers(t, ss, []int{0, 1, 3}, m), change)) })
		}
		t.Run(fmt.Sprintf("%s sign with another share", a), func(t *testing.T) {
			parts := signers(t, ss, []int{0, 1, 3}, m)
			parts[cheater].secret = parts[cheater].secret.add(ss[0].group.number(1))
			check(t, run(parts, nil))
		})
	}
}

// TestNoncesServeOnce delivers a round twice, and starts twice: there is one answer.
func TestNoncesServeOnce(t *testing.T) {
	for _, a := range algorithms {
		ss := shares(t, a, 4)
		parts := signers(t, ss, []int{0, 1, 2}, messages(a)[0])
		var outs []chainkey.Output
		for _, p := range parts {
			out, err := p.Start()
			if err != nil {
				t.Fatal(err)
			}
			outs = append(outs, out)
		}
		if _, err := parts[0].Start(); err == nil {
			t.Error("a second start")
		}
		in := []chainkey.Input{{}, {Broadcast: outs[1].Broadcast}, {Broadcast: outs[2].Broadcast}}
		if _, err := parts[0].Deliver(1, in); err != nil {
			t.Fatal(err)
		}
		if parts[0].d != nil || parts[0].e != nil {
			t.Error("the nonces are still there")
		}
		if _, err := parts[0].Deliver(1, in); err == nil {
			t.Error("a second answer to the same nonces")
		}
		if _, err := parts[1].Deliver(1, in[:2]); err == nil {
			t.Error("an answer to a part of the committee")
		}
		if parts[1].Wipe(); parts[1].d != nil {
			t.Error("wiped nonces are still there")
		}
		if _, err := parts[1].Deliver(1, in); err == nil {
			t.Error("an answer after wiping")
		}
	}
}

func TestRefusals(t *testing.T) {
	ss := shares(t, chainkey.Ed25519, 4)
	ok := chainkey.Sign{Share: ss[1], Committee: []int{0, 1, 2}, Seat: 1, Rand: rand.Reader}
	for name, change := range map[string]func(*chainkey.Sign){
		"too few":      func(c *chainkey.Sign) { c.Committee = []int{0, 1} },
		"too many":     func(c *chainkey.Sign) { c.Committee = []int{0, 1, 2, 3} },
		"twice":        func(c *chainkey.Sign) { c.Committee = []int{1, 1, 2} },
		"not sorted":   func(c *chainkey.Sign) { c.Committee = []int{2, 1, 0} },
		"unknown seat": func(c *chainkey.Sign) { c.Committee = []int{0, 1, 4} },
		"another seat": func(c *chainkey.Sign) { c.Seat = 2 },
		"taproot":      func(c *chainkey.Sign) { c.Message.Taproot = true },
		"long path":    func(c *chainkey.Sign) { c.Path = make([][]byte, 300) },
	} {
		c := ok
		change(&c)
		if _, err := NewSigner(c); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if _, err := NewSigner(ok); err != nil {
		t.Error(err)
	}
	for _, g := range []chainkey.Generate{{Algorithm: chainkey.EcdsaSecp256k1, Seats: 4, Threshold: 2}, {Algorithm: chainkey.Ed25519, Seats: 3, Threshold: 1},
		{Algorithm: chainkey.Ed25519, Seats: 4, Threshold: 1}, {Algorithm: chainkey.Ed25519, Seats: 4, Threshold: 2, Seat: 4}} {
		if _, err := NewKeygen(g); err == nil {
			t.Errorf("%+v was accepted", g)
		}
	}
}

func TestShareKeepsItsSecret(t *testing.T) {
	for _, a := range algorithms {
		s := shares(t, a, 4)[2]
		js, err := json.Marshal(map[string]any{"share": s})
		if err != nil {
			t.Fatal(err)
		}
		secret := fmt.Sprintf("%x", s.secret.bytes())
		for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%+v %#v %x %d", s, s, s, s), string(js)} {
			if strings.Contains(text, secret) || !strings.Contains(text, "share of seat 2 of 4") {
				t.Errorf("a share prints as %s", text)
			}
		}
		good := s.Encode()
		for at := range good {
			bad := bytes.Clone(good)
			bad[at] ^= 1
			if _, err := DecodeShare(bad); err == nil {
				t.Errorf("%s: a share altered at byte %d of %d is accepted", a, at, len(good))
			} else if !errors.Is(err, ErrShare) {
				t.Error(err)
			}
		}
	}
}

// FuzzDeliver feeds garbage to both rounds of both protocols: nothing panics, nothing is signed.
func FuzzDeliver(f *testing.F) {
	f.Add(uint8(0), []byte{1}, []byte{2})
	f.Add(uint8(3), bytes.Repeat([]byte{2}, 66), []byte{})
	f.Add(uint8(5), make([]byte, 64), make([]byte, 32))
	ss := map[chainkey.Algorithm][]*Share{}
	for _, a := range algorithms {
		ss[a] = shares(f, a, 4)
	}
	f.Fuzz(func(t *testing.T, kind uint8, broadcast, private []byte) {
		a := algorithms[kind&1]
		in := func(n int) []chainkey.Input {
			out := make([]chainkey.Input, n)
			for i := range out {
				out[i] = chainkey.Input{Broadcast: broadcast, Private: private}
			}
			return out
		}
		if kind&2 != 0 {
			k := generators(t, a, 4)[0]
			if _, err := k.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := k.Deliver(1, in(4)); err == nil {
				if _, err := k.Deliver(2, in(4)); err == nil {
					t.Fatal("a key from garbage")
				}
			}
			return
		}
		s := signers(t, ss[a], []int{0, 1, 2}, messages(a)[0])[0]
		if _, err := s.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Deliver(1, in(3)); err == nil {
			if _, err := s.Deliver(2, in(3)); err == nil {
				t.Fatal("a signature from garbage")
			}
		}
	})
}

// FuzzDecodeShare reads arbitrary bytes.
func FuzzDecodeShare(f *testing.F) {
	for _, a := range algorithms {
		f.Add([]byte(shares(f, a, 4)[0].Encode()))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := DecodeShare(b); err == nil {
			if again := s.Encode(); !bytes.Equal(again, b) {
				t.Errorf("%x reads as %x", b, []byte(again))
			}
		}
	})
}

// BenchmarkSign is one member's part in a signature of 3 of 4.
func BenchmarkSign(b *testing.B) {
	for _, a := range algorithms {
		ss := shares(b, a, 4)
		b.Run(string(a), func(b *testing.B) {
			for range b.N {
				parts := signers(b, ss, []int{0, 1, 2}, messages(a)[0])
				if err := errors.Join(run(parts, nil)...); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(3*b.N), "µs/member")
		})
	}
}
