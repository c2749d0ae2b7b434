package cdk_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"fusion/cdk"
	"fusion/cdk/native"
	"fusion/cdk/stable"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

var (
	alice = principal.MustFromBytes([]byte("alice"))
	bob   = principal.MustFromBytes([]byte("bob"))
	one   = principal.FromUint64(1)
	two   = principal.FromUint64(2)
)

// counter keeps one number in stable memory and can ask another counter to count.
func counter(c *cdk.Canister) {
	var cell *stable.Cell
	heap := 0
	open := func() {
		var err error
		if cell, err = stable.OpenCell(c.Stable()); err != nil {
			c.Trap("%v", err)
		}
	}
	get := func() uint64 {
		if b := cell.Get(nil); len(b) == 1 {
			return uint64(b[0])
		}
		return 0
	}
	add := func(n uint64) {
		if err := cell.Set([]byte{byte(get() + n)}); err != nil {
			c.Trap("%v", err)
		}
	}
	cdk.Init(c, func(start uint64) {
		open()
		add(start)
		c.Every(time.Second, func() { heap++ })
	})
	cdk.PostUpgrade(c, func(start *uint64) {
		open()
		if start != nil {
			add(*start)
		}
	})
	c.OnHeartbeat(func() { add(1) })
	c.OnInspect(func(i *cdk.Inspection) {
		if i.Caller() != bob {
			i.Accept()
		}
	})
	cdk.Query(c, "get", func(*cdk.Msg, cdk.None) uint64 { return get() })
	cdk.Query(c, "runs", func(*cdk.Msg, cdk.None) uint64 { return uint64(heap) })
	cdk.Query(c, "sneak", func(*cdk.Msg, cdk.None) uint64 { add(100); return get() })
	cdk.Update(c, "sum", func(_ *cdk.Msg, a cdk.Args2[uint64, string]) cdk.Args2[uint64, string] {
		add(a.First)
		return cdk.Args2[uint64, string]{First: get(), Second: a.Second + "!"}
	})
	cdk.Update(c, "fail", func(_ *cdk.Msg, n uint64) uint64 { add(n); c.Trap("no %d", n); return 0 })
	cdk.UpdateAsync(c, "silent", func(*cdk.Msg, cdk.None, *cdk.Reply[cdk.None]) {})
	cdk.UpdateAsync(c, "at", func(m *cdk.Msg, to principal.Principal, out *cdk.Reply[string]) {
		who := m.Caller()
		cdk.Then(c.Call(to, "sum", uint64(1), "x").WithCycles(cdk.CyclesOf(5)), func(r cdk.Args2[uint64, string], err error) {
			if err != nil {
				out.Reject("remote: %v", err)
				return
			}
			out.Send(fmt.Sprintf("%v got %d%s, refund %v", who, r.First, r.Second, c.Refunded()))
		})
	})
	cdk.UpdateAsync(c, "trapLater", func(m *cdk.Msg, to principal.Principal, out *cdk.Reply[cdk.None]) {
		add(10)
		c.Call(to, "get").OnCleanup(func() { add(3) }).Then(func([]byte) {
			add(100)
			panic("late")
		}, nil)
	})
	var kept *cdk.Reply[cdk.None]
	cdk.UpdateAsync(c, "keep", func(m *cdk.Msg, to principal.Principal, out *cdk.Reply[cdk.None]) {
		kept = out
		c.Call(to, "get").Then(func([]byte) { m.Reply(nil) }, nil)
	})
	cdk.Update(c, "steal", func(*cdk.Msg, cdk.None) cdk.None { kept.Send(cdk.None{}); return cdk.None{} })
	cdk.Update(c, "once", func(_ *cdk.Msg, n uint64) cdk.None {
		c.After(time.Duration(n), func() { add(50) })
		id := c.After(time.Duration(n), func() { add(7) })
		c.Cancel(id)
		c.After(time.Duration(n), func() { add(20); panic("timer") })
		return cdk.None{}
	})
}

func newWorld(t *testing.T, seed uint64) *native.World {
	t.Helper()
	w := native.NewWorld(seed)
	for _, id := range []principal.Principal{one, two} {
		if err := w.Install(id, counter, uint64(1)); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func expect(t *testing.T, w *native.World, id principal.Principal, want uint64) {
	t.Helper()
	if got, err := native.Query[uint64](w, alice, id, "get"); err != nil || got != want {
		t.Fatalf("counter of %v: %d, %v, want %d", id, got, err, want)
	}
}

func rejected(t *testing.T, err error, code cdk.RejectCode, text string) {
	t.Helper()
	var r *cdk.RejectError
	if !errors.As(err, &r) || r.Code != code || !strings.Contains(r.Message, text) {
		t.Fatalf("error %v, want %v with %q", err, code, text)
	}
}

func TestCallsAndTraps(t *testing.T) {
	for seed := range uint64(20) {
		w := newWorld(t, seed)
		got, err := native.Update[string](w, alice, one, "at", two)
		if want := alice.String() + " got 2x!, refund 5"; err != nil || got != want {
			t.Fatalf("at: %q, %v, want %q", got, err, want)
		}
		expect(t, w, one, 1)
		expect(t, w, two, 2)

		_, err = native.Update[string](w, alice, one, "at", principal.FromUint64(9))
		rejected(t, err, cdk.CanisterReject, "remote: DESTINATION_INVALID")
		_, err = native.Update[uint64](w, alice, one, "fail", uint64(7))
		rejected(t, err, cdk.CanisterError, "no 7")
		_, err = native.Update[uint64](w, alice, one, "sum", "not a number")
		rejected(t, err, cdk.CanisterError, "decode arguments of sum")
		_, err = native.Update[cdk.None](w, alice, one, "silent")
		rejected(t, err, cdk.CanisterError, "did not reply")
		_, err = native.Update[cdk.None](w, bob, one, "silent")
		rejected(t, err, cdk.CanisterReject, "refused")
		_, err = native.Update[cdk.None](w, alice, one, "nothing")
		rejected(t, err, cdk.DestinationInvalid, "no such method")
		if got, err := native.Query[uint64](w, alice, one, "sneak"); err != nil || got != 101 {
			t.Fatalf("sneak: %d, %v", got, err)
		}
		expect(t, w, one, 1)

		// A trap in a callback undoes the callback, not what went before; cleanup runs.
		_, err = native.Update[cdk.None](w, alice, one, "trapLater", two)
		rejected(t, err, cdk.CanisterError, "late")
		expect(t, w, one, 14)
	}
}

func TestAnswerOnlyOnesOwnCall(t *testing.T) {
	w := newWorld(t, 3)
	p, err := w.Submit(alice, one, "keep", two)
	if err != nil {
		t.Fatal(err)
	}
	if !w.Step() { // the call to two is on its way
		t.Fatal("nothing to run")
	}
	q, err := w.Submit(bob2, one, "steal")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Run(); err != nil {
		t.Fatal(err)
	}
	if a := p.Answer(); a == nil || a.Err != nil {
		t.Fatalf("keep: %+v", a)
	}
	rejected(t, q.Answer().Err, cdk.CanisterError, "outside its context")
}

var bob2 = principal.MustFromBytes([]byte("bob2"))

func TestTimers(t *testing.T) {
	w := newWorld(t, 5)
	if err := w.Advance(10*time.Second + time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if got, err := native.Query[uint64](w, alice, one, "runs"); err != nil || got != 10 {
		t.Fatalf("timer ran %d times, %v, want 10", got, err)
	}
	if _, err := native.Update[cdk.None](w, alice, one, "once", uint64(500*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	expect(t, w, one, 1)
	if err := w.Advance(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	expect(t, w, one, 51)
	if got, err := native.Query[uint64](w, alice, one, "runs"); err != nil || got != 15 {
		t.Fatalf("timer ran %d times after another trapped, %v, want 15", got, err)
	}
	_, err := w.UpdateRaw(alice, one, "<fusion internal> timer", make([]byte, 8))
	rejected(t, err, cdk.CanisterError, "internal")
	if err := w.Tick(); err != nil {
		t.Fatal(err)
	}
	expect(t, w, one, 52)
}

func TestUpgradeKeepsStableMemory(t *testing.T) {
	w := newWorld(t, 7)
	if err := w.Advance(3 * time.Second); err != nil {
		t.Fatal(err)
	}
	if err := w.Upgrade(one, counter, nil); err != nil {
		t.Fatal(err)
	}
	expect(t, w, one, 1)
	if got, _ := native.Query[uint64](w, alice, one, "runs"); got != 0 {
		t.Fatalf("heap survived the upgrade: %d runs", got)
	}
	if err := w.Upgrade(one, counter, uint64(4)); err != nil {
		t.Fatal(err)
	}
	expect(t, w, one, 5)
	if err := w.Upgrade(one, counter, []byte("not Candid")); err == nil {
		t.Fatal("an upgrade whose hook trapped was accepted")
	}
	expect(t, w, one, 5)
}

func TestHandlersAndCycles(t *testing.T) {
	w := newWorld(t, 9)
	nine := principal.FromUint64(9)
	w.Handle(nine, func(in *native.Incoming) {
		if in.Method != "sum" || in.Caller != one || in.Cycles != cdk.CyclesOf(5) {
			in.Reject(cdk.CanisterReject, fmt.Sprintf("%+v", in))
			return
		}
		in.Accept(cdk.CyclesOf(2))
		in.Reply(uint64(8), "h")
	})
	got, err := native.Update[string](w, alice, one, "at", nine)
	if want := alice.String() + " got 8h, refund 3"; err != nil || got != want {
		t.Fatalf("at: %q, %v, want %q", got, err, want)
	}
	w.Handle(principal.Management, func(in *native.Incoming) { in.Reply(make([]byte, 31)) })
	dice := principal.FromUint64(10)
	if err := w.Install(dice, func(c *cdk.Canister) {
		cdk.UpdateAsync(c, "roll", func(_ *cdk.Msg, _ cdk.None, out *cdk.Reply[string]) {
			c.RawRand(func(_ [32]byte, err error) { out.Send(fmt.Sprint(err)) })
		})
	}, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := native.Update[string](w, alice, dice, "roll"); err != nil || got != "raw_rand: 31 bytes, want 32" {
		t.Fatalf("roll: %q, %v", got, err)
	}
}

func TestHTTPRequest(t *testing.T) {
	w := newWorld(t, 3)
	nine := principal.FromUint64(9)
	if err := w.Install(nine, func(c *cdk.Canister) {
		cdk.Transform(c, "tidy", func(res cdk.HTTPResponse, context []byte) cdk.HTTPResponse {
			return cdk.HTTPResponse{Status: res.Status, Body: append(res.Body, context...)}
		})
		cdk.UpdateAsync(c, "ask", func(_ *cdk.Msg, url string, out *cdk.Reply[string]) {
			c.HTTPRequest(cdk.HTTPRequest{URL: url, Method: cdk.POST, Transform: c.TransformBy("tidy", []byte("!"))}, cdk.CyclesOf(10), func(res cdk.HTTPResponse, err error) {
				out.Send(fmt.Sprintf("%s %s %d %v, refund %d", res.Status, res.Body, len(res.Headers), err, c.Refunded().Lo))
			})
		})
	}, nil); err != nil {
		t.Fatal(err)
	}
	// The subnet asks, and lets the canister transform the response.
	w.Handle(principal.Management, func(in *native.Incoming) {
		var a cdk.HTTPRequest
		if err := candid.Unmarshal(in.Arg, &a); err != nil || in.Method != "http_request" || a.Method.Post == nil || a.URL != "https://example.com" ||
			a.Transform.Function.Principal != nine || a.Transform.Function.Method != "tidy" {
			t.Errorf("%s: %+v, %v", in.Method, a, err)
		}
		raw := cdk.HTTPResponse{Status: candid.NatFromUint64(200), Headers: []cdk.HTTPHeader{{Name: "date", Value: "now"}}, Body: []byte("hello")}
		res, err := native.Query[cdk.HTTPResponse](w, principal.Management, nine, a.Transform.Function.Method, cdk.TransformArgs{Response: raw, Context: a.Transform.Context})
		if err != nil {
			t.Error(err)
		}
		in.Accept(cdk.CyclesOf(4))
		in.Reply(res)
	})
	if got, err := native.Update[string](w, alice, nine, "ask", "https://example.com"); err != nil || got != "200 hello! 0 <nil>, refund 6" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := native.Query[cdk.HTTPResponse](w, alice, nine, "tidy", cdk.TransformArgs{Response: cdk.HTTPResponse{Headers: []cdk.HTTPHeader{}}}); err == nil {
		t.Error("a user may transform")
	}
}

func TestServiceType(t *testing.T) {
	service, init := cdk.ServiceType(counter)
	sum := service.Method("sum")
	if sum == nil || len(sum.Type.Func.Args) != 2 || len(sum.Type.Func.Results) != 2 || sum.Type.Func.Mode != candid.Update {
		t.Fatalf("sum: %+v", sum)
	}
	if get := service.Method("get"); get == nil || get.Type.Func.Mode != candid.Query || len(get.Type.Func.Args) != 0 {
		t.Fatalf("get: %+v", get)
	}
	if len(init) != 1 || init[0].Type.Kind != candid.KindNat64 {
		t.Fatalf("init: %+v", init)
	}
	if service.Method("<fusion internal> timer") != nil {
		t.Fatal("the timer method shows in the service")
	}
	d := cdk.Describe(counter)
	if !d.Heartbeat || !d.Inspect || d.PreUpgrade || len(d.Methods) != 12 {
		t.Fatalf("%+v", d)
	}
}

func TestCycles(t *testing.T) {
	max := cdk.Cycles{Hi: ^uint64(0), Lo: ^uint64(0)}
	a := cdk.Cycles{Hi: 1, Lo: 1}
	if a.Sub(cdk.CyclesOf(2)) != cdk.CyclesOf(^uint64(0)) || max.Add(a) != max || cdk.CyclesOf(1).Sub(a) != (cdk.Cycles{}) {
		t.Fatal("cycles arithmetic")
	}
	if a.Cmp(max) != -1 || a.String() != "18446744073709551617" {
		t.Fatal(a)
	}
}

// A composite query asks other canisters' queries, sees their rejects, and changes nothing.
func TestCompositeQuery(t *testing.T) {
	w := newWorld(t, 1)
	three := principal.FromUint64(3)
	asker := func(c *cdk.Canister) {
		cdk.CompositeQuery(c, "ask", func(m *cdk.Msg, ids []principal.Principal, out *cdk.Reply[string]) {
			c.Stable().Grow(1)
			var got []string
			for _, id := range ids {
				cdk.Then(c.Call(id, "get"), func(n uint64, err error) {
					if err != nil {
						got = append(got, err.Error())
					} else {
						got = append(got, fmt.Sprint(n))
					}
					if len(got) == len(ids) {
						out.Send(fmt.Sprintf("%v for %v", got, m.Caller() == alice))
					}
				})
			}
		})
		cdk.CompositeQuery(c, "fall", func(_ *cdk.Msg, id principal.Principal, _ *cdk.Reply[string]) {
			c.Call(id, "get").Then(func([]byte) { c.Trap("in the callback") }, nil)
		})
		cdk.CompositeQuery(c, "self", func(_ *cdk.Msg, _ cdk.None, out *cdk.Reply[string]) {
			cdk.Then(c.Call(c.Self(), "size"), func(_ uint64, err error) { out.Reject("%v", err) })
		})
		cdk.Query(c, "size", func(*cdk.Msg, cdk.None) uint64 { return c.Stable().Size() })
	}
	if err := w.Install(three, asker, nil); err != nil {
		t.Fatal(err)
	}
	want, err := native.Query[uint64](w, alice, one, "get")
	if err != nil {
		t.Fatal(err)
	}
	got, err := native.Query[string](w, alice, three, "ask", []principal.Principal{one, principal.FromUint64(99)})
	if err != nil || got != fmt.Sprintf("[%d DESTINATION_INVALID: canister %v not found] for true", want, principal.FromUint64(99)) {
		t.Errorf("%q, %v", got, err)
	}
	if size, err := native.Query[uint64](w, alice, three, "size"); err != nil || size != 0 {
		t.Errorf("%d pages of stable memory after a query (%v)", size, err)
	}
	_, err = native.Query[string](w, alice, three, "fall", one)
	rejected(t, err, cdk.CanisterError, "in the callback")
	_, err = native.Query[string](w, alice, three, "self")
	rejected(t, err, cdk.CanisterReject, "already part of this composite query")
	_, err = native.Update[string](w, alice, three, "ask", []principal.Principal{one})
	rejected(t, err, cdk.DestinationInvalid, "no such method")
}
