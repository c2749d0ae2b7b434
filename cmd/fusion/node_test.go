package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fusion/chainkey"
	"fusion/testnets"
)

// TestNodeCommands changes the members of a running network as an operator does. Its only key is the subnet's own.
func TestNodeCommands(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
	defer cancel()
	dir := filepath.Join(t.TempDir(), "n")
	if _, err := testnets.Create(dir, testnets.Settings{Keys: []chainkey.KeyID{}, CommitWait: 100 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	n, err := testnets.Run(ctx, dir, testnets.RunOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}()
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		cmd := root()
		cmd.SetArgs(append([]string{"node", "--data-dir", dir}, args...))
		cmd.SetOut(&out)
		err := cmd.ExecuteContext(ctx)
		return out.String(), err
	}
	want := func(text string, args ...string) {
		t.Helper()
		out, err := run(args...)
		if err != nil || !strings.Contains(out, text) {
			t.Fatalf("fusion node %v: want %q in\n%s%v", args, text, out, err)
		}
	}
	want("4 members in epoch 0, no change goes on", "list")
	want("change 1 (add node 4) is in force since block", "add")
	want("  node 4  member", "list")
	if _, err := run("remove", "9"); err == nil || !strings.Contains(err.Error(), "node 9 is not a member") {
		t.Errorf("a stranger was removed: %v", err)
	}

	// Each operator for one node: one proposes, the others hear of it, approve or reject.
	home := func(i int) string { return testnets.NodeDir(dir, i) }
	sockets := make([]*testnets.Socket, 5)
	for i := range sockets {
		if sockets[i], err = testnets.ServeReplica(filepath.Join(home(i), testnets.AdminSocket), n.Replica(i)); err != nil {
			t.Fatal(err)
		}
		defer sockets[i].Close()
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	heard := func(i int) { // the others' replicas may be some blocks behind
		t.Helper()
		for ; ; <-tick.C {
			if out, err := run("status", "--home", home(i)); err != nil || ctx.Err() != nil {
				t.Fatal(out, err)
			} else if strings.Contains(out, "proposal 2, by node 3") {
				return
			}
		}
	}
	want("proposal 2, by node 3, to remove node 1: 1 of 4 approvals", "remove", "1", "--home", home(3), "--no-wait")
	heard(1)
	want("reject 2: said by 1 node", "reject", "2", "--home", home(1))
	for _, i := range []int{0, 2, 4} {
		heard(i)
		want("approve 2: said by 1 node", "approve", "2", "--home", home(i))
	}
	if _, err := run("approve", "7", "--home", home(0)); err == nil || !strings.Contains(err.Error(), "no open proposal or change 7") {
		t.Errorf("a proposal that nobody made was approved: %v", err)
	}
	for ; ; <-tick.C {
		out, err := run("status")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out, "change 2 (remove node 1) is in force since block") {
			break
		}
		if ctx.Err() != nil || strings.Contains(out, "given up") {
			t.Fatal(out)
		}
	}
	want("  node 1  left", "list")
	file := filepath.Join(t.TempDir(), "candidate.json")
	out, err := run("candidate", "--home", home(1))
	if err != nil || os.WriteFile(file, []byte(out), 0o600) != nil {
		t.Fatal(out, err)
	}
	if _, err := run("add", "--candidate", file); err == nil || !strings.Contains(err.Error(), "a node that joins needs fresh ones") {
		t.Errorf("the keys of a node that left were taken: %v", err)
	}
}
