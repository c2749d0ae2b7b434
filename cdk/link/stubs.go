package link

import (
	"errors"
	"fmt"

	"fusion/cdk"
	"fusion/internal/wasmbin"
)

// Error numbers of WASI preview 1.
const (
	errnoBadf  = 8
	errnoNosys = 52
)

var errUnknown = errors.New("neither ic0, WASI nor a function of the linker")

// stub writes the function that stands for an import.
func (l *linker) stub(imp wasmbin.Import, t wasmbin.FuncType) (wasmbin.Code, error) {
	var want wasmbin.FuncType
	var code func() wasmbin.Code
	switch imp.Module {
	case wasi:
		want, code = l.wasi(imp.Name, t)
	case own:
		switch imp.Name {
		case "callback":
			want, code = wasmbin.FuncType{Params: types(i32), Results: types(i32)}, func() wasmbin.Code {
				return (&asm{}).get(0).i32(int32(l.callbacks) - int32(cdk.EntryReply)).op(wasmbin.OpI32Add).code()
			}
		case "sha256":
			want, code = wasmbin.FuncType{Params: types(i32, i32, i32)}, sha256Sum
		}
	}
	if code == nil {
		return wasmbin.Code{}, errUnknown
	}
	if !t.Equal(want) {
		return wasmbin.Code{}, fmt.Errorf("has the type %v, want %v", t, want)
	}
	return code(), nil
}

// wasi returns the type and body of a WASI function (preview 1). What has no meaning in a canister fails with an error number.
func (l *linker) wasi(name string, declared wasmbin.FuncType) (wasmbin.FuncType, func() wasmbin.Code) {
	result := types(i32)
	fail := func(errno int32) func() wasmbin.Code {
		return func() wasmbin.Code { return (&asm{}).i32(errno).code() }
	}
	switch name {
	case "sched_yield":
		return wasmbin.FuncType{Results: result}, fail(0)
	case "args_get", "environ_get":
		return wasmbin.FuncType{Params: types(i32, i32), Results: result}, fail(0)
	case "args_sizes_get", "environ_sizes_get":
		return wasmbin.FuncType{Params: types(i32, i32), Results: result}, func() wasmbin.Code {
			return (&asm{}).get(0).i32(0).store32(0).get(1).i32(0).store32(0).i32(0).code()
		}
	case "clock_time_get": // (clock, precision, out)
		return wasmbin.FuncType{Params: types(i32, i64, i32), Results: result}, func() wasmbin.Code {
			return (&asm{}).get(2).call(l.ic["time"]).mem(wasmbin.OpI64Store, 0, 0).i32(0).code()
		}
	case "random_get":
		return wasmbin.FuncType{Params: types(i32, i32), Results: result}, l.random
	case "fd_write":
		return wasmbin.FuncType{Params: types(i32, i32, i32, i32), Results: result}, l.write
	case "proc_exit":
		return wasmbin.FuncType{Params: types(i32)}, func() wasmbin.Code {
			return l.trap(&asm{}, "the Go program ended (a fatal error or os.Exit; the log has its output)").code()
		}
	case "poll_oneoff":
		return wasmbin.FuncType{Params: types(i32, i32, i32, i32), Results: result}, func() wasmbin.Code {
			return l.trap(&asm{}, "a canister cannot sleep or wait: use timers and callbacks").code()
		}
	}
	if len(declared.Results) != 1 || declared.Results[0] != i32 {
		return wasmbin.FuncType{}, nil
	}
	if len(name) > 3 && name[:3] == "fd_" {
		return declared, fail(errnoBadf)
	}
	return declared, fail(errnoNosys)
}

// write prints each buffer: (fd, iovs, count, written).
func (l *linker) write() wasmbin.Code {
	const iovs, count, written, total = 1, 2, 3, 4
	a := (&asm{}).local(1, i32)
	a.block().loop()
	a.get(count).op(wasmbin.OpI32Eqz).brIf(1)
	a.get(iovs).load32(0).get(iovs).load32(4).call(l.ic["debug_print"])
	a.get(total).get(iovs).load32(4).op(wasmbin.OpI32Add).set(total)
	a.get(iovs).i32(8).op(wasmbin.OpI32Add).set(iovs)
	a.get(count).i32(1).op(wasmbin.OpI32Sub).set(count)
	a.br(0).end().end()
	a.get(written).get(total).store32(0)
	return a.i32(0).code()
}

// random fills (buf, len) with splitmix64 seeded from the time and the canister's id, but only while the runtime starts.
func (l *linker) random() wasmbin.Code {
	const buf, size, n, s = 0, 1, 2, 3
	a := (&asm{}).local(1, i32).local(2, i64)
	const z = s + 1
	a.globalGet(l.booted).ifThen()
	l.trap(a, "a canister has no secrets of its own: crypto/rand does not work, use raw_rand of the management canister")
	a.end()
	// The first bytes of the id, by way of the buffer.
	a.call(l.ic["canister_self_size"]).tee(n).get(size).get(n).get(size).op(wasmbin.OpI32LtU, wasmbin.OpSelect).set(n)
	a.get(buf).i32(0).get(n).call(l.ic["canister_self_copy"])
	a.globalGet(l.seed).call(l.ic["time"]).op(opI64Xor).set(s)
	a.get(size).i32(8).op(wasmbin.OpI32GeU).ifThen()
	a.get(s).get(buf).mem(wasmbin.OpI64Load, 0, 0).op(opI64Xor).set(s)
	a.end()
	a.block().loop()
	a.get(size).op(wasmbin.OpI32Eqz).brIf(1)
	a.get(s).i64(-0x61c8864680b583eb).op(wasmbin.OpI64Add).tee(s).set(z)
	for _, step := range []struct {
		shift int64
		mul   uint64
	}{{30, 0xbf58476d1ce4e5b9}, {27, 0x94d049bb133111eb}, {31, 1}} {
		a.get(z).get(z).i64(step.shift).op(opI64ShrU, opI64Xor).i64(int64(step.mul)).op(wasmbin.OpI64Mul).set(z)
	}
	a.get(buf).get(z).mem(opI64Store8, 0, 0)
	a.get(buf).i32(1).op(wasmbin.OpI32Add).set(buf)
	a.get(size).i32(1).op(wasmbin.OpI32Sub).set(size)
	a.br(0).end().end()
	a.get(s).globalSet(l.seed)
	return a.i32(0).code()
}
