package ethereum

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ethereum/go-ethereum/core/types"

	"fusion/eth"
	"fusion/eth/proof"
	"fusion/eth/rpc"
)

const (
	maxRange     = 10_000 // blocks of one verified query for logs
	headerBatch  = 50     // headers in one request
	maxHeaders   = 8192   // that are kept, of about 1 kB each
	keptReceipts = 8      // blocks whose receipts are kept: several queries look at the same block
)

// verifiers are the methods whose answers are checked against the chain.
var verifiers map[string]func(*Client, context.Context, rpc.Query) ([]byte, error)

func init() {
	verifiers = map[string]func(*Client, context.Context, rpc.Query) ([]byte, error){
		rpc.MethodGetLogs:          (*Client).verifiedLogs,
		rpc.MethodBlockByNumber:    (*Client).verifiedBlock,
		rpc.MethodReceipt:          (*Client).verifiedReceipt,
		rpc.MethodBalance:          (*Client).verifiedAccount,
		rpc.MethodTransactionCount: (*Client).verifiedAccount,
	}
}

// held is err, if any, as what does not hold against the chain.
func held(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrUnverified, err)
}

// headers remembers what was verified, within bounds.
type headers struct {
	mu       sync.Mutex
	byHash   map[eth.Hash]*rpc.Block
	age      []eth.Hash          // of byHash, oldest first
	final    map[uint64]eth.Hash // what is linked to a block that the beacon chain finalised
	most     int                 // of final
	receipts map[eth.Hash]*checked
	order    []eth.Hash // of receipts
}

// checked is what is known of a block beyond its header.
type checked struct {
	receipts []rpc.Receipt
	txs      types.Transactions // nil until somebody needs them
}

func newHeaders(most int) *headers {
	return &headers{byHash: map[eth.Hash]*rpc.Block{}, final: map[uint64]eth.Hash{}, most: most, receipts: map[eth.Hash]*checked{}}
}

func (h *headers) get(hash eth.Hash) *rpc.Block {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.byHash[hash]
}

func (h *headers) put(b *rpc.Block) {
	kept := *b
	kept.Transactions, kept.Uncles = nil, nil // most of the size
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byHash[b.Hash] != nil {
		return
	}
	h.byHash[b.Hash] = &kept
	if h.age = append(h.age, b.Hash); len(h.age) > maxHeaders {
		delete(h.byHash, h.age[0])
		h.age = h.age[1:]
	}
}

// setFinal notes a finalised block's hash. Another hash at the same height cannot be.
func (h *headers) setFinal(n uint64, hash eth.Hash) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old, ok := h.final[n]; ok && old != hash {
		return fmt.Errorf("%w: block %d is final as %s and as %s", ErrUnverified, n, old, hash)
	}
	if len(h.final) >= h.most { // rare: all that is known can be linked again
		clear(h.final)
	}
	h.final[n] = hash
	return nil
}

// finalAbove is the lowest known final block that is not below n.
func (h *headers) finalAbove(n, most uint64) (uint64, eth.Hash, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k := n; k <= most; k++ {
		if hash, ok := h.final[k]; ok {
			return k, hash, true
		}
	}
	return 0, eth.Hash{}, false
}

func (h *headers) block(hash eth.Hash) *checked {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.receipts[hash]
}

func (h *headers) setBlock(hash eth.Hash, c *checked) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.receipts[hash]; !ok {
		if h.order = append(h.order, hash); len(h.order) > keptReceipts {
			delete(h.receipts, h.order[0])
			h.order = h.order[1:]
		}
	}
	h.receipts[hash] = c
}

// anyone asks one provider after another until one gives what accept takes: what is proven needs no quorum.
func (c *Client) anyone(ctx context.Context, queries []rpc.Query, accept func([]rpc.Answer) error) error {
	var failed []error
	lied := false
	large := map[string]bool{} // operators
	for _, p := range c.order() {
		if ctx.Err() != nil {
			break
		}
		if !p.usable(true) {
			continue
		}
		answers, err := p.askAll(ctx, queries, c.cfg.MaxReceipts)
		if err == nil && len(queries) > 1 && answers[0].Err != nil && answers[0].Err.Kind == rpc.KindRPC && p.usable(false) { // some take no batches
			for i, q := range queries {
				if answers[i], err = p.ask(ctx, q, c.cfg.MaxReceipts); err != nil {
					break
				}
			}
		}
		if err == nil {
			for _, a := range answers {
				if a.Err != nil {
					if err = fmt.Errorf("provider %s: %w", p.host, a.Err); a.Err.Class() == rpc.ClassRange {
						err = fmt.Errorf("%w: %w", ErrTooLarge, err)
					}
					break
				}
			}
		}
		if err == nil {
			if err = accept(answers); err == nil {
				return nil
			}
			if errors.Is(err, ErrUnverified) {
				lied = true
				p.count(func(s *ProviderStats) { s.Unverified++ })
				p.fail(err)
			}
			err = fmt.Errorf("provider %s: %w", p.host, err)
			c.cfg.Log.Warn("an ethereum provider's answer does not hold", "method", queries[0].Method, "err", err)
		}
		if failed = append(failed, err); errors.Is(err, ErrTooLarge) {
			large[p.operator] = true
		}
	}
	why := ErrUnavailable
	switch {
	case len(large) >= c.cfg.Quorum: // fewer do not make anybody ask for less
		why = ErrTooLarge
	case lied:
		why = ErrUnverified
	default:
		c.count(func(s *Stats) { s.Unavailable++ })
	}
	return fmt.Errorf("%w: %s: %s", why, queries[0].Method, reasons(failed))
}

// anchor is the block of a number with what binds it to the chain: its hash links to a block that the beacon chain finalised, or, without a light client
// or above that, enough operators agree on it.
func (c *Client) anchor(ctx context.Context, n uint64) (*rpc.Block, error) {
	if c.cfg.Finality == nil {
		b, err := c.agreedBlock(ctx, n)
		if err == nil {
			c.headers.put(b)
		}
		return b, err
	}
	final, err := c.cfg.Finality.Finalized(ctx)
	if err != nil {
		return nil, err
	}
	if n > final.Number {
		b, err := c.agreedBlock(ctx, n)
		if err == nil {
			c.headers.put(b)
		}
		return b, err
	}
	if final.Number-n > c.cfg.MaxLink {
		return nil, fmt.Errorf("%w: block %d lies %d blocks below the finalised one: raise the limit of %d", ErrUnverified, n, final.Number-n, c.cfg.MaxLink)
	}
	if err := c.headers.setFinal(final.Number, final.Hash); err != nil {
		return nil, err
	}
	at, hash, ok := c.headers.finalAbove(n, final.Number)
	if !ok {
		at, hash = final.Number, final.Hash
	}
	for { // in steps, because the headers of days are many
		low := max(n, at-min(at, c.cfg.linkStep-1))
		chain, err := c.linked(ctx, low, at, hash)
		if err != nil {
			return nil, err
		}
		for _, b := range chain {
			if err := c.headers.setFinal(b.Number, b.Hash); err != nil {
				return nil, err
			}
		}
		if low == n {
			return chain[0], nil
		}
		at, hash = low-1, chain[0].ParentHash
	}
}

// linked is the verified headers from one number to another, of which the hash is known: each is the parent of the next.
func (c *Client) linked(ctx context.Context, from, to uint64, hash eth.Hash) ([]*rpc.Block, error) {
	out := make([]*rpc.Block, to-from+1)
	n := to
	for {
		for { // what is known already
			b := c.headers.get(hash)
			if b == nil {
				break
			}
			if b.Number != n {
				return nil, fmt.Errorf("%w: block %s has the number %d, not %d", ErrUnverified, hash, b.Number, n)
			}
			if out[n-from] = b; n == from {
				return out, nil
			}
			n, hash = n-1, b.ParentHash
		}
		// The missing ones below, in one request.
		low := max(from, n-min(n, headerBatch-1))
		var queries []rpc.Query
		for k := n; ; k-- {
			queries = append(queries, rpc.BlockByNumber(rpc.Number(k)))
			if k == low {
				break
			}
		}
		err := c.anyone(ctx, queries, func(answers []rpc.Answer) error {
			want := hash
			var blocks []*rpc.Block
			for i, a := range answers {
				b, err := rpc.ParseBlock(a.Result)
				if err != nil {
					return err
				}
				if b == nil {
					return fmt.Errorf("%w: %d", errNoBlock, n-uint64(i))
				}
				if err := held(proof.Header(b)); err != nil {
					return err
				}
				if b.Number != n-uint64(i) || b.Hash != want {
					return fmt.Errorf("%w: block %d is %s, but the next one's parent is %s", ErrUnverified, b.Number, b.Hash, want)
				}
				want = b.ParentHash
				b.Transactions, b.Uncles = nil, nil // of no use here, and most of the size
				blocks = append(blocks, b)
			}
			for _, b := range blocks {
				c.headers.put(b)
			}
			c.count(func(s *Stats) { s.Headers += uint64(len(blocks)) })
			for _, b := range blocks {
				out[b.Number-from] = b
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if low == from {
			return out, nil
		}
		n, hash = low-1, out[low-from].ParentHash
	}
}

// emptyRoot is that of a trie without leaves.
var emptyRoot = eth.Hash(types.EmptyReceiptsHash)

// receiptsOf is all receipts of a verified block.
func (c *Client) receiptsOf(ctx context.Context, b *rpc.Block) (*checked, error) {
	if known := c.headers.block(b.Hash); known != nil {
		return known, nil
	}
	out := &checked{}
	if b.ReceiptsRoot != emptyRoot {
		err := c.anyone(ctx, []rpc.Query{rpc.BlockReceipts(rpc.Number(b.Number))}, func(answers []rpc.Answer) error {
			receipts, ok, err := rpc.ParseReceipts(answers[0].Result)
			if err != nil {
				return err
			}
			if !ok {
				return fmt.Errorf("%w: %d", errNoBlock, b.Number)
			}
			if err := held(proof.Receipts(b, receipts)); err != nil {
				return err
			}
			out.receipts = receipts
			c.count(func(s *Stats) { s.Receipts += uint64(len(receipts)) })
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	c.headers.setBlock(b.Hash, out)
	return out, nil
}

// withTransactions adds what the receipts' root does not cover.
func (c *Client) withTransactions(ctx context.Context, b *rpc.Block, k *checked) (*checked, error) {
	if k.txs != nil {
		return k, nil
	}
	out := &checked{receipts: k.receipts}
	err := c.anyone(ctx, []rpc.Query{rpc.WholeBlock(rpc.Number(b.Number))}, func(answers []rpc.Answer) error {
		txs, err := proof.Transactions(b, answers[0].Result)
		if err != nil {
			return held(err)
		}
		if len(txs) != len(out.receipts) {
			return fmt.Errorf("%w: block %d has %d transactions and %d receipts", ErrUnverified, b.Number, len(txs), len(out.receipts))
		}
		out.txs = txs
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.headers.setBlock(b.Hash, out)
	return out, nil
}

// logsOf is the logs of a verified block that pass a filter. Nothing that a node could have left out is missing.
func (c *Client) logsOf(ctx context.Context, b *rpc.Block, f *rpc.Filter) ([]rpc.Log, error) {
	if proof.Excludes(b, f) {
		return nil, nil
	}
	k, err := c.receiptsOf(ctx, b)
	if err != nil {
		return nil, err
	}
	for i := range k.receipts {
		for n := range k.receipts[i].Logs {
			if !f.Match(&k.receipts[i].Logs[n]) {
				continue
			}
			if k, err = c.withTransactions(ctx, b, k); err != nil {
				return nil, err
			}
			logs, err := proof.Logs(b, k.txs, k.receipts, f)
			return logs, held(err)
		}
	}
	return nil, nil
}

// number is the height that a block was named by; a tag is looked up.
func (c *Client) number(ctx context.Context, at rpc.At) (uint64, error) {
	if n, ok := at.Number(); ok {
		return n, nil
	}
	return c.Height(ctx, string(at))
}

func (c *Client) verifiedLogs(ctx context.Context, q rpc.Query) ([]byte, error) {
	f, err := rpc.ParseFilter(q.Params)
	if err != nil {
		return nil, err
	}
	from, err := c.number(ctx, f.From)
	if err != nil {
		return nil, err
	}
	to, err := c.number(ctx, f.To)
	if err != nil {
		return nil, err
	}
	switch {
	case from > to:
		return nil, fmt.Errorf("%w: logs from block %d to %d", rpc.ErrMalformed, from, to)
	case to-from >= maxRange:
		return nil, fmt.Errorf("%w: logs of %d blocks, the limit is %d: ask for less", ErrTooLarge, to-from+1, maxRange)
	}
	tip, err := c.anchor(ctx, to)
	if err != nil {
		return nil, err
	}
	chain, err := c.linked(ctx, from, to, tip.Hash)
	if err != nil {
		return nil, err
	}
	logs := []rpc.Log{}
	size := int64(0)
	for _, b := range chain {
		found, err := c.logsOf(ctx, b, &f)
		if err != nil {
			return nil, err
		}
		for i := range found {
			size += 500 + 2*int64(len(found[i].Data)) + 70*int64(len(found[i].Topics))
		}
		if size > c.cfg.MaxResponse {
			return nil, fmt.Errorf("%w: logs from block %d to %d: ask for less", ErrTooLarge, from, to)
		}
		logs = append(logs, found...)
	}
	c.count(func(s *Stats) { s.Logs += uint64(len(logs)) })
	return rpc.EncodeLogs(logs), nil
}

func (c *Client) verifiedBlock(ctx context.Context, q rpc.Query) ([]byte, error) {
	at, err := rpc.ParseAt(q.Params)
	if err != nil {
		return nil, err
	}
	result, err := c.plain(ctx, q)
	if err != nil || !q.OnlyHashes() {
		return result, err
	}
	b, err := rpc.ParseBlock(result)
	if err != nil || b == nil {
		return result, err
	}
	if err := held(proof.Header(b)); err != nil {
		return nil, err
	}
	if n, ok := at.Number(); ok {
		if b.Number != n {
			return nil, fmt.Errorf("%w: block %d instead of %d", ErrUnverified, b.Number, n)
		}
		if c.cfg.Finality != nil {
			anchor, err := c.anchor(ctx, n)
			if err != nil {
				return nil, err
			}
			if anchor.Hash != b.Hash {
				return nil, fmt.Errorf("%w: block %d is %s to the providers and %s to the beacon chain", ErrUnverified, n, b.Hash, anchor.Hash)
			}
		}
	}
	return result, nil
}

// verifiedReceipt computes all that the quorum says of a receipt from the block's receipts and transactions, and compares.
func (c *Client) verifiedReceipt(ctx context.Context, q rpc.Query) ([]byte, error) {
	want, err := rpc.ParseHashParam(q.Params)
	if err != nil {
		return nil, err
	}
	result, err := c.plain(ctx, q)
	if err != nil {
		return nil, err
	}
	r, err := rpc.ParseReceipt(result)
	if err != nil || r == nil { // that there is none cannot be proven
		return result, err
	}
	b, err := c.anchor(ctx, r.BlockNumber)
	if err != nil {
		return nil, err
	}
	k, err := c.receiptsOf(ctx, b)
	if err != nil {
		return nil, err
	}
	if k, err = c.withTransactions(ctx, b, k); err != nil {
		return nil, err
	}
	if r.TxIndex >= uint64(len(k.txs)) || eth.Hash(k.txs[r.TxIndex].Hash()) != want {
		return nil, fmt.Errorf("%w: the receipt of %s: the transaction is not at place %d of block %d", ErrUnverified, want, r.TxIndex, b.Number)
	}
	proven, err := proof.Receipt(b, k.txs, k.receipts, int(r.TxIndex))
	if err != nil {
		return nil, held(err)
	}
	if text := rpc.EncodeReceipt(&proven); !bytes.Equal(text, rpc.EncodeReceipt(r)) {
		return nil, fmt.Errorf("%w: the receipt of %s is %.2000s", ErrUnverified, want, text)
	}
	return result, nil
}

// verifiedAccount proves a balance or a nonce from the state root of a block. Nodes that have forgotten the state leave it to the quorum.
func (c *Client) verifiedAccount(ctx context.Context, q rpc.Query) ([]byte, error) {
	a, at, err := rpc.ParseAccountAt(q.Params)
	if err != nil {
		return nil, err
	}
	n, ok := at.Number()
	if !ok {
		return c.plain(ctx, q)
	}
	b, err := c.anchor(ctx, n)
	if err != nil {
		return nil, err
	}
	var result []byte
	err = c.anyone(ctx, []rpc.Query{rpc.ProofOf(a, nil, at)}, func(answers []rpc.Answer) error {
		p, err := rpc.ParseProof(answers[0].Result)
		if err != nil {
			return err
		}
		p.Address = a
		if result = rpc.EncodeUint(p.Nonce); q.Method == rpc.MethodBalance {
			result = rpc.EncodeQuantity(&p.Balance)
		}
		return held(proof.Account(b.StateRoot, &p))
	})
	if err != nil {
		c.cfg.Log.Debug("no proof of an account: the quorum decides", "account", a, "block", n, "err", err)
		return c.plain(ctx, q)
	}
	return result, nil
}
