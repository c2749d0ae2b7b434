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
// get_custody lists the outputs that the minter holds and what it owes; made as an update call it is certified, which exchange/proof uses.
//
// # Differences from the original
//
//   - get_events shows only the events that the published interface knows. The log also holds intents: what is about to be asked of the
//     ledger or of the signers.
//   - A withdrawal whose amount does not cover the fees is refunded (schedule_deposit_reimbursement with CallFailed), not kept.
//   - All replacements of a transaction spend all of its inputs.
//   - A payment in no block by Limits.CancelAfter is cancelled by a transaction that spends the same inputs; ckBTC comes back, less its fee, once it is settled.
//   - Accounts also have a taproot address (schnorr_key_name); get_deposit_status and get_withdrawal_status tell more than the published queries.
//   - On regtest a minter without a Bitcoin checker accepts every deposit and address. Elsewhere the checker is required.
//
// # Reorganisations
//
// Outputs are watched until they have settled_after confirmations (144; 6 on regtest). Whenever the tip changes, the timer reads again what lies at their
// addresses, 50 accounts at a time. With nothing to watch it still asks now and then, so that it does not miss a halt. A minted deposit that is gone stops mints and withdrawals, across upgrades, until it is mined again or a controller
// calls resume after custody was restored. So does a reset of the Bitcoin canister, until resume, even one that fell between two questions: its answers carry an epoch; a final payment that is gone is sent again. After a halt even a settled payment may be gone, which the minter does not send
// again: while its transaction is in no block, resume refuses, unless the controller says that it can never be mined. With reward_multiple k, deposits with up to n confirmations are minted
// up to k times the rewards of n blocks, a larger one waits for more. While the Bitcoin canister rejects calls, nothing is minted or prepared. get_minter_info
// (health), /metrics and /dashboard show all of this.
//
// # Recovery of the subnet
//
// After a recovery of the subnet from a backup nothing is minted or paid until a controller calls resume, which refuses until the Bitcoin canister shows blocks of after
// the recovery. It asks for the transactions behind the outputs at the minter's own address that the log does not know: what they pay of withdrawals that wait is
// recorded as paid (core.State.Recall), and deposits of after the backup that they spent are minted again when update_balance asks and custody covers it (core.Orphan).
//
// # For operators
//
// Stop the canister before an upgrade: calls that are open then lose their answers. Nothing is lost even without, because every
// open question is asked again. "Unknown outcome" lines in the log mean that the ledger gave no answer about one transfer for a day; the audit
// settles it from the blocks of the ledger and its archives. An "audit:" line that names a block means that ledger and log disagree.
package ckbtc
