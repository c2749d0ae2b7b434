// Package node is a Bitcoin regtest node inside the process: a full node built from btcd's packages, with a P2P listener on
// loopback, a memory pool, a miner on demand and a faucet wallet. A local network uses it so that nothing has to be installed; it
// validates everything that a node validates, scripts included.
//
// It is for regtest only and must never meet another network. Blocks come only from MineBlocks and its relatives; a faucet key that
// everybody knows owns what is mined to it.
//
// Blocks and the memory pool are kept in the data directory and found again by the next Start, also after the process was killed. One process may use a directory at
// a time. All methods are safe for concurrent use.
package node
