package consensus

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	dbm "github.com/cometbft/cometbft-db"
	cmtstore "github.com/cometbft/cometbft/store"
	"github.com/cometbft/cometbft/types"

	"fusion/replica/consensus/driver"
)

// Errors of Blocks.
var (
	ErrNoBlocks = errors.New("no blocks are stored")
	ErrBroken   = errors.New("the stored blocks do not hold up")
)

// Blocks reads the blocks that a stopped node has stored, and checks what binds them: the hash chain and the votes of more than
// two thirds under each block.
type Blocks struct {
	db      dbm.DB
	store   *cmtstore.BlockStore
	chainID string
	roll    roll
}

// OpenBlocks opens the blocks in a node's home directory. No node may run on it. Of cfg, Home, ChainID, Base and Members are used.
func OpenBlocks(cfg Config) (*Blocks, error) {
	cfg = cfg.withDefaults()
	dir := filepath.Join(cfg.Home, "data")
	if _, err := os.Stat(filepath.Join(dir, "blockstore.db")); err != nil {
		return nil, fmt.Errorf("%w in %s: %w", ErrNoBlocks, dir, err)
	}
	db, err := dbm.NewGoLevelDB("blockstore", dir)
	if err != nil {
		return nil, fmt.Errorf("opening the blocks in %s: %w (is the replica stopped?)", dir, err)
	}
	b := &Blocks{db: db, store: cmtstore.NewBlockStore(db), chainID: cfg.ChainID, roll: rollOf(cfg.Members, cfg.Base)}
	return b, nil
}

// Elect tells how the validators changed, as far as blocks that were read say it (driver.Electorate).
func (b *Blocks) Elect(eras []driver.Era) error {
	_, err := b.roll.extend(eras)
	return err
}

// Close releases the files.
func (b *Blocks) Close() error { return b.db.Close() }

// Range is the first and the last stored height, both 0 when there is none.
func (b *Blocks) Range() (first, last uint64) {
	return uint64(b.store.Base()), uint64(b.store.Height())
}

// Read returns the block of a height and the hash of the state before it, which its header carries.
func (b *Blocks) Read(height uint64) (block driver.Block, before []byte, err error) {
	h := int64(height)
	meta, stored := b.store.LoadBlockMeta(h), b.store.LoadBlock(h)
	if meta == nil || stored == nil {
		return block, nil, fmt.Errorf("%w: block %d is missing", ErrBroken, height)
	}
	if err := stored.ValidateBasic(); err != nil {
		return block, nil, fmt.Errorf("%w: block %d: %w", ErrBroken, height, err)
	}
	if got := stored.Hash(); !bytes.Equal(got, meta.BlockID.Hash) {
		return block, nil, fmt.Errorf("%w: block %d has hash %X, its index says %X", ErrBroken, height, got, meta.BlockID.Hash)
	}
	if prev := b.store.LoadBlockMeta(h - 1); prev != nil && !prev.BlockID.Equals(stored.LastBlockID) {
		return block, nil, fmt.Errorf("%w: block %d does not follow block %d", ErrBroken, height, height-1)
	}
	commit := b.store.LoadBlockCommit(h)
	if commit == nil {
		commit = b.store.LoadSeenCommit(h) // of the last block
	}
	if commit == nil {
		return block, nil, fmt.Errorf("%w: block %d has no votes", ErrBroken, height)
	}
	if err := types.VerifyCommitLight(b.chainID, b.roll.at(h), meta.BlockID, h, commit); err != nil {
		return block, nil, fmt.Errorf("%w: votes of block %d: %w", ErrBroken, height, err)
	}
	txs := make([][]byte, len(stored.Data.Txs))
	for i, tx := range stored.Data.Txs {
		txs[i] = tx
	}
	return b.roll.block(h, stored.Time, stored.ProposerAddress, stored.LastCommit.Round, txs), stored.AppHash, nil
}
