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

// asking is a canister that asks what its argument says, each byte being how many questions a phase has, and answers with all it was told.
type asking struct{}

func (asking) Call(c NativeCall) NativeResult {
	if c.Method != "ask" {
		return echoNative{}.Call(c)
	}
	return asking{}.Resume(NativeResume{State: append([]byte{byte(len(c.Arg))}, c.Arg...), Caller: c.Caller, Cycles: c.Cycles, User: c.User})
}

// Resume keeps as its state the phases to come, and what it was told.
func (asking) Resume(r NativeResume) NativeResult {
	phases, told := r.State[1:1+r.State[0]], string(r.State[1+r.State[0]:])
	for _, a := range r.Answers {
		if a.Reject != nil {
			told += fmt.Sprintf("(%d %s)", a.Reject.Code, a.Reject.Message)
		} else {
			told += string(a.Reply)
		}
	}
	if len(phases) == 0 {
		if strings.Contains(told, "refuse") {
			return NativeResult{Reject: &Reject{Code: CanisterReject, Message: told}}
		}
		return NativeResult{Reply: fmt.Appendf(nil, "%v %s", r.User, told), CyclesUsed: mulDiv(r.Cycles, 1, 4)}
	}
	out := NativeResult{State: append(append([]byte{byte(len(phases) - 1)}, phases[1:]...), told...)}
	for i := range phases[0] {
		out.Asks = append(out.Asks, Ask{Kind: 9, Data: []byte{byte(len(phases)), i}, MaxReply: 10})
	}
	return out
}

func withAsker(c *Config) { c.Natives = map[principal.Principal]Native{nativeID: asking{}} }

// asker calls the asking canister with a million cycles, and answers with the reply, or the rejection's message, and the refund.
func asker() *module {
	m := newModule()
	size, rejected := m.host("msg_arg_data_size"), m.host("msg_reject_msg_size")
	refund := cat(store64(i32(512), m.host("msg_cycles_refunded")), m.host("msg_reply_data_append", i32(512), i32(8)))
	onReply := m.callback(refund, m.host("msg_arg_data_copy", i32(1024), i32(0), size), m.reply(i32(1024), size))
	onReject := m.callback(refund, m.host("msg_reject_msg_copy", i32(1024), i32(0), rejected), m.reply(i32(1024), rejected))
	for name, extra := range map[string]code_{"ask": nil, "fast": m.host("call_with_best_effort_response", i32(2))} {
		m.update(name, m.host("msg_arg_data_copy", i32(1024), i32(0), size), m.call(nativeID.Bytes(), "ask", onReply, onReject,
			m.host("call_data_append", i32(1024), size), m.host("call_cycles_add128", i64(0), i64(1_000_000)), extra))
	}
	return m
}

// begin sends a message and returns what it asks.
func (w *world) begin(m Ingress, want int) []SystemCall {
	w.t.Helper()
	res := w.round(m)
	if len(res.SystemCalls) != want {
		w.t.Fatalf("%d system calls, want %d", len(res.SystemCalls), want)
	}
	return res.SystemCalls
}

func TestNativeAsks(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		id := w.install(asker())
		want := func(m Ingress, reply string) {
			t.Helper()
			if got, rej := w.finish(m.ID); rej != nil || string(got) != reply {
				t.Errorf("%q, %v; want %q", got, rej, reply)
			}
		}
		left := func(n int) {
			t.Helper()
			if k := len(w.x.dialogues) + len(w.x.pending); k != n {
				t.Errorf("%d dialogues and calls, want %d", k, n)
			}
		}

		// Two phases, answers in any order and in several blocks, a rejection among them, one too large.
		m := w.message(alice, id, "ask", []byte{3, 2})
		calls := w.begin(m, 3)
		for i, c := range calls {
			if c.Kind != Asking || c.Caller != id || c.Ask.Kind != 9 || !bytes.Equal(c.Ask.Data, []byte{2, byte(i)}) || c.Ask.MaxReply != 10 {
				t.Errorf("call %d: %+v", i, c)
			}
			if s, ok := LookupSystemCall(w.store, c.ID); !ok || !bytes.Equal(s.Ask.Data, c.Ask.Data) {
				t.Errorf("stored call %d: %+v", i, s)
			}
		}
		left(4)
		w.answer = []SystemResponse{{ID: calls[2].ID, Reply: []byte("c")}}
		w.round()
		w.answer = []SystemResponse{{ID: calls[0].ID, RejectCode: SysTransient, RejectMessage: "no"}, {ID: calls[2].ID, Reply: []byte("again")}}
		w.round()
		left(2)
		w.answer = []SystemResponse{{ID: calls[1].ID, Reply: []byte("b")}}
		calls = w.round().SystemCalls
		if len(calls) != 2 || !bytes.Equal(calls[1].Ask.Data, []byte{1, 1}) {
			t.Fatalf("second phase: %+v", calls)
		}
		w.answer = []SystemResponse{{ID: calls[1].ID, Reply: []byte("12345678901")}, {ID: calls[0].ID, Reply: []byte("d")}}
		refund := string(candidLE(750_000))
		want(m, refund+"false (2 no)bcd(1 the answer has 11 bytes, 10 are allowed)")
		left(0)

		// A rejection at the end takes no cycles here, and a user's message brings none.
		m = w.message(alice, id, "ask", []byte{1})
		w.answer = []SystemResponse{{ID: w.begin(m, 1)[0].ID, Reply: []byte("refuse")}}
		want(m, string(candidLE(1_000_000))+"refuse")
		m = w.message(alice, nativeID, "ask", []byte{1})
		calls = w.begin(m, 1)
		if s, _ := w.x.IngressStatus(m.ID); s.State != Processing || calls[0].Caller != alice {
			t.Errorf("state %v of a message that waits, %+v", s.State, calls)
		}
		w.answer = []SystemResponse{{ID: calls[0].ID, Reply: []byte("x")}}
		want(m, "true x")

		// A caller that has given up waiting.
		m = w.message(alice, id, "fast", []byte{1})
		calls = w.begin(m, 1)
		for range 4 {
			w.round()
		}
		want(m, strings.Repeat("\x00", 8)+"the call to "+nativeID.String()+" was not answered before its deadline")
		w.answer = []SystemResponse{{ID: calls[0].ID, Reply: []byte("late")}}
		w.round()
		left(0)
		if c := w.x.canisters[id]; len(c.contexts)+len(c.callbacks) != 0 {
			t.Error("something is left over")
		}

		// Several at a time, and one whose canister is emptied and deleted while it waits.
		one, two := w.message(alice, id, "ask", []byte{2}), w.message(alice, nativeID, "ask", []byte{1, 1})
		calls = w.round(one, two).SystemCalls
		if len(calls) != 3 {
			t.Fatalf("%+v", calls)
		}
		w.mustManage("uninstall_code", management.UninstallCodeArgs{CanisterID: id})
		for _, c := range calls {
			w.answer = append(w.answer, SystemResponse{ID: c.ID, Reply: []byte("y")})
		}
		calls = w.round().SystemCalls
		if len(calls) != 1 {
			t.Fatalf("%+v", calls)
		}
		w.mustManage("stop_canister", management.CanisterID{CanisterID: id})
		w.mustManage("delete_canister", management.CanisterID{CanisterID: id})
		w.answer = []SystemResponse{{ID: calls[0].ID, Reply: []byte("z")}}
		want(two, "true yz")
		if _, rej := w.finish(one.ID); rej == nil {
			t.Error("a canister without code answered")
		}
		left(0)
		for k := range sectionOf(w, keyDialogue) {
			t.Errorf("left in the store: %x", k)
		}
		if got := w.mustQuery(nativeID, "echo", []byte("q")); string(got) != "q" {
			t.Errorf("query: %q", got)
		}
	}, withAsker)
}

func sectionOf(w *world, kind byte) map[string][]byte {
	out := map[string][]byte{}
	w.store.Scan([]byte{kind}, []byte{kind + 1}, func(k, v []byte) bool { out[string(k)] = v; return true })
	return out
}

// TestAskerMustBeThere opens a store with a dialogue of a canister that cannot go on.
func TestAskerMustBeThere(t *testing.T) {
	w := newWorld(t, withAsker)
	w.begin(w.message(alice, nativeID, "ask", []byte{2}), 2)
	for _, damage := range []func(c *Config, k []byte){
		func(c *Config, _ []byte) { withNative(c) },
		func(_ *Config, k []byte) { w.store.Set(append(bytes.Clone(k), be32(2)...), []byte{0x83, 0x40, 0xf6}) },
		func(_ *Config, k []byte) { w.store.Set(append(bytes.Clone(k), 1), nil) },
	} {
		before, cfg := w.store.Clone(), w.cfg
		for k := range sectionOf(w, keyDialogue) {
			damage(&cfg, []byte(k))
		}
		if _, err := New(cfg, w.store); err == nil || !strings.Contains(err.Error(), "dialogue") {
			t.Errorf("opened: %v", err)
		}
		w.store = before
	}
}

func TestOutcallPrice(t *testing.T) {
	w := newWorld(t)
	if got, want := OutcallPrice(w.x.nodeCount(), 100, 2000), w.x.prices().httpOutcall(100, 2000); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

// invoking is a canister that makes the call which its argument says, and tells the answer: a canister's id after its length, a method after
// its length, an argument.
type invoking struct{}

func (invoking) Call(c NativeCall) NativeResult {
	id, rest := principal.MustFromBytes(c.Arg[1:1+c.Arg[0]]), c.Arg[1+c.Arg[0]:]
	return NativeResult{State: []byte("s"), Invoke: &Invocation{Canister: id, Method: string(rest[1 : 1+rest[0]]), Arg: rest[1+rest[0]:]}}
}

func (invoking) Resume(r NativeResume) NativeResult {
	if a := r.Answers[0]; a.Reject != nil {
		return NativeResult{Reject: a.Reject}
	}
	return NativeResult{Reply: append(r.State, r.Answers[0].Reply...)}
}

func invoke(id principal.Principal, method string, arg []byte) []byte {
	b := append([]byte{byte(id.Len())}, id.Bytes()...)
	return append(append(append(b, byte(len(method))), method...), arg...)
}

func TestNativeInvokes(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		m := newModule()
		m.update("ping", m.replyText("pong"))
		id := w.install(m)
		call := func(id principal.Principal, method string, arg []byte) (string, *Reject) {
			reply, rej := w.update(alice, nativeID, "invoke", invoke(id, method, arg))
			return string(reply), rej
		}
		if got, rej := call(id, "ping", nil); rej != nil || got != "spong" {
			t.Errorf("%q, %v", got, rej)
		}
		for _, c := range []struct {
			id     principal.Principal
			method string
			want   string
		}{{id, "nothing", "IC0536"}, {principal.FromUint64(9999), "ping", "IC0301"}, {principal.Management, "nothing", "IC0536"}} {
			if got, rej := call(c.id, c.method, nil); rej == nil || rej.Error != c.want {
				t.Errorf("%s: %q, %v", c.method, got, rej)
			}
		}
		// It is a caller like any other: alice controls the canister, it does not, until she says so.
		arg := candid.MustMarshal(idArg(id))
		if _, rej := call(principal.Management, "stop_canister", arg); rej == nil || rej.Error != "IC0512" {
			t.Error(rej)
		}
		if rej := w.set(id, management.Settings{Controllers: &[]principal.Principal{nativeID}}); rej != nil {
			t.Fatal(rej)
		}
		if _, rej := call(principal.Management, "stop_canister", arg); rej != nil {
			t.Error(rej)
		}
		if _, rej := call(id, "ping", nil); rej == nil || rej.Error != "IC0508" {
			t.Error(rej)
		}
		if n := len(w.x.dialogues) + len(w.x.pending); n != 0 {
			t.Errorf("%d dialogues and calls are left", n)
		}
	}, func(c *Config) { c.Natives = map[principal.Principal]Native{nativeID: invoking{}} })
}
