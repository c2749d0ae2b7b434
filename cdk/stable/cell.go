package stable

import (
	"encoding/binary"
	"fmt"
)

const (
	cellMagic  = "FSC\x01"
	cellHeader = 8
)

// Cell is one value.
type Cell struct {
	m   Memory
	len int
}

// OpenCell opens a cell; in an empty memory it is empty.
func OpenCell(m Memory) (*Cell, error) {
	c := &Cell{m: m}
	if m.Size() == 0 {
		return c, nil
	}
	var h [cellHeader]byte
	m.Read(h[:], 0)
	c.len = int(binary.LittleEndian.Uint32(h[4:]))
	if string(h[:4]) != cellMagic || uint64(c.len) > m.Size()*PageSize-cellHeader {
		return nil, fmt.Errorf("%w: cell header %x", ErrCorrupt, h)
	}
	return c, nil
}

// Get appends the value to dst.
func (c *Cell) Get(dst []byte) []byte {
	n := len(dst)
	dst = append(dst, make([]byte, c.len)...)
	if c.len > 0 {
		c.m.Read(dst[n:], cellHeader)
	}
	return dst
}

// Set replaces the value.
func (c *Cell) Set(value []byte) error {
	if len(value) >= 1<<31 {
		return fmt.Errorf("%w: cell of %d bytes", ErrTooLarge, len(value))
	}
	if err := reserve(c.m, cellHeader+uint64(len(value))); err != nil {
		return err
	}
	var h [cellHeader]byte
	copy(h[:], cellMagic)
	binary.LittleEndian.PutUint32(h[4:], uint32(len(value)))
	c.m.Write(0, h[:])
	c.m.Write(cellHeader, value)
	c.len = len(value)
	return nil
}
