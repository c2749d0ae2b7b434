// Package solo drives a driver.App without consensus: one replica, a manual clock and manual rounds. Simulations, tests and
// single-node tools use it; with the same transactions and times it gives the same state as any other driver.
//
// Not safe for concurrent use.
package solo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"fusion/replica/consensus/driver"
)

// DefaultMaxBytes is the block size of consensus's default.
const DefaultMaxBytes = 4 << 20

// ErrStopped is returned after the App failed: its state is not known any more, reopen it.
var ErrStopped = errors.New("solo driver has stopped")

// Solo drives one App.
type Solo struct {
	app      driver.App
	now      uint64
	last     uint64 // time of the last block
	height   uint64
	hash     []byte
	maxBytes int
	failed   error
}

// New drives app with a clock that stands at now. A new App gets InitChain with this time. An App that has blocks
// goes on after them; the clock must not stand before its last block's time.
func New(app driver.App, now time.Time) (*Solo, error) {
	s := &Solo{app: app, now: uint64(now.UnixNano()), maxBytes: DefaultMaxBytes}
	s.height, s.hash = app.Info()
	if s.height > 0 {
		s.last = s.now
		return s, nil
	}
	var err error
	if s.hash, err = app.InitChain(s.now); err != nil {
		return nil, fmt.Errorf("initialising the chain: %w", err)
	}
	return s, nil
}

// Height returns the last committed height.
func (s *Solo) Height() uint64 { return s.height }

// AppHash returns the state's hash after the last block.
func (s *Solo) AppHash() []byte { return s.hash }

// Now returns the clock.
func (s *Solo) Now() time.Time { return time.Unix(0, int64(s.now)) }

// Advance moves the clock; the next block carries its time.
func (s *Solo) Advance(d time.Duration) {
	if d < 0 || s.now > math.MaxInt64-uint64(d) {
		panic(fmt.Sprintf("solo: clock advanced by %v", d))
	}
	s.now += uint64(d)
}

// Step makes one block of what the App proposes.
func (s *Solo) Step() (driver.Block, error) {
	txs := s.app.Prepare(context.Background(), driver.Proposal{Height: s.height + 1, TimeNs: s.blockTime(), MaxBytes: s.maxBytes})
	return s.Block(txs)
}

// Block makes one block of given transactions. If Process refuses them no block is made and the error says why.
func (s *Solo) Block(txs [][]byte) (driver.Block, error) {
	b := driver.Block{Height: s.height + 1, TimeNs: s.blockTime(), Txs: txs}
	if s.failed != nil {
		return b, fmt.Errorf("%w: %w", ErrStopped, s.failed)
	}
	if n := driver.Size(txs); n > s.maxBytes {
		return b, fmt.Errorf("block %d has %d bytes of at most %d", b.Height, n, s.maxBytes)
	}
	if err := s.app.Process(b); err != nil {
		return b, fmt.Errorf("block %d is invalid: %w", b.Height, err)
	}
	hash, err := s.app.Finalize(b)
	if err != nil {
		s.failed = fmt.Errorf("executing block %d: %w", b.Height, err)
		return b, s.failed
	}
	if _, err := s.app.Commit(); err != nil {
		s.failed = fmt.Errorf("committing block %d: %w", b.Height, err)
		return b, s.failed
	}
	s.height, s.hash, s.last = b.Height, hash, b.TimeNs
	return b, nil
}

// Steps makes n blocks with the clock advanced by d before each.
func (s *Solo) Steps(n int, d time.Duration) error {
	for range n {
		s.Advance(d)
		if _, err := s.Step(); err != nil {
			return err
		}
	}
	return nil
}

// blockTime strictly grows, as under consensus: by a millisecond where the clock stands still.
func (s *Solo) blockTime() uint64 { return max(s.now, s.last+uint64(time.Millisecond)) }
