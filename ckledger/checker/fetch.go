package checker

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"

	"fusion/btc"
	"fusion/cdk"
	"fusion/ic/candid"
)

// explorers serve transactions as bytes under /tx/ID/raw, in the order in which they are asked. Blockstream has no testnet4.
var explorers = map[btc.Network][]explorer{
	btc.Mainnet: {
		{"btcscan.org", "https://btcscan.org/api"},
		{"blockstream.info", "https://blockstream.info/api"},
		{"mempool.space", "https://mempool.space/api"},
	},
	btc.Testnet4: {{"mempool.space", "https://mempool.space/testnet4/api"}},
	btc.Regtest:  {{name: "json-rpc"}},
}

type explorer struct{ name, base string }

// RPC is the JSON-RPC interface of a Bitcoin node.
type RPC struct {
	URL           string // without user and password
	Authorization string // header; empty without a user
}

// maxRPCURL leaves room for the rest of a request below maxRequest.
const maxRPCURL = 512

// ParseRPC reads http://user:password@host:port.
func ParseRPC(text string) (RPC, error) {
	if len(text) > maxRPCURL {
		return RPC{}, fmt.Errorf("%w: json_rpc_url has %d bytes, at most %d are possible", ErrConfig, len(text), maxRPCURL)
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "" { // the error would repeat the password
		return RPC{}, fmt.Errorf("%w: json_rpc_url is not of the form http://user:password@host:port", ErrConfig)
	}
	var r RPC
	if u.User != nil {
		password, _ := u.User.Password()
		r.Authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	r.URL = u.String()
	if len(r.URL) > maxRPCURL {
		return RPC{}, fmt.Errorf("%w: json_rpc_url has %d bytes when written out, at most %d are possible", ErrConfig, len(r.URL), maxRPCURL)
	}
	return r, nil
}

// request asks a provider for a transaction. The transform is to be added.
func (c *Config) request(f Fetch) cdk.HTTPRequest {
	most := uint64(f.MaxBytes)
	r := cdk.HTTPRequest{MaxResponseBytes: &most, Method: cdk.GET, Headers: []cdk.HTTPHeader{{Name: "User-Agent", Value: "bitcoin_inputs_collector"}}}
	if c.Node == nil {
		r.URL = explorers[c.Network][f.Provider].base + "/tx/" + f.Txid.String() + "/raw"
		return r
	}
	body := []byte(`{"jsonrpc":"1.0","id":"checker","method":"getrawtransaction","params":["` + f.Txid.String() + `",0]}`)
	r.URL, r.Method, r.Body = c.Node.URL, cdk.POST, &body
	r.Headers = append(r.Headers, cdk.HTTPHeader{Name: "Content-Type", Value: "application/json"})
	if c.Node.Authorization != "" {
		r.Headers = append(r.Headers, cdk.HTTPHeader{Name: "Authorization", Value: c.Node.Authorization})
	}
	return r
}

// badGateway is the status of a response that is not the transaction, whatever its own status was.
const badGateway = 502

// reduce is the transform: of a good response it keeps the transaction without its witness, and of any other the status and words of our own, so that
// all replicas have the same. private says that the response is that of a node's JSON-RPC interface.
func reduce(res cdk.HTTPResponse, txid btc.Hash, private bool) cdk.HTTPResponse {
	status, fits := res.Status.Uint64()
	bad := func(text string) cdk.HTTPResponse {
		if !fits || status == 200 || status > 999 {
			status = badGateway
		}
		return cdk.HTTPResponse{Status: candid.NatFromUint64(status), Headers: []cdk.HTTPHeader{}, Body: []byte(text)}
	}
	raw := res.Body
	if private {
		// A node answers an error with a status of 500 or 200, and says more in the body.
		var r struct {
			Result *string `json:"result"`
			Error  *struct {
				Code int `json:"code"`
			} `json:"error"`
		}
		if err := json.Unmarshal(res.Body, &r); err != nil {
			return bad("not JSON-RPC")
		}
		if r.Error != nil {
			return bad(fmt.Sprintf("JSON-RPC error %d", r.Error.Code))
		}
		if r.Result == nil {
			return bad("JSON-RPC without a result")
		}
		var err error
		if raw, err = hex.DecodeString(*r.Result); err != nil {
			return bad("not hexadecimal")
		}
	}
	if !fits || status != 200 {
		return bad("")
	}
	tx, err := btc.ParseTx(raw)
	if err != nil {
		return bad("not a transaction")
	}
	stripped := tx.StrippedBytes()
	if btc.DoubleSHA256(stripped) != txid {
		return bad("another transaction")
	}
	return cdk.HTTPResponse{Status: candid.NatFromUint64(200), Headers: []cdk.HTTPHeader{}, Body: stripped}
}

// The context of a transform: the transaction's id, and whether a node was asked.
func transformContext(txid btc.Hash, private bool) []byte {
	if private {
		return append(txid[:], 1)
	}
	return append(txid[:], 0)
}

// transform is reduce as the subnet calls it. The context is our own, so a malformed one is a broken invariant.
func transform(res cdk.HTTPResponse, context []byte) cdk.HTTPResponse {
	if len(context) != 33 {
		panic(fmt.Sprintf("checker: context of %d bytes", len(context)))
	}
	return reduce(res, btc.Hash(context[:32]), context[32] == 1)
}

// Transaction is what the checker keeps of one.
type Transaction struct {
	Prevs []btc.Outpoint // what it spends; none of a transaction that mines coins
	Outs  []btc.Address  // what it pays to; zero where there is no address
}

// readTransaction reads what the transform gave.
func readTransaction(network btc.Network, txid btc.Hash, body []byte) (*Transaction, error) {
	tx, err := btc.ParseTx(body)
	if err != nil {
		return nil, err
	}
	if got := tx.Txid(); got != txid {
		return nil, fmt.Errorf("transaction %v instead of %v", got, txid)
	}
	t := &Transaction{Outs: make([]btc.Address, len(tx.Outputs))}
	if !tx.IsCoinbase() {
		t.Prevs = make([]btc.Outpoint, len(tx.Inputs))
		for i := range tx.Inputs {
			t.Prevs[i] = tx.Inputs[i].Prev
		}
	}
	for i := range tx.Outputs {
		t.Outs[i] = addressOf(network, tx.Outputs[i].Script)
	}
	return t, nil
}

// addressOf is the address of an output; that of a bare public key is its P2PKH address, under which lists have it.
func addressOf(network btc.Network, script []byte) btc.Address {
	if a, ok := btc.AddressOf(network, script); ok {
		return a
	}
	const opCheckSig = 0xac
	if n := len(script) - 2; (n == 33 || n == 65) && script[0] == byte(n) && script[n+1] == opCheckSig {
		hash := btc.Hash160(script[1 : n+1])
		if a, err := btc.NewAddress(network, btc.P2PKH, hash[:]); err == nil {
			return a
		}
	}
	return btc.Address{}
}

// weight is about what a transaction takes in memory.
func (t *Transaction) weight() int { return 256 + 36*len(t.Prevs) + 34*len(t.Outs) }

// tooLarge recognises the reject of a response that exceeds what the request allowed.
func tooLarge(e *cdk.RejectError) bool {
	return e.Code == cdk.SysFatal && (bytes.Contains([]byte(e.Message), []byte("size limit")) || bytes.Contains([]byte(e.Message), []byte("length limit")))
}
