package consensus

import (
	"bytes"
	"context"
	stded25519 "crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	dbm "github.com/cometbft/cometbft-db"
	abci "github.com/cometbft/cometbft/abci/types"
	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/p2p"
	cmtstate "github.com/cometbft/cometbft/proto/tendermint/state"
	ssproto "github.com/cometbft/cometbft/proto/tendermint/statesync"
	cmtversion "github.com/cometbft/cometbft/proto/tendermint/version"
	sm "github.com/cometbft/cometbft/state"
	"github.com/cometbft/cometbft/statesync"
	cmtstore "github.com/cometbft/cometbft/store"
	"github.com/cometbft/cometbft/types"
	"github.com/cometbft/cometbft/version"

	"fusion/internal/pause"
	"fusion/replica/consensus/driver"
)

// Errors of Sync.
var (
	// ErrNoSnapshot says that peers answer, and none offers a snapshot. The blocks are then all there is.
	ErrNoSnapshot = errors.New("no replica offers a snapshot")
	// ErrStuck says that snapshots were offered, and none could be had: their senders lie, or are gone.
	ErrStuck = errors.New("no offered snapshot could be used")
	// ErrHasBlocks says that Sync found blocks where its result was to go.
	ErrHasBlocks = errors.New("blocks are stored already")
)

// SyncOptions say how to Sync. The zero value is what a replica uses.
type SyncOptions struct {
	// Trust is a block to start from instead of the genesis document's validators.
	Trust *TrustPoint
	// Discover is how long to wait for offers once a peer is connected. The default is 20 s.
	Discover time.Duration
	// Stall is how long nothing may happen, for want of offers or chunks, before Sync gives up. The default is 3 min.
	Stall time.Duration
	// Progress is told what happens, a sentence each time. The default does nothing.
	Progress func(format string, args ...any)
}

// Sync fetches the state of a running network into a Restorer by CometBFT's state sync, and makes stores in cfg.Home, which must hold none,
// with which Start goes on from there. It runs instead of a Node, with the same keys, and only dials.
//
// Of a snapshot nothing is believed but what leads to the app hash in a header that follows from what is trusted (chain). A validator
// needs its sign state: without it Sync refuses to make stores, because the key may have signed what is not remembered. A key that
// does not belong to a validator gets a new one.
func Sync(ctx context.Context, cfg Config, app driver.Restorer, opts SyncOptions) (height uint64, err error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return 0, err
	}
	if opts.Discover == 0 {
		opts.Discover = 20 * time.Second
	}
	if opts.Stall == 0 {
		opts.Stall = 3 * time.Minute
	}
	if opts.Progress == nil {
		opts.Progress = func(string, ...any) {}
	}
	n := &Node{cfg: cfg, log: cfg.Logger}
	if _, err := os.Stat(filepath.Join(cfg.Home, "data", "blockstore.db")); !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("%w in %s", ErrHasBlocks, cfg.Home)
	}
	gen, err := n.genesis()
	if err != nil {
		return 0, err
	}
	genesisState, err := sm.MakeGenesisState(gen)
	if err != nil {
		return 0, fmt.Errorf("%w: genesis: %w", ErrConfig, err)
	}
	s := &syncer{node: n, app: app, opts: opts, params: *gen.ConsensusParams, light: newLightClient(), senders: map[string]bool{}}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	defer s.cancel(nil)
	s.chain = newChain(cfg.ChainID, int64(cfg.Base), genesisState.Validators, s.params)
	s.chain.ask = s.light.ask
	if err := s.connect(); err != nil {
		return 0, err
	}
	state, commit, err := s.run()
	s.disconnect()
	if err != nil {
		return 0, err
	}
	if err := bootstrap(cfg, state, commit); err != nil {
		return 0, err
	}
	return uint64(state.LastBlockHeight), nil
}

// genesis is the genesis document in CometBFT's terms.
func (n *Node) genesis() (*types.GenesisDoc, error) {
	cfg := n.cfg
	gen := &types.GenesisDoc{GenesisTime: cfg.GenesisTime.UTC(), ChainID: cfg.ChainID, InitialHeight: int64(cfg.Base) + 1,
		ConsensusParams: types.DefaultConsensusParams()}
	gen.ConsensusParams.Block.MaxBytes = int64(cfg.MaxBlockBytes)
	gen.ConsensusParams.Evidence.MaxBytes = int64(min(cfg.MaxBlockBytes/4, 1<<20))
	for i, m := range cfg.Members {
		if m.ValidatorKey == nil {
			continue
		}
		key := cmted25519.PubKey(m.ValidatorKey)
		gen.Validators = append(gen.Validators, types.GenesisValidator{Address: key.Address(), PubKey: key, Power: m.Power,
			Name: fmt.Sprintf("node %d", i)})
	}
	if err := gen.ValidateAndComplete(); err != nil {
		return nil, fmt.Errorf("%w: genesis: %w", ErrConfig, err)
	}
	return gen, nil
}

// syncer is one Sync: the App and the source of trust as CometBFT's state sync sees them.
type syncer struct {
	node   *Node
	app    driver.Restorer
	opts   SyncOptions
	params types.ConsensusParams
	ctx    context.Context
	cancel context.CancelCauseFunc

	sw        *p2p.Switch
	transport *p2p.MultiplexTransport
	reactor   *offers
	light     *lightClient
	chain     *chain
	wg        sync.WaitGroup

	active   atomic.Pointer[time.Time] // when something happened last
	restored *abci.ResponseInfo        // what the App holds after the last chunk
	offered  driver.Snapshot
	appHash  []byte
	senders  map[string]bool // of the chunks that were taken of the image on offer
}

// offers is CometBFT's reactor with a count of what it was offered, and a bound: an offer costs memory, and, where it is a lie, patience.
type offers struct {
	*statesync.Reactor
	seen atomic.Int64

	mu   sync.Mutex
	from map[p2p.ID]map[uint64]bool // heights by peer
}

// maxOffers is how many heights a peer may offer. Replicas keep two snapshots, and make another now and then.
const maxOffers = 4

func (o *offers) Receive(e p2p.Envelope) {
	if m, ok := e.Message.(*ssproto.SnapshotsResponse); ok {
		o.seen.Add(1)
		o.mu.Lock()
		heights := o.from[e.Src.ID()]
		if heights == nil {
			heights = map[uint64]bool{}
			o.from[e.Src.ID()] = heights
		}
		more := heights[m.Height] || len(heights) < maxOffers
		if more {
			heights[m.Height] = true
		}
		o.mu.Unlock()
		if !more {
			return
		}
	}
	o.Reactor.Receive(e)
}

// endingLogger ends CometBFT's search for snapshots when it says that it goes on after the context has ended: it sleeps and asks again for
// ever, and cannot be told to stop.
const searchMessage = "sync any"

type endingLogger struct {
	cometLogger
	ctx context.Context
}

func (l endingLogger) Info(msg string, kv ...any) {
	if msg == searchMessage && l.ctx.Err() != nil {
		runtime.Goexit()
	}
	l.cometLogger.Info(msg, kv...)
}

// connect starts a switch that speaks of snapshots and light blocks and nothing else.
func (s *syncer) connect() error {
	n := s.node
	cc := n.cometConfig()
	key := p2p.NodeKey{PrivKey: cmted25519.PrivKey(n.cfg.NodeKey)}
	info := p2p.DefaultNodeInfo{ProtocolVersion: p2p.NewProtocolVersion(version.P2PProtocol, version.BlockProtocol, 0), DefaultNodeID: key.ID(),
		Network: n.cfg.ChainID, Version: version.TMCoreSemVer, Moniker: cc.Moniker, ListenAddr: cc.P2P.ListenAddress,
		Channels: []byte{statesync.SnapshotChannel, statesync.ChunkChannel, lightChannel}, Other: p2p.DefaultNodeInfoOther{TxIndex: "off"}}
	if err := info.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	logger := cometLogger{n.log, func(cause any) { s.cancel(fmt.Errorf("%w: %v", ErrFailure, cause)) }}
	sc := *cc.StateSync
	sc.ChunkRequestTimeout, sc.ChunkFetchers = 15*time.Second, 4
	s.reactor = &offers{Reactor: statesync.NewReactor(sc, s, s, statesync.NopMetrics()), from: map[p2p.ID]map[uint64]bool{}}
	s.reactor.SetLogger(endingLogger{logger, s.ctx})
	s.light.SetLogger(logger)
	s.transport = p2p.NewMultiplexTransport(info, key, p2p.MConnConfig(cc.P2P))
	s.sw = p2p.NewSwitch(cc.P2P, s.transport)
	s.sw.SetLogger(logger)
	s.sw.SetNodeInfo(info)
	s.sw.SetNodeKey(&key)
	s.sw.AddReactor("STATESYNC", s.reactor)
	s.sw.AddReactor(lightReactor, s.light)
	if err := s.sw.Start(); err != nil {
		return fmt.Errorf("starting the connections: %w", err)
	}
	for i, p := range n.cfg.Peers {
		if i != n.cfg.Self && len(p.NodeKey) > 0 && p.Addr != "" {
			s.wg.Go(func() { s.dial(p) })
		}
	}
	return nil
}

func (s *syncer) disconnect() {
	s.cancel(nil)
	s.wg.Wait()
	if err := errors.Join(s.sw.Stop(), s.transport.Close()); err != nil {
		s.node.log.Debug("ending the connections", "err", err)
	}
}

func (s *syncer) dial(peer Peer) {
	id := p2p.PubKeyToID(cmted25519.PubKey(peer.NodeKey))
	wait := time.Duration(0)
	for pause.For(s.ctx, wait) == nil {
		wait = pollPeers
		if s.sw.Peers().Has(id) {
			continue
		}
		addr, err := p2p.NewNetAddressString(p2p.IDAddressString(id, peer.Addr))
		if err == nil {
			err = s.sw.DialPeerWithAddress(addr)
		}
		if err != nil {
			s.node.log.Debug("peer not reached", "peer", peer.Addr, "err", err)
			wait = maxDialBackoff/2 + rand.N(maxDialBackoff/2)
		}
	}
}

type synced struct {
	state  sm.State
	commit *types.Commit
	err    error
}

// discovery is how long CometBFT collects offers before it chooses one; it takes no less.
const discovery = 5 * time.Second

func (s *syncer) run() (sm.State, *types.Commit, error) {
	s.opts.Progress("looking for replicas")
	connected := time.NewTicker(pollPeers)
	defer connected.Stop()
	for s.sw.Peers().Size() == 0 {
		select {
		case <-connected.C:
		case <-s.ctx.Done():
			return sm.State{}, nil, fmt.Errorf("no replica could be reached: %w", s.failure())
		}
	}
	if t := s.opts.Trust; t != nil {
		s.opts.Progress("checking block %d, which is to be trusted", t.Height)
		if err := s.chain.trust(s.ctx, *t); err != nil {
			return sm.State{}, nil, err
		}
	}
	s.opts.Progress("asking %d replicas for snapshots", s.sw.Peers().Size())
	s.touch()
	done := make(chan synced, 1)
	go func() {
		out := synced{err: errors.New("state sync was ended")}
		defer func() { done <- out }()
		out.state, out.commit, out.err = s.reactor.Sync(s, discovery)
	}()
	deadline := time.NewTimer(s.opts.Discover)
	defer deadline.Stop()
	for {
		select {
		case out := <-done:
			if out.err != nil {
				return sm.State{}, nil, fmt.Errorf("restoring a snapshot: %w", errors.Join(out.err, context.Cause(s.ctx)))
			}
			return out.state, out.commit, nil
		case <-deadline.C:
			if s.reactor.seen.Load() == 0 {
				return sm.State{}, nil, fmt.Errorf("%w: asked %d for %v", ErrNoSnapshot, s.sw.Peers().Size(), s.opts.Discover)
			}
		case <-connected.C:
			if d := time.Since(*s.active.Load()); d > s.opts.Stall {
				return sm.State{}, nil, fmt.Errorf("%w for %v, with %d replicas connected", ErrStuck, d.Round(time.Second), s.sw.Peers().Size())
			}
		case <-s.ctx.Done():
			return sm.State{}, nil, fmt.Errorf("restoring a snapshot: %w", s.failure())
		}
	}
}

func (s *syncer) touch() { now := time.Now(); s.active.Store(&now) }

func (s *syncer) failure() error { return context.Cause(s.ctx) }

// What follows are CometBFT's interfaces: the source of trust, and the App.

// AppHash implements statesync.StateProvider. It waits for the two blocks after the snapshot, which State needs as well.
func (s *syncer) AppHash(ctx context.Context, height uint64) ([]byte, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	s.opts.Progress("checking the votes of block %d", height+1)
	var hash []byte
	for h := int64(height); h <= int64(height)+2; h++ {
		b, err := s.chain.at(ctx, h)
		if err != nil {
			s.node.log.Warn("a snapshot is passed over", "height", height, "err", err)
			return nil, err
		}
		if h == int64(height)+1 {
			hash = b.AppHash
		}
	}
	return hash, nil
}

// bounded ends with either context.
func (s *syncer) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// Commit implements statesync.StateProvider.
func (s *syncer) Commit(ctx context.Context, height uint64) (*types.Commit, error) {
	b, err := s.chain.at(ctx, int64(height))
	if err != nil {
		return nil, err
	}
	return b.Commit, nil
}

// State implements statesync.StateProvider: what CometBFT knows after the block of a height.
func (s *syncer) State(ctx context.Context, height uint64) (sm.State, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	var b [3]*types.LightBlock // the last, the current, the next
	for i := range b {
		var err error
		if b[i], err = s.chain.at(ctx, int64(height)+int64(i)); err != nil {
			return sm.State{}, err
		}
	}
	return sm.State{ChainID: s.node.cfg.ChainID, InitialHeight: int64(s.node.cfg.Base) + 1,
		Version:         cmtstate.Version{Consensus: cmtversion.Consensus{Block: b[1].Version.Block, App: b[1].Version.App}, Software: version.TMCoreSemVer},
		LastBlockHeight: b[0].Height, LastBlockTime: b[0].Time, LastBlockID: b[0].Commit.BlockID,
		AppHash: b[1].AppHash, LastResultsHash: b[1].LastResultsHash,
		LastValidators: b[0].ValidatorSet, Validators: b[1].ValidatorSet, NextValidators: b[2].ValidatorSet,
		LastHeightValidatorsChanged: b[2].Height, ConsensusParams: s.params, LastHeightConsensusParamsChanged: b[1].Height}, nil
}

// Error implements proxy.AppConnSnapshot and proxy.AppConnQuery.
func (s *syncer) Error() error { return nil }

// ListSnapshots implements proxy.AppConnSnapshot: this replica has none.
func (s *syncer) ListSnapshots(context.Context, *abci.RequestListSnapshots) (*abci.ResponseListSnapshots, error) {
	return &abci.ResponseListSnapshots{}, nil
}

// LoadSnapshotChunk implements proxy.AppConnSnapshot.
func (s *syncer) LoadSnapshotChunk(context.Context, *abci.RequestLoadSnapshotChunk) (*abci.ResponseLoadSnapshotChunk, error) {
	return &abci.ResponseLoadSnapshotChunk{}, nil
}

// OfferSnapshot implements proxy.AppConnSnapshot.
func (s *syncer) OfferSnapshot(_ context.Context, r *abci.RequestOfferSnapshot) (*abci.ResponseOfferSnapshot, error) {
	s.touch()
	o := driver.Snapshot{Height: r.Snapshot.Height, Format: r.Snapshot.Format, Chunks: r.Snapshot.Chunks, Hash: r.Snapshot.Hash, Metadata: r.Snapshot.Metadata}
	clear(s.senders)
	s.offered, s.appHash, s.restored = o, bytes.Clone(r.AppHash), nil
	err := s.ctx.Err()
	if err == nil {
		err = s.app.Offer(o, s.appHash)
	}
	result := abci.ResponseOfferSnapshot_ACCEPT
	switch {
	case err == nil:
		s.opts.Progress("fetching the state of block %d: %d chunks", o.Height, o.Chunks)
	case errors.Is(err, driver.ErrSnapshotFormat):
		result = abci.ResponseOfferSnapshot_REJECT_FORMAT
	case errors.Is(err, driver.ErrSnapshot):
		result = abci.ResponseOfferSnapshot_REJECT_SENDER
	default:
		s.cancel(err)
		result = abci.ResponseOfferSnapshot_ABORT
	}
	if err != nil {
		s.node.log.Warn("a snapshot is refused", "height", o.Height, "err", err)
	}
	return &abci.ResponseOfferSnapshot{Result: result}, nil
}

// ApplySnapshotChunk implements proxy.AppConnSnapshot.
func (s *syncer) ApplySnapshotChunk(_ context.Context, r *abci.RequestApplySnapshotChunk) (*abci.ResponseApplySnapshotChunk, error) {
	err := s.ctx.Err()
	if err == nil {
		err = s.app.Chunk(r.Index, r.Chunk)
	}
	s.touch()
	if err != nil {
		s.node.log.Warn("a chunk of a snapshot is refused", "height", s.offered.Height, "chunk", r.Index, "sender", r.Sender, "err", err)
	}
	switch {
	case err == nil:
		s.senders[r.Sender] = true
		s.opts.Progress("block %d: chunk %d of %d", s.offered.Height, r.Index+1, s.offered.Chunks)
		if r.Index+1 == s.offered.Chunks { // the App has found the app hash
			s.restored = &abci.ResponseInfo{LastBlockHeight: int64(s.offered.Height), LastBlockAppHash: s.appHash}
		}
		return &abci.ResponseApplySnapshotChunk{Result: abci.ResponseApplySnapshotChunk_ACCEPT}, nil
	case errors.Is(err, driver.ErrSnapshotChunk):
		s.opts.Progress("block %d: chunk %d was wrong, asking another replica", s.offered.Height, r.Index+1)
		return &abci.ResponseApplySnapshotChunk{Result: abci.ResponseApplySnapshotChunk_RETRY, RefetchChunks: []uint32{r.Index},
			RejectSenders: []string{r.Sender}}, nil
	case errors.Is(err, driver.ErrSnapshot):
		s.opts.Progress("the snapshot of block %d is refused: %v", s.offered.Height, err)
		res := &abci.ResponseApplySnapshotChunk{Result: abci.ResponseApplySnapshotChunk_REJECT_SNAPSHOT, RejectSenders: []string{r.Sender}}
		for sender := range s.senders {
			res.RejectSenders = append(res.RejectSenders, sender)
		}
		return res, nil
	}
	s.cancel(err)
	return &abci.ResponseApplySnapshotChunk{Result: abci.ResponseApplySnapshotChunk_ABORT}, nil
}

// Echo implements proxy.AppConnQuery.
func (s *syncer) Echo(_ context.Context, msg string) (*abci.ResponseEcho, error) {
	return &abci.ResponseEcho{Message: msg}, nil
}

// Query implements proxy.AppConnQuery.
func (s *syncer) Query(context.Context, *abci.RequestQuery) (*abci.ResponseQuery, error) {
	return &abci.ResponseQuery{}, nil
}

// Info implements proxy.AppConnQuery: CometBFT asks what the App holds now.
func (s *syncer) Info(context.Context, *abci.RequestInfo) (*abci.ResponseInfo, error) {
	if s.restored == nil {
		return &abci.ResponseInfo{}, nil
	}
	return s.restored, nil
}

// bootstrap makes the stores from which a node goes on after a block.
func bootstrap(cfg Config, state sm.State, commit *types.Commit) (err error) {
	if err := ensureSignState(cfg, state); err != nil {
		return err
	}
	dir := filepath.Join(cfg.Home, "data")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("creating the consensus directory: %w", err)
	}
	open := func(name string) (dbm.DB, error) {
		db, err := dbm.NewGoLevelDB(name, dir)
		if err != nil {
			return nil, fmt.Errorf("making consensus's stores in %s: %w", dir, err)
		}
		return db, nil
	}
	states, err := open("state")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, states.Close()) }()
	blocks, err := open("blockstore")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, blocks.Close()) }()
	if err := sm.NewStore(states, sm.StoreOptions{DiscardABCIResponses: true}).Bootstrap(state); err != nil {
		return fmt.Errorf("making consensus's stores in %s: %w", dir, err)
	}
	if err := cmtstore.NewBlockStore(blocks).SaveSeenCommit(state.LastBlockHeight, commit); err != nil {
		return fmt.Errorf("making consensus's stores in %s: %w", dir, err)
	}
	// The commit was written without a sync; a synced write behind it takes it along.
	if err := blocks.SetSync([]byte("synced"), []byte{1}); err != nil {
		return fmt.Errorf("making consensus's stores in %s: %w", dir, err)
	}
	return nil
}

// ensureSignState makes the sign state of a key that never was a validator's, and refuses to make one for a validator.
func ensureSignState(cfg Config, state sm.State) error {
	if _, err := os.Stat(cfg.SignState); !errors.Is(err, fs.ErrNotExist) {
		_, err := OpenSigner(cfg.ValidatorKey, cfg.SignState, false)
		return err
	}
	address := cmted25519.PubKey(cfg.ValidatorKey.Public().(stded25519.PublicKey)).Address()
	for _, set := range []*types.ValidatorSet{state.LastValidators, state.Validators, state.NextValidators} {
		if set.HasAddress(address) {
			return fmt.Errorf("%w: %s is missing, and this replica is a validator: its key may have signed what is not remembered; "+
				"restore the file, or replace the node by one with new keys", ErrSignState, cfg.SignState)
		}
	}
	_, err := OpenSigner(cfg.ValidatorKey, cfg.SignState, true)
	return err
}

// resume lets a node start between Sync and its first block: CometBFT forgets at the first start after a sync that there are no blocks
// below, whether or not it got further.
func resume(blocks, states dbm.DB) error {
	store := sm.NewStore(states, sm.StoreOptions{DiscardABCIResponses: true})
	state, err := store.Load()
	if err != nil || state.IsEmpty() || state.LastBlockHeight == 0 {
		return err
	}
	if cmtstore.NewBlockStore(blocks).Height() > 0 {
		return nil
	}
	return store.SetOfflineStateSyncHeight(state.LastBlockHeight)
}

var _ statesync.StateProvider = (*syncer)(nil)
