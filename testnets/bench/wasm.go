package bench

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"

	wb "fusion/internal/wasmbin"
	"fusion/replica"
	"fusion/replica/execution/wasm"
	"fusion/testnets/canisters"
	"fusion/testnets/wasmtime"
)

const (
	// wasmRounds is how often each engine runs each program, one engine after the other; the fastest round counts.
	wasmRounds = 12
	// wasmMessages is how many messages the mean cost of a message is of.
	wasmMessages = 1000
	// sieveSize is the number of bytes of the memory-bound program, more than the caches of a core hold.
	sieveSize = 8 << 20
	// installSize is the size of the module whose installation is measured.
	installSize = 3_000_000

	unmetered    = "the same module as it is, wazero"
	wasmtimeFuel = "the same module, wasmtime with fuel"
)

// wasm measures the engine alone: no network is needed.
func (s *suite) wasm(context.Context) error {
	for _, f := range []func() error{s.wasmSpeed, s.wasmMessages, s.wasmInstall} {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// wasmProgram is a program of the comparison.
type wasmProgram struct {
	name   string
	memory *wb.Limits
	body   func(m *wb.Module, is64 bool) uint32
}

var (
	narrow = wb.Limits{Min: sieveSize>>16 + 1}
	wide   = wb.Limits{Min: sieveSize>>16 + 1, Is64: true}

	wasmPrograms = []wasmProgram{
		{"cpu", nil, mixProgram},
		{"memory", &narrow, sieveProgram},
		{"calls", nil, fibProgram},
		{"memory64", &wide, sieveProgram},
	}
)

const wasmExport = "canister_update run"

// module assembles a program.
func (p wasmProgram) module() []byte {
	m := &wb.Module{}
	is64 := false
	if p.memory != nil {
		m.Memories, is64 = []wb.Limits{*p.memory}, p.memory.Is64
	}
	m.Exports = []wb.Export{{Name: wasmExport, Kind: wb.KindFunc, Index: p.body(m, is64)}}
	return m.Encode()
}

// code assembles instructions from opcodes, which stand for themselves, and pieces.
func code(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case wb.Op:
			b = wb.AppendOp(b, p)
		case []byte:
			b = append(b, p...)
		}
	}
	return wb.AppendOp(b, wb.OpEnd)
}

func get(i uint32) []byte { return wb.AppendIndex(nil, wb.OpLocalGet, i) }
func set(i uint32) []byte { return wb.AppendIndex(nil, wb.OpLocalSet, i) }
func tee(i uint32) []byte { return wb.AppendIndex(nil, wb.OpLocalTee, i) }

// The opcodes that package wasmbin has no name for.
const (
	opI64Xor  wb.Op = 0x85
	opI64Shl  wb.Op = 0x86
	opI64ShrU wb.Op = 0x88
	opI64Rotl wb.Op = 0x89
	opI64LtU  wb.Op = 0x54
	opI64GeU  wb.Op = 0x5a
)

// mixProgram is bound by arithmetic: eight million rounds of a random number generator, in registers.
func mixProgram(m *wb.Module, _ bool) uint32 {
	const x, sum, n = 0, 1, 2
	num := func(v int64) []byte { return wb.AppendI64(nil, v) }
	return m.AddFunc(wb.FuncType{}, wb.Code{
		Locals: []wb.LocalRun{{Count: 3, Type: wb.I64}},
		Body: code(num(88172645463325252), set(x), num(8_000_000), set(n), wb.AppendBlock(nil, wb.OpLoop, wb.BlockEmpty),
			get(x), get(x), num(13), opI64Shl, opI64Xor, tee(x), num(7), opI64ShrU, get(x), opI64Xor, tee(x),
			num(17), opI64Shl, get(x), opI64Xor, tee(x), num(0x5851f42d4c957f2d), wb.OpI64Mul, num(31), opI64Rotl,
			get(sum), wb.OpI64Add, set(sum),
			get(n), num(1), wb.OpI64Sub, tee(n), wb.OpI64Eqz, wb.OpI32Eqz, wb.AppendIndex(nil, wb.OpBrIf, 0), wb.OpEnd,
			get(sum), wb.OpI64Eqz, wb.AppendBlock(nil, wb.OpIf, wb.BlockEmpty), wb.OpUnreachable, wb.OpEnd),
	})
}

// fibProgram is bound by calls: seven million of them.
func fibProgram(m *wb.Module, _ bool) uint32 {
	one := []wb.ValType{wb.I32}
	const fib = 0
	num := func(v int32) []byte { return wb.AppendI32(nil, v) }
	call := wb.AppendIndex(nil, wb.OpCall, fib)
	m.AddFunc(wb.FuncType{Params: one, Results: one}, wb.Code{Body: code(get(0), num(2), wb.OpI32LtS,
		wb.AppendBlock(nil, wb.OpIf, wb.BlockResult(wb.I32)), get(0), wb.OpElse,
		get(0), num(1), wb.OpI32Sub, call, get(0), num(2), wb.OpI32Sub, call, wb.OpI32Add, wb.OpEnd)})
	return m.AddFunc(wb.FuncType{}, wb.Code{Body: code(num(32), call, wb.OpDrop)})
}

// sieveProgram is bound by memory: the sieve of Eratosthenes, a byte for each number.
//
//	for i := 2; i < n; i++ { if s[i] == 0 { for j := 2*i; j < n; j += i { s[j] = 1 } } }
func sieveProgram(m *wb.Module, is64 bool) uint32 {
	const i, j = 0, 1
	typ, add, mul, ltU, geU := wb.I32, wb.OpI32Add, wb.OpI32Mul, wb.OpI32LtU, wb.OpI32GeU
	num := func(v int64) []byte { return wb.AppendI32(nil, int32(v)) }
	if is64 {
		typ, add, mul, ltU, geU = wb.I64, wb.OpI64Add, wb.OpI64Mul, opI64LtU, opI64GeU
		num = func(v int64) []byte { return wb.AppendI64(nil, v) }
	}
	load, store := wb.AppendMemArg(nil, wb.OpI32Load8U, 0, 0), wb.AppendMemArg(nil, wb.OpI32Store8, 0, 0)
	value := wb.AppendI32(nil, 0)
	return m.AddFunc(wb.FuncType{}, wb.Code{
		Locals: []wb.LocalRun{{Count: 2, Type: typ}},
		Body: code(num(0), value, num(sieveSize), append(wb.AppendOp(nil, wb.OpMemoryFill), 0), num(2), set(i),
			wb.AppendBlock(nil, wb.OpLoop, wb.BlockEmpty), get(i), load, wb.OpI32Eqz, wb.AppendBlock(nil, wb.OpIf, wb.BlockEmpty),
			get(i), num(2), mul, set(j),
			wb.AppendBlock(nil, wb.OpBlock, wb.BlockEmpty), wb.AppendBlock(nil, wb.OpLoop, wb.BlockEmpty),
			get(j), num(sieveSize), geU, wb.AppendIndex(nil, wb.OpBrIf, 1),
			get(j), wb.AppendI32(nil, 1), store, get(j), get(i), add, set(j), wb.AppendIndex(nil, wb.OpBr, 0), wb.OpEnd, wb.OpEnd, wb.OpEnd,
			get(i), num(1), add, tee(i), num(sieveSize), ltU, wb.AppendIndex(nil, wb.OpBrIf, 0), wb.OpEnd),
	})
}

// wasmSpeed runs each program metered in our engine, as it is in the engine below ours, and in wasmtime with fuel.
func (s *suite) wasmSpeed() (err error) {
	s.Progress.Begin("speed of wasm")
	dir, err := os.MkdirTemp("", "fusion-bench-wasm-")
	if err != nil {
		return fmt.Errorf("a directory for modules: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var other *wasmtime.Process
	if s.Wasmtime != "" {
		if other, err = wasmtime.Start(s.Wasmtime); errors.Is(err, wasmtime.ErrMissing) {
			s.Progress.Done("wasmtime not measured: %s", wasmtime.Build)
		} else if err != nil {
			return err
		} else {
			defer func() { err = errors.Join(err, other.Close()) }()
		}
	}
	product, narrowTime := 1.0, 0.0
	for _, p := range wasmPrograms {
		t, err := p.measure(dir, other)
		if err != nil {
			return fmt.Errorf("program %s: %w", p.name, err)
		}
		rate := func(seconds float64) float64 { return t.instructions / seconds / 1e9 }
		name, unit := "wasm_"+p.name, "G instructions/s"
		switch {
		case p.name == "memory64":
			s.add(name+"_vs_32bit", rate(t.ours), unit, "the same program with 32-bit addresses", rate(narrowTime))
		default:
			s.add(name+"_vs_unmetered", rate(t.ours), unit, unmetered, rate(t.plain))
		}
		if p.name == "memory" {
			narrowTime = t.ours
		}
		if t.wasmtime == 0 {
			continue
		}
		s.add(name+"_vs_wasmtime", rate(t.ours), unit, wasmtimeFuel, rate(t.wasmtime))
		if p.name != "memory64" {
			product *= t.wasmtime / t.ours
		}
	}
	if other != nil {
		s.add("wasm_vs_wasmtime", math.Cbrt(product), "times as fast", "our aim; mean of cpu, memory and calls", wasmTarget)
	}
	return nil
}

// wasmTimes are the seconds that a program took at best.
type wasmTimes struct{ instructions, ours, plain, wasmtime float64 }

// measure runs a program by turns in all engines.
func (p wasmProgram) measure(dir string, other *wasmtime.Process) (t wasmTimes, err error) {
	ctx, module := context.Background(), p.module()
	eng, err := replica.NewEngine(filepath.Join(dir, "cache"))
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, eng.Close()) }()
	c, err := load(eng, module)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	used := uint64(0)
	runs := map[*float64]func() (time.Duration, error){&t.ours: func() (time.Duration, error) {
		began := time.Now()
		used, err = c.inst.Run(wasmExport, math.MaxInt64)
		return time.Since(began), err
	}}
	order := []*float64{&t.ours}
	if p.memory == nil || !p.memory.Is64 { // the engine below ours has no 64-bit memories
		rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
		defer func() { err = errors.Join(err, rt.Close(ctx)) }()
		inst, err := rt.InstantiateWithConfig(ctx, module, wazero.NewModuleConfig().WithStartFunctions())
		if err != nil {
			return t, err
		}
		f := inst.ExportedFunction(wasmExport)
		runs[&t.plain] = func() (time.Duration, error) {
			began := time.Now()
			_, err := f.Call(ctx)
			return time.Since(began), err
		}
		order = append(order, &t.plain)
	}
	if other != nil {
		path := filepath.Join(dir, p.name+".wasm")
		if err := os.WriteFile(path, module, 0o600); err != nil {
			return t, fmt.Errorf("writing the module: %w", err)
		}
		runs[&t.wasmtime] = func() (time.Duration, error) {
			a, err := other.Run(wasmtime.Request{Module: path, Export: wasmExport, Fuel: 1 << 60, NaN: true})
			if err == nil && a.Trap != "" {
				err = fmt.Errorf("wasmtime: %s", a.Trap)
			}
			return time.Duration(a.NS), err
		}
		order = append(order, &t.wasmtime)
	}
	for range wasmRounds {
		for _, best := range order {
			took, err := runs[best]()
			if err != nil {
				return t, err
			}
			if v := took.Seconds(); *best == 0 || v < *best {
				*best = v
			}
		}
	}
	t.instructions = float64(used)
	return t, nil
}

// loaded is a module with an instance over its first image.
type loaded struct {
	mod  *wasm.Module
	img  *wasm.Image
	inst *wasm.Instance
}

func load(eng *wasm.Engine, module []byte) (c loaded, err error) {
	if c.mod, err = eng.Compile(module); err != nil {
		return c, err
	}
	if c.img, err = c.mod.NewImage(); err != nil {
		return c, errors.Join(err, c.mod.Close())
	}
	if c.inst, err = c.mod.NewInstance(c.img); err != nil {
		return c, errors.Join(err, c.img.Close(), c.mod.Close())
	}
	return c, nil
}

func (c loaded) close() error { return errors.Join(c.inst.Close(), c.img.Close(), c.mod.Close()) }

// writerModule is a canister that writes a byte to each of its first pages (run) and reads one of each of all pages (read).
func writerModule(wasmPages uint64) []byte {
	m := &wb.Module{Memories: []wb.Limits{{Min: wasmPages}}}
	num := func(v int) []byte { return wb.AppendI32(nil, int32(v)) }
	loop := func(from, n int, visit []byte) uint32 {
		return m.AddFunc(wb.FuncType{}, wb.Code{
			Locals: []wb.LocalRun{{Count: 1, Type: wb.I32}},
			Body: code(num(n), set(0), wb.AppendBlock(nil, wb.OpLoop, wb.BlockEmpty), get(0), num(1), wb.OpI32Sub, tee(0),
				num(wasm.PageSize), wb.OpI32Mul, visit, get(0), num(from), wb.OpI32GtU, wb.AppendIndex(nil, wb.OpBrIf, 0), wb.OpEnd),
		})
	}
	byteOf := wb.AppendMemArg(nil, wb.OpI32Load8U, 0, 9)
	write := slices.Concat(wb.AppendOp(nil, wb.OpDrop), get(0), num(wasm.PageSize), wb.AppendOp(nil, wb.OpI32Mul),
		get(0), num(wasm.PageSize), wb.AppendOp(nil, wb.OpI32Mul), byteOf, num(1), wb.AppendOp(nil, wb.OpI32Add),
		wb.AppendMemArg(nil, wb.OpI32Store8, 0, 9))
	// A load whose value nobody uses would be optimised away.
	read := slices.Concat(byteOf, num(255), wb.AppendOp(nil, wb.OpI32GtU), wb.AppendBlock(nil, wb.OpIf, wb.BlockEmpty),
		wb.AppendOp(nil, wb.OpUnreachable), wb.AppendOp(nil, wb.OpEnd))
	m.Exports = []wb.Export{
		{Name: wasmExport, Kind: wb.KindFunc, Index: loop(0, dirtyPages, write)},
		{Name: "canister_update read", Kind: wb.KindFunc, Index: loop(0, int(wasmPages)*wasm.WasmPage/wasm.PageSize, read)},
	}
	return m.Encode()
}

// dirtyPages is the number of pages that a message writes.
const dirtyPages = 10

// wasmMessages measures an update that writes ten pages, from its call to the end of its commit.
func (s *suite) wasmMessages() error {
	for _, h := range []struct {
		name string
		mib  uint64
	}{{"64mib", 64}, {"1gib", 1024}} {
		s.Progress.Begin("messages on a heap of " + h.name)
		cost, err := messageCost(wasm.Config{}, h.mib, wasmMessages)
		if err != nil {
			return err
		}
		reference, name := 0.0, ""
		if h.mib == 64 { // a gigabyte would take seconds
			if reference, err = messageCost(wasm.Config{PlainHeaps: true}, h.mib, 12); err != nil {
				return err
			}
			name = "every page of the heap compared"
		}
		s.add("wasm_update_10_pages_"+h.name+"_us", cost, "µs", name, reference)
	}
	return nil
}

// messageCost returns the mean microseconds of messages on a heap all of whose pages were read before.
func messageCost(cfg wasm.Config, mib uint64, messages int) (_ float64, err error) {
	eng, err := wasm.NewEngine(cfg)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, eng.Close()) }()
	c, err := load(eng, writerModule(mib<<20/wasm.WasmPage))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	message := func(export string) error {
		if _, err := c.inst.Run(export, math.MaxInt64); err != nil {
			return err
		}
		pages, _, _, err := c.inst.Commit()
		if err == nil && export == wasmExport && len(pages) != dirtyPages {
			err = fmt.Errorf("a message wrote %d pages instead of %d", len(pages), dirtyPages)
		}
		return err
	}
	if err := message("canister_update read"); err != nil {
		return 0, err
	}
	began := time.Now()
	for range messages {
		if err := message(wasmExport); err != nil {
			return 0, err
		}
	}
	return float64(time.Since(began).Nanoseconds()) / 1e3 / float64(messages), nil
}

// wasmInstall measures how long it takes until a module of 3 MB could run: transformed, compiled, with an image and an instance.
func (s *suite) wasmInstall() error {
	s.Progress.Begin("installing a module of 3 MB")
	module, err := installModule()
	if err != nil {
		return err
	}
	install := func(cache string) (_ float64, err error) {
		eng, err := replica.NewEngine(cache)
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, eng.Close()) }()
		began := time.Now()
		c, err := load(eng, module)
		if err != nil {
			return 0, err
		}
		return time.Since(began).Seconds() * 1e3, c.close()
	}
	cold, cached := math.Inf(1), math.Inf(1)
	for range 3 {
		dir, err := os.MkdirTemp("", "fusion-bench-cache-")
		if err != nil {
			return fmt.Errorf("a directory for compiled code: %w", err)
		}
		var a, b float64
		if a, err = install(dir); err == nil {
			b, err = install(dir)
		}
		if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
			return err
		}
		cold, cached = min(cold, a), min(cached, b)
	}
	s.add("wasm_install_cold_ms", cold, "ms", "", 0)
	s.add("wasm_install_cached_ms", cached, "ms", "cold, same run", cold)
	return nil
}

// installModule is the ledger without the data that would make it larger than 3 MB.
func installModule() ([]byte, error) {
	packed, err := canisters.Module("icrc1_ledger")
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpacking the ledger: %w", err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("unpacking the ledger: %w", err)
	}
	m, err := wb.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("reading the ledger: %w", err)
	}
	m.Customs = slices.DeleteFunc(m.Customs, func(c wb.Custom) bool { return !strings.HasPrefix(c.Name, "icp:") })
	over := len(b) - installSize
	for i := range m.Data {
		cut := min(max(over, 0), len(m.Data[i].Init))
		m.Data[i].Init = m.Data[i].Init[:len(m.Data[i].Init)-cut]
		over -= cut
	}
	return m.Encode(), nil
}
