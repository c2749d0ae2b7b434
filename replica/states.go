package replica

import (
	"context"
	"sync"
	"time"

	"fusion/chainkey/bls"
	"fusion/ic/hashtree"
	"fusion/ic/principal"
	"fusion/replica/certify"
	"fusion/replica/http"
	"fusion/replica/machine"
)

// states keeps the executed states that wait for their certificate, the newest certified one, and the beacons that wait
// for a block.
type states struct {
	mu        sync.Mutex
	trees     map[uint64]*hashtree.Map // executed, not certified
	certified *http.Snapshot
	changed   chan struct{} // closed and replaced when certified changes
	beacons   map[uint64][]byte
	// dataCerts are the certificates of canisters' certified data under certified, made when a query first needs one.
	dataCerts map[principal.Principal][]byte
}

// treesKept bounds the states that wait for a certificate. Older ones are never asked for: a newer one certifies as well.
const treesKept = 64

func (s *states) init() {
	if s.trees == nil {
		s.trees, s.beacons, s.changed = map[uint64]*hashtree.Map{}, map[uint64][]byte{}, make(chan struct{})
	}
}

func (s *states) executed(v *machine.View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	s.trees[v.Height] = v.Tree
	for h := range s.trees {
		if h+treesKept < v.Height {
			delete(s.trees, h)
		}
	}
	wanted := map[uint64]bool{}
	for _, h := range v.Beacons {
		wanted[h] = true
	}
	for h := range s.beacons {
		if h < v.Height && !wanted[h] { // a block has it
			delete(s.beacons, h)
		}
	}
}

// certified is told of each combined signature.
func (r *Replica) certified(c certify.Certificate, after time.Duration) {
	s := &r.states
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	if c.Domain == bls.DomainBeacon {
		s.beacons[c.Height] = c.Signature
		return
	}
	if c.Domain == bls.DomainState {
		r.snapshots.certified(c)
		return
	}
	r.metrics.certified(c.Height, after)
	tree, ok := s.trees[c.Height]
	if !ok || s.certified != nil && s.certified.Height >= c.Height {
		return
	}
	s.certified = &http.Snapshot{Tree: tree, Signature: c.Signature, Height: c.Height}
	for h := range s.trees {
		if h <= c.Height {
			delete(s.trees, h)
		}
	}
	s.dataCerts = map[principal.Principal][]byte{}
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *states) beacon(height uint64) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sig, ok := s.beacons[height]
	return sig, ok
}

// snapshot returns the newest certified state, or nil, and a channel that is closed when there is a newer one.
func (s *states) snapshot() (*http.Snapshot, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	return s.certified, s.changed
}

// dataCertificate returns what a canister's queries present as the certificate of its certified data, or nil.
func (s *states) dataCertificate(canister principal.Principal) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.certified == nil {
		return nil
	}
	c, ok := s.dataCerts[canister]
	if !ok {
		c = s.certified.Certify([][]byte{[]byte("canister"), canister.Bytes(), []byte("certified_data")})
		s.dataCerts[canister] = c
	}
	return c
}

// wait returns the first certified state for which done holds.
func (s *states) wait(ctx context.Context, done func(*http.Snapshot) bool) (*http.Snapshot, error) {
	for {
		snap, changed := s.snapshot()
		if snap != nil && done(snap) {
			return snap, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
