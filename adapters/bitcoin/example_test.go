package bitcoin_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"fusion/adapters/bitcoin"
	"fusion/adapters/bitcoin/node"
	"fusion/btc"
	"fusion/btc/chain"
	"fusion/btc/utxo"
	"fusion/internal/kv"
)

// A node, an adapter and the replicated state, joined as a replica joins them; here every answer is applied at once.
func Example() {
	dir, err := os.MkdirTemp("", "regtest")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	n, err := node.Start(node.Config{DataDir: dir})
	if err != nil {
		panic(err)
	}
	defer n.Close()
	if _, err := n.MineBlocks(110, n.FaucetAddress()); err != nil {
		panic(err)
	}
	params, err := chain.ParamsOf(btc.Regtest)
	if err != nil {
		panic(err)
	}
	state, err := utxo.Open(utxo.Options{Params: params, Stability: 6}, kv.NewMem())
	if err != nil {
		panic(err)
	}
	a, err := bitcoin.New(bitcoin.Config{Network: btc.Regtest, Local: true, Peers: []string{n.Addr()}})
	if err != nil {
		panic(err)
	}
	defer a.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for state.Tip().Hash != n.Tip() && ctx.Err() == nil {
		changed := a.Changed()
		now := uint64(time.Now().UnixNano())
		if items := state.Filter(a.Successors(state.Request()), now, 4<<20); !items.Empty() {
			state.Apply(items, now)
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	faucet, err := btc.ParseAddress(btc.Regtest, n.FaucetAddress())
	if err != nil {
		panic(err)
	}
	balance, err := state.Live().Balance(faucet, 6)
	fmt.Println(state.Tip().Height, state.Anchor().Height, balance, err)
	// Output:
	// 110 105 300.00000000 BTC <nil>
}
