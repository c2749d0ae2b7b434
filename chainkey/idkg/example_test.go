package idkg_test

import (
	"crypto/rand"
	"fmt"

	"fusion/chainkey"
	"fusion/chainkey/idkg"
	"fusion/chainkey/idkg/idkgtest"
)

// A member's steps from a request to its share of the signature, and anybody's from shares to the signature. Package idkgtest moves the messages
// that make the key and the presignature.
func Example() {
	w, err := idkgtest.New(chainkey.EcdsaSecp256k1, 1, 4, rand.Reader)
	if err != nil {
		panic(err)
	}
	key, err := w.Generate()
	if err != nil {
		panic(err)
	}
	presignatures, err := w.Presign(key, 1, 1)
	if err != nil {
		panic(err)
	}
	presignature := presignatures[0]

	signing, err := idkg.NewSigning(idkg.Request{Roster: w.Roster, Key: key.Transcript, Presignature: presignature.Presignature, ID: [32]byte{1},
		Path: [][]byte{[]byte("canister")}, Message: chainkey.HashMessage([32]byte{2}), Beacon: [32]byte{3}})
	if err != nil {
		panic(err)
	}
	served := map[[32]byte][32]byte{} // a real member syncs this to its disk
	bind := func(presignature, signing [32]byte) error {
		if other, ok := served[presignature]; ok && other != signing {
			return fmt.Errorf("the presignature serves %x", other)
		}
		served[presignature] = signing
		return nil
	}
	var shares []*idkg.SignatureShare
	for _, seat := range []int{0, 3} {
		share, err := signing.Share(w.IDs[seat], presignature.Shares[seat], bind)
		if err != nil {
			panic(err)
		}
		shares = append(shares, share)
	}
	signature, liars, err := signing.Combine(shares)
	if err != nil {
		panic(err)
	}
	fmt.Println(chainkey.Verify(chainkey.EcdsaSecp256k1, signing.PublicKey(), signing.Message, signature.Bytes), liars)
	// Output: <nil> []
}
