package node

import (
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"fusion/btc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, dir string) *Node {
	t.Helper()
	n, err := Start(Config{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func mine(t *testing.T, n *Node, count int, to string) []btc.Hash {
	t.Helper()
	h, err := n.MineBlocks(count, to)
	if err != nil || len(h) != count {
		t.Fatal(h, err)
	}
	return h
}

func addr(t *testing.T, kind btc.AddressKind, fill byte) string {
	t.Helper()
	p := make([]byte, kind.PayloadLen())
	for i := range p {
		p[i] = fill
	}
	a, err := btc.NewAddress(btc.Regtest, kind, p)
	if err != nil {
		t.Fatal(err)
	}
	return a.String()
}

func balance(t *testing.T, n *Node, a string) btc.Satoshi {
	t.Helper()
	b, err := n.Balance(a)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFaucetPaysEveryKindAndSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir)
	user := addr(t, btc.P2WPKH, 9)
	if _, err := n.Send(user, btc.Coin); !errors.Is(err, ErrNoFunds) {
		t.Errorf("before mining: %v", err)
	}
	mine(t, n, 101, n.FaucetAddress())
	var ids []btc.Hash
	kinds := []btc.AddressKind{btc.P2PKH, btc.P2SH, btc.P2WPKH, btc.P2WSH, btc.P2TR}
	for i, k := range kinds { // all but the first spend change that is not mined yet
		id, err := n.Send(addr(t, k, byte(i+1)), btc.Coin)
		if err != nil {
			t.Fatal(k, err)
		}
		ids = append(ids, id)
	}
	if len(n.Mempool()) != 5 {
		t.Errorf("%d in the memory pool", len(n.Mempool()))
	}
	if info, ok := n.GetTx(ids[4]); !ok || info.Confirmations != 0 {
		t.Errorf("%+v", info)
	}
	tip := n.Tip()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = start(t, dir)
	if n.Tip() != tip || n.Height() != 101 || len(n.Mempool()) != 5 {
		t.Fatalf("after restart: height %d, %d in the memory pool", n.Height(), len(n.Mempool()))
	}
	blocks := mine(t, n, 2, user)
	for i, k := range kinds {
		if b := balance(t, n, addr(t, k, byte(i+1))); b != btc.Coin {
			t.Errorf("%v: %v", k, b)
		}
		info, ok := n.GetTx(ids[i])
		if !ok || info.BlockHash != blocks[0] || info.Height != 102 || info.Confirmations != 2 {
			t.Errorf("%v: %+v", k, info)
		}
		if tx, err := btc.ParseTx(info.Raw); err != nil || tx.Txid() != ids[i] {
			t.Errorf("%v: %v", k, err)
		}
	}
	fees := balance(t, n, user) - 100*btc.Coin
	if fees == 0 || balance(t, n, n.FaucetAddress()) != 101*50*btc.Coin-5*btc.Coin-fees {
		t.Errorf("fees %d, faucet %v", fees, balance(t, n, n.FaucetAddress()))
	}
	raw, err := n.Block(blocks[0])
	if err != nil {
		t.Fatal(err)
	}
	b, err := btc.ParseBlock(raw)
	if err != nil || b.Check(true) != nil || len(b.Txs) != 6 {
		t.Errorf("%v, %v", err, b.Check(true))
	}
	if h, ok := b.CoinbaseHeight(); !ok || h != 102 {
		t.Errorf("height %d", h)
	}
}

func TestReorgReturnsTransactions(t *testing.T) {
	n := start(t, t.TempDir())
	user := addr(t, btc.P2WPKH, 9)
	mine(t, n, 101, n.FaucetAddress())
	id, err := n.Send(user, btc.Coin)
	if err != nil {
		t.Fatal(err)
	}
	old := mine(t, n, 2, n.FaucetAddress())
	if balance(t, n, user) != btc.Coin {
		t.Fatal("not paid")
	}
	fresh, err := n.Reorg(2, 3, n.FaucetAddress())
	if err != nil {
		t.Fatal(err)
	}
	if n.Tip() != fresh[2] || n.Height() != 104 || balance(t, n, user) != 0 || len(n.Mempool()) != 1 {
		t.Errorf("height %d, balance %v, %d in the memory pool", n.Height(), balance(t, n, user), len(n.Mempool()))
	}
	if info, ok := n.GetTx(id); !ok || info.Confirmations != 0 {
		t.Errorf("%+v", info)
	}
	mine(t, n, 1, n.FaucetAddress())
	if balance(t, n, user) != btc.Coin {
		t.Error("not paid again")
	}
	if _, err := n.Block(old[0]); err != nil {
		t.Errorf("the replaced block: %v", err)
	}
	if _, err := n.Reorg(1000, 1, user); err == nil {
		t.Error("more blocks than there are")
	}
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir)
	if _, err := n.MineBlocks(1, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"); !errors.Is(err, btc.ErrAddressNetwork) {
		t.Errorf("mainnet address: %v", err)
	}
	mine(t, n, 101, n.FaucetAddress())
	user := addr(t, btc.P2WPKH, 9)
	for name, amount := range map[string]btc.Satoshi{"dust": 293, "too much": 200 * btc.Coin, "absurd": 1 << 63} {
		if _, err := n.Send(user, amount); err == nil {
			t.Errorf("%s was sent", name)
		}
	}
	if _, err := n.Submit([]byte{1, 2}); !errors.Is(err, ErrRefused) {
		t.Errorf("garbage: %v", err)
	}
	unsigned := btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: btc.Outpoint{Txid: btc.Hash{1}}}}, Outputs: []btc.TxOut{{Value: 1000, Script: []byte{0x51}}}}
	if _, err := n.Submit(unsigned.Bytes()); !errors.Is(err, ErrRefused) {
		t.Errorf("missing input: %v", err)
	}
	if _, err := Start(Config{DataDir: dir}); err == nil {
		t.Error("the directory of a running node was opened")
	}
	if _, err := Start(Config{DataDir: t.TempDir(), ListenAddr: "0.0.0.0:0"}); !errors.Is(err, ErrListen) {
		t.Errorf("all interfaces: %v", err)
	}
	if _, err := Start(Config{DataDir: t.TempDir(), ListenAddr: n.Addr()}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("port in use: %v", err)
	}
}
