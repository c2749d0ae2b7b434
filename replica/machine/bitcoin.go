package machine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"fusion/btc"
	"fusion/btc/canister"
	"fusion/btc/chain"
	"fusion/btc/utxo"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/codec"
	"fusion/internal/kv"
	"fusion/replica/execution"
	"fusion/replica/genesis"
	"fusion/replica/state"
)

// bitcoin is the subnet's view of the Bitcoin chain and the canister that shows it.
type bitcoin struct {
	*utxo.State
	id       principal.Principal
	canister *canister.Canister
	db       *state.DB // for queries, which run beside the blocks
	mempool  *atomic.Pointer[MempoolView]
}

// MempoolView is a replica's own view of Bitcoin transactions that no block holds yet, by address. It is safe for concurrent use.
type MempoolView func(btc.Address) []canister.Sighting

// SetMempool lets queries of the Bitcoin canister read this replica's view. Nothing replicated depends on it.
func (m *Machine) SetMempool(view MempoolView) { m.mempool.Store(&view) }

// Key spaces within the room.
const (
	prefixCoins           = prefixBitcoin + "utxo/"
	prefixBitcoinCanister = prefixBitcoin + "can/"
)

func openBitcoin(doc *genesis.Doc, db *state.DB, mempool *atomic.Pointer[MempoolView], s kv.Store) (*bitcoin, error) {
	if doc.Bitcoin == nil {
		return nil, nil
	}
	network, err := btc.ParseNetwork(doc.Bitcoin.Network)
	if err != nil {
		return nil, err
	}
	params, err := chain.ParamsOf(network)
	if err != nil {
		return nil, err
	}
	base, err := doc.Bitcoin.Base()
	if err != nil {
		return nil, err
	}
	st, err := utxo.Open(utxo.Options{Params: params, Stability: doc.Bitcoin.StabilityThreshold, Snapshot: base}, kv.Prefix(s, prefixCoins))
	if err != nil {
		return nil, fmt.Errorf("opening the view of Bitcoin %s: %w", network, err)
	}
	c, err := canister.New(canister.Options{Local: doc.Class == genesis.Local, Controllers: configurers(doc), Strict: true}, st, kv.Prefix(s, prefixBitcoinCanister))
	if err != nil {
		return nil, fmt.Errorf("opening the Bitcoin canister: %w", err)
	}
	return &bitcoin{st, canister.IDOf(network), c, db, mempool}, nil
}

// CacheBytes is the memory for the state's database, 0 for the default. The coins of a public Bitcoin network, on which no coin has the least to do
// with another, need more.
func CacheBytes(doc *genesis.Doc) int64 {
	if !followsPublic(doc) {
		return 0
	}
	return BitcoinCacheBytes
}

// HeapBytes is what the heap is known to grow to, 0 where nothing is known.
func HeapBytes(doc *genesis.Doc) uint64 {
	if !followsPublic(doc) {
		return 0
	}
	return BitcoinHeapBytes
}

// followsPublic tells whether the network follows a public Bitcoin network.
func followsPublic(doc *genesis.Doc) bool {
	if doc.Bitcoin == nil {
		return false
	}
	n, err := btc.ParseNetwork(doc.Bitcoin.Network)
	return err == nil && !n.Development()
}

// BitcoinCacheBytes is the cache of a replica that follows a public Bitcoin network. The filters and indexes of 200 million coins alone take 0.8 GB.
const BitcoinCacheBytes = 1 << 30

// BitcoinHeapBytes is what the heap of such a replica grows to while it catches up: 1 GB lives at most, and a collection waits until twice as much is garbage.
const BitcoinHeapBytes = 3 << 30

// checkImported refuses to begin without the snapshot that the genesis document names.
func checkImported(doc *genesis.Doc, r kv.Reader) error {
	if doc.Bitcoin == nil || doc.Bitcoin.Snapshot == nil || utxo.Began(kv.PrefixReader(r, prefixCoins)) {
		return nil
	}
	return fmt.Errorf("%w: the genesis document begins with block %s at height %d; run fusion replica import-utxos first", utxo.ErrSnapshotMissing,
		doc.Bitcoin.Snapshot.Block, doc.Bitcoin.Snapshot.Height)
}

// ImportUTXOs fills an empty database with the snapshot that the genesis document names, before the first block. headers are those from the network's
// genesis block, or the one after it, up to the snapshot's block. The caller commits.
func ImportUTXOs(doc *genesis.Doc, headers, file io.Reader, into *state.Import, progress func(done, of uint64)) error {
	if doc.Bitcoin == nil || doc.Bitcoin.Snapshot == nil {
		return errors.New("the genesis document names no UTXO snapshot: there is nothing to import")
	}
	base, err := doc.Bitcoin.Base()
	if err != nil {
		return err
	}
	network, err := btc.ParseNetwork(doc.Bitcoin.Network)
	if err != nil {
		return err
	}
	r, err := utxo.ReadSnapshot(network, file)
	if err != nil {
		return err
	}
	params, err := chain.ParamsOf(network)
	if err != nil {
		return err
	}
	if params, err = chain.Replay(params, headers, base.Height, base.Block); err != nil {
		return err
	}
	var pairs []state.Pair
	flush := func() error {
		err := into.SetAll(pairs)
		pairs = pairs[:0]
		return err
	}
	set := func(k, v []byte) error {
		pairs = append(pairs, state.Pair{Key: append([]byte(prefixCoins), k...), Value: bytes.Clone(v)})
		if len(pairs) < 4096 {
			return nil
		}
		return flush()
	}
	if err := utxo.Import(utxo.Options{Params: params, Stability: doc.Bitcoin.StabilityThreshold}, *base, r, set, progress); err != nil {
		return err
	}
	if err := flush(); err != nil {
		return err
	}
	so, _, err := into.Read()
	if err != nil {
		return err
	}
	if err := utxo.StoreBalances(kv.PrefixReader(so, prefixCoins), set); err != nil {
		return err
	}
	return flush()
}

func (b *bitcoin) check(raw []byte) error {
	var items utxo.Items
	if err := codec.Unmarshal(raw, &items); err != nil {
		return fmt.Errorf("bitcoin payload: %w", err)
	}
	return b.CheckPayload(items)
}

// use continues in another store with the same content.
func (b *bitcoin) use(s kv.Store) {
	b.Use(kv.Prefix(s, prefixCoins))
	b.canister.Use(kv.Prefix(s, prefixBitcoinCanister))
}

// step applies a block's payload, or none: block time moves expiries on.
func (b *bitcoin) step(s kv.Store, bodies [][]byte, timeNs uint64, res *Result) {
	b.use(s)
	var items utxo.Items
	if len(bodies) > 0 {
		if err := codec.Unmarshal(bodies[0], &items); err != nil || b.CheckPayload(items) != nil {
			items = utxo.Items{}
			res.Skipped++
		}
	}
	for _, o := range b.Apply(items, timeNs) {
		if o.Err != nil {
			res.Skipped++
		}
	}
	b.canister.Applied()
}

// Call implements execution.Native.
func (b *bitcoin) Call(c execution.NativeCall) execution.NativeResult {
	in := canister.Call{Method: c.Method, Arg: c.Arg, Caller: c.Caller, Cycles: candid.NatFromBig(c.Cycles.Big()),
		Balance: candid.NatFromBig(c.Balance.Big()), TimeNs: c.TimeNs, Query: c.Query}
	if c.Query {
		snap := b.db.Snapshot()
		defer snap.Close()
		in.Snapshot, in.State = kv.PrefixReader(snap, prefixBitcoinCanister), kv.PrefixReader(snap, prefixCoins)
		if view := b.mempool.Load(); view != nil {
			in.Mempool = *view
		}
	}
	out := b.canister.Call(in)
	used, ok := execution.CyclesFromBig(out.CyclesUsed.Big())
	if !ok {
		panic(fmt.Sprintf("machine: the Bitcoin canister used %v cycles", out.CyclesUsed))
	}
	res := execution.NativeResult{Reply: out.Reply, CyclesUsed: used, Burn: out.Burn}
	if out.Reject != nil { // what was refused is paid for, too
		res.Reject = &execution.Reject{Code: out.Reject.Code, Message: out.Reject.Message}
	}
	return res
}
