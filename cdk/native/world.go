package native

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sort"
	"time"

	"fusion/cdk"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// Errors of a World.
var (
	ErrExists   = errors.New("canister id already in use")
	ErrNotFound = errors.New("no such canister")
	ErrUnending = errors.New("messages still pending after the step limit")
	ErrNoAnswer = errors.New("call has no answer although nothing is left to run")
)

// maxSteps bounds Run, so that canisters that talk to each other for ever end a test with an error.
const maxSteps = 1_000_000

// World is a set of canisters with a clock. It is not safe for concurrent use.
type World struct {
	rng       *rand.Rand
	now       uint64
	canisters map[principal.Principal]*machine
	handlers  map[principal.Principal]func(*Incoming)
	queues    map[route][]*message
	routes    []route // non-empty queues, sorted
	logs      []string
	env       map[string]string
	// Instructions, if set, is what a canister's performance counters show, which is 0 otherwise.
	Instructions func(of principal.Principal) uint64
	// Trace, if set, is told about each message before it runs.
	Trace func(string)
}

type route struct {
	from, to principal.Principal
	answer   uint64 // answers are not ordered: each has a route of its own
}

func (r route) less(s route) bool {
	if c := r.to.Compare(s.to); c != 0 {
		return c < 0
	}
	if c := r.from.Compare(s.from); c != 0 {
		return c < 0
	}
	return r.answer < s.answer
}

// message is a call on its way to a canister or an answer on its way back.
type message struct {
	to     principal.Principal
	call   *callContext // what is called
	method string
	arg    []byte
	answer *Answer // nil for a call
}

// callContext is one call with its answer, wherever it came from.
type callContext struct {
	caller      principal.Principal
	machine     *machine     // the calling canister, nil for users
	parent      *callContext // the call context in which the caller made this call, nil for users, timers and heartbeats
	env         uint32
	cycles      cdk.Cycles // attached and not accepted
	outstanding int        // calls made in this context that were not answered
	answer      *Answer
}

// Answer is the outcome of a call.
type Answer struct {
	Data  []byte
	Err   *cdk.RejectError // nil for a reply
	cycle cdk.Cycles       // refund
}

// NewWorld makes an empty world at a fixed time in 2026. The same seed and calls give the same run.
func NewWorld(seed uint64) *World {
	return &World{
		rng: rand.New(rand.NewPCG(seed, 0x6e617469)), now: 1_767_225_600_000_000_000,
		canisters: map[principal.Principal]*machine{}, handlers: map[principal.Principal]func(*Incoming){},
		queues: map[route][]*message{},
	}
}

// Now is the time in ns.
func (w *World) Now() uint64 { return w.now }

// Logs are the lines that canisters printed, each after its canister's id.
func (w *World) Logs() []string { return w.logs }

// SetEnv gives all canisters an environment variable.
func (w *World) SetEnv(name, value string) {
	if w.env == nil {
		w.env = map[string]string{}
	}
	w.env[name] = value
}

// Option changes how a canister is installed.
type Option func(*machine)

// RebuildAfterTrap makes the canister start anew over its stable memory, by its post-upgrade hook with no argument, whenever one of
// its messages traps. For canisters that keep nothing but caches on the heap and make no calls.
func RebuildAfterTrap(m *machine) { m.rebuild = true }

// Controllers sets who IsController is true for.
func Controllers(ps ...principal.Principal) Option {
	return func(m *machine) { m.controllers = append(m.controllers, ps...) }
}

// Install creates a canister and runs its init hook with the Candid encoding of arg.
func (w *World) Install(id principal.Principal, setup func(*cdk.Canister), arg any, opts ...Option) error {
	if w.canisters[id] != nil || w.handlers[id] != nil {
		return fmt.Errorf("install %v: %w", id, ErrExists)
	}
	data, err := encodeArgs(arg)
	if err != nil {
		return fmt.Errorf("install %v: %w", id, err)
	}
	m := &machine{w: w, id: id, setup: setup}
	for _, o := range opts {
		o(m)
	}
	m.c = cdk.New(m, setup)
	if err := m.hook(cdk.EntryInit, data); err != nil {
		return fmt.Errorf("install %v: %w", id, err)
	}
	w.canisters[id] = m
	return nil
}

// Upgrade runs the pre-upgrade hook, replaces the instance by a new one over the same stable memory and runs its post-upgrade
// hook with arg (nil for none). When a hook traps everything stays as it was. Calls still open have lost their callbacks.
func (w *World) Upgrade(id principal.Principal, setup func(*cdk.Canister), arg any) error {
	m := w.canisters[id]
	if m == nil {
		return fmt.Errorf("upgrade %v: %w", id, ErrNotFound)
	}
	data, err := encodeArgs(arg)
	if err != nil {
		return fmt.Errorf("upgrade %v: %w", id, err)
	}
	if err := m.upgrade(setup, data); err != nil {
		return fmt.Errorf("upgrade %v: %w", id, err)
	}
	return nil
}

// Handle lets fn answer all calls to id, by users and canisters. It may answer at once or keep the Incoming and answer later.
func (w *World) Handle(id principal.Principal, fn func(*Incoming)) { w.handlers[id] = fn }

// Incoming is a call to a handler.
type Incoming struct {
	w      *World
	ctx    *callContext
	To     principal.Principal
	Caller principal.Principal
	Method string
	Arg    []byte
	Cycles cdk.Cycles // attached
}

// Reply answers with Candid values.
func (in *Incoming) Reply(values ...any) {
	data, err := candid.Marshal(values...)
	if err != nil {
		panic(fmt.Sprintf("reply of %s: %v", in.Method, err))
	}
	in.ReplyRaw(data)
}

// ReplyRaw answers with bytes.
func (in *Incoming) ReplyRaw(data []byte) { in.w.answer(in.To, in.ctx, Answer{Data: data}) }

// Reject answers with a reject.
func (in *Incoming) Reject(code cdk.RejectCode, text string) {
	in.w.answer(in.To, in.ctx, Answer{Err: &cdk.RejectError{Code: code, Message: text}})
}

// Accept takes cycles from the attached ones.
func (in *Incoming) Accept(max cdk.Cycles) cdk.Cycles { return in.ctx.accept(max) }

func (x *callContext) accept(max cdk.Cycles) cdk.Cycles {
	if max.Cmp(x.cycles) > 0 {
		max = x.cycles
	}
	x.cycles = x.cycles.Sub(max)
	return max
}

// Pending is a call made by a user, which may not have been answered yet.
type Pending struct{ ctx *callContext }

// Answer returns the outcome, or nil while there is none.
func (p *Pending) Answer() *Answer { return p.ctx.answer }

// Submit enqueues an update call by a user. Nothing runs before Step, Run or Advance.
func (w *World) Submit(from, to principal.Principal, method string, args ...any) (*Pending, error) {
	arg, err := candid.Marshal(args...)
	if err != nil {
		return nil, fmt.Errorf("arguments of %s: %w", method, err)
	}
	return w.SubmitRaw(from, to, method, arg), nil
}

// SubmitRaw is Submit with an encoded argument. A message refused by the canister's inspection is answered with a reject.
func (w *World) SubmitRaw(from, to principal.Principal, method string, arg []byte) *Pending {
	ctx := &callContext{caller: from}
	if m := w.canisters[to]; m != nil && !m.inspect(from, method, arg) {
		ctx.answer = &Answer{Err: &cdk.RejectError{Code: cdk.CanisterReject, Message: "the canister refused the message"}}
		return &Pending{ctx}
	}
	w.push(route{from: from, to: to}, &message{to: to, call: ctx, method: method, arg: arg})
	return &Pending{ctx}
}

func (w *World) push(r route, m *message) {
	if len(w.queues[r]) == 0 {
		i := sort.Search(len(w.routes), func(i int) bool { return !w.routes[i].less(r) })
		w.routes = append(w.routes, route{})
		copy(w.routes[i+1:], w.routes[i:])
		w.routes[i] = r
	}
	w.queues[r] = append(w.queues[r], m)
}

// answer records the outcome of a call and sends it back to a calling canister.
func (w *World) answer(from principal.Principal, ctx *callContext, a Answer) {
	if ctx.answer != nil {
		panic(fmt.Sprintf("call to %v answered twice", from))
	}
	a.cycle = ctx.cycles
	ctx.answer = &a
	if ctx.machine != nil {
		w.push(route{from: from, to: ctx.machine.id, answer: w.rng.Uint64() | 1},
			&message{to: ctx.machine.id, call: ctx, answer: &a})
	}
}

// Step executes one message or one due timer, chosen by the scheduler; false means that there is none.
func (w *World) Step() bool {
	due := w.due()
	n := len(w.routes) + len(due)
	if n == 0 {
		return false
	}
	i := w.rng.IntN(n)
	if i >= len(w.routes) {
		m := due[i-len(w.routes)]
		m.timer = 0
		m.task(cdk.EntryTimer)
		return true
	}
	r := w.routes[i]
	msg := w.queues[r][0]
	if w.queues[r] = w.queues[r][1:]; len(w.queues[r]) == 0 {
		delete(w.queues, r)
		w.routes = append(w.routes[:i], w.routes[i+1:]...)
	}
	w.deliver(r.from, msg)
	return true
}

func (w *World) due() (ms []*machine) {
	for _, m := range w.canisters {
		if m.timer != 0 && m.timer <= w.now && !m.stopped {
			ms = append(ms, m)
		}
	}
	sort.Slice(ms, func(i, j int) bool { return ms[i].id.Compare(ms[j].id) < 0 })
	return ms
}

func (w *World) deliver(from principal.Principal, msg *message) {
	if w.Trace != nil {
		kind := "call " + msg.method
		if msg.answer != nil {
			kind = "answer"
		}
		w.Trace(fmt.Sprintf("%v -> %v: %s", from, msg.to, kind))
	}
	if msg.answer != nil {
		w.canisters[msg.to].callback(msg.call, msg.answer)
		return
	}
	if h := w.handlers[msg.to]; h != nil {
		h(&Incoming{w: w, ctx: msg.call, To: msg.to, Caller: from, Method: msg.method, Arg: msg.arg, Cycles: msg.call.cycles})
		return
	}
	m := w.canisters[msg.to]
	if m == nil {
		w.answer(msg.to, msg.call, Answer{Err: &cdk.RejectError{Code: cdk.DestinationInvalid, Message: fmt.Sprintf("canister %v not found", msg.to)}})
		return
	}
	if m.stopped {
		w.answer(msg.to, msg.call, Answer{Err: &cdk.RejectError{Code: cdk.CanisterError, Message: fmt.Sprintf("canister %v is stopped", msg.to)}})
		return
	}
	m.method(msg.call, msg.method, msg.arg)
}

// Run executes messages and due timers until nothing is left.
func (w *World) Run() error {
	for range maxSteps {
		if !w.Step() {
			return nil
		}
	}
	return ErrUnending
}

// Advance moves the clock by d, stopping at each time at which a timer is due, and runs everything on the way.
func (w *World) Advance(d time.Duration) error {
	end := w.now + uint64(d)
	for {
		if err := w.Run(); err != nil {
			return err
		}
		next := end
		for _, m := range w.canisters {
			if m.timer != 0 && m.timer < next && !m.stopped {
				next = m.timer
			}
		}
		if w.now == end {
			return nil
		}
		w.now = max(next, w.now)
	}
}

// Pass lets time pass while the subnet stands still: nothing runs.
func (w *World) Pass(d time.Duration) { w.now += uint64(d) }

// Tick runs the heartbeat of every canister that has one, then everything that follows.
func (w *World) Tick() error {
	var ids []principal.Principal
	for id := range w.canisters {
		ids = append(ids, id)
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i].Compare(ids[j]) < 0 })
	for _, id := range ids {
		w.canisters[id].task(cdk.EntryHeartbeat)
	}
	return w.Run()
}

// UpdateRaw makes an update call and runs the world until it is answered. Rejects are *cdk.RejectError.
func (w *World) UpdateRaw(from, to principal.Principal, method string, arg []byte) ([]byte, error) {
	p := w.SubmitRaw(from, to, method, arg)
	for range maxSteps {
		if a := p.Answer(); a != nil {
			if a.Err != nil {
				return nil, a.Err
			}
			return a.Data, nil
		}
		if !w.Step() {
			return nil, fmt.Errorf("%s: %w", method, ErrNoAnswer)
		}
	}
	return nil, fmt.Errorf("%s: %w", method, ErrUnending)
}

// QueryRaw makes a query call, which changes nothing. A composite query reaches canisters of this world, not handlers.
func (w *World) QueryRaw(from, to principal.Principal, method string, arg []byte) ([]byte, error) {
	m := w.canisters[to]
	if m == nil {
		return nil, &cdk.RejectError{Code: cdk.DestinationInvalid, Message: fmt.Sprintf("canister %v not found", to)}
	}
	a := m.query(from, method, arg)
	if a.Err != nil {
		return nil, a.Err
	}
	return a.Data, nil
}

// Update makes an update call with Candid values and decodes its one result (cdk.None if it has none).
func Update[R any](w *World, from, to principal.Principal, method string, args ...any) (R, error) {
	return typed[R](w.UpdateRaw, from, to, method, args)
}

// Query makes a query call with Candid values and decodes its one result.
func Query[R any](w *World, from, to principal.Principal, method string, args ...any) (R, error) {
	return typed[R](w.QueryRaw, from, to, method, args)
}

func typed[R any](call func(from, to principal.Principal, method string, arg []byte) ([]byte, error),
	from, to principal.Principal, method string, args []any) (R, error) {
	var r R
	arg, err := candid.Marshal(args...)
	if err != nil {
		return r, fmt.Errorf("arguments of %s: %w", method, err)
	}
	data, err := call(from, to, method, arg)
	if err != nil {
		return r, err
	}
	if _, none := any(r).(cdk.None); none {
		return r, nil
	}
	if err := candid.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("reply of %s: %w", method, err)
	}
	return r, nil
}

func encodeArgs(arg any) ([]byte, error) {
	switch arg := arg.(type) {
	case nil, cdk.None:
		return candid.Marshal()
	case []byte:
		return arg, nil // already encoded
	}
	return candid.Marshal(arg)
}

// trapText turns what a message panicked with into the reject message.
func trapText(r any) string {
	if t, ok := r.(*cdk.TrapError); ok {
		return t.Message
	}
	return fmt.Sprintf("panic: %v\n%s", r, debug.Stack())
}
