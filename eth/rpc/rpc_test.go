package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fusion/eth"
)

// recorded are answers of geth v1.17.8 in developer mode (adapters/ethereum, TestRecord), by what was asked.
func recorded(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d recorded answers, %v", len(files), err)
	}
	out := map[string][]byte{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(f), ".json")] = b
	}
	return out
}

func result(t testing.TB, name string) []byte {
	t.Helper()
	r, err := ParseResponse(recorded(t)[name], 7)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// methods of the recorded answers that have a type here.
var methods = map[string]string{
	"chain": MethodChainID, "number": MethodBlockNumber, "logs": MethodGetLogs, "block": MethodBlockByNumber, "noblock": MethodBlockByNumber, "receipt": MethodReceipt, "noreceipt": MethodReceipt,
	"receipts": MethodBlockReceipts, "transaction": MethodTransaction, "count": MethodTransactionCount, "balance": MethodBalance, "code": MethodCode, "proof": MethodProof, "call": MethodCall,
	"history": MethodFeeHistory, "price": MethodGasPrice, "send": MethodSendRaw, "whole": "eth_other",
}

// TestRecordedAnswers reads what a real node wrote and compares with encoding/json: every member of the canonical form is the node's, sorted, and none is invented.
func TestRecordedAnswers(t *testing.T) {
	for name, method := range methods {
		in := result(t, name)
		q := Query{Method: method, Params: []byte("[]")}
		out, err := q.Canonical(in)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again, err := q.Canonical(out)
		if err != nil || !bytes.Equal(again, out) {
			t.Errorf("%s: canonical twice is %s, %v", name, again, err)
		}
		var theirs, ours any
		if err := json.Unmarshal(in, &theirs); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &ours); err != nil {
			t.Fatalf("%s: %v in %s", name, err, out)
		}
		within(t, name, ours, theirs)
		if sorted, err := json.Marshal(ours); err != nil || !bytes.Equal(sorted, out) {
			t.Errorf("%s: %s is not sorted and compact", name, out)
		}
	}
}

func within(t *testing.T, at string, ours, theirs any) {
	t.Helper()
	switch o := ours.(type) {
	case map[string]any:
		for k, v := range o {
			within(t, at+"."+k, v, theirs.(map[string]any)[k])
		}
	case []any:
		list := theirs.([]any)
		if len(o) != len(list) {
			t.Errorf("%s: %d elements, want %d", at, len(o), len(list))
			return
		}
		for i := range o {
			within(t, at, o[i], list[i])
		}
	default:
		if ours != theirs {
			t.Errorf("%s: %v, want %v", at, ours, theirs)
		}
	}
}

func TestRecordedValues(t *testing.T) {
	logs, err := ParseLogs(result(t, "logs"))
	if err != nil || len(logs) != 3 {
		t.Fatalf("%d logs, %v", len(logs), err)
	}
	for i, l := range logs {
		if l.BlockNumber != 1 || l.Index != uint64(i) || len(l.Topics) != 2 || l.Topics[0] != (eth.Hash{1, byte(i)}) || string(l.Data) != "data" {
			t.Errorf("log %d: %+v", i, l)
		}
	}
	block, err := ParseBlock(result(t, "block"))
	if err != nil || block.Number != 1 || len(block.Transactions) != 3 || block.Hash != logs[0].BlockHash || block.BaseFee == nil || block.RequestsHash == nil {
		t.Errorf("block %+v, %v", block, err)
	}
	whole, err := ParseBlock(result(t, "whole"))
	if err != nil || !bytes.Equal(EncodeBlock(whole), EncodeBlock(block)) {
		t.Errorf("a block with whole transactions: %+v, %v", whole, err)
	}
	for _, name := range []string{"noblock", "noreceipt"} {
		if b, err := ParseBlock(result(t, name)); b != nil || err != nil {
			t.Errorf("%s: %v, %v", name, b, err)
		}
	}
	r, err := ParseReceipt(result(t, "receipt"))
	if err != nil || r.Status == nil || *r.Status != 1 || r.TxHash != logs[1].TxHash || len(r.Logs) != 1 || r.To == nil || r.Contract != nil || r.Type != 2 {
		t.Errorf("receipt %+v, %v", r, err)
	}
	tx, err := ParseTransaction(result(t, "transaction"))
	if err != nil || tx.Hash != r.TxHash || tx.Nonce != 1 || tx.From != r.From || tx.BlockNumber == nil || *tx.BlockNumber != 1 {
		t.Errorf("transaction %+v, %v", tx, err)
	}
	h, err := ParseFeeHistory(result(t, "history"))
	if err != nil || len(h.BaseFee) != 3 || len(h.Reward) != 2 || len(h.Reward[0]) != 2 {
		t.Errorf("fee history %+v, %v", h, err)
	}
	p, err := ParseProof(result(t, "proof"))
	if err != nil || len(p.Nodes) == 0 || p.Nonce != 3 || len(p.Storage) != 1 {
		t.Errorf("proof %+v, %v", p, err)
	}
	for name, code := range map[string]int64{"again": -32000, "unknown": -32601} {
		var node *Error
		if _, err := ParseResponse(recorded(t)[name], 7); !errors.As(err, &node) || node.Code != code || node.Message == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSpellings has what honest nodes write in different ways.
func TestSpellings(t *testing.T) {
	for _, c := range []struct{ method, a, b string }{
		{MethodBalance, `"0x0a"`, ` "0xA" `},
		{MethodBalance, `"0x0"`, `"0x00"`},
		{MethodCall, `"0xABCD"`, `"0xabcd"`},
		{"eth_other", `{"b":1,"a":[ {"d":"\u0041","c":null} ]}`, `{"a":[{"c":null,"d":"A"}],"b":1}`},
		{"eth_other", `"\ud83d\ude00\/\n"`, "\"\U0001F600/\\n\""},
		{MethodFeeHistory, `{"oldestBlock":"0x1","baseFeePerGas":["0x1","0x2"],"gasUsedRatio":[0.50],"baseFeePerBlobGas":["0x1"],"reward":null}`,
			`{"gasUsedRatio":[5e-1],"oldestBlock":"0x01","baseFeePerGas":["0x01","0x2"],"reward":[]}`},
		{MethodReceipt, strings.Replace(string(result(t, "receipt")), `"status":"0x1"`, `"status":"0x01","root":"`+eth.Hash{}.String()+`"`, 1), string(result(t, "receipt"))},
		{MethodReceipt, strings.Replace(string(result(t, "receipt")), `"contractAddress":null`, `"contractAddress":"0x0000000000000000000000000000000000000000"`, 1), string(result(t, "receipt"))},
		{MethodBlockByNumber, strings.Replace(string(result(t, "block")), `"difficulty"`, `"totalDifficulty":"0x1","difficulty"`, 1), string(result(t, "block"))},
	} {
		q := Query{Method: c.method}
		a, err := q.Canonical([]byte(c.a))
		if err != nil {
			t.Errorf("%s: %v", c.a, err)
		}
		if b, err := q.Canonical([]byte(c.b)); err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s is %s and %s, %v", c.method, a, b, err)
		}
	}
	logs := result(t, "logs")
	parsed, err := ParseLogs(logs)
	if err != nil {
		t.Fatal(err)
	}
	parsed[0], parsed[2] = parsed[2], parsed[0]
	straight, err1 := Query{Method: MethodGetLogs}.Canonical(logs)
	turned, err2 := Query{Method: MethodGetLogs}.Canonical(EncodeLogs(parsed))
	if err1 != nil || err2 != nil || !bytes.Equal(straight, turned) {
		t.Errorf("logs in another order: %s, %v, %v", turned, err1, err2)
	}
}

func TestMalformed(t *testing.T) {
	for method, list := range map[string][]string{
		MethodBalance: {"", `"0x"`, `""`, `"12"`, `12`, `null`, `"0x` + strings.Repeat("1", 65) + `"`, `"0xg"`, `"0x1" 2`, `["0x1"]`, `"0x1`},
		MethodChainID: {`"0x10000000000000000"`},
		MethodCall:    {`"0x1"`, `"0xzz"`, `null`, `"0x` + strings.Repeat("00", maxData+1) + `"`},
		MethodSendRaw: {`"0x1234"`, `null`},
		MethodGetLogs: {`null`, `{}`, `[null]`, `[{}]`,
			strings.Replace(string(result(t, "logs")), `"logIndex":"0x0"`, `"logIndex":null`, 1),
			strings.Replace(string(result(t, "logs")), `"logIndex":"0x0"`, `"logIndex":"0x0","logIndex":"0x1"`, 1),
			strings.Replace(string(result(t, "logs")), `"topics":[`, `"topics":["0x01",`, 1),
			strings.Replace(string(result(t, "logs")), `"topics":[`, `"topics":[`+strings.Repeat(`"`+eth.Hash{}.String()+`",`, 3), 1)},
		MethodBlockByNumber: {`[]`, `{}`, `"0x"`, strings.Replace(string(result(t, "block")), `"number":`, `"n":`, 1)},
		MethodReceipt:       {`{}`, strings.Replace(string(result(t, "receipt")), `"status"`, `"stat"`, 1)},
		MethodFeeHistory:    {`{}`, `{"oldestBlock":"0x1","baseFeePerGas":["0x1"],"gasUsedRatio":[0.5]}`, `{"oldestBlock":"0x1","baseFeePerGas":["0x1","0x1"],"gasUsedRatio":[1e999]}`},
		"eth_other": {"", "{", `{"a"}`, `{"a":1,}`, `[1,]`, `{"a":1,"a":2}`, "01", "-", "1.", "1e", "+1", "nul", "tru", `"\x"`, `"\u12"`, `"\ud800"`, `"\ud800\u0041"`, "\"\xff\"", "\"\\n\xff\"", "\"\n\"",
			strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1), `{"` + strings.Repeat("k", maxKey+1) + `":1}`, "1 1", "[" + strings.Repeat("1,", maxValues) + "1]"},
	} {
		for _, text := range list {
			if out, err := (Query{Method: method}).Canonical([]byte(text)); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s: %.60q is %.60s, %v", method, text, out, err)
			}
		}
	}
	if _, err := Canonical(make([]byte, MaxBytes+1)); !errors.Is(err, ErrMalformed) {
		t.Errorf("too long: %v", err)
	}
}

func TestEnvelope(t *testing.T) {
	q := ChainID()
	if got := string(q.Request(7)); got != `{"id":7,"jsonrpc":"2.0","method":"eth_chainId","params":[]}` {
		t.Error(got)
	}
	for _, c := range []struct {
		status int
		body   string
		want   Answer
	}{
		{200, `{"jsonrpc":"2.0","id":7,"result":"0x01"}`, Answer{Result: []byte(`"0x1"`)}},
		{200, `{"jsonrpc":"2.0","id":7,"result":"0x1","error":null}`, Answer{Result: []byte(`"0x1"`)}},
		{200, `{"jsonrpc":"2.0","id":7,"result":null,"error":{"code":-32000,"message":"no","data":"0x"}}`, Answer{Err: &Error{Kind: KindRPC, Code: -32000, Message: "no"}}},
		{429, `{"jsonrpc":"2.0","id":null,"error":{"code":-32005,"message":"slow down"}}`, Answer{Err: &Error{Kind: KindRPC, Code: -32005, Message: "slow down"}}},
	} {
		if got := q.Read(c.status, []byte(c.body), 7); !got.Equal(c.want) {
			t.Errorf("%s: %s, %v", c.body, got.Result, got.Err)
		}
	}
	for _, c := range []struct {
		status int
		body   string
	}{
		{200, ""}, {200, "<html>"}, {503, `{"jsonrpc":"2.0","id":7,"result":"0x01"}`}, {200, `{"jsonrpc":"2.0","id":8,"result":"0x1"}`}, {200, `{"jsonrpc":"2.0","id":"7","result":"0x1"}`},
		{200, `{"jsonrpc":"2.0","id":null,"result":"0x1"}`}, {200, `{"jsonrpc":"1.0","id":7,"result":"0x1"}`}, {200, `{"id":7,"result":"0x1"}`}, {200, `{"jsonrpc":"2.0","id":7}`},
		{200, `{"jsonrpc":"2.0","id":7,"result":"0x1","error":{"code":1,"message":""}}`}, {200, `{"jsonrpc":"2.0","id":7,"error":{"code":"1","message":""}}`}, {200, `{"jsonrpc":"2.0","id":7,"result":null}`},
		{200, `[{"jsonrpc":"2.0","id":7,"result":"0x1"}]`}, {-5, "\xff"},
	} {
		got := q.Read(c.status, []byte(c.body), 7)
		if got.Err == nil || got.Err.Kind != KindHTTP || c.status >= 0 && int(got.Err.Status) != c.status {
			t.Errorf("%s: %s, %v", c.body, got.Result, got.Err)
		}
	}
	long := q.Read(200, []byte(`{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"`+strings.Repeat("ä", maxMessage)+`"}}`), 7)
	if len(long.Err.Message) != maxMessage {
		t.Errorf("a message of %d bytes", len(long.Err.Message))
	}
}

func TestBatch(t *testing.T) {
	queries := []Query{ChainID(), BlockNumber(), Balance(eth.Address{1}, Number(16))}
	want := `[{"id":1,"jsonrpc":"2.0","method":"eth_chainId","params":[]},{"id":2,"jsonrpc":"2.0","method":"eth_blockNumber","params":[]},` +
		`{"id":3,"jsonrpc":"2.0","method":"eth_getBalance","params":["0x0100000000000000000000000000000000000000","0x10"]}]`
	if got := string(Batch(queries, 1)); got != want {
		t.Error(got)
	}
	got := ReadBatch(queries, 200, []byte(`[{"jsonrpc":"2.0","id":3,"result":"0x3"},{"jsonrpc":"2.0","id":1,"result":"0x1"},{"jsonrpc":"2.0","id":2,"error":{"code":-1,"message":"no"}}]`), 1)
	if string(got[0].Result) != `"0x1"` || string(got[2].Result) != `"0x3"` || got[1].Err == nil || got[1].Err.Code != -1 {
		t.Errorf("%+v", got)
	}
	for _, body := range []string{`[]`, `[{"jsonrpc":"2.0","id":1,"result":"0x1"}]`, `[{"jsonrpc":"2.0","id":1,"result":"0x1"},{"jsonrpc":"2.0","id":1,"result":"0x1"},{"jsonrpc":"2.0","id":2,"result":"0x1"}]`,
		`[{"jsonrpc":"2.0","id":0,"result":"0x1"}]`, `[{"jsonrpc":"2.0","id":4,"result":"0x1"}]`, `{"jsonrpc":"2.0","id":1,"result":"0x1"}`, `null`, ``} {
		for i, a := range ReadBatch(queries, 200, []byte(body), 1) {
			if a.Err == nil || a.Err.Kind != KindHTTP || a.Result != nil {
				t.Errorf("%s: answer %d is %s, %v", body, i, a.Result, a.Err)
			}
		}
	}
	for _, a := range ReadBatch(queries, 200, []byte(`{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no batches"}}`), 1) {
		if a.Err == nil || a.Err.Code != -32600 {
			t.Errorf("an error for the batch: %+v", a)
		}
	}
}

func TestQueries(t *testing.T) {
	a, h := eth.Address{0xaa}, eth.Hash{0xbb}
	as, hs := `"0xaa`+strings.Repeat("0", 38)+`"`, `"0xbb`+strings.Repeat("0", 62)+`"`
	call, err := Call([]byte(`{ "to": "0x1", "data": "0x" }`), Latest)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		q    Query
		want string
	}{
		{GetLogs(Filter{From: Number(1), To: Number(255), Addresses: []eth.Address{a}, Topics: [][]eth.Hash{{h}, nil, {h, h}}}),
			`[{"address":[` + as + `],"fromBlock":"0x1","toBlock":"0xff","topics":[[` + hs + `],null,[` + hs + `,` + hs + `]]}]`},
		{GetLogs(Filter{From: Earliest, To: Finalized}), `[{"fromBlock":"earliest","toBlock":"finalized"}]`},
		{BlockByNumber(Number(0)), `["0x0",false]`},
		{BlockByHash(h), `[` + hs + `,false]`},
		{ReceiptOf(h), `[` + hs + `]`},
		{TransactionCount(a, Latest), `[` + as + `,"latest"]`},
		{FeeHistoryOf(5, Latest, []uint8{20}), `["0x5","latest",[20]]`},
		{ProofOf(a, []eth.Hash{h}, Number(2)), `[` + as + `,[` + hs + `],"0x2"]`},
		{CallTo(a, []byte{1}, Number(2)), `[{"input":"0x01","to":` + as + `},"0x2"]`},
		{call, `[{"data":"0x","to":"0x1"},"latest"]`},
	} {
		if string(c.q.Params) != c.want {
			t.Errorf("%s: %s, want %s", c.q.Method, c.q.Params, c.want)
		}
		if again, err := Canonical(c.q.Params); err != nil || !bytes.Equal(again, c.q.Params) {
			t.Errorf("%s: %s is not canonical", c.q.Method, c.q.Params)
		}
		if back, err := Raw(c.q.Request(9)); err != nil || back.Method != c.q.Method || !bytes.Equal(back.Params, c.q.Params) {
			t.Errorf("%s came back as %+v, %v", c.q.Method, back, err)
		}
	}
	if _, err := Call([]byte(`[]`), Latest); !errors.Is(err, ErrMalformed) {
		t.Errorf("call of a list: %v", err)
	}
	for _, bad := range []string{"", "{}", `{"method":1}`, `{"method":""}`, `{"method":"a b"}`, `{"method":"a","params":{}}`, `{"method":"a","method":"b"}`, `{"method":"` + strings.Repeat("a", 65) + `"}`} {
		if q, err := Raw([]byte(bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s is %+v, %v", bad, q, err)
		}
	}
	if q, err := Raw([]byte(`{"method":"eth_gasPrice"}`)); err != nil || string(q.Params) != "[]" {
		t.Errorf("%+v, %v", q, err)
	}
	q := SendRaw([]byte{1, 2})
	want := eth.Hash(eth.Keccak256([]byte{1, 2}))
	if got, ok := q.SentHash(); !ok || got != want {
		t.Errorf("hash %s", got)
	}
	if a := q.Read(200, []byte(`{"jsonrpc":"2.0","id":1,"result":"`+h.String()+`"}`), 1); a.Err == nil || a.Err.Kind != KindHTTP {
		t.Errorf("a node that says it sent something else: %+v", a)
	}
	for text, want := range map[At]uint64{Number(7): 7, Earliest: 0} {
		if n, ok := text.Number(); !ok || n != want {
			t.Errorf("%s is %d", text, n)
		}
	}
	if _, ok := Latest.Number(); ok {
		t.Error("latest is a number")
	}
}

// FuzzCanonical reads any text as JSON: what is taken stays the same, and encoding/json takes it too and means the same.
func FuzzCanonical(f *testing.F) {
	for _, b := range recorded(f) {
		f.Add(b)
	}
	for _, s := range []string{`"\ud83d\ude00"`, `[-1.5e+10,true,null]`, `{"":{}}`, "\"\x7f\""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		out, err := Canonical(text)
		if err != nil {
			return
		}
		if again, err := Canonical(out); err != nil || !bytes.Equal(again, out) {
			t.Fatalf("%q, then %q, %v", out, again, err)
		}
		if !json.Valid(text) || !json.Valid(out) {
			t.Fatalf("%q became %q, which is no JSON", text, out)
		}
	})
}

// FuzzAnswer reads any bytes as the response to every typed query: no panic, and what is taken is canonical.
func FuzzAnswer(f *testing.F) {
	for _, b := range recorded(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, method := range methods {
			q := Query{Method: method, Params: []byte("[]")}
			a := q.Read(200, body, 7)
			if a.Err != nil {
				if a.Result != nil || len(a.Err.Message) > maxMessage {
					t.Fatalf("%s: %+v", method, a)
				}
				continue
			}
			if again, err := q.Canonical(a.Result); err != nil || !bytes.Equal(again, a.Result) {
				t.Fatalf("%s: %s, then %s, %v", method, a.Result, again, err)
			}
		}
	})
}

// FuzzBatch reads any bytes as the response to a batch.
func FuzzBatch(f *testing.F) {
	f.Add([]byte(`[{"jsonrpc":"2.0","id":3,"result":"0x3"},{"jsonrpc":"2.0","id":1,"result":"0x1"},{"jsonrpc":"2.0","id":2,"error":{"code":-1,"message":"no"}}]`))
	f.Add([]byte(`{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"no"}}`))
	queries := []Query{ChainID(), BlockNumber(), Balance(eth.Address{}, Latest)}
	f.Fuzz(func(t *testing.T, body []byte) {
		for i, a := range ReadBatch(queries, 200, body, 1) {
			if (a.Err == nil) == (a.Result == nil) {
				t.Fatalf("answer %d: %+v", i, a)
			}
		}
	})
}

// FuzzRaw reads any bytes as somebody's request.
func FuzzRaw(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"eth_gasPrice","params":[]}`))
	f.Add([]byte(`{"method":"eth_call","params":[{"to":"0x"},"latest"]}`))
	f.Fuzz(func(t *testing.T, request []byte) {
		q, err := Raw(request)
		if err != nil {
			return
		}
		if back, err := Raw(q.Request(1)); err != nil || back.Method != q.Method || !bytes.Equal(back.Params, q.Params) {
			t.Fatalf("%+v, then %+v, %v", q, back, err)
		}
	})
}

func BenchmarkParseLogs(b *testing.B) {
	one := result(b, "logs")
	logs, err := ParseLogs(one)
	if err != nil {
		b.Fatal(err)
	}
	for len(logs) < 3000 {
		logs = append(logs, logs...)
	}
	text := EncodeLogs(logs)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseLogs(text); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(logs))*float64(b.N)/b.Elapsed().Seconds(), "logs/s")
}
