// Package canister is the Bitcoin canister: the interface through which other canisters read balances, coins, fees and headers and
// send transactions. Its Candid is that of the Internet Computer's Bitcoin canister, so clients of that one work unchanged.
//
// It is not WebAssembly but part of the replica: a thin translation of calls into views of a utxo.State. What it owns itself
// is its configuration, in a kv.Store of its own. It is deterministic; queries may run beside updates when they bring a snapshot.
//
// Differences from the original, all on the safe side: amounts of blocks are checked; coinbases are shown only after 100
// confirmations; the stability threshold is fixed at genesis, so set_config refuses another; a transaction's amounts are
// checked before it is sent. "Instructions" that are paid for are counted as 10,000 for each coin or header of an answer.
package canister
