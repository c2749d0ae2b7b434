package gg18

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/bnb-chain/tss-lib/v2/common"
	"github.com/bnb-chain/tss-lib/v2/ecdsa/keygen"
	"github.com/bnb-chain/tss-lib/v2/tss"

	"fusion/chainkey"
)

// The published attacks on threshold ECDSA of this family, each mounted against a real run of our ceremony; docs/threat-model.md lists them.

// tempt tells member 0 of a run, before each message that member 1 really sends it, all lies about that message. The filter of the run must
// refuse each for the reason that the lie names, and the run goes on as if nothing had been said.
func tempt(t *testing.T, phase string, filterOf func() *filter) (change alter, told func() int) {
	var mu sync.Mutex
	said := map[string]bool{} // broadcasts are asked for once for each receiver
	return func(r, from, to int, data []byte) []byte {
		kind := fmt.Sprintf("%s %d", phase, r)
		if to >= 0 {
			kind += " private"
		}
		if from != 1 || to > 0 || len(data) == 0 {
			return data
		}
		mu.Lock()
		defer mu.Unlock()
		f := filterOf()
		for _, l := range lies() {
			if l.kind != kind || said[kind+l.name] {
				continue
			}
			scratch := *f // what a lie makes the filter remember is forgotten
			honest, err := scratch.check(kind, data)
			if err != nil {
				t.Errorf("%s: the honest message is refused: %v", kind, err)
				break
			}
			scratch = *f
			if _, err := scratch.check(kind, l.told(t, honest, f)); err == nil || !strings.Contains(err.Error(), l.want) {
				t.Errorf("%s, %s: verdict %v, want %q", kind, l.name, err, l.want)
			}
			said[kind+l.name] = true
		}
		return data
	}, func() int { return len(said) }
}

// mount runs a ceremony in which every lie of a kind is told, and which comes to its end in spite of them.
func mount[P chainkey.Protocol](t *testing.T, kind string, all []P, judge func() *filter) {
	t.Helper()
	change, told := tempt(t, kind, judge)
	for seat, err := range run(all, change) {
		if err != nil {
			t.Fatalf("seat %d: %v", seat, err)
		}
	}
	want := 0
	for _, l := range lies() {
		if strings.HasPrefix(l.kind, kind+" ") {
			want++
		}
	}
	if told() != want {
		t.Errorf("%d lies were told, %d exist", told(), want)
	}
}

// TestAttacksInASignature mounts the attacks on signing in one real signature, which is made in spite of them.
func TestAttacksInASignature(t *testing.T) {
	all := signers(t, golden(t), []int{0, 1, 2}, [32]byte{77}, sha256.Sum256([]byte("attacked")))
	mount(t, "sign", all, func() *filter { return all[0].filters[1] })
	if _, err := all[0].Signature(); err != nil {
		t.Error(err)
	}
}

func e2e(t *testing.T) {
	t.Helper()
	if os.Getenv("FUSION_E2E") == "" {
		t.Skip("half a minute of CPU time; part of make e2e")
	}
}

// TestAttacksInAKeyGeneration mounts the attacks on key generation in a real one.
func TestAttacksInAKeyGeneration(t *testing.T) {
	e2e(t)
	all := generators(t, [32]byte{78})
	mount(t, "keygen", all, func() *filter { return all[0].filters[1] })
}

// TestForgedParameters: messages that have the right form, so that only the proofs can give them away. Member 1 forges, and is named.
func TestForgedParameters(t *testing.T) {
	e2e(t)
	repack := func(kind string, data []byte, change func(m tss.MessageContent)) []byte {
		f := newFilter(t, kind)
		f.foreign = nil
		honest, err := f.check(kind, data)
		if err != nil {
			t.Fatal(err)
		}
		return lie{kind: kind, change: func(m tss.MessageContent, _ *filter) { change(m) }}.told(t, honest, f)
	}
	for name, c := range map[string]struct {
		round, to int
		kind      string
		change    func(m tss.MessageContent)
	}{
		"h1 of another group than h2 (CVE-2020-12118)": {1, -1, "keygen 1", func(m tss.MessageContent) {
			k := m.(*keygen.KGRound1Message)
			n := new(big.Int).SetBytes(k.NTilde)
			h := new(big.Int).Exp(big.NewInt(5), big.NewInt(65538), n) // a square, of which nobody knows the logarithm
			k.H1 = h.Bytes()
		}},
		"another modulus than the proof's (BitForge)": {2, -1, "keygen 2", func(m tss.MessageContent) {
			k := m.(*keygen.KGRound2Message2)
			k.ModProof[3], k.ModProof[4] = k.ModProof[4], k.ModProof[3]
		}},
		"factor proof of another modulus": {2, 0, "keygen 2 private", func(m tss.MessageContent) {
			k := m.(*keygen.KGRound2Message1)
			k.FacProof[2], k.FacProof[3] = k.FacProof[3], k.FacProof[2]
		}},
		"share that is not on the polynomial": {2, 0, "keygen 2 private", func(m tss.MessageContent) {
			k := m.(*keygen.KGRound2Message1)
			k.Share[len(k.Share)-1] ^= 1
		}},
	} {
		t.Run(name, func(t *testing.T) {
			errs := run(generators(t, sha256.Sum256([]byte(name))), func(r, from, to int, data []byte) []byte {
				if from == 1 && r == c.round && to == c.to {
					return repack(c.kind, data, c.change)
				}
				return data
			})
			var m *chainkey.Misbehaviour
			if !errors.As(errs[0], &m) || fmt.Sprint(m.Seats) != "[1]" {
				t.Errorf("verdict: %v", errs[0])
			}
		})
	}
}

// TestAlphaShuffle: the proofs' hash once joined numbers by a delimiter that may stand within a number, so that a prover could move bytes from
// one commitment of a proof to the next, and shuffle them, under one challenge (TSSHOCK). The library's hash of today tells the two apart.
func TestAlphaShuffle(t *testing.T) {
	a, b := []byte{1, '$', 2}, []byte{3}
	c, d := []byte{1}, []byte{2, '$', 3}
	if bytes.Equal(bytes.Join([][]byte{a, b}, []byte("$")), bytes.Join([][]byte{c, d}, []byte("$"))) != true {
		t.Fatal("the two lists do not collide under the old encoding: the test tests nothing")
	}
	n := func(b []byte) *big.Int { return new(big.Int).SetBytes(b) }
	for name, hash := range map[string]func(x, y *big.Int) *big.Int{
		"untagged": func(x, y *big.Int) *big.Int { return common.SHA512_256i(x, y) },
		"tagged":   func(x, y *big.Int) *big.Int { return common.SHA512_256i_TAGGED([]byte("session"), x, y) },
	} {
		if hash(n(a), n(b)).Cmp(hash(n(c), n(d))) == 0 {
			t.Errorf("%s: two lists of numbers have one hash", name)
		}
	}
	if bytes.Equal(common.SHA512_256(a, b), common.SHA512_256(c, d)) {
		t.Error("two lists of strings have one hash")
	}
	if common.SHA512_256i_TAGGED([]byte("session 1"), n(a)).Cmp(common.SHA512_256i_TAGGED([]byte("session 2"), n(a))) == 0 {
		t.Error("the tag does not count")
	}
}
