package management

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"fusion/btc/canister"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// signatures are the Go types of the methods that are carried out.
var signatures = map[string]struct{ arg, result any }{
	"create_canister":                   {CreateCanisterArgs{}, CanisterID{}},
	"update_settings":                   {UpdateSettingsArgs{}, nil},
	"upload_chunk":                      {UploadChunkArgs{}, ChunkHash{}},
	"clear_chunk_store":                 {CanisterID{}, nil},
	"stored_chunks":                     {CanisterID{}, []ChunkHash{}},
	"install_code":                      {InstallCodeArgs{}, nil},
	"install_chunked_code":              {InstallChunkedCodeArgs{}, nil},
	"uninstall_code":                    {UninstallCodeArgs{}, nil},
	"start_canister":                    {CanisterID{}, nil},
	"stop_canister":                     {CanisterID{}, nil},
	"canister_status":                   {CanisterID{}, CanisterStatusResult{}},
	"canister_info":                     {CanisterInfoArgs{}, CanisterInfoResult{}},
	"canister_metrics":                  {CanisterID{}, CanisterMetricsResult{}},
	"canister_metadata":                 {CanisterMetadataArgs{}, CanisterMetadataResult{}},
	"delete_canister":                   {CanisterID{}, nil},
	"deposit_cycles":                    {CanisterID{}, nil},
	"raw_rand":                          {nil, []byte{}},
	"ecdsa_public_key":                  {EcdsaPublicKeyArgs{}, PublicKeyResult{}},
	"sign_with_ecdsa":                   {SignWithEcdsaArgs{}, SignatureResult{}},
	"schnorr_public_key":                {SchnorrPublicKeyArgs{}, PublicKeyResult{}},
	"sign_with_schnorr":                 {SignWithSchnorrArgs{}, SignatureResult{}},
	"vetkd_public_key":                  {VetKDPublicKeyArgs{}, VetKDPublicKeyResult{}},
	"vetkd_derive_key":                  {VetKDDeriveKeyArgs{}, VetKDDeriveKeyResult{}},
	"http_request":                      {HTTPRequestArgs{}, HTTPResponse{}},
	"take_canister_snapshot":            {TakeSnapshotArgs{}, Snapshot{}},
	"load_canister_snapshot":            {LoadSnapshotArgs{}, nil},
	"list_canister_snapshots":           {CanisterID{}, []Snapshot{}},
	"delete_canister_snapshot":          {SnapshotArgs{}, nil},
	"read_canister_snapshot_metadata":   {SnapshotArgs{}, SnapshotMetadata{}},
	"read_canister_snapshot_data":       {ReadSnapshotDataArgs{}, SnapshotChunk{}},
	"upload_canister_snapshot_metadata": {UploadSnapshotMetadataArgs{}, SnapshotID{}},
	"upload_canister_snapshot_data":     {UploadSnapshotDataArgs{}, nil},
	"subnet_info":                       {SubnetInfoArgs{}, SubnetInfoResult{}},
	"fetch_canister_logs":               {CanisterID{}, FetchLogsResult{}},

	"list_canisters":       {nil, ListCanistersResult{}},
	"node_metrics_history": {NodeMetricsHistoryArgs{}, []NodeMetricsSample{}},

	"bitcoin_get_balance":                 {canister.GetBalanceRequest{}, uint64(0)},
	"bitcoin_get_utxos":                   {canister.GetUTXOsRequest{}, canister.GetUTXOsResponse{}},
	"bitcoin_send_transaction":            {canister.SendTransactionRequest{}, nil},
	"bitcoin_get_current_fee_percentiles": {canister.NetworkRequest{}, []uint64{}},
	"bitcoin_get_block_headers":           {canister.GetBlockHeadersRequest{}, canister.GetBlockHeadersResponse{}},

	"provisional_create_canister_with_cycles": {ProvisionalCreateArgs{}, CanisterID{}},
	"provisional_top_up_canister":             {ProvisionalTopUpArgs{}, nil},
}

// TestTypesMatchInterface checks by subtyping that a client of the public ic.did understands us and we understand it.
func TestTypesMatchInterface(t *testing.T) {
	p, err := candid.ParseDID(Interface)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, m := range p.Service.Methods {
		listed[m.Name] = true
		if _, ok := Methods[m.Name]; !ok {
			t.Errorf("%s is in the interface and not in Methods", m.Name)
			continue
		}
		s, typed := signatures[m.Name]
		if !typed {
			t.Errorf("%s has no types", m.Name)
			continue
		}
		check := func(what string, wire []candid.Arg, mine any, theirsFirst bool) {
			if mine == nil {
				if len(wire) != 0 {
					t.Errorf("%s: %s has %d values in the interface", m.Name, what, len(wire))
				}
				return
			}
			if len(wire) != 1 {
				t.Errorf("%s: %s has %d values in the interface", m.Name, what, len(wire))
				return
			}
			ours, err := candid.TypeOf(reflect.TypeOf(mine))
			if err != nil {
				t.Fatal(err)
			}
			sub, super := ours, wire[0].Type
			if theirsFirst {
				sub, super = super, sub
			}
			if err := candid.SubtypeStrict(sub, super); err != nil {
				t.Errorf("%s: %s: %v", m.Name, what, err)
			}
		}
		check("argument", m.Type.Func.Args, s.arg, true)
		check("result", m.Type.Func.Results, s.result, false)
	}
	for name := range Methods {
		if !listed[name] {
			t.Errorf("%s is in Methods and not in the interface", name)
		}
	}
}

// Callers are the rules of testdata/callers.tsv; replica/execution checks that they hold for calls.
func TestCallers(t *testing.T) {
	raw, err := os.ReadFile("testdata/callers.tsv")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(raw)) {
		f := strings.Fields(line)
		if f[0] == "#" {
			continue
		}
		n++
		m, ok := Methods[f[0]]
		if !ok || len(f) != 5 {
			t.Errorf("%q", line)
			continue
		}
		user, canister := "no", "no"
		switch {
		case m.Provisional:
			user, canister = "local", "local"
		case m.Ingress:
			user = "yes"
		case m.Admin:
			user = "admin"
		}
		if m.Update && canister == "no" {
			canister = "yes"
		}
		if user != f[1] || canister != f[2] || m.Query != (f[3] != "no") || f[3] != f[4] {
			t.Errorf("%s: %+v, the rules say %v", f[0], m, f[1:])
		}
	}
	if n != 43 || len(Methods) != n {
		t.Errorf("%d methods have rules, %d are known; the interface has 43", n, len(Methods))
	}
}

func TestEffectiveCanister(t *testing.T) {
	id := principal.FromUint64(7)
	one := candid.MustMarshal(CanisterID{CanisterID: id})
	for _, c := range []struct {
		method string
		arg    []byte
		query  bool
		want   principal.Principal
		any    bool
		err    error
	}{
		{method: "stop_canister", arg: one, want: id},
		{method: "canister_status", arg: one, want: id},
		{method: "canister_status", arg: one, query: true, want: id},
		{method: "fetch_canister_logs", arg: one, query: true, want: id},
		{method: "fetch_canister_logs", arg: one, err: ErrNotForUsers},
		{method: "install_code", arg: candid.MustMarshal(InstallCodeArgs{Mode: ModeUpgrade(nil), CanisterID: id}), want: id},
		{method: "install_chunked_code", arg: candid.MustMarshal(InstallChunkedCodeArgs{Mode: ModeInstall(), TargetCanister: id}), want: id},
		{method: "provisional_create_canister_with_cycles", arg: candid.MustMarshal(ProvisionalCreateArgs{}), any: true},
		{method: "provisional_create_canister_with_cycles", arg: candid.MustMarshal(ProvisionalCreateArgs{SpecifiedID: &id}), want: id},
		{method: "raw_rand", arg: candid.MustMarshal(), err: ErrNotForUsers},
		{method: "create_canister", arg: candid.MustMarshal(CreateCanisterArgs{}), any: true},
		{method: "create_canister", arg: candid.MustMarshal(CreateCanisterArgs{}), query: true, err: ErrUnknownMethod},
		{method: "list_canisters", arg: candid.MustMarshal(), query: true, any: true},
		{method: "list_canisters", arg: candid.MustMarshal(), err: ErrNotForUsers},
		{method: "canister_info", arg: one, query: true, err: ErrUnknownMethod},
		{method: "bitcoin_get_balance", err: ErrNotForUsers},
		{method: "stop_canister", arg: one, query: true, err: ErrUnknownMethod},
		{method: "no_such_method", err: ErrUnknownMethod},
		{method: "stop_canister", arg: []byte("DIDL\x00\x00"), err: ErrArgument},
		{method: "stop_canister", arg: []byte(strings.Repeat("x", 100)), err: ErrArgument},
	} {
		got, anyID, err := EffectiveCanister(c.method, c.arg, c.query)
		if !errors.Is(err, c.err) || err == nil && (got != c.want || anyID != c.any) {
			t.Errorf("%s (query %v): %s, %v, %v", c.method, c.query, got, anyID, err)
		}
	}
}

func FuzzEffectiveCanister(f *testing.F) {
	id := principal.FromUint64(7)
	f.Add("stop_canister", candid.MustMarshal(CanisterID{CanisterID: id}), false)
	f.Add("install_code", candid.MustMarshal(InstallCodeArgs{Mode: ModeUpgrade(&UpgradeOptions{}), CanisterID: id, WasmModule: []byte{1}}), false)
	f.Add("provisional_create_canister_with_cycles", candid.MustMarshal(ProvisionalCreateArgs{SpecifiedID: &id}), false)
	f.Add("canister_status", []byte("DIDL\x01\x6c\x00\x01\x00"), true)
	f.Fuzz(func(t *testing.T, method string, arg []byte, query bool) {
		if _, anyID, err := EffectiveCanister(method, arg, query); err != nil && anyID {
			t.Error("any canister and an error")
		}
	})
}
