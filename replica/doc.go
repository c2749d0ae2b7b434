// Package replica is one machine of a subnet. It wires the rooms below it and holds nothing else: the replicated state
// machine (machine, on state and execution), consensus, gossip, certification, signing, derived keys, the Bitcoin adapter and the public
// HTTP interface.
//
// All that replicas agree on happens in machine.Machine, which is pure: a block goes in, a new state comes out. Around it a
// Replica runs the reconciler: after every commit, and never inside one, it looks at the committed state and derives what
// this machine should be doing (sign the state root, take part in a ceremony, release a beacon share, fetch Bitcoin blocks,
// announce a transaction). Each of those is idempotent, so a crash at any point is healed by the next look.
//
// A Replica is used by cmd/fusion as a process of its own and by testnets several to a process; it is the same code.
package replica
