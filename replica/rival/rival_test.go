package rival

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"fusion/btc"
	"fusion/internal/kv"
	"fusion/replica/members"
)

var cfg = Config{Life: [32]byte{7}, For: 10 * time.Minute}

func nodeKey(i int) ed25519.PrivateKey {
	seed := sha256.Sum256(fmt.Appendf(nil, "node %d", i))
	return ed25519.NewKeyFromSeed(seed[:])
}

// world is a network of n members whose branch has work 1,000; the margin is 100.
type world struct {
	*kv.Mem
	t      *testing.T
	roster *members.Roster
	height uint64
	now    uint64
}

func newWorld(t *testing.T, n int) *world {
	set := members.Set{}
	var keys []ed25519.PublicKey
	for i := range n {
		set.Nodes = append(set.Nodes, uint32(i))
		keys = append(keys, nodeKey(i).Public().(ed25519.PublicKey))
	}
	return &world{kv.NewMem(), t, members.NewRoster(set, keys), 1000, uint64(1_700_000_000 * time.Second)}
}

// block executes a block a while after the last one, from the store alone.
func (w *world) block(after time.Duration, items ...[]byte) {
	w.t.Helper()
	w.height++
	w.now += uint64(after)
	if err := Check(w, cfg, w.roster, w.height, items); err != nil {
		w.t.Fatal(err)
	}
	w.Mem = w.Mem.Clone()
	if skipped := Step(w, cfg, w.roster, w.height, w.now, items); skipped > 0 {
		w.t.Fatalf("%d items were skipped", skipped)
	}
}

// says is the item of a node for the next block; work 0 takes back.
func (w *world) says(node int, work int64) []byte {
	c := Claim{Node: uint32(node), At: w.height + 1, Height: 50, Tip: btc.Hash{byte(node)}, Work: big.NewInt(work).Bytes()}
	return c.Sign(cfg.Life, nodeKey(node))
}

func (w *world) judge() Verdict {
	return Judge(w, cfg, w.roster.Set, big.NewInt(1000), big.NewInt(100), w.now)
}

func (w *world) believed(want bool, what string) {
	w.t.Helper()
	if v := w.judge(); v.Believed() != want || (v.String() != "") != want {
		w.t.Fatalf("%s: %+v", what, v)
	}
}

// TestMinority: f members stop nothing, however much they claim, and f+1 do once they have claimed for long enough.
func TestMinority(t *testing.T) {
	for n := 4; n <= 40; n += 3 {
		w := newWorld(t, n)
		f := w.roster.F()
		for i := range f {
			w.block(time.Second, w.says(i, 1<<62))
		}
		for range 20 {
			w.block(time.Minute)
		}
		if w.believed(false, "f members"); len(w.judge().Members) != f {
			t.Fatalf("n = %d: %+v", n, w.judge())
		}
		w.block(time.Second, w.says(f, 1101))
		w.believed(false, "one more, at once")
		w.block(cfg.For - 1)
		w.believed(false, "a moment before its time")
		w.block(1)
		w.believed(true, "f+1 members")
		if v := w.judge(); f > 0 && v.Tip != (btc.Hash{byte(f - 1)}) || v.Need != f+1 {
			t.Fatalf("%+v", v)
		}
		// The liars cannot take back what the honest one says, and his own word ends it.
		w.block(time.Second, w.says(f, 0))
		w.believed(false, "f+1 less one")
	}
}

// TestCounts: what has too little work, has lapsed, or is of those who left does not count.
func TestCounts(t *testing.T) {
	both := func(w *world, a, b int64) {
		w.block(time.Second, w.says(0, a), w.says(1, b))
		w.block(cfg.For)
	}
	w := newWorld(t, 4)
	both(w, 1101, 1100)
	w.believed(false, "work within the margin")
	w.block(time.Second, w.says(1, 1101))
	w.believed(true, "more work, said without a gap")
	if v := Judge(w, cfg, w.roster.Set, big.NewInt(1001), big.NewInt(100), w.now); v.Believed() {
		t.Error("believed although the followed branch has caught up")
	}
	if v := Judge(w, cfg, members.Set{Nodes: []uint32{1, 2, 3, 4}}, big.NewInt(1000), big.NewInt(100), w.now); v.Believed() {
		t.Error("the word of one who left counts")
	}
	w.block(Lifetime - cfg.For)
	w.believed(false, "one has lapsed")
	w.block(0, w.says(0, 1101))
	w.believed(false, "said again after a gap")
	w = newWorld(t, 4)
	both(w, 1101, 1101)
	for range 30 {
		w.block(Renew, w.says(0, 1101), w.says(1, 1101))
		w.believed(true, "said again and again")
	}
}

// TestItems: only members' own words, once, and not those of long ago.
func TestItems(t *testing.T) {
	w := newWorld(t, 4)
	good := w.says(1, 1101)
	at := func(node int, at uint64) []byte {
		return Claim{Node: uint32(node), At: at, Work: []byte{9}}.Sign(cfg.Life, nodeKey(node))
	}
	for want, items := range map[string][][]byte{
		"257 bytes":                      {make([]byte, MaxItem+1)},
		"cbor":                           {{1, 2, 3}},
		"node 4 is no member":            {w.says(4, 1)},
		"a second one of node 1":         {good, good},
		"not that of node 1":             {Claim{Node: 1, At: 1001}.Sign(cfg.Life, nodeKey(2))},
		"signature is not that of":       {Claim{Node: 1, At: 1001}.Sign([32]byte{8}, nodeKey(1))},
		"made it at block 1002":          {at(1, 1002)},
		"made it at block 901":           {at(1, 901)},
		"work of 33 bytes":               {Claim{Node: 1, At: 1001, Work: append([]byte{1}, make([]byte, 32)...)}.Sign(cfg.Life, nodeKey(1))},
		"work of 2 bytes":                {Claim{Node: 1, At: 1001, Work: []byte{0, 1}}.Sign(cfg.Life, nodeKey(1))},
		"node 2 made it at block 900, f": {good, at(2, 900)},
	} {
		if err := Check(w, cfg, w.roster, 1001, items); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	w.block(time.Second, good, at(2, 902))
	if err := Check(w, cfg, w.roster, 1002, [][]byte{good}); err == nil {
		t.Error("a claim twice")
	}
	if skipped := Step(w, cfg, w.roster, 1002, w.now, [][]byte{good, w.says(3, 1)}); skipped != 1 {
		t.Errorf("%d skipped", skipped)
	}
}

// TestDue: a member says what it sees, again when it is time, and takes it back once.
func TestDue(t *testing.T) {
	w := newWorld(t, 4)
	due := func(work *big.Int) *Claim { return Due(w, 2, w.height+1, w.now, btc.Hash{1}, 60, work) }
	say := func(after time.Duration, c *Claim) { w.block(after, c.Sign(cfg.Life, nodeKey(2))) }
	if due(nil) != nil {
		t.Error("nothing is taken back that was never said")
	}
	c := due(big.NewInt(2000))
	if c == nil || c.Height != 60 || new(big.Int).SetBytes(c.Work).Int64() != 2000 {
		t.Fatalf("%+v", c)
	}
	say(0, c)
	if due(big.NewInt(2000)) != nil {
		t.Error("said again at once")
	}
	w.block(Renew)
	if c = due(big.NewInt(2001)); c == nil {
		t.Fatal("not said again")
	}
	say(0, c)
	if c = due(nil); c == nil || len(c.Work) > 0 {
		t.Fatalf("not taken back: %+v", c)
	}
	say(0, c)
	if due(nil) != nil {
		t.Error("taken back twice")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Claim{Node: 1, At: 2, Work: []byte{3}}.Sign(cfg.Life, nodeKey(1)))
	b, _ := hex.DecodeString("86")
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Decode(b)
		if err == nil && (len(c.Work) > maxWork || len(b) > MaxItem) {
			t.Fatalf("%+v", c)
		}
	})
}
