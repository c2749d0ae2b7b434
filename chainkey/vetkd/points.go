package vetkd

import (
	"encoding/binary"
	"errors"
	"fmt"

	blst "github.com/supranational/blst/bindings/go"
)

// Sizes in bytes; points are compressed as in draft-irtf-cfrg-pairing-friendly-curves, appendix C.
const (
	PublicKeySize    = 96 // G2
	TransportKeySize = 48 // G1
	KeySize          = 48 // G1
	EncryptedKeySize = 48 + 96 + 48
	SecretSize       = 32
)

// The domains of the Internet Computer; clients use the same.
var (
	dstCanister = []byte("ic-vetkd-bls12-381-g2-canister-id")
	dstContext  = []byte("ic-vetkd-bls12-381-g2-context")
	dstMessage  = []byte("BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_AUG_")
	dstNonce    = []byte("fusion-vetkd-share-nonce")
)

// Errors. Each names what is wrong with the bytes at hand.
var (
	ErrPublicKey    = errors.New("invalid vetkd public key")
	ErrTransportKey = errors.New("invalid transport key")
	ErrSecret       = errors.New("invalid vetkd secret")
	ErrEncryptedKey = errors.New("invalid encrypted key")
	ErrShare        = errors.New("invalid share of an encrypted key")
	ErrTooFewShares = errors.New("too few shares of an encrypted key")
	ErrKey          = errors.New("invalid vetkey")
)

var errScalar = errors.New("the scalar is zero") // by chance once in 2^255

func readG1(b []byte) (*blst.P1Affine, bool) {
	if len(b) != KeySize {
		return nil, false
	}
	p := new(blst.P1Affine).Uncompress(b)
	return p, p != nil && p.SigValidate(true)
}

func readG2(b []byte) (*blst.P2Affine, bool) {
	if len(b) != PublicKeySize {
		return nil, false
	}
	p := new(blst.P2Affine).Uncompress(b)
	return p, p != nil && p.KeyValidate()
}

// hashToScalar hashes two strings, each behind its length, to a scalar (RFC 9380, hash_to_field with 48 bytes).
func hashToScalar(dst, a, b []byte) (*blst.Scalar, error) {
	msg := make([]byte, 0, 16+len(a)+len(b))
	for _, part := range [][]byte{a, b} {
		msg = append(binary.BigEndian.AppendUint64(msg, uint64(len(part))), part...)
	}
	s := blst.HashToScalar(msg, dst)
	clear(msg) // it may hold a secret
	if s == nil {
		return nil, errScalar
	}
	return s, nil
}

func readScalar(b []byte) (*blst.Scalar, error) {
	s := new(blst.Scalar).Deserialize(b)
	if s == nil || !s.Valid() {
		return nil, ErrSecret
	}
	return s, nil
}

func wipe(s *blst.Scalar) { *s = blst.Scalar{} }

var (
	g1Generator = blst.P1Generator().ToAffine()
	g2Generator = blst.P2Generator().ToAffine()
)

// mulG1 is s·p.
func mulG1(p *blst.P1Affine, s *blst.Scalar) *blst.P1 {
	out := new(blst.P1)
	out.FromAffine(p)
	return out.MultAssign(s)
}

// addG2 is p + s·g2.
func addG2(p *blst.P2Affine, s *blst.Scalar) *blst.P2Affine {
	out := blst.P2Generator().Mult(s)
	return out.AddAssign(p).ToAffine()
}

// derive returns the derived public key and its offset from the master key.
func derive(master *blst.P2Affine, canister, context []byte) (*blst.P2Affine, *blst.Scalar, error) {
	offset, err := hashToScalar(dstCanister, master.Compress(), canister)
	if err != nil {
		return nil, nil, err
	}
	key := addG2(master, offset)
	if len(context) > 0 {
		more, err := hashToScalar(dstContext, key.Compress(), context)
		if err != nil {
			return nil, nil, err
		}
		key = addG2(key, more)
		if _, ok := offset.AddAssign(more); !ok {
			return nil, nil, errScalar
		}
	}
	if !key.KeyValidate() { // the neutral element, by chance once in 2^255
		return nil, nil, fmt.Errorf("%w: it derives to the neutral element", ErrPublicKey)
	}
	return key, offset, nil
}

// DerivePublicKey returns the public key that the vetKeys of a canister in a context verify under. An empty context gives the canister's
// key, from which anybody can derive those of its contexts.
func DerivePublicKey(master, canister, context []byte) ([PublicKeySize]byte, error) {
	m, ok := readG2(master)
	if !ok {
		return [PublicKeySize]byte{}, fmt.Errorf("%w of %d bytes", ErrPublicKey, len(master))
	}
	key, _, err := derive(m, canister, context)
	if err != nil {
		return [PublicKeySize]byte{}, err
	}
	return [PublicKeySize]byte(key.Compress()), nil
}

// message is H(key ‖ input).
func message(key *blst.P2Affine, input []byte) *blst.P1Affine {
	return blst.HashToG1(input, dstMessage, key.Compress()).ToAffine()
}

// CheckTransportKey refuses what is not a transport public key.
func CheckTransportKey(b []byte) error {
	if _, ok := readG1(b); !ok {
		return fmt.Errorf("%w of %d bytes: want a point of G1, compressed", ErrTransportKey, len(b))
	}
	return nil
}

// encrypted is an encrypted key or a share of one.
type encrypted struct {
	c1 *blst.P1Affine
	c2 *blst.P2Affine
	c3 *blst.P1Affine
}

func (e *encrypted) bytes() (out [EncryptedKeySize]byte) {
	copy(out[:48], e.c1.Compress())
	copy(out[48:144], e.c2.Compress())
	copy(out[144:], e.c3.Compress())
	return out
}

func readEncrypted(b []byte) (*encrypted, bool) {
	if len(b) != EncryptedKeySize {
		return nil, false
	}
	c1, ok1 := readG1(b[:48])
	c2, ok2 := readG2(b[48:144])
	c3, ok3 := readG1(b[144:])
	return &encrypted{c1, c2, c3}, ok1 && ok2 && ok3
}

// valid says whether it encrypts, to a transport key, the signature over a message by the owner of a public key.
func (e *encrypted) valid(transport, message *blst.P1Affine, key *blst.P2Affine) bool {
	if !blst.Fp12FinalVerify(blst.Fp12MillerLoop(g2Generator, e.c1), blst.Fp12MillerLoop(e.c2, g1Generator)) {
		return false
	}
	right := blst.Fp12MillerLoop(e.c2, transport)
	right.MulAssign(blst.Fp12MillerLoop(key, message))
	return blst.Fp12FinalVerify(blst.Fp12MillerLoop(g2Generator, e.c3), right)
}
