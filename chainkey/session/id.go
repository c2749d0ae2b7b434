package session

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
)

// ID names one ceremony among all that ever were on all networks.
type ID [32]byte

func (id ID) String() string { return hex.EncodeToString(id[:8]) }

// Kind is what a ceremony is for.
type Kind uint8

// The kinds of ceremonies.
const (
	KeyGeneration Kind = 1 + iota
	Signature
	Resharing
)

func (k Kind) String() string {
	switch k {
	case KeyGeneration:
		return "key generation"
	case Signature:
		return "signature"
	case Resharing:
		return "resharing"
	}
	return "unknown ceremony"
}

// Seat is one member of a committee.
type Seat struct {
	Node        uint32   // index in the genesis document
	Incarnation [16]byte // random per boot, ordered in a block: a restarted or cloned machine is in another session
}

// Context is everything that a session id binds.
type Context struct {
	Genesis   [32]byte // hash of the genesis document
	Key       string
	Scheme    string
	Kind      Kind
	Request   uint64 // zero for key generation
	Attempt   uint32
	Epoch     uint64
	Committee []Seat
	Message   [32]byte // hash to sign
	Path      [][]byte // derivation path, the canister's element included
}

// ID hashes the context. Every part is length-prefixed, so no two contexts share an encoding.
func (c Context) ID() ID {
	h := newHash("id")
	h.bytes(c.Genesis[:])
	h.bytes([]byte(c.Key))
	h.bytes([]byte(c.Scheme))
	h.number(uint64(c.Kind))
	h.number(c.Request)
	h.number(uint64(c.Attempt))
	h.number(c.Epoch)
	h.number(uint64(len(c.Committee)))
	for _, s := range c.Committee {
		h.number(uint64(s.Node))
		h.bytes(s.Incarnation[:])
	}
	h.bytes(c.Message[:])
	h.number(uint64(len(c.Path)))
	for _, e := range c.Path {
		h.bytes(e)
	}
	return ID(h.sum())
}

// hasher hashes length-prefixed parts under a domain tag.
type hasher struct{ h hash.Hash }

func newHash(domain string) hasher {
	h := hasher{sha256.New()}
	h.bytes([]byte("fusion/chainkey/session/v1/" + domain))
	return h
}

func (h hasher) number(v uint64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], v)
	h.h.Write(b[:])
}

func (h hasher) bytes(b []byte) {
	h.number(uint64(len(b)))
	h.h.Write(b)
}

func (h hasher) sum() [32]byte { return [32]byte(h.h.Sum(nil)) }
