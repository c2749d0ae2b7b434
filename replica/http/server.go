package http

import (
	"log/slog"
	"net"
	nethttp "net/http"
	"net/netip"
	"sync"
	"time"
)

// NewServer makes a server for a Handler, with time limits against clients that send or read slowly. The caller gives it a
// listener (see LimitListener) and shuts it down.
func NewServer(h *Handler) *nethttp.Server {
	return &nethttp.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      max(h.cfg.CallTimeout, h.cfg.QueryTimeout) + 30*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(h.cfg.Log.Handler(), slog.LevelDebug), // what clients do wrong with TLS or headers
	}
}

// LimitListener bounds the open connections of a listener, in all and of each client: one too many is closed at once.
func LimitListener(ln net.Listener, l Limits) net.Listener {
	l.ensureDefaults(1)
	return &limitListener{Listener: ln, limits: l, clients: map[netip.Addr]int{}}
}

type limitListener struct {
	net.Listener
	limits Limits

	mu      sync.Mutex
	open    int
	clients map[netip.Addr]int // open connections
}

func (l *limitListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		at, _ := netip.ParseAddrPort(c.RemoteAddr().String()) // what is no network's shares one allowance
		addr := at.Addr().Unmap()
		if from := network(addr); l.enter(from, addr.IsLoopback() || l.limits.proxy(addr)) {
			return &limitedConn{Conn: c, leave: sync.OnceFunc(func() { l.leave(from) })}, nil
		}
		c.Close()
	}
}

func (l *limitListener) enter(from netip.Addr, trusted bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.limits.Connections || !trusted && l.clients[from] >= l.limits.ClientConnections {
		return false
	}
	l.open++
	l.clients[from]++
	return true
}

func (l *limitListener) leave(from netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.clients[from]--; l.clients[from] == 0 {
		delete(l.clients, from)
	}
}

type limitedConn struct {
	net.Conn
	leave func()
}

func (c *limitedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
