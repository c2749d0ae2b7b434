package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"fusion/ic/principal"
)

func identities(t testing.TB) map[string]Identity {
	t.Helper()
	ed, err := GenerateEd25519()
	if err != nil {
		t.Fatal(err)
	}
	k1, err := GenerateSecp256k1()
	if err != nil {
		t.Fatal(err)
	}
	p256, err := GenerateP256()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]Identity{"ed25519": ed, "secp256k1": k1, "p-256": p256}
}

func TestSignAndVerify(t *testing.T) {
	ids := identities(t)
	for name, id := range ids {
		key, err := ParsePublicKey(id.PublicKeyDER())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sig, err := id.Sign([]byte("message"))
		if err != nil || len(sig) != SignatureSize {
			t.Fatalf("%s: %d bytes, %v", name, len(sig), err)
		}
		if err := key.Verify([]byte("message"), sig); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if id.Sender() != principal.SelfAuthenticating(id.PublicKeyDER()) {
			t.Errorf("%s: sender %s", name, id.Sender())
		}
		for i := range sig {
			bad := append([]byte(nil), sig...)
			bad[i] ^= 1
			if err := key.Verify([]byte("message"), bad); !errors.Is(err, ErrSignature) {
				t.Errorf("%s: changed byte %d: %v", name, i, err)
			}
		}
		for _, bad := range [][]byte{nil, sig[:63], append(sig, 0), make([]byte, 64)} {
			if err := key.Verify([]byte("message"), bad); !errors.Is(err, ErrSignature) {
				t.Errorf("%s: signature of %d bytes: %v", name, len(bad), err)
			}
		}
		for other, o := range ids {
			if k, _ := ParsePublicKey(o.PublicKeyDER()); other != name && !errors.Is(k.Verify([]byte("message"), sig), ErrSignature) {
				t.Errorf("%s accepts the signature of %s", other, name)
			}
		}
	}
}

// The fixed DER prefixes are what the standard library writes.
func TestEncodingAgreesWithX509(t *testing.T) {
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	want, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	if got := EncodeEd25519(pub); string(got) != string(want) {
		t.Errorf("%x, want %x", got, want)
	}
	p256, err := GenerateP256()
	if err != nil {
		t.Fatal(err)
	}
	if want, err = x509.MarshalPKIXPublicKey(&p256.key.PublicKey); err != nil || string(p256.PublicKeyDER()) != string(want) {
		t.Errorf("%x, want %x, %v", p256.PublicKeyDER(), want, err)
	}
}

func TestParsePublicKeyRefuses(t *testing.T) {
	k1, _ := GenerateSecp256k1()
	compressed := append(append([]byte{}, prefixSecp256k1...), k1.key.PubKey().SerializeCompressed()...)
	offCurve := append([]byte{}, k1.PublicKeyDER()...)
	offCurve[len(offCurve)-1] ^= 1
	cose, _ := hex.DecodeString("305e300c060a2b0601040183b8430101034e00a5")
	canister, _ := hex.DecodeString("301b300c060a2b0601040183b8430102030b00")
	for name, c := range map[string]struct {
		der  []byte
		want error
	}{
		"nothing":       {nil, ErrUnsupported},
		"compressed":    {compressed, ErrKey},
		"off the curve": {offCurve, ErrKey},
		"short ed25519": {prefixEd25519, ErrKey},
		"p-256 no key":  {prefixP256, ErrKey},
		"cose, cut":     {cose, ErrUnsupported},
		"canister, cut": {canister, ErrUnsupported},
	} {
		if _, err := ParsePublicKey(c.der); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := NewSecp256k1([32]byte{}); !errors.Is(err, ErrKey) {
		t.Errorf("zero key: %v", err)
	}
}

func TestPEM(t *testing.T) {
	dir := t.TempDir()
	for name, id := range identities(t) {
		path := filepath.Join(dir, name+".pem")
		if err := Save(path, id); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
		got, err := Load(path)
		if err != nil || got.Sender() != id.Sender() {
			t.Errorf("%s: %v", name, err)
		}
		if err := Save(path, id); !errors.Is(err, os.ErrExist) {
			t.Errorf("%s: overwritten: %v", name, err)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 3 {
		t.Errorf("%d files left", len(left))
	}
	if err := Save(filepath.Join(dir, "x"), Anonymous{}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("anonymous: %v", err)
	}
	// Written by openssl 3: ecparam -name secp256k1 -genkey, and the same key as pkcs8.
	for _, text := range []string{opensslSEC1, opensslPKCS8} {
		id, err := ParsePEM([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(id.(*Secp256k1).key.Serialize()); got != opensslKey {
			t.Errorf("key %s", got)
		}
	}
	for name, text := range map[string]string{"nothing": "", "no key": "-----BEGIN EC PARAMETERS-----\nBgUrgQQACg==\n-----END EC PARAMETERS-----\n",
		"garbage": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if _, err := ParsePEM([]byte(text)); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParsePublicKey(f *testing.F) {
	ed, _ := GenerateEd25519()
	k1, _ := GenerateSecp256k1()
	f.Add(ed.PublicKeyDER(), make([]byte, 64))
	f.Add(k1.PublicKeyDER(), make([]byte, 64))
	f.Add(prefixP256, []byte{})
	for _, v := range vectors {
		f.Add(unhex(f, v.key), unhex(f, v.sig))
	}
	f.Add((&CanisterKey{Canister: principal.FromUint64(7), Seed: []byte("seed")}).DER(), []byte{})
	f.Fuzz(func(t *testing.T, der, sig []byte) {
		key, err := ParsePublicKey(der)
		if err != nil {
			return
		}
		_ = key.Verify([]byte("hello"), sig)
		if c, ok := key.(*CanisterKey); ok && !bytes.Equal(c.DER(), der) {
			t.Fatalf("%x reads as a key of %s that is written %x", der, c.Canister, c.DER())
		}
	})
}

func FuzzParsePEM(f *testing.F) {
	f.Add([]byte(opensslSEC1))
	f.Add([]byte(opensslPKCS8))
	f.Fuzz(func(t *testing.T, text []byte) {
		if id, err := ParsePEM(text); err == nil {
			if _, err := EncodePEM(id); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for name, id := range identities(b) {
		sig, _ := id.Sign([]byte("message"))
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				key, _ := ParsePublicKey(id.PublicKeyDER())
				if key.Verify([]byte("message"), sig) != nil {
					b.Fatal()
				}
			}
		})
	}
}
