// Package index is an index of a ledger: what happened to an account, newest first, which the ledger itself cannot answer. It has the
// interface of the Internet Computer's index-ng, so that its clients work unmodified.
//
// Index is the core: books kept from blocks alone. It holds no clock and calls nobody. Canister is the shell that asks the ledger for
// blocks, and cmd/index the program that cdk/build compiles.
//
// # Trust
//
// The index believes the canister that its arguments name, and checks what it says: each block carries the hash of the one before, which the
// index computes itself, and nobody spends what he does not have. At the first block that does not fit, the index stops for good: it keeps
// answering from the blocks before, and status says why in the field halted. An upgrade lets it try again.
//
// Blocks that the ledger has handed over are read from its archives, by the callbacks that it names, but only from canisters that
// icrc3_get_archives of the ledger lists; the hashes make no difference between them and blocks of the ledger.
//
// Whoever needs proof of a transaction asks the ledger, whose tip is certified. Answers of the index are as good as the replica that gives them.
//
// # Reading
//
// A poll asks for up to 500 blocks at a time by get_stored_blocks, or for up to 100 by icrc3_get_blocks where a ledger or an archive does not have that method, which is
// tried again after a while; 2,000 in all, or fewer when they used 200 million instructions. What is left waits for the next poll, which comes with the next block of the subnet: others have a turn between them. After a poll without news the next one waits twice as long, up to the maximal interval; after one
// with news the minimal interval. Polling is the only thing that costs an idle network anything.
//
// # State
//
// All of it is in stable memory, and a message appends whole blocks with everything that follows from them, or nothing: there is no step
// that could be lost or done twice, and no pre-upgrade hook. Blocks, the accounts with balance and first block, the blocks of each account,
// and the ranges of blocks whose fees somebody collected.
//
// A block belongs to the accounts that it takes from and gives to. A spender's account is known from its first approval on, but only
// what it gets or pays itself is among its blocks; a fee collector's balance counts the fees, whose blocks get_fee_collectors_ranges names.
package index
