package candid

import (
	"fmt"
	"reflect"
	"strconv"
	"sync"
	"sync/atomic"

	"fusion/ic/principal"
)

// Typed is implemented by Go types that name their own Candid type. A type that embeds Func or Service needs nothing more; any other
// type also implements Custom. CandidType is called on the zero value and should return the same pointer each time.
type Typed interface {
	CandidType() *Type
}

// Signer is implemented by Go types that embed Func and give its signature by Go types, which may be recursive with the type itself (as the
// callbacks of ICRC-3 are).
type Signer interface {
	CandidSignature() Signature
}

// Signature is a function type in Go types.
type Signature struct {
	Args, Results []reflect.Type
	Mode          FuncMode
}

// Custom is implemented by Go types whose form on the wire is not the one their Go type suggests. The methods ToCandid and FromCandid
// convert to and from a dynamic value of CandidType; FromCandid has a pointer receiver. CandidType is called on the zero value.
type Custom interface {
	Typed
	ToCandid() (Value, error)
}

// FromCandider is the decoding half of Custom.
type FromCandider interface {
	FromCandid(Value) error
}

// special marks Go types that the codec knows by name.
type special uint8

const (
	ordinary special = iota
	goNat
	goInt
	goPrincipal
	goNull
	goReserved
	goEmpty
	goBytes     // []byte
	goByteArray // [N]byte
	goFunc
	goService
	goCustom
)

// plan is the compiled codec of a Go type.
type plan struct {
	rt      reflect.Type
	special special
	t       *Type
	elem    *plan
	fields  []planField            // by ascending id
	anyRef  bool                   // a bare Func or Service: any signature will do
	inner   uintptr                // offset of the embedded Func or Service
	size    uintptr                // of a Go value
	head    atomic.Pointer[[]byte] // what a message with one argument of the type begins with
	header  atomic.Pointer[header] // of the last message decoded into the type as the first destination
}

type planField struct {
	id     uint32
	name   string
	offset uintptr // of the struct field
	p      *plan
}

var (
	// plans has one plan for each Go type, for ever: a message's type table tells types apart by their pointers, so a second *Type for a Go
	// type would be a second entry there, and replicas would disagree on the bytes of what they keep.
	plans      sync.Map   // reflect.Type → *plan; complete plans only
	publishing sync.Mutex // held while plans are added to plans, not while they are built: a type's CandidType may need plans itself

	typNat       = reflect.TypeFor[Nat]()
	typInt       = reflect.TypeFor[Int]()
	typPrincipal = reflect.TypeFor[principal.Principal]()
	typNull      = reflect.TypeFor[Null]()
	typReserved  = reflect.TypeFor[Reserved]()
	typEmpty     = reflect.TypeFor[Empty]()
	typFunc      = reflect.TypeFor[Func]()
	typService   = reflect.TypeFor[Service]()
	typVariant   = reflect.TypeFor[Variant]()
	typTyped     = reflect.TypeFor[Typed]()
	typSigner    = reflect.TypeFor[Signer]()
	typCustom    = reflect.TypeFor[Custom]()
	typFrom      = reflect.TypeFor[FromCandider]()

	typeBlob      = VecOf(Prim(KindNat8))
	typeEmptyFunc = &Type{Kind: KindFunc, Func: &FuncType{}}
	typeNoMethods = &Type{Kind: KindService}
)

// TypeOf returns the Candid type of a Go type.
func TypeOf(rt reflect.Type) (*Type, error) {
	p, err := planFor(rt)
	if err != nil {
		return nil, err
	}
	return p.t, nil
}

// MustTypeFor returns the Candid type of T; it panics if there is none.
func MustTypeFor[T any]() *Type {
	t, err := TypeOf(reflect.TypeFor[T]())
	if err != nil {
		panic(err)
	}
	return t
}

func planFor(rt reflect.Type) (*plan, error) {
	for {
		if p, ok := plans.Load(rt); ok {
			return p.(*plan), nil
		}
		b := builder{made: map[reflect.Type]*plan{}}
		p, err := b.plan(rt)
		if err != nil {
			return nil, err
		}
		if b.publish() {
			return p, nil
		}
	}
}

type builder struct{ made map[reflect.Type]*plan }

// publish adds what was built to plans, all together, as plans may refer to others that are recursive with them. It adds nothing and reports
// false if one of them is there by now, made by another goroutine or by a CandidType: what was built refers to the wrong one.
func (b *builder) publish() bool {
	publishing.Lock()
	defer publishing.Unlock()
	for rt := range b.made {
		if _, ok := plans.Load(rt); ok {
			return false
		}
	}
	for rt, p := range b.made {
		plans.Store(rt, p)
	}
	return true
}

func unsupported(rt reflect.Type, why string) error {
	return fmt.Errorf("%w: Go type %v %s", ErrUnsupported, rt, why)
}

func (b *builder) plan(rt reflect.Type) (*plan, error) {
	if p, ok := plans.Load(rt); ok {
		return p.(*plan), nil
	}
	if p := b.made[rt]; p != nil {
		return p, nil
	}
	p := &plan{rt: rt, t: new(Type), size: rt.Size()}
	b.made[rt] = p
	err := b.fill(p)
	if err != nil {
		delete(b.made, rt)
	}
	return p, err
}

func (b *builder) fill(p *plan) error {
	rt := p.rt
	if sp, k := specialOf(rt); sp != ordinary {
		p.special, p.t = sp, primitiveTypes[k]
		return nil
	}
	switch rt {
	case typFunc:
		p.special, p.t, p.anyRef = goFunc, typeEmptyFunc, true
		return nil
	case typService:
		p.special, p.t, p.anyRef = goService, typeNoMethods, true
		return nil
	}
	if rt.Implements(typCustom) && reflect.PointerTo(rt).Implements(typFrom) {
		p.special = goCustom
		p.t = reflect.Zero(rt).Interface().(Custom).CandidType()
		return nil
	}
	if rt.Implements(typSigner) && rt.Kind() == reflect.Struct {
		f, ok := rt.FieldByName("Func")
		if !ok || f.Type != typFunc || len(f.Index) != 1 {
			return unsupported(rt, "has a signature but embeds no Func")
		}
		p.special, p.inner = goFunc, f.Offset
		sig := reflect.Zero(rt).Interface().(Signer).CandidSignature()
		p.t.Kind, p.t.Func = KindFunc, &FuncType{Mode: sig.Mode}
		for _, part := range []struct {
			from []reflect.Type
			to   *[]Arg
		}{{sig.Args, &p.t.Func.Args}, {sig.Results, &p.t.Func.Results}} {
			for _, at := range part.from {
				ap, err := b.plan(at)
				if err != nil {
					return err
				}
				*part.to = append(*part.to, Arg{Type: ap.t})
			}
		}
		return nil
	}
	if rt.Implements(typTyped) && rt.Kind() == reflect.Struct {
		for i := range rt.NumField() {
			f := rt.Field(i)
			if !f.Anonymous || f.Type != typFunc && f.Type != typService {
				continue
			}
			p.inner = f.Offset
			p.t = reflect.Zero(rt).Interface().(Typed).CandidType()
			want := KindFunc
			if p.special = goFunc; f.Type == typService {
				p.special, want = goService, KindService
			}
			if p.t.Kind != want {
				return unsupported(rt, "embeds a "+want.String()+" but its type is "+p.t.Kind.String())
			}
			return nil
		}
	}
	kind, ok := goKinds[rt.Kind()]
	if ok {
		p.t = primitiveTypes[kind]
		return nil
	}
	switch rt.Kind() {
	case reflect.Slice:
		if rt.Elem().Kind() == reflect.Uint8 {
			p.special, p.t = goBytes, typeBlob
			return nil
		}
		return b.element(p, KindVec)
	case reflect.Array:
		if rt.Elem().Kind() == reflect.Uint8 {
			p.special, p.t = goByteArray, typeBlob
			return nil
		}
	case reflect.Pointer:
		return b.element(p, KindOpt)
	case reflect.Struct:
		return b.structure(p)
	}
	return unsupported(rt, "has no candid type")
}

var goKinds = map[reflect.Kind]Kind{reflect.Bool: KindBool, reflect.Uint8: KindNat8, reflect.Uint16: KindNat16, reflect.Uint32: KindNat32,
	reflect.Uint64: KindNat64, reflect.Int8: KindInt8, reflect.Int16: KindInt16, reflect.Int32: KindInt32, reflect.Int64: KindInt64,
	reflect.Float32: KindFloat32, reflect.Float64: KindFloat64, reflect.String: KindText}

func specialOf(rt reflect.Type) (special, Kind) {
	switch rt {
	case typNat:
		return goNat, KindNat
	case typInt:
		return goInt, KindInt
	case typPrincipal:
		return goPrincipal, KindPrincipal
	case typNull:
		return goNull, KindNull
	case typReserved:
		return goReserved, KindReserved
	case typEmpty:
		return goEmpty, KindEmpty
	}
	return ordinary, 0
}

func (b *builder) element(p *plan, k Kind) (err error) {
	p.t.Kind = k
	if p.elem, err = b.plan(p.rt.Elem()); err != nil {
		return err
	}
	p.t.Elem = p.elem.t
	return nil
}

func (b *builder) structure(p *plan) error {
	rt := p.rt
	p.t.Kind, p.t.Name = KindRecord, rt.Name()
	for i := range rt.NumField() {
		f := rt.Field(i)
		if f.Anonymous && f.Type == typVariant {
			p.t.Kind = KindVariant
			continue
		}
		name, tagged := f.Tag.Lookup("candid")
		if !f.IsExported() || name == "-" {
			continue
		}
		if !tagged {
			name = f.Name
		}
		pf := planField{name: name, offset: f.Offset}
		if id, ok := labelNumber(name); ok {
			pf.id, pf.name = id, ""
		} else {
			pf.id = Hash(name)
		}
		ft := f.Type
		if p.t.Kind == KindVariant {
			if ft.Kind() != reflect.Pointer {
				return unsupported(rt, "is a variant whose field "+f.Name+" is not a pointer")
			}
			ft = ft.Elem()
		}
		var err error
		if pf.p, err = b.plan(ft); err != nil {
			return fmt.Errorf("field %s of %v: %w", f.Name, rt, err)
		}
		at := 0
		for at < len(p.fields) && p.fields[at].id < pf.id {
			at++
		}
		if at < len(p.fields) && p.fields[at].id == pf.id {
			return unsupported(rt, "has two fields with the id of "+strconv.Quote(name))
		}
		p.fields = append(p.fields, planField{})
		copy(p.fields[at+1:], p.fields[at:])
		p.fields[at] = pf
	}
	for _, f := range p.fields {
		p.t.Fields = append(p.t.Fields, Field{ID: f.id, Name: f.name, Type: f.p.t})
	}
	return nil
}

// labelNumber reads a label that is a field id.
func labelNumber(s string) (uint32, bool) {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil
}
