package wasm

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tetratelabs/wazero/experimental"
)

// PageSize is the size of a heap page as the state stores it. It is not the 64 KiB page of memory.grow (WasmPage).
const PageSize = 4096

// WasmPage is the unit of memory.size and memory.grow.
const WasmPage = 65536

// maxHeap is the largest memory of wasm32.
const maxHeap = 65536 * WasmPage

// store keeps the committed content of one canister's heap. There are two: one over a memory file, whose instances
// map it privately (Linux), and one over plain memory that works everywhere. Both give the same results.
type store interface {
	// size is the committed size in bytes, a multiple of WasmPage.
	size() uint64
	// view is the committed content. It stays valid, and follows writes, until the next grow.
	view() []byte
	// data returns the first position, at or behind at, that may hold something else than zeros.
	data(at uint64) uint64
	// grow extends the content with zeros.
	grow(size uint64) error
	// newHeap returns a memory for one instance that starts as a copy of the committed content and may grow to max.
	newHeap(max uint64) (heap, error)
	close() error
}

// heap is the linear memory of one instance.
type heap interface {
	experimental.LinearMemory
	// bytes is the memory at its current size.
	bytes() []byte
	// resize sets the size that the next Reallocate returns, whatever it asks for.
	resize(size uint64)
	// limit bounds what Reallocate grants.
	limit(size uint64)
	// candidates appends the indices, ascending, of all pages below the current size that may differ from the
	// committed content (beyond the committed size: from zero). keep tells that they are few enough to stay resident.
	candidates(dst []uint32) (pages []uint32, keep bool, err error)
	// restore undoes the changes to these pages, which candidates returned, and drops what is beyond the committed
	// size; the size is set separately.
	restore(pages []uint32) error
	// discard makes the whole memory equal to the committed content; the size is set separately.
	discard() error
	// adopt follows a grown store: pages of the new part are taken from it. Their content must be committed.
	adopt() error
	// release lets go of the memory for good; Free does so only when the instance gave it up.
	release() error
}

// errHeap wraps every failure of the operating system under a heap. It is never a property of the canister.
var errHeap = errors.New("heap")

func heapErr(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %s: %w", errHeap, what, err)
}

// plainStore and plainHeap copy. They serve systems without memfd and PAGEMAP_SCAN, and as the reference for the
// other implementation.
type plainStore struct{ bytes []byte }

func newPlainStore(size uint64) (store, error) { return &plainStore{bytes: make([]byte, size)}, nil }

func (s *plainStore) size() uint64          { return uint64(len(s.bytes)) }
func (s *plainStore) view() []byte          { return s.bytes }
func (s *plainStore) data(at uint64) uint64 { return at }
func (s *plainStore) close() error          { s.bytes = nil; return nil }

func (s *plainStore) grow(size uint64) error {
	bytes := make([]byte, size)
	copy(bytes, s.bytes)
	s.bytes = bytes
	return nil
}

func (s *plainStore) newHeap(max uint64) (heap, error) {
	return &plainHeap{s: s, max: max, all: slices.Clone(s.bytes)}, nil
}

type plainHeap struct {
	s      *plainStore
	all    []byte // everything handed out so far; beyond length it is kept for an instance that starts small again
	length uint64
	max    uint64
	forced uint64
	force  bool
}

func (h *plainHeap) bytes() []byte      { return h.all[:h.length:h.length] }
func (h *plainHeap) resize(size uint64) { h.forced, h.force = size, true }
func (h *plainHeap) limit(size uint64)  { h.max = size }
func (h *plainHeap) Free()              {}
func (h *plainHeap) release() error     { h.all, h.length = nil, 0; return nil }
func (h *plainHeap) adopt() error       { return nil }

func (h *plainHeap) Reallocate(size uint64) []byte {
	if h.force {
		size, h.force = h.forced, false
	} else if size > h.max {
		return nil
	}
	if size > uint64(len(h.all)) {
		all := make([]byte, size)
		copy(all, h.all)
		h.all = all
	}
	h.length = size
	return h.bytes()
}

func (h *plainHeap) candidates(dst []uint32) ([]uint32, bool, error) {
	for i := range uint32(h.length / PageSize) {
		dst = append(dst, i)
	}
	return dst, true, nil
}

func (h *plainHeap) restore([]uint32) error { return h.discard() }

func (h *plainHeap) discard() error {
	if n := len(h.s.bytes); n > len(h.all) {
		h.all = make([]byte, n)
	}
	clear(h.all[copy(h.all, h.s.bytes):])
	return nil
}
