package hashtree

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"fusion/ic/cbor"
)

// Hash is a SHA-256 hash, of which root hashes are made.
type Hash = [sha256.Size]byte

// MaxDepth is how deep a tree that Decode reads may nest. A map of 2^32 random labels is about 40 deep; the bound leaves room for
// unbalanced trees that canisters certify.
const MaxDepth = 256

// Errors returned by this package; test with errors.Is.
var (
	ErrMalformed    = errors.New("malformed hash tree")
	ErrTooDeep      = errors.New("hash tree nests too deep")
	ErrNotCanonical = errors.New("hash tree is not well-formed")
)

// Domain separators, interface specification section "Certificate": a length byte and the name.
const (
	sepEmpty   = "\x11ic-hashtree-empty"
	sepFork    = "\x10ic-hashtree-fork"
	sepLabeled = "\x13ic-hashtree-labeled"
	sepLeaf    = "\x10ic-hashtree-leaf"
)

// Node is a hash tree: one of Empty, Fork, Labeled, Leaf and Pruned.
type Node interface {
	// Digest computes the root hash.
	Digest() Hash
	// AppendCBOR appends the encoding of the specification's CDDL.
	AppendCBOR(dst []byte) []byte
}

type (
	// Empty is a tree with nothing in it.
	Empty struct{}
	// Fork joins two trees; labels of the left one are smaller than those of the right one.
	Fork struct{ Left, Right Node }
	// Labeled is a tree under a label.
	Labeled struct {
		Label []byte
		Tree  Node
	}
	// Leaf is a value.
	Leaf []byte
	// Pruned stands for a tree of which only the root hash is revealed.
	Pruned Hash
)

var emptyDigest = sha256.Sum256([]byte(sepEmpty))

// Digest implements Node.
func (Empty) Digest() Hash { return emptyDigest }

// Digest implements Node.
func (f *Fork) Digest() Hash { l, r := f.Left.Digest(), f.Right.Digest(); return forkDigest(&l, &r) }

// Digest implements Node.
func (n *Labeled) Digest() Hash { d := n.Tree.Digest(); return labeledDigest(n.Label, &d) }

// Digest implements Node.
func (l Leaf) Digest() Hash { return leafDigest(l) }

// Digest implements Node.
func (p *Pruned) Digest() Hash { return Hash(*p) }

func forkDigest(l, r *Hash) Hash {
	var b [len(sepFork) + 2*sha256.Size]byte
	n := copy(b[:], sepFork)
	n += copy(b[n:], l[:])
	copy(b[n:], r[:])
	return sha256.Sum256(b[:])
}

func labeledDigest(label []byte, sub *Hash) Hash {
	var b [len(sepLabeled) + 64 + sha256.Size]byte
	if len(label) > 64 {
		h := sha256.New()
		h.Write([]byte(sepLabeled))
		h.Write(label)
		h.Write(sub[:])
		return Hash(h.Sum(b[:0]))
	}
	n := copy(b[:], sepLabeled)
	n += copy(b[n:], label)
	n += copy(b[n:], sub[:])
	return sha256.Sum256(b[:n])
}

func leafDigest(v []byte) Hash {
	var b [len(sepLeaf) + 256]byte
	if len(v) > 256 {
		h := sha256.New()
		h.Write([]byte(sepLeaf))
		h.Write(v)
		return Hash(h.Sum(b[:0]))
	}
	n := copy(b[:], sepLeaf)
	n += copy(b[n:], v)
	return sha256.Sum256(b[:n])
}

// Node tags of the CDDL.
const (
	tagEmpty   = 0
	tagFork    = 1
	tagLabeled = 2
	tagLeaf    = 3
	tagPruned  = 4
)

func appendNode(dst []byte, fields int, tag byte) []byte {
	return append(cbor.AppendArray(dst, fields), tag)
}

// AppendCBOR implements Node.
func (Empty) AppendCBOR(dst []byte) []byte { return appendNode(dst, 1, tagEmpty) }

// AppendCBOR implements Node.
func (f *Fork) AppendCBOR(dst []byte) []byte {
	return f.Right.AppendCBOR(f.Left.AppendCBOR(appendNode(dst, 3, tagFork)))
}

// AppendCBOR implements Node.
func (n *Labeled) AppendCBOR(dst []byte) []byte {
	return n.Tree.AppendCBOR(cbor.AppendBytes(appendNode(dst, 3, tagLabeled), n.Label))
}

// AppendCBOR implements Node.
func (l Leaf) AppendCBOR(dst []byte) []byte { return cbor.AppendBytes(appendNode(dst, 2, tagLeaf), l) }

// AppendCBOR implements Node.
func (p *Pruned) AppendCBOR(dst []byte) []byte {
	return cbor.AppendBytes(appendNode(dst, 2, tagPruned), p[:])
}

// Encode returns the CBOR of n.
func Encode(n Node) []byte { return n.AppendCBOR(nil) }

// Decode reads a tree from the whole of b; labels and leaves alias b. It checks the encoding only: WellFormed checks the order
// of labels.
func Decode(b []byte) (Node, error) {
	r := cbor.NewReader(b)
	n, err := Read(r)
	if err != nil {
		return nil, err
	}
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return n, nil
}

// Read reads a tree at the reader's place, as Decode does.
func Read(r *cbor.Reader) (Node, error) { return read(r, MaxDepth) }

func read(r *cbor.Reader, depth int) (Node, error) {
	if depth == 0 {
		return nil, fmt.Errorf("%w: more than %d levels", ErrTooDeep, MaxDepth)
	}
	at := r.Offset()
	fail := func(err error) (Node, error) {
		return nil, fmt.Errorf("%w: node at byte %d: %w", ErrMalformed, at, err)
	}
	fields, err := r.ArrayLen()
	if err != nil {
		return fail(err)
	}
	tag, err := r.Uint()
	if err != nil {
		return fail(err)
	}
	if tag > tagPruned || fields != [...]int{tagEmpty: 1, tagFork: 3, tagLabeled: 3, tagLeaf: 2, tagPruned: 2}[tag] {
		return nil, fmt.Errorf("%w: node at byte %d: %d fields with tag %d", ErrMalformed, at, fields, tag)
	}
	switch tag {
	case tagEmpty:
		return Empty{}, nil
	case tagFork:
		f := new(Fork)
		if f.Left, err = read(r, depth-1); err != nil {
			return nil, err
		}
		if f.Right, err = read(r, depth-1); err != nil {
			return nil, err
		}
		return f, nil
	case tagLabeled:
		n := new(Labeled)
		if n.Label, err = r.Bytes(); err != nil {
			return fail(err)
		}
		if n.Tree, err = read(r, depth-1); err != nil {
			return nil, err
		}
		return n, nil
	}
	v, err := r.Bytes()
	if err != nil {
		return fail(err)
	}
	if tag == tagLeaf {
		return Leaf(v), nil
	}
	if len(v) != sha256.Size {
		return nil, fmt.Errorf("%w: node at byte %d: pruned hash of %d bytes", ErrMalformed, at, len(v))
	}
	return (*Pruned)(v), nil
}

// WellFormed checks that labels are strictly increasing and not mixed with leaves, which Lookup takes for granted: true for
// every tree of an honest subnet, to be checked for trees that canisters make.
func WellFormed(n Node) error {
	if _, ok := n.(Leaf); ok {
		return nil
	}
	var last []byte
	first := true
	return forest(n, func(t Node) error {
		switch t := t.(type) {
		case Leaf:
			return fmt.Errorf("%w: a leaf beside labels", ErrNotCanonical)
		case *Labeled:
			if !first && bytes.Compare(last, t.Label) >= 0 {
				return fmt.Errorf("%w: label %x after %x", ErrNotCanonical, t.Label, last)
			}
			last, first = t.Label, false
			return WellFormed(t.Tree)
		}
		return nil
	})
}

// forest visits the trees under a node's forks in order.
func forest(n Node, visit func(Node) error) error {
	switch t := n.(type) {
	case Empty:
		return nil
	case *Fork:
		if err := forest(t.Left, visit); err != nil {
			return err
		}
		return forest(t.Right, visit)
	}
	return visit(n)
}

// Result is what a tree says of a path.
type Result int

// Results of a lookup, named as in the specification.
const (
	Unknown Result = iota // pruned: the tree does not tell
	Absent                // provably not there
	Found                 // there, with a value
	Error                 // there, but labels instead of a value
)

// String names the result.
func (r Result) String() string {
	return [...]string{Unknown: "unknown", Absent: "absent", Found: "found", Error: "not a value"}[r]
}

// Lookup searches a well-formed tree for the value at a path.
func Lookup(n Node, path ...[]byte) (Result, []byte) {
	sub, res := Descend(n, path...)
	if res != Found {
		return res, nil
	}
	switch t := sub.(type) {
	case Leaf:
		return Found, t
	case Empty:
		return Absent, nil
	case *Pruned:
		return Unknown, nil
	}
	return Error, nil
}

// LookupText is Lookup for labels that are text.
func LookupText(n Node, path ...string) (Result, []byte) { return Lookup(n, Path(path...)...) }

// Path makes a path of labels that are text.
func Path(labels ...string) [][]byte {
	path := make([][]byte, len(labels))
	for i, l := range labels {
		path[i] = []byte(l)
	}
	return path
}

// Descend searches for the subtree at a path: Found with the subtree (which may be pruned), Absent or Unknown.
func Descend(n Node, path ...[]byte) (Node, Result) {
	for _, label := range path {
		s := search{label: label}
		s.visit(n)
		if s.found != nil {
			n = s.found
			continue
		}
		if s.absent() {
			return nil, Absent
		}
		return nil, Unknown
	}
	return n, Found
}

// search looks for one label among the trees under the forks of a node. Absence is proven by two neighbours between which
// nothing is pruned, where the ends of the forest count as neighbours.
type search struct {
	label   []byte
	found   Node
	gap     bool // something is pruned (or malformed) since the last label below the one searched
	bounded bool // a label above was seen with no gap
	leaf    bool
	count   int
	done    bool
}

func (s *search) absent() bool {
	if s.count == 1 && s.leaf {
		return true // a value, which has no labels
	}
	return s.bounded || !s.done && !s.gap
}

func (s *search) visit(n Node) {
	if s.done {
		return
	}
	switch t := n.(type) {
	case Empty:
		return
	case *Fork:
		s.visit(t.Left)
		s.visit(t.Right)
		return
	case *Labeled:
		switch c := bytes.Compare(t.Label, s.label); {
		case c == 0:
			s.found, s.done = t.Tree, true
		case c < 0:
			s.gap = false
		default:
			s.bounded, s.done = !s.gap, true
		}
	case Leaf:
		s.leaf, s.gap = true, true
	default:
		s.gap = true
	}
	s.count++
}

// Leaves visits all revealed values in order, each with its path below n; path is valid during the call only. It is the
// specification's lookup*.
func Leaves(n Node, visit func(path [][]byte, value []byte) error) error {
	return leaves(n, nil, visit)
}

func leaves(n Node, path [][]byte, visit func([][]byte, []byte) error) error {
	return forest(n, func(t Node) error {
		switch t := t.(type) {
		case Leaf:
			return visit(path, t)
		case *Labeled:
			return leaves(t.Tree, append(path, t.Label), visit)
		}
		return nil
	})
}
