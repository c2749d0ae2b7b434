// Package chain is the tree of Bitcoin block headers: proof of work, difficulty, timestamps and the choice of the branch with
// the most work, for mainnet, testnet4 (BIP94) and regtest.
//
// A Tree keeps all headers of the past that are final as a list by height, ending at the anchor, and a tree of the headers above.
// The anchor moves only when the caller says so (Advance), because what is final depends on bodies, which this package does not
// see; it only remembers for each header whether a body was accepted or proved invalid.
//
// Everything is in a kv.Store; Open reads the tree back. The package is pure: the only clock is the block time that Accept is
// given, and a header from its future is refused with ErrFuture, which means later and not never.
//
// The tree is bounded (Params.MaxHeaders). When it is full, a header enters only if it makes the heaviest branch heavier, and the
// lightest leaf of another branch makes room: on regtest and testnet4 headers are nearly free, so nothing else would bound it.
//
// Signet is refused (ErrSignet): its blocks count only with a solution of the challenge script, and scripts are not run here.
package chain
