package native

import (
	"fmt"
	"slices"

	"fusion/cdk"
	"fusion/cdk/stable"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// machine is one canister and the cdk.System under it.
type machine struct {
	w           *World
	id          principal.Principal
	c           *cdk.Canister
	setup       func(*cdk.Canister)
	rebuild     bool
	controllers []principal.Principal
	version     uint64 // installs and upgrades
	stopped     bool

	memory    journal
	certified []byte
	timer     uint64

	// The running message.
	ctx        *callContext // nil in hooks and tasks
	caller     principal.Principal
	arg        []byte
	reject     *cdk.RejectError
	refund     cdk.Cycles
	methodName string
	accepted   bool
	replicated bool
	answer     *Answer
	calls      []*message
	mayCall    bool
}

// run executes one entry as a message: on a trap everything but the heap is as before. The returned text is the trap's.
func (m *machine) run(e cdk.Entry, n uint32) (trap string, ok bool) {
	certified, timer := m.certified, m.timer
	var before callContext
	if m.ctx != nil {
		before = *m.ctx
	}
	m.answer, m.calls = nil, nil
	m.memory.begin()
	func() {
		defer func() {
			if r := recover(); r != nil {
				trap = trapText(r)
				return
			}
			ok = true
		}()
		m.c.Run(e, n)
	}()
	if ok {
		m.memory.commit()
		return "", true
	}
	m.memory.rollback()
	m.c.Undo()
	m.certified, m.timer, m.answer, m.calls = certified, timer, nil, nil
	if m.ctx != nil {
		m.ctx.cycles, m.ctx.outstanding = before.cycles, before.outstanding
	}
	return trap, false
}

// finish sends what a successful message produced and rejects a call that can no longer be answered.
func (m *machine) finish(ctx *callContext) {
	for _, c := range m.calls {
		m.w.push(route{from: m.id, to: c.to}, c)
	}
	m.calls = nil
	if ctx == nil {
		return
	}
	if m.answer != nil {
		m.w.answer(m.id, ctx, *m.answer)
		m.answer = nil
	}
	if ctx.answer == nil && ctx.outstanding == 0 {
		m.w.answer(m.id, ctx, Answer{Err: &cdk.RejectError{Code: cdk.CanisterError, Message: fmt.Sprintf("canister %v did not reply to the call", m.id)}})
	}
}

func (m *machine) enter(ctx *callContext, caller principal.Principal, arg []byte) {
	m.ctx, m.caller, m.arg, m.reject, m.refund = ctx, caller, arg, nil, cdk.Cycles{}
	m.replicated, m.mayCall, m.accepted, m.methodName = true, true, false, ""
}

// trapped restarts a canister that asked for it.
func (m *machine) trapped() {
	if !m.rebuild {
		return
	}
	if err := m.upgrade(m.setup, nil); err != nil {
		panic(fmt.Sprintf("rebuild of %v after a trap: %v", m.id, err))
	}
}

func (m *machine) hook(e cdk.Entry, arg []byte) error {
	m.enter(nil, m.id, arg)
	m.mayCall = false
	if text, ok := m.run(e, 0); !ok {
		return &cdk.TrapError{Message: text}
	}
	return nil
}

func (m *machine) upgrade(setup func(*cdk.Canister), arg []byte) error {
	old, oldSetup, timer := m.c, m.setup, m.timer
	before := m.memory.heap.Clone()
	if err := m.hook(cdk.EntryPreUpgrade, nil); err != nil {
		return err
	}
	m.timer = 0 // an upgrade disarms
	m.c, m.setup = cdk.New(m, setup), setup
	m.version++
	if err := m.hook(cdk.EntryPostUpgrade, arg); err != nil {
		m.c, m.setup, m.timer = old, oldSetup, timer
		m.version--
		m.memory.heap = *before
		return err
	}
	return nil
}

func (m *machine) task(e cdk.Entry) {
	m.enter(nil, m.id, nil)
	if text, ok := m.run(e, 0); !ok {
		m.Print("trap: " + text)
		m.trapped()
		return
	}
	m.finish(nil)
}

func (m *machine) inspect(caller principal.Principal, method string, arg []byte) bool {
	if !m.c.Entries().Inspect {
		return true
	}
	m.enter(nil, caller, arg)
	m.methodName, m.replicated, m.mayCall = method, false, false
	_, ok := m.run(cdk.EntryInspect, 0)
	return ok && m.accepted
}

func (m *machine) method(ctx *callContext, name string, arg []byte) {
	i, kind, ok := m.c.Lookup(name)
	if !ok || kind == candid.CompositeQuery {
		m.w.answer(m.id, ctx, Answer{Err: noMethod(m.id, name)})
		return
	}
	m.enter(ctx, ctx.caller, arg)
	if text, ok := m.run(cdk.EntryMethod, i); !ok {
		m.w.answer(m.id, ctx, Answer{Err: &cdk.RejectError{Code: cdk.CanisterError, Message: "canister trapped: " + text}})
		m.trapped()
		return
	}
	m.finish(ctx)
}

// query runs a query on behalf of the composite queries in path, innermost last.
func (m *machine) query(caller principal.Principal, name string, arg []byte, path ...*machine) Answer {
	i, kind, ok := m.c.Lookup(name)
	if ok && kind == candid.CompositeQuery {
		return m.compositeQuery(caller, i, arg, path)
	}
	if !ok || kind != candid.Query {
		return Answer{Err: noMethod(m.id, name)}
	}
	ctx := &callContext{caller: caller}
	m.enter(ctx, caller, arg)
	m.replicated, m.mayCall = false, false
	certified, timer := m.certified, m.timer
	m.memory.hold = true
	text, ok := m.run(cdk.EntryMethod, i)
	m.memory.hold = false
	m.memory.rollback()
	m.certified, m.timer = certified, timer
	a := m.answer
	switch {
	case !ok:
		return Answer{Err: &cdk.RejectError{Code: cdk.CanisterError, Message: "canister trapped: " + text}}
	case a == nil:
		return Answer{Err: &cdk.RejectError{Code: cdk.CanisterError, Message: fmt.Sprintf("canister %v did not reply to the call", m.id)}}
	}
	return *a
}

// compositeQuery runs a query and the queries it calls, one after the other. A canister is on a path of queries at most once.
func (m *machine) compositeQuery(caller principal.Principal, index uint32, arg []byte, path []*machine) Answer {
	before, certified, timer := m.memory.heap.Clone(), m.certified, m.timer
	defer func() { m.memory.heap, m.certified, m.timer = *before, certified, timer }()
	ctx := &callContext{caller: caller}
	frozen := func(caller principal.Principal, arg []byte) {
		m.enter(ctx, caller, arg)
		m.replicated = false
	}
	frozen(caller, arg)
	text, ok := m.run(cdk.EntryMethod, index)
	path = append(path, m)
	var waiting []*message
	for {
		waiting = append(waiting, m.calls...)
		if ok && m.answer != nil {
			ctx.answer, m.answer = m.answer, nil
		}
		m.calls = nil
		if len(waiting) == 0 {
			break
		}
		call := waiting[0]
		waiting = waiting[1:]
		var a Answer
		switch to := m.w.canisters[call.to]; {
		case m.w.handlers[call.to] != nil:
			asked := &callContext{caller: m.id}
			m.w.handlers[call.to](&Incoming{w: m.w, ctx: asked, To: call.to, Caller: m.id, Method: call.method, Arg: call.arg})
			if a.Err = noMethod(call.to, call.method); asked.answer != nil {
				a = *asked.answer
			}
		case to == nil:
			a.Err = &cdk.RejectError{Code: cdk.DestinationInvalid, Message: fmt.Sprintf("canister %v not found", call.to)}
		case slices.Contains(path, to):
			a.Err = &cdk.RejectError{Code: cdk.CanisterError, Message: fmt.Sprintf("canister %v is already part of this composite query", call.to)}
		default:
			a = to.query(m.id, call.method, call.arg, path...)
		}
		e := cdk.EntryReply
		if a.Err != nil {
			e = cdk.EntryReject
		}
		frozen(caller, a.Data)
		m.reject = a.Err
		if text, ok = m.run(e, call.call.env); !ok {
			frozen(caller, nil)
			m.mayCall = false
			if text, ok := m.run(cdk.EntryCleanup, call.call.env); !ok {
				m.Print("trap in cleanup: " + text)
			}
			m.calls = nil
		}
	}
	switch {
	case ctx.answer != nil:
		return *ctx.answer
	case !ok:
		return Answer{Err: &cdk.RejectError{Code: cdk.CanisterError, Message: "canister trapped: " + text}}
	}
	return Answer{Err: &cdk.RejectError{Code: cdk.CanisterError, Message: fmt.Sprintf("canister %v did not reply to the call", m.id)}}
}

func noMethod(id principal.Principal, name string) *cdk.RejectError {
	return &cdk.RejectError{Code: cdk.DestinationInvalid, Message: fmt.Sprintf("canister %v has no such method %q", id, name)}
}

// callback delivers the answer of a call that this canister made.
func (m *machine) callback(call *callContext, a *Answer) {
	ctx := call.parent
	if ctx != nil {
		ctx.outstanding--
	}
	enter := func() {
		caller := m.id
		if ctx != nil {
			caller = ctx.caller
		}
		m.enter(ctx, caller, a.Data)
		m.reject, m.refund = a.Err, a.cycle
	}
	enter()
	e := cdk.EntryReply
	if a.Err != nil {
		e = cdk.EntryReject
	}
	text, ok := m.run(e, call.env)
	if !ok {
		m.Print("trap in callback: " + text)
		enter()
		m.mayCall = false
		if text, ok := m.run(cdk.EntryCleanup, call.env); !ok {
			m.Print("trap in cleanup: " + text)
		}
		m.calls = nil
		if ctx != nil && ctx.answer == nil && ctx.outstanding == 0 {
			m.w.answer(m.id, ctx, Answer{Err: &cdk.RejectError{Code: cdk.CanisterError, Message: "canister trapped: " + text}})
		}
		m.trapped()
		return
	}
	m.finish(ctx)
}

// The rest implements cdk.System.

func (m *machine) Arg() []byte                 { return slices.Clone(m.arg) }
func (m *machine) Caller() principal.Principal { return m.caller }
func (m *machine) Self() principal.Principal   { return m.id }

// CallerInfo is nothing: callers here are named, not authenticated.
func (m *machine) CallerInfo() ([]byte, principal.Principal) { return nil, principal.Management }

func (m *machine) RejectCode() cdk.RejectCode {
	if m.reject == nil {
		return 0
	}
	return m.reject.Code
}

func (m *machine) RejectMessage() string {
	if m.reject == nil {
		m.Trap("no reject message here")
	}
	return m.reject.Message
}

func (m *machine) respond(a Answer) {
	if m.ctx == nil || m.ctx.answer != nil || m.answer != nil {
		m.Trap("the call was already answered, or there is none")
	}
	m.answer = &a
}

func (m *machine) Reply(data []byte) { m.respond(Answer{Data: slices.Clone(data)}) }
func (m *machine) Reject(text string) {
	m.respond(Answer{Err: &cdk.RejectError{Code: cdk.CanisterReject, Message: text}})
}

func (m *machine) CyclesAvailable() cdk.Cycles {
	if m.ctx == nil {
		return cdk.Cycles{}
	}
	return m.ctx.cycles
}

func (m *machine) AcceptCycles(max cdk.Cycles) cdk.Cycles {
	if m.ctx == nil {
		return cdk.Cycles{}
	}
	return m.ctx.accept(max)
}

func (m *machine) CyclesRefunded() cdk.Cycles { return m.refund }
func (m *machine) Balance() cdk.Cycles        { return cdk.Cycles{Hi: 1} }
func (m *machine) MethodName() string         { return m.methodName }
func (m *machine) AcceptMessage()             { m.accepted = true }

func (m *machine) Call(o cdk.Outgoing) bool {
	if !m.mayCall {
		m.Trap("calls are not allowed here")
	}
	ctx := &callContext{caller: m.id, machine: m, parent: m.ctx, env: o.Env, cycles: o.Cycles}
	if m.ctx != nil {
		m.ctx.outstanding++
	}
	m.calls = append(m.calls, &message{to: o.To, call: ctx, method: o.Method, arg: slices.Clone(o.Arg)})
	return true
}

func (m *machine) SetCertifiedData(data []byte) {
	if len(data) > 32 {
		m.Trap(fmt.Sprintf("certified data of %d bytes, at most 32", len(data)))
	}
	m.certified = slices.Clone(data)
}

// DataCertificate stands for a certificate: tests read the certified data from it directly.
func (m *machine) DataCertificate() ([]byte, bool) {
	if m.replicated {
		return nil, false
	}
	return slices.Clone(m.certified), true
}

func (m *machine) PerformanceCounter(uint32) uint64 {
	if m.w.Instructions == nil {
		return 0
	}
	return m.w.Instructions(m.id)
}

func (m *machine) Time() uint64                            { return m.w.now }
func (m *machine) SetGlobalTimer(at uint64)                { m.timer = at }
func (m *machine) IsController(p principal.Principal) bool { return slices.Contains(m.controllers, p) }
func (m *machine) Version() uint64                         { return m.version }
func (m *machine) EnvVar(name string) (string, bool)       { v, ok := m.w.env[name]; return v, ok }
func (m *machine) InReplicated() bool                      { return m.replicated }
func (m *machine) Print(text string)                       { m.w.logs = append(m.w.logs, m.id.String()+": "+text) }
func (m *machine) Trap(text string)                        { panic(&cdk.TrapError{Message: text}) }
func (m *machine) Stable() stable.Memory                   { return &m.memory }

// Certified is the certified data of a canister.
func (w *World) Certified(id principal.Principal) []byte {
	return slices.Clone(w.canisters[id].certified)
}

// journal is stable memory with an undo log of the message that is running.
type journal struct {
	heap stable.Heap
	undo []undo
	size uint64
	// hold keeps the undo log over commit, for queries.
	hold bool
}

type undo struct {
	offset uint64
	old    []byte
}

func (j *journal) begin() { j.undo, j.size = j.undo[:0], j.heap.Size() }

func (j *journal) commit() {
	if !j.hold {
		j.begin()
	}
}

func (j *journal) rollback() {
	for i := len(j.undo) - 1; i >= 0; i-- {
		j.heap.Write(j.undo[i].offset, j.undo[i].old)
	}
	j.heap.Truncate(j.size)
	j.begin()
}

func (j *journal) Size() uint64                   { return j.heap.Size() }
func (j *journal) Grow(pages uint64) bool         { return j.heap.Grow(pages) }
func (j *journal) Read(dst []byte, offset uint64) { j.heap.Read(dst, offset) }

func (j *journal) Write(offset uint64, src []byte) {
	if offset < j.size*stable.PageSize { // what lies beyond disappears with the growth
		old := make([]byte, min(uint64(len(src)), j.size*stable.PageSize-offset))
		j.heap.Read(old, offset)
		j.undo = append(j.undo, undo{offset, old})
	}
	j.heap.Write(offset, src)
}
