package http_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fusion/ic/envelope"
	"fusion/ic/principal"
	replicahttp "fusion/replica/http"
	"fusion/replica/http/httpmem"
)

// memory is a listener for connections in memory, which come from addresses of their own.
type memory struct {
	conns chan net.Conn
	done  chan struct{}
}

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.done:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error   { close(m.done); return nil }
func (m *memory) Addr() net.Addr { return &net.TCPAddr{} }

type remote struct {
	net.Conn
	addr string
}

func (r *remote) RemoteAddr() net.Addr {
	a, err := net.ResolveTCPAddr("tcp", r.addr)
	if err != nil {
		panic(err)
	}
	return a
}

// hostile runs a test against a server in a bubble of time.
func hostile(t *testing.T, limits replicahttp.Limits, test func(t *testing.T, dial func(addr string) net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		s := httpmem.New(1, now)
		s.Install(echo, &httpmem.Canister{Query: func(_ principal.Principal, method string, arg []byte) ([]byte, error) {
			if method == "large" {
				return make([]byte, 2<<20), nil
			}
			return arg, nil
		}})
		srv := replicahttp.NewServer(replicahttp.NewHandler(s, replicahttp.Config{Log: quiet(), Limits: limits}))
		ln := &memory{make(chan net.Conn), make(chan struct{})}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(replicahttp.LimitListener(ln, limits)) }()
		test(t, func(addr string) net.Conn {
			c, server := net.Pipe()
			ln.conns <- &remote{server, addr}
			t.Cleanup(func() { c.Close() })
			return c
		})
		srv.Close()
		if err := <-served; !errors.Is(err, nethttp.ErrServerClosed) {
			t.Error(err)
		}
		time.Sleep(time.Minute) // until the server has let go of the connections
	})
}

const (
	mallory = "203.0.113.1:1000"
	alice   = "203.0.113.2:1000"
)

// serves reports whether a connection gets a healthy answer.
func serves(c net.Conn) error {
	if _, err := io.WriteString(c, "GET /health HTTP/1.1\r\nHost: replica\r\n\r\n"); err != nil {
		return err
	}
	res, err := nethttp.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != 200 {
		return fmt.Errorf("status %d, %w", res.StatusCode, err)
	}
	return nil
}

// A client that takes its time loses the connection when that is up.
func TestSlowClients(t *testing.T) {
	query := func(method string) string {
		c := content(envelope.Query, echo, method, nil)
		e, err := envelope.Sign(c, controller(t))
		if err != nil {
			t.Fatal(err)
		}
		body := e.Encode()
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: replica\r\nContent-Type: application/cbor\r\nContent-Length: %d\r\n\r\n%s", canisterURL(3, echo, "query"), len(body), body)
	}
	for _, c := range []struct {
		name, begin string
		drip        string        // sent each second
		within      time.Duration // until the connection is closed
		most        int           // bytes of an answer
	}{
		{"a header", "GET /health HTTP/1.1\r\nHost: replica\r\nX-A: ", "a", 5 * time.Second, 0},
		{"nothing", "", "", 5 * time.Second, 0},
		{"a body", "POST " + canisterURL(3, echo, "query") + " HTTP/1.1\r\nHost: replica\r\nContent-Type: application/cbor\r\nContent-Length: 1000\r\n\r\n", "a", 30 * time.Second, 1000},
		{"an answer that is not read", query("large"), "", 40 * time.Second, 0},
		{"nothing more", "GET /health HTTP/1.1\r\nHost: replica\r\n\r\n", "", 2 * time.Minute, 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			hostile(t, replicahttp.Limits{}, func(t *testing.T, dial func(string) net.Conn) {
				conn, start := dial(mallory), time.Now()
				gone := make(chan time.Duration, 1)
				if c.most > 0 || c.drip != "" || c.begin == "" {
					go func() {
						n, _ := io.Copy(io.Discard, conn)
						if n > int64(c.most) {
							t.Errorf("%d bytes came", n)
						}
						gone <- time.Since(start)
					}()
				}
				if _, err := io.WriteString(conn, c.begin); err != nil {
					t.Fatal(err)
				}
				for c.drip != "" {
					if _, err := io.WriteString(conn, c.drip); err != nil {
						break
					}
					time.Sleep(time.Second)
				}
				if c.name == "an answer that is not read" {
					time.Sleep(c.within - time.Second)
					if _, err := conn.Read(make([]byte, 1)); err != nil {
						t.Errorf("closed too early: %v", err)
					}
					time.Sleep(2 * time.Second)
					if n, err := io.Copy(io.Discard, conn); n > 1<<20 || err != nil {
						t.Errorf("%d bytes, %v", n, err)
					}
					return
				}
				if d := <-gone; d < c.within || d > c.within+time.Second {
					t.Errorf("closed after %s, want %s", d, c.within)
				}
			})
		})
	}
}

// Large bodies that are never finished hold what one client may, and no more; others go on, and what was held is free again afterwards.
func TestGiantBodies(t *testing.T) {
	const each, may = 4 << 20, 16
	hostile(t, replicahttp.Limits{ClientMemory: may * each}, func(t *testing.T, dial func(string) net.Conn) {
		for range 2 {
			var refused, held atomic.Int32
			var conns []net.Conn
			for range may + 10 {
				c := dial(mallory)
				conns = append(conns, c)
				go func() {
					res, err := nethttp.ReadResponse(bufio.NewReader(c), nil)
					if err != nil {
						return
					}
					if body, err := io.ReadAll(res.Body); err == nil && res.StatusCode == 429 && strings.Contains(string(body), "sent and received by this address") {
						refused.Add(1)
					}
				}()
				go func() {
					header := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: replica\r\nContent-Type: application/cbor\r\nContent-Length: %d\r\n\r\n", canisterURL(3, echo, "query"), each)
					if _, err := io.Copy(c, io.MultiReader(strings.NewReader(header), bytes.NewReader(make([]byte, each-1)))); err == nil {
						held.Add(1)
					}
				}()
				synctest.Wait()
			}
			if held.Load() != may || refused.Load() != 10 {
				t.Errorf("%d bodies are held and %d refused, want %d and 10", held.Load(), refused.Load(), may)
			}
			if err := serves(dial(alice)); err != nil {
				t.Errorf("another client: %v", err)
			}
			if err := serves(dial(mallory)); err != nil {
				t.Errorf("a small request of the same client: %v", err)
			}
			for _, c := range conns {
				c.Close()
			}
			synctest.Wait()
		}
	})
}

// Answers that nobody reads count likewise.
func TestUnreadAnswers(t *testing.T) {
	e, err := envelope.Sign(content(envelope.Query, echo, "large", nil), controller(t))
	if err != nil {
		t.Fatal(err)
	}
	body := e.Encode()
	request := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: replica\r\nContent-Type: application/cbor\r\nContent-Length: %d\r\n\r\n%s", canisterURL(3, echo, "query"), len(body), body)
	hostile(t, replicahttp.Limits{ClientMemory: 5 << 20}, func(t *testing.T, dial func(string) net.Conn) {
		var conns []net.Conn
		for range 3 {
			c := dial(mallory)
			conns = append(conns, c)
			if _, err := io.WriteString(c, request); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // the server writes, nobody reads
		}
		for i, c := range conns {
			res, err := nethttp.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			if want := []int{200, 200, 429}[i]; res.StatusCode != want {
				t.Errorf("request %d: %d, want %d", i, res.StatusCode, want)
			}
			if _, err := io.Copy(io.Discard, res.Body); err != nil {
				t.Error(err)
			}
		}
		if err := serves(conns[2]); err != nil { // the connection is good for more
			t.Error(err)
		}
	})
}

// One client's connections do not take those of others.
func TestConnectionFlood(t *testing.T) {
	const may = 20
	hostile(t, replicahttp.Limits{Connections: may + 5, ClientConnections: may}, func(t *testing.T, dial func(string) net.Conn) {
		served := func(addrs ...string) (n int, open []net.Conn) {
			for _, a := range addrs {
				c := dial(a)
				if serves(c) == nil {
					n++
				}
				open = append(open, c)
			}
			return n, open
		}
		repeat := func(n int, addr string) (out []string) {
			for range n {
				out = append(out, addr)
			}
			return out
		}
		n, flood := served(repeat(may+10, mallory)...)
		if n != may {
			t.Errorf("%d connections are served, want %d", n, may)
		}
		if n, _ := served(repeat(7, alice)...); n != 5 {
			t.Errorf("%d connections of another client are served, want 5", n)
		}
		for _, c := range flood {
			c.Close()
		}
		synctest.Wait()
		if n, _ := served(repeat(7, "127.0.0.1:1000")...); n != 7 {
			t.Errorf("afterwards %d of 7 are served", n)
		}
	})
}

// Compressed bodies are refused unread.
func TestCompressedBody(t *testing.T) {
	s := start(t, nil)
	req, err := nethttp.NewRequest("POST", s.url+canisterURL(4, echo, "call"), strings.NewReader("\x1f\x8b"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/cbor")
	req.Header.Set("Content-Encoding", "gzip")
	res, err := nethttp.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != 415 || !strings.Contains(string(body), "content encoding") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}
