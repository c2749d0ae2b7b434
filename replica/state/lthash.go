package state

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"lukechampine.com/blake3"
	"lukechampine.com/blake3/guts"
)

const (
	lanes     = 1024 // LtHash16 with 1,024 lanes: about 200 bits of security (Lewi et al. 2019, section 5)
	sumSize   = 2 * lanes
	elementID = "fusion/state/element/v1"
)

// sum is an LtHash accumulator. The zero value stands for the empty set.
type sum [lanes]uint16

// folder adds elements to sums and takes them away. The zero value is ready; it keeps its buffers between elements.
type folder struct {
	hash    *blake3.Hasher
	element []byte
	stream  [sumSize]byte
}

// hashRoom is how much capacity the hash function wants behind what it is given, so that it does not copy it first.
const hashRoom = guts.MaxSIMD * guts.ChunkSize

func (f *folder) fold(s *sum, key, value []byte, sign uint16) {
	if f.hash == nil {
		f.hash = blake3.New(32, nil)
	}
	f.hash.Reset()
	e := append(f.element[:0], elementID...)
	e = binary.BigEndian.AppendUint32(e, uint32(len(key)))
	e = append(append(e, key...), value...)
	e = slices.Grow(e, hashRoom)
	f.hash.Write(e)
	if f.element = e; cap(e) > maxKeptElement {
		f.element = nil
	}
	if _, err := f.hash.XOF().Read(f.stream[:]); err != nil {
		panic(fmt.Sprintf("state: expanding an element: %v", err)) // the stream is 2^64 bytes long
	}
	for i := range s {
		s[i] += sign * binary.LittleEndian.Uint16(f.stream[2*i:])
	}
}

// maxKeptElement bounds the buffer that a folder keeps.
const maxKeptElement = 1 << 20

func (f *folder) add(s *sum, key, value []byte)    { f.fold(s, key, value, 1) }
func (f *folder) remove(s *sum, key, value []byte) { f.fold(s, key, value, 0xffff) }

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
