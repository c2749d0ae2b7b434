// Command ckbtc is the ckBTC minter as a canister. It is compiled to WebAssembly and linked by cdk/build.
package main

import (
	"fusion/cdk"
	"fusion/ckledger/ckbtc"
)

func init() { cdk.Main(ckbtc.Canister) }

func main() {}
