// Signer is a canister that has a test's messages signed by the subnet's Schnorr keys.
package main

import "fusion/cdk"

func init() { cdk.Main(signer) }
func main() {}

// Request is what to sign.
type Request struct {
	Ed25519 bool     `candid:"ed25519"`
	Name    string   `candid:"name"` // of the key
	Path    [][]byte `candid:"path"`
	Message []byte   `candid:"message"`
	Taproot *[]byte  `candid:"taproot"` // merkle root
}

// Signed is the signature and the key it is of, or why there is none.
type Signed struct {
	PublicKey []byte `candid:"public_key"`
	Signature []byte `candid:"signature"`
	Problem   string `candid:"problem"`
}

const pay = 30_000_000_000

func signer(c *cdk.Canister) {
	cdk.UpdateAsync(c, "sign", func(_ *cdk.Msg, r Request, out *cdk.Reply[Signed]) {
		key := cdk.Bip340Key(r.Name)
		if r.Ed25519 {
			key = cdk.Ed25519Key(r.Name)
		}
		var aux *cdk.SchnorrAux
		if r.Taproot != nil {
			aux = &cdk.SchnorrAux{Bip341: &cdk.Bip341{MerkleRootHash: *r.Taproot}}
		}
		c.SchnorrPublicKey(cdk.SchnorrPublicKeyArgs{DerivationPath: r.Path, KeyID: key}, func(k cdk.SchnorrPublicKey, err error) {
			if err != nil {
				out.Send(Signed{Problem: err.Error()})
				return
			}
			c.SignWithSchnorr(cdk.SignWithSchnorrArgs{Message: r.Message, DerivationPath: r.Path, KeyID: key, Aux: aux}, cdk.CyclesOf(pay), func(sig []byte, err error) {
				if err != nil {
					out.Send(Signed{Problem: err.Error()})
					return
				}
				out.Send(Signed{PublicKey: k.PublicKey, Signature: sig})
			})
		})
	})
}
