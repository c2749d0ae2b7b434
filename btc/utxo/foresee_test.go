package utxo

import (
	"bytes"
	"errors"
	"math/rand"
	"runtime"
	"sync"
	"testing"

	"fusion/btc"
	"fusion/internal/kv"
)

// What other goroutines foresee, and on how many processors, changes nothing of what a state comes to.
func TestForeseeChangesNothing(t *testing.T) {
	sim := newSimnet(t)
	rng := rand.New(rand.NewSource(9))
	blocks := sim.chain(sim.genesis, 140, testAddress(1))
	var free []btc.Outpoint
	for _, b := range blocks[:30] {
		free = append(free, out(b.txs[0], 0))
	}
	blocks = append(blocks, busy(sim, rng, last(blocks), free, 150)...)
	want := sim.open(t, 6, kv.NewMem())
	want.Apply(headers(blocks...), late)
	for _, b := range blocks {
		want.Apply(items(b), late)
	}
	for _, procs := range []int{1, 4} {
		before := runtime.GOMAXPROCS(procs)
		st := sim.open(t, 6, kv.NewMem())
		st.Apply(headers(blocks...), late)
		var wg sync.WaitGroup
		for k := range 3 {
			wg.Go(func() {
				for i := range blocks {
					raw := blocks[(i+k)%len(blocks)].raw
					st.Foresee(raw, nil)
					st.Foresee(raw[:len(raw)-k], nil) // malformed, but for the first goroutine
					wrong := append(bytes.Clone(raw[:36]), raw...)
					st.Foresee(wrong, nil)
				}
			})
		}
		for _, b := range blocks {
			if o := st.Apply(items(b), late); o[0].Err != nil {
				t.Fatal(o[0].Err)
			}
		}
		wg.Wait()
		runtime.GOMAXPROCS(before)
		if st.Digest() != want.Digest() || st.SetHash() != want.SetHash() {
			t.Errorf("on %d processors the state differs", procs)
		}
	}
}

// A block that was foreseen is not looked at again, and forgotten when it is applied; those that are never applied take bounded room.
func TestForeseeRemembers(t *testing.T) {
	sim := newSimnet(t)
	st := sim.open(t, 6, kv.NewMem())
	b := sim.mine(sim.genesis, testAddress(1), 0)
	st.Foresee(b.raw, nil)
	c, err := st.parse(bytes.Clone(b.raw))
	if err != nil || c.draft == nil || len(st.checked) != 1 {
		t.Fatalf("%v, %d blocks are remembered", err, len(st.checked))
	}
	feed(t, st, b)
	if len(st.checked) != 0 || st.checkedBytes != 0 {
		t.Errorf("%d blocks of %d bytes are remembered", len(st.checked), st.checkedBytes)
	}
	st.Foresee(b.raw[:90], nil)
	st.Foresee(make([]byte, MaxBytesPerPayload+1), nil)
	if len(st.checked) != 0 {
		t.Error("a malformed block is remembered")
	}
	tx := &btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: out(b.txs[0], 0), ScriptSig: make([]byte, 900_000)}}, Outputs: b.txs[0].Outputs}
	for range 2*maxCheckedBytes/900_000 + 1 {
		st.Foresee(sim.mine(b, testAddress(1), 0, tx).raw, nil)
		if st.checkedBytes > maxCheckedBytes {
			t.Fatalf("%d bytes are remembered", st.checkedBytes)
		}
	}
}

// A coinbase may claim any height where BIP34 is not enforced: which rules hold is the true one's.
func TestForeseeIsToldAWrongHeight(t *testing.T) {
	sim := newSimnet(t)
	sim.params.BIP34Height, sim.params.SegwitHeight = 1000, 105
	blocks := sim.chain(sim.genesis, 103, testAddress(1))
	claim := func(parent *block, height uint32, witness bool) *block {
		tx := spend(50*btc.Coin, testAddress(2), out(blocks[parent.height-103].txs[0], 0))
		if tx.Inputs[0].Witness = nil; witness {
			tx.Inputs[0].Witness = [][]byte{{1}}
		}
		b := &block{parent: parent, height: parent.height + 1, txs: []*btc.Tx{sim.coinbase(height, 0, testAddress(1)), tx}}
		sim.seal(b)
		return b
	}
	early := claim(last(blocks), 200, true)
	b104 := claim(last(blocks), 200, false)
	b105 := claim(b104, 3, true)
	for _, foreseen := range []bool{false, true} {
		st := sim.open(t, 6, kv.NewMem())
		feed(t, st, blocks...)
		apply := func(b *block) error {
			if foreseen {
				st.Foresee(b.raw, nil)
			}
			it := items(b)
			if err := st.CheckPayload(it); err != nil {
				return err
			}
			return st.Apply(it, late)[0].Err
		}
		if err := apply(early); !errors.Is(err, btc.ErrBlockWitness) {
			t.Errorf("foreseen %v: a witness before its time: %v", foreseen, err)
		}
		for _, b := range []*block{b104, b105} {
			if err := apply(b); err != nil {
				t.Errorf("foreseen %v: block %d: %v", foreseen, b.height, err)
			}
		}
		if h := st.lookup(out(b105.txs[1], 0), st.marked(st.Tip())); h == nil || h.Height != 105 {
			t.Errorf("foreseen %v: the coin is %+v", foreseen, h)
		}
		if re := sim.open(t, 6, st.store); re.Digest() != st.Digest() {
			t.Errorf("foreseen %v: reopened, it differs", foreseen)
		}
	}
}

// Coins that were read ahead are not read again, unless others have settled since: then they count for nothing.
func TestForeseeReadsAhead(t *testing.T) {
	const n = 3 * readShare
	sim := newSimnet(t)
	blocks := sim.chain(sim.genesis, 101, testAddress(1))
	fan := &btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: out(blocks[0].txs[0], 0)}}}
	for i := range uint64(n) {
		fan.Outputs = append(fan.Outputs, btc.TxOut{Value: 1000, Script: scriptOf(i)})
	}
	blocks = append(blocks, sim.mine(last(blocks), testAddress(1), 0, fan))
	blocks = append(blocks, sim.chain(last(blocks), 12, testAddress(1))...)
	young := sim.mine(last(blocks), testAddress(1), 0, spend(1, testAddress(3), out(fan, 0)))
	tx := &btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: out(young.txs[1], 0)}}, Outputs: []btc.TxOut{{Value: 1000, Script: testAddress(2).Script()}}}
	for i := range uint32(n - 1) {
		tx.Inputs = append(tx.Inputs, btc.TxIn{Prev: out(fan, i+1)})
	}
	next := sim.mine(young, testAddress(1), 0, tx)
	open := func() (*State, *kv.Mem) {
		store := kv.NewMem()
		st := sim.open(t, 6, store)
		feed(t, st, blocks...)
		return st, store
	}
	ahead := func(st *State, committed *kv.Mem) *foreseen {
		st.Foresee(young.raw, committed)
		st.Foresee(next.raw, committed)
		c, err := st.parse(next.raw)
		if err != nil || c.foreseen.Load() == nil {
			t.Fatalf("nothing was foreseen: %v", err)
		}
		return c.foreseen.Load()
	}
	want, _ := open()
	feed(t, want, young, next)

	st, store := open()
	if f := ahead(st, store.Clone()); f.looked[0] || f.coins[0] != nil {
		t.Error("a coin of a block that is not linked yet was looked for in the stable set")
	} else if !f.looked[1] || f.coins[1] == nil || f.coins[1].Value != 1000 {
		t.Errorf("a stable coin was not found: %+v", f.coins[1])
	}
	stillReads(t, st, next)
	feed(t, st, young)
	if st.Digest() == want.Digest() {
		t.Fatal("the states are the same too early")
	}
	feed(t, st, next)
	if st.Digest() != want.Digest() || balanceOf(t, st, testAddress(2), 0) != 1000 {
		t.Error("with coins read ahead the state differs")
	}

	// The commit that is read has another amount under one of the keys. While the state is at that very set it is believed, as the store is; later it is not.
	st, store = open()
	feed(t, st, young)
	altered := store.Clone()
	altered.Set(coinKey(out(fan, 1)), encodeCoin(&Coin{Outpoint: out(fan, 1), Value: 1, Height: 102, Script: scriptOf(1)}))
	if f := ahead(st, altered); f.coins[1].Value != 1 {
		t.Fatalf("read ahead: %+v", f.coins[1])
	}
	more := sim.chain(young, 3, testAddress(4))
	feed(t, st, more...)
	side := sim.mine(last(more), testAddress(1), 0, &btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: out(fan, 1)}}, Outputs: []btc.TxOut{{Value: 1000, Script: testAddress(2).Script()}}})
	st.Foresee(side.raw, altered)
	if o := st.Apply(items(side), late); o[0].Err != nil {
		t.Errorf("coins of an earlier stable set counted: %v", o[0].Err)
	}
	st.Foresee(next.raw, unreadable{})
}

// stillReads checks that the store is not asked for what was read ahead.
func stillReads(t *testing.T, s *State, b *block) {
	t.Helper()
	blk := parsed(t, b)
	c, err := s.parse(b.raw)
	if err != nil {
		t.Fatal(err)
	}
	store := &counting{Store: s.store}
	s.Use(store)
	s.sources(blk, draftOf(blk, b.height), 0, c.foreseen.Load())
	s.Use(store.Store)
	if store.coins > 1 { // the first is one of a block that is not linked
		t.Errorf("%d coins were read", store.coins)
	}
}

// counting counts what is read of the coins.
type counting struct {
	kv.Store
	coins int
}

func (c *counting) Get(k []byte) ([]byte, bool) {
	if k[0] == 'u' {
		c.coins++
	}
	return c.Store.Get(k)
}
