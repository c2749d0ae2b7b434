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
// While bodies are being caught up (the best header is more than 128 blocks ahead of them), final blocks wait for each other and enter the
// stable set 128 and more at a time, or as soon as the bodies take half of their room: what is created and spent within them never touches the
// store or the hash. The stable set is committed to by its MuHash, which is multiplied up on all processors; factors commute, so the number of
// processors changes nothing.
//
// An address with more than about 256 coins, as one in 512 of those added finds, has a stored balance; those of others are added up when they are asked for. What the blocks above the anchor
// do to addresses is listed, block by block, as soon as bodies have been caught up with, or when somebody asks earlier.
//
// A view (State.View) is the set of coins at a block of the tip's branch: the stable set plus what the blocks in between create,
// minus what they spend. Coinbases are shown after 100 confirmations, when they can be spent.
//
// # Deep reorganisations
//
// What is final stays final: no payload moves the anchor back. A branch that forks below it is followed by its headers alone (up to
// chain.MaxForkDepth below). When it has more work than the best branch above the anchor, the state halts: no further block becomes final,
// views fail with ErrHalted, all but Info and Doubt, Send refuses, and Halt says where the branches part. Work alone decides, so
// all replicas halt in the same block. The halt ends by itself when the branch that was followed leads again by as much as makes a block
// final; else a controller of the Bitcoin canister calls Reset, which, but on development networks, is refused while nothing is wrong.
//
// Reset begins a new epoch: an empty state at the base of the parameters, even where the first epoch began with a
// snapshot, in a key space of its own ("E" and the number). Only the transactions to announce go along. Everything is downloaded and
// checked again, along the branch with the most work. The keys of earlier epochs are not read any more; each block deletes 10,000 of them.
//
// # What is checked
//
// Headers: package chain. Bodies: that they are the header's own (Merkle root, witness commitment), sizes, and amounts: every
// input exists unspent in its branch, no transaction creates money, the coinbase takes at most subsidy and fees, coinbases rest for
// 100 blocks. Scripts, lock times and signature-operation counts are not checked: a block costs as much work as it always
// does, and that is what its depth is trusted for. A body that does not belong to its header is dropped and the header stays; a
// header whose own body breaks a rule is marked, and nothing is built on it.
//
// # Snapshots
//
// Import writes the state that follows a file of Bitcoin Core's dumptxoutset (version 2), as a stream: what is in memory is the coins of one
// transaction and a batch. The coins' hash_serialized_3 must be the one that is given; on public networks only Bases are accepted. chain.Replay
// checks the headers up to the snapshot's block and makes the parameters that the import begins with. The result holds, key for key, what a
// state that followed the chain holds, but for the balances stored for large addresses, which StoreBalances adds.
//
// # The caller's duties
//
//  1. Open once per process with the committed store. Call Use with each block's store before anything else in that block, and with the
//     committed store after the block's commit: CheckPayload and Filter read, too.
//  2. Ask Request, have an adapter fetch, cut the answer with Filter, and put it into a proposal. CheckPayload decides on the
//     proposals of others; it depends on nothing but state and payload.
//     What a block says by itself (transactions, hashes, the coins that it makes), and the coins that it spends, are best looked at while something else is
//     waited for: Foresee may be called in any goroutine with the blocks that are at hand and a view of the latest commit, and changes no result. The bytes of
//     blocks must not be changed once they were given.
//  3. Apply the agreed payload exactly once, in every block, even when it is empty: block time moves expiries on.
//  4. Announce what Outgoing lists until it is no longer listed.
//  5. Commit Digest with the block.
//  6. Show Halted to operators. Let nobody but whom the network trusts call Reset, within a block.
//
// All methods but Foresee and those of View belong to one goroutine. Views may be used by many at once, each over its own snapshot; a view
// whose snapshot is not of the same block as the memory fails with ErrStale.
//
// # Bounds
//
// Disk: a coin with an address takes two keys, 130 bytes before compression; a set just imported into Pebble was measured at 170 bytes a coin. That makes
// 34 GB for 200 million coins, and room for as much again while the database compacts. What is in memory does not grow with the set, but for the
// names of addresses with a stored balance, about 100 bytes each: at most 80 MB if all of 200 million coins lay in heaps of 256.
//
// Headers above the anchor: chain.Params.MaxHeaders. Bodies: Options.MaxUnstableBytes, witnesses included; when they are full, the lightest side
// branch makes room for the tip's, never the other way round. They are stored without their witnesses, which nothing looks at once a body is checked. Memory: about 300 bytes per output and 150 per input above the anchor,
// besides those 8,000 headers; all else is in the store. When 128 blocks of mainnet's size enter the stable set together, that is one batch of 140 MB,
// and the state takes some seconds for it: all replicas in the same block.
package utxo
