// Command caller is a canister that calls other canisters: counters such as examples/go/counter. It shows what a call can end in, which effects
// of a message stay when a callback traps, and how a lock is released in every case.
//
//	fusion canister call CALLER increment '(principal "COUNTER")'
//	fusion canister call CALLER sum '(vec { principal "COUNTER"; principal "OTHER" })'
package main

import (
	"errors"

	"fusion/cdk"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

func init() { cdk.Main(Canister) }
func main() {}

// Result is what became of a call.
type Result struct {
	candid.Variant
	Ok  *uint64  `candid:"ok"`
	Err *Failure `candid:"err"`
}

// Failure is a call that was not answered with a reply.
type Failure struct {
	Code    uint32 `candid:"code"` // of the interface specification, 1 to 6
	Message string `candid:"message"`
}

// Stats count what happened since the start.
type Stats struct {
	Calls    uint64 `candid:"calls"`    // begun
	Replies  uint64 `candid:"replies"`  // that ended in a reply
	Rejects  uint64 `candid:"rejects"`  // that ended in a reject
	Cleanups uint64 `candid:"cleanups"` // whose callback trapped
	Busy     bool   `candid:"busy"`     // one is under way
}

// Canister registers the canister's methods.
func Canister(c *cdk.Canister) {
	var s Stats // on the heap: the statistics end with an upgrade

	// begin takes the lock. What it does before the call stays, whatever becomes of the call.
	begin := func() {
		if s.Busy {
			c.Trap("another call is under way")
		}
		s.Busy = true
		s.Calls++
	}
	// A trap in a callback undoes the callback alone. The lock was taken in the message before, so only the cleanup can release it.
	cleanup := func() {
		s.Cleanups++
		s.Busy = false
	}

	cdk.UpdateAsync(c, "increment", func(_ *cdk.Msg, counter principal.Principal, out *cdk.Reply[Result]) {
		begin()
		cdk.Then(c.Call(counter, "increment").OnCleanup(cleanup), func(n uint64, err error) {
			s.Busy = false
			var rejected *cdk.RejectError
			switch {
			case errors.As(err, &rejected): // the callee trapped or refused, or there is none
				s.Rejects++
				out.Send(Result{Err: &Failure{uint32(rejected.Code), rejected.Message}})
			case err != nil: // it is no counter
				c.Trap("%v", err)
			default:
				s.Replies++
				out.Send(Result{Ok: &n})
			}
		})
	})

	// trap_after changes the statistics before and after a call, and traps in the end. The caller is told; of the changes only those before stay.
	cdk.UpdateAsync(c, "trap_after", func(_ *cdk.Msg, counter principal.Principal, _ *cdk.Reply[Result]) {
		begin()
		c.Call(counter, "increment").OnCleanup(cleanup).Then(func([]byte) {
			s.Replies += 1000
			c.Trap("after the call")
		}, nil)
	})

	// sum asks all counters at once. A composite query is answered by one replica, which asks the queries of others on its subnet.
	cdk.CompositeQuery(c, "sum", func(_ *cdk.Msg, counters []principal.Principal, out *cdk.Reply[Result]) {
		var sum uint64
		if len(counters) == 0 {
			out.Send(Result{Ok: &sum})
		}
		waiting, done := len(counters), false
		for _, id := range counters {
			cdk.Then(c.Call(id, "get"), func(n uint64, err error) {
				waiting--
				sum += n
				switch {
				case done:
				case err != nil:
					done = true
					out.Reject("%v: %v", id, err)
				case waiting == 0:
					out.Send(Result{Ok: &sum})
				}
			})
		}
	})

	cdk.Query(c, "stats", func(*cdk.Msg, cdk.None) Stats { return s })
}
