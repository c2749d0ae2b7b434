package candid

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"

	"fusion/ic/principal"
)

const (
	// maxDepth bounds the nesting of values and types. Go stacks are bounded too, and a canister's call depth more so.
	maxDepth = 512
	// A message may cost baseQuota steps plus stepsPerByte for each of its bytes; a step is about one value visited. Values
	// without bytes (null, reserved, empty records) are what the base pays for: without it, 13 bytes could ask for 10^9 of them.
	baseQuota    = 1 << 18
	stepsPerByte = 16
	// maxMessage bounds a message; nothing on the Internet Computer carries more than 2 MiB between canisters, this leaves room for files.
	maxMessage = 1 << 28
)

// ref is a type on the wire: a table index if not negative, else the negated Kind of a primitive.
type ref int32

// wireType is an entry of a message's type table. lo, mid and hi delimit slices of the decoder's slabs.
type wireType struct {
	kind        Kind
	mode        FuncMode
	elem        ref
	lo, mid, hi int32
}

type wireField struct {
	id uint32
	t  ref
}

type wireMethod struct {
	name string
	t    ref
}

// decoder reads one message. Decoders are pooled: the slabs keep their capacity.
type decoder struct {
	data    []byte
	pos     int
	quota   uint64
	table   []wireType
	fields  []wireField  // of records and variants
	refs    []ref        // arguments and results of functions
	methods []wireMethod // of services
	args    []ref

	known *header // whose slabs these are, if not the decoder's own

	types []*Type           // the table as types, made when a reference or a dynamic reader needs them
	subs  map[subKey]bool   // outcome of subtype checks of references
	seen  map[typePair]bool // what these checks found to hold
}

type subKey struct {
	t     ref
	super *Type
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

func newDecoder(data []byte) *decoder {
	d := decoders.Get().(*decoder)
	d.data, d.pos = data, 0
	d.quota = baseQuota + stepsPerByte*uint64(len(data))
	return d
}

// maxKept bounds the slabs a pooled decoder keeps, so that one huge message does not occupy memory for ever.
const maxKept = 4096

// header is what the header of a message says. It does not change.
type header struct {
	raw     string
	table   []wireType
	fields  []wireField
	refs    []ref
	methods []wireMethod
	args    []ref
}

// maxHeader is the longest header that is remembered: one for each Go type that is decoded, because a method's callers mostly
// send the same one.
const maxHeader = 1 << 10

// headerOf is header through the memory of a plan. A message that begins with the bytes of a header has that header: its numbers end
// where they say, and what bounds them is in these bytes too.
func (d *decoder) headerOf(p *plan) *decodeError {
	if h := p.header.Load(); h != nil && len(d.data) <= maxMessage && len(d.data) >= len(h.raw) && string(d.data[:len(h.raw)]) == h.raw {
		d.pos, d.known = len(h.raw), h
		d.table, d.fields, d.refs, d.methods, d.args = h.table, h.fields, h.refs, h.methods, h.args
		return d.charge(uint64(len(d.args)))
	}
	if err := d.header(); err != nil {
		return err
	}
	if d.pos <= maxHeader {
		p.header.Store(&header{string(d.data[:d.pos]), slices.Clone(d.table), slices.Clone(d.fields), slices.Clone(d.refs),
			slices.Clone(d.methods), slices.Clone(d.args)})
	}
	return nil
}

func (d *decoder) release() {
	if d.known != nil {
		*d = decoder{}
		decoders.Put(d)
		return
	}
	if cap(d.table) > maxKept || cap(d.fields) > maxKept || cap(d.refs) > maxKept || cap(d.methods) > maxKept || cap(d.args) > maxKept {
		return
	}
	clear(d.methods)
	d.data, d.types, d.subs, d.seen = nil, nil, nil, nil
	d.table, d.fields, d.refs, d.methods, d.args = d.table[:0], d.fields[:0], d.refs[:0], d.methods[:0], d.args[:0]
	decoders.Put(d)
}

func (d *decoder) malformed(msg string) *decodeError {
	return &decodeError{kind: ErrMalformed, msg: msg, at: d.pos}
}

func (d *decoder) limit(msg string) *decodeError {
	return &decodeError{kind: ErrLimit, msg: msg, at: d.pos}
}

func (d *decoder) mismatch(t ref, want string) *decodeError {
	return &decodeError{kind: ErrType, msg: d.kindOf(t).String() + " is not " + want, at: d.pos, soft: true}
}

// charge takes n steps from the quota.
func (d *decoder) charge(n uint64) *decodeError {
	if n > d.quota {
		d.quota = 0
		return d.limit("the message is too costly to read for its length")
	}
	d.quota -= n
	return nil
}

func (d *decoder) left() int { return len(d.data) - d.pos }

func (d *decoder) byte() (byte, *decodeError) {
	if d.pos >= len(d.data) {
		return 0, d.malformed("message ends early")
	}
	b := d.data[d.pos]
	d.pos++
	return b, nil
}

func (d *decoder) bytes(n uint64) ([]byte, *decodeError) {
	if n > uint64(d.left()) {
		return nil, d.malformed("length " + strconv.FormatUint(n, 10) + " is beyond the end of the message")
	}
	b := d.data[d.pos : d.pos+int(n)]
	d.pos += int(n)
	return b, nil
}

// uleb reads an unsigned LEB128 number below 2^64; overlong forms are allowed by the specification.
func (d *decoder) uleb() (uint64, *decodeError) {
	if d.pos < len(d.data) && d.data[d.pos] < 0x80 {
		d.pos++
		return uint64(d.data[d.pos-1]), nil
	}
	var v uint64
	for shift := uint(0); ; shift += 7 {
		b, err := d.byte()
		if err != nil {
			return 0, err
		}
		g := uint64(b & 0x7f)
		if g != 0 && (shift > 63 || g<<shift>>shift != g) {
			return 0, d.malformed("number exceeds 64 bits")
		}
		if shift > 63 && shift > 8*maxNumberBytes {
			return 0, d.limit("overlong number")
		}
		if shift <= 63 {
			v |= g << shift
		}
		if b < 0x80 {
			return v, nil
		}
	}
}

// count reads a length and checks that the rest of the message can hold that many items of at least size bytes.
func (d *decoder) count(size int, what string) (int, *decodeError) {
	n, err := d.uleb()
	if err != nil {
		return 0, err
	}
	if n > uint64(d.left()/size) {
		return 0, d.malformed(strconv.FormatUint(n, 10) + " " + what + " do not fit in the rest of the message")
	}
	return int(n), nil
}

// group returns the bytes of a LEB128 number of any size.
func (d *decoder) group() ([]byte, *decodeError) {
	start := d.pos
	for {
		b, err := d.byte()
		if err != nil {
			return nil, err
		}
		if b < 0x80 {
			return d.data[start:d.pos], nil
		}
		if d.pos-start >= maxNumberBytes {
			return nil, d.limit("number longer than " + strconv.Itoa(maxNumberBytes) + " bytes")
		}
	}
}

func (d *decoder) nat() (Nat, *decodeError) {
	if d.pos < len(d.data) && d.data[d.pos] < 0x80 {
		d.pos++
		return Nat{lo: uint64(d.data[d.pos-1])}, nil
	}
	g, err := d.group()
	if err != nil {
		return Nat{}, err
	}
	if len(g) <= 9 { // 63 bits
		var v uint64
		for i, b := range g {
			v |= uint64(b&0x7f) << (7 * i)
		}
		return Nat{lo: v}, nil
	}
	return NatFromBig(groupsToBig(g, false)), nil
}

func (d *decoder) int() (Int, *decodeError) {
	g, err := d.group()
	if err != nil {
		return Int{}, err
	}
	if len(g) <= 9 {
		var v int64
		for i, b := range g {
			v |= int64(b&0x7f) << (7 * i)
		}
		shift := 64 - 7*len(g)
		return Int{lo: v << shift >> shift}, nil
	}
	return IntFromBig(groupsToBig(g, true)), nil
}

func (d *decoder) text() ([]byte, *decodeError) {
	n, err := d.uleb()
	if err != nil {
		return nil, err
	}
	b, err := d.bytes(n)
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(b) {
		return nil, d.malformed("text is not UTF-8")
	}
	return b, nil
}

func (d *decoder) bool() (bool, *decodeError) {
	b, err := d.byte()
	if err == nil && b > 1 {
		err = d.malformed("bool or tag is neither 0 nor 1")
	}
	return b == 1, err
}

// principal reads the value of a principal or service: an opaque reference (tag 0) has no meaning outside one host and is refused.
func (d *decoder) principal() (principal.Principal, *decodeError) {
	tag, err := d.byte()
	if err != nil {
		return principal.Principal{}, err
	}
	if tag != 1 {
		return principal.Principal{}, d.malformed("opaque reference")
	}
	n, err := d.uleb()
	if err != nil {
		return principal.Principal{}, err
	}
	b, err := d.bytes(n)
	if err != nil {
		return principal.Principal{}, err
	}
	p, perr := principal.FromBytes(b)
	if perr != nil {
		return p, d.malformed(perr.Error())
	}
	return p, nil
}

func (d *decoder) funcRef() (f Func, err *decodeError) {
	tag, err := d.byte()
	if err != nil {
		return f, err
	}
	if tag != 1 {
		return f, d.malformed("opaque function reference")
	}
	if f.Principal, err = d.principal(); err != nil {
		return f, err
	}
	name, err := d.text()
	f.Method = string(name)
	return f, err
}

func (d *decoder) kindOf(t ref) Kind {
	if t < 0 {
		return Kind(-t)
	}
	return d.table[t].kind
}

// sleb reads a type code.
func (d *decoder) sleb() (int64, *decodeError) {
	i, err := d.int()
	if err != nil {
		return 0, err
	}
	v, ok := i.Int64()
	if !ok {
		return 0, d.malformed("type code out of range")
	}
	return v, nil
}

func (d *decoder) ref(tableLen int) (ref, *decodeError) {
	if d.pos < len(d.data) { // the usual one-byte forms
		b := d.data[d.pos]
		if b >= 0x6f && b < 0x80 || b == 0x68 || b < 0x40 && int(b) < tableLen {
			d.pos++
			return ref(int8(b<<1) >> 1), nil
		}
	}
	v, err := d.sleb()
	if err != nil {
		return 0, err
	}
	switch {
	case v >= 0 && v < int64(tableLen):
		return ref(v), nil
	case v < 0 && v >= -int64(KindPrincipal) && Kind(-v).primitive():
		return ref(v), nil
	}
	return 0, d.malformed("type " + strconv.FormatInt(v, 10) + " is neither primitive nor in the type table")
}

const magic = "DIDL"

// header reads the magic bytes, the type table and the argument types.
func (d *decoder) header() *decodeError {
	if len(d.data) > maxMessage {
		return d.limit("message of " + strconv.Itoa(len(d.data)) + " bytes")
	}
	if len(d.data) < len(magic) || string(d.data[:len(magic)]) != magic {
		return d.malformed(`message does not begin with "DIDL"`)
	}
	d.pos = len(magic)
	n, err := d.count(2, "type table entries")
	if err != nil {
		return err
	}
	for range n {
		if err := d.tableEntry(n); err != nil {
			return err
		}
	}
	for i := range d.methods {
		if d.kindOf(d.methods[i].t) != KindFunc {
			return d.malformed("service method " + strconv.Quote(d.methods[i].name) + " is not a function")
		}
	}
	if n, err = d.count(1, "arguments"); err != nil {
		return err
	}
	if err := d.charge(uint64(n)); err != nil {
		return err
	}
	for range n {
		t, err := d.ref(len(d.table))
		if err != nil {
			return err
		}
		d.args = append(d.args, t)
	}
	return nil
}

func (d *decoder) tableEntry(tableLen int) *decodeError {
	op, err := d.sleb()
	if err != nil {
		return err
	}
	var w wireType
	switch kind := Kind(-op); {
	case op >= 0 || op >= -int64(KindEmpty) || op == -int64(KindPrincipal):
		return d.malformed("type table holds a type that is not composite")
	case op < -int64(KindPrincipal):
		if op < math.MinInt32 {
			return d.malformed("type code out of range")
		}
		w.kind = KindFuture
		size, err := d.uleb()
		if err != nil {
			return err
		}
		if _, err := d.bytes(size); err != nil {
			return err
		}
	case kind == KindOpt || kind == KindVec:
		w.kind = kind
		if w.elem, err = d.ref(tableLen); err != nil {
			return err
		}
	case kind == KindRecord || kind == KindVariant:
		w.kind = kind
		n, err := d.count(2, "fields")
		if err != nil {
			return err
		}
		w.lo = int32(len(d.fields))
		for i := range n {
			id, err := d.uleb()
			if err != nil {
				return err
			}
			if id > math.MaxUint32 {
				return d.malformed("field id exceeds 32 bits")
			}
			if i > 0 && uint32(id) <= d.fields[len(d.fields)-1].id {
				return d.malformed("field ids are not in ascending order")
			}
			t, err := d.ref(tableLen)
			if err != nil {
				return err
			}
			d.fields = append(d.fields, wireField{uint32(id), t})
		}
		w.hi = int32(len(d.fields))
	case kind == KindFunc:
		w.kind = kind
		w.lo = int32(len(d.refs))
		for part := range 2 {
			n, err := d.count(1, "function arguments")
			if err != nil {
				return err
			}
			for range n {
				t, err := d.ref(tableLen)
				if err != nil {
					return err
				}
				d.refs = append(d.refs, t)
			}
			if part == 0 {
				w.mid = int32(len(d.refs))
			}
		}
		w.hi = int32(len(d.refs))
		n, err := d.uleb()
		if err != nil {
			return err
		}
		if n > 1 { // no two annotations go together
			return d.malformed("function with several annotations")
		}
		if n == 1 {
			mode, err := d.byte()
			if err != nil {
				return err
			}
			if mode < byte(Query) || mode > byte(CompositeQuery) {
				return d.malformed("unknown function annotation")
			}
			w.mode = FuncMode(mode)
		}
	case kind == KindService:
		w.kind = kind
		n, err := d.count(2, "methods")
		if err != nil {
			return err
		}
		w.lo = int32(len(d.methods))
		for i := range n {
			name, err := d.text()
			if err != nil {
				return err
			}
			if i > 0 && string(name) <= d.methods[len(d.methods)-1].name {
				return d.malformed("service methods are not in ascending order")
			}
			t, err := d.ref(tableLen)
			if err != nil {
				return err
			}
			d.methods = append(d.methods, wireMethod{string(name), t})
		}
		w.hi = int32(len(d.methods))
	}
	d.table = append(d.table, w)
	return nil
}

// finish skips the arguments from the n-th on and checks that nothing follows.
func (d *decoder) finish(n int) *decodeError {
	for i := n; i < len(d.args); i++ {
		if err := d.skip(d.args[i], 0); err != nil {
			return err.in("argument " + strconv.Itoa(i))
		}
	}
	if d.left() > 0 {
		return d.malformed("bytes follow the last argument")
	}
	return nil
}

// variantTag reads the index of an alternative and returns its field.
func (d *decoder) variantTag(w *wireType) (wireField, *decodeError) {
	i, err := d.uleb()
	if err != nil {
		return wireField{}, err
	}
	if i >= uint64(w.hi-w.lo) {
		return wireField{}, d.malformed("variant index " + strconv.FormatUint(i, 10) + " out of range")
	}
	return d.fields[w.lo+int32(i)], nil
}

// fixedSize is the number of bytes of a value of a primitive type in which every bit pattern is valid, 0 for other types.
func fixedSize(k Kind) uint64 {
	switch k {
	case KindNat8, KindInt8:
		return 1
	case KindNat16, KindInt16:
		return 2
	case KindNat32, KindInt32, KindFloat32:
		return 4
	case KindNat64, KindInt64, KindFloat64:
		return 8
	}
	return 0
}

// skip reads a value, checks that it is well-formed, and drops it.
func (d *decoder) skip(t ref, depth int) *decodeError {
	if err := d.charge(1); err != nil {
		return err
	}
	if t < 0 {
		return d.skipPrimitive(Kind(-t))
	}
	if depth > maxDepth {
		return d.limit("values nested too deeply")
	}
	w := &d.table[t]
	switch w.kind {
	case KindOpt:
		some, err := d.bool()
		if err != nil || !some {
			return err
		}
		return d.skip(w.elem, depth+1)
	case KindVec:
		n, err := d.uleb()
		if err != nil {
			return err
		}
		if size := fixedSize(d.kindOf(w.elem)); size > 0 {
			if n > uint64(d.left())/size {
				return d.malformed("vec is longer than the message")
			}
			d.pos += int(n * size)
			return nil
		}
		if k := d.kindOf(w.elem); k == KindNull || k == KindReserved {
			return d.charge(n)
		}
		for range n {
			if err := d.skip(w.elem, depth+1); err != nil {
				return err
			}
		}
		return nil
	case KindRecord:
		for i := w.lo; i < w.hi; i++ {
			if err := d.skip(d.fields[i].t, depth+1); err != nil {
				return err
			}
		}
		return nil
	case KindVariant:
		f, err := d.variantTag(w)
		if err != nil {
			return err
		}
		return d.skip(f.t, depth+1)
	case KindFunc:
		_, err := d.funcRef()
		return err
	case KindService:
		_, err := d.principal()
		return err
	default:
		return d.skipFuture()
	}
}

func (d *decoder) skipFuture() *decodeError {
	size, err := d.uleb()
	if err != nil {
		return err
	}
	refs, err := d.uleb()
	if err != nil {
		return err
	}
	if refs != 0 {
		return d.malformed("future value with references")
	}
	_, err = d.bytes(size)
	return err
}

func (d *decoder) skipPrimitive(k Kind) *decodeError {
	switch k {
	case KindNull, KindReserved:
		return nil
	case KindBool:
		_, err := d.bool()
		return err
	case KindNat, KindInt:
		_, err := d.group()
		return err
	case KindText:
		_, err := d.text()
		return err
	case KindPrincipal:
		_, err := d.principal()
		return err
	case KindEmpty:
		return d.malformed("a value of type empty")
	}
	_, err := d.bytes(fixedSize(k))
	return err
}

func (d *decoder) fixed(n int) (uint64, *decodeError) {
	b, err := d.bytes(uint64(n))
	if err != nil {
		return 0, err
	}
	switch n {
	case 1:
		return uint64(b[0]), nil
	case 2:
		return uint64(binary.LittleEndian.Uint16(b)), nil
	case 4:
		return uint64(binary.LittleEndian.Uint32(b)), nil
	}
	return binary.LittleEndian.Uint64(b), nil
}

// typeOf returns a wire type as a Type; the graph of the whole table is made on first use.
func (d *decoder) typeOf(t ref) (*Type, *decodeError) {
	if t < 0 {
		return primitiveTypes[-t], nil
	}
	if d.types == nil {
		if err := d.charge(uint64(len(d.table) + len(d.fields) + len(d.refs) + len(d.methods))); err != nil {
			return nil, err
		}
		slab := make([]Type, len(d.table))
		d.types = make([]*Type, len(d.table))
		for i := range slab {
			d.types[i] = &slab[i]
		}
		at := func(t ref) *Type {
			if t < 0 {
				return primitiveTypes[-t]
			}
			return d.types[t]
		}
		for i := range slab {
			w := &d.table[i]
			ty := &slab[i]
			ty.Kind = w.kind
			switch w.kind {
			case KindOpt, KindVec:
				ty.Elem = at(w.elem)
			case KindRecord, KindVariant:
				for _, f := range d.fields[w.lo:w.hi] {
					ty.Fields = append(ty.Fields, Field{ID: f.id, Type: at(f.t)})
				}
			case KindFunc:
				ty.Func = &FuncType{Mode: w.mode}
				for _, r := range d.refs[w.lo:w.mid] {
					ty.Func.Args = append(ty.Func.Args, Arg{Type: at(r)})
				}
				for _, r := range d.refs[w.mid:w.hi] {
					ty.Func.Results = append(ty.Func.Results, Arg{Type: at(r)})
				}
			case KindService:
				for _, m := range d.methods[w.lo:w.hi] {
					ty.Methods = append(ty.Methods, Method{Name: m.name, Type: at(m.t)})
				}
			}
		}
	}
	return d.types[t], nil
}

// refersTo reports whether the function or service type t is a subtype of super.
func (d *decoder) refersTo(t ref, super *Type) (bool, *decodeError) {
	key := subKey{t, super}
	if ok, known := d.subs[key]; known {
		return ok, nil
	}
	sub, err := d.typeOf(t)
	if err != nil {
		return false, err
	}
	s := subtyper{quota: d.quota, seen: d.seen}
	serr := s.check(sub, super)
	d.quota, d.seen = s.quota, s.seen
	if serr != nil && serr.kind == ErrLimit {
		return false, d.limit(serr.Error())
	}
	if d.subs == nil {
		d.subs = map[subKey]bool{}
	}
	d.subs[key] = serr == nil
	return serr == nil, nil
}
