package wasm

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Image is a canister's committed state in memory: heap and mutable globals. One Instance at a time changes it by
// Commit; any number of others may run queries on it between commits. The caller serialises the two with a lock per
// canister: Commit (and Close) under the writer's side; Query, Run and Release of query instances under the reader's.
type Image struct {
	mod     *Module
	store   store
	globals []uint64
	gen     uint64 // counts commits

	mu   sync.Mutex
	pool []*Instance // idle query instances, clean
}

// NewImage returns the state of a freshly installed module, before its start function: memory of the declared size
// with the data segments in it.
func (m *Module) NewImage() (*Image, error) {
	img, err := m.newImage(uint64(m.res.MemoryMin), m.res.Initial)
	if err != nil {
		return nil, err
	}
	for _, s := range m.res.Segments {
		copy(img.store.view()[s.Offset:], s.Init)
	}
	return img, nil
}

func (m *Module) newImage(pages uint64, globals []uint64) (*Image, error) {
	s, err := newStore(pages*WasmPage, m.eng.cfg.PlainHeaps)
	if err != nil {
		return nil, err
	}
	return &Image{mod: m, store: s, globals: slices.Clone(globals)}, nil
}

// LoadImage rebuilds an image from stored state: a heap of wasmPages × 64 KiB, the globals as Commit returned them,
// and the pages that load hands to put, in any order. Pages that are not put are zero.
func (m *Module) LoadImage(
	wasmPages uint32, globals []uint64, load func(put func(index uint32, page []byte) error) error,
) (*Image, error) {
	if wasmPages < m.res.MemoryMin || wasmPages > m.res.MemoryMax {
		return nil, fmt.Errorf("load image: heap of %d pages, but the module's memory has %d to %d", wasmPages,
			m.res.MemoryMin, m.res.MemoryMax)
	}
	if len(globals) != m.globalWords() {
		return nil, fmt.Errorf("load image: %d globals, but the module has %d", len(globals), m.globalWords())
	}
	img, err := m.newImage(uint64(wasmPages), globals)
	if err != nil {
		return nil, err
	}
	view := img.store.view()
	err = load(func(index uint32, page []byte) error {
		at := uint64(index) * PageSize
		if len(page) != PageSize || at >= uint64(len(view)) {
			return fmt.Errorf("load image: page %d with %d bytes in a heap of %d bytes", index, len(page), len(view))
		}
		copy(view[at:], page)
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, img.Close())
	}
	return img, nil
}

// Pages calls f with the index and content of every page that is not all zeros, in ascending order: what an install
// has to store, and what LoadImage needs back. The content is valid during the call only.
func (img *Image) Pages(f func(index uint32, page []byte) error) error {
	view := img.store.view()
	for at := img.store.data(0); at < uint64(len(view)); at = img.store.data(at + PageSize) {
		if p := view[at : at+PageSize]; !isZero(p) {
			if err := f(uint32(at/PageSize), p); err != nil {
				return err
			}
		}
	}
	return nil
}

// Read copies committed heap bytes; it returns false beyond the heap.
func (img *Image) Read(dst []byte, at uint64) bool {
	view := img.store.view()
	if at > uint64(len(view)) || uint64(len(dst)) > uint64(len(view))-at {
		return false
	}
	copy(dst, view[at:])
	return true
}

// WasmPages is the committed size of the heap in pages of 64 KiB.
func (img *Image) WasmPages() uint32 { return uint32(img.store.size() / WasmPage) }

// Globals returns the committed values of the mutable globals (two words for a v128).
func (img *Image) Globals() []uint64 { return slices.Clone(img.globals) }

// Module returns the module that the image belongs to.
func (img *Image) Module() *Module { return img.mod }

// Query returns a clean instance for one read-only call, from the pool if one is idle. Give it back with Release.
func (img *Image) Query() (*Instance, error) {
	img.mu.Lock()
	if n := len(img.pool); n > 0 {
		inst := img.pool[n-1]
		img.pool = img.pool[:n-1]
		img.mu.Unlock()
		return inst, nil
	}
	img.mu.Unlock()
	return img.mod.NewInstance(img)
}

// Trim closes the idle query instances.
func (img *Image) Trim() error {
	img.mu.Lock()
	pool := img.pool
	img.pool = nil
	img.mu.Unlock()
	var errs []error
	for _, inst := range pool {
		errs = append(errs, inst.Close())
	}
	return errors.Join(errs...)
}

// Close frees the image and its idle query instances. Other instances of it must be closed before.
func (img *Image) Close() error {
	return errors.Join(img.Trim(), img.store.close())
}

func isZero(b []byte) bool {
	for len(b) >= 8 {
		if b[0]|b[1]|b[2]|b[3]|b[4]|b[5]|b[6]|b[7] != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
