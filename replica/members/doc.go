// Package members says which nodes a subnet has, and had.
//
// A node has an index for life: the nodes of the genesis document have 0 to n-1, and numbers are never given twice. Everything that speaks of
// a node (records in the state, signed items, senders of gossip) does so by index. A [Set] is the nodes of one epoch, ascending; epoch 0 is the
// genesis document's. Threshold keys belong to an epoch: a node's seat in a key is its place in the Set of that epoch.
//
// The registry is replicated state under one prefix that the caller gives. [Init] writes it, once; the other functions read it and may be used
// with any reader of committed state.
//
// # Changes
//
// A [Machine] changes the membership: at most one node comes and one goes at a time; with neither, keys are reshared among the same members.
// A change is what members say in blocks, each with its node key, and a deadline stands at each step:
//
//	proposed   a member's Change; a new node's keys and addresses are in it, with proofs that it has both keys
//	joining    more than 2/3 of the members approved: the new node has its index, the others talk to it, and it catches up until it says Ready
//	resharing  the next Set is visible, and every key is reshared to it; the old shares sign meanwhile
//	(done)     all new members stored all new shares: the next Set is in force from that block on, for all keys and for consensus at once
//
// When a deadline passes, a resharing fails, or so many members reject the change that those left are no quorum, it is given up: nothing has
// changed, and the status says why. A member has at most one open proposal, and the first that is approved drops the others, so nobody can keep
// others from deciding. An item counts in one epoch, for one numbered proposal and one content, so none can be replayed.
//
// Where the machine is Governed members do not propose or approve: the phase of proposals is the root canister's (package root), which calls Begin.
//
// The keys of a node that was a member are never taken again. Whoever wants to come back comes with fresh ones, and gets a new number.
//
// Per block the caller checks all items (CheckAll), applies them, and calls Advance once, which says when a resharing begins, when the next
// set is in force, and when a change came to nothing.
package members
