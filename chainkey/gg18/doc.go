// Package gg18 is threshold ECDSA over secp256k1 by Gennaro and Goldfeder (https://eprint.iacr.org/2019/114), as implemented by
// tss-lib v2.0.2, with what that version lacks in front of it.
//
// Key generation takes 3 rounds, a signature 9; each signature is computed from scratch, there is no pool. Key generation needs
// two RSA-like moduli per member, which take 10 to 90 seconds of CPU time to make: NewParams makes them ahead, LocalParams
// takes a set that ships with the program, for local networks only.
//
// # What stands in front of the library
//
// Every message passes a filter before the library sees it. The filter closes known gaps (the numbers are the library's
// pull requests, absent from v2.0.2) and all ways that we found for a message to panic inside one of the library's
// goroutines, where nothing can recover:
//
//   - the type must be the round's own; the library would accept any message type known to the process;
//   - numbers are canonical, of bounded size, and in the range an honest member can produce;
//   - polynomial commitments have exactly threshold+1 points (#291): a shorter one panics, a longer one moves the threshold;
//   - moduli have exactly 2048 bits, are odd (an even one panics in a Jacobi symbol), not prime, share no factor with any
//     other member's and none with the parameters of local networks; h1 and h2 are distinct units that are not trivial;
//   - range proofs contain no degenerate values: 0, 1, non-units (#289); a ciphertext that is no unit panics, and so does a
//     response that is a multiple of the group order;
//   - moduli without factors below 2^16 (BitForge, before any proof is looked at);
//   - modulus proofs: the witness has Jacobi symbol -1, not 0, and all roots are units (#323);
//   - points are on the curve, shares and proof responses are not zero.
//
// A panic in the goroutine of the caller is contained. The library starts goroutines of its own in key generation (proofs of discrete logarithms in
// round 1, of moduli, factors and shares in round 2, of Paillier keys in round 3) and in signing (multiplications, rounds 1 and 2): there a panic would
// end the process, so the filter is what has to make it impossible. What was found to panic there is refused: even or non-positive moduli in a
// Jacobi symbol, values without inverse, points off the curve or at infinity, responses that multiply the generator to infinity, short
// vectors, missing fields. FuzzFilter looks for more; docs/threat-model.md lists the attacks.
//
// # Session binding
//
// The library derives the label of all its proofs from the members' keys and a constant. We choose those keys: in key generation they
// are the share indices, which may be any distinct numbers, and are derived from the session id; in signing the library
// reads them, after construction, only for the label, so they are replaced by values derived from the session id before
// the first round. A proof of one session is therefore invalid in any other. (The range proof of round 1 alone has no label;
// the envelope binds it.)
//
// # Other measures
//
// Save data are deep-cloned for each signature, since the library changes them. Randomness is hedged: a stream keyed by entropy,
// session id and share, so that a weak or repeated source of entropy alone does not repeat a nonce. The proofs that the library
// lets one turn off are on. Results are verified with another implementation of ECDSA before they are returned.
//
// # Resharing
//
// Two rounds hand a key to the members of a new epoch. t+1 old members deal their shares by verifiable secret sharing, held against the old
// epoch's public shares; new members bring fresh moduli with the proofs of a key generation, every one bound to the session, and all that
// the filter asks of moduli holds again, those of the old epoch included (on a local network, whose parameters guard nothing, the shipped
// set is used again). The arithmetic of the shares is our own and the proofs are the library's. Its own ceremony is not used: it zeroes old
// shares before new ones are checked, cannot say which dealer changed the key, and binds its proofs to no session.
//
// # What remains
//
// The library computes with math/big and is not constant-time. A failed last round names no culprit, and the cheater may
// hold a valid signature: a request once made counts as signed.
package gg18
