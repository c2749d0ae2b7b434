package execution

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/management"
)

// The rules of calls, callbacks, traps and responses of the interface specification's formal model, a test for each.

// emptyArg is what raw_rand takes; a call of it stays open until the test answers it.
func emptyArg(m *module) code_ { return m.host("call_data_append", m.blob("DIDL\x00\x00")) }

func random(id uint64) SystemResponse {
	return SystemResponse{ID: id, Random: bytes.Repeat([]byte{7}, 32)}
}

func (w *world) canister(id principal.Principal) *canister { return w.x.canisters[id] }

// spent is all that has left the balance of c for good.
func (c *canister) spent() (sum Cycles) {
	for _, n := range c.Consumed {
		sum = sum.Add(n)
	}
	return sum
}

// peek reads a number of the committed heap.
func (w *world) peek(id principal.Principal, at uint64) uint32 {
	w.t.Helper()
	var b [4]byte
	if !w.x.load(w.canister(id), w.store).image.Read(b[:], at) {
		w.t.Fatal("no heap")
	}
	return le32(b[:])
}

func (w *world) idle(id principal.Principal) {
	w.t.Helper()
	if c := w.canister(id); len(c.contexts)+len(c.callbacks)+len(c.inFlight)+c.bestEffort+c.requests.len()+c.responses.len() != 0 {
		w.t.Errorf("left over: %d contexts, %d callbacks, %d callees, %d best-effort calls, %d requests, %d responses",
			len(c.contexts), len(c.callbacks), len(c.inFlight), c.bestEffort, c.requests.len(), c.responses.len())
	}
}

func TestTrapInCallbackKeepsWhatCameBefore(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		callee := w.install(counter())
		m := newModule()
		m.export("canister_init", drop(m.host("stable64_grow", i64(1))))
		effects := cat(count(0), m.host("stable64_write", i64(0), i64(0), i64(4)), m.host("certified_data_set", m.blob("callback")),
			drop(m.host("global_timer_set", i64(1<<62))), m.call(callee.Bytes(), "inc", m.callback(), m.callback()),
			m.host("msg_reply_data_append", m.blob("never")), m.host("msg_reply"), drop(growMemory(1)))
		trapping := m.callback(effects, unreachable())
		cleanup := m.callback(count(8), store32(i32(12), m.host("msg_reject_code")), m.host("stable64_write", i64(8), i64(8), i64(4)),
			drop(m.host("global_timer_set", i64(1<<61))))
		clean := m.host("call_on_cleanup", cleanup, i32(0))
		m.update("go", count(4), m.host("certified_data_set", m.blob("method")), m.call(callee.Bytes(), "echo", trapping, trapping, clean))
		m.update("go rejected", m.call(callee.Bytes(), "missing", trapping, trapping, clean))
		m.query("stable", m.host("stable64_read", i64(512), i64(0), i64(16)), m.reply(i32(512), i32(16)))
		id := w.install(m)
		pages := w.canister(id).HeapPages
		w.wantReject("IC0502", id, "go", nil)
		c := w.canister(id)
		if w.peek(id, 0) != 0 || w.peek(id, 4) != 1 || w.peek(id, 8) != 1 || c.HeapPages != pages {
			t.Errorf("heap: callback %d, method %d, cleanup %d, %d pages", w.peek(id, 0), w.peek(id, 4), w.peek(id, 8), c.HeapPages)
		}
		if s := w.mustQuery(id, "stable", nil); le32(s) != 0 || le32(s[8:]) != 1 {
			t.Errorf("stable memory: %x", s)
		}
		if string(c.Certified) != "method" || c.Timer != 1<<61 {
			t.Errorf("certified %q, timer %d", c.Certified, c.Timer)
		}
		if n := le32(w.mustQuery(callee, "get", nil)); n != 0 {
			t.Errorf("the trapped callback's call was made %d times", n)
		}
		if w.peek(id, 12) != 0 {
			t.Errorf("cleanup after a reply sees the reject code %d", w.peek(id, 12))
		}
		w.wantReject("IC0502", id, "go rejected", nil)
		if w.peek(id, 12) != CanisterError {
			t.Errorf("cleanup after a rejection sees the reject code %d", w.peek(id, 12))
		}
		w.idle(id)
	})
}

// TestCleanupHasInstructionsLeft lets the callback use all it may: the cleanup callback runs on what was kept for it, and both together cost no
// more than what was set aside.
func TestCleanupHasInstructionsLeft(t *testing.T) {
	const limit = 10_000_000
	scenario(t, func(w *world) {
		t := w.t
		callee := w.install(counter())
		m := newModule()
		endless := m.callback(forever())
		m.update("short", m.call(callee.Bytes(), "echo", endless, endless, m.host("call_on_cleanup", m.callback(count(0)), i32(0))))
		m.update("long", m.call(callee.Bytes(), "echo", endless, endless, m.host("call_on_cleanup", m.callback(count(4), forever()), i32(0))))
		id := w.install(m)
		w.wantReject("IC0522", id, "short", nil)
		if rej := w.wantReject("IC0522", id, "long", nil); !strings.Contains(rej.Message, "cleanup callback failed") {
			t.Errorf("%v", rej)
		}
		if w.peek(id, 0) != 1 || w.peek(id, 4) != 0 {
			t.Errorf("cleanup: %d, endless cleanup: %d", w.peek(id, 0), w.peek(id, 4))
		}
		if used := w.last.InstructionsUsed; used < limit || used > limit+limit/10 { // the call, its receiver, callback and cleanup
			t.Errorf("%d instructions", used)
		}
	}, func(c *Config) { c.MessageInstructions = limit })
}

func TestOnlyOneResponse(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		callee := w.install(counter())
		m := newModule()
		again := m.callback(count(0), m.replyText("again"))
		rejectAgain := m.callback(count(0), m.host("msg_reject", m.blob("again")))
		appendAgain := m.callback(count(0), m.host("msg_reply_data_append", m.blob("again")))
		ignore := m.callback()
		m.update("reply twice", count(0), m.replyText("one"), m.replyText("two"))
		m.update("reply and reject", count(0), m.replyText("one"), m.host("msg_reject", m.blob("two")))
		m.update("append after reply", count(0), m.replyText("one"), m.host("msg_reply_data_append", m.blob("two")))
		m.update("late reply", m.replyText("first"), m.call(callee.Bytes(), "echo", again, ignore))
		m.update("late reject", m.replyText("first"), m.call(callee.Bytes(), "echo", rejectAgain, ignore))
		m.update("late append", m.replyText("first"), m.call(callee.Bytes(), "echo", appendAgain, ignore))
		m.update("dropped data", m.host("msg_reply_data_append", m.blob("dropped")), m.call(callee.Bytes(), "echo", m.callback(m.replyText("kept")), ignore))
		m.export("canister_heartbeat", when(load32(i32(64)), store32(i32(64), i32(0)), count(0), m.host("msg_reply")))
		m.update("beat", store32(i32(64), i32(1)), m.replyText("ok"))
		id := w.install(m)
		for _, method := range []string{"reply twice", "reply and reject", "append after reply"} {
			w.wantReject("IC0504", id, method, nil)
		}
		for _, method := range []string{"late reply", "late reject", "late append"} {
			if got := string(w.mustUpdate(id, method, nil)); got != "first" {
				t.Errorf("%s: %q", method, got)
			}
			if w.last.Traps != 1 {
				t.Errorf("%s: %d traps", method, w.last.Traps)
			}
		}
		if got := string(w.mustUpdate(id, "dropped data", nil)); got != "kept" {
			t.Errorf("data appended without a reply: %q", got)
		}
		w.mustUpdate(id, "beat", nil)
		if n := w.peek(id, 0); n != 0 {
			t.Errorf("%d executions that answered twice left something", n)
		}
		w.idle(id)
	})
}

func TestNotReplyingRejectsWhenNothingIsOutstanding(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		m := newModule()
		ignore := m.callback()
		onReply := m.callback(m.replyText("at last"))
		m.update("two", m.call(nil, "raw_rand", ignore, ignore, emptyArg(m)), m.call(nil, "raw_rand", ignore, ignore, emptyArg(m)))
		m.update("second replies", m.call(nil, "raw_rand", ignore, ignore, emptyArg(m)), m.call(nil, "raw_rand", onReply, ignore, emptyArg(m)))
		id := w.install(m)
		msg := w.message(alice, id, "two", nil)
		open := w.round(msg).SystemCalls
		w.answer = []SystemResponse{random(open[0].ID)}
		w.round()
		if s, _ := w.x.IngressStatus(msg.ID); s.State != Processing {
			t.Errorf("%s while a call is outstanding", s.State)
		}
		w.answer = []SystemResponse{random(open[1].ID)}
		w.round()
		if _, rej := w.finish(msg.ID); rej == nil || rej.Error != "IC0506" {
			t.Errorf("%v", rej)
		}
		msg = w.message(alice, id, "second replies", nil)
		open = w.round(msg).SystemCalls
		w.answer = []SystemResponse{random(open[0].ID)}
		w.round()
		w.answer = []SystemResponse{random(open[1].ID)}
		w.round()
		if reply, rej := w.finish(msg.ID); string(reply) != "at last" {
			t.Errorf("%q %v", reply, rej)
		}
		w.idle(id)
	})
}

// TestTrapInOneCallbackLeavesTheContextToOthers: a trap answers nobody as long as another callback may.
func TestTrapInOneCallbackLeavesTheContextToOthers(t *testing.T) {
	scenario(t, func(w *world) {
		callee := w.install(counter())
		m := newModule()
		ignore := m.callback()
		m.update("go", m.call(callee.Bytes(), "echo", m.callback(unreachable()), ignore), m.call(nil, "raw_rand", m.callback(m.replyText("alive")), ignore, emptyArg(m)))
		id := w.install(m)
		msg := w.message(alice, id, "go", nil)
		open := w.round(msg).SystemCalls
		w.answer = []SystemResponse{random(open[0].ID)}
		w.round()
		if reply, rej := w.finish(msg.ID); string(reply) != "alive" {
			w.t.Errorf("%q %v", reply, rej)
		}
	})
}

func TestCallsFromRejectCallback(t *testing.T) {
	scenario(t, func(w *world) {
		callee := w.install(counter())
		m := newModule()
		done := m.callback(m.replyText("second attempt"))
		again := m.callback(m.call(callee.Bytes(), "echo", done, done))
		m.update("go", m.call(callee.Bytes(), "missing", m.callback(), again))
		id := w.install(m)
		if got := string(w.mustUpdate(id, "go", nil)); got != "second attempt" {
			w.t.Errorf("%q", got)
		}
		w.idle(id)
	})
}

// refunds is a pair of canisters: the first attaches 1000 cycles to a call of the second and answers with the refund that its callback sees.
func refunds(w *world) (id, callee principal.Principal, methods []string) {
	accept := func(m *module, n int64) code_ { return m.host("msg_cycles_accept128", i64(0), i64(n), i32(2048)) }
	m := newModule()
	m.update("takes none", m.replyText("ok"))
	m.update("takes some", accept(m, 300), accept(m, 100), m.replyText("ok"))
	m.update("takes too much", accept(m, 5000), m.replyText("ok"))
	m.update("takes and rejects", accept(m, 300), m.host("msg_reject", m.blob("no")))
	m.update("takes and traps", accept(m, 300), unreachable())
	m.update("takes and is silent", accept(m, 300))
	m.update("takes after reply", m.replyText("ok"), accept(m, 300))
	m.query("takes in a query", accept(m, 300), m.replyText("ok"))
	self := principal.FromUint64(16)
	takes := m.callback(accept(m, 300), m.replyText("ok"))
	m.update("takes in a callback", m.call(self.Bytes(), "takes none", takes, takes))
	m.update("takes in a callback that traps", accept(m, 200), m.call(self.Bytes(), "takes none", m.callback(accept(m, 300), unreachable()), takes))
	callee = w.install(m)
	c := newModule()
	answer := c.callback(c.host("msg_cycles_refunded128", i32(0)), c.reply(i32(0), i32(16)))
	methods = []string{"takes none", "takes some", "takes too much", "takes and rejects", "takes and traps", "takes and is silent", "takes after reply",
		"takes in a query", "takes in a callback", "takes in a callback that traps", "does not exist"}
	for _, method := range methods {
		c.update(method, c.call(callee.Bytes(), method, answer, answer, c.host("call_cycles_add128", i64(0), i64(600)), c.host("call_cycles_add", i64(400))))
	}
	return w.install(c), callee, methods
}

func TestRefundsOfUnacceptedCycles(t *testing.T) {
	want := map[string]uint64{"takes none": 1000, "takes some": 600, "takes too much": 0, "takes and rejects": 700, "takes and traps": 1000,
		"takes and is silent": 700, "takes after reply": 1000, "takes in a query": 700, "takes in a callback": 700, "takes in a callback that traps": 800,
		"does not exist": 1000}
	scenario(t, func(w *world) {
		id, callee, methods := refunds(w)
		if callee != principal.FromUint64(16) {
			w.t.Fatal("the callee calls somebody else")
		}
		for _, method := range methods {
			got := w.mustUpdate(id, method, nil)
			if n := binary.LittleEndian.Uint64(got); n != want[method] {
				w.t.Errorf("%s: %d cycles came back, want %d", method, n, want[method])
			}
			w.idle(id)
			w.idle(callee)
		}
	})
}

func TestCallUnderConstruction(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		callee := w.install(counter())
		m := newModule()
		ignore := m.callback()
		begin := m.host("call_new", m.blob(string(callee.Bytes())), m.blob("inc"), ignore, i32(0), ignore, i32(0))
		perform := drop(m.host("call_perform"))
		clean := m.host("call_on_cleanup", ignore, i32(0))
		hurry := m.host("call_with_best_effort_response", i32(5))
		pay := m.host("call_cycles_add128", i64(0), i64(10))
		data := m.host("call_data_append", m.blob("x"))
		ok := m.replyText("ok")
		m.update("cleanup twice", begin, clean, clean)
		m.update("timeout twice", begin, hurry, hurry)
		m.update("perform twice", begin, perform, perform)
		steps := map[string]code_{"cleanup": clean, "timeout": hurry, "cycles": pay, "data": data, "perform": perform}
		for _, name := range sortedKeys(steps) {
			m.update(name+" before call_new", steps[name])
			m.update(name+" after call_perform", begin, perform, steps[name])
		}
		m.update("too much data", begin, wasmLoop(11, 600, m.host("call_data_append", i32(0), i32(1<<18))), wasmLoop(50, 600, m.host("call_data_append", i32(0), i32(1<<18))))
		m.update("long method name", m.host("call_new", m.blob(string(callee.Bytes())), i32(0), i32(20_001), ignore, i32(0), ignore, i32(0)))
		m.update("long callee", m.host("call_new", i32(0), i32(30), m.blob("inc"), ignore, i32(0), ignore, i32(0)))
		m.update("method name in no encoding", m.host("call_new", m.blob(string(callee.Bytes())), m.blob("\xff"), ignore, i32(0), ignore, i32(0)))
		balance := m.host("canister_cycle_balance128", i32(0))
		after := m.host("canister_cycle_balance128", i32(16))
		m.update("replaced", balance, begin, pay, begin, after, m.reply(i32(0), i32(32)))
		m.update("attached", balance, begin, pay, after, m.reply(i32(0), i32(32)))
		m.update("forgotten", begin, pay, ok)
		m.update("cleanup, timeout, cycles and data", begin, clean, hurry, pay, pay, data, data, perform, ok)
		// A callback that is no function traps when it is its turn; as cleanup it is ignored.
		m.update("bad callback", m.host("call_new", m.blob(string(callee.Bytes())), m.blob("echo"), i32(99), i32(0), i32(99), i32(0)), m.host("call_on_cleanup", i32(98), i32(0)), perform)
		id := w.install(m)
		for _, method := range []string{"cleanup twice", "timeout twice", "perform twice", "cleanup before call_new", "timeout before call_new", "cycles before call_new",
			"data before call_new", "perform before call_new", "cleanup after call_perform", "timeout after call_perform", "cycles after call_perform",
			"data after call_perform", "perform after call_perform", "too much data", "long method name", "long callee", "method name in no encoding"} {
			w.wantReject("IC0504", id, method, nil)
		}
		if n := le32(w.mustQuery(callee, "get", nil)); n != 0 {
			t.Errorf("%d calls of trapped messages were made", n)
		}
		got := w.mustUpdate(id, "replaced", nil)
		if !bytes.Equal(got[:16], got[16:]) {
			t.Errorf("call_new did not give back the cycles of the call it replaced: %x", got)
		}
		got = w.mustUpdate(id, "attached", nil)
		if a, b := binary.LittleEndian.Uint64(got), binary.LittleEndian.Uint64(got[16:]); a != b+10 {
			t.Errorf("the balance is %d, with 10 cycles attached %d", a, b)
		}
		burned, cycles := w.canister(id).spent(), w.canister(id).Cycles
		w.mustUpdate(id, "forgotten", nil)
		if c := w.canister(id); cycles.Sub(c.Cycles) != c.spent().Sub(burned) {
			t.Errorf("%s cycles are gone, %s were burned", cycles.Sub(c.Cycles), c.spent().Sub(burned))
		}
		w.mustUpdate(id, "cleanup, timeout, cycles and data", nil)
		w.wantReject("IC0502", id, "bad callback", nil)
		w.idle(id)
	})
}

// TestCallPerformWithoutCycles runs into the freezing limit: call_perform answers 2, nothing is sent, the attached cycles are back.
func TestCallPerformWithoutCycles(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		callee := w.install(counter())
		m := newModule()
		ignore := m.callback()
		begin := m.host("call_new", m.blob(string(callee.Bytes())), m.blob("inc"), ignore, i32(0), ignore, i32(0))
		m.update("go", m.host("canister_cycle_balance128", i32(0)), begin, m.host("call_cycles_add128", i64(0), i64(1000)), store32(i32(64), m.host("call_perform")),
			m.host("canister_cycle_balance128", i32(16)), m.reply(i32(0), i32(80)))
		m.update("all", m.host("canister_liquid_cycle_balance128", i32(0)), begin, m.host("call_cycles_add128", load64(i32(8)), load64(i32(0))), store32(i32(64), m.host("call_perform")),
			m.reply(i32(64), i32(4)))
		m.update("more than all", m.host("canister_liquid_cycle_balance128", i32(0)), begin, m.host("call_cycles_add128", load64(i32(8)), addI64(load64(i32(0)), 1)))
		m.update("burn", m.host("cycles_burn128", i64(-1), i64(-1), i32(0)), m.host("canister_liquid_cycle_balance128", i32(16)), m.reply(i32(0), i32(32)))
		id := w.install(m)
		if got := le32(w.mustUpdate(id, "all", nil)); got != 2 {
			t.Errorf("call_perform with nothing left gives %d, want 2", got)
		}
		w.wantReject("IC0520", id, "more than all", nil)
		c := w.canister(id)
		frozen := w.x.prices().freezing(&c.Settings, c.memory(), c.Reserved)
		// Enough for the message, not for the response as well.
		c.Cycles = frozen.Add(w.x.prices().execution(w.cfg.MessageInstructions)).Add(w.x.prices().execution(5_000_000_000)).Add(w.x.prices().ingress(1 << 20))
		c.dirty = true
		got := w.mustUpdate(id, "go", nil)
		if le32(got[64:]) != 2 || !bytes.Equal(got[:16], got[16:32]) {
			t.Errorf("call_perform gives %d; balances %x and %x", le32(got[64:]), got[:16], got[16:32])
		}
		w.idle(id)
		if got := w.mustUpdate(id, "burn", nil); bytes.Equal(got[:16], make([]byte, 16)) || !bytes.Equal(got[16:], make([]byte, 16)) {
			t.Errorf("burned %x, %x are left to spend", got[:16], got[16:])
		}
		if n := le32(w.mustQuery(callee, "get", nil)); n != 0 {
			t.Errorf("%d calls were made", n)
		}
	}, func(c *Config) { c.MessageInstructions = 5_000_000_000 })
}

func TestFrozenCanister(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		m := newModule()
		m.update("ok", m.replyText("ok"))
		m.query("qok", m.replyText("ok"))
		m.export("canister_heartbeat", count(0))
		pass := m.callback(m.replyText("replied"))
		m.export("canister_composite_query ask", m.call(principal.FromUint64(16).Bytes(), "qok", pass, m.callback(m.host("msg_reject", m.blob("rejected")))))
		rejectCode := m.callback(store32(i32(64), m.host("msg_reject_code")), m.reply(i32(64), i32(1)))
		m.update("call", m.call(principal.FromUint64(16).Bytes(), "ok", rejectCode, rejectCode))
		id, other := w.install(m), w.install(m)
		c := w.canister(id)
		rich := c.Cycles
		c.Cycles, c.Settings.Freezing, c.dirty = CyclesOf(1_000_000_000), 1<<40, true
		w.round()
		beats := w.peek(id, 0)
		if rej := w.wantReject("IC0207", id, "ok", nil); rej.Code != SysTransient {
			t.Errorf("%v", rej)
		}
		if _, rej := w.query(id, "qok", nil); rej == nil || rej.Error != "IC0207" || rej.Code != SysTransient {
			t.Errorf("query: %v", rej)
		}
		if _, rej := w.query(other, "ask", nil); rej == nil || rej.Message != "rejected" {
			t.Errorf("composite query: %v", rej)
		}
		if rej := w.x.InspectMessage(t.Context(), w.message(alice, id, "ok", nil)); rej == nil || rej.Error != "IC0207" {
			t.Errorf("inspection: %v", rej)
		}
		if got := w.mustUpdate(other, "call", nil); got[0] != SysTransient {
			t.Errorf("a call of a frozen canister is rejected with %d", got[0])
		}
		if w.peek(id, 0) != beats {
			t.Error("the heart of a frozen canister beats")
		}
		c = w.canister(id)
		c.Cycles, c.Settings.Freezing, c.dirty = rich, defaultFreezing, true
		if got := string(w.mustUpdate(id, "ok", nil)); got != "ok" {
			t.Errorf("%q", got)
		}
	})
}

// TestCallbacksOfFrozenCanister: a response is taken in although its canister is frozen, since it was paid for when the call was made.
func TestCallbacksOfFrozenCanister(t *testing.T) {
	scenario(t, func(w *world) {
		id := w.install(waiting())
		msg := w.message(alice, id, "wait", nil)
		open := w.round(msg).SystemCalls
		c := w.canister(id)
		c.Cycles, c.dirty = Cycles{}, true
		w.answer = []SystemResponse{random(open[0].ID)}
		w.round()
		if _, rej := w.finish(msg.ID); rej != nil {
			w.t.Error(rej)
		}
	})
}

func TestDeletedContextsOfUninstalledCanister(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		m := newModule()
		never := m.callback(count(0))
		m.update("hold", m.host("msg_cycles_accept128", i64(0), i64(100), i32(64)),
			m.call(nil, "raw_rand", never, never, emptyArg(m), m.host("call_cycles_add128", i64(0), i64(5_000_000)), m.host("call_on_cleanup", never, i32(0))))
		m.query("get", m.reply(i32(0), i32(4)))
		holder := w.install(m)
		c := newModule()
		answer := c.callback(c.host("msg_cycles_refunded128", i32(0)), store32(i32(16), c.host("msg_reject_code")), c.reply(i32(0), i32(20)))
		c.update("go", c.call(holder.Bytes(), "hold", answer, answer, c.host("call_cycles_add128", i64(0), i64(1000))))
		id := w.install(c)
		msg := w.message(alice, id, "go", nil)
		open := w.round(msg).SystemCalls
		w.mustManage("uninstall_code", management.UninstallCodeArgs{CanisterID: holder})
		got, rej := w.finish(msg.ID)
		if rej != nil || binary.LittleEndian.Uint64(got) != 900 || got[16] != CanisterReject {
			t.Errorf("refund and reject code %x, %v; want 900 and 4", got, rej)
		}
		// New code: the old callbacks are not its business, the cycles are.
		w.mustManage("install_code", installArgs(holder, installMode, m.bytes(), nil))
		before := w.canister(holder).Cycles
		w.answer = []SystemResponse{random(open[0].ID)}
		w.round()
		if n := le32(w.mustQuery(holder, "get", nil)); n != 0 {
			t.Error("a callback of a deleted context ran")
		}
		if got := w.canister(holder).Cycles.Sub(before); got.Cmp(w.x.prices().execution(w.cfg.MessageInstructions).Add(CyclesOf(5_000_000))) < 0 {
			t.Errorf("%s cycles came back", got)
		}
		w.idle(holder)
	})
}

// TestReinstalledCanisterRunsOldCallbacks: reinstalling keeps call contexts; their callbacks run in the new code.
func TestReinstalledCanisterRunsOldCallbacks(t *testing.T) {
	scenario(t, func(w *world) {
		build := func(text string) *module {
			m := newModule()
			pass := m.callback(m.replyText(text))
			m.update("wait", m.call(nil, "raw_rand", pass, pass, emptyArg(m)))
			return m
		}
		id := w.install(build("old"))
		msg := w.message(alice, id, "wait", nil)
		open := w.round(msg).SystemCalls
		w.mustManage("install_code", installArgs(id, management.ModeReinstall(), build("new").bytes(), nil))
		w.answer = []SystemResponse{random(open[0].ID)}
		w.round()
		if reply, rej := w.finish(msg.ID); string(reply) != "new" {
			w.t.Errorf("%q %v", reply, rej)
		}
	})
}

// TestStoppingCanisterCallsOthers: while stopping a canister takes responses and may call again from them; it stops when all contexts are closed.
func TestStoppingCanisterCallsOthers(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		callee := w.install(counter())
		m := newModule()
		done := m.callback(store32(i32(0), m.host("canister_status")), m.reply(i32(0), i32(4)))
		again := m.callback(m.call(callee.Bytes(), "inc", done, done))
		self := m.callback(m.host("msg_reject_msg_copy", i32(0), i32(0), m.host("msg_reject_msg_size")), m.reply(i32(0), m.host("msg_reject_msg_size")))
		m.update("other", m.call(nil, "raw_rand", again, again, emptyArg(m)))
		m.update("self", m.call(nil, "raw_rand", m.callback(m.call(principal.FromUint64(17).Bytes(), "other", self, self)), again, emptyArg(m)))
		id := w.install(m)
		if id != principal.FromUint64(17) {
			t.Fatal(id)
		}
		first, second := w.message(alice, id, "other", nil), w.message(alice, id, "self", nil)
		open := w.round(first, second).SystemCalls
		stops := []Ingress{w.message(alice, principal.Management, "stop_canister", candid.MustMarshal(idArg(id))), w.message(alice, principal.Management, "stop_canister", candid.MustMarshal(idArg(id)))}
		w.round(stops...)
		w.answer = []SystemResponse{random(open[0].ID)}
		w.round()
		if reply, rej := w.finish(first.ID); rej != nil || le32(reply) != uint32(stopping) {
			t.Errorf("the callback saw status %x, %v", reply, rej)
		}
		if le32(w.mustQuery(callee, "get", nil)) != 1 {
			t.Error("the stopping canister's call was not made")
		}
		if w.canister(id).Status != stopping {
			t.Errorf("%s with an open context", w.canister(id).Status)
		}
		w.answer = []SystemResponse{random(open[1].ID)}
		w.round()
		if reply, rej := w.finish(second.ID); !strings.Contains(string(reply), "is stopping") {
			t.Errorf("a call of itself: %q %v", reply, rej)
		}
		for _, s := range stops {
			if _, rej := w.finish(s.ID); rej != nil {
				t.Errorf("stop: %v", rej)
			}
		}
		if w.canister(id).Status != stopped {
			t.Errorf("%s", w.canister(id).Status)
		}
	})
}

func TestInspectMessageRefuses(t *testing.T) {
	w := newWorld(t)
	m := newModule()
	is := func(name string, body ...code_) code_ { // by the length of the method's name
		return when(append(cat(m.host("msg_method_name_size"), i32(len(name))), 0x46), body...)
	}
	accept := m.host("accept_message")
	m.export("canister_inspect_message", is("a", accept), is("bb", accept, unreachable()), is("ccc", accept, accept), is("dddd", accept, forever()),
		is("fffff", count(0), drop(m.host("stable64_grow", i64(1))), accept))
	for _, name := range []string{"a", "bb", "ccc", "dddd", "eeeeee", "fffff"} {
		m.update(name, m.replyText("ok"))
	}
	id := w.install(m)
	for _, c := range []struct{ method, want string }{{"a", ""}, {"bb", "IC0502"}, {"ccc", "IC0504"}, {"dddd", "IC0522"}, {"eeeeee", "IC0406"}, {"fffff", ""}} {
		rej := w.x.InspectMessage(t.Context(), Ingress{Sender: alice, Canister: id, Method: c.method})
		if rej == nil && c.want != "" || rej != nil && rej.Error != c.want {
			t.Errorf("%s: %v, want %q", c.method, rej, c.want)
		}
	}
	w.round()
	if w.peek(id, 0) != 0 || w.canister(id).StablePages != 0 {
		t.Error("an inspection changed the canister")
	}
}

func TestInstallationIsAtomic(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		old := counter()
		old.export("canister_pre_upgrade", store32(i32(0), i32(77)), old.host("stable64_write", i64(0), i64(0), i64(4)), drop(old.host("stable64_grow", i64(2))),
			old.host("certified_data_set", old.blob("pre")), drop(old.host("global_timer_set", i64(1<<62))))
		old.update("arm", drop(old.host("global_timer_set", i64(1<<60))), old.host("certified_data_set", old.blob("mine")), old.host("msg_reply"))
		id := w.install(old)
		w.mustUpdate(id, "inc", nil)
		w.mustUpdate(id, "arm", nil)
		check := func(what string, version uint64) {
			t.Helper()
			c := w.canister(id)
			if heap, stable := le32(w.mustQuery(id, "get", nil)), le32(w.mustQuery(id, "get_stable", nil)); heap != 1 || stable != 1 || c.StablePages != 1 ||
				string(c.Certified) != "mine" || c.Timer != 1<<60 || c.Version != version {
				t.Errorf("%s left heap %d, stable memory %d of %d pages, certified %q, timer %d, version %d (was %d)",
					what, heap, stable, c.StablePages, c.Certified, c.Timer, c.Version, version)
			}
		}
		broken := func(body func(m *module)) []byte {
			m := newModule()
			body(m)
			return m.bytes()
		}
		version := w.canister(id).Version
		spoil := func(m *module) code_ {
			return cat(m.host("stable64_write", i64(0), i64(512), i64(4)), drop(m.host("stable64_grow", i64(2))))
		}
		for _, c := range []struct {
			name   string
			module []byte
			mode   management.InstallMode
		}{
			{"post_upgrade trap", broken(func(m *module) {
				m.export("canister_post_upgrade", spoil(m), m.host("certified_data_set", m.blob("post")), drop(m.host("global_timer_set", i64(5))), unreachable())
			}), upgradeMode},
			{"start trap", broken(func(m *module) { f := m.fn(nil, cat(spoil(m), unreachable())); m.m.Start = &f }), upgradeMode},
			{"init trap", broken(func(m *module) {
				m.export("canister_init", drop(m.host("stable64_grow", i64(2))), m.host("certified_data_set", m.blob("init")), unreachable())
			}), management.ModeReinstall()},
			{"invalid module", []byte("\x00asm\x01\x00\x00\x00\xff"), management.ModeReinstall()},
		} {
			if _, rej := w.manage("install_code", installArgs(id, c.mode, c.module, nil)); rej == nil {
				t.Errorf("%s: no rejection", c.name)
			}
			check(c.name, version)
		}
		// What pre_upgrade did is there when post_upgrade runs; the timer is off; the version is the new one.
		next := newModule()
		next.export("canister_post_upgrade", next.host("stable64_read", i64(0), i64(0), i64(4)), store64(i32(8), next.host("global_timer_set", i64(9))),
			store64(i32(16), next.host("canister_version")), next.host("msg_arg_data_copy", i32(24), i32(0), i32(3)))
		next.query("get", next.reply(i32(0), i32(32)))
		w.mustManage("install_code", installArgs(id, upgradeMode, next.bytes(), []byte("arg")))
		got := w.mustQuery(id, "get", nil)
		c := w.canister(id)
		if le32(got) != 77 || binary.LittleEndian.Uint64(got[8:]) != 0 || binary.LittleEndian.Uint64(got[16:]) != version+1 || string(got[24:27]) != "arg" {
			t.Errorf("post_upgrade saw stable memory %d, timer %d, version %d, argument %q", le32(got), got[8:16], got[16:24], got[24:27])
		}
		if c.Version != version+1 || string(c.Certified) != "pre" || c.Timer != 9 || c.StablePages != 3 {
			t.Errorf("after the upgrade: version %d, certified %q, timer %d, %d pages of stable memory", c.Version, c.Certified, c.Timer, c.StablePages)
		}
		// Reinstalling starts from nothing.
		empty := newModule()
		w.mustManage("install_code", installArgs(id, management.ModeReinstall(), empty.bytes(), nil))
		if c := w.canister(id); len(c.Certified) != 0 || c.Timer != 0 || c.StablePages != 0 || c.Version != version+2 {
			t.Errorf("after reinstallation: certified %q, timer %d, %d pages, version %d", c.Certified, c.Timer, c.StablePages, c.Version)
		}
	})
}

func TestCanisterVersion(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		callee := w.install(counter())
		m := newModule()
		answer := m.callback(store64(i32(0), m.host("canister_version")), m.reply(i32(0), i32(8)))
		m.update("version", store64(i32(0), m.host("canister_version")), m.reply(i32(0), i32(8)))
		m.query("qversion", store64(i32(0), m.host("canister_version")), m.reply(i32(0), i32(8)))
		m.update("call", m.call(callee.Bytes(), "echo", answer, answer))
		m.update("trap", unreachable())
		id := w.create()
		if v := w.canister(id).Version; v != 0 {
			t.Errorf("a new canister has version %d", v)
		}
		want := uint64(0)
		step := func(what string, by uint64, do func()) {
			t.Helper()
			do()
			want += by
			if v := w.canister(id).Version; v != want {
				t.Errorf("after %s: version %d, want %d", what, v, want)
				want = v
			}
		}
		step("install_code", 1, func() { w.mustManage("install_code", installArgs(id, installMode, m.bytes(), nil)) })
		step("an update", 1, func() {
			if got := w.mustUpdate(id, "version", nil); binary.LittleEndian.Uint64(got) != want {
				t.Errorf("the update saw %d, want %d", binary.LittleEndian.Uint64(got), want)
			}
		})
		step("a replicated query", 1, func() { w.mustUpdate(id, "qversion", nil) })
		step("a query", 0, func() {
			if got := w.mustQuery(id, "qversion", nil); binary.LittleEndian.Uint64(got) != want {
				t.Errorf("the query saw %d, want %d", binary.LittleEndian.Uint64(got), want)
			}
		})
		step("a call with its callback", 2, func() {
			if got := w.mustUpdate(id, "call", nil); binary.LittleEndian.Uint64(got) != want+1 {
				t.Errorf("the callback saw %d, want %d", binary.LittleEndian.Uint64(got), want+1)
			}
		})
		step("a trap", 0, func() { w.update(alice, id, "trap", nil) })
		step("update_settings", 1, func() { w.mustManage("update_settings", management.UpdateSettingsArgs{CanisterID: id}) })
		step("start_canister when running", 1, func() { w.mustManage("start_canister", idArg(id)) })
		step("stop_canister", 2, func() { w.mustManage("stop_canister", idArg(id)) })
		step("stop_canister when stopped", 1, func() { w.mustManage("stop_canister", idArg(id)) })
		step("start_canister", 1, func() { w.mustManage("start_canister", idArg(id)) })
		step("an upgrade", 1, func() { w.mustManage("install_code", installArgs(id, upgradeMode, m.bytes(), nil)) })
		step("a failed installation", 0, func() { w.manage("install_code", installArgs(id, installMode, m.bytes(), nil)) })
		step("uninstall_code", 1, func() { w.mustManage("uninstall_code", management.UninstallCodeArgs{CanisterID: id}) })
	})
}

// TestBoundedWait checks what the callee and the caller see of a deadline, and that what comes after it changes nothing.
func TestBoundedWait(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		callee := newModule()
		later := callee.callback(store64(i32(8), callee.host("msg_deadline")), count(16), callee.replyText("late"))
		deadline := store64(i32(0), callee.host("msg_deadline"))
		callee.update("deadline", deadline, callee.reply(i32(0), i32(8)))
		callee.query("qdeadline", deadline, callee.reply(i32(0), i32(8)))
		callee.update("slow", callee.host("msg_cycles_accept128", i64(0), i64(300), i32(64)), callee.call(nil, "raw_rand", later, later, emptyArg(callee)))
		callee.query("get", callee.reply(i32(0), i32(24)))
		other := w.install(callee)
		m := newModule()
		size := m.host("msg_arg_data_size")
		pass := m.callback(m.host("msg_arg_data_copy", i32(0), i32(0), size), m.reply(i32(0), size))
		refund := m.callback(count(256), store32(i32(0), m.host("msg_reject_code")), m.host("msg_cycles_refunded128", i32(16)), m.reply(i32(0), i32(32)))
		bounded := func(method string, seconds int) code_ {
			return m.call(other.Bytes(), method, pass, refund, m.host("call_with_best_effort_response", i32(seconds)), m.host("call_cycles_add128", i64(0), i64(1000)))
		}
		m.update("ten", bounded("deadline", 10))
		m.update("capped", bounded("deadline", 1<<30))
		m.update("none", m.call(other.Bytes(), "deadline", pass, refund))
		m.update("query", bounded("qdeadline", 10))
		m.update("slow", bounded("slow", 3))
		m.update("now", bounded("deadline", 0))
		id := w.install(m)
		for _, method := range []string{"none", "query"} {
			if got := binary.LittleEndian.Uint64(w.mustUpdate(id, method, nil)); got != 0 {
				t.Errorf("%s: deadline %d", method, got)
			}
		}
		for _, c := range []struct {
			method string
			after  uint64
		}{{"ten", 10}, {"capped", maxCallTimeout}, {"now", 0}} {
			got := binary.LittleEndian.Uint64(w.mustUpdate(id, c.method, nil))
			if want := w.x.global.TimeNs + c.after*second; got != want {
				t.Errorf("%s: deadline %d, want %d", c.method, got, want)
			}
		}
		msg := w.message(alice, id, "slow", nil)
		open := w.round(msg).SystemCalls
		w.round()
		if s, _ := w.x.IngressStatus(msg.ID); s.State.terminal() {
			t.Fatal("answered before the deadline")
		}
		reply, rej := w.finish(msg.ID)
		if rej != nil || reply[0] != SysUnknown || binary.LittleEndian.Uint64(reply[16:]) != 0 {
			t.Errorf("reply %x, %v: want reject code 6 and no refund", reply, rej)
		}
		burned := w.canister(id).spent()
		w.answer = []SystemResponse{random(open[0].ID)}
		w.round()
		got := w.mustQuery(other, "get", nil)
		if le32(got[16:]) != 1 || binary.LittleEndian.Uint64(got[8:]) == 0 {
			t.Errorf("the callee's callback ran %d times with deadline %d", le32(got[16:]), got[8:16])
		}
		if n := w.peek(id, 256); n != 1 {
			t.Errorf("%d callbacks ran for one call", n)
		}
		if lost := w.canister(id).spent().Sub(burned); lost != CyclesOf(700) {
			t.Errorf("%s cycles are lost with the late response, want 700", lost)
		}
		w.idle(id)
		w.idle(other)
	})
}

// TestExpiredRequestIsNotExecuted leaves a bounded-wait call in its receiver's queue until its deadline has passed.
func TestExpiredRequestIsNotExecuted(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		callee := newModule()
		callee.update("burn", wasmLoop(300_000, 600, nil), callee.host("msg_reply"))
		callee.update("inc", count(0), callee.host("msg_reply"))
		callee.query("get", callee.reply(i32(0), i32(4)))
		other := w.install(callee)
		m := newModule()
		code := m.callback(store32(i32(0), m.host("msg_reject_code")), m.reply(i32(0), i32(4)))
		m.update("hurry", m.call(other.Bytes(), "inc", code, code, m.host("call_with_best_effort_response", i32(2))))
		id := w.install(m)
		var block []Ingress
		for range 8 {
			block = append(block, w.message(alice, other, "burn", nil))
		}
		msg := w.message(alice, id, "hurry", nil)
		w.round(append(block, msg)...)
		w.now += 10 * second
		if reply, rej := w.finish(msg.ID); rej != nil || le32(reply) != SysUnknown {
			t.Errorf("%x %v", reply, rej)
		}
		for w.last.Backlog > 0 {
			w.round()
		}
		if n := le32(w.mustQuery(other, "get", nil)); n != 0 {
			t.Error("a request was executed after its deadline")
		}
		w.idle(other)
		w.idle(id)
	}, func(c *Config) { c.RoundInstructions = 2_000_000 })
}

// TestOnLowWasmMemory: once when memory becomes low, before other messages, again only after there was enough; and when a frozen canister can
// pay again.
func TestOnLowWasmMemory(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		m := newModule()
		m.export("canister_on_low_wasm_memory", count(0), store32(i32(8), load32(i32(4))))
		m.update("grow", count(4), drop(growMemory(2)), m.replyText("grown"))
		m.update("inc", count(4), m.replyText("ok"))
		m.query("get", m.reply(i32(0), i32(12)))
		id := w.install(m)
		runs := func() uint32 { return w.peek(id, 0) }
		set := func(threshold uint64) {
			n := candid.NatFromUint64(threshold)
			w.mustManage("update_settings", management.UpdateSettingsArgs{CanisterID: id, Settings: management.Settings{WasmMemoryThreshold: &n}})
		}
		limit := candid.NatFromUint64(20 * wasmPage)
		w.mustManage("update_settings", management.UpdateSettingsArgs{CanisterID: id, Settings: management.Settings{WasmMemoryLimit: &limit}})
		set(15 * wasmPage) // four pages are in use
		w.round(w.message(alice, id, "grow", nil), w.message(alice, id, "inc", nil), w.message(alice, id, "inc", nil))
		w.round()
		if n, at := runs(), w.peek(id, 8); n != 1 || at != 1 {
			t.Errorf("it ran %d times, after %d messages; want once after the first", n, at)
		}
		for range 3 {
			w.mustUpdate(id, "grow", nil)
		}
		w.round()
		if n := runs(); n != 1 {
			t.Errorf("it ran %d times while memory stayed low", n)
		}
		set(1)
		w.round()
		set(15 * wasmPage)
		w.round()
		if n := runs(); n != 2 {
			t.Errorf("it ran %d times after the threshold was changed", n)
		}
		set(1)
		// Frozen: it waits.
		c := w.canister(id)
		rich := c.Cycles
		c.Cycles, c.dirty = Cycles{}, true
		c.Settings.WasmThreshold = 15 * wasmPage
		c.watchMemory(w.cfg.MaxHeapBytes)
		w.round()
		w.round()
		if n := runs(); n != 2 {
			t.Errorf("it ran %d times in a canister without cycles", n)
		}
		c = w.canister(id)
		c.Cycles, c.dirty = rich, true
		w.round()
		w.round()
		if n := runs(); n != 3 {
			t.Errorf("it ran %d times after the canister got cycles", n)
		}
	})
}

// TestCompositeQueryRules: calls go on after a cleanup, and end with a trap that has none; the tree is bounded.
func TestCompositeQueryRules(t *testing.T) {
	w := newWorld(t)
	leaf := w.install(counter())
	m := newModule()
	ignore, trapping := m.callback(), m.callback(count(0), unreachable())
	done := m.callback(store32(i32(8), m.host("data_certificate_present")), m.reply(i32(0), i32(12)))
	clean := m.host("call_on_cleanup", m.callback(count(4)), i32(0))
	m.export("canister_composite_query goes on", m.call(leaf.Bytes(), "qecho", trapping, ignore, clean), m.call(leaf.Bytes(), "qecho", done, ignore))
	m.export("canister_composite_query ends", m.call(leaf.Bytes(), "qecho", trapping, ignore), m.call(leaf.Bytes(), "qecho", done, ignore))
	m.export("canister_composite_query silent", m.call(leaf.Bytes(), "qecho", ignore, ignore))
	m.export("canister_composite_query update", m.call(leaf.Bytes(), "inc", ignore, m.callback(m.host("msg_reject_msg_copy", i32(1024), i32(0), m.host("msg_reject_msg_size")), m.reply(i32(1024), m.host("msg_reject_msg_size")))))
	m.export("canister_composite_query answers at once", m.call(leaf.Bytes(), "qecho", trapping, ignore), m.replyText("at once"))
	status := m.callback(m.reply(i32(0), m.host("msg_arg_data_size")))
	m.export("canister_composite_query status", m.call(nil, "canister_status", status, m.callback(m.host("msg_reject", m.blob("refused"))), m.host("call_data_append", m.blob(string(candid.MustMarshal(idArg(principal.FromUint64(17))))))))
	id := w.install(m)
	if id != principal.FromUint64(17) {
		t.Fatal(id)
	}
	if got := w.mustQuery(id, "goes on", nil); le32(got) != 0 || le32(got[4:]) != 1 || le32(got[8:]) != 0 {
		t.Errorf("callback, cleanup, certificate in the callback: %x", got)
	}
	for method, want := range map[string]string{"ends": "IC0502", "silent": "IC0506"} {
		if _, rej := w.query(id, method, nil); rej == nil || rej.Error != want {
			t.Errorf("%s: %v, want %s", method, rej, want)
		}
	}
	if got := string(w.mustQuery(id, "answers at once", nil)); got != "at once" {
		t.Errorf("%q", got)
	}
	if got := string(w.mustQuery(id, "update", nil)); !strings.Contains(got, "no query method 'inc'") {
		t.Errorf("a composite query that calls an update: %q", got)
	}
	if got := w.mustQuery(id, "status", nil); len(got) == 0 {
		t.Error("a canister's status of itself is empty")
	}
	// A chain as long as allowed, and one that is longer by one.
	next := leaf
	method := "qecho"
	var chain []principal.Principal
	for range maxQueryDepth + 1 {
		m := newModule()
		size := m.host("msg_arg_data_size")
		pass := m.callback(m.host("msg_arg_data_copy", i32(0), i32(0), size), m.reply(i32(0), size))
		fail := m.callback(m.host("msg_reject_msg_copy", i32(0), i32(0), m.host("msg_reject_msg_size")), m.host("msg_reject", i32(0), m.host("msg_reject_msg_size")))
		m.export("canister_composite_query ask", m.call(next.Bytes(), method, pass, fail, m.host("call_data_append", m.blob("deep"))))
		next, method = w.install(m), "ask"
		chain = append(chain, next)
	}
	if got := string(w.mustQuery(chain[maxQueryDepth-1], "ask", nil)); got != "deep" {
		t.Errorf("%q", got)
	}
	if _, rej := w.query(chain[maxQueryDepth], "ask", nil); rej == nil || !strings.Contains(rej.Message, fmt.Sprintf("more than %d levels", maxQueryDepth)) {
		t.Errorf("%v", rej)
	}
}

// TestCallerOfEachContext: users, canisters, and the management canister for system tasks; callbacks see the caller of their call.
func TestCallerOfEachContext(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		m := newModule()
		self := principal.FromUint64(16)
		record := func(at int) code_ {
			return cat(store32(i32(at), m.host("msg_caller_size")), m.host("msg_caller_copy", i32(at+4), i32(0), m.host("msg_caller_size")))
		}
		show := m.callback(record(0), m.reply(i32(4), load32(i32(0))))
		m.export("canister_init", record(64))
		m.export("canister_heartbeat", record(128))
		m.update("who", record(0), m.reply(i32(4), load32(i32(0))))
		m.update("callback", m.call(self.Bytes(), "who", show, show))
		size := m.host("msg_arg_data_size")
		pass := m.callback(m.host("msg_arg_data_copy", i32(1024), i32(0), size), m.reply(i32(1024), size))
		m.update("other", m.call(self.Bytes(), "who", pass, pass))
		m.query("tasks", m.reply(i32(64), i32(128)))
		id := w.install(m)
		if id != self {
			t.Fatal(id)
		}
		for i, method := range []string{"who", "callback", "other"} {
			want := []principal.Principal{alice, alice, self}[i]
			if got := w.mustUpdate(id, method, nil); !bytes.Equal(got, want.Bytes()) {
				t.Errorf("%s: %x", method, got)
			}
		}
		store := w.mustQuery(id, "tasks", nil)
		if n := le32(store); !bytes.Equal(store[4:4+n], alice.Bytes()) {
			t.Errorf("init: %x", store[:40])
		}
		if n := le32(store[64:]); n != 0 {
			t.Errorf("heartbeat: a caller of %d bytes", n)
		}
	})
}

// Cycles and canisters out of nothing are for local networks.
func TestProvisionalMethodsAreLocal(t *testing.T) {
	for _, local := range []bool{true, false} {
		w := newWorld(t, func(c *Config) { c.Local = local })
		for method, arg := range map[string]any{
			"provisional_create_canister_with_cycles": management.ProvisionalCreateArgs{},
			"provisional_top_up_canister":             management.ProvisionalTopUpArgs{CanisterID: principal.FromUint64(16), Amount: candid.NatFromUint64(1)},
		} {
			m := w.message(alice, principal.Management, method, candid.MustMarshal(arg))
			_, rej := w.manage(method, arg)
			for how, rej := range map[string]*Reject{"in a block": rej, "on its way": w.x.InspectMessage(t.Context(), m)} {
				if refused := rej != nil && strings.Contains(rej.Message, "exists on local networks only"); refused == local {
					t.Errorf("local %t, %s %s: %v", local, method, how, rej)
				}
			}
		}
	}
}
