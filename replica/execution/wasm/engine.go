package wasm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"fusion/internal/wasmbin"
	"fusion/replica/execution/wasm/transform"
)

// ErrInvalid is wrapped by every reason to refuse a module. Other errors of Compile are faults of this machine.
var ErrInvalid = transform.ErrInvalid

// ErrUnsupported is returned by NewEngine on a machine that the engine cannot compile for. There is no interpreter to
// fall back to: it would compute other NaN bits and another stack depth.
var ErrUnsupported = errors.New("the wasm compiler does not support this machine")

// Kind is the type of a host function's parameter or result.
type Kind = transform.Kind

// The kinds. Ptr is an address or size in the canister's memory: i32 or i64, as the canister's import declares.
const (
	I32 = transform.I32
	I64 = transform.I64
	F32 = transform.F32
	F64 = transform.F64
	Ptr = transform.Ptr
)

// HostFunc is a function of module "ic0" that canisters can import.
type HostFunc struct {
	Name    string
	Params  []Kind
	Results []Kind // none or one
	// Fn receives one word per parameter: 32-bit values are zero-extended, floats are bits. Its result is ignored if
	// there are no Results. It traps by panic(*Trap). args is only valid during the call.
	Fn func(inst *Instance, args []uint64) uint64
}

// Config configures an Engine. Only Host is needed.
type Config struct {
	// CacheDir keeps compiled code between runs of the process. The default is to compile again each time.
	CacheDir string
	// Host is the System API.
	Host []HostFunc
	// Limits bound what is accepted; see package transform for the defaults.
	Limits transform.Limits
	// QueryPool is the number of idle query instances kept per image. The default is twice the number of CPUs.
	QueryPool int
	// PlainHeaps makes the engine copy heaps instead of mapping them, as it does on systems without the means.
	PlainHeaps bool
	// Logger receives what an operator may want to know. The default is slog.Default.
	Logger *slog.Logger
}

// Engine compiles and runs canisters. It is safe for concurrent use and meant to be shared by all replicas of a
// process: they then share compiled code.
type Engine struct {
	cfg    Config
	host   map[string]transform.Signature
	cache  wazero.CompilationCache // nil without a directory
	cached wazero.Runtime
	memory func() (wazero.Runtime, error) // without the directory, made when needed

	mu      sync.Mutex
	modules map[[32]byte]*Module
	closers []func() error
}

// features is what canisters may use; the transform refuses more (see its package documentation).
const features = api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall

// NewEngine returns an engine, or ErrUnsupported.
func NewEngine(cfg Config) (_ *Engine, err error) {
	if cfg.QueryPool == 0 {
		cfg.QueryPool = 2 * runtime.NumCPU()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	e := &Engine{cfg: cfg, host: make(map[string]transform.Signature), modules: make(map[[32]byte]*Module)}
	for _, h := range cfg.Host {
		if _, ok := e.host[h.Name]; ok || len(h.Results) > 1 {
			panic(fmt.Sprintf("host function %q is defined twice or has several results", h.Name))
		}
		e.host[h.Name] = transform.Signature{Params: h.Params, Results: h.Results}
	}
	if cfg.CacheDir != "" {
		if e.cache, err = wazero.NewCompilationCacheWithDir(cfg.CacheDir); err != nil {
			return nil, fmt.Errorf("wasm cache directory: %w", err)
		}
		e.closers = append(e.closers, func() error { return e.cache.Close(context.Background()) })
	}
	if e.cached, err = e.newRuntime(e.cache); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	e.memory = sync.OnceValues(func() (wazero.Runtime, error) { return e.newRuntime(nil) })
	if !cfg.PlainHeaps && !mappedHeapsWork() {
		cfg.Logger.Info("canister heaps are compared page by page: this system has no memfd or no PAGEMAP_SCAN")
	}
	return e, nil
}

// newRuntime returns a runtime with the host modules. The caller must not hold e.mu.
func (e *Engine) newRuntime(cache wazero.CompilationCache) (rt wazero.Runtime, err error) {
	ctx := context.Background()
	defer func() {
		// The engine panics where it has no code generator.
		if r := recover(); r != nil {
			rt, err = nil, fmt.Errorf("%w (%s/%s): %v", ErrUnsupported, runtime.GOOS, runtime.GOARCH, r)
		}
	}()
	c := wazero.NewRuntimeConfigCompiler().WithCoreFeatures(features).WithDebugInfoEnabled(false)
	if cache != nil {
		c = c.WithCompilationCache(cache)
	}
	rt = wazero.NewRuntimeWithConfig(ctx, c)
	e.mu.Lock()
	e.closers = append(e.closers, func() error { return rt.Close(ctx) })
	e.mu.Unlock()
	for _, m := range []struct {
		name string
		ptr  api.ValueType
	}{{transform.HostModule32, api.ValueTypeI32}, {transform.HostModule64, api.ValueTypeI64}} {
		b := rt.NewHostModuleBuilder(m.name)
		for _, h := range e.cfg.Host {
			params, results := valueTypes(h.Params, m.ptr), valueTypes(h.Results, m.ptr)
			b.NewFunctionBuilder().WithGoModuleFunction(wrapHost(h, params, results), params, results).Export(h.Name)
		}
		if _, err := b.Instantiate(ctx); err != nil {
			return nil, fmt.Errorf("wasm host module %s: %w", m.name, err)
		}
	}
	exhausted := func(ctx context.Context, _ api.Module, _ []uint64) { ctx.(*runContext).inst.exhausted() }
	if _, err := rt.NewHostModuleBuilder(transform.TrapModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(exhausted), nil, nil).Export(transform.TrapName).Instantiate(ctx); err != nil {
		return nil, fmt.Errorf("wasm host module: %w", err)
	}
	return rt, nil
}

func valueTypes(kinds []Kind, ptr api.ValueType) []api.ValueType {
	out := make([]api.ValueType, len(kinds))
	for i, k := range kinds {
		out[i] = map[Kind]api.ValueType{I32: api.ValueTypeI32, I64: api.ValueTypeI64, F32: api.ValueTypeF32,
			F64: api.ValueTypeF64, Ptr: ptr}[k]
	}
	return out
}

// wrapHost adapts a host function to the engine. The upper halves of 32-bit words arrive undefined, so they are cleared.
func wrapHost(h HostFunc, params, results []api.ValueType) api.GoModuleFunc {
	var narrow []int
	for i, p := range params {
		if p == api.ValueTypeI32 || p == api.ValueTypeF32 {
			narrow = append(narrow, i)
		}
	}
	n, hasResult := len(params), len(results) > 0
	narrowResult := hasResult && (results[0] == api.ValueTypeI32 || results[0] == api.ValueTypeF32)
	return func(ctx context.Context, _ api.Module, stack []uint64) {
		for _, i := range narrow {
			stack[i] = uint64(uint32(stack[i]))
		}
		v := h.Fn(ctx.(*runContext).inst, stack[:n:n])
		if narrowResult {
			v = uint64(uint32(v))
		}
		if hasResult {
			stack[0] = v
		}
	}
}

// runContext carries the instance to host functions.
type runContext struct {
	context.Context
	inst *Instance
}

// Close ends the engine. All instances must be closed before.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	for _, f := range slices.Backward(e.closers) {
		errs = append(errs, f())
	}
	e.closers, e.modules = nil, nil
	return errors.Join(errs...)
}

// Module is a compiled canister module. It is immutable and safe for concurrent use.
type Module struct {
	eng  *Engine
	hash [32]byte

	once     sync.Once
	err      error
	res      *transform.Result
	rt       wazero.Runtime
	compiled wazero.CompiledModule
	refs     int // under eng.mu
}

// Compile returns the module for the bytes (plain or gzip) that somebody installs. The same bytes give the same Module,
// compiled once; each call must be paired with Close if the engine lives longer than the module is needed. Errors
// that wrap ErrInvalid name what is wrong with the module and are the same on every replica.
func (e *Engine) Compile(module []byte) (*Module, error) {
	hash := sha256.Sum256(module)
	e.mu.Lock()
	if e.modules == nil {
		e.mu.Unlock()
		return nil, errors.New("the wasm engine is closed")
	}
	m := e.modules[hash]
	if m == nil {
		m = &Module{eng: e, hash: hash}
		e.modules[hash] = m
	}
	m.refs++
	e.mu.Unlock()
	m.once.Do(func() { m.err = m.compile(module) })
	if m.err != nil {
		err := m.err
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func (m *Module) compile(module []byte) (err error) {
	e := m.eng
	// The result may alias the module's bytes, which belong to the caller.
	m.res, err = transform.Transform(slices.Clone(module), transform.Options{Host: e.host, Limits: e.cfg.Limits})
	if err != nil {
		return err
	}
	m.rt = e.cached
	if m.compiled, err = compile(m.rt, m.res.Wasm); err != nil && e.cache != nil {
		// The cache directory may be full or broken, which says nothing about the module. Only a compilation without
		// it may refuse one.
		cacheErr := err
		if m.rt, err = e.memory(); err != nil {
			return err
		}
		if m.compiled, err = compile(m.rt, m.res.Wasm); err == nil {
			e.cfg.Logger.Warn("compiled a canister without the cache", "err", cacheErr)
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	// Keep what is needed and not the whole module that it aliases.
	m.res.Wasm, m.res.Source = nil, nil
	for i := range m.res.Segments {
		m.res.Segments[i].Init = slices.Clone(m.res.Segments[i].Init)
	}
	for i := range m.res.Custom {
		m.res.Custom[i].Data = slices.Clone(m.res.Custom[i].Data)
	}
	return nil
}

func compile(rt wazero.Runtime, b []byte) (c wazero.CompiledModule, err error) {
	defer func() {
		if r := recover(); r != nil {
			c, err = nil, fmt.Errorf("the compiler cannot handle this module: %v", r)
		}
	}()
	return rt.CompileModule(experimental.WithCompilationWorkers(context.Background(), runtime.GOMAXPROCS(0)), b)
}

// Close gives back one Compile. The last one frees the code; no instance may exist then.
func (m *Module) Close() error {
	e := m.eng
	e.mu.Lock()
	defer e.mu.Unlock()
	if m.refs--; m.refs > 0 || e.modules == nil {
		return nil
	}
	delete(e.modules, m.hash)
	if m.compiled == nil {
		return nil
	}
	return m.compiled.Close(context.Background())
}

// Hash is the SHA-256 of the bytes that Compile was given.
func (m *Module) Hash() [32]byte { return m.hash }

// Exports are the canister's entry points under their full names ("canister_update x"), sorted.
func (m *Module) Exports() []string { return m.res.Exports }

// HasExport tells whether an entry point exists.
func (m *Module) HasExport(name string) bool {
	_, ok := slices.BinarySearch(m.res.Exports, name)
	return ok || (m.res.HasStart && name == Start)
}

// HasStart tells whether the module has a start function; it runs as export Start.
func (m *Module) HasStart() bool { return m.res.HasStart }

// Start is the name under which Run finds the module's start function.
const Start = transform.ExportStart

// CustomSection is a piece of the canister's metadata.
type CustomSection = transform.CustomSection

// CustomSections are the module's "icp:public" and "icp:private" sections.
func (m *Module) CustomSections() []CustomSection { return m.res.Custom }

// Custom returns the section of that name (without the icp: prefix).
func (m *Module) Custom(name string) (CustomSection, bool) {
	for _, c := range m.res.Custom {
		if c.Name == name {
			return c, true
		}
	}
	return CustomSection{}, false
}

// MemoryPages returns the bounds of the module's memory in pages of 64 KiB.
func (m *Module) MemoryPages() (min, max uint32) { return m.res.MemoryMin, m.res.MemoryMax }

// Global is a global of the module as it was given.
type Global = transform.Global

// VisibleGlobals are the globals that snapshots show: the mutable and the exported ones, in their order. Those that are mutable are what
// Image.Globals holds.
func (m *Module) VisibleGlobals() []Global { return m.res.Visible }

// globalWords is the number of words that the mutable globals take.
func (m *Module) globalWords() int { return len(m.res.Initial) }

// vectorGlobal tells whether the i-th mutable global is a v128.
func (m *Module) vectorGlobal(i int) bool { return m.res.Globals[i] == wasmbin.V128 }
