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
// the block log and where its archives are, balances, allowances, their expiries, and recent transactions for de-duplication. Balances and allowances are 256-bit
// numbers, for tokens of 8 decimals and of 18; amount_bits = 64 makes a token whose supply fits into 64 bits and that refuses more.
//
// # Blocks
//
// A block is a generic value of ICRC-3, stored as such; its hash is the representation-independent hash of that value and goes into
// the next block as phash. The hash and index of the last block are the certified data, so one certificate proves the whole log.
//
// get_stored_blocks is a method of ours, of ledgers and archives: blocks as they are stored, for canisters that follow the log, at a third of what icrc3_get_blocks
// costs both sides.
//
// # Archives
//
// With more than trigger_threshold blocks the ledger hands the oldest num_blocks_to_archive over to an archive (package archive), a canister that it
// makes itself and of which it is a controller. A block is forgotten here only when the archive has it; its room is used again. Every step of
// making an archive is stored before the next begins, and each hand-over starts by asking the archive what it has, so that traps, upgrades and lost
// answers between any two messages lose and double nothing. Hand-overs are messages of their own: their failures are tried again with longer and longer
// pauses, show in /metrics of http_request, and never stop transfers. A full archive gets a successor.
//
// The archive's module comes from the ledger's own chunk store. An installer creates the ledger's canister, puts the module into it by upload_chunk
// (chunks of at most 1 MiB), and names it in the archive options:
//
//	ArchiveOptions{…, Module: &ArchiveModule{Hash: SHA-256 of the module, Chunks: SHA-256 of each chunk}}
//
// or later, by an upgrade with ChangeArchiveOptions. Without a module the ledger keeps all blocks (about 250 bytes each), and the metric
// archives_enabled is 0. Archives that exist are upgraded by their controllers.
//
// # Rules
//
// Transfers from the minting account mint, transfers to it burn; both are free, and a burn is at least the fee or everything. Fees go to the fee
// collector, else they are burned; fees of approvals are always burned. Transactions with a creation time are accepted for 24 hours
// and 60 seconds, and a second one with the same content is refused as a duplicate of the first. Up to 3,000,000 are remembered; while
// there are more than half of that, 18 a second are accepted and others are TemporarilyUnavailable. After every call
// the sum of the balances is the supply (CheckInvariants). Anybody may list allowances (ICRC-103), unless the configuration's metadata have
// icrc103:public_allowances = "false": then only those who gave them.
package icrc
