package utxo

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"fusion/btc"
	"fusion/internal/kv"
)

// Coin is an unspent output.
type Coin struct {
	Outpoint btc.Outpoint
	Value    btc.Satoshi
	Height   uint32 // of the block that made it
	Coinbase bool
	Script   []byte
}

// CoinbaseMaturity is the number of confirmations after which a coinbase can be spent, and is shown (COINBASE_MATURITY).
const CoinbaseMaturity = 100

// mature tells whether the coin counts at a view of the given height.
func (c *Coin) mature(height uint32) bool {
	return !c.Coinbase || int64(height)-int64(c.Height)+1 >= CoinbaseMaturity
}

// element is what a coin contributes to the set's MuHash (Bitcoin Core, kernel/coinstats.cpp, TxOutSer).
func (c *Coin) element() []byte { return c.appendElement(make([]byte, 0, 36+4+8+9+len(c.Script))) }

func (c *Coin) appendElement(b []byte) []byte {
	b = append(b, c.Outpoint.Txid[:]...)
	b = binary.LittleEndian.AppendUint32(b, c.Outpoint.Vout)
	b = binary.LittleEndian.AppendUint32(b, c.code())
	b = binary.LittleEndian.AppendUint64(b, uint64(c.Value))
	switch n := len(c.Script); {
	case n < 0xfd:
		b = append(b, byte(n))
	default: // a spendable script has at most 10,000 bytes
		b = binary.LittleEndian.AppendUint16(append(b, 0xfd), uint16(n))
	}
	return append(b, c.Script...)
}

func (c *Coin) code() uint32 {
	if c.Coinbase {
		return c.Height<<1 | 1
	}
	return c.Height << 1
}

// The stable set in the store:
//
//	u txid vout            → code, value, script          every coin
//	a kind payload ^height txid vout → value, coinbase    coins with an address, newest first
//	b kind payload         → sum, count                    balance of an address with many coins
//	c height               → (value, script)…              a coinbase's coins, while they may be immature
//
// Numbers in keys are big-endian, so that their order is the numbers'.

// ErrCorrupt means that the store holds something that this package did not write.
var ErrCorrupt = errors.New("stored coin set is inconsistent")

func coinKey(o btc.Outpoint) []byte { return appendOutpoint(append(make([]byte, 0, 37), 'u'), o) }

func appendOutpoint(b []byte, o btc.Outpoint) []byte {
	return binary.BigEndian.AppendUint32(append(b, o.Txid[:]...), o.Vout)
}

func readOutpoint(b []byte) (o btc.Outpoint) {
	copy(o.Txid[:], b[:32])
	o.Vout = binary.BigEndian.Uint32(b[32:36])
	return o
}

// addressKey starts all keys about the address of a script, and is nil for scripts without one.
func addressKey(prefix byte, script []byte) []byte {
	if kind, payload := btc.ScriptAddress(script); kind != 0 {
		return append(append(make([]byte, 0, 2+len(payload)), prefix, byte(kind)), payload...)
	}
	return nil
}

func encodeCoin(c *Coin) []byte { return appendCoin(make([]byte, 0, 16+len(c.Script)), c) }

func appendCoin(b []byte, c *Coin) []byte {
	b = binary.AppendUvarint(b, uint64(c.code()))
	b = binary.AppendUvarint(b, uint64(c.Value))
	return appendPacked(b, c.Script)
}

// appendPacked stores a script with an address as kind and payload, and any other behind a zero.
func appendPacked(b, script []byte) []byte {
	if kind, payload := btc.ScriptAddress(script); kind != 0 {
		return append(append(b, byte(kind)), payload...)
	}
	return append(append(b, 0), script...)
}

func packScript(script []byte) []byte { return appendPacked(nil, script) }

func unpackScript(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, ErrCorrupt
	}
	if b[0] == 0 {
		return bytes.Clone(b[1:]), nil
	}
	a, err := btc.NewAddress(btc.Regtest, btc.AddressKind(b[0]), b[1:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return a.Script(), nil
}

func decodeCoin(o btc.Outpoint, b []byte) (*Coin, error) {
	code, n := binary.Uvarint(b)
	if n <= 0 || code > 1<<32-1 {
		return nil, fmt.Errorf("%w: coin %v", ErrCorrupt, o)
	}
	value, m := binary.Uvarint(b[n:])
	if m <= 0 || value > uint64(btc.MaxMoney) {
		return nil, fmt.Errorf("%w: coin %v", ErrCorrupt, o)
	}
	script, err := unpackScript(b[n+m:])
	if err != nil {
		return nil, fmt.Errorf("coin %v: %w", o, err)
	}
	return &Coin{o, btc.Satoshi(value), uint32(code >> 1), code&1 == 1, script}, nil
}

// stableCoin reads a coin of the stable set. A damaged store panics: going on would fork the replica from the others.
func stableCoin(r kv.Reader, o btc.Outpoint) *Coin {
	raw, ok := r.Get(coinKey(o))
	if !ok {
		return nil
	}
	c, err := decodeCoin(o, raw)
	if err != nil {
		panic(err)
	}
	return c
}

func indexKey(address []byte, c *Coin) []byte {
	b := append(make([]byte, 0, len(address)+40), address...)
	return appendOutpoint(binary.BigEndian.AppendUint32(b, ^c.Height), c.Outpoint)
}

// appendIndexed is the value under an "a" key.
func appendIndexed(b []byte, c *Coin) []byte {
	value := uint64(c.Value) << 1
	if c.Coinbase {
		value |= 1
	}
	return binary.AppendUvarint(b, value)
}

// balance is the value under a "b" key.
type balance struct {
	sum   uint64
	count uint64
}

// Most addresses hold one coin, so a stored balance for each would cost more to keep than it saves: it is added up when it is asked for.
// An address that is seen to hold more than manyCoins gets a stored one, which stays until its last coin goes.
const (
	manyCoins = 256
	// lookEvery is one in how many added coins makes the writer count its address. Which ones it is depends on the hash of the block,
	// so that nobody can pile up coins that are never counted.
	lookEvery = 128
	// lookGroup is the number of coins added to an address at once that makes the writer count it in any case.
	lookGroup = 32
)

func storedBalance(r kv.Reader, key []byte) (v balance, ok bool) {
	raw, ok := r.Get(key)
	if !ok {
		return v, false
	}
	var n, m int
	v.sum, n = binary.Uvarint(raw)
	if n > 0 {
		v.count, m = binary.Uvarint(raw[n:])
	}
	if n <= 0 || m <= 0 {
		panic(fmt.Errorf("%w: balance %x", ErrCorrupt, key))
	}
	return v, true
}

// readBalance is the sum of the stable coins of a script with an address.
func readBalance(r kv.Reader, script []byte) balance {
	key := addressKey('b', script)
	if v, ok := storedBalance(r, key); ok {
		return v
	}
	key[0] = 'a'
	return addUp(r, key, math.MaxUint64)
}

// addUp sums the coins under an address's "a" key, at most limit of them.
func addUp(r kv.Reader, key []byte, limit uint64) (v balance) {
	kv.ScanPrefix(r, key, func(k, raw []byte) bool {
		value, m := binary.Uvarint(raw)
		if len(k) != len(key)+40 || m <= 0 {
			panic(fmt.Errorf("%w: coin under %x", ErrCorrupt, k))
		}
		v.sum += value >> 1
		v.count++
		return v.count < limit
	})
	return v
}

// change is a coin that enters or leaves the stable set.
type change struct {
	rank   uint64 // start of its key, so that sorting rarely looks at the whole
	coin   *Coin
	leaves bool
	look   bool // see lookEvery
}

// writer moves final blocks into the stable set. All their changes are gathered first: what came and went in between touches neither the store
// nor the hash, and keys are written in their order, which an ordered store takes several times faster.
type writer struct {
	store   kv.Store
	mu      *MuHash
	count   *uint64
	many    map[string]bool // addresses with a stored balance, by their keys without the prefix
	changes []change
}

// block gathers what a block does; first is the height of the first block of this write.
func (w *writer) block(b *body, first uint32) {
	seed := binary.LittleEndian.Uint64(b.node.Hash[:])
	for _, c := range b.spent {
		if c.Height < first {
			w.changes = append(w.changes, change{coin: c, leaves: true})
		}
	}
	for i := range b.coins {
		if c := &b.coins[i]; !b.created[i].passed {
			look := (binary.LittleEndian.Uint64(c.Outpoint.Txid[:])^seed)%lookEvery == 0
			w.changes = append(w.changes, change{coin: c, look: look})
		}
	}
	w.coinbase(b)
}

// coinbase notes the coins of a block's coinbase, spent or not, while views may have to leave them out.
func (w *writer) coinbase(b *body) {
	n := 0
	for n < len(b.coins) && b.coins[n].Coinbase { // the coinbase is the first transaction
		n++
	}
	height := b.node.Height
	w.store.Set(coinbaseKey(height), coinbaseList(b.coins[:n]))
	if height+1 >= CoinbaseMaturity { // shown by every view from now on
		w.store.Delete(coinbaseKey(height + 1 - CoinbaseMaturity))
	}
}

func (w *writer) flush() {
	var hashing sync.WaitGroup
	unsorted := slices.Clone(w.changes)
	hashing.Go(func() {
		w.mu.Update(len(unsorted), func(i int, buf []byte) ([]byte, bool) { return unsorted[i].coin.appendElement(buf), unsorted[i].leaves })
	})
	defer hashing.Wait()
	for i := range w.changes {
		c := &w.changes[i]
		if c.rank = binary.BigEndian.Uint64(c.coin.Outpoint.Txid[:]); c.leaves {
			*w.count--
		} else {
			*w.count++
		}
	}
	slices.SortFunc(w.changes, func(x, y change) int {
		if x.rank != y.rank {
			return cmp.Compare(x.rank, y.rank)
		}
		return cmp.Or(bytes.Compare(x.coin.Outpoint.Txid[:], y.coin.Outpoint.Txid[:]), cmp.Compare(x.coin.Outpoint.Vout, y.coin.Outpoint.Vout))
	})
	var key, value []byte
	indexed := w.changes[:0:0]
	for _, c := range w.changes {
		key = appendOutpoint(append(key[:0], 'u'), c.coin.Outpoint)
		if value = appendCoin(value[:0], c.coin); c.leaves {
			kv.DeleteOld(w.store, key, value)
		} else {
			kv.SetNew(w.store, key, value)
		}
		if kind, payload := btc.ScriptAddress(c.coin.Script); kind != 0 {
			c.rank = uint64(kind)<<56 | binary.BigEndian.Uint64(payload)>>8
			indexed = append(indexed, c)
		}
	}
	slices.SortFunc(indexed, func(x, y change) int {
		if x.rank != y.rank {
			return cmp.Compare(x.rank, y.rank)
		}
		return cmp.Or(bytes.Compare(x.coin.Script, y.coin.Script), order(x.coin, y.coin))
	})
	for len(indexed) > 0 {
		n := 1
		for n < len(indexed) && indexed[n].rank == indexed[0].rank && bytes.Equal(indexed[n].coin.Script, indexed[0].coin.Script) {
			n++
		}
		w.address(indexed[:n])
		indexed = indexed[n:]
	}
	w.changes = nil
}

// address writes the changes of one address.
func (w *writer) address(list []change) {
	key := addressKey('a', list[0].coin.Script)
	var in, out balance
	look := false
	var index, value []byte
	for _, c := range list {
		index = appendOutpoint(binary.BigEndian.AppendUint32(append(index[:0], key...), ^c.coin.Height), c.coin.Outpoint)
		value = appendIndexed(value[:0], c.coin)
		if c.leaves {
			kv.DeleteOld(w.store, index, value)
			out.sum += uint64(c.coin.Value)
			out.count++
			continue
		}
		kv.SetNew(w.store, index, value)
		in.sum += uint64(c.coin.Value)
		in.count++
		look = look || c.look
	}
	name := string(key[1:])
	switch {
	case w.many[name]:
		v, ok := storedBalance(w.store, w.balanceKey(name))
		if !ok {
			panic(fmt.Errorf("%w: no balance %x", ErrCorrupt, name))
		}
		w.keep(name, balance{v.sum + in.sum - out.sum, v.count + in.count - out.count})
	case look || in.count >= lookGroup:
		if addUp(w.store, key, manyCoins+1).count > manyCoins {
			w.many[name] = true
			w.keep(name, addUp(w.store, key, math.MaxUint64))
		}
	}
}

func (w *writer) balanceKey(name string) []byte { return append([]byte{'b'}, name...) }

func (w *writer) keep(name string, v balance) {
	if v.count == 0 {
		delete(w.many, name)
		w.store.Delete(w.balanceKey(name))
		return
	}
	w.store.Set(w.balanceKey(name), binary.AppendUvarint(binary.AppendUvarint(nil, v.sum), v.count))
}

func coinbaseKey(height uint32) []byte { return binary.BigEndian.AppendUint32([]byte{'c'}, height) }

// immature adds up the stable coinbases to a script that a view at height does not show yet; anchor is the stable set's height.
func immature(r kv.Reader, anchor, height uint32, script []byte) (sum btc.Satoshi) {
	want := packScript(script)
	for at := max(int64(height)-CoinbaseMaturity+2, 0); at <= int64(anchor); at++ {
		raw, _ := r.Get(coinbaseKey(uint32(at)))
		for len(raw) > 0 {
			value, n := binary.Uvarint(raw)
			size, m := binary.Uvarint(raw[max(n, 0):])
			if n <= 0 || m <= 0 || size > uint64(len(raw)-n-m) {
				panic(fmt.Errorf("%w: coinbase at height %d", ErrCorrupt, at))
			}
			if bytes.Equal(raw[n+m:n+m+int(size)], want) {
				sum += btc.Satoshi(value)
			}
			raw = raw[n+m+int(size):]
		}
	}
	return sum
}
