package consensus

import (
	"bytes"
	"context"
	stded25519 "crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	dbm "github.com/cometbft/cometbft-db"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"
	"go.uber.org/goleak"

	"fusion/internal/freeport"
	"fusion/internal/pause"
	"fusion/replica/consensus/driver"
)

// noLeaks checks at the end of a test that Stop ended what Start began, but for routines of CometBFT and goleveldb
// that cannot be stopped: each WAL file leaves two for good, the others sleep a few seconds before they look whether
// they are still needed.
func noLeaks(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		var err error
		for range 10 {
			if err = goleak.Find(before,
				goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/libs/autofile.OpenAutoFile.func1"),
				goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/libs/autofile.(*AutoFile).closeFileRoutine"),
				goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/consensus.(*Reactor).queryMaj23Routine"),
				goleak.IgnoreAnyFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"),
			); err == nil {
				return
			}
		}
		t.Error(err)
	})
}

// app is a chain of hashes that survives restarts of its node, as a disk would.
type app struct {
	mu      sync.Mutex
	height  uint64
	hash    []byte
	pending driver.Block
	next    []byte
	log     map[uint64][]byte // app hash by height
	times   []uint64
	by      map[int]int // blocks by proposer
	passed  [8]uint64   // turns, by node
	seen    map[string]bool
	queue   [][]byte
	lie     uint64 // height at which the hash is wrong
}

func newApp() *app { return &app{log: map[uint64][]byte{}, by: map[int]int{}, seen: map[string]bool{}} }

func (a *app) Info() (uint64, []byte) { a.mu.Lock(); defer a.mu.Unlock(); return a.height, a.hash }

func (a *app) InitChain(t uint64) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hash = binary.BigEndian.AppendUint64(nil, t)
	return a.hash, nil
}

func (a *app) Prepare(_ context.Context, p driver.Proposal) [][]byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case p.Height == 3:
		panic("a bug in Prepare costs one empty block")
	case p.Height == 4:
		return [][]byte{make([]byte, p.MaxBytes+1)} // so does an oversized one
	case p.Height == 6:
		return [][]byte{make([]byte, p.MaxBytes-driver.Overhead)} // a full block travels
	}
	return a.queue
}

func (a *app) Process(b driver.Block) error {
	if driver.Size(b.Txs) > 4<<20 {
		return errors.New("too large")
	}
	return nil
}

func (a *app) Finalize(b driver.Block) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	h := sha256.New()
	h.Write(a.hash)
	fmt.Fprint(h, b.Height, b.TimeNs, b.Proposer, b.Before, len(b.Txs))
	for _, tx := range b.Txs {
		h.Write(tx)
	}
	if b.Height == a.lie {
		h.Write([]byte("lie"))
	}
	a.next, a.pending = h.Sum(nil), b
	return a.next, nil
}

func (a *app) Commit() (uint64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.pending
	if b.Height != a.height+1 {
		return 0, fmt.Errorf("block %d after %d", b.Height, a.height)
	}
	a.height, a.hash = b.Height, a.next
	a.log[b.Height] = a.next
	a.times = append(a.times, b.TimeNs)
	a.by[b.Proposer]++
	for i, n := range b.Before.Passed {
		a.passed[i] += n
	}
	for _, tx := range b.Txs {
		a.seen[string(tx)] = true
	}
	return 0, nil
}

func (a *app) state(f func()) { a.mu.Lock(); defer a.mu.Unlock(); f() }

func testKey(kind string, i int) stded25519.PrivateKey {
	seed := sha256.Sum256(fmt.Appendf(nil, "%s %d", kind, i))
	return stded25519.NewKeyFromSeed(seed[:])
}

// testConfigs are n members with free ports.
func testConfigs(t testing.TB, n int) []Config {
	t.Helper()
	addrs, err := freeport.Addr(n)
	if err != nil {
		t.Fatal(err)
	}
	var members []Member
	for i := range n {
		members = append(members, Member{ValidatorKey: testKey("validator", i).Public().(stded25519.PublicKey),
			NodeKey: testKey("node", i).Public().(stded25519.PublicKey), Addr: addrs[i]})
	}
	var out []Config
	genesis := time.Now().Add(-time.Second)
	for i := range n {
		out = append(out, Config{Home: t.TempDir(), ChainID: "test", MaxBlockBytes: 512 << 10, GenesisTime: genesis, Members: members, Self: i,
			NodeKey: testKey("node", i), ValidatorKey: testKey("validator", i),
			Timings: Timings{Propose: time.Second, Commit: 20 * time.Millisecond, SkipCommit: true, GossipSleep: 5 * time.Millisecond, Flush: time.Millisecond}})
	}
	return out
}

func wait(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
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

func start(t testing.TB, cfg Config, a driver.App) *Node {
	t.Helper()
	n, err := Start(t.Context(), cfg, a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Stop() })
	return n
}

// One network lives through what replicas live through; starting four of them is what costs time.
func TestNetwork(t *testing.T) {
	noLeaks(t)
	cfgs := testConfigs(t, 4)
	fatal := make(chan string, 16)
	var apps []*app
	var nodes []*Node
	for i := range cfgs {
		cfgs[i].OnFatal = func(err error) { fatal <- fmt.Sprintf("node %d: %v", i, err) }
		a := newApp()
		a.queue = [][]byte{fmt.Appendf(nil, "from %d", i)}
		apps = append(apps, a)
		nodes = append(nodes, start(t, cfgs[i], a))
	}
	heights := func(which []int, h uint64) {
		t.Helper()
		for _, i := range which {
			wait(t, fmt.Sprintf("node %d at height %d", i, h), func() bool { return nodes[i].Height() >= h })
		}
	}
	agree := func(which []int, upTo uint64) {
		t.Helper()
		for h := uint64(1); h <= upTo; h++ {
			for _, i := range which {
				apps[i].state(func() {
					if !bytes.Equal(apps[i].log[h], apps[which[0]].log[h]) {
						t.Fatalf("node %d differs at height %d", i, h)
					}
				})
			}
		}
	}
	all := []int{0, 1, 2, 3}

	began := time.Now()
	heights(all, 1)
	t.Logf("first block after %v", time.Since(began))
	heights(all, 12)
	agree(all, 12)
	apps[0].state(func() {
		if len(apps[0].by) != 4 || apps[0].by[-1] != 0 {
			t.Errorf("proposers: %v", apps[0].by)
		}
		for i := range 4 {
			if !apps[0].seen[fmt.Sprintf("from %d", i)] {
				t.Errorf("nothing of node %d was included", i)
			}
		}
		if !slices.IsSorted(apps[0].times) || len(slices.Compact(slices.Clone(apps[0].times))) != len(apps[0].times) {
			t.Errorf("block times do not strictly grow: %v", apps[0].times)
		}
	})
	for _, n := range nodes {
		wait(t, "all connections", func() bool { s := n.Status(); return len(s.PeerHeights) == 3 && !s.CatchingUp })
	}

	// A second process cannot use the same port, and a validator cannot have forgotten what it signed.
	other := cfgs[0]
	other.Home, other.SignState = t.TempDir(), ""
	if _, err := Start(t.Context(), other, newApp()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("port in use: %v", err)
	}

	// One is away for a while.
	if err := nodes[3].Stop(); err != nil {
		t.Fatal(err)
	}
	away := nodes[0].Height()
	heights(all[:3], away+5)
	wait(t, "a block that says that node 3's turn passed", func() (saw bool) {
		apps[0].state(func() { saw = apps[0].passed[3] > 0 })
		return saw
	})
	lost := cfgs[3]
	lost.SignState = filepath.Join(t.TempDir(), "lost.json")
	if _, err := Start(t.Context(), lost, apps[3]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("started without the sign state: %v", err)
	}
	nodes[3] = start(t, cfgs[3], apps[3])
	target := nodes[0].Height()
	heights(all, target)
	agree(all, target)

	// A partition of two against two stops everybody, and nobody takes that for its own fault.
	for _, pair := range [][2]int{{0, 2}, {0, 3}, {1, 2}, {1, 3}} {
		nodes[pair[0]].Disconnect(pair[1])
		nodes[pair[1]].Disconnect(pair[0])
	}
	for i, n := range nodes {
		wait(t, "the partition", func() bool {
			s := n.Status()
			_, friend := s.PeerHeights[i^1]
			return len(s.PeerHeights) == 1 && friend
		})
	}
	target = max(nodes[0].Height(), nodes[1].Height(), nodes[2].Height(), nodes[3].Height()) + 3
	for _, pair := range [][2]int{{0, 2}, {0, 3}, {1, 2}, {1, 3}} {
		nodes[pair[0]].Allow(pair[1])
		nodes[pair[1]].Allow(pair[0])
	}
	heights(all, target)
	agree(all, target)

	// One diverges: it stops and says so, the others go on.
	var lie uint64
	apps[2].state(func() { apps[2].lie = apps[2].height + 5; lie = apps[2].lie })
	if got := <-fatal; got[:7] != "node 2:" || !strings.Contains(got, ErrDiverged.Error()) || !strings.Contains(got, "fusion replica recover") {
		t.Fatalf("%s", got)
	}
	heights([]int{0, 1, 3}, lie+5)
	agree([]int{0, 1, 3}, lie+5)
	select {
	case got := <-fatal:
		t.Errorf("also %s", got)
	default:
	}
	for _, n := range nodes {
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// failing is an App whose execution breaks.
type failing struct {
	*app
	at uint64
}

func (f failing) Finalize(b driver.Block) ([]byte, error) {
	if b.Height == f.at {
		panic("the executor broke")
	}
	return f.app.Finalize(b)
}

// voters is an app whose validators change with transactions that list the nodes.
type voters struct {
	*app
	eras []driver.Era
}

func (v *voters) Eras() []driver.Era { v.mu.Lock(); defer v.mu.Unlock(); return v.eras }

func (v *voters) Finalize(b driver.Block) ([]byte, error) {
	hash, err := v.app.Finalize(b)
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, tx := range b.Txs {
		if list, ok := strings.CutPrefix(string(tx), "voters:"); ok && !v.seen[string(tx)] {
			e := driver.Era{Height: b.Height}
			for _, c := range list {
				i := int(c - '0')
				e.Validators = append(e.Validators, driver.Validator{Node: i, Key: testKey("validator", i).Public().(stded25519.PublicKey)})
			}
			v.eras = append(slices.Clone(v.eras), e)
		}
	}
	return hash, err
}

// A fifth node comes, votes, and a first one goes, while the network runs; nodes that restart and that come late agree on all of it.
func TestMembersComeAndGo(t *testing.T) {
	noLeaks(t)
	cfgs := testConfigs(t, 5)
	peers := make([]Peer, 5)
	for i, m := range cfgs[0].Members {
		peers[i] = Peer{m.NodeKey, m.Addr}
	}
	var apps []*voters
	var nodes []*Node
	run := func(i int) {
		nodes[i] = start(t, cfgs[i], apps[i])
	}
	for i := range cfgs {
		cfgs[i].Members = cfgs[i].Members[:4]
		cfgs[i].Peers = peers
		if i < 4 {
			cfgs[i].Peers = peers[:4]
		}
		cfgs[i].OnFatal = func(err error) { t.Errorf("node %d: %v", i, err) }
		apps, nodes = append(apps, &voters{app: newApp(), eras: []driver.Era{{}}}), append(nodes, nil)
	}
	at := func(h uint64, which ...int) {
		t.Helper()
		for _, i := range which {
			wait(t, fmt.Sprintf("node %d at height %d", i, h), func() bool { return nodes[i].Height() >= h })
		}
	}
	say := func(tx string) {
		for _, a := range apps {
			a.state(func() { a.queue = [][]byte{[]byte(tx)} })
		}
	}
	for i := range 4 {
		run(i)
	}
	at(3, 0, 1, 2, 3)
	run(4) // it knows the others, who do not know it
	wait(t, "a refused knock", func() bool { return nodes[0].Height() > 8 })
	if h := nodes[4].Height(); h != 0 { // at its end a connection may stand for a moment, until it learns that it is refused
		t.Errorf("a stranger is at height %d", h)
	}
	for i := range 4 {
		if n := len(nodes[i].Status().PeerHeights); n > 3 {
			t.Errorf("node %d has %d peers, three are members", i, n)
		}
	}
	for i := range 4 {
		if err := nodes[i].SetPeers(peers); err != nil {
			t.Fatal(err)
		}
	}
	at(8, 4) // it follows, and does not vote
	say("voters:01234")
	wait(t, "its first block", func() bool { n := 0; apps[0].state(func() { n = apps[0].by[4] }); return n > 0 })
	if err := nodes[1].Stop(); err != nil {
		t.Fatal(err)
	}
	at(nodes[4].Height()+5, 0, 2, 3, 4) // four of five are enough, the fifth among them; the turns of the one that is away pass
	run(1)
	at(nodes[0].Height()+2, 0, 1, 2, 3, 4)
	say("voters:0134")
	wait(t, "the change", func() bool { return len(apps[0].Eras()) == 3 && len(apps[2].Eras()) == 3 })
	at(apps[0].Eras()[2].Height+1, 2) // it learns of it
	rest := slices.Clone(peers)
	rest[2] = Peer{}
	for _, i := range []int{0, 1, 3, 4} {
		if err := nodes[i].SetPeers(rest); err != nil {
			t.Fatal(err)
		}
	}
	at(nodes[0].Height()+6, 0, 1, 3, 4)
	gone := nodes[2].Height()
	at(gone+5, 0, 1, 3, 4)
	if h := nodes[2].Height(); h > gone+1 {
		t.Errorf("the node that left still follows, at height %d", h)
	}
	for h := uint64(1); h <= gone+5; h++ {
		var want []byte
		apps[0].state(func() { want = apps[0].log[h] })
		for i, a := range apps {
			a.state(func() {
				if got, ok := a.log[h]; ok && !bytes.Equal(got, want) {
					t.Fatalf("node %d differs at height %d", i, h)
				}
			})
		}
	}
	apps[0].state(func() {
		if apps[0].by[-1] != 0 || apps[0].passed[1] == 0 {
			t.Errorf("blocks by nodes %v, turns passed %v", apps[0].by, apps[0].passed)
		}
	})
}

func TestOneNodeAndFailure(t *testing.T) {
	noLeaks(t)
	cfg := testConfigs(t, 1)[0]
	fatal := make(chan error, 1)
	cfg.OnFatal = func(err error) { fatal <- err }
	cfg.Listen = "127.0.0.1:0"
	a := newApp()
	n := start(t, cfg, failing{a, 6})
	if err := <-fatal; !errors.Is(err, ErrFailure) || !bytes.Contains([]byte(err.Error()), []byte("the executor broke")) {
		t.Fatal(err)
	}
	if n.Height() != 5 {
		t.Errorf("height %d", n.Height())
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	// The block that could not be executed is decided; a repaired App executes it first.
	n = start(t, cfg, a)
	wait(t, "blocks after the repair", func() bool { return n.Height() >= 8 })
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
}

// An App that does not fit the blocks is refused. CometBFT fails while it starts and leaves routines behind, so leaks
// are not looked for.
func TestForeignStateIsRefused(t *testing.T) {
	cfg := testConfigs(t, 1)[0]
	a := newApp()
	n := start(t, cfg, a)
	wait(t, "blocks", func() bool { return n.Height() >= 2 })
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	hash := a.hash
	a.state(func() { a.hash = []byte("another state") })
	if _, err := Start(t.Context(), cfg, a); err == nil {
		t.Fatal("started with another state")
	}
	a.state(func() { a.hash, a.height = hash, a.height+100 })
	if _, err := Start(t.Context(), cfg, a); err == nil {
		t.Fatal("started with an App ahead of the blocks")
	}
	a.state(func() { a.height -= 100 })
	n = start(t, cfg, a) // a failed start leaves the stores usable
	height := n.Height()
	wait(t, "more blocks", func() bool { return n.Height() > height })
}

func TestConfigIsChecked(t *testing.T) {
	for name, edit := range map[string]func(*Config){
		"home":        func(c *Config) { c.Home = "" },
		"chain id":    func(c *Config) { c.ChainID = string(make([]byte, 51)) },
		"self":        func(c *Config) { c.Self = 4 },
		"not my key":  func(c *Config) { c.Self = 1 },
		"short key":   func(c *Config) { c.NodeKey = nil },
		"time":        func(c *Config) { c.GenesisTime = time.Time{} },
		"block size":  func(c *Config) { c.MaxBlockBytes = 200 << 20 },
		"shared key":  func(c *Config) { c.Members[1].NodeKey = c.Members[0].NodeKey },
		"address":     func(c *Config) { c.Members[1].Addr = "nowhere" },
		"listen":      func(c *Config) { c.Listen = "127.0.0.1:0" },
		"power":       func(c *Config) { c.Members[1].Power = -1 },
		"member keys": func(c *Config) { c.Members[1].ValidatorKey = nil },
	} {
		cfg := testConfigs(t, 4)[0]
		edit(&cfg)
		if _, err := Start(t.Context(), cfg, newApp()); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	cfg := testConfigs(t, 1)[0]
	cfg.GenesisTime = time.Now().Add(time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ctx, cfg, newApp()); !errors.Is(err, context.Canceled) {
		t.Errorf("genesis in the future: %v", err)
	}
	cfg.GenesisTime, cfg.Home = time.Now(), filepath.Join(cfg.Home, "file", "x")
	if err := os.WriteFile(filepath.Dir(cfg.Home), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), cfg, newApp()); err == nil {
		t.Error("started in a directory that cannot be made")
	}
}

func TestStallWatch(t *testing.T) {
	t0 := time.Unix(0, 0)
	at := func(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }
	type obs struct {
		sec    int
		height uint64
		peers  []uint64
		stall  bool
	}
	for name, seq := range map[string][]obs{
		"everybody stands":          {{0, 5, []uint64{5, 5, 5}, false}, {100, 5, []uint64{5, 5, 5}, false}},
		"no peers":                  {{0, 5, nil, false}, {100, 5, nil, false}},
		"one liar":                  {{0, 5, []uint64{99, 5, 5}, false}, {100, 5, []uint64{999, 5, 5}, false}},
		"one block behind":          {{0, 5, []uint64{6, 6, 6}, false}, {100, 5, []uint64{6, 6, 6}, false}},
		"behind and moving":         {{0, 5, []uint64{99, 99, 99}, false}, {9, 6, []uint64{99, 99, 99}, false}, {18, 7, []uint64{99, 99, 99}, false}},
		"standing alone":            {{0, 5, []uint64{7, 7, 5}, false}, {9, 5, []uint64{8, 8, 5}, false}, {10, 5, []uint64{8, 8, 5}, true}},
		"others were gone meantime": {{0, 5, []uint64{7, 7}, false}, {9, 5, nil, false}, {11, 5, []uint64{7, 7}, false}, {20, 5, []uint64{7, 7}, false}, {21, 5, []uint64{7, 7}, true}},
	} {
		w := stallWatch{faulty: 1, limit: 10 * time.Second}
		for _, o := range seq {
			if err := w.observe(at(o.sec), o.height, o.peers); (err != nil) != o.stall || err != nil && !errors.Is(err, ErrStalled) {
				t.Errorf("%s at %d s: %v", name, o.sec, err)
			}
		}
	}
}

func TestSignerNeverSignsTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	key := testKey("validator", 0)
	s, err := OpenSigner(key, path, true)
	if err != nil {
		t.Fatal(err)
	}
	vote := func(height int64, round int32, kind cmtproto.SignedMsgType, block string, at int64) *cmtproto.Vote {
		h := sha256.Sum256([]byte(block))
		return &cmtproto.Vote{Type: kind, Height: height, Round: round, Timestamp: time.Unix(at, 0).UTC(),
			BlockID: cmtproto.BlockID{Hash: h[:], PartSetHeader: cmtproto.PartSetHeader{Total: 1, Hash: h[:]}}}
	}
	sign := func(v *cmtproto.Vote) (*cmtproto.Vote, error) { return v, s.SignVote("chain", v) }
	first, err := sign(vote(5, 1, cmtproto.PrevoteType, "a", 100))
	if err != nil {
		t.Fatal(err)
	}
	for _, reopen := range []bool{false, true} {
		if reopen {
			if s, err = OpenSigner(key, path, false); err != nil {
				t.Fatal(err)
			}
		}
		again, err := sign(vote(5, 1, cmtproto.PrevoteType, "a", 200))
		if err != nil || !bytes.Equal(again.Signature, first.Signature) || !again.Timestamp.Equal(first.Timestamp) {
			t.Errorf("the same vote again: %+v, %v", again, err)
		}
		for name, v := range map[string]*cmtproto.Vote{
			"another block":  vote(5, 1, cmtproto.PrevoteType, "b", 100),
			"earlier round":  vote(5, 0, cmtproto.PrecommitType, "a", 100),
			"earlier height": vote(4, 9, cmtproto.PrecommitType, "a", 100),
		} {
			if v, err := sign(v); !errors.Is(err, ErrDoubleSign) || v.Signature != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := s.SignProposal("chain", &cmtproto.Proposal{Type: cmtproto.ProposalType, Height: 5, Round: 1}); !errors.Is(err, ErrDoubleSign) {
			t.Errorf("proposal after the vote: %v", err)
		}
	}
	if v, err := sign(vote(5, 1, cmtproto.PrecommitType, "a", 100)); err != nil || len(v.ExtensionSignature) == 0 {
		t.Errorf("precommit: %v", err)
	}
	if err := s.SignProposal("chain", &cmtproto.Proposal{Type: cmtproto.ProposalType, Height: 6}); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	// A state that cannot be written stops signing.
	s.path = filepath.Join(filepath.Dir(path), "gone", "state.json")
	if _, err := sign(vote(7, 0, cmtproto.PrevoteType, "a", 1)); err == nil {
		t.Error("signed without a memory")
	}
	s.path = path
	if _, err := sign(vote(7, 0, cmtproto.PrevoteType, "b", 1)); err != nil {
		t.Errorf("nothing was signed for this step: %v", err)
	}
}

func TestSignStateIsChecked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	for _, raw := range []string{"", "{", `{"height":-1}`, `{"height":5}`, `{"hight":5}`, `{"height":1,"step":9,"signature":"AA==","sign_bytes":"AA=="}`} {
		if err := os.WriteFile(path, []byte(raw), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenSigner(testKey("validator", 0), path, true); !errors.Is(err, ErrSignState) {
			t.Errorf("%q: %v", raw, err)
		}
	}
	if _, err := OpenSigner(nil, path, true); !errors.Is(err, ErrConfig) {
		t.Error(err)
	}
}

func TestAbstain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	key := testKey("validator", 0)
	if err := Abstain(key, path, 7); err != nil {
		t.Fatal(err)
	}
	s, err := OpenSigner(key, path, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []int64{1, 7} {
		for _, round := range []int32{0, 1, math.MaxInt32} {
			if err := s.SignProposal("chain", &cmtproto.Proposal{Type: cmtproto.ProposalType, Height: h, Round: round}); !errors.Is(err, ErrDoubleSign) {
				t.Errorf("proposal at %d/%d: %v", h, round, err)
			}
			if err := s.SignVote("chain", &cmtproto.Vote{Type: cmtproto.PrecommitType, Height: h, Round: round}); !errors.Is(err, ErrDoubleSign) {
				t.Errorf("vote at %d/%d: %v", h, round, err)
			}
		}
	}
	if err := s.SignVote("chain", &cmtproto.Vote{Type: cmtproto.PrevoteType, Height: 8}); err != nil {
		t.Errorf("the next height: %v", err)
	}
	if err := Abstain(key, path, 9); !errors.Is(err, ErrSignState) {
		t.Errorf("over an existing file: %v", err)
	}
	if err := Abstain(key, path+"2", 0); !errors.Is(err, ErrConfig) {
		t.Errorf("height 0: %v", err)
	}
}

func FuzzSignState(f *testing.F) {
	f.Add([]byte(`{"height":1,"round":0,"step":1,"time":"2026-01-01T00:00:00Z","sign_bytes":"AA==","signature":"AA=="}`))
	f.Add([]byte(`{}`))
	path := filepath.Join(f.TempDir(), "state.json")
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := OpenSigner(testKey("validator", 0), path, false)
		if err == nil && s.last.Height > 0 && len(s.last.Signature) != stded25519.SignatureSize {
			t.Fatalf("%+v", s.last)
		}
	})
}

// What the App is told about sizes must never be less than what CometBFT counts.
func TestSizeIsAnUpperBound(t *testing.T) {
	for _, lens := range [][]int{{}, {0}, {1, 127, 128, 129}, {16383, 16384, 2097151, 2097152}, {4 << 20}} {
		var txs [][]byte
		for _, n := range lens {
			txs = append(txs, make([]byte, n))
		}
		if got, want := int64(driver.Size(txs)), types.ComputeProtoSizeForTxs(types.ToTxs(txs)); got < want {
			t.Errorf("%v: %d, CometBFT counts %d", lens, got, want)
		}
	}
}

// A routine that reads a closed store ends; it neither panics nor reads.
func TestClosedStoreEndsStrays(t *testing.T) {
	s := &store{DB: dbm.NewMemDB()}
	if err := s.SetSync([]byte("k"), []byte("v")); err != nil {
		t.Fatal(err)
	}
	if v, err := s.Get([]byte("k")); err != nil || string(v) != "v" {
		t.Fatalf("%q, %v", v, err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	for _, read := range []func(){
		func() { _, _ = s.Get([]byte("k")) },
		func() { _, _ = s.Has([]byte("k")) },
		func() { _ = s.Set([]byte("k"), nil) },
	} {
		ended, survived := make(chan struct{}), false
		go func() {
			defer close(ended)
			read()
			survived = true
		}()
		if <-ended; survived {
			t.Error("a closed store was used")
		}
	}
}

// The App of a replica that catches up fails, and it says so; then its peers come and go, and it catches up. CometBFT panics in a routine of its own in
// both cases, which would end this process.
func TestCatchingUp(t *testing.T) {
	noLeaks(t)
	cfgs := testConfigs(t, 4)
	fatal := make(chan error, 1)
	cfgs[3].OnFatal = func(err error) { fatal <- err }
	for i := range cfgs {
		cfgs[i].Timings.Propose = 50 * time.Millisecond // is what each turn of the fourth costs
	}
	var nodes []*Node
	for i := range 3 {
		nodes = append(nodes, start(t, cfgs[i], newApp()))
	}
	wait(t, "blocks to fetch", func() bool { return nodes[0].Height() >= 60 })
	late := newApp()
	n := start(t, cfgs[3], failing{late, 10})
	if err := <-fatal; !errors.Is(err, ErrFailure) || !strings.Contains(err.Error(), "the executor broke") {
		t.Error(err)
	}
	if n.Height() != 9 || !n.Status().CatchingUp {
		t.Errorf("at %d: %+v", n.Height(), n.Status())
	}
	if err := n.Stop(); err != nil {
		t.Error(err)
	}
	n = start(t, cfgs[3], late)
	ctx, stop := context.WithCancel(t.Context())
	var comings sync.WaitGroup
	comings.Go(func() {
		for i := 0; ctx.Err() == nil; i = (i + 1) % 3 {
			if _, there := n.Status().PeerHeights[i]; there {
				n.Disconnect(i)
				n.Allow(i)
			}
			pause.For(ctx, 200*time.Millisecond)
		}
	})
	wait(t, "most of the blocks", func() bool { return n.Height() >= 50 })
	stop()
	comings.Wait()
	wait(t, "the others' height", func() bool { return n.Height() >= nodes[0].Height() && !n.Status().CatchingUp })
	for _, n := range append(nodes, n) {
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	}
}
