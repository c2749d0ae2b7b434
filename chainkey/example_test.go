package chainkey_test

import (
	"fmt"

	"fusion/chainkey"
)

func ExampleThreshold() {
	for _, n := range []int{1, 4, 5, 13, 3} {
		t, err := chainkey.Threshold(n)
		fmt.Println(n, "members:", t+1, "sign", err)
	}
	// Output:
	// 1 members: 1 sign <nil>
	// 4 members: 3 sign <nil>
	// 5 members: 3 sign <nil>
	// 13 members: 9 sign <nil>
	// 3 members: 1 sign a threshold key needs 1 member, or 4 and more, not 3
}

func ExampleSecret() {
	share := chainkey.Secret("hunter2")
	fmt.Printf("%v %x %q\n", share, share, []chainkey.Secret{share})
	// Output: [secret] [secret] [[secret]]
}
