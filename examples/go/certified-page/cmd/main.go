// Command cmd is the certified page as a canister program; cdk/build compiles it.
package main

import (
	"fusion/cdk"
	certifiedpage "fusion/examples/go/certified-page"
)

func init() { cdk.Main(certifiedpage.Canister) }

func main() {}
