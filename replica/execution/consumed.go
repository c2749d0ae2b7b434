package execution

import (
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/management"
)

// use is what cycles were consumed for, as canister_metrics tells it apart. The numbers are stored.
type use uint8

const (
	forMemory use = iota
	forCompute
	forIngress
	forInstructions
	forTransmission
	forUninstall // what was left when the canister ran out of cycles
	forCreation
	forHTTP
	forBurning
	numUses
)

// consume counts cycles that have left the balance of c for good.
func (c *canister) consume(what use, amount Cycles) {
	if amount.IsZero() {
		return
	}
	for len(c.Consumed) < int(numUses) {
		c.Consumed = append(c.Consumed, Cycles{})
	}
	c.Consumed[what] = c.Consumed[what].Add(amount)
	c.dirty = true
}

// metricsReply is the reply of canister_metrics about v: totals since the canister was created.
func (v *view) metricsReply(id, caller principal.Principal, admin bool) ([]byte, *Reject) {
	if !admin && !containsPrincipal(v.settings.Controllers, caller) {
		return nil, notController(id, v.settings.Controllers, caller)
	}
	n := func(what use) candid.Nat {
		if int(what) >= len(v.consumed) {
			return candid.Nat{}
		}
		return natOf(v.consumed[what])
	}
	return candid.MustMarshal(management.CanisterMetricsResult{CyclesConsumed: management.CyclesConsumed{
		Memory: n(forMemory), ComputeAllocation: n(forCompute), IngressInduction: n(forIngress), Instructions: n(forInstructions),
		Transmission: n(forTransmission), Uninstall: n(forUninstall), CanisterCreation: n(forCreation), HTTPOutcalls: n(forHTTP),
		Burned: n(forBurning)}}), nil
}
