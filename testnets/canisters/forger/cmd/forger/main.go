// Command forger is the canister of package forger as a program; `fusion build` compiles it.
package main

import (
	"fusion/cdk"
	"fusion/testnets/canisters/forger"
)

func init() { cdk.Main(forger.Canister) }

func main() {}
