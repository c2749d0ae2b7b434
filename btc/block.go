package btc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// HeaderSize is the length of a block header on the wire.
const HeaderSize = 80

// Header is a block header.
type Header struct {
	Version    int32
	Prev       Hash
	MerkleRoot Hash
	Time       uint32 // seconds since 1970, as the miner claims
	Bits       uint32 // target in compact form
	Nonce      uint32
}

// ParseHeader reads 80 bytes.
func ParseHeader(b []byte) (Header, error) {
	if len(b) != HeaderSize {
		return Header{}, fmt.Errorf("%w: header of %d bytes", ErrMalformed, len(b))
	}
	le := binary.LittleEndian
	return Header{int32(le.Uint32(b)), Hash(b[4:36]), Hash(b[36:68]), le.Uint32(b[68:]), le.Uint32(b[72:]), le.Uint32(b[76:])}, nil
}

// Bytes is the header on the wire.
func (h Header) Bytes() [HeaderSize]byte {
	var b [HeaderSize]byte
	le := binary.LittleEndian
	le.PutUint32(b[0:], uint32(h.Version))
	copy(b[4:], h.Prev[:])
	copy(b[36:], h.MerkleRoot[:])
	le.PutUint32(b[68:], h.Time)
	le.PutUint32(b[72:], h.Bits)
	le.PutUint32(b[76:], h.Nonce)
	return b
}

// Hash names the block.
func (h Header) Hash() Hash {
	b := h.Bytes()
	return DoubleSHA256(b[:])
}

// Block is a parsed block. Its fields alias the buffer it was parsed from and must not be changed.
type Block struct {
	Header Header
	Txs    []Tx
	Raw    []byte // the block on the wire

	spans []spans
	txids []Hash
}

// ParseBlock reads one block, with witnesses, that fills b.
func ParseBlock(b []byte) (*Block, error) { return readBlock(b, false) }

// ParseCompact reads what Compact wrote. The block has no witnesses, and Raw is not what was on the wire.
func ParseCompact(b []byte) (*Block, error) { return readBlock(b, true) }

// Compact is the block without its witnesses, which are most of it: the header, the number of transactions, and each without a witness behind the
// number of bytes (varint) that this takes off it.
func (b *Block) Compact() []byte {
	size := len(b.Raw)
	for i := range b.spans {
		size += binary.MaxVarintLen32 - b.spans[i].extra
	}
	out := appendVarInt(append(make([]byte, 0, size), b.Raw[:HeaderSize]...), uint64(len(b.Txs)))
	for _, s := range b.spans {
		out = binary.AppendUvarint(out, uint64(s.extra))
		out = append(out, b.Raw[s.start:s.start+4]...)
		out = append(out, b.Raw[s.body:s.witness]...)
		out = append(out, b.Raw[s.lock:s.end]...)
	}
	return out
}

func readBlock(b []byte, compact bool) (*Block, error) {
	if len(b) > MaxBlockWeight {
		return nil, fmt.Errorf("%w: block of %d bytes", ErrMalformed, len(b))
	}
	if len(b) < HeaderSize+1 {
		return nil, fmt.Errorf("%w: block of %d bytes", ErrMalformed, len(b))
	}
	h, err := ParseHeader(b[:HeaderSize])
	if err != nil {
		return nil, err
	}
	r := reader{b: b, pos: HeaderSize}
	n := r.count("transactions", 10+minTxIn+minTxOut)
	blk := &Block{Header: h, Raw: b, Txs: make([]Tx, n), spans: make([]spans, n), txids: make([]Hash, n)}
	for i := range n {
		extra := 0
		if compact {
			v, m := binary.Uvarint(b[r.pos:])
			if m <= 0 || v > MaxBlockWeight {
				return nil, fmt.Errorf("%w: size of the witnesses of transaction %d", ErrMalformed, i)
			}
			r.pos += m
			extra = int(v)
		}
		blk.Txs[i], blk.spans[i] = r.tx()
		blk.spans[i].extra += extra
		if r.err != nil {
			return nil, fmt.Errorf("transaction %d: %w", i, r.err)
		}
		blk.txids[i] = blk.spans[i].txid(b)
	}
	if r.err == nil && r.left() != 0 {
		r.fail("%d bytes after the block", r.left())
	}
	if r.err != nil {
		return nil, r.err
	}
	return blk, nil
}

// Txid is the id of the i-th transaction, computed while parsing.
func (b *Block) Txid(i int) Hash { return b.txids[i] }

// Txids are the ids of all transactions; they must not be changed.
func (b *Block) Txids() []Hash { return b.txids }

// TxVSize is the virtual size of the i-th transaction.
func (b *Block) TxVSize(i int) int { return (b.spans[i].weight() + 3) / 4 }

// Weight is the block's weight (BIP141).
func (b *Block) Weight() int {
	w := 4 * (HeaderSize + varIntLen(uint64(len(b.Txs))))
	for i := range b.spans {
		w += b.spans[i].weight()
	}
	return w
}

// Errors of Block.Check. All but ErrBlockInvalid say that the body does not belong to the header: another body may, so the header
// stays good. ErrBlockInvalid says that the body which the header commits to breaks a rule, so the block can never be valid.
var (
	ErrBlockEmpty      = errors.New("block has no transactions")
	ErrBlockMerkleRoot = errors.New("block's transactions do not match its merkle root")
	ErrBlockMutated    = errors.New("block's transaction list was mutated")
	ErrBlockWitness    = errors.New("block's witnesses do not match their commitment")
	ErrBlockInvalid    = errors.New("block breaks a consensus rule")
)

// witnessMagic starts the output script that holds the witness commitment: OP_RETURN, push of 36 bytes, 0xaa21a9ed (BIP141).
var witnessMagic = []byte{opReturn, 0x24, 0xaa, 0x21, 0xa9, 0xed}

// Check verifies everything about a block that needs no other block: that the body is the one which the header commits to,
// witnesses included, and that it keeps the context-free rules. Scripts are not run. segwit tells whether BIP141 is active at the
// block's height; before, a witness belongs to no block.
func (b *Block) Check(segwit bool) error {
	if len(b.Txs) == 0 {
		return ErrBlockEmpty
	}
	// A list whose tail is repeated has the root of the list without the repetition (CVE-2012-2459).
	root, mutated := merkleRoot(append([]Hash(nil), b.txids...))
	if root != b.Header.MerkleRoot {
		return ErrBlockMerkleRoot
	}
	if mutated {
		return fmt.Errorf("%w: repeated transactions", ErrBlockMutated)
	}
	// An inner node of the tree can pose as a transaction of 64 bytes, but not as a coinbase without breaking the hash.
	if !b.Txs[0].IsCoinbase() || b.Txs[0].size(false) == 64 {
		return fmt.Errorf("%w: the first transaction is no coinbase", ErrBlockMutated)
	}
	if err := b.checkWitness(segwit); err != nil {
		return err
	}
	// From here on the body is known to be the header's own.
	if w := b.Weight(); w > MaxBlockWeight {
		return fmt.Errorf("%w: weight %d", ErrBlockInvalid, w)
	}
	for i := range b.Txs {
		if i > 0 && b.Txs[i].IsCoinbase() {
			return fmt.Errorf("%w: transaction %d is a second coinbase", ErrBlockInvalid, i)
		}
		if err := b.Txs[i].Check(); err != nil {
			return fmt.Errorf("%w: transaction %d: %w", ErrBlockInvalid, i, err)
		}
	}
	return nil
}

func (b *Block) checkWitness(segwit bool) error {
	coinbase := &b.Txs[0]
	var commitment []byte
	for i := range coinbase.Outputs {
		if s := coinbase.Outputs[i].Script; len(s) >= 38 && bytes.HasPrefix(s, witnessMagic) {
			commitment = s[6:38] // the last one counts
		}
	}
	if commitment == nil || !segwit {
		for i := range b.Txs {
			if b.spans[i].segwit {
				return fmt.Errorf("%w: transaction %d has a witness that nothing commits to", ErrBlockWitness, i)
			}
		}
		return nil
	}
	w := coinbase.Inputs[0].Witness
	if len(w) != 1 || len(w[0]) != 32 {
		return fmt.Errorf("%w: the coinbase's reserved value is not one item of 32 bytes", ErrBlockWitness)
	}
	ids := make([]Hash, len(b.Txs))
	for i := 1; i < len(ids); i++ {
		s := b.spans[i]
		if s.segwit {
			ids[i] = DoubleSHA256(b.Raw[s.start:s.end])
		} else {
			ids[i] = b.txids[i]
		}
	}
	root, _ := merkleRoot(ids)
	if got := DoubleSHA256(append(root[:], w[0]...)); !bytes.Equal(got[:], commitment) {
		return ErrBlockWitness
	}
	return nil
}

// CoinbaseHeight is the height that the coinbase's script starts with (BIP34), and false if it does not start with a minimally
// encoded number.
func (b *Block) CoinbaseHeight() (uint32, bool) {
	s := b.Txs[0].Inputs[0].ScriptSig
	if len(s) == 0 {
		return 0, false
	}
	switch n := int(s[0]); {
	case n == op0:
		return 0, true
	case n >= op1 && n <= op1+15:
		return uint32(n - op1 + 1), true
	case n >= 1 && n <= 4 && len(s) > n:
		d := s[1 : 1+n]
		if d[n-1]&0x80 != 0 || d[n-1] == 0 && (n == 1 || d[n-2]&0x80 == 0) {
			return 0, false
		}
		var v uint32
		for i := n - 1; i >= 0; i-- {
			v = v<<8 | uint32(d[i])
		}
		return v, v > 16
	}
	return 0, false
}

// MerkleRoot is the root over transaction ids in block order; it is zero for none.
func MerkleRoot(ids []Hash) Hash {
	root, _ := merkleRoot(append([]Hash(nil), ids...))
	return root
}

// merkleRoot folds level in place and tells whether two equal neighbours were hashed together anywhere but at an odd end.
func merkleRoot(level []Hash) (root Hash, mutated bool) {
	if len(level) == 0 {
		return Hash{}, false
	}
	for len(level) > 1 {
		for i := 0; i+1 < len(level); i += 2 {
			mutated = mutated || level[i] == level[i+1]
		}
		if len(level)%2 == 1 {
			level = append(level, level[len(level)-1])
		}
		var pair [64]byte
		for i := 0; i < len(level); i += 2 {
			copy(pair[:32], level[i][:])
			copy(pair[32:], level[i+1][:])
			level[i/2] = DoubleSHA256(pair[:])
		}
		level = level[:len(level)/2]
	}
	return level[0], mutated
}
