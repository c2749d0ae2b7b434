package execution

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"fusion/ic/principal"
	"fusion/internal/kv"
	"fusion/replica/execution/wasm"
)

// Executor is the canisters of a subnet. See the package documentation for the caller's duties.
type Executor struct {
	cfg    Config
	nodes  atomic.Uint64 // of the subnet, which its prices depend on
	subnet []byte

	global    globalRecord
	canisters map[principal.Principal]*canister // mu guards the map for queries
	order     []*canister                       // by id
	pending   map[uint64]*pendingCall
	dialogues map[uint64]*dialogue
	history   history
	layers    layers
	samples   []*nodeSample // by day
	postponed []*message    // calls of the management canister to try again in the next block

	// Of the round that runs.
	store       kv.Store
	keys        []ChainKey
	used        uint64 // of the round's budget
	paused      int    // jobs that stand still
	longLeft    uint64 // what of it is left for jobs that stood still
	turnStart   uint64 // used when the exclusive turn began
	exclusive   *worker
	result      *RoundResult
	ready       []*canister
	head        int // of ready
	active      []*canister
	turns       []turn
	done        chan *turn
	idle        []*worker
	spare       []*exec
	workers     sync.WaitGroup
	roundMu     sync.Mutex // guards store when several workers read
	scheduling  bool
	pendingNew  []*pendingCall
	pendingDone []uint64
	talked      []*dialogue // that began, went on or ended in this round, in that order
	deleted     []principal.Principal
	eager       bool // commit each message at once: the oracle that tests compare batches with

	treeDirty map[principal.Principal]struct{}

	memoryUsed, messagesUsed uint64 // see allocations.go

	mu        sync.RWMutex // guards canisters, nowNs and the keys for queries
	nowNs     uint64
	queryKeys []ChainKey
	codeMu    sync.Mutex    // one module is compiled or loaded at a time
	storeMu   sync.Mutex    // guards a store that queries share with Round
	queries   chan struct{} // places of queries, see queue
	warmMu    sync.Mutex
	warm      [4]*wasm.Module // compiled for installations that are on their way
	shared    bool            // cfg.Reader is the store of Round
}

// New opens the executor that the store holds, or an empty one. The store must be read-only for others while Round runs.
func New(cfg Config, store kv.Store) (*Executor, error) {
	shared := cfg.Reader == nil
	cfg.setDefaults(store)
	x := &Executor{cfg: cfg, subnet: cfg.Subnet.Bytes(), canisters: map[principal.Principal]*canister{},
		pending: map[uint64]*pendingCall{}, dialogues: map[uint64]*dialogue{}, treeDirty: map[principal.Principal]struct{}{}, shared: shared}
	x.nodes.Store(uint64(cfg.NodeCount))
	x.queries = make(chan struct{}, cfg.QueryThreads)
	if err := x.openState(store); err != nil {
		return nil, fmt.Errorf("opening the executor: %w", err)
	}
	x.nowNs = x.global.TimeNs
	return x, nil
}

// SetRootKey sets the DER-encoded root key that canisters see. It is part of the replicated configuration: set it before the
// first Round after New.
func (x *Executor) SetRootKey(der []byte) { x.cfg.RootKey = append([]byte(nil), der...) }

// prices are those of the subnet as it is, for all goroutines.
func (x *Executor) prices() prices { return prices{x.nodes.Load()} }

// SetKeys says which keys are active, for queries that run before the first Round after New. Round brings its own.
func (x *Executor) SetKeys(keys []ChainKey) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.keys = slices.Clone(keys)
	x.queryKeys = x.keys
}

// currentKeys is safe for queries.
func (x *Executor) currentKeys() []ChainKey {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.queryKeys
}

func (x *Executor) lookup(id principal.Principal) *canister {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.canisters[id]
}

// get reads a store that queries may share with Round.
func (x *Executor) get(r kv.Reader, key []byte) ([]byte, bool) {
	if x.shared {
		x.storeMu.Lock()
		defer x.storeMu.Unlock()
	}
	return r.Get(key)
}

func (x *Executor) stableLoader(c *canister, r kv.Reader) func(i uint64) *page {
	chain := c.view.stableChain
	get := func(key []byte) ([]byte, bool) { return x.get(r, key) }
	return func(i uint64) *page { return stablePage(get, c, chain, i) }
}

func stablePage(get func(key []byte) ([]byte, bool), c *canister, chain []uint64, i uint64) *page {
	b, ok := layered(get, keyStable, chain, be64(i))
	if !ok || len(b) == 0 { // an empty value is a page of zeroes on top of one that is not
		return nil
	}
	if len(b) != pageSize {
		panic(fmt.Sprintf("execution: stable memory page %d of %s has %d bytes", i, c.id, len(b)))
	}
	p := new(page)
	copy(p[:], b)
	return p
}

// load returns the canister's code, bringing it from the store when it is not in memory. The caller is Round, or a query that
// holds c.mu and has seen that there is code.
func (x *Executor) load(c *canister, r kv.Reader) *code {
	if k := c.code.Load(); k != nil {
		return k
	}
	x.codeMu.Lock()
	defer x.codeMu.Unlock()
	if k := c.code.Load(); k != nil {
		return k
	}
	broken := func(err error) { panic(fmt.Sprintf("execution: code of %s: %v", c.id, err)) }
	module, ok := x.get(r, keyOf(keyModule, c.id))
	if !ok {
		broken(fmt.Errorf("no module in the store"))
	}
	m, err := x.cfg.Engine.Compile(module)
	if err != nil {
		broken(err) // it compiled when it was installed
	}
	image, err := m.LoadImage(uint32(c.HeapPages), c.Globals, func(put func(index uint32, page []byte) error) (err error) {
		if x.shared {
			x.storeMu.Lock()
			defer x.storeMu.Unlock()
		}
		scanLayers(r, keyHeap, c.view.heapChain, func(at, v []byte) bool {
			err = put(binary.BigEndian.Uint32(at), v)
			return err == nil
		})
		return err
	})
	if err != nil {
		broken(err)
	}
	k := &code{module: m, image: image}
	c.code.Store(k)
	return k
}

// unload closes what the engine holds for k. c.mu is held, so no query uses it.
func (k *code) unload() {
	if k == nil {
		return
	}
	if k.inst != nil {
		closing(k.inst.Close())
	}
	closing(k.image.Close())
	if k.module != nil {
		closing(k.module.Close())
	}
}

// closing reports a failure to give memory back, which the operating system has no reason for.
func closing(err error) {
	if err != nil {
		panic(fmt.Sprintf("execution: %v", err))
	}
}

// Close releases the instances and heap images, and lets go of messages that stand still: the next executor begins them again. No query
// may run any more.
func (x *Executor) Close() {
	for _, c := range x.order {
		if c.run != nil && c.run.worker != nil {
			close(c.run.worker.work)
		}
	}
	x.workers.Wait()
	for _, c := range x.order {
		c.lock()
		c.code.Swap(nil).unload()
		c.mu.Unlock()
	}
	x.warmMu.Lock()
	defer x.warmMu.Unlock()
	for i, m := range x.warm {
		if m != nil {
			closing(m.Close())
		}
		x.warm[i] = nil
	}
}

// snapshot is the canister as queries see it.
func (c *canister) snapshot(x *Executor) view {
	memory := c.memory()
	v := view{settings: c.Settings, status: c.Status, cycles: c.Cycles, version: c.Version, certified: c.Certified, stablePages: c.StablePages,
		heapPages: c.HeapPages, globals: len(c.Globals), moduleHash: c.ModuleHash, moduleSize: c.ModuleSize, chunks: len(c.Chunks),
		memory: memory, changes: c.Changes, changeCount: c.ChangeCount, logs: c.logs, metadata: c.metadata, consumed: slices.Clone(c.Consumed), snapshots: c.SnapshotBytes,
		heapChain: x.layers.chain(c.HeapLayer), stableChain: x.layers.chain(c.StableLayer),
		frozen: x.prices().freezing(&c.Settings, memory, c.Reserved), reserved: c.Reserved,
		burnPerDay: x.prices().idle(max(memory, c.Settings.Memory), c.Settings.Compute, secondsPerDay)}
	for _, s := range c.metadata {
		v.sections += uint64(len(s.Name) + len(s.Content))
	}
	return v
}
