package candid

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fusion/ic/principal"
)

func TestFormatAndParseValues(t *testing.T) {
	for _, c := range []struct{ in, out string }{
		{`(1_000_000 : nat64, -5, 0xff : nat8)`, `(1_000_000 : nat64, -5, 255 : nat8)`},
		{`(record { b = true; a = opt null; 1 = "x\n\u{1}\"" })`, `(record { 1 = "x\n\u{1}\""; a = opt null; b = true })`},
		{`(record { 1; "two"; vec { 3 } })`, `(record { 1; "two"; vec { 3 } })`},
		{`(variant { Ok = blob "a\00\ff" }, variant { unit })`, `(variant { Ok = blob "a\00\ff" }, variant { unit })`},
		{`(1.5, -2e10 : float64, 3 : float32)`, `(1.5 : float64, -2e+10 : float64, 3.0 : float32)`},
		{`(principal "aaaaa-aa", func "aaaaa-aa"."raw rand", service "2vxsx-fae")`, `(principal "aaaaa-aa", func "aaaaa-aa"."raw rand", service "2vxsx-fae")`},
		{`(opt (5 : nat), (7 : reserved), vec {1;2} : vec nat8)`, `(opt (5 : nat), null : reserved, blob "\01\02")`},
		{`()`, `()`},
	} {
		vs, err := ParseValues(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		got := FormatValues(vs)
		if got != c.out {
			t.Errorf("%s is shown as %s, want %s", c.in, got, c.out)
		}
		again, err := ParseValues(got)
		if err != nil || len(again) != len(vs) {
			t.Errorf("%s: %v", got, err)
			continue
		}
		for i := range vs {
			if !Equal(vs[i], again[i]) {
				t.Errorf("%s reads back as %s", got, FormatValue(again[i]))
			}
		}
	}
	long := "(record { text = \"" + strings.Repeat("x", 120) + "\" })"
	vs, err := ParseValues(long)
	if err != nil {
		t.Fatal(err)
	}
	if got := FormatValues(vs); strings.Count(got, "\n") < 3 {
		t.Errorf("a long record stays in one line: %s", got)
	}
}

func TestParseValuesSaysWhatIsWrong(t *testing.T) {
	for src, want := range map[string]string{
		`(1`:                         "end of text",
		`(300 : nat8)`:               "out of range of nat8",
		`(-1 : nat)`:                 "out of range of nat",
		`("a" : nat)`:                "text is not nat",
		`(record { a = 1; a = 2 })`:  "two fields",
		`(principal "nonsense")`:     "principal",
		`(variant {})`:               "want a label",
		"(\n foo)":                   "2:2",
		`("\q")`:                     "unknown escape",
		`(blob "\f")`:                "unknown escape",
		`("` + `\` + `ff")`:          "UTF-8",
		`(1e999)`:                    "out of range",
		strings.Repeat("(", 100_000): "nested deeper",
		"(" + strings.Repeat("opt ", 100_000) + "1)": "nested deeper",
		`(0x)`: "malformed", `(12ab)`: "malformed",
	} {
		if _, err := ParseValues(src); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: got %v, want %q", src, err, want)
		}
	}
}

func TestEncodeFromText(t *testing.T) {
	prog, err := ParseDID(`type Account = record { owner : principal; subaccount : opt blob };
service : { icrc1_transfer : (record { to : Account; amount : nat; memo : opt blob }) -> () }`)
	if err != nil {
		t.Fatal(err)
	}
	vs, err := ParseValues(`(record { to = record { owner = principal "2vxsx-fae" }; amount = 10; extra = 1 })`)
	if err != nil {
		t.Fatal(err)
	}
	arg := prog.Service.Method("icrc1_transfer").Type.Func.Args[0].Type
	b, err := Encode([]*Type{arg}, vs)
	if err != nil {
		t.Fatal(err)
	}
	var got transferArg
	if err := Unmarshal(b, &got); err != nil || got.Amount.Cmp(NatFromUint64(10)) != 0 || got.To.Owner != principal.Anonymous || got.Memo != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := Encode([]*Type{arg}, []Value{Record{}}); !errors.Is(err, ErrType) {
		t.Errorf("missing fields: %v", err)
	}
	back, types, err := Decode(b)
	if err != nil || len(types) != 1 {
		t.Fatal(err)
	}
	if c, err := Coerce(back[0], arg); err != nil || !Equal(c, mustCoerce(t, vs[0], arg)) {
		t.Errorf("%s, %v", FormatValue(c), err)
	}
}

func mustCoerce(t *testing.T, v Value, ty *Type) Value {
	t.Helper()
	c, err := Coerce(v, ty)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// genTyped draws a type and a value of it.
func genTyped(rt *rapid.T, depth int) (*Type, Value) {
	kinds := []Kind{KindNull, KindBool, KindNat, KindInt, KindNat8, KindNat32, KindNat64, KindInt8, KindInt64, KindFloat64, KindText, KindReserved, KindPrincipal}
	if depth > 0 {
		kinds = append(kinds, KindOpt, KindVec, KindRecord, KindVariant, KindOpt, KindVec, KindRecord, KindVariant)
	}
	k := rapid.SampledFrom(kinds).Draw(rt, "kind")
	switch k {
	case KindNull:
		return Prim(k), Null{}
	case KindReserved:
		return Prim(k), Reserved{}
	case KindBool:
		return Prim(k), rapid.Bool().Draw(rt, "bool")
	case KindNat:
		n := NatFromUint64(rapid.Uint64().Draw(rt, "nat"))
		for range rapid.IntRange(0, 3).Draw(rt, "doublings") {
			n = NatFromBig(n.Big().Mul(n.Big(), n.Big()))
		}
		return Prim(k), n
	case KindInt:
		i := IntFromInt64(rapid.Int64().Draw(rt, "int"))
		for range rapid.IntRange(0, 3).Draw(rt, "triplings") {
			b := i.Big()
			i = IntFromBig(b.Mul(b, b).Mul(b, i.Big()))
		}
		return Prim(k), i
	case KindFloat64:
		return Prim(k), rapid.Float64().Draw(rt, "float")
	case KindText:
		return Prim(k), rapid.String().Draw(rt, "text")
	case KindPrincipal:
		return Prim(k), principal.MustFromBytes(rapid.SliceOfN(rapid.Byte(), 0, 29).Draw(rt, "principal"))
	case KindOpt:
		e, v := genTyped(rt, depth-1)
		if rapid.Bool().Draw(rt, "some") {
			return OptOf(e), Some{v}
		}
		return OptOf(e), Null{}
	case KindVec:
		e, v := genTyped(rt, depth-1)
		vec := Vec{}
		for range rapid.IntRange(0, 3).Draw(rt, "length") {
			vec = append(vec, v)
		}
		return VecOf(e), vec
	case KindRecord, KindVariant:
		var fs []Field
		var vs []FieldValue
		for i := range rapid.IntRange(1, 4).Draw(rt, "fields") {
			e, v := genTyped(rt, depth-1)
			f := Named(string(rune('a'+i)), e)
			fs, vs = append(fs, f), append(vs, FieldValue{f.ID, f.Name, v})
		}
		if k == KindRecord {
			return RecordOf(fs...), Record(vs)
		}
		return VariantOf(fs...), Case(vs[rapid.IntRange(0, len(vs)-1).Draw(rt, "case")])
	}
	return Prim(k), fixedValue(k, rapid.Uint64().Draw(rt, "fixed"))
}

func TestRandomValuesSurviveBothForms(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ty, v := genTyped(rt, 4)
		b, err := Encode([]*Type{ty}, []Value{v})
		if err != nil {
			rt.Fatal(err)
		}
		got, err := DecodeAs(b, []*Type{ty})
		if err != nil || !Equal(got[0], v) {
			rt.Fatalf("%s at %s became %v, %v", FormatValue(v), ty, got, err)
		}
		own, types, err := Decode(b)
		if err != nil || SubtypeStrict(types[0], ty) != nil || SubtypeStrict(ty, types[0]) != nil {
			rt.Fatalf("%s declares itself as %v (%v)", ty, types, err)
		}
		if again, err := Encode(types, own); err != nil || !bytes.Equal(again, b) {
			rt.Fatalf("encoded again: %x, %v; want %x", again, err, b)
		}
		text := FormatValue(v)
		if strings.Contains(text, "1e999") || strings.Contains(text, "nan") || strings.Contains(text, "inf") {
			return // floats that text cannot name
		}
		parsed, err := ParseValue(text)
		if err != nil {
			rt.Fatalf("%s: %v", text, err)
		}
		if c, err := Coerce(parsed, ty); err != nil || !Equal(c, v) {
			rt.Fatalf("%s reads back as %v, %v", text, c, err)
		}
	})
}

// A record type that doubles twenty times holds 2^20 nulls in no bytes at all.
func TestExponentialTypeIsRefusedEarly(t *testing.T) {
	ty := RecordOf(Field{ID: 0, Type: Prim(KindNull)}, Field{ID: 1, Type: Prim(KindNull)})
	for range 20 {
		ty = RecordOf(Field{ID: 0, Type: ty}, Field{ID: 1, Type: ty})
	}
	data := append(appendHeader(nil, []*Type{VecOf(OptOf(ty))}), 2, 1, 1)
	start := time.Now()
	for _, into := range []any{new([]*struct{}), new(Reserved), new(*Nat)} {
		if err := Unmarshal(data, into); !errors.Is(err, ErrLimit) {
			t.Errorf("into %T: %v", into, err)
		}
	}
	if err := Unmarshal(data); !errors.Is(err, ErrLimit) {
		t.Errorf("unused: %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(MustMarshal(sampleTransfer()))
	f.Add(MustMarshal(list{Head: IntFromInt64(-1)}, transferResult{Ok: new(Nat)}))
	f.Add([]byte("DIDL\x01\x6d\x7f\x01\x00\x80\x94\xeb\xdc\x03"))
	f.Add([]byte("DIDL\x02\x6a\x01\x71\x01\x7d\x00\x69\x01\x03foo\x00\x01\x01\x01\x00"))
	f.Add([]byte("DIDL\x01\x67\x03ABC\x02\x00\x7e\x05\x00hello\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var a transferArg
		var l list
		var r *transferResult
		_ = Unmarshal(data, &a)
		_ = Unmarshal(data, &l, &r)
		vs, types, err := Decode(data)
		if err != nil {
			return
		}
		for i := range types {
			if types[i].Kind == KindFuture || strings.Contains(types[i].String(), "future") {
				return // read, but not written
			}
		}
		again, err := Encode(types, vs)
		if err != nil {
			t.Fatalf("%x: %v", data, err)
		}
		if _, err := DecodeAs(again, types); err != nil {
			t.Fatalf("%x became %x: %v", data, again, err)
		}
	})
}

func FuzzParseDID(f *testing.F) {
	f.Add("type A = record { a : opt A; 1 : vec blob }; service x : (A) -> { m : (A, n : nat) -> (variant { b; c : A }) query }")
	f.Add("// doc\ntype F = func () -> () oneway; service : { \"f\" : F };")
	f.Add("type A = B; type B = A;")
	f.Fuzz(func(t *testing.T, src string) {
		p, err := ParseDID(src)
		if err != nil {
			return
		}
		if len(src) < 2000 {
			_ = p.String()
		}
		if p.Service != nil {
			if err := Subtype(p.Service, p.Service); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzParseValues(f *testing.F) {
	f.Add(`(record { a = 1 : nat; b = opt "x\u{2603}"; 7 = vec { 1.5; blob "\ff" } }, variant { c = null }, func "aaaaa-aa".m)`)
	f.Add(`(-0x1_0, +5, inf)`)
	f.Fuzz(func(t *testing.T, src string) {
		vs, err := ParseValues(src)
		if err != nil {
			return
		}
		text := FormatValues(vs)
		if strings.Contains(text, "1e999") || strings.Contains(text, "nan") {
			return
		}
		if _, err := ParseValues(text); err != nil {
			t.Fatalf("%q is shown as %q: %v", src, text, err)
		}
	})
}
