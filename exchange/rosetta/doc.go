// Package rosetta serves the Mesh API (formerly Rosetta, version 1.4) over ledgers: blocks and balances to read, and transactions to build,
// sign elsewhere and submit. One server serves several ledgers; the network of a request is the ledger's canister id.
//
//	s, err := rosetta.Open(ctx, rosetta.Config{Dir: dir, Agent: a, Ledgers: ids})
//	go s.Run(ctx)
//	http.Serve(l, s)
//
// # What is believed
//
// A block is shown, and counts in a balance, once a tip that the subnet has certified proves it (exchange/reader). Until then it is staged:
// stored, linked to the one before, its effect on balances computed, and invisible, because every answer is given as of a proven block. So a log of
// any length is read once, in bounded memory, and a sync that was interrupted goes on where it was. When a certified tip contradicts
// staged blocks, somebody lied, and they are dropped; when it contradicts proven ones, the ledger itself was replaced: ErrFork, and
// nothing more is served for it.
//
// # Store
//
// One Pebble database. Under each ledger: the blocks as they were written, with hash and transaction hash; the blocks of each hash; and for each
// account and block that concerns it the balance after it, so that a balance at any block is one seek. A batch of
// blocks is one atomic write. Nothing needs migration: a store is rebuilt by removing its directory.
//
// # Operations
//
// TRANSFER (twice: minus, plus), MINT, BURN and APPROVE, with SPENDER, FEE and FEE_COLLECTOR beside them, as in the Rosetta server of the Internet
// Computer's ICRC-1 ledgers. Balances are sums of exactly the operations that are shown: minting and burning have one side, and a
// fee is taken from the payer and, where there is one, given to the collector. A transaction's identifier is the
// ICRC-3 hash of its tx, which is known before it is submitted.
//
// # Construction
//
// A TRANSFER, with SPENDER a transfer by allowance, a BURN or an APPROVE, with FEE if it shall be stated. /construction/metadata chooses created_at_time and, if none
// is given, a memo; everything after it is a function of these, so a transaction that is built or submitted again is the same one and the
// ledger executes it once: what it answers with Duplicate is a success. Payloads are a call and the read of its status for each interval
// of ingress_start to ingress_end, for signatures that are made long before they are used. Keys are secp256k1, secp256r1 and
// edwards25519.
//
// Numbers of 64 bits in metadata are texts, because readers of JSON round them; memos are hexadecimal.
package rosetta
