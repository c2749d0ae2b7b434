// Package native runs canisters written with package cdk in one ordinary process, for tests and simulations.
//
// A World holds canisters and handlers that stand for other parties (the management canister, the Bitcoin canister). It has a
// clock that only the test moves and a seeded scheduler: of all messages that could be executed next it picks one at random, the
// same one for the same seed. Messages between a pair of canisters keep their order, answers do not, as on a subnet.
//
//	w := native.NewWorld(1)
//	w.Install(ledger, icrc.Canister, arg)
//	res, err := native.Update[icrc.TransferResult](w, alice, ledger, "icrc1_transfer", args)
//	w.Advance(5 * time.Second) // runs the timers that become due
//	w.Upgrade(ledger, icrc.Canister)
//
// Management is such a handler for canisters that make other canisters.
//
// # What is as on a subnet
//
// One message at a time; a callback is a message of its own; a trap undoes stable memory, certified data, the timer, accepted
// cycles, the answer and the calls of its message, and runs the cleanup of a trapped callback; a call context that can no longer
// answer is rejected; an upgrade is a new instance over the same stable memory, whose old callbacks then trap.
//
// # What is not
//
// A trap does not undo the heap. Code that changes Go variables and traps afterwards behaves differently here. A canister whose
// state is in stable memory can be installed with RebuildAfterTrap: the instance is then created anew, as if upgraded, which
// drops what its caches hold that was undone. Queries undo stable memory but not the heap either. Instructions are not counted
// and balances are unlimited; only attached cycles are followed.
package native
