package transform

import (
	"math"

	"fusion/internal/wasmbin"
)

// A 64-bit memory or table is lowered to a 32-bit one: the engine has no other. Each instruction that takes an address,
// an index or a length as i64 gets code in front of it that narrows those operands, and the few that return one get code
// behind it that widens it again. The sequence as a whole has the type of the original instruction, so that the engine's
// validation of the result still decides whether the original is well typed: an i32 address in a memory64 module meets
// the i64 operations of the narrowing and is refused.
//
// Narrowing saturates: what does not fit in 32 bits becomes 2^32-1. No access at such an address can succeed, since a
// memory has at most MaxPages = 65,535 pages and tables are smaller still, and the engine adds the offset without wrap.
// So the original traps exactly when the result does, and with the same kind. A length beyond 32 bits is out of bounds
// in the same way, a growth by as much fails in both, and an offset of 2^32 or more is out of bounds at any address.

// Opcodes of the sequences.
const (
	opI64ShrU       wasmbin.Op = 0x88
	opI64ExtendI32S wasmbin.Op = 0xac
)

// wideKind marks what an instruction's operand is.
type wideKind = wasmbin.ValType

// wide stands for an i64 that the result takes as an i32.
const wide wideKind = 0

// storeTypes are the values that the instructions from i32.store to i64.store32 write.
var storeTypes = [...]wasmbin.ValType{
	wasmbin.I32, wasmbin.I64, wasmbin.F32, wasmbin.F64, wasmbin.I32, wasmbin.I32, wasmbin.I64, wasmbin.I64, wasmbin.I64,
}

// wideOperands appends the operands of an instruction, the top of the stack last, from the first one that needs to be
// narrowed; nothing if none does.
func (t *pass) wideOperands(dst []wideKind, in *wasmbin.Instr) []wideKind {
	of := func(is64 bool, other wideKind) wideKind {
		if is64 {
			return wide
		}
		return other
	}
	add := func(kinds ...wideKind) []wideKind {
		for i, k := range kinds {
			if k == wide {
				return append(dst, kinds[i:]...)
			}
		}
		return dst
	}
	switch in.Imm {
	case wasmbin.ImmMemArg:
		if !t.mem64 {
			return dst
		}
		switch {
		case in.Op >= wasmbin.OpI32Store && in.Op <= wasmbin.OpI64Store32:
			return add(wide, storeTypes[in.Op-wasmbin.OpI32Store])
		case in.Op == opV128Store:
			return add(wide, wasmbin.V128)
		}
		return add(wide)
	case wasmbin.ImmMemArgLane:
		return add(of(t.mem64, wasmbin.I32), wasmbin.V128)
	case wasmbin.ImmCallIndirect:
		return add(of(t.table64[in.Index2], wasmbin.I32))
	}
	const i32 = wasmbin.I32
	switch in.Op {
	case wasmbin.OpMemoryGrow:
		return add(of(t.mem64, i32))
	case wasmbin.OpMemoryFill:
		return add(of(t.mem64, i32), i32, of(t.mem64, i32))
	case wasmbin.OpMemoryCopy:
		return add(of(t.mem64, i32), of(t.mem64, i32), of(t.mem64, i32))
	case wasmbin.OpMemoryInit:
		return add(of(t.mem64, i32), i32, i32)
	case wasmbin.OpTableGet, wasmbin.OpTableGrow:
		return add(of(t.table64[in.Index], i32))
	case wasmbin.OpTableSet:
		return add(of(t.table64[in.Index], i32), t.m.Tables[in.Index].Type)
	case wasmbin.OpTableFill:
		is64 := t.table64[in.Index]
		return add(of(is64, i32), t.m.Tables[in.Index].Type, of(is64, i32))
	case wasmbin.OpTableCopy:
		to, from := t.table64[in.Index], t.table64[in.Index2]
		return add(of(to, i32), of(from, i32), of(to && from, i32))
	case wasmbin.OpTableInit:
		return add(of(t.table64[in.Index2], i32), i32, i32)
	}
	return dst
}

const opV128Store wasmbin.Op = 0xfd0b

// wideResult returns the instruction that makes an i64 of the result, or 0.
func (t *pass) wideResult(in *wasmbin.Instr) wasmbin.Op {
	switch {
	case in.Op == wasmbin.OpMemorySize && t.mem64, in.Op == wasmbin.OpTableSize && t.table64[in.Index]:
		return wasmbin.OpI64ExtendI32U
	case in.Op == wasmbin.OpMemoryGrow && t.mem64, in.Op == wasmbin.OpTableGrow && t.table64[in.Index]:
		return opI64ExtendI32S // sizes are below 2^31, and a failure is -1 in both widths
	}
	return 0
}

// fits tells whether an instruction leaves an i64 on the stack that needs no narrowing beyond dropping its upper half.
func fits(in *wasmbin.Instr) bool {
	return in.Op == wasmbin.OpI64ExtendI32U || in.Op == wasmbin.OpI64Const && in.Bits <= math.MaxUint32
}

// temporaries hands out extra locals of one function: the n-th of a type.
type temporaries struct {
	code *wasmbin.Code
	next uint32
	have map[wasmbin.ValType][]uint32
}

func (t *temporaries) get(v wasmbin.ValType, n int) uint32 {
	if t.have == nil {
		t.have = make(map[wasmbin.ValType][]uint32)
	}
	for len(t.have[v]) <= n {
		t.have[v] = append(t.have[v], t.add(v))
	}
	return t.have[v][n]
}

// add makes a new local that get does not hand out.
func (t *temporaries) add(v wasmbin.ValType) uint32 {
	t.code.Locals = append(t.code.Locals, wasmbin.LocalRun{Count: 1, Type: v})
	t.next++
	return t.next - 1
}

// appendNarrow appends code that narrows the operands, of which the first is wide. known tells that the one on top is
// known to fit.
func appendNarrow(b []byte, operands []wideKind, known bool, temps *temporaries) []byte {
	narrow := func(known bool) {
		if known {
			b = wasmbin.AppendOp(b, wasmbin.OpI32WrapI64)
			return
		}
		addr := temps.get(wasmbin.I64, 0)
		b = wasmbin.AppendOp(wasmbin.AppendIndex(b, wasmbin.OpLocalTee, addr), wasmbin.OpI32WrapI64)
		b = wasmbin.AppendI32(b, -1)
		b = wasmbin.AppendI64(wasmbin.AppendIndex(b, wasmbin.OpLocalGet, addr), 32)
		b = wasmbin.AppendOp(wasmbin.AppendOp(b, opI64ShrU), wasmbin.OpI64Eqz)
		b = wasmbin.AppendOp(b, wasmbin.OpSelect)
	}
	var saved [2]uint32
	for i := len(operands) - 1; i > 0; i-- {
		v := operands[i]
		if v == wide {
			narrow(known)
			v = wasmbin.I32
		}
		known = false
		// The address has the i64 temporary number 0, so a value that is an i64 takes number 1.
		saved[i-1] = temps.get(v, i)
		b = wasmbin.AppendIndex(b, wasmbin.OpLocalSet, saved[i-1])
	}
	narrow(known)
	for i := range operands[1:] {
		b = wasmbin.AppendIndex(b, wasmbin.OpLocalGet, saved[i])
	}
	return b
}
