package execution

import (
	"bytes"
	"strings"
	"testing"

	"fusion/ic/principal"
)

func TestTransform(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.QueryInstructions = 1_000_000 })
	m := newModule()
	size := m.host("msg_arg_data_size")
	m.query("echo", count(0), m.host("msg_caller_copy", i32(512), i32(0), m.host("msg_caller_size")), m.host("msg_reply_data_append", i32(512), m.host("msg_caller_size")),
		m.host("msg_arg_data_copy", i32(1024), i32(0), size), m.reply(i32(1024), size))
	m.query("count", m.reply(i32(0), i32(4)))
	m.query("certificate", drop(m.host("data_certificate_size")), m.replyText("ok"))
	m.query("loop", forever())
	m.update("update", m.replyText("ok"))
	m.export("canister_composite_query composite", m.replyText("ok"))
	id := w.install(m)
	transform := func(method string, arg []byte) ([]byte, *Reject) { return w.x.Transform(t.Context(), id, method, arg) }
	if got, rej := transform("echo", []byte("response")); rej != nil || string(got) != "response" { // the management canister's principal is empty
		t.Errorf("echo: %q, %v", got, rej)
	}
	if got, rej := transform("count", nil); rej != nil || !bytes.Equal(got, make([]byte, 4)) {
		t.Errorf("a transform changed the canister: %x, %v", got, rej)
	}
	if _, rej := transform("certificate", nil); rej == nil || !strings.Contains(rej.Message, "cannot be executed in transform mode") {
		t.Errorf("data_certificate_size: %v", rej)
	}
	for method, want := range map[string]string{"loop": "IC0522", "update": "IC0536", "composite": "IC0536", "missing": "IC0536"} {
		if _, rej := transform(method, nil); rej == nil || rej.Error != want {
			t.Errorf("%s: %v, want %s", method, rej, want)
		}
	}
	if _, rej := w.x.Transform(t.Context(), principal.FromUint64(99), "echo", nil); rej == nil || rej.Error != "IC0301" {
		t.Errorf("no canister: %v", rej)
	}
	w.mustManage("stop_canister", idArg(id))
	if _, rej := transform("echo", nil); rej == nil || rej.Error != "IC0508" {
		t.Errorf("stopped: %v", rej)
	}
}

// TestCallerInformation follows what is known of a user through the message, its callbacks, its inspection and a query, and checks that a
// call between canisters carries nothing of it.
func TestCallerInformation(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		m := newModule()
		show := func(then code_) code_ {
			data, signer := m.host("msg_caller_info_data_size"), m.host("msg_caller_info_signer_size")
			return cat(m.host("msg_caller_info_data_copy", i32(512), i32(0), data), m.host("msg_reply_data_append", i32(512), data),
				m.host("msg_reply_data_append", m.blob("/")),
				m.host("msg_caller_info_signer_copy", i32(512), i32(0), signer), m.host("msg_reply_data_append", i32(512), signer), then)
		}
		size := m.host("msg_arg_data_size")
		inCallback := m.callback(show(nil), m.host("msg_reply_data_append", m.blob("<")),
			m.host("msg_arg_data_copy", i32(1024), i32(0), size), m.reply(i32(1024), size))
		m.query("show", show(m.host("msg_reply")))
		m.update("call", m.call(principal.FromUint64(16).Bytes(), "show", inCallback, inCallback))
		m.export("canister_inspect_message", when(m.host("msg_caller_info_data_size"), m.host("accept_message")))
		id := w.install(m)
		info := CallerInfo{Data: []byte("attributes"), Signer: []byte{1, 2, 3}}
		for _, method := range []string{"show", "call"} {
			want := map[string]string{"show": "attributes/\x01\x02\x03", "call": "attributes/\x01\x02\x03</"}[method]
			msg := w.message(alice, id, method, nil)
			msg.Info = info
			w.round(msg)
			if got, rej := w.finish(msg.ID); rej != nil || string(got) != want {
				t.Errorf("%s: %q, %v", method, got, rej)
			}
		}
		if got := w.mustUpdate(id, "show", nil); string(got) != "/" {
			t.Errorf("without information: %q", got)
		}
		r := w.x.Query(t.Context(), QueryRequest{Sender: alice, Canister: id, Method: "show", Info: info})
		if string(r.Reply) != "attributes/\x01\x02\x03" {
			t.Errorf("query: %q, %v", r.Reply, r.Reject)
		}
		if rej := w.x.InspectMessage(t.Context(), Ingress{Sender: alice, Canister: id, Method: "show", Info: info}); rej != nil {
			t.Error(rej)
		}
		if rej := w.x.InspectMessage(t.Context(), Ingress{Sender: alice, Canister: id, Method: "show"}); rej == nil {
			t.Error("inspection without information passed")
		}
	})
}
