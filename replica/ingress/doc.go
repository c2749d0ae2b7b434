// Package ingress holds the calls that users have signed and that wait for a block.
//
// A [Pool] authenticates what it is given (signature, delegations, expiry), keeps each call once, and hands the proposer as
// many as a block takes. It is bounded in bytes and in number; when it is full, room is made at the expense of the sender who
// occupies most, and a block is filled by turns of senders, so that nobody can keep others out by sending much. (Keys cost
// nothing, so this protects against one sender's flood, not against a crowd.)
//
// A [Memo] remembers which calls were found authentic. Checking a signature costs 0.1–0.3 ms, which is the largest part of
// handling a call; with the memo it is paid once per process, whether the call then comes from gossip, in a proposal or in
// a finalized block, and whether one or several replicas run in the process. It is a cache of a pure function of the call's
// bytes and the root key: what is valid does not depend on it.
//
// The caller's duties:
//  1. gossip what OnAdd reports, and give AddBatch what other replicas gossip;
//  2. check a block's calls with [Memo.Check], with the block's time, before voting for it and before executing it;
//  3. call Remove with the ids of a committed block, and Expire with its time.
//
// Users of a subnet call it through replica/http; the replica's wiring owns the Pool. The package imports ic and
// replica/payload.
package ingress
