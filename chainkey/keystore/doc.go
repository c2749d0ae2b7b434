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
// # Commands
//
// Instead of naming a file, an operator may name a program that keeps the key: systemd-creds, a TPM, a KMS. The store then makes an age identity of
// its own, has the program seal it, and keeps the answer in identity.sealed; from then on each start has it unsealed once. The program is run with one more
// argument, the verb:
//
//	seal     standard input: the identity; standard output: a blob of at most 64 KiB that hides it
//	unseal   standard input: a blob; standard output: the identity that it was made of
//
// Exit code 0 is success. It has a minute, is killed with its children after that, and gets nothing secret by arguments or environment. A new identity is used
// only after it was sealed, unsealed and compared. The program must be named by an absolute path and not be writable for group or others.
//
// # Backups
//
// Backup encrypts the shares, and nothing else, to an age recipient; it may run beside the replica (Options.ReadOnly). Restore needs the store for itself, takes
// backups of the same node and network only, and refuses to set a key back to an older share. Nonces, sessions and join markers are in no backup: sessions contain the boot's
// incarnation, which is drawn anew at each start, so a restored replica is a member of no session of before.
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
