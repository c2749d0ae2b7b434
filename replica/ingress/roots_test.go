package ingress_test

import (
	"errors"
	"testing"

	"fusion/ic/envelope"
	"fusion/ic/principal"
	"fusion/replica/http/httpmem"
	"fusion/replica/ingress"
)

// With which root key a signature of a canister was checked is part of what is remembered.
func TestMemoOfTwoRoots(t *testing.T) {
	const now = 1_700_000_000_000_000_000
	here, there := httpmem.New(1, now), httpmem.New(2, now)
	e, err := envelope.Sign(envelope.Content{RequestType: envelope.Call, IngressExpiry: now, CanisterID: principal.FromUint64(1), MethodName: "m", Arg: []byte{}},
		here.Issuer(principal.FromUint64(8), "anna"))
	if err != nil {
		t.Fatal(err)
	}
	m := ingress.NewMemo(0)
	for range 2 {
		if _, err := m.Authenticate(e.Encode(), here.Verifier()); err != nil {
			t.Error(err)
		}
		if _, err := m.Authenticate(e.Encode(), there.Verifier()); !errors.Is(err, envelope.ErrBadSignature) {
			t.Errorf("under another root key: %v", err)
		}
		if _, err := m.Authenticate(e.Encode(), nil); !errors.Is(err, envelope.ErrBadSignature) {
			t.Errorf("without a root key: %v", err)
		}
	}
}
