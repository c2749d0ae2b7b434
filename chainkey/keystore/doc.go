// Package keystore keeps a replica's key shares, secret parameters and join markers at rest.
//
// It lives in a directory of its own, outside the replicated state: restoring or wiping the state must neither bring back an
// old share nor forget which sessions were joined.
//
// # Sealing
//
// Every secret is sealed with age (https://age-encryption.org/v1) to the X25519 identity in a file that the operator names and
// that must not lie in the key store itself, so that a copy of the directory alone is worth nothing. Networks of class local may do
// without and then hold their shares in plain text; any other network refuses to open or to read an unsealed store. The
// name of an item is sealed with it: files cannot be exchanged.
//
// # Durability
//
// Items are written to a temporary file, synced, renamed, and the directory is synced, before Put returns. Join appends to a
// log and syncs it before it returns; after that the session is never joined again, whatever happens to the machine. The
// directory is 0700 and its files 0600; looser permissions are refused. One process at a time holds the store.
//
// # Generations
//
// A share belongs to a generation: key, epoch and attempt. Generations stand side by side, replicated state says which is in
// force, and the others are wiped by the driver long after. Wiping overwrites before it removes; on copy-on-write file systems and flash
// memory old blocks may survive, which is why the store is sealed.
package keystore
