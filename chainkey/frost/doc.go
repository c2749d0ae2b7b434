// Package frost makes Schnorr signatures with threshold keys: BIP 340 on secp256k1, with the output keys of BIP 341, and Ed25519.
//
// The scheme is FROST of Komlo and Goldberg (RFC 9591 describes its signing), with its key generation by verifiable secret sharing. Both
// are chainkey.Protocols: rounds of messages without I/O; package session makes them safe among liars.
//
// # Key generation, two rounds
//
//	1  to all   a hash of what round 2 reveals, so that nobody chooses his part after seeing the others'
//	2  to all   commitments to a polynomial of degree t, and a proof of knowledge of its constant term, bound to session and seat
//	   to each  the polynomial's value at the receiver's place
//
// A commitment, proof or value that does not fit names its sender. The key is the sum of the constant terms; a member's share is the
// sum of the values it received, and every member's public share follows from the commitments.
//
// # Resharing, one round
//
//	to all   each of t+1 old members: commitments to a polynomial whose constant term is its share times its Lagrange coefficient
//	to each  the polynomial's value at a new member's place
//
// The constant terms are held against the old epoch's public shares, so the key cannot change and whoever deals something else is named.
// The new shares lie on another polynomial: with old ones they add up to nothing.
//
// # Signing, two rounds, with exactly t+1 members
//
//	1  to all   two nonce points (D, E)
//	2  to all   z = d + e·ρ + λ·c·share, with ρ binding the nonces of all to the message, the key and the session
//
// Each z is checked against its sender's nonces and public share, so a wrong one names its sender. The sum, moved by the tweak of the
// derivation path, is verified under the derived key before anybody sees it.
//
// # Nonces
//
// A nonce that signs twice gives the share away. Nonces are derived from fresh randomness, the share and the session id, live in memory only, are
// used by the one call of Deliver that ends round 1, and are wiped by it. They never reach a disk: after a crash they are gone, and the key store's join
// marker, which is written before round 1 leaves, keeps the restarted member out of the session. So a copy or a replay of a machine has no
// way to answer the same nonces with a second message.
//
// # Arithmetic
//
// Scalars are constant-time on both curves. Points of Ed25519 are too (curve25519-voi); secp256k1's (dcrd) are not, so secret scalars are
// multiplied blinded: k·P = (k−b)·P + b·P with a fresh random b. What remains is said in docs/threat-model.md.
package frost
