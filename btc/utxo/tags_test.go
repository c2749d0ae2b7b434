package utxo

import (
	"testing"

	"fusion/btc"
	"fusion/btc/chain"
	"fusion/internal/kv"
)

// Transactions and coins that share a tag are told apart, whichever of their blocks goes first.
func TestSharedTags(t *testing.T) {
	ids := [3]btc.Hash{{0: 1, 31: 1}, {0: 1, 31: 2}, {0: 1, 31: 3}}
	if txTag(&ids[0]) != txTag(&ids[1]) {
		t.Fatal("the tags differ")
	}
	for _, first := range []int{0, 1, 2} {
		sim := newSimnet(t)
		st := sim.open(t, 6, kv.NewMem())
		stable := [3]*Coin{}
		for i := range stable { // of another transaction each, with the same tag
			stable[i] = &Coin{Outpoint: btc.Outpoint{Txid: btc.Hash{0: 2, 31: byte(i)}}, Script: scriptOf(1)}
			st.store.Set(coinKey(stable[i].Outpoint), encodeCoin(stable[i]))
		}
		var bodies []*body
		for i, id := range ids[:2] {
			b := &body{node: &chain.Node{Hash: btc.Hash{byte(i)}, Work: st.tip.Work}, spent: stable[i : i+1], made: []maker{{own: -1}},
				coins: []Coin{{Outpoint: btc.Outpoint{Txid: id, Vout: 1}, Script: scriptOf(2)}}}
			b.created = []createdRef{{coin: &b.coins[0]}}
			b.txs = []madeTx{{coins: b.created}}
			st.link(b, 0)
			b.mark = 7
			bodies = append(bodies, b)
		}
		look := func(o btc.Outpoint) bool { return st.lookup(o, 7) != nil }
		for i, id := range ids {
			if got := look(btc.Outpoint{Txid: id, Vout: 1}); got != (i < 2) {
				t.Errorf("coin %d: %v", i, got)
			}
			if got := look(stable[i].Outpoint); got != (i == 2) {
				t.Errorf("stable coin %d: %v", i, got)
			}
		}
		if first == 2 {
			continue
		}
		st.forget(bodies[first])
		for i := range bodies {
			if got := look(btc.Outpoint{Txid: ids[i], Vout: 1}); got != (i != first) {
				t.Errorf("without block %d: coin %d: %v", first, i, got)
			}
			if got := look(stable[i].Outpoint); got != (i == first) {
				t.Errorf("without block %d: stable coin %d: %v", first, i, got)
			}
		}
		st.forget(bodies[1-first])
		if st.created.used != 0 || st.spends.used != 0 {
			t.Errorf("%d and %d are left", st.created.used, st.spends.used)
		}
	}
}

// So are those of one block, of which the first counts where one comes twice.
func TestSharedTagsOfABlock(t *testing.T) {
	ids := []btc.Hash{{0: 9}, {0: 1, 31: 1}, {0: 1, 31: 2}, {0: 1, 31: 1}, {0: 1, 31: 2}}
	d := &draft{ids: ids, own: map[uint64]int32{}}
	for i := range ids {
		d.name(i)
	}
	for i, want := range []int32{0, 1, 2, 1, 2} {
		if got := d.tx(&ids[i]); got != want {
			t.Errorf("transaction %d: %d, not %d", i, got, want)
		}
	}
	if got := d.tx(&btc.Hash{0: 1, 31: 3}); got >= 0 {
		t.Errorf("another transaction: %d", got)
	}
}
