// Package machine is the replicated state machine of a subnet: blocks go in, states come out.
//
// Step executes one block and returns the new state's hash; Commit makes it durable. Everything that decides the outcome is
// in the block or in the state: no clock, socket, goroutine or randomness. Two machines that took the same blocks hold the
// same bytes, and a machine opened from its database behaves like the one that wrote it. Whatever has to happen outside
// (sign the root, run a ceremony, fetch Bitcoin blocks) is derived from the View that Commit publishes.
//
// # Life of a network
//
// In the first blocks there is no subnet yet: they carry the BLS key generation (chainkey/bls). Its public key is the root
// key, and the subnet's id is the self-authenticating principal of that key. From then on blocks carry beacons, ingress,
// Bitcoin blocks, and what the threshold-key ceremonies publish.
//
// # Order within a block
//
// Beacons first, since committees and random numbers wait for them; then announcements of boots, votes, complaints and
// signatures; then bundles of further key generations, and derived keys; then what the nodes say of the membership, whose changes put the next members'
// shares of all keys in force in one block (members.go); then answers to outcalls and Bitcoin blocks; then one
// round of the canisters with the ingress and the answers that became due.
// A bad item is an error of Check, and blocks with one are voted down; a block that was decided all the same (a replica that
// catches up sees decided blocks only) is executed without the item, by the same rule on every replica.
//
// # Versions
//
// The state carries the version of the protocol, by which blocks change it (protocol.go). A program that knows a newer one executes blocks as the old
// one did until all members have announced, with their boots, that they know it; then a block decides a height from which it is in force. A program that
// does not know the version of its state, or of the next block, refuses to go on and says which it knows. So the machines of a network are replaced one at a time.
//
// # App hash
//
// The app hash commits to the certified tree's root and, by content, to every replicated key and value (package state).
//
// # Callers
//
// Two drivers exist: consensus (CometBFT) and the tests' solo driver with manual rounds. Step and Commit are called by one
// goroutine; View may be read by any.
package machine
