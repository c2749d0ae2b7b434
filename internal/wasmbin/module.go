package wasmbin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sort"
	"unicode/utf8"
)

// ValType is a value type as encoded in the binary format.
type ValType byte

// The value types.
const (
	I32       ValType = 0x7f
	I64       ValType = 0x7e
	F32       ValType = 0x7d
	F64       ValType = 0x7c
	V128      ValType = 0x7b
	FuncRef   ValType = 0x70
	ExternRef ValType = 0x6f
)

// IsRef reports whether t is a reference type.
func (t ValType) IsRef() bool { return t == FuncRef || t == ExternRef }

func (t ValType) valid() bool { return (t >= V128 && t <= I32) || t.IsRef() }

func (t ValType) String() string {
	switch t {
	case I32:
		return "i32"
	case I64:
		return "i64"
	case F32:
		return "f32"
	case F64:
		return "f64"
	case V128:
		return "v128"
	case FuncRef:
		return "funcref"
	case ExternRef:
		return "externref"
	}
	return fmt.Sprintf("type(%#x)", byte(t))
}

// FuncType is the type of a function.
type FuncType struct{ Params, Results []ValType }

// Equal reports whether both types are the same.
func (t FuncType) Equal(u FuncType) bool {
	return slices.Equal(t.Params, u.Params) && slices.Equal(t.Results, u.Results)
}

// Kind is what an import or export names.
type Kind byte

// The kinds of imports and exports.
const (
	KindFunc   Kind = 0
	KindTable  Kind = 1
	KindMemory Kind = 2
	KindGlobal Kind = 3
)

func (k Kind) String() string {
	switch k {
	case KindFunc:
		return "function"
	case KindTable:
		return "table"
	case KindMemory:
		return "memory"
	case KindGlobal:
		return "global"
	}
	return fmt.Sprintf("kind(%d)", byte(k))
}

// Limits are the size bounds of a memory (in 64 KiB pages) or a table (in elements). Is64 marks the index type i64
// of the memory64 proposal.
type Limits struct {
	Min, Max uint64
	HasMax   bool
	Is64     bool
}

// Table is a table's type.
type Table struct {
	Type   ValType
	Limits Limits
}

// GlobalType is a global's type.
type GlobalType struct {
	Type    ValType
	Mutable bool
}

// Global is a defined global; Init is a constant expression with its end.
type Global struct {
	GlobalType
	Init []byte
}

// Import is one import; which of Func, Table, Memory, Global holds its type depends on Kind.
type Import struct {
	Module, Name string
	Kind         Kind
	Func         uint32 // type index
	Table        Table
	Memory       Limits
	Global       GlobalType
}

// Export is one export.
type Export struct {
	Name  string
	Kind  Kind
	Index uint32
}

// SegmentMode says when a segment is copied.
type SegmentMode byte

// Active segments are copied at instantiation, passive ones by an instruction, and declarative element segments only
// declare that functions may be referenced.
const (
	Active SegmentMode = iota
	Passive
	Declarative
)

// Element is an element segment. Its items are function indices (Funcs) or, when Exprs is not nil, constant
// expressions. Table and Offset belong to active segments.
type Element struct {
	Mode   SegmentMode
	Table  uint32
	Offset []byte
	Type   ValType
	Funcs  []uint32
	Exprs  [][]byte
}

// Data is a data segment; Offset belongs to active ones.
type Data struct {
	Mode   SegmentMode
	Offset []byte
	Init   []byte
}

// LocalRun declares Count locals of one type.
type LocalRun struct {
	Count uint32
	Type  ValType
}

// Code is a function body; Body holds the instructions with the final end.
type Code struct {
	Locals []LocalRun
	Body   []byte
}

// NumLocals returns the number of declared locals, without parameters.
func (c *Code) NumLocals() uint64 {
	var n uint64
	for _, r := range c.Locals {
		n += uint64(r.Count)
	}
	return n
}

// Custom is a custom section. After is the id of the section that it follows (0: it comes before all others).
type Custom struct {
	Name  string
	Data  []byte
	After byte
}

// Module is a module in memory. Index spaces put imports first, as in the format. Byte slices alias the input of
// Parse.
type Module struct {
	Types    []FuncType
	Imports  []Import
	Funcs    []uint32 // type indices of the defined functions
	Tables   []Table
	Memories []Limits
	Globals  []Global
	Exports  []Export
	Start    *uint32
	Elements []Element
	// DataCount is nil when the module has no data count section.
	DataCount *uint32
	Code      []Code // parallel to Funcs
	Data      []Data
	Customs   []Custom
}

// CodeSize returns the size of the function bodies in bytes, as the code section would hold them (without the
// section's header).
func (m *Module) CodeSize() int {
	n := 0
	for i := range m.Code {
		n += len(m.Code[i].Body) + 2*len(m.Code[i].Locals)
	}
	return n
}

// NumImports counts the imports of a kind.
func (m *Module) NumImports(k Kind) int {
	n := 0
	for i := range m.Imports {
		if m.Imports[i].Kind == k {
			n++
		}
	}
	return n
}

// NumFuncs returns the size of the function index space.
func (m *Module) NumFuncs() int { return m.NumImports(KindFunc) + len(m.Funcs) }

// FuncTypes returns the type index of every function of the index space.
func (m *Module) FuncTypes() []uint32 {
	out := make([]uint32, 0, len(m.Imports)+len(m.Funcs))
	for i := range m.Imports {
		if m.Imports[i].Kind == KindFunc {
			out = append(out, m.Imports[i].Func)
		}
	}
	return append(out, m.Funcs...)
}

// AddType returns the index of a type, adding it if the module does not have it.
func (m *Module) AddType(t FuncType) uint32 {
	for i := range m.Types {
		if m.Types[i].Equal(t) {
			return uint32(i)
		}
	}
	m.Types = append(m.Types, t)
	return uint32(len(m.Types) - 1)
}

// AddFunc appends a function and returns its index.
func (m *Module) AddFunc(t FuncType, c Code) uint32 {
	m.Funcs = append(m.Funcs, m.AddType(t))
	m.Code = append(m.Code, c)
	return uint32(m.NumFuncs() - 1)
}

// Export returns the export of that name.
func (m *Module) Export(name string) (Export, bool) {
	for _, e := range m.Exports {
		if e.Name == name {
			return e, true
		}
	}
	return Export{}, false
}

// Custom returns the contents of the first custom section of that name.
func (m *Module) Custom(name string) ([]byte, bool) {
	for i := range m.Customs {
		if m.Customs[i].Name == name {
			return m.Customs[i].Data, true
		}
	}
	return nil, false
}

const (
	secCustom    = 0
	secType      = 1
	secImport    = 2
	secFunction  = 3
	secTable     = 4
	secMemory    = 5
	secGlobal    = 6
	secExport    = 7
	secStart     = 8
	secElement   = 9
	secCode      = 10
	secData      = 11
	secDataCount = 12
)

// sectionOrder maps a section id to its place in the module.
var sectionOrder = [...]int{
	secType: 1, secImport: 2, secFunction: 3, secTable: 4, secMemory: 5, secGlobal: 6, secExport: 7, secStart: 8,
	secElement: 9, secDataCount: 10, secCode: 11, secData: 12,
}

// maxCounts bounds the vectors of sections before memory is taken for them: an element takes up to fifty times as much in memory
// as in the module. The numbers are those of other engines and far from what compilers produce.
var maxCounts = [...]int{
	secType: 100_000, secImport: 100_000, secFunction: 1_000_000, secTable: 100_000, secMemory: 100_000, secGlobal: 1_000_000,
	secExport: 100_000, secElement: 100_000, secCode: 1_000_000, secData: 100_000,
}

var sectionNames = [...]string{
	secType: "types", secImport: "imports", secFunction: "functions", secTable: "tables", secMemory: "memories", secGlobal: "globals",
	secExport: "exports", secElement: "element segments", secCode: "function bodies", secData: "data segments",
}

const (
	maxCustoms = 10_000    // custom sections
	maxItems   = 2_000_000 // items of all element segments, and runs of locals of all functions
)

var (
	header    = []byte{0, 'a', 's', 'm', 1, 0, 0, 0}
	component = []byte{0, 'a', 's', 'm', 0x0d, 0, 1, 0}
)

// IsModule reports whether b starts with the header of a version 1 module.
func IsModule(b []byte) bool { return bytes.HasPrefix(b, header) }

// Parse decodes a module. The result aliases b, which must not change afterwards. Errors wrap ErrTruncated,
// ErrLEB128, ErrMalformed, ErrUnsupported or ErrTooMany and name the place.
func Parse(b []byte) (*Module, error) {
	if bytes.HasPrefix(b, component) {
		return nil, fmt.Errorf("%w: this is a component and not a module", ErrUnsupported)
	}
	if !IsModule(b) {
		return nil, fmt.Errorf("%w: no wasm version 1 header", ErrMalformed)
	}
	m := &Module{}
	c := &cursor{b: b, pos: len(header)}
	last := byte(0)
	for c.left() > 0 {
		id, err := c.byte("section id")
		if err != nil {
			return nil, err
		}
		start := c.pos
		body, err := c.vec("section size")
		if err != nil {
			return nil, err
		}
		s := &cursor{b: body, base: c.pos - len(body)}
		if id == secCustom {
			name, err := s.name("custom section name")
			if err != nil {
				return nil, err
			}
			if len(m.Customs) == maxCustoms {
				return nil, s.tooMany("custom sections", maxCustoms+1, maxCustoms)
			}
			m.Customs = append(m.Customs, Custom{Name: name, Data: body[s.pos:], After: last})
			continue
		}
		if int(id) >= len(sectionOrder) {
			return nil, fmt.Errorf("%w: section id %d at offset %#x%s", ErrUnsupported, id, start-1, proposal(sectionProposals, id))
		}
		if last != 0 && sectionOrder[id] <= sectionOrder[last] {
			return nil, fmt.Errorf("%w: section id %d at offset %#x is out of order", ErrMalformed, id, start-1)
		}
		last = id
		if err := m.section(id, s); err != nil {
			return nil, err
		}
		if s.left() != 0 {
			return nil, s.errorf(ErrMalformed, fmt.Sprintf("junk at the end of section %d", id))
		}
	}
	if len(m.Funcs) != len(m.Code) {
		return nil, fmt.Errorf("%w: %d functions but %d bodies", ErrMalformed, len(m.Funcs), len(m.Code))
	}
	if m.DataCount != nil && int(*m.DataCount) != len(m.Data) {
		return nil, fmt.Errorf("%w: data count %d but %d segments", ErrMalformed, *m.DataCount, len(m.Data))
	}
	return m, nil
}

func (m *Module) section(id byte, c *cursor) error {
	switch id {
	case secStart:
		v, err := c.u32("start function")
		m.Start = &v
		return err
	case secDataCount:
		v, err := c.u32("data count")
		m.DataCount = &v
		return err
	}
	// The least bytes that an element of the section takes.
	min := [...]int{secType: 3, secImport: 4, secFunction: 1, secTable: 3, secMemory: 2, secGlobal: 3, secExport: 3,
		secElement: 2, secCode: 2, secData: 2}[id]
	n, err := c.count("section length", min)
	if err != nil {
		return err
	}
	if n > maxCounts[id] {
		return c.tooMany(sectionNames[id], n, maxCounts[id])
	}
	switch id {
	case secType:
		m.Types = make([]FuncType, n)
		return each(m.Types, c.funcType)
	case secImport:
		m.Imports = make([]Import, n)
		return each(m.Imports, c.importEntry)
	case secFunction:
		m.Funcs = make([]uint32, n)
		return each(m.Funcs, func(v *uint32) (err error) { *v, err = c.u32("function type"); return err })
	case secTable:
		m.Tables = make([]Table, n)
		return each(m.Tables, c.table)
	case secMemory:
		m.Memories = make([]Limits, n)
		return each(m.Memories, c.limits)
	case secGlobal:
		m.Globals = make([]Global, n)
		return each(m.Globals, func(g *Global) (err error) {
			if err = c.globalType(&g.GlobalType); err == nil {
				g.Init, err = c.constExpr("global initialiser")
			}
			return err
		})
	case secExport:
		m.Exports = make([]Export, n)
		return each(m.Exports, c.exportEntry)
	case secElement:
		m.Elements = make([]Element, n)
		return each(m.Elements, c.element)
	case secCode:
		m.Code = make([]Code, n)
		return each(m.Code, c.code)
	default:
		m.Data = make([]Data, n)
		return each(m.Data, c.data)
	}
}

func each[T any](s []T, f func(*T) error) error {
	for i := range s {
		if err := f(&s[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *cursor) name(what string) (string, error) {
	b, err := c.vec(what)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(b) {
		return "", c.errorf(ErrMalformed, what+" is not UTF-8")
	}
	return string(b), nil
}

func (c *cursor) valType(what string) (ValType, error) {
	b, err := c.byte(what)
	if err != nil {
		return 0, err
	}
	if t := ValType(b); t.valid() {
		return t, nil
	}
	return 0, c.errorf(ErrUnsupported, fmt.Sprintf("%s %#x%s", what, b, proposal(typeProposals, b)))
}

func (c *cursor) valTypes(what string) ([]ValType, error) {
	n, err := c.count(what, 1)
	if err != nil || n == 0 {
		return nil, err
	}
	out := make([]ValType, n)
	return out, each(out, func(t *ValType) (err error) { *t, err = c.valType(what); return err })
}

func (c *cursor) funcType(t *FuncType) error {
	b, err := c.byte("type form")
	if err != nil {
		return err
	}
	if b != 0x60 {
		return c.errorf(ErrUnsupported, fmt.Sprintf("type form %#x%s", b, proposal(formProposals, b)))
	}
	if t.Params, err = c.valTypes("parameter type"); err != nil {
		return err
	}
	t.Results, err = c.valTypes("result type")
	return err
}

func (c *cursor) limits(l *Limits) error {
	b, err := c.byte("limits")
	if err != nil {
		return err
	}
	if b&^5 != 0 {
		return c.errorf(ErrUnsupported, fmt.Sprintf("limits flags %#x%s", b, proposal(limitsProposals, b&^5)))
	}
	l.HasMax, l.Is64 = b&1 != 0, b&4 != 0
	num := func(what string) (uint64, error) {
		if l.Is64 {
			return c.u64(what)
		}
		v, err := c.u32(what)
		return uint64(v), err
	}
	if l.Min, err = num("minimum"); err == nil && l.HasMax {
		l.Max, err = num("maximum")
	}
	return err
}

func (c *cursor) table(t *Table) (err error) {
	if t.Type, err = c.valType("element type"); err != nil {
		return err
	}
	if !t.Type.IsRef() {
		return c.errorf(ErrMalformed, "element type is not a reference")
	}
	return c.limits(&t.Limits)
}

func (c *cursor) globalType(g *GlobalType) (err error) {
	if g.Type, err = c.valType("global type"); err != nil {
		return err
	}
	b, err := c.byte("mutability")
	if err != nil {
		return err
	}
	if b > 1 {
		return c.errorf(ErrMalformed, "mutability")
	}
	g.Mutable = b == 1
	return nil
}

func (c *cursor) importEntry(i *Import) (err error) {
	if i.Module, err = c.name("import module"); err != nil {
		return err
	}
	if i.Name, err = c.name("import name"); err != nil {
		return err
	}
	k, err := c.byte("import kind")
	if err != nil {
		return err
	}
	i.Kind = Kind(k)
	switch i.Kind {
	case KindFunc:
		i.Func, err = c.u32("import type")
	case KindTable:
		err = c.table(&i.Table)
	case KindMemory:
		err = c.limits(&i.Memory)
	case KindGlobal:
		err = c.globalType(&i.Global)
	default:
		err = c.errorf(ErrUnsupported, fmt.Sprintf("import kind %d%s", k, proposal(kindProposals, k)))
	}
	return err
}

func (c *cursor) exportEntry(e *Export) (err error) {
	if e.Name, err = c.name("export name"); err != nil {
		return err
	}
	k, err := c.byte("export kind")
	if err != nil {
		return err
	}
	if e.Kind = Kind(k); e.Kind > KindGlobal {
		return c.errorf(ErrUnsupported, fmt.Sprintf("export kind %d%s", k, proposal(kindProposals, k)))
	}
	e.Index, err = c.u32("export index")
	return err
}

// constExpr returns the bytes of a constant expression with its end.
func (c *cursor) constExpr(what string) ([]byte, error) {
	r := NewReader(c.b[c.pos:])
	var in Instr
	for {
		if err := r.Next(&in); err != nil {
			if errors.Is(err, io.EOF) {
				err = ErrTruncated
			}
			return nil, c.errorf(err, what)
		}
		if in.Op == OpEnd {
			return c.bytes(r.pos, what)
		}
		switch in.Op {
		case OpI32Const, OpI64Const, OpF32Const, OpF64Const, OpV128Const, OpGlobalGet, OpRefNull, OpRefFunc,
			OpI32Add, OpI32Sub, OpI32Mul, OpI64Add, OpI64Sub, OpI64Mul:
		default:
			return nil, c.errorf(ErrMalformed, fmt.Sprintf("%s: instruction %#x is not constant", what, uint16(in.Op)))
		}
	}
}

func (c *cursor) funcIndices() ([]uint32, error) {
	n, err := c.count("element items", 1)
	if err == nil {
		err = c.room("element items", n)
	}
	if err != nil {
		return nil, err
	}
	out := make([]uint32, n)
	return out, each(out, func(v *uint32) (err error) { *v, err = c.u32("element item"); return err })
}

func (c *cursor) element(e *Element) error {
	flags, err := c.u32("element flags")
	if err != nil {
		return err
	}
	if flags > 7 {
		return c.errorf(ErrMalformed, fmt.Sprintf("element flags %d", flags))
	}
	e.Type = FuncRef
	explicit := flags&3 != 0 // a kind or type is written
	switch {
	case flags&1 == 0:
		if flags&2 != 0 {
			if e.Table, err = c.u32("element table"); err != nil {
				return err
			}
		}
		if e.Offset, err = c.constExpr("element offset"); err != nil {
			return err
		}
	case flags&2 == 0:
		e.Mode = Passive
	default:
		e.Mode = Declarative
	}
	if flags&4 == 0 {
		if explicit {
			k, err := c.byte("element kind")
			if err != nil {
				return err
			}
			if k != 0 {
				return c.errorf(ErrUnsupported, fmt.Sprintf("element kind %d", k))
			}
		}
		e.Funcs, err = c.funcIndices()
		return err
	}
	if explicit {
		if e.Type, err = c.valType("element type"); err != nil {
			return err
		}
		if !e.Type.IsRef() {
			return c.errorf(ErrMalformed, "element type is not a reference")
		}
	}
	n, err := c.count("element items", 2)
	if err == nil {
		err = c.room("element items", n)
	}
	if err != nil {
		return err
	}
	e.Exprs = make([][]byte, n)
	return each(e.Exprs, func(x *[]byte) (err error) { *x, err = c.constExpr("element item"); return err })
}

func (c *cursor) code(f *Code) error {
	body, err := c.vec("function body")
	if err != nil {
		return err
	}
	b := &cursor{b: body, base: c.base + c.pos - len(body)}
	n, err := b.count("local declarations", 2)
	if err == nil {
		err = c.room("local declarations", n)
	}
	if err != nil {
		return err
	}
	if n > 0 {
		f.Locals = make([]LocalRun, n)
	}
	if err := each(f.Locals, func(l *LocalRun) (err error) {
		if l.Count, err = b.u32("local count"); err == nil {
			l.Type, err = b.valType("local type")
		}
		return err
	}); err != nil {
		return err
	}
	if f.NumLocals() > math.MaxUint32 {
		return b.errorf(ErrMalformed, "too many locals")
	}
	f.Body = body[b.pos:len(body):len(body)]
	if len(f.Body) == 0 || f.Body[len(f.Body)-1] != byte(OpEnd) {
		return b.errorf(ErrMalformed, "function body without end")
	}
	return nil
}

func (c *cursor) data(d *Data) error {
	flags, err := c.u32("data flags")
	if err != nil {
		return err
	}
	switch flags {
	case 1:
		d.Mode = Passive
	case 2:
		mem, err := c.u32("data memory")
		if err != nil {
			return err
		}
		if mem != 0 {
			return c.errorf(ErrUnsupported, fmt.Sprintf("data for memory %d", mem))
		}
		fallthrough
	case 0:
		if d.Offset, err = c.constExpr("data offset"); err != nil {
			return err
		}
	default:
		return c.errorf(ErrMalformed, fmt.Sprintf("data flags %d", flags))
	}
	d.Init, err = c.vec("data bytes")
	return err
}

// FuncNames returns the function names of the "name" section, for messages: those of existing functions, and of a
// malformed section those before the fault.
func (m *Module) FuncNames() map[uint32]string {
	b, _ := m.Custom("name")
	c := &cursor{b: b}
	for c.left() > 0 {
		id, err := c.byte("name subsection")
		if err != nil {
			return nil
		}
		body, err := c.vec("name subsection")
		if err != nil {
			return nil
		}
		if id != 1 {
			continue
		}
		s := &cursor{b: body}
		n, err := s.count("names", 2)
		if err != nil {
			return nil
		}
		funcs := m.NumFuncs()
		out := make(map[uint32]string, min(n, funcs))
		for range n {
			i, err := s.u32("name index")
			if err != nil {
				break
			}
			name, err := s.name("name")
			if err != nil {
				break
			}
			if int64(i) < int64(funcs) {
				out[i] = name
			}
		}
		return out
	}
	return nil
}

// SetFuncNames replaces the "name" section by one that holds only these names; an empty map removes it.
func (m *Module) SetFuncNames(names map[uint32]string) {
	m.Customs = slices.DeleteFunc(m.Customs, func(c Custom) bool { return c.Name == "name" })
	if len(names) == 0 {
		return
	}
	idx := make([]uint32, 0, len(names))
	for i := range names {
		idx = append(idx, i)
	}
	sort.Slice(idx, func(i, j int) bool { return idx[i] < idx[j] })
	body := AppendU(nil, uint64(len(idx)))
	for _, i := range idx {
		body = appendName(AppendU(body, uint64(i)), names[i])
	}
	m.Customs = append(m.Customs, Custom{Name: "name", Data: append(AppendU([]byte{1}, uint64(len(body))), body...),
		After: secData})
}
