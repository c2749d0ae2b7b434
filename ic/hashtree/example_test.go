package hashtree_test

import (
	"fmt"

	"fusion/ic/hashtree"
)

func Example() {
	var state *hashtree.Map
	state = state.Insert(hashtree.Path("time"), []byte{42})
	state = state.Insert(hashtree.Path("canister", "a", "certified_data"), []byte("x"))

	witness := state.Witness(hashtree.Path("time"), hashtree.Path("canister", "b"))
	fmt.Println(witness.Digest() == state.Digest())
	fmt.Println(hashtree.LookupText(witness, "time"))
	fmt.Println(hashtree.LookupText(witness, "canister", "b", "certified_data"))
	fmt.Println(hashtree.LookupText(witness, "canister", "a", "certified_data"))
	// Output:
	// true
	// found [42]
	// absent []
	// unknown []
}
