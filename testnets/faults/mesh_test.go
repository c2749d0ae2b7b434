package faults

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"fusion/replica"
)

// echo answers with what it hears.
func echo(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
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
	return l.Addr().String()
}

func dialMesh(t *testing.T, links Links) (*mesh, func() net.Conn) {
	m := newMesh(links)
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	at, err := m.open(2, 1, echo(t))
	if err != nil {
		t.Fatal(err)
	}
	return m, func() net.Conn {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
}

func exchange(c net.Conn, data []byte) error {
	go c.Write(data)
	got := make([]byte, len(data))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if !bytes.Equal(got, data) {
		return errors.New("other bytes arrived")
	}
	return nil
}

func TestMeshCarries(t *testing.T) {
	ms := replica.Duration(time.Millisecond)
	_, dial := dialMesh(t, Links{Delay: 20 * ms, Jitter: 5 * ms, Loss: 0.05})
	began := time.Now()
	if err := exchange(dial(), bytes.Repeat([]byte("0123456789"), 50_000)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 40*time.Millisecond {
		t.Errorf("there and back took %v, with 20 ms each way", took)
	}
}

// TestMeshHolds: while a link is held nothing arrives, and all of it does afterwards; a cut breaks connections.
func TestMeshHolds(t *testing.T) {
	m, dial := dialMesh(t, Links{})
	c := dial()
	if err := exchange(c, []byte("before")); err != nil {
		t.Fatal(err)
	}
	m.set(between(1, 2), 1, 0)
	arrived, fresh := make(chan error, 2), dial()
	go func() { arrived <- exchange(c, []byte("held")) }()
	go func() { arrived <- exchange(fresh, []byte("new")) }()
	select {
	case err := <-arrived:
		t.Fatalf("something came through a link that is held: %v", err)
	case <-time.After(50 * time.Millisecond): // it could come at any time; this is as long as the test looks
	}
	m.set(between(1, 2), -1, 0)
	for range 2 {
		if err := <-arrived; err != nil {
			t.Fatal(err)
		}
	}
	m.set(between(1, 2), 0, 1)
	if err := exchange(c, []byte("cut")); err == nil {
		t.Error("a connection outlived the cut")
	}
	if err := exchange(dial(), []byte("cut")); err == nil {
		t.Error("a new connection crossed the cut")
	}
	m.set(between(1, 2), 0, -1)
	if err := exchange(dial(), []byte("after")); err != nil {
		t.Error(err)
	}
}
