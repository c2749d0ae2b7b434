// Command index is the index of a ledger as a canister. It is compiled to WebAssembly and linked by cdk/build.
package main

import (
	"fusion/cdk"
	"fusion/ckledger/index"
)

func init() { cdk.Main(index.Canister) }

func main() {}
