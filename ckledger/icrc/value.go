package icrc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"

	"fusion/cdk/sha256"
	"fusion/ic/candid"
)

// Blocks are stored and hashed as generic values (ICRC-3), so that hashes survive every change of Go types. The stored form is, per
// value, a tag byte and then
//
//	blob, text   length (uvarint), bytes
//	nat          unsigned LEB128
//	array        count (uvarint), values
//	map          count (uvarint), per entry the length of the key (uvarint), key, value
const (
	tagBlob = iota + 1
	tagText
	tagNat
	tagArray
	tagMap
)

// maxDepth bounds the nesting of stored values; blocks nest 4 deep.
const maxDepth = 16

// usual bounds what is set aside for the entries of a value before they are read; blocks have fewer.
const usual = 16

// ErrValue is returned for bytes that are not a stored value.
var ErrValue = errors.New("malformed block value")

// reader reads stored values.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrValue, what)
	}
	r.b = nil
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail("ends early")
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

// count reads a length or count of things of at least one byte each.
func (r *reader) count() int {
	n, used := binary.Uvarint(r.b)
	if used <= 0 || n > uint64(len(r.b)-used) {
		r.fail("bad length")
		return 0
	}
	r.b = r.b[used:]
	return int(n)
}

func (r *reader) bytes() []byte {
	n := r.count()
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

// leb reads the bytes of an unsigned LEB128 number in its shortest form.
func (r *reader) leb() []byte {
	for i, c := range r.b {
		if c < 0x80 {
			b := r.b[:i+1]
			if c == 0 && i > 0 {
				r.fail("number is not in its shortest form")
				return nil
			}
			r.b = r.b[i+1:]
			return b
		}
	}
	r.fail("number ends early")
	return nil
}

func natOfLEB(b []byte) candid.Nat {
	if len(b) <= 9 {
		v, _ := binary.Uvarint(b)
		return candid.NatFromUint64(v)
	}
	n := new(big.Int)
	for i := len(b) - 1; i >= 0; i-- {
		n.Lsh(n, 7).Or(n, big.NewInt(int64(b[i]&0x7f)))
	}
	return candid.NatFromBig(n)
}

// pair is the hash of a key and of its value.
type pair [64]byte

// Hasher computes representation-independent hashes (ICRC-3, "Representation-independent hash") of stored values of any shape. It keeps its working memory for the
// next one; the zero value is ready.
type Hasher struct {
	pairs []pair
	buf   []byte
}

// sortedSum is the hash of a map with the given pairs, which it sorts.
func (h *Hasher) sortedSum(pairs []pair) [32]byte {
	for i := 1; i < len(pairs); i++ { // few entries: insertion sort
		for j := i; j > 0 && bytes.Compare(pairs[j][:], pairs[j-1][:]) < 0; j-- {
			pairs[j], pairs[j-1] = pairs[j-1], pairs[j]
		}
	}
	h.buf = h.buf[:0]
	for i := range pairs {
		h.buf = append(h.buf, pairs[i][:]...)
	}
	return sha256.Sum256(h.buf)
}

// hashText is the hash of a text, known already if blocks have it often.
func hashText(b []byte) [32]byte {
	if w, ok := wordOf[string(b)]; ok {
		return wordHashes[w]
	}
	return sha256.Sum256(b)
}

// Sum hashes one stored value, which must be all of b.
func (h *Hasher) Sum(b []byte) ([32]byte, error) {
	r := &reader{b: b}
	h.pairs = h.pairs[:0]
	s := h.value(r, 0)
	if r.err == nil && len(r.b) > 0 {
		r.fail("bytes after the value")
	}
	return s, r.err
}

func (h *Hasher) value(r *reader, depth int) [32]byte {
	if depth > maxDepth {
		r.fail("nests too deep")
		return [32]byte{}
	}
	switch tag := r.byte(); tag {
	case tagBlob:
		return sha256.Sum256(r.bytes())
	case tagText:
		return hashText(r.bytes())
	case tagNat:
		return sha256.Sum256(r.leb())
	case tagArray:
		var small [64]byte
		items := small[:0]
		for range r.count() {
			s := h.value(r, depth+1)
			if r.err != nil {
				return s
			}
			items = append(items, s[:]...)
		}
		return sha256.Sum256(items)
	case tagMap:
		first := len(h.pairs)
		for range r.count() {
			k := hashText(r.bytes())
			v := h.value(r, depth+1)
			if r.err != nil {
				return v
			}
			var p pair
			copy(p[:32], k[:])
			copy(p[32:], v[:])
			h.pairs = append(h.pairs, p)
		}
		s := h.sortedSum(h.pairs[first:])
		h.pairs = h.pairs[:first]
		return s
	default:
		r.fail(fmt.Sprintf("tag %d", tag))
		return [32]byte{}
	}
}

// Value is a generic value as get_blocks shows it: numbers that fit are nat64, as clients of the first block log expect.
type Value struct {
	candid.Variant
	Blob  *[]byte
	Text  *string
	Nat   *candid.Nat
	Nat64 *uint64
	Int   *candid.Int
	Array *[]Value
	Map   *[]ValueEntry
}

// ValueEntry is an entry of a Map.
type ValueEntry struct {
	Key   string `candid:"0"`
	Value Value  `candid:"1"`
}

// ICRC3Value is a generic value as ICRC-3 defines it.
type ICRC3Value struct {
	candid.Variant
	Blob  *[]byte
	Text  *string
	Nat   *candid.Nat
	Int   *candid.Int
	Array *[]ICRC3Value
	Map   *[]ICRC3Entry
}

// ICRC3Entry is an entry of a Map.
type ICRC3Entry struct {
	Key   string     `candid:"0"`
	Value ICRC3Value `candid:"1"`
}

// DecodeValue reads a stored value.
func DecodeValue(b []byte) (ICRC3Value, error) {
	r := &reader{b: b}
	v := r.value(0)
	if r.err == nil && len(r.b) > 0 {
		r.fail("bytes after the value")
	}
	return v, r.err
}

func (r *reader) value(depth int) (v ICRC3Value) {
	if depth > maxDepth {
		r.fail("nests too deep")
		return v
	}
	switch tag := r.byte(); tag {
	case tagBlob:
		b := bytes.Clone(r.bytes())
		if b == nil {
			b = []byte{}
		}
		v.Blob = &b
	case tagText:
		s := string(r.bytes())
		v.Text = &s
	case tagNat:
		if b := r.leb(); r.err == nil {
			n := natOfLEB(b)
			v.Nat = &n
		}
	case tagArray:
		n := r.count()
		items := make([]ICRC3Value, 0, min(n, usual))
		for range n {
			if items = append(items, r.value(depth+1)); r.err != nil {
				return v
			}
		}
		v.Array = &items
	case tagMap:
		n := r.count()
		entries := make([]ICRC3Entry, 0, min(n, usual))
		for range n {
			k := string(r.bytes())
			if entries = append(entries, ICRC3Entry{k, r.value(depth + 1)}); r.err != nil {
				return v
			}
		}
		v.Map = &entries
	default:
		r.fail(fmt.Sprintf("tag %d", tag))
	}
	return v
}

// Legacy converts to the form of get_blocks.
func (v ICRC3Value) Legacy() (out Value) {
	out.Blob, out.Text = v.Blob, v.Text
	switch {
	case v.Nat != nil:
		if n, ok := v.Nat.Uint64(); ok {
			out.Nat64 = &n
		} else {
			out.Nat = v.Nat
		}
	case v.Array != nil:
		items := make([]Value, len(*v.Array))
		for i, x := range *v.Array {
			items[i] = x.Legacy()
		}
		out.Array = &items
	case v.Map != nil:
		entries := make([]ValueEntry, len(*v.Map))
		for i, e := range *v.Map {
			entries[i] = ValueEntry{e.Key, e.Value.Legacy()}
		}
		out.Map = &entries
	}
	return out
}

// field finds an entry of a Map.
func (v *ICRC3Value) field(name string) *ICRC3Value {
	if v != nil && v.Map != nil {
		for i := range *v.Map {
			if (*v.Map)[i].Key == name {
				return &(*v.Map)[i].Value
			}
		}
	}
	return nil
}
