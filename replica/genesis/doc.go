// Package genesis describes a network before its first block: who its replicas are, which keys it will hold and which
// chains it reads. Every replica starts from the same document; its hash names the network and is bound into state
// databases, sessions and signatures, so that nothing of one network can be replayed in another.
//
// The document is immutable. What changes later (members, canisters, epochs) lives in replicated state.
package genesis
