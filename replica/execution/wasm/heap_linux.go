//go:build linux

package wasm

import (
	"errors"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Constants of the kernel's PAGEMAP_SCAN request (include/uapi/linux/fs.h, Linux 6.7).
const (
	pagemapScan   = 0xc0606610 // _IOWR('f', 16, struct pm_scan_arg)
	pageIsFile    = 1 << 2
	pageIsPresent = 1 << 3
	pageIsSwapped = 1 << 4
)

type pmScanArg struct {
	size, flags, start, end, walkEnd, vec, vecLen, maxPages       uint64
	categoryInverted, categoryMask, categoryAnyofMask, returnMask uint64
}

type pageRegion struct{ start, end, categories uint64 }

// keepResident is the number of private pages up to which a heap keeps them: comparing a page costs about 0.1 µs, a
// fresh fault about 1 µs.
const keepResident = 256

// A scan walks over every page that is mapped, also those that were only read, for about 30 ns each. Dropping them costs a few
// times that, since most are read again. So they are dropped after keepScans scans, if there are more than keepRead of them:
// whatever a canister does, it pays little more than twice what it would at best.
const (
	keepRead  = 1024
	keepScans = 8
)

// pagemap is /proc/self/pagemap, opened once.
var pagemap = sync.OnceValues(func() (*os.File, error) { return os.Open("/proc/self/pagemap") })

// mappedStore keeps the content in a memory file.
type mappedStore struct {
	fd     int
	length uint64
	shared []byte // the whole reserved range, mapped shared and writable; only [:length] may be touched
}

// newMappedStore fails where the kernel lacks what it needs; the caller then uses newPlainStore.
func newMappedStore(size uint64) (store, error) {
	if os.Getpagesize() != PageSize {
		return nil, heapErr("page size", errors.ErrUnsupported)
	}
	fd, err := unix.MemfdCreate("fusion-heap", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, heapErr("memfd_create", err)
	}
	s := &mappedStore{fd: fd}
	s.shared, err = unix.Mmap(fd, 0, maxHeap, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
	if err != nil {
		unix.Close(fd)
		return nil, heapErr("mmap", err)
	}
	if err := s.grow(size); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *mappedStore) size() uint64 { return s.length }
func (s *mappedStore) view() []byte { return s.shared[:s.length:s.length] }

// data skips holes, which reading through the view would fill.
func (s *mappedStore) data(at uint64) uint64 {
	pos, err := unix.Seek(s.fd, int64(at), unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return s.length
	case err != nil || pos < int64(at):
		return at
	}
	return uint64(pos) &^ (PageSize - 1)
}

func (s *mappedStore) grow(size uint64) error {
	if err := unix.Ftruncate(s.fd, int64(size)); err != nil {
		return heapErr("ftruncate", err)
	}
	s.length = size
	return nil
}

func (s *mappedStore) close() error {
	if s.shared == nil {
		return nil
	}
	err := errors.Join(unix.Munmap(s.shared), unix.Close(s.fd))
	s.shared = nil
	return heapErr("close", err)
}

// mappedHeap is a private mapping of the store up to mapped, and anonymous memory behind it.
type mappedHeap struct {
	s       *mappedStore
	all     []byte // the reserved range
	length  uint64 // current size
	mapped  uint64 // bytes that come from the store
	touched uint64 // largest size since the last discard
	max     uint64
	forced  uint64
	force   bool
	walked  uint64 // pages walked over in vain since the last discard
	regions [128]pageRegion
}

func (s *mappedStore) newHeap(max uint64) (heap, error) {
	all, err := unix.Mmap(-1, 0, maxHeap, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, heapErr("mmap", err)
	}
	h := &mappedHeap{s: s, all: all, max: max}
	// Huge pages would make one store dirty 512 pages. Kernels without them refuse the advice, which is as good.
	_ = unix.Madvise(all, unix.MADV_NOHUGEPAGE)
	if err := h.adopt(); err != nil {
		_ = h.release()
		return nil, err
	}
	return h, nil
}

func (h *mappedHeap) bytes() []byte      { return h.all[:h.length:h.length] }
func (h *mappedHeap) resize(size uint64) { h.forced, h.force = size, true }
func (h *mappedHeap) limit(size uint64)  { h.max = size }
func (h *mappedHeap) Free()              {}

func (h *mappedHeap) Reallocate(size uint64) []byte {
	if h.force {
		size, h.force = h.forced, false
	} else if size > h.max {
		return nil
	}
	h.length = size
	h.touched = max(h.touched, size)
	return h.bytes()
}

// adopt maps the part of the store that this heap does not map yet over its own anonymous pages.
func (h *mappedHeap) adopt() error {
	if h.mapped >= h.s.length {
		return nil
	}
	at := unsafe.Pointer(&h.all[h.mapped])
	_, err := unix.MmapPtr(h.s.fd, int64(h.mapped), at, uintptr(h.s.length-h.mapped),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED|unix.MAP_NORESERVE)
	if err != nil {
		return heapErr("mmap", err)
	}
	h.mapped = h.s.length
	return nil
}

func (h *mappedHeap) discard() error {
	if n := max(h.touched, h.length); n > 0 {
		if err := unix.Madvise(h.all[:n], unix.MADV_DONTNEED); err != nil {
			return heapErr("madvise", err)
		}
	}
	h.touched, h.walked = h.length, 0
	return h.adopt()
}

func (h *mappedHeap) restore(pages []uint32) error {
	committed, view := uint32(h.s.length/PageSize), h.s.view()
	for _, p := range pages {
		if p < committed {
			copy(h.all[uint64(p)*PageSize:][:PageSize], view[uint64(p)*PageSize:])
		}
	}
	if end := max(h.touched, h.length); end > h.s.length {
		if err := unix.Madvise(h.all[h.s.length:end], unix.MADV_DONTNEED); err != nil {
			return heapErr("madvise", err)
		}
		h.touched = h.s.length
	}
	return nil
}

func (h *mappedHeap) release() error {
	if h.all == nil {
		return nil
	}
	err := unix.Munmap(h.all)
	h.all, h.length = nil, 0
	return heapErr("munmap", err)
}

// candidates asks the kernel which pages are present and not backed by the file: those were written (or, behind the
// mapped part, at least read).
func (h *mappedHeap) candidates(dst []uint32) ([]uint32, bool, error) {
	if h.length == 0 {
		return dst, true, nil
	}
	f, err := pagemap()
	if err != nil {
		return nil, false, heapErr("pagemap", err)
	}
	base := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(h.all))))
	arg := pmScanArg{
		size: uint64(unsafe.Sizeof(pmScanArg{})), start: base, end: base + h.length,
		vec: uint64(uintptr(unsafe.Pointer(&h.regions))), vecLen: uint64(len(h.regions)),
		categoryAnyofMask: pageIsPresent | pageIsSwapped, returnMask: pageIsFile,
	}
	first, read := len(dst), uint64(0)
	for arg.start < arg.end {
		n, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), pagemapScan, uintptr(unsafe.Pointer(&arg)))
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return nil, false, heapErr("PAGEMAP_SCAN", errno)
		}
		for _, r := range h.regions[:n] {
			if r.categories&pageIsFile != 0 {
				read += (r.end - r.start) / PageSize
				continue
			}
			for at := r.start; at < r.end; at += PageSize {
				dst = append(dst, uint32((at-base)/PageSize))
			}
		}
		arg.start = arg.walkEnd
	}
	if read > keepRead {
		h.walked += read
	}
	return dst, len(dst)-first <= keepResident && h.walked <= keepScans*max(read, keepRead), nil
}

// mappedHeapsWork tries the whole cycle once: write, find the page, publish, see it elsewhere, discard.
var mappedHeapsWork = sync.OnceValue(func() bool {
	s, err := newMappedStore(2 * WasmPage)
	if err != nil {
		return false
	}
	defer s.close()
	h, err := s.newHeap(maxHeap)
	if err != nil {
		return false
	}
	defer h.release()
	h.resize(3 * WasmPage)
	b := h.Reallocate(0)
	b[PageSize], b[2*WasmPage] = 7, 8
	pages, keep, err := h.candidates(nil)
	if err != nil || !keep || len(pages) != 2 || pages[0] != 1 || pages[1] != 2*WasmPage/PageSize {
		return false
	}
	s.view()[0] = 9
	return b[0] == 9 && h.discard() == nil && b[PageSize] == 0 && b[2*WasmPage] == 0 && b[0] == 9
})

// newStore returns the best store of this machine.
func newStore(size uint64, plain bool) (store, error) {
	if plain || !mappedHeapsWork() {
		return newPlainStore(size)
	}
	return newMappedStore(size)
}
