package faults

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// State of a link between two nodes.
type linkState int

const (
	linkUp   linkState = iota
	linkHeld           // nothing passes and nothing breaks: what was sent arrives when the link is up again, as over a cable that was pulled out for a while
	linkCut            // connections break and new ones are refused, as when the process at the other end has ended
)

// mesh stands between the replicas: each reaches each other one through a listener of the mesh, by which the mesh knows who speaks to whom.
type mesh struct {
	links Links
	done  chan struct{}
	wg    sync.WaitGroup

	mu        sync.Mutex
	pairs     map[pair]*link
	listeners []net.Listener
}

// pair is two nodes, the smaller first.
type pair struct{ a, b int }

func between(a, b int) pair { return pair{min(a, b), max(a, b)} }

// link is all connections between two nodes. The mesh's lock guards it.
type link struct {
	held, cut int           // how many perturbations ask for that
	changed   chan struct{} // closed and replaced when the state changes
	conns     map[net.Conn]bool
}

func (l *link) state() linkState {
	switch {
	case l.cut > 0:
		return linkCut
	case l.held > 0:
		return linkHeld
	}
	return linkUp
}

func newMesh(links Links) *mesh {
	return &mesh{links: links, done: make(chan struct{}), pairs: map[pair]*link{}}
}

// open makes an address at which node `from` finds node `to`, who listens at `at`.
func (m *mesh) open(from, to int, at string) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("link from node %d to %d: %w", from, to, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listeners = append(m.listeners, l)
	m.link(between(from, to))
	m.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			m.wg.Go(func() { m.carry(c, between(from, to), at) })
		}
	})
	return l.Addr().String(), nil
}

// link returns the link of a pair. The lock is held.
func (m *mesh) link(p pair) *link {
	if m.pairs[p] == nil {
		m.pairs[p] = &link{changed: make(chan struct{}), conns: map[net.Conn]bool{}}
	}
	return m.pairs[p]
}

// set changes how many want a link held and cut.
func (m *mesh) set(p pair, held, cut int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.link(p)
	l.held += held
	l.cut += cut
	if l.state() == linkCut {
		for c := range l.conns {
			c.Close()
		}
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// Close ends all connections and returns when nothing of the mesh runs.
func (m *mesh) Close() error {
	m.mu.Lock()
	close(m.done)
	var err error
	for _, l := range m.listeners {
		err = errors.Join(err, l.Close())
	}
	for _, l := range m.pairs {
		for c := range l.conns {
			c.Close()
		}
	}
	m.mu.Unlock()
	m.wg.Wait()
	return err
}

// track registers a connection, unless the link is cut or the mesh closed.
func (m *mesh) track(p pair, c net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.done:
		return false
	default:
	}
	l := m.link(p)
	if l.state() == linkCut {
		return false
	}
	l.conns[c] = true
	return true
}

func (m *mesh) forget(p pair, c net.Conn) {
	c.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.link(p).conns, c)
}

// carry joins a connection that a node made with one to whom it wants.
func (m *mesh) carry(c net.Conn, p pair, at string) {
	defer m.forget(p, c)
	if !m.track(p, c) || !m.pass(p) {
		return
	}
	d, err := net.Dial("tcp", at)
	if err != nil {
		return
	}
	defer m.forget(p, d)
	if !m.track(p, d) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { m.copy(p, d, c) })
	both.Go(func() { m.copy(p, c, d) })
	both.Wait()
}

// pass waits while the link is held, and tells whether it is up then.
func (m *mesh) pass(p pair) bool {
	for {
		m.mu.Lock()
		l := m.link(p)
		s, changed := l.state(), l.changed
		m.mu.Unlock()
		if s != linkHeld {
			return s == linkUp
		}
		select {
		case <-changed:
		case <-m.done:
			return false
		}
	}
}

const (
	// chunkBytes is read at once, windowChunks are on the way at most in one direction of a connection.
	chunkBytes   = 16 << 10
	windowChunks = 512
	// packetBytes is what one loss takes, the payload of an Ethernet frame; resend is the least time after which TCP notices (Linux, TCP_RTO_MIN).
	packetBytes = 1460
	resend      = 200 * time.Millisecond
)

type chunk struct {
	due  time.Time
	data []byte
}

// copy carries one direction of a connection until either end closes.
func (m *mesh) copy(p pair, to, from net.Conn) {
	defer from.Close()
	defer to.Close() // ends the other direction as well
	way := make(chan chunk, windowChunks)
	var sender sync.WaitGroup
	sender.Go(func() {
		failed := false
		for c := range way {
			failed = failed || !m.wait(c.due) || !m.pass(p)
			if !failed {
				_, err := to.Write(c.data)
				failed = err != nil
			}
			if failed {
				from.Close() // the reader stops; what it has read already is let go of
			}
		}
	})
	var last time.Time
	for {
		b := make([]byte, chunkBytes)
		n, err := from.Read(b)
		if n > 0 {
			due := time.Now().Add(m.delay(n))
			if due.Before(last) {
				due = last // bytes of one connection do not overtake each other
			}
			last = due
			way <- chunk{due, b[:n]}
		}
		if err != nil {
			break
		}
	}
	close(way)
	sender.Wait()
}

// delay is how long so many bytes are on their way.
func (m *mesh) delay(n int) time.Duration {
	d := time.Duration(m.links.Delay)
	if j := int64(m.links.Jitter); j > 0 {
		d += time.Duration(rand.Int64N(j + 1))
	}
	if m.links.Loss > 0 {
		packets := float64((n + packetBytes - 1) / packetBytes)
		if rand.Float64() > math.Pow(1-m.links.Loss, packets) {
			d += resend
		}
	}
	return d
}

// wait waits until a time, and tells whether the mesh is still open then.
func (m *mesh) wait(until time.Time) bool {
	d := time.Until(until)
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-m.done:
		return false
	}
}
