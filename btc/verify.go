package btc

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// VerifyECDSA checks a 64-byte signature r‖s of a digest under a compressed key.
func VerifyECDSA(pub []byte, digest [32]byte, sig []byte) error {
	key, err := secp256k1.ParsePubKey(pub)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrPublicKey, err)
	}
	if len(sig) != 64 {
		return fmt.Errorf("%w: %d bytes, want 64", ErrSignature, len(sig))
	}
	var r, s secp256k1.ModNScalar
	if r.SetByteSlice(sig[:32]) || s.SetByteSlice(sig[32:]) || !ecdsa.NewSignature(&r, &s).Verify(digest[:], key) {
		return fmt.Errorf("%w: it does not verify under key %x", ErrSignature, pub)
	}
	return nil
}

// VerifySchnorr checks a signature of BIP340 of a digest under an x-only key.
func VerifySchnorr(pub [32]byte, digest [32]byte, sig []byte) error {
	key, err := secp256k1.ParsePubKey(append([]byte{2}, pub[:]...)) // the point with even y
	if err != nil {
		return fmt.Errorf("%w: %v", ErrPublicKey, err)
	}
	if len(sig) != 64 {
		return fmt.Errorf("%w: %d bytes, want 64", ErrSignature, len(sig))
	}
	var rx secp256k1.FieldVal
	var s, e secp256k1.ModNScalar
	bad := rx.SetByteSlice(sig[:32]) || s.SetByteSlice(sig[32:])
	challenge := TaggedHash("BIP0340/challenge", sig[:32], pub[:], digest[:])
	e.SetBytes(&challenge)
	var p, sg, ep, r secp256k1.JacobianPoint
	key.AsJacobian(&p)
	secp256k1.ScalarBaseMultNonConst(&s, &sg)
	secp256k1.ScalarMultNonConst(e.Negate(), &p, &ep)
	secp256k1.AddNonConst(&sg, &ep, &r) // R = s·G - e·P
	if r.ToAffine(); bad || r.X.IsZero() && r.Y.IsZero() || r.Y.IsOdd() || !r.X.Equals(&rx) {
		return fmt.Errorf("%w: it does not verify under key %x", ErrSignature, pub)
	}
	return nil
}

// SignP2TR attaches the witness of a key-path spend with the default hash type: the 64-byte signature.
func (tx *Tx) SignP2TR(input int, sig []byte) error {
	if input < 0 || input >= len(tx.Inputs) {
		return fmt.Errorf("%w: %d of %d", ErrInputIndex, input, len(tx.Inputs))
	}
	if len(sig) != 64 {
		return fmt.Errorf("%w: %d bytes, want 64", ErrSignature, len(sig))
	}
	tx.Inputs[input].Witness = [][]byte{append([]byte(nil), sig...)}
	return nil
}

// TaprootHashes holds the parts of the BIP341 digest with the default hash type that all inputs of a transaction share. It is stale once the
// transaction's inputs or outputs change.
type TaprootHashes struct {
	inputs int
	shared []byte
}

// NewTaprootHashes prepares the digests of tx, whose witnesses may still be missing. prevs are the outputs that the inputs spend, in order.
func NewTaprootHashes(tx *Tx, prevs []TxOut) (*TaprootHashes, error) {
	if len(prevs) != len(tx.Inputs) {
		return nil, fmt.Errorf("%w: %d inputs, %d spent outputs", ErrInputIndex, len(tx.Inputs), len(prevs))
	}
	var points, amounts, scripts, sequences, outs []byte
	for i := range tx.Inputs {
		in := &tx.Inputs[i]
		points = binary.LittleEndian.AppendUint32(append(points, in.Prev.Txid[:]...), in.Prev.Vout)
		amounts = binary.LittleEndian.AppendUint64(amounts, uint64(prevs[i].Value))
		scripts = appendVarBytes(scripts, prevs[i].Script)
		sequences = binary.LittleEndian.AppendUint32(sequences, in.Sequence)
	}
	for i := range tx.Outputs {
		outs = tx.Outputs[i].append(outs)
	}
	b := []byte{0, 0} // epoch, hash type
	b = binary.LittleEndian.AppendUint32(b, uint32(tx.Version))
	b = binary.LittleEndian.AppendUint32(b, tx.LockTime)
	for _, part := range [][]byte{points, amounts, scripts, sequences, outs} {
		h := sha256.Sum256(part)
		b = append(b, h[:]...)
	}
	return &TaprootHashes{len(tx.Inputs), append(b, 0)}, nil // spend type: key path, no annex
}

// Digest is what the signature of an input signs.
func (h *TaprootHashes) Digest(input int) ([32]byte, error) {
	if input < 0 || input >= h.inputs {
		return [32]byte{}, fmt.Errorf("%w: %d of %d", ErrInputIndex, input, h.inputs)
	}
	return TaggedHash("TapSighash", h.shared, binary.LittleEndian.AppendUint32(nil, uint32(input))), nil
}
