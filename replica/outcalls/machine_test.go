package outcalls

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"fusion/internal/codec"
	"fusion/internal/kv"
)

const second = uint64(1e9)

// room is a machine whose nodes the test plays.
type room struct {
	t    testing.TB
	m    *Machine
	s    *kv.Mem
	keys []ed25519.PrivateKey
	now  uint64
}

func newRoom(t testing.TB, nodes int, change ...func(*Config)) *room {
	t.Helper()
	r := &room{t: t, s: kv.NewMem(), now: 1000 * second}
	cfg := Config{Life: sha256.Sum256([]byte("network"))}
	for i := range nodes {
		seed := sha256.Sum256(fmt.Appendf(nil, "node %d", i))
		key := ed25519.NewKeyFromSeed(seed[:])
		r.keys = append(r.keys, key)
		cfg.Nodes = append(cfg.Nodes, key.Public().(ed25519.PublicKey))
	}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	if r.m, err = NewMachine(cfg); err != nil {
		t.Fatal(err)
	}
	return r
}

func request(id uint64, replicated bool) Request {
	d := sha256.Sum256(fmt.Appendf(nil, "request %d", id))
	return Request{ID: id, Kind: HTTP, Canister: []byte("canister"), Digest: d[:], MaxReply: 100, Replicated: replicated}
}

func (r *room) submit(q Request) {
	r.t.Helper()
	if err := r.m.Submit(r.s, r.now, q); err != nil {
		r.t.Fatal(err)
	}
}

func (r *room) open(id uint64) Open {
	r.t.Helper()
	o, ok := kv.Record[Open](r.s, openKey(id))
	if !ok {
		r.t.Fatalf("request %d is not open", id)
	}
	return o
}

func encoded(reply string) []byte { return codec.Marshal(&Answer{Reply: []byte(reply)}) }

// share is what a node signs for an answer.
func (r *room) share(q Request, node int, answer []byte) Share {
	d := digest(answer)
	return Share{Node: uint32(node), Digest: d[:], Signature: r.m.cfg.sign(r.keys[node], q.ID, q.Digest, d[:])}
}

// outcome is an item with an answer signed by some nodes.
func (r *room) outcome(q Request, answer []byte, nodes ...int) *item {
	it := &item{ID: q.ID, Answer: answer}
	for _, n := range nodes {
		s := r.share(q, n, answer)
		s.Digest = nil
		it.Shares = append(it.Shares, s)
	}
	return it
}

// divergence is an item of what each node answered, from the first on.
func (r *room) divergence(q Request, replies ...string) *item {
	it := &item{ID: q.ID}
	for n, a := range replies {
		it.Shares = append(it.Shares, r.share(q, n, encoded(a)))
	}
	return it
}

// refuses checks that an item is refused by Check and by Apply, which changes nothing.
func (r *room) refuses(name string, it *item, want string) {
	r.t.Helper()
	body := codec.Marshal(it)
	err := r.m.CheckAll(r.s, [][]byte{body})
	if !errors.Is(err, ErrItem) || !strings.Contains(err.Error(), want) {
		r.t.Errorf("%s: %v, want %q", name, err, want)
	}
	before := r.s.Clone()
	if _, err := r.m.Apply(r.s, body); !errors.Is(err, ErrItem) || !equal(before, r.s) {
		r.t.Errorf("%s: applying: %v", name, err)
	}
}

func (r *room) takes(it *item) Response {
	r.t.Helper()
	body := codec.Marshal(it)
	if err := r.m.CheckAll(r.s, [][]byte{body}); err != nil {
		r.t.Fatal(err)
	}
	res, err := r.m.Apply(r.s, body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res
}

func (r *room) empty() {
	r.t.Helper()
	var left []string
	r.s.Scan(nil, nil, func(k, v []byte) bool { left = append(left, fmt.Sprintf("%q=%x", k, v)); return true })
	if len(left) != 1 || left[0] != fmt.Sprintf("%q=%x", keyTotals, codec.Marshal(&totals{})) {
		r.t.Errorf("left in the store: %v", left)
	}
}

func equal(a, b kv.Reader) bool {
	dump := func(s kv.Reader) (out string) {
		s.Scan(nil, nil, func(k, v []byte) bool { out += fmt.Sprintf("%q=%x\n", k, v); return true })
		return out
	}
	return dump(a) == dump(b)
}

func TestQuorumAnswers(t *testing.T) {
	for _, c := range []struct{ nodes, quorum int }{{1, 1}, {4, 3}, {7, 5}, {13, 9}, {40, 27}} {
		r := newRoom(t, c.nodes)
		q := request(5, true)
		r.submit(q)
		var nodes []int
		for i := range c.quorum {
			nodes = append(nodes, c.nodes-c.quorum+i)
		}
		if c.quorum > 1 {
			r.refuses("one too few", r.outcome(q, encoded("yes"), nodes[1:]...), "signatures, want")
		}
		if res := r.takes(r.outcome(q, encoded("yes"), nodes...)); res.ID != 5 || string(res.Reply) != "yes" || res.RejectCode != 0 {
			t.Errorf("%d nodes: %+v", c.nodes, res)
		}
		r.refuses("again", r.outcome(q, encoded("yes"), nodes...), "is not open")
		r.empty()
	}
}

func TestRejectionIsAnAnswer(t *testing.T) {
	r := newRoom(t, 4)
	q := request(1, true)
	r.submit(q)
	a := Rejection(2, "Connecting to %s failed", "example.com")
	if res := r.takes(r.outcome(q, codec.Marshal(&a), 0, 1, 3)); res.RejectCode != 2 || res.RejectMessage != "Connecting to example.com failed" {
		t.Errorf("%+v", res)
	}
}

func TestForgedOutcomesAreRefused(t *testing.T) {
	r := newRoom(t, 4)
	q, other := request(1, true), request(2, true)
	r.submit(q)
	r.submit(other)
	yes, no := encoded("yes"), encoded("no")
	good := func() *item { return r.outcome(q, yes, 0, 1, 2) }
	with := func(f func(*item)) *item { it := good(); f(it); return it }
	again := q
	again.Digest = other.Digest // the same id in a history that went another way
	elsewhere := newRoom(t, 4, func(c *Config) { c.Life[0]++ })
	for name, c := range map[string]struct {
		it   *item
		want string
	}{
		"unknown request":      {with(func(it *item) { it.ID = 9 }), "is not open"},
		"other body":           {with(func(it *item) { it.Answer = no }), "not signed"},
		"forged signature":     {with(func(it *item) { it.Shares[1].Signature[3] ^= 1 }), "not signed by node 1"},
		"short signature":      {with(func(it *item) { it.Shares[1].Signature = it.Shares[1].Signature[:63] }), "not signed by node 1"},
		"one node twice":       {with(func(it *item) { it.Shares[1] = it.Shares[0] }), "stands after"},
		"out of order":         {r.outcome(q, yes, 0, 2, 1), "stands after"},
		"in another's name":    {with(func(it *item) { it.Shares[2].Node = 3 }), "not signed by node 3"},
		"no such node":         {with(func(it *item) { it.Shares[2].Node = 4 }), "not signed by node 4"},
		"another request's":    {with(func(it *item) { it.Shares[1] = r.outcome(other, yes, 1).Shares[0] }), "not signed by node 1"},
		"another history's":    {with(func(it *item) { it.Shares[1] = r.outcome(again, yes, 1).Shares[0] }), "not signed by node 1"},
		"another network's":    {with(func(it *item) { it.Shares[1] = elsewhere.outcome(q, yes, 1).Shares[0] }), "not signed by node 1"},
		"signed another":       {with(func(it *item) { it.Shares[1] = r.outcome(q, no, 1).Shares[0] }), "not signed by node 1"},
		"repeated digests":     {with(func(it *item) { d := digest(yes); it.Shares[0].Digest = d[:] }), "repeats the digest"},
		"too many":             {r.outcome(q, yes, 0, 1, 2, 3), "4 signatures, want 3"},
		"none":                 {r.outcome(q, yes), "0 signatures"},
		"oversized":            {r.outcome(q, encoded(strings.Repeat("x", 101)), 0, 1, 2), "101 bytes"},
		"far oversized":        {r.outcome(q, encoded(strings.Repeat("x", 5000)), 0, 1, 2), "are allowed"},
		"not an answer":        {r.outcome(q, []byte{1}, 0, 1, 2), "decoding"},
		"code 7":               {r.outcome(q, codec.Marshal(&Answer{RejectCode: 7}), 0, 1, 2), "reject code"},
		"reply and rejection":  {r.outcome(q, codec.Marshal(&Answer{RejectCode: 2, Reply: []byte("x")}), 0, 1, 2), "in one"},
		"message of a reply":   {r.outcome(q, codec.Marshal(&Answer{RejectMessage: "x"}), 0, 1, 2), "in one"},
		"endless message":      {r.outcome(q, codec.Marshal(&Answer{RejectCode: 2, RejectMessage: strings.Repeat("x", MaxMessage+1)}), 0, 1, 2), "a message of"},
		"nothing":              {&item{ID: 1}, "do not rule a quorum out"},
		"divergence by digest": {&item{ID: 1, Shares: []Share{{Node: 0, Digest: []byte{1}}}}, "not signed"},
	} {
		r.refuses(name, c.it, c.want)
	}
	body := codec.Marshal(good())
	if err := r.m.CheckAll(r.s, [][]byte{body, body}); !errors.Is(err, ErrItem) {
		t.Errorf("one request twice in a block: %v", err)
	}
	if err := r.m.CheckAll(r.s, [][]byte{body, codec.Marshal(r.outcome(other, no, 1, 2, 3))}); err != nil {
		t.Error(err)
	}
}

func TestDivergence(t *testing.T) {
	r := newRoom(t, 4)
	q := request(1, true)
	r.submit(q)
	r.refuses("all equal", r.divergence(q, "a", "a", "a", "a"), "do not rule")
	r.refuses("three equal", r.divergence(q, "a", "b", "a", "a"), "do not rule")
	r.refuses("the fourth may agree", r.divergence(q, "a", "a", "b"), "do not rule")
	r.refuses("two of which both may win", r.divergence(q, "a", "b"), "do not rule")
	doubled := r.divergence(q, "a", "b", "c")
	doubled.Shares[1].Node = 0
	r.refuses("one node with two answers", doubled, "stands after node 0")
	forged := r.divergence(q, "a", "b", "c")
	forged.Shares[2].Signature[0] ^= 1
	r.refuses("forged", forged, "not signed by node 2")
	res := r.takes(r.divergence(q, "a", "b", "b", "c"))
	da, db, dc := digest(encoded("a")), digest(encoded("b")), digest(encoded("c"))
	if bytes.Compare(da[:], dc[:]) > 0 {
		da, dc = dc, da
	}
	want := fmt.Sprintf("No consensus could be reached. Replicas had different responses. Details: request_id: 1, timeout: %d, hashes: [%x: 2], [%x: 1], [%x: 1]",
		r.now+60*second, db, da, dc)
	if res.RejectCode != 2 || res.RejectMessage != want {
		t.Errorf("code %d, %q, want %q", res.RejectCode, res.RejectMessage, want)
	}
	r.empty()

	// Three of four are enough when no two agree; with forty nodes the message stays short.
	r.submit(q)
	r.takes(r.divergence(q, "a", "b", "c"))
	big := newRoom(t, 40)
	big.submit(q)
	var replies []string
	for i := range 40 {
		replies = append(replies, fmt.Sprint(i))
	}
	if res := big.takes(big.divergence(q, replies...)); len(res.RejectMessage) > MaxMessage || !strings.HasSuffix(res.RejectMessage, "more") {
		t.Errorf("%d bytes: %q", len(res.RejectMessage), res.RejectMessage)
	}
}

func TestTimeout(t *testing.T) {
	r := newRoom(t, 4)
	r.submit(request(1, true))
	r.now += 10 * second
	r.submit(request(2, true))
	if out := r.m.Advance(r.s, r.now+50*second-1); len(out) != 0 {
		t.Fatalf("%+v", out)
	}
	out := r.m.Advance(r.s, r.now+50*second)
	if len(out) != 1 || out[0].ID != 1 || out[0].RejectCode != 2 || out[0].RejectMessage != "Canister http request timed out" {
		t.Fatalf("%+v", out)
	}
	r.refuses("too late", r.outcome(request(1, true), encoded("yes"), 0, 1, 2), "is not open")
	if out := r.m.Advance(r.s, r.now+3600*second); len(out) != 1 || out[0].ID != 2 {
		t.Fatalf("%+v", out)
	}
	r.empty()
}

func TestTurns(t *testing.T) {
	r := newRoom(t, 7) // f is 2: three turns of twenty seconds
	q := request(3, false)
	r.submit(q)
	yes := encoded("yes")
	first, second_, third := r.m.delegate(&q, 0), r.m.delegate(&q, 1), r.m.delegate(&q, 2)
	if first == second_ || second_ == third || first == third {
		t.Fatalf("delegates %d, %d, %d", first, second_, third)
	}
	r.refuses("not its turn", r.outcome(q, yes, second_), "whose turn it is not")
	r.refuses("a quorum is not asked for", r.outcome(q, yes, 0, 1, 2, 3, 4), "5 signatures, want 1")
	r.refuses("divergence", r.divergence(q, "a", "b", "c", "d", "e", "f", "g"), "one node asks")
	before := r.s.Clone()
	if res := r.takes(r.outcome(q, yes, first)); string(res.Reply) != "yes" {
		t.Errorf("%+v", res)
	}
	r.empty()
	r.s = before
	if out := r.m.Advance(r.s, r.now+20*second); len(out) != 0 || r.open(3).Turn != 1 {
		t.Fatalf("%+v, turn %d", out, r.open(3).Turn)
	}
	r.refuses("the third's turn is not yet", r.outcome(q, yes, third), "whose turn")
	for _, node := range []int{first, second_} {
		fork := &room{t: t, m: r.m, s: r.s.Clone(), keys: r.keys, now: r.now}
		fork.takes(fork.outcome(q, yes, node))
		fork.empty()
	}
	if out := r.m.Advance(r.s, r.now+59*second); len(out) != 0 || r.open(3).Turn != 2 {
		t.Fatalf("%+v, turn %d", out, r.open(3).Turn)
	}
	if out := r.m.Advance(r.s, r.now+60*second); len(out) != 1 || out[0].RejectCode != 2 {
		t.Fatalf("%+v", out)
	}
	r.empty()

	// A chain that stood still does not go through the turns one by one.
	r.submit(q)
	if out := r.m.Advance(r.s, r.now+600*second); len(out) != 1 {
		t.Fatalf("%+v", out)
	}
	r.empty()
}

func TestDelegatesDiffer(t *testing.T) {
	r := newRoom(t, 4)
	seen := map[int]int{}
	for id := range uint64(400) {
		q := request(id, false)
		seen[r.m.delegate(&q, 0)]++
	}
	for i := range 4 {
		if seen[i] < 50 {
			t.Errorf("node %d is first %d times of 400", i, seen[i])
		}
	}
}

func TestBounds(t *testing.T) {
	r := newRoom(t, 4, func(c *Config) { c.MaxOpen, c.MaxPerCanister, c.MaxBytes = 4, 3, 4*(100+answerOverhead)+1000 })
	full := func(q Request, want string) {
		t.Helper()
		before := r.s.Clone()
		if err := r.m.Submit(r.s, r.now, q); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), want) || !equal(before, r.s) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for id := range uint64(3) {
		r.submit(request(id, true))
	}
	full(request(3, true), "the canister has 3")
	q := request(3, true)
	q.Canister, q.MaxReply = []byte("another"), 1101
	full(q, "may have")
	q.MaxReply = 1100
	r.submit(q)
	q.ID, q.MaxReply = 4, 0
	full(q, "the subnet has 4")
	r.takes(r.outcome(request(1, true), encoded("yes"), 0, 1, 2))
	q.ID = 5
	r.submit(q)
	r.m.Advance(r.s, r.now+60*second)
	r.empty()
}

// TestReopened goes through a life with the store copied after each step: a machine has no state besides it.
func TestReopened(t *testing.T) {
	run := func(reopen bool) kv.Reader {
		r := newRoom(t, 4)
		step := func() {
			if reopen {
				m, err := NewMachine(r.m.cfg)
				if err != nil {
					t.Fatal(err)
				}
				r.m, r.s = m, r.s.Clone()
			}
		}
		for id := range uint64(6) {
			r.submit(request(id, id%2 == 0))
			step()
		}
		r.takes(r.outcome(request(0, true), encoded("a"), 0, 1, 2))
		step()
		r.m.Advance(r.s, r.now+31*second)
		step()
		q := request(1, false)
		r.takes(r.outcome(q, encoded("b"), r.m.delegate(&q, 1)))
		step()
		r.takes(r.divergence(request(2, true), "a", "b", "c"))
		step()
		return r.s
	}
	if !equal(run(false), run(true)) {
		t.Error("a machine that was opened again went another way")
	}
}

func FuzzItem(f *testing.F) {
	r := newRoom(f, 4)
	q := request(1, true)
	r.submit(q)
	alone := request(2, false)
	r.submit(alone)
	f.Add(codec.Marshal(r.outcome(q, encoded("yes"), 0, 1, 2)))
	f.Add(codec.Marshal(r.outcome(alone, encoded("yes"), r.m.delegate(&alone, 0))))
	f.Add(codec.Marshal(r.divergence(q, "a", "b", "c")))
	height := heightRequest(3)
	r.submit(height)
	f.Add(codec.Marshal(r.heights(height, 1, 5, 6, 7)))
	f.Add(codec.Marshal(r.heights(height, 0, none, none)))
	f.Add(codec.Marshal(r.heights(height, 0, none, 4, 5)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		s := r.s.Clone()
		err := r.m.CheckAll(s, [][]byte{body})
		res, applied := r.m.Apply(s, body)
		if (err == nil) != (applied == nil) {
			t.Fatalf("check: %v; apply: %v", err, applied)
		}
		if err != nil && !equal(s, r.s) {
			t.Fatal("a refused item changed the state")
		}
		if err == nil && len(r.m.Requests(s)) != 2 {
			t.Fatalf("%+v: %d open", res, len(r.m.Requests(s)))
		}
	})
}
