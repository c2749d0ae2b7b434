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

	"fusion/adapters/bitcoin/btcd"
	"fusion/btc"
	"fusion/replica"
	"fusion/testnets"
	"fusion/testnets/golden"
)

// btcdChain is golden.Chain on the real btcd, which has no wallet: the coins of its miner are spent here. It follows the main chain
// block by block and does not expect reorganisations.
type btcdChain struct {
	node   *btcd.Process
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

func (c *btcdChain) follow(ctx context.Context) error {
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

func (c *btcdChain) Mine(ctx context.Context, in testnets.MineRequest) (testnets.MineReply, error) {
	if err := c.node.Generate(ctx, in.Blocks); err != nil {
		return testnets.MineReply{}, err
	}
	tip, err := c.node.Tip(ctx)
	return testnets.MineReply{Hashes: []string{tip.String()}}, err
}

func (c *btcdChain) Send(ctx context.Context, in testnets.SendRequest) (string, error) {
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

func (c *btcdChain) Balance(ctx context.Context, address string) (sum btc.Satoshi, err error) {
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

func (c *btcdChain) Tx(ctx context.Context, txid string) (testnets.BitcoinTx, error) {
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
	return testnets.BitcoinTx{}, fmt.Errorf("btcd knows no transaction %s", txid)
}

// find reads a transaction from the block that it is mined in.
func (c *btcdChain) find(txid string) (*btc.Tx, error) {
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

// TestBtcd deposits and redeems through the real btcd, which the replicas reach over P2P alone. btcd checks the threshold signatures, of
// ECDSA and of taproot outputs.
func TestBtcd(t *testing.T) {
	bin := program(t, "BTCD_BIN")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	key, public := btcec.PrivKeyFromBytes([]byte("a miner on btcd's regtest"))
	miner, err := btc.P2WPKHFromPubKey(btc.Regtest, public.SerializeCompressed())
	must(t, err)
	node, err := btcd.Start(ctx, btcd.Config{Bin: bin, Dir: t.TempDir(), MiningAddress: miner.String()})
	must(t, err)
	defer node.Close()
	must(t, node.Generate(ctx, btcd.SegwitHeight+8))

	// The chain is another than the golden network's, so this network is made from nothing.
	dir, err := os.MkdirTemp("", "fn")
	must(t, err)
	defer os.RemoveAll(dir)
	_, err = testnets.Create(dir, testnets.Settings{BitcoinPeer: node.Addr()})
	must(t, err)
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
	chain := &btcdChain{node: node, key: key, miner: miner, coins: map[btc.Outpoint]coin{}, mined: map[btc.Hash]uint32{}, locked: map[btc.Outpoint]bool{}}
	w, err := golden.OpenWorld(ctx, dir, chain, func(_ context.Context, i int) (replica.Status, error) { return n.Replica(i).Status(), nil })
	must(t, err)
	defer w.Close()
	alice := user(t, w, "alice", 0)
	const deposit, redeem = 50_000_000, 20_000_000
	txid, err := alice.Deposit(ctx, deposit)
	must(t, err)
	must(t, w.Mine(ctx, testnets.Confirmations))
	minted, err := alice.Mint(ctx, 1)
	must(t, err)
	if minted != deposit-testnets.CheckFee {
		t.Fatalf("%d sat were minted for %d in %s", minted, deposit, txid)
	}
	address := golden.FreshAddress(t.Name())
	block, err := alice.Redeem(ctx, address, redeem)
	must(t, err)
	paidIn, err := alice.Finish(ctx, block)
	must(t, err)
	got, err := chain.Balance(ctx, address)
	must(t, err)
	if got <= 0 || got > redeem {
		t.Errorf("%s received %d sat for %d", address, got, redeem)
	}
	supply, err := w.Audit(ctx, alice)
	must(t, err)
	t.Logf("deposit %s, withdrawal %s of %d sat, supply %d", txid, paidIn, got, supply)

	signer, err := golden.InstallSigner(ctx, alice, "../testdata/signer")
	must(t, err)
	must(t, w.SpendTaproot(ctx, signer, chain.find, func(tx *btc.Tx) error { return node.Submit(ctx, tx.Bytes()) }))
}
