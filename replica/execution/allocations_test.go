package execution

import (
	"fmt"
	"math/big"
	"slices"
	"testing"

	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/management"
)

func (w *world) set(id principal.Principal, s management.Settings) *Reject {
	w.t.Helper()
	_, rej := w.manage("update_settings", management.UpdateSettingsArgs{CanisterID: id, Settings: s})
	return rej
}

// TestIdleCharges checks to the cycle what memory and compute allocation cost, on two sizes of subnets.
func TestIdleCharges(t *testing.T) {
	for _, nodes := range []int64{13, 34} {
		t.Run(fmt.Sprint(nodes, " nodes"), func(t *testing.T) {
			scenario(t, func(w *world) {
				t := w.t
				id := w.install(counter())
				if rej := w.set(id, management.Settings{FreezingThreshold: nat(100), ComputeAllocation: nat(7), MemoryAllocation: nat(3 << 30)}); rej != nil {
					t.Fatal(rej)
				}
				price := func(seconds, each, divisor int64) Cycles {
					n := new(big.Int).Mul(big.NewInt(seconds), big.NewInt(each))
					n.Mul(n, big.NewInt(nodes)).Div(n, big.NewInt(13*divisor))
					c, _ := CyclesFromBig(n)
					return c
				}
				perDay := price(86_400, 3*127_000, 1).Add(price(86_400, 7*10_000_000, 1))
				if got := w.status(id).IdleCyclesBurnedPerDay; got.String() != perDay.String() {
					t.Errorf("it burns %s a day, want %s", got, perDay)
				}
				c := func() *canister { return w.canister(id) }
				for _, seconds := range []uint64{30, 60, 3601, 86_400 * 2} {
					before, paid, at := c().Cycles, append(slices.Clone(c().Consumed), make([]Cycles, numUses)...), c().ChargedNs
					w.now += (seconds - 1) * second
					w.round()
					late := int64(w.now-at) / int64(second)
					if late < 60 {
						if c().Cycles != before {
							t.Errorf("after %d seconds: %s cycles, want %s", late, c().Cycles, before)
						}
						continue
					}
					memory, compute := price(late, 3*127_000, 1), price(late, 7*10_000_000, 1)
					if got := before.Sub(c().Cycles); got != memory.Add(compute) {
						t.Errorf("%d seconds cost %s, want %s", late, got, memory.Add(compute))
					}
					use := func(what use) Cycles { return c().Consumed[what].Sub(paid[what]) }
					if use(forMemory) != memory || use(forCompute) != compute {
						t.Errorf("%s for memory and %s for compute, want %s and %s", use(forMemory), use(forCompute), memory, compute)
					}
				}
			}, func(c *Config) { c.NodeCount = int(nodes) })
		})
	}
}

// TestStarvation lets a canister that has somebody waiting run out of cycles.
func TestStarvation(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		m := newModule()
		m.update("wait", m.host("certified_data_set", m.blob("data")), m.call(nil, "raw_rand", m.callback(m.replyText("awake")), m.callback(), emptyArg(m)))
		m.update("burn", m.host("cycles_burn128", i64(-1), i64(-1), i32(0)), m.replyText("ok"))
		m.update("ping", m.replyText("pong"))
		id := w.install(m)
		c := func() *canister { return w.canister(id) }
		w.mustManage("take_canister_snapshot", management.TakeSnapshotArgs{CanisterID: id})
		if rej := w.set(id, management.Settings{FreezingThreshold: nat(3600), ComputeAllocation: nat(50), MemoryAllocation: nat(1 << 30)}); rej != nil {
			t.Fatal(rej)
		}
		waiting := w.message(alice, id, "wait", nil)
		w.round(waiting)
		w.mustUpdate(id, "burn", nil)
		info := func() (r management.CanisterInfoResult) {
			v := c().snapshot(w.x)
			w.decode(v.infoReply(nat64(20)), &r)
			return r
		}
		before, version, sum := info(), c().Version, c().Cycles.Add(c().spent())
		w.now += 3000 * second
		w.round()
		if !c().hasCode() || c().Cycles.IsZero() {
			t.Fatal("the canister did not live until its freezing threshold")
		}
		w.now += 700 * second
		w.round()
		if c().hasCode() || !c().Cycles.IsZero() || c().Settings.Compute|c().Settings.Memory != 0 || len(c().snapshots) != 0 || len(c().Certified) != 0 {
			t.Fatalf("the canister has %s cycles, code: %v, settings %+v, %d snapshots", c().Cycles, c().hasCode(), c().Settings, len(c().snapshots))
		}
		if c().Version != version+1 {
			t.Errorf("version %d, want %d", c().Version, version+1)
		}
		if after := info(); len(after.RecentChanges) != 0 || after.TotalNumChanges != before.TotalNumChanges || after.ModuleHash != nil {
			t.Errorf("the history is %+v, was %+v", after, before)
		}
		if got := c().Cycles.Add(c().spent()); got != sum {
			t.Errorf("%s cycles in all, there were %s", got, sum)
		}
		if _, rej := w.finish(waiting.ID); rej == nil || rej.Code != CanisterReject {
			t.Errorf("who waited got %v", rej)
		}
		w.wantReject("IC0207", id, "ping", nil) // nobody paid for it
		// With cycles it can be used again; the late answer finds nobody.
		w.mustManage("provisional_top_up_canister", management.ProvisionalTopUpArgs{CanisterID: id, Amount: candid.NatFromUint64(provisionalAmount)})
		w.mustManage("install_code", installArgs(id, installMode, m.bytes(), nil))
		w.answer = []SystemResponse{random(0)}
		w.round()
		w.mustUpdate(id, "ping", nil)
		if n := len(c().contexts) + len(c().callbacks); n != 0 {
			t.Errorf("%d contexts and callbacks are left", n)
		}
	})
}

func nat64(n uint64) *uint64 { return &n }

func TestComputeAllocations(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		a, b, c := w.create(), w.create(), w.create()
		for _, id := range []principal.Principal{a, b, c} {
			w.set(id, management.Settings{FreezingThreshold: nat(100)})
		}
		percent := func(id principal.Principal, n uint64, code string) {
			t.Helper()
			rej := w.set(id, management.Settings{ComputeAllocation: nat(n)})
			if got := w.canister(id).Settings.Compute; rej == nil && (code != "" || got != n) || rej != nil && rej.Error != code {
				t.Errorf("%d percent: %v, want %q", n, rej, code)
			}
		}
		percent(a, 100, "")
		percent(b, 100, "")
		percent(c, 100, "IC0101")
		percent(c, 99, "")
		percent(c, 100, "IC0101")
		percent(a, 99, "")
		percent(c, 100, "")
		percent(a, 101, "IC0408")
		if _, rej := w.manage("provisional_create_canister_with_cycles", management.ProvisionalCreateArgs{Settings: &management.Settings{ComputeAllocation: nat(1)}}); rej == nil ||
			rej.Error != "IC0101" {
			t.Errorf("%v", rej)
		}
		percent(a, 0, "")
		amount := candid.NatFromUint64(1_000_000_000)
		if _, rej := w.manage("provisional_create_canister_with_cycles", management.ProvisionalCreateArgs{Amount: &amount,
			Settings: &management.Settings{ComputeAllocation: nat(1)}}); rej == nil || rej.Error != "IC0530" {
			t.Errorf("%v", rej)
		}
	})
}

// grower grows what it is told to.
func grower() *module {
	m := newModule()
	arg := m.host("msg_arg_data_copy", i32(0), i32(0), i32(4))
	m.update("heap", arg, drop(code_(append(cat(load32(i32(0))), 0x40, 0))), m.replyText("ok"))
	m.update("stable", arg, store64(i32(8), m.host("stable64_grow", append(cat(load32(i32(0))), 0xad))), m.reply(i32(8), i32(8)))
	return m
}

func pages(n uint64) []byte { return candidLE(n)[:4] }

// TestMemoryIsShared fills a small subnet: nobody gets more than there is, and what is allocated is there for who has allocated it.
func TestMemoryIsShared(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		a, b := w.install(grower()), w.install(grower())
		if rej := w.set(a, management.Settings{MemoryAllocation: nat(65 << 20)}); rej == nil || rej.Error != "IC0101" {
			t.Errorf("%v", rej)
		}
		if rej := w.set(a, management.Settings{MemoryAllocation: nat(40 << 20)}); rej != nil {
			t.Fatal(rej)
		}
		if got := w.mustUpdate(b, "stable", pages(30<<4)); string(got) != string(candidLE(^uint64(0))) {
			t.Errorf("30 MiB of 24: %x", got)
		}
		w.wantReject("IC0507", b, "heap", pages(30<<4))
		if got := w.mustUpdate(b, "stable", pages(20<<4)); string(got) != string(candidLE(0)) {
			t.Errorf("20 MiB: %x", got)
		}
		w.mustUpdate(a, "heap", pages(35<<4))
		w.wantReject("IC0507", a, "heap", pages(15<<4))
		if sum := w.canister(a).allocated() + w.canister(b).allocated(); w.x.memoryUsed != sum || sum > 64<<20 {
			t.Errorf("%d bytes are used, %d are counted", sum, w.x.memoryUsed)
		}
		w.mustManage("uninstall_code", management.UninstallCodeArgs{CanisterID: b})
		w.mustUpdate(a, "heap", pages(15<<4))
	}, func(c *Config) { c.MemoryCapacity, c.MemoryThreshold = 64<<20, 64<<20 })
}

// TestReservedCycles grows memory on a subnet that is fuller than the threshold.
func TestReservedCycles(t *testing.T) {
	const capacity, threshold = 64 << 20, 16 << 20
	// upTo adds up the price of a byte, byte for byte in pages.
	upTo := func(used uint64) Cycles {
		over := big.NewInt(int64(max(used, threshold) - threshold))
		seconds := new(big.Int).Mul(over, big.NewInt(300_000_000))
		seconds.Div(seconds, big.NewInt(capacity-threshold))
		n := seconds.Mul(seconds, over)
		n.Mul(n, big.NewInt(127_000)).Div(n, big.NewInt(1<<30)).Div(n, big.NewInt(2))
		c, _ := CyclesFromBig(n)
		return c
	}
	scenario(t, func(w *world) {
		t := w.t
		a, b := w.install(grower()), w.install(grower())
		for _, id := range []principal.Principal{a, b} {
			if rej := w.set(id, management.Settings{ReservedCyclesLimit: nat(1 << 60)}); rej != nil {
				t.Fatal(rej)
			}
		}
		c := func() *canister { return w.canister(a) }
		w.mustUpdate(b, "heap", pages(14<<4))
		total := func() uint64 { return w.canister(a).allocated() + w.canister(b).allocated() }
		want := Cycles{}
		for _, method := range []string{"heap", "stable", "heap"} {
			before := total() + uint64(len(method)) + 4 // the message waits there when the round begins
			w.mustUpdate(a, method, pages(4<<4))
			want = want.Add(upTo(before + 4<<20).Sub(upTo(before)))
			if c().Reserved != want || want.IsZero() {
				t.Fatalf("%s: %s cycles are reserved, want %s", method, c().Reserved, want)
			}
		}
		if got := w.status(a).ReservedCycles; got.String() != want.String() {
			t.Errorf("the status says %s", got)
		}
		// They pay for memory, and nothing else takes them.
		balance := c().Cycles
		at := c().ChargedNs
		w.now += 1000 * second
		w.round()
		paid := w.x.prices().memory(c().allocated(), (w.now-at)/second)
		if c().Cycles != balance || c().Reserved != want.Sub(paid) || paid.IsZero() {
			t.Errorf("%s cycles and %s reserved, want %s and %s", c().Cycles, c().Reserved, balance, want.Sub(paid))
		}
		// The limit is for growth, by messages and by settings.
		if rej := w.set(a, management.Settings{ReservedCyclesLimit: nat(1)}); rej != nil {
			t.Fatal(rej)
		}
		w.wantReject("IC0534", a, "heap", pages(1))
		if rej := w.set(a, management.Settings{MemoryAllocation: nat(40 << 20)}); rej == nil || rej.Error != "IC0533" {
			t.Errorf("%v", rej)
		}
	}, func(c *Config) { c.MemoryCapacity, c.MemoryThreshold = capacity, threshold })
}

// TestMessageMemory lets canisters call a canister that does not answer until the subnet's memory for messages is taken.
func TestMessageMemory(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		m := newModule()
		many := func(more ...code_) code_ {
			var out code_
			for range 5 {
				out = append(out, cat(m.host("call_new", m.blob(""), m.blob("raw_rand"), m.callback(), m.ptr(0), m.callback(), m.ptr(0)), cat(more...), emptyArg(m),
					store32(i32(0), add32(load32(i32(0)), append(m.host("call_perform"), 0x45))))...) // i32.eqz
			}
			return out
		}
		m.update("many", store32(i32(0), i32(0)), many(), m.reply(i32(0), i32(4)))
		m.update("hurry", store32(i32(0), i32(0)), many(m.host("call_with_best_effort_response", i32(300))), m.reply(i32(0), i32(4)))
		a, b, c := w.install(m), w.install(m), w.install(m)
		calls := func(id principal.Principal, method string, want uint32) {
			t.Helper()
			if got := le32(w.mustUpdate(id, method, nil)); got != want {
				t.Errorf("%s: %d calls were made, want %d", method, got, want)
			}
		}
		calls(a, "many", 5) // 10 of 24 MiB
		calls(a, "many", 1) // 12: as much as is left
		calls(a, "many", 0)
		calls(b, "many", 5) // 22 of 24
		calls(b, "hurry", 0)
		calls(c, "many", 0)
		calls(c, "hurry", 5)
		if want := w.canister(a).messageMemory() + w.canister(b).messageMemory() + w.canister(c).messageMemory() + w.canister(principal.Management).messageMemory(); w.x.messagesUsed != want {
			t.Errorf("%d bytes are counted, want %d", w.x.messagesUsed, want)
		}
		for _, p := range w.x.PendingSystemCalls() {
			w.answer = append(w.answer, random(p.ID))
		}
		w.round()
		if w.x.messagesUsed != 0 {
			t.Errorf("%d bytes are left", w.x.messagesUsed)
		}
		calls(c, "many", 5)
	}, func(c *Config) { c.MessageMemory = 24 << 20 })
}
