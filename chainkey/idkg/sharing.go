package idkg

import (
	"encoding/binary"
	"fmt"
	"math"

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
	Serial    uint64 // of the first secret, the next ones count on: never twice the same for a key, kind and epoch
	Dealers   *Roster
	Receivers *Roster
	// Count is how many secrets are shared at once, each in a transcript of its own. Encryption, signatures and supports cost as much for all as
	// for one. The default is 1.
	Count int
	// Left are what is reshared, or the unmasked factors; Right are the masked ones; one for each secret. The dealers hold shares of all.
	Left, Right []*Transcript
}

// MaxCount bounds the secrets of one sharing.
const MaxCount = 32

// Sharing is transcripts in the making. It has no state: members deal, check and combine with it, in any order and as often as they like.
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
	if p.Count == 0 {
		p.Count, s.Count = 1, 1
	}
	if p.Count < 0 || p.Count > MaxCount || p.Serial > math.MaxUint64-MaxCount {
		return refuse("%d secrets from serial %d, want 1 to %d", p.Count, p.Serial, MaxCount)
	}
	for _, in := range []struct {
		name   string
		ts     []*Transcript
		want   bool
		masked bool
	}{{"left", p.Left, p.Kind >= ReshareMasked, p.Kind == ReshareMasked}, {"right", p.Right, p.Kind == Product, true}} {
		if in.want && len(in.ts) != p.Count || !in.want && len(in.ts) != 0 {
			return refuse("%d %s inputs for %d secrets", len(in.ts), in.name, p.Count)
		}
		for _, t := range in.ts {
			if t == nil || t.roster != p.Dealers.digest || t.key != p.Key {
				return refuse("a %s input is missing, or of other members or another key", in.name)
			}
			if t.kind.Masked() != in.masked {
				return refuse("a %s input is %s", in.name, t.kind)
			}
			if err := checkKey(t); p.Kind == ReshareUnmasked && err != nil { // a nonce is never reshared
				return refuse("%v", err)
			}
		}
	}
	h := newHash("sharing").bytes([]byte(p.Key.String())).number(uint64(p.Kind)).number(p.Serial).number(uint64(p.Count)).bytes(p.Dealers.subnet[:])
	for _, r := range []*Roster{p.Dealers, p.Receivers} {
		h.bytes(r.digest[:]).number(r.epoch)
	}
	for _, ts := range [][]*Transcript{p.Left, p.Right} {
		h.number(uint64(len(ts)))
		for _, t := range ts {
			h.bytes(t.digest[:])
		}
	}
	s.id = h.digest()
	return s, nil
}

// ID is a hash of all parameters: subnet, epoch, members and inputs are in it.
func (s *Sharing) ID() [32]byte { return s.id }

// Needed is the number of dealings that make the transcripts: f+1 to have one by an honest dealer or to interpolate a secret, 2f+1 to
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
func (s *Sharing) context(dealer int, commitments [][]*curve.Point) [32]byte {
	h := newHash("dealing").bytes(s.id[:]).number(uint64(dealer)).number(uint64(len(commitments)))
	for _, c := range commitments {
		h.points(c...)
	}
	return h.digest()
}

// relation is what a dealer proves of its dealing of one secret, for kinds with a proof, and what the proof is bound to.
func (s *Sharing) relation(dealer, index int, constant *curve.Point, dealing [32]byte) (r relation, purpose string, context [32]byte) {
	context = newHash("secret").bytes(dealing[:]).number(uint64(index)).digest()
	if s.Kind == ReshareMasked {
		return equalOpenings(s.curve, s.Left[index].at(dealer), constant), "reshare", context
	}
	return product(s.curve, s.Left[index].at(dealer), s.Right[index].at(dealer), constant), "product", context
}
