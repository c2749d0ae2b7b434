// Package envelope holds the requests that users send to a subnet, and the responses to them, as they travel in CBOR
// (interface specification, section "HTTPS interface").
//
// A request is a [Content] in an [Envelope] that authenticates it. [Decode] reads one from untrusted bytes, with every count and
// length bounded and unknown fields refused (a request's id covers all its fields, so a field that is not understood cannot be
// ignored). [Content.RequestID] is the representation-independent hash by which the request is signed and found again.
// [Envelope.Verify] checks everything that can be checked without the state: the sender's key or chain of delegations, the
// signature, and the times. Its two halves are available separately, because a signature is true for ever and can be
// remembered, whereas time passes: [Envelope.VerifySignature] and [Envelope.CheckTimes].
//
// Signatures of canisters are certificates and need a root key: the caller passes a [CanisterVerifier].
//
// [Sign] and [Delegate] make envelopes and delegations, and [Delegated] is an identity that signs by a chain of them;
// [QueryResponse], [CallResponse], [ReadStateResponse] and [Status] are the responses.
//
// Decoded values alias the bytes that they were decoded from. The package imports ic/cbor, ic/identity and ic/principal.
package envelope
