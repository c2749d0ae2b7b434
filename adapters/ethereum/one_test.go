package ethereum

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"fusion/adapters/https"
	"fusion/eth"
	"fusion/eth/rpc"
)

// doer answers without a network.
type doer func(r https.Request) (*https.Response, error)

func (d doer) Do(_ context.Context, r https.Request) (*https.Response, error) { return d(r) }

// TestAskOne goes through the client of HTTPS outcalls to a real node.
func TestAskOne(t *testing.T) {
	c := newChain(t)
	f := newFake(t, c)
	allow, err := https.ParseRules([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	client, err := https.New(https.Config{AllowHTTP: true, Allow: allow})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(q rpc.Query, most int64) rpc.Answer {
		return AskOne(t.Context(), client, f.URL, []Header{{"X-Key", "k"}}, q, most)
	}
	c.mine(1)
	if a := ask(rpc.ChainID(), 1000); string(a.Result) != `"0x539"` {
		t.Errorf("%+v", a)
	}
	tx := c.sign(eth.Hash{1}, nil)
	raw, err := tx.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	want := `"` + strings.ToLower(tx.Hash().Hex()) + `"`
	for _, state := range []string{"new", "already known"} { // as it is for all replicas but the first
		if a := ask(rpc.SendRaw(raw), 1000); string(a.Result) != want {
			t.Errorf("%s: %+v, %v", state, a, a.Err)
		}
	}
	c.mine(1)
	if a := ask(rpc.SendRaw(raw), 1000); string(a.Result) != want {
		t.Errorf("in the chain: %+v, %v", a, a.Err)
	}
	c.nonce = 0
	other, err := c.sign(eth.Hash{2}, nil).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if a := ask(rpc.SendRaw(other), 1000); a.Err == nil || a.Err.Class() != rpc.ClassNonceTooLow {
		t.Errorf("%+v", a)
	}
	if a := ask(rpc.BlockByNumber(rpc.Number(1)), 500); a.Err == nil || a.Err.Kind != rpc.KindTooLarge {
		t.Errorf("%+v", a)
	}
	f.set(func(w http.ResponseWriter, _ string, _ []byte) bool {
		w.WriteHeader(502)
		io.WriteString(w, "bad gateway")
		return true
	})
	if a := ask(rpc.ChainID(), 1000); a.Err == nil || a.Err.Kind != rpc.KindHTTP || a.Err.Status != 502 || a.Err.Message != "bad gateway" {
		t.Errorf("%+v", a.Err)
	}
	f.Close()
	if a := ask(rpc.ChainID(), 1000); a.Err == nil || a.Err.Kind != rpc.KindTransport {
		t.Errorf("%+v", a.Err)
	}
	closed, err := https.New(https.Config{AllowHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	if a := AskOne(t.Context(), closed, f.URL, nil, rpc.ChainID(), 1000); a.Err == nil || a.Err.Kind != rpc.KindQuery {
		t.Errorf("an address that may not be reached: %+v", a.Err)
	}
}

// TestAskOneIsTheSameEverywhere has a request that does not depend on who asks, or when.
func TestAskOneIsTheSameEverywhere(t *testing.T) {
	var seen []string
	d := doer(func(r https.Request) (*https.Response, error) {
		seen = append(seen, fmt.Sprintf("%s %s %v %s %d", r.Method, r.URL, r.Headers, r.Body, r.MaxResponseBytes))
		return &https.Response{Status: 200, Body: []byte(`{"jsonrpc":"2.0","id":1,"result":"0x1"}`)}, nil
	})
	for range 2 {
		if a := AskOne(t.Context(), d, "https://a.example/k", []Header{{"content-type", "application/json; charset=utf-8"}}, rpc.ChainID(), 100); string(a.Result) != `"0x1"` {
			t.Errorf("%+v", a)
		}
	}
	const want = `POST https://a.example/k [{content-type application/json; charset=utf-8}] {"id":1,"jsonrpc":"2.0","method":"eth_chainId","params":[]} 2148`
	if seen[0] != want || seen[1] != want {
		t.Errorf("%q, want %q", seen, want)
	}
}
