package btc

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// SignetChallenge is the script that each block of the public signet has to solve: one signature of two keys (Bitcoin Core,
// kernel/chainparams.cpp).
var SignetChallenge = func() []byte {
	b, err := hex.DecodeString("512103ad5e0edad18cb1f0fc0d28a3d4f1f3e445640337489abb10404f2d1e086be430210359ef5021964fe22d6f8e05b2463c9540ce96883fe3b278760f048f5189f2e6c452ae")
	if err != nil {
		panic(err) // it is a constant
	}
	return b
}()

// Errors of signet.
var (
	// ErrSignetChallenge means that a challenge is of another form than multisig, the only one that is checked here.
	ErrSignetChallenge = errors.New("signet challenge is no multisig script")
	errSignetSolution  = errors.New("the coinbase holds no valid solution of the signet challenge")
)

// signetMagic starts the push in the coinbase's commitment output that holds the solution (BIP325).
var signetMagic = []byte{0xec, 0xc7, 0xda, 0xa2}

const (
	opPushData1     = 0x4c
	opPushData2     = 0x4d
	opPushData4     = 0x4e
	opCheckMultisig = 0xae
)

// scriptOp is one operation of a script; data is nil unless it pushes.
type scriptOp struct {
	code byte
	data []byte
}

// splitScript takes a script apart, and is false if a push runs past its end.
func splitScript(s []byte) (ops []scriptOp, ok bool) {
	for len(s) > 0 {
		op := scriptOp{code: s[0]}
		s = s[1:]
		size, skip := uint64(0), 0
		switch {
		case op.code < opPushData1:
			size = uint64(op.code)
		case op.code == opPushData1 && len(s) >= 1:
			size, skip = uint64(s[0]), 1
		case op.code == opPushData2 && len(s) >= 2:
			size, skip = uint64(binary.LittleEndian.Uint16(s)), 2
		case op.code == opPushData4 && len(s) >= 4:
			size, skip = uint64(binary.LittleEndian.Uint32(s)), 4
		case op.code <= opPushData4:
			return nil, false
		default:
			ops = append(ops, op)
			continue
		}
		s = s[skip:]
		if size > uint64(len(s)) {
			return nil, false
		}
		op.data, s = s[:size:size], s[size:]
		ops = append(ops, op)
	}
	return ops, true
}

func appendPush(b, data []byte) []byte {
	switch n := len(data); {
	case n < opPushData1:
		b = append(b, byte(n))
	case n < 1<<8:
		b = append(b, opPushData1, byte(n))
	case n < 1<<16:
		b = binary.LittleEndian.AppendUint16(append(b, opPushData2), uint16(n))
	default:
		b = binary.LittleEndian.AppendUint32(append(b, opPushData4), uint32(n))
	}
	return append(b, data...)
}

// CheckSignet verifies a block's solution of the challenge (BIP325), which must be a multisig script. The solution lies in an output of the
// coinbase, so that a block without a valid one can never get one: the error wraps ErrBlockInvalid. The body must be the header's own (Check).
// Signatures must be of SIGHASH_ALL, as signers make them.
func (b *Block) CheckSignet(challenge []byte) error {
	need, keys, err := parseMultisig(challenge)
	if err != nil {
		return err
	}
	toSign, solution, err := b.signetTx(challenge)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBlockInvalid, err)
	}
	ops, ok := splitScript(solution)
	// The first element is the one that OP_CHECKMULTISIG takes too many; it has to be empty (BIP147).
	if !ok || len(ops) != need+1 || ops[0].code != op0 {
		return fmt.Errorf("%w: %w: %d signatures are needed", ErrBlockInvalid, errSignetSolution, need)
	}
	digest := legacyDigest(toSign, challenge)
	for _, op := range ops[1:] { // in the order of their keys
		n := len(op.data)
		if n == 0 || op.data[n-1] != SigHashAll {
			return fmt.Errorf("%w: %w: a signature is not of all inputs and outputs", ErrBlockInvalid, errSignetSolution)
		}
		sig, err := ecdsa.ParseDERSignature(op.data[:n-1])
		if err != nil {
			return fmt.Errorf("%w: %w: %v", ErrBlockInvalid, errSignetSolution, err)
		}
		for len(keys) > 0 && !sig.Verify(digest[:], keys[0]) {
			keys = keys[1:]
		}
		if len(keys) == 0 {
			return fmt.Errorf("%w: %w: a signature is of none of the keys", ErrBlockInvalid, errSignetSolution)
		}
		keys = keys[1:]
	}
	return nil
}

// parseMultisig reads OP_m, keys, OP_n, OP_CHECKMULTISIG.
func parseMultisig(script []byte) (need int, keys []*secp256k1.PublicKey, err error) {
	ops, ok := splitScript(script)
	if !ok || len(ops) < 4 || ops[len(ops)-1].code != opCheckMultisig {
		return 0, nil, ErrSignetChallenge
	}
	number := func(op scriptOp) int { return int(op.code) - op1 + 1 }
	need = number(ops[0])
	named := ops[1 : len(ops)-2]
	if n := number(ops[len(ops)-2]); n != len(named) || need < 1 || need > n || n > 16 {
		return 0, nil, ErrSignetChallenge
	}
	for _, op := range named {
		key, err := secp256k1.ParsePubKey(op.data)
		if err != nil {
			return 0, nil, fmt.Errorf("%w: %v", ErrSignetChallenge, err)
		}
		keys = append(keys, key)
	}
	return need, keys, nil
}

// signetTx is the transaction that the solution signs, whose inputs stand for the block without the solution, and the script that solves.
func (b *Block) signetTx(challenge []byte) (*Tx, []byte, error) {
	if len(b.Txs) == 0 {
		return nil, nil, ErrBlockEmpty
	}
	coinbase := b.Txs[0]
	at := -1
	for i := range coinbase.Outputs {
		if s := coinbase.Outputs[i].Script; len(s) >= 38 && bytes.HasPrefix(s, witnessMagic) {
			at = i
		}
	}
	if at < 0 {
		return nil, nil, fmt.Errorf("%w: it has no witness commitment", errSignetSolution)
	}
	ops, ok := splitScript(coinbase.Outputs[at].Script)
	if !ok {
		return nil, nil, fmt.Errorf("%w: malformed commitment", errSignetSolution)
	}
	var section, stripped []byte
	for _, op := range ops {
		switch {
		case len(op.data) == 0:
			stripped = append(stripped, op.code)
			continue
		case section == nil && len(op.data) > len(signetMagic) && bytes.HasPrefix(op.data, signetMagic):
			section, op.data = op.data[len(signetMagic):], signetMagic
		}
		stripped = appendPush(stripped, op.data)
	}
	r := reader{b: section}
	solution := r.varBytes("solution")
	if items := r.count("witness", 1); items != 0 && r.err == nil {
		r.fail("a multisig challenge takes no witness")
	}
	if r.err != nil || r.left() != 0 {
		return nil, nil, fmt.Errorf("%w: malformed solution", errSignetSolution)
	}
	coinbase.Outputs = append([]TxOut(nil), coinbase.Outputs...)
	coinbase.Outputs[at].Script = stripped
	ids := append([]Hash(nil), b.txids...)
	ids[0] = coinbase.Txid()
	root := MerkleRoot(ids)
	header := b.Header.Bytes()
	commit := append(append(append([]byte(nil), header[:36]...), root[:]...), header[68:72]...) // version, parent, root, time
	spent := Tx{Inputs: []TxIn{{Prev: Outpoint{Vout: 0xffffffff}, ScriptSig: appendPush([]byte{op0}, commit)}}, Outputs: []TxOut{{Script: challenge}}}
	return &Tx{Inputs: []TxIn{{Prev: Outpoint{Txid: spent.Txid()}}}, Outputs: []TxOut{{Script: []byte{opReturn}}}}, solution, nil
}

// legacyDigest is what a signature of SIGHASH_ALL signs of a transaction with one input that spends a script from before segwit.
func legacyDigest(tx *Tx, script []byte) Hash {
	signed := *tx
	signed.Inputs = []TxIn{{Prev: tx.Inputs[0].Prev, ScriptSig: script, Sequence: tx.Inputs[0].Sequence}}
	return DoubleSHA256(binary.LittleEndian.AppendUint32(signed.StrippedBytes(), SigHashAll))
}
