package vetkd

import (
	"fmt"
	"slices"

	blst "github.com/supranational/blst/bindings/go"

	"fusion/chainkey/bls"
)

// Request is one derivation: everything that shares depend on, whatever the size of the input. Its fields come from NewRequest; they
// are exported so that it can be stored.
type Request struct {
	_         struct{} `cbor:",toarray"`
	PublicKey [PublicKeySize]byte
	Offset    [SecretSize]byte // PublicKey = master key + Offset·g2; public
	Message   [KeySize]byte    // the hash of PublicKey and input, a point of G1
	Transport [TransportKeySize]byte
}

// NewRequest prepares a derivation below a master key. ErrTransportKey says that the receiver's key is none.
func NewRequest(master, canister, context, input, transport []byte) (*Request, error) {
	m, ok := readG2(master)
	if !ok {
		return nil, fmt.Errorf("%w of %d bytes", ErrPublicKey, len(master))
	}
	if err := CheckTransportKey(transport); err != nil {
		return nil, err
	}
	key, offset, err := derive(m, canister, context)
	if err != nil {
		return nil, err
	}
	return &Request{PublicKey: [PublicKeySize]byte(key.Compress()), Offset: [SecretSize]byte(offset.Serialize()),
		Message: [KeySize]byte(message(key, input).Compress()), Transport: [TransportKeySize]byte(transport)}, nil
}

// points decodes what NewRequest checked.
func (q *Request) points() (key *blst.P2Affine, message, transport *blst.P1Affine, err error) {
	key, ok1 := readG2(q.PublicKey[:])
	message, ok2 := readG1(q.Message[:])
	transport, ok3 := readG1(q.Transport[:])
	if !ok1 || !ok2 || !ok3 {
		return nil, nil, nil, fmt.Errorf("%w: the request was not made by NewRequest", ErrEncryptedKey)
	}
	return key, message, transport, nil
}

// A Share is one holder's encrypted part of the key.
type Share struct {
	Index int // the holder's node index
	Bytes [EncryptedKeySize]byte
}

// Share returns a holder's encrypted share, the same at each call.
func (q *Request) Share(secret *bls.SecretShare) (Share, error) {
	out := Share{Index: secret.Index}
	_, message, transport, err := q.points()
	if err != nil {
		return out, err
	}
	offset, err := readScalar(q.Offset[:])
	if err != nil {
		return out, fmt.Errorf("offset of the request: %w", err)
	}
	d, err := readScalar(secret.Scalar[:])
	if err != nil {
		return out, fmt.Errorf("share of node %d: %w", secret.Index, err)
	}
	defer wipe(d)
	// The nonce binds all of the request: the same nonce with another transport key would open the difference of the two.
	r, err := hashToScalar(dstNonce, secret.Scalar[:], slices.Concat(q.PublicKey[:], q.Offset[:], q.Message[:], q.Transport[:]))
	if err != nil {
		return out, err
	}
	defer wipe(r)
	if _, ok := d.AddAssign(offset); !ok {
		return out, errScalar
	}
	e := encrypted{c1: blst.P1Generator().Mult(r).ToAffine(), c2: blst.P2Generator().Mult(r).ToAffine()}
	sum := mulG1(transport, r)
	e.c3 = sum.AddAssign(mulG1(message, d)).ToAffine()
	out.Bytes = e.bytes()
	return out, nil
}

// VerifyShare checks a share by a holder of the group.
func (q *Request) VerifyShare(g *bls.Group, s Share) error {
	bad := func(why string) error { return fmt.Errorf("%w by node %d: %s", ErrShare, s.Index, why) }
	if s.Index < 0 || s.Index >= g.N() {
		return bad(fmt.Sprintf("there are %d holders", g.N()))
	}
	e, ok := readEncrypted(s.Bytes[:])
	if !ok {
		return bad("its points are not of their groups")
	}
	_, message, transport, err := q.points()
	if err != nil {
		return err
	}
	offset, err := readScalar(q.Offset[:])
	if err != nil {
		return fmt.Errorf("offset of the request: %w", err)
	}
	holder, ok := readG2(g.ShareKey(s.Index))
	if !ok {
		return fmt.Errorf("%w of node %d", ErrPublicKey, s.Index)
	}
	if !e.valid(transport, message, addG2(holder, offset)) {
		return bad("the pairings differ")
	}
	return nil
}

// Verify checks an encrypted key.
func (q *Request) Verify(key []byte) error {
	e, ok := readEncrypted(key)
	if !ok {
		return fmt.Errorf("%w of %d bytes: its points are not of their groups", ErrEncryptedKey, len(key))
	}
	public, message, transport, err := q.points()
	if err != nil {
		return err
	}
	if !e.valid(transport, message, public) {
		return fmt.Errorf("%w: the pairings differ", ErrEncryptedKey)
	}
	return nil
}

// Combine adds the first Threshold distinct holders' shares up to the encrypted key and checks it. On ErrEncryptedKey or ErrShare at least
// one of those shares is bad: ask BadShares. The input is not changed.
func (q *Request) Combine(g *bls.Group, shares []Share) ([EncryptedKeySize]byte, error) {
	var out [EncryptedKeySize]byte
	var picked []Share
	var holders []int
	for _, s := range shares {
		if len(picked) < g.Threshold() && s.Index >= 0 && s.Index < g.N() && !slices.Contains(holders, s.Index) {
			picked, holders = append(picked, s), append(holders, s.Index)
		}
	}
	if len(picked) < g.Threshold() {
		return out, fmt.Errorf("%w: %d of %d", ErrTooFewShares, len(picked), g.Threshold())
	}
	var c1, c3 blst.P1
	var c2 blst.P2
	for i, s := range picked {
		e, ok := readEncrypted(s.Bytes[:])
		if !ok {
			return out, fmt.Errorf("%w by node %d: its points are not of their groups", ErrShare, s.Index)
		}
		l := bls.Lagrange(holders, i)
		var p1, p3 blst.P1
		var p2 blst.P2
		p1.FromAffine(e.c1)
		p2.FromAffine(e.c2)
		p3.FromAffine(e.c3)
		c1.AddAssign(p1.MultAssign(l))
		c2.AddAssign(p2.MultAssign(l))
		c3.AddAssign(p3.MultAssign(l))
	}
	out = (&encrypted{c1.ToAffine(), c2.ToAffine(), c3.ToAffine()}).bytes()
	if err := q.Verify(out[:]); err != nil {
		return out, fmt.Errorf("combining %d shares: %w", len(picked), err)
	}
	return out, nil
}

// BadShares returns the indices of the shares that do not verify, in the order given.
func (q *Request) BadShares(g *bls.Group, shares []Share) []int {
	var bad []int
	for _, s := range shares {
		if q.VerifyShare(g, s) != nil {
			bad = append(bad, s.Index)
		}
	}
	return bad
}
