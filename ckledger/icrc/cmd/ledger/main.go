// Command ledger is the ICRC ledger as a canister program; cdk/build compiles it.
package main

import (
	"fusion/cdk"
	"fusion/ckledger/icrc"
)

func init() { cdk.Main(icrc.Canister) }

func main() {}
