package canister

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"

	"fusion/eth/rpc"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/kv"
)

// The canister can stand in for the published one: every client of the published interface understands it, without losing anything under an opt.
func TestServiceStandsInForPublishedInterface(t *testing.T) {
	src, err := os.ReadFile("testdata/evm_rpc.did")
	if err != nil {
		t.Fatal(err)
	}
	published, err := candid.ParseDID(string(src))
	if err != nil {
		t.Fatal(err)
	}
	if err := candid.SubtypeStrict(Service(), published.Service); err != nil {
		t.Error(err)
	}
	if err := candid.SubtypeStrict(published.Service, Service()); err != nil {
		t.Errorf("something is not in the published interface: %v", err)
	}
	if len(published.Init) != 1 {
		t.Fatalf("%d init arguments", len(published.Init))
	}
	if err := candid.SubtypeStrict(published.Init[0].Type, Init()); err != nil {
		t.Errorf("init argument: %v", err)
	}
	for _, m := range published.Service.Methods {
		if methods[m.Name] == nil || methods[m.Name].plan == nil && methods[m.Name].run == nil {
			t.Errorf("%s is not carried out", m.Name)
		}
	}
}

var manager = principal.SelfAuthenticating([]byte("manager"))

// world is a canister whose replicas the test plays.
type world struct {
	t     testing.TB
	c     *Canister
	env   Env
	asked []Ask // of the last call, all
}

func price(request, response uint64) candid.Nat {
	return candid.NatFromUint64(1_000_000 + 10*request + 20*response)
}

func newWorld(t testing.TB, opt Options) *world {
	t.Helper()
	c, err := New(opt, kv.NewMem())
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, c: c, env: Env{Caller: manager, Nodes: 4, Price: price}}
}

var local = Options{Local: true, Demo: true, Chain: DevelopmentGeth, ManageKeys: []principal.Principal{manager}}

// replicas answer an ask.
type replicas func(Ask) Answer

// call makes a call, with the replicas' answers, to the end.
func (w *world) call(method string, answer replicas, args ...any) Outcome {
	w.t.Helper()
	w.asked = nil
	out := w.c.Call(Call{Env: w.env, Method: method, Arg: candid.MustMarshal(args...)})
	for range 64 {
		if len(out.Asks) == 0 {
			return out
		}
		if len(out.Asks) > 32 || out.Reply != nil || out.Reject != nil {
			w.t.Fatalf("%d asks, reply %x, %v", len(out.Asks), out.Reply, out.Reject)
		}
		r := Resume{Env: w.env, State: out.State}
		for _, a := range out.Asks {
			b := a.Encode()
			again, err := DecodeAsk(b)
			if err != nil || !bytes.Equal(again.Encode(), b) {
				w.t.Fatalf("ask read back: %v", err)
			}
			w.asked = append(w.asked, *again)
			x := answer(*again)
			if uint64(len(x.Reply)) > a.MaxReply() {
				x = Answer{Reject: &Reject{sysFatal, "too large for the subnet"}}
			}
			r.Answers = append(r.Answers, x)
		}
		out = w.c.Resume(r)
	}
	w.t.Fatal("the call has no end")
	return out
}

func read[T any](w *world, out Outcome) (v T) {
	w.t.Helper()
	if out.Reject != nil {
		w.t.Fatalf("rejected: %v", out.Reject)
	}
	if err := candid.Unmarshal(out.Reply, &v); err != nil {
		w.t.Fatal(err)
	}
	return v
}

// says is replicas that see these heights and give each endpoint's host the results of its node.
type node func(rpc.Query) rpc.Answer

func nodes(height uint64, by map[string]node) replicas {
	return func(a Ask) Answer {
		if a.Height != "" {
			return Answer{Reply: heightReply(height)}
		}
		host := "own"
		if !a.Own {
			host = a.Endpoints[0].Host()
		}
		var list []rpc.Answer
		for _, q := range a.Queries {
			x := Settle(q.RPC(), by[host](q.RPC()))
			if uint64(len(x.Result)) > a.MaxBytes {
				x = rpc.Fail(rpc.KindTooLarge, "more than %d bytes", a.MaxBytes)
			}
			list = append(list, x)
		}
		return Answer{Reply: a.Reply(list)}
	}
}

func heightReply(h uint64) []byte {
	out := make([]byte, 8)
	for i := range out {
		out[7-i] = byte(h >> (8 * i))
	}
	return out
}

func gives(result string) node {
	return func(rpc.Query) rpc.Answer { return rpc.Answer{Result: []byte(result)} }
}

func errs(code int64, message string) node {
	return func(rpc.Query) rpc.Answer {
		return rpc.Answer{Err: &rpc.Error{Kind: rpc.KindRPC, Code: code, Message: message}}
	}
}

func custom(chain uint64, hosts ...string) RPCServices {
	c := &CustomServices{ChainID: chain, Services: []RPCAPI{}}
	for _, h := range hosts {
		c.Services = append(c.Services, RPCAPI{URL: "https://" + h + "/rpc"})
	}
	return RPCServices{Custom: c}
}

var own = custom(DevelopmentGeth)

func number(n uint64) *candid.Nat { return ptr(candid.NatFromUint64(n)) }

var noConfig *RPCConfig

func threshold(min uint8, total *uint8) *RPCConfig {
	return &RPCConfig{ResponseConsensus: &ConsensusStrategy{Threshold: &Threshold{Min: min, Total: total}}}
}

const someone = "0x0101010101010101010101010101010101010101"

func count(tag BlockTag) GetTransactionCountArgs {
	return GetTransactionCountArgs{Address: someone, Block: tag}
}

var latest = BlockTag{Latest: candid.Unit}

// TestOwnProvidersAskByNumber asks for a moving block: first its number, then everything by that.
func TestOwnProvidersAskByNumber(t *testing.T) {
	for tag, at := range map[rpc.At]BlockTag{rpc.Latest: latest, rpc.Safe: {Safe: candid.Unit}, rpc.Finalized: {Finalized: candid.Unit}} {
		w := newWorld(t, local)
		out := read[Multi[candid.Nat]](w, w.call("eth_getTransactionCount", nodes(300, map[string]node{"own": gives(`"0x7"`)}), own, noConfig, count(at)))
		if out.Consistent == nil || out.Consistent.Ok == nil || out.Consistent.Ok.Cmp(*number(7)) != 0 {
			t.Errorf("%s: %+v", tag, out)
		}
		if len(w.asked) != 2 || w.asked[0].Height != string(tag) || !w.asked[0].Own || !w.asked[1].Own ||
			string(w.asked[1].Queries[0].Params) != `["`+someone+`","0x12c"]` {
			t.Errorf("%s: asked %+v", tag, w.asked)
		}
	}
	w := newWorld(t, local)
	w.call("eth_getTransactionCount", nodes(300, map[string]node{"own": gives(`"0x7"`)}), own, noConfig, count(BlockTag{Number: number(5)}))
	if len(w.asked) != 1 {
		t.Errorf("a number was looked up: %+v", w.asked)
	}
}

func TestNoHeight(t *testing.T) {
	w := newWorld(t, local)
	out := read[Multi[candid.Nat]](w, w.call("eth_getTransactionCount", func(Ask) Answer { return Answer{Reject: &Reject{2, "too few providers answer"}} }, own, noConfig, count(latest)))
	if e := out.Consistent; e == nil || e.Err == nil || e.Err.HTTPOutcallError.IcError.Code.SysTransient == nil || e.Err.HTTPOutcallError.IcError.Message != "too few providers answer" {
		t.Errorf("%+v", out)
	}
}

func TestConsensus(t *testing.T) {
	one, two := gives(`"0x1"`), gives(`"0x2"`)
	down, late := errs(-32005, "rate limited"), errs(-32000, "late")
	three := func(n uint8) *RPCConfig { return threshold(n, nil) }
	for name, c := range map[string]struct {
		a, b, c node
		config  *RPCConfig
		want    string
	}{
		"all equal":                  {one, one, one, noConfig, "1"},
		"one differs":                {one, two, one, noConfig, "inconsistent"},
		"one fails":                  {one, down, one, noConfig, "inconsistent"},
		"all fail alike":             {down, down, down, noConfig, "-32005"},
		"all fail":                   {down, late, down, noConfig, "inconsistent"},
		"two of three":               {one, two, one, three(2), "1"},
		"two of three, one fails":    {two, down, two, three(2), "2"},
		"two of three, two fail":     {two, down, down, three(2), "inconsistent"},
		"two of three, all differ":   {one, two, gives(`"0x3"`), three(2), "inconsistent"},
		"two of three all fail":      {down, down, down, three(2), "-32005"},
		"one of three":               {one, down, late, three(1), "1"},
		"one of three, most give it": {one, two, two, three(1), "2"},
		"three of three":             {one, one, two, three(3), "inconsistent"},
		"malformed":                  {gives(`"zz"`), one, one, three(2), "1"},
	} {
		w := newWorld(t, local)
		out := read[Multi[candid.Nat]](w, w.call("eth_getTransactionCount", nodes(9, map[string]node{"a.example": c.a, "b.example": c.b, "c.example": c.c}),
			custom(DevelopmentAnvil, "a.example", "b.example", "c.example"), c.config, count(BlockTag{Number: number(5)})))
		got := "inconsistent"
		switch {
		case out.Inconsistent != nil && len(*out.Inconsistent) != 3:
			got = "an incomplete list"
		case out.Inconsistent != nil && (*out.Inconsistent)[1].Service.Custom.URL != "https://b.example/rpc":
			got = "another order"
		case out.Inconsistent != nil:
		case out.Consistent.Err != nil && out.Consistent.Err.JSONRPCError != nil:
			got = fmt.Sprint(out.Consistent.Err.JSONRPCError.Code)
		case out.Consistent.Ok != nil:
			got = out.Consistent.Ok.String()
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if len(w.asked) != 3 || w.asked[0].Own || len(w.asked[0].Endpoints) != 1 {
			t.Errorf("%s: asked %+v", name, w.asked)
		}
	}
}

// refused is the error of a call that asks nothing.
func refused(w *world, services RPCServices, config *RPCConfig) *RPCError {
	w.t.Helper()
	out := read[Multi[candid.Nat]](w, w.call("eth_getTransactionCount", nodes(1, nil), services, config, count(latest)))
	if out.Consistent == nil || out.Consistent.Err == nil || len(w.asked) != 0 {
		w.t.Fatalf("%+v, asked %d", out, len(w.asked))
	}
	return out.Consistent.Err
}

func TestStrategiesAreValidated(t *testing.T) {
	public := newWorld(t, Options{Demo: true, Chain: EthSepolia})
	var none *[]EthMainnetService
	mainnet := RPCServices{EthMainnet: &none}
	named := func(list ...EthMainnetService) RPCServices { p := &list; return RPCServices{EthMainnet: &p} }
	ankr, alchemy := EthMainnetService{Ankr: candid.Unit}, EthMainnetService{Alchemy: candid.Unit}
	many := make([]string, 17)
	for i := range many {
		many[i] = fmt.Sprintf("n%d.example", i)
	}
	for name, c := range map[string]struct {
		services RPCServices
		config   *RPCConfig
		want     string
	}{
		"no minimum":        {mainnet, threshold(0, ptr[uint8](3)), "min must be greater than 0"},
		"no total":          {mainnet, threshold(2, nil), "total must be specified when using default providers"},
		"min above total":   {mainnet, threshold(3, ptr[uint8](2)), "min 3 is greater than total 2"},
		"total above all":   {mainnet, threshold(3, ptr[uint8](7)), "total 7 is greater than the number of all supported providers 6"},
		"min above named":   {named(ankr, alchemy), threshold(3, nil), "min 3 is greater than the number of specified providers 2"},
		"one named twice":   {named(ankr, ankr), threshold(2, nil), "min 2 is greater than the number of specified providers 1"},
		"total not named":   {named(ankr, alchemy), threshold(2, ptr[uint8](3)), "total 3 is different than the number of specified providers 2"},
		"own without min":   {custom(EthSepolia), threshold(0, nil), "min must be greater than 0"},
		"own min and total": {custom(EthSepolia), threshold(3, ptr[uint8](2)), "min 3 is greater than total 2"},
		"too many services": {custom(5, many...), noConfig, "more than 16 services are named"},
	} {
		e := refused(public, c.services, c.config)
		if e.ProviderError == nil || e.ProviderError.InvalidRPCConfig == nil || *e.ProviderError.InvalidRPCConfig != c.want {
			t.Errorf("%s: %+v", name, e.ProviderError)
		}
	}
	for name, s := range map[string]RPCServices{"custom": custom(99), "named": named()} {
		if e := refused(public, s, noConfig); e.ProviderError == nil || e.ProviderError.ProviderNotFound == nil {
			t.Errorf("%s without services: %+v", name, e)
		}
	}
	// The replicas' own providers answer for their chain under each of its names.
	var sepolia *[]EthSepoliaService
	empty := &[]EthSepoliaService{}
	for _, s := range []RPCServices{{EthSepolia: &sepolia}, {EthSepolia: &empty}, custom(EthSepolia)} {
		public.call("eth_getTransactionCount", nodes(1, map[string]node{"own": gives(`"0x1"`)}), s, noConfig, count(latest))
		if len(public.asked) != 2 || !public.asked[1].Own {
			t.Errorf("asked %+v", public.asked)
		}
	}
	// Defaults of another chain: three of them, or as many as are wanted.
	for n, config := range map[int]*RPCConfig{3: noConfig, 5: threshold(2, ptr[uint8](5))} {
		public.call("eth_getTransactionCount", func(Ask) Answer { return Answer{Reject: &Reject{2, "x"}} }, mainnet, config, count(BlockTag{Number: number(1)}))
		if len(public.asked) != n || public.asked[0].Own || public.asked[0].Chain != EthMainnet {
			t.Errorf("asked %+v, want %d", public.asked, n)
		}
	}
}

func TestALocalNetworkReachesDevelopmentChainsOnly(t *testing.T) {
	w := newWorld(t, local)
	var none *[]EthMainnetService
	var l2 *[]L2MainnetService
	for _, s := range []RPCServices{{EthMainnet: &none}, {BaseMainnet: &l2}, custom(1, "a.example"), custom(10)} {
		if e := refused(w, s, noConfig); e.ProviderError == nil || e.ProviderError.InvalidRPCConfig == nil || !strings.Contains(*e.ProviderError.InvalidRPCConfig, "local network") {
			t.Errorf("%+v", e)
		}
	}
	out := read[Result[string]](w, w.call("request", nodes(1, nil), RPCService{Provider: ptr[uint64](8)}, `{"method":"eth_gasPrice"}`, uint64(1000)))
	if out.Err == nil || out.Err.ProviderError == nil || len(w.asked) != 0 {
		t.Errorf("%+v", out)
	}
	if _, err := New(Options{Local: true, Chain: 1}, kv.NewMem()); err == nil {
		t.Error("a local network follows mainnet")
	}
	// With all URLs overridden a chain is only a name.
	w = newWorld(t, Options{Local: true, Demo: true, Override: &OverrideProvider{&RegexSubstitution{`^https://([^/]*).*$`, "http://127.0.0.1:8545/$1"}}})
	w.call("eth_getTransactionCount", nodes(1, map[string]node{"127.0.0.1": gives(`"0x1"`)}), RPCServices{EthMainnet: &none}, noConfig, count(BlockTag{Number: number(1)}))
	if len(w.asked) != 3 || w.asked[0].Endpoints[0].URL != "http://127.0.0.1:8545/eth-mainnet.g.alchemy.com" {
		t.Errorf("asked %+v", w.asked)
	}
	if _, err := New(Options{Override: &OverrideProvider{&RegexSubstitution{Pattern: "("}}}, kv.NewMem()); err == nil {
		t.Error("a broken pattern is taken")
	}
}

func TestCosts(t *testing.T) {
	w := newWorld(t, Options{Chain: EthSepolia})
	services := custom(5, "a.example", "b.example")
	args := []any{services, noConfig, count(BlockTag{Number: number(5)})}
	cost := read[Result[candid.Nat]](w, w.call("eth_getTransactionCountCyclesCost", nil, args...))
	if cost.Ok == nil {
		t.Fatalf("%+v", cost)
	}
	query := rpc.TransactionCount([20]byte(bytes.Repeat([]byte{1}, 20)), rpc.Number(5))
	each := price(uint64(priceURL+priceFixed+len(query.Request(0))), 50+headerEstimate).Big().Int64()
	collateral := int64(2 * 4 * collateralPerNode)
	if got := cost.Ok.Big().Int64(); got != 2*each+collateral {
		t.Errorf("costs %d, want %d", got, 2*each+collateral)
	}
	all := nodes(1, map[string]node{"a.example": gives(`"0x1"`), "b.example": gives(`"0x1"`), "own": gives(`"0x1"`)})

	w.env.Cycles = candid.NatFromUint64(uint64(2*each+collateral) - 1)
	out := w.call("eth_getTransactionCount", all, args...)
	r := read[Multi[candid.Nat]](w, out)
	if e := r.Consistent; e == nil || e.Err == nil || e.Err.ProviderError.TooFewCycles == nil || e.Err.ProviderError.TooFewCycles.Expected.Cmp(*cost.Ok) != 0 ||
		e.Err.ProviderError.TooFewCycles.Received.Cmp(w.env.Cycles) != 0 || len(w.asked) != 0 || !out.CyclesUsed.Big().IsUint64() || out.CyclesUsed.Big().Sign() != 0 {
		t.Errorf("%+v, %v used", r, out.CyclesUsed)
	}
	w.env.Cycles = candid.NatFromUint64(1e12)
	if out = w.call("eth_getTransactionCount", all, args...); out.CyclesUsed.Big().Int64() != 2*each {
		t.Errorf("%v used, want %d", out.CyclesUsed, 2*each)
	}
	// The replicas' own providers cost what three services would.
	out = w.call("eth_getTransactionCount", all, custom(EthSepolia), noConfig, count(BlockTag{Number: number(5)}))
	if out.CyclesUsed.Big().Int64() != 3*each {
		t.Errorf("%v used, want %d", out.CyclesUsed, 3*each)
	}
	// What was not understood costs nothing and has no price.
	bad := []any{services, noConfig, GetTransactionCountArgs{Address: "0x1", Block: latest}}
	if r := read[Result[candid.Nat]](w, w.call("eth_getTransactionCountCyclesCost", nil, bad...)); r.Err == nil || r.Err.ValidationError.InvalidHex == nil {
		t.Errorf("%+v", r)
	}
	if out := w.call("eth_getTransactionCount", all, bad...); out.CyclesUsed.Big().Sign() != 0 {
		t.Errorf("%v used", out.CyclesUsed)
	}
	demo := newWorld(t, local)
	if r := read[Result[candid.Nat]](demo, demo.call("eth_getTransactionCountCyclesCost", nil, own, noConfig, count(latest))); r.Ok == nil || r.Ok.Big().Sign() != 0 {
		t.Errorf("in demo mode: %+v", r)
	}
}

// TestLargeResponses asks again with room for twice as much until the response fits, the cycles end, or there is no more room.
func TestLargeResponses(t *testing.T) {
	w := newWorld(t, Options{Chain: EthSepolia})
	large := func(n int) replicas {
		return nodes(1, map[string]node{"a.example": gives(`"` + strings.Repeat("x", n) + `"`), "b.example": gives(`"` + strings.Repeat("x", n) + `"`)})
	}
	ask := func(n int, cycles uint64) (Multi[string], Outcome) {
		w.env.Cycles = candid.NatFromUint64(cycles)
		out := w.call("multi_request", large(n), custom(5, "a.example", "b.example"), noConfig, `{"method":"debug_x","params":[]}`)
		return read[Multi[string]](w, out), out
	}
	r, out := ask(9000, 1e12)
	if r.Consistent == nil || r.Consistent.Ok == nil || len(*r.Consistent.Ok) != 9002 {
		t.Fatalf("%+v", r)
	}
	sizes := []uint64{2304, 2304, 4608, 4608, 9216, 9216}
	sum := int64(0)
	for i, a := range w.asked {
		if a.MaxBytes != sizes[i] {
			t.Errorf("ask %d: %d bytes, want %d", i, a.MaxBytes, sizes[i])
		}
		sum += price(uint64(priceURL+priceFixed+len(a.Queries[0].RPC().Request(0))), a.MaxBytes).Big().Int64()
	}
	if out.CyclesUsed.Big().Int64() != sum {
		t.Errorf("%v used, want %d", out.CyclesUsed, sum)
	}
	// The replicas' own providers are asked once, and what came is paid for.
	w.env.Cycles = candid.NatFromUint64(1e12)
	ownNode := nodes(1, map[string]node{"own": gives(`"` + strings.Repeat("x", 9000) + `"`)})
	sepolia := func() Outcome {
		return w.call("multi_request", ownNode, custom(EthSepolia), noConfig, `{"method":"debug_x"}`)
	}
	out = sepolia()
	reply := w.asked[0].Reply([]rpc.Answer{{Result: []byte(`"` + strings.Repeat("x", 9000) + `"`)}})
	paid := 3 * price(uint64(priceURL+priceFixed+len(w.asked[0].Queries[0].RPC().Request(0))), uint64(len(reply))).Big().Int64()
	if r := read[Multi[string]](w, out); r.Consistent == nil || r.Consistent.Ok == nil || len(w.asked) != 1 || out.CyclesUsed.Big().Int64() != paid {
		t.Errorf("%v used after %d asks, want %d", out.CyclesUsed, len(w.asked), paid)
	}
	w.env.Cycles = candid.NatFromUint64(uint64(paid) + 3*4*collateralPerNode - 1)
	if r := read[Multi[string]](w, sepolia()); r.Consistent == nil || r.Consistent.Err == nil || r.Consistent.Err.ProviderError.TooFewCycles == nil {
		t.Errorf("%+v", r)
	}
	r, _ = ask(9000, uint64(sum)+2*4*collateralPerNode-1) // one service's last try is not paid for
	if r.Inconsistent == nil || (*r.Inconsistent)[0].Result.Ok == nil || (*r.Inconsistent)[1].Result.Err.ProviderError.TooFewCycles == nil {
		t.Errorf("%+v", r)
	}
	r, _ = ask(MaxResponse+1, 1e15)
	if r.Consistent == nil || r.Consistent.Err == nil || r.Consistent.Err.HTTPOutcallError.IcError.Code.SysFatal == nil || w.asked[len(w.asked)-1].MaxBytes != MaxResponse {
		t.Errorf("%+v", r)
	}
	// The deprecated request has one try.
	out = w.call("request", large(9000), RPCService{Custom: &RPCAPI{URL: "https://a.example"}}, `{"id":7,"method":"debug_x"}`, uint64(1000))
	if x := read[Result[string]](w, out); x.Err == nil || len(w.asked) != 1 {
		t.Errorf("%+v after %d asks", x, len(w.asked))
	}
}

func TestRequest(t *testing.T) {
	w := newWorld(t, local)
	service := RPCService{Custom: &RPCAPI{URL: "https://a.example/secret", Headers: &[]HTTPHeader{{Name: "X-Key", Value: "secret"}}}}
	ask := func(by node, request string) string {
		t.Helper()
		x := read[Result[string]](w, w.call("request", nodes(77, map[string]node{"a.example": by}), service, request, uint64(10_000)))
		if x.Ok == nil {
			t.Fatalf("%+v", x.Err)
		}
		return *x.Ok
	}
	if got := ask(gives(`"0x5"`), `{"jsonrpc":"2.0","id":"me","method":"eth_gasPrice","params":[]}`); got != `{"id":"me","jsonrpc":"2.0","result":"0x5"}` {
		t.Error(got)
	}
	if a := w.asked[0]; len(a.Endpoints) != 1 || a.Endpoints[0].Headers[0] != [2]string{"X-Key", "secret"} || strings.Contains(fmt.Sprintf("%v %+v", a, a), "secret") {
		t.Errorf("%+v", a)
	}
	if got := ask(errs(3, "reverted"), `{"method":"eth_call","params":[{},"latest"]}`); got != `{"error":{"code":3,"message":"reverted"},"id":null,"jsonrpc":"2.0"}` {
		t.Error(got)
	}
	if len(w.asked) != 2 || string(w.asked[1].Queries[0].Params) != `[{},"0x4d"]` {
		t.Errorf("asked %+v", w.asked)
	}
	for _, bad := range []string{``, `{}`, `[]`, `{"method":1}`, `{"method":"eth_call","params":{}}`} {
		x := read[Result[string]](w, w.call("request", nil, service, bad, uint64(10)))
		if x.Err == nil || x.Err.ValidationError == nil || !strings.HasPrefix(*x.Err.ValidationError.Custom, "Invalid JSON RPC request") {
			t.Errorf("%q: %+v", bad, x)
		}
	}
	none := ptr(uint64(26))
	if x := read[Result[candid.Nat]](w, w.call("requestCost", nil, RPCService{Provider: none}, `{"method":"eth_chainId"}`, uint64(10))); x.Err == nil || x.Err.ProviderError.ProviderNotFound == nil {
		t.Errorf("%+v", x)
	}
	if x := read[Result[string]](w, w.call("request", nil, RPCService{Custom: &RPCAPI{URL: "nowhere"}}, `{"method":"eth_chainId"}`, uint64(10))); x.Err == nil || x.Err.ValidationError == nil {
		t.Errorf("%+v", x)
	}
}

// TestMultiRequestByNumber looks at what becomes of tags in requests that somebody wrote.
func TestMultiRequestByNumber(t *testing.T) {
	for request, want := range map[string]string{
		`{"method":"eth_getBalance","params":["0x01","latest"]}`:                                 `["0x01","0x4d"]`,
		`{"method":"eth_getBalance","params":["0x01"]}`:                                          `["0x01","0x4d"]`,
		`{"method":"eth_getBalance","params":["0x01","pending"]}`:                                `["0x01","0x4d"]`,
		`{"method":"eth_getBalance","params":["0x01","0x5"]}`:                                    `["0x01","0x5"]`,
		`{"method":"eth_call","params":[{"to":"0x02"},{"blockNumber":"0x1"}]}`:                   `[{"to":"0x02"},{"blockNumber":"0x1"}]`,
		`{"method":"eth_getStorageAt","params":["0x01","0x0","safe"]}`:                           `["0x01","0x0","0x4d"]`,
		`{"method":"eth_getLogs","params":[{"toBlock":"finalized","fromBlock":"0x1"}]}`:          `[{"fromBlock":"0x1","toBlock":"0x4d"}]`,
		`{"method":"eth_getLogs","params":[{"topics":["latest"]}]}`:                              `[{"fromBlock":"0x4d","toBlock":"0x4d","topics":["latest"]}]`,
		`{"method":"eth_getLogs","params":[{"blockHash":"0x1"}]}`:                                `[{"blockHash":"0x1"}]`,
		`{"method":"eth_getTransactionByHash","params":["latest"]}`:                              `["latest"]`,
		`{"method":"eth_feeHistory","params":[4,"latest",[10,50.5]]}`:                            `[4,"0x4d",[10,50.5]]`,
		`{"method":"eth_getBlockByNumber","params":["latest",true],"id":1,"jsonrpc":"2.0"}`:      `["0x4d",true]`,
		`{"method":"eth_estimateGas","params":[{"data":"0x","note":"a latest \u00e9 <b> & c"}]}`: `[{"data":"0x","note":"a latest é <b> & c"},"0x4d"]`,
	} {
		w := newWorld(t, local)
		x := read[Multi[string]](w, w.call("multi_request", nodes(77, map[string]node{"own": gives(`{"a":1}`)}), own, noConfig, request))
		last := w.asked[len(w.asked)-1]
		if x.Consistent == nil || x.Consistent.Ok == nil || *x.Consistent.Ok != `{"a":1}` || string(last.Queries[0].Params) != want {
			t.Errorf("%s: asked %s, want %s", request, last.Queries[0].Params, want)
		}
	}
	w := newWorld(t, local)
	x := read[Multi[string]](w, w.call("multi_request", nodes(77, nil), own, noConfig, `{"method":"eth_blockNumber"}`))
	if x.Consistent == nil || x.Consistent.Ok == nil || *x.Consistent.Ok != `"0x4d"` || len(w.asked) != 1 {
		t.Errorf("%+v", x)
	}
}

func TestSendRawTransaction(t *testing.T) {
	const raw = "0x02c0"
	h := rpc.SendRaw([]byte{2, 0xc0})
	hash, _ := h.SentHash()
	good := gives(`"` + hash.String() + `"`)
	for message, want := range map[string]string{
		"already known": "ok", "ALREADY_EXISTS: already known": "ok", "Known transaction": "ok",
		"nonce too low: next nonce 5, tx nonce 3": "low", "OldNonce, Current nonce: 5": "low", "nonce too high": "high", "NonceGap": "high",
		"insufficient funds for gas * price + value: balance 0": "funds", "InsufficientFunds, Balance is 0": "funds", "transaction type not supported": "error",
	} {
		w := newWorld(t, local)
		x := read[Multi[SendRawTransactionStatus]](w, w.call("eth_sendRawTransaction", nodes(1, map[string]node{"a.example": errs(-32000, message)}),
			custom(DevelopmentGeth, "a.example"), noConfig, raw))
		got := "error"
		if s := x.Consistent.Ok; s != nil {
			switch {
			case s.Ok != nil && **s.Ok == hash.String():
				got = "ok"
			case s.NonceTooLow != nil:
				got = "low"
			case s.NonceTooHigh != nil:
				got = "high"
			case s.InsufficientFunds != nil:
				got = "funds"
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", message, got, want)
		}
	}
	w := newWorld(t, local)
	x := read[Multi[SendRawTransactionStatus]](w, w.call("eth_sendRawTransaction", nodes(1, map[string]node{"a.example": good, "b.example": errs(-32010, "AlreadyKnown")}),
		custom(DevelopmentGeth, "a.example", "b.example"), noConfig, raw))
	if x.Consistent == nil || x.Consistent.Ok == nil || x.Consistent.Ok.Ok == nil {
		t.Errorf("sent to one, known to the other: %+v", x)
	}
}

func TestBatch(t *testing.T) {
	w := newWorld(t, local)
	by := func(q rpc.Query) rpc.Answer {
		switch q.Method {
		case rpc.MethodTransactionCount:
			return rpc.Answer{Result: []byte(`"0x7"`)}
		case rpc.MethodCall:
			return rpc.Answer{Err: &rpc.Error{Kind: rpc.KindRPC, Code: 3, Message: "reverted"}}
		case rpc.MethodReceipt:
			return rpc.Answer{Result: []byte("null")}
		}
		return rpc.Answer{Result: []byte("[]")}
	}
	finalized := BlockTag{Finalized: candid.Unit}
	list := []BatchRequest{
		{EthGetTransactionCount: ptr(count(latest))},
		{EthCall: &CallArgs{Block: &finalized}},
		{EthGetTransactionReceipt: ptr("0x12")},
		{EthGetLogs: &GetLogsBatchArgs{Args: GetLogsArgs{FromBlock: &finalized, ToBlock: &latest, Addresses: []string{}}}},
		{EthGetTransactionReceipt: ptr("0x" + strings.Repeat("ab", 32))},
	}
	out := read[[]Multi[BatchResult]](w, w.call("batch", nodes(77, map[string]node{"own": by}), own, noConfig, list))
	if len(out) != 5 || len(w.asked) != 3 || w.asked[0].Height != "latest" || w.asked[1].Height != "finalized" || len(w.asked[2].Queries) != 4 {
		t.Fatalf("%+v, asked %+v", out, w.asked)
	}
	if x := out[0].Consistent.Ok; x == nil || x.EthGetTransactionCount == nil || x.EthGetTransactionCount.Ok.Cmp(*number(7)) != 0 {
		t.Errorf("count: %+v", out[0])
	}
	if x := out[1].Consistent.Err; x == nil || x.JSONRPCError == nil || x.JSONRPCError.Code != 3 {
		t.Errorf("call: %+v", out[1])
	}
	if x := out[2].Consistent.Err; x == nil || x.ValidationError == nil || x.ValidationError.InvalidHex == nil {
		t.Errorf("hash: %+v", out[2])
	}
	if x := out[3].Consistent.Ok; x == nil || x.EthGetLogs == nil || len(*x.EthGetLogs.Ok) != 0 {
		t.Errorf("logs: %+v", out[3])
	}
	if x := out[4].Consistent.Ok; x == nil || x.EthGetTransactionReceipt == nil || *x.EthGetTransactionReceipt.Ok != nil {
		t.Errorf("receipt: %+v", out[4])
	}
	if out := read[[]Multi[BatchResult]](w, w.call("batch", nil, own, noConfig, []BatchRequest{})); len(out) != 0 {
		t.Errorf("%+v", out)
	}
	if out := read[[]Multi[BatchResult]](w, w.call("batch", nil, custom(9), noConfig, list)); len(out) != 5 || out[4].Consistent.Err.ProviderError == nil {
		t.Errorf("%+v", out)
	}
	if out := w.call("batch", nil, own, noConfig, make([]BatchRequest, 0, 1)); out.Reject != nil {
		t.Error(out.Reject)
	}
	many := make([]BatchRequest, maxBatch+1)
	for i := range many {
		many[i] = list[0]
	}
	if out := w.call("batch", nil, own, noConfig, many); out.Reject == nil {
		t.Error("an endless batch is taken")
	}
}

func TestArgumentsAreValidated(t *testing.T) {
	w := newWorld(t, local)
	anyone := someone
	five, many := BlockTag{Number: number(5)}, BlockTag{Number: number(506)}
	huge := BlockTag{Number: ptr(candid.NatFromUint128(1, 0))}
	logsArgs := func(change func(*GetLogsArgs)) GetLogsArgs {
		a := GetLogsArgs{FromBlock: &five, ToBlock: &five, Addresses: []string{someone}}
		change(&a)
		return a
	}
	noLogs := (*GetLogsRPCConfig)(nil)
	for name, c := range map[string]struct {
		method string
		args   []any
		want   string // of the error's text; hex: in front of InvalidHex
	}{
		"range":     {"eth_getLogs", []any{own, noLogs, logsArgs(func(a *GetLogsArgs) { a.ToBlock = &many })}, "Requested 501 blocks; limited to 500 when specifying a start and end block"},
		"backwards": {"eth_getLogs", []any{own, noLogs, logsArgs(func(a *GetLogsArgs) { a.FromBlock = &many })}, "Requested 501 blocks"},
		"own range": {"eth_getLogs", []any{own, &GetLogsRPCConfig{MaxBlockRange: ptr[uint32](10)}, logsArgs(func(a *GetLogsArgs) { a.ToBlock = &BlockTag{Number: number(16)} })}, "Requested 11 blocks; limited to 10"},
		"address":   {"eth_getLogs", []any{own, noLogs, logsArgs(func(a *GetLogsArgs) { a.Addresses = []string{"0x1234"} })}, "hex: address has 2 bytes, want 20"},
		"topic":     {"eth_getLogs", []any{own, noLogs, logsArgs(func(a *GetLogsArgs) { a.Topics = &[][]string{{"0xzz"}} })}, "hex: topic is not 0x"},
		"topics":    {"eth_getLogs", []any{own, noLogs, logsArgs(func(a *GetLogsArgs) { a.Topics = ptr(make([][]string, 5)) })}, "5 topics"},
		"quote":     {"eth_getLogs", []any{own, noLogs, logsArgs(func(a *GetLogsArgs) { a.Addresses = []string{"0x\"\\"} })}, "hex: address is not 0x"},
		"number":    {"eth_getBlockByNumber", []any{own, noConfig, huge}, "is too large"},
		"blocks":    {"eth_feeHistory", []any{own, noConfig, FeeHistoryArgs{BlockCount: candid.NatFromUint128(1, 0), NewestBlock: five}}, "block count"},
		"hash":      {"eth_getTransactionReceipt", []any{own, noConfig, "0x" + strings.Repeat("a", 63)}, "hex: transaction hash is not 0x"},
		"raw":       {"eth_sendRawTransaction", []any{own, noConfig, "02"}, "hex: raw transaction is not 0x"},
		"value":     {"eth_call", []any{own, noConfig, CallArgs{Transaction: TransactionRequest{Value: ptr(candid.NatFromBig(new256())), To: &anyone}}}, "more than 256 bits"},
		"to":        {"eth_call", []any{own, noConfig, CallArgs{Transaction: TransactionRequest{To: ptr("0x12")}}}, "hex: to has 1 bytes"},
		"type":      {"eth_call", []any{own, noConfig, CallArgs{Transaction: TransactionRequest{Type: ptr("two")}}}, "hex: type"},
		"list": {"eth_call", []any{own, noConfig, CallArgs{Transaction: TransactionRequest{AccessList: &[]AccessListEntry{{Address: someone, StorageKeys: []string{"0x12"}}}}}},
			"hex: storageKeys has 1 bytes"},
	} {
		out := w.call(c.method, nil, c.args...)
		type multi = Multi[candid.Reserved]
		x := read[multi](w, out)
		if x.Consistent == nil || x.Consistent.Err == nil || x.Consistent.Err.ValidationError == nil {
			t.Errorf("%s: %+v", name, x)
			continue
		}
		v := x.Consistent.Err.ValidationError
		got := ""
		if v.InvalidHex != nil {
			got = "hex: " + *v.InvalidHex
		} else {
			got = *v.Custom
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	for method := range methods {
		if out := w.c.Call(Call{Env: w.env, Method: method, Arg: []byte("DIDLx")}); len(methods[method].args) > 0 && out.Reject == nil {
			t.Errorf("%s takes garbage", method)
		}
	}
}

func TestCallTransaction(t *testing.T) {
	w := newWorld(t, local)
	tx := TransactionRequest{Type: ptr("0x2"), Nonce: number(1), To: ptr(someone), From: ptr(someone), Gas: number(21000), Value: ptr(candid.NatFromUint128(1, 0)), Input: ptr("0xAB"),
		ChainID: number(1337), AccessList: &[]AccessListEntry{{Address: someone, StorageKeys: []string{}}}}
	x := read[Multi[string]](w, w.call("eth_call", nodes(77, map[string]node{"own": gives(`"0xabcd"`)}), own, noConfig, CallArgs{Transaction: tx}))
	want := `[{"accessList":[{"address":"` + someone + `","storageKeys":[]}],"chainId":"0x539","from":"` + someone + `","gas":"0x5208","input":"0xAB","nonce":"0x1","to":"` + someone +
		`","type":"0x2","value":"0x10000000000000000"},"0x4d"]`
	if x.Consistent == nil || *x.Consistent.Ok != "0xabcd" || string(w.asked[1].Queries[0].Params) != want {
		t.Errorf("%+v, asked %s", x, w.asked[1].Queries[0].Params)
	}
}

func TestKeys(t *testing.T) {
	w := newWorld(t, Options{Demo: true, ManageKeys: []principal.Principal{manager}})
	set := func(id uint64, key *string) *Reject {
		return w.call("updateApiKeys", nil, []keyUpdate{{id, key}}).Reject
	}
	alchemy, ankr := EthMainnetService{Alchemy: candid.Unit}, EthMainnetService{Ankr: candid.Unit}
	list := &[]EthMainnetService{alchemy, ankr}
	urls := func() (out []string) {
		w.call("eth_getTransactionCount", func(Ask) Answer { return Answer{Reject: &Reject{2, "x"}} }, RPCServices{EthMainnet: &list}, noConfig, count(BlockTag{Number: number(1)}))
		for _, a := range w.asked {
			s := a.Endpoints[0].URL
			for _, h := range a.Endpoints[0].Headers {
				s += " " + h[0] + ": " + h[1]
			}
			out = append(out, s)
		}
		return out
	}
	if got := strings.Join(urls(), ", "); got != "https://eth-mainnet.g.alchemy.com/v2/demo, https://rpc.ankr.com/eth" {
		t.Error(got)
	}
	if r := set(8, ptr("k-1")); r != nil {
		t.Fatal(r)
	}
	if r := set(1, ptr("k_2")); r != nil {
		t.Fatal(r)
	}
	if got := strings.Join(urls(), ", "); got != "https://eth-mainnet.g.alchemy.com/v2 Authorization: Bearer k-1, https://rpc.ankr.com/eth/k_2" {
		t.Error(got)
	}
	shown := w.call("getProviders", nil).Reply
	if bytes.Contains(shown, []byte("k-1")) || bytes.Contains(shown, []byte("k_2")) || !bytes.Contains(shown, []byte("{API_KEY}")) {
		t.Error("getProviders")
	}
	if r := set(8, nil); r != nil {
		t.Fatal(r)
	}
	if got := urls()[0]; got != "https://eth-mainnet.g.alchemy.com/v2/demo" {
		t.Error(got)
	}
	for want, u := range map[string][]keyUpdate{
		"Provider not found: 26": {{26, nil}}, "unauthenticated provider: 2": {{2, ptr("x")}}, "Invalid API key": {{1, ptr("no spaces")}}, "provider 1: want": {{8, ptr("fine")}, {1, ptr("")}},
	} {
		if r := w.call("updateApiKeys", nil, u).Reject; r == nil || !strings.Contains(r.Message, want) {
			t.Errorf("%s: %v", want, r)
		}
	}
	if got := urls()[0]; strings.Contains(got, "fine") {
		t.Error("half of a refused update was kept")
	}
	w.env.Caller = principal.Anonymous
	if r := set(1, nil); r == nil || r.Code != canisterReject {
		t.Errorf("anybody sets keys: %v", r)
	}
}

func TestProviders(t *testing.T) {
	w := newWorld(t, local)
	list := read[[]Provider](w, w.call("getProviders", nil))
	ids := read[[]serviceID](w, w.call("getServiceProviderMap", nil))
	if len(list) != 26 || len(ids) != 26 {
		t.Fatalf("%d, %d", len(list), len(ids))
	}
	for i, p := range list {
		if p.ProviderID != uint64(i) || !same(*p.Alias, ids[i].Service) || ids[i].ID != uint64(i) {
			t.Errorf("%d: %+v", i, p)
		}
	}
	for chain, order := range defaults {
		n := 0
		for i := range providers {
			if providers[i].chain == chain {
				n++
			}
		}
		if n != len(order) {
			t.Errorf("chain %d: %d providers, %d in the order", chain, n, len(order))
		}
	}
	if n := read[uint32](w, w.call("getNodesInSubnet", nil)); n != 4 {
		t.Errorf("%d nodes", n)
	}
	if out := w.c.Call(Call{Env: w.env, Method: "eth_call", Query: true}); out.Reject == nil {
		t.Error("an update method is a query")
	}
	if out := w.c.Call(Call{Env: w.env, Method: "nothing"}); out.Reject == nil {
		t.Error("a method that is not there")
	}
}

// TestBrokenReplies hands the canister what no honest quorum would.
func TestBrokenReplies(t *testing.T) {
	w := newWorld(t, local)
	good := Ask{MaxBytes: 100}
	for _, b := range [][]byte{nil, {1}, good.Reply(nil), good.Reply(make([]rpc.Answer, 2))} {
		x := read[Multi[candid.Nat]](w, w.call("eth_getTransactionCount", func(Ask) Answer { return Answer{Reply: b} }, own, noConfig, count(BlockTag{Number: number(1)})))
		if x.Consistent == nil || x.Consistent.Err == nil {
			t.Errorf("%x: %+v", b, x)
		}
		x = read[Multi[candid.Nat]](w, w.call("eth_getTransactionCount", func(Ask) Answer { return Answer{Reply: b} }, own, noConfig, count(latest)))
		if x.Consistent == nil || x.Consistent.Err == nil {
			t.Errorf("height %x: %+v", b, x)
		}
	}
	long := rpc.Fail(rpc.KindHTTP, "%s", strings.Repeat("é", 600))
	many := make([]rpc.Answer, 100)
	for i := range many {
		many[i] = long
	}
	if b := good.Reply(many); uint64(len(b)) > good.MaxReply() {
		t.Errorf("%d bytes, %d are allowed", len(b), good.MaxReply())
	}
	if _, err := readReply([]byte{0x80}, 1); !errors.Is(err, errReply) {
		t.Error(err)
	}
}

func FuzzCall(f *testing.F) {
	w := newWorld(f, local)
	names := []string{}
	for name := range methods {
		names = append(names, name)
	}
	for i := range names {
		f.Add(names[i], []byte("DIDL\x00\x00"), []byte(`"0x1"`))
	}
	f.Add("eth_getTransactionCount", candid.MustMarshal(own, noConfig, count(latest)), []byte(`"0x1"`))
	f.Add("eth_getLogs", candid.MustMarshal(own, (*GetLogsRPCConfig)(nil), GetLogsArgs{Addresses: []string{someone}}), []byte(`[]`))
	f.Add("multi_request", candid.MustMarshal(own, noConfig, `{"method":"eth_getLogs","params":[{}]}`), []byte(`null`))
	f.Add("request", candid.MustMarshal(RPCService{Custom: &RPCAPI{URL: "https://a.example"}}, `{"id":{},"method":"x"}`, uint64(100)), []byte(`{"b":1}`))
	f.Add("batch", candid.MustMarshal(own, noConfig, []BatchRequest{{EthGetBlockByNumber: &latest}}), []byte(`{}`))
	f.Fuzz(func(t *testing.T, method string, arg, result []byte) {
		if text, err := rpc.Canonical(result); err == nil {
			result = text
		} else {
			result = []byte("null")
		}
		k := Call{Env: w.env, Method: method, Arg: arg}
		out := w.c.Call(k)
		for n := 0; len(out.Asks) > 0; n++ {
			if n > 40 {
				t.Fatal("the call has no end")
			}
			r := Resume{Env: w.env, State: out.State}
			for _, a := range out.Asks {
				if a.Height != "" {
					r.Answers = append(r.Answers, Answer{Reply: heightReply(5)})
					continue
				}
				list := make([]rpc.Answer, len(a.Queries))
				for i := range list {
					list[i].Result = result
				}
				r.Answers = append(r.Answers, Answer{Reply: a.Reply(list)})
			}
			out = w.c.Resume(r)
		}
		if out.Reject == nil {
			if _, _, err := candid.Decode(out.Reply); err != nil {
				t.Fatalf("%s: %v", method, err)
			}
		}
	})
}

func new256() *big.Int { return new(big.Int).Lsh(big.NewInt(1), 256) }
