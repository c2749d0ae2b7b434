package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ecdsa"

	"fusion/adapters/bitcoin/fullnode"
	"fusion/btc"
	"fusion/ckledger/ckbtc"
	"fusion/ic/candid"
	"fusion/replica"
	"fusion/replica/management"
	"fusion/testnets"
	"fusion/testnets/canisters"
	"fusion/testnets/golden"
)

// nodeChain is golden.Chain on a real full node without a wallet: the coins of its miner are spent here. It follows the main chain
// block by block and does not expect reorganisations.
type nodeChain struct {
	node   *fullnode.Process
	key    *btcec.PrivateKey
	miner  btc.Address
	next   uint32 // the next block to read
	coins  map[btc.Outpoint]coin
	mined  map[btc.Hash]uint32
	locked map[btc.Outpoint]bool // spent by what waits in the memory pool
}

type coin struct {
	btc.TxOut
	height uint32
}

func (c *nodeChain) follow(ctx context.Context) error {
	tip, err := c.node.Height(ctx)
	if err != nil {
		return err
	}
	for ; c.next <= tip; c.next++ {
		hash, err := c.node.HashAt(ctx, c.next)
		if err != nil {
			return err
		}
		raw, err := c.node.Block(ctx, hash)
		if err != nil {
			return err
		}
		b, err := btc.ParseBlock(raw)
		if err != nil {
			return err
		}
		for i, tx := range b.Txs {
			for _, in := range tx.Inputs {
				delete(c.coins, in.Prev)
			}
			for v, out := range tx.Outputs {
				c.coins[btc.Outpoint{Txid: b.Txid(i), Vout: uint32(v)}] = coin{out, c.next}
			}
			c.mined[b.Txid(i)] = c.next
		}
	}
	return nil
}

func (c *nodeChain) Mine(ctx context.Context, in testnets.MineRequest) (testnets.MineReply, error) {
	if err := c.node.Generate(ctx, in.Blocks); err != nil {
		return testnets.MineReply{}, err
	}
	tip, err := c.node.Tip(ctx)
	return testnets.MineReply{Hashes: []string{tip.String()}}, err
}

func (c *nodeChain) Send(ctx context.Context, in testnets.SendRequest) (string, error) {
	const fee = 1000
	to, err := btc.ParseAddress(btc.Regtest, in.Address)
	if err != nil {
		return "", err
	}
	if err := c.follow(ctx); err != nil {
		return "", err
	}
	pub := c.key.PubKey().SerializeCompressed()
	for o, u := range c.coins {
		if u.height+100 > c.next || u.Value < in.Satoshi+2*fee || c.locked[o] || string(u.Script) != string(c.miner.Script()) {
			continue
		}
		tx := &btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: o, Sequence: btc.SequenceRBF}},
			Outputs: []btc.TxOut{{Value: in.Satoshi, Script: to.Script()}, {Value: u.Value - in.Satoshi - fee, Script: c.miner.Script()}}}
		digest, err := btc.NewSigHashes(tx).P2WPKH(0, pub, u.Value)
		if err != nil {
			return "", err
		}
		if err := tx.SignP2WPKH(0, ecdsa.SignCompact(c.key, digest[:], true)[1:], pub); err != nil {
			return "", err
		}
		c.locked[o] = true
		return tx.Txid().String(), c.node.Submit(ctx, tx.Bytes())
	}
	return "", errors.New("the miner has no mature coin that is large enough")
}

func (c *nodeChain) Balance(ctx context.Context, address string) (sum btc.Satoshi, err error) {
	a, err := btc.ParseAddress(btc.Regtest, address)
	if err != nil {
		return 0, err
	}
	if err := c.follow(ctx); err != nil {
		return 0, err
	}
	for _, u := range c.coins {
		if string(u.Script) == string(a.Script()) {
			sum += u.Value
		}
	}
	return sum, nil
}

func (c *nodeChain) Tx(ctx context.Context, txid string) (testnets.BitcoinTx, error) {
	id, err := btc.ParseHash(txid)
	if err != nil {
		return testnets.BitcoinTx{}, err
	}
	pool, err := c.node.Mempool(ctx)
	if err != nil {
		return testnets.BitcoinTx{}, err
	}
	if slices.Contains(pool, id) {
		return testnets.BitcoinTx{Txid: txid}, nil
	}
	if err := c.follow(ctx); err != nil {
		return testnets.BitcoinTx{}, err
	}
	if h, ok := c.mined[id]; ok {
		return testnets.BitcoinTx{Txid: txid, Height: h, Confirmations: c.next - h}, nil
	}
	return testnets.BitcoinTx{}, fmt.Errorf("the node knows no transaction %s", txid)
}

// find reads a transaction from the block that it is mined in.
func (c *nodeChain) find(txid string) (*btc.Tx, error) {
	ctx := context.Background()
	id, err := btc.ParseHash(txid)
	if err != nil {
		return nil, err
	}
	if err := c.follow(ctx); err != nil {
		return nil, err
	}
	hash, err := c.node.HashAt(ctx, c.mined[id])
	if err != nil {
		return nil, err
	}
	raw, err := c.node.Block(ctx, hash)
	if err != nil {
		return nil, err
	}
	b, err := btc.ParseBlock(raw)
	if err != nil {
		return nil, err
	}
	for i := range b.Txs {
		if b.Txid(i) == id {
			return &b.Txs[i], nil
		}
	}
	return nil, fmt.Errorf("transaction %s is not mined", txid)
}

// TestBtcd and TestBitcoind deposit and redeem through a real full node, which the replicas reach over P2P alone. It checks the threshold
// signatures, of ECDSA and of taproot outputs, and holds what we send to the rules of the public network's memory pools.
func TestBtcd(t *testing.T) {
	t.Parallel()
	onFullNode(t, fullnode.Config{Kind: fullnode.Btcd, Bin: program(t, "BTCD_BIN")}, fullnode.SegwitHeight+8)
}

// TestBitcoind is TestBtcd on bitcoind.
func TestBitcoind(t *testing.T) {
	t.Parallel()
	bin := program(t, "BITCOIND_BIN")
	if _, err := os.Stat(bin); err != nil {
		t.Skipf("there is no bitcoind: %v (the Makefile's target bin/bitcoind says why)", err)
	}
	onFullNode(t, fullnode.Config{Kind: fullnode.Bitcoind, Bin: bin}, 110)
}

func onFullNode(t *testing.T, cfg fullnode.Config, blocks int) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	key, public := btcec.PrivKeyFromBytes([]byte("a miner on a full node's regtest"))
	miner, err := btc.P2WPKHFromPubKey(btc.Regtest, public.SerializeCompressed())
	must(t, err)
	cfg.Dir, cfg.MiningAddress = t.TempDir(), miner.String()
	node, err := fullnode.Start(ctx, cfg)
	must(t, err)
	defer node.Close()
	must(t, node.Generate(ctx, blocks))

	// The chain is another than the golden network's, so this network is made from nothing.
	dir, err := os.MkdirTemp("", "fn")
	must(t, err)
	defer os.RemoveAll(dir)
	m, err := testnets.Create(dir, testnets.Settings{BitcoinPeer: node.Addr()})
	must(t, err)
	allowNode(t, dir, m.Nodes)
	log, err := os.Create(filepath.Join(dir, testnets.LogFile))
	must(t, err)
	defer func() {
		log.Close()
		if t.Failed() {
			t.Logf("end of the log:\n%s", golden.Tail(log.Name(), 40))
		}
	}()
	n, err := testnets.Run(ctx, dir, testnets.RunOptions{Log: slog.New(slog.NewTextHandler(log, nil))})
	must(t, err)
	defer n.Close()
	must(t, n.Bootstrap(ctx))
	must(t, n.WaitKeys(ctx))
	chain := &nodeChain{node: node, key: key, miner: miner, coins: map[btc.Outpoint]coin{}, mined: map[btc.Hash]uint32{}, locked: map[btc.Outpoint]bool{}}
	w, err := golden.OpenWorld(ctx, dir, chain, func(_ context.Context, i int) (replica.Status, error) { return n.Replica(i).Status(), nil })
	must(t, err)
	defer w.Close()
	alice := user(t, w, "alice", 0)
	const deposit, redeem = 50_000_000, 5_000_000
	txid, err := alice.Deposit(ctx, deposit)
	must(t, err)
	must(t, w.Mine(ctx, testnets.Confirmations))
	minted, err := alice.Mint(ctx, 1)
	must(t, err)
	if minted != deposit-testnets.CheckFee {
		t.Fatalf("%d sat were minted for %d in %s", minted, deposit, txid)
	}
	kinds := []btc.AddressKind{btc.P2PKH, btc.P2SH, btc.P2WPKH, btc.P2WSH, btc.P2TR}
	must(t, alice.Approve(ctx, uint64(len(kinds))*(redeem+testnets.TransferFee)))
	addresses, asked := make([]string, len(kinds)), make([]uint64, len(kinds))
	for i, kind := range kinds {
		addresses[i] = golden.FreshAddressOf(kind, t.Name())
		res, err := alice.Retrieve(ctx, addresses[i], redeem)
		must(t, err)
		if res.Ok == nil {
			t.Fatalf("the minter refuses %d sat to %s: %+v", redeem, addresses[i], res.Err)
		}
		asked[i] = res.Ok.BlockIndex
	}
	for i, kind := range kinds {
		txid, err := alice.Finish(ctx, asked[i])
		must(t, err)
		got, err := chain.Balance(ctx, addresses[i])
		must(t, err)
		if got <= 0 || got > redeem {
			t.Errorf("%s received %d sat for %d", addresses[i], got, redeem)
		}
		t.Logf("%s: %d of %d sat to %s in %s", kind, got, redeem, addresses[i], txid)
	}
	supply, err := w.Audit(ctx, alice)
	must(t, err)
	t.Logf("deposit %s, supply %d", txid, supply)
	checkDeposits(ctx, t, n, w, chain, alice)
	bump(ctx, t, w, node, alice)

	signer, err := golden.InstallSigner(ctx, alice, "../testdata/signer")
	must(t, err)
	must(t, w.SpendTaproot(ctx, signer, chain.find, func(tx *btc.Tx) error { return node.Submit(ctx, tx.Bytes()) }))
}

// bump makes the minter impatient: a payment that no block takes is replaced, and the node's memory pool takes the replacement for the
// transaction before.
func bump(ctx context.Context, t *testing.T, w *golden.World, node *fullnode.Process, alice *golden.User) {
	const redeem = 1_000_000
	setLimits(ctx, t, w, ckbtc.UpgradeArgs{Limits: &ckbtc.Limits{ResubmissionDelayNanos: new(uint64(5e9)), PollNanos: new(uint64(1e9))}})
	address := golden.FreshAddress(t.Name())
	block, err := alice.Redeem(ctx, address, redeem)
	must(t, err)
	var seen []btc.Hash // what the pool held, one after the other
	must(t, golden.Wait(ctx, "a replacement in the node's memory pool", func() (string, error) {
		pool, err := node.Mempool(ctx)
		if err != nil {
			return "", err
		}
		if len(pool) > 1 {
			return "", fmt.Errorf("the memory pool holds %v at once", pool)
		}
		if len(pool) == 1 && !slices.Contains(seen, pool[0]) {
			seen = append(seen, pool[0])
		}
		if len(seen) < 2 {
			return fmt.Sprintf("it held %v", seen), nil
		}
		return "", nil
	}))
	setLimits(ctx, t, w, ckbtc.UpgradeArgs{Limits: &ckbtc.Limits{ResubmissionDelayNanos: new(uint64(24 * time.Hour))}})
	paid, err := alice.Finish(ctx, block)
	must(t, err)
	if paid == seen[0].String() {
		t.Errorf("%s was mined, which had been replaced", paid)
	}
	_, err = w.Audit(ctx, alice)
	must(t, err)
	t.Logf("replaced by fee: %v", seen)
}

// setLimits upgrades the minter.
func setLimits(ctx context.Context, t *testing.T, w *golden.World, args ckbtc.UpgradeArgs) {
	t.Helper()
	code, err := canisters.Module("ckbtc_minter")
	must(t, err)
	arg, err := candid.Marshal(ckbtc.MinterArg{Upgrade: new(&args)})
	must(t, err)
	must(t, testnets.Install(ctx, user(t, w, testnets.DefaultIdentity, 0).Agent, w.Minter, management.ModeUpgrade(nil), code, arg))
}
