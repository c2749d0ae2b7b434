// Package core is the ckBTC minter without its canister: an event-sourced state machine.
//
// State changes by Apply(Event) only. Whoever drives it writes each event to its log first and replays the log after an upgrade; the same
// log gives the same state. Nothing here waits, calls, or reads a clock. What has to be done outside follows from the state:
//
//   - Batch and Replace prepare transactions, Final recognises confirmed ones; they return events.
//   - Tasks lists calls to make: mints, burns and refunds at the ledger, signatures, transactions to send. A task may be run twice
//     (its caller may have died in between) without harm; it ends in an event.
//
// # Money
//
// Before the ledger is asked to move anything, an event fixes all arguments, including created_at_time, so that asking again cannot move it
// twice: the ledger answers Duplicate, which means success. When the ledger says that the stamp is too old, the outcome of an earlier attempt can no longer be
// learnt this way, and the deposit, burn or refund stops in a state of its own. Match and Resolve then settle it by the ledger's blocks, which name the
// stamp: it moved in that block, or, when all blocks have been read, it did not.
//
// Before a signature is asked, an event fixes the transaction. Once prepared, a transaction counts as signed for ever: its txid is tracked, its
// inputs are spent by this payment only, every replacement spends the same inputs, and the withdrawals it pays are paid by this payment
// or not at all. A withdrawal is refunded only while no transaction that was ever prepared for it can be mined: none was, or what they spend was spent otherwise
// by a payment that is settled.
//
// CheckInvariants states what must hold after every event: minted + refunded + owed ≤ custody + burned, no output in two
// payments, each withdrawal in exactly one place, every transaction tracked.
//
// Facts about the interface (fees, batching, selection, derivation) follow the ckBTC minter of the Internet Computer.
package core
