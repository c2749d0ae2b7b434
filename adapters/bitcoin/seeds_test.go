package bitcoin

import (
	"context"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"fusion/adapters/bitcoin/p2p"
	"fusion/btc"
	"fusion/btc/utxo"
)

// world is an internet of nodes that shake hands and then only listen.
type world struct {
	mu     sync.Mutex
	nodes  map[string]bool // addresses where one is
	dialed []string
	asked  map[string]int // names looked up
	names  map[string][]netip.Addr
}

var errNobody = errors.New("nobody is there")

func (w *world) dial(ctx context.Context, addr string) (net.Conn, error) {
	w.mu.Lock()
	w.dialed = append(w.dialed, addr)
	there := w.nodes[addr]
	w.mu.Unlock()
	if !there {
		return nil, errNobody
	}
	ours, theirs := net.Pipe()
	go func() { // ends with the connection
		defer theirs.Close()
		magic := btc.Mainnet.Magic()
		for {
			command, _, err := p2p.Read(theirs, magic)
			if err != nil {
				return
			}
			if command != "version" {
				continue
			}
			payload, err := p2p.Version("/world/", 1, 0, 0)
			if err != nil {
				return
			}
			go theirs.Write(append(p2p.Encode(magic, "version", payload), p2p.Encode(magic, "verack", nil)...)) // a pipe has no buffer
		}
	}()
	return ours, nil
}

func (w *world) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[host]++
	if a, ok := w.names[host]; ok {
		return a, nil
	}
	return nil, errNobody
}

func (w *world) dials() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.dialed...)
}

func (w *world) start(t *testing.T, cfg Config) *Adapter {
	t.Helper()
	cfg.Network, cfg.Dial, cfg.Resolve = btc.Mainnet, w.dial, w.resolve
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// While there are enough connections, addresses that nobody has tried are tried one by one, every two minutes, and what answers is remembered.
func TestFeelers(t *testing.T) {
	const friend, there, nobody = "192.0.2.1:8333", "198.51.100.1:8333", "203.0.113.1:8333"
	w := &world{nodes: map[string]bool{friend: true, there: true}, asked: map[string]int{}}
	dir := t.TempDir()
	a := w.start(t, Config{Peers: []string{friend}, Outbound: 1, Dir: dir})
	wait(t, a, "a connection", func() bool { return len(a.Info().Peers) == 1 })
	now := time.Now()
	a.mu.Lock()
	a.felt = now // none for two minutes
	a.book.add(there)
	a.feelMore(now.Add(feelEvery - 1))
	if e := a.book.addrs[there]; e.live || e.Proven {
		t.Error("felt too early")
	}
	a.feelMore(now.Add(feelEvery))
	if e := a.book.addrs[there]; !e.live {
		t.Error("not felt after two minutes")
	}
	a.book.add(nobody)
	a.feelMore(now.Add(feelEvery)) // one at a time
	if a.book.addrs[nobody].live {
		t.Error("two feelers at once")
	}
	a.mu.Unlock()
	poll(t, a, "the feeler's answer", func() bool { e := a.book.addrs[there]; return !e.live && e.Proven })
	if n := len(a.Info().Peers); n != 1 {
		t.Errorf("a feeler became a connection: %d", n)
	}
	a.mu.Lock()
	a.feelMore(now.Add(2 * feelEvery))
	a.mu.Unlock()
	poll(t, a, "the other feeler's failure", func() bool { e := a.book.addrs[nobody]; return !e.live && e.wait > 0 })
	a.mu.Lock()
	if e := a.book.addrs[nobody]; e.Proven || !e.next.After(time.Now().Add(-firstWait)) {
		t.Errorf("nobody is there: %+v", e)
	}
	if a.book.stranger(time.Now().Add(-maxStrange)) != nil {
		t.Error("a proven address is a stranger still")
	}
	a.mu.Unlock()
	if got := strings.Join(w.dials(), " "); got != friend+" "+there+" "+nobody {
		t.Errorf("dialled %s", got)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err := openBook(dir, nil); err != nil || b.addrs[there] == nil || !b.addrs[there].Proven || b.addrs[nobody] != nil {
		t.Errorf("after a restart: %v", err)
	}
	// Development networks have no strangers, and too few connections no feelers.
	q := quietAdapter(t)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.cfg.Outbound = 0
	q.book.add(there)
	q.feelMore(now)
	q.cfg.Network, q.cfg.Outbound = btc.Mainnet, 1
	q.feelMore(now)
	if q.book.addrs[there].live {
		t.Error("a feeler went out")
	}
}

// Seeds find peers where none is known, within bounds; those that do not answer do no harm.
func TestSeeds(t *testing.T) {
	const good, bad = "seed.example", "broken.example"
	many := make([]netip.Addr, 0, 5000)
	for i := range cap(many) {
		many = append(many, netip.AddrFrom4([4]byte{byte(20 + i>>8), byte(i), 1, 1}))
	}
	w := &world{nodes: map[string]bool{}, asked: map[string]int{}, names: map[string][]netip.Addr{
		"x9." + good: append([]netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("::1"), netip.MustParseAddr("::ffff:198.51.100.7")}, many...)}}
	for _, ip := range many {
		w.nodes[ip.String()+":8333"] = true
	}
	a := w.start(t, Config{Seeds: []string{bad, good}})
	wait(t, a, "eight connections", func() bool { return len(a.Info().Peers) == 8 })
	a.mu.Lock()
	if n := len(a.book.addrs); n != maxPerSeed-3 || a.book.addrs["198.51.100.7:8333"] == nil {
		t.Errorf("%d addresses of an answer with %d", n, len(many)+4)
	}
	a.seedMore(a.nextSeed) // needless now
	if a.seeding {
		t.Error("asked again with enough connections")
	}
	a.mu.Unlock()
	w.mu.Lock()
	if w.asked["x9."+good] != 1 || w.asked["x9."+bad] != 1 {
		t.Errorf("%v", w.asked)
	}
	w.mu.Unlock()

	// With no answer at all it goes on asking, ever less often.
	w = &world{nodes: map[string]bool{}, asked: map[string]int{}}
	a = w.start(t, Config{Seeds: []string{bad}})
	for i, want := range []int64{1, 2, 4, 8, 16, 32, 60, 60} {
		poll(t, a, "the seed's silence", func() bool { return !a.seeding && a.seedWait > 0 })
		a.mu.Lock()
		if got := int64(a.seedWait / firstSeedWait); got != want {
			t.Errorf("after %d questions it waits %d minutes, want %d", i+1, got, want)
		}
		a.seedMore(a.nextSeed.Add(-1))
		if a.seeding {
			t.Error("asked too early")
		}
		a.seedMore(a.nextSeed)
		if !a.seeding {
			t.Error("not asked again")
		}
		a.mu.Unlock()
	}
	if got := w.dials(); len(got) != 0 {
		t.Errorf("dialled %v", got)
	}

	// Networks with value and those for tests have seeds, development ones none; none are asked unless they are configured.
	for n, want := range map[btc.Network]bool{btc.Mainnet: true, btc.Testnet4: true, btc.Signet: true, btc.Regtest: false} {
		if got := len(Seeds(n)) > 0; got != want {
			t.Errorf("%v: %v", n, Seeds(n))
		}
	}
	a = w.start(t, Config{})
	a.mu.Lock()
	if a.seedMore(time.Now()); a.seeding {
		t.Error("asked though no seed is configured")
	}
	a.mu.Unlock()
}

// A heavier chain that shares no block with what the state named is told to the operator; nothing else is.
func TestStrangeChain(t *testing.T) {
	a := quietAdapter(t)
	light, heavy := big.NewInt(1), new(big.Int).Lsh(big.NewInt(1), 64)
	a.mu.Lock()
	genesis := a.tree.Best()
	for range 30 {
		h := btc.Header{Version: 4, Prev: a.tree.Best().Hash, Time: a.tree.Best().Header.Time + 600, Bits: a.tree.Best().Header.Bits}
		for id := h.Hash(); id[31] >= 0x7f; id = h.Hash() {
			h.Nonce++
		}
		if _, _, err := a.tree.Accept(h, time.Now().Unix()); err != nil {
			t.Fatal(err)
		}
	}
	best := a.tree.Best()
	a.mu.Unlock()
	if a.Strange(light) != nil {
		t.Error("told before the state asked anything")
	}
	other := func(n byte) btc.Hash { return btc.Hash{n, 1, 2, 3} }
	req := utxo.Request{Network: btc.Regtest, Anchor: other(20), AnchorHeight: 20, Best: other(26), BestHeight: 26,
		Known: map[btc.Hash]uint32{other(20): 20, other(26): 26}, Below: map[btc.Hash]uint32{other(10): 10}}
	if it := a.Successors(req); len(it.Headers) != 0 {
		t.Errorf("%d bytes of headers that the state cannot take", len(it.Headers))
	}
	if b := a.Strange(light); b == nil || b.Tip != best.Hash || b.Height != 30 {
		t.Errorf("%+v", b)
	}
	if a.Strange(best.Work) != nil || a.Strange(heavy) != nil {
		t.Error("told of a chain that is not heavier")
	}
	for what, shared := range map[string]func(*utxo.Request){
		"the state's best": func(r *utxo.Request) { r.Best = best.Ancestor(26).Hash },
		"a known header":   func(r *utxo.Request) { r.Known = map[btc.Hash]uint32{best.Ancestor(22).Hash: 22} },
		"a final block":    func(r *utxo.Request) { r.Below = map[btc.Hash]uint32{best.Ancestor(10).Hash: 10} },
		"the first block":  func(r *utxo.Request) { r.Below = map[btc.Hash]uint32{genesis.Hash: 0} },
	} {
		r := req
		shared(&r)
		a.Successors(r)
		if b := a.Strange(light); b != nil {
			t.Errorf("%s is shared: %+v", what, b)
		}
	}
}

// poll waits for something that the adapter does not tell about.
func poll(t *testing.T, a *Adapter, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		a.mu.Lock()
		ok := cond()
		a.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waiting for %s", what)
		}
	}
}
