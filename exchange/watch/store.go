package watch

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"fusion/exchange/reader"
	"fusion/ic/principal"
	"fusion/internal/pebblelog"
)

// ErrState means that the directory of a watcher does not hold what one writes.
var ErrState = errors.New("state of the watcher is damaged")

// ErrOther means that the directory of a watcher is of another network, or of somebody else's accounts: blocks that were read for them are not
// read again.
var ErrOther = errors.New("the watcher's state belongs to others")

// The keys of the store: whose it is, cursors by ledger, the queue in order, and what was last told of each pending output and withdrawal.
const (
	keyOwner   = 'i' // nothing → SHA-256 of the network's root key ‖ owner of the accounts
	keyCursor  = 'c' // ledger → index (8) ‖ hash (32)
	keyPayout  = 'w' // minter ‖ index of the burn (8) → the event that was told last, as JSON
	keyQueue   = 'q' // number (8) → event as JSON
	keyPending = 'p' // minter ‖ txid ‖ vout → ID of the event
)

// store is what a watcher remembers. Each change is on disk before the call returns.
type store struct {
	db   *pebble.DB
	mu   sync.Mutex
	next uint64 // number of the next event
}

// item is an event that has not been delivered.
type item struct {
	seq uint64
	raw []byte
}

// quiet drops errors as well: they are also returned.
type quiet struct{ pebblelog.Logger }

func (quiet) Errorf(string, ...any) {}

func openStore(dir string, fs vfs.FS) (*store, error) {
	db, err := pebble.Open(dir, &pebble.Options{FS: fs, Logger: quiet{}, MemTableSize: 1 << 20, FormatMajorVersion: pebble.FormatNewest})
	if err != nil {
		return nil, fmt.Errorf("opening the watcher's state %s (one watcher at a time may use it): %w", dir, err)
	}
	return &store{db: db}, nil
}

func (s *store) close() error { return s.db.Close() }

func (s *store) get(key []byte) (value []byte, err error) {
	v, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	value = append([]byte{}, v...)
	return value, closer.Close()
}

func cursorKey(ledger principal.Principal) []byte {
	return append([]byte{keyCursor}, ledger.Bytes()...)
}

func queueKey(seq uint64) []byte { return binary.BigEndian.AppendUint64([]byte{keyQueue}, seq) }

// cursor is how far a ledger was read; found is false if it never was.
func (s *store) cursor(ledger principal.Principal) (c reader.Cursor, found bool, err error) {
	v, err := s.get(cursorKey(ledger))
	switch {
	case err != nil || v == nil:
		return c, false, err
	case len(v) != 40:
		return c, false, fmt.Errorf("%w: a cursor of %d bytes", ErrState, len(v))
	}
	if binary.BigEndian.Uint64(v) >= 1<<62 {
		return c, false, fmt.Errorf("%w: a cursor at block %d", ErrState, binary.BigEndian.Uint64(v))
	}
	return reader.Cursor{Index: binary.BigEndian.Uint64(v), Hash: [32]byte(v[8:])}, true, nil
}

// claim makes the store the one of a network and an owner, or finds that it is another's.
func (s *store) claim(rootKey []byte, owner principal.Principal) error {
	key := sha256.Sum256(rootKey)
	mine := append(key[:], owner.Bytes()...)
	have, err := s.get([]byte{keyOwner})
	switch {
	case err != nil:
		return err
	case have == nil:
		return s.db.Set([]byte{keyOwner}, mine, pebble.Sync)
	case len(have) < 32:
		return fmt.Errorf("%w: %d bytes say whose it is", ErrState, len(have))
	case string(have[:32]) != string(key[:]):
		return fmt.Errorf("%w: it belongs to a network with another root key; use another directory", ErrOther)
	case string(have) != string(mine):
		whose, err := principal.FromBytes(have[32:])
		if err != nil {
			return fmt.Errorf("%w: %w", ErrState, err)
		}
		return fmt.Errorf("%w: it belongs to the accounts of %s; use another directory", ErrOther, whose)
	}
	return nil
}

// queue loads the events that have not been delivered.
func (s *store) queue() (items []item, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyQueue}, UpperBound: []byte{keyQueue + 1}})
	if err != nil {
		return nil, err
	}
	for it.First(); it.Valid(); it.Next() {
		if len(it.Key()) != 9 {
			return nil, errors.Join(fmt.Errorf("%w: a queue key of %d bytes", ErrState, len(it.Key())), it.Close())
		}
		seq := binary.BigEndian.Uint64(it.Key()[1:])
		items = append(items, item{seq, append([]byte{}, it.Value()...)})
		s.next = max(s.next, seq+1)
	}
	return items, errors.Join(it.Error(), it.Close())
}

// put queues events and, with them, remembers how far a ledger was read: all of it or nothing.
func (s *store) put(events [][]byte, more func(*pebble.Batch) error) ([]item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.db.NewBatch()
	defer b.Close()
	items := make([]item, 0, len(events))
	for i, raw := range events {
		it := item{s.next + uint64(i), raw}
		if err := b.Set(queueKey(it.seq), raw, nil); err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	if err := more(b); err != nil {
		return nil, err
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return nil, fmt.Errorf("writing the watcher's state: %w", err)
	}
	s.next += uint64(len(events))
	return items, nil
}

func setCursor(b *pebble.Batch, ledger principal.Principal, c reader.Cursor) error {
	return b.Set(cursorKey(ledger), append(binary.BigEndian.AppendUint64(nil, c.Index), c.Hash[:]...), nil)
}

// remove takes a delivered event off the queue.
func (s *store) remove(seq uint64) error {
	if err := s.db.Delete(queueKey(seq), pebble.Sync); err != nil {
		return fmt.Errorf("writing the watcher's state: %w", err)
	}
	return nil
}

// entry is a key and its value.
type entry struct{ key, value []byte }

// scan reads up to limit entries from a key to before another.
func (s *store) scan(from, to []byte, limit int) (out []entry, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return nil, err
	}
	for ok := it.First(); ok && len(out) < limit; ok = it.Next() {
		out = append(out, entry{append([]byte{}, it.Key()...), append([]byte{}, it.Value()...)})
	}
	return out, errors.Join(it.Error(), it.Close())
}
