package certify

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"fusion/chainkey/bls"
	"fusion/internal/codec"
	"fusion/replica/gossip"
	"fusion/replica/members"
)

// Topic is the gossip topic of shares and signatures.
const Topic = "certify"

const (
	maxPayload   = 64
	maxWireBytes = 512
	maxDomain    = 32
	// suspectFor is for how many heights a node's shares are used last and its signatures ignored after a bad one.
	suspectFor = 1000
	// A peer's credit bounds the answers it can make us send: a burst, and so many more at each resend.
	credit       = 128
	creditRefill = 16
)

// Errors of a Pool.
var (
	ErrClosed  = errors.New("certification has stopped")
	ErrDomain  = errors.New("unknown certification domain")
	ErrMessage = errors.New("invalid certification message")
)

// Domain is a role in which the key signs.
type Domain struct {
	Name string // a domain of package bls
	// Newest: a signature makes all lower heights pointless. For state roots it does, for the beacon each height counts.
	Newest bool
}

// Certificate is a combined signature. What it signs is bls.Message(Domain, Payload).
type Certificate struct {
	Domain    string
	Height    uint64
	Payload   []byte
	Signature []byte // 48 bytes
}

// Events are called from the pool's goroutine; nil functions are skipped. They must not block.
type Events struct {
	// Certified: there is a signature for this height, so long after Sign.
	Certified func(c Certificate, after time.Duration)
	// Refused: the node sent what is no message.
	Refused func(node int, err error)
	// BadShare: the node sent a share that does not verify.
	BadShare func(node int, domain string, height uint64)
	// Diverged: more than f nodes claim theirs where we have ours. Called once for each height.
	Diverged func(domain string, height uint64, ours, theirs []byte)
}

// Config of a Pool.
type Config struct {
	Net     gossip.Network
	Domains []Domain // the default is state roots (newest), the beacon, and whole states (newest)
	// Resend is how often an unfinished entry is sent again. The default is 500 ms.
	Resend time.Duration
	// Window is how far from our height shares of others are kept, and how many signatures are. The default is 64.
	Window uint64
	Events Events
	Logger *slog.Logger // the default discards
}

// BeaconPayload is what the beacon of a height signs. The signature is the height's random value: nobody can know it
// before f+1 honest replicas have committed the height, and everybody who combines it gets the same bytes. Hash it
// before use.
func BeaconPayload(height uint64) []byte { return binary.BigEndian.AppendUint64(nil, height) }

// wire is a message. Share, Cert or both may be empty.
type wire struct {
	Domain  string
	Height  uint64
	Payload []byte
	Epoch   uint64 // that the share is of
	Share   []byte
	Cert    []byte
	Want    bool // the sender still needs the signature
}

func decode(b []byte) (wire, error) {
	var w wire
	if len(b) > maxWireBytes {
		return w, fmt.Errorf("%w: %d bytes", ErrMessage, len(b))
	}
	if err := codec.Unmarshal(b, &w); err != nil {
		return w, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	bad := func(b []byte) bool { return len(b) != 0 && len(b) != bls.SignatureSize }
	if len(w.Domain) > maxDomain || len(w.Payload) > maxPayload || bad(w.Share) || bad(w.Cert) {
		return w, fmt.Errorf("%w: field sizes", ErrMessage)
	}
	return w, nil
}

// entry is one height of one domain that is being signed.
type entry struct {
	payload  []byte // nil until Sign
	message  []byte
	since    time.Time
	own      []byte
	shares   map[int]claim // by node
	bad      map[int]bool
	diverged bool
}

type claim struct {
	epoch   uint64
	payload []byte
	share   [bls.SignatureSize]byte
}

// domain is the state of one role. Only the pool's goroutine touches entries and ahead; the rest is under the pool's lock.
type domain struct {
	Domain
	entries map[uint64]*entry
	ahead   *Certificate // of a height that we have not executed

	done   map[uint64]Certificate // the newest ones
	latest uint64                 // highest of done
}

// covers says whether the domain needs no signature for the height any more.
func (d *domain) covers(height uint64) bool {
	_, ok := d.done[height]
	return ok || d.Newest && len(d.done) > 0 && height <= d.latest
}

// Pool signs and collects. Its methods may be called from any goroutine.
type Pool struct {
	cfg     Config
	log     *slog.Logger
	domains map[string]*domain
	names   []string

	in     chan func()
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	group   *bls.Group
	set     members.Set // whose shares count: a node's place in it is its place in the group
	secret  *bls.SecretShare
	suspect map[int]uint64 // node → height until which it is suspected
	top     uint64         // highest height given to Sign
	credit  map[int]int    // what is left of each peer's

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when a certificate is added
	heard   map[int]uint64
}

// New makes a pool, registers its topic and starts its goroutine. Until SetKey it ignores what it hears.
func New(cfg Config) *Pool {
	if cfg.Domains == nil {
		cfg.Domains = []Domain{{bls.DomainStateRoot, true}, {bls.DomainBeacon, false}, {bls.DomainState, true}}
	}
	if cfg.Resend == 0 {
		cfg.Resend = 500 * time.Millisecond
	}
	if cfg.Window == 0 {
		cfg.Window = 64
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Pool{cfg: cfg, log: cfg.Logger, domains: map[string]*domain{}, in: make(chan func(), 256), suspect: map[int]uint64{},
		credit: map[int]int{}, changed: make(chan struct{}), heard: map[int]uint64{}}
	for _, d := range cfg.Domains {
		p.domains[d.Name] = &domain{Domain: d, entries: map[uint64]*entry{}, done: map[uint64]Certificate{}}
		p.names = append(p.names, d.Name)
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	cfg.Net.Handle(gossip.Topic{Name: Topic, MaxBytes: maxWireBytes}, func(from int, msg []byte) {
		w, err := decode(msg)
		if err != nil {
			p.log.Warn("certification message refused", "peer", from, "err", err)
			if p.cfg.Events.Refused != nil {
				p.cfg.Events.Refused(from, err)
			}
			return
		}
		p.do(func() { p.receive(from, w) })
	})
	p.wg.Go(p.run)
	return p
}

// Close ends the pool. Waiters get ErrClosed.
func (p *Pool) Close() {
	p.cancel()
	p.wg.Wait()
}

// SetKey gives the pool the subnet's key as the members of an epoch share it, and this node's share, which is nil for a node that only watches. What is
// not signed yet is signed with the new shares from then on. The key itself stays, so that signatures are the same in all epochs.
func (p *Pool) SetKey(set members.Set, g *bls.Group, s *bls.SecretShare) {
	p.do(func() {
		if p.group != nil && set.Epoch < p.set.Epoch {
			return
		}
		p.group, p.set, p.secret = g, set, s
		for _, d := range p.domains {
			for _, e := range d.entries {
				e.own, e.bad = nil, map[int]bool{}
				maps.DeleteFunc(e.shares, func(_ int, c claim) bool { return c.epoch < set.Epoch })
			}
		}
		p.retry()
	})
}

// counts says whether a node's claim is one of the epoch in force.
func (p *Pool) counts(node int, c claim) bool {
	return c.epoch == p.set.Epoch && p.set.Seat(node) >= 0
}

// Sign starts to sign payload in a domain for a committed height. A height that is signed already, or lies below the
// newest signature of a Newest domain, costs nothing.
func (p *Pool) Sign(domain string, height uint64, payload []byte) error {
	d := p.domains[domain]
	if d == nil || len(payload) > maxPayload {
		return fmt.Errorf("%w: %.40q with %d bytes", ErrDomain, domain, len(payload))
	}
	payload = bytes.Clone(payload)
	since := time.Now()
	p.do(func() { p.sign(d, height, payload, since) })
	return nil
}

// Latest returns the newest certificate of a domain.
func (p *Pool) Latest(domain string) (Certificate, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.domains[domain]
	if d == nil || len(d.done) == 0 {
		return Certificate{}, false
	}
	return d.done[d.latest], true
}

// Wait returns the certificate for a height, or in a Newest domain the newest one if it is not older than the height.
func (p *Pool) Wait(ctx context.Context, domain string, height uint64) (Certificate, error) {
	d := p.domains[domain]
	if d == nil {
		return Certificate{}, fmt.Errorf("%w: %.40q", ErrDomain, domain)
	}
	for {
		p.mu.Lock()
		changed := p.changed
		c, ok := d.done[height]
		if !ok && d.covers(height) {
			c, ok = d.done[d.latest], true
		}
		p.mu.Unlock()
		if ok {
			return c, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Certificate{}, fmt.Errorf("waiting for %s at height %d: %w", domain, height, ctx.Err())
		case <-p.ctx.Done():
			return Certificate{}, ErrClosed
		}
	}
}

// do runs f in the pool's goroutine, later.
func (p *Pool) do(f func()) {
	select {
	case p.in <- f:
	case <-p.ctx.Done():
	}
}

func (p *Pool) run() {
	tick := time.NewTicker(p.cfg.Resend)
	defer tick.Stop()
	for {
		select {
		case f := <-p.in:
			f()
		case <-tick.C:
			p.resend()
		case <-p.ctx.Done():
			return
		}
	}
}

// open returns the entry of a height, or nil when shares for it are not kept. The bound on claims of others does not
// hold for what we were told to Sign.
func (p *Pool) open(d *domain, height uint64, ours bool) *entry {
	if e := d.entries[height]; e != nil {
		return e
	}
	if d.covers(height) || !ours && (height > p.top+p.cfg.Window || height+p.cfg.Window < p.top) {
		return nil
	}
	e := &entry{shares: map[int]claim{}, bad: map[int]bool{}}
	d.entries[height] = e
	return e
}

func (p *Pool) sign(d *domain, height uint64, payload []byte, since time.Time) {
	p.top = max(p.top, height)
	p.prune()
	e := p.open(d, height, true)
	if e == nil || e.payload != nil {
		return
	}
	e.payload, e.message, e.since = payload, bls.Message(d.Name, payload), since
	if a := d.ahead; a != nil && a.Height <= height {
		d.ahead = nil
		if a.Height == height && bytes.Equal(a.Payload, payload) {
			p.finish(d, height, e, a.Signature)
			return
		}
	}
	p.shareOut(d, height, e, false)
	p.combine(d, height, e)
}

// prune drops what fell out of the window: claims of others, and in a Newest domain our own entries too.
func (p *Pool) prune() {
	for _, name := range p.names {
		d := p.domains[name]
		for h, e := range d.entries {
			if h+p.cfg.Window < p.top && (e.payload == nil || d.Newest) {
				delete(d.entries, h)
			}
		}
	}
}

// shareOut makes this node's share if it has none yet, and broadcasts it.
func (p *Pool) shareOut(d *domain, height uint64, e *entry, want bool) {
	if p.group == nil {
		return
	}
	if e.own == nil && p.secret != nil {
		s, err := p.secret.Sign(e.message)
		if err != nil {
			p.log.Error("no certification share", "err", err)
			return
		}
		e.own = s.Signature[:]
		e.shares[p.cfg.Net.Self()] = claim{p.set.Epoch, e.payload, s.Signature}
	}
	if e.own != nil || want {
		p.cfg.Net.Broadcast(Topic, codec.Marshal(wire{Domain: d.Name, Height: height, Payload: e.payload, Epoch: p.set.Epoch, Share: e.own, Want: want}))
	}
}

func (p *Pool) receive(from int, w wire) {
	d := p.domains[w.Domain]
	if d == nil || p.group == nil || from < 0 {
		return
	}
	if len(w.Cert) > 0 {
		p.receiveCert(from, d, w)
	}
	if len(w.Share) > 0 && p.set.Seat(from) >= 0 {
		p.hear(from, w.Height)
	}
	// A share of a later epoch comes from a node that has executed further.
	if len(w.Share) > 0 && w.Epoch >= p.set.Epoch && (w.Epoch > p.set.Epoch || p.set.Seat(from) >= 0) {
		if e := p.open(d, w.Height, false); e != nil && !e.bad[from] {
			c := claim{epoch: w.Epoch, payload: bytes.Clone(w.Payload)}
			copy(c.share[:], w.Share)
			if old, ok := e.shares[from]; !ok || old.share != c.share || old.epoch != c.epoch {
				e.shares[from] = c
				p.combine(d, w.Height, e)
			}
		}
	}
	if w.Want {
		p.answer(from, d, w)
	}
}

// heardAhead is how far beyond our own height another's word about its height is believed.
const heardAhead = 1000

// hear remembers the newest height of which a node has sent its share.
func (p *Pool) hear(from int, height uint64) {
	if height > p.top+heardAhead {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard[from] = max(p.heard[from], height)
}

// Heard tells by node the newest height of which it has sent us its share of a signature. The share need not have been checked: it is not where another node had
// already made the signature whole.
func (p *Pool) Heard() map[int]uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.heard)
}

// receiveCert takes a combined signature from a peer.
func (p *Pool) receiveCert(from int, d *domain, w wire) {
	if d.covers(w.Height) || p.suspect[from] > p.top {
		return
	}
	e := d.entries[w.Height]
	mine := e != nil && e.payload != nil
	if mine && !bytes.Equal(e.payload, w.Payload) {
		return // see Diverged: one peer's word is not enough
	}
	if !mine && (!d.Newest || w.Height <= p.top || d.ahead != nil && d.ahead.Height >= w.Height) {
		return
	}
	if err := p.group.Verify(bls.Message(d.Name, w.Payload), w.Cert); err != nil {
		p.log.Warn("certificate refused", "peer", from, "domain", d.Name, "height", w.Height, "err", err)
		p.suspect[from] = p.top + suspectFor
		return
	}
	if mine {
		p.finish(d, w.Height, e, w.Cert)
		return
	}
	d.ahead = &Certificate{d.Name, w.Height, bytes.Clone(w.Payload), bytes.Clone(w.Cert)}
}

// answer helps a peer that misses a signature: with it, or at least with our share.
func (p *Pool) answer(to int, d *domain, w wire) {
	left, ok := p.credit[to]
	if !ok {
		left = credit
	}
	if left == 0 {
		return
	}
	out := wire{Domain: d.Name, Height: w.Height}
	if c, ok := d.done[w.Height]; ok {
		out.Payload, out.Cert = c.Payload, c.Signature
	} else if d.covers(w.Height) {
		c := d.done[d.latest]
		out.Height, out.Payload, out.Cert = c.Height, c.Payload, c.Signature
	} else if e := d.entries[w.Height]; e != nil && e.own != nil {
		out.Payload, out.Epoch, out.Share = e.payload, p.set.Epoch, e.own
	} else {
		return
	}
	p.credit[to] = left - 1
	p.cfg.Net.Send(to, Topic, codec.Marshal(out))
}

// resend repeats what is not finished: in a Newest domain the newest height, elsewhere all.
func (p *Pool) resend() {
	for i := range p.credit {
		p.credit[i] = min(p.credit[i]+creditRefill, credit)
	}
	for _, name := range p.names {
		d := p.domains[name]
		for _, h := range d.pending() {
			p.shareOut(d, h, d.entries[h], true)
		}
	}
}

// pending lists the heights to repeat, the oldest first.
func (d *domain) pending() []uint64 {
	var hs []uint64
	for h, e := range d.entries {
		if e.payload != nil {
			hs = append(hs, h)
		}
	}
	slices.Sort(hs)
	if d.Newest && len(hs) > 1 {
		hs = hs[len(hs)-1:]
	}
	return hs
}

// retry shares out and combines everything that waited for the key.
func (p *Pool) retry() {
	for _, name := range p.names {
		d := p.domains[name]
		for _, h := range d.pending() {
			p.shareOut(d, h, d.entries[h], true)
			p.combine(d, h, d.entries[h])
		}
	}
}

// combine makes the signature of an entry as soon as enough shares are there.
func (p *Pool) combine(d *domain, height uint64, e *entry) {
	if e.payload == nil || p.group == nil {
		return
	}
	t := p.group.Threshold()
	if p.checkDiverged(d, height, e); len(e.shares) < t {
		return
	}
	var trusted, others []bls.Share
	for seat, n := range p.set.Nodes {
		c, ok := e.shares[int(n)]
		switch s := (bls.Share{Index: seat, Signature: c.share}); {
		case !ok || c.epoch != p.set.Epoch || !bytes.Equal(c.payload, e.payload):
		case p.suspect[int(n)] > height:
			others = append(others, s)
		default:
			trusted = append(trusted, s)
		}
	}
	shares := append(trusted, others...)
	for len(shares) >= t {
		sig, err := p.group.Combine(e.message, shares[:t])
		if err == nil {
			p.finish(d, height, e, sig)
			return
		}
		bad := p.group.BadShares(e.message, shares[:t])
		if len(bad) == 0 { // then the group key does not belong to the share keys
			p.log.Error("good shares do not combine", "domain", d.Name, "height", height, "err", err)
			return
		}
		for _, seat := range bad {
			i := int(p.set.Nodes[seat])
			delete(e.shares, i)
			e.bad[i] = true
			p.suspect[i] = height + suspectFor
			p.log.Warn("bad certification share", "node", i, "domain", d.Name, "height", height)
			if p.cfg.Events.BadShare != nil {
				p.cfg.Events.BadShare(i, d.Name, height)
			}
		}
		shares = slices.DeleteFunc(shares, func(s bls.Share) bool { return e.bad[int(p.set.Nodes[s.Index])] })
	}
}

// checkDiverged looks for a payload other than ours that more than f nodes claim, of whom one at least is honest.
func (p *Pool) checkDiverged(d *domain, height uint64, e *entry) {
	if e.diverged {
		return
	}
	f := p.group.N() - p.group.Threshold()
	count := map[string]int{}
	for node, c := range e.shares {
		if !p.counts(node, c) || bytes.Equal(c.payload, e.payload) {
			continue
		}
		count[string(c.payload)]++
		if count[string(c.payload)] > f {
			e.diverged = true
			p.log.Error("this replica has diverged", "domain", d.Name, "height", height,
				"ours", fmt.Sprintf("%x", e.payload), "theirs", fmt.Sprintf("%x", c.payload))
			if p.cfg.Events.Diverged != nil {
				p.cfg.Events.Diverged(d.Name, height, e.payload, c.payload)
			}
			return
		}
	}
}

// finish records a checked signature.
func (p *Pool) finish(d *domain, height uint64, e *entry, sig []byte) {
	c := Certificate{d.Name, height, e.payload, bytes.Clone(sig)}
	p.mu.Lock()
	d.done[height] = c
	d.latest = max(d.latest, height)
	for uint64(len(d.done)) > p.cfg.Window {
		delete(d.done, slices.Min(slices.Collect(maps.Keys(d.done))))
	}
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	delete(d.entries, height)
	for h := range d.entries {
		if d.Newest && h < height {
			delete(d.entries, h)
		}
	}
	if p.cfg.Events.Certified != nil {
		p.cfg.Events.Certified(c, time.Since(e.since))
	}
}
