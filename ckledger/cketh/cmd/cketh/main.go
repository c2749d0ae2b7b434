// Command cketh is the ckETH minter as a canister. It is compiled to WebAssembly and linked by cdk/build.
package main

import (
	"fusion/cdk"
	"fusion/ckledger/cketh"
)

func init() { cdk.Main(cketh.Canister) }

func main() {}
