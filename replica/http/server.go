package http

import (
	"log/slog"
	"net"
	nethttp "net/http"
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

// LimitListener bounds the open connections of a listener: one too many is closed at once.
func LimitListener(ln net.Listener, connections int) net.Listener {
	return &limitListener{Listener: ln, free: make(chan struct{}, connections)}
}

type limitListener struct {
	net.Listener
	free chan struct{}
}

func (l *limitListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.free <- struct{}{}:
			return &limitedConn{Conn: c, release: sync.OnceFunc(func() { <-l.free })}, nil
		default:
			c.Close()
		}
	}
}

type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
