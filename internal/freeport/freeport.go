// Package freeport finds TCP ports of loopback for programs of local networks, which are told their ports before they start.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// The ports lie below the range from which systems serve outgoing connections and listeners without a wish, so that nobody takes one before
// its program starts, or while it is stopped and started again.
//
// They are given out in blocks. A process has a block for as long as it listens at the block's first port, that is, until it ends: two
// processes that look for ports at the same time find different ones, though nobody listens at them yet.
const first, count, block = 10_000, 22_000, 100

// finder finds no port twice.
type finder struct {
	mu     sync.Mutex
	start  int            // the block the search began with
	tried  int            // blocks looked at
	locks  []net.Listener // at the first ports of the blocks that are ours
	next   int            // the port the search goes on with
	behind int            // the first port past the newest block
}

// each process begins somewhere else.
var process = finder{start: rand.IntN(count / block)}

// ErrNone means that all ports are in use.
var ErrNone = errors.New("no free port on loopback")

// Find finds n ports that nobody listens at.
func Find(n int) ([]int, error) { return process.find(n) }

func (f *finder) find(n int) ([]int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []int
	for len(out) < n {
		if f.next == f.behind && !f.claim() {
			return nil, fmt.Errorf("%w between %d and %d: %d wanted", ErrNone, first, first+count-1, n)
		}
		if f.next == f.behind {
			continue // a block of somebody else
		}
		l, err := listen(f.next)
		f.next++
		if err != nil {
			continue // somebody's
		}
		if err := l.Close(); err != nil {
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
		out = append(out, f.next-1)
	}
	return out, nil
}

// claim looks at the next block and makes it ours if it is nobody's. It returns false when there is none left.
func (f *finder) claim() bool {
	if f.tried == count/block {
		return false
	}
	port := first + (f.start+f.tried)%(count/block)*block
	f.tried++
	if l, err := listen(port); err == nil {
		f.locks = append(f.locks, l)
		f.next, f.behind = port+1, port+block
	}
	return true
}

func listen(port int) (net.Listener, error) {
	return net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
}

// Addr finds n addresses, with ports as Find finds them.
func Addr(n int) ([]string, error) {
	ports, err := Find(n)
	var out []string
	for _, p := range ports {
		out = append(out, fmt.Sprintf("127.0.0.1:%d", p))
	}
	return out, err
}
