package certificate

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"fusion/ic/hashtree"
	"fusion/ic/principal"
)

// signer is a canister that signs.
type signer struct {
	id   principal.Principal
	sigs *hashtree.Map
}

func (s *signer) add(seed, msg []byte) {
	k, m := sha256.Sum256(seed), sha256.Sum256(msg)
	s.sigs = s.sigs.Insert([][]byte{[]byte("sig"), k[:], m[:]}, nil)
}

func (s *signer) path() [][]byte {
	return [][]byte{[]byte("canister"), s.id.Bytes(), []byte("certified_data")}
}

func (s *signer) state() *hashtree.Map {
	d := s.sigs.Digest()
	return state().Insert(s.path(), d[:])
}

// signature is one of msg, in a certificate of a subnet, which is the root or has a delegation.
func (s *signer) signature(by *subnet, d *Delegation, seed, msg []byte) []byte {
	c := by.certify(s.state(), hashtree.Path("time"), s.path())
	c.Delegation = d
	k, m := sha256.Sum256(seed), sha256.Sum256(msg)
	sig := CanisterSignature{Certificate: c.Encode(), Tree: s.sigs.Witness([][]byte{[]byte("sig"), k[:], m[:]})}
	return sig.Encode()
}

// delegation is by the root for canisters 10 to 20.
func delegation(root, sub *subnet, kind string) *Delegation {
	m := (*hashtree.Map)(nil).Insert([][]byte{[]byte("subnet"), sub.id.Bytes(), []byte("public_key")}, sub.der)
	if kind != "" {
		m = m.Insert([][]byte{[]byte("subnet"), sub.id.Bytes(), []byte("type")}, []byte(kind))
	}
	m = m.Insert([][]byte{[]byte("canister_ranges"), sub.id.Bytes(), principal.FromUint64(10).Bytes()},
		EncodeRanges([]Range{{principal.FromUint64(10), principal.FromUint64(20)}}))
	return &Delegation{sub.id, root.certify(m, [][]byte{}).Encode()}
}

func TestCanisterSignature(t *testing.T) {
	root, sub, other := newSubnet(1), newSubnet(2), newSubnet(3)
	v, err := NewVerifier(root.der)
	if err != nil {
		t.Fatal(err)
	}
	s := &signer{id: inRange}
	seed, msg := []byte("user 7"), []byte("\x1aic-request-auth-delegation and so on")
	s.add(seed, msg)
	s.add(seed, []byte("another"))
	s.add([]byte("user 8"), msg)
	app := delegation(root, sub, "application")
	good := s.signature(root, nil, seed, msg)
	if again, err := ParseCanisterSignature(good); err != nil || !bytes.Equal(again.Encode(), good) {
		t.Errorf("changes when it is read and written: %v", err)
	}
	loose := signer{id: inRange} // not well-formed: labels in the wrong order
	k, m := sha256.Sum256(seed), sha256.Sum256(msg)
	leaf := &hashtree.Labeled{Label: []byte("sig"), Tree: &hashtree.Labeled{Label: k[:], Tree: &hashtree.Labeled{Label: m[:], Tree: hashtree.Leaf{}}}}
	mixed := &hashtree.Fork{Left: leaf, Right: &hashtree.Labeled{Label: []byte("a"), Tree: hashtree.Leaf{}}}
	mixedRoot := mixed.Digest()
	looseSig := CanisterSignature{Tree: mixed, Certificate: root.certify(state().Insert(loose.path(), mixedRoot[:]), loose.path()).Encode()}
	valued := &hashtree.Labeled{Label: []byte("sig"), Tree: &hashtree.Labeled{Label: k[:], Tree: &hashtree.Labeled{Label: m[:], Tree: hashtree.Leaf("x")}}}
	valuedRoot := valued.Digest()
	valuedSig := CanisterSignature{Tree: valued, Certificate: root.certify(state().Insert(loose.path(), valuedRoot[:]), loose.path()).Encode()}
	pruned := &signer{id: inRange, sigs: s.sigs}
	prunedSig := CanisterSignature{Tree: s.sigs.Witness(), Certificate: root.certify(pruned.state(), pruned.path()).Encode()}
	elsewhere := &signer{id: outOfRange, sigs: s.sigs}
	for name, c := range map[string]struct {
		id        principal.Principal
		seed, msg []byte
		sig       []byte
		want      string
	}{
		"by the root":           {inRange, seed, msg, good, ""},
		"under a delegation":    {inRange, seed, msg, s.signature(sub, app, seed, msg), ""},
		"of another user":       {inRange, []byte("user 8"), msg, good, "the message is"},
		"of another message":    {inRange, seed, []byte("x"), good, "the message is"},
		"by another canister":   {outOfRange, seed, msg, good, "certified data is"},
		"out of range":          {outOfRange, seed, msg, elsewhere.signature(sub, app, seed, msg), "does not hold canister"},
		"not by the root":       {inRange, seed, msg, s.signature(other, nil, seed, msg), "does not verify"},
		"delegated by another":  {inRange, seed, msg, s.signature(sub, delegation(other, sub, "application"), seed, msg), "delegation"},
		"another key delegated": {inRange, seed, msg, s.signature(other, app, seed, msg), "does not verify"},
		"cloud engine":          {inRange, seed, msg, s.signature(sub, delegation(root, sub, "cloud_engine"), seed, msg), "has the type"},
		"unknown type":          {inRange, seed, msg, s.signature(sub, delegation(root, sub, ""), seed, msg), "has the type"},
		"not well-formed":       {inRange, seed, msg, looseSig.Encode(), "not well-formed"},
		"with a value":          {inRange, seed, msg, valuedSig.Encode(), "the message is"},
		"pruned away":           {inRange, seed, msg, prunedSig.Encode(), "the message is unknown"},
		"trailing":              {inRange, seed, msg, append(good[:len(good):len(good)], 0), "after the end"},
		"empty":                 {inRange, seed, msg, []byte{0xa0}, "missing"},
		"nothing":               {inRange, seed, msg, nil, "ends inside"},
	} {
		for range 2 { // also from memory
			err := v.VerifyCanisterSignature(c.id, c.seed, c.msg, c.sig)
			if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrCanisterSignature) || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s: %v, want %q", name, err, c.want)
			}
		}
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if i >= 3 && v.VerifyCanisterSignature(inRange, seed, msg, bad) == nil {
			t.Errorf("changed byte %d of %d is accepted", i, len(good))
		}
	}
}

func FuzzCanisterSignature(f *testing.F) {
	root, sub := newSubnet(1), newSubnet(2)
	v, err := NewVerifier(root.der)
	if err != nil {
		f.Fatal(err)
	}
	s := &signer{id: inRange}
	s.add([]byte("seed"), []byte("msg"))
	f.Add(s.signature(root, nil, []byte("seed"), []byte("msg")))
	f.Add(s.signature(sub, delegation(root, sub, "application"), []byte("seed"), []byte("msg")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := ParseCanisterSignature(b); err == nil {
			if again, err := ParseCanisterSignature(s.Encode()); err != nil || again.Tree.Digest() != s.Tree.Digest() {
				t.Fatalf("%x does not survive: %v", b, err)
			}
		}
		_ = v.VerifyCanisterSignature(inRange, []byte("seed"), []byte("other"), b)
	})
}

func BenchmarkCanisterSignature(b *testing.B) {
	root := newSubnet(1)
	s := &signer{id: inRange}
	s.add([]byte("seed"), []byte("msg"))
	sig := s.signature(root, nil, []byte("seed"), []byte("msg"))
	for name, again := range map[string]bool{"first": false, "remembered": true} {
		b.Run(name, func(b *testing.B) {
			v, err := NewVerifier(root.der)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if !again {
					v, _ = NewVerifier(root.der)
				}
				if err := v.VerifyCanisterSignature(inRange, []byte("seed"), []byte("msg"), sig); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
