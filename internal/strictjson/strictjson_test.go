package strictjson

import (
	"strings"
	"testing"
)

func TestUnmarshal(t *testing.T) {
	for doc, want := range map[string]string{
		`{"A":1}`:                           "",
		" {\"A\":1}\n":                      "",
		`{"A":1,"B":2}`:                     `unknown field "B"`,
		`{"A":1}{"A":1}`:                    "something follows",
		`{"A":1}}`:                          "something follows",
		`{"A":1}]`:                          "something follows",
		`{"A":1} x`:                         "something follows",
		`{"A":"1"}`:                         "cannot unmarshal",
		`{"A":1`:                            "unexpected EOF",
		"":                                  "EOF",
		strings.Repeat(" ", 30) + `{"A":1}`: "37 bytes, at most 32",
	} {
		var v struct{ A int }
		err := Unmarshal([]byte(doc), 32, &v)
		switch {
		case want == "" && (err != nil || v.A != 1):
			t.Errorf("%q: %v, %+v", doc, err, v)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: %v, want %q", doc, err, want)
		}
	}
}
