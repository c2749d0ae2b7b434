package outcalls

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"fusion/internal/codec"
)

// ErrItem is wrapped by every refusal of an item of a block.
var ErrItem = errors.New("invalid outcall item")

// Answer is what a request was answered: Reply, or a rejection if RejectCode is not zero.
type Answer struct {
	_             struct{} `cbor:",toarray"`
	Reply         []byte
	RejectCode    int // 1 to 6, the Internet Computer's codes
	RejectMessage string
}

// MaxMessage bounds the message of a rejection, in bytes.
const MaxMessage = 1024

// Rejection is an answer that rejects. Its message must be the same at every replica that met the same failure.
func Rejection(code int, format string, args ...any) Answer {
	m := fmt.Sprintf(format, args...)
	return Answer{RejectCode: code, RejectMessage: strings.ToValidUTF8(m[:min(len(m), MaxMessage)], "")}
}

// answerOverhead is what encoding and a rejection's message add to a reply.
const answerOverhead = MaxMessage + 32

// check says whether an answer may answer a request that allows so many bytes.
func (a *Answer) check(maxReply uint64) error {
	switch {
	case a.RejectCode < 0 || a.RejectCode > 6:
		return fmt.Errorf("reject code %d", a.RejectCode)
	case len(a.RejectMessage) > MaxMessage:
		return fmt.Errorf("a message of %d bytes, at most %d are allowed", len(a.RejectMessage), MaxMessage)
	case !utf8.ValidString(a.RejectMessage):
		return errors.New("a message that is not text")
	case a.RejectCode == 0 && a.RejectMessage != "" || a.RejectCode != 0 && len(a.Reply) > 0:
		return errors.New("a reply and a rejection in one")
	case uint64(len(a.Reply)) > maxReply:
		return fmt.Errorf("a reply of %d bytes, the request allows %d", len(a.Reply), maxReply)
	}
	return nil
}

// Share is a node's signature over the digest of its answer to a request.
type Share struct {
	_         struct{} `cbor:",toarray"`
	Node      uint32
	Digest    []byte // of the answer's bytes; empty within an outcome, which has the answer
	Signature []byte
}

// item is a block's proof of how a request ended. With an answer it is an outcome, without one a divergence.
type item struct {
	_      struct{} `cbor:",toarray"`
	ID     uint64
	Answer []byte  // an encoded Answer
	Shares []Share // of distinct nodes, ascending
}

// size is an upper bound of the item's encoding.
func (it *item) size() int { return len(it.Answer) + 128*len(it.Shares) + 64 }

// maxShares bounds an item's shares before they are looked at: more than any subnet has nodes.
const maxShares = 256

// maxItem is the largest item for a request that allows so many bytes.
func maxItem(maxReply uint64) int { return int(maxReply) + answerOverhead + maxShares*128 }

func decodeItem(body []byte) (*item, error) {
	if len(body) > maxItem(MaxReply) {
		return nil, fmt.Errorf("%w: %d bytes", ErrItem, len(body))
	}
	var it item
	if err := codec.Unmarshal(body, &it); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrItem, err)
	}
	if len(it.Shares) > maxShares {
		return nil, fmt.Errorf("%w: %d shares", ErrItem, len(it.Shares))
	}
	return &it, nil
}

// digest names an answer.
func digest(answer []byte) [32]byte { return sha256.Sum256(answer) }

// signedBytes is what a node signs: the domain, the network, the request's id and content, and the answer's digest.
func (c *Config) signedBytes(id uint64, request, answer []byte) []byte {
	h := sha256.New()
	h.Write(c.Life[:])
	h.Write(codec.Marshal([]any{id, request, answer}))
	return h.Sum([]byte("fusion/outcalls/share/v1\x00"))
}

func (c *Config) sign(key ed25519.PrivateKey, id uint64, request, answer []byte) []byte {
	return ed25519.Sign(key, c.signedBytes(id, request, answer))
}

func (m *Machine) authentic(node uint32, id uint64, request, answer, signature []byte) bool {
	key := m.roster().Key(int(node))
	return key != nil && len(answer) == sha256.Size && len(signature) == ed25519.SignatureSize &&
		ed25519.Verify(key, m.cfg.signedBytes(id, request, answer), signature)
}
