package root

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/kv"
	"fusion/replica/execution"
	"fusion/replica/management"
	"fusion/replica/members"
)

const (
	second   = uint64(1e9)
	lock     = 3600 * second
	lifetime = 7 * 24 * 3600 * second
)

var (
	minter   = principal.FromUint64(100)
	ledger   = principal.FromUint64(101)
	stranger = principal.FromUint64(102)
	bitcoin  = principal.FromUint64(103)
	network  = [32]byte{7}
)

func operator(i int) principal.Principal {
	return principal.SelfAuthenticating(fmt.Appendf(nil, "operator %d", i))
}

func operators(n int) (out []principal.Principal) {
	for i := range n {
		out = append(out, operator(i))
	}
	return out
}

// world is a root canister over a store that is opened again after each call.
type world struct {
	*kv.Mem
	t       *testing.T
	opt     Options
	now     uint64
	changes []members.Change
	busy    error // why no change of the membership can begin
}

func newWorld(t *testing.T, n int) *world {
	w := &world{Mem: kv.NewMem(), t: t, now: 1_700_000_000 * second}
	w.opt = Options{Network: network, Operators: operators(n), Least: 3, TimeLockNs: lock, LifetimeNs: lifetime,
		Snapshot: func() (kv.Reader, func() error) { return w.Clone(), func() error { return nil } }}
	return w
}

func (w *world) Custodial(id principal.Principal) bool  { return id == minter || id == ledger }
func (w *world) Configured(id principal.Principal) bool { return id == bitcoin }
func (w *world) CheckChange(members.Change) error       { return w.busy }
func (w *world) BeginChange(c members.Change) (uint64, error) {
	w.changes = append(w.changes, c)
	return uint64(len(w.changes)), w.busy
}

func (w *world) open() *Canister {
	w.Mem = w.Mem.Clone()
	return New(w.opt, w, w.Mem)
}

// raw calls a method.
func (w *world) raw(by principal.Principal, method string, arg any) execution.NativeResult {
	w.t.Helper()
	return w.open().Call(execution.NativeCall{Method: method, Arg: candid.MustMarshal(arg), Caller: by, TimeNs: w.now})
}

// call calls a method that answers with a proposal, and refuses with want.
func (w *world) call(by principal.Principal, method string, arg any, want string) (p Proposal) {
	w.t.Helper()
	out := w.raw(by, method, arg)
	switch {
	case want == "" && out.Reject != nil, want != "" && (out.Reject == nil || !strings.Contains(out.Reject.Message, want)):
		w.t.Fatalf("%s: %v, want %q", method, out.Reject, want)
	case want == "":
		w.decode(out.Reply, &p)
	}
	return p
}

func (w *world) decode(b []byte, v any) {
	w.t.Helper()
	if err := candid.Unmarshal(b, v); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) submit(by int, a Action) Proposal {
	w.t.Helper()
	return w.call(operator(by), "submit", SubmitArg{a, "because"}, "")
}

// say lets operators say something of a proposal.
func (w *world) say(method string, p Proposal, by ...int) {
	w.t.Helper()
	for _, i := range by {
		w.call(operator(i), method, SayArg{p.Number, p.Digest}, "")
	}
}

func (w *world) get(n uint64) Proposal {
	w.t.Helper()
	out := w.open().Call(execution.NativeCall{Method: "get_proposal", Arg: candid.MustMarshal(n), Caller: principal.Anonymous, TimeNs: w.now, Query: true})
	var p *Proposal
	w.decode(out.Reply, &p)
	if p == nil {
		w.t.Fatalf("there is no proposal %d", n)
	}
	return *p
}

func (w *world) state(n uint64, want string) Proposal {
	w.t.Helper()
	p := w.get(n)
	if p.State.String() != want {
		w.t.Fatalf("%s: it is %s, want %s", p.Sentence, p.State.String(), want)
	}
	return p
}

func resume() Action {
	return Action{Call: &MethodCall{Canister: minter, Method: "resume", Arg: []byte("DIDL\x00\x00")}}
}

func hash(b []byte) []byte { h := sha256.Sum256(b); return h[:] }

func upgrade(parts ...string) Action {
	u := &Upgrade{Canister: minter, ModuleHash: hash([]byte(strings.Join(parts, ""))), Arg: []byte("arg")}
	for _, p := range parts {
		u.ChunkHashes = append(u.ChunkHashes, hash([]byte(p)))
	}
	return Action{Upgrade: u}
}

// Two thirds of the operators are enough, one fewer is not, whatever their number.
func TestTwoThirds(t *testing.T) {
	for n, needed := range map[int]int{3: 2, 4: 3, 5: 4, 6: 4, 7: 5, 9: 6, 13: 9, 40: 27} {
		if got := Threshold(n); got != needed || 3*needed < 2*n || 3*(needed-1) >= 2*n {
			t.Fatalf("of %d operators %d decide, want %d", n, got, needed)
		}
		w := newWorld(t, n)
		p := w.submit(0, resume())
		for i := 1; i < needed-1; i++ {
			w.say("approve", p, i)
		}
		w.now += lock
		w.state(p.Number, "open")
		w.call(operator(0), "execute", SayArg{p.Number, p.Digest}, fmt.Sprintf("%d approvals, it needs %d", needed-1, needed))
		w.say("approve", p, needed-1)
		w.state(p.Number, "locked")
		w.now += lock
		w.state(p.Number, "ready")
		if out := w.raw(operator(n-1), "execute", SayArg{p.Number, p.Digest}); out.Invoke == nil {
			t.Fatalf("%d operators: %v", n, out.Reject)
		}
	}
	if Threshold(1) != 1 || Threshold(2) != 2 {
		t.Error("one of one and two of two decide")
	}
}

func TestTimeLock(t *testing.T) {
	w := newWorld(t, 4)
	p := w.submit(0, resume())
	w.say("approve", p, 1)
	w.now += 10 * lock // which counts for nothing
	w.say("approve", p, 2)
	w.now += lock - 1
	w.call(operator(0), "execute", SayArg{p.Number, p.Digest}, "time lock of proposal 1 ends at")
	w.say("approve", p, 3) // a further approval does not begin it again
	w.now++
	w.state(p.Number, "ready")

	// Who thinks better of it takes the two thirds away; they have to wait once more.
	w.say("reject", p, 3)
	w.state(p.Number, "ready")
	w.call(operator(1), "approve", SayArg{p.Number, p.Digest}, "said so already")
	q := w.submit(1, resume())
	w.say("approve", q, 2, 3)
	w.now += lock
	w.say("reject", q, 2)
	w.state(q.Number, "open")
	w.say("approve", q, 2)
	w.state(q.Number, "locked")
	w.call(operator(0), "execute", SayArg{q.Number, q.Digest}, "time lock")
}

func TestExecutedOnce(t *testing.T) {
	w := newWorld(t, 4)
	p := w.submit(0, resume())
	w.say("approve", p, 1, 2)
	w.now += lock
	out := w.raw(operator(0), "execute", SayArg{p.Number, p.Digest})
	if v := out.Invoke; v == nil || v.Canister != minter || v.Method != "resume" || string(v.Arg) != "DIDL\x00\x00" {
		t.Fatalf("%+v", out)
	}
	w.state(p.Number, "executing")
	for _, method := range []string{"execute", "approve", "reject", "withdraw"} {
		w.call(operator(0), method, SayArg{p.Number, p.Digest}, "is being executed")
	}
	res := w.open().Resume(execution.NativeResume{State: out.State, Answers: []execution.NativeAnswer{{Reply: []byte("ok")}}, TimeNs: w.now})
	if res.Reject != nil {
		t.Fatal(res.Reject)
	}
	if p := w.state(p.Number, "executed"); p.Reply == nil || string(*p.Reply) != "ok" {
		t.Errorf("%+v", p)
	}
	for _, method := range []string{"execute", "approve", "reject", "withdraw"} {
		w.call(operator(0), method, SayArg{p.Number, p.Digest}, "has ended")
	}

	// The callee's refusal is the end, too.
	p = w.submit(0, resume())
	w.say("approve", p, 1, 2)
	w.now += lock
	out = w.raw(operator(0), "execute", SayArg{p.Number, p.Digest})
	w.open().Resume(execution.NativeResume{State: out.State, Answers: []execution.NativeAnswer{{Reject: &execution.Reject{Code: 5, Message: "no"}}}, TimeNs: w.now})
	w.state(p.Number, "failed")
	w.call(operator(0), "execute", SayArg{p.Number, p.Digest}, "has ended: reject code 5: no")
	if p := w.get(p.Number); p.Reply != nil || p.Ended == nil {
		t.Errorf("%+v", p)
	}
}

func TestEnds(t *testing.T) {
	w := newWorld(t, 4)
	p := w.submit(0, resume())
	w.call(operator(1), "withdraw", SayArg{p.Number, p.Digest}, "who alone may withdraw it")
	w.say("withdraw", p, 0)
	w.state(p.Number, "withdrawn")

	p = w.submit(0, resume())
	w.say("reject", p, 1)
	w.state(p.Number, "open")
	w.say("reject", p, 2) // of four, three are out of reach
	w.state(p.Number, "rejected")
	w.call(operator(3), "approve", SayArg{p.Number, p.Digest}, "2 of 4 operators have rejected it")

	// Approved and not executed, it lapses like others.
	p = w.submit(0, resume())
	w.say("approve", p, 1, 2)
	w.now += lifetime - 1
	w.state(p.Number, "ready")
	w.now++
	w.state(p.Number, "expired")
	w.call(operator(0), "execute", SayArg{p.Number, p.Digest}, "not executed before its deadline")
	if p := w.state(p.Number, "expired"); p.Ended == nil || *p.Ended != w.now {
		t.Errorf("%+v", p)
	}

	// History: all of them, the newest first.
	out := w.open().Call(execution.NativeCall{Method: "list_proposals", Arg: candid.MustMarshal(ListArg{}), TimeNs: w.now, Query: true})
	var all []Proposal
	w.decode(out.Reply, &all)
	var states []string
	for _, p := range all {
		states = append(states, fmt.Sprint(p.Number, p.State.String()))
	}
	if got := strings.Join(states, " "); got != "3expired 2rejected 1withdrawn" {
		t.Errorf("history %q", got)
	}
	two, one := uint64(2), uint64(1)
	out = w.open().Call(execution.NativeCall{Method: "list_proposals", Arg: candid.MustMarshal(ListArg{&two, &one}), TimeNs: w.now, Query: true})
	if w.decode(out.Reply, &all); len(all) != 1 || all[0].Number != 1 {
		t.Errorf("%+v", all)
	}
}

// Nobody but operators, and nothing but what was meant.
func TestWhoAndWhat(t *testing.T) {
	w := newWorld(t, 4)
	p := w.submit(0, resume())
	for _, by := range []principal.Principal{stranger, minter, principal.Anonymous, operator(4)} {
		for _, method := range []string{"approve", "reject", "withdraw", "execute"} {
			w.call(by, method, SayArg{p.Number, p.Digest}, "is for operators")
		}
		w.call(by, "submit", SubmitArg{resume(), ""}, "is for operators")
		w.call(by, "stage_chunk", StageArg{p.Number, nil}, "is for operators")
		if rej := w.open().Inspect(by, "approve"); rej == nil {
			t.Errorf("%s may send messages", by)
		}
	}
	if rej := w.open().Inspect(operator(3), "approve"); rej != nil {
		t.Error(rej)
	}
	if rej := w.open().Inspect(operator(3), "nonsense"); rej == nil {
		t.Error("any method")
	}
	for _, d := range [][]byte{nil, {}, bytes.Repeat([]byte{1}, 32)} {
		w.call(operator(1), "approve", SayArg{p.Number, d}, "does something else")
	}
	w.call(operator(1), "approve", SayArg{9, p.Digest}, "there is no proposal 9")
	if d, err := Digest([32]byte{8}, resume()); err != nil || bytes.Equal(d, p.Digest) {
		t.Errorf("the digest is the same on another network: %v", err)
	}
	if out := w.open().Call(execution.NativeCall{Method: "approve", Arg: candid.MustMarshal(SayArg{}), Caller: operator(0), Query: true}); out.Reject == nil {
		t.Error("an approval by a query")
	}
	empty := hash(nil)
	long := resume()
	long.Call.Arg = make([]byte, maxArg+1)
	chunk := func(n int) [][]byte { return slices.Repeat([][]byte{hash(nil)}, n) }
	for want, a := range map[string]Action{
		"no custody":             {Call: &MethodCall{Canister: stranger, Method: "resume"}},
		"a name of 0 bytes":      {Call: &MethodCall{Canister: minter}},
		"a name of 129 bytes":    {Call: &MethodCall{Canister: minter, Method: strings.Repeat("x", 129)}},
		"an argument of":         long,
		"no custody of users'":   {Upgrade: &Upgrade{Canister: bitcoin, ModuleHash: hash(nil), ChunkHashes: chunk(1)}},
		"that is not shown":      hidden(minter, hash(nil)),
		"argument has 31 bytes":  hidden(bitcoin, hash(nil)[1:]),
		"itself 1, want none":    {Call: &MethodCall{Canister: bitcoin, Method: "m", Arg: []byte{1}, ArgHash: &empty}},
		"has no custody of":      {Upgrade: &Upgrade{Canister: stranger, ModuleHash: hash(nil), ChunkHashes: chunk(1)}},
		"hash of 31 bytes":       {Upgrade: &Upgrade{Canister: minter, ModuleHash: hash(nil)[1:], ChunkHashes: chunk(1)}},
		"32 bytes, 0 chunks":     {Upgrade: &Upgrade{Canister: minter, ModuleHash: hash(nil)}},
		"bytes, 33 chunks":       {Upgrade: &Upgrade{Canister: minter, ModuleHash: hash(nil), ChunkHashes: chunk(33)}},
		"9 stored ones":          {Upgrade: &Upgrade{Canister: minter, ModuleHash: hash(nil), ChunkHashes: chunk(1), StoredChunks: chunk(9)}},
		"chunk has 3 bytes":      {Upgrade: &Upgrade{Canister: minter, ModuleHash: hash(nil), ChunkHashes: [][]byte{{1, 2, 3}}}},
		"2 operators, want 3":    {Operators: &Operators{operators(2)}},
		"41 operators, want":     {Operators: &Operators{operators(41)}},
		"is nobody, or is named": {Operators: &Operators{append(operators(3), operator(1))}},
		"operators[3] (2vxsx":    {Operators: &Operators{append(operators(3), principal.Anonymous)}},
	} {
		w.call(operator(0), "submit", SubmitArg{a, ""}, want)
	}
	w.busy = errors.New("a change goes on")
	w.call(operator(0), "submit", SubmitArg{Action{Membership: &Membership{}}, ""}, "a change goes on")
	w.call(operator(0), "submit", SubmitArg{resume(), strings.Repeat("x", 1001)}, "a summary of 1001 bytes")
}

// An operator fills his own places and nobody else's.
func TestBounds(t *testing.T) {
	w := newWorld(t, 4)
	for range MaxOpen {
		w.submit(0, resume())
	}
	w.call(operator(0), "submit", SubmitArg{resume(), ""}, "8 open proposals")
	p := w.submit(1, resume())
	w.say("withdraw", w.get(1), 0)
	w.submit(0, resume())
	many := upgrade("x")
	many.Upgrade.ChunkHashes = slices.Repeat(many.Upgrade.ChunkHashes, maxChunks)
	w.submit(1, many)
	w.submit(1, many)
	w.call(operator(1), "submit", SubmitArg{upgrade("y"), ""}, "with 65 chunks")
	w.call(operator(1), "stage_chunk", StageArg{p.Number, []byte("x")}, "none that proposal 9 names")
}

func TestOperatorsChange(t *testing.T) {
	w := newWorld(t, 4)
	pending, ready := w.submit(3, resume()), w.submit(3, resume())
	w.say("approve", pending, 0)
	w.say("approve", ready, 0, 1)
	w.now += lock

	// Operator 3 goes; two come.
	list := append(operators(3), operator(4), operator(5))
	p := w.submit(0, Action{Operators: &Operators{list}})
	w.say("approve", p, 1, 2)
	w.call(operator(0), "execute", SayArg{p.Number, p.Digest}, "time lock")
	w.state(ready.Number, "ready")
	w.now += lock
	w.say("execute", p, 0)
	w.state(p.Number, "executed")

	out := w.open().Call(execution.NativeCall{Method: "get_info", Arg: candid.MustMarshal(), TimeNs: w.now, Query: true})
	var info Info
	if w.decode(out.Reply, &info); !slices.Equal(info.Operators, list) || info.Needed != 4 {
		t.Errorf("%+v", info)
	}
	w.call(operator(3), "approve", SayArg{pending.Number, pending.Digest}, "is for operators")
	// What was approved is not any more: the removed one's word does not count, and five operators need four.
	if q := w.state(ready.Number, "open"); len(q.Approved) != 2 || q.Executable != nil {
		t.Errorf("%+v", q)
	}
	w.call(operator(4), "execute", SayArg{ready.Number, ready.Digest}, "2 approvals, it needs 4")
	w.say("approve", ready, 2, 5)
	w.state(ready.Number, "locked") // from now on, not from the first time
	w.call(operator(4), "execute", SayArg{ready.Number, ready.Digest}, "time lock")
}

func TestMembership(t *testing.T) {
	w := newWorld(t, 4)
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	change := members.Change{Add: []members.Candidate{members.NewCandidate(network, key, key, "a:1", "b:2")}, Remove: []uint32{2}}
	p, q := w.submit(0, MembershipOf(change)), w.submit(1, MembershipOf(members.Change{}))
	w.say("approve", p, 1, 2)
	w.say("approve", q, 0, 2)
	w.now += lock
	w.busy = errors.New("change 1 goes on")
	w.call(operator(0), "execute", SayArg{p.Number, p.Digest}, "change 1 goes on")
	w.state(p.Number, "ready") // it may be tried again
	w.busy, w.changes = nil, nil
	w.say("execute", p, 3)
	w.state(p.Number, "executed")
	if len(w.changes) != 1 || !bytes.Equal(w.changes[0].Digest(), change.Digest()) {
		t.Errorf("%+v", w.changes)
	}
	w.say("execute", q, 3)
	if len(w.changes) != 2 || len(w.changes[1].Add)+len(w.changes[1].Remove) != 0 {
		t.Errorf("%+v", w.changes)
	}
}

// subnet answers what an upgrade asks, and tells what that was.
func (w *world) subnet(out execution.NativeResult, hasCode bool, refuse string) (calls []string) {
	w.t.Helper()
	for out.Invoke != nil {
		v := out.Invoke
		if v.Canister != principal.Management {
			w.t.Fatalf("%+v", v)
		}
		name := v.Method
		a := execution.NativeAnswer{Reply: candid.MustMarshal()}
		switch v.Method {
		case "canister_info":
			info := management.CanisterInfoResult{RecentChanges: []management.Change{}, Controllers: []principal.Principal{}}
			if hasCode {
				info.ModuleHash = &[]byte{1}
			}
			a.Reply = candid.MustMarshal(info)
		case "install_code":
			var in management.InstallCodeArgs
			w.decode(v.Arg, &in)
			mode := "upgrade"
			if in.Mode.Install != nil {
				mode = "install"
			}
			name = fmt.Sprintf("%s %s(%s)", mode, in.WasmModule, in.Arg)
		}
		if refuse != "" && v.Method == refuse {
			a = execution.NativeAnswer{Reject: &execution.Reject{Code: 4, Message: "not now"}}
		}
		calls = append(calls, name)
		out = w.open().Resume(execution.NativeResume{State: out.State, Answers: []execution.NativeAnswer{a}, TimeNs: w.now})
	}
	if out.Reject != nil {
		w.t.Fatal(out.Reject)
	}
	return calls
}

func TestUpgrade(t *testing.T) {
	for name, c := range map[string]struct {
		hasCode             bool
		refuse, want, state string
	}{
		"upgrade":      {true, "", "canister_info upload_chunk stop_canister upgrade onetwo(arg) start_canister", "executed"},
		"installation": {false, "", "canister_info upload_chunk install onetwo(arg)", "executed"},
		"gone":         {true, "canister_info", "canister_info", "failed"},
		"chunk store":  {true, "upload_chunk", "canister_info upload_chunk", "failed"},
		"busy":         {true, "stop_canister", "canister_info upload_chunk stop_canister start_canister", "failed"},
		"bad module":   {true, "install_code", "canister_info upload_chunk stop_canister upgrade onetwo(arg) start_canister", "failed"},
		"bad first":    {false, "install_code", "canister_info upload_chunk install onetwo(arg)", "failed"},
		"stuck":        {true, "start_canister", "canister_info upload_chunk stop_canister upgrade onetwo(arg) start_canister", "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 4)
			a := upgrade("one", "two")
			a.Upgrade.StoredChunks = [][]byte{hash([]byte("archive"))}
			p := w.submit(0, a)
			w.call(operator(0), "stage_chunk", StageArg{p.Number, []byte("evil")}, "is none that proposal 1 names")
			w.call(operator(0), "stage_chunk", StageArg{p.Number, make([]byte, MaxChunk+1)}, "is none that proposal 1 names")
			w.call(operator(0), "stage_chunk", StageArg{p.Number, []byte("one")}, "")
			w.call(operator(3), "stage_chunk", StageArg{p.Number, []byte("two")}, "") // any operator may
			w.say("approve", p, 1, 2)
			w.now += lock
			w.call(operator(0), "execute", SayArg{p.Number, p.Digest}, "1 chunks of proposal 1 are not staged")
			if p := w.get(1); p.Missing != 1 || !strings.Contains(p.Sentence, "1 chunks of its module are not staged") {
				t.Errorf("%d, %s", p.Missing, p.Sentence)
			}
			w.call(operator(0), "stage_chunk", StageArg{p.Number, []byte("archive")}, "")
			out := w.raw(operator(0), "execute", SayArg{p.Number, p.Digest})
			if got := strings.Join(w.subnet(out, c.hasCode, c.refuse), " "); got != c.want {
				t.Errorf("it called %s\nwant %s", got, c.want)
			}
			if p := w.state(p.Number, c.state); c.refuse != "" && !strings.Contains(p.Sentence, "not now") {
				t.Error(p.Sentence)
			}
			kv.ScanPrefix(w, []byte(keyChunks), func(k, _ []byte) bool { t.Errorf("%x is left", k); return true })
			w.call(operator(0), "execute", SayArg{p.Number, p.Digest}, "has ended")
		})
	}
}

// What is installed is what was approved, whatever lies in the store, and chunks in another order are another module.
func TestChangedModuleIsRefused(t *testing.T) {
	w := newWorld(t, 4)
	p := w.submit(0, upgrade("one", "two"))
	a := upgrade("two", "one")
	a.Upgrade.ModuleHash = p.Action.Upgrade.ModuleHash
	q := w.submit(0, a)
	for _, p := range []Proposal{p, q} {
		w.say("approve", p, 1, 2)
		for _, part := range []string{"one", "two"} {
			w.call(operator(0), "stage_chunk", StageArg{p.Number, []byte(part)}, "")
		}
	}
	w.now += lock
	w.call(operator(0), "execute", SayArg{q.Number, q.Digest}, "the staged module of proposal 2 has the hash")
	w.Set(chunkKey(p.Number, hash([]byte("two"))), []byte("evil"))
	w.call(operator(0), "execute", SayArg{p.Number, p.Digest}, "the staged module of proposal 1 has the hash")
	w.state(p.Number, "ready")
}

// Two proposals for one canister are executed one after the other; those for others beside each other.
func TestTwoAtOnce(t *testing.T) {
	w := newWorld(t, 4)
	other := upgrade("c")
	other.Upgrade.Canister = ledger
	var ps []Proposal
	for i, a := range []Action{upgrade("a"), upgrade("b"), other} {
		p := w.submit(0, a)
		w.say("approve", p, 1, 2)
		w.call(operator(0), "stage_chunk", StageArg{p.Number, []byte{"abc"[i]}}, "")
		ps = append(ps, p)
	}
	w.now += lock
	first := w.raw(operator(0), "execute", SayArg{ps[0].Number, ps[0].Digest})
	w.call(operator(0), "execute", SayArg{ps[1].Number, ps[1].Digest}, "proposal 1 is changing canister")
	if out := w.raw(operator(0), "execute", SayArg{ps[2].Number, ps[2].Digest}); out.Invoke == nil {
		t.Error(out.Reject)
	}
	w.subnet(first, true, "")
	if got := strings.Join(w.subnet(w.raw(operator(1), "execute", SayArg{ps[1].Number, ps[1].Digest}), true, ""), " "); !strings.Contains(got, "upgrade b(arg)") {
		t.Error(got)
	}
}

// Long arguments are forgotten when a proposal ends; the digest stays.
func TestLongArgumentsAreForgotten(t *testing.T) {
	w := newWorld(t, 4)
	a := resume()
	a.Call.Arg = make([]byte, maxKept)
	p := w.submit(0, a)
	w.say("withdraw", p, 0)
	if q := w.get(p.Number); q.Action != nil || !bytes.Equal(q.Digest, p.Digest) || !strings.Contains(q.Sentence, "no longer kept") {
		t.Errorf("%+v", q)
	}
}

func hidden(id principal.Principal, hash []byte) Action {
	return Action{Call: &MethodCall{Canister: id, Method: "m", ArgHash: &hash}}
}

// Canisters that are part of the replica are called by proposals, also with an argument that only the one called is given.
func TestConfigures(t *testing.T) {
	w := newWorld(t, 4)
	plain := Action{Call: &MethodCall{Canister: bitcoin, Method: "reset_chain", Arg: []byte("DIDL\x00\x00")}}
	secret := []byte("DIDL\x00\x01\x71\x03key")
	p, q := w.submit(0, plain), w.submit(0, hidden(bitcoin, hash(secret)))
	for _, v := range []Proposal{p, q} {
		w.say("approve", v, 1, 2)
	}
	w.call(operator(1), "execute", SayArg{p.Number, p.Digest}, "the time lock")
	w.now += lock
	w.call(operator(1), "execute", SayArg{q.Number, q.Digest}, "is not staged")
	w.call(operator(0), "stage_chunk", StageArg{q.Number, []byte("another")}, "is none that")
	if v := w.call(operator(0), "stage_chunk", StageArg{q.Number, secret}, ""); v.Missing != 0 || bytes.Contains(candid.MustMarshal(v), secret) {
		t.Errorf("%+v", v)
	}
	for want, v := range map[string]Proposal{string(plain.Call.Arg): p, string(secret): q} {
		out := w.raw(operator(1), "execute", SayArg{v.Number, v.Digest})
		if out.Invoke == nil || out.Invoke.Canister != bitcoin || string(out.Invoke.Arg) != want {
			t.Fatalf("%+v", out)
		}
		end := w.open().Resume(execution.NativeResume{State: out.State, Answers: []execution.NativeAnswer{{Reply: []byte("DIDL\x00\x00")}}, TimeNs: w.now})
		if end.Reject != nil || bytes.Contains(end.Reply, secret) {
			t.Errorf("%+v", end)
		}
		w.state(v.Number, "executed")
	}
	if _, ok := w.Get(chunkKey(q.Number, hash(secret))); ok {
		t.Error("the hidden argument is kept")
	}
}

// The interface file is the interface.
func TestInterface(t *testing.T) {
	prog, err := candid.ParseDID(DID)
	if err != nil {
		t.Fatal(err)
	}
	arguments := map[string][2]any{"submit": {SubmitArg{}, Proposal{}}, "stage_chunk": {StageArg{}, Proposal{}}, "approve": {SayArg{}, Proposal{}}, "reject": {SayArg{}, Proposal{}},
		"withdraw": {SayArg{}, Proposal{}}, "execute": {SayArg{}, Proposal{}}, "get_proposal": {uint64(0), (*Proposal)(nil)}, "list_proposals": {ListArg{}, []Proposal(nil)}, "get_info": {nil, Info{}}}
	if len(prog.Service.Methods) != len(methods) || len(methods) != len(arguments) {
		t.Errorf("%d methods, %d are described", len(methods), len(prog.Service.Methods))
	}
	for _, m := range prog.Service.Methods {
		want, ok := arguments[m.Name]
		if !ok || methods[m.Name].query != (m.Type.Func.Mode == candid.Query) {
			t.Fatalf("method %s", m.Name)
		}
		equal := func(what string, described *candid.Type, v any) {
			got, err := candid.TypeOf(typeOf(v))
			if err != nil || candid.Subtype(got, described) != nil || candid.Subtype(described, got) != nil {
				t.Errorf("%s of %s: %v, %v", what, m.Name, got, err)
			}
		}
		if want[0] != nil {
			equal("argument", m.Type.Func.Args[0].Type, want[0])
		}
		equal("result", m.Type.Func.Results[0].Type, want[1])
	}
}

// FuzzCall: whatever comes is refused or changes what it may; nothing panics, and nothing is executed without approvals.
func FuzzCall(f *testing.F) {
	names := []string{"submit", "stage_chunk", "approve", "reject", "withdraw", "execute", "get_proposal", "list_proposals", "get_info"}
	for i, arg := range []any{SubmitArg{upgrade("a"), "x"}, StageArg{1, []byte("a")}, SayArg{1, hash(nil)}, SayArg{}, SayArg{}, SayArg{}, uint64(1), ListArg{}} {
		f.Add(uint8(i), candid.MustMarshal(arg))
	}
	f.Fuzz(func(t *testing.T, method uint8, arg []byte) {
		w := newWorld(t, 4)
		w.submit(1, resume())
		out := w.open().Call(execution.NativeCall{Method: names[int(method)%len(names)], Arg: arg, Caller: operator(0), TimeNs: w.now})
		if out.Invoke != nil || (out.Reject == nil) == (out.Reply == nil) {
			t.Fatalf("%+v", out)
		}
	})
}

func typeOf(v any) reflect.Type { return reflect.TypeOf(v) }
