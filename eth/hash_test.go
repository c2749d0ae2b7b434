package eth

import (
	"errors"
	"strings"
	"testing"
)

func TestHash(t *testing.T) {
	const text = "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470" // of nothing (yellow paper)
	h := Hash(Keccak256())
	if h.String() != text {
		t.Errorf("the hash of nothing is %s", h)
	}
	for _, s := range []string{text, "0x" + strings.ToUpper(text[2:])} {
		if got, err := ParseHash(s); err != nil || got != h {
			t.Errorf("%s: %s, %v", s, got, err)
		}
	}
	var back Hash
	if b, err := h.MarshalText(); err != nil || back.UnmarshalText(b) != nil || back != h {
		t.Errorf("marshalled: %s, %v", b, err)
	}
	for _, bad := range []string{"", "0x", text[2:], text + "0", "0X" + text[2:], strings.Replace(text, "c5", "g5", 1)} {
		if _, err := ParseHash(bad); !errors.Is(err, ErrHash) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
