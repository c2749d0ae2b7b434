package signing

import (
	"bytes"
	"crypto/ed25519"
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	secp "github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"fusion/chainkey"
	"fusion/chainkey/derive"
	"fusion/chainkey/session"
	"fusion/internal/codec"
	"fusion/internal/kv"
	"fusion/replica/payload"
)

// bench is a machine with node keys and a master key that the test knows.
type bench struct {
	t      testing.TB
	m      *Machine
	s      *kv.Mem
	height uint64
	nodes  []ed25519.PrivateKey
	master *secp.PrivateKey
	nonces []byte // of each node's newest incarnation: its first byte
}

var (
	k1 = chainkey.KeyID{Algorithm: chainkey.EcdsaSecp256k1, Name: "k1"}
	k2 = chainkey.KeyID{Algorithm: chainkey.EcdsaSecp256k1, Name: "k2"}
)

func testConfig(n int) (Config, []ed25519.PrivateKey) {
	cfg := Config{Genesis: [32]byte{7}, Life: [32]byte{7}, Keys: []chainkey.KeyID{k1, k2}, Local: true, SigningDeadline: 10, KeygenDeadline: 20, Parallel: 2}
	var keys []ed25519.PrivateKey
	for i := range n {
		seed := sha256.Sum256(fmt.Appendf(nil, "node %d", i))
		keys = append(keys, ed25519.NewKeyFromSeed(seed[:]))
		cfg.Nodes = append(cfg.Nodes, keys[i].Public().(ed25519.PublicKey))
	}
	return cfg, keys
}

func newBench(t testing.TB, n int) *bench {
	t.Helper()
	cfg, keys := testConfig(n)
	m, err := NewMachine(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{t: t, m: m, s: kv.NewMem(), height: 1, nodes: keys, master: secp.PrivKeyFromBytes([]byte("the master key of all the tests")), nonces: make([]byte, n)}
}

func (b *bench) incarnation(node int) payload.Item {
	b.nonces[node]++
	v := Incarnation{Node: uint32(node), Number: b.m.node(b.s, node).Number + 1, Nonce: bytes.Repeat([]byte{b.nonces[node]}, 16)}
	v.Signature = b.m.cfg.sign(b.nodes[node], "incarnation", v)
	return item(payload.Incarnation, v)
}

func (b *bench) vote(node int, key string, change func(*KeyVote)) payload.Item {
	k, _ := load[keyRecord](b.s, keyPrefix+key)
	v := KeyVote{Key: key, Epoch: k.Epoch, Attempt: k.Attempt.Number, Node: uint32(node), Public: b.master.PubKey().SerializeCompressed(), Transcript: make([]byte, 32),
		Shares: slices.Repeat([][]byte{{2}}, len(b.nodes))}
	if change != nil {
		change(&v)
	}
	v.Signature = nil
	v.Signature = b.m.cfg.sign(b.nodes[node], "key vote", v)
	return item(payload.KeyVote, v)
}

func (b *bench) complaint(node int, id uint64, attempt uint32, reason session.Reason, accused ...uint32) payload.Item {
	v := Complaint{Request: id, Attempt: attempt, Node: uint32(node), Reason: reason, Accused: accused}
	v.Signature = b.m.cfg.sign(b.nodes[node], "complaint", v)
	return item(payload.Complaint, v)
}

// result signs as the committee would.
func (b *bench) result(id uint64) payload.Item {
	q, ok := load[requestRecord](b.s, requestKey(id))
	if !ok {
		b.t.Fatalf("request %d is not open", id)
	}
	key, _, _ := b.m.cfg.schemeOf(q.Key)
	k, _ := b.m.key(b.s, key)
	child, err := derive.Secp256k1([33]byte(k.PublicKey), k.ChainCode, derive.Path(q.Canister, q.Path...))
	if err != nil {
		b.t.Fatal(err)
	}
	message, _ := load[chainkey.Message](b.s, messageKey(id))
	var tweak secp.ModNScalar
	tweak.SetBytes(&child.Tweak)
	sig := ecdsa.Sign(secp.NewPrivateKey(tweak.Add(&b.master.Key)), message.Bytes)
	r, s := sig.R(), sig.S()
	rb, sb := r.Bytes(), s.Bytes()
	return item(payload.Signature, Result{Request: id, Signature: append(rb[:], sb[:]...)})
}

func (b *bench) apply(items ...payload.Item) []Response {
	b.t.Helper()
	var out []Response
	for _, it := range items {
		if err := b.m.Check(b.s, it); err != nil {
			b.t.Fatalf("height %d: %v", b.height, err)
		}
		out = append(out, b.m.Apply(b.s, b.height, it)...)
	}
	return out
}

func testBeacon(h uint64) [32]byte { return sha256.Sum256(binary.BigEndian.AppendUint64(nil, h)) }

// end ends the block; the beacon of a height is known two blocks later.
func (b *bench) end() []Response {
	out := b.m.Advance(b.s, b.height, func(h uint64) ([32]byte, bool) { return testBeacon(h), h+2 <= b.height })
	b.height++
	return out
}

// ready brings both keys up.
func (b *bench) ready() {
	b.t.Helper()
	for node := range b.nodes {
		b.apply(b.incarnation(node))
	}
	b.end()
	for _, key := range b.m.cfg.Keys {
		for node := range b.nodes {
			b.apply(b.vote(node, key.String(), nil))
		}
		b.end()
	}
	if keys := b.m.Keys(b.s); len(keys) != 2 || !bytes.Equal(keys[0].PublicKey, keys[1].PublicKey) || keys[0].ChainCode == keys[1].ChainCode {
		b.t.Fatalf("keys: %+v", keys)
	}
}

func (b *bench) submit(id uint64, key chainkey.KeyID) {
	b.t.Helper()
	b.submitBy(id, key, []byte{1, byte(id % 2)}) // two canisters may fill a queue
}

func (b *bench) submitBy(id uint64, key chainkey.KeyID, canister []byte) {
	b.t.Helper()
	if err := b.m.Submit(b.s, Request{ID: id, Key: key, Canister: canister, Path: [][]byte{{3}}, Message: chainkey.HashMessage(sha256.Sum256([]byte{byte(id)})), Height: b.height}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) request(id uint64) requestRecord {
	b.t.Helper()
	q, ok := load[requestRecord](b.s, requestKey(id))
	if !ok {
		b.t.Fatalf("request %d is not open", id)
	}
	return q
}

func TestKeyBecomesActiveOnlyUnanimously(t *testing.T) {
	b := newBench(t, 4)
	b.m.cfg.Keys = []chainkey.KeyID{k1}
	for node := range 3 {
		b.apply(b.incarnation(node))
	}
	b.end()
	if st := b.m.Status(b.m.Snapshot(b.s, b.height)); !strings.Contains(st.Keys[0].Sentence, "nodes [3] to start") {
		t.Errorf("%q", st.Keys[0].Sentence)
	}
	if err := b.m.Check(b.s, b.vote(0, k1.String(), nil)); !errors.Is(err, ErrItem) {
		t.Errorf("a vote before the generation: %v", err)
	}
	b.apply(b.incarnation(3))
	b.end()
	for node := range 3 {
		b.apply(b.vote(node, k1.String(), nil))
		b.end()
	}
	if len(b.m.Keys(b.s)) != 0 {
		t.Fatal("active with three of four votes")
	}
	if st := b.m.Status(b.m.Snapshot(b.s, b.height)); !strings.Contains(st.Keys[0].Sentence, "nodes [3] have not confirmed") {
		t.Errorf("%q", st.Keys[0].Sentence)
	}
	if err := b.m.Check(b.s, b.vote(1, k1.String(), nil)); !errors.Is(err, ErrItem) {
		t.Errorf("a second vote: %v", err)
	}
	// The fourth holds another transcript: the attempt is over, its votes count no more, and after a pause comes the next.
	old := b.vote(3, k1.String(), nil)
	b.apply(b.vote(3, k1.String(), func(v *KeyVote) { v.Transcript[0] = 1 }))
	if err := b.m.Check(b.s, old); !errors.Is(err, ErrItem) {
		t.Errorf("a vote for an abandoned attempt: %v", err)
	}
	for range 3 {
		b.end()
	}
	k, _ := load[keyRecord](b.s, keyPrefix+k1.String())
	if k.Status != KeyGenerating || k.Attempt.Number != 1 {
		t.Fatalf("after a mismatch: %+v", k)
	}
	// Nobody votes: the deadline ends the attempt, and the next may take twice as long.
	first := k.Attempt.Deadline - k.Attempt.Started
	for b.height < k.Attempt.Deadline+4 {
		b.end()
	}
	if k, _ = load[keyRecord](b.s, keyPrefix+k1.String()); k.Attempt.Number != 2 || k.Attempt.Deadline-k.Attempt.Started != 2*first {
		t.Fatalf("after the deadline: %+v", k.Attempt)
	}
	// A restart before any vote abandons the attempt as well; one after it does not.
	b.apply(b.incarnation(2))
	for range 6 {
		b.end()
	}
	if k, _ = load[keyRecord](b.s, keyPrefix+k1.String()); k.Attempt.Number != 3 || k.Status != KeyGenerating {
		t.Fatalf("after a restart: %+v", k)
	}
	b.apply(b.vote(0, k1.String(), nil), b.incarnation(1), b.vote(1, k1.String(), nil), b.vote(2, k1.String(), nil), b.vote(3, k1.String(), nil))
	if keys := b.m.Keys(b.s); len(keys) != 1 || keys[0].ID != k1 {
		t.Fatalf("keys: %+v", keys)
	}
}

func TestRequestLifeCycle(t *testing.T) {
	b := newBench(t, 4)
	if err := b.m.Submit(b.s, Request{ID: 1, Key: k1}); !errors.Is(err, ErrKeyNotReady) {
		t.Errorf("before the key: %v", err)
	}
	b.ready()
	if b.m.Busy(b.s) {
		t.Error("busy without work")
	}
	b.submit(1, k1)
	ordered := b.height
	for name, r := range map[string]Request{
		"unknown key":  {ID: 9, Key: chainkey.KeyID{Algorithm: chainkey.EcdsaSecp256k1, Name: "k9"}},
		"same id":      {ID: 1, Key: k1},
		"long path":    {ID: 9, Key: k1, Path: make([][]byte, 256)},
		"path too big": {ID: 9, Key: k1, Path: [][]byte{make([]byte, maxPathBytes+1)}},
	} {
		if err := b.m.Submit(b.s, r); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	b.end()
	if q := b.request(1); q.Status != RequestWaiting {
		t.Fatalf("a committee before the beacon: %+v", q)
	}
	if need := b.m.NeedBeacon(b.s); !slices.Equal(need, []uint64{ordered + 1}) || !b.m.Busy(b.s) {
		t.Fatalf("needs the beacons of %v", need)
	}
	for range 3 {
		b.end()
	}
	q := b.request(1)
	if q.Status != RequestActive || len(q.Current.Committee) != 3 || !slices.IsSorted(q.Current.Committee) || q.Current.Deadline != q.Current.Started+10 {
		t.Fatalf("%+v", q)
	}
	if need := b.m.NeedBeacon(b.s); len(need) != 0 {
		t.Errorf("still needs %v", need)
	}
	good := b.result(1)
	for i := range good.Body {
		bad := payload.Item{Kind: good.Kind, Body: bytes.Clone(good.Body)}
		bad.Body[i] ^= 1
		if err := b.m.Check(b.s, bad); !errors.Is(err, ErrItem) {
			t.Fatalf("a result with byte %d flipped: %v", i, err)
		}
		if out := b.m.Apply(b.s, b.height, bad); out != nil {
			t.Fatal("a bad result was applied")
		}
	}
	// The upper half of the order: the same signature in another form.
	v, err := decodeItem[Result](good.Body)
	if err != nil {
		t.Fatal(err)
	}
	var s secp.ModNScalar
	s.SetByteSlice(v.Signature[32:])
	high := s.Negate().Bytes()
	if err := b.m.Check(b.s, item(payload.Signature, Result{Request: 1, Signature: append(bytes.Clone(v.Signature[:32]), high[:]...)})); !errors.Is(err, ErrItem) {
		t.Errorf("a high s: %v", err)
	}
	out := b.apply(good)
	if len(out) != 1 || out[0].ID != 1 || len(out[0].Signature) != 64 {
		t.Fatalf("%+v", out)
	}
	if out := b.m.Apply(b.s, b.height, good); out != nil {
		t.Error("a second result was answered")
	}
	if err := b.m.Check(b.s, good); !errors.Is(err, ErrItem) {
		t.Errorf("a second result: %v", err)
	}
}

func TestQueueLimitAndFairness(t *testing.T) {
	b := newBench(t, 4)
	b.ready()
	for id := range uint64(20) {
		b.submit(id, k1)
	}
	if err := b.m.Submit(b.s, Request{ID: 99, Key: k1, Message: chainkey.HashMessage([32]byte{})}); !errors.Is(err, ErrQueueFull) {
		t.Errorf("the 21st: %v", err)
	}
	b.submit(100, k2)
	for range 4 {
		b.end()
	}
	// Two slots: the oldest of the crowded key, and the only one of the other.
	if b.request(0).Status != RequestActive || b.request(100).Status != RequestActive || b.request(1).Status != RequestReady {
		t.Errorf("%v %v %v", b.request(0).Status, b.request(100).Status, b.request(1).Status)
	}
}

func TestDeadlineThenComplaintThenExpiry(t *testing.T) {
	b := newBench(t, 4)
	b.ready()
	b.submit(1, k1)
	for range 4 {
		b.end()
	}
	first := b.request(1).Current
	for b.request(1).Current.Number == 0 {
		b.end()
	}
	q := b.request(1)
	if q.Current.Started != first.Deadline || q.Current.Deadline != first.Deadline+20 || slices.Equal(q.Current.Committee, first.Committee) {
		t.Fatalf("first %+v, then %+v", first, q.Current)
	}
	// A complaint ends the attempt at once; accuser and accused do not meet again while it counts.
	c := q.Current.Committee
	accuser, accused := c[0], c[1]
	if err := b.m.Check(b.s, b.complaint(int(accuser), 1, 5, session.Silent, accused)); !errors.Is(err, ErrItem) {
		t.Errorf("about another attempt: %v", err)
	}
	outsider := uint32(0)
	for slices.Contains(c, outsider) {
		outsider++
	}
	for name, it := range map[string]payload.Item{
		"by an outsider":    b.complaint(int(outsider), 1, 1, session.Silent, accused),
		"about an outsider": b.complaint(int(accuser), 1, 1, session.Silent, outsider),
		"about itself":      b.complaint(int(accuser), 1, 1, session.Silent, accuser),
		"twice the same":    b.complaint(int(accuser), 1, 1, session.Silent, accused, accused),
		"without reason":    b.complaint(int(accuser), 1, 1, 0, accused),
		"without evidence":  b.complaint(int(accuser), 1, 1, session.Equivocation, accused),
		"cloned":            b.complaint(int(accuser), 1, 1, session.Cloned, accused),
	} {
		if err := b.m.Check(b.s, it); !errors.Is(err, ErrItem) {
			t.Errorf("%s: %v", name, err)
		}
	}
	forged := b.complaint(int(accuser), 1, 1, session.Silent, accused)
	v, _ := decodeItem[Complaint](forged.Body)
	v.Node = accused
	if err := b.m.Check(b.s, item(payload.Complaint, v)); !errors.Is(err, ErrItem) {
		t.Errorf("forged: %v", err)
	}
	b.apply(b.complaint(int(accuser), 1, 1, session.Invalid, accused))
	b.end()
	q = b.request(1)
	if q.Current.Number != 2 || slices.Contains(q.Current.Committee, accuser) && slices.Contains(q.Current.Committee, accused) {
		t.Fatalf("after the complaint: %+v", q.Current)
	}
	// Another member's complaint about the same attempt still counts, once.
	late := b.complaint(int(c[2]), 1, 1, session.Silent, accused)
	b.apply(late)
	if err := b.m.Check(b.s, late); !errors.Is(err, ErrItem) {
		t.Errorf("the same complaint again: %v", err)
	}
	st := b.m.Status(b.m.Snapshot(b.s, b.height))
	if !strings.Contains(st.Nodes[accused].Sentence, "left out") || !strings.Contains(st.Requests[0].Sentence, "accuses") {
		t.Errorf("%q, %q", st.Nodes[accused].Sentence, st.Requests[0].Sentence)
	}
	if b.request(1).Current.Number != 2 {
		t.Error("a late complaint ended another attempt")
	}
	// Nobody ever signs.
	var out []Response
	for len(out) == 0 && b.height < 5000 {
		out = b.end()
	}
	if len(out) != 1 || out[0].ID != 1 || out[0].RejectCode != 2 || !strings.Contains(out[0].RejectMessage, "expired") {
		t.Fatalf("%+v", out)
	}
	if b.m.Busy(b.s) {
		t.Error("busy after the reject")
	}
}

func TestDisputesExpire(t *testing.T) {
	b := newBench(t, 4)
	b.ready()
	b.submit(1, k1)
	for range 4 {
		b.end()
	}
	c := b.request(1).Current.Committee
	b.apply(b.complaint(int(c[0]), 1, 0, session.Silent, c[1]))
	b.apply(b.result(1))
	if !b.m.disputed(b.s, b.height, int(c[0]), int(c[1])) || b.m.suspicion(b.s, b.height, int(c[1])) != 1 {
		t.Fatal("the complaint left no trace")
	}
	b.height += b.m.cfg.DisputeBlocks
	b.end()
	edges := 0
	kv.ScanPrefix(b.s, []byte(edgePrefix), func(_, _ []byte) bool { edges++; return true })
	if edges != 0 || b.m.suspicion(b.s, b.height, int(c[1])) != 0 {
		t.Error("the dispute lasts for ever")
	}
}

func TestEquivocationExcludes(t *testing.T) {
	b := newBench(t, 7)
	b.ready()
	b.submit(1, k1)
	for range 4 {
		b.end()
	}
	q := b.request(1)
	k, _ := load[keyRecord](b.s, keyPrefix+k1.String())
	id := b.m.context(1, &q, &q.Current, k.Epoch).ID()
	culprit, witness := q.Current.Committee[1], q.Current.Committee[0]
	evidence := equivocate(b, id, q.Current.Committee, 1)
	v := Complaint{Request: 1, Node: witness, Reason: session.Equivocation, Accused: []uint32{culprit}, Evidence: evidence}
	v.Signature = b.m.cfg.sign(b.nodes[witness], "complaint", v)
	b.apply(item(payload.Complaint, v))
	for other := range 7 {
		if other != int(culprit) && !b.m.disputed(b.s, b.height, int(culprit), other) {
			t.Errorf("node %d may still sit with the culprit", other)
		}
	}
	for range 5 {
		b.end()
		if q := b.request(1); slices.Contains(q.Current.Committee, culprit) {
			t.Errorf("committee %v", q.Current.Committee)
		}
		b.height = b.request(1).Current.Deadline
	}
}

// mute is a protocol that never gets to speak.
type mute struct{}

func (mute) Rounds() int                                            { return 1 }
func (mute) Limits(int) chainkey.Limits                             { return chainkey.Limits{} }
func (mute) Start() (chainkey.Output, error)                        { return chainkey.Output{}, nil }
func (mute) Deliver(int, []chainkey.Input) (chainkey.Output, error) { return chainkey.Output{}, nil }
func (mute) Wipe()                                                  {}

// equivocate lets a seat open a session twice, with different ephemeral keys, and another seat see both.
func equivocate(b *bench, id session.ID, committee []uint32, seat int) []byte {
	b.t.Helper()
	open := func(seat int) *session.Session {
		var keys []ed25519.PublicKey
		for _, node := range committee {
			keys = append(keys, b.m.cfg.Nodes[node])
		}
		s, err := session.New(session.Config{ID: id, Seat: seat, Keys: keys, Rand: crand.Reader, Protocol: mute{},
			Sign: func(m []byte) []byte { return ed25519.Sign(b.nodes[committee[seat]], m) }})
		if err != nil {
			b.t.Fatal(err)
		}
		return s
	}
	witness := open(0)
	witness.Start()
	for range 2 {
		for _, m := range open(seat).Start().Send {
			if m.To != 0 {
				continue
			}
			fx, err := witness.Deliver(seat, m.Data)
			if err != nil {
				b.t.Fatal(err)
			}
			if fx.Fault != nil {
				return fx.Fault.Evidence
			}
		}
	}
	b.t.Fatal("two words of one seat passed")
	return nil
}

func TestRestartEndsAttempt(t *testing.T) {
	b := newBench(t, 4)
	b.ready()
	b.submit(1, k1)
	for range 4 {
		b.end()
	}
	before := b.request(1).Current
	node := int(before.Committee[1])
	stale := b.incarnation(node)
	b.apply(b.incarnation(node))
	if err := b.m.Check(b.s, stale); !errors.Is(err, ErrItem) {
		t.Errorf("an old announcement: %v", err)
	}
	b.end()
	after := b.request(1).Current
	if after.Number != 1 || slices.Contains(after.Committee, uint32(node)) {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

// TestAgainstModel runs random operations on the machine and on a naive model of what users may rely on.
func TestAgainstModel(t *testing.T) {
	for seed := range uint64(4) {
		n := []int{1, 4, 7, 13}[seed%4]
		rng := rand.New(rand.NewPCG(seed, 2))
		b := newBench(t, n)
		b.ready()
		open := map[uint64]chainkey.KeyID{} // the model: id → key
		answered := map[uint64]bool{}
		settle := func(out []Response) {
			for _, r := range out {
				if _, was := open[r.ID]; !was || answered[r.ID] {
					t.Fatalf("seed %d: request %d answered twice or never made", seed, r.ID)
				}
				answered[r.ID] = true
				delete(open, r.ID)
			}
		}
		for id := uint64(1); b.height < 200; {
			for range rng.IntN(4) {
				key := []chainkey.KeyID{k1, k2}[rng.IntN(2)]
				crowd := 0
				for _, k := range open {
					if k == key {
						crowd++
					}
				}
				err := b.m.Submit(b.s, Request{ID: id, Key: key, Canister: binary.BigEndian.AppendUint64(nil, id), Message: chainkey.HashMessage(sha256.Sum256([]byte{byte(id)})), Height: b.height})
				if full := crowd >= 20; full != errors.Is(err, ErrQueueFull) || !full && err != nil {
					t.Fatalf("seed %d: %d open, error %v", seed, crowd, err)
				} else if !full {
					open[id] = key
				}
				id++
			}
			for _, q := range slices.Sorted(maps.Keys(open)) {
				rec := b.request(q)
				if rec.Status != RequestActive {
					continue
				}
				switch members := rec.Current.Committee; rng.IntN(8) {
				case 0:
					settle(b.apply(b.result(q)))
				case 1:
					accuser := members[rng.IntN(len(members))]
					var accused []uint32
					if other := members[rng.IntN(len(members))]; other != accuser {
						accused = append(accused, other)
					}
					b.apply(b.complaint(int(accuser), q, rec.Current.Number, session.Invalid, accused...))
				case 2:
					if rng.IntN(10) == 0 {
						b.apply(b.incarnation(int(members[0])))
					}
				}
			}
			before := b.s.Clone()
			out := b.end()
			again := b.m.Advance(before, b.height-1, func(h uint64) ([32]byte, bool) { return testBeacon(h), h+2 <= b.height-1 })
			if fmt.Sprint(out) != fmt.Sprint(again) || dump(before) != dump(b.s) {
				t.Fatalf("seed %d: two executions of height %d differ", seed, b.height-1)
			}
			settle(out)
			ids, all := requests(b.s)
			if len(ids) != len(open) {
				t.Fatalf("seed %d: %d requests open, the model has %d", seed, len(ids), len(open))
			}
			active := 0
			for _, q := range all {
				if q.Status == RequestActive {
					active++
					if c := q.Current.Committee; len(c) != quorum(len(b.nodes)) || !slices.IsSorted(c) || len(slices.Compact(slices.Clone(c))) != len(c) {
						t.Fatalf("seed %d: committee %v", seed, c)
					}
					if b.height > q.Current.Deadline {
						t.Fatalf("seed %d: an attempt outlives its deadline", seed)
					}
				}
			}
			if active > b.m.cfg.Parallel {
				t.Fatalf("seed %d: %d attempts at once", seed, active)
			}
			if len(b.m.Status(b.m.Snapshot(b.s, b.height)).Requests) != len(open) {
				t.Fatal("the status hides requests")
			}
		}
		for len(open) > 0 && b.height < 1<<20 { // time alone ends everything
			settle(b.end())
		}
		if len(open) != 0 {
			t.Errorf("seed %d: %d requests hang for ever", seed, len(open))
		}
	}
}

func dump(s *kv.Mem) string {
	var b strings.Builder
	s.Scan(nil, nil, func(k, v []byte) bool { fmt.Fprintf(&b, "%x=%x\n", k, v); return true })
	return b.String()
}

// TestCommittees compares the choice with an exhaustive one on random dispute graphs.
func TestCommittees(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for round := range 500 {
		n := []int{4, 7, 10}[rng.IntN(3)]
		f := (n - 1) / 3
		size := 2*f + 1
		edges := map[[2]int]bool{}
		for range rng.IntN(2 * n) {
			a, b := rng.IntN(n), rng.IntN(n)
			if a != b {
				edges[[2]int{min(a, b), max(a, b)}] = true
			}
		}
		disputed := func(a, b int) bool { return edges[[2]int{min(a, b), max(a, b)}] }
		degree := func(a int) (d int) {
			for b := range n {
				if a != b && disputed(a, b) {
					d++
				}
			}
			return d
		}
		suspicion := make([]uint32, n)
		for i := range suspicion {
			suspicion[i] = rng.Uint32N(2)
		}
		var all []int
		for i := range n {
			all = append(all, i)
		}
		choose := func(attempt uint32) []int {
			return chooseCommittee(size, f, []byte{byte(round)}, 1, attempt, all, func(i int) uint32 { return suspicion[i] }, disputed)
		}
		got := choose(0)
		if len(got) != size || !slices.Equal(got, choose(0)) {
			t.Fatalf("committee %v, again %v", got, choose(0))
		}
		clean := func(c []int) bool {
			for i, a := range c {
				if degree(a) > f {
					return false
				}
				for _, b := range c[:i] {
					if disputed(a, b) {
						return false
					}
				}
			}
			return true
		}
		exists := false
		for mask := range 1 << n {
			var c []int
			for i := range n {
				if mask>>i&1 == 1 {
					c = append(c, i)
				}
			}
			exists = exists || len(c) == size && clean(c)
		}
		if exists && !clean(got) {
			t.Fatalf("n %d, disputes %v: committee %v although a clean one exists", n, edges, got)
		}
	}
	if chooseCommittee(3, 1, nil, 0, 0, []int{0, 1}, nil, nil) != nil {
		t.Error("a committee of three out of two")
	}
}

func TestCommitteesAreSpread(t *testing.T) {
	counts := make([]int, 4)
	var all = []int{0, 1, 2, 3}
	for i := range 400 {
		seed := sha256.Sum256([]byte{byte(i), byte(i >> 8)})
		for _, node := range chooseCommittee(3, 1, seed[:], 7, 0, all, func(int) uint32 { return 0 }, func(int, int) bool { return false }) {
			counts[node]++
		}
	}
	for node, c := range counts {
		if c < 250 || c > 350 { // 300 expected, 8.7 is the standard deviation
			t.Errorf("node %d sits in %d of 400 committees", node, c)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	cfg, _ := testConfig(4)
	for name, change := range map[string]func(*Config){
		"two nodes": func(c *Config) { c.Nodes = c.Nodes[:2] },
		"short key": func(c *Config) { c.Nodes = slices.Clone(c.Nodes); c.Nodes[0] = c.Nodes[0][:5] },
		"no name":   func(c *Config) { c.Keys = []chainkey.KeyID{{Algorithm: chainkey.Ed25519}} },
	} {
		c := cfg
		change(&c)
		if _, err := NewMachine(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzCheck(f *testing.F) {
	b := newBench(f, 4)
	f.Add(uint8(payload.Incarnation), b.incarnation(0).Body)
	b.ready()
	b.submit(1, k1)
	for range 4 {
		b.end()
	}
	c := b.request(1).Current.Committee
	f.Add(uint8(payload.Incarnation), b.incarnation(0).Body)
	f.Add(uint8(payload.Complaint), b.complaint(int(c[0]), 1, 0, session.Silent, c[1]).Body)
	f.Add(uint8(payload.Signature), b.result(1).Body)
	f.Add(uint8(payload.KeyVote), codec.Marshal(KeyVote{Key: k1.String(), Public: make([]byte, 33), Transcript: make([]byte, 32)}))
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		it := payload.Item{Kind: payload.Kind(kind), Body: body}
		s := b.s.Clone()
		if err := b.m.Check(s, it); err != nil {
			if out := b.m.Apply(s, b.height, it); out != nil || dump(s) != dump(b.s) {
				t.Fatal("an item that was refused had an effect")
			}
		}
	})
}
