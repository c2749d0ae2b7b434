package wasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"fusion/replica/execution/wasm/transform"
)

// ErrNoExport is returned by Run for an entry point that the module does not have.
var ErrNoExport = errors.New("the module does not export this function")

// Page is one page of a heap.
type Page struct {
	Index uint32
	Data  []byte // PageSize bytes
}

// Instance runs a module's code on a private copy of an Image. It is not safe for concurrent use.
//
// After one or several runs either Commit or Rollback ends the transaction; a run after an error needs a Rollback
// first.
type Instance struct {
	// Ctx is the executor's state for the current message; host functions read it.
	Ctx any
	// Refill, if not nil, is asked when the instructions are used up, on the goroutine of the run. It returns how many
	// more there are; 0 ends the run. It may block for as long as it likes: the canister's code stands still meanwhile.
	// See "Slices" in the package documentation.
	Refill func() uint64

	mod  *Module
	img  *Image
	heap heap
	gen  uint64 // of the image when heap and globals were last equal to it
	// fresh: nothing ran since heap and globals were equal to the image of generation gen.
	fresh bool
	// stale: tables or segments may have changed, so the next run needs a new engine instance.
	stale bool

	run     runContext
	wasm    api.Module
	memory  api.Memory
	meter   api.MutableGlobal
	depth   api.MutableGlobal
	globals []api.MutableGlobal // nil entries for v128
	vecGet  map[int]api.Function
	vecSet  map[int]api.Function
	funcs   map[string]api.Function

	limit   uint64
	scratch []uint32
	dirty   []Page
	stack   [2]uint64
}

// NewInstance returns an instance of the module over its image.
func (m *Module) NewInstance(img *Image) (*Instance, error) {
	if img.mod != m {
		return nil, errors.New("new instance: the image belongs to another module")
	}
	i := &Instance{mod: m, img: img}
	i.run = runContext{Context: context.Background(), inst: i}
	var err error
	if i.heap, err = img.store.newHeap(uint64(m.res.MemoryMax) * WasmPage); err != nil {
		return nil, err
	}
	if err := i.instantiate(img.store.size(), img.globals); err != nil {
		return nil, errors.Join(err, i.heap.release())
	}
	i.gen, i.fresh = img.gen, true
	return i, nil
}

// instantiate makes the engine's instance over the existing heap and gives it a size and globals.
func (i *Instance) instantiate(size uint64, globals []uint64) error {
	// The first Reallocate, for the declared minimum, must not look at the limit.
	i.heap.resize(uint64(i.mod.res.MemoryMin) * WasmPage)
	ctx := experimental.WithMemoryAllocator(context.Background(),
		experimental.MemoryAllocatorFunc(func(uint64, uint64) experimental.LinearMemory { return i.heap }))
	w, err := i.mod.rt.InstantiateModule(ctx, i.mod.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return fmt.Errorf("wasm engine: instantiate: %w", err)
	}
	i.wasm = w
	i.memory = w.ExportedMemory(transform.ExportMemory)
	i.meter = w.ExportedGlobal(transform.ExportMeter).(api.MutableGlobal)
	i.depth = w.ExportedGlobal(transform.ExportDepth).(api.MutableGlobal)
	i.funcs = make(map[string]api.Function)
	i.globals = make([]api.MutableGlobal, len(i.mod.res.Globals))
	i.vecGet, i.vecSet = nil, nil
	for n := range i.globals {
		if !i.mod.vectorGlobal(n) {
			i.globals[n] = w.ExportedGlobal(transform.ExportGlobal(n)).(api.MutableGlobal)
			continue
		}
		if i.vecGet == nil {
			i.vecGet, i.vecSet = make(map[int]api.Function), make(map[int]api.Function)
		}
		i.vecGet[n] = w.ExportedFunction(transform.ExportGlobal(n) + ":get")
		i.vecSet[n] = w.ExportedFunction(transform.ExportGlobal(n) + ":set")
	}
	if err := i.setGlobals(globals); err != nil {
		return err
	}
	return i.resize(size)
}

// resize sets the memory's size, in either direction. The engine knows only growth, but it takes whatever slice the
// allocator returns: growing by one page while the heap answers with another size does both.
func (i *Instance) resize(size uint64) error {
	if i.memory == nil || uint64(len(i.heap.bytes())) == size {
		return nil
	}
	i.heap.resize(size)
	if _, ok := i.memory.Grow(1); !ok {
		// The transformed module's maximum is above every size, so the engine has no reason to refuse.
		return fmt.Errorf("wasm engine: cannot set the memory to %d bytes", size)
	}
	return nil
}

func (i *Instance) setGlobals(words []uint64) error {
	at := 0
	for n, g := range i.globals {
		if g != nil {
			g.Set(words[at])
			at++
			continue
		}
		i.stack = [2]uint64{words[at], words[at+1]}
		if err := i.vecSet[n].CallWithStack(&i.run, i.stack[:]); err != nil {
			return fmt.Errorf("wasm engine: set global %d: %w", n, err)
		}
		at += 2
	}
	return nil
}

func (i *Instance) readGlobals(dst []uint64) ([]uint64, error) {
	for n, g := range i.globals {
		if g != nil {
			dst = append(dst, g.Get())
			continue
		}
		if err := i.vecGet[n].CallWithStack(&i.run, i.stack[:]); err != nil {
			return nil, fmt.Errorf("wasm engine: get global %d: %w", n, err)
		}
		dst = append(dst, i.stack[0], i.stack[1])
	}
	return dst, nil
}

// Module returns the instance's module.
func (i *Instance) Module() *Module { return i.mod }

// Run calls an entry point with at most limit instructions (at most 2^63-1) and returns how many it used. The error is
// ErrNoExport, a *Trap, or a fault of this machine (see Trap). Start runs the module's start function.
func (i *Instance) Run(export string, limit uint64) (used uint64, err error) {
	if !i.mod.HasExport(export) {
		return 0, fmt.Errorf("%w: %s", ErrNoExport, export)
	}
	if err := i.prepare(); err != nil {
		return 0, err
	}
	return i.call(i.function(export), limit)
}

// RunTable calls the function at an index of table 0, which must take the environment (i32, or i64 from canisters that
// use 64-bit pointers) and return nothing. Otherwise as Run.
func (i *Instance) RunTable(index uint32, env uint64, limit uint64) (used uint64, err error) {
	if err := i.prepare(); err != nil {
		return 0, err
	}
	if !i.mod.res.Callbacks32 {
		return 0, &Trap{Kind: InvalidTable, Message: "the module has no table of functions"}
	}
	used, err = i.call(i.function(transform.ExportCallback32), limit, uint64(index), env)
	if t := (*Trap)(nil); i.mod.res.Callbacks64 && errors.As(err, &t) && t.Kind == WrongType {
		// Either this is a callback with a 64-bit environment, or the function itself trapped in this way and the
		// second call fails at once; both end as they should.
		var more uint64
		more, err = i.call(i.function(transform.ExportCallback64), i.limit-used, uint64(index), env)
		used += more
	}
	return used, err
}

// function returns an export that exists.
func (i *Instance) function(name string) api.Function {
	f := i.funcs[name]
	if f == nil {
		f = i.wasm.ExportedFunction(name)
		i.funcs[name] = f
	}
	return f
}

// prepare brings heap, globals and engine instance up to date before a run.
func (i *Instance) prepare() error {
	if i.wasm == nil {
		return errors.New("the wasm instance is closed")
	}
	if i.gen != i.img.gen {
		// Somebody else committed: forget everything.
		if err := i.reset(); err != nil {
			return err
		}
	}
	if i.stale {
		globals, err := i.readGlobals(nil)
		if err != nil {
			return err
		}
		size := uint64(len(i.heap.bytes()))
		if err := errors.Join(i.wasm.Close(context.Background()), i.instantiate(size, globals)); err != nil {
			return err
		}
		i.stale = false
	}
	return nil
}

func (i *Instance) call(f api.Function, limit uint64, args ...uint64) (used uint64, err error) {
	if limit > math.MaxInt64 {
		return 0, fmt.Errorf("wasm: instruction limit %d is beyond 2^63-1", limit)
	}
	i.limit, i.fresh = limit, false
	i.stale = i.mod.res.Stateful
	i.meter.Set(limit)
	i.depth.Set(uint64(i.mod.res.StackSlots))
	copy(i.stack[:], args)
	err = i.invoke(f)
	t := (*Trap)(nil)
	errors.As(err, &t)
	// The last segments were charged without a check. They have to be paid for however the run ended, or what it used
	// would depend on the sizes of the slices.
	if (err == nil || t != nil && t.Kind != OutOfInstructions) && !i.settle() && err == nil {
		err = &Trap{Kind: OutOfInstructions}
	}
	if int64(i.meter.Get()) < 0 {
		i.meter.Set(0)
	}
	if t != nil && t.Kind == StackOverflow {
		// The engine keeps the stack that it grew, up to 100 MB for each function.
		clear(i.funcs)
	}
	return i.InstructionsUsed(), err
}

func (i *Instance) invoke(f api.Function) error {
	if err := f.CallWithStack(&i.run, i.stack[:]); err != nil {
		return trapOf(err)
	}
	return nil
}

// exhausted is called by the module's code when a counter is negative.
func (i *Instance) exhausted() {
	if int64(i.depth.Get()) < 0 {
		panic(&Trap{Kind: StackOverflow})
	}
	i.refill()
}

// refill asks for more instructions and traps when there are none.
func (i *Instance) refill() {
	if !i.settle() {
		panic(&Trap{Kind: OutOfInstructions})
	}
}

// settle asks for more instructions until the overdraft is paid; false means that there are none.
func (i *Instance) settle() bool {
	for int64(i.meter.Get()) < 0 {
		more := uint64(0)
		if i.Refill != nil {
			more = i.Refill()
		}
		if more == 0 || more > math.MaxInt64-i.limit {
			return false
		}
		i.limit += more
		i.meter.Set(i.meter.Get() + more)
	}
	return true
}

// InstructionsUsed returns what the last run used, or the current one so far. During a run it may be above what was
// granted, by the part of a function body that was charged but not yet checked; afterwards it never is.
func (i *Instance) InstructionsUsed() uint64 { return i.limit - i.meter.Get() }

// Charge takes instructions for work of the host. It traps when they are used up.
func (i *Instance) Charge(n uint64) {
	left := int64(i.meter.Get())
	if n > math.MaxInt64 || left < math.MinInt64+int64(n) {
		i.meter.Set(1 << 63)
	} else {
		i.meter.Set(uint64(left - int64(n)))
	}
	i.refill()
}

// SetMemoryLimit bounds memory.grow to this many 64 KiB pages, below the module's own maximum: it then returns -1. The
// limit stays until it is set again.
func (i *Instance) SetMemoryLimit(pages uint32) {
	i.heap.limit(uint64(min(pages, i.mod.res.MemoryMax)) * WasmPage)
}

// WasmPages is the current size of the memory in pages of 64 KiB.
func (i *Instance) WasmPages() uint32 { return uint32(len(i.heap.bytes()) / WasmPage) }

// Memory returns size bytes at an address of the canister's memory. They alias the memory until the next run or
// commit. Out of bounds it returns a *Trap.
func (i *Instance) Memory(at, size uint64) ([]byte, error) {
	b := i.heap.bytes()
	if at > uint64(len(b)) || size > uint64(len(b))-at {
		return nil, &Trap{Kind: OutOfBounds,
			Message: fmt.Sprintf("%d bytes at %d are beyond the memory of %d bytes", size, at, len(b))}
	}
	return b[at : at+size : at+size], nil
}

// MustMemory is Memory for host functions: it traps.
func (i *Instance) MustMemory(at, size uint64) []byte {
	b, err := i.Memory(at, size)
	if err != nil {
		panic(err.(*Trap))
	}
	return b
}

// Commit makes the instance's state the image's and returns what changed: the pages whose content differs from before
// (ascending; their data stays valid until the next Commit to the image), the heap's size in 64 KiB pages, and all
// mutable globals. The caller holds the canister's write lock. An error is a fault of this machine and leaves the
// image unusable.
func (i *Instance) Commit() (dirty []Page, wasmPages uint32, globals []uint64, err error) {
	if i.gen != i.img.gen {
		return nil, 0, nil, errors.New("commit: the image changed since the instance started from it")
	}
	s := i.img.store
	if i.fresh {
		return nil, i.img.WasmPages(), slices.Clone(i.img.globals), nil
	}
	pages, keep, err := i.heap.candidates(i.scratch[:0])
	if err != nil {
		return nil, 0, nil, err
	}
	i.scratch = pages[:0]
	if globals, err = i.readGlobals(make([]uint64, 0, i.mod.globalWords())); err != nil {
		return nil, 0, nil, err
	}
	mem, before := i.heap.bytes(), s.size()
	if uint64(len(mem)) > before {
		if err := s.grow(uint64(len(mem))); err != nil {
			return nil, 0, nil, err
		}
	}
	view := s.view()
	i.dirty = i.dirty[:0]
	for _, p := range pages {
		at := uint64(p) * PageSize
		now, old := mem[at:at+PageSize:at+PageSize], view[at:at+PageSize:at+PageSize]
		if at >= before {
			if isZero(now) {
				continue
			}
		} else if bytes.Equal(now, old) {
			continue
		}
		copy(old, now)
		i.dirty = append(i.dirty, Page{Index: p, Data: old})
	}
	copy(i.img.globals, globals)
	if err := i.heap.adopt(); err != nil {
		return nil, 0, nil, err
	}
	if !keep {
		if err := i.heap.discard(); err != nil {
			return nil, 0, nil, err
		}
	}
	i.img.gen++
	i.gen, i.fresh = i.img.gen, true
	return i.dirty, uint32(len(mem) / WasmPage), globals, nil
}

// Rollback undoes everything since the last Commit: memory and its size, globals, tables. An error is a fault of this
// machine.
func (i *Instance) Rollback() error {
	if i.fresh && i.gen == i.img.gen {
		return nil
	}
	if i.gen != i.img.gen {
		return i.reset()
	}
	pages, keep, err := i.heap.candidates(i.scratch[:0])
	if err != nil {
		return err
	}
	i.scratch = pages[:0]
	if !keep {
		return i.reset()
	}
	if err := i.heap.restore(pages); err != nil {
		return err
	}
	return i.clean()
}

// reset makes the instance equal to the image without knowing what differs.
func (i *Instance) reset() error {
	if err := i.resize(i.img.store.size()); err != nil {
		return err
	}
	if err := i.heap.discard(); err != nil {
		return err
	}
	return i.clean()
}

// clean restores size and globals.
func (i *Instance) clean() error {
	if err := i.resize(i.img.store.size()); err != nil {
		return err
	}
	if err := i.setGlobals(i.img.globals); err != nil {
		return err
	}
	i.gen, i.fresh = i.img.gen, true
	return nil
}

// Drop gives resident pages back to the system. The instance must be clean (after Commit or Rollback); it stays usable.
// Call it for canisters that were busy and are not expected to be soon. Pages that were only read are dropped by themselves
// after a few messages, since finding the written ones costs about 30 ns for each of them.
func (i *Instance) Drop() error {
	if !i.fresh {
		return errors.New("drop: the instance has changes that are neither committed nor rolled back")
	}
	return i.heap.discard()
}

// Release rolls a query instance back and keeps it for the next query, or closes it when the pool is full or it cannot
// be restored.
func (i *Instance) Release() error {
	i.Ctx, i.Refill = nil, nil
	if err := i.Rollback(); err != nil {
		return errors.Join(err, i.Close())
	}
	i.SetMemoryLimit(math.MaxUint32)
	i.img.mu.Lock()
	if len(i.img.pool) < i.mod.eng.cfg.QueryPool {
		i.img.pool = append(i.img.pool, i)
		i.img.mu.Unlock()
		return nil
	}
	i.img.mu.Unlock()
	return i.Close()
}

// Close frees the instance without committing.
func (i *Instance) Close() error {
	if i.wasm == nil {
		return nil
	}
	err := i.wasm.Close(context.Background())
	i.wasm, i.memory = nil, nil
	return errors.Join(err, i.heap.release())
}
