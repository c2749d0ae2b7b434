package candid

import (
	"fmt"
	"sort"
	"strconv"
)

// Program is a parsed interface file.
type Program struct {
	Types   []TypeDef // in the order of definition
	Service *Type     // the main service, or nil
	Name    string    // the name of the main service, if it has one
	Init    []Arg     // the arguments of the service constructor
	HasInit bool      // whether the service is a constructor (which may take no arguments)
}

// TypeDef is a named type.
type TypeDef struct {
	Name string
	Type *Type
	Doc  string
}

// Type returns the type defined under a name, or nil.
func (p *Program) Type(name string) *Type {
	for _, d := range p.Types {
		if d.Name == name {
			return d.Type
		}
	}
	return nil
}

// ParseDID reads an interface file. Imports are refused: a file must stand alone.
func ParseDID(src string) (*Program, error) {
	l, err := newLexer(src)
	if err != nil {
		return nil, err
	}
	tp := newTypeParser(l)
	p := tp.program()
	if l.tok.kind != tokEOF {
		l.fail("unexpected %v", l.tok)
	}
	if l.err == nil {
		tp.resolve()
	}
	if l.err != nil {
		return nil, l.err
	}
	for i := range p.Types {
		p.Types[i].Type = tp.final(p.Types[i].Type)
	}
	if p.Service != nil {
		p.Service = tp.final(p.Service)
	}
	tp.finalArgs(p.Init)
	return p, nil
}

// ParseTypes reads a parenthesised list of types; names refer to the definitions of env, which may be nil.
func ParseTypes(src string, env *Program) ([]*Type, error) {
	l, err := newLexer(src)
	if err != nil {
		return nil, err
	}
	tp := newTypeParser(l)
	tp.env = env
	args := tp.args()
	if l.tok.kind != tokEOF {
		l.fail("unexpected %v", l.tok)
	}
	if l.err == nil {
		tp.resolve()
	}
	if l.err != nil {
		return nil, l.err
	}
	tp.finalArgs(args)
	types := make([]*Type, len(args))
	for i, a := range args {
		types[i] = a.Type
	}
	return types, nil
}

// kindName marks, while parsing, a type that stands for a name. It is replaced before anyone sees it.
const kindName Kind = 255

type typeParser struct {
	*lexer
	env   *Program
	defs  map[string]*Type // as written: possibly another name
	uses  []*Type          // every placeholder, with its position in order
	at    []int
	all   []*Type // every composite made, whose parts need their names resolved
	known map[string]*Type
	funcs []methodUse
}

// methodUse is a method whose type, if given by name, must be found to be a function.
type methodUse struct {
	t   *Type
	pos int
}

func newTypeParser(l *lexer) *typeParser {
	return &typeParser{lexer: l, defs: map[string]*Type{}, known: map[string]*Type{}}
}

var primitiveNames = func() map[string]Kind {
	m := map[string]Kind{}
	for k := KindNull; k <= KindPrincipal; k++ {
		if k.primitive() {
			m[k.String()] = k
		}
	}
	return m
}()

func (p *typeParser) program() *Program {
	prog := new(Program)
	for p.tok.kind == tokID && p.err == nil {
		doc := p.tok.doc
		switch p.tok.s {
		case "import":
			p.fail("imports are not supported; put the definitions into one file")
		case "type":
			p.next()
			name := p.tok.s
			if p.tok.kind != tokID {
				p.fail("%v, want the name of a type", p.tok)
				return prog
			}
			if _, ok := primitiveNames[name]; ok {
				p.fail("type %s is built in", name)
			}
			if p.defs[name] != nil {
				p.fail("type %s is defined twice", name)
			}
			p.next()
			p.expect("=")
			t := p.typ()
			if p.err != nil {
				return prog
			}
			if t.Kind != kindName && t.Name == "" && !t.Kind.primitive() {
				t.Name = name
			}
			p.defs[name] = t
			prog.Types = append(prog.Types, TypeDef{name, t, doc})
			if p.tok.kind != tokEOF && !p.is(tokID, "service") { // published files omit it before the service
				p.expect(";")
			}
		case "service":
			p.next()
			p.service(prog)
			p.accept(";")
			return prog
		default:
			p.fail("%v, want type or service", p.tok)
		}
	}
	return prog
}

// service reads what follows the keyword: an optional name, then a constructor or a service type.
func (p *typeParser) service(prog *Program) {
	if p.tok.kind == tokID {
		prog.Name = p.tok.s
		p.next()
	}
	p.expect(":")
	if p.is(tokPunct, "(") {
		prog.Init, prog.HasInit = p.args(), true
		p.expect("->")
	}
	pos := p.tok.pos
	if p.tok.kind == tokID {
		prog.Service = p.name()
	} else {
		prog.Service = p.serviceBody()
	}
	p.funcs = append(p.funcs, methodUse{prog.Service, -1 - pos}) // negative: must be a service
}

func (p *typeParser) name() *Type {
	t := &Type{Kind: kindName, Name: p.tok.s}
	p.uses, p.at = append(p.uses, t), append(p.at, p.tok.pos)
	p.next()
	return t
}

func (p *typeParser) made(t *Type) *Type {
	p.all = append(p.all, t)
	return t
}

func (p *typeParser) typ() *Type {
	p.enter()
	defer p.leave()
	if p.tok.kind != tokID {
		p.fail("%v, want a type", p.tok)
		return Prim(KindEmpty)
	}
	if k, ok := primitiveNames[p.tok.s]; ok {
		p.next()
		return Prim(k)
	}
	switch p.tok.s {
	case "blob":
		p.next()
		return VecOf(Prim(KindNat8)) // fresh: a definition gives it a name
	case "opt":
		p.next()
		return p.made(OptOf(p.typ()))
	case "vec":
		p.next()
		return p.made(VecOf(p.typ()))
	case "record", "variant":
		kind := KindRecord
		if p.tok.s == "variant" {
			kind = KindVariant
		}
		pos := p.tok.pos
		p.next()
		return p.made(&Type{Kind: kind, Fields: p.fields(kind, pos)})
	case "func":
		p.next()
		return p.funcType()
	case "service":
		p.next()
		return p.serviceBody()
	case "type", "import":
		p.fail("%v, want a type", p.tok)
	}
	return p.name()
}

// fields reads { … } of a record or variant.
func (p *typeParser) fields(kind Kind, pos int) []Field {
	var fs []Field
	p.expect("{")
	nextID := uint64(0) // of a field without label: one more than its predecessor's
	for !p.is(tokPunct, "}") && p.err == nil {
		f := Field{}
		tok := p.tok
		labelled := false
		if tok.kind != tokPunct {
			save := *p.lexer
			p.next()
			labelled = p.accept(":")
			if !labelled && !(kind == KindVariant) {
				*p.lexer = save // it was a type
			}
		}
		switch {
		case labelled || kind == KindVariant:
			f.Name, f.ID = tok.s, Hash(tok.s)
			switch tok.kind {
			case tokNumber:
				id, ok := labelValue(tok.s)
				if !ok {
					p.failAt(tok.pos, ErrSyntax, "field id %s exceeds 32 bits", tok.s)
				}
				f.Name, f.ID = "", id
			case tokPunct, tokEOF:
				p.fail("%v, want a label", tok)
				return nil
			}
			if labelled {
				f.Type = p.typ()
			} else {
				f.Type = Prim(KindNull)
			}
		default:
			if nextID > 1<<32-1 {
				p.fail("field id exceeds 32 bits")
			}
			f.ID, f.Type = uint32(nextID), p.typ()
		}
		nextID = uint64(f.ID) + 1
		fs = append(fs, f)
		if !p.accept(";") && !p.is(tokPunct, "}") {
			p.fail("%v, want \";\" or \"}\"", p.tok)
		}
	}
	p.expect("}")
	sort.SliceStable(fs, func(i, j int) bool { return fs[i].ID < fs[j].ID })
	for i := 1; i < len(fs); i++ {
		if fs[i].ID == fs[i-1].ID {
			p.failAt(pos, ErrSyntax, "fields %s and %s have the same id", fs[i-1].Label(), fs[i].Label())
		}
	}
	return fs
}

// labelValue reads a field id in decimal or hexadecimal.
func labelValue(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 0, 32)
	if err != nil {
		n, err = strconv.ParseUint(s, 10, 32) // leading zeros
	}
	return uint32(n), err == nil
}

// args reads ( … ) of a function: types with optional names.
func (p *typeParser) args() []Arg {
	as := []Arg{}
	p.expect("(")
	for !p.is(tokPunct, ")") && p.err == nil {
		a := Arg{}
		if p.tok.kind == tokID || p.tok.kind == tokText {
			save := *p.lexer
			name := p.tok.s
			p.next()
			if p.accept(":") {
				a.Name = name
			} else {
				*p.lexer = save
			}
		}
		a.Type = p.typ()
		as = append(as, a)
		if !p.accept(",") && !p.is(tokPunct, ")") {
			p.fail("%v, want \",\" or \")\"", p.tok)
		}
	}
	p.expect(")")
	return as
}

func (p *typeParser) funcType() *Type {
	ft := &FuncType{Args: p.args()}
	p.expect("->")
	ft.Results = p.args()
	for p.tok.kind == tokID {
		mode := Update
		for m := Query; m <= CompositeQuery; m++ {
			if p.tok.s == m.String() {
				mode = m
			}
		}
		if mode == Update {
			p.fail("%v, want query, composite_query or oneway", p.tok)
		}
		if ft.Mode != Update {
			p.fail("a second annotation")
		}
		ft.Mode = mode
		p.next()
	}
	if ft.Mode == Oneway && len(ft.Results) > 0 {
		p.fail("a oneway function has no results")
	}
	return p.made(&Type{Kind: KindFunc, Func: ft})
}

func (p *typeParser) serviceBody() *Type {
	p.enter()
	defer p.leave()
	t := p.made(&Type{Kind: KindService})
	p.expect("{")
	for !p.is(tokPunct, "}") && p.err == nil {
		m := Method{Name: p.tok.s, Doc: p.tok.doc}
		pos := p.tok.pos
		if p.tok.kind == tokText {
			p.validText()
		} else if p.tok.kind == tokID {
			p.next()
		} else {
			p.fail("%v, want the name of a method", p.tok)
		}
		p.expect(":")
		if p.tok.kind == tokID {
			m.Type = p.name()
		} else {
			m.Type = p.funcType()
		}
		p.funcs = append(p.funcs, methodUse{m.Type, pos})
		t.Methods = append(t.Methods, m)
		if !p.accept(";") && !p.is(tokPunct, "}") {
			p.fail("%v, want \";\" or \"}\"", p.tok)
		}
	}
	end := p.tok.pos
	p.expect("}")
	sort.SliceStable(t.Methods, func(i, j int) bool { return t.Methods[i].Name < t.Methods[j].Name })
	for i := 1; i < len(t.Methods); i++ {
		if t.Methods[i].Name == t.Methods[i-1].Name {
			p.failAt(end, ErrSyntax, "method %s is declared twice", t.Methods[i].Name)
		}
	}
	return t
}

// resolve finds what every name stands for and puts it in its place.
func (p *typeParser) resolve() {
	// Each name is followed once: a name that stands for a name that was followed is known with it.
	for i, u := range p.uses {
		t := u
		var chain []string
		for t != nil && t.Kind == kindName {
			name := t.Name
			if known := p.known[name]; known != nil {
				t = known
				break
			}
			if len(chain) > len(p.defs) {
				p.failAt(p.at[i], ErrSyntax, "type %.60s is defined by nothing but itself", u.Name)
				return
			}
			chain = append(chain, name)
			t = p.defs[name]
			if t == nil && p.env != nil {
				t = p.env.Type(name)
			}
			if t == nil {
				p.failAt(p.at[i], ErrSyntax, "type %.60s is not defined", name)
				return
			}
		}
		for _, name := range chain {
			p.known[name] = t
		}
	}
	for _, t := range p.all {
		if t.Elem != nil {
			t.Elem = p.final(t.Elem)
		}
		for i := range t.Fields {
			t.Fields[i].Type = p.final(t.Fields[i].Type)
		}
		if t.Func != nil {
			p.finalArgs(t.Func.Args)
			p.finalArgs(t.Func.Results)
		}
		for i := range t.Methods {
			t.Methods[i].Type = p.final(t.Methods[i].Type)
		}
	}
	for _, m := range p.funcs {
		t, pos, want := p.final(m.t), m.pos, KindFunc
		if pos < 0 {
			pos, want = -1-pos, KindService
		}
		if t.Kind != want {
			p.failAt(pos, ErrSyntax, "%s is not a %s", describe(t), want)
			return
		}
	}
}

func (p *typeParser) final(t *Type) *Type {
	if t.Kind == kindName {
		return p.known[t.Name]
	}
	return t
}

func (p *typeParser) finalArgs(as []Arg) {
	for i := range as {
		as[i].Type = p.final(as[i].Type)
	}
}

var errNoService = fmt.Errorf("%w: the file declares no service", ErrSyntax)

// ParseService reads an interface file and returns its service type; a file without one is an error.
func ParseService(src string) (*Type, error) {
	p, err := ParseDID(src)
	if err != nil {
		return nil, err
	}
	if p.Service == nil {
		return nil, errNoService
	}
	return p.Service, nil
}
