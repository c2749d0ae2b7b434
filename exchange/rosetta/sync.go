package rosetta

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/coinbase/rosetta-sdk-go/types"

	"fusion/ckledger/icrc"
	"fusion/exchange/reader"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/codec"

	"github.com/cockroachdb/pebble/v2"
)

// source is a ledger as *reader.Reader reads it.
type source interface {
	Tip(ctx context.Context) (reader.Tip, error)
	Blocks(ctx context.Context, from uint64, n int) ([]reader.Block, error)
	Metadata(ctx context.Context) (reader.Token, error)
}

const (
	// perBatch is how many blocks are fetched and staged at a time.
	perBatch = 1000
	// maxWait is the longest wait after a failure.
	maxWait = 30 * time.Second
)

// token is what does not change in a ledger's life; a store is of one token.
type token struct {
	Symbol   string `cbor:"s"`
	Decimals uint8  `cbor:"d"`
	Minting  []byte `cbor:"m"` // key of the account
}

// ledger is one network of the API.
type ledger struct {
	id       principal.Principal
	source   source
	books    *books
	minting  icrc.Account
	currency *types.Currency

	// head is what requests are answered from; target is the last certified tip that was seen, plus one.
	head     atomic.Pointer[head]
	target   atomic.Uint64
	failures atomic.Uint64
	// forked says why nothing more is served.
	forked atomic.Pointer[string]
}

// open reads what is stored and, the first time, asks the ledger what its token is.
func (l *ledger) open(ctx context.Context) error {
	h, err := l.books.head()
	if err != nil {
		return err
	}
	l.head.Store(&h)
	l.target.Store(h.Staged)
	b, err := get(l.books.db, l.books.key(keyToken))
	if err != nil {
		return err
	}
	var t token
	if b == nil {
		meta, err := l.source.Metadata(ctx)
		if err != nil {
			return fmt.Errorf("asking ledger %s for its token: %w", l.id, err)
		}
		t = token{Symbol: meta.Symbol, Decimals: meta.Decimals}
		if t.Minting, err = meta.Minting.AppendKey(nil); err != nil {
			return fmt.Errorf("minting account of ledger %s: %w", l.id, err)
		}
		if err := l.books.db.Set(l.books.key(keyToken), codec.Marshal(t), pebble.Sync); err != nil {
			return err
		}
	} else if err := codec.Unmarshal(b, &t); err != nil {
		return fmt.Errorf("%w: token of ledger %s: %w", ErrStore, l.id, err)
	}
	if l.minting, _, err = icrc.ReadKey(t.Minting); err != nil {
		return fmt.Errorf("%w: minting account of ledger %s: %w", ErrStore, l.id, err)
	}
	l.currency = &types.Currency{Symbol: t.Symbol, Decimals: int32(t.Decimals)}
	return nil
}

// step brings the books to the tip that is certified now.
func (l *ledger) step(ctx context.Context) error {
	tip, err := l.source.Tip(ctx)
	if errors.Is(err, reader.ErrEmpty) && l.head.Load().Proven == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	l.target.Store(max(tip.Index+1, l.head.Load().Proven))
	for {
		h, err := l.books.head()
		if err != nil {
			return err
		}
		if h.Staged > tip.Index {
			break
		}
		n := int(min(perBatch, tip.Index+1-h.Staged))
		blocks, err := l.source.Blocks(ctx, h.Staged, n)
		if err != nil {
			return err
		}
		if len(blocks) == 0 {
			return fmt.Errorf("%w: block %d of %d does not come", ErrBlocks, h.Staged, tip.Index+1)
		}
		if err := l.books.stage(blocks); err != nil {
			return l.contradiction(ctx, tip, err)
		}
	}
	h, err := l.books.prove(tip)
	if err != nil {
		return l.contradiction(ctx, tip, err)
	}
	l.head.Store(&h)
	return nil
}

// contradiction decides what a block means that does not fit. Unless the certified log itself has left what is proven, somebody lied about
// what is staged, and it goes.
func (l *ledger) contradiction(ctx context.Context, tip reader.Tip, cause error) error {
	if !errors.Is(cause, ErrBlocks) {
		return cause
	}
	if err := l.books.unstage(); err != nil {
		return errors.Join(cause, err)
	}
	h, err := l.books.head()
	if err != nil || h.Proven == 0 || tip.Index < h.Proven {
		return errors.Join(cause, err)
	}
	// Whether the block after the last proven one is the certified log's is known once all up to the tip link; nothing is kept on the way.
	var first, last *reader.Block
	for next := h.Proven; next <= tip.Index; next = last.Index + 1 {
		blocks, err := l.source.Blocks(ctx, next, int(min(perBatch, tip.Index+1-next)))
		if err != nil || len(blocks) == 0 {
			return errors.Join(cause, err)
		}
		if first == nil {
			first = &blocks[0]
		} else if p := blocks[0].Parent; p == nil || *p != last.Hash {
			return cause
		}
		last = &blocks[len(blocks)-1]
	}
	if last.Hash == tip.Hash && (first.Parent == nil || string(first.Parent[:]) != string(h.ProvenHash)) {
		return fmt.Errorf("%w: block %d does not follow %x", ErrFork, h.Proven, h.ProvenHash)
	}
	return cause
}

// follow keeps the books up to date until ctx ends or the ledger contradicts its past.
func (s *Server) follow(ctx context.Context, l *ledger) error {
	wait := s.cfg.Interval
	for {
		err := l.step(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrFork):
			text := err.Error()
			l.forked.Store(&text)
			s.cfg.Log.Error("the ledger contradicts its past; it is not served any more", "ledger", l.id.String(), "err", err)
			return nil
		case err != nil:
			l.failures.Add(1)
			s.cfg.Log.Warn("reading the ledger failed; trying again", "ledger", l.id.String(), "wait", wait, "err", err)
			wait = min(2*wait, max(maxWait, s.cfg.Interval))
		default:
			wait = s.cfg.Interval
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// fee asks the ledger for its fee, and asks again when the replica fails.
func (s *Server) fee(ctx context.Context, l *ledger) (icrc.Amount, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var n candid.Nat
	for {
		err := s.cfg.Agent.Ask(ctx, l.id, "icrc1_fee", []any{}, []any{&n})
		if err == nil {
			break
		}
		if !again(ctx, err) {
			return icrc.Amount{}, err
		}
	}
	v, ok := icrc.AmountOfNat(n)
	if !ok {
		return v, fmt.Errorf("the fee of ledger %s has more than 256 bits", l.id)
	}
	return v, nil
}
