package bitcoin

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"fusion/adapters/bitcoin/p2p"
	"fusion/btc"
)

// What a node relays is seen at once, is gone when a block holds it, and is back when that block is not on the best branch any more.
func TestMempoolSightings(t *testing.T) {
	n := startNode(t, t.TempDir(), "")
	mine(t, n, 101)
	user := testAddress(t, 11)
	early, err := n.Send(user.String(), btc.Coin)
	if err != nil {
		t.Fatal(err)
	}
	a := startAdapter(t, Config{Peers: []string{n.Addr()}})
	r := newReplica(t, a)
	r.sync(n)
	ids := func() (out []btc.Hash) {
		for _, s := range a.Mempool(user) {
			if s.Value == btc.Coin && time.Since(s.Seen) < patience {
				out = append(out, s.Outpoint.Txid)
			}
		}
		return out
	}
	wait(t, a, "what waited before the adapter came", func() bool { got := ids(); return len(got) == 1 && got[0] == early })
	late, err := n.Send(user.String(), btc.Coin)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, a, "the announced transaction", func() bool { got := ids(); return len(got) == 2 && got[1] == late })
	if got := a.Mempool(testAddress(t, 12)); len(got) != 0 {
		t.Errorf("another address: %+v", got)
	}
	mine(t, n, 1)
	r.sync(n)
	if got := ids(); len(got) != 0 || r.balance(user) != 2*btc.Coin {
		t.Errorf("after the block: %v, balance %v", got, r.balance(user))
	}
	if _, err := n.Reorg(1, 2, n.FaucetAddress()); err != nil {
		t.Fatal(err)
	}
	r.sync(n)
	if got := ids(); len(got) != 2 || r.balance(user) != 0 {
		t.Errorf("after the reorganisation: %v, balance %v", got, r.balance(user))
	}
	mine(t, n, 1)
	r.sync(n)
	if got := ids(); len(got) != 0 || r.balance(user) != 2*btc.Coin {
		t.Errorf("mined again: %v, balance %v", got, r.balance(user))
	}
}

func poolPeer(name string) *peer { return &peer{entry: &entry{Addr: name}} }

func payment(t testing.TB, salt uint32, to btc.Address, from ...btc.Outpoint) *btc.Tx {
	tx := &btc.Tx{Version: 2, LockTime: salt, Outputs: []btc.TxOut{{Value: 1000, Script: to.Script()}, {Value: 7, Script: []byte{0x51}}}}
	for _, o := range from {
		tx.Inputs = append(tx.Inputs, btc.TxIn{Prev: o})
	}
	return tx
}

func TestMempoolRules(t *testing.T) {
	m := newMempool()
	now := time.Unix(1e9, 0)
	p, q, r := poolPeer("p"), poolPeer("q"), poolPeer("r")
	to := testAddress(t, 1)
	coin := btc.Outpoint{Txid: btc.Hash{1}}
	first := payment(t, 1, to, coin)
	id := first.Txid()
	if m.deliver(first, p, 1, now) {
		t.Fatal("a transaction that nobody asked for was taken")
	}
	if !m.announced(id, p, now) || m.announced(id, q, now) || m.announced(id, r, now) || p.asked != 1 {
		t.Fatal("asked of more than one peer")
	}
	if m.deliver(first, q, 1, now) {
		t.Fatal("taken from a peer that was not asked")
	}
	// The peer does not deliver: the next that announced it is asked.
	again := m.sweep(now.Add(2*txTimeout), 0)
	if len(again) != 1 || len(again[q]) != 1 || again[q][0] != (p2p.Inventory{Kind: p2p.WitnessTx, Hash: id}) || p.asked != 0 || q.asked != 1 {
		t.Fatalf("%v, %d, %d", again, p.asked, q.asked)
	}
	if !m.deliver(first, q, 2, now) || q.asked != 0 || len(m.txs[id].peers) != 2 || m.announced(id, p, now) {
		t.Fatalf("%+v", m.txs[id])
	}
	take := func(tx *btc.Tx, at time.Time) {
		t.Helper()
		if !m.announced(tx.Txid(), p, at) || !m.deliver(tx, p, 1, at) {
			t.Fatal("not taken")
		}
	}
	check := func(want ...*btc.Tx) {
		t.Helper()
		if len(m.txs) != len(want) {
			t.Fatalf("%d transactions, want %d", len(m.txs), len(want))
		}
		size := 0
		for _, tx := range want {
			s := m.txs[tx.Txid()]
			if s == nil {
				t.Fatalf("no %v", tx.Txid())
			}
			size += s.size
		}
		if size != m.bytes || len(m.byScript[string(to.Script())]) != len(want) {
			t.Errorf("%d bytes counted, %d held; %d by script", m.bytes, size, len(m.byScript[string(to.Script())]))
		}
	}
	check(first)
	// A replacement takes the place of the transaction and of what spends it.
	child := payment(t, 2, to, btc.Outpoint{Txid: id, Vout: 1})
	take(child, now)
	check(first, child)
	second := payment(t, 3, to, coin)
	take(second, now)
	check(second)
	// A block with another spender of the coin ends it.
	third := payment(t, 4, to, coin)
	other := payment(t, 5, to, btc.Outpoint{Txid: btc.Hash{2}})
	take(other, now)
	m.mined(parsed(t, third), btc.Hash{9}, 100)
	check(other)
	m.mined(parsed(t, other), btc.Hash{10}, 101)
	m.sweep(now.Add(time.Hour), 101+poolBuried)
	check(other)
	m.sweep(now.Add(2*time.Hour), 102+poolBuried)
	check()
	take(second, now)
	m.sweep(now.Add(poolExpiry+time.Hour), 0)
	check()
	if len(m.byScript) != 0 || len(m.spends) != 0 || len(m.queue) != 0 || m.bytes != 0 {
		t.Errorf("%d scripts, %d spends, %d queued, %d bytes are left", len(m.byScript), len(m.spends), len(m.queue), m.bytes)
	}
}

// parsed is a block that holds the transactions.
func parsed(t *testing.T, txs ...*btc.Tx) *btc.Block {
	t.Helper()
	raw := append(make([]byte, btc.HeaderSize), byte(len(txs)))
	for _, tx := range txs {
		raw = append(raw, tx.Bytes()...)
	}
	b, err := btc.ParseBlock(raw)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Whatever peers send, the view stays within its bounds, and the oldest make room.
func TestMempoolBounds(t *testing.T) {
	m := newMempool()
	now := time.Unix(1e9, 0)
	p := poolPeer("p")
	for i := range uint32(maxPeerAsks + 10) {
		m.announced(btc.Hash{byte(i), byte(i >> 8)}, p, now)
	}
	if p.asked != maxPeerAsks || len(m.asks) != maxPeerAsks {
		t.Errorf("%d asked, %d asks", p.asked, len(m.asks))
	}
	for i := range 2 * maxTxAsks {
		m.announced(btc.Hash{byte(i), byte(i >> 8), 1}, poolPeer(fmt.Sprint(i)), now)
	}
	if len(m.asks) != maxTxAsks {
		t.Errorf("%d asks", len(m.asks))
	}
	m = newMempool()
	big := &btc.Tx{Version: 2}
	for range 5000 {
		big.Outputs = append(big.Outputs, btc.TxOut{Value: 1, Script: testAddress(t, 3).Script()})
	}
	var ids []btc.Hash
	q := poolPeer("q")
	for i := range uint32(80) {
		big.Inputs = []btc.TxIn{{Prev: btc.Outpoint{Vout: i}}}
		ids = append(ids, big.Txid())
		if !m.announced(big.Txid(), q, now) || !m.deliver(big, q, 1, now) {
			t.Fatal("not taken")
		}
		if m.bytes > maxPoolBytes {
			t.Fatalf("%d bytes", m.bytes)
		}
	}
	if m.txs[ids[0]] != nil || m.txs[ids[79]] == nil || len(m.txs) == 80 {
		t.Errorf("%d transactions", len(m.txs))
	}
}

// One peer of several cannot make a deposit up.
func TestMempoolNeedsTwoPeers(t *testing.T) {
	a := quietAdapter(t)
	to := testAddress(t, 1)
	p, q := poolPeer("p"), poolPeer("q")
	a.mu.Lock()
	tx := payment(t, 1, to, btc.Outpoint{Txid: btc.Hash{1}})
	a.pool.announced(tx.Txid(), p, time.Now())
	a.pool.deliver(tx, p, 2, time.Now())
	a.mu.Unlock()
	if got := a.Mempool(to); len(got) != 0 {
		t.Errorf("one of two peers announced it: %+v", got)
	}
	a.mu.Lock()
	a.pool.announced(tx.Txid(), q, time.Now())
	a.mu.Unlock()
	if got := a.Mempool(to); len(got) != 1 || got[0].Outpoint != (btc.Outpoint{Txid: tx.Txid()}) {
		t.Errorf("%+v", got)
	}
}

// quietAdapter has no peers.
func quietAdapter(t testing.TB) *Adapter {
	t.Helper()
	a, err := New(Config{Network: btc.Regtest, Local: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// Messages of a peer after the handshake, whatever they hold, neither crash the adapter nor leave its bounds.
func FuzzPeerMessages(f *testing.F) {
	tx := payment(f, 1, testAddress(f, 3), btc.Outpoint{Txid: btc.Hash{1}})
	f.Add("inv", p2p.EncodeInventory([]p2p.Inventory{{Kind: p2p.Tx, Hash: tx.Txid()}, {Kind: p2p.Block, Hash: btc.Hash{1}}}), "tx", tx.Bytes())
	f.Add("tx", tx.Bytes(), "notfound", p2p.EncodeInventory([]p2p.Inventory{{Kind: p2p.WitnessTx, Hash: tx.Txid()}}))
	f.Add("headers", p2p.EncodeHeaders([]btc.Header{{Version: 4}}), "getheaders", p2p.EncodeGetHeaders([]btc.Hash{{1}}))
	f.Add("getdata", p2p.EncodeInventory([]p2p.Inventory{{Kind: p2p.WitnessTx, Hash: tx.Txid()}}), "block", make([]byte, 200))
	f.Add("reject", []byte{2, 't', 'x', 1, 0}, "addr", []byte{0})
	a := quietAdapter(f)
	f.Fuzz(func(t *testing.T, c1 string, p1 []byte, c2 string, p2 []byte) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		go func() { _, _ = io.Copy(io.Discard, theirs); theirs.Close() }()
		p := &peer{a: a, conn: ours, entry: &entry{Addr: "fuzz"}, out: make(chan []byte, sendQueue), done: make(chan struct{}), lacks: map[btc.Hash]bool{}}
		a.mu.Lock()
		a.peers[p] = true
		a.mu.Unlock()
		if p.handle(c1, bytes.Clone(p1)) == nil {
			_ = p.handle(c2, bytes.Clone(p2))
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.peers, p)
		a.left(p, time.Now())
		if a.pool.bytes > maxPoolBytes || len(a.pool.asks) > maxTxAsks || len(a.pool.txs) > maxPoolTxs {
			t.Fatalf("%d bytes, %d asks", a.pool.bytes, len(a.pool.asks))
		}
	})
}
