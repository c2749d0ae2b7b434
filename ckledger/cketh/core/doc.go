// Package core is the ckETH and ckERC20 minter without its canister: an event-sourced state machine.
//
// State changes by Apply(Event) only. Whoever drives it writes each event to its log first and replays the log after an upgrade; the same log gives the
// same state. Nothing here waits, calls, or reads a clock. What has to be done outside follows from the state:
//
//   - Range says which logs to read next; Read, Verify and Judge turn what was read into events.
//   - Create, Replace and PlanSweep prepare transactions.
//   - Tasks lists calls to make: receipts to read, mints, burns and refunds at ledgers, signatures, transactions to send. A task may be run twice
//     (its caller may have died in between) without harm; it ends in an event.
//
// # Money
//
// Before a ledger is asked to move anything, an event fixes all arguments, including created_at_time, so that asking again cannot move it twice: the ledger
// answers Duplicate, which means success. When the stamp is too old, the outcome can no longer be learnt this way; Match and Resolve then settle it by
// the ledger's blocks, which name the stamp.
//
// Before a signature is asked, an event fixes the transaction. Once prepared, it counts as signed for ever. All transactions of a withdrawal have one nonce, so
// that at most one of them can be mined, and it is final for the withdrawal: paid, or minted back. A withdrawal without transaction may be given up.
//
// A deposit is known by its log (transaction hash, index) and minted at most once. What an ERC-20 deposit is worth is the smaller of what the helper contract
// says and of what the token says moved. What a personal deposit address received is minted when a sweep has brought it, keyed by the sweep. Each nonce of such an
// address has one sweep for ever; after a recovery of the subnet from a backup LostNonce and RecallSweep tell of those that the log has forgotten.
//
// # Books
//
// For ether and each token the books have the supply, what is owed (burned, neither paid nor minted back) and what the chain must hold. CheckInvariants
// states after every event: supply + owed + to be minted ≤ custody; nonces without gap; every signed transaction tracked; each withdrawal in exactly one
// place, and refunded only if its nonce was used by something else than its payment, or by nothing.
//
// # When the chain is not what it was
//
// Halted stops mints, signatures and refunds until an operator's upgrade says resume: a final block changed, a nonce was used by a transaction
// that the minter never prepared, or a ledger burned more than was minted. Paused does so for one asset: the chain holds less of it than was issued.
package core
