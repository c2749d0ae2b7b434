package signing

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fusion/chainkey"
	"fusion/chainkey/session"
	"fusion/replica/payload"
)

// TestPatience: no deadline ever comes here. A node that is gone is complained of by the others after a while without a sign of life, is named
// in the status, and costs no more than that.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNet(t, 4, quick{}, func(c *Config) { c.SigningDeadline = 1 << 20 })
		net.patience = 300 * time.Millisecond
		net.startAll()
		net.until("key", net.keysActive)
		net.stop(2)
		net.ask(6)
		net.answered()
		standing := net.m.Status(net.m.Snapshot(net.s, net.height)).Nodes
		if len(standing[2].Disputes) == 0 || standing[2].Suspicion == 0 || !strings.Contains(standing[2].Sentence, "others go first") {
			t.Errorf("%+v", standing[2])
		}
		for _, n := range standing {
			if n.Node != 2 && (n.Suspicion > 0 || slices.ContainsFunc(n.Disputes, func(other int) bool { return other != 2 })) {
				t.Errorf("%+v", n)
			}
		}
		all := net.m.Complaints(net.s)
		for _, c := range all {
			if !slices.Equal(c.Accused, []uint32{2}) || !strings.Contains(c.Sentence, net.m.NodeName(net.s, 2)) {
				t.Errorf("%+v", c)
			}
		}
		if len(all) == 0 {
			t.Error("no complaint is remembered")
		}
	})
}

// TestSlowIsNotSilent: a node whose computations take longer than the others are patient gives signs of life, and nobody complains.
func TestSlowIsNotSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNet(t, 4, slow{node: 1, takes: 2 * time.Second}, func(c *Config) { c.SigningDeadline = 1 << 20 })
		net.patience = 500 * time.Millisecond
		net.startAll()
		net.until("key", net.keysActive)
		net.ask(3)
		net.answered()
		if all := net.m.Complaints(net.s); len(all) != 0 {
			t.Errorf("%+v", all)
		}
	})
}

// slow is a scheme in which one node computes for a while.
type slow struct {
	quick
	node  int
	takes time.Duration
}

func (s slow) Sign(c chainkey.Sign) (chainkey.Signing, error) {
	if c.Committee[c.Seat] == s.node {
		<-time.After(s.takes) // the computation
	}
	return s.quick.Sign(c)
}

// TestPanicsAreContained: one member's scheme panics, while it prepares or in the middle. It says that it cannot go on, others sign, and the
// process lives.
func TestPanicsAreContained(t *testing.T) {
	for _, when := range []string{"preparing", "in a round", "in the end"} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := newTestNet(t, 4, panicking{node: 1, when: when}, func(c *Config) { c.SigningDeadline = 1 << 20 })
				panicked := func() bool {
					net.mu.Lock()
					defer net.mu.Unlock()
					return slices.ContainsFunc(net.events, func(e string) bool { return strings.HasPrefix(e, "node 1") && strings.Contains(e, "panic") })
				}
				net.veto = func(it payload.Item) bool { // the others, who may be faster, wait for it
					if it.Kind != payload.Signature || panicked() {
						return false
					}
					r, err := decodeItem[Result](it.Body)
					q, ok := load[requestRecord](net.s, requestKey(r.Request))
					return err == nil && ok && slices.Contains(q.Current.Committee, 1)
				}
				net.startAll()
				net.until("key", net.keysActive)
				net.ask(4)
				net.answered()
				if !panicked() {
					t.Errorf("nothing panicked:\n%s", strings.Join(net.events, "\n"))
				}
			})
		})
	}
}

type panicking struct {
	quick
	node int
	when string
}

type panickingRun struct {
	*quickRun
	when string
}

func (s panicking) Sign(c chainkey.Sign) (chainkey.Signing, error) {
	p, err := s.quick.Sign(c)
	if err != nil || c.Committee[c.Seat] != s.node {
		return p, err
	}
	if s.when == "preparing" {
		panic("as the test asked")
	}
	return &panickingRun{p.(*quickRun), s.when}, nil
}

func (r *panickingRun) Deliver(round int, in []chainkey.Input) (chainkey.Output, error) {
	if r.when == "in a round" && round == 2 {
		panic("as the test asked")
	}
	return r.quickRun.Deliver(round, in)
}

func (r *panickingRun) Signature() ([64]byte, error) {
	if r.when == "in the end" {
		panic("as the test asked")
	}
	return r.quickRun.Signature()
}

// TestComplaintsAreRemembered: claims push out claims, and proof stays.
func TestComplaintsAreRemembered(t *testing.T) {
	b := newBench(t, 4)
	b.ready()
	b.submit(1, k1)
	for range 4 {
		b.end()
	}
	q := b.request(1)
	k, _ := load[keyRecord](b.s, keyPrefix+k1.String())
	c := q.Current.Committee
	v := Complaint{Request: 1, Node: c[0], Reason: session.Equivocation, Accused: []uint32{c[1]}, Evidence: equivocate(b, b.m.context(1, &q, &q.Current, k.Epoch).ID(), c, 1)}
	v.Signature = b.m.cfg.sign(b.nodes[c[0]], "complaint", v)
	b.apply(item(payload.Complaint, v))
	for i := range uint32(maxComplaints + 10) {
		b.m.remember(b.s, uint64(100+i), k1.String(), &Complaint{Request: 5, Attempt: i, Node: c[0], Reason: session.Silent, Accused: []uint32{c[1]}})
	}
	all := b.m.Complaints(b.s)
	if len(all) != 1+maxComplaints || all[0].Evidence == "" || all[1].Attempt != maxComplaints+9 || all[len(all)-1].Attempt != 10 {
		t.Fatalf("%d complaints, the first %+v", len(all), all[0])
	}
	if want := fmt.Sprintf("convicts %s: equivocation", b.m.NodeName(b.s, int(c[1]))); !strings.Contains(all[0].Sentence, want) {
		t.Errorf("%q", all[0].Sentence)
	}
	// The evidence can be checked by anybody who has the node's key.
	var evidence []byte
	if _, err := fmt.Sscanf(all[0].Evidence, "%x", &evidence); err != nil {
		t.Fatal(err)
	}
	if err := session.VerifyEvidence(evidence, b.m.context(1, &q, &q.Current, k.Epoch).ID(), 1, b.m.cfg.Nodes[c[1]]); err != nil || !bytes.Equal(evidence, v.Evidence) {
		t.Errorf("evidence: %v", errors.Join(err))
	}
}
