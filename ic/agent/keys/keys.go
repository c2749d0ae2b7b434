// Package keys derives the keys that canisters have on a subnet, offline: from a subnet's root key and its chain code, both public, come the keys
// that ecdsa_public_key and schnorr_public_key of the management canister answer with, for any canister and any path.
//
//	root := keys.Key{Algorithm: chainkey.EcdsaSecp256k1, PublicKey: public, ChainCode: chain}
//	key, err := root.Of(canister, []byte{1}, owner.Bytes())
//
// Deriving is local and needs no trust beyond the root key, which belongs into a program's configuration like the root key for
// certificates. Elements of four bytes below 2^31, big-endian, derive like plain BIP32, so [Key.Below] of a canister's key follows wallets.
package keys

import (
	"fmt"

	secp "github.com/decred/dcrd/dcrec/secp256k1/v4"

	"fusion/chainkey"
	"fusion/chainkey/derive"
	"fusion/ic/principal"
)

// Key is a public key with its chain code: a subnet's root key, a canister's, or one below that.
type Key struct {
	Algorithm chainkey.Algorithm
	PublicKey []byte // SEC 1 compressed, or as RFC 8032 encodes it
	ChainCode [32]byte
}

// Of derives the key of a canister at a path from a root key.
func (k Key) Of(canister principal.Principal, path ...[]byte) (Key, error) {
	return k.Below(derive.Path(canister.Bytes(), path...)...)
}

// Below derives the key at a path below this one.
func (k Key) Below(path ...[]byte) (Key, error) {
	c, err := chainkey.Derive(k.Algorithm, k.PublicKey, k.ChainCode, path)
	if err != nil {
		return Key{}, fmt.Errorf("deriving a key: %w", err)
	}
	return Key{k.Algorithm, c.PublicKey, c.ChainCode}, nil
}

// Uncompressed is an ECDSA key in SEC 1's 65 bytes.
func (k Key) Uncompressed() ([]byte, error) {
	if k.Algorithm != chainkey.EcdsaSecp256k1 {
		return nil, fmt.Errorf("%w: keys of %s have one encoding", chainkey.ErrAlgorithm, k.Algorithm)
	}
	key, err := secp.ParsePubKey(k.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", derive.ErrPublicKey, err)
	}
	return key.SerializeUncompressed(), nil
}

// XOnly is a BIP 340 key as that standard writes it. In a taproot output it is the internal key.
func (k Key) XOnly() ([32]byte, error) {
	if k.Algorithm != chainkey.Bip340Secp256k1 || len(k.PublicKey) != k.Algorithm.PublicKeySize() {
		return [32]byte{}, fmt.Errorf("%w: only keys of %s are written by x alone", chainkey.ErrAlgorithm, chainkey.Bip340Secp256k1)
	}
	return [32]byte(k.PublicKey[1:]), nil
}
