package chainkey

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"os"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/txscript"
)

// TestBip340Vectors checks every row of the vectors that come with BIP 340.
func TestBip340Vectors(t *testing.T) {
	f, err := os.Open("testdata/bip-0340-test-vectors.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good, bad := 0, 0
	for _, row := range rows[1:] {
		public, message, signature, want := unhex(row[2]), unhex(row[4]), unhex(row[5]), row[6] == "TRUE"
		err := Verify(Bip340Secp256k1, append([]byte{2}, public...), Message{Bytes: message}, [64]byte(signature))
		if (err == nil) != want {
			t.Errorf("vector %s (%s): %v, want %v", row[0], row[7], err, want)
		}
		if err != nil && !errors.Is(err, ErrSignature) {
			t.Errorf("vector %s: %v", row[0], err)
		}
		if want {
			good++
		} else {
			bad++
		}
	}
	if good < 9 || bad < 10 {
		t.Errorf("%d valid and %d invalid vectors", good, bad)
	}
}

// TestVerifyAgreesWithOthers checks signatures that independent libraries make, with and without an output key.
func TestVerifyAgreesWithOthers(t *testing.T) {
	key, err := btcec.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	hash := bytes.Repeat([]byte{7}, 32)
	for _, root := range [][]byte{nil, bytes.Repeat([]byte{9}, 32)} {
		out := txscript.TweakTaprootPrivKey(*key, root)
		sig, err := schnorr.Sign(out, hash)
		if err != nil {
			t.Fatal(err)
		}
		m := Message{Bytes: hash, Taproot: true, MerkleRoot: root}
		public := key.PubKey().SerializeCompressed()
		if err := Verify(Bip340Secp256k1, public, m, [64]byte(sig.Serialize())); err != nil {
			t.Errorf("output key with root %x: %v", root, err)
		}
		if err := Verify(Bip340Secp256k1, public, Message{Bytes: hash}, [64]byte(sig.Serialize())); err == nil {
			t.Error("a signature by the output key passes for one by the internal key")
		}
	}
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m := Message{Bytes: []byte("of any length")}
	sig := [64]byte(ed25519.Sign(priv, m.Bytes))
	if err := Verify(Ed25519, pub, m, sig); err != nil {
		t.Error(err)
	}
	sig[3] ^= 1
	if err := Verify(Ed25519, pub, m, sig); !errors.Is(err, ErrSignature) {
		t.Errorf("altered: %v", err)
	}
}

func TestMessageCheck(t *testing.T) {
	root := make([]byte, 32)
	for _, c := range []struct {
		a  Algorithm
		m  Message
		ok bool
	}{
		{EcdsaSecp256k1, HashMessage([32]byte{}), true},
		{EcdsaSecp256k1, Message{Bytes: make([]byte, 31)}, false},
		{EcdsaSecp256k1, Message{Bytes: root, Taproot: true}, false},
		{Bip340Secp256k1, Message{}, true},
		{Bip340Secp256k1, Message{Taproot: true}, true},
		{Bip340Secp256k1, Message{Taproot: true, MerkleRoot: root}, true},
		{Bip340Secp256k1, Message{MerkleRoot: root}, false},
		{Bip340Secp256k1, Message{Taproot: true, MerkleRoot: root[:31]}, false},
		{Ed25519, Message{Bytes: make([]byte, 1000)}, true},
		{Ed25519, Message{Taproot: true}, false},
		{"rsa", Message{}, false},
	} {
		if err := c.m.Check(c.a); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrAlgorithm) {
			t.Errorf("%s, %+v: %v", c.a, c.m, err)
		}
	}
	a, b := Message{Bytes: []byte{1, 2}}, Message{Bytes: []byte{1, 2}, Taproot: true}
	if a.Digest() == b.Digest() || a.Equal(b) || !a.Equal(Message{Bytes: []byte{1, 2}}) {
		t.Error("messages are not told apart")
	}
	k := KeyID{Ed25519, "key_1"}
	if got, err := ParseKeyID(k.String()); err != nil || got != k {
		t.Errorf("%v, %v", got, err)
	}
	for _, s := range []string{"", "ed25519", "ed25519:", "rsa:x"} {
		if _, err := ParseKeyID(s); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// A key from which others are derived signs nothing, whatever it is asked.
func TestKeysThatDoNotSign(t *testing.T) {
	a := Bls12381G2
	if k, err := ParseKeyID("bls12_381_g2:key_1"); err != nil || k.Algorithm != a || k.Name != "key_1" || !a.Valid() || a.Signs() {
		t.Errorf("%+v, %v", k, err)
	}
	if err := HashMessage([32]byte{}).Check(a); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("a message to sign: %v", err)
	}
	if _, err := Derive(a, make([]byte, a.PublicKeySize()), [32]byte{}, nil); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("a path below it: %v", err)
	}
	if err := Verify(a, make([]byte, a.PublicKeySize()), HashMessage([32]byte{}), [64]byte{}); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("a signature by it: %v", err)
	}
}
