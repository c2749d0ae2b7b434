package utxo

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/big"
	"math/bits"
	"runtime"
	"sync"

	"golang.org/x/crypto/chacha20"
)

// MuHash is MuHash3072, a hash of a set that elements enter and leave in any order at constant cost. It equals Bitcoin Core's
// (crypto/muhash.h), so that the digest of a coin set is what gettxoutsetinfo muhash prints (reversed).
type MuHash struct{ num, den product }

const (
	muSize  = 384 // bytes of a number of 3072 bits
	muWords = 8 * muSize / bits.UintSize
	muFold  = 1103717 // 2³⁰⁷² less the prime
	// muShare is how many elements a goroutine takes at once.
	muShare = 256
)

var (
	muPrime = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 8*muSize), big.NewInt(muFold))

	errMuHash = errors.New("malformed MuHash state")
)

// product is a number below 2³⁰⁷² that stands for its remainder by the prime, with room to multiply without allocating.
type product struct {
	n    big.Int
	wide big.Int
	room [muWords]big.Word
}

func (p *product) set(x *big.Int) { p.hold(x.Bits()) }

// hold takes at most muWords words.
func (p *product) hold(w []big.Word) {
	copy(p.room[:], w)
	p.n.SetBits(p.room[:len(w)])
}

// mul multiplies by x < 2³⁰⁷². The words above 3072 bits are folded onto those below, which needs no division.
func (p *product) mul(x *big.Int) {
	w := p.wide.Mul(&p.n, x).Bits()
	for len(w) > muWords {
		low, high := w[:muWords], w[muWords:]
		var carry uint // below 2³², since the factor has 21 bits
		for i := range low {
			var h, l, c uint
			if i < len(high) {
				h, l = bits.Mul(uint(high[i]), muFold)
			} else if carry == 0 {
				break
			}
			l, c = bits.Add(l, carry, 0)
			h += c
			l, c = bits.Add(uint(low[i]), l, 0)
			low[i], carry = big.Word(l), h+c
		}
		if w = low; carry > 0 {
			w = append(low, big.Word(carry)) // over the words that were folded
		}
	}
	p.hold(w)
}

// reduce makes the number the remainder itself, so that equal products have equal bytes.
func (p *product) reduce() *big.Int {
	if p.n.Cmp(muPrime) >= 0 {
		p.set(new(big.Int).Sub(&p.n, muPrime))
	}
	return &p.n
}

// NewMuHash is the hash of the empty set.
func NewMuHash() *MuHash {
	m := new(MuHash)
	m.num.set(big.NewInt(1))
	m.den.set(big.NewInt(1))
	return m
}

// expander turns elements into numbers of 3072 bits: the ChaCha20 stream under their SHA-256, little-endian. The number is valid until
// the next one.
type expander struct {
	n      big.Int
	words  [muWords]big.Word
	stream [muSize]byte
}

func (e *expander) number(element []byte) *big.Int {
	key := sha256.Sum256(element)
	var nonce [chacha20.NonceSize]byte
	c, err := chacha20.NewUnauthenticatedCipher(key[:], nonce[:])
	if err != nil {
		panic(err) // the sizes are constants
	}
	clear(e.stream[:])
	c.XORKeyStream(e.stream[:], e.stream[:])
	return e.little(e.stream[:])
}

// little reads muSize bytes.
func (e *expander) little(b []byte) *big.Int {
	if bits.UintSize == 64 {
		for i := range e.words {
			e.words[i] = big.Word(binary.LittleEndian.Uint64(b[8*i:]))
		}
	} else {
		for i := range e.words {
			e.words[i] = big.Word(binary.LittleEndian.Uint32(b[4*i:]))
		}
	}
	return e.n.SetBits(e.words[:])
}

func toLittle(out []byte, n *big.Int) {
	n.FillBytes(out)
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
}

// Insert adds an element.
func (m *MuHash) Insert(element []byte) { m.num.mul(new(expander).number(element)) }

// Remove takes an element out that is in the set.
func (m *MuHash) Remove(element []byte) { m.den.mul(new(expander).number(element)) }

// Update adds and removes n elements at once, on all processors. element appends the i-th to a buffer and tells whether it leaves the set; it
// is called from several goroutines. Products do not depend on the order of their factors, so neither does the result.
func (m *MuHash) Update(n int, element func(i int, buf []byte) (_ []byte, leaves bool)) {
	workers := min(runtime.GOMAXPROCS(0), (n+muShare-1)/muShare)
	if workers <= 1 {
		m.update(0, n, element)
		return
	}
	parts := make([]*MuHash, workers)
	var wg sync.WaitGroup
	for k := range parts {
		parts[k] = NewMuHash()
		wg.Go(func() { parts[k].update(n*k/workers, n*(k+1)/workers, element) })
	}
	wg.Wait()
	for _, p := range parts {
		m.Combine(p)
	}
}

func (m *MuHash) update(from, to int, element func(int, []byte) ([]byte, bool)) {
	var e expander
	var buf []byte
	for i := from; i < to; i++ {
		var leaves bool
		if buf, leaves = element(i, buf[:0]); leaves {
			m.den.mul(e.number(buf))
		} else {
			m.num.mul(e.number(buf))
		}
	}
}

// Combine makes m the hash of the union of two disjoint sets.
func (m *MuHash) Combine(other *MuHash) {
	m.num.mul(&other.num.n)
	m.den.mul(&other.den.n)
}

// Digest is the set's hash, 32 bytes in internal order.
func (m *MuHash) Digest() [32]byte {
	var v big.Int
	v.ModInverse(&m.den.n, muPrime)
	v.Mul(&v, &m.num.n)
	v.Mod(&v, muPrime)
	var b [muSize]byte
	toLittle(b[:], &v)
	return sha256.Sum256(b[:])
}

// Bytes is the state: numerator and denominator, 384 bytes each, little-endian, both reduced.
func (m *MuHash) Bytes() []byte {
	b := make([]byte, 2*muSize)
	toLittle(b[:muSize], m.num.reduce())
	toLittle(b[muSize:], m.den.reduce())
	return b
}

// ParseMuHash reads what Bytes wrote.
func ParseMuHash(b []byte) (*MuHash, error) {
	if len(b) != 2*muSize {
		return nil, errMuHash
	}
	m, e := new(MuHash), new(expander)
	m.num.set(e.little(b[:muSize]))
	m.den.set(e.little(b[muSize:]))
	if m.den.reduce().Sign() == 0 {
		return nil, errMuHash
	}
	return m, nil
}
