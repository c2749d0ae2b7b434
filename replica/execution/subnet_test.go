package execution

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/management"
)

func (w *world) listed(sender principal.Principal) (string, *Reject) {
	r := w.x.Query(w.t.Context(), QueryRequest{Sender: sender, Canister: principal.Management, Method: "list_canisters", Arg: emptyCandid})
	if r.Reject != nil {
		return "", r.Reject
	}
	var out management.ListCanistersResult
	w.decode(r.Reply, &out)
	var s []string
	for _, g := range out.Canisters {
		first, _ := g.Start.Uint64()
		last, _ := g.End.Uint64()
		s = append(s, fmt.Sprintf("%d-%d", first, last))
	}
	return strings.Join(s, " "), nil
}

func TestSubnetAdmins(t *testing.T) {
	withAdmin := func(c *Config) { withNative(c); c.Admins = []principal.Principal{bob} }
	scenario(t, func(w *world) {
		t := w.t
		native, _ := nativeID.Uint64()
		if got, rej := w.listed(bob); rej != nil || got != fmt.Sprintf("%d-%d", native, native) {
			t.Errorf("an empty subnet: %s, %v", got, rej)
		}
		var ids []principal.Principal
		for range 5 {
			ids = append(ids, w.create()) // 16 to 20
		}
		w.mustManage("stop_canister", idArg(ids[2]))
		w.mustManage("delete_canister", idArg(ids[2]))
		if got, rej := w.listed(bob); rej != nil || got != fmt.Sprintf("16-17 19-20 %d-%d", native, native) {
			t.Errorf("list: %s, %v", got, rej)
		}
		if _, rej := w.listed(alice); rej == nil || rej.Error != "IC0406" {
			t.Errorf("list for a user: %v", rej)
		}
		if _, rej := w.x.Query(t.Context(), QueryRequest{Sender: bob, Method: "list_canisters", Arg: []byte("x")}).Reply, w.x.Query(t.Context(),
			QueryRequest{Sender: bob, Method: "list_canisters", Arg: []byte("x")}).Reject; rej == nil || rej.Error != "IC0408" {
			t.Errorf("list with a malformed argument: %v", rej)
		}

		// Any canister's run state is theirs, code and settings are not.
		id := ids[0]
		admin := func(method string, arg any) *Reject {
			data := candid.MustMarshal(arg)
			if rej := w.x.InspectMessage(t.Context(), Ingress{Sender: bob, Method: method, Arg: data}); rej != nil {
				t.Errorf("%s of an admin does not pass inspection: %v", method, rej)
			}
			_, rej := w.update(bob, principal.Management, method, data)
			return rej
		}
		for _, method := range []string{"stop_canister", "start_canister", "canister_status", "canister_metrics", "uninstall_code"} {
			if rej := admin(method, idArg(id)); rej != nil {
				t.Errorf("%s: %v", method, rej)
			}
		}
		others := map[string]any{"update_settings": management.UpdateSettingsArgs{CanisterID: id}, "stored_chunks": idArg(id),
			"take_canister_snapshot": management.TakeSnapshotArgs{CanisterID: id}, "list_canister_snapshots": idArg(id),
			"install_code": installArgs(id, installMode, proxy().bytes(), nil)}
		for _, method := range sortedKeys(others) {
			if rej := admin(method, others[method]); rej == nil || rej.Error != "IC0512" {
				t.Errorf("%s of an admin: %v", method, rej)
			}
		}
		for _, method := range []string{"canister_status", "canister_metrics"} {
			if r := w.x.Query(t.Context(), QueryRequest{Sender: bob, Method: method, Arg: candid.MustMarshal(idArg(id))}); r.Reject != nil {
				t.Errorf("query %s of an admin: %v", method, r.Reject)
			}
		}
		if rej := admin("stop_canister", idArg(id)); rej != nil {
			t.Error(rej)
		}
		if rej := admin("delete_canister", idArg(id)); rej != nil {
			t.Errorf("delete: %v", rej)
		}

		// They create canisters, which cost nothing here, as canisters' calls do.
		reply, rej := w.update(bob, principal.Management, "create_canister", candid.MustMarshal(management.CreateCanisterArgs{}))
		var made management.CanisterID
		if rej != nil {
			t.Fatal(rej)
		}
		if w.decode(reply, &made); !w.x.canisters[made.CanisterID].isController(bob) || !w.x.canisters[made.CanisterID].Cycles.IsZero() {
			t.Errorf("created: %+v", w.x.canisters[made.CanisterID].record)
		}
		p := w.install(proxy())
		reply, refund, rej := w.through(p, "create_canister", 12345, management.CreateCanisterArgs{})
		if rej != nil || refund != 0 {
			t.Fatalf("refund %d, %v", refund, rej)
		}
		if w.decode(reply, &made); w.x.canisters[made.CanisterID].Cycles.Cmp(CyclesOf(12345)) != 0 {
			t.Errorf("created with %s cycles", w.x.canisters[made.CanisterID].Cycles)
		}
		// A canister that is an admin may ask from a composite query; others may not.
		if _, rej := w.compose(p, "list_canisters", nil); rej == nil || rej.Code != CanisterReject || !strings.Contains(rej.Message, "subnet admins") {
			t.Errorf("composite query of a canister that is no admin: %v", rej)
		}
	}, withAdmin)
	scenario(t, func(w *world) {
		_, rej := w.update(bob, principal.Management, "create_canister", candid.MustMarshal(management.CreateCanisterArgs{}))
		if rej == nil || rej.Error != "IC0406" {
			w.t.Errorf("create_canister of a user: %v", rej)
		}
		if rej := w.x.InspectMessage(w.t.Context(), Ingress{Sender: bob, Method: "create_canister", Arg: candid.MustMarshal(management.CreateCanisterArgs{})}); rej == nil || rej.Error != "IC0406" {
			w.t.Errorf("create_canister of a user passes inspection: %v", rej)
		}
	})
}

func TestNodeMetricsHistory(t *testing.T) {
	const day = nsPerDay
	nodes := []principal.Principal{principal.FromUint64(1001), principal.FromUint64(1002), principal.FromUint64(1003)}
	scenario(t, func(w *world) {
		t := w.t
		p := w.install(proxy())
		history := func(start uint64) (out []management.NodeMetricsSample) {
			t.Helper()
			w.decode(w.mustThrough(p, "node_metrics_history", management.NodeMetricsHistoryArgs{SubnetID: w.cfg.Subnet, StartAtTimestampNanos: start}), &out)
			return out
		}
		if got := history(0); len(got) != 0 {
			t.Errorf("history before the first block that tells: %v", got)
		}
		first := (w.now/day + 1) * day
		blockAt := func(at uint64, blocks ...NodeBlocks) {
			w.height++
			w.now = at
			w.x.Round(w.store, Round{Height: w.height, TimeNs: at, Nodes: blocks})
		}
		blockAt(first+5, NodeBlocks{nodes[0], 1, 0})
		blockAt(first+6, NodeBlocks{nodes[1], 1, 0}, NodeBlocks{nodes[2], 0, 2})
		blockAt(first+day+1, NodeBlocks{nodes[0], 1, 1})
		blockAt(first + day + 2) // a driver that does not know
		blockAt(first+3*day, NodeBlocks{nodes[0], 1, 0}, NodeBlocks{nodes[1], 2, 0})
		at := w.now // rounds of the questions tell nothing of nodes
		want := []management.NodeMetricsSample{
			{TimestampNanos: first + 6, NodeMetrics: []management.NodeMetrics{{NodeID: nodes[0], BlocksProposed: 1}, {NodeID: nodes[1], BlocksProposed: 1}, {NodeID: nodes[2], BlockFailures: 2}}},
			{TimestampNanos: first + day + 1, NodeMetrics: []management.NodeMetrics{{NodeID: nodes[0], BlocksProposed: 2, BlockFailures: 1}}},
			// Node 1 was away from a sample and starts again from zero.
			{TimestampNanos: at, NodeMetrics: []management.NodeMetrics{{NodeID: nodes[0], BlocksProposed: 3, BlockFailures: 1}, {NodeID: nodes[1], BlocksProposed: 2}}},
		}
		for i, from := range []uint64{0, first + 6, first + 7, first + day + 1, at, at + 1} {
			n := []int{3, 3, 2, 2, 1, 0}[i]
			if got := history(from); !bytes.Equal(candid.MustMarshal(got), candid.MustMarshal(want[3-n:])) {
				t.Errorf("from %d: %+v", from-first, got)
			}
		}
		if _, _, rej := w.through(p, "node_metrics_history", 0, management.NodeMetricsHistoryArgs{SubnetID: bob}); rej == nil || rej.Code != CanisterReject {
			t.Errorf("another subnet: %v", rej)
		}
		for i := range uint64(70) {
			blockAt(first+(10+i)*day, NodeBlocks{nodes[2], 1, 0})
		}
		if got := history(0); len(got) != maxSamples || got[maxSamples-1].NodeMetrics[0].BlocksProposed != 70 {
			t.Errorf("%d samples after 70 days", len(got))
		}
		keys := 0
		w.store.Scan([]byte{keyNodes}, []byte{keyNodes + 1}, func(_, _ []byte) bool { keys++; return true })
		if keys != maxSamples {
			t.Errorf("%d samples are stored", keys)
		}
	})
}

// priced is a Bitcoin canister that tells what reached it.
type priced struct{ seen *NativeCall }

func (n priced) Call(c NativeCall) NativeResult {
	*n.seen = c
	if c.Method == "bitcoin_send_transaction" {
		return NativeResult{CyclesUsed: CyclesOf(30), Reject: &Reject{Code: CanisterReject, Message: "no such coin"}}
	}
	return NativeResult{Reply: candid.MustMarshal(uint64(7)), CyclesUsed: CyclesOf(20)}
}

func TestBitcoinMethods(t *testing.T) {
	var seen NativeCall
	args := func(n management.BitcoinNetwork) any {
		return struct {
			Network management.BitcoinNetwork `candid:"network"`
			Address string                    `candid:"address"`
		}{n, "bcrt1"}
	}
	testnet, regtest, mainnet := management.BitcoinNetwork{Testnet: candid.Unit}, management.BitcoinNetwork{Regtest: candid.Unit}, management.BitcoinNetwork{Mainnet: candid.Unit}
	scenario(t, func(w *world) {
		t := w.t
		p := w.install(proxy())
		for _, n := range []management.BitcoinNetwork{testnet, regtest} {
			before := w.x.canisters[nativeID].Cycles
			reply, refund, rej := w.through(p, "bitcoin_get_balance", 100, args(n))
			if rej != nil || refund != 80 || !bytes.Equal(reply, candid.MustMarshal(uint64(7))) {
				t.Fatalf("%x, refund %d, %v", reply, refund, rej)
			}
			if seen.Caller != p || seen.Method != "bitcoin_get_balance" || seen.Query || seen.Cycles.Cmp(CyclesOf(100)) != 0 || !bytes.Equal(seen.Arg, candid.MustMarshal(args(n))) {
				t.Errorf("the Bitcoin canister saw %+v", seen)
			}
			if got := w.x.canisters[nativeID].Cycles; got.Cmp(before.Add(CyclesOf(20))) != 0 {
				t.Errorf("the Bitcoin canister has %s cycles after %s", got, before)
			}
		}
		// The price of a call that fails is kept, as the Bitcoin canister does itself.
		if _, refund, rej := w.through(p, "bitcoin_send_transaction", 100, args(testnet)); rej == nil || rej.Code != CanisterReject || rej.Message != "no such coin" || refund != 70 {
			t.Errorf("refund %d, %v", refund, rej)
		}
		if _, refund, rej := w.through(p, "bitcoin_get_utxos", 100, args(mainnet)); rej == nil || rej.Code != DestinationInvalid || refund != 100 {
			t.Errorf("a network that the subnet does not follow: refund %d, %v", refund, rej)
		}
		if _, refund, rej := w.through(p, "bitcoin_get_utxos", 100, []byte("rubbish")); rej == nil || rej.Code != CanisterReject || refund != 100 {
			t.Errorf("rubbish: refund %d, %v", refund, rej)
		}
	}, func(c *Config) {
		c.Natives = map[principal.Principal]Native{nativeID: priced{&seen}}
		c.Bitcoin = map[string]principal.Principal{"mainnet": principal.FromUint64(5), "testnet": nativeID, "regtest": nativeID}
	})
}
