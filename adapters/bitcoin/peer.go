package bitcoin

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/btcsuite/btcd/wire"

	"fusion/adapters/bitcoin/p2p"
	"fusion/btc"
	"fusion/btc/chain"
)

// peer is a connection after the handshake. The fields below the gap are guarded by the adapter's lock.
type peer struct {
	a     *Adapter
	conn  net.Conn
	entry *entry
	agent string
	lists bool // answers mempool messages (BIP35)
	out   chan []byte
	done  chan struct{} // closed when the connection has ended

	best    uint32 // the greatest height that the peer has shown or claimed
	heard   time.Time
	pinged  time.Time
	lacks   map[btc.Hash]bool // blocks that it answered with notfound
	strikes int
	banned  bool
	stalled bool // asked for a block, it did not deliver in time
	orphans int  // headers messages in a row that did not connect
	limit   rateLimit
	asked   int // transactions that it was asked for
}

// rateLimit is a bucket for messages that cost us more than the peer.
type rateLimit struct {
	tokens float64
	last   time.Time
}

func (r *rateLimit) allow(now time.Time, perSecond, burst float64) bool {
	r.tokens = min(burst, r.tokens+now.Sub(r.last).Seconds()*perSecond)
	r.last = now
	if r.tokens < 1 {
		return false
	}
	r.tokens--
	return true
}

var (
	errServices   = errors.New("peer does not serve blocks with witnesses")
	errOldVersion = errors.New("peer speaks a protocol that is too old")
	errMisbehaved = errors.New("peer misbehaved")
	errNoVersion  = errors.New("peer did not begin with its version")
)

const (
	sendQueue   = 1024
	writeLimit  = 30 * time.Second
	maxLacks    = 1000
	banAt       = 100 // strikes
	maxOrphans  = 10
	userAgent   = "/fusion:1.0/"
	maxUserText = 80
)

// handshake exchanges versions on a fresh connection.
func (a *Adapter) handshake(conn net.Conn, e *entry) (*peer, error) {
	stop := make(chan struct{})
	defer close(stop)
	a.wg.Add(1)
	go func() { // a closing adapter does not wait for a silent peer
		defer a.wg.Done()
		select {
		case <-a.ctx.Done():
			conn.SetDeadline(time.Unix(1, 0))
		case <-stop:
		}
	}()
	now := time.Now()
	if err := conn.SetDeadline(now.Add(handshakeLimit)); err != nil {
		return nil, err
	}
	var nonce [8]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return nil, err
	}
	a.mu.Lock()
	height := a.tree.Best().Height
	a.mu.Unlock()
	payload, err := p2p.Version(userAgent, binary.LittleEndian.Uint64(nonce[:]), height, 0)
	if err != nil {
		return nil, err
	}
	magic := a.cfg.Network.Magic()
	if _, err := conn.Write(p2p.Encode(magic, wire.CmdVersion, payload)); err != nil {
		return nil, err
	}
	p := &peer{a: a, conn: conn, entry: e, out: make(chan []byte, sendQueue), done: make(chan struct{}), heard: now, pinged: now, lacks: map[btc.Hash]bool{}}
	for got := false; ; {
		command, payload, err := p2p.Read(conn, magic)
		if err != nil {
			return nil, err
		}
		switch {
		case command == wire.CmdVersion && !got:
			theirs, err := p2p.DecodeWire(&wire.MsgVersion{}, payload)
			if err != nil {
				return nil, err
			}
			if theirs.ProtocolVersion < p2p.MinVersion {
				return nil, fmt.Errorf("%w: %d", errOldVersion, theirs.ProtocolVersion)
			}
			if need := wire.SFNodeNetwork | wire.SFNodeWitness; theirs.Services&need != need {
				return nil, fmt.Errorf("%w: services %v", errServices, theirs.Services)
			}
			got = true
			p.best = uint32(max(theirs.LastBlock, 0))
			p.agent = printable(theirs.UserAgent)
			p.lists = theirs.Services&wire.SFNodeBloom != 0
			if _, err := conn.Write(p2p.Encode(magic, wire.CmdVerAck, nil)); err != nil {
				return nil, err
			}
		case !got:
			return nil, fmt.Errorf("%w but %q", errNoVersion, command)
		case command == wire.CmdVerAck:
			return p, conn.SetDeadline(time.Time{})
		}
	}
}

// printable keeps a stranger's text out of the log's control sequences.
func printable(s string) string {
	b := []byte(s[:min(len(s), maxUserText)])
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = '?'
		}
	}
	return string(b)
}

// welcome opens the conversation. The lock is held.
func (a *Adapter) welcome(p *peer) {
	p.send(wire.CmdSendHeaders, nil)
	p.send(wire.CmdGetHeaders, p2p.EncodeGetHeaders(a.locator()))
	if !a.cfg.Network.Development() {
		p.send(wire.CmdGetAddr, nil)
	}
	if p.lists && a.relaying(time.Now()) {
		p.send(wire.CmdMemPool, nil)
	}
	var txs []p2p.Inventory
	for id, o := range a.out {
		if o.block == nil {
			o.told[p] = true
			txs = append(txs, p2p.Inventory{Kind: p2p.Tx, Hash: id})
		}
	}
	if len(txs) > 0 {
		p.send(wire.CmdInv, p2p.EncodeInventory(txs))
	}
}

// send queues a message; a peer that does not read is disconnected.
func (p *peer) send(command string, payload []byte) {
	select {
	case p.out <- p2p.Encode(p.a.cfg.Network.Magic(), command, payload):
	default:
		p.conn.Close()
	}
}

func (p *peer) write() {
	defer p.a.wg.Done()
	for {
		select {
		case <-p.done:
			return
		case b := <-p.out:
			if p.conn.SetWriteDeadline(time.Now().Add(writeLimit)) != nil {
				return
			}
			if _, err := p.conn.Write(b); err != nil {
				p.conn.Close()
				return
			}
		}
	}
}

// read handles messages until the connection ends.
func (p *peer) read() error {
	for {
		command, payload, err := p2p.Read(p.conn, p.a.cfg.Network.Magic())
		if err == nil {
			err = p.handle(command, payload)
		}
		if err != nil {
			if errors.Is(err, p2p.ErrMagic) || errors.Is(err, p2p.ErrChecksum) || errors.Is(err, p2p.ErrTooLong) || errors.Is(err, p2p.ErrMalformed) || errors.Is(err, errMisbehaved) {
				p.a.mu.Lock()
				p.banned = true
				p.a.mu.Unlock()
			}
			return err
		}
	}
}

// strike counts a fault that may be an accident; the lock is held.
func (p *peer) strike(points int, format string, args ...any) error {
	p.strikes += points
	if p.strikes < banAt {
		return nil
	}
	return fmt.Errorf("%w: "+format, append([]any{errMisbehaved}, args...)...)
}

// ban is for faults that no honest node commits.
func ban(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errMisbehaved}, args...)...)
}

func (p *peer) handle(command string, payload []byte) error {
	a := p.a
	if command == wire.CmdBlock {
		return p.onBlock(payload) // checks outside the lock
	}
	if command == wire.CmdTx {
		return p.onTx(payload)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	p.heard = now
	switch command {
	case wire.CmdPing:
		if len(payload) == 8 {
			p.send(wire.CmdPong, payload)
		}
	case wire.CmdHeaders:
		headers, err := p2p.ParseHeaders(payload)
		if err != nil {
			return err
		}
		return p.onHeaders(headers, now)
	case wire.CmdInv:
		items, err := p2p.ParseInventory(payload)
		if err != nil {
			return err
		}
		p.onInv(items, now)
	case wire.CmdGetData:
		items, err := p2p.ParseInventory(payload)
		if err != nil {
			return err
		}
		p.onGetData(items)
	case wire.CmdNotFound:
		items, err := p2p.ParseInventory(payload)
		if err != nil {
			return err
		}
		for _, it := range items {
			if f := a.flights[it.Hash]; f != nil && f.p == p {
				delete(a.flights, it.Hash)
				if len(p.lacks) >= maxLacks {
					clear(p.lacks)
				}
				p.lacks[it.Hash] = true
			}
			if q := a.pool.asks[it.Hash]; q != nil && q.from == p {
				if next := a.pool.giveUp(it.Hash, now); next != nil {
					a.askTxs(map[*peer][]p2p.Inventory{next: {{Kind: p2p.WitnessTx, Hash: it.Hash}}})
				}
			}
		}
		a.kick()
	case wire.CmdGetHeaders:
		if !p.limit.allow(now, 1, 20) {
			return p.strike(5, "too many getheaders")
		}
		locator, err := p2p.ParseGetHeaders(payload)
		if err != nil {
			return err
		}
		p.send(wire.CmdHeaders, p2p.EncodeHeaders(a.headersAfter(locator)))
	case wire.CmdReject:
		p.onReject(payload)
	case wire.CmdAddr:
		if a.cfg.Network.Development() {
			return nil
		}
		m, err := p2p.DecodeWire(&wire.MsgAddr{}, payload)
		if err != nil {
			return err
		}
		for _, na := range m.AddrList {
			if public(na.IP) && na.Port != 0 && na.HasService(wire.SFNodeNetwork) {
				a.book.add(net.JoinHostPort(na.IP.String(), fmt.Sprint(na.Port)))
			}
		}
	case wire.CmdVersion:
		return p.strike(banAt, "second version")
	}
	return nil
}

func (p *peer) onHeaders(headers []btc.Header, now time.Time) error {
	a := p.a
	if len(headers) == 0 {
		return nil
	}
	if len(headers) > 0 && a.tree.Get(headers[0].Prev) == nil && a.tree.Get(headers[0].Hash()) == nil {
		// An announcement whose parents we have not seen, or a branch from below our anchor.
		if p.orphans++; p.orphans > maxOrphans {
			return p.strike(20, "headers that do not connect")
		}
		p.send(wire.CmdGetHeaders, p2p.EncodeGetHeaders(a.locator()))
		return nil
	}
	p.orphans = 0
	before := a.tree.Best()
	fresh := false
	var last *chain.Node
	for i, h := range headers {
		if i > 0 && h.Prev != headers[i-1].Hash() {
			return ban("headers that are no chain")
		}
		known := a.tree.Get(h.Hash()) != nil
		n, _, err := a.tree.Accept(h, now.Unix())
		if errors.Is(err, chain.ErrFuture) || errors.Is(err, chain.ErrFull) {
			break // not the peer's fault
		}
		if err != nil {
			return ban("%v", err)
		}
		fresh = fresh || !known
		last = n
	}
	if last != nil {
		p.best = max(p.best, last.Height)
		clear(p.lacks)
		if len(headers) == wire.MaxBlockHeadersPerMsg {
			p.send(wire.CmdGetHeaders, p2p.EncodeGetHeaders(append([]btc.Hash{last.Hash}, a.locator()...)))
		}
	}
	for a.tree.Best().Height > a.tree.Anchor().Height+keepHeaders {
		a.tree.Advance(a.tree.Best().Ancestor(a.tree.Anchor().Height + 1))
	}
	if best := a.tree.Best(); best != before {
		a.log.Debug("bitcoin headers", "tip", best.Hash, "height", best.Height)
	}
	if fresh {
		a.touch()
	}
	return nil
}

func (p *peer) onInv(items []p2p.Inventory, now time.Time) {
	a := p.a
	ask, news := false, false
	relaying := a.relaying(now)
	var txs []p2p.Inventory
	for _, it := range items {
		switch it.Kind &^ p2p.Witness {
		case p2p.Block:
			ask = ask || a.tree.Get(it.Hash) == nil
		case p2p.Tx:
			if o := a.out[it.Hash]; o != nil && !o.echoed[p] {
				o.echoed[p] = true
				news = true
			}
			if relaying && a.pool.announced(it.Hash, p, now) {
				txs = append(txs, p2p.Inventory{Kind: p2p.WitnessTx, Hash: it.Hash})
			}
		}
	}
	if ask {
		p.send(wire.CmdGetHeaders, p2p.EncodeGetHeaders(a.locator()))
	}
	a.askTxs(map[*peer][]p2p.Inventory{p: txs})
	if news {
		a.touch()
	}
}

// onTx takes a transaction that was asked for into the view of the memory pool.
func (p *peer) onTx(payload []byte) error {
	tx, err := btc.ParseTx(payload)
	if err == nil {
		err = tx.Check()
	}
	if err != nil {
		return ban("transaction: %v", err)
	}
	a := p.a
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	p.heard = now
	if a.pool.deliver(tx, p, min(len(a.peers), 2), now) {
		a.touch()
	}
	return nil
}

func (p *peer) onGetData(items []p2p.Inventory) {
	a := p.a
	var missing []p2p.Inventory
	sent := false
	for _, it := range items {
		o := a.out[it.Hash]
		if it.Kind&^p2p.Witness != p2p.Tx || o == nil {
			missing = append(missing, it)
			continue
		}
		raw := o.raw
		if it.Kind&p2p.Witness == 0 {
			if tx, err := btc.ParseTx(raw); err == nil {
				raw = tx.StrippedBytes()
			}
		}
		p.send(wire.CmdTx, raw)
		o.fetched[p] = true
		sent = true
	}
	for len(missing) > 0 {
		n := min(len(missing), 1000)
		p.send(wire.CmdNotFound, p2p.EncodeInventory(missing[:n]))
		missing = missing[n:]
	}
	if sent {
		a.touch()
	}
}

func (p *peer) onReject(payload []byte) {
	m, err := p2p.DecodeWire(&wire.MsgReject{}, payload)
	if err != nil || m.Cmd != wire.CmdTx {
		return
	}
	if o := p.a.out[btc.Hash(m.Hash)]; o != nil {
		o.reject = printable(fmt.Sprintf("%v: %s", m.Code, m.Reason))
		p.a.log.Info("bitcoin peer refuses a transaction", "addr", p.entry.Addr, "txid", btc.Hash(m.Hash), "reason", o.reject)
		p.a.touch()
	}
}

// onBlock takes a body that was asked for, after checking that it is the header's own.
func (p *peer) onBlock(raw []byte) error {
	a := p.a
	if len(raw) < btc.HeaderSize {
		return p2p.ErrMalformed
	}
	h, err := btc.ParseHeader(raw[:btc.HeaderSize])
	if err != nil {
		return err
	}
	hash := h.Hash()
	a.mu.Lock()
	p.heard = time.Now()
	f := a.flights[hash]
	if f == nil || f.p != p {
		defer a.mu.Unlock()
		return p.strike(10, "block that nobody asked for") // or one that came too late
	}
	delete(a.flights, hash)
	height, ok := a.req.Known[hash]
	if n := a.tree.Get(hash); n != nil {
		height, ok = n.Height, true
	}
	a.mu.Unlock()
	if !ok {
		return nil // forgotten in the meantime
	}
	blk, err := btc.ParseBlock(raw)
	if err == nil {
		err = blk.Check(a.params.Segwit(height))
	}
	if err != nil && !errors.Is(err, btc.ErrBlockInvalid) {
		return ban("block %v: %v", hash, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	p.entry.stalls = 0
	if a.bodies[hash] == nil {
		a.bodies[hash] = raw
		a.cached += len(raw)
	}
	for i := range blk.Txs {
		if o := a.out[blk.Txid(i)]; o != nil {
			o.block, o.height = &hash, height
		}
	}
	a.pool.mined(blk, hash, height)
	a.touch()
	return nil
}

// headersAfter answers a getheaders message from our best branch. The lock is held.
func (a *Adapter) headersAfter(locator []btc.Hash) []btc.Header {
	best := a.tree.Best()
	var from *chain.Node
	for _, h := range locator {
		if n := a.tree.Get(h); n != nil && best.Ancestor(n.Height) == n {
			from = n
			break
		}
	}
	if from == nil {
		return nil
	}
	var out []btc.Header
	var path []*chain.Node
	for n := best; n != from; n = n.Parent {
		path = append(path, n)
	}
	for i := len(path) - 1; i >= 0 && len(out) < wire.MaxBlockHeadersPerMsg; i-- {
		out = append(out, path[i].Header)
	}
	return out
}

func (p *peer) nonce() []byte {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return make([]byte, 8)
	}
	return b[:]
}
