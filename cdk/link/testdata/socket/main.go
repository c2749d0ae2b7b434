// Socket is a canister that wants to dial.
package main

import (
	"net"

	"fusion/cdk"
)

func init() {
	cdk.Main(func(c *cdk.Canister) {
		cdk.Update(c, "dial", func(*cdk.Msg, cdk.None) bool {
			_, err := net.Dial("tcp", "localhost:1")
			return err == nil
		})
	})
}

func main() {}
