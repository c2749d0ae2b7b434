package codec

import (
	"bytes"
	"testing"
)

type sample struct {
	A uint64
	B []byte
	C map[string]uint32 `cbor:",omitempty"`
}

func TestRoundTripIsDeterministic(t *testing.T) {
	v := sample{7, []byte{1}, map[string]uint32{"x": 1, "a": 2, "bb": 3}}
	b := Marshal(v)
	for range 20 {
		if !bytes.Equal(b, Marshal(v)) {
			t.Fatal("two encodings of one value differ")
		}
	}
	var w sample
	if err := Unmarshal(b, &w); err != nil || w.A != 7 || w.C["bb"] != 3 {
		t.Fatalf("%+v, %v", w, err)
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	good := Marshal(sample{A: 1})
	for name, b := range map[string][]byte{
		"trailing byte":     append(bytes.Clone(good), 0),
		"truncated":         good[:len(good)-1],
		"duplicate key":     {0xa2, 0x61, 'A', 1, 0x61, 'A', 2},
		"unknown key":       {0xa1, 0x61, 'Z', 1},
		"indefinite length": {0xbf, 0x61, 'A', 1, 0xff},
		"huge byte string":  {0xa1, 0x61, 'B', 0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"tag":               {0xc1, 0xa0},
	} {
		var v sample
		if err := Unmarshal(b, &v); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add(Marshal(sample{1, []byte("x"), map[string]uint32{"k": 1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var v sample
		_ = Unmarshal(b, &v)
	})
}
