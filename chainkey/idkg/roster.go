package idkg

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"fusion/chainkey"
	"fusion/chainkey/idkg/curve"
	"fusion/internal/redact"
)

// mega is the curve of receivers' keys, whatever the curve of what is shared.
const mega = curve.Secp256k1

// DecryptionKey opens what dealers encrypt to one member in one epoch.
type DecryptionKey struct {
	secret *curve.Scalar
	public *curve.Point
}

// Format shows the public half.
func (k *DecryptionKey) Format(f fmt.State, _ rune) {
	redact.Format(f, fmt.Sprintf("decryption key of %x", k.public.Bytes()))
}

// Wipe overwrites the key: dealings of the epoch stay closed from then on, whoever keeps them.
func (k *DecryptionKey) Wipe() { k.secret.Wipe() }

// Encode returns the key, for the key store.
func (k *DecryptionKey) Encode() chainkey.Secret {
	w := newWriter(wireDecryptionKey)
	w.scalar(k.secret)
	return w.b
}

// DecodeDecryptionKey reads what Encode returned.
func DecodeDecryptionKey(b chainkey.Secret) (*DecryptionKey, error) {
	r := newReader(b, wireDecryptionKey)
	s := r.scalar(mega)
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("decryption key: %w", err)
	}
	if s.IsZero() {
		return nil, fmt.Errorf("decryption key: %w: zero", ErrEncoding)
	}
	return &DecryptionKey{s, mega.Mul(s).Encoded()}, nil
}

// Member is one seat's public keys: the node's, which signs what it says, and the one that dealings are encrypted to, with a proof that
// the node has its secret. A member is for one epoch of one subnet.
type Member struct {
	Node       ed25519.PublicKey
	encryption *curve.Point
	possession *proof
}

func possessionContext(subnet [32]byte, epoch uint64, node ed25519.PublicKey) [32]byte {
	return newHash("receiver").bytes(subnet[:]).number(epoch).bytes(node).digest()
}

// NewMember draws a fresh decryption key for one epoch and proves possession of it.
func NewMember(subnet [32]byte, epoch uint64, node ed25519.PrivateKey, random io.Reader) (Member, *DecryptionKey, error) {
	public := node.Public().(ed25519.PublicKey)
	context := possessionContext(subnet, epoch, public)
	s, err := newStream(random, "receiver", context, node.Seed())
	if err != nil {
		return Member{}, nil, fmt.Errorf("making a decryption key: %w", err)
	}
	defer s.wipe()
	k := &DecryptionKey{secret: s.scalar(mega)}
	k.public = mega.Mul(k.secret).Encoded()
	return Member{public, k.public, possession(mega, k.public).prove("possession", context, s, k.secret)}, k, nil
}

// Member is what NewMember returned with the key, but for the randomness in the proof: for a node that stopped before it announced it.
func (k *DecryptionKey) Member(subnet [32]byte, epoch uint64, node ed25519.PrivateKey, random io.Reader) (Member, error) {
	public := node.Public().(ed25519.PublicKey)
	context := possessionContext(subnet, epoch, public)
	key := k.secret.Bytes()
	defer clear(key)
	s, err := newStream(random, "receiver again", context, node.Seed(), key)
	if err != nil {
		return Member{}, fmt.Errorf("announcing a decryption key: %w", err)
	}
	defer s.wipe()
	return Member{public, k.public, possession(mega, k.public).prove("possession", context, s, k.secret)}, nil
}

// EncryptionKey is the public key that dealings are encrypted to.
func (m Member) EncryptionKey() []byte { return m.encryption.Bytes() }

// Encode is for the block or registry entry in which a member announces its keys.
func (m Member) Encode() []byte {
	w := newWriter(wireMember)
	w.bytes(m.Node)
	w.point(m.encryption)
	w.proof(m.possession)
	return w.b
}

// DecodeMember reads what Encode returned; NewRoster verifies it.
func DecodeMember(b []byte) (Member, error) {
	r := newReader(b, wireMember)
	m := Member{Node: slices.Clone(r.take(ed25519.PublicKeySize)), encryption: r.point(mega), possession: r.proof(mega, 1)}
	if err := r.end(); err != nil {
		return Member{}, fmt.Errorf("member: %w", err)
	}
	return m, nil
}

// Verify checks the proof of possession.
func (m Member) Verify(subnet [32]byte, epoch uint64) error {
	if len(m.Node) != ed25519.PublicKeySize || m.encryption == nil ||
		!possession(mega, m.encryption).verify("possession", possessionContext(subnet, epoch, m.Node), m.possession) {
		return errors.New("no proof of possession of the encryption key")
	}
	return nil
}

// Roster is who holds shares in an epoch, by seat.
type Roster struct {
	subnet  [32]byte
	epoch   uint64
	members []Member
	digest  [32]byte
}

// NewRoster checks all members: a proof of possession each, and no key twice. Subnet is the hash of the genesis document. Epoch grows with
// every resharing, restore and recovery, and with it all contexts change.
func NewRoster(subnet [32]byte, epoch uint64, members []Member) (*Roster, error) {
	n := len(members)
	if _, err := chainkey.Threshold(n); err != nil || n > MaxMembers {
		return nil, fmt.Errorf("roster of %d members, at most %d: %w", n, MaxMembers, chainkey.ErrMembers)
	}
	r := &Roster{subnet: subnet, epoch: epoch, members: slices.Clone(members)}
	h := newHash("roster").bytes(subnet[:]).number(epoch).number(uint64(n))
	seen := map[string]bool{}
	for seat, m := range members {
		if err := m.Verify(subnet, epoch); err != nil {
			return nil, fmt.Errorf("roster, seat %d: %w", seat, err)
		}
		for _, k := range []string{string(m.Node), string(m.encryption.Bytes())} {
			if seen[k] {
				return nil, fmt.Errorf("roster: seat %d has a key of another seat", seat)
			}
			seen[k] = true
		}
		h.bytes(m.Encode())
	}
	r.digest = h.digest()
	return r, nil
}

// InLife returns the roster as it is in another life of its subnet, after a recovery: the members and their keys are the same, and all that is made for
// it is bound to that life, so nothing that they said in lost blocks counts. The subnet's own hash is its first life.
func (r *Roster) InLife(life [32]byte) *Roster {
	if life == r.subnet {
		return r
	}
	return &Roster{subnet: life, epoch: r.epoch, members: r.members, digest: newHash("roster in life").bytes(r.digest[:]).bytes(life[:]).digest()}
}

// N is the number of members.
func (r *Roster) N() int { return len(r.members) }

// F is how many of them may be faulty.
func (r *Roster) F() int { return (len(r.members) - 1) / 3 }

// Threshold is f+1: so many shares make a key, and fewer say nothing about it.
func (r *Roster) Threshold() int { return r.F() + 1 }

// SupportNeeded is 2f+1: so many members, of whom f+1 are honest, have checked their share of a dealing before it counts.
func (r *Roster) SupportNeeded() int { return 2*r.F() + 1 }

// Digest names the roster.
func (r *Roster) Digest() [32]byte { return r.digest }

// Identity is one member's own keys. Rand is hedged with the node's key and the context of each use.
type Identity struct {
	Seat int
	Node ed25519.PrivateKey
	Key  *DecryptionKey
	Rand io.Reader
}

// Format shows the seat.
func (i Identity) Format(f fmt.State, _ rune) {
	redact.Format(f, fmt.Sprintf("identity of seat %d", i.Seat))
}

// owns checks that an identity is of the roster.
func (r *Roster) owns(i Identity) error {
	if i.Seat < 0 || i.Seat >= len(r.members) || len(i.Node) != ed25519.PrivateKeySize || !r.members[i.Seat].Node.Equal(i.Node.Public()) {
		return fmt.Errorf("the identity is not that of seat %d of %d", i.Seat, len(r.members))
	}
	return nil
}

// ErrSignature says that a message is not signed by the node it names. It says nothing about that node.
var ErrSignature = errors.New("not signed by the node it names")

func signed(purpose string, body []byte) []byte {
	h := sha256.Sum256(body)
	return append([]byte(domain+"signature/"+purpose+"\x00"), h[:]...)
}

func sign(i Identity, purpose string, body []byte) [64]byte {
	return [64]byte(ed25519.Sign(i.Node, signed(purpose, body)))
}

// verify checks who said something.
func (r *Roster) verify(seat int, purpose string, body []byte, signature [64]byte) error {
	if seat < 0 || seat >= len(r.members) {
		return fmt.Errorf("%w: seat %d of %d", ErrSignature, seat, len(r.members))
	}
	if !ed25519.Verify(r.members[seat].Node, signed(purpose, body), signature[:]) {
		return fmt.Errorf("%w: seat %d", ErrSignature, seat)
	}
	return nil
}
