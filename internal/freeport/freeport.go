// Package freeport finds TCP ports of loopback for programs of local networks, which are told their ports before they start.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
)

// The ports lie below the range from which systems serve outgoing connections and listeners without a wish, so that nobody takes one before
// its program starts, or while it is stopped and started again.
const first, count = 10_000, 22_000

// next is where the search goes on: a process finds no port twice, and each begins somewhere else.
var next atomic.Uint32

func init() { next.Store(rand.Uint32N(count)) }

// ErrNone means that all ports are in use.
var ErrNone = errors.New("no free port on loopback")

// Find finds n ports that nobody listens at.
func Find(n int) ([]int, error) {
	var out []int
	for range count {
		if len(out) == n || n > count {
			break
		}
		port := first + int(next.Add(1)%count)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue // somebody's
		}
		if err := l.Close(); err != nil {
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
		out = append(out, port)
	}
	if len(out) == n {
		return out, nil
	}
	return nil, fmt.Errorf("%w between %d and %d: %d wanted", ErrNone, first, first+count-1, n)
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
