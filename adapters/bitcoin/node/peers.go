package node

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil"
	"github.com/btcsuite/btcd/chaincfg/chainhash"
	"github.com/btcsuite/btcd/mempool"
	"github.com/btcsuite/btcd/wire"

	"fusion/adapters/bitcoin/p2p"
	"fusion/btc"
)

const (
	maxPeers       = 125
	sendQueue      = 256 // short messages
	handshakeLimit = 15 * time.Second
	writeLimit     = 30 * time.Second
	userAgent      = "/fusion-regtest:1.0/"
)

// peers serves the P2P protocol to those who connect. (btcd's peer package is not used for it: in v0.25.0 a disconnect at the wrong
// moment leaves its output handler blocked for ever.)
type peers struct {
	n    *Node
	wg   sync.WaitGroup
	mu   sync.Mutex
	all  map[*peer]bool
	done bool
}

// peer is one connection.
type peer struct {
	ps   *peers
	conn net.Conn
	tag  mempool.Tag
	out  chan []byte   // short messages
	slow chan []byte   // blocks and transactions, handed over one by one
	gone chan struct{} // closed at the connection's end
	deaf chan struct{} // closed when the writer has ended

	// Guarded by peers.mu.
	ready   bool // the handshake is over
	headers bool // wants new blocks announced by headers
}

var (
	errHandshake = errors.New("peer did not begin with its version")
	errDeaf      = errors.New("peer does not read")
)

func newPeers(n *Node) *peers { return &peers{n: n, all: map[*peer]bool{}} }

func (ps *peers) accept(lis net.Listener) {
	ps.wg.Add(1)
	go func() {
		defer ps.wg.Done()
		for tag := mempool.Tag(1); ; tag++ {
			conn, err := lis.Accept()
			if err != nil {
				return // closed
			}
			p := &peer{ps: ps, conn: conn, tag: tag, out: make(chan []byte, sendQueue), slow: make(chan []byte), gone: make(chan struct{}), deaf: make(chan struct{})}
			ps.mu.Lock()
			if ps.done || len(ps.all) >= maxPeers {
				ps.mu.Unlock()
				conn.Close()
				continue
			}
			ps.all[p] = true
			ps.wg.Add(2)
			ps.mu.Unlock()
			go p.write()
			go p.run()
		}
	}()
}

func (ps *peers) close() {
	ps.mu.Lock()
	ps.done = true
	for p := range ps.all {
		p.conn.Close()
	}
	ps.mu.Unlock()
	ps.wg.Wait()
}

func (p *peer) run() {
	defer p.ps.wg.Done()
	err := p.handshake()
	for err == nil {
		var command string
		var payload []byte
		if command, payload, err = p2p.Read(p.conn, btc.Regtest.Magic()); err == nil {
			err = p.handle(command, payload)
		}
	}
	p.conn.Close()
	close(p.gone)
	p.ps.mu.Lock()
	delete(p.ps.all, p)
	p.ps.mu.Unlock()
	p.ps.n.pool.RemoveOrphansByTag(p.tag)
	p.ps.n.log.Debug("bitcoin peer left", "addr", p.conn.RemoteAddr(), "err", err)
}

func (p *peer) write() {
	defer p.ps.wg.Done()
	defer close(p.deaf)
	for {
		var b []byte
		select {
		case <-p.gone:
			return
		case b = <-p.out:
		case b = <-p.slow:
		}
		if p.conn.SetWriteDeadline(time.Now().Add(writeLimit)) != nil {
			return
		}
		if _, err := p.conn.Write(b); err != nil {
			p.conn.Close() // ends run, too
			return
		}
	}
}

// send queues a message; a peer that does not read is disconnected.
func (p *peer) send(command string, payload []byte) {
	select {
	case p.out <- p2p.Encode(btc.Regtest.Magic(), command, payload):
	default:
		p.conn.Close()
	}
}

// sendSlowly waits until the writer takes the message, so that a long list of blocks does not pile up in memory.
func (p *peer) sendSlowly(command string, payload []byte) error {
	select {
	case p.slow <- p2p.Encode(btc.Regtest.Magic(), command, payload):
		return nil
	case <-p.deaf:
		return errDeaf
	}
}

func (p *peer) handshake() error {
	if err := p.conn.SetReadDeadline(time.Now().Add(handshakeLimit)); err != nil {
		return err
	}
	command, payload, err := p2p.Read(p.conn, btc.Regtest.Magic())
	if err != nil {
		return err
	}
	if command != wire.CmdVersion {
		return errHandshake
	}
	if _, err := p2p.DecodeWire(&wire.MsgVersion{}, payload); err != nil {
		return err
	}
	var nonce [8]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return err
	}
	ours, err := p2p.Version(userAgent, binary.LittleEndian.Uint64(nonce[:]), p.ps.n.Height(), wire.SFNodeBloom)
	if err != nil {
		return err
	}
	p.send(wire.CmdVersion, ours)
	p.send(wire.CmdVerAck, nil)
	for command != wire.CmdVerAck {
		if command, _, err = p2p.Read(p.conn, btc.Regtest.Magic()); err != nil {
			return err
		}
	}
	p.ps.mu.Lock()
	p.ready = true
	p.ps.mu.Unlock()
	return p.conn.SetReadDeadline(time.Time{})
}

func (ps *peers) each(f func(*peer)) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for p := range ps.all {
		if p.ready {
			f(p)
		}
	}
}

// announce tells all peers about a new block of the main chain.
func (ps *peers) announce(h *wire.BlockHeader) {
	var raw bytes.Buffer
	if err := h.Serialize(&raw); err != nil {
		return
	}
	header, err := btc.ParseHeader(raw.Bytes())
	if err != nil {
		return
	}
	ps.each(func(p *peer) {
		if p.headers {
			p.send(wire.CmdHeaders, p2p.EncodeHeaders([]btc.Header{header}))
		} else {
			p.send(wire.CmdInv, p2p.EncodeInventory([]p2p.Inventory{{Kind: p2p.Block, Hash: header.Hash()}}))
		}
	})
}

// relay offers a transaction to all peers but the one it came from.
func (ps *peers) relay(tx *btcutil.Tx, from *peer) {
	inv := p2p.EncodeInventory([]p2p.Inventory{{Kind: p2p.Tx, Hash: btc.Hash(*tx.Hash())}})
	ps.each(func(p *peer) {
		if p != from {
			p.send(wire.CmdInv, inv)
		}
	})
}

func (p *peer) handle(command string, payload []byte) error {
	switch command {
	case wire.CmdPing:
		p.send(wire.CmdPong, payload)
	case wire.CmdSendHeaders:
		p.ps.mu.Lock()
		p.headers = true
		p.ps.mu.Unlock()
	case wire.CmdGetHeaders:
		return p.onGetHeaders(payload)
	case wire.CmdGetData:
		return p.onGetData(payload)
	case wire.CmdMemPool:
		return p.onMempool()
	case wire.CmdInv:
		return p.onInv(payload)
	case wire.CmdTx:
		return p.onTx(payload)
	case wire.CmdBlock:
		return p.onBlock(payload)
	}
	return nil
}

func (p *peer) onGetHeaders(payload []byte) error {
	m, err := p2p.DecodeWire(&wire.MsgGetHeaders{}, payload)
	if err != nil {
		return err
	}
	var out []btc.Header
	for _, h := range p.ps.n.chain.LocateHeaders(m.BlockLocatorHashes, &m.HashStop) {
		out = append(out, btc.Header{Version: h.Version, Prev: btc.Hash(h.PrevBlock), MerkleRoot: btc.Hash(h.MerkleRoot), Time: uint32(h.Timestamp.Unix()), Bits: h.Bits, Nonce: h.Nonce})
	}
	return p.sendSlowly(wire.CmdHeaders, p2p.EncodeHeaders(out))
}

func (p *peer) onGetData(payload []byte) error {
	items, err := p2p.ParseInventory(payload)
	if err != nil {
		return err
	}
	var missing []p2p.Inventory
	for _, it := range items {
		switch it.Kind {
		case p2p.Block, p2p.WitnessBlock:
			if raw, err := p.ps.n.Block(it.Hash); err == nil {
				if it.Kind == p2p.Block {
					raw = stripped(raw)
				}
				if err := p.sendSlowly(wire.CmdBlock, raw); err != nil {
					return err
				}
				continue
			}
		case p2p.Tx, p2p.Tx | p2p.Witness:
			if tx, err := p.ps.n.pool.FetchTransaction((*chainhash.Hash)(&it.Hash)); err == nil {
				var raw bytes.Buffer
				if it.Kind == p2p.Tx {
					err = tx.MsgTx().SerializeNoWitness(&raw)
				} else {
					err = tx.MsgTx().Serialize(&raw)
				}
				if err == nil {
					if err := p.sendSlowly(wire.CmdTx, raw.Bytes()); err != nil {
						return err
					}
					continue
				}
			}
		}
		if missing = append(missing, it); len(missing) == 1000 {
			if err := p.sendSlowly(wire.CmdNotFound, p2p.EncodeInventory(missing)); err != nil {
				return err
			}
			missing = nil
		}
	}
	if len(missing) > 0 {
		return p.sendSlowly(wire.CmdNotFound, p2p.EncodeInventory(missing))
	}
	return nil
}

// onMempool lists the memory pool (BIP35), as nodes do that offer the service.
func (p *peer) onMempool() error {
	var all []p2p.Inventory
	for _, id := range p.ps.n.Mempool() {
		all = append(all, p2p.Inventory{Kind: p2p.Tx, Hash: id})
	}
	for chunk := range slices.Chunk(all, 1000) {
		if err := p.sendSlowly(wire.CmdInv, p2p.EncodeInventory(chunk)); err != nil {
			return err
		}
	}
	return nil
}

func stripped(raw []byte) []byte {
	var m wire.MsgBlock
	var out bytes.Buffer
	if m.Deserialize(bytes.NewReader(raw)) != nil || m.SerializeNoWitness(&out) != nil {
		return raw
	}
	return out.Bytes()
}

func (p *peer) onInv(payload []byte) error {
	items, err := p2p.ParseInventory(payload)
	if err != nil {
		return err
	}
	var want []p2p.Inventory
	for _, it := range items {
		if it.Kind&^p2p.Witness == p2p.Tx && !p.ps.n.pool.HaveTransaction((*chainhash.Hash)(&it.Hash)) && len(want) < 1000 {
			want = append(want, p2p.Inventory{Kind: p2p.Tx | p2p.Witness, Hash: it.Hash})
		}
	}
	if len(want) > 0 {
		p.send(wire.CmdGetData, p2p.EncodeInventory(want))
	}
	return nil
}

func (p *peer) onTx(payload []byte) error {
	var m wire.MsgTx
	if err := m.Deserialize(bytes.NewReader(payload)); err != nil {
		return err
	}
	n, tx := p.ps.n, btcutil.NewTx(&m)
	accepted, err := n.pool.ProcessTransaction(tx, true, true, p.tag)
	if err != nil {
		n.log.Info("bitcoin transaction refused", "txid", tx.Hash(), "peer", p.conn.RemoteAddr(), "err", err)
		code, reason := mempool.ErrToRejectErr(err)
		reject := wire.NewMsgReject(wire.CmdTx, code, reason[:min(len(reason), 111)])
		reject.Hash = *tx.Hash()
		if b, err := p2p.EncodeWire(reject); err == nil {
			p.send(wire.CmdReject, b)
		}
		return nil
	}
	if err := n.accepted(accepted); err != nil {
		n.log.Error("a bitcoin transaction would not outlive this process", "err", err)
	}
	for _, d := range accepted {
		p.ps.relay(d.Tx, p)
	}
	return nil
}

// onBlock takes blocks that another miner pushes; on a private regtest these are tests and tools.
func (p *peer) onBlock(payload []byte) error {
	b, err := btcutil.NewBlockFromBytes(payload)
	if err != nil {
		return err
	}
	if _, _, err := p.ps.n.chain.ProcessBlock(b, blockchain.BFNone); err != nil {
		p.ps.n.log.Info("bitcoin block refused", "peer", p.conn.RemoteAddr(), "err", err)
	}
	return nil
}
