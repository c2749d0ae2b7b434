package execution

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"fusion/ic/principal"
	"fusion/replica/execution/wasm"
	"fusion/replica/management"
)

const (
	maxQueryDepth = 7          // of calls between composite queries
	queryPiece    = 50_000_000 // instructions between two looks at whether the query has to end
	queryGrace    = 500 * time.Millisecond
)

// QueryRequest is a query call.
type QueryRequest struct {
	Sender   principal.Principal
	Canister principal.Principal
	Method   string
	Arg      []byte
	// Certificate is what data_certificate_copy gives the canister; nil says that there is none.
	Certificate []byte
	// Info is what is known of the sender beyond its principal.
	Info CallerInfo
}

// QueryResult is the outcome of a query: a rejection if Reject is set, else Reply.
type QueryResult struct {
	Reply        []byte
	Reject       *Reject
	Instructions uint64
}

// Query executes a query on the canister's last committed execution. It may be called at any time, also while Round runs.
func (x *Executor) Query(ctx context.Context, r QueryRequest) QueryResult {
	q := &queryTree{x: x, ctx: ctx, left: x.cfg.QueryInstructions}
	done, rej := x.queue(ctx, r.Canister)
	if rej != nil {
		return QueryResult{Reject: rej}
	}
	defer done()
	out := q.call(r, 0)
	return QueryResult{Reply: out.data, Reject: out.reject, Instructions: x.cfg.QueryInstructions - q.left}
}

// Transform runs a query method of a canister as the management canister calls it to transform the response of an HTTPS outcall: arg is the
// Candid of its argument. It sees the canister's last committed execution, as Query does, may be called at any time, and ends after
// QueryInstructions.
func (x *Executor) Transform(ctx context.Context, canister principal.Principal, method string, arg []byte) (reply []byte, rej *Reject) {
	q := &queryTree{x: x, ctx: ctx, left: x.cfg.QueryInstructions, transform: true}
	out := q.call(QueryRequest{Sender: principal.Management, Canister: canister, Method: method, Arg: arg}, 0)
	return out.data, out.reject
}

func (x *Executor) queryPlaces() chan struct{} {
	return make(chan struct{}, max(x.cfg.QueryThreads/2, 1))
}

// queue waits for a place among the users' queries that run: there are Config.QueryThreads, of which one canister has at most half, so that
// queries of others need not wait for those of a slow one. A query gives its place back within QueryInstructions, or when ctx ends.
func (x *Executor) queue(ctx context.Context, id principal.Principal) (done func(), rej *Reject) {
	c := x.lookup(id)
	if c == nil || c.kind != wasmCanister {
		return func() {}, nil // cheap
	}
	for _, places := range []chan struct{}{c.queries, x.queries} {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			if places == x.queries {
				<-c.queries
			}
			return nil, reject(errQueryTime, "The query of Canister %s was given up while it waited for others: %v", id, ctx.Err())
		}
	}
	return func() { <-x.queries; <-c.queries }, nil
}

// queryTree is a query with all that it calls.
type queryTree struct {
	x     *Executor
	ctx   context.Context
	left  uint64      // instructions
	stack []*canister // whose read locks it holds

	transform bool // an HTTPS outcall's, not a user's
}

func rejected(code errorCode, format string, args ...any) response {
	return response{reject: reject(code, format, args...)}
}

func (q *queryTree) call(r QueryRequest, depth int) response {
	x := q.x
	if err := q.ctx.Err(); err != nil {
		return rejected(errQueryTime, "The query of Canister %s was given up: %v", r.Canister, err)
	}
	for _, c := range q.stack {
		if c.id == r.Canister {
			return rejected(errQueryLoop, "Canister %s is called by a query of its own", r.Canister)
		}
	}
	if r.Canister == principal.Management {
		return q.management(r)
	}
	c := x.lookup(r.Canister)
	if c == nil {
		return rejected(errCanisterNotFound, "Canister %s not found", r.Canister)
	}
	if c.kind == nativeCanister {
		out := c.native.Call(NativeCall{Method: r.Method, Arg: r.Arg, Caller: r.Sender, TimeNs: x.now(), Nodes: x.nodeCount(), Query: true})
		return response{data: out.Reply, reject: out.Reject}
	}
	if err := q.lock(c); err != nil {
		return rejected(errQueryTime, "The query of Canister %s was given up: %v", r.Canister, err)
	}
	defer c.mu.RUnlock()
	q.stack = append(q.stack, c)
	defer func() { q.stack = q.stack[:len(q.stack)-1] }()
	if rej := c.view.available(c.id, r.Method); rej != nil {
		return response{reject: rej}
	}
	code := x.load(c, x.cfg.Reader)
	name, m := "canister_query "+r.Method, modeNRQ
	if q.transform {
		m = modeTQ
	}
	if !code.module.HasExport(name) {
		name, m = "canister_composite_query "+r.Method, modeCQ
		if q.transform || !code.module.HasExport(name) {
			return rejected(errMethodNotFound, "Error from Canister %s: Canister has no query method '%s'", c.id, r.Method)
		}
	}
	e, release, err := x.beginQuery(c, code, m)
	if err != nil {
		return rejected(errEngine, "Error from Canister %s: the engine could not make an instance: %v", c.id, err)
	}
	defer release()
	e.arg, e.method, e.callerBytes, e.canReply = r.Arg, r.Method, r.Sender.Bytes(), true
	if depth == 0 {
		e.certificate, e.info = r.Certificate, r.Info
	}
	return q.run(e, export(name), r, depth)
}

// lock takes the read lock of c. A query that holds others must not wait for it without end: while two canisters are to be committed, two
// queries could each hold one of them and wait for the other.
func (q *queryTree) lock(c *canister) error {
	if len(q.stack) == 0 {
		c.mu.RLock()
		return nil
	}
	for !c.mu.TryRLock() {
		if err := q.over(); err != nil {
			return err
		}
		time.Sleep(100 * time.Microsecond)
	}
	return nil
}

// over says why the query has to end, if it has to.
func (q *queryTree) over() error {
	for _, c := range q.stack {
		if since := c.wanted.Load(); since != 0 && time.Now().UnixNano()-since > int64(queryGrace) {
			return errStateChanges
		}
	}
	return q.ctx.Err()
}

// lock takes the write lock of c for a commit. Queries that run on it have queryGrace to end: blocks do not wait for them longer.
func (c *canister) lock() {
	if !c.mu.TryLock() {
		c.wanted.Store(time.Now().UnixNano())
		c.mu.Lock()
		c.wanted.Store(0)
	}
}

var errStateChanges = errors.New("the canister's state is about to change, ask again")

// run executes the method and, for a composite query, the calls it makes with their callbacks, until there is a response.
func (q *queryTree) run(e *exec, entry entry, r QueryRequest, depth int) response {
	var open []outCall
	rej := q.step(e, entry)
	for {
		if rej == nil && e.response != nil {
			return *e.response
		}
		if rej == nil {
			open = append(open, e.calls...)
		}
		if len(open) == 0 {
			if rej == nil {
				rej = reject(errDidNotReply, "Error from Canister %s: Canister did not reply to the call of '%s'", e.c.id, r.Method)
			}
			return response{reject: rej}
		}
		if depth == maxQueryDepth {
			return rejected(errQueryTooDeep, "The queries call each other more than %d levels deep", maxQueryDepth)
		}
		call := open[0]
		open = open[1:]
		if !call.cycles.IsZero() {
			panic("execution: a query attached cycles")
		}
		out := q.call(QueryRequest{Sender: e.c.id, Canister: call.callee, Method: call.method, Arg: call.arg}, depth+1)
		fn := call.reply
		e.mode, e.arg, e.rejectCode, e.rejectMessage = modeCRy, out.data, 0, nil
		if out.reject != nil {
			fn = call.reject
			e.mode, e.arg, e.rejectCode, e.rejectMessage = modeCRt, nil, out.reject.Code, []byte(out.reject.Message)
		}
		e.certificate = nil
		if rej = q.step(e, fn.entry()); rej == nil {
			continue
		}
		// A trap ends the query, unless a cleanup callback has put things in order: then the other calls go on.
		if call.cleanup == nil {
			return response{reject: rej}
		}
		e.mode, e.canReply = modeCC, false
		if failed := q.step(e, call.cleanup.entry()); failed != nil {
			rej.Message += "; its cleanup callback failed too: " + failed.Message
			return response{reject: rej}
		}
		e.canReply = true
	}
}

// step runs one entry point of a query. Unlike in Round its changes stay in the instance for the callbacks that follow, unless it traps.
func (q *queryTree) step(e *exec, entry entry) *Reject {
	e.calls, e.under, e.response, e.replyData, e.fault = nil, nil, nil, e.replyData[:0], 0
	// The instructions are handed out in pieces, so that a query whose caller has gone does not run to its end.
	given := min(q.left, queryPiece)
	e.inst.Refill = func() uint64 {
		if q.over() != nil {
			return 0
		}
		more := min(q.left-given, queryPiece)
		given += more
		return more
	}
	used, err := entry(e.inst, given)
	e.inst.Refill = nil
	q.left -= min(used, q.left)
	e.contextInstructions += used
	if err == nil {
		return nil
	}
	rej := q.x.rejectOf(e, err)
	if cause := q.over(); cause != nil {
		rej = reject(errQueryTime, "The query of Canister %s was given up: %v", e.c.id, cause)
	}
	if rej.Error == "IC0522" && len(q.stack) > 1 {
		rej = reject(errQueryInstructions, "The query and what it calls exceed the limit of %d instructions", q.x.cfg.QueryInstructions)
	}
	if err := e.inst.Rollback(); err != nil {
		panic(fmt.Sprintf("execution: rollback: %v", err))
	}
	return rej
}

func (x *Executor) now() uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.nowNs
}

// available says why a canister cannot execute a user's request, if it cannot.
func (v *view) available(id principal.Principal, method string) *Reject {
	switch {
	case v.status == stopping:
		return reject(errStopping, "Canister %s is stopping and does not take the call of '%s'", id, method)
	case v.status == stopped:
		return reject(errStopped, "Canister %s is stopped and does not take the call of '%s'", id, method)
	case len(v.moduleHash) == 0:
		return reject(errModuleNotFound, "Error from Canister %s: Attempted to execute '%s', but the canister contains no Wasm module", id, method)
	case v.cycles.Cmp(v.frozen) < 0:
		return reject(errOutOfCycles, "Canister %s is frozen: it has %s cycles, and its freezing limit is %s", id, v.cycles, v.frozen)
	}
	return nil
}

// beginQuery prepares a non-replicated execution; c.mu is held for reading until release.
func (x *Executor) beginQuery(c *canister, code *code, m mode) (e *exec, release func(), err error) {
	inst, err := code.image.Query()
	if err != nil {
		return nil, nil, err
	}
	inst.SetMemoryLimit(uint32(x.cfg.MaxHeapBytes / wasmPage))
	v := &c.view
	e = &exec{x: x, c: c, mode: m, inst: inst, price: x.prices(), keys: x.currentKeys(), self: c.id.Bytes(), timeNs: x.now(), settings: &v.settings, status: v.status, version: v.version,
		memoryBase: v.memory - (v.heapPages+v.stablePages)*wasmPage, balance: v.cycles, certified: v.certified}
	e.stable.begin(&c.stable, nil, v.stablePages, x.stableLoader(c, x.cfg.Reader))
	inst.Ctx = e
	return e, func() {
		if err := inst.Release(); err != nil {
			x.cfg.Log.Error("a query's instance was lost", "canister", c.id.String(), "err", err)
		}
	}, nil
}

// management answers the queries of the management canister.
func (q *queryTree) management(r QueryRequest) response {
	x := q.x
	info, ok := management.Methods[r.Method]
	if !ok || !info.Query {
		return rejected(errMethodNotFound, "Management canister has no query method '%s'", r.Method)
	}
	var out response
	if r.Method == "list_canisters" {
		if out.reject = decodeArg(r.Method, r.Arg); out.reject == nil {
			out.data, out.reject = x.listCanisters(r.Sender)
		}
		return out
	}
	var a management.CanisterID
	if rej := decodeArg(r.Method, r.Arg, &a); rej != nil {
		return response{reject: rej}
	}
	c := x.lookup(a.CanisterID)
	if c == nil || c.kind != wasmCanister {
		return rejected(errCanisterNotFound, "Canister %s not found", a.CanisterID)
	}
	if !slices.Contains(q.stack, c) { // or it holds the lock already
		if err := q.lock(c); err != nil {
			return rejected(errQueryTime, "The query of Canister %s was given up: %v", a.CanisterID, err)
		}
		defer c.mu.RUnlock()
	}
	v := &c.view
	switch r.Method {
	case "canister_status":
		out.data, out.reject = v.statusReply(a.CanisterID, r.Sender, x.isAdmin(r.Sender))
	case "canister_metrics":
		out.data, out.reject = v.metricsReply(a.CanisterID, r.Sender, x.isAdmin(r.Sender))
	case "fetch_canister_logs":
		out.data, out.reject = v.logsReply(a.CanisterID, r.Sender)
	default:
		panic("execution: management query " + r.Method + " is listed and not carried out")
	}
	return out
}

// InspectMessage decides whether a user's message may enter a block, before any replica spends work on it: the receiver exists, runs and
// can pay, and its canister_inspect_message, if it has one, accepts. It may be called at any time and binds no other replica.
func (x *Executor) InspectMessage(ctx context.Context, m Ingress) *Reject {
	if err := ctx.Err(); err != nil {
		return reject(errIngressTimeout, "%v", err)
	}
	if m.Canister == principal.Management {
		return x.inspectManagement(&m)
	}
	c := x.lookup(m.Canister)
	if c == nil {
		return reject(errCanisterNotFound, "Canister %s not found", m.Canister)
	}
	if c.kind == nativeCanister {
		if i, ok := c.native.(Inspector); ok {
			return i.Inspect(m.Sender, m.Method)
		}
		return nil
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	v := &c.view
	if rej := v.available(c.id, m.Method); rej != nil {
		return rej
	}
	if cost := x.prices().ingress(uint64(len(m.Method) + len(m.Arg))); v.cycles.Sub(v.frozen).Cmp(cost) < 0 {
		return reject(errOutOfCycles, "Canister %s is out of cycles and cannot take the message", c.id)
	}
	code := x.load(c, x.cfg.Reader)
	const name = "canister_inspect_message"
	if !code.module.HasExport(name) {
		return nil
	}
	e, release, err := x.beginQuery(c, code, modeF)
	if err != nil {
		return reject(errEngine, "Error from Canister %s: the engine could not make an instance: %v", c.id, err)
	}
	defer release()
	e.arg, e.method, e.callerBytes, e.info = m.Arg, m.Method, m.Sender.Bytes(), m.Info
	if _, err := e.inst.Run(name, x.cfg.InspectInstructions); err != nil {
		return x.rejectOf(e, err)
	}
	if !e.accepted {
		return reject(errCanisterRejected, "Canister %s rejected ingress message '%s'", c.id, m.Method)
	}
	return nil
}

// inspectManagement lets only those users' calls through that have a chance: known methods of canisters that the sender controls.
func (x *Executor) inspectManagement(m *Ingress) *Reject {
	info := management.Methods[m.Method]
	id, anyCanister, err := management.EffectiveCanister(m.Method, m.Arg, false)
	switch {
	case err != nil:
		return reject(errCanisterRejected, "Management canister: %v", err)
	case info.Provisional && !x.cfg.Local:
		return reject(errCanisterRejected, "Management canister method '%s' exists on local networks only", m.Method)
	case info.Admin:
		if !x.isAdmin(m.Sender) {
			return reject(errCanisterRejected, "Only canisters and subnet admins can call the management canister method '%s'", m.Method)
		}
		return nil
	case info.Provisional || anyCanister:
		return nil
	}
	c := x.lookup(id)
	if c == nil || c.kind != wasmCanister {
		return reject(errCanisterNotFound, "Canister %s not found", id)
	}
	c.mu.RLock()
	set := c.view.settings
	c.mu.RUnlock()
	switch {
	case containsPrincipal(set.Controllers, m.Sender):
		if m.Method == "install_code" {
			return x.warmUp(m)
		}
		return nil
	case x.isAdmin(m.Sender),
		m.Method == "canister_status" && set.Status.allows(set.Controllers, m.Sender),
		readsSnapshots[m.Method] && set.Snapshots.allows(set.Controllers, m.Sender):
		return nil
	}
	return notController(id, set.Controllers, m.Sender)
}

// readsSnapshots are the methods that snapshot_visibility is about.
var readsSnapshots = map[string]bool{"list_canister_snapshots": true, "read_canister_snapshot_metadata": true, "read_canister_snapshot_data": true}

// warmUp compiles the module of an install_code message, so that the block with the message does not wait for the compiler and nobody
// waits for a block to hear that the module is bad. Only controllers get here.
func (x *Executor) warmUp(m *Ingress) *Reject {
	var a management.InstallCodeArgs
	if rej := decodeArg(m.Method, m.Arg, &a); rej != nil {
		return rej
	}
	x.warmMu.Lock()
	defer x.warmMu.Unlock()
	module, err := x.cfg.Engine.Compile(a.WasmModule)
	switch {
	case errors.Is(err, wasm.ErrInvalid):
		return reject(errInvalidWasm, "Error from Canister %s: Canister's Wasm module is not valid: %v", a.CanisterID, err)
	case err != nil:
		x.cfg.Log.Error("a module could not be compiled ahead", "canister", a.CanisterID.String(), "err", err)
		return nil
	}
	if x.warm[0] != nil {
		closing(x.warm[0].Close())
	}
	copy(x.warm[:], x.warm[1:])
	x.warm[len(x.warm)-1] = module
	return nil
}
