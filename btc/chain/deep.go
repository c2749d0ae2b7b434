package chain

import (
	"cmp"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"fusion/btc"
	"fusion/internal/codec"
	"fusion/internal/kv"
)

// A branch that forks below the anchor can not be followed: what it replaces is final. Its headers are kept all the same, beside the
// tree and with their work checked, because a branch with more work than the tree's says that what is final should not have been.
const (
	// MaxForkDepth is how far below the anchor a branch may fork to be kept.
	MaxForkDepth = 6000
	// maxDeep bounds the headers of all such branches together: one from the greatest depth can outgrow what lies above the anchor.
	maxDeep = 10_000
)

// window knows the last final blocks by hash. It is made when a header first asks for it.
type window struct {
	at   map[btc.Hash]uint32
	low  uint32
	work []*big.Int // of the chain up to each height from low on
}

func (t *Tree) finals() *window {
	if t.window != nil {
		return t.window
	}
	w := &window{at: map[btc.Hash]uint32{}}
	work, of := t.anchor.Work, map[uint32]*big.Int{}
	for height := t.anchor.Height; ; height-- {
		h, ok := t.Final(height)
		if !ok {
			break
		}
		w.at[h.Hash()], w.low = height, height
		w.work = append(w.work, work)
		if of[h.Bits] == nil {
			of[h.Bits] = Work(h.Bits)
		}
		work = new(big.Int).Sub(work, of[h.Bits])
		if height == 0 || t.anchor.Height-height == MaxForkDepth {
			break
		}
	}
	slices.Reverse(w.work)
	t.window = w
	return w
}

// Lookup finds a header of the tree, of a branch from below the anchor, or of one of the last MaxForkDepth final blocks, or nil.
func (t *Tree) Lookup(h btc.Hash) *Node {
	if n := t.nodes[h]; n != nil {
		return n
	}
	if n := t.deep[h]; n != nil {
		return n
	}
	w := t.finals()
	height, ok := w.at[h]
	if !ok || height+MaxForkDepth < t.anchor.Height {
		return nil
	}
	header, ok := t.Final(height)
	if !ok {
		panic(fmt.Errorf("%w: no final header at height %d", ErrCorrupt, height))
	}
	return &Node{Header: header, Hash: h, Height: height, Work: w.work[height-w.low], Body: HasBody, Deep: true}
}

func deepKey(h btc.Hash) []byte { return append([]byte("d"), h[:]...) }

// acceptDeep keeps a verified header of a branch from below the anchor. Where there is no room, the leaf that came first goes, but never the
// heaviest branch.
func (t *Tree) acceptDeep(n *Node) (evicted []*Node, err error) {
	for len(t.deep) >= maxDeep {
		victim := t.oldestDeepLeaf(n.Parent)
		if victim == nil {
			return evicted, fmt.Errorf("%w: %d headers of branches from below height %d", ErrFull, len(t.deep), t.anchor.Height)
		}
		evicted = append(evicted, victim)
		t.dropDeep(victim)
	}
	t.seq++
	n.Seq = t.seq
	t.deep[n.Hash] = n
	b := n.Header.Bytes()
	t.store.Set(deepKey(n.Hash), codec.Marshal(record{Header: b[:], Height: n.Height, Seq: n.Seq}))
	t.putMeta()
	if t.deepBest == nil || n.Heavier(t.deepBest) {
		t.deepBest = n
	}
	return evicted, nil
}

func (t *Tree) oldestDeepLeaf(keep *Node) *Node {
	inner := map[btc.Hash]bool{}
	for _, n := range t.deep {
		inner[n.Header.Prev] = true
	}
	for n := keep; n != nil; n = n.Parent {
		inner[n.Hash] = true
	}
	var oldest *Node
	for h, n := range t.deep {
		if !inner[h] && n != t.deepBest && (oldest == nil || n.Seq < oldest.Seq) {
			oldest = n
		}
	}
	return oldest
}

func (t *Tree) dropDeep(n *Node) {
	delete(t.deep, n.Hash)
	t.store.Delete(deepKey(n.Hash))
}

// pruneDeep drops the branches that fork too far below the anchor by now.
func (t *Tree) pruneDeep() {
	if len(t.deep) == 0 {
		return
	}
	dead := map[btc.Hash]bool{}
	for _, n := range t.DeepHeaders() {
		if t.deep[n.Header.Prev] == nil && !dead[n.Header.Prev] && n.Height-1+MaxForkDepth < t.anchor.Height || dead[n.Header.Prev] {
			dead[n.Hash] = true
			t.dropDeep(n)
		}
	}
	t.deepBest = nil
	for _, n := range t.deep {
		if t.deepBest == nil || n.Heavier(t.deepBest) {
			t.deepBest = n
		}
	}
}

// DeepBest is the end of the heaviest branch from below the anchor, or nil if there is none.
func (t *Tree) DeepBest() *Node { return t.deepBest }

// DeepHeaders lists the headers of branches from below the anchor by height and then by arrival.
func (t *Tree) DeepHeaders() []*Node {
	all := make([]*Node, 0, len(t.deep))
	for _, n := range t.deep {
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b *Node) int {
		return cmp.Or(cmp.Compare(a.Height, b.Height), cmp.Compare(a.Seq, b.Seq))
	})
	return all
}

// ForkHeight is the height of the final block on which the branch of a header from below the anchor was built.
func (n *Node) ForkHeight() uint32 {
	for n.Parent != nil {
		n = n.Parent
	}
	return n.Height
}

// openDeep reads the branches from below the anchor back.
func (t *Tree) openDeep() error {
	var all []*Node
	var bad error
	kv.ScanPrefix(t.store, []byte("d"), func(_, v []byte) bool {
		var r record
		var h btc.Header
		if bad = codec.Unmarshal(v, &r); bad == nil {
			h, bad = btc.ParseHeader(r.Header)
		}
		all = append(all, &Node{Header: h, Hash: h.Hash(), Height: r.Height, Seq: r.Seq, Deep: true})
		return bad == nil
	})
	if bad != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, bad)
	}
	slices.SortFunc(all, func(a, b *Node) int { return cmp.Compare(a.Height, b.Height) })
	for _, n := range all {
		n.Parent = t.Lookup(n.Header.Prev)
		if n.Parent == nil || !n.Parent.Deep || n.Parent.Height+1 != n.Height {
			return fmt.Errorf("%w: %v at height %d has no parent", ErrCorrupt, n.Hash, n.Height)
		}
		n.Work = new(big.Int).Add(n.Parent.Work, Work(n.Header.Bits))
		t.deep[n.Hash] = n
		if t.deepBest == nil || n.Heavier(t.deepBest) {
			t.deepBest = n
		}
	}
	return nil
}

// errDeepBody is why no body is taken for such a header.
var errDeepBody = errors.New("its branch forks below the anchor")

// CheckBody tells why a header can have no body: it is final, or competes with what is.
func (n *Node) CheckBody() error {
	if n.Deep {
		return fmt.Errorf("%w: %v at height %d: %w", ErrFinal, n.Hash, n.Height, errDeepBody)
	}
	return nil
}
