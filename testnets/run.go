package testnets

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"fusion/adapters/bitcoin/node"
	"fusion/ic/agent"
	"fusion/ic/identity"
	"fusion/replica"
	"fusion/replica/execution/wasm"
	"fusion/replica/ingress"
	"fusion/testnets/canisters"
)

// Progress is told what something long is doing. Begin ends the phase before it.
type Progress interface {
	Begin(name string)
	Note(format string, args ...any)
	Done(format string, args ...any)
}

// Silent is a Progress that shows nothing.
type Silent struct{}

// Begin implements Progress.
func (Silent) Begin(string) {}

// Note implements Progress.
func (Silent) Note(string, ...any) {}

// Done implements Progress.
func (Silent) Done(string, ...any) {}

// ErrRunning says that another process runs the network.
var ErrRunning = errors.New("the network is running in another process")

// RunOptions say how to run a network.
type RunOptions struct {
	Progress Progress     // the default is Silent
	Log      *slog.Logger // the default discards
	// FS is the file system of replica i's state, asked for at each start of it. The default is the operating system's.
	FS func(i int) vfs.FS
}

// Network is a running network: all its replicas in this process, and its Bitcoin node unless somebody else's is used.
type Network struct {
	*Manifest
	Dir string

	opts     RunOptions
	lock     *os.File
	node     *node.Node
	ethereum *Ethereum
	shared   replica.Shared
	mu       sync.Mutex
	replicas []*replica.Replica // nil while one is stopped
	fatal    chan error
	admin    *adminServer
	closers  []func() error
	closing  sync.Once
}

// Run starts the network in dir and returns when it certifies states. The threshold key may still be in the making; see
// WaitKeys.
func Run(ctx context.Context, dir string, opts RunOptions) (_ *Network, err error) {
	if opts.Progress == nil {
		opts.Progress = Silent{}
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	m, err := Load(dir)
	if err != nil {
		return nil, err
	}
	n := &Network{Manifest: m, Dir: dir, opts: opts, replicas: make([]*replica.Replica, m.Nodes), fatal: make(chan error, m.Nodes)}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	if err := n.takeLock(); err != nil {
		return nil, err
	}
	if !m.ExternalBitcoin {
		opts.Progress.Begin("bitcoin regtest node")
		n.node, err = node.Start(node.Config{DataDir: filepath.Join(dir, bitcoinDir), ListenAddr: m.Bitcoin, Log: opts.Log.With("room", "bitcoin-node")})
		if err != nil {
			return nil, fmt.Errorf("bitcoin node on %s: %w", m.Bitcoin, err)
		}
		n.closers = append(n.closers, n.node.Close)
		opts.Progress.Done("%s, block %d", m.Bitcoin, n.node.Height())
	}
	if m.Ethereum != nil {
		opts.Progress.Begin("ethereum development chain")
		if n.ethereum, err = StartEthereum(ctx, dir, m.Ethereum, opts.Log.With("room", "ethereum-node")); err != nil {
			return nil, err
		}
		n.closers = append(n.closers, n.ethereum.Close)
		opts.Progress.Done("%s at %s", m.Ethereum.Kind, m.Ethereum.URL)
	}
	opts.Progress.Begin("replicas")
	if n.shared.Engine, err = replica.NewEngine(filepath.Join(dir, "cache")); err != nil {
		return nil, err
	}
	n.closers = append(n.closers, n.shared.Engine.Close, n.compile())
	n.shared.Memo = ingress.NewMemo(0)
	n.shared.Slots = make(chan struct{}, runtime.NumCPU())
	// Ceremonies compute for seconds on all processors. With more threads than those it is the operating system that shares them out, and
	// it lets a thread that slept, such as consensus, go first; Go's own scheduler lets it wait behind each of them for 10 ms.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), 2*runtime.NumCPU()))
	n.closers = append(n.closers, n.stopReplicas)
	g, gctx := errgroup.WithContext(ctx)
	for i := range m.Nodes {
		g.Go(func() error { return n.StartReplica(gctx, i) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	opts.Progress.Done("%d of them", m.Nodes)
	opts.Progress.Begin("subnet key (BLS key generation)")
	if err := n.await(ctx, func() (bool, error) {
		for i := range m.Nodes {
			s := n.Replica(i).Status()
			// After a pause the newest certified state is old at first, and clients rightly refuse old certificates.
			if s.Certified == 0 || s.Certified < s.Height || time.Since(s.BlockTime) >= recentState {
				opts.Progress.Note("replica %d: %s", i, s.Sentence)
				return false, nil
			}
		}
		return true, nil
	}); err != nil {
		return nil, fmt.Errorf("waiting for the subnet's key: %w", err)
	}
	opts.Progress.Done("%s", n.Replica(0).View().Subnet)
	if n.admin, err = serveAdmin(n); err != nil {
		return nil, err
	}
	n.closers = append(n.closers, n.admin.Close)
	return n, nil
}

// compile compiles our canisters while the replicas come up, which is a good part of a first start and nothing later: the engine keeps
// the code, in memory and in its cache. The result waits for it and lets go of the code.
func (n *Network) compile() (release func() error) {
	names := []string{"ckbtc_minter", "icrc1_ledger", "btc_checker", "icrc1_index"}
	if n.ethereum != nil {
		names = append(names, "cketh_minter", "cketh_orchestrator")
	}
	modules := make([]*wasm.Module, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			code, err := canisters.Module(name)
			if err == nil {
				modules[i], err = n.shared.Engine.Compile(code)
			}
			if err != nil { // which whoever installs it is told as well
				n.opts.Log.Debug("compiling ahead", "canister", name, "err", err)
			}
		})
	}
	return func() (err error) {
		wg.Wait()
		for _, m := range modules {
			if m != nil {
				err = errors.Join(err, m.Close())
			}
		}
		return err
	}
}

// recentState is how old the certified state of a network that is up may be; agents refuse minutes.
const recentState = time.Minute

// takeLock makes sure that one process at a time runs the network.
func (n *Network) takeLock() error {
	path := filepath.Join(n.Dir, lockFile)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("locking the network: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return fmt.Errorf("%s: %w", n.Dir, ErrRunning)
	}
	n.lock = f
	return nil
}

// StartReplica starts replica i, which must not be running.
func (n *Network) StartReplica(ctx context.Context, i int) error {
	cfg, err := replica.LoadConfig(NodeDir(n.Dir, i))
	if err != nil {
		return err
	}
	opts := replica.Options{Shared: n.shared, Log: n.opts.Log, OnFatal: func(err error) {
		select {
		case n.fatal <- fmt.Errorf("replica %d: %w", i, err):
		default:
		}
	}}
	if n.opts.FS != nil {
		opts.FS = n.opts.FS(i)
	}
	r, err := replica.Start(ctx, *cfg, opts)
	if err != nil {
		return fmt.Errorf("replica %d: %w", i, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.replicas[i] = r
	return nil
}

// StopReplica stops replica i. The others go on.
func (n *Network) StopReplica(i int) error {
	n.mu.Lock()
	r := n.replicas[i]
	n.replicas[i] = nil
	n.mu.Unlock()
	if r == nil {
		return nil
	}
	return r.Close()
}

func (n *Network) stopReplicas() error {
	errs := make([]error, n.count())
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = n.StopReplica(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Replica returns replica i, or nil while it is stopped.
func (n *Network) Replica(i int) *replica.Replica {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.replicas[i]
}

// Bitcoin is the embedded node, or nil where somebody else's is used.
func (n *Network) Bitcoin() *node.Node { return n.node }

// Ethereum is the chain that the network follows, or nil where it follows none.
func (n *Network) Ethereum() *Ethereum { return n.ethereum }

// Fatal delivers the errors of replicas that cannot go on.
func (n *Network) Fatal() <-chan error { return n.fatal }

// StopRequested is closed when an operator asked the network to stop.
func (n *Network) StopRequested() <-chan struct{} { return n.admin.StopRequested() }

// Close stops everything.
func (n *Network) Close() (err error) {
	n.closing.Do(func() {
		for i := len(n.closers) - 1; i >= 0; i-- {
			err = errors.Join(err, n.closers[i]())
		}
		if n.lock != nil {
			err = errors.Join(err, n.lock.Close())
		}
	})
	return err
}

// pollEvery is how often conditions inside this process are looked at; a look costs microseconds.
const pollEvery = 20 * time.Millisecond

// await waits until the condition holds, a replica dies or the context ends.
func (n *Network) await(ctx context.Context, ok func() (bool, error)) error {
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	for {
		if done, err := ok(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-n.fatal:
			return err
		case <-t.C:
		}
	}
}

// WaitKeys waits until all threshold keys are active, and then creates the contract that needs to know the minter's.
func (n *Network) WaitKeys(ctx context.Context) error {
	n.opts.Progress.Begin("threshold keys")
	err := n.await(ctx, func() (bool, error) {
		active := true
		for _, k := range n.Replica(0).Status().Keys {
			if !k.Active {
				n.opts.Progress.Note("%s: %s", k.ID, k.State)
				active = false
			}
		}
		return active, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the threshold keys: %w", err)
	}
	n.opts.Progress.Done("%s", TestKey)
	if n.ethereum != nil {
		if err := n.deployHelper(ctx); err != nil {
			return fmt.Errorf("creating the helper contract: %w", err)
		}
	}
	return nil
}

// WaitBitcoin waits until the subnet has seen the Bitcoin node's tip.
func (n *Network) WaitBitcoin(ctx context.Context) error {
	if n.node == nil {
		return nil
	}
	err := n.await(ctx, func() (bool, error) {
		v := n.Replica(0).View()
		n.opts.Progress.Note("block %d of %d", v.Bitcoin.Info.TipHeight, n.node.Height())
		return v.Bitcoin.Info.TipHeight >= n.node.Height(), nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the Bitcoin chain: %w", err)
	}
	return nil
}

// URL is the public interface of replica i.
func (m *Manifest) URL(i int) string { return "http://" + m.HTTP[i] }

// RootKey is the subnet's public key, DER.
func (n *Network) RootKey() []byte {
	b, err := hex.DecodeString(n.Replica(0).Status().RootKey)
	if err != nil {
		panic(err) // we wrote it
	}
	return b
}

// Agent makes a client of replica 0.
func (n *Network) Agent(id identity.Identity) (*agent.Agent, error) {
	return agent.New(n.URL(0), agent.Options{Identity: id, RootKey: n.RootKey()})
}
