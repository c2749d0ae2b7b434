package hugepages

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// What is allocated after the heap asked lies where the system may give huge pages, and nothing was taken for it before.
func TestHeap(t *testing.T) {
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err != nil {
		if err := Heap(1 << 20); err == nil {
			t.Error("a system without huge pages gives them")
		}
		return
	}
	const size = 256 << 20
	if err := Heap(size); err != nil {
		t.Fatal(err)
	}
	space := make([]byte, size/2)
	flags, resident := mapping(t, uintptr(unsafe.Pointer(&space[size/4])))
	if !slices.Contains(flags, "hg") {
		t.Errorf("the heap's mapping has the flags %q", flags)
	}
	if resident > size/4<<10 {
		t.Errorf("%d KiB of it are in memory", resident)
	}
	space[0] = 1
}

// mapping finds an address in the process's memory.
func mapping(t *testing.T, address uintptr) (flags []string, residentKiB uint64) {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	in := false
	for s := bufio.NewScanner(f); s.Scan(); {
		var from, to uintptr
		if n, _ := fmt.Sscanf(s.Text(), "%x-%x ", &from, &to); n == 2 {
			in = from <= address && address < to
		}
		if rest, ok := strings.CutPrefix(s.Text(), "Rss:"); ok && in {
			if _, err := fmt.Sscan(rest, &residentKiB); err != nil {
				t.Fatal(err)
			}
		}
		if rest, ok := strings.CutPrefix(s.Text(), "VmFlags:"); ok && in {
			return strings.Fields(rest), residentKiB
		}
	}
	t.Fatalf("no mapping holds %x", address)
	return nil, 0
}
