package gg18

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"io"
	"math/big"
	"sync"
)

// hedged is a stream of random bytes from entropy, a session id and a secret. The library reads it from many goroutines.
type hedged struct {
	mu     sync.Mutex
	stream cipher.Stream
}

func newHedged(source io.Reader, session [32]byte, secret []byte) (*hedged, error) {
	seed := make([]byte, 32, 32+len(secret))
	if _, err := io.ReadFull(source, seed); err != nil {
		return nil, fmt.Errorf("reading entropy: %w", err)
	}
	key, err := hkdf.Key(sha256.New, append(seed, secret...), session[:], "fusion/gg18/randomness", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return &hedged{stream: cipher.NewCTR(block, make([]byte, aes.BlockSize))}, nil
}

// Read implements io.Reader and never fails.
func (h *hedged) Read(b []byte) (int, error) {
	clear(b)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stream.XORKeyStream(b, b)
	return len(b), nil
}

// wipe overwrites a number's words, spare capacity included.
func wipe(numbers ...*big.Int) {
	for _, x := range numbers {
		if x != nil {
			words := x.Bits()
			clear(words[:cap(words)])
			x.SetInt64(0)
		}
	}
}
