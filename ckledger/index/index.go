package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"fusion/cdk/stable"
	"fusion/ckledger/icrc"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// Bounds of answers.
const (
	maxResults = 2000   // get_account_transactions, get_blocks, list_subaccounts: as the index of the Internet Computer
	maxRanges  = 40_000 // get_fee_collectors_ranges, the newest: about 1 MiB
)

// Errors of the index.
var (
	ErrArgument = errors.New("bad index argument")
	// ErrBlock is a block that does not continue the books.
	ErrBlock = errors.New("the block does not fit")
	// ErrHalted is returned once a block did not fit.
	ErrHalted = errors.New("the index has stopped")
)

// Memories of the stable memory.
const (
	memConfig = iota
	memHot
	memHalted
	memLogIndex
	memLogData
	memAccounts
	memHistory
	memRanges
)

// config is what init and upgrades set. It is stored as Candid.
type config struct {
	Ledger principal.Principal `candid:"ledger"`
	Min    uint64              `candid:"min"` // seconds between polls
	Max    uint64              `candid:"max"`
}

const (
	defaultMin  = 1 // seconds
	defaultMax  = 8
	maxInterval = 24 * 3600
)

func (c *config) check() error {
	switch {
	case c.Ledger.IsAnonymous() || c.Ledger.IsManagement():
		return fmt.Errorf("%w: ledger_id %s is no ledger", ErrArgument, c.Ledger)
	case c.Min < 1 || c.Min > c.Max || c.Max > maxInterval:
		return fmt.Errorf("%w: polling every %d to %d s, want 1 ≤ minimum ≤ maximum ≤ %d", ErrArgument, c.Min, c.Max, maxInterval)
	}
	return nil
}

// intervals applies the three arguments of the interface, of which the first is the older form.
func (c *config) intervals(fixed, least, most *uint64) error {
	switch {
	case fixed != nil && (least != nil || most != nil):
		return fmt.Errorf("%w: retrieve_blocks_from_ledger_interval_seconds excludes a minimum and a maximum", ErrArgument)
	case fixed != nil:
		c.Min, c.Max = *fixed, *fixed
	case least != nil:
		c.Min, c.Max = *least, max(*least, c.Max)
	}
	if most != nil {
		c.Max = *most
		if least == nil {
			c.Min = min(c.Min, c.Max)
		}
	}
	return c.check()
}

// hot is what every message with blocks changes.
type hot struct {
	tip [32]byte // hash of the last block
	// named is 1 + the block that named a fee collector last, or 0; lastRange is 1 + where the last range of collected fees begins, or 0.
	named, lastRange uint64
}

const (
	hotMagic = "FIX\x01"
	hotSize  = 4 + 32 + 8 + 8
)

// Index keeps the books of a ledger. All its state is in stable memory.
type Index struct {
	cfgCell, haltCell *stable.Cell
	cfg               config
	halted            string
	hotMem            stable.Memory
	hot               hot
	log               *stable.Log // blocks as the ledger stores them
	accounts          *stable.Map // account → first block + 1 (8), balance without leading zeros
	history           *stable.Map // account ‖ block, inverted so that the newest is first → nothing
	ranges            *stable.Map // first block, inverted → end (8) ‖ account
	collector         *icrc.Account
	collectorOf       uint64 // the block that names it
	hasher            icrc.Hasher
}

func open(mem stable.Memory) (*Index, error) {
	g, err := stable.Open(mem)
	if err != nil {
		return nil, err
	}
	x := &Index{hotMem: g.Memory(memHot)}
	if x.cfgCell, err = stable.OpenCell(g.Memory(memConfig)); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if x.haltCell, err = stable.OpenCell(g.Memory(memHalted)); err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	if x.log, err = stable.OpenLog(g.Memory(memLogIndex), g.Memory(memLogData)); err != nil {
		return nil, fmt.Errorf("block log: %w", err)
	}
	for _, m := range []struct {
		name     string
		id       int
		key, val int
		out      **stable.Map
	}{
		{"accounts", memAccounts, icrc.MaxKey, 8 + 32, &x.accounts},
		{"history", memHistory, icrc.MaxKey + 8, 0, &x.history},
		{"ranges of collected fees", memRanges, 8, 8 + icrc.MaxKey, &x.ranges},
	} {
		if *m.out, err = stable.OpenMap(g.Memory(m.id), m.key, m.val); err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return x, nil
}

// Create makes an index in empty stable memory.
func Create(mem stable.Memory, args InitArg) (*Index, error) {
	if mem.Size() != 0 {
		return nil, fmt.Errorf("%w: the stable memory is not empty", ErrArgument)
	}
	x, err := open(mem)
	if err != nil {
		return nil, err
	}
	if !x.hotMem.Grow(1) {
		return nil, stable.ErrFull
	}
	x.writeHot()
	x.cfg = config{Ledger: args.LedgerID, Min: defaultMin, Max: defaultMax}
	if err := x.cfg.intervals(args.Interval, args.MinInterval, args.MaxInterval); err != nil {
		return nil, err
	}
	return x, x.configure()
}

// Open finds an index in stable memory, as after an upgrade.
func Open(mem stable.Memory) (*Index, error) {
	if mem.Size() == 0 {
		return nil, fmt.Errorf("%w: the stable memory is empty", ErrArgument)
	}
	x, err := open(mem)
	if err != nil {
		return nil, err
	}
	if err := candid.Unmarshal(x.cfgCell.Get(nil), &x.cfg); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	x.halted = string(x.haltCell.Get(nil))
	if x.hotMem.Size() == 0 {
		return nil, fmt.Errorf("%w: no index here", stable.ErrCorrupt)
	}
	var b [hotSize]byte
	x.hotMem.Read(b[:], 0)
	if string(b[:4]) != hotMagic {
		return nil, fmt.Errorf("%w: index header %x", stable.ErrCorrupt, b[:4])
	}
	x.hot = hot{tip: [32]byte(b[4:36]), named: binary.LittleEndian.Uint64(b[36:]), lastRange: binary.LittleEndian.Uint64(b[44:])}
	return x, nil
}

func (x *Index) configure() error {
	b, err := candid.Marshal(x.cfg)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return x.cfgCell.Set(b)
}

func (x *Index) writeHot() {
	b := make([]byte, 0, hotSize)
	b = append(append(b, hotMagic...), x.hot.tip[:]...)
	b = binary.LittleEndian.AppendUint64(b, x.hot.named)
	x.hotMem.Write(0, binary.LittleEndian.AppendUint64(b, x.hot.lastRange))
}

// Upgrade changes parameters. Another ledger is accepted only while there are no blocks: the books are those of one ledger.
func (x *Index) Upgrade(args UpgradeArg) error {
	if args.LedgerID != nil && *args.LedgerID != x.cfg.Ledger {
		if x.log.Len() > 0 {
			return fmt.Errorf("%w: the index has %d blocks of ledger %s and cannot follow %s", ErrArgument, x.log.Len(), x.cfg.Ledger, *args.LedgerID)
		}
		x.cfg.Ledger = *args.LedgerID
	}
	if err := x.cfg.intervals(args.Interval, args.MinInterval, args.MaxInterval); err != nil {
		return err
	}
	return x.configure()
}

// Ledger is the ledger that is followed.
func (x *Index) Ledger() principal.Principal { return x.cfg.Ledger }

// Blocks is the number of blocks that are in the books.
func (x *Index) Blocks() uint64 { return x.log.Len() }

// Halted says why the index stopped; it is empty while it goes on.
func (x *Index) Halted() string { return x.halted }

// halt stops the index.
func (x *Index) halt(why string) error {
	x.halted = why
	return x.haltCell.Set([]byte(why))
}

// Resume lets a stopped index try again.
func (x *Index) Resume() error {
	if x.halted == "" {
		return nil
	}
	return x.halt("")
}

// Read takes an answer of the ledger's icrc3_get_blocks to a question for the blocks from Blocks on. If the next block is in an archive nothing is taken:
// InArchive says where it is.
func (x *Index) Read(r *icrc.GetBlocksResult) error {
	have := candid.NatFromUint64(x.log.Len())
	switch {
	case x.halted != "":
		return ErrHalted
	case r.LogLength.Cmp(have) < 0:
		return x.halt(another(x.cfg.Ledger, r.LogLength, have))
	}
	if _, there := x.InArchive(r); there {
		return nil
	}
	return x.Take(r.Blocks)
}

// ReadStored takes an answer of the ledger's get_stored_blocks to a question for the blocks from Blocks on.
func (x *Index) ReadStored(r *icrc.StoredBlocks) error {
	if x.halted != "" {
		return ErrHalted
	}
	if have := x.log.Len(); r.LogLength < have {
		return x.halt(another(x.cfg.Ledger, candid.NatFromUint64(r.LogLength), candid.NatFromUint64(have)))
	}
	return x.TakeStored(r.First, r.Blocks)
}

// another says why an index stops whose ledger has fewer blocks than it.
func another(ledger principal.Principal, has, have candid.Nat) string {
	return fmt.Sprintf("ledger %s has %s blocks, the index has read %s of it: it is another ledger", ledger, has, have)
}

// Archived is a range of blocks and the method that has them.
type Archived struct {
	From       candid.Func
	Start, End uint64
}

// InArchive finds the range with the next block among those that an answer says are in archives.
func (x *Index) InArchive(r *icrc.GetBlocksResult) (Archived, bool) {
	next := x.log.Len()
	for i := range r.ArchivedBlocks {
		a := &r.ArchivedBlocks[i]
		for _, args := range a.Args {
			start, ok1 := args.Start.Uint64()
			length, ok2 := args.Length.Uint64()
			if ok1 && ok2 && start <= next && next-start < length {
				return Archived{a.Callback.Func, next, start + min(length, ^uint64(0)-start)}, true
			}
		}
	}
	return Archived{}, false
}

// Take appends blocks, which must follow those that it has; blocks that it has already are passed over. At the first block that does not
// fit the index halts, and keeps what came before. Any other error leaves a message half done and must trap.
func (x *Index) Take(blocks []icrc.ICRC3Block) error {
	if x.halted != "" {
		return ErrHalted
	}
	return x.each(len(blocks), func(i int) (bool, error) {
		id, ok := blocks[i].ID.Uint64()
		next := x.log.Len()
		switch {
		case ok && id < next:
			return false, nil
		case !ok || id > next:
			return false, fmt.Errorf("%w: the ledger answered with block %s", ErrBlock, blocks[i].ID)
		}
		stored, err := icrc.AppendValue(nil, blocks[i].Block)
		if err != nil {
			return false, fmt.Errorf("%w: %w", ErrBlock, err)
		}
		return true, x.take(next, stored, blocks[i].Block)
	})
}

// TakeStored is Take for blocks in their stored form, of which the first has the index start.
func (x *Index) TakeStored(start uint64, blocks [][]byte) error {
	if x.halted != "" {
		return ErrHalted
	}
	return x.each(len(blocks), func(i int) (bool, error) {
		id, next := start+uint64(i), x.log.Len()
		switch {
		case id < next:
			return false, nil
		case id > next:
			return false, fmt.Errorf("%w: the ledger answered with block %d", ErrBlock, id)
		}
		v, err := icrc.DecodeValue(blocks[i])
		if err != nil {
			return false, fmt.Errorf("%w: %w", ErrBlock, err)
		}
		return true, x.take(next, blocks[i], v)
	})
}

// each takes n blocks and says whether each was new.
func (x *Index) each(n int, take func(int) (bool, error)) error {
	changed := false
	for i := range n {
		next := x.log.Len()
		took, err := take(i)
		if errors.Is(err, ErrBlock) {
			if err := x.halt(fmt.Sprintf("block %d of ledger %s: %v", next, x.cfg.Ledger, err)); err != nil {
				return err
			}
			break
		}
		if err != nil {
			return err
		}
		changed = changed || took
	}
	if changed {
		x.writeHot()
	}
	return nil
}

// books are the balances that a block changes, read once and written once.
type books struct {
	keys     [][]byte
	balances []icrc.Amount
	known    []uint64 // first block + 1
	mine     []bool   // the block is part of the account's history
}

func (x *Index) entry(b *books, a icrc.Account) (int, error) {
	key, err := a.AppendKey(nil)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrBlock, err)
	}
	for i := range b.keys {
		if string(b.keys[i]) == string(key) {
			return i, nil
		}
	}
	first, balance := x.account(key)
	b.keys, b.balances, b.known, b.mine = append(b.keys, key), append(b.balances, balance), append(b.known, first), append(b.mine, false)
	return len(b.keys) - 1, nil
}

// take appends one block, given in both forms. It returns ErrBlock before it changes anything.
func (x *Index) take(index uint64, stored []byte, block icrc.ICRC3Value) error {
	f, err := icrc.Follow(block)
	var hash [32]byte
	if err == nil {
		hash, err = x.hasher.Sum(stored)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrBlock, err)
	case index == 0 && f.Parent != nil:
		return fmt.Errorf("%w: the first block has a parent hash %x", ErrBlock, *f.Parent)
	case index > 0 && f.Parent == nil:
		return fmt.Errorf("%w: it has no parent hash", ErrBlock)
	case index > 0 && *f.Parent != x.hot.tip:
		return fmt.Errorf("%w: its parent hash is %x, the block before has the hash %x", ErrBlock, *f.Parent, x.hot.tip)
	}
	collector, named, err := x.collectorIn(index, &f)
	if err != nil {
		return err
	}
	var b books
	if err := x.book(&b, &f, collector); err != nil {
		return err
	}

	if _, err := x.log.Append(stored); err != nil {
		return err
	}
	for i, key := range b.keys {
		first := b.known[i]
		if b.mine[i] {
			if first == 0 {
				first = index + 1
			}
			if err := x.history.Set(binary.BigEndian.AppendUint64(append(make([]byte, 0, len(key)+8), key...), ^index), nil); err != nil {
				return err
			}
		}
		if err := x.accounts.Set(key, b.balances[i].AppendBytes(binary.LittleEndian.AppendUint64(nil, first))); err != nil {
			return err
		}
	}
	if collector != nil {
		if err := x.addRange(index, *collector); err != nil {
			return err
		}
		x.collector, x.collectorOf, x.hot.named = collector, named, named+1
	}
	x.hot.tip = hash
	return nil
}

// collectorIn finds who collects the fee of a block, nil if it is burned, and which block says so.
func (x *Index) collectorIn(index uint64, f *icrc.Followed) (*icrc.Account, uint64, error) {
	switch {
	case f.Collector != nil:
		return f.Collector, index, nil
	case f.CollectorBlock == nil:
		return nil, 0, nil
	}
	at := *f.CollectorBlock
	if x.collector != nil && x.collectorOf == at {
		return x.collector, at, nil
	}
	if at >= index {
		return nil, 0, fmt.Errorf("%w: it names block %d for its fee collector", ErrBlock, at)
	}
	named, err := icrc.Follow(x.block(at))
	if err != nil || named.Collector == nil {
		return nil, 0, fmt.Errorf("%w: it names block %d for its fee collector, which names none", ErrBlock, at)
	}
	return named.Collector, at, nil
}

// book computes what a block does to the balances.
func (x *Index) book(b *books, f *icrc.Followed, collector *icrc.Account) error {
	move := func(a icrc.Account, plus, minus candid.Nat, mine bool) error {
		i, err := x.entry(b, a)
		if err != nil {
			return err
		}
		p, ok1 := icrc.AmountOfNat(plus)
		m, ok2 := icrc.AmountOfNat(minus)
		sum, ok3 := b.balances[i].Add(p)
		if !ok1 || !ok2 || !ok3 {
			return fmt.Errorf("%w: an amount of more than 256 bits", ErrBlock)
		}
		rest, ok := sum.Sub(m)
		if !ok {
			return fmt.Errorf("%w: it takes %s from %s, which has %s", ErrBlock, minus, a.Owner, sum)
		}
		b.balances[i], b.mine[i] = rest, b.mine[i] || mine
		return nil
	}
	var zero candid.Nat
	fee := func(n *candid.Nat) candid.Nat {
		if n == nil {
			return zero
		}
		return *n
	}
	debit := func(a icrc.Account, amount, fee candid.Nat) error {
		if err := move(a, zero, amount, true); err != nil {
			return err
		}
		return move(a, zero, fee, true)
	}
	var paid candid.Nat
	var err error
	switch {
	case f.Mint != nil:
		if err = move(f.Mint.To, f.Mint.Amount, zero, true); err == nil {
			paid = fee(f.Mint.Fee)
			err = move(f.Mint.To, zero, paid, true)
		}
	case f.Burn != nil:
		paid = fee(f.Burn.Fee)
		err = debit(f.Burn.From, f.Burn.Amount, paid)
	case f.Transfer != nil:
		paid = fee(f.Transfer.Fee)
		if err = debit(f.Transfer.From, f.Transfer.Amount, paid); err == nil {
			err = move(f.Transfer.To, f.Transfer.Amount, zero, true)
		}
	case f.Approve != nil:
		paid = fee(f.Approve.Fee)
		if err = move(f.Approve.Spender, zero, zero, false); err == nil {
			err = debit(f.Approve.From, zero, paid)
		}
	case f.AuthorizedMint != nil:
		err = move(f.AuthorizedMint.To, f.AuthorizedMint.Amount, zero, true)
	case f.AuthorizedBurn != nil:
		err = move(f.AuthorizedBurn.From, zero, f.AuthorizedBurn.Amount, true)
	default:
		err = fmt.Errorf("%w: unknown kind %q", ErrBlock, f.Kind)
	}
	if err == nil && collector != nil {
		err = move(*collector, paid, zero, false)
	}
	return err
}

// addRange notes that an account collected the fee of a block.
func (x *Index) addRange(index uint64, collector icrc.Account) error {
	key, err := collector.AppendKey(nil)
	if err != nil {
		return fmt.Errorf("fee collector of block %d: %w", index, err) // book looked at it already
	}
	start := index
	if x.hot.lastRange > 0 {
		v, ok := x.ranges.Get(binary.BigEndian.AppendUint64(nil, ^(x.hot.lastRange-1)), nil)
		if ok && binary.LittleEndian.Uint64(v) == index && string(v[8:]) == string(key) {
			start = x.hot.lastRange - 1
		}
	}
	x.hot.lastRange = start + 1
	return x.ranges.Set(binary.BigEndian.AppendUint64(nil, ^start), append(binary.LittleEndian.AppendUint64(nil, index+1), key...))
}

func (x *Index) account(key []byte) (first uint64, balance icrc.Amount) {
	v, ok := x.accounts.Get(key, nil)
	if !ok {
		return 0, icrc.Amount{}
	}
	return binary.LittleEndian.Uint64(v), icrc.AmountOfBytes(v[8:])
}

func (x *Index) block(i uint64) icrc.ICRC3Value {
	v, err := icrc.DecodeValue(x.log.Get(i, nil))
	if err != nil {
		panic(fmt.Sprintf("block %d: %v", i, err)) // it was encoded by this package
	}
	return v
}

// BalanceOf is what an account has after the last block.
func (x *Index) BalanceOf(a icrc.Account) (icrc.Amount, error) {
	key, err := a.AppendKey(nil)
	if err != nil {
		return icrc.Amount{}, fmt.Errorf("%w: %w", ErrArgument, err)
	}
	_, balance := x.account(key)
	return balance, nil
}

// Transactions answers get_account_transactions.
func (x *Index) Transactions(a GetAccountTransactionsArgs) GetTransactionsResult {
	key, err := a.Account.AppendKey(nil)
	if err != nil {
		return GetTransactionsResult{Err: &GetTransactionsErr{err.Error()}}
	}
	first, balance := x.account(key)
	out := &GetTransactions{Balance: balance.Nat(), Transactions: []TransactionWithID{}}
	if first > 0 {
		oldest := candid.NatFromUint64(first - 1)
		out.OldestTxID = &oldest
	}
	limit := uint64(maxResults)
	if n, ok := a.MaxResults.Uint64(); ok {
		limit = min(n, limit)
	}
	from := append([]byte(nil), key...)
	if a.Start != nil {
		start, ok := a.Start.Uint64()
		switch {
		case ok && start == 0:
			limit = 0 // nothing is older
		case ok:
			from = binary.BigEndian.AppendUint64(from, ^(start - 1))
		}
	}
	if limit == 0 {
		return GetTransactionsResult{Ok: out}
	}
	x.history.Ascend(from, func(k, _ []byte) bool {
		if !strings.HasPrefix(string(k), string(key)) || len(k) != len(key)+8 {
			return false
		}
		id := ^binary.BigEndian.Uint64(k[len(key):])
		t, err := icrc.TransactionOf(x.block(id))
		if err != nil {
			panic(fmt.Sprintf("block %d: %v", id, err)) // it was read when it was appended
		}
		out.Transactions = append(out.Transactions, TransactionWithID{candid.NatFromUint64(id), t})
		return uint64(len(out.Transactions)) < limit
	})
	return GetTransactionsResult{Ok: out}
}

// GetBlocks answers get_blocks.
func (x *Index) GetBlocks(a icrc.GetBlocksArgs) GetBlocksResponse {
	n := x.log.Len()
	out := GetBlocksResponse{ChainLength: n, Blocks: []icrc.Value{}}
	start, ok := a.Start.Uint64()
	if !ok || start >= n {
		return out
	}
	length, ok := a.Length.Uint64()
	if !ok || length > maxResults {
		length = maxResults
	}
	for i := start; i < min(start+length, n); i++ {
		out.Blocks = append(out.Blocks, x.block(i).Legacy())
	}
	return out
}

// Subaccounts answers list_subaccounts.
func (x *Index) Subaccounts(a ListSubaccountsArgs) ([][]byte, error) {
	out := [][]byte{}
	owner := icrc.AppendOwner(nil, a.Owner)
	from := owner
	var after []byte
	if a.Start != nil {
		key, err := icrc.Account{Owner: a.Owner, Subaccount: a.Start}.AppendKey(nil)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrArgument, err)
		}
		from, after = key, key
	}
	x.accounts.Ascend(from, func(k, _ []byte) bool {
		if !strings.HasPrefix(string(k), string(owner)) {
			return false
		}
		if string(k) == string(after) {
			return true
		}
		acc, _, err := icrc.ReadKey(k)
		if err != nil {
			panic(fmt.Sprintf("account key %x: %v", k, err))
		}
		sub := make([]byte, 32)
		if acc.Subaccount != nil {
			copy(sub, *acc.Subaccount)
		}
		out = append(out, sub)
		return len(out) < maxResults
	})
	return out, nil
}

// FeeCollectors answers get_fee_collectors_ranges, collectors in the order of their last range and ranges in the order of blocks.
func (x *Index) FeeCollectors() FeeCollectorRanges {
	out := FeeCollectorRanges{Ranges: []CollectorRanges{}}
	at := map[string]int{}
	left := maxRanges
	x.ranges.Ascend(nil, func(k, v []byte) bool {
		key := string(v[8:])
		i, known := at[key]
		if !known {
			acc, _, err := icrc.ReadKey(v[8:])
			if err != nil {
				panic(fmt.Sprintf("account key %x: %v", v[8:], err))
			}
			i = len(out.Ranges)
			at[key] = i
			out.Ranges = append(out.Ranges, CollectorRanges{Account: acc})
		}
		r := &out.Ranges[i].Ranges
		*r = append(*r, BlockRange{candid.NatFromUint64(^binary.BigEndian.Uint64(k)), candid.NatFromUint64(binary.LittleEndian.Uint64(v))})
		left--
		return left > 0
	})
	for i := range out.Ranges {
		r := out.Ranges[i].Ranges
		for a, b := 0, len(r)-1; a < b; a, b = a+1, b-1 {
			r[a], r[b] = r[b], r[a]
		}
	}
	return out
}

// CheckInvariants verifies what must hold in every state; it reads all of it and is meant for tests and audits.
func (x *Index) CheckInvariants() error {
	tip := [32]byte{}
	for i := range x.log.Len() {
		f, err := icrc.Follow(x.block(i))
		switch {
		case err != nil:
			return fmt.Errorf("block %d: %w", i, err)
		case i > 0 && (f.Parent == nil || *f.Parent != tip):
			return fmt.Errorf("block %d does not continue the chain", i)
		}
		if tip, err = icrc.HashValue(x.log.Get(i, nil)); err != nil {
			return fmt.Errorf("block %d: %w", i, err)
		}
	}
	if tip != x.hot.tip {
		return fmt.Errorf("the tip is %x, the last block has the hash %x", x.hot.tip, tip)
	}
	var err error
	x.history.Ascend(nil, func(k, _ []byte) bool {
		acc := string(k[:len(k)-8])
		id := ^binary.BigEndian.Uint64(k[len(k)-8:])
		if id >= x.log.Len() {
			err = fmt.Errorf("block %d of %d is in a history", id, x.log.Len())
		}
		if first, _ := x.account([]byte(acc)); first == 0 || first-1 > id {
			err = fmt.Errorf("block %d is older than the first one, %d, of its account", id, first)
		}
		return err == nil
	})
	return err
}
