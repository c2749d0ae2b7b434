package execution

import (
	"fmt"
	"strings"
	"testing"

	"fusion/ic/principal"
	"fusion/internal/wasmbin"
)

// narrowOnly are the functions that only modules with 32-bit pointers may import.
var narrowOnly = map[string]bool{"msg_cycles_available": true, "msg_cycles_refunded": true, "msg_cycles_accept": true, "canister_cycle_balance": true,
	"call_cycles_add": true, "stable_size": true, "stable_grow": true, "stable_write": true, "stable_read": true}

// TestEveryFunctionInEveryContext lets canisters call each function of the System API, with zeroes, from entry points of all 16 contexts, with pointers of 32 and of 64 bits, and
// checks that they trap because of the context exactly where the specification says so.
func TestEveryFunctionInEveryContext(t *testing.T) {
	for _, wide := range []bool{false, true} {
		t.Run(fmt.Sprintf("wide %v", wide), func(t *testing.T) { everyContext(t, wide) })
	}
}

func everyContext(t *testing.T, wide bool) {
	spec := readSpec(t)
	w := newWorld(t)
	c := &contexts{w: w, wide: wide}
	c.install()
	checked := 0
	for i, f := range sysAPI {
		want, known := spec[f.name]
		if !known || wide && narrowOnly[f.name] {
			continue
		}
		if want.OnlyI32 != narrowOnly[f.name] {
			t.Errorf("%s: for 32 bits only: %v, the specification says %v", f.name, narrowOnly[f.name], want.OnlyI32)
		}
		var allowed mode
		for _, l := range want.Contexts {
			allowed |= modeLetters[l]
		}
		seen := c.try(i)
		for bit := range 16 {
			m := mode(1) << bit
			outcome, ok := seen[m]
			if !ok {
				t.Fatalf("%s was not called in %s mode", f.name, m)
			}
			refused := strings.Contains(outcome, fmt.Sprintf("%q cannot be executed in %s mode", "ic0_"+f.name, m))
			if refused != (allowed&m == 0) {
				t.Errorf("%s in %s mode: refused %v, the specification says %v (%s)", f.name, m, refused, allowed&m == 0, outcome)
			}
			checked++
		}
	}
	if n := len(spec); !wide && checked != 16*n || wide && checked != 16*(n-len(narrowOnly)) {
		t.Errorf("%d combinations were checked", checked)
	}
}

// contexts is a canister whose entry points call the function that was chosen by an update before, by its number in sysAPI.
type contexts struct {
	w      *world
	wide   bool
	id     principal.Principal
	broken []byte // a module to which nothing can be upgraded
}

// call calls a function with zeroes.
func (c *contexts) call(m *module, f sysFunc) code_ {
	params, result, _ := strings.Cut(f.sig, ":")
	var args code_
	for _, t := range valTypes(params, c.wide) {
		if t == wasmbin.I64 {
			args = append(args, i64(0)...)
		} else {
			args = append(args, i32(0)...)
		}
	}
	if result != "" {
		return drop(m.host(f.name, args))
	}
	return m.host(f.name, args)
}

func (c *contexts) install() {
	const chosen, none = 256, -1
	callee := c.w.install(counter()).Bytes()
	m := newModuleOf(c.wide)
	var choices code_
	load := load32(m.ptr(chosen))
	for i, f := range sysAPI {
		if !c.wide || !narrowOnly[f.name] {
			choices = append(choices, when(append(cat(load, i32(i)), 0x46), c.call(m, f))...)
		}
	}
	do := wasmbin.AppendIndex(nil, wasmbin.OpCall, m.fn(nil, choices))
	ignore, trapping, inCallback := m.callback(), m.callback(unreachable()), m.callback(do)
	clean := m.host("call_on_cleanup", inCallback, m.ptr(0))
	m.export("canister_init", store32(m.ptr(chosen), i32(none)))
	m.update("choose", m.host("msg_arg_data_copy", m.ptr(chosen), m.ptr(0), m.ptr(4)), m.host("msg_reply"))
	m.export("canister_heartbeat", do)
	m.export("canister_pre_upgrade", do)
	m.export("canister_inspect_message", do)
	m.update("update", do)
	m.query("query", do)
	m.export("canister_composite_query composite", do)
	m.update("reply", m.call(callee, "echo", inCallback, ignore))
	m.update("reject", m.call(callee, "missing", ignore, inCallback))
	m.update("cleanup", m.call(callee, "echo", trapping, ignore, clean))
	m.export("canister_composite_query creply", m.call(callee, "qecho", inCallback, ignore))
	m.export("canister_composite_query creject", m.call(callee, "missing", ignore, inCallback))
	m.export("canister_composite_query ccleanup", m.call(callee, "qecho", trapping, ignore, clean))
	c.id = c.w.install(m)
	b := newModuleOf(c.wide, "time")
	b.export("canister_post_upgrade", unreachable())
	c.broken = b.bytes()
}

// try calls the function from everywhere and returns the messages that came of it; empty ones where nothing failed.
func (c *contexts) try(i int) map[mode]string {
	w, f := c.w, sysAPI[i]
	w.t.Helper()
	w.mustUpdate(c.id, "choose", []byte{byte(i), byte(i >> 8), 0, 0})
	out := map[mode]string{}
	note := func(m mode, rej *Reject) {
		out[m] = ""
		if rej != nil {
			out[m] = rej.Message
		}
	}
	for _, e := range []struct {
		method string
		mode   mode
	}{{"update", modeU}, {"query", modeRQ}, {"reply", modeRy}, {"reject", modeRt}, {"cleanup", modeC}} {
		_, rej := w.update(alice, c.id, e.method, nil)
		note(e.mode, rej)
	}
	for _, e := range []struct {
		method string
		mode   mode
	}{{"query", modeNRQ}, {"composite", modeCQ}, {"creply", modeCRy}, {"creject", modeCRt}, {"ccleanup", modeCC}} {
		_, rej := w.query(c.id, e.method, nil)
		note(e.mode, rej)
	}
	_, rej := w.x.Transform(w.t.Context(), c.id, "query", nil)
	note(modeTQ, rej)
	note(modeF, w.x.InspectMessage(w.t.Context(), Ingress{Sender: alice, Canister: c.id, Method: "update"}))
	_, rej = w.manage("install_code", installArgs(c.id, upgradeMode, c.broken, nil))
	note(modeG, rej)
	for _, l := range w.x.canisters[c.id].logs { // the heartbeat's, among others
		out[modeT] += string(l.Content)
	}

	m := newModuleOf(c.wide, f.name)
	start := m.fn(nil, c.call(m, f))
	m.m.Start = &start
	_, rej = w.manage("install_code", installArgs(w.create(), installMode, m.bytes(), nil))
	note(modeS, rej)
	m = newModuleOf(c.wide, f.name)
	m.export("canister_init", c.call(m, f))
	_, rej = w.manage("install_code", installArgs(w.create(), installMode, m.bytes(), nil))
	note(modeI, rej)
	return out
}
