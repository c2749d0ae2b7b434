package outcalls

import (
	"context"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"fusion/internal/codec"
)

func heightRequest(id uint64) Request {
	q := request(id, true)
	q.Kind, q.MaxReply = Height, HeightReply
	return q
}

// none is the opinion of a node that learned no height.
const none = ^uint64(0)

// opine is a node's signed opinion.
func (r *room) opine(q Request, node int, height uint64) Share {
	a := HeightAnswer(height)
	if height == none {
		a = Rejection(2, "no provider answers")
	}
	d := opinion(&a)
	return Share{Node: uint32(node), Digest: d[:], Signature: r.m.cfg.sign(r.keys[node], q.ID, q.Digest, d[:])}
}

// heights is an item of what nodes from the first on saw.
func (r *room) heights(q Request, first int, seen ...uint64) *item {
	it := &item{ID: q.ID}
	for i, h := range seen {
		it.Shares = append(it.Shares, r.opine(q, first+i, h))
	}
	return it
}

func wantHeight(t *testing.T, res Response, want uint64) {
	t.Helper()
	if got, err := ReadHeight(res.Reply); err != nil || res.RejectCode != 0 || got != want {
		t.Errorf("%+v, %v; want height %d", res, err, want)
	}
}

func TestHeights(t *testing.T) {
	for _, c := range []struct {
		nodes int
		seen  []uint64
		want  uint64
	}{
		{1, []uint64{7}, 7},
		{4, []uint64{10, 11, 12}, 11},
		{4, []uint64{0, 11, 12}, 11},          // one says too little
		{4, []uint64{10, 11, none - 1}, 11},   // one says too much
		{4, []uint64{12, 10, 11}, 11},         // the order of nodes is not that of heights
		{7, []uint64{0, 0, 10, 11, 12}, 10},   // two say too little
		{7, []uint64{10, 11, 12, 99, 99}, 12}, // two say too much
		{5, []uint64{1, 2, 3, 4}, 2},          // n−f of five
	} {
		r := newRoom(t, c.nodes)
		q := heightRequest(1)
		r.submit(q)
		wantHeight(t, r.takes(r.heights(q, c.nodes-len(c.seen), c.seen...)), c.want)
		r.empty()
	}
}

// TestLiarsCannotMoveAHeight lets f nodes of 4 to 13 say anything.
func TestLiarsCannotMoveAHeight(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	for range 60 {
		n := 4 + rng.Intn(10)
		r := newRoom(t, n)
		q := heightRequest(1)
		r.submit(q)
		f := r.m.roster().F()
		low, high := uint64(none), uint64(0)
		var seen []uint64
		order := rng.Perm(r.m.roster().Quorum())
		for _, k := range order {
			h := uint64(1000 + rng.Intn(50))
			if k < f { // a liar
				h = []uint64{0, 1, 999, 1050, 1 << 40, none - 1}[rng.Intn(6)]
			} else {
				low, high = min(low, h), max(high, h)
			}
			seen = append(seen, h)
		}
		res := r.takes(r.heights(q, 0, seen...))
		if got, err := ReadHeight(res.Reply); err != nil || got < low || got > high {
			t.Fatalf("%d of %d nodes saw %v; settled at %d, the honest ones saw %d to %d", len(seen), n, seen, got, low, high)
		}
	}
}

func TestNoHeight(t *testing.T) {
	r := newRoom(t, 7)
	q := heightRequest(1)
	r.submit(q)
	r.refuses("f of them", r.heights(q, 0, none, none), "2 opinions")
	r.refuses("one of f+1 knows", r.heights(q, 0, none, 5, none), "settle nothing")
	res := r.takes(r.heights(q, 3, none, none, none))
	if res.RejectCode != 2 || !strings.Contains(res.RejectMessage, "3 of 7 replicas") {
		t.Errorf("%+v", res)
	}
	r.empty()
}

func TestForgedHeightsAreRefused(t *testing.T) {
	r := newRoom(t, 4)
	q, other, plain := heightRequest(1), heightRequest(2), request(3, true)
	for _, x := range []Request{q, other, plain} {
		r.submit(x)
	}
	good := func() *item { return r.heights(q, 0, 10, 11, 12) }
	with := func(f func(*item)) *item { it := good(); f(it); return it }
	elsewhere := newRoom(t, 4, func(c *Config) { c.Life[0]++ })
	raw := func(change func([]byte)) Share { // signed by its node, but no opinion
		d := slices.Clone(r.opine(q, 1, 11).Digest)
		change(d)
		return Share{Node: 1, Digest: d, Signature: r.m.cfg.sign(r.keys[1], q.ID, q.Digest, d)}
	}
	for name, c := range map[string]struct {
		it   *item
		want string
	}{
		"one too few":        {with(func(it *item) { it.Shares = it.Shares[:1] }), "1 opinions"},
		"all four":           {r.heights(q, 0, 10, 11, 12, 13), "4 opinions"},
		"none at all":        {&item{ID: 1}, "0 opinions"},
		"f+1 with heights":   {r.heights(q, 0, 10, 11), "settle nothing"},
		"one without":        {r.heights(q, 0, 10, none, 12), "settle nothing"},
		"another height":     {with(func(it *item) { it.Shares[0].Digest = r.opine(q, 0, 99).Digest }), "not signed by node 0"},
		"one node twice":     {with(func(it *item) { it.Shares[1] = it.Shares[0] }), "stands after"},
		"out of order":       {with(func(it *item) { it.Shares[0], it.Shares[1] = it.Shares[1], it.Shares[0] }), "stands after"},
		"in another's name":  {with(func(it *item) { it.Shares[2].Node = 3 }), "not signed by node 3"},
		"another request's":  {with(func(it *item) { it.Shares[1] = r.opine(other, 1, 11) }), "not signed by node 1"},
		"another network's":  {with(func(it *item) { it.Shares[1] = elsewhere.opine(q, 1, 11) }), "not signed by node 1"},
		"an answer's digest": {with(func(it *item) { it.Shares[1] = r.share(q, 1, encoded("11")) }), "no height"},
		"a short opinion":    {with(func(it *item) { it.Shares[1] = raw(func([]byte) {}); it.Shares[1].Digest = it.Shares[1].Digest[:31] }), "31 bytes"},
		"noise between":      {with(func(it *item) { it.Shares[1] = raw(func(d []byte) { d[5] = 1 }) }), "no height"},
		"another mark":       {with(func(it *item) { it.Shares[1] = raw(func(d []byte) { d[0] = 2 }) }), "no height"},
		"none with a number": {with(func(it *item) { it.Shares[1] = raw(func(d []byte) { d[0] = 0 }) }), "no height"},
		"with an answer":     {with(func(it *item) { it.Answer = encoded("11") }), "settled by heights"},
		"outcome":            {r.outcome(q, encoded("11"), 0, 1, 2), "settled by heights"},
		"heights of another": {r.heights(plain, 0, 10, 11, 12), ""}, // a divergence of three digests, which is what it is
	} {
		if c.want == "" {
			if err := r.m.CheckAll(r.s, [][]byte{codec.Marshal(c.it)}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		r.refuses(name, c.it, c.want)
	}
	if err := r.m.CheckAll(r.s, [][]byte{codec.Marshal(good())}); err != nil {
		t.Error(err)
	}
}

func TestHeightTimesOut(t *testing.T) {
	r := newRoom(t, 4)
	r.submit(heightRequest(1))
	res := r.m.Advance(r.s, r.now+60*second)
	if len(res) != 1 || res[0].RejectCode != 2 || !strings.Contains(res[0].RejectMessage, "Ethereum providers") {
		t.Errorf("%+v", res)
	}
	r.empty()
}

func sees(h uint64) Source {
	return func(_ context.Context, r Request) Answer {
		if r.Kind != Height {
			return Answer{Reply: []byte("equal")}
		}
		return HeightAnswer(h)
	}
}

func TestDriversSettleHeights(t *testing.T) {
	n := newSubnet(t, 4, func(i int) Source { return sees([]uint64{100, 101, 0, 103}[i]) }) // node 2 lies
	for id := uint64(1); id <= 8; id++ {
		n.submit(heightRequest(id))
		res := n.finish(id)
		if got, err := ReadHeight(res.Reply); err != nil || got < 100 || got > 103 {
			t.Errorf("%+v, %v", res, err)
		}
	}
	q := request(9, true)
	q.Kind = Ethereum
	n.submit(q)
	if res := n.finish(9); string(res.Reply) != "equal" {
		t.Errorf("%+v", res)
	}
	if n.refused.Load() != 0 {
		t.Errorf("%d messages were refused", n.refused.Load())
	}
}

func TestDriversWithoutAHeight(t *testing.T) {
	n := newSubnet(t, 4, func(i int) Source {
		switch i {
		case 0:
			return sees(5)
		case 1: // breaks its word
			return says("noise")
		}
		return func(context.Context, Request) Answer { return Rejection(2, "no provider answers at node %d", i) }
	})
	n.submit(heightRequest(1))
	if res := n.finish(1); res.RejectCode != 2 || !strings.Contains(res.RejectMessage, "2 of 4 replicas") {
		t.Errorf("%+v", res)
	}
}

func TestASilentNodesHeightIsNotMissed(t *testing.T) {
	n := newSubnet(t, 4, func(i int) Source {
		if i == 1 {
			return never
		}
		return sees(uint64(20 + i))
	})
	n.down[1] = true
	n.submit(heightRequest(1))
	wantHeight(t, n.finish(1), 22)
}
