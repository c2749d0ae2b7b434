//go:build !wasip1

package sha256

import "crypto/sha256"

// Sum256 hashes b.
func Sum256(b []byte) [Size]byte { return sha256.Sum256(b) }
