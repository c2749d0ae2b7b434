package execution

import (
	"runtime"
	"strings"
	"testing"

	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/management"
)

// sliced gives rounds of two million instructions.
func sliced(c *Config) { c.RoundInstructions, c.SliceInstructions, c.Threads = 2_000_000, 100_000, 2 }

// spent is what a canister has consumed in all.
func spent(c *canister) Cycles {
	sum := Cycles{}
	for _, n := range c.Consumed {
		sum = sum.Add(n)
	}
	return sum
}

// slow is a canister whose entry points take long.
func slow(initial, pre, post int) *module {
	m := newModule()
	m.export("canister_init", store32(i32(0), i32(1)), spin(i32(initial)), count(0))
	m.export("canister_pre_upgrade", count(0), spin(i32(pre)), drop(m.host("stable64_grow", i64(1))), m.host("stable64_write", i64(0), i64(0), i64(4)))
	m.export("canister_post_upgrade", m.host("stable64_read", i64(0), i64(0), i64(4)), spin(i32(post)), count(0))
	m.update("inc", count(0), m.replyText("ok"))
	m.query("get", m.reply(i32(0), i32(4)))
	return m
}

func TestLongInstallations(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		other, a, b := w.install(spinner()), w.create(), w.create()
		before := w.x.canisters[a].Cycles
		install := func(id principal.Principal, mode management.InstallMode, m *module) Ingress {
			return w.message(alice, principal.Management, "install_code", candid.MustMarshal(installArgs(id, mode, m.bytes(), nil)))
		}
		n := uint32(0)
		// both rounds until m is answered, while the other canister works and nothing exceeds the budget.
		until := func(m Ingress, each func()) int {
			t.Helper()
			for rounds := 0; ; rounds++ {
				if s, _ := w.x.IngressStatus(m.ID); s.State.terminal() {
					return rounds
				}
				if rounds == 40 {
					t.Fatal("the installation does not end")
				}
				n++
				res := w.round(w.message(alice, other, "inc", nil))
				if got := le32(w.mustQuery(other, "get", nil)); got != n {
					t.Fatalf("the other canister counts %d, want %d", got, n)
				}
				if res.InstructionsUsed > 2_200_000 {
					t.Errorf("a round of %d instructions", res.InstructionsUsed)
				}
				if each != nil {
					each()
				}
			}
		}
		first, second := install(a, installMode, slow(4000, 3000, 3000)), install(b, installMode, slow(1000, 10, 10))
		inc := w.message(alice, a, "inc", nil)
		n++
		w.round(first, second, w.message(alice, other, "inc", nil))
		w.round(inc)
		if s, _ := w.x.IngressStatus(first.ID); s.State != Processing {
			t.Errorf("the first installation is %s", s.State)
		}
		if s, _ := w.x.IngressStatus(second.ID); s.State != Received {
			t.Errorf("the second installation is %s", s.State)
		}
		if rounds := until(first, nil); rounds < 2 {
			t.Errorf("the installation ended after %d rounds", rounds)
		}
		until(second, nil)
		for _, m := range []Ingress{first, second, inc} {
			if _, rej := w.finish(m.ID); rej != nil { // also the one that came before there was code
				t.Errorf("%v", rej)
			}
		}
		w.mustUpdate(a, "inc", nil)
		if got := le32(w.mustQuery(a, "get", nil)); got != 4 {
			t.Errorf("after the installation: %d", got)
		}
		// An upgrade: queries see the old state until its end; a message waits for it.
		up := install(a, upgradeMode, slow(1, 2, 3000))
		w.round(up)
		inc = w.message(alice, a, "inc", nil)
		w.round(inc)
		until(up, func() {
			if s, _ := w.x.IngressStatus(up.ID); s.State.terminal() {
				return
			}
			if got := le32(w.mustQuery(a, "get", nil)); got != 4 {
				t.Errorf("during the upgrade a query sees %d", got)
			}
		})
		if _, rej := w.finish(up.ID); rej != nil {
			t.Fatal(rej)
		}
		w.finish(inc.ID)
		if got := le32(w.mustQuery(a, "get", nil)); got != 7 {
			t.Errorf("after the upgrade: %d", got)
		}
		// One that traps after a long time leaves nothing.
		trap := newModule()
		trap.export("canister_post_upgrade", count(0), spin(i32(4000)), unreachable())
		up = install(a, upgradeMode, trap)
		w.round(up)
		until(up, nil)
		if _, rej := w.finish(up.ID); rej == nil || rej.Error != "IC0502" {
			t.Errorf("%v", rej)
		}
		if got := le32(w.mustQuery(a, "get", nil)); got != 7 {
			t.Errorf("after an upgrade that trapped: %d", got)
		}
		c := w.x.canisters[a]
		if sum := c.Cycles.Add(spent(c)); sum.Sub(before).Cmp(Cycles{}) != 0 || before.Sub(sum).Cmp(Cycles{}) != 0 {
			t.Errorf("%s cycles and %s consumed, from %s", c.Cycles, spent(c), before)
		}
	}, sliced)
}

// TestCallsWhileAMessageStandsStill sends management calls to a canister in the middle of a message.
func TestCallsWhileAMessageStandsStill(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		a := w.install(spinner())
		c := func() *canister { return w.x.canisters[a] }
		start := c().Cycles.Add(spent(c()))
		long := w.message(alice, a, "spin", spinArg(8_000))
		w.round(long)
		call := func(method string, arg any) Ingress {
			return w.message(alice, principal.Management, method, candid.MustMarshal(arg))
		}
		seconds := candid.NatFromUint64(77)
		id := management.CanisterID{CanisterID: a}
		waits := []Ingress{
			call("update_settings", management.UpdateSettingsArgs{CanisterID: a, Settings: management.Settings{FreezingThreshold: &seconds}}),
			call("upload_chunk", management.UploadChunkArgs{CanisterID: a, Chunk: []byte("chunk")}),
			call("install_code", installArgs(a, upgradeMode, spinner().bytes(), nil)),
			call("uninstall_code", id),
		}
		const amount = 123_456_789
		now := []Ingress{call("canister_status", id), call("stop_canister", id), call("start_canister", id),
			call("provisional_top_up_canister", management.ProvisionalTopUpArgs{CanisterID: a, Amount: candid.NatFromUint64(amount)})}
		w.round(append(waits, now...)...)
		for i, m := range append(waits, now...) {
			s, _ := w.x.IngressStatus(m.ID)
			if want := i >= len(waits); s.State.terminal() != want {
				t.Errorf("%s is %s", m.Method, s.State)
			}
		}
		if c().Debt.IsZero() || c().run == nil {
			t.Error("the messages were not paid for later")
		}
		order := map[uint64]string{}
		if reply, rej := w.finish(long.ID); rej != nil || le32(reply) != 1 {
			t.Errorf("%v %v", reply, rej)
		}
		for _, m := range waits {
			if _, rej := w.finish(m.ID); rej != nil {
				t.Errorf("%s: %v", m.Method, rej)
			}
			order[w.x.history.entries[m.ID].Number] = m.Method
		}
		var got []string
		for _, k := range sortedKeys(order) {
			got = append(got, order[k])
		}
		if s := strings.Join(got, " "); s != "update_settings upload_chunk install_code uninstall_code" {
			t.Errorf("they were answered in the order %s", s)
		}
		if c().hasCode() || c().Settings.Freezing != 77 {
			t.Error("a call had no effect")
		}
		if sum, want := c().Cycles.Add(spent(c())), start.Add(CyclesOf(amount)); sum != want {
			t.Errorf("%s cycles and %s consumed make %s, want %s", c().Cycles, spent(c()), sum, want)
		}
	}, sliced)
}

// TestLongEntryPoints runs heartbeats, timers, replicated queries, callbacks and cleanups over several rounds.
func TestLongEntryPoints(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		callee := w.install(counter())
		m := newModule()
		size := m.host("msg_arg_data_size")
		onReply := m.callback(spin(i32(3000)), count(0), m.host("msg_arg_data_copy", i32(1024), i32(0), size), m.reply(i32(1024), size))
		trapping := m.callback(count(4), spin(i32(3000)), unreachable())
		cleanup := m.callback(spin(i32(3000)), count(8))
		m.update("reply", m.call(callee.Bytes(), "inc", onReply, onReply))
		m.update("clean", m.call(callee.Bytes(), "inc", trapping, trapping, m.host("call_on_cleanup", cleanup, i32(0))))
		m.update("timer", drop(m.host("global_timer_set", i64(1))), m.replyText("ok"))
		m.export("canister_global_timer", spin(i32(3000)), count(12))
		m.query("slow query", spin(i32(3000)), count(16), m.reply(i32(16), i32(4)))
		m.query("get", m.reply(i32(0), i32(20)))
		a := w.install(m)
		before := w.x.canisters[a].Cycles.Add(spent(w.x.canisters[a]))
		if got := le32(w.mustUpdate(a, "reply", nil)); got != 1 {
			t.Errorf("the callee counts %d", got)
		}
		w.wantReject("IC0502", a, "clean", nil)
		w.mustUpdate(a, "timer", nil)
		if got := le32(w.mustUpdate(a, "slow query", nil)); got != 1 {
			t.Errorf("the query counts %d", got)
		}
		for range 5 {
			w.round()
		}
		got := w.mustQuery(a, "get", nil)
		for i, want := range []uint32{1, 0, 1, 1, 0} {
			if n := le32(got[4*i:]); n != want {
				t.Errorf("counter %d is %d, want %d", i, n, want)
			}
		}
		c := w.x.canisters[a]
		if sum := c.Cycles.Add(spent(c)); sum != before {
			t.Errorf("%s cycles, there were %s", sum, before)
		}
		if len(c.contexts)+len(c.callbacks) != 0 || c.run != nil {
			t.Errorf("%d contexts and %d callbacks are left", len(c.contexts), len(c.callbacks))
		}
		beat := newModule()
		beat.export("canister_heartbeat", spin(i32(3000)), count(0))
		beat.query("get", beat.reply(i32(0), i32(4)))
		b := w.install(beat)
		for range 12 {
			w.round()
		}
		if n := le32(w.mustQuery(b, "get", nil)); n < 2 || n > 6 {
			t.Errorf("a heartbeat that takes several rounds was executed %d times in 12", n)
		}
	}, sliced)
}

// TestLongMessageReachesItsLimit lets a message use all that it may, in slices.
func TestLongMessageReachesItsLimit(t *testing.T) {
	scenario(t, func(w *world) {
		a := w.install(spinner())
		w.wantReject("IC0522", a, "spin", spinArg(6_000))
		if got := le32(w.mustQuery(a, "get", nil)); got != 0 {
			w.t.Errorf("it left %d", got)
		}
	}, sliced, func(c *Config) { c.MessageInstructions = 5_000_000 })
}

// A message that stands still while members come sees the subnet as it was when it began, on a replica that restarts too; prices are the new ones.
func TestMembersChangeDuringALongMessage(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		m := newModule()
		size := m.host("subnet_self_node_count")
		m.update("count", store32(i32(0), size), spin(i32(6_000)), store32(i32(4), size), m.reply(i32(0), i32(8)))
		w.nodes = 4
		a := w.install(m)
		before := w.x.prices().creation()
		call := w.message(alice, a, "count", nil)
		w.round(call)
		if w.x.canisters[a].run == nil {
			t.Fatal("the message does not stand still")
		}
		w.nodes = 5
		reply, rej := w.finish(call.ID)
		if rej != nil || le32(reply) != 4 || le32(reply[4:]) != 4 {
			t.Errorf("it counted %v, %v", reply, rej)
		}
		if now := w.x.prices().creation(); now == before || now != (prices{5}).creation() {
			t.Errorf("creation costs %v, it cost %v", now, before)
		}
	}, sliced)
}

// TestLongMessageBehindABatch lets a long message begin behind short ones of the same canister.
func TestLongMessageBehindABatch(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		a := w.install(spinner())
		var block []Ingress
		for range 3 {
			block = append(block, w.message(alice, a, "inc", nil))
		}
		block = append(block, w.message(alice, a, "spin", spinArg(5_000)), w.message(alice, a, "inc", nil))
		w.round(block...)
		if got := le32(w.mustQuery(a, "get", nil)); got != 3 || w.x.canisters[a].run == nil {
			t.Errorf("%d messages are done, want the three before the long one", got)
		}
		for i, m := range block {
			reply, rej := w.finish(m.ID)
			if rej != nil || le32(reply) != uint32(i+1) {
				t.Errorf("message %d: %v %v", i, reply, rej)
			}
		}
	}, sliced)
}

// TestCloseLeavesNothing closes executors in the middle of messages and installations.
func TestCloseLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	w := newWorld(t, sliced)
	a, b := w.install(spinner()), w.install(slow(1, 4000, 1))
	w.round(w.message(alice, a, "spin", spinArg(5_000)),
		w.message(alice, principal.Management, "install_code", candid.MustMarshal(installArgs(b, upgradeMode, slow(1, 1, 1).bytes(), nil))))
	w.round()
	if w.x.paused != 2 {
		t.Fatalf("%d jobs stand still, want 2", w.x.paused)
	}
	w.x.Close()
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, %d before", n, before)
	}
	w.open()
	for range 20 {
		w.round()
	}
	if got := le32(w.mustQuery(a, "get", nil)); got != 1 || w.x.paused != 0 {
		t.Errorf("after the restart the canister counts %d, and %d jobs stand still", got, w.x.paused)
	}
}
