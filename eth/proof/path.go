package proof

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/core/rawdb"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethdb/memorydb"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/ethereum/go-ethereum/trie"
	"github.com/ethereum/go-ethereum/triedb"

	"fusion/eth"
	"fusion/eth/rpc"
)

// Path is the nodes of a block's trie of receipts that lead from its root to receipt i, of a list that Receipts checked.
func Path(receipts []rpc.Receipt, i int) ([][]byte, error) {
	if i < 0 || i >= len(receipts) {
		return nil, fmt.Errorf("%w: there is no receipt %d of %d", ErrProof, i, len(receipts))
	}
	t := trie.NewEmpty(triedb.NewDatabase(rawdb.NewMemoryDatabase(), nil))
	list := make(types.Receipts, len(receipts))
	for k := range receipts {
		r, err := receipt(&receipts[k])
		if err != nil {
			return nil, fmt.Errorf("%w: receipt %d: %v", ErrProof, k, err)
		}
		list[k] = r
		var value bytes.Buffer
		list.EncodeIndex(k, &value)
		if err := t.Update(rlp.AppendUint64(nil, uint64(k)), value.Bytes()); err != nil {
			return nil, fmt.Errorf("%w: receipt %d: %v", ErrProof, k, err)
		}
	}
	way := &inOrder{}
	if err := t.Prove(rlp.AppendUint64(nil, uint64(i)), way); err != nil {
		return nil, fmt.Errorf("%w: receipt %d: %v", ErrProof, i, err)
	}
	return way.nodes, nil
}

// inOrder collects the nodes that a proof has, from the root down.
type inOrder struct {
	memorydb.Database
	nodes [][]byte
}

func (o *inOrder) Put(_, value []byte) error {
	o.nodes = append(o.nodes, bytes.Clone(value))
	return nil
}

// AtPath is what a receipts root covers of receipt i: type, status or root, cumulative gas, bloom filter, and address, topics and data of logs. The root is that of a
// verified header.
func AtPath(root eth.Hash, i uint64, path [][]byte) (rpc.Receipt, error) {
	fail := func(err error) (rpc.Receipt, error) {
		return rpc.Receipt{}, fmt.Errorf("%w: receipt %d of the root %s: %v", ErrProof, i, root, err)
	}
	value, err := lookup(root, rlp.AppendUint64(nil, i), path)
	if err != nil {
		return fail(err)
	}
	if value == nil {
		return fail(errors.New("there is none"))
	}
	var t types.Receipt
	if err := t.UnmarshalBinary(value); err != nil {
		return fail(err)
	}
	r := rpc.Receipt{Type: uint64(t.Type), CumulativeGasUsed: t.CumulativeGasUsed, LogsBloom: rpc.Bloom(t.Bloom), Logs: make([]rpc.Log, len(t.Logs))}
	if len(t.PostState) != 0 {
		r.Root = (*eth.Hash)(t.PostState)
	} else {
		r.Status = &t.Status
	}
	for k, l := range t.Logs {
		r.Logs[k] = rpc.Log{Address: eth.Address(l.Address), Data: l.Data}
		for _, topic := range l.Topics {
			r.Logs[k].Topics = append(r.Logs[k].Topics, eth.Hash(topic))
		}
	}
	return r, nil
}
