package execution

import (
	"strings"
	"testing"

	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/management"
)

// A canister with custody outlives years without anybody's cycles, is upgraded, and its state cannot be thrown away; any other canister loses
// it in the same time.
func TestCustody(t *testing.T) {
	held := principal.FromUint64(16)
	scenario(t, func(w *world) {
		t := w.t
		m := newModule()
		m.update("ping", m.replyText("pong"))
		ids := []principal.Principal{w.install(m), w.install(m)}
		if ids[0] != held {
			t.Fatalf("the first canister is %s, not %s", ids[0], held)
		}
		for _, id := range ids {
			one := candid.NatFromUint64(1)
			if rej := w.set(id, management.Settings{ComputeAllocation: &one}); rej != nil {
				t.Fatal(rej)
			}
		}
		for range 365 {
			w.now += 24 * 3600 * second
			w.round()
		}
		if c := w.x.canisters[held]; !c.hasCode() || c.Cycles.Cmp(CyclesOf(custodyLow/2)) < 0 {
			t.Errorf("after a year the custodial canister has code: %t, and %s cycles", c.hasCode(), c.Cycles)
		}
		if w.x.canisters[ids[1]].hasCode() {
			t.Error("a canister that cannot pay for a year was kept")
		}
		w.mustManage("stop_canister", idArg(held))
		snapshot := w.take(held, nil).ID
		for _, end := range []struct {
			method string
			arg    any
		}{
			{"uninstall_code", idArg(held)}, {"delete_canister", idArg(held)},
			{"load_canister_snapshot", management.LoadSnapshotArgs{CanisterID: held, SnapshotID: snapshot}},
			{"install_code", management.InstallCodeArgs{CanisterID: held, Mode: management.ModeReinstall(), WasmModule: m.bytes()}},
		} {
			if _, rej := w.manage(end.method, end.arg); rej == nil || rej.Error != "IC0406" || !strings.Contains(rej.Message, "has custody of users' coins") {
				t.Errorf("%s: %v", end.method, rej)
			}
		}
		w.mustManage("install_code", management.InstallCodeArgs{CanisterID: held, Mode: management.ModeUpgrade(nil), WasmModule: m.bytes()})
	}, func(c *Config) { c.Custodial = []principal.Principal{held} })
}

// What a custodial canister makes is custodial, and so is what that makes in turn; a restart remembers it, and an empty one may be deleted. What
// another canister makes is not.
func TestCustodyOfWhatCustodialCanistersMake(t *testing.T) {
	held := principal.FromUint64(16)
	scenario(t, func(w *world) {
		t := w.t
		maker, other := w.install(proxy()), w.install(proxy())
		if maker != held {
			t.Fatalf("the first canister is %s, not %s", maker, held)
		}
		make := func(by principal.Principal, cycles uint64, module *module) principal.Principal {
			t.Helper()
			reply, _, rej := w.through(by, "create_canister", cycles, management.CreateCanisterArgs{})
			if rej != nil {
				t.Fatal(rej)
			}
			var made management.CanisterID
			w.decode(reply, &made)
			if module != nil {
				w.mustThrough(by, "install_code", installArgs(made.CanisterID, management.ModeInstall(), module.bytes(), nil))
			}
			return made.CanisterID
		}
		child := make(maker, 5*trillion, proxy())
		grandchild := make(child, 2*trillion, proxy())
		empty := make(maker, trillion, nil)
		stranger := make(other, 5*trillion, proxy())
		w.now += 61 * second
		w.round()
		for _, c := range []struct {
			id, controller principal.Principal
			kept           bool
		}{{grandchild, child, true}, {child, maker, true}, {stranger, other, false}, {empty, maker, false}} {
			for _, end := range []string{"uninstall_code", "delete_canister"} {
				w.mustThrough(c.controller, "stop_canister", idArg(c.id))
				_, _, rej := w.through(c.controller, end, 0, idArg(c.id))
				if refused := rej != nil && strings.Contains(rej.Message, "has custody of users' coins"); refused != c.kept || !c.kept && rej != nil {
					t.Errorf("%s of %s: %v", end, c.id, rej)
				}
			}
			if c.kept && w.x.canisters[c.id].Cycles.Cmp(CyclesOf(custodyLow)) < 0 {
				t.Errorf("%s has %s cycles", c.id, w.x.canisters[c.id].Cycles)
			}
		}
	}, func(c *Config) { c.Custodial = []principal.Principal{held} })
}
