package link

import (
	"fusion/internal/wasmbin"
)

// asm assembles one function body.
type asm struct {
	b      []byte
	locals []wasmbin.LocalRun
}

// Opcodes that wasmbin does not name (core specification, section 5.4).
const (
	opI32Or     wasmbin.Op = 0x72
	opI32Xor    wasmbin.Op = 0x73
	opI32Shl    wasmbin.Op = 0x74
	opI32ShrU   wasmbin.Op = 0x76
	opI32Rotl   wasmbin.Op = 0x77
	opI32Rotr   wasmbin.Op = 0x78
	opI64Xor    wasmbin.Op = 0x85
	opI64ShrU   wasmbin.Op = 0x88
	opI64Store8 wasmbin.Op = 0x3c
)

func (a *asm) op(ops ...wasmbin.Op) *asm {
	for _, o := range ops {
		a.b = wasmbin.AppendOp(a.b, o)
	}
	return a
}

func (a *asm) i32(v int32) *asm        { a.b = wasmbin.AppendI32(a.b, v); return a }
func (a *asm) i64(v int64) *asm        { a.b = wasmbin.AppendI64(a.b, v); return a }
func (a *asm) get(i uint32) *asm       { return a.index(wasmbin.OpLocalGet, i) }
func (a *asm) set(i uint32) *asm       { return a.index(wasmbin.OpLocalSet, i) }
func (a *asm) tee(i uint32) *asm       { return a.index(wasmbin.OpLocalTee, i) }
func (a *asm) globalGet(i uint32) *asm { return a.index(wasmbin.OpGlobalGet, i) }
func (a *asm) globalSet(i uint32) *asm { return a.index(wasmbin.OpGlobalSet, i) }
func (a *asm) call(f uint32) *asm      { return a.index(wasmbin.OpCall, f) }
func (a *asm) br(depth uint32) *asm    { return a.index(wasmbin.OpBr, depth) }
func (a *asm) brIf(depth uint32) *asm  { return a.index(wasmbin.OpBrIf, depth) }
func (a *asm) block() *asm             { return a.open(wasmbin.OpBlock) }
func (a *asm) loop() *asm              { return a.open(wasmbin.OpLoop) }
func (a *asm) ifThen() *asm            { return a.open(wasmbin.OpIf) }
func (a *asm) end() *asm               { return a.op(wasmbin.OpEnd) }
func (a *asm) load32(off uint64) *asm  { return a.mem(wasmbin.OpI32Load, 2, off) }
func (a *asm) store32(off uint64) *asm { return a.mem(wasmbin.OpI32Store, 2, off) }
func (a *asm) store64(off uint64) *asm { return a.mem(wasmbin.OpI64Store, 3, off) }
func (a *asm) open(op wasmbin.Op) *asm { a.b = append(wasmbin.AppendOp(a.b, op), 0x40); return a }
func (a *asm) mem(op wasmbin.Op, align uint32, off uint64) *asm {
	a.b = wasmbin.AppendMemArg(a.b, op, align, off)
	return a
}

func (a *asm) index(op wasmbin.Op, i uint32) *asm {
	a.b = wasmbin.AppendIndex(a.b, op, i)
	return a
}

// local declares n locals of a type; they follow the parameters in the order of declaration.
func (a *asm) local(n uint32, t wasmbin.ValType) *asm {
	a.locals = append(a.locals, wasmbin.LocalRun{Count: n, Type: t})
	return a
}

func (a *asm) code() wasmbin.Code {
	return wasmbin.Code{Locals: a.locals, Body: wasmbin.AppendOp(a.b, wasmbin.OpEnd)}
}
