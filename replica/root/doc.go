// Package root is the root canister: it alone changes the canisters that have custody of users' coins, and it decides who the members are. It is part of the
// replica, as the Bitcoin canister is, so nobody installs or upgrades it: a new version comes with the program that each operator chooses to run.
//
// Operators are principals; their keys are people's, not machines'. The genesis document names the first ones. An operator submits a proposal, which is one
// Action; others approve its number and digest. With the approval of two thirds of the operators the time lock begins, and when that is over any operator
// executes the proposal, once. Until then its proposer may withdraw it and others may reject it; so many rejections that two thirds are out of reach end it,
// and so does its deadline. An operator who thinks better of it may reject what he approved, or the other way round; where that takes the two
// thirds away, the time lock begins again with the next approval that restores them. Who is no operator any more has said nothing: when a
// proposal changes the operators, the words of those who went are struck out of all that is open.
//
// # Actions
//
//	Upgrade     installs the module with a SHA-256 in a custodial canister, with an argument: in an empty one it is the first installation
//	Call        calls a method of a custodial canister, or of one that is part of the replica: resume of a minter, add_erc20 of the orchestrator,
//	            reset_chain of the Bitcoin canister, updateApiKeys of the EVM RPC canister
//	Membership  lets a node come, go, or replace another, or reshares the keys; one change at a time (package members)
//	Operators   replaces the list of operators
//
// The modules of an upgrade are staged in chunks, of which the proposal names the hashes, so that nothing else can be staged; they are deleted when the
// proposal ends. So is an argument that nobody is to read, of which the proposal names the hash alone. An upgrade stops the canister, installs, and starts it again; where it cannot be stopped within five minutes, or the installation is refused,
// the canister is started with its old code and the proposal has failed, for good.
//
// What the executor refuses it refuses the root canister too: no custodial canister is reinstalled, emptied, deleted or set back.
//
// # State
//
// All is in the kv.Store that the caller gives, under numbers that are big-endian. Times are block times, in nanoseconds since 1970. Proposals are kept for ever; of
// one that has ended long arguments are forgotten, their hash is not.
package root
