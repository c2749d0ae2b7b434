package node

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ecdsa"
	"github.com/btcsuite/btcd/btcutil"
	"github.com/btcsuite/btcd/chaincfg/chainhash"
	"github.com/btcsuite/btcd/wire"

	"fusion/btc"
)

// coin is an unspent output of the main chain.
type coin struct {
	value    btc.Satoshi
	script   string
	height   uint32
	coinbase bool
}

// ledger follows the main chain: all its unspent outputs by script, and which block holds a transaction. A regtest chain is small
// enough to keep that in memory.
type ledger struct {
	mu     sync.Mutex
	height uint32
	coins  map[btc.Outpoint]coin
	mine   map[string]map[btc.Outpoint]bool // by script
	txs    map[btc.Hash]btc.Hash
	undo   map[btc.Hash]map[btc.Outpoint]coin // what a block spent
}

func newLedger() *ledger {
	return &ledger{coins: map[btc.Outpoint]coin{}, mine: map[string]map[btc.Outpoint]bool{}, txs: map[btc.Hash]btc.Hash{}, undo: map[btc.Hash]map[btc.Outpoint]coin{}}
}

func (l *ledger) add(o btc.Outpoint, c coin) {
	l.coins[o] = c
	if l.mine[c.script] == nil {
		l.mine[c.script] = map[btc.Outpoint]bool{}
	}
	l.mine[c.script][o] = true
}

func (l *ledger) remove(o btc.Outpoint) (coin, bool) {
	c, ok := l.coins[o]
	if ok {
		delete(l.coins, o)
		delete(l.mine[c.script], o)
		if len(l.mine[c.script]) == 0 {
			delete(l.mine, c.script)
		}
	}
	return c, ok
}

func outpoint(o wire.OutPoint) btc.Outpoint {
	return btc.Outpoint{Txid: btc.Hash(o.Hash), Vout: o.Index}
}

func (l *ledger) connect(b *btcutil.Block) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.height = uint32(b.Height())
	hash := btc.Hash(*b.Hash())
	spent := map[btc.Outpoint]coin{}
	for i, tx := range b.Transactions() {
		id := btc.Hash(*tx.Hash())
		l.txs[id] = hash
		for _, in := range tx.MsgTx().TxIn {
			o := outpoint(in.PreviousOutPoint)
			if c, ok := l.remove(o); ok {
				spent[o] = c
			}
		}
		for j, out := range tx.MsgTx().TxOut {
			if !btc.Unspendable(out.PkScript) {
				l.add(btc.Outpoint{Txid: id, Vout: uint32(j)}, coin{btc.Satoshi(out.Value), string(out.PkScript), l.height, i == 0})
			}
		}
	}
	l.undo[hash] = spent
}

func (l *ledger) disconnect(b *btcutil.Block) {
	l.mu.Lock()
	defer l.mu.Unlock()
	hash := btc.Hash(*b.Hash())
	for o, c := range l.undo[hash] {
		l.add(o, c)
	}
	delete(l.undo, hash)
	for _, tx := range b.Transactions() {
		id := btc.Hash(*tx.Hash())
		delete(l.txs, id)
		for j := range tx.MsgTx().TxOut {
			l.remove(btc.Outpoint{Txid: id, Vout: uint32(j)})
		}
	}
	l.height = uint32(b.Height()) - 1
}

func (l *ledger) blockOf(txid btc.Hash) (btc.Hash, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h, ok := l.txs[txid]
	return h, ok
}

// Balance is the sum of an address's unspent outputs in the main chain, immature coinbases included.
func (n *Node) Balance(address string) (btc.Satoshi, error) {
	a, err := btc.ParseAddress(btc.Regtest, address)
	if err != nil {
		return 0, err
	}
	l := n.wallet
	l.mu.Lock()
	defer l.mu.Unlock()
	var sum btc.Satoshi
	for o := range l.mine[string(a.Script())] {
		sum += l.coins[o].value
	}
	return sum, nil
}

// The faucet's key is no secret: everybody may spend what regtest gives away.
var (
	faucetKey, faucetPub = func() (*btcec.PrivateKey, []byte) {
		seed := sha256.Sum256([]byte("fusion regtest faucet"))
		key, pub := btcec.PrivKeyFromBytes(seed[:])
		return key, pub.SerializeCompressed()
	}()
	faucetAddress = func() btc.Address {
		a, err := btc.P2WPKHFromPubKey(btc.Regtest, faucetPub)
		if err != nil {
			panic(err)
		}
		return a
	}()
)

const (
	faucetRate     = btc.MillisatPerVByte(2000)
	faucetMaturity = 100
)

// FaucetAddress is where blocks for the faucet are mined to.
func (n *Node) FaucetAddress() string { return faucetAddress.String() }

// Send pays an amount from the faucet and puts the transaction into the memory pool. The fee, 2 sat/vB, comes on top.
func (n *Node) Send(address string, amount btc.Satoshi) (btc.Hash, error) {
	return n.SendMany([]Payment{{address, amount}})
}

// Payment is an amount to an address.
type Payment struct {
	Address string      `json:"address"`
	Satoshi btc.Satoshi `json:"satoshi"`
}

// SendMany is Send of several payments in one transaction.
func (n *Node) SendMany(payments []Payment) (btc.Hash, error) {
	tx := &btc.Tx{Version: 2}
	var amount btc.Satoshi
	for _, p := range payments {
		to, err := btc.ParseAddress(btc.Regtest, p.Address)
		if err != nil {
			return btc.Hash{}, err
		}
		if p.Satoshi > btc.MaxMoney || amount+p.Satoshi > btc.MaxMoney {
			return btc.Hash{}, fmt.Errorf("%w: %d satoshi", btc.ErrTxAmount, p.Satoshi)
		}
		if dust := to.DustLimit(); p.Satoshi < dust {
			return btc.Hash{}, fmt.Errorf("%w: %d satoshi is dust for %v, at least %d", ErrRefused, p.Satoshi, to.Kind(), dust)
		}
		amount += p.Satoshi
		tx.Outputs = append(tx.Outputs, btc.TxOut{Value: p.Satoshi, Script: to.Script()})
	}
	n.mining.Lock() // also one payment at a time, so that no two take the same coin
	defer n.mining.Unlock()
	script := faucetAddress.Script()
	coins := n.faucetCoins(script)
	scripts := [][]byte{script}
	for _, o := range tx.Outputs {
		scripts = append(scripts, o.Script)
	}
	var sum, fee btc.Satoshi
	var values []btc.Satoshi
	for _, c := range coins {
		tx.Inputs = append(tx.Inputs, btc.TxIn{Prev: c.o, Sequence: btc.SequenceRBF})
		values = append(values, c.value)
		sum += c.value
		fee = faucetRate.Fee(btc.VSizeP2WPKH(len(tx.Inputs), scripts...))
		if sum >= amount+fee {
			break
		}
	}
	if sum < amount+fee || len(coins) == 0 {
		return btc.Hash{}, fmt.Errorf("%w: %v, wanted %v; mine blocks to %s, coinbases mature after %d", ErrNoFunds, sum, amount+fee, faucetAddress, faucetMaturity)
	}
	if change := sum - amount - fee; change >= faucetAddress.DustLimit() {
		tx.Outputs = append(tx.Outputs, btc.TxOut{Value: change, Script: script})
	}
	hashes := btc.NewSigHashes(tx)
	for i := range tx.Inputs {
		digest, err := hashes.P2WPKH(i, faucetPub, values[i])
		if err != nil {
			return btc.Hash{}, err
		}
		if err := tx.SignP2WPKH(i, ecdsa.SignCompact(faucetKey, digest[:], true)[1:], faucetPub); err != nil {
			return btc.Hash{}, err
		}
	}
	return n.Submit(tx.Bytes())
}

type faucetCoin struct {
	o     btc.Outpoint
	value btc.Satoshi
}

// faucetCoins lists what the faucet can spend, largest first: mature coins of the chain, then change that waits in the memory pool.
func (n *Node) faucetCoins(script []byte) []faucetCoin {
	free := func(o btc.Outpoint) bool {
		return n.pool.CheckSpend(wire.OutPoint{Hash: chainhash.Hash(o.Txid), Index: o.Vout}) == nil
	}
	var out []faucetCoin
	l := n.wallet
	l.mu.Lock()
	for o := range l.mine[string(script)] {
		if c := l.coins[o]; !c.coinbase || l.height+1-c.height >= faucetMaturity {
			out = append(out, faucetCoin{o, c.value})
		}
	}
	l.mu.Unlock()
	out = slices.DeleteFunc(out, func(c faucetCoin) bool { return !free(c.o) })
	sortCoins(out)
	var pending []faucetCoin
	for _, d := range n.pool.TxDescs() {
		for j, o := range d.Tx.MsgTx().TxOut {
			at := btc.Outpoint{Txid: btc.Hash(*d.Tx.Hash()), Vout: uint32(j)}
			if bytes.Equal(o.PkScript, script) && free(at) {
				pending = append(pending, faucetCoin{at, btc.Satoshi(o.Value)})
			}
		}
	}
	sortCoins(pending)
	return append(out, pending...)
}

func sortCoins(c []faucetCoin) {
	slices.SortFunc(c, func(a, b faucetCoin) int {
		if a.value != b.value {
			if a.value > b.value {
				return -1
			}
			return 1
		}
		return bytes.Compare(a.o.Txid[:], b.o.Txid[:])
	})
}
