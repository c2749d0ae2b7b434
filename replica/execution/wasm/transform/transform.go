package transform

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"fusion/internal/wasmbin"
)

// ErrInvalid is wrapped by every reason to refuse a module.
var ErrInvalid = errors.New("invalid wasm module")

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

// Kind is the type of a host function's parameter or result.
type Kind byte

// The kinds. Ptr stands for an address or size in the canister's memory: i32 or i64, as the import declares.
const (
	I32 Kind = iota + 1
	I64
	F32
	F64
	Ptr
)

// Signature is what a host function takes and returns.
type Signature struct{ Params, Results []Kind }

// Limits bound what a module may contain. Zero fields take the default, which is the Internet Computer's published
// limit where it has one ("Resource limits" in its documentation; the rest from its validation code).
type Limits struct {
	ModuleBytes     int    // decompressed module. The default is 100 MiB.
	CodeBytes       int    // all function bodies. The default is 10 MiB.
	FunctionBytes   int    // one function body. The default is 1,000,000 bytes.
	Functions       int    // defined functions. The default is 50,000.
	Globals         int    // defined globals. The default is 1,000.
	Exports         int    // canister methods. The default is 1,000.
	ExportNameBytes int    // names of all canister methods together. The default is 20,000.
	CustomSections  int    // sections named icp:public or icp:private. The default is 16.
	CustomBytes     int    // their names, without the prefix, and contents together. The default is 1 MiB.
	TypeValues      int    // parameters, or results, of a function type. The default is 1,000, as in other engines.
	Tables          int    // The default is 100.
	TableElements   uint64 // size of a table, now and after table.grow. The default is 1,000,000.
	// Locals bounds parameters and locals of one function. The default is 50,000, as in the engines of browsers.
	Locals int
	// Complexity bounds blocks × (locals + blocks/64) of one function, where branches and bulk instructions count as blocks, and
	// ModuleComplexity the sum over all functions: the compiler's time grows with it, at worst by 2 µs per unit on an idle machine.
	// The defaults are 2,000,000 and 12,000,000; a Go program with 3.5 MB of code has 66,000 in its largest function and
	// 2,400,000 in all.
	Complexity       int
	ModuleComplexity int
	// FunctionWork and ModuleWork bound what compileWork sums up: at worst 1 µs and 500 bytes per unit, of which the bytes are
	// given back after each function. The defaults are 2,000,000 and 30,000,000; the same program has 33,000 and 4,400,000.
	FunctionWork int
	ModuleWork   int
	// StackSlots is the depth of the virtual stack in slots of 8 bytes (see the package documentation). The default
	// is 4,194,304, which stands for 32 MiB, below the 50 MB at which the engine gives up on its own.
	StackSlots int64
}

func (l Limits) withDefaults() Limits {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&l.ModuleBytes, 100<<20)
	def(&l.CodeBytes, 10<<20)
	def(&l.FunctionBytes, 1_000_000)
	def(&l.Functions, 50_000)
	def(&l.Globals, 1_000)
	def(&l.Exports, 1_000)
	def(&l.ExportNameBytes, 20_000)
	def(&l.CustomSections, 16)
	def(&l.CustomBytes, 1<<20)
	def(&l.TypeValues, 1_000)
	def(&l.Tables, 100)
	def(&l.Locals, 50_000)
	def(&l.Complexity, 2_000_000)
	def(&l.ModuleComplexity, 12_000_000)
	def(&l.FunctionWork, 2_000_000)
	def(&l.ModuleWork, 30_000_000)
	if l.TableElements == 0 {
		l.TableElements = 1_000_000
	}
	if l.StackSlots == 0 {
		l.StackSlots = 4 << 20
	}
	return l
}

// Options configure Transform.
type Options struct {
	// Host maps the names of module "ic0" to their signatures.
	Host   map[string]Signature
	Limits Limits

	eager bool // tests: every segment stores the counter
}

// Names of the result's imports and exports. HostModule32 and HostModule64 are the modules that the host functions
// are imported from, by the width of their pointers; functions without pointers are in the first.
const (
	HostModule32 = "ic0"
	HostModule64 = "ic0/64"
	// TrapModule.TrapName is called, without arguments, when a counter is negative.
	TrapModule = "fusion"
	TrapName   = "exhausted"

	// ExportStart is the start function.
	ExportStart  = "canister_start"
	ExportMemory = "fusion:memory"
	// ExportMeter is the i64 global that holds the instructions left, ExportDepth that with the stack slots left.
	ExportMeter = "fusion:instructions"
	ExportDepth = "fusion:stack"
	// ExportCallback32 and ExportCallback64 take an index of table 0 and an environment (i32 or i64), and call that
	// function with it. They exist if table 0 holds functions; the second only if the module imports a function with
	// 64-bit pointers.
	ExportCallback32 = "fusion:callback32"
	ExportCallback64 = "fusion:callback64"
)

// MaxPages is the largest memory in 64 KiB pages, one page short of 4 GiB: the engine's compiled code holds the length
// in 32 bits, so 4 GiB would read as 0.
const MaxPages = 65535

// ExportGlobal returns the name under which the i-th mutable global of the result is exported. A v128 global is
// exported as two functions instead: this name followed by ":get" () -> (i64 low, i64 high) and ":set" (i64, i64) -> ().
func ExportGlobal(i int) string { return fmt.Sprintf("fusion:global%d", i) }

// Segment is the content of an active data segment.
type Segment struct {
	Offset uint64
	Init   []byte
}

// Global is a global of the module as it was given.
type Global struct {
	Type    wasmbin.ValType
	Mutable bool
	Initial [2]uint64 // the second word of a v128 is the high one
}

// Result is a transformed module and what the host must know about it.
type Result struct {
	// Wasm is the module to compile.
	Wasm []byte
	// Source is the module as installed, decompressed.
	Source []byte
	// Exports are the exported canister methods under their public names, sorted; without ExportStart.
	Exports []string
	// HasStart tells that ExportStart exists.
	HasStart bool
	// HasMemory tells whether the module has a memory; MemoryMin and MemoryMax are its bounds in 64 KiB pages, at most
	// MaxPages. The transformed module's own maximum is always 65,536: the host's allocator enforces MemoryMax.
	HasMemory            bool
	MemoryMin, MemoryMax uint32
	// Segments go into the initial heap in this order.
	Segments []Segment
	// Globals are the types of the mutable globals, Initial their first values (two entries for v128, low first).
	Globals []wasmbin.ValType
	Initial []uint64
	// Visible are the globals that snapshots show, the mutable and the exported ones, in their order.
	Visible []Global
	// Stateful means that the code can change state outside memory and globals (tables, dropped segments), which only
	// a new instance restores.
	Stateful bool
	// Callbacks32 and Callbacks64 tell which callback exports exist.
	Callbacks32, Callbacks64 bool
	// Custom are the sections named "icp:public x" and "icp:private x".
	Custom []CustomSection
	// StackSlots is the value that the stack counter starts from.
	StackSlots int64
}

// CustomSection is metadata of the canister.
type CustomSection struct {
	Name   string // without the icp: prefix, for example "candid:service"
	Public bool
	Data   []byte
}

// Decompress returns the module itself if b is not gzip, and else what it unpacks to, refusing more than limit bytes.
func Decompress(b []byte, limit int) ([]byte, error) {
	if !bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		if len(b) > limit {
			return nil, invalid("%d bytes exceed the limit of %d", len(b), limit)
		}
		return b, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, invalid("gzip: %v", err)
	}
	out, err := io.ReadAll(io.LimitReader(z, int64(limit)+1))
	if err != nil {
		return nil, invalid("gzip: %v", err)
	}
	if len(out) > limit {
		return nil, invalid("after decompression the module exceeds the limit of %d bytes", limit)
	}
	return out, nil
}

// Transform validates and rewrites a module, gzipped or not. Errors wrap ErrInvalid. Neither input nor options are
// modified; the result may alias the input.
func Transform(module []byte, opt Options) (*Result, error) {
	lim := opt.Limits.withDefaults()
	src, err := Decompress(module, lim.ModuleBytes)
	if err != nil {
		return nil, err
	}
	m, err := wasmbin.Parse(src)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	t := &pass{m: m, lim: lim, opt: opt, res: &Result{Source: src, StackSlots: lim.StackSlots}}
	for _, step := range []func() error{
		t.customs, t.imports, t.sizes, t.memory, t.tables, t.globals, t.exports, t.segments, t.functions, t.finish,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	t.res.Wasm = m.Encode()
	return t.res, nil
}

// pass is the state of one Transform.
type pass struct {
	m   *wasmbin.Module
	lim Limits
	opt Options
	res *Result

	funcTypes   []uint32 // type of every function, original numbering
	imported    uint32   // imported functions of the original
	numGlobals  uint32   // globals of the original
	numTypes    int      // types of the original
	wide        bool     // an import has 64-bit pointers
	mem64       bool     // the original has a 64-bit memory
	table64     []bool   // which of the original's tables have 64-bit indices
	unexported  []uint32 // functions that lose their export, new numbering
	trap        uint32   // index of the trap import
	meter       uint32   // global indices
	depth       uint32
	complexity  int64
	work        int64
	blockTypes  map[string]wasmbin.BlockType // that were added
	chargeBytes uint32                       // helper functions
	chargeElems uint32
	chargePages uint32
	chargeGrow  uint32
	exportList  []wasmbin.Export
}

// moved maps a function index of the original to the result: one import is added behind the others.
func (t *pass) moved(i uint32) uint32 {
	if i < t.imported {
		return i
	}
	return i + 1
}

func (t *pass) customs() error {
	total := 0
	for _, c := range t.m.Customs {
		name, public := strings.CutPrefix(c.Name, "icp:public ")
		if !public {
			var private bool
			if name, private = strings.CutPrefix(c.Name, "icp:private "); !private {
				if strings.HasPrefix(c.Name, "icp:") {
					return invalid("custom section %q is neither icp:public nor icp:private", c.Name)
				}
				continue
			}
		}
		if slices.ContainsFunc(t.res.Custom, func(x CustomSection) bool { return x.Name == name }) {
			return invalid("custom section %q appears twice", name)
		}
		t.res.Custom = append(t.res.Custom, CustomSection{Name: name, Public: public, Data: c.Data})
		total += len(c.Data) + len(name)
		if n := len(t.res.Custom); n > t.lim.CustomSections {
			return invalid("%d icp custom sections exceed the limit of %d", n, t.lim.CustomSections)
		}
	}
	if total > t.lim.CustomBytes {
		return invalid("%d bytes of icp custom sections exceed the limit of %d", total, t.lim.CustomBytes)
	}
	return nil
}

func (t *pass) imports() error {
	for i := range t.m.Imports {
		imp := &t.m.Imports[i]
		where := fmt.Sprintf("import %q.%q", imp.Module, imp.Name)
		if imp.Kind != wasmbin.KindFunc {
			return invalid("%s is a %v; only functions can be imported", where, imp.Kind)
		}
		if imp.Module != "ic0" {
			return invalid("%s: only module \"ic0\" exists", where)
		}
		sig, ok := t.opt.Host[imp.Name]
		if !ok {
			return invalid("%s does not exist", where)
		}
		if int64(imp.Func) >= int64(len(t.m.Types)) {
			return invalid("%s has unknown type %d", where, imp.Func)
		}
		have := t.m.Types[imp.Func]
		width, ok := matchSignature(sig, have)
		if !ok {
			return invalid("%s has type %s but needs %s", where, typeString(have), sig)
		}
		if width == wasmbin.I32 && len(t.m.Memories) > 0 && t.m.Memories[0].Is64 {
			return invalid("%s has 32-bit pointers in a module with a 64-bit memory", where)
		}
		imp.Module = HostModule32
		if width == wasmbin.I64 {
			imp.Module, t.wide = HostModule64, true
		}
		t.imported++
	}
	t.trap = t.imported
	return nil
}

// matchSignature compares a declared type with a host signature; width is the type that stands for Ptr, 0 if none
// occurs.
func matchSignature(sig Signature, have wasmbin.FuncType) (width wasmbin.ValType, ok bool) {
	match := func(kinds []Kind, types []wasmbin.ValType) bool {
		if len(kinds) != len(types) {
			return false
		}
		for i, k := range kinds {
			want := wasmbin.ValType(0)
			switch k {
			case I32:
				want = wasmbin.I32
			case I64:
				want = wasmbin.I64
			case F32:
				want = wasmbin.F32
			case F64:
				want = wasmbin.F64
			case Ptr:
				if width == 0 && (types[i] == wasmbin.I32 || types[i] == wasmbin.I64) {
					width = types[i]
				}
				want = width
			}
			if types[i] != want {
				return false
			}
		}
		return true
	}
	ok = match(sig.Params, have.Params) && match(sig.Results, have.Results)
	return width, ok
}

// String renders the signature with I for pointers, as the interface specification writes it.
func (s Signature) String() string {
	list := func(ks []Kind) string {
		out := make([]string, len(ks))
		for i, k := range ks {
			out[i] = [...]string{I32: "i32", I64: "i64", F32: "f32", F64: "f64", Ptr: "I"}[k]
		}
		return "(" + strings.Join(out, ", ") + ")"
	}
	return list(s.Params) + " -> " + list(s.Results)
}

func typeString(f wasmbin.FuncType) string {
	list := func(ts []wasmbin.ValType) string {
		out := make([]string, len(ts))
		for i, v := range ts {
			out[i] = v.String()
		}
		return "(" + strings.Join(out, ", ") + ")"
	}
	return list(f.Params) + " -> " + list(f.Results)
}

func (t *pass) sizes() error {
	m, lim := t.m, t.lim
	if n := len(m.Funcs); n > lim.Functions {
		return invalid("%d functions exceed the limit of %d", n, lim.Functions)
	}
	if n := m.CodeSize(); n > lim.CodeBytes {
		return invalid("%d bytes of code exceed the limit of %d", n, lim.CodeBytes)
	}
	if n := len(m.Globals); n > lim.Globals {
		return invalid("%d globals exceed the limit of %d", n, lim.Globals)
	}
	for i, ft := range m.Types {
		if n := max(len(ft.Params), len(ft.Results)); n > lim.TypeValues {
			return invalid("type %d: %d parameters or results exceed the limit of %d", i, n, lim.TypeValues)
		}
	}
	t.numTypes = len(m.Types)
	t.funcTypes = m.FuncTypes()
	for i, ty := range t.funcTypes {
		if int64(ty) >= int64(len(m.Types)) {
			return invalid("function %d has unknown type %d", i, ty)
		}
	}
	return nil
}

func (t *pass) memory() error {
	if len(t.m.Memories) == 0 {
		return nil
	}
	if len(t.m.Memories) > 1 {
		return invalid("%d memories; only one is supported", len(t.m.Memories))
	}
	mem := &t.m.Memories[0]
	limit := uint64(1 << 16)
	if mem.Is64 {
		limit = 1 << 48
	}
	max := limit
	if mem.HasMax {
		if mem.Max > limit || mem.Max < mem.Min {
			return invalid("memory bounds %d to %d pages", mem.Min, mem.Max)
		}
		max = mem.Max
	}
	if mem.Min > MaxPages {
		return invalid("memory of %d pages exceeds the limit of %d", mem.Min, MaxPages)
	}
	t.mem64, mem.Is64 = mem.Is64, false
	t.res.HasMemory, t.res.MemoryMin, t.res.MemoryMax = true, uint32(mem.Min), uint32(min(max, MaxPages))
	mem.HasMax, mem.Max = true, 65536
	return nil
}

func (t *pass) tables() error {
	if n := len(t.m.Tables); n > t.lim.Tables {
		return invalid("%d tables exceed the limit of %d", n, t.lim.Tables)
	}
	var total uint64
	for i := range t.m.Tables {
		l := &t.m.Tables[i].Limits
		t.table64 = append(t.table64, l.Is64)
		l.Is64 = false
		if l.HasMax && l.Max < l.Min {
			return invalid("table bounds %d to %d", l.Min, l.Max)
		}
		if total += l.Min; l.Min > t.lim.TableElements || total > t.lim.TableElements {
			return invalid("tables of %d elements exceed the limit of %d", total, t.lim.TableElements)
		}
		if !l.HasMax || l.Max > t.lim.TableElements {
			l.HasMax, l.Max = true, t.lim.TableElements
		}
	}
	t.res.Callbacks32 = len(t.m.Tables) > 0 && t.m.Tables[0].Type == wasmbin.FuncRef
	t.res.Callbacks64 = t.res.Callbacks32 && t.wide
	return nil
}

// constant evaluates a constant expression of one instruction, checks its indices, and returns the bits (two words
// for v128). References yield 0.
func (t *pass) constant(expr []byte, want wasmbin.ValType, what string) (lo, hi uint64, err error) {
	r := wasmbin.NewReader(expr)
	var in, end wasmbin.Instr
	if err := r.Next(&in); err != nil {
		return 0, 0, fmt.Errorf("%w: %s: %w", ErrInvalid, what, err)
	}
	if err := r.Next(&end); err != nil || end.Op != wasmbin.OpEnd {
		return 0, 0, invalid("%s must be a single constant; extended constant expressions are not supported", what)
	}
	have := wasmbin.ValType(0)
	switch in.Op {
	case wasmbin.OpI32Const:
		have, lo = wasmbin.I32, uint64(uint32(in.Bits))
	case wasmbin.OpI64Const:
		have, lo = wasmbin.I64, in.Bits
	case wasmbin.OpF32Const:
		have, lo = wasmbin.F32, in.Bits
	case wasmbin.OpF64Const:
		have, lo = wasmbin.F64, in.Bits
	case wasmbin.OpV128Const:
		have, lo, hi = wasmbin.V128, in.Bits, in.Bits2
	case wasmbin.OpRefNull:
		have = in.Type
	case wasmbin.OpRefFunc:
		have = wasmbin.FuncRef
		if int64(in.Index) >= int64(len(t.funcTypes)) {
			return 0, 0, invalid("%s references unknown function %d", what, in.Index)
		}
	case wasmbin.OpGlobalGet:
		return 0, 0, invalid("%s reads global %d, which is not imported", what, in.Index)
	}
	if have != want {
		return 0, 0, invalid("%s is not a constant of type %v", what, want)
	}
	return lo, hi, nil
}

func (t *pass) globals() error {
	t.numGlobals = uint32(len(t.m.Globals))
	exported := map[uint32]bool{}
	for _, e := range t.m.Exports {
		if e.Kind == wasmbin.KindGlobal {
			exported[e.Index] = true
		}
	}
	for i, g := range t.m.Globals {
		lo, hi, err := t.constant(g.Init, g.Type, fmt.Sprintf("initial value of global %d", i))
		if err != nil {
			return err
		}
		if (g.Mutable || exported[uint32(i)]) && !g.Type.IsRef() {
			t.res.Visible = append(t.res.Visible, Global{g.Type, g.Mutable, [2]uint64{lo, hi}})
		}
		if !g.Mutable {
			continue
		}
		if g.Type.IsRef() {
			return invalid("global %d is a mutable %v, which cannot be kept between messages", i, g.Type)
		}
		n := len(t.res.Globals)
		t.res.Globals = append(t.res.Globals, g.Type)
		t.res.Initial = append(t.res.Initial, lo)
		if g.Type != wasmbin.V128 {
			t.exportList = append(t.exportList, wasmbin.Export{Name: ExportGlobal(n), Kind: wasmbin.KindGlobal, Index: uint32(i)})
			continue
		}
		t.res.Initial = append(t.res.Initial, hi)
	}
	t.meter, t.depth = t.numGlobals, t.numGlobals+1
	for range 2 {
		t.m.Globals = append(t.m.Globals, wasmbin.Global{
			GlobalType: wasmbin.GlobalType{Type: wasmbin.I64, Mutable: true},
			Init:       append(wasmbin.AppendI64(nil, 0), byte(wasmbin.OpEnd)),
		})
	}
	t.exportList = append(t.exportList,
		wasmbin.Export{Name: ExportMeter, Kind: wasmbin.KindGlobal, Index: t.meter},
		wasmbin.Export{Name: ExportDepth, Kind: wasmbin.KindGlobal, Index: t.depth})
	if t.res.HasMemory {
		t.exportList = append(t.exportList, wasmbin.Export{Name: ExportMemory, Kind: wasmbin.KindMemory})
	}
	return nil
}

// systemExports are the entry points of the interface specification other than the three kinds of methods.
var systemExports = []string{
	"canister_init", "canister_pre_upgrade", "canister_post_upgrade", "canister_inspect_message", "canister_heartbeat",
	"canister_global_timer", "canister_on_low_wasm_memory",
}

var methodPrefixes = []string{"canister_update ", "canister_query ", "canister_composite_query "}

func (t *pass) exports() error {
	seen := make(map[string]bool, len(t.m.Exports))
	methods := make(map[string]bool)
	nameBytes := 0
	for _, e := range t.m.Exports {
		if seen[e.Name] {
			return invalid("export %q appears twice", e.Name)
		}
		seen[e.Name] = true
		space := map[wasmbin.Kind]int{
			wasmbin.KindFunc: len(t.funcTypes), wasmbin.KindTable: len(t.m.Tables), wasmbin.KindMemory: len(t.m.Memories),
			wasmbin.KindGlobal: int(t.numGlobals),
		}[e.Kind]
		if int64(e.Index) >= int64(space) {
			return invalid("export %q names unknown %v %d", e.Name, e.Kind, e.Index)
		}
		if !strings.HasPrefix(e.Name, "canister_") {
			if e.Kind == wasmbin.KindFunc {
				t.unexported = append(t.unexported, t.moved(e.Index))
			}
			continue // harmless; the result does not export it
		}
		if e.Kind != wasmbin.KindFunc {
			return invalid("export %q is a %v, not a function", e.Name, e.Kind)
		}
		ft := t.m.Types[t.funcTypes[e.Index]]
		if len(ft.Params) != 0 || len(ft.Results) != 0 {
			return invalid("export %q has type %s instead of () -> ()", e.Name, typeString(ft))
		}
		if !slices.Contains(systemExports, e.Name) {
			name, ok := "", false
			for _, p := range methodPrefixes {
				if name, ok = strings.CutPrefix(e.Name, p); ok {
					break
				}
			}
			if !ok {
				return invalid("export %q: names starting with canister_ are reserved", e.Name)
			}
			if methods[name] {
				return invalid("method %q is exported more than once", name)
			}
			methods[name] = true
			nameBytes += len(name)
		}
		t.res.Exports = append(t.res.Exports, e.Name)
		t.exportList = append(t.exportList, wasmbin.Export{Name: e.Name, Kind: wasmbin.KindFunc, Index: t.moved(e.Index)})
	}
	if len(methods) > t.lim.Exports {
		return invalid("%d exported methods exceed the limit of %d", len(methods), t.lim.Exports)
	}
	if nameBytes > t.lim.ExportNameBytes {
		return invalid("method names of %d bytes exceed the limit of %d", nameBytes, t.lim.ExportNameBytes)
	}
	slices.Sort(t.res.Exports)
	if t.m.Start != nil {
		s := *t.m.Start
		if int64(s) >= int64(len(t.funcTypes)) {
			return invalid("unknown start function %d", s)
		}
		if ft := t.m.Types[t.funcTypes[s]]; len(ft.Params) != 0 || len(ft.Results) != 0 {
			return invalid("the start function has type %s instead of () -> ()", typeString(ft))
		}
		t.res.HasStart = true
		t.exportList = append(t.exportList, wasmbin.Export{Name: ExportStart, Kind: wasmbin.KindFunc, Index: t.moved(s)})
		t.m.Start = nil
	}
	return nil
}

// indexType is the type of addresses of a memory or indices of a table.
func indexType(is64 bool) wasmbin.ValType {
	if is64 {
		return wasmbin.I64
	}
	return wasmbin.I32
}

func (t *pass) segments() error {
	heap := uint64(t.res.MemoryMin) << 16
	for i := range t.m.Data {
		d := &t.m.Data[i]
		if d.Mode != wasmbin.Active {
			continue
		}
		if !t.res.HasMemory {
			return invalid("data segment %d without a memory", i)
		}
		off, _, err := t.constant(d.Offset, indexType(t.mem64), fmt.Sprintf("offset of data segment %d", i))
		if err != nil {
			return err
		}
		if n := uint64(len(d.Init)); off > heap || n > heap-off {
			return invalid("data segment %d, %d bytes at %d, is beyond the initial memory of %d bytes", i, n, off, heap)
		}
		if len(d.Init) > 0 {
			t.res.Segments = append(t.res.Segments, Segment{Offset: off, Init: d.Init})
		}
		// What an active segment leaves behind is a dropped segment, which is an empty passive one.
		*d = wasmbin.Data{Mode: wasmbin.Passive}
	}
	if t.m.DataCount == nil {
		t.m.Data = nil // no instruction can name them
	}
	for i := range t.m.Elements {
		e := &t.m.Elements[i]
		n := len(e.Funcs)
		for _, f := range e.Funcs {
			if int64(f) >= int64(len(t.funcTypes)) {
				return invalid("element segment %d names unknown function %d", i, f)
			}
		}
		if e.Exprs != nil {
			n = len(e.Exprs)
			for _, x := range e.Exprs {
				if _, _, err := t.constant(x, e.Type, fmt.Sprintf("item of element segment %d", i)); err != nil {
					return err
				}
			}
		}
		if e.Mode != wasmbin.Active {
			continue
		}
		if int64(e.Table) >= int64(len(t.m.Tables)) {
			return invalid("element segment %d names unknown table %d", i, e.Table)
		}
		off, _, err := t.constant(e.Offset, indexType(t.table64[e.Table]), fmt.Sprintf("offset of element segment %d", i))
		if err != nil {
			return err
		}
		if size := t.m.Tables[e.Table].Limits.Min; off > size || uint64(n) > size-off {
			return invalid("element segment %d, %d items at %d, is beyond the table's %d elements", i, n, off, size)
		}
		if t.table64[e.Table] {
			e.Offset = append(wasmbin.AppendI32(nil, int32(off)), byte(wasmbin.OpEnd))
		}
	}
	return nil
}

// finish renumbers, adds the trap import and the helpers, and replaces exports and custom sections.
func (t *pass) finish() error {
	m := t.m
	// The bodies are already rewritten with the new numbers; the rest is moved here.
	bodies := m.Code
	m.Code = nil
	m.Exports = nil
	// Parse gave the segments' index slices to this pass, so they may be changed in place.
	err := m.RenumberFuncs(t.moved)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	m.Code = bodies
	m.Customs = slices.DeleteFunc(m.Customs, func(c wasmbin.Custom) bool { return c.Name != "name" })
	if len(t.unexported) > 0 {
		// An export also declares that ref.func may name the function; keep that for the exports that go away.
		m.Elements = append(m.Elements, wasmbin.Element{Mode: wasmbin.Declarative, Type: wasmbin.FuncRef, Funcs: t.unexported})
	}

	empty := m.AddType(wasmbin.FuncType{})
	m.Imports = append(m.Imports, wasmbin.Import{Module: TrapModule, Name: TrapName, Kind: wasmbin.KindFunc, Func: empty})
	for _, h := range []struct {
		per int64
		max uint32
	}{{PerByte, math.MaxUint32}, {PerElement, math.MaxUint32}, {PerPage, MaxPages}, {PerElement, uint32(t.lim.TableElements)}} {
		m.AddFunc(wasmbin.FuncType{Params: []wasmbin.ValType{wasmbin.I32}, Results: []wasmbin.ValType{wasmbin.I32}}, t.helper(h.per, h.max))
	}
	t.callbacks()
	t.vectorGlobals()
	for i := range t.exportList {
		// The engine cannot call an imported function from outside.
		if e := &t.exportList[i]; e.Kind == wasmbin.KindFunc && e.Index < t.imported {
			body := append(wasmbin.AppendIndex(nil, wasmbin.OpCall, e.Index), byte(wasmbin.OpEnd))
			e.Index = m.AddFunc(wasmbin.FuncType{}, wasmbin.Code{Body: body})
		}
	}
	m.Exports = t.exportList
	return nil
}

// callbacks adds the functions that call an element of table 0.
func (t *pass) callbacks() {
	add := func(name string, env wasmbin.ValType) {
		callee := t.m.AddType(wasmbin.FuncType{Params: []wasmbin.ValType{env}})
		b := wasmbin.AppendIndex(nil, wasmbin.OpLocalGet, 1)
		b = wasmbin.AppendIndex(b, wasmbin.OpLocalGet, 0)
		b = append(wasmbin.AppendIndex(b, wasmbin.OpCallIndirect, callee), 0, byte(wasmbin.OpEnd))
		f := t.m.AddFunc(wasmbin.FuncType{Params: []wasmbin.ValType{wasmbin.I32, env}}, wasmbin.Code{Body: b})
		t.exportList = append(t.exportList, wasmbin.Export{Name: name, Kind: wasmbin.KindFunc, Index: f})
	}
	if t.res.Callbacks32 {
		add(ExportCallback32, wasmbin.I32)
	}
	if t.res.Callbacks64 {
		add(ExportCallback64, wasmbin.I64)
	}
}

// helper is the function that charges local 0 × per and returns local 0. What is above max costs nothing: it is the
// growth of a memory or a table that fails at once.
func (t *pass) helper(per int64, max uint32) wasmbin.Code {
	b := wasmbin.AppendIndex(nil, wasmbin.OpGlobalGet, t.meter)
	b = wasmbin.AppendIndex(b, wasmbin.OpLocalGet, 0)
	b = wasmbin.AppendOp(b, wasmbin.OpI64ExtendI32U)
	if per != 1 {
		b = wasmbin.AppendOp(wasmbin.AppendI64(b, per), wasmbin.OpI64Mul)
	}
	if max != math.MaxUint32 {
		b = wasmbin.AppendIndex(wasmbin.AppendI64(b, 0), wasmbin.OpLocalGet, 0)
		b = wasmbin.AppendOp(wasmbin.AppendI32(b, int32(max)), opI32LeU)
		b = wasmbin.AppendOp(b, wasmbin.OpSelect)
	}
	b = wasmbin.AppendOp(b, wasmbin.OpI64Sub)
	b = wasmbin.AppendIndex(b, wasmbin.OpGlobalSet, t.meter)
	b = wasmbin.AppendIndex(b, wasmbin.OpGlobalGet, t.meter)
	b = wasmbin.AppendBlock(appendNegative(b), wasmbin.OpIf, wasmbin.BlockEmpty)
	b = append(wasmbin.AppendIndex(b, wasmbin.OpCall, t.trap), byte(wasmbin.OpEnd))
	b = wasmbin.AppendIndex(b, wasmbin.OpLocalGet, 0)
	return wasmbin.Code{Body: append(b, byte(wasmbin.OpEnd))}
}

// vectorGlobals adds accessors for mutable v128 globals, which the engine's API cannot carry.
func (t *pass) vectorGlobals() {
	n := -1
	for i := range int(t.numGlobals) {
		g := &t.m.Globals[i]
		if !g.Mutable {
			continue
		}
		n++
		if g.Type != wasmbin.V128 {
			continue
		}
		var get []byte
		for lane := range byte(2) {
			get = wasmbin.AppendIndex(get, wasmbin.OpGlobalGet, uint32(i))
			get = append(wasmbin.AppendOp(get, wasmbin.OpI64x2ExtractLane), lane)
		}
		set := wasmbin.AppendIndex(nil, wasmbin.OpLocalGet, 0)
		set = wasmbin.AppendOp(set, wasmbin.OpI64x2Splat)
		set = wasmbin.AppendIndex(set, wasmbin.OpLocalGet, 1)
		set = append(wasmbin.AppendOp(set, wasmbin.OpI64x2ReplaceLane), 1)
		set = wasmbin.AppendIndex(set, wasmbin.OpGlobalSet, uint32(i))
		pair := []wasmbin.ValType{wasmbin.I64, wasmbin.I64}
		name := ExportGlobal(n)
		t.exportList = append(t.exportList,
			wasmbin.Export{Name: name + ":get", Kind: wasmbin.KindFunc,
				Index: t.m.AddFunc(wasmbin.FuncType{Results: pair}, wasmbin.Code{Body: append(get, byte(wasmbin.OpEnd))})},
			wasmbin.Export{Name: name + ":set", Kind: wasmbin.KindFunc,
				Index: t.m.AddFunc(wasmbin.FuncType{Params: pair}, wasmbin.Code{Body: append(set, byte(wasmbin.OpEnd))})})
	}
}
