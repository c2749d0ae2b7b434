// Package state keeps the replicated state of one replica on disk, a block at a time.
//
// DB is a Pebble database. Begin opens the one Block that may be pending; a Block is a kv.Store into which the machine
// writes everything that the block changes. Digest folds those changes into an accumulator over the whole key space, so that
// two replicas agree on the digest exactly when they hold the same keys and values, whatever order and batches they were
// written in. Commit makes the block durable with one synced write: after a crash the database is at a block's end, never
// within one. A large block whose writers said what was there before does not go through Pebble's log: it is written as sorted tables, which Pebble takes in all at once.
//
// The accumulator is LtHash (Bellare and Micciancio, "A New Paradigm for Collision-Free Hashing", 1997; parameters of
// Lewi et al., "Securing Update Propagation with Homomorphic Hashing", 2019): 1,024 lanes of 16 bits, each element expanded
// by BLAKE3, added on write and subtracted on overwrite. Digest looks up what the keys that were written held before; where the writer
// says it (kv.Informed), nothing is looked up, goroutines hash beside the writing, and what was written is indexed only when somebody reads within it.
//
// Import fills an empty database with another replica's state, key by key, and computes the accumulator itself.
//
// # Disks fail
//
// A database whose disk is full, does not sync, or gives back something else than was written, fails as a whole: Failed is told why and what to do, nothing
// more is committed, and what waits for Pebble is let go. Pebble itself would retry for ever, or end the program, and with it other replicas in it. What
// was committed is there when the database is opened again. A wrong byte is found by the checksums of Pebble's blocks when it is read; what those cannot
// see, tables that are missing after their list was damaged, is found by Check, which Open calls for small databases and the replica calls daily.
//
// The caller's duties: one goroutine owns Begin, the Block and Commit; Snapshot, Look, Reader and Check may be used by all. An I/O error
// while reading is a panic (see kv.Store): a replica that cannot read its state must stop.
package state
