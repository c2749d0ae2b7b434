package execution

import (
	"fusion/ic/principal"
)

// What a subnet has of memory and compute is shared by its canisters. An allocation is a promise: the sum of all compute allocations and
// the sum of what canisters hold, or have allocated if that is more, stay below what there is. Both are paid for by block time, every minute
// and before they change; a canister that cannot pay loses its code and its state.
//
// When the subnet is fuller than Config.MemoryThreshold, a canister that grows pays in advance: cycles move from its balance to its
// reserved cycles, from which its memory is paid first. The fuller the subnet, the longer the time that they cover.
//
// Messages have a bound of their own. A call counts with its argument and, unless its response is best-effort, with room for the largest
// response, so that there is place for every response that must be delivered. No canister may hold more than what is left for all.
//
// In a wave of a round each canister may take an equal part of what was left when the wave began (headroom).
const (
	chargeIntervalNs   = 60 * 1e9
	maxCharges         = 2000 // canisters that pay in one round; the others do in the next
	reservationSeconds = 300_000_000

	defaultMemoryCapacity  = 2 << 40
	defaultMemoryThreshold = 750 << 30
	defaultMessageMemory   = 4 << 30
)

// headroom is what a message may take of the subnet's memory.
type headroom struct {
	_        struct{} `cbor:",toarray"`
	Used     uint64   // by all canisters
	Free     uint64   // what this one may grow
	Messages uint64   // what its calls may hold in addition
}

// allocated is what a canister counts in the memory of the subnet.
func (c *canister) allocated() uint64 {
	if c.kind != wasmCanister {
		return 0
	}
	return max(c.memory(), c.Settings.Memory)
}

// messageMemory is what messages to a canister hold, and what the responses to it may.
func (c *canister) messageMemory() uint64 {
	n := c.requests.bytes + c.responses.bytes + uint64(len(c.callbacks)-c.bestEffort)*maxPayload
	for _, m := range c.parked {
		n += uint64(len(m.Data) + len(m.Method))
	}
	return n
}

// recount brings the sums of the subnet up to date with c.
func (x *Executor) recount(c *canister) {
	memory, messages := c.allocated(), c.messageMemory()
	x.memoryUsed += memory - c.counted
	x.messagesUsed += messages - c.countedMessages
	c.counted, c.countedMessages = memory, messages
}

// uncount takes a canister that is deleted out of the sums.
func (x *Executor) uncount(c *canister) {
	x.memoryUsed -= c.counted
	x.messagesUsed -= c.countedMessages
	c.counted, c.countedMessages = 0, 0
}

func (x *Executor) memoryLeft() uint64 {
	return x.cfg.MemoryCapacity - min(x.memoryUsed, x.cfg.MemoryCapacity)
}
func (x *Executor) messagesLeft() uint64 {
	return x.cfg.MessageMemory - min(x.messagesUsed, x.cfg.MessageMemory)
}

// headroom is what a message of c may take that begins now. While turns run, the sums stand still.
func (w *worker) headroom(c *canister) headroom {
	x, n := w.x, uint64(max(len(w.x.turns), 1))
	left := x.messagesLeft()
	messages := left/n - min(left/n, w.t.sent)
	return headroom{Used: x.memoryUsed + w.t.grown, Free: x.memoryLeft()/n - min(x.memoryLeft()/n, w.t.grown),
		Messages: min(messages, left-min(left, c.messageMemory()))}
}

// growth is how much more memory of the subnet the execution has taken.
func (e *exec) growth() uint64 {
	now := max(e.memoryBase+e.heapBytes()+e.stable.bytes(), e.settings.Memory)
	return now - min(now, max(e.before, e.settings.Memory))
}

// reservation is what a canister sets aside when it takes "growth" bytes more of a subnet whose canisters hold "used".
func (x *Executor) reservation(used, growth uint64) Cycles {
	return x.reservedUpTo(used + growth).Sub(x.reservedUpTo(used))
}

// reservedUpTo is what canisters together set aside as the subnet fills up to so many bytes. From byte to byte the price goes up evenly, from
// nothing at the threshold to reservationSeconds of storage at the capacity.
func (x *Executor) reservedUpTo(used uint64) Cycles {
	from, to := x.cfg.MemoryThreshold, x.cfg.MemoryCapacity
	if used <= from || to <= from {
		return Cycles{}
	}
	over := min(used, to) - from
	seconds := mulDiv(CyclesOf(over), reservationSeconds, to-from)
	return mulDiv(x.prices().memory(over, seconds.Lo), 1, 2)
}

// grow gives c memory for a management call: the growth is checked against the subnet, and cycles are set aside for it.
// limit is the reserved cycles limit, short the error when the canister has too few cycles.
func (x *Executor) grow(c *canister, growth uint64, s *settings, memory uint64, short errorCode) *Reject {
	if growth == 0 {
		return nil
	}
	x.recount(c)
	if left := x.memoryLeft(); growth > left {
		return reject(errOversubscribed, "Canister %s asks for %d bytes more, the subnet has %d left", c.id, growth, left)
	}
	need := x.reservation(x.memoryUsed, growth)
	reserved := c.Reserved.Add(need)
	if reserved.Cmp(s.ReservedLimit) > 0 && !need.IsZero() {
		return reject(errReservedLimit, "Canister %s would have %s reserved cycles, its limit is %s", c.id, reserved, s.ReservedLimit)
	}
	if frozen := x.prices().freezing(s, memory, reserved).Add(need); c.Cycles.Cmp(frozen) < 0 {
		return reject(short, "Canister %s cannot hold %d bytes: that takes %s cycles until the freezing threshold, it has %s", c.id, memory, frozen, c.Cycles)
	}
	c.reserve(need)
	return nil
}

func (c *canister) reserve(n Cycles) {
	if !n.IsZero() {
		c.Cycles, c.Reserved, c.dirty = c.Cycles.Sub(n), c.Reserved.Add(n), true
	}
}

// computeReserved is the sum of all compute allocations.
func (x *Executor) computeReserved() (sum uint64) {
	for _, c := range x.order {
		sum += c.Settings.Compute
	}
	return sum
}

// mayAllocate checks the sum of compute allocations, of which c has a part already.
func (x *Executor) mayAllocate(has, wants uint64) *Reject {
	if sum := x.computeReserved() - has; wants > has && sum+wants > maxComputeReserved {
		return reject(errOversubscribed, "A compute allocation of %d percent was asked for, the subnet has %d left", wants, maxComputeReserved-min(sum, maxComputeReserved))
	}
	return nil
}

// chargeIdle takes what memory and compute allocation cost since they were paid last. It reports false if there was too little.
func (x *Executor) chargeIdle(c *canister) bool {
	seconds := (x.global.TimeNs - c.ChargedNs) / 1e9
	if seconds == 0 {
		return true
	}
	c.ChargedNs += seconds * 1e9
	c.dirty = true
	c.payDebt()
	memory, compute := x.prices().memory(c.allocated(), seconds), x.prices().compute(c.Settings.Compute, seconds)
	reserved := memory.Min(c.Reserved)
	c.Reserved = c.Reserved.Sub(reserved)
	c.consume(forMemory, reserved)
	memory = memory.Sub(reserved)
	paid := c.Cycles.Cmp(memory.Add(compute)) >= 0
	for _, due := range []struct {
		what use
		n    Cycles
	}{{forMemory, memory}, {forCompute, compute}} {
		n := due.n.Min(c.Cycles)
		c.Cycles = c.Cycles.Sub(n)
		c.consume(due.what, n)
	}
	return paid
}

// chargeCanisters lets the canisters pay whose time has come. One whose message stands still pays afterwards.
func (x *Executor) chargeCanisters() {
	left := maxCharges
	for _, c := range x.order {
		if left == 0 {
			return
		}
		if c.kind != wasmCanister || c.run != nil || c.ChargedNs+chargeIntervalNs > x.global.TimeNs {
			continue
		}
		left--
		x.provide(c)
		if !x.chargeIdle(c) {
			x.starve(c)
		}
	}
}

// starve takes code, state, snapshots, history and allocations from a canister that could not pay.
func (x *Executor) starve(c *canister) {
	if !c.hasCode() && len(c.Chunks)+len(c.snapshots)+len(c.Changes) == 0 && c.Settings.Compute|c.Settings.Memory == 0 {
		return
	}
	x.cfg.Log.Warn("a canister ran out of cycles and lost its code and state", "canister", c.id.String())
	for len(c.snapshots) > 0 {
		x.dropSnapshot(c, c.snapshots[0])
	}
	c.consume(forUninstall, c.Reserved)
	c.Reserved = Cycles{}
	c.Settings.Compute, c.Settings.Memory, c.Changes = 0, 0, nil
	x.strip(c)
	c.Version++
	x.publish(c)
}

// takes reports whether the queues have place for a user's message at c.
func (x *Executor) takes(c *canister, size uint64) bool {
	left := x.messagesLeft()
	return size <= left && c.requests.bytes+size <= left || c.id == principal.Management
}
