package execution

import (
	"slices"

	"fusion/ic/principal"
)

// Custodial canisters hold or account for users' coins. Nobody, their controllers included, can throw their code or state away: an upgrade
// is the only way to change them. And they cannot starve: the subnet gives them cycles before they have too few to go on.
//
// The genesis document names them. What a custodial canister makes is in its custody and therefore custodial too: a ledger of a token that did
// not exist when the network began. It stays so, whatever becomes of its maker.
const (
	// custodyLow is the balance below which a custodial canister is given cycles, up to custodyFull. A signature of the largest subnets
	// costs 0.03 T, a year of 10 GiB some 50 T.
	custodyLow  = 500 * trillion
	custodyFull = 1000 * trillion
	trillion    = 1_000_000_000_000
)

func (x *Executor) custodial(c *canister) bool {
	return c.ward || slices.Contains(x.cfg.Custodial, c.id)
}

// inherit makes a new canister custodial if its maker is.
func (x *Executor) inherit(c *canister, maker principal.Principal) {
	if m := x.canisters[maker]; m != nil && x.custodial(m) {
		c.ward, c.dirty = true, true
	}
}

// provide fills up the cycles of a custodial canister. It is called whenever canisters pay for what they hold.
func (x *Executor) provide(c *canister) {
	if low := CyclesOf(custodyLow); x.custodial(c) && c.Cycles.Cmp(low) < 0 {
		c.credit(CyclesOf(custodyFull).Sub(c.Cycles))
		c.dirty = true
	}
}

// keeps refuses to throw away what a custodial canister holds, once it holds something.
func (x *Executor) keeps(c *canister, what string) *Reject {
	if !x.custodial(c) || !c.hasCode() {
		return nil
	}
	return reject(errCanisterRejected, "Canister %s has custody of users' coins and cannot be %s; upgrade it", c.id, what)
}
