// Package examples holds canisters to learn from, in Go and in Motoko, and the one from which `fusion new` makes a project.
//
//	counter         state that survives upgrades
//	caller          calls to other canisters, rejects, traps after an await, a lock that is always released
//	certified-page  a web page that the subnet certifies
//	wallet-eth      an Ethereum address whose key the subnet holds: payments, tokens, signed messages
//
// go and motoko hold one of each. Counter, caller and wallet have the same interface in both, so that each caller can call each counter. motoko/semantics
// has actors that show what Motoko relies on. docs/develop.md says how to run them.
//
// The Go samples are tested natively where they are. The real tier, testnets/e2e, builds all of them, those in Motoko with two compilers from npm,
// and runs them on a network.
package examples

import "embed"

// Counter holds main.go and main_test.go of the Go counter.
//
//go:embed go/counter/main.go go/counter/main_test.go
var Counter embed.FS
