package bitcoin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"fusion/adapters/bitcoin/p2p"
	"fusion/btc"
	"fusion/btc/chain"
	"fusion/btc/utxo"
	"fusion/internal/kv"
)

// Config configures an adapter. Network is required; without Peers there is nobody to talk to on a private network.
type Config struct {
	Network btc.Network
	// Local says that the subnet is of class local: then only development networks are allowed.
	Local bool
	// Peers are the addresses to connect to; the network's port is added where none is given.
	Peers []string
	// Seeds are names that resolve to addresses of nodes, asked while there are hardly any connections. The default is none.
	Seeds []string
	// Dir keeps the address file; "" keeps nothing.
	Dir string
	// Store keeps the headers; the default is memory, which on public networks means to fetch them all at each start. It must be the
	// adapter's own: headers are this replica's view.
	Store kv.Store
	// Outbound is the number of connections to hold. The default is 8.
	Outbound int
	// BlockTimeout is how long a peer may take for a block. The default is 20 s.
	BlockTimeout time.Duration
	// Dial makes connections. The default is TCP.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// Resolve looks a name up. The default asks the system's resolver.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Log receives what happens; the default is to discard it.
	Log *slog.Logger
}

// ErrNetworkClass is returned when a local subnet is configured for a network where coins may have value.
var ErrNetworkClass = errors.New("a local subnet may only connect to a development network")

const (
	maxCached   = 64 << 20 // bytes of bodies in memory
	maxInFlight = 16       // blocks asked of one peer
	ahead       = 32       // blocks fetched before the state asks for them
	// keepHeaders above the adapter's own anchor are enough to see every branch that the state keeps (chain.MaxForkDepth), with what the state
	// itself has above its anchor; as many again are for the branches.
	keepHeaders    = chain.MaxForkDepth + 3000
	maxHeaders     = 2*keepHeaders + 2000
	maxBodyBytes   = 3_900_000
	pingEvery      = 30 * time.Second
	silence        = 3 * time.Minute // without any message
	firstAnnounce  = 2 * time.Second
	maxAnnounce    = 5 * time.Minute
	handshakeLimit = 15 * time.Second
	feelEvery      = 2 * time.Minute
)

// Adapter is a running P2P client. All methods are safe for concurrent use.
type Adapter struct {
	cfg    Config
	params chain.Params
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	wake   chan struct{} // planning is due

	mu      sync.Mutex
	tree    *chain.Tree
	book    *book
	peers   map[*peer]bool
	dialing int
	bodies  map[btc.Hash][]byte
	cached  int
	flights map[btc.Hash]*flight
	req     utxo.Request
	asked   bool // req is set
	out     map[btc.Hash]*outgoing
	pool    *mempool
	felt    time.Time // when a feeler went out last

	seeding  bool // seeds are being asked
	nextSeed time.Time
	seedWait time.Duration

	changed chan struct{}
}

// flight is a block that was asked for.
type flight struct {
	p     *peer
	since time.Time
}

// outgoing is a transaction to be mined.
type outgoing struct {
	raw     []byte
	next    time.Time
	wait    time.Duration
	told    map[*peer]bool // announced to
	fetched map[*peer]bool // sent to
	echoed  map[*peer]bool // announced by
	reject  string
	block   *btc.Hash
	height  uint32
}

// New starts an adapter, which connects in the background.
func New(cfg Config) (*Adapter, error) {
	if cfg.Local && !cfg.Network.Development() {
		return nil, fmt.Errorf("%w, not to %v", ErrNetworkClass, cfg.Network)
	}
	params, err := chain.ParamsOf(cfg.Network)
	if err != nil {
		return nil, err
	}
	params.MaxHeaders = maxHeaders
	if cfg.Outbound <= 0 {
		cfg.Outbound = 8
	}
	if cfg.BlockTimeout <= 0 {
		cfg.BlockTimeout = 20 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Store == nil {
		cfg.Store = kv.NewMem()
	}
	if cfg.Dial == nil {
		cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", addr)
		}
	}
	if cfg.Resolve == nil {
		cfg.Resolve = resolve
	}
	tree, err := chain.Open(params, cfg.Store)
	if err != nil {
		return nil, fmt.Errorf("bitcoin adapter: %w", err)
	}
	if cfg.Dir != "" {
		if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
			return nil, fmt.Errorf("bitcoin adapter: %w", err)
		}
	}
	fixed := make([]string, len(cfg.Peers))
	for i, p := range cfg.Peers {
		if fixed[i], err = peerAddress(p, cfg.Network); err != nil {
			return nil, err
		}
	}
	b, err := openBook(cfg.Dir, fixed)
	if err != nil {
		return nil, fmt.Errorf("bitcoin adapter: %w", err)
	}
	a := &Adapter{cfg: cfg, params: params, log: cfg.Log, wake: make(chan struct{}, 1), tree: tree, book: b, peers: map[*peer]bool{},
		bodies: map[btc.Hash][]byte{}, flights: map[btc.Hash]*flight{}, out: map[btc.Hash]*outgoing{}, pool: newMempool(), changed: make(chan struct{})}
	if len(b.addrs) > 0 {
		a.nextSeed = time.Now().Add(seedPatience)
	}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.wg.Add(1)
	go a.run()
	return a, nil
}

func peerAddress(p string, n btc.Network) (string, error) {
	host, port, err := net.SplitHostPort(p)
	if err != nil {
		host, port = p, strconv.Itoa(int(n.Port()))
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil || host == "" {
		return "", fmt.Errorf("bitcoin peer %q is not host:port", p)
	}
	return net.JoinHostPort(host, port), nil
}

// Close disconnects and waits until everything that the adapter started has ended.
func (a *Adapter) Close() error {
	a.cancel()
	a.mu.Lock()
	for p := range a.peers {
		p.conn.Close()
	}
	err := a.book.save()
	a.mu.Unlock()
	a.wg.Wait()
	return err
}

// Changed returns a channel that is closed when something new is there: headers, bodies, peers or news of a transaction.
func (a *Adapter) Changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

// touch tells those who wait, and has run look at what is due. The lock is held.
func (a *Adapter) touch() {
	close(a.changed)
	a.changed = make(chan struct{})
	a.kick()
}

func (a *Adapter) kick() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// run dials, plans and announces whenever something is due.
func (a *Adapter) run() {
	defer a.wg.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	saved := time.Now()
	for {
		select {
		case <-a.ctx.Done():
			return
		case <-a.wake:
		case <-timer.C:
		}
		now := time.Now()
		a.mu.Lock()
		a.connectMore(now)
		a.feelMore(now)
		a.seedMore(now)
		a.plan(now)
		a.announceDue(now)
		a.watchPeers(now)
		a.askTxs(a.pool.sweep(now, a.tree.Best().Height))
		if now.Sub(saved) > time.Minute {
			saved = now
			for p := range a.peers {
				p.entry.Success = now // the anchors of the next start
			}
			if err := a.book.save(); err != nil {
				a.log.Warn("bitcoin addresses cannot be saved", "err", err)
			}
		}
		wait := time.Second
		if at := a.book.nextAt(); !at.IsZero() {
			wait = min(wait, max(at.Sub(now), 10*time.Millisecond))
		}
		a.mu.Unlock()
		timer.Reset(wait)
	}
}

// connectMore dials until there are enough connections. The lock is held.
func (a *Adapter) connectMore(now time.Time) {
	if a.ctx.Err() != nil {
		return
	}
	for _, e := range a.book.pick(now, a.cfg.Outbound-len(a.peers)-a.dialing) {
		e.live = true
		a.dialing++
		a.wg.Add(1)
		go a.connect(e)
	}
}

// feelMore tries an address that nobody has tried, now and then, once there are enough connections: the book then holds nodes to fall back on
// that no attacker chose. The lock is held.
func (a *Adapter) feelMore(now time.Time) {
	if a.ctx.Err() != nil || a.cfg.Network.Development() || len(a.peers) < a.cfg.Outbound || now.Sub(a.felt) < feelEvery {
		return
	}
	e := a.book.stranger(now)
	if e == nil {
		return
	}
	a.felt, e.live = now, true
	a.wg.Add(1)
	go func() {
		defer a.wg.Done()
		conn, err := a.cfg.Dial(a.ctx, e.Addr)
		if err == nil {
			_, err = a.handshake(conn, e)
			conn.Close()
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		e.live = false
		if a.book.failed(e, time.Now()); err == nil {
			e.Proven, e.wait = true, 0
		}
	}()
}

// connect holds one connection from dialling to its end.
func (a *Adapter) connect(e *entry) {
	defer a.wg.Done()
	conn, err := a.cfg.Dial(a.ctx, e.Addr)
	var p *peer
	if err == nil {
		p, err = a.handshake(conn, e)
	}
	a.mu.Lock()
	a.dialing--
	if err != nil || a.ctx.Err() != nil {
		e.live = false
		a.book.failed(e, time.Now())
		a.mu.Unlock()
		if conn != nil {
			conn.Close()
		}
		if err != nil {
			a.log.Debug("bitcoin peer cannot be reached", "addr", e.Addr, "err", err)
		}
		a.kick()
		return
	}
	a.peers[p] = true
	e.Success, e.wait = time.Now(), 0
	a.welcome(p)
	a.touch()
	a.mu.Unlock()
	a.log.Info("bitcoin peer connected", "addr", e.Addr, "agent", p.agent, "height", p.best)

	a.wg.Add(1)
	go p.write()
	err = p.read()
	conn.Close()
	close(p.done)

	a.mu.Lock()
	delete(a.peers, p)
	e.live = false
	a.book.failed(e, time.Now())
	switch {
	case p.banned:
		e.next = time.Now().Add(a.banTime())
	case p.stalled: // it answers, but does not deliver
		e.stalls = min(e.stalls+1, 6)
		e.next = time.Now().Add(time.Second << e.stalls)
	}
	for h, f := range a.flights {
		if f.p == p {
			delete(a.flights, h)
		}
	}
	for _, o := range a.out {
		delete(o.told, p)
		delete(o.fetched, p)
		delete(o.echoed, p)
	}
	a.left(p, time.Now())
	a.touch()
	a.mu.Unlock()
	if a.ctx.Err() == nil {
		a.log.Info("bitcoin peer disconnected", "addr", e.Addr, "err", err)
	}
}

func (a *Adapter) banTime() time.Duration {
	if a.cfg.Network.Development() {
		return 10 * time.Second
	}
	return 24 * time.Hour
}

// locator names our best branch from the tip down: densely, then in growing steps. The lock is held.
func (a *Adapter) locator() []btc.Hash {
	var out []btc.Hash
	best := a.tree.Best()
	n := best
	for height, step := int64(best.Height), int64(1); height >= int64(a.params.BaseHeight); height -= step {
		if n != nil {
			n = n.Ancestor(uint32(height))
		}
		if n != nil {
			out = append(out, n.Hash)
		} else if h, ok := a.tree.Final(uint32(height)); ok {
			out = append(out, h.Hash())
		}
		if len(out) >= 10 {
			step *= 2
		}
	}
	if genesis := a.params.Base[len(a.params.Base)-1].Hash(); len(out) == 0 || out[len(out)-1] != genesis {
		out = append(out, genesis)
	}
	return out
}

// link is a header that the state does not know yet.
type link struct {
	header btc.Header
	hash   btc.Hash
	height uint32
}

// extension lists what our best branch adds to the headers that the state knows, at most limit. deep says that the branch forks below the
// state's anchor: then there is no use for its bodies. The lock is held.
func (a *Adapter) extension(limit int) (out []link, deep bool) {
	best := a.tree.Best()
	start := int64(-1)
	if h, ok := a.tree.HeaderAt(best, a.req.BestHeight); ok && h.Hash() == a.req.Best {
		start = int64(a.req.BestHeight) // the usual case
	} else {
		start, deep = a.meet(best)
	}
	if start < 0 || start >= int64(best.Height) {
		return nil, deep
	}
	last := uint32(min(int64(best.Height), start+int64(limit)))
	out = make([]link, 0, last-uint32(start))
	var path []*chain.Node // the part above our anchor, from the top
	for n := best.Ancestor(last); n != nil && n.Parent != nil && int64(n.Height) > start; n = n.Parent {
		path = append(path, n)
	}
	for height := uint32(start) + 1; height <= last-uint32(len(path)); height++ {
		h, ok := a.tree.Final(height)
		if !ok {
			return out, deep
		}
		out = append(out, link{h, h.Hash(), height})
	}
	for _, n := range slices.Backward(path) {
		out = append(out, link{n.Header, n.Hash, n.Height})
	}
	return out, deep
}

// meet is the height of the highest block of our best branch that the state has named, or -1, and tells whether the branch leaves the state's
// below its anchor. The lock is held.
func (a *Adapter) meet(best *chain.Node) (start int64, deep bool) {
	lowest := a.req.AnchorHeight
	for _, height := range a.req.Below {
		lowest = min(lowest, height)
	}
	for n, height := best, int64(best.Height); height >= int64(lowest); height-- {
		var hash btc.Hash
		if n != nil {
			hash = n.Hash
			n = n.Parent
		} else if h, ok := a.tree.Final(uint32(height)); ok {
			hash = h.Hash()
		} else {
			break
		}
		if _, ok := a.req.Known[hash]; ok {
			return height, false
		}
		if _, ok := a.req.Below[hash]; ok {
			return height, true
		}
	}
	return -1, true
}

// Branch is the end of a branch of headers.
type Branch struct {
	Tip    btc.Hash
	Height uint32
	Work   *big.Int // from the genesis block on
}

// Strange is the best branch that peers show if it has more work than the state's, which is given, and shares none of the blocks that the state
// named: it forks further below the anchor than the state remembers (chain.MaxForkDepth), so the state can not find out by itself. It is nil while
// all is well.
func (a *Adapter) Strange(work *big.Int) *Branch {
	a.mu.Lock()
	defer a.mu.Unlock()
	best := a.tree.Best()
	if !a.asked || a.req.Network != a.cfg.Network || best.Work.Cmp(work) <= 0 || !a.tree.EnoughWork() {
		return nil
	}
	if h, ok := a.tree.HeaderAt(best, a.req.BestHeight); ok && h.Hash() == a.req.Best {
		return nil // the usual case
	}
	if start, _ := a.meet(best); start >= 0 {
		return nil
	}
	return &Branch{best.Hash, best.Height, new(big.Int).Set(best.Work)}
}

// Successors answers the state's request with the headers and bodies that are at hand, in the order in which they can be applied,
// and has the missing ones fetched. Bodies are at most 3.9 MB together, or a single one.
func (a *Adapter) Successors(req utxo.Request) utxo.Items {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.req, a.asked = req, true
	var it utxo.Items
	if req.Network != a.cfg.Network {
		return it
	}
	next, deep := a.extension(utxo.MaxHeadersPerPayload)
	for _, l := range next {
		b := l.header.Bytes()
		it.Headers = append(it.Headers, b[:]...)
	}
	size := 0
	take := func(h btc.Hash) bool {
		raw, ok := a.bodies[h]
		if !ok || len(it.Blocks) > 0 && size+len(raw) > maxBodyBytes || len(it.Blocks) == utxo.MaxBlocksPerPayload {
			return false
		}
		size += len(raw)
		it.Blocks = append(it.Blocks, raw)
		return true
	}
	for _, h := range req.Missing {
		take(h)
	}
	// Bodies above the state's best header connect only if none below is missing.
	if len(it.Blocks) == len(req.Missing) && !deep {
		for _, l := range next {
			if !take(l.hash) {
				break
			}
		}
	}
	a.kick()
	return it
}

// wanted lists the bodies that the state asked for and those it will ask for next, with their heights. The lock is held.
func (a *Adapter) wanted() []link {
	if !a.asked {
		return nil
	}
	var out []link
	for _, h := range a.req.Missing {
		if height, ok := a.req.Known[h]; ok {
			out = append(out, link{hash: h, height: height})
		}
	}
	if len(out) < ahead {
		if more, deep := a.extension(ahead - len(out)); !deep {
			out = append(out, more...)
		}
	}
	return out
}

// plan drops bodies that nobody wants any more and asks peers for the missing ones. The lock is held.
func (a *Adapter) plan(now time.Time) {
	want := a.wanted()
	wanted := make(map[btc.Hash]bool, len(want))
	for _, l := range want {
		wanted[l.hash] = true
	}
	for h, raw := range a.bodies {
		if !wanted[h] {
			a.cached -= len(raw)
			delete(a.bodies, h)
		}
	}
	for h, f := range a.flights {
		if now.Sub(f.since) > a.cfg.BlockTimeout {
			a.log.Info("bitcoin peer is too slow with a block", "addr", f.p.entry.Addr, "block", h)
			delete(a.flights, h)
			f.p.stalled = true
			f.p.conn.Close()
		}
	}
	ask := map[*peer][]p2p.Inventory{}
	load := map[*peer]int{}
	for _, f := range a.flights {
		load[f.p]++
	}
	var order []*peer
	for p := range a.peers {
		order = append(order, p)
	}
	slices.SortFunc(order, func(x, y *peer) int { return cmp.Compare(x.entry.Addr, y.entry.Addr) })
	for i, l := range want {
		if a.bodies[l.hash] != nil || a.flights[l.hash] != nil {
			continue
		}
		if i > 0 && a.cached+(len(a.flights)+1)*(2<<20) > maxCached {
			break
		}
		var who *peer
		for _, p := range order {
			if p.best >= l.height && !p.lacks[l.hash] && load[p] < maxInFlight && (who == nil || load[p] < load[who]) {
				who = p
			}
		}
		if who == nil {
			continue
		}
		load[who]++
		a.flights[l.hash] = &flight{who, now}
		ask[who] = append(ask[who], p2p.Inventory{Kind: p2p.WitnessBlock, Hash: l.hash})
	}
	for _, p := range order {
		if len(ask[p]) > 0 {
			p.send("getdata", p2p.EncodeInventory(ask[p]))
		}
	}
}

// Announce replaces the set of transactions that peers are told about.
func (a *Adapter) Announce(txs []utxo.Outgoing) {
	a.mu.Lock()
	defer a.mu.Unlock()
	keep := make(map[btc.Hash]bool, len(txs))
	for _, tx := range txs {
		keep[tx.Txid] = true
		if a.out[tx.Txid] == nil {
			a.out[tx.Txid] = &outgoing{raw: tx.Raw, told: map[*peer]bool{}, fetched: map[*peer]bool{}, echoed: map[*peer]bool{}}
		}
	}
	for id := range a.out {
		if !keep[id] {
			delete(a.out, id)
		}
	}
	a.announceDue(time.Now())
}

// announceDue tells peers about transactions whose time has come. The lock is held.
func (a *Adapter) announceDue(now time.Time) {
	var due []p2p.Inventory
	for id, o := range a.out {
		if o.block != nil {
			if !a.onBest(*o.block) {
				o.block, o.next, o.wait = nil, now, 0 // its block was reorganised away
			}
		}
		if o.block != nil || now.Before(o.next) {
			continue
		}
		o.wait = min(max(2*o.wait, firstAnnounce), maxAnnounce)
		if len(a.peers) == 0 {
			continue // welcome will tell them
		}
		o.next = now.Add(o.wait)
		due = append(due, p2p.Inventory{Kind: p2p.Tx, Hash: id})
		for p := range a.peers {
			o.told[p] = true
		}
	}
	if len(due) == 0 {
		return
	}
	slices.SortFunc(due, func(x, y p2p.Inventory) int { return slices.Compare(x.Hash[:], y.Hash[:]) })
	for p := range a.peers {
		for chunk := range slices.Chunk(due, 1000) {
			p.send("inv", p2p.EncodeInventory(chunk))
		}
	}
}

// watchPeers pings, and ends connections that are silent. The lock is held.
func (a *Adapter) watchPeers(now time.Time) {
	for p := range a.peers {
		if now.Sub(p.heard) > silence {
			a.log.Info("bitcoin peer is silent", "addr", p.entry.Addr)
			p.conn.Close()
			continue
		}
		if now.Sub(p.pinged) > pingEvery {
			p.pinged = now
			p.send("ping", p.nonce())
			p.send("getheaders", p2p.EncodeGetHeaders(a.locator())) // in case an announcement was lost
		}
	}
}

// TxStatus is what is known of an announced transaction.
type TxStatus struct {
	Told, Fetched, Echoed int      // peers that it was announced to, that took it, and that announced it themselves
	Reject                string   // the last reason a peer gave, if any; most give none
	Block                 btc.Hash // the block that holds it, zero until one does
	Height                uint32
}

// Status tells how far an announced transaction has come.
func (a *Adapter) Status(txid btc.Hash) (TxStatus, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.out[txid]
	if o == nil {
		return TxStatus{}, false
	}
	s := TxStatus{Told: len(o.told), Fetched: len(o.fetched), Echoed: len(o.echoed), Reject: o.reject}
	if o.block != nil {
		s.Block, s.Height = *o.block, o.height
	}
	return s, true
}

// PeerInfo describes a connection.
type PeerInfo struct {
	Addr, Agent string
	Height      uint32 // the best that the peer has shown or claimed
	InFlight    int
}

// Info describes the adapter.
type Info struct {
	Network     btc.Network
	Peers       []PeerInfo
	Tip         btc.Hash // of the heaviest branch of headers
	TipHeight   uint32
	TipTime     time.Time
	EnoughWork  bool // the branch carries the work that the release demands
	CachedBytes int
	InFlight    int
	Outgoing    int
	Addresses   int
	Mempool     int // transactions seen that no block of the best branch is known to hold
}

// Info describes the adapter's state for health checks and metrics.
func (a *Adapter) Info() Info {
	a.mu.Lock()
	defer a.mu.Unlock()
	best := a.tree.Best()
	i := Info{Network: a.cfg.Network, Tip: best.Hash, TipHeight: best.Height, TipTime: time.Unix(int64(best.Header.Time), 0), EnoughWork: a.tree.EnoughWork(),
		CachedBytes: a.cached, InFlight: len(a.flights), Outgoing: len(a.out), Addresses: len(a.book.addrs)}
	for _, s := range a.pool.txs {
		if s.block == nil {
			i.Mempool++
		}
	}
	for p := range a.peers {
		n := 0
		for _, f := range a.flights {
			if f.p == p {
				n++
			}
		}
		i.Peers = append(i.Peers, PeerInfo{p.entry.Addr, p.agent, p.best, n})
	}
	slices.SortFunc(i.Peers, func(x, y PeerInfo) int { return cmp.Compare(x.Addr, y.Addr) })
	return i
}
