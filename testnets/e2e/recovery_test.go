package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fusion/ckledger/ckbtc"
	"fusion/replica"
	"fusion/testnets"
	"fusion/testnets/golden"
)

// TestHaltedSubnetBeginsAgain takes state and blocks of two of four replicas away, so that the others stand still for ever. What an operator reads in docs/operate.md
// brings the subnet back, command by command: from the newest state of a replica that stopped, agreed on by three members; two are not enough.
func TestHaltedSubnetBeginsAgain(t *testing.T) {
	bin := program(t, "FUSION_BIN")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	dir := golden.Clone(t)
	n, w := runDir(ctx, t, dir)
	owner, bob := user(t, w, golden.Owner, 0), user(t, w, "bob", 1)
	_, err := owner.Pay(ctx, bob.Agent.Sender(), 1234)
	must(t, err)
	top, err := n.Status(ctx, 0)
	must(t, err)
	_, err = w.Agree(ctx, top.Height)
	must(t, err)
	had, err := bob.Own(ctx)
	must(t, err)

	must(t, n.Each(n.Stop))
	for _, i := range []int{2, 3} {
		for _, name := range []string{"state", "consensus", "snapshots"} {
			must(t, os.RemoveAll(filepath.Join(testnets.NodeDir(dir, i), name)))
		}
	}
	run := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, bin, append([]string{"recovery"}, args...)...).CombinedOutput()
		return string(out), err
	}
	do := func(want string, args ...string) {
		t.Helper()
		if out, err := run(args...); err != nil || !strings.Contains(out, want) {
			t.Fatalf("fusion recovery %s: %v, want %q\n%s", strings.Join(args, " "), err, want, out)
		}
	}
	home := func(i int) string { return testnets.NodeDir(dir, i) }
	backup, document := filepath.Join(t.TempDir(), "backup.tar"), filepath.Join(t.TempDir(), "recovery.json")
	do("NOT signed by the subnet", "backup", "--config", home(0), "--out", backup, "--newest")
	do("needs signatures of two thirds", "verify", backup)
	do("recovery 1", "draft", "--out", document, backup)
	for _, i := range []int{0, 1} {
		do("recovery 1", "sign", "--backup", backup, "--config", home(i), document)
	}
	if out, err := run("restore", "--config", home(3), "--document", document, backup); err == nil || !strings.Contains(out, "fusion recovery sign") {
		t.Fatalf("two of four recovered the subnet: %v\n%s", err, out)
	}
	do("it has all signatures that it needs", "sign", "--backup", backup, "--config", home(2), document)
	for i := range 4 {
		do("the state is in place", "restore", "--config", home(i), "--document", document, backup)
	}

	must(t, n.Each(n.Start))
	must(t, n.Ready(ctx, top.Height))
	var s replica.Status
	s, err = n.Status(ctx, 3)
	must(t, err)
	if s.RootKey != top.RootKey {
		t.Errorf("root key %s, was %s", s.RootKey, top.RootKey)
	}
	if got, err := bob.Own(ctx); err != nil || got != had {
		t.Errorf("bob has %d sat, had %d: %v", got, had, err)
	}
	if res, err := bob.UpdateBalance(ctx); err != nil || res.Err == nil || res.Err.TemporarilyUnavailable == nil {
		t.Errorf("the minter is not paused: %+v, %v", res, err)
	}
	controller := user(t, w, testnets.DefaultIdentity, 0)
	must(t, golden.Wait(ctx, "that the minter goes on", func() (string, error) {
		var res ckbtc.ResumeResult
		err := controller.Agent.Update(ctx, w.Minter, "resume", []any{(*ckbtc.ResumeArgs)(nil)}, []any{&res})
		if err == nil && res.Err != nil {
			return *res.Err, w.Mine(ctx, 1)
		}
		return "", err
	}))
	block, err := owner.Redeem(ctx, golden.FreshAddress(t.Name()), 500_000)
	must(t, err)
	_, err = owner.Finish(ctx, block)
	must(t, err)
	_, err = w.Audit(ctx, owner, bob)
	must(t, err)
}
