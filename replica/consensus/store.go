package consensus

import (
	"runtime"
	"sync"

	dbm "github.com/cometbft/cometbft-db"
)

// store lets a node's stores be closed while CometBFT still has routines that read them: those that serve a peer
// outlive Stop by a few seconds, and a read of a closed store makes them panic, which would end all replicas of the
// process. Here such a read ends the routine instead. Whoever Stop waits for does not read after Close.
type store struct {
	dbm.DB
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
	return s.DB.Set(key, value)
}

func (s *store) SetSync(key, value []byte) error {
	s.enter()
	defer s.mu.RUnlock()
	return s.DB.SetSync(key, value)
}

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
