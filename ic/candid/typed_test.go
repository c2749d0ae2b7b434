package candid

import (
	"fmt"
	"reflect"
	"testing"
)

// goTypeOf makes the Go type that Unmarshal would be given for a Candid type; ok is false for recursive types and references.
func goTypeOf(t *Type, open map[*Type]bool) (rt reflect.Type, ok bool) {
	if open[t] {
		return nil, false
	}
	open[t] = true
	defer delete(open, t)
	switch t.Kind {
	case KindNull:
		return typNull, true
	case KindReserved:
		return typReserved, true
	case KindEmpty:
		return typEmpty, true
	case KindNat:
		return typNat, true
	case KindInt:
		return typInt, true
	case KindPrincipal:
		return typPrincipal, true
	case KindOpt, KindVec:
		e, ok := goTypeOf(t.Elem, open)
		if !ok {
			return nil, false
		}
		if t.Kind == KindOpt {
			return reflect.PointerTo(e), true
		}
		return reflect.SliceOf(e), true
	case KindRecord, KindVariant:
		var fs []reflect.StructField
		if t.Kind == KindVariant {
			fs = append(fs, reflect.StructField{Name: "Variant", Type: typVariant, Anonymous: true})
		}
		for _, f := range t.Fields {
			e, ok := goTypeOf(f.Type, open)
			if !ok {
				return nil, false
			}
			if t.Kind == KindVariant {
				e = reflect.PointerTo(e)
			}
			fs = append(fs, reflect.StructField{Name: fmt.Sprintf("F%d", f.ID), Type: e, Tag: reflect.StructTag(fmt.Sprintf(`candid:"%d"`, f.ID))})
		}
		return reflect.StructOf(fs), true
	case KindFunc, KindService:
		return nil, false
	}
	for g, k := range goKinds {
		if k == t.Kind {
			return map[reflect.Kind]reflect.Type{reflect.Bool: reflect.TypeFor[bool](), reflect.String: reflect.TypeFor[string](),
				reflect.Uint8: reflect.TypeFor[uint8](), reflect.Uint16: reflect.TypeFor[uint16](), reflect.Uint32: reflect.TypeFor[uint32](),
				reflect.Uint64: reflect.TypeFor[uint64](), reflect.Int8: reflect.TypeFor[int8](), reflect.Int16: reflect.TypeFor[int16](),
				reflect.Int32: reflect.TypeFor[int32](), reflect.Int64: reflect.TypeFor[int64](), reflect.Float32: reflect.TypeFor[float32](),
				reflect.Float64: reflect.TypeFor[float64]()}[g], true
		}
	}
	panic(t.Kind.String())
}

// runTyped decodes the message of an assertion into Go types too: the two decoders must agree, down to the bytes they encode again.
func (a assertion) runTyped(t *testing.T, dynamicErr error) {
	t.Helper()
	var dst []any
	for _, ty := range a.types {
		rt, ok := goTypeOf(ty, map[*Type]bool{})
		if !ok {
			return
		}
		dst = append(dst, reflect.New(rt).Interface())
	}
	err := Unmarshal([]byte(a.left.s), dst...)
	if (err == nil) != (dynamicErr == nil) {
		t.Errorf("%s: into Go types: %v; dynamic: %v", a.what, err, dynamicErr)
	}
	if err != nil {
		return
	}
	var args []any
	for _, d := range dst {
		args = append(args, reflect.ValueOf(d).Elem().Interface())
	}
	again, err := Marshal(args...)
	if err != nil {
		t.Errorf("%s: encoding again: %v", a.what, err)
		return
	}
	left, _ := a.left.read(a.types)
	right, err := DecodeAs(again, a.types)
	if err != nil {
		t.Errorf("%s: reading again: %v", a.what, err)
		return
	}
	for i := range left {
		if !Equal(left[i], right[i]) {
			t.Errorf("%s: %s became %s", a.what, FormatValue(left[i]), FormatValue(right[i]))
		}
	}
}
