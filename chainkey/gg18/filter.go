package gg18

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/bnb-chain/tss-lib/v2/crypto/dlnproof"
	"github.com/bnb-chain/tss-lib/v2/crypto/facproof"
	"github.com/bnb-chain/tss-lib/v2/crypto/modproof"
	"github.com/bnb-chain/tss-lib/v2/crypto/mta"
	"github.com/bnb-chain/tss-lib/v2/crypto/paillier"
	"github.com/bnb-chain/tss-lib/v2/ecdsa/keygen"
	"github.com/bnb-chain/tss-lib/v2/ecdsa/signing"
	"github.com/bnb-chain/tss-lib/v2/tss"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"fusion/chainkey/gg18/localparams"
)

// modulusBits is the exact size of Paillier and commitment moduli (GG18, section 3).
const modulusBits = 2048

var (
	one   = big.NewInt(1)
	order = tss.S256().Params().N
	cubed = new(big.Int).Exp(order, big.NewInt(3), nil)
	sept  = new(big.Int).Exp(order, big.NewInt(7), nil)
)

// filter judges what one member says, before the library sees it. The moduli are those of the message's sender and of its
// receiver; in key generation the sender's become known in round 1.
type filter struct {
	threshold int
	denyLocal bool
	n, ntilde *big.Int // the sender's
	myN, myNT *big.Int // the receiver's
	foreign   []*big.Int
}

// content parses wire bytes as a message of exactly the wanted type.
func content[M interface {
	tss.MessageContent
	*T
}, T any](wire []byte) (M, error) {
	var box anypb.Any
	if err := proto.Unmarshal(wire, &box); err != nil {
		return nil, errors.New("not a message of the library")
	}
	m := M(new(T))
	if want := "type.googleapis.com/" + string(proto.MessageName(m)); box.TypeUrl != want {
		return nil, fmt.Errorf("a message of type %.100q, want %q", box.TypeUrl, want)
	}
	if err := proto.Unmarshal(box.Value, m); err != nil {
		return nil, errors.New("malformed content")
	}
	if !m.ValidateBasic() {
		return nil, errors.New("a field is missing")
	}
	return m, nil
}

// check runs the test of a round's message. It returns what the library will be fed.
func (f *filter) check(kind string, wire []byte) (tss.MessageContent, error) {
	switch kind {
	case "keygen 1":
		return judge(wire, f.keygen1)
	case "keygen 2 private":
		return judge(wire, f.keygen2private)
	case "keygen 2":
		return judge(wire, f.keygen2)
	case "keygen 3":
		return judge(wire, f.keygen3)
	case "sign 1 private":
		return judge(wire, f.sign1private)
	case "sign 1":
		return judge(wire, func(m *signing.SignRound1Message2) error { return commitment(m.Commitment) })
	case "sign 2 private":
		return judge(wire, f.sign2private)
	case "sign 3":
		return judge(wire, func(m *signing.SignRound3Message) error { return scalar("delta share", m.Theta) })
	case "sign 4":
		return judge(wire, f.sign4)
	case "sign 5":
		return judge(wire, func(m *signing.SignRound5Message) error { return commitment(m.Commitment) })
	case "sign 6":
		return judge(wire, f.sign6)
	case "sign 7":
		return judge(wire, func(m *signing.SignRound7Message) error { return commitment(m.Commitment) })
	case "sign 8":
		return judge(wire, func(m *signing.SignRound8Message) error { return opening(m.DeCommitment, 2) })
	case "sign 9":
		return judge(wire, func(m *signing.SignRound9Message) error { return scalar("signature share", m.S) })
	}
	return nil, fmt.Errorf("no message %q exists", kind)
}

func judge[M interface {
	tss.MessageContent
	*T
}, T any](wire []byte, test func(M) error) (tss.MessageContent, error) {
	m, err := content[M](wire)
	if err != nil {
		return nil, err
	}
	if err := test(m); err != nil {
		return nil, err
	}
	return m, nil
}

func (f *filter) keygen1(m *keygen.KGRound1Message) error {
	if err := commitment(m.Commitment); err != nil {
		return err
	}
	n, err := f.modulus("Paillier modulus", m.PaillierN)
	if err != nil {
		return err
	}
	f.foreign = append(f.foreign, n)
	ntilde, err := f.modulus("NTilde", m.NTilde)
	if err != nil {
		return err
	}
	f.foreign = append(f.foreign, ntilde)
	h1, err := number("h1", m.H1, one, ntilde)
	if err != nil {
		return err
	}
	h2, err := number("h2", m.H2, one, ntilde)
	if err != nil {
		return err
	}
	if err := commitmentBases(ntilde, h1, h2); err != nil {
		return err
	}
	for _, proof := range [][][]byte{m.Dlnproof_1, m.Dlnproof_2} {
		// The library's parts: a count, as many first messages, a count, as many responses.
		for i, b := range proof {
			if i%(dlnproof.Iterations+1) == 0 {
				if string(b) != string([]byte{dlnproof.Iterations}) {
					return errors.New("discrete logarithm proof of a wrong shape")
				}
			} else if _, err := number("discrete logarithm proof", b, one, ntilde); err != nil {
				return err
			}
		}
	}
	f.n, f.ntilde = n, ntilde
	return nil
}

// smallPrimes is the product of the odd primes below 2^16.
var smallPrimes = func() *big.Int {
	product, composite := big.NewInt(1), make([]bool, 1<<16)
	batch := uint64(1)
	for p := uint64(3); p < 1<<16; p += 2 {
		if composite[p] {
			continue
		}
		for c := p * p; c < 1<<16; c += 2 * p {
			composite[c] = true
		}
		if batch *= p; batch >= 1<<47 {
			product.Mul(product, new(big.Int).SetUint64(batch))
			batch = 1
		}
	}
	return product.Mul(product, new(big.Int).SetUint64(batch))
}()

// modulus checks a number that is to be the product of two large primes, as far as that shows from outside.
func (f *filter) modulus(name string, b []byte) (*big.Int, error) {
	n, err := number(name, b, one, nil)
	switch {
	case err != nil:
		return nil, err
	case n.BitLen() != modulusBits:
		return nil, fmt.Errorf("%s of %d bits, want %d", name, n.BitLen(), modulusBits)
	case n.Bit(0) == 0:
		return nil, fmt.Errorf("%s is even", name)
	case n.ProbablyPrime(1): // only whether an honest-looking composite is one matters: 1 round and Baillie-PSW
		return nil, fmt.Errorf("%s is prime", name)
	case new(big.Int).GCD(nil, nil, new(big.Int).Mod(smallPrimes, n), n).Cmp(one) != 0:
		return nil, fmt.Errorf("%s has a small factor", name) // BitForge, before any proof is looked at
	case f.denyLocal && localparams.Denied(n):
		return nil, fmt.Errorf("%s is one of those shipped for local networks", name)
	}
	for _, other := range f.foreign {
		if new(big.Int).GCD(nil, nil, n, other).Cmp(one) != 0 {
			return nil, fmt.Errorf("%s shares a factor with another modulus", name)
		}
	}
	return n, nil
}

// commitmentBases checks h1 and h2, two squares that generate the same group.
func commitmentBases(ntilde, h1, h2 *big.Int) error {
	for name, h := range map[string]*big.Int{"h1": h1, "h2": h2} {
		if h.Cmp(one) <= 0 || h.Cmp(ntilde) >= 0 || big.Jacobi(h, ntilde) != 1 {
			return fmt.Errorf("%s is not a square unit of NTilde", name)
		}
		if square := new(big.Int).Mul(h, h); square.Mod(square, ntilde).Cmp(one) == 0 {
			return fmt.Errorf("%s is a root of 1", name)
		}
	}
	if h1.Cmp(h2) == 0 {
		return errors.New("h1 and h2 are equal")
	}
	if product := new(big.Int).Mul(h1, h2); product.Mod(product, ntilde).Cmp(one) == 0 {
		return errors.New("h1 and h2 are inverse")
	}
	return nil
}

func (f *filter) keygen2private(m *keygen.KGRound2Message1) error {
	if err := scalar("share", m.Share); err != nil {
		return err
	}
	return f.facProof(m.FacProof)
}

// facProof checks a proof that the sender's Paillier modulus has no small factor, made for the receiver.
func (f *filter) facProof(p [][]byte) error {
	if len(p) != facproof.ProofFacBytesParts {
		return fmt.Errorf("factor proof of %d parts", len(p))
	}
	for i, name := range []string{"P", "Q", "A", "B", "T"} {
		if _, err := unit("factor proof "+name, p[i], f.myNT); err != nil {
			return err
		}
	}
	// The ranges of an honest prover (CGGMP21 figure 28 with q for the statistical parameters).
	const z, w = 768 + modulusBits/2, 769 + modulusBits
	for i, bits := range []int{256 + 2*modulusBits, z, z, w, w, 769 + 2*modulusBits} { // sigma, z1, z2, w1, w2, v
		if err := sized("factor proof response", p[5+i], bits); err != nil {
			return err
		}
	}
	return nil
}

func (f *filter) keygen2(m *keygen.KGRound2Message2) error {
	if err := opening(m.DeCommitment, f.threshold+1); err != nil {
		return err
	}
	return f.modProof(m.ModProof)
}

// modProof checks a proof that the sender's Paillier modulus is the product of two primes.
func (f *filter) modProof(p [][]byte) error {
	if len(p) != modproof.ProofModBytesParts {
		return fmt.Errorf("modulus proof of %d parts", len(p))
	}
	for i, b := range p {
		switch i {
		case 0:
			w, err := number("modulus proof W", b, new(big.Int), f.n)
			if err != nil {
				return err
			}
			if big.Jacobi(w, f.n) != -1 { // 0 is not enough: see #323
				return errors.New("modulus proof: W has no Jacobi symbol of -1")
			}
		case modproof.Iterations + 1, modproof.Iterations + 2:
			if v, err := number("modulus proof bits", b, new(big.Int), nil); err != nil || v.BitLen() != modproof.Iterations+1 {
				return errors.New("modulus proof: a bit vector of wrong size")
			}
		default:
			if _, err := unit("modulus proof root", b, f.n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *filter) keygen3(m *keygen.KGRound3Message) error { return f.paillierProof(m.PaillierProof) }

// paillierProof checks a proof that the sender's Paillier modulus is coprime to its totient.
func (f *filter) paillierProof(p [][]byte) error {
	if len(p) != paillier.ProofIters {
		return fmt.Errorf("Paillier proof of %d parts", len(p))
	}
	for _, b := range p {
		if _, err := unit("Paillier proof", b, f.n); err != nil {
			return err
		}
	}
	return nil
}

func (f *filter) sign1private(m *signing.SignRound1Message1) error {
	square := new(big.Int).Mul(f.n, f.n)
	if _, err := unit("ciphertext", m.C, square); err != nil {
		return err
	}
	p := m.RangeProofAlice
	if len(p) != mta.RangeProofAliceBytesParts {
		return fmt.Errorf("range proof of %d parts", len(p))
	}
	for i, modulus := range []*big.Int{f.myNT, square, f.myNT, f.n} {
		if _, err := unit("range proof value", p[i], modulus); err != nil {
			return err
		}
	}
	if err := response("range proof s1", p[4], cubed); err != nil {
		return err
	}
	return sized("range proof s2", p[5], 769+modulusBits)
}

func (f *filter) sign2private(m *signing.SignRound2Message) error {
	square := new(big.Int).Mul(f.myN, f.myN)
	for _, c := range [][]byte{m.C1, m.C2} {
		if _, err := unit("ciphertext", c, square); err != nil {
			return err
		}
	}
	if len(m.ProofBob) != mta.ProofBobBytesParts || len(m.ProofBobWc) != mta.ProofBobWCBytesParts {
		return fmt.Errorf("multiplication proofs of %d and %d parts", len(m.ProofBob), len(m.ProofBobWc))
	}
	for _, p := range [][][]byte{m.ProofBob, m.ProofBobWc} {
		for i, modulus := range []*big.Int{f.myNT, f.myNT, f.myNT, square, f.myNT, f.myN} {
			if _, err := unit("multiplication proof value", p[i], modulus); err != nil {
				return err
			}
		}
		if err := response("multiplication proof s1", p[6], cubed); err != nil {
			return err
		}
		if err := response("multiplication proof t1", p[8], sept); err != nil {
			return err
		}
		for _, i := range []int{7, 9} {
			if err := sized("multiplication proof response", p[i], 769+modulusBits); err != nil {
				return err
			}
		}
	}
	return point("multiplication proof U", m.ProofBobWc[10], m.ProofBobWc[11])
}

func (f *filter) sign4(m *signing.SignRound4Message) error {
	if err := opening(m.DeCommitment, 1); err != nil {
		return err
	}
	if err := point("proof commitment", m.ProofAlphaX, m.ProofAlphaY); err != nil {
		return err
	}
	return scalar("proof response", m.ProofT)
}

func (f *filter) sign6(m *signing.SignRound6Message) error {
	if err := opening(m.DeCommitment, 2); err != nil {
		return err
	}
	if err := point("proof commitment", m.ProofAlphaX, m.ProofAlphaY); err != nil {
		return err
	}
	if err := point("proof commitment", m.VProofAlphaX, m.VProofAlphaY); err != nil {
		return err
	}
	for _, b := range [][]byte{m.ProofT, m.VProofT, m.VProofU} {
		if err := scalar("proof response", b); err != nil {
			return err
		}
	}
	return nil
}

// number reads a canonical number above low and, if high is given, below it.
func number(name string, b []byte, low, high *big.Int) (*big.Int, error) {
	const maxBytes = 3 * modulusBits / 8 // the largest response has 769 + 2 × 2048 bits
	if len(b) == 0 || b[0] == 0 || len(b) > maxBytes {
		return nil, fmt.Errorf("%s is not a canonical number of 1 to %d bytes", name, maxBytes)
	}
	v := new(big.Int).SetBytes(b)
	if v.Cmp(low) <= 0 || high != nil && v.Cmp(high) >= 0 {
		return nil, fmt.Errorf("%s is out of range", name)
	}
	return v, nil
}

// unit reads an invertible residue other than 0 and 1.
func unit(name string, b []byte, modulus *big.Int) (*big.Int, error) {
	v, err := number(name, b, one, modulus)
	if err != nil {
		return nil, err
	}
	if new(big.Int).GCD(nil, nil, v, modulus).Cmp(one) != 0 {
		return nil, fmt.Errorf("%s is not a unit", name)
	}
	return v, nil
}

// scalar checks a number from 1 to the group order minus one.
func scalar(name string, b []byte) error {
	_, err := number(name, b, new(big.Int), order)
	return err
}

// response checks the answer of a range proof: from the group order to a power of it, and not a multiple of it, because the
// library multiplies the generator by it and panics at infinity.
func response(name string, b []byte, high *big.Int) error {
	v, err := number(name, b, order, high)
	if err != nil {
		return err
	}
	if new(big.Int).Mod(v, order).Sign() == 0 {
		return fmt.Errorf("%s is a multiple of the group order", name)
	}
	return nil
}

func sized(name string, b []byte, bits int) error {
	v, err := number(name, b, new(big.Int), nil)
	if err == nil && v.BitLen() > bits {
		err = fmt.Errorf("%s of %d bits, at most %d are possible", name, v.BitLen(), bits)
	}
	return err
}

// commitment checks a hash of 256 bits.
func commitment(b []byte) error { return sized("commitment", b, 256) }

// opening checks the opening of a commitment to so many points: 256 random bits, then coordinates.
func opening(parts [][]byte, points int) error {
	if len(parts) != 1+2*points {
		return fmt.Errorf("a commitment opens to %d numbers, want %d points", len(parts)-1, points)
	}
	if err := sized("opening", parts[0], 256); err != nil {
		return err
	}
	for i := 1; i < len(parts); i += 2 {
		if err := point("committed point", parts[i], parts[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func point(name string, x, y []byte) error {
	p := tss.S256().Params().P
	px, err := number(name, x, new(big.Int), p)
	if err != nil {
		return err
	}
	py, err := number(name, y, new(big.Int), p)
	if err != nil {
		return err
	}
	if !tss.S256().IsOnCurve(px, py) {
		return fmt.Errorf("%s is not on the curve", name)
	}
	return nil
}
