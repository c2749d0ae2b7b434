// Package utxo is the replicated view of a Bitcoin chain: the coins that exist, by outpoint and by address, with the blocks that
// may still be reorganised kept apart from those that may not.
//
// # What is kept
//
// The stable set holds the coins as of the anchor, the highest final block (chain.Tree). Above it hangs a tree of blocks with
// their bodies. The tip is the end of the branch with the most work (then the most blocks, then the first received) among those
// whose bodies are all there. A child of the anchor becomes final, and moves into the stable set, when the work on top of it is at
// least δ times the anchor's own, and leads that of its best sibling by as much; siblings count by their headers alone. On networks
// where difficulty may collapse (testnet4, regtest) a lead of 500 blocks, falling to δ as 1,500 blocks pile up, is enough too.
//
// A view (State.View) is the set of coins at a block of the tip's branch: the stable set plus what the blocks in between create,
// minus what they spend. Coinbases are shown after 100 confirmations, when they can be spent.
//
// # What is checked
//
// Headers: package chain. Bodies: that they are the header's own (Merkle root, witness commitment), sizes, and amounts: every
// input exists unspent in its branch, no transaction creates money, the coinbase takes at most subsidy and fees, coinbases rest for
// 100 blocks. Scripts, lock times and signature-operation counts are not checked: a block costs as much work as it always
// does, and that is what its depth is trusted for. A body that does not belong to its header is dropped and the header stays; a
// header whose own body breaks a rule is marked, and nothing is built on it.
//
// # The caller's duties
//
//  1. Open once per process with the committed store. Call Use with each block's store before anything else in that block, and with the
//     committed store after the block's commit: CheckPayload and Filter read, too.
//  2. Ask Request, have an adapter fetch, cut the answer with Filter, and put it into a proposal. CheckPayload decides on the
//     proposals of others; it depends on nothing but state and payload.
//  3. Apply the agreed payload exactly once, in every block, even when it is empty: block time moves expiries on.
//  4. Announce what Outgoing lists until it is no longer listed.
//  5. Commit Digest with the block.
//
// All methods but those of View belong to one goroutine. Views may be used by many at once, each over its own snapshot; a view
// whose snapshot is not of the same block as the memory fails with ErrStale.
//
// # Bounds
//
// Headers above the anchor: chain.Params.MaxHeaders. Bodies: Options.MaxUnstableBytes; when they are full, the lightest side
// branch makes room for the tip's, never the other way round. Memory: about 150 bytes per output and 100 per input above the anchor,
// besides those 8,000 headers; all else is in the store.
package utxo
