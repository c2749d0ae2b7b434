package certify

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fusion/chainkey/bls"
	"fusion/chainkey/bls/blstest"
	"fusion/internal/codec"
	"fusion/replica/gossip"
	"fusion/replica/members"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func root(height uint64) []byte {
	h := sha256.Sum256(binary.BigEndian.AppendUint64(nil, height))
	return h[:]
}

// subnet is n pools on a Switch.
type subnet struct {
	t      *testing.T
	sw     *gossip.Switch
	group  *bls.Group
	shares []*bls.SecretShare
	pools  []*Pool
}

func newSubnet(t *testing.T, n int, opt gossip.SwitchOptions, ev func(i int) Events) *subnet {
	s := &subnet{t: t, sw: gossip.NewSwitch(n, opt)}
	s.group, s.shares = blstest.Generate(t, "certify", n)
	for i := range n {
		cfg := Config{Net: s.sw.Node(i), Resend: 20 * time.Millisecond}
		if ev != nil {
			cfg.Events = ev(i)
		}
		p := New(cfg)
		t.Cleanup(p.Close)
		s.pools = append(s.pools, p)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.sw.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return s
}

// first is the members of epoch 0.
func first(g *bls.Group) (set members.Set) {
	for i := range g.N() {
		set.Nodes = append(set.Nodes, uint32(i))
	}
	return set
}

func (s *subnet) keys(except int) {
	for i, p := range s.pools {
		if i != except {
			p.SetKey(first(s.group), s.group, s.shares[i])
		}
	}
}

func (s *subnet) sign(i int, domain string, height uint64, payload []byte) {
	s.t.Helper()
	if err := s.pools[i].Sign(domain, height, payload); err != nil {
		s.t.Fatal(err)
	}
}

func (s *subnet) wait(i int, domain string, height uint64) Certificate {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	c, err := s.pools[i].Wait(ctx, domain, height)
	if err != nil {
		s.t.Fatalf("node %d: %v", i, err)
	}
	if err := s.group.Verify(bls.Message(domain, c.Payload), c.Signature); err != nil {
		s.t.Fatalf("node %d, height %d: %v", i, c.Height, err)
	}
	return c
}

func TestAllCertify(t *testing.T) {
	for _, n := range []int{1, 4} {
		s := newSubnet(t, n, gossip.SwitchOptions{}, nil)
		s.keys(-1)
		for h := uint64(1); h <= 5; h++ {
			for i := range s.pools {
				s.sign(i, bls.DomainStateRoot, h, root(h))
			}
			for i := range s.pools {
				if c := s.wait(i, bls.DomainStateRoot, h); !bytes.Equal(c.Payload, root(c.Height)) || c.Height < h {
					t.Fatalf("%+v", c)
				}
			}
		}
		if c, ok := s.pools[0].Latest(bls.DomainStateRoot); !ok || c.Height != 5 {
			t.Fatalf("latest %+v", c)
		}
	}
}

// With a third of all messages lost and some twice, every height gets its beacon and the newest root its certificate.
func TestLossIsHealed(t *testing.T) {
	s := newSubnet(t, 4, gossip.SwitchOptions{Seed: 3, Drop: 0.33, Delay: 5, Duplicate: 0.1}, nil)
	s.keys(-1)
	const top = 20
	for h := uint64(1); h <= top; h++ {
		for i := range s.pools {
			s.sign(i, bls.DomainBeacon, 1000*h, BeaconPayload(1000*h)) // sparse heights
			s.sign(i, bls.DomainStateRoot, 1000*h, root(h))
		}
	}
	for i := range s.pools {
		for h := uint64(1); h <= top; h++ {
			if c := s.wait(i, bls.DomainBeacon, 1000*h); c.Height != 1000*h || !bytes.Equal(c.Payload, BeaconPayload(1000*h)) {
				t.Fatalf("%+v", c)
			}
		}
		s.wait(i, bls.DomainStateRoot, 1000*top)
	}
}

func TestBadShareIsBlamed(t *testing.T) {
	var blamed [4]atomic.Int64
	s := newSubnet(t, 4, gossip.SwitchOptions{}, func(int) Events {
		return Events{BadShare: func(node int, _ string, _ uint64) { blamed[node].Add(1) }}
	})
	// Node 0 has the share of another key.
	_, wrong := blstest.Generate(t, "another key", 4)
	s.keys(0)
	s.pools[0].SetKey(first(s.group), s.group, wrong[0])
	// Node 3 is silent, so that nobody can do without node 0 until it comes.
	for i := range 3 {
		s.sign(i, bls.DomainStateRoot, 7, root(7))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := s.pools[1].Wait(ctx, bls.DomainStateRoot, 7); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("certified with two good shares: %v", err)
	}
	s.sign(3, bls.DomainStateRoot, 7, root(7))
	for i := range s.pools {
		s.wait(i, bls.DomainStateRoot, 7)
	}
	if blamed[0].Load() == 0 || blamed[1].Load()+blamed[2].Load()+blamed[3].Load() != 0 {
		t.Errorf("blamed: %d %d %d %d", blamed[0].Load(), blamed[1].Load(), blamed[2].Load(), blamed[3].Load())
	}
}

func TestDivergenceIsReported(t *testing.T) {
	diverged := make(chan int, 16)
	s := newSubnet(t, 4, gossip.SwitchOptions{}, func(i int) Events {
		return Events{Diverged: func(_ string, h uint64, ours, theirs []byte) {
			if h != 9 || bytes.Equal(ours, theirs) {
				t.Errorf("height %d: %x and %x", h, ours, theirs)
			}
			diverged <- i
		}}
	})
	s.keys(-1)
	s.sign(3, bls.DomainStateRoot, 9, root(1))
	for i := range 3 {
		s.sign(i, bls.DomainStateRoot, 9, root(9))
	}
	for i := range 3 {
		s.wait(i, bls.DomainStateRoot, 9)
	}
	if i := <-diverged; i != 3 {
		t.Fatalf("node %d thinks that it diverged", i)
	}
	if c, ok := s.pools[3].Latest(bls.DomainStateRoot); ok {
		t.Fatalf("the diverged node has %+v", c)
	}
}

func TestStragglerCatchesUp(t *testing.T) {
	s := newSubnet(t, 4, gossip.SwitchOptions{}, nil)
	s.keys(-1)
	s.sw.Partition([]int{0, 1, 2}, []int{3})
	for h := uint64(1); h <= 200; h++ { // further than the window
		for i := range 3 {
			s.sign(i, bls.DomainStateRoot, h, root(h))
		}
	}
	for i := range 3 {
		s.wait(i, bls.DomainStateRoot, 200)
	}
	s.sw.Heal()
	// It executes height 1, asks, hears of height 200, and needs no share of its own when it gets there.
	for h := uint64(1); h <= 200; h++ {
		s.sign(3, bls.DomainStateRoot, h, root(h))
	}
	if c := s.wait(3, bls.DomainStateRoot, 200); c.Height != 200 {
		t.Fatalf("%+v", c)
	}
}

func TestKeyComesLate(t *testing.T) {
	s := newSubnet(t, 4, gossip.SwitchOptions{}, nil)
	for i := range s.pools {
		s.sign(i, bls.DomainStateRoot, 3, root(3))
	}
	s.keys(-1)
	s.pools[3].SetKey(first(s.group), s.group, nil) // one only watches
	for i := range s.pools {
		s.wait(i, bls.DomainStateRoot, 3)
	}
}

func TestCloseEndsWaiters(t *testing.T) {
	p := New(Config{Net: gossip.NewSwitch(4, gossip.SwitchOptions{}).Node(0)})
	res := make(chan error)
	go func() {
		_, err := p.Wait(context.Background(), bls.DomainStateRoot, 1)
		res <- err
	}()
	p.Close()
	if err := <-res; !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if err := p.Sign("nonsense", 1, nil); !errors.Is(err, ErrDomain) {
		t.Fatal(err)
	}
}

// What a single hostile member sends costs bounded memory and changes nothing.
func TestHostileMember(t *testing.T) {
	s := newSubnet(t, 4, gossip.SwitchOptions{}, nil)
	s.keys(3)
	net := s.sw.Node(3)
	sig := make([]byte, bls.SignatureSize)
	for h := range uint64(5000) {
		net.Broadcast(Topic, codec.Marshal(wire{Domain: bls.DomainStateRoot, Height: h, Payload: root(h), Share: sig, Cert: sig, Want: true}))
		net.Broadcast(Topic, codec.Marshal(wire{Domain: fmt.Sprint(h), Height: h}))
		net.Broadcast(Topic, []byte{byte(h)})
	}
	for i := range 3 {
		s.sign(i, bls.DomainStateRoot, 2, root(2))
	}
	for i := range 3 {
		if c := s.wait(i, bls.DomainStateRoot, 2); c.Height != 2 {
			t.Fatalf("%+v", c)
		}
		size := make(chan int)
		s.pools[i].do(func() { size <- len(s.pools[i].domains[bls.DomainStateRoot].entries) })
		if n := <-size; n > 2*64 {
			t.Errorf("%d entries", n)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(codec.Marshal(wire{Domain: bls.DomainStateRoot, Height: 1, Payload: root(1), Share: make([]byte, 48)}))
	f.Add(codec.Marshal(wire{Domain: bls.DomainBeacon, Height: 1 << 60, Cert: make([]byte, 48), Want: true}))
	f.Add([]byte{0xa0})
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := decode(b)
		if err != nil {
			return
		}
		if len(w.Payload) > maxPayload || len(w.Domain) > maxDomain {
			t.Fatalf("%+v", w)
		}
		if again, err := decode(codec.Marshal(w)); err != nil || again.Height != w.Height {
			t.Fatalf("%+v, %v", again, err)
		}
	})
}

// BenchmarkCertify is the time from Sign on four replicas until the last one has the certificate, over real
// connections on one machine.
func BenchmarkCertify(b *testing.B) {
	const n = 4
	group, shares := blstest.Generate(b, "bench", n)
	var hosts []*gossip.Host
	var pools []*Pool
	peers := make([]gossip.Peer, n)
	keys := make([]ed25519.PrivateKey, n)
	for i := range n {
		seed := sha256.Sum256([]byte{byte(i)})
		keys[i] = ed25519.NewKeyFromSeed(seed[:])
		peers[i].PublicKey = keys[i].Public().(ed25519.PublicKey)
	}
	for i := range n {
		h, err := gossip.New(gossip.Config{Network: "bench", Key: keys[i], Self: i, Listen: "127.0.0.1:0", Peers: peers})
		if err != nil {
			b.Fatal(err)
		}
		defer h.Close()
		p := New(Config{Net: h})
		defer p.Close()
		p.SetKey(first(group), group, shares[i])
		hosts, pools = append(hosts, h), append(pools, p)
	}
	for i, h := range hosts {
		for j := range hosts {
			if i != j {
				if err := h.SetAddr(j, hosts[j].Addr()); err != nil {
					b.Fatal(err)
				}
			}
		}
		h.Start()
	}
	height := uint64(0)
	round := func() {
		height++
		for _, p := range pools {
			if err := p.Sign(bls.DomainStateRoot, height, root(height)); err != nil {
				b.Fatal(err)
			}
		}
		for _, p := range pools {
			if _, err := p.Wait(context.Background(), bls.DomainStateRoot, height); err != nil {
				b.Fatal(err)
			}
		}
	}
	round()
	for b.Loop() {
		round()
	}
}

// When others hold the shares, theirs count and those of who left do not, also for what was not signed yet.
func TestMembersChange(t *testing.T) {
	s := newSubnet(t, 5, gossip.SwitchOptions{Seed: 4}, nil)
	old, oldShares := blstest.Generate(t, "certify", 4)
	s.group = old
	for i := range 4 {
		s.pools[i].SetKey(first(old), old, oldShares[i])
	}
	s.pools[4].SetKey(first(old), old, nil)
	for i := range s.pools {
		s.sign(i, bls.DomainStateRoot, 1, root(1))
	}
	for i := range s.pools {
		s.wait(i, bls.DomainStateRoot, 1)
	}
	// Height 2 is signed by two of the old ones only. Then 4 takes the place of 1, and sits last.
	s.sign(0, bls.DomainBeacon, 2, root(2))
	s.sign(1, bls.DomainBeacon, 2, root(2))
	next, shares := blstest.Generate(t, "certify again", 4)
	set := members.Set{Epoch: 1, Nodes: []uint32{0, 2, 3, 4}}
	for _, i := range []int{2, 3, 4} {
		s.pools[i].SetKey(set, next, shares[set.Seat(i)])
		s.sign(i, bls.DomainBeacon, 2, root(2))
	}
	s.group = next
	s.wait(4, bls.DomainBeacon, 2)
	s.pools[0].SetKey(set, next, shares[0]) // a late one
	s.pools[0].SetKey(first(old), old, oldShares[0])
	s.pools[1].SetKey(set, next, nil)
	s.wait(0, bls.DomainBeacon, 2)
	s.wait(1, bls.DomainBeacon, 2)
	// The one that left adds nothing: two members and it are not enough.
	s.sign(1, bls.DomainBeacon, 3, root(3))
	s.sign(0, bls.DomainBeacon, 3, root(3))
	s.sign(4, bls.DomainBeacon, 3, root(3))
	s.sign(4, bls.DomainBeacon, 4, root(4))
	s.sign(2, bls.DomainBeacon, 4, root(4))
	s.sign(3, bls.DomainBeacon, 4, root(4))
	s.wait(4, bls.DomainBeacon, 4)
	if _, ok := s.pools[0].Latest(bls.DomainBeacon); !ok {
		t.Fatal("no certificate")
	}
	if c, ok := s.pools[4].Latest(bls.DomainBeacon); !ok || c.Height != 4 || signed(s.pools[4], 3) {
		t.Errorf("%d; two members made a certificate of height 3", c.Height)
	}
	s.sign(3, bls.DomainBeacon, 3, root(3))
	s.wait(4, bls.DomainBeacon, 3)
}

func signed(p *Pool, height uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.domains[bls.DomainBeacon].done[height]
	return ok
}
