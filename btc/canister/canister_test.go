package canister

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"fusion/btc"
	"fusion/btc/chain"
	"fusion/btc/utxo"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/kv"
)

// bench is a canister over a regtest chain that the test mines.
type bench struct {
	t      testing.TB
	c      *Canister
	state  *utxo.State
	coins  *kv.Mem
	store  *kv.Mem
	tip    btc.Header
	height uint32
	now    uint64
}

var (
	controller = principal.FromUint64(7)
	someone    = principal.FromUint64(8)
)

func newBench(t testing.TB, opt Options) *bench {
	t.Helper()
	p, err := chain.ParamsOf(btc.Regtest)
	if err != nil {
		t.Fatal(err)
	}
	return newBenchOn(t, opt, p, 6)
}

func newBenchOn(t testing.TB, opt Options, p chain.Params, stability uint32) *bench {
	t.Helper()
	b := &bench{t: t, coins: kv.NewMem(), store: kv.NewMem(), tip: p.Base[0], now: 1 << 61}
	var err error
	if b.state, err = utxo.Open(utxo.Options{Params: p, Stability: stability}, b.coins); err != nil {
		t.Fatal(err)
	}
	opt.Local, opt.Controllers = p.Network.Development(), []principal.Principal{controller}
	if b.c, err = New(opt, b.state, b.store); err != nil {
		t.Fatal(err)
	}
	return b
}

// header finds a header for a coinbase with so many outputs of one satoshi to the address.
func (b *bench) block(to btc.Address, outputs int) (btc.Header, []byte) {
	script := binary.LittleEndian.AppendUint32([]byte{4}, b.height+1+1<<24)
	tx := &btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: btc.Outpoint{Vout: 0xffffffff}, ScriptSig: script}}}
	for range outputs {
		tx.Outputs = append(tx.Outputs, btc.TxOut{Value: 1, Script: to.Script()})
	}
	h := btc.Header{Version: 4, Prev: b.tip.Hash(), MerkleRoot: tx.Txid(), Time: b.tip.Time + 600, Bits: b.tip.Bits}
	for {
		if hash := h.Hash(); hash[31] < 0x7f {
			break
		}
		h.Nonce++
	}
	raw := h.Bytes()
	return h, append(append(raw[:], 1), tx.Bytes()...)
}

func (b *bench) mine(n int, to btc.Address, outputs int) {
	b.t.Helper()
	for range n {
		h, raw := b.block(to, outputs)
		if o := b.state.Apply(utxo.Items{Blocks: [][]byte{raw}}, b.now); o[0].Err != nil {
			b.t.Fatal(o[0].Err)
		}
		b.tip, b.height = h, b.height+1
	}
}

func (b *bench) raw(call Call, args ...any) Result {
	b.t.Helper()
	var err error
	if call.Arg == nil {
		if call.Arg, err = candid.Marshal(args...); err != nil {
			b.t.Fatal(err)
		}
	}
	call.TimeNs = b.now
	if call.Query {
		call.Snapshot, call.State = b.store, b.coins
	}
	return b.c.Call(call)
}

func ask[T any](b *bench, method string, query bool, args ...any) T {
	b.t.Helper()
	r := b.raw(Call{Method: method, Caller: someone, Query: query}, args...)
	if r.Reject != nil {
		b.t.Fatalf("%s: %v", method, r.Reject)
	}
	var v T
	if err := candid.Unmarshal(r.Reply, &v); err != nil {
		b.t.Fatal(err)
	}
	return v
}

func (b *bench) refuse(code int, want string, call Call, args ...any) {
	b.t.Helper()
	if r := b.raw(call, args...); r.Reject == nil || r.Reject.Code != code || !strings.Contains(r.Reject.Message, want) {
		b.t.Errorf("%s: %+v, want %d %q", call.Method, r.Reject, code, want)
	}
}

func address(t testing.TB, n byte) btc.Address {
	a, err := btc.NewAddress(btc.Regtest, btc.P2WPKH, bytes.Repeat([]byte{n}, 20))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var regtest = Network{Regtest: candid.Unit}

// Our interface stands in for the published one.
func TestServiceType(t *testing.T) {
	src, err := os.ReadFile("testdata/bitcoin_canister.did")
	if err != nil {
		t.Fatal(err)
	}
	p, err := candid.ParseDID(string(src))
	if err != nil {
		t.Fatal(err)
	}
	if err := candid.SubtypeStrict(Service(), p.Service); err != nil {
		t.Error(err)
	}
	// Beyond the published interface there are only whole methods.
	published := map[string]bool{}
	for _, m := range p.Service.Methods {
		published[m.Name] = true
	}
	ours := *Service()
	var extra []string
	ours.Methods = slices.DeleteFunc(slices.Clone(ours.Methods), func(m candid.Method) bool {
		if !published[m.Name] {
			extra = append(extra, m.Name)
		}
		return !published[m.Name]
	})
	if err := candid.SubtypeStrict(p.Service, &ours); err != nil {
		t.Errorf("we ask for more than the published interface: %v", err)
	}
	if want := []string{"bitcoin_get_mempool_utxos_query", "http_request", "reset_chain"}; !slices.Equal(extra, want) {
		t.Errorf("methods beyond the published interface: %v, want %v", extra, want)
	}
	for _, m := range Service().Methods {
		if _, ok := methods[m.Name]; !ok {
			t.Errorf("%s is in the interface and has no method", m.Name)
		}
	}
	if len(methods) != len(Service().Methods) {
		t.Error("a method is missing in the interface")
	}
}

func TestReads(t *testing.T) {
	b := newBench(t, Options{Strict: true})
	a, other := address(t, 1), address(t, 2)
	b.mine(1, a, 1500)
	b.mine(104, other, 1)
	one, seven := uint32(1), uint32(7)
	for _, m := range []struct {
		name  string
		query bool
	}{{"bitcoin_get_balance", false}, {"bitcoin_get_balance_query", true}} {
		if got := ask[uint64](b, m.name, m.query, GetBalanceRequest{regtest, a.String(), &one}); got != 1500 {
			t.Errorf("%s: %d", m.name, got)
		}
		b.refuse(CanisterError, "min_confirmations", Call{Method: m.name, Query: m.query}, GetBalanceRequest{regtest, a.String(), &seven})
		b.refuse(CanisterError, "Network must be regtest", Call{Method: m.name, Query: m.query}, GetBalanceRequest{Network{Mainnet: candid.Unit}, a.String(), nil})
		b.refuse(CanisterError, "malformed bitcoin address", Call{Method: m.name, Query: m.query}, GetBalanceRequest{regtest, "x", nil})
		b.refuse(CanisterError, "another network", Call{Method: m.name, Query: m.query}, GetBalanceRequest{regtest, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", nil})
		b.refuse(CanisterError, "malformed argument", Call{Method: m.name, Query: m.query, Arg: []byte("DIDL")})
	}
	for _, m := range []struct {
		name  string
		query bool
	}{{"bitcoin_get_utxos", false}, {"bitcoin_get_utxos_query", true}} {
		first := ask[GetUTXOsResponse](b, m.name, m.query, GetUTXOsRequest{regtest, a.String(), nil})
		if len(first.UTXOs) != 1000 || first.NextPage == nil || len(*first.NextPage) != 72 || first.TipHeight != 105 {
			t.Fatalf("%s: %d coins, tip %d", m.name, len(first.UTXOs), first.TipHeight)
		}
		second := ask[GetUTXOsResponse](b, m.name, m.query, GetUTXOsRequest{regtest, a.String(), &Filter{Page: first.NextPage}})
		if len(second.UTXOs) != 500 || second.NextPage != nil || !bytes.Equal(first.TipBlockHash, second.TipBlockHash) {
			t.Errorf("%s: %d coins on the second page", m.name, len(second.UTXOs))
		}
		short := []byte{1}
		b.refuse(CanisterError, "malformed page", Call{Method: m.name, Query: m.query}, GetUTXOsRequest{regtest, a.String(), &Filter{Page: &short}})
		six := uint32(6)
		if r := ask[GetUTXOsResponse](b, m.name, m.query, GetUTXOsRequest{regtest, other.String(), &Filter{MinConfirmations: &six}}); r.TipHeight != 100 || len(r.UTXOs) != 0 {
			t.Errorf("%s: six confirmations: tip %d, %d coins", m.name, r.TipHeight, len(r.UTXOs))
		}
	}
	b.refuse(CanisterReject, "replicated", Call{Method: "bitcoin_get_balance_query"}, GetBalanceRequest{regtest, a.String(), nil})
	b.refuse(CanisterReject, "replicated", Call{Method: "bitcoin_get_utxos_query"}, GetUTXOsRequest{regtest, a.String(), nil})
	b.refuse(CanisterError, "not a query", Call{Method: "bitcoin_get_balance", Query: true}, GetBalanceRequest{regtest, a.String(), nil})
	b.refuse(CanisterError, "no method", Call{Method: "bitcoin_steal"}, "x")
	if fees := ask[[]uint64](b, "bitcoin_get_current_fee_percentiles", false, NetworkRequest{regtest}); len(fees) != 0 {
		t.Errorf("fees %v", fees)
	}
	if h := ask[GetBlockHeadersResponse](b, "bitcoin_get_block_headers", false, GetBlockHeadersRequest{0, nil, regtest}); len(h.BlockHeaders) != 100 || h.TipHeight != 105 || len(h.BlockHeaders[99]) != 80 {
		t.Errorf("%d headers", len(h.BlockHeaders))
	}
	end := uint32(106)
	b.refuse(CanisterError, "range", Call{Method: "bitcoin_get_block_headers"}, GetBlockHeadersRequest{1, &end, regtest})
	info := ask[BlockchainInfo](b, "get_blockchain_info", true)
	tip := b.tip.Hash()
	if info.Height != 105 || !bytes.Equal(info.BlockHash, tip[:]) || info.Difficulty.String() != "1" || info.UTXOsLength != 1500+99 || info.Timestamp != b.tip.Time {
		t.Errorf("%+v", info)
	}
}

func TestGating(t *testing.T) {
	b := newBench(t, Options{Strict: true})
	a := address(t, 1)
	balance := GetBalanceRequest{regtest, a.String(), nil}
	b.mine(2, a, 1)
	for range 3 { // three headers ahead of the bodies
		h, _ := b.block(a, 1)
		raw := h.Bytes()
		b.state.Apply(utxo.Items{Headers: raw[:]}, b.now)
		b.tip, b.height = h, b.height+1
	}
	b.refuse(CanisterError, "not fully synced", Call{Method: "bitcoin_get_balance"}, balance)
	set := func(r SetConfigRequest, who principal.Principal) *Reject {
		return b.raw(Call{Method: "set_config", Caller: who}, r).Reject
	}
	off, on := flagOf(false), flagOf(true)
	if r := set(SetConfigRequest{DisableAPIIfNotFullySynced: &off}, someone); r == nil {
		t.Error("anybody can set the configuration")
	}
	if r := set(SetConfigRequest{DisableAPIIfNotFullySynced: &off}, controller); r != nil {
		t.Error(r)
	}
	ask[uint64](b, "bitcoin_get_balance", false, balance)
	watchdog := &someone
	if r := set(SetConfigRequest{WatchdogCanister: &watchdog, Syncing: &off}, controller); r != nil || b.c.Syncing() {
		t.Error(r)
	}
	if r := set(SetConfigRequest{APIAccess: &off, Syncing: &on}, someone); r == nil {
		t.Error("the watchdog can set more than the access")
	}
	if r := set(SetConfigRequest{APIAccess: &off}, someone); r != nil {
		t.Error(r)
	}
	b.refuse(CanisterError, "disabled", Call{Method: "bitcoin_get_balance"}, balance)
	b.refuse(CanisterError, "disabled", Call{Method: "bitcoin_send_transaction"}, SendTransactionRequest{regtest, nil})
	var none *principal.Principal
	if r := set(SetConfigRequest{WatchdogCanister: &none, APIAccess: &on}, controller); r != nil {
		t.Error(r)
	}
	if r := set(SetConfigRequest{APIAccess: &off}, someone); r == nil {
		t.Error("the removed watchdog still can")
	}
	seven := candid.NatFromUint64(7)
	if r := set(SetConfigRequest{StabilityThreshold: &seven}, controller); r == nil {
		t.Error("the stability threshold was changed")
	}
	// The configuration survives a restart.
	var err error
	b.c, err = New(Options{Local: true, Controllers: []principal.Principal{controller}}, b.state, b.store)
	if err != nil || b.c.Syncing() {
		t.Fatalf("the configuration changes on restart: %v", err)
	}
	if cfg := ask[Config](b, "get_config", true); cfg.WatchdogCanister != nil || !cfg.APIAccess.on() || cfg.Syncing.on() || cfg.StabilityThreshold.String() != "6" {
		t.Errorf("%+v", cfg)
	}
}

// What peers relay is shown by queries alone, without what blocks hold already.
func TestMempool(t *testing.T) {
	b := newBench(t, Options{Strict: true})
	a := address(t, 1)
	b.mine(1, a, 1)
	mined := btc.Outpoint{Txid: b.tip.MerkleRoot}
	waiting := btc.Outpoint{Txid: btc.Hash{7}, Vout: 3}
	view := func(of btc.Address) []Sighting {
		if of.String() != a.String() {
			return nil
		}
		return []Sighting{{mined, 1, 5}, {waiting, 2, 6}}
	}
	const method = "bitcoin_get_mempool_utxos_query"
	get := func(mempool func(btc.Address) []Sighting, of btc.Address) []MempoolUTXO {
		t.Helper()
		r := b.raw(Call{Method: method, Query: true, Mempool: mempool}, GetMempoolUTXOsRequest{regtest, of.String()})
		if r.Reject != nil {
			t.Fatal(r.Reject)
		}
		var out []MempoolUTXO
		if err := candid.Unmarshal(r.Reply, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := get(view, a); len(got) != 1 || !bytes.Equal(got[0].Outpoint.Txid, waiting.Txid[:]) || got[0].Outpoint.Vout != 3 || got[0].Value != 2 || got[0].SeenNs != 6 {
		t.Errorf("%+v", got)
	}
	if got := get(view, address(t, 2)); len(got) != 0 {
		t.Errorf("another address: %+v", got)
	}
	if got := get(nil, a); len(got) != 0 {
		t.Errorf("without a view: %+v", got)
	}
	long := make([]Sighting, 2*maxSightings)
	for i := range long {
		long[i].Outpoint.Vout = uint32(i + 1)
	}
	if got := get(func(btc.Address) []Sighting { return long }, a); len(got) != maxSightings {
		t.Errorf("%d sightings in an answer", len(got))
	}
	b.refuse(CanisterReject, "replicated", Call{Method: method, Mempool: view}, GetMempoolUTXOsRequest{regtest, a.String()})
	b.refuse(CanisterError, "malformed bitcoin address", Call{Method: method, Query: true, Mempool: view}, GetMempoolUTXOsRequest{regtest, "x"})
	b.refuse(CanisterError, "Network must be regtest", Call{Method: method, Query: true}, GetMempoolUTXOsRequest{Network{Mainnet: candid.Unit}, a.String()})
}

// A branch that replaces final blocks closes everything but information and configuration, until a controller resets the chain.
func TestHaltAndReset(t *testing.T) {
	b := newBench(t, Options{Strict: true})
	a := address(t, 1)
	start := b.tip
	b.mine(20, a, 1)
	halt := func() {
		t.Helper()
		tip, height := start, uint32(0)
		other := *b
		other.tip, other.height = tip, height
		for range b.height + 1 {
			h, _ := other.block(address(t, 2), 1)
			raw := h.Bytes()
			if o := b.state.Apply(utxo.Items{Headers: raw[:]}, b.now); o[0].Err != nil {
				t.Fatal(o[0].Err)
			}
			other.tip, other.height = h, other.height+1
		}
	}
	if info := ask[BlockchainInfo](b, "get_blockchain_info", true); info.Halted != nil || info.Doubt != nil {
		t.Errorf("%+v", info)
	}
	halt()
	const why = "reorganised deeper than its final blocks"
	info := ask[BlockchainInfo](b, "get_blockchain_info", true)
	if info.Halted == nil || !strings.Contains(*info.Halted, why) || info.Height != 20 {
		t.Fatalf("%+v", info)
	}
	zero := uint32(0)
	for name, arg := range map[string]any{
		"bitcoin_get_balance": GetBalanceRequest{regtest, a.String(), nil}, "bitcoin_get_balance_query": GetBalanceRequest{regtest, a.String(), nil},
		"bitcoin_get_utxos": GetUTXOsRequest{regtest, a.String(), nil}, "bitcoin_get_utxos_query": GetUTXOsRequest{regtest, a.String(), nil},
		"bitcoin_get_current_fee_percentiles": NetworkRequest{regtest}, "bitcoin_get_block_headers": GetBlockHeadersRequest{0, &zero, regtest},
		"bitcoin_send_transaction": SendTransactionRequest{regtest, nil}, "bitcoin_get_mempool_utxos_query": GetMempoolUTXOsRequest{regtest, a.String()},
	} {
		b.refuse(CanisterError, why, Call{Method: name, Query: strings.HasSuffix(name, "_query")}, arg)
	}
	ask[Config](b, "get_config", true)
	if r := b.raw(Call{Method: "set_config", Caller: controller}, SetConfigRequest{}); r.Reject != nil {
		t.Error(r.Reject)
	}
	if m := ask[HTTPResponse](b, "http_request", true, HTTPRequest{Method: "GET", URL: "/metrics"}); m.StatusCode != 200 || !strings.Contains(string(m.Body), "\nis_halted 1\n") {
		t.Errorf("%d %s", m.StatusCode, m.Body)
	}
	b.refuse(CanisterReject, "only a controller", Call{Method: "reset_chain", Caller: someone})
	b.refuse(CanisterError, "not a query", Call{Method: "reset_chain", Caller: controller, Query: true})
	if r := b.raw(Call{Method: "reset_chain", Caller: controller}); r.Reject != nil {
		t.Fatal(r.Reject)
	}
	if info := ask[BlockchainInfo](b, "get_blockchain_info", true); info.Halted != nil || info.Height != 0 || *info.Epoch != 1 {
		t.Errorf("after the reset: %+v", info)
	}
	b.tip, b.height = start, 0
	b.mine(21, address(t, 2), 1)
	if info := ask[BlockchainInfo](b, "get_blockchain_info", true); info.Height != 21 {
		t.Errorf("after the reset: %+v", info)
	}
	if r := ask[GetUTXOsResponse](b, "bitcoin_get_utxos_query", true, GetUTXOsRequest{regtest, a.String(), nil}); *r.Epoch != 1 {
		t.Errorf("epoch %d after one reset", *r.Epoch)
	}
}

func TestMetrics(t *testing.T) {
	b := newBench(t, Options{Strict: true})
	b.mine(10, address(t, 1), 2)
	m := ask[HTTPResponse](b, "http_request", true, HTTPRequest{Method: "GET", URL: "/metrics?x=1"})
	for _, line := range []string{"main_chain_height 10", "stable_height 5", "utxos_length 10", "unstable_blocks_total 5", "is_synced 1", "is_halted 0", "is_doubted 0",
		`api_access{flag="enabled"} 1`, `api_access{flag="disabled"} 0`, "syncing 1", "anchor_difficulty 1", "normalized_stability_threshold 6", "unstable_blocks_depth 5"} {
		if !strings.Contains(string(m.Body), "\n"+line+"\n") {
			t.Errorf("no %q in %s", line, m.Body)
		}
	}
	if m := ask[HTTPResponse](b, "http_request", true, HTTPRequest{Method: "GET", URL: "/"}); m.StatusCode != 404 {
		t.Errorf("%d", m.StatusCode)
	}
	b.refuse(CanisterReject, "replicated", Call{Method: "http_request"}, HTTPRequest{})
}

func TestSendAndPrices(t *testing.T) {
	fees := DefaultFees(btc.Mainnet)
	b := newBench(t, Options{Fees: &fees})
	tx := (&btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: btc.Outpoint{Txid: btc.Hash{1}}}}, Outputs: []btc.TxOut{{Value: 1, Script: address(t, 1).Script()}}}).Bytes()
	price := candid.NatFromUint64(5e9 + 20e6*uint64(len(tx)))
	less, _ := price.Sub(candid.NatFromUint64(1))
	b.refuse(CanisterReject, "cycles are required", Call{Method: "bitcoin_send_transaction", Cycles: less}, SendTransactionRequest{regtest, tx})
	r := b.raw(Call{Method: "bitcoin_send_transaction", Cycles: price}, SendTransactionRequest{regtest, tx})
	if r.Reject != nil || r.CyclesUsed.Cmp(price) != 0 || len(b.state.Outgoing()) != 1 {
		t.Errorf("%+v", r)
	}
	r = b.raw(Call{Method: "bitcoin_send_transaction", Cycles: candid.NatFromUint64(1e12)}, SendTransactionRequest{regtest, tx[1:]})
	if r.Reject == nil || !strings.Contains(r.Reject.Message, "malformed") || r.CyclesUsed.IsZero() {
		t.Errorf("malformed transaction: %+v", r)
	}
	b.mine(101, address(t, 1), 1)
	many := candid.NatFromUint64(1e12)
	r = b.raw(Call{Method: "bitcoin_get_utxos", Cycles: many}, GetUTXOsRequest{regtest, address(t, 1).String(), nil})
	if want := candid.NatFromUint64(50e6 + 2*10_000); r.CyclesUsed.Cmp(want) != 0 {
		t.Errorf("two coins cost %v, want %v", r.CyclesUsed, want)
	}
	r = b.raw(Call{Method: "bitcoin_get_balance", Cycles: many}, GetBalanceRequest{regtest, address(t, 1).String(), nil})
	if r.CyclesUsed.String() != "10000000" {
		t.Errorf("a balance costs %v", r.CyclesUsed)
	}
}

func TestClassAndIDs(t *testing.T) {
	for _, n := range []btc.Network{btc.Mainnet, btc.Testnet4, btc.Signet} {
		if err := CheckClass(true, n); !errors.Is(err, ErrNetworkClass) {
			t.Errorf("%v on a local subnet: %v", n, err)
		}
		if err := CheckClass(false, n); err != nil {
			t.Error(err)
		}
	}
	if err := CheckClass(true, btc.Regtest); err != nil {
		t.Error(err)
	}
	p, err := chain.ParamsOf(btc.Testnet4)
	if err != nil {
		t.Fatal(err)
	}
	st, err := utxo.Open(utxo.Options{Params: p}, kv.NewMem())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Local: true}, st, kv.NewMem()); !errors.Is(err, ErrNetworkClass) {
		t.Errorf("testnet4 on a local subnet: %v", err)
	}
	if _, err := New(Options{}, st, kv.NewMem()); err != nil {
		t.Error(err)
	}
	if IDOf(btc.Mainnet) != MainnetID || IDOf(btc.Regtest) != TestnetID {
		t.Error("ids")
	}
}

func FuzzCall(f *testing.F) {
	b := newBench(f, Options{})
	b.mine(3, address(f, 1), 2)
	for name := range methods {
		arg, err := candid.Marshal(GetBalanceRequest{regtest, address(f, 1).String(), nil})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(name, arg, true)
		f.Add(name, arg, false)
	}
	f.Fuzz(func(t *testing.T, method string, arg []byte, query bool) {
		if arg == nil {
			arg = []byte{}
		}
		r := b.c.Call(Call{Method: method, Arg: arg, Caller: someone, Query: query, Snapshot: b.store, State: b.coins, TimeNs: b.now})
		if (r.Reject == nil) == (r.Reply == nil) {
			t.Fatalf("%+v", r)
		}
	})
}

// On public networks coins are counted only while the tip is fresh and blocks come as they should; fees, headers and sending go on.
func TestDoubt(t *testing.T) {
	p, err := chain.ParamsOf(btc.Signet) // its first blocks took minutes each; only their headers' times matter here
	if err != nil {
		t.Fatal(err)
	}
	p.MinChainWork = nil
	text, err := os.ReadFile("../testdata/signet_blocks.txt")
	if err != nil {
		t.Fatal(err)
	}
	coins, store := kv.NewMem(), kv.NewMem()
	st, err := utxo.Open(utxo.Options{Params: p}, coins)
	if err != nil {
		t.Fatal(err)
	}
	var it utxo.Items
	for line := range strings.Lines(string(text)) {
		raw, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		it.Blocks = append(it.Blocks, raw)
	}
	st.Apply(it, 1<<62)
	c, err := New(Options{Strict: true}, st, store)
	if err != nil {
		t.Fatal(err)
	}
	tip := uint64(st.Tip().Header.Time) * 1e9
	b := &bench{t: t, c: c, state: st, coins: coins, store: store}
	testnet := Network{Testnet: candid.Unit}
	const a = "tb1qqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesrxh6hy"
	b.now = tip + uint64(2*time.Hour)
	ask[uint64](b, "bitcoin_get_balance_query", true, GetBalanceRequest{testnet, a, nil})
	if info := ask[BlockchainInfo](b, "get_blockchain_info", true); info.Doubt != nil || info.Height != uint32(len(it.Blocks)) {
		t.Errorf("%+v", info)
	}
	b.now += uint64(time.Second)
	b.refuse(CanisterError, "is 2h0m1s old", Call{Method: "bitcoin_get_balance_query", Query: true}, GetBalanceRequest{testnet, a, nil})
	b.refuse(CanisterError, "is 2h0m1s old", Call{Method: "bitcoin_get_utxos_query", Query: true}, GetUTXOsRequest{testnet, a, nil})
	b.refuse(CanisterError, "is 2h0m1s old", Call{Method: "bitcoin_get_utxos", Cycles: candid.NatFromUint64(1e12)}, GetUTXOsRequest{testnet, a, nil})
	if info := ask[BlockchainInfo](b, "get_blockchain_info", true); info.Doubt == nil || !strings.Contains(*info.Doubt, "2h0m1s") {
		t.Errorf("%+v", info)
	}
	many := candid.NatFromUint64(1e12)
	for method, arg := range map[string]any{"bitcoin_get_current_fee_percentiles": NetworkRequest{testnet}, "bitcoin_get_block_headers": GetBlockHeadersRequest{0, nil, testnet}} {
		if r := b.raw(Call{Method: method, Cycles: many}, arg); r.Reject != nil {
			t.Errorf("%s: %v", method, r.Reject)
		}
	}
	off := flagOf(false)
	c.opt.Controllers = []principal.Principal{controller}
	if r := b.raw(Call{Method: "set_config", Caller: controller}, SetConfigRequest{DisableAPIIfNotFullySynced: &off}); r.Reject != nil {
		t.Fatal(r.Reject)
	}
	ask[uint64](b, "bitcoin_get_balance_query", true, GetBalanceRequest{testnet, a, nil})
}

// Blocks that come at less than half the rate are those of an attacker who has little of the world's hash power: their coins are not counted,
// however new the last one is.
func TestDoubtRate(t *testing.T) {
	const window, expected = 36, 600 // blocks, seconds
	testnet := Network{Testnet: candid.Unit}
	const a = "tb1qqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesrxh6hy"
	for _, x := range []struct {
		what    string
		network btc.Network
		easy    bool // the difficulty may collapse
		blocks  int
		gap     uint32
		after   uint64 // seconds from the newest block
		doubt   string
	}{
		{"at the rate", btc.Signet, false, 50, expected, 3000, ""},
		{"at just half the rate", btc.Signet, false, 50, 2 * expected, 0, ""},
		{"a second slower", btc.Signet, false, 50, 2 * expected, 1, "the last 36 blocks up to height 50 took 12h0m1s"},
		{"fast blocks, then none", btc.Signet, false, 50, expected, 2*3600 + 1, "2h0m1s old"},
		{"too few blocks to tell", btc.Signet, false, window - 1, 3600, 3600, ""},
		{"just enough", btc.Signet, false, window, 3600, 3600, "the last 36 blocks up to height 36"},
		{"where the difficulty collapses only age counts", btc.Testnet4, true, 50, 3600, 3600, ""},
		{"where the difficulty collapses age counts", btc.Testnet4, true, 50, 600, 2*3600 + 1, "2h0m1s old"},
		{"development", btc.Regtest, true, 50, 1 << 20, 1 << 20, ""},
	} {
		p := mustParams(t, btc.Regtest) // blocks cost nothing
		p.Network, p.MinDifficulty = x.network, x.easy
		b := newBenchOn(t, Options{Strict: true}, p, 6)
		c := b.branch(0)
		c.gap = x.gap
		b.feed(c, x.blocks)
		b.now = (uint64(c.tip.Time) + x.after) * 1e9
		if b.state.Anchor().Height <= c.height-min(window, c.height) {
			t.Fatalf("%s: the window begins above the last final block", x.what)
		}
		info := ask[BlockchainInfo](b, "get_blockchain_info", true)
		if x.doubt == "" {
			if info.Doubt != nil {
				t.Errorf("%s: %s", x.what, *info.Doubt)
			}
		} else if info.Doubt == nil || !strings.Contains(*info.Doubt, x.doubt) {
			t.Errorf("%s: %v, want %q", x.what, info.Doubt, x.doubt)
		}
		if x.network == btc.Regtest {
			continue
		}
		for _, method := range []string{"bitcoin_get_balance_query", "bitcoin_get_utxos_query"} {
			arg := any(GetBalanceRequest{testnet, a, nil})
			if method == "bitcoin_get_utxos_query" {
				arg = GetUTXOsRequest{testnet, a, nil}
			}
			r := b.raw(Call{Method: method, Query: true}, arg)
			if (r.Reject != nil) != (x.doubt != "") || r.Reject != nil && !strings.Contains(r.Reject.Message, x.doubt) {
				t.Errorf("%s: %s: %v", x.what, method, r.Reject)
			}
		}
		if doubted := strings.Contains(b.metrics(), "\nis_doubted 1\n"); doubted != (x.doubt != "") {
			t.Errorf("%s: metrics say %v", x.what, doubted)
		}
	}
}
