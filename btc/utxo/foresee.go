package utxo

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"sync"

	"fusion/btc"
	"fusion/internal/kv"
)

// foreseen is what a stable set holds of the coins that a block spends, for whoever applies the block to that set.
type foreseen struct {
	meta   []byte  // of the set; see State.meta
	coins  []*Coin // by input, the coinbase's left out; nil for none
	looked []bool  // the others are of the block, or of one above the anchor
}

// foresight is what Foresee may know of a state that is at work.
type foresight struct {
	young  sync.RWMutex // guards created and spends against their owner, who reads them without
	mu     sync.Mutex   // guards what follows
	epoch  uint32
	recent [recentBlocks]map[uint64]int32 // transactions by txTag, of the latest blocks foreseen, which may not be linked yet
	next   int
}

// recentBlocks is how many blocks may be looked at before the first of them is applied.
const recentBlocks = 4

// Foresee looks at a block that a payload may bring soon, in any goroutine: CheckPayload and Apply then have less to do, and come to the same. A few blocks are
// remembered, those of two payloads. The coins that it spends are read ahead where committed is given, a view of one commit, which must stay open until Foresee returns.
// They count when the state is at the same stable set as that commit.
func (s *State) Foresee(raw []byte, committed kv.Reader) {
	if len(raw) > MaxBytesPerPayload {
		return
	}
	c, err := s.parse(raw) // what is wrong with it is found again
	if err != nil || c.draft == nil || committed == nil {
		return
	}
	defer func() { _ = recover() }() // a store that cannot be read stops whoever applies the block
	c.foreseen.Store(s.readAhead(c, committed))
}

func (s *State) readAhead(c *checkedBlock, committed kv.Reader) *foreseen {
	f, d, before := &s.foresight, c.draft, c.foreseen.Load()
	f.mu.Lock()
	epoch, recent := f.epoch, f.recent
	if before == nil {
		f.recent[f.next], f.next = d.own, (f.next+1)%recentBlocks
	}
	f.mu.Unlock()
	if epoch > 0 {
		committed = kv.PrefixReader(committed, epochPrefix(epoch))
	}
	meta, ok := committed.Get([]byte("m"))
	if !ok || before != nil && bytes.Equal(meta, before.meta) {
		return before
	}
	prevs := spentBy(c.Block, d)
	out := &foreseen{bytes.Clone(meta), make([]*Coin, len(prevs)), make([]bool, len(prevs))}
	var list []wanted
	for i, o := range prevs {
		if d.tx(&o.Txid) < 0 && !slices.ContainsFunc(recent[:], func(own map[uint64]int32) bool { _, ok := own[txTag(&o.Txid)]; return ok }) {
			list = append(list, want(o, i))
		}
	}
	f.young.RLock()
	list = slices.DeleteFunc(list, func(w wanted) bool { return s.created.get(txTag(&w.o.Txid)) != nil })
	f.young.RUnlock()
	sortWanted(list)
	for _, w := range list {
		out.looked[w.at] = true
	}
	share(len(list), readShare, func(from, to int) { find(committed, list[from:to], func(at int, c *Coin) { out.coins[at] = c }) })
	return out
}

// spentBy lists what a block spends, but for its coinbase.
func spentBy(blk *btc.Block, d *draft) []*btc.Outpoint {
	prevs := make([]*btc.Outpoint, 0, d.inputs)
	for i := 1; i < len(blk.Txs); i++ {
		for k := range blk.Txs[i].Inputs {
			prevs = append(prevs, &blk.Txs[i].Inputs[k].Prev)
		}
	}
	return prevs
}

// wanted is a coin to be read from the stable set.
type wanted struct {
	rank uint64 // start of its key, so that sorting rarely looks at the whole
	o    *btc.Outpoint
	at   int // among the block's inputs
}

func want(o *btc.Outpoint, at int) wanted {
	return wanted{binary.BigEndian.Uint64(o.Txid[:]), o, at}
}

// sortWanted sorts by key.
func sortWanted(list []wanted) {
	slices.SortFunc(list, func(x, y wanted) int {
		if x.rank != y.rank {
			return cmp.Compare(x.rank, y.rank)
		}
		return cmp.Or(bytes.Compare(x.o.Txid[:], y.o.Txid[:]), cmp.Compare(x.o.Vout, y.o.Vout))
	})
}

// find reads sorted coins.
func find(r kv.Reader, list []wanted, found func(at int, c *Coin)) {
	keys := make([][]byte, len(list))
	for i := range keys {
		keys[i] = coinKey(*list[i].o)
	}
	kv.Find(r, keys, func(i int, raw []byte) { found(list[i].at, mustCoin(*list[i].o, raw)) })
}
