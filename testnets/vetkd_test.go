package testnets_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"testing"

	"fusion/chainkey"
	"fusion/chainkey/vetkd"
	"fusion/ic/principal"
	"fusion/testnets/golden"
)

// keeperOutcome is the keeper canister's answer.
type keeperOutcome struct {
	Code     uint32 `candid:"code"`
	Message  string `candid:"message"`
	Bytes    []byte `candid:"bytes"`
	Refunded uint64 `candid:"refunded"`
}

// TestVetKeys has users get secret keys from two canisters of four replicas, while replicas stop and start.
func TestVetKeys(t *testing.T) {
	f := setup(t)
	wasm := f.compile(t, "keeper")
	var keepers []principal.Principal
	for range 2 {
		keepers = append(keepers, f.install(t, wasm))
	}
	var master []byte
	for _, k := range f.n.Replica(0).Status().Keys {
		if k.ID.Algorithm == chainkey.Bls12381G2 {
			master = must(hex.DecodeString(k.PublicKey))(t)
		}
	}
	public := func(keeper principal.Principal) []byte {
		t.Helper()
		var o keeperOutcome
		check(t, f.owner.Agent.Update(f, keeper, "public_key", []any{struct{}{}}, []any{&o}))
		want := must(vetkd.DerivePublicKey(master, keeper.Bytes(), []byte("notes")))(t)
		if !bytes.Equal(o.Bytes, want[:]) {
			t.Fatalf("public key of %s: %+v, want %x", keeper, o, want)
		}
		return o.Bytes
	}
	keys := [][]byte{public(keepers[0]), public(keepers[1])}

	const fee = 10_000_000_000 * golden.Nodes / 13
	derive := func(u *golden.User, keeper int) vetkd.Key {
		t.Helper()
		tk := must(vetkd.NewTransportKey(rand.Reader))(t)
		transport := tk.Public()
		var o keeperOutcome
		check(t, u.Agent.Update(f, keepers[keeper], "my_key", []any{transport[:]}, []any{&o}))
		if o.Code != 0 || o.Refunded != 30_000_000_000-fee {
			t.Fatalf("%+v, want a price of %d", o, fee)
		}
		return must(tk.Decrypt(o.Bytes, keys[keeper], u.Agent.Sender().Bytes()))(t)
	}
	owner := derive(f.owner, 0)
	if derive(f.owner, 0) != owner {
		t.Error("the second time the key is another")
	}
	if derive(f.bob, 0) == owner || derive(f.owner, 1) == owner {
		t.Error("another user or canister has the same key")
	}

	// Three of four are enough, and one that comes back has its share.
	check(t, f.n.StopReplica(3))
	if derive(f.owner, 0) != owner {
		t.Error("without one replica the key is another")
	}
	check(t, f.n.StartReplica(f, 3))
	check(t, f.n.StopReplica(2))
	if derive(f.owner, 0) != owner {
		t.Error("after a restart the key is another")
	}

	// What the subnet does not take costs nothing.
	var o keeperOutcome
	check(t, f.owner.Agent.Update(f, keepers[0], "my_key", []any{make([]byte, 48)}, []any{&o}))
	if !strings.Contains(o.Message, "transport_public_key") || o.Refunded != 30_000_000_000 {
		t.Errorf("no transport key: %+v", o)
	}
	check(t, poll(f, func() bool { return len(f.n.Replica(0).Status().Deriving) == 0 }))
}
