package bitcoin

import (
	"bytes"
	"context"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"fusion/adapters/bitcoin/fullnode"
	"fusion/btc"
	"fusion/btc/chain"
	"fusion/btc/utxo"
	"fusion/internal/kv"
)

// A snapshot that a node made has the hash that the node gives it, and leads to the set that the node has.
func TestSnapshotOfANode(t *testing.T) {
	bin := os.Getenv("BITCOIND_BIN")
	if _, err := os.Stat(bin); err != nil {
		t.Skipf("BITCOIND_BIN names no program: %v; make e2e gets one", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	miner, err := btc.NewAddress(btc.Regtest, btc.P2WPKH, bytes.Repeat([]byte{3}, 20))
	if err != nil {
		t.Fatal(err)
	}
	n, err := fullnode.Start(ctx, fullnode.Config{Kind: fullnode.Bitcoind, Bin: bin, Dir: t.TempDir(), MiningAddress: miner.String()})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	call := func(result any, method string, params ...any) {
		t.Helper()
		if err := n.Call(ctx, result, method, params...); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Generate(ctx, 120); err != nil {
		t.Fatal(err)
	}
	// Outputs of other kinds, among them bare keys, and some that are spent again.
	var descriptor struct {
		Descriptor string `json:"descriptor"`
	}
	for _, d := range []string{"raw(51)", "pk(0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798)", "pk(0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8)",
		"pkh(0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798)", "sh(wpkh(0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798))",
		"rawtr(79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798)"} {
		call(&descriptor, "getdescriptorinfo", d)
		call(nil, "generatetodescriptor", 2, descriptor.Descriptor)
	}
	if err := n.Generate(ctx, 110); err != nil {
		t.Fatal(err)
	}
	tip, err := n.Height(ctx)
	if err != nil {
		t.Fatal(err)
	}
	params, err := chain.ParamsOf(btc.Regtest)
	if err != nil {
		t.Fatal(err)
	}
	const delta = 6
	followed, err := utxo.Open(utxo.Options{Params: params, Stability: delta}, kv.NewMem())
	if err != nil {
		t.Fatal(err)
	}
	var headers []byte
	follow := func(from, to uint32) {
		t.Helper()
		for h := from; h <= to; h++ {
			hash, err := n.HashAt(ctx, h)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := n.Block(ctx, hash)
			if err != nil {
				t.Fatal(err)
			}
			headers = append(headers, raw[:btc.HeaderSize]...)
			if o := followed.Apply(utxo.Items{Blocks: [][]byte{raw}}, uint64(time.Now().Add(24*time.Hour).UnixNano())); o[0].Err != nil {
				t.Fatal(o[0].Err)
			}
		}
	}
	follow(1, tip)
	path := filepath.Join(t.TempDir(), "utxo.dat")
	var dumped struct {
		Coins  uint64 `json:"coins_written"`
		Block  string `json:"base_hash"`
		Height uint32 `json:"base_height"`
		Hash   string `json:"txoutset_hash"`
	}
	call(&dumped, "dumptxoutset", path, "latest")
	var info struct {
		MuHash string `json:"muhash"`
	}
	call(&info, "gettxoutsetinfo", "muhash")
	block, err := btc.ParseHash(dumped.Block)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := btc.ParseHash(dumped.Hash)
	if err != nil {
		t.Fatal(err)
	}
	want := utxo.Base{Height: dumped.Height, Block: block, Hash: hash}
	p, err := chain.Replay(params, bytes.NewReader(headers), want.Height, want.Block)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	file, err := utxo.ReadSnapshot(btc.Regtest, f)
	if err != nil {
		t.Fatal(err)
	}
	store := kv.NewMem()
	set := func(k, v []byte) error { store.Set(k, v); return nil }
	if err := utxo.Import(utxo.Options{Params: p, Stability: delta}, want, file, set, nil); err != nil {
		t.Fatal(err)
	}
	if err := utxo.StoreBalances(store, set); err != nil {
		t.Fatal(err)
	}
	imported, err := utxo.Open(utxo.Options{Params: params, Stability: delta, Snapshot: &want}, store)
	if err != nil {
		t.Fatal(err)
	}
	sum := imported.SetHash()
	slices.Reverse(sum[:])
	if got := hex.EncodeToString(sum[:]); got != info.MuHash || imported.Info().StableCoins != dumped.Coins {
		t.Errorf("%d coins with MuHash %s, the node has %d with %s", imported.Info().StableCoins, got, dumped.Coins, info.MuHash)
	}
	// The state that followed the blocks arrives at the same set once that block is final there.
	if err := n.Generate(ctx, delta-1); err != nil {
		t.Fatal(err)
	}
	follow(tip+1, tip+delta-1)
	if followed.Anchor().Hash != want.Block || followed.SetHash() != imported.SetHash() {
		t.Errorf("followed to %v, imported at %v: the sets differ", followed.Anchor().Height, imported.Anchor().Height)
	}
}
