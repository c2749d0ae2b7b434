package state

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"runtime"
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

// teller folds the keys whose writers say what changes, beside those who write. The zero value is ready.
type teller struct {
	lot  []byte       // changes that wait: sign, length of key and of value, key, value
	free chan *folded // those who do not fold, all made by the first lot
}

// folded is what one goroutine at a time adds up.
type folded struct {
	folder folder
	sum    sum
	lot    []byte
}

// lotBytes are folded at once: some half a millisecond.
const lotBytes = 64 << 10

const changeHead = 1 + 4 + 4

// tell notes that a key with a value comes or goes.
func (t *teller) tell(comes bool, key, value []byte) {
	sign := byte(0)
	if comes {
		sign = 1
	}
	t.lot = binary.LittleEndian.AppendUint32(append(t.lot, sign), uint32(len(key)))
	t.lot = binary.LittleEndian.AppendUint32(t.lot, uint32(len(value)))
	t.lot = append(append(t.lot, key...), value...)
	if len(t.lot) >= lotBytes {
		t.fold()
	}
}

// began tells whether anything was told.
func (t *teller) began() bool { return t.lot != nil }

// fold hands the lot to a goroutine, waiting for one.
func (t *teller) fold() {
	if t.free == nil {
		n := runtime.GOMAXPROCS(0)
		t.free = make(chan *folded, n)
		for range n {
			t.free <- new(folded)
		}
	}
	f := <-t.free
	f.lot, t.lot = t.lot, slices.Grow(f.lot[:0], lotBytes)
	go func() {
		for b := f.lot; len(b) > 0; {
			comes, k, v := b[0] == 1, binary.LittleEndian.Uint32(b[1:]), binary.LittleEndian.Uint32(b[5:])
			b = b[changeHead:]
			if comes {
				f.folder.add(&f.sum, b[:k], b[k:k+v])
			} else {
				f.folder.remove(&f.sum, b[:k], b[k:k+v])
			}
			b = b[k+v:]
		}
		t.free <- f
	}()
}

// addTo waits for what was told and adds it.
func (t *teller) addTo(s *sum) {
	if len(t.lot) > 0 {
		t.fold()
	}
	all := make([]*folded, cap(t.free))
	for i := range all {
		all[i] = <-t.free
		s.plus(&all[i].sum)
	}
	for _, f := range all {
		t.free <- f
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
