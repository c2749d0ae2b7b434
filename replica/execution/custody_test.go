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
		snapshot, yes := w.take(held, nil).ID, true
		for _, end := range []struct {
			method string
			arg    any
		}{
			{"uninstall_code", idArg(held)}, {"delete_canister", idArg(held)},
			{"take_canister_snapshot", management.TakeSnapshotArgs{CanisterID: held, UninstallCode: &yes}},
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

// Where there is a root canister, custodial canisters are there from the start, it alone changes them, and it cannot throw their state away either.
func TestRootCanister(t *testing.T) {
	held, admin, yes := principal.FromUint64(20), principal.SelfAuthenticating([]byte("admin")), true
	scenario(t, func(w *world) {
		t := w.t
		w.round()
		module := proxy().bytes()
		byRoot := func(method string, arg any) *Reject {
			_, rej := w.update(alice, nativeID, "invoke", invoke(principal.Management, method, candid.MustMarshal(arg)))
			return rej
		}
		must := func(method string, arg any) {
			t.Helper()
			if rej := byRoot(method, arg); rej != nil {
				t.Fatalf("%s: %v", method, rej)
			}
		}
		if info := w.info(held, 1); len(info.Controllers) != 1 || info.Controllers[0] != nativeID || info.ModuleHash != nil {
			t.Fatalf("%+v", info)
		}
		if _, rej := w.manage("provisional_create_canister_with_cycles", management.ProvisionalCreateArgs{SpecifiedID: &held}); rej == nil || rej.Error != "IC0205" {
			t.Errorf("somebody else takes its id: %v", rej)
		}
		refused := func(by principal.Principal, id principal.Principal) {
			t.Helper()
			for _, c := range []struct {
				method string
				arg    any
			}{
				{"install_code", installArgs(id, management.ModeUpgrade(nil), module, nil)},
				{"update_settings", management.UpdateSettingsArgs{CanisterID: id, Settings: management.Settings{Controllers: &[]principal.Principal{by}}}},
				{"upload_chunk", management.UploadChunkArgs{CanisterID: id}},
				{"clear_chunk_store", idArg(id)},
				{"stop_canister", idArg(id)},
				{"start_canister", idArg(id)},
				{"uninstall_code", idArg(id)},
				{"delete_canister", idArg(id)},
				{"take_canister_snapshot", management.TakeSnapshotArgs{CanisterID: id}},
				{"load_canister_snapshot", management.LoadSnapshotArgs{CanisterID: id, SnapshotID: []byte("12345678901234567890")}},
			} {
				_, rej := w.update(by, principal.Management, c.method, candid.MustMarshal(c.arg))
				if rej == nil || rej.Error != "IC0512" || !strings.Contains(rej.Message, "only the root canister") {
					t.Errorf("%s: %v", c.method, rej)
				}
			}
		}
		kept := func(method string, arg any) {
			t.Helper()
			if rej := byRoot(method, arg); rej == nil || rej.Error != "IC0406" || !strings.Contains(rej.Message, "has custody of users' coins") {
				t.Errorf("%s by the root canister: %v", method, rej)
			}
		}
		refused(bob, held)
		refused(admin, held)
		must("stop_canister", idArg(held))
		kept("delete_canister", idArg(held)) // even empty: its id would be gone
		must("start_canister", idArg(held))
		must("install_code", installArgs(held, management.ModeInstall(), module, nil))

		// Settings from before, or a mistake in them, change nothing.
		must("update_settings", management.UpdateSettingsArgs{CanisterID: held, Settings: management.Settings{Controllers: &[]principal.Principal{nativeID, bob, admin}}})
		refused(bob, held)
		refused(admin, held)

		// What it makes it may change, the root canister may, and its other controllers may not.
		controllers := []principal.Principal{held, bob}
		reply, _, rej := w.through(held, "create_canister", 5*trillion, management.CreateCanisterArgs{Settings: &management.Settings{Controllers: &controllers}})
		if rej != nil {
			t.Fatal(rej)
		}
		var child management.CanisterID
		w.decode(reply, &child)
		w.mustThrough(held, "install_code", installArgs(child.CanisterID, management.ModeInstall(), module, nil))
		refused(bob, child.CanisterID)
		refused(admin, child.CanisterID)
		for _, id := range []principal.Principal{held, child.CanisterID} {
			must("stop_canister", idArg(id))
			reply, rej := w.update(alice, nativeID, "invoke", invoke(principal.Management, "take_canister_snapshot", candid.MustMarshal(management.TakeSnapshotArgs{CanisterID: id})))
			if rej != nil {
				t.Fatal(rej)
			}
			var taken management.Snapshot
			w.decode(reply[1:], &taken)
			kept("load_canister_snapshot", management.LoadSnapshotArgs{CanisterID: id, SnapshotID: taken.ID})
			kept("take_canister_snapshot", management.TakeSnapshotArgs{CanisterID: id, UninstallCode: &yes})
			kept("install_code", installArgs(id, management.ModeReinstall(), module, nil))
			kept("uninstall_code", idArg(id))
			kept("delete_canister", idArg(id))
			must("install_code", installArgs(id, management.ModeUpgrade(nil), module, nil))
			must("start_canister", idArg(id))
		}

		// A canister without custody is its controllers' business.
		other := w.install(proxy())
		if rej := byRoot("stop_canister", idArg(other)); rej == nil || rej.Error != "IC0512" {
			t.Errorf("the root canister stops another: %v", rej)
		}
		w.mustManage("stop_canister", idArg(other))
	}, func(c *Config) {
		c.Custodial, c.Root, c.Admins = []principal.Principal{held}, nativeID, []principal.Principal{admin}
		c.Natives = map[principal.Principal]Native{nativeID: invoking{}}
	})
}

// The id of a canister that was deleted is never given again, neither by choice nor in turn, also after a restart.
func TestIDsAreGivenOnce(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		m := newModule()
		seen := map[principal.Principal]bool{}
		for range 3 {
			id := w.install(m)
			if seen[id] {
				t.Fatalf("%s was given twice", id)
			}
			seen[id] = true
			w.mustManage("stop_canister", idArg(id))
			w.mustManage("delete_canister", idArg(id))
			for range 2 {
				if _, rej := w.manage("provisional_create_canister_with_cycles", management.ProvisionalCreateArgs{SpecifiedID: &id}); rej == nil || rej.Error != "IC0205" {
					t.Errorf("%s again: %v", id, rej)
				}
				w.x.Close()
				w.open()
			}
		}
	})
}
