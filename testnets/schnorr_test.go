package testnets_test

import (
	"bytes"
	"strings"
	"testing"

	"fusion/chainkey"
	"fusion/testnets"
)

// signRequest and signed are the signer canister's (testdata/signer).
type signRequest struct {
	Ed25519 bool     `candid:"ed25519"`
	Name    string   `candid:"name"`
	Path    [][]byte `candid:"path"`
	Message []byte   `candid:"message"`
	Taproot *[]byte  `candid:"taproot"`
}

type signed struct {
	PublicKey []byte `candid:"public_key"`
	Signature []byte `candid:"signature"`
	Problem   string `candid:"problem"`
}

// TestSchnorr lets a canister sign with the subnet's keys of both algorithms, at 1 MiB too.
func TestSchnorr(t *testing.T) {
	f := setup(t)
	a := f.owner.Agent
	signer := f.install(t, f.compile(t, "signer"))
	keys := map[string]bool{}
	sign := func(r signRequest) {
		t.Helper()
		var s signed
		r.Name = testnets.TestKey
		check(t, a.Update(f, signer, "sign", []any{r}, []any{&s}))
		algorithm, m := chainkey.Bip340Secp256k1, chainkey.Message{Bytes: r.Message, Taproot: r.Taproot != nil}
		if r.Ed25519 {
			algorithm = chainkey.Ed25519
		}
		if r.Taproot != nil {
			m.MerkleRoot = *r.Taproot
		}
		if len(s.Signature) != 64 {
			t.Fatalf("%+v", s)
		}
		if err := chainkey.Verify(algorithm, s.PublicKey, m, [64]byte(s.Signature)); err != nil {
			t.Errorf("%v: %v", algorithm, err)
		}
		keys[string(s.PublicKey)] = true
	}
	path := [][]byte{{1}, []byte("two")}
	sign(signRequest{Message: []byte("plain"), Path: path})
	sign(signRequest{Message: bytes.Repeat([]byte{3}, 1<<20), Path: path})
	sign(signRequest{Message: make([]byte, 32), Path: path, Taproot: &[]byte{}})
	sign(signRequest{Ed25519: true, Message: bytes.Repeat([]byte{3}, 1<<20), Path: path})
	if len(keys) != 2 {
		t.Errorf("%d public keys for two algorithms at one path", len(keys))
	}
	var s signed
	check(t, a.Update(f, signer, "sign", []any{signRequest{Name: "other"}}, []any{&s}))
	if !strings.Contains(s.Problem, "unknown threshold key: bip340_secp256k1:other") {
		t.Errorf("a key that does not exist: %+v", s)
	}
}
