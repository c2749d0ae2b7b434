package consensus

import (
	"fmt"
	"runtime"
	"sync"

	dbm "github.com/cometbft/cometbft-db"
)

// store lets a node's stores be closed while CometBFT still has routines that read them: those that serve a peer
// outlive Stop by a few seconds, and a read of a closed store makes them panic, which would end all replicas of the
// process. Here such a read ends the routine instead. Whoever Stop waits for does not read after Close.
//
// broken is told of a write that failed, before CometBFT, which panics.
type store struct {
	dbm.DB
	broken func(error)
	mu     sync.RWMutex
	closed bool
}

func (s *store) enter() {
	s.mu.RLock()
	if s.closed {
		s.mu.RUnlock()
		runtime.Goexit()
	}
}

func (s *store) Get(key []byte) ([]byte, error) {
	s.enter()
	defer s.mu.RUnlock()
	return s.DB.Get(key)
}

func (s *store) Has(key []byte) (bool, error) {
	s.enter()
	defer s.mu.RUnlock()
	return s.DB.Has(key)
}

func (s *store) Set(key, value []byte) error {
	s.enter()
	defer s.mu.RUnlock()
	return s.written(s.DB.Set(key, value))
}

func (s *store) SetSync(key, value []byte) error {
	s.enter()
	defer s.mu.RUnlock()
	return s.written(s.DB.SetSync(key, value))
}

// written passes on what became of a write.
func (s *store) written(err error) error {
	if err != nil && s.broken != nil {
		s.broken(fmt.Errorf("writing the store of blocks: %w", err))
	}
	return err
}

// batch is a store's, so that its failure is told as well.
type batch struct {
	dbm.Batch
	store *store
}

func (s *store) NewBatch() dbm.Batch { return batch{s.DB.NewBatch(), s} }
func (b batch) Write() error         { return b.store.written(b.Batch.Write()) }
func (b batch) WriteSync() error     { return b.store.written(b.Batch.WriteSync()) }

// Close waits for reads under way. Closing again is fine.
func (s *store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.DB.Close()
}
