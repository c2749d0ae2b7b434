package proof

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"fusion/btc"
)

var (
	// ErrNode means that a Bitcoin node did not give an answer that can be used.
	ErrNode = errors.New("the bitcoin node gives no usable answer")
	// ErrUnspent means that a Bitcoin node does not have the outputs that cover the liabilities.
	ErrUnspent = errors.New("the bitcoin node does not confirm the reserves")
)

// Bounds of the conversation with a node.
const (
	perBatch    = 200              // outputs in one request
	maxPerReply = 20 << 10         // bytes that the answer for one output has at most; the longest script is half of it
	nodeTimeout = 60 * time.Second // for one request
)

// Node is a Bitcoin node of one's own, asked by JSON-RPC as Bitcoin Core speaks it (getblockchaininfo, gettxout). It needs no index of
// transactions, and may be pruned.
type Node struct {
	URL            string // http or https
	User, Password string // if it asks for them
	// Client does the requests. The default is one with a timeout.
	Client *http.Client
}

// Unspent is what a node says of the outputs of a report.
type Unspent struct {
	Height uint64 // of the node's chain
	Value  uint64 // of the outputs that it has unspent
	// Moving are outputs that it has not: the minter says that open withdrawals spend them. What remains of them comes back as change, which a
	// proof shows once the minter has seen it confirmed.
	Moving []Output
}

// Compare asks a node for each output of the report: that it is in a block and not spent, with the value and the script that the proof
// says. The unspent ones must cover the liabilities by themselves (ErrUnspent otherwise), so that nothing rests on what the minter says of
// the others.
func (r *Report) Compare(ctx context.Context, n *Node) (*Unspent, error) {
	u, err := url.Parse(n.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return nil, fmt.Errorf("%w: its address is not http://host:port without user and password", ErrNode)
	}
	var info struct {
		Chain   string `json:"chain"`
		Blocks  uint64 `json:"blocks"`
		Syncing bool   `json:"initialblockdownload"`
	}
	answers, err := n.batch(ctx, []request{{Method: "getblockchaininfo", Params: []any{}}})
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(answers[0], &info); err != nil {
		return nil, fmt.Errorf("%w: getblockchaininfo: %w", ErrNode, err)
	}
	want := map[btc.Network]string{btc.Mainnet: "main", btc.Testnet4: "testnet4", btc.Signet: "signet", btc.Regtest: "regtest"}[r.Network]
	switch {
	case info.Chain != want:
		return nil, fmt.Errorf("%w: it follows the chain %.20q, the proof is of %q", ErrNode, info.Chain, want)
	case info.Syncing:
		return nil, fmt.Errorf("%w: it is still downloading blocks (at %d); ask again when it is not", ErrNode, info.Blocks)
	}
	out := &Unspent{Height: info.Blocks}
	var missing []Output
	for rest := r.Outputs; len(rest) > 0; {
		part := rest[:min(perBatch, len(rest))]
		rest = rest[len(part):]
		list := make([]request, len(part))
		for i, o := range part {
			list[i] = request{Method: "gettxout", Params: []any{o.Outpoint.Txid.String(), o.Outpoint.Vout, false}}
		}
		answers, err := n.batch(ctx, list)
		if err != nil {
			return nil, err
		}
		for i, o := range part {
			found, err := o.unspent(r.Network, answers[i])
			switch {
			case err != nil:
				return nil, err
			case found:
				out.Value += uint64(o.Value)
			case o.InPayment:
				out.Moving = append(out.Moving, o)
			default:
				missing = append(missing, o)
			}
		}
	}
	if len(missing) > 0 {
		return out, fmt.Errorf("%w: %d outputs are spent or unknown at its block %d, first %v of %d satoshi", ErrUnspent, len(missing), info.Blocks,
			missing[0].Outpoint, missing[0].Value)
	}
	if out.Value < r.Liabilities() {
		return out, fmt.Errorf("%w: %d satoshi are unspent at its block %d, %d are owed, and %d outputs are being spent by withdrawals; make a proof once these are confirmed",
			ErrUnspent, out.Value, info.Blocks, r.Liabilities(), len(out.Moving))
	}
	return out, nil
}

// unspent reads an answer of gettxout: null if the output is spent or unknown, otherwise what it is, which must be what the proof says.
func (o *Output) unspent(network btc.Network, answer []byte) (bool, error) {
	if string(bytes.TrimSpace(answer)) == "null" {
		return false, nil
	}
	var txout struct {
		Value  json.Number `json:"value"`
		Script struct {
			Hex string `json:"hex"`
		} `json:"scriptPubKey"`
	}
	d := json.NewDecoder(bytes.NewReader(answer))
	d.UseNumber()
	if err := d.Decode(&txout); err != nil {
		return false, fmt.Errorf("%w: output %v: %w", ErrNode, o.Outpoint, err)
	}
	value, err := satoshis(txout.Value)
	if err != nil {
		return false, fmt.Errorf("%w: output %v: %w", ErrNode, o.Outpoint, err)
	}
	address, err := btc.ParseAddress(network, o.Address)
	if err != nil {
		return false, fmt.Errorf("output %v: %w", o.Outpoint, err)
	}
	if script := hex.EncodeToString(address.Script()); value != o.Value || txout.Script.Hex != script {
		return false, fmt.Errorf("%w: output %v is %d satoshi with script %.80s, the proof says %d with %s", ErrUnspent, o.Outpoint, value, txout.Script.Hex,
			o.Value, script)
	}
	return true, nil
}

// satoshis reads an amount of bitcoin. Up to 21 million of them a float64 is exact to a fraction of a satoshi, so rounding gives the amount.
func satoshis(n json.Number) (btc.Satoshi, error) {
	f, err := strconv.ParseFloat(n.String(), 64)
	if err != nil || f < 0 || f*1e8 > float64(btc.MaxMoney) {
		return 0, fmt.Errorf("%.40q is no amount of bitcoin", n)
	}
	return btc.Satoshi(math.Round(f * 1e8)), nil
}

type request struct {
	Version string `json:"jsonrpc"`
	ID      int    `json:"id"`
	Method  string `json:"method"`
	Params  []any  `json:"params"`
}

// batch makes calls in one request and returns their results in order.
func (n *Node) batch(ctx context.Context, list []request) ([]json.RawMessage, error) {
	for i := range list {
		list[i].Version, list[i].ID = "2.0", i
	}
	body, err := json.Marshal(list)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.URL, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNode, err)
	}
	req.Header.Set("Content-Type", "application/json")
	if n.User != "" || n.Password != "" {
		req.SetBasicAuth(n.User, n.Password)
	}
	client := n.Client
	if client == nil { // the password goes nowhere else
		client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNode, err)
	}
	defer res.Body.Close()
	limit := len(list)*maxPerReply + maxPerReply
	raw, err := io.ReadAll(io.LimitReader(res.Body, int64(limit)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNode, err)
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		return nil, fmt.Errorf("%w: status %d: it wants a user and a password", ErrNode, res.StatusCode)
	case len(raw) > limit:
		return nil, fmt.Errorf("%w: more than %d bytes for %d calls", ErrNode, limit, len(list))
	}
	results, err := parseBatch(raw, len(list))
	if err != nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%w: status %d", ErrNode, res.StatusCode)
	}
	return results, err
}

// parseBatch reads the answer to a batch of n calls, whose parts come in any order.
func parseBatch(raw []byte, n int) ([]json.RawMessage, error) {
	var answers []struct {
		ID     *int            `json:"id"`
		Result json.RawMessage `json:"result"`
		Error  *struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(raw, &answers); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNode, err)
	}
	out := make([]json.RawMessage, n)
	for _, a := range answers {
		switch {
		case a.ID == nil || *a.ID < 0 || *a.ID >= n || out[*a.ID] != nil:
			return nil, fmt.Errorf("%w: an answer to none of %d calls, or a second one", ErrNode, n)
		case a.Error != nil:
			return nil, fmt.Errorf("%w: error %d %.200q", ErrNode, a.Error.Code, a.Error.Message)
		case a.Result == nil: // absent is not null
			return nil, fmt.Errorf("%w: call %d has neither result nor error", ErrNode, *a.ID)
		}
		out[*a.ID] = a.Result
	}
	for i := range out {
		if out[i] == nil {
			return nil, fmt.Errorf("%w: %d answers to %d calls", ErrNode, len(answers), n)
		}
	}
	return out, nil
}
