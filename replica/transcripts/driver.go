package transcripts

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"fusion/chainkey"
	"fusion/chainkey/idkg"
	"fusion/chainkey/keystore"
	"fusion/internal/kv"
	"fusion/internal/redact"
)

// DriverConfig describes a driver. The functions are called from the driver's goroutine and must not call the driver, but for Reconcile and Deliver.
type DriverConfig struct {
	Machine *Machine
	Self    uint32 // node index
	NodeKey ed25519.PrivateKey
	Store   *keystore.Store
	// Send moves a message to a node. It may lose it, and must not block.
	Send func(to uint32, msg []byte)
	// Sign signs an item as Config.Authentic checks it.
	Sign func(domain string, unsigned any) []byte
	// Offer takes an item for a block.
	Offer func(body []byte)
	// Held takes a share of a new key to store it and to say so in a block. It is called again until it says that nothing is left to do.
	Held func(key string, epoch uint64, share *KeyShare) (done bool, err error)
	// Stored is a key share in the key store, for a node whose receiver's key is lost.
	Stored func(key string, epoch uint64) *KeyShare
	// Signed takes a finished signature.
	Signed func(request uint64, signature [64]byte)
	// Refused is told of each message of a node that was not what it should be: garbled, or not signed by it. It may be nil.
	Refused func(node uint32, err error)
	Tick    time.Duration // of repeated messages
	// Patience is how long the members whose turn it is are waited for before the others deal, too.
	Patience time.Duration
	Slots    chan struct{} // how many computations run at once
	Rand     io.Reader
	Log      *slog.Logger
}

// Format shows no key, whatever the verb.
func (DriverConfig) Format(f fmt.State, _ rune) {
	redact.Format(f, "configuration of a driver of transcripts")
}

// Task is a request whose presignature was taken and whose beacon is known.
type Task struct {
	Request uint64
	Key     string
	Epoch   uint64
	Serial  uint64
	Bound   uint64                        // height at which the presignature was taken
	Signing func() (*idkg.Signing, error) // an error says that it was answered since
}

// View is what a driver is told of a committed state.
type View struct {
	Height uint64
	State  kv.Reader
	// Since is the height at which this boot of the node was ordered; zero while it takes no part. What was taken up to then, an earlier boot
	// may have signed with: without a bond in the key store it is let be.
	Since uint64
	Left  bool // the node is a member no more: its receivers' keys are erased
	// Tasks makes the list of what to sign. It is called in the driver's goroutine.
	Tasks func() []Task
}

// Driver does this node's part. Its methods may be called concurrently.
type Driver struct {
	cfg    DriverConfig
	m      *Machine
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
	wake   chan struct{}

	mu    sync.Mutex
	next  *View
	queue []inbound
	bytes map[uint32]int // queued, by sender

	// The following are the goroutine's own.
	view     *View
	keys     map[string]*idkg.DecryptionKey // by name in the key store; nil says that it is lost
	held     map[place]*heldRound
	byDeal   map[[32]byte]*stage // by dealing
	early    map[uint32][]inbound
	tasks    map[uint64]*task
	epochs   map[uint64]*epochRecord
	counters map[string]counter
	erased   bool // receivers' keys that nothing wants any more
}

// Format shows no key, whatever the verb.
func (*Driver) Format(f fmt.State, _ rune) { redact.Format(f, "driver of transcripts") }

// Messages between drivers: a byte that says what it is, and its encoding.
const (
	msgDealing byte = 1 + iota
	msgSupport
	msgComplaint
	msgOpening
	msgShare // a request, 8 bytes, and a share of its signature
)

// Bounds of what peers can make a driver keep.
const (
	maxQueued   = 4 << 20 // bytes of one sender
	maxEarly    = 256     // messages of one sender for what has not begun here
	maxEarlySum = 2 << 20 // bytes of them
	maxTries    = 32      // views after which they are given up
	maxSupports = 8       // of one member, of a stage
)

type inbound struct {
	from  uint32
	msg   []byte
	tries int
}

// heldRound is what this node has of a round.
type heldRound struct {
	rd     round
	shares [][]*idkg.Share // by sharing over all stages, as far as they are loaded
	loaded int             // stages
	stages []*stage        // made or being made
	told   bool            // Held took the key share
}

// stage is a stage of a round, here.
type stage struct {
	p          place
	number     int
	sharings   []*idkg.Sharing
	begun      time.Time
	dealt      bool
	own        [][]byte                // messages of dealings and supports made here, to be repeated
	dealings   []map[int]*idkg.Dealing // by sharing, by seat: checked or own, one each
	raw        map[[32]byte][]byte     // encoded dealings
	fresh      [][32]byte              // good and not yet supported
	freshSince time.Time
	tally      *idkg.Tally
	supports   map[int][]*idkg.Support
	offered    bool
	// Of a stage that is made:
	chosen     [][]*idkg.Dealing // by sharing
	openings   []*idkg.Opening
	complaints [][]byte // messages
	answered   map[string]time.Time
}

type task struct {
	Task
	signing *idkg.Signing
	shares  map[int]*idkg.SignatureShare
	raw     map[int][]byte
	bad     map[int]bool // seats that lied
	tried   int          // shares that made no signature
	own     []byte       // message
	done    bool
	skip    bool
}

// NewDriver starts a driver. Close ends it.
func NewDriver(cfg DriverConfig) *Driver {
	if cfg.Patience == 0 {
		cfg.Patience = 3 * time.Second
	}
	d := &Driver{cfg: cfg, m: cfg.Machine, done: make(chan struct{}), wake: make(chan struct{}, 1), bytes: map[uint32]int{},
		keys: map[string]*idkg.DecryptionKey{}, held: map[place]*heldRound{}, byDeal: map[[32]byte]*stage{}, early: map[uint32][]inbound{}, tasks: map[uint64]*task{}}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	go d.run()
	return d
}

// Close ends the driver, and wipes its shares.
func (d *Driver) Close() {
	d.cancel()
	<-d.done
}

func (d *Driver) poke() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Reconcile tells of a committed state. Views may be skipped, and come twice.
func (d *Driver) Reconcile(v *View) {
	d.mu.Lock()
	d.next = v
	d.mu.Unlock()
	d.poke()
}

// Deliver takes a message from another node, as the transport authenticated it.
func (d *Driver) Deliver(from uint32, msg []byte) {
	if len(msg) < 2 || len(msg) > maxItemBytes {
		return
	}
	d.mu.Lock()
	if d.bytes[from]+len(msg) <= maxQueued {
		d.bytes[from] += len(msg)
		d.queue = append(d.queue, inbound{from: from, msg: slices.Clone(msg)})
	}
	d.mu.Unlock()
	d.poke()
}

func (d *Driver) run() {
	defer close(d.done)
	defer func() {
		for p := range d.held {
			d.forget(p)
		}
		for _, k := range d.keys {
			if k != nil {
				k.Wipe()
			}
		}
	}()
	tick := time.NewTicker(d.cfg.Tick)
	defer tick.Stop()
	for n := 0; ; {
		ticked := false
		select {
		case <-d.ctx.Done():
			return
		case <-tick.C:
			ticked = true
			n++
		case <-d.wake:
		}
		d.mu.Lock()
		v, queue := d.next, d.queue
		d.next, d.queue = nil, nil
		clear(d.bytes)
		d.mu.Unlock()
		if v == nil && len(queue) == 0 && (d.view == nil || len(d.held)+len(d.tasks) == 0) {
			continue
		}
		select {
		case d.cfg.Slots <- struct{}{}:
		case <-d.ctx.Done():
			return
		}
		if v != nil {
			d.take(v)
		}
		for _, in := range queue {
			d.receive(in)
		}
		d.work(ticked)
		if ticked && n%8 == 0 {
			d.repeat()
		}
		<-d.cfg.Slots
	}
}

// take makes what is held that of a committed state.
func (d *Driver) take(v *View) {
	d.view = v
	d.epochs, d.counters = map[uint64]*epochRecord{}, map[string]counter{}
	kv.ScanPrefix(v.State, []byte(epochPrefix), func(k, _ []byte) bool {
		epoch := binary.BigEndian.Uint64(k[len(epochPrefix):])
		if e, ok := load[epochRecord](v.State, string(k)); ok {
			d.epochs[epoch] = &e
		}
		return true
	})
	if v.Since != 0 && !d.erased {
		d.erase()
		d.erased = true
	}
	for epoch, e := range d.epochs {
		if v.Since != 0 || e.Closed {
			d.register(epoch, e)
		} else if v.Left {
			d.register(epoch, &epochRecord{Opened: e.Opened, Closed: true})
		}
	}
	if v.Since == 0 {
		for p := range d.held {
			d.forget(p)
		}
		clear(d.tasks)
		return
	}
	stands := map[place]bool{}
	for _, id := range d.m.cfg.Keys {
		name := id.String()
		d.counters[name], _ = load[counter](v.State, counterPrefix+name)
		for epoch, e := range d.epochs {
			if e.Closed {
				continue
			}
			rounds(v.State, name, epoch, func(p place, rd round) {
				stands[p] = true
				h := d.held[p]
				if h != nil && (h.rd.Try != rd.Try || h.rd.From != rd.From || h.rd.Stage > rd.Stage) { // a round of before was dropped, and this one has its name
					d.forget(p)
					h = nil
				}
				if h == nil {
					h = &heldRound{}
					d.held[p] = h
				}
				h.rd = rd
			})
		}
	}
	for p := range d.held {
		if !stands[p] {
			d.forget(p)
		}
	}
	open := map[uint64]bool{}
	for _, t := range v.Tasks() {
		open[t.Request] = true
		if old := d.tasks[t.Request]; old == nil || old.Epoch != t.Epoch || old.Serial != t.Serial || old.Bound != t.Bound {
			delete(d.tasks, t.Request)
			signing, err := t.Signing()
			if err != nil {
				continue
			}
			d.tasks[t.Request] = &task{Task: t, signing: signing, shares: map[int]*idkg.SignatureShare{}, raw: map[int][]byte{}, bad: map[int]bool{}}
		}
	}
	for request := range d.tasks {
		if !open[request] {
			delete(d.tasks, request)
		}
	}
	for _, h := range d.held { // presignatures that are used up
		for i, q := range h.rd.Serves {
			if q == spent {
				for _, list := range h.shares {
					list[i].Wipe()
				}
			}
		}
	}
	d.replay()
}

// replay hands in again what came early.
func (d *Driver) replay() {
	early := d.early
	d.early = map[uint32][]inbound{}
	for _, list := range early {
		for _, in := range list {
			if in.tries++; in.tries < maxTries {
				d.receive(in)
			}
		}
	}
}

func (d *Driver) forget(p place) {
	h := d.held[p]
	for _, list := range h.shares {
		for _, s := range list {
			s.Wipe()
		}
	}
	for _, st := range h.stages {
		for digest := range st.raw {
			delete(d.byDeal, digest)
		}
	}
	delete(d.held, p)
}

// receiverPrefix begins the names of receivers' keys in the key store.
const receiverPrefix = "idkg receiver "

// erase removes receivers' keys of epochs that are not open, such as those of blocks that a recovery lost. The view has the own boot in it, and so all that
// this node ever made a key for, or a recovery undid that.
func (d *Driver) erase() {
	list, err := d.cfg.Store.ParamsList()
	if err != nil {
		d.cfg.Log.Error("erasing a receiver's key", "err", err)
		return
	}
	wanted := map[keystore.Generation]bool{}
	for epoch, e := range d.epochs {
		wanted[receiverKey(epoch, e)] = !e.Closed
	}
	for _, g := range list {
		if strings.HasPrefix(g.Key, receiverPrefix) && !wanted[g] {
			if err := d.cfg.Store.WipeParams(g); err != nil {
				d.cfg.Log.Error("erasing a receiver's key", "epoch", g.Epoch, "err", err)
			}
		}
	}
}

func receiverKey(epoch uint64, e *epochRecord) keystore.Generation {
	return keystore.Generation{Key: fmt.Sprintf("%s%d %x", receiverPrefix, e.Opened, e.Life[:min(8, len(e.Life))]), Epoch: epoch}
}

// register sees to the own receiver's key of an epoch: made, stored and then registered before the epoch has any dealings, erased when it is over.
func (d *Driver) register(epoch uint64, e *epochRecord) {
	g := receiverKey(epoch, e)
	key, seen := d.keys[g.String()]
	seat := slices.Index(e.Nodes, d.cfg.Self)
	if e.Closed {
		if !seen || key != nil {
			if err := d.cfg.Store.WipeParams(g); err != nil {
				d.cfg.Log.Error("erasing a receiver's key", "epoch", epoch, "err", err)
				return
			}
			if key != nil {
				key.Wipe()
			}
			d.keys[g.String()] = nil
		}
		return
	}
	if seat < 0 {
		return
	}
	registered := len(e.Members[seat]) != 0
	if key == nil && (!seen || !registered) {
		b, err := d.cfg.Store.Params(g)
		switch {
		case err == nil:
			key, err = idkg.DecodeDecryptionKey(b)
			b.Wipe()
			if err != nil {
				d.cfg.Log.Error("the receiver's key of this epoch is lost; this node takes no part in signatures until the keys are reshared", "epoch", epoch, "err", err)
			}
		case registered:
			d.cfg.Log.Error("the receiver's key of this epoch is lost; this node takes no part in signatures until the keys are reshared", "epoch", epoch, "err", err)
		}
		d.keys[g.String()] = key
	}
	if registered {
		return
	}
	member, fresh, err := idkg.NewMember(d.m.cfg.Network, epoch, d.cfg.NodeKey, d.cfg.Rand)
	if key == nil && err == nil {
		b := fresh.Encode()
		err = d.cfg.Store.PutParams(g, b)
		b.Wipe()
		key = fresh
		d.keys[g.String()] = key
	} else if err == nil {
		fresh.Wipe()
		member, err = key.Member(d.m.cfg.Network, epoch, d.cfg.NodeKey, d.cfg.Rand)
	}
	if err != nil {
		d.cfg.Log.Error("writing the key store", "what", "a receiver's key", "epoch", epoch, "err", err)
		delete(d.keys, g.String())
		return
	}
	v := receiver{Epoch: epoch, Opened: e.Opened, Node: d.cfg.Self, Member: member.Encode()}
	v.Signature = d.cfg.Sign("receiver", v)
	d.cfg.Offer(encode(itemReceiver, v))
}

// me is this node in an epoch; ok is false when it is no member.
func (d *Driver) me(epoch uint64) (id idkg.Identity, ok bool) {
	e := d.epochs[epoch]
	if e == nil || e.Closed {
		return id, false
	}
	seat := slices.Index(e.Nodes, d.cfg.Self)
	return idkg.Identity{Seat: seat, Node: d.cfg.NodeKey, Key: d.keys[receiverKey(epoch, e).String()], Rand: d.cfg.Rand}, seat >= 0
}

// tell sends a message to all other members of some epochs.
func (d *Driver) tell(msg []byte, epochs ...uint64) {
	sent := map[uint32]bool{d.cfg.Self: true}
	for _, epoch := range epochs {
		if e := d.epochs[epoch]; e != nil {
			for _, node := range e.Nodes {
				if !sent[node] {
					sent[node] = true
					d.cfg.Send(node, msg)
				}
			}
		}
	}
}

// work does what the state asks for. It goes through the rounds by serial, keys first.
func (d *Driver) work(ticked bool) {
	if d.view == nil || d.view.Since == 0 {
		return
	}
	var places []place
	for p := range d.held {
		places = append(places, p)
	}
	slices.SortFunc(places, func(a, b place) int {
		switch {
		case a.epoch != b.epoch:
			return int(int64(a.epoch) - int64(b.epoch))
		case a.serial != b.serial:
			return int(int64(a.serial) - int64(b.serial))
		}
		return slices.Compare([]byte(a.key), []byte(b.key))
	})
	for _, p := range places {
		d.advance(p, d.held[p], ticked)
	}
	d.sign()
}

func (d *Driver) advance(p place, h *heldRound, ticked bool) {
	for h.loaded < h.rd.Stage {
		if !d.load(p, h) {
			return
		}
	}
	if d.m.complete(p, &h.rd) {
		if p.serial == 0 && !h.told {
			if _, member := d.me(p.epoch); member {
				key := d.m.Key(d.view.State, p.key, p.epoch)
				if key == nil {
					return // the view's source has moved on
				}
				share := h.shares[len(h.shares)-1][0]
				done, err := d.cfg.Held(p.key, p.epoch, &KeyShare{key, share})
				if err != nil {
					d.cfg.Log.Error("writing the key store", "what", "a key share", "key", p.key, "epoch", p.epoch, "err", err)
				}
				h.told = done
			}
		}
		return
	}
	st, err := d.stage(p, h, h.rd.Stage)
	if err != nil {
		return // members of the epoch have not registered
	}
	d.deal(p, h, st)
	d.support(p, h, st, ticked)
	d.offer(p, h, st)
}

// stage is a stage as this node holds it.
func (d *Driver) stage(p place, h *heldRound, number int) (*stage, error) {
	if number < len(h.stages) {
		return h.stages[number], nil
	}
	sharings, err := d.m.sharings(d.view.State, p, &h.rd, number)
	if err != nil {
		return nil, err
	}
	st := &stage{p: p, number: number, sharings: sharings, begun: time.Now(), raw: map[[32]byte][]byte{}, tally: idkg.NewTally(sharings[0].Receivers),
		supports: map[int][]*idkg.Support{}, answered: map[string]time.Time{}}
	for range sharings {
		st.dealings = append(st.dealings, map[int]*idkg.Dealing{})
	}
	h.stages = append(h.stages, st)
	d.replay()
	return st, nil
}

// load takes the own shares out of the next stage that a block ended. It reports whether it has them.
func (d *Driver) load(p place, h *heldRound) bool {
	number := h.loaded
	me, member := d.me(p.epoch)
	if !member { // it only deals in a resharing
		h.loaded++
		return true
	}
	if p.serial == 0 && d.m.complete(p, &h.rd) { // a key in force; the dealers' epoch may be over, or another life have begun
		if share := d.stored(p); share != nil {
			h.shares, h.loaded = [][]*idkg.Share{{share}}, h.rd.Stage
			return true
		}
	}
	if me.Key == nil {
		return false
	}
	st, err := d.stage(p, h, number)
	if err != nil {
		return false
	}
	if st.chosen == nil {
		all, ok := load[dealt](d.view.State, p.dealings(number))
		if !ok {
			return false
		}
		for i, list := range all.Dealings {
			var chosen []*idkg.Dealing
			for _, b := range list {
				x, err := d.m.dealing(st.sharings[i], b)
				if err != nil {
					d.cfg.Log.Error("loading key shares", "key", p.key, "epoch", p.epoch, "serial", p.serial, "err", err)
					return false
				}
				chosen = append(chosen, x)
				st.raw[x.Digest()] = b
				d.byDeal[x.Digest()] = st
			}
			st.chosen = append(st.chosen, chosen)
		}
	}
	var shares [][]*idkg.Share
	first, all := len(h.shares), made(d.view.State, p)
	for i, s := range st.sharings {
		if first+i >= len(all) {
			return false
		}
		ts, err := d.m.decode(all[first+i])
		if err != nil {
			return false
		}
		own, complaints, err := s.Load(ts, st.chosen[i], me, st.openings)
		if err != nil {
			for _, list := range shares {
				for _, x := range list {
					x.Wipe()
				}
			}
			if !errors.Is(err, idkg.ErrComplaints) {
				d.cfg.Log.Error("loading key shares", "key", p.key, "epoch", p.epoch, "serial", p.serial, "err", err)
				return false
			}
			if st.complaints == nil {
				d.cfg.Log.Warn("bad shares in a dealing; the others open theirs", "key", p.key, "epoch", p.epoch, "serial", p.serial)
				for _, c := range complaints {
					b := c.Encode()
					st.complaints = append(st.complaints, append([]byte{msgComplaint}, b...))
					d.tell(st.complaints[len(st.complaints)-1], p.epoch)
					d.accuse(accusation{Key: p.key, Epoch: p.epoch, Serial: p.serial, Stage: uint8(number), Sharing: uint8(i), Charge: badBox, Evidence: b})
				}
			}
			return false
		}
		shares = append(shares, own)
	}
	st.complaints, st.own, st.openings = nil, nil, nil
	h.shares, h.loaded = append(h.shares, shares...), h.loaded+1
	return true
}

// stored is the own share of a key that is in force, out of the key store, for the life that the subnet is in; nil when it is not there.
func (d *Driver) stored(p place) *idkg.Share {
	k := d.cfg.Stored(p.key, p.epoch)
	if k == nil {
		return nil
	}
	all, t := made(d.view.State, p), d.m.Key(d.view.State, p.key, p.epoch)
	if len(all) == 0 || t == nil {
		k.Share.Wipe()
		return nil // the view's source has moved on
	}
	made, err := d.m.transcript(all[len(all)-1][0])
	if err == nil && k.Transcript.Digest() != made.Digest() {
		err = errors.New("it is of another transcript")
	}
	share := k.Share
	if err == nil && made.Digest() != t.Digest() {
		share, err = k.Share.InLife(t)
		k.Share.Wipe()
	}
	if err != nil {
		d.cfg.Log.Error("loading key shares", "key", p.key, "epoch", p.epoch, "err", err)
		return nil
	}
	return share
}

// accuse offers proof for a block.
func (d *Driver) accuse(v accusation) {
	v.Node = d.cfg.Self
	v.Signature = d.cfg.Sign("accusation", v)
	d.cfg.Offer(encode(itemAccusation, v))
}

// blame accuses the author of evidence, if err is proof against one.
func (d *Driver) blame(st *stage, sharing int, c charge, evidence []byte, err error) {
	if m := (*chainkey.Misbehaviour)(nil); errors.As(err, &m) {
		d.accuse(accusation{Key: st.p.key, Epoch: st.p.epoch, Serial: st.p.serial, Stage: uint8(st.number), Sharing: uint8(sharing), Charge: c, Evidence: evidence})
	}
}

// inputs are the own shares of what a sharing of a stage builds on.
func (d *Driver) inputs(p place, h *heldRound, number, sharing int) (left, right []*idkg.Share, ok bool) {
	switch {
	case h.rd.Purpose == resharing:
		old := d.held[place{p.key, h.rd.From, 0}]
		if old == nil || len(old.shares) == 0 || !d.m.complete(place{p.key, h.rd.From, 0}, &old.rd) || old.loaded < old.rd.Stage {
			return nil, nil, false
		}
		return old.shares[len(old.shares)-1], nil, true
	case number == 0:
		return nil, nil, true
	case h.rd.Purpose == generation:
		return h.shares[0], nil, len(h.shares) > 0
	}
	if sharing == 0 {
		return h.shares[0], h.shares[1], true
	}
	k := d.held[place{p.key, p.epoch, 0}]
	if k == nil || k.loaded < k.rd.Stage || len(k.shares) == 0 {
		return nil, nil, false
	}
	return slices.Repeat(k.shares[len(k.shares)-1], h.rd.Count), h.shares[1], true
}

// deal makes the own dealings of a stage when it is this node's turn.
func (d *Driver) deal(p place, h *heldRound, st *stage) {
	me, member := d.me(h.rd.From)
	if st.dealt || !member {
		return
	}
	// All deal when those whose turn it is are silent for long, and before the stage is given up.
	now := time.Since(st.begun) > d.cfg.Patience || d.view.Height >= h.rd.Started+d.m.cfg.StageBlocks/4
	e := d.epochs[h.rd.From]
	for i, s := range st.sharings {
		if st.dealings[i][me.Seat] != nil || !now && !slices.Contains(turn(s, e.Nodes, d.counters[p.key].Absent), me.Seat) {
			continue
		}
		left, right, ok := d.inputs(p, h, st.number, i)
		if !ok {
			return
		}
		x, err := s.Deal(me, left, right)
		if err != nil {
			d.cfg.Log.Error("computing with key shares", "what", "a dealing", "key", p.key, "epoch", p.epoch, "serial", p.serial, "err", err)
			return
		}
		b := x.Encode()
		d.m.dealt(s, x, b)
		msg := append([]byte{msgDealing}, b...)
		st.own = append(st.own, msg)
		d.tell(msg, p.epoch, h.rd.From)
		d.keep(st, i, x, b)
	}
	st.dealt = now
}

// keep takes a dealing that verifies. If the own share in it is good it will be supported.
func (d *Driver) keep(st *stage, sharing int, x *idkg.Dealing, b []byte) {
	st.dealings[sharing][x.Dealer()] = x
	st.raw[x.Digest()] = b
	d.byDeal[x.Digest()] = st
	me, member := d.me(st.p.epoch)
	if !member || me.Key == nil {
		return
	}
	if err := st.sharings[sharing].Check(x, me); err != nil {
		d.cfg.Log.Warn("a bad dealing", "key", st.p.key, "epoch", st.p.epoch, "serial", st.p.serial, "err", err)
		return
	}
	if len(st.fresh) == 0 {
		st.freshSince = time.Now()
	}
	st.fresh = append(st.fresh, x.Digest())
}

// support signs for the dealings of a stage that were found good: at once when there are enough, otherwise after a moment.
func (d *Driver) support(p place, h *heldRound, st *stage, ticked bool) {
	enough := true
	for i, s := range st.sharings {
		enough = enough && len(st.dealings[i]) >= s.Needed()
	}
	if len(st.fresh) == 0 || !enough && !(ticked && time.Since(st.freshSince) >= d.cfg.Tick) {
		return
	}
	me, _ := d.me(p.epoch)
	var bonds []keystore.Bond
	var digests [][32]byte
	for i, s := range st.sharings {
		for seat, x := range st.dealings[i] {
			if !slices.Contains(st.fresh, x.Digest()) {
				continue
			}
			bond := keystore.Bond{Name: supportName(s, seat), Value: x.Digest()}
			if old, ok := d.cfg.Store.Bound(bond.Name); ok && old != bond.Value {
				continue // an earlier boot supported another one
			}
			bonds, digests = append(bonds, bond), append(digests, x.Digest())
		}
	}
	st.fresh = nil
	if len(digests) == 0 {
		return
	}
	if err := d.cfg.Store.Bind(bonds...); err != nil {
		d.cfg.Log.Error("writing the key store", "what", "supports", "err", err)
		return
	}
	sup, err := st.sharings[0].Receivers.Support(me, digests...)
	if err == nil {
		err = st.tally.Add(sup)
	}
	if err != nil {
		d.cfg.Log.Error("computing with key shares", "what", "supports", "err", err)
		return
	}
	st.supports[me.Seat] = append(st.supports[me.Seat], sup)
	msg := append([]byte{msgSupport}, sup.Encode()...)
	st.own = append(st.own, msg)
	d.tell(msg, p.epoch, h.rd.From)
}

// offer proposes the end of a stage when all its sharings have certified dealings.
func (d *Driver) offer(p place, h *heldRound, st *stage) {
	if st.offered {
		return
	}
	v := dealings{Key: p.key, Epoch: p.epoch, Serial: p.serial, Stage: uint8(st.number)}
	uncovered := map[[32]byte]int{}
	for i, s := range st.sharings {
		var list []*idkg.Dealing
		for _, x := range st.dealings[i] {
			list = append(list, x)
		}
		chosen, err := s.Select(list, st.tally)
		if err != nil {
			return
		}
		var raw [][]byte
		for _, x := range chosen {
			raw = append(raw, st.raw[x.Digest()])
			uncovered[x.Digest()] = s.Receivers.SupportNeeded()
		}
		v.Dealings = append(v.Dealings, raw)
	}
	for seat := range st.sharings[0].Receivers.N() { // a member may have said it in parts
		counted := map[[32]byte]bool{}
		for _, sup := range st.supports[seat] {
			useful := false
			for _, x := range sup.Dealings() {
				if uncovered[x] > 0 && !counted[x] {
					uncovered[x]--
					counted[x], useful = true, true
				}
			}
			if useful {
				v.Supports = append(v.Supports, sup.Encode())
			}
		}
	}
	for _, missing := range uncovered {
		if missing > 0 {
			return
		}
	}
	st.offered = true
	d.cfg.Offer(encode(itemDealings, v))
}
