package sha256

import (
	"encoding/binary"
	"unsafe"
)

//go:wasmimport fusion sha256_block
func block(state *[8]uint32, data unsafe.Pointer, blocks int32)

// The first 32 bits of the fractional parts of the square roots of the first 8 primes (FIPS 180-4, section 5.3.3).
var initial = [8]uint32{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}

// A canister has one thread and these are not held over a call, so that hashing needs no allocation.
var (
	state [8]uint32
	tail  [128]byte
)

// Sum256 hashes b.
func Sum256(b []byte) (sum [Size]byte) {
	state = initial
	whole := len(b) / 64
	if whole > 0 {
		block(&state, unsafe.Pointer(unsafe.SliceData(b)), int32(whole))
	}
	n := copy(tail[:], b[whole*64:])
	tail[n] = 0x80
	end := 64
	if n >= 56 {
		end = 128
	}
	clear(tail[n+1 : end-8])
	binary.BigEndian.PutUint64(tail[end-8:], uint64(len(b))*8)
	block(&state, unsafe.Pointer(&tail), int32(end/64))
	for i, w := range state {
		binary.BigEndian.PutUint32(sum[4*i:], w)
	}
	return sum
}
