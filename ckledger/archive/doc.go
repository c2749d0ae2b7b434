// Package archive keeps the old blocks of a ledger. It has the interface of the Internet Computer's ICRC archive, so that its clients work
// unmodified.
//
// Archive is the core: a log of blocks in stable memory. It holds no clock and calls nobody. Canister is the shell, and cmd/archive the program
// that cdk/build compiles. Ledgers make their archives themselves (see package icrc); an installer only brings the module.
//
// # Exactly once
//
// The ledger appends blocks by append_blocks, and nobody else can. Blocks are stored as the ledger stored them, so their hashes stay what they
// were. A block is accepted only if it is the next one and names the hash of the one before; those that are here already are compared
// and passed over. All blocks of a message are accepted or none. So the ledger may ask again after an answer was lost, and block_range
// tells it what is here.
//
// A full archive takes no more blocks, and the ledger makes another one.
package archive
