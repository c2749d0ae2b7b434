package identity

import (
	"bytes"
	"fmt"

	"fusion/ic/principal"
)

// The Internet Computer's own key types: the arcs 1.3.6.1.4.1.56387.1.1 and .2 (interface specification, sections "Web
// Authentication" and "Canister signatures").
const (
	arcCOSE     = 1
	arcCanister = 2
)

// algorithmDfinity is the AlgorithmIdentifier of these keys without its last byte, which is the arc.
var algorithmDfinity = []byte{0x30, 0x0c, 0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xb8, 0x43, 0x01}

// unwrapDfinity reads a SubjectPublicKeyInfo of one of these types. kind is 0 for a structure of another type.
func unwrapDfinity(der []byte) (kind byte, key []byte, err error) {
	bad := func(what string) (byte, []byte, error) {
		return 0, nil, fmt.Errorf("%w: der of %d bytes: %s", ErrKey, len(der), what)
	}
	body, rest, ok := derItem(der, 0x30)
	if !ok {
		return 0, nil, nil
	}
	after, ok := bytes.CutPrefix(body, algorithmDfinity)
	if !ok || len(after) == 0 {
		return 0, nil, nil
	}
	if len(rest) > 0 {
		return bad("bytes after the key")
	}
	bits, rest, ok := derItem(after[1:], 0x03)
	switch {
	case !ok:
		return bad("no bit string")
	case len(rest) > 0:
		return bad("bytes after the bit string")
	case len(bits) == 0 || bits[0] != 0:
		return bad("a bit string that is not whole bytes")
	}
	return after[0], bits[1:], nil
}

// wrapDfinity is the inverse of unwrapDfinity.
func wrapDfinity(kind byte, key []byte) []byte {
	bits := appendDERHead(nil, 0x03, 1+len(key))
	n := len(algorithmDfinity) + 1 + len(bits) + 1 + len(key)
	out := appendDERHead(make([]byte, 0, n+4), 0x30, n)
	out = append(append(out, algorithmDfinity...), kind)
	return append(append(append(out, bits...), 0), key...)
}

// derItem reads one item of a type with a length of at most 64 KiB, in the one form that DER allows.
func derItem(b []byte, tag byte) (body, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != tag {
		return nil, nil, false
	}
	n, b := int(b[1]), b[2:]
	switch {
	case n == 0x81 && len(b) >= 1 && b[0] >= 0x80:
		n, b = int(b[0]), b[1:]
	case n == 0x82 && len(b) >= 2 && b[0] != 0:
		n, b = int(b[0])<<8|int(b[1]), b[2:]
	case n >= 0x80:
		return nil, nil, false
	}
	if n > len(b) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

func appendDERHead(dst []byte, tag byte, n int) []byte {
	switch {
	case n < 0x80:
		return append(dst, tag, byte(n))
	case n < 0x100:
		return append(dst, tag, 0x81, byte(n))
	}
	return append(dst, tag, 0x82, byte(n>>8), byte(n))
}

// maxSeed keeps an encoded canister key below what derItem reads.
const maxSeed = 0xff00

// CanisterKey is the public key of a canister, which signs by its certified data. Its signatures can be checked by whoever
// knows the root key: ic/certificate does it.
type CanisterKey struct {
	Canister principal.Principal
	Seed     []byte // the canister's choice; every seed is another key
}

// Verify returns ErrUnsupported: the signature is a certificate, and a key of this type says nothing about who certifies.
func (k *CanisterKey) Verify(_, _ []byte) error {
	return fmt.Errorf("%w: a signature of canister %s can be checked only with a root key", ErrUnsupported, k.Canister)
}

// DER returns the encoded key. It panics if the seed has more than 65,280 bytes.
func (k *CanisterKey) DER() []byte {
	if len(k.Seed) > maxSeed {
		panic(fmt.Sprintf("identity: a canister key with a seed of %d bytes", len(k.Seed)))
	}
	id := k.Canister.Bytes()
	return wrapDfinity(arcCanister, append(append([]byte{byte(len(id))}, id...), k.Seed...))
}

// IsCanisterKey reports whether a DER-encoded key has the form of a canister's, which costs nothing to find out.
func IsCanisterKey(der []byte) bool {
	kind, _, err := unwrapDfinity(der)
	return err == nil && kind == arcCanister
}

func parseCanisterKey(raw []byte) (*CanisterKey, error) {
	if len(raw) == 0 || len(raw) < 1+int(raw[0]) {
		return nil, fmt.Errorf("%w: a canister key of %d bytes ends inside the canister's id", ErrKey, len(raw))
	}
	id, err := principal.FromBytes(raw[1 : 1+int(raw[0])])
	if err != nil {
		return nil, fmt.Errorf("%w: canister key: %w", ErrKey, err)
	}
	return &CanisterKey{id, raw[1+int(raw[0]):]}, nil
}
