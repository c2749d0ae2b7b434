package sha256_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"testing"

	std "crypto/sha256"

	"fusion/cdk/ic0host"
	"fusion/cdk/link"
	"fusion/cdk/sha256"
	"fusion/ic/principal"
)

// The block function that the linker writes agrees with the standard library at every length around block borders.
func TestInWasm(t *testing.T) {
	c, err := link.Build(context.Background(), "", "./testdata/hasher")
	if err != nil {
		t.Fatal(err)
	}
	h, err := ic0host.New(context.Background(), c.Wasm)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.Install(nil); err != nil {
		t.Fatal(err)
	}
	for n := range 300 {
		msg := make([]byte, n)
		for i := range msg {
			msg[i] = byte(i*7 + n)
		}
		got, err := h.Update(principal.Anonymous, "sum", msg)
		if want := std.Sum256(msg); err != nil || !bytes.Equal(got, want[:]) {
			t.Fatalf("%d bytes: %x, %v, want %x", n, got, err, want)
		}
	}
}

// FIPS 180-4 example.
func TestKnownAnswer(t *testing.T) {
	sum := sha256.Sum256([]byte("abc"))
	if got := hex.EncodeToString(sum[:]); got != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Fatal(got)
	}
}
