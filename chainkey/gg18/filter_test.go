package gg18

import (
	"bytes"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bnb-chain/tss-lib/v2/ecdsa/keygen"
	"github.com/bnb-chain/tss-lib/v2/ecdsa/signing"
	"github.com/bnb-chain/tss-lib/v2/tss"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"fusion/chainkey/gg18/localparams"
)

// recorded are messages of member 1 to member 0, from the runs that made the golden shares.
var recorded = map[string]string{
	"keygen 1": "keygen-1-broadcast", "keygen 2": "keygen-2-broadcast", "keygen 2 private": "keygen-2-private", "keygen 3": "keygen-3-broadcast",
	"sign 1": "sign-1-broadcast", "sign 1 private": "sign-1-private", "sign 2 private": "sign-2-private", "sign 3": "sign-3-broadcast",
	"sign 4": "sign-4-broadcast", "sign 5": "sign-5-broadcast", "sign 6": "sign-6-broadcast", "sign 7": "sign-7-broadcast",
	"sign 8": "sign-8-broadcast", "sign 9": "sign-9-broadcast",
}

func message(t testing.TB, kind string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", recorded[kind]+".bin"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// newFilter is member 0's filter for member 1, for a message of the given kind.
func newFilter(t testing.TB, kind string) *filter {
	t.Helper()
	a, err := localparams.Get(0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := localparams.Get(1)
	if err != nil {
		t.Fatal(err)
	}
	f := &filter{threshold: 2, myN: a.Paillier(), myNT: a.NTilde(), foreign: []*big.Int{a.Paillier(), a.NTilde()}}
	if kind != "keygen 1" {
		f.n, f.ntilde = b.Paillier(), b.NTilde()
	}
	return f
}

func TestFilterAcceptsHonestMessages(t *testing.T) {
	for kind := range recorded {
		if _, err := newFilter(t, kind).check(kind, message(t, kind)); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestFilterRefusesOtherRounds(t *testing.T) {
	for kind := range recorded {
		for other := range recorded {
			if recorded[other] != recorded[kind] {
				if _, err := newFilter(t, kind).check(kind, message(t, other)); err == nil {
					t.Errorf("%s was accepted as %s", other, kind)
				}
			}
		}
	}
	if _, err := newFilter(t, "x").check("sign 2", message(t, "sign 3")); err == nil {
		t.Error("a message that does not exist was accepted")
	}
}

// lie changes one field of a recorded message. Its name says what the attack is.
type lie struct {
	kind, name, want string
	change           func(m tss.MessageContent, f *filter)
}

// lies are the attacks that one message carries, those of the advisories about this family of protocols among them.
var lies = sync.OnceValue(func() []lie {
	q := order.Bytes()
	twice := new(big.Int).Lsh(order, 1).Bytes()
	k1 := func(c func(m *keygen.KGRound1Message, f *filter)) func(tss.MessageContent, *filter) {
		return func(m tss.MessageContent, f *filter) { c(m.(*keygen.KGRound1Message), f) }
	}
	k2 := func(c func(m *keygen.KGRound2Message2, f *filter)) func(tss.MessageContent, *filter) {
		return func(m tss.MessageContent, f *filter) { c(m.(*keygen.KGRound2Message2), f) }
	}
	k2p := func(c func(m *keygen.KGRound2Message1, f *filter)) func(tss.MessageContent, *filter) {
		return func(m tss.MessageContent, f *filter) { c(m.(*keygen.KGRound2Message1), f) }
	}
	s1 := func(c func(m *signing.SignRound1Message1, f *filter)) func(tss.MessageContent, *filter) {
		return func(m tss.MessageContent, f *filter) { c(m.(*signing.SignRound1Message1), f) }
	}
	s2 := func(c func(m *signing.SignRound2Message, f *filter)) func(tss.MessageContent, *filter) {
		return func(m tss.MessageContent, f *filter) { c(m.(*signing.SignRound2Message), f) }
	}
	even := func(b []byte) []byte { b = bytes.Clone(b); b[len(b)-1] &^= 1; return b }
	prime, _ := new(big.Int).SetString("1"+strings.Repeat("0", 512), 16)
	for prime.Rsh(prime, 1).SetBit(prime, 0, 1); !prime.ProbablyPrime(1); prime.Add(prime, big.NewInt(2)) {
		// the first prime above 2^2047
	}
	smooth := func(bits int) *big.Int { // a product of sixteen primes of 16 bits and a large prime, exactly as long as asked for
		n := big.NewInt(1)
		for p := big.NewInt(60_001); n.BitLen() < 250; p.Add(p, big.NewInt(2)) {
			if p.ProbablyPrime(20) {
				n.Mul(n, p)
			}
		}
		large := new(big.Int).Lsh(big.NewInt(3), uint(bits-2))
		large.Div(large, n)
		for large.SetBit(large, 0, 1); !large.ProbablyPrime(1); large.Add(large, big.NewInt(2)) {
			// the next prime
		}
		n.Mul(n, large)
		if n.BitLen() != bits {
			panic(fmt.Sprintf("a modulus of %d bits", n.BitLen()))
		}
		return n
	}(modulusBits)
	return []lie{
		{"keygen 1", "Paillier modulus with sixteen small factors (BitForge)", "small factor", k1(func(m *keygen.KGRound1Message, _ *filter) { m.PaillierN = smooth.Bytes() })},
		{"keygen 1", "NTilde with sixteen small factors", "small factor", k1(func(m *keygen.KGRound1Message, _ *filter) { m.NTilde = smooth.Bytes() })},
		{"keygen 1", "h2 of order two (crafted h1, h2)", "root of 1", k1(func(m *keygen.KGRound1Message, _ *filter) {
			n := new(big.Int).SetBytes(m.NTilde)
			m.H2 = n.Sub(n, big.NewInt(1)).Bytes()
		})},
		{"keygen 1", "h2 = 1 (crafted h1, h2)", "h2 is out of range", k1(func(m *keygen.KGRound1Message, _ *filter) { m.H2 = []byte{1} })},
		{"keygen 1", "h1 that is no square (crafted h1, h2)", "square", k1(func(m *keygen.KGRound1Message, f *filter) {
			n, h := new(big.Int).SetBytes(m.NTilde), big.NewInt(2)
			for big.Jacobi(h, n) != -1 {
				h.Add(h, big.NewInt(1))
			}
			m.H1 = h.Bytes()
		})},
		{"keygen 1", "one iteration of a proof, whose challenge can be guessed (TSSHOCK, c-guess)", "shape", k1(func(m *keygen.KGRound1Message, _ *filter) {
			m.Dlnproof_1[0] = []byte{1}
		})},
		{"keygen 1", "short Paillier modulus", "bits", k1(func(m *keygen.KGRound1Message, _ *filter) { m.PaillierN = m.PaillierN[:128] })},
		{"keygen 1", "long Paillier modulus", "bits", k1(func(m *keygen.KGRound1Message, _ *filter) { m.PaillierN = append(m.PaillierN, 1) })},
		{"keygen 1", "even Paillier modulus", "even", k1(func(m *keygen.KGRound1Message, _ *filter) { m.PaillierN = even(m.PaillierN) })},
		{"keygen 1", "prime Paillier modulus", "prime", k1(func(m *keygen.KGRound1Message, _ *filter) { m.PaillierN = prime.Bytes() })},
		{"keygen 1", "copied Paillier modulus", "shares a factor", k1(func(m *keygen.KGRound1Message, f *filter) { m.PaillierN = f.myN.Bytes() })},
		{"keygen 1", "Paillier modulus = NTilde", "shares a factor", k1(func(m *keygen.KGRound1Message, _ *filter) { m.NTilde = m.PaillierN })},
		{"keygen 1", "padded Paillier modulus", "canonical", k1(func(m *keygen.KGRound1Message, _ *filter) { m.PaillierN = append([]byte{0}, m.PaillierN...) })},
		{"keygen 1", "even NTilde", "even", k1(func(m *keygen.KGRound1Message, _ *filter) { m.NTilde = even(m.NTilde) })},
		{"keygen 1", "prime NTilde", "prime", k1(func(m *keygen.KGRound1Message, _ *filter) { m.NTilde = prime.Bytes() })},
		{"keygen 1", "h1 = 1", "h1 is out of range", k1(func(m *keygen.KGRound1Message, _ *filter) { m.H1 = []byte{1} })},
		{"keygen 1", "h1 = h2", "equal", k1(func(m *keygen.KGRound1Message, _ *filter) { m.H1 = m.H2 })},
		{"keygen 1", "h1 = NTilde-1", "root of 1", k1(func(m *keygen.KGRound1Message, f *filter) {
			n := new(big.Int).SetBytes(m.NTilde)
			m.H1 = n.Sub(n, big.NewInt(1)).Bytes() // its Jacobi symbol is 1, since both primes are 3 modulo 4
		})},
		{"keygen 1", "h1 = 1/h2", "inverse", k1(func(m *keygen.KGRound1Message, _ *filter) {
			m.H1 = new(big.Int).ModInverse(new(big.Int).SetBytes(m.H2), new(big.Int).SetBytes(m.NTilde)).Bytes()
		})},
		{"keygen 1", "h1 above NTilde", "out of range", k1(func(m *keygen.KGRound1Message, _ *filter) { m.H1 = bytes.Repeat([]byte{255}, 256) })},
		{"keygen 1", "commitment of 33 bytes", "bits", k1(func(m *keygen.KGRound1Message, _ *filter) { m.Commitment = bytes.Repeat([]byte{1}, 33) })},
		{"keygen 1", "negative count in a proof", "shape", k1(func(m *keygen.KGRound1Message, _ *filter) { m.Dlnproof_1[0] = bytes.Repeat([]byte{255}, 8) })},
		{"keygen 1", "trivial proof", "out of range", k1(func(m *keygen.KGRound1Message, _ *filter) { m.Dlnproof_2[5] = []byte{1} })},
		{"keygen 1", "a proof element of a megabyte", "canonical", k1(func(m *keygen.KGRound1Message, _ *filter) { m.Dlnproof_1[9] = bytes.Repeat([]byte{1}, 1<<20) })},
		{"keygen 1", "a proof one element short", "missing", k1(func(m *keygen.KGRound1Message, _ *filter) { m.Dlnproof_1 = m.Dlnproof_1[1:] })},

		{"keygen 2", "short polynomial (#291)", "opens to", k2(func(m *keygen.KGRound2Message2, _ *filter) { m.DeCommitment = m.DeCommitment[:5] })},
		{"keygen 2", "long polynomial (#291)", "opens to", k2(func(m *keygen.KGRound2Message2, _ *filter) {
			m.DeCommitment = append(m.DeCommitment, m.DeCommitment[1:3]...)
		})},
		{"keygen 2", "odd polynomial", "opens to", k2(func(m *keygen.KGRound2Message2, _ *filter) { m.DeCommitment = m.DeCommitment[:6] })},
		{"keygen 2", "point off the curve", "curve", k2(func(m *keygen.KGRound2Message2, _ *filter) { m.DeCommitment[1][0] ^= 1 })},
		{"keygen 2", "coordinate above p", "out of range", k2(func(m *keygen.KGRound2Message2, _ *filter) { m.DeCommitment[1] = bytes.Repeat([]byte{255}, 32) })},
		{"keygen 2", "no modulus proof (BitForge)", "parts", k2(func(m *keygen.KGRound2Message2, _ *filter) { m.ModProof = nil })},
		{"keygen 2", "zero proof, as if proofs were off", "canonical", k2(func(m *keygen.KGRound2Message2, _ *filter) {
			for i := range m.ModProof {
				m.ModProof[i] = nil
			}
		})},
		{"keygen 2", "W with Jacobi symbol 1", "Jacobi", k2(func(m *keygen.KGRound2Message2, _ *filter) { m.ModProof[0] = []byte{4} })},
		{"keygen 2", "W with Jacobi symbol 0 (#323)", "Jacobi", k2(func(m *keygen.KGRound2Message2, f *filter) {
			b, _ := localparams.Get(1)
			m.ModProof[0] = b.PaillierP.Bytes()
		})},
		{"keygen 2", "a root that is no unit (#323)", "unit", k2(func(m *keygen.KGRound2Message2, f *filter) {
			b, _ := localparams.Get(1)
			m.ModProof[7] = b.PaillierQ.Bytes()
		})},
		{"keygen 2", "short bit vector", "bit vector", k2(func(m *keygen.KGRound2Message2, _ *filter) { m.ModProof[81] = []byte{1} })},

		{"keygen 2 private", "share of zero", "canonical", k2p(func(m *keygen.KGRound2Message1, _ *filter) { m.Share = []byte{0} })},
		{"keygen 2 private", "share of the order", "out of range", k2p(func(m *keygen.KGRound2Message1, _ *filter) { m.Share = q })},
		{"keygen 2 private", "no factor proof", "parts", k2p(func(m *keygen.KGRound2Message1, _ *filter) { m.FacProof = nil })},
		{"keygen 2 private", "trivial factor proof", "out of range", k2p(func(m *keygen.KGRound2Message1, _ *filter) { m.FacProof[0] = []byte{1} })},
		{"keygen 2 private", "factor proof that is no unit", "unit", k2p(func(m *keygen.KGRound2Message1, _ *filter) {
			a, _ := localparams.Get(0)
			m.FacProof[1] = new(big.Int).SetBit(new(big.Int).Lsh(a.P, 1), 0, 1).Bytes()
		})},
		{"keygen 2 private", "huge response", "bits", k2p(func(m *keygen.KGRound2Message1, _ *filter) { m.FacProof[6] = bytes.Repeat([]byte{1}, 300) })},
		{"keygen 3", "trivial proof", "out of range", func(m tss.MessageContent, _ *filter) { m.(*keygen.KGRound3Message).PaillierProof[3] = []byte{1} }},
		{"keygen 3", "short proof", "missing", func(m tss.MessageContent, _ *filter) {
			m.(*keygen.KGRound3Message).PaillierProof = m.(*keygen.KGRound3Message).PaillierProof[1:]
		}},

		{"sign 1 private", "ciphertext 1 (#289)", "out of range", s1(func(m *signing.SignRound1Message1, _ *filter) { m.C = []byte{1} })},
		{"sign 1 private", "ciphertext that is no unit", "unit", s1(func(m *signing.SignRound1Message1, f *filter) { m.C = f.n.Bytes() })},
		{"sign 1 private", "ciphertext above N²", "out of range", s1(func(m *signing.SignRound1Message1, f *filter) { m.C = new(big.Int).Mul(f.n, f.n).Bytes() })},
		{"sign 1 private", "alpha-shuffle: all ones (#289)", "out of range", s1(func(m *signing.SignRound1Message1, _ *filter) {
			for _, i := range []int{0, 1, 2, 3} {
				m.RangeProofAlice[i] = []byte{1}
			}
		})},
		{"sign 1 private", "s1 below the order", "out of range", s1(func(m *signing.SignRound1Message1, _ *filter) { m.RangeProofAlice[4] = []byte{1} })},
		{"sign 1 private", "s1 above q³", "out of range", s1(func(m *signing.SignRound1Message1, _ *filter) { m.RangeProofAlice[4] = bytes.Repeat([]byte{255}, 97) })},
		{"sign 1 private", "huge s2", "bits", s1(func(m *signing.SignRound1Message1, _ *filter) { m.RangeProofAlice[5] = bytes.Repeat([]byte{255}, 400) })},
		{"sign 1 private", "short proof", "missing", s1(func(m *signing.SignRound1Message1, _ *filter) { m.RangeProofAlice = m.RangeProofAlice[:5] })},
		{"sign 2 private", "result 1 (#289)", "out of range", s2(func(m *signing.SignRound2Message, _ *filter) { m.C1 = []byte{1} })},
		{"sign 2 private", "result that is no unit", "unit", s2(func(m *signing.SignRound2Message, f *filter) { m.C2 = f.myN.Bytes() })},
		{"sign 2 private", "trivial proof (#289)", "out of range", s2(func(m *signing.SignRound2Message, _ *filter) { m.ProofBob[3] = []byte{1} })},
		{"sign 2 private", "response 2q panics at infinity", "multiple", s2(func(m *signing.SignRound2Message, _ *filter) { m.ProofBobWc[6] = twice })},
		{"sign 2 private", "t1 above q⁷", "out of range", s2(func(m *signing.SignRound2Message, _ *filter) { m.ProofBob[8] = bytes.Repeat([]byte{255}, 225) })},
		{"sign 2 private", "U off the curve", "curve", s2(func(m *signing.SignRound2Message, _ *filter) { m.ProofBobWc[10][0] ^= 1 })},
		{"sign 2 private", "proofs swapped", "missing", s2(func(m *signing.SignRound2Message, _ *filter) { m.ProofBob, m.ProofBobWc = m.ProofBobWc, m.ProofBob })},
		{"sign 3", "delta of the order", "out of range", func(m tss.MessageContent, _ *filter) { m.(*signing.SignRound3Message).Theta = q }},
		{"sign 4", "response of zero panics", "canonical", func(m tss.MessageContent, _ *filter) { m.(*signing.SignRound4Message).ProofT = []byte{0} }},
		{"sign 4", "response of the order panics", "out of range", func(m tss.MessageContent, _ *filter) { m.(*signing.SignRound4Message).ProofT = q }},
		{"sign 4", "commitment off the curve", "curve", func(m tss.MessageContent, _ *filter) { m.(*signing.SignRound4Message).ProofAlphaX[31] ^= 1 }},
		{"sign 5", "long commitment", "bits", func(m tss.MessageContent, _ *filter) {
			m.(*signing.SignRound5Message).Commitment = bytes.Repeat([]byte{1}, 40)
		}},
		{"sign 6", "five numbers too many", "missing", func(m tss.MessageContent, _ *filter) {
			m.(*signing.SignRound6Message).DeCommitment = append(m.(*signing.SignRound6Message).DeCommitment, []byte{1})
		}},
		{"sign 6", "zero response", "canonical", func(m tss.MessageContent, _ *filter) { m.(*signing.SignRound6Message).VProofU = []byte{0} }},
		{"sign 8", "U off the curve", "curve", func(m tss.MessageContent, _ *filter) { m.(*signing.SignRound8Message).DeCommitment[1][0] ^= 1 }},
		{"sign 9", "share of the order", "out of range", func(m tss.MessageContent, _ *filter) { m.(*signing.SignRound9Message).S = q }},
		{"sign 9", "share of a kilobyte", "out of range", func(m tss.MessageContent, _ *filter) { m.(*signing.SignRound9Message).S = bytes.Repeat([]byte{1}, 500) }},
	}
})

// told is a message with a lie in it.
func (l lie) told(t testing.TB, honest tss.MessageContent, f *filter) []byte {
	t.Helper()
	m := proto.Clone(honest).(tss.MessageContent)
	l.change(m, f)
	box, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	wire, err := proto.Marshal(box)
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

func TestFilterRefusesLies(t *testing.T) {
	for _, l := range lies() {
		t.Run(l.kind+"/"+l.name, func(t *testing.T) {
			f := newFilter(t, l.kind)
			honest, err := f.check(l.kind, message(t, l.kind))
			if err != nil {
				t.Fatal(err)
			}
			f = newFilter(t, l.kind)
			if _, err := f.check(l.kind, l.told(t, honest, f)); err == nil || !strings.Contains(err.Error(), l.want) {
				t.Errorf("verdict %v, want %q", err, l.want)
			}
		})
	}
}

// TestRetiredModuliAreRefused: a modulus of an earlier epoch must not come back.
func TestRetiredModuliAreRefused(t *testing.T) {
	f := newFilter(t, "keygen 1")
	b, _ := localparams.Get(1)
	f.foreign = append(f.foreign, b.NTilde())
	if _, err := f.check("keygen 1", message(t, "keygen 1")); err == nil || !strings.Contains(err.Error(), "shares a factor") {
		t.Errorf("verdict %v", err)
	}
}

func FuzzFilter(f *testing.F) {
	kinds := slices.Sorted(maps.Keys(recorded))
	for i, kind := range kinds {
		f.Add(uint8(i), message(f, kind))
	}
	f.Fuzz(func(t *testing.T, which uint8, wire []byte) {
		kind := kinds[int(which)%len(kinds)]
		c, err := newFilter(t, kind).check(kind, wire)
		if err == nil && c == nil {
			t.Fatal("accepted nothing")
		}
	})
}

func FuzzDecodeShare(f *testing.F) {
	b, err := os.ReadFile(goldenFile(0))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := DecodeShare(b); err == nil && len(s.Encode()) == 0 {
			t.Fatal("an accepted share does not encode")
		}
	})
}
