package outcalls

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"fusion/ic/principal"
	"fusion/internal/codec"
	"fusion/internal/kv"
	"fusion/internal/redact"
	"fusion/replica/gossip"
)

// Topics of a driver's messages.
const (
	TopicShares  = "outcall-shares"
	TopicAnswers = "outcall-answers"
)

const (
	maxSharesMessage = 256 // shares in one message
	maxSharesBytes   = 64 << 10
	maxAnswersBytes  = MaxReply + answerOverhead + 256
	// maxChanges is how often a peer may change its mind about a request: an honest one does so when it restarts.
	maxChanges = 4
	// maxEarly bounds the shares of a peer for requests that this node has not seen opened: it may be some blocks behind.
	maxEarly = 1024
	// answerSends is how often a delegate sends its answer's bytes. If all are lost it proposes the answer itself.
	answerSends = 3
)

// Source carries a request out and returns the answer, also when it fails. Whatever differs between replicas that met the same must not be in it. When
// ctx ends the answer is not needed any more. It is called from many goroutines.
type Source func(ctx context.Context, r Request) Answer

// Listener is told what happens; nil functions are skipped. They must not block.
type Listener struct {
	// Asked: a source took so long to answer; code is the answer's reject code, or 0.
	Asked func(kind Kind, code int, took time.Duration)
	// Differed: a node gave another answer to a replicated request than a quorum did. It need not be at fault: the world may have told it something else.
	Differed func(node int)
	// Refused: a peer's message was wrong.
	Refused func(node int, err error)
}

// DriverConfig is a driver's surroundings.
type DriverConfig struct {
	Machine *Machine
	NodeKey ed25519.PrivateKey
	Net     gossip.Network
	Sources map[Kind]Source
	// Parallel bounds the requests that are carried out at once; a canister gets an eighth of it. The default is 128.
	Parallel int
	// Tick is how often what was said is said again. The default is a second.
	Tick     time.Duration
	Log      *slog.Logger // the default discards
	Listener Listener
}

// Driver carries open requests out; see the package documentation.
type Driver struct {
	cfg DriverConfig
	m   *Machine
	log *slog.Logger

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	height  uint64
	newest  uint64            // highest id ever seen open, and one
	entries map[uint64]*entry // what is open
	order   []uint64          // its ids, ascending
	busy    map[string]int    // requests that are being carried out, by canister
	running int
	early   map[int][]wireShare // of each peer
}

// entry is an open request at this node.
type entry struct {
	open     Open
	since    time.Time
	shares   map[uint32]Share
	changes  map[int]int
	answers  map[[32]byte][]byte // encoded answers that this node has, by digest: its own, and a delegate's
	started  bool
	answered bool
	sends    int
	cancel   context.CancelFunc
}

// wireShare is a share on its way; the node is the sender.
type wireShare struct {
	_         struct{} `cbor:",toarray"`
	ID        uint64
	Digest    []byte
	Signature []byte
}

// wireAnswer is a delegate's answer.
type wireAnswer struct {
	_         struct{} `cbor:",toarray"`
	ID        uint64
	Answer    []byte
	Signature []byte
}

// Format shows no key, whatever the verb.
func (DriverConfig) Format(f fmt.State, _ rune) {
	redact.Format(f, "configuration of an outcalls driver")
}

// MarshalText shows no key, and so neither does JSON.
func (DriverConfig) MarshalText() ([]byte, error) {
	return []byte("configuration of an outcalls driver"), nil
}

// Format shows no key, whatever the verb.
func (*Driver) Format(f fmt.State, _ rune) { redact.Format(f, "outcalls driver") }

// NewDriver makes a driver and registers its topics.
func NewDriver(cfg DriverConfig) *Driver {
	if cfg.Parallel == 0 {
		cfg.Parallel = 128
	}
	if cfg.Tick == 0 {
		cfg.Tick = time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	d := &Driver{cfg: cfg, m: cfg.Machine, log: cfg.Log, entries: map[uint64]*entry{}, busy: map[string]int{}, early: map[int][]wireShare{}}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	cfg.Net.Handle(gossip.Topic{Name: TopicShares, MaxBytes: maxSharesBytes}, func(from int, msg []byte) { d.refused(from, d.takeShares(from, msg)) })
	// An answer that is lost costs a few blocks, so the queue holds a few only.
	cfg.Net.Handle(gossip.Topic{Name: TopicAnswers, MaxBytes: maxAnswersBytes, Queue: 64, QueueBytes: 8 << 20},
		func(from int, msg []byte) { d.refused(from, d.takeAnswer(from, msg)) })
	d.wg.Go(d.repeat)
	return d
}

// Close ends what the driver does and waits for it.
func (d *Driver) Close() {
	d.cancel()
	d.wg.Wait()
}

func (d *Driver) refused(from int, err error) {
	if err == nil {
		return
	}
	d.log.Warn("outcall message refused", "peer", from, "err", err)
	if f := d.cfg.Listener.Refused; f != nil {
		f(from, err)
	}
}

// Reconcile makes the driver do what the committed state asks for. The reader is used during the call only.
func (d *Driver) Reconcile(r kv.Reader, height uint64) {
	open := d.m.Requests(r)
	d.mu.Lock()
	defer d.mu.Unlock()
	if height < d.height || d.ctx.Err() != nil {
		return
	}
	d.height = height
	still := make(map[uint64]bool, len(open))
	for _, o := range open {
		still[o.ID] = true
		if e := d.entries[o.ID]; e != nil {
			e.open = o
			continue
		}
		d.entries[o.ID] = &entry{open: o, since: time.Now(), shares: map[uint32]Share{}, changes: map[int]int{}, answers: map[[32]byte][]byte{}}
		d.newest = max(d.newest, o.ID+1)
	}
	for id, e := range d.entries {
		if !still[id] {
			if e.cancel != nil {
				e.cancel()
			}
			d.compare(e)
			delete(d.entries, id)
		}
	}
	d.order = d.order[:0]
	for _, o := range open {
		d.order = append(d.order, o.ID)
	}
	for _, from := range slices.Sorted(maps.Keys(d.early)) {
		list := d.early[from]
		delete(d.early, from)
		for _, s := range list {
			d.refused(from, d.takeShare(from, s))
		}
	}
	d.dispatch()
}

// compare tells who gave another answer than a quorum to a request that is over. Heights differ between honest nodes. The lock is held.
func (d *Driver) compare(e *entry) {
	f := d.cfg.Listener.Differed
	if f == nil || !e.open.Replicated || e.open.Kind == Height {
		return
	}
	list := e.sorted(d.m)
	v := votes(list)
	if len(v) < 2 || v[0].count < d.m.needed(&e.open) {
		return
	}
	for _, s := range list {
		if !bytes.Equal(s.Digest, v[0].digest) {
			f(int(s.Node))
		}
	}
}

// dispatch starts what this node has to ask and may ask now, oldest first. The lock is held.
func (d *Driver) dispatch() {
	if d.ctx.Err() != nil {
		return
	}
	most := max(d.cfg.Parallel/8, 1)
	for _, id := range d.order {
		e := d.entries[id]
		if e.started || !e.open.Replicated && d.m.delegate(&e.open.Request, e.open.Turn) != d.cfg.Net.Self() {
			continue
		}
		if d.running >= d.cfg.Parallel {
			return
		}
		canister := string(e.open.Canister)
		if d.busy[canister] >= most {
			continue
		}
		source := d.cfg.Sources[e.open.Kind]
		if source == nil { // a kind of a later version
			continue
		}
		e.started = true
		d.running++
		d.busy[canister]++
		ctx, cancel := context.WithTimeout(d.ctx, d.budget(&e.open))
		e.cancel = cancel
		request := e.open.Request // the entry is the lock's
		d.wg.Go(func() {
			defer cancel()
			started := time.Now()
			a := source(ctx, request)
			d.finished(e, canister, a, time.Since(started), ctx)
		})
	}
}

// budget is how long a node may take: until its answer would come too late in any case.
func (d *Driver) budget(o *Open) time.Duration {
	if o.Replicated {
		return time.Duration(d.m.cfg.TimeoutNs)
	}
	return time.Duration(d.m.cfg.turnNs(o))
}

func (d *Driver) finished(e *entry, canister string, a Answer, took time.Duration, ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running--
	if d.busy[canister]--; d.busy[canister] == 0 {
		delete(d.busy, canister)
	}
	defer d.dispatch()
	if errors.Is(ctx.Err(), context.Canceled) || d.entries[e.open.ID] != e {
		return
	}
	if f := d.cfg.Listener.Asked; f != nil {
		f(e.open.Kind, a.RejectCode, took)
	}
	if err := a.check(e.open.MaxReply); err != nil { // a source that breaks its word must not make the others refuse our block
		d.log.Error("an outcall's answer is not usable", "request", e.open.ID, "err", err)
		a = Rejection(sysTransient, "the answer is not usable")
	}
	var dig [32]byte
	if e.open.Kind == Height {
		dig = opinion(&a)
	} else {
		encoded := codec.Marshal(&a)
		dig = digest(encoded)
		e.answers[dig] = encoded
	}
	self := uint32(d.cfg.Net.Self())
	e.answered = true
	e.shares[self] = Share{Node: self, Digest: dig[:], Signature: d.m.cfg.sign(d.cfg.NodeKey, e.open.ID, e.open.Digest, dig[:])}
	d.say(e)
}

// say tells the others this node's answer. The lock is held.
func (d *Driver) say(e *entry) {
	own := e.shares[uint32(d.cfg.Net.Self())]
	if e.open.Replicated {
		d.sayShares([]wireShare{{ID: e.open.ID, Digest: own.Digest, Signature: own.Signature}})
	} else if e.sends < answerSends {
		e.sends++
		d.cfg.Net.Broadcast(TopicAnswers, codec.Marshal(&wireAnswer{ID: e.open.ID, Answer: e.answers[[32]byte(own.Digest)], Signature: own.Signature}))
	}
}

func (d *Driver) sayShares(list []wireShare) {
	for part := range slices.Chunk(list, maxSharesMessage) {
		d.cfg.Net.Broadcast(TopicShares, codec.Marshal(part))
	}
}

// repeat says again what messages lost, or peers that restarted, may lack.
func (d *Driver) repeat() {
	tick := time.NewTicker(d.cfg.Tick)
	defer tick.Stop()
	for {
		select {
		case <-d.ctx.Done():
			return
		case <-tick.C:
			d.again()
		}
	}
}

func (d *Driver) again() {
	d.mu.Lock()
	defer d.mu.Unlock()
	self := uint32(d.cfg.Net.Self())
	var list []wireShare
	for _, id := range d.order {
		e := d.entries[id]
		switch {
		case !e.answered:
		case e.open.Replicated:
			list = append(list, wireShare{ID: id, Digest: e.shares[self].Digest, Signature: e.shares[self].Signature})
		default:
			d.say(e)
		}
	}
	d.sayShares(list)
}

// takeShares takes a peer's message of shares.
func (d *Driver) takeShares(from int, msg []byte) error {
	list, err := decodeShares(msg)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range list {
		if err := d.takeShare(from, s); err != nil {
			return err
		}
	}
	return nil
}

func decodeShares(msg []byte) ([]wireShare, error) {
	if len(msg) > maxSharesBytes {
		return nil, fmt.Errorf("%w: shares in %d bytes", ErrItem, len(msg))
	}
	var list []wireShare
	if err := codec.Unmarshal(msg, &list); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrItem, err)
	}
	if len(list) > maxSharesMessage {
		return nil, fmt.Errorf("%w: %d shares in a message", ErrItem, len(list))
	}
	for _, s := range list {
		if len(s.Digest) != 32 || len(s.Signature) != ed25519.SignatureSize {
			return nil, fmt.Errorf("%w: a share of %d and %d bytes", ErrItem, len(s.Digest), len(s.Signature))
		}
	}
	return list, nil
}

// takeShare takes one share. The lock is held.
func (d *Driver) takeShare(from int, s wireShare) error {
	if from == d.cfg.Net.Self() || from < 0 {
		return nil
	}
	e := d.entries[s.ID]
	if e == nil {
		if s.ID >= d.newest { // not seen yet; an older one is over
			list := append(d.early[from], s)
			d.early[from] = list[max(0, len(list)-maxEarly):]
		}
		return nil
	}
	node := uint32(from)
	if old, ok := e.shares[node]; ok && bytes.Equal(old.Digest, s.Digest) || !e.open.Replicated {
		return nil
	}
	if e.changes[from] >= maxChanges {
		return nil
	}
	e.changes[from]++
	if e.open.Kind == Height {
		if _, _, err := readOpinion(s.Digest); err != nil {
			return fmt.Errorf("%w: share of request %d by node %d: %w", ErrItem, s.ID, from, err)
		}
	}
	if !d.m.authentic(node, s.ID, e.open.Digest, s.Digest, s.Signature) {
		return fmt.Errorf("%w: share of request %d is not signed by node %d", ErrItem, s.ID, from)
	}
	e.shares[node] = Share{Node: node, Digest: s.Digest, Signature: s.Signature}
	return nil
}

// takeAnswer takes a delegate's answer.
func (d *Driver) takeAnswer(from int, msg []byte) error {
	if len(msg) > maxAnswersBytes {
		return fmt.Errorf("%w: an answer in %d bytes", ErrItem, len(msg))
	}
	var w wireAnswer
	if err := codec.Unmarshal(msg, &w); err != nil {
		return fmt.Errorf("%w: %w", ErrItem, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.entries[w.ID]
	if e == nil || e.open.Replicated || from == d.cfg.Net.Self() {
		return nil // over, or not seen yet: it will be sent again
	}
	node := uint32(from)
	if _, ok := e.shares[node]; ok || e.changes[from] >= maxChanges {
		return nil
	}
	if !d.m.hadTurn(&e.open, from) {
		return nil // this node may be a block behind
	}
	e.changes[from]++
	if len(w.Answer) > int(e.open.MaxReply)+answerOverhead {
		return fmt.Errorf("%w: request %d: an answer of %d bytes, %d are allowed", ErrItem, w.ID, len(w.Answer), e.open.MaxReply)
	}
	dig := digest(w.Answer)
	if !d.m.authentic(node, w.ID, e.open.Digest, dig[:], w.Signature) {
		return fmt.Errorf("%w: answer to request %d is not signed by node %d", ErrItem, w.ID, from)
	}
	e.answers[dig] = bytes.Clone(w.Answer)
	e.shares[node] = Share{Node: node, Digest: dig[:], Signature: w.Signature}
	return nil
}

// Pending returns items that the next block could carry, of the oldest requests first, at most so many bytes together.
func (d *Driver) Pending(maxBytes int) (out [][]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range d.order {
		if it := d.entries[id].item(d.m); it != nil && it.size() <= maxBytes {
			b := codec.Marshal(it)
			maxBytes -= len(b)
			out = append(out, b)
		}
	}
	return out
}

// sorted are the members' shares by node.
func (e *entry) sorted(m *Machine) []Share {
	list := make([]Share, 0, len(e.shares))
	for _, s := range e.shares {
		if m.roster().Seat(int(s.Node)) >= 0 { // it may have left since it signed
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b Share) int { return int(a.Node) - int(b.Node) })
	return list
}

// item is the proof of how the request ended, or nil while there is none that this node could give.
func (e *entry) item(m *Machine) *item {
	list := e.sorted(m)
	if e.open.Kind == Height {
		return m.settling(e.open.ID, list)
	}
	need := m.needed(&e.open)
	if len(list) < need {
		return nil
	}
	v := votes(list)
	for _, x := range v {
		answer, ok := e.answers[[32]byte(x.digest)]
		if x.count < need || !ok {
			continue
		}
		it := &item{ID: e.open.ID, Answer: answer}
		for _, s := range list {
			if bytes.Equal(s.Digest, x.digest) && len(it.Shares) < need {
				it.Shares = append(it.Shares, Share{Node: s.Node, Signature: s.Signature})
			}
		}
		return it
	}
	if e.open.Replicated && m.hopeless(v, len(list)) {
		return &item{ID: e.open.ID, Shares: list}
	}
	return nil
}

// Status describes the open requests, a sentence each.
func (d *Driver) Status() (out []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range d.order {
		e := d.entries[id]
		who := fmt.Sprintf("%x", e.open.Canister)
		if p, err := principal.FromBytes(e.open.Canister); err == nil {
			who = p.String()
		}
		state := "waits for its turn here"
		switch {
		case e.answered:
			state = "answered here"
		case e.started:
			state = "being carried out here"
		case !e.open.Replicated:
			state = fmt.Sprintf("node %d's turn", d.m.delegate(&e.open.Request, e.open.Turn))
		}
		if e.open.Kind == Height {
			state += fmt.Sprintf(", %d of %d heights", len(e.sorted(d.m)), d.m.needed(&e.open))
		} else if e.open.Replicated {
			best := 0
			if v := votes(e.sorted(d.m)); len(v) > 0 {
				best = v[0].count
			}
			state += fmt.Sprintf(", %d of %d equal answers", best, d.m.needed(&e.open))
		}
		out = append(out, fmt.Sprintf("outcall %d of %s, for %s: %s", id, who, time.Since(e.since).Round(time.Second), state))
	}
	return out
}

// Load is how many requests are open, and how many of them are being carried out here.
func (d *Driver) Load() (open, running int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.entries), d.running
}
