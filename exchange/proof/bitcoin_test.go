package proof_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"fusion/btc"
	"fusion/exchange/proof"
	"fusion/ic/principal"
)

// node is a Bitcoin node that has the outputs of a report, as Core answers for them.
func node(t *testing.T, r *proof.Report, chain string, edit func(txid string, answer string) string) *proof.Node {
	t.Helper()
	known := map[string]string{}
	for _, o := range r.Outputs {
		a, err := btc.ParseAddress(r.Network, o.Address)
		if err != nil {
			t.Fatal(err)
		}
		known[o.Outpoint.Txid.String()] = fmt.Sprintf(`{"bestblock":"00","confirmations":9,"value":%d.%08d,"scriptPubKey":{"hex":"%x"},"coinbase":false}`,
			o.Value/1e8, o.Value%1e8, a.Script())
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if user, password, _ := q.BasicAuth(); user != "u" || password != "p" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var calls []struct {
			ID     int    `json:"id"`
			Method string `json:"method"`
			Params []any  `json:"params"`
		}
		if err := json.NewDecoder(q.Body).Decode(&calls); err != nil {
			t.Error(err)
		}
		var out []string
		for _, c := range calls {
			result := fmt.Sprintf(`{"chain":%q,"blocks":120,"initialblockdownload":false}`, chain)
			if c.Method == "gettxout" {
				txid := c.Params[0].(string)
				if result = known[txid]; edit != nil {
					result = edit(txid, result)
				}
			}
			out = append([]string{fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":%s}`, c.ID, result)}, out...) // in another order
		}
		_, _ = io.WriteString(w, "["+strings.Join(out, ",")+"]")
	}))
	t.Cleanup(s.Close)
	return &proof.Node{URL: s.URL, User: "u", Password: "p"}
}

func TestCompare(t *testing.T) {
	s, m := world(t, 6)
	m.all[5].InPayment = true
	r, err := proof.Verify(encode(t, mk(t, s)), s.RootKeyDER(), minterID)
	if err != nil {
		t.Fatal(err)
	}
	u, err := r.Compare(t.Context(), node(t, r, "regtest", nil))
	if err != nil || u.Value != r.Custody || u.Height != 120 || len(u.Moving) != 0 {
		t.Fatalf("%+v, %v", u, err)
	}
	paid, kept := r.Outputs[5], r.Outputs[0]
	spent := func(o proof.Output) func(string, string) string {
		return func(txid, answer string) string {
			if txid == o.Outpoint.Txid.String() {
				return "null"
			}
			return answer
		}
	}
	// Spent by an open withdrawal: the others suffice.
	u, err = r.Compare(t.Context(), node(t, r, "regtest", spent(paid)))
	if err != nil || u.Value != r.Custody-uint64(paid.Value) || len(u.Moving) != 1 {
		t.Errorf("%+v, %v", u, err)
	}
	replace := func(old, new string) func(string, string) string {
		return func(_, answer string) string { return strings.Replace(answer, old, new, 1) }
	}
	for name, c := range map[string]struct {
		node *proof.Node
		want error
		says string
	}{
		"spent":          {node(t, r, "regtest", spent(kept)), proof.ErrUnspent, kept.Outpoint.String()},
		"all moving":     {node(t, r, "regtest", func(string, string) string { return "null" }), proof.ErrUnspent, "spent or unknown"},
		"another value":  {node(t, r, "regtest", replace("0.000002", "0.000003")), proof.ErrUnspent, "the proof says"},
		"another script": {node(t, r, "regtest", replace(`"hex":"00`, `"hex":"01`)), proof.ErrUnspent, "the proof says"},
		"another chain":  {node(t, r, "main", nil), proof.ErrNode, `"main"`},
		"no amount":      {node(t, r, "regtest", replace(`"value":0.`, `"value":-0.`)), proof.ErrNode, "amount"},
		"huge":           {node(t, r, "regtest", func(string, string) string { return `"` + strings.Repeat("x", 1<<20) + `"` }), proof.ErrNode, "more than"},
		"no object":      {node(t, r, "regtest", func(string, string) string { return `[]` }), proof.ErrNode, ""},
		"no password":    {&proof.Node{URL: node(t, r, "regtest", nil).URL}, proof.ErrNode, "password"},
		"no address":     {&proof.Node{URL: "ftp://x"}, proof.ErrNode, "http://"},
	} {
		if u, err := r.Compare(t.Context(), c.node); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %+v, %v", name, u, err)
		}
	}
	// What is unspent must cover the liabilities without the outputs that are said to be in a payment.
	short := *r
	short.Supply = r.Custody - r.Owed
	if _, err := short.Compare(t.Context(), node(t, r, "regtest", spent(paid))); !errors.Is(err, proof.ErrUnspent) || !strings.Contains(err.Error(), "withdrawals") {
		t.Errorf("too little: %v", err)
	}
}

// What a node answers is bounded and never brings the verifier down.
func FuzzCompare(f *testing.F) {
	for _, s := range []string{`[]`, `null`, `{}`, `[{"id":0,"result":null}]`, `[{"id":0,"result":{"chain":"regtest","blocks":1}}]`, `[{"id":9,"result":1}]`,
		`[{"id":0,"error":{"code":-8,"message":"no"}}]`, `[{"id":0,"result":{"value":1e-8,"scriptPubKey":{"hex":"00"}}}]`, `[{"id":0},{"id":0}]`,
		`[{"id":0,"result":{"chain":"regtest","blocks":1,"value":1e99}}]`} {
		f.Add([]byte(s))
	}
	r := &proof.Report{Minter: principal.FromUint64(1), Network: btc.Regtest, Supply: 1, Outputs: []proof.Output{{Value: 1, Address: "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"}}}
	f.Fuzz(func(t *testing.T, answer []byte) {
		client := &http.Client{Transport: tripper(answer)}
		if u, err := r.Compare(t.Context(), &proof.Node{URL: "http://node", Client: client}); err == nil && (u.Value != 1 || len(u.Moving) != 0) {
			t.Fatalf("more than there is: %+v", u)
		} else if err != nil && !errors.Is(err, proof.ErrNode) && !errors.Is(err, proof.ErrUnspent) {
			t.Fatal(err)
		}
	})
}

// tripper gives the same answer to everything.
type tripper []byte

func (b tripper) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(string(b))), Header: http.Header{}}, nil
}
