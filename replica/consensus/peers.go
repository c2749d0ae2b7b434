package consensus

import (
	"context"
	"math/rand/v2"
	"time"

	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/p2p"
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
)

// dial keeps a connection with a member.
func (n *Node) dial(ctx context.Context, member int) {
	m := n.cfg.Members[member]
	id := p2p.PubKeyToID(cmted25519.PubKey(m.NodeKey))
	sw := n.node.Switch()
	need, absent := absentPolls, absentPolls // at the start nobody is about to close
	if n.cfg.Self > member {
		need, absent = secondDialer, 0
	}
	wait, backoff := time.Duration(0), minDialBackoff
	for pause(ctx, wait) {
		wait = pollPeers
		if sw.Peers().Has(id) || !n.app.allowed(id) {
			absent, backoff = 0, minDialBackoff
			continue
		}
		if absent++; absent <= need {
			continue
		}
		addr, err := p2p.NewNetAddressString(p2p.IDAddressString(id, m.Addr)) // each time: names may change their address
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

// pause waits and says whether the context still runs.
func pause(ctx context.Context, d time.Duration) bool {
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}
