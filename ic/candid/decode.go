package candid

import (
	"fmt"
	"reflect"
	"strconv"
	"unsafe"

	"fusion/ic/principal"
)

// Unmarshal reads a Candid message into the values that dst points to. The message may have other types than dst: the rules of the
// specification, section "Deserialisation", decide. Further arguments and fields are skipped (and checked), missing ones are null if their type allows
// it. On error the values pointed to are partly written.
func Unmarshal(data []byte, dst ...any) error {
	d := newDecoder(data)
	defer d.release()
	if len(dst) == 0 {
		if err := d.header(); err != nil {
			return err
		}
	}
	for i, a := range dst {
		v := reflect.ValueOf(a)
		if v.Kind() != reflect.Pointer || v.IsNil() {
			return fmt.Errorf("%w: destination %d is a %T, want a pointer", ErrUnsupported, i, a)
		}
		p, err := planFor(v.Type().Elem())
		if err != nil {
			return fmt.Errorf("destination %d: %w", i, err)
		}
		if i == 0 {
			if err := d.headerOf(p); err != nil {
				return err
			}
		}
		if i >= len(d.args) {
			if !p.t.mayBeAbsent() {
				return (&decodeError{kind: ErrType, msg: "missing, want " + p.t.Kind.String(), at: d.pos}).in("argument " + strconv.Itoa(i))
			}
			v.Elem().SetZero()
			continue
		}
		if err := d.value(p, d.args[i], v.UnsafePointer(), 0); err != nil {
			return err.in("argument " + strconv.Itoa(i))
		}
	}
	if err := d.finish(len(dst)); err != nil {
		return err
	}
	return nil
}

// value reads one value of wire type t into the Go value of type p.rt at v.
func (d *decoder) value(p *plan, t ref, v unsafe.Pointer, depth int) *decodeError {
	if err := d.charge(1); err != nil {
		return err
	}
	if depth > maxDepth {
		return d.limit("values nested too deeply")
	}
	kind := d.kindOf(t)
	switch p.special {
	case goNat:
		if kind != KindNat {
			return d.mismatch(t, "nat")
		}
		n, err := d.nat()
		*(*Nat)(v) = n
		return err
	case goInt:
		i, err := d.intAt(t, kind)
		*(*Int)(v) = i
		return err
	case goPrincipal:
		if kind != KindPrincipal && kind != KindService {
			return d.mismatch(t, "principal")
		}
		id, err := d.principal()
		*(*principal.Principal)(v) = id
		return err
	case goNull:
		if kind != KindNull {
			return d.mismatch(t, "null")
		}
		return nil
	case goReserved:
		return d.skip(t, depth)
	case goEmpty:
		return d.mismatch(t, "empty")
	case goBytes, goByteArray:
		return d.blob(p, t, kind, v)
	case goFunc:
		f, err := d.funcAt(t, kind, p.t, p.anyRef)
		if err != nil {
			return err
		}
		*(*Func)(unsafe.Add(v, p.inner)) = f
		return nil
	case goService:
		id, err := d.serviceAt(t, kind, p.t, p.anyRef)
		if err != nil {
			return err
		}
		(*Service)(unsafe.Add(v, p.inner)).Principal = id
		return nil
	case goCustom:
		at := d.pos
		val, err := d.dynamic(p.t, t, depth)
		if err != nil {
			return err
		}
		if cerr := reflect.NewAt(p.rt, v).Interface().(FromCandider).FromCandid(val); cerr != nil {
			return &decodeError{kind: ErrType, msg: cerr.Error(), at: at}
		}
		return nil
	}
	switch p.t.Kind {
	case KindOpt:
		return d.opt(p, t, kind, v, depth)
	case KindVec:
		return d.vec(p, t, kind, v, depth)
	case KindRecord:
		return d.record(p, t, kind, v, depth)
	case KindVariant:
		return d.variant(p, t, kind, v, depth)
	}
	if kind != p.t.Kind {
		return d.mismatch(t, p.t.Kind.String())
	}
	switch kind {
	case KindBool:
		b, err := d.bool()
		*(*bool)(v) = b
		return err
	case KindText:
		b, err := d.text()
		if err == nil {
			*(*string)(v) = string(b)
		}
		return err
	}
	u, err := d.fixed(int(fixedSize(kind)))
	if err != nil {
		return err
	}
	switch kind {
	case KindNat8, KindInt8:
		*(*uint8)(v) = uint8(u)
	case KindNat16, KindInt16:
		*(*uint16)(v) = uint16(u)
	case KindNat32, KindInt32, KindFloat32:
		*(*uint32)(v) = uint32(u)
	default:
		*(*uint64)(v) = u
	}
	return nil
}

func (d *decoder) intAt(t ref, kind Kind) (Int, *decodeError) {
	switch kind {
	case KindInt:
		return d.int()
	case KindNat:
		n, err := d.nat()
		return n.Int(), err
	}
	return Int{}, d.mismatch(t, "int")
}

func (d *decoder) funcAt(t ref, kind Kind, want *Type, anyRef bool) (Func, *decodeError) {
	if kind != KindFunc {
		return Func{}, d.mismatch(t, "func")
	}
	if err := d.referenceOK(t, want, anyRef); err != nil {
		return Func{}, err
	}
	return d.funcRef()
}

func (d *decoder) serviceAt(t ref, kind Kind, want *Type, anyRef bool) (principal.Principal, *decodeError) {
	if kind != KindService {
		return principal.Principal{}, d.mismatch(t, "service")
	}
	if err := d.referenceOK(t, want, anyRef); err != nil {
		return principal.Principal{}, err
	}
	return d.principal()
}

func (d *decoder) referenceOK(t ref, want *Type, anyRef bool) *decodeError {
	if anyRef {
		return nil
	}
	ok, err := d.refersTo(t, want)
	if err == nil && !ok {
		err = d.mismatch(t, "a subtype of the wanted reference type")
	}
	return err
}

func (d *decoder) blob(p *plan, t ref, kind Kind, v unsafe.Pointer) *decodeError {
	if kind != KindVec {
		return d.mismatch(t, "blob")
	}
	n, err := d.uleb()
	if err != nil {
		return err
	}
	if elem := d.table[t].elem; n > 0 && d.kindOf(elem) != KindNat8 {
		return d.mismatch(elem, "nat8")
	}
	b, err := d.bytes(n)
	if err != nil {
		return err
	}
	if p.special == goByteArray {
		if uintptr(len(b)) != p.size {
			return &decodeError{kind: ErrType, msg: "blob of " + strconv.Itoa(len(b)) + " bytes, want " + strconv.Itoa(int(p.size)), at: d.pos, soft: true}
		}
		copy(unsafe.Slice((*byte)(v), p.size), b)
		return nil
	}
	c := make([]byte, len(b)) // never nil: an empty blob is a blob
	copy(c, b)
	*(*[]byte)(v) = c
	return nil
}

// opt follows the specification: null and reserved read as null; an opt reads as an opt, any other value as the content of one; and where the content
// does not fit the wanted type the result is null and the value is skipped.
func (d *decoder) opt(p *plan, t ref, kind Kind, v unsafe.Pointer, depth int) *decodeError {
	content := t
	switch kind {
	case KindNull, KindReserved:
		*(*unsafe.Pointer)(v) = nil
		return nil
	case KindFuture:
		*(*unsafe.Pointer)(v) = nil
		return d.skipFuture()
	case KindOpt:
		some, err := d.bool()
		if err != nil {
			return err
		}
		if !some {
			*(*unsafe.Pointer)(v) = nil
			return nil
		}
		content = d.table[t].elem
	}
	start := d.pos
	n := reflect.New(p.elem.rt).UnsafePointer()
	err := d.value(p.elem, content, n, depth+1)
	if err == nil {
		*(*unsafe.Pointer)(v) = n
		return nil
	}
	if !err.soft {
		return err
	}
	d.pos = start
	*(*unsafe.Pointer)(v) = nil
	return d.skip(content, depth+1)
}

func (d *decoder) vec(p *plan, t ref, kind Kind, v unsafe.Pointer, depth int) *decodeError {
	if kind != KindVec {
		return d.mismatch(t, "vec")
	}
	n, err := d.uleb()
	if err != nil {
		return err
	}
	elem := d.table[t].elem
	// Allocation follows what was read, not what was announced, and large elements cost more steps, so that values without
	// bytes cannot ask for much memory.
	size := uint64(p.elem.size)
	per := size / 32
	room := n
	if most := uint64(d.left()) + 64; room > most {
		room = most
	}
	if most := 1 + (1<<16)/(size+1); room > most {
		room = most
	}
	list := reflect.NewAt(p.rt, v).Elem()
	list.Set(reflect.MakeSlice(p.rt, 0, int(room)))
	for i := 0; uint64(i) < n; i++ {
		if err := d.charge(per); err != nil {
			return err
		}
		if i == list.Cap() {
			list.Grow(1)
		}
		list.SetLen(i + 1)
		if err := d.value(p.elem, elem, unsafe.Add(list.UnsafePointer(), uintptr(i)*p.elem.size), depth+1); err != nil {
			return err.in("[" + strconv.Itoa(i) + "]")
		}
	}
	return nil
}

func (d *decoder) record(p *plan, t ref, kind Kind, v unsafe.Pointer, depth int) *decodeError {
	if kind != KindRecord {
		return d.mismatch(t, "record")
	}
	w := &d.table[t]
	next := 0
	for i := w.lo; i < w.hi; i++ {
		have := d.fields[i]
		for next < len(p.fields) && p.fields[next].id < have.id {
			if err := d.absent(&p.fields[next], v); err != nil {
				return err
			}
			next++
		}
		if next < len(p.fields) && p.fields[next].id == have.id {
			f := &p.fields[next]
			if err := d.value(f.p, have.t, unsafe.Add(v, f.offset), depth+1); err != nil {
				return err.in("." + f.label())
			}
			next++
			continue
		}
		if err := d.skip(have.t, depth+1); err != nil {
			return err
		}
	}
	for ; next < len(p.fields); next++ {
		if err := d.absent(&p.fields[next], v); err != nil {
			return err
		}
	}
	return nil
}

func (f *planField) label() string { return Field{ID: f.id, Name: f.name}.Label() }

func (d *decoder) absent(f *planField, v unsafe.Pointer) *decodeError {
	if !f.p.t.mayBeAbsent() {
		return &decodeError{kind: ErrType, msg: "record lacks field " + f.label(), at: d.pos, soft: true}
	}
	if v = unsafe.Add(v, f.offset); f.p.t.Kind == KindOpt && f.p.special == ordinary {
		*(*unsafe.Pointer)(v) = nil
	} else {
		reflect.NewAt(f.p.rt, v).Elem().SetZero()
	}
	return nil
}

func (d *decoder) variant(p *plan, t ref, kind Kind, v unsafe.Pointer, depth int) *decodeError {
	if kind != KindVariant {
		return d.mismatch(t, "variant")
	}
	have, err := d.variantTag(&d.table[t])
	if err != nil {
		return err
	}
	for i := range p.fields {
		f := &p.fields[i]
		if f.id != have.id {
			continue
		}
		n := reflect.New(f.p.rt).UnsafePointer()
		if err := d.value(f.p, have.t, n, depth+1); err != nil {
			return err.in("#" + f.label())
		}
		reflect.NewAt(p.rt, v).Elem().SetZero()
		*(*unsafe.Pointer)(unsafe.Add(v, f.offset)) = n
		return nil
	}
	return &decodeError{kind: ErrType, msg: "alternative " + strconv.FormatUint(uint64(have.id), 10) + " is not expected", at: d.pos, soft: true}
}
