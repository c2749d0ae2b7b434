// Package outcalls lets the replicas agree on what the world outside answered.
//
// A request is opened in replicated state; each replica asks by itself, makes canonical bytes of what it was told, signs their digest and gossips
// the signature. Equal digests signed by 2f+1 replicas, with the bytes, make the answer part of a block. HTTPS outcalls and questions to Ethereum
// providers are its users; what a request is about is the business of the Source that carries it out.
//
// It has two halves.
//
// # Machine: the deterministic half
//
// A Machine keeps its whole state in a kv.Store under one prefix and has none of its own, so a block that is executed again, or a store
// that is opened again, needs no care. Block by block the caller does:
//
//  1. CheckAll, in ProcessProposal: every item of the block that belongs to this package, against the committed state;
//  2. Apply, in execution, the same items in order; each gives the response of one request;
//  3. Advance, once, with the block's time: more responses (timeouts) may come out, and turns pass on;
//  4. Submit each request that canisters made.
//
// An item is one of two proofs, and each proves itself with block and state alone. An outcome has an answer and the signatures of a quorum (n−f
// nodes, 2f+1 of 3f+1) over its digest. A divergence has the signatures of so many nodes over so many digests that no quorum can come
// together any more. A request that neither reached is rejected after a minute of block time, so nothing waits for ever. What a node signs binds the
// network, the request's id and content, and the answer: a signature is good for nothing else.
//
// A request that is not replicated is carried out by one node after another: each has its turn, and the answer of any that had its turn
// suffices, with its signature alone. There is no more integrity in it than in that node.
//
// How far a chain has come is seen differently by honest replicas, so a request for a height (kind Height) is not answered by equal digests: every
// replica signs the height that it sees, and 2f+1 signed heights in a block settle it at the (f+1)-th smallest, which no f of them can move
// below or above what honest replicas saw (heights.go).
//
// Open requests are bounded: in all, per canister, and by the bytes that their answers may have, since every replica keeps its own
// answers in memory until the block. A request beyond that is refused and costs nothing.
//
// # Driver: the other half
//
// A Driver is told of each committed state by Reconcile, asks through its sources what this node has to ask, signs, gossips, and offers items
// for blocks by Pending. Reconcile is idempotent and nothing depends on having seen every height: after a crash or a catch-up one call
// brings everything back. Nothing is stored: a replica that restarts asks again, and may then sign another answer than before. That endangers nothing,
// because 2f+1 signatures hold those of f+1 honest nodes at least, each of which was given that answer; but the server outside
// may see a request more than once, as the interface says.
//
// Peers cannot make a driver keep much: shares are a hundred bytes, one for each peer and request, and those for requests that this node has not
// seen yet are bounded; bytes of answers are taken from the node whose turn it is, and no more than the request allows.
//
// # Callers
//
// Machine is used by the goroutine that steps the replica, or with readers of their own by any. Driver's methods may be called
// from any goroutine.
package outcalls
