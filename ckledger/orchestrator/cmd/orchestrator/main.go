// Command orchestrator makes the ledgers of ckERC20 tokens, as a canister. It is compiled to WebAssembly and linked by cdk/build.
package main

import (
	"fusion/cdk"
	"fusion/ckledger/orchestrator"
)

func init() { cdk.Main(orchestrator.Canister) }

func main() {}
