// Package gossip carries messages between the replicas of one subnet: certificate and beacon shares, ingress
// messages, outcall answers and chain-key ceremonies. Blocks and votes do not travel here; they have consensus's own
// connections.
//
// A node's key (Ed25519) is its libp2p identity, and connections with anybody who is not a member are refused during the
// handshake. SetPeers says who the members are, at any time: who is new is dialled and let in, who left is cut off. Host is go-libp2p cut down to TCP, noise and yamux: no discovery,
// relay, address exchange or NAT traversal. Switch is the same interface in memory, with seeded loss, delay and
// partitions, for tests and simulations.
//
// # What is promised
//
// The sender of a message is authentic. Messages of one topic between two nodes arrive in order, and may be lost (a
// full queue, a broken connection) or, rarely, arrive twice. Send and Broadcast never block: each (peer, topic) has a
// queue bounded in messages and bytes that drops its oldest message, because a newer share or announcement is worth
// more than an older one. A topic whose loss is costly, such as a ceremony, asks for a larger queue. Whoever needs
// more than that repeats its messages; certify does.
//
// # The caller's duties
//
//   - register all topics with Handle before Start;
//   - return from handlers soon: a handler that blocks stops that peer's topic, and only it;
//   - treat messages as hostile: a member may be faulty, only the size is checked;
//   - Close, which ends all goroutines.
//
// It may be imported by replica packages and tests; it imports nothing of fusion.
package gossip
