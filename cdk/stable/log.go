package stable

import (
	"encoding/binary"
	"fmt"
)

const (
	logMagic  = "FSL\x01"
	logHeader = 16
)

// Log is a list of records that only grows. Its index memory holds where each record ends in its data memory.
type Log struct {
	index, data Memory
	n           uint64
	end         uint64 // where the next record starts
	buf         [16]byte
}

// OpenLog opens a log over two memories.
func OpenLog(index, data Memory) (*Log, error) {
	l := &Log{index: index, data: data}
	if index.Size() == 0 {
		if err := reserve(index, logHeader); err != nil {
			return nil, err
		}
		index.Write(0, []byte(logMagic))
		return l, nil
	}
	index.Read(l.buf[:logHeader], 0)
	l.n = binary.LittleEndian.Uint64(l.buf[8:])
	if string(l.buf[:4]) != logMagic || l.n > (index.Size()*PageSize-logHeader)/8 {
		return nil, fmt.Errorf("%w: log header %x", ErrCorrupt, l.buf[:logHeader])
	}
	if l.n > 0 {
		_, l.end = l.span(l.n - 1)
	}
	if l.end > data.Size()*PageSize {
		return nil, fmt.Errorf("%w: log ends at %d beyond its memory", ErrCorrupt, l.end)
	}
	return l, nil
}

// Len is the number of records.
func (l *Log) Len() uint64 { return l.n }

// Bytes is the total length of the records.
func (l *Log) Bytes() uint64 { return l.end }

// Append adds a record and returns its index.
func (l *Log) Append(record []byte) (uint64, error) {
	end := l.end + uint64(len(record))
	if err := reserve(l.data, end); err != nil {
		return 0, err
	}
	if err := reserve(l.index, logHeader+8*(l.n+1)); err != nil {
		return 0, err
	}
	l.data.Write(l.end, record)
	i := l.n
	l.end, l.n = end, i+1
	b := l.buf[:8]
	binary.LittleEndian.PutUint64(b, end)
	l.index.Write(logHeader+8*i, b)
	binary.LittleEndian.PutUint64(b, l.n)
	l.index.Write(8, b)
	return i, nil
}

// Trim forgets the records below n, as far as that frees pages; the memories must be windows. Len and the numbers of the other records stay, and the
// caller remembers n: to Get a record below it panics or returns it.
func (l *Log) Trim(n uint64) error {
	index, ok1 := l.index.(*Window)
	data, ok2 := l.data.(*Window)
	if !ok1 || !ok2 {
		return ErrNoWindow
	}
	if n = min(n, l.n); n == 0 {
		return nil
	}
	_, end := l.span(n - 1)
	if err := data.Trim(end); err != nil {
		return err
	}
	return index.Trim(logHeader + 8*(n-1)) // where record n-1 ends is where n begins
}

// Get appends record i to dst. It panics when i is not below Len.
func (l *Log) Get(i uint64, dst []byte) []byte {
	if i >= l.n {
		panic(fmt.Sprintf("stable log: record %d of %d", i, l.n))
	}
	start, end := l.span(i)
	if start > end || end > l.end {
		panic(fmt.Sprintf("stable log: record %d spans %d to %d", i, start, end))
	}
	n := len(dst)
	dst = append(dst, make([]byte, end-start)...)
	l.data.Read(dst[n:], start)
	return dst
}

func (l *Log) span(i uint64) (start, end uint64) {
	if i == 0 {
		l.index.Read(l.buf[8:16], logHeader)
	} else {
		l.index.Read(l.buf[:16], logHeader+8*(i-1))
		start = binary.LittleEndian.Uint64(l.buf[:8])
	}
	return start, binary.LittleEndian.Uint64(l.buf[8:16])
}
