// Package blstest makes threshold keys for tests, by a real key generation among n members in memory.
package blstest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"testing"

	"fusion/chainkey/bls"
	"fusion/internal/kv"
)

// Generate returns a key of n nodes and all its shares. The same name gives the same key.
func Generate(t testing.TB, name string, n int) (*bls.Group, []*bls.SecretShare) {
	t.Helper()
	store := kv.NewMem()
	p := bls.Params{Domain: []byte("test"), Epoch: 1}
	var members []*bls.Member
	for i := range n {
		seed := sha256.Sum256(fmt.Appendf(nil, "%s %d", name, i))
		key := ed25519.NewKeyFromSeed(seed[:])
		p.Nodes = append(p.Nodes, key.Public().(ed25519.PublicKey))
		members = append(members, bls.NewMember(seed, i, key))
	}
	board, err := bls.Start(store, 0, p)
	if err != nil {
		t.Fatal(err)
	}
	for height := uint64(1); height <= 3; height++ {
		var items [][]byte
		for _, m := range members {
			items = append(items, m.Pending(board))
		}
		board.Step(store, height, items)
	}
	r, ok := board.Result()
	if !ok {
		t.Fatalf("no key: %+v", board.Status())
	}
	group, err := r.Group()
	if err != nil {
		t.Fatal(err)
	}
	var shares []*bls.SecretShare
	for _, m := range members {
		s, err := m.Share(board)
		if err != nil {
			t.Fatal(err)
		}
		shares = append(shares, s)
	}
	return group, shares
}
