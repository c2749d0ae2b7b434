package sha256

import "unsafe"

//go:wasmimport fusion sha256
//go:noescape
func sum(dst *[Size]byte, src unsafe.Pointer, size int32)

// Sum256 hashes b.
func Sum256(b []byte) (h [Size]byte) {
	sum(&h, unsafe.Pointer(unsafe.SliceData(b)), int32(len(b)))
	return h
}
