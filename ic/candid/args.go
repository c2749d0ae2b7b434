package candid

import (
	"errors"
	"fmt"
	"strings"
)

// ParseArgs reads the textual form of an argument list at the types of a method, and returns values that are exactly of these
// types, for Encode. It is for what people type: the parentheses around the list may be left out, arguments at the end that may
// be null too, and a field that the type does not have is an error rather than dropped. Errors name the line and column at which
// the text goes wrong, and the place in the value.
func ParseArgs(src string, types []*Type) ([]Value, error) {
	l, err := newLexer(src)
	if err != nil {
		return nil, err
	}
	l.argument = make([]int, 0, len(types))
	vs, end := l.arguments()
	if l.err != nil {
		return nil, l.err
	}
	if len(vs) > len(types) {
		l.failAt(l.argument[len(types)], ErrType, "%s, want %s", count(len(vs)), count(len(types)))
		return nil, l.err
	}
	for i, t := range types {
		if i >= len(vs) {
			if !t.mayBeAbsent() {
				l.failAt(end, ErrType, "%s, want %s", count(len(vs)), count(len(types)))
				return nil, l.err
			}
			vs = append(vs[:i:i], absentValue(t))
			continue
		}
		v, err := coercer{strict: true}.coerce(vs[i], t, 0)
		if err != nil {
			where := fmt.Sprintf("argument %d", i+1) + err.where()
			l.failAt(locate(src, l.argument[i], err.path), err.kind, "%s: %s", where, err.reason)
			return nil, l.err
		}
		vs[i] = v
	}
	return vs, nil
}

func count(n int) string {
	if n == 1 {
		return "1 argument"
	}
	return fmt.Sprintf("%d arguments", n)
}

// arguments reads an argument list, with or without parentheses, to the end of the text. It notes where each argument starts and
// returns where another could stand.
func (l *lexer) arguments() (vs []Value, end int) {
	closing := tokenKind(tokEOF)
	// Parentheses around the whole are those of the list; otherwise they belong to the first of its values.
	if save := *l; l.accept("(") {
		for depth := 1; depth > 0 && l.tok.kind != tokEOF; l.next() {
			switch {
			case l.is(tokPunct, "("):
				depth++
			case l.is(tokPunct, ")"):
				depth--
			}
		}
		whole := l.err != nil || l.tok.kind == tokEOF
		*l = save
		if whole {
			l.next()
			closing = tokPunct
		}
	}
	done := func() bool {
		return closing == tokEOF && l.tok.kind == tokEOF || closing == tokPunct && l.is(tokPunct, ")")
	}
	for !done() && l.err == nil {
		l.argument = append(l.argument, l.tok.pos)
		vs = append(vs, l.annotated())
		if !l.accept(",") && !done() {
			l.fail("%v, want \",\" or the end of the arguments", l.tok)
		}
	}
	end = l.tok.pos
	if closing == tokPunct {
		l.expect(")")
	}
	if l.tok.kind != tokEOF {
		l.fail("unexpected %v", l.tok)
	}
	return vs, end
}

// locate finds the position of the value to which a path leads from the value at pos. Where the text has no such value, as
// for a field that is missing, it is the position of the innermost one around it. The text is known to parse.
func locate(src string, pos int, path []step) int {
	l := &lexer{src: src, pos: pos}
	l.next()
	for i := len(path) - 1; ; i-- {
		for l.accept("(") || l.is(tokID, "opt") {
			if l.is(tokID, "opt") {
				l.next()
			}
		}
		pos = l.tok.pos
		if i < 0 || !l.enterPart(path[i]) {
			return pos
		}
	}
}

// enterPart moves from the start of a value to the start of a part of it.
func (l *lexer) enterPart(s step) bool {
	kind := l.tok.s
	if l.tok.kind != tokID || kind != "vec" && kind != "record" && kind != "variant" {
		return false
	}
	l.next()
	l.expect("{")
	for i, id := 0, uint32(0); !l.is(tokPunct, "}") && l.err == nil; i++ {
		switch kind {
		case "vec":
			if s.label == "" && i == s.elem {
				return true
			}
		default:
			tok, save := l.tok, *l
			l.next()
			if l.accept("=") {
				id = l.label(tok).ID
			} else if kind == "record" {
				*l = save
			} else {
				return false // an alternative without payload
			}
			if s.label != "" && id == s.id {
				return true
			}
			id++
		}
		l.annotated()
		l.accept(";")
	}
	return false
}

// SyntaxPosition finds the line and column, from 1, that an error of ParseArgs, ParseValues, ParseTypes or ParseDID names.
func SyntaxPosition(err error) (line, column int, ok bool) {
	var e *textError
	if !errors.As(err, &e) {
		return 0, 0, false
	}
	return e.line, e.column, true
}

// textError is an error at a place of a text.
type textError struct {
	kind         error
	line, column int
	reason       string
}

func newTextError(src string, pos int, kind error, reason string) *textError {
	pos = min(pos, len(src))
	return &textError{kind, 1 + strings.Count(src[:pos], "\n"), pos - strings.LastIndexByte(src[:pos], '\n'), reason}
}

func (e *textError) Error() string {
	return fmt.Sprintf("%v at %d:%d: %s", e.kind, e.line, e.column, e.reason)
}

func (e *textError) Unwrap() error { return e.kind }

// FormatTypes returns an argument list of types as written in a .did file. Types that have a name appear by it inside of others, so that the
// text is no longer than what the types were read from.
func FormatTypes(args []Arg) string {
	p := typePrinter{named: true, open: map[*Type]bool{}}
	parts := make([]string, len(args))
	for i, a := range args {
		parts[i] = p.body(a.Type)
		if a.Name != "" {
			parts[i] = label(a.Name) + " : " + parts[i]
		}
	}
	one := "(" + strings.Join(parts, ", ") + ")"
	if len(one) <= lineWidth && !strings.Contains(one, "\n") || len(parts) == 0 {
		return one
	}
	return "(" + indent(parts, ",") + "\n)"
}

// FormatMethod returns a method as it stands in the service of a .did file.
func FormatMethod(m *Method) string {
	p := typePrinter{named: true, open: map[*Type]bool{}}
	return label(m.Name) + " : " + p.signature(m.Type)
}
