package bitcoin

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ecdsa"

	"fusion/adapters/bitcoin/fullnode"
	"fusion/btc"
)

// The same flow against nodes that we did not build: sync, a transaction of ours announced, fetched, mined and seen, a reorganisation.
func TestFullNodes(t *testing.T) {
	for variable, c := range map[string]struct {
		kind   fullnode.Kind
		blocks int
	}{"BTCD_BIN": {fullnode.Btcd, fullnode.SegwitHeight + 8}, "BITCOIND_BIN": {fullnode.Bitcoind, 110}} {
		t.Run(c.kind.String(), func(t *testing.T) {
			bin := os.Getenv(variable)
			if _, err := os.Stat(bin); err != nil {
				if os.Getenv("FUSION_E2E") != "" && c.kind == fullnode.Btcd { // bitcoind is a package that not every system has
					t.Fatalf("%s names no program: %v", variable, err)
				}
				t.Skipf("%s names no program: %v; make e2e gets one", variable, err)
			}
			onFullNode(t, fullnode.Config{Kind: c.kind, Bin: bin}, c.blocks)
		})
	}
}

func onFullNode(t *testing.T, cfg fullnode.Config, blocks int) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	key, public := btcec.PrivKeyFromBytes([]byte("a key that mines on a full node's regtest"))
	pub := public.SerializeCompressed()
	miner, err := btc.P2WPKHFromPubKey(btc.Regtest, pub)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Dir, cfg.MiningAddress = t.TempDir(), miner.String()
	n, err := fullnode.Start(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	generate := func(count int) {
		t.Helper()
		if err := n.Generate(ctx, count); err != nil {
			t.Fatal(err)
		}
	}
	generate(blocks)
	r := newReplica(t, startAdapter(t, Config{Peers: []string{n.Addr()}}))
	sync := func() {
		t.Helper()
		tip, err := n.Tip(ctx)
		if err != nil {
			t.Fatal(err)
		}
		r.until("the node's tip", func() bool { return r.state.Tip().Hash == tip })
	}
	sync()
	page, err := r.state.Live().UTXOs(miner, 0)
	if err != nil || len(page.Coins) == 0 {
		t.Fatal(page, err)
	}
	coin := page.Coins[len(page.Coins)-1] // the oldest coinbase
	user := testAddress(t, 7)
	tx := &btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: coin.Outpoint, Sequence: btc.SequenceRBF}},
		Outputs: []btc.TxOut{{Value: coin.Value - 1000, Script: user.Script()}}}
	digest, err := btc.NewSigHashes(tx).P2WPKH(0, pub, coin.Value)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.SignP2WPKH(0, ecdsa.SignCompact(key, digest[:], true)[1:], pub); err != nil {
		t.Fatal(err)
	}
	// Connected before the payment: not every node lists what it holds already.
	watcher := newReplica(t, startAdapter(t, Config{Peers: []string{n.Addr()}}))
	watcher.until("the watcher's peer", func() bool { return len(watcher.a.Info().Peers) == 1 })
	id, err := r.state.Send(tx.Bytes(), uint64(time.Now().UnixNano()))
	if err != nil {
		t.Fatal(err)
	}
	r.until("the node to take the transaction", func() bool { s, _ := r.a.Status(id); return s.Fetched == 1 })
	waitFor(t, "the memory pool", func() bool { m, err := n.Mempool(ctx); return err == nil && len(m) == 1 && m[0] == id })
	// Another replica's adapter sees the payment before a block holds it, and no longer afterwards.
	watcher.until("the payment in the node's memory pool", func() bool {
		seen := watcher.a.Mempool(user)
		return len(seen) == 1 && seen[0].Outpoint.Txid == id && seen[0].Value == coin.Value-1000
	})
	generate(1)
	watcher.until("the payment in a block", func() bool { return watcher.balance(user) == coin.Value-1000 })
	if seen := watcher.a.Mempool(user); len(seen) != 0 {
		t.Errorf("still waiting: %+v", seen)
	}
	sync()
	if b := r.balance(user); b != coin.Value-1000 {
		t.Errorf("balance %v", b)
	}
	tip, err := n.Tip(ctx)
	if err != nil {
		t.Fatal(err)
	}
	generate(1)
	sync()
	if err := n.Invalidate(ctx, tip); err != nil {
		t.Fatal(err)
	}
	generate(3)
	sync()
	if b := r.balance(user); b != coin.Value-1000 {
		t.Errorf("after the reorganisation, mined again: %v", b)
	}
	if n.Close() != nil {
		t.Error("the node did not end")
	}
	wait(t, watcher.a, "the loss of the node", func() bool { return len(watcher.a.Info().Peers) == 0 })
	wait(t, r.a, "the loss of the node", func() bool { return len(r.a.Info().Peers) == 0 })
}
