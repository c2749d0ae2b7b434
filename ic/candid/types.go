package candid

import (
	"sort"
	"strconv"

	"fusion/ic/principal"
)

// Kind is the head of a type. The value of a Kind is the negated opcode of the binary format (Candid specification, section "Types").
type Kind uint8

// The kinds of Candid types.
const (
	KindNull Kind = iota + 1
	KindBool
	KindNat
	KindInt
	KindNat8
	KindNat16
	KindNat32
	KindNat64
	KindInt8
	KindInt16
	KindInt32
	KindInt64
	KindFloat32
	KindFloat64
	KindText
	KindReserved
	KindEmpty
	KindOpt
	KindVec
	KindRecord
	KindVariant
	KindFunc
	KindService
	KindPrincipal
	// KindFuture is a type of a later version of Candid: it can be skipped and is a subtype of every opt and of reserved only.
	KindFuture
)

var kindNames = [...]string{"", "null", "bool", "nat", "int", "nat8", "nat16", "nat32", "nat64", "int8", "int16", "int32", "int64",
	"float32", "float64", "text", "reserved", "empty", "opt", "vec", "record", "variant", "func", "service", "principal", "future"}

// String returns the keyword of the kind.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

// primitive reports whether types of this kind stand in the binary format by opcode, not by table index.
func (k Kind) primitive() bool { return k >= KindNull && k <= KindEmpty || k == KindPrincipal }

// Type is a Candid type. Recursive types are cycles of pointers. Types are immutable once built.
type Type struct {
	Kind    Kind
	Name    string    // the name the type was defined under, or ""
	Elem    *Type     // opt and vec
	Fields  []Field   // record and variant, by ascending id
	Func    *FuncType // func
	Methods []Method  // service, by ascending name
}

// Field is a field of a record or an alternative of a variant. Name is "" when only the number is known.
type Field struct {
	ID   uint32
	Name string
	Type *Type
}

// Label returns the name if known, else the number.
func (f Field) Label() string {
	if f.Name != "" {
		return f.Name
	}
	return strconv.FormatUint(uint64(f.ID), 10)
}

// FuncMode is the annotation of a function type.
type FuncMode uint8

// The annotations, with their codes of the binary format; Update is the absence of one.
const (
	Update         FuncMode = 0
	Query          FuncMode = 1
	Oneway         FuncMode = 2
	CompositeQuery FuncMode = 3
)

var modeNames = [...]string{"", "query", "oneway", "composite_query"}

// String returns the annotation as written in a .did file, "" for an update.
func (m FuncMode) String() string { return modeNames[m] }

// FuncType is the signature of a method or function reference.
type FuncType struct {
	Args, Results []Arg
	Mode          FuncMode
}

// Arg is an argument or result; its name is documentation only.
type Arg struct {
	Name string
	Type *Type
}

// Method is a method of a service. Type is always of KindFunc.
type Method struct {
	Name string
	Type *Type
	Doc  string // the comment that stood before the method, if it came from a .did file
}

// Hash is the field id of a label: the hash of the specification, section "Field labels".
func Hash(label string) uint32 {
	var h uint32
	for i := range len(label) {
		h = h*223 + uint32(label[i])
	}
	return h
}

var primitiveTypes = func() (ts [KindFuture + 1]*Type) {
	for k := range ts {
		if Kind(k).primitive() || Kind(k) == KindFuture {
			ts[k] = &Type{Kind: Kind(k)}
		}
	}
	return
}()

// Prim returns the type of a primitive kind; it panics for other kinds.
func Prim(k Kind) *Type {
	if !k.primitive() {
		panic("candid: " + k.String() + " is not a primitive type")
	}
	return primitiveTypes[k]
}

// OptOf returns the type opt t.
func OptOf(t *Type) *Type { return &Type{Kind: KindOpt, Elem: t} }

// VecOf returns the type vec t.
func VecOf(t *Type) *Type { return &Type{Kind: KindVec, Elem: t} }

// RecordOf returns a record type; fields are sorted by id. Ids must be distinct.
func RecordOf(fields ...Field) *Type { return &Type{Kind: KindRecord, Fields: sortFields(fields)} }

// VariantOf returns a variant type; fields are sorted by id. Ids must be distinct.
func VariantOf(fields ...Field) *Type { return &Type{Kind: KindVariant, Fields: sortFields(fields)} }

// Named returns a field whose id is the hash of its name.
func Named(name string, t *Type) Field { return Field{ID: Hash(name), Name: name, Type: t} }

func sortFields(fields []Field) []Field {
	fs := append([]Field(nil), fields...)
	sort.Slice(fs, func(i, j int) bool { return fs[i].ID < fs[j].ID })
	return fs
}

// Method returns the method of a service type, or nil.
func (t *Type) Method(name string) *Method {
	i := sort.Search(len(t.Methods), func(i int) bool { return t.Methods[i].Name >= name })
	if i < len(t.Methods) && t.Methods[i].Name == name {
		return &t.Methods[i]
	}
	return nil
}

// mayBeAbsent reports whether a field or argument of this type may be missing on the wire (it then reads as null).
func (t *Type) mayBeAbsent() bool {
	return t.Kind == KindOpt || t.Kind == KindNull || t.Kind == KindReserved
}

// Null is the only value of type null.
type Null struct{}

// Unit is the payload of an alternative of a variant that has none.
var Unit = &Null{}

// Reserved is the value of type reserved: anything decodes to it and its content is lost.
type Reserved struct{}

// Empty is the type without values; decoding one always fails.
type Empty struct{}

// Variant, embedded as the first field of a struct, makes the struct a variant: every other exported field is a pointer to the payload of
// one alternative, and exactly one of them is not nil.
type Variant struct{}

// Func is a reference to a method of a canister. A Go type that embeds Func and has a method CandidType() *Type carries the
// signature; a bare Func has the type func () -> () and accepts references of every signature.
type Func struct {
	Principal principal.Principal
	Method    string
}

// Service is a reference to a canister. As with Func, a Go type that embeds it and has a method CandidType() *Type carries the interface.
type Service struct {
	Principal principal.Principal
}
