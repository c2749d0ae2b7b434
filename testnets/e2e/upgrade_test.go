package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"fusion/ckledger/icrc"
	"fusion/ic/candid"
	"fusion/replica"
	"fusion/testnets/golden"
)

// TestUpgradeProtocol replaces the programs of a network, one after the other and while somebody pays, by one that knows the next version of the
// protocol. It comes into force in one block for all, when all can, and then an old program refuses to run.
func TestUpgradeProtocol(t *testing.T) {
	next := program(t, "FUSION_NEXT_BIN")
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	n, w := run(ctx, t)
	owner, bob := user(t, w, golden.Owner, 0), user(t, w, "bob", 1)
	before, err := bob.Own(ctx)
	must(t, err)
	protocol := func(i int) replica.Protocol {
		s, err := n.Status(ctx, i)
		must(t, err)
		return s.Protocol
	}
	old := protocol(0)
	working, stop := context.WithCancel(ctx)
	defer stop()
	var paid uint64
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		for i := uint64(1); working.Err() == nil; i++ {
			now := uint64(time.Now().UnixNano())
			p := &payment{arg: icrc.TransferArg{To: bob.Account(), Amount: candid.NatFromUint64(i), CreatedAtTime: &now}}
			for {
				err := p.send(gctx, owner)
				if err == nil {
					break
				}
				if gctx.Err() != nil || strings.Contains(err.Error(), "the ledger refuses") {
					return err
				}
				if owner, err = w.User(golden.Owner, int(i)%n.Nodes); err != nil { // the next replica
					return err
				}
			}
			paid += i
		}
		return nil
	})
	for i := range n.Nodes {
		if p := protocol(i); p.Version != old.Version || p.Next != 0 {
			t.Fatalf("node %d has %+v before all programs were replaced", i, p)
		}
		must(t, n.Retire(ctx, i))
		must(t, n.StartWith(i, next, nil))
		must(t, n.Ready(ctx, 0))
	}
	must(t, golden.Wait(ctx, "the new version", func() (string, error) {
		for i := range n.Nodes {
			if p := protocol(i); p.Version != old.Version+1 {
				return fmt.Sprintf("node %d: %+v", i, p), nil
			}
		}
		return "", nil
	}))
	s, err := n.Status(ctx, 0)
	must(t, err)
	stop()
	must(t, g.Wait())
	_, err = w.Agree(ctx, s.Height)
	must(t, err)
	got, err := bob.Own(ctx)
	must(t, err)
	if got != before+paid {
		t.Errorf("bob has %d sat, want %d", got, before+paid)
	}
	_, err = w.Audit(ctx, owner, bob)
	must(t, err)

	must(t, n.Retire(ctx, 2))
	must(t, n.Start(2))
	must(t, golden.Wait(ctx, "the old program to refuse", func() (string, error) {
		if n.Replica(2).Ended() == nil {
			return "it runs", nil
		}
		return "", nil
	}))
	log, err := os.ReadFile(n.LogFile("node2"))
	must(t, err)
	if want := "unknown version of the protocol"; n.Replica(2).Clean() || !strings.Contains(string(log), want) {
		t.Errorf("the old program ended with %v and did not say %q", n.Replica(2).Ended(), want)
	}
	must(t, n.StartWith(2, next, nil))
	_, err = w.Agree(ctx, s.Height)
	must(t, err)
}
