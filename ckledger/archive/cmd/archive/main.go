// Command archive keeps old blocks of a ledger, as a canister program; cdk/build compiles it.
package main

import (
	"fusion/cdk"
	"fusion/ckledger/archive"
)

func init() { cdk.Main(archive.Canister) }

func main() {}
