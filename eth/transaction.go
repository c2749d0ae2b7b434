package eth

import (
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/rlp"
	"github.com/holiman/uint256"
)

// MaxTransactionSize bounds a serialised transaction: 128 KiB, above which nodes do not relay one (go-ethereum, txMaxSize).
const MaxTransactionSize = 128 << 10

// typeEIP1559 is the transaction type of EIP-1559, the first byte of its envelope (EIP-2718).
const typeEIP1559 = 2

// ErrTransaction is bytes that are no transaction of ours; test with errors.Is.
var ErrTransaction = errors.New("malformed transaction")

// Transaction is an EIP-1559 transaction with an empty access list. It does not create contracts.
type Transaction struct {
	ChainID              uint64
	Nonce                uint64
	MaxPriorityFeePerGas uint256.Int // wei
	MaxFeePerGas         uint256.Int // wei
	GasLimit             uint64
	To                   Address
	Value                uint256.Int // wei
	Data                 []byte
}

// encode serialises the transaction, with a signature if there is one, behind its type byte.
func (t Transaction) encode(sig *Signature) []byte {
	w := rlp.NewEncoderBuffer(nil)
	list := w.List()
	w.WriteUint64(t.ChainID)
	w.WriteUint64(t.Nonce)
	w.WriteUint256(&t.MaxPriorityFeePerGas)
	w.WriteUint256(&t.MaxFeePerGas)
	w.WriteUint64(t.GasLimit)
	w.WriteBytes(t.To[:])
	w.WriteUint256(&t.Value)
	w.WriteBytes(t.Data)
	w.ListEnd(w.List()) // the access list
	if sig != nil {
		w.WriteUint64(uint64(sig.V))
		w.WriteUint256(new(uint256.Int).SetBytes32(sig.R[:]))
		w.WriteUint256(new(uint256.Int).SetBytes32(sig.S[:]))
	}
	w.ListEnd(list)
	out := w.AppendToBytes([]byte{typeEIP1559})
	_ = w.Flush() // gives the buffer back
	return out
}

// SigningHash is the digest that the sender signs.
func (t Transaction) SigningHash() [32]byte { return Keccak256(t.encode(nil)) }

// Sign attaches r‖s, which must be a signature of SigningHash by the key pub (SEC 1), and finds what else the form needs.
func (t Transaction) Sign(rs [64]byte, pub []byte) (Signed, error) {
	if t.ChainID == 0 {
		return Signed{}, fmt.Errorf("%w: the chain id is zero, so nodes would take it for any chain", ErrTransaction)
	}
	sig, err := NewSignature(t.SigningHash(), rs, pub)
	if err != nil {
		return Signed{}, fmt.Errorf("transaction with nonce %d: %w", t.Nonce, err)
	}
	return Signed{Transaction: t, Signature: sig}, nil
}

// Signed is a transaction that nodes accept.
type Signed struct {
	Transaction
	Signature Signature
}

// Raw is the transaction's serialisation, what eth_sendRawTransaction takes.
func (s Signed) Raw() []byte { return s.encode(&s.Signature) }

// Hash is the transaction's name on chain.
func (s Signed) Hash() Hash { return Keccak256(s.Raw()) }

// Sender is the account that signed.
func (s Signed) Sender() (Address, error) { return s.Signature.Recover(s.SigningHash()) }

// ParseSigned reads a serialised transaction: EIP-1559 with an empty access list, a recipient and a signature with low s, in the
// only form that encodes it. Data aliases raw.
func ParseSigned(raw []byte) (Signed, error) {
	fail := func(what string, err error) (Signed, error) {
		if err != nil {
			return Signed{}, fmt.Errorf("%w: %s: %v", ErrTransaction, what, err)
		}
		return Signed{}, fmt.Errorf("%w: %s", ErrTransaction, what)
	}
	if len(raw) > MaxTransactionSize {
		return fail(fmt.Sprintf("%d bytes, at most %d", len(raw), MaxTransactionSize), nil)
	}
	if len(raw) == 0 || raw[0] != typeEIP1559 {
		return fail("it is not of type 2 (EIP-1559)", nil)
	}
	list, rest, err := rlp.SplitList(raw[1:])
	if err != nil || len(rest) != 0 {
		return fail("want one list and nothing behind it", err)
	}
	var (
		s   Signed
		r   = reader{rest: list}
		v   uint64
		sig [2]uint256.Int
	)
	r.uint64("chain id", &s.ChainID)
	r.uint64("nonce", &s.Nonce)
	r.uint256("priority fee", &s.MaxPriorityFeePerGas)
	r.uint256("max fee", &s.MaxFeePerGas)
	r.uint64("gas limit", &s.GasLimit)
	if to := r.bytes("recipient"); len(to) == len(s.To) {
		s.To = Address(to)
	} else if r.err == nil {
		return fail(fmt.Sprintf("recipient of %d bytes, want 20", len(to)), nil)
	}
	r.uint256("value", &s.Value)
	s.Data = r.bytes("data")
	if access := r.list("access list"); r.err == nil && len(access) != 0 {
		return fail("the access list is not empty", nil)
	}
	r.uint64("recovery id", &v)
	r.uint256("r", &sig[0])
	r.uint256("s", &sig[1])
	if r.err != nil {
		return fail(r.field, r.err)
	}
	if len(r.rest) != 0 {
		return fail("more fields than it has", nil)
	}
	s.Signature = Signature{R: sig[0].Bytes32(), S: sig[1].Bytes32(), V: byte(min(v, 2))}
	if err := s.Signature.check(); err != nil {
		return fail("signature", err)
	}
	if s.ChainID == 0 {
		return fail("the chain id is zero", nil)
	}
	if s.MaxPriorityFeePerGas.Gt(&s.MaxFeePerGas) {
		return fail("the priority fee is above the max fee", nil)
	}
	return s, nil
}

// reader takes fields from the contents of an RLP list until the first error.
type reader struct {
	rest  []byte
	field string // where the error is
	err   error
}

func (r *reader) bytes(field string) (b []byte) {
	if r.err != nil {
		return nil
	}
	r.field = field
	b, r.rest, r.err = rlp.SplitString(r.rest)
	return b
}

func (r *reader) list(field string) (b []byte) {
	if r.err != nil {
		return nil
	}
	r.field = field
	b, r.rest, r.err = rlp.SplitList(r.rest)
	return b
}

func (r *reader) uint64(field string, to *uint64) {
	if r.err != nil {
		return
	}
	r.field = field
	*to, r.rest, r.err = rlp.SplitUint64(r.rest)
}

func (r *reader) uint256(field string, to *uint256.Int) {
	b := r.bytes(field)
	switch {
	case r.err != nil:
	case len(b) > 32:
		r.err = errors.New("a number of more than 32 bytes")
	case len(b) > 0 && b[0] == 0:
		r.err = errors.New("a number with leading zeros")
	default:
		to.SetBytes(b)
	}
}
