// Package vetkeys derives secret keys for canisters' users (vetkd_derive_key): it says which derivations are open, runs this replica's
// part in them, and makes the master keys that they derive from. The mathematics is package chainkey/vetkd.
//
// # Machine: the deterministic half
//
// A Machine keeps its state in a kv.Store, and what it has in memory is a cache of that. Its master keys are made one block at a time
// on boards of package bls, one per key, like the subnet's own key and independent of it: 2f+1 of the 3f+1 nodes hold enough shares,
// 2f hold nothing. Per block the caller does:
//
//  1. Check, in ProcessProposal, the items of the block: bundles of key generations, and finished encrypted keys;
//  2. Step, in execution, the same items; answers to requests come out;
//  3. Submit each request that canisters made.
//
// A request is kept as what its shares depend on, 400 bytes whatever the input's size. An encrypted key proves itself: everybody checks it
// against the derived public key before voting for the block that carries it, so it does not matter who added the shares up. Two
// replicas may add different shares up to different bytes; the vetKey inside is the same.
//
// At most QueueLimit requests are open per key, and one canister may have half of them, so that nobody alone keeps others out. A request
// that is not answered within RequestBlocks is rejected.
//
// Keys are handed to the members of the next epoch between StartReshare and ActivateReshare or AbortReshare, on boards beside those that made the
// shares in force, which derive meanwhile. What is open at the activation goes on with the new shares; shares name their epoch and are
// never mixed, and the vetKeys stay the same.
//
// # Driver: the other half
//
// A Driver makes this replica's share of each open request, sends it to the others, collects theirs and adds 2f+1 up. Shares are added
// unchecked and the sum is checked; only if that fails each is checked. Who sent a bad one is named (Listener.Refused), ignored for that
// request, and used last in others where there are enough. There is one round and no session: shares are the same bytes at each call, so a crash loses nothing.
//
// # The caller's duties
//
//   - NewDriver before the gossip network starts, SetShare when a key's generation is done, Close at the end;
//   - one goroutine calls the methods of Machine, and Reconcile after a commit; what they return is for all.
package vetkeys
