// Package kv is the seam between the deterministic state machines and the place where their state is kept.
//
// Everything replicated (canisters, pages, queues, coins, signature requests) is bytes under ordered keys. The machines see
// only Store; the replica gives them one block's batch over Pebble, tests give them Mem. A Store is used by one goroutine
// at a time; a Reader from a snapshot may be used by many.
//
// Each package owns the keys under one prefix of its own; see Prefix.
package kv
