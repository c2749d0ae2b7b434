package testnets

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"fusion/adapters/bitcoin/node"
	"fusion/btc"
	"fusion/replica"
	"fusion/replica/members"
)

// The operator's interface of a running network: JSON over HTTP on a Unix socket that only the owner of the directory can open. No
// web page can reach it, and it is not part of the public interface.

// ErrNotRunning says that nobody runs the network.
var ErrNotRunning = errors.New("the network is not running")

// NetworkStatus is what `fusion status` shows.
type NetworkStatus struct {
	Manifest *Manifest        `json:"manifest"`
	PID      int              `json:"pid"`
	Started  time.Time        `json:"started"`
	Replicas []replica.Status `json:"replicas"`
	Stopped  []int            `json:"stopped_replicas,omitempty"`
	// BitcoinHeight is the embedded node's, BitcoinMempool what waits in it.
	BitcoinHeight  uint32   `json:"bitcoin_height"`
	BitcoinMempool []string `json:"bitcoin_mempool"`
	// EthereumChain is where the network's chain is, nil where it follows none.
	EthereumChain *EthereumStatus `json:"ethereum_chain,omitempty"`
}

// MineRequest asks for blocks; the faucet gets them unless an address is given.
type MineRequest struct {
	Blocks  int    `json:"blocks"`
	Address string `json:"address,omitempty"`
}

// MineReply is what was mined.
type MineReply struct {
	Height uint32   `json:"height"`
	Hashes []string `json:"hashes"`
}

// SendRequest asks the faucet to pay.
type SendRequest struct {
	Address string      `json:"address"`
	Satoshi btc.Satoshi `json:"satoshi"`
	// More are further payments of the same transaction.
	More []node.Payment `json:"more,omitempty"`
}

// BitcoinTx is a transaction as the embedded node knows it.
type BitcoinTx struct {
	Txid          string `json:"txid"`
	Confirmations uint32 `json:"confirmations"`
	Height        uint32 `json:"height,omitempty"`
	Raw           string `json:"raw"`
}

// maxMine bounds the blocks of one request.
const maxMine = 1000

type adminServer struct {
	*Socket
	n       *Network
	started time.Time
}

func serveAdmin(n *Network) (_ *adminServer, err error) {
	a := &adminServer{n: n, started: time.Now()}
	mux := http.NewServeMux()
	handle(mux, "GET /status", func(ctx context.Context, _ struct{}) (NetworkStatus, error) { return a.status(ctx), nil })
	handle(mux, "POST /members", func(_ context.Context, item []byte) (struct{}, error) { return struct{}{}, n.submitMembership(item) })
	handle(mux, "POST /node/add", n.addNode)
	bitcoinOps{n.node}.register(mux)
	ethereumOps{n.ethereum}.register(mux)
	a.Socket, err = serveSocket(filepath.Join(n.Dir, AdminSocket), mux)
	return a, err
}

// handle serves one operation with JSON in and out.
func handle[In, Out any](mux *http.ServeMux, pattern string, fn func(context.Context, In) (Out, error)) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		var in In
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err == nil && len(body) > 0 {
			err = json.Unmarshal(body, &in)
		}
		if err != nil {
			http.Error(w, "malformed request: "+err.Error(), http.StatusBadRequest)
			return
		}
		out, err := fn(r.Context(), in)
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(out) // the client is gone if this fails
	})
}

func (a *adminServer) status(ctx context.Context) NetworkStatus {
	s := NetworkStatus{Manifest: a.n.Manifest, PID: os.Getpid(), Started: a.started, BitcoinMempool: []string{}}
	for i := range a.n.count() {
		if r := a.n.Replica(i); r != nil {
			s.Replicas = append(s.Replicas, r.Status())
		} else {
			s.Stopped = append(s.Stopped, i)
		}
	}
	if b := a.n.node; b != nil {
		s.BitcoinHeight = b.Height()
		for _, h := range b.Mempool() {
			s.BitcoinMempool = append(s.BitcoinMempool, h.String())
		}
	}
	if e := a.n.ethereum; e != nil {
		st := e.Status(ctx)
		s.EthereumChain = &st
	}
	return s
}

var errExternal = errors.New("this network uses somebody else's Bitcoin node; use that node's own commands")

// bitcoinOps are the operations on a regtest node, which is nil where somebody else's is used.
type bitcoinOps struct{ node *node.Node }

func (o bitcoinOps) register(mux *http.ServeMux) {
	handle(mux, "POST /btc/mine", o.mine)
	handle(mux, "POST /btc/send", o.send)
	handle(mux, "POST /btc/balance", o.balance)
	handle(mux, "POST /btc/tx", o.tx)
}

func (o bitcoinOps) mine(_ context.Context, in MineRequest) (MineReply, error) {
	b := o.node
	if b == nil {
		return MineReply{}, errExternal
	}
	if in.Blocks < 1 || in.Blocks > maxMine {
		return MineReply{}, fmt.Errorf("%d blocks, want 1 to %d", in.Blocks, maxMine)
	}
	if in.Address == "" {
		in.Address = b.FaucetAddress()
	}
	hashes, err := b.MineBlocks(in.Blocks, in.Address)
	if err != nil {
		return MineReply{}, err
	}
	out := MineReply{Height: b.Height()}
	for _, h := range hashes {
		out.Hashes = append(out.Hashes, h.String())
	}
	return out, nil
}

func (o bitcoinOps) send(_ context.Context, in SendRequest) (BitcoinTx, error) {
	if o.node == nil {
		return BitcoinTx{}, errExternal
	}
	txid, err := o.node.SendMany(append([]node.Payment{{Address: in.Address, Satoshi: in.Satoshi}}, in.More...))
	if err != nil {
		return BitcoinTx{}, err
	}
	return BitcoinTx{Txid: txid.String()}, nil
}

func (o bitcoinOps) balance(_ context.Context, address string) (btc.Satoshi, error) {
	if o.node == nil {
		return 0, errExternal
	}
	return o.node.Balance(address)
}

func (o bitcoinOps) tx(_ context.Context, id string) (BitcoinTx, error) {
	if o.node == nil {
		return BitcoinTx{}, errExternal
	}
	h, err := btc.ParseHash(id)
	if err != nil {
		return BitcoinTx{}, err
	}
	info, ok := o.node.GetTx(h)
	if !ok {
		return BitcoinTx{}, fmt.Errorf("the node knows no transaction %s", id)
	}
	return BitcoinTx{Txid: id, Confirmations: info.Confirmations, Height: info.Height, Raw: fmt.Sprintf("%x", info.Raw)}, nil
}

// Admin is a client of a running network's operator interface.
type Admin struct{ client *http.Client }

// DialAdmin connects to the network in dir, or fails with ErrNotRunning.
func DialAdmin(dir string) (*Admin, error) {
	a, err := DialSocket(filepath.Join(dir, AdminSocket))
	if err != nil {
		if _, loadErr := Load(dir); loadErr != nil {
			return nil, loadErr
		}
		return nil, fmt.Errorf("%s: %w", dir, ErrNotRunning)
	}
	return a, nil
}

// DialSocket is DialAdmin for the socket of a network or a replica by its path.
func DialSocket(path string) (*Admin, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	c, err := dial(context.Background(), "", "")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, ErrNotRunning)
	}
	c.Close()
	return &Admin{&http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: time.Minute}}, nil
}

func ask[Out any](ctx context.Context, a *Admin, method, path string, in any) (out Out, err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://fusion"+path, bytes.NewReader(body))
	if err != nil {
		return out, err
	}
	res, err := a.client.Do(req)
	if err != nil {
		return out, fmt.Errorf("asking the network: %w", err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return out, fmt.Errorf("asking the network: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return out, errors.New(string(bytes.TrimSpace(b)))
	}
	return out, json.Unmarshal(b, &out)
}

// Status returns where the network is.
func (a *Admin) Status(ctx context.Context) (NetworkStatus, error) {
	return ask[NetworkStatus](ctx, a, http.MethodGet, "/status", struct{}{})
}

// SubmitMembership hands a replica an item of package members that somebody signed.
func (a *Admin) SubmitMembership(ctx context.Context, item []byte) error {
	_, err := ask[struct{}](ctx, a, http.MethodPost, "/members", item)
	return err
}

// AddNode makes and starts one more replica of a network that one process runs, as node number index.
func (a *Admin) AddNode(ctx context.Context, index int) (members.Candidate, error) {
	return ask[members.Candidate](ctx, a, http.MethodPost, "/node/add", index)
}

// Stop asks the network to stop; it does so after the reply.
func (a *Admin) Stop(ctx context.Context) error {
	_, err := ask[struct{}](ctx, a, http.MethodPost, "/stop", struct{}{})
	return err
}

// Mine mines blocks.
func (a *Admin) Mine(ctx context.Context, in MineRequest) (MineReply, error) {
	return ask[MineReply](ctx, a, http.MethodPost, "/btc/mine", in)
}

// Send pays from the faucet and returns the transaction's id.
func (a *Admin) Send(ctx context.Context, in SendRequest) (string, error) {
	tx, err := ask[BitcoinTx](ctx, a, http.MethodPost, "/btc/send", in)
	return tx.Txid, err
}

// Balance returns what an address holds on the Bitcoin node's best chain.
func (a *Admin) Balance(ctx context.Context, address string) (btc.Satoshi, error) {
	return ask[btc.Satoshi](ctx, a, http.MethodPost, "/btc/balance", address)
}

// Tx looks up a transaction.
func (a *Admin) Tx(ctx context.Context, txid string) (BitcoinTx, error) {
	return ask[BitcoinTx](ctx, a, http.MethodPost, "/btc/tx", txid)
}
