// Package consensus drives a driver.App with CometBFT in this process: replicas of one subnet agree on blocks over their own
// TCP connections, and each block is executed by every replica.
//
// CometBFT is cut down to agreement and catching up: no mempool (the App has its own pool and fills proposals), no RPC, no
// indexer, no peer exchange, no vote extensions. Peers are the members of the genesis file, or whom SetPeers names; others are turned
// away after the handshake. Validators change with the App's state (driver.Electorate), two blocks after the one that changes them. Votes are signed by Signer, which keeps what it signed last on disk, synced before the signature leaves,
// and refuses to sign two things for one height, round and step.
//
// Block time is the median of the previous commit's votes, see package driver. A dead proposer costs Timings.Propose;
// a round ends at once when all agree. Nothing is pipelined: the execution of a block delays the next.
//
// # State sync
//
// Sync lets a new or wiped replica start from a snapshot of the App's state instead of executing all blocks. It runs before a Node, on
// connections of its own, with CometBFT's state sync protocol; the nodes of the network serve it from an App that is a
// driver.Snapshots. CometBFT's own source of trust asks two RPC servers, which we do not have, so light blocks travel on a channel
// of the same connections, and chain (light.go) decides which to believe:
//
//   - it starts from the validators of the genesis document, or from a block whose hash the operator gives;
//   - a block counts when more than two thirds of its validators signed it, and more than a third of validators that were believed
//     before: so at least one honest one. Where memberships have changed too much, blocks between are asked for;
//   - f+1 peers show the same block, which also settles whose turn to propose it is: no header says.
//
// What this rests on is that of no set of validators on the way, even long after it went out of office, more than a third sign falsely. A
// joiner of a network whose members have changed should give a recent block's hash, which any operator's status shows.
//
// # A chain that goes on from a state
//
// With Config.Base a chain begins above height 1, on an App that is at that height: a subnet that was restored from a backup. Its chain id is another
// one, so no vote of the chain before counts, and SignState is another file. A node that is killed while it executes its first block cannot start
// again, because CometBFT takes the block store for one of another chain; its stores are then made anew, which is what restoring it again does.
//
// A node that is among the Peers and no validator follows the blocks and has no vote.
//
// # Stopping
//
// CometBFT's process stays alive when consensus itself has stopped after a panic, for example because this replica's
// state has diverged. Config.OnFatal is called once when that happens, and when this replica stands still although
// f+1 others go on. It is not called when everybody stands still, because then killing replicas only makes it worse.
// Whoever owns the process ends it there; in a network of one process it stops the replica. While catching up,
// CometBFT would end the process for a failure of the App or of a store, and when a peer leaves at the wrong moment; catchup.go prevents both.
//
// # The caller's duties
//
//   - the App keeps the duties of package driver;
//   - Home and SignState belong to one process at a time, and SignState survives when everything else is wiped: a
//     validator that forgot what it signed can be made to sign twice;
//   - the addresses of all members are known before Start (package internal/freeport finds free ones for tests and local networks);
//   - Stop before exit. CometBFT leaves a few goroutines behind (they end with the process).
package consensus
