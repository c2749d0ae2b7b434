package idkg

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"hash"
	"io"

	"fusion/chainkey/idkg/curve"
)

// domain starts every tag that is hashed.
const domain = "fusion/chainkey/idkg/v1/"

// hasher is SHA-512 over length-prefixed parts under a tag.
type hasher struct{ h hash.Hash }

func newHash(purpose string) hasher {
	h := hasher{sha512.New()}
	h.bytes([]byte(domain + purpose))
	return h
}

func (h hasher) number(v uint64) hasher {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], v)
	h.h.Write(b[:])
	return h
}

func (h hasher) bytes(b []byte) hasher {
	h.number(uint64(len(b)))
	h.h.Write(b)
	return h
}

func (h hasher) points(ps ...*curve.Point) hasher {
	h.number(uint64(len(ps)))
	for _, p := range ps {
		h.bytes(p.Bytes())
	}
	return h
}

func (h hasher) scalar(c curve.Curve) *curve.Scalar {
	var b [64]byte
	h.h.Sum(b[:0])
	defer clear(b[:])
	return c.Wide(&b)
}

// digest is the hash's first half.
func (h hasher) digest() [32]byte { return [32]byte(h.h.Sum(nil)[:32]) }

// stream yields secret scalars. Its key comes from fresh randomness, long-lived secrets and the context of use, so that neither a bad
// source of randomness nor a context used twice alone makes a secret known or used twice.
type stream struct {
	key []byte
	n   uint64
}

func newStream(random io.Reader, purpose string, context [32]byte, secrets ...[]byte) (*stream, error) {
	seed := make([]byte, 32)
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, fmt.Errorf("reading randomness: %w", err)
	}
	for _, s := range secrets {
		seed = append(binary.BigEndian.AppendUint64(seed, uint64(len(s))), s...)
	}
	defer clear(seed)
	key, err := hkdf.Key(sha512.New, seed, context[:], domain+purpose, 64)
	if err != nil {
		return nil, err
	}
	return &stream{key: key}, nil
}

func (s *stream) scalar(c curve.Curve) *curve.Scalar {
	h := hmac.New(sha512.New, s.key)
	var b [64]byte
	binary.BigEndian.PutUint64(b[:8], s.n)
	s.n++
	h.Write(b[:8])
	h.Sum(b[:0])
	defer clear(b[:])
	return c.Wide(&b)
}

func (s *stream) scalars(c curve.Curve, n int) []*curve.Scalar {
	out := make([]*curve.Scalar, n)
	for i := range out {
		out[i] = s.scalar(c)
	}
	return out
}

func (s *stream) wipe() { clear(s.key) }

func wipe(scalars ...*curve.Scalar) {
	for _, s := range scalars {
		s.Wipe()
	}
}
