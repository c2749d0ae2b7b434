// Package anvil runs the real anvil program, the development node of Foundry, as a separate process: an Ethereum that this repository did
// not write. `fusion up --ethereum anvil` and the real tier use it.
//
// The program comes from npm (testnets/ethereum/package.json); Find looks for it. What it calls safe and finalized is arithmetic: the head
// minus one and two epochs (Config.Slots), not below the first block. It mines a block for each transaction, or one in every Config.BlockTime.
//
// Its accounts are those of a phrase that everybody knows, its RPC asks for no password, and anvil_* methods rewrite the chain: it listens on
// loopback and holds nothing of value.
package anvil

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"time"

	"github.com/holiman/uint256"

	"fusion/eth"
)

// Errors; test with errors.Is.
var (
	// ErrExited means that anvil ended by itself; its log is in its directory.
	ErrExited = errors.New("anvil has exited")
	// ErrNotFound means that there is no program to run.
	ErrNotFound = errors.New("no anvil program: install it (npm install -g @foundry-rs/anvil@1.7.1), or name it in ANVIL_BIN")
)

// ChainID is the chain that anvil makes when it is not told another.
const ChainID = 31337

// LogFile is the log in the directory of a process.
const LogFile = "anvil.log"

const (
	stateFile = "anvil.json"
	maxAnswer = 64 << 20
)

// Find looks for the program: in ANVIL_BIN, where `make` installs it for the real tier, in PATH.
func Find() (string, error) {
	if bin := os.Getenv("ANVIL_BIN"); bin != "" {
		return bin, nil
	}
	local := filepath.Join("testnets", "ethereum", "node_modules", "@foundry-rs", "anvil-"+runtime.GOOS+"-"+runtime.GOARCH, "bin", "anvil")
	if _, err := os.Stat(local); err == nil {
		return filepath.Abs(local)
	}
	if bin, err := exec.LookPath("anvil"); err == nil {
		return bin, nil
	}
	return "", ErrNotFound
}

// Config says which program to run and where. Only Bin and Dir are needed.
type Config struct {
	Bin       string        // the program
	Dir       string        // of its log and state, made when there is none
	Listen    string        // an address of loopback; a free port when empty
	ChainID   uint64        // ChainID when zero
	Slots     uint64        // in an epoch: a block is safe after one epoch, final after two; 32 when zero
	BlockTime time.Duration // whole seconds between blocks; zero for a block with each transaction
	// Keep has the chain written to Dir at the end and every few seconds, and taken up from there at the start.
	Keep bool
}

// Process is a running anvil.
type Process struct {
	cmd     *exec.Cmd
	addr    string
	exited  chan struct{}
	exitErr error
	client  http.Client
}

// Start runs anvil and waits until it answers.
func Start(ctx context.Context, cfg Config) (*Process, error) {
	host, port := "127.0.0.1", "0"
	if cfg.Listen != "" {
		var err error
		if host, port, err = net.SplitHostPort(cfg.Listen); err != nil {
			return nil, fmt.Errorf("address of anvil: %w", err)
		}
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("anvil listens on loopback, not on %q: whoever reaches it may rewrite its chain", host)
	}
	if cfg.BlockTime%time.Second != 0 || cfg.BlockTime < 0 {
		return nil, fmt.Errorf("block time of anvil: whole seconds, not %v", cfg.BlockTime)
	}
	if cfg.ChainID == 0 {
		cfg.ChainID = ChainID
	}
	args := []string{"--host", host, "--port", port, "--chain-id", strconv.FormatUint(cfg.ChainID, 10)}
	if cfg.Slots != 0 {
		args = append(args, "--slots-in-an-epoch", strconv.FormatUint(cfg.Slots, 10))
	}
	if cfg.BlockTime != 0 {
		args = append(args, "--block-time", strconv.Itoa(int(cfg.BlockTime/time.Second)))
	}
	if cfg.Keep {
		args = append(args, "--state", filepath.Join(cfg.Dir, stateFile), "--state-interval", "5", "--preserve-historical-states")
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(cfg.Dir, LogFile))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &Process{cmd: exec.Command(cfg.Bin, args...), exited: make(chan struct{})}
	p.client.Transport = &http.Transport{MaxIdleConnsPerHost: 4}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting anvil: %w", err)
	}
	go func() {
		p.exitErr = p.cmd.Wait()
		close(p.exited)
	}()
	if err := p.ready(ctx, log.Name(), cfg.ChainID); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// listening is what anvil says once its port, which the system may have chosen, is open.
var listening = regexp.MustCompile(`(?m)^Listening on (\S+)\s*$`)

func (p *Process) ready(ctx context.Context, log string, chainID uint64) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-p.exited:
			return fmt.Errorf("%w (%v): see %s", ErrExited, p.exitErr, log)
		case <-ctx.Done():
			return fmt.Errorf("anvil does not answer: %w", ctx.Err())
		}
		said, err := os.ReadFile(log)
		if err != nil {
			return err
		}
		m := listening.FindSubmatch(said)
		if m == nil {
			continue
		}
		p.addr = string(m[1])
		var id quantity
		if err := p.Call(ctx, &id, "eth_chainId"); err != nil {
			return err
		}
		if uint64(id) != chainID {
			return fmt.Errorf("anvil has chain %d, not %d", id, chainID)
		}
		return nil
	}
}

// URL is where JSON-RPC is served.
func (p *Process) URL() string { return "http://" + p.addr }

// Exited is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Close ends the process by a signal, so that it writes what it has to keep, and waits for it.
func (p *Process) Close() error {
	select {
	case <-p.exited:
		return nil
	default:
	}
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(10 * time.Second):
	}
	_ = p.cmd.Process.Kill() // it may have ended just now
	<-p.exited
	return errors.New("anvil had to be killed: it did not end within 10 s")
}

// RPCError is what anvil answers instead of a result.
type RPCError struct {
	Method  string
	Code    int64           `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
}

func (e *RPCError) Error() string {
	return fmt.Sprintf("anvil %s: %s (%d)", e.Method, e.Message, e.Code)
}

// Call makes a JSON-RPC call; result may be nil.
func (p *Process) Call(ctx context.Context, result any, method string, params ...any) error {
	if params == nil {
		params = []any{}
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := p.client.Do(req)
	if err != nil {
		return fmt.Errorf("anvil %s: %w", method, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("anvil %s: %w", method, err)
	}
	var answer struct {
		Result json.RawMessage `json:"result"`
		Error  *RPCError       `json:"error"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return fmt.Errorf("anvil %s: %s: %w", method, resp.Status, err)
	}
	if answer.Error != nil {
		answer.Error.Method = method
		return answer.Error
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(answer.Result, result); err != nil {
		return fmt.Errorf("anvil %s: %w", method, err)
	}
	return nil
}

// quantity is a number as JSON-RPC writes it.
type quantity uint64

func (q quantity) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "0x%x", uint64(q)), nil }

func (q *quantity) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 0, 64)
	*q = quantity(n)
	return err
}

// Height is the number of the block with a tag: latest, safe or finalized.
func (p *Process) Height(ctx context.Context, tag string) (uint64, error) {
	var block struct {
		Number quantity `json:"number"`
	}
	err := p.Call(ctx, &block, "eth_getBlockByNumber", tag, false)
	return uint64(block.Number), err
}

// Mine adds n blocks at once.
func (p *Process) Mine(ctx context.Context, n uint64) error {
	return p.Call(ctx, nil, "anvil_mine", quantity(n))
}

// SetInterval sets the time between blocks, in whole seconds; with zero only Mine makes any.
func (p *Process) SetInterval(ctx context.Context, d time.Duration) error {
	return p.Call(ctx, nil, "evm_setIntervalMining", uint64(d/time.Second))
}

// Reorg replaces the last blocks, as many as depth says, by others without their transactions, final ones too. From then on blocks are another
// account's: anvil makes a block of the same parent, time and account again as it was, and such a reorganisation would be none.
func (p *Process) Reorg(ctx context.Context, depth uint64) error {
	var miner eth.Address
	_, _ = rand.Read(miner[:]) // it never fails
	if err := p.Call(ctx, nil, "anvil_setCoinbase", miner.String()); err != nil {
		return err
	}
	return p.Call(ctx, nil, "anvil_reorg", depth, []any{})
}

// SetBalance sets what an account has, in wei.
func (p *Process) SetBalance(ctx context.Context, a eth.Address, wei *uint256.Int) error {
	return p.Call(ctx, nil, "anvil_setBalance", a.String(), wei.Hex())
}

// Balance is what an account has in the last block, in wei.
func (p *Process) Balance(ctx context.Context, a eth.Address) (*uint256.Int, error) {
	var text string
	if err := p.Call(ctx, &text, "eth_getBalance", a.String(), "latest"); err != nil {
		return nil, err
	}
	return uint256.FromHex(text)
}

// Snapshot marks the state of the chain. Revert goes back to it, once.
func (p *Process) Snapshot(ctx context.Context) (id string, err error) {
	return id, p.Call(ctx, &id, "evm_snapshot")
}

// Revert takes the chain back to a snapshot, which is used up by it. Anvil cannot when the snapshot's block was replaced.
func (p *Process) Revert(ctx context.Context, id string) error {
	var ok bool
	if err := p.Call(ctx, &ok, "evm_revert", id); err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("anvil has no snapshot %s", id)
	}
	return nil
}
