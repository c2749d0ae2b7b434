// Package localparams ships pre-made secret parameters for local networks, because making them takes 10 to 90 seconds of CPU
// time per member, and the list of their moduli that everybody else refuses.
//
// The parameters are public knowledge, so a key made with them guards nothing. Networks whose genesis says that they are local
// use them; every party of any other network checks the parameters of all members with Denied.
package localparams

import (
	_ "embed"
	"fmt"
	"math/big"
	"sync"
)

//go:generate go run ./generate -count 14 -out params.bin

// The file holds Count sets of setSize bytes. A set is two Paillier primes, two Sophie Germain primes p and q with
// NTilde = (2p+1)(2q+1), each of 128 bytes, then h1 and alpha with h2 = h1^alpha, each of 256 bytes.
//
//go:embed params.bin
var file []byte

const (
	prime   = 128
	residue = 256
	setSize = 4*prime + 2*residue
)

// Set is one member's parameters.
type Set struct{ PaillierP, PaillierQ, P, Q, H1, Alpha *big.Int }

// Count is how many sets there are.
func Count() int { return len(file) / setSize }

// Get returns set i.
func Get(i int) (Set, error) {
	if i < 0 || i >= Count() {
		return Set{}, fmt.Errorf("local parameters %d of %d: a local network has at most that many members", i, Count())
	}
	return Decode(file[i*setSize:][:setSize]), nil
}

// Decode reads a set of setSize bytes.
func Decode(b []byte) Set {
	next := func(n int) *big.Int {
		v := new(big.Int).SetBytes(b[:n])
		b = b[n:]
		return v
	}
	return Set{next(prime), next(prime), next(prime), next(prime), next(residue), next(residue)}
}

// Encode writes a set.
func (s Set) Encode() []byte {
	b := make([]byte, 0, setSize)
	for _, v := range []*big.Int{s.PaillierP, s.PaillierQ, s.P, s.Q} {
		b = append(b, v.FillBytes(make([]byte, prime))...)
	}
	for _, v := range []*big.Int{s.H1, s.Alpha} {
		b = append(b, v.FillBytes(make([]byte, residue))...)
	}
	return b
}

// Paillier is the set's Paillier modulus, NTilde the modulus of its commitments.
func (s Set) Paillier() *big.Int { return new(big.Int).Mul(s.PaillierP, s.PaillierQ) }

// NTilde is the modulus of the set's range-proof commitments.
func (s Set) NTilde() *big.Int {
	safe := func(p *big.Int) *big.Int { return new(big.Int).SetBit(new(big.Int).Lsh(p, 1), 0, 1) }
	return new(big.Int).Mul(safe(s.P), safe(s.Q))
}

var product = sync.OnceValue(func() *big.Int {
	all := big.NewInt(1)
	for i := range Count() {
		s, err := Get(i)
		if err != nil {
			panic(err) // i is in range
		}
		all.Mul(all, s.Paillier()).Mul(all, s.NTilde())
	}
	return all
})

// Denied reports whether a modulus shares a prime with the shipped sets, and so has a factorisation that everybody knows.
func Denied(modulus *big.Int) bool {
	if modulus.Sign() <= 0 {
		return true
	}
	return new(big.Int).GCD(nil, nil, modulus, product()).Cmp(big.NewInt(1)) != 0
}
