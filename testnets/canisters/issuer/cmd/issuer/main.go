// Command issuer is the test canister as a program; cdk/build compiles it.
package main

import (
	"fusion/cdk"
	"fusion/testnets/canisters/issuer"
)

func init() { cdk.Main(issuer.Canister) }

func main() {}
