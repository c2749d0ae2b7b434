package execution

import "fusion/internal/kv"

// Round executes a block: the responses of system calls, the users' messages, timers and heartbeats, and the calls between
// canisters until the budget is used up. It writes all changes to store, which the caller commits before the next Round.
func (x *Executor) Round(store kv.Store, r Round) RoundResult {
	var res RoundResult
	x.store, x.result, x.used = store, &res, 0
	x.global.Height = r.Height
	x.global.TimeNs = max(x.global.TimeNs, r.TimeNs) // time as canisters see it never goes back
	x.SetKeys(r.Keys)
	if r.NodeCount > 0 {
		x.nodes.Store(uint64(r.NodeCount))
	}
	x.mu.Lock()
	x.nowNs = x.global.TimeNs
	x.mu.Unlock()
	x.history.prune(x.global.TimeNs)
	x.observe(store, r.Nodes)
	x.found()

	for _, c := range x.order {
		c.stable.nextRound()
	}
	x.chargeCanisters()
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

func (x *Executor) finishStopping(c *canister) { finishStopping(c, x) }

// finishStopping stops a canister that was asked to and has nothing open any more.
func finishStopping(c *canister, to responder) {
	if c.Status != stopping || len(c.contexts) > 0 || c.responses.len()+c.requests.len() > 0 {
		return
	}
	c.Status = stopped
	c.Version++
	c.dirty = true
	for _, s := range c.Stops {
		to.respond(s.Origin, response{data: emptyCandid}, s.Cycles)
	}
	c.Stops = nil
}

// publish shows queries the canister as it is now.
func (x *Executor) publish(c *canister) {
	c.lock()
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
	if p.Kind == Asking {
		x.answered(p, r)
		return
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
	return SystemCall{ID: p.id, Caller: p.Caller.principal(), Kind: p.Kind, Sign: p.Sign, HTTP: p.HTTP, Derive: p.Derive, Ask: p.Ask}
}

// openSystemCall hands a call to the subnet.
func (x *Executor) openSystemCall(p *pendingCall) {
	p.id = x.global.NextCall
	x.global.NextCall++
	x.pending[p.id] = p
	x.pendingNew = append(x.pendingNew, p)
	x.result.SystemCalls = append(x.result.SystemCalls, p.call())
}
