package execution

import (
	"sort"

	"fusion/ic/principal"
	"fusion/internal/kv"
)

// sliceInstructions is what a canister may use of a round's budget before the others that have work get their turn.
const sliceInstructions = 500_000_000

// Round executes a block: the responses of system calls, the users' messages, timers and heartbeats, and the calls between
// canisters until the budget is used up. It writes all changes to store, which the caller commits before the next Round.
func (x *Executor) Round(store kv.Store, r Round) RoundResult {
	var res RoundResult
	x.store, x.result, x.used = store, &res, 0
	x.global.Height = r.Height
	x.global.TimeNs = max(x.global.TimeNs, r.TimeNs) // time as canisters see it never goes back
	x.mu.Lock()
	x.nowNs = x.global.TimeNs
	x.keys = append([]EcdsaKey(nil), r.Keys...)
	x.queryKeys = x.keys
	x.mu.Unlock()
	x.history.prune(x.global.TimeNs)

	for _, c := range x.order {
		c.stable.nextRound()
	}
	for i := range r.Responses {
		x.answerSystemCall(&r.Responses[i])
	}
	for i := range r.Ingress {
		x.induct(&r.Ingress[i])
	}
	x.expire()
	x.schedule()

	// Before storeMu: a query waits for that with the canister's lock in its hand.
	for _, c := range x.order {
		c.careful = false
		if c.dirty {
			x.checkpoint(c)
			x.publish(c)
		}
	}
	if x.shared {
		x.storeMu.Lock()
		defer x.storeMu.Unlock()
	}
	x.flush(store, &res)
	x.store, x.result = nil, nil
	return res
}

// schedule runs what waits until the budget is used up. Canisters take turns, starting where the last round stopped.
func (x *Executor) schedule() {
	first := sort.Search(len(x.order), func(i int) bool {
		return x.order[i].id.Compare(principalBytes(x.global.Cursor).principal()) >= 0
	})
	rotated := append(append([]*canister(nil), x.order[first:]...), x.order[:first]...)
	x.ready = x.ready[:0]
	x.scheduling = true
	if m := x.canisters[principal.Management]; m.hasWork() {
		x.wake(m) // cheap, and others wait for what it does
	}
	for _, c := range rotated {
		if c.kind == wasmCanister && c.Status == running && c.hasCode() {
			c.heartbeatDue = c.Hooks&hookHeartbeat != 0
			c.timerDue = c.Hooks&hookTimer != 0 && c.Timer != 0 && c.Timer <= x.global.TimeNs
		}
		if c.hasWork() {
			x.wake(c)
		}
	}
	head := 0
	for ; head < len(x.ready) && x.used < x.cfg.RoundInstructions; head++ {
		c := x.ready[head]
		c.queued = false
		start := x.used
		for c.hasWork() && x.used < x.cfg.RoundInstructions && x.used-start < sliceInstructions {
			x.runNext(c)
		}
		if c.hasWork() {
			x.wake(c)
		}
	}
	x.global.Cursor = nil
	if head < len(x.ready) {
		x.global.Cursor = x.ready[head].id.Bytes()
	}
	x.scheduling = false
	clear(x.ready)
	x.ready = x.ready[:0]
	for _, c := range x.order {
		c.queued, c.heartbeatDue, c.timerDue, c.unaffordable = false, false, false, false
	}
}

// wake puts a canister that has work into the ready list, if it is not there.
func (x *Executor) wake(c *canister) {
	if x.scheduling && !c.queued {
		c.queued = true
		x.ready = append(x.ready, c)
	}
}

// runNext executes one task or message of c: tasks first, then responses, then requests.
func (x *Executor) runNext(c *canister) {
	switch {
	case c.lowMemoryDue(): // before all but responses
		c.dirty = true
		if c.unaffordable = !x.runTask(c, "canister_on_low_wasm_memory"); !c.unaffordable {
			c.LowMemory = memoryLowDone
			c.watchMemory(x.cfg.MaxHeapBytes)
		}
	case c.heartbeatDue:
		c.heartbeatDue = false
		x.runTask(c, "canister_heartbeat")
	case c.timerDue:
		c.timerDue = false
		c.Timer, c.dirty = 0, true
		x.runTask(c, "canister_global_timer")
	case c.responses.len() > 0:
		x.runResponse(c, c.dequeue(&c.responses))
	default:
		m := c.dequeue(&c.requests)
		switch c.kind {
		case nativeCanister:
			x.runNative(c, m)
		case managementCanister:
			x.runManagement(m)
		default:
			x.runRequest(c, m)
		}
	}
	x.finishStopping(c)
}

// runNative executes a call of a canister that is implemented in Go.
func (x *Executor) runNative(c *canister, m *message) {
	x.used += messageOverhead
	x.result.Messages++
	if m.Expiry != 0 && m.Expiry < x.global.TimeNs {
		x.respond(m.Origin, response{reject: reject(errIngressTimeout, "Ingress message to Canister %s timed out before it was executed", c.id)}, m.Cycles)
		return
	}
	out := c.native.Call(NativeCall{Method: m.Method, Arg: m.Data, Caller: m.Caller.principal(), Cycles: m.Cycles, TimeNs: x.global.TimeNs})
	used := out.CyclesUsed.Min(m.Cycles)
	c.Cycles = c.Cycles.Add(used)
	c.dirty = true
	x.respond(m.Origin, response{data: out.Reply, reject: out.Reject}, m.Cycles.Sub(used))
}

// expire answers best-effort calls and stop requests that have waited too long.
func (x *Executor) expire() {
	now := x.global.TimeNs
	for _, c := range x.order {
		if c.bestEffort > 0 {
			for _, id := range sortedKeys(c.callbacks) {
				cb := c.callbacks[id]
				if cb.Deadline == 0 || cb.Deadline > now || cb.Answered {
					continue
				}
				x.respond(origin{Kind: originCall, ID: c.id.Bytes(), Callback: id},
					response{reject: &Reject{Code: SysUnknown, Message: "the call to " + cb.Callee.principal().String() + " was not answered before its deadline"}}, Cycles{})
			}
		}
		for len(c.Stops) > 0 && c.Stops[0].Since+stopTimeoutNs <= now {
			s := c.Stops[0]
			c.Stops, c.dirty = c.Stops[1:], true
			x.respond(s.Origin, response{reject: reject(errStopTimeout, "Stopping Canister %s timed out; it is still stopping", c.id)}, s.Cycles)
		}
	}
}

// finishStopping stops a canister that was asked to and has nothing open any more.
func (x *Executor) finishStopping(c *canister) {
	if c.Status != stopping || len(c.contexts) > 0 || c.responses.len()+c.requests.len() > 0 {
		return
	}
	c.Status = stopped
	c.Version++
	c.dirty = true
	for _, s := range c.Stops {
		x.respond(s.Origin, response{data: emptyCandid}, s.Cycles)
	}
	c.Stops = nil
}

// publish shows queries the canister as it is now.
func (x *Executor) publish(c *canister) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.view = c.snapshot(x)
}

// answerSystemCall takes the subnet's answer to a system call.
func (x *Executor) answerSystemCall(r *SystemResponse) {
	p := x.pending[r.ID]
	if p == nil {
		return
	}
	delete(x.pending, r.ID)
	if p.stored {
		x.pendingDone = append(x.pendingDone, r.ID)
	}
	refund := p.Cycles
	caller := x.canisters[p.Caller.principal()]
	switch {
	case r.NotTaken:
		refund = refund.Add(p.Fee)
	case p.Kind == Outcall && caller != nil:
		caller.consume(forHTTP, p.Fee)
	default:
		x.burn(p.Fee)
	}
	x.respond(p.Origin, systemReply(p, r), refund)
}

// PendingSystemCalls lists the system calls that are open, by id.
func (x *Executor) PendingSystemCalls() []SystemCall {
	out := make([]SystemCall, 0, len(x.pending))
	for _, id := range sortedKeys(x.pending) {
		out = append(out, x.pending[id].call())
	}
	return out
}

func (p *pendingCall) call() SystemCall {
	return SystemCall{ID: p.id, Caller: p.Caller.principal(), Kind: p.Kind, Sign: p.Sign, HTTP: p.HTTP}
}

// openSystemCall hands a call to the subnet.
func (x *Executor) openSystemCall(p *pendingCall) {
	p.id = x.global.NextCall
	x.global.NextCall++
	x.pending[p.id] = p
	x.pendingNew = append(x.pendingNew, p)
	x.result.SystemCalls = append(x.result.SystemCalls, p.call())
}
