package bls

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"fusion/internal/codec"
	"fusion/internal/kv"
)

// reshare opens a board that hands a finished network's key to other nodes: kept are seats of the old epoch, in the order of the new seats; fresh
// nodes follow. Whoever has a share of the old epoch can deal, except those that are down.
func (net *network) reshare(kept []int, fresh int, down ...int) *network {
	net.t.Helper()
	r, ok := net.board.Result()
	if !ok {
		net.t.Fatal("nothing to reshare")
	}
	next := &network{t: net.t, store: kv.NewMem(), height: net.height}
	old := &Old{Threshold: r.Threshold, PublicKey: r.PublicKey, ShareKeys: r.ShareKeys}
	for _, k := range net.keys {
		old.Nodes = append(old.Nodes, k.Public().(ed25519.PublicKey))
	}
	p := Params{Domain: []byte("test"), Epoch: r.Epoch + 1, PhaseBlocks: 5, Old: old}
	seed := func(i int) [32]byte { return sha256.Sum256(fmt.Appendf(nil, "epoch %d node %d", p.Epoch, i)) }
	seats := map[int]int{}
	for seat, i := range kept {
		seats[i] = seat
		next.keys = append(next.keys, net.keys[i])
	}
	for i := range fresh {
		s := sha256.Sum256(fmt.Appendf(nil, "fresh %d of epoch %d", i, p.Epoch))
		next.keys = append(next.keys, ed25519.NewKeyFromSeed(s[:]))
	}
	for _, k := range next.keys {
		p.Nodes = append(p.Nodes, k.Public().(ed25519.PublicKey))
	}
	for i, m := range net.members {
		if slices.Contains(down, i) {
			continue
		}
		share, err := m.Share(net.board)
		if err != nil {
			net.t.Fatal(err)
		}
		seat, stays := seats[i]
		if !stays {
			seat = -1
		}
		next.members = append(next.members, NewResharer(seed(i), seat, share, net.keys[i]))
	}
	for i := range fresh {
		next.members = append(next.members, NewResharer(seed(100+i), len(kept)+i, nil, next.keys[len(kept)+i]))
	}
	b, err := Start(next.store, next.height, p)
	if err != nil {
		net.t.Fatal(err)
	}
	next.board = b
	return next
}

// newShares are those of the new members, by seat.
func (net *network) newShares() []*SecretShare {
	net.t.Helper()
	out := make([]*SecretShare, len(net.board.Nodes))
	for _, m := range net.members {
		s, err := m.Share(net.board)
		if m.self < 0 {
			if !errors.Is(err, ErrNoShare) {
				net.t.Fatalf("who left has a share: %v", err)
			}
			continue
		}
		if err != nil {
			net.t.Fatal(err)
		}
		out[s.Index] = s
	}
	return out
}

// TestReshare hands a key from four nodes to others and back to the same; signatures are the same bytes in all epochs, and shares of two epochs do not
// add up.
func TestReshare(t *testing.T) {
	net := newNetwork(t, 4, 5)
	first := net.run()
	oldShares := net.shares()
	want := net.signable(first, oldShares)
	for name, c := range map[string]struct {
		kept  []int
		fresh int
		down  []int
	}{
		"the same": {[]int{0, 1, 2, 3}, 0, nil}, "one dead and replaced": {[]int{0, 1, 3}, 1, []int{2}}, "all others": {nil, 4, nil}, "seven": {[]int{3, 2, 1, 0}, 3, nil},
		"five": {[]int{0, 1, 2, 3}, 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			next := net.reshare(c.kept, c.fresh, c.down...)
			r := next.run()
			if !bytes.Equal(r.PublicKey, first.PublicKey) || len(r.Holders) != len(c.kept)+c.fresh || len(r.Qualified) != 3 {
				t.Fatalf("%+v", r)
			}
			shares := next.newShares()
			if got := next.signable(r, shares); !bytes.Equal(got, want) {
				t.Errorf("a signature of the new epoch is %x, was %x", got, want)
			}
			reopened, err := Open(next.store)
			if err != nil {
				t.Fatal(err)
			}
			if again, ok := reopened.Result(); !ok || !bytes.Equal(codec.Marshal(again), codec.Marshal(r)) {
				t.Error("the board reopens with another result")
			}
			g, err := r.Group()
			if err != nil {
				t.Fatal(err)
			}
			msg := Message(DomainStateRoot, bytes.Repeat([]byte{7}, 32))
			var sigs []Share
			for i, s := range shares[:g.Threshold()] {
				if i == 0 {
					s = &SecretShare{Index: 0, Scalar: oldShares[0].Scalar}
				}
				sig, err := s.Sign(msg)
				if err != nil {
					t.Fatal(err)
				}
				sigs = append(sigs, sig)
			}
			if _, err := g.Combine(msg, sigs); !errors.Is(err, ErrSignature) {
				t.Errorf("an old share among new ones: %v", err)
			}
			if bad := g.BadShares(msg, sigs); !slices.Equal(bad, []int{0}) {
				t.Errorf("bad shares %v", bad)
			}
			to := kv.NewMem()
			Move(to, next.store)
			if _, err := Open(next.store); !errors.Is(err, ErrNoBoard) {
				t.Errorf("a moved board is still there: %v", err)
			}
			if moved, err := Open(to); err != nil || moved.Session() != next.board.Session() {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestReshareCheats: a dealer that deals another secret is refused at once, one whose share is bad is dropped by complaint, and a receiver
// that says nothing keeps the new epoch from coming about, by name; the old key signs all the time.
func TestReshareCheats(t *testing.T) {
	net := newNetwork(t, 4, 5)
	net.run()
	t.Run("another secret", func(t *testing.T) {
		next := net.reshare([]int{0, 1, 2, 3}, 0)
		refused := ""
		next.mutate = func(node int, it *item) bool {
			if it.Phase != PhaseDeals || node != 1 {
				return true
			}
			next.members[1].old = &SecretShare{Index: 1, Scalar: [32]byte{31: 9}}
			it.Body = codec.Marshal(next.members[1].makeDeal(next.board))
			it.Sig = ed25519.Sign(next.keys[1], it.digest())
			refused = fmt.Sprint(next.board.Check(codec.Marshal(it)))
			return true
		}
		if r := next.run(); slices.Contains(r.Qualified, 1) || !strings.Contains(refused, "does not deal its share") {
			t.Errorf("%+v, %s", r, refused)
		}
	})
	t.Run("a bad share", func(t *testing.T) {
		next := net.reshare([]int{0, 1, 2}, 1)
		next.mutate = func(node int, it *item) bool {
			if it.Phase == PhaseDeals && it.From == 0 {
				var d dealBody
				if err := codec.Unmarshal(it.Body, &d); err != nil {
					t.Fatal(err)
				}
				d.Shares[3][4] ^= 1
				it.Body = codec.Marshal(d)
			}
			return true
		}
		next.keys = append(next.keys[:3:3], net.keys[3], next.keys[3]) // by member: the fourth only deals
		if r := next.run(); slices.Contains(r.Qualified, 0) || len(next.board.Bad) != 1 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("a silent joiner", func(t *testing.T) {
		next := net.reshare([]int{0, 1, 2}, 1)
		next.keys = append(next.keys[:3:3], net.keys[3], next.keys[3])
		next.mutate = func(node int, it *item) bool { return node != 4 || it.Phase == PhaseKeys }
		for range 40 {
			next.step()
		}
		if _, done := next.board.Result(); done || next.board.Attempts() == 0 {
			t.Fatal("an epoch without all its members")
		}
		if s := next.board.Status(); !strings.Contains(s.Failure, "missing from [3]") {
			t.Errorf("%+v", s)
		}
	})
}

func TestReshareParams(t *testing.T) {
	net := newNetwork(t, 4, 5)
	r := net.run()
	good := Params{Threshold: 3, Old: &Old{Threshold: 3, PublicKey: r.PublicKey, ShareKeys: r.ShareKeys}}
	for _, k := range net.keys {
		good.Nodes = append(good.Nodes, k.Public().(ed25519.PublicKey))
	}
	good.Old.Nodes = good.Nodes
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(o *Old){
		"swapped":       func(o *Old) { o.ShareKeys = [][]byte{o.ShareKeys[1], o.ShareKeys[0], o.ShareKeys[2], o.ShareKeys[3]} },
		"another key":   func(o *Old) { o.PublicKey = o.ShareKeys[0] },
		"a short list":  func(o *Old) { o.ShareKeys = o.ShareKeys[:3] },
		"low threshold": func(o *Old) { o.Threshold = 2 },
		"a bad node":    func(o *Old) { o.Nodes = []ed25519.PublicKey{{1}, o.Nodes[1], o.Nodes[2], o.Nodes[3]} },
	} {
		old := *good.Old
		change(&old)
		p := good
		p.Old = &old
		if err := p.check(); !errors.Is(err, ErrParams) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEpochs takes a key through its generation, a resharing that is given up and one that is not, opened again after every block.
func TestEpochs(t *testing.T) {
	s := kv.NewMem()
	var keys []ed25519.PrivateKey
	var public []ed25519.PublicKey
	for i := range 5 {
		seed := sha256.Sum256(fmt.Appendf(nil, "epochs %d", i))
		keys = append(keys, ed25519.NewKeyFromSeed(seed[:]))
		public = append(public, keys[i].Public().(ed25519.PublicKey))
	}
	var e *Epochs
	open := func() {
		var err error
		if e, err = OpenEpochs(s); err != nil {
			t.Fatal(err)
		}
	}
	open()
	if e.Begun() || e.Board() != nil || e.Group() != nil {
		t.Fatal("a key in an empty store")
	}
	if err := e.Reshare(s, 1, 1, []uint32{0}, public[:1]); !errors.Is(err, ErrParams) {
		t.Errorf("no key is reshared: %v", err)
	}
	if err := e.Generate(s, 1, Params{Domain: []byte("d"), Nodes: public[:4], PhaseBlocks: 50}); err != nil {
		t.Fatal(err)
	}
	height := uint64(1)
	run := func(members []*Member) (made bool) {
		for range 10 {
			open()
			if height++; e.Board() == nil {
				return made
			}
			var items [][]byte
			for _, m := range members {
				if it := m.Pending(e.Board()); it != nil {
					items = append(items, it)
				}
			}
			taken, m := e.Step(s, height, items)
			if made = made || m; taken != len(items) {
				t.Fatalf("%d of %d items taken", taken, len(items))
			}
		}
		t.Fatalf("no end: %s", e.Sentence())
		return false
	}
	var members []*Member
	for i := range 4 {
		members = append(members, NewMember([32]byte{byte(i)}, i, keys[i]))
	}
	if !run(members) || !slices.Equal(e.Members(), []uint32{0, 1, 2, 3}) {
		t.Fatalf("%s", e.Sentence())
	}
	key := e.Group().PublicKey()
	b, err := Open(s)
	if err != nil {
		t.Fatal(err)
	}
	nodes := []uint32{0, 1, 3, 4}
	var next []*Member
	for i, m := range members {
		share, err := m.Share(b)
		if err != nil {
			t.Fatal(err)
		}
		next = append(next, NewResharer([32]byte{9, byte(i)}, slices.Index(nodes, uint32(i)), share, keys[i]))
	}
	next = append(next, NewResharer([32]byte{9, 4}, 3, nil, keys[4]))
	nodeKeys := []ed25519.PublicKey{public[0], public[1], public[3], public[4]}
	if done, failed := e.Resharing(); done || failed == "" {
		t.Errorf("%v, %q", done, failed)
	}
	if err := e.Reshare(s, height, 1, nodes, nodeKeys); err != nil {
		t.Fatal(err)
	}
	session := e.Board().Session()
	e.Abort(s)
	if open(); e.Board() != nil || e.Prepared() != nil || e.Epoch() != 0 {
		t.Fatalf("after giving up: %s", e.Sentence())
	}
	if err := e.Reshare(s, height+1, 1, nodes, nodeKeys); err != nil {
		t.Fatal(err)
	}
	if e.Board().Session() == session {
		t.Error("a second resharing is in the session of the first")
	}
	run(next)
	if done, failed := e.Resharing(); !done || failed != "" || e.Epoch() != 0 || e.Prepared() == nil {
		t.Fatalf("%v, %q, %s", done, failed, e.Sentence())
	}
	e.Activate(s, height)
	open()
	before, since, ok := e.Before()
	if e.Epoch() != 1 || !slices.Equal(e.Members(), nodes) || e.Group().PublicKey() != key || !ok || before != 0 || since != height || e.Prepared() != nil {
		t.Fatalf("%s: epoch %d of %v, before %d since %d", e.Sentence(), e.Epoch(), e.Members(), before, since)
	}
	// Nobody answers: after some attempts it says so.
	if err := e.Reshare(s, height, 2, nodes, nodeKeys); err != nil {
		t.Fatal(err)
	}
	failed := ""
	for range 10_000 {
		height++
		e.Step(s, height, nil)
		if _, failed = e.Resharing(); failed != "" {
			break
		}
	}
	if !strings.Contains(failed, "missing from [0 1 2 3]") {
		t.Errorf("%q", failed)
	}
}
