package transform

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"fusion/internal/wasmbin"
)

// frameOverhead is what a call costs on the virtual stack beside the function's own values: return address, saved
// frame pointer, argument area, and the trampoline of a host call.
const frameOverhead = 16

// maxLoopNesting bounds loops inside loops, each of which becomes two: the compiler's analysis grows with the cube of their
// depth (2,500 take 1 s, 5,000 take 7 s).
const maxLoopNesting = 500

// segment is a run of instructions that executes as a whole; its charge goes in front of position pos.
type segment struct {
	pos   int
	cost  uint64
	check bool
	// store: something in it shows the counter to others (a trap, a call, the end of the function), so it is written back.
	store bool
}

// exit is a br_if that leaves a loop. It does not end its segment: what the segment charged for the instructions behind
// it is given back when the branch is taken, which happens once per loop and not once per round.
type exit struct {
	pos     int    // of the br_if
	segment int    // that it belongs to
	cost    uint64 // of the segment up to and including the br_if
}

// block is an open block of a function body.
type block struct {
	op       wasmbin.Op
	targeted bool
	arity    int // values that branches to it carry
	loop     int // if it is a loop, which one of the function
	sets     int // locals that were set before it
	pos      int // of its instruction
}

// loop is what the rewriting of a loop needs to know.
type loop struct {
	// changed are the locals that an innermost loop sets, each once. Other loops have none here.
	changed []uint32
	// quiet: no code but the loop's own runs in it, unless it ends the run, and something in it may trap.
	quiet bool
}

// analysis is what the first pass over a body finds.
type analysis struct {
	segments []segment
	exits    []exit
	loops    []loop // in the order of their starts
	calls    bool
	simd     bool
	blocks   int
	work     int64 // see compileWork
	values   int64 // slots that the function's values may take when all of them are spilled
}

// carry notes values that one instruction passes on.
func (a *analysis) carry(ft wasmbin.FuncType) {
	n := int64(len(ft.Params) + len(ft.Results))
	a.values += n
	a.work += n
}

func (t *pass) functions() error {
	t.chargeBytes = uint32(len(t.funcTypes)) + 1
	t.chargeElems, t.chargePages, t.chargeGrow = t.chargeBytes+1, t.chargeBytes+2, t.chargeBytes+3
	var targets []uint32
	for i := range t.m.Code {
		c := &t.m.Code[i]
		ft := t.m.Types[t.m.Funcs[i]]
		if len(c.Body) > t.lim.FunctionBytes {
			return invalid("function %d: %d bytes exceed the limit of %d", i+int(t.imported), len(c.Body), t.lim.FunctionBytes)
		}
		if n := c.NumLocals() + uint64(len(ft.Params)); n > uint64(t.lim.Locals) {
			return invalid("function %d: %d parameters and locals exceed the limit of %d", i+int(t.imported), n, t.lim.Locals)
		}
		a, err := t.analyse(c, ft, &targets)
		if err == nil {
			locals := int64(c.NumLocals()) + int64(len(ft.Params))
			n := int64(a.blocks) * (locals + int64(a.blocks)/64)
			t.complexity += n
			t.work += a.work
			switch {
			case n > int64(t.lim.Complexity):
				err = invalid("%d locals in %d blocks are too complex to compile: %d exceeds the limit of %d", locals, a.blocks, n, t.lim.Complexity)
			case t.complexity > int64(t.lim.ModuleComplexity):
				err = invalid("the module up to here is too complex to compile: %d exceeds the limit of %d", t.complexity, t.lim.ModuleComplexity)
			case a.work > int64(t.lim.FunctionWork):
				err = invalid("too much work to compile: %d exceeds the limit of %d", a.work, t.lim.FunctionWork)
			case t.work > int64(t.lim.ModuleWork):
				err = invalid("the module up to here is too much work to compile: %d exceeds the limit of %d", t.work, t.lim.ModuleWork)
			}
		}
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				err = fmt.Errorf("%w: %w", ErrInvalid, err)
			}
			return fmt.Errorf("function %d: %w", i+int(t.imported), err)
		}
		t.rewrite(c, ft, a, &targets)
	}
	return nil
}

// analyse checks a body's indices and cuts it into segments.
func (t *pass) analyse(c *wasmbin.Code, ft wasmbin.FuncType, targets *[]uint32) (*analysis, error) {
	locals := uint32(len(ft.Params)) + uint32(c.NumLocals())
	a := &analysis{segments: []segment{{check: true}}}
	ctrl := []block{{op: wasmbin.OpBlock, arity: len(ft.Results)}}
	a.work = int64(locals) + int64(len(ft.Results))
	var loops []int   // positions in ctrl
	var sets []uint32 // the locals that were set in the innermost loop, and before it
	r := wasmbin.NewReader(c.Body)
	var in wasmbin.Instr
	cut := func(check bool) {
		last := &a.segments[len(a.segments)-1]
		if last.cost == 0 && !last.check {
			last.pos, last.check = in.End, check
			return
		}
		a.segments = append(a.segments, segment{pos: in.End, check: check})
	}
	branch := func(label uint32) error {
		if int64(label) >= int64(len(ctrl)) {
			return invalid("branch to unknown label %d at %#x", label, in.Start)
		}
		target := &ctrl[len(ctrl)-1-int(label)]
		target.targeted = true
		a.work += int64(target.arity)
		return nil
	}
	show := func() { a.segments[len(a.segments)-1].store = true }
	trap, loud, call := -1, -1, -1 // the last instruction that may trap; the last instruction that is not for quiet loops; a call that is one unless unreachable follows
	for {
		if err := r.Next(&in); err != nil {
			if errors.Is(err, io.EOF) {
				err = invalid("blocks are not closed")
			}
			return nil, err
		}
		a.segments[len(a.segments)-1].cost += Weight(in.Op)
		a.values++
		a.work += compileWork(&in)
		a.blocks += compileBlocks(&in)
		if err := t.indices(&in, locals, a); err != nil {
			return nil, err
		}
		if in.Op>>8 == 0xfd {
			a.simd = true
		}
		if call >= 0 && in.Op != wasmbin.OpUnreachable {
			loud = call
		}
		call = -1
		switch visible(&in) {
		case traps:
			show()
			trap = in.Start
		case calls:
			show()
			call = in.Start
		case charges:
			show()
			loud = in.Start
		}
		switch in.Op {
		case wasmbin.OpBlock, wasmbin.OpLoop, wasmbin.OpIf:
			ctrl = append(ctrl, block{op: in.Op, arity: t.labelArity(&in), loop: len(a.loops), sets: len(sets), pos: in.Start})
			if in.Op == wasmbin.OpLoop {
				cut(true)
				a.loops = append(a.loops, loop{})
				if loops = append(loops, len(ctrl)-1); len(loops) > maxLoopNesting {
					return nil, invalid("more than %d nested loops at %#x", maxLoopNesting, in.Start)
				}
			} else if in.Op == wasmbin.OpIf {
				cut(false)
			}
		case wasmbin.OpElse:
			top := &ctrl[len(ctrl)-1]
			if top.op != wasmbin.OpIf {
				return nil, invalid("else without if at %#x", in.Start)
			}
			top.op, top.targeted = wasmbin.OpElse, true
			cut(false)
		case wasmbin.OpEnd:
			top := ctrl[len(ctrl)-1]
			ctrl = ctrl[:len(ctrl)-1]
			if top.op == wasmbin.OpLoop {
				loops = loops[:len(loops)-1]
				if top.loop == len(a.loops)-1 {
					a.loops[top.loop].changed = distinct(sets[top.sets:])
				}
				sets = sets[:0] // a loop around this one is not innermost
				if loud < top.pos && trap >= top.pos {
					a.loops[top.loop].quiet = true
					cut(false) // what follows the loop pays for itself
				}
			}
			if len(ctrl) == 0 {
				show()
				if in.End != len(c.Body) {
					return nil, invalid("code after the end at %#x", in.Start)
				}
				return a, nil
			}
			if top.op == wasmbin.OpIf || (top.targeted && top.op != wasmbin.OpLoop) {
				cut(false)
			}
		case wasmbin.OpBr, wasmbin.OpBrIf:
			if err := branch(in.Index); err != nil {
				return nil, err
			}
			target := len(ctrl) - 1 - int(in.Index)
			if target == 0 {
				show()
				if ctrl[0].arity > 0 && in.Op == wasmbin.OpBrIf {
					loud = in.Start
				}
			}
			if in.Op == wasmbin.OpBrIf && len(loops) > 0 && target < loops[len(loops)-1] && ctrl[target].arity == 0 {
				last := len(a.segments) - 1
				a.exits = append(a.exits, exit{pos: in.Start, segment: last, cost: a.segments[last].cost})
				continue
			}
			cut(false)
		case wasmbin.OpBrTable:
			*targets = append(r.Targets(&in, (*targets)[:0]), in.Index)
			for _, l := range *targets {
				if err := branch(l); err != nil {
					return nil, err
				}
				if int(l) == len(ctrl)-1 {
					show()
					loud = in.Start
				}
			}
			cut(false)
		case wasmbin.OpLocalSet, wasmbin.OpLocalTee:
			if len(loops) > 0 {
				sets = append(sets, in.Index)
			}
		case wasmbin.OpReturn, wasmbin.OpUnreachable, wasmbin.OpReturnCall, wasmbin.OpReturnCallIndirect:
			cut(false)
		}
	}
}

// indices refuses every index that the original module does not define, so that nothing can name what this pass adds.
func (t *pass) indices(in *wasmbin.Instr, locals uint32, a *analysis) error {
	check := func(what string, i uint32, n int) error {
		if int64(i) >= int64(n) {
			return invalid("unknown %s %d at %#x", what, i, in.Start)
		}
		return nil
	}
	callee := func(ty uint32) {
		a.calls = true
		a.carry(t.m.Types[ty])
	}
	switch in.Imm {
	case wasmbin.ImmFunc:
		if err := check("function", in.Index, len(t.funcTypes)); err != nil {
			return err
		}
		if in.Op != wasmbin.OpRefFunc {
			callee(t.funcTypes[in.Index])
		}
	case wasmbin.ImmCallIndirect:
		if err := check("type", in.Index, t.numTypes); err != nil {
			return err
		}
		callee(in.Index)
		return check("table", in.Index2, len(t.m.Tables))
	case wasmbin.ImmLocal:
		return check("local", in.Index, int(locals))
	case wasmbin.ImmGlobal:
		return check("global", in.Index, int(t.numGlobals))
	case wasmbin.ImmTable:
		if in.Op != wasmbin.OpTableGet && in.Op != wasmbin.OpTableSize {
			t.res.Stateful = true
		}
		return check("table", in.Index, len(t.m.Tables))
	case wasmbin.ImmTwoTables:
		t.res.Stateful = true
		if err := check("table", in.Index, len(t.m.Tables)); err != nil {
			return err
		}
		return check("table", in.Index2, len(t.m.Tables))
	case wasmbin.ImmElem, wasmbin.ImmElemTable:
		t.res.Stateful = true
		if err := check("element segment", in.Index, len(t.m.Elements)); err != nil {
			return err
		}
		if in.Imm == wasmbin.ImmElemTable {
			return check("table", in.Index2, len(t.m.Tables))
		}
	case wasmbin.ImmData, wasmbin.ImmDataMemory:
		if in.Op == wasmbin.OpDataDrop {
			t.res.Stateful = true
		}
		if t.m.DataCount == nil {
			return invalid("data segment %d at %#x without a data count section", in.Index, in.Start)
		}
		return check("data segment", in.Index, len(t.m.Data))
	case wasmbin.ImmBlock:
		if i, ok := in.Block.TypeIndex(); ok {
			if err := check("type", i, t.numTypes); err != nil {
				return err
			}
			a.carry(t.m.Types[i])
		}
	}
	return nil
}

// labelArity is the number of values that branches to a block carry.
func (t *pass) labelArity(in *wasmbin.Instr) int {
	if i, ok := in.Block.TypeIndex(); ok {
		if in.Op == wasmbin.OpLoop {
			return len(t.m.Types[i].Params)
		}
		return len(t.m.Types[i].Results)
	}
	if in.Op == wasmbin.OpLoop || in.Block == wasmbin.BlockEmpty {
		return 0
	}
	return 1
}

// slots is the size of a value on the virtual stack.
func slots(v wasmbin.ValType) int64 {
	if v == wasmbin.V128 {
		return 2
	}
	return 1
}

const (
	opI64Or  wasmbin.Op = 0x84
	opI32LeU wasmbin.Op = 0x4d
)

// appendAdd appends: global += delta.
func appendAdd(b []byte, global uint32, delta int64) []byte {
	b = wasmbin.AppendIndex(b, wasmbin.OpGlobalGet, global)
	b = wasmbin.AppendOp(wasmbin.AppendI64(b, delta), wasmbin.OpI64Add)
	return wasmbin.AppendIndex(b, wasmbin.OpGlobalSet, global)
}

// rewrite writes the body again with charges, the depth bound, canonical NaNs and new function indices.
func (t *pass) rewrite(c *wasmbin.Code, ft wasmbin.FuncType, a *analysis, targets *[]uint32) {
	src := c.Body
	frame := frameOverhead + a.values
	if a.simd {
		frame += a.values
	}
	for _, p := range ft.Params {
		frame += slots(p)
	}
	for _, p := range ft.Results {
		frame += slots(p)
	}
	for _, l := range c.Locals {
		frame += slots(l.Type) * int64(l.Count)
	}

	var types []wasmbin.ValType
	if len(a.loops) > 0 {
		types = localTypes(ft.Params, c.Locals)
	}
	temps := temporaries{code: c, next: uint32(len(ft.Params)) + uint32(c.NumLocals())}
	w := writer{t: t, out: make([]byte, 0, len(src)+len(a.segments)*14+64), left: temps.add(wasmbin.I64), types: types}
	if slices.ContainsFunc(a.loops, func(l loop) bool { return l.quiet }) {
		w.paid = temps.add(wasmbin.I64)
	}
	// The entry check looks at both counters. If the function calls any, the body becomes a block so that every way out
	// of it passes the code that gives the frame back.
	w.load()
	w.charge(a.segments[0])
	if a.calls {
		w.out = appendAdd(w.out, t.depth, -frame)
		w.check(true)
		w.out = wasmbin.AppendBlock(w.out, wasmbin.OpBlock, t.resultBlock(ft))
	} else {
		w.check(false)
	}
	seg, exits := 1, a.exits
	r := wasmbin.NewReader(src)
	var in wasmbin.Instr
	copied := 0
	// The blocks that are open, by how many labels the loops among them add.
	added := []uint32{0}
	var open []int // the loops that are open
	started := 0
	label := func(l uint32) uint32 { top := len(added) - 1; return l + added[top] - added[top-int(l)] }
	var operands []wideKind
	lower, known := t.mem64 || slices.Contains(t.table64, true), false // known: the last instruction's result is narrow
	flush := func(to int) { w.out, copied = append(w.out, src[copied:to]...), to }
	for r.Next(&in) == nil {
		for seg < len(a.segments) && a.segments[seg].pos == in.Start {
			flush(in.Start)
			w.charge(a.segments[seg])
			seg++
		}
		if lower {
			if operands = t.wideOperands(operands[:0], &in); len(operands) > 0 {
				flush(in.Start)
				w.out = appendNarrow(w.out, operands, known, &temps)
			}
			known = fits(&in)
		}
		switch in.Op {
		case wasmbin.OpBlock, wasmbin.OpIf:
			added = append(added, added[len(added)-1])
		case wasmbin.OpLoop:
			flush(in.Start)
			w.loop(in.Block, a.loops[started].quiet)
			open, started = append(open, started), started+1
			copied, added = in.End, append(added, added[len(added)-1]+loopLabels)
		case wasmbin.OpEnd:
			top := len(added) - 1
			if top > 0 && added[top] != added[top-1] {
				flush(in.End)
				last := len(open) - 1
				w.endLoop(a.loops[open[last]])
				open = open[:last]
			}
			if added = added[:top]; top == 0 && a.calls {
				flush(in.End) // closes the wrapping block
				w.out = appendAdd(w.out, t.depth, frame)
				w.out = append(w.out, byte(wasmbin.OpEnd))
			}
		case wasmbin.OpBr:
			flush(in.Start)
			if int(in.Index) == len(added)-1 {
				w.leave()
			}
			w.out = wasmbin.AppendIndex(w.out, in.Op, label(in.Index))
			copied = in.End
		case wasmbin.OpBrTable:
			flush(in.Start)
			*targets = append(r.Targets(&in, (*targets)[:0]), in.Index)
			for i, l := range *targets {
				(*targets)[i] = label(l)
			}
			w.out = in.Append(w.out, *targets)
			copied = in.End
		case wasmbin.OpBrIf:
			flush(in.Start)
			copied = in.End
			back, leaves := uint64(0), int(in.Index) == len(added)-1
			if len(exits) > 0 && exits[0].pos == in.Start {
				back = a.segments[exits[0].segment].cost - exits[0].cost
				exits = exits[1:]
			}
			if back == 0 && (w.quiet == 0 || !leaves) {
				w.out = wasmbin.AppendIndex(w.out, in.Op, label(in.Index))
				break
			}
			w.out = wasmbin.AppendBlock(w.out, wasmbin.OpIf, wasmbin.BlockEmpty)
			w.refund(back, leaves)
			w.out = append(wasmbin.AppendIndex(w.out, wasmbin.OpBr, label(in.Index)+1), byte(wasmbin.OpEnd))
		case wasmbin.OpCall:
			flush(in.Start)
			w.leave()
			w.out = wasmbin.AppendIndex(w.out, in.Op, t.moved(in.Index))
			w.load()
			copied = in.End
		case wasmbin.OpCallIndirect:
			flush(in.Start)
			w.leave()
			flush(in.End)
			w.load()
		case wasmbin.OpRefFunc:
			flush(in.Start)
			w.out = wasmbin.AppendIndex(w.out, in.Op, t.moved(in.Index))
			copied = in.End
		case wasmbin.OpReturnCall:
			flush(in.Start)
			w.out = appendAdd(w.out, t.depth, frame)
			w.out = wasmbin.AppendIndex(w.out, in.Op, t.moved(in.Index))
			copied = in.End
		case wasmbin.OpReturnCallIndirect:
			flush(in.Start)
			w.out = appendAdd(w.out, t.depth, frame)
		case wasmbin.OpReturn:
			flush(in.Start)
			w.leave()
			if a.calls {
				w.out = wasmbin.AppendIndex(w.out, wasmbin.OpBr, label(uint32(len(added)-1)))
				copied = in.End
			}
		case wasmbin.OpMemoryFill, wasmbin.OpMemoryCopy, wasmbin.OpMemoryInit:
			flush(in.Start)
			w.call(t.chargeBytes)
		case wasmbin.OpTableFill, wasmbin.OpTableCopy, wasmbin.OpTableInit:
			flush(in.Start)
			w.call(t.chargeElems)
		case wasmbin.OpTableGrow:
			flush(in.Start)
			w.call(t.chargeGrow)
		case wasmbin.OpMemoryGrow:
			flush(in.Start)
			w.call(t.chargePages)
		}
		if lower {
			if t.mem64 && in.Offset > math.MaxUint32 && (in.Imm == wasmbin.ImmMemArg || in.Imm == wasmbin.ImmMemArgLane) {
				in.Offset = math.MaxUint32
				flush(in.Start)
				w.out = in.Append(w.out, nil)
				copied = in.End
			}
			if op := t.wideResult(&in); op != 0 {
				flush(in.End)
				w.out = wasmbin.AppendOp(w.out, op)
			}
		}
		if k := nanOf(in.Op); k != nanNone {
			flush(in.End)
			w.out = appendCanonical(w.out, k, temps.get(nanTypes[k], 0))
		}
	}
	flush(len(src))
	c.Body = w.out
}

// resultBlock returns the type of a block without parameters that yields the function's results.
func (t *pass) resultBlock(ft wasmbin.FuncType) wasmbin.BlockType {
	switch len(ft.Results) {
	case 0:
		return wasmbin.BlockEmpty
	case 1:
		return wasmbin.BlockResult(ft.Results[0])
	}
	return t.blockType(wasmbin.FuncType{Results: ft.Results})
}

// paramBlock returns the type of a block that takes what a block of a type takes, and leaves it.
func (t *pass) paramBlock(ty wasmbin.BlockType) wasmbin.BlockType {
	if i, ok := ty.TypeIndex(); ok && len(t.m.Types[i].Params) > 0 {
		p := t.m.Types[i].Params
		return t.blockType(wasmbin.FuncType{Params: p, Results: p})
	}
	return wasmbin.BlockEmpty
}

// blockType returns the index of a type. Looking for it among all others would take as long as there are others.
func (t *pass) blockType(ft wasmbin.FuncType) wasmbin.BlockType {
	key := string(typeBytes(ft.Params)) + ">" + string(typeBytes(ft.Results))
	i, ok := t.blockTypes[key]
	if !ok {
		if t.blockTypes == nil {
			t.blockTypes = make(map[string]wasmbin.BlockType)
		}
		i = wasmbin.BlockType(len(t.m.Types))
		t.m.Types = append(t.m.Types, ft)
		t.blockTypes[key] = i
	}
	return i
}

func typeBytes(types []wasmbin.ValType) []byte {
	out := make([]byte, len(types))
	for i, v := range types {
		out[i] = byte(v)
	}
	return out
}

const (
	canonicalF32 = 0x7fc00000
	canonicalF64 = 0x7ff8000000000000
)

// appendCanonical appends code that replaces a NaN on top of the stack by the canonical one.
func appendCanonical(b []byte, k nanKind, tmp uint32) []byte {
	canon, eq, choose := wasmbin.Instr{}, wasmbin.Op(0), wasmbin.OpSelect
	switch k {
	case nanF32:
		canon, eq = wasmbin.Instr{Op: wasmbin.OpF32Const, Imm: wasmbin.ImmF32, Bits: canonicalF32}, wasmbin.OpF32Eq
	case nanF64:
		canon, eq = wasmbin.Instr{Op: wasmbin.OpF64Const, Imm: wasmbin.ImmF64, Bits: canonicalF64}, wasmbin.OpF64Eq
	case nanF32x4:
		const pair = canonicalF32<<32 | canonicalF32
		canon = wasmbin.Instr{Op: wasmbin.OpV128Const, Imm: wasmbin.ImmV128, Bits: pair, Bits2: pair}
		eq, choose = wasmbin.OpF32x4Eq, wasmbin.OpV128Bitselect
	case nanF64x2:
		canon = wasmbin.Instr{Op: wasmbin.OpV128Const, Imm: wasmbin.ImmV128, Bits: canonicalF64, Bits2: canonicalF64}
		eq, choose = wasmbin.OpF64x2Eq, wasmbin.OpV128Bitselect
	}
	b = wasmbin.AppendIndex(b, wasmbin.OpLocalTee, tmp)
	b = canon.Append(b, nil)
	b = wasmbin.AppendIndex(b, wasmbin.OpLocalGet, tmp)
	b = wasmbin.AppendIndex(b, wasmbin.OpLocalGet, tmp)
	b = wasmbin.AppendOp(b, eq)
	return wasmbin.AppendOp(b, choose)
}
