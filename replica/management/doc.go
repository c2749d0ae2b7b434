// Package management is the interface of the management canister, aaaaa-aa: the Candid types of its arguments and results, which
// methods exist, who may call them, and which canister a user's call is about.
//
// The methods themselves are carried out by replica/execution, which owns the canisters; replica/http asks this package for the
// effective canister id of a request. Source of names, types and rules: interface specification 0.66, section "The IC management
// canister", and its ic.did. testdata/callers.tsv has the rules of all 43 methods as a table; replica/execution makes every call of it.
//
// # Callers
//
// A method is called by users as an update (Ingress), by canisters (Update), or as a query by users and from composite queries (Query).
// Subnet admins, whom the genesis document names, may beyond that create canisters, list them all, and start, stop, uninstall and delete any.
// On a subnet that has admins, creating a canister costs nothing. A call that names another version of its sender than the one that made it
// (sender_canister_version) is refused with IC0504.
//
// # Snapshots and layers
//
// take_canister_snapshot and load_canister_snapshot copy no page. Heaps, stable memories, chunk stores and uploaded modules live in layers
// (replica/execution/layers.go): a layer is a set of pages on top of another one, and only the layer on top is written. A snapshot takes
// over the layer on top, and its canister gets an empty one above; loading puts an empty layer on top of the snapshot's, in its own canister or
// another. What nobody holds is deleted or merged a few pages per round. snapshots_size counts a snapshot in full, whatever it shares.
// A snapshot that is uploaded (metadata first, then data) fills layers of its own and can be loaded once it is whole and its module valid.
//
// # What differs from the Internet Computer
//
//   - query_stats of canister_status are zero: queries are executed by one replica and counted by none, since there is no agreement on them.
//   - The bitcoin_ methods pass the call on to the subnet's own Bitcoin canister, with its prices and limits. They take the network regtest too,
//     and answer DESTINATION_INVALID for a network that the subnet does not follow. The IC has deprecated them.
//   - node_metrics_history counts as failures the turns to propose that passed in a height before its block was decided; each block's votes tell
//     for the one before it.
//   - subnet_info and node_metrics_history know this subnet alone; canisters are not renamed.
package management
