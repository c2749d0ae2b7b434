package bitcoin

import (
	"cmp"
	"slices"
	"time"

	"fusion/adapters/bitcoin/p2p"
	"fusion/btc"
)

const (
	maxPoolTxs    = 50_000
	maxPoolBytes  = 32 << 20 // as sizes of sightings count
	poolOverhead  = 256      // what a transaction costs beside its outputs and inputs
	poolExpiry    = 14 * 24 * time.Hour
	poolSweep     = time.Minute
	poolBuried    = 200 // blocks above a sighting's own after which it is forgotten
	maxTxAsks     = 5_000
	maxPeerAsks   = 1_000
	txTimeout     = time.Minute
	maxAnnouncers = 4
	recent        = 24 * time.Hour // age of the best header up to which transactions are worth fetching
)

// A Sighting is an output of a transaction that peers relay and no block of the best branch holds.
type Sighting struct {
	Outpoint btc.Outpoint
	Value    btc.Satoshi
	Seen     time.Time
}

// sighted is a relayed transaction, of which only outputs with an address and the spent outpoints are kept.
type sighted struct {
	txid    btc.Hash
	seen    time.Time
	outs    []sightedOut
	total   int // outputs that the transaction has
	ins     []btc.Outpoint
	size    int
	peers   []string  // that announced it, at most maxAnnouncers
	need    int       // announcers without which it is not shown
	block   *btc.Hash // that holds it
	height  uint32
	removed bool
}

type sightedOut struct {
	vout   uint32
	value  btc.Satoshi
	script string
}

// txAsk is a transaction that was asked for.
type txAsk struct {
	from  *peer
	since time.Time
	also  []*peer // that announced it, too
}

// mempool is the view of what peers relay. It is guarded by the adapter's lock.
type mempool struct {
	txs      map[btc.Hash]*sighted
	byScript map[string][]*sighted
	spends   map[btc.Outpoint]*sighted // the latest spender
	queue    []*sighted                // by arrival, removed ones included
	bytes    int
	asks     map[btc.Hash]*txAsk
	swept    time.Time
}

func newMempool() *mempool {
	return &mempool{txs: map[btc.Hash]*sighted{}, byScript: map[string][]*sighted{}, spends: map[btc.Outpoint]*sighted{}, asks: map[btc.Hash]*txAsk{}}
}

// announced notes that a peer has a transaction and tells whether to ask the peer for it.
func (m *mempool) announced(txid btc.Hash, p *peer, now time.Time) bool {
	if s := m.txs[txid]; s != nil {
		s.heard(p.entry.Addr)
		return false
	}
	if q := m.asks[txid]; q != nil {
		if q.from != p && len(q.also) < maxAnnouncers-1 && !slices.Contains(q.also, p) {
			q.also = append(q.also, p)
		}
		return false
	}
	if len(m.asks) >= maxTxAsks || p.asked >= maxPeerAsks {
		return false
	}
	p.asked++
	m.asks[txid] = &txAsk{from: p, since: now}
	return true
}

func (s *sighted) heard(addr string) {
	if len(s.peers) < maxAnnouncers && !slices.Contains(s.peers, addr) {
		s.peers = append(s.peers, addr)
	}
}

// giveUp asks another announcer for a transaction that its peer did not deliver, and returns that one or nil.
func (m *mempool) giveUp(txid btc.Hash, now time.Time) *peer {
	q := m.asks[txid]
	q.from.asked--
	delete(m.asks, txid)
	for i, p := range q.also {
		if p.asked < maxPeerAsks {
			p.asked++
			m.asks[txid] = &txAsk{from: p, since: now, also: q.also[i+1:]}
			return p
		}
	}
	return nil
}

// deliver takes a transaction from the peer that was asked for it; what was not asked for is ignored.
func (m *mempool) deliver(tx *btc.Tx, p *peer, need int, now time.Time) bool {
	txid := tx.Txid()
	q := m.asks[txid]
	if q == nil || q.from != p {
		return false
	}
	p.asked--
	delete(m.asks, txid)
	s := &sighted{txid: txid, seen: now, need: need, total: len(tx.Outputs), size: poolOverhead}
	s.heard(p.entry.Addr)
	for _, also := range q.also {
		s.heard(also.entry.Addr)
	}
	for i := range tx.Outputs {
		o := &tx.Outputs[i]
		if _, ok := btc.AddressOf(btc.Regtest, o.Script); ok { // any network: only the form matters
			s.outs = append(s.outs, sightedOut{uint32(i), o.Value, string(o.Script)})
			s.size += 96 + len(o.Script)
		}
	}
	for i := range tx.Inputs {
		s.ins = append(s.ins, tx.Inputs[i].Prev)
		s.size += 96
	}
	if s.size > maxPoolBytes {
		return false
	}
	// Nodes relay a conflicting transaction only when it replaces the earlier one.
	for _, in := range s.ins {
		if old := m.spends[in]; old != nil {
			m.remove(old)
		}
	}
	m.txs[txid] = s
	m.queue = append(m.queue, s)
	m.bytes += s.size
	for _, in := range s.ins {
		m.spends[in] = s
	}
	for i, o := range s.outs {
		if !slices.ContainsFunc(s.outs[:i], func(x sightedOut) bool { return x.script == o.script }) {
			m.byScript[o.script] = append(m.byScript[o.script], s)
		}
	}
	for len(m.txs) > maxPoolTxs || m.bytes > maxPoolBytes {
		m.remove(m.oldest())
	}
	return true
}

// oldest is the first that is left in the queue.
func (m *mempool) oldest() *sighted {
	for m.queue[0].removed {
		m.queue[0] = nil
		m.queue = m.queue[1:]
	}
	return m.queue[0]
}

// remove forgets a transaction and those that spend its outputs.
func (m *mempool) remove(s *sighted) {
	for todo := []*sighted{s}; len(todo) > 0; {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if s.removed {
			continue
		}
		s.removed = true
		delete(m.txs, s.txid)
		m.bytes -= s.size
		for _, in := range s.ins {
			if m.spends[in] == s {
				delete(m.spends, in)
			}
		}
		for _, o := range s.outs {
			left := slices.DeleteFunc(m.byScript[o.script], func(x *sighted) bool { return x == s })
			if len(left) == 0 {
				delete(m.byScript, o.script)
			} else {
				m.byScript[o.script] = left
			}
		}
		for i := range s.total {
			if child := m.spends[btc.Outpoint{Txid: s.txid, Vout: uint32(i)}]; child != nil {
				todo = append(todo, child)
			}
		}
	}
}

// mined notes what a block holds, and forgets what can not be mined beside it.
func (m *mempool) mined(blk *btc.Block, hash btc.Hash, height uint32) {
	for i := range blk.Txs {
		txid := blk.Txid(i)
		for j := range blk.Txs[i].Inputs {
			if s := m.spends[blk.Txs[i].Inputs[j].Prev]; s != nil && s.txid != txid {
				m.remove(s)
			}
		}
		if s := m.txs[txid]; s != nil {
			s.block, s.height = &hash, height
		}
	}
}

// sweep forgets what is old or long mined, and gives up on peers that do not deliver. It returns whom to ask instead.
func (m *mempool) sweep(now time.Time, best uint32) map[*peer][]p2p.Inventory {
	if now.Sub(m.swept) < poolSweep {
		return nil
	}
	m.swept = now
	for _, s := range m.queue {
		if !s.removed && (now.Sub(s.seen) > poolExpiry || s.block != nil && best > s.height+poolBuried) {
			m.remove(s)
		}
	}
	m.queue = slices.DeleteFunc(m.queue, func(s *sighted) bool { return s.removed })
	again := map[*peer][]p2p.Inventory{}
	for txid, q := range m.asks {
		if now.Sub(q.since) > txTimeout {
			if p := m.giveUp(txid, now); p != nil {
				again[p] = append(again[p], p2p.Inventory{Kind: p2p.WitnessTx, Hash: txid})
			}
		}
	}
	return again
}

// left hands what a disconnected peer was asked for to others. The lock is held.
func (a *Adapter) left(p *peer, now time.Time) {
	again := map[*peer][]p2p.Inventory{}
	for txid, q := range a.pool.asks {
		q.also = slices.DeleteFunc(q.also, func(x *peer) bool { return x == p })
		if q.from == p {
			if next := a.pool.giveUp(txid, now); next != nil {
				again[next] = append(again[next], p2p.Inventory{Kind: p2p.WitnessTx, Hash: txid})
			}
		}
	}
	a.askTxs(again)
}

// askTxs sends getdata messages. The lock is held.
func (a *Adapter) askTxs(of map[*peer][]p2p.Inventory) {
	for p, items := range of {
		for chunk := range slices.Chunk(items, 1000) {
			p.send("getdata", p2p.EncodeInventory(chunk))
		}
	}
}

// relaying tells whether transactions are worth fetching: while the headers are years behind, they are not. The lock is held.
func (a *Adapter) relaying(now time.Time) bool {
	return a.cfg.Network.Development() || now.Sub(time.Unix(int64(a.tree.Best().Header.Time), 0)) < recent
}

// Mempool lists the outputs to an address that peers relay and no block of the best branch holds, in the order in which they were
// seen. It is this replica's own view and proves nothing: nobody checked a signature. So that one peer cannot make deposits up, a
// transaction is shown only when two peers announced it, unless there was only one when it came.
func (a *Adapter) Mempool(to btc.Address) []Sighting {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Sighting
	script := string(to.Script())
	for _, s := range a.pool.byScript[script] {
		if len(s.peers) < s.need || s.block != nil && a.onBest(*s.block) {
			continue
		}
		for _, o := range s.outs {
			if o.script == script {
				out = append(out, Sighting{btc.Outpoint{Txid: s.txid, Vout: o.vout}, o.value, s.seen})
			}
		}
	}
	slices.SortFunc(out, func(x, y Sighting) int {
		return cmp.Or(x.Seen.Compare(y.Seen), slices.Compare(x.Outpoint.Txid[:], y.Outpoint.Txid[:]), cmp.Compare(x.Outpoint.Vout, y.Outpoint.Vout))
	})
	return out
}

// onBest tells whether a block is on the best branch, as far as it is known. The lock is held.
func (a *Adapter) onBest(h btc.Hash) bool {
	n := a.tree.Get(h)
	return n == nil || a.tree.Best().Ancestor(n.Height) == n
}
