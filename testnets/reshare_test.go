package testnets_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fusion/chainkey"
	"fusion/replica"
	"fusion/replica/members"
	"fusion/testnets"
)

// sharesAt lists the shares in a replica's key store as key, epoch and attempt.
func sharesAt(t *testing.T, dir string, node int) (out []string) {
	t.Helper()
	files := must(filepath.Glob(filepath.Join(testnets.NodeDir(dir, node), "keys", "share-*")))(t)
	for _, f := range files {
		name, rest, _ := strings.Cut(strings.TrimPrefix(filepath.Base(f), "share-"), "-")
		out = append(out, fmt.Sprintf("%s %s", must(hex.DecodeString(name))(t), rest))
	}
	return out
}

// TestReshareAmongTheSame gives all members new shares of all keys: the subnet's, those that others derive from, and both kinds of Schnorr keys; with
// FUSION_E2E that of ECDSA too, which takes minutes of CPU time. The public keys stay, blocks are certified all the time, and the old
// shares are wiped.
func TestReshareAmongTheSame(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 14*time.Minute)
	t.Cleanup(cancel)
	keys := []chainkey.KeyID{{Algorithm: chainkey.Bip340Secp256k1, Name: testnets.TestKey}, {Algorithm: chainkey.Ed25519, Name: testnets.TestKey},
		{Algorithm: chainkey.Bls12381G2, Name: testnets.TestKey}}
	if os.Getenv("FUSION_E2E") != "" {
		keys = append(keys, testnets.EcdsaKey)
	}
	dir := t.TempDir()
	must(testnets.Create(dir, testnets.Settings{Keys: keys, CommitWait: 100 * time.Millisecond}))(t)
	log := &debugLog{}
	w := &membership{must(testnets.Run(ctx, dir, testnets.RunOptions{Log: log.logger()}))(t), ctx, t}
	t.Cleanup(func() { check(t, w.Close()) })
	check(t, w.WaitKeys(ctx))
	forms := secretsOf(t, dir, 4)
	before, root := w.Replica(0).Status().Keys, string(w.RootKey())

	w.decide(members.Change{}, 0, 1, 2)
	w.until(0, "the resharing", func(s replica.Status) bool { return s.Membership.Last != "" })
	s := w.Replica(0).Status()
	if !strings.Contains(s.Membership.Last, "is in force since block") {
		t.Fatal(s.Membership.Last)
	}
	since := s.Height
	for i := range 4 {
		w.until(i, "certified blocks with the new shares", func(s replica.Status) bool { return s.Certified > since+110 })
	}
	for i := range 4 {
		list := sharesAt(t, dir, i)
		if len(list) != len(keys)+1 {
			t.Errorf("replica %d has shares of %q", i, list)
		}
		for _, share := range list {
			if !strings.Contains(share, " 1-") {
				t.Errorf("replica %d still has a share of %q", i, share)
			}
		}
	}
	if string(w.RootKey()) != root {
		t.Error("the subnet's key changed")
	}
	for i, k := range w.Replica(0).Status().Keys {
		if k.ID != before[i].ID || k.PublicKey != before[i].PublicKey || !k.Active {
			t.Errorf("%+v, was %+v", k, before[i])
		}
	}

	// A replica that starts again has its new shares.
	check(t, w.StopReplica(3))
	check(t, w.StartReplica(ctx, 3))
	again := w.Replica(0).Status().Height
	w.until(3, "certified blocks after a restart", func(s replica.Status) bool { return s.Certified > again })

	// Neither the old shares nor the new ones are in the log.
	forms.read(t, dir, 4)
	for _, name := range forms.find(log.Bytes()) {
		t.Errorf("the log shows %s", name)
	}
}
