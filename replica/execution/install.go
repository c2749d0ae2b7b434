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
	}
	switch {
	case mode == modeInstall && c.hasCode():
		return reject(errNonEmpty, "Canister %s cannot be installed because the canister is not empty. Try installing with mode='reinstall' instead.", c.id)
	case mode == modeUpgrade && !c.hasCode():
		return reject(errModuleNotFound, "Canister %s has no code to upgrade", c.id)
	case len(module) > maxWasmSize:
		return reject(errInvalidWasm, "A module of %d bytes, at most %d are allowed", len(module), maxWasmSize)
	}
	x.used += uint64(len(module)) * compilePerByte
	next, err := x.cfg.Engine.Compile(module)
	if errors.Is(err, wasm.ErrInvalid) {
		return reject(errInvalidWasm, "Error from Canister %s: Canister's Wasm module is not valid: %v", c.id, err)
	}
	if err != nil {
		panic(fmt.Sprintf("execution: compiling for %s: %v", c.id, err))
	}
	release := true // the module, unless the installation succeeds
	defer func() {
		if release {
			closing(next.Close())
		}
	}()
	if err := checkExports(next.Exports()); err != nil {
		return reject(errInvalidWasm, "Error from Canister %s: Canister's Wasm module is not valid: %v", c.id, err)
	}
	sections := metadataOf(next.CustomSections())
	_, persistent := findSection(sections, persistenceSection)
	keep := false
	if mode == modeUpgrade {
		_, wasPersistent := findSection(c.metadata, persistenceSection)
		choice := upgrade.WasmMemoryPersistence
		keep = choice != nil && choice.Keep != nil
		if keep && !persistent {
			return reject(errContractViolation, "Canister %s: the upgrade option `wasm_memory_persistence: opt keep` needs a module with enhanced orthogonal persistence", c.id)
		}
		if choice == nil && wasPersistent {
			return reject(errContractViolation, "Canister %s: its module with enhanced orthogonal persistence needs the upgrade option `wasm_memory_persistence`", c.id)
		}
	}
	limit := x.cfg.InstallInstructions
	prepaid, rej := x.prepay(c, limit)
	if rej != nil {
		return rej
	}
	i := &installation{x: x, c: c, e: x.exclusive.exec, left: limit}
	rej = i.run(mode, upgrade, next, keep, m, arg)
	charge := x.price.execution(limit - i.left)
	x.result.InstructionsUsed += limit - i.left
	x.used += limit - i.left
	c.dirty = true
	c.consume(forInstructions, charge)
	if rej != nil {
		c.Cycles = c.Cycles.Add(prepaid.Sub(charge))
		for _, text := range i.e.prints {
			c.log(x.global.TimeNs, text)
		}
		c.log(x.global.TimeNs, []byte("[TRAP]: "+rej.Message))
		i.drop()
		return rej
	}
	release = false
	i.commit(mode, next, module, sections, prepaid.Sub(charge), m, senderVersion)
	return nil
}

// installation is an install_code at work.
type installation struct {
	x    *Executor
	c    *canister
	e    *exec
	old  *code // its instance holds uncommitted changes
	next *code
	left uint64 // instructions
}

func (i *installation) run(mode uint8, upgrade management.UpgradeOptions, next *wasm.Module, keep bool, m *message, arg []byte) *Reject {
	x, c, e := i.x, i.c, i.e
	x.begin(e, c, modeG, nil)
	e.callerBytes = m.Caller
	if mode == modeUpgrade {
		i.old = x.load(c, roundReader{x})
		skip := upgrade.SkipPreUpgrade != nil && *upgrade.SkipPreUpgrade
		if keep || !skip {
			i.instantiate(i.old)
		}
		if !skip {
			if rej := i.step(i.old, modeG, "canister_pre_upgrade"); rej != nil {
				return rej
			}
		}
	} else {
		e.stable.wiped, e.stable.size, e.certified = true, 0, nil
	}
	e.timer = 0
	e.version = c.Version + 1
	image, err := next.NewImage()
	if err != nil {
		panic(fmt.Sprintf("execution: image of %s: %v", c.id, err))
	}
	if keep {
		globals := image.Globals()
		closing(image.Close())
		least, most := next.MemoryPages()
		if size := i.old.inst.WasmPages(); size > most || size < least {
			return reject(errInvalidWasm, "Canister %s has %d pages of memory to keep, the new module takes %d to %d", c.id, size, least, most)
		}
		image = i.keepHeap(next, globals)
	}
	i.next = &code{module: next, image: image}
	i.instantiate(i.next)
	if next.HasStart() {
		if rej := i.step(i.next, modeS, wasm.Start); rej != nil {
			return rej
		}
	}
	name := "canister_init"
	if mode == modeUpgrade {
		name = "canister_post_upgrade"
	}
	e.arg = arg
	return i.step(i.next, modeI, name)
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
	k.inst.Refill = nil
	e.heapBefore = i.c.HeapPages * wasmPage
	used, err := k.inst.Run(name, i.left)
	i.x.result.Messages++
	if err != nil {
		i.x.result.Traps++
	}
	i.left -= min(used, i.left)
	if err != nil {
		return i.x.rejectOf(e, err)
	}
	if m == modeI {
		return i.x.checkMemory(e)
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

func (i *installation) commit(mode uint8, next *wasm.Module, module []byte, sections []section, refund Cycles, m *message, senderVersion *uint64) {
	x, c, e := i.x, i.c, i.e
	for _, text := range e.prints {
		c.log(x.global.TimeNs, text)
	}
	c.mu.Lock()
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
	c.Cycles = e.balance.Add(refund)
	c.consume(forBurning, e.burned)
	hash := next.Hash()
	c.ModuleHash, c.ModuleSize, c.InstalledNs = hash[:], uint64(len(module)), x.global.TimeNs
	c.module, c.metadata, c.dirtyModule = module, sections, true
	c.Hooks = 0
	for name, hook := range map[string]uint8{"canister_heartbeat": hookHeartbeat, "canister_global_timer": hookTimer,
		"canister_on_low_wasm_memory": hookLowMemory} {
		if next.HasExport(name) {
			c.Hooks |= hook
		}
	}
	c.watchMemory(x.cfg.MaxHeapBytes)
	x.changed(c, m, senderVersion, change{Kind: changeDeployment, Mode: mode, Hash: hash[:]})
	c.code.Swap(i.next).unload()
	c.view = c.snapshot(x)
	x.treeDirty[c.id] = struct{}{}
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
