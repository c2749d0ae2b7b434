//go:build !wasip1

package cdk

import (
	"encoding/json"
	"fmt"
	"os"
)

// Main registers the program's canister. It is called from an init function, because the main function of a canister does not
// run. In an ordinary process it prints the canister's Description as JSON, which is what cdk/build asks for, and exits.
func Main(setup func(*Canister)) {
	if len(os.Args) != 2 || os.Args[1] != "-describe" {
		fmt.Fprintln(os.Stderr, "this program is a canister: build it with `go run fusion/cdk/build -o out.wasm.gz PACKAGE`;",
			"-describe prints its interface")
		os.Exit(2)
	}
	out, err := json.MarshalIndent(Describe(setup), "", "  ")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(string(out))
	os.Exit(0)
}
