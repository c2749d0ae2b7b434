package testnets_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"fusion/chainkey"
	"fusion/replica"
	"fusion/replica/members"
	"fusion/testnets"
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

func TestMembers(t *testing.T) {
	w := newMembership(t)
	c := must(w.AddNode(4))(t)
	check(t, w.StartReplica(w, 4))
	if s := w.Replica(4).Status(); s.Healthy || !strings.Contains(s.Sentence, "waiting to be let in as node 4") {
		t.Errorf("a stranger: %+v", s)
	}
	w.decide(members.Change{Add: []members.Candidate{c}}, 0, 1, 2)
	w.until(4, "the newcomer to follow", func(s replica.Status) bool { return s.Height > 0 && s.Certified > 0 })
	w.until(0, "the end", func(s replica.Status) bool { fmt.Println(s.Sentence); return s.Membership.Last != "" })
	fmt.Println(w.Replica(0).Status().Sentence, w.Replica(4).Status().Sentence, w.Replica(0).Status().Membership.Last)
}
