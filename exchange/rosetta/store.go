package rosetta

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"fusion/ckledger/icrc"
	"fusion/exchange/reader"
	"fusion/ic/principal"
	"fusion/internal/codec"
	"fusion/internal/kv"
	"fusion/internal/pebblelog"
)

// format is the layout of the store, written into each.
const format = 1

// Keys. Those of a ledger begin with its length and bytes, so that no ledger's are a prefix of another's.
const (
	keyFormat = "\x00format"

	keyToken   = 'i' // what the token is
	keyHead    = 's' // head
	keyBlock   = 'b' // index → record
	keyHash    = 'h' // hash of a block → index
	keyTx      = 't' // hash of a transaction ‖ index → nothing
	keyBalance = 'a' // account ‖ inverted index → balance after the block
)

// maxCached is how many balances the writer of a ledger remembers, some 10 MiB.
const maxCached = 1 << 16

// head is how far a ledger's books are. Blocks below Proven are shown; those up to Staged are stored.
type head struct {
	Proven     uint64 `cbor:"p"`
	ProvenHash []byte `cbor:"ph"`
	Staged     uint64 `cbor:"s"`
	StagedHash []byte `cbor:"sh"`
}

func openDB(dir string, fs vfs.FS) (*pebble.DB, error) {
	cache := pebble.NewCache(32 << 20)
	defer cache.Unref()
	options := &pebble.Options{FS: fs, Cache: cache, MemTableSize: 16 << 20, FormatMajorVersion: pebble.FormatNewest, Logger: pebblelog.Logger{}}
	for i := range options.Levels {
		options.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	db, err := pebble.Open(dir, options)
	if err != nil {
		return nil, fmt.Errorf("opening the mesh store %s: %w", dir, err)
	}
	have, err := get(db, []byte(keyFormat))
	switch {
	case err == nil && have == nil:
		err = db.Set([]byte(keyFormat), []byte{format}, pebble.Sync)
	case err == nil && (len(have) != 1 || have[0] != format):
		err = fmt.Errorf("%w: format %x, this program writes %d; remove the directory, and it is built again", ErrStore, have, format)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the mesh store %s: %w", dir, err), db.Close())
	}
	return db, nil
}

func get(db *pebble.DB, key []byte) ([]byte, error) {
	v, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return append([]byte{}, v...), nil
}

// books are what the store has of one ledger. One goroutine writes (stage, prove, unstage); all may read, and what they read, which is
// proven, never changes.
type books struct {
	db     *pebble.DB
	prefix []byte
	cached map[string]icrc.Amount // of the writer
	// collector is the account that the block at collectorAt names, which most blocks refer to. Of the writer.
	collector   *icrc.Account
	collectorAt uint64
}

func openBooks(db *pebble.DB, ledger principal.Principal) *books {
	return &books{db: db, prefix: ledger.Append([]byte{1, byte(ledger.Len())}), cached: map[string]icrc.Amount{}}
}

func (k *books) key(kind byte, parts ...[]byte) []byte {
	out := append(append(make([]byte, 0, 128), k.prefix...), kind)
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func be(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func (k *books) head() (h head, err error) {
	b, err := get(k.db, k.key(keyHead))
	if err != nil || b == nil {
		return h, err
	}
	if err := codec.Unmarshal(b, &h); err != nil {
		return h, fmt.Errorf("%w: %w", ErrStore, err)
	}
	return h, nil
}

// record is a block as it is stored.
type record struct {
	Index     uint64
	Hash, Tx  [32]byte
	Collector *icrc.Account // who gets its fee
	icrc.Followed
	feeGiven bool
}

func field(v *icrc.ICRC3Value, name string) *icrc.ICRC3Value {
	if v == nil || v.Map == nil {
		return nil
	}
	for i := range *v.Map {
		if (*v.Map)[i].Key == name {
			return &(*v.Map)[i].Value
		}
	}
	return nil
}

// txHash is the hash of a block's tx: the identifier of the transaction.
func txHash(v *icrc.ICRC3Value) (h [32]byte, err error) {
	tx := field(v, "tx")
	if tx == nil {
		tx = v // a block that no user asked for
	}
	raw, err := icrc.AppendValue(nil, *tx)
	if err != nil {
		return h, err
	}
	return icrc.HashValue(raw)
}

func feeGiven(v *icrc.ICRC3Value) bool { return field(field(v, "tx"), "fee") != nil }

// encode is the stored form: hash, transaction hash, length of the collector's key, the key, the block.
func (r *record) encode(v icrc.ICRC3Value) ([]byte, error) {
	out := append(append(make([]byte, 0, 512), r.Hash[:]...), r.Tx[:]...)
	var key []byte
	if r.Collector != nil {
		var err error
		if key, err = r.Collector.AppendKey(nil); err != nil {
			return nil, err
		}
	}
	return icrc.AppendValue(append(append(out, byte(len(key))), key...), v)
}

func decodeRecord(index uint64, b []byte) (*record, error) {
	fail := func(err error) (*record, error) { return nil, fmt.Errorf("%w: block %d: %w", ErrStore, index, err) }
	if len(b) < 65 || len(b) < 65+int(b[64]) {
		return fail(errors.New("ends early"))
	}
	r := &record{Index: index, Hash: [32]byte(b), Tx: [32]byte(b[32:])}
	if n := int(b[64]); n > 0 {
		c, _, err := icrc.ReadKey(b[65 : 65+n])
		if err != nil {
			return fail(err)
		}
		r.Collector = &c
	}
	v, err := icrc.DecodeValue(b[65+int(b[64]):])
	if err != nil {
		return fail(err)
	}
	if r.Followed, err = icrc.Follow(v); err != nil {
		return fail(err)
	}
	r.feeGiven = feeGiven(&v)
	return r, nil
}

// block reads a block; nil if it is not there.
func (k *books) block(index uint64) (*record, error) {
	b, err := get(k.db, k.key(keyBlock, be(index)))
	if err != nil || b == nil {
		return nil, err
	}
	return decodeRecord(index, b)
}

// indexOf finds a block by its hash.
func (k *books) indexOf(hash []byte) (index uint64, ok bool, err error) {
	b, err := get(k.db, k.key(keyHash, hash))
	if err != nil || b == nil {
		return 0, false, err
	}
	if len(b) != 8 {
		return 0, false, fmt.Errorf("%w: index of %d bytes", ErrStore, len(b))
	}
	return binary.BigEndian.Uint64(b), true, nil
}

// indicesOf lists up to limit blocks below end with a transaction of this hash. There is more than one only for those without a creation time.
func (k *books) indicesOf(tx []byte, end uint64, limit int) (out []uint64, err error) {
	err = k.scan(k.key(keyTx, tx), func(rest, _ []byte) bool {
		if len(rest) == 8 {
			if i := binary.BigEndian.Uint64(rest); i < end {
				out = append(out, i)
			}
		}
		return len(out) < limit
	})
	return out, err
}

// balance is an account's balance after the blocks below end.
func (k *books) balance(a icrc.Account, end uint64) (v icrc.Amount, err error) {
	if end == 0 {
		return v, nil
	}
	key, err := a.AppendKey(nil)
	if err != nil {
		return v, err
	}
	err = k.history(key, end, func(_ uint64, after icrc.Amount) bool {
		v = after
		return false
	})
	return v, err
}

// history visits the blocks below end that concern an account, newest first, with the balance after each.
func (k *books) history(account []byte, end uint64, visit func(index uint64, after icrc.Amount) bool) error {
	prefix := k.key(keyBalance, account)
	return k.scanFrom(prefix, append(append([]byte{}, prefix...), be(^(end-1))...), func(rest, value []byte) bool {
		return len(rest) != 8 || visit(^binary.BigEndian.Uint64(rest), icrc.AmountOfBytes(value))
	})
}

// scan visits the keys that start with a prefix; rest is what follows it.
func (k *books) scan(prefix []byte, visit func(rest, value []byte) bool) error {
	return k.scanFrom(prefix, prefix, visit)
}

func (k *books) scanFrom(prefix, from []byte, visit func(rest, value []byte) bool) error {
	it, err := k.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: kv.PrefixEnd(prefix)})
	if err != nil {
		return err
	}
	for ok := it.First(); ok && visit(it.Key()[len(prefix):], it.Value()); ok = it.Next() {
	}
	return it.Close()
}

// recordOf reads a block that was fetched and finds its fee collector.
func (k *books) recordOf(b *reader.Block) (*record, error) {
	r := &record{Index: b.Index, Hash: b.Hash, Followed: b.Followed, feeGiven: feeGiven(&b.Value)}
	var err error
	if r.Tx, err = txHash(&b.Value); err != nil {
		return nil, fmt.Errorf("%w: block %d: %w", ErrBlocks, b.Index, err)
	}
	switch {
	case b.Collector != nil:
		k.collector, k.collectorAt = b.Collector, b.Index
		r.Collector = b.Collector
	case b.CollectorBlock != nil:
		at := *b.CollectorBlock
		if k.collector == nil || k.collectorAt != at {
			named, err := k.block(at)
			if err != nil {
				return nil, err
			}
			if at >= b.Index || named == nil || named.Followed.Collector == nil {
				return nil, fmt.Errorf("%w: block %d names block %d for its fee collector, which names none", ErrBlocks, b.Index, at)
			}
			k.collector, k.collectorAt = named.Followed.Collector, at
		}
		r.Collector = k.collector
	}
	return r, nil
}

// stage appends blocks, which must follow the staged ones, and computes the balances after them. It writes all or nothing.
func (k *books) stage(blocks []reader.Block) (err error) {
	h, err := k.head()
	if err != nil {
		return err
	}
	if len(k.cached) >= maxCached { // only here: within a batch, the newest balances are nowhere else
		clear(k.cached)
	}
	batch := k.db.NewBatch()
	defer func() {
		if err != nil { // what was computed in the batch did not happen
			clear(k.cached)
			k.collector = nil
			batch.Close()
		}
	}()
	for i := range blocks {
		b := &blocks[i]
		if b.Index != h.Staged || (b.Parent == nil) != (b.Index == 0) || b.Parent != nil && string(b.Parent[:]) != string(h.StagedHash) {
			return fmt.Errorf("%w: block %d does not follow block %d with hash %x", ErrBlocks, b.Index, h.Staged-1, h.StagedHash)
		}
		if err := k.book(batch, b); err != nil {
			return err
		}
		h.Staged, h.StagedHash = b.Index+1, b.Hash[:]
	}
	if err := batch.Set(k.key(keyHead), codec.Marshal(h), nil); err != nil {
		return err
	}
	// Without waiting for the disk: what a crash takes away is fetched again. Batches are kept in order, so no gap can remain.
	return batch.Commit(pebble.NoSync)
}

// book writes one block.
func (k *books) book(batch *pebble.Batch, b *reader.Block) error {
	r, err := k.recordOf(b)
	if err != nil {
		return err
	}
	effects, err := effectsOf(&r.Transaction, r.Collector, r.feeGiven, nil)
	if err != nil {
		return err
	}
	// An effect may take what the one before gave, as with a fee collector who pays a fee, so each account is summed before it is judged.
	type sum struct {
		key         []byte
		plus, minus icrc.Amount
	}
	var sums []*sum
	for i := range effects {
		e := &effects[i]
		key, err := e.account.AppendKey(nil)
		if err != nil {
			return fmt.Errorf("%w: block %d: %w", ErrBlocks, b.Index, err)
		}
		var s *sum
		for _, have := range sums {
			if string(have.key) == string(key) {
				s = have
			}
		}
		if s == nil {
			s = &sum{key: key}
			sums = append(sums, s)
		}
		side := &s.plus
		if e.minus {
			side = &s.minus
		}
		var ok bool
		if *side, ok = side.Add(e.amount); !ok {
			return fmt.Errorf("%w: block %d moves more than 256 bits", ErrBlocks, b.Index)
		}
	}
	for _, s := range sums {
		before, err := k.latest(s.key)
		if err != nil {
			return err
		}
		after, ok := before.Add(s.plus)
		if ok {
			after, ok = after.Sub(s.minus)
		}
		if !ok {
			return fmt.Errorf("%w: block %d takes %s from an account that has %s and gets %s", ErrBlocks, b.Index, s.minus, before, s.plus)
		}
		k.cached[string(s.key)] = after
		if err := batch.Set(k.key(keyBalance, s.key, be(^b.Index)), after.AppendBytes(nil), nil); err != nil {
			return err
		}
	}
	stored, err := r.encode(b.Value)
	if err != nil {
		return fmt.Errorf("%w: block %d: %w", ErrBlocks, b.Index, err)
	}
	return errors.Join(
		batch.Set(k.key(keyBlock, be(b.Index)), stored, nil),
		batch.Set(k.key(keyHash, b.Hash[:]), be(b.Index), nil),
		batch.Set(k.key(keyTx, r.Tx[:], be(b.Index)), nil, nil))
}

// latest is an account's balance after all staged blocks.
func (k *books) latest(account []byte) (v icrc.Amount, err error) {
	if v, ok := k.cached[string(account)]; ok {
		return v, nil
	}
	err = k.scan(k.key(keyBalance, account), func(_, value []byte) bool {
		v = icrc.AmountOfBytes(value)
		return false
	})
	if err == nil {
		k.cached[string(account)] = v
	}
	return v, err
}

// prove makes the staged blocks up to a certified tip proven, if the tip is their hash. A tip that is behind what is proven must be a part of it.
func (k *books) prove(tip reader.Tip) (head, error) {
	h, err := k.head()
	if err != nil || tip.Index >= h.Staged {
		return h, err
	}
	b, err := k.block(tip.Index)
	if err != nil {
		return h, err
	}
	if b == nil {
		return h, fmt.Errorf("%w: block %d is missing", ErrStore, tip.Index)
	}
	switch {
	case b.Hash != tip.Hash && tip.Index < h.Proven:
		return h, fmt.Errorf("%w: block %d was %x and is %x", ErrFork, tip.Index, b.Hash, tip.Hash)
	case b.Hash != tip.Hash:
		return h, fmt.Errorf("%w: block %d is %x, certified is %x", ErrBlocks, tip.Index, b.Hash, tip.Hash)
	case tip.Index < h.Proven:
		return h, nil
	}
	h.Proven, h.ProvenHash = tip.Index+1, b.Hash[:]
	return h, k.db.Set(k.key(keyHead), codec.Marshal(h), pebble.Sync)
}

// unstage drops what is staged but not proven, newest first and a part at a time: after a crash it goes on.
func (k *books) unstage() error {
	clear(k.cached)
	k.collector = nil
	for {
		h, err := k.head()
		if err != nil || h.Staged == h.Proven {
			return err
		}
		batch := k.db.NewBatch()
		from := max(h.Proven, h.Staged-min(h.Staged, 1000))
		for i := from; i < h.Staged; i++ {
			if err := k.erase(batch, i); err != nil {
				return errors.Join(err, batch.Close())
			}
		}
		h.Staged, h.StagedHash = from, h.ProvenHash
		if from > h.Proven {
			b, err := k.block(from - 1)
			if err != nil || b == nil {
				return errors.Join(fmt.Errorf("%w: block %d", ErrStore, from-1), err, batch.Close())
			}
			h.StagedHash = b.Hash[:]
		}
		if err := errors.Join(batch.Set(k.key(keyHead), codec.Marshal(h), nil), batch.Commit(pebble.Sync)); err != nil {
			return err
		}
	}
}

// erase takes one block out of the store.
func (k *books) erase(batch *pebble.Batch, index uint64) error {
	r, err := k.block(index)
	if err != nil {
		return err
	}
	if r == nil {
		return fmt.Errorf("%w: block %d is missing", ErrStore, index)
	}
	effects, err := effectsOf(&r.Transaction, r.Collector, r.feeGiven, nil)
	if err != nil {
		return err
	}
	for i := range effects {
		key, err := effects[i].account.AppendKey(nil)
		if err != nil {
			return fmt.Errorf("%w: block %d: %w", ErrStore, index, err)
		}
		if err := batch.Delete(k.key(keyBalance, key, be(^index)), nil); err != nil {
			return err
		}
	}
	// Another block of the same hash would contain it.
	return errors.Join(batch.Delete(k.key(keyBlock, be(index)), nil), batch.Delete(k.key(keyHash, r.Hash[:]), nil),
		batch.Delete(k.key(keyTx, r.Tx[:], be(index)), nil))
}
