// Package hugepages lays a part of the Go heap on huge pages.
//
// A program that fills gigabytes with objects which it then visits in no order spends much of its time on pages: the system hands each 4 KiB out
// and clears it, and the processor looks each up. Taking Bitcoin blocks in, both were a tenth of all (`make bench`, row btc_blocks_per_s: 24.6 a second
// without and 28.1 with huge pages, three runs of each by turns on 2026-11-23). Most Linux systems give them only to who asks
// (/sys/kernel/mm/transparent_hugepage/enabled is "madvise"), and Go's runtime does not ask.
package hugepages

import (
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
)

// Heap asks for huge pages for so many bytes that the heap has yet to grow by, at most a quarter of the machine's memory and half of Go's memory
// limit. They take memory when the heap uses them, not before. Without them, as on other systems than Linux, everything works, slower.
func Heap(bytes uint64) error {
	all, err := memory()
	if err != nil || all == 0 || bytes == 0 {
		return err
	}
	bytes = min(bytes, all/4)
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		bytes = min(bytes, uint64(limit)/2)
	}
	// What is asked for stays with the addresses, which the heap takes for other things once this is collected.
	space := make([]byte, bytes)
	if err := advise(space); err != nil {
		return fmt.Errorf("huge pages for %d MiB of the heap: %w", bytes>>20, err)
	}
	runtime.KeepAlive(space)
	space = nil
	runtime.GC() // it also makes the collector forget that the heap was as large
	return nil
}
