package transform

import "fusion/internal/wasmbin"

// The weights follow the published cost table of the Internet Computer (dfinity/ic,
// rs/embedders/src/wasm_utils/instrumentation.rs, function instruction_to_cost, wasm32 column), so that a canister's
// instruction count here is close to the one its author knows. Structure (block, loop, else, end) is free, plain
// instructions cost 1, and what the machine does slowly costs more.

// PerByte and PerElement are what bulk memory and table instructions pay per unit, on top of their weight; PerPage is
// what memory.grow pays per 64 KiB page. The first two are the Internet Computer's; it does not charge for pages.
const (
	PerByte    = 1
	PerElement = 1
	PerPage    = 256
)

var (
	weightMVP  [256]uint16
	weightFC   [32]uint16
	weightSIMD [256]uint16
)

// Weight returns the cost of executing an instruction once, without the dynamic part of bulk instructions.
func Weight(op wasmbin.Op) uint64 {
	switch op >> 8 {
	case 0:
		return uint64(weightMVP[op])
	case 0xfc:
		return uint64(weightFC[op&31])
	default:
		return uint64(weightSIMD[op&0xff])
	}
}

// weightRange gives the opcodes from..to (inclusive) a weight.
type weightRange struct{ from, to, weight int }

func init() {
	for i := range weightMVP {
		weightMVP[i], weightSIMD[i] = 1, 1
	}
	for _, r := range []weightRange{
		{0x02, 0x03, 0}, {0x05, 0x05, 0}, {0x0b, 0x0b, 0}, // block, loop, else, end
		{0x04, 0x04, 2}, {0x0c, 0x0e, 2}, // if, br, br_if, br_table
		{0x10, 0x10, 5}, {0x11, 0x11, 10}, {0x12, 0x12, 3}, {0x13, 0x13, 60}, // calls and tail calls
		{0x23, 0x24, 2}, {0x25, 0x26, 5}, // globals, tables
		{0x3f, 0x3f, 20}, {0x40, 0x40, 300}, // memory.size, memory.grow
		{0x5b, 0x66, 3},                    // float comparisons
		{0x6d, 0x70, 10}, {0x7f, 0x82, 10}, // integer division and remainder
		{0x8d, 0x90, 2}, {0x91, 0x91, 5}, {0x92, 0x94, 2}, {0x95, 0x95, 3}, {0x96, 0x97, 18}, {0x98, 0x98, 2}, // f32
		{0x9b, 0x9e, 2}, {0x9f, 0x9f, 8}, {0xa0, 0xa2, 2}, {0xa3, 0xa3, 5}, {0xa4, 0xa5, 18}, {0xa6, 0xa6, 3}, // f64
		{0xa8, 0xab, 20}, {0xae, 0xb1, 20}, // float to integer
		{0xb2, 0xb2, 3}, {0xb3, 0xb3, 16}, {0xb4, 0xb4, 3}, {0xb5, 0xb5, 16}, // integer to f32
		{0xb7, 0xb7, 3}, {0xb8, 0xb8, 16}, {0xb9, 0xb9, 3}, {0xba, 0xba, 16}, // integer to f64
		{0xd1, 0xd1, 5}, {0xd2, 0xd2, 130}, // ref.is_null, ref.func
	} {
		for i := r.from; i <= r.to; i++ {
			weightMVP[i] = uint16(r.weight)
		}
	}
	for i := range 8 {
		weightFC[i] = 20 // saturating float to integer
	}
	weightFC[8], weightFC[10], weightFC[11], weightFC[12], weightFC[14], weightFC[17] = 100, 100, 100, 100, 100, 100
	weightFC[9], weightFC[13] = 300, 300  // data.drop, elem.drop
	weightFC[15], weightFC[16] = 300, 100 // table.grow, table.size
	for _, r := range []weightRange{
		{0x0d, 0x0d, 3},                                                                                      // shuffle
		{0x26, 0x26, 2}, {0x28, 0x28, 2}, {0x30, 0x30, 2}, {0x32, 0x32, 2}, {0x3a, 0x3a, 2}, {0x3c, 0x3c, 2}, // lt_u, gt_u
		{0x62, 0x62, 3}, {0x67, 0x6a, 2}, {0x6b, 0x6c, 3}, {0x6d, 0x6d, 2}, {0x74, 0x75, 2}, {0x7a, 0x7a, 2},
		{0x7d, 0x7d, 2}, {0x7f, 0x7f, 3}, {0x8b, 0x8d, 2}, {0x94, 0x94, 2}, {0x9d, 0x9d, 2}, {0x9f, 0x9f, 2},
		{0xab, 0xad, 2}, {0xb5, 0xb5, 2}, {0xbc, 0xbf, 2}, {0xcb, 0xcb, 2}, {0xcc, 0xcc, 3}, {0xcd, 0xcd, 2},
		{0xd5, 0xd5, 4},
		{0xe0, 0xe1, 2}, {0xe3, 0xe3, 5}, {0xe4, 0xe6, 2}, {0xe7, 0xe7, 10}, {0xe8, 0xe9, 4}, // f32x4
		{0xec, 0xed, 2}, {0xef, 0xef, 14}, {0xf0, 0xf2, 2}, {0xf3, 0xf3, 12}, {0xf4, 0xf4, 4}, {0xf5, 0xf5, 5}, // f64x2
		{0xf8, 0xf8, 2}, {0xf9, 0xf9, 4}, {0xfb, 0xfb, 4}, {0xfc, 0xfc, 2}, {0xfd, 0xfd, 3},
	} {
		for i := r.from; i <= r.to; i++ {
			weightSIMD[i] = uint16(r.weight)
		}
	}
}

// nanKind says which canonical NaN an instruction's result needs.
type nanKind uint8

const (
	nanNone nanKind = iota
	nanF32
	nanF64
	nanF32x4
	nanF64x2
)

// nanTypes are the types of the results.
var nanTypes = [...]wasmbin.ValType{nanF32: wasmbin.F32, nanF64: wasmbin.F64, nanF32x4: wasmbin.V128, nanF64x2: wasmbin.V128}

// nanOf returns how the result of an instruction is made canonical. The list is that of the core specification,
// "nondeterministic NaN" (section 4.3.3): arithmetic, rounding, square root, min, max, promotion and demotion.
func nanOf(op wasmbin.Op) nanKind {
	switch {
	case op >= 0x8d && op <= 0x97: // f32.ceil … f32.max
		return nanF32
	case op == 0xb6: // f32.demote_f64
		return nanF32
	case op >= 0x9b && op <= 0xa5: // f64.ceil … f64.max
		return nanF64
	case op == 0xbb: // f64.promote_f32
		return nanF64
	case op>>8 != 0xfd:
		return nanNone
	}
	switch op & 0xff {
	case 0x5e, 0x67, 0x68, 0x69, 0x6a, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9: // demote, rounding, sqrt, add … max
		return nanF32x4
	case 0x5f, 0x74, 0x75, 0x7a, 0x94, 0xef, 0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5:
		return nanF64x2
	}
	return nanNone
}
