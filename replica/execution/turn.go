package execution

import (
	"errors"
	"fmt"
	"runtime/debug"

	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/kv"
)

// A turn is what one canister does in one wave of a round. While wasm canisters have their turns, each on a worker of its own, they read
// their own state and what is constant in the round, and they write their own state and the turn's outbox. Round merges the outboxes
// in the order of the wave, so that the result does not depend on how many workers run at a time.
//
// A message that needs more instructions than its turn has left stands still inside wasm.Instance.Refill, which keeps the worker's
// goroutine. The canister's next turn is then given to that worker.

// turn is a canister's turn with its outbox.
type turn struct {
	c     *canister
	limit uint64 // of the round's budget, for starting messages; a message that runs is paused there

	used         uint64 // of the round's budget
	instructions uint64
	messages     int
	traps        int
	out          []effect
	grown, sent  uint64 // memory that messages before the current one took; see headroom
	tree         bool   // what the tree shows has changed
	long, began  bool   // it goes on with a job that stood still
	paused       bool   // the worker waits for the canister's next turn
	failure      any    // the worker panicked
	worker       *worker
	done         chan<- *turn
}

// left is what the turn may still use.
func (t *turn) left() uint64 { return t.limit - min(t.used, t.limit) }

type effectKind uint8

const (
	sendResponse effectKind = iota
	sendRequest
	beginIngress
)

// effect is something that a turn does outside its canister.
type effect struct {
	kind     effectKind
	origin   origin
	response response
	refund   Cycles
	callee   principal.Principal
	message  *message
}

// responder takes the answer of a call: a turn's outbox, or the executor where nothing runs in parallel.
type responder interface {
	respond(o origin, r response, refund Cycles)
}

// apply does what a turn left in its outbox, and counts what it used.
func (x *Executor) apply(t *turn) {
	x.used += t.used
	if t.long {
		x.longLeft += t.left()
	}
	t.c.usedRound += t.used
	x.recount(t.c)
	x.result.InstructionsUsed += t.instructions
	x.executed(t.messages)
	x.result.Traps += t.traps
	if t.began && t.c.run == nil {
		x.paused--
		x.unpark()
	} else if !t.began && t.paused {
		x.paused++
	}
	if t.tree {
		x.treeDirty[t.c.id] = struct{}{}
	}
	for i := range t.out {
		switch e := &t.out[i]; e.kind {
		case sendResponse:
			x.respond(e.origin, e.response, e.refund)
		case sendRequest:
			x.route(e.callee, e.message)
		case beginIngress:
			x.processingIngress(e.origin)
		}
	}
}

// worker runs turns, one after the other.
type worker struct {
	x    *Executor
	work chan *turn // closed when there is none any more
	t    *turn
	exec *exec

	// Of the message that runs.
	job       job
	inputs    inputs
	grant     grant
	tooLong   bool // it ran behind a batch and takes too long for that
	resumed   bool // the turn was begun by another message, which stood still
	abandoned bool // the executor was closed
	refillFn  func() uint64
}

func (x *Executor) newWorker() *worker {
	w := &worker{x: x, work: make(chan *turn, 1), exec: new(exec)}
	if n := len(x.spare); n > 0 {
		w.exec, x.spare = x.spare[n-1], x.spare[:n-1]
	}
	w.refillFn = w.refill
	x.workers.Go(w.serve)
	return w
}

func (w *worker) serve() {
	for t := range w.work {
		w.t = t
		w.run()
		if w.abandoned {
			return
		}
		w.t.done <- w.t // another than t if it was paused
	}
}

// run has the turn. Panics go to Round.
func (w *worker) run() {
	defer func() {
		if r := recover(); r != nil && !w.abandoned {
			w.t.failure = fmt.Sprintf("%v\n%s", r, debug.Stack())
		}
	}()
	x, t := w.x, w.t
	c := t.c
	if c.run != nil {
		w.again(c)
		return
	}
	for w.resumed = false; !w.resumed && c.hasWork(); {
		if t.left() == 0 {
			return
		}
		w.runNext(c)
		if c.alone() { // what it does is counted by the executor
			w.t.used, x.used = w.t.used+x.used-x.turnStart, x.turnStart
		}
	}
}

// runNext executes one task or message of c: tasks first, then responses, then requests.
func (w *worker) runNext(c *canister) {
	x := w.x
	switch {
	case c.lowMemoryDue(): // before all but responses
		c.LowMemory, c.dirty = memoryLowDone, true
		if c.unaffordable = !w.runTask(c, "canister_on_low_wasm_memory"); c.unaffordable {
			c.LowMemory = memoryLowReady
		}
	case c.due(c.heartbeatDue, hookHeartbeat):
		c.heartbeatDue = false
		w.runTask(c, "canister_heartbeat")
	case c.due(c.timerDue, hookTimer):
		c.timerDue = false
		if c.Timer != 0 && c.Timer <= x.global.TimeNs { // it may have been set anew with new code
			c.Timer, c.dirty = 0, true
			w.runTask(c, "canister_global_timer")
		}
	case c.responses.len() > 0:
		w.runResponse(c, c.dequeue(&c.responses))
	case c.kind == managementCanister:
		if m := c.requests.pop(); x.mustWait(m) {
			c.parked = append(c.parked, m)
		} else {
			c.took(m)
			x.runManagement(m)
		}
	case c.kind == nativeCanister:
		x.runNative(c, c.dequeue(&c.requests))
	default:
		w.runRequest(c, c.dequeue(&c.requests))
	}
	finishStopping(c, w)
}

func (w *worker) respond(o origin, r response, refund Cycles) {
	if o.Kind != originNone {
		w.t.out = append(w.t.out, effect{kind: sendResponse, origin: o, response: r, refund: refund})
	}
}

// job is the execution of an entry point: of a message, of a callback, or of a task.
type job struct {
	_       struct{} `cbor:",toarray"`
	Mode    mode
	Export  string  // or
	Fn      closure // in the table
	Cleanup *closure
	Context uint64
	Message *message // nil of a task
	Limit   uint64   // of instructions
	Prepaid Cycles
	Failed  *Reject // of a cleanup: how the callback failed
	Install *installJob
}

func (j *job) entry() entry {
	if j.Export != "" {
		return export(j.Export)
	}
	return j.Fn.entry()
}

// runRequest executes a call of a method.
func (w *worker) runRequest(c *canister, m *message) {
	x := w.x
	refuse := func(rej *Reject) {
		w.t.used += messageOverhead
		w.respond(m.Origin, response{reject: rej}, m.Cycles)
	}
	fail := func(code errorCode, format string, args ...any) { refuse(reject(code, format, args...)) }
	switch {
	case m.Origin.Deadline != 0 && m.Origin.Deadline < x.global.TimeNs: // answered already, see expire
		w.t.used += messageOverhead
		w.respond(m.Origin, response{}, m.Cycles)
		return
	case m.Expiry != 0 && m.Expiry < x.global.TimeNs:
		fail(errIngressTimeout, "Ingress message to Canister %s timed out before it was executed", c.id)
		return
	case c.Status == stopping:
		fail(errStopping, "Canister %s is stopping and does not take the call of '%s'", c.id, m.Method)
		return
	case c.Status == stopped:
		fail(errStopped, "Canister %s is stopped and does not take the call of '%s'", c.id, m.Method)
		return
	case !c.hasCode():
		fail(errModuleNotFound, "Error from Canister %s: Attempted to execute '%s', but the canister contains no Wasm module", c.id, m.Method)
		return
	}
	code := x.load(c, roundReader{x})
	name, kind := "canister_update "+m.Method, modeU
	if !code.module.HasExport(name) {
		name, kind = "canister_query "+m.Method, modeRQ
		if !code.module.HasExport(name) {
			if code.module.HasExport("canister_composite_query " + m.Method) {
				fail(errCompositeInUpdate, "Error from Canister %s: Composite query '%s' cannot be called in replicated mode", c.id, m.Method)
			} else {
				fail(errMethodNotFound, "Error from Canister %s: Canister has no update method '%s' and no query method '%s'", c.id, m.Method, m.Method)
			}
			return
		}
	}
	prepaid, rej := x.prepay(c, x.cfg.MessageInstructions)
	if rej != nil {
		refuse(rej)
		return
	}
	if m.Origin.Kind == originIngress {
		w.t.out = append(w.t.out, effect{kind: beginIngress, origin: m.Origin})
	}
	ctx := c.newContext(m.Origin, m.Caller, m.Method, m.Cycles)
	ctx.Info = m.Info
	w.execute(c, job{Mode: kind, Export: name, Context: ctx.ID, Message: m, Limit: x.cfg.MessageInstructions, Prepaid: prepaid}, nil)
}

// prepay takes the price of the longest execution from the balance.
func (x *Executor) prepay(c *canister, limit uint64) (Cycles, *Reject) {
	c.payDebt()
	prepaid := x.prices().execution(limit)
	frozen := x.prices().freezing(&c.Settings, c.memory(), c.Reserved)
	if c.Cycles.Sub(frozen).Cmp(prepaid) < 0 {
		return Cycles{}, reject(errOutOfCycles, "Canister %s is out of cycles: it needs %s above its freezing limit of %s and has %s", c.id, prepaid, frozen, c.Cycles)
	}
	c.Cycles = c.Cycles.Sub(prepaid)
	c.dirty = true
	return prepaid, nil
}

// runTask executes the heartbeat, the timer or on_low_wasm_memory. It reports false when the canister cannot pay for it.
func (w *worker) runTask(c *canister, name string) bool {
	prepaid, rej := w.x.prepay(c, w.x.cfg.MessageInstructions)
	if rej != nil {
		w.t.used += messageOverhead
		return false
	}
	ctx := c.newContext(origin{}, principalBytes{}, name, Cycles{})
	ctx.Responded = true // nobody waits
	w.execute(c, job{Mode: modeT, Export: name, Context: ctx.ID, Limit: w.x.cfg.MessageInstructions, Prepaid: prepaid}, nil)
	return true
}

// runResponse executes the callback of a call.
func (w *worker) runResponse(c *canister, m *message) {
	x := w.x
	cb := c.callbacks[m.Callback]
	if cb == nil {
		return // its canister was reinstalled from nothing since
	}
	c.removeCallback(cb)
	ctx := c.contexts[cb.Context]
	ctx.Outstanding--
	c.dirty = true
	c.Cycles = c.Cycles.Add(m.Cycles)
	carrying := x.prices().response(m.size()).Min(cb.Prepaid)
	prepaid := cb.Prepaid.Sub(carrying)
	c.consume(forTransmission, carrying)
	if ctx.Deleted || !c.hasCode() {
		w.t.used += messageOverhead
		c.Cycles = c.Cycles.Add(prepaid)
		w.closeContext(c, ctx, nil)
		return
	}
	kind, fn := modeRy, cb.Reply
	if m.Reject != nil {
		kind, fn = modeRt, cb.Reject
	}
	limit := x.cfg.MessageInstructions
	if cb.Cleanup != nil {
		limit -= limit / cleanupShare
	}
	w.execute(c, job{Mode: kind, Fn: fn, Cleanup: cb.Cleanup, Context: ctx.ID, Message: m, Limit: limit, Prepaid: prepaid}, nil)
}

// execute runs a job to its end, over as many turns as it takes. in is what it saw when it began, if that was before a restart.
func (w *worker) execute(c *canister, j job, in *inputs) {
	ctx := c.contexts[j.Context]
	e := w.exec
	w.begin(e, c, ctx, j, in)
	spent, rej := w.perform(e)
	if rej != nil && j.Cleanup != nil && j.Mode != modeC {
		rest := j.Prepaid.Sub(spent).Min(c.Cycles)
		c.Cycles = c.Cycles.Sub(rest)
		j.Mode, j.Fn, j.Limit, j.Prepaid, j.Failed = modeC, *j.Cleanup, w.x.cfg.MessageInstructions-min(e.used, j.Limit), rest, rej
		w.begin(e, c, ctx, j, nil)
		_, rej = w.perform(e)
	}
	if j.Failed != nil {
		failed := *j.Failed
		if rej != nil {
			failed.Message += "; its cleanup callback failed too: " + rej.Message
		}
		rej = &failed
	}
	w.settle(e, ctx, rej)
	c.endRun()
}

// begin prepares e for a job.
func (w *worker) begin(e *exec, c *canister, ctx *callContext, j job, in *inputs) {
	w.x.begin(e, c, j.Mode, ctx)
	e.head = w.headroom(c)
	if in != nil {
		in.restore(e)
	}
	w.job, w.inputs = j, inputsOf(e)
	m := j.Message
	switch {
	case j.Mode == modeU || j.Mode == modeRQ:
		e.arg, e.method = m.Data, m.Method
	case m == nil: // a task
	case m.Reject == nil:
		e.refunded, e.arg = m.Cycles, m.Data
	default:
		e.refunded, e.rejectCode, e.rejectMessage = m.Cycles, m.Reject.Code, []byte(m.Reject.Message)
	}
	if j.Mode == modeC {
		e.canReply = false
	}
}

// perform runs the worker's job in e and keeps or drops its effects on memories, certified data, timer and cycles. The canister's balance
// is without what was prepaid, of which what was not used comes back. Calls and response stay in e.
func (w *worker) perform(e *exec) (spent Cycles, rej *Reject) {
	x, c, j := w.x, e.c, &w.job
	code := x.load(c, roundReader{x})
	if code.inst == nil {
		code.inst = x.instance(c, code)
	}
	if e.mode == modeRQ || c.careful || x.eager {
		x.checkpoint(c)
	}
	inst := code.inst
	e.inst, inst.Ctx, inst.Refill = inst, e, w.refillFn
	e.heapBefore = e.heapBytes()
	start, fn := *e, j.entry()
	used, err := fn(inst, w.open(c))
	if w.tooLong {
		// Take it back, commit the batch, and let it begin again with nothing to lose.
		w.use(used)
		w.undo(c, code)
		w.tooLong = false
		clear(e.planned)
		st, planned, reply := e.stable, e.planned, e.replyData[:0]
		*e = start
		e.stable, e.planned, e.replyData = st, planned, reply
		e.stable.begin(&c.stable, c.batchStable, c.StablePages, c.loader(x))
		start = *e
		inst.Ctx, inst.Refill = e, w.refillFn
		used, err = fn(inst, w.open(c))
	}
	inst.Refill = nil
	e.used = used
	if w.abandoned {
		panic(errAbandoned)
	}
	w.use(used)
	w.t.used += messageOverhead
	w.t.messages++
	charge := x.prices().execution(used)
	if e.mode == modeC { // the callback has paid for the message
		charge = x.prices().instructions(used)
	}
	charge = charge.Min(j.Prepaid)
	c.dirty = true
	c.consume(forInstructions, charge)
	if err == nil {
		e.drop()
		rej = x.checkMemory(e)
	} else {
		rej = x.rejectOf(e, err)
	}
	for _, text := range e.prints {
		c.log(e.timeNs, text)
	}
	if rej != nil {
		w.t.traps++
		c.log(e.timeNs, []byte("[TRAP]: "+rej.Message))
		e.calls, e.response = nil, nil
		c.credit(j.Prepaid.Sub(charge))
		if len(c.batch) > 0 {
			c.careful = true
		}
		w.undo(c, code)
		return charge, rej
	}
	// Cycles may have come since the message began, and none have gone.
	c.Cycles = c.Cycles.Sub(start.balance).Add(e.balance)
	c.credit(j.Prepaid.Sub(charge))
	c.consume(forBurning, e.burned)
	c.consume(forTransmission, e.consumed)
	c.Version++
	if e.mode == modeRQ { // a query changes nothing but the cycles
		x.rollback(code)
		return charge, nil
	}
	c.Reserved = c.Reserved.Add(e.reserving)
	w.t.grown, w.t.sent = w.t.grown+e.growth(), w.t.sent+e.sent
	c.batch = append(c.batch, replay{start: start, run: fn, limit: w.grant.limit, used: used, performed: e.performed})
	c.batchUsed += used
	e.stable.join()
	c.StablePages, c.HeapPages = e.stable.size, e.heapBytes()/wasmPage
	if string(c.Certified) != string(e.certified) {
		c.Certified, w.t.tree = e.certified, true
	}
	c.Timer = e.timer
	c.watchMemory(x.cfg.MaxHeapBytes)
	if c.batchUsed > batchInstructions {
		x.checkpoint(c)
	}
	return charge, nil
}

// settle sends what e produced and closes ctx when nothing is outstanding. rej is how the execution failed, if it did.
func (w *worker) settle(e *exec, ctx *callContext, rej *Reject) {
	c := e.c
	if rej == nil {
		ctx.Instructions += e.inst.InstructionsUsed()
		ctx.Available = e.available
		for i := range e.calls {
			w.sendCall(c, ctx, &e.calls[i], e.version)
		}
		if e.response != nil {
			ctx.Responded = true
			w.respond(ctx.Origin, *e.response, e.toRefund)
		}
	}
	w.closeContext(c, ctx, rej)
}

func (w *worker) closeContext(c *canister, ctx *callContext, rej *Reject) {
	if ctx.Outstanding > 0 {
		return
	}
	if !ctx.Responded {
		if rej == nil {
			rej = reject(errDidNotReply, "Error from Canister %s: Canister did not reply to the call of '%s'", c.id, ctx.Method)
		}
		w.respond(ctx.Origin, response{reject: rej}, ctx.Available)
	}
	delete(c.contexts, ctx.ID)
	c.dirty = true
	finishStopping(c, w)
}

// sendCall registers the callback of a call that c made as so many versions old, and sends its request.
func (w *worker) sendCall(c *canister, ctx *callContext, call *outCall, version uint64) {
	cb := &callback{ID: c.NextID, Context: ctx.ID, Callee: call.callee.Bytes(), Reply: call.reply, Reject: call.reject, Cleanup: call.cleanup,
		Prepaid: call.prepaid, Deadline: call.deadline}
	c.NextID++
	c.addCallback(cb)
	ctx.Outstanding++
	m := &message{Method: call.method, Data: call.arg, Caller: c.id.Bytes(), Cycles: call.cycles,
		Origin: origin{Kind: originCall, ID: c.id.Bytes(), Callback: cb.ID, Deadline: call.deadline}}
	if rej := checkSenderVersion(call, version); rej != nil {
		w.respond(m.Origin, response{reject: rej}, m.Cycles)
		return
	}
	w.t.out = append(w.t.out, effect{kind: sendRequest, callee: call.callee, message: m})
}

// versioned are the management canister's methods whose argument may hold the caller's version.
var versioned = map[string]bool{"create_canister": true, "provisional_create_canister_with_cycles": true, "update_settings": true, "install_code": true,
	"install_chunked_code": true, "uninstall_code": true, "take_canister_snapshot": true, "load_canister_snapshot": true}

// checkSenderVersion refuses a call of the management canister that names another version of the caller than the one that makes it. An argument
// that does not decode is the method's to refuse.
func checkSenderVersion(call *outCall, version uint64) *Reject {
	if call.callee != principal.Management || !versioned[call.method] {
		return nil
	}
	var a struct {
		Version *uint64 `candid:"sender_canister_version"`
	}
	if err := candid.Unmarshal(call.arg, &a); err != nil || a.Version == nil || *a.Version == version {
		return nil
	}
	return reject(errContractViolation, "Management canister call payload includes sender canister version %d that does not match the actual sender canister version %d", *a.Version, version)
}

// credit gives cycles back, and takes those that could not be taken while a message stood still.
func (c *canister) credit(amount Cycles) {
	c.Cycles = c.Cycles.Add(amount)
	c.payDebt()
}

// payDebt takes what a canister owes, as far as it has cycles: a message that stood still may have spent what was owed meanwhile.
func (c *canister) payDebt() {
	if c.Debt.IsZero() {
		return
	}
	paid := c.Debt.Min(c.Cycles)
	c.Cycles, c.Debt, c.dirty = c.Cycles.Sub(paid), c.Debt.Sub(paid), true
}

// debit takes cycles from outside of an execution. One that stands still counts on the balance that it saw, so the debt waits for its end.
func (c *canister) debit(what use, amount Cycles) {
	if c.run != nil {
		c.Debt = c.Debt.Add(amount)
	} else {
		c.Cycles = c.Cycles.Sub(amount)
	}
	c.dirty = true
	c.consume(what, amount)
}

// roundReader reads the store of the round for workers, of which several may be at work.
type roundReader struct{ x *Executor }

func (r roundReader) Get(key []byte) ([]byte, bool) {
	r.x.roundMu.Lock()
	defer r.x.roundMu.Unlock()
	return r.x.store.Get(key)
}

func (r roundReader) Scan(lower, upper []byte, visit func(key, value []byte) bool) {
	r.x.roundMu.Lock()
	defer r.x.roundMu.Unlock()
	r.x.store.Scan(lower, upper, visit)
}

var _ kv.Reader = roundReader{}

// loader reads pages of stable memory in whatever round it is.
func (c *canister) loader(x *Executor) func(i uint64) *page {
	if c.load == nil {
		get := func(key []byte) ([]byte, bool) { return x.get(roundReader{x}, key) }
		c.load = func(i uint64) *page { return stablePage(get, c, c.view.stableChain, i) }
	}
	return c.load
}

var errAbandoned = errors.New("execution: the executor was closed while a message stood still")
