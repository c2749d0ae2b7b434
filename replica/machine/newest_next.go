//go:build nextprotocol

package machine

// Newest is one more than that of the release: the program of tests that upgrade a network. Blocks change nothing else in it.
const Newest = 2
