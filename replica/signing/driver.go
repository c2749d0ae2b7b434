package signing

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fusion/chainkey"
	"fusion/chainkey/gg18"
	"fusion/chainkey/keystore"
	"fusion/chainkey/session"
	"fusion/internal/codec"
	"fusion/internal/redact"
	"fusion/replica/payload"
	"fusion/replica/transcripts"
)

// Transport moves messages between the nodes. Send may lose messages; it is called with locks held, so it must neither block nor
// call Deliver of any driver itself. What arrives at the other end, with the sender authenticated, is given to Driver.Deliver.
type Transport interface {
	Send(to int, msg []byte)
	Self() int
}

// CeremonyInfo names a ceremony in events.
type CeremonyInfo struct {
	Session   session.ID
	Kind      session.Kind
	Key       string
	Request   uint64
	Attempt   uint32
	Committee []uint32
}

// Listener is told what happens. Nil fields are not called; the calls come from many goroutines, must not block, and must not
// call the driver.
type Listener struct {
	// ParamsProgress is called about once a second while secret parameters are made.
	ParamsProgress func(key string, elapsed time.Duration)
	// CeremonyBegin and CeremonyEnd frame this node's part in a ceremony. The error's chain may hold a *session.Fault;
	// context.Canceled says that the state no longer asks for it, usually because another member published the result first.
	CeremonyBegin func(CeremonyInfo)
	CeremonyEnd   func(c CeremonyInfo, took time.Duration, err error)
	// ShareMissing says that an active key has no readable share here: restore it from a backup, or reshare, at once.
	ShareMissing func(key string, err error)
	// ShareFound says that an active key's share is there, or none is needed: also after a resharing that made up for one that was missing.
	ShareFound func(key string)
	// Halted says that this node's instance signs no more, and why. It is called once.
	Halted func(reason string)
	// Refused is called for each ceremony message of a node that was not what it should be: of another session, with a wrong signature, garbled.
	Refused func(node int, err error)
	// ItemReady says that Pending has something new.
	ItemReady func()
}

// DriverConfig describes a driver.
type DriverConfig struct {
	Machine   *Machine
	NodeKey   ed25519.PrivateKey
	Store     *keystore.Store
	Transport Transport
	// Cores is how many steps of ceremonies compute at once. The default is the number of CPUs.
	Cores int
	// Slots, when set, is what Cores would make: drivers of one process that share it share the budget.
	Slots chan struct{}
	// Tick is how often sessions look for lost messages. The default is 250 ms.
	Tick time.Duration
	// Protocol is the newest version of the protocol that this program knows, which it announces.
	Protocol uint64
	// Patience is for how long a member of a committee that is waited for may give no sign of life at all before this node complains of its
	// silence, if it hears all others. The default is 5 s; what has a sign of life has until the deadline.
	Patience time.Duration
	// Rand is the source of entropy. The default is crypto/rand.
	Rand     io.Reader
	Listener Listener
	Log      *slog.Logger // the default discards
}

// Format shows no key, whatever the verb.
func (DriverConfig) Format(f fmt.State, _ rune) {
	redact.Format(f, "configuration of a signing driver")
}

// MarshalText shows no key, and so neither does JSON.
func (DriverConfig) MarshalText() ([]byte, error) {
	return []byte("configuration of a signing driver"), nil
}

// Driver runs this node's part in the ceremonies of the committed state. Its methods may be called concurrently.
type Driver struct {
	cfg    DriverConfig
	m      *Machine
	self   int
	nonce  [16]byte
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	cores  chan struct{}

	mu         sync.Mutex
	view       *View
	ordered    bool   // the own incarnation was the newest once
	halted     string // why, if it is
	running    map[session.ID]*ceremony
	early      map[int][]earlyMessage // by sender
	own        []payload.Item         // made here, valid in view
	others     []payload.Item         // gossiped, valid in view
	unverified []unverifiedItem       // gossiped, not valid in view, which may lag
	making     map[string]bool        // keys whose parameters are being made
	tidied     map[string]string      // by key: the epochs for which it was tidied
	shared     *transcripts.Driver    // of keys that presign; nil where there are none
	since      uint64                 // height at which the own incarnation was first seen ordered
	heard      map[int]time.Time      // by node: when it last gave a sign of life
	awake      time.Time              // since when this process runs without having slept
}

// Frames on the transport.
const (
	frameSession byte = 1 + iota
	frameItem
	frameAlive  // "I am at it": a computation of seconds is no silence
	frameShared // of package transcripts
)

// Bounds of what peers can make a driver keep.
const (
	maxEarly      = 64      // messages per sender for ceremonies that did not begin here yet
	maxEarlyBytes = 8 << 10 // of one of them: before all have joined there are only ephemeral keys and their echo
	maxUnverified = 256
	maxOthers     = 1024
	inboxSize     = 256
	maxStale      = 8 // views after which an unverified item is given up
)

type earlyMessage struct {
	id   session.ID
	data []byte
}

type unverifiedItem struct {
	item  payload.Item
	views int
}

// Format shows no key, whatever the verb.
func (*Driver) Format(f fmt.State, _ rune) { redact.Format(f, "signing driver") }

// NewDriver starts a driver. Close ends it.
func NewDriver(cfg DriverConfig) (*Driver, error) {
	if cfg.Cores == 0 {
		cfg.Cores = runtime.NumCPU()
	}
	if cfg.Tick == 0 {
		cfg.Tick = 250 * time.Millisecond
	}
	if cfg.Patience == 0 {
		cfg.Patience = 5 * time.Second
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Slots == nil {
		cfg.Slots = make(chan struct{}, cfg.Cores)
	}
	d := &Driver{cfg: cfg, m: cfg.Machine, self: cfg.Transport.Self(), cores: cfg.Slots, running: map[session.ID]*ceremony{},
		making: map[string]bool{}, tidied: map[string]string{}, early: map[int][]earlyMessage{},
		heard: map[int]time.Time{}, awake: time.Now()}
	// A node that joined later is known from the state.
	if d.self < 0 || d.self < len(d.m.cfg.Nodes) && !bytes.Equal(cfg.NodeKey.Public().(ed25519.PublicKey), d.m.cfg.Nodes[d.self]) {
		return nil, fmt.Errorf("signing: the node key is not that of node %d", d.self)
	}
	if _, err := io.ReadFull(cfg.Rand, d.nonce[:]); err != nil {
		return nil, fmt.Errorf("signing: drawing an incarnation: %w", err)
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.startShared()
	d.wg.Add(2)
	go d.regossip()
	go d.beat()
	return d, nil
}

// Close stops all ceremonies and waits for them.
func (d *Driver) Close() {
	d.cancel()
	if d.shared != nil {
		d.shared.Close()
	}
	d.wg.Wait()
}

// Reconcile makes the running ceremonies those of a committed state. Call it with the newest view after each commit; views may be
// skipped, and the same one may come twice.
func (d *Driver) Reconcile(v *View) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx.Err() != nil {
		return
	}
	d.view = v
	d.sift()
	d.announce()
	d.reconcileShared()
	if d.halted != "" {
		return
	}
	wanted := map[session.ID]*ceremony{}
	for _, key := range d.m.cfg.Keys {
		name := key.String()
		k, _ := load[keyRecord](v.state, keyPrefix+name)
		switch presigns := d.m.presigns(name); k.Status {
		case KeyGenerating, KeyActivating:
			if presigns {
				break
			}
			g := keystore.Generation{Key: name, Epoch: k.Epoch, Attempt: k.Attempt.Number}
			d.revote(g, k.Votes, d.self)
			d.want(wanted, d.m.keyContext(name, &k), &k.Attempt, d.m.cfg.KeygenDeadline, [32]byte{}, g)
		case KeyActive:
			d.tidy(name, &k)
			if !presigns {
				d.handOver(wanted, name, &k)
			}
		}
	}
	ids, all := requests(v.state)
	for i, q := range all {
		if q.Status == RequestActive && !d.m.presigns(q.Key) {
			k, _ := load[keyRecord](v.state, keyPrefix+q.Key)
			key, _, _ := d.m.cfg.schemeOf(q.Key)
			chain := ChainCode(d.m.cfg.Genesis, key, k.Public)
			d.want(wanted, d.m.context(ids[i], &q, &q.Current, k.Epoch), &q.Current, d.m.cfg.SigningDeadline, chain,
				keystore.Generation{Key: q.Key, Epoch: k.Epoch, Attempt: k.Attempt.Number})
		}
	}
	for id, c := range d.running {
		if wanted[id] == nil {
			c.cancel()
			delete(d.running, id)
		}
	}
	for id, c := range wanted {
		if old := d.running[id]; old != nil {
			c = old
		} else {
			d.begin(c)
		}
		if v.Height+c.grace >= c.deadline {
			c.giveUp()
		}
	}
}

// want notes an attempt that this boot of this node is a member of.
func (d *Driver) want(wanted map[session.ID]*ceremony, c session.Context, a *attemptRecord, base uint64, chain [32]byte, g keystore.Generation) {
	seat := slices.Index(a.Committee, uint32(d.self))
	if seat < 0 || c.Committee[seat].Incarnation != d.nonce {
		return
	}
	id := c.ID()
	w := window(base, a.Number)
	wanted[id] = &ceremony{d: d, id: id, context: c, seat: seat, chain: chain, generation: g, deadline: a.Deadline, grace: grace(w),
		punctual: d.view.Height <= a.Started+w/4,
		inbox:    make(chan inbound, inboxSize), late: make(chan struct{}), view: d.view}
}

// begin starts a ceremony and hands it what came early.
func (d *Driver) begin(c *ceremony) {
	c.ctx, c.cancel = context.WithCancel(d.ctx)
	c.since = time.Now()
	d.running[c.id] = c
	for from, list := range d.early {
		d.early[from] = slices.DeleteFunc(list, func(m earlyMessage) bool {
			if m.id == c.id {
				c.push(from, m.data)
			}
			return m.id == c.id
		})
	}
	d.wg.Add(1)
	go c.run()
}

// announce sees to the own incarnation.
func (d *Driver) announce() {
	rec := d.m.node(d.view.state, d.self)
	switch {
	case d.halted != "":
	case bytes.Equal(rec.Incarnation, d.nonce[:]):
		if !d.ordered {
			d.ordered, d.since = true, d.view.Height
		}
	case d.ordered:
		d.halt(fmt.Sprintf("a newer instance of node %d has announced itself (boot %d): "+
			"two machines run with one node key, or this one was restarted elsewhere", d.self, rec.Number))
	case !d.known():
		// The network does not know this node yet, or no more.
	case d.paramsReady():
		v := Incarnation{Node: uint32(d.self), Number: rec.Number + 1, Nonce: d.nonce[:], Protocol: d.cfg.Protocol}
		for _, it := range d.own {
			if it.Kind == payload.Incarnation {
				return // sift would have removed one that is out of date
			}
		}
		v.Signature = d.m.cfg.sign(d.cfg.NodeKey, "incarnation", v)
		d.offer(item(payload.Incarnation, v))
	}
}

// paramsReady makes sure that secret parameters for all keys to come are at hand before this node announces itself, since the
// announcement of the last node starts the key generation.
func (d *Driver) paramsReady() bool {
	if d.m.cfg.Local {
		return true
	}
	ready := true
	for _, id := range d.m.cfg.Keys {
		if !d.m.cfg.costly(id) {
			continue
		}
		name := id.String()
		k, _ := load[keyRecord](d.view.state, keyPrefix+name)
		if k.Status == KeyActive {
			continue
		}
		g := keystore.Generation{Key: name, Epoch: k.Epoch}
		ready = d.haveParams(g, d.cfg.Cores) && ready
	}
	return ready
}

// haveParams reports whether a generation's secret parameters are at hand, and otherwise has them made on so many cores.
func (d *Driver) haveParams(g keystore.Generation, cores int) bool {
	if params, err := d.cfg.Store.Params(g); err == nil {
		params.Wipe()
		return true
	}
	if len(d.making) == 0 { // one after the other
		d.making[g.Key] = true
		d.wg.Add(1)
		go d.makeParams(g, cores)
	}
	return false
}

func (d *Driver) makeParams(g keystore.Generation, cores int) {
	defer d.wg.Done()
	d.cfg.Log.Info("making secret parameters; this takes 10 to 90 seconds of CPU time", "key", g.Key)
	params, err := gg18.NewParams(d.ctx, cores, d.idle, func(elapsed time.Duration) {
		if f := d.cfg.Listener.ParamsProgress; f != nil {
			f(g.Key, elapsed)
		}
	})
	if err == nil {
		err = d.cfg.Store.PutParams(g, params)
		params.Wipe()
	}
	if err != nil && d.ctx.Err() == nil {
		d.cfg.Log.Error("secret parameters", "key", g.Key, "err", err)
	}
	d.mu.Lock()
	delete(d.making, g.Key)
	v := d.view
	d.mu.Unlock()
	if err == nil {
		d.Reconcile(v)
	}
}

// revote votes for a share that a crash left stored but not voted for. The seat is the own one among the votes.
func (d *Driver) revote(g keystore.Generation, votes []voteRecord, seat int) {
	if seat < 0 || seat >= len(votes) || len(votes[seat].Public) != 0 {
		return
	}
	for _, it := range d.own {
		if v, err := decodeItem[KeyVote](it.Body); it.Kind == payload.KeyVote && err == nil && v.Key == g.Key && v.Epoch == g.Epoch && v.Attempt == g.Attempt {
			return
		}
	}
	transcript, share, err := d.share(g)
	if err != nil {
		return // not finished yet
	}
	defer share.Wipe()
	d.vote(g, share, transcript)
}

func (d *Driver) vote(g keystore.Generation, share chainkey.Share, transcript [32]byte) {
	v := KeyVote{Key: g.Key, Epoch: g.Epoch, Attempt: g.Attempt, Node: uint32(d.self), Public: share.PublicKey(), Transcript: transcript[:],
		Shares: share.PublicShares()}
	v.Signature = d.m.cfg.sign(d.cfg.NodeKey, "key vote", v)
	d.offer(item(payload.KeyVote, v))
}

// share loads a stored share. The blob is the transcript's hash and then the scheme's encoding.
func (d *Driver) share(g keystore.Generation) (transcript [32]byte, share chainkey.Share, err error) {
	scheme, blob, err := d.cfg.Store.Share(g)
	if err != nil {
		return transcript, nil, err
	}
	defer blob.Wipe()
	_, want, known := d.m.cfg.schemeOf(g.Key)
	if !known || scheme != want.Name() || len(blob) < 32 {
		return transcript, nil, fmt.Errorf("share of %v is of scheme %q, which this key does not have", g, scheme)
	}
	copy(transcript[:], blob)
	share, err = want.DecodeShare(blob[32:])
	return transcript, share, err
}

// halt ends this instance's signing for good.
func (d *Driver) halt(reason string) {
	if d.halted != "" {
		return
	}
	d.halted = reason
	d.own = nil
	d.reconcileShared()
	for id, c := range d.running {
		c.cancel()
		delete(d.running, id)
	}
	d.cfg.Log.Error("signing halted", "reason", reason)
	if f := d.cfg.Listener.Halted; f != nil {
		f(reason)
	}
}

// Halted returns why this instance signs no more, or an empty string.
func (d *Driver) Halted() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.halted
}

// sift drops items that the view has made moot and takes in gossip that it has made valid.
func (d *Driver) sift() {
	valid := func(it payload.Item) bool { return d.m.Check(d.view.state, it) == nil }
	d.own = slices.DeleteFunc(d.own, func(it payload.Item) bool { return !valid(it) })
	d.others = slices.DeleteFunc(d.others, func(it payload.Item) bool { return !valid(it) })
	waiting := d.unverified
	d.unverified = nil
	for _, u := range waiting {
		if valid(u.item) {
			d.others = append(d.others, u.item)
		} else if u.views++; u.views < maxStale {
			d.unverified = append(d.unverified, u)
		}
	}
}

// offer takes an item made here. The lock is held.
func (d *Driver) offer(it payload.Item) {
	if d.halted != "" {
		return
	}
	d.own = append(d.own, it)
	if len(it.Body) <= maxItemBytes {
		d.spread(it)
	}
	if f := d.cfg.Listener.ItemReady; f != nil {
		f()
	}
}

func (d *Driver) spread(it payload.Item) {
	msg := append([]byte{frameItem, byte(it.Kind)}, it.Body...)
	if d.view == nil {
		return
	}
	for _, node := range d.m.nodes(d.view.state) {
		if node != d.self {
			d.cfg.Transport.Send(node, msg)
		}
	}
}

// regossip repeats own items, which messages lost or a restarted peer may lack, until a block has them.
func (d *Driver) regossip() {
	defer d.wg.Done()
	tick := time.NewTicker(8 * d.cfg.Tick)
	defer tick.Stop()
	for {
		select {
		case <-d.ctx.Done():
			return
		case <-tick.C:
			d.mu.Lock()
			for _, it := range d.own {
				if len(it.Body) <= maxItemBytes {
					d.spread(it)
				}
			}
			d.mu.Unlock()
		}
	}
}

// beat tells those who wait for this node that it is there, also while all its cores compute.
func (d *Driver) beat() {
	defer d.wg.Done()
	tick := time.NewTicker(d.cfg.Patience / 8)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-d.ctx.Done():
			return
		case <-tick.C:
		}
		d.mu.Lock()
		if now := time.Now(); now.Sub(last) > d.cfg.Patience/2 {
			d.awake = now // this process slept: it has not listened, so it calls nobody silent for a while
		}
		last = time.Now()
		to := map[uint32]bool{}
		for _, c := range d.running {
			for _, s := range c.context.Committee {
				to[s.Node] = true
			}
		}
		for node := range to {
			if int(node) != d.self {
				d.cfg.Transport.Send(int(node), []byte{frameAlive, 0})
			}
		}
		d.mu.Unlock()
	}
}

// absent lists the seats of a committee that gave no sign of life for as long as this node is patient.
func (d *Driver) absent(c *ceremony) (seats []int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for seat, s := range c.context.Committee {
		since := d.heard[int(s.Node)]
		for _, t := range []time.Time{c.since, d.awake} {
			if t.After(since) {
				since = t
			}
		}
		if seat != c.seat && now.Sub(since) > d.cfg.Patience {
			seats = append(seats, seat)
		}
	}
	return seats
}

// Pending returns the items that the next block should carry, valid in the newest view, at most one result per request, by kind.
func (d *Driver) Pending() []payload.Item {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.view == nil {
		return nil
	}
	var out []payload.Item
	seen := map[string]bool{}
	for _, it := range slices.Concat(d.own, d.others) {
		id := string(it.Body)
		if it.Kind == payload.Signature {
			r, err := decodeItem[Result](it.Body)
			if err != nil {
				continue
			}
			id = fmt.Sprint("request ", r.Request)
		}
		if !seen[id] {
			seen[id] = true
			out = append(out, it)
		}
	}
	slices.SortStableFunc(out, func(a, b payload.Item) int { return int(a.Kind) - int(b.Kind) })
	return out
}

// Deliver takes a message from another node, as the transport authenticated it.
func (d *Driver) Deliver(from int, msg []byte) {
	if from < 0 || from == d.self || len(msg) < 2 {
		return
	}
	d.mu.Lock()
	known := d.peer(from)
	if known {
		d.heard[from] = time.Now()
	}
	d.mu.Unlock()
	if !known {
		return
	}
	switch msg[0] {
	case frameSession:
		d.deliverSession(from, msg[1:])
	case frameShared:
		if d.shared != nil {
			d.shared.Deliver(uint32(from), msg[1:])
		}
	case frameItem:
		d.deliverItem(payload.Item{Kind: payload.Kind(msg[1]), Body: bytes.Clone(msg[2:])})
	}
}

// peer reports whether a node is, or was, one of the network's. The lock is held.
func (d *Driver) peer(node int) bool {
	return node < len(d.m.cfg.Nodes) || d.view != nil && slices.Contains(d.m.nodes(d.view.state), node)
}

func (d *Driver) deliverSession(from int, data []byte) {
	id, err := session.Peek(data)
	if err != nil {
		d.cfg.Log.Debug("ceremony message ignored", "from", from, "err", err)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.running[id]; c != nil {
		c.push(from, data)
		return
	}
	if len(data) <= maxEarlyBytes && d.halted == "" {
		list := append(d.early[from], earlyMessage{id, bytes.Clone(data)})
		d.early[from] = list[max(0, len(list)-maxEarly):]
	}
}

func (d *Driver) deliverItem(it payload.Item) {
	if len(it.Body) > maxItemBytes {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	same := func(o payload.Item) bool { return o.Kind == it.Kind && bytes.Equal(o.Body, it.Body) }
	if slices.ContainsFunc(d.others, same) || slices.ContainsFunc(d.own, same) ||
		slices.ContainsFunc(d.unverified, func(u unverifiedItem) bool { return same(u.item) }) {
		return
	}
	if d.view != nil && d.m.Check(d.view.state, it) == nil {
		if len(d.others) < maxOthers {
			d.others = append(d.others, it)
			if f := d.cfg.Listener.ItemReady; f != nil {
				f()
			}
		}
		return
	}
	d.unverified = append(d.unverified, unverifiedItem{it, 0})
	d.unverified = d.unverified[max(0, len(d.unverified)-maxUnverified):]
}

// ceremony is this node's part in one attempt, in a goroutine of its own.
type ceremony struct {
	d          *Driver
	id         session.ID
	context    session.Context
	seat       int
	chain      [32]byte
	view       *View // in which it began
	generation keystore.Generation
	deadline   uint64
	grace      uint64
	// punctual says that this node began early enough to call others silent. One that was catching up is itself the laggard.
	punctual bool

	ctx    context.Context
	cancel context.CancelFunc
	inbox  chan inbound
	late   chan struct{}
	once   sync.Once
	since  time.Time
	round  atomic.Int32
	rounds atomic.Int32
}

// Running describes a ceremony that this node is part of.
type Running struct {
	CeremonyInfo
	Seat   int
	Round  int // 0 is the exchange of session keys; equal to Rounds in the last
	Rounds int
	Since  time.Time
}

// Running lists this node's ceremonies, oldest first. One stays in the list, to help slower members, until replicated state ends it.
func (d *Driver) Running() []Running {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []Running
	for _, c := range d.running {
		list = append(list, Running{c.info(), c.seat, int(c.round.Load()), int(c.rounds.Load()), c.since})
	}
	slices.SortFunc(list, func(a, b Running) int {
		if n := a.Since.Compare(b.Since); n != 0 {
			return n
		}
		return bytes.Compare(a.Session[:], b.Session[:])
	})
	return list
}

type inbound struct {
	seat int
	data []byte
}

// giveUp tells the ceremony that its deadline is near.
func (c *ceremony) giveUp() { c.once.Do(func() { close(c.late) }) }

// push queues a message. A full inbox loses it; the session asks again.
func (c *ceremony) push(from int, data []byte) {
	seat := slices.IndexFunc(c.context.Committee, func(s session.Seat) bool { return s.Node == uint32(from) })
	if seat < 0 {
		return
	}
	select {
	case c.inbox <- inbound{seat, bytes.Clone(data)}:
	default:
	}
}

func (c *ceremony) info() CeremonyInfo {
	info := CeremonyInfo{Session: c.id, Kind: c.context.Kind, Key: c.context.Key, Request: c.context.Request, Attempt: c.context.Attempt}
	for _, s := range c.context.Committee {
		info.Committee = append(info.Committee, s.Node)
	}
	return info
}

// compute runs a step within the CPU budget. It reports false when the ceremony was stopped first.
func (c *ceremony) compute(step func()) bool {
	select {
	case c.d.cores <- struct{}{}:
		defer func() { <-c.d.cores }()
		if c.ctx.Err() != nil {
			return false
		}
		step()
		return true
	case <-c.ctx.Done():
		return false
	}
}

var errGaveUp = errors.New("given up before the deadline")

func (c *ceremony) run() {
	defer c.d.wg.Done()
	defer c.cancel()
	start := time.Now()
	if f := c.d.cfg.Listener.CeremonyBegin; f != nil {
		f(c.info())
	}
	var ended bool
	end := func(err error) {
		if ended {
			return
		}
		ended = true
		log := c.d.cfg.Log.With("kind", c.context.Kind.String(), "key", c.context.Key, "request", c.context.Request,
			"attempt", c.context.Attempt, "session", c.id.String(), "took", time.Since(start).Round(time.Millisecond))
		if err != nil && !errors.Is(err, context.Canceled) { // cancelled: the state has moved on, the result is there
			log.Warn("ceremony failed", "err", err)
		} else {
			log.Info("ceremony ended", "err", err)
		}
		if f := c.d.cfg.Listener.CeremonyEnd; f != nil {
			f(c.info(), time.Since(start), err)
		}
	}
	defer func() { // what a session does not contain: preparing a protocol, using its result
		if v := recover(); v != nil {
			err := fmt.Errorf("panic in a ceremony: %v", v)
			c.d.cfg.Log.Error("ceremony panicked", "session", c.id.String(), "err", err, "stack", string(debug.Stack()))
			end(err)
			c.complain(&session.Fault{Reason: session.Internal, Detail: err.Error()})
		}
	}()
	// Before the first message: a machine that crashes now never joins this session again.
	if err := c.d.cfg.Store.Join(c.id); err != nil {
		if end(err); !errors.Is(err, keystore.ErrJoined) { // what it cannot note it must not do
			c.d.mu.Lock()
			defer c.d.mu.Unlock()
			c.d.halt(err.Error())
		}
		return
	}
	var protocol chainkey.Protocol
	var s *session.Session
	var err error
	if !c.compute(func() {
		if protocol, err = c.protocol(); err == nil {
			s, err = session.New(session.Config{ID: c.id, Seat: c.seat, Keys: c.nodeKeys(), Rand: c.d.cfg.Rand, Protocol: protocol,
				Sign: func(b []byte) []byte { return ed25519.Sign(c.d.cfg.NodeKey, b) }})
		}
	}) {
		end(context.Canceled)
		return
	}
	if err != nil { // a lost share, say: the others need not wait for this node
		end(err)
		c.complain(&session.Fault{Reason: session.Internal, Detail: err.Error()})
		return
	}
	defer s.Close()

	var aborted *session.Fault
	// handle does what a step asked for. It reports whether this member goes on, be it to help others.
	handle := func(fx session.Effects) bool {
		round, rounds := s.Round()
		c.round.Store(int32(round))
		c.rounds.Store(int32(rounds))
		for _, m := range fx.Send {
			c.d.cfg.Transport.Send(int(c.context.Committee[m.To].Node), append([]byte{frameSession}, m.Data...))
		}
		switch {
		case fx.Done:
			err := c.finish(s, protocol)
			end(err)
			if err != nil {
				c.complain(&session.Fault{Reason: session.Internal, Detail: err.Error()})
			}
			return err == nil
		case fx.Fault != nil && fx.Fault.Reason == session.Aborted:
			aborted = fx.Fault // its own complaint should come; if not, see giving up
			end(fx.Fault)
		case fx.Fault != nil:
			end(fx.Fault)
			c.complain(fx.Fault)
			return false
		}
		return true
	}
	var fx session.Effects
	if !c.compute(func() { fx = s.Start() }) || !handle(fx) {
		end(context.Canceled)
		return
	}
	tick := time.NewTicker(c.d.cfg.Tick)
	defer tick.Stop()
	for {
		fx = session.Effects{}
		select {
		case <-c.ctx.Done():
			end(context.Canceled)
			return
		case m := <-c.inbox:
			if !c.compute(func() { fx, err = s.Deliver(m.seat, m.data) }) {
				end(context.Canceled)
				return
			}
			if err != nil {
				node := int(c.context.Committee[m.seat].Node)
				c.d.cfg.Log.Debug("ceremony message refused", "session", c.id.String(), "node", node, "err", err)
				if f := c.d.cfg.Listener.Refused; f != nil {
					f(node, err)
				}
			}
		case <-tick.C:
			fx = s.Tick()
			if fault := c.deserted(s); fault != nil && !ended && aborted == nil {
				end(fmt.Errorf("%w: %w", errGaveUp, fault))
				c.complain(fault)
				return
			}
		case <-c.late:
			if aborted != nil {
				c.complain(&session.Fault{Reason: session.Silent, Seats: []int{aborted.By}, Detail: aborted.Detail})
			} else if !ended {
				fault := s.Blame()
				if len(fault.Seats) > 0 && c.punctual {
					c.complain(fault)
				}
				end(fmt.Errorf("%w: %w", errGaveUp, fault))
			}
			return
		}
		if !handle(fx) {
			return
		}
	}
}

// deserted names the members of a signing committee that are gone: this node waits for them, has heard nothing at all of them for as long as it
// is patient, and hears everybody else. One that hears nobody is itself cut off and accuses nobody. In a key generation, for which all nodes are
// needed anyway, only the deadline counts.
func (c *ceremony) deserted(s *session.Session) *session.Fault {
	if c.context.Kind != session.Signature || !c.punctual {
		return nil
	}
	absent := c.d.absent(c)
	if len(absent) == 0 || len(absent) == len(c.context.Committee)-1 {
		return nil
	}
	f := s.Blame()
	f.Detail = fmt.Sprintf("no sign of life for %v", c.d.cfg.Patience)
	f.Seats = slices.DeleteFunc(f.Seats, func(seat int) bool { return !slices.Contains(absent, seat) })
	if len(f.Seats) == 0 {
		return nil
	}
	return f
}

func (c *ceremony) nodeKeys() []ed25519.PublicKey {
	var keys []ed25519.PublicKey
	for _, s := range c.context.Committee {
		keys = append(keys, c.d.m.mustKey(c.view.state, s.Node))
	}
	return keys
}

// protocol prepares the scheme's part.
func (c *ceremony) protocol() (chainkey.Protocol, error) {
	cfg := &c.d.m.cfg
	key, scheme, ok := cfg.schemeOf(c.context.Key)
	if !ok {
		return nil, fmt.Errorf("%w %q", ErrUnknownKey, c.context.Key)
	}
	if c.context.Kind == session.KeyGeneration {
		threshold, err := chainkey.Threshold(len(cfg.Nodes))
		if err != nil {
			return nil, err
		}
		g := chainkey.Generate{Algorithm: key.Algorithm, Session: c.id, Seat: c.seat, Seats: len(cfg.Nodes), Threshold: threshold, AllowLocal: cfg.Local, Rand: c.d.cfg.Rand}
		if scheme.NeedsParams() {
			if cfg.Local {
				g.Params, err = gg18.LocalParams(c.d.self)
			} else {
				g.Params, err = c.d.cfg.Store.Params(c.generation)
			}
			if err != nil {
				return nil, err
			}
			defer g.Params.Wipe()
		}
		return scheme.Generate(g)
	}
	if c.context.Kind == session.Resharing {
		return c.resharing(key, scheme)
	}
	message, open := c.view.message(c.context.Request)
	if !open || message.Digest() != c.context.Message {
		return nil, fmt.Errorf("request %d: %w", c.context.Request, context.Canceled) // answered since
	}
	_, share, err := c.d.share(c.generation)
	if err != nil {
		return nil, err
	}
	defer share.Wipe()
	k, _ := load[keyRecord](c.view.state, keyPrefix+c.context.Key)
	var committee []int
	for _, s := range c.context.Committee {
		committee = append(committee, slices.Index(k.Members, s.Node))
	}
	return scheme.Sign(chainkey.Sign{Session: c.id, Share: share, Committee: committee, Seat: c.seat, Path: c.context.Path, ChainCode: c.chain,
		Message: message, Rand: c.d.cfg.Rand})
}

// finish publishes what the ceremony made.
func (c *ceremony) finish(s *session.Session, protocol chainkey.Protocol) error {
	if c.context.Kind == session.Signature {
		p, ok := protocol.(chainkey.Signing)
		if !ok {
			return fmt.Errorf("a protocol that does not sign: %T", protocol)
		}
		signature, err := p.Signature()
		if err != nil {
			return err
		}
		c.d.mu.Lock()
		defer c.d.mu.Unlock()
		c.d.offer(item(payload.Signature, Result{Request: c.context.Request, Signature: signature[:]}))
		return nil
	}
	p, ok := protocol.(chainkey.Generation)
	if !ok {
		return fmt.Errorf("a protocol that does not generate: %T", protocol)
	}
	share, err := p.Share()
	if errors.Is(err, chainkey.ErrOnlyDealt) {
		return nil
	}
	if err != nil {
		return err
	}
	defer share.Wipe()
	transcript := s.Transcript()
	encoded := share.Encode()
	defer encoded.Wipe()
	blob := append(chainkey.Secret(transcript[:]), encoded...)
	defer blob.Wipe()
	// The vote promises that the share survives a crash, so it is stored first.
	if err := c.d.cfg.Store.PutShare(c.generation, c.context.Scheme, blob); err != nil {
		return err
	}
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.d.vote(c.generation, share, transcript)
	return nil
}

// complain offers a complaint for a block.
func (c *ceremony) complain(f *session.Fault) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	if f.Reason == session.Cloned {
		c.d.halt(f.Detail)
		return
	}
	v := Complaint{Request: c.context.Request, Attempt: c.context.Attempt, Node: uint32(c.d.self), Reason: f.Reason, Evidence: f.Evidence}
	if c.context.Kind != session.Signature {
		v.Key, v.Epoch, v.Request = c.context.Key, c.context.Epoch, 0
	}
	for _, seat := range f.Seats {
		v.Accused = append(v.Accused, c.context.Committee[seat].Node)
	}
	slices.Sort(v.Accused)
	v.Signature = c.d.m.cfg.sign(c.d.cfg.NodeKey, "complaint", v)
	c.d.offer(payload.Item{Kind: payload.Complaint, Body: codec.Marshal(v)})
}
