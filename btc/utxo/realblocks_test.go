package utxo

import (
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"fusion/btc"
	"fusion/btc/chain"
	"fusion/internal/kv"
	"fusion/internal/modtest"
)

// btcdFile reads a file of the test data in btcd's module, which this module depends on.
func btcdFile(t testing.TB, path string) []byte {
	t.Helper()
	raw := modtest.Read(t, "github.com/btcsuite/btcd", path)
	if strings.HasSuffix(path, ".bz2") {
		unpacked, err := io.ReadAll(bzip2.NewReader(bytes.NewReader(raw)))
		if err != nil {
			t.Fatal(err)
		}
		return unpacked
	}
	return raw
}

// realBlock is a mainnet block with a state that ends right below it.
type realBlock struct {
	*btc.Block
	t      *testing.T
	st     *State
	node   *chain.Node
	height uint32
}

func newRealBlock(t *testing.T, raw []byte, height uint32) *realBlock {
	t.Helper()
	blk, err := btc.ParseBlock(raw)
	if err != nil {
		t.Fatal(err)
	}
	p, err := chain.ParamsOf(btc.Mainnet)
	if err != nil {
		t.Fatal(err)
	}
	st, err := Open(Options{Params: p}, kv.NewMem())
	if err != nil {
		t.Fatal(err)
	}
	// The header below is not at hand; that this one has the work which it claims was checked by all of mainnet.
	return &realBlock{blk, t, st, &chain.Node{Header: blk.Header, Hash: blk.Header.Hash(), Height: height, Work: chain.Work(blk.Header.Bits), Parent: &chain.Node{Hash: blk.Header.Prev, Height: height - 1}}, height}
}

// external are the inputs that come from other blocks, by the transaction that spends them.
func (r *realBlock) external() map[int][]btc.Outpoint {
	own := map[btc.Hash]bool{}
	for i := range r.Txs {
		own[r.Txid(i)] = true
	}
	out := map[int][]btc.Outpoint{}
	for i := range r.Txs[1:] {
		for _, in := range r.Txs[i+1].Inputs {
			if !own[in.Prev.Txid] {
				out[i+1] = append(out[i+1], in.Prev)
			}
		}
	}
	return out
}

// seed puts coins into the stable set.
func (r *realBlock) seed(coins ...Coin) {
	w := r.st.writer()
	for i := range coins {
		w.add(&coins[i], false, false)
	}
	w.flush()
}

// settle takes the block into the stable set and checks that exactly its inputs are gone and its outputs there, hash included.
func (r *realBlock) settle(before []Coin) (fees btc.Satoshi) {
	t := r.t
	t.Helper()
	b, err := r.st.validate(r.Block, draftOf(r.Block, r.node.Height), r.node, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := btc.ParseCompact(r.Compact())
	if err != nil {
		t.Fatal(err)
	}
	if stored, err := r.st.validate(c, draftOf(c, r.node.Height), r.node, nil); err != nil || !slices.Equal(stored.fees, b.fees) {
		t.Errorf("as it is stored its fees are others, %v", err)
	}
	set := map[btc.Outpoint]Coin{}
	for _, c := range before {
		set[c.Outpoint] = c
	}
	var in, made btc.Satoshi
	for i := range r.Txs {
		for _, x := range r.Txs[i].Inputs[:len(r.Txs[i].Inputs)*min(i, 1)] {
			in += set[x.Prev].Value
			delete(set, x.Prev)
		}
		for j, o := range r.Txs[i].Outputs {
			if i > 0 {
				made += o.Value
			}
			if !btc.Unspendable(o.Script) {
				op := btc.Outpoint{Txid: r.Txid(i), Vout: uint32(j)}
				set[op] = Coin{op, o.Value, r.height, i == 0, o.Script}
			}
		}
	}
	r.st.link(b, len(r.Raw))
	r.st.write([]*body{b})
	mu := NewMuHash()
	for o, want := range set {
		c := stableCoin(r.st.store, o)
		if c == nil || c.Value != want.Value || c.Height != want.Height || c.Coinbase != want.Coinbase || !bytes.Equal(c.Script, want.Script) {
			t.Fatalf("coin %v is %+v, want %+v", o, c, want)
		}
		mu.Insert(want.element())
	}
	if n := len(stableCoins(t, r.st.store)); n != len(set) || r.st.coins != uint64(n) || r.st.muhash.Digest() != mu.Digest() {
		t.Errorf("%d coins are stored, %d counted, want %d, or their hash is wrong", n, r.st.coins, len(set))
	}
	return in - made
}

// Mainnet blocks with segwit, from btcd's test data: their names, transactions, roots and commitments are what they are known to be, a change to any
// part is found, and the coin set takes them. The coins that they spend are not at hand, so these are made to fit.
func TestRealSegwitBlocks(t *testing.T) {
	for _, c := range []struct {
		hash                       string
		height                     uint32
		txs, bytes, weight, inputs int
		fees                       btc.Satoshi
	}{
		{"0000000000000000001602407ac49862a7bca9d00f7f402db20b7be2f5de59d2", 574_200, 3315, 1_245_250, 3_993_106, 5055, 50_076_961},
		{"00000000000000000021868c2cefc52a480d173c849412fe81c4e5ab806f94ab", 540_107, 230, 2_259_447, 3_993_333, 7033, 4_491_058},
	} {
		raw := btcdFile(t, "wire/testdata/block-"+c.hash+".blk")
		blk, err := btc.ParseBlock(raw)
		if err != nil {
			t.Fatal(err)
		}
		height, ok := blk.CoinbaseHeight()
		inputs := 0
		for i := range blk.Txs {
			inputs += len(blk.Txs[i].Inputs)
		}
		r := newRealBlock(t, raw, height)
		if blk.Header.Hash().String() != c.hash || !ok || height != c.height || len(blk.Txs) != c.txs || len(raw) != c.bytes || blk.Weight() != c.weight || inputs != c.inputs {
			t.Errorf("block %v at height %d: %d transactions, %d inputs, %d bytes, weight %d", blk.Header.Hash(), height, len(blk.Txs), inputs, len(raw), blk.Weight())
		}
		if err := blk.Check(true); err != nil {
			t.Fatal(err)
		}
		for i := range blk.Txs {
			if blk.Txs[i].Txid() != blk.Txid(i) {
				t.Fatalf("transaction %d encodes to another id", i)
			}
		}
		harm := func(name string, want error, at int) {
			t.Helper()
			b := slices.Clone(raw)
			b[at] ^= 1
			bad, err := btc.ParseBlock(b)
			if err == nil {
				err = bad.Check(true)
			}
			if !errors.Is(err, want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		harm("another lock time", btc.ErrBlockMerkleRoot, len(raw)-1)
		for i := len(blk.Txs) - 1; i > 0; i-- {
			if w := blk.Txs[i].Inputs[0].Witness; len(w) > 0 && len(w[0]) > 60 {
				harm("another signature", btc.ErrBlockWitness, bytes.LastIndex(raw, w[0])+40)
				break
			}
		}
		// Every outside input gets what its transaction spends, and one pays all the fees.
		var paid btc.Satoshi
		for _, o := range blk.Txs[0].Outputs {
			paid += o.Value
		}
		fees := paid - r.st.Params().Subsidy(height)
		if fees != c.fees {
			t.Errorf("fees %v, want %v", fees, c.fees)
		}
		made := map[btc.Outpoint]btc.Satoshi{}
		for i := range blk.Txs {
			for j, o := range blk.Txs[i].Outputs {
				made[btc.Outpoint{Txid: blk.Txid(i), Vout: uint32(j)}] = o.Value
			}
		}
		external := r.external()
		var coins []Coin
		rest := int64(fees)
		for i := 1; i < len(blk.Txs); i++ {
			sum, _ := blk.Txs[i].OutputSum()
			out := int64(sum)
			for _, in := range blk.Txs[i].Inputs {
				out -= int64(made[in.Prev])
			}
			list := external[i]
			if len(list) == 0 { // spends this block's coins alone: what is left is its fee
				rest += out
				continue
			}
			if out < 0 {
				rest += out
				out = 0
			}
			for _, o := range list {
				coins = append(coins, Coin{o, btc.Satoshi(out), height - 500, false, testAddress(byte(i)).Script()})
				out = 0
			}
		}
		if rest < 0 {
			t.Fatalf("chains of this block pay %d more than all fees", -rest)
		}
		coins[0].Value += btc.Satoshi(rest)
		r.seed(coins...)
		coins[0].Value-- // a satoshi less than the coinbase takes
		poor := newRealBlock(t, raw, height)
		poor.seed(coins...)
		if _, err := poor.st.validate(poor.Block, draftOf(poor.Block, poor.node.Height), poor.node, nil); !errors.Is(err, errCoinbaseMoney) {
			t.Errorf("a coinbase that takes too much: %v", err)
		}
		coins[0].Value++
		if got := r.settle(coins); got != fees {
			t.Errorf("fees %v, want %v", got, fees)
		}
	}
}

// Mainnet's block 277,647 with the coins that it really spent: everything adds up, to the satoshi that the miner took.
func TestRealBlockWithItsCoins(t *testing.T) {
	const height = 277_647
	raw := btcdFile(t, "blockchain/testdata/277647.dat.bz2")[8:]
	r := newRealBlock(t, raw, height)
	if h, ok := r.CoinbaseHeight(); !ok || h != height {
		t.Errorf("height %d", h)
	}
	if err := r.Check(false); err != nil {
		t.Fatal(err)
	}
	// The file holds outpoint, length and the coin as a snapshot has it.
	store := btcdFile(t, "blockchain/testdata/277647.utxostore.bz2")
	le := binary.LittleEndian
	var coins []Coin
	for len(store) > 0 {
		o := btc.Outpoint{Txid: btc.Hash(store[:32]), Vout: le.Uint32(store[32:])}
		n := le.Uint32(store[36:])
		file := append([]byte("utxo\xff\x02\x00"), make([]byte, 36)...)
		le.PutUint32(file[7:], btc.Mainnet.Magic())
		file = append(le.AppendUint64(file, 1), o.Txid[:]...)
		file = append(appendCompact(append(file, 1), uint64(o.Vout)), store[40:40+n]...)
		s, err := ReadSnapshot(btc.Mainnet, bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		list, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		store = store[40+n:]
		if c := list[0]; c.Height < height { // the rest is spent in the block that makes it
			c.Script = bytes.Clone(c.Script)
			coins = append(coins, c)
		}
	}
	spent := 0
	for _, list := range r.external() {
		spent += len(list)
	}
	if len(r.Txs) != 213 || spent != 670 || len(coins) != spent {
		t.Errorf("%d transactions spend %d coins of other blocks, the file has %d", len(r.Txs), spent, len(coins))
	}
	r.seed(coins...)
	paid, err := r.Txs[0].OutputSum()
	if err != nil {
		t.Fatal(err)
	}
	if fees := r.settle(coins); fees != paid-25*btc.Coin {
		t.Errorf("fees %v, the miner took %v beside the subsidy", fees, paid-25*btc.Coin)
	}
}

// The largest transaction of 2015: 5,569 inputs in a megabyte.
func TestRealMegaTransaction(t *testing.T) {
	raw := btcdFile(t, "wire/testdata/megatx.bin.bz2")
	tx, err := btc.ParseTx(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Check(); err != nil {
		t.Error(err)
	}
	if tx.Txid().String() != "bb41a757f405890fb0f5856228e23b715702d714d59bf2b1feb70d8b2b4e3e08" || len(tx.Inputs) != 5569 || !bytes.Equal(tx.Bytes(), raw) {
		t.Errorf("transaction %v with %d inputs", tx.Txid(), len(tx.Inputs))
	}
}
