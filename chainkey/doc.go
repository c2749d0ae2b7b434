// Package chainkey holds what all threshold-key schemes share: the shape of a ceremony, its faults, and secrets that cannot be
// printed.
//
// A chain key is a key whose secret no machine holds. The members of a subnet make it, sign with it and one day hand it to
// other members in ceremonies. A ceremony is three layers, each of them a machine without goroutines, sockets or clocks:
//
//	Protocol         the mathematics of one scheme in rounds: messages of everybody in, own messages out (packages gg18, frost)
//	session.Session  makes the rounds safe among liars: signed and encrypted envelopes bound to one ceremony, echo broadcast
//	replica/signing  says which ceremonies exist, from replicated state, and moves the bytes
//
// # Thresholds
//
// A subnet has n members, of which f = (n-1)/3 may be faulty. Keys are shared with threshold t = 2f, so exactly 2f+1
// members sign: 3 of 4 or 5, 9 of 13. Whoever holds 2f shares knows nothing about the key. With n = 1 there is nothing to share
// and package solo holds a plain key; 2 or 3 members are refused, because f would be 0 and each of them would hold the key.
//
// # Schemes
//
// gg18 (tss-lib) computes each ECDSA signature from scratch, and frost, in two rounds, each signature of BIP 340 or Ed25519. Schemes with a pool of presignatures, or with robust sharing, implement
// the same Scheme interface; Presigns says whether a pool must be kept filled. derive computes child keys from public data
// alone; keystore keeps shares at rest.
//
// idkg is such a scheme, of robust sharings and presignatures, for ECDSA and Schnorr. It has no ceremonies: package replica/transcripts makes its keys and
// presignatures from dealings in blocks. f+1 of its members sign, not 2f+1.
//
// Two schemes are simpler than a ceremony, since their shares add up without a word between the holders: bls makes and uses the subnet's
// own key, vetkd derives secret keys for canisters' users.
//
// # Epochs
//
// Resharing hands a key to the members of a new epoch, who may be the same: the public key stays, the shares are others, and old ones are worth
// nothing beside them. gg18 and frost do it in a ceremony (Reshare), keys of package bls on a board. Nobody wipes the old epoch's share before
// replicated state says that all members of the new one hold theirs.
//
// # Duties of the caller
//
//  1. Persist "joined" (keystore.Join) before the first message of a session leaves, and never join one twice.
//  2. Give every ceremony its own session id; session.Context lists what it must bind.
//  3. Persist a new share before voting for it, and use it only when replicated state says that all members did.
//  4. Wipe a protocol after use, whatever its outcome.
package chainkey
