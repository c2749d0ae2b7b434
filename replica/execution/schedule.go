package execution

import (
	"sort"

	"fusion/ic/principal"
)

// A round is a sequence of waves. In a wave up to waveWidth canisters have a turn, at the same time if there are threads for it; then what
// they sent is delivered, and the next wave begins with the canisters that wait longest. The management canister and canisters in Go
// change more than themselves, so each of their turns is a wave of its own. Nothing here depends on Config.Threads.
//
// The order in which canisters start a round, and the shares of those that run in one wave, follow from compute allocations: one percent
// is 1/400 of the round's budget for as long as the canister has work, and what is not allocated is shared equally. A canister that had
// work and got less than its share is owed the difference (record.Priority), and canisters to which more is owed start first.
const (
	waveWidth = 16
	// computeUnits is the round's budget in percents of compute allocation: as on the Internet Computer a subnet has four cores, and what is
	// below three of them may be allocated.
	computeUnits       = 400
	maxComputeReserved = 299
	// turnInstructions is what a canister may use before the others that have work get their turn.
	turnInstructions = 500_000_000
	// maxPriority bounds what a canister is owed, and what it owes, in rounds.
	maxPriority = 64
)

// schedule runs what waits until the budget is used up.
func (x *Executor) schedule() {
	x.ready, x.head, x.active = x.ready[:0], 0, x.active[:0]
	x.longLeft = x.cfg.RoundInstructions / 2
	if x.done == nil {
		x.done = make(chan *turn, waveWidth)
	}
	x.scheduling = true
	if m := x.canisters[principal.Management]; m.hasWork() {
		x.wake(m) // cheap, and others wait for what it does
	}
	var waiting []*canister
	for _, c := range x.order {
		if c.kind == wasmCanister && c.Status == running && c.hasCode() {
			c.heartbeatDue = c.Hooks&hookHeartbeat != 0
			c.timerDue = c.Hooks&hookTimer != 0 && c.Timer != 0 && c.Timer <= x.global.TimeNs
		}
		switch {
		case !c.hasWork():
		case c.kind == wasmCanister:
			waiting = append(waiting, c)
		default:
			x.wake(c)
		}
	}
	sort.SliceStable(waiting, func(i, j int) bool { return waiting[i].Priority > waiting[j].Priority })
	for _, c := range waiting {
		x.wake(c)
	}
	for x.used < x.cfg.RoundInstructions {
		wave := x.nextWave()
		if len(wave) == 0 {
			break
		}
		x.runWave(wave)
	}
	x.scheduling = false
	clear(x.ready)
	x.ready = x.ready[:0]
	for _, w := range x.idle {
		close(w.work)
		x.spare = append(x.spare, w.exec)
	}
	clear(x.idle)
	x.idle = x.idle[:0]
	x.settlePriorities()
	for _, c := range x.order {
		c.queued, c.heartbeatDue, c.timerDue, c.unaffordable = false, false, false, false
	}
}

// wake puts a canister that has work into the ready list, if it is not there.
func (x *Executor) wake(c *canister) {
	if !x.scheduling || c.queued {
		return
	}
	c.queued = true
	x.ready = append(x.ready, c)
	if !c.active && c.kind == wasmCanister {
		c.active = true
		x.active = append(x.active, c)
	}
}

// alone says that a turn of c touches other canisters.
func (c *canister) alone() bool {
	return c.kind != wasmCanister || c.run != nil && c.run.Job.Install != nil
}

// nextWave takes the canisters of the next wave from the ready list and gives each its share of what is left of the round.
func (x *Executor) nextWave() []turn {
	x.turns = x.turns[:0]
	allocated := uint64(0)
	for ; x.head < len(x.ready) && len(x.turns) < waveWidth; x.head++ {
		c := x.ready[x.head]
		if c.alone() && len(x.turns) > 0 {
			break
		}
		c.queued = false
		if !c.hasWork() || c.run != nil && x.longLeft == 0 {
			continue
		}
		if len(x.turns) < cap(x.turns) {
			x.turns = x.turns[:len(x.turns)+1] // with its outbox, to be used again
		} else {
			x.turns = append(x.turns, turn{})
		}
		t := &x.turns[len(x.turns)-1]
		*t = turn{c: c, out: t.out[:0], done: x.done}
		allocated += min(c.Settings.Compute, 100)
		if c.alone() {
			x.head++
			break
		}
	}
	left, n := x.cfg.RoundInstructions-min(x.used, x.cfg.RoundInstructions), uint64(len(x.turns))
	for i := range x.turns {
		t := &x.turns[i]
		weight := min(t.c.Settings.Compute, 100)*n + computeUnits - min(allocated, computeUnits)
		t.limit = min(max(left/(computeUnits*n)*weight, 1), turnInstructions)
		if t.c.run != nil {
			t.limit = min(max(left/(computeUnits*n)*weight, 1), x.longLeft)
			t.long, t.began = true, true
			x.longLeft -= t.limit
		}
	}
	return x.turns
}

// runWave runs turns on as many threads as there are, and delivers what they sent.
func (x *Executor) runWave(wave []turn) {
	x.turnStart = x.used
	started, running := 0, 0
	for started < len(wave) || running > 0 {
		for ; started < len(wave) && running < x.cfg.Threads; started++ {
			x.startTurn(&wave[started])
			running++
		}
		t := <-x.done
		running--
		if t.failure == nil && !t.paused {
			x.idle = append(x.idle, t.worker)
		}
	}
	for i := range wave {
		if f := wave[i].failure; f != nil {
			panic(f)
		}
	}
	for i := range wave {
		t := &wave[i]
		x.apply(t)
		if t.c.hasWork() {
			x.wake(t.c)
		}
		clear(t.out)
	}
}

// startTurn hands a turn to the worker whose job stands still at the canister, or to any.
func (x *Executor) startTurn(t *turn) {
	switch n := len(x.idle); {
	case t.c.run != nil && t.c.run.worker != nil:
		t.worker = t.c.run.worker
	case n > 0:
		t.worker, x.idle = x.idle[n-1], x.idle[:n-1]
	default:
		t.worker = x.newWorker()
	}
	x.exclusive = t.worker
	t.worker.work <- t
}

// settlePriorities compares what the canisters that had work in this round should have had with what they got.
func (x *Executor) settlePriorities() {
	allocated, n := uint64(0), uint64(len(x.active))
	for _, c := range x.active {
		allocated += min(c.Settings.Compute, 100)
	}
	bound := int64(min(x.cfg.RoundInstructions, 1<<40)) * maxPriority
	for _, c := range x.active {
		p := int64(0)
		if c.hasWork() {
			weight := min(c.Settings.Compute, 100)*n + computeUnits - min(allocated, computeUnits)
			share := x.cfg.RoundInstructions / (computeUnits * n) * weight
			p = max(min(c.Priority+int64(min(share, 1<<40))-int64(min(c.usedRound, 1<<40)), bound), -bound)
		}
		if p != c.Priority {
			c.Priority, c.dirty = p, true
		}
		c.active, c.usedRound = false, 0
	}
}
