package rosetta

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/coinbase/rosetta-sdk-go/types"

	"fusion/ckledger/icrc"
)

const (
	// rosettaVersion is the version of the API that is spoken.
	rosettaVersion = "1.4.12"
	// maxResults bounds the lists of /search/transactions and /events/blocks.
	maxResults = 100
	// maxFiltered bounds the blocks that one search reads to filter them.
	maxFiltered = 100_000
)

func (s *Server) list(context.Context, *ledger, *types.MetadataRequest) (*types.NetworkListResponse, *types.Error) {
	out := &types.NetworkListResponse{}
	for _, l := range s.ledgers {
		out.NetworkIdentifiers = append(out.NetworkIdentifiers, networkOf(l.id))
	}
	return out, nil
}

func (s *Server) options(context.Context, *ledger, *types.NetworkRequest) (*types.NetworkOptionsResponse, *types.Error) {
	out := &types.NetworkOptionsResponse{
		Version: &types.Version{RosettaVersion: rosettaVersion, NodeVersion: s.cfg.Version},
		Allow: &types.Allow{OperationStatuses: []*types.OperationStatus{{Status: statusDone, Successful: true}}, OperationTypes: operationTypes,
			HistoricalBalanceLookup: true, CallMethods: []string{}, BalanceExemptions: []*types.BalanceExemption{},
			BlockHashCase: types.LowerCase, TransactionHashCase: types.LowerCase}}
	for _, f := range faults {
		out.Allow.Errors = append(out.Allow.Errors, f.error(nil))
	}
	return out, nil
}

// broken is for a store that cannot be read.
func (s *Server) broken(err error) *types.Error {
	s.cfg.Log.Error("the store cannot be read", "err", err)
	return faultInternal.of(err)
}

// at reads a proven block.
func (s *Server) at(l *ledger, index uint64) (*record, *types.Error) {
	r, err := l.books.block(index)
	if err == nil && r == nil {
		err = fmt.Errorf("%w: block %d is missing", ErrStore, index)
	}
	if err != nil {
		return nil, s.broken(err)
	}
	return r, nil
}

// find reads the proven block that somebody asks for; without an identifier, the newest.
func (s *Server) find(l *ledger, id *types.PartialBlockIdentifier) (*record, *types.Error) {
	proven := l.head.Load().Proven
	switch {
	case proven == 0:
		return nil, faultSyncing.error(nil)
	case id == nil || id.Index == nil && id.Hash == nil:
		return s.at(l, proven-1)
	}
	var index uint64
	if id.Index != nil {
		if *id.Index < 0 {
			return nil, faultBlockID.because("the index is negative")
		}
		if index = uint64(*id.Index); index >= proven {
			return nil, faultFuture.error(map[string]any{"index": *id.Index, "current_index": proven - 1})
		}
	}
	if id.Hash != nil {
		hash, err := hex.DecodeString(*id.Hash)
		if err != nil || len(hash) != 32 {
			return nil, faultBlockID.because("the hash is not 32 bytes in hexadecimal")
		}
		at, ok, err := l.books.indexOf(hash)
		if err != nil {
			return nil, s.broken(err)
		}
		if !ok || at >= proven || id.Index != nil && at != index {
			return nil, faultBlock.error(map[string]any{"hash": *id.Hash})
		}
		index = at
	}
	return s.at(l, index)
}

func blockID(index uint64, hash []byte) *types.BlockIdentifier {
	return &types.BlockIdentifier{Index: int64(index), Hash: hex.EncodeToString(hash)}
}

func (r *record) id() *types.BlockIdentifier { return blockID(r.Index, r.Hash[:]) }

func (s *Server) status(_ context.Context, l *ledger, _ *types.NetworkRequest) (*types.NetworkStatusResponse, *types.Error) {
	newest, fault := s.find(l, nil)
	if fault != nil {
		return nil, fault
	}
	genesis, fault := s.at(l, 0)
	if fault != nil {
		return nil, fault
	}
	current, target := int64(newest.Index), int64(max(l.target.Load(), newest.Index+1)-1)
	return &types.NetworkStatusResponse{CurrentBlockIdentifier: newest.id(), CurrentBlockTimestamp: millis(newest.Timestamp), GenesisBlockIdentifier: genesis.id(),
		SyncStatus: &types.SyncStatus{CurrentIndex: &current, TargetIndex: &target, Synced: types.Bool(current == target)}, Peers: []*types.Peer{}}, nil
}

func millis(ns uint64) int64 { return int64(ns / 1_000_000) }

// show makes the transaction of a block.
func (l *ledger) show(r *record) (*types.Transaction, error) {
	effects, err := effectsOf(&r.Transaction, r.Collector, r.feeGiven, l.currency)
	if err != nil {
		return nil, err
	}
	done := statusDone
	return &types.Transaction{TransactionIdentifier: identifierOf(r.Tx), Operations: operations(effects, l.currency, &done), Metadata: annotations(&r.Transaction)}, nil
}

func (s *Server) block(_ context.Context, l *ledger, q *types.BlockRequest) (*types.BlockResponse, *types.Error) {
	r, fault := s.find(l, q.BlockIdentifier)
	if fault != nil {
		return nil, fault
	}
	t, err := l.show(r)
	if err != nil {
		return nil, s.broken(err)
	}
	b := &types.Block{BlockIdentifier: r.id(), ParentBlockIdentifier: r.id(), Timestamp: millis(r.Timestamp), Transactions: []*types.Transaction{t},
		Metadata: map[string]any{"block_created_at_nano_seconds": strconv.FormatUint(r.Timestamp, 10)}}
	if r.Parent != nil { // the first block is its own parent
		b.ParentBlockIdentifier = blockID(r.Index-1, r.Parent[:])
	}
	if r.CollectorBlock != nil {
		b.Metadata["fee_collector_block_index"] = strconv.FormatUint(*r.CollectorBlock, 10)
	}
	return &types.BlockResponse{Block: b}, nil
}

func (s *Server) blockTransaction(_ context.Context, l *ledger, q *types.BlockTransactionRequest) (*types.BlockTransactionResponse, *types.Error) {
	r, fault := s.find(l, types.ConstructPartialBlockIdentifier(q.BlockIdentifier))
	if fault != nil {
		return nil, fault
	}
	t, err := l.show(r)
	if err != nil {
		return nil, s.broken(err)
	}
	if t.TransactionIdentifier.Hash != q.TransactionIdentifier.Hash {
		return nil, faultTransaction.error(map[string]any{"block": r.Index, "hash": q.TransactionIdentifier.Hash})
	}
	return &types.BlockTransactionResponse{Transaction: t}, nil
}

func (s *Server) balance(_ context.Context, l *ledger, q *types.AccountBalanceRequest) (*types.AccountBalanceResponse, *types.Error) {
	a, err := parseAccount(q.AccountIdentifier)
	if err != nil {
		return nil, faultAccount.of(err)
	}
	r, fault := s.find(l, q.BlockIdentifier)
	if fault != nil {
		return nil, fault
	}
	v, err := l.books.balance(a, r.Index+1)
	if err != nil {
		return nil, s.broken(err)
	}
	out := &types.AccountBalanceResponse{BlockIdentifier: r.id(), Balances: []*types.Amount{}}
	wanted := len(q.Currencies) == 0
	for _, c := range q.Currencies {
		if c.Symbol != l.currency.Symbol || c.Decimals != l.currency.Decimals {
			return nil, faultUnsupported.because(fmt.Sprintf("the ledger's only currency is %s with %d decimals", l.currency.Symbol, l.currency.Decimals))
		}
		wanted = true
	}
	if wanted {
		out.Balances = append(out.Balances, &types.Amount{Value: v.String(), Currency: l.currency})
	}
	return out, nil
}

func (s *Server) coins(context.Context, *ledger, *types.AccountCoinsRequest) (*types.AccountCoinsResponse, *types.Error) {
	return nil, faultUnsupported.because("ledgers keep balances and have no coins")
}

func (s *Server) mempool(context.Context, *ledger, *types.NetworkRequest) (*types.MempoolResponse, *types.Error) {
	return &types.MempoolResponse{TransactionIdentifiers: []*types.TransactionIdentifier{}}, nil
}

func (s *Server) mempoolTransaction(context.Context, *ledger, *types.MempoolTransactionRequest) (*types.MempoolTransactionResponse, *types.Error) {
	return nil, faultMempool.because("ledgers execute at once, so nothing waits")
}

func (s *Server) callMethod(context.Context, *ledger, *types.CallRequest) (*types.CallResponse, *types.Error) {
	return nil, faultUnsupported.because("there are no methods to call")
}

// page reads offset and limit of a list, with at most maxResults.
func page(offset, limit *int64) (from, n int64, err error) {
	n = maxResults
	if offset != nil {
		from = *offset
	}
	if limit != nil {
		n = min(n, *limit)
	}
	if from < 0 || n < 0 {
		return 0, 0, errors.New("offset and limit are not negative")
	}
	return from, n, nil
}

// events lists blocks as events: the log only grows, so the sequence is the block's index.
func (s *Server) events(_ context.Context, l *ledger, q *types.EventsBlocksRequest) (*types.EventsBlocksResponse, *types.Error) {
	proven := int64(l.head.Load().Proven)
	if proven == 0 {
		return nil, faultSyncing.error(nil)
	}
	offset := q.Offset
	_, n, err := page(offset, q.Limit)
	if err != nil {
		return nil, faultParse.of(err)
	}
	if offset == nil { // the newest
		from := max(proven-n, 0)
		offset = &from
	}
	out := &types.EventsBlocksResponse{MaxSequence: proven - 1, Events: []*types.BlockEvent{}}
	for i := *offset; i < proven && int64(len(out.Events)) < n; i++ {
		r, fault := s.at(l, uint64(i))
		if fault != nil {
			return nil, fault
		}
		out.Events = append(out.Events, &types.BlockEvent{Sequence: i, BlockIdentifier: r.id(), Type: types.ADDED})
	}
	return out, nil
}

// search finds transactions by hash or by account, newest first.
func (s *Server) search(_ context.Context, l *ledger, q *types.SearchTransactionsRequest) (*types.SearchTransactionsResponse, *types.Error) {
	proven := l.head.Load().Proven
	offset, limit, err := page(q.Offset, q.Limit)
	switch {
	case err != nil:
		return nil, faultParse.of(err)
	case proven == 0:
		return nil, faultSyncing.error(nil)
	case q.Operator != nil && *q.Operator == types.OR:
		return nil, faultUnsupported.because("conditions are joined by and")
	case q.CoinIdentifier != nil:
		return nil, faultUnsupported.because("ledgers have no coins")
	case q.Address != nil && q.AccountIdentifier != nil:
		return nil, faultUnsupported.because("name an account_identifier or an address")
	}
	end := proven
	if q.MaxBlock != nil {
		if *q.MaxBlock < 0 {
			return nil, faultParse.because("max_block is negative")
		}
		if *q.MaxBlock < math.MaxInt64 {
			end = min(end, uint64(*q.MaxBlock)+1)
		}
	}
	out := &types.SearchTransactionsResponse{Transactions: []*types.BlockTransaction{}}
	account, id := q.AccountIdentifier, q.TransactionIdentifier
	if q.Address != nil { // of an owner, whose subaccounts are asked for one by one
		account = &types.AccountIdentifier{Address: *q.Address}
	}
	var key []byte
	if account != nil {
		a, err := parseAccount(account)
		if err != nil {
			return nil, faultAccount.of(err)
		}
		if key, err = a.AppendKey(nil); err != nil {
			return nil, faultAccount.of(err)
		}
	}
	never := q.Success != nil && !*q.Success || q.Status != nil && *q.Status != statusDone ||
		q.Currency != nil && (q.Currency.Symbol != l.currency.Symbol || q.Currency.Decimals != l.currency.Decimals)
	if never {
		return out, nil
	}
	var fault *types.Error
	var read int
	// take counts a block that is found and shows it if it is on the page.
	take := func(index uint64) bool {
		at := out.TotalCount
		if q.Type == nil && (at < offset || int64(len(out.Transactions)) >= limit) {
			out.TotalCount++
			return true
		}
		if read++; read > maxFiltered {
			fault = faultTooLarge.because(fmt.Sprintf("the search reads more than %d blocks; use max_block", maxFiltered))
			return false
		}
		var r *record
		var t *types.Transaction
		if r, fault = s.at(l, index); fault != nil {
			return false
		}
		if t, err = l.show(r); err != nil {
			fault = s.broken(err)
			return false
		}
		if q.Type != nil && !hasType(t, *q.Type) {
			return true
		}
		out.TotalCount++
		if at >= offset && int64(len(out.Transactions)) < limit {
			out.Transactions = append(out.Transactions, &types.BlockTransaction{BlockIdentifier: r.id(), Transaction: t})
		}
		return true
	}
	switch {
	case id != nil:
		hash, err := hex.DecodeString(id.Hash)
		if err != nil || len(hash) != 32 {
			return nil, faultParse.because("a transaction's hash is 32 bytes in hexadecimal")
		}
		found, err := l.books.indicesOf(hash, end, maxFiltered)
		if err != nil {
			return nil, s.broken(err)
		}
		for n := len(found) - 1; n >= 0 && fault == nil; n-- {
			mine := key == nil
			if !mine {
				if mine, err = l.books.concerns(key, found[n]); err != nil {
					return nil, s.broken(err)
				}
			}
			if mine {
				take(found[n])
			}
		}
	case account != nil:
		if err := l.books.history(key, end, func(index uint64, _ icrc.Amount) bool { return take(index) }); err != nil {
			return nil, s.broken(err)
		}
	default:
		return nil, faultUnsupported.because("name a transaction or an account")
	}
	if fault != nil {
		return nil, fault
	}
	if next := offset + int64(len(out.Transactions)); next < out.TotalCount {
		out.NextOffset = &next
	}
	return out, nil
}

func hasType(t *types.Transaction, kind string) bool {
	for _, o := range t.Operations {
		if o.Type == kind {
			return true
		}
	}
	return false
}

// concerns tells whether a block concerns an account.
func (k *books) concerns(account []byte, index uint64) (bool, error) {
	b, err := get(k.db, k.key(keyBalance, account, binary.BigEndian.AppendUint64(nil, ^index)))
	return b != nil, err
}
