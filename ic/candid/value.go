package candid

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"fusion/ic/principal"
)

// Value is a Candid value whose type is not known to Go. It holds one of
//
//	Null, bool, Nat, Int, uint8 … uint64, int8 … int64, float32, float64, string, Reserved, principal.Principal,
//	Some (an opt that is not null; null itself is Null), Vec, Blob (a vec nat8), Record, Case (a variant), Func, Service.
type Value any

// Some is an opt with a content.
type Some struct{ Value Value }

// Vec is a vec of anything but nat8.
type Vec []Value

// Blob is a vec nat8.
type Blob []byte

// Record is a record; fields are in ascending order of id.
type Record []FieldValue

// FieldValue is a field of a record or the alternative of a variant. Name is "" when only the number is known.
type FieldValue struct {
	ID    uint32
	Name  string
	Value Value
}

// Case is the value of a variant.
type Case FieldValue

// Get returns the field of that name, or nil.
func (r Record) Get(name string) Value {
	id, numeric := labelNumber(name)
	if !numeric {
		id = Hash(name)
	}
	for _, f := range r {
		if f.ID == id {
			return f.Value
		}
	}
	return nil
}

// Decode reads a message at the types that the message itself declares, and returns these too. Field names are not known on the wire.
func Decode(data []byte) ([]Value, []*Type, error) {
	d := newDecoder(data)
	defer d.release()
	if err := d.header(); err != nil {
		return nil, nil, err
	}
	var values []Value
	var types []*Type
	for i, a := range d.args {
		t, err := d.typeOf(a)
		if err != nil {
			return nil, nil, err
		}
		v, err := d.dynamic(t, a, 0)
		if err != nil {
			return nil, nil, err.in("argument " + strconv.Itoa(i))
		}
		values, types = append(values, v), append(types, t)
	}
	if err := d.finish(len(d.args)); err != nil {
		return nil, nil, err
	}
	return values, types, nil
}

// DecodeAs reads a message at the given types, by the rules of Unmarshal.
func DecodeAs(data []byte, types []*Type) ([]Value, error) {
	d := newDecoder(data)
	defer d.release()
	if err := d.header(); err != nil {
		return nil, err
	}
	values := make([]Value, len(types))
	for i, t := range types {
		if i >= len(d.args) {
			if !t.mayBeAbsent() {
				return nil, (&decodeError{kind: ErrType, msg: "missing, want " + t.Kind.String(), at: d.pos}).in("argument " + strconv.Itoa(i))
			}
			values[i] = absentValue(t)
			continue
		}
		v, err := d.dynamic(t, d.args[i], 0)
		if err != nil {
			return nil, err.in("argument " + strconv.Itoa(i))
		}
		values[i] = v
	}
	if err := d.finish(len(types)); err != nil {
		return nil, err
	}
	return values, nil
}

func absentValue(t *Type) Value {
	if t.Kind == KindReserved {
		return Reserved{}
	}
	return Null{}
}

// dynamic reads one value of wire type t at type want.
func (d *decoder) dynamic(want *Type, t ref, depth int) (Value, *decodeError) {
	if err := d.charge(1); err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, d.limit("values nested too deeply")
	}
	kind := d.kindOf(t)
	switch want.Kind {
	case KindReserved:
		return Reserved{}, d.skip(t, depth)
	case KindEmpty:
		return nil, d.mismatch(t, "empty")
	case KindInt:
		i, err := d.intAt(t, kind)
		return i, err
	case KindPrincipal:
		if kind != KindPrincipal && kind != KindService {
			return nil, d.mismatch(t, "principal")
		}
		p, err := d.principal()
		return p, err
	case KindFunc:
		f, err := d.funcAt(t, kind, want, false)
		return f, err
	case KindService:
		p, err := d.serviceAt(t, kind, want, false)
		return Service{p}, err
	case KindOpt:
		return d.dynamicOpt(want, t, kind, depth)
	}
	if kind != want.Kind {
		return nil, d.mismatch(t, want.Kind.String())
	}
	switch want.Kind {
	case KindNull:
		return Null{}, nil
	case KindBool:
		b, err := d.bool()
		return b, err
	case KindNat:
		n, err := d.nat()
		return n, err
	case KindText:
		b, err := d.text()
		return string(b), err
	case KindVec:
		return d.dynamicVec(want, t, depth)
	case KindRecord:
		return d.dynamicRecord(want, t, depth)
	case KindVariant:
		have, err := d.variantTag(&d.table[t])
		if err != nil {
			return nil, err
		}
		for _, f := range want.Fields {
			if f.ID == have.id {
				v, err := d.dynamic(f.Type, have.t, depth+1)
				if err != nil {
					return nil, err.in("#" + f.Label())
				}
				return Case{f.ID, f.Name, v}, nil
			}
		}
		return nil, &decodeError{kind: ErrType, msg: "alternative " + strconv.FormatUint(uint64(have.id), 10) + " is not expected", at: d.pos, soft: true}
	case KindFuture:
		return Reserved{}, d.skipFuture()
	}
	u, err := d.fixed(int(fixedSize(kind)))
	if err != nil {
		return nil, err
	}
	return fixedValue(kind, u), nil
}

func fixedValue(k Kind, u uint64) Value {
	switch k {
	case KindNat8:
		return uint8(u)
	case KindNat16:
		return uint16(u)
	case KindNat32:
		return uint32(u)
	case KindNat64:
		return u
	case KindInt8:
		return int8(u)
	case KindInt16:
		return int16(u)
	case KindInt32:
		return int32(u)
	case KindInt64:
		return int64(u)
	case KindFloat32:
		return math.Float32frombits(uint32(u))
	}
	return math.Float64frombits(u)
}

func (d *decoder) dynamicOpt(want *Type, t ref, kind Kind, depth int) (Value, *decodeError) {
	content := t
	switch kind {
	case KindNull, KindReserved:
		return Null{}, nil
	case KindFuture:
		return Null{}, d.skipFuture()
	case KindOpt:
		some, err := d.bool()
		if err != nil || !some {
			return Null{}, err
		}
		content = d.table[t].elem
	}
	start := d.pos
	v, err := d.dynamic(want.Elem, content, depth+1)
	if err == nil {
		return Some{v}, nil
	}
	if !err.soft {
		return nil, err
	}
	d.pos = start
	return Null{}, d.skip(content, depth+1)
}

func (d *decoder) dynamicVec(want *Type, t ref, depth int) (Value, *decodeError) {
	n, err := d.uleb()
	if err != nil {
		return nil, err
	}
	elem := d.table[t].elem
	if want.Elem.Kind == KindNat8 && (n == 0 || d.kindOf(elem) == KindNat8) {
		b, err := d.bytes(n)
		return Blob(append([]byte{}, b...)), err
	}
	vec := make(Vec, 0, min(n, uint64(d.left())+64, 1024))
	for i := uint64(0); i < n; i++ {
		v, err := d.dynamic(want.Elem, elem, depth+1)
		if err != nil {
			return nil, err.in("[" + strconv.FormatUint(i, 10) + "]")
		}
		vec = append(vec, v)
	}
	return vec, nil
}

func (d *decoder) dynamicRecord(want *Type, t ref, depth int) (Value, *decodeError) {
	w := &d.table[t]
	// One record may lack any number of wanted fields, each of which is a value here.
	if err := d.charge(uint64(len(want.Fields))); err != nil {
		return nil, err
	}
	rec := make(Record, 0, len(want.Fields))
	next := 0
	absentUntil := func(id uint64) *decodeError {
		for ; next < len(want.Fields) && uint64(want.Fields[next].ID) < id; next++ {
			f := want.Fields[next]
			if !f.Type.mayBeAbsent() {
				return &decodeError{kind: ErrType, msg: "record lacks field " + f.Label(), at: d.pos, soft: true}
			}
			rec = append(rec, FieldValue{f.ID, f.Name, absentValue(f.Type)})
		}
		return nil
	}
	for i := w.lo; i < w.hi; i++ {
		have := d.fields[i]
		if err := absentUntil(uint64(have.id)); err != nil {
			return nil, err
		}
		if next == len(want.Fields) || want.Fields[next].ID != have.id {
			if err := d.skip(have.t, depth+1); err != nil {
				return nil, err
			}
			continue
		}
		f := want.Fields[next]
		v, err := d.dynamic(f.Type, have.t, depth+1)
		if err != nil {
			return nil, err.in("." + f.Label())
		}
		rec = append(rec, FieldValue{f.ID, f.Name, v})
		next++
	}
	return rec, absentUntil(1 << 32)
}

// Encode writes values at the given types, as many of one as of the other. Values are brought to their types with Coerce first.
func Encode(types []*Type, values []Value) ([]byte, error) {
	if len(types) != len(values) {
		return nil, fmt.Errorf("%w: %d values for %d types", ErrType, len(values), len(types))
	}
	dst := appendHeader(nil, types)
	for i, t := range types {
		v, err := Coerce(values[i], t)
		if err == nil {
			dst, err = appendDynamic(dst, t, v, 0)
		}
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", i, err)
		}
	}
	return dst, nil
}

// appendDynamic encodes a value that is exactly of type t.
func appendDynamic(dst []byte, t *Type, v Value, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: value nested deeper than %d", ErrLimit, maxDepth)
	}
	switch t.Kind {
	case KindNull, KindReserved:
		return dst, nil
	case KindOpt:
		s, ok := v.(Some)
		if !ok {
			return append(dst, 0), nil
		}
		return appendDynamic(append(dst, 1), t.Elem, s.Value, depth+1)
	}
	wrong := fmt.Errorf("%w: %T is not %s", ErrType, v, describe(t))
	switch x := v.(type) {
	case bool:
		if t.Kind != KindBool {
			return nil, wrong
		}
		if x {
			return append(dst, 1), nil
		}
		return append(dst, 0), nil
	case Nat:
		switch t.Kind {
		case KindNat:
			return appendNat(dst, x), nil
		case KindInt:
			return appendInt(dst, x.Int()), nil
		}
	case Int:
		if t.Kind == KindInt {
			return appendInt(dst, x), nil
		}
	case uint8:
		if t.Kind == KindNat8 {
			return append(dst, x), nil
		}
	case uint16:
		if t.Kind == KindNat16 {
			return binary.LittleEndian.AppendUint16(dst, x), nil
		}
	case uint32:
		if t.Kind == KindNat32 {
			return binary.LittleEndian.AppendUint32(dst, x), nil
		}
	case uint64:
		if t.Kind == KindNat64 {
			return binary.LittleEndian.AppendUint64(dst, x), nil
		}
	case int8:
		if t.Kind == KindInt8 {
			return append(dst, byte(x)), nil
		}
	case int16:
		if t.Kind == KindInt16 {
			return binary.LittleEndian.AppendUint16(dst, uint16(x)), nil
		}
	case int32:
		if t.Kind == KindInt32 {
			return binary.LittleEndian.AppendUint32(dst, uint32(x)), nil
		}
	case int64:
		if t.Kind == KindInt64 {
			return binary.LittleEndian.AppendUint64(dst, uint64(x)), nil
		}
	case float32:
		if t.Kind == KindFloat32 {
			return binary.LittleEndian.AppendUint32(dst, math.Float32bits(x)), nil
		}
	case float64:
		if t.Kind == KindFloat64 {
			return binary.LittleEndian.AppendUint64(dst, math.Float64bits(x)), nil
		}
	case string:
		if t.Kind == KindText {
			return appendText(dst, x)
		}
	case principal.Principal:
		if t.Kind == KindPrincipal {
			return appendPrincipal(dst, x), nil
		}
	case Service:
		if t.Kind == KindService || t.Kind == KindPrincipal {
			return appendPrincipal(dst, x.Principal), nil
		}
	case Func:
		if t.Kind == KindFunc {
			return appendFunc(dst, x)
		}
	case Blob:
		if t.Kind == KindVec && t.Elem.Kind == KindNat8 {
			return append(appendUleb(dst, uint64(len(x))), x...), nil
		}
	case Vec:
		if t.Kind != KindVec {
			return nil, wrong
		}
		dst = appendUleb(dst, uint64(len(x)))
		for i, e := range x {
			var err error
			if dst, err = appendDynamic(dst, t.Elem, e, depth+1); err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
		}
		return dst, nil
	case Record:
		if t.Kind != KindRecord || len(x) != len(t.Fields) {
			return nil, wrong
		}
		for i, f := range t.Fields {
			if x[i].ID != f.ID {
				return nil, fmt.Errorf("%w: record lacks field %s", ErrType, f.Label())
			}
			var err error
			if dst, err = appendDynamic(dst, f.Type, x[i].Value, depth+1); err != nil {
				return nil, fmt.Errorf(".%s: %w", f.Label(), err)
			}
		}
		return dst, nil
	case Case:
		if t.Kind != KindVariant {
			return nil, wrong
		}
		for i, f := range t.Fields {
			if f.ID == x.ID {
				return appendDynamic(appendUleb(dst, uint64(i)), f.Type, x.Value, depth+1)
			}
		}
		return nil, fmt.Errorf("%w: variant has no alternative %s", ErrType, Field{ID: x.ID, Name: x.Name}.Label())
	}
	return nil, wrong
}

// Coerce brings a value, such as one parsed from text, to type t: numbers without annotation take the wanted width, records lose fields t does
// not have and gain the null ones it does, anything fits reserved, and a value that is no opt fits opt. Unlike a decoder it refuses a value that does not
// fit under an opt instead of reading it as null, since whoever wrote the value meant it.
func Coerce(v Value, t *Type) (Value, error) {
	c, err := coercer{}.coerce(v, t, 0)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// coercer implements Coerce. A strict one refuses fields that the type does not have: whoever wrote them meant them.
type coercer struct{ strict bool }

// coerceError is a value that does not fit its type, with the way to it, innermost step first.
type coerceError struct {
	kind   error
	reason string
	path   []step
}

// step leads from a value into an element, a field or the payload of a variant.
type step struct {
	elem  int    // where label is ""
	id    uint32 // of a field or an alternative
	label string
}

func (e *coerceError) Error() string {
	if at := e.where(); at != "" {
		return at + ": " + e.kind.Error() + ": " + e.reason
	}
	return e.kind.Error() + ": " + e.reason
}

func (e *coerceError) Unwrap() error { return e.kind }

// where is the path as text, such as .to[3].owner, its middle left out where it is long.
func (e *coerceError) where() string {
	var b strings.Builder
	for i := len(e.path) - 1; i >= 0; i-- {
		if k := len(e.path) - 1 - i; k == maxPath/2 && i >= maxPath/2 {
			b.WriteString("…")
			i = maxPath / 2
		}
		if s := e.path[i]; s.label != "" {
			b.WriteString("." + s.label)
		} else {
			fmt.Fprintf(&b, "[%d]", s.elem)
		}
	}
	return b.String()
}

func (e *coerceError) in(s step) *coerceError {
	e.path = append(e.path, s)
	return e
}

func mismatch(format string, args ...any) *coerceError {
	return &coerceError{kind: ErrType, reason: fmt.Sprintf(format, args...)}
}

func (co coercer) coerce(v Value, t *Type, depth int) (Value, *coerceError) {
	if depth > maxDepth {
		return nil, &coerceError{kind: ErrLimit, reason: fmt.Sprintf("value nested deeper than %d", maxDepth)}
	}
	wrong := func() *coerceError { return mismatch("%s is not %s", valueKind(v), describe(t)) }
	switch t.Kind {
	case KindReserved:
		return Reserved{}, nil
	case KindNull:
		if _, ok := v.(Null); ok {
			return v, nil
		}
	case KindOpt:
		switch x := v.(type) {
		case Null, Reserved:
			return Null{}, nil
		case Some:
			c, err := co.coerce(x.Value, t.Elem, depth+1)
			return Some{c}, err
		}
		c, err := co.coerce(v, t.Elem, depth+1)
		return Some{c}, err
	case KindVec:
		switch x := v.(type) {
		case Blob:
			if t.Elem.Kind == KindNat8 {
				return x, nil
			}
			vec := make(Vec, len(x))
			for i, b := range x {
				c, err := co.coerce(b, t.Elem, depth+1)
				if err != nil {
					return nil, err.in(step{elem: i})
				}
				vec[i] = c
			}
			return vec, nil
		case Vec:
			blob := make(Blob, 0, len(x))
			vec := make(Vec, 0, len(x))
			for i, e := range x {
				c, err := co.coerce(e, t.Elem, depth+1)
				if err != nil {
					return nil, err.in(step{elem: i})
				}
				if b, ok := c.(uint8); ok {
					blob = append(blob, b)
				} else {
					vec = append(vec, c)
				}
			}
			if t.Elem.Kind == KindNat8 {
				return blob, nil
			}
			return vec, nil
		}
	case KindRecord:
		x, ok := v.(Record)
		if !ok {
			break
		}
		out := make(Record, len(t.Fields))
		i := 0
		for k, f := range t.Fields {
			for i < len(x) && x[i].ID < f.ID {
				if co.strict {
					return nil, unknownField(x[i], t)
				}
				i++
			}
			out[k] = FieldValue{f.ID, f.Name, nil}
			var err *coerceError
			switch {
			case i < len(x) && x[i].ID == f.ID:
				out[k].Value, err = co.coerce(x[i].Value, f.Type, depth+1)
				i++
			case f.Type.mayBeAbsent():
				out[k].Value = absentValue(f.Type)
			default:
				return nil, mismatch("record lacks field %s", f.Label())
			}
			if err != nil {
				return nil, err.in(step{id: f.ID, label: f.Label()})
			}
		}
		if co.strict && i < len(x) {
			return nil, unknownField(x[i], t)
		}
		return out, nil
	case KindVariant:
		x, ok := v.(Case)
		if !ok {
			break
		}
		for _, f := range t.Fields {
			if f.ID == x.ID {
				c, err := co.coerce(x.Value, f.Type, depth+1)
				if err != nil {
					return nil, err.in(step{id: f.ID, label: f.Label()})
				}
				return Case{f.ID, f.Name, c}, nil
			}
		}
		return nil, mismatch("variant has no alternative %s; it has %s", Field{ID: x.ID, Name: x.Name}.Label(), labels(t))
	case KindBool:
		if _, ok := v.(bool); ok {
			return v, nil
		}
	case KindText:
		if _, ok := v.(string); ok {
			return v, nil
		}
	case KindPrincipal:
		switch x := v.(type) {
		case principal.Principal:
			return x, nil
		case Service:
			return x.Principal, nil
		}
	case KindFunc:
		if _, ok := v.(Func); ok {
			return v, nil
		}
	case KindService:
		if _, ok := v.(Service); ok {
			return v, nil
		}
	case KindFloat32, KindFloat64:
		var f float64
		switch x := v.(type) {
		case float32:
			f = float64(x)
		case float64:
			f = x
		case Int:
			f, _ = new(big.Float).SetInt(x.Big()).Float64()
		default:
			return nil, wrong()
		}
		if t.Kind == KindFloat32 {
			return float32(f), nil
		}
		return f, nil
	case KindNat, KindInt, KindNat8, KindNat16, KindNat32, KindNat64, KindInt8, KindInt16, KindInt32, KindInt64:
		return coerceNumber(v, t, wrong)
	}
	return nil, wrong()
}

func unknownField(f FieldValue, t *Type) *coerceError {
	l := Field{ID: f.ID, Name: f.Name}.Label()
	return mismatch("record has no field %s; it has %s", l, labels(t)).in(step{id: f.ID, label: l})
}

// labels lists the first labels of a record or variant.
func labels(t *Type) string {
	const most = 16
	var list []string
	for _, f := range t.Fields[:min(len(t.Fields), most)] {
		list = append(list, f.Label())
	}
	if len(t.Fields) > most {
		list = append(list, "…")
	}
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// coerceNumber gives a number the kind t. Int is what text without annotation parses to, so it fits wherever its value does; a number that already
// has another fixed width does not.
func coerceNumber(v Value, t *Type, wrong func() *coerceError) (Value, *coerceError) {
	var i Int
	switch x := v.(type) {
	case Int:
		i = x
	case Nat:
		if t.Kind != KindNat && t.Kind != KindInt {
			return nil, wrong()
		}
		i = x.Int()
	default:
		if k, ok := fixedKind(v); ok && k == t.Kind {
			return v, nil
		}
		return nil, wrong()
	}
	outside := func() *coerceError { return mismatch("%.40s is out of range of %s", i.String(), t.Kind) }
	switch t.Kind {
	case KindInt:
		return i, nil
	case KindNat:
		n, ok := i.Nat()
		if !ok {
			return nil, outside()
		}
		return n, nil
	}
	size := 8 * fixedSize(t.Kind)
	if t.Kind <= KindNat64 {
		n, ok := i.Nat()
		u, fits := n.Uint64()
		if !ok || !fits || size < 64 && u>>size != 0 {
			return nil, outside()
		}
		return fixedValue(t.Kind, u), nil
	}
	s, fits := i.Int64()
	if !fits || s>>(size-1) != 0 && s>>(size-1) != -1 {
		return nil, outside()
	}
	return fixedValue(t.Kind, uint64(s)), nil
}

func fixedKind(v Value) (Kind, bool) {
	switch v.(type) {
	case uint8:
		return KindNat8, true
	case uint16:
		return KindNat16, true
	case uint32:
		return KindNat32, true
	case uint64:
		return KindNat64, true
	case int8:
		return KindInt8, true
	case int16:
		return KindInt16, true
	case int32:
		return KindInt32, true
	case int64:
		return KindInt64, true
	case float32:
		return KindFloat32, true
	case float64:
		return KindFloat64, true
	}
	return 0, false
}

// valueKind names the kind of a value for messages.
func valueKind(v Value) string {
	if k, ok := fixedKind(v); ok {
		return k.String()
	}
	switch v.(type) {
	case Null:
		return "null"
	case bool:
		return "bool"
	case Nat:
		return "nat"
	case Int:
		return "number"
	case string:
		return "text"
	case Reserved:
		return "reserved"
	case principal.Principal:
		return "principal"
	case Some:
		return "opt"
	case Vec:
		return "vec"
	case Blob:
		return "blob"
	case Record:
		return "record"
	case Case:
		return "variant"
	case Func:
		return "func"
	case Service:
		return "service"
	}
	return fmt.Sprintf("%T", v)
}

// Equal reports whether two values are the same. Names of fields do not matter, a Blob equals the Vec of its bytes, and a NaN equals itself.
func Equal(a, b Value) bool {
	switch x := a.(type) {
	case Nat:
		y, ok := b.(Nat)
		return ok && x.Cmp(y) == 0
	case Int:
		y, ok := b.(Int)
		return ok && x.Cmp(y) == 0
	case float32:
		y, ok := b.(float32)
		return ok && math.Float32bits(x) == math.Float32bits(y)
	case float64:
		y, ok := b.(float64)
		return ok && math.Float64bits(x) == math.Float64bits(y)
	case Some:
		y, ok := b.(Some)
		return ok && Equal(x.Value, y.Value)
	case Blob:
		switch y := b.(type) {
		case Blob:
			return bytes.Equal(x, y)
		case Vec:
			return Equal(y, x)
		}
		return false
	case Vec:
		if y, ok := b.(Blob); ok {
			if len(x) != len(y) {
				return false
			}
			for i := range x {
				if e, ok := x[i].(uint8); !ok || e != y[i] {
					return false
				}
			}
			return true
		}
		y, ok := b.(Vec)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !Equal(x[i], y[i]) {
				return false
			}
		}
		return true
	case Record:
		y, ok := b.(Record)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if x[i].ID != y[i].ID || !Equal(x[i].Value, y[i].Value) {
				return false
			}
		}
		return true
	case Case:
		y, ok := b.(Case)
		return ok && x.ID == y.ID && Equal(x.Value, y.Value)
	}
	return a == b
}
