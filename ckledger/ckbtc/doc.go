// Package ckbtc is the ckBTC minter: a canister that holds bitcoin under the subnet's threshold key and issues ckBTC for it, one to one.
//
// It serves the interface of the Internet Computer's ckBTC minter (testdata/ckbtc_minter.did); TestServiceStandsInForPublishedInterface proves by
// Candid subtyping that clients of that interface understand this one. Canister registers it on package cdk, cmd/ckbtc is the program that
// cdk/build compiles, package core is the state machine beneath, which decides everything.
//
// # How it works
//
// Every change of state is an event in a log in stable memory, written first and applied to core.State; an upgrade replays the log. What is on the
// heap besides is forgotten without harm: the public key, the fee rate, which calls are under way.
//
// A timer (every second on regtest, every five elsewhere) runs the reconciler: it prepares payments that are due, lists the outside work that
// the state demands (core.Tasks) and starts what is not under way: mints, burns whose outcome is open, refunds, signatures, transactions to send. It looks
// for its own change outputs to learn what is final. update_balance and the withdrawals drive their own steps and answer with the outcome.
//
// # Differences from the original
//
//   - get_events shows only the events that the published interface knows. The log also holds intents: what is about to be asked of the
//     ledger or of the signers.
//   - A withdrawal whose amount does not cover the fees is refunded (schedule_deposit_reimbursement with CallFailed), not kept.
//   - All replacements of a transaction spend all of its inputs.
//   - Outputs are consolidated by payments (while very many are free, each payment also spends small ones), not by transactions of their own.
//   - On regtest a minter without a Bitcoin checker accepts every deposit and address. Elsewhere the checker is required.
//
// # For operators
//
// Stop the canister before an upgrade: calls that are open then lose their answers. Nothing is lost even without, because every
// open question is asked again. "Unknown outcome" lines in the log mean that the ledger gave no answer about one transfer for a day; the audit
// settles it from the ledger's blocks unless these are in archives. An "audit:" line that names a block means that ledger and log disagree.
package ckbtc
