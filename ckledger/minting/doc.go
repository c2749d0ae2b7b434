// Package minting holds what the state machines of minters have in common: ledger accounts, the stored form of events, and the CBOR of memos.
//
// It is pure. What minters ask of ledgers, and how they learn what became of it, is package minting/ledger.
package minting
