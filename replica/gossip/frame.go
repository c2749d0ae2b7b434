package gossip

import (
	"encoding/binary"
	"fmt"
	"io"
)

// A frame is a message behind its length: four bytes, big endian.
const frameHeader = 4

// appendFrame appends msg as a frame.
func appendFrame(b, msg []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(msg))), msg...)
}

// readFrame reads one frame of at most max bytes. The length is checked before anything is allocated. A clean end
// between frames is io.EOF.
func readFrame(r io.Reader, max int) ([]byte, error) {
	var head [frameHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if uint64(n) > uint64(max) {
		return nil, fmt.Errorf("%w: %d bytes of at most %d", ErrOversize, n, max)
	}
	msg := make([]byte, n)
	if _, err := io.ReadFull(r, msg); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return msg, nil
}
