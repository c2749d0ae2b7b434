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
	env                    []envVar // see variables
	status                 status
	version                uint64
	memoryBase             uint64 // bytes held beside heap and stable memory
	before                 uint64 // bytes held in all when it began
	head                   headroom
	reserved               Cycles
	certificate            []byte
	contextInstructions    uint64
	refunded               Cycles
	canReply               bool

	// The effects.
	balance             Cycles
	available, toRefund Cycles
	burned, consumed    Cycles
	reserving           Cycles // for memory, see allocations.go
	sent                uint64 // of the memory for messages
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
	keys                []ChainKey
	price               prices
	performed           []bool // outcomes of call_perform; with replaying, those to repeat
	replaying           bool
}

func (e *exec) heapBytes() uint64 { return uint64(e.inst.WasmPages()) * wasmPage }

// freezing is the freezing limit with the memory as it is at this moment of the execution.
func (e *exec) freezing() Cycles {
	return e.price.freezing(e.settings, e.memoryBase+e.heapBytes()+e.stable.bytes(), e.reserved)
}

func (e *exec) replicated() bool { return e.mode&modeReplicated != 0 }

// begin prepares e for an entry point of a replicated execution.
func (x *Executor) begin(e *exec, c *canister, m mode, ctx *callContext) {
	st, planned := e.stable, e.planned
	clear(planned)
	*e = exec{x: x, c: c, mode: m, self: c.id.Bytes(), timeNs: x.global.TimeNs, settings: &c.Settings, status: c.Status, version: c.Version,
		memoryBase: c.memory() - (c.HeapPages+c.StablePages)*wasmPage, before: c.memory(), reserved: c.Reserved, price: x.prices(), keys: x.keys, balance: c.Cycles,
		certified: c.Certified, timer: c.Timer,
		stable: st, planned: planned, replyData: e.replyData[:0]}
	e.stable.begin(&c.stable, c.batchStable, c.StablePages, c.loader(x))
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

// checkMemory applies the limits that hold at the end of an execution.
func (x *Executor) checkMemory(e *exec) *Reject {
	c := e.c
	heap := e.heapBytes()
	if limit := c.Settings.WasmLimit; limit > 0 && e.mode&(modeI|modeU) != 0 && heap > limit {
		return reject(errWasmMemoryLimit, "Error from Canister %s: Canister exceeded its Wasm memory limit of %d bytes with %d bytes", c.id, limit, heap)
	}
	growth := e.growth()
	if growth > e.head.Free {
		return reject(errOutOfMemory, "Error from Canister %s: Canister cannot grow its memory by %d bytes: the subnet has %d left for it", c.id, growth, e.head.Free)
	}
	need := Cycles{}
	if e.mode != modeRQ { // which leaves nothing
		need = x.reservation(e.head.Used, growth)
	}
	if e.mode&(modeRy|modeRt|modeC) != 0 { // a response is taken in whatever it costs
		e.reserving = need.Min(e.balance)
	} else if heap > e.heapBefore || !need.IsZero() {
		reserved := e.reserved.Add(need)
		if !need.IsZero() && reserved.Cmp(e.settings.ReservedLimit) > 0 {
			return reject(errReservedLimitGrow, "Error from Canister %s: Canister cannot grow its memory by %d bytes: it would have %s reserved cycles, its limit is %s",
				c.id, growth, reserved, e.settings.ReservedLimit)
		}
		if frozen := x.prices().freezing(e.settings, e.memoryBase+heap+e.stable.bytes(), reserved).Add(need); e.balance.Cmp(frozen) < 0 {
			return reject(errMemoryGrowCycles, "Error from Canister %s: Canister cannot grow its memory by %d bytes: holding it until the freezing threshold takes %s cycles, it has %s",
				c.id, growth, frozen, e.balance)
		}
		e.reserving = need
	}
	e.balance = e.balance.Sub(e.reserving)
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

// respond sends a response to where a call came from, with the cycles that go back.
func (x *Executor) respond(o origin, r response, refund Cycles) {
	switch o.Kind {
	case originIngress:
		x.finishIngress(o, r)
	case originNative:
		x.invoked(o, r)
	case originCall:
		c := x.canisters[principalBytes(o.ID).principal()]
		if c == nil { // deleted since
			x.burn(refund)
			return
		}
		cb := c.callbacks[o.Callback]
		if cb == nil || cb.Answered { // a best-effort call that has timed out: the late response is dropped, with its cycles
			c.consume(forTransmission, refund)
			return
		}
		cb.Answered = true
		c.enqueue(&message{Response: true, Data: r.data, Reject: r.reject, Cycles: refund, Callback: o.Callback})
		x.recount(c)
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
	x.recount(c)
	x.wake(c)
}
