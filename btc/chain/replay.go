package chain

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/big"

	"fusion/btc"
	"fusion/internal/kv"
)

// ErrReplay means that a file of headers does not lead to the block that it should.
var ErrReplay = errors.New("headers do not lead to the block")

// Replay checks a chain of headers, 80 bytes each, from the block after params' base (or from the last base header itself) up to a block, with
// all rules but that of the future. It returns params that begin there: the base reaches back over the difficulty period before the block's, so that
// all rules hold from there on. Headers after the block are not read.
func Replay(params Params, r io.Reader, height uint32, block btc.Hash) (Params, error) {
	params.MaxHeaders = 8
	store := kv.NewMem()
	t, err := Open(params, store)
	if err != nil {
		return params, err
	}
	keep := uint32(2*retargetInterval + medianSpan)
	in := bufio.NewReaderSize(r, 1<<16)
	var raw [btc.HeaderSize]byte
	for t.anchor.Height < height {
		if _, err := io.ReadFull(in, raw[:]); err != nil {
			return params, fmt.Errorf("%w %v at height %d: they end after height %d: %w", ErrReplay, block, height, t.anchor.Height, err)
		}
		h, err := btc.ParseHeader(raw[:])
		if err != nil {
			return params, err
		}
		if h.Hash() == t.anchor.Hash && t.anchor.Height == params.BaseHeight+uint32(len(params.Base))-1 {
			continue // the file begins with the base
		}
		n, err := t.Verify(h, t.anchor)
		if err != nil {
			return params, fmt.Errorf("header %d: %w", t.anchor.Height+1, err)
		}
		t.nodes[n.Hash] = n
		t.Advance(n)
		if n.Height >= keep {
			store.Delete(finalKey(n.Height - keep))
		}
	}
	if t.anchor.Hash != block {
		return params, fmt.Errorf("%w %v: at height %d they have %v", ErrReplay, block, height, t.anchor.Hash)
	}
	first := height
	for first > 0 && height-first+1 < keep {
		if _, ok := t.Final(first - 1); !ok {
			break
		}
		first--
	}
	out := t.params
	out.Base, out.BaseHeight, out.BaseWork, out.MaxHeaders = nil, first, new(big.Int).Set(t.anchor.Work), 0
	for at := first; at <= height; at++ {
		h, _ := t.Final(at)
		out.Base = append(out.Base, h)
	}
	return out, nil
}
