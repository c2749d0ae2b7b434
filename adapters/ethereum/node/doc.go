// Package node is an Ethereum development chain inside the process: geth's execution layer with a JSON-RPC interface on loopback,
// blocks on demand and a faucet. A local network uses it so that nothing has to be installed; it executes and validates everything
// that geth does, with the rules of mainnet (Osaka) and chain id 1337.
//
// It is for development only. The faucet's key lies in the data directory, and blocks need nobody's consent.
//
// A transaction is mined as soon as it arrives. Config.FinalityDepth empty blocks follow, one each Config.BlockInterval, so that it
// becomes final within a second or two; then the chain rests until the next one. `finalized` is FinalityDepth blocks behind the tip and
// `safe` one block; neither follows the epochs of 32 blocks that `geth --dev` has. Chain time is wall time, or one second after the parent
// if that is later, so it runs ahead of the wall while many blocks are made.
//
// SetAutomine(false) leaves all of this to Mine. Reorg replaces the last blocks by others, below finality too if it is told to: tests
// show with it what a network does that saw the replaced ones.
//
// All states are kept (archive mode), each block is written as it is made, and the next Start finds the chain, the finalized block and
// the faucet again, after a kill as well. One process may use a directory at a time. All methods are safe for concurrent use.
//
// geth has one logger for the process: it goes to the node that was started last, with information and warnings at debug level. Two
// things outlive Close: the goroutines that recover senders of transactions, one set for the process, and for a second one of geth's
// peer database.
package node
