package utxo

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"

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
	Blocks  [][]byte `cbor:"2,keyasint,omitempty"` // whole blocks with witnesses, parents first; their headers need not be in Headers
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
	coins   []Coin  // created
	spent   []*Coin // from earlier blocks or this one
	touched []touch // sorted by tag
	fees    []btc.MillisatPerVByte
	mark    uint64 // see State.marked
}

// touch says that a block creates or spends a coin of the address with the tag.
type touch struct {
	tag   uint64
	coin  *Coin
	spend bool
}

func tagOf(script []byte) (uint64, bool) {
	k := addressKey(0, script)
	if k == nil {
		return 0, false
	}
	h := sha256.Sum256(k)
	return binary.BigEndian.Uint64(h[:]), true
}

type createdRef struct {
	coin *Coin
	by   *body
	next *createdRef // the same transaction in another branch
}

type spentRef struct {
	by   *body
	next *spentRef
}

// State is the machine. See the package comment.
type State struct {
	opt   Options
	store kv.Store
	tree  *chain.Tree

	mu      sync.RWMutex // guards what views read below against Apply
	tip     *chain.Node
	bodies  map[btc.Hash]*body
	created map[btc.Outpoint]*createdRef
	spends  map[btc.Outpoint]*spentRef
	gen     uint64 // counts the applied blocks that changed something

	outgoing []Outgoing // by id
	bytes    uint64     // of the bodies
	muhash   *MuHash
	setSum   *[32]byte // muhash's digest, nil after a change
	coins    uint64    // in the stable set
	marks    uint64
	digest   *[32]byte // nil after a change
	known    map[btc.Hash]uint32

	checkedMu sync.Mutex
	checked   map[[32]byte]bool
}

type setMeta struct {
	MuHash    []byte `cbor:"1,keyasint"`
	Coins     uint64 `cbor:"2,keyasint"`
	Stability uint32 `cbor:"3,keyasint"`
}

// Open reads the state back from the store, or starts it at the base of the parameters in an empty one.
func Open(opt Options, store kv.Store) (*State, error) {
	if opt.Stability == 0 {
		opt.Stability = 144
	}
	if opt.MaxUnstableBytes == 0 {
		opt.MaxUnstableBytes = 1 << 30
	}
	tree, err := chain.Open(opt.Params, kv.Prefix(store, "H"))
	if err != nil {
		return nil, err
	}
	s := &State{opt: opt, store: store, tree: tree, tip: tree.Anchor(), bodies: map[btc.Hash]*body{},
		created: map[btc.Outpoint]*createdRef{}, spends: map[btc.Outpoint]*spentRef{}, muhash: NewMuHash(), checked: map[[32]byte]bool{}}
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
		s.coins = m.Coins
	} else {
		s.putMeta()
		s.putGen()
	}
	if s.gen, err = genIn(store); err != nil {
		return nil, err
	}
	s.loadOutgoing()
	for _, n := range tree.Sorted() {
		if n.Body != chain.HasBody || n == tree.Anchor() {
			continue
		}
		raw, ok := store.Get(bodyKey(n.Hash))
		if !ok {
			return nil, fmt.Errorf("%w: no body of %v", ErrCorrupt, n.Hash)
		}
		blk, err := btc.ParseBlock(bytes.Clone(raw))
		if err != nil {
			return nil, fmt.Errorf("%w: body of %v: %w", ErrCorrupt, n.Hash, err)
		}
		b, err := s.validate(blk, n)
		if err != nil {
			return nil, fmt.Errorf("%w: body of %v: %w", ErrCorrupt, n.Hash, err)
		}
		s.link(b, len(blk.Raw))
	}
	return s, nil
}

// Use continues in another store with the same content: the next block's batch.
func (s *State) Use(store kv.Store) {
	s.store = store
	s.tree.Use(kv.Prefix(store, "H"))
}

func bodyKey(h btc.Hash) []byte { return append([]byte("B"), h[:]...) }

func (s *State) putMeta() {
	s.store.Set([]byte("m"), codec.Marshal(setMeta{s.muhash.Bytes(), s.coins, s.opt.Stability}))
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
	for s.advance() {
		changed = true
	}
	if changed {
		s.touchGen()
	}
	return out
}

// touchGen notes that the state changed.
func (s *State) touchGen() {
	s.gen++
	s.putGen()
	s.digest, s.known = nil, nil
}

func (s *State) acceptHeader(h btc.Header, now int64) (n *chain.Node, fresh bool, err error) {
	before := s.tree.Get(h.Hash())
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
	blk, err := btc.ParseBlock(bytes.Clone(raw))
	if err != nil {
		o.Err = err
		return o, false
	}
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
	b, err := s.validate(blk, n)
	if err != nil {
		s.invalidate(n)
		o.Err = err
		return o, true
	}
	if o.Err = s.makeRoom(n, uint64(len(raw))); o.Err != nil {
		return o, changed
	}
	s.store.Set(bodyKey(n.Hash), raw)
	s.tree.SetBody(n, len(raw))
	s.link(b, len(raw))
	return o, true
}

// takeable tells whether a body for n would be looked at.
func (s *State) takeable(n *chain.Node) error {
	switch {
	case n.Body == chain.HasBody:
		return fmt.Errorf("%w: %v", ErrKnown, n.Hash)
	case n.Body == chain.InvalidBody:
		return fmt.Errorf("%w: %v", ErrInvalidBlock, n.Hash)
	case n.Parent == nil || n.Parent.Body != chain.HasBody:
		return fmt.Errorf("%w: %v", ErrParentBody, n.Hash)
	}
	return nil
}

// check is btc.Block.Check, remembering the verdict on blocks that were good: a proposal is checked before it is applied.
func (s *State) check(blk *btc.Block, height uint32) error {
	segwit := s.Params().Segwit(height)
	key := sha256.Sum256(blk.Raw)
	s.checkedMu.Lock()
	was, ok := s.checked[key]
	s.checkedMu.Unlock()
	if ok && was == segwit {
		return nil
	}
	if err := blk.Check(segwit); err != nil {
		return err
	}
	s.checkedMu.Lock()
	if len(s.checked) >= 4*MaxBlocksPerPayload {
		clear(s.checked)
	}
	s.checked[key] = segwit
	s.checkedMu.Unlock()
	return nil
}

func (s *State) invalidate(n *chain.Node) {
	for _, m := range s.tree.SetInvalid(n) {
		s.unlink(m)
	}
	s.findTip()
}

// link makes a validated body part of the memory.
func (s *State) link(b *body, size int) {
	s.bodies[b.node.Hash] = b
	s.bytes += uint64(size)
	for i := range b.coins {
		c := &b.coins[i]
		s.created[c.Outpoint] = &createdRef{c, b, s.created[c.Outpoint]}
	}
	for _, c := range b.spent {
		s.spends[c.Outpoint] = &spentRef{b, s.spends[c.Outpoint]}
	}
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
	delete(s.bodies, b.node.Hash)
	s.bytes -= uint64(b.node.Size)
	for i := range b.coins {
		unchain(s.created, b.coins[i].Outpoint, func(r *createdRef) (**createdRef, bool) { return &r.next, r.by == b })
	}
	for _, c := range b.spent {
		unchain(s.spends, c.Outpoint, func(r *spentRef) (**spentRef, bool) { return &r.next, r.by == b })
	}
}

// unchain drops the matching reference from the list under key.
func unchain[R any](m map[btc.Outpoint]*R, key btc.Outpoint, look func(*R) (next **R, match bool)) {
	head := m[key]
	for at := &head; *at != nil; {
		next, match := look(*at)
		if match {
			*at = *next
			break
		}
		at = next
	}
	if head == nil {
		delete(m, key)
	} else {
		m[key] = head
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

// lookup finds an unspent coin in the branch with the mark.
func (s *State) lookup(o btc.Outpoint, mark uint64) *Coin {
	for r := s.spends[o]; r != nil; r = r.next {
		if r.by.mark == mark {
			return nil
		}
	}
	for r := s.created[o]; r != nil; r = r.next {
		if r.by.mark == mark {
			return r.coin
		}
	}
	return stableCoin(s.store, o)
}

// validate checks the amounts of a block on top of n's parent and gathers what it changes.
func (s *State) validate(blk *btc.Block, n *chain.Node) (*body, error) {
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
	outputs, inputs, scripts := 0, 0, 0
	for i := range blk.Txs {
		inputs += len(blk.Txs[i].Inputs)
		for j := range blk.Txs[i].Outputs {
			if sc := blk.Txs[i].Outputs[j].Script; !btc.Unspendable(sc) {
				outputs++
				scripts += len(sc)
			}
		}
	}
	b := &body{node: n, coins: make([]Coin, 0, outputs), spent: make([]*Coin, 0, inputs), fees: make([]btc.MillisatPerVByte, 0, len(blk.Txs))}
	arena := make([]byte, 0, scripts) // the block's own bytes are not kept
	mine := make(map[btc.Outpoint]int, outputs)
	gone := make(map[btc.Outpoint]bool, inputs)
	var fees btc.Satoshi
	overwrites := p.Network == btc.Mainnet && (n.Height == 91_842 || n.Height == 91_880) // BIP30's two exceptions
	for i := range blk.Txs {
		tx := &blk.Txs[i]
		if i > 0 {
			var in btc.Satoshi
			for k := range tx.Inputs {
				o := tx.Inputs[k].Prev
				var c *Coin
				if at, ok := mine[o]; ok {
					c = &b.coins[at]
				} else if c = s.lookup(o, mark); c == nil {
					return nil, fail(i, fmt.Errorf("%w: %v", errMissingInput, o))
				}
				if gone[o] {
					return nil, fail(i, fmt.Errorf("%w: %v", errMissingInput, o))
				}
				if c.Coinbase && n.Height-c.Height < CoinbaseMaturity {
					return nil, fail(i, fmt.Errorf("%w: %v of height %d", errImmature, o, c.Height))
				}
				gone[o] = true
				b.spent = append(b.spent, c)
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
		txid := blk.Txid(i)
		for j := range tx.Outputs {
			script := tx.Outputs[j].Script
			if btc.Unspendable(script) {
				continue
			}
			o := btc.Outpoint{Txid: txid, Vout: uint32(j)}
			// Since BIP34 coinbases, and so all transactions, differ by height; before that, and where it is not enforced, BIP30 must be.
			if n.Height < p.BIP34Height && !overwrites {
				if _, dup := mine[o]; dup || s.lookup(o, mark) != nil && !gone[o] {
					return nil, fail(i, fmt.Errorf("%w: %v", errOverwrite, txid))
				}
			}
			at := len(arena)
			arena = append(arena, script...)
			mine[o] = len(b.coins)
			b.coins = append(b.coins, Coin{o, tx.Outputs[j].Value, n.Height, i == 0, arena[at:len(arena):len(arena)]})
		}
	}
	out, err := blk.Txs[0].OutputSum()
	if err != nil {
		return nil, fail(0, err)
	}
	if limit, ok := fees.Add(p.Subsidy(n.Height)); !ok || out > limit {
		return nil, fail(0, fmt.Errorf("%w: %d > %d", errCoinbaseMoney, out, limit))
	}
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
	slices.SortStableFunc(b.touched, func(x, y touch) int {
		switch {
		case x.tag < y.tag:
			return -1
		case x.tag > y.tag:
			return 1
		}
		return 0
	})
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

// advance moves the anchor by one block if its child is final.
func (s *State) advance() bool {
	c := s.stableChild()
	if c == nil {
		return false
	}
	b := s.bodies[c.Hash]
	w := writer{store: s.store, mu: s.muhash, count: &s.coins, balances: map[string]*balance{}, height: c.Height}
	local := make(map[btc.Outpoint]bool)
	for _, coin := range b.spent {
		if coin.Height == c.Height {
			local[coin.Outpoint] = true // came and went within the block
		} else {
			w.remove(coin)
		}
	}
	overwrites := s.Network() == btc.Mainnet && (c.Height == 91_842 || c.Height == 91_880)
	for i := range b.coins {
		coin := &b.coins[i]
		if local[coin.Outpoint] {
			continue
		}
		if overwrites {
			if old := stableCoin(s.store, coin.Outpoint); old != nil {
				w.remove(old)
			}
		}
		w.add(coin)
	}
	w.flush()
	s.forget(b)
	s.store.Delete(bodyKey(c.Hash))
	for _, n := range s.tree.Advance(c) {
		s.unlink(n)
	}
	s.setSum = nil
	s.putMeta()
	return true
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
}

// Info sums the state up.
func (s *State) Info() Info {
	return Info{s.Network(), s.tree.Anchor().Height, s.tip.Height, s.tree.Best().Height, s.tip.Hash, s.coins, s.tree.Len(), len(s.bodies),
		s.bytes, len(s.outgoing), s.Synced()}
}
