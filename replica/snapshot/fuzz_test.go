package snapshot

import (
	"bytes"
	"crypto/sha256"
	"testing"
)

// rehash is an image of one chunk of any bytes.
func rehash(m *Manifest, chunk []byte) (*Manifest, func(int) []byte) {
	m.Chunks = [][32]byte{sha256.Sum256(chunk)}
	return m, func(int) []byte { return chunk }
}

func FuzzManifest(f *testing.F) {
	f.Add((&Manifest{Network: network, Height: 1, Keys: 1, Bytes: ChunkBytes + 1, Chunks: make([][32]byte, 2)}).Encode())
	f.Add((&Manifest{}).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeManifest(b)
		if err != nil {
			return
		}
		if !bytes.Equal(m.Encode(), b) {
			t.Errorf("%x decodes to %+v", b, m)
		}
		for i := range m.Chunks {
			if n := m.piece(i); n < 1 || n > ChunkBytes {
				t.Errorf("chunk %d holds %d bytes", i, n)
			}
		}
	})
}

// FuzzStream feeds entries in two pieces: where they are cut makes no difference, and keys ascend.
func FuzzStream(f *testing.F) {
	good := appendEntry(appendEntry(nil, []byte("a"), []byte("1")), []byte("b"), nil)
	f.Add(good, 3)
	f.Add(append(good, good...), 20)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1}, 1)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		parse := func(pieces ...[]byte) (out []byte, count uint64, err error) {
			var p parser
			for _, piece := range pieces {
				err = p.feed(piece, func(k, v []byte) error { out = appendEntry(out, k, v); return nil })
				if err != nil {
					break
				}
			}
			return append(out, p.rest...), p.count, err
		}
		cut = max(0, min(cut, len(b)))
		one, n, err := parse(b)
		two, m, err2 := parse(b[:cut], b[cut:])
		if (err == nil) != (err2 == nil) || n != m {
			t.Fatalf("%d entries, %v; cut at %d %d, %v", n, err, cut, m, err2)
		}
		if err == nil && (!bytes.Equal(one, b) || !bytes.Equal(two, b)) {
			t.Errorf("%x became %x and %x", b, one, two)
		}
	})
}

func FuzzChunk(f *testing.F) {
	f.Add(encoder().EncodeAll([]byte("a piece"), nil), 7)
	f.Add(encoder().EncodeAll(make([]byte, 1<<20), nil), 1<<20)
	f.Add([]byte("nothing"), 1)
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		size = max(1, min(size, ChunkBytes))
		if out, err := expand(b, size); err == nil && len(out) != size {
			t.Errorf("%d bytes instead of %d", len(out), size)
		}
	})
}
