// Package examples holds canisters to learn from, in Go and in Motoko, and the one from which `fusion new` makes a project.
//
//	go/counter         state that survives upgrades
//	go/caller          calls to other canisters, rejects, traps in callbacks
//	go/certified-page  a web page whose every response is certified
//	motoko             the same in Motoko, and what shows its semantics
//
// The Go ones are tested natively here and as wasm by the tests of cmd/fusion; the Motoko ones are compiled and installed by the real
// tier, testnets/e2e.
package examples

import "embed"

// Counter holds main.go and main_test.go of the Go counter.
//
//go:embed go/counter/main.go go/counter/main_test.go
var Counter embed.FS
