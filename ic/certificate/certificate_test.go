package certificate

import (
	"bytes"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"sync"
	"testing"

	blst "github.com/supranational/blst/bindings/go"

	"fusion/ic/hashtree"
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

// subnet is a real key and what it certifies.
type subnet struct {
	key *blst.SecretKey
	der []byte
	id  principal.Principal
}

func newSubnet(seed byte) *subnet {
	sk := blst.KeyGen(bytes.Repeat([]byte{seed}, 32))
	der := WrapKey([KeySize]byte(new(blst.P2Affine).From(sk).Compress()))
	return &subnet{sk, der, principal.SelfAuthenticating(der)}
}

func (s *subnet) sign(root hashtree.Hash) []byte {
	return new(blst.P1Affine).Sign(s.key, StateRootMessage(root), ciphersuite).Compress()
}

func (s *subnet) certify(m *hashtree.Map, paths ...[][]byte) *Certificate {
	return &Certificate{Tree: m.Witness(paths...), Signature: s.sign(m.Digest())}
}

func state() *hashtree.Map {
	return (*hashtree.Map)(nil).Insert(hashtree.Path("time"), EncodeNat(1234)).Insert(hashtree.Path("x"), []byte("y"))
}

var inRange, outOfRange = principal.FromUint64(15), principal.FromUint64(21)

// delegated returns a certificate of a subnet under the root, whose ranges are 10 to 20.
func delegated(root, sub *subnet, sharded bool) *Certificate {
	m := (*hashtree.Map)(nil).Insert([][]byte{[]byte("subnet"), sub.id.Bytes(), []byte("public_key")}, sub.der)
	path := [][]byte{[]byte("subnet"), sub.id.Bytes(), []byte("canister_ranges")}
	if sharded {
		path = [][]byte{[]byte("canister_ranges"), sub.id.Bytes(), principal.FromUint64(10).Bytes()}
	}
	m = m.Insert(path, EncodeRanges([]Range{{principal.FromUint64(10), principal.FromUint64(20)}}))
	c := sub.certify(state(), hashtree.Path("time"))
	c.Delegation = &Delegation{sub.id, root.certify(m, [][]byte{}).Encode()}
	return c
}

func TestRoundTripAndVerify(t *testing.T) {
	root, sub := newSubnet(1), newSubnet(2)
	v, err := NewVerifier(root.der)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*Certificate{
		"root": root.certify(state(), hashtree.Path("time")), "sharded ranges": delegated(root, sub, true), "one range value": delegated(root, sub, false),
	} {
		got, err := Parse(c.Encode())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(got.Encode(), c.Encode()) {
			t.Errorf("%s changed", name)
		}
		for _, s := range []Scope{Any, ForCanister(inRange), ForSubnet(sub.id)} {
			for range 2 {
				if err := v.Verify(got, s); err != nil {
					t.Errorf("%s, %v: %v", name, s, err)
				}
			}
		}
		if now, err := got.Time(); err != nil || now != 1234 {
			t.Errorf("%s: time %d, %v", name, now, err)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	root, sub, other := newSubnet(1), newSubnet(2), newSubnet(3)
	v, err := NewVerifier(root.der)
	if err != nil {
		t.Fatal(err)
	}
	plain := func(mut func(*Certificate)) *Certificate {
		c := root.certify(state(), hashtree.Path("time"))
		mut(c)
		return c
	}
	del := func(mut func(*Certificate)) *Certificate {
		c := delegated(root, sub, true)
		mut(c)
		return c
	}
	infinity := append([]byte{0xc0}, make([]byte, SignatureSize-1)...)
	noKey := root.certify((*hashtree.Map)(nil).Insert(hashtree.Path("a"), nil), [][]byte{}).Encode()
	noRanges := root.certify((*hashtree.Map)(nil).Insert([][]byte{[]byte("subnet"), sub.id.Bytes(), []byte("public_key")}, sub.der), [][]byte{}).Encode()
	badKey := root.certify((*hashtree.Map)(nil).Insert([][]byte{[]byte("subnet"), sub.id.Bytes(), []byte("public_key")}, sub.der[:90]), [][]byte{}).Encode()
	for name, c := range map[string]struct {
		cert  *Certificate
		scope Scope
		want  error
	}{
		"other key":           {other.certify(state()), Any, ErrBadSignature},
		"other tree":          {plain(func(c *Certificate) { c.Tree = hashtree.Empty{} }), Any, ErrBadSignature},
		"short signature":     {plain(func(c *Certificate) { c.Signature = c.Signature[:47] }), Any, ErrBadSignature},
		"changed signature":   {plain(func(c *Certificate) { c.Signature[47] ^= 1 }), Any, ErrBadSignature},
		"identity":            {plain(func(c *Certificate) { c.Signature = infinity }), Any, ErrBadSignature},
		"out of range":        {del(func(*Certificate) {}), ForCanister(outOfRange), ErrOutOfScope},
		"other subnet":        {del(func(*Certificate) {}), ForSubnet(other.id), ErrOutOfScope},
		"delegated elsewhere": {del(func(c *Certificate) { c.Delegation.SubnetID = other.id }), Any, ErrDelegation},
		"delegation garbage":  {del(func(c *Certificate) { c.Delegation.Certificate = []byte{0} }), Any, ErrDelegation},
		"not by the root":     {delegated(other, sub, true), Any, ErrDelegation},
		"nested delegation":   {del(func(c *Certificate) { c.Delegation.Certificate = delegated(root, sub, true).Encode() }), Any, ErrDelegation},
		"delegation, no key":  {del(func(c *Certificate) { c.Delegation.Certificate = noKey }), Any, ErrDelegation},
		"delegation, bad key": {del(func(c *Certificate) { c.Delegation.Certificate = badKey }), Any, ErrDelegation},
		"no ranges":           {del(func(c *Certificate) { c.Delegation.Certificate = noRanges }), ForCanister(inRange), ErrOutOfScope},
		"no ranges needed":    {del(func(c *Certificate) { c.Delegation.Certificate = noRanges }), ForSubnet(sub.id), nil},
		"signed by the root":  {del(func(c *Certificate) { c.Signature = root.sign(c.Tree.Digest()) }), Any, ErrBadSignature},
	} {
		for range 2 { // also from memory
			if err := v.Verify(c.cert, c.scope); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
		}
	}
}

// A response recorded from the Internet Computer's main network, with a delegation from its root key: a rejected call, certified
// by the subnet of canisters 0x200000 to 0x2fffff.
const (
	mainnetRoot = "308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c05030201036100814c0e6ec71fab583b08bd81373c255c3c371b2e84863c98a4f1e08b74235d14fb5d9c0cd546d9685f913a0c0b2cc5341583bf4b4392e467db96d65b9bb4cb717112f8472e0d5a4d14505ffd7484b01291091c5f87b98883463f98091a0baaae"
	mainnetCert = "d9d9f7a364747265658301830182045820250f5e26868d9c1ea7ab29cbe9c15bf1c47c0d7605e803e39e375a7fe09c6ebb830183024e726571756573745f7374617475738301820458204b268227774ec77ff2b37ecb12157329d54cf376694bdd59ded7803efd82386f83025820edad510eaaa08ed2acd4781324e6446269da6753ec17760f206bbe81c465ff528301830183024b72656a6563745f636f64658203410383024e72656a6563745f6d6573736167658203584443616e69737465722069766733372d71696161612d61616161622d61616167612d63616920686173206e6f20757064617465206d6574686f64202772656769737465722783024673746174757382034872656a65637465648204582097232f31f6ab7ca4fe53eb6568fc3e02bc22fe94ab31d010e5fb3c642301f1608301820458203a48d1fc213d49307103104f7d72c2b5930edba8787b90631f343b3aa68a5f0a83024474696d65820349e2dc939091c696eb16697369676e6174757265583089a2be21b5fa8ac9fab1527e041327ce899d7da971436a1f2165393947b4d942365bfe5488710e61a619ba48388a21b16a64656c65676174696f6ea2697375626e65745f6964581dd77b2a2f7199b9a8aec93fe6fb588661358cf12223e9a3af7b4ebac4026b6365727469666963617465590231d9d9f7a26474726565830182045820ae023f28c3b9d966c8fb09f9ed755c828aadb5152e00aaf700b18c9c067294b483018302467375626e6574830182045820e83bb025f6574c8f31233dc0fe289ff546dfa1e49bd6116dd6e8896d90a4946e830182045820e782619092d69d5bebf0924138bd4116b0156b5a95e25c358ea8cf7e7161a661830183018204582062513fa926c9a9ef803ac284d620f303189588e1d3904349ab63b6470856fc4883018204582060e9a344ced2c9c4a96a0197fd585f2d259dbd193e4eada56239cac26087f9c58302581dd77b2a2f7199b9a8aec93fe6fb588661358cf12223e9a3af7b4ebac402830183024f63616e69737465725f72616e6765738203581bd9d9f781824a000000000020000001014a00000000002fffff010183024a7075626c69635f6b657982035885308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c050302010361009933e1f89e8a3c4d7fdcccdbd518089e2bd4d8180a261f18d9c247a52768ebce98dc7328a39814a8f911086a1dd50cbe015e2a53b7bf78b55288893daa15c346640e8831d72a12bdedd979d28470c34823b8d1c3f4795d9c3984a247132e94fe82045820996f17bb926be3315745dea7282005a793b58e76afeb5d43d1a28ce29d2d158583024474696d6582034995b8aac0e4eda2ea16697369676e61747572655830ace9fcdd9bc977e05d6328f889dc4e7c99114c737a494653cb27a1f55c06f4555e0f160980af5ead098acc195010b2f7"
)

func TestMainnetCertificate(t *testing.T) {
	v, err := NewVerifier(unhex(t, mainnetRoot))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse(unhex(t, mainnetCert))
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[uint64]error{0x1fffff: ErrOutOfScope, 0x200000: nil, 0x2000c0: nil, 0x2fffff: nil, 0x300000: ErrOutOfScope} {
		if err := v.Verify(c, ForCanister(principal.FromUint64(id))); !errors.Is(err, want) {
			t.Errorf("canister %x: %v, want %v", id, err, want)
		}
	}
	if !bytes.Equal(c.Encode(), unhex(t, mainnetCert)) {
		t.Error("encodes otherwise than the Internet Computer")
	}
	// A BLS signature in the same ciphersuite, from the tests of the Internet Computer's clients.
	key, err := ParsePublicKey(WrapKey([KeySize]byte(unhex(t, "a7623a93cdb56c4d23d99c14216afaab3dfd6d4f9eb3db23d038280b6d5cb2caaee2a19dd92c9df7001dede23bf036bc0f33982dfb41e8fa9b8e96b5dc3e83d55ca4dd146c7eb2e8b6859cb5a5db815db86810b8d12cee1588b5dbf34a4dc9a5"))))
	if err != nil {
		t.Fatal(err)
	}
	sig := unhex(t, "b89e13a212c830586eaa9ad53946cd968718ebecc27eda849d9232673dcd4f440e8b5df39bf14a88048c15e16cbcaabe")
	if !key.Verify([]byte("hello"), sig) || key.Verify([]byte("hallo"), sig) {
		t.Error("bls signature of hello")
	}
}

func TestDERKey(t *testing.T) {
	var spki struct {
		Algorithm struct{ Algorithm, Curve asn1.ObjectIdentifier }
		Key       asn1.BitString
	}
	der := newSubnet(1).der
	if rest, err := asn1.Unmarshal(der, &spki); err != nil || len(rest) != 0 {
		t.Fatal(err)
	}
	if a, c := spki.Algorithm.Algorithm.String(), spki.Algorithm.Curve.String(); a != "1.3.6.1.4.1.44668.5.3.1.2.1" || c != "1.3.6.1.4.1.44668.5.3.2.1" {
		t.Errorf("algorithm %s, curve %s", a, c)
	}
	zero := WrapKey([KeySize]byte{0xc0})
	for name, bad := range map[string][]byte{"nothing": nil, "cut": der[:len(der)-1], "long": append(bytes.Clone(der), 0), "identity": zero,
		"not a point": append(bytes.Clone(der[:len(der)-1]), der[len(der)-1]^1)} {
		if _, err := ParsePublicKey(bad); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good := newSubnet(1).certify(state()).Encode()
	for name, b := range map[string][]byte{"nothing": nil, "trailing": append(bytes.Clone(good), 0), "cut": good[:len(good)-1], "empty": {0xa0},
		"no tree": unhex(t, "a1697369676e61747572654100"), "duplicate": unhex(t, "a264747265658100647472656581006100")} {
		if _, err := Parse(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, b := range map[string]string{"one end": "81814101", "three": "81834101410241 03", "long": "8182581e" + hex.EncodeToString(make([]byte, 30)) + "40", "trailing": "8000"} {
		if _, err := DecodeRanges(unhex(t, string(bytes.ReplaceAll([]byte(b), []byte(" "), nil)))); !errors.Is(err, ErrMalformed) {
			t.Errorf("ranges %s: %v", name, err)
		}
	}
	for _, b := range [][]byte{nil, {0x80}, {1, 0}, bytes.Repeat([]byte{0xff}, 11)} {
		if _, err := DecodeNat(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("number %x: %v", b, err)
		}
	}
}

// The memory is bounded, and many goroutines may share it.
func TestVerifierMemory(t *testing.T) {
	root := newSubnet(1)
	v, err := NewVerifier(root.der)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 * generation {
		v.remember(sha256.Sum256([]byte{byte(i), byte(i >> 8), byte(i >> 16)}))
	}
	if n := len(v.young) + len(v.old); n > 2*generation {
		t.Errorf("remembers %d", n)
	}
	good, bad := root.certify(state()), root.certify(state())
	bad.Signature = newSubnet(2).sign(bad.Tree.Digest())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := v.Verify(good, Any); err != nil {
				t.Error(err)
			}
			if err := v.Verify(bad, Any); !errors.Is(err, ErrBadSignature) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func FuzzParse(f *testing.F) {
	b, _ := hex.DecodeString(mainnetCert)
	f.Add(b)
	f.Add(newSubnet(1).certify(state()).Encode())
	rootKey, _ := hex.DecodeString(mainnetRoot)
	v, err := NewVerifier(rootKey)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b)
		if err != nil {
			return
		}
		if again, err := Parse(c.Encode()); err != nil || again.Tree.Digest() != c.Tree.Digest() {
			t.Fatalf("%x does not survive: %v", b, err)
		}
		_ = v.Verify(c, ForCanister(principal.FromUint64(1)))
		_, _ = Ranges(c.Tree, principal.FromUint64(1))
		_, _ = c.Time()
	})
}

func FuzzDecodeRanges(f *testing.F) {
	f.Add(EncodeRanges([]Range{{principal.FromUint64(1), principal.FromUint64(2)}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := DecodeRanges(b); err == nil {
			if again, err := DecodeRanges(EncodeRanges(r)); err != nil || len(again) != len(r) {
				t.Fatalf("%x does not survive: %v", b, err)
			}
		}
	})
}

func FuzzDecodePrincipals(f *testing.F) {
	f.Add([]byte("\xd9\xd9\xf7\x82\x41\x04\x40"))
	f.Add([]byte("\x80"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if list, err := DecodePrincipals(b); err == nil && len(list) > len(b) {
			t.Fatalf("%d principals in %d bytes", len(list), len(b))
		}
	})
}

func TestDecodePrincipals(t *testing.T) {
	list, err := DecodePrincipals([]byte("\xd9\xd9\xf7\x82\x41\x04\x40"))
	if err != nil || len(list) != 2 || list[0] != principal.Anonymous || list[1] != principal.Management {
		t.Errorf("%v, %v", list, err)
	}
	for _, bad := range []string{"", "\x81", "\x81\x01", "\x80\x00", "\x81\x58\x1e" + string(make([]byte, 30))} {
		if list, err := DecodePrincipals([]byte(bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%x: %v, %v", bad, list, err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	root := newSubnet(1)
	enc := root.certify(state(), hashtree.Path("time")).Encode()
	b.Run("first", func(b *testing.B) {
		c, _ := Parse(enc)
		for b.Loop() {
			v, _ := NewVerifier(root.der)
			if v.Verify(c, Any) != nil {
				b.Fatal()
			}
		}
	})
	b.Run("again", func(b *testing.B) {
		v, _ := NewVerifier(root.der)
		b.ReportAllocs()
		for b.Loop() {
			c, _ := Parse(enc)
			if v.Verify(c, Any) != nil {
				b.Fatal()
			}
		}
	})
}
