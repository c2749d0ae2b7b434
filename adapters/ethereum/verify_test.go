package ethereum

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"fusion/eth"
	"fusion/eth/rpc"
)

var (
	topicA  = eth.Hash{0xaa}
	topicB  = eth.Hash{0xbb}
	allLogs = func(from, to uint64) rpc.Query {
		return rpc.GetLogs(rpc.Filter{From: rpc.Number(from), To: rpc.Number(to), Addresses: []eth.Address{eth.Address(emitter)}, Topics: [][]eth.Hash{{topicA}}})
	}
)

// busy makes blocks with logs of two kinds: in the blocks 2, 5, 8, … there are three.
func (n *network) busy(blocks int) {
	for i := range blocks {
		if i%3 == 1 {
			n.emit(topicA, fmt.Appendf(nil, "deposit %d", i))
			n.emit(topicB, []byte("something else"))
			n.emit(topicA, fmt.Appendf(nil, "second deposit %d", i))
		}
		n.mine(1)
	}
}

// expected is what geth itself says.
func (n *network) expected(from, to uint64) (out []rpc.Log) {
	n.t.Helper()
	_, body := post(n.t, n.chain, allLogs(from, to).Request(1))
	result, err := rpc.ParseResponse(body, 1)
	if err != nil {
		n.t.Fatal(err)
	}
	if out, err = rpc.ParseLogs(result); err != nil {
		n.t.Fatal(err)
	}
	return out
}

func (n *network) sees(from, to uint64) []rpc.Log {
	n.t.Helper()
	got := n.answers(allLogs(from, to))
	want := n.expected(from, to)
	if got != string(rpc.EncodeLogs(want)) {
		n.t.Errorf("logs from %d to %d: %s, want %d", from, to, got, len(want))
	}
	return want
}

func (n *network) forget() { n.client.headers = newHeaders(1000) }

// everybody lies the same way.
func (n *network) all(fault func(w http.ResponseWriter, method string, honest []byte) bool) {
	for _, f := range n.fakes {
		f.set(fault)
	}
	n.pass(1 << 40)
	n.forget()
}

func TestVerifiedLogs(t *testing.T) {
	n := newNetwork(t, 4, Config{Quorum: 3, Verify: true})
	n.busy(130)
	if logs := n.sees(0, 130); len(logs) != 2*43 {
		t.Errorf("%d logs", len(logs))
	}
	asked := n.client.Stats()
	n.sees(50, 60)
	if s := n.client.Stats(); s.Headers != asked.Headers {
		t.Error("verified headers are fetched again")
	}
	if logs := n.sees(6, 7); len(logs) != 0 {
		t.Errorf("%d logs", len(logs))
	}
	if s := n.client.Stats(); s.Headers < 130 || s.Receipts < 3*43 || s.Logs < 2*43 {
		t.Errorf("%+v", s)
	}
	n.fails(allLogs(5, 4), rpc.ErrMalformed)
	n.fails(allLogs(0, maxRange), ErrTooLarge)
	n.fails(allLogs(100, 1000), ErrUnavailable)

	withhold := func(w http.ResponseWriter, m string, honest []byte) bool {
		if m != rpc.MethodBlockReceipts {
			return false
		}
		result, err := rpc.ParseResponse(honest, idOf(honest))
		if err != nil {
			panic(err)
		}
		receipts, _, err := rpc.ParseReceipts(result)
		if err != nil {
			panic(err)
		}
		for i := range receipts {
			receipts[i].Logs = nil
		}
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%d,"result":%s}`, idOf(honest), rpc.EncodeReceipts(receipts))
		return true
	}
	for name, fault := range map[string]func(w http.ResponseWriter, method string, honest []byte) bool{
		"withholds logs": withhold,
		"withholds all":  saying(rpc.MethodBlockReceipts, `"result":[]`),
		"invents a log":  inReceipts(`deposit`, `Deposit`),
		"empty bloom":    inHeaders("logsBloom", "0x"+strings.Repeat("0", 512)),
		"another parent": inHeaders("parentHash", eth.Hash{1}.String()),
		"another root":   inHeaders("receiptsRoot", eth.Hash{1}.String()),
		"another hash":   inHeaders("hash", eth.Hash{1}.String()),
		"transaction":    inBody(`"nonce":"0x0"`, `"nonce":"0x1"`),
		"no transaction": inBody(`"transactions":[`, `"transactions":[null,`),
	} {
		t.Run(name, func(t *testing.T) {
			n.all(nil)
			n.fakes[1].set(fault)
			n.sees(0, 30)
			n.all(fault)
			n.fails(allLogs(0, 30), ErrUnverified)
			if a := n.client.Ask(t.Context(), allLogs(0, 30)); a.Err == nil || a.Err.Kind != rpc.KindUnverified && a.Err.Kind != rpc.KindUnavailable {
				t.Errorf("%+v", a.Err)
			}
		})
	}
	n.all(saying(rpc.MethodBlockReceipts, `"error":{"code":-32601,"message":"no such method"}`))
	n.fails(allLogs(0, 30), ErrUnavailable)
	n.all(saying(rpc.MethodBlockReceipts, `"result":null`))
	n.fails(allLogs(0, 30), ErrUnavailable)
	// A block's receipts are too large: one who says so makes nobody ask for less, a quorum does.
	n.all(saying(rpc.MethodBlockReceipts, `"error":{"code":-32603,"message":"no"}`))
	large := saying(rpc.MethodBlockReceipts, `"error":{"code":-32005,"message":"log response size exceeded"}`)
	n.fakes[2].set(large)
	if err := n.fails(allLogs(0, 30), ErrUnavailable); errors.Is(err, ErrTooLarge) {
		t.Errorf("one of four: %v", err)
	}
	n.all(large)
	n.fails(allLogs(0, 30), ErrTooLarge)
	// An answer that cannot be read is not a query that cannot be read.
	n.all(saying(rpc.MethodBlockReceipts, `"result":"text"`))
	if err := n.fails(allLogs(0, 30), ErrUnavailable); errors.Is(err, rpc.ErrMalformed) {
		t.Errorf("%v", err)
	}
	// Nodes that take no batches are asked one by one.
	n.all(func(w http.ResponseWriter, m string, honest []byte) bool {
		if !strings.HasPrefix(m, "batch") {
			return false
		}
		fmt.Fprint(w, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no batches"}}`)
		return true
	})
	n.sees(0, 20)
}

func idOf(body []byte) uint64 {
	var e struct{ ID uint64 }
	if err := json.Unmarshal(body, &e); err != nil {
		panic(err)
	}
	return e.ID
}

// inHeaders changes a member of every header in batches, which are the ones below the agreed block.
func inHeaders(member, value string) func(http.ResponseWriter, string, []byte) bool {
	return func(w http.ResponseWriter, m string, honest []byte) bool {
		if !strings.HasPrefix(m, "batch "+rpc.MethodBlockByNumber) {
			return false
		}
		var list []map[string]any
		if err := json.Unmarshal(honest, &list); err != nil {
			panic(err)
		}
		for _, e := range list {
			e["result"].(map[string]any)[member] = value
		}
		out, err := json.Marshal(list)
		if err != nil {
			panic(err)
		}
		w.Write(out)
		return true
	}
}

// inBody changes whole blocks.
func inBody(old, new string) func(http.ResponseWriter, string, []byte) bool {
	return func(w http.ResponseWriter, m string, honest []byte) bool {
		if m != rpc.MethodBlockByNumber || !bytes.Contains(honest, []byte(`"yParity"`)) {
			return false
		}
		w.Write(bytes.Replace(honest, []byte(old), []byte(new), 1))
		return true
	}
}

// inReceipts changes a word in the data of logs.
func inReceipts(old, new string) func(http.ResponseWriter, string, []byte) bool {
	return func(w http.ResponseWriter, m string, honest []byte) bool {
		if m != rpc.MethodBlockReceipts {
			return false
		}
		w.Write(bytes.ReplaceAll(honest, fmt.Appendf(nil, "%x", old), fmt.Appendf(nil, "%x", new)))
		return true
	}
}

func TestVerifiedReceipt(t *testing.T) {
	n := newNetwork(t, 4, Config{Quorum: 3, Verify: true})
	var txs []common.Hash
	for i := range 3 {
		txs = append(txs, n.emit(topicA, []byte{byte(i)}))
	}
	n.mine(3)
	q := rpc.ReceiptOf(eth.Hash(txs[2]))
	r, err := rpc.ParseReceipt([]byte(n.answers(q)))
	if err != nil || r.TxIndex != 2 || len(r.Logs) != 1 || r.Logs[0].Index != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := n.answers(rpc.ReceiptOf(eth.Hash{1})); got != "null" {
		t.Error(got)
	}
	for name, fault := range map[string]func(http.ResponseWriter, string, []byte) bool{
		"status":            replacing(rpc.MethodReceipt, `"status":"0x1"`, `"status":"0x0"`),
		"cumulative":        replacing(rpc.MethodReceipt, `"cumulativeGasUsed":"0x`, `"cumulativeGasUsed":"0x1`),
		"gas":               replacing(rpc.MethodReceipt, `"gasUsed":"0x`, `"gasUsed":"0x1`),
		"log":               replacing(rpc.MethodReceipt, `"data":"0x02"`, `"data":"0x03"`),
		"index of log":      replacing(rpc.MethodReceipt, `"logIndex":"0x2"`, `"logIndex":"0x1"`),
		"index":             replacing(rpc.MethodReceipt, `"transactionIndex":"0x2"`, `"transactionIndex":"0x1"`),
		"index beyond":      replacing(rpc.MethodReceipt, `"transactionIndex":"0x2"`, `"transactionIndex":"0x22"`),
		"another's receipt": replacing(rpc.MethodReceipt, strings.ToLower(txs[2].Hex()), eth.Hash{1}.String()),
	} {
		t.Run(name, func(t *testing.T) {
			n.all(fault)
			n.fails(q, ErrUnverified)
		})
	}
}

func TestVerifiedBlock(t *testing.T) {
	n := newNetwork(t, 4, Config{Quorum: 3, Verify: true})
	n.mine(2)
	q := rpc.BlockByNumber(rpc.Number(1))
	b, err := rpc.ParseBlock([]byte(n.answers(q)))
	if err != nil || b.Number != 1 {
		t.Fatalf("%+v, %v", b, err)
	}
	if got := n.answers(rpc.BlockByNumber(rpc.Number(100))); got != "null" {
		t.Error(got)
	}
	if got := n.answers(rpc.WholeBlock(rpc.Number(1))); !strings.Contains(got, b.Hash.String()) {
		t.Error(got)
	}
	n.all(replacing(rpc.MethodBlockByNumber, `"gasLimit":"0x`, `"gasLimit":"0x1`))
	n.fails(q, ErrUnverified)
	n.all(nil)
	n.answers(q)
}

func TestVerifiedAccounts(t *testing.T) {
	n := newNetwork(t, 4, Config{Quorum: 3, Verify: true})
	n.emit(topicA, nil)
	n.mine(2)
	from := eth.Address(n.from)
	balance, err := n.chain.client.BalanceAt(t.Context(), n.from, common.Big1)
	if err != nil {
		t.Fatal(err)
	}
	queries := map[string]rpc.Query{
		fmt.Sprintf(`"0x%x"`, balance): rpc.Balance(from, rpc.Number(1)),
		`"0x1"`:                        rpc.TransactionCount(from, rpc.Number(1)),
		`"0x0"`:                        rpc.Balance(eth.Address{1, 2, 3}, rpc.Number(1)), // there is no such account
		`"0x40000000000000000000000"`:  rpc.Balance(from, rpc.Number(0)),
	}
	check := func(t *testing.T) {
		t.Helper()
		for want, q := range queries {
			if got := n.answers(q); got != want {
				t.Errorf("%s %s: %s, want %s", q.Method, q.Params, got, want)
			}
		}
	}
	check(t)
	t.Run("all lie about the value", func(t *testing.T) { // and the proof tells
		n.all(saying(rpc.MethodBalance, `"result":"0x12345"`))
		check(t)
	})
	t.Run("one gives a wrong proof", func(t *testing.T) {
		n.all(nil)
		n.fakes[0].set(replacing(rpc.MethodProof, `"accountProof":["0xf`, `"accountProof":["0xe`))
		for range 4 {
			check(t)
		}
		if s := n.stats(0); s.Unverified == 0 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("no proofs", func(t *testing.T) {
		n.all(saying(rpc.MethodProof, `"error":{"code":-32601,"message":"no such method"}`))
		check(t)
	})
	if got := n.answers(rpc.Balance(eth.Address{1}, rpc.Latest)); got != `"0x0"` {
		t.Error(got)
	}
}

// TestReorg replaces blocks between two queries, and between two requests of one.
func TestReorg(t *testing.T) {
	n := newNetwork(t, 4, Config{Quorum: 3, Verify: true})
	n.busy(9)
	before := n.sees(0, 9)
	parent, err := n.chain.client.HeaderByNumber(t.Context(), common.Big3)
	if err != nil {
		t.Fatal(err)
	}
	fork := func() {
		n.t.Helper()
		if err := n.beacon.Fork(parent.Hash()); err != nil {
			t.Fatal(err)
		}
		if n.nonce, err = n.chain.client.PendingNonceAt(context.Background(), n.from); err != nil {
			t.Fatal(err)
		}
	}
	fork()
	n.busy(12)
	after := n.sees(0, 12)
	if bytes.Equal(rpc.EncodeLogs(before), rpc.EncodeLogs(after)) {
		t.Fatal("nothing was replaced")
	}
	// The agreed block is of one branch, what lies below it of another.
	n.forget()
	done := false
	n.all(func(_ http.ResponseWriter, m string, _ []byte) bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		if !done && strings.HasPrefix(m, "batch") {
			done = true // this answer is of the old branch still
			fork()
			n.emit(topicA, []byte("elsewhere"))
			n.mine(14)
		}
		return false
	})
	_, err = n.client.Query(t.Context(), allLogs(0, 12))
	if err != nil && !errors.Is(err, ErrUnverified) && !errors.Is(err, ErrUnavailable) {
		t.Errorf("in the middle of a reorganisation: %v", err)
	}
	n.all(nil)
	n.sees(0, 12)
}

// finality is a light client that says what a test wants.
type finality struct {
	block Finalized
	err   error
}

func (f *finality) Finalized(context.Context) (Finalized, error) { return f.block, f.err }

func TestFinality(t *testing.T) {
	light := &finality{}
	n := newNetwork(t, 4, Config{Quorum: 3, Verify: true, Finality: light, MaxLink: 100, linkStep: 7})
	n.busy(110)
	at := func(k uint64) Finalized {
		b, err := rpc.ParseBlock([]byte(n.whatever(rpc.BlockByNumber(rpc.Number(k)))))
		if err != nil {
			t.Fatal(err)
		}
		return Finalized{Number: k, Hash: b.Hash}
	}
	light.block = at(70)
	if h, err := n.client.Height(t.Context(), "finalized"); err != nil || h != 70 {
		t.Errorf("finalized is %d, %v: the light client says 70", h, err)
	}
	n.sees(20, 60)
	n.sees(65, 75) // above what is final, the quorum counts
	light.block = at(80)
	asked := n.client.Stats().Headers
	n.sees(30, 40)
	if got := n.client.Stats().Headers - asked; got != 0 {
		t.Errorf("%d headers were linked again", got)
	}
	n.sees(61, 80)
	light.block = at(105)
	if h, err := n.client.Height(t.Context(), "finalized"); err != nil || h != 96 {
		t.Errorf("finalized is %d, %v: the providers say 96", h, err)
	}
	n.fails(allLogs(0, 3), ErrUnverified) // too deep
	n.answers(rpc.BlockByNumber(rpc.Number(50)))

	// Providers who all are on another branch than the beacon chain cannot make it look final.
	n.forget()
	light.block = Finalized{Number: 70, Hash: eth.Hash{1}}
	n.fails(allLogs(20, 60), ErrUnverified)
	n.pass(1 << 40)
	n.fails(rpc.BlockByNumber(rpc.Number(50)), ErrUnverified)
	n.pass(1 << 40)
	if _, err := n.client.Height(t.Context(), "finalized"); !errors.Is(err, ErrUnverified) {
		t.Errorf("another block is final: %v", err)
	}
	light.err = fmt.Errorf("%w: for an hour", ErrStale)
	n.fails(allLogs(20, 60), ErrStale)
	if _, err := n.client.Height(t.Context(), "finalized"); !errors.Is(err, ErrStale) {
		t.Errorf("stale: %v", err)
	}
	if a := n.client.Ask(t.Context(), allLogs(20, 60)); a.Err == nil || a.Err.Kind != rpc.KindUnverified {
		t.Errorf("%+v", a.Err)
	}
}

// whatever asks the node itself.
func (n *network) whatever(q rpc.Query) string {
	n.t.Helper()
	_, body := post(n.t, n.chain, q.Request(1))
	result, err := rpc.ParseResponse(body, 1)
	if err != nil {
		n.t.Fatal(err)
	}
	return string(result)
}

// BenchmarkScrape reads and verifies logs of a geth in this process through HTTP: headers, receipts and transactions of 100 blocks of 50 logs.
func BenchmarkScrape(b *testing.B) {
	n := newNetwork(b, 4, Config{Quorum: 3, Verify: true, MaxResponse: 16 << 20})
	const blocks, each = 100, 50
	for range blocks {
		for range each {
			n.emit(topicA, make([]byte, 96))
		}
		n.mine(1)
	}
	q := allLogs(1, blocks)
	for b.Loop() {
		n.forget()
		logs, err := rpc.ParseLogs([]byte(n.answers(q)))
		if err != nil || len(logs) != blocks*each {
			b.Fatalf("%d logs, %v", len(logs), err)
		}
	}
	b.ReportMetric(float64(blocks*each)*float64(b.N)/b.Elapsed().Seconds(), "logs/s")
}
