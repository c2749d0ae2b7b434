// Package members says which nodes a subnet has, and had.
//
// A node has an index for life: the nodes of the genesis document have 0 to n-1, and numbers are never given twice. Everything that speaks of
// a node (records in the state, signed items, senders of gossip) does so by index. A [Set] is the nodes of one epoch, ascending; epoch 0 is the
// genesis document's. Threshold keys belong to an epoch: a node's seat in a key is its place in the Set of that epoch.
//
// The registry is replicated state under one prefix that the caller gives. [Init] writes it, once; the other functions read it and may be used
// with any reader of committed state.
package members
