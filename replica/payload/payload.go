// Package payload says what a block carries and how much of it.
//
// A block is a list of items. An item is one byte of Kind and a body that the room which owns the kind decodes and checks;
// here live only the order and the quotas, so that no kind starves another: a flood of ingress cannot keep a signature or a
// beacon out of a block, nor a large Bitcoin block the ingress. Kinds stand in ascending order in a block.
//
// Builder is used by the proposer; Parse by everybody, before anything in a block is believed.
package payload

import (
	"errors"
	"fmt"
)

// Kind is what an item is.
type Kind byte

// The kinds, in the order in which they stand in a block and are applied.
const (
	Beacon      Kind = 1 + iota // a combined BLS signature over a height
	Incarnation                 // a replica's announcement of its newest boot
	DKG                         // bundles of BLS key generations
	KeyVote                     // a member's vote to activate a threshold key
	Complaint                   // a member's complaint about another in a ceremony
	Signature                   // a finished threshold signature
	DerivedKey                  // a finished encrypted key
	Outcall                     // what the world outside answered, or that the replicas do not agree on it
	Bitcoin                     // Bitcoin headers and blocks
	Ingress                     // a user's signed call
	Membership                  // a node's word about a change of membership
	Rival                       // a member's word about a heavier Bitcoin chain
	Transcript                  // dealings that make transcripts of threshold keys, and what belongs to them
	kinds
)

var names = [...]string{"", "beacon", "incarnation", "dkg", "key vote", "complaint", "signature", "derived key", "outcall", "bitcoin", "ingress", "membership", "rival", "transcript"}

func (k Kind) String() string {
	if k == 0 || k >= kinds {
		return fmt.Sprintf("kind %d", byte(k))
	}
	return names[k]
}

// Quota bounds the items of one kind in one block.
type Quota struct {
	Bytes int // in all, kind bytes included
	Count int
}

// Quotas of a block. The largest Bitcoin block (4,000,000 weight units, BIP 141) with its headers fits whole, and so does the largest answer
// to an outcall (2,000,000 bytes with the signatures of many nodes), though not both at once. Ingress is
// soft-limited to 1 MiB (DESIGN: larger blocks overrun the proposer's time on slow disks), or one message of up to 2 MiB.
var Quotas = [kinds]Quota{
	Beacon:      {Bytes: 16 << 10, Count: 64},
	Incarnation: {Bytes: 16 << 10, Count: 64},
	DKG:         {Bytes: 512 << 10, Count: 128},
	KeyVote:     {Bytes: 32 << 10, Count: 128},
	Complaint:   {Bytes: 64 << 10, Count: 128},
	Signature:   {Bytes: 64 << 10, Count: 256},
	DerivedKey:  {Bytes: 32 << 10, Count: 64}, // checking one costs 5 ms
	Outcall:     {Bytes: 2<<20 + 128<<10, Count: 256},
	Bitcoin:     {Bytes: 4_000_000 + 64<<10, Count: 1},
	Ingress:     {Bytes: 1 << 20, Count: 4_000},
	Membership:  {Bytes: 96 << 10, Count: 64},
	Rival:       {Bytes: 16 << 10, Count: 64},
	Transcript:  {Bytes: 768 << 10, Count: 64},
}

// MaxIngressBytes is the largest single ingress message (2 MiB, the Internet Computer's limit, with room for its envelope).
const MaxIngressBytes = 2<<20 + 64<<10

// ErrInvalid is wrapped by every refusal of a block's items.
var ErrInvalid = errors.New("invalid payload")

// Item is one part of a block.
type Item struct {
	Kind Kind
	Body []byte
}

// Builder fills a block within a byte limit and the quotas.
type Builder struct {
	left  int
	bytes [kinds]int
	count [kinds]int
	items [kinds][][]byte
}

// NewBuilder makes a builder for a block of at most maxBytes.
func NewBuilder(maxBytes int) *Builder { return &Builder{left: maxBytes} }

// perItem is what the consensus engine adds to each item (protobuf tag and length).
const perItem = 8

// Add puts an item in if it fits, and says whether it did.
func (b *Builder) Add(kind Kind, body []byte) bool {
	n := len(body) + 1
	if n+perItem > b.left || !fits(kind, b.bytes[kind], b.count[kind], n) {
		return false
	}
	b.left -= n + perItem
	b.bytes[kind] += n
	b.count[kind]++
	b.items[kind] = append(b.items[kind], append([]byte{byte(kind)}, body...))
	return true
}

// Room is how many bytes of the kind still fit.
func (b *Builder) Room(kind Kind) int {
	return max(0, min(b.left-perItem, Quotas[kind].Bytes-b.bytes[kind])-1)
}

func fits(kind Kind, bytes, count, n int) bool {
	q := Quotas[kind]
	if kind == Ingress && count == 0 { // one large message alone may pass the soft limit
		return n <= MaxIngressBytes
	}
	return bytes+n <= q.Bytes && count < q.Count
}

// Items returns the block's transactions in their order.
func (b *Builder) Items() [][]byte {
	var out [][]byte
	for _, list := range b.items {
		out = append(out, list...)
	}
	return out
}

// Parse checks kinds, order and quotas of a block's transactions. Bodies alias the input.
func Parse(txs [][]byte) ([]Item, error) {
	var bytes, count [kinds]int
	items := make([]Item, 0, len(txs))
	last := Kind(0)
	for i, tx := range txs {
		if len(tx) < 2 {
			return nil, fmt.Errorf("%w: item %d is empty", ErrInvalid, i)
		}
		k := Kind(tx[0])
		if k == 0 || k >= kinds || k < last {
			return nil, fmt.Errorf("%w: item %d is of %v after %v", ErrInvalid, i, k, last)
		}
		if !fits(k, bytes[k], count[k], len(tx)) {
			return nil, fmt.Errorf("%w: more %v than a block may carry", ErrInvalid, k)
		}
		bytes[k] += len(tx)
		count[k]++
		last = k
		items = append(items, Item{k, tx[1:]})
	}
	return items, nil
}
