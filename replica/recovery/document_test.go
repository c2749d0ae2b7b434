package recovery

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"fusion/ic/identity"
	"fusion/ic/principal"
)

func sample() *Document {
	fill := func(n int, b byte) []byte { return bytes.Repeat([]byte{b}, n) }
	return &Document{Version: Version, Network: fill(32, 1), RootKey: fill(133, 2), Number: 3, Height: 400, AppHash: fill(32, 5), TimeNs: 6,
		Members: []Member{{Node: 0, NodeKey: fill(32, 7), ValidatorKey: fill(32, 8)}, {Node: 4, NodeKey: fill(32, 9), ValidatorKey: fill(32, 10)}}}
}

func signers(t *testing.T, n int) (ids []identity.Identity, who []principal.Principal) {
	t.Helper()
	for range n {
		id, err := identity.GenerateEd25519()
		if err != nil {
			t.Fatal(err)
		}
		ids, who = append(ids, id), append(who, id.Sender())
	}
	return ids, who
}

// Two thirds are enough, one fewer is not, and nobody counts twice.
func TestSignatures(t *testing.T) {
	for n, need := range map[int]int{1: 1, 2: 2, 3: 2, 4: 3, 7: 5, 13: 9} {
		ids, who := signers(t, n)
		strangers, _ := signers(t, n)
		d := sample()
		for i := range need {
			if err := d.Check(who); !errors.Is(err, ErrSignatures) {
				t.Fatalf("%d of %d: %v", i, n, err)
			}
			for _, id := range []identity.Identity{ids[i], ids[i], strangers[i]} {
				if err := d.Sign(id); err != nil {
					t.Fatal(err)
				}
			}
			d.Signatures = append(d.Signatures, d.Signatures[0])
		}
		if err := d.Check(who); err != nil {
			t.Fatalf("%d of %d: %v", need, n, err)
		}
		d.Signatures[0].Signature[3] ^= 1
		if err := d.Check(who); !errors.Is(err, ErrSignatures) {
			t.Errorf("a wrong signature: %v", err)
		}
	}
}

// Every field is in the digest, and through it in all that keeps lives apart.
func TestEveryFieldCounts(t *testing.T) {
	good := sample()
	for name, change := range map[string]func(*Document){
		"version": func(d *Document) { d.Version++ }, "network": func(d *Document) { d.Network[0]++ }, "root key": func(d *Document) { d.RootKey[9]++ },
		"number": func(d *Document) { d.Number++ }, "height": func(d *Document) { d.Height++ }, "app hash": func(d *Document) { d.AppHash[31]++ },
		"time": func(d *Document) { d.TimeNs++ }, "member": func(d *Document) { d.Members[1].Node++ }, "node key": func(d *Document) { d.Members[0].NodeKey[0]++ },
		"validator key": func(d *Document) { d.Members[0].ValidatorKey[0]++ }, "members": func(d *Document) { d.Members = d.Members[:1] },
	} {
		d := sample()
		change(d)
		if d.Digest() == good.Digest() || d.Life() == good.Life() || d.ChainID("net") == good.ChainID("net") || d.Name() == good.Name() {
			t.Errorf("another %s makes no difference", name)
		}
	}
	signed := sample()
	ids, _ := signers(t, 1)
	if err := signed.Sign(ids[0]); err != nil || signed.Digest() != good.Digest() {
		t.Errorf("a signature changes what is signed: %v", err)
	}
}

func TestChainIDFits(t *testing.T) {
	d := sample()
	d.Number = MaxNumber
	for _, network := range []string{"x", strings.Repeat("n", 50), strings.Repeat("é", 25)} {
		if id := d.ChainID(network); len(id) > 50 || id == network {
			t.Errorf("%q has %d bytes", id, len(id))
		}
	}
}

func TestParse(t *testing.T) {
	good := sample().Encode()
	d, err := Parse(good)
	if err != nil || !bytes.Equal(d.Encode(), good) {
		t.Fatalf("%v\n%s", err, good)
	}
	for name, change := range map[string]func(*Document){
		"number 0": func(d *Document) { d.Number = 0 }, "a large number": func(d *Document) { d.Number = MaxNumber + 1 }, "no height": func(d *Document) { d.Height = 0 },
		"a short hash": func(d *Document) { d.AppHash = d.AppHash[:31] }, "no members": func(d *Document) { d.Members = nil },
		"members out of order": func(d *Document) { d.Members[1].Node = 0 }, "a short key": func(d *Document) { d.Members[0].NodeKey = d.Members[0].NodeKey[:8] },
		"another version": func(d *Document) { d.Version = 2 }, "a nameless signature": func(d *Document) { d.Signatures = []Signature{{}} },
	} {
		d := sample()
		change(d)
		if _, err := Parse(d.Encode()); !errors.Is(err, ErrDocument) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"", "{}", string(good) + "{}", strings.Replace(string(good), `"version"`, `"more": 1, "version"`, 1)} {
		if _, err := Parse([]byte(text)); !errors.Is(err, ErrDocument) {
			t.Errorf("%.60q: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample().Encode())
	f.Add([]byte(`{"version":1,"members":[{}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(d.Encode())
		if err != nil || again.Digest() != d.Digest() {
			t.Errorf("%v, digests %x and %x", err, d.Digest(), again.Digest())
		}
		_ = d.Check([]principal.Principal{principal.Anonymous})
	})
}

// FuzzOpen: what is no backup is refused, whatever it is.
func FuzzOpen(f *testing.F) {
	f.Add([]byte("nothing"))
	f.Add(bytes.Repeat([]byte{0}, 1024))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := Open(bytes.NewReader(b)); err != nil && !errors.Is(err, ErrBackup) {
			t.Errorf("refused by %v", err)
		}
	})
}
