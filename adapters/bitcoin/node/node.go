package node

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil"
	"github.com/btcsuite/btcd/chaincfg"
	"github.com/btcsuite/btcd/chaincfg/chainhash"
	"github.com/btcsuite/btcd/database"
	_ "github.com/btcsuite/btcd/database/ffldb" // the storage driver
	"github.com/btcsuite/btcd/mempool"
	"github.com/btcsuite/btcd/mining"
	"github.com/btcsuite/btcd/txscript"
	"github.com/btcsuite/btcd/wire"

	"fusion/btc"
)

// Config configures a node. The zero value works but for DataDir.
type Config struct {
	// DataDir is where blocks are kept; it is made if absent.
	DataDir string
	// ListenAddr is the P2P listener's address, which must be on loopback. The default is 127.0.0.1:0, a free port.
	ListenAddr string
	// Log receives what happens; the default is to discard it.
	Log *slog.Logger
}

// Errors of the node.
var (
	ErrClosed  = errors.New("bitcoin node is closed")
	ErrListen  = errors.New("bitcoin node may listen on loopback only")
	ErrNoFunds = errors.New("bitcoin faucet has not enough mature coins")
	ErrRefused = errors.New("bitcoin node refuses the transaction")
	ErrNoBlock = errors.New("no such block")
)

// Node is a running regtest node.
type Node struct {
	cfg    Config
	log    *slog.Logger
	params *chaincfg.Params
	db     database.DB
	chain  *blockchain.BlockChain
	pool   *mempool.TxPool
	miner  *mining.BlkTmplGenerator
	lis    net.Listener
	peers  *peers
	wallet *ledger

	journal *journal

	mining sync.Mutex // one miner at a time
	once   sync.Once
	err    error
}

// Start opens the data directory and begins to listen.
func Start(cfg Config) (*Node, error) {
	if cfg.ListenAddr == "" {
		cfg.ListenAddr = "127.0.0.1:0"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	host, _, err := net.SplitHostPort(cfg.ListenAddr)
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w", ErrListen, cfg.ListenAddr, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("%w, not on %q", ErrListen, host)
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("bitcoin node: %w", err)
	}
	params := chaincfg.RegressionNetParams
	// As in Bitcoin Core, and unlike btcd v0.25.0, which has miners vote for 432 blocks first.
	for _, d := range []int{chaincfg.DeploymentCSV, chaincfg.DeploymentSegwit, chaincfg.DeploymentTaproot} {
		params.Deployments[d].AlwaysActiveHeight = 1
	}
	path := filepath.Join(cfg.DataDir, "blocks_ffldb")
	db, err := database.Open("ffldb", path, params.Net)
	var dbErr database.Error
	if errors.As(err, &dbErr) && dbErr.ErrorCode == database.ErrDbDoesNotExist {
		db, err = database.Create("ffldb", path, params.Net)
	}
	if err != nil {
		return nil, fmt.Errorf("bitcoin node: opening %s: %w", path, err)
	}
	n := &Node{cfg: cfg, log: cfg.Log, params: &params, db: db, wallet: newLedger()}
	if err := n.open(); err != nil {
		db.Close()
		if n.journal != nil {
			n.journal.f.Close()
		}
		return nil, err
	}
	n.chain.Subscribe(n.notify)
	n.peers.accept(n.lis)
	n.log.Info("bitcoin regtest node is up", "addr", n.Addr(), "height", n.Height())
	return n, nil
}

// open reads the chain and the memory pool and binds the listener.
func (n *Node) open() (err error) {
	params := n.params
	sigs, hashes, clock := txscript.NewSigCache(10_000), txscript.NewHashCache(10_000), blockchain.NewMedianTime()
	n.chain, err = blockchain.New(&blockchain.Config{DB: n.db, UtxoCacheMaxSize: 32 << 20, ChainParams: params, TimeSource: clock, SigCache: sigs, HashCache: hashes})
	if err != nil {
		return fmt.Errorf("bitcoin node: opening the chain: %w", err)
	}
	var happened []byte
	if n.journal, happened, err = openJournal(n.cfg.DataDir); err != nil {
		return fmt.Errorf("bitcoin node: %w", err)
	}
	if err := n.replayBlocks(happened); err != nil {
		return err
	}
	n.pool = mempool.New(&mempool.Config{
		// As Bitcoin Core relays: standard transactions of at least 1 sat/vB, replaceable by fee.
		Policy: mempool.Policy{MaxTxVersion: 2, DisableRelayPriority: true, MaxOrphanTxs: 100, MaxOrphanTxSize: 100_000,
			MaxSigOpCostPerTx: blockchain.MaxBlockSigOpsCost / 4, MinRelayTxFee: 1000, FreeTxRelayLimit: 15},
		ChainParams:    params,
		FetchUtxoView:  n.chain.FetchUtxoView,
		BestHeight:     func() int32 { return n.chain.BestSnapshot().Height },
		MedianTimePast: func() time.Time { return n.chain.BestSnapshot().MedianTime },
		CalcSequenceLock: func(tx *btcutil.Tx, view *blockchain.UtxoViewpoint) (*blockchain.SequenceLock, error) {
			return n.chain.CalcSequenceLock(tx, view, true)
		},
		IsDeploymentActive: n.chain.IsDeploymentActive,
		SigCache:           sigs,
		HashCache:          hashes,
	})
	n.miner = mining.NewBlkTmplGenerator(&mining.Policy{BlockMaxWeight: blockchain.MaxBlockWeight - 4000, BlockMaxSize: blockchain.MaxBlockBaseSize - 1000, TxMinFreeFee: 1000},
		params, n.pool, n.chain, clock, sigs, hashes)
	for h := int32(1); h <= n.chain.BestSnapshot().Height; h++ {
		b, err := n.chain.BlockByHeight(h)
		if err != nil {
			return fmt.Errorf("bitcoin node: block %d: %w", h, err)
		}
		n.wallet.connect(b)
	}
	if err := n.loadPool(); err != nil {
		return err
	}
	n.replayPool(happened)
	if n.lis, err = net.Listen("tcp", n.cfg.ListenAddr); err != nil {
		return fmt.Errorf("bitcoin node: %w", err)
	}
	n.peers = newPeers(n)
	return nil
}

// Addr is the address of the P2P listener.
func (n *Node) Addr() string { return n.lis.Addr().String() }

// Close disconnects all peers and writes everything to disk. It may be called more than once.
func (n *Node) Close() error {
	n.once.Do(func() {
		n.mining.Lock()
		defer n.mining.Unlock()
		n.lis.Close()
		n.peers.close()
		if n.err = errors.Join(n.savePool(), n.chain.FlushUtxoCache(blockchain.FlushRequired), n.db.Close()); n.err == nil {
			n.err = n.journal.remove()
		}
	})
	return n.err
}

// notify keeps ledger, memory pool and peers in step with the chain.
func (n *Node) notify(e *blockchain.Notification) {
	b, ok := e.Data.(*btcutil.Block)
	if !ok {
		return
	}
	switch e.Type {
	case blockchain.NTBlockConnected:
		raw, err := b.Bytes()
		if err == nil {
			err = n.journal.add(blockConnected, raw)
		}
		if err != nil {
			n.log.Error("a bitcoin block would not outlive this process", "block", b.Hash(), "err", err)
		}
		n.wallet.connect(b)
		for _, tx := range b.Transactions()[1:] {
			n.pool.RemoveTransaction(tx, false)
			n.pool.RemoveDoubleSpends(tx)
			n.pool.RemoveOrphan(tx)
			for _, d := range n.pool.ProcessOrphans(tx) {
				n.peers.relay(d.Tx, nil)
			}
		}
		n.peers.announce(&b.MsgBlock().Header)
	case blockchain.NTBlockDisconnected:
		n.wallet.disconnect(b)
		for _, tx := range b.Transactions()[1:] {
			if _, _, err := n.pool.MaybeAcceptTransaction(tx, false, false); err != nil {
				n.pool.RemoveTransaction(tx, true) // what spends it cannot stay either
			}
		}
	}
}

// Height is the height of the tip.
func (n *Node) Height() uint32 { return uint32(n.chain.BestSnapshot().Height) }

// Tip is the hash of the tip.
func (n *Node) Tip() btc.Hash { return btc.Hash(n.chain.BestSnapshot().Hash) }

// HashAt is the hash of the main chain's block at a height.
func (n *Node) HashAt(height uint32) (btc.Hash, error) {
	h, err := n.chain.BlockHashByHeight(int32(min(height, math.MaxInt32)))
	if err != nil {
		return btc.Hash{}, fmt.Errorf("%w at height %d", ErrNoBlock, height)
	}
	return btc.Hash(*h), nil
}

// Block returns a stored block, of the main chain or not, as bytes on the wire.
func (n *Node) Block(hash btc.Hash) ([]byte, error) {
	var raw []byte
	err := n.db.View(func(tx database.Tx) error {
		b, err := tx.FetchBlock((*chainhash.Hash)(&hash))
		raw = bytes.Clone(b)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w %v", ErrNoBlock, hash)
	}
	return raw, nil
}

// MineBlocks mines count blocks with what the memory pool holds and pays their coinbases to the address.
func (n *Node) MineBlocks(count int, address string) ([]btc.Hash, error) {
	return n.mine(count, address, true)
}

// MineEmpty is MineBlocks without the memory pool's transactions.
func (n *Node) MineEmpty(count int, address string) ([]btc.Hash, error) {
	return n.mine(count, address, false)
}

func (n *Node) mine(count int, address string, full bool) ([]btc.Hash, error) {
	to, err := btc.ParseAddress(btc.Regtest, address)
	if err != nil {
		return nil, err
	}
	payTo, err := btcutil.DecodeAddress(to.String(), n.params)
	if err != nil {
		return nil, err
	}
	n.mining.Lock()
	defer n.mining.Unlock()
	var out []btc.Hash
	for range count {
		gen := n.miner
		if !full {
			gen = mining.NewBlkTmplGenerator(&mining.Policy{BlockMaxWeight: blockchain.MaxBlockWeight, BlockMaxSize: blockchain.MaxBlockBaseSize}, n.params, noTxs{}, n.chain,
				blockchain.NewMedianTime(), nil, nil)
		}
		t, err := gen.NewBlockTemplate(payTo)
		if err != nil {
			return out, fmt.Errorf("bitcoin node: block template: %w", err)
		}
		// Two blocks of one height and address must differ.
		var extra [8]byte
		if _, err := rand.Read(extra[:]); err != nil {
			return out, err
		}
		if err := gen.UpdateExtraNonce(t.Block, t.Height, binary.LittleEndian.Uint64(extra[:])); err != nil {
			return out, fmt.Errorf("bitcoin node: extra nonce: %w", err)
		}
		limit := blockchain.CompactToBig(t.Block.Header.Bits)
		for {
			h := t.Block.Header.BlockHash()
			if blockchain.HashToBig(&h).Cmp(limit) <= 0 {
				break
			}
			t.Block.Header.Nonce++
		}
		b := btcutil.NewBlock(t.Block)
		if _, orphan, err := n.chain.ProcessBlock(b, blockchain.BFNone); err != nil || orphan {
			return out, fmt.Errorf("bitcoin node: own block refused (orphan %v): %w", orphan, err)
		}
		out = append(out, btc.Hash(*b.Hash()))
	}
	return out, nil
}

// noTxs is an empty memory pool.
type noTxs struct{}

func (noTxs) LastUpdated() time.Time               { return time.Time{} }
func (noTxs) MiningDescs() []*mining.TxDesc        { return nil }
func (noTxs) HaveTransaction(*chainhash.Hash) bool { return false }

// InvalidateBlock makes the node treat a block as invalid, so that the chain below it, or another branch, becomes the main one.
func (n *Node) InvalidateBlock(hash btc.Hash) error {
	n.mining.Lock()
	defer n.mining.Unlock()
	return errors.Join(n.journal.add(blockInvalidated, hash[:]), n.chain.InvalidateBlock((*chainhash.Hash)(&hash)))
}

// ReconsiderBlock takes InvalidateBlock back.
func (n *Node) ReconsiderBlock(hash btc.Hash) error {
	n.mining.Lock()
	defer n.mining.Unlock()
	return errors.Join(n.journal.add(blockRestored, hash[:]), n.chain.ReconsiderBlock((*chainhash.Hash)(&hash)))
}

// Reorg replaces the last depth blocks by count new ones, which are empty: transactions of the replaced blocks go back to the
// memory pool. Peers follow when count exceeds depth.
func (n *Node) Reorg(depth, count int, address string) ([]btc.Hash, error) {
	if depth < 1 || uint32(depth) > n.Height() {
		return nil, fmt.Errorf("cannot reorganise %d of %d blocks", depth, n.Height())
	}
	at, err := n.HashAt(n.Height() - uint32(depth) + 1)
	if err != nil {
		return nil, err
	}
	if err := n.InvalidateBlock(at); err != nil {
		return nil, fmt.Errorf("bitcoin node: invalidating %v: %w", at, err)
	}
	return n.MineEmpty(count, address)
}

// Submit puts a transaction into the memory pool and announces it.
func (n *Node) Submit(raw []byte) (btc.Hash, error) {
	var m wire.MsgTx
	r := bytes.NewReader(raw)
	if err := m.Deserialize(r); err != nil || r.Len() != 0 {
		return btc.Hash{}, fmt.Errorf("%w: malformed: %v", ErrRefused, err)
	}
	tx := btcutil.NewTx(&m)
	accepted, err := n.pool.ProcessTransaction(tx, false, false, 0)
	if err != nil {
		return btc.Hash{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if err := n.accepted(accepted); err != nil {
		return btc.Hash{}, err
	}
	for _, d := range accepted {
		n.peers.relay(d.Tx, nil)
	}
	return btc.Hash(*tx.Hash()), nil
}

// Mempool lists the ids of the transactions that wait to be mined.
func (n *Node) Mempool() []btc.Hash {
	var out []btc.Hash
	for _, h := range n.pool.TxHashes() {
		out = append(out, btc.Hash(*h))
	}
	return out
}

// TxInfo is a transaction that the node knows.
type TxInfo struct {
	Raw           []byte
	BlockHash     btc.Hash // zero while it is in the memory pool
	Height        uint32
	Confirmations uint32 // 0 while it is in the memory pool
}

// GetTx finds a transaction of the main chain or the memory pool.
func (n *Node) GetTx(txid btc.Hash) (TxInfo, bool) {
	if tx, err := n.pool.FetchTransaction((*chainhash.Hash)(&txid)); err == nil {
		return TxInfo{Raw: rawTx(tx.MsgTx())}, true
	}
	hash, ok := n.wallet.blockOf(txid)
	if !ok {
		return TxInfo{}, false
	}
	b, err := n.chain.BlockByHash((*chainhash.Hash)(&hash))
	if err != nil {
		return TxInfo{}, false
	}
	for _, tx := range b.Transactions() {
		if btc.Hash(*tx.Hash()) == txid {
			h := uint32(b.Height())
			return TxInfo{rawTx(tx.MsgTx()), hash, h, n.Height() - h + 1}, true
		}
	}
	return TxInfo{}, false
}

func rawTx(m *wire.MsgTx) []byte {
	var b bytes.Buffer
	if err := m.Serialize(&b); err != nil {
		panic(err) // a buffer does not fail
	}
	return b.Bytes()
}

const poolFile = "mempool.dat"

// savePool writes the memory pool, each transaction behind its length.
func (n *Node) savePool() error {
	var out []byte
	for _, d := range n.pool.TxDescs() {
		raw := rawTx(d.Tx.MsgTx())
		out = append(binary.LittleEndian.AppendUint32(out, uint32(len(raw))), raw...)
	}
	path := filepath.Join(n.cfg.DataDir, poolFile)
	if err := os.WriteFile(path+".new", out, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// loadPool reads the memory pool back; what is no longer acceptable is left out.
func (n *Node) loadPool() error {
	raw, err := os.ReadFile(filepath.Join(n.cfg.DataDir, poolFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("bitcoin node: %w", err)
	}
	for r := bytes.NewReader(raw); r.Len() > 0; {
		var size uint32
		if err := binary.Read(r, binary.LittleEndian, &size); err != nil || int64(size) > int64(r.Len()) {
			return fmt.Errorf("bitcoin node: %s is damaged", poolFile)
		}
		var m wire.MsgTx
		if err := m.Deserialize(io.LimitReader(r, int64(size))); err != nil {
			return fmt.Errorf("bitcoin node: %s is damaged: %w", poolFile, err)
		}
		// A child may come before its parent: orphans are kept until the parent is there.
		if _, err := n.pool.ProcessTransaction(btcutil.NewTx(&m), true, false, 0); err != nil {
			n.log.Info("bitcoin transaction dropped from the memory pool", "txid", m.TxHash(), "err", err)
		}
	}
	return nil
}
