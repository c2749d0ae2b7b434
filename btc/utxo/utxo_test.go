package utxo

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"fusion/btc"
	"fusion/btc/chain"
	"fusion/internal/codec"
	"fusion/internal/kv"
)

const late = uint64(1) << 62 // a block time when nothing lies in the future

// block is a block under construction, and what the naive model keeps of it.
type block struct {
	parent *block
	header btc.Header
	hash   btc.Hash
	height uint32
	txs    []*btc.Tx
	raw    []byte
}

// simnet builds blocks as a miner would.
type simnet struct {
	params  chain.Params
	genesis *block
	salt    uint32
}

func newSimnet(t testing.TB) *simnet {
	p, err := chain.ParamsOf(btc.Regtest)
	if err != nil {
		t.Fatal(err)
	}
	g := p.Base[0]
	return &simnet{params: p, genesis: &block{header: g, hash: g.Hash()}}
}

func (s *simnet) open(t testing.TB, delta uint32, store kv.Store) *State {
	t.Helper()
	st, err := Open(Options{Params: s.params, Stability: delta}, store)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func testAddress(n byte) btc.Address {
	kinds := []btc.AddressKind{btc.P2WPKH, btc.P2PKH, btc.P2TR, btc.P2WSH, btc.P2SH}
	k := kinds[int(n)%len(kinds)]
	a, err := btc.NewAddress(btc.Regtest, k, bytes.Repeat([]byte{n}, k.PayloadLen()))
	if err != nil {
		panic(err)
	}
	return a
}

func (s *simnet) coinbase(height uint32, value btc.Satoshi, to btc.Address) *btc.Tx {
	s.salt++
	script := []byte{byte(0x50 + height)} // OP_1 to OP_16
	if height > 16 {
		n := []byte{byte(height), byte(height >> 8), byte(height >> 16), 0}
		for n[len(n)-1] == 0 && n[len(n)-2]&0x80 == 0 {
			n = n[:len(n)-1]
		}
		script = append([]byte{byte(len(n))}, n...)
	}
	script = binary.LittleEndian.AppendUint32(append(script, 4), s.salt) // differs in every block
	return &btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: btc.Outpoint{Vout: 0xffffffff}, ScriptSig: script, Sequence: 0xffffffff}},
		Outputs: []btc.TxOut{{Value: value, Script: to.Script()}}}
}

func assemble(h btc.Header, txs []*btc.Tx) []byte {
	b := h.Bytes()
	raw := append(b[:], 0xfd, byte(len(txs)), byte(len(txs)>>8))
	if len(txs) < 0xfd {
		raw = append(b[:], byte(len(txs)))
	}
	for _, tx := range txs {
		raw = append(raw, tx.Bytes()...)
	}
	return raw
}

// mine makes a block with the given transactions; fees go to the miner if claim says so.
func (s *simnet) mine(parent *block, to btc.Address, fees btc.Satoshi, txs ...*btc.Tx) *block {
	height := parent.height + 1
	b := &block{parent: parent, height: height, txs: append([]*btc.Tx{s.coinbase(height, s.params.Subsidy(height)+fees, to)}, txs...)}
	s.seal(b)
	return b
}

// seal computes roots and work.
func (s *simnet) seal(b *block) {
	var ids, wids []btc.Hash
	segwit := false
	for i, tx := range b.txs {
		ids = append(ids, tx.Txid())
		if i == 0 {
			wids = append(wids, btc.Hash{})
		} else {
			wids = append(wids, tx.Wtxid())
			segwit = segwit || tx.HasWitness()
		}
	}
	if segwit && len(b.txs[0].Inputs[0].Witness) == 0 {
		root := btc.MerkleRoot(wids)
		c := btc.DoubleSHA256(append(root[:], make([]byte, 32)...))
		b.txs[0].Outputs = append(b.txs[0].Outputs, btc.TxOut{Script: append([]byte{0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed}, c[:]...)})
		b.txs[0].Inputs[0].Witness = [][]byte{make([]byte, 32)}
		ids[0] = b.txs[0].Txid()
	}
	b.header = btc.Header{Version: 4, Prev: b.parent.hash, MerkleRoot: btc.MerkleRoot(ids), Time: b.parent.header.Time + 600, Bits: s.params.PowLimitBits}
	b.solve()
}

func (b *block) solve() {
	limit, _ := chain.Target(b.header.Bits)
	for {
		h := b.header.Hash()
		slices.Reverse(h[:])
		if new(big.Int).SetBytes(h[:]).Cmp(limit) <= 0 {
			break
		}
		b.header.Nonce++
	}
	b.hash = b.header.Hash()
	b.raw = assemble(b.header, b.txs)
}

func (s *simnet) chain(from *block, n int, to btc.Address) []*block {
	var out []*block
	for range n {
		from = s.mine(from, to, 0)
		out = append(out, from)
	}
	return out
}

func last(b []*block) *block { return b[len(b)-1] }

func items(blocks ...*block) Items {
	var it Items
	for _, b := range blocks {
		it.Blocks = append(it.Blocks, b.raw)
	}
	return it
}

func headers(blocks ...*block) Items {
	var it Items
	for _, b := range blocks {
		h := b.header.Bytes()
		it.Headers = append(it.Headers, h[:]...)
	}
	return it
}

// feed applies blocks one payload at a time and insists that each is taken.
func feed(t testing.TB, st *State, blocks ...*block) {
	t.Helper()
	per := 20
	if len(blocks) > 0 && len(last(blocks).raw) > 100_000 {
		per = 1
	}
	for chunk := range slices.Chunk(blocks, per) {
		it := items(chunk...)
		if err := st.CheckPayload(it); err != nil {
			t.Fatal(err)
		}
		for i, o := range st.Apply(it, late) {
			if o.Err != nil || o.Hash != chunk[i].hash || o.Height != chunk[i].height || !o.Body {
				t.Fatalf("block %d: %+v", chunk[i].height, o)
			}
		}
	}
}

func spend(value btc.Satoshi, to btc.Address, from ...btc.Outpoint) *btc.Tx {
	tx := &btc.Tx{Version: 2, Outputs: []btc.TxOut{{Value: value, Script: to.Script()}}}
	for _, o := range from {
		tx.Inputs = append(tx.Inputs, btc.TxIn{Prev: o, Sequence: btc.SequenceRBF, Witness: [][]byte{{1}}})
	}
	return tx
}

func out(tx *btc.Tx, n uint32) btc.Outpoint { return btc.Outpoint{Txid: tx.Txid(), Vout: n} }

func balanceOf(t testing.TB, st *State, a btc.Address, conf uint32) btc.Satoshi {
	t.Helper()
	b, err := st.Live().Balance(a, conf)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func listOf(t testing.TB, st *State, a btc.Address, conf uint32) []Coin {
	t.Helper()
	p, err := st.Live().UTXOs(a, conf)
	if err != nil {
		t.Fatal(err)
	}
	coins := p.Coins
	for p.Next != nil {
		tip := p.Tip
		if p, err = st.Live().NextUTXOs(a, p.Next); err != nil {
			t.Fatal(err)
		}
		if p.Tip != tip {
			t.Fatal("a page shows another tip")
		}
		coins = append(coins, p.Coins...)
	}
	return coins
}

// The vector of Bitcoin Core's muhash_tests, and the algebra.
func TestMuHash(t *testing.T) {
	element := func(n byte) []byte { return append([]byte{n}, make([]byte, 31)...) }
	m := NewMuHash()
	m.Insert(element(0))
	m.Insert(element(1))
	m.Remove(element(2))
	if got := btc.Hash(m.Digest()).String(); got != "10d312b100cbd32ada024a6646e40d3482fcff103668d2625f10002a607d5863" {
		t.Errorf("digest %s", got)
	}
	back, err := ParseMuHash(m.Bytes())
	if err != nil || back.Digest() != m.Digest() {
		t.Error("changes when read back")
	}
	m.Insert(element(2))
	m.Remove(element(1))
	m.Remove(element(0))
	if m.Digest() != NewMuHash().Digest() {
		t.Error("the emptied set is not empty")
	}
	for name, b := range map[string][]byte{"short": make([]byte, 10), "zero": make([]byte, 768)} {
		if _, err := ParseMuHash(b); err == nil {
			t.Errorf("%s state was accepted", name)
		}
	}
	// A numerator above the prime stands for its remainder: Core's overflow vector.
	over := append(bytes.Repeat([]byte{0xff}, muSize), make([]byte, muSize)...)
	over[muSize] = 1
	big, err := ParseMuHash(over)
	if err != nil || fmt.Sprintf("%x", big.Digest()) != "3a31e6903aff0de9f62f9a9f7f8b861de76ce2cda09822b90014319ae5dc2271" {
		t.Errorf("overflow: %x %v", big.Digest(), err)
	}
}

func TestDepositAndSpend(t *testing.T) {
	sim := newSimnet(t)
	st := sim.open(t, 6, kv.NewMem())
	miner, alice, bob := testAddress(1), testAddress(2), testAddress(3)
	blocks := sim.chain(sim.genesis, 101, miner)
	feed(t, st, blocks...)
	if st.Anchor().Height != 96 || st.Tip().Height != 101 || !st.Synced() {
		t.Fatalf("anchor %d, tip %d", st.Anchor().Height, st.Tip().Height)
	}
	// Of 101 coinbases two have 100 confirmations.
	if got := balanceOf(t, st, miner, 0); got != 100*btc.Coin {
		t.Errorf("miner has %v", got)
	}
	first := out(blocks[0].txs[0], 0)
	pay := spend(49*btc.Coin, alice, first)
	b1 := sim.mine(last(blocks), miner, btc.Coin, pay)
	feed(t, st, b1)
	if a, m := balanceOf(t, st, alice, 0), balanceOf(t, st, miner, 0); a != 49*btc.Coin || m != 100*btc.Coin {
		t.Errorf("alice %v, miner %v", a, m)
	}
	if got := balanceOf(t, st, alice, 2); got != 0 {
		t.Errorf("with two confirmations: %v", got)
	}
	if coins := listOf(t, st, alice, 1); len(coins) != 1 || coins[0].Outpoint != out(pay, 0) || coins[0].Height != 102 {
		t.Errorf("coins %+v", coins)
	}
	// Spent again in the same block as received.
	hop1 := spend(48*btc.Coin, bob, out(pay, 0))
	hop2 := spend(47*btc.Coin, alice, out(hop1, 0))
	b2 := sim.mine(b1, miner, 2*btc.Coin, hop1, hop2)
	feed(t, st, b2)
	if a, b := balanceOf(t, st, alice, 1), balanceOf(t, st, bob, 1); a != 47*btc.Coin || b != 0 {
		t.Errorf("alice %v, bob %v", a, b)
	}
	if a := balanceOf(t, st, alice, 2); a != 49*btc.Coin {
		t.Errorf("alice a block ago: %v", a)
	}
	fees, err := st.Live().FeePercentiles()
	if err != nil || len(fees) != 101 || fees[0] == 0 || !slices.IsSorted(fees) {
		t.Errorf("fees %v %v", fees, err)
	}
	if want := btc.FeeRate(btc.Coin, pay.VSize()); fees[100] != want || fees[0] != want && fees[0] > want {
		t.Errorf("fees %d..%d, want up to %d", fees[0], fees[100], want)
	}
	feed(t, st, sim.chain(b2, 10, miner)...)
	if a, b := balanceOf(t, st, alice, 6), balanceOf(t, st, bob, 6); a != 47*btc.Coin || b != 0 {
		t.Errorf("final: alice %v, bob %v", a, b)
	}
	if fees, err := st.Live().FeePercentiles(); err != nil || fees != nil {
		t.Errorf("fees without transactions: %v %v", fees, err)
	}
	if _, err := st.Live().Balance(alice, 7); !errors.Is(err, ErrMinConfirmations) {
		t.Errorf("seven of six confirmations: %v", err)
	}
}

func TestReorgMovesMoneyBack(t *testing.T) {
	sim := newSimnet(t)
	store := kv.NewMem()
	st := sim.open(t, 6, store)
	miner, alice, bob := testAddress(1), testAddress(2), testAddress(3)
	blocks := sim.chain(sim.genesis, 101, miner)
	feed(t, st, blocks...)
	first := out(blocks[0].txs[0], 0)
	toAlice := spend(49*btc.Coin, alice, first)
	a1 := sim.mine(last(blocks), miner, 0, toAlice)
	a2 := sim.mine(a1, miner, 0)
	feed(t, st, a1, a2)
	toBob := spend(48*btc.Coin, bob, first)
	b1 := sim.mine(last(blocks), miner, 0, toBob)
	b2 := sim.mine(b1, miner, 0, toAlice) // the same coin again
	feed(t, st, b1)
	if st.Tip().Hash != a2.hash || balanceOf(t, st, alice, 0) != 49*btc.Coin {
		t.Error("a lighter branch won")
	}
	o := st.Apply(items(b2), late)
	if !errors.Is(o[0].Err, ErrInvalidBlock) || !strings.Contains(o[0].Err.Error(), "does not exist or is spent") {
		t.Errorf("double spend: %v", o[0].Err)
	}
	if err := st.CheckPayload(items(b2)); !errors.Is(err, ErrInvalidBlock) {
		t.Errorf("known to be invalid: %v", err)
	}
	b2 = sim.mine(b1, miner, 0)
	b3 := sim.mine(b2, miner, 0)
	feed(t, st, b2)
	if st.Tip().Hash != a2.hash {
		t.Error("a tie was not won by the first")
	}
	before, err := st.Live().UTXOs(alice, 0)
	if err != nil {
		t.Fatal(err)
	}
	feed(t, st, b3)
	if st.Tip().Hash != b3.hash || balanceOf(t, st, alice, 0) != 0 || balanceOf(t, st, bob, 0) != 48*btc.Coin {
		t.Error("the heavier branch did not win")
	}
	token := append(append(before.Tip[:], 0, 0, 0, 0), make([]byte, 36)...)
	if _, err := st.Live().NextUTXOs(alice, token); !errors.Is(err, ErrUnknownTip) {
		t.Errorf("page of the old branch: %v", err)
	}
	// And back, with a crash in between.
	st = sim.open(t, 6, store.Clone())
	if st.Tip().Hash != b3.hash {
		t.Error("another tip after reopening")
	}
	a3 := sim.mine(a2, miner, 0)
	a4 := sim.mine(a3, miner, 0)
	feed(t, st, a3, a4)
	if balanceOf(t, st, alice, 0) != 49*btc.Coin || balanceOf(t, st, bob, 0) != 0 {
		t.Error("the first branch did not come back")
	}
	feed(t, st, sim.chain(a4, 10, miner)...)
	if st.Request().Known[b1.hash] != 0 || st.Info().UnstableBlocks != 5 {
		t.Errorf("the losing branch is still there: %+v", st.Info())
	}
}

// Each way in which a block can create money, and each body that is not the header's.
func TestBadBlocks(t *testing.T) {
	sim := newSimnet(t)
	base := kv.NewMem()
	miner, alice := testAddress(1), testAddress(2)
	blocks := sim.chain(sim.genesis, 101, miner)
	feed(t, sim.open(t, 6, base), blocks...)
	tip := last(blocks)
	first := out(blocks[0].txs[0], 0)
	young := out(blocks[50].txs[0], 0)
	good := spend(50*btc.Coin, alice, first)
	for name, c := range map[string]struct {
		b    *block
		want error
	}{
		"outputs exceed inputs":   {sim.mine(tip, miner, 0, spend(50*btc.Coin+1, alice, first)), errMoneyCreated},
		"coinbase takes too much": {sim.mine(tip, miner, 1), errCoinbaseMoney},
		"coinbase takes the fee":  {sim.mine(tip, miner, btc.Coin+1, spend(49*btc.Coin, alice, first)), errCoinbaseMoney},
		"unknown input":           {sim.mine(tip, miner, 0, spend(1, alice, btc.Outpoint{Txid: btc.Hash{9}})), errMissingInput},
		"spent twice":             {sim.mine(tip, miner, 0, good, spend(49*btc.Coin, alice, first)), errMissingInput},
		"spent before created":    {sim.mine(tip, miner, 0, spend(1, alice, out(good, 0)), good), errMissingInput},
		"immature coinbase":       {sim.mine(tip, miner, 0, spend(1, alice, young)), errImmature},
	} {
		st := sim.open(t, 6, base.Clone())
		if err := st.CheckPayload(items(c.b)); err != nil {
			t.Errorf("%s: a proposal may carry it: %v", name, err)
		}
		o := st.Apply(items(c.b), late)
		if !errors.Is(o[0].Err, c.want) || !errors.Is(o[0].Err, ErrInvalidBlock) {
			t.Errorf("%s: %v", name, o[0].Err)
		}
		// The header stays, marked; nothing builds on it and nobody asks for it again.
		if _, known := st.Request().Known[c.b.hash]; !known || len(st.Request().Missing) != 0 || st.Tip().Hash != tip.hash || st.BestHeader().Hash != tip.hash {
			t.Errorf("%s: header %v, missing %v", name, known, st.Request().Missing)
		}
		if o := st.Apply(headers(sim.mine(c.b, miner, 0)), late); !errors.Is(o[0].Err, chain.ErrInvalidParent) {
			t.Errorf("%s: child: %v", name, o[0].Err)
		}
		re := sim.open(t, 6, st.store)
		if re.Digest() != st.Digest() {
			t.Errorf("%s: digest changes when reopened", name)
		}
	}
	// Where BIP34 is enforced, the coinbase's height counts.
	strict := *sim
	strict.params.BIP34Height = 1
	st2 := strict.open(t, 6, kv.NewMem())
	feed(t, st2, strict.chain(strict.genesis, 300, miner)...)
	wrong := &block{parent: sim.genesis, height: 1, txs: []*btc.Tx{sim.coinbase(2, 1, miner)}}
	sim.seal(wrong)
	if o := strict.open(t, 6, kv.NewMem()).Apply(items(wrong), late); !errors.Is(o[0].Err, errHeight) {
		t.Errorf("wrong height: %v", o[0].Err)
	}
	// Bodies that are not the header's leave no mark, and the right one is taken afterwards.
	b := sim.mine(tip, miner, 0, good)
	st := sim.open(t, 6, base.Clone())
	other := *good
	other.LockTime = 7
	stripped := *good
	stripped.Inputs = []btc.TxIn{{Prev: first, Sequence: btc.SequenceRBF}}
	for name, c := range map[string]struct {
		txs  []*btc.Tx
		want error
	}{
		"another transaction": {[]*btc.Tx{b.txs[0], &other}, btc.ErrBlockMerkleRoot},
		"missing transaction": {b.txs[:1], btc.ErrBlockMerkleRoot},
		"repeated tail":       {append(slices.Clone(b.txs), b.txs...), btc.ErrBlockMerkleRoot},
		"stripped witness":    {[]*btc.Tx{b.txs[0], &stripped}, btc.ErrBlockWitness},
	} {
		it := Items{Blocks: [][]byte{assemble(b.header, c.txs)}}
		if err := st.CheckPayload(it); !errors.Is(err, c.want) {
			t.Errorf("%s: proposal: %v", name, err)
		}
		if o := st.Apply(it, late); !errors.Is(o[0].Err, c.want) {
			t.Errorf("%s: %v", name, o[0].Err)
		}
		if m := st.Request().Missing; len(m) != 1 || m[0] != b.hash {
			t.Errorf("%s: missing %v", name, m)
		}
	}
	feed(t, st, b)
	if balanceOf(t, st, alice, 0) != 50*btc.Coin {
		t.Error("the right body was not taken")
	}
}

func TestPayloadRules(t *testing.T) {
	sim := newSimnet(t)
	st := sim.open(t, 6, kv.NewMem())
	blocks := sim.chain(sim.genesis, 5, testAddress(1))
	for name, c := range map[string]struct {
		it   Items
		want error
	}{
		"half a header":   {Items{Headers: make([]byte, 81)}, ErrPayloadSize},
		"too many":        {Items{Headers: make([]byte, 80*(MaxHeadersPerPayload+1))}, ErrPayloadSize},
		"too many blocks": {Items{Blocks: make([][]byte, MaxBlocksPerPayload+1)}, ErrPayloadSize},
		"too many bytes":  {Items{Blocks: [][]byte{blocks[0].raw, make([]byte, MaxBytesPerPayload)}}, ErrPayloadSize},
		"orphan header":   {headers(blocks[1]), chain.ErrOrphan},
		"known header":    {headers(blocks[0], blocks[0]), ErrKnown},
		"orphan block":    {items(blocks[1]), chain.ErrOrphan},
		"body gap":        {Items{Headers: headers(blocks[0]).Headers, Blocks: items(blocks[1]).Blocks}, ErrParentBody},
		"twice":           {items(blocks[0], blocks[0]), ErrKnown},
		"garbage":         {Items{Blocks: [][]byte{bytes.Repeat([]byte{1}, 200)}}, btc.ErrMalformed},
	} {
		if err := st.CheckPayload(c.it); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	// Filter makes a good proposal out of a bad answer.
	it := Items{Headers: append(headers(blocks[4]).Headers, headers(blocks[:3]...).Headers...), Blocks: append([][]byte{{1}}, items(blocks[3], blocks[0], blocks[0], blocks[2], blocks[1]).Blocks...)}
	got := st.Filter(it, late, 1<<20)
	if err := st.CheckPayload(got); err != nil || len(got.Headers) != 3*80 || len(got.Blocks) != 2 {
		t.Errorf("%d headers, %d blocks: %v", len(got.Headers)/80, len(got.Blocks), err)
	}
	if got := st.Filter(it, late, 200); len(got.Headers) != 160 || len(got.Blocks) != 0 {
		t.Errorf("200 bytes: %d, %d", len(got.Headers), len(got.Blocks))
	}
	// The future is later: not proposed, not stored, not refused for ever.
	early := uint64(blocks[1].header.Time-chain.MaxFuture) * 1e9
	got = st.Filter(it, early, 1<<20)
	if len(got.Headers) != 160 || len(got.Blocks) != 2 {
		t.Errorf("future: %d headers, %d blocks", len(got.Headers)/80, len(got.Blocks))
	}
	if o := st.Apply(headers(blocks[:3]...), early); o[0].Err != nil || o[1].Err != nil || !errors.Is(o[2].Err, chain.ErrFuture) {
		t.Errorf("future: %+v", o)
	}
	if o := st.Apply(headers(blocks[2]), late); o[0].Err != nil {
		t.Errorf("now: %v", o[0].Err)
	}
	r := st.Request()
	if len(r.Missing) != 3 || r.Missing[0] != blocks[0].hash || r.Missing[2] != blocks[2].hash || r.Best != blocks[2].hash || r.AnchorHeight != 0 || len(r.Known) != 4 {
		t.Errorf("request %+v", r)
	}
	if st.Synced() {
		t.Error("synced three bodies behind")
	}
	feed(t, st, blocks...)
	if r := st.Request(); len(r.Missing) != 0 || !st.Synced() {
		t.Errorf("request %+v", r)
	}
}

func TestUnstableBytesAreBounded(t *testing.T) {
	sim := newSimnet(t)
	miner := testAddress(1)
	main := sim.chain(sim.genesis, 4, miner)
	side := sim.chain(sim.genesis, 3, miner)
	size := uint64(len(main[0].raw))
	st, err := Open(Options{Params: sim.params, Stability: 144, MaxUnstableBytes: 6 * size}, kv.NewMem())
	if err != nil {
		t.Fatal(err)
	}
	feed(t, st, main[:3]...)
	feed(t, st, side...)
	more := sim.mine(side[1], miner, 0)
	if o := st.Apply(items(more), late); !errors.Is(o[0].Err, ErrUnstableFull) {
		t.Errorf("side branch: %v", o[0].Err)
	}
	feed(t, st, main[3])
	if st.Tip().Hash != main[3].hash || st.Info().UnstableBlocks != 6 || st.Info().UnstableBytes != 6*size {
		t.Errorf("%+v", st.Info())
	}
	if re, err := Open(st.opt, st.store); err != nil || re.Digest() != st.Digest() || re.Info() != st.Info() {
		t.Errorf("reopened: %v", err)
	}
}

func TestOutgoing(t *testing.T) {
	sim := newSimnet(t)
	store := kv.NewMem()
	st := sim.open(t, 6, store)
	tx := spend(1, testAddress(1), btc.Outpoint{Txid: btc.Hash{1}})
	d := st.Digest()
	id, err := st.Send(tx.Bytes(), 1000)
	if err != nil || id != tx.Txid() || st.Digest() == d {
		t.Fatal(id, err)
	}
	if got := sim.open(t, 6, store).Outgoing(); len(got) != 1 || !bytes.Equal(got[0].Raw, tx.Bytes()) || got[0].ExpiresNs != 1000+uint64(OutgoingTTL) {
		t.Errorf("%+v", got)
	}
	if _, err := st.Send(tx.Bytes(), 2000); err != nil {
		t.Error(err)
	}
	st.Apply(Items{}, 1999+uint64(OutgoingTTL))
	if len(st.Outgoing()) != 1 {
		t.Error("forgotten too early")
	}
	st.Apply(Items{}, 2000+uint64(OutgoingTTL))
	if len(st.Outgoing()) != 0 {
		t.Error("not forgotten")
	}
	coinbase := sim.coinbase(1, 1, testAddress(1))
	negative := spend(1<<63, testAddress(1), btc.Outpoint{Txid: btc.Hash{1}})
	for name, raw := range map[string][]byte{"empty": nil, "garbage": {1, 2, 3}, "trailing": append(tx.Bytes(), 0), "coinbase": coinbase.Bytes(), "amount": negative.Bytes()} {
		if _, err := st.Send(raw, 0); !errors.Is(err, ErrTxMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range MaxOutgoing {
		if _, err := st.Send(spend(btc.Satoshi(i+2), testAddress(1), btc.Outpoint{Txid: btc.Hash{1}}).Bytes(), 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := st.Send(tx.Bytes(), 0); !errors.Is(err, ErrOutgoingFull) {
		t.Errorf("one too many: %v", err)
	}
}

func TestHeadersAndStaleViews(t *testing.T) {
	sim := newSimnet(t)
	store := kv.NewMem()
	st := sim.open(t, 6, store)
	blocks := sim.chain(sim.genesis, 150, testAddress(1))
	feed(t, st, blocks...)
	h, tip, err := st.Live().Headers(0, nil)
	if err != nil || tip != 150 || len(h) != 100 {
		t.Fatalf("%d headers, tip %d, %v", len(h), tip, err)
	}
	for i, raw := range h {
		want := sim.genesis.header.Bytes()
		if i > 0 {
			want = blocks[i-1].header.Bytes()
		}
		if !bytes.Equal(raw, want[:]) {
			t.Fatalf("header %d", i)
		}
	}
	end := uint32(150)
	if h, _, err := st.Live().Headers(145, &end); err != nil || len(h) != 6 {
		t.Errorf("%d headers, %v", len(h), err)
	}
	for _, c := range [][2]uint32{{151, 151}, {10, 151}, {10, 9}} {
		if _, _, err := st.Live().Headers(c[0], &c[1]); !errors.Is(err, ErrHeaderRange) {
			t.Errorf("%v: %v", c, err)
		}
	}
	snapshot := store.Clone()
	v := st.View(snapshot)
	if _, err := v.Balance(testAddress(1), 0); err != nil {
		t.Error(err)
	}
	st.Apply(Items{}, late)
	if _, err := v.Balance(testAddress(1), 0); err != nil {
		t.Errorf("nothing changed: %v", err)
	}
	feed(t, st, sim.mine(last(blocks), testAddress(1), 0))
	if _, err := v.Balance(testAddress(1), 0); !errors.Is(err, ErrStale) {
		t.Errorf("old snapshot: %v", err)
	}
}

// A long list in pages, while the chain grows under it.
func TestPagesPinTheTip(t *testing.T) {
	sim := newSimnet(t)
	st := sim.open(t, 6, kv.NewMem())
	miner, alice := testAddress(1), testAddress(2)
	blocks := sim.chain(sim.genesis, 101, miner)
	feed(t, st, blocks...)
	tip := last(blocks)
	split := func(from btc.Outpoint, total btc.Satoshi, n int) *btc.Tx {
		tx := &btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: from}}}
		for range n {
			tx.Outputs = append(tx.Outputs, btc.TxOut{Value: total / btc.Satoshi(n), Script: alice.Script()})
		}
		return tx
	}
	a := sim.mine(tip, miner, 0, split(out(blocks[0].txs[0], 0), 50*btc.Coin, 1250))
	feed(t, st, a)
	feed(t, st, sim.chain(a, 7, miner)...) // a is final
	b := sim.mine(&block{header: st.Tip().Header, hash: st.Tip().Hash, height: st.Tip().Height}, miner, 0, split(out(blocks[1].txs[0], 0), 50*btc.Coin, 1250))
	feed(t, st, b)
	p, err := st.Live().UTXOs(alice, 0)
	if err != nil || len(p.Coins) != 1000 || len(p.Next) != PageSize {
		t.Fatalf("%d coins, next %x, %v", len(p.Coins), p.Next, err)
	}
	// A block that spends a coin not yet shown changes nothing for the pinned pages.
	c := sim.mine(b, miner, 0, spend(1, miner, out(b.txs[1], 1249), out(a.txs[1], 0)))
	feed(t, st, c)
	seen := map[btc.Outpoint]bool{}
	pages := 1
	for {
		for _, c := range p.Coins {
			if seen[c.Outpoint] {
				t.Fatalf("%v twice", c.Outpoint)
			}
			seen[c.Outpoint] = true
		}
		if p.Next == nil {
			break
		}
		if p, err = st.Live().NextUTXOs(alice, p.Next); err != nil {
			t.Fatal(err)
		}
		pages++
	}
	if len(seen) != 2500 || pages != 3 || p.Tip != b.hash {
		t.Errorf("%d coins in %d pages", len(seen), pages)
	}
	if coins := listOf(t, st, alice, 0); len(coins) != 2498 {
		t.Errorf("%d coins now", len(coins))
	}
	for name, token := range map[string][]byte{"short": make([]byte, 71), "long": make([]byte, 73), "empty": {}} {
		if _, err := st.Live().NextUTXOs(alice, token); !errors.Is(err, ErrPage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// model is the naive truth: all blocks, replayed from the genesis block for every question.
type model struct{}

func (m *model) coinsAt(tip *block) map[btc.Outpoint]Coin {
	var path []*block
	for b := tip; b != nil; b = b.parent {
		path = append(path, b)
	}
	set := map[btc.Outpoint]Coin{}
	for _, b := range slices.Backward(path) {
		for i, tx := range b.txs {
			if i > 0 {
				for _, in := range tx.Inputs {
					delete(set, in.Prev)
				}
			}
			for j, o := range tx.Outputs {
				if !btc.Unspendable(o.Script) {
					op := out(tx, uint32(j))
					set[op] = Coin{op, o.Value, b.height, i == 0, o.Script}
				}
			}
		}
	}
	return set
}

// Random branches, transactions, payload sizes, restarts and orders: every answer equals the naive replay's.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sim := newSimnet(&testing.T{})
		store := kv.NewMem()
		delta := rapid.Uint32Range(1, 8).Draw(t, "delta")
		st, err := Open(Options{Params: sim.params, Stability: delta}, store)
		if err != nil {
			t.Fatal(err)
		}
		m := &model{}
		byHash := map[btc.Hash]*block{sim.genesis.hash: sim.genesis}
		tips := []*block{sim.genesis}
		base := sim.genesis
		for _, b := range sim.chain(sim.genesis, 100, testAddress(0)) {
			byHash[b.hash] = b
			base = b
			if o := st.Apply(items(b), late); o[0].Err != nil {
				t.Fatal(o[0].Err)
			}
		}
		tips[0] = base
		for range rapid.IntRange(5, 30).Draw(t, "steps") {
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				d, info := st.Digest(), st.Info()
				if st, err = Open(Options{Params: sim.params, Stability: delta}, store); err != nil {
					t.Fatal(err)
				}
				if st.Digest() != d || st.Info() != info {
					t.Fatal("a restart changes the state")
				}
			}
			// Mine on a block near some tip.
			parent := rapid.SampledFrom(tips).Draw(t, "tip")
			for range rapid.IntRange(0, 2).Draw(t, "back") {
				if parent.parent != nil && parent.height > 100 {
					parent = parent.parent
				}
			}
			var txs []*btc.Tx
			var fees btc.Satoshi
			set := m.coinsAt(parent)
			var free []Coin
			for _, c := range set {
				if !c.Coinbase || parent.height+1-c.Height >= CoinbaseMaturity {
					free = append(free, c)
				}
			}
			slices.SortFunc(free, func(a, b Coin) int { return bytes.Compare(coinKey(a.Outpoint), coinKey(b.Outpoint)) })
			for range rapid.IntRange(0, 3).Draw(t, "transactions") {
				if len(free) == 0 {
					break
				}
				i := rapid.IntRange(0, len(free)-1).Draw(t, "coin")
				c := free[i]
				free = slices.Delete(free, i, i+1)
				tx := &btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: c.Outpoint}}}
				if rapid.Bool().Draw(t, "witness") {
					tx.Inputs[0].Witness = [][]byte{{1, 2}}
				}
				rest := c.Value
				for range rapid.IntRange(1, 3).Draw(t, "outputs") {
					v := rest / 2
					rest -= v
					script := testAddress(rapid.ByteRange(0, 5).Draw(t, "to")).Script()
					switch rapid.IntRange(0, 9).Draw(t, "script") {
					case 0:
						script = []byte{0x51}
					case 1:
						script = []byte{0x6a, 1, 1}
					}
					tx.Outputs = append(tx.Outputs, btc.TxOut{Value: v, Script: script})
				}
				fees += rest
				txs = append(txs, tx)
				if rapid.Bool().Draw(t, "chain") && !btc.Unspendable(tx.Outputs[0].Script) {
					free = append(free, Coin{Outpoint: out(tx, 0), Value: tx.Outputs[0].Value, Height: parent.height + 1, Script: tx.Outputs[0].Script})
				}
			}
			b := sim.mine(parent, testAddress(0), fees, txs...)
			byHash[b.hash] = b
			it := items(b)
			_, parentKnown := st.Request().Known[parent.hash]
			wanted := chain.ErrOrphan
			if st.tree.Lookup(parent.hash) != nil {
				wanted = chain.ErrFinal
			}
			o := st.Apply(it, late)
			if !parentKnown {
				if !errors.Is(o[0].Err, wanted) {
					t.Fatalf("on a dropped branch: %v", o[0].Err)
				}
				continue
			}
			if o[0].Err != nil {
				t.Fatalf("good block refused: %v", o[0].Err)
			}
			tips = append(tips, b)
			// Compare everything.
			tip := byHash[st.Tip().Hash]
			for _, other := range tips {
				if _, known := st.Request().Known[other.hash]; known && other.height > tip.height {
					t.Fatalf("tip %d although %d is known", tip.height, other.height)
				}
			}
			if lead := tip.height - st.Anchor().Height; lead < delta-1 && st.Anchor().Height > 0 && len(tips) == 2 {
				t.Fatalf("anchor %d too close to tip %d", st.Anchor().Height, tip.height)
			}
			stable := m.coinsAt(byHash[st.Anchor().Hash])
			mu := NewMuHash()
			for _, c := range stable {
				mu.Insert(c.element())
			}
			if mu.Digest() != st.SetHash() || uint64(len(stable)) != st.Info().StableCoins {
				t.Fatal("stable set differs from the model's")
			}
			conf := rapid.Uint32Range(0, delta).Draw(t, "confirmations")
			at := tip
			for c := uint32(1); c < conf && at.hash != st.Anchor().Hash; c++ {
				at = at.parent
			}
			view := m.coinsAt(at)
			for n := range byte(6) {
				a := testAddress(n)
				var want []*Coin
				var sum btc.Satoshi
				for _, c := range view {
					if bytes.Equal(c.Script, a.Script()) && c.mature(at.height) {
						want = append(want, &c)
						sum += c.Value
					}
				}
				slices.SortFunc(want, order)
				got, err := st.Live().UTXOs(a, conf)
				if err != nil || got.TipHeight != at.height || len(got.Coins) != len(want) {
					t.Fatalf("address %d: %d coins, model %d, %v", n, len(got.Coins), len(want), err)
				}
				for i := range want {
					if fmt.Sprint(*want[i]) != fmt.Sprint(got.Coins[i]) {
						t.Fatalf("address %d: %v, model %v", n, got.Coins[i], *want[i])
					}
				}
				if b, err := st.Live().Balance(a, conf); err != nil || b != sum {
					t.Fatalf("address %d: balance %v, model %v, %v", n, b, sum, err)
				}
			}
		}
	})
}

// Mainnet's first 14,132 blocks, from the test data in btcd's module: validation, the coin set and its order-free hash.
func TestMainnetBlocks(t *testing.T) {
	raw := btcdFile(t, "blockchain/testdata/blk_0_to_14131.dat")
	p, err := chain.ParamsOf(btc.Mainnet)
	if err != nil {
		t.Fatal(err)
	}
	store := kv.NewMem()
	st, err := Open(Options{Params: p}, store)
	if err != nil {
		t.Fatal(err)
	}
	model := map[btc.Outpoint]Coin{}
	var pending [][]byte
	height := uint32(0)
	apply := func() {
		for _, o := range st.Apply(Items{Blocks: pending}, late) {
			if o.Err != nil {
				t.Fatal(o.Err)
			}
		}
		pending = nil
	}
	var held []*btc.Block
	for len(raw) > 8 && binary.LittleEndian.Uint32(raw) == btc.Mainnet.Magic() {
		size := binary.LittleEndian.Uint32(raw[4:])
		body := raw[8 : 8+size]
		raw = raw[8+size:]
		blk, err := btc.ParseBlock(body)
		if err != nil {
			t.Fatal(err)
		}
		if blk.Header.Prev.IsZero() {
			continue
		}
		held = append(held, blk)
		height++
		if pending = append(pending, body); len(pending) == MaxBlocksPerPayload {
			apply()
		}
	}
	apply()
	if height != 14131 || st.Tip().Height != height {
		t.Fatalf("tip %d of %d", st.Tip().Height, height)
	}
	for i, blk := range held[:st.Anchor().Height] {
		for j := range blk.Txs {
			if j > 0 {
				for _, in := range blk.Txs[j].Inputs {
					delete(model, in.Prev)
				}
			}
			for k, o := range blk.Txs[j].Outputs {
				op := btc.Outpoint{Txid: blk.Txid(j), Vout: uint32(k)}
				model[op] = Coin{op, o.Value, uint32(i + 1), j == 0, o.Script}
			}
		}
	}
	mu := NewMuHash()
	for _, c := range model {
		mu.Insert(c.element())
	}
	if mu.Digest() != st.SetHash() || st.Info().StableCoins != uint64(len(model)) {
		t.Errorf("%d coins, model %d", st.Info().StableCoins, len(model))
	}
	re, err := Open(Options{Params: p}, store)
	if err != nil || re.Digest() != st.Digest() {
		t.Errorf("reopened: %v", err)
	}
	if st.Synced() {
		t.Error("synced with three months of mainnet")
	}
}

func TestCorruptStore(t *testing.T) {
	sim := newSimnet(t)
	store := kv.NewMem()
	blocks := sim.chain(sim.genesis, 10, testAddress(1))
	feed(t, sim.open(t, 6, store), blocks...)
	for name, harm := range map[string]func(kv.Store){
		"no body":      func(s kv.Store) { s.Delete(bodyKey(last(blocks).hash)) },
		"other body":   func(s kv.Store) { s.Set(bodyKey(last(blocks).hash), []byte{1}) },
		"bad meta":     func(s kv.Store) { s.Set([]byte("m"), []byte{1}) },
		"bad set hash": func(s kv.Store) { s.Set([]byte("m"), codec.Marshal(setMeta{nil, 1, 6})) },
		"other delta":  func(s kv.Store) { s.Set([]byte("m"), codec.Marshal(setMeta{NewMuHash().Bytes(), 1, 7})) },
	} {
		c := store.Clone()
		harm(c)
		if _, err := Open(Options{Params: sim.params, Stability: 6}, c); err == nil {
			t.Errorf("%s was not noticed", name)
		}
	}
}

func FuzzPayload(f *testing.F) {
	sim := newSimnet(f)
	store := kv.NewMem()
	blocks := sim.chain(sim.genesis, 8, testAddress(1))
	feed(f, sim.open(f, 6, store), blocks[:6]...)
	f.Add(codec.Marshal(items(blocks[6])))
	f.Add(codec.Marshal(headers(blocks[6:]...)))
	f.Add(codec.Marshal(Items{Headers: headers(blocks[6]).Headers, Blocks: [][]byte{blocks[6].raw, blocks[7].raw}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var it Items
		if codec.Unmarshal(b, &it) != nil {
			return
		}
		st := sim.open(t, 6, store.Clone())
		good := st.CheckPayload(it) == nil
		filtered := st.Filter(it, late, 1<<20)
		if err := st.CheckPayload(filtered); err != nil {
			t.Fatalf("filtered payload refused: %v", err)
		}
		for _, o := range st.Apply(it, late) {
			if good && o.Err != nil && !errors.Is(o.Err, ErrInvalidBlock) && !errors.Is(o.Err, btc.ErrBlockInvalid) {
				t.Fatalf("checked payload: %v", o.Err)
			}
		}
		if re := sim.open(t, 6, st.store); re.Digest() != st.Digest() {
			t.Fatal("digest changes when reopened")
		}
	})
}

func FuzzPageToken(f *testing.F) {
	sim := newSimnet(f)
	st := sim.open(f, 6, kv.NewMem())
	blocks := sim.chain(sim.genesis, 120, testAddress(1))
	feed(f, st, blocks...)
	token := append(slices.Clone(last(blocks).hash[:]), make([]byte, 40)...)
	f.Add(token)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, token []byte) {
		p, err := st.Live().NextUTXOs(testAddress(1), token)
		if err == nil && (len(token) != PageSize || len(p.Coins) > UTXOsPerPage) {
			t.Fatalf("%x", token)
		}
	})
}

func FuzzDecodeCoin(f *testing.F) {
	for _, s := range [][]byte{testAddress(1).Script(), {0x51}, nil} {
		f.Add(encodeCoin(&Coin{Value: 5, Height: 9, Coinbase: true, Script: s}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeCoin(btc.Outpoint{}, b)
		if err != nil {
			return
		}
		again, err := decodeCoin(btc.Outpoint{}, encodeCoin(c))
		if err != nil || hex.EncodeToString(again.Script) != hex.EncodeToString(c.Script) || again.Value != c.Value {
			t.Fatalf("%+v, %+v, %v", c, again, err)
		}
	})
}

// A block is final when it is δ deep and leads the best other branch, known by headers alone, by δ.
func TestStabilityRule(t *testing.T) {
	sim := newSimnet(t)
	st := sim.open(t, 3, kv.NewMem())
	miner := testAddress(1)
	main := sim.chain(sim.genesis, 10, miner)
	side := sim.chain(sim.genesis, 2, miner)
	feed(t, st, main[:2]...)
	if st.Anchor().Height != 0 {
		t.Errorf("two of three: anchor %d", st.Anchor().Height)
	}
	st.Apply(headers(side...), late)
	feed(t, st, main[2:4]...)
	if st.Anchor().Height != 0 {
		t.Errorf("leads by two: anchor %d", st.Anchor().Height)
	}
	feed(t, st, main[4])
	if st.Anchor().Height != 3 || st.Info().UnstableHeaders != 2 {
		t.Errorf("leads by three: anchor %d, %d headers", st.Anchor().Height, st.Info().UnstableHeaders)
	}
}

// Where difficulty collapses to the minimum (testnet4's twenty-minute rule), no feasible number of blocks reaches δ times the
// anchor's work; a long lead in blocks is enough then.
func TestStabilityEscape(t *testing.T) {
	sim := newSimnet(t)
	g := btc.Header{Version: 4, Time: 1_700_000_000, Bits: 0x1e00ffff}
	sim.params.Base, sim.params.BaseWork = []btc.Header{g}, chain.Work(g.Bits)
	sim.genesis = &block{header: g, hash: g.Hash()}
	st := sim.open(t, 6, kv.NewMem())
	tip := sim.genesis
	for st.Anchor().Height == 0 && tip.height < 600 {
		b := &block{parent: tip, height: tip.height + 1, txs: []*btc.Tx{sim.coinbase(tip.height+1, 0, testAddress(1))}}
		b.header = btc.Header{Version: 4, Prev: tip.hash, MerkleRoot: b.txs[0].Txid(), Time: tip.header.Time + 1201, Bits: sim.params.PowLimitBits}
		b.solve()
		feed(t, st, b)
		tip = b
	}
	// The lead n exceeds 500 - ⌊494·n/1500⌋ from n = 377 on. Then the anchor is an easy block, and the usual rule takes over.
	if tip.height != 377 || st.Anchor().Height != 377-5 {
		t.Errorf("tip %d, anchor %d", tip.height, st.Anchor().Height)
	}
}
