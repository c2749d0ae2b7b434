package rpc

import (
	"encoding/hex"
	"strconv"

	"github.com/holiman/uint256"

	"fusion/eth"
)

// What is parsed is written again in one form: the names of the specification in alphabetical order, quantities without leading zeros, digits in lower case,
// absent fields left out. Two honest nodes of different make then give equal bytes.

// writer appends an object's members.
type writer struct {
	b     []byte
	first bool
}

func (w *writer) open(c byte)  { w.b, w.first = append(w.b, c), true }
func (w *writer) close(c byte) { w.b, w.first = append(w.b, c), false }

// next begins an element.
func (w *writer) next() {
	if !w.first {
		w.b = append(w.b, ',')
	}
	w.first = false
}

func (w *writer) key(name string) {
	w.next()
	w.b = append(append(append(w.b, '"'), name...), '"', ':')
}

func (w *writer) data(b []byte) { w.b = appendHex(w.b, b) }

func (w *writer) hash(name string, h eth.Hash) { w.key(name); w.data(h[:]) }

func (w *writer) bytes(name string, b []byte) { w.key(name); w.data(b) }

func (w *writer) uint(name string, v uint64) { w.key(name); w.b = appendUint(w.b, v) }

func (w *writer) big(name string, v *uint256.Int) { w.key(name); w.b = appendBig(w.b, v) }

func appendHex(b, data []byte) []byte {
	return append(hex.AppendEncode(append(b, `"0x`...), data), '"')
}

func appendUint(b []byte, v uint64) []byte {
	return append(strconv.AppendUint(append(b, `"0x`...), v, 16), '"')
}

func appendBig(b []byte, v *uint256.Int) []byte {
	return append(append(append(b, '"'), v.Hex()...), '"')
}

func (w *writer) hashes(name string, hashes []eth.Hash) {
	w.key(name)
	w.open('[')
	for i := range hashes {
		w.next()
		w.data(hashes[i][:])
	}
	w.close(']')
}

func (w *writer) log(l *Log) {
	w.open('{')
	w.bytes("address", l.Address[:])
	w.hash("blockHash", l.BlockHash)
	w.uint("blockNumber", l.BlockNumber)
	w.bytes("data", l.Data)
	w.uint("logIndex", l.Index)
	w.key("removed")
	w.b = strconv.AppendBool(w.b, l.Removed)
	w.hashes("topics", l.Topics)
	w.hash("transactionHash", l.TxHash)
	w.uint("transactionIndex", l.TxIndex)
	w.close('}')
}

func (w *writer) logs(logs []Log) {
	w.open('[')
	for i := range logs {
		w.next()
		w.log(&logs[i])
	}
	w.close(']')
}

// EncodeUint is a number as the specification writes it.
func EncodeUint(v uint64) []byte { return appendUint(nil, v) }

// EncodeQuantity is a number as the specification writes it.
func EncodeQuantity(v *uint256.Int) []byte { return appendBig(nil, v) }

// EncodeData is bytes, also those of a hash, as the specification writes them.
func EncodeData(b []byte) []byte { return appendHex(nil, b) }

// EncodeLogs is the canonical form of eth_getLogs' answer, in the order given.
func EncodeLogs(logs []Log) []byte {
	w := writer{b: make([]byte, 0, 2+len(logs)*700)}
	w.logs(logs)
	return w.b
}

// EncodeBlock is the canonical form of a block; null for nil. The total difficulty, which many nodes have forgotten, is not in it.
func EncodeBlock(b *Block) []byte {
	if b == nil {
		return []byte("null")
	}
	w := writer{b: make([]byte, 0, 2048+70*len(b.Transactions))}
	w.open('{')
	if b.BaseFee != nil {
		w.big("baseFeePerGas", b.BaseFee)
	}
	optionalUint := func(name string, v *uint64) {
		if v != nil {
			w.uint(name, *v)
		}
	}
	optionalHash := func(name string, h *eth.Hash) {
		if h != nil {
			w.hash(name, *h)
		}
	}
	optionalUint("blobGasUsed", b.BlobGasUsed)
	optionalHash("blockAccessListHash", b.AccessListHash)
	w.big("difficulty", &b.Difficulty)
	optionalUint("excessBlobGas", b.ExcessBlobGas)
	w.bytes("extraData", b.ExtraData)
	w.uint("gasLimit", b.GasLimit)
	w.uint("gasUsed", b.GasUsed)
	w.hash("hash", b.Hash)
	w.bytes("logsBloom", b.LogsBloom[:])
	w.bytes("miner", b.Miner[:])
	w.hash("mixHash", b.MixHash)
	w.bytes("nonce", b.Nonce[:])
	w.uint("number", b.Number)
	optionalHash("parentBeaconBlockRoot", b.BeaconRoot)
	w.hash("parentHash", b.ParentHash)
	w.hash("receiptsRoot", b.ReceiptsRoot)
	optionalHash("requestsHash", b.RequestsHash)
	w.hash("sha3Uncles", b.UnclesHash)
	w.uint("size", b.Size)
	optionalUint("slotNumber", b.SlotNumber)
	w.hash("stateRoot", b.StateRoot)
	w.uint("timestamp", b.Timestamp)
	w.hashes("transactions", b.Transactions)
	w.hash("transactionsRoot", b.TransactionsRoot)
	w.hashes("uncles", b.Uncles)
	optionalHash("withdrawalsRoot", b.WithdrawalsRoot)
	w.close('}')
	return w.b
}

func (w *writer) receipt(r *Receipt) {
	w.open('{')
	w.hash("blockHash", r.BlockHash)
	w.uint("blockNumber", r.BlockNumber)
	if r.Contract != nil {
		w.bytes("contractAddress", r.Contract[:])
	}
	w.uint("cumulativeGasUsed", r.CumulativeGasUsed)
	w.big("effectiveGasPrice", &r.EffectiveGasPrice)
	w.bytes("from", r.From[:])
	w.uint("gasUsed", r.GasUsed)
	w.key("logs")
	w.logs(r.Logs)
	w.bytes("logsBloom", r.LogsBloom[:])
	if r.Root != nil {
		w.hash("root", *r.Root)
	}
	if r.Status != nil {
		w.uint("status", *r.Status)
	}
	if r.To != nil {
		w.bytes("to", r.To[:])
	}
	w.hash("transactionHash", r.TxHash)
	w.uint("transactionIndex", r.TxIndex)
	w.uint("type", r.Type)
	w.close('}')
}

// EncodeReceipt is the canonical form of a receipt; null for nil.
func EncodeReceipt(r *Receipt) []byte {
	if r == nil {
		return []byte("null")
	}
	w := writer{}
	w.receipt(r)
	return w.b
}

// EncodeReceipts is the canonical form of eth_getBlockReceipts' answer.
func EncodeReceipts(receipts []Receipt) []byte {
	w := writer{}
	w.open('[')
	for i := range receipts {
		w.next()
		w.receipt(&receipts[i])
	}
	w.close(']')
	return w.b
}

func (w *writer) quantities(list []uint256.Int) {
	w.open('[')
	for i := range list {
		w.next()
		w.b = appendBig(w.b, &list[i])
	}
	w.close(']')
}

// EncodeFeeHistory is the canonical form of eth_feeHistory's answer.
func EncodeFeeHistory(h *FeeHistory) []byte {
	w := writer{}
	w.open('{')
	w.key("baseFeePerGas")
	w.quantities(h.BaseFee)
	w.key("gasUsedRatio")
	w.open('[')
	for _, f := range h.GasUsedRatio {
		w.next()
		w.b = strconv.AppendFloat(w.b, f, 'g', -1, 64)
	}
	w.close(']')
	w.uint("oldestBlock", h.OldestBlock)
	if h.Reward != nil {
		w.key("reward")
		w.open('[')
		for _, r := range h.Reward {
			w.next()
			w.quantities(r)
		}
		w.close(']')
	}
	w.close('}')
	return w.b
}

// EncodeTransaction is the canonical form of a transaction; null for nil.
func EncodeTransaction(t *Transaction) []byte {
	if t == nil {
		return []byte("null")
	}
	w := writer{}
	optionalBig := func(name string, v *uint256.Int) {
		if v != nil {
			w.big(name, v)
		}
	}
	w.open('{')
	if t.BlockHash != nil {
		w.hash("blockHash", *t.BlockHash)
	}
	if t.BlockNumber != nil {
		w.uint("blockNumber", *t.BlockNumber)
	}
	optionalBig("chainId", t.ChainID)
	w.bytes("from", t.From[:])
	w.uint("gas", t.Gas)
	if t.Type < 2 || t.BlockNumber != nil {
		optionalBig("gasPrice", t.GasPrice) // what nodes write for one that waits differs
	}
	w.hash("hash", t.Hash)
	w.bytes("input", t.Input)
	optionalBig("maxFeePerGas", t.MaxFeePerGas)
	optionalBig("maxPriorityFeePerGas", t.MaxPriorityFeePerGas)
	w.uint("nonce", t.Nonce)
	optionalBig("r", t.R)
	optionalBig("s", t.S)
	if t.To != nil {
		w.bytes("to", t.To[:])
	}
	if t.Index != nil {
		w.uint("transactionIndex", *t.Index)
	}
	w.uint("type", t.Type)
	optionalBig("v", t.V)
	w.big("value", &t.Value)
	w.close('}')
	return w.b
}

// EncodeProof is the canonical form of eth_getProof's answer.
func EncodeProof(p *Proof) []byte {
	w := writer{}
	nodes := func(list [][]byte) {
		w.open('[')
		for _, n := range list {
			w.next()
			w.data(n)
		}
		w.close(']')
	}
	w.open('{')
	w.key("accountProof")
	nodes(p.Nodes)
	w.bytes("address", p.Address[:])
	w.big("balance", &p.Balance)
	w.hash("codeHash", p.CodeHash)
	w.uint("nonce", p.Nonce)
	w.hash("storageHash", p.StorageHash)
	w.key("storageProof")
	w.open('[')
	for i := range p.Storage {
		s := &p.Storage[i]
		w.next()
		w.open('{')
		w.hash("key", s.Key)
		w.key("proof")
		nodes(s.Nodes)
		w.big("value", &s.Value)
		w.close('}')
	}
	w.close(']')
	w.close('}')
	return w.b
}
