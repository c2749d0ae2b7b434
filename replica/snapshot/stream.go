package snapshot

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// entryHeader is the lengths in front of a key and its value.
const entryHeader = 8

func appendEntry(b, key, value []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(key)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(value)))
	return append(append(b, key...), value...)
}

var encoder = sync.OnceValue(func() *zstd.Encoder {
	// One thread: an image is made beside the work of a replica. No checksum: chunks have hashes.
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false))
	if err != nil {
		panic(err) // the options are constants
	}
	return e
})

var decoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(ChunkBytes), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		panic(err)
	}
	return d
})

// expand returns the piece of the stream in a chunk, which must have exactly size bytes.
func expand(chunk []byte, size int) ([]byte, error) {
	out, err := decoder().DecodeAll(chunk, make([]byte, 0, size))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrContent, err)
	}
	if len(out) != size {
		return nil, fmt.Errorf("%w: a chunk expands to %d bytes, the manifest says %d", ErrContent, len(out), size)
	}
	return out, nil
}

// parser takes entries out of the pieces of a stream.
type parser struct {
	rest  []byte // of an entry that goes on in the next piece
	last  []byte
	count uint64
}

// feed calls set for each entry that is complete.
func (p *parser) feed(piece []byte, set func(key, value []byte) error) error {
	b := piece
	if len(p.rest) > 0 {
		b = append(p.rest, piece...)
	}
	whole := len(b)
	for len(b) >= entryHeader {
		k, v := uint64(binary.BigEndian.Uint32(b)), uint64(binary.BigEndian.Uint32(b[4:]))
		if k > MaxKey || v > MaxValue {
			return fmt.Errorf("%w: a key of %d bytes with a value of %d", ErrContent, k, v)
		}
		if uint64(len(b)) < entryHeader+k+v {
			break
		}
		key, value := b[entryHeader:entryHeader+k], b[entryHeader+k:entryHeader+k+v]
		if p.count > 0 && bytes.Compare(key, p.last) <= 0 {
			return fmt.Errorf("%w: key %x comes after %x", ErrContent, key, p.last)
		}
		p.last = append(p.last[:0], key...)
		p.count++
		if err := set(key, value); err != nil {
			return err
		}
		b = b[entryHeader+k+v:]
	}
	if len(b) == whole && len(p.rest) > 0 { // a long value goes on growing
		p.rest = b
	} else {
		p.rest = append([]byte(nil), b...) // its own memory: a piece is not held by its end
	}
	return nil
}
