package hashtree

import (
	"bytes"
	"cmp"
	"math/bits"
	"slices"
	"sync/atomic"
)

// Map is a persistent, history-independent, ordered map from paths of labels to values. nil is the empty Map. No path of a
// value is a prefix of another value's path, and there are no empty subtrees: the Map is exactly its set of values.
//
// Methods that change return a new Map. Values and labels that are handed in must not be changed afterwards.
type Map struct {
	// A Map is the root of its trie: an inner node (entry == nil) with two children that first differ at crit, or an entry.
	crit        int32
	hashed      atomic.Uint32
	digest      Hash
	left, right *Map
	entry       *entry
}

// entry is a label with a value, or with a further Map.
type entry struct {
	label []byte
	value []byte
	sub   *Map // nil for a value
}

// States of Map.hashed.
const (
	digestUnknown = iota
	digestBusy    // somebody is writing it
	digestKnown
)

// Each label position has nine bits: the first tells a byte from the end, the others are the byte.
const symbolBits = 9

// bitAt returns bit number i of a label read as 9-bit symbols.
func bitAt(label []byte, i int32) int {
	pos, bit := int(i/symbolBits), i%symbolBits
	if pos >= len(label) {
		return 0
	}
	if bit == 0 {
		return 1
	}
	return int(label[pos]>>(symbolBits-1-bit)) & 1
}

// critBit returns the first bit in which two different labels differ.
func critBit(a, b []byte) int32 {
	n := min(len(a), len(b))
	for i := range n {
		if x := a[i] ^ b[i]; x != 0 {
			return int32(i*symbolBits + 1 + bits.LeadingZeros8(x))
		}
	}
	return int32(n * symbolBits)
}

// find returns the entry with the label, or nil.
func (m *Map) find(label []byte) *entry {
	e := m.nearest(label)
	if e == nil || !bytes.Equal(e.label, label) {
		return nil
	}
	return e
}

// nearest returns an entry that shares with the label the longest prefix that any entry shares.
func (m *Map) nearest(label []byte) *entry {
	if m == nil {
		return nil
	}
	for m.entry == nil {
		if bitAt(label, m.crit) == 0 {
			m = m.left
		} else {
			m = m.right
		}
	}
	return m.entry
}

// Get returns the value at a path.
func (m *Map) Get(path ...[]byte) (value []byte, ok bool) {
	for i, label := range path {
		e := m.find(label)
		switch {
		case e == nil:
			return nil, false
		case e.sub != nil:
			m = e.sub
		default:
			return e.value, i == len(path)-1
		}
	}
	return nil, false
}

// Sub returns what stands below a path, or nil where there is nothing or a value.
func (m *Map) Sub(path ...[]byte) *Map {
	for _, label := range path {
		e := m.find(label)
		if e == nil {
			return nil
		}
		m = e.sub
	}
	return m
}

// Insert puts a value at a path, in place of anything that stood there, below it, or as a value above it. The path must not be
// empty.
func (m *Map) Insert(path [][]byte, value []byte) *Map {
	return m.put(path, &entry{value: value})
}

// InsertMap puts a whole Map at a path, as Insert does a value; an empty one deletes what stood there. The path must not be
// empty.
func (m *Map) InsertMap(path [][]byte, sub *Map) *Map {
	if sub == nil {
		return m.Delete(path)
	}
	return m.put(path, &entry{sub: sub})
}

func (m *Map) put(path [][]byte, e *entry) *Map {
	if len(path) == 0 {
		panic("hashtree: insert at the empty path")
	}
	if len(path) > 1 {
		var below *Map
		if old := m.find(path[0]); old != nil {
			below = old.sub
		}
		e = &entry{sub: below.put(path[1:], e)}
	}
	e.label = path[0]
	if m == nil {
		return &Map{entry: e}
	}
	near := m.nearest(e.label)
	if bytes.Equal(near.label, e.label) {
		return m.replace(e)
	}
	return m.split(e, critBit(near.label, e.label))
}

// replace copies the way to the entry with e's label and puts e there.
func (m *Map) replace(e *entry) *Map {
	if m.entry != nil {
		return &Map{entry: e}
	}
	c := &Map{crit: m.crit, left: m.left, right: m.right}
	if bitAt(e.label, m.crit) == 0 {
		c.left = m.left.replace(e)
	} else {
		c.right = m.right.replace(e)
	}
	return c
}

// split copies the way to where e, a new label, leaves the trie, and forks there.
func (m *Map) split(e *entry, crit int32) *Map {
	if m.entry != nil || m.crit > crit {
		if bitAt(e.label, crit) == 0 {
			return &Map{crit: crit, left: &Map{entry: e}, right: m}
		}
		return &Map{crit: crit, left: m, right: &Map{entry: e}}
	}
	c := &Map{crit: m.crit, left: m.left, right: m.right}
	if bitAt(e.label, m.crit) == 0 {
		c.left = m.left.split(e, crit)
	} else {
		c.right = m.right.split(e, crit)
	}
	return c
}

// Delete removes the value or everything below a path; subtrees that become empty go too. Deleting at the empty path gives the
// empty Map.
func (m *Map) Delete(path [][]byte) *Map {
	if len(path) == 0 || m == nil {
		return nil
	}
	old := m.find(path[0])
	if old == nil {
		return m
	}
	if len(path) > 1 {
		if old.sub == nil {
			return m
		}
		sub := old.sub.Delete(path[1:])
		if sub == old.sub {
			return m
		}
		if sub != nil {
			return m.replace(&entry{label: old.label, sub: sub})
		}
	}
	return m.remove(path[0])
}

// remove copies the way to the entry with the label, which exists, and leaves it out.
func (m *Map) remove(label []byte) *Map {
	if m.entry != nil {
		return nil
	}
	c := &Map{crit: m.crit, left: m.left, right: m.right}
	if bitAt(label, m.crit) == 0 {
		if c.left = m.left.remove(label); c.left == nil {
			return m.right
		}
	} else if c.right = m.right.remove(label); c.right == nil {
		return m.left
	}
	return c
}

// Each visits the labels of the first level in order until visit returns false; sub is nil where there is a value.
func (m *Map) Each(visit func(label, value []byte, sub *Map) bool) bool {
	if m == nil {
		return true
	}
	if e := m.entry; e != nil {
		return visit(e.label, e.value, e.sub)
	}
	return m.left.Each(visit) && m.right.Each(visit)
}

// Digest returns the root hash. It is computed once; concurrent calls are safe.
func (m *Map) Digest() Hash {
	if m == nil {
		return emptyDigest
	}
	if m.hashed.Load() == digestKnown {
		return m.digest
	}
	var d Hash
	if e := m.entry; e != nil {
		d = e.treeDigest()
		d = labeledDigest(e.label, &d)
	} else {
		l, r := m.left.Digest(), m.right.Digest()
		d = forkDigest(&l, &r)
	}
	if m.hashed.CompareAndSwap(digestUnknown, digestBusy) {
		m.digest = d
		m.hashed.Store(digestKnown)
	}
	return d
}

func (e *entry) treeDigest() Hash {
	if e.sub != nil {
		return e.sub.Digest()
	}
	return leafDigest(e.value)
}

// Witness returns the tree that reveals the given paths: the value at a path, all values below it, or the labels that prove
// that nothing is there. Everything else is pruned. The empty path reveals the whole Map.
func (m *Map) Witness(paths ...[][]byte) Node {
	var w want
	for _, p := range paths {
		w.add(m, p)
	}
	w.normalise()
	return w.node(m)
}

// want says what to reveal of one Map: everything, or some of its labels.
type want struct {
	all    bool
	labels []wantLabel
}

type wantLabel struct {
	label []byte // one of an entry's labels
	e     *entry
	want  want // what to reveal of its subtree; nothing for a label that only proves an absence
}

func (w *want) add(m *Map, path [][]byte) {
	if len(path) == 0 {
		w.all = true
		return
	}
	e := m.find(path[0])
	if e == nil {
		below, above := m.neighbours(path[0])
		for _, n := range []*entry{below, above} {
			if n != nil {
				w.labels = append(w.labels, wantLabel{label: n.label, e: n})
			}
		}
		return
	}
	l := wantLabel{label: e.label, e: e}
	if e.sub == nil {
		l.want.all = true // a value; it also proves that nothing is below it
	} else {
		l.want.add(e.sub, path[1:])
	}
	w.labels = append(w.labels, l)
}

// normalise sorts labels and merges what is wanted of the same one.
func (w *want) normalise() {
	if len(w.labels) < 2 {
		for i := range w.labels {
			w.labels[i].want.normalise()
		}
		return
	}
	slices.SortFunc(w.labels, func(a, b wantLabel) int { return bytes.Compare(a.label, b.label) })
	out := w.labels[:1]
	for _, l := range w.labels[1:] {
		last := &out[len(out)-1]
		if !bytes.Equal(last.label, l.label) {
			out = append(out, l)
			continue
		}
		last.want.all = last.want.all || l.want.all
		last.want.labels = append(last.want.labels, l.want.labels...)
	}
	w.labels = out
	for i := range out {
		out[i].want.normalise()
	}
}

// neighbours returns the entries directly below and above a label that is not in the Map.
func (m *Map) neighbours(label []byte) (below, above *entry) {
	if m == nil {
		return nil, nil
	}
	near := m.nearest(label)
	crit := critBit(near.label, label)
	// Everything under the first node past crit shares one side of the label; its siblings on the way give the other side.
	n := m
	for n.entry == nil && n.crit < crit {
		if bitAt(label, n.crit) == 0 {
			above, n = n.right.min(), n.left
		} else {
			below, n = n.left.max(), n.right
		}
	}
	if bitAt(label, crit) == 0 {
		return below, n.min()
	}
	return n.max(), above
}

func (m *Map) min() *entry {
	for m.entry == nil {
		m = m.left
	}
	return m.entry
}

func (m *Map) max() *entry {
	for m.entry == nil {
		m = m.right
	}
	return m.entry
}

func (w *want) node(m *Map) Node {
	switch {
	case m == nil:
		return Empty{}
	case w.all:
		return m.reveal()
	}
	return m.prune(w.labels)
}

// prune reveals the wanted labels, which are sorted and all in m.
func (m *Map) prune(labels []wantLabel) Node {
	if len(labels) == 0 {
		p := Pruned(m.Digest())
		return &p
	}
	e := m.entry
	if e == nil {
		// Labels with a set bit at crit are the larger ones.
		i, _ := slices.BinarySearchFunc(labels, 1, func(l wantLabel, one int) int { return cmp.Compare(bitAt(l.label, m.crit), one) })
		return &Fork{Left: m.left.prune(labels[:i]), Right: m.right.prune(labels[i:])}
	}
	w := &labels[0].want
	var tree Node
	switch {
	case w.all && e.sub == nil:
		tree = Leaf(e.value)
	case w.all || len(w.labels) > 0:
		tree = w.node(e.sub)
	default:
		p := Pruned(e.treeDigest())
		tree = &p
	}
	return &Labeled{Label: e.label, Tree: tree}
}

// reveal turns the whole Map into a tree.
func (m *Map) reveal() Node {
	e := m.entry
	switch {
	case e == nil:
		return &Fork{Left: m.left.reveal(), Right: m.right.reveal()}
	case e.sub == nil:
		return &Labeled{Label: e.label, Tree: Leaf(e.value)}
	}
	return &Labeled{Label: e.label, Tree: e.sub.reveal()}
}

// Len counts the values.
func (m *Map) Len() int {
	n := 0
	m.Each(func(_, _ []byte, sub *Map) bool {
		if sub == nil {
			n++
		} else {
			n += sub.Len()
		}
		return true
	})
	return n
}
