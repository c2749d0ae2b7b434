package processes

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"

	"fusion/replica"
	"fusion/testnets"
	"fusion/testnets/golden"
)

// Network is a network of processes.
type Network struct {
	*testnets.Manifest
	Dir     string
	Program string // the fusion program
	// In does what starts replica i where it is to run, such as in a host of package hosts. The default is here.
	In func(i int, start func() error) error

	mu       sync.Mutex
	replicas []*Process
	programs []string // of each replica, if it is not Program
	bitcoin  *Process // nil where somebody else's node is used
}

// Open opens the stopped network in dir.
func Open(dir, program string) (*Network, error) {
	m, err := testnets.Load(dir)
	if err != nil {
		return nil, err
	}
	return &Network{Manifest: m, Dir: dir, Program: program, replicas: make([]*Process, m.Nodes), programs: make([]string, m.Nodes)}, nil
}

// Close kills what of the network runs.
func (n *Network) Close() error {
	err := n.Each(n.Kill)
	if n.bitcoin != nil {
		err = errors.Join(err, n.bitcoin.End(syscall.SIGTERM))
	}
	return err
}

// LogFile is the log of "bitcoin", or of "node0" and so on.
func (n *Network) LogFile(name string) string { return filepath.Join(n.Dir, name+".log") }

// Use makes a program the one that Start starts replica i with.
func (n *Network) Use(i int, program string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.programs[i] = program
}

// Start starts replica i without waiting for it.
func (n *Network) Start(i int) error {
	n.mu.Lock()
	program := cmp.Or(n.programs[i], n.Program)
	n.mu.Unlock()
	return n.StartWith(i, program, nil)
}

// StartWith is Start of another program, or with additions to its environment.
func (n *Network) StartWith(i int, program string, env []string) error {
	var p *Process
	start := func() (err error) {
		p, err = Spawn(n.LogFile(fmt.Sprintf("node%d", i)), env, program, "replica", "--config", testnets.NodeDir(n.Dir, i))
		return err
	}
	in := n.In
	if in == nil {
		in = func(_ int, start func() error) error { return start() }
	}
	if err := in(i, start); err != nil {
		return fmt.Errorf("starting replica %d: %w", i, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.replicas[i] = p
	return nil
}

// Replica is the process of replica i, nil if it was never started.
func (n *Network) Replica(i int) *Process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.replicas[i]
}

// StartBitcoin starts the embedded Bitcoin node.
func (n *Network) StartBitcoin() (err error) {
	n.bitcoin, err = Spawn(n.LogFile("bitcoin"), nil, n.Program, "bitcoin-node", "--data-dir", filepath.Join(n.Dir, "bitcoin"), "--listen", n.Bitcoin)
	return err
}

// BitcoinNode is the process of the embedded Bitcoin node, nil if it was never started.
func (n *Network) BitcoinNode() *Process { return n.bitcoin }

// Kill is kill -9 of replica i.
func (n *Network) Kill(i int) error {
	p := n.Replica(i)
	if p == nil {
		return nil
	}
	return p.End(syscall.SIGKILL)
}

// Stop ends replica i by SIGTERM, after which its exit code has to be 0.
func (n *Network) Stop(i int) error {
	p := n.Replica(i)
	if p == nil {
		return nil
	}
	if err := p.Ended(); err != nil {
		return fmt.Errorf("replica %d ended by itself: %w", i, err)
	}
	return n.clean(i, p, p.End(syscall.SIGTERM))
}

// Retire stops replica i through its operator's interface, after which its exit code has to be 0.
func (n *Network) Retire(ctx context.Context, i int) error {
	p, a, err := n.admin(i)
	if err == nil {
		err = a.Stop(ctx)
	}
	if err != nil {
		return fmt.Errorf("stopping replica %d: %w", i, err)
	}
	return n.clean(i, p, p.await("the operator's request"))
}

func (n *Network) clean(i int, p *Process, err error) error {
	if err == nil && !p.Clean() {
		err = p.Ended()
	}
	if err != nil {
		return fmt.Errorf("replica %d did not stop cleanly: %w; see %s", i, err, p.log)
	}
	return nil
}

// Each does something to all replicas at once.
func (n *Network) Each(fn func(i int) error) error {
	errs := make([]error, n.Nodes)
	var wg sync.WaitGroup
	for i := range n.Nodes {
		wg.Go(func() { errs[i] = fn(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// admin connects to the operator's interface of a replica that runs.
func (n *Network) admin(i int) (*Process, *testnets.Admin, error) {
	p := n.Replica(i)
	if p == nil {
		return nil, nil, fmt.Errorf("replica %d is not started", i)
	}
	if err := p.Ended(); err != nil {
		return nil, nil, fmt.Errorf("replica %d has ended: %w", i, err)
	}
	a, err := testnets.DialAdmin(testnets.NodeDir(n.Dir, i))
	if err != nil {
		return nil, nil, fmt.Errorf("replica %d is not up", i)
	}
	return p, a, nil
}

// Status asks a replica's operator interface.
func (n *Network) Status(ctx context.Context, i int) (replica.Status, error) {
	_, a, err := n.admin(i)
	if err != nil {
		return replica.Status{}, err
	}
	s, err := a.Status(ctx)
	if err != nil {
		return replica.Status{}, err
	}
	return s.Replicas[0], nil
}

// Ready waits until all replicas are healthy and have certified a block above a height.
func (n *Network) Ready(ctx context.Context, above uint64) error {
	return golden.Wait(ctx, "the replicas to run", func() (string, error) {
		for i := range n.Nodes {
			if p := n.Replica(i); p != nil && p.Ended() != nil {
				return "", fmt.Errorf("replica %d ended: %w", i, p.Ended())
			}
			if s, err := n.Status(ctx, i); err != nil {
				return err.Error(), nil
			} else if !s.Healthy || s.Certified <= above {
				return fmt.Sprintf("replica %d, block %d, certified %d: %s", i, s.Height, s.Certified, s.Sentence), nil
			}
		}
		return "", nil
	})
}

// Chain connects to the Bitcoin process.
func (n *Network) Chain(ctx context.Context) (chain golden.Chain, err error) {
	err = golden.Wait(ctx, "the Bitcoin node", func() (string, error) {
		a, err := testnets.DialAdmin(filepath.Join(n.Dir, "bitcoin"))
		if err != nil {
			return err.Error(), nil
		}
		chain = a
		return "", nil
	})
	return chain, err
}
