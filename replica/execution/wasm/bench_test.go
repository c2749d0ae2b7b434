package wasm

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	wb "fusion/internal/wasmbin"
)

// toucher writes one byte into each of the first n pages; n is the argument's first byte.
func toucher(wasmPages uint64) []byte {
	m := newBuilder(wasmPages)
	m.imp("msg_arg_data_copy", i32s(3), nil)
	m.fn("canister_update touch", new(asm).i32(0).i32(0).i32(1).call(m, "msg_arg_data_copy").
		i32(0).mem(wb.OpI32Load8U, 0).idx(wb.OpLocalSet, 0).
		block(wb.OpLoop, wb.BlockEmpty).
		idx(wb.OpLocalGet, 0).i32(PageSize).op(wb.OpI32Mul).
		idx(wb.OpLocalGet, 0).i32(PageSize).op(wb.OpI32Mul).mem(wb.OpI32Load8U, 9).i32(1).op(wb.OpI32Add).
		mem(wb.OpI32Store8, 9).
		idx(wb.OpLocalGet, 0).i32(1).op(wb.OpI32Sub).idx(wb.OpLocalTee, 0).idx(wb.OpBrIf, 0).op(wb.OpEnd).end(), wb.I32)
	m.fn("canister_query nop", new(asm).i32(0).i32(1).mem(wb.OpI32Store, 8).end())
	return m.Encode()
}

func BenchmarkUpdate10Pages(b *testing.B) {
	for _, cfg := range []Config{{}, {PlainHeaps: true}} {
		for _, mib := range []uint64{4, 64, 1024} {
			if cfg.PlainHeaps && mib > 64 {
				continue
			}
			b.Run(fmt.Sprintf("%dMiB/plain=%v", mib, cfg.PlainHeaps), func(b *testing.B) {
				inst, _ := install(b, newEngine(b, cfg), toucher(mib*16))
				inst.Ctx = &testState{arg: []byte{10}}
				run := 0
				for b.Loop() {
					run++
					if _, err := inst.Run("canister_update touch", 1e6); err != nil {
						b.Fatal(err)
					}
					if pages, _, _, err := inst.Commit(); err != nil || (len(pages) != 10 && run > 1) {
						b.Fatal(len(pages), err)
					}
				}
			})
		}
	}
}

func BenchmarkRollback10Pages(b *testing.B) {
	inst, _ := install(b, newEngine(b, Config{}), toucher(64))
	inst.Ctx = &testState{arg: []byte{10}}
	for b.Loop() {
		if _, err := inst.Run("canister_update touch", 1e6); err != nil {
			b.Fatal(err)
		}
		if err := inst.Rollback(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUpdateCold is an update on an instance whose pages were dropped before.
func BenchmarkUpdateCold(b *testing.B) {
	inst, _ := install(b, newEngine(b, Config{}), toucher(64))
	inst.Ctx = &testState{arg: []byte{10}}
	for b.Loop() {
		if _, err := inst.Run("canister_update touch", 1e6); err != nil {
			b.Fatal(err)
		}
		if _, _, _, err := inst.Commit(); err != nil {
			b.Fatal(err)
		}
		if err := inst.Drop(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkQuery(b *testing.B) {
	for _, mib := range []uint64{4, 64} {
		run := func(b *testing.B, img *Image) {
			q, err := img.Query()
			if err != nil {
				b.Fatal(err)
			}
			if _, err := q.Run("canister_query nop", 1e6); err != nil {
				b.Fatal(err)
			}
			if err := q.Release(); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(fmt.Sprintf("%dMiB", mib), func(b *testing.B) {
			_, img := install(b, newEngine(b, Config{}), toucher(mib*16))
			for b.Loop() {
				run(b, img)
			}
		})
		b.Run(fmt.Sprintf("%dMiB/parallel", mib), func(b *testing.B) {
			_, img := install(b, newEngine(b, Config{}), toucher(mib*16))
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					run(b, img)
				}
			})
		})
	}
}

func BenchmarkNewInstance(b *testing.B) {
	src, err := goBench()
	if err != nil {
		b.Fatal(err)
	}
	for name, module := range map[string][]byte{"small": counterCanister(), "go": src} {
		b.Run(name, func(b *testing.B) {
			_, img := install(b, newEngine(b, Config{}), module)
			for b.Loop() {
				inst, err := img.Module().NewInstance(img)
				if err != nil {
					b.Fatal(err)
				}
				if err := inst.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// wat benchmarks: the loops of a compiler without a runtime around them.
func loops() []byte {
	m := newBuilder(256)
	fib := uint32(0)
	one := []wb.ValType{wb.I32}
	m.AddFunc(wb.FuncType{Params: one, Results: one}, wb.Code{Body: new(asm).idx(wb.OpLocalGet, 0).i32(2).op(wb.OpI32LtS).
		block(wb.OpIf, wb.BlockResult(wb.I32)).idx(wb.OpLocalGet, 0).op(wb.OpElse).
		idx(wb.OpLocalGet, 0).i32(1).op(wb.OpI32Sub).idx(wb.OpCall, fib).
		idx(wb.OpLocalGet, 0).i32(2).op(wb.OpI32Sub).idx(wb.OpCall, fib).op(wb.OpI32Add, wb.OpEnd).end()})
	m.fn("canister_update fib", new(asm).i32(27).idx(wb.OpCall, fib).op(wb.OpDrop).end())
	// for i = 2; i < n; i++ { if s[i] == 0 { for j = 2i; j < n; j += i { s[j] = 1 } } }
	const n = 1 << 20
	m.fn("canister_update sieve", new(asm).
		i32(0).i32(0).i32(n).op(wb.OpMemoryFill).raw(0).
		i32(2).idx(wb.OpLocalSet, 0).
		block(wb.OpLoop, wb.BlockEmpty).
		idx(wb.OpLocalGet, 0).mem(wb.OpI32Load8U, 0).op(wb.OpI32Eqz).block(wb.OpIf, wb.BlockEmpty).
		idx(wb.OpLocalGet, 0).i32(2).op(wb.OpI32Mul).idx(wb.OpLocalSet, 1).
		block(wb.OpBlock, wb.BlockEmpty).block(wb.OpLoop, wb.BlockEmpty).
		idx(wb.OpLocalGet, 1).i32(n).op(wb.OpI32GeU).idx(wb.OpBrIf, 1).
		idx(wb.OpLocalGet, 1).i32(1).mem(wb.OpI32Store8, 0).
		idx(wb.OpLocalGet, 1).idx(wb.OpLocalGet, 0).op(wb.OpI32Add).idx(wb.OpLocalSet, 1).idx(wb.OpBr, 0).
		op(wb.OpEnd, wb.OpEnd, wb.OpEnd).
		idx(wb.OpLocalGet, 0).i32(1).op(wb.OpI32Add).idx(wb.OpLocalTee, 0).i32(n).op(wb.OpI32LtU).idx(wb.OpBrIf, 0).op(wb.OpEnd).
		end(), wb.I32, wb.I32)
	return m.Encode()
}

// BenchmarkMetering runs the same code as it is and transformed.
func BenchmarkMetering(b *testing.B) {
	src, err := goBench()
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	for _, c := range []struct {
		name   string
		module []byte
		runs   []string
	}{{"wat", loops(), []string{"fib", "sieve"}}, {"go", src, []string{"fib", "sieve", "sha"}}} {
		rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
		host := rt.NewHostModuleBuilder("ic0")
		none := api.GoModuleFunc(func(context.Context, api.Module, []uint64) {})
		host.NewFunctionBuilder().WithGoModuleFunction(none, []api.ValueType{api.ValueTypeI32, api.ValueTypeI32}, nil).Export("msg_reply_data_append")
		if _, err := host.Instantiate(ctx); err != nil {
			b.Fatal(err)
		}
		plain, err := rt.InstantiateWithConfig(ctx, c.module, wazero.NewModuleConfig().WithStartFunctions())
		if err != nil {
			b.Fatal(err)
		}
		inst, _ := install(b, newEngine(b, Config{}), c.module)
		if inst.mod.HasStart() {
			if _, err := inst.Run(Start, 1e10); err != nil {
				b.Fatal(err)
			}
		}
		for _, run := range c.runs {
			b.Run(c.name+"/"+run+"/plain", func(b *testing.B) {
				f := plain.ExportedFunction("canister_update " + run)
				for b.Loop() {
					if _, err := f.Call(ctx); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(c.name+"/"+run+"/metered", func(b *testing.B) {
				var used uint64
				for b.Loop() {
					used, err = inst.Run("canister_update "+run, 1e12)
					if err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(used)*float64(b.N)/b.Elapsed().Seconds()/1e9, "Ginstr/s")
			})
		}
		if err := errors.Join(rt.Close(ctx)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompileGo(b *testing.B) {
	src, err := goBench()
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	warm := func(b *testing.B, dir string) {
		e := newEngine(b, Config{CacheDir: dir})
		m, err := e.Compile(src)
		if err != nil {
			b.Fatal(err)
		}
		if err := m.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			warm(b, "")
		}
	})
	warm(b, dir)
	b.Run("cached", func(b *testing.B) {
		for b.Loop() {
			warm(b, dir)
		}
	})
}
