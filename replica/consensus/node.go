package consensus

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	dbm "github.com/cometbft/cometbft-db"
	"github.com/cometbft/cometbft/config"
	cmtconsensus "github.com/cometbft/cometbft/consensus"
	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/proxy"
	"github.com/cometbft/cometbft/types"

	"fusion/internal/pause"
	"fusion/internal/redact"
	"fusion/replica/consensus/driver"
)

// Errors of a Node.
var (
	ErrConfig  = errors.New("invalid consensus configuration")
	ErrFailure = errors.New("consensus has stopped")
	ErrStalled = errors.New("this replica stands still while others go on")
	// ErrDiverged says that the others have decided a block on top of another state than this replica computed.
	ErrDiverged = errors.New("this replica's state diverged from the others'")
)

// stopped is why consensus has stopped: CometBFT panics with what it found.
func stopped(cause any) error {
	if strings.Contains(fmt.Sprint(cause), "wrong Block.Header.AppHash") {
		return fmt.Errorf("%w: %w: %v; check disk and memory, then run fusion replica recover, see docs/operate.md, \"A replica diverged\"", ErrFailure, ErrDiverged, cause)
	}
	return fmt.Errorf("%w: %v", ErrFailure, cause)
}

// Member is one replica in the genesis file, a validator from the first block on. Its place in Config.Members is its node index; without keys it is a
// place that nobody has.
type Member struct {
	ValidatorKey ed25519.PublicKey
	NodeKey      ed25519.PublicKey // authenticates its connections
	Power        int64             // votes; the default is 3: CometBFT stops fetching blocks at once where a validator has a third, and rounds that down
	Addr         string            // host:port of its consensus listener
}

// Peer is a node as the others reach it. Its place in a list is its node index; without a key it is a place that nobody has.
type Peer struct {
	NodeKey ed25519.PublicKey
	Addr    string // host:port of its consensus listener
}

// Timings of consensus. All but Commit must be the same order of magnitude on all replicas; none of them is agreed.
type Timings struct {
	// Propose is how long to wait for a proposal, the price of a dead proposer. A block has to travel within it. The
	// default is 2 s.
	Propose time.Duration
	// ProposeDelta is added in each further round. The default is 500 ms.
	ProposeDelta time.Duration
	// Vote is how long to wait for more votes when 2f+1 do not agree. The default is 500 ms.
	Vote time.Duration
	// Commit is the pause after a block, in which votes of slower replicas still count. The default is 300 ms.
	Commit time.Duration
	// SkipCommit goes on as soon as all votes are there.
	SkipCommit bool
	// GossipSleep is how long a routine sleeps that found nothing to send. The default is 10 ms.
	GossipSleep time.Duration
	// Flush is how long small messages are collected. The default is 2 ms.
	Flush time.Duration
	// Stall is how long this replica may stand still while others go on before it is reported. The default is 60 s.
	Stall time.Duration
}

func (t Timings) withDefaults() Timings {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&t.Propose, 2*time.Second)
	def(&t.ProposeDelta, 500*time.Millisecond)
	def(&t.Vote, 500*time.Millisecond)
	def(&t.Commit, 300*time.Millisecond)
	def(&t.GossipSleep, 10*time.Millisecond)
	def(&t.Flush, 2*time.Millisecond)
	def(&t.Stall, time.Minute)
	return t
}

// LocalTimings suit a network on one machine that should feel quick and cost little when idle: about five blocks a second.
func LocalTimings() Timings {
	return Timings{Commit: 150 * time.Millisecond, GossipSleep: 5 * time.Millisecond, Flush: time.Millisecond}
}

// Config of a Node.
type Config struct {
	Home        string // directory for blocks, state and the write-ahead log
	SignState   string // the signer's file; the default is sign-state.json in Home
	ChainID     string // at most 50 bytes
	GenesisTime time.Time
	// Base is the height below the chain's first block; 0 but for a chain that goes on from an App's state of another one. The App is at Base before it.
	Base    uint64
	Members []Member
	// Peers are the nodes to speak to at first, this one included; see SetPeers. The default is the members.
	Peers        []Peer
	Self         int // index in Peers
	NodeKey      ed25519.PrivateKey
	ValidatorKey ed25519.PrivateKey
	Listen       string // host:port; the default is the own member address
	// MaxBlockBytes is fixed at genesis. The default is 4 MiB.
	MaxBlockBytes int
	Timings       Timings
	Logger        *slog.Logger // the default discards
	// OnCommit is called after each commit, in the consensus routine: it must not block.
	OnCommit func(height uint64)
	// OnMisconduct is called, in the consensus routine, when another node has done wrong: proposed a block that does not hold, or voted twice.
	OnMisconduct func(node int, what Misconduct)
	// OnFatal is called at most once, in its own goroutine, when this replica cannot go on. It may call Stop.
	OnFatal func(reason error)
}

// Format shows no key, whatever the verb.
func (Config) Format(f fmt.State, _ rune) { redact.Format(f, "configuration of a consensus node") }

// MarshalText shows no key, and so neither does JSON.
func (Config) MarshalText() ([]byte, error) { return []byte("configuration of a consensus node"), nil }

func (c Config) withDefaults() Config {
	if c.SignState == "" {
		c.SignState = filepath.Join(c.Home, "sign-state.json")
	}
	if c.Peers == nil {
		for _, m := range c.Members {
			c.Peers = append(c.Peers, Peer{m.NodeKey, m.Addr})
		}
	}
	if c.Listen == "" && c.Self >= 0 && c.Self < len(c.Peers) {
		c.Listen = c.Peers[c.Self].Addr
	}
	if c.MaxBlockBytes == 0 {
		c.MaxBlockBytes = 4 << 20
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.OnCommit == nil {
		c.OnCommit = func(uint64) {}
	}
	if c.OnMisconduct == nil {
		c.OnMisconduct = func(int, Misconduct) {}
	}
	if c.OnFatal == nil {
		c.OnFatal = func(error) {}
	}
	c.Timings = c.Timings.withDefaults()
	c.Members = append([]Member(nil), c.Members...)
	for i := range c.Members {
		if c.Members[i].Power == 0 && c.Members[i].ValidatorKey != nil {
			c.Members[i].Power = 3
		}
	}
	return c
}

func (c Config) check() error {
	if c.Home == "" || c.ChainID == "" || len(c.ChainID) > types.MaxChainIDLen {
		return fmt.Errorf("%w: home %q, chain id %.60q", ErrConfig, c.Home, c.ChainID)
	}
	if c.Self < 0 || c.Self >= len(c.Peers) || len(c.Members) == 0 {
		return fmt.Errorf("%w: node %d of %d", ErrConfig, c.Self, len(c.Peers))
	}
	if len(c.NodeKey) != ed25519.PrivateKeySize || len(c.ValidatorKey) != ed25519.PrivateKeySize {
		return fmt.Errorf("%w: keys of %d and %d bytes", ErrConfig, len(c.NodeKey), len(c.ValidatorKey))
	}
	if c.GenesisTime.IsZero() {
		return fmt.Errorf("%w: no genesis time", ErrConfig)
	}
	if c.MaxBlockBytes < 1<<16 || c.MaxBlockBytes > types.MaxBlockSizeBytes {
		return fmt.Errorf("%w: blocks of %d bytes", ErrConfig, c.MaxBlockBytes)
	}
	seen := map[string]int{}
	voters := 0
	for i, m := range c.Members {
		if m.ValidatorKey == nil && m.NodeKey == nil && m.Power == 0 {
			continue
		}
		voters++
		if len(m.ValidatorKey) != ed25519.PublicKeySize || len(m.NodeKey) != ed25519.PublicKeySize || m.Power < 1 {
			return fmt.Errorf("%w: node %d has keys of %d and %d bytes and power %d", ErrConfig, i,
				len(m.ValidatorKey), len(m.NodeKey), m.Power)
		}
		for _, k := range []string{"v" + string(m.ValidatorKey), "n" + string(m.NodeKey)} {
			if j, ok := seen[k]; ok {
				return fmt.Errorf("%w: nodes %d and %d share a key", ErrConfig, j, i)
			}
			seen[k] = i
		}
		if _, _, err := net.SplitHostPort(m.Addr); err != nil && len(c.Members) > 1 {
			return fmt.Errorf("%w: address of node %d: %w", ErrConfig, i, err)
		}
	}
	if voters == 0 || c.Base > math.MaxInt64-1 {
		return fmt.Errorf("%w: %d validators, base %d", ErrConfig, voters, c.Base)
	}
	for i, p := range c.Peers {
		if len(p.NodeKey) != 0 && len(p.NodeKey) != ed25519.PublicKeySize {
			return fmt.Errorf("%w: peer %d has a key of %d bytes", ErrConfig, i, len(p.NodeKey))
		}
	}
	// A node that is not in the genesis file may have become a validator since.
	if !c.Peers[c.Self].NodeKey.Equal(c.NodeKey.Public()) || c.Self < len(c.Members) && c.Members[c.Self].ValidatorKey != nil && !c.Members[c.Self].ValidatorKey.Equal(c.ValidatorKey.Public()) {
		return fmt.Errorf("%w: the keys are not those of node %d", ErrConfig, c.Self)
	}
	if _, port, err := net.SplitHostPort(c.Listen); err != nil || port == "0" && len(c.Members) > 1 {
		return fmt.Errorf("%w: listen address %q (peers must know the port)", ErrConfig, c.Listen)
	}
	return nil
}

// Misconduct is what no honest node does.
type Misconduct string

// Kinds of misconduct.
const (
	BadProposal Misconduct = "bad-proposal" // a block that does not hold; this replica's word
	DoubleVote  Misconduct = "double-vote"  // two votes in one round; the proof is in a block
)

// Node is a running replica's consensus.
type Node struct {
	cfg  Config
	app  *abciApp
	log  *slog.Logger
	node *node.Node

	fatal  sync.Once
	ctx    context.Context // ends with Stop
	cancel context.CancelFunc
	wg     sync.WaitGroup
	stop   sync.Once

	mu    sync.Mutex
	peers map[int]*peer
	ended bool
}

// Format shows no key, whatever the verb.
func (*Node) Format(f fmt.State, _ rune) { redact.Format(f, "consensus node") }

// Start opens the stores, brings the App to the height of the stored blocks and joins the network. It returns before the
// replica has caught up.
func Start(ctx context.Context, cfg Config, app driver.App) (*Node, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, log: cfg.Logger, peers: map[int]*peer{}}
	n.app = &abciApp{app: app, log: cfg.Logger, base: cfg.Base, roll: rollOf(cfg.Members, cfg.Base), members: map[p2p.ID]bool{},
		prepareTimeout: cfg.Timings.Propose / 2, committed: cfg.OnCommit, misconduct: cfg.OnMisconduct, broken: n.broken, self: cfg.Self}
	n.app.voters.Store(int64(n.app.roll.eras[0].set.Size()))
	if _, err := n.app.elect(); err != nil {
		return nil, err
	}
	for _, p := range cfg.Peers {
		if len(p.NodeKey) == ed25519.PublicKeySize {
			n.app.members[p2p.PubKeyToID(cmted25519.PubKey(p.NodeKey))] = true
		}
	}
	gen, err := n.genesis()
	if err != nil {
		return nil, err
	}
	cc := n.cometConfig()
	if err := cc.ValidateBasic(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if err := os.MkdirAll(filepath.Join(cfg.Home, "data"), 0o700); err != nil {
		return nil, fmt.Errorf("creating the consensus directory: %w", err)
	}
	if wait := time.Until(cfg.GenesisTime); wait > 0 {
		cfg.Logger.Info("waiting for the genesis time", "wait", wait)
		if err := pause.For(ctx, wait); err != nil { // CometBFT would sleep, deaf to the context
			return nil, fmt.Errorf("waiting for the genesis time: %w", err)
		}
	}
	// A validator with blocks but without its sign state has forgotten what it signed.
	_, err = os.Stat(filepath.Join(cfg.Home, "data", "blockstore.db"))
	signer, err := OpenSigner(cfg.ValidatorKey, cfg.SignState, errors.Is(err, os.ErrNotExist))
	if err != nil {
		return nil, err
	}
	signer.broken = n.report
	n.ctx, n.cancel = context.WithCancel(context.Background())
	if err := n.start(ctx, cc, gen, signer); err != nil {
		n.cancel()
		return nil, err
	}
	return n, nil
}

// cometConfig returns the settings in CometBFT's terms. Everything that is not set here is CometBFT's default.
func (n *Node) cometConfig() *config.Config {
	c := config.DefaultConfig()
	c.SetRoot(n.cfg.Home)
	c.Moniker = fmt.Sprintf("node %d", n.cfg.Self)
	c.DBBackend = "goleveldb" // pebbledb needs a build tag
	c.FilterPeers = true
	c.RPC.ListenAddress = ""
	c.TxIndex.Indexer = "null"
	c.Storage.DiscardABCIResponses = true
	c.Mempool.Type = config.MempoolTypeNop // the App has its own pool, and flooding stalled under load
	c.Instrumentation.Prometheus = false

	t := n.cfg.Timings
	c.Consensus.TimeoutPropose, c.Consensus.TimeoutProposeDelta = t.Propose, t.ProposeDelta
	c.Consensus.TimeoutPrevote, c.Consensus.TimeoutPrevoteDelta = t.Vote, t.Vote/2
	c.Consensus.TimeoutPrecommit, c.Consensus.TimeoutPrecommitDelta = t.Vote, t.Vote/2
	c.Consensus.TimeoutCommit, c.Consensus.SkipTimeoutCommit = t.Commit, t.SkipCommit
	c.Consensus.PeerGossipSleepDuration = t.GossipSleep
	c.Consensus.BlockTimeTolerance = 1 << 62 // 146 years: a clock that is behind must not refuse what the others decided; package driver says who sets block time

	c.P2P.ListenAddress = "tcp://" + n.cfg.Listen
	c.P2P.PexReactor = false
	c.P2P.AddrBookStrict = false
	c.P2P.AllowDuplicateIP = true
	c.P2P.FlushThrottleTimeout = t.Flush
	c.P2P.SendRate, c.P2P.RecvRate = 50<<20, 50<<20
	c.P2P.HandshakeTimeout = handshakeTimeout
	c.P2P.AddrBook = filepath.Join("data", "addrbook.json") // nobody reads it
	var ids []string
	for i, p := range n.cfg.Peers {
		if i != n.cfg.Self && len(p.NodeKey) == ed25519.PublicKeySize {
			ids = append(ids, string(p2p.PubKeyToID(cmted25519.PubKey(p.NodeKey))))
		}
	}
	c.P2P.UnconditionalPeerIDs = strings.Join(ids, ",") // they are never turned away for want of room
	c.P2P.MaxNumInboundPeers = 2*max(len(ids), maxPeers) + 8
	return c
}

// CometBFT's names of its stores.
const (
	blockstoreDB = "blockstore"
	stateDB      = "state"
)

// start makes and starts CometBFT's node. It panics where the App and the blocks do not fit, and leaves stores open
// when it fails; both are mended here.
func (n *Node) start(ctx context.Context, cc *config.Config, gen *types.GenesisDoc, signer *Signer) (err error) {
	var dbs []*store
	named := map[string]*store{}
	light := newLightServer()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("opening consensus: %v", r)
		}
		if err != nil {
			if n.node != nil {
				n.node.OnStop() // Stop refuses a node that never ran
				n.stopApp()
			}
			for _, db := range dbs {
				_ = db.Close() // the first error is the one to tell
			}
		}
	}()
	logger := cometLogger{n.log, func(cause any) { n.report(stopped(cause)) }}
	n.node, err = node.NewNodeWithContext(ctx, cc, n.voter(signer), &p2p.NodeKey{PrivKey: cmted25519.PrivKey(n.cfg.NodeKey)},
		proxy.NewConnSyncLocalClientCreator(n.app),
		func() (*types.GenesisDoc, error) { return gen, nil },
		func(c *config.DBContext) (dbm.DB, error) {
			db, err := config.DefaultDBProvider(c)
			if err != nil {
				return nil, err
			}
			dbs = append(dbs, &store{DB: db, broken: n.broken})
			named[c.ID] = dbs[len(dbs)-1]
			if blocks, states := named[blockstoreDB], named[stateDB]; blocks != nil && states != nil && (c.ID == blockstoreDB || c.ID == stateDB) {
				err = resume(blocks, states)
			}
			return dbs[len(dbs)-1], err
		},
		node.DefaultMetricsProvider(cc.Instrumentation), logger, node.CustomReactors(map[string]p2p.Reactor{lightReactor: light}), keepPool)
	if err != nil {
		return fmt.Errorf("opening consensus: %w", err)
	}
	light.open(named[blockstoreDB], named[stateDB])
	if err := n.node.Start(); err != nil {
		return fmt.Errorf("starting consensus on %s: %w", n.cfg.Listen, err)
	}
	n.wg.Go(func() { n.watch(n.ctx) })
	return n.SetPeers(n.cfg.Peers)
}

// Stop leaves the network and closes the stores. The App is not called any more when it returns.
func (n *Node) Stop() error {
	var err error
	n.stop.Do(func() {
		n.mu.Lock()
		n.ended = true
		n.mu.Unlock()
		n.cancel()
		n.wg.Wait()
		err = n.node.Stop()
		n.node.Wait()
		n.stopApp()
	})
	return err
}

// stopApp ends the routines between CometBFT and the App, which a node's own Stop forgets.
func (n *Node) stopApp() {
	if err := n.node.ProxyApp().Stop(); err != nil {
		n.log.Debug("stopping the app connection", "err", err)
	}
}

// Height returns the last committed height.
func (n *Node) Height() uint64 { return n.app.height.Load() }

// Status of a node.
type Status struct {
	Height      uint64
	CatchingUp  bool
	PeerHeights map[int]uint64 // the committed heights that connected peers claim
}

// Newest is the newest stored block, which an operator may vouch for to another (Recover, join). It is zero before the first.
func (n *Node) Newest() TrustPoint {
	store := n.node.BlockStore()
	meta := store.LoadBlockMeta(store.Height())
	if meta == nil {
		return TrustPoint{}
	}
	return TrustPoint{Height: uint64(meta.Header.Height), Hash: meta.BlockID.Hash}
}

// Status returns where this replica and its peers are.
func (n *Node) Status() Status {
	s := Status{Height: n.Height(), CatchingUp: n.node.ConsensusReactor().WaitSync(), PeerHeights: map[int]uint64{}}
	ids := map[p2p.ID]int{}
	n.mu.Lock()
	for i, p := range n.peers {
		ids[p.id] = i
	}
	n.mu.Unlock()
	n.node.Switch().Peers().ForEach(func(p p2p.Peer) {
		i, ok := ids[p.ID()]
		if !ok {
			return
		}
		s.PeerHeights[i] = 0
		if ps, ok := p.Get(types.PeerStateKey).(*cmtconsensus.PeerState); ok {
			s.PeerHeights[i] = uint64(max(ps.GetHeight()-1, 0)) // it works on the next
		}
	})
	return s
}

// Disconnect ends the connection with a member and refuses new ones until Allow: a partition for tests and operators.
func (n *Node) Disconnect(member int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.peers[member]; p != nil && !n.ended {
		n.app.setBlocked(p.id, true)
		n.hangUp(p.id)
	}
}

// Allow ends what Disconnect began.
func (n *Node) Allow(member int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.peers[member]; p != nil {
		n.app.setBlocked(p.id, false)
	}
}

// report calls OnFatal once, outside of CometBFT's routines, so that it may call Stop.
func (n *Node) report(reason error) {
	n.fatal.Do(func() {
		n.log.Error("this replica cannot go on", "err", reason)
		go n.cfg.OnFatal(reason)
	})
}
