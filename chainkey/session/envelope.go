package session

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"fusion/internal/codec"
)

// ErrEnvelope is wrapped by every refusal of bytes that are not an envelope of this session.
var ErrEnvelope = errors.New("invalid envelope")

const (
	kindMessage uint8 = 1 + iota // a member's word in a round
	kindEcho                     // the digests of all words of a round, as their receiver saw them
	kindAbort                    // the sender cannot go on
	kindStatus                   // whom the sender waits for
)

// MaxEnvelope bounds an envelope of any session: a protocol message of key generation takes up to 200 KiB.
const MaxEnvelope = 1 << 20

// maxReason bounds the text of an abort, in bytes.
const maxReason = 200

// envelope is what travels. Fields that a kind does not use are empty.
type envelope struct {
	_         struct{} `cbor:",toarray"`
	Session   []byte   // 32 bytes
	Kind      uint8
	From      uint32 // seat
	Round     uint32
	Broadcast []byte   // message: to all members
	Private   []byte   // message: ciphertext to the receiver
	Digests   [][]byte // message: hash of the ciphertext for each seat; echo: digest of each seat's message
	Proofs    [][]byte // echo: each seat's signature of its digest
	Seats     []uint32 // abort: the accused; status: those waited for
	Reason    string   // abort
	Signature []byte   // Ed25519 by the sender's node key
}

// Peek returns the session an envelope claims to belong to, for routing. Nothing is verified.
func Peek(b []byte) (ID, error) {
	e, err := decode(b)
	if err != nil {
		return ID{}, err
	}
	return ID(e.Session), nil
}

func decode(b []byte) (*envelope, error) {
	if len(b) > MaxEnvelope {
		return nil, fmt.Errorf("%w: %d bytes", ErrEnvelope, len(b))
	}
	var e envelope
	if err := codec.Unmarshal(b, &e); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	if len(e.Session) != 32 || len(e.Signature) != ed25519.SignatureSize || len(e.Reason) > maxReason {
		return nil, fmt.Errorf("%w: a field has the wrong size", ErrEnvelope)
	}
	return &e, nil
}

// digest is the hash of what an envelope says. For a message it is what echoes repeat, and it does not depend on the receiver.
func (e *envelope) digest() [32]byte {
	h := newHash("content")
	h.bytes(e.Broadcast)
	h.list(e.Digests)
	h.list(e.Proofs)
	h.number(uint64(len(e.Seats)))
	for _, s := range e.Seats {
		h.number(uint64(s))
	}
	h.bytes([]byte(e.Reason))
	return h.sum()
}

func (h hasher) list(items [][]byte) {
	h.number(uint64(len(items)))
	for _, b := range items {
		h.bytes(b)
	}
}

// signable is what a node key signs. It names session, round, seat and kind beside the digest, so that a digest and its
// signature can be judged by somebody who never saw the content, and it fits no other use of a node key.
func signable(session []byte, kind uint8, round, seat uint32, digest []byte) []byte {
	h := newHash("signature")
	h.bytes(session)
	h.number(uint64(kind))
	h.number(uint64(round))
	h.number(uint64(seat))
	h.bytes(digest)
	sum := h.sum()
	return append([]byte("fusion/chainkey/session\x00"), sum[:]...)
}

func (e *envelope) verify(key ed25519.PublicKey) (digest [32]byte, ok bool) {
	digest = e.digest()
	return digest, ed25519.Verify(key, signable(e.Session, e.Kind, e.Round, e.From, digest[:]), e.Signature)
}

func privateHash(ciphertext []byte) []byte {
	h := newHash("private")
	h.bytes(ciphertext)
	sum := h.sum()
	return sum[:]
}

// Evidence is portable proof that a member signed two different words for one round of one session.
type Evidence struct {
	_          struct{} `cbor:",toarray"`
	Session    []byte
	Round      uint32
	Seat       uint32
	Digests    [][]byte // two
	Signatures [][]byte // their signatures by the accused
}

// maxEvidence bounds encoded evidence, in bytes.
const maxEvidence = 512

// VerifyEvidence reports whether b proves that the owner of key, in the given seat, equivocated in the session.
func VerifyEvidence(b []byte, id ID, seat int, key ed25519.PublicKey) error {
	if len(b) > maxEvidence {
		return fmt.Errorf("%w: evidence of %d bytes", ErrEnvelope, len(b))
	}
	var v Evidence
	if err := codec.Unmarshal(b, &v); err != nil {
		return fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	if string(v.Session) != string(id[:]) || v.Seat != uint32(seat) {
		return fmt.Errorf("%w: evidence about another session or seat", ErrEnvelope)
	}
	if len(v.Digests) != 2 || len(v.Signatures) != 2 || string(v.Digests[0]) == string(v.Digests[1]) {
		return fmt.Errorf("%w: evidence without two different digests", ErrEnvelope)
	}
	for i, d := range v.Digests {
		if len(d) != 32 || len(v.Signatures[i]) != ed25519.SignatureSize ||
			!ed25519.Verify(key, signable(v.Session, kindMessage, v.Round, v.Seat, d), v.Signatures[i]) {
			return fmt.Errorf("%w: a digest is not signed by the accused", ErrEnvelope)
		}
	}
	return nil
}
