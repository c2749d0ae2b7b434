// Hasher is a canister that hashes its argument.
package main

import (
	"fusion/cdk"
	"fusion/cdk/sha256"
)

func init() {
	cdk.Main(func(c *cdk.Canister) {
		c.RawUpdate("sum", func(m *cdk.Msg) {
			sum := sha256.Sum256(c.Arg())
			m.Reply(sum[:])
		})
	})
}

func main() {}
