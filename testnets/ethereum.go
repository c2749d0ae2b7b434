package testnets

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/params"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/holiman/uint256"

	"fusion/adapters/ethereum/anvil"
	"fusion/adapters/ethereum/node"
	"fusion/eth"
	"fusion/internal/pause"
	"fusion/replica"
)

// What a network follows on Ethereum's side.
const (
	EthereumNone     = "none"
	EthereumGeth     = "geth"     // a development chain in this process
	EthereumAnvil    = "anvil"    // Foundry's node, a program beside it
	EthereumExternal = "external" // somebody else's development node
)

// Errors of the Ethereum chain; test with errors.Is.
var (
	ErrNoEthereum       = errors.New("this network follows no Ethereum chain")
	ErrExternalEthereum = errors.New("this network uses somebody else's Ethereum node: use that node's own commands and accounts")
	ErrEthereumURL      = errors.New("no Ethereum node")
	ErrReverted         = errors.New("the ethereum transaction was mined and failed")
)

// EthereumChain is the Ethereum chain that a network follows.
type EthereumChain struct {
	Kind    string `json:"kind"` // EthereumGeth, EthereumAnvil or EthereumExternal
	ChainID uint64 `json:"chain_id"`
	URL     string `json:"url"` // of JSON-RPC
}

// newEthereumChain reads Settings.Ethereum; a node of ours will listen on addr.
func newEthereumChain(setting, addr string) (*EthereumChain, error) {
	switch setting {
	case "", EthereumNone:
		return nil, nil
	case EthereumGeth:
		return &EthereumChain{EthereumGeth, node.ChainID, "http://" + addr}, nil
	case EthereumAnvil:
		if _, err := anvil.Find(); err != nil {
			return nil, err
		}
		return &EthereumChain{EthereumAnvil, anvil.ChainID, "http://" + addr}, nil
	}
	u, err := url.Parse(setting)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w: %q is neither %s, %s, %s nor the URL of a node such as http://127.0.0.1:8545", ErrEthereumURL, setting, EthereumGeth, EthereumAnvil, EthereumNone)
	}
	// The genesis document names the chain, and refuses one whose coins are worth something.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := ethclient.DialContext(ctx, setting)
	if err != nil {
		return nil, fmt.Errorf("%w at %s: %w", ErrEthereumURL, u.Host, err)
	}
	defer c.Close()
	id, err := c.ChainID(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w at %s: %w", ErrEthereumURL, u.Host, err)
	}
	if !id.IsUint64() {
		return nil, fmt.Errorf("%w at %s: its chain id is %v", ErrEthereumURL, u.Host, id)
	}
	return &EthereumChain{EthereumExternal, id.Uint64(), setting}, nil
}

// providers are what each replica asks.
func (c *EthereumChain) providers() (out replica.Ethereum) {
	if c != nil {
		out.Providers = []replica.EthereumProvider{{URL: c.URL, Operator: c.Kind}}
	}
	return out
}

// finalityDepth is how far the finalized block is behind the tip on the nodes that we run.
const finalityDepth = 2

const anvilBlockTime = time.Second

// Ethereum is the chain of a running network: a client of it and, where the node is ours, its faucet and its blocks.
type Ethereum struct {
	*EthereumChain
	client *ethclient.Client
	geth   *node.Node
	anvil  *anvil.Process
	faucet *ecdsa.PrivateKey // nil where the node is not ours

	sending sync.Mutex // one transaction takes a nonce at a time
}

// StartEthereum runs the chain of a network whose replicas run elsewhere.
func StartEthereum(ctx context.Context, dir string, chain *EthereumChain, log *slog.Logger) (_ *Ethereum, err error) {
	e := &Ethereum{EthereumChain: chain}
	data := filepath.Join(dir, ethereumDir)
	if chain.Kind != EthereumExternal {
		if e.faucet, err = node.LoadFaucetKey(data); err != nil {
			return nil, err
		}
	}
	u, err := url.Parse(chain.URL)
	if err != nil {
		return nil, fmt.Errorf("%w: %q", ErrEthereumURL, chain.URL)
	}
	switch chain.Kind {
	case EthereumGeth:
		if e.geth, err = node.Start(node.Config{DataDir: data, ListenAddr: u.Host, FinalityDepth: finalityDepth, Log: log}); err != nil {
			return nil, fmt.Errorf("ethereum node at %s: %w", chain.URL, err)
		}
		e.client = e.geth.Client()
		return e, nil
	case EthereumAnvil:
		bin, err := anvil.Find()
		if err != nil {
			return nil, err
		}
		// One slot in an epoch makes final what is two blocks old; a block each second gets there without a transaction.
		e.anvil, err = anvil.Start(ctx, anvil.Config{Bin: bin, Dir: data, Listen: u.Host, Slots: 1, BlockTime: anvilBlockTime, Keep: true})
		if err != nil {
			return nil, fmt.Errorf("ethereum node at %s: %w", chain.URL, err)
		}
		faucet := eth.Address(crypto.PubkeyToAddress(e.faucet.PublicKey))
		if err := e.anvil.SetBalance(ctx, faucet, uint256.MustFromBig(node.FaucetWei)); err != nil {
			return nil, errors.Join(fmt.Errorf("funding the ethereum faucet: %w", err), e.anvil.Close())
		}
	}
	if e.client, err = ethclient.DialContext(ctx, chain.URL); err == nil {
		var id *big.Int
		if id, err = e.client.ChainID(ctx); err == nil && (!id.IsUint64() || id.Uint64() != chain.ChainID) {
			err = fmt.Errorf("its chain id is %v, the network was made for %d", id, chain.ChainID)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w at %s: %w", ErrEthereumURL, u.Host, err), e.Close())
	}
	return e, nil
}

// Close stops the node where it is ours.
func (e *Ethereum) Close() error {
	if e.client != nil {
		e.client.Close()
	}
	switch {
	case e.geth != nil:
		return e.geth.Close()
	case e.anvil != nil:
		return e.anvil.Close()
	}
	return nil
}

// Client speaks to the node.
func (e *Ethereum) Client() *ethclient.Client { return e.client }

// Geth is the node in this process, or nil.
func (e *Ethereum) Geth() *node.Node { return e.geth }

// FaucetKey owns what the chain began with; nil where the node is somebody else's.
func (e *Ethereum) FaucetKey() *ecdsa.PrivateKey { return e.faucet }

// EthereumStatus is where a chain is.
type EthereumStatus struct {
	Kind      string `json:"kind"`
	ChainID   uint64 `json:"chain_id"`
	URL       string `json:"url"`
	Height    uint64 `json:"height"`
	Finalized uint64 `json:"finalized"`
	Faucet    string `json:"faucet,omitempty"`
	Error     string `json:"error,omitempty"` // why the node does not answer
}

// Status asks the node where the chain is.
func (e *Ethereum) Status(ctx context.Context) EthereumStatus {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	s := EthereumStatus{Kind: e.Kind, ChainID: e.ChainID, URL: e.URL}
	if e.faucet != nil {
		s.Faucet = eth.Address(crypto.PubkeyToAddress(e.faucet.PublicKey)).String()
	}
	var err error
	if s.Height, err = e.client.BlockNumber(ctx); err == nil {
		s.Finalized, err = e.Finalized(ctx)
	}
	if err != nil {
		s.Error = err.Error()
	}
	return s
}

// Finalized is the height of the finalized block.
func (e *Ethereum) Finalized(ctx context.Context) (uint64, error) {
	h, err := e.client.HeaderByNumber(ctx, big.NewInt(int64(rpc.FinalizedBlockNumber)))
	if err != nil {
		return 0, fmt.Errorf("ethereum's finalized block: %w", err)
	}
	return h.Number.Uint64(), nil
}

// Mine makes blocks and returns the new height.
func (e *Ethereum) Mine(ctx context.Context, blocks int) (uint64, error) {
	switch {
	case e.geth != nil:
		return e.geth.Mine(blocks)
	case e.anvil != nil:
		if err := e.anvil.Mine(ctx, uint64(blocks)); err != nil {
			return 0, err
		}
		return e.client.BlockNumber(ctx)
	}
	return 0, ErrExternalEthereum
}

// SetMining says whether the node makes blocks by itself, as it does after its start. Without it, Mine is left.
func (e *Ethereum) SetMining(ctx context.Context, on bool) error {
	switch {
	case e.geth != nil:
		e.geth.SetAutomine(on)
		return nil
	case e.anvil != nil:
		return e.anvil.SetInterval(ctx, map[bool]time.Duration{true: anvilBlockTime}[on])
	}
	return ErrExternalEthereum
}

// Reorg replaces the last depth blocks by as many empty ones and one more; their transactions never happened.
func (e *Ethereum) Reorg(ctx context.Context, depth int) error {
	switch {
	case e.geth != nil:
		return e.geth.Reorg(depth, depth+1, true)
	case e.anvil != nil:
		return e.anvil.Reorg(ctx, uint64(depth))
	}
	return ErrExternalEthereum
}

// Faucet sends a transaction of the faucet and waits until it is mined: a payment, a call, or without a recipient the creation of a contract.
func (e *Ethereum) Faucet(ctx context.Context, to *eth.Address, wei *uint256.Int, data []byte) (*types.Receipt, error) {
	if e.faucet == nil {
		return nil, ErrExternalEthereum
	}
	return e.Transact(ctx, e.faucet, to, wei, data)
}

// Transact is Faucet for any key.
func (e *Ethereum) Transact(ctx context.Context, key *ecdsa.PrivateKey, to *eth.Address, wei *uint256.Int, data []byte) (*types.Receipt, error) {
	e.sending.Lock()
	defer e.sending.Unlock()
	return SendEthereum(ctx, e.client, key, to, wei, data)
}

// poolLag is for how long a node's pool of transactions may know less than the node's newest block.
const poolLag = 5 * time.Second

// patient is a client of a node whose pool may not have seen the newest block yet, of which a receipt has already told: what the pool refuses because the
// sender has too little, and who has enough in the newest block, is sent again.
type patient struct{ *ethclient.Client }

// SendTransaction implements ethereum.TransactionSender.
func (p patient) SendTransaction(ctx context.Context, tx *types.Transaction) error {
	for began := time.Now(); ; {
		err := p.Client.SendTransaction(ctx, tx)
		if err == nil || !strings.Contains(err.Error(), core.ErrInsufficientFunds.Error()) || time.Since(began) > poolLag {
			return err
		}
		from, bad := types.Sender(types.LatestSignerForChainID(tx.ChainId()), tx)
		if bad != nil {
			return err
		}
		if has, bad := p.BalanceAt(ctx, from, nil); bad != nil || has.Cmp(tx.Cost()) < 0 || pause.For(ctx, pollEvery) != nil {
			return err
		}
	}
}

// SendEthereum signs a transaction, sends it and waits until it is mined. One that fails is ErrReverted. Two at once of one key may take one nonce.
func SendEthereum(ctx context.Context, c *ethclient.Client, key *ecdsa.PrivateKey, to *eth.Address, wei *uint256.Int, data []byte) (*types.Receipt, error) {
	if wei == nil {
		wei = new(uint256.Int)
	}
	from := crypto.PubkeyToAddress(key.PublicKey)
	fail := func(what string, err error) (*types.Receipt, error) {
		return nil, fmt.Errorf("ethereum account %s: %s: %w", eth.Address(from), what, err)
	}
	id, err := c.ChainID(ctx)
	if err != nil {
		return fail("chain id", err)
	}
	nonce, err := c.PendingNonceAt(ctx, from)
	if err != nil {
		return fail("nonce", err)
	}
	head, err := c.HeaderByNumber(ctx, nil)
	if err != nil {
		return fail("newest block", err)
	}
	if head.BaseFee == nil {
		return fail("newest block", errors.New("it has no base fee: the chain is from before EIP-1559"))
	}
	msg := ethereum.CallMsg{From: from, To: (*common.Address)(to), Value: wei.ToBig(), Data: data}
	gas, err := c.EstimateGas(ctx, msg)
	if err != nil {
		return fail("the transaction would fail", err)
	}
	tip := big.NewInt(params.GWei)
	tx, err := types.SignNewTx(key, types.LatestSignerForChainID(id), &types.DynamicFeeTx{ChainID: id, Nonce: nonce, GasTipCap: tip,
		GasFeeCap: new(big.Int).Add(new(big.Int).Mul(head.BaseFee, big.NewInt(2)), tip), Gas: gas + gas/5, To: msg.To, Value: msg.Value, Data: data})
	if err != nil {
		return fail("signing", err)
	}
	if err := (patient{c}).SendTransaction(ctx, tx); err != nil {
		return fail("sending", err)
	}
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	for {
		r, err := c.TransactionReceipt(ctx, tx.Hash())
		switch {
		case err == nil && r.Status == types.ReceiptStatusFailed:
			return r, fmt.Errorf("%w: %s in block %v", ErrReverted, tx.Hash(), r.BlockNumber)
		case err == nil:
			return r, nil
		case !errors.Is(err, ethereum.NotFound) && ctx.Err() == nil:
			return fail("receipt of "+tx.Hash().String(), err)
		}
		select {
		case <-ctx.Done():
			return fail("waiting for transaction "+tx.Hash().String()+" to be mined", ctx.Err())
		case <-t.C:
		}
	}
}

// EthereumMine asks for blocks.
type EthereumMine struct {
	Blocks int `json:"blocks"`
}

// EthereumSend asks the faucet for a transaction. Without an address it creates a contract.
type EthereumSend struct {
	To   *string `json:"to,omitempty"`
	Wei  string  `json:"wei,omitempty"` // decimal
	Data []byte  `json:"data,omitempty"`
}

// EthereumSent is a mined transaction.
type EthereumSent struct {
	Hash     string `json:"hash"`
	Block    uint64 `json:"block"`
	Contract string `json:"contract,omitempty"` // that it created
}

// ethereumOps are the operations on an Ethereum chain, nil where there is none.
type ethereumOps struct{ chain *Ethereum }

func (o ethereumOps) register(mux *http.ServeMux) {
	handle(mux, "POST /eth/mine", o.mine)
	handle(mux, "POST /eth/send", o.send)
}

func (o ethereumOps) mine(ctx context.Context, in EthereumMine) (uint64, error) {
	if o.chain == nil {
		return 0, ErrNoEthereum
	}
	if in.Blocks < 1 || in.Blocks > maxMine {
		return 0, fmt.Errorf("%d blocks, want 1 to %d", in.Blocks, maxMine)
	}
	return o.chain.Mine(ctx, in.Blocks)
}

func (o ethereumOps) send(ctx context.Context, in EthereumSend) (EthereumSent, error) {
	if o.chain == nil {
		return EthereumSent{}, ErrNoEthereum
	}
	var to *eth.Address
	if in.To != nil {
		a, err := eth.ParseAddress(*in.To)
		if err != nil {
			return EthereumSent{}, err
		}
		to = &a
	}
	wei := new(uint256.Int)
	if in.Wei != "" {
		if err := wei.SetFromDecimal(in.Wei); err != nil {
			return EthereumSent{}, fmt.Errorf("%q is no number of wei: %w", in.Wei, err)
		}
	}
	r, err := o.chain.Faucet(ctx, to, wei, in.Data)
	if err != nil {
		return EthereumSent{}, err
	}
	out := EthereumSent{Hash: r.TxHash.String(), Block: r.BlockNumber.Uint64()}
	if to == nil {
		out.Contract = eth.Address(r.ContractAddress).String()
	}
	return out, nil
}

// MineEthereum makes blocks on the network's Ethereum chain and returns the new height.
func (a *Admin) MineEthereum(ctx context.Context, blocks int) (uint64, error) {
	return ask[uint64](ctx, a, http.MethodPost, "/eth/mine", EthereumMine{blocks})
}

// SendEthereum has the faucet send a transaction and returns when it is mined.
func (a *Admin) SendEthereum(ctx context.Context, in EthereumSend) (EthereumSent, error) {
	return ask[EthereumSent](ctx, a, http.MethodPost, "/eth/send", in)
}
