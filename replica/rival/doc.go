// Package rival keeps what the members say of Bitcoin chains that the state cannot follow: chains with more work than the one whose coins it counts, which
// fork deeper than the state remembers. A member's Bitcoin peers show such a chain to it alone, so it says so in blocks, signed; when f+1 members do, one of
// them at least is honest, and coins are not counted until the matter is resolved.
//
// # Claims
//
// A Claim names the end of the chain and its work, or with no work takes an earlier one back. It carries the height of the subnet's chain at which it was made, which grows from
// claim to claim of a node, and is taken within FreshBlocks blocks, so that nobody repeats an old one. A claim counts while its work is more than that of the
// followed branch and a margin, once its node has claimed without a gap for as long as Config says, until it takes it back, or has not said it again for Lifetime. The members that claim need not
// name the same block: the ends of chains move.
//
// f members that lie stop nothing, and cannot take back what others say. f+1 can stop deposits; they can do worse things.
//
// # State
//
// All is in the kv.Store that the caller gives: a record for each node that ever claimed. Times are block times. The machine calls Check for proposals, Step
// and Judge in each block; the replica makes claims. Work is compared, never verified: a claim is a member's word, not a proof.
package rival
