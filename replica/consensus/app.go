package consensus

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/types"

	"fusion/replica/consensus/driver"
)

// abciApp is a driver.App in CometBFT's terms.
type abciApp struct {
	abci.BaseApplication
	app            driver.App
	base           uint64 // height of the App before the first block
	log            *slog.Logger
	roll           roll
	prepareTimeout time.Duration
	height         atomic.Uint64 // committed
	committed      func(height uint64)
	misconduct     func(node int, what Misconduct)
	broken         func(error) // is told why a block could not be executed or committed
	self           int
	pending        uint64

	mu      sync.Mutex
	members map[p2p.ID]bool // by the address of their node key; false while Disconnect holds
	voters  atomic.Int64    // how many validators there are
}

func (a *abciApp) setBlocked(id p2p.ID, blocked bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.members[id]; ok {
		a.members[id] = !blocked
	}
}

// setMember lets a peer in, or out. One that is in stays as it is.
func (a *abciApp) setMember(id p2p.ID, in bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.members[id]; ok != in {
		if a.members[id] = true; !in {
			delete(a.members, id)
		}
	}
}

func (a *abciApp) allowed(id p2p.ID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.members[id]
}

// guard turns a panic of the App into an error.
func guard(what string, err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("panic while %s: %v\n%s", what, r, debug.Stack())
	}
}

func (a *abciApp) failed(err error) {
	if err != nil && a.broken != nil {
		a.broken(err)
	}
}

func (a *abciApp) Info(context.Context, *abci.RequestInfo) (*abci.ResponseInfo, error) {
	height, hash := a.app.Info()
	a.height.Store(height)
	if height <= a.base { // CometBFT knows of no height before its first block
		return &abci.ResponseInfo{}, nil
	}
	return &abci.ResponseInfo{LastBlockHeight: int64(height), LastBlockAppHash: hash}, nil
}

func (a *abciApp) InitChain(_ context.Context, r *abci.RequestInitChain) (res *abci.ResponseInitChain, err error) {
	defer guard("initialising the chain", &err)
	hash, err := a.app.InitChain(uint64(r.Time.UnixNano()))
	if err != nil {
		return nil, fmt.Errorf("initialising the chain: %w", err)
	}
	return &abci.ResponseInitChain{AppHash: hash}, nil
}

func (a *abciApp) PrepareProposal(ctx context.Context, r *abci.RequestPrepareProposal) (*abci.ResponsePrepareProposal, error) {
	ctx, cancel := context.WithTimeout(ctx, a.prepareTimeout)
	defer cancel()
	p := driver.Proposal{Height: uint64(r.Height), TimeNs: uint64(r.Time.UnixNano()), MaxBytes: int(r.MaxTxBytes)}
	txs, err := a.prepare(ctx, p)
	if err != nil {
		a.log.Error("proposing an empty block", "height", r.Height, "err", err)
		txs = nil
	}
	// A proposal that is too large stops consensus, so it must not leave here.
	if size := types.ComputeProtoSizeForTxs(types.ToTxs(txs)); size > r.MaxTxBytes {
		a.log.Error("proposing an empty block: the proposal is too large", "height", r.Height, "bytes", size, "max", r.MaxTxBytes)
		txs = nil
	}
	return &abci.ResponsePrepareProposal{Txs: txs}, nil
}

func (a *abciApp) prepare(ctx context.Context, p driver.Proposal) (txs [][]byte, err error) {
	defer guard("preparing a proposal", &err)
	return a.app.Prepare(ctx, p), nil
}

func (a *abciApp) ProcessProposal(_ context.Context, r *abci.RequestProcessProposal) (*abci.ResponseProcessProposal, error) {
	b := a.roll.block(r.Height, r.Time, r.ProposerAddress, r.ProposedLastCommit.Round, r.Txs)
	if err := a.process(b); err != nil {
		a.log.Warn("proposal refused", "height", b.Height, "proposer", b.Proposer, "err", err)
		if b.Proposer >= 0 && b.Proposer != a.self {
			a.misconduct(b.Proposer, BadProposal)
		}
		return &abci.ResponseProcessProposal{Status: abci.ResponseProcessProposal_REJECT}, nil
	}
	return &abci.ResponseProcessProposal{Status: abci.ResponseProcessProposal_ACCEPT}, nil
}

func (a *abciApp) process(b driver.Block) (err error) {
	defer guard("checking a proposal", &err)
	return a.app.Process(b)
}

func (a *abciApp) FinalizeBlock(_ context.Context, r *abci.RequestFinalizeBlock) (res *abci.ResponseFinalizeBlock, err error) {
	defer func() { a.failed(err) }()
	defer guard("executing a block", &err)
	b := a.roll.block(r.Height, r.Time, r.ProposerAddress, r.DecidedLastCommit.Round, r.Txs)
	hash, err := a.app.Finalize(b)
	if err != nil {
		return nil, fmt.Errorf("executing block %d: %w", b.Height, err)
	}
	a.pending = b.Height
	for _, m := range r.Misbehavior {
		node, ok := a.roll.nodes[string(m.Validator.Address)]
		if m.Type != abci.MisbehaviorType_DUPLICATE_VOTE || !ok {
			continue
		}
		a.log.Warn("a node voted twice", "node", node, "height", m.Height)
		a.misconduct(node, DoubleVote)
	}
	res = &abci.ResponseFinalizeBlock{AppHash: hash, TxResults: make([]*abci.ExecTxResult, len(r.Txs))}
	changes, err := a.elect()
	if err != nil {
		return nil, fmt.Errorf("executing block %d: %w", b.Height, err)
	}
	for _, change := range changes {
		for _, v := range change {
			res.ValidatorUpdates = append(res.ValidatorUpdates, abci.Ed25519ValidatorUpdate(v.PubKey.Bytes(), v.VotingPower))
		}
	}
	for i := range res.TxResults {
		res.TxResults[i] = &abci.ExecTxResult{} // results are part of the App's state, not of CometBFT's
	}
	return res, nil
}

// elect takes over what the App's state says of the validators, and returns what is new.
func (a *abciApp) elect() ([][]*types.Validator, error) {
	e, ok := a.app.(driver.Electorate)
	if !ok {
		return nil, nil
	}
	changes, err := a.roll.extend(e.Eras())
	a.voters.Store(int64(len(a.roll.eras[len(a.roll.eras)-1].nodes)))
	return changes, err
}

func (a *abciApp) Commit(context.Context, *abci.RequestCommit) (res *abci.ResponseCommit, err error) {
	defer func() { a.failed(err) }()
	defer guard("committing a block", &err)
	retain, err := a.app.Commit()
	if err != nil {
		return nil, fmt.Errorf("committing block %d: %w", a.pending, err)
	}
	a.height.Store(a.pending)
	a.committed(a.pending)
	return &abci.ResponseCommit{RetainHeight: int64(min(retain, a.pending))}, nil
}

// ListSnapshots offers the App's snapshots to peers that join.
func (a *abciApp) ListSnapshots(context.Context, *abci.RequestListSnapshots) (*abci.ResponseListSnapshots, error) {
	res := &abci.ResponseListSnapshots{}
	if app, ok := a.app.(driver.Snapshots); ok {
		for _, s := range app.Snapshots() {
			res.Snapshots = append(res.Snapshots, &abci.Snapshot{Height: s.Height, Format: s.Format, Chunks: s.Chunks, Hash: s.Hash, Metadata: s.Metadata})
		}
	}
	return res, nil
}

// LoadSnapshotChunk gives a peer a chunk of one.
func (a *abciApp) LoadSnapshotChunk(_ context.Context, r *abci.RequestLoadSnapshotChunk) (*abci.ResponseLoadSnapshotChunk, error) {
	app, ok := a.app.(driver.Snapshots)
	if !ok {
		return &abci.ResponseLoadSnapshotChunk{}, nil
	}
	chunk, err := app.SnapshotChunk(r.Height, r.Format, r.Chunk)
	if err != nil {
		a.log.Warn("a snapshot's chunk cannot be given out", "height", r.Height, "chunk", r.Chunk, "err", err)
	}
	return &abci.ResponseLoadSnapshotChunk{Chunk: chunk}, nil
}

// Query answers the peer filter, the only thing CometBFT asks with its RPC off.
func (a *abciApp) Query(_ context.Context, r *abci.RequestQuery) (*abci.ResponseQuery, error) {
	if id, ok := strings.CutPrefix(r.Path, "/p2p/filter/id/"); ok && !a.allowed(p2p.ID(id)) {
		return &abci.ResponseQuery{Code: 1, Log: "not a member, or disconnected"}, nil
	}
	return &abci.ResponseQuery{}, nil
}
