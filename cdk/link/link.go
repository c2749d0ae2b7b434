package link

import (
	"bytes"
	"errors"
	"fmt"
	"sort"

	"fusion/cdk"
	"fusion/internal/wasmbin"
)

// ErrProgram is the class of all errors about the input.
var ErrProgram = errors.New("not a program that can become a canister")

const (
	wasi     = "wasi_snapshot_preview1"
	icModule = "ic0"
	own      = "fusion"
)

// Link returns the canister module for a program built with GOOS=wasip1 GOARCH=wasm -buildmode=c-shared, whose description is d.
func Link(program []byte, d cdk.Description) ([]byte, error) {
	m, err := wasmbin.Parse(program)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProgram, err)
	}
	l := &linker{m: m, ic: map[string]uint32{}}
	if err := l.link(d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProgram, err)
	}
	return m.Encode(), nil
}

type linker struct {
	m              *wasmbin.Module
	ic             map[string]uint32 // index of an ic0 import
	init, dispatch uint32
	booted, seed   uint32 // globals
	callbacks      uint32 // table index of the reply callback; reject and cleanup follow
	texts          []byte
}

var (
	i32 = wasmbin.I32
	i64 = wasmbin.I64
)

func types(ts ...wasmbin.ValType) []wasmbin.ValType { return ts }

// icTypes are the signatures of the ic0 functions that the generated code calls.
var icTypes = map[string]wasmbin.FuncType{
	"time":               {Results: types(i64)},
	"trap":               {Params: types(i32, i32)},
	"debug_print":        {Params: types(i32, i32)},
	"canister_self_size": {Results: types(i32)},
	"canister_self_copy": {Params: types(i32, i32, i32)},
}

// textsAt is where the texts of generated traps lie: in the page around address 0 that Go programs leave unused.
const textsAt, textsEnd = 1024, 4096

func (l *linker) link(d cdk.Description) error {
	m := l.m
	if m.Start != nil {
		return errors.New("it has a start function")
	}
	if len(m.Tables) != 1 || len(m.Memories) != 1 {
		return fmt.Errorf("it has %d tables and %d memories, want 1 and 1", len(m.Tables), len(m.Memories))
	}
	// Parse leaves it to the engine whether indices exist.
	for i, t := range m.FuncTypes() {
		if uint64(t) >= uint64(len(m.Types)) {
			return fmt.Errorf("function %d has the type %d of %d", i, t, len(m.Types))
		}
	}
	for i := range m.Data {
		if off, ok := constant(m.Data[i].Offset); m.Data[i].Mode == wasmbin.Active && (!ok || off < textsEnd) {
			return fmt.Errorf("data segment %d starts below address %d", i, textsEnd)
		}
	}
	for _, e := range []struct {
		name  string
		index *uint32
		t     wasmbin.FuncType
	}{{"_initialize", &l.init, wasmbin.FuncType{}}, {"fusion_dispatch", &l.dispatch, wasmbin.FuncType{Params: types(i32, i32)}}} {
		x, ok := m.Export(e.name)
		if !ok || x.Kind != wasmbin.KindFunc || uint64(x.Index) >= uint64(m.NumFuncs()) {
			return fmt.Errorf("it does not export %s (is it built with -buildmode=c-shared, and does it call cdk.Main?)", e.name)
		}
		if t := m.Types[m.FuncTypes()[x.Index]]; !t.Equal(e.t) {
			return fmt.Errorf("%s has the type %v", e.name, t)
		}
		*e.index = x.Index
	}

	// Divide the imports. All that are not of ic0 become functions of the module, after the ones it has.
	var kept []wasmbin.Import
	var replaced []wasmbin.Import
	moved := make([]uint32, len(m.Imports)) // for replaced ones, the position in replaced
	for i, imp := range m.Imports {
		if imp.Kind != wasmbin.KindFunc {
			return fmt.Errorf("it imports the %v %s.%s", imp.Kind, imp.Module, imp.Name)
		}
		if imp.Module == icModule {
			if _, dup := l.ic[imp.Name]; !dup {
				l.ic[imp.Name] = uint32(len(kept))
			}
			moved[i] = uint32(len(kept))
			kept = append(kept, imp)
			continue
		}
		moved[i] = uint32(len(replaced))
		replaced = append(replaced, imp)
	}
	for _, name := range []string{"canister_self_copy", "canister_self_size", "debug_print", "time", "trap"} {
		if i, ok := l.ic[name]; ok {
			if t := m.Types[kept[i].Func]; !t.Equal(icTypes[name]) {
				return fmt.Errorf("import ic0.%s has the type %v", name, t)
			}
			continue
		}
		l.ic[name] = uint32(len(kept))
		kept = append(kept, wasmbin.Import{Module: icModule, Name: name, Kind: wasmbin.KindFunc, Func: m.AddType(icTypes[name])})
	}
	before, after := uint32(len(m.Imports)), uint32(len(kept))
	firstStub := after + uint32(len(m.Funcs))
	unknown := false
	renumber := func(f uint32) uint32 {
		switch {
		case f >= before+uint32(len(m.Funcs)):
			unknown = true
			return f
		case f >= before:
			return f - before + after
		case m.Imports[f].Module == icModule:
			return moved[f]
		}
		return firstStub + moved[f]
	}
	if err := m.RenumberFuncs(renumber); err != nil {
		return err
	}
	if unknown {
		return errors.New("it refers to a function that it does not have")
	}
	l.init, l.dispatch = renumber(l.init), renumber(l.dispatch)
	m.Imports = kept

	l.booted = l.global(i32, wasmbin.AppendI32(nil, 0))
	l.seed = l.global(i64, wasmbin.AppendI64(nil, 0))
	if m.Tables[0].Type != wasmbin.FuncRef {
		return errors.New("its table does not hold functions")
	}
	l.callbacks = uint32(m.Tables[0].Limits.Min)
	for _, imp := range replaced {
		t := m.Types[imp.Func]
		code, err := l.stub(imp, t)
		if err != nil {
			return fmt.Errorf("import %s.%s: %w", imp.Module, imp.Name, err)
		}
		m.AddFunc(t, code)
	}

	l.exports(d)
	l.addCallbacks()
	l.mergeData()
	m.Data = append(m.Data, wasmbin.Data{Offset: wasmbin.AppendOp(wasmbin.AppendI32(nil, textsAt), wasmbin.OpEnd), Init: l.texts})
	if len(l.texts) > textsEnd-textsAt {
		panic("link: the texts do not fit")
	}
	if m.DataCount != nil {
		n := uint32(len(m.Data))
		m.DataCount = &n
	}
	m.Customs = []wasmbin.Custom{metadata("candid:service", d.Candid), metadata("candid:args", d.InitArgs)}
	if d.Build != "" {
		m.Customs = append(m.Customs, metadata("fusion:build", d.Build))
	}
	return nil
}

// metadata is a custom section that the subnet certifies and shows to everybody.
func metadata(name, text string) wasmbin.Custom {
	return wasmbin.Custom{Name: "icp:public " + name, Data: []byte(text), After: 11}
}

// constant reads an i32.const expression.
func constant(expr []byte) (v int32, ok bool) {
	r := wasmbin.NewReader(expr)
	var in wasmbin.Instr
	if err := r.Next(&in); err != nil || in.Op != wasmbin.OpI32Const {
		return 0, false
	}
	return int32(in.Bits), true
}

func (l *linker) global(t wasmbin.ValType, init []byte) uint32 {
	l.m.Globals = append(l.m.Globals, wasmbin.Global{
		GlobalType: wasmbin.GlobalType{Type: t, Mutable: true}, Init: wasmbin.AppendOp(init, wasmbin.OpEnd)})
	return uint32(len(l.m.Globals) - 1)
}

// trap appends code that traps with a text.
func (l *linker) trap(a *asm, text string) *asm {
	at := bytes.Index(l.texts, []byte(text))
	if at < 0 {
		at = len(l.texts)
		l.texts = append(l.texts, text...)
	}
	return a.i32(int32(textsAt + at)).i32(int32(len(text))).call(l.ic["trap"]).op(wasmbin.OpUnreachable)
}

// exports replaces the program's exports by those of a canister.
func (l *linker) exports(d cdk.Description) {
	m := l.m
	memory := m.Exports[:0]
	for _, e := range m.Exports {
		if e.Kind == wasmbin.KindMemory {
			memory = append(memory, e)
		}
	}
	m.Exports = memory
	enter := func(name string, e cdk.Entry, n uint32, boot bool) {
		a := &asm{}
		if boot {
			// The runtime starts in the first entry after an install or upgrade. A module that is entered twice through these (it
			// cannot be on a subnet) keeps its runtime.
			a.globalGet(l.booted).op(wasmbin.OpI32Eqz).ifThen()
			a.call(l.init)
			a.i32(1).globalSet(l.booted)
			a.end()
		}
		a.i32(int32(e)).i32(int32(n)).call(l.dispatch)
		f := m.AddFunc(wasmbin.FuncType{}, a.code())
		m.Exports = append(m.Exports, wasmbin.Export{Name: name, Kind: wasmbin.KindFunc, Index: f})
	}
	enter("canister_init", cdk.EntryInit, d.Checksum, true)
	enter("canister_post_upgrade", cdk.EntryPostUpgrade, d.Checksum, true)
	enter("canister_global_timer", cdk.EntryTimer, 0, false)
	if d.PreUpgrade {
		enter("canister_pre_upgrade", cdk.EntryPreUpgrade, 0, false)
	}
	if d.Heartbeat {
		enter("canister_heartbeat", cdk.EntryHeartbeat, 0, false)
	}
	if d.LowMemory {
		enter("canister_on_low_wasm_memory", cdk.EntryLowMemory, 0, false)
	}
	if d.Inspect {
		enter("canister_inspect_message", cdk.EntryInspect, 0, false)
	}
	for i, method := range d.Methods {
		kind := "canister_update "
		switch {
		case method.Query:
			kind = "canister_query "
		case method.Composite:
			kind = "canister_composite_query "
		}
		enter(kind+method.Name, cdk.EntryMethod, uint32(i), false)
	}
}

// addCallbacks puts the three callback functions behind the program's own table entries.
func (l *linker) addCallbacks() {
	m := l.m
	var fs []uint32
	for _, e := range []cdk.Entry{cdk.EntryReply, cdk.EntryReject, cdk.EntryCleanup} {
		a := (&asm{}).i32(int32(e)).get(0).call(l.dispatch)
		fs = append(fs, m.AddFunc(wasmbin.FuncType{Params: types(i32)}, a.code()))
	}
	m.Elements = append(m.Elements, wasmbin.Element{
		Offset: wasmbin.AppendOp(wasmbin.AppendI32(nil, int32(l.callbacks)), wasmbin.OpEnd), Type: wasmbin.FuncRef, Funcs: fs})
	lim := &m.Tables[0].Limits
	lim.Min += uint64(len(fs))
	if lim.HasMax {
		lim.Max = max(lim.Max, lim.Min)
	}
}

// mergeData joins data segments with small gaps: Go's linker leaves out every run of eight zeros, and tens of thousands of
// segments cost more than the zeros.
func (l *linker) mergeData() {
	const gap = 64
	type segment struct {
		at   int64
		data []byte
	}
	var segs []segment
	for i := range l.m.Data {
		d := &l.m.Data[i]
		off, ok := constant(d.Offset)
		if d.Mode != wasmbin.Active || !ok {
			return // indices of segments would matter
		}
		segs = append(segs, segment{int64(uint32(off)), d.Init})
	}
	sort.SliceStable(segs, func(i, j int) bool { return segs[i].at < segs[j].at })
	var out []segment
	for _, s := range segs {
		if n := len(out); n > 0 {
			last := &out[n-1]
			end := last.at + int64(len(last.data))
			if s.at < end {
				return // overlapping segments: the order matters
			}
			if s.at-end <= gap {
				last.data = append(append(last.data, make([]byte, s.at-end)...), s.data...)
				continue
			}
		}
		out = append(out, segment{s.at, append([]byte(nil), s.data...)})
	}
	l.m.Data = nil
	for _, s := range out {
		l.m.Data = append(l.m.Data, wasmbin.Data{Offset: wasmbin.AppendOp(wasmbin.AppendI32(nil, int32(s.at)), wasmbin.OpEnd), Init: s.data})
	}
}
