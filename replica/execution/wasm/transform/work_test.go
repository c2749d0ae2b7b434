package transform

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	wb "fusion/internal/wasmbin"
)

// shape is a module whose code repeats something that takes the compiler long.
type shape struct {
	name string
	make func(n int) *wb.Module
	// hostile is the number of repetitions that fit in a module but must be refused, and want the reason.
	hostile int
	want    string
}

func shapes() []shape {
	get, set := func(i uint32) []byte { return wb.AppendIndex(nil, wb.OpLocalGet, i) }, func(i uint32) []byte { return wb.AppendIndex(nil, wb.OpLocalSet, i) }
	op := func(o ...wb.Op) []byte { return new(asm).op(o...).b }
	brIf := wb.AppendIndex(nil, wb.OpBrIf, 0)
	opening := func(o wb.Op) []byte { return wb.AppendBlock(nil, o, wb.BlockEmpty) }
	cat := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	rep := func(n int, parts ...[]byte) []byte { return bytes.Repeat(cat(parts...), n) }
	end := op(wb.OpEnd)
	locals := func(n uint32, t wb.ValType) wb.LocalRun { return wb.LocalRun{Count: n, Type: t} }
	thousand := bytes2types(1000)
	const work, complex = "too much work to compile", "too complex to compile"
	return []shape{
		{"branches", func(n int) *wb.Module {
			return module(cat(opening(wb.OpBlock), rep(n, get(0), brIf), end, end), locals(1, wb.I32))
		}, 12_000, complex},
		{"branches and locals", func(n int) *wb.Module {
			return module(cat(opening(wb.OpLoop), rep(n, get(0), brIf, get(500), set(7)), end, end), locals(1000, wb.I32))
		}, 2_000, complex},
		{"nested ifs", func(n int) *wb.Module {
			return module(cat(rep(n, get(0), opening(wb.OpIf)), rep(n, end), end), locals(1, wb.I32))
		}, 12_000, complex},
		{"bulk memory", func(n int) *wb.Module {
			return module(cat(rep(n, new(asm).i32(0).i32(0).i32(0).op(wb.OpMemoryFill).raw(0).b), end))
		}, 4_000, complex},
		{"table of branches", func(n int) *wb.Module {
			return module(cat(opening(wb.OpBlock), get(0), wb.AppendU(op(wb.OpBrTable), uint64(n)), make([]byte, n+1), end, end), locals(1, wb.I32))
		}, 12_000, complex},
		{"divisions", func(n int) *wb.Module {
			return module(cat(get(0), rep(n, get(1), op(0x6d)), op(wb.OpDrop), end), locals(2, wb.I32))
		}, 300_000, work},
		{"conversions", func(n int) *wb.Module {
			return module(cat(rep(n, get(0), op(0xaa, wb.OpDrop)), end), locals(1, wb.F64))
		}, 200_000, work},
		{"stores", func(n int) *wb.Module {
			return module(cat(rep(n, new(asm).i32(0).i32(0).mem(wb.OpI32Store, 9).b), end))
		}, 0, ""},
		{"loads of a 64-bit memory", func(n int) *wb.Module {
			return wideModule(cat(rep(n, get(0), new(asm).mem(wb.OpI32Load, 9).op(wb.OpDrop).b), end), locals(1, wb.I64))
		}, 0, ""},
		{"growing", func(n int) *wb.Module {
			return module(cat(rep(n, new(asm).i32(0).op(wb.OpMemoryGrow).raw(0).op(wb.OpDrop).b), end))
		}, 199_000, work},
		{"calls", func(n int) *wb.Module { return module(cat(rep(n, wb.AppendIndex(nil, wb.OpCall, 0)), end)) }, 450_000, work},
		{"indirect calls", func(n int) *wb.Module {
			m := module(cat(rep(n, new(asm).i32(0).raw(byte(wb.OpCallIndirect), 0, 0).b), end))
			m.Tables = []wb.Table{{Type: wb.FuncRef, Limits: wb.Limits{Min: 1}}}
			return m
		}, 199_000, work},
		{"values of calls", func(n int) *wb.Module {
			m := module(cat(rep(n, wb.AppendIndex(nil, wb.OpCall, 1), wb.AppendIndex(nil, wb.OpCall, 2)), end))
			m.AddFunc(wb.FuncType{Results: thousand}, wb.Code{Body: cat(rep(1000, new(asm).i32(0).b), end)})
			m.AddFunc(wb.FuncType{Params: thousand}, wb.Code{Body: end})
			return m
		}, 1_000, work},
		{"values of branches", func(n int) *wb.Module {
			m := module(cat(rep(1000, new(asm).i32(0).b), wb.AppendBlock(nil, wb.OpBlock, 1), rep(n, get(0), brIf), end, rep(1000, op(wb.OpDrop)), end),
				locals(1, wb.I32))
			m.Types = append(m.Types, wb.FuncType{Params: thousand, Results: thousand})
			return m
		}, 2_000, work},
		{"floats", func(n int) *wb.Module {
			return module(cat(get(0), rep(n, get(1), op(0xa0)), op(wb.OpDrop), end), locals(2, wb.F64))
		}, 0, ""},
		{"vectors", func(n int) *wb.Module {
			return module(cat(get(0), rep(n, get(1), op(0xfde4)), op(wb.OpDrop), end), locals(2, wb.V128))
		}, 0, ""},
		{"values on the stack", func(n int) *wb.Module {
			return module(cat(rep(n, get(0)), rep(n-1, op(wb.OpI64Add)), op(wb.OpDrop), end), locals(1, wb.I64))
		}, 0, ""},
	}
}

// TestHostileModules: what would keep the compiler busy for minutes is refused before it gets there.
func TestHostileModules(t *testing.T) {
	for _, s := range shapes() {
		if s.hostile == 0 {
			continue
		}
		b := s.make(s.hostile).Encode()
		if len(b) > 1_010_000 {
			t.Fatalf("%s: %d bytes are refused for another reason", s.name, len(b))
		}
		if _, err := Transform(b, Options{Host: testHost}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), s.want) {
			t.Errorf("%s: %v, want %q", s.name, err, s.want)
		}
	}
}

// TestCompileWork compiles a little of each shape and compares what the compiler allocates with the units that we count: they
// must bound it, or the limits do not.
func TestCompileWork(t *testing.T) {
	const perUnit = 1000 // bytes; 500 and what is allocated once
	r := newRuntime(t)
	for _, s := range shapes() {
		n := 400
		if strings.HasPrefix(s.name, "values of") {
			n = 40
		}
		m := s.make(n)
		p := &pass{m: m, numTypes: len(m.Types), funcTypes: m.FuncTypes(), res: &Result{}, table64: make([]bool, len(m.Tables))}
		var targets []uint32
		units := int64(0)
		for i := range m.Code {
			a, err := p.analyse(&m.Code[i], m.Types[m.Funcs[i]], &targets)
			if err != nil {
				t.Fatalf("%s: %v", s.name, err)
			}
			units += a.work + int64(a.blocks)*(int64(m.Code[i].NumLocals())+int64(a.blocks)/64)/4
		}
		res := mustTransform(t, m)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		mod, err := r.CompileModule(context.Background(), res.Wasm)
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		runtime.ReadMemStats(&after)
		took := int64(after.TotalAlloc-before.TotalAlloc) - 600_000 // what any module takes
		t.Logf("%s: %d units, %d bytes each", s.name, units, took/units)
		if took > units*perUnit {
			t.Errorf("%s: the compiler took %d bytes for %d units of work", s.name, took, units)
		}
		if err := mod.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}
