package utxo

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"math/rand"
	"slices"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"fusion/btc"
	"fusion/btc/chain"
	"fusion/internal/kv"
)

// A writer of the format, for the way back.

func appendCompact(b []byte, n uint64) []byte {
	switch {
	case n < 0xfd:
		return append(b, byte(n))
	case n < 1<<16:
		return binary.LittleEndian.AppendUint16(append(b, 0xfd), uint16(n))
	}
	return binary.LittleEndian.AppendUint32(append(b, 0xfe), uint32(n))
}

func appendVarInt(b []byte, n uint64) []byte {
	digits := []byte{byte(n & 0x7f)}
	for n > 0x7f {
		n = n>>7 - 1
		digits = append(digits, byte(n&0x7f)|0x80)
	}
	slices.Reverse(digits)
	return append(b, digits...)
}

func squeeze(n uint64) uint64 {
	if n == 0 {
		return 0
	}
	e := uint64(0)
	for n%10 == 0 && e < 9 {
		n /= 10
		e++
	}
	if e < 9 {
		return 1 + (n/10*9+n%10-1)*10 + e
	}
	return 1 + (n-1)*10 + 9
}

func appendSnapshotScript(b, s []byte) []byte {
	switch {
	case len(s) == 25 && s[0] == 0x76 && s[1] == 0xa9 && s[2] == 20 && s[23] == 0x88 && s[24] == 0xac:
		return append(append(b, 0), s[3:23]...)
	case len(s) == 23 && s[0] == 0xa9 && s[1] == 20 && s[22] == 0x87:
		return append(append(b, 1), s[2:22]...)
	case len(s) == 35 && s[0] == 33 && s[34] == 0xac && (s[1] == 2 || s[1] == 3):
		return append(append(b, s[1]), s[2:34]...)
	case len(s) == 67 && s[0] == 65 && s[66] == 0xac && s[1] == 4:
		if _, err := secp256k1.ParsePubKey(s[1:66]); err == nil {
			return append(append(b, 4|s[65]&1), s[2:34]...)
		}
	}
	return append(appendVarInt(b, uint64(len(s)+specialScripts)), s...)
}

func writeSnapshot(n btc.Network, block btc.Hash, coins []Coin) []byte {
	slices.SortFunc(coins, func(a, b Coin) int {
		if c := bytes.Compare(a.Outpoint.Txid[:], b.Outpoint.Txid[:]); c != 0 {
			return c
		}
		return bytes.Compare(appendVarInt(nil, uint64(a.Outpoint.Vout)), appendVarInt(nil, uint64(b.Outpoint.Vout))) // as the database does
	})
	b := append([]byte("utxo\xff"), 2, 0)
	b = binary.LittleEndian.AppendUint32(b, n.Magic())
	b = append(b, block[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(coins)))
	for len(coins) > 0 {
		k := 1
		for k < len(coins) && coins[k].Outpoint.Txid == coins[0].Outpoint.Txid {
			k++
		}
		b = append(b, coins[0].Outpoint.Txid[:]...)
		b = appendCompact(b, uint64(k))
		for _, c := range coins[:k] {
			b = appendCompact(b, uint64(c.Outpoint.Vout))
			b = appendVarInt(b, uint64(c.code()))
			b = appendVarInt(b, squeeze(uint64(c.Value)))
			b = appendSnapshotScript(b, c.Script)
		}
		coins = coins[k:]
	}
	return b
}

// serializedHash is hash_serialized_3 the long way.
func serializedHash(coins []Coin) btc.Hash {
	coins = slices.Clone(coins)
	slices.SortFunc(coins, func(a, b Coin) int {
		if c := bytes.Compare(a.Outpoint.Txid[:], b.Outpoint.Txid[:]); c != 0 {
			return c
		}
		return int(a.Outpoint.Vout) - int(b.Outpoint.Vout)
	})
	h := sha256.New()
	for i := range coins {
		h.Write(coins[i].element())
	}
	return sha256.Sum256(h.Sum(nil))
}

func stableCoins(t testing.TB, r kv.Reader) (out []Coin) {
	kv.ScanPrefix(r, []byte("u"), func(k, v []byte) bool {
		c, err := decodeCoin(readOutpoint(k[1:]), v)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, *c)
		return true
	})
	return out
}

// chainFile is what Replay reads.
func chainFile(blocks []*block) []byte { return headers(blocks...).Headers }

// snapshotOf makes a snapshot of a state's stable set, and what names it.
func snapshotOf(t testing.TB, st *State) ([]byte, Base) {
	coins := stableCoins(t, st.store)
	return writeSnapshot(st.Network(), st.Anchor().Hash, coins), Base{st.Anchor().Height, st.Anchor().Hash, serializedHash(coins)}
}

// importInto runs an import into memory, as a replica does into its database.
func importInto(sim *simnet, delta uint32, want Base, file, chainBytes []byte) (*kv.Mem, error) {
	p, err := chain.Replay(sim.params, bytes.NewReader(chainBytes), want.Height, want.Block)
	if err != nil {
		return nil, err
	}
	r, err := ReadSnapshot(p.Network, bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	store := kv.NewMem()
	set := func(k, v []byte) error { store.Set(k, v); return nil }
	if err := Import(Options{Params: p, Stability: delta}, want, r, set, nil); err != nil {
		return nil, err
	}
	return store, StoreBalances(store, set)
}

// A state that began with a snapshot is the one that followed the chain, now and later.
func TestImportIsTheFollowedState(t *testing.T) {
	sim := newSimnet(t)
	rng := rand.New(rand.NewSource(9))
	blocks := sim.chain(sim.genesis, 120, testAddress(1))
	var free []btc.Outpoint
	for _, b := range blocks[:20] {
		free = append(free, out(b.txs[0], 0))
	}
	blocks = append(blocks, busy(sim, rng, last(blocks), free, 40)...)
	more := sim.chain(last(blocks), 30, testAddress(2))
	followed := sim.open(t, 6, kv.NewMem())
	feed(t, followed, blocks...)
	file, want := snapshotOf(t, followed)
	store, err := importInto(sim, 6, want, file, chainFile(blocks))
	if err != nil {
		t.Fatal(err)
	}
	for _, prefix := range []string{"u", "a", "b", "c", "Hs"} {
		var x, y []string
		kv.ScanPrefix(followed.store, []byte(prefix), func(k, v []byte) bool { x = append(x, hex.EncodeToString(k)+"="+hex.EncodeToString(v)); return true })
		kv.ScanPrefix(store, []byte(prefix), func(k, v []byte) bool { y = append(y, hex.EncodeToString(k)+"="+hex.EncodeToString(v)); return true })
		if !slices.Equal(x, y) {
			t.Errorf("keys %q: %d of the followed state, %d of the imported one", prefix, len(x), len(y))
		}
	}
	imported, err := Open(Options{Params: sim.params, Stability: 6, Snapshot: &want}, store)
	if err != nil {
		t.Fatal(err)
	}
	if imported.Anchor().Hash != want.Block || imported.SetHash() != followed.SetHash() || imported.Info().StableCoins != followed.Info().StableCoins {
		t.Fatalf("imported %+v, followed %+v", imported.Info(), followed.Info())
	}
	feed(t, imported, blocks[want.Height:]...)
	for _, st := range []*State{imported, followed} {
		feed(t, st, more...)
	}
	if imported.SetHash() != followed.SetHash() || imported.Tip().Hash != followed.Tip().Hash {
		t.Error("they part afterwards")
	}
	for n := range byte(12) {
		if x, y := balanceOf(t, imported, testAddress(n), 3), balanceOf(t, followed, testAddress(n), 3); x != y {
			t.Errorf("%v: %v, followed %v", testAddress(n), x, y)
		}
	}
}

// Every form of script and amount survives the way there and back, outputs beyond the encoding's order included.
func TestSnapshotForms(t *testing.T) {
	key := secp256k1.PrivKeyFromBytes(bytes.Repeat([]byte{7}, 32)).PubKey()
	full := append(append([]byte{65}, key.SerializeUncompressed()...), 0xac)
	fake := slices.Clone(full)
	fake[40] ^= 1 // not on the curve, so it has no short form
	scripts := [][]byte{nil, {0x51}, full, fake, append(append([]byte{33}, key.SerializeCompressed()...), 0xac), bytes.Repeat([]byte{0x52}, 10_000)}
	for n := range byte(5) {
		scripts = append(scripts, testAddress(n).Script())
	}
	amounts := []btc.Satoshi{0, 1, 9, 10, 123456789, 50 * btc.Coin, btc.MaxMoney, btc.MaxMoney - 1}
	var coins []Coin
	for i, s := range scripts {
		for j, a := range amounts {
			coins = append(coins, Coin{btc.Outpoint{Txid: btc.Hash{byte(i)}, Vout: uint32(j * 4000)}, a, uint32(i * 1000), j == 1, s})
		}
	}
	r, err := ReadSnapshot(btc.Mainnet, bytes.NewReader(writeSnapshot(btc.Mainnet, btc.Hash{5}, coins)))
	if err != nil || r.Block != (btc.Hash{5}) || r.Coins != uint64(len(coins)) {
		t.Fatalf("%+v %v", r, err)
	}
	slices.SortFunc(coins, func(a, b Coin) int {
		if c := bytes.Compare(a.Outpoint.Txid[:], b.Outpoint.Txid[:]); c != 0 {
			return c
		}
		return int(a.Outpoint.Vout) - int(b.Outpoint.Vout)
	})
	at := 0
	for {
		list, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			if w := coins[at]; c.Outpoint != w.Outpoint || c.Value != w.Value || c.Height != w.Height || c.Coinbase != w.Coinbase || !bytes.Equal(c.Script, w.Script) {
				t.Fatalf("coin %d: %+v, want %+v", at, c, w)
			}
			at++
		}
	}
	if at != len(coins) || r.Hash() != serializedHash(coins) {
		t.Errorf("%d coins of %d, hash %v", at, len(coins), r.Hash())
	}
}

// Whatever is wrong with a file, or with what it is held against, is found, and named.
func TestImportRefuses(t *testing.T) {
	sim := newSimnet(t)
	blocks := sim.chain(sim.genesis, 40, testAddress(1))
	st := sim.open(t, 6, kv.NewMem())
	feed(t, st, blocks...)
	file, want := snapshotOf(t, st)
	for name, c := range map[string]struct {
		file, chain func([]byte) []byte
		want        func(*Base)
		err         error
	}{
		"other magic":     {file: func(b []byte) []byte { b[0]++; return b }, err: ErrSnapshot},
		"version 1":       {file: func(b []byte) []byte { b[5] = 1; return b }, err: ErrSnapshot},
		"other network":   {file: func(b []byte) []byte { b[7]++; return b }, err: ErrSnapshot},
		"other block":     {file: func(b []byte) []byte { b[12]++; return b }, err: ErrSnapshotBase},
		"fewer coins":     {file: func(b []byte) []byte { b[43]--; return b }, err: ErrSnapshot},
		"more coins":      {file: func(b []byte) []byte { b[43]++; return b }, err: ErrSnapshot},
		"cut short":       {file: func(b []byte) []byte { return b[:len(b)-1] }, err: ErrSnapshot},
		"cut in the head": {file: func(b []byte) []byte { return b[:20] }, err: ErrSnapshot},
		"longer":          {file: func(b []byte) []byte { return append(b, 0) }, err: ErrSnapshot},
		"other coin":      {file: func(b []byte) []byte { b[len(b)-1]++; return b }, err: ErrSnapshotHash},
		"other hash":      {want: func(w *Base) { w.Hash[3]++ }, err: ErrSnapshotHash},
		"other height":    {want: func(w *Base) { w.Height-- }, err: chain.ErrReplay},
		"headers end":     {chain: func(b []byte) []byte { return b[:80*20] }, err: chain.ErrReplay},
		"header is wrong": {chain: func(b []byte) []byte { b[80*10+10]++; return b }, err: chain.ErrOrphan},
	} {
		f, h, w := slices.Clone(file), slices.Clone(chainFile(blocks)), want
		if c.file != nil {
			f = c.file(f)
		}
		if c.chain != nil {
			h = c.chain(h)
		}
		if c.want != nil {
			c.want(&w)
		}
		if _, err := importInto(sim, 6, w, f, h); !errors.Is(err, c.err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(Options{Params: sim.params, Stability: 6, Snapshot: &want}, kv.NewMem()); !errors.Is(err, ErrSnapshotMissing) {
		t.Errorf("without an import: %v", err)
	}
	if err := want.Accept(btc.Mainnet); !errors.Is(err, ErrSnapshotBase) {
		t.Errorf("mainnet takes anything: %v", err)
	}
	for _, n := range []btc.Network{btc.Mainnet, btc.Testnet4, btc.Signet} {
		if len(Bases(n)) == 0 || Bases(n)[0].Accept(n) != nil {
			t.Errorf("%v has no snapshot", n)
		}
	}
}

// A chain whose headers reach over several difficulty periods begins where all rules can be checked.
func TestReplayKeepsWhatTheRulesNeed(t *testing.T) {
	sim := newSimnet(t)
	blocks := sim.chain(sim.genesis, 5000, testAddress(1))
	p, err := chain.Replay(sim.params, bytes.NewReader(chainFile(blocks)), 4500, blocks[4499].hash)
	if err != nil || len(p.Base) != 2*2016+11 || p.BaseHeight != 4500-2*2016-10 || p.Base[len(p.Base)-1].Hash() != blocks[4499].hash {
		t.Fatalf("%d headers from height %d on, %v", len(p.Base), p.BaseHeight, err)
	}
	full := sim.open(t, 6, kv.NewMem())
	for c := range slices.Chunk(blocks, 100) {
		full.Apply(headers(c...), late)
	}
	sim.params = p
	st := sim.open(t, 6, kv.NewMem())
	for c := range slices.Chunk(blocks[4500:], 100) {
		st.Apply(headers(c...), late)
	}
	if st.BestHeader().Hash != last(blocks).hash || st.BestHeader().Work.Cmp(full.BestHeader().Work) != 0 {
		t.Errorf("best header %v with work %v, want %v", st.BestHeader().Height, st.BestHeader().Work, full.BestHeader().Work)
	}
}

func FuzzSnapshot(f *testing.F) {
	coins := []Coin{{btc.Outpoint{Txid: btc.Hash{1}}, 5, 7, true, testAddress(1).Script()}, {btc.Outpoint{Txid: btc.Hash{1}, Vout: 300}, 50 * btc.Coin, 7, true, []byte{0x51}},
		{btc.Outpoint{Txid: btc.Hash{2}}, 0, 1 << 20, false, nil}}
	f.Add(writeSnapshot(btc.Regtest, btc.Hash{9}, coins))
	f.Add(writeSnapshot(btc.Regtest, btc.Hash{9}, nil))
	f.Add([]byte("utxo\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ReadSnapshot(btc.Regtest, bytes.NewReader(b))
		if err != nil {
			return
		}
		var coins []Coin
		for {
			list, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return
			}
			for _, c := range list {
				c.Script = bytes.Clone(c.Script)
				coins = append(coins, c)
			}
		}
		if uint64(len(coins)) != r.Coins || r.Hash() != serializedHash(coins) {
			t.Fatalf("%d coins of %d", len(coins), r.Coins)
		}
		again, err := ReadSnapshot(btc.Regtest, bytes.NewReader(writeSnapshot(btc.Regtest, r.Block, coins)))
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = again.Next()
		}
		if !errors.Is(err, io.EOF) || again.Hash() != r.Hash() {
			t.Fatalf("changes when written again: %v", err)
		}
	})
}
