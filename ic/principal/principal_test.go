package principal

import (
	"errors"
	"strings"
	"testing"
)

func TestKnownText(t *testing.T) {
	for _, c := range []struct {
		text string
		raw  []byte
	}{
		{"aaaaa-aa", nil},
		{"2vxsx-fae", []byte{4}},
		{"em77e-bvlzu-aq", []byte{0xab, 0xcd, 0x01}}, // the worked example of the interface specification
	} {
		p := MustParse(c.text)
		if string(p.Bytes()) != string(c.raw) || p.String() != c.text {
			t.Errorf("%s: got %x, %s", c.text, p.Bytes(), p)
		}
	}
	if n, ok := MustParse("mqygn-kiaaa-aaaar-qaadq-cai").Uint64(); !ok || FromUint64(n).String() != "mqygn-kiaaa-aaaar-qaadq-cai" {
		t.Errorf("canister id does not survive its number: %d %v", n, ok)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]error{
		"":                            ErrMalformed,
		"aaaaa":                       ErrMalformed,
		"AAAAA-AA":                    ErrMalformed,
		"aaaaaaa":                     ErrMalformed,
		"2vxsx-fa":                    ErrMalformed,
		"2vxsx-fbe":                   ErrChecksum,
		strings.Repeat("a", 64):       ErrTooLong,
		"em77e-bvlzu-a1":              ErrMalformed,
		"mqygn-kiaaa-aaaar-qaadq-caj": ErrMalformed,
	} {
		if _, err := Parse(text); !errors.Is(err, want) && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrChecksum) {
			t.Errorf("Parse(%q) = %v, want %v", text, err, want)
		}
	}
	if _, err := FromBytes(make([]byte, 30)); !errors.Is(err, ErrTooLong) {
		t.Errorf("30 bytes: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"aaaaa-aa", "2vxsx-fae", "em77e-bvlzu-aq", "x", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := Parse(s)
		if err == nil && p.String() != s {
			t.Fatalf("%q parsed to %s", s, p)
		}
	})
}
