package testnets_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"fusion/adapters/ethereum/node"
	"fusion/chainkey"
	evmrpc "fusion/eth/canister"
	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/identity"
	"fusion/replica"
	"fusion/replica/genesis"
	"fusion/testnets"
)

// relay is a provider: the node, or the node with lies.
type relay struct {
	*httptest.Server
	lies atomic.Pointer[func(request, response []byte) []byte]
	down atomic.Bool
}

func newRelay(t *testing.T, to string) *relay {
	r := &relay{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		body, err := io.ReadAll(in.Body)
		if err != nil || r.down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		out, err := http.NewRequestWithContext(in.Context(), http.MethodPost, to, bytes.NewReader(body))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		out.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(out)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer res.Body.Close()
		answer, err := io.ReadAll(res.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		if lie := r.lies.Load(); lie != nil {
			answer = (*lie)(body, answer)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(answer)
	}))
	t.Cleanup(r.Close)
	return r
}

// evm is a network of four replicas that follow a development chain, each through three of four providers, two of which must agree.
type evm struct {
	*testnets.Network
	context.Context
	t      *testing.T
	chain  *node.Node
	relays []*relay
	user   *agent.Agent
}

func newEvm(t *testing.T) *evm {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	e := &evm{Context: ctx, t: t, chain: must(node.Start(node.Config{BlockInterval: 20 * time.Millisecond}))(t)}
	t.Cleanup(func() { check(t, e.chain.Close()) })
	for range 4 {
		e.relays = append(e.relays, newRelay(t, e.chain.URL()))
	}
	dir := t.TempDir()
	must(testnets.Create(dir, testnets.Settings{Keys: []chainkey.KeyID{}, CommitWait: 50 * time.Millisecond}))(t)
	for i := range 4 {
		path := filepath.Join(testnets.NodeDir(dir, i), replica.GenesisFile)
		doc := must(genesis.Load(path))(t)
		doc.Ethereum = &genesis.Ethereum{ChainID: node.ChainID}
		if !doc.OwnsCanister(evmrpc.ID) {
			doc.CanisterRanges = append(doc.CanisterRanges, genesis.Range{First: evmrpc.ID, Last: evmrpc.ID})
			slices.SortFunc(doc.CanisterRanges, func(a, b genesis.Range) int { return a.First.Compare(b.First) })
		}
		check(t, os.Remove(path))
		check(t, doc.Save(path))
		c := must(replica.LoadConfig(testnets.NodeDir(dir, i)))(t)
		c.Ethereum = replica.Ethereum{}
		for k := range 3 {
			c.Ethereum.Providers = append(c.Ethereum.Providers, replica.EthereumProvider{URL: e.relays[(i+k)%4].URL, Operator: string(rune('a' + (i+k)%4))})
		}
		c.Outcalls.AllowHTTP, c.Outcalls.Allow = true, []string{"127.0.0.1"}
		check(t, c.Save())
	}
	e.Network = must(testnets.Run(ctx, dir, testnets.RunOptions{}))(t)
	t.Cleanup(func() { check(t, e.Close()) })
	e.user = must(e.Agent(must(identity.GenerateEd25519())(t)))(t)
	return e
}

var noConfig *evmrpc.RPCConfig

// own names the replicas' own providers.
var own = evmrpc.RPCServices{Custom: &evmrpc.CustomServices{ChainID: node.ChainID, Services: []evmrpc.RPCAPI{}}}

// ask calls a method of the EVM RPC canister.
func ask[T any](e *evm, method string, services evmrpc.RPCServices, config *evmrpc.RPCConfig, arg any) (out evmrpc.Multi[T]) {
	e.t.Helper()
	check(e.t, e.user.Update(e, evmrpc.ID, method, []any{services, config, arg}, []any{&out}))
	return out
}

// consistent is an answer that all give.
func consistent[T any](e *evm, method string, services evmrpc.RPCServices, arg any) T {
	e.t.Helper()
	out := ask[T](e, method, services, noConfig, arg)
	if out.Consistent == nil || out.Consistent.Ok == nil {
		e.t.Fatalf("%s: %s", method, candidText(out))
	}
	return *out.Consistent.Ok
}

func candidText(v any) string {
	values, _, err := candid.Decode(candid.MustMarshal(v))
	if err != nil {
		return err.Error()
	}
	return candid.FormatValues(values)
}

var finalized, latest = evmrpc.BlockTag{Finalized: candid.Unit}, evmrpc.BlockTag{Latest: candid.Unit}

// TestEvmRPC asks an Ethereum chain through the EVM RPC canister of four replicas, whose providers are honest, lie, differ and are down.
func TestEvmRPC(t *testing.T) {
	noLeaks(t)
	e := newEvm(t)

	key := must(crypto.GenerateKey())(t)
	sender := crypto.PubkeyToAddress(key.PublicKey)
	must(e.chain.SendETH(e, sender, big.NewInt(1e18)))(t)

	// Blocks by tag: the heights that the replicas see are settled first.
	b := consistent[evmrpc.Block](e, "eth_getBlockByNumber", own, finalized)
	if n, ok := b.Number.Uint64(); !ok || n > e.chain.Finalized() || b.Hash != e.hash(n) {
		t.Errorf("finalized: block %v of hash %s", b.Number, b.Hash)
	}
	height := consistent[string](e, "multi_request", own, `{"method":"eth_blockNumber"}`)
	if !strings.HasPrefix(height, `"0x`) {
		t.Errorf("height %s", height)
	}

	// A transaction that every replica hands over once is sent once.
	head := must(e.chain.Client().HeaderByNumber(e, nil))(t)
	to := common.HexToAddress("0x00000000000000000000000000000000000000aa")
	tx := must(types.SignNewTx(key, types.LatestSignerForChainID(big.NewInt(node.ChainID)), &types.DynamicFeeTx{ChainID: big.NewInt(node.ChainID), Nonce: 0, GasTipCap: big.NewInt(1e9),
		GasFeeCap: new(big.Int).Add(big.NewInt(1e9), new(big.Int).Mul(head.BaseFee, big.NewInt(2))), Gas: 21000, To: &to, Value: big.NewInt(12345)}))(t)
	raw := must(tx.MarshalBinary())(t)
	sent := consistent[evmrpc.SendRawTransactionStatus](e, "eth_sendRawTransaction", own, "0x"+hex.EncodeToString(raw))
	if sent.Ok == nil || *sent.Ok == nil || **sent.Ok != tx.Hash().Hex() {
		t.Errorf("sent: %s", candidText(sent))
	}
	check(t, poll(e, func() bool {
		r, err := e.chain.Client().TransactionReceipt(e, tx.Hash())
		return err == nil && r.BlockNumber.Uint64() <= e.chain.Finalized()
	}))
	again := consistent[evmrpc.SendRawTransactionStatus](e, "eth_sendRawTransaction", own, "0x"+hex.EncodeToString(raw))
	if again.Ok == nil {
		t.Errorf("the same transaction again: %s", candidText(again))
	}
	receipt := consistent[*evmrpc.TransactionReceipt](e, "eth_getTransactionReceipt", own, tx.Hash().Hex())
	if receipt == nil || receipt.Status == nil || receipt.Status.String() != "1" || receipt.From != strings.ToLower(sender.Hex()) {
		t.Errorf("receipt: %s", candidText(receipt))
	}
	counts := func(services evmrpc.RPCServices) candid.Nat {
		t.Helper()
		return consistent[candid.Nat](e, "eth_getTransactionCount", services, evmrpc.GetTransactionCountArgs{Address: strings.ToLower(sender.Hex()), Block: finalized})
	}
	if got := counts(own); got.String() != "1" {
		t.Errorf("count %v", got)
	}
	// Code that, when it is put on the chain, writes a log with the topic 7 and no data: PUSH1 7, PUSH1 0, PUSH1 0, LOG1, STOP.
	created := must(e.chain.Transact(e, nil, new(big.Int), must(hex.DecodeString("600760006000a100"))(t)))(t)
	var at uint64
	check(t, poll(e, func() bool {
		r, err := e.chain.Client().TransactionReceipt(e, created)
		if err != nil || r.BlockNumber.Uint64() > e.chain.Finalized() {
			return false
		}
		at = r.BlockNumber.Uint64()
		return true
	}))
	var logs evmrpc.Multi[[]evmrpc.LogEntry]
	filter := evmrpc.GetLogsArgs{FromBlock: &evmrpc.BlockTag{Number: ptr(candid.NatFromUint64(at))}, ToBlock: &finalized, Addresses: []string{}, Topics: &[][]string{{common.BigToHash(big.NewInt(7)).Hex()}}}
	check(t, e.user.Update(e, evmrpc.ID, "eth_getLogs", []any{own, (*evmrpc.GetLogsRPCConfig)(nil), filter}, []any{&logs}))
	if logs.Consistent == nil || logs.Consistent.Ok == nil || len(*logs.Consistent.Ok) != 1 || *(*logs.Consistent.Ok)[0].TransactionHash != created.Hex() {
		t.Errorf("logs: %s", candidText(logs))
	}
	fees := consistent[evmrpc.FeeHistory](e, "eth_feeHistory", own, evmrpc.FeeHistoryArgs{BlockCount: candid.NatFromUint64(3), NewestBlock: latest, RewardPercentiles: &[]byte{50}})
	if len(fees.BaseFeePerGas) != 4 || len(fees.Reward) != 3 {
		t.Errorf("fees: %s", candidText(fees))
	}

	// One provider of four lies about everything it can; each replica that has it has two others.
	lie := func(_, response []byte) []byte {
		return bytes.ReplaceAll(bytes.ReplaceAll(response, []byte(`"result":"0x1"`), []byte(`"result":"0x63"`)), []byte(`"number":"0x`), []byte(`"number":"0x9`))
	}
	e.relays[2].lies.Store(&lie)
	if got := counts(own); got.String() != "1" {
		t.Errorf("with a lie: count %v", got)
	}
	b = consistent[evmrpc.Block](e, "eth_getBlockByNumber", own, finalized)
	if n, ok := b.Number.Uint64(); !ok || n > e.chain.Height() || b.Hash != e.hash(n) {
		t.Errorf("with a lie: block %v of hash %s", b.Number, b.Hash)
	}
	// And one replica is down.
	check(t, e.StopReplica(3))
	if got := counts(own); got.String() != "1" {
		t.Errorf("with a lie and a replica less: count %v", got)
	}
	check(t, e.StartReplica(e, 3))

	// Services that a call names are compared by its strategy.
	named := evmrpc.RPCServices{Custom: &evmrpc.CustomServices{ChainID: node.ChainID}}
	for _, r := range e.relays[:3] {
		named.Custom.Services = append(named.Custom.Services, evmrpc.RPCAPI{URL: r.URL})
	}
	arg := evmrpc.GetTransactionCountArgs{Address: strings.ToLower(sender.Hex()), Block: evmrpc.BlockTag{Number: &b.Number}}
	out := ask[candid.Nat](e, "eth_getTransactionCount", named, noConfig, arg)
	if out.Inconsistent == nil || len(*out.Inconsistent) != 3 || (*out.Inconsistent)[2].Result.Ok == nil || (*out.Inconsistent)[2].Result.Ok.String() != "99" {
		t.Errorf("three services, one of which lies: %s", candidText(out))
	}
	out = ask[candid.Nat](e, "eth_getTransactionCount", named, &evmrpc.RPCConfig{ResponseConsensus: &evmrpc.ConsensusStrategy{Threshold: &evmrpc.Threshold{Min: 2}}}, arg)
	if out.Consistent == nil || out.Consistent.Ok == nil || out.Consistent.Ok.String() != "1" {
		t.Errorf("two of three services: %s", candidText(out))
	}

	// Where headers say nothing about an answer, two providers that lie each in its own way leave no two that agree to replicas that have both.
	for i, r := range e.relays[1:3] {
		code := func(_, response []byte) []byte {
			return bytes.ReplaceAll(response, []byte(`"result":"0x"`), []byte(`"result":"0x0`+string(rune('1'+i))+`"`))
		}
		r.lies.Store(&code)
	}
	disagree := ask[string](e, "multi_request", own, noConfig, `{"method":"eth_getCode","params":["`+arg.Address+`","earliest"]}`)
	if disagree.Consistent == nil || disagree.Consistent.Err == nil || disagree.Consistent.Err.HTTPOutcallError == nil {
		t.Errorf("two lies: %s", candidText(disagree))
	}
	e.relays[1].lies.Store(nil)
	e.relays[2].lies.Store(nil)

	// All are down: a rejection, not silence.
	for _, r := range e.relays {
		r.down.Store(true)
	}
	dead := ask[candid.Nat](e, "eth_getTransactionCount", own, noConfig, evmrpc.GetTransactionCountArgs{Address: arg.Address, Block: latest})
	if dead.Consistent == nil || dead.Consistent.Err == nil || dead.Consistent.Err.HTTPOutcallError == nil {
		t.Errorf("no provider answers: %s", candidText(dead))
	}
	st := e.Replica(0).Status()
	if st.Ethereum == nil || len(st.Ethereum.Providers) != 3 || strings.Contains(st.Ethereum.Sentence, "://") {
		t.Errorf("status: %+v", st.Ethereum)
	}
}

func (e *evm) hash(n uint64) string {
	e.t.Helper()
	return must(e.chain.Client().HeaderByNumber(e, new(big.Int).SetUint64(n)))(e.t).Hash().Hex()
}
