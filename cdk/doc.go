// Package cdk is the kit in which canisters are written in Go.
//
// A canister is a setup function that registers methods and hooks:
//
//	func Canister(c *cdk.Canister) {
//		s := &state{c: c}
//		cdk.Init(c, s.init)                      // func (s *state) init(arg InitArg)
//		cdk.PostUpgrade(c, s.postUpgrade)        // func (s *state) postUpgrade(arg *InitArg)
//		cdk.Query(c, "get", s.get)               // func (s *state) get(m *cdk.Msg, _ cdk.None) candid.Nat
//		cdk.Update(c, "add", s.add)              // func (s *state) add(m *cdk.Msg, n candid.Nat) Result
//		cdk.UpdateAsync(c, "pay", s.pay)         // func (s *state) pay(m *cdk.Msg, a PayArg, out *cdk.Reply[Result])
//	}
//
// The same function runs in two places. Natively, package cdk/native runs any number of canisters in a test, with a manual clock
// and a seeded scheduler. In wasm, a program registers it and package cdk/build compiles and links it:
//
//	package main
//
//	func init() { cdk.Main(counter.Canister) }
//	func main() {}
//
//	go run ./cdk/build -o counter.wasm.gz ./counter/cmd/counter
//
// # Rules
//
// The setup function only registers: it may keep c.Stable but not use the system. It runs again after every upgrade.
//
// Handlers must not block: no channel waits, no sleeping, no mutex held by another goroutine. A handler that waits dies with
// "all goroutines are asleep". What takes time is a Call with callbacks, or a timer.
//
// Each callback is a message of its own. Between the call and its callback other messages run, so check again what you checked
// before. A trap in a callback undoes that callback only, not what was done before the call; OnCleanup then releases locks.
//
// Keep state in stable memory (package cdk/stable), caches on the heap: an upgrade replaces the heap, and collecting a large heap
// is expensive. Open calls and timers are on the heap too: stop a canister before an upgrade, set timers in Init and PostUpgrade.
//
// There are no secrets in a canister and no entropy: math/rand and map order are deterministic and predictable, crypto/rand traps.
// RawRand asks the subnet.
//
// A panic traps: the message has no effect and its caller is told the panic's text.
package cdk
