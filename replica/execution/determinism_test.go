package execution

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"fusion/chainkey"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/kv"
	"fusion/replica/execution/wasm"
	"fusion/replica/management"
)

// randomMessages is how many TestRandomMessages sends; FUSION_MESSAGES sets another number.
func randomMessages(t *testing.T) int {
	if s := os.Getenv("FUSION_MESSAGES"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return 3000
}

// randomSeed is what TestRandomMessages draws from; FUSION_SEED sets another one.
func randomSeed(t *testing.T) int64 {
	if s := os.Getenv("FUSION_SEED"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return 7
}

// summed is a store that keeps a digest of its content, whatever the order of the writes was.
type summed struct {
	*kv.Mem
	sum [32]byte
}

func newSummed() *summed { return &summed{Mem: kv.NewMem()} }

func (s *summed) toggle(k, v []byte) {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(k))))
	h.Write(k)
	h.Write(v)
	for i, b := range h.Sum(nil) {
		s.sum[i] ^= b
	}
}

func (s *summed) Set(k, v []byte) {
	s.Delete(k)
	s.toggle(k, v)
	s.Mem.Set(k, v)
}

func (s *summed) Delete(k []byte) {
	if old, ok := s.Get(k); ok {
		s.toggle(k, old)
		s.Mem.Delete(k)
	}
}

// cyclesInAll adds up what canisters have, what they have consumed, and what is on its way.
func cyclesInAll(x *Executor) (sum Cycles) {
	add := func(n Cycles) { sum = sum.Add(n) }
	for _, c := range x.canisters {
		add(c.Cycles)
		add(c.Reserved)
		add(c.spent())
		for _, ctx := range c.contexts {
			add(ctx.Available)
		}
		for _, cb := range c.callbacks {
			add(cb.Prepaid)
		}
		for _, s := range c.Stops {
			add(s.Cycles)
		}
		for _, q := range []*fifo{&c.requests, &c.responses} {
			for _, m := range q.items[q.head:] {
				add(m.Cycles)
			}
		}
		sum = sum.Sub(c.Debt) // counted as consumed already
		if c.run != nil {     // it has been paid, and takes what it attaches when it ends
			add(c.run.Job.Prepaid)
		}
		for _, m := range c.parked {
			add(m.Cycles)
		}
	}
	for _, p := range x.pending {
		add(p.Cycles)
		add(p.Fee)
	}
	return sum
}

// mixed is a canister with a bit of everything, which calls the others. Each has a method for every way in which an execution can end.
func mixed(self principal.Principal, others []principal.Principal, variant int) *module {
	m := newModule()
	m.export("canister_init", drop(m.host("stable64_grow", i64(2))))
	m.export("canister_post_upgrade", count(60))
	if variant == 1 {
		m.export("canister_pre_upgrade", m.host("stable64_write", i64(64), i64(0), i64(64)))
		m.export("canister_heartbeat", count(56))
	}
	m.export("canister_on_low_wasm_memory", count(52))
	size := m.host("msg_arg_data_size")
	pass := m.callback(count(100), m.host("msg_arg_data_copy", i32(1024), i32(0), size), m.reply(i32(1024), size))
	rejected := m.callback(count(104), store32(i32(112), m.host("msg_reject_code")), m.host("msg_cycles_refunded128", i32(120)), m.replyText("rejected"))
	trapping := m.callback(count(116), unreachable())
	cleanup := m.callback(count(108))
	accept := m.host("msg_cycles_accept128", i64(0), i64(700), i32(136))
	pay := m.host("call_cycles_add128", i64(0), i64(1000))
	hurry := m.host("call_with_best_effort_response", i32(2))
	m.update("inc", count(0), accept, m.host("stable64_write", i64(70_000), i64(0), i64(4)), m.reply(i32(0), i32(4)))
	m.update("trap", count(0), accept, drop(growMemory(1)), unreachable())
	m.update("grow", drop(growMemory(1)), drop(m.host("stable64_grow", i64(1))), m.replyText("grown"))
	m.update("spread", wasmLoop(40, 20, cat(store32(wasmMul(load32(i32(20)), 4096), load32(i32(20))))), m.replyText("spread"))
	m.update("burn", wasmLoop(50_000, 20, nil), m.replyText("burnt"))
	key := store32(i32(160), m.host("cost_sign_with_ecdsa", m.blob("key"), i32(0), i32(176)))
	m.update("long", count(4), key, wasmLoop(400_000, 20, nil), accept, m.host("stable64_write", i64(8000), i64(0), i64(4)), m.call(others[0].Bytes(), "inc", pass, rejected, pay))
	m.update("long trap", count(4), wasmLoop(400_000, 20, nil), unreachable())
	m.update("certify", count(0), m.host("certified_data_set", i32(0), i32(4)), m.replyText("ok"))
	m.update("timer", drop(m.host("global_timer_set", addI64(m.host("time"), int64(3*second)))), m.replyText("ok"))
	m.update("print", m.host("debug_print", m.blob("printed")), m.replyText("ok"))
	m.update("silent", count(0), accept)
	m.update("reject", accept, m.host("msg_reject", m.blob("no")))
	m.update("burn cycles", m.host("cycles_burn128", i64(0), i64(1_000_000), i32(136)), m.replyText("ok"))
	m.update("burn all", m.host("cycles_burn128", i64(-1), i64(-1), i32(136)), m.replyText("ok"))
	m.query("get", accept, m.reply(i32(0), i32(256)))
	m.export("canister_global_timer", count(48), m.call(others[0].Bytes(), "inc", m.callback(count(44)), m.callback(count(40))))
	m.update("wait", accept, m.call(nil, "raw_rand", pass, rejected, emptyArg(m)))
	m.update("fast rand", m.call(nil, "raw_rand", pass, rejected, emptyArg(m), hurry))
	for i, other := range others {
		to := other.Bytes()
		for _, method := range []string{"inc", "trap", "silent", "reject", "get", "wait", "long", "missing"} {
			m.update(fmt.Sprintf("%d %s", i, method), m.call(to, method, pass, rejected, pay))
		}
		m.update(fmt.Sprintf("%d hurry", i), m.call(to, "wait", pass, rejected, pay, hurry))
		m.update(fmt.Sprintf("%d clean", i), m.call(to, "inc", trapping, trapping, pay, m.host("call_on_cleanup", cleanup, i32(0))))
		m.update(fmt.Sprintf("%d chain", i), m.call(to, "0 inc", pass, rejected, pay))
		m.update(fmt.Sprintf("%d twice", i), m.call(to, "inc", trapping, rejected, pay), m.call(to, "long", pass, trapping, pay))
		m.update(fmt.Sprintf("%d deposit", i), m.call(nil, "deposit_cycles", pass, rejected, pay, m.host("call_data_append", m.blob(string(candid.MustMarshal(idArg(other)))))))
		m.update(fmt.Sprintf("%d reply first", i), m.replyText("first"), m.call(to, "wait", pass, rejected, pay))
	}
	m.update("self", m.call(self.Bytes(), "inc", pass, rejected, pay))
	m.update("create", m.call(nil, "create_canister", pass, rejected, m.host("call_cycles_add128", i64(0), i64(600_000_000_000)),
		m.host("call_data_append", m.blob(string(candid.MustMarshal(management.CreateCanisterArgs{}))))))
	return m
}

func (m *module) updateNames() (names []string) {
	for _, e := range m.exports {
		if name, ok := strings.CutPrefix(e.Name, "canister_update "); ok && name != "burn all" {
			names = append(names, name)
		}
	}
	return append(names, "get", "missing")
}

// logged is a block with what executing it gave.
type logged struct {
	round Round
	sum   [32]byte
	calls []SystemCall
}

// machine executes blocks on a store of its own.
type machine struct {
	t     testing.TB
	cfg   Config
	store *summed
	x     *Executor
}

func newMachine(t testing.TB, change ...func(*Config)) *machine {
	m := &machine{t: t, store: newSummed(), cfg: Config{Engine: testEngine(), Subnet: principal.SelfAuthenticating([]byte("subnet")), RootKey: []byte("root key"),
		Local: true, FirstCanister: 16, MemoryCapacity: 128 << 20, MemoryThreshold: 8 << 20, MessageMemory: 256 << 20, RoundInstructions: 8_000_000, MessageInstructions: 20_000_000, SliceInstructions: 1_000_000}}
	for _, f := range change {
		f(&m.cfg)
	}
	m.open()
	t.Cleanup(func() { m.x.Close() })
	return m
}

func (m *machine) open() {
	x, err := New(m.cfg, m.store)
	if err != nil {
		m.t.Fatal(err)
	}
	m.x = x
}

func (m *machine) restart() {
	m.x.Close()
	m.open()
}

// replay executes a logged block and compares.
func (m *machine) replay(b *logged) {
	m.t.Helper()
	res := m.x.Round(m.store, b.round)
	if m.store.sum != b.sum {
		m.t.Fatalf("the state of height %d differs", b.round.Height)
	}
	if !reflect.DeepEqual(res.SystemCalls, b.calls) {
		m.t.Fatalf("the system calls of height %d differ", b.round.Height)
	}
}

// traffic invents blocks.
type traffic struct {
	rng     *rand.Rand
	round   Round
	nonce   uint64
	open    []SystemCall
	ids     []principal.Principal
	methods []string
	modules [2][][]byte // by variant and canister
}

func (g *traffic) add(canister principal.Principal, method string, arg []byte) {
	g.nonce++
	m := Ingress{Sender: alice, Canister: canister, Method: method, Arg: arg, ExpiryNs: g.round.TimeNs + 100*second}
	binary.BigEndian.PutUint64(m.ID[:], g.nonce)
	g.round.Ingress = append(g.round.Ingress, m)
}

func (g *traffic) manage(method string, arg any) {
	g.add(principal.Management, method, candid.MustMarshal(arg))
}

// begin starts a block a second after the last one.
func (g *traffic) begin() {
	g.round = Round{Height: g.round.Height + 1, TimeNs: g.round.TimeNs + second}
	if g.rng.Intn(10) == 0 {
		g.round.TimeNs += uint64(g.rng.Intn(100)) * second
	}
	if g.rng.Intn(2) == 0 {
		g.round.Keys = []ChainKey{{ID: chainkey.KeyID{Algorithm: chainkey.EcdsaSecp256k1, Name: "key"}}}
	}
	for i := 0; i < len(g.open); {
		if g.rng.Intn(3) > 0 {
			i++
			continue
		}
		g.round.Responses = append(g.round.Responses, SystemResponse{ID: g.open[i].ID, Random: bytes.Repeat([]byte{byte(g.open[i].ID)}, 32)})
		g.open = slices.Delete(g.open, i, i+1)
	}
}

// message adds a message that something can be wrong with.
func (g *traffic) message() {
	at := g.rng.Intn(len(g.ids))
	id := g.ids[at]
	module := g.modules[g.rng.Intn(2)][at]
	n := candid.NatFromUint64
	switch g.rng.Intn(210) {
	case 0:
		g.manage("install_code", installArgs(id, upgradeMode, module, nil))
	case 1:
		g.manage("install_code", installArgs(id, management.ModeReinstall(), module, nil))
	case 2:
		g.manage("uninstall_code", management.UninstallCodeArgs{CanisterID: id})
	case 3, 4, 5, 6:
		g.manage("install_code", installArgs(id, installMode, module, nil))
	case 7:
		g.manage("stop_canister", idArg(id))
	case 8, 9, 10:
		g.manage("start_canister", idArg(id))
	case 11:
		g.manage("canister_status", idArg(id))
	case 12:
		limit, threshold := n(uint64(20+g.rng.Intn(20))*wasmPage), n(uint64(g.rng.Intn(30))*wasmPage)
		g.manage("update_settings", management.UpdateSettingsArgs{CanisterID: id, Settings: management.Settings{WasmMemoryLimit: &limit, WasmMemoryThreshold: &threshold}})
	case 13:
		cycles := n(uint64(g.rng.Intn(1500)))
		g.manage("update_settings", management.UpdateSettingsArgs{CanisterID: id, Settings: management.Settings{MinIncomingCycles: &cycles}})
	case 14:
		g.manage("upload_chunk", management.UploadChunkArgs{CanisterID: id, Chunk: bytes.Repeat([]byte{byte(g.rng.Intn(4))}, 5000)})
	case 15:
		g.manage("delete_canister", idArg(g.ids[len(g.ids)-1]))
	case 200, 201:
		compute, memory := n(uint64(g.rng.Intn(4)*25)), n(uint64(g.rng.Intn(40))<<20)
		g.manage("update_settings", management.UpdateSettingsArgs{CanisterID: id, Settings: management.Settings{ComputeAllocation: &compute, MemoryAllocation: &memory}})
	case 202:
		limit := n(uint64(g.rng.Intn(2)) * 1e14)
		g.manage("update_settings", management.UpdateSettingsArgs{CanisterID: id, Settings: management.Settings{ReservedCyclesLimit: &limit}})
	case 203, 207, 208: // it soon runs out of cycles
		seconds, compute := n(0), n(100)
		g.manage("update_settings", management.UpdateSettingsArgs{CanisterID: id, Settings: management.Settings{FreezingThreshold: &seconds, ComputeAllocation: &compute}})
		g.add(id, "burn all", nil)
	case 204, 205, 206:
		g.manage("provisional_top_up_canister", management.ProvisionalTopUpArgs{CanisterID: id, Amount: n(provisionalAmount)})
	default:
		g.add(id, g.methods[g.rng.Intn(len(g.methods))], nil)
	}
}

// TestRandomMessages executes random messages to canisters that call each other, on one thread, and then the same blocks again from genesis on
// several threads and with restarts at random heights, also while messages stand still. States are equal at every height. Cycles are neither made nor lost.
func TestRandomMessages(t *testing.T) {
	const canisters = 6
	first := newMachine(t, func(c *Config) { c.Threads = 1 })
	g := &traffic{rng: rand.New(rand.NewSource(randomSeed(t))), round: Round{TimeNs: 1_700_000_000 * second}}
	for i := range canisters {
		g.ids = append(g.ids, principal.FromUint64(16+uint64(i)))
	}
	for i, id := range g.ids {
		others := []principal.Principal{g.ids[(i+1)%canisters], g.ids[(i+3)%canisters]}
		for v := range g.modules {
			m := mixed(id, others, v)
			g.methods = m.updateNames()
			g.modules[v] = append(g.modules[v], m.bytes())
		}
	}
	var log []logged
	var minted Cycles
	var topUps []Ingress // which are not answered yet
	reserved, starved := false, false
	run := func() RoundResult {
		t.Helper()
		for _, m := range g.round.Ingress {
			if m.Method == "provisional_create_canister_with_cycles" {
				minted = minted.Add(CyclesOf(provisionalAmount))
			}
			if m.Method == "provisional_top_up_canister" {
				topUps = append(topUps, m)
			}
		}
		res := first.x.Round(first.store, g.round)
		topUps = slices.DeleteFunc(topUps, func(m Ingress) bool {
			s, _ := first.x.IngressStatus(m.ID)
			if s.State == Replied {
				minted = minted.Add(CyclesOf(provisionalAmount))
			}
			return s.State.terminal()
		})
		for _, c := range first.x.canisters {
			reserved = reserved || !c.Reserved.IsZero()
			starved = starved || c.ChangeCount > 0 && len(c.Changes) == 0
		}
		log = append(log, logged{round: g.round, sum: first.store.sum, calls: res.SystemCalls})
		g.open = append(g.open, res.SystemCalls...)
		if got := cyclesInAll(first.x); got != minted {
			t.Fatalf("height %d: there are %s cycles, %s were made", g.round.Height, got, minted)
		}
		return res
	}
	for i, id := range g.ids {
		g.begin()
		g.manage("provisional_create_canister_with_cycles", management.ProvisionalCreateArgs{SpecifiedID: &id})
		run()
		g.begin()
		g.manage("install_code", installArgs(id, installMode, g.modules[i%2][i], nil))
		run()
	}
	var sum RoundResult
	limit := randomMessages(t)
	for messages := 0; messages < limit; {
		g.begin()
		for range g.rng.Intn(40) {
			g.message()
			messages++
		}
		res := run()
		sum.Messages += res.Messages
		sum.Traps += res.Traps
		sum.IngressDone += res.IngressDone
		sum.Backlog = max(sum.Backlog, res.Backlog)
	}
	for len(g.open) > 0 || len(first.x.pending) > 0 {
		g.begin()
		run()
	}
	t.Logf("%d blocks, %d executions, %d traps, at most %d messages left over", len(log), sum.Messages, sum.Traps, sum.Backlog)
	if sum.Traps == 0 || sum.Backlog == 0 || sum.IngressDone == 0 || !reserved || !starved {
		t.Errorf("this is not the mix that it should be: cycles reserved %v, canisters out of cycles %v", reserved, starved)
	}
	rng := rand.New(rand.NewSource(randomSeed(t) + 1))
	restarted := newMachine(t, func(c *Config) { c.Threads = 4 })
	halfway := 0 // messages that stood still when there was a restart
	for i := range log {
		restarted.replay(&log[i])
		if rng.Intn(4) == 0 {
			halfway += restarted.x.paused
			restarted.restart()
		}
	}
	if halfway == 0 {
		t.Error("no restart came while a message stood still")
	}
	a, b := first.x.Tree(nil).Digest(), restarted.x.Tree(nil).Digest()
	if a != b {
		t.Error("the trees differ")
	}
}

// TestNosyCanister lets a canister look for anything that could differ between two executions of the same messages.
func TestNosyCanister(t *testing.T) {
	newEngine := func() *wasm.Engine {
		e, err := wasm.NewEngine(wasm.Config{Host: HostFunctions()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close() })
		return e
	}
	var first [][]byte
	for _, c := range []struct {
		name    string
		restart bool
		change  func(*Config)
		eager   bool
	}{{name: "plain", change: func(*Config) {}}, {name: "restarted after each block", restart: true, change: func(*Config) {}},
		{name: "another engine", change: func(c *Config) { c.Engine = newEngine() }}, {name: "single commits", eager: true, change: func(*Config) {}}} {
		w := newWorld(t, c.change)
		w.reopen, w.x.eager = c.restart, c.eager
		got := nosy(w)
		if first == nil {
			first = got
			continue
		}
		for i := range first {
			if !bytes.Equal(got[i], first[i]) {
				t.Errorf("%s: observation %d is %x, was %x", c.name, i, got[i], first[i])
			}
		}
	}
}

// nosy collects what a canister can see, in replies.
func nosy(w *world) (seen [][]byte) {
	t := w.t
	others := []principal.Principal{w.install(counter()), w.install(counter()), w.install(counter())}
	m := newModule()
	at := 0
	slot := func() code_ { at += 8; return i32(8192 + at) }
	note := func(v code_) code_ { return store64(slot(), v) }
	bits := func(op byte, args ...code_) code_ { return append(append(cat(args...), op), 0xbd) } // i64.reinterpret_f64
	f64 := func(v uint64) code_ { return append(code_{0x44}, candidLE(v)...) }
	f32 := func(v uint32) code_ { return append(code_{0x43}, candidLE(uint64(v))[:4]...) }
	bits32 := func(op byte, args ...code_) code_ { return append(append(cat(args...), op), 0xbc, 0xad) } // i32.reinterpret_f32, i64.extend_i32_u
	const inf, payload = 0x7ff0000000000000, 0xfff4000000000123
	// Floats: results that are no numbers have one form only.
	nan := cat(note(bits(0xa3, f64(0), f64(0))), note(bits(0xa1, f64(inf), f64(inf))), note(bits(0x9f, f64(1<<63|inf))), note(bits(0xa2, f64(0), f64(inf))),
		note(bits(0xa0, f64(payload), f64(0))), note(bits(0xa4, f64(payload), f64(0))), note(bits(0xa5, f64(0), f64(payload))), note(bits(0x9e, f64(payload))),
		note(bits32(0x95, f32(0), f32(0))), note(bits32(0x92, f32(0xffa00001), f32(0))), note(bits32(0xb6, f64(payload))), note(bits(0xbb, f32(0xffa00001))))
	nans := at / 8
	// Clocks, counters, sizes, the memory that growing gives.
	world := cat(note(m.host("time")), note(m.host("time")), note(m.host("performance_counter", i32(0))), note(m.host("performance_counter", i32(1))),
		note(m.host("canister_version")), m.host("canister_cycle_balance128", slot()), m.host("canister_liquid_cycle_balance128", slot()),
		note(append(growMemory(3), 0xad)), note(m.host("stable64_grow", i64(5))), note(m.host("stable64_size")), note(append(code_{0x3f, 0}, 0xad)),
		m.host("stable64_read", i64(4096), i64(3*wasmPage), i64(512)), note(m.host("performance_counter", i32(0))))
	at += 64
	size := at
	m.update("look", nan, world, m.host("msg_reply_data_append", i32(8192), i32(size)), m.host("msg_reply_data_append", i32(4096), i32(512)),
		m.host("msg_reply_data_append", i32(6*wasmPage), i32(wasmPage/2)), m.host("msg_reply"))
	// The order in which calls are answered, and what the callbacks cost.
	seq := i32(300)
	body := func(tag int) code_ {
		slot := wasmMul(load32(seq), 16)
		return cat(count(300), store64(add32(slot, i32(4096)), m.host("performance_counter", i32(1))), store32(add32(slot, i32(4104)), i32(tag)),
			when(append(cat(load32(seq), i32(12)), 0x46), m.reply(i32(4096), i32(256))))
	}
	var calls code_
	for i := range 12 {
		to := others[i*5%3].Bytes()
		if i == 7 {
			to = nil
		}
		calls = append(calls, m.call(to, []string{"inc", "qecho", "missing"}[i%3], m.callback(body(i)), m.callback(body(100+i)))...)
	}
	m.update("order", store32(seq, i32(0)), calls)
	pass := m.callback(m.host("msg_arg_data_copy", i32(1024), i32(0), m.host("msg_arg_data_size")), m.reply(i32(1024), m.host("msg_arg_data_size")))
	m.update("random", m.call(nil, "raw_rand", pass, pass, emptyArg(m)))
	// Recursion as deep as the argument says.
	depth := uint32(len(m.m.Imports) + len(m.bodies))
	m.fn(nil, when(load32(i32(256)), store32(i32(256), append(cat(load32(i32(256)), i32(1)), 0x6b)), code_{0x10, byte(depth&0x7f | 0x80), byte(depth >> 7)}))
	m.update("dive", m.host("msg_arg_data_copy", i32(256), i32(0), i32(4)), code_{0x10, byte(depth&0x7f | 0x80), byte(depth >> 7)}, m.replyText("up again"))
	m.update("leave", wasmLoop(200, 24, store32(add32(wasmMul(load32(i32(24)), 4), i32(2*wasmPage)), load32(i32(24)))), unreachable())
	id := w.install(m)
	for range 3 {
		got := w.mustUpdate(id, "look", nil)
		for i := range nans {
			want := uint64(0x7ff8000000000000)
			if i >= 8 && i < 11 {
				want = 0x7fc00000
			}
			if n := binary.LittleEndian.Uint64(got[8+8*i:]); n != want {
				t.Errorf("float %d has the bits %x, want %x", i, n, want)
			}
		}
		if i := bytes.IndexFunc(got[size:], func(r rune) bool { return r != 0 }); i >= 0 {
			t.Errorf("new memory is not zero at %d", i)
		}
		seen = append(seen, got, w.mustUpdate(id, "order", nil))
		w.wantReject("IC0502", id, "leave", nil)
	}
	msg := w.message(alice, id, "random", nil)
	open := w.round(msg).SystemCalls
	w.answer = []SystemResponse{random(open[0].ID)}
	w.round()
	reply, _ := w.finish(msg.ID)
	seen = append(seen, reply)
	// The deepest dive that succeeds.
	low, high := 0, 1<<20
	for low+1 < high {
		mid := (low + high) / 2
		if _, rej := w.update(alice, id, "dive", candidLE(uint64(mid))[:4]); rej == nil {
			low = mid
		} else {
			high = mid
		}
	}
	if low < 100 || high == 1<<20 {
		t.Errorf("the deepest recursion is %d", low)
	}
	return append(seen, candidLE(uint64(low)), w.mustUpdate(id, "look", nil))
}
