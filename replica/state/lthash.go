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

// sum is an LtHash accumulator, four lanes to a word, the lowest first. The zero value stands for the empty set.
type sum [lanes / 4]uint64

// tops are the highest bits of a word's lanes: what is added without them does not run over into the next lane.
const tops = 0x8000_8000_8000_8000

// folder adds elements to sums and takes them away. The zero value is ready; it keeps its buffers between elements.
type folder struct {
	hash    *blake3.Hasher
	element []byte
	stream  [sumSize]byte
}

// half is how much of a stream the hash function makes at once.
const half = guts.MaxSIMD * guts.BlockSize

// hashRoom is how much capacity the hash function wants behind what it is given, so that it does not copy it first.
const hashRoom = guts.MaxSIMD * guts.ChunkSize

// expand fills the stream with the element's.
func (f *folder) expand(key, value []byte) {
	e := append(f.element[:0], elementID...)
	e = binary.BigEndian.AppendUint32(e, uint32(len(key)))
	e = append(append(e, key...), value...)
	if len(e) <= guts.ChunkSize { // most are: one chunk is its own root
		n := guts.CompressChunk(e, &guts.IV, 0, 0)
		n.Flags |= guts.FlagRoot
		guts.CompressBlocks((*[half]byte)(f.stream[:]), n)
		n.Counter = guts.MaxSIMD
		guts.CompressBlocks((*[half]byte)(f.stream[half:]), n)
		f.element = e
		return
	}
	if f.hash == nil {
		f.hash = blake3.New(32, nil)
	}
	f.hash.Reset()
	e = slices.Grow(e, hashRoom)
	f.hash.Write(e)
	if f.element = e; cap(e) > maxKeptElement {
		f.element = nil
	}
	stream := f.hash.XOF()
	for i := 0; i < sumSize; i += half { // more at once starts goroutines, which takes longer than the hashing
		if _, err := stream.Read(f.stream[i : i+half]); err != nil {
			panic(fmt.Sprintf("state: expanding an element: %v", err)) // the stream is 2^64 bytes long
		}
	}
}

// maxKeptElement bounds the buffer that a folder keeps.
const maxKeptElement = 1 << 20

func (f *folder) add(s *sum, key, value []byte) {
	f.expand(key, value)
	for i := range s {
		s[i] = plus(s[i], binary.LittleEndian.Uint64(f.stream[8*i:]))
	}
}

func (f *folder) remove(s *sum, key, value []byte) {
	f.expand(key, value)
	for i := range s {
		s[i] = minus(s[i], binary.LittleEndian.Uint64(f.stream[8*i:]))
	}
}

// plus and minus work on four lanes, each modulo 2^16.
func plus(a, b uint64) uint64  { return (a&^tops + b&^tops) ^ (a^b)&tops }
func minus(a, b uint64) uint64 { return ((a | tops) - b&^tops) ^ (a^^b)&tops }

// plus adds the elements of another sum.
func (s *sum) plus(o *sum) {
	for i := range s {
		s[i] = plus(s[i], o[i])
	}
}

func (s *sum) bytes() []byte {
	out := make([]byte, sumSize)
	for i, v := range s {
		binary.LittleEndian.PutUint64(out[8*i:], v)
	}
	return out
}

func (s *sum) load(b []byte) error {
	if len(b) != sumSize {
		return fmt.Errorf("accumulator of %d bytes, want %d", len(b), sumSize)
	}
	for i := range s {
		s[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return nil
}

func (s *sum) digest() [32]byte { return sha256.Sum256(s.bytes()) }
