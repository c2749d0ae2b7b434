package cbor

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"testing"

	fx "github.com/fxamacker/cbor/v2"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What is written is what a general library writes in its preferred form.
func TestWriterAgreesWithLibrary(t *testing.T) {
	for _, n := range []uint64{0, 1, 23, 24, 255, 256, 65535, 65536, math.MaxUint32, math.MaxUint32 + 1, math.MaxUint64} {
		want, err := fx.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		got := AppendUint(nil, n)
		if !bytes.Equal(got, want) {
			t.Errorf("%d: %x, want %x", n, got, want)
		}
		if back, err := NewReader(got).Uint(); err != nil || back != n {
			t.Errorf("%d reads back as %d, %v", n, back, err)
		}
	}
	for _, size := range []int{0, 1, 23, 24, 255, 256, 70000} {
		b := bytes.Repeat([]byte("x"), size)
		wantB, _ := fx.Marshal(b)
		wantT, _ := fx.Marshal(string(b))
		if !bytes.Equal(AppendBytes(nil, b), wantB) || !bytes.Equal(AppendText(nil, string(b)), wantT) {
			t.Errorf("strings of %d bytes differ", size)
		}
	}
	want, _ := fx.Marshal(map[string][]uint64{"a": {1, 2}})
	got := AppendUint(AppendUint(AppendArray(AppendText(AppendMap(nil, 1), "a"), 2), 1), 2)
	if !bytes.Equal(got, want) {
		t.Errorf("map: %x, want %x", got, want)
	}
}

func TestReaderAcceptsEveryForm(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want uint64
	}{
		"short":            {"05", 5},
		"over-long":        {"1b0000000000000005", 5},
		"bignum":           {"c24105", 5},
		"bignum with zero": {"c249000102030405060708", 0x0102030405060708},
	} {
		if got, err := NewReader(unhex(t, c.in)).Uint(); err != nil || got != c.want {
			t.Errorf("%s: %d, %v", name, got, err)
		}
	}
	var keys []string
	r := NewReader(unhex(t, "d9d9f7bf6161018161629f0203ffff")) // indefinite map, wrong second key
	r.SelfDescribe()
	err := r.Map(func(k []byte) error { keys = append(keys, string(k)); return r.Skip() })
	if !errors.Is(err, ErrType) || len(keys) != 1 {
		t.Errorf("array as key: %v after %v", err, keys)
	}
	r = NewReader(unhex(t, "bf61610161629f0203ffff"))
	keys = nil
	if err := r.Map(func(k []byte) error { keys = append(keys, string(k)); return r.Skip() }); err != nil || len(keys) != 2 || r.End() != nil {
		t.Errorf("indefinite map: %v, %v", err, keys)
	}
}

func TestReaderRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want error
	}{
		"nothing":              {"", ErrTruncated},
		"cut head":             {"19ff", ErrTruncated},
		"cut string":           {"5affffffff00", ErrTruncated},
		"huge string":          {"5bffffffffffffffff00", ErrTruncated},
		"huge array":           {"9bffffffffffffffff00", ErrTruncated},
		"cut indefinite array": {"9f00", ErrTruncated},
		"reserved head":        {"1c", ErrMalformed},
		"stray break":          {"ff", ErrMalformed},
		"indefinite string":    {"5f4101ff", ErrMalformed},
		"not utf-8":            {"62c328", ErrMalformed},
		"deep":                 {string(bytes.Repeat([]byte("81"), 100)) + "00", ErrTooDeep},
	} {
		if err := NewReader(unhex(t, c.in)).Skip(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := NewReader(unhex(t, "c249010203040506070809")).Uint(); !errors.Is(err, ErrRange) {
		t.Errorf("72-bit number: %v", err)
	}
	if _, err := NewReader(unhex(t, "20")).Uint(); !errors.Is(err, ErrType) {
		t.Errorf("negative number: %v", err)
	}
}

// Skip accepts nothing that a general library calls malformed.
func TestIntegersOfEitherSign(t *testing.T) {
	for _, n := range []int64{0, 1, -1, -24, -25, 255, -256, -257, math.MaxInt64, math.MinInt64} {
		want, err := fx.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		if got := AppendInt(nil, n); !bytes.Equal(got, want) {
			t.Errorf("%d: %x, want %x", n, got, want)
		}
		if got, err := NewReader(want).Int(); err != nil || got != n {
			t.Errorf("%d reads back as %d, %v", n, got, err)
		}
	}
	for in, want := range map[string]error{"": ErrTruncated, "1bffffffffffffffff": ErrRange, "3bffffffffffffffff": ErrRange, "3f": ErrMalformed, "41": ErrType} {
		if _, err := NewReader(unhex(t, in)).Int(); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", in, err, want)
		}
	}
	var keys []int64
	r := NewReader(unhex(t, "a301020326200f"))
	err := r.IntMap(func(key int64) error { keys = append(keys, key); return r.Skip() })
	if err != nil || len(keys) != 3 || keys[0] != 1 || keys[1] != 3 || keys[2] != -1 {
		t.Errorf("keys %v, %v", keys, err)
	}
	if err := NewReader(unhex(t, "a1616102")).IntMap(func(int64) error { return nil }); !errors.Is(err, ErrType) {
		t.Errorf("text key: %v", err)
	}
}

func FuzzSkip(f *testing.F) {
	for _, s := range []string{"00", "d9d9f7a1616100", "bf61610161629f0203ffff", "5f4101ff", "f97e00", "fb3ff0000000000000", "c24105"} {
		b, _ := hex.DecodeString(s)
		f.Add(b)
	}
	dec, err := fx.DecOptions{MaxNestedLevels: MaxDepth + 1}.DecMode()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(b)
		if r.Skip() != nil {
			return
		}
		if err := dec.Wellformed(b[:r.Offset()]); err != nil {
			var tooMany *fx.MaxArrayElementsError
			var tooManyPairs *fx.MaxMapPairsError
			if !errors.As(err, &tooMany) && !errors.As(err, &tooManyPairs) {
				t.Fatalf("%x: skipped, but %v", b, err)
			}
		}
	})
}
