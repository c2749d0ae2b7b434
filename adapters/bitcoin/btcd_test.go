package bitcoin

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ecdsa"

	"fusion/adapters/bitcoin/btcd"
	"fusion/btc"
)

// The same flow against a node that we did not build: sync, a transaction of ours announced, fetched, mined and seen, a reorganisation.
func TestRealBtcd(t *testing.T) {
	bin := os.Getenv("BTCD_BIN")
	if bin == "" {
		t.Skip("BTCD_BIN names no btcd program; make e2e builds one")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	key, public := btcec.PrivKeyFromBytes([]byte("a key that mines on btcd's regtest"))
	pub := public.SerializeCompressed()
	miner, err := btc.P2WPKHFromPubKey(btc.Regtest, pub)
	if err != nil {
		t.Fatal(err)
	}
	n, err := btcd.Start(ctx, btcd.Config{Bin: bin, Dir: t.TempDir(), MiningAddress: miner.String()})
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
	generate(btcd.SegwitHeight + 8)
	r := newReplica(t, startAdapter(t, Config{Peers: []string{n.Addr()}}))
	sync := func() {
		t.Helper()
		tip, err := n.Tip(ctx)
		if err != nil {
			t.Fatal(err)
		}
		r.until("btcd's tip", func() bool { return r.state.Tip().Hash == tip })
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
	id, err := r.state.Send(tx.Bytes(), uint64(time.Now().UnixNano()))
	if err != nil {
		t.Fatal(err)
	}
	r.until("btcd to take the transaction", func() bool { s, _ := r.a.Status(id); return s.Fetched == 1 })
	waitFor(t, "the memory pool", func() bool { m, err := n.Mempool(ctx); return err == nil && len(m) == 1 && m[0] == id })
	generate(1)
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
		t.Error("btcd did not end")
	}
	wait(t, r.a, "the loss of btcd", func() bool { return len(r.a.Info().Peers) == 0 })
}
