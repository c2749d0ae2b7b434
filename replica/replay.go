package replica

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"fusion/btc/utxo"
	"fusion/replica/consensus"
	"fusion/replica/machine"
	"fusion/replica/state"
)

// Errors of Replay.
var (
	// ErrDiffers means that a block's execution gave another state than the one the network voted for.
	ErrDiffers = errors.New("the replayed state differs")
	// ErrPruned means that the blocks do not reach back to the genesis.
	ErrPruned = errors.New("the first blocks are not stored any more")
)

// Replayed is what Replay has shown.
type Replayed struct {
	Blocks   uint64 // executed, from the first one
	Messages int    // canister messages executed in them
	AppHash  string // hex, after the last block
}

// Replay executes the blocks of a stopped replica again, from the genesis document and, where that names a UTXO snapshot, files, and compares the state after each
// with the hash that the next block's header carries and more than two thirds of the replicas have signed. At the end it compares with
// the replica's own state. The new state is made in a directory beside the old one and removed. Of opts, Shared.Engine and Log are used;
// progress, if not nil, is told each height.
func Replay(ctx context.Context, cfg Config, opts Options, files *UTXOFiles, progress func(height, last uint64)) (out Replayed, err error) {
	cfg.EnsureDefaults()
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if progress == nil {
		progress = func(uint64, uint64) {}
	}
	r := &Replica{cfg: cfg, opts: opts, log: opts.Log}
	if err := r.identify(); err != nil {
		return out, err
	}
	if r.doc.Bitcoin != nil && r.doc.Bitcoin.Snapshot != nil && files == nil {
		return out, fmt.Errorf("%w: the genesis document begins with one, of block %s; a replay needs the files that fusion replica import-utxos was given",
			utxo.ErrSnapshotMissing, r.doc.Bitcoin.Snapshot.Block)
	}
	if r.recovered != nil {
		return out, fmt.Errorf("%w in %s: the subnet was restored from a backup of block %d, and a replay starts at block 1", ErrPruned, cfg.Dir, r.recovered.Height)
	}
	blocks, err := consensus.OpenBlocks(consensus.Config{Home: filepath.Join(cfg.Dir, consensusDir), ChainID: r.doc.ChainID, Members: r.founders()})
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, blocks.Close()) }()
	first, last := blocks.Range()
	switch {
	case last == 0:
		return out, fmt.Errorf("%w in %s: let the replica run first", consensus.ErrNoBlocks, cfg.Dir)
	case first != 1:
		return out, fmt.Errorf("%w in %s: blocks %d to %d are there, and a replay starts at block 1", ErrPruned, cfg.Dir, first, last)
	}
	if opts.Shared.Engine == nil {
		e, err := NewEngine(filepath.Join(cfg.Dir, cacheDir))
		if err != nil {
			return out, err
		}
		defer func() { err = errors.Join(err, e.Close()) }()
		opts.Shared.Engine = e
	}
	dir, err := os.MkdirTemp(cfg.Dir, "replay-")
	if err != nil {
		return out, fmt.Errorf("making a directory for the replayed state: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if files != nil {
		if err := importCoins(ctx, r.doc, dir, *files, nil); err != nil {
			return out, fmt.Errorf("beginning a replay with a UTXO snapshot: %w", err)
		}
	}
	db, err := state.Open(dir, state.Options{Network: r.doc.Hash(), NoSync: true})
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	m, err := machine.Open(machine.Config{Genesis: r.doc, Engine: opts.Shared.Engine, Log: r.log}, db)
	if err != nil {
		return out, err
	}
	defer m.Close()
	genesis := r.doc.Hash()
	hash := genesis[:]
	for h := first; h <= last; h++ {
		if err := ctx.Err(); err != nil {
			return out, fmt.Errorf("replaying block %d of %d: %w", h, last, err)
		}
		if err := blocks.Elect(m.Eras()); err != nil {
			return out, err
		}
		b, before, err := blocks.Read(h)
		if err != nil {
			return out, err
		}
		if !bytes.Equal(before, hash) {
			return out, fmt.Errorf("%w: before block %d it is %x, and the network has signed %x", ErrDiffers, h, hash, before)
		}
		res, err := m.Step(b)
		if err != nil {
			return out, fmt.Errorf("replaying block %d: %w", h, err)
		}
		if err := m.Commit(); err != nil {
			return out, fmt.Errorf("replaying block %d: %w", h, err)
		}
		hash = bytes.Clone(res.AppHash[:])
		out.Blocks++
		out.Messages += res.Messages
		progress(h, last)
	}
	out.AppHash = hex.EncodeToString(hash)
	return out, r.compare(last, hash)
}

// compare sets the replayed state against the replica's own, which may lack the last block after a crash.
func (r *Replica) compare(height uint64, hash []byte) error {
	db, err := state.Open(filepath.Join(r.cfg.Dir, stateDir), state.Options{Network: r.doc.Hash()})
	if err != nil {
		return err
	}
	head := db.Head()
	if err := db.Close(); err != nil {
		return err
	}
	if head.Height == height && !bytes.Equal(head.AppHash[:], hash) {
		return fmt.Errorf("%w: after block %d it is %x, and %s holds %x", ErrDiffers, height, hash, r.cfg.Dir, head.AppHash)
	}
	return nil
}
