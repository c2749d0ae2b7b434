package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/management"
	"fusion/testnets/golden"
)

// TestMotoko shows that actors in Motoko behave here as their language promises, with classical persistence on a 32-bit memory and with
// enhanced orthogonal persistence on a 64-bit one: upgrades, timers, regions of stable memory, what a trap undoes, certified data. In
// the end the whole network stops and starts again, and everything is as it was.
func TestMotoko(t *testing.T) {
	s := openSamples(t)
	var running []*lab
	for _, l := range []string{classical, enhanced} {
		t.Run(l, func(t *testing.T) {
			for _, c := range []struct {
				name string
				run  func(s *samples, language string)
			}{{"upgrades", (*samples).upgrades}, {"traps", (*samples).traps}, {"regions", (*samples).regions}, {"classes", (*samples).classes}, {"certified page", (*samples).certifiedPage}} {
				t.Run(c.name, func(t *testing.T) { c.run(s.in(t), l) })
			}
			t.Run("timers", func(t *testing.T) { running = append(running, s.in(t).timers(l)) })
		})
	}
	t.Run("from classical to enhanced", func(t *testing.T) { s.in(t).migration() })
	if t.Failed() {
		return
	}
	must(t, s.net.Close())
	s.net = golden.RunDir(t, s.net.Dir)
	for _, l := range running {
		before := l.last
		l.await(s, "a recurring timer to go on", func(now times) bool { return now.Ticks > before.Ticks+2 })
		if l.last.Starts != before.Starts {
			t.Errorf("before the network stopped: %+v, now %+v", before, l.last)
		}
	}
}

// state is what a keeper holds; a version may hold more.
type state struct {
	Name     string      `candid:"name"`
	Size     candid.Int  `candid:"size"`
	Sum      candid.Nat  `candid:"sum"`
	Messages candid.Nat  `candid:"messages"`
	Version  *candid.Nat `candid:"version"`
}

func (s *samples) keeper(id principal.Principal) string {
	s.t.Helper()
	st := ask[state](s, id, "state")
	version := "1"
	if st.Version != nil {
		version = st.Version.String()
	}
	return fmt.Sprintf("version %s: %s, %s elements of sum %s, %s messages", version, st.Name, st.Size, st.Sum, st.Messages)
}

// upgrades: what is declared persistent outlives an upgrade, to a version with another shape if that can hold the old one. An upgrade that
// is refused or traps leaves code and state as they were.
func (s *samples) upgrades(language string) {
	t := s.t
	id := s.install(language, "keeper1")
	is := func(want string) {
		t.Helper()
		if got := s.keeper(id); got != want {
			t.Fatalf("the keeper holds %q, want %q", got, want)
		}
	}
	for _, n := range []int{5, 7} {
		s.do(id, "push", candid.NatFromUint64(uint64(n)))
	}
	s.do(id, "rename", "länger")
	is("version 1: länger, 2 elements of sum 12, 2 messages")

	// The same code again: only what is transient begins anew.
	must(t, s.upgrade(id, language, "keeper1"))
	is("version 1: länger, 2 elements of sum 12, 0 messages")

	// A version that cannot hold the state.
	hash := s.moduleHash(id)
	why := map[string]string{classical: "the name is lost", enhanced: "Memory-incompatible program upgrade"}[language]
	s.refused(s.upgrade(id, language, "keeperbad"), 5, why)
	is("version 1: länger, 2 elements of sum 12, 0 messages")
	if language == enhanced {
		// Without a word about the heap, an upgrade would lose it.
		s.refused(s.put(id, management.ModeUpgrade(nil), language, "keeper2"), 5, "wasm_memory_persistence")
	} else {
		s.refused(s.put(id, keep(), language, "keeper2"), 5, "enhanced orthogonal persistence")
	}
	if now := s.moduleHash(id); !bytes.Equal(now, hash) {
		t.Errorf("an upgrade that failed left module %x, want %x", now, hash)
	}
	s.do(id, "push", candid.NatFromUint64(1))
	is("version 1: länger, 3 elements of sum 13, 1 messages")

	// A heap that has grown, and been collected.
	s.do(id, "grow", candid.NatFromUint64(3000))
	must(t, s.upgrade(id, language, "keeper2"))
	is("version 2: länger, 3003 elements of sum 4498513, 0 messages")
	s.do(id, "push", candid.NatFromUint64(1))
	must(t, s.upgrade(id, language, "keeper2"))
	is("version 2: länger, 3004 elements of sum 4498514, 0 messages")

	// Back to the first version: an int cannot become a nat. Classical persistence has that variable begin anew.
	if language == enhanced {
		s.refused(s.upgrade(id, language, "keeper1"), 5, why)
		is("version 2: länger, 3004 elements of sum 4498514, 0 messages")
	} else {
		must(t, s.upgrade(id, language, "keeper1"))
		is("version 1: länger, 0 elements of sum 4498514, 0 messages")
	}

	// A new installation begins anew.
	must(t, s.put(id, management.ModeReinstall(), language, "keeper1"))
	is("version 1: keeper, 0 elements of sum 0, 0 messages")
}

func (s *samples) moduleHash(id principal.Principal) []byte {
	s.t.Helper()
	hash, err := s.owner.Read(s, id, []byte("canister"), id.Bytes(), []byte("module_hash"))
	must(s.t, err)
	return hash
}

// migration: an actor with classical persistence is not taken over by a module with enhanced orthogonal persistence by accident.
func (s *samples) migration() {
	const implicit = "implicit upgrade from classical orthogonal persistence"
	id := s.install(classical, "keeper1")
	s.do(id, "push", candid.NatFromUint64(5))
	replace := management.ModeUpgrade(&management.UpgradeOptions{WasmMemoryPersistence: &management.Persistence{Replace: candid.Unit}})
	for _, mode := range []management.InstallMode{management.ModeUpgrade(nil), replace} {
		s.refused(s.put(id, mode, enhanced, "keeper1"), 5, implicit)
		if got := s.keeper(id); got != "version 1: keeper, 1 elements of sum 5, 1 messages" {
			s.t.Fatalf("the keeper holds %q", got)
		}
	}
	if _, err := s.cli("canister", "install", s.module(enhanced, "keeper1"), "--id", id.String(), "--mode", "upgrade"); err == nil || !strings.Contains(err.Error(), implicit) {
		s.t.Errorf("from the command line: %v", err)
	}
}

// traps: a trap undoes what the message did since the last await, no more and no less.
func (s *samples) traps(language string) {
	t := s.t
	id, counter := s.install(language, "lab"), s.install(language, "counter", (*uint64)(nil))
	type seen struct {
		Marks []string   `candid:"marks"`
		Open  candid.Int `candid:"open"`
	}
	count := uint64(0)
	marks := func(what string, increments uint64, want ...string) {
		t.Helper()
		got := ask[seen](s, id, "seen")
		if !slices.Equal(got.Marks, want) || got.Open.String() != "0" {
			t.Fatalf("%s: marks %q and %s open, want %q and 0", what, got.Marks, got.Open, want)
		}
		count += increments
		if n := ask[uint64](s, counter, "get"); n != count {
			t.Fatalf("%s: the counter is at %d, want %d", what, n, count)
		}
		s.do(id, "clear")
	}
	must(t, s.guest.Update(s, id, "store", []any{uint64(1_000_000), []byte("kept")}, nil))
	s.refused(s.guest.Update(s, id, "trap_before", []any{counter}, nil), 5, "assertion failed")
	marks("a trap before the first await", 0)
	s.refused(s.guest.Update(s, id, "trap_after", []any{counter}, nil), 5, "assertion failed")
	marks("a trap after the second await", 2, "one", "two", "finally")
	type loaded struct {
		Bytes []byte `candid:"bytes"`
	}
	if got := ask[loaded](s, id, "load", uint64(1_000_000), candid.NatFromUint64(4)); string(got.Bytes) != "kept" {
		t.Errorf("a region after a trap has %q", got.Bytes)
	}
	s.refused(s.guest.Update(s, id, "throw_after", nil, nil), 4, "thrown")
	marks("an error thrown", 0, "one", "two", "caught thrown", "finally")
	type inside struct {
		CanisterError bool   `candid:"canister_error"`
		Message       string `candid:"message"`
	}
	if got := update[inside](s, id, "trap_inside"); !got.CanisterError || !strings.Contains(got.Message, "assertion failed") {
		t.Errorf("a trap in a message that is called: %+v", got)
	}
	marks("a trap in a message that is called", 0, "before", "caught")
	s.do(id, "order")
	marks("the order of a call", 0, "caller", "callee", "awaited")
	var x, y uint64
	must(t, s.guest.Update(s, id, "both", []any{counter, s.install(language, "counter", uint64(40))}, []any{&x, &y}))
	if x != count+1 || y != 41 {
		t.Errorf("two calls at once: %d and %d, want %d and 41", x, y, count+1)
	}
	if got := s.lab(id, language).times(s); got.Ticks != 0 {
		t.Errorf("a timer whose setting was undone ran %d times", got.Ticks)
	}
}

// regions: stable memory in parts that keep apart, grow and outlive upgrades.
func (s *samples) regions(language string) {
	t := s.t
	id := s.install(language, "lab")
	const far = 40 << 20
	type sizes struct {
		Size  uint64 `candid:"size"`
		Other uint64 `candid:"other"`
	}
	want := sizes{Size: far/65536 + 2, Other: 1}
	if got := update[sizes](s, id, "store", uint64(far), []byte("far away")); got != want {
		t.Errorf("the regions have %+v pages, want %+v", got, want)
	}
	if got := update[sizes](s, id, "store", uint64(0), []byte("near")); got != want {
		t.Errorf("the regions have %+v pages, want %+v", got, want)
	}
	type loaded struct {
		Bytes []byte `candid:"bytes"`
		Last  uint64 `candid:"last"`
		Pages uint64 `candid:"pages"`
	}
	check := func(when string) {
		t.Helper()
		for at, bytes := range map[uint64]string{0: "near", far: "far away", far / 2: "\x00\x00\x00"} {
			got := ask[loaded](s, id, "load", at, candid.NatFromUint64(uint64(len(bytes))))
			if string(got.Bytes) != bytes || got.Last != 0 || got.Pages != want.Size {
				t.Errorf("%s, at %d: %q, %d, %d pages", when, at, got.Bytes, got.Last, got.Pages)
			}
		}
		s.refused(s.guest.Ask(s, id, "beyond", nil, []any{new([]byte)}), 5, "")
	}
	check("written")
	must(t, s.upgrade(id, language, "lab"))
	check("after an upgrade")
	if got := update[sizes](s, id, "store", uint64(far), []byte("far away")); got != want {
		t.Errorf("after an upgrade the regions have %+v pages, want %+v", got, want)
	}
	s.do(id, "store", uint64(0), []byte("near"))
	check("written after an upgrade")
}

// classes: an actor makes others, pays for them, and upgrades and reinstalls them.
func (s *samples) classes(language string) {
	t := s.t
	id := s.install(language, "factory")
	type made struct {
		ID    principal.Principal `candid:"id"`
		Count uint64              `candid:"count"`
	}
	m := update[made](s, id, "make", uint64(7))
	if m.Count != 8 {
		t.Errorf("a counter from 7 counts to %d", m.Count)
	}
	if n := update[uint64](s, m.ID, "increment"); n != 9 {
		t.Errorf("everybody's increment answers %d", n)
	}
	if n := update[uint64](s, id, "upgrade", m.ID); n != 10 {
		t.Errorf("upgraded, it counts to %d, want 10", n)
	}
	if n := update[uint64](s, id, "reinstall", m.ID); n != 101 {
		t.Errorf("reinstalled from 100, it counts to %d", n)
	}
	// It belongs to the actor that made it, and to nobody else.
	s.refused(s.put(m.ID, management.ModeReinstall(), language, "counter"), 5, "controller")
	s.refused(s.guest.Update(s, m.ID, "set", []any{uint64(1)}, nil), 5, "only controllers may set the counter")
}

// times is what the lab's timers did.
type times struct {
	Starts uint64 `candid:"starts"`
	Ticks  uint64 `candid:"ticks"`
}

// lab is an installed lab.
type lab struct {
	id       principal.Principal
	language string
	last     times
}

func (s *samples) lab(id principal.Principal, language string) *lab {
	return &lab{id: id, language: language}
}

func (l *lab) times(s *samples) times {
	s.t.Helper()
	var out struct {
		Starts candid.Nat `candid:"starts"`
		Ticks  candid.Nat `candid:"ticks"`
	}
	must(s.t, s.guest.Ask(s, l.id, "timers", nil, []any{&out}))
	starts, _ := out.Starts.Uint64()
	ticks, _ := out.Ticks.Uint64()
	return times{starts, ticks}
}

func (l *lab) await(s *samples, what string, ok func(times) bool) {
	s.t.Helper()
	must(s.t, golden.Wait(s, what, func() (string, error) {
		if l.last = l.times(s); ok(l.last) {
			return "", nil
		}
		return fmt.Sprintf("%s: %+v", l.language, l.last), nil
	}))
}

// timers: they run once or again and again, until they are cancelled or the actor is upgraded. The lab that is returned has one that runs.
func (s *samples) timers(language string) *lab {
	t := s.t
	l := s.lab(s.install(language, "lab"), language)
	const often = 1_000_000
	every := func() { t.Helper(); s.do(l.id, "every", candid.NatFromUint64(often)) }
	still := func(when string, starts uint64) {
		t.Helper()
		before := l.times(s)
		for range 3 { // at least one block each
			s.do(l.id, "clear")
		}
		if now := l.times(s); now != before || now.Starts != starts {
			t.Fatalf("%s: %+v, then %+v, want %d starts", when, before, now, starts)
		}
	}
	l.await(s, "the first timer", func(now times) bool { return now == times{Starts: 1} })
	still("a timer that is done", 1)
	every()
	l.await(s, "a recurring timer", func(now times) bool { return now.Ticks >= 3 })
	s.do(l.id, "cancel")
	still("a timer that was cancelled", 1)
	every()
	before := l.last
	l.await(s, "another recurring timer", func(now times) bool { return now.Ticks >= before.Ticks+3 })
	must(t, s.upgrade(l.id, language, "lab"))
	l.await(s, "the first timer after an upgrade", func(now times) bool { return now.Starts == 2 })
	still("a timer of before the upgrade", 2)
	every()
	before = l.last
	l.await(s, "a recurring timer after an upgrade", func(now times) bool { return now.Ticks > before.Ticks })
	return l
}

// certifiedPage: the gateway shows what the subnet certified, also after it changed and after an upgrade, and nothing else.
func (s *samples) certifiedPage(language string) {
	t := s.t
	id := s.install(language, "page")
	get := func(node int, path string) (status int, body string) {
		t.Helper()
		u, err := url.Parse(s.net.URL(node))
		must(t, err)
		req, err := http.NewRequestWithContext(s, http.MethodGet, u.String()+path, nil)
		must(t, err)
		req.Host = fmt.Sprintf("%s.localhost:%s", id, u.Port())
		res, err := http.DefaultClient.Do(req)
		must(t, err)
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		must(t, err)
		return res.StatusCode, string(b)
	}
	shows := func(message string) {
		t.Helper()
		for node := range s.net.Nodes {
			var last string
			must(t, golden.Wait(s, "a page", func() (string, error) { // another replica may be a block behind
				var status int
				if status, last = get(node, "/"); status == http.StatusOK && strings.Contains(last, ">"+message+"</h1>") {
					return "", nil
				}
				return fmt.Sprintf("replica %d: %d %q, want %q", node, status, last, message), nil
			}))
		}
	}
	shows("hello from Motoko")
	s.do(id, "set_message", "ein <Test> & mehr")
	shows("ein &lt;Test> &amp; mehr")
	must(t, s.upgrade(id, language, "page"))
	shows("ein &lt;Test> &amp; mehr")
	if status, body := get(0, "/lie"); status != http.StatusServiceUnavailable || strings.Contains(body, "&lt;Test>") {
		t.Errorf("a path that is not certified: %d %q", status, body)
	}
	s.refused(s.guest.Update(s, id, "set_message", []any{strings.Repeat("x", 1001)}, nil), 5, "at most 1000 characters")
	shows("ein &lt;Test> &amp; mehr")
}
