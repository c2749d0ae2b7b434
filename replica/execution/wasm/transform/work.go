package transform

import "fusion/internal/wasmbin"

// Most code compiles at some ten megabytes in a few seconds. Some instructions take much more of the compiler than their bytes tell,
// because each brings exits for its traps, or moves many values; a module of nothing else would take minutes and gigabytes. The
// weights here follow the memory that the compiler took for functions of one instruction, about 500 bytes per unit.
// They bound modules and have nothing to do with what running them costs.

// compileWork is what an instruction takes of the compiler. What calls, blocks and branches pass on comes on top.
func compileWork(in *wasmbin.Instr) int64 {
	switch op := in.Op; {
	case in.Imm == wasmbin.ImmMemArg || in.Imm == wasmbin.ImmMemArgLane, // may be out of bounds
		op >= 0x6d && op <= 0x70, op >= 0x7f && op <= 0x82, // integer division
		op >= 0xa8 && op <= 0xab, op >= 0xae && op <= 0xb1, op >= 0xfc00 && op <= 0xfc07, // float to integer
		op == wasmbin.OpTableGet, op == wasmbin.OpTableSet, op == wasmbin.OpMemoryGrow:
		return 10
	case in.Imm == wasmbin.ImmCallIndirect:
		return 30
	case compileBlocks(in) == bulkBlocks && op>>8 == 0xfc, op == wasmbin.OpTableGrow:
		return 60
	case op == wasmbin.OpCall, op == wasmbin.OpReturnCall, op == wasmbin.OpRefFunc, in.Imm == wasmbin.ImmBlock:
		return 5
	case op == wasmbin.OpBrIf:
		return 4
	case op == wasmbin.OpBr:
		return 2
	case op == wasmbin.OpBrTable:
		return 2 + int64(in.Count)
	case nanOf(op) != nanNone:
		return 2
	}
	return 1
}

// bulkBlocks is the number of blocks that a bulk instruction becomes: it contains loops.
const bulkBlocks = 3

// loopBlocks is the number of blocks that a loop becomes (see writer.loop).
const loopBlocks = 4

// compileBlocks is the number of blocks, beyond the one it is in, that an instruction makes in the compiler.
func compileBlocks(in *wasmbin.Instr) int {
	switch in.Op {
	case wasmbin.OpBlock, wasmbin.OpIf, wasmbin.OpBrIf:
		return 1
	case wasmbin.OpLoop:
		return loopBlocks
	case wasmbin.OpBrTable:
		return int(in.Count)
	case wasmbin.OpMemoryFill, wasmbin.OpMemoryCopy, wasmbin.OpMemoryInit, wasmbin.OpTableFill, wasmbin.OpTableCopy, wasmbin.OpTableInit:
		return bulkBlocks
	}
	return 0
}
