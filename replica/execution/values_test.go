package execution

import (
	"context"
	"encoding/binary"
	"math/big"
	"sync"
	"testing"
	"time"

	"fusion/chainkey"
	"fusion/ic/principal"
	"fusion/replica/management"
)

// note128 replies with the 16 bytes that f writes to an address.
func (m *module) note128(f func(dst code_) code_) code_ {
	return cat(f(m.ptr(64)), m.host("msg_reply_data_append", m.ptr(64), m.ptr(16)), m.host("msg_reply"))
}

// TestCostValues compares cost_* with the price table, scaled to subnets of three sizes, with pointers of both widths.
func TestCostValues(t *testing.T) {
	for _, wide := range []bool{false, true} {
		for _, nodes := range []int64{4, 13, 34} {
			w := newWorld(t, func(c *Config) { c.NodeCount = int(nodes) })
			w.keys = []ChainKey{{ID: chainkey.KeyID{Algorithm: chainkey.EcdsaSecp256k1, Name: "key"}}}
			m := newModuleOf(wide)
			cost := func(name string, f func(dst code_) code_) { m.query(name, m.note128(f)) }
			cost("call", func(dst code_) code_ { return m.host("cost_call", i64(7), i64(1000), dst) })
			cost("create", func(dst code_) code_ { return m.host("cost_create_canister", dst) })
			cost("http", func(dst code_) code_ { return m.host("cost_http_request", i64(300), i64(2_000_000), dst) })
			cost("sign", func(dst code_) code_ { return drop(m.host("cost_sign_with_ecdsa", m.blob("key"), i32(0), dst)) })
			for name, f := range map[string]code_{
				"known":       m.host("cost_sign_with_ecdsa", m.blob("key"), i32(0), m.ptr(64)),
				"other curve": m.host("cost_sign_with_ecdsa", m.blob("key"), i32(1), m.ptr(64)),
				"other name":  m.host("cost_sign_with_ecdsa", m.blob("keys"), i32(0), m.ptr(64)),
				"schnorr":     m.host("cost_sign_with_schnorr", m.blob("key"), i32(1), m.ptr(64)),
				"algorithm":   m.host("cost_sign_with_schnorr", m.blob("key"), i32(2), m.ptr(64)),
				"vetkd":       m.host("cost_vetkd_derive_key", m.blob("key"), i32(0), m.ptr(64)),
			} {
				m.query(name, store32(m.ptr(0), f), m.reply(m.ptr(0), m.ptr(4)))
			}
			id := w.install(m)
			scale := func(n int64) *big.Int { b := big.NewInt(n * nodes); return b.Div(b, big.NewInt(13)) }
			sum := func(ns ...*big.Int) *big.Int {
				s := new(big.Int)
				for _, n := range ns {
					s.Add(s, n)
				}
				return s
			}
			for name, want := range map[string]*big.Int{
				"call":   sum(scale(260_000+1_007*1_000), scale(2<<20*1_000), scale(5_000_000+int64(w.cfg.MessageInstructions))),
				"create": scale(500_000_000_000),
				"http":   big.NewInt(((3_000_000 + 60_000*nodes) + 400*300 + 800*2_000_000) * nodes),
				"sign":   scale(10_000_000_000),
			} {
				b := w.mustQuery(id, name, nil)
				got := Cycles{Lo: binary.LittleEndian.Uint64(b), Hi: binary.LittleEndian.Uint64(b[8:])}
				if got.String() != want.String() {
					t.Errorf("%d nodes, wide %v: %s costs %s, want %s", nodes, wide, name, got, want)
				}
			}
			for name, want := range map[string]uint32{"known": 0, "other curve": 1, "other name": 2, "schnorr": 2, "algorithm": 1, "vetkd": 2} {
				if got := le32(w.mustQuery(id, name, nil)); got != want {
					t.Errorf("wide %v, %s: %d, want %d", wide, name, got, want)
				}
			}
		}
	}
}

// TestEnvironmentVariables reads variables by index and by name, with pointers of both widths.
func TestEnvironmentVariables(t *testing.T) {
	for _, wide := range []bool{false, true} {
		w := newWorld(t)
		m := newModuleOf(wide)
		text := func(size, copies code_) code_ { return cat(copies, m.reply(m.ptr(0), size)) }
		for i, name := range []string{"name 0", "name 1", "name 2"} {
			at := m.ptr(i)
			m.query(name, text(m.host("env_var_name_size", at), m.host("env_var_name_copy", at, m.ptr(0), m.ptr(0), m.host("env_var_name_size", at))))
		}
		for _, name := range []string{"B", "ü", "none"} {
			size := m.host("env_var_value_size", m.blob(name))
			m.query("value "+name, text(size, m.host("env_var_value_copy", m.blob(name), m.ptr(0), m.ptr(0), size)))
			m.query("has "+name, store32(m.ptr(0), m.host("env_var_name_exists", m.blob(name))), m.reply(m.ptr(0), m.ptr(4)))
		}
		m.query("bad name", drop(m.host("env_var_name_exists", m.blob("\xff"))), m.host("msg_reply"))
		m.update("mint", drop(m.host("mint_cycles", i64(1))), m.host("msg_reply"))
		m.update("mint128", m.host("mint_cycles128", i64(0), i64(1), m.ptr(0)), m.host("msg_reply"))
		m.query("counter", drop(m.host("performance_counter", i32(2))), m.host("msg_reply"))
		id := w.install(m)
		env := []management.EnvironmentVariable{{Name: "ü", Value: "two"}, {Name: "B", Value: ""}}
		w.mustManage("update_settings", management.UpdateSettingsArgs{CanisterID: id, Settings: management.Settings{EnvironmentVariables: &env}})
		for method, want := range map[string]string{"name 0": "B", "name 1": "ü", "value B": "", "value ü": "two", "has B": "\x01\x00\x00\x00",
			"has ü": "\x01\x00\x00\x00", "has none": "\x00\x00\x00\x00"} {
			if got := string(w.mustQuery(id, method, nil)); got != want {
				t.Errorf("wide %v, %s: %q, want %q", wide, method, got, want)
			}
		}
		for _, method := range []string{"name 2", "value none", "bad name", "counter"} {
			if _, rej := w.query(id, method, nil); rej == nil || rej.Error != "IC0504" {
				t.Errorf("wide %v, %s: %v", wide, method, rej)
			}
		}
		w.wantReject("IC0504", id, "mint", nil)
		w.wantReject("IC0504", id, "mint128", nil)
		if got := w.canister(id).Cycles.Add(w.canister(id).spent()); got != CyclesOf(provisionalAmount) {
			t.Errorf("wide %v: there are %s cycles", wide, got)
		}
	}
}

// TestBlocksDoNotWaitForQueries lets queries run without end on canisters that are committed meanwhile: on one, and on two whose queries
// hold one canister and ask for the other.
func TestBlocksDoNotWaitForQueries(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.QueryThreads, c.Threads, c.QueryInstructions = 16, 2, 1<<62 })
	a, b := w.create(), w.create()
	for i, id := range []principal.Principal{a, b} {
		m := newModule()
		m.update("inc", count(0), m.replyText("ok"))
		m.query("forever", forever())
		other := []principal.Principal{b, a}[i]
		m.export("canister_composite_query cross", wasmLoop(100_000, 20, nil), m.call(other.Bytes(), "forever", m.callback(), m.callback()))
		w.mustManage("install_code", installArgs(id, installMode, m.bytes(), nil))
	}
	var all sync.WaitGroup
	for _, id := range []principal.Principal{a, b} {
		for _, method := range []string{"forever", "cross", "cross"} {
			all.Go(func() {
				if r := w.x.Query(t.Context(), QueryRequest{Sender: alice, Canister: id, Method: method}); r.Reject == nil {
					t.Errorf("%s ended with %q", method, r.Reply)
				}
			})
		}
	}
	w.await("six queries", func() bool { return len(w.x.queries) == 6 })
	began := time.Now()
	w.round(w.message(alice, a, "inc", nil), w.message(alice, b, "inc", nil))
	all.Wait()
	if took := time.Since(began); took > time.Minute {
		t.Errorf("the block waited %s for queries", took)
	}
}

// TestQueriesWaitTheirTurn lets a canister's queries run without end: others are answered meanwhile, further ones of it are given up in time.
func TestQueriesWaitTheirTurn(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.QueryThreads = 2 })
	m := newModule()
	m.query("forever", forever())
	slow, other := w.install(m), w.install(counter())
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan QueryResult)
	go func() { ended <- w.x.Query(ctx, QueryRequest{Sender: alice, Canister: slow, Method: "forever"}) }()
	w.await("a query", func() bool { return len(w.canister(slow).queries) > 0 })
	w.mustQuery(other, "get", nil)
	late, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if r := w.x.Query(late, QueryRequest{Sender: alice, Canister: slow, Method: "forever"}); r.Reject == nil || r.Reject.Error != "IC0528" || r.Instructions != 0 {
		t.Errorf("%+v", r)
	}
	stop()
	if r := <-ended; r.Reject == nil || r.Reject.Error != "IC0528" && r.Reject.Error != "IC0522" {
		t.Errorf("%+v", r)
	}
	if n := len(w.x.queries) + len(w.canister(slow).queries) + len(w.canister(other).queries); n != 0 {
		t.Errorf("%d places are taken", n)
	}
}
