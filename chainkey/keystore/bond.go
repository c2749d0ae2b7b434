package keystore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"

	"fusion/internal/durable"
)

// ErrBound says that a name is bound to something else.
var ErrBound = errors.New("bound to something else")

// Bond ties a name to one value for ever: a presignature to what it signs, a dealer's turn to the one dealing that is supported.
type Bond struct{ Name, Value [32]byte }

// The log of bonds is records of a name, a value and their CRC-32C.
const (
	bondSize = 64 + 4
	// keepBonds is how many survive an Open, and are kept when there are twice as many: those of some ten thousand signatures, many more than an
	// epoch's presignatures that could still be asked for.
	keepBonds = 1 << 17
)

func (s *Store) openBonds() error {
	good, err := s.journal("bound", bondSize, keepBonds)
	if err != nil {
		return err
	}
	for i := 0; i < len(good); i += bondSize {
		s.bound[[32]byte(good[i:])] = [32]byte(good[i+32:])
	}
	s.bonds, err = durable.OpenJournal(s.fs, filepath.Join(s.dir, "bound"))
	return err
}

// Bind notes bonds, durably and with one sync. A bond that is there changes nothing; where a name has another value, ErrBound comes and nothing is
// noted. After any other error the store binds nothing until it is opened again.
func (s *Store) Bind(bonds ...Bond) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bonds == nil {
		return fmt.Errorf("binding: %w", fs.ErrClosed)
	}
	var record []byte
	fresh := map[[32]byte][32]byte{}
	for _, b := range bonds {
		old, ok := s.bound[b.Name]
		if !ok {
			old, ok = fresh[b.Name]
		}
		switch {
		case ok && old != b.Value:
			return fmt.Errorf("%w: %x", ErrBound, b.Name[:8])
		case !ok:
			fresh[b.Name] = b.Value
			start := len(record)
			record = append(append(record, b.Name[:]...), b.Value[:]...)
			record = binary.BigEndian.AppendUint32(record, crc32.Checksum(record[start:], castagnoli))
		}
	}
	if len(record) == 0 {
		return nil
	}
	for name, value := range fresh { // also when the write fails: then they may or may not have reached the disk
		s.bound[name] = value
	}
	if err := s.bonds.Append(record); err != nil {
		_ = s.bonds.Close()
		s.bonds = nil // what is in memory must not pass for what is on the disk
		return fmt.Errorf("binding, in %s: %w; make room on the disk or replace it, then start again", s.dir, err)
	}
	if len(s.bound) >= 2*keepBonds {
		return s.shortenBonds()
	}
	return nil
}

// shortenBonds forgets all but the newest.
func (s *Store) shortenBonds() error {
	err := s.bonds.Close()
	s.bonds = nil
	if err == nil {
		clear(s.bound)
		err = s.openBonds()
	}
	if err != nil {
		return fmt.Errorf("shortening the log of bonds, in %s: %w", s.dir, err)
	}
	return nil
}

// Bound is the value of a name, if it has one.
func (s *Store) Bound(name [32]byte) (value [32]byte, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok = s.bound[name]
	return value, ok
}
