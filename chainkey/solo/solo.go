// Package solo is the scheme of a subnet with one member: a plain secp256k1 key behind the chainkey interface, so that a
// network of one replica works like any other. It protects nothing beyond the key store.
package solo

import (
	"bytes"
	"errors"
	"fmt"

	secp "github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"fusion/chainkey"
	"fusion/chainkey/derive"
)

// Name is the scheme's name.
const Name = "solo"

// ErrShare says that an encoded key is damaged.
var ErrShare = errors.New("invalid key")

// Scheme implements chainkey.Scheme.
type Scheme struct{}

var _ chainkey.Scheme = Scheme{}

// Name implements chainkey.Scheme.
func (Scheme) Name() string { return Name }

// Presigns implements chainkey.Scheme.
func (Scheme) Presigns() bool { return false }

// NeedsParams implements chainkey.Scheme.
func (Scheme) NeedsParams() bool { return false }

// Generate implements chainkey.Scheme.
func (Scheme) Generate(g chainkey.Generate) (chainkey.Generation, error) {
	if g.Algorithm != chainkey.EcdsaSecp256k1 {
		return nil, fmt.Errorf("%w: scheme solo has no %s", chainkey.ErrAlgorithm, g.Algorithm)
	}
	if g.Seats != 1 || g.Seat != 0 || g.Threshold != 0 {
		return nil, fmt.Errorf("%w: scheme solo is for 1 member, not %d", chainkey.ErrMembers, g.Seats)
	}
	key, err := secp.GeneratePrivateKeyFromRand(g.Rand)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	return &generation{done{}, &share{key}}, nil
}

// Reshare implements chainkey.Scheme: there is nobody to share with.
func (Scheme) Reshare(chainkey.Reshare) (chainkey.Generation, error) {
	return nil, fmt.Errorf("%w: scheme solo cannot be reshared; start a network of 4 members and move the funds", chainkey.ErrMembers)
}

// Sign implements chainkey.Scheme. The nonce is that of RFC 6979.
func (Scheme) Sign(c chainkey.Sign) (chainkey.Signing, error) {
	s, ok := c.Share.(*share)
	if !ok || len(c.Committee) != 1 {
		return nil, fmt.Errorf("signing: a share of another scheme (%T) or a committee of %d", c.Share, len(c.Committee))
	}
	if err := c.Message.Check(chainkey.EcdsaSecp256k1); err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	child, err := derive.Secp256k1(s.public(), c.ChainCode, c.Path)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	var tweak secp.ModNScalar
	tweak.SetBytes(&child.Tweak)
	key := secp.NewPrivateKey(tweak.Add(&s.key.Key))
	defer key.Zero()
	sig := ecdsa.Sign(key, c.Message.Bytes)
	r, sv := sig.R(), sig.S()
	out := &signing{}
	rb, sb := r.Bytes(), sv.Bytes()
	copy(out.signature[:32], rb[:])
	copy(out.signature[32:], sb[:])
	return out, chainkey.Verify(chainkey.EcdsaSecp256k1, child.PublicKey[:], c.Message, out.signature)
}

// DecodeShare implements chainkey.Scheme.
func (Scheme) DecodeShare(b chainkey.Secret) (chainkey.Share, error) {
	var k secp.ModNScalar
	if len(b) != 32 || k.SetByteSlice(b) || k.IsZero() {
		return nil, ErrShare
	}
	return &share{secp.NewPrivateKey(&k)}, nil
}

// done is a protocol without rounds.
type done struct{}

func (done) Rounds() int                     { return 0 }
func (done) Limits(int) chainkey.Limits      { return chainkey.Limits{} }
func (done) Start() (chainkey.Output, error) { return chainkey.Output{Done: true}, nil }
func (done) Wipe()                           {}
func (done) Deliver(int, []chainkey.Input) (chainkey.Output, error) {
	return chainkey.Output{}, errors.New("the protocol has no rounds")
}

type generation struct {
	done
	share *share
}

func (g *generation) Share() (chainkey.Share, error) { return g.share, nil }

type signing struct {
	done
	signature [64]byte
}

func (s *signing) Signature() ([64]byte, error) { return s.signature, nil }

type share struct{ key *secp.PrivateKey }

func (s *share) public() [33]byte        { return [33]byte(s.key.PubKey().SerializeCompressed()) }
func (s *share) PublicKey() []byte       { return s.key.PubKey().SerializeCompressed() }
func (s *share) PublicShares() [][]byte  { return [][]byte{s.PublicKey()} }
func (s *share) Encode() chainkey.Secret { return bytes.Clone(s.key.Serialize()) }
func (s *share) Wipe()                   { s.key.Zero() }

// Format implements fmt.Formatter and shows nothing secret.
func (s *share) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "key %x", s.PublicKey()) }

// MarshalText implements encoding.TextMarshaler, and with it JSON.
func (s *share) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "key %x", s.PublicKey()), nil }
