package stable

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// A Map is a B+tree of equal nodes. Node 0 is the header; nodes that are not in use form a list.
//
//	header: magic 4, key bound 2, value bound 2, node size 4, root 4, height 4, nodes 4, free list 4, pad 4, entries 8
//	node:   number of entries 2, pad 2, first child (inner) or next free node (free) 4, entries
//	entry:  key length 1, key padded; then value length 2 and value padded (leaf) or child 4 (inner)
//
// Child i+1 of an inner node holds the keys from entry i's key on. A leaf that becomes empty is removed from its parent; nodes that
// are merely half empty are left alone ("free at empty"), which costs space in unlucky cases and never order or height.
const (
	mapMagic   = "FSB\x01"
	mapHeader  = 48
	nodeHeader = 8
	nodeUnit   = 4096 // nodes are a multiple of the page that replicas persist
	minFanout  = 8
	cacheSlots = 128

	// MaxKey and MaxValue bound what OpenMap accepts, in bytes.
	MaxKey   = 255
	MaxValue = 1 << 15
)

// Map is an ordered map of byte strings of bounded length.
type Map struct {
	m                  Memory
	keyMax, valMax     int
	nodeSize           int
	leafCap, innerCap  int
	leafSize, pairSize int // bytes of an entry in a leaf and in an inner node
	root, height       uint32
	nodes, free        uint32
	n                  uint64

	path   []step
	probe  []byte
	node   []byte
	leaf   []byte // the leaf used last, with room for one entry too many
	leafID uint32
	cache  [cacheSlots]struct {
		id   uint32
		node []byte
	}
}

type step struct {
	id    uint32
	child int // which child was taken, 0 to n
}

// OpenMap opens a map whose keys have at most keyMax (1 to MaxKey) and values at most valMax (0 to MaxValue) bytes.
func OpenMap(m Memory, keyMax, valMax int) (*Map, error) {
	if keyMax < 1 || keyMax > MaxKey || valMax < 0 || valMax > MaxValue {
		return nil, fmt.Errorf("%w: bounds %d and %d", ErrTooLarge, keyMax, valMax)
	}
	t := &Map{m: m, keyMax: keyMax, valMax: valMax, leafSize: 1 + keyMax + 2 + valMax, pairSize: 1 + keyMax + 4}
	need := nodeHeader + minFanout*max(t.leafSize, t.pairSize)
	t.nodeSize = (need + nodeUnit - 1) / nodeUnit * nodeUnit
	t.leafCap, t.innerCap = (t.nodeSize-nodeHeader)/t.leafSize, (t.nodeSize-nodeHeader)/t.pairSize
	t.probe = make([]byte, 1+keyMax)
	t.node = make([]byte, t.nodeSize+t.pairSize) // room for one entry too many while splitting
	t.leaf = make([]byte, t.nodeSize+t.leafSize)

	if m.Size() == 0 {
		t.root, t.height, t.nodes = 1, 1, 2
		if err := reserve(m, 2*uint64(t.nodeSize)); err != nil {
			return nil, err
		}
		t.writeHeader()
		return t, nil
	}
	var h [mapHeader]byte
	m.Read(h[:], 0)
	le := binary.LittleEndian
	if string(h[:4]) != mapMagic {
		return nil, fmt.Errorf("%w: map header %x", ErrCorrupt, h[:4])
	}
	if k, v, s := int(le.Uint16(h[4:])), int(le.Uint16(h[6:])), int(le.Uint32(h[8:])); k != keyMax || v != valMax || s != t.nodeSize {
		return nil, fmt.Errorf("%w: map was made for keys of %d and values of %d bytes, not %d and %d", ErrCorrupt, k, v, keyMax, valMax)
	}
	t.root, t.height, t.nodes, t.free, t.n = le.Uint32(h[12:]), le.Uint32(h[16:]), le.Uint32(h[20:]), le.Uint32(h[24:]), le.Uint64(h[32:])
	if t.root == 0 || t.root >= t.nodes || t.free >= t.nodes || t.height == 0 || uint64(t.nodes)*uint64(t.nodeSize) > m.Size()*PageSize {
		return nil, fmt.Errorf("%w: map header %x", ErrCorrupt, h)
	}
	return t, nil
}

func (t *Map) writeHeader() {
	var h [mapHeader]byte
	le := binary.LittleEndian
	copy(h[:], mapMagic)
	le.PutUint16(h[4:], uint16(t.keyMax))
	le.PutUint16(h[6:], uint16(t.valMax))
	le.PutUint32(h[8:], uint32(t.nodeSize))
	le.PutUint32(h[12:], t.root)
	le.PutUint32(h[16:], t.height)
	le.PutUint32(h[20:], t.nodes)
	le.PutUint32(h[24:], t.free)
	le.PutUint64(h[32:], t.n)
	t.m.Write(0, h[:])
}

// Len is the number of entries.
func (t *Map) Len() uint64 { return t.n }

func (t *Map) at(id uint32) uint64 { return uint64(id) * uint64(t.nodeSize) }

// inner returns an inner node through the cache. The slice is valid until the next call that may evict it.
func (t *Map) inner(id uint32) []byte {
	s := &t.cache[id%cacheSlots]
	if s.id != id {
		if s.node == nil {
			s.node = make([]byte, t.nodeSize)
		}
		t.m.Read(s.node, t.at(id))
		s.id = id
	}
	return s.node
}

// changed writes back an inner node from byte offset on.
func (t *Map) changed(id uint32, node []byte) {
	t.m.Write(t.at(id), node[:t.nodeSize])
	if s := &t.cache[id%cacheSlots]; s.id == id && &s.node[0] != &node[0] {
		copy(s.node, node)
	}
}

func (t *Map) forget(id uint32) {
	if s := &t.cache[id%cacheSlots]; s.id == id {
		s.id = 0
	}
	if t.leafID == id {
		t.leafID = 0
	}
}

func entries(node []byte) int        { return int(binary.LittleEndian.Uint16(node)) }
func setEntries(node []byte, n int)  { binary.LittleEndian.PutUint16(node, uint16(n)) }
func link(node []byte) uint32        { return binary.LittleEndian.Uint32(node[4:]) }
func setLink(node []byte, id uint32) { binary.LittleEndian.PutUint32(node[4:], id) }
func (t *Map) pair(node []byte, i int) []byte {
	return node[nodeHeader+i*t.pairSize : nodeHeader+(i+1)*t.pairSize]
}

func keyOf(entry []byte) []byte { return entry[1 : 1+int(entry[0])] }

func (t *Map) child(node []byte, i int) uint32 {
	if i == 0 {
		return link(node)
	}
	return binary.LittleEndian.Uint32(t.pair(node, i-1)[1+t.keyMax:])
}

// descend finds the leaf for key, leaving the inner nodes passed in t.path.
func (t *Map) descend(key []byte) (leaf uint32) {
	t.path = t.path[:0]
	id := t.root
	for range t.height - 1 {
		node := t.inner(id)
		lo, hi := 0, entries(node)
		for lo < hi {
			mid := (lo + hi) / 2
			if bytes.Compare(keyOf(t.pair(node, mid)), key) <= 0 {
				lo = mid + 1
			} else {
				hi = mid
			}
		}
		t.path = append(t.path, step{id, lo})
		id = t.child(node, lo)
		if id == 0 || id >= t.nodes {
			panic(fmt.Sprintf("stable map: child %d of %d nodes", id, t.nodes))
		}
	}
	return id
}

// load reads a leaf unless it is the one used last, and returns the number of its entries.
func (t *Map) load(id uint32) int {
	if t.leafID != id {
		t.m.Read(t.leaf[:t.nodeSize], t.at(id))
		t.leafID = id
	}
	n := entries(t.leaf)
	if n > t.leafCap {
		panic(fmt.Sprintf("stable map: leaf %d has %d entries", id, n))
	}
	return n
}

// offset is where entry i of a leaf begins.
func (t *Map) offset(i int) int { return nodeHeader + i*t.leafSize }

// find goes to the leaf for key and finds its first entry that is not below key.
func (t *Map) find(key []byte) (n, i int, found bool) {
	n = t.load(t.descend(key))
	lo, hi := 0, n
	for lo < hi {
		mid := (lo + hi) / 2
		switch bytes.Compare(keyOf(t.leaf[t.offset(mid):]), key) {
		case 0:
			return n, mid, true
		case -1:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return n, lo, false
}

// Get appends the value under key to dst.
func (t *Map) Get(key, dst []byte) (value []byte, ok bool) {
	if len(key) > t.keyMax {
		return dst, false
	}
	_, i, found := t.find(key)
	if !found {
		return dst, false
	}
	return append(dst, t.value(t.leaf[t.offset(i)+1+t.keyMax:])...), true
}

// value reads the value from its length on.
func (t *Map) value(b []byte) []byte {
	n := int(binary.LittleEndian.Uint16(b))
	if n > t.valMax {
		panic(fmt.Sprintf("stable map: value of %d bytes", n))
	}
	return b[2 : 2+n]
}

// Has reports whether key is present.
func (t *Map) Has(key []byte) bool {
	if len(key) > t.keyMax {
		return false
	}
	_, _, found := t.find(key)
	return found
}

// Set puts value under key.
func (t *Map) Set(key, value []byte) error {
	if len(key) > t.keyMax || len(value) > t.valMax {
		return fmt.Errorf("%w: key of %d and value of %d bytes", ErrTooLarge, len(key), len(value))
	}
	n, i, found := t.find(key)
	at := t.offset(i)
	if found {
		v := t.leaf[at+1+t.keyMax:][:2+len(value)]
		binary.LittleEndian.PutUint16(v, uint16(len(value)))
		copy(v[2:], value)
		t.m.Write(t.at(t.leafID)+uint64(at+1+t.keyMax), v)
		return nil
	}
	// Splits need at most one node per level and a new root.
	if n == t.leafCap {
		if err := t.room(int(t.height) + 1); err != nil {
			return err
		}
	}
	end := t.offset(n)
	copy(t.leaf[at+t.leafSize:], t.leaf[at:end])
	e := t.leaf[at : at+t.leafSize]
	clear(e)
	e[0] = byte(len(key))
	copy(e[1:], key)
	binary.LittleEndian.PutUint16(e[1+t.keyMax:], uint16(len(value)))
	copy(e[1+t.keyMax+2:], value)
	t.n++
	if n < t.leafCap {
		t.writeLeaf(n+1, at, end+t.leafSize)
	} else {
		t.splitLeaf(i, n)
	}
	t.writeHeader()
	return nil
}

// writeLeaf stores the number of entries of the loaded leaf and its bytes from..to.
func (t *Map) writeLeaf(n, from, to int) {
	setEntries(t.leaf, n)
	base := t.at(t.leafID)
	t.m.Write(base, t.leaf[:2])
	if to > from {
		t.m.Write(base+uint64(from), t.leaf[from:to])
	}
}

// splitLeaf divides the loaded leaf, which holds one entry more than fits since entry i was put in.
func (t *Map) splitLeaf(i, n int) {
	left := (n + 1) / 2
	if i == n && t.rightmost() {
		left = n // keys that arrive in order fill their leaves
	}
	right := t.alloc()
	node := make([]byte, t.nodeSize)
	setEntries(node, n+1-left)
	copy(node[nodeHeader:], t.leaf[t.offset(left):t.offset(n+1)])
	t.m.Write(t.at(right), node)
	t.writeLeaf(left, t.offset(min(i, left)), t.offset(left))
	t.insertChild(bytes.Clone(keyOf(node[nodeHeader:])), right)
}

func (t *Map) rightmost() bool {
	for _, s := range t.path {
		if s.child != entries(t.inner(s.id)) {
			return false
		}
	}
	return true
}

// insertChild adds a child after the one that the path took, splitting inner nodes upwards.
func (t *Map) insertChild(key []byte, id uint32) {
	for level := len(t.path) - 1; level >= 0; level-- {
		s := t.path[level]
		src := t.inner(s.id)
		n := entries(src)
		node := t.node
		copy(node, src)
		from, to := nodeHeader+s.child*t.pairSize, nodeHeader+n*t.pairSize
		copy(node[from+t.pairSize:], node[from:to])
		e := node[from : from+t.pairSize]
		clear(e)
		e[0] = byte(len(key))
		copy(e[1:], key)
		binary.LittleEndian.PutUint32(e[1+t.keyMax:], id)
		n++
		if n <= t.innerCap {
			setEntries(node, n)
			t.changed(s.id, node)
			return
		}
		// The middle key moves up; its child leads the right node.
		mid := n / 2
		if s.child == n-1 && level == t.rightEdge() {
			mid = n - 2
		}
		up := bytes.Clone(keyOf(t.pair(node, mid)))
		right := make([]byte, t.nodeSize)
		setEntries(right, n-mid-1)
		setLink(right, t.child(node, mid+1))
		copy(right[nodeHeader:], node[nodeHeader+(mid+1)*t.pairSize:nodeHeader+n*t.pairSize])
		setEntries(node, mid)
		clear(node[nodeHeader+mid*t.pairSize : t.nodeSize])
		t.changed(s.id, node)
		rid := t.alloc()
		t.forget(rid)
		t.m.Write(t.at(rid), right)
		key, id = up, rid
	}
	root := make([]byte, t.nodeSize)
	setEntries(root, 1)
	setLink(root, t.root)
	e := t.pair(root, 0)
	e[0] = byte(len(key))
	copy(e[1:], key)
	binary.LittleEndian.PutUint32(e[1+t.keyMax:], id)
	t.root = t.alloc()
	t.height++
	t.forget(t.root)
	t.m.Write(t.at(t.root), root)
}

// rightEdge is the deepest level up to which the path keeps to the right edge of the tree, or -1.
func (t *Map) rightEdge() int {
	for i, s := range t.path {
		if s.child != entries(t.inner(s.id)) {
			return i - 1
		}
	}
	return len(t.path) - 1
}

// room makes sure that the next n allocations succeed, so that a refused growth leaves the tree as it was.
func (t *Map) room(n int) error { return reserve(t.m, t.at(t.nodes+uint32(n))) }

func (t *Map) alloc() uint32 {
	if t.free != 0 {
		id := t.free
		var b [4]byte
		t.m.Read(b[:], t.at(id)+4)
		t.free = binary.LittleEndian.Uint32(b[:])
		return id
	}
	t.nodes++
	return t.nodes - 1
}

func (t *Map) release(id uint32) {
	t.forget(id)
	b := make([]byte, nodeHeader)
	setLink(b, t.free)
	t.m.Write(t.at(id), b)
	t.free = id
}

// Delete removes key and reports whether it was present.
func (t *Map) Delete(key []byte) bool {
	if len(key) > t.keyMax {
		return false
	}
	n, i, found := t.find(key)
	if !found {
		return false
	}
	t.n--
	if n == 1 && len(t.path) > 0 {
		t.release(t.leafID)
		t.removeChild()
	} else {
		at, end := t.offset(i), t.offset(n)
		copy(t.leaf[at:], t.leaf[at+t.leafSize:end])
		t.writeLeaf(n-1, at, end-t.leafSize)
	}
	t.writeHeader()
	return true
}

// removeChild takes the child at the end of the path out of its parent, and parents without children out of theirs.
func (t *Map) removeChild() {
	for level := len(t.path) - 1; level >= 0; level-- {
		s := t.path[level]
		node := t.inner(s.id)
		n := entries(node)
		if n == 0 { // it was the only child
			t.release(s.id)
			continue
		}
		i := s.child - 1
		if s.child == 0 {
			setLink(node, t.child(node, 1))
			i = 0
		}
		copy(node[nodeHeader+i*t.pairSize:], node[nodeHeader+(i+1)*t.pairSize:nodeHeader+n*t.pairSize])
		setEntries(node, n-1)
		t.changed(s.id, node)
		for t.height > 1 { // a root with one child is not needed
			node := t.inner(t.root)
			if entries(node) > 0 {
				break
			}
			old := t.root
			t.root = link(node)
			t.height--
			t.release(old)
		}
		return
	}
	// Every node on the path is gone: start with an empty leaf.
	t.root, t.height = t.alloc(), 1
	t.forget(t.root)
	t.m.Write(t.at(t.root), make([]byte, nodeHeader))
}

// Ascend visits the entries from the first key that is not below from on, in order, until visit returns false. The slices are
// valid during the visit only, and visit must not change the map.
func (t *Map) Ascend(from []byte, visit func(key, value []byte) bool) {
	buf := make([]byte, t.nodeSize)
	for {
		n, i, _ := t.find(from)
		var next []byte // where the leaf's range ends: the nearest separator to the right of the path
		for level := len(t.path) - 1; level >= 0; level-- {
			s := t.path[level]
			if node := t.inner(s.id); s.child < entries(node) {
				next = bytes.Clone(keyOf(t.pair(node, s.child)))
				break
			}
		}
		// A copy, because visit may look at other entries.
		for tail := buf[:copy(buf, t.leaf[t.offset(i):t.offset(n)])]; len(tail) > 0; tail = tail[t.leafSize:] {
			if !visit(keyOf(tail), t.value(tail[1+t.keyMax:t.leafSize])) {
				return
			}
		}
		if next == nil {
			return
		}
		from = next
	}
}

// First appends the smallest key to dst.
func (t *Map) First(dst []byte) (key []byte, ok bool) {
	if t.n == 0 {
		return dst, false
	}
	id := t.root
	for range t.height - 1 {
		id = link(t.inner(id))
	}
	t.m.Read(t.probe, t.at(id)+nodeHeader)
	return append(dst, keyOf(t.probe)...), true
}
