// Package idkg is threshold ECDSA and Schnorr with an honest majority: the scheme of Groth and Shoup ("Design and analysis of a distributed
// ECDSA signing service", https://eprint.iacr.org/2022/506; presignatures and key derivation: https://eprint.iacr.org/2021/1330), which the
// Internet Computer runs. It signs in one round from presignatures, always delivers with up to f of n faulty members, and proves who lied.
//
// Networks use it for the keys of which their genesis document says so (package replica/transcripts); the default is gg18 and frost. It has had no
// outside review.
//
// Everything here is a function of its input: no goroutine, socket, clock, or randomness but what Identity.Rand gives. Messages are bytes of
// bounded size with one encoding each; the caller moves them, and puts into blocks what all members must agree on.
//
// # Members and threshold
//
// A Roster is the n members of an epoch, of whom f = (n-1)/3 may be faulty; n is 1, or 4 and more. Each has a node key, which signs what
// it says, and a key for the epoch to which dealings are encrypted, with a proof of possession.
//
// f+1 members can sign, so f+1 who collude have the key: more than a third, the bound that also protects the subnet's state. Package
// gg18 needs 2f+1, and stops when one of the chosen signers is silent; here n-f members are enough for everything and nobody can stop them. f
// members learn nothing about the key and can neither bias it nor what is signed.
//
// # Dealings and transcripts
//
//	Sharing.Deal           one member's contribution: commitments to a polynomial, all receivers' shares encrypted, a proof, a signature
//	Sharing.VerifyDealing  what everybody can check
//	Sharing.Check          that, and the own encrypted share; then Roster.Support signs for any number of dealings at once
//	Tally                  counts supports: a dealing is certified by 2f+1, so f+1 honest members have good shares of it
//	Sharing.Select         which dealings make the transcript; a block names them
//	Sharing.Combine        the transcripts they make: every replica computes the same
//	Sharing.Load           the own shares of them
//
// A sharing is of one secret or of up to MaxCount at once, each with its own polynomial, proof and transcript. Encryption, signatures and supports
// are for all of them together, which is most of the work: at four members a presignature among 16 takes 4 ms of CPU time of each member, and one by itself
// 10 ms.
//
// Sharings are of five kinds. With G and H the two generators and t = f+1 coefficients:
//
//	Random           commitments a·G + b·H     the sum of f+1 dealings
//	RandomUnmasked   commitments a·G           the same
//	ReshareMasked    a·G, with a proof that a₀ is the dealer's share of a masked transcript     f+1 dealings, interpolated
//	ReshareUnmasked  a·G, where a₀·G is the public value of the dealer's share of an unmasked one; receivers may be others     the same
//	Product          a·G + b·H, with a proof that a₀ is the product of the dealer's two shares     2f+1 dealings, interpolated
//
// A key is Random, then ReshareMasked: nothing was visible of the secret while it could still be influenced. It moves to another epoch, of the same
// members or others, by ReshareUnmasked, and the public key stays; the old shares are not touched, and with new ones they add up to
// nothing. Resharing to the same members is how the shares of stolen machines are made worthless.
//
// # A bad share delays nobody
//
// A dealer may encrypt nonsense to f members and still be certified. A member whose share is bad publishes a Complaint, which opens its one box
// provably and so convicts the dealer before everybody; others answer with an Opening of their own share of that dealing, and f+1 of
// these give the victim its own. Nothing is dealt again. What is opened is the liar's own contribution, in a resharing its share of the key: it is
// one of the f, and members agree to leave it out. A false complaint convicts its maker, and no share is opened for it.
//
// # Encryption
//
// A dealing has one ephemeral key V = r·G for all receivers and secrets. Receiver i's share is hidden by a pad hashed from r·(key of i), the context and
// the seat. With V comes V' = r·B, for B a hash of the context and V, and a proof that both have one logarithm, over all of the ciphertext: a
// ciphertext is of its dealer, its commitment and its sharing, or of none. Receivers' keys are on secp256k1, whatever the curve of the key that is shared.
// They are erased when their epoch is over; then dealings that somebody kept stay closed for ever.
//
// # Presignatures and signatures
//
// ECDSA takes four transcripts, in two waves (PresignFirst, PresignSecond):
//
//	kappa         random, unmasked: R = kappa·G      kappa·lambda   product
//	lambda        random, masked                     key·lambda     product
//
// A request for message m with the derivation offset ε and the randomness of a later block has δ = hash(presignature, key, derived key, m, request,
// beacon), R' = R + δ·G and r = x(R'). Each member opens, with the masks, its shares of
//
//	numerator    m·lambda + r·(key·lambda + ε·lambda)
//	denominator  kappa·lambda + δ·lambda
//
// which anybody can check against the transcripts. f+1 of them give s = numerator/denominator, of which the lower of s and −s is taken (BIP 62); the
// result is verified with another library before it is returned. Schnorr takes kappa alone: shares are kappa + c·key, with the signs that BIP 340 and
// the offset that BIP 341 ask for.
//
// # Why a later beacon
//
// If R were known when m and the derivation path are chosen, the cube-root attack of 2021/1330 would forge in about 2^85 steps instead of 2^128. δ moves R
// to a place that nobody could foresee when the request, and the presignature for it, were ordered. Schnorr nonces are moved in the same way, since a
// nonce known ahead and open sessions side by side are the attack on plain two-round Schnorr; and it is why a RandomUnmasked nonce, which the last dealer can
// bias, does no harm.
//
// # Who lied
//
// Every message is signed by its node over all of its content. Verification returns a *chainkey.Misbehaviour only for a message that the node signed
// and no honest node would: whoever has the message and the public transcripts comes to the same result. Any other error convicts nobody.
//
// # Duties of the caller
//
//  1. A presignature serves one request. Replicated state binds it to the request before any share is made, and Bind, which Signing.Share calls first,
//     syncs (Presignature.Name, Signing.ID) to a disk that no restore of the state touches, and refuses a second signing. Two signatures from one
//     presignature, or from two that share a nonce or a blinding, are the key; so the name is that of the serial. After use, the member calls
//     Shares.Destroy and removes the stored shares.
//  2. Request.Beacon is the beacon of a block after the one that ordered the request.
//  3. After a restore or recovery all presignatures are destroyed. The key is reshared to a roster of a later epoch, or moved with its roster to another life
//     (Transcript.InLife), in which no name of before means anything.
//  4. A member supports one dealing per dealer and sharing, after Check, and syncs its support before it sends it. A serial serves once per key, kind and epoch.
//  5. A new key or epoch is in force only when all members have stored their shares and said so in blocks; old shares are wiped some blocks later, and
//     with them the epoch's decryption key.
//  6. The Roster comes from agreed state: who may choose members has the key.
//
// # Assumptions
//
// At most f members are faulty in any epoch, and agreement holds. Groth and Shoup argue for unforgeability of ECDSA with re-randomised presignatures and
// additive derivation in the generic group model; the proofs, the encryption and δ take hashes for random oracles; discrete logarithms and computational
// Diffie-Hellman are hard on secp256k1. The protocols are for static corruption. Timing: all that touches secrets is constant-time (package curve);
// whoever reads a replica's memory has its shares.
package idkg
