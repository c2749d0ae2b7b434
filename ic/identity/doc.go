// Package identity holds the keys with which users sign requests, and the public keys that check them (interface
// specification, section "Signatures").
//
// [Anonymous], [Ed25519] and [Secp256k1] are identities: a sender, a DER-encoded public key, and a Sign function over the
// bytes that the caller has already put a domain separator in front of. [ParsePublicKey] reads the DER keys of these schemes
// and of ECDSA on P-256, which browsers' WebCrypto makes. Signatures are 64 bytes: those of RFC 8032, or r ‖ s of ECDSA over
// the SHA-256 of the message. An ECDSA signature is accepted with a high or a low s: nothing here identifies a request by
// its signature.
//
// Private keys are kept in PEM files: PKCS #8 for Ed25519, SEC 1 for secp256k1, which is what the tools of the Internet
// Computer read and write. They are created with mode 0600 and never overwritten.
//
// The package imports ic/principal only.
package identity
