package wasm

import (
	"bytes"
	"testing"

	"fusion/internal/wasmbin/wasmgen"
)

// TestRandomPrograms: what a random program computes and costs is the same the first time, after a rollback, in slices,
// in a query beside it, on copied heaps, and on an image that was committed and loaded again.
func TestRandomPrograms(t *testing.T) {
	mapped, plain := newEngine(t, Config{}), newEngine(t, Config{PlainHeaps: true})
	type outcome struct {
		used uint64
		trap string
		heap []byte
	}
	trapped := 0
	for seed := range int64(40) {
		src := wasmgen.Program(seed, wasmgen.Options{SIMD: seed&1 != 0, Memory64: seed&2 != 0, Table64: seed&4 != 0, High: true}).Encode()
		run := func(inst *Instance, slice uint64) (o outcome) {
			const total = 300_000
			given := min(slice, total)
			inst.Refill = func() uint64 {
				more := min(total-given, slice)
				given += more
				return more
			}
			var err error
			if o.used, err = inst.Run(wasmgen.Run, given); err != nil {
				if _, ok := err.(*Trap); !ok {
					t.Fatalf("seed %d: %v", seed, err)
				}
				o.trap = err.Error()
			}
			heap, _ := inst.Memory(0, uint64(inst.WasmPages())*WasmPage)
			o.heap = bytes.Clone(heap)
			return o
		}
		inst, img := install(t, mapped, src)
		want := run(inst, 1<<40)
		if want.trap != "" {
			trapped++
		}
		check := func(what string, got outcome) {
			t.Helper()
			if got.used != want.used || got.trap != want.trap || !bytes.Equal(got.heap, want.heap) {
				t.Fatalf("seed %d, %s: used %d, trap %q; at first %d and %q", seed, what, got.used, got.trap, want.used, want.trap)
			}
		}
		rollback := func() {
			t.Helper()
			if err := inst.Rollback(); err != nil {
				t.Fatal(err)
			}
		}
		rollback()
		check("after a rollback", run(inst, 1<<40))
		rollback()
		check("in slices", run(inst, 97))
		q, err := img.Query()
		if err != nil {
			t.Fatal(err)
		}
		check("in a query", run(q, 1<<40))
		if err := q.Release(); err != nil {
			t.Fatal(err)
		}
		other, _ := install(t, plain, src)
		check("on copied heaps", run(other, 1<<40))
		// What was committed is another start; two ways to get there must agree about the next run.
		if _, _, _, err := inst.Commit(); err != nil {
			t.Fatal(err)
		}
		loaded, err := img.Module().LoadImage(img.WasmPages(), img.Globals(), func(put func(uint32, []byte) error) error { return img.Pages(put) })
		if err != nil {
			t.Fatal(err)
		}
		again, err := img.Module().NewInstance(loaded)
		if err != nil {
			t.Fatal(err)
		}
		want = run(inst, 1<<40)
		check("on a loaded image", run(again, 1<<40))
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		if err := loaded.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if trapped < 5 || trapped > 30 {
		t.Fatalf("%d of 40 programs trapped", trapped)
	}
}
