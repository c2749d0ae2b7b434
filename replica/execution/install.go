package execution

import (
	"errors"
	"fmt"
	"strings"

	"fusion/replica/execution/wasm"
	"fusion/replica/management"
)

// Modes as the history keeps them.
const (
	modeInstall uint8 = iota
	modeReinstall
	modeUpgrade
)

// persistenceSection marks modules whose heap survives upgrades (Motoko's enhanced orthogonal persistence): they must say what
// an upgrade does with the heap, and only they may keep it.
const persistenceSection = "enhanced-orthogonal-persistence"

// installJob is what install_code asks for.
type installJob struct {
	_             struct{} `cbor:",toarray"`
	Mode          uint8
	SkipPre       bool
	Keep          bool // the heap
	Module, Arg   []byte
	SenderVersion *uint64
}

// install carries out install_code: either everything happens or nothing does.
func (x *Executor) install(m *message, c *canister, how management.InstallMode, module, arg []byte, senderVersion *uint64) *Reject {
	mode, upgrade := modeInstall, management.UpgradeOptions{}
	switch {
	case how.Upgrade != nil:
		mode = modeUpgrade
		if *how.Upgrade != nil {
			upgrade = **how.Upgrade
		}
	case how.Reinstall != nil:
		mode = modeReinstall
		if rej := x.keeps(c, "reinstalled"); rej != nil {
			return rej
		}
	}
	do := &installJob{Mode: mode, Module: module, Arg: arg, SenderVersion: senderVersion,
		SkipPre: upgrade.SkipPreUpgrade != nil && *upgrade.SkipPreUpgrade,
		Keep:    upgrade.WasmMemoryPersistence != nil && upgrade.WasmMemoryPersistence.Keep != nil}
	switch {
	case mode == modeInstall && c.hasCode():
		return reject(errNonEmpty, "Canister %s cannot be installed because the canister is not empty. Try installing with mode='reinstall' instead.", c.id)
	case mode == modeUpgrade && !c.hasCode():
		return reject(errModuleNotFound, "Canister %s has no code to upgrade", c.id)
	case len(module) > maxWasmSize:
		return reject(errInvalidWasm, "A module of %d bytes, at most %d are allowed", len(module), maxWasmSize)
	}
	x.used += uint64(len(module)) * compilePerByte
	next, rej := x.compile(c, module)
	if rej != nil {
		return rej
	}
	defer func() { closing(next.Close()) }() // an installation that succeeds has its own
	if err := checkExports(next.Exports()); err != nil {
		return reject(errInvalidWasm, "Error from Canister %s: Canister's Wasm module is not valid: %v", c.id, err)
	}
	if mode == modeUpgrade {
		_, persistent := findSection(metadataOf(next.CustomSections()), persistenceSection)
		_, wasPersistent := findSection(c.metadata, persistenceSection)
		if do.Keep && !persistent {
			return reject(errContractViolation, "Canister %s: the upgrade option `wasm_memory_persistence: opt keep` needs a module with enhanced orthogonal persistence", c.id)
		}
		if upgrade.WasmMemoryPersistence == nil && wasPersistent {
			return reject(errContractViolation, "Canister %s: its module with enhanced orthogonal persistence needs the upgrade option `wasm_memory_persistence`", c.id)
		}
	}
	limit := x.cfg.InstallInstructions
	prepaid, rej := x.prepay(c, limit)
	if rej != nil {
		return rej
	}
	return x.runInstall(c, job{Mode: modeI, Message: m, Limit: limit, Prepaid: prepaid, Install: do}, nil)
}

func (x *Executor) compile(c *canister, module []byte) (*wasm.Module, *Reject) {
	m, err := x.cfg.Engine.Compile(module)
	if errors.Is(err, wasm.ErrInvalid) {
		return nil, reject(errInvalidWasm, "Error from Canister %s: Canister's Wasm module is not valid: %v", c.id, err)
	}
	if err != nil {
		panic(fmt.Sprintf("execution: compiling for %s: %v", c.id, err))
	}
	return m, nil
}

// runInstall runs the entry points of an installation that may be carried out, over as many turns as they take. in is what the first one
// saw, if it began before a restart.
func (x *Executor) runInstall(c *canister, j job, in *inputs) *Reject {
	next, rej := x.compile(c, j.Install.Module)
	if rej != nil {
		panic("execution: a module that was valid is not: " + rej.Message)
	}
	release := true // the module, unless the installation succeeds
	defer func() {
		if release {
			closing(next.Close())
		}
	}()
	w := x.exclusive
	i := &installation{x: x, c: c, w: w, e: w.exec}
	defer c.endRun()
	x.begin(i.e, c, modeG, nil)
	i.e.head, i.e.heapBefore = w.headroom(c), c.HeapPages*wasmPage
	if in != nil {
		in.restore(i.e)
	}
	w.job, w.inputs = j, inputsOf(i.e)
	w.open(c)
	rej = i.run(j.Install, next, j.Message)
	charge := x.prices().execution(i.spent)
	c.dirty = true
	c.consume(forInstructions, charge)
	if rej == nil && j.Install.Mode == modeReinstall {
		c.logs, c.dirtyLog = nil, true // they are part of what goes
	}
	for _, text := range i.e.prints {
		c.log(i.e.timeNs, text)
	}
	if rej != nil {
		c.credit(j.Prepaid.Sub(charge))
		c.log(i.e.timeNs, []byte("[TRAP]: "+rej.Message))
		i.drop()
		return rej
	}
	release = false
	i.commit(j.Install, next, j.Prepaid.Sub(charge), j.Message)
	return nil
}

// installation is an install_code at work.
type installation struct {
	x     *Executor
	c     *canister
	w     *worker
	e     *exec
	old   *code // its instance holds uncommitted changes
	next  *code
	spent uint64 // instructions
}

func (i *installation) run(do *installJob, next *wasm.Module, m *message) *Reject {
	x, c, e := i.x, i.c, i.e
	e.callerBytes = m.Caller
	if do.Mode == modeUpgrade {
		i.old = x.load(c, roundReader{x})
		if do.Keep || !do.SkipPre {
			i.instantiate(i.old)
		}
		if !do.SkipPre {
			if rej := i.step(i.old, modeG, "canister_pre_upgrade"); rej != nil {
				return rej
			}
		}
	} else {
		e.stable.wiped, e.stable.size, e.certified = true, 0, nil
	}
	e.timer = 0
	e.version++
	image, err := next.NewImage()
	if err != nil {
		panic(fmt.Sprintf("execution: image of %s: %v", c.id, err))
	}
	if do.Keep {
		globals := image.Globals()
		closing(image.Close())
		least, most := next.MemoryPages()
		if size := i.old.inst.WasmPages(); size > most || size < least {
			return reject(errInvalidWasm, "Canister %s has %d pages of memory to keep, the new module takes %d to %d", c.id, size, least, most)
		}
		image = i.keepHeap(next, globals)
	}
	e.memoryBase += uint64(len(do.Module)) - c.ModuleSize
	i.next = &code{module: next, image: image}
	i.instantiate(i.next)
	if next.HasStart() {
		if rej := i.step(i.next, modeS, wasm.Start); rej != nil {
			return rej
		}
	}
	name := "canister_init"
	if do.Mode == modeUpgrade {
		name = "canister_post_upgrade"
	}
	e.arg = do.Arg
	if rej := i.step(i.next, modeI, name); rej != nil {
		return rej
	}
	e.mode, e.inst = modeI, i.next.inst
	return x.checkMemory(e)
}

func (i *installation) instantiate(k *code) {
	if k.inst == nil {
		k.inst = i.x.instance(i.c, k)
	}
}

// step runs an entry point if the module has it.
func (i *installation) step(k *code, m mode, name string) *Reject {
	if m != modeS && !k.module.HasExport(name) {
		return nil
	}
	e := i.e
	e.mode, e.inst, k.inst.Ctx = m, k.inst, e
	k.inst.Refill = i.w.refillFn
	used, err := k.inst.Run(name, i.w.grant.given-i.spent)
	k.inst.Refill = nil
	if i.w.abandoned {
		i.drop()
		panic(errAbandoned)
	}
	i.spent += used
	i.w.use(i.spent)
	i.x.result.Messages++
	if err != nil {
		i.x.result.Traps++
		return i.x.rejectOf(e, err)
	}
	return nil
}

// keepHeap makes an image for the new module out of the heap of the old instance.
func (i *installation) keepHeap(next *wasm.Module, globals []uint64) *wasm.Image {
	old := i.old.inst
	image, err := next.LoadImage(old.WasmPages(), globals, func(put func(index uint32, data []byte) error) error {
		for at := uint64(0); at < uint64(old.WasmPages())*wasmPage; at += pageSize {
			b, err := old.Memory(at, pageSize)
			if err != nil {
				return err
			}
			if *(*page)(b) == zeroPage {
				continue
			}
			if err := put(uint32(at/pageSize), b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		panic(fmt.Sprintf("execution: keeping the heap of %s: %v", i.c.id, err))
	}
	return image
}

// drop undoes everything.
func (i *installation) drop() {
	if i.old != nil && i.old.inst != nil {
		i.x.rollback(i.old)
	}
	if i.next != nil {
		i.next.module = nil // install closes it
		i.next.unload()
	}
	i.e.calls, i.e.response = nil, nil
}

func (i *installation) commit(do *installJob, next *wasm.Module, refund Cycles, m *message) {
	x, c, e := i.x, i.c, i.e
	c.lock()
	defer c.mu.Unlock()
	_, size, globals, err := i.next.inst.Commit()
	if err != nil {
		panic(fmt.Sprintf("execution: commit of %s: %v", c.id, err))
	}
	x.renew(&c.HeapLayer, keyHeap)
	clear(c.heapDirty)
	closing(i.next.image.Pages(func(index uint32, data []byte) error {
		c.heapDirty[index] = append([]byte(nil), data...)
		return nil
	}))
	c.HeapPages, c.Globals = uint64(size), globals
	if e.stable.wiped || c.StableLayer == 0 {
		x.renew(&c.StableLayer, keyStable)
	}
	e.stable.commit()
	c.StablePages = e.stable.size
	c.Certified, c.Timer = e.certified, e.timer
	c.Reserved = c.Reserved.Add(e.reserving)
	c.Cycles = c.Cycles.Sub(i.w.inputs.Balance).Add(e.balance)
	c.credit(refund)
	c.consume(forBurning, e.burned)
	c.setModule(next, do.Module, x.global.TimeNs)
	c.watchMemory(x.cfg.MaxHeapBytes)
	x.changed(c, m, do.SenderVersion, change{Kind: changeDeployment, Mode: do.Mode, Hash: c.ModuleHash})
	c.code.Swap(i.next).unload()
	c.view = c.snapshot(x)
	x.treeDirty[c.id] = struct{}{}
}

// setModule makes m, whose bytes are module, the installed one.
func (c *canister) setModule(m *wasm.Module, module []byte, now uint64) {
	hash := m.Hash()
	c.ModuleHash, c.ModuleSize, c.InstalledNs = hash[:], uint64(len(module)), now
	c.module, c.metadata, c.dirtyModule = module, metadataOf(m.CustomSections()), true
	c.Hooks = 0
	for name, hook := range map[string]uint8{"canister_heartbeat": hookHeartbeat, "canister_global_timer": hookTimer,
		"canister_on_low_wasm_memory": hookLowMemory} {
		if m.HasExport(name) {
			c.Hooks |= hook
		}
	}
}

func findSection(list []section, name string) (section, bool) {
	for _, s := range list {
		if s.Name == name {
			return s, true
		}
	}
	return section{}, false
}

var errExports = errors.New("bad exports")

// checkExports applies the rules for entry points (interface specification, "WebAssembly module requirements").
func checkExports(exports []string) error {
	allowed := map[string]bool{"canister_init": true, "canister_pre_upgrade": true, "canister_post_upgrade": true, "canister_inspect_message": true,
		"canister_heartbeat": true, "canister_global_timer": true, "canister_on_low_wasm_memory": true}
	const maxMethods, maxNames = 1000, 20_000
	methods, length := map[string]bool{}, 0
	for _, e := range exports {
		if !strings.HasPrefix(e, "canister_") || allowed[e] {
			continue
		}
		kind, name, ok := strings.Cut(e, " ")
		if !ok || kind != "canister_update" && kind != "canister_query" && kind != "canister_composite_query" {
			return fmt.Errorf("%w: %q is no entry point", errExports, e)
		}
		if methods[name] {
			return fmt.Errorf("%w: method %q is exported twice", errExports, name)
		}
		methods[name] = true
		length += len(name)
	}
	if len(methods) > maxMethods || length > maxNames {
		return fmt.Errorf("%w: %d methods with names of %d bytes, at most %d and %d are allowed", errExports, len(methods), length, maxMethods, maxNames)
	}
	return nil
}
