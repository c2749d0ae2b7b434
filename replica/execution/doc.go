// Package execution runs the canisters of a subnet: Round takes an agreed block and changes the state, Query answers beside it.
//
// # State
//
// Everything is bytes in a kv.Store: a record per canister, its module, heap and stable memory in pages of 4 KiB, the messages
// that wait, open system calls, the statuses of users' messages (state.go lists the keys). An Executor keeps working copies and
// caches, all of which New rebuilds from the store, so that a restart after any block continues byte for byte as if there had
// been none. A round writes only what it changed, once, at its end.
//
// # Rounds
//
// A round takes in the block's users' messages and system responses, then lets the canisters that have work take turns: heartbeat and
// timer, responses, then requests. A call between canisters is delivered at once, so that a chain of calls ends in the round in which it
// began unless the budget of instructions is used up; the next round starts with the canister whose turn it was. The management
// canister and canisters written in Go (Native) have queues like all others.
//
// A message runs on the canister's private heap (package wasm) with its own view of stable memory, and its calls, response,
// certified data, timer and cycles are kept in exec until it ends: then all of it happens, or none. Heaps are committed in batches of
// messages (batch.go), stores are written once per round. Of one canister's calls to another at most 500 are in flight; the slot of the response is
// reserved by the callback.
//
// Limits are in types.go and Config. Messages are not sliced: one that exceeds MessageInstructions traps, and an installation, which may
// take InstallInstructions in each step, delays its block. Cycles are charged for instructions, messages and bytes by the public price
// table scaled to the subnet's size; holding memory is not charged, but counts in the freezing limit.
//
// # Queries
//
// Query and InspectMessage see a canister as the last commit of its heap left it: at the end of a round, or within one, between messages. They
// hold the canister's read lock, so a commit to that canister waits for the queries that run on it. Composite queries call queries of
// other canisters, each at most once on a path.
//
// # The caller's duties
//
//   - Round, Tree, IngressStatus, KnowsIngress and PendingSystemCalls belong to one goroutine. Query, InspectMessage, Canisters, HasCanister,
//     Controllers and Metadata may be called by all at any time; so may LookupIngress on any reader of the store.
//   - Blocks come in order, each once per committed store, and what Round wrote is committed before the next Round.
//   - Users' messages are authenticated before. Replays and expired ones change nothing.
//   - Each SystemCall is answered by one SystemResponse in some later Round; after a restart PendingSystemCalls lists the open ones.
//   - The engine is made with HostFunctions. An error of the machine (no memory, a broken store) is a panic: the replica must stop
//     rather than go on with a state that the others do not have.
package execution
