// Package chain is the tree of Bitcoin block headers: proof of work, difficulty, timestamps and the choice of the branch with
// the most work, for mainnet, testnet4 (BIP94), signet and regtest.
//
// A Tree keeps all headers of the past that are final as a list by height, ending at the anchor, and a tree of the headers above.
// The anchor moves only when the caller says so (Advance), because what is final depends on bodies, which this package does not
// see; it only remembers for each header whether a body was accepted or proved invalid.
//
// Everything is in a kv.Store; Open reads the tree back. The package is pure: the only clock is the block time that Accept is
// given, and a header from its future is refused with ErrFuture, which means later and not never.
//
// A branch that forks below the anchor, at most MaxForkDepth blocks, can not be followed. Its headers are kept beside the tree
// (DeepBest), at most 10,000 of them: when they carry more work than the tree's best, what is final should not have been.
//
// The tree is bounded (Params.MaxHeaders). When it is full, a header enters only if it makes the heaviest branch heavier, and the
// lightest leaf of another branch makes room: on regtest and testnet4 headers are nearly free, so nothing else would bound it.
//
// What makes a block of signet is the solution in its coinbase (btc.Block.CheckSignet), which a header does not show: signet's headers are
// cheap, and count for the best branch until their bodies prove them invalid.
package chain
