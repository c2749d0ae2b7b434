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
// A round takes in the block's users' messages and system responses. Then it is a sequence of waves (schedule.go, turn.go): up to 16 canisters
// with work have a turn at the same time, on Config.Threads workers. A turn reads its own canister and constants, and writes its own
// canister and an outbox; the outboxes are applied in the order of the wave, so that results do not depend on the number of threads. Turns of
// the management canister and of canisters written in Go (Native), and installations that go on, are waves of their own. A chain of calls
// thus ends in the round in which it began unless the budget of instructions is used up. Within a turn tasks come first (on_low_wasm_memory,
// heartbeat, timer), then responses, then requests.
//
// The canisters of a wave share what is left of the round: one percent of compute allocation is 1/400 of it, the rest is shared equally.
// What a canister that had work should have had and did not get is kept as its priority, and decides who starts the next round.
//
// A message runs on the canister's private heap (package wasm) with its own view of stable memory, and its calls, response,
// certified data, timer and cycles are kept in exec until it ends: then all of it happens, or none. Heaps are committed in batches of
// messages (batch.go), stores are written once per round. Of one canister's calls to another at most 500 are in flight; the slot of the response is
// reserved by the callback.
//
// Limits are in types.go and Config. A message that needs more instructions than its turn has left stands still and goes on in the canister's
// next turn, as do installations, tasks, callbacks and replicated queries (long.go); all that stood still when a round began have half of its
// budget together. Meanwhile other messages of the canister wait, and so do management calls that would change it; queries see it as it was
// before, cycles that come are kept, and fees that fall due are taken at the end. The state holds the job, what it saw when it began, and the
// instructions it was given: after a restart the canister's next turn executes it again up to there.
//
// Cycles are charged for instructions, messages and bytes by the public price table scaled to the subnet's size, and for memory and compute
// allocation every minute of block time; a canister that cannot pay loses its code and state. Memory, compute and the memory for messages are
// bounded for the subnet, and no canister can take them all (allocations.go).
//
// # Canisters in Go
//
// A Native answers a call at once, or, if it is an Asker, asks the world outside first: each question becomes a system call, and the canister goes
// on when all are answered (native.go). What it keeps meanwhile is in the store like everything else.
//
// # Queries
//
// Query and InspectMessage see a canister as the last commit of its heap left it: at the end of a round, or within one, between messages. They
// hold the canister's read lock. A commit to that canister waits half a second for them; those that go on are given up. At most QueryThreads
// users' queries run at a time, half of them on one canister. Composite queries call queries of other canisters, each at most once on a path.
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
