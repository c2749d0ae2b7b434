package vetkeys

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fusion/chainkey/bls"
	"fusion/chainkey/vetkd"
	"fusion/internal/codec"
	"fusion/internal/kv"
	"fusion/replica/gossip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// room is one deterministic machine with the members of its key generations, whose blocks the test makes.
type room struct {
	t       testing.TB
	cfg     Config
	s       *kv.Mem
	m       *Machine
	height  uint64
	members []*bls.Member
}

func newRoom(t testing.TB, nodes int, change ...func(*Config)) *room {
	t.Helper()
	w := &room{t: t, s: kv.NewMem(), cfg: Config{Life: [32]byte{1}, Keys: []string{"key_a", "key_b"}, PhaseBlocks: 5, RequestBlocks: 20, QueueLimit: 4}}
	for i := range nodes {
		key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, 32))
		w.cfg.Nodes = append(w.cfg.Nodes, key.Public().(ed25519.PublicKey))
		w.members = append(w.members, bls.NewMember([32]byte{byte(i)}, i, key))
	}
	for _, f := range change {
		f(&w.cfg)
	}
	w.reopen()
	return w
}

// reopen is what a restart does.
func (w *room) reopen() {
	w.t.Helper()
	m, err := OpenMachine(w.cfg, w.s)
	if err != nil {
		w.t.Fatal(err)
	}
	w.m = m
}

// block executes a block whose items must hold up.
func (w *room) block(generation, results [][]byte) []Response {
	w.t.Helper()
	w.height++
	if err := errors.Join(w.m.CheckGeneration(generation), w.m.CheckResults(w.s, results)); err != nil {
		w.t.Fatalf("block %d: %v", w.height, err)
	}
	due, skipped := w.m.Step(w.s, w.height, generation, results)
	if skipped > 0 {
		w.t.Fatalf("block %d: %d items skipped", w.height, skipped)
	}
	return due
}

// pending are the bundles that the members have to say about key i.
func (w *room) pending(i int, silent ...int) (items [][]byte) {
	b := w.m.Board(i)
	if b == nil {
		return nil
	}
	for n, m := range w.members {
		if it := m.Pending(b); it != nil && !slices.Contains(silent, n) {
			items = append(items, it)
		}
	}
	return items
}

// found makes all keys; the machine is opened again after each block, so that nothing lives in memory alone.
func (w *room) found(silent ...int) {
	w.t.Helper()
	for range 40 {
		var items [][]byte
		for i := range w.cfg.Keys {
			items = append(items, w.pending(i, silent...)...)
		}
		w.block(items, nil)
		w.reopen()
		if len(w.m.Keys()) == len(w.cfg.Keys) {
			return
		}
	}
	w.t.Fatalf("the keys are not made after %d blocks: %+v", w.height, w.m.Status())
}

// secrets are the members' shares of key i.
func (w *room) secrets(i int) (out []*bls.SecretShare) {
	w.t.Helper()
	b, err := w.m.FinishedBoard(w.s, i)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, m := range w.members[:len(w.cfg.Nodes)] {
		s, err := m.Share(b)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

func transportKey(t testing.TB, seed byte) *vetkd.TransportKey {
	t.Helper()
	k, err := vetkd.NewTransportKey(bytes.NewReader(bytes.Repeat([]byte{seed}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (w *room) submit(id uint64, key, canister string, tk *vetkd.TransportKey) error {
	public := tk.Public()
	return w.m.Submit(w.s, Request{ID: id, Key: key, Canister: []byte(canister), Context: []byte("context"), Input: []byte("input"), Transport: public[:], Height: w.height})
}

func (w *room) mustSubmit(id uint64, key, canister string, tk *vetkd.TransportKey) {
	w.t.Helper()
	if err := w.submit(id, key, canister, tk); err != nil {
		w.t.Fatal(err)
	}
}

func (w *room) open(id uint64) Open {
	w.t.Helper()
	for _, o := range w.m.Requests(w.s) {
		if o.ID == id {
			return o
		}
	}
	w.t.Fatalf("request %d is not open", id)
	return Open{}
}

// derive adds the members' shares of an open request up.
func (w *room) derive(id uint64, secrets []*bls.SecretShare) []byte {
	w.t.Helper()
	o := w.open(id)
	var shares []vetkd.Share
	for _, s := range secrets {
		share, err := o.Request.Share(s)
		if err != nil {
			w.t.Fatal(err)
		}
		shares = append(shares, share)
	}
	key, err := o.Request.Combine(o.Group, shares)
	if err != nil {
		w.t.Fatal(err)
	}
	return codec.Marshal(result{Request: id, EncryptedKey: key[:]})
}

func (w *room) decrypt(r Response, key, canister string, tk *vetkd.TransportKey) vetkd.Key {
	w.t.Helper()
	i := slices.Index(w.cfg.Keys, key)
	public := w.m.Keys()[i].PublicKey
	derived, err := vetkd.DerivePublicKey(public[:], []byte(canister), []byte("context"))
	if err != nil {
		w.t.Fatal(err)
	}
	k, err := tk.Decrypt(r.EncryptedKey, derived[:], []byte("input"))
	if err != nil {
		w.t.Fatalf("%+v: %v", r, err)
	}
	return k
}

func TestKeysAreMadeAndDerived(t *testing.T) {
	w := newRoom(t, 4)
	tk := transportKey(t, 1)
	if err := w.submit(1, "key_a", "c", tk); !errors.Is(err, ErrKeyNotReady) {
		t.Errorf("before there is a key: %v", err)
	}
	w.found()
	keys := w.m.Keys()
	if keys[0].PublicKey == keys[1].PublicKey || keys[0].Name != "key_a" {
		t.Fatalf("two keys are one: %+v", keys)
	}
	a, b := w.secrets(0), w.secrets(1)
	w.mustSubmit(1, "key_a", "c", tk)
	w.mustSubmit(2, "key_a", "another", tk)
	w.mustSubmit(3, "key_b", "c", tk)
	w.mustSubmit(4, "key_a", "c", transportKey(t, 2))
	w.reopen()
	items := [][]byte{w.derive(1, a[:3]), w.derive(2, a[1:]), w.derive(3, b[1:]), w.derive(4, a[1:])}
	due := w.block(nil, items)
	if len(due) != 4 || len(w.m.Requests(w.s)) != 0 {
		t.Fatalf("%d answers, %d open", len(due), len(w.m.Requests(w.s)))
	}
	first := w.decrypt(due[0], "key_a", "c", tk)
	if w.decrypt(due[3], "key_a", "c", transportKey(t, 2)) != first {
		t.Error("the same request by another receiver gives another key")
	}
	if w.decrypt(due[1], "key_a", "another", tk) == first || w.decrypt(due[2], "key_b", "c", tk) == first {
		t.Error("another canister or master key gives the same key")
	}
	if _, skipped := w.m.Step(w.s, w.height+1, nil, items[:1]); skipped != 1 {
		t.Error("an answered request was answered again")
	}
}

func TestAKeyIsMadeWithoutOneNode(t *testing.T) {
	w := newRoom(t, 4)
	w.found(2)
	b, err := w.m.FinishedBoard(w.s, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.members[2].Share(b); !errors.Is(err, bls.ErrNoShare) {
		t.Errorf("a node that was silent has a share: %v", err)
	}
	if _, err := w.members[1].Share(b); err != nil {
		t.Error(err)
	}
}

func TestItemsThatBlocksRefuse(t *testing.T) {
	w := newRoom(t, 4)
	w.block(nil, nil)
	bundles := w.pending(0)
	for name, items := range map[string][][]byte{
		"garbage":      {{1, 2, 3}},
		"a node twice": {bundles[0], bundles[0]},
		"cut":          {bundles[0][:len(bundles[0])-1]},
	} {
		if err := w.m.CheckGeneration(items); !errors.Is(err, ErrItem) {
			t.Errorf("generation: %s: %v", name, err)
		}
	}
	w.found()
	if err := w.m.CheckGeneration(bundles[:1]); !errors.Is(err, ErrItem) {
		t.Errorf("generation after its end: %v", err)
	}
	a, b := w.secrets(0), w.secrets(1)
	tk := transportKey(t, 1)
	w.mustSubmit(1, "key_a", "c", tk)
	w.mustSubmit(2, "key_b", "c", tk)
	good := w.derive(1, a)
	var v, other result
	for item, to := range map[string]*result{string(good): &v, string(w.derive(2, b)): &other} {
		if err := codec.Unmarshal([]byte(item), to); err != nil {
			t.Fatal(err)
		}
	}
	flipped := bytes.Clone(v.EncryptedKey)
	flipped[100] ^= 1
	for name, item := range map[string][]byte{
		"garbage":             {1},
		"of no request":       codec.Marshal(result{Request: 9, EncryptedKey: v.EncryptedKey}),
		"of another request":  codec.Marshal(result{Request: 1, EncryptedKey: other.EncryptedKey}),
		"of two requests":     codec.Marshal(result{Request: 2, EncryptedKey: v.EncryptedKey}),
		"changed":             codec.Marshal(result{Request: 1, EncryptedKey: flipped}),
		"short":               codec.Marshal(result{Request: 1, EncryptedKey: v.EncryptedKey[:100]}),
		"too long":            codec.Marshal(result{Request: 1, EncryptedKey: make([]byte, 1000)}),
		"with something else": append(bytes.Clone(good), 0),
	} {
		for range 2 { // what was refused once is not remembered as good
			if err := w.m.CheckResult(w.s, item); !errors.Is(err, ErrItem) {
				t.Errorf("result: %s: %v", name, err)
			}
		}
		if due, skipped := w.m.Step(w.s, w.height+1, nil, [][]byte{item}); len(due) != 0 || skipped != 1 {
			t.Errorf("result: %s: executed", name)
		}
	}
	if err := w.m.CheckResults(w.s, [][]byte{good, good}); !errors.Is(err, ErrItem) {
		t.Errorf("two for one request: %v", err)
	}
	if err := w.m.CheckResults(w.s, [][]byte{good}); err != nil {
		t.Error(err)
	}
}

func TestTheQueueIsFairAndBounded(t *testing.T) {
	w := newRoom(t, 1)
	w.found()
	tk := transportKey(t, 1)
	if err := w.submit(1, "key_c", "c", tk); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("unknown key: %v", err)
	}
	if err := w.m.Submit(w.s, Request{ID: 1, Key: "key_a", Transport: make([]byte, 48)}); !errors.Is(err, vetkd.ErrTransportKey) {
		t.Errorf("no transport key: %v", err)
	}
	w.mustSubmit(1, "key_a", "c", tk)
	w.mustSubmit(2, "key_a", "c", tk)
	if err := w.submit(3, "key_a", "c", tk); !errors.Is(err, ErrQueueFull) {
		t.Errorf("more than its half by one canister: %v", err)
	}
	w.mustSubmit(4, "key_a", "d", tk)
	w.mustSubmit(5, "key_a", "e", tk)
	if err := w.submit(6, "key_a", "f", tk); !errors.Is(err, ErrQueueFull) {
		t.Errorf("a full queue: %v", err)
	}
	w.mustSubmit(7, "key_b", "c", tk) // each key has its own
	if got := w.m.Requests(w.s); len(got) != 5 || got[0].ID != 1 || got[4].ID != 7 {
		t.Fatalf("open: %+v", got)
	}
	w.block(nil, [][]byte{w.derive(2, w.secrets(0))})
	w.mustSubmit(8, "key_a", "c", tk)

	// What nobody derives is rejected in the end, in the order of the ids.
	var due []Response
	for range w.cfg.RequestBlocks + 1 {
		due = append(due, w.block(nil, nil)...)
	}
	if len(due) != 5 || len(w.m.Requests(w.s)) != 0 {
		t.Fatalf("%d answers, %d open", len(due), len(w.m.Requests(w.s)))
	}
	for _, r := range due {
		if r.RejectCode != sysTransient || r.RejectMessage == "" || r.EncryptedKey != nil {
			t.Errorf("%+v", r)
		}
	}
}

// subnet is n drivers beside the one machine.
type subnet struct {
	*room
	net     *gossip.Switch
	drivers []*Driver
	mu      sync.Mutex
	blamed  map[int]int // by how many messages
}

func newSubnet(t *testing.T, nodes int, options gossip.SwitchOptions, change ...func(*Config)) *subnet {
	t.Helper()
	n := &subnet{room: newRoom(t, nodes, change...), blamed: map[int]int{}}
	n.found()
	n.net = gossip.NewSwitch(nodes, options)
	for i := range nodes {
		n.drivers = append(n.drivers, n.start(i))
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

func (n *subnet) start(i int) *Driver {
	return NewDriver(DriverConfig{Net: n.net.Node(i), Tick: 5 * time.Millisecond, Listener: Listener{Refused: func(node int, _ error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.blamed[node]++
	}}})
}

func (n *subnet) share() {
	for i := range n.cfg.Keys {
		for node, s := range n.secrets(i) {
			n.drivers[node].SetShare(n.cfg.Keys[i], 0, s)
		}
	}
}

func (n *subnet) reconcile(nodes ...int) {
	for i, d := range n.drivers {
		if len(nodes) == 0 || slices.Contains(nodes, i) {
			d.Reconcile(n.m.Requests(n.s))
		}
	}
}

// await waits until a driver has so many results.
func (n *subnet) await(node, results int) [][]byte {
	n.t.Helper()
	var items [][]byte
	n.wait(fmt.Sprintf("node %d has not %d results", node, results), func() bool {
		items = n.drivers[node].Pending()
		return len(items) == results
	})
	return items
}

// wait polls for a condition that other goroutines bring about.
func (n *subnet) wait(what string, ok func() bool) {
	n.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.After(2 * time.Minute); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			for _, d := range n.drivers {
				n.t.Logf("%q", d.Status())
			}
			n.t.Fatal(what)
		}
	}
}

// TestSharesMeetInSpiteOfLosses loses a third of the messages; each node finds the keys.
func TestSharesMeetInSpiteOfLosses(t *testing.T) {
	n := newSubnet(t, 4, gossip.SwitchOptions{Seed: 1, Drop: 0.3, Duplicate: 0.1})
	tk := transportKey(t, 1)
	n.mustSubmit(1, "key_a", "c", tk)
	n.mustSubmit(2, "key_b", "c", tk)
	n.share()
	n.reconcile()
	for i := range n.drivers {
		items := n.await(i, 2)
		if err := n.m.CheckResults(n.s, items); err != nil {
			t.Errorf("node %d: %v", i, err)
		}
	}
	due := n.block(nil, n.drivers[3].Pending())
	n.decrypt(due[0], "key_a", "c", tk)
	n.reconcile()
	for i := range n.drivers {
		n.await(i, 0)
	}
	if len(n.blamed) != 0 {
		t.Errorf("nodes were blamed: %v", n.blamed)
	}
}

// TestEarlySharesAreKept lets one node see a request long after the others.
func TestEarlySharesAreKept(t *testing.T) {
	n := newSubnet(t, 4, gossip.SwitchOptions{Seed: 1})
	n.mustSubmit(1, "key_a", "c", transportKey(t, 1))
	n.share()
	n.reconcile(0, 1, 2)
	n.wait("node 3 does not hear the others", func() bool {
		d := n.drivers[3]
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.early[0]) > 0 && len(d.early[1]) > 0 && len(d.early[2]) > 0
	})
	n.net.Partition([]int{0, 1, 2}) // it hears nothing from now on
	n.reconcile(3)
	n.await(3, 1)
}

func TestALiarIsNamed(t *testing.T) {
	n := newSubnet(t, 4, gossip.SwitchOptions{Seed: 1})
	tk := transportKey(t, 1)
	for i := range n.cfg.Keys {
		secrets := n.secrets(i)
		secrets[0].Scalar[31] ^= 1 // node 0 does not have the share that it should
		for node, s := range secrets {
			n.drivers[node].SetShare(n.cfg.Keys[i], 0, s)
		}
	}
	for id := uint64(1); id <= 2; id++ {
		n.mustSubmit(id, "key_a", "c", tk)
		n.reconcile()
		for i := range n.drivers {
			n.await(i, int(id))
		}
	}
	n.mu.Lock()
	blamed, others := n.blamed[0], len(n.blamed)
	n.mu.Unlock()
	// Each node that used a bad share names its sender, once per request, also node 0 itself.
	if blamed == 0 || blamed > 2*len(n.drivers) || others != 1 {
		t.Errorf("blamed: %v", n.blamed)
	}
}

func TestMalformedMessagesAreRefused(t *testing.T) {
	n := newSubnet(t, 1, gossip.SwitchOptions{Seed: 1})
	for _, msg := range [][]byte{nil, {1}, codec.Marshal(wireShare{Request: 1, Share: []byte{1}}), make([]byte, maxShareBytes+1)} {
		n.drivers[0].deliver(0, msg)
	}
	if n.blamed[0] != 4 {
		t.Errorf("%d of 4 refused", n.blamed[0])
	}
	// A flood of requests that nobody opened stays within its bound.
	for id := range uint64(3 * maxEarly) {
		n.drivers[0].deliver(0, codec.Marshal(wireShare{Request: id, Share: make([]byte, vetkd.EncryptedKeySize)}))
	}
	if got := len(n.drivers[0].early[0]); got != maxEarly {
		t.Errorf("%d early shares", got)
	}
}

func FuzzItems(f *testing.F) {
	w := newRoom(f, 1)
	w.found()
	w.mustSubmit(1, "key_a", "c", transportKey(f, 1))
	good := w.derive(1, w.secrets(0))
	f.Add(good)
	f.Add([]byte{})
	f.Add(codec.Marshal(wireShare{Request: 1, Share: make([]byte, vetkd.EncryptedKeySize)}))
	open := w.open(1)
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := w.m.CheckResult(w.s, b); err == nil {
			var v result
			if err := codec.Unmarshal(b, &v); err != nil || v.Request != 1 || open.Request.Verify(v.EncryptedKey) != nil {
				t.Fatalf("accepted %x: %v", b, err)
			}
		}
		var s wireShare
		if err := decodeShare(b, &s); err == nil && !bytes.Equal(codec.Marshal(s), b) {
			t.Fatalf("%x decodes to %+v and encodes to something else", b, s)
		}
		if err := w.m.CheckGeneration([][]byte{b}); err == nil {
			t.Fatal("accepted a bundle when no key is being made")
		}
	})
}

func ExampleMachine_Keys() {
	m, err := OpenMachine(Config{Keys: []string{"test_key_1"}}, kv.NewMem())
	fmt.Println(m.Names(), len(m.Keys()), err)
	// Output: [test_key_1] 0 <nil>
}

// TestReshare hands the keys to other nodes while requests are open: the vetKeys stay, shares of two epochs are not mixed, and the drivers follow.
func TestReshare(t *testing.T) {
	n := newSubnet(t, 5, gossip.SwitchOptions{Seed: 1}, func(c *Config) { c.Nodes, c.RequestBlocks = c.Nodes[:4], 1000 })
	tk := transportKey(t, 1)
	newcomer := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{5}, 32))
	n.share()
	n.mustSubmit(1, "key_a", "c", tk)
	n.reconcile()
	first := n.decrypt(n.block(nil, n.await(0, 1))[0], "key_a", "c", tk)
	before := n.m.Keys()

	next := []uint32{0, 1, 3, 4}
	keyOf := func(node uint32) ed25519.PublicKey {
		if node == 4 {
			return newcomer.Public().(ed25519.PublicKey)
		}
		return n.cfg.Nodes[node]
	}
	if done, failed := n.m.ReshareStatus(n.s); done || failed == "" {
		t.Errorf("nothing is reshared: %v, %q", done, failed)
	}
	secrets := [][]*bls.SecretShare{n.secrets(0), n.secrets(1)}
	handOver := func(epoch uint64) {
		n.m.SetNodes(keyOf)
		n.m.StartReshare(n.s, n.height, epoch, next)
		var parts [2][]*bls.Member
		for i := range parts {
			for node := range 5 {
				var old *bls.SecretShare
				if node < 4 {
					old = secrets[i][node]
				}
				key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(node + 1)}, 32))
				parts[i] = append(parts[i], bls.NewResharer([32]byte{9, byte(epoch), byte(i), byte(node)}, slices.Index(next, uint32(node)), old, key))
			}
		}
		for range 10 {
			var items [][]byte
			for i := range parts {
				for _, m := range parts[i] {
					if b := n.m.Board(i); b != nil {
						if it := m.Pending(b); it != nil {
							items = append(items, it)
						}
					}
				}
			}
			n.block(items, nil)
			n.reopen()
			n.m.SetNodes(keyOf)
		}
		if done, failed := n.m.ReshareStatus(n.s); !done || failed != "" {
			t.Fatalf("%v, %q: %+v", done, failed, n.m.Status())
		}
		for i := range parts {
			for node, m := range parts[i] {
				if slices.Index(next, uint32(node)) >= 0 {
					s, err := m.Share(n.m.Epochs(i).Prepared())
					if err != nil {
						t.Fatal(err)
					}
					n.drivers[node].SetShare(n.cfg.Keys[i], epoch, s)
				} else {
					n.drivers[node].SetShare(n.cfg.Keys[i], epoch, nil)
				}
			}
		}
	}
	n.m.StartReshare(n.s, n.height, 1, []uint32{0, 1, 2, 3})
	n.m.AbortReshare(n.s)
	n.reopen()
	n.mustSubmit(2, "key_a", "c", tk) // of the old epoch: nobody answers it before the new one
	handOver(1)
	n.m.ActivateReshare(n.s, n.height)
	n.reopen()
	for i, k := range n.m.Keys() {
		if k != before[i] {
			t.Errorf("key %s changed", k.Name)
		}
	}
	n.reconcile()
	if o := n.open(2); o.Epoch != 1 || !slices.Equal(o.Members, next) {
		t.Errorf("%+v", o)
	}
	for _, node := range []int{0, 4} {
		n.await(node, 1)
	}
	if again := n.decrypt(n.block(nil, n.await(4, 1))[0], "key_a", "c", tk); again != first {
		t.Error("the vetKey of another epoch is another")
	}
	if len(n.blamed) != 0 {
		t.Errorf("nodes were blamed: %v", n.blamed)
	}
}
