package testnets

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"fusion/adapters/bitcoin/node"
	"fusion/replica"
)

// Socket is an operator's interface on a Unix socket: JSON over HTTP.
type Socket struct {
	srv  *http.Server
	stop chan struct{}
	done sync.WaitGroup
}

// maxSocketPath is the longest path of a Unix socket (unix(7): 108 bytes with the final zero; macOS has 104).
const maxSocketPath = 103

// serveSocket serves the operations of mux, and POST /stop, to the owner of the path's directory.
func serveSocket(path string, mux *http.ServeMux) (*Socket, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("admin socket %s: the path has %d bytes, a Unix socket has at most %d; use a shorter directory", path, len(path), maxSocketPath)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("removing the old admin socket: %w", err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("admin socket %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("admin socket: %w", err), ln.Close())
	}
	s := &Socket{stop: make(chan struct{})}
	var once sync.Once
	handle(mux, "POST /stop", func(context.Context, struct{}) (struct{}, error) {
		once.Do(func() { close(s.stop) })
		return struct{}{}, nil
	})
	s.srv = &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, ReadHeaderTimeout: 5 * time.Second}
	s.done.Go(func() { _ = s.srv.Serve(ln) }) // ends with ErrServerClosed
	return s, nil
}

// StopRequested is closed when an operator asked to stop.
func (s *Socket) StopRequested() <-chan struct{} { return s.stop }

// Close stops serving and removes the socket.
func (s *Socket) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err := s.srv.Shutdown(ctx)
	s.done.Wait()
	return err
}

// ServeBitcoin serves the /btc operations of a regtest node that runs by itself, in dir, where DialAdmin finds them.
func ServeBitcoin(dir string, n *node.Node) (*Socket, error) {
	mux := http.NewServeMux()
	bitcoinOps{n}.register(mux)
	return serveSocket(filepath.Join(dir, AdminSocket), mux)
}

// ServeReplica serves the status of a replica that runs by itself.
func ServeReplica(path string, r *replica.Replica) (*Socket, error) {
	mux := http.NewServeMux()
	handle(mux, "GET /status", func(context.Context, struct{}) (NetworkStatus, error) {
		return NetworkStatus{PID: os.Getpid(), Replicas: []replica.Status{r.Status()}, BitcoinMempool: []string{}}, nil
	})
	handle(mux, "POST /members", func(_ context.Context, item []byte) (struct{}, error) { return struct{}{}, r.SubmitMembership(item) })
	return serveSocket(path, mux)
}

// WaitStopped waits until no process runs the network in dir.
func WaitStopped(ctx context.Context, dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking whether the network runs: %w", err)
	}
	defer f.Close()
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	for unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w (%w)", dir, ErrRunning, ctx.Err())
		case <-t.C:
		}
	}
	return nil
}
