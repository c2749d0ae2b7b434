package consensus

import (
	"runtime"

	"github.com/cometbft/cometbft/blocksync"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
)

// blockSync is CometBFT's name of the reactor that fetches blocks while this replica catches up.
const blockSync = "BLOCKSYNC"

// catchUp is that reactor without a panic: its pool takes the blocks back that a peer has sent when the peer leaves, also the one that is being checked
// at this moment, which it then reads (BlockPool.PopRequest of v0.40.0, a nil pointer). Such a peer now stays in the pool, and what it sent with it, until
// it comes again or has not answered a request for as long as the pool bears; the next fifty blocks are asked of a second peer anyway.
type catchUp struct{ *blocksync.Reactor }

func (catchUp) RemovePeer(p2p.Peer, any) {}

// keepPool puts catchUp in the reactor's place.
func keepPool(n *node.Node) {
	sw := n.Switch()
	if r, ok := sw.Reactor(blockSync); ok {
		sw.RemoveReactor(blockSync, r)
		sw.AddReactor(blockSync, catchUp{r.(*blocksync.Reactor)})
	}
}

// broken ends the routine that catches up when the App or a store of blocks failed: CometBFT would panic there, and with it the process. Elsewhere CometBFT takes the error:
// a node's start returns it, and consensus stops, which the log tells (cometLogger).
func (n *Node) broken(err error) {
	if n.node == nil || !n.node.ConsensusReactor().WaitSync() {
		return
	}
	n.report(stopped(err))
	runtime.Goexit()
}
