package faults

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"fusion/testnets"
	"fusion/testnets/golden"
)

// check looks at a network that is over everything: the invariants of the simulation, on real processes.
func (x *experiment) check(ctx context.Context, l *load) (err error) {
	if len(x.m.Perturb) > 0 && l.payments.Load() == 0 {
		return errors.New("no payment was made: the experiment showed nothing")
	}
	if x.report.Redemptions, err = l.finish(ctx); err != nil {
		return err
	}
	if _, err := x.world.Agree(ctx, x.watch.top()); err != nil {
		return err
	}
	for _, c := range []struct {
		who  *golden.User
		want uint64
	}{{l.receiver, uint64(l.paid.Load())}, {l.depositor.users[0], l.deposits}} {
		got, err := c.who.Own(ctx)
		if err != nil {
			return err
		}
		if got != c.want {
			return fmt.Errorf("the %s has %d sat and should have %d sat, after %d payments", c.who.Name, got, c.want, l.payments.Load())
		}
	}
	b := &x.report.Bulk
	b.Asked, b.Made = int(l.asked.Load()), int(l.made.Load())
	if b.Asked > 0 {
		slices.Sort(l.took)
		at := func(share float64) time.Duration { return l.took[int(share*float64(len(l.took)-1))] }
		if b.P50, b.P99, b.Max = at(0.5), at(0.99), at(1); b.Made == 0 {
			return errors.New("no payment of the bulk was made")
		}
	}
	switch got, err := l.crowd.Own(ctx); {
	case err != nil:
		return err
	case got < uint64(b.Made) || got > uint64(b.Asked):
		return fmt.Errorf("the bulk's payments were asked for %d times and confirmed %d times, and %d were made", b.Asked, b.Made, got)
	}
	x.report.Supply, err = x.world.Audit(ctx, l.redeemer.users[0], l.receiver, l.depositor.users[0], l.crowd)
	x.report.Payments, x.report.Retries = int(l.payments.Load()), int(l.retries.Load())
	return err
}

// unexpected are lines of a replica's log that no fault may cause.
var unexpected = regexp.MustCompile(`level=ERROR|^panic: |^fatal error: |^goroutine \d+ |DATA RACE|CONSENSUS FAILURE`)

// inspect looks at what the stopped replicas left: their logs, and the sessions that they joined, in none of which a replica may be twice.
func (x *experiment) inspect() error {
	for i := range x.m.Nodes {
		text, err := os.ReadFile(x.n.LogFile(fmt.Sprintf("node%d", i)))
		if err != nil {
			return err
		}
		if line := surprise(text); line != "" {
			return fmt.Errorf("the log of node %d says: %s", i, line)
		}
		joined, err := os.ReadFile(filepath.Join(testnets.NodeDir(x.o.Dir, i), "keys", "joined"))
		if err != nil {
			return err
		}
		if id := twice(joined); id != "" {
			return fmt.Errorf("node %d joined session %s twice", i, id)
		}
	}
	return nil
}

// surprise is the first line of a log that no fault may cause.
func surprise(log []byte) string {
	for line := range bytes.Lines(log) {
		if unexpected.Match(line) {
			return string(bytes.TrimSpace(line))
		}
	}
	return ""
}

// twice is a session that is twice in the markers of a key store.
func twice(markers []byte) string {
	const record = 36 // a session and a checksum
	seen := map[string]bool{}
	for ; len(markers) >= record; markers = markers[record:] {
		id := hex.EncodeToString(markers[:32])
		if seen[id] {
			return id
		}
		seen[id] = true
	}
	return ""
}
