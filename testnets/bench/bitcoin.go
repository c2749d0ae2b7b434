package bench

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/big"
	"math/rand"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/sys/unix"

	"fusion/btc"
	"fusion/btc/chain"
	"fusion/btc/utxo"
	"fusion/internal/hugepages"
	"fusion/internal/kv"
	"fusion/replica/machine"
	"fusion/replica/state"
)

// The coin set that blocks are taken into, and blocks of mainnet's size: 3,200 transactions, 7,000 inputs, 7,200 outputs, 1.3 MB.
const (
	coinSet     = 10_000_000
	coinsPerTx  = 2
	blockGroups = 200              // of the sixteen transactions in txShapes
	blockDepth  = 144              // the threshold on mainnet
	blocksWarm  = blockDepth + 129 // until the first lot of final blocks is written
	blocksTaken = 2 * 129          // two more lots
	blocksAhead = 129              // whose headers are known, so that the bodies are behind
	queries     = 20_000
	coinValue   = 100_000
	manyEvery   = 1000 // of so many coins one belongs to one of a few addresses with many
	manyOwners  = 10
	busyEvery   = 8 // of so many new coins one belongs to an address that is used again and again
	busyOwners  = 50_000
	importPairs = 4096 // given to state.Import at once, as the replica does
)

// txShapes are the inputs and outputs of sixteen transactions: a consolidation, a payout to many, and payments.
var txShapes = [16][2]int{{12, 1}, {1, 9}, {1, 2}, {1, 2}, {1, 2}, {1, 2}, {1, 2}, {1, 2}, {1, 2}, {1, 2}, {2, 2}, {2, 2}, {2, 2}, {2, 2}, {3, 1}, {3, 1}}

// ages are how many blocks lie between the blocks that make and that spend a coin: of a thousand spent ones, so many are no older. By a survey of 75,000
// inputs (monero-project/monero#1673, 2017) 71 % of them were made within a day, 13 % within a week, and 16 % earlier; other sources have more young ones
// ("Deciphering Bitcoin Blockchain Data by Cohort Analysis", Scientific Data 2022, figure 3: 80 % within a day). Within the day: "approximately 41 percent of coins
// are spent within 10 blocks", "the majority within 100" (BIP 455, Rationale). Where the chain is too short for an age, and for all that is older, the coin lies anywhere in
// the imported set.
var ages = []struct{ perMille, from, to int }{{410, 0, 10}, {660, 11, 100}, {710, 101, 144}, {840, 145, 1008}}

// coinRoom is the coins' key space in a replica's state, and plainRoom in its database.
const (
	coinRoom  = "btc/utxo/"
	plainRoom = "r" + coinRoom
)

// plainStore writes a state's coins into the database under it.
type plainStore struct{ b *pebble.Batch }

func (p plainStore) Get(k []byte) ([]byte, bool) {
	v, closer, err := p.b.Get(append([]byte(plainRoom), k...))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false
	}
	must(err)
	defer closer.Close()
	return bytes.Clone(v), true
}

func (p plainStore) Set(k, v []byte) { must(p.b.Set(append([]byte(plainRoom), k...), v, nil)) }
func (p plainStore) Delete(k []byte) { must(p.b.Delete(append([]byte(plainRoom), k...), nil)) }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// spread is SplitMix64's finish: numbers in a row become such as hashes are.
func spread(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// hashLike is 32 bytes that look like a hash of n.
func hashLike(n uint64) (h [32]byte) {
	for i := range uint64(4) {
		binary.LittleEndian.PutUint64(h[8*i:], spread(4*n+i))
	}
	return h
}

// oldCoin is the i-th coin of the set, in the order of the snapshot.
func oldCoin(i int) (o btc.Outpoint, script []byte) {
	h := hashLike(1<<61 + uint64(i/coinsPerTx))
	binary.BigEndian.PutUint64(h[:], uint64(i/coinsPerTx)*(1<<63/(coinSet/coinsPerTx/2)))
	o = btc.Outpoint{Txid: btc.Hash(h), Vout: uint32(i % coinsPerTx)}
	who := uint64(i)
	if i%manyEvery == 0 {
		who = 1<<40 + uint64(i/manyEvery%manyOwners)
	}
	return o, scriptOf(who)
}

// scriptOf is the script of an owner: half have a P2WPKH address, a quarter P2TR, an eighth each P2PKH and P2SH.
func scriptOf(owner uint64) []byte {
	h := hashLike(owner)
	switch h[31] % 8 {
	case 0:
		return append(append([]byte{0x76, 0xa9, 20}, h[:20]...), 0x88, 0xac)
	case 1:
		return append(append([]byte{0xa9, 20}, h[:20]...), 0x87)
	case 2, 3:
		return append([]byte{0x51, 32}, h[:]...)
	}
	return append([]byte{0, 20}, h[:20]...)
}

// writeCoins writes the set as dumptxoutset does.
func writeCoins(w io.Writer, block btc.Hash) error {
	head := append([]byte("utxo\xff\x02\x00"), make([]byte, 4)...)
	binary.LittleEndian.PutUint32(head[7:], btc.Regtest.Magic())
	head = binary.LittleEndian.AppendUint64(append(head, block[:]...), coinSet)
	if _, err := w.Write(head); err != nil {
		return err
	}
	var b []byte
	for i := range coinSet {
		o, script := oldCoin(i)
		if i%coinsPerTx == 0 {
			b = append(append(b[:0], o.Txid[:]...), coinsPerTx)
		}
		b = append(b, byte(o.Vout), 2, 6)                     // height 1; 100,000 satoshi: 1 + 10·(1-1) + 5
		b = append(append(b, byte(len(script)+6)), script...) // no short form
		if i%coinsPerTx == coinsPerTx-1 {
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
	}
	return nil
}

// bitcoinChain makes blocks.
type bitcoinChain struct {
	params chain.Params
	tip    btc.Header
	height uint32
	salt   uint64
	made   [][]madeCoin // by block
}

func (c *bitcoinChain) seal(txs []*btc.Tx) []byte {
	c.height++
	script := []byte{2, byte(c.height), byte(c.height >> 8)} // BIP34
	switch {
	case c.height <= 16:
		script = []byte{0x50 + byte(c.height)}
	case c.height < 1<<7:
		script = []byte{1, byte(c.height)}
	}
	c.salt++
	coinbase := &btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: btc.Outpoint{Vout: 0xffffffff}, ScriptSig: binary.LittleEndian.AppendUint64(append(script, 8), c.salt), Witness: [][]byte{make([]byte, 32)}}},
		Outputs: []btc.TxOut{{Script: scriptOf(c.salt)}}}
	txs = append([]*btc.Tx{coinbase}, txs...)
	ids, wids := make([]btc.Hash, len(txs)), make([]btc.Hash, len(txs))
	for i, tx := range txs[1:] {
		ids[i+1], wids[i+1] = tx.Txid(), tx.Wtxid()
	}
	root := btc.MerkleRoot(wids)
	commitment := btc.DoubleSHA256(append(root[:], make([]byte, 32)...))
	coinbase.Outputs = append(coinbase.Outputs, btc.TxOut{Script: append([]byte{0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed}, commitment[:]...)})
	ids[0] = coinbase.Txid()
	h := btc.Header{Version: 4, Prev: c.tip.Hash(), MerkleRoot: btc.MerkleRoot(ids), Time: c.tip.Time + 600, Bits: c.params.PowLimitBits}
	for !enoughWork(h) {
		h.Nonce++
	}
	c.tip = h
	b := h.Bytes()
	raw := append(b[:], 0xfd, byte(len(txs)), byte(len(txs)>>8))
	for _, tx := range txs {
		raw = append(raw, tx.Bytes()...)
	}
	return raw
}

func enoughWork(h btc.Header) bool {
	target, _ := chain.Target(h.Bits)
	id := h.Hash()
	slices.Reverse(id[:])
	return new(big.Int).SetBytes(id[:]).Cmp(target) <= 0
}

// madeCoin is a coin that no block spends yet.
type madeCoin struct {
	o     btc.Outpoint
	value btc.Satoshi
}

// blocks makes the next blocks, which spend coins of all ages; those of the imported set are taken in the order of next.
func (c *bitcoinChain) blocks(rng *rand.Rand, n int, next func() int) [][]byte {
	take := func() madeCoin {
		at := rng.Intn(1000)
		for _, a := range ages {
			if at >= a.perMille {
				continue
			}
			// Within a range the younger are the more likely: the logarithm of the age is spread evenly.
			low, high := math.Log(float64(a.from+1)), math.Log(float64(a.to+2))
			block := len(c.made) - 1 - (int(math.Exp(low+rng.Float64()*(high-low))) - 1)
			if block < 0 || len(c.made[block]) == 0 {
				break
			}
			l := c.made[block]
			i := rng.Intn(len(l))
			coin := l[i]
			l[i] = l[len(l)-1]
			c.made[block] = l[:len(l)-1]
			return coin
		}
		o, _ := oldCoin(next())
		return madeCoin{o, coinValue}
	}
	var out [][]byte
	for len(out) < n {
		var txs []*btc.Tx
		c.made = append(c.made, nil)
		last := &c.made[len(c.made)-1]
		for i := range blockGroups * len(txShapes) {
			shape := txShapes[i%len(txShapes)]
			tx := &btc.Tx{Version: 2}
			var sum btc.Satoshi
			for range shape[0] {
				coin := take()
				sum += coin.value
				tx.Inputs = append(tx.Inputs, btc.TxIn{Prev: coin.o, Sequence: 0xfffffffd, Witness: [][]byte{make([]byte, 71), make([]byte, 33)}})
			}
			for range shape[1] {
				c.salt++
				owner := 1<<50 + c.salt
				if c.salt%busyEvery == 0 {
					owner = 1<<41 + uint64(rng.Intn(busyOwners))
				}
				tx.Outputs = append(tx.Outputs, btc.TxOut{Value: sum / btc.Satoshi(shape[1]), Script: scriptOf(owner)})
			}
			id := tx.Txid()
			for k, out := range tx.Outputs {
				*last = append(*last, madeCoin{btc.Outpoint{Txid: id, Vout: uint32(k)}, out.Value})
			}
			txs = append(txs, tx)
		}
		out = append(out, c.seal(txs))
	}
	return out
}

// bitcoinUTXO measures the coin set in a replica's state: its size, queries, and blocks into it, beside what a plain database does with the same coins.
func (s *suite) bitcoinUTXO(ctx context.Context) (err error) {
	s.Progress.Begin("Bitcoin coin set of 10 million")
	_ = hugepages.Heap(machine.BitcoinHeapBytes) // as a replica begins
	dir, err := os.MkdirTemp("", "fusion-bench-utxo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	params, err := chain.ParamsOf(btc.Regtest)
	if err != nil {
		return err
	}
	params.BIP34Height = 1 // as on mainnet, where BIP30 need not be checked any more
	c := &bitcoinChain{params: params, tip: params.Base[0]}
	first := c.seal(nil)
	base := utxo.Base{Height: 1, Block: c.tip.Hash()}
	file, at := filepath.Join(dir, "utxo.dat"), filepath.Join(dir, "db")
	if base.Hash, err = coinFile(file, base.Block); err != nil {
		return err
	}
	opt := utxo.Options{Params: params, Stability: blockDepth}
	began := time.Now()
	if err := importCoins(ctx, at, opt, base, first[:btc.HeaderSize], file); err != nil {
		return err
	}
	s.add("btc_import_coins_per_s", coinSet/time.Since(began).Seconds(), "coins/s", "", 0)

	// Each old coin is spent once; the plain database gets the ones that are left.
	rng := rand.New(rand.NewSource(1))
	order := rng.Perm(coinSet)
	next := func() int {
		i := order[0]
		order = order[1:]
		return i
	}
	opt.Snapshot = &base
	mined := filepath.Join(dir, "blocks")
	headers, err := writeBlocks(mined, func() []byte { return c.blocks(rng, 1, next)[0] })
	if err != nil {
		return err
	}
	ours, cpu, inUse, err := s.stateBlocks(ctx, at, opt, mined, headers)
	if err != nil {
		return err
	}
	plain, err := plainBlocks(ctx, at, (&bitcoinChain{params: params, salt: 1 << 40}).blocks(rng, plainWarm+plainTaken, next))
	if err != nil {
		return err
	}
	s.add("btc_blocks_per_s", ours, "blocks/s", "plain Pebble, nothing checked or hashed", plain)
	s.add("btc_block_cpu_ms", cpu.Seconds()*1000, "CPU-ms", "", 0)
	s.add("btc_utxo_heap_mib", float64(inUse)/(1<<20), "MiB", "", 0)
	return nil
}

// coinOptions are of a replica that follows a public Bitcoin network.
var coinOptions = state.Options{CacheBytes: machine.BitcoinCacheBytes}

// writeBlocks mines into a file, each block behind its size, and returns the headers.
func writeBlocks(path string, mine func() []byte) (headers []byte, err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	for range blocksWarm + blocksTaken + blocksAhead {
		raw := mine()
		headers = append(headers, raw[:btc.HeaderSize]...)
		if _, err := w.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(raw))), raw...)); err != nil {
			return nil, err
		}
	}
	return headers, w.Flush()
}

// mapBlocks returns what writeBlocks wrote. The blocks are the file's pages until release is called: copying them is not what is measured.
func mapBlocks(path string) (blocks [][]byte, release func() error, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	all, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("mapping %s: %w", path, err)
	}
	for rest := all; len(rest) > 0; {
		end := 4 + binary.LittleEndian.Uint32(rest)
		blocks = append(blocks, rest[4:end])
		rest = rest[end:]
	}
	return blocks, func() error { return unix.Munmap(all) }, nil
}

// blocksAtHand is how many blocks the adapter has fetched beyond the one that is applied.
const blocksAtHand = 2

// ahead is a block that is at hand.
type ahead struct {
	raw      []byte
	foreseen chan error
}

// stateBlocks asks for coins, and takes blocks in as a replica does: how many a second, what one takes of the processors, and the bytes that it
// holds on the heap at the end.
func (s *suite) stateBlocks(ctx context.Context, dir string, opt utxo.Options, mined string, headers []byte) (perSecond float64, cpu time.Duration, inUse uint64, err error) {
	fail := func(err error) (float64, time.Duration, uint64, error) { return 0, 0, 0, err }
	before := liveHeap()
	db, err := state.Open(dir, coinOptions)
	if err != nil {
		return fail(err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := compacted(ctx, db); err != nil {
		return fail(err)
	}
	size, err := bytesIn(dir)
	if err != nil {
		return fail(err)
	}
	s.add("btc_bytes_per_coin", float64(size)/coinSet, "bytes", "", 0)
	pending := db.Begin()
	st, err := utxo.Open(opt, kv.Prefix(pending, coinRoom))
	if err != nil {
		return fail(err)
	}
	commit := func() error {
		if err := pending.Commit(db.Head().Height+1, st.Digest()); err != nil {
			return err
		}
		pending = db.Begin()
		st.Use(kv.Prefix(pending, coinRoom))
		return nil
	}
	if err := commit(); err != nil {
		return fail(err)
	}
	if err := s.coinQueries(ctx, st, rand.New(rand.NewSource(2))); err != nil {
		return fail(err)
	}
	const late = uint64(1) << 62
	st.Apply(utxo.Items{Headers: headers}, late)

	blocks, release, err := mapBlocks(mined)
	if err != nil {
		return fail(err)
	}
	defer func() { err = errors.Join(err, release()) }()
	ctx, stop := context.WithCancel(ctx)
	at := make(chan ahead, blocksAtHand-1)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer stop()
	reading.Go(func() {
		defer close(at)
		for _, raw := range blocks[:blocksWarm+blocksTaken] {
			foreseen := make(chan error, 1)
			reading.Go(func() {
				foreseen <- db.Look(func(committed kv.Reader) { st.Foresee(raw, kv.PrefixReader(committed, coinRoom)) })
			})
			select {
			case at <- ahead{raw, foreseen}:
			case <-ctx.Done():
				return
			}
		}
	})
	runtime.GC()
	var began time.Time
	var worked time.Duration
	var profiled func() error
	taken := 0
	for next := range at {
		if err := <-next.foreseen; err != nil {
			return fail(err)
		}
		if taken == blocksWarm {
			if profiled, err = s.profile("bitcoin_utxo"); err != nil {
				return fail(err)
			}
			defer func() { err = errors.Join(err, profiled()) }()
			began, worked = time.Now(), ownCPU()
		}
		taken++
		it := utxo.Items{Blocks: [][]byte{next.raw}}
		if err := st.CheckPayload(it); err != nil {
			return fail(err)
		}
		if o := st.Apply(it, late); o[0].Err != nil {
			return fail(o[0].Err)
		}
		if err := commit(); err != nil {
			return fail(err)
		}
	}
	if taken < blocksWarm+blocksTaken {
		return fail(ctx.Err())
	}
	// What the lot before left to flush and compact was done meanwhile, and what the last one leaves is not.
	perSecond, cpu = blocksTaken/time.Since(began).Seconds(), (ownCPU()-worked)/blocksTaken
	if err := profiled(); err != nil {
		return fail(err)
	}
	if at, want := st.Anchor().Height, uint32(1+blocksWarm+blocksTaken-blockDepth); at != want {
		return fail(fmt.Errorf("the anchor is at height %d, not %d", at, want))
	}
	inUse = liveHeap() - before
	runtime.KeepAlive(st)
	return perSecond, cpu, inUse, compacted(ctx, db) // others measure the database next
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// coinFile writes the set and returns its hash.
func coinFile(path string, block btc.Hash) (hash btc.Hash, err error) {
	f, err := os.Create(path)
	if err != nil {
		return hash, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r, w := io.Pipe()
	go func() {
		out := bufio.NewWriterSize(io.MultiWriter(f, w), 1<<20)
		w.CloseWithError(errors.Join(writeCoins(out, block), out.Flush()))
	}()
	in, err := utxo.ReadSnapshot(btc.Regtest, r)
	for err == nil {
		_, err = in.Next()
	}
	if !errors.Is(err, io.EOF) {
		return hash, errors.Join(err, r.CloseWithError(err))
	}
	return in.Hash(), nil
}

// importCoins makes a state of the file, as fusion replica import-utxos does.
func importCoins(ctx context.Context, dir string, opt utxo.Options, base utxo.Base, header []byte, file string) (err error) {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(file)) }()
	in, err := utxo.ReadSnapshot(btc.Regtest, f)
	if err != nil {
		return err
	}
	if opt.Params, err = chain.Replay(opt.Params, bytes.NewReader(header), base.Height, base.Block); err != nil {
		return err
	}
	into, err := state.NewImport(dir, coinOptions)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, into.Close()) }()
	var pairs []state.Pair
	flush := func() error {
		err := errors.Join(ctx.Err(), into.SetAll(pairs))
		pairs = pairs[:0]
		return err
	}
	set := func(k, v []byte) error {
		pairs = append(pairs, state.Pair{Key: append([]byte(coinRoom), k...), Value: bytes.Clone(v)})
		if len(pairs) < importPairs {
			return nil
		}
		return flush()
	}
	if err := errors.Join(utxo.Import(opt, base, in, set, nil), flush()); err != nil {
		return err
	}
	so, _, err := into.Read()
	if err != nil {
		return err
	}
	return errors.Join(utxo.StoreBalances(kv.PrefixReader(so, coinRoom), set), flush(), into.CommitGenesis())
}

// coinQueries asks for the coins of random addresses, and of those with many.
func (s *suite) coinQueries(ctx context.Context, st *utxo.State, rng *rand.Rand) error {
	times := make([]time.Duration, 0, queries)
	v := st.Live()
	for len(times) < queries {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, script := oldCoin(rng.Intn(coinSet))
		a, ok := btc.AddressOf(btc.Regtest, script)
		if !ok {
			return fmt.Errorf("script %x has no address", script)
		}
		began := time.Now()
		page, err := v.UTXOs(a, 0)
		if err == nil {
			_, err = v.Balance(a, 0)
		}
		times = append(times, time.Since(began))
		if err != nil || len(page.Coins) == 0 {
			return fmt.Errorf("coins of %v: %d, %w", a, len(page.Coins), err)
		}
	}
	slices.SortFunc(times, cmp.Compare)
	ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
	s.add("btc_query_p50_ms", ms(times[len(times)/2]), "ms", "", 0)
	s.add("btc_query_p99_ms", ms(times[len(times)*99/100]), "ms", "aim", 2)
	return nil
}

// compacted waits until what the import left to compact is done: a set is imported once, and blocks come for years.
func compacted(ctx context.Context, db *state.DB) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for idle := 0; idle < 10; {
		if idle++; db.Compacting() {
			idle = 0
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// The plain database is given fewer blocks, and as many first that coins of all ages are there.
const (
	plainWarm  = 32
	plainTaken = 16
)

// plainBlocks does to a database what blocks with coins of the same ages ask for at the least: look up each coin that is spent, delete it under its
// outpoint and its address, and store the new ones likewise, in one batch a block. Parsing is not counted.
func plainBlocks(ctx context.Context, dir string, blocks [][]byte) (perSecond float64, err error) {
	options, release := coinOptions.Pebble()
	defer release()
	db, err := pebble.Open(dir, options)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var took time.Duration
	for i, raw := range blocks {
		blk, err := btc.ParseBlock(raw)
		if err = errors.Join(err, ctx.Err()); err != nil {
			return 0, err
		}
		began := time.Now()
		b := db.NewIndexedBatch()
		so := plainStore{b}
		for j := range blk.Txs {
			for _, in := range blk.Txs[j].Inputs {
				if j == 0 {
					break
				}
				u := binary.BigEndian.AppendUint32(append([]byte{'u'}, in.Prev.Txid[:]...), in.Prev.Vout)
				v, ok := so.Get(u)
				if !ok || len(v) < 20 {
					return 0, fmt.Errorf("coin %v is not there", in.Prev)
				}
				so.Delete(u)
				so.Delete(indexed(v[4:], in.Prev))
			}
			for k, out := range blk.Txs[j].Outputs {
				kind, payload := btc.ScriptAddress(out.Script)
				if kind == 0 {
					continue
				}
				o := btc.Outpoint{Txid: blk.Txid(j), Vout: uint32(k)}
				address := append([]byte{byte(kind)}, payload...)
				so.Set(binary.BigEndian.AppendUint32(append([]byte{'u'}, o.Txid[:]...), o.Vout), append([]byte{2, 0xa0, 0x8d, 0x06}, address...))
				so.Set(indexed(address, o), []byte{0xc0, 0x9a, 0x0c})
			}
		}
		if err := b.Commit(pebble.NoSync); err != nil {
			return 0, err
		}
		if i >= plainWarm {
			took += time.Since(began)
		}
	}
	return plainTaken / took.Seconds(), nil
}

func indexed(address []byte, o btc.Outpoint) []byte {
	b := binary.BigEndian.AppendUint32(append([]byte{'a'}, address...), ^uint32(1))
	return binary.BigEndian.AppendUint32(append(b, o.Txid[:]...), o.Vout)
}

func bytesIn(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		i, err := d.Info()
		if err == nil {
			n += i.Size()
		}
		return err
	})
	return n, err
}
