package solo

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"fusion/chainkey"
)

func TestGenerateStoreSign(t *testing.T) {
	g, err := Scheme{}.Generate(chainkey.Generate{Algorithm: chainkey.EcdsaSecp256k1, Seats: 1, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := g.Start(); err != nil || !out.Done {
		t.Fatalf("%+v, %v", out, err)
	}
	made, err := g.Share()
	if err != nil {
		t.Fatal(err)
	}
	encoded := made.Encode()
	s, err := Scheme{}.DecodeShare(encoded)
	if err != nil || !bytes.Equal(s.PublicKey(), made.PublicKey()) {
		t.Fatalf("read back %v: %v", s, err)
	}
	m, path := chainkey.HashMessage(sha256.Sum256([]byte("m"))), [][]byte{{1}, {2, 3}}
	sign, err := Scheme{}.Sign(chainkey.Sign{Share: s, Committee: []int{0}, Path: path, Message: m})
	if err != nil {
		t.Fatal(err)
	}
	sig, err := sign.Signature()
	if err != nil {
		t.Fatal(err)
	}
	child, err := chainkey.Derive(chainkey.EcdsaSecp256k1, s.PublicKey(), [32]byte{}, path)
	if err != nil {
		t.Fatal(err)
	}
	if err := chainkey.Verify(chainkey.EcdsaSecp256k1, child.PublicKey, m, sig); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key []byte
		m   chainkey.Message
		sig [64]byte
	}{
		"master key":   {s.PublicKey(), m, sig},
		"other hash":   {child.PublicKey, chainkey.HashMessage([32]byte{}), sig},
		"zero":         {child.PublicKey, m, [64]byte{}},
		"no key":       {make([]byte, 33), m, sig},
		"out of range": {child.PublicKey, m, [64]byte{0: 255, 1: 255, 2: 255, 3: 255, 4: 255, 5: 255, 6: 255, 7: 255, 8: 255, 9: 255, 10: 255, 11: 255, 12: 255, 13: 255, 14: 255, 15: 255, 63: 1}},
	} {
		if err := chainkey.Verify(chainkey.EcdsaSecp256k1, c.key, c.m, c.sig); !errors.Is(err, chainkey.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	j, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if shown := fmt.Sprintf("%v %+v %#v %s", s, s, s, j); strings.Contains(shown, hex.EncodeToString(encoded)) {
		t.Error("the key prints")
	}
	s.Wipe()
}

func TestRefusals(t *testing.T) {
	if _, err := (Scheme{}).Generate(chainkey.Generate{Algorithm: chainkey.EcdsaSecp256k1, Seats: 4, Threshold: 2, Rand: rand.Reader}); !errors.Is(err, chainkey.ErrMembers) {
		t.Errorf("four members: %v", err)
	}
	for _, b := range []chainkey.Secret{nil, make([]byte, 32), make([]byte, 31), []byte(strings.Repeat("\xff", 32))} {
		if _, err := (Scheme{}).DecodeShare(b); !errors.Is(err, ErrShare) {
			t.Errorf("%d bytes were accepted", len(b))
		}
	}
	if _, err := (Scheme{}).Sign(chainkey.Sign{Committee: []int{0}}); err == nil {
		t.Error("signed without a share")
	}
}
