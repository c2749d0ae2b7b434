package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"fusion/replica"
	"fusion/testnets"
	"fusion/testnets/golden"
)

// program returns a program that the environment names.
func program(t *testing.T, variable string) string {
	t.Helper()
	if os.Getenv("FUSION_E2E") == "" {
		t.Skip("the real tier runs with `make e2e`, which sets FUSION_E2E")
	}
	path := os.Getenv(variable)
	if path == "" {
		t.Fatalf("%s names no program; run `make e2e`", variable)
	}
	return path
}

// process is a program that runs.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it ended
	err  error         // then
}

// spawn starts a program whose output is appended to a log.
func spawn(log, bin string, args ...string) (*process, error) {
	f, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p := &process{cmd: exec.Command(bin, args...), log: log, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = f, f
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// end sends a signal and waits for the end, with SIGKILL after a grace period.
func (p *process) end(sig syscall.Signal) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	grace := time.NewTimer(20 * time.Second)
	defer grace.Stop()
	select {
	case <-p.done:
		return nil
	case <-grace.C:
		_ = p.cmd.Process.Kill() // it may have ended just now
		<-p.done
		return fmt.Errorf("process %d did not end within 20 s of %v; see %s", p.cmd.Process.Pid, sig, p.log)
	}
}

// network is a network of processes.
type network struct {
	*testnets.Manifest
	dir      string
	fusion   string
	replicas []*process
	bitcoin  *process // nil where somebody else's node is used
}

// open takes the network in dir into the test's care: what of it runs at the test's end is stopped.
func open(t *testing.T, dir string) *network {
	t.Helper()
	m, err := testnets.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := &network{Manifest: m, dir: dir, fusion: program(t, "FUSION_BIN"), replicas: make([]*process, m.Nodes)}
	t.Cleanup(func() {
		n.each(func(i int) error { return n.kill(i) })
		if n.bitcoin != nil {
			if err := n.bitcoin.end(syscall.SIGTERM); err != nil {
				t.Error(err)
			}
		}
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(dir, "*.log")) // the pattern is right
			for _, l := range logs {
				t.Logf("end of %s:\n%s", l, golden.Tail(l, 25))
			}
		}
	})
	return n
}

func (n *network) logFile(name string) string { return filepath.Join(n.dir, name+".log") }

// start starts replica i without waiting for it.
func (n *network) start(i int) (err error) {
	n.replicas[i], err = spawn(n.logFile(fmt.Sprintf("node%d", i)), n.fusion, "replica", "--config", testnets.NodeDir(n.dir, i))
	return err
}

func (n *network) startBitcoin() (err error) {
	n.bitcoin, err = spawn(n.logFile("bitcoin"), n.fusion, "bitcoin-node", "--data-dir", filepath.Join(n.dir, "bitcoin"), "--listen", n.Bitcoin)
	return err
}

// kill is kill -9.
func (n *network) kill(i int) error {
	if n.replicas[i] == nil {
		return nil
	}
	return n.replicas[i].end(syscall.SIGKILL)
}

// each does something to all replicas at once.
func (n *network) each(fn func(i int) error) error {
	errs := make([]error, n.Nodes)
	var wg sync.WaitGroup
	for i := range n.Nodes {
		wg.Go(func() { errs[i] = fn(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// status asks a replica's operator interface.
func (n *network) status(ctx context.Context, i int) (replica.Status, error) {
	p := n.replicas[i]
	if p == nil {
		return replica.Status{}, fmt.Errorf("replica %d is not started", i)
	}
	select {
	case <-p.done:
		return replica.Status{}, fmt.Errorf("replica %d has ended: %w", i, errEnded(p.err))
	default:
	}
	a, err := testnets.DialAdmin(testnets.NodeDir(n.dir, i))
	if err != nil {
		return replica.Status{}, fmt.Errorf("replica %d is not up", i)
	}
	s, err := a.Status(ctx)
	if err != nil {
		return replica.Status{}, err
	}
	return s.Replicas[0], nil
}

func errEnded(err error) error {
	if err == nil {
		return errors.New("exit code 0")
	}
	return err
}

// ready waits until all replicas are healthy and have certified a block above a height.
func (n *network) ready(ctx context.Context, above uint64) error {
	return golden.Wait(ctx, "the replicas to run", func() (string, error) {
		for i, p := range n.replicas {
			select {
			case <-p.done:
				return "", fmt.Errorf("replica %d ended: %w", i, errEnded(p.err))
			default:
			}
			if s, err := n.status(ctx, i); err != nil {
				return err.Error(), nil
			} else if !s.Healthy || s.Certified <= above {
				return fmt.Sprintf("replica %d, block %d, certified %d: %s", i, s.Height, s.Certified, s.Sentence), nil
			}
		}
		return "", nil
	})
}

// chain connects to the Bitcoin process.
func (n *network) chain(ctx context.Context) (chain golden.Chain, err error) {
	err = golden.Wait(ctx, "the Bitcoin node", func() (string, error) {
		a, err := testnets.DialAdmin(filepath.Join(n.dir, "bitcoin"))
		if err != nil {
			return err.Error(), nil
		}
		chain = a
		return "", nil
	})
	return chain, err
}

// run starts a copy of the golden network as processes and waits until it works.
func run(ctx context.Context, t *testing.T) (*network, *golden.World) {
	t.Helper()
	program(t, "FUSION_BIN")
	return runDir(ctx, t, golden.Clone(t))
}

// runDir starts the golden network in dir as processes and waits until it works.
func runDir(ctx context.Context, t *testing.T, dir string) (*network, *golden.World) {
	t.Helper()
	n := open(t, dir)
	must(t, n.startBitcoin())
	must(t, n.each(n.start))
	must(t, n.ready(ctx, 0))
	chain, err := n.chain(ctx)
	must(t, err)
	w, err := golden.OpenWorld(ctx, n.dir, chain, n.status)
	must(t, err)
	t.Cleanup(w.Close)
	return n, w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func user(t *testing.T, w *golden.World, name string, node int) *golden.User {
	t.Helper()
	u, err := w.User(name, node)
	must(t, err)
	return u
}
