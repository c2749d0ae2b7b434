package derive_test

import (
	"encoding/hex"
	"fmt"

	"fusion/chainkey/derive"
)

func ExampleSecp256k1() {
	key, _ := hex.DecodeString("0291f38cada7f498d467a18527dc6706b6343b124062776a9996077820d2c76be2")
	chain, _ := hex.DecodeString("9cfbcc11fbc2d401c3719785c31840a2bad151baf28c3795bc63f5fbc9cb26d7")
	child, err := derive.Secp256k1([33]byte(key), [32]byte(chain), [][]byte{[]byte("bungee")})
	fmt.Printf("%x %v\n", child.PublicKey, err)
	// Output: 02cc48da88c3b372cb5d5ac2665c92da65714de07ad148a5a838bb5e95fbddb591 <nil>
}
