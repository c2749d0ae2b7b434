package transcripts

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"testing"

	"fusion/chainkey"
	"fusion/chainkey/idkg"
	"fusion/internal/kv"
)

var testKey = chainkey.KeyID{Algorithm: chainkey.EcdsaSecp256k1, Name: "t"}

// opening is the state of a network whose four members are to register their keys, and the items of the first three of them.
func opening(t testing.TB) (*Machine, *kv.Mem, [][]byte) {
	t.Helper()
	m := NewMachine(Config{Keys: []chainkey.KeyID{testKey}, Network: [32]byte{1}, Life: [32]byte{1},
		Authentic: func(kv.Reader, uint32, string, any, []byte) error { return nil }})
	var keys []ed25519.PublicKey
	var items [][]byte
	for node := range uint32(4) {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, public)
		member, _, err := idkg.NewMember(m.cfg.Network, 0, private, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, encode(itemReceiver, receiver{Opened: 7, Node: node, Member: member.Encode()}))
	}
	s := kv.NewMem()
	m.OpenEpoch(s, 7, 0, []uint32{0, 1, 2, 3}, keys)
	return m, s, items
}

// TestReceivers: each member registers one key, its own, with a proof of possession.
func TestReceivers(t *testing.T) {
	m, s, items := opening(t)
	if err := m.Check(s, items[0]); err != nil {
		t.Fatal(err)
	}
	m.Apply(s, 8, items[0])
	other, err := decodeItem[receiver](items[0])
	if err != nil {
		t.Fatal(err)
	}
	other.Node = 1
	stale, err := decodeItem[receiver](items[2])
	if err != nil {
		t.Fatal(err)
	}
	stale.Opened = 6
	unproven := bytes.Clone(items[3])
	unproven[len(unproven)-10] ^= 1
	for name, body := range map[string][]byte{"again": items[0], "another's": encode(itemReceiver, other), "of an epoch that was closed": encode(itemReceiver, stale), "unproven": unproven} {
		if err := m.Check(s, body); !errors.Is(err, ErrItem) {
			t.Errorf("%s: %v", name, err)
		}
		m.Apply(s, 8, body)
	}
	if left := m.Awaited(s, 0); len(left) != 3 {
		t.Errorf("awaited: %v", left)
	}
}

// FuzzItems: no item of a block, whatever its bytes, does more than to be refused or applied.
func FuzzItems(f *testing.F) {
	m, s, items := opening(f)
	for _, b := range items {
		f.Add(b)
	}
	f.Add(encode(itemDealings, dealings{Key: testKey.String(), Dealings: [][][]byte{{{1}}}, Supports: [][]byte{{2}}}))
	f.Add(encode(itemAccusation, accusation{Key: testKey.String(), Charge: badBox, Evidence: []byte{3}}))
	for _, b := range items {
		m.Apply(s, 8, b)
	}
	m.Generate(s, 9, testKey, 0, 0)
	f.Fuzz(func(t *testing.T, body []byte) {
		if err := m.Check(s, body); err != nil && !errors.Is(err, ErrItem) {
			t.Errorf("an error of another kind: %v", err)
		}
		if convicted := m.Apply(s.Clone(), 10, body); len(convicted) > 0 {
			t.Errorf("convicted of nothing: %v", convicted)
		}
	})
}
