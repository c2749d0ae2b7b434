package wasmbin

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Op is an instruction's opcode. One-byte opcodes are themselves; those behind a prefix are prefix<<8 | opcode, for
// example 0xFC0A for memory.copy and 0xFD0C for v128.const.
type Op uint16

// Opcodes that rewriters treat by name; every other one is known by its number (core specification, section 5.4).
const (
	OpUnreachable        Op = 0x00
	OpNop                Op = 0x01
	OpBlock              Op = 0x02
	OpLoop               Op = 0x03
	OpIf                 Op = 0x04
	OpElse               Op = 0x05
	OpEnd                Op = 0x0b
	OpBr                 Op = 0x0c
	OpBrIf               Op = 0x0d
	OpBrTable            Op = 0x0e
	OpReturn             Op = 0x0f
	OpCall               Op = 0x10
	OpCallIndirect       Op = 0x11
	OpReturnCall         Op = 0x12
	OpReturnCallIndirect Op = 0x13
	OpDrop               Op = 0x1a
	OpSelect             Op = 0x1b
	OpSelectT            Op = 0x1c
	OpLocalGet           Op = 0x20
	OpLocalSet           Op = 0x21
	OpLocalTee           Op = 0x22
	OpGlobalGet          Op = 0x23
	OpGlobalSet          Op = 0x24
	OpTableGet           Op = 0x25
	OpTableSet           Op = 0x26
	OpI32Load            Op = 0x28
	OpI64Load            Op = 0x29
	OpI32Load8U          Op = 0x2d
	OpI32Store           Op = 0x36
	OpI64Store           Op = 0x37
	OpI32Store8          Op = 0x3a
	OpI64Store32         Op = 0x3e
	OpMemorySize         Op = 0x3f
	OpMemoryGrow         Op = 0x40
	OpI32Const           Op = 0x41
	OpI64Const           Op = 0x42
	OpF32Const           Op = 0x43
	OpF64Const           Op = 0x44
	OpI32Eqz             Op = 0x45
	OpI32LtS             Op = 0x48
	OpI32LtU             Op = 0x49
	OpI32GtU             Op = 0x4b
	OpI32GeU             Op = 0x4f
	OpI64Eqz             Op = 0x50
	OpI64LtS             Op = 0x53
	OpF32Eq              Op = 0x5b
	OpF64Eq              Op = 0x61
	OpI32Add             Op = 0x6a
	OpI32Sub             Op = 0x6b
	OpI32Mul             Op = 0x6c
	OpI32And             Op = 0x71
	OpI64Add             Op = 0x7c
	OpI64Sub             Op = 0x7d
	OpI64Mul             Op = 0x7e
	OpI32WrapI64         Op = 0xa7
	OpI64ExtendI32U      Op = 0xad
	OpRefNull            Op = 0xd0
	OpRefIsNull          Op = 0xd1
	OpRefFunc            Op = 0xd2

	OpMemoryInit Op = 0xfc08
	OpDataDrop   Op = 0xfc09
	OpMemoryCopy Op = 0xfc0a
	OpMemoryFill Op = 0xfc0b
	OpTableInit  Op = 0xfc0c
	OpElemDrop   Op = 0xfc0d
	OpTableCopy  Op = 0xfc0e
	OpTableGrow  Op = 0xfc0f
	OpTableSize  Op = 0xfc10
	OpTableFill  Op = 0xfc11

	OpV128Const        Op = 0xfd0c
	OpI8x16Shuffle     Op = 0xfd0d
	OpI64x2Splat       Op = 0xfd12
	OpI64x2ExtractLane Op = 0xfd1d
	OpI64x2ReplaceLane Op = 0xfd1e
	OpF32x4Eq          Op = 0xfd41
	OpF64x2Eq          Op = 0xfd47
	OpV128Bitselect    Op = 0xfd52
)

// Imm says which immediates follow an opcode.
type Imm uint8

// The immediates of an instruction and the fields of Instr that carry them.
const (
	ImmNone         Imm = iota
	ImmBlock            // Block
	ImmLabel            // Index: relative depth
	ImmBrTable          // Count, Index (default label); the others through Instr.Targets
	ImmFunc             // Index
	ImmCallIndirect     // Index (type), Index2 (table)
	ImmLocal            // Index
	ImmGlobal           // Index
	ImmTable            // Index
	ImmMemArg           // Align, Offset
	ImmMemory           // no field: the memory index must be 0
	ImmI32              // Bits (sign-extended)
	ImmI64              // Bits
	ImmF32              // Bits
	ImmF64              // Bits
	ImmRefType          // Type
	ImmSelectT          // Type
	ImmData             // Index
	ImmDataMemory       // Index (data)
	ImmTwoMemories      // no field
	ImmElem             // Index
	ImmElemTable        // Index (element), Index2 (table)
	ImmTwoTables        // Index (destination), Index2 (source)
	ImmV128             // Bits (low half), Bits2 (high half)
	ImmShuffle          // Bits, Bits2: 16 lane numbers
	ImmLane             // Lane
	ImmMemArgLane       // Align, Offset, Lane
	immInvalid
)

var (
	immMVP  [256]Imm
	immFC   [18]Imm
	immSIMD [256]Imm
)

func init() {
	for i := range immMVP {
		immMVP[i] = immInvalid
	}
	set := func(imm Imm, from, to int) {
		for i := from; i <= to; i++ {
			immMVP[i] = imm
		}
	}
	set(ImmNone, 0x00, 0x01)
	set(ImmBlock, 0x02, 0x04)
	set(ImmNone, 0x05, 0x05)
	set(ImmNone, 0x0b, 0x0b)
	set(ImmLabel, 0x0c, 0x0d)
	set(ImmBrTable, 0x0e, 0x0e)
	set(ImmNone, 0x0f, 0x0f)
	set(ImmFunc, 0x10, 0x10)
	set(ImmCallIndirect, 0x11, 0x11)
	set(ImmFunc, 0x12, 0x12)
	set(ImmCallIndirect, 0x13, 0x13)
	set(ImmNone, 0x1a, 0x1b)
	set(ImmSelectT, 0x1c, 0x1c)
	set(ImmLocal, 0x20, 0x22)
	set(ImmGlobal, 0x23, 0x24)
	set(ImmTable, 0x25, 0x26)
	set(ImmMemArg, 0x28, 0x3e)
	set(ImmMemory, 0x3f, 0x40)
	set(ImmI32, 0x41, 0x41)
	set(ImmI64, 0x42, 0x42)
	set(ImmF32, 0x43, 0x43)
	set(ImmF64, 0x44, 0x44)
	set(ImmNone, 0x45, 0xc4)
	set(ImmRefType, 0xd0, 0xd0)
	set(ImmNone, 0xd1, 0xd1)
	set(ImmFunc, 0xd2, 0xd2)

	immFC = [18]Imm{
		8: ImmDataMemory, 9: ImmData, 10: ImmTwoMemories, 11: ImmMemory,
		12: ImmElemTable, 13: ImmElem, 14: ImmTwoTables, 15: ImmTable, 16: ImmTable, 17: ImmTable,
	}

	simd := func(imm Imm, from, to int) {
		for i := from; i <= to; i++ {
			immSIMD[i] = imm
		}
	}
	simd(ImmMemArg, 0, 11)
	simd(ImmV128, 12, 12)
	simd(ImmShuffle, 13, 13)
	simd(ImmLane, 21, 34)
	simd(ImmMemArgLane, 84, 91)
	simd(ImmMemArg, 92, 93)
	for _, hole := range []int{
		0x9a, 0xa2, 0xa5, 0xa6, 0xaf, 0xb0, 0xb2, 0xb3, 0xb4, 0xbb, 0xc2, 0xc5, 0xc6, 0xcf, 0xd0, 0xd2, 0xd3, 0xd4,
		0xe2, 0xee,
	} {
		immSIMD[hole] = immInvalid
	}
}

// Imm returns which immediates the opcode takes; ok is false for an opcode that does not exist here.
func (op Op) Imm() (imm Imm, ok bool) {
	switch op >> 8 {
	case 0:
		imm = immMVP[op]
	case 0xfc:
		if op&0xff >= Op(len(immFC)) {
			return immInvalid, false
		}
		imm = immFC[op&0xff]
	case 0xfd:
		imm = immSIMD[op&0xff]
	default:
		return immInvalid, false
	}
	return imm, imm != immInvalid
}

// BlockType is the type of a block: BlockEmpty, one value type (as a negative number), or an index into the types.
type BlockType int64

// BlockEmpty is the type [] -> [].
const BlockEmpty BlockType = -64

// BlockResult returns the type [] -> [t].
func BlockResult(t ValType) BlockType { return BlockType(int64(t) - 0x80) }

// Result returns the single result of a block type that names a value type.
func (b BlockType) Result() (ValType, bool) {
	if b >= 0 || b == BlockEmpty {
		return 0, false
	}
	return ValType(int64(b) + 0x80), true
}

// TypeIndex returns the function type that the block type names.
func (b BlockType) TypeIndex() (uint32, bool) { return uint32(b), b >= 0 }

// Instr is one decoded instruction. Which fields carry meaning depends on Imm; the others hold leftovers.
type Instr struct {
	Op    Op
	Imm   Imm
	Type  ValType
	Lane  byte
	Start int // position of the opcode in the reader's bytes
	End   int // position after the immediates

	Index  uint32
	Index2 uint32
	Count  uint32 // labels of a br_table without the default
	Align  uint32 // exponent
	Offset uint64
	Block  BlockType
	Bits   uint64
	Bits2  uint64

	targets int // position of a br_table's first label
}

// I64 returns the integer of i32.const (sign-extended) or i64.const.
func (in *Instr) I64() int64 { return int64(in.Bits) }

// Reader walks the instructions of an expression. The zero value reads nothing; use NewReader.
type Reader struct {
	buf []byte
	pos int
}

// NewReader returns a reader of the expression's bytes, which include the final end.
func NewReader(expr []byte) Reader { return Reader{buf: expr} }

// Pos returns the position of the next instruction.
func (r *Reader) Pos() int { return r.pos }

// Targets appends the labels of a br_table, without the default, to dst.
func (r *Reader) Targets(in *Instr, dst []uint32) []uint32 {
	pos := in.targets
	for i := uint32(0); i < in.Count; i++ {
		v, next, err := uleb(r.buf, pos, 32)
		if err != nil {
			return dst // cannot happen: Next walked over them
		}
		dst, pos = append(dst, uint32(v)), next
	}
	return dst
}

func (r *Reader) u32(dst *uint32) error {
	v, pos, err := uleb(r.buf, r.pos, 32)
	r.pos, *dst = pos, uint32(v)
	return err
}

func (r *Reader) memory() error {
	var m uint32
	if err := r.u32(&m); err != nil {
		return err
	}
	if m != 0 {
		return fmt.Errorf("%w: memory %d (several memories)", ErrUnsupported, m)
	}
	return nil
}

func (r *Reader) memArg(in *Instr) error {
	if err := r.u32(&in.Align); err != nil {
		return err
	}
	if in.Align >= 32 {
		return fmt.Errorf("%w: alignment 2^%d (several memories)", ErrUnsupported, in.Align)
	}
	var err error
	in.Offset, r.pos, err = uleb(r.buf, r.pos, 64)
	return err
}

func (r *Reader) lane(in *Instr) error {
	if r.pos >= len(r.buf) {
		return ErrTruncated
	}
	in.Lane = r.buf[r.pos]
	r.pos++
	return nil
}

func (r *Reader) fixed(n int) ([]byte, error) {
	if len(r.buf)-r.pos < n {
		return nil, ErrTruncated
	}
	r.pos += n
	return r.buf[r.pos-n : r.pos], nil
}

// Next decodes the next instruction into in. It returns io.EOF after the last byte, and an error that wraps
// ErrTruncated, ErrLEB128, ErrMalformed or ErrUnsupported with the position otherwise.
func (r *Reader) Next(in *Instr) error {
	if r.pos >= len(r.buf) {
		return io.EOF
	}
	in.Start = r.pos
	// Most instructions have no immediate, or a small one.
	op := Op(r.buf[r.pos])
	switch imm := immMVP[op]; imm {
	case ImmNone:
		r.pos++
		in.Op, in.Imm, in.End = op, imm, r.pos
		return nil
	case ImmLocal, ImmGlobal, ImmLabel, ImmFunc:
		if r.pos+1 < len(r.buf) && r.buf[r.pos+1] < 0x80 {
			in.Op, in.Imm, in.Index = op, imm, uint32(r.buf[r.pos+1])
			r.pos += 2
			in.End = r.pos
			return nil
		}
	}
	if err := r.next(in); err != nil {
		return fmt.Errorf("instruction %#02x at %#x: %w", r.buf[in.Start], in.Start, err)
	}
	in.End = r.pos
	return nil
}

func (r *Reader) next(in *Instr) error {
	op := Op(r.buf[r.pos])
	r.pos++
	switch {
	case op == 0xfc || op == 0xfd:
		var sub uint32
		if err := r.u32(&sub); err != nil {
			return err
		}
		if sub > 0xff {
			return fmt.Errorf("%w: opcode %#x %#x%s", ErrUnsupported, uint8(op), sub, proposal(prefixProposals, byte(op)))
		}
		op = op<<8 | Op(sub)
		in.Imm, _ = op.Imm()
	default:
		in.Imm = immMVP[op]
	}
	in.Op = op
	var err error
	switch in.Imm {
	case ImmNone:
		return nil
	case ImmLabel, ImmFunc, ImmLocal, ImmGlobal, ImmTable, ImmData, ImmElem:
		return r.u32(&in.Index)
	case ImmCallIndirect, ImmElemTable, ImmTwoTables:
		if err = r.u32(&in.Index); err != nil {
			return err
		}
		return r.u32(&in.Index2)
	case ImmMemArg:
		return r.memArg(in)
	case ImmI32:
		var v int64
		v, r.pos, err = sleb(r.buf, r.pos, 32)
		in.Bits = uint64(v)
		return err
	case ImmI64:
		var v int64
		v, r.pos, err = sleb(r.buf, r.pos, 64)
		in.Bits = uint64(v)
		return err
	case ImmF32:
		b, err := r.fixed(4)
		if err != nil {
			return err
		}
		in.Bits = uint64(binary.LittleEndian.Uint32(b))
		return nil
	case ImmF64:
		b, err := r.fixed(8)
		if err != nil {
			return err
		}
		in.Bits = binary.LittleEndian.Uint64(b)
		return nil
	case ImmBlock:
		return r.blockType(in)
	case ImmBrTable:
		if err = r.u32(&in.Count); err != nil {
			return err
		}
		if int64(in.Count) >= int64(len(r.buf)-r.pos) {
			return ErrTruncated
		}
		in.targets = r.pos
		for i := uint32(0); i <= in.Count; i++ {
			if err = r.u32(&in.Index); err != nil {
				return err
			}
		}
		return nil
	case ImmMemory:
		return r.memory()
	case ImmTwoMemories:
		if err = r.memory(); err != nil {
			return err
		}
		return r.memory()
	case ImmDataMemory:
		if err = r.u32(&in.Index); err != nil {
			return err
		}
		return r.memory()
	case ImmRefType:
		if err = r.lane(in); err != nil {
			return err
		}
		in.Type = ValType(in.Lane)
		if !in.Type.IsRef() {
			return fmt.Errorf("%w: reference type %#x%s", ErrUnsupported, in.Lane, proposal(typeProposals, in.Lane))
		}
		return nil
	case ImmSelectT:
		var n uint32
		if err = r.u32(&n); err != nil {
			return err
		}
		if n != 1 {
			return fmt.Errorf("%w: select with %d types", ErrMalformed, n)
		}
		if err = r.lane(in); err != nil {
			return err
		}
		in.Type = ValType(in.Lane)
		if !in.Type.valid() {
			return fmt.Errorf("%w: value type %#x%s", ErrUnsupported, in.Lane, proposal(typeProposals, in.Lane))
		}
		return nil
	case ImmV128, ImmShuffle:
		b, err := r.fixed(16)
		if err != nil {
			return err
		}
		in.Bits, in.Bits2 = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
		return nil
	case ImmLane:
		return r.lane(in)
	case ImmMemArgLane:
		if err = r.memArg(in); err != nil {
			return err
		}
		return r.lane(in)
	}
	switch {
	case op >= 0xfc13 && op <= 0xfc16:
		return fmt.Errorf("%w: opcode %#x (wide arithmetic)", ErrUnsupported, uint16(op))
	case op>>8 != 0:
		return fmt.Errorf("%w: unknown opcode %#x", ErrUnsupported, uint16(op))
	}
	return fmt.Errorf("%w: unknown opcode %#x%s", ErrUnsupported, uint16(op), proposal(opProposals, byte(op)))
}

func (r *Reader) blockType(in *Instr) error {
	v, pos, err := sleb(r.buf, r.pos, 33)
	if err != nil {
		return err
	}
	r.pos, in.Block = pos, BlockType(v)
	if v < 0 && in.Block != BlockEmpty {
		if t, ok := in.Block.Result(); v < -64 || !ok || !t.valid() {
			return fmt.Errorf("%w: block type %d%s", ErrUnsupported, v, proposal(typeProposals, byte(v)&0x7f))
		}
	}
	return nil
}

// AppendOp appends an opcode without immediates.
func AppendOp(dst []byte, op Op) []byte {
	if op>>8 != 0 {
		return AppendU(append(dst, byte(op>>8)), uint64(op&0xff))
	}
	return append(dst, byte(op))
}

// AppendIndex appends an instruction whose only immediate is an index (or a label), such as call or local.get.
func AppendIndex(dst []byte, op Op, index uint32) []byte {
	return AppendU(AppendOp(dst, op), uint64(index))
}

// AppendI32 appends i32.const.
func AppendI32(dst []byte, v int32) []byte { return AppendS(append(dst, byte(OpI32Const)), int64(v)) }

// AppendI64 appends i64.const.
func AppendI64(dst []byte, v int64) []byte { return AppendS(append(dst, byte(OpI64Const)), v) }

// AppendBlock appends block, loop or if with its type.
func AppendBlock(dst []byte, op Op, t BlockType) []byte { return AppendS(AppendOp(dst, op), int64(t)) }

// AppendMemArg appends a load or store.
func AppendMemArg(dst []byte, op Op, align uint32, offset uint64) []byte {
	return AppendU(AppendU(AppendOp(dst, op), uint64(align)), offset)
}

// Append appends the instruction from its fields. The labels of a br_table come from targets, the default last
// (all other instructions ignore it).
func (in *Instr) Append(dst []byte, targets []uint32) []byte {
	dst = AppendOp(dst, in.Op)
	switch in.Imm {
	case ImmBlock:
		dst = AppendS(dst, int64(in.Block))
	case ImmLabel, ImmFunc, ImmLocal, ImmGlobal, ImmTable, ImmData, ImmElem:
		dst = AppendU(dst, uint64(in.Index))
	case ImmBrTable:
		dst = AppendU(dst, uint64(len(targets)-1))
		for _, t := range targets {
			dst = AppendU(dst, uint64(t))
		}
	case ImmCallIndirect, ImmElemTable, ImmTwoTables:
		dst = AppendU(AppendU(dst, uint64(in.Index)), uint64(in.Index2))
	case ImmMemArg:
		dst = AppendU(AppendU(dst, uint64(in.Align)), in.Offset)
	case ImmMemArgLane:
		dst = append(AppendU(AppendU(dst, uint64(in.Align)), in.Offset), in.Lane)
	case ImmMemory:
		dst = append(dst, 0)
	case ImmTwoMemories:
		dst = append(dst, 0, 0)
	case ImmDataMemory:
		dst = append(AppendU(dst, uint64(in.Index)), 0)
	case ImmI32, ImmI64:
		dst = AppendS(dst, int64(in.Bits))
	case ImmF32:
		dst = binary.LittleEndian.AppendUint32(dst, uint32(in.Bits))
	case ImmF64:
		dst = binary.LittleEndian.AppendUint64(dst, in.Bits)
	case ImmRefType:
		dst = append(dst, byte(in.Type))
	case ImmSelectT:
		dst = append(dst, 1, byte(in.Type))
	case ImmV128, ImmShuffle:
		dst = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(dst, in.Bits), in.Bits2)
	case ImmLane:
		dst = append(dst, in.Lane)
	}
	return dst
}
