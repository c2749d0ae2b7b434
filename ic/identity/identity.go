package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	k1ecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	voi "github.com/oasisprotocol/curve25519-voi/primitives/ed25519"

	"fusion/ic/principal"
)

// Identity signs requests. Implementations are safe for concurrent use.
type Identity interface {
	// Sender is the principal that the identity's key authenticates.
	Sender() principal.Principal
	// PublicKeyDER is the public key, or nil for the anonymous identity.
	PublicKeyDER() []byte
	// Sign signs msg, which starts with a domain separator. The anonymous identity returns nil.
	Sign(msg []byte) ([]byte, error)
}

// Anonymous is the identity of unsigned requests.
type Anonymous struct{}

// Sender implements Identity.
func (Anonymous) Sender() principal.Principal { return principal.Anonymous }

// PublicKeyDER implements Identity.
func (Anonymous) PublicKeyDER() []byte { return nil }

// Sign implements Identity.
func (Anonymous) Sign([]byte) ([]byte, error) { return nil, nil }

// Ed25519 is an identity with an Ed25519 key.
type Ed25519 struct {
	key    ed25519.PrivateKey
	der    []byte
	sender principal.Principal
}

// NewEd25519 makes an identity of a private key.
func NewEd25519(key ed25519.PrivateKey) *Ed25519 {
	der := EncodeEd25519(key.Public().(ed25519.PublicKey))
	return &Ed25519{key, der, principal.SelfAuthenticating(der)}
}

// GenerateEd25519 makes an identity with a fresh key.
func GenerateEd25519() (*Ed25519, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating an ed25519 key: %w", err)
	}
	return NewEd25519(key), nil
}

// Sender implements Identity.
func (id *Ed25519) Sender() principal.Principal { return id.sender }

// PublicKeyDER implements Identity.
func (id *Ed25519) PublicKeyDER() []byte { return id.der }

// Sign implements Identity.
func (id *Ed25519) Sign(msg []byte) ([]byte, error) { return SignEd25519(id.key, msg), nil }

// SignEd25519 is ed25519.Sign, 1.7 times as fast.
func SignEd25519(key ed25519.PrivateKey, msg []byte) []byte {
	return voi.Sign(voi.PrivateKey(key), msg)
}

// Secp256k1 is an identity with an ECDSA key on secp256k1.
type Secp256k1 struct {
	key    *secp256k1.PrivateKey
	der    []byte
	sender principal.Principal
}

// NewSecp256k1 makes an identity of a 32-byte private key.
func NewSecp256k1(key [32]byte) (*Secp256k1, error) {
	var d secp256k1.ModNScalar
	if d.SetBytes(&key) != 0 || d.IsZero() {
		return nil, fmt.Errorf("%w: not a scalar of secp256k1", ErrKey)
	}
	return newSecp256k1(secp256k1.NewPrivateKey(&d)), nil
}

func newSecp256k1(key *secp256k1.PrivateKey) *Secp256k1 {
	der := EncodeSecp256k1(key.PubKey())
	return &Secp256k1{key, der, principal.SelfAuthenticating(der)}
}

// GenerateSecp256k1 makes an identity with a fresh key.
func GenerateSecp256k1() (*Secp256k1, error) {
	key, err := secp256k1.GeneratePrivateKey()
	if err != nil {
		return nil, fmt.Errorf("generating a secp256k1 key: %w", err)
	}
	return newSecp256k1(key), nil
}

// Sender implements Identity.
func (id *Secp256k1) Sender() principal.Principal { return id.sender }

// PublicKeyDER implements Identity.
func (id *Secp256k1) PublicKeyDER() []byte { return id.der }

// Sign implements Identity.
func (id *Secp256k1) Sign(msg []byte) ([]byte, error) {
	hash := sha256.Sum256(msg)
	sig := k1ecdsa.Sign(id.key, hash[:])
	r, s := sig.R(), sig.S()
	out := make([]byte, SignatureSize)
	r.PutBytesUnchecked(out[:32])
	s.PutBytesUnchecked(out[32:])
	return out, nil
}

// P256 is an identity with an ECDSA key on P-256, as WebCrypto makes them.
type P256 struct {
	key    *ecdsa.PrivateKey
	der    []byte
	sender principal.Principal
}

// NewP256 makes an identity of a private key, which must be on P-256.
func NewP256(key *ecdsa.PrivateKey) (*P256, error) {
	if key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: a key on %s, not p-256", ErrKey, key.Curve.Params().Name)
	}
	der := EncodeP256(&key.PublicKey)
	return &P256{key, der, principal.SelfAuthenticating(der)}, nil
}

// GenerateP256 makes an identity with a fresh key.
func GenerateP256() (*P256, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating a p-256 key: %w", err)
	}
	return NewP256(key)
}

// Sender implements Identity.
func (id *P256) Sender() principal.Principal { return id.sender }

// PublicKeyDER implements Identity.
func (id *P256) PublicKeyDER() []byte { return id.der }

// Sign implements Identity.
func (id *P256) Sign(msg []byte) ([]byte, error) {
	hash := sha256.Sum256(msg)
	r, s, err := ecdsa.Sign(rand.Reader, id.key, hash[:])
	if err != nil {
		return nil, fmt.Errorf("signing with p-256: %w", err)
	}
	out := make([]byte, SignatureSize)
	r.FillBytes(out[:32])
	s.FillBytes(out[32:])
	return out, nil
}

// Errors returned by this package; test with errors.Is.
var (
	ErrKey         = errors.New("malformed key")
	ErrUnsupported = errors.New("unsupported key type")
	ErrSignature   = errors.New("signature does not verify")
)
