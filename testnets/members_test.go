package testnets_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fusion/chainkey"
	"fusion/replica"
	"fusion/replica/members"
	"fusion/testnets"
	"fusion/testnets/golden"
)

// membership is a network whose members change. Its keys are those that are cheap to reshare.
type membership struct {
	*testnets.Network
	context.Context
	t *testing.T
}

func newMembership(t *testing.T) *membership {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
	t.Cleanup(cancel)
	dir := t.TempDir()
	_, err := testnets.Create(dir, testnets.Settings{Keys: []chainkey.KeyID{{Algorithm: chainkey.Bip340Secp256k1, Name: testnets.TestKey}},
		CommitWait: 100 * time.Millisecond})
	check(t, err)
	w := &membership{must(testnets.Run(ctx, dir, testnets.RunOptions{}))(t), ctx, t}
	t.Cleanup(func() { check(t, w.Close()) })
	check(t, w.WaitKeys(ctx))
	return w
}

// until waits for a state of replica i.
func (w *membership) until(i int, what string, ok func(replica.Status) bool) {
	w.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok(w.Replica(i).Status()) {
		select {
		case <-tick.C:
		case err := <-w.Fatal():
			w.t.Fatalf("waiting for %s: %v", what, err)
		case <-w.Done():
			w.t.Fatalf("waited in vain for %s: %+v", what, w.Replica(i).Status())
		}
	}
}

// say lets a node sign an item and gives it to replica via.
func (w *membership) say(node, via int, it members.Item) {
	w.t.Helper()
	cfg := must(replica.LoadConfig(testnets.NodeDir(w.Dir, node)))(w.t)
	check(w.t, w.Replica(via).SubmitMembership(must(replica.SignMembership(cfg, it))(w.t)))
}

// decide lets the members propose and approve a change.
func (w *membership) decide(c members.Change, proposer int, others ...int) {
	w.t.Helper()
	st := w.Replica(proposer).Membership()
	w.say(proposer, proposer, st.NewProposal(c))
	w.until(proposer, "the proposal", func(s replica.Status) bool { return len(s.Membership.Proposals) == 1 })
	st = w.Replica(proposer).Membership()
	for _, i := range others {
		w.say(i, proposer, must(st.Say(members.Approve, st.Proposals[0].Number))(w.t))
	}
}

// reach waits until nodes are in an epoch.
func (w *membership) reach(epoch uint64, nodes ...int) {
	w.t.Helper()
	for _, i := range nodes {
		w.until(i, fmt.Sprintf("epoch %d at node %d", epoch, i), func(s replica.Status) bool {
			if s.Membership.Last != "" && s.Membership.LastNumber >= epoch && !s.Membership.LastDone {
				w.t.Fatalf("node %d: %s", i, s.Membership.Last)
			}
			return s.Membership.Epoch >= epoch && s.Certified >= s.Membership.Since
		})
	}
}

// restart stops a replica where a change stands in a phase, and starts it again.
func (w *membership) restart(i int, phase string) {
	w.t.Helper()
	w.until(i, phase, func(s replica.Status) bool { return s.Membership.Running != nil && s.Membership.Running.Phase == phase })
	check(w.t, w.StopReplica(i))
	check(w.t, w.StartReplica(w, i))
}

// TestMembers lets a fifth node join a running network, and one of the first four leave it. Calls and signatures go on all the time; keys and addresses stay
// what they are. Replicas restart in the midst of it.
func TestMembers(t *testing.T) {
	w := newMembership(t)
	world := golden.NewWorld(t, w.Network)
	t.Cleanup(world.Close)
	owner := must(world.User(golden.Owner, 0))(t)
	signer := must(golden.InstallSigner(w, owner, "./testdata/signer"))(t)
	path := [][]byte{[]byte("deposits")}
	before := must(signer.Ask(w, golden.Bip340Key, path))(t)

	var signed atomic.Int64
	load, stop := context.WithCancel(w)
	var work sync.WaitGroup
	defer func() { stop(); work.Wait() }()
	work.Go(func() { // always one signature in flight
		for load.Err() == nil {
			if _, err := signer.Sign(w, golden.Bip340Key, path, chainkey.Message{Bytes: fmt.Appendf(nil, "payment %d", signed.Load())}); err != nil {
				t.Errorf("signature %d: %v", signed.Load(), err)
				return
			}
			signed.Add(1)
		}
	})

	c := must(w.AddNode(4))(t)
	check(t, w.StartReplica(w, 4))
	if s := w.Replica(4).Status(); s.Healthy || !strings.Contains(s.Sentence, "waiting to be let in as node 4") {
		t.Errorf("a stranger: %+v", s)
	}
	w.decide(members.Change{Add: []members.Candidate{c}}, 0, 1, 2)
	w.restart(4, "joining")
	w.restart(3, "resharing")
	w.reach(1, 0, 1, 2, 3, 4)
	first := signed.Load()

	w.decide(members.Change{Remove: []uint32{2}}, 4, 0, 1, 3)
	w.restart(1, "resharing")
	w.reach(2, 0, 1, 3, 4)
	w.until(2, "the farewell", func(s replica.Status) bool {
		return strings.Contains(s.Sentence, "node 2 left the network") && !s.Healthy
	})
	check(t, w.StopReplica(2))
	check(t, w.StartReplica(w, 2)) // which it says again, and does nothing
	w.until(2, "the farewell, again", func(s replica.Status) bool { return strings.Contains(s.Sentence, "node 2 left the network") })

	// With another one down all three that are left must sign, the newcomer among them.
	check(t, w.StopReplica(3))
	for from := signed.Load(); signed.Load() < from+2; {
		select {
		case err := <-w.Fatal():
			t.Fatal(err)
		case <-w.Done():
			t.Fatal("three of four do not sign")
		case <-time.After(20 * time.Millisecond):
		}
		if t.Failed() {
			return
		}
	}
	stop()
	work.Wait()
	if first == 0 {
		t.Error("no signature was made while the first change went on")
	}
	world.Manifest = w.Manifest            // which has grown
	late := must(world.User("late", 4))(t) // calls by the new node, whose certificates are the subnet's
	after := must((&golden.Signer{ID: signer.ID, User: late}).Ask(w, golden.Bip340Key, path))(t)
	if !bytes.Equal(before.PublicKey, after.PublicKey) || before.ChainCode != after.ChainCode {
		t.Errorf("the key was %x and is %x", before.PublicKey, after.PublicKey)
	}
}
