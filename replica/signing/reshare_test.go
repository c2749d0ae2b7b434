package signing

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"fusion/chainkey"
	"fusion/chainkey/frost"
	"fusion/chainkey/gg18"
	"fusion/chainkey/keystore"
	"fusion/chainkey/session"
	"fusion/replica/payload"
)

// newcomer makes a node known that is not in the configuration.
func (b *bench) newcomer() uint32 {
	_, keys := testConfig(len(b.nodes) + 1)
	node := uint32(len(b.nodes))
	b.nodes, b.nonces = append(b.nodes, keys[node]), append(b.nonces, 0)
	b.m.AddNode(b.s, node, keys[node].Public().(ed25519.PublicKey))
	return node
}

func (b *bench) key(id chainkey.KeyID) keyRecord {
	k, _ := load[keyRecord](b.s, keyPrefix+id.String())
	return k
}

// nextVote votes for a key's next epoch.
func (b *bench) nextVote(node uint32, id chainkey.KeyID, change func(*KeyVote)) payload.Item {
	k := b.key(id)
	return b.vote(int(node), id.String(), func(v *KeyVote) {
		v.Epoch, v.Attempt, v.Shares = k.Next.Epoch, k.Next.Attempt.Number, slices.Repeat([][]byte{{3}}, len(k.Next.Members))
		if change != nil {
			change(v)
		}
	})
}

func (b *bench) keyComplaint(node int, id chainkey.KeyID, epoch uint64, attempt uint32, accused ...uint32) payload.Item {
	v := Complaint{Key: id.String(), Epoch: epoch, Attempt: attempt, Node: uint32(node), Reason: session.Invalid, Accused: accused}
	v.Signature = b.m.cfg.sign(b.nodes[node], "complaint", v)
	return item(payload.Complaint, v)
}

// TestReshareToOtherMembers follows a change of members: node 4 comes, node 3 goes.
func TestReshareToOtherMembers(t *testing.T) {
	b := newBench(t, 4)
	b.ready()
	before := b.m.Keys(b.s)
	next := []uint32{0, 1, 2, 4}
	joiner := b.newcomer()
	if done, failed := b.m.ReshareStatus(b.s); done || failed == "" {
		t.Errorf("nothing is reshared: %v, %q", done, failed)
	}
	b.m.StartReshare(b.s, b.height, 1, next)
	b.end()
	if k := b.key(k1); k.Next.Status != KeyPending {
		t.Fatalf("resharing began without the newcomer: %+v", k.Next)
	}
	if sentence := b.m.Status(b.m.Snapshot(b.s, b.height)).Keys[0].Sentence; !strings.Contains(sentence, "signing since") || !strings.Contains(sentence, "waiting for nodes") {
		t.Errorf("%q", sentence)
	}
	b.apply(b.incarnation(int(joiner)))
	b.end()
	k := b.key(k1)
	if k.Next.Status != KeyGenerating || len(k.Next.Dealers) != 3 || slices.Contains(k.Next.Dealers, 3) || !slices.Equal(k.Next.Attempt.Committee, next) {
		t.Fatalf("%+v", k.Next)
	}
	if other := b.key(k2).Next; other.Status != KeyPending { // costly keys one after the other
		t.Fatalf("%+v", other)
	}
	// A request of the old epoch is being signed meanwhile.
	b.submit(1, k1)
	for range 4 {
		b.end()
	}
	if q := b.request(1); q.Status != RequestActive || slices.Contains(q.Current.Committee, joiner) {
		t.Fatalf("%+v", q)
	}
	b.apply(b.result(1))
	// What was said of a generation says nothing of a resharing, and votes are for one key, attempt and epoch.
	for what, it := range map[string]payload.Item{
		"a complaint of epoch 0":   b.keyComplaint(0, k1, 0, 0, 1),
		"of another attempt":       b.keyComplaint(0, k1, 1, 1, 1),
		"by one who is out":        b.keyComplaint(3, k1, 1, 0, 1),
		"a vote by one who leaves": b.nextVote(3, k1, nil),
		"for another public key":   b.nextVote(0, k1, func(v *KeyVote) { v.Public = bytes.Clone(v.Public); v.Public[5] ^= 1 }),
		"with too few shares":      b.nextVote(0, k1, func(v *KeyVote) { v.Shares = v.Shares[1:] }),
		"with a huge share":        b.nextVote(0, k1, func(v *KeyVote) { v.Shares = [][]byte{{1}, {1}, {1}, make([]byte, 100)} }),
		"for a later attempt":      b.nextVote(0, k1, func(v *KeyVote) { v.Attempt = 1 }),
		"for a key at rest":        b.nextVote(0, k2, nil),
	} {
		if err := b.m.Check(b.s, it); !errors.Is(err, ErrItem) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// A dealer is accused: the attempt ends, and the next one is without him.
	accused := k.Next.Dealers[0]
	b.apply(b.keyComplaint(int(joiner), k1, 1, 0, accused))
	if sentence := b.m.Status(b.m.Snapshot(b.s, b.height)).Keys[0].Sentence; !strings.Contains(sentence, fmt.Sprintf("node 4 accuses [%d]", accused)) {
		t.Errorf("%q", sentence)
	}
	for b.key(k1).Next.Status != KeyGenerating {
		b.end()
	}
	k = b.key(k1)
	if k.Next.Attempt.Number != 1 || slices.Contains(k.Next.Dealers, accused) {
		t.Fatalf("%+v", k.Next)
	}
	// Members who hold other shares end it too.
	b.apply(b.nextVote(0, k1, nil), b.nextVote(1, k1, func(v *KeyVote) { v.Shares = [][]byte{{3}, {3}, {3}, {4}} }))
	if n := b.key(k1).Next; n.Status != KeyPending || !strings.Contains(n.Attempt.Failure, "different keys") {
		t.Fatalf("%+v", n)
	}
	for _, id := range []chainkey.KeyID{k1, k2} {
		for b.key(id).Next.Status != KeyGenerating {
			b.end()
		}
		for _, node := range next {
			if done, _ := b.m.ReshareStatus(b.s); done {
				t.Fatal("done without all votes")
			}
			b.apply(b.nextVote(node, id, nil))
		}
		if n := b.key(id).Next; n.Status != KeyPrepared {
			t.Fatalf("%+v", n)
		}
		b.end()
	}
	if done, failed := b.m.ReshareStatus(b.s); !done || failed != "" {
		t.Fatalf("%v, %q", done, failed)
	}
	if b.key(k1).Epoch != 0 {
		t.Fatal("in force before its activation")
	}
	b.submit(2, k1)
	for b.request(2).Status != RequestActive {
		b.end()
	}
	b.m.ActivateReshare(b.s, b.height)
	if q := b.request(2); q.Status != RequestReady || len(q.Previous.Committee) != 0 {
		t.Errorf("a request that was being signed: %+v", q)
	}
	if err := b.m.Check(b.s, b.complaint(3, 2, 0, session.Silent, 0)); !errors.Is(err, ErrItem) {
		t.Errorf("a complaint of who has left: %v", err)
	}
	if err := b.m.Check(b.s, b.incarnation(3)); !errors.Is(err, ErrItem) {
		t.Errorf("an incarnation of who has left: %v", err)
	}
	b.end()
	q := b.request(2)
	if q.Status != RequestActive || slices.Contains(q.Current.Committee, 3) || q.Current.Number == 0 {
		t.Errorf("after the activation: %+v", q)
	}
	if out := b.apply(b.result(2)); len(out) != 1 || len(out[0].Signature) != 64 {
		t.Errorf("%+v", out)
	}
	k = b.key(k1)
	if k.Epoch != 1 || !slices.Equal(k.Members, next) || k.Next != nil || k.Previous == nil || k.Previous.Epoch != 0 {
		t.Errorf("%+v", k)
	}
	after := b.m.Keys(b.s)
	for i := range before {
		if !bytes.Equal(before[i].PublicKey, after[i].PublicKey) || before[i].ChainCode != after[i].ChainCode {
			t.Errorf("key %v changed", before[i].ID)
		}
	}
	if got := b.m.nodes(b.s); !slices.Equal(got, []int{0, 1, 2, 4}) {
		t.Errorf("nodes %v", got)
	}
	for b.key(k1).Previous != nil {
		b.end()
	}
	if b.height < k.Previous.Wipe || b.height > k.Previous.Wipe+2 {
		t.Errorf("old shares were forgotten at height %d, want %d", b.height, k.Previous.Wipe)
	}
}

// TestReshareComesToNothing: deadlines and restarts end attempts, the last one the resharing; giving it up leaves the key as it was, and a later one
// succeeds in another session.
func TestReshareComesToNothing(t *testing.T) {
	b := newBench(t, 4)
	b.m.cfg.ReshareAttempts = 3
	b.ready()
	b.m.StartReshare(b.s, b.height, 1, []uint32{0, 1, 2, 3})
	b.end()
	b.m.AbortReshare(b.s)
	first := b.key(k1)
	b.m.StartReshare(b.s, b.height, 1, []uint32{0, 1, 2, 3})
	b.end()
	if again := b.key(k1); first.Next != nil || again.Next.Attempt.Number != 0 {
		t.Fatalf("%+v, %+v", first.Next, again.Next)
	}
	one := b.m.handoverContext(k1.String(), ptr(b.key(k1))).ID()
	b.apply(b.incarnation(2))
	if n := b.key(k1).Next; n.Attempt.Failure != "node 2 restarted" || n.Attempt.Number != 1 {
		t.Fatalf("%+v", n)
	}
	var failed string
	for range 1000 {
		if _, failed = b.m.ReshareStatus(b.s); failed != "" {
			break
		}
		b.end()
	}
	if !strings.Contains(failed, "3 attempts") || !strings.Contains(failed, "nodes [0 1 2 3] did not finish") {
		t.Fatalf("%q", failed)
	}
	b.m.AbortReshare(b.s)
	if k := b.key(k1); k.Next != nil || k.Epoch != 0 || len(b.m.Keys(b.s)) != 2 {
		t.Fatalf("%+v", k)
	}
	b.m.StartReshare(b.s, b.height, 1, []uint32{0, 1, 2, 3})
	b.end()
	if k := b.key(k1); k.Next.Status != KeyGenerating || b.m.handoverContext(k1.String(), &k).ID() == one {
		t.Errorf("a second resharing is in the session of the first")
	}
}

func ptr[T any](v T) *T { return &v }

// TestReshareWaitsForParameters: on a public network new members say when they have them.
func TestReshareWaitsForParameters(t *testing.T) {
	b := newBench(t, 4)
	b.m.cfg.Local = false
	b.ready()
	b.m.StartReshare(b.s, b.height, 1, []uint32{0, 1, 2, 3})
	ready := func(v *KeyVote) { v.Public, v.Transcript, v.Shares = nil, nil, nil }
	for node := range uint32(4) {
		b.end()
		if n := b.key(k1).Next; n.Status != KeyPending {
			t.Fatalf("began with %d of 4 ready", node)
		}
		b.apply(b.nextVote(node, k1, ready))
		if err := b.m.Check(b.s, b.nextVote(node, k1, ready)); !errors.Is(err, ErrItem) {
			t.Errorf("ready twice: %v", err)
		}
	}
	b.end()
	if n := b.key(k1).Next; n.Status != KeyGenerating {
		t.Errorf("%+v", n)
	}
}

// TestNetworkReshares: keys of a network of four go to other members and then once more to the same ones, with requests open all the time. The
// keys stay, the old shares are wiped, and who has left holds nothing.
func TestNetworkReshares(t *testing.T) {
	t.Run("frost", func(t *testing.T) {
		keys := []chainkey.KeyID{{Algorithm: chainkey.Bip340Secp256k1, Name: "s"}, {Algorithm: chainkey.Ed25519, Name: "s"}}
		synctest.Test(t, func(t *testing.T) { reshares(t, keys, func(*Config) {}) })
	})
	t.Run("idkg", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { reshares(t, presignKeys, presigning(presignKeys...)) })
	})
}

func reshares(t *testing.T, keys []chainkey.KeyID, change func(*Config)) {
	net := newTestNet(t, 5, nil, func(c *Config) {
		change(c)
		c.Keys, c.Nodes, c.SigningDeadline, c.KeygenDeadline, c.Parallel, c.WipeBlocks = keys, c.Nodes[:4], 1<<20, 1<<20, 4, 20
	})
	net.startAll()
	net.until("keys", net.keysActive)
	before := net.m.Keys(net.s)
	ask := func() {
		for _, key := range keys {
			net.next++
			net.waiting = append(net.waiting, Request{ID: net.next, Key: key, Canister: []byte{7}, Message: chainkey.HashMessage([32]byte{byte(net.next)})})
		}
		net.block()
	}
	ask()
	net.m.AddNode(net.s, 4, net.keys[4].Public().(ed25519.PublicKey))
	for epoch, members := range [][]uint32{1: {0, 1, 2, 4}, 2: {0, 1, 2, 4}} {
		if members == nil {
			continue
		}
		net.m.StartReshare(net.s, net.height, uint64(epoch), members)
		ask()
		net.until("resharing", func() bool {
			done, failed := net.m.ReshareStatus(net.s)
			if failed != "" {
				t.Fatal(failed)
			}
			return done
		})
		ask()
		net.m.ActivateReshare(net.s, net.height)
		ask()
		net.answered()
		net.until("end of the old shares", func() bool {
			for node, store := range net.stores {
				list, err := store.Shares()
				if err != nil {
					t.Fatal(err)
				}
				want := len(keys)
				if !slices.Contains(members, uint32(node)) {
					want = 0
				}
				if len(list) != want {
					return false
				}
				for _, g := range list {
					if g.Epoch != uint64(epoch) {
						return false
					}
				}
			}
			return true
		})
		for i, k := range net.m.Keys(net.s) {
			if !bytes.Equal(k.PublicKey, before[i].PublicKey) {
				t.Errorf("epoch %d: key %v changed", epoch, k.ID)
			}
		}
	}
	ask()
	net.answered()
}

// TestSilentJoinerLeavesTheKeyWorking: a newcomer that says nothing in the ceremony is named, the resharing comes to nothing, and the old shares sign.
func TestSilentJoinerLeavesTheKeyWorking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := chainkey.KeyID{Algorithm: chainkey.Ed25519, Name: "s"}
		net := newTestNet(t, 5, nil, func(c *Config) {
			c.Keys, c.Nodes, c.SigningDeadline, c.KeygenDeadline, c.ReshareAttempts = []chainkey.KeyID{key}, c.Nodes[:4], 1<<20, 100, 1
		})
		net.startAll()
		net.until("keys", net.keysActive)
		net.lose = func(from, _ int, msg []byte) bool { return from == 4 && msg[0] == frameSession }
		net.m.AddNode(net.s, 4, net.keys[4].Public().(ed25519.PublicKey))
		net.m.StartReshare(net.s, net.height, 1, []uint32{0, 1, 2, 4})
		failed := ""
		net.until("failure", func() bool { _, failed = net.m.ReshareStatus(net.s); return failed != "" })
		if !strings.Contains(failed, "accuses [4]: silent") {
			t.Errorf("%q", failed)
		}
		net.m.AbortReshare(net.s)
		net.next++
		net.waiting = append(net.waiting, Request{ID: net.next, Key: key, Canister: []byte{7}, Message: chainkey.Message{Bytes: []byte("m")}})
		net.block()
		net.answered()
		net.until("wiped leftovers", func() bool {
			for node, store := range net.stores {
				list, err := store.Shares()
				if err != nil {
					t.Fatal(err)
				}
				if want := min(1, 4-node); len(list) != want {
					return false
				}
			}
			return true
		})
	})
}

// TestParametersWaitForCeremonies: the search for secret parameters stands still while a step of a ceremony computes, and ends with its context.
func TestParametersWaitForCeremonies(t *testing.T) {
	d := &Driver{cores: make(chan struct{}, 2)}
	d.idle(t.Context()) // nothing computes
	d.cores <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	var candidates atomic.Int32
	ended := make(chan error, 1)
	go func() {
		_, err := gg18.NewParams(ctx, 1, func(ctx context.Context) {
			candidates.Add(1)
			d.idle(ctx)
		}, nil)
		ended <- err
	}()
	for candidates.Load() == 0 {
		runtime.Gosched()
	}
	select {
	case err := <-ended:
		t.Fatalf("it did not wait: %v", err)
	default:
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if n := candidates.Load(); n > 16 {
		t.Errorf("%d candidates were tried while a ceremony computed", n)
	}
}

// lyingDealer is FROST with a node that deals wrong shares.
type lyingDealer struct {
	frost.Scheme
	seat int
}

func (l lyingDealer) Reshare(r chainkey.Reshare) (chainkey.Generation, error) {
	g, err := l.Scheme.Reshare(r)
	if err == nil && r.Parts[r.Seat].Old == l.seat {
		g = spoilt{g}
	}
	return g, err
}

type spoilt struct{ chainkey.Generation }

func (s spoilt) Start() (chainkey.Output, error) {
	out, err := s.Generation.Start()
	for _, b := range out.Private {
		if len(b) > 0 {
			b[7] ^= 1
		}
	}
	return out, err
}

// TestLyingDealerIsReplaced: a dealer of wrong shares is named, the next attempt has other dealers, and the new shares sign. Meanwhile a member
// crashes after it has stored its share and votes when it is back.
func TestLyingDealerIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := chainkey.KeyID{Algorithm: chainkey.Ed25519, Name: "s"}
		seed := sha256.Sum256([]byte(key.String()))
		liar := chooseCommittee(3, 1, seed[:], 1, 0, []int{0, 1, 2, 3}, func(int) uint32 { return 0 }, func(int, int) bool { return false })[0] // a first dealer
		net := newTestNet(t, 4, lyingDealer{seat: liar}, func(c *Config) {
			c.Keys, c.SigningDeadline, c.KeygenDeadline = []chainkey.KeyID{key}, 1<<20, 1<<20
		})
		net.startAll()
		net.until("key", net.keysActive)
		record := func() keyRecord {
			k, _ := load[keyRecord](net.s, keyPrefix+key.String())
			return k
		}
		crasher := (liar + 1) % 4
		back := false
		net.veto = func(it payload.Item) bool {
			v, err := decodeItem[KeyVote](it.Body)
			return it.Kind == payload.KeyVote && err == nil && int(v.Node) == crasher && v.Epoch == 1 && !back
		}
		net.m.StartReshare(net.s, net.height, 1, []uint32{0, 1, 2, 3})
		net.until("accusation", func() bool { return record().Next.Attempt.Number == 1 })
		if why := record().Next.Attempt.Failure; !strings.Contains(why, fmt.Sprintf("accuses [%d]: invalid message", liar)) {
			t.Errorf("%q", why)
		}
		net.until("other votes", func() bool {
			votes := 0
			if n := record().Next; n.Attempt.Number == 1 && !slices.Contains(n.Dealers, uint32(liar)) {
				for _, v := range n.Votes {
					if len(v.Public) > 0 {
						votes++
					}
				}
			}
			list, err := net.stores[crasher].Shares()
			return votes == 3 && err == nil && slices.ContainsFunc(list, func(g keystore.Generation) bool { return g.Epoch == 1 && g.Attempt == 1 })
		})
		net.stop(crasher)
		for node, d := range net.drivers { // nobody kept its gossip
			if node != crasher {
				d.mu.Lock()
				d.others = nil
				d.mu.Unlock()
			}
		}
		back = true
		net.start(crasher)
		net.until("resharing", func() bool { done, _ := net.m.ReshareStatus(net.s); return done })
		if n := record().Next; n.Attempt.Number != 1 {
			t.Errorf("the crash cost an attempt: %+v", n.Attempt)
		}
		net.m.ActivateReshare(net.s, net.height)
		net.next++
		net.waiting = append(net.waiting, Request{ID: net.next, Key: key, Canister: []byte{7}, Message: chainkey.Message{Bytes: []byte("m")}})
		net.block()
		net.answered()
	})
}

// TestRealResharing gives the members of the golden key new shares, with gg18, while a request is open, and signs with them. It takes a minute of CPU
// time and belongs to the tests against the real things.
func TestRealResharing(t *testing.T) {
	if os.Getenv("FUSION_E2E") == "" {
		t.Skip("a resharing takes a minute of CPU time; set FUSION_E2E=1, as make e2e does")
	}
	synctest.Test(t, func(t *testing.T) {
		net := golden(t, func(c *Config) { c.KeygenDeadline, c.SigningDeadline, c.WipeBlocks = 1<<20, 1<<20, 10 })
		before := net.m.Keys(net.s)[0]
		net.m.StartReshare(net.s, net.height, 1, []uint32{0, 1, 2, 3})
		net.ask(1)
		net.until("resharing", func() bool {
			done, failed := net.m.ReshareStatus(net.s)
			if failed != "" {
				t.Fatal(failed)
			}
			return done
		})
		net.m.ActivateReshare(net.s, net.height)
		net.ask(1)
		net.answered()
		if after := net.m.Keys(net.s)[0]; !bytes.Equal(after.PublicKey, before.PublicKey) || after.ChainCode != before.ChainCode {
			t.Errorf("%+v, was %+v", after, before)
		}
		net.until("end of the old shares", func() bool {
			for _, store := range net.stores {
				if list, err := store.Shares(); err != nil || len(list) != 1 || list[0].Epoch != 1 {
					return false
				}
			}
			return true
		})
	})
}
