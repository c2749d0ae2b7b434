package execution

import (
	"errors"
	"fmt"

	"fusion/ic/principal"
	"fusion/replica/execution/wasm"
)

const (
	maxCallPayload = 10 << 20 // request of one canister to another of the same subnet (resource limits)
)

// response is how a call ended.
type response struct {
	data   []byte
	reject *Reject
}

// outCall is a call that a message makes.
type outCall struct {
	callee        principal.Principal
	method        string
	arg           []byte
	cycles        Cycles
	reply, reject closure
	cleanup       *closure
	deadline      uint64
	prepaid       Cycles
}

// exec is one execution of an entry point: what the System API sees, and its effects until they are committed or dropped.
type exec struct {
	x    *Executor
	c    *canister
	inst *wasm.Instance
	mode mode

	// The surroundings.
	self, callerBytes, arg []byte
	info                   CallerInfo
	method                 string
	rejectCode             int
	rejectMessage          []byte
	deadline               uint64
	timeNs                 uint64
	settings               *settings
	status                 status
	version                uint64
	memoryBase             uint64 // bytes held beside heap and stable memory
	certificate            []byte
	contextInstructions    uint64
	refunded               Cycles
	canReply               bool

	// The effects.
	balance             Cycles
	available, toRefund Cycles
	burned, consumed    Cycles
	replyData           []byte
	response            *response
	under               *outCall
	calls               []outCall
	planned             map[principal.Principal]int
	stable              stableTx
	certified           []byte
	timer               uint64
	accepted            bool
	used                uint64 // instructions
	prints              [][]byte
	fault               errorCode
	heapBefore          uint64 // bytes
	performed           []bool // outcomes of call_perform; with replaying, those to repeat
	replaying           bool
}

func (e *exec) heapBytes() uint64 { return uint64(e.inst.WasmPages()) * wasmPage }

// freezing is the freezing limit with the memory as it is at this moment of the execution.
func (e *exec) freezing() Cycles {
	return e.x.price.freezing(e.settings, e.memoryBase+e.heapBytes()+e.stable.bytes())
}

func (e *exec) replicated() bool { return e.mode&modeReplicated != 0 }

// begin prepares e for an entry point of a replicated execution.
func (x *Executor) begin(e *exec, c *canister, m mode, ctx *callContext) {
	st, planned := e.stable, e.planned
	clear(planned)
	*e = exec{x: x, c: c, mode: m, self: c.id.Bytes(), timeNs: x.global.TimeNs, settings: &c.Settings, status: c.Status, version: c.Version,
		memoryBase: c.memory() - (c.HeapPages+c.StablePages)*wasmPage, balance: c.Cycles, certified: c.Certified, timer: c.Timer, stable: st, planned: planned,
		replyData: e.replyData[:0]}
	e.stable.begin(&c.stable, c.batchStable, c.StablePages, x.stableLoader(c, x.store))
	if ctx != nil {
		e.callerBytes, e.info, e.deadline, e.available = ctx.Caller, ctx.Info, ctx.Origin.Deadline, ctx.Available
		e.canReply = ctx.Origin.Kind != originNone && !ctx.Responded
		e.contextInstructions = ctx.Instructions
	}
}

// entry starts the wasm code of an entry point.
type entry func(inst *wasm.Instance, limit uint64) (used uint64, err error)

func export(name string) entry {
	return func(inst *wasm.Instance, limit uint64) (uint64, error) { return inst.Run(name, limit) }
}

func (f closure) entry() entry {
	return func(inst *wasm.Instance, limit uint64) (uint64, error) { return inst.RunTable(f.Index, f.Env, limit) }
}

// perform runs an entry point of c in e, which begin has prepared, and keeps or drops its effects on memories, certified
// data, timer and cycles. The canister's balance is without prepaid, of which what was not used comes back. Calls and response
// stay in e.
func (x *Executor) perform(e *exec, run entry, limit uint64, prepaid Cycles) (spent Cycles, rej *Reject) {
	c := e.c
	code := x.load(c, x.store)
	if code.inst == nil {
		code.inst = x.instance(c, code)
	}
	if e.mode == modeRQ || c.careful || x.eager {
		x.checkpoint(c)
	}
	inst := code.inst
	e.inst, inst.Ctx = inst, e
	e.heapBefore = e.heapBytes()
	start := *e
	used, err := run(inst, limit)
	e.used = used
	x.used += used + messageOverhead
	x.result.InstructionsUsed += used
	x.result.Messages++
	charge := x.price.execution(used)
	if e.mode == modeC { // the callback has paid for the message
		charge = x.price.instructions(used)
	}
	charge = charge.Min(prepaid)
	c.dirty = true
	c.consume(forInstructions, charge)
	if err == nil {
		e.drop()
		rej = x.checkMemory(e)
	} else {
		rej = x.rejectOf(e, err)
	}
	for _, text := range e.prints {
		c.log(x.global.TimeNs, text)
	}
	if rej != nil {
		x.result.Traps++
		c.log(x.global.TimeNs, []byte("[TRAP]: "+rej.Message))
		e.calls, e.response = nil, nil
		c.Cycles = c.Cycles.Add(prepaid.Sub(charge))
		x.undo(c, code)
		return charge, rej
	}
	c.Cycles = e.balance.Add(prepaid.Sub(charge))
	c.consume(forBurning, e.burned)
	c.consume(forTransmission, e.consumed)
	c.Version++
	if e.mode == modeRQ { // a query changes nothing but the cycles
		x.rollback(code)
		return charge, nil
	}
	c.batch = append(c.batch, replay{start: start, run: run, limit: limit, used: used, performed: e.performed})
	e.stable.join()
	c.StablePages, c.HeapPages = e.stable.size, e.heapBytes()/wasmPage
	c.setCertified(x, e.certified)
	c.Timer = e.timer
	c.watchMemory(x.cfg.MaxHeapBytes)
	return charge, nil
}

// instance makes the instance for updates.
func (x *Executor) instance(c *canister, k *code) *wasm.Instance {
	inst, err := k.module.NewInstance(k.image)
	if err != nil {
		panic(fmt.Sprintf("execution: instance of %s: %v", c.id, err))
	}
	inst.SetMemoryLimit(uint32(x.cfg.MaxHeapBytes / wasmPage))
	return inst
}

// The states of canister_on_low_wasm_memory.
const (
	memoryEnough   uint8 = iota
	memoryLowReady       // the entry point is due
	memoryLowDone        // it ran, and memory is low still
)

// watchMemory follows the rule by which canister_on_low_wasm_memory becomes due: once when what is left falls below the threshold, and
// again only after there was enough in between.
func (c *canister) watchMemory(limit uint64) {
	if c.Settings.WasmLimit > 0 {
		limit = min(limit, c.Settings.WasmLimit)
	}
	used := min(c.HeapPages*wasmPage, limit)
	switch low := limit-used < c.Settings.WasmThreshold; {
	case !low:
		c.LowMemory = memoryEnough
	case c.LowMemory == memoryEnough:
		c.LowMemory = memoryLowReady
	}
}

func (x *Executor) rollback(code *code) {
	if err := code.inst.Rollback(); err != nil {
		panic(fmt.Sprintf("execution: rollback: %v", err))
	}
}

func (c *canister) setCertified(x *Executor, data []byte) {
	if string(c.Certified) != string(data) {
		c.Certified = data
		x.treeDirty[c.id] = struct{}{}
	}
}

// checkMemory applies the limits that hold at the end of an execution.
func (x *Executor) checkMemory(e *exec) *Reject {
	c := e.c
	heap := e.heapBytes()
	if limit := c.Settings.WasmLimit; limit > 0 && e.mode&(modeI|modeU) != 0 && heap > limit {
		return reject(errWasmMemoryLimit, "Error from Canister %s: Canister exceeded its Wasm memory limit of %d bytes with %d bytes", c.id, limit, heap)
	}
	if heap > e.heapBefore && e.mode&(modeRy|modeRt|modeC) == 0 { // a response is taken in whatever it costs
		if frozen := e.freezing(); e.balance.Cmp(frozen) < 0 {
			return reject(532, "Error from Canister %s: Canister cannot grow its memory by %d bytes: holding it until the freezing threshold takes %s cycles, it has %s",
				c.id, heap-e.heapBefore, frozen, e.balance)
		}
	}
	return nil
}

// rejectOf says how an execution failed.
func (x *Executor) rejectOf(e *exec, err error) *Reject {
	var trap *wasm.Trap
	if !errors.As(err, &trap) {
		if e.replicated() {
			// A fault of this machine: going on would fork the replica off.
			panic(fmt.Sprintf("execution: running %s: %v", e.c.id, err))
		}
		return reject(errEngine, "Error from Canister %s: the engine could not run the canister: %v", e.c.id, err)
	}
	code, text := errTrapped, "Canister trapped: "+trap.Error()
	switch {
	case trap.Kind == wasm.OutOfInstructions:
		code, text = errInstructionLimit, "Canister exceeded the limit of instructions for a single message execution"
	case trap.Kind == wasm.HostTrap && e.fault == errCalledTrap:
		code, text = errCalledTrap, "Canister called `ic0.trap` with message: "+trimPrefix(trap.Message)
	case trap.Kind == wasm.HostTrap && e.fault == errContractViolation:
		code, text = errContractViolation, "Canister violated contract: "+trap.Message
	case trap.Kind == wasm.HostTrap && e.fault != 0:
		code, text = e.fault, trap.Message
	}
	if len(text) > maxReject {
		text = text[:maxReject]
	}
	return reject(code, "Error from Canister %s: %s", e.c.id, text)
}

func trimPrefix(s string) string {
	const prefix = "canister called `ic0.trap` with message: "
	if len(s) >= len(prefix) && s[:len(prefix)] == prefix {
		return s[len(prefix):]
	}
	return s
}

// newContext opens a call context.
func (c *canister) newContext(o origin, caller principalBytes, method string, cycles Cycles) *callContext {
	ctx := &callContext{ID: c.NextID, Origin: o, Caller: caller, Method: method, Available: cycles}
	c.NextID++
	c.contexts[ctx.ID] = ctx
	c.dirty = true
	return ctx
}

// settle sends what e produced and closes ctx when nothing is outstanding. rej is how the execution failed, if it did.
func (x *Executor) settle(e *exec, ctx *callContext, rej *Reject) {
	c := e.c
	if rej == nil {
		ctx.Instructions += e.inst.InstructionsUsed()
		ctx.Available = e.available
		for i := range e.calls {
			x.sendCall(c, ctx, &e.calls[i])
		}
		if e.response != nil {
			ctx.Responded = true
			x.respond(ctx.Origin, *e.response, e.toRefund)
		}
	}
	x.closeContext(c, ctx, rej)
}

func (x *Executor) closeContext(c *canister, ctx *callContext, rej *Reject) {
	if ctx.Outstanding > 0 {
		return
	}
	if !ctx.Responded {
		if rej == nil {
			rej = reject(errDidNotReply, "Error from Canister %s: Canister did not reply to the call of '%s'", c.id, ctx.Method)
		}
		x.respond(ctx.Origin, response{reject: rej}, ctx.Available)
	}
	delete(c.contexts, ctx.ID)
	c.dirty = true
	x.finishStopping(c)
}

// sendCall registers the callback of a call and sends its request.
func (x *Executor) sendCall(c *canister, ctx *callContext, call *outCall) {
	cb := &callback{ID: c.NextID, Context: ctx.ID, Callee: call.callee.Bytes(), Reply: call.reply, Reject: call.reject, Cleanup: call.cleanup,
		Prepaid: call.prepaid, Deadline: call.deadline}
	c.NextID++
	c.addCallback(cb)
	ctx.Outstanding++
	x.route(call.callee, &message{Method: call.method, Data: call.arg, Caller: c.id.Bytes(), Cycles: call.cycles,
		Origin: origin{Kind: originCall, ID: c.id.Bytes(), Callback: cb.ID, Deadline: call.deadline}})
}

// respond sends a response to where a call came from, with the cycles that go back.
func (x *Executor) respond(o origin, r response, refund Cycles) {
	switch o.Kind {
	case originIngress:
		x.finishIngress(o, r)
	case originCall:
		c := x.canisters[principalBytes(o.ID).principal()]
		if c == nil {
			return // deleted since
		}
		cb := c.callbacks[o.Callback]
		if cb == nil || cb.Answered { // a best-effort call that has timed out: the late response is dropped, with its cycles
			c.consume(forTransmission, refund)
			return
		}
		cb.Answered = true
		c.enqueue(&message{Response: true, Data: r.data, Reject: r.reject, Cycles: refund, Callback: o.Callback})
		x.wake(c)
	}
}

// route delivers a request to its receiver or rejects it.
func (x *Executor) route(callee principal.Principal, m *message) {
	c := x.canisters[callee]
	var rej *Reject
	switch {
	case c == nil:
		rej = reject(errCanisterNotFound, "Canister %s not found", callee)
	case c.Status == stopping:
		rej = reject(errStopping, "Canister %s is stopping and does not take the call of '%s'", callee, m.Method)
	case c.Status == stopped:
		rej = reject(errStopped, "Canister %s is stopped and does not take the call of '%s'", callee, m.Method)
	case m.Origin.Kind == originCall && m.Caller.principal() != callee && m.Cycles.Cmp(c.Settings.MinIncoming) < 0:
		rej = reject(errInsufficientCycles, "Canister %s takes calls with at least %s cycles, '%s' was called with %s", callee, c.Settings.MinIncoming, m.Method, m.Cycles)
	}
	if rej != nil {
		x.respond(m.Origin, response{reject: rej}, m.Cycles)
		return
	}
	c.enqueue(m)
	x.wake(c)
}

// runRequest executes a call of a method.
func (x *Executor) runRequest(c *canister, m *message) {
	fail := func(code errorCode, format string, args ...any) {
		x.used += messageOverhead
		x.respond(m.Origin, response{reject: reject(code, format, args...)}, m.Cycles)
	}
	switch {
	case m.Origin.Deadline != 0 && m.Origin.Deadline < x.global.TimeNs: // answered already, see expire
		x.used += messageOverhead
		x.respond(m.Origin, response{}, m.Cycles)
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
	code := x.load(c, x.store)
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
		x.used += messageOverhead
		x.respond(m.Origin, response{reject: rej}, m.Cycles)
		return
	}
	if m.Origin.Kind == originIngress {
		x.processingIngress(m.Origin)
	}
	ctx := c.newContext(m.Origin, m.Caller, m.Method, m.Cycles)
	ctx.Info = m.Info
	e := &x.exec
	x.begin(e, c, kind, ctx)
	e.arg, e.method = m.Data, m.Method
	_, rej = x.perform(e, export(name), x.cfg.MessageInstructions, prepaid)
	x.settle(e, ctx, rej)
}

// prepay takes the price of the longest execution from the balance.
func (x *Executor) prepay(c *canister, limit uint64) (Cycles, *Reject) {
	prepaid := x.price.execution(limit)
	frozen := x.price.freezing(&c.Settings, c.memory())
	if c.Cycles.Sub(frozen).Cmp(prepaid) < 0 {
		return Cycles{}, reject(errOutOfCycles, "Canister %s is out of cycles: it needs %s above its freezing limit of %s and has %s", c.id, prepaid, frozen, c.Cycles)
	}
	c.Cycles = c.Cycles.Sub(prepaid)
	c.dirty = true
	return prepaid, nil
}

// runTask executes the heartbeat, the timer or on_low_wasm_memory. It reports false when the canister cannot pay for it.
func (x *Executor) runTask(c *canister, name string) bool {
	prepaid, rej := x.prepay(c, x.cfg.MessageInstructions)
	if rej != nil {
		return false
	}
	ctx := c.newContext(origin{}, principalBytes{}, name, Cycles{})
	ctx.Responded = true // nobody waits
	e := &x.exec
	x.begin(e, c, modeT, ctx)
	_, rej = x.perform(e, export(name), x.cfg.MessageInstructions, prepaid)
	x.settle(e, ctx, rej)
	return true
}

// runResponse executes the callback of a call.
func (x *Executor) runResponse(c *canister, m *message) {
	cb := c.callbacks[m.Callback]
	if cb == nil {
		return // its canister was reinstalled from nothing since
	}
	c.removeCallback(cb)
	ctx := c.contexts[cb.Context]
	ctx.Outstanding--
	c.dirty = true
	c.Cycles = c.Cycles.Add(m.Cycles)
	carrying := x.price.response(m.size()).Min(cb.Prepaid)
	prepaid := cb.Prepaid.Sub(carrying)
	c.consume(forTransmission, carrying)
	if ctx.Deleted || !c.hasCode() {
		x.used += messageOverhead
		c.Cycles = c.Cycles.Add(prepaid)
		x.closeContext(c, ctx, nil)
		return
	}
	e := &x.exec
	kind, fn := modeRy, cb.Reply
	if m.Reject != nil {
		kind, fn = modeRt, cb.Reject
	}
	set := func() {
		e.refunded = m.Cycles
		if m.Reject == nil {
			e.arg = m.Data
		} else {
			e.rejectCode, e.rejectMessage = m.Reject.Code, []byte(m.Reject.Message)
		}
	}
	x.begin(e, c, kind, ctx)
	set()
	limit, kept := x.cfg.MessageInstructions, uint64(0)
	if cb.Cleanup != nil {
		kept = limit / cleanupShare
	}
	spent, rej := x.perform(e, fn.entry(), limit-kept, prepaid)
	if rej != nil && cb.Cleanup != nil {
		limit -= min(e.used, limit-kept)
		x.begin(e, c, modeC, ctx)
		set()
		e.canReply = false
		rest := prepaid.Sub(spent).Min(c.Cycles)
		c.Cycles = c.Cycles.Sub(rest)
		if _, failed := x.perform(e, cb.Cleanup.entry(), limit, rest); failed != nil {
			rej.Message += "; its cleanup callback failed too: " + failed.Message
		}
	}
	x.settle(e, ctx, rej)
}
