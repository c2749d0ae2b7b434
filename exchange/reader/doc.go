// Package reader reads the block log of an ICRC-3 ledger and believes nothing that the ledger's subnet has not certified.
//
// A block comes in the answer of a query, which one node makes up as it likes. What proves it is the hash of the ledger's last block,
// which the subnet certifies (icrc3_get_tip_certificate): each block contains the hash of the one before, so the blocks from anywhere
// up to the certified tip are those of the ledger if their hashes link. The reader computes the hashes from the content; what a node,
// an archive or somebody between them says about hashes does not matter.
//
//	r, err := reader.Open(ctx, agent, ledger)
//	err = r.Follow(ctx, cursor, func(blocks []reader.Block) error { … })
//
// Tip is the certified tip. Read visits the proven blocks from a cursor to the tip, in order, each once; Follow goes on as the ledger
// grows. Both hold at most Window blocks: a longer stretch is read twice, first for its hashes, of which every Window-th is kept (32 bytes
// each), then, once they are proven, for its content. A Cursor names the next block and the hash of the one before. It is what a caller
// stores in order to continue, and it stands for the whole log up to there: a ledger that contradicts it gives ErrFork, which no retry heals.
// Blocks reads any range, linked but not proven.
//
// # Types
//
// The hash of ICRC-3 does not tell the types of values apart: a text and a blob of the same bytes have one hash, and so have an array
// of two and a map of one. A node could pass a subaccount off as a text, so that the deposit seems to be for the default account,
// without a hash changing. A block that has a field of another type than ledgers write, or one that is unknown, is therefore refused (icrc.Follow,
// ErrBlock).
//
// # Archives
//
// Old blocks may be in archives. The ledger's answer names which and for which ranges; the reader asks only canisters that
// icrc3_get_archives lists, only their icrc3_get_blocks, and does not follow further references.
//
// The package imports ic and the types of ckledger/icrc. It is used by exchange/watch, exchange/rosetta and fusion exchange.
package reader
