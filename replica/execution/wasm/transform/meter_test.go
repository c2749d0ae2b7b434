package transform

import (
	"bytes"
	"context"
	"testing"

	wb "fusion/internal/wasmbin"
	"fusion/internal/wasmbin/wasmgen"
)

// TestCounterInTime: the counter that the host finds, however a program ends, is the one of code that stores it in every segment.
// Only a trap may have cost an advance that was not used up, and what runs in advance may go on for as long.
func TestCounterInTime(t *testing.T) {
	r := newRuntime(t)
	run := func(src []byte, limit int64, eager bool) outcome {
		res, err := Transform(src, Options{Host: testHost, eager: eager})
		if err != nil {
			t.Fatal(err)
		}
		used, trap, inst := runTransformed(t, r, res, wasmgen.Run, limit)
		defer inst.Close(context.Background())
		mem, _ := inst.ExportedMemory(ExportMemory).Read(0, inst.ExportedMemory(ExportMemory).Size())
		return outcome{trap, used, bytes.Clone(mem)}
	}
	const outOf = "out of instructions"
	traps := map[string]int{}
	for seed := range int64(40) {
		src := wasmgen.Program(seed, wasmgen.Options{SIMD: seed%3 != 0, Memory64: seed%4 == 1, Table64: seed%4 == 2, High: true}).Encode()
		for _, limit := range []int64{200_000, 3_000}[:1+seed%4/3] {
			want, got := run(src, limit, true), run(src, limit, false)
			ok := got.trap == want.trap && (got.trap == outOf || bytes.Equal(got.memory, want.memory))
			switch more := got.used - want.used; {
			case want.trap == outOf:
				ok = got.used > limit
			case want.trap == "":
				ok = ok && more == 0
			default:
				ok = ok && more >= 0 && more <= Advance
			}
			if !ok {
				t.Fatalf("seed %d, limit %d: %q after %d instructions, but %q after %d if every segment stores the counter",
					seed, limit, got.trap, got.used, want.trap, want.used)
			}
			traps[want.trap]++
		}
	}
	if len(traps) < 6 {
		t.Fatalf("the programs are too tame: %v", traps)
	}
}

// TestLoopShapes counts loops of every type, with branches to and across them, by hand.
func TestLoopShapes(t *testing.T) {
	r := newRuntime(t)
	m := func(body []byte) *wb.Module {
		m := module(body, wb.LocalRun{Count: 2, Type: wb.I32}, wb.LocalRun{Count: 1, Type: wb.F64}, wb.LocalRun{Count: 1, Type: wb.V128},
			wb.LocalRun{Count: 1, Type: wb.FuncRef}, wb.LocalRun{Count: 1, Type: wb.F32})
		m.Types = append(m.Types, wb.FuncType{Params: []wb.ValType{wb.I64, wb.I32}, Results: []wb.ValType{wb.I32, wb.I64}})
		m.Exports = append(m.Exports, wb.Export{Name: "memory", Kind: wb.KindMemory})
		m.AddFunc(wb.FuncType{}, wb.Code{Body: new(asm).end()})
		return m
	}
	for _, c := range []struct {
		name string
		body []byte
		want int64
		word uint32 // at address 0
	}{
		// Two parameters go round three times; the loop leaves two results. Before: 3. A round: get 1, const 1, sub 1, tee 1, br_if 2 and
		// i32.add's operands const 1, add 1. Behind: set 1 (the i32), swapped into memory: drop 1, const 1, get 1, store 1.
		{"parameters and results", new(asm).i32(3).idx(wb.OpLocalSet, 0).i64(7).i32(5).
			block(wb.OpLoop, 1).i32(10).op(wb.OpI32Add).idx(wb.OpLocalGet, 0).i32(1).op(wb.OpI32Sub).idx(wb.OpLocalTee, 0).idx(wb.OpBrIf, 0).
			idx(wb.OpLocalSet, 1).op(wb.OpI32WrapI64).idx(wb.OpLocalGet, 1).op(wb.OpI64ExtendI32U, wb.OpEnd).
			op(wb.OpI32WrapI64).idx(wb.OpLocalSet, 1).op(wb.OpDrop).i32(0).idx(wb.OpLocalGet, 1).mem(wb.OpI32Store, 0).end(),
			4 + 3*8 + 4 + 6, 35},
		// A br_table from the inner of two loops: to the inner one twice, to the outer one once, and out.
		{"table of branches", new(asm).block(wb.OpBlock, wb.BlockEmpty).block(wb.OpLoop, wb.BlockEmpty).block(wb.OpLoop, wb.BlockEmpty).
			idx(wb.OpLocalGet, 0).i32(1).op(wb.OpI32Add).idx(wb.OpLocalTee, 0).i32(0).idx(wb.OpLocalGet, 0).mem(wb.OpI32Store, 0).
			raw(byte(wb.OpBrTable), 4, 0, 0, 0, 1, 2).op(wb.OpEnd, wb.OpEnd, wb.OpEnd).end(), 4 * (4 + 3 + 2), 4},
		// All kinds of locals change in a loop with a call, which is left by a return.
		{"locals and calls", new(asm).block(wb.OpLoop, wb.BlockEmpty).
			idx(wb.OpLocalGet, 2).idx(wb.OpLocalSet, 2).idx(wb.OpLocalGet, 3).idx(wb.OpLocalSet, 3).idx(wb.OpLocalGet, 4).idx(wb.OpLocalSet, 4).
			idx(wb.OpLocalGet, 5).idx(wb.OpLocalSet, 5).idx(wb.OpCall, 1).
			idx(wb.OpLocalGet, 0).i32(1).op(wb.OpI32Add).idx(wb.OpLocalTee, 0).i32(100).op(wb.OpI32GeU).
			block(wb.OpIf, wb.BlockEmpty).op(wb.OpReturn, wb.OpEnd).idx(wb.OpBr, 0).op(wb.OpEnd).end(), 100*(8+5+6+2) + 99*2 + 1, 0},
	} {
		res := mustTransform(t, m(c.body))
		for _, limit := range []int64{1e9, c.want, c.want - 1, 10} {
			used, trap, inst := runTransformed(t, r, res, wasmgen.Run, limit)
			word, _ := inst.ExportedMemory(ExportMemory).ReadUint32Le(0)
			if limit >= c.want && (used != c.want || trap != "" || word != c.word) || used < min(limit, c.want) || used > limit+Advance+c.want {
				t.Errorf("%s with %d: used %d (%q), left %d; want %d and %d", c.name, limit, used, trap, word, c.want, c.word)
			}
		}
	}
}

// TestAdvance: a loop without calls that traps has cost what was paid in advance, which follows from the rounds that it made.
func TestAdvance(t *testing.T) {
	r := newRuntime(t)
	const before, round = 2, 8
	body := func(step int32) []byte { // const 1, set 1; a round: get 1, load8 1, drop 1, get 1, const 1, add 1, set 1 …
		return new(asm).i32(step).idx(wb.OpLocalSet, 0).block(wb.OpLoop, wb.BlockEmpty).idx(wb.OpLocalGet, 0).mem(wb.OpI32Load8U, 0).
			op(wb.OpDrop).idx(wb.OpLocalGet, 0).i32(step).op(wb.OpI32Add).idx(wb.OpLocalSet, 0).idx(wb.OpBr, 0).op(wb.OpEnd).end()
	}
	for _, step := range []int32{1 << 16, 1 << 12, 100, 7, 1} {
		used, want := int64(before), int64(before+Advance)
		for at := step; ; at += step {
			if used > want {
				want = used + Advance
			}
			if used += round + 1; at >= 1<<16 { // … and br 2
				break
			}
		}
		got, trap, _ := runTransformed(t, r, mustTransform(t, module(body(step), wb.LocalRun{Count: 1, Type: wb.I32})), wasmgen.Run, 1e9)
		if trap != "out of bounds memory access" || got != want {
			t.Errorf("step %d: %q after %d, want %d", step, trap, got, want)
		}
	}
}
