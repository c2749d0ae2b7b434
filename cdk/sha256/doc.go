// Package sha256 hashes short messages in canisters: SHA-256 of FIPS 180-4, natively the standard library's.
//
// In wasm the function is written by package cdk/link in wasm's own 32-bit instructions. Go compiles 32-bit arithmetic to
// 64-bit instructions on wasm, which makes the standard library several times slower and dearer there; a ledger spends most of a
// transfer in this function.
package sha256

// Size is the length of a hash.
const Size = 32
