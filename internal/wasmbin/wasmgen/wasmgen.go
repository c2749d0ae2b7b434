// Package wasmgen makes random valid WebAssembly programs for tests that compare two ways of running the same thing:
// transformed against as it is, one engine against another.
//
// A program has no imports. Its method "canister_update run" computes with all value types, memory, globals, tables,
// calls and control flow of the supported features, mixes what it finds into memory, and ends or traps; a few programs
// run for very long, so callers limit them. Memory is exported as "memory". The same seed and options give the same
// program.
package wasmgen

import (
	"math"
	"math/rand"
	"slices"

	wb "fusion/internal/wasmbin"
)

// Options choose what a program is made of.
type Options struct {
	// Memory64 and Table64 give the memory, or the first table, 64-bit addresses. Otherwise the program is the same: the
	// same seed without them computes the same results, with the same number of instructions of weight 1.
	Memory64, Table64 bool
	// High lets 64-bit addresses, indices and offsets be anything and not only what fits in 32 bits.
	High bool
	// SIMD adds vectors.
	SIMD bool
	// Canonical makes the program itself replace every NaN that an engine may choose the bits of, so that its results
	// are the same on engines that do not.
	Canonical bool
}

// Run is the export that is called.
const Run = "canister_update run"

const (
	opNop    = wb.OpNop
	numTypes = 5
	perType  = 4 // locals of each type, of which the first are parameters
)

var types = [numTypes]wb.ValType{wb.I32, wb.I64, wb.F32, wb.F64, wb.V128}

type gen struct {
	*rand.Rand
	Options
	m       *wb.Module
	types   []wb.ValType // in use
	b       []byte
	self    uint32 // index of the function
	funcs   uint32
	labels  []int // of each open block: the result type, 0 for none, isLoop
	loops   uint32
	counter uint32 // first loop counter
	first   uint32 // first local that is no parameter
	scratch map[wb.ValType]uint32
}

// Program returns a program.
func Program(seed int64, o Options) *wb.Module {
	g := &gen{Rand: rand.New(rand.NewSource(seed)), Options: o}
	g.types = types[:4]
	if o.SIMD {
		g.types = types[:]
	}
	m := &wb.Module{Types: []wb.FuncType{{}, {Params: g.types, Results: []wb.ValType{wb.I32}}, {Params: []wb.ValType{wb.I32}, Results: []wb.ValType{wb.I64, wb.F64}}}}
	g.m = m
	m.Memories = []wb.Limits{{Min: 2, Max: 4, HasMax: true, Is64: o.Memory64}}
	m.Exports = []wb.Export{{Name: Run, Kind: wb.KindFunc}, {Name: "memory", Kind: wb.KindMemory}}
	for i, t := range g.types {
		g.b = nil
		g.konst(t)
		m.Globals = append(m.Globals, wb.Global{GlobalType: wb.GlobalType{Type: t, Mutable: i != 2}, Init: append(g.b, byte(wb.OpEnd))})
	}
	// Function 0 is run, 1 … funcs are of type 1 and call those behind them, the last has two results.
	g.funcs = uint32(2 + g.Intn(4))
	elems := make([]uint32, g.funcs+1)
	for i := range elems {
		elems[i] = uint32(i)
	}
	m.Tables = []wb.Table{{Type: wb.FuncRef, Limits: wb.Limits{Min: uint64(len(elems)) + 2, Max: 40, HasMax: true, Is64: o.Table64}},
		{Type: wb.FuncRef, Limits: wb.Limits{Min: 5, Max: 20, HasMax: true}}}
	g.b = nil
	if o.Table64 {
		g.i64(0)
	} else {
		g.i32(0)
	}
	m.Elements = []wb.Element{{Type: wb.FuncRef, Offset: append(g.b, byte(wb.OpEnd)), Funcs: elems},
		{Mode: wb.Passive, Type: wb.FuncRef, Funcs: slices.Clone(elems)}}
	g.b = nil
	if o.Memory64 {
		g.i64(300)
	} else {
		g.i32(300)
	}
	init := make([]byte, 500)
	g.Read(init)
	m.Data = []wb.Data{{Offset: append(g.b, byte(wb.OpEnd)), Init: init}, {Mode: wb.Passive, Init: init[:200]}}
	n := uint32(len(m.Data))
	m.DataCount = &n
	for g.self = range g.funcs + 2 {
		g.function()
	}
	return m
}

func (g *gen) function() {
	g.b, g.labels, g.loops = nil, nil, 0
	ty, params := uint32(1), g.types
	switch g.self {
	case 0:
		ty, params = 0, nil
	case g.funcs + 1:
		ty, params = 2, []wb.ValType{wb.I32}
	}
	// Locals: the parameters, then perType of each type, then scratch ones, then loop counters.
	base := uint32(len(params))
	var locals []wb.LocalRun
	for _, t := range g.types {
		locals = append(locals, wb.LocalRun{Count: perType, Type: t})
	}
	at := base + perType*uint32(len(g.types))
	g.scratch = map[wb.ValType]uint32{}
	for _, t := range g.types {
		locals = append(locals, wb.LocalRun{Count: 1, Type: t})
		g.scratch[t] = at
		at++
	}
	g.counter = at
	locals = append(locals, wb.LocalRun{Count: 12, Type: wb.I32})
	// Give locals values to work with; parameters count among them by being copied.
	for i, t := range g.types {
		for n := range uint32(perType) {
			if n == 0 && g.self != 0 && (g.self <= g.funcs || t == wb.I32) {
				g.idx(wb.OpLocalGet, uint32(i))
			} else {
				g.konst(t)
			}
			g.idx(wb.OpLocalSet, base+uint32(i)*perType+n)
		}
	}
	g.first = base
	if g.self == 0 {
		for range 2 + g.Intn(3) {
			g.stmts(3)
		}
		// What the globals hold ends up in memory.
		for i, t := range g.types {
			g.index(g.Memory64, func() { g.i32(int32(16 * i)) })
			g.idx(wb.OpGlobalGet, uint32(i))
			g.mem(map[wb.ValType]wb.Op{wb.I32: 0x36, wb.I64: 0x37, wb.F32: 0x38, wb.F64: 0x39, wb.V128: 0xfd0b}[t], 0)
		}
	} else {
		g.stmts(3)
		switch {
		case g.self > g.funcs:
			g.expr(wb.I64, 2)
			g.expr(wb.F64, 2)
		case g.self < g.funcs && g.Intn(3) == 0:
			g.arguments()
			g.idx(wb.OpReturnCall, g.callee())
		default:
			g.expr(wb.I32, 3)
		}
	}
	g.m.Funcs = append(g.m.Funcs, ty)
	g.m.Code = append(g.m.Code, wb.Code{Locals: locals, Body: append(g.b, byte(wb.OpEnd))})
}

func (g *gen) op(o wb.Op)                { g.b = wb.AppendOp(g.b, o) }
func (g *gen) idx(o wb.Op, i uint32)     { g.b = wb.AppendIndex(g.b, o, i) }
func (g *gen) i32(v int32)               { g.b = wb.AppendI32(g.b, v) }
func (g *gen) i64(v int64)               { g.b = wb.AppendI64(g.b, v) }
func (g *gen) raw(b ...byte)             { g.b = append(g.b, b...) }
func (g *gen) mem(o wb.Op, off uint64)   { g.b = wb.AppendMemArg(g.b, o, 0, off) }
func (g *gen) instr(in wb.Instr)         { g.b = in.Append(g.b, nil) }
func (g *gen) pick(ops ...wb.Op) wb.Op   { return ops[g.Intn(len(ops))] }
func (g *gen) within(lo, hi wb.Op) wb.Op { return lo + wb.Op(g.Intn(int(hi-lo)+1)) }

// bits64 are numbers at which something happens.
func (g *gen) bits64() uint64 {
	switch g.Intn(5) {
	case 0:
		return g.Uint64()
	case 1:
		return uint64(int64(g.Intn(20) - 4))
	case 2:
		return 1<<g.Intn(64) - uint64(g.Intn(2))
	case 3:
		return math.Float64bits([]float64{0, math.Copysign(0, -1), 1, -1.5, math.Inf(1), math.Inf(-1), math.NaN(), 1e300, 5e-324, 3e9, -7e18, 2147483647.5}[g.Intn(12)])
	}
	return uint64(g.Uint32())
}

func (g *gen) bits32() uint32 {
	if g.Intn(3) == 0 {
		return math.Float32bits([]float32{0, float32(math.Copysign(0, -1)), 1, -2.5, float32(math.Inf(1)), float32(math.Inf(-1)), 1e38, 1e-45, 4e9}[g.Intn(9)])
	}
	if g.Intn(5) == 0 {
		return 0x7f800001 | g.Uint32()&0x807fffff // NaNs of all sorts
	}
	return uint32(g.bits64())
}

func (g *gen) konst(t wb.ValType) {
	switch t {
	case wb.I32:
		g.i32(int32(g.bits64()))
	case wb.I64:
		g.i64(int64(g.bits64()))
	case wb.F32:
		g.instr(wb.Instr{Op: wb.OpF32Const, Imm: wb.ImmF32, Bits: uint64(g.bits32())})
	case wb.F64:
		g.instr(wb.Instr{Op: wb.OpF64Const, Imm: wb.ImmF64, Bits: g.bits64()})
	case wb.V128:
		in := wb.Instr{Op: wb.OpV128Const, Imm: wb.ImmV128, Bits: g.bits64(), Bits2: g.bits64()}
		if g.Intn(2) == 0 {
			in.Bits2 = uint64(g.bits32())<<32 | uint64(g.bits32())
		}
		g.instr(in)
	}
}

func (g *gen) local(t wb.ValType) uint32 {
	for i, have := range g.types {
		if have == t {
			return g.first + uint32(i)*perType + uint32(g.Intn(perType))
		}
	}
	panic("wasmgen: no local of type " + t.String())
}

// canonical follows an instruction that may have made a NaN.
func (g *gen) canonical(t wb.ValType, double bool) {
	if !g.Canonical {
		return
	}
	s := g.scratch[t]
	g.idx(wb.OpLocalTee, s)
	canon, eq, choose := wb.Instr{Op: wb.OpF32Const, Imm: wb.ImmF32, Bits: 0x7fc00000}, wb.OpF32Eq, wb.OpSelect
	const d = 0x7ff8000000000000
	switch {
	case t == wb.F64:
		canon, eq = wb.Instr{Op: wb.OpF64Const, Imm: wb.ImmF64, Bits: d}, wb.OpF64Eq
	case t == wb.V128 && double:
		canon, eq, choose = wb.Instr{Op: wb.OpV128Const, Imm: wb.ImmV128, Bits: d, Bits2: d}, wb.OpF64x2Eq, wb.OpV128Bitselect
	case t == wb.V128:
		canon, eq, choose = wb.Instr{Op: wb.OpV128Const, Imm: wb.ImmV128, Bits: 0x7fc000007fc00000, Bits2: 0x7fc000007fc00000}, wb.OpF32x4Eq, wb.OpV128Bitselect
	}
	g.instr(canon)
	g.idx(wb.OpLocalGet, s)
	g.idx(wb.OpLocalGet, s)
	g.op(eq)
	g.op(choose)
}

// index emits an i32 expression as an address or index of the width that is asked for.
func (g *gen) index(is64 bool, expr func()) {
	expr()
	known, high := g.Intn(3) == 0, g.Intn(25) == 0
	bits := g.bits64()
	switch {
	case !is64 && known:
		g.op(opNop)
	case !is64:
		g.op(opNop)
		g.op(opNop)
		g.op(opNop)
	case known:
		g.op(wb.OpI64ExtendI32U)
	default: // hide that the value is small
		g.op(wb.OpI64ExtendI32U)
		if !(g.High && high) {
			bits = 0
		}
		g.i64(int64(bits))
		g.op(0x84) // i64.or
	}
}

// address emits an address that is mostly in bounds, and returns an offset for it.
func (g *gen) address(depth int) uint64 {
	mask := int32(0x1fff)
	if g.Intn(60) == 0 {
		mask = -1
	}
	g.index(g.Memory64, func() {
		g.expr(wb.I32, depth)
		g.i32(mask)
		g.op(wb.OpI32And)
	})
	off := uint64(g.Intn(64))
	far, bits := g.Intn(200), g.bits64()
	switch {
	case far == 0:
		off = uint64(g.Uint32())
	case far < 4 && g.High && g.Memory64:
		off = bits
	}
	return off
}

var loads = map[wb.ValType][]wb.Op{
	wb.I32: {0x28, 0x2c, 0x2d, 0x2e, 0x2f}, wb.I64: {0x29, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35}, wb.F32: {0x2a}, wb.F64: {0x2b},
	wb.V128: {0xfd00, 0xfd01, 0xfd02, 0xfd03, 0xfd04, 0xfd05, 0xfd06, 0xfd07, 0xfd08, 0xfd09, 0xfd0a, 0xfd5c, 0xfd5d},
}

var stores = map[wb.ValType][]wb.Op{
	wb.I32: {0x36, 0x3a, 0x3b}, wb.I64: {0x37, 0x3c, 0x3d, 0x3e}, wb.F32: {0x38}, wb.F64: {0x39}, wb.V128: {0xfd0b},
}

func (g *gen) expr(t wb.ValType, depth int) {
	if depth <= 0 {
		switch g.Intn(4) {
		case 0:
			g.konst(t)
		case 1:
			for i, have := range g.types {
				if have == t {
					g.idx(wb.OpGlobalGet, uint32(i))
				}
			}
		default:
			g.idx(wb.OpLocalGet, g.local(t))
		}
		return
	}
	switch g.Intn(12) {
	case 0:
		off := g.address(depth - 1)
		g.mem(g.pick(loads[t]...), off)
	case 1:
		g.expr(t, depth-1)
		g.expr(t, depth-1)
		g.expr(wb.I32, depth-1)
		if g.Intn(2) == 0 {
			g.op(wb.OpSelect)
		} else {
			g.op(wb.OpSelectT)
			g.raw(1, byte(t))
		}
	case 2:
		g.expr(wb.I32, depth-1)
		g.block(wb.OpIf, t)
		g.expr(t, depth-1)
		g.op(wb.OpElse)
		g.expr(t, depth-1)
		g.end()
	case 3:
		g.block(wb.OpBlock, t)
		g.expr(t, depth-1)
		g.expr(wb.I32, depth-1)
		g.idx(wb.OpBrIf, 0)
		if g.Intn(4) == 0 {
			g.idx(wb.OpBr, 0)
		}
		g.end()
	case 4:
		g.expr(t, depth-1)
		g.idx(wb.OpLocalTee, g.local(t))
	default:
		switch t {
		case wb.I32:
			g.exprI32(depth - 1)
		case wb.I64:
			g.exprI64(depth - 1)
		case wb.F32:
			g.exprF32(depth - 1)
		case wb.F64:
			g.exprF64(depth - 1)
		default:
			g.exprV128(depth - 1)
		}
	}
}

func (g *gen) exprs(depth int, ts ...wb.ValType) {
	for _, t := range ts {
		g.expr(t, depth)
	}
}

func (g *gen) exprI32(d int) {
	n := 13
	if g.SIMD {
		n = 16
	}
	switch g.Intn(n) {
	case 0, 1, 2:
		g.exprs(d, wb.I32, wb.I32)
		op := g.within(0x6a, 0x78)
		if op >= 0x6d && op <= 0x70 && g.Intn(4) > 0 { // most divisions are by something
			g.i32(1)
			g.op(0x72)
		}
		g.op(op)
	case 3:
		g.expr(wb.I32, d)
		g.op(g.pick(0x45, 0x67, 0x68, 0x69, 0xc0, 0xc1))
	case 4:
		g.exprs(d, wb.I32, wb.I32)
		g.op(g.within(0x46, 0x4f))
	case 5:
		g.exprs(d, wb.I64, wb.I64)
		g.op(g.within(0x51, 0x5a))
	case 6:
		g.exprs(d, wb.F32, wb.F32)
		g.op(g.within(0x5b, 0x60))
	case 7:
		g.exprs(d, wb.F64, wb.F64)
		g.op(g.within(0x61, 0x66))
	case 8:
		g.expr(wb.I64, d)
		g.op(g.pick(wb.OpI32WrapI64, wb.OpI64Eqz))
	case 9:
		if g.Intn(2) == 0 {
			g.expr(wb.F32, d)
			g.truncate(0xfc00, 0xa8)
		} else {
			g.expr(wb.F64, d)
			g.truncate(0xfc02, 0xaa)
		}
	case 10:
		g.expr(wb.F32, d)
		g.op(0xbc)
	case 11:
		if g.self < g.funcs {
			g.arguments()
			g.idx(wb.OpCall, g.callee())
			return
		}
		g.op(wb.OpMemorySize)
		g.raw(0)
		if g.Memory64 {
			g.op(wb.OpI32WrapI64)
		} else {
			g.op(opNop)
		}
	case 12:
		if g.self < g.funcs {
			g.arguments()
			g.index(g.Table64, func() {
				if g.Intn(12) == 0 {
					g.expr(wb.I32, 1)
				} else {
					g.i32(int32(g.callee()))
				}
			})
			g.op(wb.OpCallIndirect)
			g.raw(1, 0)
			return
		}
		g.konst(wb.I32)
	case 13:
		g.expr(wb.V128, d)
		g.op(g.pick(0xfd53, 0xfd63, 0xfd64, 0xfd83, 0xfd84, 0xfda3, 0xfda4, 0xfdc3, 0xfdc4))
	default:
		g.expr(wb.V128, d)
		ops := []struct {
			op    wb.Op
			lanes int
		}{{0xfd15, 16}, {0xfd16, 16}, {0xfd18, 8}, {0xfd19, 8}, {0xfd1b, 4}}
		x := ops[g.Intn(len(ops))]
		g.op(x.op)
		g.raw(byte(g.Intn(x.lanes)))
	}
}

func (g *gen) exprI64(d int) {
	n := 10
	if g.SIMD {
		n = 12
	}
	switch g.Intn(n) {
	case 0, 1, 2:
		g.exprs(d, wb.I64, wb.I64)
		op := g.within(0x7c, 0x8a)
		if op >= 0x7f && op <= 0x82 && g.Intn(4) > 0 {
			g.i64(1)
			g.op(0x84)
		}
		g.op(op)
	case 3:
		g.expr(wb.I64, d)
		g.op(g.pick(0x79, 0x7a, 0x7b, 0xc2, 0xc3, 0xc4))
	case 4, 5:
		g.expr(wb.I32, d)
		g.op(g.pick(0xac, 0xad))
	case 6:
		g.expr(wb.F32, d)
		g.truncate(0xfc04, 0xae)
	case 7:
		g.expr(wb.F64, d)
		g.truncate(0xfc06, 0xb0)
	case 8:
		g.expr(wb.F64, d)
		g.op(0xbd)
	case 9:
		if g.self <= g.funcs {
			g.expr(wb.I32, d)
			g.idx(wb.OpCall, g.funcs+1)
			g.idx(wb.OpLocalSet, g.local(wb.F64))
			return
		}
		g.konst(wb.I64)
	default:
		g.expr(wb.V128, d)
		g.op(0xfd1d)
		g.raw(byte(g.Intn(2)))
	}
}

// truncate appends a conversion to an integer: saturating mostly, or trapping.
func (g *gen) truncate(sat, trap wb.Op) {
	if g.Intn(12) == 0 {
		g.op(trap + wb.Op(g.Intn(2)))
		return
	}
	g.op(sat + wb.Op(g.Intn(2)))
}

func (g *gen) exprF32(d int) {
	n := 8
	if g.SIMD {
		n = 9
	}
	switch g.Intn(n) {
	case 0, 1, 2:
		g.exprs(d, wb.F32, wb.F32)
		g.op(g.within(0x92, 0x97))
		g.canonical(wb.F32, false)
	case 3:
		g.expr(wb.F32, d)
		g.op(g.within(0x8d, 0x91))
		g.canonical(wb.F32, false)
	case 4:
		g.expr(wb.F32, d)
		g.op(g.pick(0x8b, 0x8c))
	case 5:
		g.exprs(d, wb.F32, wb.F32)
		g.op(0x98)
	case 6:
		t := g.pick(0xb2, 0xb3, 0xb4, 0xb5, 0xbe)
		g.expr(map[bool]wb.ValType{true: wb.I64, false: wb.I32}[t == 0xb4 || t == 0xb5], d)
		g.op(t)
	case 7:
		g.expr(wb.F64, d)
		g.op(0xb6)
		g.canonical(wb.F32, false)
	default:
		g.expr(wb.V128, d)
		g.op(0xfd1f)
		g.raw(byte(g.Intn(4)))
	}
}

func (g *gen) exprF64(d int) {
	n := 8
	if g.SIMD {
		n = 9
	}
	switch g.Intn(n) {
	case 0, 1, 2:
		g.exprs(d, wb.F64, wb.F64)
		g.op(g.within(0xa0, 0xa5))
		g.canonical(wb.F64, false)
	case 3:
		g.expr(wb.F64, d)
		g.op(g.within(0x9b, 0x9f))
		g.canonical(wb.F64, false)
	case 4:
		g.expr(wb.F64, d)
		g.op(g.pick(0x99, 0x9a))
	case 5:
		g.exprs(d, wb.F64, wb.F64)
		g.op(0xa6)
	case 6:
		t := g.pick(0xb7, 0xb8, 0xb9, 0xba, 0xbf)
		g.expr(map[bool]wb.ValType{true: wb.I32, false: wb.I64}[t == 0xb7 || t == 0xb8], d)
		g.op(t)
	case 7:
		g.expr(wb.F32, d)
		g.op(0xbb)
		g.canonical(wb.F64, false)
	default:
		g.expr(wb.V128, d)
		g.op(0xfd21)
		g.raw(byte(g.Intn(2)))
	}
}

// ranges of vector instructions by their operands.
var (
	unary  = [][2]wb.Op{{0x4d, 0x4d}, {0x5e, 0x62}, {0x67, 0x6a}, {0x74, 0x75}, {0x7a, 0x7a}, {0x7c, 0x81}, {0x87, 0x8a}, {0x94, 0x94}, {0xa0, 0xa1}, {0xa7, 0xaa}, {0xc0, 0xc1}, {0xc7, 0xca}, {0xe0, 0xe1}, {0xe3, 0xe3}, {0xec, 0xed}, {0xef, 0xef}, {0xf8, 0xff}}
	binary = [][2]wb.Op{{0x0e, 0x0e}, {0x23, 0x4c}, {0x4e, 0x51}, {0x65, 0x66}, {0x6e, 0x73}, {0x76, 0x79}, {0x7b, 0x7b}, {0x82, 0x82}, {0x85, 0x86}, {0x8e, 0x93}, {0x95, 0x99}, {0x9b, 0x9f}, {0xae, 0xae}, {0xb1, 0xb1}, {0xb5, 0xba}, {0xbc, 0xbf}, {0xce, 0xce}, {0xd1, 0xd1}, {0xd5, 0xdf}, {0xe4, 0xeb}, {0xf0, 0xf7}}
	shifts = [][2]wb.Op{{0x6b, 0x6d}, {0x8b, 0x8d}, {0xab, 0xad}, {0xcb, 0xcd}}
)

func (g *gen) inRanges(rs [][2]wb.Op) wb.Op {
	r := rs[g.Intn(len(rs))]
	return g.within(r[0], r[1])
}

func (g *gen) exprV128(d int) {
	switch g.Intn(12) {
	case 0, 1, 2:
		g.expr(wb.V128, d)
		op := g.inRanges(unary)
		g.op(0xfd00 | op)
		switch op {
		case 0x5e, 0x67, 0x68, 0x69, 0x6a, 0xe3:
			g.canonical(wb.V128, false)
		case 0x5f, 0x74, 0x75, 0x7a, 0x94, 0xef:
			g.canonical(wb.V128, true)
		}
	case 3, 4, 5, 6:
		g.exprs(d, wb.V128, wb.V128)
		op := g.inRanges(binary)
		g.op(0xfd00 | op)
		switch {
		case op >= 0xe4 && op <= 0xe9:
			g.canonical(wb.V128, false)
		case op >= 0xf0 && op <= 0xf5:
			g.canonical(wb.V128, true)
		}
	case 7:
		g.exprs(d, wb.V128, wb.I32)
		g.op(0xfd00 | g.inRanges(shifts))
	case 8:
		i := g.Intn(6)
		g.expr([]wb.ValType{wb.I32, wb.I32, wb.I32, wb.I64, wb.F32, wb.F64}[i], d)
		g.op(0xfd0f + wb.Op(i))
	case 9:
		i := g.Intn(6)
		g.exprs(d, wb.V128, []wb.ValType{wb.I32, wb.I32, wb.I32, wb.I64, wb.F32, wb.F64}[i])
		g.op([]wb.Op{0xfd17, 0xfd1a, 0xfd1c, 0xfd1e, 0xfd20, 0xfd22}[i])
		g.raw(byte(g.Intn([]int{16, 8, 4, 2, 4, 2}[i])))
	case 10:
		g.exprs(d, wb.V128, wb.V128)
		if g.Intn(2) == 0 {
			g.op(wb.OpI8x16Shuffle)
			for range 16 {
				g.raw(byte(g.Intn(32)))
			}
			return
		}
		g.expr(wb.V128, d)
		g.op(wb.OpV128Bitselect)
	default:
		off := g.address(d)
		g.expr(wb.V128, d)
		i := g.Intn(4)
		g.mem(0xfd54+wb.Op(i), off)
		g.raw(byte(g.Intn(16 >> i)))
	}
}

func (g *gen) callee() uint32 { return g.self + 1 + uint32(g.Intn(int(g.funcs-g.self))) }

func (g *gen) arguments() {
	for _, t := range g.types {
		g.expr(t, 1)
	}
}

func (g *gen) block(op wb.Op, t wb.ValType) {
	bt := wb.BlockEmpty
	if t != 0 {
		bt = wb.BlockResult(t)
	}
	g.b = wb.AppendBlock(g.b, op, bt)
	g.labels = append(g.labels, int(t))
}

func (g *gen) end() {
	g.op(wb.OpEnd)
	g.labels = g.labels[:len(g.labels)-1]
}

// label returns a block that can be left from here without a value, or false.
func (g *gen) label() (uint32, bool) {
	var ok []uint32
	for i, t := range g.labels {
		if t == 0 {
			ok = append(ok, uint32(len(g.labels)-1-i))
		}
	}
	if len(ok) == 0 {
		return 0, false
	}
	return ok[g.Intn(len(ok))], true
}

func (g *gen) stmts(depth int) {
	for range 1 + g.Intn(4) {
		g.stmt(depth)
	}
}

// isLoop marks the label of a loop, to which only its own end jumps.
const isLoop = -1

func (g *gen) stmt(depth int) {
	t := g.types[g.Intn(len(g.types))]
	switch g.Intn(13) {
	case 0, 1:
		g.expr(t, 3)
		g.idx(wb.OpLocalSet, g.local(t))
	case 2, 3:
		off := g.address(2)
		g.expr(t, 3)
		if t == wb.V128 && g.Intn(2) == 0 {
			i := g.Intn(4)
			g.mem(0xfd58+wb.Op(i), off)
			g.raw(byte(g.Intn(16 >> i)))
			return
		}
		g.mem(g.pick(stores[t]...), off)
	case 4:
		for i, have := range g.types {
			if have == t && i != 2 {
				g.expr(t, 2)
				g.idx(wb.OpGlobalSet, uint32(i))
			}
		}
	case 5:
		if depth > 0 {
			g.block(wb.OpBlock, 0)
			g.stmts(depth - 1)
			g.end()
		}
	case 6:
		if depth > 0 && g.loops < 12 {
			c := g.counter + g.loops
			g.loops++
			g.i32(int32(1 + g.Intn(5)))
			g.idx(wb.OpLocalSet, c)
			g.block(wb.OpLoop, 0)
			g.labels[len(g.labels)-1] = isLoop
			g.stmts(depth - 1)
			g.idx(wb.OpLocalGet, c)
			g.i32(1)
			g.op(wb.OpI32Sub)
			g.idx(wb.OpLocalTee, c)
			g.idx(wb.OpBrIf, 0)
			g.end()
		}
	case 7:
		if depth > 0 {
			g.expr(wb.I32, 2)
			g.block(wb.OpIf, 0)
			g.stmts(depth - 1)
			if g.Intn(2) == 0 {
				g.op(wb.OpElse)
				g.stmts(depth - 1)
			}
			g.end()
		}
	case 8:
		if l, ok := g.label(); ok {
			g.expr(wb.I32, 2)
			if g.Intn(4) == 0 {
				more, _ := g.label()
				last, _ := g.label()
				g.raw(byte(wb.OpBrTable), 2)
				for _, x := range []uint32{l, more, last} {
					g.b = wb.AppendU(g.b, uint64(x))
				}
				return
			}
			g.idx(wb.OpBrIf, l)
		}
	case 9, 10:
		g.bulk()
	case 11:
		g.table()
	case 12:
		switch g.Intn(40) {
		case 0:
			g.op(wb.OpUnreachable)
		case 1, 2, 3, 4:
			g.index(g.Memory64, func() {
				g.expr(wb.I32, 1)
				g.i32(1)
				g.op(wb.OpI32And)
			})
			g.op(wb.OpMemoryGrow)
			g.raw(0)
			if g.Memory64 {
				g.op(wb.OpI32WrapI64)
			} else {
				g.op(opNop)
			}
			g.idx(wb.OpLocalSet, g.local(wb.I32))
		default:
			g.op(opNop)
		}
	}
}

// small emits an i32 that is mostly below n.
func (g *gen) small(n int32) {
	if g.Intn(40) == 0 {
		g.expr(wb.I32, 1)
		return
	}
	g.i32(g.Int31n(n))
}

func (g *gen) bulk() {
	addr := func() { g.index(g.Memory64, func() { g.small(0x1f000) }) }
	length := func() { g.index(g.Memory64, func() { g.i32(g.Int31n(300)) }) }
	switch g.Intn(4) {
	case 0:
		addr()
		g.expr(wb.I32, 1)
		length()
		g.op(wb.OpMemoryFill)
		g.raw(0)
	case 1:
		addr()
		addr()
		length()
		g.op(wb.OpMemoryCopy)
		g.raw(0, 0)
	case 2:
		addr()
		g.i32(g.Int31n(100))
		g.i32(g.Int31n(110))
		g.op(wb.OpMemoryInit)
		g.raw(byte(1), 0)
	case 3:
		if g.Intn(10) == 0 {
			g.idx(wb.OpDataDrop, uint32(g.Intn(2)))
		}
	}
}

func (g *gen) table() {
	n := int32(len(g.m.Elements[0].Funcs))
	which := uint32(g.Intn(2))
	is64 := which == 0 && g.Table64
	at := func(is64 bool) { g.index(is64, func() { g.small(n) }) }
	ref := func() {
		if g.Intn(3) == 0 {
			g.op(wb.OpRefNull)
			g.raw(byte(wb.FuncRef))
			return
		}
		g.idx(wb.OpRefFunc, uint32(g.Intn(int(n))))
	}
	narrow := func() {
		if is64 {
			g.op(wb.OpI32WrapI64)
		} else {
			g.op(opNop)
		}
	}
	switch g.Intn(8) {
	case 0:
		at(is64)
		ref()
		g.idx(wb.OpTableSet, which)
	case 1:
		at(is64)
		g.idx(wb.OpTableGet, which)
		g.op(wb.OpRefIsNull)
		g.idx(wb.OpLocalSet, g.local(wb.I32))
	case 2:
		at(is64)
		ref()
		g.index(is64, func() { g.i32(g.Int31n(4)) })
		g.idx(wb.OpTableFill, which)
	case 3:
		from := uint32(g.Intn(2))
		at(is64)
		at(from == 0 && g.Table64)
		g.index(is64 && from == 0, func() { g.i32(g.Int31n(4)) })
		g.op(wb.OpTableCopy)
		g.raw(byte(which), byte(from))
	case 4:
		ref()
		g.index(is64, func() { g.small(5) })
		g.idx(wb.OpTableGrow, which)
		narrow()
		g.idx(wb.OpLocalSet, g.local(wb.I32))
	case 5:
		g.idx(wb.OpTableSize, which)
		narrow()
		g.idx(wb.OpLocalSet, g.local(wb.I32))
	case 6:
		at(is64)
		g.i32(g.Int31n(3))
		g.i32(g.Int31n(3))
		g.op(wb.OpTableInit)
		g.raw(1, byte(which))
	case 7:
		if g.Intn(10) == 0 {
			g.idx(wb.OpElemDrop, uint32(g.Intn(2)))
		}
	}
}
