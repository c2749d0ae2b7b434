package wasm

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	wb "fusion/internal/wasmbin"
)

// asm is a tiny assembler: numbers and opcodes in program order.
type asm struct{ b []byte }

func (a *asm) op(ops ...wb.Op) *asm {
	for _, o := range ops {
		a.b = wb.AppendOp(a.b, o)
	}
	return a
}
func (a *asm) idx(o wb.Op, i uint32) *asm         { a.b = wb.AppendIndex(a.b, o, i); return a }
func (a *asm) i32(v int32) *asm                   { a.b = wb.AppendI32(a.b, v); return a }
func (a *asm) i64(v int64) *asm                   { a.b = wb.AppendI64(a.b, v); return a }
func (a *asm) block(o wb.Op, t wb.BlockType) *asm { a.b = wb.AppendBlock(a.b, o, t); return a }
func (a *asm) mem(o wb.Op, offset uint64) *asm    { a.b = wb.AppendMemArg(a.b, o, 0, offset); return a }
func (a *asm) raw(b ...byte) *asm                 { a.b = append(a.b, b...); return a }
func (a *asm) end() []byte                        { return append(a.b, byte(wb.OpEnd)) }
func (a *asm) call(m *builder, name string) *asm  { return a.idx(wb.OpCall, m.funcs[name]) }

// builder assembles a canister: imports first, then functions.
type builder struct {
	*wb.Module
	funcs map[string]uint32
}

func newBuilder(pages uint64) *builder {
	return &builder{Module: &wb.Module{Memories: []wb.Limits{{Min: pages}}}, funcs: map[string]uint32{}}
}

func (m *builder) imp(name string, params, results []wb.ValType) {
	m.funcs[name] = uint32(len(m.Imports))
	m.Imports = append(m.Imports, wb.Import{Module: "ic0", Name: name, Func: m.AddType(wb.FuncType{Params: params, Results: results})})
}

func (m *builder) fn(name string, body []byte, locals ...wb.ValType) uint32 {
	c := wb.Code{Body: body}
	for _, l := range locals {
		c.Locals = append(c.Locals, wb.LocalRun{Count: 1, Type: l})
	}
	f := m.AddFunc(wb.FuncType{}, c)
	m.funcs[name] = f
	if strings.HasPrefix(name, "canister_") {
		m.Exports = append(m.Exports, wb.Export{Name: name, Kind: wb.KindFunc, Index: f})
	}
	return f
}

var (
	i32s = func(n int) []wb.ValType { return []wb.ValType{wb.I32, wb.I32, wb.I32, wb.I32}[:n] }
	i64s = func(n int) []wb.ValType { return []wb.ValType{wb.I64, wb.I64, wb.I64, wb.I64}[:n] }
)

// testState is what the test host keeps per message.
type testState struct {
	arg   []byte
	reply []byte
}

func testHost() []HostFunc {
	return []HostFunc{
		{Name: "msg_arg_data_copy", Params: []Kind{Ptr, Ptr, Ptr}, Fn: func(i *Instance, a []uint64) uint64 {
			s := i.Ctx.(*testState)
			if a[1] > uint64(len(s.arg)) || a[2] > uint64(len(s.arg))-a[1] {
				panic(&Trap{Kind: HostTrap, Message: "argument out of bounds"})
			}
			i.Charge(a[2])
			copy(i.MustMemory(a[0], a[2]), s.arg[a[1]:])
			return 0
		}},
		{Name: "msg_arg_data_size", Results: []Kind{Ptr}, Fn: func(i *Instance, _ []uint64) uint64 {
			return uint64(len(i.Ctx.(*testState).arg))
		}},
		{Name: "msg_reply_data_append", Params: []Kind{Ptr, Ptr}, Fn: func(i *Instance, a []uint64) uint64 {
			s := i.Ctx.(*testState)
			s.reply = append(s.reply, i.MustMemory(a[0], a[1])...)
			return 0
		}},
		{Name: "trap", Params: []Kind{Ptr, Ptr}, Fn: func(i *Instance, a []uint64) uint64 {
			panic(&Trap{Kind: HostTrap, Message: string(i.MustMemory(a[0], a[1]))})
		}},
		{Name: "performance_counter", Params: []Kind{I32}, Results: []Kind{I64}, Fn: func(i *Instance, a []uint64) uint64 {
			return i.InstructionsUsed()
		}},
		{Name: "echo", Params: []Kind{Ptr}, Results: []Kind{Ptr}, Fn: func(_ *Instance, a []uint64) uint64 { return a[0] }},
		{Name: "quit", Fn: func(*Instance, []uint64) uint64 { panic(&Trap{Kind: HostTrap, Message: "quit"}) }},
		{Name: "take", Params: []Kind{Ptr}, Fn: func(*Instance, []uint64) uint64 { panic(&Trap{Kind: HostTrap, Message: "taken"}) }},
	}
}

func newEngine(t testing.TB, cfg Config) *Engine {
	t.Helper()
	if cfg.Host == nil {
		cfg.Host = testHost()
	}
	e, err := NewEngine(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// install compiles a module and returns an instance over its initial image.
func install(t testing.TB, e *Engine, module []byte) (*Instance, *Image) {
	t.Helper()
	m, err := e.Compile(module)
	if err != nil {
		t.Fatal(err)
	}
	img, err := m.NewImage()
	if err != nil {
		t.Fatal(err)
	}
	inst, err := m.NewInstance(img)
	if err != nil {
		t.Fatal(err)
	}
	inst.Ctx = &testState{}
	t.Cleanup(func() {
		if err := errors.Join(inst.Close(), img.Close(), m.Close()); err != nil {
			t.Error(err)
		}
	})
	return inst, img
}

// counterCanister keeps a counter at address 8 (page 0) and its double in a global.
//
//	inc    adds the argument's first byte
//	get    replies with the counter
//	fail   changes both, grows memory, then traps with "boom"
//	spin   never ends
func counterCanister() []byte {
	m := newBuilder(2)
	m.imp("msg_arg_data_copy", i32s(3), nil)
	m.imp("msg_reply_data_append", i32s(2), nil)
	m.imp("trap", i32s(2), nil)
	m.Globals = []wb.Global{{GlobalType: wb.GlobalType{Type: wb.I64, Mutable: true}, Init: new(asm).i64(0).end()}}
	add := new(asm).i32(0).i32(0).i32(1).call(m, "msg_arg_data_copy").
		i32(0).i32(0).mem(wb.OpI32Load, 8).i32(0).mem(wb.OpI32Load8U, 0).op(wb.OpI32Add).mem(wb.OpI32Store, 8).
		i32(0).i32(0).mem(wb.OpI32Store8, 0).
		i32(0).mem(wb.OpI32Load, 8).op(wb.OpI64ExtendI32U).i64(2).op(wb.OpI64Mul).idx(wb.OpGlobalSet, 0).end()
	m.fn("canister_update inc", add)
	m.fn("canister_query get", new(asm).i32(8).i32(4).call(m, "msg_reply_data_append").
		i32(0).idx(wb.OpGlobalGet, 0).mem(wb.OpI64Store, 16).i32(16).i32(8).call(m, "msg_reply_data_append").end())
	m.fn("canister_update fail", new(asm).i32(0).i32(77).mem(wb.OpI32Store, 8).i64(1).idx(wb.OpGlobalSet, 0).
		i32(3).op(wb.OpMemoryGrow).raw(0).op(wb.OpDrop).
		i32(4*WasmPage).i32(5).mem(wb.OpI32Store, 0).
		i32(100).i32(4).call(m, "trap").end())
	m.fn("canister_update spin", new(asm).block(wb.OpLoop, wb.BlockEmpty).i32(0).i32(9).mem(wb.OpI32Store, 8).idx(wb.OpBr, 0).op(wb.OpEnd).end())
	m.Data = []wb.Data{{Offset: new(asm).i32(100).end(), Init: []byte("boom")}}
	return m.Encode()
}

// goBench is a Go canister with the benchmark loops.
var goBench = sync.OnceValues(func() ([]byte, error) {
	src := `package main

import "crypto/sha256"

var out uint64

func fib(n int) int {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}

//go:wasmexport canister_update__fib
func cfib() { out += uint64(fib(27)) }

//go:wasmexport canister_update__sieve
func sieve() {
	const n = 1 << 20
	s := make([]bool, n)
	for i := 2; i < n; i++ {
		if !s[i] {
			out++
			for j := 2 * i; j < n; j += i {
				s[j] = true
			}
		}
	}
}

var buf [1024]byte

//go:wasmexport canister_update__sha
func sha() {
	for i := 0; i < 400; i++ {
		h := sha256.Sum256(buf[:])
		copy(buf[:], h[:])
	}
	out += uint64(buf[0])
}

//go:wasmimport ic0 msg_reply_data_append
func reply(p *byte, n uint32)

var counter [4]byte

//go:wasmexport canister_update__inc
func inc() {
	counter[0]++
	reply(&counter[0], 4)
}

// garbage makes the collector run and map order matter.
//
//go:wasmexport canister_update__churn
func churn() {
	m := map[int][]byte{}
	for i := 0; i < 20000; i++ {
		m[i%97] = make([]byte, 1000+i%100)
	}
	for k, v := range m {
		out = out*31 + uint64(k*len(v))
		break
	}
}

func main() {}
`
	dir, err := os.MkdirTemp("", "gobench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for name, s := range map[string]string{"main.go": src, "go.mod": "module bench\n\ngo 1.24\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(s), 0o600); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", "out.wasm", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOWORK=off", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.New(string(out))
	}
	b, err := os.ReadFile(filepath.Join(dir, "out.wasm"))
	if err != nil {
		return nil, err
	}
	return linkWASI(b)
})

// linkWASI replaces the WASI imports of a Go module by functions that do as little as the runtime bears, and gives the
// exports their canister names.
func linkWASI(b []byte) ([]byte, error) {
	m, err := wb.Parse(b)
	if err != nil {
		return nil, err
	}
	var kept []wb.Import
	var wasi []wb.Import
	moved := map[uint32]uint32{}
	for i, imp := range m.Imports {
		if imp.Module == "ic0" {
			moved[uint32(i)] = uint32(len(kept))
			kept = append(kept, imp)
		} else {
			wasi = append(wasi, imp)
		}
	}
	n, defined := uint32(len(m.Imports)), uint32(len(m.Funcs))
	next := uint32(len(kept)) + defined
	for i, imp := range m.Imports {
		if imp.Module != "ic0" {
			moved[uint32(i)] = next
			next++
		}
	}
	if err := m.RenumberFuncs(func(i uint32) uint32 {
		if i < n {
			return moved[i]
		}
		return i - n + uint32(len(kept))
	}); err != nil {
		return nil, err
	}
	m.Imports = kept
	for _, imp := range wasi {
		a := new(asm)
		switch imp.Name {
		case "proc_exit", "poll_oneoff":
			a.op(wb.OpUnreachable)
		case "sched_yield", "random_get":
			a.i32(0)
		case "clock_time_get":
			a.idx(wb.OpLocalGet, 2).i64(1e18).mem(wb.OpI64Store, 0).i32(0)
		case "args_sizes_get", "environ_sizes_get":
			a.idx(wb.OpLocalGet, 0).i32(0).mem(wb.OpI32Store, 0).idx(wb.OpLocalGet, 1).i32(0).mem(wb.OpI32Store, 0).i32(0)
		case "fd_write":
			a.idx(wb.OpLocalGet, 3).i32(0).mem(wb.OpI32Store, 0).i32(0)
		case "args_get", "environ_get":
			a.i32(0)
		default:
			a.i32(8)
		}
		m.AddFunc(m.Types[imp.Func], wb.Code{Body: a.end()})
	}
	for i := range m.Exports {
		e := &m.Exports[i]
		if e.Name == "_initialize" {
			f := e.Index
			m.Start = &f
		}
		e.Name = strings.Replace(e.Name, "__", " ", 1)
	}
	return m.Encode(), nil
}
