package candid

import (
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"fusion/ic/principal"
)

// ParseValues reads the textual form of an argument list, such as (record { amount = 10 : nat }, opt "x"). Numbers without annotation are Int or
// float64; give the result to Encode or Coerce with the wanted types.
func ParseValues(src string) ([]Value, error) {
	l, err := newLexer(src)
	if err != nil {
		return nil, err
	}
	vs := l.values()
	if l.tok.kind != tokEOF {
		l.fail("unexpected %v", l.tok)
	}
	if l.err != nil {
		return nil, l.err
	}
	return vs, nil
}

// ParseValue reads the textual form of one value.
func ParseValue(src string) (Value, error) {
	l, err := newLexer(src)
	if err != nil {
		return nil, err
	}
	v := l.annotated()
	if l.tok.kind != tokEOF {
		l.fail("unexpected %v", l.tok)
	}
	if l.err != nil {
		return nil, l.err
	}
	return v, nil
}

func (l *lexer) values() []Value {
	vs := []Value{}
	l.expect("(")
	for !l.is(tokPunct, ")") && l.err == nil {
		vs = append(vs, l.annotated())
		if !l.accept(",") && !l.is(tokPunct, ")") {
			l.fail("%v, want \",\" or \")\"", l.tok)
		}
	}
	l.expect(")")
	return vs
}

// annotated reads a value and an optional type after it.
func (l *lexer) annotated() Value {
	l.enter()
	defer l.leave()
	pos := l.tok.pos
	v := l.value()
	if !l.accept(":") {
		return v
	}
	tp := newTypeParser(l)
	t := tp.typ()
	if l.err == nil {
		tp.resolve()
	}
	if l.err != nil {
		return Null{}
	}
	c, err := Coerce(v, tp.final(t))
	if err != nil {
		l.failAt(pos, ErrSyntax, "%v", err)
		return Null{}
	}
	return c
}

func (l *lexer) value() Value {
	tok := l.tok
	switch tok.kind {
	case tokText:
		return l.validText()
	case tokNumber:
		l.next()
		return l.numberValue(tok)
	case tokPunct:
		if l.accept("(") { // a value in parentheses
			v := l.annotated()
			l.expect(")")
			return v
		}
	case tokID:
		l.next()
		switch tok.s {
		case "null":
			return Null{}
		case "true", "false":
			return tok.s == "true"
		case "opt":
			l.enter()
			defer l.leave()
			return Some{l.value()}
		case "vec":
			return l.vecValue()
		case "record":
			return l.recordValue()
		case "variant":
			l.expect("{")
			f := l.caseValue()
			l.accept(";")
			l.expect("}")
			return Case(f)
		case "blob":
			b := Blob(l.tok.s)
			if l.tok.kind != tokText {
				l.fail("%v, want text", l.tok)
			}
			l.next()
			return b
		case "principal":
			return l.principalValue()
		case "service":
			return Service{l.principalValue()}
		case "func":
			f := Func{Principal: l.principalValue()}
			l.expect(".")
			if l.tok.kind == tokID {
				f.Method = l.tok.s
				l.next()
			} else {
				f.Method = l.validText()
			}
			return f
		case "inf", "nan":
			return map[string]float64{"inf": math.Inf(1), "nan": math.NaN()}[tok.s]
		}
	}
	l.failAt(tok.pos, ErrSyntax, "%v, want a value", tok)
	return Null{}
}

func (l *lexer) numberValue(tok token) Value {
	hex := strings.Contains(tok.s, "0x") || strings.Contains(tok.s, "0X")
	if !hex && strings.ContainsAny(tok.s, ".eE") {
		f, err := strconv.ParseFloat(tok.s, 64)
		if err != nil {
			l.failAt(tok.pos, ErrSyntax, "number %.40s: out of range", tok.s)
		}
		return f
	}
	i, err := ParseInt(tok.s)
	if err != nil {
		l.failAt(tok.pos, ErrSyntax, "malformed number")
	}
	return i
}

func (l *lexer) principalValue() principal.Principal {
	tok := l.tok
	p, err := principal.Parse(l.validText())
	if err != nil && l.err == nil {
		l.failAt(tok.pos, ErrSyntax, "%v", err)
	}
	return p
}

func (l *lexer) vecValue() Value {
	vec := Vec{}
	l.expect("{")
	for !l.is(tokPunct, "}") && l.err == nil {
		vec = append(vec, l.annotated())
		if !l.accept(";") && !l.is(tokPunct, "}") {
			l.fail("%v, want \";\" or \"}\"", l.tok)
		}
	}
	l.expect("}")
	return vec
}

func (l *lexer) recordValue() Value {
	pos := l.tok.pos
	rec := Record{}
	nextID := uint64(0)
	l.expect("{")
	for !l.is(tokPunct, "}") && l.err == nil {
		tok := l.tok
		labelled := false
		var f FieldValue
		if tok.kind != tokPunct {
			save := *l
			l.next()
			if labelled = l.accept("="); !labelled {
				*l = save
			}
		}
		if labelled {
			f = l.label(tok)
		} else {
			f.ID = uint32(nextID)
			if nextID > math.MaxUint32 {
				l.fail("field id exceeds 32 bits")
			}
		}
		f.Value = l.annotated()
		nextID = uint64(f.ID) + 1
		rec = append(rec, f)
		if !l.accept(";") && !l.is(tokPunct, "}") {
			l.fail("%v, want \";\" or \"}\"", l.tok)
		}
	}
	l.expect("}")
	sort.SliceStable(rec, func(i, j int) bool { return rec[i].ID < rec[j].ID })
	for i := 1; i < len(rec); i++ {
		if rec[i].ID == rec[i-1].ID {
			l.failAt(pos, ErrSyntax, "two fields have the id %d", rec[i].ID)
		}
	}
	return rec
}

func (l *lexer) label(tok token) FieldValue {
	switch tok.kind {
	case tokNumber:
		id, ok := labelValue(tok.s)
		if !ok {
			l.failAt(tok.pos, ErrSyntax, "field id %.40s exceeds 32 bits", tok.s)
		}
		return FieldValue{ID: id}
	case tokID, tokText:
		if utf8.ValidString(tok.s) {
			return FieldValue{ID: Hash(tok.s), Name: tok.s}
		}
	}
	l.failAt(tok.pos, ErrSyntax, "%v, want a label", tok)
	return FieldValue{}
}

func (l *lexer) caseValue() FieldValue {
	tok := l.tok
	l.next()
	f := l.label(tok)
	f.Value = Null{}
	if l.accept("=") {
		f.Value = l.annotated()
	}
	return f
}

// lineWidth is where the printer breaks records, variants and vecs into several lines.
const lineWidth = 100

// FormatValues returns the textual form of an argument list.
func FormatValues(vs []Value) string {
	parts := make([]string, len(vs))
	for i, v := range vs {
		parts[i] = FormatValue(v)
	}
	one := "(" + strings.Join(parts, ", ") + ")"
	if len(one) <= lineWidth && !strings.Contains(one, "\n") || len(vs) == 0 {
		return one
	}
	return "(" + indent(parts, ",") + "\n)"
}

// FormatValue returns the textual form of a value, which ParseValue reads back. Numbers carry their type, except int.
func FormatValue(v Value) string {
	switch x := v.(type) {
	case nil, Null:
		return "null"
	case Reserved:
		return "null : reserved"
	case bool:
		return strconv.FormatBool(x)
	case Int:
		return group(x.String())
	case Nat:
		return group(x.String()) + " : nat"
	case float32:
		return formatFloat(float64(x), 32) + " : float32"
	case float64:
		return formatFloat(x, 64) + " : float64"
	case string:
		return quote(x)
	case principal.Principal:
		return "principal " + quote(x.String())
	case Service:
		return "service " + quote(x.Principal.String())
	case Func:
		return "func " + quote(x.Principal.String()) + "." + label(x.Method)
	case Some:
		inner := FormatValue(x.Value)
		if annotatedText(x.Value) {
			inner = "(" + inner + ")"
		}
		return "opt " + inner
	case Blob:
		return "blob " + quoteBytes(x)
	case Vec:
		parts := make([]string, len(x))
		for i, e := range x {
			parts[i] = FormatValue(e)
		}
		return "vec " + braces(parts)
	case Record:
		parts := make([]string, len(x))
		tuple := true
		for i, f := range x {
			tuple = tuple && f.Name == "" && f.ID == uint32(i)
		}
		for i, f := range x {
			parts[i] = FormatValue(f.Value)
			if !tuple {
				parts[i] = fieldLabel(f) + " = " + parts[i]
			}
		}
		return "record " + braces(parts)
	case Case:
		s := fieldLabel(FieldValue(x))
		if _, unit := x.Value.(Null); !unit {
			s += " = " + FormatValue(x.Value)
		}
		return "variant " + braces([]string{s})
	}
	if k, ok := fixedKind(v); ok {
		return group(fmt.Sprint(v)) + " : " + k.String()
	}
	return fmt.Sprintf("%v", v)
}

// annotatedText reports whether the text of v ends in an annotation, which opt would not take in.
func annotatedText(v Value) bool {
	switch v.(type) {
	case Nat, Reserved:
		return true
	}
	_, fixed := fixedKind(v)
	return fixed
}

func braces(parts []string) string {
	if len(parts) == 0 {
		return "{}"
	}
	one := "{ " + strings.Join(parts, "; ") + " }"
	if len(one) <= lineWidth && !strings.Contains(one, "\n") {
		return one
	}
	return "{" + indent(parts, ";") + "\n}"
}

func indent(parts []string, sep string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("\n  ")
		b.WriteString(strings.ReplaceAll(p, "\n", "\n  ")) // texts hold no line breaks: these are escaped
		b.WriteString(sep)
	}
	return b.String()
}

// group puts an underscore between groups of three digits.
func group(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	var b strings.Builder
	for i := range len(s) {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte('_')
		}
		b.WriteByte(s[i])
	}
	return sign + b.String()
}

func formatFloat(f float64, bits int) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-1e999" // the grammar has no name for it; reads back as an error, which is better than a wrong number
	}
	s := strconv.FormatFloat(f, 'g', -1, bits)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case !strconv.IsPrint(r): // control characters, which a terminal would obey, and marks that turn or hide text
			fmt.Fprintf(&b, `\u{%x}`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func quoteBytes(bs []byte) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range bs {
		if c >= 0x20 && c < 0x7f && c != '"' && c != '\\' {
			b.WriteByte(c)
		} else {
			b.WriteByte('\\')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
	b.WriteByte('"')
	return b.String()
}

func fieldLabel(f FieldValue) string {
	if f.Name == "" {
		return strconv.FormatUint(uint64(f.ID), 10)
	}
	return label(f.Name)
}

// keywords may not stand as labels without quotes.
var keywords = map[string]bool{"type": true, "import": true, "service": true, "func": true, "opt": true, "vec": true, "record": true,
	"variant": true, "blob": true, "query": true, "oneway": true, "composite_query": true, "null": true, "true": true, "false": true,
	"inf": true, "nan": true}

func label(s string) string {
	plain := s != "" && isIDStart(s[0]) && !keywords[s]
	if _, prim := primitiveNames[s]; prim {
		plain = false
	}
	for i := range len(s) {
		plain = plain && (isIDStart(s[i]) || isDigit(s[i]))
	}
	if plain {
		return s
	}
	return quote(s)
}

// String returns the type as written in a .did file. Types with a name appear by it (except at the top), as do types that contain themselves: these get
// a name of their position. Program.String also shows what the names stand for.
func (t *Type) String() string {
	p := typePrinter{open: map[*Type]bool{}}
	return p.body(t)
}

type typePrinter struct {
	named bool // every named type by its name
	open  map[*Type]bool
}

func (p *typePrinter) ref(t *Type) string {
	if t.Name != "" && (p.named || p.open[t]) {
		return t.Name
	}
	if p.open[t] {
		return "…" // an anonymous cycle has no finite form
	}
	return p.body(t)
}

func (p *typePrinter) body(t *Type) string {
	if t.Kind.primitive() || t.Kind == KindFuture {
		return t.Kind.String()
	}
	p.open[t] = true
	defer delete(p.open, t)
	if len(p.open) > maxDepth {
		return "…"
	}
	switch t.Kind {
	case KindOpt:
		return "opt " + p.ref(t.Elem)
	case KindVec:
		if t.Elem.Kind == KindNat8 {
			return "blob"
		}
		return "vec " + p.ref(t.Elem)
	case KindRecord, KindVariant:
		parts := make([]string, len(t.Fields))
		tuple := t.Kind == KindRecord
		for i, f := range t.Fields {
			tuple = tuple && f.Name == "" && f.ID == uint32(i)
		}
		for i, f := range t.Fields {
			s := fieldLabel(FieldValue{ID: f.ID, Name: f.Name})
			switch {
			case tuple:
				s = p.ref(f.Type)
			case t.Kind == KindVariant && f.Type.Kind == KindNull:
			default:
				s += " : " + p.ref(f.Type)
			}
			parts[i] = s
		}
		return t.Kind.String() + " " + braces(parts)
	case KindFunc:
		return "func " + p.signature(t)
	}
	parts := make([]string, len(t.Methods))
	for i, m := range t.Methods {
		if p.open[m.Type] || p.named && m.Type.Name != "" {
			parts[i] = label(m.Name) + " : " + p.ref(m.Type)
			continue
		}
		p.open[m.Type] = true
		parts[i] = label(m.Name) + " : " + p.signature(m.Type)
		delete(p.open, m.Type)
	}
	return "service " + braces(parts)
}

func (p *typePrinter) signature(t *Type) string {
	s := p.args(t.Func.Args) + " -> " + p.args(t.Func.Results)
	if t.Func.Mode != Update {
		s += " " + t.Func.Mode.String()
	}
	return s
}

func (p *typePrinter) args(as []Arg) string {
	parts := make([]string, len(as))
	for i, a := range as {
		parts[i] = p.ref(a.Type)
		if a.Name != "" {
			parts[i] = label(a.Name) + " : " + parts[i]
		}
	}
	return "(" + strings.Join(parts, ", ") + ")"
}

// String returns the program as an interface file, without its comments.
func (p *Program) String() string {
	tp := typePrinter{named: true, open: map[*Type]bool{}}
	var b strings.Builder
	for _, d := range p.Types {
		body := ""
		if d.Type.Name == d.Name {
			body = tp.body(d.Type)
		} else {
			body = tp.ref(d.Type) // another name for a type
		}
		fmt.Fprintf(&b, "type %s = %s;\n", d.Name, body)
	}
	if p.Service != nil {
		b.WriteString("service ")
		if p.Name != "" {
			b.WriteString(p.Name + " ")
		}
		b.WriteString(": ")
		if p.HasInit {
			b.WriteString(tp.args(p.Init) + " -> ")
		}
		if p.Service.Name != "" {
			b.WriteString(p.Service.Name)
		} else {
			b.WriteString(strings.TrimPrefix(tp.body(p.Service), "service "))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// RenderService returns an interface file for a service type and the arguments of its constructor (nil: none), defining every named type they
// use. Distinct types of one name, as two Go packages may have, are told apart by a number.
func RenderService(service *Type, init []Arg) string {
	prog := &Program{Service: service, Init: init, HasInit: init != nil}
	c := namer{prog: prog, copies: map[*Type]*Type{}, taken: map[string]int{}}
	prog.Init = c.args(init)
	prog.Service = c.copy(service)
	return prog.String()
}

// RenderArgs returns a list of types as text, after definitions of every named type they use.
func RenderArgs(args []Arg) string {
	prog := &Program{}
	c := namer{prog: prog, copies: map[*Type]*Type{}, taken: map[string]int{}}
	args = c.args(args)
	return prog.String() + (&typePrinter{named: true, open: map[*Type]bool{}}).args(args)
}

// namer copies a graph of types, giving distinct types distinct names.
type namer struct {
	prog   *Program
	copies map[*Type]*Type
	taken  map[string]int
}

func (c *namer) args(as []Arg) []Arg {
	out := make([]Arg, len(as))
	for i, a := range as {
		out[i] = Arg{a.Name, c.copy(a.Type)}
	}
	return out
}

func (c *namer) copy(t *Type) *Type {
	if t.Kind.primitive() {
		return t
	}
	if n := c.copies[t]; n != nil {
		return n
	}
	n := &Type{Kind: t.Kind, Name: identifier(t.Name)}
	c.copies[t] = n
	if t.Kind == KindFunc || t.Kind == KindService && t.Name == "" {
		n.Name = ""
	}
	if n.Name != "" {
		c.taken[n.Name]++
		if k := c.taken[n.Name]; k > 1 {
			n.Name += "_" + strconv.Itoa(k)
			c.taken[n.Name]++
		}
		c.prog.Types = append(c.prog.Types, TypeDef{Name: n.Name, Type: n})
	}
	if t.Elem != nil {
		n.Elem = c.copy(t.Elem)
	}
	for _, f := range t.Fields {
		f.Type = c.copy(f.Type)
		n.Fields = append(n.Fields, f)
	}
	if t.Func != nil {
		n.Func = &FuncType{c.args(t.Func.Args), c.args(t.Func.Results), t.Func.Mode}
	}
	for _, m := range t.Methods {
		m.Type = c.copy(m.Type)
		n.Methods = append(n.Methods, m)
	}
	return n
}

// identifier makes a Go type name a Candid one: those of generic types hold brackets.
func identifier(s string) string {
	if s == "" {
		return ""
	}
	var b strings.Builder
	for i := range len(s) {
		if isIDStart(s[i]) || isDigit(s[i]) {
			b.WriteByte(s[i])
		} else {
			b.WriteByte('_')
		}
	}
	if _, prim := primitiveNames[b.String()]; prim || keywords[b.String()] {
		b.WriteByte('_')
	}
	return b.String()
}
