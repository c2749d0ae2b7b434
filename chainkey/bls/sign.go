package bls

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"slices"

	blst "github.com/supranational/blst/bindings/go"

	"fusion/internal/redact"
)

// Sizes in bytes of the encodings of draft-irtf-cfrg-pairing-friendly-curves, appendix C, and of a secret share.
const (
	PublicKeySize = 96
	SignatureSize = 48
	SecretSize    = 32
)

// MaxNodes bounds a subnet. The largest subnet of the Internet Computer has 40 nodes.
const MaxNodes = 128

// Domains of what the subnet's key signs. DomainStateRoot is fixed by the Internet Computer's interface specification
// (certification), the others are ours.
const (
	DomainStateRoot = "ic-state-root"
	DomainBeacon    = "fusion-beacon"
	DomainState     = "fusion-state" // whole states, of which images are made
)

// dst is the ciphersuite's hash-to-curve tag.
var dst = []byte("BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_")

// order is the order of G1 and G2.
var order, _ = new(big.Int).SetString("73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001", 16)

// Errors of signing and checking.
var (
	ErrPublicKey    = errors.New("invalid bls public key")
	ErrSignature    = errors.New("invalid bls signature")
	ErrSecret       = errors.New("invalid bls secret share")
	ErrTooFewShares = errors.New("too few bls signature shares")
	ErrIndex        = errors.New("no such share holder")
)

// Threshold returns 2f+1 for n ≥ 3f+1 nodes, the number of shares that make a signature: 1 of 1, 3 of 4, 5 of 7, 9 of 13.
func Threshold(n int) int { return n - (n-1)/3 }

// Message returns what is signed for payload in a role: one byte with the domain's length, the domain, the payload. For
// DomainStateRoot that is the Internet Computer's "\x0Dic-state-root" followed by the root hash.
func Message(domain string, payload []byte) []byte {
	if len(domain) == 0 || len(domain) > 255 {
		panic(fmt.Sprintf("bls: domain of %d bytes", len(domain)))
	}
	out := make([]byte, 0, 1+len(domain)+len(payload))
	out = append(out, byte(len(domain)))
	out = append(out, domain...)
	return append(out, payload...)
}

// A Share is one holder's signature share.
type Share struct {
	Index     int // the holder's node index
	Signature [SignatureSize]byte
}

// A SecretShare is one holder's part of the secret key.
type SecretShare struct {
	Index  int
	Scalar [SecretSize]byte // big endian, below the group's order
}

// Sign returns the share of the signature over message, which must come from Message.
func (s *SecretShare) Sign(message []byte) (Share, error) {
	out := Share{Index: s.Index}
	sk := new(blst.SecretKey).Deserialize(s.Scalar[:])
	if sk == nil {
		return out, fmt.Errorf("%w of node %d", ErrSecret, s.Index)
	}
	defer sk.Zeroize()
	copy(out.Signature[:], new(blst.P1Affine).Sign(sk, message, dst).Compress())
	return out, nil
}

// PublicKey returns the share's public key (96 bytes), which Group.ShareKey publishes.
func (s *SecretShare) PublicKey() ([]byte, error) {
	sk := new(blst.SecretKey).Deserialize(s.Scalar[:])
	if sk == nil {
		return nil, fmt.Errorf("%w of node %d", ErrSecret, s.Index)
	}
	defer sk.Zeroize()
	return new(blst.P2Affine).From(sk).Compress(), nil
}

// String shows nothing secret, as do Format, MarshalText and with it JSON.
func (s SecretShare) String() string { return fmt.Sprintf("bls secret share of node %d", s.Index) }

// Format implements fmt.Formatter.
func (s SecretShare) Format(f fmt.State, _ rune) { redact.Format(f, s.String()) }

// MarshalText implements encoding.TextMarshaler.
func (s SecretShare) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Group is the public side of a threshold key. It may be used by many goroutines.
type Group struct {
	threshold int
	raw       [PublicKeySize]byte
	key       *blst.P2Affine
	shareRaw  [][]byte
	shareKeys []*blst.P2Affine
}

// NewGroup checks and decodes a threshold key: the group's public key and one public key for each share holder.
func NewGroup(threshold int, key []byte, shareKeys [][]byte) (*Group, error) {
	if threshold < 1 || threshold > len(shareKeys) || len(shareKeys) > MaxNodes {
		return nil, fmt.Errorf("%w: threshold %d of %d", ErrPublicKey, threshold, len(shareKeys))
	}
	g := &Group{threshold: threshold}
	var err error
	if g.key, err = decodeKey(key); err != nil {
		return nil, err
	}
	copy(g.raw[:], key)
	for i, k := range shareKeys {
		p, err := decodeKey(k)
		if err != nil {
			return nil, fmt.Errorf("share holder %d: %w", i, err)
		}
		g.shareKeys = append(g.shareKeys, p)
		g.shareRaw = append(g.shareRaw, bytes.Clone(k))
	}
	return g, nil
}

// Threshold returns how many shares make a signature.
func (g *Group) Threshold() int { return g.threshold }

// N returns the number of share holders.
func (g *Group) N() int { return len(g.shareKeys) }

// PublicKey returns the group's public key, 96 bytes.
func (g *Group) PublicKey() [PublicKeySize]byte { return g.raw }

// ShareKey returns the public key of one holder's share, 96 bytes.
func (g *Group) ShareKey(index int) []byte { return bytes.Clone(g.shareRaw[index]) }

// VerifyShare checks one share over message.
func (g *Group) VerifyShare(message []byte, s Share) error {
	if s.Index < 0 || s.Index >= len(g.shareKeys) {
		return fmt.Errorf("%w: %d of %d", ErrIndex, s.Index, len(g.shareKeys))
	}
	if err := verify(g.shareKeys[s.Index], message, s.Signature[:]); err != nil {
		return fmt.Errorf("share of node %d: %w", s.Index, err)
	}
	return nil
}

// Verify checks a combined signature over message.
func (g *Group) Verify(message, signature []byte) error { return verify(g.key, message, signature) }

// Combine interpolates the signature over message from the first Threshold distinct holders' shares and checks it. On
// ErrSignature at least one of those shares is bad: ask BadShares. The input is not changed.
func (g *Group) Combine(message []byte, shares []Share) ([]byte, error) {
	picked := slices.Clone(shares)
	slices.SortFunc(picked, func(a, b Share) int { return a.Index - b.Index })
	picked = slices.CompactFunc(picked, func(a, b Share) bool { return a.Index == b.Index })
	if len(picked) < g.threshold {
		return nil, fmt.Errorf("%w: %d of %d", ErrTooFewShares, len(picked), g.threshold)
	}
	picked = picked[:g.threshold]
	if picked[0].Index < 0 || picked[len(picked)-1].Index >= len(g.shareKeys) {
		return nil, fmt.Errorf("%w among %d shares", ErrIndex, len(picked))
	}
	holders := make([]int, len(picked))
	for i, s := range picked {
		holders[i] = s.Index
	}
	sum := new(blst.P1)
	for i, s := range picked {
		p := new(blst.P1Affine).Uncompress(s.Signature[:])
		if p == nil {
			return nil, fmt.Errorf("share of node %d: %w", s.Index, ErrSignature)
		}
		point := new(blst.P1)
		point.FromAffine(p)
		term := point.Mult(Lagrange(holders, i))
		if i == 0 {
			sum = term
		} else {
			sum.AddAssign(term)
		}
	}
	sig := sum.ToAffine().Compress()
	// The check includes the subgroup's, so shares outside of it are caught here too.
	if err := verify(g.key, message, sig); err != nil {
		return nil, fmt.Errorf("combining %d shares: %w", len(picked), err)
	}
	return sig, nil
}

// BadShares returns the indices of the shares that do not verify, in the order given.
func (g *Group) BadShares(message []byte, shares []Share) []int {
	var bad []int
	for _, s := range shares {
		if g.VerifyShare(message, s) != nil {
			bad = append(bad, s.Index)
		}
	}
	return bad
}

// Verify checks a signature over message under a public key of 96 bytes.
func Verify(publicKey, message, signature []byte) error {
	key, err := decodeKey(publicKey)
	if err != nil {
		return err
	}
	return verify(key, message, signature)
}

func verify(key *blst.P2Affine, message, signature []byte) error {
	if len(signature) != SignatureSize {
		return fmt.Errorf("%w: %d bytes", ErrSignature, len(signature))
	}
	p := new(blst.P1Affine).Uncompress(signature)
	if p == nil || !p.SigValidate(true) || !p.Verify(false, key, false, message, dst) {
		return ErrSignature
	}
	return nil
}

func decodeKey(b []byte) (*blst.P2Affine, error) {
	if len(b) != PublicKeySize {
		return nil, fmt.Errorf("%w: %d bytes", ErrPublicKey, len(b))
	}
	p := new(blst.P2Affine).Uncompress(b)
	if p == nil || !p.KeyValidate() {
		return nil, ErrPublicKey
	}
	return p, nil
}

// Lagrange returns the coefficient at zero of holders[i] in the interpolation by distinct holders: holder j's share lies at the point j+1.
// It is the scalar's little-endian bytes, as blst multiplies with.
func Lagrange(holders []int, i int) []byte {
	num, den := big.NewInt(1), big.NewInt(1)
	xi := int64(holders[i] + 1)
	for j, h := range holders {
		if j != i {
			xj := int64(h + 1)
			num.Mul(num, big.NewInt(xj))
			den.Mul(den, big.NewInt(xj-xi))
		}
	}
	den.Mod(den, order)
	num.Mul(num, den.ModInverse(den, order)).Mod(num, order)
	out := num.FillBytes(make([]byte, SecretSize))
	slices.Reverse(out)
	return out
}
