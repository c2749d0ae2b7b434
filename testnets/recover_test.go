package testnets_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fusion/replica"
	"fusion/replica/consensus"
	"fusion/testnets"
	"fusion/testnets/golden"
)

// snapshotsEvery sets after how many blocks the replicas of a stopped network make images of their state.
func snapshotsEvery(t testing.TB, dir string, blocks int64) {
	t.Helper()
	m := must(testnets.Load(dir))(t)
	for i := range m.Nodes {
		cfg := must(replica.LoadConfig(testnets.NodeDir(dir, i)))(t)
		cfg.SnapshotEvery = blocks
		check(t, cfg.Save())
	}
}

// waitSnapshots waits until replicas have an image of a block above a height, and returns its height.
func waitSnapshots(ctx context.Context, dir string, above uint64, nodes ...int) (height uint64, err error) {
	return height, golden.Wait(ctx, "snapshots", func() (string, error) {
		for _, i := range nodes {
			paths, err := filepath.Glob(filepath.Join(testnets.NodeDir(dir, i), "snapshots", "*", "manifest"))
			if err != nil {
				return "", err
			}
			height = 0
			for _, p := range paths {
				var h uint64
				if _, err := fmt.Sscan(filepath.Base(filepath.Dir(p)), &h); err == nil && h > above {
					height = h
				}
			}
			if height == 0 {
				return fmt.Sprintf("replica %d has %v", i, paths), nil
			}
		}
		return "", nil
	})
}

// contents reads a directory with all below it.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		out[path] = string(b)
		return err
	}))
	return out
}

// TestRecover takes a replica's state away, and gives it that of the others: of canisters, ledger and UTXOs. Its keys stay, nobody's block
// is executed again, a recovery that was cut short is begun again, and afterwards the replica votes, answers and signs.
func TestRecover(t *testing.T) {
	dir := golden.Clone(t)
	snapshotsEvery(t, dir, 20)
	n := golden.RunDir(t, dir)
	f := attach(t, n)
	ctx, stop := context.WithTimeout(t.Context(), 3*timeout) // it is three tests in one
	defer stop()
	f.Context = ctx
	const victim = 3
	before := n.Replica(0).View().Height
	must(f.owner.Pay(f, f.bob.Agent.Sender(), 4321))(t)
	check(t, n.StopReplica(victim))
	at := must(waitSnapshots(f, dir, before, 0, 1, 2))(t)

	home := testnets.NodeDir(dir, victim)
	cfg := must(replica.LoadConfig(home))(t)
	keys := contents(t, filepath.Join(home, "keys"))
	// A state that cannot even be opened.
	tables := must(filepath.Glob(filepath.Join(home, "state", "MANIFEST-*")))(t)
	for _, path := range tables {
		check(t, os.WriteFile(path, []byte("noise"), 0o600))
	}
	if err := n.StartReplica(f, victim); err == nil {
		t.Fatal("a replica started on noise")
	}

	cut, cancel := context.WithCancel(f)
	defer cancel()
	_, err := replica.Recover(cut, *cfg, replica.RecoverOptions{Progress: func(format string, args ...any) {
		if strings.Contains(format, "chunk") {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("cut short: %v", err)
	}
	if err := n.StartReplica(f, victim); !errors.Is(err, replica.ErrUnfinished) {
		t.Fatalf("started after half a recovery: %v", err)
	}
	if _, err := replica.Recover(f, *must(replica.LoadConfig(testnets.NodeDir(dir, 0)))(t), replica.RecoverOptions{}); err == nil {
		t.Fatal("the state of a running replica was replaced")
	}
	if _, err := replica.Recover(f, *cfg, replica.RecoverOptions{Trust: &consensus.TrustPoint{Height: at, Hash: bytes.Repeat([]byte{1}, 32)}}); !errors.Is(err, consensus.ErrTrust) {
		t.Fatalf("recovered from a block that is not the trusted one: %v", err)
	}
	got, err := replica.Recover(f, *cfg, replica.RecoverOptions{Progress: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	if got < at {
		t.Errorf("recovered block %d, there was a snapshot of %d", got, at)
	}
	for path, was := range keys {
		if now, err := os.ReadFile(path); err != nil || string(now) != was {
			t.Errorf("%s has changed: %v", path, err)
		}
	}
	if after := contents(t, filepath.Join(home, "keys")); len(after) != len(keys) {
		t.Errorf("the key store had %d files and has %d", len(keys), len(after))
	}

	check(t, n.StartReplica(f, victim))
	must(f.w.Agree(f, got))(t)
	bob := must(f.w.User("bob", victim))(t) // asks the replica that came back
	if paid := must(bob.Own(f))(t); paid != 4321 {
		t.Errorf("bob has %d there", paid)
	}
	must(f.w.Audit(f, f.owner, f.bob))(t)
	// Without another one blocks need its vote and signatures its share.
	check(t, n.StopReplica(1))
	block := must(f.owner.Redeem(f, golden.FreshAddress(t.Name()), 500_000))(t)
	must(f.owner.Finish(f, block))(t)
	joined := contents(t, filepath.Join(home, "keys"))
	for path, was := range keys {
		if strings.HasSuffix(path, "joined") && !strings.HasPrefix(joined[path], was) {
			t.Errorf("%s forgot what was joined", path)
		}
	}
	check(t, n.StartReplica(f, 1))
	must(f.w.Agree(f, n.Replica(0).View().Height))(t)
	f.w.Close()
	check(t, n.Close())
	blocks := must(consensus.OpenBlocks(consensus.Config{Home: filepath.Join(home, "consensus"), ChainID: n.ChainID}))(t)
	if first, last := blocks.Range(); first != got+1 || last <= got {
		t.Errorf("blocks %d to %d are stored after a recovery at block %d", first, last, got)
	}
	check(t, blocks.Close())
}
