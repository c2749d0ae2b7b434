package transform

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	wb "fusion/internal/wasmbin"
)

// wideModule is module with a 64-bit memory of one page.
func wideModule(body []byte, locals ...wb.LocalRun) *wb.Module {
	m := module(body, locals...)
	m.Memories[0] = wb.Limits{Min: 1, Is64: true}
	return m
}

// access is a load or store instruction: its width in bytes and, for a store, the type of what it writes.
type access struct {
	op    wb.Op
	width uint64
	load  wb.ValType
	store wb.ValType
	lane  bool // takes a vector, and a lane number behind the offset
}

var accesses = []access{
	{0x28, 4, wb.I32, 0, false}, {0x29, 8, wb.I64, 0, false}, {0x2a, 4, wb.F32, 0, false}, {0x2b, 8, wb.F64, 0, false},
	{0x2c, 1, wb.I32, 0, false}, {0x2d, 1, wb.I32, 0, false}, {0x2e, 2, wb.I32, 0, false}, {0x2f, 2, wb.I32, 0, false},
	{0x30, 1, wb.I64, 0, false}, {0x31, 1, wb.I64, 0, false}, {0x32, 2, wb.I64, 0, false}, {0x33, 2, wb.I64, 0, false},
	{0x34, 4, wb.I64, 0, false}, {0x35, 4, wb.I64, 0, false},
	{0x36, 4, 0, wb.I32, false}, {0x37, 8, 0, wb.I64, false}, {0x38, 4, 0, wb.F32, false}, {0x39, 8, 0, wb.F64, false},
	{0x3a, 1, 0, wb.I32, false}, {0x3b, 2, 0, wb.I32, false}, {0x3c, 1, 0, wb.I64, false}, {0x3d, 2, 0, wb.I64, false},
	{0x3e, 4, 0, wb.I64, false},
	{0xfd00, 16, wb.V128, 0, false}, {0xfd01, 8, wb.V128, 0, false}, {0xfd02, 8, wb.V128, 0, false}, {0xfd03, 8, wb.V128, 0, false},
	{0xfd04, 8, wb.V128, 0, false}, {0xfd05, 8, wb.V128, 0, false}, {0xfd06, 8, wb.V128, 0, false}, {0xfd07, 1, wb.V128, 0, false},
	{0xfd08, 2, wb.V128, 0, false}, {0xfd09, 4, wb.V128, 0, false}, {0xfd0a, 8, wb.V128, 0, false},
	{0xfd0b, 16, 0, wb.V128, false},
	{0xfd54, 1, wb.V128, 0, true}, {0xfd55, 2, wb.V128, 0, true}, {0xfd56, 4, wb.V128, 0, true}, {0xfd57, 8, wb.V128, 0, true},
	{0xfd58, 1, 0, wb.V128, true}, {0xfd59, 2, 0, wb.V128, true}, {0xfd5a, 4, 0, wb.V128, true}, {0xfd5b, 8, 0, wb.V128, true},
	{0xfd5c, 4, wb.V128, 0, false}, {0xfd5d, 8, wb.V128, 0, false},
}

// konst appends a constant of a type, all of whose bytes are 0x5a.
func (a *asm) konst(v wb.ValType) *asm {
	const b = 0x5a5a5a5a5a5a5a5a
	in := map[wb.ValType]wb.Instr{
		wb.I32: {Op: wb.OpI32Const, Imm: wb.ImmI32, Bits: 0x5a5a5a5a}, wb.I64: {Op: wb.OpI64Const, Imm: wb.ImmI64, Bits: b},
		wb.F32: {Op: wb.OpF32Const, Imm: wb.ImmF32, Bits: 0x5a5a5a5a}, wb.F64: {Op: wb.OpF64Const, Imm: wb.ImmF64, Bits: b},
		wb.V128: {Op: wb.OpV128Const, Imm: wb.ImmV128, Bits: b, Bits2: b},
	}[v]
	a.b = in.Append(a.b, nil)
	return a
}

// TestWideAccess executes every load and store at addresses and offsets around every boundary, and compares memory and
// trap with arithmetic on unbounded integers.
func TestWideAccess(t *testing.T) {
	ctx, r := context.Background(), newRuntime(t)
	const size = wasmPage
	outside := 0
	for _, x := range accesses {
		offsets := []uint64{0, 1, size - x.width, size - x.width + 1, size, 1<<31 - 1, 1<<32 - x.width, 1<<32 - 1, 1 << 32, 1<<32 + 1,
			1 << 33, 1 << 63, math.MaxUint64 - size, math.MaxUint64}
		addrs := append([]uint64{1 << 31, 1<<32 - size, 1 << 40, math.MaxUint64 - 1<<32, 1<<64 - size, 1<<64 - 1<<32 - 1}, offsets...)
		for i := range addrs[:6] {
			addrs = append(addrs, addrs[i]-x.width, addrs[i]-1, addrs[i]+1)
		}
		for _, off := range offsets {
			addrs = append(addrs, -off, -off-x.width, size-off, size-off-x.width, size-off-x.width+1, 1<<32-off)
		}
		// One function per offset. The address is a parameter of an inner function, so the compiler does not know it.
		m := wideModule(nil)
		m.Types = append(m.Types, wb.FuncType{Params: []wb.ValType{wb.I64}})
		m.Funcs, m.Code, m.Exports = nil, nil, nil
		m.Globals = []wb.Global{{GlobalType: wb.GlobalType{Type: wb.I64, Mutable: true}, Init: new(asm).i64(0).end()}}
		for i, off := range offsets {
			a := new(asm).idx(wb.OpLocalGet, 0)
			switch {
			case x.lane:
				a.konst(wb.V128).mem(x.op, off).raw(0)
			case x.store != 0:
				a.konst(x.store).mem(x.op, off)
			default:
				a.mem(x.op, off)
			}
			if x.store == 0 {
				a.op(wb.OpDrop)
			}
			f := m.AddFunc(m.Types[1], wb.Code{Body: a.end()})
			outer := m.AddFunc(wb.FuncType{}, wb.Code{Body: new(asm).idx(wb.OpGlobalGet, 0).idx(wb.OpCall, f).end()})
			m.Exports = append(m.Exports, wb.Export{Name: fmt.Sprint("canister_update ", i), Kind: wb.KindFunc, Index: outer})
		}
		res := mustTransform(t, m)
		inst, err := r.InstantiateWithConfig(ctx, res.Wasm, wazero.NewModuleConfig().WithName(""))
		if err != nil {
			t.Fatalf("%#x: %v", x.op, err)
		}
		meter, stack := inst.ExportedGlobal(ExportMeter).(api.MutableGlobal), inst.ExportedGlobal(ExportDepth).(api.MutableGlobal)
		mem := inst.ExportedMemory(ExportMemory)
		blank := make([]byte, size)
		for i, off := range offsets {
			f := inst.ExportedFunction(fmt.Sprint("canister_update ", i))
			for _, addr := range addrs {
				meter.Set(1000)
				stack.Set(uint64(res.StackSlots))
				inst.ExportedGlobal(ExportGlobal(0)).(api.MutableGlobal).Set(addr)
				_, err := f.Call(ctx)
				end := new(big.Int).Add(new(big.Int).SetUint64(addr), new(big.Int).SetUint64(off))
				end.Add(end, new(big.Int).SetUint64(x.width))
				want := ""
				if end.Cmp(big.NewInt(size)) > 0 {
					want, outside = "out of bounds memory access", outside+1
				}
				if got := trapOf(err); got != want {
					t.Fatalf("%#x at %#x + %#x: %q, want %q", x.op, addr, off, got, want)
				}
				all, _ := mem.Read(0, size)
				if want == "" && x.store != 0 {
					for _, b := range all[addr+off : addr+off+x.width] {
						if b != 0x5a {
							t.Fatalf("%#x at %#x + %#x did not write", x.op, addr, off)
						}
					}
					clear(all[addr+off : addr+off+x.width])
				}
				if string(all) != string(blank) {
					t.Fatalf("%#x at %#x + %#x wrote elsewhere", x.op, addr, off)
				}
			}
		}
		inst.Close(ctx)
	}
	if outside < 10_000 {
		t.Fatalf("only %d accesses were out of bounds", outside)
	}
}

const wasmPage = 65536

// wideCase is a body that leaves one i64 on the stack, which ends up at address 0, or a trap.
type wideCase struct {
	name string
	body *asm
	want int64
	trap string
}

// TestWideInstructions covers the instructions beside loads and stores. Arguments are both constants, which take a
// shorter lowering, and hidden in a local.
func TestWideInstructions(t *testing.T) {
	const oob, table = "out of bounds memory access", "invalid table access"
	i64 := func(v ...int64) *asm {
		a := new(asm)
		for _, x := range v {
			a.i64(x)
		}
		return a
	}
	hidden := func(v ...int64) *asm { // through locals, so that nothing is known of them
		a := new(asm)
		for i, x := range v {
			a.i64(x).idx(wb.OpLocalSet, uint32(i))
		}
		for i := range v {
			a.idx(wb.OpLocalGet, uint32(i))
		}
		return a
	}
	var cases []wideCase
	for _, push := range []func(...int64) *asm{i64, hidden} {
		size := func(a *asm) *asm { return a.op(wb.OpMemorySize).raw(0) }
		grow := func(n int64) *asm { return push(n).op(wb.OpMemoryGrow).raw(0) }
		cases = append(cases,
			wideCase{"size", size(new(asm)), 1, ""},
			wideCase{"grow", size(grow(2).op(wb.OpDrop)), 3, ""},
			wideCase{"grow by nothing", grow(0), 1, ""},
			wideCase{"grow returns the old size", push(1).op(wb.OpMemoryGrow).raw(0).op(wb.OpDrop).i64(1).op(wb.OpMemoryGrow).raw(0), 2, ""},
			wideCase{"grow by 2^16", grow(1 << 16), -1, ""},
			wideCase{"grow by 2^32", grow(1 << 32), -1, ""},
			wideCase{"grow by 2^32+1", grow(1<<32 + 1), -1, ""},
			wideCase{"grow by 2^63", grow(math.MinInt64), -1, ""},
			wideCase{"grow by 2^64-1", grow(-1), -1, ""},
			wideCase{"table size", new(asm).op(wb.OpTableSize).raw(0), 4, ""},
			wideCase{"table grow", new(asm).raw(0xd0, 0x70).raw(push(3).b...).op(wb.OpTableGrow).raw(0).op(wb.OpDrop).op(wb.OpTableSize).raw(0), 7, ""},
			wideCase{"table grow too far", new(asm).raw(0xd0, 0x70).raw(push(1_000_000).b...).op(wb.OpTableGrow).raw(0), -1, ""},
			wideCase{"table grow by 2^32", new(asm).raw(0xd0, 0x70).raw(push(1 << 32).b...).op(wb.OpTableGrow).raw(0), -1, ""},
		)
		one := func(a *asm) *asm { return a.i64(1) }
		// memory.fill with (address, length), in bounds or not.
		for _, c := range []struct {
			at, n int64
			trap  string
		}{
			{0, wasmPage, ""}, {wasmPage, 0, ""}, {wasmPage + 1, 0, oob}, {1, wasmPage, oob}, {1 << 32, 0, oob}, {1 << 32, 1, oob}, {-1, 1, oob},
			{math.MinInt64, math.MinInt64, oob}, {1<<32 - 1, 0, oob}, {8, wasmPage - 8, ""},
		} {
			length := c.n
			name := fmt.Sprintf("%#x+%#x", uint64(c.at), uint64(c.n))
			cases = append(cases,
				wideCase{"fill " + name, one(push(c.at).i32(0).raw(push(length).b...).op(wb.OpMemoryFill).raw(0)), 1, c.trap},
				wideCase{"copy to " + name, one(push(c.at, 0, length).op(wb.OpMemoryCopy).raw(0, 0)), 1, c.trap},
				wideCase{"copy from " + name, one(push(0, c.at, length).op(wb.OpMemoryCopy).raw(0, 0)), 1, c.trap})
			if c.n < 1<<20 && c.n > -1 {
				init := c.trap
				if c.n > 4 && init == "" {
					init = oob // beyond the segment
				}
				cases = append(cases, wideCase{"init " + name, one(push(c.at).i32(0).i32(int32(c.n)).op(wb.OpMemoryInit).raw(0, 0)), 1, init})
			}
		}
		for _, c := range []struct {
			at, n int64
			trap  string
		}{{0, 4, ""}, {4, 0, ""}, {5, 0, table}, {1, 4, table}, {1 << 32, 0, table}, {1<<32 + 1, 1, table}, {-1, 0, table}} {
			name := fmt.Sprintf("%#x+%#x", uint64(c.at), uint64(c.n))
			cases = append(cases,
				wideCase{"table fill " + name, one(push(c.at).raw(0xd0, 0x70).raw(push(c.n).b...).op(wb.OpTableFill).raw(0)), 1, c.trap},
				wideCase{"table copy to " + name, one(push(c.at, 0, c.n).op(wb.OpTableCopy).raw(0, 0)), 1, c.trap},
				wideCase{"table copy from " + name, one(push(0, c.at, c.n).op(wb.OpTableCopy).raw(0, 0)), 1, c.trap},
				// Between tables of both widths the length is 32 bits.
				wideCase{"table copy to narrow " + name, one(new(asm).i32(0).raw(push(c.at).b...).i32(int32(c.n)).op(wb.OpTableCopy).raw(1, 0)), 1, c.trap},
				wideCase{"table copy from narrow " + name, one(push(c.at).i32(0).i32(int32(c.n)).op(wb.OpTableCopy).raw(0, 1)), 1, c.trap},
				wideCase{"table init " + name, one(push(c.at).i32(0).i32(int32(c.n)).op(wb.OpTableInit).raw(1, 0)), 1, c.trap})
		}
		for _, c := range []struct {
			at   int64
			trap string
		}{{2, ""}, {3, ""}, {0, "invalid table access"}, {4, table}, {1 << 32, table}, {1<<32 + 2, table}, {-1, table}} {
			want := int64(7)
			cases = append(cases, wideCase{fmt.Sprintf("call_indirect %d", c.at), push(c.at).raw(byte(wb.OpCallIndirect), 1, 0), want, c.trap})
			get := c.trap
			if c.at == 0 {
				get = ""
			}
			cases = append(cases,
				wideCase{fmt.Sprintf("table get %d", c.at), push(c.at).idx(wb.OpTableGet, 0).op(wb.OpRefIsNull, wb.OpI64ExtendI32U), int64(map[bool]int{true: 1}[c.at == 0]), get},
				wideCase{fmt.Sprintf("table set %d", c.at), one(push(c.at).raw(0xd0, 0x70).idx(wb.OpTableSet, 0)), 1, get})
		}
	}
	r := newRuntime(t)
	for _, c := range cases {
		m := wideModule(new(asm).i64(0).raw(c.body.b...).mem(wb.OpI64Store, 0).end(), wb.LocalRun{Count: 3, Type: wb.I64})
		m.Types = append(m.Types, wb.FuncType{Results: []wb.ValType{wb.I64}})
		m.AddFunc(m.Types[1], wb.Code{Body: new(asm).i64(7).end()})
		m.Tables = []wb.Table{{Type: wb.FuncRef, Limits: wb.Limits{Min: 4, Is64: true}}, {Type: wb.FuncRef, Limits: wb.Limits{Min: 4}}}
		m.Elements = []wb.Element{{Type: wb.FuncRef, Offset: new(asm).i64(2).end(), Funcs: []uint32{1, 1}},
			{Mode: wb.Passive, Type: wb.FuncRef, Funcs: []uint32{1, 1, 1, 1}}}
		n := uint32(1)
		m.Data, m.DataCount = []wb.Data{{Mode: wb.Passive, Init: []byte("abcd")}}, &n
		used, trap, inst := runTransformed(t, r, mustTransform(t, m), "canister_update run", 1e12)
		if trap != c.trap {
			t.Errorf("%s: trap %q, want %q", c.name, trap, c.trap)
			continue
		}
		all, _ := inst.ExportedMemory(ExportMemory).Read(0, 8)
		if got := int64(binary.LittleEndian.Uint64(all)); trap == "" && got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
		if trap == "" && used > 2e6 {
			t.Errorf("%s: costs %d", c.name, used)
		}
	}
}

// TestWideTypes: lowering must not make an ill-typed module well typed, nor the other way round.
func TestWideTypes(t *testing.T) {
	ctx, r := context.Background(), newRuntime(t)
	for _, c := range []struct {
		name string
		body []byte
		bad  bool
	}{
		{"i64 address", new(asm).i64(0).mem(wb.OpI32Load, 0).op(wb.OpDrop).end(), false},
		{"i32 address", new(asm).i32(0).mem(wb.OpI32Load, 0).op(wb.OpDrop).end(), true},
		{"i32 store address", new(asm).i32(0).i32(0).mem(wb.OpI32Store, 0).end(), true},
		{"value of another type", new(asm).i64(0).i32(0).mem(wb.OpI64Store, 0).end(), true},
		{"f32 for i32", new(asm).i64(0).konst(wb.F32).mem(wb.OpI32Store, 0).end(), true},
		{"no value", new(asm).i64(0).mem(wb.OpI64Store, 0).end(), true},
		{"size as i32", new(asm).op(wb.OpMemorySize).raw(0).op(wb.OpI32Eqz, wb.OpDrop).end(), true},
		{"size as i64", new(asm).op(wb.OpMemorySize).raw(0).op(wb.OpI64Eqz, wb.OpDrop).end(), false},
		{"grow by i32", new(asm).i32(0).op(wb.OpMemoryGrow).raw(0).op(wb.OpDrop).end(), true},
		{"fill with i32 length", new(asm).i64(0).i32(0).i32(0).op(wb.OpMemoryFill).raw(0).end(), true},
		{"fill with i64 value", new(asm).i64(0).i64(0).i64(0).op(wb.OpMemoryFill).raw(0).end(), true},
		{"init with i64 length", new(asm).i64(0).i32(0).i64(0).op(wb.OpMemoryInit).raw(0, 0).end(), true},
		{"copy with i32 source", new(asm).i64(0).i32(0).i64(0).op(wb.OpMemoryCopy).raw(0, 0).end(), true},
		{"alignment", new(asm).i64(0).raw(byte(wb.OpI32Load), 3, 0).op(wb.OpDrop).end(), true},
		{"unreachable", new(asm).op(wb.OpUnreachable).mem(wb.OpI64Store, 1<<40).op(wb.OpMemoryGrow).raw(0).op(wb.OpI64Eqz, wb.OpDrop).end(), false},
		{"unreachable with i32", new(asm).op(wb.OpUnreachable).i32(0).i64(0).mem(wb.OpI64Store, 0).end(), true},
		{"unreachable select", new(asm).op(wb.OpUnreachable, wb.OpSelect).mem(wb.OpI32Load, 0).op(wb.OpI32Eqz, wb.OpDrop).end(), false},
	} {
		m := wideModule(c.body)
		n := uint32(1)
		m.Data, m.DataCount = []wb.Data{{Mode: wb.Passive}}, &n
		compiled, err := r.CompileModule(ctx, mustTransform(t, m).Wasm)
		if (err != nil) != c.bad {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil {
			compiled.Close(ctx)
		}
	}
	// Offsets of segments have the width of what they are for.
	for name, f := range map[string]func(m *wb.Module){
		"data":     func(m *wb.Module) { m.Data = []wb.Data{{Offset: new(asm).i32(0).end()}} },
		"elements": func(m *wb.Module) { m.Elements = []wb.Element{{Type: wb.FuncRef, Offset: new(asm).i32(0).end()}} },
	} {
		m := wideModule(new(asm).end())
		m.Tables = []wb.Table{{Type: wb.FuncRef, Limits: wb.Limits{Is64: true}}}
		f(m)
		if _, err := Transform(m.Encode(), Options{Host: testHost}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "not a constant of type i64") {
			t.Errorf("%s with a 32-bit offset: %v", name, err)
		}
	}
	m := wideModule(new(asm).end())
	m.Data = []wb.Data{{Offset: new(asm).i64(-1).end(), Init: []byte("xy")}}
	if _, err := Transform(m.Encode(), Options{Host: testHost}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a segment at 2^64-1: %v", err)
	}
	// A 32-bit memory has 32-bit offsets.
	m = module(new(asm).i32(0).mem(wb.OpI32Load, 1<<32).op(wb.OpDrop).end())
	if _, err := r.CompileModule(ctx, mustTransform(t, m).Wasm); err == nil {
		t.Error("a 32-bit memory took an offset of 2^32")
	}
}
