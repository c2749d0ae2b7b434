// Package proof checks what nodes say against the chain itself, so that one honest answer is enough and a lie is noticed.
//
// Everything hangs on the hash of one block, which the caller trusts: because the beacon chain's light client finalised it, or because
// enough operators agree. From there
//
//   - Header: a block's fields are those that its hash stands for, of all forks up to Amsterdam;
//   - Chain: a row of headers leads by parent hashes to the trusted block;
//   - Excludes: the header's bloom filter shows that no log of a block passes a filter;
//   - Receipts: a list of receipts is the block's, whole and in order: the receipts root covers outcomes, gas and logs;
//   - Transactions: a list of transactions is the block's, whole and in order;
//   - Receipt, Logs: what the receipts root does not cover (hashes, sender, recipient, price, places of logs) follows from the
//     transactions and positions, and is computed rather than believed;
//   - Path, AtPath: one receipt with the nodes of the trie that lead to it, for whoever cannot take all;
//   - Account: an account and its slots, or that there is no such account, in a state root.
//
// Input is what eth/rpc parsed, with its bounds; Transactions takes the answer of a node as it is, which the caller bounds. Every failure
// wraps ErrProof and names the block. A failure says that this answer proves nothing: ask another node.
//
// The package is pure and uses go-ethereum's types and tries, so it is for replicas and not for canisters. On a busy machine of two cores a
// header costs 17 µs to check, the receipts of a block of 200 transactions 4 ms, an account 80 µs; the transactions of that block as JSON
// 50 ms, so they are for blocks that have something (see the benchmarks).
package proof
