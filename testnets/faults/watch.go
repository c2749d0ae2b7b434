package faults

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"fusion/replica"
)

// watch looks at all replicas all the time, and compares every state that it sees.
type watch struct {
	x *experiment

	mu     sync.Mutex
	newest []look
	states map[uint64]map[int]string // app hashes by block and node
	high   uint64
}

type look struct {
	status replica.Status
	err    error
}

const (
	lookEvery = 100 * time.Millisecond
	// lookTimeout is short, since a replica that is paused accepts connections and says nothing.
	lookTimeout = 3 * time.Second
)

func newWatch(x *experiment) *watch {
	w := &watch{x: x, newest: make([]look, x.m.Nodes), states: map[uint64]map[int]string{}}
	for i := range w.newest {
		w.newest[i].err = fmt.Errorf("node %d was not looked at yet", i)
	}
	return w
}

// run looks until the context ends, which is no error.
func (w *watch) run(ctx context.Context) error {
	errs := make(chan error, w.x.m.Nodes)
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	for i := range w.x.m.Nodes {
		all.Go(func() {
			t := time.NewTicker(lookEvery)
			defer t.Stop()
			for {
				if err := w.look(ctx, i); err != nil {
					errs <- err
					return
				}
				select {
				case <-ctx.Done():
					return
				case <-t.C:
				}
			}
		})
	}
	select {
	case err := <-errs:
		return err
	case <-ctx.Done():
		return nil
	}
}

func (w *watch) look(ctx context.Context, i int) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	s, err := w.x.n.Status(ctx, i)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.newest[i] = look{s, err}
	if err != nil || s.Height == 0 {
		return nil
	}
	w.high = max(w.high, s.Height)
	at := w.states[s.Height]
	if at == nil {
		at = map[int]string{}
		w.states[s.Height] = at
	}
	at[i] = s.AppHash
	for other, hash := range at {
		if hash != s.AppHash {
			return fmt.Errorf("at block %d replica %d has state %s and replica %d has %s", s.Height, i, s.AppHash, other, hash)
		}
	}
	return nil
}

// status is what a replica said last.
func (w *watch) status(i int) (replica.Status, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.newest[i].status, w.newest[i].err
}

// top is the highest block that any replica ever had.
func (w *watch) top() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.high
}

// height is the highest block of some replicas.
func (w *watch) height(nodes []int) (out uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range nodes {
		out = max(out, w.newest[i].status.Height)
	}
	return out
}

// compared is of how many blocks two replicas or more were seen.
func (w *watch) compared() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, at := range w.states {
		if len(at) > 1 {
			n++
		}
	}
	return n
}

// String is what all replicas said last.
func (w *watch) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for i, l := range w.newest {
		if l.err != nil {
			out = append(out, l.err.Error())
		} else {
			out = append(out, fmt.Sprintf("replica %d: block %d, certified %d, %s", i, l.status.Height, l.status.Certified, l.status.Sentence))
		}
	}
	return strings.Join(out, "; ")
}
