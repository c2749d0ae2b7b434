package consensus

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// stallWatch decides when a replica stands still alone. It is told heights and times and has no clock of its own.
type stallWatch struct {
	faulty int // f: so many peers may lie
	limit  time.Duration

	height uint64
	since  time.Time // when others were first seen ahead of height
}

// lead is how far ahead others must be: one block is normal.
const lead = 2

// observe returns an error when this replica has been at one height for longer than the limit while more than f peers
// were ahead of it. Without them it waits for ever: a network without a quorum must not lose more replicas.
func (w *stallWatch) observe(now time.Time, height uint64, peers []uint64) error {
	slices.Sort(peers)
	// The (f+1)-th highest claim is not above what some honest peer has.
	ahead := len(peers) > w.faulty && peers[len(peers)-1-w.faulty] >= height+lead
	if height != w.height || !ahead || w.since.IsZero() {
		w.height, w.since = height, time.Time{}
		if ahead {
			w.since = now
		}
		return nil
	}
	if d := now.Sub(w.since); d >= w.limit {
		return fmt.Errorf("%w: at height %d for %v, peers are at %v", ErrStalled, height, d.Round(time.Second), peers)
	}
	return nil
}

func (n *Node) watch(ctx context.Context) {
	w := stallWatch{limit: n.cfg.Timings.Stall}
	tick := time.NewTicker(max(n.cfg.Timings.Stall/20, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			w.faulty = int(n.app.voters.Load()-1) / 3
			s := n.Status()
			var peers []uint64
			for _, h := range s.PeerHeights {
				peers = append(peers, h)
			}
			if err := w.observe(now, s.Height, peers); err != nil {
				n.report(err)
				return
			}
		}
	}
}
