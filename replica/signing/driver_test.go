package signing

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	secp "github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"fusion/chainkey"
	"fusion/chainkey/derive"
	"fusion/chainkey/gg18"
	"fusion/chainkey/keystore"
	"fusion/chainkey/session"
	"fusion/internal/durable"
	"fusion/internal/durable/baddisk"
	"fusion/internal/kv"
	"fusion/replica/genesis"
	"fusion/replica/payload"
)

func TestMain(m *testing.M) {
	// tss-lib's logger starts a goroutine when the program starts.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/ipfs/go-log/writer.(*MirrorWriter).logRoutine"))
}

// quick is a scheme of three rounds without mathematics: all members know the secret. It stands in for gg18 where a test is
// about the driver; gg18 itself runs in the tests at the end.
type quick struct {
	params bool // needs secret parameters
	liar   int  // this node lies in signatures; node 0 does not lie, so that the zero value is honest
}

func (quick) Name() string        { return "quick" }
func (quick) Presigns() bool      { return false }
func (q quick) NeedsParams() bool { return q.params }

func (quick) Generate(g chainkey.Generate) (chainkey.Generation, error) {
	return &quickRun{n: g.Seats, word: "to all", secret: g.Session}, nil
}

func (quick) Reshare(chainkey.Reshare) (chainkey.Generation, error) {
	return nil, errors.New("not reshared")
}

func (q quick) Sign(c chainkey.Sign) (chainkey.Signing, error) {
	share := c.Share.(*quickShare)
	child, err := derive.Secp256k1([33]byte(share.PublicKey()), c.ChainCode, c.Path)
	if err != nil {
		return nil, err
	}
	var tweak secp.ModNScalar
	tweak.SetBytes(&child.Tweak)
	sig := ecdsa.Sign(secp.NewPrivateKey(tweak.Add(&secp.PrivKeyFromBytes(share.secret[:]).Key)), c.Message.Bytes)
	r, s := sig.R(), sig.S()
	rb, sb := r.Bytes(), s.Bytes()
	word := "to all"
	if node := c.Committee[c.Seat]; node == q.liar && node != 0 {
		word = "lie"
	}
	return &quickRun{n: len(c.Committee), word: word, secret: share.secret, signature: [64]byte(append(rb[:], sb[:]...))}, nil
}

func (quick) DecodeShare(b chainkey.Secret) (chainkey.Share, error) {
	if len(b) != 33 {
		return nil, errors.New("not 33 bytes")
	}
	return &quickShare{[32]byte(b[:32]), b[32]}, nil
}

type quickShare struct {
	secret  [32]byte
	members byte
}

func (s *quickShare) PublicKey() []byte {
	return secp.PrivKeyFromBytes(s.secret[:]).PubKey().SerializeCompressed()
}
func (s *quickShare) PublicShares() [][]byte {
	return slices.Repeat([][]byte{s.PublicKey()}, int(s.members))
}
func (s *quickShare) Encode() chainkey.Secret { return append(bytes.Clone(s.secret[:]), s.members) }
func (s *quickShare) Wipe()                   {}

type quickRun struct {
	n         int
	word      string
	secret    [32]byte
	signature [64]byte
}

func (r *quickRun) Rounds() int                    { return 3 }
func (r *quickRun) Limits(int) chainkey.Limits     { return chainkey.Limits{Broadcast: 100, Private: 100} }
func (r *quickRun) Wipe()                          {}
func (r *quickRun) Share() (chainkey.Share, error) { return &quickShare{r.secret, byte(r.n)}, nil }
func (r *quickRun) Signature() ([64]byte, error)   { return r.signature, nil }
func (r *quickRun) Start() (chainkey.Output, error) {
	out := chainkey.Output{Broadcast: []byte(r.word)}
	for range r.n {
		out.Private = append(out.Private, []byte("to one"))
	}
	return out, nil
}

func (r *quickRun) Deliver(round int, in []chainkey.Input) (chainkey.Output, error) {
	for seat, m := range in {
		if string(m.Broadcast) == "lie" {
			return chainkey.Output{}, chainkey.Blame(seat, "a lie")
		}
	}
	if round == 3 {
		return chainkey.Output{Done: true}, nil
	}
	return r.Start()
}

// testNet is a subnet of drivers, a machine and a maker of blocks. Blocks follow each other when something is ready, or after a
// moment, so that heights pass also when nothing happens. Tests play it in bubbles of testing/synctest, whose time passes only while
// everybody waits: no deadline and no patience ends because a machine is slow.
type testNet struct {
	t        testing.TB
	m        *Machine
	keys     []ed25519.PrivateKey
	dirs     []string
	log      io.Writer
	ready    chan struct{}
	pace     time.Duration
	patience time.Duration                // of all drivers
	beacon   func(height uint64) [32]byte // one for all heights, so that committees do not depend on them
	next     uint64
	waiting  []Request
	answers  map[uint64]Response

	mu         sync.Mutex
	s          *kv.Mem
	height     uint64
	drivers    []*Driver // nil while a node is down
	stores     []*keystore.Store
	disks      map[int]durable.FS // those that are not the machine's
	inboxes    []chan func()
	bend       func(from, to int, msg []byte) (bent []byte, send bool)
	begun      []string           // node and session of each ceremony that began
	sessions   map[int]session.ID // by node: of the newest one
	ceremonies []CeremonyInfo     // all that began
	lose       func(from, to int, msg []byte) bool
	veto       func(payload.Item) bool // items that no proposer includes
	events     []string
	halted     []string
	wg         sync.WaitGroup
}

type link struct {
	net  *testNet
	self int
}

func (l link) Self() int { return l.self }

func (l link) Send(to int, msg []byte) {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	if l.net.lose != nil && l.net.lose(l.self, to, msg) {
		return
	}
	if l.net.bend != nil {
		var send bool
		if msg, send = l.net.bend(l.self, to, msg); !send {
			return
		}
	}
	select {
	case l.net.inboxes[to] <- func() {
		l.net.mu.Lock()
		d := l.net.drivers[to]
		l.net.mu.Unlock()
		if d != nil {
			d.Deliver(l.self, msg)
		}
	}:
	default: // a full queue loses messages, as the real transport does
	}
}

func newTestNet(t testing.TB, n int, scheme chainkey.Scheme, change func(*Config)) *testNet {
	t.Helper()
	cfg, keys := testConfig(n)
	cfg.Keys = []chainkey.KeyID{k1}
	cfg.SigningDeadline, cfg.KeygenDeadline, cfg.RequestBlocks = 60, 400, 1<<30
	if change != nil {
		change(&cfg)
	}
	m, err := NewMachine(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if scheme != nil {
		m.cfg.substitute = scheme
	}
	net := &testNet{t: t, m: m, keys: keys, log: io.Discard, ready: make(chan struct{}, 1), pace: 10 * time.Millisecond, patience: time.Hour, beacon: func(uint64) [32]byte { return [32]byte{1} }, sessions: map[int]session.ID{}, answers: map[uint64]Response{}, s: kv.NewMem(), height: 1,
		drivers: make([]*Driver, n), stores: make([]*keystore.Store, n), halted: make([]string, n)}
	for range n {
		net.dirs = append(net.dirs, filepath.Join(t.TempDir(), "keys"))
		inbox := make(chan func(), 4096)
		net.inboxes = append(net.inboxes, inbox)
		net.wg.Go(func() {
			for f := range inbox {
				f()
			}
		})
	}
	t.Cleanup(func() {
		for node := range n {
			net.stop(node)
		}
		for _, inbox := range net.inboxes {
			close(inbox)
		}
		net.wg.Wait()
	})
	return net
}

func (net *testNet) start(node int) *Driver {
	net.t.Helper()
	store, err := keystore.Open(keystore.Options{Dir: net.dirs[node], AllowPlain: true, FS: net.disks[node]})
	if err != nil {
		net.t.Fatal(err)
	}
	d := net.instance(node, store, link{net, node})
	net.mu.Lock()
	net.drivers[node], net.stores[node] = d, store
	net.mu.Unlock()
	d.Reconcile(net.m.Snapshot(net.s.Clone(), net.height-1))
	return d
}

func (net *testNet) instance(node int, store *keystore.Store, transport Transport) *Driver {
	net.t.Helper()
	poke := func() {
		select {
		case net.ready <- struct{}{}:
		default:
		}
	}
	d, err := NewDriver(DriverConfig{Machine: net.m, NodeKey: net.keys[node], Store: store, Transport: transport, Tick: 20 * time.Millisecond, Patience: net.patience,
		Log: slog.New(slog.NewTextHandler(net.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Listener: Listener{ItemReady: poke,
			Halted: func(reason string) { net.mu.Lock(); net.halted[node] = reason; net.mu.Unlock() },
			CeremonyBegin: func(c CeremonyInfo) {
				net.mu.Lock()
				net.begun = append(net.begun, fmt.Sprintf("node %d, session %x", node, c.Session))
				net.sessions[node] = c.Session
				net.ceremonies = append(net.ceremonies, c)
				net.mu.Unlock()
			},
			CeremonyEnd: func(c CeremonyInfo, _ time.Duration, err error) {
				net.mu.Lock()
				net.events = append(net.events, fmt.Sprintf("node %d: %v, request %d, attempt %d, committee %v: %v", node, c.Kind, c.Request, c.Attempt, c.Committee, err))
				net.mu.Unlock()
			}}})
	if err != nil {
		net.t.Fatal(err)
	}
	return d
}

func (net *testNet) stop(node int) {
	net.mu.Lock()
	d, s := net.drivers[node], net.stores[node]
	net.drivers[node], net.stores[node] = nil, nil
	net.mu.Unlock()
	if d != nil {
		d.Close()
		if err := s.Close(); err != nil {
			net.t.Error(err)
		}
	}
}

func (net *testNet) startAll() {
	for node := range net.keys {
		net.start(node)
	}
}

// block makes one block: its proposer is the next node that is up.
func (net *testNet) block() {
	net.t.Helper()
	net.mu.Lock()
	drivers := slices.Clone(net.drivers)
	net.mu.Unlock()
	proposer := int(net.height) % len(drivers)
	for drivers[proposer] == nil {
		proposer = (proposer + 1) % len(drivers)
	}
	before := net.s.Clone()
	var items []payload.Item
	for _, it := range drivers[proposer].Pending() {
		if net.veto != nil && net.veto(it) {
			continue
		}
		if net.m.Check(before, it) == nil { // the proposer's view may be one block behind
			items = append(items, it)
		}
	}
	out := net.m.ApplyAll(net.s, net.height, items)
	for _, r := range net.waiting {
		r.Height = net.height
		if err := net.m.Submit(net.s, r); err != nil {
			net.t.Fatal(err)
		}
	}
	net.waiting = nil
	out = append(out, net.m.Advance(net.s, net.height, func(h uint64) ([32]byte, bool) { return net.beacon(h), h < net.height })...)
	for _, r := range out {
		net.answers[r.ID] = r
	}
	v := net.m.Snapshot(net.s.Clone(), net.height) // the store of a replica can be read while it is written
	net.height++
	for _, d := range drivers {
		if d != nil {
			d.Reconcile(v)
		}
	}
}

// until makes blocks until something is true.
func (net *testNet) until(what string, done func() bool) {
	net.t.Helper()
	timeout := time.After(5 * time.Minute)
	for !done() {
		net.block()
		select {
		case <-net.ready:
		case <-time.After(net.pace):
		case <-timeout:
			net.mu.Lock()
			defer net.mu.Unlock()
			net.t.Fatalf("no %s by height %d; %+v\n%s", what, net.height, net.m.Status(net.m.Snapshot(net.s, net.height)), strings.Join(net.events, "\n"))
		}
	}
}

func (net *testNet) keysActive() bool { return len(net.m.Keys(net.s)) == len(net.m.cfg.Keys) }

func (net *testNet) ask(count int) {
	for range count {
		net.next++
		net.waiting = append(net.waiting, Request{ID: net.next, Key: k1, Canister: []byte{1}, Path: [][]byte{{byte(net.next)}}, Message: chainkey.HashMessage(sha256.Sum256([]byte{byte(net.next)}))})
	}
	net.block()
}

// answered waits for all requests, which must all have signatures (the machine has verified them).
func (net *testNet) answered() {
	net.t.Helper()
	net.until("answers", func() bool { return len(net.answers) == int(net.next) })
	for id, r := range net.answers {
		if len(r.Signature) != 64 {
			net.t.Errorf("request %d: %+v", id, r)
		}
	}
}

func TestNetworkGeneratesAndSigns(t *testing.T) {
	for _, n := range []int{1, 4, 7} {
		t.Run(fmt.Sprint(n, " nodes"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var scheme chainkey.Scheme = quick{}
				if n == 1 {
					scheme = nil // solo, the real one
				}
				// No deadline: whoever is in good standing at the end was never called silent because the machine is slow.
				net := newTestNet(t, n, scheme, func(c *Config) { c.SigningDeadline, c.KeygenDeadline = 1<<20, 1<<20 })
				net.startAll()
				net.until("key", net.keysActive)
				net.ask(5)
				net.answered()
				for _, info := range net.m.Status(net.m.Snapshot(net.s, net.height)).Nodes {
					if info.Sentence != "in good standing" {
						t.Errorf("node %d: %s", info.Node, info.Sentence)
					}
				}
			})
		})
	}
}

// TestNetworkSignsWithSchnorr: FROST keys are made beside each other and sign messages of any length, with one node and with four.
func TestNetworkSignsWithSchnorr(t *testing.T) {
	keys := []chainkey.KeyID{{Algorithm: chainkey.Bip340Secp256k1, Name: "s"}, {Algorithm: chainkey.Ed25519, Name: "s"}}
	messages := map[chainkey.Algorithm][]chainkey.Message{
		chainkey.Bip340Secp256k1: {{}, {Bytes: make([]byte, 100_000)}, {Bytes: []byte("spend"), Taproot: true}, {Bytes: []byte("spend"), Taproot: true, MerkleRoot: make([]byte, 32)}},
		chainkey.Ed25519:         {{}, {Bytes: make([]byte, 100_000)}},
	}
	for _, n := range []int{1, 4} {
		t.Run(fmt.Sprint(n, " nodes"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := newTestNet(t, n, nil, func(c *Config) { c.Keys, c.SigningDeadline, c.KeygenDeadline, c.Parallel = keys, 1<<20, 1<<20, 4 })
				net.startAll()
				net.until("keys", net.keysActive)
				asked := map[uint64]Request{}
				for _, key := range keys {
					for _, m := range messages[key.Algorithm] {
						net.next++
						asked[net.next] = Request{ID: net.next, Key: key, Canister: []byte{7}, Path: [][]byte{{1}, {byte(net.next)}}, Message: m}
						net.waiting = append(net.waiting, asked[net.next])
					}
				}
				net.block()
				net.answered()
				for id, r := range asked {
					k, _ := net.m.key(net.s, r.Key)
					child, err := chainkey.Derive(r.Key.Algorithm, k.PublicKey, k.ChainCode, derive.Path(r.Canister, r.Path...))
					if err != nil {
						t.Fatal(err)
					}
					if err := chainkey.Verify(r.Key.Algorithm, child.PublicKey, r.Message, [64]byte(net.answers[id].Signature)); err != nil {
						t.Errorf("%v, message of %d bytes: %v", r.Key, len(r.Message.Bytes), err)
					}
					if _, left := load[chainkey.Message](net.s, messageKey(id)); left {
						t.Errorf("request %d is answered and its message still stored", id)
					}
				}
			})
		})
	}
}

func TestNetworkLosesMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNet(t, 4, quick{}, func(c *Config) { c.SigningDeadline = 400 })
		rng := rand.New(rand.NewPCG(1, 1))
		net.lose = func(_, _ int, _ []byte) bool { return rng.IntN(5) == 0 }
		net.startAll()
		net.until("key", net.keysActive)
		net.ask(4)
		net.answered()
	})
}

// TestSilentNodeIsWorkedAround: committees with the dead node fail, others sign, and no dispute is without the dead node.
func TestSilentNodeIsWorkedAround(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNet(t, 4, quick{}, nil)
		net.startAll()
		net.until("key", net.keysActive)
		net.mu.Lock()
		net.lose = func(from, to int, _ []byte) bool { return from == 2 || to == 2 }
		net.mu.Unlock()
		net.veto = func(it payload.Item) bool { return it.Kind == payload.Complaint && complainer(t, it) == 2 } // it is no proposer either
		net.ask(6)
		net.answered()
		disputes := 0
		for _, info := range net.m.Status(net.m.Snapshot(net.s, net.height)).Nodes {
			for _, other := range info.Disputes {
				if info.Node != 2 && other != 2 {
					t.Errorf("node %d in dispute with node %d", info.Node, other)
				}
				disputes++
			}
		}
		if disputes == 0 {
			t.Error("nobody complained")
		}
	})
}

// TestLiarIsExcluded: no deadline ever ends an attempt here, so complaints must.
func TestLiarIsExcluded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNet(t, 4, quick{liar: 2}, func(c *Config) { c.SigningDeadline = 1 << 20 })
		net.startAll()
		net.until("key", net.keysActive)
		net.ask(8)
		net.answered()
		accused := 0
		for _, info := range net.m.Status(net.m.Snapshot(net.s, net.height)).Nodes {
			for _, other := range info.Disputes {
				if info.Node != 2 && other != 2 {
					t.Errorf("node %d in dispute with node %d", info.Node, other)
				}
				accused++
			}
		}
		if accused == 0 {
			t.Error("the liar was never in a committee")
		}
	})
}

// TestMemberWithoutShare says at once that it cannot sign, and others do.
func TestMemberWithoutShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNet(t, 4, quick{}, func(c *Config) { c.SigningDeadline = 1 << 20 })
		net.startAll()
		net.until("key", net.keysActive)
		if err := net.stores[1].WipeShare(keystore.Generation{Key: k1.String()}); err != nil {
			t.Fatal(err)
		}
		net.ask(4)
		net.until("ceremony", func() bool {
			return len(net.drivers[0].Running())+len(net.drivers[2].Running()) > 0 || len(net.answers) > 0
		})
		net.answered()
		net.until("rest", func() bool { return len(net.drivers[0].Running()) == 0 })
	})
}

// TestFullDiskHalts: a node that cannot note which session it joins takes part in none, not even when there is room again, until it is started again.
func TestFullDiskHalts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNet(t, 4, quick{}, nil)
		disk := &baddisk.Disk{Rand: rand.New(rand.NewPCG(1, 1))}
		net.disks = map[int]durable.FS{2: disk}
		net.startAll()
		net.until("key", net.keysActive)
		disk.Break(baddisk.Full)
		net.mu.Lock()
		said := 0
		net.lose = func(from, _ int, msg []byte) bool { // called under net.mu
			if from == 2 && msg[0] == frameSession {
				said++
			}
			return false
		}
		net.mu.Unlock()
		net.ask(8)
		net.answered()
		net.mu.Lock()
		reason, sent := net.halted[2], said
		net.mu.Unlock()
		if !strings.Contains(reason, "no space left on device") || !strings.Contains(reason, net.dirs[2]) || !strings.Contains(reason, "start again") {
			t.Errorf("halted: %q", reason)
		}
		if sent > 0 {
			t.Errorf("the node has sent %d messages in sessions that it could not note", sent)
		}
		net.stop(2)
		net.mu.Lock()
		net.lose = nil
		net.mu.Unlock()
		net.start(2)
		net.ask(8)
		net.answered()
		net.until("a ceremony of the node that came back", func() bool {
			net.mu.Lock()
			defer net.mu.Unlock()
			return slices.ContainsFunc(net.events, func(e string) bool { return strings.HasPrefix(e, "node 2: ") && strings.HasSuffix(e, "<nil>") })
		})
	})
}

func complainer(t *testing.T, it payload.Item) uint32 {
	t.Helper()
	v, err := decodeItem[Complaint](it.Body)
	if err != nil {
		t.Fatal(err)
	}
	return v.Node
}

func TestRestartedNodeComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNet(t, 4, quick{}, nil)
		net.startAll()
		net.until("key", net.keysActive)
		net.mu.Lock()
		net.lose = func(_, _ int, msg []byte) bool { return msg[0] == frameSession } // ceremonies hang
		net.mu.Unlock()
		net.ask(2)
		net.until("attempt", func() bool {
			q, ok := load[requestRecord](net.s, requestKey(1))
			return ok && q.Status == RequestActive
		})
		q, _ := load[requestRecord](net.s, requestKey(1))
		victim := int(q.Current.Committee[0])
		net.stop(victim)
		d := net.start(victim)
		net.until("announcement", func() bool { return net.m.node(net.s, victim).Number == 2 })
		if q, ok := load[requestRecord](net.s, requestKey(1)); !ok || q.Next < 2 {
			t.Errorf("the attempt of the earlier boot goes on: %+v", q)
		}
		net.mu.Lock()
		net.lose = nil
		net.mu.Unlock()
		net.answered()
		if d.Halted() != "" {
			t.Errorf("the restarted node halted: %s", d.Halted())
		}
	})
}

func TestOlderOfTwoMachinesHalts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNet(t, 4, quick{}, nil)
		net.startAll()
		net.until("key", net.keysActive)
		store, err := keystore.Open(keystore.Options{Dir: filepath.Join(t.TempDir(), "copy"), AllowPlain: true})
		if err != nil {
			t.Fatal(err)
		}
		clone := net.instance(1, store, link{net, 1})
		defer func() {
			clone.Close()
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}()
		net.until("halt", func() bool {
			clone.Reconcile(net.m.Snapshot(net.s, net.height-1))
			net.mu.Lock()
			defer net.mu.Unlock()
			return net.halted[1] != ""
		})
		if d := net.drivers[1]; !strings.Contains(d.Halted(), "newer instance") || len(d.Pending()) > 0 && d.Pending()[0].Kind == payload.Incarnation {
			t.Errorf("halted for %q", d.Halted())
		}
		if clone.Halted() != "" {
			t.Errorf("the newer one halted: %s", clone.Halted())
		}
	})
}

// TestCrashBetweenShareAndVote: a node that stored its share but whose vote was lost with the process votes after its restart.
func TestCrashBetweenShareAndVote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNet(t, 4, quick{}, nil)
		crashed := false
		net.veto = func(it payload.Item) bool {
			if it.Kind != payload.KeyVote {
				return false
			}
			v, err := decodeItem[KeyVote](it.Body)
			return err == nil && v.Node == 3 && !crashed
		}
		net.startAll()
		net.until("three votes", func() bool {
			k, _ := load[keyRecord](net.s, keyPrefix+k1.String())
			votes := 0
			for _, v := range k.Votes {
				if len(v.Public) > 0 {
					votes++
				}
			}
			shares, err := net.stores[3].Shares()
			return votes == 3 && err == nil && len(shares) == 1
		})
		net.stop(3)
		for _, d := range net.drivers[:3] { // nobody kept its gossip
			d.mu.Lock()
			d.others = nil
			d.mu.Unlock()
		}
		crashed = true
		net.start(3)
		net.until("key", net.keysActive)
		if k, _ := load[keyRecord](net.s, keyPrefix+k1.String()); k.Attempt.Number != 0 {
			t.Errorf("the key is of attempt %d", k.Attempt.Number)
		}
		net.ask(3)
		net.answered()
	})
}

func TestLostShareIsAlarmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNet(t, 4, quick{}, nil)
		net.startAll()
		net.until("key", net.keysActive)
		net.stop(0)
		shares, err := filepath.Glob(filepath.Join(net.dirs[0], "share-*"))
		if err != nil || len(shares) != 1 {
			t.Fatalf("%v, %v", shares, err)
		}
		alarmed, found := map[string]int{}, map[string]int{}
		look := func() {
			t.Helper()
			store, err := keystore.Open(keystore.Options{Dir: net.dirs[0], AllowPlain: true})
			if err != nil {
				t.Fatal(err)
			}
			d, err := NewDriver(DriverConfig{Machine: net.m, NodeKey: net.keys[0], Store: store, Transport: link{net, 0}, Listener: Listener{
				ShareMissing: func(key string, err error) { alarmed[key]++ }, ShareFound: func(key string) { found[key]++ }}})
			if err != nil {
				t.Fatal(err)
			}
			d.Reconcile(net.m.Snapshot(net.s, net.height-1))
			d.Close()
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}
		away := shares[0] + "-away"
		if err := os.Rename(shares[0], away); err != nil {
			t.Fatal(err)
		}
		if look(); alarmed[k1.String()] != 1 || len(found) != 0 {
			t.Errorf("without its share: alarmed %v, found %v", alarmed, found)
		}
		if err := os.Rename(away, shares[0]); err != nil {
			t.Fatal(err)
		}
		if look(); alarmed[k1.String()] != 1 || found[k1.String()] != 1 {
			t.Errorf("with its share: alarmed %v, found %v", alarmed, found)
		}
	})
}

// TestNobodyAnnouncesItselfBeforeItsParameters: on a public network the announcement of the last node starts key generation, so
// it must not come before the parameters exist. They are made in the background and survive restarts.
func TestNobodyAnnouncesItselfBeforeItsParameters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNet(t, 4, quick{params: true}, func(c *Config) { c.Local = false })
		d := net.start(0)
		d.mu.Lock()
		making := d.making[k1.String()]
		d.mu.Unlock()
		if !making || len(d.Pending()) != 0 {
			t.Errorf("making parameters: %v, pending %v", making, d.Pending())
		}
		net.stop(0) // in the middle
		store, err := keystore.Open(keystore.Options{Dir: net.dirs[0], AllowPlain: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(store.PutParams(keystore.Generation{Key: k1.String()}, make(chainkey.Secret, 1024)), store.Close()); err != nil {
			t.Fatal(err)
		}
		if p := net.start(0).Pending(); len(p) != 1 || p[0].Kind != payload.Incarnation {
			t.Errorf("pending %v", p)
		}
	})
}

func TestFromGenesis(t *testing.T) {
	doc := &genesis.Doc{Class: genesis.Local, Keys: []chainkey.KeyID{k1, {Algorithm: chainkey.Bls12381G2, Name: "derives"}}, SigningDeadlineBlocks: 5, KeygenDeadlineBlocks: 7, SigningParallel: 3,
		Nodes: []genesis.Node{{NodeKey: make([]byte, 32)}}}
	m, err := NewMachine(FromGenesis(doc, [32]byte{9}))
	if err != nil {
		t.Fatal(err)
	}
	if c := m.cfg; c.Genesis != doc.Hash() || c.Life != [32]byte{9} || !c.Local || c.Parallel != 3 || c.SigningDeadline != 5 || c.KeygenDeadline != 7 || c.QueueLimit != 20 || c.RequestBlocks != 500 || len(c.Nodes) != 1 ||
		!slices.Equal(c.Keys, []chainkey.KeyID{k1}) {
		t.Errorf("%+v", c)
	}
}

func TestDriverSurvivesRubbish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNet(t, 4, quick{}, nil)
		d := net.start(0)
		rng := rand.New(rand.NewPCG(9, 9))
		for range 3000 {
			b := make([]byte, rng.IntN(300))
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			if len(b) > 1 {
				b[0] = byte(rng.IntN(4))
				b[1] = byte(rng.IntN(10))
			}
			d.Deliver(rng.IntN(6)-1, b)
		}
		if len(d.unverified) > maxUnverified || len(d.others) > 0 {
			t.Errorf("%d unverified, %d believed", len(d.unverified), len(d.others))
		}
		if _, err := NewDriver(DriverConfig{Machine: net.m, NodeKey: net.keys[1], Store: net.stores[0], Transport: link{net, 0}}); err == nil {
			t.Error("another node's key was accepted")
		}
	})
}

// golden prepares a network whose key is that of the golden shares of package gg18, as if their generation had just ended.
func golden(t testing.TB, change func(*Config)) *testNet {
	t.Helper()
	net := newTestNet(t, 4, nil, change)
	var public []byte
	var shares [][]byte
	for node := range 4 {
		encoded, err := os.ReadFile(filepath.Join("../../chainkey/gg18/testdata", fmt.Sprintf("share-%d.bin", node)))
		if err != nil {
			t.Fatal(err)
		}
		share, err := net.m.cfg.scheme(k1).DecodeShare(encoded)
		if err != nil {
			t.Fatal(err)
		}
		key := share.PublicKey()
		public, shares = key, share.PublicShares()
		store, err := keystore.Open(keystore.Options{Dir: net.dirs[node], AllowPlain: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(store.PutShare(keystore.Generation{Key: k1.String()}, "gg18", append(make([]byte, 32), encoded...)), store.Close()); err != nil {
			t.Fatal(err)
		}
	}
	save(net.s, keyPrefix+k1.String(), keyRecord{Status: KeyActive, Public: public, Activated: 1, Members: []uint32{0, 1, 2, 3}, Shares: shares})
	net.startAll()
	net.until("announcements", func() bool {
		for node := range 4 {
			if net.m.node(net.s, node).Number == 0 {
				return false
			}
		}
		return true
	})
	return net
}

// TestRealSignatureFailsOver signs with gg18. In the first attempt one member falls silent in the middle; the next committee
// signs. Nothing secret is in any log.
func TestRealSignatureFailsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := golden(t, func(c *Config) { c.SigningDeadline = 400 })
		var log safeBuffer
		net.log = &log
		for node := range 4 { // restart with the log
			net.stop(node)
			net.start(node)
		}
		net.until("announcements", func() bool {
			return net.m.node(net.s, 3).Number == 2 && net.m.node(net.s, 0).Number == 2 && net.m.node(net.s, 1).Number == 2 && net.m.node(net.s, 2).Number == 2
		})
		silent, sent := -1, 0
		net.mu.Lock()
		net.lose = func(from, _ int, msg []byte) bool { // called under net.mu
			if msg[0] != frameSession {
				return false
			}
			if silent < 0 {
				silent = int(net.ceremonies[0].Committee[1])
			}
			if from != silent {
				return false
			}
			sent++
			return sent > 12 // ephemeral keys and echoes, rounds 1 and 2 of gg18
		}
		net.mu.Unlock()
		net.ask(1)
		net.answered()
		net.mu.Lock()
		defer net.mu.Unlock()
		if sent <= 12 {
			t.Fatalf("the silent member spoke %d times and was never silent", sent)
		}
		if info := net.m.Status(net.m.Snapshot(net.s, net.height)).Nodes[silent]; len(info.Disputes) == 0 {
			t.Errorf("the silent member: %s", info.Sentence)
		}
		for node := range 4 {
			encoded, err := os.ReadFile(filepath.Join("../../chainkey/gg18/testdata", fmt.Sprintf("share-%d.bin", node)))
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i+8 <= 1100; i += 8 { // the parameters and the secret come first
				for _, form := range []string{hex.EncodeToString(encoded[i : i+8]), string(encoded[i : i+8])} {
					if strings.Contains(log.String(), form) && !strings.Contains(form, strings.Repeat("0", 10)) && !strings.Contains(form, strings.Repeat("\x00", 5)) {
						t.Fatalf("node %d's log shows bytes %d to %d of its share", node, i, i+8)
					}
				}
			}
		}
		if !strings.Contains(log.String(), "ceremony ended") {
			t.Error("the log is empty: the test looks in the wrong place")
		}
	})
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestRealKeyGeneration generates a key with gg18 among four nodes (29 CPU-seconds) and signs with it.
func TestRealKeyGeneration(t *testing.T) {
	if testing.Short() {
		t.Skip("a key generation takes 29 CPU-seconds; not in short mode")
	}
	synctest.Test(t, func(t *testing.T) {
		net := newTestNet(t, 4, nil, func(c *Config) { c.KeygenDeadline, c.SigningDeadline = 1<<20, 1<<20 })
		net.startAll()
		net.until("key", net.keysActive)
		net.ask(1)
		net.answered()
		for _, e := range net.events {
			// A member whose result another one published first stops: its part is over, not failed.
			if overtaken := strings.Contains(e, "signature") && strings.HasSuffix(e, context.Canceled.Error()); !overtaken && !strings.HasSuffix(e, "<nil>") {
				t.Error(e)
			}
		}
	})
}

// BenchmarkSignature compares signatures by 3 of 4 members through machine, driver, sessions and filter with the bare
// library, in one run. Both have the whole machine and two signatures at a time.
func BenchmarkSignature(b *testing.B) {
	cpu := func() float64 {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	measure := func(b *testing.B, run func(count int)) {
		start, began := cpu(), time.Now()
		run(b.N)
		b.ReportMetric((cpu()-start)/float64(b.N), "cpu-s/op")
		b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "signatures/s")
	}
	b.Run("raw", func(b *testing.B) {
		var shares []*gg18.Share
		for node := range 3 {
			encoded, err := os.ReadFile(filepath.Join("../../chainkey/gg18/testdata", fmt.Sprintf("share-%d.bin", node)))
			if err != nil {
				b.Fatal(err)
			}
			s, err := gg18.DecodeShare(encoded)
			if err != nil {
				b.Fatal(err)
			}
			shares = append(shares, s)
		}
		measure(b, func(count int) {
			var g errgroup.Group
			g.SetLimit(2)
			for i := range count {
				g.Go(func() error {
					_, err := gg18.SignRaw(shares, sha256.Sum256([]byte{byte(i)}))
					return err
				})
			}
			if err := g.Wait(); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("fusion", func(b *testing.B) {
		net := golden(b, func(c *Config) { c.SigningDeadline, c.QueueLimit = 1<<20, 1<<20 })
		b.ResetTimer()
		measure(b, func(count int) {
			net.ask(count)
			net.answered()
		})
	})
}
