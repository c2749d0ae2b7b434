package stable

import "fmt"

// PageSize is the unit in which stable memory grows (WebAssembly's page).
const PageSize = 1 << 16

// Memory is stable memory: bytes that start as zero, grow in pages and survive upgrades. Reading or writing beyond the size
// panics; in a canister that is a trap.
type Memory interface {
	// Size is the number of pages.
	Size() uint64
	// Grow adds pages; false means that the machine refuses and nothing changed.
	Grow(pages uint64) bool
	// Read fills dst from offset on.
	Read(dst []byte, offset uint64)
	// Write copies src to offset. It does not keep src.
	Write(offset uint64, src []byte)
}

// Heap is a Memory in ordinary memory, for tests and simulations. The zero value is empty.
type Heap struct {
	b []byte
	// Limit is the largest size in pages; 0 means none.
	Limit uint64
}

// Size implements Memory.
func (h *Heap) Size() uint64 { return uint64(len(h.b)) / PageSize }

// Grow implements Memory.
func (h *Heap) Grow(pages uint64) bool {
	if h.Limit != 0 && (pages > h.Limit || h.Size()+pages > h.Limit) {
		return false
	}
	h.b = append(h.b, make([]byte, pages*PageSize)...) // capacity left by Truncate is overwritten with zeros
	return true
}

func (h *Heap) check(what string, offset uint64, n int) {
	if offset > uint64(len(h.b)) || uint64(n) > uint64(len(h.b))-offset {
		panic(fmt.Sprintf("stable memory: %s of %d bytes at %d beyond %d", what, n, offset, len(h.b)))
	}
}

// Read implements Memory.
func (h *Heap) Read(dst []byte, offset uint64) {
	h.check("read", offset, len(dst))
	copy(dst, h.b[offset:])
}

// Write implements Memory.
func (h *Heap) Write(offset uint64, src []byte) {
	h.check("write", offset, len(src))
	copy(h.b[offset:], src)
}

// Clone copies the memory.
func (h *Heap) Clone() *Heap { return &Heap{b: append([]byte(nil), h.b...), Limit: h.Limit} }

// reserve grows m until it has at least size bytes.
func reserve(m Memory, size uint64) error {
	have := m.Size()
	want := (size + PageSize - 1) / PageSize
	if want <= have {
		return nil
	}
	if !m.Grow(want - have) {
		return fmt.Errorf("%w: %d pages, want %d", ErrFull, have, want)
	}
	return nil
}

// Truncate shrinks the memory to the given number of pages, which real stable memory cannot: it undoes growth.
func (h *Heap) Truncate(pages uint64) {
	if pages < h.Size() {
		clear(h.b[pages*PageSize:])
		h.b = h.b[:pages*PageSize]
	}
}
