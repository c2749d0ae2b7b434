package signing

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"

	"fusion/chainkey/session"
	"fusion/internal/codec"
	"fusion/internal/kv"
	"fusion/replica/payload"
)

// ErrItem is wrapped by every refusal of an item of a block.
var ErrItem = errors.New("invalid item")

// maxItemBytes bounds an item: the vote for a key of 40 nodes has less than 3 kB.
const maxItemBytes = 4096

// Incarnation announces a boot of a node.
type Incarnation struct {
	_         struct{} `cbor:",toarray"`
	Node      uint32
	Number    uint64 // one more than the newest known
	Nonce     []byte // 16 random bytes, drawn at boot
	Protocol  uint64 // the newest version of the protocol that the node's program knows
	Signature []byte
}

// KeyVote says that a node holds its share of a key durably. Without a public key it says only that the node is ready to receive one: it
// has the secret parameters that the resharing to this epoch needs.
type KeyVote struct {
	_          struct{} `cbor:",toarray"`
	Key        string   // chainkey.KeyID
	Epoch      uint64
	Attempt    uint32
	Node       uint32
	Public     []byte
	Transcript []byte   // 32 bytes: hash of everything that was said in the ceremony
	Shares     [][]byte // the public shares of all members
	Signature  []byte
}

// Complaint says that an attempt failed for a node, and whom it blames. Exactly one of Key and Request is set.
type Complaint struct {
	_         struct{} `cbor:",toarray"`
	Key       string   // chainkey.KeyID, for a key generation or resharing
	Epoch     uint64   // of the key that is made, or zero
	Request   uint64   // for a signature
	Attempt   uint32
	Node      uint32
	Reason    session.Reason
	Accused   []uint32 // node indices, ascending; may be empty
	Evidence  []byte   // session.Evidence against the one accused, for Equivocation only
	Signature []byte
}

// Result is a finished signature. It proves itself.
type Result struct {
	_         struct{} `cbor:",toarray"`
	Request   uint64
	Signature []byte // 64 bytes
}

// signedBytes is what a node signs for an item: a domain, the life of the network, and the item without its signature.
func (c *Config) signedBytes(domain string, item any) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "fusion/signing/%s\x00", domain)
	h.Write(c.Life[:])
	h.Write(codec.Marshal(item))
	return h.Sum([]byte("fusion/signing\x00"))
}

func (c *Config) sign(key ed25519.PrivateKey, domain string, item any) []byte {
	return ed25519.Sign(key, c.signedBytes(domain, item))
}

// authentic checks the signature of an item whose Signature field was emptied.
func (m *Machine) authentic(r kv.Reader, node uint32, domain string, item any, signature []byte) error {
	key, ok := m.nodeKey(r, int(node))
	if !ok || m.node(r, int(node)).Left {
		return fmt.Errorf("%w: %s by node %d, which is not known or has left", ErrItem, domain, node)
	}
	if len(signature) != ed25519.SignatureSize || !ed25519.Verify(key, m.cfg.signedBytes(domain, item), signature) {
		return fmt.Errorf("%w: %s is not signed by node %d", ErrItem, domain, node)
	}
	return nil
}

func decodeItem[T any](body []byte) (*T, error) {
	if len(body) > maxItemBytes {
		return nil, fmt.Errorf("%w: %d bytes", ErrItem, len(body))
	}
	var v T
	if err := codec.Unmarshal(body, &v); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrItem, err)
	}
	return &v, nil
}

func item(kind payload.Kind, v any) payload.Item {
	return payload.Item{Kind: kind, Body: codec.Marshal(v)}
}
