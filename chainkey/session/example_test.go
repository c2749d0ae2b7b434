package session_test

import (
	"fmt"

	"fusion/chainkey/session"
)

func ExampleContext_ID() {
	c := session.Context{Key: "dfx_test_key", Scheme: "gg18", Kind: session.Signature, Request: 7, Committee: []session.Seat{{Node: 0}, {Node: 2}, {Node: 3}}}
	first := c.ID()
	c.Attempt++
	fmt.Println("the next attempt is another session:", c.ID() != first)
	// Output: the next attempt is another session: true
}
