package stable

import (
	"encoding/binary"
	"fmt"
	"slices"
)

const (
	windowMagic  = "FSW\x01"
	windowHeader = 16
	windowEntry  = 4
)

// Window is a Memory whose beginning can be forgotten while it grows at its end: offsets stay what they were, and the pages of what
// was forgotten are used again. The first page is always kept, for a header.
//
// It lies over an ordinary memory and looks like it until the first Trim, so a memory that was used directly can become a window. From
// then on table says, for each page of the underlying memory, which page of the window it holds. Unlike pages of other memories, those
// that are used again do not begin as zeros.
type Window struct {
	m, table Memory
	mapped   bool
	pages    uint64   // size
	first    uint64   // first page after page 0 that is kept
	at       []uint32 // underlying page of page first+i
	free     []uint32 // underlying pages, the lowest last
}

// OpenWindow opens a window over two memories.
func OpenWindow(m, table Memory) (*Window, error) {
	w := &Window{m: m, table: table, first: 1}
	if table.Size() == 0 {
		return w, nil
	}
	var h [windowHeader]byte
	table.Read(h[:], 0)
	w.mapped, w.pages = true, binary.LittleEndian.Uint64(h[8:])
	have := m.Size()
	if string(h[:4]) != windowMagic || have == 0 || have > (table.Size()*PageSize-windowHeader)/windowEntry {
		return nil, fmt.Errorf("%w: window header %x over %d pages", ErrCorrupt, h, have)
	}
	entries := make([]byte, have*windowEntry)
	table.Read(entries, windowHeader)
	owner := func(i uint64) uint64 { return uint64(binary.LittleEndian.Uint32(entries[i*windowEntry:])) }
	w.first = w.pages
	for i := range have {
		switch page := owner(i); {
		case page > w.pages, (page == 1) != (i == 0):
			return nil, fmt.Errorf("%w: window of %d pages, page %d in page %d", ErrCorrupt, w.pages, page, i)
		case page > 1:
			w.first = min(w.first, page-1)
		}
	}
	if w.pages-w.first > have {
		return nil, fmt.Errorf("%w: window of pages %d to %d in %d pages", ErrCorrupt, w.first, w.pages, have)
	}
	w.at = make([]uint32, w.pages-w.first)
	held := 0
	for i := have - 1; i > 0; i-- {
		page := owner(i)
		if page == 0 {
			w.free = append(w.free, uint32(i))
			continue
		}
		if w.at[page-1-w.first] != 0 {
			return nil, fmt.Errorf("%w: two pages hold page %d of a window", ErrCorrupt, page-1)
		}
		w.at[page-1-w.first] = uint32(i)
		held++
	}
	if held != len(w.at) {
		return nil, fmt.Errorf("%w: window of pages %d to %d has %d of them", ErrCorrupt, w.first, w.pages, held)
	}
	return w, nil
}

// Size implements Memory: it counts what was forgotten.
func (w *Window) Size() uint64 {
	if !w.mapped {
		return w.m.Size()
	}
	return w.pages
}

// Grow implements Memory.
func (w *Window) Grow(pages uint64) bool {
	if !w.mapped {
		return w.m.Grow(pages)
	}
	if pages == 0 {
		return true
	}
	if w.pages+pages >= 1<<32 || pages >= 1<<32 {
		return false
	}
	if again := uint64(len(w.free)); pages > again {
		have, more := w.m.Size(), pages-again
		if reserve(w.table, windowHeader+windowEntry*(have+more)) != nil || !w.m.Grow(more) {
			return false
		}
		for i := range more {
			w.free = append(w.free, uint32(have+i))
		}
		w.sortFree()
	}
	for range pages {
		i := w.free[len(w.free)-1]
		w.free = w.free[:len(w.free)-1]
		w.at = append(w.at, i)
		w.pages++
		w.own(uint64(i), uint32(w.pages))
	}
	w.writeHeader()
	return true
}

// sortFree makes the choice of pages depend on the stable memory alone, not on what this instance has seen.
func (w *Window) sortFree() {
	slices.Sort(w.free)
	slices.Reverse(w.free)
}

func (w *Window) own(i uint64, page uint32) {
	w.table.Write(windowHeader+windowEntry*i, binary.LittleEndian.AppendUint32(nil, page))
}

func (w *Window) writeHeader() {
	h := append(make([]byte, 0, windowHeader), windowMagic...)
	h = binary.LittleEndian.AppendUint64(append(h, 0, 0, 0, 0), w.pages)
	w.table.Write(0, h)
}

// Trim forgets what lies below an offset, but for the first page and the rest of the page with that offset.
func (w *Window) Trim(below uint64) error {
	last := min(below/PageSize, w.Size())
	if last <= w.first {
		return nil
	}
	if !w.mapped {
		have := w.m.Size()
		if have >= 1<<32 {
			return fmt.Errorf("%w: window of %d pages", ErrTooLarge, have)
		}
		if err := reserve(w.table, windowHeader+windowEntry*have); err != nil {
			return err
		}
		entries := make([]byte, 0, windowEntry*have)
		w.at = make([]uint32, have-1)
		for i := range have {
			entries = binary.LittleEndian.AppendUint32(entries, uint32(i+1))
			if i > 0 {
				w.at[i-1] = uint32(i)
			}
		}
		w.table.Write(windowHeader, entries)
		w.mapped, w.pages = true, have
		w.writeHeader()
	}
	n := last - w.first
	for _, i := range w.at[:n] {
		w.own(uint64(i), 0)
		w.free = append(w.free, i)
	}
	w.at = append([]uint32(nil), w.at[n:]...)
	w.first = last
	w.sortFree()
	return nil
}

// Kept is the number of pages that are in use.
func (w *Window) Kept() uint64 {
	if !w.mapped {
		return w.m.Size()
	}
	return 1 + uint64(len(w.at))
}

// span finds where offset lies and how many bytes follow in one piece.
func (w *Window) span(offset uint64) (at, n uint64) {
	page, in := offset/PageSize, offset%PageSize
	switch {
	case page == 0:
	case page < w.first:
		panic(fmt.Sprintf("stable window: offset %d was forgotten, the first page kept is %d", offset, w.first))
	default:
		page = uint64(w.at[page-w.first])
	}
	return page*PageSize + in, PageSize - in
}

func (w *Window) check(offset uint64, n int) {
	if size := w.pages * PageSize; offset > size || uint64(n) > size-offset {
		panic(fmt.Sprintf("stable window: %d bytes at %d beyond %d", n, offset, size))
	}
}

// Read implements Memory.
func (w *Window) Read(dst []byte, offset uint64) {
	if !w.mapped {
		w.m.Read(dst, offset)
		return
	}
	w.check(offset, len(dst))
	for len(dst) > 0 {
		at, n := w.span(offset)
		n = min(n, uint64(len(dst)))
		w.m.Read(dst[:n], at)
		dst, offset = dst[n:], offset+n
	}
}

// Write implements Memory.
func (w *Window) Write(offset uint64, src []byte) {
	if !w.mapped {
		w.m.Write(offset, src)
		return
	}
	w.check(offset, len(src))
	for len(src) > 0 {
		at, n := w.span(offset)
		n = min(n, uint64(len(src)))
		w.m.Write(at, src[:n])
		src, offset = src[n:], offset+n
	}
}
