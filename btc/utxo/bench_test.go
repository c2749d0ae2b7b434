package utxo

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"fusion/btc"
	"fusion/internal/kv"
	"fusion/internal/pebblelog"
)

// pebbleStore is a kv.Store over one batch, as the replica has it.
type pebbleStore struct {
	b testing.TB
	r *pebble.Batch
}

func (p pebbleStore) Get(k []byte) ([]byte, bool) {
	v, closer, err := p.r.Get(k)
	if err == pebble.ErrNotFound {
		return nil, false
	}
	if err != nil {
		p.b.Fatal(err)
	}
	defer closer.Close()
	return bytes.Clone(v), true
}

func (p pebbleStore) Scan(lower, upper []byte, visit func(k, v []byte) bool) {
	it, err := p.r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		p.b.Fatal(err)
	}
	defer it.Close()
	for ok := it.First(); ok && visit(it.Key(), it.Value()); ok = it.Next() {
	}
}

func (p pebbleStore) Set(k, v []byte) {
	if err := p.r.Set(k, v, nil); err != nil {
		p.b.Fatal(err)
	}
}

func (p pebbleStore) Delete(k []byte) {
	if err := p.r.Delete(k, nil); err != nil {
		p.b.Fatal(err)
	}
}

// mainnetSized mines blocks like mainnet's: transactions with two inputs and two outputs, which spend what came some blocks before.
func mainnetSized(tb testing.TB, sim *simnet, count, txs int) []*block {
	miner := testAddress(1)
	blocks := sim.chain(sim.genesis, 101, miner)
	tip := last(blocks)
	value := 50 * btc.Coin / btc.Satoshi(2*txs)
	fan := &btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: out(blocks[0].txs[0], 0)}}}
	for i := range 2 * txs {
		fan.Outputs = append(fan.Outputs, btc.TxOut{Value: value, Script: scriptOf(uint64(i))})
	}
	tip = sim.mine(tip, miner, 0, fan)
	blocks = append(blocks, tip)
	var free []btc.Outpoint
	for i := range fan.Outputs {
		free = append(free, out(fan, uint32(i)))
	}
	serial := uint64(1 << 32)
	for range count {
		var list []*btc.Tx
		var next []btc.Outpoint
		for i := range txs {
			tx := &btc.Tx{Version: 2}
			for _, o := range free[2*i : 2*i+2] {
				tx.Inputs = append(tx.Inputs, btc.TxIn{Prev: o, Witness: [][]byte{make([]byte, 72), make([]byte, 33)}})
			}
			for range 2 {
				serial++
				tx.Outputs = append(tx.Outputs, btc.TxOut{Value: value, Script: scriptOf(serial)})
			}
			id := tx.Txid()
			next = append(next, btc.Outpoint{Txid: id}, btc.Outpoint{Txid: id, Vout: 1})
			list = append(list, tx)
		}
		free = next
		tip = sim.mine(tip, miner, 0, list...)
		blocks = append(blocks, tip)
	}
	return blocks
}

func scriptOf(n uint64) []byte {
	h := btc.Hash160(binary.LittleEndian.AppendUint64(nil, n))
	return append([]byte{0, 20}, h[:]...)
}

// BenchmarkIngest measures blocks of 2,000 transactions, 4,000 inputs and 4,000 outputs from proposal check to commit, the stable set included.
func BenchmarkIngest(b *testing.B) {
	for _, name := range []string{"mem", "pebble"} {
		b.Run(name, func(b *testing.B) {
			sim := newSimnet(b)
			sim.params.BIP34Height = 1 // as on mainnet, where BIP30 need not be checked any more
			blocks := mainnetSized(b, sim, b.N, 2000)
			warm, blocks := blocks[:len(blocks)-b.N], blocks[len(blocks)-b.N:]
			var store kv.Store = kv.NewMem()
			commit := func() kv.Store { return store }
			if name == "pebble" {
				cache := pebble.NewCache(256 << 20)
				defer cache.Unref()
				options := &pebble.Options{Logger: pebblelog.Logger{}, Cache: cache, MemTableSize: 64 << 20}
				for i := range options.Levels {
					options.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
				}
				db, err := pebble.Open(b.TempDir(), options)
				if err != nil {
					b.Fatal(err)
				}
				defer db.Close()
				batch := db.NewIndexedBatch()
				store = pebbleStore{b, batch}
				commit = func() kv.Store {
					if err := batch.Commit(pebble.NoSync); err != nil {
						b.Fatal(err)
					}
					batch.Close()
					batch = db.NewIndexedBatch()
					return pebbleStore{b, batch}
				}
				defer func() { batch.Close() }()
			}
			st := sim.open(b, 6, store)
			feed(b, st, warm...)
			st.Use(commit())
			b.ResetTimer()
			size := 0
			for _, blk := range blocks {
				it := items(blk)
				size += len(blk.raw)
				if err := st.CheckPayload(it); err != nil {
					b.Fatal(err)
				}
				if o := st.Apply(it, late); o[0].Err != nil {
					b.Fatal(o[0].Err)
				}
				st.Digest()
				st.Use(commit())
			}
			b.SetBytes(int64(size / b.N))
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "blocks/s")
			b.ReportMetric(float64(4000*b.N)/b.Elapsed().Seconds(), "outputs/s")
		})
	}
}

// BenchmarkMuHash measures one element.
func BenchmarkMuHash(b *testing.B) {
	m := NewMuHash()
	e := make([]byte, 80)
	for b.Loop() {
		m.Insert(e)
	}
}

// BenchmarkQuery measures the coins of one address among many, with blocks above the anchor.
func BenchmarkQuery(b *testing.B) {
	sim := newSimnet(b)
	st := sim.open(b, 6, kv.NewMem())
	feed(b, st, mainnetSized(b, sim, 30, 2000)...)
	v := st.Live()
	n := uint64(0)
	for b.Loop() {
		n++
		var a btc.Address
		a, _ = btc.AddressOf(btc.Regtest, scriptOf(1<<32+n%120_000))
		if _, err := v.UTXOs(a, 0); err != nil {
			b.Fatal(err)
		}
	}
}
