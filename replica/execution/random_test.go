package execution

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"sync"
	"testing"

	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/management"
)

// probe is a canister with a bit of everything, which calls target.
func probe(target principal.Principal) *module {
	m := newModule()
	m.export("canister_init", drop(m.host("stable64_grow", i64(2))))
	size := m.host("msg_arg_data_size")
	onReply := m.callback(count(100), m.host("msg_arg_data_copy", i32(1024), i32(0), size), m.reply(i32(1024), size))
	onReject := m.callback(count(104), m.replyText("rejected"))
	trapping := m.callback(unreachable())
	cleanup := m.callback(count(108))
	m.update("inc", count(0), m.host("stable64_write", i64(70_000), i64(0), i64(4)), m.reply(i32(0), i32(4)))
	m.update("trap", count(0), drop(growMemory(1)), unreachable())
	m.update("grow", drop(growMemory(1)), drop(m.host("stable64_grow", i64(1))), m.replyText("grown"))
	m.update("spread", wasmLoop(40, 20, cat(store32(wasmMul(load32(i32(20)), 4096), load32(i32(20))))), m.replyText("spread"))
	m.update("burn", wasmLoop(300_000, 20, nil), m.replyText("burnt"))
	m.update("certify", count(0), m.host("certified_data_set", i32(0), i32(4)), m.replyText("ok"))
	m.update("timer", drop(m.host("global_timer_set", addI64(m.host("time"), int64(3*second)))), m.replyText("ok"))
	m.export("canister_global_timer", count(4), m.call(target.Bytes(), "inc", m.callback(), m.callback()))
	m.update("call", m.call(target.Bytes(), "inc", onReply, onReject, m.host("call_cycles_add", i64(1000))))
	m.update("chain", m.call(target.Bytes(), "call", onReply, onReject))
	m.update("call trap", m.call(target.Bytes(), "trap", onReply, onReject))
	m.update("clean", m.call(target.Bytes(), "inc", trapping, trapping, m.host("call_on_cleanup", cleanup, i32(0))))
	m.update("rand", m.call(nil, "raw_rand", onReply, onReject, m.host("call_data_append", m.blob("DIDL\x00\x00"))))
	m.update("fast rand", m.call(nil, "raw_rand", onReply, onReject, m.host("call_data_append", m.blob("DIDL\x00\x00")), m.host("call_with_best_effort_response", i32(2))))
	m.update("print", m.host("debug_print", m.blob("printed")), m.replyText("ok"))
	m.query("get", m.reply(i32(0), i32(128)))
	return m
}

func wasmMul(a code_, n int) code_  { return append(cat(a, i32(n)), 0x6c) }
func addI64(a code_, n int64) code_ { return append(cat(a, i64(n)), 0x7c) }

var probeMethods = []string{"inc", "trap", "grow", "spread", "burn", "certify", "timer", "call", "chain", "call trap", "clean", "rand", "fast rand", "print", "get", "missing"}

// script is a run of random blocks.
type script struct {
	w    *world
	rng  *rand.Rand
	open []SystemCall
}

func (s *script) block(ids []principal.Principal, upgrade []byte) []Ingress {
	var out []Ingress
	for range s.rng.Intn(8) {
		id := ids[s.rng.Intn(len(ids))]
		switch s.rng.Intn(25) {
		case 0:
			out = append(out, s.w.message(alice, principal.Management, "install_code", candid.MustMarshal(installArgs(id, upgradeMode, upgrade, nil))))
		case 1:
			method := []string{"stop_canister", "start_canister", "canister_status"}[s.rng.Intn(3)]
			out = append(out, s.w.message(alice, principal.Management, method, candid.MustMarshal(management.CanisterID{CanisterID: id})))
		case 2:
			out = append(out, s.w.message(alice, principal.Management, "start_canister", candid.MustMarshal(management.CanisterID{CanisterID: id})))
		default:
			out = append(out, s.w.message(alice, id, probeMethods[s.rng.Intn(len(probeMethods))], nil))
		}
	}
	for i := 0; i < len(s.open); {
		if s.rng.Intn(3) == 0 {
			s.w.answer = append(s.w.answer, SystemResponse{ID: s.open[i].ID, Random: bytes.Repeat([]byte{byte(s.open[i].ID)}, 32)})
			s.open = append(s.open[:i], s.open[i+1:]...)
		} else {
			i++
		}
	}
	return out
}

// TestRandomBlocks runs random blocks under a budget so small that work is carried from block to block. Scenario compares the stores of
// three executors, one of which is opened anew after every block; here the trees are compared as well.
func TestRandomBlocks(t *testing.T) {
	for seed := int64(1); seed <= 2; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			var digests [][32]byte
			scenario(t, func(w *world) {
				t := w.t
				a, b, c := principal.FromUint64(16), principal.FromUint64(17), principal.FromUint64(18)
				for _, target := range []principal.Principal{b, c, a} {
					w.install(probe(target))
				}
				s := &script{w: w, rng: rand.New(rand.NewSource(seed))}
				upgrade := probe(a).bytes()
				var got [][32]byte
				carried := false
				for range 80 {
					res := w.round(s.block([]principal.Principal{a, b, c}, upgrade)...)
					s.open = append(s.open, res.SystemCalls...)
					carried = carried || res.Backlog > 0
					x, err := New(w.cfg, w.store)
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, x.Tree(nil).Digest())
					x.Close()
				}
				if !carried {
					t.Error("no block left work to the next: the budget is too large for this test")
				}
				if digests == nil {
					digests = got
				}
				for i := range got {
					if got[i] != digests[i] {
						t.Fatalf("the tree differs at block %d", i)
					}
				}
			}, func(c *Config) { c.RoundInstructions = 3_000_000 })
		})
	}
}

// TestBatchesEqualSingleCommits runs the same random blocks with messages committed in batches and one by one.
func TestBatchesEqualSingleCommits(t *testing.T) {
	undone := false
	for seed := int64(1); seed <= 4; seed++ {
		var dumps [2][]byte
		for i, eager := range []bool{false, true} {
			w := newWorld(t)
			w.x.eager = eager
			ids := []principal.Principal{principal.FromUint64(16), principal.FromUint64(17), principal.FromUint64(18)}
			for _, target := range []principal.Principal{ids[1], ids[2], ids[0]} {
				w.install(probe(target))
			}
			s := &script{w: w, rng: rand.New(rand.NewSource(seed))}
			upgrade := probe(ids[0]).bytes()
			for range 40 {
				var block []Ingress
				for range 3 {
					block = append(block, s.block(ids, upgrade)...)
				}
				before := w.x.used
				res := w.round(block...)
				s.open = append(s.open, res.SystemCalls...)
				undone = undone || !eager && before != w.x.used && res.Traps > 0 && res.Messages > res.Traps
			}
			dumps[i] = dump(w.store)
		}
		if !bytes.Equal(dumps[0], dumps[1]) {
			writeDumps(t, dumps[0], dumps[1])
			t.Errorf("seed %d: the stores differ", seed)
		}
	}
	if !undone {
		t.Error("no message trapped")
	}
}

// TestBatchIsRunAgain lets a message trap behind others that changed heap, stable memory and made calls.
func TestBatchIsRunAgain(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		a := w.install(probe(principal.FromUint64(16)))
		var block []Ingress
		for _, method := range []string{"inc", "inc", "call", "spread", "trap", "inc", "trap", "clean", "inc"} {
			block = append(block, w.message(alice, a, method, nil))
		}
		res := w.round(block...)
		if res.Traps < 3 || w.last.Backlog != 0 {
			t.Errorf("%d traps, backlog %d", res.Traps, w.last.Backlog)
		}
		// spread clears the counter; after it come inc twice, and inc once each by call and by clean.
		if got := le32(w.mustQuery(a, "get", nil)); got != 4 {
			t.Errorf("the counter is %d, want 4", got)
		}
		if pages := w.x.canisters[a].HeapPages; pages != 4 {
			t.Errorf("the heap has %d pages, want 4: a trap left its growth", pages)
		}
	})
}

// TestQueriesBesideRounds runs queries while blocks are executed; each must see a state between two messages.
func TestQueriesBesideRounds(t *testing.T) {
	w := newWorld(t)
	m := newModule()
	m.export("canister_init", drop(m.host("stable64_grow", i64(1))))
	// The same number in two pages of the heap and in stable memory.
	m.update("inc", count(0), store32(i32(8192), load32(i32(0))), m.host("stable64_write", i64(5000), i64(0), i64(4)), m.replyText("ok"))
	m.query("get", store32(i32(100), load32(i32(8192))), m.host("stable64_read", i64(104), i64(5000), i64(4)),
		store32(i32(96), load32(i32(0))), m.reply(i32(96), i32(12)))
	id := w.install(m)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 2 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			last := uint32(0)
			for ctx.Err() == nil {
				r := w.x.Query(context.Background(), QueryRequest{Sender: alice, Canister: id, Method: "get"})
				if r.Reject != nil {
					t.Error(r.Reject)
					return
				}
				a, b, c := le32(r.Reply), le32(r.Reply[4:]), le32(r.Reply[8:])
				if a != b || a != c || a < last {
					t.Errorf("a query saw %d, %d, %d after %d", a, b, c, last)
					return
				}
				last = a
				w.x.Canisters()
				if rej := w.x.InspectMessage(ctx, Ingress{Sender: alice, Canister: id, Method: "inc"}); rej != nil && ctx.Err() == nil {
					t.Error(rej)
					return
				}
			}
		}()
	}
	for range 200 {
		w.round(w.message(alice, id, "inc", nil), w.message(alice, id, "inc", nil))
	}
	cancel()
	wg.Wait()
}

func TestCompositeQueries(t *testing.T) {
	w := newWorld(t)
	leaf := w.install(counter())
	build := func(target principal.Principal, method string) *module {
		m := newModule()
		size := m.host("msg_arg_data_size")
		pass := m.callback(count(0), m.host("msg_arg_data_copy", i32(1024), i32(0), size), m.host("msg_reply_data_append", m.blob("> ")), m.reply(i32(1024), size))
		rejectSize := m.host("msg_reject_msg_size")
		fail := m.callback(m.host("msg_reject_msg_copy", i32(1024), i32(0), rejectSize), m.host("msg_reject", i32(1024), rejectSize))
		arg := m.host("call_data_append", m.blob("leaf"))
		m.export("canister_composite_query ask", m.call(target.Bytes(), method, pass, fail, arg))
		m.export("canister_composite_query self", m.call(principal.FromUint64(18).Bytes(), "self", pass, fail))
		m.query("plain", m.reply(i32(0), i32(4)))
		return m
	}
	mid := w.install(build(leaf, "qecho"))
	top := w.install(build(mid, "ask"))
	if got := string(w.mustQuery(top, "ask", nil)); got != "> > leaf" {
		t.Errorf("%q", got)
	}
	if got := le32(w.mustQuery(top, "plain", nil)); got != 0 {
		t.Errorf("a composite query left %d in the heap", got)
	}
	if _, rej := w.query(top, "self", nil); rej == nil || rej.Code != CanisterReject {
		t.Errorf("a query that calls itself: %v", rej)
	}
	w.wantReject("IC0527", top, "ask", nil)
}

func TestDataCertificate(t *testing.T) {
	w := newWorld(t)
	m := newModule()
	size := m.host("data_certificate_size")
	m.query("get", when(m.host("data_certificate_present"), m.host("data_certificate_copy", i32(0), i32(0), size), m.host("msg_reply_data_append", i32(0), size)),
		m.host("msg_reply"))
	id := w.install(m)
	r := w.x.Query(t.Context(), QueryRequest{Sender: alice, Canister: id, Method: "get", Certificate: []byte("certificate")})
	if string(r.Reply) != "certificate" {
		t.Errorf("%q %v", r.Reply, r.Reject)
	}
	if got := w.mustQuery(id, "get", nil); len(got) != 0 {
		t.Errorf("without a certificate: %q", got)
	}
	if got := w.mustUpdate(id, "get", nil); len(got) != 0 {
		t.Errorf("replicated: %q", got)
	}
}

func TestBudgetAndFairness(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		m := newModule()
		m.update("burn", wasmLoop(100_000, 20, nil), count(0), m.replyText("ok"))
		m.query("get", m.reply(i32(0), i32(4)))
		a, b := w.install(m), w.install(m)
		var all []Ingress
		for range 100 {
			all = append(all, w.message(alice, a, "burn", nil))
		}
		all = append(all, w.message(alice, b, "burn", nil))
		if res := w.round(all...); res.Backlog == 0 || res.InstructionsUsed > 8_000_000 {
			t.Errorf("%d messages are left after %d instructions", res.Backlog, res.InstructionsUsed)
		}
		w.round()
		if got := le32(w.mustQuery(b, "get", nil)); got != 1 {
			t.Error("a canister with one message waits behind one with a hundred")
		}
		for range 200 {
			if w.last.Backlog == 0 {
				break
			}
			w.round()
		}
		if got := le32(w.mustQuery(a, "get", nil)); got != 100 {
			t.Errorf("%d of 100 messages were executed", got)
		}
	}, func(c *Config) { c.RoundInstructions = 5_000_000 })
}

func TestIngressExpiresInQueue(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		m := newModule()
		m.update("burn", wasmLoop(200_000, 20, nil), m.replyText("ok"))
		id := w.install(m)
		var all []Ingress
		for range 20 {
			all = append(all, w.message(alice, id, "burn", nil))
		}
		w.round(all...)
		w.now += 300 * second
		if _, rej := w.finish(all[19].ID); rej == nil || rej.Error != "IC0202" {
			t.Errorf("%v", rej)
		}
	}, func(c *Config) { c.RoundInstructions = 1_000_000 })
}

func TestInspectMessage(t *testing.T) {
	w := newWorld(t)
	m := newModule()
	m.export("canister_inspect_message", when(m.host("msg_arg_data_size"), m.host("accept_message")))
	m.update("x", m.replyText("ok"))
	id := w.install(m)
	if rej := w.x.InspectMessage(t.Context(), Ingress{Sender: alice, Canister: id, Method: "x", Arg: []byte{1}}); rej != nil {
		t.Error(rej)
	}
	if rej := w.x.InspectMessage(t.Context(), Ingress{Sender: alice, Canister: id, Method: "x"}); rej == nil || rej.Error != "IC0406" {
		t.Errorf("%v", rej)
	}
	if rej := w.x.InspectMessage(t.Context(), Ingress{Sender: alice, Canister: principal.FromUint64(77), Method: "x"}); rej == nil || rej.Error != "IC0301" {
		t.Errorf("%v", rej)
	}
	if rej := w.x.InspectMessage(t.Context(), Ingress{Sender: alice, Method: "raw_rand"}); rej == nil {
		t.Error("raw_rand passes inspection")
	}
}

func TestQueryIsGivenUpWithItsCaller(t *testing.T) {
	w := newWorld(t)
	m := newModule()
	m.query("loop", forever())
	id := w.install(m)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan QueryResult)
	go func() { done <- w.x.Query(ctx, QueryRequest{Sender: alice, Canister: id, Method: "loop"}) }()
	cancel()
	if r := <-done; r.Reject == nil || r.Reject.Error != "IC0528" || r.Instructions >= w.x.cfg.QueryInstructions {
		t.Errorf("%v after %d instructions", r.Reject, r.Instructions)
	}
}
