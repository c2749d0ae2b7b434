package bitcoin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fusion/adapters/bitcoin/node"
	"fusion/adapters/bitcoin/p2p"
	"fusion/btc"
	"fusion/btc/chain"
	"fusion/btc/utxo"
	"fusion/internal/kv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 3 * time.Minute // only a hanging test ever waits so long

func startNode(t *testing.T, dir, listen string) *node.Node {
	t.Helper()
	n, err := node.Start(node.Config{DataDir: dir, ListenAddr: listen})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func startAdapter(t *testing.T, cfg Config) *Adapter {
	t.Helper()
	cfg.Network, cfg.Local = btc.Regtest, true
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// replica is the replicated side: it proposes what its adapter has and applies it.
type replica struct {
	t     *testing.T
	a     *Adapter
	state *utxo.State
	store *kv.Mem
}

func newReplica(t *testing.T, a *Adapter) *replica {
	t.Helper()
	p, err := chain.ParamsOf(btc.Regtest)
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{t: t, a: a, store: kv.NewMem()}
	if r.state, err = utxo.Open(utxo.Options{Params: p, Stability: 6}, r.store); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *replica) round() (progress bool) {
	now := uint64(time.Now().UnixNano())
	items := r.state.Filter(r.a.Successors(r.state.Request()), now, 4<<20)
	if err := r.state.CheckPayload(items); err != nil {
		r.t.Fatal(err)
	}
	for _, o := range r.state.Apply(items, now) {
		if o.Err != nil && !(errors.Is(o.Err, utxo.ErrKnown) && !o.Body) {
			r.t.Fatalf("%+v", o)
		}
	}
	r.a.Announce(r.state.Outgoing())
	return !items.Empty()
}

// until runs rounds whenever the adapter has news, until the condition holds.
func (r *replica) until(what string, cond func() bool) {
	r.t.Helper()
	deadline := time.After(patience)
	for {
		changed := r.a.Changed()
		for r.round() {
		}
		if cond() {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			r.t.Fatalf("waiting for %s: %+v, %+v", what, r.state.Info(), r.a.Info())
		}
	}
}

func (r *replica) sync(n *node.Node) {
	r.t.Helper()
	r.until("the node's tip", func() bool { return r.state.Tip().Hash == n.Tip() })
}

func wait(t *testing.T, a *Adapter, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		changed := a.Changed()
		if cond() {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("waiting for %s: %+v", what, a.Info())
		}
	}
}

func mine(t *testing.T, n *node.Node, count int) []btc.Hash {
	t.Helper()
	h, err := n.MineBlocks(count, n.FaucetAddress())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func testAddress(t testing.TB, fill byte) btc.Address {
	t.Helper()
	a, err := btc.NewAddress(btc.Regtest, btc.P2WPKH, bytes.Repeat([]byte{fill}, 20))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (r *replica) balance(a btc.Address) btc.Satoshi {
	r.t.Helper()
	b, err := r.state.Live().Balance(a, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

func TestSyncDepositReorg(t *testing.T) {
	n := startNode(t, t.TempDir(), "")
	mine(t, n, 150)
	r := newReplica(t, startAdapter(t, Config{Peers: []string{n.Addr()}}))
	r.sync(n)
	if r.state.Anchor().Height != 145 || !r.state.Synced() {
		t.Errorf("anchor %d", r.state.Anchor().Height)
	}
	user := testAddress(t, 9)
	if _, err := n.Send(user.String(), 3*btc.Coin); err != nil {
		t.Fatal(err)
	}
	mine(t, n, 1)
	r.sync(n)
	if b := r.balance(user); b != 3*btc.Coin {
		t.Errorf("deposit %v", b)
	}
	// Two blocks are replaced by three that do not hold the deposit.
	mine(t, n, 1)
	r.sync(n)
	if _, err := n.Reorg(2, 3, n.FaucetAddress()); err != nil {
		t.Fatal(err)
	}
	r.sync(n)
	if b := r.balance(user); b != 0 {
		t.Errorf("after the reorganisation: %v", b)
	}
	mine(t, n, 1)
	r.sync(n)
	if b := r.balance(user); b != 3*btc.Coin {
		t.Errorf("mined again: %v", b)
	}
	// A second replica that starts now comes to the same state.
	late := newReplica(t, startAdapter(t, Config{Peers: []string{n.Addr()}}))
	late.sync(n)
	if late.state.SetHash() != r.state.SetHash() || late.balance(user) != 3*btc.Coin {
		t.Error("two replicas differ")
	}
}

// spendFaucet makes a signed transaction without the node's knowledge: sent on one node, taken from its memory pool.
func spendFaucet(t *testing.T, n *node.Node, to btc.Address) []byte {
	t.Helper()
	id, err := n.Send(to.String(), btc.Coin)
	if err != nil {
		t.Fatal(err)
	}
	info, ok := n.GetTx(id)
	if !ok {
		t.Fatal("the node has forgotten its own transaction")
	}
	return info.Raw
}

func TestAnnounceUntilMined(t *testing.T) {
	maker := startNode(t, t.TempDir(), "")
	mine(t, maker, 101)
	user := testAddress(t, 5)
	raw := spendFaucet(t, maker, user)

	// The adapter's node has the same blocks but not the transaction.
	n := startNode(t, t.TempDir(), "")
	copyChain(t, maker, n)
	r := newReplica(t, startAdapter(t, Config{Peers: []string{n.Addr()}}))
	r.sync(n)
	id, err := r.state.Send(raw, uint64(time.Now().UnixNano()))
	if err != nil {
		t.Fatal(err)
	}
	r.until("the node to take the transaction", func() bool {
		s, ok := r.a.Status(id)
		return ok && s.Fetched == 1
	})
	waitFor(t, "the transaction in the memory pool", func() bool { return len(n.Mempool()) == 1 })
	mine(t, n, 1)
	r.until("the block", func() bool {
		s, _ := r.a.Status(id)
		return s.Height == 102 && s.Block == n.Tip()
	})
	if r.balance(user) != btc.Coin {
		t.Errorf("balance %v", r.balance(user))
	}
	// Its block is reorganised away: it is announced again, although the node still has it from the disconnected block.
	if _, err := n.Reorg(1, 2, n.FaucetAddress()); err != nil {
		t.Fatal(err)
	}
	r.until("the reorganisation", func() bool {
		s, _ := r.a.Status(id)
		return r.state.Tip().Hash == n.Tip() && s.Height == 0
	})
	mine(t, n, 1)
	r.until("the second block", func() bool { s, _ := r.a.Status(id); return s.Height == 104 })

	// A transaction that the node refuses: btcd says why.
	tx, err := btc.ParseTx(raw)
	if err != nil {
		t.Fatal(err)
	}
	bad := btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: btc.Outpoint{Txid: tx.Txid()}}}, Outputs: []btc.TxOut{{Value: 1000, Script: user.Script()}}} // unsigned
	badID, err := r.state.Send(bad.Bytes(), uint64(time.Now().UnixNano()))
	if err != nil {
		t.Fatal(err)
	}
	r.until("the refusal", func() bool { s, _ := r.a.Status(badID); return s.Reject != "" })
	r.state.Apply(utxo.Items{}, uint64(time.Now().Add(time.Hour).UnixNano()))
	r.a.Announce(r.state.Outgoing())
	if _, ok := r.a.Status(id); ok || r.a.Info().Outgoing != 0 {
		t.Error("an expired transaction is still announced")
	}
}

// waitFor polls for what the node does on its own; there is no event to wait for.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waiting for %s", what)
		}
	}
}

// copyChain pushes all blocks of one node to another over P2P, as a miner would.
func copyChain(t *testing.T, from, to *node.Node) {
	t.Helper()
	conn, err := net.Dial("tcp", to.Addr())
	if err != nil {
		t.Fatal(err)
	}
	a := &Adapter{cfg: Config{Network: btc.Regtest}}
	var cancel context.CancelFunc
	a.ctx, cancel = context.WithCancel(context.Background())
	defer cancel()
	p, err := chain.ParamsOf(btc.Regtest)
	if err != nil {
		t.Fatal(err)
	}
	if a.tree, err = chain.Open(p, kv.NewMem()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.handshake(conn, &entry{}); err != nil {
		t.Fatal(err)
	}
	a.wg.Wait()
	for h := uint32(1); h <= from.Height(); h++ {
		hash, err := from.HashAt(h)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := from.Block(hash)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(p2p.Encode(btc.Regtest.Magic(), "block", raw)); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "the copied chain", func() bool { return to.Tip() == from.Tip() })
	conn.Close()
}

// Peers come and go; the adapter finds them again, at the same address, and uses the other one meanwhile.
func TestPeersComeAndGo(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir, "")
	mine(t, n, 20)
	other := startNode(t, t.TempDir(), "")
	copyChain(t, n, other)
	a := startAdapter(t, Config{Peers: []string{n.Addr(), other.Addr()}, Dir: t.TempDir()})
	r := newReplica(t, a)
	wait(t, a, "two peers", func() bool { return len(a.Info().Peers) == 2 })
	r.sync(n)
	addr := n.Addr()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	wait(t, a, "the loss of a peer", func() bool { return len(a.Info().Peers) == 1 })
	mine(t, other, 5)
	r.sync(other)
	n = startNode(t, dir, addr)
	wait(t, a, "the peer to return", func() bool { return len(a.Info().Peers) == 2 })
	// The returned node lives on an older tip; the longer branch stays.
	mine(t, n, 2)
	mine(t, other, 1)
	r.sync(other)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if raw, err := os.ReadFile(filepath.Join(a.cfg.Dir, "peers.json")); err != nil || !strings.Contains(string(raw), addr) {
		t.Errorf("saved addresses: %s, %v", raw, err)
	}
	// With the file alone a new adapter finds them.
	again := startAdapter(t, Config{Dir: a.cfg.Dir})
	wait(t, again, "a remembered peer", func() bool { return len(again.Info().Peers) > 0 })
}

// liar is a peer that completes the handshake and then says what the test wants.
type liar struct {
	lis net.Listener
}

func newLiar(t *testing.T, greet func(net.Conn)) *liar {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			greet(conn)
		}
	}()
	t.Cleanup(func() { lis.Close(); <-done })
	return &liar{lis: lis}
}

// versions plays an honest handshake for a peer at the height.
func versions(conn net.Conn, services uint64, height uint32) bool {
	payload := []byte{0x80, 0x11, 1, 0} // 70016
	le := func(v uint64, n int) {
		for range n {
			payload = append(payload, byte(v))
			v >>= 8
		}
	}
	le(services, 8)
	le(uint64(time.Now().Unix()), 8)
	payload = append(payload, make([]byte, 26+26+8)...)
	payload = append(payload, 6)
	payload = append(payload, "/liar/"...)
	le(uint64(height), 4)
	payload = append(payload, 1)
	magic := btc.Regtest.Magic()
	conn.Write(p2p.Encode(magic, "version", payload))
	conn.Write(p2p.Encode(magic, "verack", nil))
	for {
		command, _, err := p2p.Read(conn, magic)
		if err != nil {
			return false
		}
		if command == "verack" {
			return true
		}
	}
}

// readUntil waits for a command and returns its payload.
func readUntil(conn net.Conn, command string) []byte {
	for {
		c, payload, err := p2p.Read(conn, btc.Regtest.Magic())
		if err != nil {
			return nil
		}
		if c == command {
			return payload
		}
	}
}

// Each kind of misbehaviour ends the connection, and does not keep the adapter from the honest node.
func TestMisbehavingPeers(t *testing.T) {
	n := startNode(t, t.TempDir(), "")
	mine(t, n, 12)
	headersOf := func() (hs []btc.Header) {
		for i := uint32(1); i <= 12; i++ {
			hash, err := n.HashAt(i)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := n.Block(hash)
			if err != nil {
				t.Fatal(err)
			}
			h, err := btc.ParseHeader(raw[:80])
			if err != nil {
				t.Fatal(err)
			}
			hs = append(hs, h)
		}
		return hs
	}()
	magic := btc.Regtest.Magic()
	for name, greet := range map[string]func(conn net.Conn){
		"another network": func(c net.Conn) { c.Write(p2p.Encode(btc.Mainnet.Magic(), "verack", nil)) },
		"no version":      func(c net.Conn) { c.Write(p2p.Encode(magic, "verack", nil)) },
		"no witnesses":    func(c net.Conn) { versions(c, 1, 12) },
		"wrong checksum": func(c net.Conn) {
			b := p2p.Encode(magic, "headers", []byte{0})
			b[20] ^= 1
			versions(c, 9, 12)
			c.Write(b)
		},
		"huge message": func(c net.Conn) {
			b := p2p.Encode(magic, "block", nil)
			b[19] = 0x7f
			versions(c, 9, 12)
			c.Write(b)
		},
		"huge unknown message": func(c net.Conn) {
			b := p2p.Encode(magic, "xyzzy", nil)
			b[19] = 0x7f
			versions(c, 9, 12)
			c.Write(b)
		},
		"headers without work": func(c net.Conn) {
			versions(c, 9, 12)
			h := headersOf[0]
			h.Bits = 0x1d00ffff
			c.Write(p2p.Encode(magic, "headers", p2p.EncodeHeaders([]btc.Header{h})))
		},
		"headers that are none": func(c net.Conn) { versions(c, 9, 12); c.Write(p2p.Encode(magic, "headers", []byte{1, 2, 3})) },
		"headers with a gap": func(c net.Conn) {
			versions(c, 9, 12)
			c.Write(p2p.Encode(magic, "headers", p2p.EncodeHeaders([]btc.Header{headersOf[0], headersOf[2]})))
		},
		"another block's body": func(c net.Conn) {
			versions(c, 9, 12)
			c.Write(p2p.Encode(magic, "headers", p2p.EncodeHeaders(headersOf)))
			items, err := p2p.ParseInventory(readUntil(c, "getdata"))
			if err != nil {
				return
			}
			raw, err := n.Block(items[0].Hash)
			if err != nil {
				return
			}
			raw[len(raw)-5] ^= 1 // in the coinbase
			c.Write(p2p.Encode(magic, "block", raw))
		},
		"never delivers": func(c net.Conn) {
			versions(c, 9, 12)
			c.Write(p2p.Encode(magic, "headers", p2p.EncodeHeaders(headersOf)))
		},
		"has nothing": func(c net.Conn) {
			versions(c, 9, 12)
			c.Write(p2p.Encode(magic, "headers", p2p.EncodeHeaders(headersOf)))
			c.Write(p2p.Encode(magic, "notfound", readUntil(c, "getdata")))
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			ended := make(chan struct{}, 16)
			l := newLiar(t, func(c net.Conn) {
				c.SetDeadline(time.Now().Add(patience))
				greet(c)
				if name != "has nothing" { // that is no fault
					io.Copy(io.Discard, c)
					select {
					case ended <- struct{}{}:
					default:
					}
					c.Close()
				} else {
					t.Cleanup(func() { c.Close() })
				}
			})
			cfg := Config{Peers: []string{l.lis.Addr().String(), n.Addr()}, BlockTimeout: 300 * time.Millisecond}
			alone := name == "another block's body" // else the honest node may have delivered everything before the liar is asked
			if alone {
				cfg.Peers = cfg.Peers[:1]
			}
			a := startAdapter(t, cfg)
			r := newReplica(t, a)
			if alone {
				for len(ended) == 0 {
					changed := a.Changed()
					r.round()
					select {
					case <-changed:
					case <-ended:
						ended <- struct{}{}
					case <-time.After(patience):
						t.Fatal("the peer was not disconnected")
					}
				}
				if r.state.Tip().Height != 0 {
					t.Error("a wrong body was taken")
				}
			} else {
				r.sync(n)
			}
			if name != "has nothing" && name != "never delivers" {
				select {
				case <-ended:
				case <-time.After(patience):
					t.Error("the peer was not disconnected")
				}
			}
			a.Close()
		})
	}
}

func TestClassAndConfig(t *testing.T) {
	for _, network := range []btc.Network{btc.Mainnet, btc.Testnet4, btc.Signet} {
		if _, err := New(Config{Network: network, Local: true}); !errors.Is(err, ErrNetworkClass) {
			t.Errorf("%v on a local subnet: %v", network, err)
		}
	}
	if _, err := New(Config{Network: btc.Regtest, Peers: []string{":x"}}); err == nil {
		t.Error("a malformed peer was accepted")
	}
	if a, err := peerAddress("localhost", btc.Regtest); err != nil || a != "localhost:18444" {
		t.Errorf("%s %v", a, err)
	}
}

// Strangers share the connections by groups; configured peers are always tried.
func TestBookSpreadsConnections(t *testing.T) {
	b, err := openBook("", []string{"10.0.0.1:1", "10.0.0.2:1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"1.2.3.4:1", "1.2.9.9:1", "5.6.7.8:1", "[2001:db8::1]:1", "[2001:db8:ffff::1]:1"} {
		b.add(a)
	}
	now := time.Now()
	groups := map[string]int{}
	fixed := 0
	for _, e := range b.pick(now, 10) {
		if e.fixed {
			fixed++
			continue
		}
		groups[group(e.Addr)]++
	}
	if fixed != 2 || len(groups) != 3 {
		t.Errorf("%d fixed, groups %v", fixed, groups)
	}
	for g, n := range groups {
		if n != 1 {
			t.Errorf("%d connections into %s", n, g)
		}
	}
	e := b.addrs["1.2.3.4:1"]
	for range 40 {
		b.failed(e, now)
	}
	if e.wait != maxStrange || len(b.pick(e.next.Add(-time.Second), 10)) != 5 {
		t.Errorf("wait %v, %d picked", e.wait, len(b.pick(e.next.Add(-time.Second), 10)))
	}
	for i := range 3 * maxAddresses {
		b.add(net.JoinHostPort(net.IPv4(byte(9+i>>12), byte(i>>4), 0, byte(i&15+1)).String(), "1"))
	}
	if len(b.addrs) != maxAddresses {
		t.Errorf("%d addresses", len(b.addrs))
	}
}

// A node that reorganises deeper than final blocks: the branch's headers reach the state, which halts; after the reset it follows the branch.
// An adapter that knows nothing but the new branch, and one that starts with it, do the same.
func TestDeepReorg(t *testing.T) {
	n := startNode(t, t.TempDir(), "")
	mine(t, n, 130)
	r := newReplica(t, startAdapter(t, Config{Peers: []string{n.Addr()}}))
	r.sync(n)
	if r.state.Anchor().Height != 125 {
		t.Fatalf("anchor %d", r.state.Anchor().Height)
	}
	if _, err := n.Reorg(100, 101, n.FaucetAddress()); err != nil {
		t.Fatal(err)
	}
	halted := func() bool { h := r.state.Halted(); return h != nil && h.Tip == n.Tip() && h.Fork == 30 }
	r.until("the halt", halted)
	if _, err := r.state.Live().Balance(testAddress(t, 1), 0); !errors.Is(err, utxo.ErrHalted) {
		t.Errorf("a balance: %v", err)
	}
	mine(t, n, 3)
	r.until("the branch's new headers", halted)
	if got := r.a.Info(); len(got.Peers) != 1 || got.InFlight != 0 {
		t.Errorf("bodies of the branch are asked for: %+v", got)
	}
	// The operator's way out.
	if err := r.state.Reset(); err != nil {
		t.Fatal(err)
	}
	r.sync(n)
	if r.state.Halted() != nil || r.state.Tip().Height != 134 {
		t.Errorf("%+v", r.state.Info())
	}
	// Again, and this time the adapter is new, too.
	if _, err := n.Reorg(40, 41, n.FaucetAddress()); err != nil {
		t.Fatal(err)
	}
	r.a = startAdapter(t, Config{Peers: []string{n.Addr()}})
	r.until("the halt with a fresh adapter", func() bool { h := r.state.Halted(); return h != nil && h.Tip == n.Tip() && h.Fork == 94 })
}
