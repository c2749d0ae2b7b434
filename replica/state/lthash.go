package state

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"lukechampine.com/blake3"
)

const (
	lanes     = 1024 // LtHash16 with 1,024 lanes: about 200 bits of security (Lewi et al. 2019, section 5)
	sumSize   = 2 * lanes
	elementID = "fusion/state/element/v1"
)

// sum is an LtHash accumulator. The zero value stands for the empty set.
type sum [lanes]uint16

func (s *sum) fold(key, value []byte, sign uint16) {
	h := blake3.New(32, nil)
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(key)))
	h.Write([]byte(elementID))
	h.Write(n[:])
	h.Write(key)
	h.Write(value)
	var out [sumSize]byte
	if _, err := h.XOF().Read(out[:]); err != nil {
		panic(fmt.Sprintf("state: expanding an element: %v", err)) // the stream is 2^64 bytes long
	}
	for i := range s {
		s[i] += sign * binary.LittleEndian.Uint16(out[2*i:])
	}
}

func (s *sum) add(key, value []byte)    { s.fold(key, value, 1) }
func (s *sum) remove(key, value []byte) { s.fold(key, value, 0xffff) }

func (s *sum) bytes() []byte {
	out := make([]byte, sumSize)
	for i, v := range s {
		binary.LittleEndian.PutUint16(out[2*i:], v)
	}
	return out
}

func (s *sum) load(b []byte) error {
	if len(b) != sumSize {
		return fmt.Errorf("accumulator of %d bytes, want %d", len(b), sumSize)
	}
	for i := range s {
		s[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return nil
}

func (s *sum) digest() [32]byte { return sha256.Sum256(s.bytes()) }
