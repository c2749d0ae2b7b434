package consensus

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"time"

	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/p2p"

	"fusion/internal/pause"
)

// Dialling is ours and not CometBFT's "persistent peers", which waits up to 3 s before the first attempt and up to 8
// s before each other, gives up after a day, and cannot be stopped: an attempt under way leaves an open connection
// behind, for which peers take this replica for connected when it comes back in the same process.
const (
	pollPeers      = 100 * time.Millisecond
	minDialBackoff = 250 * time.Millisecond
	maxDialBackoff = 3 * time.Second
	// absentPolls is how often a peer must have been missing before it is dialled. It may be about to close its listener.
	absentPolls = 3
	// secondDialer is how often it must have been missing for the node of higher index: both sides dial, because one
	// may be unreachable from outside, but two connections at once cancel each other.
	secondDialer = 10
	// A handshake is three small messages; Stop may have to wait for one.
	handshakeTimeout = 5 * time.Second
	// maxPeers is for how many peers there is room at least, since members may come later.
	maxPeers = 40
)

// peer is a node that this one keeps a connection with.
type peer struct {
	id     p2p.ID
	addr   string
	cancel context.CancelFunc
}

// SetPeers says who this node speaks to from now on, by node index: who is new is dialled and let in, who is not among them is cut off
// and turned away. An address that is empty stays what it was. It costs little when nothing changes.
func (n *Node) SetPeers(peers []Peer) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ended {
		return nil
	}
	for i, p := range n.peers {
		if i >= len(peers) || len(peers[i].NodeKey) != ed25519.PublicKeySize || p2p.PubKeyToID(cmted25519.PubKey(peers[i].NodeKey)) != p.id {
			p.cancel()
			delete(n.peers, i)
			n.app.setMember(p.id, false)
			n.hangUp(p.id)
			n.log.Info("node is a peer no more", "peer", i)
		}
	}
	for i, p := range peers {
		if i == n.cfg.Self || len(p.NodeKey) == 0 {
			continue
		}
		if len(p.NodeKey) != ed25519.PublicKeySize {
			return fmt.Errorf("%w: node %d's key has %d bytes", ErrConfig, i, len(p.NodeKey))
		}
		if have := n.peers[i]; have != nil {
			if p.Addr == "" || p.Addr == have.addr {
				continue
			}
			have.cancel()
		}
		id := p2p.PubKeyToID(cmted25519.PubKey(p.NodeKey))
		ctx, cancel := context.WithCancel(n.ctx)
		n.peers[i] = &peer{id, p.Addr, cancel}
		n.app.setMember(id, true)
		n.wg.Go(func() { n.dial(ctx, i, id, p.Addr) })
	}
	return nil
}

// hangUp ends a connection, in a goroutine of its own: consensus may be the caller, and the peer's routines may wait for it. The lock is held.
func (n *Node) hangUp(id p2p.ID) {
	if p := n.node.Switch().Peers().Get(id); p != nil {
		n.wg.Go(func() { n.node.Switch().StopPeerGracefully(p) })
	}
}

// dial keeps a connection with a peer.
func (n *Node) dial(ctx context.Context, member int, id p2p.ID, at string) {
	sw := n.node.Switch()
	need, absent := absentPolls, absentPolls // at the start nobody is about to close
	if n.cfg.Self > member {
		need, absent = secondDialer, 0
	}
	wait, backoff := time.Duration(0), minDialBackoff
	for pause.For(ctx, wait) == nil {
		wait = pollPeers
		if at == "" || sw.Peers().Has(id) || !n.app.allowed(id) {
			absent, backoff = 0, minDialBackoff
			continue
		}
		if absent++; absent <= need {
			continue
		}
		addr, err := p2p.NewNetAddressString(p2p.IDAddressString(id, at)) // each time: names may change their address
		if err == nil {
			err = sw.DialPeerWithAddress(addr)
		}
		if err != nil {
			n.log.Debug("peer not reached", "peer", member, "err", err)
			wait = backoff/2 + rand.N(backoff)
			backoff = min(2*backoff, maxDialBackoff)
		}
	}
}
