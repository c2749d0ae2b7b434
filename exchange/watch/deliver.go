package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// maxBackoff is the longest wait before an event is offered again, whatever the receiver asks for.
const maxBackoff = 5 * time.Minute

// queued is an event on its way.
type queued struct {
	item
	failures int
	due      time.Time
	flying   bool
}

// queue offers events to the receiver until it takes them. What it holds is also on disk.
type queue struct {
	w       *Watcher
	limit   int
	mu      sync.Mutex
	items   []*queued
	flying  int
	down    int // failures in a row, of any event
	resume  time.Time
	changed chan struct{} // closed by each change
}

func newQueue(w *Watcher, items []item) *queue {
	q := &queue{w: w, limit: w.cfg.MaxQueue, changed: make(chan struct{})}
	q.add(items)
	return q
}

// signal wakes who waits for a change; q.mu is held.
func (q *queue) signal() {
	close(q.changed)
	q.changed = make(chan struct{})
}

func (q *queue) add(items []item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, it := range items {
		q.items = append(q.items, &queued{item: it})
	}
	q.signal()
}

// room waits until the queue is below its limit: meanwhile the rest stays where it is safe, in the ledger.
func (q *queue) room(ctx context.Context) error {
	for {
		q.mu.Lock()
		n, changed := len(q.items), q.changed
		q.mu.Unlock()
		if n < q.limit {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pick takes the first event that is due, or says how long to wait for one.
func (q *queue) pick(now time.Time) (it *queued, wait time.Duration, changed chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	most := q.w.cfg.Concurrency
	if q.down > 0 { // until the receiver takes something again, one try at a time
		most = 1
	}
	if q.flying >= most {
		return nil, time.Hour, q.changed
	}
	if d := q.resume.Sub(now); d > 0 {
		return nil, d, q.changed
	}
	wait = time.Hour
	for _, it := range q.items {
		switch d := it.due.Sub(now); {
		case it.flying:
		case d <= 0:
			it.flying = true
			q.flying++
			return it, 0, nil
		default:
			wait = min(wait, d)
		}
	}
	return nil, wait, q.changed
}

// backoff is the wait after a number of failures, half of it at random.
func (q *queue) backoff(failures int, err error) time.Duration {
	d := q.w.cfg.Backoff << min(failures-1, 30)
	if d > maxBackoff || d <= 0 {
		d = maxBackoff
	}
	var asked retryAfter
	if errors.As(err, &asked) {
		d = max(d, asked.after)
	}
	return d/2 + rand.N(d/2+1)
}

// run delivers until ctx ends or the disk fails.
func (q *queue) run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for {
		it, wait, changed := q.pick(time.Now())
		if it != nil {
			wg.Go(func() {
				if err := q.offer(ctx, it); err != nil {
					cancel(err)
				}
			})
			continue
		}
		t := time.NewTimer(wait)
		select {
		case <-changed:
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		}
		t.Stop()
	}
}

// offer offers an event once.
func (q *queue) offer(ctx context.Context, it *queued) error {
	var id struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(it.raw, &id); err != nil || id.ID == "" {
		return fmt.Errorf("%w: queued event %d: %v", ErrState, it.seq, err)
	}
	q.w.fault("deliver")
	err := q.w.deliver(ctx, id.ID, it.raw)
	q.w.fault("delivered")
	if err == nil {
		if err := q.w.store.remove(it.seq); err != nil {
			return err
		}
		q.w.fault("removed")
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.signal()
	q.flying--
	it.flying = false
	if err == nil {
		q.down, q.resume = 0, time.Time{}
		q.w.metrics.delivered.Inc()
		for i, other := range q.items {
			if other == it {
				q.items = append(q.items[:i], q.items[i+1:]...)
				break
			}
		}
		return nil
	}
	if ctx.Err() != nil {
		return nil
	}
	it.failures++
	q.down++
	q.w.metrics.failures.Inc()
	it.due = time.Now().Add(q.backoff(it.failures, err))
	q.resume = time.Now().Add(q.backoff(q.down, err) / 2)
	q.w.cfg.Log.Warn("an event was not taken; it is offered again", "event", id.ID, "failures", it.failures, "queued", len(q.items),
		"wait", time.Until(it.due).Round(time.Millisecond), "err", err)
	return nil
}
