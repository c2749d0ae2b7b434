// Package codec is the deterministic CBOR in which fusion keeps its own structures: on disk, between replicas and in blocks.
//
// Encoding follows RFC 8949 section 4.2 (core deterministic encoding), so equal values give equal bytes on all replicas.
// Decoding is strict: no duplicate or unknown keys, no indefinite lengths, no tags, no trailing bytes, bounded nesting and
// counts. The Internet Computer's own envelopes are not read here but in ic/envelope, which follows other rules.
package codec

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// Limits of what is decoded. Byte strings need no bound of their own: their length is checked against the input's.
const (
	maxNesting  = 32
	maxElements = 1 << 20
)

var (
	enc = must(cbor.EncOptions{Sort: cbor.SortCoreDeterministic, ShortestFloat: cbor.ShortestFloat16, NaNConvert: cbor.NaNConvert7e00,
		InfConvert: cbor.InfConvertFloat16, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		NilContainers: cbor.NilContainerAsEmpty}.EncMode())
	dec = must(cbor.DecOptions{DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		MaxNestedLevels: maxNesting, MaxArrayElements: maxElements, MaxMapPairs: maxElements,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Marshal encodes v, a struct of ours. It panics when v cannot be encoded at all, which is a programming error.
func Marshal(v any) []byte {
	b, err := enc.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("codec: %T cannot be encoded: %v", v, err))
	}
	return b
}

// Unmarshal decodes the whole of b into v.
func Unmarshal(b []byte, v any) error {
	if err := dec.Unmarshal(b, v); err != nil {
		return fmt.Errorf("decoding %T: %w", v, err)
	}
	return nil
}
