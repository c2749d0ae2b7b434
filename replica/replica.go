package replica

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net"
	nethttp "net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"fusion/chainkey/bls"
	"fusion/chainkey/keystore"
	"fusion/ic/certificate"
	"fusion/internal/hugepages"
	"fusion/internal/redact"
	"fusion/replica/certify"
	"fusion/replica/consensus"
	"fusion/replica/execution/wasm"
	"fusion/replica/genesis"
	"fusion/replica/gossip"
	"fusion/replica/http"
	"fusion/replica/http/face"
	"fusion/replica/http/gateway"
	"fusion/replica/ingress"
	"fusion/replica/machine"
	"fusion/replica/recovery"
	"fusion/replica/state"
	"fusion/replica/tracing"
	"fusion/replica/transcripts"
)

// Shared is what the replicas of one process may share, because it only caches pure functions: compiled modules and checked
// signatures. The zero value of a field gives each replica its own.
type Shared struct {
	Engine *wasm.Engine
	Memo   *ingress.Memo
	// Slots is the budget of ceremony steps that compute at once.
	Slots chan struct{}
}

// Options of a replica beside its configuration.
type Options struct {
	Shared Shared
	Log    *slog.Logger // the default discards
	// FS is the file system of the state; the default is the operating system's.
	FS vfs.FS
	// OnFatal is called at most once when the replica cannot go on; Close must still be called. The default does nothing.
	OnFatal func(error)
}

// Replica is one running machine of a subnet.
type Replica struct {
	cfg       Config
	doc       *genesis.Doc
	recovered *recovery.Document // of the subnet's last recovery from a backup, or nil
	self      int
	key       ed25519.PrivateKey
	log       *slog.Logger
	opts      Options

	db         *state.DB
	keys       *keystore.Store
	machine    *machine.Machine
	memo       *ingress.Memo
	dealings   *transcripts.Memo
	pool       *ingress.Pool
	net        *gossip.Host
	wire       gossip.Network // net, as the rooms use it
	cert       *certify.Pool
	node       atomic.Pointer[consensus.Node] // set when consensus has started
	dkg        *dkg
	ingest     *batcher
	signing    *signer
	deriver    *deriver
	outcall    *outcaller
	members    *roster
	bitcoin    *bitcoinFeed // nil where the subnet follows no chain
	metrics    *metrics
	ceremonies ceremonies
	// snapshots are images of the state for replicas that join.
	snapshots *snapshots
	last      executed                  // by the consensus goroutine alone
	moving    atomic.Bool               // a block was committed since this process started
	committed atomic.Pointer[time.Time] // when that was, with the monotonic clock
	began     uint64                    // the height at which this process started
	lost      lost
	server    *nethttp.Server
	handler   *http.Handler
	stopping  atomic.Bool     // Close was called
	traces    *tracing.Tracer // nil where none are sent

	states  states
	fatal   sync.Once
	failure atomic.Pointer[error]
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	closers []func() error // in the order of opening
	closing sync.Once
}

// Format shows no key, whatever the verb.
func (r *Replica) Format(f fmt.State, _ rune) { redact.Format(f, fmt.Sprintf("replica %d", r.self)) }

// Directories of a replica within its data directory.
const (
	stateDir     = "state"
	consensusDir = "consensus"
	keysDir      = "keys"
	cacheDir     = "cache"
)

// Handler is the public HTTP interface, for those in the same process who need no socket.
func (r *Replica) Handler() nethttp.Handler { return r.server.Handler }

// Start opens a replica's data directory and joins the network. It returns when the replica takes part; catching up and the
// generation of keys go on behind it, see Status. The context bounds starting only.
func Start(ctx context.Context, cfg Config, opts Options) (_ *Replica, err error) {
	cfg.EnsureDefaults()
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.OnFatal == nil {
		opts.OnFatal = func(error) {}
	}
	r := &Replica{cfg: cfg, opts: opts, log: opts.Log, memo: opts.Shared.Memo, dealings: transcripts.NewMemo()}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	if err := r.identify(); err != nil {
		return nil, err
	}
	if err := r.install(); err != nil {
		return nil, err
	}
	if err := r.open(); err != nil {
		return nil, err
	}
	if err := r.serve(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// opened registers what has to be closed, in reverse order.
func (r *Replica) opened(closeFn func() error) { r.closers = append(r.closers, closeFn) }

// identify finds out which replica of which network this is.
func (r *Replica) identify() error {
	doc, err := genesis.Load(filepath.Join(r.cfg.Dir, GenesisFile))
	if err != nil {
		return err
	}
	if err := r.cfg.Validate(len(doc.Nodes)); err != nil {
		return err
	}
	if r.key, err = loadKey(filepath.Join(r.cfg.Dir, nodeKeyFile)); err != nil {
		return err
	}
	if r.recovered, err = r.cfg.lastRecovery(doc); err != nil {
		return err
	}
	r.doc, r.self = doc, doc.NodeIndex(r.key.Public().(ed25519.PublicKey))
	if r.self < 0 {
		if r.self = r.cfg.Node; r.self < len(doc.Nodes) || r.self >= maxNodeIndex {
			return fmt.Errorf("%s is not a node of %s: its key is not in the genesis document, and no node number is set in %s", r.cfg.Dir, doc.ChainID, ConfigFile)
		}
	}
	if p := (Problem{}); errors.As(r.cfg.fitsClass(doc), &p) {
		return refuse([]Problem{p})
	}
	if err := r.cfg.Ethereum.fits(doc); err != nil {
		return err
	}
	r.log = r.log.With("node", r.self)
	r.metrics = newMetrics(r.self)
	return nil
}

// open opens everything that lies on disk.
func (r *Replica) open() (err error) {
	dir := func(name string) string { return filepath.Join(r.cfg.Dir, name) }
	if r.opts.Shared.Engine == nil {
		e, err := NewEngine(dir(cacheDir))
		if err != nil {
			return err
		}
		r.opts.Shared.Engine = e
		r.opened(e.Close)
	}
	if r.memo == nil {
		r.memo = ingress.NewMemo(0)
	}
	if err := os.MkdirAll(dir(stateDir), 0o700); err != nil {
		return fmt.Errorf("creating the state directory: %w", err)
	}
	_ = hugepages.Heap(machine.HeapBytes(r.doc)) // it does without, slower
	if r.db, err = state.Open(dir(stateDir), state.Options{FS: r.opts.FS, Network: r.doc.Hash(), CacheBytes: machine.CacheBytes(r.doc), Failed: r.fail}); err != nil {
		return err
	}
	r.opened(r.db.Close)
	scrubbing := make(chan struct{})
	go func() {
		defer close(scrubbing)
		scrub(r.ctx, r.db, scrubEvery)
	}()
	r.opened(func() error { <-scrubbing; return nil })
	r.keys, err = keystore.Open(r.cfg.keyStore(r.doc))
	if err != nil {
		return err
	}
	r.opened(r.keys.Close)
	r.machine, err = machine.Open(machine.Config{Genesis: r.doc, Engine: r.opts.Shared.Engine, Log: r.log, Memo: r.memo, Dealings: r.dealings}, r.db)
	if err != nil {
		return err
	}
	r.opened(func() error { r.machine.Close(); return nil })
	if err := r.sameLife(r.machine); err != nil {
		return err
	}
	r.began = r.machine.View().Height
	if r.snapshots, err = newSnapshots(r); err != nil {
		return err
	}
	r.opened(r.snapshots.close)
	return nil
}

// serve starts everything that talks.
func (r *Replica) serve(ctx context.Context) (err error) {
	if err := r.misplaced(r.machine.View()); err != nil {
		return err
	}
	peers, others := r.peers(r.machine.View().Peers)
	r.net, err = gossip.New(gossip.Config{Network: fmt.Sprintf("%x", r.life()), Key: r.key, Self: r.self, Listen: r.cfg.Gossip, Peers: peers, Logger: r.log,
		Events: gossip.Events{Violation: func(node int, _ string, _ error) { r.metrics.misconduct(node, badMessage) }}})
	if err != nil {
		return fmt.Errorf("gossip on %s: %w", r.cfg.Gossip, inUse(err, "gossip"))
	}
	r.opened(r.net.Close)
	r.wire = wireOf(r.net)
	r.cert = certify.New(certify.Config{Net: r.wire, Logger: r.log, Events: certify.Events{Certified: r.certified, Diverged: r.diverged,
		Refused:  func(node int, _ error) { r.metrics.misconduct(node, badMessage) },
		BadShare: func(node int, _ string, _ uint64) { r.metrics.misconduct(node, badShare) }}})
	r.opened(func() error { r.cert.Close(); return nil })
	r.ingest = newBatcher(r)
	r.pool = ingress.New(ingress.Config{Memo: r.memo, Verifier: func() *certificate.Verifier { return r.machine.View().Verifier }, Known: r.knownIngress, OnAdd: r.ingest.add})
	if r.dkg, err = newDKG(r, dkgTopic, "the subnet's key", blsKey, r.machine.RootKey()); err != nil {
		return err
	}
	if r.signing, err = newSigner(r); err != nil {
		return err
	}
	r.opened(r.signing.close)
	if r.deriver, err = newDeriver(r); err != nil {
		return err
	}
	r.opened(r.deriver.close)
	if r.outcall, err = newOutcaller(r); err != nil {
		return err
	}
	r.opened(r.outcall.close)
	if r.doc.Bitcoin != nil {
		if r.bitcoin, err = newBitcoinFeed(r); err != nil {
			return err
		}
		r.opened(r.bitcoin.close)
	}
	r.members = newRoster(r)
	r.metrics.registry.MustRegister(healthMetrics{r})
	r.net.Start()
	r.wg.Go(r.ingest.run)

	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", r.cfg.HTTP)
	if err != nil {
		return fmt.Errorf("http on %s: %w", r.cfg.HTTP, inUse(err, "http"))
	}
	if r.cfg.OTLPEndpoint != "" {
		if r.traces, err = tracing.New(tracing.Config{Endpoint: string(r.cfg.OTLPEndpoint), Network: r.doc.ChainID, Node: r.self, Log: r.log}); err != nil {
			return err
		}
		r.opened(r.traces.Close)
	}
	limits, err := r.cfg.Limits.http()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	r.handler = http.NewHandler((*backend)(r), http.Config{AllowedHosts: r.cfg.AllowedHosts, Limits: limits, Log: r.log, Answered: r.traces.Answered,
		Gateway: face.New(face.Config{Mode: face.Mode(r.cfg.Dashboard), Domains: r.cfg.domains(), State: r.dashboard,
			Next: gateway.New((*backend)(r), gateway.Config{Domains: r.cfg.domains(), Log: r.log})}),
		OnPanic: func(reason any, stack []byte) {
			r.fail(fmt.Errorf("panic while serving a request: %v\n%s", reason, stack))
		},
		Metrics: promhttp.HandlerFor(r.metrics.registry, promhttp.HandlerOpts{})})
	r.server = http.NewServer(r.handler)
	r.wg.Go(func() {
		if err := r.server.Serve(http.LimitListener(ln, limits)); !errors.Is(err, nethttp.ErrServerClosed) {
			r.fail(fmt.Errorf("http on %s: %w", r.cfg.HTTP, err))
		}
	})
	cc, err := r.consensusConfig(others)
	if err != nil {
		return err
	}
	r.reconcile(r.machine.View())
	node, err := consensus.Start(ctx, cc, (*app)(r))
	if err != nil {
		return fmt.Errorf("consensus on %s: %w", r.cfg.Consensus, inUse(err, "consensus"))
	}
	r.node.Store(node)
	r.opened(node.Stop)
	return nil
}

// consensusConfig is what a node starts with, and a recovery speaks to the others with.
func (r *Replica) consensusConfig(peers []consensus.Peer) (c consensus.Config, err error) {
	validator, err := loadKey(filepath.Join(r.cfg.Dir, validatorKeyFile))
	if err != nil {
		return c, err
	}
	timings := consensus.LocalTimings()
	if r.doc.Class != genesis.Local {
		timings = consensus.Timings{}
	}
	timings.Commit, timings.Propose = time.Duration(r.cfg.CommitWait), time.Duration(r.cfg.ProposeWait)
	chain := r.begun()
	return consensus.Config{Home: filepath.Join(r.cfg.Dir, consensusDir), SignState: r.cfg.signState(r.recovered),
		ChainID: chain.id, GenesisTime: time.Unix(0, int64(chain.timeNs)), Base: chain.base, Members: r.founders(), Peers: peers, Self: r.self, NodeKey: r.key,
		ValidatorKey: validator, Listen: r.cfg.Consensus, MaxBlockBytes: int(r.doc.BlockMaxBytes), Timings: timings, Logger: r.log,
		OnMisconduct: func(node int, what consensus.Misconduct) { r.metrics.misconduct(node, string(what)) }, OnFatal: r.fail}, nil
}

// maxNodeIndex bounds node numbers: a network lives long, and has few nodes.
const maxNodeIndex = 1 << 16

// founders are the replicas with which the chain begins, of the genesis document or of the last recovery, as consensus knows them.
func (r *Replica) founders() []consensus.Member {
	var list []recovery.Member
	for i, n := range r.doc.Nodes {
		list = append(list, recovery.Member{Node: uint32(i), NodeKey: n.NodeKey, ValidatorKey: n.ValidatorKey})
	}
	if r.recovered != nil {
		list = r.recovered.Members
	}
	out := make([]consensus.Member, list[len(list)-1].Node+1)
	for _, m := range list {
		addr := r.cfg.Consensus
		if i := int(m.Node); i < len(r.cfg.Peers) && i != r.self {
			addr = r.cfg.Peers[i].Consensus
		}
		out[m.Node] = consensus.Member{ValidatorKey: ed25519.PublicKey(m.ValidatorKey), NodeKey: ed25519.PublicKey(m.NodeKey), Addr: addr}
	}
	return out
}

const shutdownGrace = 2 * time.Second

// inUse adds what to do when an address is taken.
func inUse(err error, setting string) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "listen" {
		return fmt.Errorf("%w (another process may use the port: stop it, or set %s in %s)", err, setting, ConfigFile)
	}
	return err
}

// fail records why the replica cannot go on.
func (r *Replica) fail(err error) {
	r.fatal.Do(func() {
		r.log.Error("replica stopped", "err", err)
		r.failure.Store(&err)
		r.opts.OnFatal(err)
	})
}

// quit closes the HTTP server once it has been drained.
func (r *Replica) quit() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownGrace)
	defer cancel()
	if err := r.server.Shutdown(ctx); err != nil {
		return r.server.Close()
	}
	return nil
}

// Close stops the replica and returns when nothing of it runs. /ready says so first; then the requests in progress are answered, while all that they ask is still
// there, and only then the listener and the rest are closed.
func (r *Replica) Close() (err error) {
	r.closing.Do(func() {
		r.stopping.Store(true)
		if r.server != nil {
			ctx, cancel := context.WithTimeout(context.Background(), shutdownGrace)
			r.handler.Drain(ctx)
			cancel()
			err = r.quit()
		}
		r.cancel()
		for i := len(r.closers) - 1; i >= 0; i-- {
			err = errors.Join(err, r.closers[i]())
		}
		r.wg.Wait()
	})
	return err
}

// ErrDiverged says that others certify another state than this replica computed. Starting it again does not help.
var ErrDiverged = errors.New("state diverged")

// diverged is told when more than f others claim another state than ours.
func (r *Replica) diverged(domain string, height uint64, ours, theirs []byte) {
	if domain == bls.DomainStateRoot {
		r.fail(fmt.Errorf("%w at block %d: our root is %x, others have %x; see docs/operate.md, \"A replica diverged\"", ErrDiverged, height, ours, theirs))
	}
}
