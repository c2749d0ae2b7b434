// Package canister is the Bitcoin canister: the interface through which other canisters read balances, coins, fees and headers and
// send transactions. Its Candid is that of the Internet Computer's Bitcoin canister, so clients of that one work unchanged.
//
// It is not WebAssembly but part of the replica: a thin translation of calls into views of a utxo.State. What it owns itself
// is its configuration, in a kv.Store of its own. It is deterministic; queries may run beside updates when they bring a snapshot.
//
// # Differences from the original
//
// On the safe side: amounts of blocks are checked; coinbases are shown only after 100 confirmations; a transaction's amounts are checked
// before it is sent, and one that nodes would not relay for its weight is refused. The stability threshold is fixed at genesis, so set_config
// refuses another; the watchdog may set api_access and nothing else.
//
// By construction: "instructions" that are paid for are counted as 10,000 for each coin or header of an answer. With burn_cycles the canister's
// cycles are burnt at each call that is not a query. Fee percentiles are ranked once for each tip: when they are first asked for, or, unless
// lazily_evaluate_fee_percentiles is set, with the block. blocks_source is the management canister: blocks come through consensus. testnet is
// testnet4 or signet, whichever the genesis names.
//
// # Beyond the original
//
//   - bitcoin_get_mempool_utxos_query lists outputs to an address that the answering replica has seen relayed and in no block. It is that
//     replica's own, uncertified view: good for showing a deposit early, and for nothing else.
//   - Coins (utxos, balance) are refused on public networks, while disable_api_if_not_fully_synced is set, when the tip is older than two hours
//     or the last 36 blocks took twice their time (mainnet, signet): replicas that are cut off from the network see just that. The field doubt
//     of get_blockchain_info says so, too. Fees, headers and sending go on.
//   - When a branch that replaces final blocks has more work than the one that is followed, everything but information and configuration is
//     refused; get_blockchain_info says why (halted). A controller's reset_chain drops what is known and follows the heaviest branch.
//   - epoch, in the answers of bitcoin_get_utxos and get_blockchain_info, counts those resets: who asks seldom learns of one that it did not witness.
package canister
