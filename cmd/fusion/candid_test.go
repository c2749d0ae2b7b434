package main

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"fusion/ic/candid"
	"fusion/ic/principal"
)

func TestJSON(t *testing.T) {
	nat, err := candid.ParseNat("340282366920938463463374607431768211456")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		value candid.Value
		want  string
	}{
		{nat, `"340282366920938463463374607431768211456"`}, {uint32(7), `7`}, {uint64(1 << 60), `"1152921504606846976"`}, {true, `true`},
		{math.Inf(-1), `"-Inf"`}, {float32(0.1), `0.1`}, {math.NaN(), `"NaN"`}, {"<a>\n", `"<a>\n"`}, {candid.Null{}, `null`},
		{candid.Some{Value: candid.Null{}}, "[\n  null\n]"}, {candid.Blob{0, 255}, `"00ff"`}, {candid.Vec{}, `[]`}, {candid.Record{}, `{}`},
		{principal.Management, `"aaaaa-aa"`}, {candid.Func{Method: "m"}, `"aaaaa-aa.m"`},
		{candid.Case{ID: 5, Value: candid.Null{}}, "{\n  \"5\": null\n}"},
	} {
		got, err := valuesJSON([]candid.Value{c.value})
		if err != nil || got != c.want {
			t.Errorf("%s is %s, %v; want %s", candid.FormatValue(c.value), got, err, c.want)
		}
	}
	if got, err := valuesJSON(nil); got != "null" || err != nil {
		t.Errorf("no values are %s, %v", got, err)
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain\n\ttext äöü ₿": "plain\n\ttext äöü ₿", "\x1b[31mred": `\u{1b}[31mred`, "a\u202eb": `a\u{202e}b`, "a\xffb": `a\ffb`, "\u009b0m": `\u{9b}0m`,
		"\r": `\u{d}`,
	} {
		if got := printable(in); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("\x1b]0;title\a\xff\u202e\uFFFD")
	f.Fuzz(func(t *testing.T, s string) {
		got := printable(s)
		if !utf8.ValidString(got) {
			t.Fatalf("%q is shown as %q", s, got)
		}
		for _, r := range got {
			if r != '\n' && r != '\t' && !strconv.IsPrint(r) {
				t.Fatalf("%q is shown as %q", s, got)
			}
		}
		if printable(got) != got {
			t.Fatalf("%q changes again", got)
		}
	})
}

func TestSuggest(t *testing.T) {
	names := []string{"icrc1_balance_of", "icrc1_transfer", "icrc2_transfer_from"}
	for name, want := range map[string]string{
		"icrc1_transfr": "did you mean icrc1_transfer? it has icrc1_b", "ICRC1_TRANSFER": "did you mean icrc1_transfer? ", "burn": "it has icrc1_b",
	} {
		if got := suggest(name, names); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := suggest("x", nil); got != "it has none" {
		t.Error(got)
	}
	if got := suggest("x", make([]string, 10_000)); len(got) > 1000 {
		t.Errorf("%d bytes", len(got))
	}
}

// An error shows its place also in lines of other characters than ASCII, and in long ones only the part around it.
func TestPointed(t *testing.T) {
	types := []*candid.Type{candid.Prim(candid.KindText), candid.Prim(candid.KindNat)}
	for _, text := range []string{`("äöü₿", "x")`, "(\n\"a\",\n\t\"x\")", `("` + strings.Repeat("é", 5000) + `", "x", ` + strings.Repeat(" ", 5000) + `)`} {
		_, err := candid.ParseArgs(text, types)
		lines := strings.Split(pointed(text, err).Error(), "\n")
		if len(lines) != 3 || len(lines[1]) > 500 {
			t.Fatalf("%q", lines)
		}
		mark := utf8.RuneCountInString(lines[2]) - 1
		if src := []rune(lines[1]); src[mark] != '"' || src[mark+1] != 'x' {
			t.Errorf("the mark is wrong:\n%s", strings.Join(lines, "\n"))
		}
	}
	if err := errors.New("elsewhere"); pointed("x", err) != err {
		t.Error("an error without a place is changed")
	}
}
