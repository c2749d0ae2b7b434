package machine

import (
	"encoding/binary"
	"errors"
	"fmt"

	"fusion/internal/kv"
)

// ErrProtocol says that the state, or the next block, is of a version of the protocol that this program does not know.
var ErrProtocol = errors.New("unknown version of the protocol")

const (
	// Oldest is the oldest version of the protocol that this program still executes. Genesis is of version 1.
	Oldest = 1
	// protocolDelay is how many blocks lie between the decision and the first block of a version: time for a member to take it back by starting an older
	// program, and for an operator to see it coming.
	protocolDelay = 20
)

var (
	keyProtocol = []byte("protocol") // 8 bytes; none for version 1
	keyPlanned  = []byte("planned")  // version and height, 8 bytes each
)

// Protocol is the version in force. The reader is of the machine's own key space.
func Protocol(mac kv.Reader) uint64 {
	if b, ok := mac.Get(keyProtocol); ok {
		return binary.BigEndian.Uint64(b)
	}
	return 1
}

// planned is the version that is decided, and its first block.
func planned(mac kv.Reader) (version, height uint64, ok bool) {
	b, ok := mac.Get(keyPlanned)
	if !ok {
		return 0, 0, false
	}
	return binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), true
}

// knows returns an error for a version that this program does not execute.
func (m *Machine) knows(version uint64) error {
	if version < Oldest || version > m.cfg.Newest {
		return fmt.Errorf("%w: it is %d, and this program knows %d to %d; nothing was changed: start the program that the other replicas run", ErrProtocol, version, Oldest, m.cfg.Newest)
	}
	return nil
}

// enter puts a version in force whose first block this is.
func (m *Machine) enter(mac kv.Store, height uint64) error {
	version, first, ok := planned(mac)
	if !ok || height < first {
		return nil
	}
	if err := m.knows(version); err != nil {
		return fmt.Errorf("block %d: %w", height, err)
	}
	mac.Set(keyProtocol, binary.BigEndian.AppendUint64(nil, version))
	mac.Delete(keyPlanned)
	m.log.Info("a version of the protocol is in force", "version", version, "height", height)
	return nil
}

// plan decides on the newest version that all members know, or takes a decision back that one of them no longer does.
func (m *Machine) plan(mac kv.Store, sig kv.Reader, height uint64) {
	common := uint64(0)
	for i, node := range m.members.set.Nodes {
		if v := m.sign.Protocol(sig, int(node)); i == 0 || v < common {
			common = v
		}
	}
	version, _, ok := planned(mac)
	switch {
	case ok && common < version:
		mac.Delete(keyPlanned)
	case !ok && common > Protocol(mac):
		mac.Set(keyPlanned, binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, common), height+1+protocolDelay))
	}
}
