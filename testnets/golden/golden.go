package golden

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fusion/internal/freeport"
	"fusion/replica"
	"fusion/testnets"
	"fusion/testnets/canisters"
)

// Nodes is the size of the golden network.
const Nodes = 4

// The golden network's user owns what Deposits deposits of DepositSats brought. Several outputs let several withdrawals be in flight.
const (
	Owner       = "alice"
	Deposits    = 3
	DepositSats = 100_000_000
)

// MakingLog is the log of the golden network's making, at the debug level, in its directory.
const MakingLog = "making.log"

// compiled is where a network has its compiled canisters.
const compiled = "cache"

// makeTimeout bounds the ceremony on a busy machine.
const makeTimeout = 15 * time.Minute

// Clone returns the directory of a stopped copy of the golden network. It is removed with the test.
func Clone(t testing.TB) string {
	t.Helper()
	return CloneOf(t, "")
}

// CloneOf is Clone of the golden network of a scheme, as testnets.Settings has it.
func CloneOf(t testing.TB, scheme string) string {
	t.Helper()
	src, err := master(t, scheme)
	if err != nil {
		t.Fatalf("golden network: %v", err)
	}
	// Not t.TempDir: its names are too long for Unix sockets.
	dir, err := os.MkdirTemp("", "fn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("removing the network: %v", err)
		}
	})
	if err := copyTree(dir, src, compiled); err != nil {
		t.Fatalf("copying the golden network: %v", err)
	}
	// Compiled canisters are all copies' together, so that the first process of a program compiles for the others; names there are hashes of
	// contents, and files come by renaming.
	if err := os.Symlink(filepath.Join(src, compiled), filepath.Join(dir, compiled)); err != nil {
		t.Fatalf("copying the golden network: %v", err)
	}
	if err := relocate(dir); err != nil {
		t.Fatalf("moving the golden network: %v", err)
	}
	return dir
}

// Run runs a copy in this process until the test ends. A failed test shows the end of its log.
func Run(t testing.TB) *testnets.Network {
	t.Helper()
	return RunDir(t, Clone(t))
}

// RunDir is Run for a directory that Clone returned. Closing the network before the test's end is allowed.
func RunDir(t testing.TB, dir string) *testnets.Network {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	log := openLog(t, dir)
	n, err := testnets.Run(ctx, dir, testnets.RunOptions{Log: log})
	if err != nil {
		t.Fatalf("running the golden network: %v", err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("closing the network: %v", err)
		}
	})
	return n
}

func openLog(t testing.TB, dir string) *slog.Logger {
	path := filepath.Join(dir, testnets.LogFile)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Close()
		if t.Failed() {
			t.Logf("end of %s:\n%s", path, Tail(path, 60))
		}
	})
	return slog.New(slog.NewTextHandler(f, nil))
}

// Tail returns the last lines of a file, for the report of a failed test.
func Tail(path string, lines int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// relocate gives a copied network ports and paths of its own.
func relocate(dir string) error {
	m, err := testnets.Load(dir)
	if err != nil {
		return err
	}
	ports, err := freeport.Find(3*m.Nodes + 1)
	if err != nil {
		return err
	}
	at := func(i int) string { return net.JoinHostPort("127.0.0.1", fmt.Sprint(ports[i])) }
	m.Bitcoin = at(3 * m.Nodes)
	var peers []replica.Peer
	for i := range m.Nodes {
		m.HTTP[i] = at(3 * i)
		peers = append(peers, replica.Peer{Consensus: at(3*i + 1), Gossip: at(3*i + 2)})
	}
	for i := range m.Nodes {
		node := testnets.NodeDir(dir, i)
		c, err := replica.LoadConfig(node)
		if err != nil {
			return err
		}
		c.HTTP, c.Consensus, c.Gossip, c.Peers = m.HTTP[i], peers[i].Consensus, peers[i].Gossip, peers
		c.Admin, c.BitcoinPeers = "", []string{m.Bitcoin}
		c.EnsureDefaults()
		if err := c.Save(); err != nil {
			return err
		}
		// The addresses of Bitcoin peers are another network's.
		if err := os.RemoveAll(filepath.Join(node, "bitcoin-adapter")); err != nil {
			return err
		}
		if err := os.Symlink(filepath.Join("..", compiled), filepath.Join(node, compiled)); err != nil {
			return err
		}
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "network.json"), b, 0o644)
}

// master returns the directory of the golden network of these sources and of a scheme, after making it if it is not there.
func master(t testing.TB, scheme string) (string, error) {
	key, err := sourceKey()
	if err != nil {
		return "", err
	}
	if scheme != "" {
		key += "-" + scheme
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	cache = filepath.Join(cache, "fusion-golden")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		return "", fmt.Errorf("locking %s: %w", lock.Name(), err)
	}
	dir := filepath.Join(cache, key)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := prune(cache); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp("", "fg") // short, for the admin socket
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	started := time.Now()
	if err := produce(tmp, scheme); err != nil {
		return "", fmt.Errorf("%w\n%s", err, Tail(filepath.Join(tmp, testnets.LogFile), 40))
	}
	t.Logf("made the golden network in %s", time.Since(started).Round(time.Second))
	staging := dir + ".tmp"
	if err := errors.Join(os.RemoveAll(staging), copyTree(staging, tmp, ""), os.Rename(staging, dir)); err != nil {
		return "", err
	}
	return dir, nil
}

// copyTree copies files and directories with their modes (keys that others may read are refused), but for one of the root's.
func copyTree(dst, src, but string) error {
	return filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dst, strings.TrimPrefix(path, src))
		info, err := d.Info()
		switch {
		case err != nil:
			return err
		case but != "" && path == filepath.Join(src, but):
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(to, info.Mode().Perm())
		case !info.Mode().IsRegular():
			return nil // a socket that a kill left
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, b, info.Mode().Perm())
	})
}

// keepFor is how long networks of other sources are kept: somebody may be switching between branches, or testing another checkout.
const keepFor = 2 * time.Hour

func prune(cache string) error {
	entries, err := os.ReadDir(cache)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && e.IsDir() && time.Since(info.ModTime()) > keepFor {
			err = os.RemoveAll(filepath.Join(cache, e.Name()))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// produce runs the real ceremonies in dir and stops the network again.
func produce(dir, scheme string) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), makeTimeout)
	defer cancel()
	if _, err := testnets.Create(dir, testnets.Settings{Nodes: Nodes, Scheme: scheme}); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, testnets.LogFile))
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := testnets.Run(ctx, dir, testnets.RunOptions{Log: slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, n.Close(), os.Rename(filepath.Join(dir, testnets.LogFile), filepath.Join(dir, MakingLog)))
	}()
	if err := errors.Join(n.Bootstrap(ctx), n.WaitKeys(ctx)); err != nil {
		return err
	}
	return fund(ctx, n)
}

// besides are folders whose sources a replica does not contain.
var besides = []string{"bench", "demo", "e2e", "faults", "js", "processes", "testdata"}

// sourceKey identifies what the golden network depends on: everything that is compiled into a replica, and the canisters.
func sourceKey() (string, error) {
	root, err := os.Getwd()
	for ; err == nil; root = filepath.Dir(root) {
		if _, statErr := os.Stat(filepath.Join(root, "go.mod")); statErr == nil {
			break
		}
		if root == filepath.Dir(root) {
			err = errors.New("golden networks are for tests of this module: no go.mod above the working directory")
		}
	}
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, sub := range []string{"go.mod", "adapters", "btc", "chainkey", "ic", "internal", "replica", "testnets"} {
		err := filepath.WalkDir(filepath.Join(root, sub), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				if err == nil && (slices.Contains(besides, d.Name())) {
					return fs.SkipDir
				}
				return err
			}
			if name := d.Name(); name != "go.mod" && (!strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go")) {
				return nil
			}
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			fmt.Fprintf(h, "%s\n", strings.TrimPrefix(path, root))
			_, err = io.Copy(h, f)
			return err
		})
		if err != nil {
			return "", fmt.Errorf("hashing the sources: %w", err)
		}
	}
	for _, name := range []string{"icrc1_ledger", "ckbtc_minter"} {
		b, err := canisters.Module(name)
		if err != nil {
			return "", err
		}
		h.Write(b)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:12]), nil
}
