package idkg

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"testing"

	"fusion/chainkey/idkg/curve"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/vectors.json anew")

const vectorsFile = "testdata/vectors.json"

// vector is one value of the run.
type vector struct{ Name, Hex string }

// TestVectors repeats a run of four members with randomness from fixed seeds, a bad dealing included. Every value on the way must be what it
// was when the file was written: a change of arithmetic, hash, context or encoding shows here.
func TestVectors(t *testing.T) {
	got := map[string][]vector{}
	for _, c := range []curve.Curve{curve.Secp256k1, curve.Ed25519} {
		wide := [64]byte{0: 1, 31: 2, 32: 3, 63: 4}
		got["curve/"+c.String()] = []vector{
			{"second generator", hex.EncodeToString(c.H().Bytes())},
			{"hash", hex.EncodeToString(c.Hash("domain", []byte("message")).Bytes())},
			{"wide", hex.EncodeToString(c.Wide(&wide).Bytes())},
			{"wide·G", hex.EncodeToString(c.Mul(c.Wide(&wide)).Bytes())},
			{"wide·H", hex.EncodeToString(c.MulH(c.Wide(&wide)).Bytes())},
			{"challenge", hex.EncodeToString(newHash("test").number(7).bytes([]byte("x")).points(c.Base()).scalar(c).Bytes())},
		}
	}
	for _, a := range algorithms {
		w := newNet(t, a, 1, 0, 4)
		var out []vector
		add := func(name string, b []byte) { out = append(out, vector{name, hex.EncodeToString(b)}) }
		hash := func(name string, b []byte) {
			h := sha256.Sum256(b)
			add("sha256 of "+name, h[:])
		}
		keep := func(name string, h *held) *held {
			for _, d := range h.dealings {
				hash(name+" dealing", d.Encode())
			}
			hash(name+" transcript", h.Encode())
			hash(name+" share", h.shares[3].Encode())
			return h
		}
		digest := w.roster.Digest()
		add("roster", digest[:])
		s := w.sharing(Params{Kind: Random})
		evilDealer := s.Order()[0]
		victim, witness := (evilDealer+1)%4, (evilDealer+2)%4
		mask := keep("mask", w.run(w, s, nil, nil, map[int]evil{evilDealer: cheat(t, w.ids[evilDealer], nil, nil, victim)}))
		bad := mask.dealings[slices.IndexFunc(mask.dealings, func(d *Dealing) bool { return d.Dealer() == evilDealer })]
		complaint, err := s.Complain(bad, w.ids[victim])
		if err != nil {
			t.Fatal(err)
		}
		opening, err := s.Open(bad, complaint, w.ids[witness])
		if err != nil {
			t.Fatal(err)
		}
		add("complaint", complaint.Encode())
		add("opening", opening.Encode())
		key := keep("key", w.run(w, w.sharing(Params{Kind: ReshareMasked, Left: transcripts(mask)}), mask, nil, nil))
		add("public key", key.PublicKey())
		p := w.presign(key, nil)
		digest = p.Digest()
		add("presignature", digest[:])
		signing := w.request(key, p, messages(a)[0])
		digest = signing.ID()
		add("signing", digest[:])
		add("derived key", signing.PublicKey())
		shares := w.sign(signing, p)
		add("signature share", shares[0].Encode())
		sig, _, err := signing.Combine(shares)
		if err != nil {
			t.Fatal(err)
		}
		add("signature", append(sig.Bytes[:], sig.Recovery))
		next := newNet(t, a, 2, 1, 4)
		moved := keep("reshared", next.run(w, next.sharing(Params{Kind: ReshareUnmasked, Dealers: w.roster, Left: transcripts(key)}), key, nil, nil))
		add("public key", moved.PublicKey())
		if again := sha256.Sum256(mask.dealings[0].body()); again != mask.dealings[0].Digest() {
			t.Error("a dealing's digest is not that of its body")
		}
		got[string(a)] = out
	}
	if *rewrite {
		b, err := json.MarshalIndent(got, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vectorsFile, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	var want map[string][]vector
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	if len(want) != 2+len(algorithms) || len(got) != len(want) {
		t.Fatalf("%d groups of vectors, the file has %d", len(got), len(want))
	}
	for name := range want {
		if !slices.Equal(got[name], want[name]) {
			for i := range min(len(got[name]), len(want[name])) {
				if got[name][i] != want[name][i] {
					t.Errorf("%s: %v, the file says %v", name, got[name][i], want[name][i])
					break
				}
			}
			t.Errorf("%s: %d values, the file has %d", name, len(got[name]), len(want[name]))
		}
	}
}
