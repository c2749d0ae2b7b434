package envelope_test

import (
	"errors"
	"fmt"
	"time"

	"fusion/ic/envelope"
	"fusion/ic/identity"
	"fusion/ic/principal"
)

func Example() {
	user, err := identity.GenerateEd25519()
	if err != nil {
		panic(err)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	signed, err := envelope.Sign(envelope.Content{
		RequestType: envelope.Call, IngressExpiry: uint64(now.Add(time.Minute).UnixNano()),
		CanisterID: principal.FromUint64(1), MethodName: "greet", Arg: []byte("DIDL\x00\x00"),
	}, user)
	if err != nil {
		panic(err)
	}
	got, err := envelope.Decode(signed.Encode())
	fmt.Println(err, got.Content.Sender == user.Sender(), got.Verify(uint64(now.UnixNano()), nil))
	fmt.Println(errors.Is(got.Verify(uint64(now.Add(time.Hour).UnixNano()), nil), envelope.ErrExpired))
	// Output:
	// <nil> true <nil>
	// true
}
