package execution

import (
	"encoding/binary"
	"fmt"

	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/wasmbin"
	"fusion/replica/management"
)

// proxy is a canister that calls the management canister as it is told: "update" in replicated execution, "composite" from a composite query.
// Its argument is the cycles to send, the length of the method's name, the name, and the method's argument; see world.through.
func proxy() *module {
	const at = 2 * blobBase
	m := newModule()
	sub := func(a, b code_) code_ { return wasmbin.AppendOp(cat(a, b), wasmbin.OpI32Sub) }
	size := m.host("msg_arg_data_size")
	nameLen := load32(i32(at + 8))
	begin := func(onReply, onReject code_) code_ {
		return cat(m.host("msg_arg_data_copy", i32(at), i32(0), size),
			m.host("call_new", m.blob(""), i32(at+16), nameLen, onReply, i32(0), onReject, i32(0)),
			m.host("call_data_append", add32(i32(at+16), nameLen), sub(size, add32(i32(16), nameLen))))
	}
	code, data := store32(i32(512), i32(0)), cat(m.host("msg_arg_data_copy", i32(at), i32(0), size), m.host("msg_reply_data_append", i32(at), size))
	msgSize := m.host("msg_reject_msg_size")
	failed, msg := store32(i32(512), m.host("msg_reject_code")), cat(m.host("msg_reject_msg_copy", i32(at), i32(0), msgSize), m.host("msg_reply_data_append", i32(at), msgSize))
	head, refund := m.host("msg_reply_data_append", i32(512), i32(16)), store64(i32(520), m.host("msg_cycles_refunded"))
	m.update("update", begin(m.callback(code, refund, head, data, m.host("msg_reply")), m.callback(failed, refund, head, msg, m.host("msg_reply"))),
		m.host("call_cycles_add128", i64(0), load64(i32(at))), drop(m.host("call_perform")))
	m.export("canister_composite_query composite", begin(m.callback(code, head, data, m.host("msg_reply")), m.callback(failed, head, msg, m.host("msg_reply"))),
		drop(m.host("call_perform")))
	return m
}

func proxyArg(method string, cycles uint64, arg []byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, cycles)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(method)))
	return append(append(b, method...), arg...)
}

// proxyReply splits a proxy's answer: the rejection has no error code, which canisters do not see.
func proxyReply(out []byte) (reply []byte, refund uint64, rej *Reject) {
	code, refund, out := int(le32(out)), binary.LittleEndian.Uint64(out[8:]), out[16:]
	if code != 0 {
		return nil, refund, &Reject{Code: code, Message: string(out)}
	}
	return out, refund, nil
}

// through makes a proxy call the management canister.
func (w *world) through(proxy principal.Principal, method string, cycles uint64, arg any) (reply []byte, refund uint64, rej *Reject) {
	w.t.Helper()
	return proxyReply(w.mustUpdate(proxy, "update", proxyArg(method, cycles, encoded(arg))))
}

func encoded(arg any) []byte {
	switch a := arg.(type) {
	case nil:
		return emptyCandid
	case []byte:
		return a
	}
	return candid.MustMarshal(arg)
}

func (w *world) mustThrough(proxy principal.Principal, method string, arg any) []byte {
	w.t.Helper()
	reply, _, rej := w.through(proxy, method, 0, arg)
	if rej != nil {
		w.t.Fatalf("%s: %v", method, rej)
	}
	return reply
}

// info is canister_info, which only canisters can call.
func (w *world) info(of principal.Principal, changes uint64) (info management.CanisterInfoResult) {
	w.t.Helper()
	if w.proxy == (principal.Principal{}) {
		w.proxy = w.install(proxy())
	}
	w.decode(w.mustThrough(w.proxy, "canister_info", management.CanisterInfoArgs{CanisterID: of, NumRequestedChanges: &changes}), &info)
	return info
}

func (w *world) compose(proxy principal.Principal, method string, arg any) ([]byte, *Reject) {
	w.t.Helper()
	out, rej := w.query(proxy, "composite", proxyArg(method, 0, encoded(arg)))
	if rej != nil {
		return nil, &Reject{Code: rej.Code, Message: fmt.Sprintf("of the proxy itself: %s", rej.Message)}
	}
	reply, _, rej := proxyReply(out)
	return reply, rej
}
