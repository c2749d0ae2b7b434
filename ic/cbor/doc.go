// Package cbor reads and writes the part of CBOR (RFC 8949) that the Internet Computer's interface uses: integers, byte and text
// strings, arrays, maps with text keys (with integer keys for COSE keys), and the self-describing tag 55799 (interface
// specification, section "CBOR encoding of requests and responses").
//
// It exists beside a general library for two reasons. Requests come from anybody, so a reader must never allocate by what a
// length field claims and must never recurse by what an attacker wrote: this one returns slices of its input and has a fixed
// nesting limit. And certificates and envelopes are read and written thousands of times a second: nothing here allocates,
// except for the caller's own strings and buffers.
//
// The reader accepts every well-formed encoding of a value (over-long heads, indefinite-length maps and arrays), as replicas of
// the Internet Computer do; it refuses indefinite-length strings, which no known client writes. The writer emits the
// preferred (shortest) form. Structures that only fusion reads are kept in internal/codec instead.
//
// The package imports nothing of ours.
package cbor
