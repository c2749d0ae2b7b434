package gossip

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/gologshim"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"fusion/internal/pause"
	"fusion/internal/redact"
)

// libp2p logs to stderr by default, an error for each closed listener among others. What matters to an operator comes
// through Events and our logger.
func init() { gologshim.SetDefaultHandler(slog.DiscardHandler) }

// Timings of connections. A peer that cannot take a frame for writeTimeout is treated as gone.
const (
	dialTimeout  = 5 * time.Second
	writeTimeout = 10 * time.Second
	minBackoff   = 50 * time.Millisecond
	maxBackoff   = 3 * time.Second
	// Both sides dial, because either may be unreachable from outside; the higher index waits this long first, so
	// that two connections at once are rare.
	secondDialer = 250 * time.Millisecond
	// streamWindow is yamux's receive window: 2 MiB are 20 MB/s at a round trip of 100 ms.
	streamWindow = 2 << 20
	// maxPeers is for how many members there is room at least, since members may come later.
	maxPeers = 40
)

// Peer is one member. Without a key it is a place that nobody has.
type Peer struct {
	PublicKey ed25519.PublicKey
	Addr      string // host:port, where the member listens; may be empty for this node and for members that dial us
}

// Config of a Host.
type Config struct {
	// Network separates networks that run on the same machines: the topics' protocol names carry it.
	Network string
	// Key is the node key of this member, whose public half is Peers[Self].PublicKey.
	Key  ed25519.PrivateKey
	Self int
	// Listen is host:port; port 0 picks a free one, see Addr.
	Listen string
	Peers  []Peer
	Events Events
	Logger *slog.Logger // the default discards
}

// Host is a Network over TCP.
type Host struct {
	cfg    Config
	events Events
	log    *slog.Logger
	swarm  *swarm.Swarm
	store  peerstore.Peerstore
	limits network.ResourceManager
	roster atomic.Pointer[roster] // replaced as a whole, under mu

	topics  map[string]*topic
	started atomic.Bool

	mu      sync.Mutex
	closed  bool
	inbound map[inboundKey]network.Stream

	once   sync.Once
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// roster is who the members are.
type roster struct {
	peers []*member // by index; nil where there is nobody
	byID  map[peer.ID]*member
}

// at is the member with an index, or nil.
func (r *roster) at(index int) *member {
	if index < 0 || index >= len(r.peers) {
		return nil
	}
	return r.peers[index]
}

type topic struct {
	Topic
	fn Handler
}

type inboundKey struct {
	peer  int
	topic string
}

type member struct {
	index   int
	id      peer.ID
	ctx     context.Context // ends when it is a member no more
	cancel  context.CancelFunc
	queues  map[string]*queue
	blocked atomic.Bool
	gen     atomic.Uint64 // counts lost connections: a stream of an older generation is dead

	mu        sync.Mutex
	connected bool
	change    chan struct{} // closed and replaced whenever connected or blocked change
}

func (m *member) state() (connected bool, change <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.connected, m.change
}

// touch updates the state and wakes those who wait for it. The state is read under the lock, so that the last caller
// has the last word.
func (m *member) touch(state func() bool) (was, now bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	was, now = m.connected, state()
	m.connected = now
	close(m.change)
	m.change = make(chan struct{})
	return was, now
}

var _ Network = (*Host)(nil)

// Format shows no key, whatever the verb.
func (Config) Format(f fmt.State, _ rune) { redact.Format(f, "configuration of a gossip host") }

// MarshalText shows no key, and so neither does JSON.
func (Config) MarshalText() ([]byte, error) { return []byte("configuration of a gossip host"), nil }

// Format shows no key, whatever the verb.
func (*Host) Format(f fmt.State, _ rune) { redact.Format(f, "gossip host") }

// New checks the configuration and listens. Topics are registered next, then Start lets peers in and dials them.
func New(cfg Config) (*Host, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if len(cfg.Key) != ed25519.PrivateKeySize || cfg.Self < 0 || cfg.Self >= len(cfg.Peers) {
		return nil, fmt.Errorf("%w: node %d of %d with a key of %d bytes", ErrConfig, cfg.Self, len(cfg.Peers), len(cfg.Key))
	}
	if !cfg.Peers[cfg.Self].PublicKey.Equal(cfg.Key.Public()) {
		return nil, fmt.Errorf("%w: the node key is not that of node %d", ErrConfig, cfg.Self)
	}
	h := &Host{cfg: cfg, events: cfg.Events.withDefaults(), log: cfg.Logger, topics: map[string]*topic{}, inbound: map[inboundKey]network.Stream{}}
	h.roster.Store(&roster{byID: map[peer.ID]*member{}})
	h.ctx, h.cancel = context.WithCancel(context.Background())
	err := h.listen()
	if err == nil {
		err = h.SetPeers(cfg.Peers)
	}
	if err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// SetPeers says who the members are from now on, by index: who is not among them is cut off and turned away. An address that is empty
// stays what it was. It costs little when nothing changes. This node cannot be removed.
func (h *Host) SetPeers(peers []Peer) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil
	}
	old := h.roster.Load()
	next := &roster{peers: make([]*member, len(peers)), byID: map[peer.ID]*member{}}
	changed := len(peers) != len(old.peers)
	for i, p := range peers {
		if len(p.PublicKey) == 0 {
			changed = changed || old.at(i) != nil
			continue
		}
		id, err := peerID(p.PublicKey)
		if err != nil {
			return fmt.Errorf("%w: node %d: %w", ErrConfig, i, err)
		}
		if m := next.byID[id]; m != nil {
			return fmt.Errorf("%w: nodes %d and %d have one key", ErrConfig, m.index, i)
		}
		m := old.at(i)
		if m == nil || m.id != id {
			changed = true
			m = &member{index: i, id: id, queues: map[string]*queue{}, change: make(chan struct{})}
			m.ctx, m.cancel = context.WithCancel(h.ctx)
			for _, t := range h.topics {
				m.queues[t.Name] = newQueue(t.Topic)
			}
		}
		next.peers[i], next.byID[id] = m, m
		if p.Addr != "" && i != h.cfg.Self {
			if err := h.setAddr(m, p.Addr); err != nil {
				return err
			}
		}
	}
	if me := next.at(h.cfg.Self); me == nil || me.id != h.swarm.LocalPeer() {
		return fmt.Errorf("%w: node %d is this one, and must stay", ErrConfig, h.cfg.Self)
	}
	if !changed {
		return nil
	}
	h.roster.Store(next)
	for _, m := range old.peers {
		if m != nil && next.byID[m.id] != m {
			m.cancel()
			h.swarm.ClosePeer(m.id)
			h.store.ClearAddrs(m.id)
			h.log.Info("node is a peer no more", "peer", m.index)
		}
	}
	if h.started.Load() {
		for _, m := range next.peers {
			if m != nil && old.byID[m.id] != m {
				h.attend(m)
			}
		}
	}
	return nil
}

func peerID(key ed25519.PublicKey) (peer.ID, error) {
	k, err := crypto.UnmarshalEd25519PublicKey(key)
	if err != nil {
		return "", err
	}
	return peer.IDFromPublicKey(k)
}

// listen builds the swarm: what libp2p.New assembles, without the services that a fixed membership has no use for.
func (h *Host) listen() error {
	key, err := crypto.UnmarshalEd25519PrivateKey(h.cfg.Key)
	if err != nil {
		return fmt.Errorf("%w: node key: %w", ErrConfig, err)
	}
	self, err := peerID(h.cfg.Key.Public().(ed25519.PublicKey))
	if err != nil {
		return fmt.Errorf("%w: node key: %w", ErrConfig, err)
	}
	if h.store, err = pstoremem.NewPeerstore(); err != nil {
		return fmt.Errorf("opening the peer store: %w", err)
	}
	if err := errors.Join(h.store.AddPrivKey(self, key), h.store.AddPubKey(self, key.GetPublic())); err != nil {
		return fmt.Errorf("opening the peer store: %w", err)
	}
	if h.limits, err = newLimits(max(len(h.cfg.Peers), maxPeers)); err != nil {
		return fmt.Errorf("setting connection limits: %w", err)
	}
	mux := *yamux.DefaultTransport
	mux.MaxStreamWindowSize = streamWindow
	muxers := []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: &mux}}
	secure, err := noise.New(noise.ID, key, muxers)
	if err != nil {
		return fmt.Errorf("setting up noise: %w", err)
	}
	gate := (*gater)(h)
	up, err := upgrader.New([]sec.SecureTransport{secure}, muxers, nil, h.limits, gate)
	if err != nil {
		return fmt.Errorf("setting up connections: %w", err)
	}
	transport, err := tcp.NewTCPTransport(up, h.limits, nil, tcp.WithConnectionTimeout(dialTimeout),
		tcp.DisableReuseport()) // sharing the port would hide that it is in use
	if err != nil {
		return fmt.Errorf("setting up tcp: %w", err)
	}
	if h.swarm, err = swarm.NewSwarm(self, h.store, eventbus.NewBus(),
		swarm.WithConnectionGater(gate), swarm.WithResourceManager(h.limits),
		swarm.WithDialTimeout(dialTimeout), swarm.WithDialRanker(swarm.NoDelayDialRanker)); err != nil {
		return fmt.Errorf("setting up the swarm: %w", err)
	}
	if err := h.swarm.AddTransport(transport); err != nil {
		return fmt.Errorf("setting up the swarm: %w", err)
	}
	h.swarm.Notify(&network.NotifyBundle{
		ConnectedF:    func(_ network.Network, c network.Conn) { h.connection(c.RemotePeer()) },
		DisconnectedF: func(_ network.Network, c network.Conn) { h.connection(c.RemotePeer()) },
	})
	h.swarm.SetStreamHandler(h.accept)
	addr, err := parseAddr(h.cfg.Listen)
	if err != nil {
		return err
	}
	if err := h.swarm.Listen(addr); err != nil {
		return fmt.Errorf("listening for peers on %s: %w", h.cfg.Listen, err)
	}
	return nil
}

// newLimits bounds what connections may cost in all: a few for each member and room for handshakes of strangers, who
// are turned away after them.
func newLimits(n int) (network.ResourceManager, error) {
	limits := rcmgr.PartialLimitConfig{
		System: rcmgr.ResourceLimits{Conns: rcmgr.LimitVal(8*n + 64), FD: rcmgr.LimitVal(8*n + 64),
			Streams: rcmgr.LimitVal(256 * n), Memory: 1 << 30},
		Transient: rcmgr.ResourceLimits{Conns: rcmgr.LimitVal(4*n + 32), FD: rcmgr.LimitVal(4*n + 32),
			Streams: rcmgr.LimitVal(64 * n), Memory: 64 << 20},
		PeerDefault: rcmgr.ResourceLimits{Conns: 8, FD: 8, Streams: 256, Memory: 256 << 20},
	}.Build(rcmgr.DefaultLimits.AutoScale())
	// Several members may share an address.
	perHost := 2*n + 16
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits), rcmgr.WithMetricsDisabled(), rcmgr.WithLimitPerSubnet(
		[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: perHost}},
		[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: perHost}}))
}

func parseAddr(hostport string) (multiaddr.Multiaddr, error) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, fmt.Errorf("%w: address %q: %w", ErrConfig, hostport, err)
	}
	kind := "dns"
	if ip := net.ParseIP(host); ip != nil {
		kind = "ip6"
		if ip.To4() != nil {
			kind = "ip4"
		}
	}
	a, err := multiaddr.NewMultiaddr(fmt.Sprintf("/%s/%s/tcp/%s", kind, host, port))
	if err != nil {
		return nil, fmt.Errorf("%w: address %q: %w", ErrConfig, hostport, err)
	}
	return a, nil
}

// Addr returns where the host listens, as host:port.
func (h *Host) Addr() string {
	for _, a := range h.swarm.ListenAddresses() {
		if na, err := manet.ToNetAddr(a); err == nil {
			return na.String()
		}
	}
	return ""
}

// SetAddr tells where a member listens, host:port.
func (h *Host) SetAddr(index int, addr string) error {
	m := h.roster.Load().at(index)
	if m == nil {
		return fmt.Errorf("%w: there is no node %d", ErrConfig, index)
	}
	return h.setAddr(m, addr)
}

func (h *Host) setAddr(m *member, addr string) error {
	a, err := parseAddr(addr)
	if err != nil {
		return fmt.Errorf("node %d: %w", m.index, err)
	}
	if have := h.store.Addrs(m.id); len(have) == 1 && have[0].Equal(a) {
		return nil
	}
	h.store.ClearAddrs(m.id)
	h.store.AddAddr(m.id, a, peerstore.PermanentAddrTTL)
	return nil
}

// Self implements Network.
func (h *Host) Self() int { return h.cfg.Self }

// N implements Network.
func (h *Host) N() int { return len(h.roster.Load().peers) }

// Handle implements Network.
func (h *Host) Handle(t Topic, fn Handler) {
	t = t.withDefaults()
	t.check()
	if h.started.Load() || h.topics[t.Name] != nil {
		panic("gossip: topic " + t.Name + " is registered twice or too late")
	}
	h.topics[t.Name] = &topic{t, fn}
	for _, m := range h.roster.Load().peers {
		if m != nil {
			m.queues[t.Name] = newQueue(t)
		}
	}
}

// Start begins to dial and to accept streams.
func (h *Host) Start() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.started.Swap(true) {
		return
	}
	for _, m := range h.roster.Load().peers {
		if m != nil {
			h.attend(m)
		}
	}
}

// attend keeps a connection with m and sends what waits for it. The lock is held, and the host is not closed.
func (h *Host) attend(m *member) {
	if m.index == h.cfg.Self {
		return
	}
	h.wg.Go(func() { h.dial(m) })
	for _, t := range h.topics {
		h.wg.Go(func() { h.write(m, t) })
	}
}

// Close ends all connections and goroutines. Handlers have returned when it does.
func (h *Host) Close() error {
	var err error
	h.once.Do(func() {
		h.mu.Lock()
		h.closed = true
		h.mu.Unlock()
		h.cancel()
		if h.swarm != nil {
			h.swarm.Close()
		}
		h.wg.Wait()
		if h.store != nil {
			err = errors.Join(err, h.store.Close())
		}
		if h.limits != nil {
			err = errors.Join(err, h.limits.Close())
		}
	})
	return err
}

// Send implements Network.
func (h *Host) Send(to int, topic string, msg []byte) {
	m := h.roster.Load().at(to)
	if m == nil || to == h.cfg.Self {
		return
	}
	q := m.queues[topic]
	if q == nil {
		panic("gossip: topic " + topic + " is not registered")
	}
	if len(msg) > q.topic.MaxBytes {
		panic(fmt.Sprintf("gossip: message of %d bytes on topic %s, which allows %d", len(msg), topic, q.topic.MaxBytes))
	}
	for range q.push(msg) {
		h.events.Dropped(to, topic)
	}
}

// Broadcast implements Network.
func (h *Host) Broadcast(topic string, msg []byte) {
	for i := range h.N() {
		h.Send(i, topic, msg)
	}
}

// Connected says whether a connection with the member exists.
func (h *Host) Connected(index int) bool {
	m := h.roster.Load().at(index)
	if m == nil {
		return false
	}
	c, _ := m.state()
	return c
}

// Disconnect ends the connection with a member and refuses new ones until Allow: a partition for tests and operators.
func (h *Host) Disconnect(index int) {
	if m := h.roster.Load().at(index); m != nil {
		m.blocked.Store(true)
		h.swarm.ClosePeer(m.id)
	}
}

// Allow ends what Disconnect began.
func (h *Host) Allow(index int) {
	if m := h.roster.Load().at(index); m != nil {
		m.blocked.Store(false)
		h.connection(m.id)
	}
}

// connection follows libp2p's view of a peer.
func (h *Host) connection(id peer.ID) {
	m := h.roster.Load().byID[id]
	if m == nil {
		return
	}
	was, now := m.touch(func() bool { return h.swarm.Connectedness(id) == network.Connected })
	if !now {
		m.gen.Add(1)
	}
	if was != now {
		if now {
			h.log.Debug("peer connected", "peer", m.index)
			h.events.Connected(m.index)
		} else {
			h.log.Debug("peer disconnected", "peer", m.index)
			h.events.Disconnected(m.index)
		}
	}
}

// dial keeps a connection with m.
func (h *Host) dial(m *member) {
	wait, backoff := time.Duration(0), minBackoff
	if h.cfg.Self > m.index {
		wait = secondDialer
	}
	for pause.For(m.ctx, wait) == nil {
		wait = 0
		connected, change := m.state()
		if connected || m.blocked.Load() || len(h.store.Addrs(m.id)) == 0 {
			select {
			case <-change:
				backoff = minBackoff
				if h.cfg.Self > m.index {
					wait = secondDialer
				}
			case <-m.ctx.Done():
			}
			continue
		}
		ctx, cancel := context.WithTimeout(m.ctx, dialTimeout)
		h.swarm.Backoff().Clear(m.id) // the pace is ours
		_, err := h.swarm.DialPeer(ctx, m.id)
		cancel()
		if err != nil {
			h.log.Debug("peer not reached", "peer", m.index, "err", err)
			wait = backoff/2 + rand.N(backoff)
			backoff = min(2*backoff, maxBackoff)
			continue
		}
		h.connection(m.id)
		wait = minBackoff // a peer that accepts and closes at once is not dialled in a tight loop
	}
}

func (h *Host) protocol(topic string) protocol.ID {
	return protocol.ID("/fusion/" + h.cfg.Network + "/" + topic)
}

// write sends what waits for (m, t) over one long-lived stream. A message whose write fails goes out again on the
// next stream.
func (h *Host) write(m *member, t *topic) {
	q := m.queues[t.Name]
	var s network.Stream
	var gen uint64
	defer func() {
		if s != nil {
			s.Reset()
		}
	}()
	var frame []byte
	for {
		select {
		case <-q.nonEmpty:
		case <-m.ctx.Done():
			return
		}
		// The message stays in the queue while there is no connection, so that an old one can still make room for a new one.
		for {
			connected, change := m.state()
			if connected {
				break
			}
			select {
			case <-change:
			case <-m.ctx.Done():
				return
			}
		}
		if s == nil || gen != m.gen.Load() {
			if s != nil {
				s.Reset()
			}
			var err error
			gen = m.gen.Load()
			if s, err = h.open(m, t); err != nil {
				s = nil
				q.signal()
				if pause.For(m.ctx, minBackoff) != nil {
					return
				}
				continue
			}
		}
		msg, ok := q.pop()
		for ok {
			frame = appendFrame(frame[:0], msg)
			if err := write(s, frame); err != nil {
				h.log.Debug("message not sent", "peer", m.index, "topic", t.Name, "err", err)
				s.Reset()
				s = nil
				q.unpop(msg)
				break
			}
			h.events.Sent(m.index, t.Name, len(msg))
			if len(frame) > 1<<20 {
				frame = nil
			}
			msg, ok = q.pop()
		}
	}
}

func write(s network.Stream, b []byte) error {
	if err := s.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := s.Write(b)
	return err
}

// open starts the stream of a topic: its first frame is the protocol's name. There is nothing to negotiate, so
// libp2p's multistream is not used.
func (h *Host) open(m *member, t *topic) (network.Stream, error) {
	ctx, cancel := context.WithTimeout(network.WithNoDial(m.ctx, "gossip dials itself"), dialTimeout)
	defer cancel()
	s, err := h.swarm.NewStream(ctx, m.id)
	if err != nil {
		return nil, err
	}
	name := h.protocol(t.Name)
	err = s.SetProtocol(name)
	if err == nil {
		err = write(s, appendFrame(nil, []byte(name)))
	}
	if err != nil {
		s.Reset()
		return nil, err
	}
	return s, nil
}

// accept reads one incoming stream to its end. libp2p calls it in a goroutine of its own, which Close waits for.
func (h *Host) accept(s network.Stream) {
	defer s.Reset()
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return
	}
	h.wg.Add(1)
	h.mu.Unlock()
	defer h.wg.Done()
	m := h.roster.Load().byID[s.Conn().RemotePeer()]
	if m == nil || !h.started.Load() {
		return
	}
	r := bufio.NewReaderSize(s, 16<<10)
	if err := s.SetReadDeadline(time.Now().Add(dialTimeout)); err != nil {
		return
	}
	name, err := readFrame(r, len(h.protocol(""))+maxTopicName)
	if err != nil {
		h.violation(m, "", err)
		return
	}
	if err := errors.Join(s.SetReadDeadline(time.Time{}), s.SetProtocol(protocol.ID(name))); err != nil {
		return
	}
	var t *topic
	for _, c := range h.topics {
		if string(name) == string(h.protocol(c.Name)) {
			t = c
		}
	}
	if t == nil {
		h.violation(m, "", fmt.Errorf("unknown topic %.80q", name))
		return
	}
	// One stream for each (peer, topic): a new one replaces the old, which a restarted peer cannot have closed.
	key := inboundKey{m.index, t.Name}
	h.mu.Lock()
	old := h.inbound[key]
	h.inbound[key] = s
	h.mu.Unlock()
	if old != nil {
		old.Reset()
	}
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.inbound[key] == s {
			delete(h.inbound, key)
		}
	}()
	for {
		msg, err := readFrame(r, t.MaxBytes)
		if err != nil {
			if errors.Is(err, ErrOversize) {
				h.violation(m, t.Name, err)
			} else if !errors.Is(err, io.EOF) {
				h.log.Debug("peer's stream ended", "peer", m.index, "topic", t.Name, "err", err)
			}
			return
		}
		if m.ctx.Err() != nil || m.blocked.Load() {
			return
		}
		h.events.Received(m.index, t.Name, len(msg))
		t.fn(m.index, msg)
	}
}

func (h *Host) violation(m *member, topic string, err error) {
	if h.ctx.Err() != nil || errors.Is(err, io.EOF) || errors.Is(err, network.ErrReset) {
		return
	}
	h.log.Warn("peer broke the gossip protocol", "peer", m.index, "topic", topic, "err", err)
	h.events.Violation(m.index, topic, err)
}

// gater lets members in and nobody else.
type gater Host

func (g *gater) allowed(id peer.ID) bool {
	m := g.roster.Load().byID[id]
	return m != nil && m.index != g.cfg.Self && !m.blocked.Load()
}

func (g *gater) InterceptPeerDial(id peer.ID) bool                               { return g.allowed(id) }
func (g *gater) InterceptAddrDial(id peer.ID, _ multiaddr.Multiaddr) bool        { return g.allowed(id) }
func (g *gater) InterceptAccept(network.ConnMultiaddrs) bool                     { return g.ctx.Err() == nil }
func (g *gater) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
func (g *gater) InterceptSecured(_ network.Direction, id peer.ID, _ network.ConnMultiaddrs) bool {
	return g.allowed(id)
}
