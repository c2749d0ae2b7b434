package reader

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// walk fetches the blocks [from, to) in stretches of the window, each linked in itself and to the one before, and shows them to visit.
func (r *Reader) walk(ctx context.Context, from, to uint64, visit func([]Block) error) error {
	var last [32]byte
	for start := from; start < to; {
		n := int(min(to-start, uint64(r.window())))
		blocks, err := r.fetch(ctx, start, n)
		if err != nil {
			return err
		}
		if len(blocks) < n {
			return fmt.Errorf("%w: the log ends at block %d, but there is one of %d", ErrChain, start+uint64(len(blocks)), to-1)
		}
		if p := blocks[0].Parent; start > from && *p != last {
			return fmt.Errorf("%w: block %d does not name the block before", ErrChain, start)
		}
		if err := visit(blocks); err != nil {
			return err
		}
		last, start = blocks[n-1].Hash, start+uint64(n)
	}
	return nil
}

func (r *Reader) window() int {
	if r.Window <= 0 || r.Window > MaxBlocks {
		return MaxBlocks
	}
	return r.Window
}

// parent is the hash that the block of a cursor must name.
func (c Cursor) fits(b *Block) bool {
	if b.Parent == nil {
		return c == Cursor{}
	}
	return *b.Parent == c.Hash
}

// hashes proves the blocks from one index up to the tip and returns the hash that the first of them names and the hash of the last block
// of each window. The blocks are kept if there is only one window of them.
func (r *Reader) hashes(ctx context.Context, from uint64, tip Tip) (first Block, marks [][32]byte, all []Block, err error) {
	err = r.walk(ctx, from, tip.Index+1, func(blocks []Block) error {
		if marks == nil {
			first, all = blocks[0], blocks
		} else {
			all = nil
		}
		marks = append(marks, blocks[len(blocks)-1].Hash)
		return nil
	})
	if err == nil && marks[len(marks)-1] != tip.Hash {
		err = fmt.Errorf("%w: block %d is not the certified one", ErrChain, tip.Index)
	}
	return first, marks, all, err
}

// Read visits the proven blocks from a cursor to the tip that is certified now, in order and at most Window at a time, and returns the
// cursor behind those that visit has accepted. There may be none.
func (r *Reader) Read(ctx context.Context, c Cursor, visit func([]Block) error) (Cursor, error) {
	tip, err := r.Tip(ctx)
	if errors.Is(err, ErrEmpty) && c == (Cursor{}) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	switch next := tip.Index + 1; {
	case next < c.Index:
		return c, fmt.Errorf("%w: its tip is block %d, the cursor is at %d", ErrBehind, tip.Index, c.Index)
	case next == c.Index && tip.Hash != c.Hash:
		return c, fmt.Errorf("%w: block %d is %x, not %x", ErrFork, tip.Index, tip.Hash, c.Hash)
	case next == c.Index:
		return c, nil
	}
	first, marks, all, err := r.hashes(ctx, c.Index, tip)
	if err != nil {
		return c, err
	}
	if !c.fits(&first) { // the tip has proven the block, so it is the cursor that is wrong
		return c, fmt.Errorf("%w: block %d does not follow %x", ErrFork, c.Index, c.Hash)
	}
	if all != nil {
		if err := visit(all); err != nil {
			return c, err
		}
		return all[len(all)-1].After(), nil
	}
	i := 0
	err = r.walk(ctx, c.Index, tip.Index+1, func(blocks []Block) error {
		last := &blocks[len(blocks)-1]
		if !c.fits(&blocks[0]) || last.Hash != marks[i] {
			return fmt.Errorf("%w: blocks %d to %d are not those of a moment ago", ErrChain, c.Index, last.Index)
		}
		if err := visit(blocks); err != nil {
			return err
		}
		c = last.After()
		i++
		return nil
	})
	return c, err
}

// At is the cursor at an index: it proves the hash of the block before, reading from there to the tip.
func (r *Reader) At(ctx context.Context, index uint64) (Cursor, error) {
	if index == 0 {
		return Cursor{}, nil
	}
	tip, err := r.Tip(ctx)
	if err != nil {
		return Cursor{}, err
	}
	if index > tip.Index+1 {
		return Cursor{}, fmt.Errorf("%w: its tip is block %d, the cursor would be at %d", ErrBehind, tip.Index, index)
	}
	if index == tip.Index+1 {
		return tip.After(), nil
	}
	first, _, _, err := r.hashes(ctx, index, tip)
	if err != nil {
		return Cursor{}, err
	}
	return Cursor{Index: index, Hash: *first.Parent}, nil
}

// maxRetry is the longest wait of Follow after a failure.
const maxRetry = 30 * time.Second

// Follow is Read that goes on as the ledger grows, until ctx ends, visit fails or the ledger contradicts the cursor (ErrFork). It retries
// what else fails: networks heal, and a replica that lies holds up who asks it but gets nothing believed.
func (r *Reader) Follow(ctx context.Context, c Cursor, visit func([]Block) error) error {
	wait := r.Interval
	for {
		var stop error
		next, err := r.Read(ctx, c, func(blocks []Block) error {
			stop = visit(blocks)
			return stop
		})
		c = next
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case stop != nil:
			return stop
		case errors.Is(err, ErrFork):
			return err
		case err != nil:
			r.Log.Warn("reading the ledger failed; trying again", "ledger", r.ledger.String(), "wait", wait, "err", err)
			wait = min(max(2*wait, time.Millisecond), max(maxRetry, r.Interval))
		default:
			wait = r.Interval
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}
