// Package vetkd derives keys that only their receiver learns, from a key that no machine holds: the mathematics of the Internet
// Computer's verifiably encrypted threshold keys on the curve bls12_381_g2 (interface specification, vetkd_derive_key; the protocol
// is of ia.cr/2023/616).
//
// A derived key (vetKey) is a BLS signature: for a canister, a context and an input it is one point of G1, always the same, and
// everybody can check it against a public key. What makes it a secret is how it is handed out: each holder of a share of the
// master key encrypts its part of the signature to the receiver's transport key, the parts are checked and added up while they are
// encrypted, and nobody but the receiver can open the sum.
//
//	DerivePublicKey      master key, canister, context → the public key that the canister's vetKeys verify under
//	NewRequest           the same with input and transport key: all that follows depends on, in 224 bytes
//	Request.Share        one holder's encrypted share
//	Request.VerifyShare  a share against the holder's public key, without opening it
//	Request.Combine      enough shares → the encrypted key, checked
//	Request.Verify       the encrypted key against the derived public key
//	TransportKey         the receiver's side: Public, Decrypt
//
// # Formulas
//
// With master key (x, X = x·g2) and H the hash to G1 of the ciphersuite BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_AUG_:
//
//	canister key  C = X + h(X, canister)·g2      h hashes to a scalar, domain ic-vetkd-bls12-381-g2-canister-id
//	derived key   D = C + h(C, context)·g2       domain ic-vetkd-bls12-381-g2-context; D = C for an empty context
//	vetKey        K = d·H(D ‖ input)             d is the discrete logarithm of D
//	share of i    (r·g1, r·g2, r·T + dᵢ·H(D ‖ input))    T is the transport key, dᵢ = xᵢ + D's offset from X
//	check         e(E1, g2) = e(g1, E2) and e(E3, g2) = e(T, E2)·e(H(D ‖ input), Dᵢ)
//
// Both checks are linear in the share, so they hold for a sum with D in place of Dᵢ. A share's r is a hash of the secret and the
// request: a holder that crashes says the same again, and needs no random numbers.
//
// # What it does not hide
//
// That a key was derived, by whom, for which context and input, is public. Whoever has the secret of the transport key and sees the
// encrypted key has the vetKey: a transport key is for one request. A canister that hands vetKeys out decides who gets
// them, so it has to authenticate its callers.
//
// Points are read strictly: compressed, in the subgroup of prime order, not the neutral element. Secrets are overwritten after use
// as far as the runtime allows. The package is pure: no goroutine, clock, socket, or random numbers of its own.
package vetkd
