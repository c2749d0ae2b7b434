package ethereum

import (
	"context"
	"crypto/ecdsa"
	"flag"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	geth "github.com/ethereum/go-ethereum/eth"
	"github.com/ethereum/go-ethereum/eth/catalyst"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/eth/filters"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/node"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/params"
	gethrpc "github.com/ethereum/go-ethereum/rpc"

	"fusion/eth"
	"fusion/eth/rpc"
)

const devChain = 1337

// emitter is a contract that logs what it is called with: the first word and the caller are the topics, the rest is the data.
var emitter = common.HexToAddress("0x00000000000000000000000000000000000e3177")

var emitterCode = common.FromHex("36600060003733600051602036036020a200")

// chain is a geth in this process whose blocks are made by hand.
type chain struct {
	t       testing.TB
	handler *gethrpc.Server
	client  *ethclient.Client
	beacon  *catalyst.SimulatedBeacon
	key     *ecdsa.PrivateKey
	from    common.Address
	nonce   uint64
}

func newChain(t testing.TB) *chain {
	t.Helper()
	key, err := crypto.ToECDSA(crypto.Keccak256([]byte("a rich account")))
	if err != nil {
		t.Fatal(err)
	}
	c := &chain{t: t, key: key, from: crypto.PubkeyToAddress(key.PublicKey)}
	alloc := core.SystemContractAllocs()
	alloc[c.from] = types.Account{Balance: new(big.Int).Lsh(big.NewInt(1), 90)}
	alloc[emitter] = types.Account{Balance: new(big.Int), Code: emitterCode}
	conf := node.DefaultConfig
	conf.DataDir = ""
	conf.P2P = p2p.Config{NoDiscovery: true}
	stack, err := node.New(&conf)
	if err != nil {
		t.Fatal(err)
	}
	ethConf := ethconfig.Defaults
	ethConf.Genesis = &core.Genesis{Config: params.AllDevChainProtocolChanges, GasLimit: 60_000_000, Alloc: alloc}
	ethConf.SyncMode = ethconfig.FullSync
	ethConf.LogNoHistory = true
	backend, err := geth.New(stack, &ethConf)
	if err != nil {
		t.Fatal(err)
	}
	stack.RegisterAPIs([]gethrpc.API{{Namespace: "eth", Service: filters.NewFilterAPI(filters.NewFilterSystem(backend.APIBackend, filters.Config{}))}})
	if err := stack.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stack.Close() })
	if c.beacon, err = catalyst.NewSimulatedBeacon(0, common.Address{}, backend); err != nil {
		t.Fatal(err)
	}
	if err := c.beacon.Fork(backend.BlockChain().GetCanonicalHash(0)); err != nil {
		t.Fatal(err)
	}
	if c.handler, err = stack.RPCHandler(); err != nil {
		t.Fatal(err)
	}
	c.client = ethclient.NewClient(stack.Attach())
	t.Cleanup(c.client.Close)
	return c
}

func (c *chain) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

// sign makes a transaction that calls the emitter.
func (c *chain) sign(topic eth.Hash, data []byte) *types.Transaction {
	c.t.Helper()
	tx, err := types.SignNewTx(c.key, types.LatestSignerForChainID(big.NewInt(devChain)), &types.DynamicFeeTx{
		ChainID: big.NewInt(devChain), Nonce: c.nonce, GasTipCap: big.NewInt(params.GWei), GasFeeCap: big.NewInt(100 * params.GWei), Gas: 200_000, To: &emitter,
		Data: append(topic[:], data...),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.nonce++
	return tx
}

// emit sends a transaction that logs.
func (c *chain) emit(topic eth.Hash, data []byte) common.Hash {
	c.t.Helper()
	tx := c.sign(topic, data)
	if err := c.client.SendTransaction(context.Background(), tx); err != nil {
		c.t.Fatal(err)
	}
	return tx.Hash()
}

func (c *chain) mine(n int) {
	for range n {
		c.beacon.Commit()
	}
}

var record = flag.String("record", "", "write answers of a node into this folder, as seeds of the fuzz targets of eth/rpc")

// TestRecord asks a real node what eth/rpc parses; every answer must come through, and with -record it becomes a seed there.
func TestRecord(t *testing.T) {
	c := newChain(t)
	var txs []common.Hash
	for i := range 3 {
		txs = append(txs, c.emit(eth.Hash{1, byte(i)}, []byte("data")))
	}
	c.mine(3)
	raw := eth.Hash(txs[1])
	signed, err := c.sign(eth.Hash{9}, nil).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	queries := map[string]rpc.Query{
		"chain":       rpc.ChainID(),
		"number":      rpc.BlockNumber(),
		"logs":        rpc.GetLogs(rpc.Filter{From: rpc.Number(0), To: rpc.Latest, Addresses: []eth.Address{eth.Address(emitter)}, Topics: [][]eth.Hash{{{1, 0}, {1, 1}, {1, 2}}, {}}}),
		"block":       rpc.BlockByNumber(rpc.Number(1)),
		"noblock":     rpc.BlockByNumber(rpc.Number(1000)),
		"whole":       {Method: rpc.MethodBlockByNumber, Params: []byte(`["0x1",true]`)},
		"receipt":     rpc.ReceiptOf(raw),
		"noreceipt":   rpc.ReceiptOf(eth.Hash{7}),
		"receipts":    rpc.BlockReceipts(rpc.Number(1)),
		"transaction": rpc.TransactionByHash(raw),
		"count":       rpc.TransactionCount(eth.Address(c.from), rpc.Number(1)),
		"balance":     rpc.Balance(eth.Address(c.from), rpc.Number(1)),
		"code":        rpc.Code(eth.Address(emitter), rpc.Number(1)),
		"proof":       rpc.ProofOf(eth.Address(c.from), []eth.Hash{{}}, rpc.Number(1)),
		"call":        rpc.CallTo(eth.Address(emitter), make([]byte, 64), rpc.Number(1)),
		"history":     rpc.FeeHistoryOf(2, rpc.Latest, []uint8{20, 50}),
		"price":       {Method: rpc.MethodGasPrice, Params: []byte("[]")},
		"send":        rpc.SendRaw(signed),
		"again":       rpc.SendRaw(signed),
		"unknown":     {Method: "eth_nothing", Params: []byte("[]")},
	}
	for _, name := range []string{"chain", "number", "logs", "block", "noblock", "whole", "receipt", "noreceipt", "receipts", "transaction", "count", "balance", "code", "proof", "call", "history", "price", "send",
		"again", "unknown"} {
		q := queries[name]
		status, body := post(t, c, q.Request(7))
		a := q.Read(status, body, 7)
		if failed := a.Err != nil; failed != (name == "again" || name == "unknown") || failed && a.Err.Kind != rpc.KindRPC {
			t.Errorf("%s: %v from %s", name, a.Err, body)
		}
		if a.Err == nil {
			if again, err := q.Canonical(a.Result); err != nil || string(again) != string(a.Result) {
				t.Errorf("%s: %s becomes %s, %v", name, a.Result, again, err)
			}
		}
		if *record != "" {
			if err := os.WriteFile(filepath.Join(*record, name+".json"), body, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
