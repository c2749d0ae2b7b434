// Signer is a canister that has a test's messages signed by the subnet's keys. Its types are those of golden.Signer.
package main

import "fusion/cdk"

func init() { cdk.Main(signer) }
func main() {}

// Which names a key of the canister's.
type Which struct {
	Algorithm string   `candid:"algorithm"`
	Name      string   `candid:"name"`
	Path      [][]byte `candid:"path"`
}

// Key is what the subnet says of a key.
type Key struct {
	PublicKey []byte `candid:"public_key"`
	ChainCode []byte `candid:"chain_code"`
	Problem   string `candid:"problem"`
}

// Request is what to sign.
type Request struct {
	Key     Which   `candid:"key"`
	Message []byte  `candid:"message"` // for ECDSA a hash
	Taproot *[]byte `candid:"taproot"` // merkle root
}

// Signed is a signature, or why there is none.
type Signed struct {
	Signature []byte `candid:"signature"`
	Problem   string `candid:"problem"`
}

const pay = 30_000_000_000

func schnorrKey(w Which) cdk.SchnorrKeyID {
	if w.Algorithm == "ed25519" {
		return cdk.Ed25519Key(w.Name)
	}
	return cdk.Bip340Key(w.Name)
}

func signer(c *cdk.Canister) {
	cdk.UpdateAsync(c, "public_key", func(_ *cdk.Msg, w Which, out *cdk.Reply[Key]) {
		send := func(public, chain []byte, err error) {
			if err != nil {
				out.Send(Key{Problem: err.Error()})
				return
			}
			out.Send(Key{PublicKey: public, ChainCode: chain})
		}
		if w.Algorithm == "ecdsa_secp256k1" {
			c.ECDSAPublicKey(cdk.ECDSAPublicKeyArgs{DerivationPath: w.Path, KeyID: cdk.Secp256k1Key(w.Name)},
				func(k cdk.ECDSAPublicKey, err error) { send(k.PublicKey, k.ChainCode, err) })
			return
		}
		c.SchnorrPublicKey(cdk.SchnorrPublicKeyArgs{DerivationPath: w.Path, KeyID: schnorrKey(w)},
			func(k cdk.SchnorrPublicKey, err error) { send(k.PublicKey, k.ChainCode, err) })
	})
	cdk.UpdateAsync(c, "sign", func(_ *cdk.Msg, r Request, out *cdk.Reply[Signed]) {
		send := func(signature []byte, err error) {
			if err != nil {
				out.Send(Signed{Problem: err.Error()})
				return
			}
			out.Send(Signed{Signature: signature})
		}
		if r.Key.Algorithm == "ecdsa_secp256k1" {
			c.SignWithECDSA(cdk.SignWithECDSAArgs{MessageHash: r.Message, DerivationPath: r.Key.Path, KeyID: cdk.Secp256k1Key(r.Key.Name)}, cdk.CyclesOf(pay), send)
			return
		}
		var aux *cdk.SchnorrAux
		if r.Taproot != nil {
			aux = &cdk.SchnorrAux{Bip341: &cdk.Bip341{MerkleRootHash: *r.Taproot}}
		}
		c.SignWithSchnorr(cdk.SignWithSchnorrArgs{Message: r.Message, DerivationPath: r.Key.Path, KeyID: schnorrKey(r.Key), Aux: aux}, cdk.CyclesOf(pay), send)
	})
}
