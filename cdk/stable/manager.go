package stable

import (
	"encoding/binary"
	"fmt"
)

// Memories is the number of memories a Manager offers.
const Memories = 64

const (
	managerMagic = "FSM\x01"
	// bucketPages is the number of pages that a memory grows by in the underlying one: 1 MiB.
	bucketPages = 16
	bucketBytes = bucketPages * PageSize
	sizesAt     = 64 // 64 sizes in pages, uint64 each
	tableAt     = sizesAt + 8*Memories
	maxBuckets  = PageSize - tableAt // one byte per bucket in the first page: 63.9 GiB
)

// Manager divides one Memory into several that grow independently. The first page holds, per bucket of 1 MiB, whose it is.
type Manager struct {
	m        Memory
	buckets  int
	memories [Memories]virtual
}

// Open finds the division in m, or makes one if m is empty.
func Open(m Memory) (*Manager, error) {
	g := &Manager{m: m}
	for i := range g.memories {
		g.memories[i] = virtual{g: g, id: uint8(i)}
	}
	if m.Size() == 0 {
		if err := reserve(m, PageSize); err != nil {
			return nil, err
		}
		m.Write(0, []byte(managerMagic))
		return g, nil
	}
	page := make([]byte, PageSize)
	m.Read(page, 0)
	if string(page[:4]) != managerMagic {
		return nil, fmt.Errorf("%w: first bytes %x", ErrCorrupt, page[:4])
	}
	g.buckets = int(binary.LittleEndian.Uint32(page[4:]))
	if g.buckets > maxBuckets || 1+uint64(g.buckets)*bucketPages > m.Size() {
		return nil, fmt.Errorf("%w: %d buckets in %d pages", ErrCorrupt, g.buckets, m.Size())
	}
	for b, owner := range page[tableAt : tableAt+g.buckets] {
		if owner >= Memories {
			return nil, fmt.Errorf("%w: bucket %d belongs to memory %d", ErrCorrupt, b, owner)
		}
		v := &g.memories[owner]
		v.buckets = append(v.buckets, uint16(b))
	}
	for i := range g.memories {
		v := &g.memories[i]
		v.pages = binary.LittleEndian.Uint64(page[sizesAt+8*i:])
		if v.pages > uint64(len(v.buckets))*bucketPages {
			return nil, fmt.Errorf("%w: memory %d has %d pages in %d buckets", ErrCorrupt, i, v.pages, len(v.buckets))
		}
	}
	return g, nil
}

// Memory returns memory id, 0 to 63.
func (g *Manager) Memory(id int) Memory { return &g.memories[id] }

type virtual struct {
	g       *Manager
	id      uint8
	pages   uint64
	buckets []uint16
}

func (v *virtual) Size() uint64 { return v.pages }

func (v *virtual) Grow(pages uint64) bool {
	g := v.g
	if pages > maxBuckets*bucketPages {
		return false
	}
	want := int((v.pages + pages + bucketPages - 1) / bucketPages)
	more := want - len(v.buckets)
	if more > 0 {
		if g.buckets+more > maxBuckets || reserve(g.m, uint64(1+(g.buckets+more)*bucketPages)*PageSize) != nil {
			return false
		}
		owners := make([]byte, more)
		for i := range owners {
			owners[i] = v.id
			v.buckets = append(v.buckets, uint16(g.buckets+i))
		}
		g.m.Write(uint64(tableAt+g.buckets), owners)
		g.buckets += more
		g.m.Write(4, binary.LittleEndian.AppendUint32(nil, uint32(g.buckets)))
	}
	v.pages += pages
	g.m.Write(uint64(sizesAt+8*int(v.id)), binary.LittleEndian.AppendUint64(nil, v.pages))
	return true
}

// span finds where offset lies and how many bytes follow in one piece.
func (v *virtual) span(offset uint64) (at uint64, n uint64) {
	in := offset % bucketBytes
	return PageSize + uint64(v.buckets[offset/bucketBytes])*bucketBytes + in, bucketBytes - in
}

func (v *virtual) check(offset uint64, n int) {
	if size := v.pages * PageSize; offset > size || uint64(n) > size-offset {
		panic(fmt.Sprintf("stable memory %d: %d bytes at %d beyond %d", v.id, n, offset, size))
	}
}

func (v *virtual) Read(dst []byte, offset uint64) {
	v.check(offset, len(dst))
	for len(dst) > 0 {
		at, n := v.span(offset)
		n = min(n, uint64(len(dst)))
		v.g.m.Read(dst[:n], at)
		dst, offset = dst[n:], offset+n
	}
}

func (v *virtual) Write(offset uint64, src []byte) {
	v.check(offset, len(src))
	for len(src) > 0 {
		at, n := v.span(offset)
		n = min(n, uint64(len(src)))
		v.g.m.Write(at, src[:n])
		src, offset = src[n:], offset+n
	}
}
