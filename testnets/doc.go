// Package testnets makes, starts and inspects whole networks on one machine: n replicas, in one process or in one process
// each, with a Bitcoin regtest node beside them. `fusion up`, `fusion demo`, the benchmarks and the end-to-end tests are all
// built on it, so what a newcomer runs is what CI tests.
//
// A network lives in one directory:
//
//	network.json      what was chosen at creation: size, ports, canister ids
//	node0 … nodeN     a replica's data directory each
//	bitcoin           the regtest node's chain and wallet
//	identities        the users' keys, PEM
//	fusion.log        what happened
//	admin.sock        the operator's interface while the network runs: mine, send, stop
//
// Manifest describes a network, Create writes the directory, Network.Start runs it, Bootstrap installs the canisters.
package testnets
