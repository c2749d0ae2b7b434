package cdk_test

import (
	"fmt"

	"fusion/cdk"
	"fusion/cdk/native"
	"fusion/ic/principal"
)

// A canister that counts votes, run natively. The same function given to cdk.Main makes it a wasm module.
func Example() {
	votes := func(c *cdk.Canister) {
		count := map[string]uint64{}
		cdk.Update(c, "vote", func(m *cdk.Msg, candidate string) uint64 {
			if m.Caller().IsAnonymous() {
				c.Trap("anonymous votes do not count")
			}
			count[candidate]++
			return count[candidate]
		})
	}
	w := native.NewWorld(1)
	id, alice := principal.FromUint64(1), principal.MustFromBytes([]byte("alice"))
	if err := w.Install(id, votes, nil); err != nil {
		panic(err)
	}
	fmt.Println(native.Update[uint64](w, alice, id, "vote", "pizza"))
	fmt.Println(native.Update[uint64](w, alice, id, "vote", "pizza"))
	fmt.Println(native.Update[uint64](w, principal.Anonymous, id, "vote", "pasta"))
	// Output:
	// 1 <nil>
	// 2 <nil>
	// 0 CANISTER_ERROR: canister trapped: anonymous votes do not count
}
