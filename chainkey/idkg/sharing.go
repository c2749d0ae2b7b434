package idkg

import (
	"encoding/binary"
	"fmt"

	"fusion/chainkey"
	"fusion/chainkey/idkg/curve"
)

// Kind is what a sharing is of.
type Kind uint8

// The kinds. A masked sharing commits to the secret with a mask (Pedersen), so that its commitments say nothing; an unmasked one shows
// secret·G (Feldman).
const (
	Random          Kind = 1 + iota // a secret that nobody knows, masked
	RandomUnmasked                  // the same, unmasked; the last dealer can bias it, so it serves nonces that are re-randomised, and not keys
	ReshareMasked                   // the secret of a masked transcript, unmasked
	ReshareUnmasked                 // the secret of an unmasked transcript, unmasked: to the same or to other members
	Product                         // the product of an unmasked and a masked transcript, masked
)

func (k Kind) String() string {
	switch k {
	case Random:
		return "random"
	case RandomUnmasked:
		return "random unmasked"
	case ReshareMasked:
		return "reshare of masked"
	case ReshareUnmasked:
		return "reshare of unmasked"
	case Product:
		return "product"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

func (k Kind) valid() bool { return k >= Random && k <= Product }

// Masked reports whether transcripts of the kind are masked.
func (k Kind) Masked() bool { return k == Random || k == Product }

// width is the number of scalars for each receiver.
func (k Kind) width() int {
	if k.Masked() {
		return 2
	}
	return 1
}

// responses is the number of responses in a dealing's proof, zero where there is none.
func (k Kind) responses() int {
	switch k {
	case ReshareMasked:
		return 1
	case Product:
		return 2
	}
	return 0
}

// Params say what is shared, by whom and to whom.
type Params struct {
	Key       chainkey.KeyID
	Kind      Kind
	Serial    uint64 // tells sharings of one key, kind and epoch apart: never twice the same
	Dealers   *Roster
	Receivers *Roster
	// Left is what is reshared, or the unmasked factor; Right is the masked one. The dealers hold shares of both.
	Left, Right *Transcript
}

// Sharing is one transcript in the making. It has no state: members deal, check and combine with it, in any order and as often as they like.
type Sharing struct {
	Params
	curve curve.Curve
	id    [32]byte
}

// curveOf is the group of an algorithm.
func curveOf(a chainkey.Algorithm) (curve.Curve, error) {
	switch a {
	case chainkey.EcdsaSecp256k1, chainkey.Bip340Secp256k1:
		return curve.Secp256k1, nil
	case chainkey.Ed25519:
		return curve.Ed25519, nil
	}
	return 0, fmt.Errorf("%w: idkg has no %q", chainkey.ErrAlgorithm, a)
}

// maxKeyName bounds the encoded name of a key, in bytes.
const maxKeyName = 255

// NewSharing checks that the parameters belong together.
func NewSharing(p Params) (*Sharing, error) {
	s := &Sharing{Params: p}
	var err error
	if s.curve, err = curveOf(p.Key.Algorithm); err != nil {
		return nil, fmt.Errorf("sharing: %w", err)
	}
	refuse := func(format string, args ...any) (*Sharing, error) {
		return nil, fmt.Errorf("sharing, %s: %s", p.Kind, fmt.Sprintf(format, args...))
	}
	if !p.Kind.valid() || len(p.Key.String()) > maxKeyName {
		return refuse("unknown kind, or a key's name of more than %d bytes", maxKeyName)
	}
	if p.Dealers == nil || p.Receivers == nil || p.Dealers.subnet != p.Receivers.subnet {
		return refuse("dealers and receivers are not of one subnet")
	}
	if p.Kind != ReshareUnmasked && p.Dealers.digest != p.Receivers.digest {
		return refuse("dealers and receivers differ")
	}
	if p.Dealers.digest != p.Receivers.digest && p.Receivers.epoch <= p.Dealers.epoch {
		return refuse("from epoch %d to %d, which is no later one", p.Dealers.epoch, p.Receivers.epoch)
	}
	wantLeft, wantRight := p.Kind >= ReshareMasked, p.Kind == Product
	for _, in := range []struct {
		name   string
		t      *Transcript
		want   bool
		masked bool
	}{{"left", p.Left, wantLeft, p.Kind == ReshareMasked}, {"right", p.Right, wantRight, true}} {
		switch {
		case (in.t != nil) != in.want:
			return refuse("wants a %s input: %v", in.name, in.want)
		case in.t == nil:
		case in.t.roster != p.Dealers.digest || in.t.key != p.Key:
			return refuse("the %s input is of other members or another key", in.name)
		case in.t.kind.Masked() != in.masked:
			return refuse("the %s input is %s", in.name, in.t.kind)
		}
	}
	if p.Kind == ReshareUnmasked {
		if err := checkKey(p.Left); err != nil { // a nonce is never reshared
			return refuse("%v", err)
		}
	}
	h := newHash("sharing").bytes([]byte(p.Key.String())).number(uint64(p.Kind)).number(p.Serial).bytes(p.Dealers.subnet[:])
	for _, r := range []*Roster{p.Dealers, p.Receivers} {
		h.bytes(r.digest[:]).number(r.epoch)
	}
	for _, t := range []*Transcript{p.Left, p.Right} {
		if t == nil {
			h.bytes(nil)
		} else {
			h.bytes(t.digest[:])
		}
	}
	s.id = h.digest()
	return s, nil
}

// ID is a hash of all parameters: subnet, epoch, members and inputs are in it.
func (s *Sharing) ID() [32]byte { return s.id }

// Needed is the number of dealings that make the transcript: f+1 to have one by an honest dealer or to interpolate a secret, 2f+1 to
// interpolate a product.
func (s *Sharing) Needed() int {
	if s.Kind == Product {
		return 2*s.Dealers.F() + 1
	}
	return s.Dealers.Threshold()
}

// Order is the dealers' seats in the order in which it is their turn, another one for each sharing. The first Needed deal at once; the others need not
// before it shows that one of them is silent or bad. Select takes dealings in this order.
func (s *Sharing) Order() []int {
	n := s.Dealers.N()
	first := int(binary.BigEndian.Uint64(s.id[:8]) % uint64(n))
	out := make([]int, n)
	for i := range out {
		out[i] = (first + i) % n
	}
	return out
}

// context is what everything in a dealing is bound to.
func (s *Sharing) context(dealer int, commitment []*curve.Point) [32]byte {
	return newHash("dealing").bytes(s.id[:]).number(uint64(dealer)).points(commitment...).digest()
}

// relation is what a dealer proves of its dealing; ok is false for kinds without a proof.
func (s *Sharing) relation(dealer int, constant *curve.Point) (r relation, ok bool) {
	switch s.Kind {
	case ReshareMasked:
		return equalOpenings(s.curve, s.Left.at(dealer), constant), true
	case Product:
		return product(s.curve, s.Left.at(dealer), s.Right.at(dealer), constant), true
	}
	return relation{}, false
}
