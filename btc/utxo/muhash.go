package utxo

import (
	"crypto/sha256"
	"errors"
	"math/big"

	"golang.org/x/crypto/chacha20"
)

// MuHash is MuHash3072, a hash of a set that elements enter and leave in any order at constant cost. It equals Bitcoin Core's
// (crypto/muhash.h), so that the digest of a coin set is what gettxoutsetinfo muhash prints (reversed).
type MuHash struct{ num, den big.Int }

const muSize = 384 // bytes of a number of 3072 bits

var (
	muPrime = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 8*muSize), big.NewInt(1103717))
	muFold  = big.NewInt(1103717)
	muMask  = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 8*muSize), big.NewInt(1))

	errMuHash = errors.New("malformed MuHash state")
)

// NewMuHash is the hash of the empty set.
func NewMuHash() *MuHash {
	m := new(MuHash)
	m.num.SetInt64(1)
	m.den.SetInt64(1)
	return m
}

// muNumber expands an element to 3072 bits: the ChaCha20 stream under its SHA-256, little-endian.
func muNumber(element []byte) *big.Int {
	key := sha256.Sum256(element)
	c, err := chacha20.NewUnauthenticatedCipher(key[:], make([]byte, chacha20.NonceSize))
	if err != nil {
		panic(err) // the sizes are constants
	}
	var b [muSize]byte
	c.XORKeyStream(b[:], b[:])
	return fromLittle(b[:])
}

func fromLittle(b []byte) *big.Int {
	r := make([]byte, len(b))
	for i := range b {
		r[len(b)-1-i] = b[i]
	}
	return new(big.Int).SetBytes(r)
}

func toLittle(out []byte, n *big.Int) {
	n.FillBytes(out)
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
}

// muMul sets acc to acc·x, folding instead of dividing; the result stays below 2³⁰⁷² but may reach the prime.
func muMul(acc, x *big.Int) {
	var p, hi big.Int
	p.Mul(acc, x)
	for p.BitLen() > 8*muSize {
		hi.Rsh(&p, 8*muSize)
		p.And(&p, muMask)
		p.Add(&p, hi.Mul(&hi, muFold))
	}
	acc.Set(&p)
}

// Insert adds an element.
func (m *MuHash) Insert(element []byte) { muMul(&m.num, muNumber(element)) }

// Remove takes an element out that is in the set.
func (m *MuHash) Remove(element []byte) { muMul(&m.den, muNumber(element)) }

// Digest is the set's hash, 32 bytes in internal order.
func (m *MuHash) Digest() [32]byte {
	var v big.Int
	v.ModInverse(&m.den, muPrime)
	v.Mul(&v, &m.num)
	v.Mod(&v, muPrime)
	var b [muSize]byte
	toLittle(b[:], &v)
	return sha256.Sum256(b[:])
}

// Bytes is the state: numerator and denominator, 384 bytes each, little-endian.
func (m *MuHash) Bytes() []byte {
	b := make([]byte, 2*muSize)
	toLittle(b[:muSize], &m.num)
	toLittle(b[muSize:], &m.den)
	return b
}

// ParseMuHash reads what Bytes wrote.
func ParseMuHash(b []byte) (*MuHash, error) {
	if len(b) != 2*muSize {
		return nil, errMuHash
	}
	m := new(MuHash)
	m.num.Set(fromLittle(b[:muSize]))
	m.den.Set(fromLittle(b[muSize:]))
	var r big.Int
	if r.Mod(&m.den, muPrime).Sign() == 0 {
		return nil, errMuHash
	}
	return m, nil
}
