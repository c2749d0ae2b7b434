package btc

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// SigHashAll signs all inputs and all outputs; it is the only type that fusion makes.
const SigHashAll = 1

// Errors of the signing functions.
var (
	ErrInputIndex = errors.New("no such input")
	ErrSignature  = errors.New("malformed signature")
)

// SigHashes holds the parts of the BIP143 digest that all inputs of a transaction share. It is stale once the transaction's
// inputs or outputs change.
type SigHashes struct {
	tx                          *Tx
	prevouts, sequence, outputs Hash
}

// NewSigHashes prepares the digests of tx, whose witnesses may still be missing.
func NewSigHashes(tx *Tx) *SigHashes {
	var prevouts, sequence, outputs []byte
	for i := range tx.Inputs {
		prevouts = append(prevouts, tx.Inputs[i].Prev.Txid[:]...)
		prevouts = binary.LittleEndian.AppendUint32(prevouts, tx.Inputs[i].Prev.Vout)
		sequence = binary.LittleEndian.AppendUint32(sequence, tx.Inputs[i].Sequence)
	}
	for i := range tx.Outputs {
		outputs = tx.Outputs[i].append(outputs)
	}
	return &SigHashes{tx, DoubleSHA256(prevouts), DoubleSHA256(sequence), DoubleSHA256(outputs)}
}

// Digest is the BIP143 digest for SigHashAll of an input that spends value through scriptCode (without its length prefix).
func (s *SigHashes) Digest(input int, scriptCode []byte, value Satoshi) ([32]byte, error) {
	if input < 0 || input >= len(s.tx.Inputs) {
		return [32]byte{}, fmt.Errorf("%w: %d of %d", ErrInputIndex, input, len(s.tx.Inputs))
	}
	in := &s.tx.Inputs[input]
	b := make([]byte, 0, 156+len(scriptCode))
	b = binary.LittleEndian.AppendUint32(b, uint32(s.tx.Version))
	b = append(append(b, s.prevouts[:]...), s.sequence[:]...)
	b = append(b, in.Prev.Txid[:]...)
	b = binary.LittleEndian.AppendUint32(b, in.Prev.Vout)
	b = appendVarBytes(b, scriptCode)
	b = binary.LittleEndian.AppendUint64(b, uint64(value))
	b = binary.LittleEndian.AppendUint32(b, in.Sequence)
	b = append(b, s.outputs[:]...)
	b = binary.LittleEndian.AppendUint32(b, s.tx.LockTime)
	b = binary.LittleEndian.AppendUint32(b, SigHashAll)
	return DoubleSHA256(b), nil
}

// P2WPKH is the digest of an input that spends a P2WPKH output of the given compressed key and value.
func (s *SigHashes) P2WPKH(input int, pub []byte, value Satoshi) ([32]byte, error) {
	h, err := keyHash(pub)
	if err != nil {
		return [32]byte{}, err
	}
	code := append(append([]byte{opDup, opHash160, 20}, h[:]...), opEqualVerify, opCheckSig)
	return s.Digest(input, code, value)
}

// SignP2WPKH attaches the witness of a P2WPKH input: the 64-byte signature r‖s over the digest, and the compressed key.
func (tx *Tx) SignP2WPKH(input int, sig, pub []byte) error {
	if input < 0 || input >= len(tx.Inputs) {
		return fmt.Errorf("%w: %d of %d", ErrInputIndex, input, len(tx.Inputs))
	}
	if len(pub) != 33 {
		return fmt.Errorf("%w: %d bytes, want 33", ErrPublicKey, len(pub))
	}
	der, err := DER(sig)
	if err != nil {
		return err
	}
	tx.Inputs[input].Witness = [][]byte{append(der, SigHashAll), append([]byte(nil), pub...)}
	return nil
}

// DER encodes a 64-byte signature r‖s in the strict form of BIP66, with s in the lower half of the group order (BIP146). It takes at
// most 71 bytes.
func DER(sig []byte) ([]byte, error) {
	if len(sig) != 64 {
		return nil, fmt.Errorf("%w: %d bytes, want 64", ErrSignature, len(sig))
	}
	var r, s secp256k1.ModNScalar
	if r.SetByteSlice(sig[:32]) || s.SetByteSlice(sig[32:]) || r.IsZero() || s.IsZero() {
		return nil, fmt.Errorf("%w: r or s is not between 1 and the group order", ErrSignature)
	}
	if s.IsOverHalfOrder() {
		s.Negate()
	}
	rb, sb := r.Bytes(), s.Bytes()
	body := appendDERInt(appendDERInt(make([]byte, 0, 72), rb[:]), sb[:])
	return append([]byte{0x30, byte(len(body))}, body...), nil
}

func appendDERInt(b, v []byte) []byte {
	for len(v) > 1 && v[0] == 0 {
		v = v[1:]
	}
	if v[0] >= 0x80 {
		return append(append(b, 2, byte(len(v)+1), 0), v...)
	}
	return append(append(b, 2, byte(len(v))), v...)
}

// VSizeP2WPKH bounds the virtual size of a transaction that spends inputs P2WPKH outputs to the given output scripts, with
// signatures of their greatest length (72 bytes with the hash type).
func VSizeP2WPKH(inputs int, outputScripts ...[]byte) int { return VSize(inputs, 0, outputScripts...) }

// VSize is VSizeP2WPKH for a transaction that also spends taproot outputs by their keys.
func VSize(wpkh, taproot int, outputScripts ...[]byte) int {
	inputs := wpkh + taproot
	base := 8 + varIntLen(uint64(inputs)) + varIntLen(uint64(len(outputScripts))) + inputs*minTxIn
	for _, s := range outputScripts {
		base += 8 + varIntLen(uint64(len(s))) + len(s)
	}
	witness := 2 + wpkh*(1+1+72+1+33) + taproot*(1+1+64)
	return (4*base + witness + 3) / 4
}

// TaprootDigest is the BIP341 digest of a key-path spend without annex. prevs are the outputs that the inputs spend, in order;
// hashType is 0 (default), 1 (all), 2 (none) or 3 (single), with 0x80 for anyone-can-pay.
func TaprootDigest(tx *Tx, input int, prevs []TxOut, hashType byte) ([32]byte, error) {
	if input < 0 || input >= len(tx.Inputs) || len(prevs) != len(tx.Inputs) {
		return [32]byte{}, fmt.Errorf("%w: %d of %d, with %d spent outputs", ErrInputIndex, input, len(tx.Inputs), len(prevs))
	}
	base, anyone := hashType&^0x80, hashType&0x80 != 0
	if base > 3 || hashType == 0x80 || base == 3 && input >= len(tx.Outputs) {
		return [32]byte{}, fmt.Errorf("%w: hash type %#x for input %d", ErrSignature, hashType, input)
	}
	le32 := binary.LittleEndian.AppendUint32
	outpoint := func(b []byte, o Outpoint) []byte { return le32(append(b, o.Txid[:]...), o.Vout) }
	add := func(b []byte, part []byte) []byte { h := sha256.Sum256(part); return append(b, h[:]...) }

	b := []byte{0, hashType} // epoch, hash type
	b = le32(b, uint32(tx.Version))
	b = le32(b, tx.LockTime)
	if !anyone {
		var points, amounts, scripts, sequences []byte
		for i := range tx.Inputs {
			points = outpoint(points, tx.Inputs[i].Prev)
			amounts = binary.LittleEndian.AppendUint64(amounts, uint64(prevs[i].Value))
			scripts = appendVarBytes(scripts, prevs[i].Script)
			sequences = le32(sequences, tx.Inputs[i].Sequence)
		}
		b = add(add(add(add(b, points), amounts), scripts), sequences)
	}
	if base == 0 || base == 1 {
		var outs []byte
		for i := range tx.Outputs {
			outs = tx.Outputs[i].append(outs)
		}
		b = add(b, outs)
	}
	b = append(b, 0) // spend type: key path, no annex
	if anyone {
		b = outpoint(b, tx.Inputs[input].Prev)
		b = prevs[input].append(b)
		b = le32(b, tx.Inputs[input].Sequence)
	} else {
		b = le32(b, uint32(input))
	}
	if base == 3 {
		b = add(b, tx.Outputs[input].append(nil))
	}
	return TaggedHash("TapSighash", b), nil
}
