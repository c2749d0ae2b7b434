package main

import (
	"errors"
	"strings"
	"testing"

	"fusion/cdk"
	"fusion/cdk/native"
	"fusion/ic/principal"
)

var (
	alice                            = principal.MustFromBytes([]byte("alice"))
	caller, counter, other, stranger = principal.FromUint64(1), principal.FromUint64(2), principal.FromUint64(3), principal.FromUint64(4)
)

// world has the caller and two counters, the second of which is full and traps.
func world(t *testing.T, seed uint64) *native.World {
	t.Helper()
	w := native.NewWorld(seed)
	count := func(start, most uint64) func(*cdk.Canister) {
		return func(c *cdk.Canister) {
			n := start
			cdk.Query(c, "get", func(*cdk.Msg, cdk.None) uint64 { return n })
			cdk.Update(c, "increment", func(*cdk.Msg, cdk.None) uint64 {
				if n == most {
					c.Trap("full")
				}
				n++
				return n
			})
		}
	}
	for id, setup := range map[principal.Principal]func(*cdk.Canister){caller: Canister, counter: count(5, 100), other: count(9, 9)} {
		if err := w.Install(id, setup, nil); err != nil {
			t.Fatal(err)
		}
	}
	w.Handle(stranger, func(in *native.Incoming) { in.Reply("no counter") })
	return w
}

func TestCaller(t *testing.T) {
	for seed := range uint64(10) { // each with another order of messages
		w := world(t, seed)
		expect := func(want Stats) {
			t.Helper()
			if got, err := native.Query[Stats](w, alice, caller, "stats"); err != nil || got != want {
				t.Fatalf("seed %d: %+v, %v; want %+v", seed, got, err, want)
			}
		}
		call := func(id principal.Principal) (Result, error) {
			return native.Update[Result](w, alice, caller, "increment", id)
		}

		if r, err := call(counter); err != nil || r.Ok == nil || *r.Ok != 6 {
			t.Fatalf("%+v, %v", r, err)
		}
		expect(Stats{Calls: 1, Replies: 1})
		if r, err := call(other); err != nil || r.Err == nil || r.Err.Code != 5 || !strings.Contains(r.Err.Message, "full") {
			t.Fatalf("a counter that traps: %+v, %v", r, err)
		}
		if r, err := call(principal.FromUint64(99)); err != nil || r.Err == nil || r.Err.Code != 3 {
			t.Fatalf("a counter that is not there: %+v, %v", r, err)
		}
		expect(Stats{Calls: 3, Replies: 1, Rejects: 2})

		// A callback that traps: the caller is told, what was done before the call stays, and the lock is released.
		var rejected *cdk.RejectError
		if _, err := call(stranger); !errors.As(err, &rejected) || rejected.Code != cdk.CanisterError {
			t.Fatalf("a reply that is no number: %v", err)
		}
		expect(Stats{Calls: 4, Replies: 1, Rejects: 2, Cleanups: 1})

		// Of two at once one is refused.
		p, err := w.Submit(alice, caller, "increment", counter)
		if err != nil {
			t.Fatal(err)
		}
		q, err := w.Submit(alice, caller, "increment", counter)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Run(); err != nil {
			t.Fatal(err)
		}
		if a, b := p.Answer(), q.Answer(); a.Err != nil || b.Err != nil && !strings.Contains(b.Err.Message, "under way") {
			t.Fatalf("%+v, %+v", a, b)
		}
	}
}

func TestSum(t *testing.T) {
	w := world(t, 1)
	sum := func(ids ...principal.Principal) (Result, error) {
		return native.Query[Result](w, alice, caller, "sum", ids)
	}
	if r, err := sum(counter, other); err != nil || r.Ok == nil || *r.Ok != 14 {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := sum(); err != nil || r.Ok == nil || *r.Ok != 0 {
		t.Errorf("of nothing: %+v, %v", r, err)
	}
	if _, err := sum(counter, principal.FromUint64(99), other); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("with a counter that is not there: %v", err)
	}
}
