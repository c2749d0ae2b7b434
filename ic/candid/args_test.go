package candid

import (
	"errors"
	"strings"
	"testing"
)

const transferDID = `
type Account = record { owner : principal; subaccount : opt blob };
type Step = variant { Pay : record { to : Account; amounts : vec nat8 }; Wait };
service : { transfer : (record { to : Account; amount : nat; memo : opt blob }) -> ();
  run : (vec Step, note : opt text) -> (); pair : (record { nat; text }, bool) -> () query }`

func TestParseArgs(t *testing.T) {
	prog, err := ParseDID(transferDID)
	if err != nil {
		t.Fatal(err)
	}
	typesOf := func(method string) (ts []*Type) {
		for _, a := range prog.Service.Method(method).Type.Func.Args {
			ts = append(ts, a.Type)
		}
		return ts
	}
	for _, c := range []struct{ method, src, want string }{
		{"transfer", `(record { to = record { owner = principal "2vxsx-fae" }; amount = 1_000 })`,
			`(record { to = record { owner = principal "2vxsx-fae"; subaccount = null }; memo = null; amount = 1_000 : nat })`},
		{"run", `(vec { variant { Wait }; variant { Pay = record { to = record { owner = principal "aaaaa-aa" }; amounts = vec { 1; 255 } } } })`,
			`(vec {
    variant { Wait };
    variant {
      Pay = record {
        to = record { owner = principal "aaaaa-aa"; subaccount = null };
        amounts = blob "\01\ff";
      }
    };
  }, null)`},
		{"run", `vec {}, "x"`, `(vec {}, opt "x")`},
		{"pair", `record { 1; "x" }, true`, `(record { 1 : nat; "x" }, true)`},
		{"pair", `(record { 1; "x" }), (true)`, `(record { 1 : nat; "x" }, true)`},
		{"pair", `(record { 1; "x" }, true,)`, `(record { 1 : nat; "x" }, true)`},
	} {
		vs, err := ParseArgs(c.src, typesOf(c.method))
		if err != nil {
			t.Errorf("%s: %v", c.src, err)
			continue
		}
		squeeze := func(s string) string {
			return strings.NewReplacer("( ", "(", "; }", " }", ", )", ")", " )", ")").Replace(strings.Join(strings.Fields(s), " "))
		}
		if got := FormatValues(vs); squeeze(got) != squeeze(c.want) {
			t.Errorf("%s is read as %s, want %s", c.src, got, c.want)
		}
		if _, err := Encode(typesOf(c.method), vs); err != nil {
			t.Errorf("%s: %v", c.src, err)
		}
	}
	for _, c := range []struct {
		method, src string
		kind        error
		line, col   int
		what        string
	}{
		{"transfer", ``, ErrType, 1, 1, "0 arguments, want 1 argument"},
		{"transfer", `(1, 2)`, ErrType, 1, 5, "2 arguments, want 1 argument"},
		{"transfer", `(5)`, ErrType, 1, 2, "argument 1: number is not record"},
		{"transfer", "(record {\n  to = record { owner = \"2vxsx-fae\" };\n  amount = 1 })", ErrType, 2, 25, "argument 1.to.owner: text is not principal"},
		{"transfer", `(record { to = record { owner = principal "2vxsx-fae" }; amount = -1 })`, ErrType, 1, 67, "argument 1.amount: -1 is out of range of nat"},
		{"transfer", `(record { amount = 1 })`, ErrType, 1, 2, "argument 1: record lacks field to"},
		{"transfer", `(record { to = record { owner = principal "2vxsx-fae" }; amount = 1; meno = blob "x" })`, ErrType, 1, 77,
			"argument 1.meno: record has no field meno; it has "},
		{"run", `(vec { variant { Wait }; variant { Pay = record { to = record { owner = principal "aaaaa-aa" }; amounts = vec { 1; 256 } } } })`,
			ErrType, 1, 116, "argument 1[1].Pay.amounts[1]: 256 is out of range of nat8"},
		{"run", `(vec { variant { Wiat } })`, ErrType, 1, 8, "argument 1[0]: variant has no alternative Wiat; it has "},
		{"run", `(vec {}, opt 5)`, ErrType, 1, 14, "argument 2: number is not text"},
		{"pair", `(record { 1; (2) }, true)`, ErrType, 1, 15, "argument 1.1: number is not text"},
		{"pair", `(record { 1; "x" }, true`, ErrSyntax, 1, 25, "end of text"},
		{"pair", `record { 1; "x" }, true)`, ErrSyntax, 1, 24, `")"`},
		{"pair", `(record { 1; "x" } true)`, ErrSyntax, 1, 20, `"true", want ","`},
	} {
		_, err := ParseArgs(c.src, typesOf(c.method))
		line, col, ok := SyntaxPosition(err)
		if !errors.Is(err, c.kind) || !ok || line != c.line || col != c.col || !strings.Contains(err.Error(), c.what) {
			t.Errorf("%s: %v, want %v at %d:%d: %s", c.src, err, c.kind, c.line, c.col, c.what)
		}
	}
}

// Names keep the text of types that double with each definition as short as the definitions are.
func TestFormatTypesIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("type T0 = record { a : nat; b : nat };\n")
	last := "T0"
	for i := range 60 {
		next := "T" + strings.Repeat("x", i+1)
		b.WriteString("type " + next + " = record { a : " + last + "; b : " + last + " };\n")
		last = next
	}
	b.WriteString("service : { f : (" + last + ") -> (" + last + ") }")
	prog, err := ParseDID(b.String())
	if err != nil {
		t.Fatal(err)
	}
	m := prog.Service.Method("f")
	for _, s := range []string{FormatTypes(m.Type.Func.Args), FormatMethod(m), prog.String()} {
		if len(s) > 2*b.Len() {
			t.Errorf("%d bytes for an interface of %d", len(s), b.Len())
		}
	}
	if got := FormatMethod(m); got != "f : ("+last+") -> ("+last+")" {
		t.Errorf("the method is shown as %s", got)
	}
}

func FuzzParseArgs(f *testing.F) {
	f.Add(transferDID, "run", `(vec { variant { Wait }; variant { Pay = record { to = record { owner = principal "aaaaa-aa" }; amounts = vec { 1; 256 } } } })`)
	f.Add(transferDID, "pair", `record { 1; (2) }, true : bool`)
	f.Add(`type A = opt A; service : { f : (A, vec A) -> () }`, "f", `opt opt null, vec { (opt 5) }`)
	f.Fuzz(func(t *testing.T, did, method, src string) {
		prog, err := ParseDID(did)
		if err != nil || prog.Service == nil {
			return
		}
		m := prog.Service.Method(method)
		if m == nil {
			return
		}
		var types []*Type
		for _, a := range m.Type.Func.Args {
			types = append(types, a.Type)
		}
		if s := FormatTypes(m.Type.Func.Args); len(s) > 2*maxDepth*len(did)+1000 { // indentation alone can be that deep
			t.Fatalf("types of %d bytes are shown in %d", len(did), len(s))
		}
		vs, err := ParseArgs(src, types)
		if err != nil {
			if line, col, ok := SyntaxPosition(err); ok && (line < 1 || col < 1 || line > 1+strings.Count(src, "\n") || col > len(src)+1) {
				t.Fatalf("%v is outside of %q", err, src)
			}
			return
		}
		b, err := Encode(types, vs)
		if err != nil {
			t.Fatalf("%q does not encode: %v", src, err)
		}
		if _, err := DecodeAs(b, types); err != nil && !errors.Is(err, ErrLimit) {
			t.Fatalf("%q encodes to %x: %v", src, b, err)
		}
	})
}
