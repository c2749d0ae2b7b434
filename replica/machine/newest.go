//go:build !nextprotocol

package machine

// Newest is the newest version of the protocol that this program knows.
const Newest = 1
