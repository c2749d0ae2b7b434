// Package session carries a chainkey.Protocol between members some of whom lie.
//
// A Session is one member's side of one ceremony: Step(event) → effects, nothing else. The caller moves bytes, calls Tick from
// time to time, and gives the ceremony up when replicated state says so.
//
// # What it adds to a protocol
//
//   - Binding: every signature covers the session id, the hash of everything that names the ceremony (Context). A message of
//     another ceremony, attempt, committee, epoch or boot of a machine does not verify.
//   - Authentication: each member signs, once per round, a digest of what it says to everybody and of each ciphertext it sends
//     to one member. So private messages are attributable, and two digests for one round are portable proof of equivocation.
//   - Secrecy: private messages are sealed with AES-256-GCM under a key from the X25519 agreement of two ephemeral keys, which
//     are made for this session, announced (signed) in round 0 and forgotten at its end.
//   - Echo broadcast: a round reaches the protocol only after all other members have sent, signed, the same set of digests.
//     The echo carries the signatures of the digests, so whoever said different things to different members is convicted by
//     the first echo that differs; an echo whose inner signature is wrong convicts the member that sent it.
//   - Bounds: one message per member and round, sizes as the protocol allows, at most one round ahead.
//   - Containment: a panic in the protocol ends the session, not the program.
//   - Loss: Tick tells those that keep this member waiting, and they repeat the very bytes they sent. Nothing is computed twice.
//
// # Rounds
//
// Round 0 announces the ephemeral keys; rounds 1 to Protocol.Rounds() are the protocol's. Every round takes two hops: messages,
// then echoes.
//
// # Whom to blame
//
// A Fault names seats only where this member saw it itself: a bad message, an undecryptable ciphertext, two digests, or (when
// the caller gives up: Session.Blame) silence. A member that is waited for but says, in a signed status of the last seconds, that it is itself
// waiting for somebody else, in a round in which that explains what is missing, is not called silent; so an honest member behind a
// silent one is not blamed, and a liar has no lasting excuse. The files in testdata tell, for each fault, whom the others blame and who signs next.
package session
