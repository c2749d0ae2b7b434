package candid

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"fusion/ic/principal"
)

func TestInterfaceFilesParseAndRenderBack(t *testing.T) {
	files, _ := filepath.Glob("testdata/did/*.did")
	if d := os.Getenv("CANDID_DID"); d != "" {
		more, _ := filepath.Glob(filepath.Join(d, "*.did"))
		files = append(files, more...)
	}
	if len(files) < 10 {
		t.Fatalf("only %d files", len(files))
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p, err := ParseDID(string(src))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		again, err := ParseDID(p.String())
		if err != nil {
			t.Errorf("%s rendered does not parse: %v\n%s", file, err, p)
			continue
		}
		if p.Service == nil {
			continue
		}
		for _, pair := range [][2]*Type{{p.Service, again.Service}, {again.Service, p.Service}} {
			if err := SubtypeStrict(pair[0], pair[1]); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
		rendered, err := ParseDID(RenderService(p.Service, p.Init))
		if err != nil {
			t.Errorf("%s: RenderService: %v", file, err)
		} else if err := SubtypeStrict(rendered.Service, p.Service); err != nil {
			t.Errorf("%s: RenderService: %v", file, err)
		}
	}
}

func TestParseDID(t *testing.T) {
	p, err := ParseDID(`
// A file comment, which belongs to nothing.

// The account.
type Account = record { owner : principal; subaccount : opt blob };
type A = Account; /* another /* nested */ name */
type Pair = record { nat; text; 7 : bool; int };
type F = func (a : Account, nat) -> (opt Pair) composite_query;
type S = service { "übung" : F };
service ledger : (opt A, name : text) -> {
  /// Sends.
  /// Really.
  send : (Account) -> (variant { Ok : nat; Err : text; "odd name"; 3 }) ;
  f : F;
  note : (text) -> () oneway
}`)
	if err != nil {
		t.Fatal(err)
	}
	if p.Type("A") != p.Type("Account") || p.Type("A").Name != "Account" || p.Types[0].Doc != "The account." {
		t.Errorf("types are %+v", p.Types)
	}
	if got := p.Type("Pair").String(); got != "record { 0 : nat; 1 : text; 7 : bool; 8 : int }" {
		t.Errorf("Pair is %s", got)
	}
	if m := p.Service.Method("send"); m == nil || m.Doc != "Sends.\nReally." || len(m.Type.Func.Results[0].Type.Fields) != 4 {
		t.Errorf("send is %+v", m)
	}
	if m := p.Service.Method("f"); m == nil || m.Type != p.Type("F") || m.Type.Func.Mode != CompositeQuery {
		t.Errorf("f is %+v", m)
	}
	if p.Name != "ledger" || !p.HasInit || len(p.Init) != 2 || p.Init[1].Name != "name" {
		t.Errorf("service is %q %+v", p.Name, p.Init)
	}
}

func TestParseDIDSaysWhatIsWrong(t *testing.T) {
	for src, want := range map[string]string{
		`import "other.did";`:                      "imports are not supported",
		`type A = B;`:                              "1:10: type B is not defined",
		`type A = B; type B = A;`:                  "defined by nothing but itself",
		`type A = nat; type A = text;`:             "defined twice",
		"type A = record { a : nat;\n a : text };": "fields a and a have the same id",
		`type A = record { 4294967296 : nat }`:     "exceeds 32 bits",
		`service : { f : T }; type T = nat;`:       "unexpected",
		`type T = nat; service : { f : T }`:        "nat is not a func",
		`type T = func () -> (); service : T`:      "T is not a service",
		`service : { f : () -> (nat) oneway }`:     "oneway function has no results",
		`service : { f : () -> () query oneway }`:  "second annotation",
		`service : { f : () -> (); f : () -> () }`: "declared twice",
		`/* open`: "not closed",
		`type A = ` + strings.Repeat("opt ", 1000) + "nat": "nested deeper",
		`type A = record { ` + "\xff" + ` : nat }`:         "UTF-8",
		`type nat = text`:                                      "built in",
		`service : { f : (nat) -> (nat) `:                      "end of text",
		`type A = variant { a : nat : text }`:                  "want",
		"service : {\n  f : (nat) ->\n  nat }":                 "3:3",
		`type A = record { a = nat }`:                          "want",
		`service : { f : (nat) -> (nat) composite_quer }`:      "want query",
		`type A = record { "\ff" : nat }`:                      "",
		`type vec = nat`:                                       "",
		`type A = vec vec`:                                     "",
		`type B = record { principal : nat; query : text };  `: "-",
	} {
		_, err := ParseDID(src)
		if want == "-" || want == "" {
			continue // accepted or not, it must not panic
		}
		if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, ErrSyntax) && !errors.Is(err, ErrLimit) {
			t.Errorf("%.60s: got %v, want %q", src, err, want)
		}
	}
}

func mustTypes(t *testing.T, src string, env *Program) []*Type {
	t.Helper()
	ts, err := ParseTypes(src, env)
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

func TestSubtype(t *testing.T) {
	env, err := ParseDID(`
type List = opt record { head : int; tail : List };
type NatList = opt record { head : nat; tail : NatList };
type Rec = record { Rec };
type Loop = opt Loop;
type Tree = variant { leaf : nat; node : vec Tree };
type BigTree = variant { leaf : int; node : vec BigTree; none };`)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		sub, super   string
		loose, stric bool
	}{
		{"nat", "int", true, true},
		{"int", "nat", false, false},
		{"nat8", "nat", false, false},
		{"record { a : nat; b : text }", "record { a : int }", true, true},
		{"record {}", "record { a : opt int }", true, true},
		{"record {}", "record { a : int }", false, false},
		{"variant { a }", "variant { a; b }", true, true},
		{"variant { a; b }", "variant { a }", false, false},
		{"opt nat", "opt text", true, false},
		{"nat", "opt nat", true, true},
		{"nat", "opt text", true, false},
		{"null", "opt text", true, true},
		{"vec nat", "vec opt int", true, true},
		{"NatList", "List", true, true},
		{"List", "NatList", true, false},
		{"Tree", "BigTree", true, true},
		{"BigTree", "Tree", false, false},
		{"Rec", "record { record { Rec } }", true, true},
		{"bool", "Loop", true, false},
		{"func (int) -> (nat)", "func (nat) -> (int)", true, true},
		{"func (nat) -> (nat)", "func (int) -> (nat)", false, false},
		{"func () -> () query", "func () -> ()", false, false},
		{"func (opt nat) -> (nat, text)", "func () -> (nat)", true, true},
		{"service { a : () -> (); b : () -> () }", "service { a : () -> () }", true, true},
		{"service { a : () -> () }", "principal", true, true},
		{"principal", "service {}", false, false},
		{"text", "reserved", true, true},
		{"reserved", "opt nat", true, false},
		{"empty", "text", true, true},
	} {
		sub, super := mustTypes(t, "("+c.sub+")", env)[0], mustTypes(t, "("+c.super+")", env)[0]
		if err := Subtype(sub, super); (err == nil) != c.loose {
			t.Errorf("%s <: %s: %v", c.sub, c.super, err)
		}
		if err := SubtypeStrict(sub, super); (err == nil) != c.stric {
			t.Errorf("strict %s <: %s: %v", c.sub, c.super, err)
		}
	}
	sub := mustTypes(t, "(service { transfer : (record { to : record { owner : text } }) -> (nat) })", nil)[0]
	super := mustTypes(t, "(service { transfer : (record { to : record { owner : principal } }) -> (nat) })", nil)[0]
	err = Subtype(sub, super)
	var where *SubtypeError
	if !errors.As(err, &where) || where.Path != ".transfer argument 0.to.owner" || where.Reason != "principal is not text" {
		t.Errorf("got %v", err)
	}
}

// Two mutually recursive families of n types would need n² steps, and their product is bounded.
func TestSubtypeOfHugeTypesEnds(t *testing.T) {
	ring := func(n int, last *Type) *Type {
		nodes := make([]Type, n)
		for i := range nodes {
			nodes[i] = Type{Kind: KindRecord, Fields: []Field{{ID: 0, Type: &nodes[(i+1)%n]}, {ID: 1, Type: last}}}
		}
		return &nodes[0]
	}
	start := time.Now()
	err := Subtype(ring(9973, Prim(KindNat)), ring(9967, Prim(KindInt)))
	if !errors.Is(err, ErrLimit) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}

type callback struct{ Func }

func (callback) CandidSignature() Signature {
	return Signature{Args: []reflect.Type{reflect.TypeFor[uint64]()}, Results: []reflect.Type{reflect.TypeFor[page]()}, Mode: Query}
}

type page struct {
	Next *callback `candid:"next"`
}

func TestRecursiveCallback(t *testing.T) {
	want, err := ParseDID(`type P = record { next : opt func (nat64) -> (P) query };`)
	if err != nil {
		t.Fatal(err)
	}
	got := MustTypeFor[page]()
	if err := SubtypeStrict(got, want.Type("P")); err != nil {
		t.Error(err)
	}
	b := MustMarshal(page{Next: &callback{Func{principal.FromUint64(1), "next"}}})
	var p page
	if err := Unmarshal(b, &p); err != nil || p.Next == nil || p.Next.Method != "next" {
		t.Errorf("%+v, %v", p, err)
	}
	vs, err := DecodeAs(b, []*Type{want.Type("P")})
	if err != nil || FormatValues(vs) != `(record { next = opt func "rrkah-fqaaa-aaaaa-aaaaq-cai".next })` {
		t.Errorf("%v, %v", FormatValues(vs), err)
	}
}

// A chain of names is followed in linear time, whatever its order.
func TestParseDIDLongChain(t *testing.T) {
	var forward, backward strings.Builder
	const n = 40_000
	for i := range n {
		fmt.Fprintf(&forward, "type T%d = T%d;\n", i, i+1)
		fmt.Fprintf(&backward, "type T%d = T%d;\n", n-1-i, n-i)
	}
	end := fmt.Sprintf("type T%d = record { nat };\nservice : { f : (T0) -> () }", n)
	for _, src := range []string{forward.String() + end, backward.String() + end} {
		p, err := ParseDID(src) // following each name anew would take a minute
		if err != nil {
			t.Fatal(err)
		}
		if k := p.Service.Method("f").Type.Func.Args[0].Type.Kind; k != KindRecord {
			t.Errorf("T0 is %v", k)
		}
	}
}
