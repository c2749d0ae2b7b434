package archive

import (
	"bytes"
	"errors"
	"fmt"

	"fusion/cdk/stable"
	"fusion/ckledger/icrc"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// Bounds and defaults, as in the archives of the Internet Computer.
const (
	maxTransactions = 2000 // get_transactions and get_blocks, unless the arguments say less
	maxICRC3Blocks  = 100  // icrc3_get_blocks, over all ranges
	defaultMemory   = 3 << 30
	// maxBlock bounds what is decoded: blocks of a ledger have a few hundred bytes, with the longest memo about 2,000.
	maxBlock = 16 << 10
)

// Errors of an archive. The message of a ledger that meets one must trap.
var (
	ErrArgument = errors.New("bad archive argument")
	// ErrBlock is a block that does not continue the log.
	ErrBlock = errors.New("the block does not fit")
	// ErrFull says that the blocks need more memory than the archive may have.
	ErrFull = errors.New("the archive is full")
)

// Memories of the stable memory.
const (
	memConfig = iota
	memTip
	memLogIndex
	memLogData
)

// config is what the installation sets. It is stored as Candid.
type config struct {
	Ledger principal.Principal `candid:"ledger"`
	First  uint64              `candid:"first"`
	Memory uint64              `candid:"memory"`
	Page   uint64              `candid:"page"`
}

// Archive is a part of a ledger's log. All its state is in stable memory.
type Archive struct {
	cfgCell, tipCell *stable.Cell
	cfg              config
	tip              [32]byte // hash of the last block
	log              *stable.Log
	hasher           icrc.Hasher
}

func open(mem stable.Memory) (*Archive, error) {
	g, err := stable.Open(mem)
	if err != nil {
		return nil, err
	}
	a := &Archive{}
	if a.cfgCell, err = stable.OpenCell(g.Memory(memConfig)); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if a.tipCell, err = stable.OpenCell(g.Memory(memTip)); err != nil {
		return nil, fmt.Errorf("tip: %w", err)
	}
	if a.log, err = stable.OpenLog(g.Memory(memLogIndex), g.Memory(memLogData)); err != nil {
		return nil, fmt.Errorf("block log: %w", err)
	}
	return a, nil
}

// Create makes an archive in empty stable memory, for the blocks of a ledger from first on. It takes up to memory bytes of blocks (nil: 3 GiB)
// and shows page of them at a time (nil: 2,000).
func Create(mem stable.Memory, ledger principal.Principal, first uint64, memory, page *uint64) (*Archive, error) {
	switch {
	case mem.Size() != 0:
		return nil, fmt.Errorf("%w: the stable memory is not empty", ErrArgument)
	case ledger.IsAnonymous() || ledger.IsManagement():
		return nil, fmt.Errorf("%w: %s is no ledger", ErrArgument, ledger)
	}
	a, err := open(mem)
	if err != nil {
		return nil, err
	}
	a.cfg = config{ledger, first, defaultMemory, maxTransactions}
	if memory != nil {
		a.cfg.Memory = *memory
	}
	if page != nil && *page > 0 {
		a.cfg.Page = min(*page, maxTransactions)
	}
	b, err := candid.Marshal(a.cfg)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return a, a.cfgCell.Set(b)
}

// Open finds an archive in stable memory, as after an upgrade.
func Open(mem stable.Memory) (*Archive, error) {
	if mem.Size() == 0 {
		return nil, fmt.Errorf("%w: the stable memory is empty", ErrArgument)
	}
	a, err := open(mem)
	if err != nil {
		return nil, err
	}
	if err := candid.Unmarshal(a.cfgCell.Get(nil), &a.cfg); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	tip := a.tipCell.Get(nil)
	if (len(tip) == 32) != (a.log.Len() > 0) {
		return nil, fmt.Errorf("%w: %d blocks with a tip of %d bytes", stable.ErrCorrupt, a.log.Len(), len(tip))
	}
	copy(a.tip[:], tip)
	return a, nil
}

// Ledger is the canister whose blocks these are.
func (a *Archive) Ledger() principal.Principal { return a.cfg.Ledger }

// Next is the index of the first block that is not here yet.
func (a *Archive) Next() uint64 { return a.cfg.First + a.log.Len() }

// Free is how many bytes of blocks the archive still takes.
func (a *Archive) Free() uint64 { return a.cfg.Memory - min(a.log.Bytes(), a.cfg.Memory) }

// Span answers block_range.
func (a *Archive) Span() icrc.BlockSpan {
	s := icrc.BlockSpan{First: a.cfg.First, Next: a.Next(), Free: a.Free()}
	if a.log.Len() > 0 {
		tip := a.tip[:]
		s.Tip = &tip
	}
	return s
}

// Append takes blocks in their stored form, the first of which is block start; nil means the next one. After an error the message must trap.
func (a *Archive) Append(blocks [][]byte, start *uint64) error {
	i := a.Next()
	if start != nil {
		i = *start
	}
	if i < a.cfg.First || i > a.Next() {
		return fmt.Errorf("%w: block %d, the archive has those from %d to before %d", ErrBlock, i, a.cfg.First, a.Next())
	}
	changed := false
	for ; len(blocks) > 0; i, blocks = i+1, blocks[1:] {
		b := blocks[0]
		if i < a.Next() {
			if !bytes.Equal(b, a.log.Get(i-a.cfg.First, nil)) {
				return fmt.Errorf("%w: block %d is here with another content", ErrBlock, i)
			}
			continue
		}
		if err := a.append(i, b); err != nil {
			return fmt.Errorf("block %d: %w", i, err)
		}
		changed = true
	}
	if !changed {
		return nil
	}
	return a.tipCell.Set(a.tip[:])
}

func (a *Archive) append(i uint64, b []byte) error {
	switch {
	case len(b) > maxBlock:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrBlock, len(b), maxBlock)
	case uint64(len(b)) > a.Free():
		return fmt.Errorf("%w: it has room for %d bytes", ErrFull, a.Free())
	}
	v, err := icrc.DecodeValue(b)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBlock, err)
	}
	f, err := icrc.Follow(v)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrBlock, err)
	case (f.Parent == nil) != (i == 0):
		return fmt.Errorf("%w: only the first block of a log has no parent", ErrBlock)
	case a.log.Len() > 0 && *f.Parent != a.tip:
		return fmt.Errorf("%w: its parent is %x, the last block has the hash %x", ErrBlock, *f.Parent, a.tip)
	}
	if a.tip, err = a.hasher.Sum(b); err != nil {
		return fmt.Errorf("%w: %w", ErrBlock, err)
	}
	_, err = a.log.Append(b)
	return err
}

func (a *Archive) block(i uint64) icrc.ICRC3Value {
	v, err := icrc.DecodeValue(a.log.Get(i-a.cfg.First, nil))
	if err != nil {
		panic(fmt.Sprintf("block %d: %v", i, err)) // it was decoded when it came
	}
	return v
}

func (a *Archive) transaction(i uint64) icrc.Transaction {
	t, err := icrc.TransactionOf(a.block(i))
	if err != nil {
		panic(fmt.Sprintf("block %d: %v", i, err)) // it was read when it came
	}
	return t
}

// span cuts a requested range to what is here and a limit.
func (a *Archive) span(args icrc.GetBlocksArgs, limit uint64) (start, end uint64) {
	start, ok := args.Start.Uint64()
	if !ok || start < a.cfg.First || start >= a.Next() {
		return 0, 0
	}
	length, ok := args.Length.Uint64()
	if !ok || length > limit {
		length = limit
	}
	return start, start + min(length, a.Next()-start)
}

// Transaction answers get_transaction.
func (a *Archive) Transaction(i uint64) *icrc.Transaction {
	if i < a.cfg.First || i >= a.Next() {
		return nil
	}
	t := a.transaction(i)
	return &t
}

// Transactions answers get_transactions.
func (a *Archive) Transactions(args icrc.GetBlocksArgs) icrc.TransactionRange {
	out := icrc.TransactionRange{Transactions: []icrc.Transaction{}}
	start, end := a.span(args, a.cfg.Page)
	for i := start; i < end; i++ {
		out.Transactions = append(out.Transactions, a.transaction(i))
	}
	return out
}

// Blocks answers get_blocks.
func (a *Archive) Blocks(args icrc.GetBlocksArgs) icrc.BlockRange {
	out := icrc.BlockRange{Blocks: []icrc.Value{}}
	start, end := a.span(args, a.cfg.Page)
	for i := start; i < end; i++ {
		out.Blocks = append(out.Blocks, a.block(i).Legacy())
	}
	return out
}

// StoredBlocks answers get_stored_blocks, as a ledger does.
func (a *Archive) StoredBlocks(args icrc.GetBlocksArgs) icrc.StoredBlocks {
	start, end := a.span(args, icrc.MaxStoredBlocks)
	return icrc.StoredBlocks{LogLength: a.Next(), First: start, Blocks: icrc.StoredIn(a.log, a.cfg.First, start, end)}
}

// ICRC3Blocks answers icrc3_get_blocks. The length of the log is what is here, as an archive does not know about the rest.
func (a *Archive) ICRC3Blocks(ranges []icrc.GetBlocksArgs) icrc.GetBlocksResult {
	out := icrc.GetBlocksResult{LogLength: candid.NatFromUint64(a.log.Len()), Blocks: []icrc.ICRC3Block{}, ArchivedBlocks: []icrc.ICRC3ArchivedBlocks{}}
	limit := uint64(maxICRC3Blocks)
	for _, r := range ranges {
		if limit == 0 {
			break
		}
		start, end := a.span(r, min(limit, a.cfg.Page))
		for i := start; i < end; i++ {
			out.Blocks = append(out.Blocks, icrc.ICRC3Block{ID: candid.NatFromUint64(i), Block: a.block(i)})
		}
		limit -= end - start
	}
	return out
}

// CheckChain verifies the hash chain of all blocks; it reads them all and is meant for tests and audits.
func (a *Archive) CheckChain() error {
	var tip [32]byte
	for i := a.cfg.First; i < a.Next(); i++ {
		f, err := icrc.Follow(a.block(i))
		if err != nil {
			return fmt.Errorf("block %d: %w", i, err)
		}
		if i > a.cfg.First && *f.Parent != tip {
			return fmt.Errorf("block %d has the parent %x, the one before has the hash %x", i, *f.Parent, tip)
		}
		if tip, err = icrc.HashValue(a.log.Get(i-a.cfg.First, nil)); err != nil {
			return fmt.Errorf("block %d: %w", i, err)
		}
	}
	if tip != a.tip {
		return fmt.Errorf("the tip is %x, the last block has the hash %x", a.tip, tip)
	}
	return nil
}
