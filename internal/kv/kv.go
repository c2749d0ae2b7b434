package kv

import (
	"bytes"
	"sort"
)

// Reader reads committed and pending values. Several goroutines may read one while nobody writes.
type Reader interface {
	// Get returns the value under key, or nil and false. The slice must not be changed and is valid until the next write.
	Get(key []byte) (value []byte, ok bool)
	// Scan calls visit for each key in [lower, upper) in order until visit returns false; an empty upper has no bound. Key and
	// value are valid only during the call, and visit must not write.
	Scan(lower, upper []byte, visit func(key, value []byte) bool)
}

// Store is a Reader that can be written. A machine never sees an I/O error: an implementation that cannot read or write
// stops the replica by panicking with the cause, because going on with half a state would fork it.
type Store interface {
	Reader
	Set(key, value []byte)
	Delete(key []byte)
}

// Informed is a Store that need not look up what a key held before, where the writer knows it.
type Informed interface {
	// SetNew is Set of a key that is not there.
	SetNew(key, value []byte)
	// DeleteOld is Delete of a key that is there with the value old.
	DeleteOld(key, old []byte)
}

// SetNew sets a key that is not there. It spares a store that is Informed from looking.
func SetNew(s Store, key, value []byte) {
	if i, ok := s.(Informed); ok {
		i.SetNew(key, value)
	} else {
		s.Set(key, value)
	}
}

// DeleteOld deletes a key that is there with the value old. It spares a store that is Informed from looking.
func DeleteOld(s Store, key, old []byte) {
	if i, ok := s.(Informed); ok {
		i.DeleteOld(key, old)
	} else {
		s.Delete(key)
	}
}

// Expecter is a Store that can make room for many writes at once.
type Expecter interface {
	// Expect says that about so many bytes of keys and values follow, and that a range of keys begins that are written in their order.
	Expect(bytes int)
}

// Expect tells a store that can make room what follows; see Expecter.
func Expect(s Store, bytes int) {
	if e, ok := s.(Expecter); ok {
		e.Expect(bytes)
	}
}

// Finder is a Reader that finds many keys for less than one by one.
type Finder interface {
	// Find calls found for each of the keys that is there, by its place in keys, which are sorted. The value is valid only during the call, and found must not
	// write.
	Find(keys [][]byte, found func(i int, value []byte))
}

// Find looks many sorted keys up; see Finder.
func Find(r Reader, keys [][]byte, found func(i int, value []byte)) {
	if f, ok := r.(Finder); ok {
		f.Find(keys, found)
		return
	}
	for i, k := range keys {
		if v, ok := r.Get(k); ok {
			found(i, v)
		}
	}
}

// PrefixEnd returns the smallest key above all keys that start with prefix, or nil where there is none.
func PrefixEnd(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] != 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}

// ScanPrefix visits all keys that start with prefix, in order.
func ScanPrefix(r Reader, prefix []byte, visit func(key, value []byte) bool) {
	r.Scan(prefix, PrefixEnd(prefix), visit)
}

// Prefix gives a machine its own key space inside a larger store: keys are seen without the prefix.
func Prefix(s Store, prefix string) Store { return &prefixed{s: s, p: []byte(prefix)} }

type prefixed struct {
	s   Store
	p   []byte
	buf []byte // of the latest key written; a store keeps none
}

func (p *prefixed) key(k []byte) []byte {
	out := make([]byte, 0, len(p.p)+len(k))
	return append(append(out, p.p...), k...)
}

func (p *prefixed) own(k []byte) []byte {
	p.buf = append(append(p.buf[:0], p.p...), k...)
	return p.buf
}

func (p *prefixed) Get(k []byte) ([]byte, bool) { return p.s.Get(p.key(k)) }
func (p *prefixed) Set(k, v []byte)             { p.s.Set(p.own(k), v) }
func (p *prefixed) Delete(k []byte)             { p.s.Delete(p.own(k)) }
func (p *prefixed) SetNew(k, v []byte)          { SetNew(p.s, p.own(k), v) }
func (p *prefixed) DeleteOld(k, old []byte)     { DeleteOld(p.s, p.own(k), old) }
func (p *prefixed) Expect(bytes int)            { Expect(p.s, bytes) }
func (p *prefixed) Find(keys [][]byte, found func(i int, value []byte)) {
	own := make([][]byte, len(keys))
	for i, k := range keys {
		own[i] = p.key(k)
	}
	Find(p.s, own, found)
}
func (p *prefixed) Scan(lower, upper []byte, visit func(k, v []byte) bool) {
	hi := PrefixEnd(p.p)
	if len(upper) > 0 {
		hi = p.key(upper)
	}
	p.s.Scan(p.key(lower), hi, func(k, v []byte) bool { return visit(k[len(p.p):], v) })
}

// PrefixReader is Prefix for a Reader.
func PrefixReader(r Reader, prefix string) Reader {
	return &prefixed{s: readOnly{r}, p: []byte(prefix)}
}

type readOnly struct{ Reader }

func (readOnly) Set(key, _ []byte) { panic("kv: writing to a reader") }
func (readOnly) Delete(key []byte) { panic("kv: writing to a reader") }
func (r readOnly) Find(keys [][]byte, found func(i int, value []byte)) {
	Find(r.Reader, keys, found)
}

// ReadOnly makes a Store of a Reader for those who promise not to write; a write panics.
func ReadOnly(r Reader) Store { return readOnly{r} }

// Mem is a Store in memory, for tests and simulations.
type Mem struct {
	m    map[string][]byte
	keys []string // sorted; nil after a key was added or removed
}

// NewMem returns an empty store.
func NewMem() *Mem { return &Mem{m: map[string][]byte{}} }

// Get implements Reader.
func (s *Mem) Get(k []byte) ([]byte, bool) { v, ok := s.m[string(k)]; return v, ok }

// Set implements Store.
func (s *Mem) Set(k, v []byte) {
	if _, ok := s.m[string(k)]; !ok {
		s.keys = nil
	}
	s.m[string(k)] = append([]byte{}, v...)
}

// Delete implements Store.
func (s *Mem) Delete(k []byte) {
	if _, ok := s.m[string(k)]; ok {
		s.keys = nil
		delete(s.m, string(k))
	}
}

// Scan implements Reader.
func (s *Mem) Scan(lower, upper []byte, visit func(k, v []byte) bool) {
	if s.keys == nil {
		s.keys = make([]string, 0, len(s.m))
		for k := range s.m {
			s.keys = append(s.keys, k)
		}
		sort.Strings(s.keys)
	}
	keys := s.keys
	for i := sort.SearchStrings(keys, string(lower)); i < len(keys); i++ {
		k := []byte(keys[i])
		if len(upper) > 0 && bytes.Compare(k, upper) >= 0 {
			return
		}
		if !visit(k, s.m[keys[i]]) {
			return
		}
	}
}

// Clone copies the store, as a crash image or a fork of a simulation.
func (s *Mem) Clone() *Mem {
	c := NewMem()
	for k, v := range s.m {
		c.m[k] = append([]byte{}, v...)
	}
	return c
}
