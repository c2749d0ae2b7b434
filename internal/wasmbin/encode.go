package wasmbin

import (
	"errors"
	"fmt"
	"io"
)

func appendName(dst []byte, s string) []byte {
	return append(AppendU(dst, uint64(len(s))), s...)
}

func appendVec(dst, b []byte) []byte {
	return append(AppendU(dst, uint64(len(b))), b...)
}

func appendTypes(dst []byte, ts []ValType) []byte {
	dst = AppendU(dst, uint64(len(ts)))
	for _, t := range ts {
		dst = append(dst, byte(t))
	}
	return dst
}

func appendLimits(dst []byte, l Limits) []byte {
	flags := byte(0)
	if l.HasMax {
		flags |= 1
	}
	if l.Is64 {
		flags |= 4
	}
	dst = AppendU(append(dst, flags), l.Min)
	if l.HasMax {
		dst = AppendU(dst, l.Max)
	}
	return dst
}

func appendGlobalType(dst []byte, g GlobalType) []byte {
	if g.Mutable {
		return append(dst, byte(g.Type), 1)
	}
	return append(dst, byte(g.Type), 0)
}

// Encode returns the module in the binary format. Sections without contents are left out.
func (m *Module) Encode() []byte {
	size := 1024 + m.CodeSize() + 8*len(m.Code)
	for i := range m.Data {
		size += len(m.Data[i].Init) + 16
	}
	for i := range m.Customs {
		size += len(m.Customs[i].Data) + len(m.Customs[i].Name) + 16
	}
	e := &encoder{m: m, out: append(make([]byte, 0, size), header...)}
	e.customs(0)
	section(e, secType, m.Types, func(dst []byte, t *FuncType) []byte {
		return appendTypes(appendTypes(append(dst, 0x60), t.Params), t.Results)
	})
	section(e, secImport, m.Imports, func(dst []byte, i *Import) []byte {
		dst = append(appendName(appendName(dst, i.Module), i.Name), byte(i.Kind))
		switch i.Kind {
		case KindTable:
			return appendLimits(append(dst, byte(i.Table.Type)), i.Table.Limits)
		case KindMemory:
			return appendLimits(dst, i.Memory)
		case KindGlobal:
			return appendGlobalType(dst, i.Global)
		default:
			return AppendU(dst, uint64(i.Func))
		}
	})
	section(e, secFunction, m.Funcs, func(dst []byte, t *uint32) []byte { return AppendU(dst, uint64(*t)) })
	section(e, secTable, m.Tables, func(dst []byte, t *Table) []byte {
		return appendLimits(append(dst, byte(t.Type)), t.Limits)
	})
	section(e, secMemory, m.Memories, func(dst []byte, l *Limits) []byte { return appendLimits(dst, *l) })
	section(e, secGlobal, m.Globals, func(dst []byte, g *Global) []byte {
		return append(appendGlobalType(dst, g.GlobalType), g.Init...)
	})
	section(e, secExport, m.Exports, func(dst []byte, x *Export) []byte {
		return AppendU(append(appendName(dst, x.Name), byte(x.Kind)), uint64(x.Index))
	})
	if m.Start != nil {
		e.raw(secStart, AppendU(nil, uint64(*m.Start)))
	}
	e.customs(secStart)
	section(e, secElement, m.Elements, appendElement)
	if m.DataCount != nil {
		e.raw(secDataCount, AppendU(nil, uint64(*m.DataCount)))
	}
	e.customs(secDataCount)
	section(e, secCode, m.Code, func(dst []byte, c *Code) []byte {
		locals := AppendU(nil, uint64(len(c.Locals)))
		for _, l := range c.Locals {
			locals = append(AppendU(locals, uint64(l.Count)), byte(l.Type))
		}
		dst = AppendU(dst, uint64(len(locals)+len(c.Body)))
		return append(append(dst, locals...), c.Body...)
	})
	section(e, secData, m.Data, func(dst []byte, d *Data) []byte {
		if d.Mode == Passive {
			return appendVec(append(dst, 1), d.Init)
		}
		return appendVec(append(append(dst, 0), d.Offset...), d.Init)
	})
	return e.out
}

type encoder struct {
	m   *Module
	out []byte
	buf []byte
}

func (e *encoder) raw(id byte, body []byte) {
	e.out = appendVec(append(e.out, id), body)
}

func (e *encoder) customs(after byte) {
	for i := range e.m.Customs {
		if c := &e.m.Customs[i]; c.After == after {
			body := appendName(nil, c.Name)
			e.out = AppendU(append(e.out, secCustom), uint64(len(body)+len(c.Data)))
			e.out = append(append(e.out, body...), c.Data...)
		}
	}
}

func section[T any](e *encoder, id byte, items []T, f func([]byte, *T) []byte) {
	if len(items) > 0 {
		e.buf = AppendU(e.buf[:0], uint64(len(items)))
		for i := range items {
			e.buf = f(e.buf, &items[i])
		}
		e.raw(id, e.buf)
	}
	e.customs(id)
}

func appendElement(dst []byte, e *Element) []byte {
	flags, explicit := byte(0), true
	switch {
	case e.Mode == Passive:
		flags = 1
	case e.Mode == Declarative:
		flags = 3
	case e.Table != 0 || e.Type != FuncRef:
		flags = 2
	default:
		explicit = false
	}
	if e.Exprs != nil {
		flags |= 4
	}
	dst = append(dst, flags)
	if e.Mode == Active {
		if flags&2 != 0 {
			dst = AppendU(dst, uint64(e.Table))
		}
		dst = append(dst, e.Offset...)
	}
	if e.Exprs != nil {
		if explicit {
			dst = append(dst, byte(e.Type))
		}
		dst = AppendU(dst, uint64(len(e.Exprs)))
		for _, x := range e.Exprs {
			dst = append(dst, x...)
		}
		return dst
	}
	if explicit {
		dst = append(dst, 0)
	}
	dst = AppendU(dst, uint64(len(e.Funcs)))
	for _, f := range e.Funcs {
		dst = AppendU(dst, uint64(f))
	}
	return dst
}

// RewriteFuncRefs returns the expression with every function index (call, return_call, ref.func) mapped by f. When
// nothing changes it returns expr itself.
func RewriteFuncRefs(expr []byte, f func(uint32) uint32) ([]byte, error) {
	var out []byte
	r := NewReader(expr)
	var in Instr
	copied := 0
	for {
		err := r.Next(&in)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if in.Imm != ImmFunc {
			continue
		}
		to := f(in.Index)
		if to == in.Index {
			continue
		}
		if out == nil {
			out = make([]byte, 0, len(expr)+len(expr)/16+8)
		}
		out = append(out, expr[copied:in.Start]...)
		out = AppendIndex(out, in.Op, to)
		copied = in.End
	}
	if out == nil {
		return expr, nil
	}
	return append(out, expr[copied:]...), nil
}

// RenumberFuncs maps every function index of the module through f: in code, exports, the start section, element
// segments, global initialisers and the "name" section. The functions themselves are not moved. f must be one-to-one.
func (m *Module) RenumberFuncs(f func(uint32) uint32) error {
	for i := range m.Code {
		body, err := RewriteFuncRefs(m.Code[i].Body, f)
		if err != nil {
			return fmt.Errorf("function body %d: %w", i, err)
		}
		m.Code[i].Body = body
	}
	for i := range m.Exports {
		if m.Exports[i].Kind == KindFunc {
			m.Exports[i].Index = f(m.Exports[i].Index)
		}
	}
	if m.Start != nil {
		v := f(*m.Start)
		m.Start = &v
	}
	var err error
	for i := range m.Elements {
		e := &m.Elements[i]
		for j := range e.Funcs {
			e.Funcs[j] = f(e.Funcs[j])
		}
		for j := range e.Exprs {
			if e.Exprs[j], err = RewriteFuncRefs(e.Exprs[j], f); err != nil {
				return fmt.Errorf("element %d: %w", i, err)
			}
		}
	}
	for i := range m.Globals {
		if m.Globals[i].Init, err = RewriteFuncRefs(m.Globals[i].Init, f); err != nil {
			return fmt.Errorf("global %d: %w", i, err)
		}
	}
	if names := m.FuncNames(); names != nil {
		moved := make(map[uint32]string, len(names))
		for i, n := range names {
			moved[f(i)] = n
		}
		m.SetFuncNames(moved)
	}
	return nil
}
