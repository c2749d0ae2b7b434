package execution

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
	"sync"
	"sync/atomic"

	"fusion/ic/principal"
	"fusion/internal/codec"
	"fusion/internal/kv"
	"fusion/replica/execution/wasm"
)

// ErrState means that the store holds something that this version cannot read.
var ErrState = errors.New("execution state is malformed")

// The key space. Ids are length-prefixed, numbers big-endian, so that all keys of one canister of one kind are one range.
const (
	keyGlobal   = 'g' // globalRecord
	keyCanister = 'c' // id → record
	keyModule   = 'm' // id → module as installed
	keyHeap     = 'h' // layer, 32-bit page → 4 KiB of heap; see layers.go
	keyStable   = 's' // layer, 64-bit page → 4 KiB of stable memory, or nothing for zeroes
	keyChunk    = 'k' // layer, hash → chunk of the chunk store
	keyLog      = 'l' // id → log records
	keyMessage  = 'q' // id, 64-bit sequence number → message waiting at the canister
	keyPending  = 'p' // 64-bit id → open system call
	keyIngress  = 'i' // request id → ingress status
	keyMetadata = 'n' // id → sections of the installed module
	keyPaused   = 'r' // id → the job that stands still
	keyNodes    = 'e' // 64-bit UTC day → nodeSample
	keyDialogue = 'a' // 64-bit id → dialogue; followed by a 32-bit number → answer that came to one of its questions
	keyDeleted  = 'd' // id → empty: the id of a deleted canister is never given again
	keyWard     = 'w' // id → empty: a custodial canister made this one, see custody.go
)

func keyOf(kind byte, id principal.Principal, suffix ...byte) []byte {
	k := make([]byte, 0, 2+principal.MaxLen+len(suffix))
	k = append(k, kind, byte(id.Len()))
	k = id.Append(k)
	return append(k, suffix...)
}

func be32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
func be64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

type globalRecord struct {
	_            struct{} `cbor:",toarray"`
	Height       uint64
	TimeNs       uint64
	NextCanister uint64 // next number to try for an id of our choice
	NextCall     uint64 // next id of a system call
	NextDone     uint64 // next number of a terminal ingress status
	LastLayer    uint64
	Executed     uint64 // messages, tasks and callbacks so far
}

type status uint8

const (
	running  status = 1
	stopping status = 2
	stopped  status = 3
)

func (s status) String() string {
	switch s {
	case running:
		return "running"
	case stopping:
		return "stopping"
	}
	return "stopped"
}

// Who may see the logs, the status, the snapshots.
const (
	visibleToControllers uint8 = iota
	visibleToAll
	visibleToViewers
)

type visibility struct {
	_       struct{} `cbor:",toarray"`
	Kind    uint8
	Viewers []principalBytes
}

// principalBytes is a principal as records hold it.
type principalBytes []byte

func (b principalBytes) principal() principal.Principal { return principal.MustFromBytes(b) }

type envVar struct {
	_     struct{} `cbor:",toarray"`
	Name  string
	Value string
}

type settings struct {
	_             struct{} `cbor:",toarray"`
	Controllers   []principalBytes
	Compute       uint64
	Memory        uint64
	Freezing      uint64 // seconds
	ReservedLimit Cycles
	MinIncoming   Cycles
	Logs          visibility
	Snapshots     visibility
	Status        visibility
	WasmLimit     uint64
	WasmThreshold uint64
	Env           []envVar
}

// The origin of a call says where its response goes.
const (
	originNone    uint8 = iota // a system task: nobody waits
	originIngress              // ID is the request id
	originCall                 // ID is the calling canister
	originNative               // ID is the calling canister, which is implemented in Go, Callback its dialogue
)

type origin struct {
	_        struct{} `cbor:",toarray"`
	Kind     uint8
	ID       []byte
	Callback uint64
	Deadline uint64 // ns, of a best-effort call; 0 otherwise
}

// message waits at a canister: a request or a response.
type message struct {
	_        struct{} `cbor:",toarray"`
	Response bool
	Method   string
	Data     []byte // argument or reply
	Caller   principalBytes
	Cycles   Cycles // attached or refunded
	Origin   origin // of a request
	Callback uint64 // of a response
	Reject   *Reject
	Expiry   uint64 // of an ingress message
	Info     CallerInfo

	seq    uint64
	stored bool
}

// size is what a response counts in the price of carrying it.
func (m *message) size() uint64 {
	n := uint64(len(m.Data))
	if m.Reject != nil {
		n += uint64(len(m.Reject.Message))
	}
	return n
}

type callContext struct {
	_            struct{} `cbor:",toarray"`
	ID           uint64
	Origin       origin
	Caller       principalBytes
	Info         CallerInfo
	Method       string
	Available    Cycles
	Responded    bool
	Deleted      bool   // the code it belonged to was uninstalled
	Outstanding  uint64 // callbacks not yet run
	Instructions uint64
}

// closure is a function of the canister's table with its argument.
type closure struct {
	_     struct{} `cbor:",toarray"`
	Index uint32
	Env   uint64
}

type callback struct {
	_        struct{} `cbor:",toarray"`
	ID       uint64
	Context  uint64
	Callee   principalBytes
	Reply    closure
	Reject   closure
	Cleanup  *closure
	Prepaid  Cycles // for carrying the response and running the callback
	Deadline uint64
	Answered bool // a response is in the queue; a later one is dropped
}

type stopRequest struct {
	_      struct{} `cbor:",toarray"`
	Origin origin
	Cycles Cycles
	Since  uint64
}

// change is an entry of the canister's history.
type change struct {
	_           struct{} `cbor:",toarray"`
	Time        uint64
	Version     uint64
	Origin      principalBytes
	FromUser    bool
	OriginVer   *uint64
	Kind        uint8
	Mode        uint8  // of a deployment
	Hash        []byte // of the module, or of the environment variables of a creation that named some
	Controllers []principalBytes
	Load        *loadedSnapshot
}

// loadedSnapshot is the snapshot of a changeLoadSnapshot.
type loadedSnapshot struct {
	_        struct{}       `cbor:",toarray"`
	Canister principalBytes // where it was another one
	ID       []byte
	Version  uint64
	TakenNs  uint64
	Source   uint8
}

const (
	changeCreation uint8 = iota
	changeUninstall
	changeDeployment
	changeControllers
	changeLoadSnapshot
)

// record is what the store holds of a canister, beside its module, pages, chunks, logs and messages.
type record struct {
	_             struct{} `cbor:",toarray"`
	Settings      settings
	Status        status
	Stops         []stopRequest
	Cycles        Cycles
	Version       uint64
	ModuleHash    []byte // empty when there is no code
	ModuleSize    uint64
	HeapPages     uint64 // 64 KiB pages
	Globals       []uint64
	StablePages   uint64 // 64 KiB pages
	Certified     []byte
	Timer         uint64
	CreatedNs     uint64
	InstalledNs   uint64
	NextID        uint64 // of call contexts and callbacks
	NextMessage   uint64
	Contexts      []*callContext
	Callbacks     []*callback
	Changes       []change
	ChangeCount   uint64
	NextLog       uint64
	Hooks         uint8    // which optional entry points the module has
	Chunks        [][]byte // hashes, in order
	Consumed      []Cycles // by use, see consumed.go
	HeapLayer     uint64   // the layers on top, which this canister alone writes; 0 for none yet
	StableLayer   uint64
	ChunkLayer    uint64
	NextSnapshot  uint64
	SnapshotBytes uint64
	LowMemory     uint8  // see watchMemory
	Priority      int64  // in instructions: what the canister should have had of past rounds beyond what it got, while it had work
	Slices        uint64 // instructions that the paused job was given so far
	Reserved      Cycles // of which memory is paid first
	ChargedNs     uint64 // until when memory and compute allocation are paid
	Debt          Cycles // fees that fell due while a job stood still, to be taken when it ends or as soon as there are cycles
}

type logRecord struct {
	_       struct{} `cbor:",toarray"`
	Index   uint64
	TimeNs  uint64
	Content []byte
}

type kind uint8

const (
	wasmCanister kind = iota
	nativeCanister
	managementCanister
)

// canister is the working copy of a record with its caches. Fields are used by Round alone except where said.
type canister struct {
	id   principal.Principal
	kind kind
	record
	native Native

	contexts   map[uint64]*callContext
	callbacks  map[uint64]*callback
	inFlight   map[principal.Principal]int // open callbacks per callee
	bestEffort int                         // open callbacks with a deadline

	responses, requests fifo
	parked              []*message // requests that wait for a job to end; see mustWait
	ingressWaiting      int
	queued              bool // is in the ready list
	active              bool // had work in this round
	usedRound           uint64
	counted             uint64 // in the sums of the subnet, see allocations.go
	countedMessages     uint64
	heartbeatDue        bool
	timerDue            bool
	unaffordable        bool // canister_on_low_wasm_memory could not be paid in this round

	logs          []logRecord
	metadata      []section
	snapshots     []*snapshot // by number
	goneSnapshots []uint64    // to delete in the store

	// What flush has to write.
	dirty, dirtyModule, dirtyLog bool
	heapDirty                    map[uint32][]byte
	newChunks                    map[string][]byte
	module                       []byte // the installed bytes, kept only until flush
	consumed                     []uint64

	stable stableMemory

	ward, wardStored bool // made by a custodial canister, see custody.go

	run       *pausedRun // see long.go
	runStored bool
	load      func(i uint64) *page

	batch       []replay // see batch.go
	batchUsed   uint64
	batchStable map[uint64]*page // what the batch wrote
	careful     bool             // a message of this round has trapped: batches of one from here on

	// mu lets queries read heap, stable memory and view at one moment: Round holds it while it commits.
	mu      sync.RWMutex
	view    view
	queries chan struct{} // places of its queries, see queue
	wanted  atomic.Int64  // since when Round waits for mu, in Unix nanoseconds; 0 while it does not
	code    atomic.Pointer[code]
}

// Bits of record.Hooks.
const (
	hookHeartbeat uint8 = 1 << iota
	hookTimer
	hookLowMemory
)

// view is what queries see of a canister beside its memories.
type view struct {
	settings    settings
	status      status
	cycles      Cycles
	burnPerDay  Cycles
	frozen      Cycles
	version     uint64
	certified   []byte
	stablePages uint64
	heapPages   uint64
	globals     int
	moduleHash  []byte
	moduleSize  uint64
	sections    uint64
	chunks      int
	memory      uint64
	changes     []change
	changeCount uint64
	logs        []logRecord
	metadata    []section
	consumed    []Cycles
	snapshots   uint64 // bytes
	reserved    Cycles
	heapChain   []uint64 // layers, see layers.go
	stableChain []uint64
}

// code is an installed module in memory.
type code struct {
	module *wasm.Module
	image  *wasm.Image
	inst   *wasm.Instance // for updates; queries take theirs from the image
}

func newCanister(id principal.Principal, k kind) *canister {
	return &canister{id: id, kind: k, record: record{Status: running}, contexts: map[uint64]*callContext{}, callbacks: map[uint64]*callback{},
		inFlight: map[principal.Principal]int{}, heapDirty: map[uint32][]byte{}, newChunks: map[string][]byte{}, stable: newStable(), batchStable: map[uint64]*page{}}
}

func (c *canister) hasCode() bool { return len(c.ModuleHash) != 0 }

func (c *canister) hasWork() bool {
	return c.run != nil || c.due(c.heartbeatDue, hookHeartbeat) || c.due(c.timerDue, hookTimer) || c.lowMemoryDue() || c.responses.len()+c.requests.len() > 0
}

// due reports whether a task that was due when the round began still is: the canister may have been stopped or got other code since.
func (c *canister) due(task bool, hook uint8) bool {
	return task && c.Hooks&hook != 0 && c.Status == running && c.hasCode()
}

func (c *canister) isController(p principal.Principal) bool {
	return containsPrincipal(c.Settings.Controllers, p)
}

func containsPrincipal(list []principalBytes, p principal.Principal) bool {
	for _, q := range list {
		if q.principal() == p {
			return true
		}
	}
	return false
}

func (v visibility) allows(controllers []principalBytes, p principal.Principal) bool {
	switch {
	case v.Kind == visibleToAll:
		return true
	case v.Kind == visibleToViewers && containsPrincipal(v.Viewers, p):
		return true
	}
	return containsPrincipal(controllers, p)
}

// memory is the bytes the canister holds.
func (c *canister) memory() uint64 {
	n := (c.HeapPages+c.StablePages)*wasmPage + c.ModuleSize + uint64(len(c.Globals))*8 + uint64(len(c.Chunks))*maxChunk
	for _, m := range [...]*fifo{&c.requests, &c.responses} {
		n += m.bytes
	}
	return n + uint64(len(c.Changes))*changeBytes + c.SnapshotBytes
}

// changeBytes is what an entry of the history counts in a canister's memory.
const changeBytes = 128

func (c *canister) lowMemoryDue() bool {
	return c.due(c.LowMemory == memoryLowReady && !c.unaffordable, hookLowMemory)
}

func (c *canister) enqueue(m *message) {
	m.seq = c.NextMessage
	c.NextMessage++
	if m.Response {
		c.responses.push(m)
	} else {
		c.requests.push(m)
		if m.Origin.Kind == originIngress {
			c.ingressWaiting++
		}
	}
	c.dirty = true
}

func (c *canister) dequeue(q *fifo) *message {
	m := q.pop()
	c.took(m)
	return m
}

// took forgets a message that was taken from its queue.
func (c *canister) took(m *message) {
	if m.stored {
		c.consumed = append(c.consumed, m.seq)
	}
	if !m.Response && m.Origin.Kind == originIngress {
		c.ingressWaiting--
	}
	c.dirty = true
}

func (c *canister) addCallback(cb *callback) {
	c.callbacks[cb.ID] = cb
	c.inFlight[cb.Callee.principal()]++
	if cb.Deadline != 0 {
		c.bestEffort++
	}
}

func (c *canister) removeCallback(cb *callback) {
	delete(c.callbacks, cb.ID)
	callee := cb.Callee.principal()
	if c.inFlight[callee]--; c.inFlight[callee] == 0 {
		delete(c.inFlight, callee)
	}
	if cb.Deadline != 0 {
		c.bestEffort--
	}
}

func (c *canister) log(timeNs uint64, text []byte) {
	if len(text) > maxLogBytes {
		text = text[:maxLogBytes]
	}
	c.logs = append(c.logs, logRecord{Index: c.NextLog, TimeNs: timeNs, Content: text})
	c.NextLog++
	size := 0
	for i := len(c.logs) - 1; i >= 0; i-- {
		if size += len(c.logs[i].Content) + 24; size > maxLogBytes+24 {
			c.logs = c.logs[i+1:]
			break
		}
	}
	c.dirtyLog, c.dirty = true, true
}

// fifo is a queue of messages.
type fifo struct {
	items []*message
	head  int
	bytes uint64
}

func (q *fifo) len() int { return len(q.items) - q.head }

func (q *fifo) push(m *message) {
	q.items = append(q.items, m)
	q.bytes += uint64(len(m.Data) + len(m.Method))
}

func (q *fifo) pop() *message {
	m := q.items[q.head]
	q.items[q.head] = nil
	if q.head++; q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	q.bytes -= uint64(len(m.Data) + len(m.Method))
	return m
}

// unshift puts messages in front of all others.
func (q *fifo) unshift(list []*message) {
	q.items = append(append([]*message(nil), list...), q.items[q.head:]...)
	q.head = 0
	for _, m := range list {
		q.bytes += uint64(len(m.Data) + len(m.Method))
	}
}

// pendingCall is a system call that waits for its answer.
type pendingCall struct {
	_      struct{} `cbor:",toarray"`
	Kind   SystemCallKind
	Caller principalBytes
	Origin origin
	Cycles Cycles // to give back with the response
	Sign   *SignRequest
	Fee    Cycles // what the call cost, given back if the subnet does not take it
	HTTP   *HTTPRequest
	Derive *DeriveRequest
	Ask    *Ask
	// Dialogue is the id of the dialogue that the question belongs to, and Question its number there.
	Dialogue uint64
	Question uint32

	id     uint64
	stored bool
}

// openState reads the store into x.
func (x *Executor) openState(store kv.Store) error {
	if b, ok := store.Get([]byte{keyGlobal}); ok {
		if err := codec.Unmarshal(b, &x.global); err != nil {
			return fmt.Errorf("%w: %w", ErrState, err)
		}
	} else {
		x.global.NextCanister = x.cfg.FirstCanister
	}
	err := x.layers.open(store, &x.global.LastLayer)
	fail := func(what string, cause error) bool {
		err = fmt.Errorf("%w: %s: %w", ErrState, what, cause)
		return false
	}
	hold := func(what string, layers []uint64) bool {
		for _, layer := range layers {
			if layer != 0 && x.layers.all[layer] == nil {
				return fail(what, fmt.Errorf("layer %d is not there", layer))
			}
			x.layers.hold(layer)
		}
		return true
	}
	scan := func(kind byte, visit func(key, value []byte) bool) {
		if err == nil {
			kv.ScanPrefix(store, []byte{kind}, func(k, v []byte) bool { return visit(k[1:], v) })
		}
	}
	scan(keyCanister, func(k, v []byte) bool {
		id, _, e := splitID(k)
		if e != nil {
			return fail("canister key", e)
		}
		c := newCanister(id, wasmCanister)
		if e := codec.Unmarshal(v, &c.record); e != nil {
			return fail("canister "+id.String(), e)
		}
		for _, ctx := range c.Contexts {
			c.contexts[ctx.ID] = ctx
		}
		for _, cb := range c.Callbacks {
			c.addCallback(cb)
		}
		c.Contexts, c.Callbacks = nil, nil
		if !hold("canister "+id.String(), []uint64{c.HeapLayer, c.StableLayer, c.ChunkLayer}) {
			return false
		}
		x.canisters[id] = c
		return true
	})
	scan(keyMessage, func(k, v []byte) bool {
		id, rest, e := splitID(k)
		c := x.canisters[id]
		if e != nil || len(rest) != 8 || c == nil {
			return fail("message", fmt.Errorf("key %x of no canister", k))
		}
		m := &message{seq: binary.BigEndian.Uint64(rest), stored: true}
		if e := codec.Unmarshal(v, m); e != nil {
			return fail("message at "+id.String(), e)
		}
		if m.Response {
			c.responses.push(m)
		} else {
			c.requests.push(m)
			if m.Origin.Kind == originIngress {
				c.ingressWaiting++
			}
		}
		return true
	})
	scan(keyLog, func(k, v []byte) bool {
		id, _, e := splitID(k)
		c := x.canisters[id]
		if e != nil || c == nil {
			return fail("log", fmt.Errorf("key %x of no canister", k))
		}
		if e := codec.Unmarshal(v, &c.logs); e != nil {
			return fail("log of "+id.String(), e)
		}
		return true
	})
	scan(keyMetadata, func(k, v []byte) bool {
		id, _, e := splitID(k)
		c := x.canisters[id]
		if e != nil || c == nil {
			return fail("metadata", fmt.Errorf("key %x of no canister", k))
		}
		if e := codec.Unmarshal(v, &c.metadata); e != nil {
			return fail("metadata of "+id.String(), e)
		}
		return true
	})
	scan(keyPaused, func(k, v []byte) bool {
		id, _, e := splitID(k)
		c := x.canisters[id]
		if e != nil || c == nil {
			return fail("paused job", fmt.Errorf("key %x of no canister", k))
		}
		c.run, c.runStored = &pausedRun{stored: true}, true
		if e := codec.Unmarshal(v, c.run); e != nil {
			return fail("paused job of "+id.String(), e)
		}
		x.paused++
		return true
	})
	scan(keyWard, func(k, _ []byte) bool {
		id, _, e := splitID(k)
		c := x.canisters[id]
		if e != nil || c == nil {
			return fail("custody", fmt.Errorf("key %x of no canister", k))
		}
		c.ward, c.wardStored = true, true
		return true
	})
	scan(keySnapshot, func(k, v []byte) bool {
		id, rest, e := splitID(k)
		c := x.canisters[id]
		if e != nil || len(rest) != 8 || c == nil {
			return fail("snapshot", fmt.Errorf("key %x of no canister", k))
		}
		s := &snapshot{number: binary.BigEndian.Uint64(rest)}
		if e := codec.Unmarshal(v, &s.snapshotRecord); e != nil {
			return fail("snapshot of "+id.String(), e)
		}
		if !hold("snapshot of "+id.String(), s.layers()) {
			return false
		}
		c.snapshots = append(c.snapshots, s)
		return true
	})
	scan(keyPending, func(k, v []byte) bool {
		p := &pendingCall{stored: true}
		if len(k) != 8 {
			return fail("system call", fmt.Errorf("key %x", k))
		}
		p.id = binary.BigEndian.Uint64(k)
		if e := codec.Unmarshal(v, p); e != nil {
			return fail("system call", e)
		}
		x.pending[p.id] = p
		return true
	})
	scan(keyDialogue, func(k, v []byte) bool {
		if e := x.openDialogue(k, v); e != nil {
			return fail("dialogue", e)
		}
		return true
	})
	if err == nil {
		err = x.history.open(store)
	}
	if err == nil {
		err = x.openSamples(store)
	}
	if err != nil {
		return err
	}
	x.adopt(principal.Management, managementCanister, nil)
	for id, n := range x.cfg.Natives {
		x.adopt(id, nativeCanister, n)
	}
	for id, c := range x.canisters {
		if c.kind == nativeCanister && c.native == nil {
			return fmt.Errorf("%w: native canister %s is not configured", ErrState, id)
		}
		x.order = append(x.order, c)
		c.queries = x.queryPlaces()
		x.recount(c)
		c.view = c.snapshot(x)
		x.treeDirty[id] = struct{}{}
	}
	sort.Slice(x.order, func(i, j int) bool { return x.order[i].id.Compare(x.order[j].id) < 0 })
	return nil
}

// adopt makes the mailbox of a canister that is not wasm.
func (x *Executor) adopt(id principal.Principal, k kind, n Native) {
	c := x.canisters[id]
	if c == nil {
		c = newCanister(id, k)
		x.canisters[id] = c
	}
	c.kind, c.native = k, n
}

func splitID(k []byte) (principal.Principal, []byte, error) {
	if len(k) == 0 || len(k) < 1+int(k[0]) {
		return principal.Principal{}, nil, fmt.Errorf("key %x is too short", k)
	}
	id, err := principal.FromBytes(k[1 : 1+int(k[0])])
	return id, k[1+int(k[0]):], err
}

// flush writes what a round changed.
func (x *Executor) flush(store kv.Store, res *RoundResult) {
	for _, m := range x.postponed {
		m.stored = false
		x.canisters[principal.Management].enqueue(m)
	}
	x.postponed = x.postponed[:0]
	for _, c := range x.order {
		if c.dirty {
			x.recount(c)
			x.flushCanister(store, c, res)
		}
		res.Backlog += c.requests.len() + c.responses.len() + len(c.parked)
		if c.run != nil {
			res.Backlog++
		}
	}
	for _, id := range x.deleted {
		x.forget(store, id)
	}
	x.deleted = x.deleted[:0]
	for _, id := range x.pendingDone {
		store.Delete(append([]byte{keyPending}, be64(id)...))
	}
	x.pendingDone = x.pendingDone[:0]
	for _, p := range x.pendingNew {
		if !p.stored {
			store.Set(append([]byte{keyPending}, be64(p.id)...), codec.Marshal(p))
			p.stored = true
		}
	}
	x.pendingNew = x.pendingNew[:0]
	x.flushDialogues(store)
	x.history.flush(store)
	x.layers.sweep(store, sweepKeys)
	x.layers.flush(store)
	store.Set([]byte{keyGlobal}, codec.Marshal(&x.global))
}

func (x *Executor) flushCanister(store kv.Store, c *canister, res *RoundResult) {
	c.flushMemory(store, res)
	if c.dirtyModule {
		if c.hasCode() {
			store.Set(keyOf(keyModule, c.id), c.module)
			store.Set(keyOf(keyMetadata, c.id), codec.Marshal(c.metadata))
		} else {
			store.Delete(keyOf(keyModule, c.id))
			store.Delete(keyOf(keyMetadata, c.id))
		}
		c.module = nil
	}
	if c.run != nil && !c.run.stored {
		store.Set(keyOf(keyPaused, c.id), codec.Marshal(c.run))
		c.run.stored, c.runStored = true, true
	} else if c.run == nil && c.runStored {
		store.Delete(keyOf(keyPaused, c.id))
		c.runStored = false
	}
	if c.ward && !c.wardStored {
		store.Set(keyOf(keyWard, c.id), []byte{})
		c.wardStored = true
	}
	for _, number := range c.goneSnapshots {
		store.Delete(keyOf(keySnapshot, c.id, be64(number)...))
	}
	c.goneSnapshots = c.goneSnapshots[:0]
	for _, s := range c.snapshots {
		if s.dirty {
			store.Set(keyOf(keySnapshot, c.id, be64(s.number)...), codec.Marshal(&s.snapshotRecord))
			s.dirty = false
		}
	}
	if c.dirtyLog {
		store.Set(keyOf(keyLog, c.id), codec.Marshal(c.logs))
	}
	for _, seq := range c.consumed {
		store.Delete(keyOf(keyMessage, c.id, be64(seq)...))
	}
	c.consumed = c.consumed[:0]
	for _, waiting := range [...][]*message{c.responses.items[c.responses.head:], c.requests.items[c.requests.head:], c.parked} {
		for _, m := range waiting {
			if !m.stored {
				store.Set(keyOf(keyMessage, c.id, be64(m.seq)...), codec.Marshal(m))
				m.stored = true
			}
		}
	}
	for _, id := range sortedKeys(c.contexts) {
		c.Contexts = append(c.Contexts, c.contexts[id])
	}
	for _, id := range sortedKeys(c.callbacks) {
		c.Callbacks = append(c.Callbacks, c.callbacks[id])
	}
	store.Set(keyOf(keyCanister, c.id), codec.Marshal(&c.record))
	c.Contexts, c.Callbacks = c.Contexts[:0], c.Callbacks[:0]
	c.dirty, c.dirtyModule, c.dirtyLog = false, false, false
}

// flushMemory writes pages and chunks that have changed. The layers are there: what made the first page or chunk has made them.
func (c *canister) flushMemory(store kv.Store, res *RoundResult) {
	for _, i := range sortedKeys(c.heapDirty) {
		store.Set(layerKey(keyHeap, c.HeapLayer, be32(i)...), c.heapDirty[i])
	}
	res.HeapPages += len(c.heapDirty)
	clear(c.heapDirty)
	res.StablePages += c.stable.flush(store, c.StableLayer, len(c.view.stableChain) > 1)
	for _, hash := range sortedKeys(c.newChunks) {
		store.Set(layerKey(keyChunk, c.ChunkLayer, []byte(hash)...), c.newChunks[hash])
	}
	clear(c.newChunks)
}

// forget removes everything the store holds of a canister.
func (x *Executor) forget(store kv.Store, id principal.Principal) {
	for _, kind := range []byte{keyCanister, keyModule, keyMetadata, keyLog, keyPaused, keyWard} {
		store.Delete(keyOf(kind, id))
	}
	deletePrefix(store, keyOf(keyMessage, id))
	deletePrefix(store, keyOf(keySnapshot, id))
	store.Set(keyOf(keyDeleted, id), []byte{})
}

func deletePrefix(store kv.Store, prefix []byte) {
	var keys [][]byte
	kv.ScanPrefix(store, prefix, func(k, _ []byte) bool {
		keys = append(keys, append([]byte(nil), k...))
		return true
	})
	for _, k := range keys {
		store.Delete(k)
	}
}

func sortedKeys[K uint32 | uint64 | string, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool { return keys[i] < keys[j] })
	return keys
}
