package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/management"
	"fusion/testnets"
	"fusion/testnets/golden"
)

// samples are the canisters of the directory examples, built, and a network to run them on.
type samples struct {
	context.Context
	t       *testing.T
	fusion  string
	net     *testnets.Network
	owner   *agent.Agent // controls what it installs
	guest   *agent.Agent
	modules map[string]string // directories of modules by language
}

// The languages of the samples. The Motoko compilers come from npm; `make e2e` runs them.
const (
	golang    = "Go"
	classical = "Motoko 3.13"
	enhanced  = "Motoko 4.10"
)

var languages = []string{golang, classical, enhanced}

// openSamples runs a network and has the samples ready.
func openSamples(t *testing.T) *samples {
	t.Helper()
	s := buildSamples(t)
	s.net = golden.Run(t)
	w := golden.NewWorld(t, s.net)
	t.Cleanup(w.Close)
	// Both speak to one replica: another one may be a block behind, and does not know yet what the owner has just installed.
	s.owner, s.guest = user(t, w, testnets.DefaultIdentity, 0).Agent, user(t, w, "guest", 0).Agent
	return s
}

// buildSamples builds the Go samples with the program's own command and finds the Motoko ones.
func buildSamples(t *testing.T) *samples {
	t.Helper()
	s := &samples{t: t, fusion: program(t, "FUSION_BIN"), modules: map[string]string{golang: t.TempDir()}}
	motoko := program(t, "MOTOKO_SAMPLES")
	s.modules[classical], s.modules[enhanced] = filepath.Join(motoko, "3.13"), filepath.Join(motoko, "4.10")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	t.Cleanup(cancel)
	s.Context = ctx
	for name, folder := range map[string]string{"counter": "counter", "caller": "caller", "wallet": "wallet-eth"} {
		cmd := exec.CommandContext(ctx, s.fusion, "build", "-o", s.module(golang, name), "../../examples/go/"+folder)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("fusion build: %v\n%s", err, out)
		}
	}
	return s
}

// in is s for a subtest.
func (s *samples) in(t *testing.T) *samples {
	c := *s
	c.t = t
	return &c
}

func (s *samples) module(language, name string) string {
	return filepath.Join(s.modules[language], name+".wasm")
}

// create makes an empty canister.
func (s *samples) create() principal.Principal {
	s.t.Helper()
	amount := candid.NatFromUint64(100_000_000_000_000)
	var created management.CanisterID
	must(s.t, s.owner.Update(s, principal.Management, "provisional_create_canister_with_cycles",
		[]any{management.ProvisionalCreateArgs{Amount: &amount}}, []any{&created}))
	return created.CanisterID
}

// put installs a sample's module.
func (s *samples) put(id principal.Principal, mode management.InstallMode, language, name string, args ...any) error {
	s.t.Helper()
	wasm, err := os.ReadFile(s.module(language, name))
	must(s.t, err)
	arg, err := candid.Marshal(args...)
	must(s.t, err)
	return testnets.Install(s, s.owner, id, mode, wasm, arg)
}

// install installs a sample in a new canister.
func (s *samples) install(language, name string, args ...any) principal.Principal {
	s.t.Helper()
	id := s.create()
	must(s.t, s.put(id, management.ModeInstall(), language, name, args...))
	return id
}

// upgrade upgrades a sample in the way that its language wants.
func (s *samples) upgrade(id principal.Principal, language, name string, args ...any) error {
	s.t.Helper()
	mode := management.ModeUpgrade(nil)
	if language == enhanced {
		mode = keep()
	}
	return s.put(id, mode, language, name, args...)
}

func keep() management.InstallMode {
	return management.ModeUpgrade(&management.UpgradeOptions{WasmMemoryPersistence: &management.Persistence{Keep: candid.Unit}})
}

// update and ask are calls that have to be answered.
func update[T any](s *samples, id principal.Principal, method string, args ...any) (out T) {
	s.t.Helper()
	if err := s.guest.Update(s, id, method, args, []any{&out}); err != nil {
		s.t.Fatalf("%s: %v", method, err)
	}
	return out
}

func ask[T any](s *samples, id principal.Principal, method string, args ...any) (out T) {
	s.t.Helper()
	if err := s.guest.Ask(s, id, method, args, []any{&out}); err != nil {
		s.t.Fatalf("%s: %v", method, err)
	}
	return out
}

// do is a call without a result.
func (s *samples) do(id principal.Principal, method string, args ...any) {
	s.t.Helper()
	if err := s.guest.Update(s, id, method, args, nil); err != nil {
		s.t.Fatalf("%s: %v", method, err)
	}
}

// refused is a call that has to be rejected, with a code and a part of the message.
func (s *samples) refused(err error, code uint64, part string) {
	s.t.Helper()
	var r *agent.RejectError
	if !errors.As(err, &r) || uint64(r.Code) != code || !strings.Contains(r.Message, part) {
		s.t.Fatalf("want a reject with code %d and %q, have %v", code, part, err)
	}
}

// cli runs a command of the program, as the owner.
func (s *samples) cli(args ...string) (out string, err error) {
	cmd := exec.CommandContext(s, s.fusion, args...)
	cmd.Env = append(os.Environ(), "FUSION_DATA_DIR="+s.net.Dir)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("fusion %q: %w: %s", args, err, stderr.String())
	}
	return strings.TrimSpace(stdout.String()), nil
}

// TestSamples runs the samples in every language as their documentation says: a counter by the command line, which takes the types from
// the module's own interface, and callers of counters, each language's with each other's.
func TestSamples(t *testing.T) {
	s := openSamples(t)
	t.Run("a new project", func(t *testing.T) { s.in(t).project() })
	counters := map[string]principal.Principal{}
	for _, l := range languages {
		t.Run("counter/"+l, func(t *testing.T) { counters[l] = s.in(t).counter(l) })
	}
	if t.Failed() {
		return
	}
	for _, l := range languages {
		t.Run("caller/"+l, func(t *testing.T) { s.in(t).caller(l, counters) })
	}
}

// project makes a Go canister to start from, tests and builds it and puts it on the network.
func (s *samples) project() {
	t := s.t
	dir := t.TempDir()
	run := func(dir, program string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(s, program, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "FUSION_DATA_DIR="+s.net.Dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", program, args, err, out)
		}
		return string(out)
	}
	run(dir, s.fusion, "new", "hello")
	dir = filepath.Join(dir, "hello")
	run(dir, "go", "test")
	run(dir, s.fusion, "build")
	m := canisterID.FindStringSubmatch(run(dir, s.fusion, "canister", "install", "hello.wasm.gz", "--arg", "(opt 10)"))
	if m == nil {
		t.Fatal("install names no canister")
	}
	if out := run(dir, s.fusion, "canister", "call", m[1], "increment"); out != "(11 : nat64)\n" {
		t.Errorf("increment says %q", out)
	}
}

var canisterID = regexp.MustCompile(`installed .* in (\S+), module hash [0-9a-f]{64}`)

// counter installs, calls and upgrades a counter from the command line, and leaves it at 12.
func (s *samples) counter(language string) principal.Principal {
	t := s.t
	cli := func(want string, args ...string) string {
		t.Helper()
		out, err := s.cli(args...)
		must(t, err)
		if want != "" && out != want {
			t.Fatalf("fusion %q says %q, want %q", args, out, want)
		}
		return out
	}
	module := s.module(language, "counter")
	m := canisterID.FindStringSubmatch(cli("", "canister", "install", module, "--arg", "(opt 10)"))
	if m == nil {
		t.Fatal("install names no canister")
	}
	id, err := principal.Parse(m[1])
	must(t, err)
	cli("(10 : nat64)", "canister", "call", m[1], "get")
	cli("(11 : nat64)", "canister", "call", m[1], "increment")
	cli("(12 : nat64)", "canister", "call", m[1], "add", "(1)")
	cli("(12 : nat64)", "canister", "query", m[1], "get")
	cli("", "canister", "install", module, "--id", m[1], "--mode", "upgrade")
	cli("(12 : nat64)", "canister", "call", m[1], "get")
	if _, err := s.cli("canister", "call", m[1], "increment", "(5)"); err == nil || !strings.Contains(err.Error(), "argument") {
		t.Errorf("an argument that is not in the interface: %v", err)
	}

	// The interface is public, and the same in every language.
	did := filepath.Join(t.TempDir(), "counter.did")
	must(t, os.WriteFile(did, []byte(cli("", "canister", "call", m[1])), 0o600))
	cli("", "candid", "check", did, "testdata/counter.did")
	cli("", "candid", "check", "testdata/counter.did", did)
	if text, err := s.guest.Read(s, id, []byte("canister"), id.Bytes(), []byte("metadata"), []byte("candid:service")); err != nil || !strings.Contains(string(text), "increment") {
		t.Errorf("candid:service is %q, %v", text, err)
	}

	// Only controllers may set it. At its end it traps, and stays there.
	s.refused(s.guest.Update(s, id, "set", []any{uint64(5)}, nil), 5, "only controllers may set the counter")
	must(t, s.owner.Update(s, id, "set", []any{uint64(math.MaxUint64)}, nil))
	s.refused(s.guest.Update(s, id, "increment", nil, []any{new(uint64)}), 5, "")
	if n := ask[uint64](s, id, "get"); n != math.MaxUint64 {
		t.Errorf("after a trap the counter is %d", n)
	}
	must(t, s.owner.Update(s, id, "set", []any{uint64(12)}, nil))
	return id
}

// result and stats are the callers'.
type result struct {
	candid.Variant
	Ok  *uint64 `candid:"ok"`
	Err *struct {
		Code    uint32 `candid:"code"`
		Message string `candid:"message"`
	} `candid:"err"`
}

type stats struct {
	Calls    uint64 `candid:"calls"`
	Replies  uint64 `candid:"replies"`
	Rejects  uint64 `candid:"rejects"`
	Cleanups uint64 `candid:"cleanups"`
	Busy     bool   `candid:"busy"`
}

// caller calls the counters of all languages.
func (s *samples) caller(language string, counters map[string]principal.Principal) {
	t := s.t
	id := s.install(language, "caller")
	var want stats
	expect := func(what string) {
		t.Helper()
		if got := ask[stats](s, id, "stats"); got != want {
			t.Fatalf("%s: %+v, want %+v", what, got, want)
		}
	}
	var ids []principal.Principal
	var total uint64
	for _, l := range languages {
		c := counters[l]
		before := ask[uint64](s, c, "get")
		if r := update[result](s, id, "increment", c); r.Ok == nil || *r.Ok != before+1 {
			t.Fatalf("a counter in %s at %d: %+v", l, before, r)
		}
		want.Calls++
		want.Replies++
		expect("a reply")

		// What was done before the await stays, and so does what the counter did; what came after it is undone, and the lock released.
		s.refused(s.guest.Update(s, id, "trap_after", []any{c}, []any{new(result)}), 5, "")
		want.Calls++
		want.Cleanups++
		expect("a trap after the await")
		if n := ask[uint64](s, c, "get"); n != before+2 {
			t.Fatalf("the counter in %s is at %d, want %d", l, n, before+2)
		}

		must(t, s.owner.Update(s, c, "set", []any{uint64(math.MaxUint64)}, nil))
		if r := update[result](s, id, "increment", c); r.Err == nil || r.Err.Code != 5 {
			t.Fatalf("a counter in %s that traps: %+v", l, r)
		}
		must(t, s.owner.Update(s, c, "set", []any{before}, nil))
		want.Calls++
		want.Rejects++
		expect("a reject")
		ids, total = append(ids, c), total+before
	}
	if r := update[result](s, id, "increment", s.create()); r.Err == nil || r.Err.Code != 5 && r.Err.Code != 3 {
		t.Fatalf("a canister without code: %+v", r)
	}
	if r := update[result](s, id, "increment", principal.FromUint64(1<<40)); r.Err == nil || r.Err.Code != 3 {
		t.Fatalf("a canister that is not there: %+v", r)
	}
	want.Calls += 2
	want.Rejects += 2
	expect("rejects")

	// A reply that is no number traps where it is decoded, after the await.
	s.refused(s.guest.Update(s, id, "increment", []any{s.install(classical, "lab")}, []any{new(result)}), 5, "")
	want.Calls++
	want.Cleanups++
	expect("a reply that is no number")
	if r := ask[result](s, id, "sum", ids); r.Ok == nil || *r.Ok != total {
		t.Fatalf("the sum is %+v, want %d", r, total)
	}
}
