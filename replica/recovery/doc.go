// Package recovery is how a subnet begins again from a backup: after the loss of more replicas than it tolerates, or when it has halted.
//
// # What a backup is
//
// One file ([Write], [Open]) with the genesis document, the document of the last recovery if there was one, the image of the state after one
// block (package snapshot), and the subnet's signature over that block's height and app hash. A replica makes such an image every snapshot_every
// blocks and the members sign it with the subnet's key, so a backup proves itself against the root key alone ([Statement]). Of a subnet that has
// halted the newest state of a stopped replica can be taken instead; it has no signature, and counts by the operators' word. There are no secrets in
// a backup: each operator backs up the node's key shares, which only that node can use.
//
// # What begins a recovery
//
// A [Document]: the subnet, the block and its app hash, a number above that of every earlier recovery, the members, the time of the first block, and
// signatures of two thirds of the operators (of the root canister as it is in that very state), or of the members' node keys where a network is
// not governed. Who changes any of it makes another document.
//
// # What changes
//
// [Document.Life] is a hash of the genesis document's hash and of the whole document. It takes the place of the genesis document's hash wherever
// that kept sessions and messages of networks apart: the chain id of consensus, the protocols of gossip, the ids of ceremonies, the boards of key
// generation and resharing, what nodes sign in blocks, and the beacon. So nothing that was said before the recovery counts after it, no session of
// before is ever served again, although heights, requests, attempts and epochs of the lost blocks come a second time, and a validator's vote for the
// lost block of a height is none for the new one. The record of votes is a file for each life. What stays is what outlives a recovery: the root key
// and the subnet's id, addresses (chain codes are of the genesis document's hash), the journals of joined sessions in the key stores, which
// nothing here touches.
//
// The recovery is a block of its own, without messages and without votes: machine.Recover ends open ceremonies, whose requests get new attempts,
// changes of the membership, and notes number and document in the state; consensus begins at the height after it. All members compute that
// block's app hash themselves, and the first header carries it. Canisters with custody of users' coins see the number in the environment
// variable FUSION_RECOVERY (package execution) from then on; the minters pause by themselves until a controller's resume has compared them with their chains.
//
// # What is lost
//
// Everything that happened after the image: calls that were answered, their effects, and changes of the operators, which are why the state's
// own list counts. A call is in the new history at most once, as ever; one that was executed in a lost block is executed again if its sender sends it
// again before it expires. A state from before a resharing needs the shares of its epoch, which members wipe: back up after each change of members.
//
// # Callers
//
// Package replica applies a document to a directory, cmd/fusion is the operators' side. Package machine records it.
package recovery
