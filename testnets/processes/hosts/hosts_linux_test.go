package hosts

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// start makes hosts, or skips where nobody may.
func start(t *testing.T, n int, links Links) *Switch {
	t.Helper()
	s, err := New(n, links)
	if errors.Is(err, ErrUnavailable) {
		t.Skip(err)
	}
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// echo answers at a host with what it hears.
func echo(t *testing.T, s *Switch, host int, address string) string {
	t.Helper()
	var l net.Listener
	must(t, s.In(host, func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	}))
	serve(t, l)
	return l.Addr().String()
}

func serve(t *testing.T, l net.Listener) {
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
}

// from connects a host to an address.
func from(t *testing.T, s *Switch, host int, address string) net.Conn {
	t.Helper()
	var c net.Conn
	must(t, s.In(host, func() (err error) {
		c, err = net.DialTimeout("tcp", address, 10*time.Second)
		return err
	}))
	t.Cleanup(func() { c.Close() })
	return c
}

func exchange(c net.Conn, data []byte) error {
	go c.Write(data)
	got := make([]byte, len(data))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if !bytes.Equal(got, data) {
		return errors.New("other bytes came back")
	}
	return nil
}

// TestFarHosts: bytes between hosts are late and complete, also when packets are lost.
func TestFarHosts(t *testing.T) {
	s := start(t, 2, Links{Delay: 20 * time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.02})
	c := from(t, s, 0, echo(t, s, 1, Address(1)+":0"))
	began := time.Now()
	must(t, exchange(c, []byte("x")))
	if took := time.Since(began); took < 40*time.Millisecond {
		t.Errorf("there and back took %v, with 20 ms each way", took)
	}
	must(t, exchange(c, bytes.Repeat([]byte("0123456789"), 50_000)))
}

// TestOwnHosts: a process in a host has the host's interfaces and no others, and two hosts may listen at the same address of theirs.
func TestOwnHosts(t *testing.T) {
	s := start(t, 2, Links{})
	echo(t, s, 0, "127.0.0.1:4000")
	echo(t, s, 1, "127.0.0.1:4000")
	var out []byte
	must(t, s.In(1, func() (err error) {
		out, err = exec.Command("cat", "/proc/self/net/dev").Output()
		return err
	}))
	if got := strings.Count(string(out), ":"); got != 2 || !strings.Contains(string(out), device) {
		t.Errorf("a process has these interfaces:\n%s", out)
	}
}

// TestUnplugged: nothing reaches a host that is unplugged or on the other side of a division, and what was on its way arrives when that is over.
func TestUnplugged(t *testing.T) {
	s := start(t, 3, Links{})
	at := echo(t, s, 1, Address(1)+":0")
	c := from(t, s, 0, at)
	must(t, exchange(c, []byte("before")))
	for name, change := range map[string]func(by int) error{
		"unplug": func(by int) error { return s.Unplug(1, by) },
		"divide": func(by int) error { s.Divide(0, 1, by); return nil },
	} {
		must(t, change(1))
		must(t, change(1))
		must(t, change(-1)) // one still wants it
		arrived := make(chan error, 1)
		go func() { arrived <- exchange(c, []byte(name)) }()
		select {
		case err := <-arrived:
			t.Fatalf("%s: something came through: %v", name, err)
		case <-time.After(300 * time.Millisecond): // it could come at any time; this is as long as the test looks, and more than TCP waits to send again
		}
		if name == "divide" {
			must(t, exchange(from(t, s, 2, at), []byte("from elsewhere")))
		}
		must(t, change(-1))
		must(t, <-arrived)
	}
}

// TestRelays: this machine reaches a host's loopback interface, and the host this machine's.
func TestRelays(t *testing.T) {
	s := start(t, 1, Links{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	serve(t, l)
	must(t, s.Reach(0, l.Addr().String()))
	must(t, exchange(from(t, s, 0, l.Addr().String()), []byte("out")))

	free, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := free.Addr().String()
	must(t, free.Close())
	must(t, s.Publish(0, address))
	c, err := net.Dial("tcp", address)
	must(t, err)
	if n, err := c.Read(make([]byte, 1)); err == nil || n > 0 {
		t.Errorf("nobody listens, and %d bytes came", n)
	}
	c.Close()
	echo(t, s, 0, address)
	c, err = net.Dial("tcp", address)
	must(t, err)
	defer c.Close()
	must(t, exchange(c, []byte("in")))
}

// TestClose: what waits for a switch that closes hears of it.
func TestClose(t *testing.T) {
	s := start(t, 2, Links{Delay: time.Hour})
	at := echo(t, s, 1, Address(1)+":0")
	must(t, s.Publish(0, "127.0.0.1:0"))
	var c net.Conn
	dialed := make(chan error, 1)
	go func() {
		dialed <- s.In(0, func() (err error) {
			c, err = net.DialTimeout("tcp", at, 100*time.Millisecond)
			return err
		})
	}()
	if err := <-dialed; err == nil {
		c.Close()
		t.Error("a connection came about within an hour")
	}
	must(t, s.Close())
	if err := s.In(0, func() error { return nil }); err == nil {
		t.Error("a closed switch still has hosts")
	}
}

func TestReceiver(t *testing.T) {
	p := make([]byte, 20)
	p[0] = 0x45
	copy(p[16:], []byte{192, 0, 2, 3})
	if got := receiver(p); got != 2 {
		t.Errorf("host %d, want 2", got)
	}
	for _, bad := range [][]byte{nil, p[:19], append([]byte{0x65}, p[1:]...), append(bytes.Clone(p[:16]), 224, 0, 0, 1), append(bytes.Clone(p[:16]), 192, 0, 2, 0)} {
		if got := receiver(bad); got >= 0 {
			t.Errorf("%x is for host %d", bad, got)
		}
	}
}
