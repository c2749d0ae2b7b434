package utxo

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand"
	"runtime"
	"slices"
	"testing"
	"weak"

	"fusion/btc"
	"fusion/internal/kv"
)

// busy mines blocks that spend coins of all ages, some of the same block, to few addresses.
func busy(sim *simnet, rng *rand.Rand, from *block, free []btc.Outpoint, n int) []*block {
	var blocks []*block
	value := map[btc.Outpoint]btc.Satoshi{}
	for _, o := range free {
		value[o] = 25 * btc.Coin // no coinbase takes less
	}
	for range n {
		var txs []*btc.Tx
		var made []btc.Outpoint
		for range 1 + rng.Intn(6) {
			i := rng.Intn(len(free))
			tx := &btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: free[i]}}}
			outputs := 1 + rng.Intn(3)
			for k := range outputs {
				tx.Outputs = append(tx.Outputs, btc.TxOut{Value: value[free[i]] / btc.Satoshi(outputs), Script: testAddress(byte(2 + rng.Intn(9))).Script()})
				made = append(made, btc.Outpoint{Vout: uint32(k)})
			}
			id := tx.Txid()
			free = append(free[:i], free[i+1:]...)
			for j := len(made) - len(tx.Outputs); j < len(made); j++ {
				made[j].Txid = id
				value[made[j]] = tx.Outputs[0].Value
			}
			if rng.Intn(3) == 0 { // may be spent in this block
				free, made = append(free, made...), nil
			}
			txs = append(txs, tx)
		}
		from = sim.mine(from, testAddress(1), 0, txs...)
		blocks, free = append(blocks, from), append(free, made...)
	}
	return blocks
}

// A state that knows the headers ahead of the bodies settles many blocks at once. It ends with the coins, balances and hash of one that saw
// each block alone, whatever it skipped in between.
func TestCatchingUpSettlesTogether(t *testing.T) {
	sim := newSimnet(t)
	rng := rand.New(rand.NewSource(4))
	blocks := sim.chain(sim.genesis, 140, testAddress(1))
	var free []btc.Outpoint
	for _, b := range blocks[:30] {
		free = append(free, out(b.txs[0], 0))
	}
	blocks = append(blocks, busy(sim, rng, last(blocks), free, 150)...)
	slow, fast := sim.open(t, 6, kv.NewMem()), sim.open(t, 6, kv.NewMem())
	feed(t, slow, blocks...)
	fast.Apply(headers(blocks...), late)
	jumps := map[uint32]bool{}
	for _, b := range blocks {
		before := fast.Anchor().Height
		if o := fast.Apply(Items{Blocks: [][]byte{b.raw}}, late); o[0].Err != nil {
			t.Fatal(o[0].Err)
		}
		jumps[fast.Anchor().Height-before] = true
		if b.height == 200 {
			re := sim.open(t, 6, fast.store)
			if re.Digest() != fast.Digest() || re.SetHash() != fast.SetHash() {
				t.Error("reopened in the middle, it differs")
			}
		}
	}
	if !jumps[settleEvery+1] || !jumps[1] {
		t.Errorf("the anchor moved by %v blocks", jumps)
	}
	if slow.Anchor() == nil || slow.Anchor().Hash != fast.Anchor().Hash || slow.SetHash() != fast.SetHash() || slow.Info().StableCoins != fast.Info().StableCoins {
		t.Errorf("slow %+v, fast %+v", slow.Info(), fast.Info())
	}
	for n := range byte(12) {
		a := testAddress(n)
		for _, conf := range []uint32{0, 3, 6} {
			x, y := fmt.Sprint(balanceOf(t, slow, a, conf), listOf(t, slow, a, conf)), fmt.Sprint(balanceOf(t, fast, a, conf), listOf(t, fast, a, conf))
			if x != y {
				t.Errorf("%v with %d confirmations: slow %s, fast %s", a, conf, x, y)
			}
		}
	}
}

// An address gets a stored balance when it has many coins, and loses it with the last.
func TestStoredBalance(t *testing.T) {
	sim := newSimnet(t)
	store := kv.NewMem()
	st := sim.open(t, 2, store)
	alice := testAddress(2)
	blocks := sim.chain(sim.genesis, 110, testAddress(1))
	feed(t, st, blocks...)
	tip := last(blocks)
	key := addressKey('b', alice.Script())
	step := func(tx *btc.Tx) {
		t.Helper()
		blocks := sim.chain(sim.mine(tip, testAddress(1), 0, tx), 2, testAddress(1))
		feed(t, st, append([]*block{blocks[0].parent}, blocks...)...)
		tip = last(blocks)
		var sum btc.Satoshi
		for _, c := range listOf(t, st, alice, 0) {
			sum += c.Value
		}
		if got := balanceOf(t, st, alice, 0); got != sum {
			t.Fatalf("balance %v, coins %v", got, sum)
		}
	}
	var all []btc.Outpoint
	for i := range 4 {
		tx := &btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: out(blocks[i].txs[0], 0)}}}
		for k := range 100 {
			tx.Outputs = append(tx.Outputs, btc.TxOut{Value: btc.Satoshi(1 + k), Script: alice.Script()})
		}
		step(tx)
		for k := range tx.Outputs {
			all = append(all, out(tx, uint32(k)))
		}
		if v, ok := storedBalance(store, key); ok != (i > 1) || ok && v.count != uint64(100*(i+1)) {
			t.Errorf("after %d coins: stored %v, %+v", 100*(i+1), ok, v)
		}
	}
	st = sim.open(t, 2, store)
	for part := range 4 {
		step(spend(1, testAddress(3), all[100*part:100*(part+1)]...))
	}
	if _, ok := storedBalance(store, key); ok || len(st.many) != 0 {
		t.Error("a balance without coins is stored")
	}
}

// Elements that enter together give what they give one by one, whatever goroutine takes them.
func TestMuHashUpdate(t *testing.T) {
	for _, n := range []int{0, 1, muShare, 5 * muShare} {
		one, many := NewMuHash(), NewMuHash()
		element := func(i int, buf []byte) ([]byte, bool) { return fmt.Appendf(buf, "element %d", i/3), i%3 == 2 }
		for i := range n {
			if e, leaves := element(i, nil); leaves {
				one.Remove(e)
			} else {
				one.Insert(e)
			}
		}
		many.Update(n, element)
		if string(one.Bytes()) != string(many.Bytes()) {
			t.Errorf("%d elements differ", n)
		}
	}
}

// A coin whose block is final by now and that a block above the anchor spends stays spent in that branch, and in that one alone; when all is final,
// nothing is remembered of it.
func TestSpentAboveTheAnchor(t *testing.T) {
	sim := newSimnet(t)
	miner, alice, bob, carol := testAddress(1), testAddress(2), testAddress(3), testAddress(4)
	st := sim.open(t, 6, kv.NewMem())
	blocks := sim.chain(sim.genesis, 101, miner)
	pay := spend(50*btc.Coin, alice, out(blocks[0].txs[0], 0))
	made := sim.mine(last(blocks), miner, 0, pay)
	before := sim.chain(made, 3, miner)
	spent := sim.mine(last(before), miner, 0, spend(50*btc.Coin, bob, out(pay, 0)))
	after := sim.chain(spent, 3, miner)
	feed(t, st, append(append(append(append(blocks, made), before...), spent), after...)...)
	if at := st.Anchor().Height; at < made.height || at >= spent.height {
		t.Fatalf("the anchor is at height %d, not from %d to below %d", at, made.height, spent.height)
	}
	again := spend(50*btc.Coin, carol, out(pay, 0))
	if o := st.Apply(items(sim.mine(last(after), miner, 0, again)), late); !errors.Is(o[0].Err, errMissingInput) {
		t.Errorf("spent once more: %v", o[0].Err)
	}
	side := sim.chain(last(before), 4, miner)
	tip := sim.mine(last(side), miner, 0, again)
	feed(t, st, append(side, tip)...)
	for _, n := range []int{0, 8} {
		more := sim.chain(tip, n, miner)
		feed(t, st, more...)
		if a, b, c := balanceOf(t, st, alice, 0), balanceOf(t, st, bob, 0), balanceOf(t, st, carol, 0); a != 0 || b != 0 || c != 50*btc.Coin {
			t.Errorf("%d blocks on: alice has %v, bob %v, carol %v", n, a, b, c)
		}
		if re := sim.open(t, 6, st.store); re.Digest() != st.Digest() || re.spends.used != st.spends.used || re.created.used != st.created.used {
			t.Errorf("%d blocks on: reopened it has %d coins made and %d spent above the anchor, not %d and %d", n, re.created.used, re.spends.used, st.created.used, st.spends.used)
		}
	}
	if st.spends.used != 0 || st.created.used != len(st.bodies) {
		t.Errorf("%d spent coins and %d new ones are remembered of %d blocks with a coinbase only", st.spends.used, st.created.used, len(st.bodies))
	}
}

// Places come into the order of their ranks, and those of one rank into that of their elements.
func TestWriterSorts(t *testing.T) {
	rng := rand.New(rand.NewSource(5))
	for _, n := range []int{0, 1, 2, 300, 5000} {
		for _, mask := range []uint64{0, 3, 0xff00, 1<<63 | 7, ^uint64(0)} {
			w := &writer{}
			var list []place
			for i := range n {
				c := Coin{Outpoint: btc.Outpoint{Vout: rng.Uint32() & 0xff}}
				w.changes = append(w.changes, change{at: len(w.elements), size: elementHead + 1})
				w.elements = c.appendElement(w.elements)
				list = append(list, place{rng.Uint64() & mask, int32(i)})
			}
			want := slices.Clone(list)
			order := func(x, y place) int {
				return cmp.Or(cmp.Compare(x.rank, y.rank), compareOutpoints(w.element(x.i), w.element(y.i)))
			}
			slices.SortStableFunc(want, order)
			w.sort(list, make([]place, n+3), compareOutpoints)
			if !slices.IsSortedFunc(list, order) {
				t.Errorf("%d places with ranks of %x are not sorted", n, mask)
			}
			byIndex := func(x, y place) int { return cmp.Compare(x.i, y.i) }
			slices.SortFunc(list, byIndex)
			slices.SortFunc(want, byIndex)
			if !slices.Equal(list, want) {
				t.Errorf("%d places with ranks of %x are not the same afterwards", n, mask)
			}
		}
	}
}

// A block that is final, or dropped, leaves the memory, although younger ones spend its coins and older ones made those that it spends.
func TestFinalBlocksLeaveTheMemory(t *testing.T) {
	const depth, n = 6, 60
	sim := newSimnet(t)
	st := sim.open(t, depth, kv.NewMem())
	free := sim.chain(sim.genesis, 110, testAddress(1))
	feed(t, st, free...)
	tip := last(free)
	var bodies []weak.Pointer[body]
	var txs []*btc.Tx
	for i := range n { // each spends a coin of the block before, and one of an earlier block, some of whose coins others spent
		tx := &btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: out(free[i].txs[0], 0)}}}
		for vout, age := range []int{1, 4} {
			if i >= age {
				tx.Inputs = append(tx.Inputs, btc.TxIn{Prev: out(txs[i-age], uint32(vout))})
			}
		}
		tx.Outputs = []btc.TxOut{{Value: 1000, Script: testAddress(2).Script()}, {Value: 1000, Script: testAddress(3).Script()}}
		if i > 0 {
			rival := sim.mine(tip, testAddress(4), 0)
			feed(t, st, rival)
			bodies = append(bodies, weak.Make(st.bodies[rival.hash]))
		}
		tip, txs = sim.mine(tip, testAddress(1), 0, tx), append(txs, tx)
		feed(t, st, tip)
		bodies = append(bodies, weak.Make(st.bodies[tip.hash]))
	}
	runtime.GC()
	alive := 0
	for _, b := range bodies {
		if b.Value() != nil {
			alive++
		}
	}
	if alive > len(st.bodies) || len(st.bodies) > 3*depth {
		t.Errorf("%d of %d blocks are in memory, %d above the anchor", alive, len(bodies), len(st.bodies))
	}
	runtime.KeepAlive(st)
}
