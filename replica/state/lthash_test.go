package state

import (
	"bytes"
	"encoding/binary"
	"math/rand"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"lukechampine.com/blake3"

	"fusion/internal/kv"
)

// plainFold is an element's way into an accumulator as the package comment says it: 1,024 lanes of 16 bits from BLAKE3's stream.
func plainFold(lane *[lanes]uint16, key, value []byte, sign uint16) {
	h := blake3.New(32, nil)
	h.Write([]byte(elementID))
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(key))))
	h.Write(append(bytes.Clone(key), value...))
	var stream [sumSize]byte
	h.XOF().Read(stream[:])
	for i := range lane {
		lane[i] += sign * binary.LittleEndian.Uint16(stream[2*i:])
	}
}

// The accumulator that adds four lanes at once is the one that adds each alone, for elements on both sides of what one chunk holds.
func TestLanes(t *testing.T) {
	rng := rand.New(rand.NewSource(5))
	var s sum
	var f folder
	var lane [lanes]uint16
	for i := range 400 {
		key, value := make([]byte, rng.Intn(60)), make([]byte, []int{3, 30, 950 + i%100, 5000, 40_000}[i%5])
		rng.Read(key)
		rng.Read(value)
		if rng.Intn(2) == 0 {
			f.add(&s, key, value)
			plainFold(&lane, key, value, 1)
		} else {
			f.remove(&s, key, value)
			plainFold(&lane, key, value, 0xffff)
		}
	}
	var want []byte
	for _, v := range lane {
		want = binary.LittleEndian.AppendUint16(want, v)
	}
	if !bytes.Equal(s.bytes(), want) {
		t.Error("the lanes differ")
	}
	var again sum
	if err := again.load(want); err != nil || again != s {
		t.Errorf("read back it differs, %v", err)
	}
}

// What a writer says about the keys that it changes gives the digest that looking gives, also when a block writes a key more than once.
func TestInformed(t *testing.T) {
	rng := rand.New(rand.NewSource(6))
	asked, told := open(t, vfs.NewMem()), open(t, vfs.NewMem())
	defer asked.Close()
	defer told.Close()
	held := map[string][]byte{}
	for h := uint64(1); h <= 6; h++ {
		x, y := asked.Begin(), told.Begin()
		for range 10_000 { // more than one lot of lotBytes
			k := []byte{byte(rng.Intn(4)), byte(rng.Intn(256))}
			v := binary.BigEndian.AppendUint32(make([]byte, rng.Intn(40)), rng.Uint32())
			old, ok := held[string(k)]
			switch {
			case !ok:
				x.Set(k, v)
				kv.SetNew(kv.Prefix(y, ""), k, v)
				held[string(k)] = v
			case rng.Intn(100) == 0:
				x.Set(k, v)
				y.Set(k, v)
				held[string(k)] = v
			case rng.Intn(100) == 0:
				x.Delete(k)
				y.Delete(k)
				delete(held, string(k))
			case rng.Intn(1000) == 0:
				y.Digest() // one that more changes follow
			default:
				x.Delete(k)
				kv.DeleteOld(kv.Prefix(y, ""), k, old)
				delete(held, string(k))
			}
		}
		if x.Digest() != y.Digest() {
			t.Fatalf("block %d: the digests differ", h)
		}
		if err := x.Commit(h, x.Digest()); err != nil {
			t.Fatal(err)
		}
		if err := y.Commit(h, y.Digest()); err != nil {
			t.Fatal(err)
		}
	}
	if err := told.Check(nil); err != nil {
		t.Error(err)
	}
}
