package transform

import (
	"encoding/binary"
	"testing"

	wb "fusion/internal/wasmbin"
)

// TestEveryNaN gives each instruction that computes floats the NaNs of all sorts and some numbers that make one: whatever NaN
// comes out must be the canonical one. The instructions that the specification lets only move bits are listed; they keep them.
func TestEveryNaN(t *testing.T) {
	r := newRuntime(t)
	inputs := []uint64{0x7ff8000000001234, 0xfff8000000000001, 0x7ff0000000005678, 0x7ff0000000000000, 0xfff0000000000000, 0,
		0x8000000000000000, 0xbff0000000000000, 0x7fc000017fc12345, 0xffc00001ff812345, 0x7f8000007f800000, 0xff80000000000000, 0xbf800000bf800000}
	type instr struct {
		op       wb.Op
		operands int
		from, to wb.ValType
		lanes    int // width of the result's lanes, or of the scalar
	}
	var all []instr
	add := func(operands int, from, to wb.ValType, width int, ops ...wb.Op) {
		for _, op := range ops {
			all = append(all, instr{op, operands, from, to, width})
		}
	}
	add(1, wb.F32, wb.F32, 4, span(0x8d, 0x91)...)
	add(2, wb.F32, wb.F32, 4, span(0x92, 0x97)...)
	add(1, wb.F64, wb.F64, 8, span(0x9b, 0x9f)...)
	add(2, wb.F64, wb.F64, 8, span(0xa0, 0xa5)...)
	add(1, wb.F64, wb.F32, 4, 0xb6)
	add(1, wb.F32, wb.F64, 8, 0xbb)
	add(1, wb.V128, wb.V128, 4, 0xfd5e, 0xfd67, 0xfd68, 0xfd69, 0xfd6a, 0xfde3)
	add(1, wb.V128, wb.V128, 8, 0xfd5f, 0xfd74, 0xfd75, 0xfd7a, 0xfd94, 0xfdef)
	add(2, wb.V128, wb.V128, 4, span(0xfde4, 0xfde9)...)
	add(2, wb.V128, wb.V128, 8, span(0xfdf0, 0xfdf5)...)
	produced := 0
	for _, in := range all {
		if nanOf(in.op) == nanNone {
			t.Errorf("%#x may choose the bits of a NaN and is not made canonical", in.op)
		}
		a := new(asm)
		push := func(x, y uint64) {
			switch in.from {
			case wb.F32:
				a.b = (&wb.Instr{Op: wb.OpF32Const, Imm: wb.ImmF32, Bits: x & 0xffffffff}).Append(a.b, nil)
			case wb.F64:
				a.b = (&wb.Instr{Op: wb.OpF64Const, Imm: wb.ImmF64, Bits: x}).Append(a.b, nil)
			default:
				a.b = (&wb.Instr{Op: wb.OpV128Const, Imm: wb.ImmV128, Bits: x, Bits2: y}).Append(a.b, nil)
			}
		}
		n := 0
		for i, x := range inputs {
			for j, y := range inputs {
				if in.operands == 1 && j > 0 {
					break
				}
				a.i32(0)
				push(x, inputs[(i+3)%len(inputs)])
				if in.operands == 2 {
					push(y, inputs[(j+5)%len(inputs)])
				}
				store := map[wb.ValType]wb.Op{wb.F32: 0x38, wb.F64: 0x39, wb.V128: opV128Store}[in.to]
				a.op(in.op).mem(store, uint64(16*n))
				n++
			}
		}
		_, trap, m := runTransformed(t, r, mustTransform(t, module(a.end())), "canister_update run", 1e6)
		if trap != "" {
			t.Fatalf("%#x: %s", in.op, trap)
		}
		b, _ := m.ExportedMemory(ExportMemory).Read(0, uint32(16*n))
		for at := 0; at < len(b); at += in.lanes {
			if in.lanes == 4 {
				if v := binary.LittleEndian.Uint32(b[at:]); v&0x7fffffff > 0x7f800000 {
					if produced++; v != canonicalF32 {
						t.Errorf("%#x: case %d gives %#x", in.op, at/16, v)
					}
				}
			} else if v := binary.LittleEndian.Uint64(b[at:]); v&(1<<63-1) > 0x7ff<<52 {
				if produced++; v != canonicalF64 {
					t.Errorf("%#x: case %d gives %#x", in.op, at/16, v)
				}
			}
		}
	}
	if produced < 2000 {
		t.Errorf("only %d NaNs came out", produced)
	}
	// Of the others none may be listed by mistake: abs, neg, copysign, pmin, pmax, conversions from integers, reinterpretations.
	for _, op := range []wb.Op{0x8b, 0x8c, 0x98, 0x99, 0x9a, 0xa6, 0xbc, 0xbd, 0xbe, 0xbf, 0xfde0, 0xfde1, 0xfdea, 0xfdeb, 0xfdec, 0xfded, 0xfdf6, 0xfdf7} {
		if nanOf(op) != nanNone {
			t.Errorf("%#x moves bits and is made canonical", op)
		}
	}
}

// TestTailCallsAreFlat: a million tail calls, direct and indirect, between functions that also make other calls, leave the stack as
// it was, and recursion without tail calls ends at the same call every time.
func TestTailCallsAreFlat(t *testing.T) {
	r := newRuntime(t)
	i64 := []wb.ValType{wb.I64}
	build := func(call func(a *asm, f uint32)) *wb.Module {
		m := module(new(asm).i64(1_000_000).idx(wb.OpCall, 1).end())
		m.Types = append(m.Types, wb.FuncType{Params: i64})
		m.Tables = []wb.Table{{Type: wb.FuncRef, Limits: wb.Limits{Min: 4}}}
		m.Elements = []wb.Element{{Type: wb.FuncRef, Offset: new(asm).i32(0).end(), Funcs: []uint32{0, 1, 2, 3}}}
		for f := uint32(1); f <= 2; f++ {
			a := new(asm).idx(wb.OpCall, 3).i32(0).i32(0).mem(wb.OpI32Load, 0).i32(1).op(wb.OpI32Add).mem(wb.OpI32Store, 0).
				idx(wb.OpLocalGet, 0).op(wb.OpI64Eqz).block(wb.OpIf, wb.BlockEmpty).op(wb.OpReturn, wb.OpEnd).
				idx(wb.OpLocalGet, 0).i64(1).op(wb.OpI64Sub)
			call(a, 3-f)
			m.AddFunc(m.Types[1], wb.Code{Body: a.end()})
		}
		m.AddFunc(wb.FuncType{}, wb.Code{Body: new(asm).end()})
		return m
	}
	for name, c := range map[string]struct {
		call func(a *asm, f uint32)
		trap string
	}{
		"direct":     {func(a *asm, f uint32) { a.idx(wb.OpReturnCall, f) }, ""},
		"indirect":   {func(a *asm, f uint32) { a.i32(int32(f)).raw(byte(wb.OpReturnCallIndirect), 1, 0) }, ""},
		"not a tail": {func(a *asm, f uint32) { a.idx(wb.OpCall, f) }, "out of stack"},
	} {
		res := mustTransform(t, build(c.call))
		depth := uint32(0)
		for range 2 {
			_, trap, m := runTransformed(t, r, res, "canister_update run", 1e9)
			n, _ := m.ExportedMemory(ExportMemory).ReadUint32Le(0)
			if trap != c.trap || (trap == "" && n != 1_000_001) || (depth != 0 && n != depth) {
				t.Errorf("%s: trap %q after %d calls, %d before", name, trap, n, depth)
			}
			depth = n
		}
	}
}
