package gossip

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testKey(i int) ed25519.PrivateKey {
	seed := sha256.Sum256(fmt.Appendf(nil, "gossip test node %d", i))
	return ed25519.NewKeyFromSeed(seed[:])
}

// wait polls until the condition holds; the test's deadline bounds it.
func wait(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	timeout := time.NewTimer(2 * time.Minute)
	defer timeout.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-timeout.C:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// inbox records what arrived.
type inbox struct {
	mu   sync.Mutex
	msgs []string
}

func (b *inbox) handle(from int, msg []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.msgs = append(b.msgs, fmt.Sprintf("%d:%s", from, msg))
}

func (b *inbox) has(msg string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Contains(b.msgs, msg)
}

func (b *inbox) all() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.msgs)
}

var small = Topic{Name: "small", MaxBytes: 100, Queue: 8}

func testHost(t testing.TB, i, n int, listen string, box *inbox, ev Events) *Host {
	t.Helper()
	cfg := Config{Network: "test", Key: testKey(i), Self: i, Listen: listen, Events: ev}
	for j := range n {
		cfg.Peers = append(cfg.Peers, Peer{PublicKey: testKey(j).Public().(ed25519.PublicKey)})
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	h.Handle(small, box.handle)
	return h
}

func testHosts(t testing.TB, n int, ev Events) ([]*Host, []*inbox) {
	var hosts []*Host
	var boxes []*inbox
	for i := range n {
		boxes = append(boxes, &inbox{})
		hosts = append(hosts, testHost(t, i, n, "127.0.0.1:0", boxes[i], ev))
	}
	for i, h := range hosts {
		for j := range hosts {
			if i != j {
				if err := h.SetAddr(j, hosts[j].Addr()); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, h := range hosts {
		h.Start()
	}
	return hosts, boxes
}

func TestBroadcastAndOrder(t *testing.T) {
	hosts, boxes := testHosts(t, 4, Events{})
	for i, h := range hosts {
		for k := range 5 {
			h.Broadcast("small", fmt.Appendf(nil, "m%d", k))
		}
		h.Send(i, "small", []byte("to myself"))
		h.Send(99, "small", []byte("to nobody"))
	}
	for i, b := range boxes {
		wait(t, "all messages", func() bool { return len(b.all()) >= 15 })
		for from := range hosts {
			var got []string
			for _, m := range b.all() {
				if m[:1] == fmt.Sprint(from) {
					got = append(got, m[2:])
				}
			}
			want := []string{"m0", "m1", "m2", "m3", "m4"}
			if from == i {
				want = nil
			}
			if !slices.Equal(got, want) {
				t.Errorf("node %d got %q from %d", i, got, from)
			}
		}
	}
}

func TestPartitionAndRestart(t *testing.T) {
	hosts, boxes := testHosts(t, 2, Events{})
	hosts[0].Send(1, "small", []byte("before"))
	wait(t, "first message", func() bool { return boxes[1].has("0:before") })

	hosts[0].Disconnect(1)
	wait(t, "disconnection", func() bool { return !hosts[0].Connected(1) && !hosts[1].Connected(0) })
	for k := range 12 { // the queue holds 8
		hosts[0].Send(1, "small", fmt.Appendf(nil, "cut %d", k))
	}
	hosts[0].Allow(1)
	wait(t, "the newest message of the partition", func() bool { return boxes[1].has("0:cut 11") })
	if boxes[1].has("0:cut 0") || !boxes[1].has("0:cut 4") {
		t.Errorf("the queue did not keep the newest 8: %q", boxes[1].all())
	}

	addr := hosts[1].Addr()
	hosts[1].Close()
	wait(t, "disconnection", func() bool { return !hosts[0].Connected(1) })
	hosts[0].Send(1, "small", []byte("while down"))
	box := &inbox{}
	again := testHost(t, 1, 2, addr, box, Events{})
	again.Start() // it does not know where node 0 is; node 0 dials
	wait(t, "message from before the restart", func() bool { return box.has("0:while down") })
	again.Send(0, "small", []byte("back"))
	wait(t, "answer", func() bool { return boxes[0].has("1:back") })
}

func TestStrangersAreRefused(t *testing.T) {
	hosts, _ := testHosts(t, 2, Events{})
	stranger := testHost(t, 7, 8, "127.0.0.1:0", &inbox{}, Events{}) // it believes in a larger network
	if err := stranger.SetAddr(0, hosts[0].Addr()); err != nil {
		t.Fatal(err)
	}
	stranger.started.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c, err := stranger.swarm.DialPeer(ctx, stranger.roster.Load().at(0).id)
	if err == nil {
		// The handshake ends on the dialler's side first; the connection must be of no use.
		s, err := c.NewStream(ctx)
		if err == nil {
			s.SetReadDeadline(time.Now().Add(time.Minute))
			_, _ = s.Write(appendFrame(nil, []byte("/fusion/test/small")))
			_, err = s.Read(make([]byte, 1))
		}
		if err == nil {
			t.Fatal("a stranger was served")
		}
	}
	if len(hosts[0].swarm.ConnsToPeer(stranger.roster.Load().at(7).id)) != 0 {
		t.Fatal("a stranger is connected")
	}
}

func TestMembersComeAndGo(t *testing.T) {
	hosts, boxes := testHosts(t, 3, Events{})
	box := &inbox{}
	cfg := Config{Network: "test", Key: testKey(4), Self: 4, Listen: "127.0.0.1:0"}
	peer := func(i int, addr string) Peer {
		return Peer{PublicKey: testKey(i).Public().(ed25519.PublicKey), Addr: addr}
	}
	// The newcomer has number 4; nobody has number 3, and 1 is about to go.
	cfg.Peers = []Peer{peer(0, hosts[0].Addr()), peer(1, hosts[1].Addr()), peer(2, ""), {}, peer(4, "")}
	late, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { late.Close() })
	late.Handle(small, box.handle)
	late.Start()
	wait(t, "the first three", func() bool { return hosts[0].Connected(1) && hosts[0].Connected(2) && hosts[1].Connected(2) })
	if late.Connected(0) || hosts[0].N() != 3 {
		t.Error("the newcomer is in before anybody said so")
	}
	for i, h := range hosts {
		peers := []Peer{peer(0, ""), peer(1, ""), peer(2, ""), {}, peer(4, late.Addr())}
		for range 2 { // again changes nothing
			if err := h.SetPeers(peers); err != nil {
				t.Fatal(err)
			}
		}
		wait(t, "the newcomer", func() bool { return h.Connected(4) && late.Connected(i) })
	}
	if hosts[0].N() != 5 || hosts[0].Connected(3) {
		t.Errorf("%d places, and number 3 is %v", hosts[0].N(), hosts[0].Connected(3))
	}
	late.Broadcast("small", []byte("here I am"))
	for _, b := range boxes {
		wait(t, "its word", func() bool { return b.has("4:here I am") })
	}
	hosts[2].Broadcast("small", []byte("welcome"))
	wait(t, "an answer", func() bool { return box.has("2:welcome") })

	peers := []Peer{peer(0, ""), {}, peer(2, ""), {}, peer(4, "")}
	for _, h := range []*Host{hosts[0], hosts[2], late} {
		if err := h.SetPeers(peers); err != nil {
			t.Fatal(err)
		}
		wait(t, "the farewell", func() bool { return !h.Connected(1) })
	}
	wait(t, "the other side of it", func() bool { return !hosts[1].Connected(0) && !hosts[1].Connected(2) && !hosts[1].Connected(4) })
	hosts[0].Send(1, "small", []byte("nobody hears")) // which is no panic
	hosts[0].Send(4, "small", []byte("still there"))
	wait(t, "those who stay", func() bool { return box.has("0:still there") })
	if err := hosts[1].SetPeers(peers); !errors.Is(err, ErrConfig) {
		t.Errorf("a host without itself: %v", err)
	}
}

func TestSwitchGrows(t *testing.T) {
	s := NewSwitch(2, SwitchOptions{})
	box := &inbox{}
	s.Node(0).Handle(small, box.handle)
	s.Node(1).Handle(small, box.handle)
	late := s.Add()
	late.Handle(small, box.handle)
	late.Broadcast("small", []byte("x"))
	for s.Step() {
	}
	s.Node(0).Send(2, "small", []byte("y"))
	s.Remove(2) // what is under way is lost
	late.Broadcast("small", []byte("z"))
	for s.Step() {
	}
	if got := box.all(); !slices.Equal(got, []string{"2:x", "2:x"}) || late.Self() != 2 || late.N() != 3 {
		t.Errorf("%q at %d of %d", got, late.Self(), late.N())
	}
}

func TestViolationsEndTheStream(t *testing.T) {
	bad := make(chan string, 16)
	ev := Events{Violation: func(peer int, topic string, err error) { bad <- fmt.Sprintf("%d %s %v", peer, topic, err) }}
	hosts, boxes := testHosts(t, 2, ev)
	wait(t, "connection", func() bool { return hosts[0].Connected(1) })
	open := func(first []byte) network.Stream {
		s, err := hosts[0].swarm.NewStream(t.Context(), hosts[0].roster.Load().at(1).id)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write(first); err != nil {
			t.Fatal(err)
		}
		return s
	}
	head := appendFrame(nil, []byte("/fusion/test/small"))
	for name, b := range map[string][]byte{
		"0  unknown topic":                   appendFrame(nil, []byte("/fusion/test/none")),
		"0  gossip frame is too large":       {0xff, 0xff, 0xff, 0xff},
		"0 small gossip frame is too large:": append(bytes.Clone(head), 0, 0, 0, 101),
	} {
		s := open(b)
		if got := <-bad; !bytes.HasPrefix([]byte(got), []byte(name)) {
			t.Errorf("%q, not %q", got, name)
		}
		if _, err := io.ReadAll(s); err == nil {
			t.Errorf("%s: the stream was not reset", name)
		}
	}
	hosts[0].Send(1, "small", []byte("still here"))
	wait(t, "a message after violations", func() bool { return boxes[1].has("0:still here") })
}

func TestConfigIsChecked(t *testing.T) {
	pub := testKey(0).Public().(ed25519.PublicKey)
	busy := testHost(t, 0, 1, "127.0.0.1:0", &inbox{}, Events{})
	for name, cfg := range map[string]Config{
		"no key":        {Peers: []Peer{{PublicKey: pub}}, Listen: "127.0.0.1:0"},
		"self":          {Key: testKey(0), Self: 1, Peers: []Peer{{PublicKey: pub}}, Listen: "127.0.0.1:0"},
		"another's key": {Key: testKey(1), Peers: []Peer{{PublicKey: pub}}, Listen: "127.0.0.1:0"},
		"two of a kind": {Key: testKey(0), Peers: []Peer{{PublicKey: pub}, {PublicKey: pub}}, Listen: "127.0.0.1:0"},
		"address":       {Key: testKey(0), Peers: []Peer{{PublicKey: pub}}, Listen: "nonsense"},
		"port":          {Key: testKey(0), Peers: []Peer{{PublicKey: pub}}, Listen: "127.0.0.1:99999"},
		"peer address":  {Key: testKey(0), Peers: []Peer{{PublicKey: pub}, {testKey(1).Public().(ed25519.PublicKey), "x"}}, Listen: "127.0.0.1:0"},
	} {
		if h, err := New(cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
			if h != nil {
				h.Close()
			}
		}
	}
	if h, err := New(Config{Key: testKey(0), Peers: []Peer{{PublicKey: pub}}, Listen: busy.Addr()}); err == nil {
		h.Close()
		t.Error("listened on a port in use")
	}
}

func TestQueueIsBounded(t *testing.T) {
	q := newQueue(Topic{Queue: 3, QueueBytes: 10})
	dropped := 0
	for _, m := range []string{"aaaa", "bbbb", "cc", "d", "eeeeeeeeeeee"} {
		dropped += q.push([]byte(m))
	}
	if m, ok := q.pop(); !ok || string(m) != "eeeeeeeeeeee" || dropped != 4 {
		t.Fatalf("%q, %d dropped", m, dropped)
	}
	if _, ok := q.pop(); ok || q.bytes != 0 {
		t.Fatalf("%d bytes left", q.bytes)
	}
}

func TestSwitchIsDeterministic(t *testing.T) {
	run := func(opt SwitchOptions) []string {
		s := NewSwitch(3, opt)
		var log []string
		for i := range 3 {
			s.Node(i).Handle(small, func(from int, msg []byte) { log = append(log, fmt.Sprintf("%d>%d %s", from, i, msg)) })
		}
		for k := range 20 {
			s.Node(k%3).Broadcast("small", []byte{byte('a' + k)})
		}
		s.Partition([]int{0, 1})
		s.Node(0).Broadcast("small", []byte("cut"))
		for s.Step() {
		}
		s.Heal()
		s.Node(2).Send(0, "small", []byte("healed"))
		for s.Step() {
		}
		return log
	}
	hard := SwitchOptions{Seed: 5, Drop: 0.2, Delay: 4, Duplicate: 0.2}
	if a, b := run(hard), run(hard); !slices.Equal(a, b) {
		t.Errorf("one seed, two runs:\n%q\n%q", a, b)
	}
	plain := run(SwitchOptions{})
	if slices.Contains(plain, "0>2 cut") || !slices.Contains(plain, "0>1 cut") {
		t.Errorf("partition: %q", plain)
	}
	// Order within a pair holds under delay.
	last := map[string]byte{}
	for _, e := range run(SwitchOptions{Seed: 9, Delay: 10}) {
		if len(e) == 5 {
			if pair := e[:3]; e[4] <= last[pair] {
				t.Errorf("%s after %c", e, last[pair])
			} else {
				last[pair] = e[4]
			}
		}
	}
}

func TestReadFrame(t *testing.T) {
	b := appendFrame(appendFrame(nil, []byte("one")), nil)
	r := iotest.OneByteReader(bytes.NewReader(b))
	for _, want := range []string{"one", ""} {
		if m, err := readFrame(r, 3); err != nil || string(m) != want {
			t.Fatalf("%q, %v", m, err)
		}
	}
	if _, err := readFrame(r, 3); err != io.EOF {
		t.Fatalf("end: %v", err)
	}
	if _, err := readFrame(bytes.NewReader(b[:4]), 3); err != io.ErrUnexpectedEOF {
		t.Fatalf("torn: %v", err)
	}
	// A huge announced length costs nothing.
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := readFrame(bytes.NewReader([]byte{0xff, 0xff, 0xff, 0xff, 0}), 1<<20); !errors.Is(err, ErrOversize) {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if d := after.TotalAlloc - before.TotalAlloc; d > 1<<16 {
		t.Errorf("%d bytes allocated", d)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add(appendFrame(nil, []byte("hello")), 16)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, 16)
	f.Add([]byte{0, 0}, 0)
	f.Fuzz(func(t *testing.T, b []byte, max int) {
		max &= 1<<16 - 1
		m, err := readFrame(bytes.NewReader(b), max)
		if err != nil {
			return
		}
		if len(m) > max || len(m) != int(binary.BigEndian.Uint32(b)) || !bytes.Equal(appendFrame(nil, m), b[:4+len(m)]) {
			t.Fatalf("frame %x of %x", m, b)
		}
	})
}

// BenchmarkRoundTrip is one small message there and back over loopback.
func BenchmarkRoundTrip(b *testing.B) {
	hosts, boxes := testHosts(b, 2, Events{})
	back := make(chan struct{}, 1)
	for i, h := range hosts {
		h.topics["small"].fn = func(int, []byte) {
			if i == 1 {
				h.Send(0, "small", []byte("x"))
			} else {
				back <- struct{}{}
			}
		}
	}
	_ = boxes
	hosts[0].Send(1, "small", []byte("x"))
	<-back
	for b.Loop() {
		hosts[0].Send(1, "small", []byte("x"))
		<-back
	}
}
