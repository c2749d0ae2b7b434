package btc_test

import (
	"errors"
	"fmt"

	"fusion/btc"
)

func ExampleParseAddress() {
	a, err := btc.ParseAddress(btc.Mainnet, "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4")
	fmt.Println(a, a.Kind(), a.DustLimit(), err)
	_, err = btc.ParseAddress(btc.Regtest, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4")
	fmt.Println(errors.Is(err, btc.ErrAddressNetwork))
	// Output:
	// bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4 P2WPKH 0.00000294 BTC <nil>
	// true
}

// A withdrawal: one P2WPKH input, the recipient and the change, and the digest that a threshold key has to sign.
func ExampleSigHashes_P2WPKH() {
	pub := []byte{2, 0x79, 0xbe, 0x66, 0x7e, 0xf9, 0xdc, 0xbb, 0xac, 0x55, 0xa0, 0x62, 0x95, 0xce, 0x87, 0x0b, 0x07, 0x02, 0x9b, 0xfc, 0xdb, 0x2d, 0xce, 0x28, 0xd9, 0x59, 0xf2, 0x81, 0x5b, 0x16, 0xf8, 0x17, 0x98}
	change, err := btc.P2WPKHFromPubKey(btc.Regtest, pub)
	if err != nil {
		panic(err)
	}
	to, err := btc.NewAddress(btc.Regtest, btc.P2TR, make([]byte, 32))
	if err != nil {
		panic(err)
	}
	coin := btc.Outpoint{Txid: btc.Hash{1}, Vout: 0}
	fee := btc.MillisatPerVByte(5000).Fee(btc.VSizeP2WPKH(1, to.Script(), change.Script()))
	tx := &btc.Tx{
		Version: 2,
		Inputs:  []btc.TxIn{{Prev: coin, Sequence: btc.SequenceRBF}},
		Outputs: []btc.TxOut{{Value: 50_000, Script: to.Script()}, {Value: 100_000 - 50_000 - fee, Script: change.Script()}},
	}
	digest, err := btc.NewSigHashes(tx).P2WPKH(0, pub, 100_000)
	fmt.Println(len(digest), uint64(fee), err)
	// Then: tx.SignP2WPKH(0, signature, pub) with the 64 bytes r‖s, and tx.Bytes().
	// Output:
	// 32 770 <nil>
}
