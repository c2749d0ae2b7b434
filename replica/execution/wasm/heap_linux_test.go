package wasm

import "testing"

// TestReadPages: pages that were only read must not make every later scan slow, and a heap that reads them all the time must not
// be emptied all the time.
func TestReadPages(t *testing.T) {
	if !mappedHeapsWork() {
		t.Skip("this system compares pages")
	}
	const pages = 4 * keepRead
	s, err := newMappedStore(pages * PageSize)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	h, err := s.newHeap(maxHeap)
	if err != nil {
		t.Fatal(err)
	}
	defer h.release()
	h.resize(pages * PageSize)
	b := h.Reallocate(0)
	// scan reads some pages, writes one and looks for it; it tells whether the heap was emptied.
	scan := func(read int) bool {
		t.Helper()
		for i := range read {
			if b[i*PageSize] != 0 {
				t.Fatal("the heap is not empty")
			}
		}
		b[7*PageSize+1]++
		found, keep, err := h.candidates(nil)
		if err != nil || len(found) != 1 || found[0] != 7 {
			t.Fatalf("found %v, %v", found, err)
		}
		if !keep {
			if err := h.discard(); err != nil {
				t.Fatal(err)
			}
		}
		return !keep
	}
	scan(pages)
	first := 1
	for ; !scan(0); first++ {
		if first > 2*keepScans {
			t.Fatalf("after %d scans, %d pages that were read once are still there", first, pages)
		}
	}
	for range 100 {
		if scan(0) {
			t.Fatal("a heap without pages to speak of was emptied")
		}
	}
	emptied := 0
	for range 10 * keepScans {
		if scan(pages) {
			emptied++
		}
	}
	if emptied == 0 || emptied > 10 {
		t.Fatalf("emptied %d times in %d scans", emptied, 10*keepScans)
	}
	for range 10 * keepScans {
		if scan(keepRead / 2) {
			emptied++
		}
	}
	if emptied > 11 {
		t.Fatal("a heap was emptied of few pages")
	}
}
