// Package candid is the interface description language and message format of the Internet Computer, version 0.1.6 of its specification.
//
// # Go values
//
// Marshal and Unmarshal map Go types to Candid types:
//
//	bool, string                      bool, text
//	uint8 … uint64, int8 … int64      nat8 … nat64, int8 … int64
//	float32, float64                  float32, float64
//	Nat, Int                          nat, int
//	[]byte, [N]byte                   blob (the array only of exactly N bytes)
//	[]T, *T                           vec T, opt T
//	principal.Principal               principal
//	Null, Reserved, Empty             null, reserved, empty
//	struct                            record; fields are labelled by the tag `candid:"name"`, else by their Go name; a decimal
//	                                  tag is the field id itself, so `candid:"0"` and `candid:"1"` make a tuple; "-" omits
//	struct that embeds Variant        variant: every other field is a pointer, exactly one is not nil; Unit is the payload of an
//	                                  alternative without one, its field has type *Null
//	struct that embeds Func, Service  func, service; see Func, Signer and Typed
//	Custom and FromCandider           whatever the type says
//
// Plans are compiled once per Go type and kept. A *T at the top level is an opt: pass structs by value.
//
// # Dynamic values
//
// Decode, DecodeAs, Encode and Coerce work on a tree of Values where Go types are not known, as in a command line. ParseValues and
// FormatValues are its textual form. ParseDID reads interface files, Subtype and SubtypeStrict compare types.
//
// # Hostile input
//
// Decoding is bounded: every length is checked against what is left of the message before anything is allocated, nesting is at most 512, one
// number has at most 16 KiB, and the steps taken are at most 2^18 plus 16 for each byte of the message, so that values without bytes (a vec of 10^9 nulls
// is a 13-byte message) and types that expand exponentially end in ErrLimit. ErrMalformed and ErrLimit are final; an enclosing opt recovers only from ErrType, as the
// specification demands.
//
// The package imports nothing that a canister cannot afford: it is the same code in the replica, in tools and in wasm.
package candid
