package testnets_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"fusion/chainkey"
	"fusion/replica"
	"fusion/replica/members"
	"fusion/replica/recovery"
	"fusion/replica/root"
	"fusion/testnets"
)

// TestGovernedRecovery begins a network whose operators decide again from a backup: the node keys of all members do not recover it, two of its three operators do.
// Afterwards their proposals reshare the keys, let a fifth node in, which has the recovery's document and fetches the state, and let one of the first go; the subnet's key stays.
func TestGovernedRecovery(t *testing.T) {
	if testing.Short() {
		t.Skip("starts networks, and reshares their keys three times")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
	t.Cleanup(cancel)
	dir := t.TempDir()
	keys := []chainkey.KeyID{{Algorithm: chainkey.Bip340Secp256k1, Name: testnets.TestKey}}
	must(testnets.Create(dir, testnets.Settings{Keys: keys, CommitWait: 100 * time.Millisecond, Operators: []string{"ann", "bea", "cyd"}, TimeLock: time.Second}))(t)
	snapshotsEvery(t, dir, 80) // two are kept, and a newcomer looks for offers for five seconds before it fetches one
	n := must(testnets.Run(ctx, dir, testnets.RunOptions{}))(t)
	check(t, n.WaitKeys(ctx))
	path, b := backup(ctx, t, dir, 0, n.Replica(0).View().Height)
	rootKey, before := bytes.Clone(n.RootKey()), n.Replica(0).Status().Keys
	check(t, n.Close())

	byNodes := draft(t, dir, path, 0, 0, 1, 2, 3)
	byOperators := must(recovery.Parse(byNodes.Encode()))(t)
	byOperators.Signatures = nil
	for _, d := range []*recovery.Document{byNodes, byOperators} {
		check(t, d.Sign(must(testnets.LoadIdentity(dir, "cyd"))(t)))
		if err := restoreBackup(t, dir, path, 0, d); !errors.Is(err, recovery.ErrSignatures) {
			t.Fatalf("one operator of three, and %d nodes: %v", len(d.Signatures)-1, err)
		}
	}
	check(t, byOperators.Sign(must(testnets.LoadIdentity(dir, "ann"))(t)))
	for i := range 4 {
		lose(t, dir, i)
		check(t, restoreBackup(t, dir, path, i, byOperators))
	}

	w := &membership{must(testnets.Run(ctx, dir, testnets.RunOptions{}))(t), ctx, t}
	t.Cleanup(func() { check(t, w.Close()) })
	for i := range 4 {
		w.until(i, "certified blocks", func(s replica.Status) bool { return s.Certified > b.Height+1 })
	}
	council := must(w.Council())(t)
	decide := func(c members.Change) {
		t.Helper()
		must(council.Decide(ctx, root.MembershipOf(c), "", nil))(t)
	}
	decide(members.Change{})
	w.until(0, "the resharing", func(s replica.Status) bool { return s.Membership.Last != "" })
	if s := w.Replica(0).Status(); !strings.Contains(s.Membership.Last, "is in force since block") {
		t.Fatal(s.Membership.Last)
	}
	w.reach(1, 0, 1, 2, 3)

	c := must(w.AddNode(4))(t)
	decide(members.Change{Add: []members.Candidate{c}})
	must(replica.Recover(w, *must(replica.LoadConfig(testnets.NodeDir(dir, 4)))(t), replica.RecoverOptions{Progress: t.Logf}))(t)
	check(t, w.StartReplica(w, 4))
	w.reach(2, 0, 1, 2, 3, 4)
	decide(members.Change{Remove: []uint32{1}})
	w.reach(3, 0, 2, 3, 4)

	// All three of the first that are left and the newcomer certify blocks, under the keys of before.
	top := w.Replica(0).Status().Height
	for _, i := range []int{0, 2, 3, 4} {
		w.until(i, "certified blocks with the new members", func(s replica.Status) bool { return s.Certified > top+10 })
	}
	if !bytes.Equal(w.RootKey(), rootKey) {
		t.Error("the subnet's key changed")
	}
	for i, k := range w.Replica(4).Status().Keys {
		if k.ID != before[i].ID || k.PublicKey != before[i].PublicKey || !k.Active {
			t.Errorf("%+v, was %+v", k, before[i])
		}
	}
}
