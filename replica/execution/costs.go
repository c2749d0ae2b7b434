package execution

import "fusion/ic/principal"

// The price table of the Internet Computer for a subnet of 13 nodes (developer docs, "cycle costs"); a subnet of n nodes
// pays n/13 of it.
const (
	priceNodes = 13

	costCanisterCreation = 500_000_000_000
	costMessageBase      = 5_000_000 // per executed message
	costInstruction      = 1         // per instruction
	costIngressMessage   = 1_200_000
	costIngressByte      = 2_000
	costCall             = 260_000
	costCallByte         = 1_000
	costGiBSecond        = 127_000
	costComputePercent   = 10_000_000 // per percent of compute allocation and second
	costSign             = 10_000_000_000
	costHTTPBase         = 3_000_000
	costHTTPPerNode      = 60_000
	costHTTPRequestByte  = 400
	costHTTPResponseByte = 800

	secondsPerDay = 86_400
	gib           = 1 << 30
)

type prices struct{ nodes uint64 }

func (p prices) scale(amount uint64) Cycles { return mulDiv(CyclesOf(amount), p.nodes, priceNodes) }

// burn books what was paid for work of the subnet itself on the management canister.
func (x *Executor) burn(n Cycles) {
	x.canisters[principal.Management].consume(forBurning, n)
}

// callback is what is set aside for the largest response and the longest callback of a call.
func (p prices) callback(instructions uint64) Cycles {
	return p.response(maxPayload).Add(p.execution(instructions))
}

// callCost is what a canister needs above its freezing limit to make a call with so many bytes.
func (p prices) callCost(instructions, bytes uint64) Cycles {
	return p.call(bytes).Add(p.callback(instructions))
}

// execution is the price of one message that ran n instructions.
func (p prices) execution(n uint64) Cycles { return p.scale(costMessageBase + n*costInstruction) }

// instructions is the price of n instructions that are part of a message paid for already.
func (p prices) instructions(n uint64) Cycles { return p.scale(n * costInstruction) }

// call is the price of sending a request of so many bytes (method name and argument).
func (p prices) call(bytes uint64) Cycles { return p.scale(costCall + bytes*costCallByte) }

// response is the price of carrying a response of so many bytes back.
func (p prices) response(bytes uint64) Cycles { return p.scale(bytes * costCallByte) }

// ingress is what the receiver pays for a user's message.
func (p prices) ingress(bytes uint64) Cycles {
	return p.scale(costIngressMessage + bytes*costIngressByte)
}

func (p prices) creation() Cycles { return p.scale(costCanisterCreation) }
func (p prices) sign() Cycles     { return p.scale(costSign) }

// httpOutcall is the price of an HTTPS outcall: (3 M + 60 k·n)·n for the call, 400·n per request byte, 800·n per response byte.
func (p prices) httpOutcall(request, response uint64) Cycles {
	const most = 1 << 40 // sizes beyond any limit have no meaningful price
	request, response = min(request, most), min(response, most)
	one := CyclesOf(costHTTPBase + costHTTPPerNode*p.nodes).Add(mulDiv(CyclesOf(request), costHTTPRequestByte, 1)).
		Add(mulDiv(CyclesOf(response), costHTTPResponseByte, 1))
	return mulDiv(one, p.nodes, 1)
}

// freezing is the balance below which a canister with these settings, so much memory and so many reserved cycles is frozen: what it takes to
// stay for its threshold.
func (p prices) freezing(s *settings, memory uint64, reserved Cycles) Cycles {
	return p.memory(max(memory, s.Memory), s.Freezing).Sub(reserved).Add(p.compute(s.Compute, s.Freezing))
}

// idle is what holding so many bytes and percents of compute for a number of seconds costs.
func (p prices) idle(bytes, computePercent, seconds uint64) Cycles {
	return p.memory(bytes, seconds).Add(p.compute(computePercent, seconds))
}

// memory is what holding so many bytes for a number of seconds costs.
func (p prices) memory(bytes, seconds uint64) Cycles {
	return mulDiv(mulDiv(CyclesOf(bytes), costGiBSecond*p.nodes, 1), seconds, gib*priceNodes)
}

// compute is what so many percents of compute allocation cost in a number of seconds.
func (p prices) compute(percent, seconds uint64) Cycles {
	return mulDiv(CyclesOf(percent*costComputePercent*p.nodes), seconds, priceNodes)
}
