package rosetta

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/coinbase/rosetta-sdk-go/types"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"fusion/ic/agent"
	"fusion/ic/envelope"
	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/internal/codec"
)

const (
	// step is the time between the expiries of a transaction's calls: shorter than what replicas accept by enough for clocks and consensus.
	step = 4 * time.Minute
	// maxSpan is how long one transaction can be submitted: as long as ledgers remember it (ckledger/icrc.Window).
	maxSpan = 24 * time.Hour
	// maxCalls bounds the calls of a transaction.
	maxCalls = int(maxSpan / step)
	// maxTransaction bounds a transaction in bytes: its signatures and room for keys and the argument.
	maxTransaction = maxCalls*(2*identity.SignatureSize+9) + 8<<10
	// maxKeySize is more than the longest key of the three curves.
	maxKeySize = 100
)

// transaction is what /construction passes around, in hexadecimal: one call of the ledger that may be made with several expiries, and the
// signatures of these calls and of the reads of their status.
type transaction struct {
	Version    uint     `cbor:"v"`
	Ledger     []byte   `cbor:"l"`
	Sender     []byte   `cbor:"s"`
	Method     string   `cbor:"m"`
	Arg        []byte   `cbor:"a"`
	Expiries   []uint64 `cbor:"e"` // ns since 1970, ascending
	Key        []byte   `cbor:"k"` // DER; empty while it is not signed
	Signatures []byte   `cbor:"g"` // of the call and of the read for each expiry, in order
}

func (t *transaction) encode() string { return hex.EncodeToString(codec.Marshal(t)) }

func (t *transaction) signed() bool { return len(t.Key) > 0 }

// decode reads a transaction of the ledger, and what it is meant to do. A signed one has signatures that verify.
func (l *ledger) decode(text string) (*transaction, *intent, error) {
	fail := func(format string, args ...any) (*transaction, *intent, error) {
		return nil, nil, fmt.Errorf("%w: %w", ErrTransaction, fmt.Errorf(format, args...))
	}
	if len(text) > 2*maxTransaction {
		return fail("%d digits, at most %d", len(text), 2*maxTransaction)
	}
	b, err := hex.DecodeString(text)
	if err != nil {
		return fail("not hexadecimal")
	}
	t := &transaction{}
	if err := codec.Unmarshal(b, t); err != nil {
		return fail("%w", err)
	}
	sender, err := principal.FromBytes(t.Sender)
	switch {
	case err != nil:
		return fail("sender: %w", err)
	case t.Version != 1:
		return fail("version %d", t.Version)
	case string(t.Ledger) != string(l.id.Bytes()):
		return fail("it is of another ledger")
	case len(t.Expiries) == 0 || len(t.Expiries) > maxCalls:
		return fail("%d expiries, want 1 to %d", len(t.Expiries), maxCalls)
	case !slices.IsSorted(t.Expiries) || len(slices.Compact(slices.Clone(t.Expiries))) != len(t.Expiries):
		return fail("expiries are not in order")
	}
	i, err := l.readCall(sender, t.Method, t.Arg)
	if err != nil {
		return nil, nil, err
	}
	if !t.signed() {
		if len(t.Signatures) > 0 {
			return fail("signatures without a key")
		}
		return t, &i, nil
	}
	if len(t.Key) > maxKeySize || len(t.Signatures) != 2*identity.SignatureSize*len(t.Expiries) {
		return fail("%d bytes of signatures for %d calls", len(t.Signatures), len(t.Expiries))
	}
	if principal.SelfAuthenticating(t.Key) != sender {
		return fail("the key is not the sender's")
	}
	key, err := identity.ParsePublicKey(t.Key)
	if err != nil {
		return fail("%w", err)
	}
	for n := range t.Expiries {
		for _, e := range t.envelopes(n) {
			if err := key.Verify(e.Content.SignedBytes(), e.SenderSig); err != nil {
				return fail("signature of the %s that expires at %d: %w", e.Content.RequestType, t.Expiries[n], err)
			}
		}
	}
	return t, &i, nil
}

// envelopes are the call with an expiry and the read of its status.
func (t *transaction) envelopes(n int) [2]*envelope.Envelope {
	sender, ledger := principal.MustFromBytes(t.Sender), principal.MustFromBytes(t.Ledger)
	call := envelope.Content{RequestType: envelope.Call, Sender: sender, IngressExpiry: t.Expiries[n], CanisterID: ledger, MethodName: t.Method, Arg: t.Arg}
	read := envelope.Content{RequestType: envelope.ReadState, Sender: sender, IngressExpiry: t.Expiries[n],
		Paths: [][][]byte{agent.StatusPath(call.RequestID())}}
	out := [2]*envelope.Envelope{{Content: call}, {Content: read}}
	if t.signed() {
		for i, e := range out {
			at := (2*n + i) * identity.SignatureSize
			e.SenderPubkey, e.SenderSig = t.Key, t.Signatures[at:at+identity.SignatureSize]
		}
	}
	return out
}

// payloads is what has to be signed, in the order of the signatures.
func (t *transaction) payloads(account *types.AccountIdentifier, curve types.CurveType) []*types.SigningPayload {
	var out []*types.SigningPayload
	for n := range t.Expiries {
		for _, e := range t.envelopes(n) {
			p := &types.SigningPayload{AccountIdentifier: account}
			p.Bytes, p.SignatureType = toSign(&e.Content, curve)
			out = append(out, p)
		}
	}
	return out
}

// toSign is what a signer of the API is given: ECDSA signs a digest, Ed25519 the message.
func toSign(c *envelope.Content, curve types.CurveType) ([]byte, types.SignatureType) {
	msg := c.SignedBytes()
	if curve == types.Edwards25519 {
		return msg, types.Ed25519
	}
	digest := sha256.Sum256(msg)
	return digest[:], types.Ecdsa
}

// maxShort is how many bytes a signature may lack; one in 2^32 lacks more.
const maxShort = 4

// fullSignature is the signature in its full length, or nil. Signers that write r and s of ECDSA without their leading zeros, as the API's own SDK does
// with secp256r1, give a byte less about once in 128 times; which of the two numbers is short is what verifies.
func fullSignature(key identity.PublicKey, kind types.SignatureType, msg, sig []byte) []byte {
	lacks := identity.SignatureSize - len(sig)
	if lacks == 0 {
		return sig
	}
	if kind != types.Ecdsa || lacks < 0 || lacks > maxShort {
		return nil
	}
	const half = identity.SignatureSize / 2
	for r := half - lacks; r <= half; r++ { // the length of r
		full := make([]byte, identity.SignatureSize)
		copy(full[half-r:half], sig[:r])
		copy(full[half+lacks-(half-r):], sig[r:])
		if key.Verify(msg, full) == nil {
			return full
		}
	}
	return nil
}

// pick is the expiry with which a transaction is submitted at nowNs: the latest that replicas accept.
func (t *transaction) pick(nowNs uint64) (n int, f *fault) {
	const least = uint64(5 * time.Second) // to be agreed on
	n = -1
	for i, e := range t.Expiries {
		if e > nowNs+least && e <= nowNs+uint64(envelope.MaxTTL) {
			n = i
		}
	}
	switch {
	case n >= 0:
		return n, nil
	case t.Expiries[0] > nowNs+least:
		return n, faultEarly
	}
	return n, faultExpired
}

// derKey reads a public key of the API.
func derKey(k *types.PublicKey) ([]byte, error) {
	if k == nil {
		return nil, fmt.Errorf("%w: there is none", identity.ErrKey)
	}
	switch k.CurveType {
	case types.Secp256k1:
		key, err := secp256k1.ParsePubKey(k.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: secp256k1: %w", identity.ErrKey, err)
		}
		return identity.EncodeSecp256k1(key), nil
	case types.Secp256r1:
		key, err := parseP256(k.Bytes)
		if err != nil {
			return nil, err
		}
		return identity.EncodeP256(key), nil
	case types.Edwards25519:
		if len(k.Bytes) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("%w: ed25519 key of %d bytes", identity.ErrKey, len(k.Bytes))
		}
		der := identity.EncodeEd25519(k.Bytes)
		_, err := identity.ParsePublicKey(der)
		return der, err
	}
	return nil, fmt.Errorf("%w: keys on %.20q", identity.ErrUnsupported, k.CurveType)
}

// parseP256 reads a point in compressed or uncompressed form.
func parseP256(b []byte) (*ecdsa.PublicKey, error) {
	if len(b) == 33 {
		x, y := elliptic.UnmarshalCompressed(elliptic.P256(), b)
		if x == nil {
			return nil, fmt.Errorf("%w: not a point of p-256", identity.ErrKey)
		}
		full := make([]byte, 65)
		full[0] = 4
		x.FillBytes(full[1:33])
		y.FillBytes(full[33:])
		b = full
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), b)
	if err != nil {
		return nil, fmt.Errorf("%w: p-256: %w", identity.ErrKey, err)
	}
	return key, nil
}
