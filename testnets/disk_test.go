package testnets_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"fusion/testnets"
	"fusion/testnets/golden"
)

// disk is a file system that fails from a moment on, for ever: a replica that starts again gets another one.
type disk struct {
	vfs.FS
	fault atomic.Pointer[func(errorfs.Op) error]
}

func newDisk() *disk {
	d := &disk{}
	d.FS = errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if f := d.fault.Load(); f != nil {
			return (*f)(op)
		}
		return nil
	}))
	return d
}

// Lock implements vfs.FS. A process whose disk fails ends, and its lock with it; here the process is the test's.
func (*disk) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// noSpace is a disk that is full.
func noSpace(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
		return syscall.ENOSPC
	}
	return nil
}

// noSync is a disk that takes everything and keeps nothing.
func noSync(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
		return syscall.EIO
	}
	return nil
}

// TestFailingDisk: the disk of one replica of four is full, and the next one fails at fsync, each time in the middle of a deposit. The replica stops
// and says why, the others mint and pay, and with a good disk it comes back to the state that they have.
func TestFailingDisk(t *testing.T) {
	const victim = 2
	dir := golden.Clone(t)
	log := must(os.Create(filepath.Join(dir, testnets.LogFile)))(t)
	t.Cleanup(func() { log.Close() })
	var current atomic.Pointer[disk]
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	n := must(testnets.Run(ctx, dir, testnets.RunOptions{Log: slog.New(slog.NewTextHandler(log, nil)), FS: func(i int) vfs.FS {
		if i != victim {
			return nil
		}
		d := newDisk()
		current.Store(d)
		return d
	}}))(t)
	t.Cleanup(func() {
		check(t, n.Close())
		if t.Failed() {
			t.Logf("end of the log:\n%s", golden.Tail(log.Name(), 40))
		}
	})
	f := attach(t, n)
	for _, c := range []struct {
		name  string
		fault func(errorfs.Op) error
		errno syscall.Errno
	}{{"full", noSpace, syscall.ENOSPC}, {"fsync fails", noSync, syscall.EIO}} {
		before := must(f.bob.Own(f))(t)
		must(f.bob.Deposit(f, 200_000))(t)
		check(t, f.w.Mine(f, testnets.Confirmations))
		current.Load().fault.Store(&c.fault)
		if got := must(f.bob.Mint(f, 1))(t); got != 200_000-testnets.CheckFee {
			t.Errorf("%s: the others minted %d sat", c.name, got)
		}
		select {
		case err := <-n.Fatal():
			// Which replica, where, what happened, what to do.
			for _, part := range []string{"replica 2", filepath.Join(testnets.NodeDir(dir, victim), "state"), c.errno.Error(), "make room on the disk or replace it, then start again"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%s: the replica says %q, and not %q", c.name, err, part)
				}
			}
		case <-f.Done():
			t.Fatalf("%s: the replica goes on without a disk", c.name)
		}
		stopped := n.Replica(victim).Status().Height
		must(f.owner.Pay(f, f.bob.Agent.Sender(), 1000))(t)
		if got, want := must(f.bob.Own(f))(t), before+200_000-testnets.CheckFee+1000; got != want {
			t.Errorf("%s: bob has %d sat, want %d", c.name, got, want)
		}
		if s := n.Replica(victim).Status(); s.Height != stopped || s.Healthy {
			t.Errorf("%s: the replica was at block %d and is at %d, and says: %s", c.name, stopped, s.Height, s.Sentence)
		}
		check(t, n.StopReplica(victim))
		check(t, n.StartReplica(f, victim))
		if at := must(f.w.Agree(f, stopped+1))(t); at <= stopped {
			t.Errorf("%s: all agree at block %d, and the replica had stopped at %d", c.name, at, stopped)
		}
	}
	must(f.w.Audit(f, f.owner, f.bob))(t)
}
