package execution

import (
	"encoding/binary"
	"math/rand"
	"strings"
	"testing"

	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/kv"
	"fusion/replica/management"
)

func le32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }

// counter counts in the heap and, at the same time, in stable memory.
func counter() *module {
	m := newModule()
	m.export("canister_init", drop(m.host("stable64_grow", i64(1))))
	m.update("inc",
		store32(i32(0), add32(load32(i32(0)), i32(1))),
		m.host("stable64_write", i64(0), i64(0), i64(4)),
		m.reply(i32(0), i32(4)))
	m.query("get", m.reply(i32(0), i32(4)))
	m.query("get_stable", m.host("stable64_read", i64(512), i64(0), i64(4)), m.reply(i32(512), i32(4)))
	m.update("echo", m.echo())
	m.query("qecho", m.echo())
	m.query("dirty_query", store32(i32(0), i32(99)), m.reply(i32(0), i32(4)))
	return m
}

func TestCounter(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		id := w.install(counter())
		for n := uint32(1); n <= 5; n++ {
			if got := le32(w.mustUpdate(id, "inc", nil)); got != n {
				t.Fatalf("inc gives %d, want %d", got, n)
			}
			for _, method := range []string{"get", "get_stable"} {
				if got := le32(w.mustQuery(id, method, nil)); got != n {
					t.Fatalf("%s gives %d, want %d", method, got, n)
				}
			}
		}
		if got := string(w.mustUpdate(id, "echo", []byte("hello"))); got != "hello" {
			t.Errorf("echo: %q", got)
		}
		// Changes of a query are dropped, replicated or not.
		if got := le32(w.mustUpdate(id, "dirty_query", nil)); got != 99 {
			t.Errorf("dirty_query: %d", got)
		}
		w.mustQuery(id, "dirty_query", nil)
		if got := le32(w.mustQuery(id, "get", nil)); got != 5 {
			t.Errorf("after dirty queries: %d, want 5", got)
		}
		w.wantReject("IC0536", id, "nothing", nil)
		if _, rej := w.query(id, "inc", nil); rej == nil || rej.Error != "IC0536" {
			t.Errorf("an update as a query: %v", rej)
		}
		w.wantReject("IC0301", principal.FromUint64(999), "inc", nil)
		if rej := w.wantReject("IC0537", w.create(), "inc", nil); !strings.Contains(rej.Message, "inc") {
			t.Errorf("the rejection does not name the method: %v", rej)
		}
		s := w.status(id)
		if s.Status.Running == nil || s.ModuleHash == nil || len(s.Settings.Controllers) != 1 || s.Settings.Controllers[0] != alice {
			t.Errorf("status: %+v", s)
		}
		if n, _ := s.MemoryMetrics.StableMemorySize.Uint64(); n != 65536 {
			t.Errorf("stable memory: %d bytes", n)
		}
	})
}

func TestTrapRollsBackEverything(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		other := w.install(counter())
		m := newModule()
		m.export("canister_init", drop(m.host("stable64_grow", i64(1))), store32(i32(0), i32(7)),
			m.host("stable64_write", i64(0), i64(0), i64(4)), m.host("certified_data_set", m.blob("old")))
		ignore := m.callback()
		effects := cat(store32(i32(0), i32(8)), m.host("stable64_write", i64(0), i64(0), i64(4)), drop(m.host("stable64_grow", i64(3))),
			drop(growMemory(2)), m.host("certified_data_set", m.blob("new")), drop(m.host("global_timer_set", i64(1))),
			m.call(other.Bytes(), "inc", ignore, ignore, m.host("call_cycles_add", i64(1_000_000_000))),
			m.host("msg_reply_data_append", m.blob("never")), m.host("msg_reply"))
		m.update("unreachable", effects, unreachable())
		m.update("trap", effects, m.host("trap", m.blob("on purpose")))
		m.update("out of bounds", effects, drop(load32(i32(-8))))
		m.update("violation", effects, m.host("accept_message"))
		m.update("read", m.host("stable64_read", i64(512), i64(0), i64(4)), m.reply(i32(0), i32(4)))
		m.query("stable", m.host("stable64_read", i64(512), i64(0), i64(4)),
			store32(i32(516), m.host("stable_size")), store32(i32(520), cat([]byte{0x3f, 0})), m.reply(i32(512), i32(12)))
		id := w.install(m)
		before := w.mustQuery(id, "stable", nil)
		for _, c := range [][2]string{{"unreachable", "IC0502"}, {"trap", "IC0503"}, {"out of bounds", "IC0502"}, {"violation", "IC0504"}} {
			rej := w.wantReject(c[1], id, c[0], nil)
			if !strings.Contains(rej.Message, id.String()) || rej.Code != CanisterError {
				t.Errorf("%s: %v", c[0], rej)
			}
			if c[0] == "trap" && !strings.Contains(rej.Message, "on purpose") {
				t.Errorf("trap message: %v", rej)
			}
			if got := le32(w.mustUpdate(id, "read", nil)); got != 7 {
				t.Errorf("%s: heap has %d, want 7", c[0], got)
			}
			if got := w.mustQuery(id, "stable", nil); string(got) != string(before) {
				t.Errorf("%s: stable memory and sizes are %x, were %x", c[0], got, before)
			}
		}
		if got := le32(w.mustQuery(other, "get", nil)); got != 0 {
			t.Errorf("a call of a trapped message was made %d times", got)
		}
		c := w.x.canisters[id]
		if string(c.Certified) != "old" || c.Timer != 0 || len(c.callbacks)+len(c.contexts) != 0 {
			t.Errorf("certified %q, timer %d, %d callbacks, %d contexts", c.Certified, c.Timer, len(c.callbacks), len(c.contexts))
		}
	})
}

func TestEndlessLoopStops(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		m := newModule()
		m.update("loop", store32(i32(0), i32(1)), forever())
		m.update("host loop", forever(drop(m.host("time"))))
		m.query("qloop", forever())
		m.query("get", m.reply(i32(0), i32(4)))
		id := w.install(m)
		w.wantReject("IC0522", id, "loop", nil)
		w.wantReject("IC0522", id, "host loop", nil)
		if _, rej := w.query(id, "qloop", nil); rej == nil || rej.Error != "IC0522" {
			t.Errorf("query: %v", rej)
		}
		if got := le32(w.mustQuery(id, "get", nil)); got != 0 {
			t.Errorf("the loop left %d in the heap", got)
		}
	}, func(c *Config) { c.MessageInstructions, c.QueryInstructions = 10_000_000, 10_000_000 })
}

func TestMemoryWithoutEnd(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		m := newModule()
		// Growing is refused at some point, which the loop does not look at; the limit of instructions ends it.
		m.update("heap", forever(drop(growMemory(16))))
		m.update("stable", forever(drop(m.host("stable64_grow", i64(1<<20)))))
		m.update("ok", m.replyText("ok"))
		m.update("limit", store32(i32(0), growMemory(1000)), m.reply(i32(0), i32(4)))
		id := w.install(m)
		if got := le32(w.mustUpdate(id, "limit", nil)); got != 1<<32-1 {
			t.Errorf("growing beyond MaxHeapBytes gives %d", got)
		}
		w.wantReject("IC0522", id, "heap", nil)
		w.wantReject("IC0522", id, "stable", nil)
		if got := string(w.mustUpdate(id, "ok", nil)); got != "ok" {
			t.Errorf("%q", got)
		}
		if n, _ := w.status(id).MemorySize.Uint64(); n > 1<<20 {
			t.Errorf("the canister holds %d bytes", n)
		}
	}, func(c *Config) { c.MessageInstructions, c.MaxHeapBytes = 10_000_000, 16<<20 })
}

// TestStableMemoryWrites bounds what one message can write.
func TestStableMemoryWrites(t *testing.T) {
	base := newStable()
	var tx stableTx
	tx.begin(&base, map[uint64]*page{}, 1<<30, func(uint64) *page { return nil })
	shared := new(page)
	for i := range uint64(maxStableDirty) {
		tx.pages[i] = shared
	}
	if !tx.write(5*pageSize-1, []byte("ab")) {
		t.Error("a page that is written already cannot be written again")
	}
	if tx.write(maxStableDirty*pageSize-1, []byte("ab")) {
		t.Error("there is no bound")
	}
}

// TestStableCache reads and writes more pages than the cache holds, against a plain copy.
func TestStableCache(t *testing.T) {
	store, layer := kv.NewMem(), uint64(1)
	load := func(i uint64) *page {
		b, ok := store.Get(layerKey(keyStable, layer, be64(i)...))
		if !ok {
			return nil
		}
		p := page(b)
		return &p
	}
	s := newStable()
	rng := rand.New(rand.NewSource(1))
	const size = 3 * stableCacheLimit
	model := make([]byte, size)
	for range 4 {
		s.nextRound()
		var tx stableTx
		batch := map[uint64]*page{}
		for range 10 {
			tx.begin(&s, batch, size*pageSize/wasmPage, load)
			for range 2000 {
				i := uint64(rng.Intn(size))
				var got [1]byte
				if tx.read(got[:], i*pageSize+7); got[0] != model[i] {
					t.Fatalf("page %d has %d, want %d", i, got[0], model[i])
				}
				if rng.Intn(3) == 0 {
					model[i] = byte(rng.Intn(256))
					tx.write(i*pageSize+7, model[i:i+1])
				}
			}
			tx.join()
		}
		s.put(batch)
		s.flush(store, layer, false)
	}
	if n := len(s.pages); n > stableCacheLimit+len(s.flushed)+1 {
		t.Errorf("%d pages are cached", n)
	}
}

func TestWasmMemoryLimit(t *testing.T) {
	scenario(t, func(w *world) {
		m := newModule()
		m.update("grow", drop(growMemory(8)), m.replyText("grown"))
		id := w.install(m)
		limit := candid.NatFromUint64(8 * wasmPage)
		w.mustManage("update_settings", management.UpdateSettingsArgs{CanisterID: id, Settings: management.Settings{WasmMemoryLimit: &limit}})
		w.wantReject("IC0539", id, "grow", nil)
	})
}

// caller makes calls to callee and answers with what came back.
func caller(callee principal.Principal) *module {
	m := newModule()
	size := m.host("msg_arg_data_size")
	onReply := m.callback(m.host("msg_arg_data_copy", i32(1024), i32(0), size), m.host("msg_reply_data_append", m.blob("replied ")),
		m.reply(i32(1024), size))
	rejectSize := m.host("msg_reject_msg_size")
	onReject := m.callback(m.host("msg_reject_msg_copy", i32(1024), i32(0), rejectSize), store32(i32(512), m.host("msg_reject_code")),
		m.host("msg_reply_data_append", i32(512), i32(1)), m.reply(i32(1024), rejectSize))
	count := func(at int) code_ { return store32(i32(at), add32(load32(i32(at)), i32(1))) }
	trapping := m.callback(count(0), unreachable())
	cleanup := m.callback(count(4))
	trappingCleanup := m.callback(count(8), unreachable())
	ignore := m.callback()

	m.update("echo", m.call(callee.Bytes(), "echo", onReply, onReject, m.host("call_data_append", m.blob("data"))))
	m.update("query", m.call(callee.Bytes(), "qecho", onReply, onReject, m.host("call_data_append", m.blob("data"))))
	m.update("missing", m.call(callee.Bytes(), "missing", onReply, onReject))
	m.update("nowhere", m.call([]byte("\x00\x00\x00\x00\x00\x00\xff\xff\x01\x01"), "x", onReply, onReject))
	m.update("cleanup", m.call(callee.Bytes(), "echo", trapping, trapping, m.host("call_on_cleanup", cleanup, i32(0))))
	m.update("cleanup traps", m.call(callee.Bytes(), "echo", trapping, trapping, m.host("call_on_cleanup", trappingCleanup, i32(0))))
	m.update("no reply", m.call(callee.Bytes(), "echo", ignore, ignore))
	m.update("reply first", m.replyText("first"), m.call(callee.Bytes(), "inc", ignore, ignore))
	m.update("silent")
	m.query("counts", m.reply(i32(0), i32(12)))
	many := code_{}
	for range 20 {
		many = append(many, m.call(callee.Bytes(), "inc", ignore, ignore)...)
	}
	m.update("many", many, m.replyText("many"))
	m.update("flood", store32(i32(16), i32(0)), // the result of call_perform when the queue is full goes to 16
		wasmLoop(1000, 20, cat(m.host("call_new", m.blob(string(callee.Bytes())), m.blob("inc"), ignore, i32(0), ignore, i32(0)),
			store32(i32(24), m.host("call_perform")), when(load32(i32(24)), store32(i32(16), add32(load32(i32(16)), i32(1)))))),
		m.reply(i32(16), i32(4)))
	return m
}

// wasmLoop repeats body n times, counting at an address.
func wasmLoop(n, at int, body code_) code_ {
	return cat(store32(i32(at), i32(0)),
		[]byte{0x03, 0x40}, body, store32(i32(at), add32(load32(i32(at)), i32(1))),
		load32(i32(at)), i32(n), []byte{0x49}, []byte{0x0d, 0}, []byte{0x0b}) // i32.lt_u, br_if 0, end
}

func TestInterCanisterCalls(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		callee := w.install(counter())
		id := w.install(caller(callee))
		for _, c := range [][2]string{{"echo", "replied data"}, {"query", "replied data"}, {"reply first", "first"}, {"many", "many"}} {
			if got := string(w.mustUpdate(id, c[0], nil)); got != c[1] {
				t.Errorf("%s: %q, want %q", c[0], got, c[1])
			}
			if w.last.Messages == 0 {
				t.Errorf("%s: not in one round", c[0])
			}
		}
		if got := w.mustUpdate(id, "missing", nil); got[0] != CanisterError || !strings.Contains(string(got), "missing") {
			t.Errorf("missing: %q", got)
		}
		if got := w.mustUpdate(id, "nowhere", nil); got[0] != DestinationInvalid {
			t.Errorf("nowhere: %q", got)
		}
		rej := w.wantReject("IC0502", id, "cleanup", nil)
		if !strings.Contains(rej.Message, id.String()) {
			t.Errorf("%v", rej)
		}
		w.wantReject("IC0502", id, "cleanup traps", nil)
		counts := w.mustQuery(id, "counts", nil)
		if le32(counts[0:]) != 0 || le32(counts[4:]) != 1 || le32(counts[8:]) != 0 {
			t.Errorf("counts of trapped callback, cleanup, trapped cleanup: %x", counts)
		}
		w.wantReject("IC0506", id, "no reply", nil)
		w.wantReject("IC0506", id, "silent", nil)
		if got := le32(w.mustQuery(callee, "get", nil)); got != 21 {
			t.Errorf("the callee was called %d times, want 21", got)
		}
		if c := w.x.canisters[id]; len(c.contexts)+len(c.callbacks)+len(c.inFlight) != 0 {
			t.Errorf("left over: %d contexts, %d callbacks", len(c.contexts), len(c.callbacks))
		}
	})
}

func TestQueueFull(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		callee := w.install(counter())
		id := w.install(caller(callee))
		if got := le32(w.mustUpdate(id, "flood", nil)); got != 1000-maxQueue {
			t.Errorf("%d of 1000 calls were refused, want %d", got, 1000-maxQueue)
		}
		for len(w.x.canisters[id].callbacks) > 0 {
			w.round()
		}
		if got := le32(w.mustQuery(callee, "get", nil)); got != maxQueue {
			t.Errorf("the callee was called %d times, want %d", got, maxQueue)
		}
	})
}

func TestReplayedIngress(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		id := w.install(counter())
		m := w.message(alice, id, "inc", nil)
		w.round(m, m)
		w.round(m)
		if s, ok := LookupIngress(w.store, m.ID); !ok || s.State != Replied || s.Sender != alice || s.Receiver != id || le32(s.Reply) != 1 {
			t.Errorf("status in the store: %+v %v", s, ok)
		}
		if _, ok := LookupIngress(w.store, [32]byte{1}); ok {
			t.Error("a message that nobody sent has a status")
		}
		if got := le32(w.mustQuery(id, "get", nil)); got != 1 {
			t.Fatalf("counter is %d after a replay, want 1", got)
		}
		// Until it has expired the id is known; afterwards the expiry refuses it.
		for w.now < m.ExpiryNs+retentionNs+2*second {
			w.now += 60 * second
			w.round(m)
		}
		if w.x.KnowsIngress(m.ID) {
			t.Error("the status is kept for ever")
		}
		w.round(m)
		if got := le32(w.mustQuery(id, "get", nil)); got != 1 {
			t.Fatalf("counter is %d after a late replay, want 1", got)
		}
	})
}

func TestUpgrade(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		id := w.install(counter())
		w.mustUpdate(id, "inc", nil)
		w.mustUpdate(id, "inc", nil)
		v2 := counter().custom("icp:public candid:service", "service : {}").custom("icp:private secret", "s")
		v2.exports = v2.exports[1:] // no canister_init
		v2.export("canister_post_upgrade", v2.host("stable64_read", i64(0), i64(0), i64(4)),
			store32(i32(0), add32(load32(i32(0)), i32(100))))
		v2.export("canister_pre_upgrade", unreachable())
		w.mustManage("install_code", installArgs(id, management.ModeUpgrade(nil), v2.bytes(), nil))
		if got := le32(w.mustQuery(id, "get", nil)); got != 102 {
			t.Errorf("after the upgrade: %d, want 102", got)
		}
		if got, public, ok := w.x.Metadata(id, "candid:service"); string(got) != "service : {}" || !public || !ok {
			t.Errorf("metadata: %q %v %v", got, public, ok)
		}
		// pre_upgrade traps: nothing happens, unless it is skipped.
		if _, rej := w.manage("install_code", installArgs(id, management.ModeUpgrade(nil), counter().bytes(), nil)); rej == nil || rej.Error != "IC0502" {
			t.Errorf("upgrade with a trapping pre_upgrade: %v", rej)
		}
		if got := le32(w.mustQuery(id, "get", nil)); got != 102 {
			t.Errorf("after the failed upgrade: %d, want 102", got)
		}
		skip := true
		w.mustManage("install_code", installArgs(id, management.ModeUpgrade(&management.UpgradeOptions{SkipPreUpgrade: &skip}), counter().bytes(), nil))
		if heap, stable := le32(w.mustQuery(id, "get", nil)), le32(w.mustQuery(id, "get_stable", nil)); heap != 0 || stable != 2 {
			t.Errorf("after skipping pre_upgrade: heap %d, stable %d, want 0 and 2", heap, stable)
		}
		// install refuses, reinstall forgets.
		if _, rej := w.manage("install_code", installArgs(id, management.ModeInstall(), counter().bytes(), nil)); rej == nil || rej.Error != "IC0514" {
			t.Errorf("install over code: %v", rej)
		}
		w.mustManage("install_code", installArgs(id, management.ModeReinstall(), counter().bytes(), nil))
		if got := le32(w.mustQuery(id, "get_stable", nil)); got != 0 {
			t.Errorf("stable memory after reinstall: %d", got)
		}
		w.mustManage("uninstall_code", management.UninstallCodeArgs{CanisterID: id})
		w.wantReject("IC0537", id, "inc", nil)
		if n, _ := w.status(id).MemoryMetrics.StableMemorySize.Uint64(); n != 0 {
			t.Errorf("stable memory after uninstall: %d bytes", n)
		}
	})
}

func TestBadModules(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		id := w.create()
		for _, c := range []struct {
			name   string
			module []byte
		}{{"empty", nil}, {"noise", []byte("not wasm at all")}, {"truncated", counter().bytes()[:100]},
			{"entry point", newModule().export("canister_surprise").bytes()}, {"truncated gzip", []byte{0x1f, 0x8b, 8, 0}}} {
			if _, rej := w.manage("install_code", installArgs(id, management.ModeInstall(), c.module, nil)); rej == nil || rej.Error != "IC0505" {
				t.Errorf("%s: %v", c.name, rej)
			}
		}
		trapping := newModule()
		trapping.export("canister_init", unreachable())
		if _, rej := w.manage("install_code", installArgs(id, management.ModeInstall(), trapping.bytes(), nil)); rej == nil || rej.Error != "IC0502" {
			t.Errorf("trapping init: %v", rej)
		}
		bad := Ingress{Sender: alice, Method: "install_code", Arg: candid.MustMarshal(installArgs(id, management.ModeInstall(), []byte("noise"), nil))}
		if rej := w.x.InspectMessage(t.Context(), bad); rej == nil || rej.Error != "IC0505" {
			t.Errorf("inspection of a bad module: %v", rej)
		}
		if w.status(id).ModuleHash != nil {
			t.Error("a failed installation left a module")
		}
	})
}
