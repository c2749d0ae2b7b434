package transform

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	wb "fusion/internal/wasmbin"
)

// TestAcceptedFeatures has a minimal module for each extension of the first version of wasm that canisters may use. It leaves a
// number at address 0, which tells that it was not only accepted.
func TestAcceptedFeatures(t *testing.T) {
	r := newRuntime(t)
	one, two := []wb.ValType{wb.I64}, []wb.ValType{wb.I64, wb.I64}
	store := func(value *asm) []byte { return new(asm).i32(0).raw(value.b...).mem(wb.OpI64Store, 0).end() }
	plain := func(value *asm) *wb.Module { return module(store(value), wb.LocalRun{Count: 2, Type: wb.I64}) }
	f64 := func(bits uint64) *asm {
		return &asm{(&wb.Instr{Op: wb.OpF64Const, Imm: wb.ImmF64, Bits: bits}).Append(nil, nil)}
	}
	for _, c := range []struct {
		name string
		m    func() *wb.Module
		want uint64
	}{
		{"sign extension", func() *wb.Module { return plain(new(asm).i64(0x80).op(0xc2).i64(0x100).op(wb.OpI64Add)) }, 0x80},
		{"saturating float to integer", func() *wb.Module { return plain(f64(0x7ff8000000000000).op(0xfc06).i64(5).op(wb.OpI64Add)) }, 5},
		{"multiple values", func() *wb.Module {
			m := plain(new(asm).idx(wb.OpCall, 1).op(wb.OpI64Sub))
			m.AddFunc(wb.FuncType{Results: two}, wb.Code{Body: new(asm).i64(9).i64(2).end()})
			return m
		}, 7},
		{"multiple values of a block", func() *wb.Module {
			m := plain(new(asm).i64(3).block(wb.OpBlock, 1).i64(4).op(wb.OpEnd, wb.OpI64Mul))
			m.Types = append(m.Types, wb.FuncType{Params: one, Results: two})
			return m
		}, 12},
		{"mutable globals", func() *wb.Module {
			m := plain(new(asm).i64(5).idx(wb.OpGlobalSet, 0).idx(wb.OpGlobalGet, 0))
			m.Globals = []wb.Global{{GlobalType: wb.GlobalType{Type: wb.I64, Mutable: true}, Init: new(asm).i64(1).end()}}
			m.Exports = append(m.Exports, wb.Export{Name: "counter", Kind: wb.KindGlobal})
			return m
		}, 5},
		{"bulk memory", func() *wb.Module {
			m := module(new(asm).i32(100).i32(0x11).i32(8).op(wb.OpMemoryFill).raw(0).
				i32(102).i32(0).i32(2).op(wb.OpMemoryInit).raw(0, 0).i32(0).idx(wb.OpDataDrop, 0).
				i32(100).i32(8).op(wb.OpMemoryCopy).raw(0, 0).end())
			n := uint32(1)
			m.Data, m.DataCount = []wb.Data{{Mode: wb.Passive, Init: []byte{0xaa, 0xbb}}}, &n
			return m
		}, 0x11111111bbaa1111},
		{"reference types and several tables", func() *wb.Module {
			m := plain(new(asm).i32(1).idx(wb.OpRefFunc, 1).idx(wb.OpTableSet, 1).i32(0).idx(wb.OpTableGet, 0).op(wb.OpRefIsNull, wb.OpI64ExtendI32U).
				i32(1).raw(byte(wb.OpCallIndirect), 1, 1).op(wb.OpI64Add))
			m.Types = append(m.Types, wb.FuncType{Results: one})
			m.AddFunc(m.Types[1], wb.Code{Body: new(asm).i64(41).end()})
			m.Tables = []wb.Table{{Type: wb.ExternRef, Limits: wb.Limits{Min: 1}}, {Type: wb.FuncRef, Limits: wb.Limits{Min: 2}}}
			m.Elements = []wb.Element{{Mode: wb.Declarative, Type: wb.FuncRef, Funcs: []uint32{1}}}
			return m
		}, 42},
		{"bulk table instructions", func() *wb.Module {
			m := plain(new(asm).raw(0xd0, 0x70).i32(2).op(wb.OpTableGrow).raw(0).op(wb.OpI64ExtendI32U).
				i32(0).i32(0).i32(1).op(wb.OpTableInit).raw(0, 0).i32(1).i32(0).i32(1).op(wb.OpTableCopy).raw(0, 0).
				i32(2).raw(0xd0, 0x70).i32(1).op(wb.OpTableFill).raw(0).idx(wb.OpElemDrop, 0).
				op(wb.OpTableSize).raw(0).op(wb.OpI64ExtendI32U, wb.OpI64Add))
			m.Tables = []wb.Table{{Type: wb.FuncRef, Limits: wb.Limits{Min: 1, Max: 5, HasMax: true}}}
			m.Elements = []wb.Element{{Mode: wb.Passive, Type: wb.FuncRef, Exprs: [][]byte{new(asm).idx(wb.OpRefFunc, 0).end()}}}
			return m
		}, 4},
		{"typed select", func() *wb.Module {
			return plain(new(asm).i64(1).i64(2).i32(0).raw(byte(wb.OpSelectT), 1, byte(wb.I64)))
		}, 2},
		{"fixed-width SIMD", func() *wb.Module {
			return plain(new(asm).i64(3).op(wb.OpI64x2Splat).i64(4).op(wb.OpI64x2Splat, 0xfdce).op(wb.OpI64x2ExtractLane).raw(1))
		}, 7},
		{"tail calls", func() *wb.Module {
			m := plain(new(asm).i64(10).idx(wb.OpCall, 1))
			m.AddFunc(wb.FuncType{Params: one, Results: one}, wb.Code{Body: new(asm).idx(wb.OpLocalGet, 0).i64(1).op(wb.OpI64Add).
				i32(0).raw(byte(wb.OpReturnCallIndirect), 1, 0).end()})
			m.AddFunc(wb.FuncType{Params: one, Results: one}, wb.Code{Body: new(asm).idx(wb.OpLocalGet, 0).idx(wb.OpReturnCall, 3).end()})
			m.AddFunc(wb.FuncType{Params: one, Results: one}, wb.Code{Body: new(asm).idx(wb.OpLocalGet, 0).i64(2).op(wb.OpI64Mul).end()})
			m.Tables = []wb.Table{{Type: wb.FuncRef, Limits: wb.Limits{Min: 1}}}
			m.Elements = []wb.Element{{Type: wb.FuncRef, Offset: new(asm).i32(0).end(), Funcs: []uint32{2}}}
			return m
		}, 22},
		{"memory64", func() *wb.Module {
			m := wideModule(new(asm).i64(0).i64(1).op(wb.OpMemoryGrow).raw(0).op(wb.OpMemorySize).raw(0).op(wb.OpI64Add).mem(wb.OpI64Store, 0).end())
			return m
		}, 3},
		{"table64", func() *wb.Module {
			m := plain(new(asm).op(wb.OpTableSize).raw(0))
			m.Tables = []wb.Table{{Type: wb.FuncRef, Limits: wb.Limits{Min: 6, Is64: true}}}
			return m
		}, 6},
		{"names, producers and other custom sections", func() *wb.Module {
			m := plain(new(asm).i64(8))
			m.Customs = []wb.Custom{{Name: "name", Data: []byte{0, 2, 1, 'x'}}, {Name: "producers", Data: []byte{0}}, {Name: "target_features"},
				{Name: "metadata.code.branch_hint", Data: []byte{0}}}
			return m
		}, 8},
	} {
		_, trap, inst := runTransformed(t, r, mustTransform(t, c.m()), "canister_update run", 1e6)
		b, _ := inst.ExportedMemory(ExportMemory).Read(0, 8)
		if got := binary.LittleEndian.Uint64(b); trap != "" || got != c.want {
			t.Errorf("%s: trap %q, %#x, want %#x", c.name, trap, got, c.want)
		}
		inst.Close(context.Background())
	}
}

// section returns a module that consists of the type () -> (), one function with an empty body, and this section, which may
// replace one of those.
func section(id byte, body ...byte) []byte {
	sections := map[byte][]byte{1: {1, 0x60, 0, 0}, 3: {1, 0}, 10: {1, 2, 0, 0x0b}}
	sections[id] = body
	b := []byte{0, 'a', 's', 'm', 1, 0, 0, 0}
	for _, id := range slices.Sorted(maps.Keys(sections)) {
		b = append(append(b, id, byte(len(sections[id]))), sections[id]...)
	}
	return b
}

// TestRefusedFeatures: modules of other extensions are refused with a reason that names the extension.
func TestRefusedFeatures(t *testing.T) {
	code := func(b ...byte) []byte {
		return section(10, append([]byte{1, byte(len(b) + 2), 0}, append(b, 0x0b)...)...)
	}
	encoded := func(f func(m *wb.Module)) []byte { m := module(new(asm).end()); f(m); return m.Encode() }
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"component model", []byte{0, 'a', 's', 'm', 0x0d, 0, 1, 0}, "unsupported feature: this is a component and not a module"},
		{"threads, shared memory", section(5, 1, 3, 1, 1), "limits flags 0x3 (threads)"},
		{"threads, atomic.fence", code(0xfe, 3, 0), "unknown opcode 0xfe (threads)"},
		{"threads, i32.atomic.load", code(0x41, 0, 0xfe, 0x10, 2, 0, 0x1a), "unknown opcode 0xfe (threads)"},
		{"exceptions, tags", section(13, 1, 0, 0), "section id 13 at offset 0x18 (exceptions)"},
		{"exceptions, throw", code(0x08, 0), "unknown opcode 0x8 (exceptions)"},
		{"exceptions, throw_ref", code(0x0a), "unknown opcode 0xa (exceptions)"},
		{"exceptions, try_table", code(0x1f, 0x40, 0, 0x0b), "unknown opcode 0x1f (exceptions)"},
		{"exceptions, try of the first draft", code(0x06, 0x40, 0x19, 0x0b), "unknown opcode 0x6 (exceptions)"},
		{"exceptions, exnref", section(1, 1, 0x60, 1, 0x69, 0), "parameter type 0x69 (exceptions)"},
		{"exceptions, imported tag", section(2, 1, 0, 0, 4, 0, 0), "import kind 4 (exceptions)"},
		{"exceptions, exported tag", section(7, 1, 0, 4, 0), "export kind 4 (exceptions)"},
		{"garbage collection, struct", section(1, 1, 0x5f, 1, 0x7f, 0), "type form 0x5f (garbage collection)"},
		{"garbage collection, array", section(1, 1, 0x5e, 0x7f, 0), "type form 0x5e (garbage collection)"},
		{"garbage collection, recursive types", section(1, 1, 0x4e, 1, 0x60, 0, 0), "type form 0x4e (garbage collection)"},
		{"garbage collection, struct.new", code(0xfb, 0, 0, 0x1a), "unknown opcode 0xfb (garbage collection)"},
		{"garbage collection, ref.eq", code(0xd3), "unknown opcode 0xd3 (garbage collection)"},
		{"garbage collection, anyref", section(1, 1, 0x60, 0, 1, 0x6e), "result type 0x6e (garbage collection)"},
		{"garbage collection, ref.null any", code(0xd0, 0x6e, 0x1a), "reference type 0x6e (garbage collection)"},
		{"function references, call_ref", code(0x14, 0), "unknown opcode 0x14 (typed function references)"},
		{"function references, ref type", section(1, 1, 0x60, 1, 0x64, 0, 0), "parameter type 0x64 (typed function references)"},
		{"function references, table with a value", section(4, 1, 0x40, 0, 0x70, 0, 0, 0xd0, 0x70, 0x0b), "element type 0x40 (typed function references)"},
		{"function references, block type", code(0x02, 0x63, 0x70, 0x0b), "block type -29 (typed function references)"},
		{"relaxed SIMD", code(0xfd, 0x80, 2), "opcode 0xfd 0x100 (relaxed SIMD)"},
		{"wide arithmetic", code(0xfc, 0x13), "opcode 0xfc13 (wide arithmetic)"},
		{"stack switching", code(0xe2, 0, 0), "unknown opcode 0xe2 (stack switching)"},
		{"several memories", section(5, 2, 0, 1, 0, 1), "2 memories; only one is supported"},
		{"several memories, load", code(0x41, 0, 0x28, 0x42, 1, 0, 0x1a), "alignment 2^66 (several memories)"},
		{"several memories, memory.size", code(0x3f, 1, 0x1a), "memory 1 (several memories)"},
		{"custom page sizes", section(5, 1, 8, 1, 0), "limits flags 0x8 (custom page sizes)"},
		{"extended constant expressions", encoded(func(m *wb.Module) {
			m.Globals = []wb.Global{{GlobalType: wb.GlobalType{Type: wb.I32}, Init: new(asm).i32(1).i32(2).op(wb.OpI32Add).end()}}
		}), "initial value of global 0 must be a single constant; extended constant expressions are not supported"},
		{"imported memory", encoded(func(m *wb.Module) {
			m.Memories, m.Imports = nil, []wb.Import{{Module: "env", Name: "memory", Kind: wb.KindMemory}}
		}), `import "env"."memory" is a memory; only functions can be imported`},
		{"imported table", encoded(func(m *wb.Module) {
			m.Imports = []wb.Import{{Module: "env", Name: "t", Kind: wb.KindTable, Table: wb.Table{Type: wb.FuncRef}}}
		}), `import "env"."t" is a table; only functions can be imported`},
		{"imported global", encoded(func(m *wb.Module) {
			m.Imports = []wb.Import{{Module: "env", Name: "g", Kind: wb.KindGlobal, Global: wb.GlobalType{Type: wb.I32}}}
		}), `import "env"."g" is a global; only functions can be imported`},
		{"WASI", encoded(func(m *wb.Module) {
			m.Imports = []wb.Import{{Module: "wasi_snapshot_preview1", Name: "sched_yield"}}
			m.Exports[0].Index = 1
		}), `import "wasi_snapshot_preview1"."sched_yield": only module "ic0" exists`},
		{"string builtins", encoded(func(m *wb.Module) {
			m.Imports = []wb.Import{{Module: "wasm:js-string", Name: "length"}}
			m.Exports[0].Index = 1
		}), `import "wasm:js-string"."length": only module "ic0" exists`},
		{"mutable global of references", encoded(func(m *wb.Module) {
			m.Globals = []wb.Global{{GlobalType: wb.GlobalType{Type: wb.ExternRef, Mutable: true}, Init: []byte{0xd0, 0x6f, 0x0b}}}
		}), "global 0 is a mutable externref, which cannot be kept between messages"},
	} {
		_, err := Transform(c.b, Options{Host: testHost})
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// limitCase makes a module that has n of something.
type limitCase struct {
	name  string
	limit int
	make  func(n int) []byte
	want  string // of the error for one more than the limit
}

// TestLimits: each limit is accepted, and one more is refused with a reason that names the limit and the value.
func TestLimits(t *testing.T) {
	with := func(f func(m *wb.Module, n int)) func(int) []byte {
		return func(n int) []byte { m := module(new(asm).end()); f(m, n); return m.Encode() }
	}
	nops := func(n int) []byte { return append(bytes.Repeat([]byte{byte(wb.OpNop)}, n-1), byte(wb.OpEnd)) }
	i32 := wb.GlobalType{Type: wb.I32}
	zero := new(asm).i32(0).end()
	// total is the size of a module of nothing but one custom section.
	filled := func(n int) []byte {
		m := module(new(asm).end())
		m.Customs = []wb.Custom{{Name: "x", Data: make([]byte, n-200)}}
		b := m.Encode()
		m.Customs[0].Data = make([]byte, n-200+n-len(b))
		return m.Encode()
	}
	cases := []limitCase{
		{"module size", 100 << 20, filled, "104857601 bytes exceed the limit of 104857600"},
		{"code size", 10 << 20, with(func(m *wb.Module, n int) {
			m.Funcs, m.Code = make([]uint32, 16), make([]wb.Code, 16)
			for i := range m.Code {
				m.Code[i].Body = nops(n / 16)
			}
			m.Code[0].Body = nops(n/16 + n%16)
		}), "10485761 bytes of code exceed the limit of 10485760"},
		{"function size", 1_000_000, with(func(m *wb.Module, n int) { m.Code[0].Body = nops(n) }), "function 0: 1000001 bytes exceed the limit of 1000000"},
		{"functions", 50_000, with(func(m *wb.Module, n int) {
			m.Funcs, m.Code = make([]uint32, n), make([]wb.Code, n)
			for i := range m.Code {
				m.Code[i].Body = nops(1)
			}
		}), "50001 functions exceed the limit of 50000"},
		{"globals", 1_000, with(func(m *wb.Module, n int) {
			for range n {
				m.Globals = append(m.Globals, wb.Global{GlobalType: i32, Init: zero})
			}
		}), "1001 globals exceed the limit of 1000"},
		{"methods", 1_000, with(func(m *wb.Module, n int) {
			m.Exports = nil
			for i := range n {
				kind := []string{"update", "query", "composite_query"}[i%3]
				m.Exports = append(m.Exports, wb.Export{Name: fmt.Sprintf("canister_%s %d", kind, i), Kind: wb.KindFunc})
			}
		}), "1001 exported methods exceed the limit of 1000"},
		{"names of methods", 20_000, with(func(m *wb.Module, n int) {
			m.Exports = []wb.Export{{Name: "canister_query " + strings.Repeat("x", 10_000)}, {Name: "canister_update " + strings.Repeat("y", n-10_000)}}
		}), "method names of 20001 bytes exceed the limit of 20000"},
		{"metadata sections", 16, with(func(m *wb.Module, n int) {
			for i := range n {
				m.Customs = append(m.Customs, wb.Custom{Name: fmt.Sprint("icp:public ", i)})
			}
		}), "17 icp custom sections exceed the limit of 16"},
		{"metadata size", 1 << 20, with(func(m *wb.Module, n int) {
			m.Customs = []wb.Custom{{Name: "icp:private half", Data: make([]byte, n/2)}, {Name: "icp:public rest", Data: make([]byte, n-n/2-8)}}
		}), "1048577 bytes of icp custom sections exceed the limit of 1048576"},
		{"custom sections", 10_000, with(func(m *wb.Module, n int) { m.Customs = make([]wb.Custom, n) }), "10001 custom sections exceed 10000"},
		{"imports", 100_000, with(func(m *wb.Module, n int) {
			m.Imports = make([]wb.Import, n)
			for i := range m.Imports {
				m.Imports[i] = wb.Import{Module: "ic0", Name: "msg_reply"}
			}
		}), "100001 imports exceed 100000"},
		{"exports", 100_000, with(func(m *wb.Module, n int) {
			m.Exports = make([]wb.Export, n)
			for i := range m.Exports {
				m.Exports[i].Name = fmt.Sprint(i)
			}
		}), "100001 exports exceed 100000"},
		{"types", 100_000, with(func(m *wb.Module, n int) { m.Types = make([]wb.FuncType, n) }), "100001 types exceed 100000"},
		{"parameters", 1_000, with(func(m *wb.Module, n int) {
			m.Types = append(m.Types, wb.FuncType{Params: bytes2types(n)})
		}), "type 1: 1001 parameters or results exceed the limit of 1000"},
		{"results", 1_000, with(func(m *wb.Module, n int) {
			m.Types = append(m.Types, wb.FuncType{Results: bytes2types(n)})
		}), "type 1: 1001 parameters or results exceed the limit of 1000"},
		{"locals", 50_000, with(func(m *wb.Module, n int) {
			m.Types[0].Params = nil
			m.Code[0].Locals = []wb.LocalRun{{Count: uint32(n), Type: wb.I64}}
		}), "function 0: 50001 parameters and locals exceed the limit of 50000"},
		{"complexity of a function", 2_000_000, with(func(m *wb.Module, n int) { m.Code[0] = complexBody(n) }),
			"too complex to compile: 2000064 exceeds the limit of 2000000"},
		{"complexity of a module", 12_000_000, with(func(m *wb.Module, n int) {
			m.Funcs, m.Code = nil, nil
			for ; n > 0; n -= 2_000_000 {
				m.Funcs, m.Code = append(m.Funcs, 0), append(m.Code, complexBody(min(n, 2_000_000)))
			}
		}), "the module up to here is too complex to compile: 12000064 exceeds the limit of 12000000"},
		{"work of a function", 2_000_000, with(func(m *wb.Module, n int) { m.Code[0] = laborious(n) }),
			"function 0: invalid wasm module: too much work to compile: 2000001 exceeds the limit of 2000000"},
		{"work of a module", 30_000_000, with(func(m *wb.Module, n int) {
			m.Funcs, m.Code = nil, nil
			for ; n > 0; n -= 1_500_000 {
				m.Funcs, m.Code = append(m.Funcs, 0), append(m.Code, laborious(max(5, min(n, 1_500_000))))
			}
		}), "the module up to here is too much work to compile: 30000005 exceeds the limit of 30000000"},
		{"nested loops", 500, with(func(m *wb.Module, n int) {
			m.Code[0].Body = append(bytes.Repeat([]byte{byte(wb.OpLoop), 0x40}, n), bytes.Repeat([]byte{byte(wb.OpEnd)}, n+1)...)
		}), "more than 500 nested loops"},
		{"tables", 100, with(func(m *wb.Module, n int) {
			m.Tables = make([]wb.Table, n)
			for i := range m.Tables {
				m.Tables[i].Type = wb.FuncRef
			}
		}), "101 tables exceed the limit of 100"},
		{"table elements", 1_000_000, with(func(m *wb.Module, n int) {
			m.Tables = []wb.Table{{Type: wb.FuncRef, Limits: wb.Limits{Min: 7}}, {Type: wb.FuncRef, Limits: wb.Limits{Min: uint64(n) - 7}}}
		}), "tables of 1000001 elements exceed the limit of 1000000"},
		{"element segments", 100_000, with(func(m *wb.Module, n int) {
			m.Elements = make([]wb.Element, n)
			for i := range m.Elements {
				m.Elements[i] = wb.Element{Mode: wb.Passive, Type: wb.FuncRef}
			}
		}), "100001 element segments exceed 100000"},
		{"element items", 2_000_000, with(func(m *wb.Module, n int) {
			m.Elements = []wb.Element{{Mode: wb.Passive, Type: wb.FuncRef, Funcs: make([]uint32, n/2)}, {Mode: wb.Passive, Type: wb.FuncRef, Funcs: make([]uint32, n-n/2)}}
		}), "2000001 element items exceed 2000000"},
		{"data segments", 100_000, with(func(m *wb.Module, n int) {
			m.Data = make([]wb.Data, n)
			for i := range m.Data {
				m.Data[i].Offset = zero
			}
		}), "100001 data segments exceed 100000"},
		{"memory", MaxPages, with(func(m *wb.Module, n int) { m.Memories[0].Min = uint64(n) }), "memory of 65536 pages exceeds the limit of 65535"},
		{"memory64", MaxPages, with(func(m *wb.Module, n int) { m.Memories[0] = wb.Limits{Min: uint64(n), Is64: true} }), "memory of 65536 pages exceeds the limit of 65535"},
		{"memories", 1, with(func(m *wb.Module, n int) { m.Memories = make([]wb.Limits, n) }), "2 memories; only one is supported"},
	}
	for _, c := range cases {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			if _, err := Transform(c.make(c.limit), Options{Host: testHost}); err != nil {
				t.Errorf("%d: %v", c.limit, err)
			}
			_, err := Transform(c.make(c.limit+1), Options{Host: testHost})
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%d: got %v, want %q", c.limit+1, err, c.want)
			}
		})
	}
}

func bytes2types(n int) []wb.ValType {
	out := make([]wb.ValType, n)
	for i := range out {
		out[i] = wb.I32
	}
	return out
}

// complexBody is a function of complexity n, or a little less: blocks × (locals + blocks/64).
func complexBody(n int) wb.Code {
	const blocks = 64
	return wb.Code{
		Locals: []wb.LocalRun{{Count: uint32((n+blocks-1)/blocks - 1), Type: wb.I32}},
		Body:   append(bytes.Repeat([]byte{byte(wb.OpBlock), 0x40, byte(wb.OpEnd)}, blocks), byte(wb.OpEnd)),
	}
}

// laborious is a function that takes n units of the compiler's work, at least 5.
func laborious(n int) wb.Code {
	k := (n - 5) / 11
	a := new(asm).idx(wb.OpLocalGet, 0)
	a.raw(bytes.Repeat(new(asm).idx(wb.OpLocalGet, 1).op(0x6d).b, k)...)
	a.raw(bytes.Repeat([]byte{byte(wb.OpNop)}, n-5-11*k)...)
	return wb.Code{Locals: []wb.LocalRun{{Count: 2, Type: wb.I32}}, Body: a.op(wb.OpDrop).end()}
}
