package frost

import (
	"crypto/hkdf"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"io"

	"fusion/chainkey"
)

// hash is SHA-512 of length-prefixed parts under a purpose, an algorithm and a session.
func hash(a chainkey.Algorithm, purpose string, session [32]byte, parts ...[]byte) []byte {
	h := sha512.New()
	write := func(b []byte) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	write([]byte("fusion/chainkey/frost/v1/" + purpose))
	write([]byte(a))
	write(session[:])
	for _, p := range parts {
		write(p)
	}
	return h.Sum(nil)
}

func number(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// hedge derives secret scalars from fresh randomness, a long-lived secret and the session, so that neither a bad source of randomness nor
// a repeated session id alone makes a nonce known or used twice.
func hedge(g group, random io.Reader, session [32]byte, secret []byte, purpose string, count int) ([]scalar, error) {
	seed := make([]byte, 32, 32+len(secret))
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, fmt.Errorf("reading randomness: %w", err)
	}
	seed = append(seed, secret...)
	defer clear(seed)
	wide, err := hkdf.Key(sha512.New, seed, session[:], "fusion/chainkey/frost/v1/"+purpose, 64*count)
	if err != nil {
		return nil, err
	}
	defer clear(wide)
	out := make([]scalar, count)
	for i := range out {
		out[i] = g.wide(wide[64*i:])
	}
	return out, nil
}
