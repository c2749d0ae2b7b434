package execution

import (
	"fmt"
	"slices"

	"fusion/ic/principal"
)

// Custodial canisters hold or account for users' coins. Nobody, their controllers included, can throw their code or state away: an upgrade
// is the only way to change them. And they cannot starve: the subnet gives them cycles before they have too few to go on.
//
// The genesis document names them. What a custodial canister makes is in its custody and therefore custodial too: a ledger of a token that did
// not exist when the network began. It stays so, whatever becomes of its maker.
//
// Where there is a root canister, nobody else does anything to a custodial canister: neither users, whatever the settings say, nor subnet admins. What
// custodial canisters made their makers may change, too. Those of the genesis document are there from the first round on, empty, with the root canister as
// their controller, so that at no time somebody else has one of their ids.

const (
	// custodyLow is the balance below which a custodial canister is given cycles, up to custodyFull. A signature of the largest subnets
	// costs 0.03 T, a year of 10 GiB some 50 T.
	custodyLow  = 500 * trillion
	custodyFull = 1000 * trillion
	trillion    = 1_000_000_000_000
)

// RecoveryVariable is the environment variable in which custodial canisters see the number of the subnet's last recovery from a backup, in decimal: from the
// recovery's own block on, before anything is executed. There is none before the first. A minter must not go on with a log that the chains may have outrun.
const RecoveryVariable = "FUSION_RECOVERY"

func (x *Executor) custodial(c *canister) bool {
	return c.ward || slices.Contains(x.cfg.Custodial, c.id)
}

// Custodial says whether an id is a custodial canister's. It belongs to the goroutine that runs Round.
func (x *Executor) Custodial(id principal.Principal) bool {
	c := x.canisters[id]
	return c != nil && x.custodial(c)
}

// governed says whether there is a root canister.
func (x *Executor) governed() bool { return !x.cfg.Root.IsManagement() }

// guarded refuses who may not change a custodial canister: all but the root canister, and custodial canisters.
func (x *Executor) guarded(c *canister, caller principal.Principal) *Reject {
	if !x.governed() || !x.custodial(c) || caller == x.cfg.Root || x.Custodial(caller) {
		return nil
	}
	return reject(errInvalidController, "Canister %s has custody of users' coins: only the root canister %s changes it, by a proposal that the operators approved. Sender's ID: %s",
		c.id, x.cfg.Root, caller)
}

// found makes the custodial canisters of the genesis document that are not there.
func (x *Executor) found() {
	if !x.governed() {
		return
	}
	for _, id := range x.cfg.Custodial {
		if x.canisters[id] != nil {
			continue
		}
		k := &call{message: &message{Caller: x.cfg.Root.Bytes()}, caller: x.cfg.Root}
		if _, _, rej := x.create(k, &id, nil, nil, CyclesOf(custodyFull)); rej != nil {
			panic(fmt.Sprintf("execution: making the custodial canister %s: %v", id, rej)) // the genesis document was checked
		}
	}
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

// keeps refuses to throw away what a custodial canister holds, once it holds something. Where there is a root canister those of the genesis
// document are kept even empty, since their ids are given once.
func (x *Executor) keeps(c *canister, what string) *Reject {
	if !x.custodial(c) || !c.hasCode() && (!x.governed() || c.ward) {
		return nil
	}
	return reject(errCanisterRejected, "Canister %s has custody of users' coins and cannot be %s; upgrade it", c.id, what)
}
