package link_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fusion/cdk"
	"fusion/cdk/ic0host"
	"fusion/cdk/link"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/wasmbin"
)

var (
	alice = principal.MustFromBytes([]byte("alice"))
	two   = principal.FromUint64(2)
)

var kitchen = sync.OnceValues(func() (*link.Canister, error) {
	return link.Build(context.Background(), "", "./testdata/kitchen")
})

func build(t *testing.T) *link.Canister {
	t.Helper()
	c, err := kitchen()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func install(t *testing.T) *ic0host.Host {
	t.Helper()
	h, err := ic0host.New(context.Background(), build(t).Wasm)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	if err := h.Install(candid.MustMarshal("salt")); err != nil {
		t.Fatal(err)
	}
	return h
}

func decode[T any](t *testing.T, data []byte, err error) (v T) {
	t.Helper()
	if err == nil {
		err = candid.Unmarshal(data, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestModule(t *testing.T) {
	c := build(t)
	m, err := wasmbin.Parse(c.Wasm)
	if err != nil {
		t.Fatal(err)
	}
	if m.Start != nil {
		t.Fatal("the module has a start function")
	}
	for _, i := range m.Imports {
		if i.Module != "ic0" {
			t.Errorf("import %s.%s", i.Module, i.Name)
		}
	}
	var names []string
	for _, e := range m.Exports {
		names = append(names, e.Name)
	}
	want := []string{"memory", "canister_init", "canister_post_upgrade", "canister_global_timer", "canister_pre_upgrade",
		"canister_heartbeat", "canister_on_low_wasm_memory", "canister_inspect_message", "canister_update <fusion internal> timer", "canister_update add",
		"canister_update ask", "canister_composite_query both", "canister_update deadlock", "canister_update exit", "canister_query get text",
		"canister_update goroutines", "canister_query now", "canister_update panic", "canister_update print",
		"canister_update secret", "canister_update sleep", "canister_update timer", "canister_query whoami"}
	if !slices.Equal(names, want) {
		t.Errorf("exports\n%q, want\n%q", names, want)
	}
	sections := map[string]string{}
	for _, c := range m.Customs {
		sections[c.Name] = string(c.Data)
	}
	service, err := candid.ParseDID(sections["icp:public candid:service"])
	if err != nil || service.Service.Method("get text") == nil || service.Service.Method("both").Type.Func.Mode != candid.CompositeQuery {
		t.Errorf("interface %q: %v", sections, err)
	}
	if args := sections["icp:public candid:args"]; args != "(text)" {
		t.Errorf("init arguments %q", args)
	}
	var info struct {
		Go, Package string
		Modules     []struct{ Path string }
	}
	if err := json.Unmarshal([]byte(sections["icp:public fusion:build"]), &info); err != nil || info.Go != runtime.Version() ||
		info.Package != "fusion/cdk/link/testdata/kitchen" || len(info.Modules) != 1 || info.Modules[0].Path != "fusion" || len(sections) != 3 {
		t.Errorf("build %+v, %v; sections %q", info, err, sections)
	}
	if out := m.Encode(); !bytes.Equal(out, c.Wasm) {
		t.Error("the module is not in its shortest encoding")
	}
}

func TestCanisterRuns(t *testing.T) {
	h := install(t)
	text, err := h.Query(alice, "get text", candid.MustMarshal())
	if got := decode[string](t, text, err); got != "salt" {
		t.Fatalf("text %q", got)
	}
	who, err := h.Query(alice, "whoami", nil)
	if got := decode[principal.Principal](t, who, err); got != alice {
		t.Fatalf("caller %v", got)
	}
	for range 3 {
		h.Now += 1e9
		now, err := h.Query(alice, "now", nil)
		if got := decode[uint64](t, now, err); got != h.Now {
			t.Fatalf("time %d, want %d", got, h.Now)
		}
	}
	for want := uint64(5); want <= 15; want += 5 {
		sum, err := h.Update(alice, "add", candid.MustMarshal(uint64(5)))
		if got := decode[uint64](t, sum, err); got != want {
			t.Fatalf("sum %d, want %d", got, want)
		}
	}
	if ok, err := h.Inspect(alice, "add", nil); !ok || err != nil {
		t.Fatalf("inspection of add: %v, %v", ok, err)
	}
	if ok, err := h.Inspect(alice, "sub", nil); ok || err != nil {
		t.Fatalf("inspection of sub: %v, %v", ok, err)
	}
	if _, err := h.Run("canister_heartbeat", alice, nil); err != nil {
		t.Fatal(err)
	}
	sum, err := h.Update(alice, "add", candid.MustMarshal(uint64(0)))
	if got := decode[uint64](t, sum, err); got != 1015 {
		t.Fatalf("sum %d after the heartbeat", got)
	}
	if _, err := h.Update(alice, "print", candid.MustMarshal("hello")); err != nil || !slices.Contains(h.Log, "hello") {
		t.Fatalf("log %q, %v", h.Log, err)
	}
	if err := h.Upgrade(nil); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(h.Log, "bye") {
		t.Fatalf("log %q lacks the pre-upgrade hook", h.Log)
	}
	text, err = h.Query(alice, "get text", nil)
	if got := decode[string](t, text, err); got != "salt" {
		t.Fatalf("text %q after the upgrade", got)
	}
	sum, err = h.Update(alice, "add", candid.MustMarshal(uint64(1)))
	if got := decode[uint64](t, sum, err); got != 1 {
		t.Fatalf("sum %d after the upgrade, want a fresh heap", got)
	}
}

func TestCallbacks(t *testing.T) {
	h := install(t)
	ask := func() *ic0host.Call {
		t.Helper()
		if data, err := h.Update(alice, "ask", candid.MustMarshal(two)); err != nil || data != nil || len(h.Calls) != 1 {
			t.Fatalf("ask: %x, %v, %d calls", data, err, len(h.Calls))
		}
		c := h.Calls[0]
		if c.To != two || c.Method != "q" || c.Cycles != (cdk.Cycles{Hi: 1, Lo: 2}) || !bytes.Equal(c.Arg, candid.MustMarshal("x")) {
			t.Fatalf("call %+v", c)
		}
		return c
	}
	first, second := ask(), ask()
	data, err := h.Deliver(second, candid.MustMarshal("yes"), nil)
	if got := decode[string](t, data, err); got != "yes <nil> 2" {
		t.Fatalf("reply %q", got)
	}
	data, err = h.Deliver(first, nil, &cdk.RejectError{Code: cdk.DestinationInvalid, Message: "gone"})
	if got := decode[string](t, data, err); got != " DESTINATION_INVALID: gone 1" {
		t.Fatalf("reject %q", got)
	}
	third := ask()
	if err := h.Cleanup(third); err != nil || !slices.Contains(h.Log, "cleaned") {
		t.Fatalf("cleanup: %v, log %q", err, h.Log)
	}
	if _, err := h.Deliver(third, nil, nil); err == nil || !strings.Contains(err.Error(), "not outstanding") {
		t.Fatalf("second delivery: %v", err)
	}
}

func TestTimer(t *testing.T) {
	h := install(t)
	if _, err := h.Update(alice, "timer", candid.MustMarshal(uint64(time.Second))); err != nil || h.Timer != h.Now+1e9 {
		t.Fatalf("timer %d at %d, %v", h.Timer, h.Now, err)
	}
	h.Now += 1e9
	if _, err := h.Run("canister_global_timer", alice, nil); err != nil || len(h.Calls) != 1 || h.Calls[0].To != h.Self {
		t.Fatalf("calls %+v, %v", h.Calls, err)
	}
	c := h.Calls[0]
	reply, err := h.Update(h.Self, c.Method, c.Arg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Deliver(c, reply, nil); err != nil {
		t.Fatal(err)
	}
	sum, err := h.Update(alice, "add", candid.MustMarshal(uint64(0)))
	if got := decode[uint64](t, sum, err); got != 5 {
		t.Fatalf("sum %d after the timer, want 5", got)
	}
}

func TestTraps(t *testing.T) {
	for _, c := range []struct{ method, want string }{
		{"panic", "index out of range"},
		{"deadlock", "cannot sleep or wait"},
		{"sleep", "cannot sleep or wait"},
		{"exit", "the Go program ended"},
		{"secret", "no secrets"},
	} {
		h := install(t)
		arg := candid.MustMarshal()
		if c.method == "panic" {
			arg = candid.MustMarshal(uint64(1))
		}
		_, err := h.Update(alice, c.method, arg)
		var trap *ic0host.Trap
		if !errors.As(err, &trap) || !strings.Contains(trap.Text, c.want) {
			t.Errorf("%s: %v, want a trap with %q; log %q", c.method, err, c.want, h.Log)
		}
	}
	h := install(t)
	if _, err := h.Update(alice, "add", candid.MustMarshal("five")); err == nil || !strings.Contains(err.Error(), "decode arguments of add") {
		t.Errorf("bad argument: %v", err)
	}
}

// Two instances that see the same messages have the same heap, goroutines and maps included.
func TestDeterminism(t *testing.T) {
	run := func() (string, [32]byte) {
		h := install(t)
		var out string
		for range 3 {
			data, err := h.Update(alice, "goroutines", candid.MustMarshal(uint64(20)))
			out += decode[string](t, data, err)
		}
		m := h.Memory()
		heap, _ := m.Read(0, m.Size())
		return out, sha256.Sum256(heap)
	}
	a, heapA := run()
	b, heapB := run()
	if a != b || heapA != heapB {
		t.Fatalf("replies %s and %s, heaps %x and %x", a, b, heapA, heapB)
	}
}

func TestBuildIsReproducible(t *testing.T) {
	again, err := link.Build(context.Background(), "", "./testdata/kitchen")
	if err != nil {
		t.Fatal(err)
	}
	a, err := link.Gzip(build(t).Wasm)
	if err != nil {
		t.Fatal(err)
	}
	b, err := link.Gzip(again.Wasm)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Fatal("two builds differ")
	}
}

func TestBuildSaysWhatIsWrong(t *testing.T) {
	for pkg, want := range map[string]string{
		"fusion/cdk/stable":  "is package stable",
		"./testdata/nokit":   "does not import fusion/cdk",
		"./testdata/nomain":  "does not describe itself",
		"./testdata/socket":  `imports "net": a canister has no sockets`,
		"./testdata/nowhere": "directory not found",
		"fusion/cdk/...":     "more than one package",
		"fmt":                "standard library",
	} {
		if _, err := link.Build(t.Context(), "", pkg); !errors.Is(err, link.ErrPackage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", pkg, err, want)
		}
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := link.Build(t.Context(), "", "./testdata/kitchen"); !errors.Is(err, link.ErrToolchain) {
		t.Errorf("without a toolchain: %v", err)
	}
}

// A module linked with the description of another program refuses to start.
func TestWrongDescription(t *testing.T) {
	c := build(t)
	m, err := wasmbin.Parse(c.Wasm)
	if err != nil {
		t.Fatal(err)
	}
	e, _ := m.Export("canister_init")
	body := &m.Code[int(e.Index)-m.NumImports(wasmbin.KindFunc)]
	changed, found := []byte(nil), 0
	r := wasmbin.NewReader(body.Body)
	var in wasmbin.Instr
	for r.Next(&in) == nil {
		if in.Op == wasmbin.OpI32Const && uint32(in.Bits) == c.Description.Checksum {
			changed = wasmbin.AppendI32(changed, int32(in.Bits)+1)
			found++
			continue
		}
		changed = append(changed, body.Body[in.Start:in.End]...)
	}
	if found != 1 {
		t.Fatalf("the checksum occurs %d times in %x", found, body.Body)
	}
	body.Body = changed
	h, err := ic0host.New(context.Background(), m.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.Install(candid.MustMarshal("salt")); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Fatalf("install: %v", err)
	}
}

func TestNotAProgram(t *testing.T) {
	empty, _ := hex.DecodeString("0061736d01000000")
	for name, b := range map[string][]byte{"empty": nil, "text": []byte("hello, world"), "no exports": empty} {
		if _, err := link.Link(b, cdk.Description{}); !errors.Is(err, link.ErrProgram) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever the input, Link answers with a module or an error, and what it makes can be read again.
func FuzzLink(f *testing.F) {
	// A small module of the right shape: it exports what the linker asks for and imports one function of each kind.
	m := &wasmbin.Module{Tables: []wasmbin.Table{{Type: wasmbin.FuncRef, Limits: wasmbin.Limits{Min: 1}}}, Memories: []wasmbin.Limits{{Min: 1}}}
	two := wasmbin.FuncType{Params: []wasmbin.ValType{wasmbin.I32, wasmbin.I32}}
	get := wasmbin.FuncType{Params: two.Params, Results: []wasmbin.ValType{wasmbin.I32}}
	m.Imports = []wasmbin.Import{
		{Module: "wasi_snapshot_preview1", Name: "random_get", Kind: wasmbin.KindFunc, Func: m.AddType(get)},
		{Module: "ic0", Name: "trap", Kind: wasmbin.KindFunc, Func: m.AddType(two)}}
	body := wasmbin.Code{Body: []byte{byte(wasmbin.OpEnd)}}
	for name, t := range map[string]wasmbin.FuncType{"_initialize": {}, "fusion_dispatch": two} {
		m.Exports = append(m.Exports, wasmbin.Export{Name: name, Kind: wasmbin.KindFunc, Index: m.AddFunc(t, body)})
	}
	d := cdk.Description{Methods: []cdk.MethodInfo{{Name: "a", Query: true}, {Name: "b"}}, Heartbeat: true, Candid: "service : {}"}
	if _, err := link.Link(m.Encode(), d); err != nil {
		f.Fatal(err)
	}
	f.Add(m.Encode())
	f.Add([]byte("\x00asm\x01\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := link.Link(b, d)
		if err != nil {
			return
		}
		if _, err := wasmbin.Parse(out); err != nil {
			t.Fatalf("the output cannot be read: %v", err)
		}
	})
}
