package execution

import (
	"sync"

	"fusion/internal/kv"
)

type page = [pageSize]byte

var zeroPage page

const (
	// stableCacheLimit is the number of pages of one canister that stay in memory beside those that have to.
	stableCacheLimit = 16_384 // 64 MiB
	// maxStableDirty is the number of pages that one message may write: all of them are in memory until the block is stored.
	maxStableDirty = 131_072 // 512 MiB
)

// stableMemory is a canister's committed stable memory: the pages of the store behind a cache. A nil page is all zeroes.
type stableMemory struct {
	mu    sync.Mutex // queries fill the cache too
	pages map[uint64]*page
	dirty map[uint64]struct{}
	// flushed are pages that the store of the round has and the committed one, from which queries read, perhaps not yet.
	flushed map[uint64]struct{}
}

func newStable() stableMemory {
	return stableMemory{pages: map[uint64]*page{}, dirty: map[uint64]struct{}{}, flushed: map[uint64]struct{}{}}
}

// get returns a page to read, loading it when needed.
func (s *stableMemory) get(i uint64, load func(i uint64) *page) *page {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.pages[i]
	if !ok {
		p = load(i)
		if len(s.pages) > stableCacheLimit+len(s.dirty)+len(s.flushed) {
			s.evict()
		}
		s.pages[i] = p
	}
	return p
}

// evict drops what can be read again.
func (s *stableMemory) evict() {
	for i := range s.pages {
		_, dirty := s.dirty[i]
		if _, flushed := s.flushed[i]; !dirty && !flushed {
			delete(s.pages, i)
		}
	}
}

// put commits pages that a message wrote.
func (s *stableMemory) put(pages map[uint64]*page) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, p := range pages {
		s.pages[i] = p
		s.dirty[i] = struct{}{}
	}
}

// reset forgets all pages: the memory lies in other layers from now on.
func (s *stableMemory) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.pages)
	clear(s.dirty)
	clear(s.flushed)
}

// nextRound is called when everything flushed before is committed.
func (s *stableMemory) nextRound() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.flushed)
}

// flush writes what has changed into a layer. In one that lies on others absent does not mean zero, and an empty value does.
func (s *stableMemory) flush(store kv.Store, layer uint64, stacked bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.dirty)
	if n == 0 {
		return 0
	}
	for _, i := range sortedKeys(s.dirty) {
		key := layerKey(keyStable, layer, be64(i)...)
		switch p := s.pages[i]; {
		case *p != zeroPage:
			store.Set(key, p[:])
		case stacked:
			store.Set(key, nil)
		default:
			store.Delete(key)
		}
		s.flushed[i] = struct{}{}
	}
	clear(s.dirty)
	return n
}

// stableTx is the stable memory as one message sees it: the committed one, under the writes of the messages of the same batch that ran
// before, under its own.
type stableTx struct {
	base  *stableMemory
	batch map[uint64]*page
	load  func(i uint64) *page
	pages map[uint64]*page // written by this message
	size  uint64           // in 64 KiB pages
	wiped bool             // a reinstallation starts from nothing

	last  uint64 // the page that was read last
	lastP *page

	// free are pages that nobody else has: the messages of a batch write the same few pages over and over, and memory that is still
	// in the processor's cache is written in a tenth of the time of fresh one.
	free []*page
}

// maxFreePages bounds what a transaction keeps between messages: 1 MiB.
const maxFreePages = 256

func (t *stableTx) begin(base *stableMemory, batch map[uint64]*page, size uint64, load func(uint64) *page) {
	for _, p := range t.pages { // of a message that was taken back
		t.release(p)
	}
	clear(t.pages)
	if t.pages == nil {
		t.pages = map[uint64]*page{}
	}
	t.base, t.batch, t.size, t.load, t.wiped, t.last, t.lastP = base, batch, size, load, false, ^uint64(0), nil
}

func (t *stableTx) bytes() uint64 { return t.size * wasmPage }

func (t *stableTx) page(i uint64) *page {
	if i == t.last {
		return t.lastP
	}
	p, ok := t.pages[i]
	if !ok {
		p, ok = t.batch[i]
	}
	if !ok && !t.wiped {
		p = t.base.get(i, t.load)
	}
	t.last, t.lastP = i, p
	return p
}

// read copies stable memory at offset to dst; the caller has checked the bounds.
func (t *stableTx) read(dst []byte, offset uint64) {
	for len(dst) > 0 {
		i, at := offset/pageSize, offset%pageSize
		n := min(uint64(len(dst)), pageSize-at)
		if p := t.page(i); p != nil {
			copy(dst[:n], p[at:])
		} else {
			clear(dst[:n])
		}
		dst, offset = dst[n:], offset+n
	}
}

// write copies src to stable memory at offset; the caller has checked the bounds. It reports false when the message writes too many
// pages.
func (t *stableTx) write(offset uint64, src []byte) bool {
	for len(src) > 0 {
		i, at := offset/pageSize, offset%pageSize
		p, own := t.pages[i]
		if !own {
			if len(t.pages) >= maxStableDirty {
				return false
			}
			old := t.page(i)
			p = t.own(old)
			t.pages[i] = p
		}
		t.last, t.lastP = i, p
		n := copy(p[at:], src)
		src, offset = src[n:], offset+uint64(n)
	}
	return true
}

// own returns a page of this message's own with the content of old.
func (t *stableTx) own(old *page) *page {
	n := len(t.free)
	if n == 0 {
		p := new(page)
		if old != nil {
			*p = *old
		}
		return p
	}
	p := t.free[n-1]
	t.free = t.free[:n-1]
	if old != nil {
		*p = *old
	} else {
		*p = zeroPage
	}
	return p
}

// release takes a page that nobody else has.
func (t *stableTx) release(p *page) {
	if len(t.free) < maxFreePages {
		t.free = append(t.free, p)
	}
}

// join adds the writes to the batch, which owns the pages afterwards. Until a batch is committed only its own messages read it, so what
// it had of those pages is free.
func (t *stableTx) join() {
	for i, p := range t.pages {
		if old := t.batch[i]; old != nil {
			t.release(old)
		}
		t.batch[i] = p
	}
	clear(t.pages)
	t.last = ^uint64(0)
}

// commit publishes the writes into the base, which owns the pages afterwards. The batch is empty.
func (t *stableTx) commit() {
	if t.wiped {
		t.base.reset()
	}
	t.base.put(t.pages)
	clear(t.pages)
	t.last = ^uint64(0)
}
