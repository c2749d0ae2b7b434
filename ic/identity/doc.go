// Package identity holds the keys with which users sign requests, and the public keys that check them (interface
// specification, section "Signatures").
//
// [Anonymous], [Ed25519], [Secp256k1], [P256] and [WebAuthn] (an authenticator made of software) are identities: a sender, a
// DER-encoded public key, and a Sign function over the bytes that the caller has already put a domain separator in front of.
// Identities that sign for somebody else by delegation are in ic/envelope.
//
// [ParsePublicKey] reads the DER keys of all schemes of the specification:
//
//   - Ed25519. Signatures of 64 bytes are checked by the rules of ZIP 215, as on the Internet Computer: every replica comes to the
//     same verdict on every signature, also on those that only an attacker makes;
//   - ECDSA on secp256k1 and P-256 over the SHA-256 of the message, r ‖ s in 64 bytes, with a high or a low s: nothing here
//     identifies a request by its signature;
//   - COSE keys of web authentication (passkeys): P-256, Ed25519 and RSA. The signature is CBOR of what the authenticator and the
//     browser signed; its challenge must be the message;
//   - canisters' keys, [CanisterKey]. Their signatures are certificates of the subnet, which ic/certificate checks.
//
// Private keys are kept in PEM files: PKCS #8 for Ed25519, SEC 1 for the curves of ECDSA, which is what the tools of the Internet
// Computer read and write. They are created with mode 0600 and never overwritten.
//
// The package imports ic/cbor and ic/principal only.
package identity
