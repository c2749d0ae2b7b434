package transform

import (
	"slices"

	"fusion/internal/wasmbin"
)

// The counter is a global, which others must find right: what is called, and the host when the run traps. Code between two such
// places keeps it in a local, which the engine keeps in a register. Therefore
//
//   - a function loads the global at its start and after each call;
//   - each segment subtracts its cost from the local, and stores it if something in the segment may trap, call, or end the
//     function (see visible);
//   - a quiet loop, one that calls nothing but may trap, does not store it either, or a loop over memory would write the counter as often as
//     the memory. Before the loop, and again whenever that is used up, the global is set to what it will be Advance instructions
//     later: that is what a trap in the loop costs, no matter how far the loop came. Whoever looks next stores what is right. A call
//     followed by unreachable, how languages end a panic, may be in a quiet loop;
//   - what asks the host for more instructions stands beside the loops and not in them, or the engine would keep what the loop
//     changes in memory.

// writer appends the code of one function.
type writer struct {
	t     *pass
	out   []byte
	left  uint32            // the local that holds the counter
	types []wasmbin.ValType // of the function's own locals; only if it has loops
	paid  uint32            // the local that holds what the counter will be when the advance is used up; only if it has quiet loops
	quiet int               // loops that are open, from the outermost quiet one
}

// localTypes returns the type of each parameter and local.
func localTypes(params []wasmbin.ValType, locals []wasmbin.LocalRun) []wasmbin.ValType {
	types := slices.Clone(params)
	for _, l := range locals {
		for range l.Count {
			types = append(types, l.Type)
		}
	}
	return types
}

// load makes the local equal to the global.
func (w *writer) load() {
	w.out = wasmbin.AppendIndex(w.out, wasmbin.OpGlobalGet, w.t.meter)
	w.out = wasmbin.AppendIndex(w.out, wasmbin.OpLocalSet, w.left)
}

// store makes the global equal to the local.
func (w *writer) store() {
	w.out = wasmbin.AppendIndex(w.out, wasmbin.OpLocalGet, w.left)
	w.out = wasmbin.AppendIndex(w.out, wasmbin.OpGlobalSet, w.t.meter)
}

// spend takes n from the local; a negative n is given back. The engine has a shorter form for positive constants.
func (w *writer) spend(n int64) {
	op := wasmbin.OpI64Sub
	if n < 0 {
		op, n = wasmbin.OpI64Add, -n
	}
	w.out = wasmbin.AppendIndex(w.out, wasmbin.OpLocalGet, w.left)
	w.out = wasmbin.AppendOp(wasmbin.AppendI64(w.out, n), op)
	w.out = wasmbin.AppendIndex(w.out, wasmbin.OpLocalSet, w.left)
}

// charge takes what a segment costs.
func (w *writer) charge(s segment) {
	if s.cost > 0 {
		w.spend(int64(s.cost))
	}
	if s.store && w.quiet == 0 || w.t.opt.eager {
		w.store()
	}
}

// leave stores the counter where the code of a quiet loop ends.
func (w *writer) leave() {
	if w.quiet > 0 {
		w.store()
	}
}

// Advance is what quiet loops pay in advance.
const Advance = 10_000

// pay takes the advance.
func (w *writer) pay() {
	w.out = wasmbin.AppendIndex(w.out, wasmbin.OpLocalGet, w.left)
	w.out = wasmbin.AppendOp(wasmbin.AppendI64(w.out, Advance), wasmbin.OpI64Sub)
	w.out = wasmbin.AppendIndex(w.out, wasmbin.OpLocalTee, w.paid)
	w.out = wasmbin.AppendIndex(w.out, wasmbin.OpGlobalSet, w.t.meter)
}

// refund gives back what a segment charged for instructions that an exit skips.
func (w *writer) refund(cost uint64, leaves bool) {
	if cost > 0 {
		w.spend(-int64(cost))
	}
	if leaves || w.t.opt.eager {
		w.store()
	}
}

// call calls a function that may change the counter.
func (w *writer) call(f uint32) {
	w.out = wasmbin.AppendIndex(w.out, wasmbin.OpCall, f)
	w.load()
}

// exhausted calls the host because a counter is negative.
func (w *writer) exhausted() {
	w.store()
	w.call(w.t.trap)
}

// appendNegative appends the question whether an i64 is negative.
func appendNegative(b []byte) []byte {
	return wasmbin.AppendOp(wasmbin.AppendI64(b, 0), wasmbin.OpI64LtS)
}

// check calls the host if the counter, or with depth the stack, is negative.
func (w *writer) check(depth bool) {
	w.out = wasmbin.AppendIndex(w.out, wasmbin.OpLocalGet, w.left)
	if depth {
		w.out = wasmbin.AppendIndex(w.out, wasmbin.OpGlobalGet, w.t.depth)
		w.out = wasmbin.AppendOp(w.out, opI64Or)
	}
	w.out = wasmbin.AppendBlock(appendNegative(w.out), wasmbin.OpIf, wasmbin.BlockEmpty)
	w.exhausted()
	w.out = append(w.out, byte(wasmbin.OpEnd))
}

// loopLabels is the number of labels that a loop adds around itself.
const loopLabels = 3

// loop begins a loop, whose every round begins with a check. With endLoop it becomes
//
//	block             ; done
//	  loop            ; again
//	    block         ; exhausted
//	      loop
//	        br_if exhausted (the counter is negative)
//	        …
//	      end
//	      br done
//	    end
//	    call the host
//	    br again
//	  end
//	end
func (w *writer) loop(ty wasmbin.BlockType, quiet bool) {
	quiet = (quiet || w.quiet > 0) && !w.t.opt.eager
	if quiet {
		if w.quiet++; w.quiet == 1 {
			w.pay()
		}
	}
	w.out = wasmbin.AppendBlock(w.out, wasmbin.OpBlock, ty)
	w.out = wasmbin.AppendBlock(w.out, wasmbin.OpLoop, ty)
	w.out = wasmbin.AppendBlock(w.out, wasmbin.OpBlock, w.t.paramBlock(ty))
	w.out = wasmbin.AppendBlock(w.out, wasmbin.OpLoop, ty)
	w.out = wasmbin.AppendIndex(w.out, wasmbin.OpLocalGet, w.left)
	if quiet {
		w.out = wasmbin.AppendOp(wasmbin.AppendIndex(w.out, wasmbin.OpLocalGet, w.paid), wasmbin.OpI64LtS)
	} else {
		w.out = appendNegative(w.out)
	}
	w.out = wasmbin.AppendIndex(w.out, wasmbin.OpBrIf, 1)
}

func (w *writer) endLoop(l loop) {
	w.out = append(wasmbin.AppendIndex(w.out, wasmbin.OpBr, 2), byte(wasmbin.OpEnd))
	for _, l := range l.changed {
		w.renew(l)
	}
	if w.quiet > 0 {
		w.check(false)
		w.pay()
		w.quiet--
	} else {
		w.exhausted()
	}
	w.out = append(wasmbin.AppendIndex(w.out, wasmbin.OpBr, 0), byte(wasmbin.OpEnd), byte(wasmbin.OpEnd))
}

// Opcodes of renew.
const (
	opI32ReinterpretF32 wasmbin.Op = 0xbc
	opI64ReinterpretF64 wasmbin.Op = 0xbd
	opF32ReinterpretI32 wasmbin.Op = 0xbe
	opF64ReinterpretI64 wasmbin.Op = 0xbf
	opV128Or            wasmbin.Op = 0xfd50
)

// renew computes a local from itself. The engine stores a value that outlives a call where the value is computed, which would
// be in the loop; now it is another value, computed beside it.
func (w *writer) renew(l uint32) {
	get := wasmbin.AppendIndex(nil, wasmbin.OpLocalGet, l)
	b := append(w.out, get...)
	switch w.types[l] {
	case wasmbin.I32:
		b = wasmbin.AppendOp(wasmbin.AppendI32(b, 0), wasmbin.OpI32Add)
	case wasmbin.I64:
		b = wasmbin.AppendOp(wasmbin.AppendI64(b, 0), wasmbin.OpI64Add)
	case wasmbin.F32:
		b = wasmbin.AppendOp(wasmbin.AppendOp(b, opI32ReinterpretF32), opF32ReinterpretI32)
	case wasmbin.F64:
		b = wasmbin.AppendOp(wasmbin.AppendOp(b, opI64ReinterpretF64), opF64ReinterpretI64)
	case wasmbin.V128:
		b = wasmbin.AppendOp(append(b, get...), opV128Or)
	default:
		return
	}
	w.out = wasmbin.AppendIndex(b, wasmbin.OpLocalSet, l)
}

// maxRenewed bounds the code beside a loop. A loop that changes more has no registers for all of it anyway.
const maxRenewed = 16

// distinct returns each local of a list once, or nothing if there are more than maxRenewed.
func distinct(locals []uint32) []uint32 {
	var out []uint32
	for _, l := range locals {
		if slices.Contains(out, l) {
			continue
		}
		if len(out) == maxRenewed {
			return nil
		}
		out = append(out, l)
	}
	return out
}

// visibility says to whom an instruction may show the counter.
type visibility uint8

const (
	hidden  visibility = iota
	traps              // to the host, when it ends the run
	calls              // to a function
	charges            // to the code around it, which charges for what it does
)

// visible tells what an instruction shows. Branches that end the function are not its business.
func visible(in *wasmbin.Instr) visibility {
	switch in.Imm {
	case wasmbin.ImmMemArg, wasmbin.ImmMemArgLane:
		return traps
	case wasmbin.ImmFunc, wasmbin.ImmCallIndirect:
		switch in.Op {
		case wasmbin.OpRefFunc:
			return hidden
		case wasmbin.OpReturnCall, wasmbin.OpReturnCallIndirect:
			return charges
		}
		return calls
	case wasmbin.ImmTable, wasmbin.ImmTwoTables, wasmbin.ImmElem, wasmbin.ImmElemTable, wasmbin.ImmData, wasmbin.ImmDataMemory,
		wasmbin.ImmMemory, wasmbin.ImmTwoMemories:
		switch in.Op {
		case wasmbin.OpMemorySize, wasmbin.OpTableSize, wasmbin.OpDataDrop, wasmbin.OpElemDrop:
			return hidden
		case wasmbin.OpTableGet, wasmbin.OpTableSet:
			return traps
		}
		return charges
	}
	switch op := in.Op; {
	case op >= 0x6d && op <= 0x70, op >= 0x7f && op <= 0x82, // integer division
		op >= 0xa8 && op <= 0xab, op >= 0xae && op <= 0xb1, // float to integer
		op == wasmbin.OpUnreachable, op == wasmbin.OpReturn:
		return traps
	}
	return hidden
}
