package orchestrator

import (
	"bytes"
	"context"
	"crypto/sha256"
	"testing"

	"fusion/cdk"
	"fusion/cdk/ic0host"
	"fusion/cdk/link"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// maxMessage is the largest message on the Internet Computer less what is in it beside the module.
const maxMessage = 2<<20 - 32<<10

// The orchestrator as wasm takes a token through all its steps, forgets nothing in an upgrade, and sends modules as they were uploaded.
func TestWasm(t *testing.T) {
	c, err := link.Build(context.Background(), "", "./cmd/orchestrator")
	must(t, err)
	packed, err := link.Gzip(c.Wasm)
	must(t, err)
	if len(packed) > maxMessage {
		t.Errorf("the module has %d bytes, more than the %d that fit into one message", len(packed), maxMessage)
	}
	h, err := ic0host.New(context.Background(), c.Wasm)
	must(t, err)
	defer h.Close()
	h.Self, h.Now, h.Controller = selfID, 1_800_000_000e9, root
	must(t, h.Install(candid.MustMarshal(Arg{InitArg: &InitArg{MoreControllerIDs: []principal.Principal{root}, MinterID: &minterID}})))

	large := bytes.Repeat([]byte("a module that is not small "), 60_000) // 1.6 MB
	for k, module := range [kinds][]byte{large, []byte("index")} {
		sum := sha256.Sum256(module)
		arg := RegisterModuleArg{Kind: kind(k).public(), Hash: sum[:]}
		for at := 0; at < len(module); at += maxChunk {
			data, err := h.Update(root, "upload_module_chunk", candid.MustMarshal(module[at:min(at+maxChunk, len(module))]))
			must(t, err)
			var r UploadResult
			must(t, candid.Unmarshal(data, &r))
			arg.Chunks = append(arg.Chunks, *r.Ok)
		}
		data, err := h.Update(root, "register_module", candid.MustMarshal(arg))
		must(t, err)
		var r Result
		must(t, candid.Unmarshal(data, &r))
		if r.Ok == nil {
			t.Fatal(*r.Err)
		}
	}
	data, err := h.Update(root, "add_erc20", candid.MustMarshal(token(0)))
	must(t, err)
	var added Result
	must(t, candid.Unmarshal(data, &added))
	if added.Ok == nil {
		t.Fatal(*added.Err)
	}

	ids := map[kind]principal.Principal{ledger: principal.FromUint64(100), index: principal.FromUint64(101)}
	modules := map[principal.Principal][]byte{}
	var methods []string
	// answer is what the subnet and the minter say.
	answer := func(k *ic0host.Call) []byte {
		methods = append(methods, k.Method)
		switch k.Method {
		case "create_canister":
			id := ids[ledger]
			if methods[0] != k.Method || len(methods) > 1 {
				id = ids[index]
			}
			return candid.MustMarshal(canisterID{id})
		case "canister_status":
			var of canisterID
			must(t, candid.Unmarshal(k.Arg, &of))
			s := cdk.CanisterStatus{Status: cdk.CanisterStatusType{Running: candid.Unit}, Settings: cdk.CanisterSettings{
				Controllers: []principal.Principal{}, LogVisibility: cdk.LogVisibility{Controllers: candid.Unit}, EnvironmentVariables: []cdk.EnvironmentVariable{}}}
			if m := modules[of.CanisterID]; m != nil {
				sum := sha256.Sum256(m)
				s.ModuleHash = ptr(sum[:])
			}
			return candid.MustMarshal(s)
		case "install_code":
			var in installArgs
			must(t, candid.Unmarshal(k.Arg, &in))
			modules[in.CanisterID] = in.WasmModule
			return candid.MustMarshal()
		case "get_minter_info":
			return candid.MustMarshal(minterInfo{})
		case "add_ckerc20_token":
			return candid.MustMarshal()
		}
		t.Fatalf("call of %s", k.Method)
		return nil
	}
	// work runs the timer and what follows from it, and reports whether anything did. The timer calls the canister itself.
	work := func() bool {
		h.Now += 1e9
		_, err := h.Run("canister_global_timer", root, nil)
		must(t, err)
		n := len(methods)
		for waiting := h.Calls; len(waiting) > 0; waiting = waiting[1:] {
			k := waiting[0]
			if k.To == selfID {
				_, err = h.Update(selfID, k.Method, k.Arg)
				must(t, err)
				waiting = append(waiting, h.Calls...)
				_, err = h.Deliver(k, nil, nil)
			} else {
				_, err = h.Deliver(k, answer(k), nil)
			}
			must(t, err)
			waiting = append(waiting, h.Calls...)
		}
		return len(methods) > n
	}
	steps := 0
	for ; work(); steps++ {
		if steps == 2 {
			must(t, h.Upgrade(nil))
		}
	}
	want := []string{"create_canister", "create_canister", "canister_status", "install_code", "canister_status", "install_code", "get_minter_info", "add_ckerc20_token"}
	if len(methods) != len(want) {
		t.Fatalf("calls %v, want %v", methods, want)
	}
	for i := range want {
		if methods[i] != want[i] {
			t.Fatalf("calls %v, want %v", methods, want)
		}
	}
	if !bytes.Equal(modules[ids[ledger]], large) || string(modules[ids[index]]) != "index" {
		t.Errorf("modules of %d and %d bytes were installed", len(modules[ids[ledger]]), len(modules[ids[index]]))
	}
	must(t, h.Upgrade(nil))
	data, err = h.Query(other, "get_orchestrator_info", nil)
	must(t, err)
	var info Info
	must(t, candid.Unmarshal(data, &info))
	if len(info.ManagedCanisters) != 1 || !info.ManagedCanisters[0].MinterNotified || info.ManagedCanisters[0].Problem != nil || info.LostCanisters != 0 {
		t.Errorf("%+v", info)
	}
}
