package vetkeys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"fusion/chainkey/bls"
	"fusion/chainkey/vetkd"
	"fusion/internal/codec"
	"fusion/replica/gossip"
)

// Topic is that of a driver's messages.
const Topic = "vetkeys"

const (
	maxShareBytes = vetkd.EncryptedKeySize + 40
	// maxEarly bounds the shares of a peer for requests that this node has not seen opened: it may be some blocks behind.
	maxEarly = 256
)

// errMessage says that a peer sent what no correct node sends.
var errMessage = errors.New("invalid vetkd message")

// Listener is told what happens; nil functions are skipped. They must not block.
type Listener struct {
	// Refused: a node's message or share was wrong.
	Refused func(node int, err error)
	// Derived: an encrypted key is there, so long after this node saw the request.
	Derived func(took time.Duration)
}

// DriverConfig is a driver's surroundings.
type DriverConfig struct {
	Net gossip.Network
	// Tick is how often what was said is said again. The default is a second.
	Tick     time.Duration
	Log      *slog.Logger // the default discards
	Listener Listener
}

// Driver makes shares and adds them up; see the package documentation.
type Driver struct {
	cfg DriverConfig
	log *slog.Logger

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	wake   chan struct{}

	mu      sync.Mutex
	secrets map[string]secret
	retired []*bls.SecretShare // replaced, and wiped at the end: a share of them may be in the making
	newest  uint64             // highest id ever seen open, and one
	entries map[uint64]*entry
	order   []uint64 // ids of what is open, ascending
	early   map[int][]wireShare
	suspect map[int]bool // sent a bad share once: theirs are used last
}

// secret is this node's share of a key.
type secret struct {
	epoch uint64
	share *bls.SecretShare
}

// entry is an open request at this node. Its maps are the lock's.
type entry struct {
	open    Open
	since   time.Time
	own     []byte              // this node's share as it is sent
	failed  bool                // it cannot be made here
	stuck   bool                // good shares do not add up: the key's public side is not that of its shares
	shares  map[int]vetkd.Share // by node
	refused map[int]bool
	result  []byte // the item for a block
}

// node is who made a share.
func (e *entry) node(s vetkd.Share) int { return int(e.open.Members[s.Index]) }

// wireShare is a share on its way; the node is the sender.
type wireShare struct {
	_       struct{} `cbor:",toarray"`
	Request uint64
	Epoch   uint64
	Share   []byte
}

// NewDriver makes a driver and registers its topic.
func NewDriver(cfg DriverConfig) *Driver {
	if cfg.Tick == 0 {
		cfg.Tick = time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	d := &Driver{cfg: cfg, log: cfg.Log, wake: make(chan struct{}, 1), secrets: map[string]secret{}, entries: map[uint64]*entry{},
		early: map[int][]wireShare{}, suspect: map[int]bool{}}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	cfg.Net.Handle(gossip.Topic{Name: Topic, MaxBytes: maxShareBytes}, func(from int, msg []byte) { d.deliver(from, msg) })
	d.wg.Go(d.run)
	return d
}

// Close ends the driver, waits for it and wipes its secrets.
func (d *Driver) Close() {
	d.cancel()
	d.wg.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.secrets {
		clear(s.share.Scalar[:])
	}
	for _, s := range d.retired {
		clear(s.Scalar[:])
	}
}

// SetShare gives the driver this node's share of a master key in the epoch in force, which it owns from now on. Without one it makes no shares.
func (d *Driver) SetShare(key string, epoch uint64, s *bls.SecretShare) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old := d.secrets[key].share; old != nil {
		d.retired = append(d.retired, old)
	}
	if delete(d.secrets, key); s != nil {
		d.secrets[key] = secret{epoch, s}
	}
	d.poke()
}

func (d *Driver) poke() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *Driver) refused(from int, err error) {
	d.log.Warn("vetkd share refused", "node", from, "err", err)
	if f := d.cfg.Listener.Refused; f != nil {
		f(from, err)
	}
}

// Reconcile makes the driver work on exactly the requests that the committed state has open.
func (d *Driver) Reconcile(open []Open) {
	d.mu.Lock()
	defer d.mu.Unlock()
	entries := make(map[uint64]*entry, len(open))
	d.order = d.order[:0]
	for _, o := range open {
		e := d.entries[o.ID]
		if e == nil || e.open.Epoch != o.Epoch && e.result == nil {
			e = &entry{open: o, since: time.Now(), shares: map[int]vetkd.Share{}, refused: map[int]bool{}}
		}
		entries[o.ID] = e
		d.order = append(d.order, o.ID)
		d.newest = max(d.newest, o.ID+1)
	}
	d.entries = entries
	early := d.early
	d.early = map[int][]wireShare{}
	for from, list := range early {
		for _, s := range list {
			d.take(from, s)
		}
	}
	if len(open) > 0 {
		d.poke()
	}
}

func (d *Driver) deliver(from int, msg []byte) {
	var s wireShare
	if err := decodeShare(msg, &s); err != nil {
		d.refused(from, err)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.take(from, s)
}

func decodeShare(msg []byte, s *wireShare) error {
	if len(msg) > maxShareBytes {
		return fmt.Errorf("%w: %d bytes", errMessage, len(msg))
	}
	if err := codec.Unmarshal(msg, s); err != nil {
		return fmt.Errorf("%w: %w", errMessage, err)
	}
	if len(s.Share) != vetkd.EncryptedKeySize {
		return fmt.Errorf("%w: a share of %d bytes", errMessage, len(s.Share))
	}
	return nil
}

// take keeps a share. The first of a node counts: a correct one says the same each time. The lock is held.
func (d *Driver) take(from int, s wireShare) {
	e := d.entries[s.Request]
	switch {
	case e == nil && s.Request >= d.newest:
		list := append(d.early[from], s)
		d.early[from] = list[max(0, len(list)-maxEarly):]
	case e != nil && e.open.Epoch == s.Epoch && e.result == nil && !e.refused[from]:
		seat := slices.Index(e.open.Members, uint32(from))
		if _, have := e.shares[from]; !have && seat >= 0 {
			e.shares[from] = vetkd.Share{Index: seat, Bytes: [vetkd.EncryptedKeySize]byte(s.Share)}
			d.poke()
		}
	}
}

// run computes, in one goroutine: a share takes a millisecond or two, a sum five.
func (d *Driver) run() {
	tick := time.NewTicker(d.cfg.Tick)
	defer tick.Stop()
	for {
		again := false
		select {
		case <-d.ctx.Done():
			return
		case <-d.wake:
		case <-tick.C:
			again = true
		}
		d.mu.Lock()
		order := slices.Clone(d.order)
		d.mu.Unlock()
		for _, id := range order { // all own shares first: others wait for them
			d.contribute(id, again)
		}
		for _, id := range order {
			for d.ctx.Err() == nil && d.combine(id) {
			}
		}
	}
}

// contribute makes and sends this node's share, and sends it again while the request is open.
func (d *Driver) contribute(id uint64, again bool) {
	d.mu.Lock()
	e := d.entries[id]
	if e == nil || e.failed || e.own != nil && !again {
		d.mu.Unlock()
		return
	}
	own, secret := e.own, d.secrets[e.open.Key]
	d.mu.Unlock()
	if own == nil {
		if secret.share == nil || secret.epoch != e.open.Epoch {
			return
		}
		s, err := e.open.Request.Share(secret.share)
		if err != nil {
			d.log.Error("this replica's share of a vetkd key cannot be made", "key", e.open.Key, "request", id, "err", err)
		}
		d.mu.Lock()
		if e.failed = err != nil; !e.failed {
			own = codec.Marshal(wireShare{Request: id, Epoch: e.open.Epoch, Share: s.Bytes[:]})
			e.own, e.shares[d.cfg.Net.Self()] = own, s
		}
		d.mu.Unlock()
		if err != nil {
			return
		}
	}
	d.cfg.Net.Broadcast(Topic, own)
}

// combine adds shares up. It reports whether it has to be tried again, with bad shares removed.
func (d *Driver) combine(id uint64) bool {
	d.mu.Lock()
	e := d.entries[id]
	if e == nil || e.result != nil || e.stuck || len(e.shares) < e.open.Group.Threshold() {
		d.mu.Unlock()
		return false
	}
	var picked []vetkd.Share
	for _, s := range e.shares {
		picked = append(picked, s)
	}
	slices.SortFunc(picked, func(a, b vetkd.Share) int {
		if x, y := d.suspect[e.node(a)], d.suspect[e.node(b)]; x != y {
			if y {
				return -1
			}
			return 1
		}
		return a.Index - b.Index
	})
	d.mu.Unlock()
	q, g := &e.open.Request, e.open.Group
	picked = picked[:g.Threshold()]
	key, err := q.Combine(g, picked)
	if err == nil {
		d.mu.Lock()
		e.result = codec.Marshal(result{Request: id, EncryptedKey: key[:]})
		d.mu.Unlock()
		if f := d.cfg.Listener.Derived; f != nil {
			f(time.Since(e.since))
		}
		return false
	}
	bad := map[int]error{}
	for _, s := range picked {
		if err := q.VerifyShare(g, s); err != nil {
			bad[e.node(s)] = err
		}
	}
	d.mu.Lock()
	for node := range bad {
		delete(e.shares, node)
		e.refused[node], d.suspect[node] = true, true
	}
	e.stuck = len(bad) == 0
	d.mu.Unlock()
	if len(bad) == 0 {
		d.log.Error("good shares of a vetkd key do not add up", "key", e.open.Key, "request", id, "err", err)
		return false
	}
	for node, err := range bad {
		d.refused(node, fmt.Errorf("request %d: %w", id, err))
	}
	return true
}

// Pending returns the encrypted keys that a block may carry, oldest request first.
func (d *Driver) Pending() (items [][]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range d.order {
		if e := d.entries[id]; e.result != nil {
			items = append(items, e.result)
		}
	}
	return items
}

// Status is a sentence for each open request.
func (d *Driver) Status() (out []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range d.order {
		e := d.entries[id]
		what := fmt.Sprintf("%d of %d shares", len(e.shares), e.open.Group.Threshold())
		if e.result != nil {
			what = "waits for a block"
		}
		out = append(out, fmt.Sprintf("vetkd request %d of block %d with key %s: %s", id, e.open.Height, e.open.Key, what))
	}
	return out
}
