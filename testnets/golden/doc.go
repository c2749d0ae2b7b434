// Package golden gives tests a network that is ready: four replicas, their subnet key and threshold key from real ceremonies,
// the ckBTC canisters, a regtest chain, and a user who owns ckBTC. The ceremony costs about half a minute of CPU, so it is run once
// for a state of the sources; the stopped network's directory is kept in the user's cache directory, and each test gets a
// copy with ports of its own. Genesis names no addresses and block time goes on from the stored state, so a copy is the same network
// at another place.
//
//	dir := golden.Clone(t)             a stopped network, for processes
//	n := golden.Run(t)                 a running one in this process, closed with the test
//	w := golden.NewWorld(t, n)         users, the chain and the invariants of ckBTC on it
//
// Packages that are tested at once may all ask: a file lock lets one of them make the network. Copies must not meet: they have the
// same keys. They cannot, since their ports differ and replicas speak to configured addresses only.
package golden
