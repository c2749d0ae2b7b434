package proof

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/ethereum/go-ethereum/trie"
	"github.com/holiman/uint256"

	"fusion/eth"
	"fusion/eth/rpc"
)

// ErrProof is what does not follow from the chain; test with errors.Is.
var ErrProof = errors.New("not proven by the chain")

// header is a block's header as go-ethereum hashes it.
func header(b *rpc.Block) *types.Header {
	h := &types.Header{
		ParentHash: common.Hash(b.ParentHash), UncleHash: common.Hash(b.UnclesHash), Coinbase: common.Address(b.Miner), Root: common.Hash(b.StateRoot), TxHash: common.Hash(b.TransactionsRoot),
		ReceiptHash: common.Hash(b.ReceiptsRoot), Bloom: types.Bloom(b.LogsBloom), Difficulty: b.Difficulty.ToBig(), Number: new(big.Int).SetUint64(b.Number), GasLimit: b.GasLimit, GasUsed: b.GasUsed,
		Time: b.Timestamp, Extra: b.ExtraData, MixDigest: common.Hash(b.MixHash), Nonce: types.BlockNonce(b.Nonce), WithdrawalsHash: (*common.Hash)(b.WithdrawalsRoot), BlobGasUsed: b.BlobGasUsed,
		ExcessBlobGas: b.ExcessBlobGas, ParentBeaconRoot: (*common.Hash)(b.BeaconRoot), RequestsHash: (*common.Hash)(b.RequestsHash), BlockAccessListHash: (*common.Hash)(b.AccessListHash),
		SlotNumber: b.SlotNumber,
	}
	if b.BaseFee != nil {
		h.BaseFee = b.BaseFee.ToBig()
	}
	return h
}

// Header checks that a block's hash is that of its header. Its lists of transactions and uncles are not part of that.
func Header(b *rpc.Block) error {
	// The encoding writes a missing field before one that is there like a zero, so two blocks would have one hash.
	missing := false
	for _, there := range []bool{b.BaseFee != nil, b.WithdrawalsRoot != nil, b.BlobGasUsed != nil, b.ExcessBlobGas != nil, b.BeaconRoot != nil, b.RequestsHash != nil, b.AccessListHash != nil, b.SlotNumber != nil} {
		if there && missing {
			return fmt.Errorf("%w: the header of block %d lacks a field of an older fork and has one of a newer", ErrProof, b.Number)
		}
		missing = !there
	}
	if got := eth.Hash(header(b).Hash()); got != b.Hash {
		return fmt.Errorf("%w: the header of block %d hashes to %s, not %s", ErrProof, b.Number, got, b.Hash)
	}
	return nil
}

// Chain checks that headers, oldest first, are each the parent of the next and that the last one is trusted.
func Chain(headers []*rpc.Block, trusted eth.Hash) error {
	if len(headers) == 0 {
		return fmt.Errorf("%w: no headers", ErrProof)
	}
	want := trusted
	for i := len(headers) - 1; i >= 0; i-- {
		b := headers[i]
		if err := Header(b); err != nil {
			return err
		}
		if b.Hash != want {
			return fmt.Errorf("%w: block %d is %s, but %s leads to the trusted block", ErrProof, b.Number, b.Hash, want)
		}
		if i > 0 && headers[i-1].Number+1 != b.Number {
			return fmt.Errorf("%w: block %d stands before block %d", ErrProof, headers[i-1].Number, b.Number)
		}
		want = b.ParentHash
	}
	return nil
}

// Excludes says whether a verified header's bloom filter shows that no log of the block passes a filter. False says nothing.
func Excludes(b *rpc.Block, f *rpc.Filter) bool {
	bloom := types.Bloom(b.LogsBloom)
	none := func(n int, item func(int) []byte) bool {
		for i := range n {
			if bloom.Test(item(i)) {
				return false
			}
		}
		return n > 0
	}
	if none(len(f.Addresses), func(i int) []byte { return f.Addresses[i][:] }) {
		return true
	}
	for _, list := range f.Topics {
		if none(len(list), func(i int) []byte { return list[i][:] }) {
			return true
		}
	}
	return false
}

// receipt is what the receipts root covers of r.
func receipt(r *rpc.Receipt) (*types.Receipt, error) {
	t := &types.Receipt{CumulativeGasUsed: r.CumulativeGasUsed, Logs: make([]*types.Log, len(r.Logs))}
	switch {
	case r.Type > types.SetCodeTxType:
		return nil, fmt.Errorf("the type %d is unknown", r.Type)
	case r.Status != nil && *r.Status > 1:
		return nil, fmt.Errorf("the status %d is unknown", *r.Status)
	case r.Status != nil:
		t.Status = *r.Status
	case r.Root != nil:
		t.PostState = r.Root[:]
	default:
		return nil, errors.New("it has neither status nor root")
	}
	t.Type = uint8(r.Type)
	for i := range r.Logs {
		l := &r.Logs[i]
		topics := make([]common.Hash, len(l.Topics))
		for k, topic := range l.Topics {
			topics[k] = common.Hash(topic)
		}
		t.Logs[i] = &types.Log{Address: common.Address(l.Address), Topics: topics, Data: l.Data}
	}
	t.Bloom = types.CreateBloom(t)
	if t.Bloom != types.Bloom(r.LogsBloom) {
		return nil, errors.New("its bloom filter is not that of its logs")
	}
	return t, nil
}

// Receipts checks that receipts are all those of a block with a verified header, in order. That covers type, status, cumulative gas, bloom
// filters and what logs say; see Receipt for the rest.
func Receipts(b *rpc.Block, receipts []rpc.Receipt) error {
	list := make(types.Receipts, len(receipts))
	var bloom types.Bloom
	for i := range receipts {
		r, err := receipt(&receipts[i])
		if err != nil {
			return fmt.Errorf("%w: receipt %d of block %d: %v", ErrProof, i, b.Number, err)
		}
		for k := range bloom {
			bloom[k] |= r.Bloom[k]
		}
		list[i] = r
	}
	if got := eth.Hash(types.DeriveSha(list, trie.NewStackTrie(nil))); got != b.ReceiptsRoot {
		return fmt.Errorf("%w: %d receipts of block %d have the root %s, not %s", ErrProof, len(list), b.Number, got, b.ReceiptsRoot)
	}
	if bloom != types.Bloom(b.LogsBloom) { // such a block would not be valid; scans that skip by the filter rely on it
		return fmt.Errorf("%w: the bloom filter of block %d is not that of its receipts", ErrProof, b.Number)
	}
	return nil
}

// Transactions reads a block's transactions from a node's answer that has them whole (eth_getBlockByNumber with true) and checks that they
// are all those of a block with a verified header, in order. The caller bounds the answer.
func Transactions(b *rpc.Block, whole []byte) (types.Transactions, error) {
	var body struct {
		Transactions types.Transactions `json:"transactions"`
	}
	if err := json.Unmarshal(whole, &body); err != nil {
		return nil, fmt.Errorf("%w: the transactions of block %d: %v", ErrProof, b.Number, err)
	}
	for i, tx := range body.Transactions {
		if tx == nil {
			return nil, fmt.Errorf("%w: transaction %d of block %d is null", ErrProof, i, b.Number)
		}
	}
	if got := eth.Hash(types.DeriveSha(body.Transactions, trie.NewStackTrie(nil))); got != b.TransactionsRoot {
		return nil, fmt.Errorf("%w: %d transactions of block %d have the root %s, not %s", ErrProof, len(body.Transactions), b.Number, got, b.TransactionsRoot)
	}
	return body.Transactions, nil
}

// Receipt is receipt i of a block with all that a node says of it, computed from what Receipts and Transactions checked.
func Receipt(b *rpc.Block, txs types.Transactions, receipts []rpc.Receipt, i int) (rpc.Receipt, error) {
	if len(txs) != len(receipts) || i < 0 || i >= len(receipts) {
		return rpc.Receipt{}, fmt.Errorf("%w: receipt %d of the %d for %d transactions of block %d", ErrProof, i, len(receipts), len(txs), b.Number)
	}
	r, tx := receipts[i], txs[i]
	if r.Type != uint64(tx.Type()) {
		return rpc.Receipt{}, fmt.Errorf("%w: receipt %d of block %d has the type %d, its transaction %d", ErrProof, i, b.Number, r.Type, tx.Type())
	}
	var first, before uint64
	for k := range i {
		first += uint64(len(receipts[k].Logs))
		before = receipts[k].CumulativeGasUsed
	}
	if r.CumulativeGasUsed < before {
		return rpc.Receipt{}, fmt.Errorf("%w: receipt %d of block %d has less cumulative gas than the one before", ErrProof, i, b.Number)
	}
	from, err := sender(tx)
	if err != nil {
		return rpc.Receipt{}, fmt.Errorf("%w: the sender of transaction %s in block %d: %v", ErrProof, tx.Hash(), b.Number, err)
	}
	r.TxHash, r.TxIndex, r.BlockHash, r.BlockNumber = eth.Hash(tx.Hash()), uint64(i), b.Hash, b.Number
	r.GasUsed = r.CumulativeGasUsed - before
	r.From, r.To, r.Contract = from, (*eth.Address)(tx.To()), nil
	if r.To == nil {
		created := createAddress(from, tx.Nonce())
		r.Contract = &created
	}
	price := tx.GasPrice()
	if b.BaseFee != nil {
		tip, err := tx.EffectiveGasTip(b.BaseFee.ToBig())
		if err != nil {
			return rpc.Receipt{}, fmt.Errorf("%w: the price of transaction %s in block %d: %v", ErrProof, tx.Hash(), b.Number, err)
		}
		price = tip.Add(tip, b.BaseFee.ToBig())
	}
	if r.EffectiveGasPrice.SetFromBig(price) {
		return rpc.Receipt{}, fmt.Errorf("%w: the price of transaction %s in block %d has more than 256 bits", ErrProof, tx.Hash(), b.Number)
	}
	r.Logs = make([]rpc.Log, len(receipts[i].Logs))
	for k := range r.Logs {
		r.Logs[k] = place(b, &receipts[i].Logs[k], r.TxHash, i, first+uint64(k))
	}
	return r, nil
}

// Logs are those of a block's logs that pass the filter's addresses and topics, with their places computed from what Receipts and Transactions
// checked. None is missing.
func Logs(b *rpc.Block, txs types.Transactions, receipts []rpc.Receipt, f *rpc.Filter) ([]rpc.Log, error) {
	if len(txs) != len(receipts) {
		return nil, fmt.Errorf("%w: %d receipts for %d transactions of block %d", ErrProof, len(receipts), len(txs), b.Number)
	}
	var out []rpc.Log
	index := uint64(0)
	for i := range receipts {
		for k := range receipts[i].Logs {
			if l := &receipts[i].Logs[k]; f.Match(l) {
				out = append(out, place(b, l, eth.Hash(txs[i].Hash()), i, index))
			}
			index++
		}
	}
	return out, nil
}

func place(b *rpc.Block, l *rpc.Log, tx eth.Hash, i int, index uint64) rpc.Log {
	return rpc.Log{Address: l.Address, Topics: l.Topics, Data: l.Data, BlockNumber: b.Number, BlockHash: b.Hash, TxHash: tx, TxIndex: uint64(i), Index: index}
}

// sender is who signed a transaction, of whatever chain it is: the transactions root says that it is of this one.
func sender(tx *types.Transaction) (eth.Address, error) {
	var signer types.Signer = types.HomesteadSigner{}
	if tx.Protected() {
		if tx.ChainId().Sign() <= 0 {
			return eth.Address{}, errors.New("it names no chain")
		}
		signer = types.LatestSignerForChainID(tx.ChainId())
	}
	from, err := types.Sender(signer, tx)
	return eth.Address(from), err
}

// createAddress is the address of what an account creates (yellow paper, 7).
func createAddress(from eth.Address, nonce uint64) eth.Address {
	w := rlp.NewEncoderBuffer(nil)
	list := w.List()
	w.WriteBytes(from[:])
	w.WriteUint64(nonce)
	w.ListEnd(list)
	h := eth.Keccak256(w.ToBytes())
	_ = w.Flush()
	return eth.Address(h[12:])
}

// nodes of a trie by their hash. used are those that a lookup came by.
type nodes struct {
	byHash map[common.Hash][]byte
	used   int
}

func newNodes(list [][]byte) *nodes {
	n := &nodes{byHash: make(map[common.Hash][]byte, len(list))}
	for _, b := range list {
		n.byHash[common.Hash(eth.Keccak256(b))] = b
	}
	return n
}

func (n *nodes) Has(key []byte) (bool, error) { return n.byHash[common.Hash(key)] != nil, nil }

func (n *nodes) Get(key []byte) ([]byte, error) {
	b := n.byHash[common.Hash(key)]
	if b == nil {
		return nil, errors.New("not in the proof")
	}
	n.used++
	return b, nil
}

// lookup is the value of a key in a trie, nil if the nodes show that there is none. Nodes that do not lie on the way are refused.
func lookup(root eth.Hash, key []byte, list [][]byte) ([]byte, error) {
	if root == eth.Hash(types.EmptyRootHash) {
		// Nodes of some makers write the empty string for the trie without leaves, others nothing.
		if len(list) > 1 || len(list) == 1 && !bytes.Equal(list[0], rlp.EmptyString) {
			return nil, errors.New("nodes of an empty trie")
		}
		return nil, nil
	}
	db := newNodes(list)
	value, err := trie.VerifyProof(common.Hash(root), key, db)
	if err == nil && db.used != len(list) {
		err = fmt.Errorf("%d of %d nodes do not lie on the way", len(list)-db.used, len(list))
	}
	return value, err
}

var (
	emptyCode = eth.Hash(types.EmptyCodeHash)
	emptyRoot = eth.Hash(types.EmptyRootHash)
)

// Account checks what a proof says of an account and of its slots, by the state root of a verified header. For an account that does not exist
// balance and nonce are zero.
func Account(stateRoot eth.Hash, p *rpc.Proof) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%w: account %s in the state %s: %w", ErrProof, p.Address, stateRoot, fmt.Errorf(format, args...))
	}
	key := eth.Keccak256(p.Address[:])
	value, err := lookup(stateRoot, key[:], p.Nodes)
	if err != nil {
		return fail("%w", err)
	}
	storage := emptyRoot
	if value == nil {
		if !p.Balance.IsZero() || p.Nonce != 0 || p.CodeHash != emptyCode && !p.CodeHash.IsZero() || p.StorageHash != emptyRoot && !p.StorageHash.IsZero() {
			return fail("it does not exist")
		}
	} else {
		var a types.StateAccount
		if err := rlp.DecodeBytes(value, &a); err != nil {
			return fail("%w", err)
		}
		storage = eth.Hash(a.Root)
		if *a.Balance != p.Balance || a.Nonce != p.Nonce || !bytes.Equal(a.CodeHash, p.CodeHash[:]) || storage != p.StorageHash {
			return fail("it has %s wei, the nonce %d, the code %x and the storage %s", a.Balance.Dec(), a.Nonce, a.CodeHash, storage)
		}
	}
	for i := range p.Storage {
		if err := slot(storage, &p.Storage[i]); err != nil {
			return fail("slot %s: %w", p.Storage[i].Key, err)
		}
	}
	return nil
}

func slot(root eth.Hash, s *rpc.StorageProof) error {
	key := eth.Keccak256(s.Key[:])
	value, err := lookup(root, key[:], s.Nodes)
	if err != nil {
		return err
	}
	var n uint256.Int
	if value != nil {
		content, rest, err := rlp.SplitString(value)
		if err != nil || len(rest) != 0 || len(content) > 32 {
			return fmt.Errorf("the value %x is no number", value)
		}
		n.SetBytes(content)
	}
	if n != s.Value {
		return fmt.Errorf("it is %s, not %s", n.Hex(), s.Value.Hex())
	}
	return nil
}
