package vetkd

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"slices"
	"testing"

	blst "github.com/supranational/blst/bindings/go"

	"fusion/chainkey/bls"
	"fusion/chainkey/bls/blstest"
	"fusion/internal/codec"
)

// deal shares a fixed secret among n holders with threshold t, for tests alone: package bls makes keys that nobody knows.
func deal(t testing.TB, n, threshold int) (*bls.Group, []*bls.SecretShare) {
	t.Helper()
	order, _ := new(big.Int).SetString("73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001", 16)
	eval := func(x int64) [SecretSize]byte {
		sum := new(big.Int)
		for i := threshold - 1; i >= 0; i-- {
			c := sha256.Sum256(fmt.Appendf(nil, "coefficient %d", i))
			sum.Mul(sum, big.NewInt(x)).Add(sum, new(big.Int).SetBytes(c[:])).Mod(sum, order)
		}
		return [SecretSize]byte(sum.FillBytes(make([]byte, SecretSize)))
	}
	public := func(secret [SecretSize]byte) []byte {
		return new(blst.P2Affine).From(new(blst.SecretKey).Deserialize(secret[:])).Compress()
	}
	var shares []*bls.SecretShare
	var keys [][]byte
	for i := range n {
		s := &bls.SecretShare{Index: i, Scalar: eval(int64(i + 1))}
		shares, keys = append(shares, s), append(keys, public(s.Scalar))
	}
	g, err := bls.NewGroup(threshold, public(eval(0)), keys)
	if err != nil {
		t.Fatal(err)
	}
	return g, shares
}

func master(g *bls.Group) []byte { k := g.PublicKey(); return k[:] }

func transportKey(t testing.TB, seed byte) *TransportKey {
	t.Helper()
	k, err := NewTransportKey(bytes.NewReader(bytes.Repeat([]byte{seed}, SecretSize)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func request(t testing.TB, g *bls.Group, canister, context, input string, tk *TransportKey) *Request {
	t.Helper()
	public := tk.Public()
	q, err := NewRequest(master(g), []byte(canister), []byte(context), []byte(input), public[:])
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func sharesOf(t testing.TB, q *Request, secrets []*bls.SecretShare) []Share {
	t.Helper()
	var out []Share
	for _, s := range secrets {
		share, err := q.Share(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, share)
	}
	return out
}

// TestAnyQuorumDerivesTheSameKey runs the whole way with a key that the members of a real key generation made.
func TestAnyQuorumDerivesTheSameKey(t *testing.T) {
	g, secrets := blstest.Generate(t, "vetkd", 4)
	tk := transportKey(t, 1)
	q := request(t, g, "canister", "context", "input", tk)
	shares := sharesOf(t, q, secrets)
	for _, s := range shares {
		if err := q.VerifyShare(g, s); err != nil {
			t.Fatal(err)
		}
	}
	public, err := DerivePublicKey(master(g), []byte("canister"), []byte("context"))
	if err != nil || public != q.PublicKey {
		t.Fatalf("derived key %x, %v; the request has %x", public, err, q.PublicKey)
	}
	var key Key
	for i := range shares {
		quorum := slices.Delete(slices.Clone(shares), i, i+1)
		enc, err := q.Combine(g, quorum)
		if err != nil {
			t.Fatal(err)
		}
		k, err := tk.Decrypt(enc[:], public[:], []byte("input"))
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && k != key {
			t.Error("two quorums derive different keys")
		}
		key = k
	}
	if _, err := q.Combine(g, shares[:2]); !errors.Is(err, ErrTooFewShares) {
		t.Errorf("two of three shares: %v", err)
	}
	if _, err := q.Combine(g, []Share{shares[0], shares[1], shares[1]}); !errors.Is(err, ErrTooFewShares) {
		t.Errorf("one share twice: %v", err)
	}

	// Another receiver learns the same key; another canister, context or input has another.
	other := transportKey(t, 2)
	again := request(t, g, "canister", "context", "input", other)
	enc, err := again.Combine(g, sharesOf(t, again, secrets))
	if err != nil {
		t.Fatal(err)
	}
	if k, err := other.Decrypt(enc[:], public[:], []byte("input")); err != nil || k != key {
		t.Errorf("another transport key: %v", err)
	}
	if _, err := tk.Decrypt(enc[:], public[:], []byte("input")); !errors.Is(err, ErrEncryptedKey) {
		t.Errorf("opened with another's transport key: %v", err)
	}
	for _, x := range [][3]string{{"another", "context", "input"}, {"canister", "", "input"}, {"canister", "c", "input"}, {"canister", "context", ""}} {
		q := request(t, g, x[0], x[1], x[2], tk)
		enc, err := q.Combine(g, sharesOf(t, q, secrets))
		if err != nil {
			t.Fatal(err)
		}
		if k, err := tk.Decrypt(enc[:], q.PublicKey[:], []byte(x[2])); err != nil || k == key {
			t.Errorf("%q: %v, or the same key", x, err)
		}
		if _, err := tk.Decrypt(enc[:], public[:], []byte("input")); !errors.Is(err, ErrEncryptedKey) {
			t.Errorf("%q passes for the first request's key: %v", x, err)
		}
	}
}

func TestWrongSharesAreFoundAndNamed(t *testing.T) {
	g, secrets := deal(t, 4, 3)
	tk := transportKey(t, 1)
	q := request(t, g, "canister", "", "input", tk)
	good := sharesOf(t, q, secrets)
	stranger := sharesOf(t, request(t, g, "canister", "", "another input", tk), secrets)
	elsewhere := sharesOf(t, request(t, g, "canister", "", "input", transportKey(t, 9)), secrets)
	swapped := func(from, to int, a, b Share) Share {
		copy(a.Bytes[from:to], b.Bytes[from:to])
		return a
	}
	infinity := func(at int) Share {
		s := good[1]
		size := 48
		if at == 48 {
			size = 96
		}
		clear(s.Bytes[at : at+size])
		s.Bytes[at] = 0xc0
		return s
	}
	for name, bad := range map[string]Share{
		"of another input":         stranger[1],
		"for another receiver":     elsewhere[1],
		"of another holder":        {Index: 1, Bytes: good[2].Bytes},
		"another E1":               swapped(0, 48, good[1], elsewhere[1]),
		"another E2":               swapped(48, 144, good[1], elsewhere[1]),
		"another E3":               swapped(144, 192, good[1], elsewhere[1]),
		"another pair of E1 and 2": swapped(0, 144, good[1], elsewhere[1]),
		"no points":                {Index: 1},
		"E1 neutral":               infinity(0),
		"E2 neutral":               infinity(48),
		"E3 neutral":               infinity(144),
	} {
		if err := q.VerifyShare(g, bad); !errors.Is(err, ErrShare) {
			t.Errorf("%s: %v", name, err)
		}
		shares := []Share{good[0], bad, good[2]}
		if _, err := q.Combine(g, shares); !errors.Is(err, ErrShare) && !errors.Is(err, ErrEncryptedKey) {
			t.Errorf("%s: combined: %v", name, err)
		}
		if got := q.BadShares(g, shares); !slices.Equal(got, []int{1}) {
			t.Errorf("%s: blamed %v", name, got)
		}
	}
	for _, index := range []int{-1, 4} {
		if err := q.VerifyShare(g, Share{Index: index, Bytes: good[0].Bytes}); !errors.Is(err, ErrShare) {
			t.Errorf("holder %d of 4: %v", index, err)
		}
	}
	if again := sharesOf(t, q, secrets); !slices.Equal(again, good) {
		t.Error("a holder says something else the second time")
	}
}

func TestPointsAreReadStrictly(t *testing.T) {
	g, _ := deal(t, 1, 1)
	tk := transportKey(t, 1).Public()
	neutral1, neutral2 := make([]byte, 48), make([]byte, 96)
	neutral1[0], neutral2[0] = 0xc0, 0xc0
	// x = 4 is on the curve of G1 and outside the subgroup of prime order.
	outside := make([]byte, 48)
	outside[0], outside[47] = 0x80, 4
	if p := new(blst.P1Affine).Uncompress(outside); p == nil || p.InG1() {
		t.Fatal("the point of the test is not what it should be")
	}
	uncompressed := new(blst.P1Affine).Uncompress(tk[:]).Serialize()
	for name, b := range map[string][]byte{"nothing": nil, "neutral": neutral1, "outside": outside, "uncompressed": uncompressed, "of G2": master(g), "zeros": make([]byte, 48)} {
		if err := CheckTransportKey(b); !errors.Is(err, ErrTransportKey) {
			t.Errorf("transport key %s: %v", name, err)
		}
		if _, err := NewRequest(master(g), nil, nil, nil, b); !errors.Is(err, ErrTransportKey) {
			t.Errorf("request with transport key %s: %v", name, err)
		}
	}
	for name, b := range map[string][]byte{"nothing": nil, "neutral": neutral2, "of G1": tk[:], "zeros": make([]byte, 96)} {
		if _, err := DerivePublicKey(b, nil, nil); !errors.Is(err, ErrPublicKey) {
			t.Errorf("master key %s: %v", name, err)
		}
		if _, err := NewRequest(b, nil, nil, nil, tk[:]); !errors.Is(err, ErrPublicKey) {
			t.Errorf("request below master key %s: %v", name, err)
		}
		if err := Verify(b, nil, Key{}); !errors.Is(err, ErrPublicKey) {
			t.Errorf("verifying under key %s: %v", name, err)
		}
	}
	if err := Verify(master(g), nil, Key(neutral1)); !errors.Is(err, ErrKey) {
		t.Errorf("a neutral vetkey: %v", err)
	}
	for name, b := range map[string][]byte{"short": {1}, "zero": make([]byte, 32), "large": bytes.Repeat([]byte{0xff}, 32)} {
		if _, err := ParseTransportKey(b); !errors.Is(err, ErrTransportKey) {
			t.Errorf("transport secret %s: %v", name, err)
		}
	}
	if _, err := NewTransportKey(bytes.NewReader(nil)); err == nil {
		t.Error("a transport key of no randomness")
	}
	var blank Request
	if err := blank.Verify(make([]byte, EncryptedKeySize)); !errors.Is(err, ErrEncryptedKey) {
		t.Errorf("a blank request: %v", err)
	}
}

func TestRequestsSurviveTheStore(t *testing.T) {
	g, _ := deal(t, 4, 3)
	q := request(t, g, "canister", "context", "input", transportKey(t, 1))
	var back Request
	if err := codec.Unmarshal(codec.Marshal(q), &back); err != nil || back != *q {
		t.Fatalf("%v, %v", back, err)
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	tk := transportKey(t, 1)
	secret, k := tk.Secret(), Key{1, 2, 3, 4}
	again, err := ParseTransportKey(secret[:])
	if err != nil || again.Public() != tk.Public() {
		t.Fatalf("a transport key is another after reading it back: %v", err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(format, tk) + fmt.Sprintf(format, k); s != "vetkd transport keyvetkey" {
			t.Errorf("%s prints %q", format, s)
		}
	}
	tk.Wipe()
	if tk.Secret() != [SecretSize]byte{} {
		t.Error("the secret is still there")
	}
}

// vector is one derivation as @dfinity/vetkeys 0.4.0 computes and accepts it; see testdata/README.md.
type vector struct {
	Canister, Context, Input, TransportSecret string
	TransportPublic, EncryptedKey             string
	// By the client:
	CanisterKey, DerivedKey, VetKey, Symmetric string
}

const (
	vectorFile   = "testdata/vetkeys.json"
	vectorDomain = "fusion-vector"
)

// TestVectorsOfTheClientLibrary compares every step with what the Internet Computer's own client computed, which accepted these very
// encrypted keys. With FUSION_VETKD_VECTORS=file it writes our half of the vectors there instead.
func TestVectorsOfTheClientLibrary(t *testing.T) {
	g, secrets := deal(t, 4, 3)
	if file := os.Getenv("FUSION_VETKD_VECTORS"); file != "" {
		writeVectors(t, file, g, secrets)
		return
	}
	raw, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Master  string
		Vectors []vector
		// Production is a key of the Internet Computer, derived by the client.
		Production struct{ Master, Canister, Context, DerivedKey string }
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) < 3 || file.Master != hex.EncodeToString(master(g)) {
		t.Fatalf("%d vectors under %s", len(file.Vectors), file.Master)
	}
	equal := func(what, want string, got []byte) {
		t.Helper()
		if hex.EncodeToString(got) != want {
			t.Errorf("%s is %x, the client has %s", what, got, want)
		}
	}
	for _, v := range file.Vectors {
		canister, context, input := unhex(t, v.Canister), unhex(t, v.Context), unhex(t, v.Input)
		own, err := DerivePublicKey(master(g), canister, nil)
		if err != nil {
			t.Fatal(err)
		}
		equal("canister key", v.CanisterKey, own[:])
		derived, err := DerivePublicKey(master(g), canister, context)
		if err != nil {
			t.Fatal(err)
		}
		equal("derived key", v.DerivedKey, derived[:])
		tk, err := ParseTransportKey(unhex(t, v.TransportSecret))
		if err != nil {
			t.Fatal(err)
		}
		public := tk.Public()
		equal("transport key", v.TransportPublic, public[:])
		q, err := NewRequest(master(g), canister, context, input, public[:])
		if err != nil {
			t.Fatal(err)
		}
		enc, err := q.Combine(g, sharesOf(t, q, secrets))
		if err != nil {
			t.Fatal(err)
		}
		equal("encrypted key", v.EncryptedKey, enc[:])
		key, err := tk.Decrypt(enc[:], derived[:], input)
		if err != nil {
			t.Fatal(err)
		}
		equal("vetkey", v.VetKey, key[:])
		symmetric, err := key.Symmetric(vectorDomain, 32)
		if err != nil {
			t.Fatal(err)
		}
		equal("symmetric key", v.Symmetric, symmetric)
	}
	p := file.Production
	derived, err := DerivePublicKey(unhex(t, p.Master), unhex(t, p.Canister), unhex(t, p.Context))
	if err != nil {
		t.Fatal(err)
	}
	equal("derived production key", p.DerivedKey, derived[:])
}

func writeVectors(t *testing.T, file string, g *bls.Group, secrets []*bls.SecretShare) {
	var out []vector
	for i, x := range [][3]string{{"\x00\x00\x00\x00\x00\x00\x00\x01\x01\x01", "notes", "alice"}, {"\xff\xff", "", "input without context"}, {"c", "context", ""}} {
		tk := transportKey(t, byte(i+1))
		q := request(t, g, x[0], x[1], x[2], tk)
		enc, err := q.Combine(g, sharesOf(t, q, secrets))
		if err != nil {
			t.Fatal(err)
		}
		secret, public := tk.Secret(), tk.Public()
		out = append(out, vector{Canister: hex.EncodeToString([]byte(x[0])), Context: hex.EncodeToString([]byte(x[1])), Input: hex.EncodeToString([]byte(x[2])),
			TransportSecret: hex.EncodeToString(secret[:]), TransportPublic: hex.EncodeToString(public[:]), EncryptedKey: hex.EncodeToString(enc[:])})
	}
	b, err := json.MarshalIndent(map[string]any{"Master": hex.EncodeToString(master(g)), "Vectors": out}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzEncryptedKeys(f *testing.F) {
	g, secrets := deal(f, 1, 1)
	tk := transportKey(f, 1)
	q := request(f, g, "canister", "", "input", tk)
	good := sharesOf(f, q, secrets)[0]
	f.Add(good.Bytes[:])
	f.Add([]byte{})
	f.Add(make([]byte, EncryptedKeySize))
	f.Fuzz(func(t *testing.T, b []byte) {
		err := q.Verify(b)
		_, opened := tk.Decrypt(b, q.PublicKey[:], []byte("input"))
		// Whatever verifies can be opened: E1 and E2 have the same exponent, and E3 fits both.
		if err == nil && opened != nil {
			t.Fatalf("verified and does not open: %v", opened)
		}
		if len(b) == EncryptedKeySize {
			if shareErr := q.VerifyShare(g, Share{Bytes: [EncryptedKeySize]byte(b)}); (err == nil) != (shareErr == nil) {
				t.Fatalf("as a key %v, as the only holder's share %v", err, shareErr)
			}
		}
	})
}

func FuzzPublicKeys(f *testing.F) {
	g, _ := deal(f, 1, 1)
	tk := transportKey(f, 1).Public()
	f.Add(master(g), tk[:])
	f.Add([]byte{0xc0}, []byte{})
	f.Fuzz(func(t *testing.T, key, transport []byte) {
		q, err := NewRequest(key, []byte("c"), []byte("x"), []byte("i"), transport)
		derived, keyErr := DerivePublicKey(key, []byte("c"), []byte("x"))
		if (err == nil) != (keyErr == nil && CheckTransportKey(transport) == nil) {
			t.Fatalf("request: %v, key: %v", err, keyErr)
		}
		if err == nil && q.PublicKey != derived {
			t.Fatal("two derived keys")
		}
	})
}

func BenchmarkShare(b *testing.B) {
	g, secrets := deal(b, 4, 3)
	q := request(b, g, "canister", "context", "input", transportKey(b, 1))
	for b.Loop() {
		if _, err := q.Share(secrets[0]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	g, secrets := deal(b, 4, 3)
	q := request(b, g, "canister", "context", "input", transportKey(b, 1))
	enc, err := q.Combine(g, sharesOf(b, q, secrets))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := q.Verify(enc[:]); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleTransportKey() {
	tk, err := NewTransportKey(rand.Reader)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tk.Wipe()
	public := tk.Public() // goes to a canister, which passes it on to vetkd_derive_key
	fmt.Println(len(public), tk)
	// Output: 48 vetkd transport key
}
