// Package ledger is what minters ask of ICRC ledgers and how they learn what became of it.
//
// A minter writes all arguments of a transfer, with a created_at_time of its own, into its log before it asks. Asking again then cannot move anything twice: the
// ledger answers Duplicate, which means success. OutcomeOf says what one attempt tells; Schedule remembers which attempts are under way and when a failed
// one may be repeated.
package ledger
