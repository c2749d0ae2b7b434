package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fusion/replica"
	"fusion/replica/genesis"
	statedb "fusion/replica/state"
	"fusion/testnets"
	"fusion/testnets/golden"
)

// TestDamagedReplicaRecovers damages the state of a replica in two ways: its disk flips a bit, and a bit of a canister's memory flips before it is written,
// which no checksum can see. Both times the replica's process ends by itself and says why and what to do; fusion replica recover
// gives it the others' state, and it goes on, with the memory of what it has signed and joined.
func TestDamagedReplicaRecovers(t *testing.T) {
	bin := program(t, "FUSION_BIN")
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	const victim = 3
	dir := golden.Clone(t)
	m, err := testnets.Load(dir)
	must(t, err)
	for i := range m.Nodes {
		cfg, err := replica.LoadConfig(testnets.NodeDir(dir, i))
		must(t, err)
		cfg.SnapshotEvery = 20
		must(t, cfg.Save())
	}
	n, w := runDir(ctx, t, dir)
	owner, bob := user(t, w, golden.Owner, 0), user(t, w, "bob", 1)
	home := testnets.NodeDir(dir, victim)
	logFile := n.LogFile(fmt.Sprintf("node%d", victim))
	paid, before := uint64(0), uint64(0)
	before, err = bob.Own(ctx)
	must(t, err)
	for _, damage := range []struct {
		name string
		do   func(t *testing.T, home string)
		want []string // in the log
	}{
		{"a bit of the disk", flipBit, []string{"checksum mismatch", "fusion replica recover"}},
		{"a bit of memory", flipPage, []string{"diverged", "fusion replica recover"}},
	} {
		t.Run(damage.name, func(t *testing.T) {
			must(t, n.Stop(victim))
			damage.do(t, home)
			seen, err := os.ReadFile(logFile)
			must(t, err)
			joined, err := os.ReadFile(filepath.Join(home, "keys", "joined"))
			must(t, err)
			must(t, n.Start(victim))
			must(t, golden.Wait(ctx, "the damaged replica to stop", func() (string, error) {
				if n.Replica(victim).Ended() == nil {
					return "it runs", nil
				}
				return "", nil
			}))
			if n.Replica(victim).Clean() {
				t.Error("it ended with exit code 0")
			}
			now, err := os.ReadFile(logFile)
			must(t, err)
			for _, words := range damage.want {
				if !bytes.Contains(now[len(seen):], []byte(words)) {
					t.Errorf("its log does not say %q", words)
				}
			}
			// The others go on, and have images of what is newer.
			top, err := n.Status(ctx, 0)
			must(t, err)
			if _, err := owner.Pay(ctx, bob.Agent.Sender(), 1000); err != nil {
				t.Fatal(err)
			}
			paid += 1000
			must(t, golden.Wait(ctx, "a snapshot", func() (string, error) {
				list, err := filepath.Glob(filepath.Join(testnets.NodeDir(dir, 0), "snapshots", "*", "manifest"))
				for _, p := range list {
					var h uint64
					if _, serr := fmt.Sscan(filepath.Base(filepath.Dir(p)), &h); serr == nil && h > top.Height {
						return "", nil
					}
				}
				return fmt.Sprint(list), err
			}))
			out, err := exec.CommandContext(ctx, bin, "replica", "recover", "--config", home).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "is in place, checked against the network's votes") {
				t.Fatalf("recover: %v\n%s", err, out)
			}
			must(t, n.Start(victim))
			_, err = w.Agree(ctx, top.Height)
			must(t, err)
			after, err := os.ReadFile(filepath.Join(home, "keys", "joined"))
			must(t, err)
			if !bytes.HasPrefix(after, joined) {
				t.Error("it has forgotten which sessions it joined")
			}
			there := user(t, w, "bob", victim)
			if got, err := there.Own(ctx); err != nil || got != before+paid {
				t.Errorf("bob has %d sat there, want %d: %v", got, before+paid, err)
			}
		})
	}
	_, err = w.Audit(ctx, owner, bob)
	must(t, err)
}

// flipBit flips a bit in the middle of every table of a replica's state.
func flipBit(t *testing.T, home string) {
	t.Helper()
	tables, err := filepath.Glob(filepath.Join(home, "state", "*.sst"))
	must(t, err)
	if len(tables) == 0 {
		t.Fatal("the state has no tables")
	}
	for _, path := range tables {
		b, err := os.ReadFile(path)
		must(t, err)
		b[len(b)/2] ^= 1
		must(t, os.WriteFile(path, b, 0o600))
	}
}

// flipPage writes a replica's state anew, with a flipped bit in one page of each canister's memory and an accumulator that fits.
func flipPage(t *testing.T, home string) {
	t.Helper()
	doc, err := genesis.Load(filepath.Join(home, replica.GenesisFile))
	must(t, err)
	opts := statedb.Options{Network: doc.Hash()}
	from, to := filepath.Join(home, "state"), filepath.Join(home, "state.flipped")
	db, err := statedb.Open(from, opts)
	must(t, err)
	into, err := statedb.NewImport(to, opts)
	must(t, err)
	flipped := 0
	db.Reader().Scan(nil, nil, func(k, v []byte) bool {
		if bytes.HasPrefix(k, []byte("exe/h")) || bytes.HasPrefix(k, []byte("exe/s")) {
			if len(v) == 4096 && bytes.HasSuffix(k, []byte{0}) {
				v = bytes.Clone(v)
				v[4000] ^= 1
				flipped++
			}
		}
		err = into.Set(k, v)
		return err == nil
	})
	must(t, err)
	if flipped == 0 {
		t.Fatal("no canister has a page of memory")
	}
	head := db.Head()
	must(t, errors.Join(into.Commit(head.Height, head.AppHash), into.Close(), db.Close(), os.RemoveAll(from), os.Rename(to, from)))
}
