package transform

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	wb "fusion/internal/wasmbin"
	"fusion/internal/wasmbin/wasmgen"
)

var testHost = map[string]Signature{
	"msg_reply":             {},
	"msg_reply_data_append": {Params: []Kind{Ptr, Ptr}},
	"time":                  {Results: []Kind{I64}},
	"debug_print":           {Params: []Kind{Ptr, Ptr}},
}

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

var features = api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall

func newRuntime(t testing.TB) wazero.Runtime {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCoreFeatures(features))
	t.Cleanup(func() { r.Close(ctx) })
	exhausted := func(_ context.Context, m api.Module, _ []uint64) {
		if d := m.ExportedGlobal(ExportDepth); d != nil && int64(d.Get()) < 0 {
			panic(errors.New("out of stack"))
		}
		panic(errors.New("out of instructions"))
	}
	if _, err := r.NewHostModuleBuilder(TrapModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(exhausted), nil, nil).Export(TrapName).Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	none := api.GoModuleFunc(func(context.Context, api.Module, []uint64) {})
	for name, ptr := range map[string]api.ValueType{HostModule32: api.ValueTypeI32, HostModule64: api.ValueTypeI64} {
		b := r.NewHostModuleBuilder(name)
		for fn, s := range testHost {
			var params, results []api.ValueType
			for _, k := range s.Params {
				params = append(params, map[Kind]api.ValueType{Ptr: ptr, I32: api.ValueTypeI32, I64: api.ValueTypeI64}[k])
			}
			for range s.Results {
				results = append(results, api.ValueTypeI64)
			}
			b.NewFunctionBuilder().WithGoModuleFunction(none, params, results).Export(fn)
		}
		if _, err := b.Instantiate(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func trapOf(err error) string {
	if err == nil {
		return ""
	}
	s, _, _ := strings.Cut(err.Error(), "\n")
	return strings.TrimSuffix(strings.TrimPrefix(s, "wasm error: "), " (recovered by wazero)")
}

// runTransformed runs an export and returns the instructions used and the trap, if any.
func runTransformed(t testing.TB, r wazero.Runtime, res *Result, export string, limit int64) (used int64, trap string, m api.Module) {
	t.Helper()
	ctx := context.Background()
	grown := experimental.WithMemoryAllocator(ctx, experimental.MemoryAllocatorFunc(func(uint64, uint64) experimental.LinearMemory {
		return &bounded{max: uint64(res.MemoryMax) << 16}
	}))
	m, err := r.InstantiateWithConfig(grown, res.Wasm, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		t.Fatalf("%v", err)
	}
	for _, s := range res.Segments {
		if !m.ExportedMemory(ExportMemory).Write(uint32(s.Offset), s.Init) {
			t.Fatal("data segment")
		}
	}
	meter := m.ExportedGlobal(ExportMeter).(api.MutableGlobal)
	meter.Set(uint64(limit))
	m.ExportedGlobal(ExportDepth).(api.MutableGlobal).Set(uint64(res.StackSlots))
	_, err = m.ExportedFunction(export).Call(ctx)
	if err == nil {
		if d := int64(m.ExportedGlobal(ExportDepth).Get()); d != res.StackSlots {
			t.Fatalf("stack is %d slots off after the call", res.StackSlots-d)
		}
	}
	return limit - int64(meter.Get()), trapOf(err), m
}

// module returns a one-page module whose method "run" has this body.
func module(body []byte, locals ...wb.LocalRun) *wb.Module {
	m := &wb.Module{
		Types:    []wb.FuncType{{}},
		Funcs:    []uint32{0},
		Memories: []wb.Limits{{Min: 1}},
		Code:     []wb.Code{{Locals: locals, Body: body}},
		Exports:  []wb.Export{{Name: "canister_update run", Kind: wb.KindFunc}},
	}
	return m
}

func mustTransform(t testing.TB, m *wb.Module) *Result {
	t.Helper()
	res, err := Transform(m.Encode(), Options{Host: testHost})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// TestCounts compares the counter with sums worked out by hand from the weight table.
func TestCounts(t *testing.T) {
	r := newRuntime(t)
	i32 := func(n uint32) wb.LocalRun { return wb.LocalRun{Count: n, Type: wb.I32} }
	for _, c := range []struct {
		name string
		body []byte
		want int64
	}{
		{"empty", new(asm).end(), 0},
		{"const drop", new(asm).i32(1).op(wb.OpDrop).end(), 2},
		// const 1 + if 2, then arm: nop 1.
		{"if taken", new(asm).i32(1).block(wb.OpIf, wb.BlockEmpty).op(wb.OpNop, wb.OpElse, wb.OpNop, wb.OpNop, wb.OpEnd).end(), 4},
		{"else taken", new(asm).i32(0).block(wb.OpIf, wb.BlockEmpty).op(wb.OpNop, wb.OpElse, wb.OpNop, wb.OpNop, wb.OpEnd).end(), 5},
		// const 1 + br_if 2; the nop behind is skipped; the nop after the block runs.
		{"br_if taken", new(asm).block(wb.OpBlock, wb.BlockEmpty).i32(1).idx(wb.OpBrIf, 0).op(wb.OpNop, wb.OpEnd, wb.OpNop).end(), 4},
		{"br_if not taken", new(asm).block(wb.OpBlock, wb.BlockEmpty).i32(0).idx(wb.OpBrIf, 0).op(wb.OpNop, wb.OpEnd, wb.OpNop).end(), 5},
		// i = 3: each round get 1, const 1, sub 1, tee 1, br_if 2 = 6; before: const 1, set 1.
		{"loop", new(asm).i32(3).idx(wb.OpLocalSet, 0).block(wb.OpLoop, wb.BlockEmpty).idx(wb.OpLocalGet, 0).i32(1).
			op(wb.OpI32Sub).idx(wb.OpLocalTee, 0).idx(wb.OpBrIf, 0).op(wb.OpEnd).end(), 2 + 3*6},
		// Four rounds of get 1, eqz 1, br_if 2 = 4, three of them with get 1, const 1, sub 1, set 1, br 2 = 6 more;
		// before: const 1, set 1.
		{"exit from a loop", new(asm).i32(3).idx(wb.OpLocalSet, 0).block(wb.OpBlock, wb.BlockEmpty).block(wb.OpLoop, wb.BlockEmpty).
			idx(wb.OpLocalGet, 0).op(wb.OpI32Eqz).idx(wb.OpBrIf, 1).
			idx(wb.OpLocalGet, 0).i32(1).op(wb.OpI32Sub).idx(wb.OpLocalSet, 0).idx(wb.OpBr, 0).
			op(wb.OpEnd, wb.OpEnd).end(), 2 + 4*4 + 3*6},
		// consts 2, div 10, drop 1.
		{"division", new(asm).i32(6).i32(2).op(0x6d, wb.OpDrop).end(), 13},
		// three consts, fill 100 + 50 bytes.
		{"fill", new(asm).i32(0).i32(1).i32(50).op(wb.OpMemoryFill).raw(0).end(), 153},
		// const 1, grow 300 + 2 pages, drop 1.
		{"grow", new(asm).i32(2).op(wb.OpMemoryGrow).raw(0).op(wb.OpDrop).end(), 302 + 2*PerPage},
		// const 1, br_table 2 to label 1: over the first nop (1) and the second.
		{"br_table", new(asm).block(wb.OpBlock, wb.BlockEmpty).block(wb.OpBlock, wb.BlockEmpty).i32(1).
			raw(byte(wb.OpBrTable), 1, 0, 1).op(wb.OpEnd, wb.OpNop, wb.OpEnd, wb.OpNop).end(), 4},
		{"return", new(asm).op(wb.OpNop, wb.OpReturn, wb.OpNop).end(), 2},
		// global.get 2 … there is none; memory.size 20, drop 1.
		{"size", new(asm).op(wb.OpMemorySize).raw(0).op(wb.OpDrop).end(), 21},
	} {
		used, trap, _ := runTransformed(t, r, mustTransform(t, module(c.body, i32(2))), "canister_update run", 1e9)
		if used != c.want || trap != "" {
			t.Errorf("%s: used %d (%s), want %d", c.name, used, trap, c.want)
		}
	}
}

// naive charges every instruction by itself, right before it runs: the definition that blocks must agree with.
func naive(t testing.TB, m *wb.Module, limit int64) []byte {
	t.Helper()
	imports := uint32(m.NumImports(wb.KindFunc))
	move := func(i uint32) uint32 {
		if i < imports {
			return i
		}
		return i + 1
	}
	globals := uint32(len(m.Globals))
	if err := m.RenumberFuncs(move); err != nil {
		t.Fatal(err)
	}
	m.Imports = append(m.Imports, wb.Import{Module: TrapModule, Name: TrapName, Func: m.AddType(wb.FuncType{})})
	m.Globals = append(m.Globals, wb.Global{GlobalType: wb.GlobalType{Type: wb.I64, Mutable: true}, Init: new(asm).i64(limit).end()})
	m.Exports = append(m.Exports, wb.Export{Name: ExportMeter, Kind: wb.KindGlobal, Index: globals})
	helpers := uint32(m.NumFuncs())
	spend := func(a *asm) { // subtracts the i64 on the stack
		a.i64(-1).op(wb.OpI64Mul).idx(wb.OpGlobalGet, globals).op(wb.OpI64Add).idx(wb.OpGlobalSet, globals)
	}
	for i := range m.Code {
		a := new(asm)
		r := wb.NewReader(m.Code[i].Body)
		var in wb.Instr
		for r.Next(&in) == nil {
			if w := Weight(in.Op); w > 0 {
				spend(a.i64(int64(w)))
			}
			switch in.Op {
			case wb.OpMemoryFill, wb.OpMemoryCopy, wb.OpMemoryInit, wb.OpTableGrow, wb.OpTableFill, wb.OpTableCopy, wb.OpTableInit:
				a.idx(wb.OpCall, helpers)
			case wb.OpMemoryGrow:
				a.idx(wb.OpCall, helpers+1)
			}
			a.raw(m.Code[i].Body[in.Start:in.End]...)
			if in.Op == wb.OpLoop {
				a.idx(wb.OpGlobalGet, globals).i64(0).op(wb.OpI64LtS).block(wb.OpIf, wb.BlockEmpty).idx(wb.OpCall, imports).op(wb.OpEnd)
			}
		}
		entry := new(asm).idx(wb.OpGlobalGet, globals).i64(0).op(wb.OpI64LtS).block(wb.OpIf, wb.BlockEmpty).idx(wb.OpCall, imports).op(wb.OpEnd)
		m.Code[i].Body = append(entry.b, a.b...)
	}
	for _, per := range []int64{1, PerPage} {
		a := new(asm)
		spend(a.idx(wb.OpLocalGet, 0).op(wb.OpI64ExtendI32U).i64(per).op(wb.OpI64Mul))
		one := []wb.ValType{wb.I32}
		m.AddFunc(wb.FuncType{Params: one, Results: one}, wb.Code{Body: a.idx(wb.OpLocalGet, 0).end()})
	}
	return m.Encode()
}

// bounded is a memory that grows to the module's maximum and no further, as the host's does.
type bounded struct {
	b   []byte
	max uint64
}

func (m *bounded) Free() {}
func (m *bounded) Reallocate(size uint64) []byte {
	if size > m.max {
		return nil
	}
	m.b = append(m.b, make([]byte, size-uint64(len(m.b)))...)
	return m.b
}

// outcome is what a program did.
type outcome struct {
	trap   string
	used   int64
	memory []byte
}

// runNaive runs a program as it is, charged instruction by instruction.
func runNaive(t testing.TB, r wazero.Runtime, m *wb.Module, limit int64) outcome {
	ctx := context.Background()
	inst, err := r.InstantiateWithConfig(ctx, naive(t, m, limit), wazero.NewModuleConfig().WithName(""))
	if err != nil {
		t.Fatal(err)
	}
	defer inst.Close(ctx)
	_, err = inst.ExportedFunction(wasmgen.Run).Call(ctx)
	mem, _ := inst.ExportedMemory("memory").Read(0, inst.ExportedMemory("memory").Size())
	return outcome{trapOf(err), limit - int64(inst.ExportedGlobal(ExportMeter).Get()), bytes.Clone(mem)}
}

func runOurs(t testing.TB, r wazero.Runtime, m *wb.Module, limit int64) outcome {
	used, trap, inst := runTransformed(t, r, mustTransform(t, m), wasmgen.Run, limit)
	defer inst.Close(context.Background())
	mem, _ := inst.ExportedMemory(ExportMemory).Read(0, inst.ExportedMemory(ExportMemory).Size())
	return outcome{trap, used, bytes.Clone(mem)}
}

// compare tells how two runs of the same program differ, or "". The first may be charged later and stop deeper.
func (want outcome) compare(got outcome) string {
	switch {
	case want.trap == "stack overflow":
		// The engine's own limit: ours must come first.
		if got.trap != "out of stack" && got.trap != "out of instructions" {
			return fmt.Sprintf("%q, but natively the stack overflows", got.trap)
		}
	case got.trap == "out of stack" && want.trap == "out of instructions":
		// Deep recursion: the reference has no bound before the engine's.
	case got.trap == "out of instructions" && want.trap != "":
		// A trapping segment is charged as a whole, so the limit may be met first.
	case got.trap != want.trap:
		return fmt.Sprintf("trap %q, want %q", got.trap, want.trap)
	case got.trap == "" && got.used != want.used:
		return fmt.Sprintf("used %d, want %d", got.used, want.used)
	case got.trap != "out of instructions" && !bytes.Equal(got.memory, want.memory):
		for i := range min(len(want.memory), len(got.memory)) {
			if want.memory[i] != got.memory[i] {
				return fmt.Sprintf("trap %q, %d and %d bytes of memory differ at %#x: % x, want % x", got.trap, len(got.memory), len(want.memory), i, got.memory[i:min(i+8, len(got.memory))], want.memory[i:min(i+8, len(want.memory))])
			}
		}
		return fmt.Sprintf("memory of %d bytes, want %d", len(got.memory), len(want.memory))
	}
	return ""
}

// TestDifferential runs random programs as they are, charged instruction by instruction, and transformed, with memory and
// table of 32 and of 64 bits: memory, traps and counts must agree.
func TestDifferential(t *testing.T) {
	r := newRuntime(t)
	const limit = 200_000
	outcomes := map[string]int{}
	var total int64
	for seed := range int64(150) {
		o := wasmgen.Options{SIMD: seed%3 != 0, Canonical: true}
		want := runNaive(t, r, wasmgen.Program(seed, o), limit)
		got := runOurs(t, r, wasmgen.Program(seed, o), limit)
		if diff := want.compare(got); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
		o.Memory64, o.Table64 = seed%4 != 1, seed%4 != 2
		wide := runOurs(t, r, wasmgen.Program(seed, o), limit)
		if wide.trap != got.trap || wide.used != got.used || !bytes.Equal(wide.memory, got.memory) {
			t.Fatalf("seed %d, 64 bits: trap %q after %d, but %q after %d in 32 bits", seed, wide.trap, wide.used, got.trap, got.used)
		}
		if outcomes[got.trap]++; got.trap == "" {
			total += got.used
		}
	}
	t.Logf("outcomes %v, %d instructions in programs that returned", outcomes, total)
	if outcomes[""] < 50 || len(outcomes) < 5 {
		t.Fatalf("the programs are too tame: %v", outcomes)
	}
}

func TestInfiniteLoopStops(t *testing.T) {
	r := newRuntime(t)
	for name, body := range map[string][]byte{
		"loop":      new(asm).block(wb.OpLoop, wb.BlockEmpty).idx(wb.OpBr, 0).op(wb.OpEnd).end(),
		"recursion": new(asm).idx(wb.OpReturnCall, 0).end(),
		"empty loop in a block": new(asm).block(wb.OpBlock, wb.BlockEmpty).block(wb.OpLoop, wb.BlockEmpty).
			block(wb.OpBlock, wb.BlockEmpty).idx(wb.OpBr, 1).op(wb.OpEnd, wb.OpEnd, wb.OpEnd).end(),
	} {
		used, trap, _ := runTransformed(t, r, mustTransform(t, module(body)), "canister_update run", 1_000_000)
		if trap != "out of instructions" || used < 1_000_000 || used > 1_000_010+Advance {
			t.Errorf("%s: %q after %d", name, trap, used)
		}
	}
}

// TestDepth recurses through functions of different sizes: the native stack must never be the one that ends it, and
// the depth must follow from the module alone.
func TestDepth(t *testing.T) {
	r := newRuntime(t)
	for _, locals := range []uint32{0, 10, 1000, 40_000} {
		for _, ty := range []wb.ValType{wb.I64, wb.V128} {
			// memory[0]++ ; keep all locals alive across the call; recurse.
			a := new(asm).i32(0).i32(0).mem(wb.OpI32Load, 0).i32(1).op(wb.OpI32Add).mem(wb.OpI32Store, 0)
			n := min(locals, 200)
			for i := range n {
				a.i32(0)
				if ty == wb.I64 {
					a.mem(wb.OpI64Load, uint64(8*i)).idx(wb.OpLocalSet, i)
				} else {
					a.raw(0xfd, 0, 0).raw(wb.AppendU(nil, uint64(16*i))...).idx(wb.OpLocalSet, i)
				}
			}
			a.idx(wb.OpCall, 0)
			for i := range n {
				a.i32(0).idx(wb.OpLocalGet, i)
				if ty == wb.I64 {
					a.mem(wb.OpI64Store, uint64(1024+8*i))
				} else {
					a.raw(0xfd, 11, 0).raw(wb.AppendU(nil, uint64(1024+16*i))...)
				}
			}
			res := mustTransform(t, module(a.end(), wb.LocalRun{Count: locals, Type: ty}))
			_, trap, m := runTransformed(t, r, res, "canister_update run", 1e10)
			depth, _ := m.ExportedMemory(ExportMemory).ReadUint32Le(0)
			if trap != "out of stack" || depth < 20 {
				t.Fatalf("%d locals of %v: %q at depth %d", locals, ty, trap, depth)
			}
			parsed, _ := wb.Parse(res.Source)
			slots := int64(frameOverhead)
			rd := wb.NewReader(parsed.Code[0].Body)
			per := int64(1)
			if ty == wb.V128 {
				per = 2
			}
			simd := ty == wb.V128 && n > 0
			for in := (wb.Instr{}); rd.Next(&in) == nil; slots++ {
				if simd {
					slots++
				}
			}
			if want := res.StackSlots/(slots+per*int64(locals)) + 0; int64(depth) != want {
				t.Errorf("%d locals of %v: depth %d, want %d", locals, ty, depth, want)
			}
		}
	}
}

func TestCanonicalNaN(t *testing.T) {
	r := newRuntime(t)
	const qnan, payload = 0x7ff8000000001234, 0x7ff0000000005678
	f64 := func(a *asm, bits uint64) {
		a.b = (&wb.Instr{Op: wb.OpF64Const, Imm: wb.ImmF64, Bits: bits}).Append(a.b, nil)
	}
	f32 := func(a *asm, bits uint64) {
		a.b = (&wb.Instr{Op: wb.OpF32Const, Imm: wb.ImmF32, Bits: bits}).Append(a.b, nil)
	}
	v := func(a *asm, lo, hi uint64) {
		a.b = (&wb.Instr{Op: wb.OpV128Const, Imm: wb.ImmV128, Bits: lo, Bits2: hi}).Append(a.b, nil)
	}
	a := new(asm)
	var want []uint64
	slot := func() uint64 { return uint64(8 * len(want)) }
	for op := wb.Op(0x9b); op <= 0xa5; op++ {
		a.i32(0)
		f64(a, qnan)
		if op >= 0xa0 {
			f64(a, payload)
		}
		a.op(op).mem(0x39, slot())
		want = append(want, canonicalF64)
	}
	for op := wb.Op(0x8d); op <= 0x97; op++ {
		a.i32(0)
		f32(a, 0xffc01234)
		if op >= 0x92 {
			f32(a, 0x7f800001)
		}
		a.op(op).mem(0x38, slot())
		want = append(want, canonicalF32)
	}
	// 0/0, sqrt(-1), inf-inf, promote, demote.
	a.i32(0)
	f64(a, 0)
	f64(a, 0)
	a.op(0xa3).mem(0x39, slot())
	want = append(want, canonicalF64)
	a.i32(0)
	f32(a, 0x7fc55555)
	a.op(0xbb).mem(0x39, slot())
	want = append(want, canonicalF64)
	a.i32(0)
	f64(a, 0xfff8000000000001)
	a.op(0xb6).mem(0x38, slot())
	want = append(want, canonicalF32)
	// Bit moves keep their bits.
	a.i32(0)
	f64(a, payload)
	a.op(0x9a).mem(0x39, slot())
	want = append(want, payload|1<<63)
	// Vectors: only the NaN lane changes.
	for _, op := range []wb.Op{0xfdf0, 0xfdf1, 0xfdf2, 0xfdf3, 0xfdf4, 0xfdf5} {
		a.i32(0)
		v(a, qnan, math.Float64bits(6))
		v(a, payload, math.Float64bits(2))
		a.op(op).raw(0xfd, 11, 0).raw(wb.AppendU(nil, slot())...)
		res := map[wb.Op]float64{0xfdf0: 8, 0xfdf1: 4, 0xfdf2: 12, 0xfdf3: 3, 0xfdf4: 2, 0xfdf5: 6}[op]
		want = append(want, canonicalF64, math.Float64bits(res))
	}
	a.i32(0)
	v(a, 0x7fc00001_40000000, 0xffc12345_7f800001)
	v(a, 0x3f800000_40400000, 0x3f800000_3f800000)
	a.op(0xfde4).raw(0xfd, 11, 0).raw(wb.AppendU(nil, slot())...)
	want = append(want, 0x7fc00000_40a00000, 0x7fc00000_7fc00000)

	_, trap, m := runTransformed(t, r, mustTransform(t, module(a.end())), "canister_update run", 1e6)
	if trap != "" {
		t.Fatal(trap)
	}
	for i, w := range want {
		if got, _ := m.ExportedMemory(ExportMemory).ReadUint64Le(uint32(8 * i)); got != w {
			t.Errorf("result %d: %#x, want %#x", i, got, w)
		}
	}
}

func TestImportWidths(t *testing.T) {
	m := module(new(asm).i32(0).i32(0).idx(wb.OpCall, 0).i64(0).i64(0).idx(wb.OpCall, 1).idx(wb.OpCall, 2).op(wb.OpDrop).end())
	m.Types = append(m.Types, wb.FuncType{Params: []wb.ValType{wb.I32, wb.I32}}, wb.FuncType{Params: []wb.ValType{wb.I64, wb.I64}},
		wb.FuncType{Results: []wb.ValType{wb.I64}})
	m.Imports = []wb.Import{
		{Module: "ic0", Name: "debug_print", Func: 1}, {Module: "ic0", Name: "debug_print", Func: 2}, {Module: "ic0", Name: "time", Func: 3},
	}
	m.Exports[0].Index = 3
	used, trap, _ := runTransformed(t, newRuntime(t), mustTransform(t, m), "canister_update run", 1e6)
	if trap != "" || used != 4+15+1 {
		t.Fatalf("%q after %d", trap, used)
	}
}

func TestStartAndGlobals(t *testing.T) {
	m := module(new(asm).end())
	m.Globals = []wb.Global{
		{GlobalType: wb.GlobalType{Type: wb.I32}, Init: new(asm).i32(5).end()},
		{GlobalType: wb.GlobalType{Type: wb.I64, Mutable: true}, Init: new(asm).i64(-3).end()},
		{GlobalType: wb.GlobalType{Type: wb.V128, Mutable: true}, Init: (&wb.Instr{Op: wb.OpV128Const, Imm: wb.ImmV128, Bits: 8, Bits2: 9}).Append(nil, nil)},
	}
	m.Globals[2].Init = append(m.Globals[2].Init, byte(wb.OpEnd))
	zero := uint32(0)
	m.Start = &zero
	m.Customs = []wb.Custom{{Name: "icp:public candid:service", Data: []byte("service {}")}, {Name: "producers", Data: []byte{1}}}
	m.Data = []wb.Data{{Offset: new(asm).i32(7).end(), Init: []byte("seven")}}
	res := mustTransform(t, m)
	if !res.HasStart || len(res.Globals) != 2 || res.Initial[0] != uint64(0xfffffffffffffffd) || res.Initial[1] != 8 || res.Initial[2] != 9 {
		t.Fatalf("%+v", res)
	}
	if len(res.Segments) != 1 || res.Segments[0].Offset != 7 || string(res.Segments[0].Init) != "seven" {
		t.Fatalf("%+v", res.Segments)
	}
	if len(res.Custom) != 1 || !res.Custom[0].Public || res.Custom[0].Name != "candid:service" {
		t.Fatalf("%+v", res.Custom)
	}
	_, _, mod := runTransformed(t, newRuntime(t), res, ExportStart, 10)
	ctx := context.Background()
	if _, err := mod.ExportedFunction(ExportGlobal(1)+":set").Call(ctx, 11, 12); err != nil {
		t.Fatal(err)
	}
	if got, err := mod.ExportedFunction(ExportGlobal(1) + ":get").Call(ctx); err != nil || got[0] != 11 || got[1] != 12 {
		t.Fatalf("%v, %v", got, err)
	}
}

func TestRefusals(t *testing.T) {
	ok := func() *wb.Module { return module(new(asm).end()) }
	with := func(f func(*wb.Module)) []byte { m := ok(); f(m); return m.Encode() }
	export := func(name string) []byte { return with(func(m *wb.Module) { m.Exports[0].Name = name }) }
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"not wasm":         {[]byte("#!/bin/sh"), "no wasm version 1 header"},
		"bad gzip":         {[]byte{0x1f, 0x8b, 8, 0}, "gzip"},
		"other import":     {with(func(m *wb.Module) { m.Imports = []wb.Import{{Module: "env", Name: "x"}} }), `only module "ic0"`},
		"unknown import":   {with(func(m *wb.Module) { m.Imports = []wb.Import{{Module: "ic0", Name: "x"}} }), `"ic0"."x" does not exist`},
		"import type":      {with(func(m *wb.Module) { m.Imports = []wb.Import{{Module: "ic0", Name: "time"}} }), "needs () -> (i64)"},
		"imported memory":  {with(func(m *wb.Module) { m.Imports = []wb.Import{{Module: "ic0", Name: "m", Kind: wb.KindMemory}} }), "only functions"},
		"trap import":      {with(func(m *wb.Module) { m.Imports = []wb.Import{{Module: TrapModule, Name: TrapName}} }), `only module "ic0"`},
		"huge memory64":    {with(func(m *wb.Module) { m.Memories[0] = wb.Limits{Min: MaxPages + 1, Is64: true} }), "exceeds the limit of 65535"},
		"memory64 maximum": {with(func(m *wb.Module) { m.Memories[0] = wb.Limits{Max: 1<<48 + 1, HasMax: true, Is64: true} }), "memory bounds"},
		"memory32 maximum": {with(func(m *wb.Module) { m.Memories[0] = wb.Limits{Max: 1<<16 + 1, HasMax: true} }), "memory bounds"},
		"narrow import": {with(func(m *wb.Module) {
			m.Memories[0].Is64 = true
			m.Types = append(m.Types, wb.FuncType{Params: []wb.ValType{wb.I32, wb.I32}})
			m.Imports = []wb.Import{{Module: "ic0", Name: "debug_print", Func: 1}}
		}), "32-bit pointers in a module with a 64-bit memory"},
		"two memories":     {with(func(m *wb.Module) { m.Memories = append(m.Memories, wb.Limits{}) }), "2 memories"},
		"huge memory":      {with(func(m *wb.Module) { m.Memories[0].Min = 65537 }), "exceeds the limit of 65535"},
		"huge table":       {with(func(m *wb.Module) { m.Tables = []wb.Table{{Type: wb.FuncRef, Limits: wb.Limits{Min: 1 << 30}}} }), "exceed the limit"},
		"reserved export":  {export("canister_start"), "reserved"},
		"reserved export2": {export("canister_frobnicate"), "reserved"},
		"exported twice": {with(func(m *wb.Module) {
			m.Exports = append(m.Exports, wb.Export{Name: "canister_query run"})
		}), `method "run" is exported more than once`},
		"export type": {with(func(m *wb.Module) {
			m.Types[0].Params = []wb.ValType{wb.I32}
		}), "instead of () -> ()"},
		"too many methods": {with(func(m *wb.Module) {
			for i := range 1001 {
				m.Exports = append(m.Exports, wb.Export{Name: fmt.Sprint("canister_query ", i)})
			}
		}), "1002 exported methods"},
		"long names": {export("canister_query " + strings.Repeat("x", 20_001)), "20001 bytes"},
		"too many functions": {with(func(m *wb.Module) {
			for range 50_001 {
				m.Funcs, m.Code = append(m.Funcs, 0), append(m.Code, m.Code[0])
			}
		}), "50002 functions"},
		"too many globals": {with(func(m *wb.Module) {
			for range 1001 {
				m.Globals = append(m.Globals, wb.Global{GlobalType: wb.GlobalType{Type: wb.I32}, Init: new(asm).i32(0).end()})
			}
		}), "1001 globals"},
		"long function": {with(func(m *wb.Module) {
			m.Code[0].Body = append(bytes.Repeat([]byte{byte(wb.OpNop)}, 1_000_000), byte(wb.OpEnd))
		}), "exceed the limit of 1000000"},
		"too many locals": {with(func(m *wb.Module) { m.Code[0].Locals = []wb.LocalRun{{Count: math.MaxUint32, Type: wb.I64}} }), "exceed the limit of 50000"},
		"complex": {with(func(m *wb.Module) {
			m.Code[0].Locals = []wb.LocalRun{{Count: 50_000, Type: wb.I64}}
			m.Code[0].Body = append(bytes.Repeat([]byte{byte(wb.OpBlock), 0x40, byte(wb.OpEnd)}, 300), byte(wb.OpEnd))
		}), "too complex"},
		"blocks": {with(func(m *wb.Module) {
			m.Code[0].Body = append(bytes.Repeat([]byte{byte(wb.OpBlock), 0x40, byte(wb.OpEnd)}, 20_000), byte(wb.OpEnd))
		}), "too complex"},
		"nested loops": {with(func(m *wb.Module) {
			m.Code[0].Body = append(bytes.Repeat([]byte{byte(wb.OpLoop), 0x40}, 501), bytes.Repeat([]byte{byte(wb.OpEnd)}, 502)...)
		}), "more than 500 nested loops"},
		"our meter": {with(func(m *wb.Module) { m.Code[0].Body = new(asm).idx(wb.OpGlobalGet, 0).op(wb.OpDrop).end() }), "unknown global 0"},
		"our trap":  {with(func(m *wb.Module) { m.Code[0].Body = new(asm).idx(wb.OpCall, 1).end() }), "unknown function 1"},
		"our local": {with(func(m *wb.Module) {
			m.Code[0].Body = new(asm).idx(wb.OpLocalGet, 0).op(wb.OpDrop).end()
		}), "unknown local 0"},
		"our block": {with(func(m *wb.Module) { m.Code[0].Body = new(asm).idx(wb.OpBr, 1).end() }), "unknown label 1"},
		"our type": {with(func(m *wb.Module) {
			m.Code[0].Body = new(asm).block(wb.OpBlock, 1).op(wb.OpEnd).end()
		}), "unknown type 1"},
		"data out of bounds": {with(func(m *wb.Module) {
			m.Data = []wb.Data{{Offset: new(asm).i32(65535).end(), Init: []byte("xy")}}
		}), "beyond the initial memory"},
		"elements out of bounds": {with(func(m *wb.Module) {
			m.Tables = []wb.Table{{Type: wb.FuncRef}}
			m.Elements = []wb.Element{{Type: wb.FuncRef, Offset: new(asm).i32(0).end(), Funcs: []uint32{0}}}
		}), "beyond the table"},
		"reference global": {with(func(m *wb.Module) {
			m.Globals = []wb.Global{{GlobalType: wb.GlobalType{Type: wb.FuncRef, Mutable: true}, Init: new(asm).idx(wb.OpRefFunc, 0).end()}}
		}), "mutable funcref"},
		"icp section twice": {with(func(m *wb.Module) {
			m.Customs = []wb.Custom{{Name: "icp:public a"}, {Name: "icp:private a"}}
		}), "appears twice"},
		"big icp section": {with(func(m *wb.Module) { m.Customs = []wb.Custom{{Name: "icp:public a", Data: make([]byte, 1<<20)}} }), "exceed"},
	} {
		_, err := Transform(c.b, Options{Host: testHost})
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestGzip(t *testing.T) {
	src := module(new(asm).end()).Encode()
	pack := func(b []byte) []byte {
		var buf bytes.Buffer
		z := gzip.NewWriter(&buf)
		z.Write(b)
		z.Close()
		return buf.Bytes()
	}
	a, err := Transform(src, Options{Host: testHost})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Transform(pack(src), Options{Host: testHost})
	if err != nil || !bytes.Equal(a.Wasm, b.Wasm) || !bytes.Equal(b.Source, src) {
		t.Fatalf("gzip changes the result: %v", err)
	}
	if _, err := Transform(pack(make([]byte, 5<<20)), Options{Limits: Limits{ModuleBytes: 4 << 20}}); err == nil ||
		!strings.Contains(err.Error(), "after decompression") {
		t.Fatalf("a bomb was unpacked: %v", err)
	}
}

// FuzzTransform holds three things: no panic, a result that compiles exactly when the original does, and the same
// output for the same input.
func FuzzTransform(f *testing.F) {
	for seed := range int64(8) {
		f.Add(wasmgen.Program(seed, wasmgen.Options{SIMD: seed&1 != 0, Memory64: seed&2 != 0, Table64: seed&4 != 0}).Encode())
	}
	f.Add(module(new(asm).end()).Encode())
	ctx := context.Background()
	r := newRuntime(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		res, err := Transform(b, Options{Host: testHost})
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("error is not ErrInvalid: %v", err)
			}
			return
		}
		again, err := Transform(b, Options{Host: testHost})
		if err != nil || !bytes.Equal(res.Wasm, again.Wasm) {
			t.Fatalf("not deterministic: %v", err)
		}
		if m, err := wb.Parse(res.Source); err != nil {
			t.Fatal(err)
		} else if slices.ContainsFunc(m.Memories, func(l wb.Limits) bool { return l.Is64 }) ||
			slices.ContainsFunc(m.Tables, func(t wb.Table) bool { return t.Limits.Is64 }) {
			return // the engine cannot compile the original
		}
		orig, errOrig := r.CompileModule(ctx, res.Source)
		if errOrig == nil {
			orig.Close(ctx)
		}
		mod, errMod := r.CompileModule(ctx, res.Wasm)
		if errMod == nil {
			mod.Close(ctx)
		}
		if (errOrig == nil) != (errMod == nil) {
			t.Fatalf("original: %v\ntransformed: %v", errOrig, errMod)
		}
	})
}

func BenchmarkTransform(b *testing.B) {
	m := wasmgen.Program(1, wasmgen.Options{})
	for n := len(m.Code) - 2; len(m.Code) < 5000; {
		for i := range n {
			m.Funcs, m.Code = append(m.Funcs, 1), append(m.Code, m.Code[1+i])
		}
	}
	src := m.Encode()
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		if _, err := Transform(src, Options{Host: testHost}); err != nil {
			b.Fatal(err)
		}
	}
}
