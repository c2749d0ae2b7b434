package candid

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestConformance runs the language-neutral decoding tests of the Candid project: those kept in testdata and, if CANDID_CONFORMANCE names a
// directory, every *.test.did there too.
func TestConformance(t *testing.T) {
	dirs := []string{"testdata/conformance", "testdata/own"}
	if d := os.Getenv("CANDID_CONFORMANCE"); d != "" {
		dirs = append(dirs, d)
	}
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.test.did"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no test files in %s (%v)", dir, err)
		}
		total := 0
		for _, file := range files {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			t.Run(filepath.Base(file), func(t *testing.T) { n = runTestFile(t, string(src)) })
			code := blockComment.ReplaceAllString(string(src), "")
			if want := strings.Count("\n"+code, "\nassert "); n != want {
				t.Errorf("%s: %d assertions ran, the file has %d", file, n, want)
			}
			total += n
		}
		t.Logf("%s: %d assertions", dir, total)
	}
}

var blockComment = regexp.MustCompile(`(?s)/\*.*?\*/`)

// runTestFile runs the assertions of a file and returns their number.
func runTestFile(t *testing.T, src string) int {
	l, err := newLexer(src)
	if err != nil {
		t.Fatal(err)
	}
	tp := newTypeParser(l)
	prog := new(Program)
	count := 0
	for l.tok.kind != tokEOF {
		if l.is(tokID, "type") {
			single := newTypeParser(l)
			single.defs = tp.defs
			part := single.program1()
			prog.Types = append(prog.Types, part)
			tp.uses, tp.at, tp.all = append(tp.uses, single.uses...), append(tp.at, single.at...), append(tp.all, single.all...)
			continue
		}
		if !l.is(tokID, "assert") {
			t.Fatalf("unexpected %v (%v)", l.tok, l.err)
		}
		l.next()
		a := parseAssertion(l, tp)
		if l.err != nil {
			t.Fatal(l.err)
		}
		count++
		a.run(t)
	}
	if l.err != nil {
		t.Fatal(l.err)
	}
	return count
}

// program1 reads one type definition.
func (p *typeParser) program1() TypeDef {
	p.next()
	name := p.tok.s
	p.next()
	p.expect("=")
	t := p.typ()
	if t.Kind != kindName && !t.Kind.primitive() && t.Name == "" {
		t.Name = name
	}
	p.defs[name] = t
	p.expect(";")
	return TypeDef{Name: name, Type: t}
}

type input struct {
	binary bool
	s      string
}

func parseInput(l *lexer) input {
	in := input{}
	if l.is(tokID, "blob") {
		in.binary = true
		l.next()
	}
	in.s = l.tok.s
	if l.tok.kind != tokText {
		l.fail("%v, want text", l.tok)
	}
	l.next()
	return in
}

func (in input) read(types []*Type) ([]Value, error) {
	if in.binary {
		return DecodeAs([]byte(in.s), types)
	}
	vs, err := ParseValues(in.s)
	if err != nil {
		return nil, err
	}
	if len(vs) > len(types) {
		vs = vs[:len(types)]
	}
	out := make([]Value, len(types))
	for i, t := range types {
		if i >= len(vs) {
			if !t.mayBeAbsent() {
				return nil, fmt.Errorf("argument %d is missing", i)
			}
			out[i] = absentValue(t)
			continue
		}
		if out[i], err = Coerce(vs[i], t); err != nil {
			return nil, err
		}
	}
	return out, nil
}

type assertion struct {
	left, right input
	op          string // ":", "!:", "==", "!="
	types       []*Type
	what        string
}

func parseAssertion(l *lexer, tp *typeParser) assertion {
	a := assertion{left: parseInput(l), op: l.tok.s}
	switch {
	case l.accept(":"), l.accept("!:"):
	case l.accept("=="), l.accept("!="):
		a.right = parseInput(l)
		l.expect(":")
	default:
		l.fail("%v, want an operator", l.tok)
	}
	args := tp.args()
	if l.err == nil {
		tp.resolve()
		tp.finalArgs(args)
	}
	for _, x := range args {
		a.types = append(a.types, x.Type)
	}
	a.what = fmt.Sprintf("%.60q", a.left.s)
	if l.tok.kind == tokText {
		a.what += " " + l.tok.s
		l.next()
	}
	l.expect(";")
	return a
}

func (a assertion) run(t *testing.T) {
	t.Helper()
	start := time.Now()
	left, err := a.left.read(a.types)
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("%s: took %v", a.what, took)
	}
	switch a.op {
	case ":":
		if err != nil {
			t.Errorf("%s: %v", a.what, err)
		}
	case "!:":
		if err == nil {
			t.Errorf("%s: read as %s, want an error", a.what, FormatValues(left))
		}
	default:
		right, rerr := a.right.read(a.types)
		if err != nil || rerr != nil {
			t.Errorf("%s: %v, %v", a.what, err, rerr)
			return
		}
		equal := len(left) == len(right)
		for i := range left {
			equal = equal && Equal(left[i], right[i])
		}
		if equal != (a.op == "==") {
			t.Errorf("%s: %s %s %s is not so", a.what, FormatValues(left), a.op, FormatValues(right))
		}
	}
	if a.left.binary {
		a.runTyped(t, err)
	}
}
