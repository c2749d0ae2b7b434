package bls_test

import (
	"fmt"

	"fusion/chainkey/bls"
)

// A certificate signs the root hash behind the Internet Computer's domain, one byte of length first.
func ExampleMessage() {
	root := make([]byte, 32)
	m := bls.Message(bls.DomainStateRoot, root)
	fmt.Printf("%q, then %d bytes\n", m[:14], len(m)-14)
	// Output: "\ric-state-root", then 32 bytes
}

func ExampleThreshold() {
	for _, n := range []int{1, 4, 7, 13} {
		fmt.Printf("%d of %d\n", bls.Threshold(n), n)
	}
	// Output:
	// 1 of 1
	// 3 of 4
	// 5 of 7
	// 9 of 13
}
