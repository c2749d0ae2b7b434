package localparams

import (
	"bytes"
	"math/big"
	"testing"
)

func TestShippedSets(t *testing.T) {
	if Count() != 14 || len(file)%setSize != 0 {
		t.Fatalf("%d sets in %d bytes", Count(), len(file))
	}
	seen := map[string]bool{}
	for i := range Count() {
		s, err := Get(i)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(s.Encode(), file[i*setSize:][:setSize]) {
			t.Errorf("set %d changes when encoded", i)
		}
		for _, n := range []*big.Int{s.Paillier(), s.NTilde()} {
			if n.BitLen() != 2048 || seen[n.String()] || !Denied(n) {
				t.Errorf("set %d: a modulus of %d bits, repeated or not denied", i, n.BitLen())
			}
			seen[n.String()] = true
		}
		for _, p := range []*big.Int{s.PaillierP, s.PaillierQ, s.P, s.Q} {
			if !p.ProbablyPrime(5) {
				t.Errorf("set %d: not a prime", i)
			}
		}
	}
	for _, i := range []int{-1, Count()} {
		if _, err := Get(i); err == nil {
			t.Errorf("set %d exists", i)
		}
	}
}

func TestDenied(t *testing.T) {
	a, _ := Get(0)
	fresh := new(big.Int).SetBit(big.NewInt(1), 1023, 1) // an odd number that shares nothing
	for name, n := range map[string]*big.Int{
		"a shipped prime in another modulus": new(big.Int).Mul(a.PaillierP, fresh),
		"zero":                               new(big.Int),
		"negative":                           big.NewInt(-5),
	} {
		if !Denied(n) {
			t.Errorf("%s is not denied", name)
		}
	}
	if Denied(fresh) {
		t.Error("an unrelated modulus is denied")
	}
}
