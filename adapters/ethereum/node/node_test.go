package node

import (
	"context"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The peer-to-peer side's database in memory ends a second after it was closed.
		goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"),
		// These recover the senders of transactions, one set for the process.
		goleak.IgnoreTopFunction("github.com/ethereum/go-ethereum/core.(*txSenderCacher).cache"))
}

func start(t *testing.T, cfg Config) *Node {
	t.Helper()
	n, err := Start(cfg)
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

// dial is a client over HTTP, as the subnet uses.
func dial(t *testing.T, n *Node) *ethclient.Client {
	t.Helper()
	c, err := ethclient.Dial(n.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(2 * time.Minute); !ok(); {
		select {
		case <-end:
			t.Fatalf("waiting for %s", what)
		case <-tick.C:
		}
	}
}

func send(t *testing.T, n *Node, to common.Address, wei int64) common.Hash {
	t.Helper()
	h, err := n.SendETH(t.Context(), to, big.NewInt(wei))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func balance(t *testing.T, n *Node, a common.Address) int64 {
	t.Helper()
	b, err := n.Balance(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return b.Int64()
}

var bob = common.HexToAddress("0x00000000000000000000000000000000000b0b00")

// logCode is the creation code of a contract that logs the word 7 under the topic 1 in its constructor:
//
//	PUSH1 7 PUSH0 MSTORE PUSH1 1 PUSH1 32 PUSH0 LOG1 STOP
const logCode = "60075f5260016020" + "5fa100"

func TestTransactionsBecomeFinal(t *testing.T) {
	n := start(t, Config{BlockInterval: time.Millisecond})
	c := dial(t, n)
	ctx := t.Context()
	if id, err := c.ChainID(ctx); err != nil || id.Int64() != ChainID {
		t.Fatalf("chain id %v, %v", id, err)
	}
	if h, err := c.HeaderByNumber(ctx, big.NewInt(int64(rpc.FinalizedBlockNumber))); err != nil || h.Number.Sign() != 0 {
		t.Fatalf("finalized at the start: %v, %v", h, err)
	}
	hash := send(t, n, bob, 5)
	wait(t, "finality", func() bool {
		r, err := c.TransactionReceipt(ctx, hash)
		return err == nil && n.Finalized() >= r.BlockNumber.Uint64()
	})
	if got := balance(t, n, bob); got != 5 {
		t.Fatalf("bob has %d wei", got)
	}
	r, err := c.TransactionReceipt(ctx, hash)
	if err != nil {
		t.Fatal(err)
	}
	// The chain rests when everything is final.
	if want := r.BlockNumber.Uint64() + DefaultFinalityDepth; n.Height() != want || n.Finalized() != r.BlockNumber.Uint64() {
		t.Fatalf("height %d, want %d; finalized %d", n.Height(), want, n.Finalized())
	}
	for tag, want := range map[rpc.BlockNumber]uint64{rpc.FinalizedBlockNumber: n.Finalized(), rpc.SafeBlockNumber: n.Height() - 1, rpc.LatestBlockNumber: n.Height()} {
		if h, err := c.HeaderByNumber(ctx, big.NewInt(int64(tag))); err != nil || h.Number.Uint64() != want {
			t.Errorf("%v is %v, %v; want %d", tag, h, err, want)
		}
	}
	// Many at once, each with its nonce.
	const many = 40
	for range many {
		hash = send(t, n, bob, 1)
	}
	wait(t, "the last of many", func() bool {
		r, err := c.TransactionReceipt(ctx, hash)
		return err == nil && n.Finalized() >= r.BlockNumber.Uint64()
	})
	if got := balance(t, n, bob); got != 5+many {
		t.Fatalf("bob has %d wei", got)
	}
}

func TestLogs(t *testing.T) {
	n := start(t, Config{Manual: true})
	c := dial(t, n)
	hash, err := n.Transact(t.Context(), nil, nil, common.FromHex(logCode))
	if err != nil {
		t.Fatal(err)
	}
	if h, err := n.Mine(3); err != nil || h != 4 {
		t.Fatal(h, err)
	}
	logs, err := c.FilterLogs(t.Context(), ethereum.FilterQuery{FromBlock: big.NewInt(0), ToBlock: big.NewInt(4), Topics: [][]common.Hash{{common.BigToHash(big.NewInt(1))}}})
	if err != nil || len(logs) != 1 {
		t.Fatalf("%v, %v", logs, err)
	}
	if l := logs[0]; l.TxHash != hash || l.BlockNumber != 2 || common.BytesToHash(l.Data).Big().Int64() != 7 {
		t.Fatalf("%+v", l)
	}
}

func TestReorg(t *testing.T) {
	n := start(t, Config{Manual: true})
	ctx := t.Context()
	mine := func(blocks int) {
		t.Helper()
		if _, err := n.Mine(blocks); err != nil {
			t.Fatal(err)
		}
	}
	hash := send(t, n, bob, 5)
	mine(2)
	old, err := n.Client().HeaderByNumber(ctx, big.NewInt(2))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Reorg(2, 3, false); err != nil {
		t.Fatal(err)
	}
	now, err := n.Client().HeaderByNumber(ctx, big.NewInt(2))
	if err != nil || now.Hash() == old.Hash() || n.Height() != 4 {
		t.Fatalf("block 2 is %v, was %v, height %d: %v", now.Hash(), old.Hash(), n.Height(), err)
	}
	if got := balance(t, n, bob); got != 0 || n.Pending() != 1 {
		t.Fatalf("bob has %d wei, %d transactions wait", got, n.Pending())
	}
	mine(1) // it went back to the pool
	if r, err := n.Client().TransactionReceipt(ctx, hash); err != nil || r.BlockNumber.Uint64() != 5 {
		t.Fatalf("%v, %v", r, err)
	}
	mine(5)
	final := n.Finalized()
	if final != 8 {
		t.Fatalf("finalized is %d", final)
	}
	// Below finality, with fewer blocks than before, and the payment never happened.
	if err := n.Reorg(6, 1, true); err != nil {
		t.Fatal(err)
	}
	if got := balance(t, n, bob); got != 0 || n.Pending() != 0 || n.Height() != 5 || n.Finalized() != 3 {
		t.Fatalf("bob has %d wei, %d wait, height %d, finalized %d", got, n.Pending(), n.Height(), n.Finalized())
	}
	if _, err := n.Client().TransactionReceipt(ctx, hash); !errors.Is(err, ethereum.NotFound) {
		t.Fatalf("receipt of what never happened: %v", err)
	}
	for _, bad := range [][2]int{{0, 1}, {1, 0}, {6, 1}} {
		if err := n.Reorg(bad[0], bad[1], false); !errors.Is(err, ErrReorg) {
			t.Errorf("Reorg%v: %v", bad, err)
		}
	}
	n.SetAutomine(true)
	send(t, n, bob, 9)
	wait(t, "the payment on the new branch", func() bool { return balance(t, n, bob) == 9 })
}

func TestRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ethereum")
	alice := common.HexToAddress("0x00000000000000000000000000000000000a11ce")
	cfg := Config{DataDir: dir, Manual: true, Alloc: map[common.Address]*big.Int{alice: big.NewInt(77)}}
	n := start(t, cfg)
	send(t, n, bob, 5)
	if _, err := n.Mine(1); err != nil {
		t.Fatal(err)
	}
	faucet, tip := n.Faucet(), header(t, n)
	if err := errors.Join(n.Close(), n.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Mine(1); !errors.Is(err, ErrClosed) {
		t.Fatalf("mining on a closed node: %v", err)
	}
	if st, err := os.Stat(filepath.Join(dir, faucetFile)); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("faucet key: %v, %v", st, err)
	}
	cfg.Manual, cfg.BlockInterval = false, time.Millisecond
	n = start(t, cfg)
	if n.Faucet() != faucet || balance(t, n, bob) != 5 || balance(t, n, alice) != 77 {
		t.Fatalf("faucet %v, bob %d, alice %d", n.Faucet(), balance(t, n, bob), balance(t, n, alice))
	}
	if _, err := n.Client().HeaderByHash(t.Context(), tip.Hash()); err != nil {
		t.Fatal(err)
	}
	// What the run before left without finality becomes final.
	wait(t, "finality", func() bool { return n.Finalized() == 2 })
}

// TestKill opens what is on the disk while the node runs, which is what a kill leaves: no block may be missing.
func TestKill(t *testing.T) {
	running := filepath.Join(t.TempDir(), "ethereum")
	n := start(t, Config{DataDir: running, Manual: true})
	send(t, n, bob, 5)
	if _, err := n.Mine(3); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(t.TempDir(), "ethereum")
	if err := os.CopyFS(left, os.DirFS(running)); err != nil {
		t.Fatal(err)
	}
	again := start(t, Config{DataDir: left, Manual: true})
	if got, want := header(t, again).Hash(), header(t, n).Hash(); got != want || again.Finalized() != n.Finalized() || balance(t, again, bob) != 5 {
		t.Errorf("block %d, final to %d, bob has %d; want %d, %d and 5", again.Height(), again.Finalized(), balance(t, again, bob), n.Height(), n.Finalized())
	}
}

func header(t *testing.T, n *Node) *types.Header {
	t.Helper()
	h, err := n.Client().HeaderByNumber(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestRefusals(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", "example.org:1", "127.0.0.1", "127.0.0.1:70000"} {
		if _, err := Start(Config{ListenAddr: addr}); !errors.Is(err, ErrListen) {
			t.Errorf("%s: %v", addr, err)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, faucetFile), []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(Config{DataDir: dir}); !errors.Is(err, ErrFaucet) {
		t.Errorf("damaged key: %v", err)
	}
	n := start(t, Config{Manual: true})
	if _, err := n.SendETH(t.Context(), bob, new(big.Int).Lsh(big.NewInt(1), 200)); err == nil {
		t.Error("the faucet paid more than it has")
	}
	if second, err := Start(Config{ListenAddr: n.URL()[len("http://"):]}); err == nil {
		second.Close()
		t.Error("two nodes on one port")
	}
}
