package btc

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Outpoint names an output: the transaction that made it and its index there.
type Outpoint struct {
	Txid Hash
	Vout uint32
}

// String prints txid:vout.
func (o Outpoint) String() string { return fmt.Sprintf("%v:%d", o.Txid, o.Vout) }

// IsNull tells whether o is the outpoint of a coinbase's input.
func (o Outpoint) IsNull() bool { return o.Vout == math.MaxUint32 && o.Txid.IsZero() }

// TxIn spends an output.
type TxIn struct {
	Prev      Outpoint
	ScriptSig []byte
	Sequence  uint32
	Witness   [][]byte
}

// TxOut creates an output.
type TxOut struct {
	Value  Satoshi
	Script []byte
}

// Tx is a transaction.
type Tx struct {
	Version  int32
	Inputs   []TxIn
	Outputs  []TxOut
	LockTime uint32
}

const (
	// SequenceRBF opts in to replacement by fee without a relative lock (BIP125).
	SequenceRBF = 0xfffffffd
	// MaxBlockWeight bounds a block (BIP141); a transaction weighs no more.
	MaxBlockWeight = 4_000_000
	// MaxStandardTxWeight is the heaviest transaction that nodes relay (Bitcoin Core, policy/policy.h).
	MaxStandardTxWeight = 400_000

	minTxIn  = 32 + 4 + 1 + 4
	minTxOut = 8 + 1
)

// Errors of Tx.Check.
var (
	ErrTxNoInputs       = errors.New("transaction has no inputs")
	ErrTxNoOutputs      = errors.New("transaction has no outputs")
	ErrTxTooBig         = errors.New("transaction is too big")
	ErrTxAmount         = errors.New("transaction has an amount out of range")
	ErrTxDuplicateInput = errors.New("transaction spends an output twice")
	ErrTxNullInput      = errors.New("transaction has a null input and is no coinbase")
	ErrTxCoinbaseScript = errors.New("coinbase has a script of less than 2 or more than 100 bytes")
)

// spans remembers where the parts of a parsed transaction lie, so that its ids are hashed without encoding it again.
type spans struct {
	start, body, witness, lock, end int
	extra                           int // bytes of the witnesses, marker and flag, here or left out
	segwit                          bool
}

func (s spans) txid(b []byte) Hash {
	if !s.segwit {
		return DoubleSHA256(b[s.start:s.end])
	}
	h := sha256.New()
	h.Write(b[s.start : s.start+4])
	h.Write(b[s.body:s.witness])
	h.Write(b[s.lock:s.end])
	var first [32]byte
	return sha256.Sum256(h.Sum(first[:0]))
}

func (s spans) weight() int {
	return 4*(4+s.witness-s.body+s.end-s.lock) + s.extra
}

func (r *reader) tx() (tx Tx, s spans) {
	s.start = r.pos
	tx.Version = int32(r.u32())
	s.body = r.pos
	if r.left() >= 2 && r.b[r.pos] == 0 {
		if r.b[r.pos+1] != 1 {
			r.fail("witness flag %d", r.b[r.pos+1])
			return tx, s
		}
		s.segwit = true
		r.pos += 2
		s.body = r.pos
	}
	nIn := r.count("inputs", minTxIn)
	if r.err == nil && nIn == 0 {
		r.fail("no inputs")
	}
	if r.err != nil {
		return tx, s
	}
	tx.Inputs = make([]TxIn, nIn)
	for i := range tx.Inputs {
		in := &tx.Inputs[i]
		in.Prev.Txid, in.Prev.Vout = r.hash(), r.u32()
		in.ScriptSig = r.varBytes("script bytes")
		in.Sequence = r.u32()
		if r.err != nil {
			return tx, s
		}
	}
	nOut := r.count("outputs", minTxOut)
	if r.err == nil && nOut == 0 {
		r.fail("no outputs")
	}
	if r.err != nil {
		return tx, s
	}
	tx.Outputs = make([]TxOut, nOut)
	for i := range tx.Outputs {
		tx.Outputs[i] = TxOut{Satoshi(r.u64()), r.varBytes("script bytes")}
		if r.err != nil {
			return tx, s
		}
	}
	s.witness = r.pos
	if s.segwit {
		some := false
		for i := range tx.Inputs {
			n := r.count("witness items", 1)
			if n == 0 {
				if r.err != nil {
					return tx, s
				}
				continue
			}
			some = true
			items := make([][]byte, n)
			for j := range items {
				items[j] = r.varBytes("witness bytes")
				if r.err != nil {
					return tx, s
				}
			}
			tx.Inputs[i].Witness = items
		}
		if r.err == nil && !some {
			r.fail("witness flag without a witness")
		}
	}
	s.lock = r.pos
	tx.LockTime = r.u32()
	s.end = r.pos
	s.extra = s.body - s.start - 4 + s.lock - s.witness
	return tx, s
}

// ParseTx reads one transaction that fills b. The result aliases b. It is well formed, which says nothing about its being valid: see Check.
func ParseTx(b []byte) (*Tx, error) {
	if len(b) > MaxBlockWeight {
		return nil, fmt.Errorf("%w: transaction of %d bytes", ErrMalformed, len(b))
	}
	r := reader{b: b}
	tx, _ := r.tx()
	if r.err == nil && r.left() != 0 {
		r.fail("%d bytes after the transaction", r.left())
	}
	if r.err != nil {
		return nil, r.err
	}
	return &tx, nil
}

// HasWitness tells whether some input carries a witness.
func (tx *Tx) HasWitness() bool {
	for i := range tx.Inputs {
		if len(tx.Inputs[i].Witness) > 0 {
			return true
		}
	}
	return false
}

// IsCoinbase tells whether tx creates money: one input, which spends nothing.
func (tx *Tx) IsCoinbase() bool { return len(tx.Inputs) == 1 && tx.Inputs[0].Prev.IsNull() }

func (tx *Tx) append(b []byte, witness bool) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(tx.Version))
	if witness {
		b = append(b, 0, 1)
	}
	b = appendVarInt(b, uint64(len(tx.Inputs)))
	for i := range tx.Inputs {
		in := &tx.Inputs[i]
		b = append(b, in.Prev.Txid[:]...)
		b = binary.LittleEndian.AppendUint32(b, in.Prev.Vout)
		b = appendVarBytes(b, in.ScriptSig)
		b = binary.LittleEndian.AppendUint32(b, in.Sequence)
	}
	b = appendVarInt(b, uint64(len(tx.Outputs)))
	for i := range tx.Outputs {
		b = tx.Outputs[i].append(b)
	}
	if witness {
		for i := range tx.Inputs {
			b = appendVarInt(b, uint64(len(tx.Inputs[i].Witness)))
			for _, item := range tx.Inputs[i].Witness {
				b = appendVarBytes(b, item)
			}
		}
	}
	return binary.LittleEndian.AppendUint32(b, tx.LockTime)
}

func (o *TxOut) append(b []byte) []byte {
	return appendVarBytes(binary.LittleEndian.AppendUint64(b, uint64(o.Value)), o.Script)
}

// Bytes is the transaction on the wire, with its witness if it has one (BIP144).
func (tx *Tx) Bytes() []byte { return tx.append(make([]byte, 0, tx.size(true)), tx.HasWitness()) }

// StrippedBytes is the transaction without its witness, which is what the txid commits to.
func (tx *Tx) StrippedBytes() []byte { return tx.append(make([]byte, 0, tx.size(false)), false) }

// Txid names the transaction independently of its witness.
func (tx *Tx) Txid() Hash { return DoubleSHA256(tx.StrippedBytes()) }

// Wtxid commits to the witness too (BIP141).
func (tx *Tx) Wtxid() Hash { return DoubleSHA256(tx.Bytes()) }

func (tx *Tx) size(witness bool) int {
	n := 8 + varIntLen(uint64(len(tx.Inputs))) + varIntLen(uint64(len(tx.Outputs)))
	for i := range tx.Inputs {
		s := len(tx.Inputs[i].ScriptSig)
		n += 40 + varIntLen(uint64(s)) + s
	}
	for i := range tx.Outputs {
		s := len(tx.Outputs[i].Script)
		n += 8 + varIntLen(uint64(s)) + s
	}
	if witness && tx.HasWitness() {
		n += 2
		for i := range tx.Inputs {
			n += varIntLen(uint64(len(tx.Inputs[i].Witness)))
			for _, item := range tx.Inputs[i].Witness {
				n += varIntLen(uint64(len(item))) + len(item)
			}
		}
	}
	return n
}

// Weight is three times the stripped size plus the full size (BIP141).
func (tx *Tx) Weight() int { return 3*tx.size(false) + tx.size(true) }

// VSize is the weight in virtual bytes, rounded up.
func (tx *Tx) VSize() int { return (tx.Weight() + 3) / 4 }

// OutputSum adds up the outputs.
func (tx *Tx) OutputSum() (Satoshi, error) {
	var sum Satoshi
	for i := range tx.Outputs {
		var ok bool
		if sum, ok = sum.Add(tx.Outputs[i].Value); !ok || tx.Outputs[i].Value > MaxMoney {
			return 0, ErrTxAmount
		}
	}
	return sum, nil
}

// Check applies the consensus rules that need nothing but the transaction (Bitcoin Core, consensus/tx_check.cpp).
func (tx *Tx) Check() error {
	if len(tx.Inputs) == 0 {
		return ErrTxNoInputs
	}
	if len(tx.Outputs) == 0 {
		return ErrTxNoOutputs
	}
	if tx.size(false)*4 > MaxBlockWeight {
		return fmt.Errorf("%w: %d bytes without witness", ErrTxTooBig, tx.size(false))
	}
	if _, err := tx.OutputSum(); err != nil {
		return err
	}
	if tx.IsCoinbase() {
		if n := len(tx.Inputs[0].ScriptSig); n < 2 || n > 100 {
			return ErrTxCoinbaseScript
		}
		return nil
	}
	for i := range tx.Inputs {
		if tx.Inputs[i].Prev.IsNull() {
			return ErrTxNullInput
		}
	}
	if len(tx.Inputs) == 1 {
		return nil
	}
	seen := make(map[Outpoint]struct{}, len(tx.Inputs))
	for i := range tx.Inputs {
		if _, dup := seen[tx.Inputs[i].Prev]; dup {
			return fmt.Errorf("%w: %v", ErrTxDuplicateInput, tx.Inputs[i].Prev)
		}
		seen[tx.Inputs[i].Prev] = struct{}{}
	}
	return nil
}
