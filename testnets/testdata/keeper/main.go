// Keeper is a canister that hands each caller a secret key of their own, as an application with encrypted data would.
package main

import "fusion/cdk"

func init() { cdk.Main(keeper) }
func main() {}

// Outcome is what came of a request: bytes, or a rejection.
type Outcome struct {
	Code     uint32 `candid:"code"`
	Message  string `candid:"message"`
	Bytes    []byte `candid:"bytes"`
	Refunded uint64 `candid:"refunded"`
}

const sent = 30_000_000_000

func keeper(c *cdk.Canister) {
	key := cdk.Bls12381G2Key("dfx_test_key")
	context := []byte("notes")
	end := func(out *cdk.Reply[Outcome]) func([]byte, error) {
		return func(b []byte, err error) {
			o := Outcome{Bytes: b, Refunded: c.Refunded().Lo}
			if e, ok := err.(*cdk.RejectError); ok {
				o.Code, o.Message = uint32(e.Code), e.Message
			} else if err != nil {
				o.Message = err.Error()
			}
			out.Send(o)
		}
	}
	cdk.UpdateAsync(c, "public_key", func(_ *cdk.Msg, _ struct{}, out *cdk.Reply[Outcome]) {
		c.VetKDPublicKey(cdk.VetKDPublicKeyArgs{Context: context, KeyID: key}, end(out))
	})
	// The input is the caller's principal, so nobody gets another's key.
	cdk.UpdateAsync(c, "my_key", func(m *cdk.Msg, transport []byte, out *cdk.Reply[Outcome]) {
		c.VetKDDeriveKey(cdk.VetKDDeriveKeyArgs{Input: m.Caller().Bytes(), Context: context, TransportPublicKey: transport, KeyID: key}, cdk.CyclesOf(sent), end(out))
	})
}
