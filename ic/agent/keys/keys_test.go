package keys_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"github.com/btcsuite/btcd/btcutil/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg"

	"fusion/chainkey"
	"fusion/chainkey/derive"
	"fusion/ic/agent/keys"
	"fusion/ic/principal"
)

// key is test key 1 of the Internet Computer (dfinity/ic-pub-key).
func key() keys.Key {
	public, _ := hex.DecodeString("0291f38cada7f498d467a18527dc6706b6343b124062776a9996077820d2c76be2")
	chain, _ := hex.DecodeString("9cfbcc11fbc2d401c3719785c31840a2bad151baf28c3795bc63f5fbc9cb26d7")
	return keys.Key{Algorithm: chainkey.EcdsaSecp256k1, PublicKey: public, ChainCode: [32]byte(chain)}
}

func Example() {
	canister := principal.MustParse("mxzaz-hqaaa-aaaar-qaada-cai")
	minter, err := key().Of(canister)
	if err != nil {
		fmt.Println(err)
		return
	}
	deposit, err := minter.Below([]byte{1}, canister.Bytes())
	same, _ := key().Of(canister, []byte{1}, canister.Bytes())
	fmt.Println(len(deposit.PublicKey), bytes.Equal(deposit.PublicKey, same.PublicKey), err)
	// Output: 33 true <nil>
}

// TestBelowFollowsBIP32 compares a canister's subtree with a wallet's library that was given the canister's key as an extended key.
func TestBelowFollowsBIP32(t *testing.T) {
	own, err := key().Of(principal.MustParse("rrkah-fqaaa-aaaaa-aaaaq-cai"), []byte("any bytes"))
	if err != nil {
		t.Fatal(err)
	}
	wallet := hdkeychain.NewExtendedKey(chaincfg.MainNetParams.HDPublicKeyID[:], own.PublicKey, own.ChainCode[:], []byte{0, 0, 0, 0}, 0, 0, false)
	var path [][]byte
	for _, index := range []uint32{0, 84, 1<<31 - 1, 1 << 30} {
		if wallet, err = wallet.Derive(index); err != nil {
			t.Fatal(err)
		}
		path = append(path, binary.BigEndian.AppendUint32(nil, index))
		want, err := wallet.ECPubKey()
		if err != nil {
			t.Fatal(err)
		}
		got, err := own.Below(path...)
		if err != nil || !bytes.Equal(got.PublicKey, want.SerializeCompressed()) || !bytes.Equal(got.ChainCode[:], wallet.ChainCode()) {
			t.Fatalf("index %d: %x, %v; the wallet has %x", index, got.PublicKey, err, want.SerializeCompressed())
		}
		long, err := got.Uncompressed()
		if err != nil || !bytes.Equal(long, want.SerializeUncompressed()) {
			t.Fatalf("uncompressed: %x, %v", long, err)
		}
	}
}

func TestEncodings(t *testing.T) {
	schnorr := key()
	schnorr.Algorithm = chainkey.Bip340Secp256k1
	if x, err := schnorr.XOnly(); err != nil || !bytes.Equal(x[:], schnorr.PublicKey[1:]) {
		t.Errorf("x only: %x, %v", x, err)
	}
	ed := keys.Key{Algorithm: chainkey.Ed25519, PublicKey: ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)}
	if child, err := ed.Of(principal.Principal{}, []byte("p")); err != nil || len(child.PublicKey) != 32 || bytes.Equal(child.PublicKey, ed.PublicKey) {
		t.Errorf("ed25519: %x, %v", child.PublicKey, err)
	}
	_, err1 := ed.Uncompressed()
	_, err2 := key().XOnly()
	_, err3 := keys.Key{Algorithm: chainkey.Bls12381G2, PublicKey: make([]byte, 96)}.Below()
	for _, err := range []error{err1, err2, err3} {
		if !errors.Is(err, chainkey.ErrAlgorithm) {
			t.Errorf("unsuitable algorithm: %v", err)
		}
	}
	if _, err := (keys.Key{Algorithm: chainkey.EcdsaSecp256k1, PublicKey: make([]byte, 33)}).Below(); !errors.Is(err, derive.ErrPublicKey) {
		t.Errorf("no point: %v", err)
	}
}
