package main

import (
	"math"
	"strings"
	"testing"

	"fusion/cdk"
	"fusion/cdk/native"
	"fusion/ic/principal"
)

var (
	id    = principal.FromUint64(1)
	owner = principal.MustFromBytes([]byte("owner"))
	alice = principal.MustFromBytes([]byte("alice"))
)

// The canister runs in the test's own process, in a world with a clock and canisters that the test controls.
func TestCounter(t *testing.T) {
	w := native.NewWorld(1)
	start := uint64(10)
	if err := w.Install(id, Canister, &start, native.Controllers(owner)); err != nil {
		t.Fatal(err)
	}
	expect := func(want uint64) {
		t.Helper()
		if got, err := native.Query[uint64](w, alice, id, "get"); err != nil || got != want {
			t.Fatalf("the counter is %d, %v; want %d", got, err, want)
		}
	}
	expect(10)
	if n, err := native.Update[uint64](w, alice, id, "increment"); err != nil || n != 11 {
		t.Fatalf("%d, %v", n, err)
	}
	if err := w.Upgrade(id, Canister, nil); err != nil {
		t.Fatal(err)
	}
	expect(11)
	if _, err := native.Update[cdk.None](w, alice, id, "set", uint64(5)); err == nil || !strings.Contains(err.Error(), "only controllers") {
		t.Fatalf("a stranger sets the counter: %v", err)
	}
	expect(11)
	if _, err := native.Update[cdk.None](w, owner, id, "set", uint64(math.MaxUint64)); err != nil {
		t.Fatal(err)
	}
	if _, err := native.Update[uint64](w, alice, id, "add", uint64(2)); err == nil || !strings.Contains(err.Error(), "full") {
		t.Fatalf("the counter overflows: %v", err)
	}
	expect(math.MaxUint64)
}
