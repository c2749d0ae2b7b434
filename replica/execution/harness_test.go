package execution

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/kv"
	"fusion/replica/execution/wasm"
	"fusion/replica/management"
)

// One engine serves all tests: instances and images are what must not be shared.
var testEngine = sync.OnceValue(func() *wasm.Engine {
	e, err := wasm.NewEngine(wasm.Config{Host: HostFunctions()})
	if err != nil {
		panic(err)
	}
	return e
})

var (
	alice = principal.SelfAuthenticating([]byte("alice"))
	bob   = principal.SelfAuthenticating([]byte("bob"))
)

const second = uint64(1e9)

// world is an executor with a clock and users.
type world struct {
	nodes int // of the subnet, where they change

	t      testing.TB
	cfg    Config
	x      *Executor
	store  *kv.Mem
	reopen bool // after each round
	now    uint64
	height uint64
	nonce  uint64
	keys   []ChainKey
	answer []SystemResponse // for the next round
	last   RoundResult
	obey   bool                // answer every system call in the next round
	proxy  principal.Principal // see info
}

func newWorld(t testing.TB, change ...func(*Config)) *world {
	w := &world{t: t, store: kv.NewMem(), now: 1_700_000_000 * second}
	w.cfg = Config{Engine: testEngine(), Subnet: principal.SelfAuthenticating([]byte("subnet")), RootKey: []byte("root key"), Local: true, FirstCanister: 16,
		MessageInstructions: 5_000_000_000, InstallInstructions: 20_000_000_000} // endless loops would take long to reach the default limits
	for _, f := range change {
		f(&w.cfg)
	}
	w.open()
	t.Cleanup(func() { w.x.Close() })
	return w
}

func (w *world) open() {
	w.t.Helper()
	x, err := New(w.cfg, w.store)
	if err != nil {
		w.t.Fatal(err)
	}
	x.SetKeys(w.keys)
	w.x = x
}

// round executes a block a second later.
func (w *world) round(ingress ...Ingress) RoundResult {
	w.t.Helper()
	w.height++
	w.now += second
	r := Round{Height: w.height, TimeNs: w.now, Ingress: ingress, Keys: w.keys, Responses: w.answer, NodeCount: w.nodes}
	w.answer = nil
	w.last = w.x.Round(w.store, r)
	if w.obey {
		w.answer = answers(w.last.SystemCalls)
	}
	if w.nodes > 0 {
		w.cfg.NodeCount = w.nodes
	}
	if w.reopen {
		w.x.Close()
		w.store = w.store.Clone()
		w.open()
	}
	return w.last
}

func (w *world) message(sender, canister principal.Principal, method string, arg []byte) Ingress {
	w.nonce++
	m := Ingress{Sender: sender, Canister: canister, Method: method, Arg: arg, ExpiryNs: w.now + 240*second}
	binary.BigEndian.PutUint64(m.ID[:], w.nonce)
	return m
}

// finish runs rounds until a message is answered.
func (w *world) finish(id [32]byte) ([]byte, *Reject) {
	w.t.Helper()
	for range 50 {
		if s, ok := w.x.IngressStatus(id); ok && s.State.terminal() {
			return s.Reply, s.Reject
		}
		w.round()
	}
	w.t.Fatalf("message %x is not answered after 50 rounds", id[:8])
	return nil, nil
}

func (w *world) update(sender, canister principal.Principal, method string, arg []byte) ([]byte, *Reject) {
	w.t.Helper()
	m := w.message(sender, canister, method, arg)
	w.round(m)
	return w.finish(m.ID)
}

func (w *world) mustUpdate(canister principal.Principal, method string, arg []byte) []byte {
	w.t.Helper()
	reply, rej := w.update(alice, canister, method, arg)
	if rej != nil {
		w.t.Fatalf("%s: %v", method, rej)
	}
	return reply
}

// wantReject runs an update that must fail.
func (w *world) wantReject(code string, canister principal.Principal, method string, arg []byte) *Reject {
	w.t.Helper()
	reply, rej := w.update(alice, canister, method, arg)
	if rej == nil {
		w.t.Fatalf("%s: replied %q, want a rejection with %s", method, reply, code)
	}
	if rej.Error != code {
		w.t.Fatalf("%s: %v, want %s", method, rej, code)
	}
	return rej
}

func (w *world) query(canister principal.Principal, method string, arg []byte) ([]byte, *Reject) {
	r := w.x.Query(w.t.Context(), QueryRequest{Sender: alice, Canister: canister, Method: method, Arg: arg})
	return r.Reply, r.Reject
}

func (w *world) mustQuery(canister principal.Principal, method string, arg []byte) []byte {
	w.t.Helper()
	reply, rej := w.query(canister, method, arg)
	if rej != nil {
		w.t.Fatalf("query %s: %v", method, rej)
	}
	return reply
}

// manage calls the management canister as alice.
func (w *world) manage(method string, arg any) ([]byte, *Reject) {
	w.t.Helper()
	return w.update(alice, principal.Management, method, candid.MustMarshal(arg))
}

func (w *world) mustManage(method string, arg any) []byte {
	w.t.Helper()
	reply, rej := w.manage(method, arg)
	if rej != nil {
		w.t.Fatalf("%s: %v", method, rej)
	}
	return reply
}

// create makes an empty canister controlled by alice.
func (w *world) create() principal.Principal {
	w.t.Helper()
	var r management.CanisterID
	w.decode(w.mustManage("provisional_create_canister_with_cycles", management.ProvisionalCreateArgs{}), &r)
	return r.CanisterID
}

func (w *world) decode(data []byte, dst ...any) {
	w.t.Helper()
	if err := candid.Unmarshal(data, dst...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) install(m *module) principal.Principal {
	w.t.Helper()
	return w.installBytes(m.bytes())
}

func (w *world) installBytes(module []byte) principal.Principal {
	w.t.Helper()
	id := w.create()
	w.mustManage("install_code", installArgs(id, management.ModeInstall(), module, nil))
	return id
}

func installArgs(id principal.Principal, mode management.InstallMode, module, arg []byte) management.InstallCodeArgs {
	return management.InstallCodeArgs{Mode: mode, CanisterID: id, WasmModule: module, Arg: arg}
}

func (w *world) status(id principal.Principal) management.CanisterStatusResult {
	w.t.Helper()
	var s management.CanisterStatusResult
	w.decode(w.mustManage("canister_status", management.CanisterID{CanisterID: id}), &s)
	return s
}

func dump(s kv.Reader) []byte {
	var b bytes.Buffer
	s.Scan(nil, nil, func(k, v []byte) bool {
		fmt.Fprintf(&b, "%q = %x\n", k, v)
		return true
	})
	return b.Bytes()
}

// scenario runs f three times: plainly, with a restart after every round, and plainly again. The stores must be equal.
func scenario(t *testing.T, f func(w *world), change ...func(*Config)) {
	t.Helper()
	var first []byte
	for _, mode := range []string{"plain", "reopened", "repeated"} {
		t.Run(mode, func(t *testing.T) {
			w := newWorld(t, change...)
			w.reopen = mode == "reopened"
			f(w)
			got := dump(w.store)
			if first == nil {
				first = got
			} else if !bytes.Equal(got, first) {
				writeDumps(t, first, got)
				t.Fatal("the store differs from the first run's")
			}
		})
	}
}

func writeDumps(t *testing.T, a, b []byte) {
	la, lb := bytes.Split(a, []byte("\n")), bytes.Split(b, []byte("\n"))
	for i := range la {
		if i >= len(lb) || !bytes.Equal(la[i], lb[i]) {
			t.Logf("first difference:\n%.600s\n%.600s", la[i], lb[min(i, len(lb)-1)])
			break
		}
	}
	if dir := os.Getenv("DUMP_DIR"); dir != "" {
		os.WriteFile(dir+"/a.txt", a, 0o600)
		os.WriteFile(dir+"/b.txt", b, 0o600)
	}
}

var (
	installMode = management.ModeInstall()
	upgradeMode = management.ModeUpgrade(nil)
)

// await waits, while queries run beside the test, until something holds.
func (w *world) await(what string, holds func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			w.t.Fatalf("there never was %s: %v", what, ctx.Err())
		case <-tick.C:
		}
	}
}
