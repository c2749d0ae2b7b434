package machine

import (
	"math/big"
	"strings"
	"testing"

	"fusion/btc"
	"fusion/btc/canister"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/consensus/driver"
	"fusion/replica/execution"
	"fusion/replica/genesis"
	"fusion/replica/payload"
	"fusion/replica/rival"
)

// TestRivals: coins are not counted once f+1 members have said for long enough that there is a heavier chain, whatever f of them say, through restarts, and are counted again
// when one of them takes it back.
func TestRivals(t *testing.T) {
	w := newNetwork(t, 4, func(d *genesis.Doc) { d.Bitcoin.RivalSeconds = 5 })
	w.found()
	heavy := new(big.Int).Lsh(big.NewInt(1), 200)
	claim := func(node int, work *big.Int) payload.Item {
		at := w.ms[0].Head().Height + 1
		c := w.ms[node].DueClaim(node, at, btc.Hash{9}, 7000, work)
		if c == nil {
			t.Fatalf("node %d has nothing to say", node)
		}
		item := c.Sign(w.doc.Hash(), key(node, "node"))
		if !w.ms[0].FitsRival(at, item) {
			t.Fatal("the claim does not fit")
		}
		return payload.Item{Kind: payload.Rival, Body: item}
	}
	counted := func(want bool) {
		t.Helper()
		for i, m := range w.ms {
			out := m.btc.Call(execution.NativeCall{Method: "bitcoin_get_utxos_query", Query: true, Caller: principal.Anonymous, TimeNs: w.timeNs,
				Arg: candid.MustMarshal(canister.GetUTXOsRequest{Network: canister.Network{Regtest: candid.Unit}, Address: "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"})})
			if want != (out.Reject == nil) || !want && !strings.Contains(out.Reject.Message, "2 replicas, 2 are enough, are shown a chain with more work") {
				t.Fatalf("machine %d: %v", i, out.Reject)
			}
			if v := m.View().Bitcoin; want != (v.Doubt == "") || want == v.Rivals.Believed() {
				t.Fatalf("machine %d: %+v", i, v)
			}
		}
	}
	w.block(claim(3, heavy))
	for range 10 {
		w.block()
	}
	counted(true)
	w.block(claim(1, heavy))
	counted(true)
	for range 5 {
		w.block()
	}
	counted(false)
	w.close(2)
	w.open(2)
	counted(false)
	w.block()
	counted(false)
	w.block(claim(1, nil))
	counted(true)

	// What a block must not carry.
	next := w.ms[0].Head().Height + 1
	forged := rival.Claim{Node: 1, At: next, Work: []byte{1}}.Sign(w.doc.Hash(), key(2, "node"))
	blk := driver.Block{Height: next, TimeNs: w.timeNs + 1, Txs: [][]byte{append([]byte{byte(payload.Rival)}, forged...)}}
	if err := w.ms[0].Check(blk); err == nil || w.ms[0].FitsRival(next, forged) {
		t.Errorf("a forged claim: %v", err)
	}
	if res, err := w.ms[0].Step(blk); err != nil || res.Skipped != 1 {
		t.Errorf("%d skipped, %v", res.Skipped, err)
	}
	counted(true)
}
