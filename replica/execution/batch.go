package execution

import "fmt"

// Committing a heap costs as much as running a small message, so the messages of a canister are committed together, in batches. A batch
// ends with the round, or earlier where something else touches the canister. When a message traps, the heap goes back to the last
// commit and the batch is run again without that message; from there on each message of the round is a batch of its own, so
// that work is repeated at most once in a round. A message that takes long must not stand still behind uncommitted ones (long.go): when it
// has used SliceInstructions behind a batch it is taken back in the same way and begins again behind the commit.
//
// What a message does depends on its start, on the heap and stable memory that the messages before it left, and on
// nothing else: settings and keys do not change within a batch, and call_perform repeats its outcomes. Queries see commits only.

// batchInstructions is what the messages of a batch may use together before it is committed: more would not make the commit cheaper.
const batchInstructions = 20_000_000

// replay is a message of a batch: what it takes to run it again.
type replay struct {
	start     exec // before it ran
	run       entry
	limit     uint64
	used      uint64
	performed []bool
}

// checkpoint commits the batch of c.
func (x *Executor) checkpoint(c *canister) {
	if len(c.batch) == 0 {
		return
	}
	c.lock()
	defer c.mu.Unlock()
	pages, size, globals, err := c.code.Load().inst.Commit()
	if err != nil {
		panic(fmt.Sprintf("execution: commit of %s: %v", c.id, err))
	}
	for _, p := range pages {
		if old := c.heapDirty[p.Index]; old != nil {
			copy(old, p.Data)
		} else {
			c.heapDirty[p.Index] = append([]byte(nil), p.Data...)
		}
	}
	c.HeapPages, c.Globals = uint64(size), globals
	c.stable.put(c.batchStable)
	clear(c.batchStable)
	clear(c.batch)
	c.batch, c.batchUsed = c.batch[:0], 0
	c.view = c.snapshot(x)
}

// undo takes back the message that has just failed.
func (w *worker) undo(c *canister, code *code) {
	x := w.x
	x.rollback(code)
	if len(c.batch) == 0 {
		return
	}
	clear(c.batchStable)
	var e exec
	for i := range c.batch {
		r := &c.batch[i]
		stable, size := e.stable, r.start.stable.size
		e = r.start
		e.stable, e.planned, e.replyData = stable, nil, nil
		e.stable.begin(&c.stable, c.batchStable, size, c.loader(x))
		e.performed, e.replaying = r.performed, true
		code.inst.Ctx, code.inst.Refill = &e, nil
		used, err := r.run(code.inst, r.limit)
		if err != nil || used != r.used {
			panic(fmt.Sprintf("execution: message %d of a batch of %s used %d instructions, and %d when run again (%v)", i, c.id, r.used, used, err))
		}
		w.t.used += used
		e.stable.join()
	}
	x.checkpoint(c)
}
