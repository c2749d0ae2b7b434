package canister

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/holiman/uint256"

	"fusion/eth"
	"fusion/eth/rpc"
	"fusion/ic/candid"
)

// operation is one question of a call.
type operation struct {
	tags     []rpc.At // whose numbers have to be known first
	estimate uint64   // of the answer, in bytes
	// query makes the question once tags are numbers.
	query func(number func(rpc.At) rpc.At) rpc.Query
	// known is the answer where the numbers are all that was asked for; query is nil then.
	known func(number func(rpc.At) rpc.At) []byte
}

// headerEstimate is added to each estimate for the headers of a response (dfinity/evm-rpc-canister, HEADER_SIZE_LIMIT).
const headerEstimate = 2048

// moving says whether a tag means another block a moment later.
func moving(at rpc.At) bool { return at == rpc.Latest || at == rpc.Safe || at == rpc.Finalized }

func tagsOf(ats ...rpc.At) (out []rpc.At) {
	for _, a := range ats {
		if moving(a) && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// blockAt reads a tag. What is pending differs from node to node, so that replicas could never agree on it: it stands for the latest block.
func blockAt(t *BlockTag) (rpc.At, *RPCError) {
	switch {
	case t == nil || t.Latest != nil || t.Pending != nil:
		return rpc.Latest, nil
	case t.Earliest != nil:
		return rpc.Number(0), nil
	case t.Safe != nil:
		return rpc.Safe, nil
	case t.Finalized != nil:
		return rpc.Finalized, nil
	}
	n, ok := t.Number.Uint64()
	if !ok {
		return "", invalid("block number %v is too large", *t.Number)
	}
	return rpc.Number(n), nil
}

// digits checks 0x and hexadecimal digits of so many bytes, or any number of bytes for -1.
func digits(what, text string, size int) ([]byte, *RPCError) {
	b, err := rpc.ParseData([]byte(strconv.Quote(text)))
	switch {
	case err != nil:
		return nil, invalidHex("%s is not 0x and an even number of hexadecimal digits", what)
	case size >= 0 && len(b) != size:
		return nil, invalidHex("%s has %d bytes, want %d", what, len(b), size)
	}
	return b, nil
}

func address(what, text string) (a eth.Address, err *RPCError) {
	b, err := digits(what, text, len(a))
	copy(a[:], b)
	return a, err
}

func hash(what, text string) (h eth.Hash, err *RPCError) {
	b, err := digits(what, text, len(h))
	copy(h[:], b)
	return h, err
}

func feeHistory(a *FeeHistoryArgs) (*operation, *RPCError) {
	newest, err := blockAt(&a.NewestBlock)
	if err != nil {
		return nil, err
	}
	blocks, ok := a.BlockCount.Uint64()
	if !ok {
		return nil, invalid("block count %v is too large", a.BlockCount)
	}
	var percentiles []uint8
	if a.RewardPercentiles != nil {
		percentiles = *a.RewardPercentiles
	}
	return &operation{tags: tagsOf(newest), estimate: 512, query: func(number func(rpc.At) rpc.At) rpc.Query {
		return rpc.FeeHistoryOf(blocks, number(newest), percentiles)
	}}, nil
}

func getBlock(tag *BlockTag) (*operation, *RPCError) {
	at, err := blockAt(tag)
	if err != nil {
		return nil, err
	}
	return &operation{tags: tagsOf(at), estimate: 24 << 10, query: func(number func(rpc.At) rpc.At) rpc.Query {
		return rpc.BlockByNumber(number(at))
	}}, nil
}

// maxBlockRange is how many blocks eth_getLogs may span where the call does not say (dfinity/evm-rpc-canister, ETH_GET_LOGS_MAX_BLOCKS).
const maxBlockRange = 500

// Limits of a filter for logs.
const (
	maxAddresses = 1000
	maxTopics    = 4
	maxEither    = 1000 // topics of which one is wanted
)

func getLogs(a *GetLogsBatchArgs) (*operation, *RPCError) {
	most := uint64(maxBlockRange)
	if a.MaxBlockRange != nil {
		most = uint64(*a.MaxBlockRange)
	}
	f := rpc.Filter{}
	var err *RPCError
	if f.From, err = blockAt(a.Args.FromBlock); err != nil {
		return nil, err
	}
	if f.To, err = blockAt(a.Args.ToBlock); err != nil {
		return nil, err
	}
	from, known := f.From.Number()
	if to, ok := f.To.Number(); ok && known {
		if n := max(from, to) - min(from, to); n > most {
			return nil, invalid("Requested %d blocks; limited to %d when specifying a start and end block", n, most)
		}
	}
	if len(a.Args.Addresses) > maxAddresses {
		return nil, invalid("%d addresses, at most %d are allowed", len(a.Args.Addresses), maxAddresses)
	}
	for _, text := range a.Args.Addresses {
		x, err := address("address", text)
		if err != nil {
			return nil, err
		}
		f.Addresses = append(f.Addresses, x)
	}
	if a.Args.Topics != nil {
		if len(*a.Args.Topics) > maxTopics {
			return nil, invalid("%d topics, at most %d are allowed", len(*a.Args.Topics), maxTopics)
		}
		for _, either := range *a.Args.Topics {
			if len(either) > maxEither {
				return nil, invalid("%d topics of which one is wanted, at most %d are allowed", len(either), maxEither)
			}
			list := []eth.Hash{}
			for _, text := range either {
				h, err := hash("topic", text)
				if err != nil {
					return nil, err
				}
				list = append(list, h)
			}
			f.Topics = append(f.Topics, list)
		}
	}
	return &operation{tags: tagsOf(f.From, f.To), estimate: 1024, query: func(number func(rpc.At) rpc.At) rpc.Query {
		g := f
		g.From, g.To = number(f.From), number(f.To)
		return rpc.GetLogs(g)
	}}, nil
}

func getTransactionCount(a *GetTransactionCountArgs) (*operation, *RPCError) {
	at, err := blockAt(&a.Block)
	if err != nil {
		return nil, err
	}
	who, err := address("address", a.Address)
	if err != nil {
		return nil, err
	}
	return &operation{tags: tagsOf(at), estimate: 50, query: func(number func(rpc.At) rpc.At) rpc.Query {
		return rpc.TransactionCount(who, number(at))
	}}, nil
}

func getReceipt(text *string) (*operation, *RPCError) {
	h, err := hash("transaction hash", *text)
	if err != nil {
		return nil, err
	}
	return &operation{estimate: 700, query: func(func(rpc.At) rpc.At) rpc.Query { return rpc.ReceiptOf(h) }}, nil
}

func sendRaw(text *string) (*operation, *RPCError) {
	raw, err := digits("raw transaction", *text, -1)
	if err != nil {
		return nil, err
	}
	return &operation{estimate: 256, query: func(func(rpc.At) rpc.At) rpc.Query { return rpc.SendRaw(raw) }}, nil
}

func call(a *CallArgs) (*operation, *RPCError) {
	at, err := blockAt(a.Block)
	if err != nil {
		return nil, err
	}
	tx, err := a.Transaction.json()
	if err != nil {
		return nil, err
	}
	if _, e := rpc.Call(tx, rpc.Latest); e != nil {
		return nil, invalid("transaction: %v", e)
	}
	return &operation{tags: tagsOf(at), estimate: 256, query: func(number func(rpc.At) rpc.At) rpc.Query {
		q, e := rpc.Call(tx, number(at))
		if e != nil {
			panic(fmt.Sprintf("canister: a transaction that could be called: %v", e))
		}
		return q
	}}, nil
}

// json is the transaction as eth_call wants it.
func (t *TransactionRequest) json() ([]byte, *RPCError) {
	out := map[string]any{}
	var failed *RPCError
	quantity := func(name string, n *candid.Nat) {
		if n == nil {
			return
		}
		v, over := uint256.FromBig(n.Big())
		if over {
			failed = invalid("%s has more than 256 bits", name)
			return
		}
		out[name] = v.Hex()
	}
	data := func(name string, text *string, size int) {
		if text == nil {
			return
		}
		if _, err := digits(name, *text, size); err != nil {
			failed = err
		}
		out[name] = *text
	}
	list := func(name string, texts *[]string, size int) {
		if texts == nil {
			return
		}
		for _, x := range *texts {
			data(name, &x, size)
		}
		out[name] = *texts
	}
	if t.Type != nil {
		if _, err := rpc.ParseUint([]byte(strconv.Quote(*t.Type))); err != nil {
			return nil, invalidHex("type is no number in hexadecimal digits")
		}
		out["type"] = *t.Type
	}
	quantity("nonce", t.Nonce)
	data("to", t.To, 20)
	data("from", t.From, 20)
	quantity("gas", t.Gas)
	quantity("value", t.Value)
	data("input", t.Input, -1)
	quantity("gasPrice", t.GasPrice)
	quantity("maxPriorityFeePerGas", t.MaxPriorityFeePerGas)
	quantity("maxFeePerGas", t.MaxFeePerGas)
	quantity("maxFeePerBlobGas", t.MaxFeePerBlobGas)
	quantity("chainId", t.ChainID)
	list("blobVersionedHashes", t.BlobVersionedHashes, 32)
	list("blobs", t.Blobs, -1)
	if t.AccessList != nil {
		entries := []map[string]any{}
		for _, e := range *t.AccessList {
			data("address", &e.Address, 20)
			list("storageKeys", &e.StorageKeys, 32)
			delete(out, "address")
			delete(out, "storageKeys")
			entries = append(entries, map[string]any{"address": e.Address, "storageKeys": append([]string{}, e.StorageKeys...)})
		}
		out["accessList"] = entries
	}
	if failed != nil {
		return nil, failed
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil, invalid("transaction: %v", err)
	}
	return b, nil
}

// blockParam is the place of the block among a method's parameters (execution-apis, eth_ methods).
var blockParam = map[string]int{
	"eth_getBalance": 1, "eth_getCode": 1, "eth_getTransactionCount": 1, "eth_getStorageAt": 2, "eth_call": 1, "eth_estimateGas": 1, "eth_createAccessList": 1,
	"eth_getBlockByNumber": 0, "eth_getBlockReceipts": 0, "eth_getBlockTransactionCountByNumber": 0, "eth_getTransactionByBlockNumberAndIndex": 0,
	"eth_feeHistory": 1, "eth_getProof": 2, "eth_getLogs": 0,
}

// raw is a request that somebody wrote. Tags in it become numbers like everywhere, where it is known that they stand for blocks.
func raw(text string) (*operation, *RPCError) {
	q, e := rpc.Raw([]byte(text))
	if e != nil {
		return nil, invalid("Invalid JSON RPC request: %v", e)
	}
	op := &operation{estimate: 256, query: func(func(rpc.At) rpc.At) rpc.Query { return q }}
	if q.Method == rpc.MethodBlockNumber {
		op.tags, op.query = []rpc.At{rpc.Latest}, nil
		op.known = func(number func(rpc.At) rpc.At) []byte { return []byte(strconv.Quote(string(number(rpc.Latest)))) }
		return op, nil
	}
	place, ok := blockParam[q.Method]
	if !ok {
		return op, nil
	}
	var params []json.RawMessage
	if err := json.Unmarshal(q.Params, &params); err != nil {
		return nil, invalid("Invalid JSON RPC request: parameters: %v", err)
	}
	if place == len(params) {
		params = append(params, json.RawMessage(`"latest"`))
	}
	if place >= len(params) {
		return op, nil
	}
	if q.Method != rpc.MethodGetLogs {
		at, ok := tagIn(params[place])
		if !ok {
			return op, nil
		}
		op.tags = []rpc.At{at}
		op.query = func(number func(rpc.At) rpc.At) rpc.Query {
			list := slices.Clone(params)
			list[place] = json.RawMessage(strconv.Quote(string(number(at))))
			return canonical(q.Method, list)
		}
		return op, nil
	}
	filter := map[string]json.RawMessage{}
	if err := json.Unmarshal(params[0], &filter); err != nil || filter["blockHash"] != nil {
		return op, nil
	}
	tags := map[string]rpc.At{}
	for _, end := range []string{"fromBlock", "toBlock"} {
		if filter[end] == nil {
			filter[end] = json.RawMessage(`"latest"`)
		}
		if at, ok := tagIn(filter[end]); ok {
			tags[end] = at
			op.tags = tagsOf(append(op.tags, at)...)
		}
	}
	op.query = func(number func(rpc.At) rpc.At) rpc.Query {
		f := map[string]json.RawMessage{}
		for k, v := range filter {
			f[k] = v
			if at, ok := tags[k]; ok {
				f[k] = json.RawMessage(strconv.Quote(string(number(at))))
			}
		}
		b, err := json.Marshal(f) // sorts the keys
		if err != nil {
			panic(fmt.Sprintf("canister: a filter that was read: %v", err))
		}
		return canonical(q.Method, []json.RawMessage{b})
	}
	return op, nil
}

// tagIn is the moving tag that a JSON text is.
func tagIn(text json.RawMessage) (rpc.At, bool) {
	var s string
	if json.Unmarshal(text, &s) != nil {
		return "", false
	}
	if s == string(rpc.Pending) {
		return rpc.Latest, true
	}
	return rpc.At(s), moving(rpc.At(s))
}

func canonical(method string, params []json.RawMessage) rpc.Query {
	b, err := json.Marshal(params)
	if err == nil {
		b, err = rpc.Canonical(b)
	}
	if err != nil {
		panic(fmt.Sprintf("canister: parameters that were read: %v", err))
	}
	return rpc.Query{Method: method, Params: b}
}
