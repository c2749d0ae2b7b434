// Package driver is the seam between the replica's deterministic core and what orders its blocks: package consensus
// (CometBFT, many replicas) or package solo (one replica, manual clock). An App cannot tell which of them drives it.
//
// # The App's duties
//
//   - All methods are called one after the other, never at once.
//   - Prepare is asked when this replica proposes. Its transactions go through the own Process too. The time is
//     already the block's final time, and MaxBytes is what fits.
//   - Process depends on the block and the committed state alone: not on what this replica's adapters or pools know,
//     the wall clock or chance. It may be called for several candidate blocks of a height, or never for the one that
//     wins (catching up, replay after a crash), so nothing may be remembered from it.
//   - Finalize executes a decided block without making it durable, and gives the hash of the state after it, which
//     header h+1 carries. After a crash before Commit it is called again for the same block, and it must give the
//     same hash. It starts no outside work: that is derived from committed state (a reconciler), because a crash or
//     catching up may skip every other chance.
//   - Commit makes the last finalized block durable in one atomic step before it returns; a block is never finalized
//     again after that. The height it returns is the oldest block the driver has to keep for other replicas; 0 keeps all.
//   - Info tells the last durable height and its hash. It may lag behind the driver's blocks (they are replayed) but
//     never be ahead.
//   - An error or panic of Finalize or Commit is fatal: the driver stops for good and reports it. A panic in Process
//     refuses the block, one in Prepare proposes an empty one.
//
// Block time is not this machine's clock: under CometBFT it is the median of the times in the previous commit's
// votes, so it lags by about one commit timeout, is stale after a pause, and strictly grows.
package driver

import (
	"context"
	"crypto/ed25519"
)

// Block is a proposed or decided block.
type Block struct {
	Height   uint64 // the first is 1, or the one after the state with which the App began
	TimeNs   uint64 // nanoseconds since 1970
	Proposer int    // node index; -1 if it is nobody's who ever voted
	Txs      [][]byte
	// Before is how the block before this one came about, which this block's votes tell.
	Before Turns
}

// Turns are whose turns to propose passed until a height's block was decided. The zero value is a block decided in its first round, or a
// driver without rounds.
type Turns struct {
	Passed []uint64 // by node index, rounds that ended without a decision in this node's turn; nil where there was none
	Last   int      // whose turn the round was that decided; meaningless where none passed
}

// Proposal is what Prepare fills.
type Proposal struct {
	Height   uint64
	TimeNs   uint64
	MaxBytes int // for all transactions, see Size
}

// Overhead is what each transaction may cost in the block beside its bytes: protobuf's tag and length.
const Overhead = 6

// Size returns an upper bound of what transactions take of Proposal.MaxBytes.
func Size(txs [][]byte) int {
	n := 0
	for _, tx := range txs {
		n += len(tx) + Overhead
	}
	return n
}

// Validator is a node that votes.
type Validator struct {
	Node int
	Key  ed25519.PublicKey
}

// Era is the validators from a block on: it is the execution of this block that made them so.
type Era struct {
	Height     uint64
	Validators []Validator // by node index, ascending; all have the same power
}

// Electorate is an App whose validators change with its state. Eras tells them all, the oldest first, as of the last block that was finalized or
// else committed; the first era is the genesis document's, of height 0. What it returns is not changed afterwards.
type Electorate interface {
	Eras() []Era
}

// App is the replica's core as a driver sees it.
type App interface {
	// Info returns the last committed height (0 before the first block) and the state's hash after it.
	Info() (height uint64, appHash []byte)
	// InitChain makes the state before the first block, or takes the one that is there, and returns its hash. It may be called again if no block was
	// committed.
	InitChain(genesisTimeNs uint64) (appHash []byte, err error)
	// Prepare returns the transactions of a block that this replica proposes. The context ends when the proposal
	// would come too late.
	Prepare(ctx context.Context, p Proposal) [][]byte
	// Process says why a proposed block is invalid, or nil.
	Process(b Block) error
	// Finalize executes a decided block.
	Finalize(b Block) (appHash []byte, err error)
	// Commit makes the finalized block durable.
	Commit() (retainHeight uint64, err error)
}
