package utxo

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"math/big"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"fusion/btc"
	"fusion/btc/chain"
	"fusion/internal/codec"
	"fusion/internal/kv"
)

// Options configure a State. They are part of what all replicas must agree on.
type Options struct {
	Params chain.Params
	// Stability is δ: how many times the anchor's work must lie on top of a block to make it final. The default is 144, a day of
	// blocks.
	Stability uint32
	// MaxUnstableBytes bounds the bodies above the anchor. The default is 1 GiB.
	MaxUnstableBytes uint64
	// Snapshot is what the state begins with instead of the genesis block; Import must have put it into the store.
	Snapshot *Base
}

// Limits of a payload.
const (
	MaxHeadersPerPayload = 2000 // what one P2P headers message holds
	MaxBlocksPerPayload  = 100
	// MaxBytesPerPayload bounds the bodies of a payload together, and so each: a block of four million bytes fits alone.
	MaxBytesPerPayload = btc.MaxBlockWeight
	// maxMissing is how many bodies Request asks for.
	maxMissing = 32
)

// Items are what a block of the subnet carries for Bitcoin.
type Items struct {
	Headers []byte   `cbor:"1,keyasint,omitempty"` // 80 bytes each, parents first
	Blocks  [][]byte `cbor:"2,keyasint,omitempty"` // whole blocks with witnesses, parents first; their headers need not be in Headers; not to be changed any more
}

// Empty tells whether there is nothing to apply.
func (it Items) Empty() bool { return len(it.Headers) == 0 && len(it.Blocks) == 0 }

// Errors of CheckPayload and of outcomes, besides those of packages btc and chain.
var (
	ErrPayloadSize   = errors.New("bitcoin payload exceeds its bounds")
	ErrKnown         = errors.New("bitcoin block is known")
	ErrParentBody    = errors.New("bitcoin block's parent has no body yet")
	ErrInvalidBlock  = errors.New("bitcoin block is invalid")
	ErrUnstableFull  = errors.New("no room for another unstable bitcoin block")
	ErrOutgoingFull  = errors.New("too many bitcoin transactions wait to be announced")
	ErrTxMalformed   = errors.New("bitcoin transaction is malformed")
	ErrStale         = errors.New("snapshot and memory are of different blocks")
	errMissingInput  = errors.New("input does not exist or is spent")
	errImmature      = errors.New("input spends an immature coinbase")
	errMoneyCreated  = errors.New("outputs exceed inputs")
	errCoinbaseMoney = errors.New("coinbase exceeds subsidy and fees")
	errHeight        = errors.New("coinbase does not start with the height")
	errOverwrite     = errors.New("transaction overwrites an unspent one")
)

// Outcome tells what became of one item, in the order of the payload.
type Outcome struct {
	Hash   btc.Hash
	Height uint32
	Body   bool  // a block, not just a header
	Err    error // nil if accepted
}

// body is what memory holds of a block above the anchor.
type body struct {
	node    *chain.Node
	coins   []Coin     // created
	spent   []*Coin    // from earlier blocks or this one
	made    []maker    // of the spent coins, until the body is linked
	uses    []spentRef // likewise, from then on
	created []createdRef
	txs     []madeTx
	fees    []btc.MillisatPerVByte
	mark    uint64 // see State.marked

	touching sync.Once
	touched  []touch // see touches
}

// touch says that a block creates or spends a coin of the address with the tag.
type touch struct {
	tag   uint64
	coin  *Coin
	spend bool
}

// touches lists the addresses of a linked body, sorted by tag. They are gathered when somebody asks: blocks that are being caught up with mostly settle
// before anybody does.
func (b *body) touches() []touch {
	b.touching.Do(func() {
		b.touched = make([]touch, 0, len(b.coins)+len(b.spent))
		for i := range b.coins {
			if tag, ok := tagOf(b.coins[i].Script); ok {
				b.touched = append(b.touched, touch{tag, &b.coins[i], false})
			}
		}
		for _, c := range b.spent {
			if tag, ok := tagOf(c.Script); ok {
				b.touched = append(b.touched, touch{tag, c, true})
			}
		}
		slices.SortFunc(b.touched, func(x, y touch) int { return cmp.Compare(x.tag, y.tag) })
	})
	return b.touched
}

// tagOf is 64 bits of FNV-1a. Addresses that share a tag are told apart by their scripts; that somebody can make some that do costs a
// reader no more than the coins of that block.
func tagOf(script []byte) (uint64, bool) {
	kind, payload := btc.ScriptAddress(script)
	if kind == 0 {
		return 0, false
	}
	h := (uint64(14695981039346656037) ^ uint64(kind)) * 1099511628211
	for _, b := range payload {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h, true
}

// madeTx is a transaction above the anchor that makes coins.
type madeTx struct {
	by    *body
	coins []createdRef // of by, those of the transaction
	next  *madeTx      // the same transaction in another branch, or one with the same tag
}

// txTag is what the tables of young coins know a transaction by: they are used at random places all the time, and the smaller they are the more of them
// the processor holds. Whoever makes transactions that share a tag, at 2³² hashes for two, makes a list of them longer.
func txTag(id *btc.Hash) uint64 { return binary.LittleEndian.Uint64(id[:]) }

// coinTag is the same for an output.
func coinTag(o *btc.Outpoint) uint64 { return txTag(&o.Txid) + uint64(o.Vout)*0x9e3779b97f4a7c15 } // 2⁶⁴ by the golden ratio

// named is the first of the list that is the transaction, or nil.
func (t *madeTx) named(id *btc.Hash) *madeTx {
	for t != nil && t.coins[0].coin.Outpoint.Txid != *id {
		t = t.next
	}
	return t
}

// made finds a transaction above the anchor. Those of other branches are next.named of it.
func (s *State) made(id *btc.Hash) *madeTx { return s.created.get(txTag(id)).named(id) }

// coin is one of the transaction's, or nil.
func (t *madeTx) coin(vout uint32) *createdRef {
	n := min(uint64(len(t.coins)), uint64(vout)+1) // outputs that cannot be spent leave gaps
	if c := &t.coins[n-1]; c.coin.Outpoint.Vout == vout {
		return c
	}
	i, ok := slices.BinarySearchFunc(t.coins[:n], vout, func(c createdRef, vout uint32) int { return cmp.Compare(c.coin.Outpoint.Vout, vout) })
	if !ok {
		return nil
	}
	return &t.coins[i]
}

type createdRef struct {
	coin   *Coin
	spent  *spentRef // by blocks above the anchor
	passed bool      // the blocks of one write both make and spend it
}

type spentRef struct {
	by   *body
	of   *createdRef // nil for a coin of the stable set, and once the block that made it is forgotten: then it stands in State.spends
	next *spentRef   // in another branch, or of a coin with the same tag
	at   int32       // among by.spent
}

func (r *spentRef) outpoint() *btc.Outpoint { return &r.by.spent[r.at].Outpoint }

// maker says where a spent coin comes from: this block, if own is not negative, another one above the anchor, or else the stable set.
type maker struct {
	ref *createdRef
	own int32 // place among the block's coins
}

// State is the machine. See the package comment.
type State struct {
	opt   Options
	root  kv.Store
	epoch epochRecord
	store kv.Store // of the epoch, within root
	tree  *chain.Tree
	halt  *Halt
	// suspicion is why coins are not to be counted although the state sees nothing wrong.
	suspicion string

	mu      sync.RWMutex // guards what views read below against Apply
	tip     *chain.Node
	bodies  map[btc.Hash]*body
	created table[madeTx]   // by txTag
	spends  table[spentRef] // by coinTag: of the stable set's coins; others are noted where they were created
	gen     uint64          // counts the applied blocks that changed something

	outgoing []Outgoing // by id
	bytes    uint64     // of the bodies
	muhash   *MuHash
	setSum   *[32]byte       // muhash's digest, nil after a change
	coins    uint64          // in the stable set
	meta     []byte          // what the store holds under "m": sets with the same are the same
	many     map[string]bool // addresses with a stored balance
	marks    uint64
	digest   *[32]byte // nil after a change
	known    map[btc.Hash]uint32
	below    map[btc.Hash]uint32

	foresight    foresight
	checkedMu    sync.Mutex
	checkedSeed  maphash.Seed
	checked      map[uint64]*checkedBlock // by a hash of the block's bytes
	checkedBytes int
}

// checkedBlock is a parsed block. A proposal is checked, checked again where it is executed, and applied: what was looked at once is neither parsed
// nor hashed again.
type checkedBlock struct {
	key    uint64
	raw    []byte
	looked sync.Once
	*btc.Block
	malformed error
	segwit    bool  // with witnesses
	bad       error // by Check
	draft     *draft
	foreseen  atomic.Pointer[foreseen]
}

// maxCheckedBytes bounds the blocks that are remembered: those of two payloads.
const maxCheckedBytes = 2 * MaxBytesPerPayload

type setMeta struct {
	MuHash    []byte `cbor:"1,keyasint"`
	Coins     uint64 `cbor:"2,keyasint"`
	Stability uint32 `cbor:"3,keyasint"`
}

// Open reads the state back from the store, or starts it at the base of the parameters in an empty one.
func Open(opt Options, root kv.Store) (*State, error) {
	epoch, err := readEpoch(root)
	if err != nil {
		return nil, err
	}
	store := epochStore(root, epoch.Epoch)
	if opt.Stability == 0 {
		opt.Stability = 144
	}
	if opt.MaxUnstableBytes == 0 {
		opt.MaxUnstableBytes = 1 << 30
	}
	if epoch.Epoch == 0 { // after a reset the state begins at genesis
		if err := opt.imported(store); err != nil {
			return nil, err
		}
	}
	tree, err := chain.Open(opt.Params, kv.Prefix(store, "H"))
	if err != nil {
		return nil, err
	}
	s := &State{foresight: foresight{epoch: epoch.Epoch}, opt: opt, root: root, epoch: epoch, store: store, tree: tree, tip: tree.Anchor(), bodies: map[btc.Hash]*body{},
		muhash: NewMuHash(), checkedSeed: maphash.MakeSeed(), checked: map[uint64]*checkedBlock{}, many: map[string]bool{}}
	if raw, ok := store.Get([]byte("m")); ok {
		var m setMeta
		if err := codec.Unmarshal(raw, &m); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		if m.Stability != opt.Stability {
			return nil, fmt.Errorf("stored coin set has a stability threshold of %d, not %d", m.Stability, opt.Stability)
		}
		if s.muhash, err = ParseMuHash(m.MuHash); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		s.coins, s.meta = m.Coins, bytes.Clone(raw)
	} else {
		s.putMeta()
		s.putGen()
	}
	if s.gen, err = genIn(store); err != nil {
		return nil, err
	}
	kv.ScanPrefix(store, []byte("b"), func(k, _ []byte) bool {
		s.many[string(k[1:])] = true
		return true
	})
	s.loadOutgoing()
	if err := s.loadHalt(); err != nil {
		return nil, err
	}
	s.loadSuspicion()
	for _, n := range tree.Sorted() {
		if n.Body != chain.HasBody || n == tree.Anchor() {
			continue
		}
		raw, ok := store.Get(bodyKey(n.Hash))
		if !ok {
			return nil, fmt.Errorf("%w: no body of %v", ErrCorrupt, n.Hash)
		}
		blk, err := btc.ParseCompact(bytes.Clone(raw))
		if err != nil {
			return nil, fmt.Errorf("%w: body of %v: %w", ErrCorrupt, n.Hash, err)
		}
		b, err := s.validate(blk, draftOf(blk, n.Height), n, nil)
		if err != nil {
			return nil, fmt.Errorf("%w: body of %v: %w", ErrCorrupt, n.Hash, err)
		}
		s.link(b, int(n.Size))
	}
	return s, nil
}

// Use continues in another store with the same content: the next block's batch.
func (s *State) Use(store kv.Store) {
	s.root, s.store = store, epochStore(store, s.epoch.Epoch)
	s.tree.Use(kv.Prefix(s.store, "H"))
}

func bodyKey(h btc.Hash) []byte { return append([]byte("B"), h[:]...) }

func (s *State) putMeta() {
	s.meta = codec.Marshal(setMeta{s.muhash.Bytes(), s.coins, s.opt.Stability})
	s.store.Set([]byte("m"), s.meta)
}

func (s *State) putGen() { s.store.Set([]byte("g"), binary.BigEndian.AppendUint64(nil, s.gen)) }

func genIn(r kv.Reader) (uint64, error) {
	raw, ok := r.Get([]byte("g"))
	if !ok || len(raw) != 8 {
		return 0, fmt.Errorf("%w: no generation", ErrCorrupt)
	}
	return binary.BigEndian.Uint64(raw), nil
}

// Params are the network's constants.
func (s *State) Params() *chain.Params { return s.tree.Params() }

// Network is the network that the state follows.
func (s *State) Network() btc.Network { return s.tree.Params().Network }

// Stability is δ.
func (s *State) Stability() uint32 { return s.opt.Stability }

// Tip is the end of the best branch whose bodies are there.
func (s *State) Tip() *chain.Node { return s.tip }

// Anchor is the highest final block.
func (s *State) Anchor() *chain.Node { return s.tree.Anchor() }

// BestHeader is the end of the heaviest branch of headers.
func (s *State) BestHeader() *chain.Node { return s.tree.Best() }

// Synced tells whether bodies have caught up with the headers to within two blocks, and the headers carry the least work that the
// release demands.
func (s *State) Synced() bool {
	return uint64(s.tip.Height)+2 >= uint64(s.tree.Best().Height) && s.tree.EnoughWork()
}

// Apply takes a block's payload into the state at its block time. It never fails as a whole; each item has its outcome.
func (s *State) Apply(items Items, blockTimeNs uint64) []Outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.expire(blockTimeNs)
	now := int64(blockTimeNs / 1e9)
	var out []Outcome
	for raw := range slices.Chunk(items.Headers, btc.HeaderSize) {
		h, err := btc.ParseHeader(raw)
		if err != nil {
			out = append(out, Outcome{Err: err})
			continue
		}
		n, fresh, err := s.acceptHeader(h, now)
		o := Outcome{Hash: h.Hash(), Err: err}
		if n != nil {
			o.Height = n.Height
		}
		if err == nil && !fresh {
			o.Err = fmt.Errorf("%w: %v", ErrKnown, n.Hash)
		}
		changed = changed || fresh
		out = append(out, o)
	}
	for _, raw := range items.Blocks {
		o, did := s.applyBlock(raw, now)
		changed = changed || did
		out = append(out, o)
	}
	changed = s.watch(blockTimeNs) || changed
	if s.halt == nil { // what is final by now is in doubt already
		changed = s.settle() || changed
	}
	s.collect()
	if changed {
		s.touchGen()
		s.prepare()
	}
	return out
}

// prepare gathers what queries ask blocks for, unless bodies are being caught up with: nobody is to wait for it then.
func (s *State) prepare() {
	if s.behind() {
		return
	}
	list := slices.Collect(maps.Values(s.bodies))
	share(len(list), 1, func(from, to int) {
		for _, b := range list[from:to] {
			b.touches()
		}
	})
}

// touchGen notes that the state changed.
func (s *State) touchGen() {
	s.gen++
	s.putGen()
	s.digest, s.known, s.below = nil, nil, nil
}

func (s *State) acceptHeader(h btc.Header, now int64) (n *chain.Node, fresh bool, err error) {
	before := s.tree.Get(h.Hash())
	if before == nil && s.tree.Get(h.Prev) == nil {
		before = s.tree.Lookup(h.Hash())
	}
	n, evicted, err := s.tree.Accept(h, now)
	for _, e := range evicted {
		s.unlink(e)
	}
	if len(evicted) > 0 {
		s.findTip()
	}
	return n, err == nil && before == nil || len(evicted) > 0, err
}

func (s *State) applyBlock(raw []byte, now int64) (o Outcome, changed bool) {
	o.Body = true
	blk, err := s.parse(raw)
	if err != nil {
		o.Err = err
		return o, false
	}
	defer s.uncheck(blk)
	o.Hash = blk.Header.Hash()
	n, changed, err := s.acceptHeader(blk.Header, now)
	if err != nil {
		o.Err = err
		return o, changed
	}
	o.Height = n.Height
	if o.Err = s.takeable(n); o.Err != nil {
		return o, changed
	}
	if err := s.check(blk, n.Height); err != nil {
		if errors.Is(err, btc.ErrBlockInvalid) {
			s.invalidate(n)
			changed = true
		}
		o.Err = err
		return o, changed
	}
	d := blk.draft
	if d == nil { // it looked bad by the height that it claims
		d = draftOf(blk.Block, n.Height)
		d.compact = blk.Compact()
	}
	b, err := s.validate(blk.Block, d, n, blk.foreseen.Load())
	if err != nil {
		s.invalidate(n)
		o.Err = err
		return o, true
	}
	if o.Err = s.makeRoom(n, uint64(len(raw))); o.Err != nil {
		return o, changed
	}
	s.store.Set(bodyKey(n.Hash), d.compact)
	s.tree.SetBody(n, len(raw))
	s.link(b, len(raw))
	return o, true
}

// takeable tells whether a body for n would be looked at.
func (s *State) takeable(n *chain.Node) error {
	switch {
	case n.Deep:
		return n.CheckBody()
	case n.Body == chain.HasBody:
		return fmt.Errorf("%w: %v", ErrKnown, n.Hash)
	case n.Body == chain.InvalidBody:
		return fmt.Errorf("%w: %v", ErrInvalidBlock, n.Hash)
	case n.Parent == nil || n.Parent.Body != chain.HasBody:
		return fmt.Errorf("%w: %v", ErrParentBody, n.Hash)
	}
	return nil
}

// parse is btc.ParseBlock, or what an earlier one gave of a block that was good.
func (s *State) parse(raw []byte) (*checkedBlock, error) {
	key := maphash.Bytes(s.checkedSeed, raw)
	s.checkedMu.Lock()
	c := s.checked[key]
	if c != nil && !bytes.Equal(c.raw, raw) {
		s.uncheckLocked(c)
		c = nil
	}
	if c == nil {
		if s.checkedBytes+len(raw) > maxCheckedBytes {
			clear(s.checked)
			s.checkedBytes = 0
		}
		c = &checkedBlock{key: key, raw: raw}
		s.checked[key] = c
		s.checkedBytes += len(raw)
	}
	s.checkedMu.Unlock()
	c.looked.Do(func() {
		if c.look(raw, &s.opt.Params); c.malformed != nil || c.bad != nil {
			s.uncheck(c)
		}
	})
	return c, c.malformed
}

// look does what a block asks for in whatever state it comes to. Its coinbase tells the height, or check will find that it lied.
func (c *checkedBlock) look(raw []byte, p *chain.Params) {
	if c.Block, c.malformed = btc.ParseBlock(raw); c.malformed != nil {
		return
	}
	var height uint32
	if len(c.Txs) > 0 && len(c.Txs[0].Inputs) > 0 {
		height, _ = c.CoinbaseHeight()
	}
	c.segwit = p.Segwit(height)
	if c.bad = c.checkAs(p, c.segwit); c.bad == nil {
		c.draft = draftOf(c.Block, height)
		c.draft.compact = c.Compact()
	}
}

func (c *checkedBlock) checkAs(p *chain.Params, segwit bool) error {
	if err := c.Check(segwit); err != nil || p.SignetChallenge == nil {
		return err
	}
	return c.CheckSignet(p.SignetChallenge)
}

// check is btc.Block.Check.
func (s *State) check(c *checkedBlock, height uint32) error {
	if segwit := s.Params().Segwit(height); segwit != c.segwit {
		return c.checkAs(s.Params(), segwit)
	}
	return c.bad
}

// uncheck forgets a block that is not needed again.
func (s *State) uncheck(c *checkedBlock) {
	s.checkedMu.Lock()
	defer s.checkedMu.Unlock()
	s.uncheckLocked(c)
}

func (s *State) uncheckLocked(c *checkedBlock) {
	if s.checked[c.key] == c {
		delete(s.checked, c.key)
		s.checkedBytes -= len(c.raw)
	}
}

func (s *State) invalidate(n *chain.Node) {
	for _, m := range s.tree.SetInvalid(n) {
		s.unlink(m)
	}
	s.findTip()
}

// link makes a validated body part of the memory.
func (s *State) link(b *body, size int) {
	s.foresight.young.Lock()
	defer s.foresight.young.Unlock()
	s.bodies[b.node.Hash] = b
	s.bytes += uint64(size)
	spent := make([]spentRef, len(b.spent)) // they live and die with the body
	b.uses = spent
	for i := range b.txs {
		t := &b.txs[i]
		tag := txTag(&t.coins[0].coin.Outpoint.Txid)
		t.by, t.next = b, s.created.get(tag)
		s.created.set(tag, t)
	}
	for i, m := range b.made {
		if m.own >= 0 {
			m.ref = &b.created[m.own]
		}
		if m.ref == nil {
			tag := coinTag(&b.spent[i].Outpoint)
			spent[i] = spentRef{b, nil, s.spends.get(tag), int32(i)}
			s.spends.set(tag, &spent[i])
			continue
		}
		spent[i] = spentRef{b, m.ref, m.ref.spent, int32(i)}
		m.ref.spent = &spent[i]
	}
	b.made = nil
	if s.better(b.node, s.tip) {
		s.tip = b.node
	}
}

// better orders tips: work, blocks, then the order in which the bodies came.
func (s *State) better(n, m *chain.Node) bool {
	if c := n.Work.Cmp(m.Work); c != 0 {
		return c > 0
	}
	if n.Height != m.Height {
		return n.Height > m.Height
	}
	return n.Order < m.Order
}

func (s *State) findTip() {
	s.tip = s.tree.Anchor()
	for _, b := range s.bodies {
		if s.better(b.node, s.tip) {
			s.tip = b.node
		}
	}
}

// forget removes a body from the memory.
func (s *State) forget(b *body) {
	s.drop(b)
	s.release(b)
}

// drop takes a body off the list, and its room.
func (s *State) drop(b *body) {
	delete(s.bodies, b.node.Hash)
	s.bytes -= uint64(b.node.Size)
}

// release ends what lookups find of a dropped body. Of several, those that spend come before those whose coins they spend: what is still
// spent by others moves, as the coin does.
func (s *State) release(b *body) {
	s.foresight.young.Lock()
	defer s.foresight.young.Unlock()
	for i := range b.uses {
		u := &b.uses[i]
		switch {
		case u.of == nil:
			s.spends.unchain(coinTag(u.outpoint()), u, func(r *spentRef) **spentRef { return &r.next })
		default:
			for at := &u.of.spent; *at != nil; at = &(*at).next {
				if *at == u {
					*at = u.next
					break
				}
			}
		}
	}
	for i := range b.txs {
		t := &b.txs[i]
		s.created.unchain(txTag(&t.coins[0].coin.Outpoint.Txid), t, func(t *madeTx) **madeTx { return &t.next })
		for k := range t.coins {
			own := &t.coins[k]
			for u := own.spent; u != nil; {
				next, tag := u.next, coinTag(&own.coin.Outpoint)
				u.of, u.next = nil, s.spends.get(tag)
				s.spends.set(tag, u)
				u = next
			}
			own.spent = nil // nothing leads from one forgotten block to another, else none would leave the memory
		}
	}
}

// unlink removes the body of a header that left the tree, if there is one.
func (s *State) unlink(n *chain.Node) {
	if b := s.bodies[n.Hash]; b != nil {
		s.forget(b)
		s.store.Delete(bodyKey(n.Hash))
	}
}

// makeRoom drops side branches, lightest first, until size more bytes fit. Only the tip's own branch may push others out.
func (s *State) makeRoom(n *chain.Node, size uint64) error {
	for s.bytes+size > s.opt.MaxUnstableBytes {
		if n.Work.Cmp(s.tip.Work) <= 0 {
			return fmt.Errorf("%w: %d bytes", ErrUnstableFull, s.bytes)
		}
		inner := map[*chain.Node]bool{}
		for _, b := range s.bodies {
			inner[b.node.Parent] = true
		}
		for m := n.Parent; m != nil; m = m.Parent {
			inner[m] = true
		}
		var least *chain.Node
		for _, b := range s.bodies {
			if !inner[b.node] && (least == nil || s.better(least, b.node)) {
				least = b.node
			}
		}
		if least == nil {
			return fmt.Errorf("%w: %d bytes", ErrUnstableFull, s.bytes)
		}
		s.unlink(least)
		s.tree.ClearBody(least)
		s.findTip()
	}
	return nil
}

// marked gives the bodies of n's branch a fresh mark, by which lookups tell them from other branches.
func (s *State) marked(n *chain.Node) uint64 {
	s.marks++
	for ; n != nil; n = n.Parent {
		if b := s.bodies[n.Hash]; b != nil {
			b.mark = s.marks
		}
	}
	return s.marks
}

// source is where an input's coin may be, as found before the block is walked through.
type source struct {
	tx      int32   // of this block, or negative
	created *madeTx // by blocks above the anchor, of any branch
	stable  *Coin   // in the stable set, looked up if it is in neither of the others
	coin    *Coin   // what unspent says of one that is not of this block
	ref     *createdRef
}

// readShare is how many coins make it worth to read with another goroutine.
const readShare = 64

// sources finds the inputs' coins. Those of the stable set are read on all processors and in the order of their keys; what is found does not depend
// on the number of processors.
func (s *State) sources(blk *btc.Block, d *draft, mark uint64, f *foreseen) []source {
	prevs := spentBy(blk, d)
	out := make([]source, len(prevs))
	if f != nil && !bytes.Equal(f.meta, s.meta) { // other coins have settled since
		f = nil
	}
	share(len(prevs), readShare, func(from, to int) {
		for at := from; at < to; at += stride {
			s.makers(d, mark, prevs[at:min(at+stride, to)], out[at:])
		}
	})
	var list []wanted
	for i, o := range prevs {
		switch {
		case out[i].tx >= 0 || out[i].created != nil:
		case f != nil && f.looked[i]:
			out[i].stable = f.coins[i]
			out[i].coin, out[i].ref = s.unspent(*o, mark, out[i])
		default:
			list = append(list, want(o, i))
		}
	}
	sortWanted(list)
	share(len(list), readShare, func(from, to int) {
		find(s.store, list[from:to], func(at int, c *Coin) { out[at].stable = c })
		for _, w := range list[from:to] {
			out[w.at].coin, out[w.at].ref = s.unspent(*w.o, mark, out[w.at])
		}
	})
	return out
}

// stride is how many coins are looked for side by side.
const stride = 64

// makers finds the transactions of this block and of others above the anchor that make the coins, and the coins of the latter. They lie all over the memory, which takes longer than
// all else: so each step to another place is taken for all coins before the next one, and a processor fetches what does not depend on each other at once.
func (s *State) makers(d *draft, mark uint64, prevs []*btc.Outpoint, out []source) {
	var touched uint64
	for i, o := range prevs {
		if out[i].tx = d.tx(&o.Txid); out[i].tx < 0 {
			touched += s.created.touch(txTag(&o.Txid))
		}
	}
	for i, o := range prevs {
		if out[i].tx >= 0 {
			continue
		}
		if out[i].created = s.created.get(txTag(&o.Txid)); out[i].created == nil {
			touched += s.spends.touch(coinTag(o))
		} else {
			touched += uint64(len(out[i].created.coins))
		}
	}
	for i := range prevs {
		if t := out[i].created; t != nil && t.coins[0].passed {
			touched++
		}
	}
	for i, o := range prevs {
		if out[i].created = out[i].created.named(&o.Txid); out[i].created != nil {
			out[i].coin, out[i].ref = s.unspent(*o, mark, out[i])
		}
	}
	runtime.KeepAlive(touched)
}

// share calls do for all numbers below n, on all processors in runs of at least so many neighbours.
func share(n, least int, do func(from, to int)) {
	workers := max(min(runtime.GOMAXPROCS(0), n/least), 1)
	broken := make([]any, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			defer func() { broken[w] = recover() }()
			do(n*w/workers, n*(w+1)/workers)
		})
	}
	wg.Wait()
	for _, cause := range broken {
		if cause != nil { // the store cannot be read: it stops who asked
			panic(cause)
		}
	}
}

// unspent finds a coin in the branch with the mark, given what src knows of it.
func (s *State) unspent(o btc.Outpoint, mark uint64, src source) (*Coin, *createdRef) {
	for t := src.created; t != nil; t = t.next.named(&o.Txid) {
		if t.by.mark != mark {
			continue
		}
		r := t.coin(o.Vout)
		if r == nil {
			continue
		}
		for u := r.spent; u != nil; u = u.next {
			if u.by.mark == mark {
				return nil, nil
			}
		}
		return r.coin, r
	}
	for u := s.spends.get(coinTag(&o)); u != nil; u = u.next {
		if u.by.mark == mark && *u.outpoint() == o {
			return nil, nil
		}
	}
	if src.created == nil && src.tx < 0 {
		return src.stable, nil
	}
	return stableCoin(s.store, o), nil
}

// lookup finds an unspent coin in the branch with the mark.
func (s *State) lookup(o btc.Outpoint, mark uint64) *Coin {
	c, _ := s.unspent(o, mark, source{tx: 0, created: s.made(&o.Txid)})
	return c
}

// draft is what a block creates, whatever state it comes to.
type draft struct {
	coins   []Coin
	created []createdRef       // one a coin
	txs     []madeTx           // those that make coins, their bodies and neighbours left out
	ids     []btc.Hash         // of all transactions
	first   []int              // among at, of a transaction's outputs, and the end of the last one's
	at      []int32            // the place of an output's coin, negative if there is none
	own     map[uint64]int32   // transactions by txTag
	twins   map[btc.Hash]int32 // those with the tag of an earlier one that is another
	inputs  int
	compact []byte // unless it is stored already
}

// draftOf lists the coins as of a block at the height.
func draftOf(blk *btc.Block, height uint32) *draft {
	outputs, scripts := 0, 0
	d := &draft{ids: blk.Txids(), first: make([]int, 0, len(blk.Txs)+1), own: make(map[uint64]int32, len(blk.Txs))}
	for i := range blk.Txs {
		d.inputs += len(blk.Txs[i].Inputs)
		for j := range blk.Txs[i].Outputs {
			if sc := blk.Txs[i].Outputs[j].Script; !btc.Unspendable(sc) {
				outputs++
				scripts += len(sc)
			}
		}
	}
	d.coins, d.created, d.txs = make([]Coin, 0, outputs), make([]createdRef, outputs), make([]madeTx, 0, len(blk.Txs))
	d.at = make([]int32, 0, outputs+1) // mostly one output cannot be spent
	arena := make([]byte, 0, scripts)  // the block's own bytes are not kept
	for i := range blk.Txs {
		d.name(i)
		d.first = append(d.first, len(d.at))
		from := len(d.coins)
		for j := range blk.Txs[i].Outputs {
			out := &blk.Txs[i].Outputs[j]
			if btc.Unspendable(out.Script) {
				d.at = append(d.at, -1)
				continue
			}
			start := len(arena)
			arena = append(arena, out.Script...)
			n := len(d.coins)
			d.at = append(d.at, int32(n))
			d.coins = append(d.coins, Coin{btc.Outpoint{Txid: d.ids[i], Vout: uint32(j)}, out.Value, height, i == 0, arena[start:len(arena):len(arena)]})
			d.created[n].coin = &d.coins[n]
		}
		if n := len(d.coins); n > from {
			d.txs = append(d.txs, madeTx{coins: d.created[from:n]})
		}
	}
	d.first = append(d.first, len(d.at))
	return d
}

// name notes a transaction, the first of its id.
func (d *draft) name(i int) {
	id := &d.ids[i]
	switch first, ok := d.own[txTag(id)]; {
	case !ok:
		d.own[txTag(id)] = int32(i)
	case d.ids[first] != *id:
		if d.twins == nil {
			d.twins = map[btc.Hash]int32{}
		}
		if _, ok := d.twins[*id]; !ok {
			d.twins[*id] = int32(i)
		}
	}
}

// tx is the first transaction with the id, or negative.
func (d *draft) tx(id *btc.Hash) int32 {
	if i, ok := d.own[txTag(id)]; ok && d.ids[i] == *id {
		return i
	}
	if i, ok := d.twins[*id]; ok {
		return i
	}
	return -1
}

// coin is the place among the block's coins of an output of its i-th transaction, or negative.
func (d *draft) coin(i int, vout uint32) int32 {
	if outputs := d.at[d.first[i]:d.first[i+1]]; uint64(vout) < uint64(len(outputs)) {
		return outputs[vout]
	}
	return -1
}

// move makes the coins those of a block at another height.
func (d *draft) move(height uint32) {
	for i := range d.coins {
		d.coins[i].Height = height
	}
}

// validate checks the amounts of a block on top of n's parent and gathers what it changes. It uses its draft up. What was foreseen of it may be nil.
func (s *State) validate(blk *btc.Block, d *draft, n *chain.Node, f *foreseen) (*body, error) {
	p := s.Params()
	mark := s.marked(n.Parent)
	fail := func(i int, err error) error {
		return fmt.Errorf("%w: %v at height %d: transaction %d: %w", ErrInvalidBlock, n.Hash, n.Height, i, err)
	}
	if n.Height >= p.BIP34Height {
		if h, ok := blk.CoinbaseHeight(); !ok || h != n.Height {
			return nil, fail(0, errHeight)
		}
	}
	if len(d.coins) > 0 && d.coins[0].Height != n.Height {
		d.move(n.Height)
	}
	b := &body{node: n, coins: d.coins, created: d.created, txs: d.txs, spent: make([]*Coin, 0, d.inputs), made: make([]maker, 0, d.inputs),
		fees: make([]btc.MillisatPerVByte, 0, len(blk.Txs))}
	from := s.sources(blk, d, mark, f)
	gone := make(map[btc.Outpoint]bool, d.inputs)
	var fees btc.Satoshi
	overwrites := s.overwrites(n.Height)
	for i := range blk.Txs {
		tx := &blk.Txs[i]
		if i > 0 {
			var in btc.Satoshi
			for k := range tx.Inputs {
				o := tx.Inputs[k].Prev
				src := from[0]
				from = from[1:]
				var c *Coin
				made := maker{own: -1}
				if tx := int(src.tx); tx >= 0 && tx < i {
					made.own = d.coin(tx, o.Vout)
				}
				if made.own >= 0 {
					c = &b.coins[made.own]
				} else {
					if c, made.ref = src.coin, src.ref; src.tx >= 0 {
						src.created = s.made(&o.Txid)
						c, made.ref = s.unspent(o, mark, src)
					}
					if c == nil {
						return nil, fail(i, fmt.Errorf("%w: %v", errMissingInput, o))
					}
				}
				if gone[o] {
					return nil, fail(i, fmt.Errorf("%w: %v", errMissingInput, o))
				}
				if c.Coinbase && n.Height-c.Height < CoinbaseMaturity {
					return nil, fail(i, fmt.Errorf("%w: %v of height %d", errImmature, o, c.Height))
				}
				gone[o] = true
				b.spent, b.made = append(b.spent, c), append(b.made, made)
				var ok bool
				if in, ok = in.Add(c.Value); !ok {
					return nil, fail(i, btc.ErrTxAmount)
				}
			}
			out, err := tx.OutputSum()
			if err != nil {
				return nil, fail(i, err)
			}
			if out > in {
				return nil, fail(i, fmt.Errorf("%w: %d < %d", errMoneyCreated, in, out))
			}
			var ok bool
			if fees, ok = fees.Add(in - out); !ok {
				return nil, fail(i, btc.ErrTxAmount)
			}
			b.fees = append(b.fees, btc.FeeRate(in-out, blk.TxVSize(i)))
		}
		// Since BIP34 coinbases, and so all transactions, differ by height; before that, and where it is not enforced, BIP30 must be.
		if n.Height >= p.BIP34Height || overwrites {
			continue
		}
		for j := range tx.Outputs {
			if btc.Unspendable(tx.Outputs[j].Script) {
				continue
			}
			o := btc.Outpoint{Txid: d.ids[i], Vout: uint32(j)}
			if int(d.tx(&d.ids[i])) < i || s.lookup(o, mark) != nil && !gone[o] {
				return nil, fail(i, fmt.Errorf("%w: %v", errOverwrite, d.ids[i]))
			}
		}
	}
	out, err := blk.Txs[0].OutputSum()
	if err != nil {
		return nil, fail(0, err)
	}
	if limit, ok := fees.Add(p.Subsidy(n.Height)); !ok || out > limit {
		return nil, fail(0, fmt.Errorf("%w: %d > %d", errCoinbaseMoney, out, limit))
	}
	return b, nil
}

// Testnet escape, as in the Bitcoin canister: unstable_blocks.rs.
const (
	escapeLead   = 500  // blocks of lead that make a block final with few unstable blocks
	escapeBlocks = 1500 // unstable blocks at which a lead of δ is enough
)

// stableChild is the child of the anchor on the tip's branch if it is final.
func (s *State) stableChild() *chain.Node {
	anchor := s.tree.Anchor()
	if s.tip == anchor {
		return nil
	}
	c := s.tip.Ancestor(anchor.Height + 1)
	rival, rivalHeight := anchor.Work, anchor.Height
	if s.tree.Len() > int(s.tip.Height-anchor.Height) { // else there is only the tip's branch
		own := map[*chain.Node]bool{c: true}
		for _, n := range s.tree.Sorted() {
			if n == anchor || n == c {
				continue
			}
			if own[n.Parent] {
				own[n] = true
				continue
			}
			if n.Body == chain.InvalidBody {
				continue
			}
			if n.Work.Cmp(rival) > 0 {
				rival = n.Work
			}
			rivalHeight = max(rivalHeight, n.Height)
		}
	}
	lead := new(big.Int).Sub(s.tip.Work, rival)
	need := new(big.Int).Mul(chain.Work(anchor.Header.Bits), big.NewInt(int64(s.opt.Stability)))
	if lead.Cmp(need) >= 0 {
		return c
	}
	if s.Params().MinDifficulty && lead.Sign() > 0 && s.opt.Stability < escapeLead {
		limit := escapeLead - (escapeLead-int64(s.opt.Stability))*int64(min(len(s.bodies), escapeBlocks))/escapeBlocks
		if int64(s.tip.Height)-int64(rivalHeight) > limit {
			return c
		}
	}
	return nil
}

// settleEvery is how many final blocks wait for each other while bodies are being caught up: their coins then enter the stable set
// together, without those that were spent meanwhile. Half of the room for bodies is not waited with.
const settleEvery = 128

// behind tells whether bodies are being caught up with.
func (s *State) behind() bool { return s.tree.Best().Height-s.tip.Height > settleEvery }

// settle moves the anchor over the blocks that are final.
func (s *State) settle() bool {
	anchor := s.tree.Anchor().Height
	if s.behind() && s.tip.Height-anchor < s.opt.Stability+settleEvery && s.bytes < s.opt.MaxUnstableBytes/2 {
		return false
	}
	var blocks, done []*body
	for c := s.stableChild(); c != nil; c = s.stableChild() {
		b := s.bodies[c.Hash]
		if s.overwrites(c.Height) { // alone: the coin that it replaces must be in the stable set
			s.write(blocks)
			s.replaced(b)
			s.write([]*body{b})
			blocks = nil
		} else {
			blocks = append(blocks, b)
		}
		s.drop(b)
		done = append(done, b)
		s.store.Delete(bodyKey(c.Hash))
		for _, n := range s.tree.Advance(c) {
			s.unlink(n)
		}
	}
	if len(done) == 0 {
		return false
	}
	w := s.gather(blocks)
	var releasing sync.WaitGroup
	defer releasing.Wait()
	releasing.Go(func() { // what is written does not ask memory any more
		for _, b := range slices.Backward(done) {
			s.release(b)
		}
	})
	w.flush()
	s.setSum = nil
	s.putMeta()
	return true
}

// overwrites tells whether the block at a height is one of BIP30's two exceptions.
func (s *State) overwrites(height uint32) bool {
	return s.Network() == btc.Mainnet && (height == 91_842 || height == 91_880)
}

// replaced takes the coins out of the stable set that a block overwrites.
func (s *State) replaced(b *body) {
	w := s.writer()
	for i := range b.coins {
		if old := stableCoin(s.store, b.coins[i].Outpoint); old != nil {
			w.add(old, true, false)
		}
	}
	w.flush()
}

func (s *State) writer() *writer {
	return &writer{store: s.store, mu: s.muhash, count: &s.coins, many: s.many}
}

// write moves consecutive final blocks into the stable set.
func (s *State) write(blocks []*body) { s.gather(blocks).flush() }

// gather lists what consecutive final blocks change in the stable set, and begins to hash it.
func (s *State) gather(blocks []*body) *writer {
	w := s.writer()
	if len(blocks) == 0 {
		return w
	}
	first := blocks[0].node.Height
	changes := 0
	for _, b := range blocks {
		changes += len(b.coins) + len(b.spent)
		for i, c := range b.spent {
			if c.Height >= first {
				b.uses[i].of.passed = true
				changes -= 2
			}
		}
	}
	w.expect(changes)
	for i, b := range blocks {
		w.block(b, first)
		if i+1 == len(blocks)/2 { // so that it begins while the others are gathered
			w.hash()
		}
	}
	return w
}

// Digest commits to everything that the state holds: the anchor, the tree above it with the bodies it knows, the stable set by its
// MuHash, and the outgoing transactions.
func (s *State) Digest() [32]byte {
	if s.digest != nil {
		return *s.digest
	}
	h := sha256.New()
	var num [8]byte
	put := func(v uint64) {
		binary.BigEndian.PutUint64(num[:], v)
		h.Write(num[:])
	}
	h.Write([]byte("fusion bitcoin state v1\x00"))
	put(uint64(s.Network()))
	put(uint64(s.opt.Stability))
	put(uint64(s.tree.Anchor().Height))
	h.Write(s.tree.Anchor().Hash[:])
	set := s.SetHash()
	h.Write(set[:])
	put(s.coins)
	put(uint64(s.tree.Len()))
	for _, n := range s.tree.Sorted()[1:] {
		h.Write(n.Hash[:])
		put(n.Seq)
		put(uint64(n.Body))
		put(n.Order)
	}
	put(uint64(len(s.outgoing)))
	for _, o := range s.outgoing {
		h.Write(o.Txid[:])
		put(o.ExpiresNs)
		put(uint64(len(o.Raw)))
		h.Write(o.Raw)
	}
	if deep := s.tree.DeepHeaders(); len(deep) > 0 || s.halt != nil || s.epoch.Epoch > 0 {
		put(uint64(s.epoch.Epoch))
		put(uint64(len(deep)))
		for _, n := range deep {
			h.Write(n.Hash[:])
			put(n.Seq)
		}
		if s.halt != nil {
			h.Write(codec.Marshal(*s.halt))
		}
	}
	var d [32]byte
	h.Sum(d[:0])
	s.digest = &d
	return d
}

// SetHash is the MuHash of the stable set.
func (s *State) SetHash() [32]byte {
	if s.setSum == nil {
		sum := s.muhash.Digest()
		s.setSum = &sum
	}
	return *s.setSum
}

// Info is a summary for status pages.
type Info struct {
	Network                             btc.Network
	AnchorHeight, TipHeight, BestHeader uint32
	Tip                                 btc.Hash
	StableCoins                         uint64
	UnstableHeaders, UnstableBlocks     int
	UnstableBytes                       uint64
	Outgoing                            int
	Synced                              bool
	Halted                              *Halt // nil while all is well; it must not be changed
}

// Info sums the state up.
func (s *State) Info() Info {
	return Info{s.Network(), s.tree.Anchor().Height, s.tip.Height, s.tree.Best().Height, s.tip.Hash, s.coins, s.tree.Len(), len(s.bodies),
		s.bytes, len(s.outgoing), s.Synced(), s.halt}
}
