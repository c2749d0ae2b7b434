package checker

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"fusion/btc"
	"fusion/cdk"
	"fusion/cdk/native"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

var (
	checkerID = principal.FromUint64(1)
	payerID   = principal.FromUint64(2)
	user      = principal.MustFromBytes([]byte("user"))
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The checker can stand in for the published one: every client of its interface understands it, without losing anything under an opt.
func TestServiceStandsInForPublishedInterface(t *testing.T) {
	src, err := os.ReadFile("testdata/btc_checker.did")
	must(t, err)
	published, err := candid.ParseDID(string(src))
	must(t, err)
	service, init := cdk.ServiceType(Canister)
	if err := candid.Subtype(service, published.Service); err != nil {
		t.Error(err)
	}
	if err := candid.SubtypeStrict(service, published.Service); err != nil {
		t.Error(err)
	}
	for _, m := range published.Service.Methods {
		if service.Method(m.Name) == nil {
			t.Errorf("method %s is missing", m.Name)
		}
	}
	if len(init) != 1 || len(published.Init) != 1 {
		t.Fatalf("init arguments: %d, published %d", len(init), len(published.Init))
	}
	if err := candid.SubtypeStrict(published.Init[0].Type, init[0].Type); err != nil {
		t.Errorf("init argument: %v", err)
	}
	if _, err := candid.ParseDID(cdk.Describe(Canister).Candid); err != nil {
		t.Errorf("the rendered interface does not parse: %v", err)
	}
}

// Each built-in address is one of mainnet, in the form in which addresses are compared, and there once.
func TestBuiltinList(t *testing.T) {
	for i, text := range builtin {
		a, err := btc.ParseAddress(btc.Mainnet, text)
		if err != nil || a.String() != text {
			t.Errorf("%q is %v, %v", text, a, err)
		}
		if i > 0 && builtin[i-1] == text {
			t.Errorf("%s is listed twice", text)
		}
	}
	if len(builtin) != 513 {
		t.Errorf("%d addresses", len(builtin))
	}
}

// chain is a Bitcoin network as its explorers know it.
type chain struct {
	t       testing.TB
	network btc.Network
	txs     map[btc.Hash]*btc.Tx
	serial  uint32
	asked   []string                                                 // "provider kB", in order
	answer  func(name string, tx *btc.Tx, r *cdk.HTTPRequest) *reply // instead of the usual one, if not nil
	held    []*native.Incoming
	hold    bool
	price   func(uint64) cdk.Cycles
}

type reply struct {
	status uint64
	body   []byte
	reject *cdk.RejectError
}

func address(t testing.TB, n btc.Network, kind btc.AddressKind, seed byte) btc.Address {
	t.Helper()
	a, err := btc.NewAddress(n, kind, slices.Repeat([]byte{seed}, kind.PayloadLen()))
	must(t, err)
	return a
}

// pay makes a transaction that spends outputs and pays to scripts; without inputs it mines.
func (c *chain) pay(prevs []btc.Outpoint, scripts ...[]byte) btc.Hash {
	c.serial++
	tx := &btc.Tx{Version: 2, LockTime: c.serial}
	for _, p := range prevs {
		tx.Inputs = append(tx.Inputs, btc.TxIn{Prev: p, Witness: [][]byte{{1, 2, 3}}})
	}
	if len(prevs) == 0 {
		tx.Inputs = []btc.TxIn{{Prev: btc.Outpoint{Vout: 1<<32 - 1}, ScriptSig: []byte{byte(c.serial), byte(c.serial >> 8), 0}}}
	}
	if len(scripts) == 0 {
		scripts = [][]byte{address(c.t, c.network, btc.P2WPKH, 0xee).Script()}
	}
	for _, s := range scripts {
		tx.Outputs = append(tx.Outputs, btc.TxOut{Value: 1000, Script: s})
	}
	id := tx.Txid()
	c.txs[id] = tx
	return id
}

// from makes a transaction that an address pays.
func (c *chain) from(as ...btc.Address) btc.Hash {
	var prevs []btc.Outpoint
	for _, a := range as {
		prevs = append(prevs, btc.Outpoint{Txid: c.pay(nil, []byte{0x6a}, a.Script()), Vout: 1})
	}
	return c.pay(prevs)
}

func provider(url string) string {
	for _, list := range explorers {
		for _, e := range list {
			if e.base != "" && strings.HasPrefix(url, e.base) {
				return e.name
			}
		}
	}
	return "node"
}

// handle is http_request of the management canister.
func (c *chain) handle(w *native.World) func(*native.Incoming) {
	return func(in *native.Incoming) {
		if in.Method != "http_request" {
			c.t.Errorf("the checker calls %s", in.Method)
		}
		if c.hold {
			c.held = append(c.held, in)
			return
		}
		c.serve(w, in)
	}
}

func (c *chain) serve(w *native.World, in *native.Incoming) {
	var r cdk.HTTPRequest
	must(c.t, candid.Unmarshal(in.Arg, &r))
	if want := c.price(*r.MaxResponseBytes); in.Cycles != want {
		c.t.Errorf("an outcall for %d bytes is paid with %v, want %v", *r.MaxResponseBytes, in.Cycles, want)
	}
	in.Accept(in.Cycles)
	name := provider(r.URL)
	c.asked = append(c.asked, fmt.Sprintf("%s %d", name, *r.MaxResponseBytes>>10))
	id := strings.TrimSuffix(r.URL[strings.LastIndex(r.URL, "/tx/")+4:], "/raw")
	if name == "node" {
		var q struct {
			Method string `json:"method"`
			Params []any  `json:"params"`
		}
		must(c.t, json.Unmarshal(*r.Body, &q))
		if q.Method != "getrawtransaction" || len(q.Params) != 2 || q.Params[1] != 0.0 {
			c.t.Errorf("the node is asked %s", *r.Body)
		}
		id = q.Params[0].(string)
		if !slices.Contains(r.Headers, cdk.HTTPHeader{Name: "Authorization", Value: "Basic dXNlcjpwQHNz"}) || r.URL != "http://127.0.0.1:18334" {
			c.t.Errorf("the node is asked at %s with %v", r.URL, r.Headers)
		}
	}
	txid, err := btc.ParseHash(id)
	must(c.t, err)
	tx := c.txs[txid]
	var a *reply
	if c.answer != nil {
		a = c.answer(name, tx, &r)
	}
	if a == nil {
		a = &reply{status: 404, body: []byte("Transaction not found")}
		if tx != nil {
			a = &reply{status: 200, body: tx.Bytes()}
		}
		if name == "node" && tx != nil {
			a.body = []byte(`{"result":"` + hex.EncodeToString(a.body) + `","error":null,"id":"checker"}`)
		}
	}
	if a.reject == nil && uint64(len(a.body)) > *r.MaxResponseBytes {
		a = &reply{reject: &cdk.RejectError{Code: cdk.SysFatal, Message: fmt.Sprintf("Http body exceeds size limit of %d bytes.", *r.MaxResponseBytes)}}
	}
	if a.reject != nil {
		in.Reject(a.reject.Code, a.reject.Message)
		return
	}
	res := cdk.HTTPResponse{Status: candid.NatFromUint64(a.status), Headers: []cdk.HTTPHeader{{Name: "date", Value: "today"}}, Body: a.body}
	out, err := native.Query[cdk.HTTPResponse](w, principal.Management, checkerID, r.Transform.Function.Method, cdk.TransformArgs{Response: res, Context: r.Transform.Context})
	must(c.t, err)
	if len(out.Headers) != 0 {
		c.t.Errorf("the transform keeps %v", out.Headers)
	}
	in.Reply(out)
}

// payer calls the checker with cycles on behalf of users and tells what came back.
func payer(c *cdk.Canister) {
	cdk.UpdateAsync(c, "check", func(_ *cdk.Msg, a cdk.Args2[uint64, string], out *cdk.Reply[cdk.Args2[CheckTransactionResponse, uint64]]) {
		cdk.Then(c.Call(checkerID, "check_transaction_str", CheckTransactionStrArgs{a.Second}).WithCycles(cdk.CyclesOf(a.First)), func(r CheckTransactionResponse, err error) {
			if err != nil {
				c.Trap("%v", err)
			}
			out.Send(cdk.Args2[CheckTransactionResponse, uint64]{First: r, Second: a.First - c.Refunded().Lo})
		})
	})
}

type bench struct {
	*chain
	w *native.World
}

const nodes = 34

// outcall is what an outcall costs at 34 nodes.
func outcall(kB uint64) uint64 {
	return (3_000_000+60_000*nodes)*nodes + 400*nodes*1024 + 800*nodes*kB<<10
}

func setup(t testing.TB, arg InitArg) *bench {
	t.Helper()
	w := native.NewWorld(1)
	c := &chain{t: t, network: btc.Mainnet, txs: map[btc.Hash]*btc.Tx{}, price: func(n uint64) cdk.Cycles { return cdk.CyclesOf(outcall(n >> 10)) }}
	if arg.Network.Regtest != nil {
		c.network = btc.Regtest
	}
	if arg.Nodes == 0 {
		arg.Nodes = nodes
	}
	w.Handle(principal.Management, c.handle(w))
	must(t, w.Install(checkerID, Canister, &CheckArg{Init: &arg}))
	must(t, w.Install(payerID, payer, nil))
	return &bench{c, w}
}

var mainnet = BtcNetwork{Mainnet: candid.Unit}

const enough = 40_000_000_000

func (b *bench) begin(txid string, cycles uint64) *native.Pending {
	b.t.Helper()
	p, err := b.w.Submit(user, payerID, "check", cycles, txid)
	must(b.t, err)
	return p
}

func (b *bench) end(p *native.Pending) (string, uint64) {
	b.t.Helper()
	a := p.Answer()
	if a == nil {
		b.t.Fatal("no answer")
	}
	if a.Err != nil {
		b.t.Fatal(a.Err)
	}
	var r CheckTransactionResponse
	var spent uint64
	must(b.t, candid.Unmarshal(a.Data, &r, &spent))
	return say(r), spent
}

func (b *bench) check(txid btc.Hash) (string, uint64) {
	b.t.Helper()
	p := b.begin(txid.String(), enough)
	must(b.t, b.w.Run())
	return b.end(p)
}

// want checks a transaction: the answer begins with the text, and so many outcalls of so many kB were paid, and the fee.
func (b *bench) want(txid btc.Hash, text string, kB ...uint64) {
	b.t.Helper()
	got, spent := b.check(txid)
	if !strings.HasPrefix(got, text) {
		b.t.Errorf("the answer is %q, want %q", got, text)
	}
	want := uint64(100_000_000)
	for _, n := range kB {
		want += outcall(n)
	}
	if spent != want {
		b.t.Errorf("it costs %d, want %d (asked: %v)", spent, want, b.asked)
	}
}

func say(r CheckTransactionResponse) string {
	switch {
	case r.Passed != nil:
		return "passed"
	case r.Failed != nil:
		return strings.TrimSpace("failed " + strings.Join(*r.Failed, " "))
	case r.Unknown.NotEnoughCycles != nil:
		return "not enough cycles"
	case r.Unknown.Error != nil:
		switch e := r.Unknown.Error; {
		case e.ResponseTooLarge != nil:
			return fmt.Sprintf("too large %v", btc.Hash(e.ResponseTooLarge.Txid))
		case e.InvalidTransactionID != nil:
			return "invalid id: " + *e.InvalidTransactionID
		default:
			return "invalid transaction: " + *e.InvalidTransaction
		}
	case r.Unknown.Retriable.Pending != nil:
		return "pending"
	case r.Unknown.Retriable.HighLoad != nil:
		return "high load"
	}
	return "transient: " + *r.Unknown.Retriable.TransientInternalError
}

// query is check_transaction_query.
func (b *bench) query(a CheckTransactionQueryArgs) string {
	b.t.Helper()
	r, err := native.Query[CheckTransactionQueryResponse](b.w, user, checkerID, "check_transaction_query", a)
	must(b.t, err)
	if r.Unknown != nil {
		return "unknown"
	}
	return say(CheckTransactionResponse{Passed: r.Passed, Failed: r.Failed})
}

func (b *bench) upgrade(u *UpgradeArg) error {
	return b.w.Upgrade(checkerID, Canister, &CheckArg{Upgrade: &u})
}

// listed are two addresses of the built-in list.
func listed(t testing.TB) [2]btc.Address {
	t.Helper()
	var as [2]btc.Address
	for i, text := range []string{builtin[0], builtin[len(builtin)-1]} {
		var err error
		as[i], err = btc.ParseAddress(btc.Mainnet, text)
		must(t, err)
	}
	return as
}

func TestVerdicts(t *testing.T) {
	own := address(t, btc.Mainnet, btc.P2TR, 7)
	b := setup(t, InitArg{Network: mainnet, Mode: Normal, BlockedAddresses: &[]string{own.String()}})
	bad := listed(t)
	clean := []btc.Address{address(t, btc.Mainnet, btc.P2PKH, 1), address(t, btc.Mainnet, btc.P2SH, 2), address(t, btc.Mainnet, btc.P2WPKH, 3),
		address(t, btc.Mainnet, btc.P2WSH, 4), address(t, btc.Mainnet, btc.P2TR, 5)}

	id := b.from(clean...)
	if q := b.query(CheckTransactionQueryArgs{TxIDStr: ptr(id.String())}); q != "unknown" || len(b.asked) != 0 {
		t.Errorf("before: %s, asked %v", q, b.asked)
	}
	b.want(id, "passed", 4, 4, 4, 4, 4, 4)
	b.want(id, "passed") // it is known now
	if q := b.query(CheckTransactionQueryArgs{TxIDBin: ptr(id[:])}); q != "passed" {
		t.Errorf("after: %s", q)
	}

	tainted := b.from(clean[0], bad[0], own, bad[0], bad[1])
	want := "failed " + bad[0].String() + " " + own.String() + " " + bad[1].String()
	b.want(tainted, want, 4, 4, 4, 4, 4, 4)
	b.want(tainted, want)
	if q := b.query(CheckTransactionQueryArgs{TxIDStr: ptr(tainted.String())}); q != want {
		t.Errorf("after: %s", q)
	}

	// What was just mined comes from nobody. Inputs of one transaction need it once.
	b.want(b.pay(nil, clean[0].Script()), "passed", 4)
	twice := b.pay(nil, clean[0].Script(), bad[0].Script(), []byte{0x6a})
	b.want(b.pay([]btc.Outpoint{{Txid: twice, Vout: 0}, {Txid: twice, Vout: 1}}), "failed "+bad[0].String(), 4, 4)
	// Impossible inputs: no such output, and one that cannot be spent.
	b.want(b.pay([]btc.Outpoint{{Txid: twice, Vout: 3}}), "invalid transaction: input 0 of transaction", 4)
	b.want(b.pay([]btc.Outpoint{{Txid: twice, Vout: 2}}), "invalid transaction: input 0 of transaction", 4)

	// A bare public key is blocked like its address.
	key := slices.Repeat([]byte{2}, 33)
	hash := btc.Hash160(key)
	pkh, err := btc.NewAddress(btc.Mainnet, btc.P2PKH, hash[:])
	must(t, err)
	bare := b.pay([]btc.Outpoint{{Txid: b.pay(nil, append(append([]byte{33}, key...), 0xac))}})
	b.want(bare, "passed", 4, 4)
	must(t, b.upgrade(&UpgradeArg{BlockedAddresses: &[]string{pkh.String()}}))
	b.want(bare, "failed "+pkh.String(), 4, 4) // an upgrade forgets, and the list is another
	b.want(tainted, "failed "+bad[0].String()+" "+bad[1].String(), 4, 4, 4, 4, 4, 4)
}

func TestCyclesAndIDs(t *testing.T) {
	b := setup(t, InitArg{Network: mainnet, Mode: Normal})
	id := b.from(address(t, btc.Mainnet, btc.P2WPKH, 1))
	for _, x := range []struct {
		txid            string
		attached, spent uint64
		want            string
	}{
		{id.String(), 0, 0, "not enough cycles"},
		{id.String(), 99_999_999, 99_999_999, "not enough cycles"},
		{id.String(), enough - 1, 100_000_000, "not enough cycles"},
		{"xyz", enough, 100_000_000, "invalid id: malformed hash"},
		{id.String(), 2 * enough, 100_000_000 + 2*outcall(4), "passed"},
	} {
		p := b.begin(x.txid, x.attached)
		must(t, b.w.Run())
		if got, spent := b.end(p); !strings.HasPrefix(got, x.want) || spent != x.spent {
			t.Errorf("%d attached: %s for %d, want %s for %d", x.attached, got, spent, x.want, x.spent)
		}
	}
	// A user cannot attach any.
	r, err := native.Update[CheckTransactionResponse](b.w, user, checkerID, "check_transaction", CheckTransactionArgs{id[:]})
	if err != nil || say(r) != "not enough cycles" {
		t.Errorf("%v, %v", say(r), err)
	}
	// More than 40 B pays for: the check goes on where it was. 133 outcalls of 4 kB fit into one call.
	var many []btc.Address
	for i := range 200 {
		many = append(many, address(t, btc.Mainnet, btc.P2WPKH, byte(i)))
	}
	large := b.from(many...)
	first, spent := b.check(large)
	if first != "pending" || spent > enough || enough-spent > outcall(4) {
		t.Errorf("first %s for %d", first, spent)
	}
	second, more := b.check(large)
	if second != "passed" || spent+more != 2*100_000_000+outcall(4)+outcall(400)+200*outcall(4) {
		t.Errorf("then %s for %d after %d", second, more, spent)
	}
}

func TestExplorers(t *testing.T) {
	b := setup(t, InitArg{Network: mainnet, Mode: Normal})
	clean := address(t, btc.Mainnet, btc.P2WPKH, 1)
	down := map[string]*reply{}
	b.answer = func(name string, _ *btc.Tx, _ *cdk.HTTPRequest) *reply { return down[name] }
	asked := func(want ...string) {
		t.Helper()
		if !slices.Equal(b.asked, want) {
			t.Errorf("asked %q, want %q", b.asked, want)
		}
		b.asked = nil
	}
	mined := func() btc.Hash { return b.pay(nil, clean.Script()) }

	// They are asked in turn.
	b.want(b.from(clean, clean, clean), "passed", 4, 4, 4, 4)
	asked("btcscan.org 4", "blockstream.info 4", "mempool.space 4", "btcscan.org 4")
	// One that fails, lies or talks about something else is replaced by the next.
	forged := &btc.Tx{Version: 2, Inputs: []btc.TxIn{{}}, Outputs: []btc.TxOut{{Value: 1, Script: clean.Script()}}}
	for _, a := range []*reply{{status: 429, body: []byte("slow down")}, {status: 200, body: []byte("<html>")}, {status: 200, body: forged.Bytes()}, {status: 99999},
		{reject: &cdk.RejectError{Code: cdk.SysTransient, Message: "Timeout expired"}}} {
		down["blockstream.info"] = a
		for b.asked = nil; len(b.asked) != 2; {
			b.asked = nil
			got, spent := b.check(mined())
			if want := 100_000_000 + uint64(len(b.asked))*outcall(4); got != "passed" || spent != want {
				t.Fatalf("%+v: %s for %d, want %d", a, got, spent, want)
			}
		}
		asked("blockstream.info 4", "mempool.space 4")
	}
	// When all fail, the caller is told what the last one said, and the next call asks again.
	lost := b.from(clean)
	for _, name := range []string{"btcscan.org", "blockstream.info", "mempool.space"} {
		down[name] = &reply{status: 503, body: []byte("maintenance page of " + name)}
	}
	b.want(lost, "transient: fetching transaction "+lost.String()+" from ", 4, 4, 4)
	clear(down)
	b.want(lost, "passed", 4, 4)
	// Nobody knows the transaction.
	if got, _ := b.check(btc.Hash{1}); !strings.HasSuffix(got, ": status 404 ") && !strings.HasSuffix(got, ": status 404") {
		t.Errorf("%q", got)
	}

	// A response that does not fit is asked for again with room for 400 kB; one that does not fit even there is an error, which names it.
	fat := b.from(clean)
	b.txs[fat].Inputs[0].Witness = [][]byte{make([]byte, 100_000)}
	b.asked = nil
	b.want(fat, "passed", 4, 400, 4)
	if len(b.asked) != 3 || strings.Fields(b.asked[0])[0] != strings.Fields(b.asked[1])[0] {
		t.Errorf("asked %q", b.asked)
	}
	b.txs[lost].Inputs[0].Witness = nil
	fatter := b.pay(nil, clean.Script())
	b.txs[fatter].Inputs[0].Witness = [][]byte{make([]byte, 410_000)}
	b.want(b.pay([]btc.Outpoint{{Txid: fatter}}), "too large "+fatter.String(), 4, 4, 400, 400, 400)
	b.want(fatter, "too large "+fatter.String(), 400, 400, 400) // what was learned stays
	// One explorer that answers with too much cannot stop a deposit: the others are believed.
	down["btcscan.org"] = &reply{reject: &cdk.RejectError{Code: cdk.SysFatal, Message: "Http body exceeds size limit of 409600 bytes."}}
	for b.asked = nil; len(b.asked) != 3; {
		b.asked = nil
		if got, _ := b.check(mined()); got != "passed" {
			t.Fatal(got)
		}
	}
	clear(down)

	page, err := native.Query[HTTPResponse](b.w, user, checkerID, "http_request", httpQuery{URL: "/metrics"})
	must(t, err)
	for _, line := range []string{`btc_checker_mode{mode="Normal",network="mainnet"} 1`, `status="429"} 1`, `status="too large"} `, `btc_checker_outcalls_open 0`,
		`btc_checker_answers_total{answer="error"} 2`, fmt.Sprintf("btc_checker_blocked_addresses %d", len(builtin))} {
		if !strings.Contains(string(page.Body), line) {
			t.Errorf("the metrics lack %s:\n%s", line, page.Body)
		}
	}
	if page, err := native.Query[HTTPResponse](b.w, user, checkerID, "http_request", httpQuery{URL: "/"}); err != nil || page.StatusCode != 404 {
		t.Errorf("%+v, %v", page, err)
	}
}

// What one check fetches no other fetches as well, and there are never more than 50 outcalls, 20 of them for one check.
func TestConcurrentChecks(t *testing.T) {
	b := setup(t, InitArg{Network: mainnet, Mode: Normal})
	b.hold = true
	var ids []btc.Hash
	var open []*native.Pending
	for range 3 {
		var many []btc.Address
		for i := range 30 {
			many = append(many, address(t, btc.Mainnet, btc.P2WPKH, byte(i)))
		}
		ids = append(ids, b.from(many...))
	}
	for _, id := range ids {
		open = append(open, b.begin(id.String(), enough))
	}
	must(t, b.w.Run())
	same := b.begin(ids[0].String(), enough)
	must(t, b.w.Run())
	if got, spent := b.end(same); got != "pending" || spent != 100_000_000 || len(b.held) != 3 {
		t.Fatalf("the same again: %s for %d, %d outcalls", got, spent, len(b.held))
	}
	step := func() {
		held := b.held
		b.held = nil
		for _, in := range held {
			b.serve(b.w, in)
		}
		must(t, b.w.Run())
	}
	step() // now their inputs
	if len(b.held) != maxOutcalls {
		t.Fatalf("%d outcalls", len(b.held))
	}
	extra := b.begin(b.from(address(t, btc.Mainnet, btc.P2WPKH, 9)).String(), enough)
	must(t, b.w.Run())
	if got, spent := b.end(extra); got != "high load" || spent != 100_000_000 {
		t.Fatalf("%s for %d", got, spent)
	}
	for len(b.held) > 0 {
		if len(b.held) > maxOutcalls {
			t.Fatalf("%d outcalls", len(b.held))
		}
		step()
	}
	for _, p := range open {
		if got, _ := b.end(p); got != "passed" {
			t.Errorf("in the end %s", got)
		}
	}
	b.hold = false
	b.want(ids[2], "passed")
}

func TestModesAndArguments(t *testing.T) {
	b := setup(t, InitArg{Network: mainnet, Mode: AcceptAll})
	bad := listed(t)
	id := b.from(bad[0])
	judge := func(text string) string {
		t.Helper()
		r, err := native.Query[CheckAddressResponse](b.w, user, checkerID, "check_address", CheckAddressArgs{text})
		if err != nil {
			return err.Error()
		}
		if r.Passed != nil {
			return "passed"
		}
		return "failed"
	}
	clean := address(t, btc.Mainnet, btc.P2WPKH, 1).String()
	state := func(tx, ofBad, ofClean string) {
		t.Helper()
		b.want(id, tx)
		if q := b.query(CheckTransactionQueryArgs{TxIDStr: ptr(id.String())}); q != tx {
			t.Errorf("query %s, want %s", q, tx)
		}
		if x, y := judge(bad[0].String()), judge(clean); x != ofBad || y != ofClean {
			t.Errorf("addresses %s and %s, want %s and %s", x, y, ofBad, ofClean)
		}
	}
	state("passed", "passed", "passed")
	must(t, b.upgrade(&UpgradeArg{Mode: &RejectAll}))
	state("failed", "failed", "failed")
	must(t, b.w.Upgrade(checkerID, Canister, nil))
	state("failed", "failed", "failed")
	must(t, b.upgrade(nil))
	must(t, b.upgrade(&UpgradeArg{Mode: &Normal, Nodes: ptr(uint16(13)), BlockedAddresses: &[]string{strings.ToUpper(clean)}}))
	if x, y, z := judge(" "+bad[1].String()+"\n"), judge(clean), judge(strings.ToUpper(clean)); x != "failed" || y != "failed" || z != "failed" {
		t.Error(x, y, z)
	}
	if len(b.asked) != 0 {
		t.Errorf("asked %v", b.asked)
	}
	b.price = func(n uint64) cdk.Cycles {
		return cdk.CyclesOf((3_000_000+60_000*13)*13 + 400*13*1024 + 800*13*n)
	}
	if got, _ := b.check(id); got != "failed "+bad[0].String() {
		t.Error(got)
	}
	for _, text := range []string{"", "xyz", address(t, btc.Testnet4, btc.P2WPKH, 1).String(), address(t, btc.Regtest, btc.P2PKH, 1).String()} {
		if got := judge(text); !strings.Contains(got, "bitcoin address") {
			t.Errorf("%q: %s", text, got)
		}
	}
	for _, a := range []CheckTransactionQueryArgs{{TxIDStr: ptr("1")}, {TxIDBin: ptr([]byte{1})}} {
		if _, err := native.Query[CheckTransactionQueryResponse](b.w, user, checkerID, "check_transaction_query", a); err == nil {
			t.Error("an id that is none")
		}
	}
	if _, err := native.Query[cdk.HTTPResponse](b.w, user, checkerID, "transform", cdk.TransformArgs{Context: make([]byte, 33)}); err == nil {
		t.Error("a user calls the transform")
	}
	for i, u := range []*UpgradeArg{{Nodes: ptr(uint16(0))}, {BlockedAddresses: &[]string{"xyz"}}, {BlockedAddresses: ptr(make([]string, maxOwn+1))}} {
		if err := b.upgrade(u); err == nil || !strings.Contains(err.Error(), ErrConfig.Error()) {
			t.Errorf("upgrade %d: %v", i, err)
		}
	}
	for i, a := range []InitArg{{Network: mainnet, Mode: Normal}, {Network: BtcNetwork{Regtest: &RegtestNode{"127.0.0.1"}}, Mode: Normal, Nodes: 1},
		{Network: BtcNetwork{Testnet: candid.Unit}, Mode: Normal, Nodes: 1, BlockedAddresses: &[]string{clean}}} {
		if err := native.NewWorld(1).Install(checkerID, Canister, &CheckArg{Init: &a}); err == nil || !strings.Contains(err.Error(), ErrConfig.Error()) {
			t.Errorf("installation %d: %v", i, err)
		}
	}
	if err := native.NewWorld(1).Install(checkerID, Canister, nil); err == nil {
		t.Error("an installation without arguments")
	}
	if err := b.w.Upgrade(checkerID, Canister, &CheckArg{Init: &InitArg{Network: mainnet, Mode: Normal, Nodes: 1}}); err == nil {
		t.Error("an upgrade with the arguments of an installation")
	}
}

func TestPrivateNetwork(t *testing.T) {
	own := address(t, btc.Regtest, btc.P2WPKH, 7)
	b := setup(t, InitArg{Network: BtcNetwork{Regtest: &RegtestNode{"http://user:p%40ss@127.0.0.1:18334"}}, Mode: Normal, BlockedAddresses: &[]string{own.String()}})
	b.want(b.from(address(t, btc.Regtest, btc.P2TR, 1)), "passed", 4, 4)
	b.want(b.from(own), "failed "+own.String(), 4, 4)
	must(t, b.w.Upgrade(checkerID, Canister, nil)) // the node is remembered
	b.want(b.from(own), "failed "+own.String(), 4, 4)
	for body, want := range map[string]string{
		`{"result":null,"error":{"code":-5,"message":"No information available about transaction"},"id":"checker"}`: "status 502 JSON-RPC error -5",
		`{}`:              "status 502 JSON-RPC without a result",
		`{"result":"zz"}`: "status 502 not hexadecimal",
		`{"result":"00"}`: "status 502 not a transaction",
		`[`:               "status 502 not JSON-RPC",
	} {
		b.answer = func(string, *btc.Tx, *cdk.HTTPRequest) *reply { return &reply{status: 200, body: []byte(body)} }
		if got, _ := b.check(btc.Hash{1}); !strings.HasSuffix(got, want) {
			t.Errorf("%s: %q", body, got)
		}
	}
}

// What is kept is bounded, and forgetting something never changes a verdict.
func TestBookIsBounded(t *testing.T) {
	b := NewBook(Config{Network: btc.Mainnet, Mode: Normal, Nodes: 1})
	outs := make([]btc.Address, 5000)
	for i := range outs {
		outs[i] = address(t, btc.Mainnet, btc.P2WPKH, byte(i))
	}
	for i := range 3 * maxEntries {
		k := b.Begin(btc.Hash{byte(i), byte(i >> 8), byte(i >> 16), 1})
		f, ok := k.Next(required)
		if !ok {
			t.Fatal("nothing to fetch")
		}
		tx := &Transaction{}
		if i%100 == 0 {
			tx.Outs = outs
		}
		k.Done(f, Outcome{Tx: tx})
		if n, w := b.Known(); n > maxEntries || w > maxWeight || b.order.Len() != n {
			t.Fatalf("%d transactions of %d bytes, %d in order", n, w, b.order.Len())
		}
		if got := say(k.Answer()); got != "passed" {
			t.Fatal(got)
		}
	}
	if n, _ := b.Known(); n < maxEntries/2 {
		t.Errorf("only %d are kept", n)
	}
	sum := 0
	for _, e := range b.entries {
		sum += e.weight()
	}
	if _, w := b.Known(); w != sum {
		t.Errorf("the books say %d bytes, and it is %d", w, sum)
	}
	// A check whose transactions are forgotten while they are fetched ends well.
	k := b.Begin(btc.Hash{9})
	f, _ := k.Next(required)
	for i := range maxEntries + 1 {
		b.Begin(btc.Hash{byte(i), byte(i >> 8), 77})
	}
	k.Done(f, Outcome{Tx: &Transaction{Prevs: []btc.Outpoint{{Txid: btc.Hash{8}}}}})
	f, ok := k.Next(required)
	if !ok {
		t.Fatal("nothing to fetch")
	}
	for i := range maxEntries + 1 {
		b.Begin(btc.Hash{byte(i), byte(i >> 8), 78})
	}
	k.Done(f, Outcome{Tx: &Transaction{Outs: outs[:1]}})
	if _, ok := k.Next(required); ok || say(k.Answer()) != "passed" || b.Outcalls() != 0 {
		t.Errorf("%s, %d outcalls", say(k.Answer()), b.Outcalls())
	}
}

func FuzzTransform(f *testing.F) {
	tx := btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: btc.Outpoint{Txid: btc.Hash{1}}, Witness: [][]byte{{1}}}}, Outputs: []btc.TxOut{{Value: 5, Script: []byte{0x51}}}}
	id := tx.Txid()
	f.Add(tx.Bytes(), uint64(200), false)
	f.Add([]byte(`{"result":"`+hex.EncodeToString(tx.Bytes())+`","error":null}`), uint64(200), true)
	f.Add([]byte(`{"result":null,"error":{"code":-5}}`), uint64(500), true)
	f.Add([]byte("<html>"), uint64(404), false)
	f.Fuzz(func(t *testing.T, body []byte, status uint64, private bool) {
		res := transform(cdk.HTTPResponse{Status: candid.NatFromUint64(status), Body: body}, transformContext(id, private))
		got, ok := res.Status.Uint64()
		if !ok || got > 999 || len(res.Headers) != 0 || len(res.Body) > len(body)+64 {
			t.Fatalf("%+v", res)
		}
		if got != 200 {
			return
		}
		if _, err := readTransaction(btc.Mainnet, id, res.Body); err != nil || status != 200 {
			t.Fatalf("status %d, then %v", status, err)
		}
		if again := reduce(res, id, false); string(again.Body) != string(res.Body) {
			t.Fatal("the transform of its own result is another")
		}
	})
}

func FuzzParseRPC(f *testing.F) {
	for _, s := range []string{"http://user:pass@127.0.0.1:18443", "https://host/wallet/x?y#z", "http://", "ftp://x", "http://a:b", "http://[::1]:80", "http://u@h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRPC(s)
		if err != nil {
			if !errors.Is(err, ErrConfig) || len(s) > 8 && strings.Contains(err.Error(), s) {
				t.Fatal(err)
			}
			return
		}
		if len(r.URL) > maxRPCURL || strings.Contains(strings.SplitN(r.URL, "/", 4)[2], "@") {
			t.Fatalf("%+v", r)
		}
		if again, err := ParseRPC(r.URL); err != nil || again.URL != r.URL || again.Authorization != "" {
			t.Fatalf("%+v becomes %+v, %v", r, again, err)
		}
	})
}
