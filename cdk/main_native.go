//go:build !wasip1

package cdk

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
)

// Main registers the program's canister. It is called from an init function, because the main function of a canister does not
// run. In an ordinary process it prints the canister's Description as JSON, which is what cdk/build asks for, and exits.
//
// Under `go test` it does nothing, so that a canister can be one package with its tests.
func Main(setup func(*Canister)) {
	if testing.Testing() {
		return
	}
	if len(os.Args) != 2 || os.Args[1] != "-describe" {
		fmt.Fprintln(os.Stderr, "this program is a canister: build it with `fusion build`; -describe prints its interface")
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
