package utxo

import (
	"errors"
	"runtime"
	"testing"

	"fusion/btc"
	"fusion/internal/kv"
)

// A block that spends many coins of the stable set, which are read by several goroutines, ends where one goroutine does; one that spends a coin which
// is not there is refused, and a store that cannot be read stops who asked.
func TestManyStableInputs(t *testing.T) {
	const n = 6 * readShare
	sim := newSimnet(t)
	blocks := sim.chain(sim.genesis, 101, testAddress(1))
	fan := &btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: out(blocks[0].txs[0], 0)}}}
	for i := range uint64(n) {
		fan.Outputs = append(fan.Outputs, btc.TxOut{Value: 1000, Script: scriptOf(i)})
	}
	tip := sim.mine(last(blocks), testAddress(1), 0, fan)
	blocks = append(blocks, tip)
	blocks = append(blocks, sim.chain(tip, 12, testAddress(1))...)
	spend := func(more ...btc.Outpoint) *block {
		tx := &btc.Tx{Version: 2, Outputs: []btc.TxOut{{Value: 1000, Script: testAddress(2).Script()}}}
		for i := range uint32(n) {
			tx.Inputs = append(tx.Inputs, btc.TxIn{Prev: out(fan, i)})
		}
		for _, o := range more {
			tx.Inputs = append(tx.Inputs, btc.TxIn{Prev: o})
		}
		return sim.mine(last(blocks), testAddress(1), 0, tx)
	}
	bad, good := spend(out(fan, n)), spend()
	digest := map[[32]byte]bool{}
	for _, procs := range []int{1, 4} {
		before := runtime.GOMAXPROCS(procs)
		st := sim.open(t, 6, kv.NewMem())
		feed(t, st, blocks...)
		if o := st.Apply(items(bad), late); !errors.Is(o[0].Err, ErrInvalidBlock) {
			t.Errorf("a missing coin: %v", o[0].Err)
		}
		feed(t, st, good)
		digest[st.Digest()] = true
		st.Use(unreadable{})
		func() {
			defer func() {
				if r := recover(); r != "unreadable" {
					t.Errorf("a store that cannot be read: %v", r)
				}
			}()
			blk := parsed(t, good)
			st.sources(blk, draftOf(blk, good.height), 0, nil)
		}()
		runtime.GOMAXPROCS(before)
	}
	if len(digest) != 1 {
		t.Error("the number of processors changes the state")
	}
}

func parsed(t *testing.T, b *block) *btc.Block {
	blk, err := btc.ParseBlock(b.raw)
	if err != nil {
		t.Fatal(err)
	}
	return blk
}

type unreadable struct{ kv.Store }

func (unreadable) Get([]byte) ([]byte, bool) { panic("unreadable") }
