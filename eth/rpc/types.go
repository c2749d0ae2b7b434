package rpc

import (
	"fmt"
	"math"
	"strconv"

	"github.com/holiman/uint256"

	"fusion/eth"
)

// Limits of typed answers.
const (
	maxLogs         = 100_000
	maxTopics       = 4        // LOG4 (yellow paper)
	maxTransactions = 100_000  // of one block
	maxUncles       = 16       // mainnet had at most 2
	maxExtra        = 1 << 10  // bytes of extra data: 32 on mainnet, more in proof-of-authority networks
	maxLogData      = 8 << 20  // bytes
	maxHistory      = 1024     // blocks of eth_feeHistory (every node's limit)
	maxPercentiles  = 100      // of one block in eth_feeHistory
	maxReceipts     = 100_000  // of one block
	maxProofNodes   = 64       // a path through a hexary trie of 32-byte keys
	maxProofNode    = 1024     // bytes: a branch node has 17 references of 33
	maxStorage      = 128      // slots of one eth_getProof
	maxData         = 8 << 20  // bytes of eth_call's answer
	bloomSize       = 2048 / 8 // yellow paper
	maxMessage      = 1000     // bytes of an error's message that are kept
)

// Bloom is the filter of 2048 bits over the addresses and topics of logs.
type Bloom [bloomSize]byte

// Log is an event of a contract.
type Log struct {
	Address     eth.Address
	Topics      []eth.Hash // at most 4
	Data        []byte
	BlockNumber uint64
	BlockHash   eth.Hash
	TxHash      eth.Hash
	TxIndex     uint64
	Index       uint64 // in the block
	Removed     bool
}

// Block is a header with the hashes of its transactions. What newer forks added is nil before them.
type Block struct {
	Number           uint64
	Hash             eth.Hash
	ParentHash       eth.Hash
	UnclesHash       eth.Hash
	Miner            eth.Address
	StateRoot        eth.Hash
	TransactionsRoot eth.Hash
	ReceiptsRoot     eth.Hash
	LogsBloom        Bloom
	Difficulty       uint256.Int
	GasLimit         uint64
	GasUsed          uint64
	Timestamp        uint64 // seconds since 1970
	ExtraData        []byte
	MixHash          eth.Hash
	Nonce            [8]byte
	BaseFee          *uint256.Int // wei for a unit of gas; London
	WithdrawalsRoot  *eth.Hash    // Shanghai
	BlobGasUsed      *uint64      // Cancun
	ExcessBlobGas    *uint64      // Cancun
	BeaconRoot       *eth.Hash    // Cancun: parentBeaconBlockRoot
	RequestsHash     *eth.Hash    // Prague
	AccessListHash   *eth.Hash    // Amsterdam: blockAccessListHash
	SlotNumber       *uint64      // Amsterdam
	Size             uint64       // bytes
	Uncles           []eth.Hash
	Transactions     []eth.Hash
}

// Receipt is the outcome of a transaction.
type Receipt struct {
	Type              uint64 // of the transaction (EIP-2718)
	TxHash            eth.Hash
	TxIndex           uint64
	BlockHash         eth.Hash
	BlockNumber       uint64
	From              eth.Address
	To                *eth.Address // nil when a contract was created
	Contract          *eth.Address // that was created
	Status            *uint64      // 1 success, 0 failure; nil before Byzantium
	Root              *eth.Hash    // before Byzantium
	CumulativeGasUsed uint64
	GasUsed           uint64
	EffectiveGasPrice uint256.Int // wei
	LogsBloom         Bloom
	Logs              []Log
}

// FeeHistory is the answer of eth_feeHistory: BaseFee has one element more than GasUsedRatio, for the block after the newest.
type FeeHistory struct {
	OldestBlock  uint64
	BaseFee      []uint256.Int // wei for a unit of gas
	GasUsedRatio []float64
	Reward       [][]uint256.Int // wei, by block and percentile; nil if no percentiles were asked for
}

// Transaction is what a node says of a transaction. What its type has not is nil.
type Transaction struct {
	Type                 uint64 // EIP-2718
	Hash                 eth.Hash
	From                 eth.Address
	To                   *eth.Address // nil when it creates a contract
	Nonce                uint64
	Value                uint256.Int // wei
	Input                []byte
	Gas                  uint64
	ChainID              *uint256.Int
	GasPrice             *uint256.Int // wei; of types 2 and above only for those in a block
	MaxFeePerGas         *uint256.Int // wei
	MaxPriorityFeePerGas *uint256.Int // wei
	V, R, S              *uint256.Int // the signature
	BlockHash            *eth.Hash    // nil while it waits
	BlockNumber          *uint64
	Index                *uint64
}

// Proof is the answer of eth_getProof: an account, and the trie's nodes that lead to it from the block's state root.
type Proof struct {
	Address     eth.Address
	Balance     uint256.Int
	Nonce       uint64
	CodeHash    eth.Hash
	StorageHash eth.Hash
	Nodes       [][]byte
	Storage     []StorageProof
}

// StorageProof is one slot of an account and the nodes that lead to it from the account's storage root.
type StorageProof struct {
	Key   eth.Hash
	Value uint256.Int
	Nodes [][]byte
}

// ---- values ----

// hexBytes reads "0x…" as bytes.
func (d *decoder) hexBytes(most int) ([]byte, error) {
	s, err := d.hexString()
	if err != nil {
		return nil, err
	}
	if len(s)%2 != 0 || len(s)/2 > most {
		return nil, d.fail("%d hexadecimal digits, want an even number of at most %d", len(s), 2*most)
	}
	out := make([]byte, len(s)/2)
	return out, d.unhex(out, s)
}

func (d *decoder) unhex(out, s []byte) error {
	for i := range out {
		hi, lo := nibble(s[2*i]), nibble(s[2*i+1])
		if hi|lo > 15 {
			return d.fail("no hexadecimal digit")
		}
		out[i] = hi<<4 | lo
	}
	return nil
}

// hexString reads a string and cuts the 0x from its front.
func (d *decoder) hexString() ([]byte, error) {
	if d.peek() != '"' {
		return nil, d.fail("want a string of hexadecimal digits")
	}
	s, err := d.str()
	if err != nil {
		return nil, err
	}
	if len(s) < 2 || s[0] != '0' || s[1]|0x20 != 'x' {
		return nil, d.fail("want 0x and hexadecimal digits")
	}
	return s[2:], nil
}

// fixed fills out from exactly as many digits.
func (d *decoder) fixed(out []byte) error {
	s, err := d.hexString()
	if err != nil {
		return err
	}
	if len(s) != 2*len(out) {
		return d.fail("%d hexadecimal digits, want %d", len(s), 2*len(out))
	}
	return d.unhex(out, s)
}

func (d *decoder) hash() (h eth.Hash, err error)       { return h, d.fixed(h[:]) }
func (d *decoder) address() (a eth.Address, err error) { return a, d.fixed(a[:]) }

// quantity reads a number of at most 256 bits. Leading zeros, which the specification forbids and some nodes write, are forgiven.
func (d *decoder) quantity() (v uint256.Int, err error) {
	s, err := d.hexString()
	if err != nil {
		return v, err
	}
	if len(s) == 0 || len(s) > 64 {
		return v, d.fail("a quantity of %d digits", len(s))
	}
	var word [32]byte
	for i := range s {
		n := nibble(s[len(s)-1-i])
		if n > 15 {
			return v, d.fail("no hexadecimal digit")
		}
		word[31-i/2] |= n << (4 * (i % 2))
	}
	v.SetBytes32(word[:])
	return v, nil
}

func (d *decoder) uint() (uint64, error) {
	v, err := d.quantity()
	if err == nil && !v.IsUint64() {
		err = d.fail("a quantity of more than 64 bits")
	}
	return v.Uint64(), err
}

// float reads a ratio. Nodes print it with different precision; equal ones are equal afterwards.
func (d *decoder) float() (float64, error) {
	s, err := d.number()
	if err != nil {
		return 0, err
	}
	f, err := strconv.ParseFloat(string(s), 64)
	if err != nil || math.IsInf(f, 0) {
		return 0, d.fail("number %.30q", s)
	}
	return f + 0, nil
}

// optional reads a value, or null as nil.
func optional[T any](d *decoder, out **T, read func() (T, error)) error {
	if null, err := d.null(); null || err != nil {
		return err
	}
	v, err := read()
	*out = &v
	return err
}

func assign[T any](out *T, read func() (T, error)) (err error) {
	*out, err = read()
	return err
}

// fields checks that an object has what it must and nothing that is read twice.
type fields uint64

func (f *fields) mark(d *decoder, key []byte, bit int) error {
	if *f&(1<<bit) != 0 {
		return d.fail("key %q twice", key)
	}
	*f |= 1 << bit
	return nil
}

func (d *decoder) record(what string, names []string, required int, read func(k int) error) error {
	var seen fields
	err := d.object(func(key []byte) error {
		for k, name := range names {
			if string(key) == name {
				if err := seen.mark(d, key, k); err != nil {
					return err
				}
				if err := read(k); err != nil {
					return fmt.Errorf("%s of %s: %w", name, what, err)
				}
				return nil
			}
		}
		return d.skip()
	})
	if err != nil {
		return err
	}
	for k := range required {
		if seen&(1<<k) == 0 {
			return d.fail("%s without %s", what, names[k])
		}
	}
	return nil
}

func list[T any](d *decoder, most int, read func() (T, error)) (out []T, err error) {
	out = []T{}
	err = d.array(most, func() error {
		v, err := read()
		out = append(out, v)
		return err
	})
	return out, err
}

// ---- parsers ----

func typed[T any](text []byte, read func(*decoder) (T, error)) (v T, err error) {
	err = parse(text, func(d *decoder) error {
		v, err = read(d)
		return err
	})
	if err != nil {
		var none T
		return none, err
	}
	return v, nil
}

// ParseQuantity reads a number of at most 256 bits.
func ParseQuantity(result []byte) (uint256.Int, error) {
	return typed(result, (*decoder).quantity)
}

// ParseUint reads a number of at most 64 bits.
func ParseUint(result []byte) (uint64, error) { return typed(result, (*decoder).uint) }

// ParseHash reads a hash.
func ParseHash(result []byte) (eth.Hash, error) { return typed(result, (*decoder).hash) }

// ParseData reads bytes, as eth_call answers with.
func ParseData(result []byte) ([]byte, error) {
	return typed(result, func(d *decoder) ([]byte, error) { return d.hexBytes(maxData) })
}

var logFields = []string{"address", "topics", "data", "blockNumber", "blockHash", "transactionHash", "transactionIndex", "logIndex", "removed"}

func (d *decoder) log() (l Log, err error) {
	err = d.record("log", logFields, 8, func(k int) (err error) {
		switch k {
		case 0:
			return assign(&l.Address, d.address)
		case 1:
			l.Topics, err = list(d, maxTopics, d.hash)
		case 2:
			l.Data, err = d.hexBytes(maxLogData)
		case 3:
			l.BlockNumber, err = d.uint()
		case 4:
			l.BlockHash, err = d.hash()
		case 5:
			l.TxHash, err = d.hash()
		case 6:
			l.TxIndex, err = d.uint()
		case 7:
			l.Index, err = d.uint()
		case 8:
			l.Removed, err = d.boolean()
		}
		return err
	})
	return l, err
}

func (d *decoder) logs() ([]Log, error) { return list(d, maxLogs, d.log) }

// ParseLogs reads the answer of eth_getLogs. A log that is in no block yet is refused.
func ParseLogs(result []byte) ([]Log, error) { return typed(result, (*decoder).logs) }

var blockFields = []string{
	"number", "hash", "parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom", "gasLimit", "gasUsed", "timestamp", "extraData", "transactions",
	// Those may be absent.
	"difficulty", "mixHash", "nonce", "baseFeePerGas", "withdrawalsRoot", "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot", "requestsHash", "blockAccessListHash", "slotNumber", "size", "uncles",
}

const blockRequired = 14

func (d *decoder) block() (b Block, err error) {
	b.Uncles = []eth.Hash{}
	err = d.record("block", blockFields, blockRequired, func(k int) (err error) {
		switch k {
		case 0:
			b.Number, err = d.uint()
		case 1:
			b.Hash, err = d.hash()
		case 2:
			b.ParentHash, err = d.hash()
		case 3:
			b.UnclesHash, err = d.hash()
		case 4:
			b.Miner, err = d.address()
		case 5:
			b.StateRoot, err = d.hash()
		case 6:
			b.TransactionsRoot, err = d.hash()
		case 7:
			b.ReceiptsRoot, err = d.hash()
		case 8:
			err = d.fixed(b.LogsBloom[:])
		case 9:
			b.GasLimit, err = d.uint()
		case 10:
			b.GasUsed, err = d.uint()
		case 11:
			b.Timestamp, err = d.uint()
		case 12:
			b.ExtraData, err = d.hexBytes(maxExtra)
		case 13:
			b.Transactions, err = list(d, maxTransactions, d.txHash)
		case 14:
			b.Difficulty, err = d.quantity()
		case 15:
			b.MixHash, err = d.hash()
		case 16:
			err = d.fixed(b.Nonce[:])
		case 17:
			err = optional(d, &b.BaseFee, d.quantity)
		case 18:
			err = optional(d, &b.WithdrawalsRoot, d.hash)
		case 19:
			err = optional(d, &b.BlobGasUsed, d.uint)
		case 20:
			err = optional(d, &b.ExcessBlobGas, d.uint)
		case 21:
			err = optional(d, &b.BeaconRoot, d.hash)
		case 22:
			err = optional(d, &b.RequestsHash, d.hash)
		case 23:
			err = optional(d, &b.AccessListHash, d.hash)
		case 24:
			err = optional(d, &b.SlotNumber, d.uint)
		case 25:
			b.Size, err = d.uint()
		case 26:
			b.Uncles, err = list(d, maxUncles, d.hash)
		}
		return err
	})
	return b, err
}

var hashField = []string{"hash"}

// txHash reads a transaction's hash, or a whole transaction for its hash.
func (d *decoder) txHash() (h eth.Hash, err error) {
	if d.peek() == '"' {
		return d.hash()
	}
	err = d.record("transaction", hashField, 1, func(int) (err error) {
		h, err = d.hash()
		return err
	})
	return h, err
}

// ParseBlock reads the answer of eth_getBlockByNumber or eth_getBlockByHash: nil for a block that the node does not have.
func ParseBlock(result []byte) (*Block, error) { return orNil(result, (*decoder).block) }

func orNil[T any](result []byte, read func(*decoder) (T, error)) (*T, error) {
	var out *T
	err := parse(result, func(d *decoder) error {
		return optional(d, &out, func() (T, error) { return read(d) })
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

var receiptFields = []string{
	"transactionHash", "transactionIndex", "blockHash", "blockNumber", "from", "cumulativeGasUsed", "gasUsed", "logsBloom", "logs",
	// Those may be absent.
	"type", "to", "contractAddress", "status", "root", "effectiveGasPrice",
}

const receiptRequired = 9

func (d *decoder) receipt() (r Receipt, err error) {
	err = d.record("receipt", receiptFields, receiptRequired, func(k int) (err error) {
		switch k {
		case 0:
			r.TxHash, err = d.hash()
		case 1:
			r.TxIndex, err = d.uint()
		case 2:
			r.BlockHash, err = d.hash()
		case 3:
			r.BlockNumber, err = d.uint()
		case 4:
			r.From, err = d.address()
		case 5:
			r.CumulativeGasUsed, err = d.uint()
		case 6:
			r.GasUsed, err = d.uint()
		case 7:
			err = d.fixed(r.LogsBloom[:])
		case 8:
			r.Logs, err = d.logs()
		case 9:
			r.Type, err = d.uint()
		case 10:
			err = optional(d, &r.To, d.address)
		case 11:
			err = optional(d, &r.Contract, d.address)
		case 12:
			err = optional(d, &r.Status, d.uint)
		case 13:
			err = optional(d, &r.Root, d.hash)
		case 14:
			r.EffectiveGasPrice, err = d.quantity()
		}
		return err
	})
	if r.Status != nil {
		r.Root = nil // some nodes write both; only one is part of the receipt
	} else if err == nil && r.Root == nil {
		err = d.fail("a receipt without status")
	}
	if r.To != nil {
		r.Contract = nil // of a creation only; some nodes write the zero address
	}
	return r, err
}

// ParseReceipt reads the answer of eth_getTransactionReceipt: nil for a transaction that is in no block.
func ParseReceipt(result []byte) (*Receipt, error) { return orNil(result, (*decoder).receipt) }

// ParseReceipts reads the answer of eth_getBlockReceipts. ok is false for null, which stands for a block that the node does not have.
func ParseReceipts(result []byte) (_ []Receipt, ok bool, err error) {
	out, err := orNil(result, func(d *decoder) ([]Receipt, error) { return list(d, maxReceipts, d.receipt) })
	if err != nil || out == nil {
		return nil, false, err
	}
	return *out, true, nil
}

var historyFields = []string{"oldestBlock", "baseFeePerGas", "gasUsedRatio", "reward"}

func (d *decoder) feeHistory() (h FeeHistory, err error) {
	err = d.record("fee history", historyFields, 3, func(k int) (err error) {
		switch k {
		case 0:
			h.OldestBlock, err = d.uint()
		case 1:
			h.BaseFee, err = list(d, maxHistory+1, d.quantity)
		case 2:
			h.GasUsedRatio, err = list(d, maxHistory, d.float)
		case 3:
			if null, err := d.null(); null || err != nil {
				return err
			}
			h.Reward, err = list(d, maxHistory, func() ([]uint256.Int, error) { return list(d, maxPercentiles, d.quantity) })
			if len(h.Reward) == 0 {
				h.Reward = nil
			}
		}
		return err
	})
	if err == nil && len(h.BaseFee) != len(h.GasUsedRatio)+1 {
		err = d.fail("a fee history of %d base fees and %d ratios", len(h.BaseFee), len(h.GasUsedRatio))
	}
	if err == nil && h.Reward != nil && len(h.Reward) != len(h.GasUsedRatio) {
		err = d.fail("a fee history of %d rewards and %d ratios", len(h.Reward), len(h.GasUsedRatio))
	}
	return h, err
}

// ParseFeeHistory reads the answer of eth_feeHistory.
func ParseFeeHistory(result []byte) (FeeHistory, error) { return typed(result, (*decoder).feeHistory) }

var transactionFields = []string{
	"hash", "from", "nonce", "value", "input", "gas",
	// Those may be absent.
	"type", "to", "blockNumber", "blockHash", "transactionIndex", "chainId", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas", "v", "r", "s",
}

const transactionRequired = 6

func (d *decoder) transaction() (t Transaction, err error) {
	err = d.record("transaction", transactionFields, transactionRequired, func(k int) (err error) {
		switch k {
		case 0:
			t.Hash, err = d.hash()
		case 1:
			t.From, err = d.address()
		case 2:
			t.Nonce, err = d.uint()
		case 3:
			t.Value, err = d.quantity()
		case 4:
			t.Input, err = d.hexBytes(maxData)
		case 5:
			t.Gas, err = d.uint()
		case 6:
			t.Type, err = d.uint()
		case 7:
			err = optional(d, &t.To, d.address)
		case 8:
			err = optional(d, &t.BlockNumber, d.uint)
		case 9:
			err = optional(d, &t.BlockHash, d.hash)
		case 10:
			err = optional(d, &t.Index, d.uint)
		default:
			err = optional(d, []**uint256.Int{&t.ChainID, &t.GasPrice, &t.MaxFeePerGas, &t.MaxPriorityFeePerGas, &t.V, &t.R, &t.S}[k-11], d.quantity)
		}
		return err
	})
	if err == nil && (t.BlockNumber == nil) != (t.BlockHash == nil) {
		err = d.fail("a transaction with half a block")
	}
	return t, err
}

// ParseTransaction reads the answer of eth_getTransactionByHash: nil for one that the node does not know.
func ParseTransaction(result []byte) (*Transaction, error) {
	return orNil(result, (*decoder).transaction)
}

func (d *decoder) nodes() ([][]byte, error) {
	return list(d, maxProofNodes, func() ([]byte, error) { return d.hexBytes(maxProofNode) })
}

var (
	proofFields   = []string{"balance", "nonce", "codeHash", "storageHash", "accountProof", "address", "storageProof"}
	storageFields = []string{"key", "value", "proof"}
)

func (d *decoder) storage() (s StorageProof, err error) {
	err = d.record("storage proof", storageFields, 3, func(k int) (err error) {
		switch k {
		case 0:
			var key uint256.Int // some nodes shorten it
			key, err = d.quantity()
			s.Key = key.Bytes32()
		case 1:
			s.Value, err = d.quantity()
		case 2:
			s.Nodes, err = d.nodes()
		}
		return err
	})
	return s, err
}

func (d *decoder) proof() (p Proof, err error) {
	p.Storage = []StorageProof{}
	err = d.record("account proof", proofFields, 6, func(k int) (err error) {
		switch k {
		case 0:
			p.Balance, err = d.quantity()
		case 1:
			p.Nonce, err = d.uint()
		case 2:
			p.CodeHash, err = d.hash()
		case 3:
			p.StorageHash, err = d.hash()
		case 4:
			p.Nodes, err = d.nodes()
		case 5:
			p.Address, err = d.address()
		case 6:
			p.Storage, err = list(d, maxStorage, d.storage)
		}
		return err
	})
	return p, err
}

// ParseProof reads the answer of eth_getProof.
func ParseProof(result []byte) (Proof, error) { return typed(result, (*decoder).proof) }
