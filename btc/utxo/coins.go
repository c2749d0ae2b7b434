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
func (c *Coin) element() []byte { return c.appendElement(make([]byte, 0, elementHead+9+len(c.Script))) }

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

// elementHead is what of an element is in front of the script and its length.
const elementHead = 36 + 4 + 8

// What follows reads an element that appendElement wrote; the script is a part of it.
func elementVout(e []byte) uint32  { return binary.LittleEndian.Uint32(e[32:]) }
func elementCode(e []byte) uint32  { return binary.LittleEndian.Uint32(e[36:]) }
func elementValue(e []byte) uint64 { return binary.LittleEndian.Uint64(e[40:]) }
func elementScript(e []byte) []byte {
	if e[elementHead] == 0xfd {
		return e[elementHead+3:]
	}
	return e[elementHead+1:]
}

func compareOutpoints(x, y []byte) int {
	return cmp.Or(bytes.Compare(x[:32], y[:32]), cmp.Compare(elementVout(x), elementVout(y)))
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
	return mustCoin(o, raw)
}

// mustCoin is decodeCoin of what a store holds.
func mustCoin(o btc.Outpoint, raw []byte) *Coin {
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
func appendIndexed(b []byte, value uint64, coinbase bool) []byte {
	value <<= 1
	if coinbase {
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
	lookEvery = 512
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
	at     int // where its element starts in the writer's
	size   int32
	leaves bool
	look   bool // see lookEvery
}

// in is the change's element among the writer's.
func (c *change) in(elements []byte) []byte { return elements[c.at : c.at+int(c.size)] }

// place is where a change stands in an order of keys.
type place struct {
	rank uint64 // start of its key, so that sorting rarely looks at the whole
	i    int32  // among the changes
}

// writer moves final blocks into the stable set. All their changes are gathered first: what came and went in between touches neither the store
// nor the hash, and keys are written in their order, which an ordered store takes several times faster. Coins lie all over the memory, so they are
// visited once, in the order of the blocks; what follows reads their elements, which lie close together.
type writer struct {
	store      kv.Store
	mu         *MuHash
	count      *uint64
	many       map[string]bool // addresses with a stored balance, by their keys without the prefix
	changes    []change        // in the order in which they came
	elements   []byte
	addresses  []place // of the changes that have one
	outpoints  []place
	coinbases  []*body
	hashed     int // how many of the changes are in parts, or will be when hashing ends
	hashing    sync.WaitGroup
	parts      []*MuHash
	key, value []byte // of the latest write
	touched    int32  // means nothing
}

// elementSize is what an element with an address takes, give or take a few bytes.
const elementSize = elementHead + 1 + 30

// expect makes room for so many changes: growing it would copy what is there again and again.
func (w *writer) expect(changes int) {
	w.changes, w.elements = make([]change, 0, changes), make([]byte, 0, changes*elementSize)
	w.addresses, w.outpoints = make([]place, 0, changes), make([]place, 0, changes)
	kv.Expect(w.store, changes*changeBytes)
}

// changeBytes is what a change takes in a store's batch at most, under both keys, unless its script is a long one without an address.
const changeBytes = 190

// add gathers one change.
func (w *writer) add(c *Coin, leaves, look bool) {
	i, at := int32(len(w.changes)), len(w.elements)
	w.outpoints = append(w.outpoints, place{binary.BigEndian.Uint64(c.Outpoint.Txid[:]), i})
	if kind, payload := btc.ScriptAddress(c.Script); kind != 0 {
		w.addresses = append(w.addresses, place{uint64(kind)<<56 | binary.BigEndian.Uint64(payload)>>8, i})
	}
	w.elements = c.appendElement(w.elements)
	w.changes = append(w.changes, change{at, int32(len(w.elements) - at), leaves, look})
	if leaves {
		*w.count--
	} else {
		*w.count++
	}
}

// touch reads a little of each element: a processor fetches them at once then, and one after the other when each is asked for all that it says.
func (w *writer) touch(list []place) {
	for _, p := range list {
		w.touched += w.changes[p.i].size
	}
	for _, p := range list {
		e := w.element(p.i)
		w.touched += int32(e[0]) + int32(e[len(e)-1])
	}
}

func (w *writer) element(i int32) []byte {
	return w.changes[i].in(w.elements)
}

// block gathers what a block does; first is the height of the first block of this write.
func (w *writer) block(b *body, first uint32) {
	seed := binary.LittleEndian.Uint64(b.node.Hash[:])
	for _, c := range b.spent {
		if c.Height < first {
			w.add(c, true, false)
		}
	}
	for i := range b.coins {
		if c := &b.coins[i]; !b.created[i].passed {
			w.add(c, false, (binary.LittleEndian.Uint64(c.Outpoint.Txid[:])^seed)%lookEvery == 0)
		}
	}
	w.coinbases = append(w.coinbases, b)
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

// hash has what was gathered since it was last called hashed, beside all else.
func (w *writer) hash() {
	changes, elements, part := w.changes[w.hashed:], w.elements, NewMuHash()
	w.hashed = len(w.changes)
	w.parts = append(w.parts, part)
	w.hashing.Go(func() {
		part.Update(len(changes), func(i int, _ []byte) ([]byte, bool) {
			return changes[i].in(elements), changes[i].leaves
		})
	})
}

// flush writes what was gathered.
func (w *writer) flush() {
	w.hash()
	defer func() {
		w.hashing.Wait()
		for _, part := range w.parts {
			w.mu.Combine(part)
		}
	}()
	spare := make([]place, len(w.changes))
	// In the order of the keys, which a store takes several times faster.
	w.index(spare)
	for _, b := range w.coinbases {
		w.coinbase(b)
	}
	w.write(spare)
}

// write writes the changes under their outpoints.
func (w *writer) write(spare []place) {
	w.sort(w.outpoints, spare, compareOutpoints)
	kv.Expect(w.store, 0) // room was made before
	for i, p := range w.outpoints {
		if i%stride == 0 {
			w.touch(w.outpoints[i:min(i+stride, len(w.outpoints))])
		}
		e := w.element(p.i)
		w.key = append(append(w.key[:0], 'u'), e[:32]...)
		w.key = binary.BigEndian.AppendUint32(w.key, elementVout(e))
		w.value = binary.AppendUvarint(binary.AppendUvarint(w.value[:0], uint64(elementCode(e))), elementValue(e))
		w.value = appendPacked(w.value, elementScript(e))
		w.put(w.changes[p.i].leaves)
	}
}

// put writes the key and the value that are ready.
func (w *writer) put(leaves bool) {
	if leaves {
		kv.DeleteOld(w.store, w.key, w.value)
	} else {
		kv.SetNew(w.store, w.key, w.value)
	}
}

// index writes the changes under their addresses.
func (w *writer) index(spare []place) {
	w.sort(w.addresses, spare, func(x, y []byte) int {
		return cmp.Or(bytes.Compare(elementScript(x), elementScript(y)), cmp.Compare(elementCode(y)>>1, elementCode(x)>>1), compareOutpoints(x, y))
	})
	far := w.addresses
	for list := w.addresses; len(list) > 0; {
		if len(list) <= len(far) {
			far = far[len(far)-len(list):]
			n := min(stride, len(far))
			w.touch(far[:n])
			far = far[n:]
		}
		n, script := 1, elementScript(w.element(list[0].i))
		for n < len(list) && list[n].rank == list[0].rank && bytes.Equal(elementScript(w.element(list[n].i)), script) {
			n++
		}
		w.address(script, list[:n])
		list = list[n:]
	}
}

// address writes the changes of one address. What it asks the store about the address comes first: a store may take long to find what was just written.
func (w *writer) address(script []byte, list []place) {
	var in, out balance
	look := false
	for _, p := range list {
		c, value := &w.changes[p.i], elementValue(w.element(p.i))
		if c.leaves {
			out.sum += value
			out.count++
			continue
		}
		in.sum += value
		in.count++
		look = look || c.look
	}
	w.key = appendPacked(append(w.key[:0], 'a'), script)
	size := len(w.key)
	after := func(v balance) balance { return balance{v.sum + in.sum - out.sum, v.count + in.count - out.count} }
	switch key := w.key[:size]; {
	case w.many[string(key[1:])]:
		name := string(key[1:])
		v, ok := storedBalance(w.store, w.balanceKey(name))
		if !ok {
			panic(fmt.Errorf("%w: no balance %x", ErrCorrupt, name))
		}
		w.keep(name, after(v))
	case look || in.count >= lookGroup:
		if after(addUp(w.store, key, manyCoins+1+out.count)).count > manyCoins {
			name := string(key[1:])
			w.many[name] = true
			w.keep(name, after(addUp(w.store, key, math.MaxUint64)))
		}
	}
	for _, p := range list {
		e := w.element(p.i)
		code := elementCode(e)
		w.key = append(binary.BigEndian.AppendUint32(w.key[:size], ^(code>>1)), e[:32]...)
		w.key = binary.BigEndian.AppendUint32(w.key, elementVout(e))
		w.value = appendIndexed(w.value[:0], elementValue(e), code&1 == 1)
		w.put(w.changes[p.i].leaves)
	}
}

// sort puts the places into the order of their ranks, and those of one rank into that of their elements. spare is as long at least.
func (w *writer) sort(list, spare []place, order func(x, y []byte) int) {
	sortRanks(list, spare)
	for from := 0; from < len(list); {
		to := from + 1
		for to < len(list) && list[to].rank == list[from].rank {
			to++
		}
		if to-from > 1 {
			slices.SortFunc(list[from:to], func(x, y place) int { return order(w.element(x.i), w.element(y.i)) })
		}
		from = to
	}
}

// sortRanks sorts by rank, a byte at a time, the lowest first. spare is as long at least; what it holds afterwards means nothing.
func sortRanks(list, spare []place) {
	var counts [8][256]int32
	for _, p := range list {
		for k := range counts {
			counts[k][byte(p.rank>>(8*k))]++
		}
	}
	from, to := list, spare[:len(list)]
	for k := range counts {
		starts, start := &counts[k], int32(0)
		if len(list) == 0 || starts[byte(list[0].rank>>(8*k))] == int32(len(list)) {
			continue // all have the same
		}
		for v, n := range starts {
			starts[v] = start
			start += n
		}
		for _, p := range from {
			at := &starts[byte(p.rank>>(8*k))]
			to[*at] = p
			*at++
		}
		from, to = to, from
	}
	if len(list) > 0 && &from[0] != &list[0] {
		copy(list, from)
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
