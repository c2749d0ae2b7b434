// Package certificate holds the certificates with which a subnet vouches for its state (interface specification, section
// "Certification"): a hash tree, a BLS signature of its root, and, for subnets other than the root, a delegation.
//
// [Parse] and [Certificate.Encode] convert to and from CBOR. A [Verifier] holds a root key and checks certificates against it:
// the signature, the delegation if there is one, and whether the certifying subnet may speak for what was asked ([Scope]). It
// remembers what it has verified, so that many certificates of one block cost one pairing (0.5–1.5 ms) together.
//
// [Verifier.VerifyCanisterSignature] checks the signatures of canisters, which are certificates too: of a tree in which the canister
// lists what it signed.
//
// Keys are BLS12-381 points in G2, 96 bytes compressed, wrapped in DER ([WrapKey], [UnwrapKey]); signatures are points in G1,
// 48 bytes; the ciphersuite is BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_.
//
// The package uses blst, which is native code: canisters cannot import it. It imports ic/cbor, ic/hashtree and ic/principal.
package certificate
