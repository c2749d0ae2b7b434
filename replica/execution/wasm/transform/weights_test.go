package transform

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	wb "fusion/internal/wasmbin"
)

var update = flag.Bool("update", false, "write weights.md again")

// weightRows name the instructions that do not cost 1; vector instructions go by their numbers.
var weightRows = []struct {
	name string
	ops  []wb.Op
}{
	{"block, loop, else, end", []wb.Op{0x02, 0x03, 0x05, 0x0b}},
	{"if, br, br_if, br_table", []wb.Op{0x04, 0x0c, 0x0d, 0x0e}},
	{"call", []wb.Op{0x10}},
	{"call_indirect", []wb.Op{0x11}},
	{"return_call", []wb.Op{0x12}},
	{"return_call_indirect", []wb.Op{0x13}},
	{"global.get, global.set", []wb.Op{0x23, 0x24}},
	{"table.get, table.set, ref.is_null", []wb.Op{0x25, 0x26, 0xd1}},
	{"memory.size", []wb.Op{0x3f}},
	{"memory.grow, and for each page of 64 KiB", []wb.Op{0x40}},
	{"comparisons of floats", span(0x5b, 0x66)},
	{"integer division and remainder", append(span(0x6d, 0x70), span(0x7f, 0x82)...)},
	{"f32.ceil, floor, trunc, nearest, add, sub, mul, copysign", append(span(0x8d, 0x90), 0x92, 0x93, 0x94, 0x98)},
	{"f32.sqrt", []wb.Op{0x91}},
	{"f32.div, f64.copysign", []wb.Op{0x95, 0xa6}},
	{"f32.min, f32.max, f64.min, f64.max", []wb.Op{0x96, 0x97, 0xa4, 0xa5}},
	{"f64.ceil, floor, trunc, nearest, add, sub, mul", append(span(0x9b, 0x9e), 0xa0, 0xa1, 0xa2)},
	{"f64.sqrt", []wb.Op{0x9f}},
	{"f64.div", []wb.Op{0xa3}},
	{"float to integer, trapping or saturating", append(append(span(0xa8, 0xab), span(0xae, 0xb1)...), span(0xfc00, 0xfc07)...)},
	{"signed integer to float", []wb.Op{0xb2, 0xb4, 0xb7, 0xb9}},
	{"unsigned integer to float", []wb.Op{0xb3, 0xb5, 0xb8, 0xba}},
	{"ref.func", []wb.Op{0xd2}},
	{"memory.init, memory.copy, memory.fill, and for each byte", []wb.Op{0xfc08, 0xfc0a, 0xfc0b}},
	{"table.init, table.copy, table.fill, and for each element", []wb.Op{0xfc0c, 0xfc0e, 0xfc11}},
	{"data.drop, elem.drop", []wb.Op{0xfc09, 0xfc0d}},
	{"table.grow, and for each element", []wb.Op{0xfc0f}},
	{"table.size", []wb.Op{0xfc10}},
}

func span(from, to wb.Op) (out []wb.Op) {
	for op := from; op <= to; op++ {
		out = append(out, op)
	}
	return out
}

// TestWeightTable holds weights.md to the code: all instructions are in it, with what they cost.
func TestWeightTable(t *testing.T) {
	var b strings.Builder
	fmt.Fprintf(&b, "# What instructions cost\n\nEvery instruction that is not listed costs 1. The source of the numbers is named in weights.go.\n"+
		"Written by `go test -run TestWeightTable -update`.\n\n| instruction | cost |\n|---|---|\n")
	units := map[wb.Op]string{0x40: fmt.Sprintf(" + %d", PerPage), 0xfc08: fmt.Sprintf(" + %d", PerByte), 0xfc0c: fmt.Sprintf(" + %d", PerElement),
		0xfc0f: fmt.Sprintf(" + %d", PerElement)}
	listed := map[wb.Op]bool{}
	for _, row := range weightRows {
		for _, op := range row.ops {
			if _, ok := op.Imm(); !ok || listed[op] || Weight(op) != Weight(row.ops[0]) {
				t.Errorf("%s: opcode %#x does not exist, is listed twice, or costs %d instead of %d", row.name, op, Weight(op), Weight(row.ops[0]))
			}
			listed[op] = true
		}
		fmt.Fprintf(&b, "| %s | %d%s |\n", row.name, Weight(row.ops[0]), units[row.ops[0]])
	}
	vectors := map[uint64][]string{}
	for _, op := range slices.Concat(span(0, 0xff), span(0xfc00, 0xfcff), span(0xfd00, 0xfdff)) {
		if _, ok := op.Imm(); !ok || listed[op] || Weight(op) == 1 {
			continue
		}
		if op>>8 != 0xfd {
			t.Errorf("opcode %#x costs %d and is not in the table", op, Weight(op))
		}
		vectors[Weight(op)] = append(vectors[Weight(op)], fmt.Sprintf("%#x", op&0xff))
	}
	b.WriteString("\nVector instructions (0xfd), by number:\n\n| instructions | cost |\n|---|---|\n")
	for w := range uint64(100) {
		if len(vectors[w]) > 0 {
			fmt.Fprintf(&b, "| %s | %d |\n", strings.Join(vectors[w], ", "), w)
		}
	}
	if *update {
		if err := os.WriteFile("weights.md", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile("weights.md")
	if err != nil || string(have) != b.String() {
		t.Errorf("weights.md does not say what instructions cost (%v); write it again with -update", err)
	}
}
