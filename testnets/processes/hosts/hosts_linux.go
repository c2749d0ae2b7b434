package hosts

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Switch has the hosts and carries their packets.
type Switch struct {
	links Links
	hosts []*host
	done  chan struct{}
	wg    sync.WaitGroup

	mu      sync.Mutex
	divided map[[2]int]int     // how many want that nothing passes between two, the smaller first
	open    map[io.Closer]bool // listeners and connections of Publish and Reach
	closed  bool
}

// host is a namespace. Its thread is in it as long as the switch is open.
type host struct {
	tun  *os.File
	work chan func()

	mu        sync.Mutex
	unplugged int // how many want that
}

const (
	device = "lan0"
	// mtu is that of Ethernet, and so is what one loss takes.
	mtu = 1500
	// queue is how many packets may be on one way: a second's worth at 50 Mbit/s. What comes when it is full is lost, as in a router.
	queue = 4096
)

// New makes n hosts that reach each other. Their loopback interfaces are their own.
func New(n int, links Links) (_ *Switch, err error) {
	if n < 1 || n > Most {
		return nil, fmt.Errorf("%d hosts, want 1 to %d", n, Most)
	}
	s := &Switch{links: links, done: make(chan struct{}), divided: map[[2]int]int{}, open: map[io.Closer]bool{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	for i := range n {
		h := &host{work: make(chan func())}
		ready := make(chan error)
		s.wg.Go(func() { s.inhabit(h, i, ready) })
		if err := <-ready; err != nil {
			return nil, fmt.Errorf("host %d: %w", i, err)
		}
		s.hosts = append(s.hosts, h)
	}
	for from, h := range s.hosts {
		ways := make([]chan packet, n)
		for to := range ways {
			if to != from {
				ways[to] = make(chan packet, queue)
				s.wg.Go(func() { s.deliver(ways[to], s.hosts[to]) })
			}
		}
		s.wg.Go(func() { s.forward(from, h, ways) })
	}
	return s, nil
}

// inhabit makes a namespace and does what is asked for in it.
func (s *Switch) inhabit(h *host, i int, ready chan<- error) {
	runtime.LockOSThread() // and never unlocked: the thread ends with this function, and leaves the namespace
	if err := h.settle(i); err != nil {
		ready <- err
		return
	}
	close(ready)
	for {
		select {
		case fn := <-h.work:
			fn()
		case <-s.done:
			return
		}
	}
}

// settle moves this thread into a namespace of its own with two interfaces.
func (h *host) settle(i int) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("%w: making one needs root: %w", ErrUnavailable, err)
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("%w: /dev/net/tun: %w", ErrUnavailable, err)
	}
	req, err := unix.NewIfreq(device)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("%w: creating a TUN device: %w", ErrUnavailable, err)
	}
	h.tun = os.NewFile(uintptr(fd), "/dev/net/tun")
	own := netip.MustParseAddr(Address(i)).As4()
	err = errors.Join(
		configure(device, unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(own[:]) }),
		configure(device, unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr([]byte{255, 255, 255, 0}) }),
		configure(device, unix.SIOCSIFMTU, func(r *unix.Ifreq) error { r.SetUint32(mtu); return nil }),
		raise(device, true), raise("lo", true))
	if err != nil {
		return errors.Join(err, h.tun.Close())
	}
	return nil
}

// raise sets an interface of this thread's namespace up, or down.
func raise(name string, up bool) error {
	return configure(name, unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error {
		if up {
			r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		}
		return nil
	})
}

func configure(name string, request uint, set func(*unix.Ifreq) error) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq(name)
	if err == nil {
		err = set(req)
	}
	if err == nil {
		err = unix.IoctlIfreq(fd, request, req)
	}
	if err != nil {
		return fmt.Errorf("interface %s, request %#x: %w", name, request, err)
	}
	return nil
}

// In does something in a host: processes that it starts and sockets that it opens are the host's. It must not wait for long.
func (s *Switch) In(host int, fn func() error) error {
	result := make(chan error, 1)
	select {
	case s.hosts[host].work <- func() { result <- fn() }:
		return <-result
	case <-s.done:
		return fmt.Errorf("host %d: %w", host, os.ErrClosed)
	}
}

// packet is an IP packet on its way.
type packet struct {
	due  time.Time
	data []byte
}

// forward takes the packets that a host sends.
func (s *Switch) forward(from int, h *host, ways []chan packet) {
	defer func() {
		for _, w := range ways {
			if w != nil {
				close(w)
			}
		}
	}()
	due := make([]time.Time, len(ways))
	buf := make([]byte, mtu)
	for {
		n, err := h.tun.Read(buf)
		if err != nil {
			return // closed
		}
		to := receiver(buf[:n])
		if to < 0 || to >= len(ways) || ways[to] == nil || s.apart(from, to) || s.links.Loss > 0 && rand.Float64() < s.links.Loss {
			continue
		}
		at := time.Now().Add(s.links.Delay)
		if s.links.Jitter > 0 {
			at = at.Add(rand.N(s.links.Jitter))
		}
		if at.Before(due[to]) {
			at = due[to]
		}
		due[to] = at
		select {
		case ways[to] <- packet{at, append([]byte(nil), buf[:n]...)}:
		default:
		}
	}
}

// receiver is the host that an IPv4 packet is for, or -1: also for multicast and IPv6, which nobody here uses.
func receiver(p []byte) int {
	if len(p) < 20 || p[0]>>4 != 4 {
		return -1
	}
	own := netip.MustParseAddr(Address(0)).As4()
	if [3]byte(p[16:19]) != [3]byte(own[:3]) {
		return -1
	}
	return int(p[19]) - int(own[3])
}

// deliver gives a host the packets of one way in time.
func (s *Switch) deliver(way <-chan packet, to *host) {
	for p := range way {
		if wait := time.Until(p.due); wait > 0 {
			t := time.NewTimer(wait)
			select {
			case <-t.C:
			case <-s.done:
				t.Stop()
			}
		}
		_, _ = to.tun.Write(p.data) // of an interface that is down it is lost
	}
}

// Unplug changes by how many a host is wanted to be unreachable: its interface is down as long as there are any.
func (s *Switch) Unplug(i, by int) error {
	h := s.hosts[i]
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.unplugged > 0
	h.unplugged += by
	if is := h.unplugged > 0; is != was {
		return s.In(i, func() error { return raise(device, !is) })
	}
	return nil
}

// Divide changes by how many nothing is wanted to pass between two hosts.
func (s *Switch) Divide(a, b, by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.divided[[2]int{min(a, b), max(a, b)}] += by
}

func (s *Switch) apart(a, b int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.divided[[2]int{min(a, b), max(a, b)}] > 0
}

// Publish makes what a host listens at, an address of its loopback interface, reachable at the same address of this machine.
func (s *Switch) Publish(host int, address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("publishing host %d: %w", host, err)
	}
	return s.relay(l, func() (c net.Conn, err error) {
		err = s.In(host, func() error {
			c, err = net.Dial("tcp", address)
			return err
		})
		return c, err
	})
}

// Reach makes what this machine listens at, an address of its loopback interface, reachable at the same address of a host's.
func (s *Switch) Reach(host int, address string) error {
	var l net.Listener
	if err := s.In(host, func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	}); err != nil {
		return fmt.Errorf("reaching %s from host %d: %w", address, host, err)
	}
	return s.relay(l, func() (net.Conn, error) { return net.Dial("tcp", address) })
}

// relay joins what comes to a listener with new connections.
func (s *Switch) relay(l net.Listener, dial func() (net.Conn, error)) error {
	if !s.keep(l) {
		return fmt.Errorf("the hosts: %w", os.ErrClosed)
	}
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			s.wg.Go(func() { s.join(c, dial) })
		}
	})
	return nil
}

func (s *Switch) join(c net.Conn, dial func() (net.Conn, error)) {
	defer s.drop(c)
	if !s.keep(c) {
		return
	}
	d, err := dial()
	if err != nil {
		return // nobody listens: the other end sees its connection closed
	}
	defer s.drop(d)
	if !s.keep(d) {
		return
	}
	var both sync.WaitGroup
	carry := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		to.Close() // either end ends both
		from.Close()
	}
	both.Go(func() { carry(c, d) })
	both.Go(func() { carry(d, c) })
	both.Wait()
}

// keep notes what Close has to close, unless it has closed already; then it closes c.
func (s *Switch) keep(c io.Closer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
		return false
	}
	s.open[c] = true
	return true
}

func (s *Switch) drop(c io.Closer) {
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// Close ends all connections and returns when nothing of the switch runs. The namespaces end with the last of their processes.
func (s *Switch) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	close(s.done)
	var err error
	for _, h := range s.hosts {
		err = errors.Join(err, h.tun.Close())
	}
	s.wg.Wait()
	return err
}
