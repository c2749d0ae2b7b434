package node

import (
	"net"
	"sync"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil"
	"github.com/btcsuite/btcd/chaincfg/chainhash"
	"github.com/btcsuite/btcd/mempool"
	"github.com/btcsuite/btcd/peer"
	"github.com/btcsuite/btcd/wire"

	"fusion/btc"
)

// maxPeers bounds the connections at one time.
const maxPeers = 125

// peers serves the P2P protocol to those who connect.
type peers struct {
	n    *Node
	wg   sync.WaitGroup
	mu   sync.Mutex
	all  map[*peer.Peer]net.Conn
	done bool
}

func newPeers(n *Node) *peers { return &peers{n: n, all: map[*peer.Peer]net.Conn{}} }

func (ps *peers) accept(lis net.Listener) {
	ps.wg.Add(1)
	go func() {
		defer ps.wg.Done()
		for {
			conn, err := lis.Accept()
			if err != nil {
				return // closed
			}
			ps.serve(conn)
		}
	}()
}

func (ps *peers) serve(conn net.Conn) {
	p := peer.NewInboundPeer(&peer.Config{
		NewestBlock: func() (*chainhash.Hash, int32, error) {
			s := ps.n.chain.BestSnapshot()
			return &s.Hash, s.Height, nil
		},
		UserAgentName:    "fusion-regtest",
		UserAgentVersion: "1.0.0",
		ChainParams:      ps.n.params,
		Services:         wire.SFNodeNetwork | wire.SFNodeWitness,
		// Adapter and node may live in one process, which the peer package takes for a connection to itself.
		AllowSelfConns:      true,
		DisableStallHandler: true,
		Listeners: peer.MessageListeners{
			OnGetHeaders: ps.onGetHeaders, OnGetData: ps.onGetData, OnInv: ps.onInv, OnTx: ps.onTx, OnBlock: ps.onBlock,
		},
	})
	ps.mu.Lock()
	if ps.done || len(ps.all) >= maxPeers {
		ps.mu.Unlock()
		conn.Close()
		return
	}
	ps.all[p] = conn
	ps.wg.Add(1)
	ps.mu.Unlock()
	p.AssociateConnection(conn)
	go func() {
		defer ps.wg.Done()
		p.WaitForDisconnect()
		conn.Close()
		ps.mu.Lock()
		delete(ps.all, p)
		ps.mu.Unlock()
	}()
}

func (ps *peers) close() {
	ps.mu.Lock()
	ps.done = true
	for p, conn := range ps.all {
		p.Disconnect()
		conn.Close() // also where the handshake is not over yet
	}
	ps.mu.Unlock()
	ps.wg.Wait()
}

func (ps *peers) each(f func(*peer.Peer)) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for p := range ps.all {
		if p.VerAckReceived() {
			f(p)
		}
	}
}

// announce tells all peers about a new block of the main chain.
func (ps *peers) announce(h *wire.BlockHeader) {
	hash := h.BlockHash()
	ps.each(func(p *peer.Peer) {
		if p.WantsHeaders() {
			m := wire.NewMsgHeaders()
			if m.AddBlockHeader(h) == nil {
				p.QueueMessage(m, nil)
			}
			return
		}
		p.QueueInventory(wire.NewInvVect(wire.InvTypeBlock, &hash))
	})
}

// relay offers a transaction to all peers but the one it came from.
func (ps *peers) relay(tx *btcutil.Tx, from *peer.Peer) {
	ps.each(func(p *peer.Peer) {
		if p == from {
			return
		}
		m := wire.NewMsgInvSizeHint(1)
		if m.AddInvVect(wire.NewInvVect(wire.InvTypeTx, tx.Hash())) == nil {
			p.QueueMessage(m, nil)
		}
	})
}

func (ps *peers) onGetHeaders(p *peer.Peer, m *wire.MsgGetHeaders) {
	out := wire.NewMsgHeaders()
	for _, h := range ps.n.chain.LocateHeaders(m.BlockLocatorHashes, &m.HashStop) {
		if out.AddBlockHeader(&h) != nil {
			break
		}
	}
	p.QueueMessage(out, nil)
}

func (ps *peers) onGetData(p *peer.Peer, m *wire.MsgGetData) {
	missing := wire.NewMsgNotFound()
	// Wait for each message to be sent, so that a long list does not pile up blocks in memory.
	sent := make(chan struct{}, 1)
	for _, iv := range m.InvList {
		var msg wire.Message
		enc := wire.BaseEncoding
		switch iv.Type {
		case wire.InvTypeWitnessBlock, wire.InvTypeBlock:
			if raw, err := ps.n.Block(btc.Hash(iv.Hash)); err == nil {
				if b, err := btcutil.NewBlockFromBytes(raw); err == nil {
					msg = b.MsgBlock()
				}
			}
		case wire.InvTypeWitnessTx, wire.InvTypeTx:
			if tx, err := ps.n.pool.FetchTransaction(&iv.Hash); err == nil {
				msg = tx.MsgTx()
			}
		}
		if msg == nil {
			if missing.AddInvVect(iv) != nil {
				break
			}
			continue
		}
		if iv.Type&wire.InvWitnessFlag != 0 {
			enc = wire.WitnessEncoding
		}
		p.QueueMessageWithEncoding(msg, sent, enc)
		<-sent
		if !p.Connected() {
			return
		}
	}
	if len(missing.InvList) > 0 {
		p.QueueMessage(missing, nil)
	}
}

func (ps *peers) onInv(p *peer.Peer, m *wire.MsgInv) {
	want := wire.NewMsgGetData()
	for _, iv := range m.InvList {
		switch iv.Type {
		case wire.InvTypeTx, wire.InvTypeWitnessTx:
			if !ps.n.pool.HaveTransaction(&iv.Hash) {
				if want.AddInvVect(wire.NewInvVect(wire.InvTypeWitnessTx, &iv.Hash)) != nil {
					return
				}
			}
		}
	}
	if len(want.InvList) > 0 {
		p.QueueMessage(want, nil)
	}
}

func (ps *peers) onTx(p *peer.Peer, m *wire.MsgTx) {
	tx := btcutil.NewTx(m)
	accepted, err := ps.n.pool.ProcessTransaction(tx, true, true, mempool.Tag(p.ID()))
	if err != nil {
		ps.n.log.Info("bitcoin transaction refused", "txid", tx.Hash(), "peer", p.Addr(), "err", err)
		code, reason := mempool.ErrToRejectErr(err)
		p.PushRejectMsg(wire.CmdTx, code, reason, tx.Hash(), false)
		return
	}
	for _, d := range accepted {
		ps.relay(d.Tx, p)
	}
}

// onBlock takes blocks that another miner pushes; on a private regtest these are tests and tools.
func (ps *peers) onBlock(p *peer.Peer, m *wire.MsgBlock, _ []byte) {
	if _, _, err := ps.n.chain.ProcessBlock(btcutil.NewBlock(m), blockchain.BFNone); err != nil {
		ps.n.log.Info("bitcoin block refused", "peer", p.Addr(), "err", err)
	}
}
