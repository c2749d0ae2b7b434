// Package beacon is a light client of Ethereum's beacon chain: it knows the newest execution block that the validators have finalised, and believes no node.
//
// It starts at a checkpoint, the root of a finalised beacon block that the operator took from a source of trust. The block commits to the sync committee
// of its time (512 validators for 27 hours), each committee signs for the next one (updates), and the current one signs blocks that say which
// block is final (finality updates). Every link is checked: Merkle branches into the beacon state, the aggregated BLS signature of at least two
// thirds of the committee, and the branch to the execution header, whose number, hash and roots Finalized returns. The rules of the fork follow from a
// block's epoch, never from what a node says.
//
// Nodes are asked through API, which is the light client namespace of the beacon APIs over HTTP (Node), with bounded answers. They are all asked, and
// the newest update that holds is taken, so one honest node is enough, and a node can only withhold. If all withhold, finality
// becomes stale: Finalized fails with ethereum.ErrStale after Config.MaxAge, and the alarm is in the log. Deposits then wait.
//
// What was verified is kept in Config.Dir, so a restart needs the checkpoint's bootstrap no more. Another checkpoint in the configuration starts over.
//
// The committee chain and the signatures are go-ethereum's (beacon/light). The tests run on mainnet's own data of 2023.
package beacon
