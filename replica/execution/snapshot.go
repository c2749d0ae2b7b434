package execution

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/wasmbin"
	"fusion/replica/execution/wasm"
	"fusion/replica/management"
)

// Limits and prices of snapshots, those of the Internet Computer (its subnet configuration).
const (
	maxSnapshots         = 10
	maxSnapshotSlice     = 2_000_000     // bytes read at once
	maxCertified         = 32            // bytes of certified data
	maxSnapshotGlobals   = 1000          // as many as a module may have
	snapshotInstructions = 2_000_000_000 // for taking, loading and announcing one, beside one for each byte
	snapshotDataBaseline = 5_000_000     // for reading a piece, beside one for each byte

	keySnapshot   = 'v' // id, 64-bit number → snapshotRecord
	keyModulePage = 'b' // layer, 32-bit page → 4 KiB of the module of a snapshot
)

// Where a snapshot comes from.
const (
	snapshotTaken uint8 = iota
	snapshotUploaded
)

// hookUnknown stands beside memoryEnough and its like: the one who uploaded did not say.
const hookUnknown uint8 = 255

// global is the value of a mutable or exported global.
type global struct {
	_    struct{} `cbor:",toarray"`
	Type byte
	Lo   uint64
	Hi   uint64
}

// snapshotRecord is a snapshot beside its pages and chunks, which are in its layers.
type snapshotRecord struct {
	_           struct{} `cbor:",toarray"`
	Source      uint8
	TakenNs     uint64
	Version     uint64 // of the canister
	Changed     uint64 // height of the block that changed it last
	ModuleHash  []byte // of one that was taken
	ModuleSize  uint64
	HeapPages   uint64 // 64 KiB
	StablePages uint64
	Globals     []global
	Chunks      [][]byte // hashes, in order
	Certified   []byte
	HasTimer    bool
	Timer       uint64
	Hook        uint8
	HeapLayer   uint64
	StableLayer uint64
	ChunkLayer  uint64
	ModuleLayer uint64
}

type snapshot struct {
	snapshotRecord
	number uint64 // of the canister's snapshots
	dirty  bool
}

// size is what a snapshot counts in its canister's memory.
func (s *snapshot) size() uint64 {
	return (s.HeapPages+s.StablePages)*wasmPage + s.ModuleSize + uint64(len(s.Globals))*8 + uint64(len(s.Chunks))*maxChunk + uint64(len(s.Certified))
}

func (s *snapshot) layers() []uint64 {
	return []uint64{s.HeapLayer, s.StableLayer, s.ChunkLayer, s.ModuleLayer}
}

// snapshotID is how the interface names a snapshot: its number and its canister.
func snapshotID(owner principal.Principal, number uint64) []byte {
	return append(be64(number), owner.Bytes()...)
}

func (c *canister) snapshotInfo(s *snapshot) management.Snapshot {
	return management.Snapshot{ID: snapshotID(c.id, s.number), TakenAt: s.TakenNs, TotalSize: s.size()}
}

// snapshotOf finds a snapshot that belongs to c.
func (c *canister) snapshotOf(id []byte) (*snapshot, *Reject) {
	if len(id) < 8 || len(id) > 8+principal.MaxLen {
		return nil, reject(errInvalidPayload, "A snapshot id of %d bytes: it consists of 8 bytes and a canister id", len(id))
	}
	if !bytes.Equal(id[8:], c.id.Bytes()) {
		return nil, reject(errCanisterRejected, "The snapshot %x does not belong to canister %s", id, c.id)
	}
	number := binary.BigEndian.Uint64(id)
	for _, s := range c.snapshots {
		if s.number == number {
			return s, nil
		}
	}
	return nil, reject(errSnapshotNotFound, "Could not find the snapshot ID %x for canister %s", id, c.id)
}

// pay charges c for instructions of the management canister, if it is not frozen afterwards with so much memory.
func (x *Executor) pay(c *canister, instructions, memory uint64) *Reject {
	cost, frozen := x.prices().execution(instructions), x.prices().freezing(&c.Settings, memory, c.Reserved)
	if memory > c.memory() && c.Cycles.Cmp(frozen) < 0 {
		return reject(errMemoryGrowCycles, "Canister %s cannot grow its memory to %d bytes: holding it until the freezing threshold takes %s cycles, it has %s",
			c.id, memory, frozen, c.Cycles)
	}
	if c.Cycles.Sub(frozen).Cmp(cost) < 0 {
		return reject(errOutOfCycles, "Canister %s is out of cycles: the operation takes %s above its freezing limit of %s, and it has %s", c.id, cost, frozen, c.Cycles)
	}
	if holds := max(memory, c.Settings.Memory); holds > c.allocated() {
		if rej := x.grow(c, holds-c.allocated(), &c.Settings, memory, errMemoryGrowCycles); rej != nil {
			return rej
		}
	}
	cost = cost.Min(c.Cycles)
	c.Cycles = c.Cycles.Sub(cost)
	c.consume(forInstructions, cost)
	c.dirty = true
	return nil
}

// room checks that c may have one more snapshot, or finds the one that makes place for it.
func (c *canister) room(replace *[]byte) (old *snapshot, rej *Reject) {
	if replace != nil {
		return c.snapshotOf(*replace)
	}
	if len(c.snapshots) >= maxSnapshots {
		return nil, reject(errCanisterRejected, "Canister %s has reached the maximum number of snapshots allowed: %d; delete one, or name one to replace", c.id, maxSnapshots)
	}
	return nil, nil
}

func (c *canister) addSnapshot(r snapshotRecord) *snapshot {
	s := &snapshot{snapshotRecord: r, number: c.NextSnapshot, dirty: true}
	c.NextSnapshot++
	c.snapshots = append(c.snapshots, s)
	c.SnapshotBytes += s.size()
	c.dirty = true
	return s
}

func (x *Executor) dropSnapshot(c *canister, s *snapshot) {
	if s == nil {
		return
	}
	for _, layer := range s.layers() {
		x.layers.drop(layer)
	}
	at := slices.Index(c.snapshots, s)
	c.snapshots = slices.Delete(c.snapshots, at, at+1)
	c.goneSnapshots = append(c.goneSnapshots, s.number)
	c.SnapshotBytes -= s.size()
	c.dirty = true
}

// above makes a layer on top of another; on top of none it is none.
func (x *Executor) above(id uint64) uint64 {
	if id == 0 {
		return 0
	}
	return x.layers.add(x.layers.at(id).Kind, id)
}

// deep refuses to put one more layer on top of those that are there.
func (x *Executor) deep(c *canister, ids ...uint64) *Reject {
	for _, id := range ids {
		if n := len(x.layers.chain(id)); n >= maxLayers {
			return reject(errHeapDelta, "Canister %s: the snapshot shares its pages with %d others, in a row; try again when older ones were deleted and merged", c.id, n)
		}
	}
	return nil
}

func (x *Executor) takeSnapshot(k *call, a *management.TakeSnapshotArgs) ([]byte, *Reject) {
	c, rej := x.controlled(a.CanisterID, k.caller, 0)
	if rej != nil {
		return nil, rej
	}
	old, rej := c.room(a.ReplaceSnapshot)
	if rej != nil {
		return nil, rej
	}
	if !c.hasCode() {
		return nil, reject(errCanisterRejected, "Failed to create snapshot for empty canister %s", c.id)
	}
	if rej := x.deep(c, c.HeapLayer, c.StableLayer, c.ChunkLayer); rej != nil {
		return nil, rej
	}
	code := x.load(c, x.store)
	r := snapshotRecord{Source: snapshotTaken, TakenNs: x.global.TimeNs, Version: c.Version, Changed: x.global.Height, ModuleHash: c.ModuleHash,
		ModuleSize: c.ModuleSize, HeapPages: c.HeapPages, StablePages: c.StablePages, Globals: globalsOf(code.module, c.Globals),
		Chunks: c.Chunks, Certified: c.Certified, HasTimer: true, Timer: c.Timer, Hook: c.LowMemory}
	uninstall := a.UninstallCode != nil && *a.UninstallCode
	if uninstall {
		if rej := x.keeps(c, "uninstalled"); rej != nil {
			return nil, rej
		}
	}
	size := (&snapshot{snapshotRecord: r}).size()
	memory := c.memory() + size
	if old != nil {
		memory -= old.size()
	}
	if uninstall {
		memory -= c.codeMemory()
	}
	if rej := x.pay(c, snapshotInstructions+size, memory); rej != nil {
		return nil, rej
	}
	x.used += c.ModuleSize
	x.dropSnapshot(c, old)
	x.writing(func() {
		c.flushMemory(x.store, x.result)
		r.ModuleLayer = x.moduleLayer(c)
	})
	r.HeapLayer, r.StableLayer, r.ChunkLayer = c.HeapLayer, c.StableLayer, c.ChunkLayer
	s := c.addSnapshot(r)
	c.lock()
	c.HeapLayer, c.StableLayer, c.ChunkLayer = x.above(r.HeapLayer), x.above(r.StableLayer), x.above(r.ChunkLayer)
	c.view = c.snapshot(x)
	c.mu.Unlock()
	if uninstall {
		x.uninstall(k.message, c, a.SenderCanisterVersion)
	}
	return candid.MustMarshal(c.snapshotInfo(s)), nil
}

// codeMemory is what c holds that uninstalling gives back.
func (c *canister) codeMemory() uint64 {
	return (c.HeapPages+c.StablePages)*wasmPage + c.ModuleSize + uint64(len(c.Globals))*8 + uint64(len(c.Chunks))*maxChunk
}

// writing runs f, which writes to the store in the middle of a round; queries may share the store.
func (x *Executor) writing(f func()) {
	if x.shared {
		x.storeMu.Lock()
		defer x.storeMu.Unlock()
	}
	f()
}

// moduleLayer gives the installed module of c in pages, as one of its snapshots has them already, or written now.
func (x *Executor) moduleLayer(c *canister) uint64 {
	for _, s := range c.snapshots {
		if s.Source == snapshotTaken && bytes.Equal(s.ModuleHash, c.ModuleHash) {
			x.layers.hold(s.ModuleLayer)
			return s.ModuleLayer
		}
	}
	module := c.module // installed in this round
	if module == nil {
		stored, ok := x.store.Get(keyOf(keyModule, c.id))
		if !ok {
			panic(fmt.Sprintf("execution: no module of %s in the store", c.id))
		}
		module = stored
	}
	id := x.layers.add(keyModulePage, 0)
	for at := 0; at < len(module); at += pageSize {
		var p page
		copy(p[:], module[at:])
		x.store.Set(layerKey(keyModulePage, id, be32(uint32(at/pageSize))...), p[:])
	}
	return id
}

// globalsOf gives the values of the globals that snapshots show. words are the mutable ones.
func globalsOf(m *wasm.Module, words []uint64) []global {
	out := []global{}
	for _, g := range m.VisibleGlobals() {
		v := global{Type: byte(g.Type), Lo: g.Initial[0], Hi: g.Initial[1]}
		if g.Mutable {
			v.Lo, words = words[0], words[1:]
			if g.Type == wasmbin.V128 {
				v.Hi, words = words[0], words[1:]
			}
		}
		out = append(out, v)
	}
	return out
}

// globalWords is the way back: the mutable globals as an image takes them. ok is false when the list is not of this module.
func globalWords(m *wasm.Module, list []global) (words []uint64, ok bool) {
	visible := m.VisibleGlobals()
	if len(visible) != len(list) {
		return nil, false
	}
	for i, g := range visible {
		if list[i].Type != byte(g.Type) {
			return nil, false
		}
		if !g.Mutable {
			continue
		}
		if words = append(words, list[i].Lo); g.Type == wasmbin.V128 {
			words = append(words, list[i].Hi)
		}
	}
	return words, true
}

func (x *Executor) loadSnapshot(k *call, a *management.LoadSnapshotArgs) ([]byte, *Reject) {
	c, rej := x.controlled(a.CanisterID, k.caller, 0)
	if rej == nil {
		rej = x.keeps(c, "set back to a snapshot")
	}
	if rej != nil {
		return nil, rej
	}
	owner := c
	if len(a.SnapshotID) > 8 && !bytes.Equal(a.SnapshotID[8:], c.id.Bytes()) {
		id, err := principal.FromBytes(a.SnapshotID[8:])
		if err != nil {
			return nil, reject(errInvalidPayload, "The snapshot id %x does not end in a canister id", a.SnapshotID)
		}
		if owner = x.canisters[id]; owner == nil || owner.kind != wasmCanister {
			return nil, reject(errSnapshotNotFound, "Could not find the snapshot ID %x for canister %s", a.SnapshotID, c.id)
		}
	}
	s, rej := owner.snapshotOf(a.SnapshotID)
	switch {
	case rej != nil:
		return nil, rej
	case !owner.isController(k.caller):
		return nil, notController(owner.id, owner.Settings.Controllers, k.caller)
	case s.Changed == x.global.Height:
		// Its pages are not committed, and queries of the canister could not read them. They are with the next block.
		k.later = true
		return nil, nil
	}
	if rej := x.deep(c, s.HeapLayer, s.StableLayer, s.ChunkLayer); rej != nil {
		return nil, rej
	}
	module := x.snapshotBytes(keyModulePage, s.ModuleLayer, 0, s.ModuleSize)
	x.used += uint64(len(module))*compilePerByte + s.HeapPages*wasmPage
	next, err := x.cfg.Engine.Compile(module)
	if errors.Is(err, wasm.ErrInvalid) {
		return nil, reject(errInvalidWasm, "Error from Canister %s: Canister's Wasm module is not valid: %v", c.id, err)
	}
	if err != nil {
		panic(fmt.Sprintf("execution: compiling for %s: %v", c.id, err))
	}
	release := true // the module, unless it is loaded
	defer func() {
		if release {
			closing(next.Close())
		}
	}()
	if err := checkExports(next.Exports()); err != nil {
		return nil, reject(errInvalidWasm, "Error from Canister %s: Canister's Wasm module is not valid: %v", c.id, err)
	}
	words, ok := globalWords(next, s.Globals)
	if !ok {
		return nil, inconsistent("Wasm exported globals of canister module and snapshot metadata do not match.")
	}
	if least, most := next.MemoryPages(); s.HeapPages < uint64(least) || s.HeapPages > uint64(most) {
		return nil, inconsistent("The snapshot has %d pages of Wasm memory, its module takes %d to %d.", s.HeapPages, least, most)
	}
	if s.Source == snapshotUploaded && s.Hook != hookUnknown {
		probe := canister{record: record{Settings: c.Settings, HeapPages: s.HeapPages}}
		probe.watchMemory(x.cfg.MaxHeapBytes)
		if low := probe.LowMemory != memoryEnough; low != (s.Hook != memoryEnough) {
			return nil, inconsistent("The uploaded on_low_wasm_memory_hook_status is inconsistent with the canister's state: whether memory is low is %v.", low)
		}
	}
	memory := c.memory() - c.codeMemory() + s.size() - uint64(len(s.Certified))
	if rej := x.pay(c, snapshotInstructions+s.size(), memory); rej != nil {
		return nil, rej
	}
	image, err := next.LoadImage(uint32(s.HeapPages), words, func(put func(index uint32, page []byte) error) (err error) {
		scanLayers(x.store, keyHeap, x.layers.chain(s.HeapLayer), func(at, v []byte) bool {
			err = put(binary.BigEndian.Uint32(at), v)
			return err == nil
		})
		return err
	})
	if err != nil {
		panic(fmt.Sprintf("execution: loading a snapshot into %s: %v", c.id, err))
	}
	release = false
	c.lock()
	defer c.mu.Unlock()
	for _, layer := range []uint64{c.HeapLayer, c.StableLayer, c.ChunkLayer} {
		x.layers.drop(layer)
	}
	clear(c.heapDirty)
	clear(c.newChunks)
	c.stable.reset()
	c.HeapLayer, c.StableLayer, c.ChunkLayer = x.above(s.HeapLayer), x.above(s.StableLayer), x.above(s.ChunkLayer)
	if s.Source == snapshotUploaded { // more may be uploaded, which must not show here
		for _, layer := range []*uint64{&s.HeapLayer, &s.StableLayer, &s.ChunkLayer} {
			own := x.above(*layer)
			x.layers.drop(*layer)
			*layer, s.dirty, owner.dirty = own, true, true
		}
	}
	c.HeapPages, c.Globals, c.StablePages, c.Chunks, c.Certified = s.HeapPages, words, s.StablePages, s.Chunks, s.Certified
	c.setModule(next, module, x.global.TimeNs)
	c.watchMemory(x.cfg.MaxHeapBytes)
	if s.Source == snapshotUploaded {
		if s.HasTimer {
			c.Timer = s.Timer
		}
		if s.Hook != hookUnknown {
			c.LowMemory = s.Hook
		}
	}
	from := &loadedSnapshot{ID: a.SnapshotID, Version: s.Version, TakenNs: s.TakenNs, Source: s.Source}
	if owner != c {
		from.Canister = owner.id.Bytes()
	}
	x.changed(c, k.message, a.SenderCanisterVersion, change{Kind: changeLoadSnapshot, Load: from})
	c.code.Swap(&code{module: next, image: image}).unload()
	c.view = c.snapshot(x)
	x.treeDirty[c.id] = struct{}{}
	return emptyCandid, nil
}

func inconsistent(format string, args ...any) *Reject {
	return reject(errInvalidPayload, format, args...)
}

// readable finds a canister whose snapshots the caller may see.
func (x *Executor) readable(id, caller principal.Principal) (*canister, *Reject) {
	c, rej := x.find(id)
	if rej == nil && !c.Settings.Snapshots.allows(c.Settings.Controllers, caller) {
		return nil, notController(id, c.Settings.Controllers, caller)
	}
	return c, rej
}

func (x *Executor) listSnapshots(k *call, a *management.CanisterID) ([]byte, *Reject) {
	c, rej := x.readable(a.CanisterID, k.caller)
	if rej != nil {
		return nil, rej
	}
	list := []management.Snapshot{}
	for _, s := range c.snapshots {
		list = append(list, c.snapshotInfo(s))
	}
	return candid.MustMarshal(list), nil
}

func (x *Executor) deleteSnapshot(k *call, a *management.SnapshotArgs) ([]byte, *Reject) {
	c, rej := x.controlled(a.CanisterID, k.caller, 0)
	if rej != nil {
		return nil, rej
	}
	s, rej := c.snapshotOf(a.SnapshotID)
	if rej != nil {
		return nil, rej
	}
	x.dropSnapshot(c, s)
	return emptyCandid, nil
}

func (x *Executor) readSnapshotMetadata(k *call, a *management.SnapshotArgs) ([]byte, *Reject) {
	c, rej := x.readable(a.CanisterID, k.caller)
	if rej != nil {
		return nil, rej
	}
	s, rej := c.snapshotOf(a.SnapshotID)
	if rej != nil {
		return nil, rej
	}
	out := management.SnapshotMetadata{Source: sourceOf(s.Source), TakenAt: s.TakenNs, WasmModuleSize: s.ModuleSize, Globals: []management.Global{},
		WasmMemorySize: s.HeapPages * wasmPage, StableMemorySize: s.StablePages * wasmPage, WasmChunkStore: []management.ChunkHash{},
		CanisterVersion: s.Version, CertifiedData: s.Certified, OnLowWasmMemory: hookStatus(s.Hook)}
	for _, g := range s.Globals {
		out.Globals = append(out.Globals, g.candid())
	}
	for _, h := range s.Chunks {
		out.WasmChunkStore = append(out.WasmChunkStore, management.ChunkHash{Hash: h})
	}
	if s.HasTimer {
		out.GlobalTimer = &management.GlobalTimer{Inactive: candid.Unit}
		if s.Timer != 0 {
			out.GlobalTimer = &management.GlobalTimer{Active: &s.Timer}
		}
	}
	return candid.MustMarshal(out), nil
}

func sourceOf(source uint8) management.SnapshotSource {
	if source == snapshotUploaded {
		return management.SnapshotSource{MetadataUpload: &candid.Reserved{}}
	}
	return management.SnapshotSource{TakenFromCanister: &candid.Reserved{}}
}

func hookStatus(hook uint8) *management.HookStatus {
	switch hook {
	case memoryEnough:
		return &management.HookStatus{NotSatisfied: candid.Unit}
	case memoryLowReady:
		return &management.HookStatus{Ready: candid.Unit}
	case memoryLowDone:
		return &management.HookStatus{Executed: candid.Unit}
	}
	return nil
}

func (g *global) candid() (out management.Global) {
	switch wasmbin.ValType(g.Type) {
	case wasmbin.I32:
		v := int32(uint32(g.Lo))
		out.I32 = &v
	case wasmbin.I64:
		v := int64(g.Lo)
		out.I64 = &v
	case wasmbin.F32:
		v := math.Float32frombits(uint32(g.Lo))
		out.F32 = &v
	case wasmbin.F64:
		v := math.Float64frombits(g.Lo)
		out.F64 = &v
	default:
		v := candid.NatFromUint128(g.Hi, g.Lo)
		out.V128 = &v
	}
	return out
}

// globalOf is the way back; ok is false for a v128 of more than 128 bits.
func globalOf(v *management.Global) (g global, ok bool) {
	switch {
	case v.I32 != nil:
		return global{Type: byte(wasmbin.I32), Lo: uint64(uint32(*v.I32))}, true
	case v.I64 != nil:
		return global{Type: byte(wasmbin.I64), Lo: uint64(*v.I64)}, true
	case v.F32 != nil:
		return global{Type: byte(wasmbin.F32), Lo: uint64(math.Float32bits(*v.F32))}, true
	case v.F64 != nil:
		return global{Type: byte(wasmbin.F64), Lo: math.Float64bits(*v.F64)}, true
	}
	hi, lo, ok := v.V128.Uint128()
	return global{Type: byte(wasmbin.V128), Lo: lo, Hi: hi}, ok
}

// region is the data of a snapshot that a slice is of.
func (s *snapshot) region(kind byte) (layer *uint64, size uint64) {
	switch kind {
	case keyHeap:
		return &s.HeapLayer, s.HeapPages * wasmPage
	case keyStable:
		return &s.StableLayer, s.StablePages * wasmPage
	}
	return &s.ModuleLayer, s.ModuleSize
}

func outside(offset, size, total uint64) *Reject {
	if offset > total || size > total-offset {
		return reject(errInvalidPayload, "Invalid subslice into wasm module / main memory / stable memory: offset: %d, size: %d; it has %d bytes", offset, size, total)
	}
	return nil
}

func (x *Executor) readSnapshotData(k *call, a *management.ReadSnapshotDataArgs) ([]byte, *Reject) {
	c, rej := x.readable(a.CanisterID, k.caller)
	if rej != nil {
		return nil, rej
	}
	s, rej := c.snapshotOf(a.SnapshotID)
	if rej != nil {
		return nil, rej
	}
	var kind byte
	slice := a.Kind.WasmModule
	switch {
	case slice != nil:
		kind = keyModulePage
	case a.Kind.WasmMemory != nil:
		kind, slice = keyHeap, a.Kind.WasmMemory
	case a.Kind.StableMemory != nil:
		kind, slice = keyStable, a.Kind.StableMemory
	}
	cost := uint64(maxChunk)
	if slice != nil {
		if cost = slice.Size; cost > maxSnapshotSlice {
			return nil, reject(errInvalidPayload, "Requested slice too large: %d > %d", cost, maxSnapshotSlice)
		}
	}
	if rej := x.pay(c, snapshotDataBaseline+cost, c.memory()); rej != nil {
		return nil, rej
	}
	x.used += cost
	var out management.SnapshotChunk
	if slice != nil {
		layer, size := s.region(kind)
		if rej := outside(slice.Offset, slice.Size, size); rej != nil {
			return nil, rej
		}
		out.Chunk = x.snapshotBytes(kind, *layer, slice.Offset, slice.Size)
		return candid.MustMarshal(out), nil
	}
	hash := a.Kind.WasmChunk.Hash
	if chunkIndex(s.Chunks, hash) < 0 {
		return nil, reject(errContractViolation, "Error from Wasm chunk store: the chunk %x is not in the snapshot", hash)
	}
	out.Chunk, _ = layered(x.fromRound, keyChunk, x.layers.chain(s.ChunkLayer), hash)
	return candid.MustMarshal(out), nil
}

func pageSuffix(kind byte, i uint64) []byte {
	if kind == keyStable {
		return be64(i)
	}
	return be32(uint32(i))
}

// snapshotBytes reads pages of a layer. What is not there is zero.
func (x *Executor) snapshotBytes(kind byte, layer, offset, size uint64) []byte {
	out := make([]byte, size)
	chain := x.layers.chain(layer)
	for rest := out; len(rest) > 0; {
		i, at := offset/pageSize, offset%pageSize
		n := min(uint64(len(rest)), pageSize-at)
		if p, ok := layered(x.fromRound, kind, chain, pageSuffix(kind, i)); ok && len(p) == pageSize {
			copy(rest[:n], p[at:])
		}
		rest, offset = rest[n:], offset+n
	}
	return out
}

func (x *Executor) writeSnapshot(kind byte, layer, offset uint64, data []byte) {
	chain := x.layers.chain(layer)
	for len(data) > 0 {
		i, at := offset/pageSize, offset%pageSize
		var p page
		if old, ok := layered(x.store.Get, kind, chain, pageSuffix(kind, i)); ok {
			copy(p[:], old)
		}
		n := copy(p[at:], data)
		key := layerKey(kind, layer, pageSuffix(kind, i)...)
		if p == zeroPage && len(chain) == 1 {
			x.store.Delete(key)
		} else {
			x.store.Set(key, p[:])
		}
		data, offset = data[n:], offset+uint64(n)
	}
}

func (x *Executor) uploadSnapshotMetadata(k *call, a *management.UploadSnapshotMetadataArgs) ([]byte, *Reject) {
	c, rej := x.controlled(a.CanisterID, k.caller, 0)
	if rej != nil {
		return nil, rej
	}
	old, rej := c.room(a.ReplaceSnapshot)
	if rej != nil {
		return nil, rej
	}
	bad := func(format string, args ...any) ([]byte, *Reject) {
		return nil, reject(errInvalidPayload, "Snapshot Metadata contains invalid data: "+format, args...)
	}
	switch {
	case a.WasmModuleSize > maxWasmSize:
		return bad("a module of %d bytes, at most %d are allowed", a.WasmModuleSize, maxWasmSize)
	case a.WasmMemorySize%wasmPage != 0 || a.StableMemorySize%wasmPage != 0:
		return bad("memories of %d and %d bytes, which are not whole pages of %d", a.WasmMemorySize, a.StableMemorySize, wasmPage)
	case a.WasmMemorySize > x.cfg.MaxHeapBytes:
		return bad("a Wasm memory of %d bytes, at most %d are allowed", a.WasmMemorySize, x.cfg.MaxHeapBytes)
	case a.StableMemorySize/wasmPage > maxStablePages:
		return bad("a stable memory of %d bytes, at most %d are allowed", a.StableMemorySize, maxStablePages*wasmPage)
	case len(a.CertifiedData) > maxCertified:
		return bad("certified data of %d bytes, at most %d are allowed", len(a.CertifiedData), maxCertified)
	case len(a.Globals) > maxSnapshotGlobals:
		return bad("%d globals, at most %d are allowed", len(a.Globals), maxSnapshotGlobals)
	}
	r := snapshotRecord{Source: snapshotUploaded, TakenNs: x.global.TimeNs, Version: c.Version, Changed: x.global.Height, ModuleSize: a.WasmModuleSize,
		HeapPages: a.WasmMemorySize / wasmPage, StablePages: a.StableMemorySize / wasmPage, Certified: a.CertifiedData, Hook: hookUnknown}
	for i := range a.Globals {
		g, ok := globalOf(&a.Globals[i])
		if !ok {
			return bad("global %d has more than 128 bits", i)
		}
		r.Globals = append(r.Globals, g)
	}
	if t := a.GlobalTimer; t != nil {
		r.HasTimer = true
		if t.Active != nil {
			r.Timer = *t.Active
		}
	}
	switch h := a.OnLowWasmMemory; {
	case h == nil:
	case h.NotSatisfied != nil:
		r.Hook = memoryEnough
	case h.Ready != nil:
		r.Hook = memoryLowReady
	default:
		r.Hook = memoryLowDone
	}
	size := (&snapshot{snapshotRecord: r}).size()
	memory := c.memory() + size
	if old != nil {
		memory -= old.size()
	}
	if rej := x.pay(c, snapshotInstructions+size, memory); rej != nil {
		return nil, rej
	}
	x.dropSnapshot(c, old)
	r.HeapLayer, r.StableLayer = x.layers.add(keyHeap, 0), x.layers.add(keyStable, 0)
	r.ChunkLayer, r.ModuleLayer = x.layers.add(keyChunk, 0), x.layers.add(keyModulePage, 0)
	s := c.addSnapshot(r)
	return candid.MustMarshal(management.SnapshotID{SnapshotID: snapshotID(c.id, s.number)}), nil
}

func (x *Executor) uploadSnapshotData(k *call, a *management.UploadSnapshotDataArgs) ([]byte, *Reject) {
	c, rej := x.controlled(a.CanisterID, k.caller, 0)
	if rej != nil {
		return nil, rej
	}
	s, rej := c.snapshotOf(a.SnapshotID)
	if rej != nil {
		return nil, rej
	}
	if s.Source != snapshotUploaded {
		return nil, reject(errSnapshotImmutable, "Only canister snapshots created by metadata upload can be mutated.")
	}
	if a.Kind.WasmChunk != nil {
		return x.uploadSnapshotChunk(c, s, a.Chunk)
	}
	kind, at := byte(keyModulePage), a.Kind.WasmModule
	switch {
	case a.Kind.WasmMemory != nil:
		kind, at = keyHeap, a.Kind.WasmMemory
	case a.Kind.StableMemory != nil:
		kind, at = keyStable, a.Kind.StableMemory
	}
	layer, size := s.region(kind)
	if rej := outside(at.Offset, uint64(len(a.Chunk)), size); rej != nil {
		return nil, rej
	}
	if rej := x.pay(c, uint64(len(a.Chunk)), c.memory()); rej != nil {
		return nil, rej
	}
	x.used += uint64(len(a.Chunk)) * 8 // pages are read, hashed and written
	x.writing(func() { x.writeSnapshot(kind, *layer, at.Offset, a.Chunk) })
	s.Changed, s.dirty = x.global.Height, true
	return emptyCandid, nil
}

func (x *Executor) uploadSnapshotChunk(c *canister, s *snapshot, chunk []byte) ([]byte, *Reject) {
	hash := sha256.Sum256(chunk)
	switch {
	case len(chunk) > maxChunk:
		return nil, reject(errContractViolation, "Error from Wasm chunk store: a chunk of %d bytes, at most %d are allowed", len(chunk), maxChunk)
	case chunkIndex(s.Chunks, hash[:]) >= 0:
		return emptyCandid, nil
	case len(s.Chunks) >= maxChunks:
		return nil, reject(errContractViolation, "Error from Wasm chunk store: the snapshot has %d chunks, the most it takes", len(s.Chunks))
	}
	if rej := x.pay(c, maxChunk, c.memory()+maxChunk); rej != nil {
		return nil, rej
	}
	x.used += maxChunk
	c.SnapshotBytes += maxChunk
	s.Chunks = insertChunk(s.Chunks, hash[:])
	x.writing(func() { x.store.Set(layerKey(keyChunk, s.ChunkLayer, hash[:]...), chunk) })
	s.Changed, s.dirty = x.global.Height, true
	return emptyCandid, nil
}

func chunkIndex(list [][]byte, hash []byte) int {
	return slices.IndexFunc(list, func(h []byte) bool { return bytes.Equal(h, hash) })
}

// insertChunk gives a new list, since snapshots and queries may share the old one.
func insertChunk(list [][]byte, hash []byte) [][]byte {
	at := sort.Search(len(list), func(i int) bool { return bytes.Compare(list[i], hash) >= 0 })
	return slices.Insert(slices.Clone(list), at, hash)
}
