// Package fullnode runs real full nodes, btcd and bitcoind, as separate regtest processes, for tests that must not depend on code which
// this repository wrote on both ends of a connection. The programs come from outside: `make e2e` names them in BTCD_BIN and BITCOIND_BIN.
package fullnode

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"fusion/btc"
	"fusion/internal/freeport"
)

// Kind says whose program it is.
type Kind int

// The kinds of full nodes.
const (
	Btcd     Kind = iota // github.com/btcsuite/btcd
	Bitcoind             // Bitcoin Core or Bitcoin Knots
)

// String is the name of the program.
func (k Kind) String() string {
	if k == Bitcoind {
		return "bitcoind"
	}
	return "btcd"
}

// Config says which program to run and where.
type Config struct {
	Kind Kind
	Bin  string // the program
	Dir  string // its data
	// MiningAddress receives the coinbases of Generate.
	MiningAddress string
}

// Process is a running full node.
type Process struct {
	cfg     Config
	cmd     *exec.Cmd
	p2p     string
	rpc     string
	exited  chan struct{}
	exitErr error
	client  http.Client
}

// ErrExited means that the node ended by itself; its log is in the data directory.
var ErrExited = errors.New("the full node has exited")

const user, password = "fusion", "fusion" // loopback only, for as long as a test runs

// Start runs a node on free ports of loopback and waits until it answers.
func Start(ctx context.Context, cfg Config) (*Process, error) {
	if _, err := btc.ParseAddress(btc.Regtest, cfg.MiningAddress); err != nil {
		return nil, err
	}
	addrs, err := freeport.Addr(2)
	if err != nil {
		return nil, err
	}
	p := &Process{cfg: cfg, p2p: addrs[0], rpc: addrs[1], exited: make(chan struct{})}
	p.client.Transport = &http.Transport{DisableKeepAlives: true}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	out, err := os.Create(filepath.Join(cfg.Dir, cfg.Kind.String()+".out"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	args, err := cfg.args(p.p2p, p.rpc)
	if err != nil {
		return nil, err
	}
	p.cmd = exec.Command(cfg.Bin, args...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.run(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// args is the command line. Both nodes keep transactions to the rules of the public network's memory pools.
func (c *Config) args(p2p, rpc string) ([]string, error) {
	if c.Kind == Bitcoind {
		host, port, err := net.SplitHostPort(rpc)
		return []string{"-regtest", "-datadir=" + c.Dir, "-bind=" + p2p, "-rpcbind=" + host, "-rpcport=" + port, "-rpcallowip=" + host, "-rpcuser=" + user, "-rpcpassword=" + password,
			"-server", "-noconf", "-dnsseed=0", "-fixedseeds=0", "-connect=0", "-listen=1", "-listenonion=0", "-natpmp=0", "-txindex=1", "-disablewallet", "-acceptnonstdtxn=0",
			"-whitelist=noban@" + host}, err
	}
	conf := filepath.Join(c.Dir, "btcd.conf") // none but an empty one
	if err := os.WriteFile(conf, nil, 0o600); err != nil {
		return nil, err
	}
	return []string{"-C", conf, "--regtest", "--datadir=" + c.Dir, "--logdir=" + c.Dir, "--listen=" + p2p, "--rpclisten=" + rpc, "--notls",
		"-u", user, "-P", password, "--miningaddr=" + c.MiningAddress, "--nodnsseed", "--txindex", "--rejectnonstd", "--norelaypriority"}, nil
}

func (p *Process) run(ctx context.Context) error {
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", p.cfg.Kind, err)
	}
	go func() {
		p.exitErr = p.cmd.Wait()
		close(p.exited)
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := p.Height(ctx); err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.exited:
			return fmt.Errorf("%w: %v", ErrExited, p.exitErr)
		case <-ctx.Done():
			p.Close()
			return ctx.Err()
		}
	}
}

// Addr is the address of the P2P listener.
func (p *Process) Addr() string { return p.p2p }

// RPC is the URL of the JSON-RPC interface, with user and password. The node knows all transactions.
func (p *Process) RPC() string { return "http://" + user + ":" + password + "@" + p.rpc }

// Close ends the process and waits for it.
func (p *Process) Close() error {
	select {
	case <-p.exited:
		return nil
	default:
	}
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	select {
	case <-p.exited:
	case <-time.After(10 * time.Second):
		p.cmd.Process.Kill()
		<-p.exited
	}
	return nil
}

// Call makes a JSON-RPC call.
func (p *Process) Call(ctx context.Context, result any, method string, params ...any) error {
	if params == nil {
		params = []any{}
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "1.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.rpc, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.SetBasicAuth(user, password)
	req.Header.Set("Content-Type", "application/json")
	resp, err := p.client.Do(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", p.cfg.Kind, method, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("%s %s: %w", p.cfg.Kind, method, err)
	}
	var answer struct {
		Result json.RawMessage
		Error  *struct {
			Code    int
			Message string
		}
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return fmt.Errorf("%s %s: %s: %w", p.cfg.Kind, method, resp.Status, err)
	}
	if answer.Error != nil {
		return fmt.Errorf("%s %s: %s (%d)", p.cfg.Kind, method, answer.Error.Message, answer.Error.Code)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer.Result, result)
}

// Height is the height of the tip.
func (p *Process) Height(ctx context.Context) (height uint32, err error) {
	return height, p.Call(ctx, &height, "getblockcount")
}

// Tip is the hash of the tip.
func (p *Process) Tip(ctx context.Context) (btc.Hash, error) {
	var text string
	if err := p.Call(ctx, &text, "getbestblockhash"); err != nil {
		return btc.Hash{}, err
	}
	return btc.ParseHash(text)
}

// Generate mines blocks to the mining address.
func (p *Process) Generate(ctx context.Context, n int) error {
	if p.cfg.Kind == Bitcoind {
		for {
			err := p.Call(ctx, nil, "generatetoaddress", n, p.cfg.MiningAddress)
			// Within the second of a block that was invalidated bitcoind makes the very same block again, which stays invalid.
			if err == nil || !strings.Contains(err.Error(), "block not accepted") {
				return err
			}
			select {
			case <-ctx.Done():
				return errors.Join(err, ctx.Err())
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	return p.Call(ctx, nil, "generate", n)
}

// SegwitHeight is where btcd v0.25.0 has had miners vote segwit in on a fresh regtest chain; bitcoind's has it from the first block.
const SegwitHeight = 432

// Block fetches a block as bytes on the wire.
func (p *Process) Block(ctx context.Context, h btc.Hash) ([]byte, error) {
	var text string
	if err := p.Call(ctx, &text, "getblock", h.String(), 0); err != nil {
		return nil, err
	}
	return hex.DecodeString(text)
}

// HashAt is the hash of the main chain's block at a height.
func (p *Process) HashAt(ctx context.Context, height uint32) (btc.Hash, error) {
	var text string
	if err := p.Call(ctx, &text, "getblockhash", height); err != nil {
		return btc.Hash{}, err
	}
	return btc.ParseHash(text)
}

// Submit puts a transaction into the memory pool.
func (p *Process) Submit(ctx context.Context, raw []byte) error {
	return p.Call(ctx, nil, "sendrawtransaction", hex.EncodeToString(raw))
}

// Mempool lists the ids of the transactions that wait.
func (p *Process) Mempool(ctx context.Context) ([]btc.Hash, error) {
	var texts []string
	if err := p.Call(ctx, &texts, "getrawmempool"); err != nil {
		return nil, err
	}
	out := make([]btc.Hash, len(texts))
	for i, t := range texts {
		var err error
		if out[i], err = btc.ParseHash(t); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Invalidate makes the node treat a block as invalid.
func (p *Process) Invalidate(ctx context.Context, h btc.Hash) error {
	return p.Call(ctx, nil, "invalidateblock", h.String())
}
