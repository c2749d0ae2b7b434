package utxo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

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
func (c *Coin) element() []byte {
	b := make([]byte, 0, 36+4+8+9+len(c.Script))
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
//	b kind payload         → sum, count                    balance of an address
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
	a, ok := btc.AddressOf(btc.Regtest, script) // any network: only kind and payload matter
	if !ok {
		return nil
	}
	return append([]byte{prefix, byte(a.Kind())}, a.Payload()...)
}

func encodeCoin(c *Coin) []byte {
	b := binary.AppendUvarint(make([]byte, 0, 16+len(c.Script)), uint64(c.code()))
	b = binary.AppendUvarint(b, uint64(c.Value))
	return append(b, packScript(c.Script)...)
}

// packScript stores a script with an address as kind and payload, and any other behind a zero.
func packScript(script []byte) []byte {
	if k := addressKey(0, script); k != nil {
		return k[1:]
	}
	return append([]byte{0}, script...)
}

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
	b := binary.BigEndian.AppendUint32(bytes.Clone(address), ^c.Height)
	return appendOutpoint(b, c.Outpoint)
}

// balance is the value under a "b" key.
type balance struct {
	sum   uint64
	count uint64
}

func readBalance(r kv.Reader, key []byte) (v balance) {
	raw, ok := r.Get(key)
	if !ok {
		return v
	}
	var n, m int
	v.sum, n = binary.Uvarint(raw)
	if n > 0 {
		v.count, m = binary.Uvarint(raw[n:])
	}
	if n <= 0 || m <= 0 {
		panic(fmt.Errorf("%w: balance %x", ErrCorrupt, key))
	}
	return v
}

// writer moves one block into the stable set.
type writer struct {
	store    kv.Store
	mu       *MuHash
	count    *uint64
	balances map[string]*balance
	order    []string // of first use, so that writes come in a fixed order
	height   uint32
	coinbase []byte // value of the "c" key
}

func (w *writer) balance(script []byte) (key []byte, v *balance) {
	key = addressKey('b', script)
	if key == nil {
		return nil, nil
	}
	v = w.balances[string(key)]
	if v == nil {
		b := readBalance(w.store, key)
		v = &b
		w.balances[string(key)] = v
		w.order = append(w.order, string(key))
	}
	return key, v
}

func (w *writer) add(c *Coin) {
	w.store.Set(coinKey(c.Outpoint), encodeCoin(c))
	if key, v := w.balance(c.Script); v != nil {
		key[0] = 'a'
		value := uint64(c.Value) << 1
		if c.Coinbase {
			value |= 1
		}
		w.store.Set(indexKey(key, c), binary.AppendUvarint(nil, value))
		v.sum += uint64(c.Value)
		v.count++
	}
	if c.Coinbase {
		script := packScript(c.Script)
		w.coinbase = binary.AppendUvarint(binary.AppendUvarint(w.coinbase, uint64(c.Value)), uint64(len(script)))
		w.coinbase = append(w.coinbase, script...)
	}
	w.mu.Insert(c.element())
	*w.count++
}

func (w *writer) remove(c *Coin) {
	w.store.Delete(coinKey(c.Outpoint))
	if key, v := w.balance(c.Script); v != nil {
		key[0] = 'a'
		w.store.Delete(indexKey(key, c))
		v.sum -= uint64(c.Value)
		v.count--
	}
	w.mu.Remove(c.element())
	*w.count--
}

func (w *writer) flush() {
	for _, key := range w.order {
		if v := w.balances[key]; v.count == 0 {
			w.store.Delete([]byte(key))
		} else {
			w.store.Set([]byte(key), binary.AppendUvarint(binary.AppendUvarint(nil, v.sum), v.count))
		}
	}
	w.store.Set(coinbaseKey(w.height), w.coinbase)
	if w.height+1 >= CoinbaseMaturity { // shown by every view from now on
		w.store.Delete(coinbaseKey(w.height + 1 - CoinbaseMaturity))
	}
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
