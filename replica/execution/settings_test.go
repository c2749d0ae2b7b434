package execution

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/management"
)

func nat(n uint64) *candid.Nat { v := candid.NatFromUint64(n); return &v }

func people(n int) (out []principal.Principal) {
	for i := range n {
		out = append(out, principal.SelfAuthenticating(fmt.Appendf(nil, "person %d", i)))
	}
	return out
}

func variables(n int, value string) (out []management.EnvironmentVariable) {
	for i := range n {
		out = append(out, management.EnvironmentVariable{Name: fmt.Sprintf("V%02d", i), Value: value})
	}
	return out
}

// TestSettings takes each of the twelve fields through its default, a change that shows in canister_status, the largest value and one beyond;
// what is not named stays.
func TestSettings(t *testing.T) {
	type settings = management.Settings
	type definite = management.DefiniteSettings
	viewers := func(n int) *management.Visibility {
		list := people(n)
		return &management.Visibility{AllowedViewers: &list}
	}
	public := &management.Visibility{Public: candid.Unit}
	big := candid.NatFromUint128(1, 0)
	tooBig := big.Add(candid.NatFromUint128(1<<63, 0)).Add(candid.NatFromUint128(1<<63, 0)) // beyond 128 bits
	most := candid.NatFromUint128(^uint64(0), ^uint64(0))
	long := strings.Repeat("x", 129)
	withCtl := func(list []principal.Principal) settings { return settings{Controllers: &list} }
	withEnv := func(list ...management.EnvironmentVariable) settings {
		return settings{EnvironmentVariables: &list}
	}
	eq := func(n candid.Nat, want uint64) bool { return n.Cmp(candid.NatFromUint64(want)) == 0 }
	for _, c := range []struct {
		field   string
		initial func(definite) bool
		good    []settings // the last is what has to show
		shows   func(definite) bool
		bad     []settings
	}{
		{"controllers", func(d definite) bool { return slices.Equal(d.Controllers, []principal.Principal{alice}) },
			[]settings{withCtl(append(people(9), alice)), withCtl([]principal.Principal{bob, alice, bob})},
			func(d definite) bool {
				return len(d.Controllers) == 2 && slices.Contains(d.Controllers, alice) && slices.Contains(d.Controllers, bob)
			},
			[]settings{withCtl(people(11))}},
		{"compute_allocation", func(d definite) bool { return eq(d.ComputeAllocation, 0) },
			[]settings{{ComputeAllocation: nat(100), FreezingThreshold: nat(60)}, {ComputeAllocation: nat(0)}, {ComputeAllocation: nat(1)}}, func(d definite) bool { return eq(d.ComputeAllocation, 1) },
			[]settings{{ComputeAllocation: nat(101)}, {ComputeAllocation: &tooBig}}},
		{"memory_allocation", func(d definite) bool { return eq(d.MemoryAllocation, 0) },
			[]settings{{MemoryAllocation: nat(12345678)}}, func(d definite) bool { return eq(d.MemoryAllocation, 12345678) },
			[]settings{{MemoryAllocation: &big}}},
		{"freezing_threshold", func(d definite) bool { return eq(d.FreezingThreshold, 2_592_000) },
			[]settings{{FreezingThreshold: nat(0)}, {FreezingThreshold: nat(2_592_001)}}, func(d definite) bool { return eq(d.FreezingThreshold, 2_592_001) },
			[]settings{{FreezingThreshold: &big}}},
		{"reserved_cycles_limit", func(d definite) bool { return eq(d.ReservedCyclesLimit, 5_000_000_000_000) },
			[]settings{{ReservedCyclesLimit: nat(0)}, {ReservedCyclesLimit: &most}}, func(d definite) bool { return d.ReservedCyclesLimit.Cmp(most) == 0 },
			[]settings{{ReservedCyclesLimit: &tooBig}}},
		{"minimum_incoming_canister_call_cycles", func(d definite) bool { return eq(d.MinIncomingCycles, 0) },
			[]settings{{MinIncomingCycles: &most}, {MinIncomingCycles: nat(7)}}, func(d definite) bool { return eq(d.MinIncomingCycles, 7) },
			[]settings{{MinIncomingCycles: &tooBig}}},
		{"log_visibility", func(d definite) bool { return d.LogVisibility.Controllers != nil },
			[]settings{{LogVisibility: viewers(0)}, {LogVisibility: viewers(10)}, {LogVisibility: public}}, func(d definite) bool { return d.LogVisibility.Public != nil },
			[]settings{{LogVisibility: viewers(11)}}},
		{"snapshot_visibility", func(d definite) bool { return d.SnapshotVisibility.Controllers != nil },
			[]settings{{SnapshotVisibility: public}, {SnapshotVisibility: viewers(10)}},
			func(d definite) bool {
				return d.SnapshotVisibility.AllowedViewers != nil && slices.Equal(*d.SnapshotVisibility.AllowedViewers, people(10))
			},
			[]settings{{SnapshotVisibility: viewers(11)}}},
		{"status_visibility", func(d definite) bool { return d.StatusVisibility.Controllers != nil },
			[]settings{{StatusVisibility: public}, {StatusVisibility: viewers(3)}, {StatusVisibility: &management.Visibility{Controllers: candid.Unit}}},
			func(d definite) bool { return d.StatusVisibility.Controllers != nil },
			[]settings{{StatusVisibility: viewers(11)}}},
		{"wasm_memory_limit", func(d definite) bool { return eq(d.WasmMemoryLimit, 0) },
			[]settings{{WasmMemoryLimit: nat(0)}, {WasmMemoryLimit: nat(1 << 48)}}, func(d definite) bool { return eq(d.WasmMemoryLimit, 1<<48) },
			[]settings{{WasmMemoryLimit: nat(1<<48 + 1)}}},
		{"wasm_memory_threshold", func(d definite) bool { return eq(d.WasmMemoryThreshold, 0) },
			[]settings{{WasmMemoryThreshold: nat(0)}, {WasmMemoryThreshold: nat(1 << 48)}}, func(d definite) bool { return eq(d.WasmMemoryThreshold, 1<<48) },
			[]settings{{WasmMemoryThreshold: nat(1<<48 + 1)}}},
		{"environment_variables", func(d definite) bool { return len(d.EnvironmentVariables) == 0 },
			[]settings{withEnv(variables(20, long[:128])...), withEnv(management.EnvironmentVariable{Name: long[:128], Value: ""}), withEnv(variables(2, "ü")...)},
			func(d definite) bool { return reflect.DeepEqual(d.EnvironmentVariables, variables(2, "ü")) },
			[]settings{withEnv(variables(21, "")...), withEnv(management.EnvironmentVariable{Name: long}), withEnv(management.EnvironmentVariable{Name: "A", Value: long}),
				withEnv(management.EnvironmentVariable{Name: "A", Value: "1"}, management.EnvironmentVariable{Name: "A", Value: "2"})}},
	} {
		t.Run(c.field, func(t *testing.T) {
			w := newWorld(t)
			id := w.create()
			if d := w.status(id).Settings; !c.initial(d) {
				t.Errorf("at the start: %+v", d)
			}
			for _, s := range c.good {
				w.mustManage("update_settings", management.UpdateSettingsArgs{CanisterID: id, Settings: s})
			}
			if d := w.status(id).Settings; !c.shows(d) {
				t.Errorf("after the change: %+v", d)
			}
			version := w.status(id).Version
			for _, s := range c.bad {
				rej := func() *Reject {
					_, rej := w.manage("update_settings", management.UpdateSettingsArgs{CanisterID: id, Settings: s})
					return rej
				}()
				if rej == nil || rej.Error != "IC0408" || !strings.Contains(rej.Message, strings.TrimSuffix(strings.ReplaceAll(c.field, "_", " "), "s")) && !strings.Contains(rej.Message, c.field) &&
					!strings.Contains(rej.Message, "viewers") {
					t.Errorf("beyond the limit: %v", rej)
				}
				// A creation refuses the same.
				if _, rej := w.manage("provisional_create_canister_with_cycles", management.ProvisionalCreateArgs{Settings: &s}); rej == nil || rej.Error != "IC0408" {
					t.Errorf("creation beyond the limit: %v", rej)
				}
			}
			w.mustManage("update_settings", management.UpdateSettingsArgs{CanisterID: id})
			if s := w.status(id); !c.shows(s.Settings) || s.Version != version+1 {
				t.Errorf("after naming nothing: version %d after %d, %+v", s.Version, version, s.Settings)
			}
			// A canister can be created with the same.
			last := c.good[len(c.good)-1]
			var made management.CanisterID
			w.decode(w.mustManage("provisional_create_canister_with_cycles", management.ProvisionalCreateArgs{Settings: &last}), &made)
			if d := w.status(made.CanisterID).Settings; !c.shows(d) {
				t.Errorf("created: %+v", d)
			}
		})
	}
}

// TestVisibility checks who reads logs, snapshots and status under each of the settings.
func TestVisibility(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		id := w.install(counter())
		snap := w.take(id, nil).ID
		viewer, stranger := people(2)[0], people(2)[1]
		kinds := map[string]management.Visibility{"controllers": {Controllers: candid.Unit}, "public": {Public: candid.Unit},
			"viewers": {AllowedViewers: &[]principal.Principal{viewer}}}
		list, whole := candid.MustMarshal(idArg(id)), management.SnapshotArgs{CanisterID: id, SnapshotID: snap}
		data := management.ReadSnapshotDataArgs{CanisterID: id, SnapshotID: snap, Kind: management.SnapshotData{WasmModule: &management.Slice{Size: 4}}}
		query := func(method string) func(who principal.Principal) *Reject {
			return func(who principal.Principal) *Reject {
				return w.x.Query(t.Context(), QueryRequest{Sender: who, Method: method, Arg: list}).Reject
			}
		}
		update := func(method string, arg []byte) func(who principal.Principal) *Reject {
			return func(who principal.Principal) *Reject {
				early := w.x.InspectMessage(t.Context(), Ingress{Sender: who, Method: method, Arg: arg})
				_, rej := w.update(who, principal.Management, method, arg)
				if (early == nil) != (rej == nil) {
					t.Errorf("%s: inspection says %v, the call %v", method, early, rej)
				}
				return rej
			}
		}
		for _, c := range []struct {
			what, code string
			set        func(v management.Visibility) management.Settings
			read       func(who principal.Principal) *Reject
		}{
			{"logs", "IC0406", func(v management.Visibility) management.Settings { return management.Settings{LogVisibility: &v} }, query("fetch_canister_logs")},
			{"status, query", "IC0512", func(v management.Visibility) management.Settings { return management.Settings{StatusVisibility: &v} }, query("canister_status")},
			{"status", "IC0512", func(v management.Visibility) management.Settings { return management.Settings{StatusVisibility: &v} }, update("canister_status", list)},
			{"snapshots", "IC0512", func(v management.Visibility) management.Settings { return management.Settings{SnapshotVisibility: &v} }, update("list_canister_snapshots", list)},
			{"snapshot metadata", "IC0512", func(v management.Visibility) management.Settings { return management.Settings{SnapshotVisibility: &v} },
				update("read_canister_snapshot_metadata", candid.MustMarshal(whole))},
			{"snapshot data", "IC0512", func(v management.Visibility) management.Settings { return management.Settings{SnapshotVisibility: &v} },
				update("read_canister_snapshot_data", candid.MustMarshal(data))},
		} {
			for _, kind := range sortedKeys(kinds) {
				w.mustManage("update_settings", management.UpdateSettingsArgs{CanisterID: id, Settings: c.set(kinds[kind])})
				for i, who := range []principal.Principal{alice, viewer, stranger} {
					may := []bool{true, kind != "controllers", kind == "public"}[i]
					if rej := c.read(who); may && rej != nil || !may && (rej == nil || rej.Error != c.code) {
						t.Errorf("%s for %s, read by the controller (%v), the viewer (%v) or a stranger (%v): %v", c.what, kind, who == alice, who == viewer, who == stranger, rej)
					}
				}
			}
		}
	})
}

// TestHistory goes through every kind of change, made by a user and by canisters.
func TestHistory(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		p := w.install(proxy())
		env := []management.EnvironmentVariable{{Name: "NAME", Value: "value"}, {Name: "A", Value: ""}}
		hash := func(s string) string { h := sha256.Sum256([]byte(s)); return string(h[:]) }
		pairs := []string{hash("NAME") + hash("value"), hash("A") + hash("")}
		slices.Sort(pairs)
		envHash := hash(strings.Join(pairs, ""))

		settings := management.Settings{Controllers: &[]principal.Principal{alice, p}, EnvironmentVariables: &env}
		reply, refund, rej := w.through(p, "create_canister", 2_000_000_000_000, management.CreateCanisterArgs{Settings: &settings})
		if rej != nil || refund != 0 {
			t.Fatalf("refund %d, %v", refund, rej)
		}
		var made management.CanisterID
		w.decode(reply, &made)
		id, module := made.CanisterID, counter().bytes()
		moduleHash := sha256.Sum256(module)
		w.mustManage("provisional_top_up_canister", management.ProvisionalTopUpArgs{CanisterID: id, Amount: *nat(100_000_000_000_000)})
		started := w.now
		w.mustManage("install_code", installArgs(id, installMode, module, nil))
		w.mustManage("install_code", installArgs(id, management.ModeReinstall(), module, nil))
		w.mustManage("install_code", installArgs(id, upgradeMode, module, nil))
		snap := w.take(id, nil)
		w.mustManage("load_canister_snapshot", management.LoadSnapshotArgs{CanisterID: id, SnapshotID: snap.ID})
		w.mustManage("uninstall_code", management.UninstallCodeArgs{CanisterID: id})
		// A canister may say which version of it made the change; a wrong one is refused before it reaches the management canister.
		version := w.canister(p).Version
		for _, wrong := range []uint64{version - 1, version + 1} {
			if _, _, rej := w.through(p, "update_settings", 0, management.UpdateSettingsArgs{CanisterID: id, Settings: settings, SenderCanisterVersion: &wrong}); rej == nil ||
				rej.Code != CanisterError || !strings.Contains(rej.Message, "sender canister version") {
				t.Errorf("version %d of a canister at %d: %v", wrong, version, rej)
			}
			version = w.canister(p).Version
		}
		if _, _, rej := w.through(p, "update_settings", 0, management.UpdateSettingsArgs{CanisterID: id, Settings: settings, SenderCanisterVersion: &version}); rej != nil {
			t.Error(rej)
		}
		user := uint64(99) // a user has no version, and what one names is not looked at
		w.mustManage("update_settings", management.UpdateSettingsArgs{CanisterID: id, Settings: settings, SenderCanisterVersion: &user})
		w.mustManage("update_settings", management.UpdateSettingsArgs{CanisterID: id, Settings: management.Settings{FreezingThreshold: nat(1)}})

		info := w.info(id, 20)
		if info.TotalNumChanges != 8 || len(info.RecentChanges) != 8 || info.ModuleHash != nil || !slices.Contains(info.Controllers, p) {
			t.Fatalf("%+v", info)
		}
		for i, check := range []func(c management.Change) bool{
			func(c management.Change) bool {
				d := c.Details.Creation
				return d != nil && len(d.Controllers) == 2 && d.EnvHash != nil && string(*d.EnvHash) == envHash && c.CanisterVersion == 0 &&
					c.Origin.FromCanister != nil && c.Origin.FromCanister.CanisterID == p && c.Origin.FromCanister.CanisterVersion == nil
			},
			func(c management.Change) bool {
				d := c.Details.CodeDeployment
				return d != nil && d.Mode.Install != nil && bytes.Equal(d.ModuleHash, moduleHash[:]) && c.TimestampNanos == started+second && c.Origin.FromUser.UserID == alice
			},
			func(c management.Change) bool {
				return c.Details.CodeDeployment != nil && c.Details.CodeDeployment.Mode.Reinstall != nil
			},
			func(c management.Change) bool {
				return c.Details.CodeDeployment != nil && c.Details.CodeDeployment.Mode.Upgrade != nil
			},
			func(c management.Change) bool {
				d := c.Details.LoadSnapshot
				return d != nil && bytes.Equal(d.SnapshotID, snap.ID) && d.TakenAt == snap.TakenAt && d.FromCanister == nil && d.Source.TakenFromCanister != nil
			},
			func(c management.Change) bool { return c.Details.CodeUninstall != nil },
			func(c management.Change) bool {
				return c.Details.ControllersChange != nil && c.Origin.FromCanister != nil && *c.Origin.FromCanister.CanisterVersion == version
			},
			func(c management.Change) bool {
				return c.Details.ControllersChange != nil && c.Origin.FromUser != nil && len(c.Details.ControllersChange.Controllers) == 2
			},
		} {
			if !check(info.RecentChanges[i]) {
				t.Errorf("change %d: %+v", i, info.RecentChanges[i])
			}
		}
		for _, n := range []uint64{0, 3, 8, 100} {
			want := int(min(n, 8))
			if got := w.info(id, n).RecentChanges; len(got) != want || want > 0 && got[want-1].TimestampNanos != info.RecentChanges[7].TimestampNanos {
				t.Errorf("%d changes asked for, %d come", n, len(got))
			}
		}
		for range 20 {
			w.mustManage("update_settings", management.UpdateSettingsArgs{CanisterID: id, Settings: settings})
		}
		if info := w.info(id, 100); info.TotalNumChanges != 28 || len(info.RecentChanges) != maxHistory || info.RecentChanges[0].Details.ControllersChange == nil {
			t.Errorf("after 28 changes: %d in all, %d kept", info.TotalNumChanges, len(info.RecentChanges))
		}
	})
}

// TestStatusFields checks the numbers of canister_status against what the canister has.
func TestStatusFields(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		m := counter().custom("icp:public a", "0123456789").custom("icp:private bc", "secret")
		id := w.install(m)
		w.mustManage("upload_chunk", management.UploadChunkArgs{CanisterID: id, Chunk: []byte("x")})
		snap := w.take(id, nil)
		s := w.status(id)
		c := w.canister(id)
		hash := sha256.Sum256(m.bytes())
		mm := s.MemoryMetrics
		for what, pair := range map[string][2]candid.Nat{
			"wasm_memory_size":           {mm.WasmMemorySize, *nat(4 * wasmPage)},
			"stable_memory_size":         {mm.StableMemorySize, *nat(c.StablePages * wasmPage)},
			"global_memory_size":         {mm.GlobalMemorySize, *nat(8 * uint64(len(c.Globals)))},
			"wasm_binary_size":           {mm.WasmBinarySize, *nat(uint64(len(m.bytes())))},
			"custom_sections_size":       {mm.CustomSectionsSize, *nat(uint64(len("a0123456789bcsecret")))},
			"canister_history_size":      {mm.CanisterHistorySize, *nat(2 * changeBytes)},
			"wasm_chunk_store_size":      {mm.WasmChunkStoreSize, *nat(maxChunk)},
			"snapshots_size":             {mm.SnapshotsSize, *nat(snap.TotalSize)},
			"cycles":                     {s.Cycles, natOf(c.Cycles)},
			"query_stats.num_calls":      {s.QueryStats.NumCalls, candid.Nat{}},
			"idle_cycles_burned_per_day": {s.IdleCyclesBurnedPerDay, natOf(w.x.canisters[id].view.burnPerDay)},
		} {
			if pair[0].Cmp(pair[1]) != 0 {
				t.Errorf("%s is %s, want %s", what, pair[0], pair[1])
			}
		}
		if s.Status.Running == nil || s.ReadyForMigration || s.Version != c.Version || s.ModuleHash == nil || !bytes.Equal(*s.ModuleHash, hash[:]) {
			t.Errorf("%+v", s)
		}
		sum := candid.Nat{}
		for _, n := range []candid.Nat{mm.WasmMemorySize, mm.StableMemorySize, mm.GlobalMemorySize, mm.WasmBinarySize, mm.CanisterHistorySize, mm.WasmChunkStoreSize, mm.SnapshotsSize} {
			sum = sum.Add(n)
		}
		if sum.Cmp(s.MemorySize) != 0 {
			t.Errorf("memory_size is %s, the parts are %s together (custom sections are in the module)", s.MemorySize, sum)
		}
		w.mustManage("stop_canister", idArg(id))
		w.mustManage("uninstall_code", management.UninstallCodeArgs{CanisterID: id})
		if s := w.status(id); s.Status.Stopped == nil || !s.ReadyForMigration || s.ModuleHash != nil || s.MemoryMetrics.WasmMemorySize.Cmp(candid.Nat{}) != 0 {
			t.Errorf("stopped and uninstalled: %+v", s)
		}
		// The canister itself reads its status and, where it is no controller, not its metrics.
		p := w.install(proxy())
		w.mustThrough(p, "canister_status", idArg(p))
		if _, _, rej := w.through(p, "canister_metrics", 0, idArg(p)); rej == nil || rej.Code != CanisterError {
			t.Errorf("metrics for the canister itself: %v", rej)
		}
		// Metadata: what is private is for controllers.
		for _, name := range []string{"a", "bc", "none"} {
			want := name == "a"
			fresh := w.install(m)
			var got management.CanisterMetadataResult
			reply, _, rej := w.through(p, "canister_metadata", 0, management.CanisterMetadataArgs{CanisterID: fresh, Name: name})
			if (rej == nil) != want {
				t.Errorf("metadata %q: %v", name, rej)
			} else if want {
				if w.decode(reply, &got); string(got.Value) != "0123456789" {
					t.Errorf("metadata %q: %q", name, got.Value)
				}
			}
		}
		// Anyone deposits; nothing comes back.
		before := w.canister(id).Cycles
		if _, refund, rej := w.through(p, "deposit_cycles", 777, idArg(id)); rej != nil || refund != 0 || w.canister(id).Cycles.Cmp(before.Add(CyclesOf(777))) < 0 {
			t.Errorf("deposit: refund %d, %v, %s cycles after %s", refund, rej, w.canister(id).Cycles, before)
		}
		if _, refund, rej := w.through(p, "deposit_cycles", 777, idArg(principal.FromUint64(999))); rej == nil || rej.Code != DestinationInvalid || refund != 777 {
			t.Errorf("deposit to nobody: refund %d, %v", refund, rej)
		}
	})
}

// TestLogsAndInstallation checks that upgrades keep the log, and that it goes with the code that wrote it.
func TestLogsAndInstallation(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		m := newModule()
		m.export("canister_init", m.host("debug_print", m.blob("init")))
		m.export("canister_post_upgrade", m.host("debug_print", m.blob("upgraded")))
		m.update("print", m.host("debug_print", m.blob("hello")), m.replyText("ok"))
		bad := newModule()
		bad.export("canister_init", unreachable())
		id := w.install(m)
		log := func(want ...string) {
			t.Helper()
			var logs management.FetchLogsResult
			w.decode(w.mustQuery(principal.Management, "fetch_canister_logs", candid.MustMarshal(idArg(id))), &logs)
			var got []string
			for i, r := range logs.Records {
				got = append(got, string(r.Content))
				if i > 0 && (r.Index != logs.Records[i-1].Index+1 || r.TimestampNanos < logs.Records[i-1].TimestampNanos) {
					t.Errorf("record %d after %d", r.Index, logs.Records[i-1].Index)
				}
			}
			for i := range got {
				if strings.HasPrefix(got[i], "[TRAP]") {
					got[i] = "[TRAP]"
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("log %q, want %q", got, want)
			}
		}
		w.mustUpdate(id, "print", nil)
		log("init", "hello")
		w.mustManage("install_code", installArgs(id, upgradeMode, m.bytes(), nil))
		log("init", "hello", "upgraded")
		if _, rej := w.manage("install_code", installArgs(id, management.ModeReinstall(), bad.bytes(), nil)); rej == nil {
			t.Error("a trapping init succeeded")
		}
		log("init", "hello", "upgraded", "[TRAP]")
		w.mustManage("install_code", installArgs(id, management.ModeReinstall(), m.bytes(), nil))
		log("init")
		w.mustManage("uninstall_code", management.UninstallCodeArgs{CanisterID: id})
		log()
	})
}
