package chain

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"fusion/btc"
	"fusion/internal/codec"
	"fusion/internal/kv"
)

// Errors of Accept and Verify. ErrFuture and ErrOrphan may pass with time, ErrFull with progress; the others are for ever.
var (
	ErrOrphan        = errors.New("header's parent is unknown")
	ErrFuture        = errors.New("header's time is too far ahead of block time")
	ErrFull          = errors.New("header tree is full")
	ErrInvalidParent = errors.New("header builds on an invalid block")
	ErrTarget        = errors.New("header's target is not the required one")
	ErrProofOfWork   = errors.New("header has not the work that it claims")
	ErrTimeTooOld    = errors.New("header's time is not above the median of its ancestors")
	ErrTimewarp      = errors.New("header starts a difficulty period too early")
	ErrVersion       = errors.New("header's version is too low for its height")
	ErrFinal         = errors.New("header competes with a final block")
	ErrCorrupt       = errors.New("stored header tree is inconsistent")
)

// BodyState says what is known of a header's transactions.
type BodyState uint8

// The states of a body.
const (
	NoBody      BodyState = iota // not seen yet
	HasBody                      // accepted
	InvalidBody                  // the body that the header commits to breaks a rule; so do all blocks above it
)

// Node is a header in the tree. Its fields are set by the Tree and must not be changed.
type Node struct {
	Header btc.Header
	Hash   btc.Hash
	Height uint32
	Work   *big.Int // of the branch from the genesis block up to here
	Parent *Node    // nil for the anchor
	Seq    uint64   // order of arrival
	Body   BodyState
	Order  uint64 // order of the body's arrival, if it has one
	Size   uint32 // bytes of the body, if it has one
	Deep   bool   // of a branch that forks below the anchor, or a final block below it
}

// Heavier tells whether n's branch wins over m's: more work, then more blocks, then the earlier one.
func (n *Node) Heavier(m *Node) bool {
	if c := n.Work.Cmp(m.Work); c != 0 {
		return c > 0
	}
	if n.Height != m.Height {
		return n.Height > m.Height
	}
	return n.Seq < m.Seq
}

// Ancestor is the node of n's branch at a height between the anchor's and n's, or nil.
func (n *Node) Ancestor(height uint32) *Node {
	for n != nil && n.Height > height {
		n = n.Parent
	}
	if n == nil || n.Height != height {
		return nil
	}
	return n
}

// up is the parent, or nil for the anchor and for nil.
func (n *Node) up() *Node {
	if n == nil {
		return nil
	}
	return n.Parent
}

// Tree is the header tree. It is not safe for concurrent use.
type Tree struct {
	params Params
	store  kv.Store
	nodes  map[btc.Hash]*Node
	anchor *Node
	best   *Node
	seq    uint64

	deep     map[btc.Hash]*Node // headers of branches from below the anchor
	deepBest *Node
	window   *window // nil until it is needed
}

// Keys: "h" hash → record of a node above the anchor; "d" hash → record of one beside the final blocks; "s" height → header of a final block; "m" → meta.
type record struct {
	Header []byte    `cbor:"1,keyasint"`
	Height uint32    `cbor:"2,keyasint"`
	Seq    uint64    `cbor:"3,keyasint"`
	Body   BodyState `cbor:"4,keyasint"`
	Order  uint64    `cbor:"5,keyasint"`
	Size   uint32    `cbor:"6,keyasint"`
}

type meta struct {
	Network uint8  `cbor:"1,keyasint"`
	Height  uint32 `cbor:"2,keyasint"`
	Work    []byte `cbor:"3,keyasint"`
	Seq     uint64 `cbor:"4,keyasint"`
}

func nodeKey(h btc.Hash) []byte     { return append([]byte("h"), h[:]...) }
func finalKey(height uint32) []byte { return binary.BigEndian.AppendUint32([]byte("s"), height) }

func (t *Tree) putNode(n *Node) {
	b := n.Header.Bytes()
	t.store.Set(nodeKey(n.Hash), codec.Marshal(record{b[:], n.Height, n.Seq, n.Body, n.Order, n.Size}))
}

func (t *Tree) putFinal(n *Node) {
	b := n.Header.Bytes()
	t.store.Set(finalKey(n.Height), b[:])
}

// Params are the network's constants, with defaults filled in.
func (t *Tree) Params() *Params { return &t.params }

// Anchor is the highest final block.
func (t *Tree) Anchor() *Node { return t.anchor }

// Best is the tip of the heaviest branch, by headers alone.
func (t *Tree) Best() *Node { return t.best }

// Len is the number of headers above the anchor.
func (t *Tree) Len() int { return len(t.nodes) - 1 }

// Get finds a header at or above the anchor, or nil.
func (t *Tree) Get(h btc.Hash) *Node { return t.nodes[h] }

// Use continues in another store with the same content: the next block's batch.
func (t *Tree) Use(store kv.Store) { t.store = store }

func (t *Tree) putMeta() {
	t.store.Set([]byte("m"), codec.Marshal(meta{uint8(t.params.Network), t.anchor.Height, t.anchor.Work.Bytes(), t.seq}))
}

// Open reads the tree from the store, or starts it with the base headers in an empty one. The tree owns all keys of the store.
func Open(params Params, store kv.Store) (*Tree, error) {
	if len(params.Base) == 0 || params.PowLimit == nil || params.BaseWork == nil {
		return nil, errors.New("chain parameters without base headers")
	}
	if params.MaxHeaders == 0 {
		params.MaxHeaders = 8000
	}
	if params.MinChainWork == nil {
		params.MinChainWork = new(big.Int)
	}
	t := &Tree{params: params, store: store, nodes: map[btc.Hash]*Node{}, deep: map[btc.Hash]*Node{}}
	raw, ok := store.Get([]byte("m"))
	if !ok {
		for i, h := range params.Base {
			t.anchor = &Node{Header: h, Hash: h.Hash(), Height: params.BaseHeight + uint32(i), Work: params.BaseWork, Body: HasBody}
			t.putFinal(t.anchor)
		}
		t.putMeta()
		t.nodes[t.anchor.Hash], t.best = t.anchor, t.anchor
		return t, nil
	}
	var m meta
	if err := codec.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if btc.Network(m.Network) != params.Network {
		return nil, fmt.Errorf("stored headers are of %v, not of %v", btc.Network(m.Network), params.Network)
	}
	h, ok := t.Final(m.Height)
	if !ok {
		return nil, fmt.Errorf("%w: no header of the anchor at height %d", ErrCorrupt, m.Height)
	}
	t.seq = m.Seq
	t.anchor = &Node{Header: h, Hash: h.Hash(), Height: m.Height, Work: new(big.Int).SetBytes(m.Work), Body: HasBody}
	t.nodes[t.anchor.Hash], t.best = t.anchor, t.anchor
	var all []*Node
	var bad error
	kv.ScanPrefix(store, []byte("h"), func(_, v []byte) bool {
		var r record
		if bad = codec.Unmarshal(v, &r); bad != nil {
			return false
		}
		var h btc.Header
		if h, bad = btc.ParseHeader(r.Header); bad != nil {
			return false
		}
		all = append(all, &Node{Header: h, Hash: h.Hash(), Height: r.Height, Seq: r.Seq, Body: r.Body, Order: r.Order, Size: r.Size})
		return true
	})
	if bad != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, bad)
	}
	slices.SortFunc(all, func(a, b *Node) int {
		return cmp.Or(cmp.Compare(a.Height, b.Height), cmp.Compare(a.Seq, b.Seq))
	})
	for _, n := range all {
		n.Parent = t.nodes[n.Header.Prev]
		if n.Parent == nil || n.Parent.Height+1 != n.Height {
			return nil, fmt.Errorf("%w: %v at height %d has no parent", ErrCorrupt, n.Hash, n.Height)
		}
		n.Work = new(big.Int).Add(n.Parent.Work, Work(n.Header.Bits))
		t.nodes[n.Hash] = n
	}
	t.findBest()
	return t, t.openDeep()
}

// Final returns the header of a final block, the anchor's included.
func (t *Tree) Final(height uint32) (btc.Header, bool) { return FinalIn(t.store, height) }

// FinalIn is Final over a snapshot of the tree's store.
func FinalIn(r kv.Reader, height uint32) (btc.Header, bool) {
	raw, ok := r.Get(finalKey(height))
	if !ok {
		return btc.Header{}, false
	}
	h, err := btc.ParseHeader(raw)
	return h, err == nil
}

// HeaderAt is the header at a height of n's branch, final or not.
func (t *Tree) HeaderAt(n *Node, height uint32) (btc.Header, bool) {
	if height <= t.anchor.Height && !n.Deep {
		return t.Final(height)
	}
	if a := n.Ancestor(height); a != nil {
		return a.Header, true
	}
	if n.Deep && height < n.Height {
		return t.Final(height)
	}
	return btc.Header{}, false
}

// MedianTime is the median of the times of n and its ten predecessors: what the next header's time must exceed.
func (t *Tree) MedianTime(n *Node) uint32 {
	times := make([]uint32, 0, medianSpan)
	for m, height := n, n.Height; len(times) < medianSpan; height-- {
		if m != nil {
			times = append(times, m.Header.Time)
			m = m.Parent
		} else if h, ok := t.Final(height); ok {
			times = append(times, h.Time)
		} else {
			break
		}
		if height == 0 {
			break
		}
	}
	slices.Sort(times)
	return times[len(times)/2]
}

// NextBits is the target that a header on top of parent must have, in compact form, if it carries the given time.
func (t *Tree) NextBits(parent *Node, time uint32) (uint32, error) {
	p := &t.params
	height := parent.Height + 1
	if height%retargetInterval != 0 {
		if !p.MinDifficulty {
			return parent.Header.Bits, nil
		}
		if int64(time) > int64(parent.Header.Time)+2*targetSpacing {
			return p.PowLimitBits, nil
		}
		if p.NoRetarget {
			return parent.Header.Bits, nil
		}
		// The last target that was not the exception.
		h := parent.Header
		for at, m := parent.Height, parent; at%retargetInterval != 0 && h.Bits == p.PowLimitBits; {
			at--
			ok := true
			if m = m.up(); m != nil {
				h = m.Header
			} else if h, ok = t.Final(at); !ok {
				return 0, fmt.Errorf("%w: no header at height %d", ErrCorrupt, at)
			}
		}
		return h.Bits, nil
	}
	if p.NoRetarget {
		return parent.Header.Bits, nil
	}
	first, ok := t.HeaderAt(parent, height-retargetInterval)
	if !ok {
		return 0, fmt.Errorf("%w: no header at height %d", ErrCorrupt, height-retargetInterval)
	}
	from := parent.Header.Bits
	if p.BIP94 {
		from = first.Bits
	}
	return p.retarget(from, int64(parent.Header.Time)-int64(first.Time))
}

// Verify checks a header against parent, which is in the tree or was itself returned by Lookup or Verify, with all rules but the future
// bound, and returns its node, which is not part of the tree.
func (t *Tree) Verify(h btc.Header, parent *Node) (*Node, error) {
	p := &t.params
	hash := h.Hash()
	height := parent.Height + 1
	if h.Prev != parent.Hash {
		return nil, fmt.Errorf("%w: %v", ErrOrphan, hash)
	}
	if parent.Body == InvalidBody {
		return nil, fmt.Errorf("%w: %v", ErrInvalidParent, parent.Hash)
	}
	want, err := t.NextBits(parent, h.Time)
	if err != nil {
		return nil, err
	}
	if h.Bits != want {
		return nil, fmt.Errorf("%w: %v at height %d has %#x, want %#x", ErrTarget, hash, height, h.Bits, want)
	}
	target, ok := Target(h.Bits)
	if !ok || target.Cmp(p.PowLimit) > 0 || !meets(hash, target) {
		return nil, fmt.Errorf("%w: %v at height %d", ErrProofOfWork, hash, height)
	}
	if median := t.MedianTime(parent); h.Time <= median {
		return nil, fmt.Errorf("%w: %v at height %d: %d, median %d", ErrTimeTooOld, hash, height, h.Time, median)
	}
	if p.BIP94 && height%retargetInterval == 0 && int64(h.Time) < int64(parent.Header.Time)-maxTimewarp {
		return nil, fmt.Errorf("%w: %v at height %d", ErrTimewarp, hash, height)
	}
	if h.Version < 2 && height >= p.BIP34Height || h.Version < 3 && height >= p.BIP66Height || h.Version < 4 && height >= p.BIP65Height {
		return nil, fmt.Errorf("%w: %v at height %d has version %d", ErrVersion, hash, height, h.Version)
	}
	return &Node{Header: h, Hash: hash, Height: height, Parent: parent, Work: new(big.Int).Add(parent.Work, Work(h.Bits)), Deep: parent.Deep}, nil
}

// Accept puts a header into the tree; now is block time in seconds. A header that is in the tree already is returned as it is.
// evicted are the nodes that made room for it, leaves before their parents. A header that forks below the anchor is kept beside the tree.
func (t *Tree) Accept(h btc.Header, now int64) (n *Node, evicted []*Node, err error) {
	if n := t.nodes[h.Hash()]; n != nil {
		return n, nil, nil
	}
	parent := t.nodes[h.Prev]
	if parent == nil {
		if n := t.Lookup(h.Hash()); n != nil {
			return n, nil, nil
		}
		if parent = t.Lookup(h.Prev); parent == nil {
			return nil, nil, fmt.Errorf("%w: %v", ErrOrphan, h.Hash())
		}
	}
	if n, err = t.Verify(h, parent); err != nil {
		return nil, nil, err
	}
	if int64(h.Time) > now+MaxFuture {
		return nil, nil, fmt.Errorf("%w: %v: %d s", ErrFuture, n.Hash, int64(h.Time)-now)
	}
	if n.Deep {
		if evicted, err = t.acceptDeep(n); err != nil {
			return nil, evicted, err
		}
		return n, evicted, nil
	}
	for t.Len() >= t.params.MaxHeaders {
		victim := t.lightestLeaf(parent)
		if victim == nil || n.Work.Cmp(t.best.Work) <= 0 {
			return nil, evicted, fmt.Errorf("%w: %d headers above height %d", ErrFull, t.Len(), t.anchor.Height)
		}
		evicted = append(evicted, victim)
		t.drop(victim)
	}
	t.seq++
	n.Seq = t.seq
	t.nodes[n.Hash] = n
	t.putNode(n)
	t.putMeta()
	if n.Heavier(t.best) {
		t.best = n
	}
	return n, evicted, nil
}

// lightestLeaf is the leaf with the least work, and among those the latest, that is no ancestor of keep.
func (t *Tree) lightestLeaf(keep *Node) *Node {
	inner := map[btc.Hash]bool{t.anchor.Hash: true}
	for _, n := range t.nodes {
		inner[n.Header.Prev] = true
	}
	for n := keep; n != nil; n = n.Parent {
		inner[n.Hash] = true
	}
	var least *Node
	for h, n := range t.nodes {
		if !inner[h] && (least == nil || least.Heavier(n)) {
			least = n
		}
	}
	return least
}

func (t *Tree) drop(n *Node) {
	delete(t.nodes, n.Hash)
	t.store.Delete(nodeKey(n.Hash))
	if t.best == n {
		t.findBest()
	}
}

func (t *Tree) findBest() {
	t.best = t.anchor
	for _, n := range t.nodes {
		if n.Body != InvalidBody && n.Heavier(t.best) {
			t.best = n
		}
	}
}

// SetBody records that n's body was accepted, with its size in bytes.
func (t *Tree) SetBody(n *Node, size int) {
	t.seq++
	n.Body, n.Order, n.Size = HasBody, t.seq, uint32(size)
	t.putNode(n)
	t.putMeta()
}

// ClearBody records that n's body was dropped.
func (t *Tree) ClearBody(n *Node) {
	n.Body, n.Order, n.Size = NoBody, 0, 0
	t.putNode(n)
}

// SetInvalid records that n's own body is invalid and removes the headers above n, which it returns.
func (t *Tree) SetInvalid(n *Node) (removed []*Node) {
	n.Body = InvalidBody
	t.putNode(n)
	for _, m := range t.Sorted() {
		if m.Height > n.Height && m.Ancestor(n.Height) == n {
			removed = append(removed, m)
		}
	}
	for _, m := range removed {
		delete(t.nodes, m.Hash)
		t.store.Delete(nodeKey(m.Hash))
	}
	t.findBest()
	return removed
}

// Advance makes n, a child of the anchor, the anchor. It removes n's siblings and all above them, and returns them.
func (t *Tree) Advance(n *Node) (removed []*Node) {
	if n.Parent != t.anchor {
		panic(fmt.Sprintf("chain: %v at height %d is no child of the anchor", n.Hash, n.Height))
	}
	dead := map[*Node]bool{}
	single := t.Len() == int(t.best.Height-t.anchor.Height) && t.best.Ancestor(n.Height) == n // there are no siblings
	if !single {
		for _, m := range t.nodes {
			if m.Parent == t.anchor && m != n {
				dead[m] = true
			}
		}
	}
	if len(dead) > 0 {
		for _, m := range t.Sorted() {
			if dead[m] || dead[m.Parent] {
				dead[m] = true
				removed = append(removed, m)
			}
		}
	}
	for _, m := range removed {
		delete(t.nodes, m.Hash)
		t.store.Delete(nodeKey(m.Hash))
	}
	delete(t.nodes, t.anchor.Hash)
	t.store.Delete(nodeKey(n.Hash))
	n.Parent, n.Body = nil, HasBody
	t.anchor = n
	if w := t.window; w != nil {
		w.at[n.Hash] = n.Height
		w.work = append(w.work, n.Work)
		if len(w.work) > 2*MaxForkDepth {
			t.window = nil // made anew when it is needed
		}
	}
	t.putFinal(n)
	t.putMeta()
	if !single {
		t.findBest()
	}
	t.pruneDeep()
	return removed
}

// Sorted lists all nodes, the anchor included, by height and then by arrival.
func (t *Tree) Sorted() []*Node {
	all := make([]*Node, 0, len(t.nodes))
	for _, n := range t.nodes {
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b *Node) int {
		return cmp.Or(cmp.Compare(a.Height, b.Height), cmp.Compare(a.Seq, b.Seq))
	})
	return all
}

// EnoughWork tells whether the heaviest branch has the work that the release demands of the network.
func (t *Tree) EnoughWork() bool { return t.best.Work.Cmp(t.params.MinChainWork) >= 0 }
