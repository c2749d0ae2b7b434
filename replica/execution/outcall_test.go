package execution

import (
	"strings"
	"testing"

	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/management"
)

// outcalling passes its argument on to http_request with so many cycles; it answers with the reply, or with the reject code and message.
func outcalling(cycles int64) *module {
	m := newModule()
	size := m.host("msg_arg_data_size")
	onReply := m.callback(store64(i32(512), m.host("msg_cycles_refunded")), m.host("msg_arg_data_copy", i32(1024), i32(0), size),
		m.host("msg_reply_data_append", i32(512), i32(8)), m.reply(i32(1024), size))
	rejectSize := m.host("msg_reject_msg_size")
	onReject := m.callback(store64(i32(512), m.host("msg_cycles_refunded")), m.host("msg_reject_msg_copy", i32(1024), i32(0), rejectSize),
		store32(i32(520), m.host("msg_reject_code")), m.host("msg_reply_data_append", i32(512), i32(9)), m.reply(i32(1024), rejectSize))
	copyArg := m.host("msg_arg_data_copy", i32(1024), i32(0), size)
	m.update("ask", copyArg, m.call(nil, "http_request", onReply, onReject, m.host("call_data_append", i32(1024), size),
		m.host("call_cycles_add128", i64(0), i64(cycles))))
	return m
}

func getArgs(change func(*management.HTTPRequestArgs)) management.HTTPRequestArgs {
	most := uint64(1000)
	a := management.HTTPRequestArgs{URL: "https://example.com/x", MaxResponseBytes: &most, Method: management.HTTPMethod{Get: candid.Unit},
		Headers: []management.HTTPHeader{{Name: "Accept", Value: "text/plain"}}}
	if change != nil {
		change(&a)
	}
	return a
}

func TestOutcall(t *testing.T) {
	const sent = 1_000_000_000
	scenario(t, func(w *world) {
		id := w.install(outcalling(sent))
		a := getArgs(func(a *management.HTTPRequestArgs) {
			a.Transform = &management.HTTPTransform{Function: management.TransformFunc{Func: candid.Func{Principal: id, Method: "tidy"}}, Context: []byte{7}}
		})
		cost := w.x.prices().httpOutcall(uint64(len("https://example.com/x")+len("Accept")+len("text/plain")+len("tidy")+1), 1000)
		ask := func() ([32]byte, SystemCall) {
			w.t.Helper()
			m := w.message(alice, id, "ask", candid.MustMarshal(a))
			res := w.round(m)
			if len(res.SystemCalls) != 1 || res.SystemCalls[0].Kind != Outcall || res.SystemCalls[0].Caller != id {
				w.t.Fatalf("system calls: %+v", res.SystemCalls)
			}
			return m.ID, res.SystemCalls[0]
		}
		want := func(msg [32]byte, refund uint64, tail string) {
			w.t.Helper()
			reply, rej := w.finish(msg)
			if rej != nil || string(reply) != string(candidLE(refund))+tail {
				w.t.Fatalf("%q, %v; want a refund of %d and %q", reply, rej, refund, tail)
			}
		}
		paid, _ := cost.Uint64()

		msg, call := ask()
		stored, ok := LookupSystemCall(w.store, call.ID)
		if !ok || stored.Caller != id {
			w.t.Fatalf("stored: %+v", stored)
		}
		h := stored.HTTP
		if h.URL != a.URL || h.Method != "GET" || !h.Replicated || h.MaxResponseBytes != 1000 || len(h.Headers) != 1 || h.Headers[0].Value != "text/plain" ||
			h.Transform.Method != "tidy" || string(h.Transform.Context) != "\x07" {
			w.t.Errorf("request: %+v", h)
		}
		w.answer = []SystemResponse{{ID: call.ID, Reply: []byte("DIDL…")}}
		want(msg, sent-paid, "DIDL…")
		if _, ok := LookupSystemCall(w.store, call.ID); ok {
			w.t.Error("the answered call is still there")
		}

		msg, call = ask()
		w.answer = []SystemResponse{{ID: call.ID, RejectCode: SysTransient, RejectMessage: "no"}}
		want(msg, sent-paid, "\x02no")

		msg, call = ask()
		w.answer = []SystemResponse{{ID: call.ID, RejectCode: SysTransient, RejectMessage: "full", NotTaken: true}}
		want(msg, sent, "\x02full")
	})
}

func TestOutcallArguments(t *testing.T) {
	w := newWorld(t)
	id := w.install(outcalling(100_000_000)) // of at least 49_140_000
	no := false
	long := strings.Repeat("x", maxHTTPHeaderField+1)
	for _, c := range []struct {
		name, want string
		change     func(*management.HTTPRequestArgs)
	}{
		{"response limit", "max_response_bytes expected to be in the range [0..2000000], got 2000001", func(a *management.HTTPRequestArgs) { n := uint64(2_000_001); a.MaxResponseBytes = &n }},
		{"somebody else's transform", "transform principal id expected to be " + id.String() + ", got aaaaa-aa", func(a *management.HTTPRequestArgs) {
			a.Transform = &management.HTTPTransform{Function: management.TransformFunc{Func: candid.Func{Principal: principal.Management, Method: "x"}}}
		}},
		{"url", "url size 8193 exceeds 8192", func(a *management.HTTPRequestArgs) { a.URL = "https://" + strings.Repeat("x", 8185) }},
		{"headers", "number of all http headers 65 exceeds 64", func(a *management.HTTPRequestArgs) { a.Headers = make([]management.HTTPHeader, 65) }},
		{"header name", "number of bytes to represent some http header name 8193 exceeds 8192", func(a *management.HTTPRequestArgs) { a.Headers[0].Name = long }},
		{"header value", "number of bytes to represent some http header value 8193 exceeds 8192", func(a *management.HTTPRequestArgs) { a.Headers[0].Value = long }},
		{"all headers", "total number of bytes to represent all http header names and values 49161 exceeds 49152", func(a *management.HTTPRequestArgs) {
			a.Headers = nil
			for range 9 {
				a.Headers = append(a.Headers, management.HTTPHeader{Name: "n", Value: strings.Repeat("v", 5461)})
			}
			a.Headers[0].Name = "name"
		}},
		{"replicated put", "The requested HTTP method is only allowed for non-replicated requests.", func(a *management.HTTPRequestArgs) { a.Method = management.HTTPMethod{Put: candid.Unit} }},
		{"no limit costs the most", "http_request request sent with 100_000_000 cycles, but 20_849_", func(a *management.HTTPRequestArgs) { a.MaxResponseBytes = nil }},
	} {
		a := getArgs(c.change)
		reply, rej := w.update(alice, id, "ask", candid.MustMarshal(a))
		if rej != nil || len(reply) < 9 || string(reply[:8]) != string(candidLE(100_000_000)) || reply[8] != CanisterReject || !strings.HasPrefix(string(reply[9:]), c.want) {
			t.Errorf("%s: %q, %v; want %q and everything back", c.name, reply, rej, c.want)
		}
	}
	for _, method := range []management.HTTPMethod{{Put: candid.Unit}, {Delete: candid.Unit}, {Patch: candid.Unit}, {Head: candid.Unit}, {Post: candid.Unit}} {
		a := getArgs(func(a *management.HTTPRequestArgs) { a.Method, a.IsReplicated = method, &no })
		res := w.round(w.message(alice, id, "ask", candid.MustMarshal(a)))
		if len(res.SystemCalls) != 1 || res.SystemCalls[0].HTTP.Replicated {
			t.Errorf("%+v: %+v", method, res.SystemCalls)
		}
	}
	body := make([]byte, maxHTTPBytes-10)
	a := getArgs(func(a *management.HTTPRequestArgs) { a.Body = &body })
	if _, rej := w.x.httpRequest(&call{message: &message{Caller: id.Bytes()}, caller: id}, &a); rej == nil || !strings.HasSuffix(rej.Message, "http body 2000006 exceeds 2000000") {
		t.Errorf("body: %v", rej)
	}
	if rej := w.x.InspectMessage(t.Context(), Ingress{Sender: alice, Method: "http_request"}); rej == nil {
		t.Error("a user's http_request passes inspection")
	}
}
