//go:build !linux

package wasm

// newStore returns the store of this machine: without memory files and a page table to read, it copies.
func newStore(size uint64, _ bool) (store, error) { return newPlainStore(size) }

func mappedHeapsWork() bool { return false }
