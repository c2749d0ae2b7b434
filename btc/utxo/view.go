package utxo

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"fusion/btc"
	"fusion/btc/chain"
	"fusion/internal/kv"
)

// Errors of views.
var (
	ErrMinConfirmations = errors.New("min_confirmations is too large")
	ErrPage             = errors.New("malformed page")
	ErrUnknownTip       = errors.New("the page's tip is not on the main chain any more")
	ErrHeaderRange      = errors.New("no such range of headers")
)

// Sizes of answers.
const (
	// UTXOsPerPage is the number of coins in one answer (bitcoin-canister, MAX_UTXOS_PER_RESPONSE).
	UTXOsPerPage = 1000
	// MaxHeadersPerAnswer is the number of headers in one answer.
	MaxHeadersPerAnswer = 100
	// PageSize is the length of a page token: tip hash 32, height 4, outpoint 36.
	PageSize = 72
	// feeTransactions is the number of latest transactions whose fee rates are ranked.
	feeTransactions = 10_000
)

// View reads the coins of the tip's branch, the stable ones from a snapshot of the state's store.
type View struct {
	s *State
	r kv.Reader
}

// View joins the memory with a snapshot, which must be of the same block (else ErrStale at use). Use s.Live inside a block.
func (s *State) View(snapshot kv.Reader) View {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.epoch.Epoch > 0 {
		snapshot = kv.PrefixReader(snapshot, epochPrefix(s.epoch.Epoch))
	}
	return View{s, snapshot}
}

// Live is the view of the current store, for the goroutine that owns the state.
func (s *State) Live() View { return View{s, s.store} }

// enter locks the memory and checks that snapshot and memory fit.
func (v View) enter() (leave func(), err error) {
	leave, err = v.look()
	if err == nil && v.s.halt != nil {
		leave()
		return nil, fmt.Errorf("%w: %v", ErrHalted, v.s.halt)
	}
	return leave, err
}

// look is enter for what may be seen of a halted state, too.
func (v View) look() (leave func(), err error) {
	v.s.mu.RLock()
	gen, err := genIn(v.r)
	switch {
	case err != nil && v.s.epoch.Epoch > 0: // of before the reset
		err = ErrStale
	case err == nil && gen != v.s.gen:
		err = ErrStale
	}
	if err != nil {
		v.s.mu.RUnlock()
		return nil, err
	}
	return v.s.mu.RUnlock, nil
}

// at is the block of the tip's branch with the given number of confirmations, or the anchor if that is higher.
func (v View) at(confirmations uint32) (*chain.Node, error) {
	if confirmations > v.s.opt.Stability {
		return nil, fmt.Errorf("%w: %d given, at most %d", ErrMinConfirmations, confirmations, v.s.opt.Stability)
	}
	n := v.s.tip
	for c := uint32(1); c < confirmations && n.Parent != nil; c++ {
		n = n.Parent
	}
	return n, nil
}

// changes are what the blocks from the anchor to a block do to one script.
type changes struct {
	created []*Coin
	spent   map[btc.Outpoint]*Coin
}

func (v View) changes(n *chain.Node, script []byte) changes {
	ch := changes{spent: map[btc.Outpoint]*Coin{}}
	tag, ok := tagOf(script)
	if !ok {
		return ch
	}
	for ; n.Parent != nil; n = n.Parent {
		t := v.s.bodies[n.Hash].touches()
		i, _ := slices.BinarySearchFunc(t, tag, func(x touch, tag uint64) int { return cmp.Compare(x.tag, tag) })
		for ; i < len(t) && t[i].tag == tag; i++ {
			switch {
			case !bytes.Equal(t[i].coin.Script, script): // another address with the same tag
			case t[i].spend:
				ch.spent[t[i].coin.Outpoint] = t[i].coin
			default:
				ch.created = append(ch.created, t[i].coin)
			}
		}
	}
	return ch
}

// Balance is the sum of an address's coins with at least the given confirmations; 0 and 1 mean the tip.
func (v View) Balance(a btc.Address, minConfirmations uint32) (btc.Satoshi, error) {
	leave, err := v.enter()
	if err != nil {
		return 0, err
	}
	defer leave()
	n, err := v.at(minConfirmations)
	if err != nil {
		return 0, err
	}
	script := a.Script()
	sum := btc.Satoshi(readBalance(v.r, script).sum) - immature(v.r, v.s.tree.Anchor().Height, n.Height, script)
	ch := v.changes(n, script)
	for _, c := range ch.created {
		if c.mature(n.Height) {
			sum += c.Value
		}
	}
	for _, c := range ch.spent {
		sum -= c.Value
	}
	return sum, nil
}

// Made tells whether a block made the output: it is unspent in the stable set, or a block above the anchor made it, in any branch.
func (v View) Made(o btc.Outpoint) (bool, error) {
	leave, err := v.enter()
	if err != nil {
		return false, err
	}
	defer leave()
	for t := v.s.made(&o.Txid); t != nil; t = t.next.named(&o.Txid) {
		if t.coin(o.Vout) != nil {
			return true, nil
		}
	}
	_, ok := v.r.Get(coinKey(o))
	return ok, nil
}

// Page is one answer about an address's coins, newest first.
type Page struct {
	Coins     []Coin
	Tip       btc.Hash // the block as of which the coins exist
	TipHeight uint32
	Next      []byte // token of the next page, nil after the last
}

// UTXOs lists an address's coins with at least the given confirmations.
func (v View) UTXOs(a btc.Address, minConfirmations uint32) (Page, error) {
	leave, err := v.enter()
	if err != nil {
		return Page{}, err
	}
	defer leave()
	n, err := v.at(minConfirmations)
	if err != nil {
		return Page{}, err
	}
	return v.page(a, n, nil), nil
}

// NextUTXOs continues where a page ended, as of the same block.
func (v View) NextUTXOs(a btc.Address, token []byte) (Page, error) {
	if len(token) != PageSize {
		return Page{}, fmt.Errorf("%w: %d bytes, want %d", ErrPage, len(token), PageSize)
	}
	leave, err := v.enter()
	if err != nil {
		return Page{}, err
	}
	defer leave()
	n := v.s.tree.Get(btc.Hash(token[:32]))
	if n == nil || v.s.tip.Ancestor(n.Height) != n {
		return Page{}, fmt.Errorf("%w: %v", ErrUnknownTip, btc.Hash(token[:32]))
	}
	from := &Coin{Height: binary.BigEndian.Uint32(token[32:]), Outpoint: readOutpoint(token[36:])}
	return v.page(a, n, from), nil
}

// order sorts coins newest first, then by outpoint.
func order(a, b *Coin) int {
	return cmp.Or(cmp.Compare(b.Height, a.Height), bytes.Compare(a.Outpoint.Txid[:], b.Outpoint.Txid[:]), cmp.Compare(a.Outpoint.Vout, b.Outpoint.Vout))
}

func (v View) page(a btc.Address, n *chain.Node, from *Coin) Page {
	script := a.Script()
	p := Page{Tip: n.Hash, TipHeight: n.Height}
	ch := v.changes(n, script)
	slices.SortFunc(ch.created, order)
	// take appends a coin, or makes it the start of the next page, and tells whether to go on.
	take := func(c *Coin) bool {
		if len(p.Coins) == UTXOsPerPage {
			p.Next = append(p.Next, n.Hash[:]...)
			p.Next = binary.BigEndian.AppendUint32(p.Next, c.Height)
			p.Next = appendOutpoint(p.Next, c.Outpoint)
			return false
		}
		p.Coins = append(p.Coins, *c)
		return true
	}
	for _, c := range ch.created {
		if ch.spent[c.Outpoint] != nil || !c.mature(n.Height) || from != nil && order(c, from) < 0 {
			continue
		}
		if !take(c) {
			return p
		}
	}
	prefix := addressKey('a', script)
	lower := prefix
	if from != nil {
		lower = indexKey(prefix, from)
	}
	v.r.Scan(lower, kv.PrefixEnd(prefix), func(k, val []byte) bool {
		k = k[len(prefix):]
		value, m := binary.Uvarint(val)
		if len(k) != 40 || m <= 0 {
			panic(fmt.Errorf("%w: coin of %v", ErrCorrupt, a))
		}
		c := Coin{readOutpoint(k[4:]), btc.Satoshi(value >> 1), ^binary.BigEndian.Uint32(k), value&1 == 1, script}
		if ch.spent[c.Outpoint] != nil || !c.mature(n.Height) {
			return true
		}
		return take(&c)
	})
	return p
}

// FeePercentiles ranks the fee rates of the latest 10,000 transactions on the tip's branch above the anchor: 101 values, from the
// 0th to the 100th percentile by nearest rank, or none if there are no transactions.
func (v View) FeePercentiles() ([]btc.MillisatPerVByte, error) {
	leave, err := v.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	var rates []btc.MillisatPerVByte
	for n := v.s.tip; n.Parent != nil && len(rates) < feeTransactions; n = n.Parent {
		f := v.s.bodies[n.Hash].fees
		rates = append(rates, f[:min(len(f), feeTransactions-len(rates))]...)
	}
	if len(rates) == 0 {
		return nil, nil
	}
	slices.Sort(rates)
	out := make([]btc.MillisatPerVByte, 101)
	for p := range out {
		out[p] = rates[max((p*len(rates)+99)/100, 1)-1]
	}
	return out, nil
}

// Headers returns the headers of the tip's branch from start to end, both included, at most MaxHeadersPerAnswer. A nil end means as many
// as there are.
func (v View) Headers(start uint32, end *uint32) (headers [][]byte, tip uint32, err error) {
	leave, err := v.enter()
	if err != nil {
		return nil, 0, err
	}
	defer leave()
	tip = v.s.tip.Height
	last := tip
	if end != nil {
		last = *end
	}
	switch {
	case start > tip:
		return nil, tip, fmt.Errorf("%w: start height %d, tip height %d", ErrHeaderRange, start, tip)
	case last > tip:
		return nil, tip, fmt.Errorf("%w: end height %d, tip height %d", ErrHeaderRange, last, tip)
	case start > last:
		return nil, tip, fmt.Errorf("%w: start height %d, end height %d", ErrHeaderRange, start, last)
	}
	last = min(last, start+MaxHeadersPerAnswer-1)
	snapshot := kv.PrefixReader(v.r, "H")
	for height := start; height <= last; height++ {
		var h btc.Header
		ok := true
		if n := v.s.tip.Ancestor(height); n != nil {
			h = n.Header
		} else if h, ok = chain.FinalIn(snapshot, height); !ok {
			return nil, tip, fmt.Errorf("%w: the chain is known from a later height than %d on", ErrHeaderRange, height)
		}
		b := h.Bytes()
		headers = append(headers, b[:])
	}
	return headers, tip, nil
}

// ChainInfo describes the tip.
type ChainInfo struct {
	Height     uint32
	Hash       btc.Hash
	Time       uint32
	Bits       uint32
	BestHeader uint32 // height of the heaviest branch of headers
	Synced     bool
	Coins      uint64 // in the stable set
	Halted     *Halt  // nil while all is well
	Anchor     uint32 // height of the highest final block
	Blocks     int    // above the anchor
	Bytes      uint64 // of those
	Outgoing   int    // transactions to announce
	Epoch      uint32 // counts the resets
}

// Info describes the tip.
func (v View) Info() (ChainInfo, error) {
	leave, err := v.look()
	if err != nil {
		return ChainInfo{}, err
	}
	defer leave()
	t := v.s.tip
	return ChainInfo{t.Height, t.Hash, t.Header.Time, t.Header.Bits, v.s.tree.Best().Height, v.s.Synced(), v.s.coins, v.s.halt,
		v.s.tree.Anchor().Height, len(v.s.bodies), v.s.bytes, len(v.s.outgoing), v.s.epoch.Epoch}, nil
}

// Bounds on how far the tip may fall behind the time before its coins are doubted: what an attacker who cuts replicas off from the
// network can show them is a branch with too few blocks.
const (
	maxTipLag  = 2 * time.Hour
	rateWindow = 36                                // blocks, six hours
	maxRate    = 2 * rateWindow * 10 * time.Minute // what they may take: twice the expected
)

// Doubt says why the tip's branch may not be the one that the world mines on, or nothing: at the given time its newest block is older than two
// hours, the last 36 blocks took more than twice the time that they should, or Suspect said so. Blocks of development networks are never too old or too slow; where the difficulty can
// collapse (testnet4) only the age counts.
func (v View) Doubt(nowNs uint64) (string, error) {
	leave, err := v.look()
	if err != nil {
		return "", err
	}
	defer leave()
	if why := v.s.suspicion; why != "" {
		return why, nil
	}
	p := v.s.Params()
	if p.Network.Development() {
		return "", nil
	}
	tip := v.s.tip
	now := int64(nowNs / 1e9)
	if lag := time.Duration(now-int64(tip.Header.Time)) * time.Second; lag > maxTipLag {
		return fmt.Sprintf("the newest block, at height %d, is %v old", tip.Height, lag), nil
	}
	if p.MinDifficulty || tip.Height < rateWindow {
		return "", nil
	}
	first, ok := chain.FinalIn(kv.PrefixReader(v.r, "H"), tip.Height-rateWindow)
	if n := tip.Ancestor(tip.Height - rateWindow); n != nil {
		first, ok = n.Header, true
	}
	if took := time.Duration(now-int64(first.Time)) * time.Second; ok && took > maxRate {
		return fmt.Sprintf("the last %d blocks up to height %d took %v, twice what they should", rateWindow, tip.Height, took), nil
	}
	return "", nil
}
