package candid

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"unicode/utf8"
	"unsafe"

	"fusion/ic/principal"
)

// Marshal encodes arguments as a Candid message. The type of each comes from its Go type, see the package documentation.
func Marshal(args ...any) ([]byte, error) { return AppendMarshal(nil, args...) }

// AppendMarshal is Marshal that appends to dst.
func AppendMarshal(dst []byte, args ...any) ([]byte, error) {
	ptrs := make([]any, len(args))
	for i, a := range args {
		if a == nil {
			a = Null{}
		}
		v := reflect.New(reflect.TypeOf(a))
		v.Elem().Set(reflect.ValueOf(a))
		ptrs[i] = v.Interface()
	}
	return AppendPointed(dst, ptrs...)
}

// AppendPointed is AppendMarshal of the values that ptrs point to, which spares copies of them.
func AppendPointed(dst []byte, ptrs ...any) ([]byte, error) {
	type value struct {
		p *plan
		v unsafe.Pointer
	}
	var few [4]value
	values := few[:0]
	for i, a := range ptrs {
		v := reflect.ValueOf(a)
		if v.Kind() != reflect.Pointer || v.IsNil() {
			return nil, fmt.Errorf("%w: argument %d is a %T, want a pointer", ErrUnsupported, i, a)
		}
		p, err := planFor(v.Type().Elem())
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", i, err)
		}
		values = append(values, value{p, v.UnsafePointer()})
	}
	if len(values) == 1 {
		p := values[0].p
		if p.head.Load() == nil {
			head := appendHeader(nil, []*Type{p.t})
			p.head.Store(&head)
		}
		dst = append(dst, *p.head.Load()...)
	} else {
		types := make([]*Type, len(values))
		for i := range values {
			types[i] = values[i].p.t
		}
		dst = appendHeader(dst, types)
	}
	for i := range values {
		var err error
		if dst, err = appendValue(dst, values[i].p, values[i].v, 0); err != nil {
			return nil, fmt.Errorf("argument %d: %w", i, err)
		}
	}
	return dst, nil
}

// MustMarshal is Marshal for values that are known to have a form, such as constants; it panics otherwise.
func MustMarshal(args ...any) []byte {
	b, err := Marshal(args...)
	if err != nil {
		panic(err)
	}
	return b
}

// appendValue writes the Go value of type p.rt at v.
func appendValue(dst []byte, p *plan, v unsafe.Pointer, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: %v is nested deeper than %d", ErrLimit, p.rt, maxDepth)
	}
	switch p.special {
	case goNat:
		return appendNat(dst, *(*Nat)(v)), nil
	case goInt:
		return appendInt(dst, *(*Int)(v)), nil
	case goPrincipal:
		return appendPrincipal(dst, *(*principal.Principal)(v)), nil
	case goNull, goReserved:
		return dst, nil
	case goEmpty:
		return nil, unsupported(p.rt, "has no values")
	case goBytes:
		b := *(*[]byte)(v)
		return append(appendUleb(dst, uint64(len(b))), b...), nil
	case goByteArray:
		b := unsafe.Slice((*byte)(v), p.size)
		return append(appendUleb(dst, uint64(len(b))), b...), nil
	case goFunc:
		return appendFunc(dst, *(*Func)(unsafe.Add(v, p.inner)))
	case goService:
		return appendPrincipal(dst, (*Service)(unsafe.Add(v, p.inner)).Principal), nil
	case goCustom:
		val, err := reflect.NewAt(p.rt, v).Elem().Interface().(Custom).ToCandid()
		if err != nil {
			return nil, err
		}
		return appendDynamic(dst, p.t, val, depth)
	}
	switch p.t.Kind {
	case KindBool:
		if *(*bool)(v) {
			return append(dst, 1), nil
		}
		return append(dst, 0), nil
	case KindNat8, KindInt8:
		return append(dst, *(*byte)(v)), nil
	case KindNat16, KindInt16:
		return binary.LittleEndian.AppendUint16(dst, *(*uint16)(v)), nil
	case KindNat32, KindInt32, KindFloat32:
		return binary.LittleEndian.AppendUint32(dst, *(*uint32)(v)), nil
	case KindNat64, KindInt64, KindFloat64:
		return binary.LittleEndian.AppendUint64(dst, *(*uint64)(v)), nil
	case KindText:
		return appendText(dst, *(*string)(v))
	case KindOpt:
		content := *(*unsafe.Pointer)(v)
		if content == nil {
			return append(dst, 0), nil
		}
		return appendValue(append(dst, 1), p.elem, content, depth+1)
	case KindVec:
		s := (*sliceHeader)(v)
		dst = appendUleb(dst, uint64(s.len))
		for i := range s.len {
			var err error
			if dst, err = appendValue(dst, p.elem, unsafe.Add(s.data, uintptr(i)*p.elem.size), depth+1); err != nil {
				return nil, err
			}
		}
		return dst, nil
	case KindRecord:
		for i := range p.fields {
			f := &p.fields[i]
			var err error
			if dst, err = appendValue(dst, f.p, unsafe.Add(v, f.offset), depth+1); err != nil {
				return nil, fmt.Errorf("%s: %w", f.name, err)
			}
		}
		return dst, nil
	case KindVariant:
		set := -1
		for i := range p.fields {
			if *(*unsafe.Pointer)(unsafe.Add(v, p.fields[i].offset)) == nil {
				continue
			}
			if set >= 0 {
				return nil, unsupported(p.rt, "is a variant with two alternatives set")
			}
			set = i
		}
		if set < 0 {
			return nil, unsupported(p.rt, "is a variant with no alternative set")
		}
		f := &p.fields[set]
		return appendValue(appendUleb(dst, uint64(set)), f.p, *(*unsafe.Pointer)(unsafe.Add(v, f.offset)), depth+1)
	}
	return nil, unsupported(p.rt, "has no encoding")
}

// sliceHeader is how Go lays out any slice.
type sliceHeader struct {
	data     unsafe.Pointer
	len, cap int
}

func appendText(dst []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, fmt.Errorf("%w: text is not UTF-8", ErrUnsupported)
	}
	return append(appendUleb(dst, uint64(len(s))), s...), nil
}

func appendPrincipal(dst []byte, p principal.Principal) []byte {
	return p.Append(append(dst, 1, byte(p.Len())))
}

func appendFunc(dst []byte, f Func) ([]byte, error) {
	return appendText(appendPrincipal(append(dst, 1), f.Principal), f.Method)
}

// appendHeader writes the magic bytes, the type table and the argument types.
func appendHeader(dst []byte, args []*Type) []byte {
	h := headerWriter{index: map[*Type]int{}}
	for _, t := range args {
		h.collect(t)
	}
	dst = append(dst, magic...)
	dst = appendUleb(dst, uint64(len(h.order)))
	for _, t := range h.order {
		dst = appendSleb(dst, -int64(t.Kind))
		switch t.Kind {
		case KindOpt, KindVec:
			dst = h.ref(dst, t.Elem)
		case KindRecord, KindVariant:
			dst = appendUleb(dst, uint64(len(t.Fields)))
			for _, f := range t.Fields {
				dst = h.ref(appendUleb(dst, uint64(f.ID)), f.Type)
			}
		case KindFunc:
			for _, part := range [][]Arg{t.Func.Args, t.Func.Results} {
				dst = appendUleb(dst, uint64(len(part)))
				for _, a := range part {
					dst = h.ref(dst, a.Type)
				}
			}
			if t.Func.Mode == Update {
				dst = append(dst, 0)
			} else {
				dst = append(dst, 1, byte(t.Func.Mode))
			}
		case KindService:
			dst = appendUleb(dst, uint64(len(t.Methods)))
			for _, m := range t.Methods {
				dst = append(appendUleb(dst, uint64(len(m.Name))), m.Name...)
				dst = h.ref(dst, m.Type)
			}
		}
	}
	dst = appendUleb(dst, uint64(len(args)))
	for _, t := range args {
		dst = h.ref(dst, t)
	}
	return dst
}

type headerWriter struct {
	index map[*Type]int
	order []*Type
}

func (h *headerWriter) collect(t *Type) {
	if t.Kind.primitive() {
		return
	}
	if _, ok := h.index[t]; ok {
		return
	}
	h.index[t] = len(h.order)
	h.order = append(h.order, t)
	switch t.Kind {
	case KindOpt, KindVec:
		h.collect(t.Elem)
	case KindRecord, KindVariant:
		for _, f := range t.Fields {
			h.collect(f.Type)
		}
	case KindFunc:
		for _, a := range t.Func.Args {
			h.collect(a.Type)
		}
		for _, a := range t.Func.Results {
			h.collect(a.Type)
		}
	case KindService:
		for _, m := range t.Methods {
			h.collect(m.Type)
		}
	}
}

func (h *headerWriter) ref(dst []byte, t *Type) []byte {
	if t.Kind.primitive() {
		return appendSleb(dst, -int64(t.Kind))
	}
	return appendSleb(dst, int64(h.index[t]))
}
