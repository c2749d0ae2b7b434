// Package derive computes child public keys the way the Internet Computer does: BIP32's public derivation with path elements
// of any bytes ("generalised BIP32", Groth and Shoup, https://eprint.iacr.org/2021/1330, appendix D), and its sibling for Ed25519.
//
// A chain key is a public key and a 32-byte chain code. Each canister owns the subtree below its principal's bytes: the key of
// path p of canister c is derived with Path(c, p...). Elements of exactly four bytes, read as a big-endian number below 2^31,
// give the same keys as plain BIP32, so wallets can follow.
//
// Derivation is additive: child = parent + tweak·G. Whoever holds (shares of) the parent secret signs for the child by adding
// the same tweak, which is why the functions return the sum of all tweaks along the path.
//
// Everything here is public data, so nothing is constant-time. The package is pure, depends on the standard library and
// dcrd's secp256k1 only, and builds for GOOS=wasip1 because canisters (the Bitcoin minter) derive addresses themselves.
package derive
