// Package btcd runs the real btcd program as a separate regtest process, for tests that must not depend on code which this
// repository wrote on both ends of a connection. The program comes from outside: `make e2e` builds it and names it in BTCD_BIN.
package btcd

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
	"time"

	"fusion/btc"
)

// Config says which program to run and where.
type Config struct {
	Bin string // the program
	Dir string // its data
	// MiningAddress receives the coinbases of Generate; btcd fixes it at its start.
	MiningAddress string
}

// Process is a running btcd.
type Process struct {
	cmd     *exec.Cmd
	p2p     string
	rpc     string
	exited  chan struct{}
	exitErr error
	client  http.Client
}

// ErrExited means that btcd ended by itself; its log is in the data directory.
var ErrExited = errors.New("btcd has exited")

const user, password = "fusion", "fusion" // loopback only, for as long as a test runs

// Start runs btcd on free ports of loopback and waits until it answers.
func Start(ctx context.Context, cfg Config) (*Process, error) {
	if _, err := btc.ParseAddress(btc.Regtest, cfg.MiningAddress); err != nil {
		return nil, err
	}
	var ports [2]string
	var held [2]net.Listener
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		ports[i] = l.Addr().String()
		held[i] = l
	}
	for _, l := range held { // both were held until both were known, so they differ
		l.Close()
	}
	p := &Process{p2p: ports[0], rpc: ports[1], exited: make(chan struct{})}
	p.client.Transport = &http.Transport{DisableKeepAlives: true}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	conf := filepath.Join(cfg.Dir, "btcd.conf")
	if err := os.WriteFile(conf, nil, 0o600); err != nil {
		return nil, err
	}
	out, err := os.Create(filepath.Join(cfg.Dir, "btcd.out"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd = exec.Command(cfg.Bin, "-C", conf, "--regtest", "--datadir="+cfg.Dir, "--logdir="+cfg.Dir, "--listen="+p.p2p, "--rpclisten="+p.rpc, "--notls",
		"-u", user, "-P", password, "--miningaddr="+cfg.MiningAddress, "--nodnsseed", "--txindex", "--rejectnonstd", "--norelaypriority")
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.run(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Process) run(ctx context.Context) error {
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("starting btcd: %w", err)
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
		return fmt.Errorf("btcd %s: %w", method, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("btcd %s: %w", method, err)
	}
	var answer struct {
		Result json.RawMessage
		Error  *struct {
			Code    int
			Message string
		}
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return fmt.Errorf("btcd %s: %s: %w", method, resp.Status, err)
	}
	if answer.Error != nil {
		return fmt.Errorf("btcd %s: %s (%d)", method, answer.Error.Message, answer.Error.Code)
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

// Generate mines blocks to the mining address. Segwit is active on btcd's regtest from height 432 on.
func (p *Process) Generate(ctx context.Context, n int) error { return p.Call(ctx, nil, "generate", n) }

// SegwitHeight is where btcd v0.25.0 has had miners vote segwit in on a fresh regtest chain.
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

// Invalidate makes btcd treat a block as invalid.
func (p *Process) Invalidate(ctx context.Context, h btc.Hash) error {
	return p.Call(ctx, nil, "invalidateblock", h.String())
}
