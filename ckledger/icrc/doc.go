// Package icrc is a token ledger: ICRC-1, 2, 3, 10, 21, 103, 106 and 152, with the interface of the Internet Computer's ledger suite.
//
// Ledger is the core. It holds no clock and calls nobody: methods take the time and the caller and return the result that the
// interface defines; an error means that the request has no such result and the call must trap. Canister is the thin shell around
// it for package cdk, and cmd/ledger the program that cdk/build compiles.
//
//	l, err := icrc.Create(mem, &icrc.InitArgs{…}, now)
//	res, err := l.Transfer(now, caller, &icrc.TransferArg{…})
//
// # State
//
// Everything is in stable memory, so an upgrade keeps it and there is no pre-upgrade step: the configuration, the supply and tip,
// the block log, balances, allowances, their expiries, and recent transactions for de-duplication. Balances and allowances are 256-bit
// numbers, for tokens of 8 decimals and of 18.
//
// # Blocks
//
// A block is a generic value of ICRC-3, stored as such; its hash is the representation-independent hash of that value and goes into
// the next block as phash. The hash and index of the last block are the certified data, so one certificate proves the whole log. There
// are no archives: the ledger keeps all blocks (about 250 bytes each), and the archive lists are empty.
//
// # Rules
//
// Transfers from the minting account mint, transfers to it burn; both are free, and a burn is at least the fee or everything. Fees go to the fee
// collector, else they are burned; fees of approvals are always burned. Transactions with a creation time are accepted for 24 hours
// and 60 seconds, and a second one with the same content is refused as a duplicate of the first. After every call
// the sum of the balances is the supply (CheckInvariants).
package icrc
