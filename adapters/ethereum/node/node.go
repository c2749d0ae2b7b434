package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/rawdb"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/eth"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/eth/filters"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/event"
	"github.com/ethereum/go-ethereum/miner"
	gethnode "github.com/ethereum/go-ethereum/node"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/params"
	"github.com/ethereum/go-ethereum/rpc"
)

// ChainID is the development chain's id, as that of `geth --dev`.
const ChainID = 1337

// Defaults of a Config.
const (
	DefaultFinalityDepth = 2
	DefaultBlockInterval = 300 * time.Millisecond
)

// Config configures a node. The zero value is a chain in memory on a free port.
type Config struct {
	// DataDir is where the chain and the faucet's key are kept; it is made if absent. Without one the chain is in memory.
	DataDir string
	// ListenAddr is the address of the JSON-RPC interface, which must be on loopback. The default is 127.0.0.1:0, a free port.
	ListenAddr string
	// Manual leaves the making of blocks to Mine, as SetAutomine(false) does.
	Manual bool
	// FinalityDepth is how far behind the tip the finalized block is.
	FinalityDepth uint64
	// BlockInterval is the time between the empty blocks that make a transaction final.
	BlockInterval time.Duration
	// Alloc is what accounts hold in the genesis block, in wei, beside the faucet. It matters at the first start only.
	Alloc map[common.Address]*big.Int
	// Log receives what happens; the default is to discard it.
	Log *slog.Logger
}

// Errors of the node.
var (
	ErrListen = errors.New("ethereum node may listen on loopback only")
	ErrFaucet = errors.New("ethereum faucet key is damaged")
	ErrReorg  = errors.New("cannot reorganise the ethereum chain")
	ErrClosed = errors.New("ethereum node is closed")
)

// FaucetWei is what the faucet owns at the start: a thousand million ether.
var FaucetWei = new(big.Int).Mul(big.NewInt(1_000_000_000), big.NewInt(params.Ether))

// faucetFile holds the faucet's key in hexadecimal digits.
const faucetFile = "faucet.key"

// Node is a running development chain.
type Node struct {
	cfg    Config
	log    *slog.Logger
	stack  *gethnode.Node
	eth    *eth.Ethereum
	client *ethclient.Client
	faucet *ecdsa.PrivateKey
	signer types.Signer

	// mu is held by the one who makes blocks or takes a nonce. Both wait for the pool, which knows only one who waits.
	mu     sync.Mutex
	auto   bool
	closed bool

	wake chan struct{}
	quit chan struct{}
	done sync.WaitGroup
	once sync.Once
	err  error
}

// Start opens the chain, or makes it, and begins to serve.
func Start(cfg Config) (_ *Node, err error) {
	if cfg.ListenAddr == "" {
		cfg.ListenAddr = "127.0.0.1:0"
	}
	if cfg.FinalityDepth == 0 {
		cfg.FinalityDepth = DefaultFinalityDepth
	}
	if cfg.BlockInterval == 0 {
		cfg.BlockInterval = DefaultBlockInterval
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	host, portText, err := net.SplitHostPort(cfg.ListenAddr)
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w", ErrListen, cfg.ListenAddr, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("%w, not on %q", ErrListen, host)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%w: port %q", ErrListen, portText)
	}
	n := &Node{cfg: cfg, log: cfg.Log, auto: !cfg.Manual, signer: types.LatestSignerForChainID(big.NewInt(ChainID)),
		wake: make(chan struct{}, 1), quit: make(chan struct{})}
	if n.faucet, err = LoadFaucetKey(cfg.DataDir); err != nil {
		return nil, err
	}
	captureLog(n.log)
	if err := n.open(host, int(port)); err != nil {
		releaseLog(n.log)
		return nil, err
	}
	if err := n.begin(); err != nil {
		releaseLog(n.log)
		return nil, errors.Join(err, n.stack.Close())
	}
	txs := make(chan core.NewTxsEvent, 64)
	sub := n.eth.TxPool().SubscribeTransactions(txs, true)
	n.done.Go(func() { n.produce(txs, sub) })
	n.log.Info("ethereum development chain is up", "url", n.URL(), "height", n.Height())
	return n, nil
}

// LoadFaucetKey reads the faucet's key in a directory and makes it first where there is none. Without a directory it is a new one.
func LoadFaucetKey(dir string) (*ecdsa.PrivateKey, error) {
	if dir == "" {
		return crypto.GenerateKey()
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("ethereum node: %w", err)
	}
	path := filepath.Join(dir, faucetFile)
	key, err := crypto.LoadECDSA(path)
	switch {
	case err == nil:
		return key, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %s: %w; a new directory gets a new chain", ErrFaucet, path, err)
	}
	if key, err = crypto.GenerateKey(); err != nil {
		return nil, err
	}
	// Written aside and renamed: half a key would lock the faucet's money away.
	if err := crypto.SaveECDSA(path+".new", key); err != nil {
		return nil, fmt.Errorf("ethereum node: %w", err)
	}
	return key, os.Rename(path+".new", path)
}

// genesis is the first block: the rules of mainnet today, the system's contracts, and who owns what.
func (n *Node) genesis() *core.Genesis {
	rules := *params.AllDevChainProtocolChanges
	rules.BogotaTime = nil // not on mainnet
	alloc := core.SystemContractAllocs()
	own := types.GenesisAlloc{n.Faucet(): {Balance: FaucetWei}}
	for a, wei := range n.cfg.Alloc {
		own[a] = types.Account{Balance: wei}
	}
	maps.Copy(alloc, own)
	return &core.Genesis{Config: &rules, GasLimit: ethconfig.Defaults.Miner.GasCeil, Alloc: alloc}
}

// open assembles geth without a peer-to-peer side.
func (n *Node) open(host string, port int) (err error) {
	// geth finds out late that it cannot listen, and leaves half of itself running then.
	l, err := net.Listen("tcp", n.cfg.ListenAddr)
	if err != nil {
		return fmt.Errorf("ethereum node: %w", err)
	}
	l.Close()
	identity, err := crypto.GenerateKey()
	if err != nil {
		return err
	}
	stackConf := gethnode.Config{
		Name: "geth", DataDir: n.cfg.DataDir, Logger: gethLog(),
		P2P:      p2p.Config{PrivateKey: identity, NoDiscovery: true, NoDial: true},
		HTTPHost: host, HTTPPort: port, HTTPModules: []string{"eth", "net", "web3", "debug", "txpool"}, HTTPVirtualHosts: []string{"localhost"},
		HTTPTimeouts: rpc.DefaultHTTPTimeouts, BatchRequestLimit: 1000, BatchResponseMaxSize: 25_000_000,
	}
	n.stack, err = gethnode.New(&stackConf)
	if err != nil {
		return fmt.Errorf("ethereum node: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.stack.Close())
		}
	}()
	conf := ethconfig.Defaults
	conf.Genesis = n.genesis()
	conf.SyncMode = ethconfig.FullSync
	// Archive mode writes each state with its block: nothing is lost by a kill, and a reorg finds the state of any ancestor.
	conf.NoPruning, conf.StateScheme = true, rawdb.HashScheme
	conf.DatabaseCache, conf.DatabaseHandles = 16, 64
	conf.TrieCleanCache, conf.TrieDirtyCache, conf.SnapshotCache = 16, 0, 0
	conf.TransactionHistory = 0 // all
	conf.LogNoHistory = true    // logs are searched block by block, which a short chain does not feel
	conf.TxPool.NoLocals = true
	conf.Miner.GasPrice = big.NewInt(1)
	conf.RPCTxFeeCap = 0
	if n.eth, err = eth.New(n.stack, &conf); err != nil {
		return fmt.Errorf("ethereum node: opening the chain: %w", err)
	}
	n.stack.RegisterAPIs([]rpc.API{{Namespace: "eth", Service: filters.NewFilterAPI(filters.NewFilterSystem(n.eth.APIBackend, filters.Config{}))}})
	if err := n.stack.Start(); err != nil {
		return fmt.Errorf("ethereum node on %s: %w", n.cfg.ListenAddr, err)
	}
	n.client = ethclient.NewClient(n.stack.Attach())
	n.eth.SetSynced()
	n.setFinality()
	return nil
}

// begin makes the first block of a new chain, an empty one. geth indexes transactions from there on, and answers until then that whether
// it knows one cannot be said yet.
func (n *Node) begin() error {
	if n.Height() == 0 {
		if _, err := n.Mine(1); err != nil {
			return err
		}
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.After(10 * time.Second); !n.eth.BlockChain().TxIndexDone(); {
		select {
		case <-end:
			return errors.New("ethereum node: the index of transactions is not ready after ten seconds")
		case <-tick.C:
		}
	}
	return nil
}

// Close stops serving and writes everything to disk. It may be called more than once.
func (n *Node) Close() error {
	n.once.Do(func() {
		close(n.quit)
		n.done.Wait()
		n.mu.Lock()
		defer n.mu.Unlock()
		n.closed = true
		n.client.Close()
		n.err = n.stack.Close()
		releaseLog(n.log)
	})
	return n.err
}

// URL is where JSON-RPC is served.
func (n *Node) URL() string { return n.stack.HTTPEndpoint() }

// Client is a client inside the process; it needs no socket. It ends with the node.
func (n *Node) Client() *ethclient.Client { return n.client }

// Faucet is the account that owns what the chain began with.
func (n *Node) Faucet() common.Address { return crypto.PubkeyToAddress(n.faucet.PublicKey) }

// FaucetKey is the key of Faucet, for bindings that sign by themselves. Such transactions must not be sent while SendETH runs.
func (n *Node) FaucetKey() *ecdsa.PrivateKey { return n.faucet }

// Height is the height of the tip.
func (n *Node) Height() uint64 { return n.eth.BlockChain().CurrentBlock().Number.Uint64() }

// Finalized is the height of the block that the tag `finalized` names.
func (n *Node) Finalized() uint64 { return n.eth.BlockChain().CurrentFinalBlock().Number.Uint64() }

// Pending counts the transactions that wait to be mined.
func (n *Node) Pending() int {
	pending, queued := n.eth.TxPool().Stats()
	return pending + queued
}

// Balance is what an account holds at the tip, in wei.
func (n *Node) Balance(ctx context.Context, a common.Address) (*big.Int, error) {
	return n.client.BalanceAt(ctx, a, nil)
}

// SetAutomine chooses between blocks for each transaction and blocks by Mine only.
func (n *Node) SetAutomine(on bool) {
	n.mu.Lock()
	n.auto = on
	n.mu.Unlock()
	n.poke()
}

// poke has produce look again.
func (n *Node) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// produce makes blocks for what arrives, until the node is closed.
func (n *Node) produce(txs <-chan core.NewTxsEvent, sub event.Subscription) {
	defer sub.Unsubscribe()
	timer := time.NewTimer(n.cfg.BlockInterval)
	defer timer.Stop()
	for {
		tick := false
		select {
		case <-n.quit:
			return
		case <-sub.Err():
			return
		case <-txs:
		case <-n.wake:
		case <-timer.C:
			tick = true
		}
		more, err := n.advance(tick)
		if err != nil {
			n.log.Error("ethereum development chain makes no blocks", "err", err)
		}
		if more {
			timer.Reset(n.cfg.BlockInterval)
		}
	}
}

// advance mines what waits and, on a tick, the next empty block. It tells whether a tick is due.
func (n *Node) advance(tick bool) (more bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.auto {
		return false, nil
	}
	grew := false
	for {
		b, err := n.build(n.eth.BlockChain().CurrentBlock(), false)
		if err != nil {
			return false, err
		}
		empty := len(b.Transactions()) == 0
		if empty && (grew || !tick || !n.unsettled()) {
			return n.unsettled(), nil
		}
		if err := n.extend(b); err != nil {
			return false, err
		}
		if empty {
			return n.unsettled(), nil
		}
		grew = true
	}
}

// unsettled tells whether transactions wait for more blocks to become final.
func (n *Node) unsettled() bool {
	chain := n.eth.BlockChain()
	head := chain.CurrentBlock().Number.Uint64()
	for h := head; h > 0 && h+n.cfg.FinalityDepth > head; h-- {
		if chain.GetHeaderByNumber(h).TxHash != types.EmptyTxsHash {
			return true
		}
	}
	return false
}

// build makes a block on a parent, with what the pool holds or without transactions.
func (n *Node) build(parent *types.Header, empty bool) (*types.Block, error) {
	// The pool follows the chain in the background; until it has, it offers what is mined already.
	if err := n.eth.TxPool().Sync(); err != nil {
		return nil, fmt.Errorf("ethereum transaction pool: %w", err)
	}
	args := &miner.BuildPayloadArgs{Parent: parent.Hash(), Timestamp: max(uint64(time.Now().Unix()), parent.Time+1), Withdrawals: types.Withdrawals{},
		BeaconRoot: &common.Hash{}}
	if _, err := rand.Read(args.Random[:]); err != nil {
		return nil, err
	}
	b, _, err := n.eth.Miner().BuildTestingPayload(args, nil, empty, nil)
	if err != nil {
		return nil, fmt.Errorf("ethereum block %d: %w", parent.Number.Uint64()+1, err)
	}
	return b, nil
}

// extend makes a block the tip.
func (n *Node) extend(b *types.Block) error {
	if _, err := n.eth.BlockChain().InsertBlockWithoutSetHead(context.Background(), b, false); err != nil {
		return fmt.Errorf("ethereum block %d: %w", b.NumberU64(), err)
	}
	return n.adopt(b)
}

// adopt makes a stored block the tip.
func (n *Node) adopt(b *types.Block) error {
	if _, err := n.eth.BlockChain().SetCanonical(b); err != nil {
		return fmt.Errorf("ethereum block %d: %w", b.NumberU64(), err)
	}
	// geth leaves its newest writes in memory, where a kill would take them away, and a network would see a final block replaced.
	if err := n.eth.ChainDb().SyncKeyValue(); err != nil {
		return fmt.Errorf("writing ethereum block %d: %w", b.NumberU64(), err)
	}
	n.setFinality()
	return nil
}

// setFinality moves the tags behind the tip. A finalized block stays so unless a reorg took it away.
func (n *Node) setFinality() {
	chain := n.eth.BlockChain()
	head := chain.CurrentBlock().Number.Uint64()
	behind := func(depth uint64) *types.Header { return chain.GetHeaderByNumber(head - min(depth, head)) }
	final := behind(n.cfg.FinalityDepth)
	if old := chain.CurrentFinalBlock(); old == nil || old.Number.Cmp(final.Number) < 0 || chain.GetCanonicalHash(old.Number.Uint64()) != old.Hash() {
		chain.SetFinalized(final)
	}
	chain.SetSafe(behind(min(1, n.cfg.FinalityDepth)))
}

// Mine makes count blocks now, the first of them with what the pool holds, and returns the new height.
func (n *Node) Mine(count int) (uint64, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return 0, ErrClosed
	}
	for range count {
		b, err := n.build(n.eth.BlockChain().CurrentBlock(), false)
		if err == nil {
			err = n.extend(b)
		}
		if err != nil {
			return n.Height(), err
		}
	}
	return n.Height(), nil
}

// Reorg replaces the last depth blocks by count empty ones, below the finalized block too. The replaced transactions go back to the
// pool, where automatic mining finds them; with forget the pool is emptied, so that they never happened.
func (n *Node) Reorg(depth, count int, forget bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return ErrClosed
	}
	chain := n.eth.BlockChain()
	head := chain.CurrentBlock().Number.Uint64()
	if depth < 1 || count < 1 || uint64(depth) > head {
		return fmt.Errorf("%w: %d new blocks for the last %d of %d", ErrReorg, count, depth, head)
	}
	parent := chain.GetHeaderByNumber(head - uint64(depth))
	if stored, err := n.eth.ChainDb().Ancients(); err == nil && parent.Number.Uint64()+1 < stored {
		return fmt.Errorf("%w: block %d is finalized for so long that geth has put it into its archive of immutable blocks", ErrReorg, stored-1)
	}
	var tip *types.Block
	for range count {
		b, err := n.build(parent, true)
		if err != nil {
			return err
		}
		if _, err := chain.InsertBlockWithoutSetHead(context.Background(), b, false); err != nil {
			return fmt.Errorf("%w: block %d: %w", ErrReorg, b.NumberU64(), err)
		}
		tip, parent = b, b.Header()
	}
	if err := n.adopt(tip); err != nil {
		return err
	}
	if err := n.eth.TxPool().Sync(); err != nil {
		return fmt.Errorf("ethereum transaction pool: %w", err)
	}
	if forget {
		n.eth.TxPool().Clear()
	}
	return nil
}

// SendETH pays wei from the faucet and returns the transaction's hash.
func (n *Node) SendETH(ctx context.Context, to common.Address, wei *big.Int) (common.Hash, error) {
	return n.Transact(ctx, &to, wei, nil)
}

// Transact sends a transaction of the faucet: a payment, a call, or without a recipient the creation of a contract.
func (n *Node) Transact(ctx context.Context, to *common.Address, wei *big.Int, data []byte) (common.Hash, error) {
	if wei == nil {
		wei = new(big.Int)
	}
	gas, err := n.client.EstimateGas(ctx, ethereum.CallMsg{From: n.Faucet(), To: to, Value: wei, Data: data})
	if err != nil {
		return common.Hash{}, fmt.Errorf("ethereum faucet: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return common.Hash{}, ErrClosed
	}
	// The pool's next nonce is only right between its resets, and when transactions are added synchronously.
	if err := n.eth.TxPool().Sync(); err != nil {
		return common.Hash{}, fmt.Errorf("ethereum transaction pool: %w", err)
	}
	tip := big.NewInt(params.GWei)
	base := n.eth.BlockChain().CurrentBlock().BaseFee
	tx, err := types.SignNewTx(n.faucet, n.signer, &types.DynamicFeeTx{ChainID: big.NewInt(ChainID), Nonce: n.eth.TxPool().PoolNonce(n.Faucet()), GasTipCap: tip,
		GasFeeCap: new(big.Int).Add(new(big.Int).Mul(base, big.NewInt(2)), tip), Gas: gas, To: to, Value: wei, Data: data})
	if err != nil {
		return common.Hash{}, err
	}
	if err := n.eth.TxPool().Add([]*types.Transaction{tx}, true)[0]; err != nil {
		return common.Hash{}, fmt.Errorf("ethereum faucet: %w", err)
	}
	return tx.Hash(), nil
}
