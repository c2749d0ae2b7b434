package outcalls

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fusion/internal/codec"
	"fusion/internal/kv"
	"fusion/replica/gossip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// subnet is n drivers with one chain, which the test moves.
type subnet struct {
	*room
	net      *gossip.Switch
	drivers  []*Driver
	sources  []Source
	height   uint64
	down     []bool
	silent   []bool // proposes nothing
	refused  atomic.Int32
	asked    atomic.Int32
	differed sync.Map // nodes
	ended    map[uint64]Response
}

// newSubnet starts drivers whose node i asks source(i).
func newSubnet(t *testing.T, nodes int, source func(node int) Source, change ...func(*Config)) *subnet {
	t.Helper()
	n := &subnet{room: newRoom(t, nodes, change...), down: make([]bool, nodes), silent: make([]bool, nodes), ended: map[uint64]Response{}}
	n.net = gossip.NewSwitch(nodes, gossip.SwitchOptions{Seed: 1})
	for i := range nodes {
		n.sources = append(n.sources, source(i))
		n.drivers = append(n.drivers, n.start(i, n.net.Node(i)))
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { n.net.Run(ctx) })
	t.Cleanup(func() {
		for _, d := range n.drivers {
			d.Close()
		}
		cancel()
		wg.Wait()
	})
	return n
}

func (n *subnet) start(i int, net gossip.Network) *Driver {
	source := func(ctx context.Context, r Request) Answer { return n.sources[i](ctx, r) }
	return NewDriver(DriverConfig{Machine: n.m, NodeKey: n.keys[i], Net: net, Tick: 5 * time.Millisecond, Parallel: 16,
		Sources:  map[Kind]Source{HTTP: source, Ethereum: source, Height: source},
		Listener: Listener{Refused: func(int, error) { n.refused.Add(1) }, Differed: func(node int) { n.differed.Store(node, true) }, Asked: func(Kind, int, time.Duration) { n.asked.Add(1) }}})
}

// block lets one node propose, after so much block time.
func (n *subnet) block(passed uint64) {
	n.t.Helper()
	n.height++
	n.now += passed
	p := int(n.height) % len(n.drivers)
	var items [][]byte
	if !n.down[p] && !n.silent[p] {
		items = n.drivers[p].Pending(4 << 20)
	}
	if err := n.m.CheckAll(n.s, items); err != nil {
		n.t.Fatalf("block %d of node %d: %v", n.height, p, err)
	}
	for _, b := range items {
		res, err := n.m.Apply(n.s, b)
		if err != nil {
			n.t.Fatal(err)
		}
		n.ended[res.ID] = res
	}
	for _, res := range n.m.Advance(n.s, n.now) {
		n.ended[res.ID] = res
	}
	n.reconcile()
}

func (n *subnet) reconcile() {
	for i, d := range n.drivers {
		if !n.down[i] {
			d.Reconcile(n.s.Clone(), n.height)
		}
	}
}

// until makes blocks, in which hardly any time passes, until done holds.
func (n *subnet) until(what string, done func() bool) {
	n.t.Helper()
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		n.block(1)
		select {
		case <-tick.C:
		case <-deadline.C:
			n.t.Fatalf("%s: not after 20 s; node 0: %v", what, n.drivers[0].Status())
		}
	}
}

func (n *subnet) finish(id uint64) Response {
	n.t.Helper()
	n.until(fmt.Sprintf("answer to request %d", id), func() bool { _, ok := n.ended[id]; return ok })
	return n.ended[id]
}

func says(reply string) Source {
	return func(context.Context, Request) Answer { return Answer{Reply: []byte(reply)} }
}

// never waits until nobody needs the answer.
func never(ctx context.Context, _ Request) Answer { <-ctx.Done(); return Answer{} }

func TestDriversAgree(t *testing.T) {
	n := newSubnet(t, 4, func(int) Source {
		return func(_ context.Context, r Request) Answer { return Answer{Reply: fmt.Appendf(nil, "answer %d", r.ID)} }
	})
	for id := range uint64(30) {
		n.submit(request(id, true))
	}
	for id := range uint64(30) {
		if res := n.finish(id); string(res.Reply) != fmt.Sprintf("answer %d", id) {
			t.Errorf("%+v", res)
		}
	}
	n.until("all are forgotten", func() bool {
		for _, d := range n.drivers {
			if open, running := d.Load(); open+running != 0 {
				return false
			}
		}
		return true
	})
	n.empty()
	if n.refused.Load() != 0 {
		t.Errorf("%d messages were refused", n.refused.Load())
	}
}

func TestALiarIsOutvoted(t *testing.T) {
	n := newSubnet(t, 4, func(i int) Source {
		if i == 2 {
			return says("lie")
		}
		return says("truth")
	})
	for id := range uint64(8) {
		n.submit(request(id, true))
		if res := n.finish(id); string(res.Reply) != "truth" {
			t.Errorf("%+v", res)
		}
	}
	id := uint64(8) // the lie may come late, when its request is over
	n.until("the liar to be named", func() bool {
		if _, ok := n.ended[id-1]; ok {
			n.submit(request(id, true))
			id++
		}
		_, ok := n.differed.Load(2)
		return ok
	})
	n.differed.Range(func(node, _ any) bool {
		if node != 2 {
			t.Errorf("node %d is said to have given another answer", node)
		}
		return true
	})
}

func TestASilentNodeIsNotMissed(t *testing.T) {
	n := newSubnet(t, 4, func(i int) Source {
		if i == 0 {
			return never
		}
		return says("yes")
	})
	n.down[0] = true
	n.submit(request(1, true))
	if res := n.finish(1); string(res.Reply) != "yes" {
		t.Errorf("%+v", res)
	}
}

func TestTooManyAnswersDiverge(t *testing.T) {
	n := newSubnet(t, 4, func(i int) Source { return says(fmt.Sprint(i / 2)) })
	n.submit(request(1, true))
	if res := n.finish(1); res.RejectCode != 2 || strings.Count(res.RejectMessage, ": 2]") != 2 {
		t.Errorf("%+v", res)
	}
}

func TestNobodyAnswers(t *testing.T) {
	n := newSubnet(t, 4, func(int) Source { return never })
	n.submit(request(1, true))
	n.submit(request(2, false))
	n.block(0)
	for range 4 {
		n.block(16 * second)
	}
	for id := uint64(1); id <= 2; id++ {
		if res := n.ended[id]; res.RejectCode != 2 || !strings.Contains(res.RejectMessage, "timed out") {
			t.Errorf("%+v", res)
		}
	}
	n.until("sources are told", func() bool { _, running := n.drivers[1].Load(); return running == 0 })
}

func TestOneNodeAsks(t *testing.T) {
	var asked [4]atomic.Int32
	n := newSubnet(t, 4, func(i int) Source {
		return func(context.Context, Request) Answer {
			asked[i].Add(1)
			return Answer{Reply: fmt.Append(nil, i)}
		}
	})
	q := request(1, false)
	first := n.m.delegate(&q, 0)
	n.silent[first] = true // so that another node must have got the answer's bytes
	n.submit(q)
	if res := n.finish(1); string(res.Reply) != fmt.Sprint(first) {
		t.Errorf("%+v, want node %d's answer", res, first)
	}
	for i := range asked {
		if got := asked[i].Load(); got != 0 && i != first {
			t.Errorf("node %d asked %d times", i, got)
		}
	}
}

func TestTheNextNodesTurn(t *testing.T) {
	n := newSubnet(t, 4, func(i int) Source { return says(fmt.Sprint(i)) })
	q := request(1, false)
	n.down[n.m.delegate(&q, 0)] = true
	n.submit(q)
	n.block(0)
	n.block(29 * second)
	if len(n.ended) != 0 {
		t.Fatalf("%+v", n.ended)
	}
	n.block(2 * second)
	if res := n.finish(1); string(res.Reply) != fmt.Sprint(n.m.delegate(&q, 1)) {
		t.Errorf("%+v", res)
	}
}

// TestRestartWhilePending starts a node again, which asks again and signs another answer than before.
func TestRestartWhilePending(t *testing.T) {
	var round atomic.Int32
	release := make(chan struct{})
	n := newSubnet(t, 4, func(i int) Source {
		switch i {
		case 0:
			return func(context.Context, Request) Answer {
				if round.Load() == 0 {
					return Answer{Reply: []byte("early")}
				}
				return Answer{Reply: []byte("late")}
			}
		case 3:
			return never
		}
		return func(ctx context.Context, _ Request) Answer {
			select {
			case <-release:
			case <-ctx.Done():
			}
			return Answer{Reply: []byte("late")}
		}
	})
	n.submit(request(1, true))
	has := func(node, of int, digest [32]byte) bool {
		d := n.drivers[node]
		d.mu.Lock()
		defer d.mu.Unlock()
		e := d.entries[1]
		return e != nil && string(e.shares[uint32(of)].Digest) == string(digest[:])
	}
	n.until("the first answer is known", func() bool { return has(1, 0, digest(encoded("early"))) })
	round.Store(1)
	n.drivers[0].Close()
	n.drivers[0] = n.start(0, renamed{n.net.Node(0)})
	n.until("the second answer is known", func() bool { return has(1, 0, digest(encoded("late"))) && has(2, 0, digest(encoded("late"))) })
	close(release)
	if res := n.finish(1); string(res.Reply) != "late" {
		t.Errorf("%+v", res)
	}
}

// renamed is a node whose topics are registered already: the Switch keeps the handlers of the driver before it.
type renamed struct{ gossip.Network }

func (renamed) Handle(gossip.Topic, gossip.Handler) {}

// TestANodeThatLags gets shares for requests that it has not seen opened.
func TestANodeThatLags(t *testing.T) {
	n := newSubnet(t, 4, func(int) Source { return says("yes") })
	n.down[3], n.silent[0], n.silent[1], n.silent[2] = true, true, true, true
	for id := range uint64(5) {
		n.submit(request(id, true))
	}
	n.until("the others have answered", func() bool {
		d := n.drivers[3]
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.early[0]) >= 5 && len(d.early[1]) >= 5 && len(d.early[2]) >= 5
	})
	// Nobody says anything any more, so it must have kept what it heard.
	for i := range 3 {
		n.drivers[i].Close()
	}
	n.down[3] = false
	for id := range uint64(5) {
		if res := n.finish(id); string(res.Reply) != "yes" {
			t.Errorf("%+v", res)
		}
	}
}

func TestPeersAreBounded(t *testing.T) {
	n := newSubnet(t, 4, func(int) Source { return never })
	d := n.drivers[0]
	q, alone := request(5, true), request(6, false)
	n.submit(q)
	n.submit(alone)
	n.block(0)
	message := func(list ...wireShare) []byte { return codec.Marshal(list) }
	by := func(node int, q Request, reply string) wireShare {
		s := n.share(q, node, encoded(reply))
		return wireShare{ID: q.ID, Digest: s.Digest, Signature: s.Signature}
	}
	many := make([]wireShare, maxSharesMessage+1)
	for i := range many {
		many[i] = by(1, q, "x")
	}
	for name, msg := range map[string][]byte{
		"garbage":           {1, 2, 3},
		"too many":          message(many...),
		"short digest":      message(wireShare{ID: 5, Digest: []byte{1}, Signature: make([]byte, 64)}),
		"short signature":   message(wireShare{ID: 5, Digest: make([]byte, 32)}),
		"forged":            message(wireShare{ID: 5, Digest: make([]byte, 32), Signature: make([]byte, 64)}),
		"somebody else's":   message(by(2, q, "yes")),
		"another request's": message(wireShare{ID: 5, Digest: by(1, alone, "yes").Digest, Signature: by(1, alone, "yes").Signature}),
	} {
		if err := d.takeShares(1, msg); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	// A peer that changes its mind again and again is not listened to any more.
	fresh := newSubnet(t, 4, func(int) Source { return never })
	fresh.submit(q)
	fresh.block(0)
	for i := range 3 * maxChanges {
		if err := fresh.drivers[0].takeShares(1, message(by(1, q, fmt.Sprint(i)))); err != nil {
			t.Fatal(err)
		}
	}
	if s := fresh.drivers[0].entries[5].shares[1]; string(s.Digest) != string(by(1, q, fmt.Sprint(maxChanges-1)).Digest) {
		t.Error("want the last of the first changes")
	}
	// Shares of the future are kept, so many; those of the past are not.
	for id := range uint64(3 * maxEarly) {
		if err := d.takeShares(2, message(by(2, request(id, true), "x"))); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(d.early[2]); got != maxEarly || d.early[2][0].ID != 2*maxEarly {
		t.Errorf("%d early shares", got)
	}

	answer := func(node int, q Request, reply string) []byte {
		s := n.share(q, node, encoded(reply))
		return codec.Marshal(&wireAnswer{ID: q.ID, Answer: encoded(reply), Signature: s.Signature})
	}
	first := n.m.delegate(&alone, 0)
	node := slices.IndexFunc(n.drivers, func(d *Driver) bool { return d.cfg.Net.Self() != first })
	d = n.drivers[node]
	for name, msg := range map[string][]byte{
		"garbage":   {1, 2, 3},
		"oversized": answer(first, alone, strings.Repeat("x", 10_000)),
		"forged":    codec.Marshal(&wireAnswer{ID: 6, Answer: encoded("x"), Signature: make([]byte, 64)}),
	} {
		if err := d.takeAnswer(first, msg); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if err := d.takeAnswer((first+1)%4, answer((first+1)%4, alone, "x")); err != nil || len(d.entries[6].answers) != 0 {
		t.Errorf("the answer of a node whose turn it is not: %v", err)
	}
	if err := d.takeAnswer(first, answer(first, alone, "x")); err != nil || len(d.entries[6].answers) != 1 {
		t.Errorf("the delegate's: %v", err)
	}
}

// TestOneCanisterDoesNotTakeAll opens more slow requests of one canister than it may have carried out at once, and one of another.
func TestOneCanisterDoesNotTakeAll(t *testing.T) {
	n := newSubnet(t, 1, func(int) Source {
		return func(ctx context.Context, r Request) Answer {
			if string(r.Canister) == "slow" {
				return never(ctx, r)
			}
			return Answer{Reply: []byte("yes")}
		}
	})
	for id := range uint64(40) {
		q := request(id, true)
		q.Canister = []byte("slow")
		n.submit(q)
	}
	n.submit(request(40, true))
	if res := n.finish(40); string(res.Reply) != "yes" {
		t.Errorf("%+v", res)
	}
	if _, running := n.drivers[0].Load(); running != 2 { // an eighth of 16
		t.Errorf("%d requests are carried out", running)
	}
}

func TestBadSourcesHurtNobody(t *testing.T) {
	n := newSubnet(t, 1, func(int) Source { return says(strings.Repeat("x", 200)) })
	n.submit(request(1, true))
	if res := n.finish(1); res.RejectCode != 2 {
		t.Errorf("%+v", res)
	}
}

func FuzzMessages(f *testing.F) {
	r := newRoom(f, 4)
	q, alone := request(1, true), request(2, false)
	r.submit(q)
	r.submit(alone)
	s := r.share(q, 1, encoded("x"))
	f.Add(codec.Marshal([]wireShare{{ID: 1, Digest: s.Digest, Signature: s.Signature}}))
	s = r.share(alone, 1, encoded("x"))
	f.Add(codec.Marshal(&wireAnswer{ID: 2, Answer: encoded("x"), Signature: s.Signature}))
	height := heightRequest(3)
	r.submit(height)
	s = r.opine(height, 1, 77)
	f.Add(codec.Marshal([]wireShare{{ID: 3, Digest: s.Digest, Signature: s.Signature}}))
	f.Fuzz(func(t *testing.T, msg []byte) {
		net := gossip.NewSwitch(4, gossip.SwitchOptions{})
		d := NewDriver(DriverConfig{Machine: r.m, NodeKey: r.keys[0], Net: net.Node(0), Tick: time.Hour})
		defer d.Close()
		d.Reconcile(r.s, 1)
		for from := range 4 {
			_ = d.takeShares(from, msg)
			_ = d.takeAnswer(from, msg)
		}
		for _, b := range d.Pending(4 << 20) {
			if err := r.m.CheckAll(kv.Reader(r.s), [][]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
	})
}
