package execution

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// spec is testdata/ic0.json: the System API as the interface specification 0.66 lists it.
type specFunc struct {
	Name     string
	Sig      string
	Contexts []string
	OnlyI32  bool `json:"only_i32"`
}

func readSpec(t *testing.T) map[string]specFunc {
	b, err := os.ReadFile("testdata/ic0.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []specFunc
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	out := map[string]specFunc{}
	for _, f := range list {
		out[f.Name] = f
	}
	return out
}

var modeLetters = map[string]mode{"*": modeStar, "s": modeS, "I": modeI, "G": modeG, "U": modeU, "Q": modeQ, "RQ": modeRQ, "NRQ": modeNRQ, "TQ": modeTQ,
	"CQ": modeCQ, "Ry": modeRy, "Rt": modeRt, "CRy": modeCRy, "CRt": modeCRt, "C": modeC, "CC": modeCC, "F": modeF, "T": modeT}

// letters turns "(dst : I, offset : I) -> i32" into our notation "II:i".
func letters(sig string) string {
	params, result, _ := strings.Cut(sig, "->")
	read := func(s string) (out string) {
		for _, field := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune("(), :", r) }) {
			switch field {
			case "I":
				out += "I"
			case "i32":
				out += "i"
			case "i64":
				out += "l"
			}
		}
		return out
	}
	return read(params) + ":" + read(result)
}

func TestSystemAPIMatchesSpecification(t *testing.T) {
	spec := readSpec(t)
	if len(spec) != 74 {
		t.Fatalf("the specification lists %d functions, want 74", len(spec))
	}
	extra := map[string]bool{"subnet_self_node_count": true, "mint_cycles": true, "mint_cycles128": true}
	seen := map[string]bool{}
	for _, f := range sysAPI {
		if seen[f.name] {
			t.Errorf("%s is defined twice", f.name)
		}
		seen[f.name] = true
		want, ok := spec[f.name]
		if !ok {
			if !extra[f.name] {
				t.Errorf("%s is not in the specification", f.name)
			}
			continue
		}
		if got := letters(want.Sig); got != f.sig {
			t.Errorf("%s has the signature %q, the specification says %q", f.name, f.sig, got)
		}
		var modes mode
		for _, c := range want.Contexts {
			m, ok := modeLetters[c]
			if !ok {
				t.Fatalf("%s: context %q", f.name, c)
			}
			modes |= m
		}
		if f.modes != modes {
			t.Errorf("%s is allowed in %016b, the specification says %016b", f.name, f.modes, modes)
		}
	}
	for name := range spec {
		if !seen[name] {
			t.Errorf("%s is missing", name)
		}
	}
}

// TestModesOfEntryPoints runs real entry points of each kind and checks by in_replicated_execution and a forbidden call in which mode they are.
func TestModesOfEntryPoints(t *testing.T) {
	w := newWorld(t)
	callee := w.install(counter())
	build := func(forbidden string) *module {
		m := newModule()
		bad := m.host(forbidden)
		if f := m.imports[forbidden]; strings.HasSuffix(sysAPI[f].sig, ":I") || strings.HasSuffix(sysAPI[f].sig, ":i") || strings.HasSuffix(sysAPI[f].sig, ":l") {
			bad = drop(bad)
		}
		ignore := m.callback()
		inCallback := m.callback(bad)
		trapping := m.callback(unreachable())
		m.export("canister_inspect_message", bad)
		m.update("update", bad)
		m.query("query", bad)
		m.export("canister_composite_query composite", bad)
		m.update("reply", m.call(callee.Bytes(), "echo", inCallback, ignore))
		m.update("reject", m.call(callee.Bytes(), "missing", ignore, inCallback))
		m.update("cleanup", m.call(callee.Bytes(), "echo", trapping, ignore, m.host("call_on_cleanup", inCallback, i32(0))))
		m.export("canister_composite_query creply", m.call(callee.Bytes(), "qecho", inCallback, ignore))
		m.export("canister_composite_query creject", m.call(callee.Bytes(), "missing", ignore, inCallback))
		m.export("canister_pre_upgrade", bad)
		return m
	}
	expect := func(rej *Reject, want string) {
		t.Helper()
		if rej == nil || !strings.Contains(rej.Message, "cannot be executed in "+want+" mode") {
			t.Errorf("%v, want a refusal in %s mode", rej, want)
		}
	}
	id := w.install(build("accept_message")) // only F
	for method, want := range map[string]string{"update": "update", "reply": "reply callback", "reject": "reject callback", "cleanup": "cleanup"} {
		_, rej := w.update(alice, id, method, nil)
		expect(rej, want)
	}
	for method, want := range map[string]string{"query": "query", "composite": "composite query", "creply": "composite reply callback", "creject": "composite reject callback"} {
		_, rej := w.query(id, method, nil)
		expect(rej, want)
	}
	_, rej := w.update(alice, id, "query", nil)
	expect(rej, "replicated query")
	if rej := w.x.InspectMessage(t.Context(), Ingress{Sender: alice, Canister: id, Method: "update"}); rej != nil {
		t.Errorf("accept_message in inspect_message: %v", rej)
	}
	id = w.install(build("msg_cycles_refunded")) // only Ry, Rt
	expect(w.x.InspectMessage(t.Context(), Ingress{Sender: alice, Canister: id, Method: "update"}), "inspect message")
	_, rej = w.manage("install_code", installArgs(id, upgradeMode, counter().bytes(), nil))
	expect(rej, "pre-upgrade")
	if rej := w.wantReject("IC0506", id, "reply", nil); strings.Contains(rej.Message, "cannot be executed") {
		t.Error(rej)
	}
	starting := newModule()
	starting.export("canister_init", drop(starting.host("msg_cycles_refunded")))
	_, rej = w.manage("install_code", installArgs(w.create(), installMode, starting.bytes(), nil))
	expect(rej, "init")
	starting = newModule()
	start := starting.fn(nil, drop(starting.host("time")))
	starting.m.Start = &start
	_, rej = w.manage("install_code", installArgs(w.create(), installMode, starting.bytes(), nil))
	expect(rej, "start")
	beat := newModule()
	beat.export("canister_heartbeat", drop(beat.host("msg_arg_data_size")))
	id = w.install(beat)
	w.round()
	if logs := w.x.canisters[id].logs; len(logs) == 0 || !strings.Contains(string(logs[0].Content), "cannot be executed in system task mode") {
		t.Errorf("log of a heartbeat: %v", logs)
	}
}

func TestUnknownImportIsRefused(t *testing.T) {
	w := newWorld(t)
	m := newModule()
	m.m.Imports[0].Name = "does_not_exist"
	if _, rej := w.manage("install_code", installArgs(w.create(), installMode, m.bytes(), nil)); rej == nil || rej.Error != "IC0505" || !strings.Contains(rej.Message, "does_not_exist") {
		t.Errorf("%v", rej)
	}
}
