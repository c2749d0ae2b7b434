package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/management"
)

func TestSettingsFlags(t *testing.T) {
	user := func(i int) principal.Principal { return principal.SelfAuthenticating(fmt.Appendf(nil, "user %d", i)) }
	now := management.DefiniteSettings{Controllers: []principal.Principal{user(1), user(2)},
		EnvironmentVariables: []management.EnvironmentVariable{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}}}
	nat := func(n uint64) *candid.Nat { v := candid.NatFromUint64(n); return &v }
	list := func(n ...int) *[]principal.Principal {
		out := []principal.Principal{}
		for _, i := range n {
			out = append(out, user(i))
		}
		return &out
	}
	for _, c := range []struct {
		args string
		want management.Settings
		err  string
	}{
		{args: "--controller=1,3", want: management.Settings{Controllers: list(1, 3)}},
		{args: "--add-controller=3 --add-controller=1 --remove-controller=2", want: management.Settings{Controllers: list(1, 3)}},
		{args: "--remove-controller=3", err: "is no controller"},
		{args: "--remove-controller=1,2", err: "nobody would control"},
		{args: "--controller=1 --add-controller=2", err: "--controller names all"},
		{args: "--controller=nobody", err: "nobody"},
		{args: "--compute-allocation=5 --memory-allocation=1_000 --freezing-threshold=0 --reserved-cycles-limit=0x10 --minimum-call-cycles=4 --wasm-memory-limit=6 --wasm-memory-threshold=7",
			want: management.Settings{ComputeAllocation: nat(5), MemoryAllocation: nat(1000), FreezingThreshold: nat(0), ReservedCyclesLimit: nat(16), MinIncomingCycles: nat(4),
				WasmMemoryLimit: nat(6), WasmMemoryThreshold: nat(7)}},
		{args: "--compute-allocation=-5", err: "--compute-allocation"},
		{args: "--memory-allocation=lots", err: "--memory-allocation"},
		{args: "--log-visibility=public --snapshot-visibility=1,2 --status-visibility=controllers", want: management.Settings{
			LogVisibility:      &management.Visibility{Public: candid.Unit},
			SnapshotVisibility: &management.Visibility{AllowedViewers: list(1, 2)},
			StatusVisibility:   &management.Visibility{Controllers: candid.Unit}}},
		{args: "--log-visibility=everybody", err: "--log-visibility"},
		{args: "--env=B=3=4 --env=C= --unset-env=A", want: management.Settings{EnvironmentVariables: &[]management.EnvironmentVariable{{Name: "B", Value: "3=4"}, {Name: "C", Value: ""}}}},
		{args: "--env=B", err: "want NAME=VALUE"},
		{args: "--unset-env=Z", err: "no environment variable Z"},
		{args: "", err: errNothingNamed.Error()},
	} {
		var f settingsFlags
		cmd := &cobra.Command{}
		f.bind(cmd)
		if err := cmd.ParseFlags(strings.Fields(c.args)); err != nil {
			t.Fatal(err)
		}
		got, err := f.settings(func(text string) (principal.Principal, error) {
			if len(text) != 1 || text < "0" || text > "9" {
				return principal.Principal{}, fmt.Errorf("%q is nobody", text)
			}
			return user(int(text[0] - '0')), nil
		}, func() (*management.DefiniteSettings, error) { return &now, nil })
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %q", c.args, err, c.err)
			}
		case err != nil || !reflect.DeepEqual(*got, c.want):
			t.Errorf("%s: %+v, %v", c.args, got, err)
		}
	}
	if len(now.Controllers) != 2 || now.EnvironmentVariables[1].Value != "2" {
		t.Errorf("what was read has changed: %+v", now)
	}
	var b bytes.Buffer
	showSettings(&b, &now)
	if !strings.Contains(b.String(), "env B") || !strings.Contains(b.String(), user(2).String()) {
		t.Errorf("shown: %s", b.String())
	}
}

func sampleSnapshot() *management.SnapshotMetadata {
	i, l, f, d, v, ns := int32(-5), int64(math.MinInt64), math.Float32frombits(0x7fc00001), math.Float64frombits(0xfff8000000000123),
		candid.NatFromUint128(math.MaxUint64, 7), uint64(123)
	return &management.SnapshotMetadata{Source: management.SnapshotSource{TakenFromCanister: &candid.Reserved{}}, TakenAt: 9, WasmModuleSize: 100, WasmMemorySize: 1 << 16,
		StableMemorySize: 1 << 40, Globals: []management.Global{{I32: &i}, {I64: &l}, {F32: &f}, {F64: &d}, {V128: &v}}, CertifiedData: []byte{1, 2},
		GlobalTimer: &management.GlobalTimer{Active: &ns}, OnLowWasmMemory: &management.HookStatus{Executed: candid.Unit},
		WasmChunkStore: []management.ChunkHash{{Hash: bytes.Repeat([]byte{7}, 32)}}, CanisterVersion: 4}
}

// What is written is what is read, down to the bits of NaNs.
func TestSnapshotMetadata(t *testing.T) {
	in := sampleSnapshot()
	m, err := metaOf(in)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	again, err := parseSnapshotMeta(raw)
	if err != nil || !reflect.DeepEqual(again, m) {
		t.Fatalf("%+v, %v", again, err)
	}
	out, err := again.upload(principal.FromUint64(5), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := management.UploadSnapshotMetadataArgs{CanisterID: principal.FromUint64(5), WasmModuleSize: in.WasmModuleSize, WasmMemorySize: in.WasmMemorySize,
		StableMemorySize: in.StableMemorySize, Globals: in.Globals, CertifiedData: in.CertifiedData, GlobalTimer: in.GlobalTimer, OnLowWasmMemory: in.OnLowWasmMemory}
	if !bytes.Equal(candid.MustMarshal(out), candid.MustMarshal(want)) {
		t.Errorf("%+v, want %+v", out, want)
	}
	for what, bad := range map[string]string{
		"no json": `x`, "unknown field": `{"x": 1}`, "kind": `{"globals":[{"type":"i8","value":"1"}]}`, "i32": `{"globals":[{"type":"i32","value":"2147483648"}]}`,
		"f32": `{"globals":[{"type":"f32","value":"0x1ffffffff"}]}`, "f64": `{"globals":[{"type":"f64","value":"one"}]}`,
		"v128": `{"globals":[{"type":"v128","value":"340282366920938463463374607431768211456"}]}`, "certified": `{"certified_data":"zz"}`,
		"timer": `{"global_timer":"soon"}`, "hook": `{"on_low_wasm_memory_hook_status":"x"}`, "chunk": `{"wasm_chunk_store":["../../etc/passwd"]}`,
	} {
		if _, err := parseSnapshotMeta([]byte(bad)); !errors.Is(err, errMetadata) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzSnapshotMetadata(f *testing.F) {
	m, err := metaOf(sampleSnapshot())
	if err != nil {
		f.Fatal(err)
	}
	raw, err := json.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"globals":[{"type":"v128","value":"1_0"}],"global_timer":"inactive"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := parseSnapshotMeta(raw)
		if err != nil {
			return
		}
		if _, err := m.upload(principal.FromUint64(1), nil); err != nil {
			t.Fatalf("read, and cannot be announced: %v", err)
		}
	})
}
