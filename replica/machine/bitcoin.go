package machine

import (
	"fmt"

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
}

// Key spaces within the room.
const (
	prefixCoins           = prefixBitcoin + "utxo/"
	prefixBitcoinCanister = prefixBitcoin + "can/"
)

func openBitcoin(doc *genesis.Doc, db *state.DB, s kv.Store) (*bitcoin, error) {
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
	st, err := utxo.Open(utxo.Options{Params: params, Stability: doc.Bitcoin.StabilityThreshold}, kv.Prefix(s, prefixCoins))
	if err != nil {
		return nil, fmt.Errorf("opening the view of Bitcoin %s: %w", network, err)
	}
	c, err := canister.New(canister.Options{Local: doc.Class == genesis.Local, Strict: true}, st, kv.Prefix(s, prefixBitcoinCanister))
	if err != nil {
		return nil, fmt.Errorf("opening the Bitcoin canister: %w", err)
	}
	return &bitcoin{st, canister.IDOf(network), c, db}, nil
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
}

// Call implements execution.Native.
func (b *bitcoin) Call(c execution.NativeCall) execution.NativeResult {
	in := canister.Call{Method: c.Method, Arg: c.Arg, Caller: c.Caller, Cycles: candid.NatFromBig(c.Cycles.Big()), TimeNs: c.TimeNs, Query: c.Query}
	if c.Query {
		snap := b.db.Snapshot()
		defer snap.Close()
		in.Snapshot, in.State = kv.PrefixReader(snap, prefixBitcoinCanister), kv.PrefixReader(snap, prefixCoins)
	}
	out := b.canister.Call(in)
	if out.Reject != nil {
		return execution.NativeResult{Reject: &execution.Reject{Code: out.Reject.Code, Message: out.Reject.Message}}
	}
	used, ok := execution.CyclesFromBig(out.CyclesUsed.Big())
	if !ok {
		panic(fmt.Sprintf("machine: the Bitcoin canister used %v cycles", out.CyclesUsed))
	}
	return execution.NativeResult{Reply: out.Reply, CyclesUsed: used}
}
