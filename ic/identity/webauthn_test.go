package identity

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"fusion/ic/cbor"
	"fusion/ic/principal"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// vectors were made by real authenticators with the challenge "hello" (dfinity/ic, rs/validator/src/webauthn.rs): a YubiKey and
// Windows Hello.
var vectors = map[string]struct{ key, sig string }{
	"p-256": {"305e300c060a2b0601040183b8430101034e00a5010203262001215820b487d183dc4806058eb31a29bedefd7bcca987b77a381a3684871d8449c183942258202a122cc711a80453678c3032de4b6fff2c86342e82d1e7adb617c4165c43ce5e",
		"d9d9f7a37261757468656e74696361746f725f646174615825bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b5010000000170636c69656e745f646174615f6a736f6e58517b2274797065223a2022776562617574686e2e676574222c20226368616c6c656e6765223a202261475673624738222c20226f726967696e223a202268747470733a2f2f6578616d706c652e6f7267227d697369676e617475726558463044022063627c69661048fb111b13dec2f3675010493c1c276c6a144f44e1fabab01d300220517d3cbd70658933dab63fd23cf05f7274aea6afad206be04d4ec5e268b471d2"},
	"rsa": {"30820123300c060a2b0601040183b84301010382011100a401030339010020590100c6b690341eef02719f6d1dfce2db1f77ac9bd632ba70efcee92bae2073c09927ee3670a6696eec0cee96189ddb448d04ec4e4674e940af9f905e893b4ce25821ada8b45c6cd11f2ee0cda668c7c2a2a8a56d5e1f23f5ca0bb6e193c1d34ead16d84cc4b72e26763711fcf49fac3b508715dc9f494ec1379ed5a95c53b9b1edcc027d7013248bbe6d1e1445912a5a21b27168db7f60aa73253e981c33f54f61c67dbce3d9c10d5f0e6af1c112a65c8ce64a1d01ae1e31a53e3d4525addcece402f1e62208d42ebde528830f93bebc898901947ec0fb218a96a53968d07e09b8a067e5a4c825632e24e450c4c9ef8138dcc91f9f9168a603c13bd4f2f8a0d3ee6b2143010001",
		"d9d9f7a3697369676e617475726559010001dac0ad9ee89c9b9d3f772bb8dd79bc16839a026bf4378629789bede8e5e284bce9c59e2c5b2fd5d8daff964d4eec1a43eb6f083595f1ce42c9f78445dba95146e3338680ca72f7720371d88d56ab6578a67f9791954787d54e4c5687bb0d3379a268dbaa9dc8dd550187953c349e10e454c0950cfeaf37c5f01ff09a5b581fb81de8bfe9be21a8baa5f96653fce6eaf485d8726e1f620454c145fa542756e7b606f1ab9439a081bb01fec8be7679c72e2ce110655a36a01bde34be7be9e6270334d9b3f242ff12852992eeb515b13989245d049500629a5ac38c40f09dd218e8e1a790d3034418b7c3b59a6ac73e91b5bf4cf7c62d8e6de2dbaf00117045c070636c69656e745f646174615f6a736f6e786a7b2274797065223a22776562617574686e2e676574222c226368616c6c656e6765223a2261475673624738222c226f726967696e223a2268747470733a2f2f6333656634366165616437622e6e67726f6b2e696f222c2263726f73734f726967696e223a66616c73657d7261757468656e74696361746f725f6461746158252f8ceaf48dec5b53d9ddacaaf8b66392ded1691211f24e687badad8049b59ef60500000001"},
}

func TestWebAuthnVectors(t *testing.T) {
	for name, v := range vectors {
		sig := unhex(t, v.sig)
		key, err := ParsePublicKey(unhex(t, v.key))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := key.Verify([]byte("hello"), sig); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := key.Verify([]byte("hellp"), sig); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: another message: %v", name, err)
		}
		for i := range sig {
			bad := append([]byte(nil), sig...)
			bad[i] ^= 1
			if key.Verify([]byte("hello"), bad) == nil {
				t.Errorf("%s: changed byte %d is accepted", name, i)
			}
		}
	}
}

func TestWebAuthnSignAndVerify(t *testing.T) {
	msg := []byte("\x0aic-request and so on")
	var others []PublicKey
	for _, alg := range []Algorithm{ES256, EdDSA, RS256} {
		id, err := GenerateWebAuthn(alg, "https://example.com")
		if err != nil {
			t.Fatal(err)
		}
		key, err := ParsePublicKey(id.PublicKeyDER())
		if err != nil {
			t.Fatalf("algorithm %d: %v", alg, err)
		}
		sig, err := id.Sign(msg)
		if err != nil {
			t.Fatal(err)
		}
		if err := key.Verify(msg, sig); err != nil {
			t.Errorf("algorithm %d: %v", alg, err)
		}
		if id.Sender() != principal.SelfAuthenticating(id.PublicKeyDER()) {
			t.Errorf("algorithm %d: sender %s", alg, id.Sender())
		}
		for _, o := range others {
			if err := o.Verify(msg, sig); !errors.Is(err, ErrSignature) {
				t.Errorf("another key accepts the signature of algorithm %d: %v", alg, err)
			}
		}
		others = append(others, key)
	}
	if _, err := GenerateWebAuthn(-8000, "x"); !errors.Is(err, ErrUnsupported) {
		t.Errorf("unknown algorithm: %v", err)
	}
}

// A signature that is right in itself is refused when what surrounds it is not.
func TestWebAuthnRefuses(t *testing.T) {
	id, err := GenerateWebAuthn(EdDSA, "https://example.com")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParsePublicKey(id.PublicKeyDER())
	if err != nil {
		t.Fatal(err)
	}
	msg := []byte("message")
	challenge := base64.RawURLEncoding.EncodeToString(msg)
	sign := func(client string) assertion {
		a := assertion{authenticatorData: make([]byte, 37), clientData: []byte(client)}
		if a.signature, err = id.sign(a.signed()); err != nil {
			t.Fatal(err)
		}
		return a
	}
	good := sign(`{"type":"webauthn.get","challenge":"` + challenge + `","origin":"x","tokens":{"challenge":["y"]}}`)
	if err := key.Verify(msg, good.encode()); err != nil {
		t.Fatal(err)
	}
	enc := func(client string) []byte { a := sign(client); return a.encode() }
	large := good
	large.authenticatorData = make([]byte, maxAuthenticatorData+1)
	large.signature, _ = id.sign(large.signed())
	extra := cbor.AppendMap(cbor.AppendSelfDescribe(nil), 1)
	extra = cbor.AppendBytes(cbor.AppendText(extra, "user_handle"), nil)
	for name, c := range map[string]struct {
		sig  []byte
		want string
	}{
		"creation":          {enc(`{"type":"webauthn.create","challenge":"` + challenge + `"}`), "type is"},
		"no type":           {enc(`{"challenge":"` + challenge + `"}`), "type is"},
		"other case":        {enc(`{"Type":"webauthn.get","challenge":"` + challenge + `"}`), "type is"},
		"no challenge":      {enc(`{"type":"webauthn.get"}`), "challenge"},
		"two challenges":    {enc(`{"type":"webauthn.get","challenge":"","challenge":"` + challenge + `"}`), "twice"},
		"another challenge": {enc(`{"type":"webauthn.get","challenge":"AAAA"}`), "another message"},
		"padded challenge":  {enc(`{"type":"webauthn.get","challenge":"` + challenge + `=="}`), "illegal base64"},
		"loose challenge":   {enc(`{"type":"webauthn.get","challenge":"bWVzc2FnZR"}`), "illegal base64"},
		"number":            {enc(`{"type":"webauthn.get","challenge":7}`), "challenge"},
		"array":             {enc(`["webauthn.get"]`), "not a json object"},
		"cut":               {enc(`{"type":"webauthn.get","challenge":"` + challenge + `"`), "EOF"},
		"more":              {enc(`{"type":"webauthn.get","challenge":"` + challenge + `"}{}`), "after the object"},
		"large":             {large.encode(), "bytes of authenticator data"},
		"plain signature":   {good.signature, ""},
		"empty map":         {[]byte{0xa0}, "missing"},
		"unknown field":     {extra, "unknown field"},
		"trailing":          {append(good.encode(), 0), "after the end"},
		"nothing":           {nil, "ends inside"},
	} {
		err := key.Verify(msg, c.sig)
		if !errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestCOSERefuses(t *testing.T) {
	es, err := GenerateWebAuthn(ES256, "x")
	if err != nil {
		t.Fatal(err)
	}
	good := es.der[len(es.der)-77:] // the COSE key
	ed := func(fields int, alg Algorithm, more ...byte) []byte {
		return append(coseHead(fields, ktyOKP, alg), more...)
	}
	modulus := make([]byte, 256)
	modulus[0], modulus[255] = 0x80, 1
	rsaKey := func(n, e []byte) []byte {
		return cbor.AppendBytes(cbor.AppendInt(cbor.AppendBytes(cbor.AppendInt(coseHead(4, ktyRSA, RS256), coseModulus), n), coseExponent), e)
	}
	if _, err := parseCOSE(good); err != nil {
		t.Fatal(err)
	}
	if _, err := parseCOSE(rsaKey(modulus, []byte{1, 0, 1})); err != nil {
		t.Fatal(err)
	}
	flip := func(i int) []byte { b := append([]byte(nil), good...); b[i] ^= 1; return b }
	for name, c := range map[string]struct {
		in   []byte
		want error
	}{
		"nothing":           {nil, ErrKey},
		"off the curve":     {flip(76), ErrKey},
		"p-384":             {flip(6), ErrUnsupported},
		"trailing":          {append(good[:77:77], 0), ErrKey},
		"twice":             {append(ed(3, EdDSA), 0x01, 0x01), ErrKey},
		"private part":      {append(ed(3, EdDSA), 0x23, 0x40), ErrKey}, // label -4
		"text key":          {[]byte{0xa1, 0x61, 0x31, 0x01}, ErrKey},
		"no point":          {ed(2, EdDSA), ErrUnsupported},
		"short ed25519":     {ed(4, EdDSA, 0x20, 0x06, 0x21, 0x41, 0x00), ErrKey},
		"ed25519 as es256":  {ed(4, ES256, 0x20, 0x06, 0x21, 0x41, 0x00), ErrUnsupported},
		"short modulus":     {rsaKey(modulus[1:], []byte{1, 0, 1}), ErrKey},
		"padded modulus":    {rsaKey(append([]byte{0}, modulus...), []byte{1, 0, 1}), ErrKey},
		"even modulus":      {rsaKey(append(modulus[:255:255], 0), []byte{1, 0, 1}), ErrKey},
		"large modulus":     {rsaKey(append([]byte{1}, make([]byte, 1024)...), []byte{1, 0, 1}), ErrKey},
		"no exponent":       {rsaKey(modulus, nil), ErrKey},
		"exponent one":      {rsaKey(modulus, []byte{1}), ErrKey},
		"even exponent":     {rsaKey(modulus, []byte{4}), ErrKey},
		"padded exponent":   {rsaKey(modulus, []byte{0, 3}), ErrKey},
		"large exponent":    {rsaKey(modulus, []byte{0x80, 0, 0, 1}), ErrKey},
		"type after modulo": {append([]byte{0xa4}, rsaKey(modulus, []byte{3})[7:]...), ErrKey},
	} {
		if _, err := parseCOSE(c.in); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestCanisterKey(t *testing.T) {
	for _, size := range []int{0, 1, 100, 200, 1000, maxSeed} {
		k := &CanisterKey{Canister: principal.FromUint64(7), Seed: make([]byte, size)}
		got, err := ParsePublicKey(k.DER())
		if err != nil {
			t.Fatalf("seed of %d bytes: %v", size, err)
		}
		c, ok := got.(*CanisterKey)
		if !ok || c.Canister != k.Canister || len(c.Seed) != size {
			t.Errorf("seed of %d bytes: %+v", size, got)
		}
		if err := c.Verify(nil, nil); !errors.Is(err, ErrUnsupported) {
			t.Errorf("verifies without a root key: %v", err)
		}
	}
	der := (&CanisterKey{Canister: principal.FromUint64(7), Seed: []byte("s")}).DER()
	long := wrapDfinity(arcCanister, append([]byte{30}, make([]byte, 40)...))
	for name, bad := range map[string][]byte{
		"trailing":       append(der[:len(der):len(der)], 0),
		"id cut":         wrapDfinity(arcCanister, []byte{10, 1, 2}),
		"nothing":        wrapDfinity(arcCanister, nil),
		"long id":        long,
		"long form":      append([]byte{0x30, 0x81}, der[1:]...),
		"unused bits":    []byte(strings.Replace(string(der), "\x03\x0d\x00", "\x03\x0d\x01", 1)),
		"no bit string":  append([]byte{0x30, 0x0e}, algorithmDfinity[:]...),
		"other arc":      wrapDfinity(3, []byte("x")),
		"cut bit string": wrapDfinity(arcCanister, []byte("0123456789"))[:20],
	} {
		if _, err := ParsePublicKey(bad); !errors.Is(err, ErrKey) && !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// ZIP 215 is what makes all replicas agree: these signatures are told apart by other rules. The key and R are points of small
// order, in encodings that are not canonical, and s is zero.
func TestEd25519RulesAreZIP215(t *testing.T) {
	for name, c := range map[string]struct {
		key, r string
		valid  bool
	}{
		"identity":               {"0100000000000000000000000000000000000000000000000000000000000000", "0100000000000000000000000000000000000000000000000000000000000000", true},
		"order four":             {"0000000000000000000000000000000000000000000000000000000000000000", "0000000000000000000000000000000000000000000000000000000000000080", true},
		"not canonical":          {"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", true},
		"not on the curve":       {"0200000000000000000000000000000000000000000000000000000000000000", "0100000000000000000000000000000000000000000000000000000000000000", false},
		"r is not on the curve":  {"0100000000000000000000000000000000000000000000000000000000000000", "0200000000000000000000000000000000000000000000000000000000000000", false},
		"r is not of that order": {"0100000000000000000000000000000000000000000000000000000000000000", "5866666666666666666666666666666666666666666666666666666666666666", false},
	} {
		key, err := ParsePublicKey(EncodeEd25519(unhex(t, c.key)))
		if err != nil {
			if c.valid {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		sig := append(unhex(t, c.r), make([]byte, 32)...)
		if err := key.Verify([]byte("Zcash"), sig); (err == nil) != c.valid {
			t.Errorf("%s: %v", name, err)
		}
	}
	// s must be below the group's order.
	id, err := GenerateEd25519()
	if err != nil {
		t.Fatal(err)
	}
	key, _ := ParsePublicKey(id.PublicKeyDER())
	sig, _ := id.Sign([]byte("m"))
	order := unhex(t, "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
	carry := 0
	for i, o := range order {
		v := int(sig[32+i]) + int(o) + carry
		sig[32+i], carry = byte(v), v>>8
	}
	if err := key.Verify([]byte("m"), sig); !errors.Is(err, ErrSignature) {
		t.Errorf("s above the order: %v", err)
	}
}
