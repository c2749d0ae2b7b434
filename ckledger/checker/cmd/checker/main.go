// Command checker is the Bitcoin checker as a canister. It is compiled to WebAssembly and linked by cdk/build.
package main

import (
	"fusion/cdk"
	"fusion/ckledger/checker"
)

func init() { cdk.Main(checker.Canister) }

func main() {}
