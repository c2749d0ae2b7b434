package derive

import (
	"crypto/hmac"
	"crypto/sha512"
	"errors"
	"fmt"

	secp "github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// MaxPathLength is the number of path elements accepted, the limit of the Internet Computer's interface specification
// for derivation_path (255 blobs) plus one for the canister's own element.
const MaxPathLength = 256

var (
	// ErrPublicKey says that a public key is not a compressed point of its curve.
	ErrPublicKey = errors.New("invalid public key")
	// ErrPathTooLong says that a path has more than MaxPathLength elements.
	ErrPathTooLong = errors.New("derivation path too long")
)

// Path returns the full path of a canister's key: the bytes of the canister's principal, then the elements the caller chose.
func Path(canister []byte, path ...[]byte) [][]byte {
	return append(append(make([][]byte, 0, len(path)+1), canister), path...)
}

// Child is the result of a secp256k1 derivation.
type Child struct {
	PublicKey [33]byte // SEC1 compressed
	ChainCode [32]byte
	Tweak     [32]byte // big-endian sum of the tweaks along the path modulo the group order: child = parent + Tweak·G
}

// Secp256k1 derives the key at path below (public, chainCode). It serves ECDSA keys, and BIP340 keys, which the Internet
// Computer derives alike and reports with their parity. An empty path gives the parent back with a zero tweak.
func Secp256k1(public [33]byte, chainCode [32]byte, path [][]byte) (Child, error) {
	if len(path) > MaxPathLength {
		return Child{}, fmt.Errorf("%w: %d elements", ErrPathTooLong, len(path))
	}
	parsed, err := secp.ParsePubKey(public[:])
	if err != nil {
		return Child{}, fmt.Errorf("%w: %w", ErrPublicKey, err)
	}
	var point secp.JacobianPoint
	parsed.AsJacobian(&point)
	var sum secp.ModNScalar
	key := public
	for _, element := range path {
		var tweak secp.ModNScalar
		tweak, chainCode = secpStep(&point, key, chainCode, element)
		sum.Add(&tweak)
		key = compress(&point)
	}
	return Child{PublicKey: key, ChainCode: chainCode, Tweak: sum.Bytes()}, nil
}

// secpStep moves point one path element down. The two events for which BIP32 gives up (a tweak not below the group order, a
// child at infinity), each of probability below 2^-127, are retried on 0x01 ‖ right half, as SLIP-10 and the Internet Computer do.
func secpStep(point *secp.JacobianPoint, key [33]byte, chainCode [32]byte, element []byte) (secp.ModNScalar, [32]byte) {
	input := key
	for {
		mac := hmac.New(sha512.New, chainCode[:])
		mac.Write(input[:])
		mac.Write(element)
		digest := mac.Sum(nil)
		var tweak secp.ModNScalar
		if overflow := tweak.SetByteSlice(digest[:32]); !overflow {
			var offset, child secp.JacobianPoint
			secp.ScalarBaseMultNonConst(&tweak, &offset)
			secp.AddNonConst(point, &offset, &child)
			if !child.Z.IsZero() {
				child.ToAffine()
				*point = child
				return tweak, [32]byte(digest[32:])
			}
		}
		input[0] = 1
		copy(input[1:], digest[32:])
	}
}

func compress(affine *secp.JacobianPoint) [33]byte {
	return [33]byte(secp.NewPublicKey(&affine.X, &affine.Y).SerializeCompressed())
}
