package chain

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/big"
	"testing"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chaincfg"
	"pgregory.net/rapid"

	"fusion/btc"
	"fusion/internal/kv"
	"fusion/internal/modtest"
)

const late = int64(1) << 40 // block time when the future bound does not matter

func open(t testing.TB, p Params, store kv.Store) *Tree {
	t.Helper()
	tree, err := Open(p, store)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func params(t testing.TB, n btc.Network) Params {
	t.Helper()
	p, err := ParamsOf(n)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// mine finds a header on top of parent; salt makes siblings differ.
func mine(t testing.TB, tree *Tree, parent *Node, time uint32, salt byte) btc.Header {
	t.Helper()
	bits, err := tree.NextBits(parent, time)
	if err != nil {
		t.Fatal(err)
	}
	return solve(btc.Header{Version: 4, Prev: parent.Hash, MerkleRoot: btc.Hash{salt}, Time: time, Bits: bits})
}

func solve(h btc.Header) btc.Header {
	target, ok := Target(h.Bits)
	if !ok {
		panic("bad target")
	}
	for ; !meets(h.Hash(), target); h.Nonce++ {
	}
	return h
}

func accept(t testing.TB, tree *Tree, h btc.Header) *Node {
	t.Helper()
	n, _, err := tree.Accept(h, late)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func grow(t testing.TB, tree *Tree, from *Node, n int, salt byte) *Node {
	t.Helper()
	for range n {
		from = accept(t, tree, mine(t, tree, from, from.Header.Time+600, salt))
	}
	return from
}

func TestGenesisBlocksMatchBtcd(t *testing.T) {
	for n, ref := range map[btc.Network]*chaincfg.Params{btc.Mainnet: &chaincfg.MainNetParams, btc.Testnet4: &chaincfg.TestNet4Params,
		btc.Signet: &chaincfg.SigNetParams, btc.Regtest: &chaincfg.RegressionNetParams} {
		p := params(t, n)
		if got := p.Base[0].Hash(); got != btc.Hash(*ref.GenesisHash) {
			t.Errorf("%v: genesis %v", n, got)
		}
		if p.PowLimitBits != ref.PowLimitBits || p.HalvingInterval != uint32(ref.SubsidyReductionInterval) || p.NoRetarget != ref.PoWNoRetargeting || p.MinDifficulty != ref.ReduceMinDifficulty {
			t.Errorf("%v: constants differ from btcd's", n)
		}
		for _, h := range []uint32{0, 1, 149, 150, 209_999, 210_000, 6_929_999, 6_930_000, 1 << 31} {
			if got := p.Subsidy(h); int64(got) != blockchain.CalcBlockSubsidy(int32(min(h, 1<<31-1)), ref) {
				t.Errorf("%v: subsidy at %d is %d", n, h, got)
			}
		}
	}
}

// The vectors of Bitcoin Core's pow_tests.
func TestRetarget(t *testing.T) {
	p := params(t, btc.Mainnet)
	for _, c := range []struct {
		first, last int64
		bits, want  uint32
	}{
		{1261130161, 1262152739, 0x1d00ffff, 0x1d00d86a},
		{1231006505, 1233061996, 0x1d00ffff, 0x1d00ffff}, // the limit
		{1279008237, 1279297671, 0x1c05a3f4, 0x1c0168fd}, // not by more than a factor of four
		{1263163443, 1269211443, 0x1c387f6f, 0x1d00e1fd},
	} {
		if got, err := p.retarget(c.bits, c.last-c.first); err != nil || got != c.want {
			t.Errorf("%#x: %#x, %v, want %#x", c.bits, got, err, c.want)
		}
	}
}

func TestTargetsMatchBtcd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.Uint32().Draw(t, "bits")
		ref := blockchain.CompactToBig(bits)
		got, ok := Target(bits)
		if ok != (ref.Sign() > 0 && ref.BitLen() <= 256) {
			t.Fatalf("%#x: valid %v, btcd %v", bits, ok, ref)
		}
		if !ok {
			if Work(bits).Sign() != 0 {
				t.Fatalf("%#x: work of a bad target", bits)
			}
			return
		}
		if got.Cmp(ref) != 0 || Compact(got) != blockchain.BigToCompact(ref) || Work(bits).Cmp(blockchain.CalcWork(bits)) != 0 {
			t.Fatalf("%#x: target %x, btcd %x", bits, got, ref)
		}
	})
}

func TestRules(t *testing.T) {
	p := params(t, btc.Regtest)
	p.BIP94 = true
	p.BIP65Height = 3
	tree := open(t, p, kv.NewMem())
	tip := grow(t, tree, tree.Anchor(), 20, 0)
	good := mine(t, tree, tip, tip.Header.Time+600, 0)
	change := func(f func(*btc.Header)) btc.Header { h := good; f(&h); return h }
	unsolved := good
	for target, _ := Target(unsolved.Bits); meets(unsolved.Hash(), target); {
		unsolved.Nonce++
	}
	for name, c := range map[string]struct {
		h    btc.Header
		want error
	}{
		"orphan":       {solve(change(func(h *btc.Header) { h.Prev[0] ^= 1 })), ErrOrphan},
		"no work":      {unsolved, ErrProofOfWork},
		"easy target":  {change(func(h *btc.Header) { h.Bits = 0x2100ffff }), ErrTarget},
		"hard target":  {solve(change(func(h *btc.Header) { h.Bits = 0x207ffffe })), ErrTarget},
		"median":       {solve(change(func(h *btc.Header) { h.Time = tree.MedianTime(tip) })), ErrTimeTooOld},
		"low version":  {solve(change(func(h *btc.Header) { h.Version = 3 })), ErrVersion},
		"neg. version": {solve(change(func(h *btc.Header) { h.Version = -1 })), ErrVersion},
	} {
		if _, _, err := tree.Accept(c.h, late); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	// The future is later, not invalid: the same header is taken when block time has come near.
	if _, _, err := tree.Accept(good, int64(good.Time)-MaxFuture-1); !errors.Is(err, ErrFuture) {
		t.Errorf("future: %v", err)
	}
	n, _, err := tree.Accept(good, int64(good.Time)-MaxFuture)
	if err != nil || tree.Best() != n {
		t.Errorf("near future: %v", err)
	}
	if again, _, err := tree.Accept(good, 0); err != nil || again != n {
		t.Errorf("known header: %v", err)
	}
	if median := solve(change(func(h *btc.Header) { h.Time = tree.MedianTime(tip) + 1 })); accept(t, tree, median).Height != n.Height {
		t.Error("just above the median")
	}
}

// Difficulty over two periods with every rule in play: too fast, the 20-minute exception and the way back from it, and BIP94.
func TestDifficultyPeriods(t *testing.T) {
	for _, bip94 := range []bool{false, true} {
		p := params(t, btc.Regtest)
		p.NoRetarget, p.BIP94 = false, bip94
		tree := open(t, p, kv.NewMem())
		n := tree.Anchor()
		for n.Height < retargetInterval-1 { // four times too fast
			n = accept(t, tree, mine(t, tree, n, n.Header.Time+150, 0))
		}
		n = accept(t, tree, mine(t, tree, n, n.Header.Time+150, 0))
		if n.Header.Bits != 0x201fffff {
			t.Fatalf("after a fast period: %#x", n.Header.Bits)
		}
		hard := n.Header.Bits
		n = accept(t, tree, mine(t, tree, n, n.Header.Time+1201, 0))
		if n.Header.Bits != p.PowLimitBits {
			t.Fatalf("after twenty minutes: %#x", n.Header.Bits)
		}
		n = accept(t, tree, mine(t, tree, n, n.Header.Time+1200, 0))
		if n.Header.Bits != hard {
			t.Fatalf("back from the exception: %#x", n.Header.Bits)
		}
		for n.Height < 2*retargetInterval-2 {
			n = accept(t, tree, mine(t, tree, n, n.Header.Time+600, 0))
		}
		// The period's last block is an exception. Before BIP94 that made the next period easy.
		n = accept(t, tree, mine(t, tree, n, n.Header.Time+1201, 0))
		bits, err := tree.NextBits(n, n.Header.Time+600)
		if err != nil {
			t.Fatal(err)
		}
		if easy := bits == p.PowLimitBits; easy == bip94 {
			t.Errorf("BIP94 %v: next period has %#x", bip94, bits)
		}
		warp := mine(t, tree, n, tree.MedianTime(n)+1, 0)
		if _, _, err := tree.Accept(warp, late); errors.Is(err, ErrTimewarp) != bip94 {
			t.Errorf("BIP94 %v: time warp: %v", bip94, err)
		}
	}
}

func TestBranches(t *testing.T) {
	store := kv.NewMem()
	p := params(t, btc.Regtest)
	tree := open(t, p, store)
	a := grow(t, tree, tree.Anchor(), 3, 1)
	b := grow(t, tree, tree.Anchor(), 3, 2)
	if tree.Best() != a {
		t.Error("a tie is not won by the first")
	}
	b = grow(t, tree, b, 1, 2)
	if tree.Best() != b {
		t.Error("more work does not win")
	}
	a = grow(t, tree, a, 3, 1)
	tree.SetBody(a.Ancestor(1), 300)
	removed := tree.SetInvalid(a.Ancestor(5))
	if len(removed) != 1 || removed[0] != a || tree.Best() != b && tree.Best() != a.Ancestor(4) {
		t.Errorf("removed %v", removed)
	}
	if _, _, err := tree.Accept(a.Header, late); !errors.Is(err, ErrInvalidParent) {
		t.Errorf("above an invalid block: %v", err)
	}
	check := func(want *Tree) {
		t.Helper()
		got := open(t, p, store)
		x, y := want.Sorted(), got.Sorted()
		if len(x) != len(y) || got.Best().Hash != want.Best().Hash || got.Anchor().Hash != want.Anchor().Hash || got.seq != want.seq {
			t.Fatal("reopened tree differs")
		}
		for i := 1; i < len(x); i++ { // the first is the anchor
			if x[i].Hash != y[i].Hash || x[i].Work.Cmp(y[i].Work) != 0 || x[i].Seq != y[i].Seq || x[i].Body != y[i].Body || x[i].Size != y[i].Size {
				t.Fatalf("reopened node %d differs: %+v, %+v", i, x[i], y[i])
			}
		}
	}
	check(tree)
	removed = tree.Advance(b.Ancestor(1))
	if len(removed) != 5 || tree.Best() != b || tree.Anchor().Height != 1 {
		t.Errorf("%d removed, best %v", len(removed), tree.Best().Hash)
	}
	check(tree)
	if _, _, err := tree.Accept(a.Ancestor(2).Header, late); !errors.Is(err, ErrOrphan) {
		t.Errorf("below the anchor: %v", err)
	}
	if h, ok := tree.HeaderAt(b, 1); !ok || h.Hash() != tree.Anchor().Hash {
		t.Error("final header")
	}
	other := params(t, btc.Testnet4)
	if _, err := Open(other, store); err == nil {
		t.Error("another network's store was opened")
	}
	store.Set(nodeKey(b.Ancestor(3).Hash), []byte{1})
	if _, err := Open(p, store); !errors.Is(err, ErrCorrupt) {
		t.Errorf("corrupt store: %v", err)
	}
}

// Free headers cannot fill the memory, and cannot keep the heaviest branch out.
func TestTreeIsBounded(t *testing.T) {
	p := params(t, btc.Regtest)
	p.MaxHeaders = 20
	tree := open(t, p, kv.NewMem())
	main := grow(t, tree, tree.Anchor(), 10, 1)
	for salt := range byte(10) {
		grow(t, tree, tree.Anchor(), 1, 10+salt)
	}
	if _, _, err := tree.Accept(mine(t, tree, tree.Anchor(), tree.Anchor().Header.Time+600, 99), late); !errors.Is(err, ErrFull) {
		t.Errorf("one more side branch: %v", err)
	}
	h := mine(t, tree, main, main.Header.Time+600, 1)
	n, evicted, err := tree.Accept(h, late)
	if err != nil || len(evicted) != 1 || tree.Best() != n || tree.Len() != 20 || evicted[0].Header.MerkleRoot[0] != 19 {
		t.Errorf("heavier: %v, evicted %v", err, evicted)
	}
	main = grow(t, tree, n, 9, 1)
	if _, _, err := tree.Accept(mine(t, tree, main, main.Header.Time+600, 1), late); !errors.Is(err, ErrFull) || tree.Len() != 20 {
		t.Errorf("only the heaviest branch is left: %v", err)
	}
	tree.Advance(main.Ancestor(1))
	grow(t, tree, main, 1, 1)
}

// Mainnet's first 14,132 headers, from the test data in btcd's module.
func TestMainnetHeaders(t *testing.T) {
	raw := modtest.Read(t, "github.com/btcsuite/btcd", "blockchain/testdata/blk_0_to_14131.dat")
	p := params(t, btc.Mainnet)
	p.MaxHeaders = 1000
	tree := open(t, p, kv.NewMem())
	for len(raw) > 8 && binary.LittleEndian.Uint32(raw) == btc.Mainnet.Magic() {
		size := binary.LittleEndian.Uint32(raw[4:])
		h, err := btc.ParseHeader(raw[8:88])
		if err != nil {
			t.Fatal(err)
		}
		raw = raw[8+size:]
		if h.Prev.IsZero() {
			continue
		}
		n := accept(t, tree, h)
		for tree.Len() > 900 {
			tree.Advance(n.Ancestor(tree.Anchor().Height + 1))
		}
	}
	if tree.Best().Height != 14131 {
		t.Errorf("height %d", tree.Best().Height)
	}
	if tree.EnoughWork() {
		t.Error("three months of mainnet are taken for all of it")
	}
	if d := Difficulty(tree.Best().Header.Bits, p.PowLimit); d.Cmp(big.NewInt(1)) != 0 {
		t.Errorf("difficulty %v", d)
	}
}

func FuzzAccept(f *testing.F) {
	p, err := ParamsOf(btc.Regtest)
	if err != nil {
		f.Fatal(err)
	}
	tree, err := Open(p, kv.NewMem())
	if err != nil {
		f.Fatal(err)
	}
	h := solve(btc.Header{Version: 4, Prev: tree.Anchor().Hash, Time: tree.Anchor().Header.Time + 1, Bits: p.PowLimitBits}).Bytes()
	f.Add(h[:])
	f.Add(bytes.Repeat([]byte{0xff}, 80))
	f.Fuzz(func(t *testing.T, b []byte) {
		tree, err := Open(p, kv.NewMem())
		if err != nil {
			t.Fatal(err)
		}
		h, err := btc.ParseHeader(b)
		if err != nil {
			return
		}
		if n, _, err := tree.Accept(h, late); err == nil && (n.Height > 1 || !meets(n.Hash, p.PowLimit)) {
			t.Fatal("accepted without work")
		}
	})
}
