package execution

import (
	"fusion/ic/principal"
	"fusion/replica/management"
)

// A message may take MessageInstructions, many times what a round has. It is executed in slices: in Refill it stands still until its
// canister's next turn. Heap and stable memory as committed, and what queries see, are those from before it; requests, callbacks and
// tasks of the canister wait, and so do management calls that would change it (see quiet).
//
// A message that stands still is not part of the state. The state has the job, what the job saw when it began, and the instructions
// that it was given so far. After a restart the canister's next turn begins with running these again, for nothing.

// pausedRun is a job that stands still.
type pausedRun struct {
	_      struct{} `cbor:",toarray"`
	Job    job
	Inputs inputs

	worker *worker // nil after a restart, until the next turn
	stored bool
}

// inputs is what a job sees that may change while it stands still.
type inputs struct {
	_       struct{} `cbor:",toarray"`
	TimeNs  uint64
	Status  status
	Version uint64
	Memory  uint64 // beside heap and stable memory
	Balance Cycles
	Head    headroom
	Keys    []ChainKey
	Nodes   uint64 // of the subnet, which its prices depend on
}

func inputsOf(e *exec) inputs {
	return inputs{TimeNs: e.timeNs, Status: e.status, Version: e.version, Memory: e.memoryBase, Balance: e.balance, Head: e.head, Keys: e.keys, Nodes: e.price.nodes}
}

func (in *inputs) restore(e *exec) {
	e.timeNs, e.status, e.version, e.memoryBase, e.balance = in.TimeNs, in.Status, in.Version, in.Memory, in.Balance
	e.keys, e.head, e.price = in.Keys, in.Head, prices{in.Nodes}
	e.before = in.Memory + (e.c.HeapPages+e.c.StablePages)*wasmPage
}

// grant is how many instructions a job was given.
type grant struct {
	limit   uint64 // what it may get in all
	given   uint64
	counted uint64 // of which the round's budget has been charged
	redoing bool   // what was given before a restart
}

// open returns the first instructions of a job.
func (w *worker) open(c *canister) uint64 {
	g := grant{limit: w.job.Limit}
	switch {
	case c.run != nil && c.run.worker == nil:
		c.run.worker = w
		g.given, g.counted, g.redoing = c.Slices, c.Slices, true
	case len(c.batch) > 0:
		g.given = min(g.limit, w.x.cfg.SliceInstructions)
	default:
		g.given = min(g.limit, w.slice())
	}
	w.grant = g
	return g.given
}

// slice is what the turn has for a job.
func (w *worker) slice() uint64 { return max(w.t.left(), w.x.cfg.SliceInstructions) }

// use counts what the job has used since it was counted last.
func (w *worker) use(used uint64) {
	n := used - min(w.grant.counted, used)
	w.grant.counted = max(w.grant.counted, used)
	w.t.used += n
	w.t.instructions += n
}

// refill is asked for more instructions by a job that has used up what it was given.
func (w *worker) refill() uint64 {
	g, c := &w.grant, w.exec.c
	if g.given >= g.limit || w.abandoned {
		return 0
	}
	if len(c.batch) > 0 {
		w.tooLong = true
		return 0
	}
	w.use(g.given)
	if g.redoing {
		g.redoing = false
	} else if !w.pause(c) {
		return 0
	}
	more := min(g.limit-g.given, w.slice())
	g.given += more
	return more
}

// pause ends the turn and waits for the next one. It reports false when there will be none.
func (w *worker) pause(c *canister) bool {
	c.Slices, c.dirty = w.grant.given, true
	if c.run == nil || c.run.Job.Mode != w.job.Mode {
		c.run = &pausedRun{Job: w.job, Inputs: w.inputs, worker: w}
	}
	if w.job.Install != nil && w.job.Message.Origin.Kind == originIngress {
		w.x.processingIngress(w.job.Message.Origin)
	}
	w.t.paused = true
	w.t.done <- w.t
	t, ok := <-w.work
	if !ok {
		w.abandoned = true
		return false
	}
	w.t, w.resumed = t, true
	return true
}

// endRun is called when a job has ended that may have stood still.
func (c *canister) endRun() {
	if c.run != nil {
		c.run, c.Slices, c.dirty = nil, 0, true
	}
}

// quiet lists the management methods that change what a job that stands still has seen or will write: they wait for its end.
var quiet = map[string]bool{"update_settings": true, "install_code": true, "install_chunked_code": true, "uninstall_code": true, "delete_canister": true,
	"take_canister_snapshot": true, "load_canister_snapshot": true, "delete_canister_snapshot": true, "upload_canister_snapshot_metadata": true,
	"upload_canister_snapshot_data": true, "upload_chunk": true, "clear_chunk_store": true}

// mustWait reports whether a management call is about a canister whose job stands still. Installations also wait for each other: at most
// one stands still, since it keeps two modules in memory.
func (x *Executor) mustWait(m *message) bool {
	if x.paused == 0 || !quiet[m.Method] {
		return false
	}
	if m.Method == "install_code" || m.Method == "install_chunked_code" {
		for _, c := range x.order {
			if c.run != nil && c.run.Job.Install != nil {
				return true
			}
		}
	}
	id, _, err := management.EffectiveCanister(m.Method, m.Data, false)
	c := x.canisters[id]
	return err == nil && c != nil && c.run != nil
}

// unpark lets the management canister look again at the calls that waited, in their order.
func (x *Executor) unpark() {
	m := x.canisters[principal.Management]
	if len(m.parked) == 0 {
		return
	}
	m.requests.unshift(m.parked)
	m.parked = nil
	x.wake(m)
}

// again gives a turn to the job that stood still when the executor was closed.
func (w *worker) again(c *canister) {
	run := c.run
	if run.Job.Install == nil {
		w.execute(c, run.Job, &run.Inputs)
		return
	}
	m := run.Job.Message
	rej := w.x.runInstall(c, run.Job, &run.Inputs)
	w.x.respond(m.Origin, response{data: emptyCandid, reject: rej}, m.Cycles)
}
